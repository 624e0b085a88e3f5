#!/bin/sh
# Builds static mbedTLS 3.6 libraries from a newer Debian's source:
#   mbedtls36.sh DIR	-> DIR/include, DIR/lib
# Does nothing when DIR is built.
set -eu

[ $# -eq 1 ] || { echo "usage: mbedtls36.sh DIR" >&2; exit 64; }
here=$(dirname "$0")
mkdir -p "$1"
dir=$(cd "$1" && pwd)
[ ! -e "$dir/built" ] || exit 0

fail() {
	echo "mbedtls36.sh: $*" >&2
	exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/build"
sh "$here/../static/source.sh" mbedtls '3\.6\.' "$work/src" forky sid
version=$(sed "s/-[^-]*$//" "$work/src/.version")

echo "Building mbedTLS $version"
{
	cmake -S "$work/src" -B "$work/build" -DCMAKE_BUILD_TYPE=Release \
		-DENABLE_TESTING=OFF -DENABLE_PROGRAMS=OFF \
		-DCMAKE_INSTALL_PREFIX="$dir" -DCMAKE_INSTALL_LIBDIR=lib &&
	cmake --build "$work/build" -j 2 &&
	cmake --install "$work/build"
} >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "build failed"; }
echo "$version" >"$dir/built"
