#!/bin/sh
# Installs, runs, upgrades, removes and purges the packages of build.sh in a
# Debian of its own: check.sh DIR WORK, as root.  WORK keeps the bare system
# and the packages of 0.1.0 between runs.  They run without this machine's
# network: all ports are free.
set -eu
cd "$(dirname "$0")/../.."
suite=bookworm
old=b2b1c93	# 0.1.0, from which an upgrade must be clean

[ $# -eq 2 ] || { echo "usage: check.sh DIR WORK" >&2; exit 64; }
if [ "$(id -u)" != 0 ]; then
	echo "check-deb: chroots need root: run it as root or with sudo" >&2
	exit 1
fi
# All that is started in here ends with this command, and what is mounted, too.
if [ -z "${CHECK_DEB_INSIDE:-}" ]; then
	CHECK_DEB_INSIDE=yes exec unshare --mount --pid --fork --kill-child \
		--mount-proc \
		sh tests/deb/check.sh "$(realpath "$1")" "$(realpath "$2")"
fi
mkdir -p "$1" "$2"
debs=$(cd "$1" && pwd)
work=$(cd "$2" && pwd)
root=$work/root

# The archive that apt uses: "URI SUITE", the first that has main.
mirror() {
	# shellcheck disable=SC2016	# apt's variables
	apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(ORIGIN)' \
		'Created-By: Packages' |
		sed -n '/security/d; s|^\(.*\) main Debian$|\1|p' | head -n 1
}

# dpkg syncs every file: much faster in memory.
empty() {
	mkdir -p "$root"
	umount -R -l "$root" 2>/dev/null || true
	mount -t tmpfs -o mode=755,size=1g,dev tmpfs "$root" 2>/dev/null ||
		rm -rf "${root:?}"/*
}

# The packages into a folder of it; empty where there is no history.
put() {
	mkdir -p "$1/old"
	cp "$debs"/xapsd_*.deb "$debs"/dovecot-xaps_*.deb "$1"
	cp "$work"/old/xapsd_*.deb "$work"/old/dovecot-xaps_*.deb "$1/old" \
		2>/dev/null || echo "check-deb: no history here, and so no" \
			"packages of 0.1.0 to upgrade from"
}

bootstrap() {
	debootstrap --variant=minbase --include=systemd,dovecot-imapd,\
dovecot-lmtpd,libmbedtls14,libmbedx509-1,libmbedcrypto7 \
		"$suite" "$root" "$1" >"$work/log" 2>&1
}

empty
if ! [ -e "$work/base.tar" ] || ! [ -e "$work/debs" ]; then
	uri=$(mirror)
	[ -n "$uri" ] || { echo "check-deb: apt knows no Debian" >&2; exit 1; }
	echo "Making a bare $suite from $uri, which takes a minute or two"
	# A mirror that fails once, before anything is unpacked, is asked again.
	bootstrap "$uri" || { [ ! -e "$root/usr" ] && bootstrap "$uri"; } || {
		tail -n 20 "$work/log" >&2
		exit 1
	}
	rm -rf "$work/debs"
	mkdir "$work/debs"
	mv "$root"/var/cache/apt/archives/dovecot-*.deb "$work/debs"
	rm -rf "$root"/var/cache/apt/archives/*.deb
	tar -C "$root" -cf "$work/base.tar.new" .
	mv "$work/base.tar.new" "$work/base.tar"
	empty
fi
tar -C "$root" -xf "$work/base.tar"
sh tests/deb/build.sh "$work/old" "$old"
put "$root/tmp"
unshare --net "${PYTHON:-/usr/bin/python3}" tests/deb/walk.py "$root"
unshare --net "${PYTHON:-/usr/bin/python3}" tests/deb/lockout.py "$root" \
	"$work/debs"

# What tests/deps.sh does to a machine that has a Dovecot.
empty
tar -C "$root" -xf "$work/base.tar"
unshare --net "${PYTHON:-/usr/bin/python3}" tests/deb/deps.py "$root" \
	"$work/debs"

# The packages under a systemd that runs.
empty
tar -C "$root" -xf "$work/base.tar"
put "$root/root/debs"
unshare --net "${PYTHON:-/usr/bin/python3}" tests/deb/live.py "$root"

# Who comes from another daemon, by docs/moving.md.
empty
tar -C "$root" -xf "$work/base.tar"
put "$root/root/debs"
unshare --net "${PYTHON:-/usr/bin/python3}" tests/deb/movers.py "$root"
