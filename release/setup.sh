#!/bin/sh
# What install.sh calls when all is fetched and compared:
#   setup.sh install WORK PROGRAM	both are in WORK, which is removed
#   setup.sh uninstall
# What was put where is listed in PREFIX/share/xapsd/installed.
# shellcheck disable=SC2086,SC2046,SC2013,SC2015	# lists of names; die ends
set -eu
umask 022
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin	# plain su does not bring them

PREFIX=/usr/local
[ ! -e /etc/openwrt_release ] || PREFIX=/usr	# nothing looks into /usr/local there
LIST=$PREFIX/share/xapsd/installed
FIRST=$LIST.first	# there until what was installed is switched on, too

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# --- what this machine is ---

# The one that runs; in an image that is being made, the one that will.
init() {
	if [ -d /run/systemd/system ]; then echo systemd
	elif [ -e /etc/rc.common ] && [ -e /sbin/procd ]; then echo procd
	elif [ -e /run/openrc ]; then echo openrc
	elif has systemctl; then echo systemd
	elif has rc-update; then echo openrc
	elif [ -d /etc/init.d ]; then echo sysv
	else echo none; fi
}

# Does the init run, so that something can be started?
is_up() {
	case $init in
	systemd) [ -d /run/systemd/system ] ;;
	openrc) [ -e /run/openrc ] ;;
	procd) [ "$(cat /proc/1/comm)" = procd ] ;;
	sysv) [ "$(cat /proc/1/comm)" = init ] ;;
	*) return 1 ;;
	esac
}

# Two of them would fight for one socket and one database.
refuse_others() {
	remove=
	# One whose other packagers are only tools is Debian's.
	if has dpkg-query; then
		! dpkg-query -W -f '${db:Status-Status}\n' xapsd 2>/dev/null |
			grep -vqx -e not-installed -e config-files ||
			remove='apt remove xapsd'
	elif has rpm && rpm -q xapsd; then remove='rpm -e xapsd'
	elif has apk && apk info -e xapsd; then remove='apk del xapsd'
	elif has pacman && pacman -Q xapsd; then remove='pacman -R xapsd'
	elif has opkg && opkg status xapsd | grep ' installed$'; then
		remove='opkg remove xapsd'
	fi >/dev/null 2>&1
	[ -z "$remove" ] || die "xapsd is installed as a package. Upgrade that, or" \
		"\"$remove\" first: configuration and registrations stay. Nothing" \
		"was changed."
	for f in /etc/systemd/system/xapsd.service /lib/systemd/system/xapsd.service \
			/usr/lib/systemd/system/xapsd.service /etc/init.d/xapsd; do
		[ ! -f "$f" ] || grep -qsFx "$f" "$LIST" ||
			grep -q "$PREFIX/sbin/xapsd" "$f" || die "$f starts" \
			"another xapsd: switch it off and remove that file first." \
			"Nothing was changed."
	done
}

# --- placing: first all beside the old files, then each in one step ---

# FILE DESTINATION MODE
place() {
	d=${2%/*}
	while [ ! -d "$d" ]; do new_dirs="$d/ $new_dirs" d=${d%/*}; done
	new_files="$new_files $2"
	mkdir -p "${2%/*}" && cp "$1" "$2.new" && chmod "$3" "$2.new" ||
		die "cannot write ${2%/*} (full, or read-only?). Nothing was changed."
}

undo() {
	for f in $new_files; do rm -f "$f.new"; done
	for d in $(printf '%s\n' $new_dirs | sort -r); do
		rmdir "$d" 2>/dev/null || true
	done
	rm -rf "$work"
}

place_all() {
	place "$work/$program" "$PREFIX/sbin/xapsd" 755
	said=$("$PREFIX/sbin/xapsd.new" --version 2>&1) || die "$program does not run" \
		"here ($(uname -m)), or $PREFIX is mounted noexec: $said." \
		"Nothing was changed."
	for f in install.sh setup.sh; do
		place "$work/usr/local/share/xapsd/$f" "$PREFIX/share/xapsd/$f" 755
	done
	case $init in
	procd)
		place "$work/init/xapsd.init" /etc/init.d/xapsd 755
		place "$work/init/xapsd.json" /etc/capabilities/xapsd.json 644
		return ;;
	openrc | sysv)
		sed "s|/usr/sbin/|$PREFIX/sbin/|" "$work/init/xapsd.$init" \
			>"$work/starter"
		place "$work/starter" /etc/init.d/xapsd 755 ;;
	esac
	for f in $(cd "$work/usr/local" && find . -type f | sed 's|^\./||'); do
		case $init:$f in
		*:share/xapsd/*) ;;
		systemd:* | *:share/*) place "$work/usr/local/$f" "$PREFIX/$f" 644 ;;
		esac
	done
}

commit() {
	old=$(cat "$LIST" 2>/dev/null) || old=
	# Should the power fail in between, --uninstall knows them all, and the next
	# run goes on.
	[ $when = again ] || : >"$FIRST"
	printf '%s\n' "$LIST" $new_files $new_dirs $old | sort -u >"$LIST.new" &&
		mv "$LIST.new" "$LIST" || { rm -f "$FIRST"; die "cannot write" \
		"$LIST (full?). Nothing else was changed."; }
	for f in $new_files; do mv "$f.new" "$f"; done
	for f in $old; do
		case " $LIST $new_files " in
		*" $f "*) ;;
		*) case $f in */) rmdir "$f" 2>/dev/null || true ;; *) rm -f "$f" ;; esac ;;
		esac
	done
	for f in $(cat "$LIST"); do [ ! -e "$f" ] || say "$f"; done >"$LIST.new"
	mv "$LIST.new" "$LIST"
	! has restorecon || restorecon $new_files || true
}

# --- user, groups, configuration ---

group() { grep -q "^$1:" /etc/group; }
user() { grep -q "^xapsd:" /etc/passwd || id xapsd >/dev/null 2>&1; }
is_member() { id -Gn xapsd | grep -qw xapsd-mail; }

# Where nothing but an editor does it: routers, NAS.  The numbers are those of
# OpenWrt's package, if nobody has them.
write_user() {
	n=7623
	while grep -qs -e ":$n:" -e ":$((n + 1)):" /etc/passwd /etc/group; do
		n=$((n + 2))
	done
	group xapsd || echo "xapsd:x:$n:" >>/etc/group
	group xapsd-mail || echo "xapsd-mail:x:$((n + 1)):" >>/etc/group
	gid=$(sed -n 's/^xapsd:[^:]*:\([0-9]*\):.*/\1/p' /etc/group)
	user || echo "xapsd:x:$n:$gid:xapsd:/var/lib/xapsd:/bin/false" >>/etc/passwd
	[ ! -e /etc/shadow ] || grep -q '^xapsd:' /etc/shadow ||
		echo 'xapsd:*:0:0:99999:7:::' >>/etc/shadow
	is_member || sed -i '/^xapsd-mail:/{s/$/,xapsd/;s/:,/:/;}' /etc/group
}

add_user() {
	! user || ! is_member || return 0
	if has systemd-sysusers; then
		systemd-sysusers "$work/usr/local/lib/sysusers.d/xapsd.conf"
	elif has useradd && has groupadd && has usermod; then
		group xapsd-mail || groupadd --system xapsd-mail
		group xapsd || groupadd --system xapsd
		user || useradd --system -g xapsd -M -d /var/lib/xapsd \
			-s /sbin/nologin xapsd
		usermod -a -G xapsd-mail xapsd
	else
		write_user
	fi >/dev/null && is_member || die "cannot make the user xapsd and its" \
		"groups xapsd and xapsd-mail: make them by hand. Nothing else was" \
		"changed."
}

# MODE OWNER FOLDER
folder() {
	[ -d "$3" ] || { mkdir -p "$3.new" && chown "$2" "$3.new" &&
		chmod "$1" "$3.new" && mv "$3.new" "$3"; }
}

# FILE DESTINATION OWNER MODE; not where somebody else could lay us a link
sample() {
	[ ! -e "$2" ] && [ ! -L "$2" ] && [ -O "${2%/*}" ] || return 0
	(umask 077 && cp "$1" "$2.new") && chown "$3" "$2.new" &&
		chmod "$4" "$2.new" && mv "$2.new" "$2"
}

# What is there stays as it is.
configure() {
	if [ "$init" = procd ]; then
		sample "$work/init/xapsd.config" /etc/config/xapsd root:root 644 &&
			folder 750 root:xapsd /etc/xapsd
	else
		folder 750 root:xapsd /etc/xapsd &&
			folder 700 xapsd:xapsd /var/lib/xapsd &&
			sample "$work/etc/xapsd/xapsd.yaml" \
				/etc/xapsd/xapsd.yaml xapsd:xapsd 600
	fi || die "cannot write to /etc/xapsd or /var/lib/xapsd (full, or read-only?)." \
		"Nothing else was changed."
}

# --- starting and stopping ---

# What a removed Debian package has left must not keep the unit off.
unmask() {
	for u in xapsd.service xapsd.socket; do
		m=/var/lib/systemd/deb-systemd-helper-masked/$u
		[ ! -e "$m" ] || { rm -f "$m" && systemctl unmask "$u"; }
	done
}

switch_on() {
	out=$(exec 2>&1
	case $init in
	systemd) unmask; systemctl enable xapsd.socket xapsd.service ;;
	openrc) rc-update add xapsd default ;;
	procd) /etc/init.d/xapsd enable ;;
	sysv)
		if has update-rc.d; then update-rc.d xapsd defaults
		elif has chkconfig; then chkconfig --add xapsd
		else echo "no update-rc.d, no chkconfig"; false; fi ;;
	none) echo "no init was found. This starts it:" \
		"$PREFIX/sbin/xapsd --user xapsd --syslog"; false ;;
	esac) || say "Not switched on for this machine's next start: $out"
}

start() {
	is_up || return 0
	case $init:$1 in
	systemd:first)
		systemctl daemon-reload
		systemctl start xapsd.socket xapsd.service ;;
	systemd:again)
		systemctl daemon-reload
		systemctl try-restart xapsd.service ;;
	*:first) /etc/init.d/xapsd start ;;
	openrc:again) rc-service --ifstarted xapsd restart ;;
	*:again) ! /etc/init.d/xapsd status || /etc/init.d/xapsd restart ;;
	esac >/dev/null 2>&1 || say "It was installed, and does not start yet:" \
		"\"xapsd check\" says why."
}

switch_off() {
	case $init in
	systemd)
		if is_up; then systemctl stop xapsd.socket xapsd.service; fi
		systemctl disable xapsd.socket xapsd.service ;;
	openrc)
		if is_up; then rc-service xapsd stop; fi
		rc-update del xapsd default ;;
	procd | sysv)
		if is_up; then /etc/init.d/xapsd stop; fi
		if [ "$init" = procd ]; then /etc/init.d/xapsd disable; fi ;;
	esac >/dev/null 2>&1 || true
}

# A package's units, which those in /usr/local have hidden.
uncover() {
	for f in /lib /usr/lib; do
		[ -n "$was_on" ] && [ -f $f/systemd/system/xapsd.service ] || continue
		systemctl enable $was_on >/dev/null 2>&1 &&
			{ ! is_up || systemctl start $was_on 9<&-; } &&
			say "That of the package takes its place." || true
		return
	done
}

uninstall() {
	[ -e "$LIST" ] || die "nothing here was installed by this script: there is" \
		"no $LIST"
	(: >"$LIST.new") 2>/dev/null && rm -f "$LIST.new" ||
		die "cannot write ${LIST%/*} (read-only?). Nothing was changed."
	was_on=
	for u in xapsd.socket xapsd.service; do
		! systemctl -q is-enabled $u 2>/dev/null || was_on="$was_on $u"
	done
	switch_off
	list=$(sort -r "$LIST")
	for f in $list; do
		case $f in
		"$LIST" | */) ;;
		*) rm -f "$f" || die "cannot remove $f (read-only?)" ;;
		esac
	done
	rm -f "$LIST" "$LIST".*
	for f in $list /run/xapsd/; do
		case $f in */) rmdir "$f" 2>/dev/null || true ;; esac
	done
	case $init in
	sysv) ! has update-rc.d || update-rc.d xapsd remove >/dev/null 2>&1 || true ;;
	systemd)
		! is_up || systemctl daemon-reload
		uncover ;;
	esac
	cat <<-END
	xapsd is removed. Its configuration and registrations stay, in /etc/xapsd and
	/var/lib/xapsd, and so do user and groups. To remove them, too:
	  rm -r /etc/xapsd /var/lib/xapsd
	  userdel xapsd; groupdel xapsd-mail	(or deluser, delgroup)
	END
}

# --- the whole ---

install() {
	refuse_others
	when=again
	[ -e "$LIST" ] && [ ! -e "$FIRST" ] || when=first
	place_all
	add_user
	configure
	trap '' INT TERM HUP
	commit
	[ $when = again ] || switch_on
	start $when 9<&-
	rm -f "$FIRST"
	say "$said" | sed -n '1s/,.*/ is installed./p'
	[ $when = again ] || cat <<-END
	What is next:
	  1. Your certificate or key from Apple, into /etc/xapsd and
	     $([ "$init" = procd ] && echo /etc/config/xapsd ||
		echo /etc/xapsd/xapsd.yaml)
	  2. $PREFIX/sbin/xapsd check
	  3. Dovecot's plugin: install-plugin.sh of the same release
	END
}

main() {
	init=$(init) new_files='' new_dirs='' work=${2-} program=${3-}
	if [ -n "$work" ]; then
		trap undo EXIT	# until commit, all that was written is .new
		trap 'exit 130' INT TERM HUP
	fi
	# Two at once would write one list.  What is started must not inherit it.
	exec 9</
	! has flock || flock -n 9 || die "another install.sh runs here. Nothing was" \
		"changed."
	case $1 in
	install) install ;;
	uninstall) uninstall ;;
	esac
}

main "$@"
