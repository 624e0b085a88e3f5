#!/bin/sh
# Installs the modules ready made into the Dovecot of other Debian releases, logs in
# and takes them away again:  ready_made.sh DIST CHROOTS SUITE ...
# CHROOTS/SUITE are those of dovecot.sh; nothing in them is changed.
set -eu

[ $# -ge 3 ] || { echo "usage: ready_made.sh DIST CHROOTS SUITE ..." >&2; exit 64; }
if [ -z "${READY_INSIDE-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "ready_made.sh needs root" >&2; exit 1; }
	READY_INSIDE=1 exec unshare --mount --pid --net --fork --kill-child \
		--mount-proc sh "$0" "$@"
fi
# shellcheck disable=SC1091	# checked by itself
. "$(dirname "$0")/dovecot_conf.sh"
dist=$(cd "$1" && pwd)
chroots=$(cd "$2" && pwd)
shift 2
ip link set lo up
work=/run/ready-made
mkdir -p "$work"
mount -t tmpfs tmpfs "$work"

in_root() {
	chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"
}

# yes, no, or nothing if nobody is let in; after a start, which shows all.
has_push() {
	in_root dovecot
	in_root python3 -c '
import imaplib, time
end = time.monotonic() + 30
while True:
    try:
        imap = imaplib.IMAP4("127.0.0.1", 143)
        imap.login("alice", "secret")
        break
    except (OSError, imaplib.IMAP4.error):
        if time.monotonic() > end:
            raise SystemExit
        time.sleep(0.1)
print("yes" if b"XAPPLEPUSHSERVICE" in imap.capability()[1][0] else "no")
' </dev/null
	in_root doveadm stop
	while [ -e "$root/run/dovecot/master.pid" ]; do sleep 0.1; done
}

expect() {
	[ "$1" = "$2" ] || {
		echo "ready_made.sh: $suite: '$1' in the place of '$2'" >&2
		tail -n 20 "$root/tmp/log" >&2
		exit 1
	}
}

one() {
	suite=$1
	root=$work/$suite
	mkdir -p "$root" "$work/$suite.upper" "$work/$suite.work"
	mount -t overlay -o "lowerdir=$chroots/$suite,upperdir=$work/$suite.upper,\
workdir=$work/$suite.work" overlay "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	# what dovecot.sh has built and installed there
	rm -f "$root"/usr/lib/dovecot/modules/*xaps* \
		"$root"/usr/lib/dovecot/modules/settings/*xaps*
	cp -R "$dist" "$root/root/dist"
	version=$(in_root dovecot --version)
	rm -f "$root"/etc/dovecot/conf.d/9*
	mkdir -p "$root/etc/dovecot/conf.d"
	configuration "$version" '!include_try conf.d/9*.conf' \
		>"$root/etc/dovecot/dovecot.conf"
	expect "$(has_push)" no
	in_root sh /root/dist/install-plugin.sh
	expect "$(has_push)" yes
	in_root sh /root/dist/install-plugin.sh >/dev/null
	in_root sh /root/dist/install-plugin.sh --uninstall
	expect "$(has_push)" no
	# all others are refused
	right=$(in_root sh /root/dist/install-plugin.sh --which)
	for tarball in "$dist"/dovecot-xaps-plugin-*.tar.gz; do
		name=$(basename "$tarball" .tar.gz)
		[ "$name.tar.gz" != "$right" ] || continue
		tar -C "$root/tmp" -xzf "$tarball"
		! in_root sh "/tmp/$name/install.sh" 2>"$root/tmp/said" || exit 1
		grep -q "Take $right" "$root/tmp/said"
	done
	expect "$(has_push)" no
	echo "$suite, Dovecot $version: $right"
}

for suite; do
	(one "$suite")
done
echo "$# passed, 0 failed"
