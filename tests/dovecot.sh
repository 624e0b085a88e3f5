#!/bin/sh
# Builds and tests daemon and plugin with the Dovecot of other Debian releases,
# each in a chroot of its own that is made when it is not there:
#   dovecot.sh DIR SUITE ...	-> DIR/SUITE and DIR/SUITE.log
# PYTEST holds more arguments for pytest.  Where mbedTLS is too old for the daemon
# (before 2.28), the plugin is tested with build/static/xapsd.  The mirror is the one of this
# system's apt, or MIRROR.  All mounts and processes are in namespaces that end
# with this script, however it ends; nothing is to be cleaned up.
set -eu

# Of the chroots; those of Dovecot that the tests use, and of our own.
packages="dovecot-core dovecot-imapd dovecot-lmtpd dovecot-dev dovecot-sieve
	gcc libc6-dev make pkg-config libmbedtls-dev openssl valgrind libc6-dbg
	python3 python3-pytest python3-pytest-timeout python3-pytest-xdist
	python3-h2 python3-hyperframe python3-hpack python3-cryptography
	python3-jwt"

# The server of a shared book: Redis 6.0 is the oldest that will do.
store_of() {
	case $1 in
	bullseye|bookworm) echo redis-server ;;
	*) echo valkey-server ;;
	esac
}

# What may differ between them.
stores=
for t in register_here_deliver_there suspended_everywhere \
	changes_while_it_is_away old_backup_revives_nobody many unix_socket \
	user_with_just_the_rights right_that_lacks tls_with_a_private_ca \
	tls_that_is_not_the_right_one policy_is_warned_of failover \
	server_without_hello memory_full cluster_without_proxy; do
	stores="$stores /tree/tests/e2e/test_shared_store.py::test_$t"
done

fail() {
	echo "dovecot.sh: $*" >&2
	exit 1
}

[ $# -ge 2 ] || { echo "usage: dovecot.sh DIR SUITE ..." >&2; exit 64; }
if [ -z "${DOVECOT_INSIDE-}" ]; then
	[ "$(id -u)" = 0 ] ||
		fail "chroots need root: run it as root or with sudo"
	command -v debootstrap >/dev/null || fail "debootstrap is not installed"
	unshare --mount --pid --fork true 2>/dev/null ||
		fail "this container allows no mounts (CAP_SYS_ADMIN is missing)"
	DOVECOT_INSIDE=1 unshare --mount --pid --fork --kill-child \
		--mount-proc sh "$0" "$@" &
	trap 'kill -9 $! 2>/dev/null; exit 130' INT TERM HUP
	wait $!
	exit
fi

tree=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift

# What apt says of the release that this system is: tells the archive from
# those of others.
mirror() {
	code=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	apt-get indextargets --format "\$(RELEASE) \$(REPO_URI)" \
		'Created-By: Packages' 'Component: main' 2>/dev/null |
		awk -v code="$code" '$2 !~ /security/ &&
			$1 ~ "^(" code "|(old)?stable|testing|unstable|sid)$" {
			print $2; exit }'
}

in_root() {
	root=$1
	shift
	chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		PYTHONDONTWRITEBYTECODE=1 ${http_proxy:+http_proxy="$http_proxy"} \
		"$@"
}

bootstrap() {
	debootstrap --variant=minbase "$suite" "$root" "$mirror" \
		${script:+"$script"}
}

make_root() {
	suite=$1
	root=$dir/$suite
	[ ! -e "$root/.bootstrapped" ] || return 0
	rm -rf --one-file-system "$root"
	# All that are newer than this system's debootstrap are like sid.
	script=
	[ -e "/usr/share/debootstrap/scripts/$suite" ] ||
		script=/usr/share/debootstrap/scripts/sid
	# A mirror that fails once, before anything is unpacked, is asked again.
	bootstrap || { [ ! -e "$root/usr" ] && bootstrap; } || return 1
	# Speed: no sync, no manuals.
	cat >"$root/etc/dpkg/dpkg.cfg.d/test" <<-END
		force-unsafe-io
		path-exclude=/usr/share/doc/*
		path-exclude=/usr/share/man/*
		path-exclude=/usr/share/locale/*
	END
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	mkdir "$root/tree"
	touch "$root/.bootstrapped"
}

# / must be a mount point, so that tests can make namespaces in there.
mount_root() {
	root=$dir/$1
	mount --bind "$root" "$root" &&
	mount -t proc proc "$root/proc" &&
	mount --rbind /dev "$root/dev" &&
	mount -t tmpfs -o mode=1777 tmp "$root/tmp" &&
	mount -t tmpfs -o mode=755 run "$root/run" &&
	mkdir "$root/run/lock" &&
	mount --bind "$tree" "$root/tree" &&
	mount -o remount,bind,ro "$root/tree" &&
	printf '127.0.0.1 localhost %s\n::1 localhost\n' "$(hostname)" \
		>"$root/etc/hosts"
}

# Does nothing when the packages are those above.
install_root() {
	root=$dir/$1
	store=$(store_of "$1")
	# shellcheck disable=SC2086,SC2116	# joins the lines
	wanted=$(echo $packages "$store")
	[ "$(cat "$root/.packages" 2>/dev/null)" != "$wanted" ] || return 0
	set -- -q -o Acquire::Check-Valid-Until=false \
		-o Acquire::Languages=none -o Acquire::Retries=3 \
		-o APT::Update::Error-Mode=any
	# Here, too, a mirror that fails once is asked a second time.
	in_root "$root" apt-get "$@" update ||
		in_root "$root" apt-get "$@" update || return 1
	set -- "$@" -y --no-install-recommends
	# shellcheck disable=SC2086
	in_root "$root" apt-get "$@" --download-only install $packages "$store" || :
	# shellcheck disable=SC2086
	in_root "$root" apt-get "$@" install $packages "$store" || return 1
	in_root "$root" apt-get clean
	rm -rf "$root/root/build"	# of other headers
	echo "$wanted" >"$root/.packages"
}

# Prints the daemon to test with, and builds it if it can be built there.
daemon_of() {
	root=$dir/$1
	if grep -q 'MBEDTLS_VERSION_NUMBER *0x021[0-9A-B]' \
			"$root/usr/include/mbedtls/version.h"; then
		[ -x "$tree/build/static/xapsd" ] ||
			fail "$1: mbedTLS is too old there: make static first"
		echo /tree/build/static/xapsd
	else
		in_root "$root" make -C /tree -j2 WERROR=-Werror \
			BUILD=/root/build PROG=/root/build/xapsd all >&2 &&
		echo /root/build/xapsd
	fi
}

test_root() {
	root=$dir/$1
	xapsd=$(daemon_of "$1") &&
	in_root "$root" make -C /tree -j2 WERROR=-Werror BUILD=/root/build \
		plugin &&
	in_root "$root" make -C /tree/plugin uninstall &&
	in_root "$root" env PLUGIN=/root/build/plugin \
		XAPSD="$xapsd" python3 /tree/tests/demo.py &&
	in_root "$root" make -C /tree/plugin WERROR=-Werror \
		BUILD=/root/build/plugin install || return 1
	# shellcheck disable=SC2086
	in_root "$root" env PLUGIN=/root/build/plugin \
		XAPSD="$xapsd" PYTHON=python3 sh /tree/tests/pytest.sh \
		/root/build/pytest_cache -n 4 ${PYTEST-} $stores \
		/tree/tests/e2e/test_plugin.py \
		/tree/tests/e2e/test_plugin_away.py \
		/tree/tests/e2e/test_plugin_urls.py /tree/tests/e2e/test_names.py \
		/tree/tests/e2e/test_shared.py /tree/tests/e2e/test_ox.py \
		/tree/tests/e2e/test_deliverers.py \
		/tree/tests/e2e/test_journey.py \
		/tree/tests/e2e/test_visits_plugin.py \
		/tree/tests/e2e/test_visits_journey.py \
		/tree/tests/e2e/test_webpush_journey.py \
		/tree/tests/e2e/test_webpush_plugin.py \
		/tree/tests/e2e/test_deltachat_plugin.py
}

one() {
	exec 9>"$dir/$1.lock"
	flock 9 &&
	make_root "$1" && mount_root "$1" && install_root "$1" &&
	test_root "$1"
}

mirror=${MIRROR-$(mirror)}
[ -n "$mirror" ] || fail "no Debian archive in apt's sources: set MIRROR"
eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
export http_proxy

echo "Building and testing with the Dovecot of $*, which takes minutes, more the" \
	"first time; what happens is in $dir/SUITE.log"
pids=
for suite in "$@"; do
	(one "$suite") >"$dir/$suite.log" 2>&1 9>&- &
	pids="$pids $!"
done
trap 'exit 130' INT TERM HUP
passed=0
failed=0
for suite in "$@"; do
	rc=0
	# shellcheck disable=SC2086
	set -- $pids
	wait "$1" || rc=$?
	shift
	pids=$*
	log=$dir/$suite.log
	last=$(tail -n 1 "$log")
	p=$(echo "$last" | sed -n 's/.*\b\([0-9]\+\) passed.*/\1/p')
	f=$(echo "$last" | sed -n 's/.*\b\([0-9]\+\) failed.*/\1/p')
	e=$(echo "$last" | sed -n 's/.*\b\([0-9]\+\) error.*/\1/p')
	f=$((${f:-0} + ${e:-0}))
	[ $rc = 0 ] || [ $f -gt 0 ] || f=1
	[ "${p:-0}" -gt 0 ] || [ $f -gt 0 ] || f=1	# ran nothing
	[ $f = 0 ] || tail -n 200 "$log"
	grep -E '^FAILED|at second try' "$log" || :
	version=$(in_root "$dir/$suite" dovecot --version 2>/dev/null || :)
	echo "$suite, Dovecot ${version:-not installed}: $last"
	passed=$((passed + ${p:-0}))
	failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
