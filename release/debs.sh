#!/bin/sh
# Makes Debian packages of what is in DIR already: debs.sh DIR
# Of each static file for a machine of Debian's one package xapsd, for all of its
# releases; of each tarball of Dovecot's modules one dovecot-xaps, whose version
# names the release that has that Dovecot.  It needs debhelper and no compiler.
set -eu

dir=$(cd "$1" && pwd)
version=$(sed -n 's/^VERSION = //p' Makefile)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
# The number of processors must not show.
export DPKG_DEB_THREADS_MAX=1 DEB_BUILD_OPTIONS=nocheck

# The release for the ABI; none: no package, Debian's testing changes it as it likes.
suite() {
	case $1 in
	2.3.ABIv13) echo deb11 ;;
	2.3.ABIv16) echo ubuntu22.04 ;;
	2.3.ABIv19) echo deb12 ;;
	2.3.ABIv21) echo ubuntu24.04 ;;
	2.4.ABIv1) echo deb13 ;;
	esac
}

build() {	# MACHINE (Debian's), STATIC FILE, TARBALL, ABI
	rm -rf "$work/ready" "$work/tree" "$work"/*.deb
	mkdir -p "$work/ready/modules" "$work/tree"
	cp "$2" "$work/ready/xapsd"
	cp "$dir/LICENSES" "$work/ready"
	tar -xzf "$3" -C "$work/ready/modules" --strip-components=1
	mv "$work/ready/modules/90-xaps.conf" "$work/ready"
	rm "$work/ready/modules/LICENSE" "$work/ready/modules/install.sh"
	echo "$4" | tr '[:upper:]' '[:lower:]' >"$work/ready/abi"
	suite "$4" >"$work/ready/suite"
	sh release/list.sh | tar -cf - -T - | tar -C "$work/tree" -xf -
	# dpkg-deb changes the times of newer files only
	find "$work/tree" "$work/ready" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
	(cd "$work/tree" && DEB_XAPSD_READY=$work/ready dpkg-architecture -f -a"$1" \
		-c debian/rules binary) >"$work/log" 2>&1 || {
		tail -n 30 "$work/log" >&2
		exit 1
	}
	cp "$work"/*.deb "$dir"
}

made=0
for pair in x86_64:amd64 aarch64:arm64; do
	file=$dir/xapsd-$version-${pair%:*} machine=${pair#*:}
	[ -e "$file" ] || continue
	for tarball in "$dir"/dovecot-xaps-plugin-*"-$machine.tar.gz"; do
		abi=${tarball##*/dovecot-xaps-plugin-}
		abi=${abi%"-$machine.tar.gz"}
		[ -n "$(suite "$abi")" ] || continue
		build "$machine" "$file" "$tarball" "$abi"
		made=$((made + 1))
	done
done
[ $made -gt 0 ] || {
	echo "debs.sh: $dir has no static file and tarball of modules for one machine" >&2
	exit 1
}
! command -v lintian >/dev/null || lintian --allow-root --fail-on error,warning \
	--suppress-tags bad-distribution-in-changes-file "$dir"/*.deb
