#!/bin/sh
# Installs the Debian packages of a release as their users would, uses and purges
# them:  release_debs.sh DIST CHROOTS SUITE ...
# CHROOTS/SUITE are those of dovecot.sh; nothing in them is changed.  apt brings what
# the packages need.  FOREIGN=aarch64: those for arm64, with arm64's Dovecot, under
# qemu (foreign.py).
set -eu

# shellcheck disable=SC1091	# checked by itself
. "$(dirname "$0")/dovecot_conf.sh"
PYTHON=${PYTHON:-/usr/bin/python3}
foreign=${FOREIGN:+$PYTHON tests/foreign.py $FOREIGN}
run=$foreign

case ${1-} in
--net) ;;	# the second half: in a network of its own
--*) exit 64 ;;
*)
	[ $# -ge 3 ] || {
		echo "usage: release_debs.sh DIST CHROOTS SUITE ..." >&2
		exit 64
	}
	if [ -z "${DEBS_INSIDE-}" ]; then
		[ "$(id -u)" = 0 ] || { echo "$0 needs root" >&2; exit 1; }
		DEBS_INSIDE=1 exec unshare --mount --pid --fork --kill-child \
			--mount-proc sh "$0" "$@"
	fi ;;
esac

fail() {
	echo "release_debs.sh: $suite: $*" >&2
	[ ! -e "$root/tmp/log" ] || tail -n 30 "$root/tmp/log" >&2
	exit 1
}

in_root() {
	$run chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \
		DEBIAN_FRONTEND=noninteractive "$@"
}

# A phone registers, by its command, at this root's Dovecot: what it is told.
register() {
	$PYTHON - <<-'END'
	import imaplib, time
	imaplib.Commands["XAPPLEPUSHSERVICE"] = ("AUTH",)
	end = time.monotonic() + 120
	while True:
	    try:
	        imap = imaplib.IMAP4("127.0.0.1", 143)
	        imap.login("alice", "secret")
	        break
	    except (OSError, imaplib.IMAP4.error):
	        if time.monotonic() > end:
	            raise
	        time.sleep(0.1)
	try:
	    print(imap._simple_command(
	        "XAPPLEPUSHSERVICE", "aps-version", "2", "aps-account-id",
	        "0715A26B-CA09-4730-A419-793000CA982E", "aps-device-token", "ab" * 32,
	        "aps-subtopic", "com.apple.mobilemail", "mailboxes", "(INBOX)"))
	except imaplib.IMAP4.error as error:
	    print(error)
	END
}

# xapsd has no credential: it says so to Dovecot, and the phone is told NO; so all
# that is installed works together.
use() {
	chroot "$root" /usr/sbin/xapsd --user xapsd 2>"$root/tmp/log.xapsd" &
	daemon=$!
	in_root dovecot
	register | grep -q "'NO'" || fail "the phone is not told NO"
	grep -q 'no credentials' "$root/tmp/log" ||
		fail "the phone's registration does not reach xapsd"
	in_root xapsd status | grep -q 'no credentials' || fail "no status"
	in_root doveadm stop
	kill $daemon
	wait $daemon || fail "xapsd did not end well"
}

if [ "$1" = --net ]; then
	root=$2 suite=$3 run=
	ip link set lo up
	use
	exit
fi

dist=$(cd "$1" && pwd)
chroots=$(cd "$2" && pwd)
shift 2
work=/run/release-debs
mkdir -p "$work"
mount -t tmpfs tmpfs "$work"

enter() {
	root=$work/$suite
	mkdir -p "$root" "$work/$suite.upper" "$work/$suite.work"
	mount -t overlay -o "lowerdir=$chroots/$suite,upperdir=$work/$suite.upper,\
workdir=$work/$suite.work" overlay "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	# what dovecot.sh has built and installed there
	rm -f "$root"/usr/lib/dovecot/modules/*xaps* \
		"$root"/usr/lib/dovecot/modules/settings/*xaps* \
		"$root"/usr/share/doc/dovecot-*/90-xaps.conf
	mkdir -p "$root/root/debs"
	cp "$dist"/*.deb "$root/root/debs"
}

one() {
	suite=$1
	enter
	version=$(in_root dovecot --version)
	machine=$(in_root dpkg --print-architecture) more=
	if [ -n "$foreign" ]; then
		machine=$(echo "$FOREIGN" | sed 's/aarch64/arm64/')
		in_root dpkg --add-architecture "$machine"
		more="dovecot-core:$machine dovecot-imapd:$machine"
	fi
	# shellcheck disable=SC2016
	code=$(in_root sh -c '. /etc/os-release; echo deb${VERSION_ID-}')
	mkdir -p "$root/etc/apt/apt.conf.d"
	printf '%s\n' 'APT::Sandbox::User "root";' \
		'Acquire::Check-Valid-Until "false";' 'Acquire::Retries "3";' \
		'APT::Update::Error-Mode "any";' \
		>"$root/etc/apt/apt.conf.d/release-debs"
	# a mirror that fails once is asked a second time
	in_root apt-get -q update >"$root/tmp/log" 2>&1 ||
		in_root apt-get -q update >"$root/tmp/log" 2>&1 ||
		fail "apt-get update"
	# those for another Dovecot are refused
	for deb in "$root"/root/debs/dovecot-xaps_*_"$machine".deb; do
		case $deb in
		*"+${code}_"*) ;;
		*) ! in_root apt-get -s -q install "/root/debs/${deb##*/}" \
			>"$root/tmp/log" 2>&1 || fail "takes $deb" ;;
		esac
	done
	in_root sh -c "apt-get -q -y --no-install-recommends install \
		/root/debs/xapsd_*_$machine.deb \
		/root/debs/dovecot-xaps_*+${code}_$machine.deb $more" \
		>"$root/tmp/log" 2>&1 || fail "apt-get install"
	# nor does dpkg, without apt, put them into the place of those that fit
	for deb in "$root"/root/debs/dovecot-xaps_*_"$machine".deb; do
		case $deb in
		*"+${code}_"*) ;;
		*)
			! in_root dpkg -i "/root/debs/${deb##*/}" \
				>"$root/tmp/log" 2>&1 || fail "dpkg takes $deb"
			grep -q 'is for another Dovecot' "$root/tmp/log" ||
				fail "dpkg does not say why" ;;
		esac
	done
	[ -z "$(in_root dpkg --audit)" ] || fail "dpkg --audit"
	in_root id -Gn xapsd | grep -q xapsd-mail || fail "groups"
	[ "$(in_root stat -c '%U %a' /etc/xapsd/xapsd.yaml)" = "xapsd 600" ] ||
		fail "xapsd.yaml"
	in_root xapsd --version | grep -q 'static with musl' || fail "xapsd"
	# these roots are without /usr/share/doc
	in_root sh -c "dpkg-deb --fsys-tarfile \
		/root/debs/dovecot-xaps_*+${code}_$machine.deb | tar -xOf - \
		./usr/share/doc/dovecot-xaps/examples/90-xaps.conf" \
		>"$root/etc/dovecot/conf.d/90-xaps.conf"
	configuration "$version" 'mail_access_groups = xapsd-mail' \
		'!include conf.d/90-xaps.conf' >"$root/etc/dovecot/dovecot.conf"
	$foreign unshare --net sh "$0" --net "$root" "$suite"
	in_root apt-get -q -y purge xapsd dovecot-xaps >"$root/tmp/log" 2>&1 ||
		fail "apt-get purge"
	left=$(in_root find /usr /etc /var/lib /lib -xdev -name '*xaps*' \
		! -path '/etc/systemd/*' ! -path '/var/lib/dpkg/*' \
		! -path '/usr/local/*')
	[ -z "$left" ] || fail "left by a purge: $left"
	echo "$suite, $machine, Dovecot $version: installed, used, purged"
}

for suite; do
	(one "$suite")
done
echo "$# passed, 0 failed"
