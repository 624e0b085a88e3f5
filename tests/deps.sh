#!/bin/sh
# Installs the Debian packages that a target lacks: deps.sh GROUP ...
# As root or through sudo; elsewhere it names them and stops.
set -eu

packages() {
	case $1 in
	build) echo gcc libc6-dev pkg-config libmbedtls-dev dovecot-dev ;;
	check) echo dash dovecot-imapd dovecot-lmtpd dovecot-sieve libcmocka-dev openssl \
		python3-pytest python3-pytest-timeout python3-pytest-xdist \
		python3-h2 python3-hyperframe python3-hpack \
		python3-cryptography python3-jwt nghttp2-server nghttp2-client \
		libnghttp2-dev nodejs libfaketime busybox iproute2 \
		tinyproxy-bin squid python3-prometheus-client ;;
	dovecot) echo debootstrap ;;
	demo) echo dovecot-imapd dovecot-lmtpd python3-h2 \
		python3-cryptography python3-jwt ;;
	bench) echo wrk nghttp2-client nghttp2-server valgrind strace binutils \
		python3-h2 python3-hyperframe python3-hpack \
		python3-cryptography python3-jwt ;;
	valgrind) echo valgrind libc6-dbg ;;
	mbedtls36) echo cmake dpkg-dev ;;
	static) echo dpkg-dev ;;
	qemu) echo qemu-user-static ;;
	cross/*) command -v "${1#cross/}-gcc" >/dev/null ||
		echo "gcc-$(echo "${1#cross/}" | tr _ -)" ;;
	deb) echo build-essential dpkg-dev debhelper lintian fakeroot ;;
	check-deb) echo debootstrap debian-archive-keyring openssl iproute2 \
		util-linux python3 ;;
	lint) echo clang-format shellcheck mandoc ;;
	fuzz) echo clang libclang-rt-14-dev llvm ;;
	*) echo "deps.sh: no group $1" >&2; exit 64 ;;
	esac
}

missing=
for group in "$@"; do
	for p in $(packages "$group"); do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null |
			grep -q 'ok installed' || missing="$missing $p"
	done
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "This needs the equivalents of these Debian packages:$missing" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
	if ! command -v sudo >/dev/null; then
		echo "Run as root, or install:$missing" >&2
		exit 1
	fi
fi
echo "Installing:$missing"
# Dovecot's packages would start the system's Dovecot: not wanted by a test.
policy=/usr/sbin/policy-rc.d
made=
if ! [ -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
	made=yes
fi
trap '[ -z "$made" ] || $sudo rm -f $policy' EXIT
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q >/dev/null 2>&1 || true
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
	--no-install-recommends $missing >/tmp/xapsd-deps.$$ 2>&1 || {
	tail -20 /tmp/xapsd-deps.$$ >&2
	rm -f /tmp/xapsd-deps.$$
	echo "Could not install:$missing" >&2
	exit 1
}
rm -f /tmp/xapsd-deps.$$
