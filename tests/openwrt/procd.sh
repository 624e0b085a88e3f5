#!/bin/sh
# Runs an init script as OpenWrt's /etc/rc.common does, with stand-ins for the
# shell functions of uci and procd that judge as the real ones do:
#   procd.sh INIT UCI ACTION
# UCI is a file of shell lines "config TYPE NAME", "option NAME VALUE", "list
# NAME VALUE".  RUNNING=1: an instance runs.  What is asked of procd goes to
# descriptor 3: a call a record, its words each ended by a NUL, the record by one
# more; "set" is where procd is told.
# local: dash and ash know it; the functions are called by the script
# shellcheck disable=SC1090,SC3043,SC2317

say() {
	printf '%s\0' "$@" >&3
	printf '\0' >&3
}

# --- uci ---

sections=
section=
config() {
	section=$2
	sections="$sections $2"
	eval "uci_$2_TYPE=\$1"
	config_cb "$1" "$2"
}
option() {
	[ -n "$2" ] || return 0	# UCI keeps no empty ones
	eval "uci_${section}_$1=\$2"
	option_cb "$1" "$2"
}
list() {
	eval "uci_${section}_$1=\${uci_${section}_$1:+\$uci_${section}_$1 }\$2"
	list_cb "$1" "$2"
}
reset_cb() {
	config_cb() { return 0; }
	option_cb() { return 0; }
	list_cb() { return 0; }
}
reset_cb
config_load() {
	sections=
	sh -n "$uci" 2>/dev/null || return 1
	. "$uci"
	[ -z "$section" ] || config_cb
}
config_get() {	# VARIABLE SECTION OPTION [DEFAULT]
	eval "$1=\${uci_$2_$3:-\${4:-}}"
}
config_foreach() {	# FUNCTION [TYPE]
	local s type
	for s in $sections; do
		config_get type "$s" TYPE
		[ "$type" != "${2:-$type}" ] || "$1" "$s"
	done
}

# As strtoul(3): -1 is a very large number, and then an int.
is_number() {	# VALUE MIN MAX
	local v="$1"
	v=${v#"${v%%[! ]*}"}
	v=${v#[-+]}
	case $v in '' | *[!0-9]*) return 1 ;; esac
	[ "${1#*-}" != "$1" ] && [ "$2" = 0 ] && return 0
	[ "$1" -ge "$2" ] && [ "$1" -le "$3" ]
}
# Prints the value as the real one does.
validate() {	# TYPE VALUE
	case $1 in
	string) printf %s "$2" ;;
	bool)
		case $2 in
		0 | off | false | no | disabled) printf 0 ;;
		1 | on | true | yes | enabled) printf 1 ;;
		*)	# upper case passes, and is nothing
			case $(printf %s "$2" | tr '[:upper:]' '[:lower:]') in
			0 | off | false | no | disabled) ;;
			1 | on | true | yes | enabled) ;;
			*) return 1 ;;
			esac ;;
		esac ;;
	port) is_number "$2" 0 65535 && printf %s "$2" ;;
	"range(1,65535)") is_number "$2" 1 65535 && printf %s "$2" ;;
	*) say unknown_type "$1"; return 1 ;;
	esac
}
# That there is such a section is not looked at.
uci_validate_section() {	# PACKAGE TYPE SECTION OPTION:TYPE[:DEFAULT] ...
	local uci_section="$3" rule name kind value bad=0
	shift 3
	for rule; do
		name=${rule%%:*}
		kind=${rule#*:}
		case $kind in
		*:*) value=${kind#*:} kind=${kind%%:*} ;;
		*) value= ;;
		esac
		config_get value "$uci_section" "$name" "$value"
		if [ -n "$value" ] && ! value=$(validate "$kind" "$value"); then
			bad=255
			value=
			echo "$uci_section.$name validates as $kind with false" >&2
		fi
		eval "$name=\$value"
	done
	return "$bad"
}

# --- procd ---

procd_open_instance() { say instance "$@"; }
procd_close_instance() { say end; }
procd_set_param() { say "$@"; }
procd_add_jail() { say jail "$@"; }
# shellcheck disable=SC2048,SC2086	# the real ones part at spaces
procd_add_jail_mount() { say mount_ro $*; }
# shellcheck disable=SC2048,SC2086
procd_add_jail_mount_rw() { say mount_rw $*; }
procd_add_reload_trigger() { say reload_trigger "$@"; }
procd_add_raw_trigger() { say raw_trigger "$@"; }
procd_add_validation() { say validation "$@"; }
procd_running() { [ "${RUNNING:-}" = 1 ]; }

# A service without an instance is stopped.
start() {
	local rc=0
	start_service || rc=$?
	service_triggers
	say set
	return $rc
}
reload() { reload_service; }

# --- the machine: there need not be a user xapsd, nor a log ---

chown() {
	local last
	for last; do :; done
	case $last in
	. | ./*) say chown "$@" "$(pwd -P)" ;;
	*) say chown "$@" ;;
	esac
}
logger() { say logger "$@"; }

init=$1 uci=$2
. "$init"
[ "$USE_PROCD" = 1 ] || exit 9
"$3"
