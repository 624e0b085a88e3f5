#!/bin/sh
# Keeps people able to log in: Dovecot lets nobody in when two files are the same
# module, when a module was built for another Dovecot, and when its configuration
# names one that is gone.
#   guard.sh install MODULEDIR MODULE ...	may these be put there?
#   guard.sh uninstall			may they be removed?
#   guard.sh reload			then: the Dovecot that runs forgets them
#   guard.sh remove			both, for packages
#   guard.sh which MODULEDIR		the tarball of modules for that Dovecot
# install.sh uses its functions.
set -eu

# Lines that Dovecot cannot do without our modules.  xaps_config is just text.
names='(^|[^[:alnum:]_/])xaps_[a-z_]+|driver *= *xaps([^a-z]|$)'
ready_made=	# yes: from a tarball

stop() {
	printf '%s\n' "$@" >&2
	exit 1
}

# Dovecot compares names less "lib" and number.
find_others() {
	for f in "$1"/*.so; do
		echo "$f"
	done | grep -E '/(lib)?([0-9]*_)?xaps_[^/]*$' |
		grep -Fv "$1/lib95_xaps_" || :
	for f in "$1"/settings/*.so; do
		echo "$f"
	done | grep -E '/(lib)?([0-9]*_)?xaps_[^/]*$' |
		grep -Fvx "$1/settings/lib95_xaps_settings.so" || :
}

text_of() {
	LC_ALL=C tr -c '\040-\176' '\n' 2>/dev/null <"$1" || :
}

# "2.3.ABIv19" of the first module that is there.
abi() {
	for f in "$@"; do
		[ ! -f "$f" ] || text_of "$f" |
			grep -oE '[0-9]+\.[0-9]+\.ABIv[0-9]+' | head -n 1
	done | head -n 1
}

# One of Dovecot's own: ours needs it.
stock() {
	for f in "$1"/lib20_push_notification_plugin.so "$1"/lib[0-8]*.so; do
		[ ! -f "$f" ] || { echo "$f"; return; }
	done
}

# "amd64", "arm64-musl": what an ELF file is for; else its numbers.
machine() {
	elf=$({ od -An -tx1 -N20 "$1" || hexdump -v -n 20 -e '1/1 "%02x"' "$1"; } \
		2>/dev/null | tr -d ' \n')
	case $elf in
	7f454c46????????????????????????????????) ;;
	*) return 0 ;;
	esac
	libc=
	case $elf in
	??????????????09*) libc=-freebsd ;;
	*) text_of "$1" | grep -qx 'libc\.so\.6' || libc=-musl ;;
	esac
	elf=$(echo "$elf" | cut -c 9-12,37-40)
	case $elf in
	02013e00) elf=amd64 ;;
	0201b700) elf=arm64 ;;
	*) elf="machine-$elf" ;;
	esac
	echo "$elf$libc"
}

which_file() {
	own=$(stock "$1")
	abi=$(abi ${own:+"$own"})
	machine=$(machine "$own")
	[ -z "$abi" ] || [ -z "$machine" ] ||
		echo "dovecot-xaps-plugin-$abi-$machine.tar.gz"
}

# Where modules come ready made, the right ones have a name.
right_ones() {
	if [ -n "$ready_made" ]; then
		echo "Take $(which_file "$1") of the same release; if there is \
none, build the plugin there from source."
	else
		echo "Install the headers of that Dovecot, then:  \
make -C plugin clean all"
	fi
}

may_install() {
	dir=$1
	shift
	others=$(find_others "$dir" | sort -u)
	[ -z "$others" ] || stop \
		"Another xaps plugin is installed. With both nobody could log in \
(\"Multiple files for module\"). Remove it, then install this one:" \
		"$(echo "$others" | sed 's/^/    rm /')"
	own=$(stock "$dir")
	[ -n "$own" ] || return 0
	here=$(abi "$own")
	built=$(abi "$1")
	[ -z "$here" ] || [ -z "$built" ] || [ "$here" = "$built" ] || stop \
		"These modules were built for Dovecot's ABI $built, and the \
Dovecot in $dir has $here: nobody could log in." "$(right_ones "$dir")"
	here=$(machine "$own")
	built=$(machine "$1")
	[ -z "$here" ] || [ -z "$built" ] || [ "$here" = "$built" ] || stop \
		"These modules were built for $built, and the Dovecot in $dir is \
for $here: nobody could log in." "$(right_ones "$dir")"
}

# The main file of Dovecot's configuration, by the head of `doveconf -n`:
# "# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf"
main_file() {
	main=$(doveconf -n 2>/dev/null | sed -n '1s/^#.*: //p') || :
	echo "${main:-/etc/dovecot/dovecot.conf}"
}

# With a mistake anywhere doveconf shows nothing, and Dovecot runs on.
all_lines() {
	find "$(dirname "$(main_file)")" -name '*.conf' \
		-exec grep -hv '^[[:space:]]*#' {} + 2>/dev/null || :
}

is_named() {
	config=$(doveconf -n 2>/dev/null) || config=$(all_lines)
	echo "$config" | grep -v xaps_config | grep -Eq "$names"
}

may_uninstall() {
	is_named || return 0
	dir=$(dirname "$(main_file)")
	stop "Dovecot's configuration names the plugin: without it nobody could \
log in. Nothing was removed. Take these lines out (doveconf -n shows more), then \
doveadm reload, and uninstall again:" \
		"$(find "$dir" -name '*.conf' -exec grep -EHn "$names" {} + \
			2>/dev/null | sed -n '/:[[:space:]]*#/d; s/^/    /p')" \
		"The sample that was copied:  rm $dir/conf.d/90-xaps.conf \
&& doveadm reload"
}

is_running() {
	base=$(doveconf -h base_dir 2>/dev/null) || base=$(all_lines |
		sed -n 's/^[[:space:]]*base_dir[[:space:]]*=[[:space:]]*//p' | tail -n 1)
	[ -n "$base" ] || base=/run/dovecot
	pid=$(cat "$base/master.pid" 2>/dev/null) &&
		{ [ -e "/proc/$pid" ] || kill -0 "$pid" 2>/dev/null; }
}

reload() {
	is_running || return 0
	! doveconf -n >/dev/null 2>&1 || ! doveadm reload >/dev/null 2>&1 ||
		return 0
	stop "Dovecot runs and cannot read its configuration again, and goes on \
with the plugin: without it nobody could log in. Nothing was removed. Mend what \
\"doveconf -n\" and \"doveadm reload\" say, and uninstall again."
}

case ${0##*/}:${1-} in
guard.sh:install) shift; may_install "$@" ;;
guard.sh:uninstall) may_uninstall ;;
guard.sh:reload) reload ;;
guard.sh:remove) may_uninstall && reload ;;
guard.sh:which) which_file "$2" ;;
esac
