#!/bin/sh
# Does TAG name the version that is here, and is that finished?  tag.sh TAG
# By what the Makefile, CHANGELOG.md and debian/changelog say.
set -eu

tag=$1
version=$(sed -n 's/^VERSION = //p' Makefile)
bad=0
complain() {
	echo "check-tag: $*" >&2
	bad=1
}

[ "$tag" = "v$version" ] ||
	complain "the tag is '$tag', and the Makefile's VERSION needs v$version"
heading=$(sed -n '/^## /{s/^## //p;q;}' CHANGELOG.md)
case $heading in
"$version") ;;
"$version ("????-??-??")") ;;
"$version "*) complain "CHANGELOG.md still says '$heading': write" \
	"'## $version', or '## $version (2026-12-31)'" ;;
*) complain "CHANGELOG.md begins with '$heading', not with $version" ;;
esac
sh release/notes.sh "$version" >/dev/null || bad=1
case $(head -n 1 debian/changelog) in
*"UNRELEASED;"*) complain "debian/changelog still says UNRELEASED" ;;
"xapsd ($version) "* | "xapsd ("*":$version) "*) ;;
*) complain "debian/changelog begins with another version than $version" ;;
esac
exit $bad
