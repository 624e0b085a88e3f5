#!/bin/sh
# Builds a static executable again in another directory and compares the two:
#   twice.sh ARCH VERSION SOURCES...
set -eu

arch=$1 version=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/elsewhere/build/static"
for f in ./*.[ch] ./*/*.[ch]; do
	mkdir -p "$dir/elsewhere/${f%/*}"
	cp "$f" "$dir/elsewhere/$f"
done
cp -R static features.mk "$dir/elsewhere"
cp -R build/static/src "$dir/elsewhere/build/static"
make -s -C "$dir/elsewhere" -f static/static.mk -j2 ARCH="$arch" \
	VERSION="$version" SRCS="$*" >"$dir/log" 2>&1 || {
	tail "$dir/log" >&2
	exit 1
}
cmp "build/static/$arch/xapsd" "$dir/elsewhere/build/static/$arch/xapsd"
echo "$arch: a second build elsewhere is the same to the byte"
