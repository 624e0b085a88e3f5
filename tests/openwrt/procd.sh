#!/bin/sh
# Runs an init script as OpenWrt's /etc/rc.common does, with stand-ins for the
# shell functions of uci and procd:
#   procd.sh INIT UCI ACTION
# UCI is a file of shell lines "config TYPE NAME", "option NAME VALUE".  What is
# asked of procd goes to descriptor 3: a call a record, its words each ended by
# a NUL, the record by one more.
# local: dash and ash know it; the functions are called by the script
# shellcheck disable=SC1090,SC3043,SC2317

say() {
	printf '%s\0' "$@" >&3
	printf '\0' >&3
}

# --- uci ---

section=
config() {
	section=$2
	eval "type_$2=\$1"
}
option() {
	eval "uci_${section}_$1=\$2"
}
config_load() {
	. "$uci"
}
config_get() {	# VARIABLE SECTION OPTION [DEFAULT]
	eval "$1=\${uci_$2_$3:-\${4:-}}"
}
is_valid() {	# TYPE VALUE
	local max
	case $1 in
	string) return 0 ;;
	bool)
		case $2 in 0 | 1) return 0 ;; esac
		return 1 ;;
	port) max=65535 ;;
	"range(1,65535)") max=65535 ;;
	*) say unknown_type "$1"; return 1 ;;
	esac
	case $2 in '' | *[!0-9]*) return 1 ;; esac
	[ "$2" -le "$max" ]
}
uci_validate_section() {	# PACKAGE TYPE SECTION OPTION:TYPE[:DEFAULT] ...
	local uci_section="$3" rule name kind value bad=0
	eval "[ \"\$type_$3\" = \"\$2\" ]" || return 1
	shift 3
	for rule; do
		name=${rule%%:*}
		kind=${rule#*:}
		case $kind in
		*:*) value=${kind#*:} kind=${kind%%:*} ;;
		*) value= ;;
		esac
		config_get value "$uci_section" "$name" "$value"
		[ -z "$value" ] || is_valid "$kind" "$value" || bad=1
		eval "$name=\$value"
	done
	return "$bad"
}

# --- procd ---

procd_open_instance() { say instance "$@"; }
procd_close_instance() { say end; }
procd_set_param() { say "$@"; }
procd_add_jail() { say jail "$@"; }
procd_add_jail_mount() { say mount_ro "$@"; }
procd_add_jail_mount_rw() { say mount_rw "$@"; }
procd_add_reload_trigger() { say reload_trigger "$@"; }
procd_add_validation() { say validation "$@"; }
start() { start_service; }

# --- the machine: there need not be a user xapsd, nor a log ---

chown() { say chown "$@"; }
logger() { say logger "$@"; }

init=$1 uci=$2
. "$init"
[ "$USE_PROCD" = 1 ] || exit 9
"$3"
rc=$?
service_triggers
exit $rc
