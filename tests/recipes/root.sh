#!/bin/sh
# Runs a command in a copy of a system that is thrown away:
#   root.sh LOWER WORK "PACKAGES" COMMAND ...
# LOWER is its root, / for this one.  WORK is an empty folder.  The folder VOLUMES
# is /volumes in there, and stays; what else it changes does not.  The tree is
# at /tree, read-only.  The packages are installed first, if it lacks them.
# Mounts, processes and the network (loopback only) are its own, and end with it.
set -eu

lower=$1 work=$2 packages=$3
shift 3
tree=$(cd "$(dirname "$0")/../.." && pwd)
root=$work/root

if [ -z "${ROOT_INSIDE-}" ]; then
	ROOT_INSIDE=1 exec unshare --mount --pid --fork --kill-child \
		sh "$0" "$lower" "$work" "$packages" "$@"
fi

inside() {
	chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		PYTHONDONTWRITEBYTECODE=1 ${http_proxy:+http_proxy="$http_proxy"} \
		"$@"
}

# An overlay of an overlay is not possible everywhere: its upper layer is on tmpfs.
mount -t tmpfs -o mode=755 recipe "$work"
mkdir -p "$work/upper" "$work/work" "$root"
mount -t overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" \
	recipe "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
[ ! -S "$root/dev/log" ] || mount --bind /dev/null "$root/dev/log"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir -p "$root/run/lock" "$root/tree" "$root/volumes"
mount --bind "$tree" "$root/tree"
mount -o remount,bind,ro "$root/tree"
mount --bind "$VOLUMES" "$root/volumes"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
rm -f "$root/etc/resolv.conf"
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :

lacks=
for p in $packages; do
	inside dpkg -s "$p" >/dev/null 2>&1 || lacks="$lacks $p"
done
if [ -n "$lacks" ]; then
	eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
	apt() {
		inside apt-get -q -y --no-install-recommends \
			-o Acquire::Check-Valid-Until=false \
			-o Acquire::Retries=3 "$@" >>"$root/tmp/apt" 2>&1
	}
	# The lists may be old, the mirror may fail once: it is asked a second time.
	# shellcheck disable=SC2086
	apt --download-only install $lacks || apt update || :
	# shellcheck disable=SC2086
	apt install $lacks || {
		cat "$root/tmp/apt" >&2
		exit 1
	}
fi
export root
# shellcheck disable=SC2016	# $root and "$@" are for that shell
unshare --net sh -c 'ip link set lo up && exec chroot "$root" env -i \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
	PYTHONDONTWRITEBYTECODE=1 "$@"' sh "$@"
