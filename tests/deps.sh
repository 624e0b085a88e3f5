#!/bin/sh
# Installs the Debian packages that a target lacks: deps.sh GROUP ...
# As root or through sudo; elsewhere it names them and stops.  This may be
# somebody's mail server: nothing that is installed is upgraded, downgraded or
# removed, no service is started, none that is new stays enabled.  UPGRADE=1, for
# machines that serve nobody: what cannot be had otherwise may be upgraded.
set -eu

packages() {
	case $1 in
	build) echo gcc libc6-dev pkg-config libmbedtls-dev dovecot-dev ;;
	check) echo dash dovecot-imapd dovecot-lmtpd dovecot-sieve libcmocka-dev openssl \
		python3-pytest python3-pytest-timeout python3-pytest-xdist \
		python3-h2 python3-hyperframe python3-hpack \
		python3-cryptography python3-jwt nghttp2-server nghttp2-client \
		libnghttp2-dev nodejs libfaketime busybox iproute2 \
		tinyproxy-bin squid python3-prometheus-client redis-server haproxy zsh curl ;;
	browser) echo chromium-headless-shell ;;
	pictures) echo fonts-inter libfaketime python3-pil python3-h2 \
		python3-cryptography python3-jwt ;;
	dovecot) echo debootstrap ;;
	demo) echo dovecot-imapd dovecot-lmtpd python3-h2 \
		python3-cryptography python3-jwt ;;
	bench) echo wrk nghttp2-client nghttp2-server valgrind strace binutils \
		python3-h2 python3-hyperframe python3-hpack \
		python3-cryptography python3-jwt ;;
	shared) echo redis-server ;;
	valgrind) echo valgrind libc6-dbg ;;
	mbedtls36) echo cmake dpkg-dev ;;
	static) echo dpkg-dev ;;
	musl) echo musl-tools linux-libc-dev iproute2 ;;
	qemu) echo qemu-user-static ;;
	insns) echo qemu-user ;;
	cross/*) command -v "${1#cross/}-gcc" >/dev/null ||
		echo "gcc-$(echo "${1#cross/}" | tr _ -)" ;;
	deb) echo build-essential dpkg-dev debhelper fakeroot ;;
	check-deb) echo lintian debootstrap debian-archive-keyring openssl \
		iproute2 util-linux python3 ;;
	packages) echo runc skopeo umoci jq supervisor rpm checkpolicy semodule-utils \
		makepkg pacman-package-manager libarchive-tools fakeroot \
		python3-jsonschema python3-yaml qemu-user-static ;;
	lint) echo clang-format shellcheck mandoc yamllint ;;
	fuzz) echo clang libclang-rt-14-dev llvm ;;
	*) echo "deps.sh: no group $1" >&2; exit 64 ;;
	esac
}

stop() {
	printf '%s\n' "$@" >&2
	exit 1
}

version() {	# of an installed package
	dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null |
		sed -n 's/^installed //p' | head -n 1
}

has_header() {
	echo "#include <$1>" | ${CC:-cc} -E -x c - >/dev/null 2>&1
}

# Where there is no dpkg to ask: the part of a package that is used.
has_part() {
	case $1 in
	libc6-dev) has_header stdio.h ;;
	libmbedtls-dev) has_header mbedtls/ssl.h ;;
	libcmocka-dev) has_header stdarg.h && has_header cmocka.h ;;
	libnghttp2-dev) has_header nghttp2/nghttp2.h ;;
	dovecot-dev)
		for f in "${DOVECOT_PREFIX:-/usr}"/lib*/dovecot/dovecot-config \
			"${DOVECOT_PREFIX:-/usr}"/lib/*/dovecot/dovecot-config \
			/usr/local/lib/dovecot/dovecot-config; do
			[ ! -e "$f" ] || return 0
		done
		return 1 ;;
	dovecot-*) command -v dovecot >/dev/null ;;
	python3-pytest-*) part=${1#python3-}
		${PYTHON:-python3} -c "import $(echo "$part" | tr - _)" \
			2>/dev/null ;;
	python3-*) ${PYTHON:-python3} -c "import ${1#python3-}" 2>/dev/null ;;
	chromium-*) command -v chromium chromium-headless-shell google-chrome \
		>/dev/null ;;
	nodejs) command -v node >/dev/null ;;
	nghttp2-client) command -v nghttp >/dev/null ;;
	nghttp2-server) command -v nghttpd >/dev/null ;;
	iproute2) command -v ip >/dev/null ;;
	gcc) command -v "${CC:-cc}" >/dev/null ;;
	binutils) command -v readelf >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

has() {
	if command -v dpkg-query >/dev/null; then
		[ -n "$(version "$1")" ]
	else
		has_part "$1"
	fi
}

# One at a time: they share policy-rc.d.
exec 9<"$0"
! command -v flock >/dev/null || flock 9

missing=
for group in "$@"; do
	list=$(packages "$group")
	for p in $list; do
		case " $missing " in *" $p "*) continue ;; esac
		has "$p" || missing="$missing $p"
	done
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || stop \
	"This needs the equivalents of these Debian packages:$missing"
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
	command -v sudo >/dev/null || stop "Run as root, or install:$missing"
fi

# --- a Dovecot that somebody uses ---

suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null) || :
chroot_words="Or do it in a chroot:
    debootstrap ${suite:-stable} /srv/xapsd && cp -r . /srv/xapsd/root/xapsd
    chroot /srv/xapsd sh -c 'apt-get install -y make && make -C /root/xapsd …'"

# The program of one that runs here, wherever it keeps its files; those in containers
# have another root.
running() {
	here=$(stat -L -c %d:%i /)
	for name in /proc/[0-9]*/comm; do
		at=${name%/comm}
		[ "$(cat "$name" 2>/dev/null)" = dovecot ] || continue
		[ "$(id -u)" != 0 ] ||
			[ "$(stat -L -c %d:%i "$at/root")" = "$here" ] || continue
		readlink "$at/exe" 2>/dev/null || echo "/proc (it runs)"
		return 0
	done
	return 1
}

is_running() {
	running >/dev/null || {
		pid=$(cat /run/dovecot/master.pid 2>/dev/null) &&
			[ -e "/proc/$pid" ]
	}
}

core=$(version dovecot-core)
other=$(command -v dovecot || running ||
	ls "${DOVECOT_PREFIX:-/usr/local}/sbin/dovecot" 2>/dev/null || :)
wanted=
added=
for p in $missing; do
	case $p in
	dovecot-*)
		[ -n "$core" ] || [ -z "$other" ] || stop \
			"The Dovecot in $other is not Debian's. This needs the \
packages$missing, which could get in its way: nothing was installed." \
			"$chroot_words"
		wanted="$wanted $p${core:+=$core}" ;;
	*) wanted="$wanted $p" ;;
	esac
	case $p in
	dovecot-dev) ;;
	dovecot-*) added="$added $p" ;;
	esac
done
if [ -n "$core" ] && [ -n "$added" ] && is_running; then
	stop "This needs$added, which would add protocols to your running \
Dovecot, or files to its configuration: nothing was installed." \
		"If you want them:  apt-get install$added" "$chroot_words"
fi

# --- what apt would do ---

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

plan() {
	LC_ALL=C apt-get -s -q --no-install-recommends \
		-o Dir::Etc::Preferences="$work/pins" install "$@" \
		>"$work/plan" 2>"$work/errors"
}

# Of what is installed: "package from to", to - if it is removed.
changes() {
	sed -n 's/^Inst \([^ ]*\) \[\([^]]*\)\] (\([^ ]*\) .*/\1 \2 \3/p
		s/^Remv \([^ ]*\) \[\([^]]*\)\].*/\1 \2 -/p' "$work/plan"
}

is_harmless() {
	plan "$@" && [ -z "$(changes)" ]
}

# All that is installed stays as it is, and what is of one source with it fits.
pin_all() {
	dpkg-query -W -f '${db:Status-Status} ${source:Package} ${Version}\n' |
		sed -n 's/^installed //p' | sort -u |
		while read -r source at; do
			printf 'Package: src:%s\nPin: version %s\nPin-Priority: 1001\n\n' \
				"$source" "$at"
		done >>"$work/pins"
}

may_upgrade() {
	[ -n "${UPGRADE-}" ] || return 1
	: >"$work/pins"
	wanted=$missing
	# shellcheck disable=SC2086
	plan $missing && ! changes | grep -q ' -$'
}

refuse() {
	# What apt would do if it were asked for nothing more.
	if [ -z "$(changes)" ]; then
		: >"$work/pins"
		# shellcheck disable=SC2086
		plan $missing || :
	fi
	changes >"$work/changes"
	[ -s "$work/changes" ] || stop "$(grep '^E:\|^ ' "$work/errors" "$work/plan" |
		sed 's/^[^:]*://')" "Could not install:$missing"
	sed 's/^dovecot-core \(.*\) \([^-].*\)/This would upgrade your running Dovecot from \1 to \2./
		/^dovecot-[^ ]* .* [^-]/d
		s/^\([^ ]*\) \([^ ]*\) -$/This would remove \1 \2./
		s/^\([^ ]*\) \([^ ]*\) \([^ ]*\)$/This would upgrade \1 from \2 to \3./' \
		"$work/changes" >&2
	upgrades=$(sed -n 's/^\([^ ]*\) .* [^-].*/\1/p' "$work/changes")
	stop "It is needed for the packages$missing. Nothing was installed." \
		"${upgrades:+Do that first, when it suits you:
    ${sudo:+sudo }apt-get install --only-upgrade $(echo "$upgrades" | paste -s -d ' ' -)
If this machine serves nobody, UPGRADE=1 before make does both.}" \
		"$chroot_words"
}

# A mirror that fails once is asked a second time, for the lists and for packages.
update_lists() {
	$sudo apt-get update -q -o Acquire::Retries=3 \
		-o APT::Update::Error-Mode=any >/dev/null 2>&1
}

echo "Looking up what this lacks:$missing"
cat /etc/apt/preferences >"$work/pins" 2>/dev/null || :
update_lists || update_lists || :
# shellcheck disable=SC2086
is_harmless $wanted || { pin_all; is_harmless $wanted; } || may_upgrade || refuse

# --- installing ---

policy=/usr/sbin/policy-rc.d
mark="# of xapsd's tests/deps.sh, which removes it"

put_policy() {
	! grep -qsFx "$mark" $policy || $sudo rm -f $policy
	[ ! -e $policy ] || $sudo mv $policy $policy.xapsd
	printf '#!/bin/sh\n%s\nexit 101\n' "$mark" | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
}

take_policy() {
	! grep -qsFx "$mark" $policy || $sudo rm -f $policy
	[ ! -e $policy.xapsd ] || $sudo mv $policy.xapsd $policy
	rm -rf "$work"
}

# shellcheck disable=SC2012	# no odd names there
enabled() {
	ls -d /etc/systemd/system/*.wants/* /etc/systemd/system/*.requires/* \
		/etc/systemd/user/*.wants/* /etc/rc[S2-5].d/S* 2>/dev/null | sort
}

disable_new() {
	enabled >"$work/after"
	comm -13 "$work/before" "$work/after" | while read -r link; do
		name=$(basename "$link")
		case $link in
		/etc/rc*) $sudo update-rc.d "${name#S??}" disable ;;
		/etc/systemd/user/*) $sudo systemctl --global disable "$name" ;;
		*) $sudo systemctl disable "$name" || $sudo rm -f "$link" ;;
		esac </dev/null >/dev/null 2>&1
		[ ! -L "$link" ] || $sudo rm -f "$link"
		case $link in
		/etc/rc*) ;;
		*) echo "$name is new here: switched off again" ;;
		esac
	done
}

dots() {
	awk '/^(Unpacking|Setting up) / { printf "."; fflush(); n++ }
		END { if (n) print "" }'
}

new=$(sed -n 's/^Inst \([^ ]*\) .*/\1/p' "$work/plan")
upgrades=$(changes | wc -l)
[ "$upgrades" = 0 ] && what="none that is here changes" ||
	what="$upgrades of them in another version than here"
echo "Installing $(echo "$new" | wc -l) packages; $what:"
echo "$new" | paste -s -d ' ' - | fold -s -w 76 | sed 's/^/  /'
enabled >"$work/before"
trap take_policy EXIT
put_policy
: >"$work/log"
apt_install() {
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
		NEEDRESTART_SUSPEND=1 apt-get install -q -y \
		--no-install-recommends --no-remove -o DPkg::Lock::Timeout=120 \
		-o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
		-o Dir::Etc::Preferences="$work/pins" "$@" $wanted \
		2>&1 </dev/null
}
{ apt_install --download-only || :
  apt_install || echo "status $?"; } | tee "$work/log" | dots
disable_new
! grep -q '^status ' "$work/log" || {
	tail -n 20 "$work/log" >&2
	stop "Could not install:$missing"
}
