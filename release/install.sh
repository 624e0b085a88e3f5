#!/bin/sh
# Installs xapsd on this machine or upgrades it, as root:
#   sh install.sh [FOLDER or URL]	that holds a release
#   sh install.sh --uninstall		keeps configuration and registrations
# By default the release in this script's own folder, else the newest one at URL.
# All is fetched and compared with SHA256SUMS before anything here changes; then
# setup.sh, which comes with it, does the rest.
# shellcheck disable=SC2046,SC2015	# two words; die ends
set -eu
umask 022
export LC_ALL=C

URL=https://xapsd.invalid/xapsd/releases/latest/download

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

byte() { dd if=/bin/sh bs=1 skip="$1" count=1 2>/dev/null; }

# What this system's own programs are made for runs here, whatever the kernel is:
# 32 bits on a 64-bit one, and MIPS of either end, which uname calls the same.
machine() {
	m=$(uname -m)
	[ "$(uname -s)" = Linux ] || die "xapsd runs on Linux, this is $(uname -s)"
	if [ "$(byte 4)" = "$(printf '\001')" ]; then
		case $m in
		x86_64) m=i386 ;;
		aarch64*) m=armv7 ;;
		esac
	fi
	case $m in
	x86_64 | amd64) echo x86_64 ;;
	i[3-6]86) echo i386 ;;
	aarch64 | arm64) echo aarch64 ;;
	armv[78]*) echo armv7 ;;
	armv[56]*) echo armel ;;
	mips*) [ "$(byte 5)" = "$(printf '\002')" ] && echo mips || echo mipsel ;;
	*) echo "$m" ;;
	esac
}

is_gnu_wget() { wget --version >/dev/null 2>&1; }

get() {
	case $from in
	*://*)
		if has curl; then
			curl -fsSL --connect-timeout 30 --speed-time 60 \
				--speed-limit 1 -o "$work/$1" "$from/$1"
		elif has wget; then
			# busybox 1.35 dies of -T
			wget -q $(! is_gnu_wget || echo -T 60 -t 3) \
				-O "$work/$1" "$from/$1"
		else
			die "neither curl nor wget is here: bring the release's" \
				"files into a folder, and: sh install.sh FOLDER"
		fi || die "cannot fetch $from/$1. Nothing was changed." ;;
	*) cp "$from/$1" "$work/$1" || die "cannot copy $from/$1 to $work. Nothing" \
		"was changed." ;;
	esac
}

sum() {
	if has sha256sum; then sha256sum "$1"
	elif has shasum; then shasum -a 256 "$1"
	elif has openssl; then openssl dgst -sha256 -r "$1"
	fi | sed 's/[^0-9a-f].*//'
}

# ENDING of the one file that is meant: sets $name.
fetch() {
	lines=$(tr -d '\r' <"$work/SHA256SUMS" | sed -n \
		"s/^\([0-9a-f]\{64\}\) [ *]\(xapsd-[0-9][^/ ]*-$1\)\$/\1 \2/p")
	case $lines in
	'') die "$from has no file for this machine, xapsd-VERSION-$1 (then build" \
		"it from the sources), or its SHA256SUMS is not whole. Nothing" \
		"was changed." ;;
	*"
"*) die "$from has several files xapsd-VERSION-$1: leave one. Nothing was changed." ;;
	esac
	name=${lines#* }
	get "$name"
	[ "$(sum "$work/$name")" = "${lines%% *}" ] ||
		die "$name is not what SHA256SUMS says: it was cut off on its way," \
			"or changed. Nothing was changed here."
}

note_risks() {
	case $from in
	http://127.* | http://localhost[:/]*) ;;
	http://*) say "Note: http:// does not keep others from changing what is" \
		"fetched, and SHA256SUMS with it. https:// does." ;;
	https://*) has curl || is_gnu_wget || wget --help 2>&1 | grep -q ca-cert ||
		say "Note: this wget does not verify who $from is. Compare" \
			"SHA256SUMS with the release's page, or install curl." ;;
	esac
}

main() {
	case ${1-} in
	--help | -h) sed -n '2,/the rest\.$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) [ "$1" = --uninstall ] && [ $# = 1 ] || { say "sh install.sh [FOLDER or" \
		"URL], or sh install.sh --uninstall" >&2; exit 64; } ;;
	esac
	[ "$(id -u)" = 0 ] || die "this needs root: sudo sh install.sh $*"
	if [ "${1-}" = --uninstall ]; then
		for setup in /usr/local/share/xapsd/setup.sh /usr/share/xapsd/setup.sh; do
			[ ! -e $setup ] || exec sh $setup uninstall
		done
		die "nothing here was installed by this script: there is no $setup"
	fi
	from=$URL
	case $0 in
	*install.sh) [ ! -e "$(dirname "$0")/SHA256SUMS" ] || from=$(dirname "$0") ;;
	esac
	from=${1:-$from} from=${from%/}
	arch=$(machine)
	has sha256sum || has shasum || has openssl || die "none of sha256sum, shasum" \
		"and openssl is here: what is fetched could not be verified. Nothing" \
		"was changed."
	work=$(mktemp -d) || die "cannot make a folder in ${TMPDIR:-/tmp}: set TMPDIR" \
		"to one that can be written"
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM HUP
	note_risks
	get SHA256SUMS
	fetch "$arch"
	program=$name
	fetch files.tar.gz
	tar -xzf "$work/$name" -C "$work" || die "cannot unpack in $work (full?): set" \
		"TMPDIR to a folder with 2 MB. Nothing was changed."
	exec sh "$work/usr/local/share/xapsd/setup.sh" install "$work" "$program"
}

main "$@"
