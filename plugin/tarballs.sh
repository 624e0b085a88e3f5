#!/bin/sh
# Packs the modules, ready made, for many Dovecots:
#   tarballs.sh DIR	-> DIR/dovecot-xaps-plugin-<abi>-<machine>.tar.gz ...
# SUITES and MACHINES say for which of Debian's releases and machines; HEADERS
# names folders with Dovecot's headers from elsewhere, as machine=folder: those of
# an ABI that Debian has not.  Or another archive has them:
#   SOURCE_MIRROR="http://archive.ubuntu.com/ubuntu KEYRING" SUITES=jammy ...
# The same bytes wherever and whenever it is called.
set -eu
cd "$(dirname "$0")/.."

# All ABIs that Debian's archive has: 2.3.ABIv13, v19, v21, 2.4.ABIv1, v5.  Alpine,
# whose C library is musl, has the last three: the same headers do, since neither
# they nor we use what configure finds in glibc alone.
suites=${SUITES-bullseye bookworm bookworm-backports trixie sid}
musl_suites=${SUITES-bookworm-backports trixie sid}
machines=${MACHINES-amd64 arm64 amd64-musl arm64-musl}
# Older C libraries than this have none of these Dovecots.
glibc_max=2.17

fail() {
	echo "tarballs.sh: $*" >&2
	exit 1
}

[ $# = 1 ] || { echo "usage: tarballs.sh DIR" >&2; exit 64; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
date=${SOURCE_DATE_EPOCH-$(date +%s -d \
	"$(sed -n 's/^ -- .*>  //p' debian/changelog | head -n 1)")}

triplet() {
	case $1 in
	amd64*) echo x86_64-linux ;;
	arm64*) echo aarch64-linux ;;
	*) fail "$1: no compiler is known for this machine" ;;
	esac
}

# musl's headers and the kernel's, and no library at all: Dovecot has loaded it.
use_musl() {
	gcc=$("$triplet-gnu-gcc" -print-file-name=include)
	cflags="$cflags -nostdinc"
	for package in musl-dev linux-libc-dev; do
		dir=build/dovecot/$package-$1
		sh static/source.sh "$package:$1" '' "$dir" bookworm
		dir=$(pwd)/$dir/usr/include
		cflags="$cflags -isystem $dir/$triplet-musl -isystem $gcc"
		cflags="$cflags -isystem $dir/$triplet-gnu -isystem $dir"
	done
	ldflags="$ldflags -nostdlib"
}

# A module that needs a newer C library than its users have does not load.
check_glibc() {
	newest=$(LC_ALL=C tr -c '\040-\176' '\n' <"$1" |
		sed -n 's/^GLIBC_\([0-9.]*\)$/\1/p' | sort -V | tail -n 1)
	[ "$(printf '%s\n' "$newest" "$glibc_max" | sort -V | tail -n 1)" = \
		"$glibc_max" ] || fail "$1 needs glibc $newest"
}

compile() {	# HEADERS MACHINE BUILD
	triplet=$(triplet "$2")
	cflags="-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2"
	cflags="$cflags -ffile-prefix-map=$1=dovecot"
	ldflags="-s -Wl,--build-id=none,-z,relro,-z,now"
	case $2 in
	*-musl) use_musl "${2%-musl}" ;;
	esac
	make -s -C plugin SAY=@: CC="$triplet-gnu-gcc" BUILD="$3" \
		DOVECOT_CONFIG= DOVECOT_CFLAGS="-I$1" WERROR=-Werror \
		CFLAGS="$cflags" LDFLAGS="$ldflags" >&2 </dev/null
}

# One file that works alone, too.
installer() {
	sed -e '/^\. .*guard\.sh/{' -e 'r plugin/guard.sh' -e 'd' -e '}' \
		-e "s/^version=.*/version=$version/" plugin/install.sh
}

pack() {	# HEADERS MACHINE
	headers=$(cd "$1" && pwd)
	abi=$(sed -n 's/^#define DOVECOT_ABI_VERSION "\([^("]*\).*/\1/p' \
		"$headers/config.h" 2>/dev/null)
	[ -n "$abi" ] || fail "no Dovecot's headers in $1"
	name=dovecot-xaps-plugin-$abi-$2
	[ ! -e "$work/$name" ] || return 0
	build=$work/build-$abi-$2
	mkdir -p "$build" "$work/$name"
	compile "$headers" "$2" "$build"
	for f in "$build"/*.so; do
		check_glibc "$f"
		to=$work/$name
		case $f in
		*_settings.so) mkdir "$to/settings"; to=$to/settings ;;
		esac
		install -m 644 "$f" "$to"
	done
	sample=plugin/90-xaps-${abi%%.ABI*}.conf
	install -m 644 "$sample" "$work/$name/90-xaps.conf"
	install -m 644 LICENSE "$work/$name"
	install -m 755 "$work/install.sh" "$work/$name"
	tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner \
		--mode=go=u-w --mtime="@$date" --format=ustar -cf - "$name" |
		gzip -9n >"$out/$name.tar.gz.new"
	mv "$out/$name.tar.gz.new" "$out/$name.tar.gz"
	echo "$out/$name.tar.gz"
}

version=$(sed -n 's/^VERSION = //p' Makefile)
installer >"$work/install.sh"
install -m 755 "$work/install.sh" "$out/install-plugin.sh"
for machine in $machines; do
	case $machine in
	*-musl) these=$musl_suites ;;
	*) these=$suites ;;
	esac
	for suite in $these; do
		dir=build/dovecot/$suite-${machine%-musl}
		sh static/source.sh "dovecot-dev:${machine%-musl}" '' "$dir" "$suite"
		pack "$dir/usr/include/dovecot" "$machine"
	done
done
for pair in ${HEADERS-}; do
	pack "${pair#*=}" "${pair%%=*}"
done
