#!/bin/sh
# Says what a build lacks, and which package has it, before the compiler does:
# needs.sh compiler mbedtls dovecot, with CC and CFLAGS of the build.
set -u

stop() {	# what, then lines of "system: command"
	printf '%s\n' "$1" >&2
	shift
	printf '  %s\n' "$@" >&2
	exit 1
}

preprocess() {
	# shellcheck disable=SC2086	# options
	$CC ${CFLAGS-} -E -P -x c - 2>/dev/null
}

has_header() {
	echo "#include <$1>" | preprocess >/dev/null
}

need_compiler() {
	command -v "${CC%% *}" >/dev/null || stop \
		"There is no C compiler $CC: install one, or set CC." \
		'Debian, Ubuntu:  apt install gcc libc6-dev' \
		'Fedora, RHEL:    dnf install gcc' \
		'openSUSE:        zypper install gcc' \
		'Arch:            pacman -S gcc' \
		'Alpine:          apk add gcc musl-dev'
	has_header stdio.h || stop \
		"The C compiler $CC finds no stdio.h: install the C library's headers." \
		'Debian, Ubuntu:  apt install libc6-dev' \
		'Fedora, RHEL:    dnf install glibc-devel' \
		'openSUSE:        zypper install glibc-devel' \
		'Alpine:          apk add musl-dev'
}

need_mbedtls() {
	has_header mbedtls/ssl.h || stop \
		"mbedTLS's headers are missing (mbedtls/ssl.h): install them, and pkg-config. Elsewhere than in /usr: set MBEDTLS_CFLAGS and MBEDTLS_LIBS." \
		'Debian, Ubuntu:  apt install libmbedtls-dev pkg-config' \
		'Fedora, RHEL:    dnf install mbedtls-devel pkgconf-pkg-config (RHEL: from EPEL)' \
		'openSUSE:        zypper install mbedtls-devel pkgconf-pkg-config' \
		'Arch:            pacman -S mbedtls pkgconf' \
		'Alpine:          apk add mbedtls-dev pkgconf'
	v=$(printf '#include <mbedtls/version.h>\nMBEDTLS_VERSION_MAJOR MBEDTLS_VERSION_MINOR\n' |
		preprocess | tail -n 1)
	case $v in
	'2 28' | '3 '*) ;;
	*) stop "mbedTLS ${v% *}.${v#* } does not do: 2.28 or 3.x is needed." \
		'any system:      make static brings its own' ;;
	esac
}

need_dovecot() {
	stop "Dovecot's headers are missing: install them, or set DOVECOT_PREFIX or DOVECOT_CFLAGS." \
		'Debian, Ubuntu, Alpine:  dovecot-dev' \
		'Fedora, RHEL, openSUSE:  dovecot-devel' \
		'Arch:                    dovecot'
}

for what; do
	"need_$what"
done
