#!/bin/sh
# Boots the Debian in ROOT, systemd as process 1 of namespaces: boot.sh ROOT
# Its cgroups are below one of its own, xapsd-check, that the caller removes.
set -eu
root=$1

if [ -z "${BOOT_INSIDE:-}" ]; then
	for dir in /sys/fs/cgroup /sys/fs/cgroup/*/; do
		[ -e "$dir/cgroup.procs" ] || continue
		mkdir -p "$dir/xapsd-check" && {
			# a cpuset begins empty
			for f in cpuset.cpus cpuset.mems; do
				[ ! -e "$dir/xapsd-check/$f" ] ||
					cat "$dir/$f" >"$dir/xapsd-check/$f"
			done
			echo $$ >"$dir/xapsd-check/cgroup.procs"
		}
	done 2>/dev/null
	BOOT_INSIDE=yes exec unshare --mount --pid --ipc --uts --cgroup --fork \
		--kill-child sh "$0" "$root"
fi

mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o dev tmpfs "$root/dev"
for name in null zero full random urandom tty ptmx; do
	cp -a "/dev/$name" "$root/dev/"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s /proc/self/fd "$root/dev/fd"
# The hierarchies, their roots being ours now.
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
	mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
	mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
fi
hostname xapsd-check
# What wants a machine of its own.
for unit in console-getty getty@tty1 systemd-udevd systemd-logind; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
done
exec env -i container=xapsd-check PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	chroot "$root" /lib/systemd/systemd --system
