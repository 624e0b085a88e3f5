#!/bin/sh
# Keeps people able to log in: Dovecot lets nobody in when two files are the same
# module, when a module was built for another Dovecot, and when its configuration
# names one that is gone.
#   guard.sh install MODULEDIR MODULE ...	may these be put there?
#   guard.sh uninstall			may they be removed?
#   guard.sh reload			then: the Dovecot that runs forgets them
#   guard.sh remove			both, for packages
set -eu

# Lines that Dovecot cannot do without our modules.  xaps_config is just text.
names='(^|[^[:alnum:]_/])xaps_[a-z_]+|driver *= *xaps([^a-z]|$)'

stop() {
	printf '%s\n' "$@" >&2
	exit 1
}

# Of its name, less "lib" and number: that is how Dovecot compares them.
find_others() {
	for module in "$@"; do
		name=$(basename "$module")
		for f in "$dir"/*"${name#lib95_}" \
			"$dir"/settings/*"${name#lib95_}"; do
			case $f in
			*/lib95_*) ;;
			*) [ ! -e "$f" ] && [ ! -L "$f" ] || echo "$f" ;;
			esac
		done
	done
}

# "2.3.ABIv19" of the first module that is there.
abi() {
	for f in "$@"; do
		[ ! -e "$f" ] || LC_ALL=C grep -aoE \
			'[0-9]+\.[0-9]+\.ABIv[0-9]+' "$f" | head -n 1
	done | head -n 1
}

case $1 in
install)
	dir=$2
	shift 2
	others=$(find_others "$@" | sort -u)
	[ -z "$others" ] || stop \
		"Another xaps plugin is installed. With both nobody could log in \
(\"Multiple files for module\"). Remove it, then install this one:" \
		"$(echo "$others" | sed 's/^/    rm /')"
	here=$(abi "$dir"/lib20_push_notification_plugin.so "$dir"/lib*.so)
	built=$(abi "$1")
	[ -z "$here" ] || [ -z "$built" ] || [ "$here" = "$built" ] || stop \
		"These modules were built for Dovecot's ABI $built, and the \
Dovecot in $dir has $here: nobody could log in." \
		"Install the headers of that Dovecot, then:  make -C plugin clean \
all"
	;;
uninstall)
	failed=
	config=$(doveconf -n 2>/dev/null) || failed=yes
	# "# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf"
	main=$(echo "$config" | sed -n '1s/^#.*: //p')
	dir=$(dirname "${main:-/etc/dovecot/dovecot.conf}")
	# With a mistake anywhere it shows nothing, and Dovecot runs on.
	[ -z "$failed" ] || config=$(grep -rhv --include='*.conf' \
		'^[[:space:]]*#' "$dir" 2>/dev/null) || :
	echo "$config" | grep -v xaps_config | grep -Eq "$names" || exit 0
	stop "Dovecot's configuration names the plugin: without it nobody could \
log in. Nothing was removed. Take these lines out (doveconf -n shows more), then \
doveadm reload, and uninstall again:" \
		"$(grep -rEHn "$names" "$dir" 2>/dev/null |
			sed -n '/:[ \t]*#/d; s/^/    /p')" \
		"The sample that was copied:  rm $dir/conf.d/90-xaps.conf \
&& doveadm reload"
	;;
reload)
	base=$(doveconf -h base_dir 2>/dev/null) || base=/run/dovecot
	pid=$(cat "$base/master.pid" 2>/dev/null) && [ -e "/proc/$pid" ] || exit 0
	doveconf -n >/dev/null 2>&1 && doveadm reload >/dev/null 2>&1 && exit
	stop "Dovecot runs and cannot read its configuration again, and goes on \
with the plugin: without it nobody could log in. Nothing was removed. Mend what \
\"doveconf -n\" and \"doveadm reload\" say, and uninstall again."
	;;
remove)
	sh "$0" uninstall
	sh "$0" reload
	;;
esac
