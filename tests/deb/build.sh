#!/bin/sh
# Builds the Debian packages from a copy of this tree: build.sh DIR
# They land in DIR; lintian must find no error.
set -eu
cd "$(dirname "$0")/../.."

dir=$1
rm -rf "$dir"
mkdir -p "$dir/xapsd"
version=$(sed -n 's/^VERSION = //p' Makefile)
head -n 1 debian/changelog | grep -q "^xapsd ($version) " || {
	echo "debian/changelog does not begin with the Makefile's version," \
		"$version" >&2
	exit 1
}
tar --exclude=./build --exclude=./dist --exclude=./.git --exclude=./xapsd \
	--exclude=__pycache__ -cf - . | tar -C "$dir/xapsd" -xf -
(cd "$dir/xapsd" && dpkg-buildpackage -b -us -uc) >"$dir/log" 2>&1 || {
	tail -n 30 "$dir/log" >&2
	exit 1
}
rm -rf "$dir/xapsd"
lintian --allow-root --fail-on error "$dir"/*.changes || exit 1
ls "$dir"/*.deb
