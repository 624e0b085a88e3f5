#!/bin/sh
# Builds the Debian packages from a copy of this tree: build.sh DIR
# They land in DIR; lintian, where it is installed, must find no error.
#   build.sh DIR COMMIT   those of an earlier commit, once: nothing if the
#                         history is not here
set -eu
cd "$(dirname "$0")/../.."

dir=$1
commit=${2:-}
if [ -n "$commit" ]; then
	git cat-file -e "$commit^{tree}" 2>/dev/null || exit 0
	[ ! -e "$dir/built-$commit" ] || exit 0
fi
rm -rf "$dir"
mkdir -p "$dir/xapsd"
if [ -n "$commit" ]; then
	git archive "$commit" | tar -C "$dir/xapsd" -xf -
else
	tar --exclude=./build --exclude=./dist --exclude=./.git \
		--exclude=./xapsd --exclude=__pycache__ -cf - . |
		tar -C "$dir/xapsd" -xf -
fi
version=$(sed -n 's/^VERSION = //p' "$dir/xapsd/Makefile")
head -n 1 "$dir/xapsd/debian/changelog" | grep -Eq "^xapsd \((1:)?$version\) " || {
	echo "debian/changelog does not begin with the Makefile's version," \
		"$version" >&2
	exit 1
}
echo "Building the Debian packages${commit:+ of $commit} into $dir, which takes a" \
	"minute"
(cd "$dir/xapsd" && dpkg-buildpackage -b -us -uc) >"$dir/log" 2>&1 || {
	tail -n 30 "$dir/log" >&2
	exit 1
}
rm -rf "$dir/xapsd"
if [ -n "$commit" ]; then
	touch "$dir/built-$commit"
	exit 0
fi
! command -v lintian >/dev/null ||
	lintian --allow-root --fail-on error,warning "$dir"/*.changes || exit 1
ls "$dir"/*.deb
