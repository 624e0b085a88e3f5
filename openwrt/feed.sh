#!/bin/sh
# Makes the folders for OpenWrt's feeds "packages" and "luci", which build a release:
#   feed.sh xapsd-VERSION.tar.gz FOLDER
# FOLDER/packages and FOLDER/luci are copied over clones of those feeds.
set -eu
here=$(dirname "$0")
[ $# = 2 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 64; }
file=$1 out=$2
name=${file##*/}
version=${name#xapsd-}
version=${version%.tar.gz}
case $name:$version in
xapsd-"$version".tar.gz:[0-9]*) ;;
*) echo "$file: the name must be xapsd-VERSION.tar.gz" >&2; exit 64 ;;
esac
case $version in
*[!0-9.]*) echo "$file: only releases go into OpenWrt's feeds" >&2; exit 64 ;;
esac
hash=$(sha256sum "$file")
hash=${hash%% *}

copy() {	# PACKAGE FOLDER SED-ARGUMENTS
	from=$here/$1 to=$out/$2/$1
	shift 2
	rm -rf "$to"
	mkdir -p "${to%/*}"
	cp -R "$from" "$to"
	sed "$@" "$from/Makefile" >"$to/Makefile"
	echo "$to"
}

for package in xapsd dovecot-xaps-plugin; do
	copy $package packages/mail -e '/^-include \.\.\/checkout\.mk$/d' \
		-e "s/^PKG_VERSION:=.*/PKG_VERSION:=$version/" \
		-e "s/^PKG_HASH:=.*/PKG_HASH:=$hash/"
done
copy luci-app-xapsd luci/applications \
	-e 's|^include .*/luci\.mk$|include ../../luci.mk|'
