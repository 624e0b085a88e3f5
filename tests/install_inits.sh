#!/bin/sh
# Runs install.sh of a release under a real systemd, process 1 of namespaces, and a real
# OpenRC:  install_inits.sh DIST ROOT
# ROOT is a Debian as dovecot.sh makes it; nothing in it is changed.  apt brings the
# inits.
set -eu

[ $# = 2 ] || { echo "usage: install_inits.sh DIST ROOT" >&2; exit 64; }
if [ -z "${INITS_INSIDE-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "$0 needs root" >&2; exit 1; }
	INITS_INSIDE=1 exec unshare --mount --pid --fork --kill-child \
		--mount-proc sh "$0" "$@"
fi
dist=$(cd "$1" && pwd)
base=$(cd "$2" && pwd)
work=/run/install-inits
mkdir -p "$work"
mount -t tmpfs tmpfs "$work"

fail() {
	echo "install_inits.sh: $init: $*" >&2
	cat "$work/log" >&2
	exit 1
}

apt() {
	# shellcheck disable=SC2048,SC2086	# several words
	chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q \
		-o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 \
		-o APT::Update::Error-Mode=any $* >"$work/log" 2>&1
}

make_root() {	# PACKAGES
	root=$work/$init
	mkdir -p "$root" "$root.upper" "$root.work"
	mount -t overlay -o "lowerdir=$base,upperdir=$root.upper,\
workdir=$root.work" overlay "$root"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	cp -R "$dist" "$root/root/dist"
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	install="-y --no-install-recommends install $1"
	# a mirror that fails once is asked a second time
	apt update || apt update || fail "apt-get update"
	apt --download-only "$install" || :
	apt "$install" || fail "apt-get $install"
	umount -l "$root/proc" "$root/dev"
}

# Where the init runs.
there() {
	if [ "$init" = systemd ]; then
		nsenter -t "$pid" -a -r -w/ env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
	else
		chroot "$root" env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
	fi
}

try() {
	there "$@" >"$work/log" 2>&1 || fail "$*"
}

await() {
	n=0
	until there "$@" >"$work/log" 2>&1; do
		n=$((n + 1))
		[ $n -lt 300 ] || fail "$*: not in 30 s"
		sleep 0.1
	done
}

daemon() {	# its process there, or nothing
	# shellcheck disable=SC2016
	there sh -c 'for p in /proc/[0-9]*; do
		[ "$(cat "$p/comm" 2>/dev/null)" != xapsd ] ||
			[ ! -e "$p/exe" ] || echo "${p#/proc/}"
	done' 2>/dev/null
}

serves() {
	await sh -c 'xapsd status | grep -q "no credentials"'
	[ "$(daemon | wc -l)" = 1 ] || fail "runs: $(daemon)"
}

walk() {	# COMMAND TO STOP IT, AND TO START IT
	try sh /root/dist/install.sh
	serves
	first=$(daemon)
	try sh /root/dist/install.sh
	serves
	[ "$(daemon)" != "$first" ] || fail "an upgrade does not restart it"
	# what was stopped stays so
	try sh -c "$1"
	try sh /root/dist/install.sh
	[ -z "$(daemon)" ] || fail "an upgrade starts what was stopped"
	try sh -c "$2"
	serves
	try sh /usr/local/share/xapsd/install.sh --uninstall
	[ -z "$(daemon)" ] || fail "it runs on"
	try sh -c '! ls -d /usr/local/sbin/xapsd /usr/local/share/xapsd /etc/init.d/xapsd \
		/etc/runlevels/*/xapsd /etc/systemd/system/*.wants/xapsd.* /run/xapsd \
		/usr/local/lib/systemd'
	# and it can come back, with what is left
	try sh /root/dist/install.sh
	serves
	echo "install.sh under $init: installed, upgraded, removed, installed"
}

init=openrc
make_root openrc
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
# as its start leaves it
for d in daemons exclusive failed hotplugged inactive options scheduled started \
		starting stopping tmp wasinactive; do
	mkdir -p "$root/run/openrc/$d"
done
touch "$root/run/openrc/softlevel"
walk "rc-service xapsd stop" "rc-service xapsd start"

init=systemd
make_root systemd
sh tests/deb/boot.sh "$root" >"$work/log" 2>&1 &
boot=$!
end() {
	kill -9 $boot 2>/dev/null || true
	wait $boot 2>/dev/null || true
	n=0	# its processes are gone a moment later
	while find /sys/fs/cgroup -depth -type d -path '*/xapsd-check*' \
			-exec rmdir {} + 2>/dev/null
		[ -n "$(find /sys/fs/cgroup -maxdepth 2 -name xapsd-check)" ] &&
			[ $n -lt 100 ]; do
		n=$((n + 1))
		sleep 0.1
	done
}
trap end EXIT
n=0
until pid=$(cat "/proc/$boot/task/$boot/children") && pid=${pid%% *} &&
	[ -n "$pid" ] && there systemctl is-system-running 2>/dev/null |
	grep -qx -e running -e degraded; do
	n=$((n + 1))
	[ $n -lt 600 ] || fail "it does not boot in a minute"
	sleep 0.1
done
walk "systemctl stop xapsd.socket xapsd.service" \
	"systemctl start xapsd.socket xapsd.service"
echo "2 passed, 0 failed"
