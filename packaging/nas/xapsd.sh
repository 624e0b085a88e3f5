#!/bin/sh
# xapsd on a NAS: Synology (DSM), QNAP (QTS, QuTS hero) and what else has a volume
# and a shell.  All is in this file's folder, on a volume, where no update of the
# NAS's system reaches it, such as /volume1/xapsd or /share/CACHEDEV1_DATA/xapsd:
#   xapsd.sh	this file
#   xapsd	the static file for this machine (uname -m)
#   xapsd.yaml	the settings, with Apple's key or certificate beside it
#   lib, run	its database and its socket; it makes them, and the files pid and log
# As root:
#   sh xapsd.sh install		at each start of the NAS, and now
#   sh xapsd.sh start | stop | restart | reload
#   sh xapsd.sh uninstall	no more; the folder stays
#   sh xapsd.sh check | status | list | ...	xapsd's own commands
# start does nothing while it runs, so it may be scheduled each hour, too.
# An upgrade: put the new xapsd there as xapsd.new, then restart.
set -u

here=$(cd "$(dirname "$0")" && pwd -P) || exit 1
user=11619	# by number, which needs no account
pid=

synology=${SYNOLOGY-/usr/local/etc/rc.d}
qnap=${QNAP-/etc/config/qpkg.conf}

fail() {
	echo "xapsd.sh: $*" >&2
	exit 1
}

# Becomes it.
xapsd() {
	exec "$here/xapsd" -c "$here/xapsd.yaml" --user "$user" \
		--databaseFile "$here/lib/database.json" \
		--socketPath "$here/run/xapsd.sock" "$@"
}

# A number alone may be another process's by now.
is_running() {
	pid=$(cat "$here/pid" 2>/dev/null) && [ -n "$pid" ] || return 1
	case $(readlink "/proc/$pid/exe") in
	"$here/xapsd" | "$here/xapsd (deleted)") ;;
	*) return 1 ;;
	esac
}

# FOLDER or FILE: what is secret is the user's alone, and who may lay a link in a
# folder of secrets is not.
give() {
	find "$1" -type d -exec chown "0:$user" {} \; -exec chmod 750 {} \;
	find "$1" -type f -exec chown -h "$user:$user" {} \; -exec chmod 600 {} \;
}

# What root runs or writes is root's.
prepare() {
	[ "$(id -u)" = 0 ] || fail "run this as root"
	[ ! -e "$here/xapsd.new" ] || mv -f "$here/xapsd.new" "$here/xapsd"
	[ -e "$here/xapsd" ] || fail "there is no $here/xapsd: put the static file \
for $(uname -m) there"
	[ -e "$here/xapsd.yaml" ] || fail "there is no $here/xapsd.yaml"
	chown 0:0 "$here" "$here/xapsd" "$here/xapsd.sh"
	chmod 755 "$here" "$here/xapsd"
	mkdir -p "$here/lib" "$here/run"
	for f in "$here"/*; do
		case ${f##*/} in
		xapsd | xapsd.sh | run | lib | pid | log) ;;
		*) give "$f" ;;
		esac
	done
	chown "$user:$user" "$here/lib" && chmod 700 "$here/lib"
	# what root has brought back; not what the user has linked to
	find "$here/lib" -type f -links 1 ! -user "$user" \
		-exec chown -h "$user:$user" {} \;
	chown "$user:$user" "$here/run" && chmod 755 "$here/run"
	"$here/xapsd" --version >/dev/null || fail "$here/xapsd does not run: is \
it for this machine, $(uname -m)?"
}

start() {
	prepare
	if is_running; then
		echo "xapsd runs, process $pid"
		return
	fi
	(xapsd check --offline) || fail "not started"
	# Its log is the NAS's; what comes while that is away is here.
	xapsd --syslog </dev/null >/dev/null 2>"$here/log" &
	echo $! >"$here/pid"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		! (xapsd status) >/dev/null 2>&1 || break
		sleep 1
	done
	if ! is_running; then
		cat "$here/log" >&2
		fail "it ended at once"
	fi
	echo "xapsd runs, process $pid"
}

# It takes up to 5 s to finish what is under way, and keeps the rest.
stop() {
	is_running || return 0
	kill "$pid"
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		is_running || break
		sleep 1
	done
	! is_running || kill -9 "$pid"
	rm -f "$here/pid"
}

# DSM runs *.sh there, QTS the Shell of each application in its list; both with
# start or stop.
install() {
	start || exit 1
	if [ -d "$synology" ]; then
		printf '#!/bin/sh\nexec sh "%s/xapsd.sh" "$@"\n' "$here" \
			>"$synology/xapsd.sh"
		chmod 755 "$synology/xapsd.sh"
	elif [ -e "$qnap" ]; then
		uninstall
		printf '[xapsd]\nName = xapsd\nEnable = TRUE\nShell = %s/xapsd.sh
Install_Path = %s\nVisible = 0\n' "$here" "$here" >>"$qnap"
		chmod 755 "$here/xapsd.sh"
	else
		echo "At each start of this machine run:  sh $here/xapsd.sh start"
	fi
}

uninstall() {
	rm -f "$synology/xapsd.sh"
	[ -e "$qnap" ] || return 0
	awk '/^\[/ { ours = ($0 == "[xapsd]") } !ours' "$qnap" >"$qnap.new" &&
		cat "$qnap.new" >"$qnap"
	rm -f "$qnap.new"
}

case ${1-} in
start | stop | install) "$1" ;;
restart) stop && start ;;
reload)
	is_running || fail "xapsd does not run"
	prepare
	kill -HUP "$pid"
	;;
uninstall) uninstall && stop ;;
'') fail "start, stop, restart, reload, install, uninstall, or a command of xapsd" ;;
*) xapsd "$@" ;;
esac
