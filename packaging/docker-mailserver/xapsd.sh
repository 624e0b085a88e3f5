#!/bin/sh
# xapsd inside docker-mailserver (16 or later: Debian 13, Dovecot 2.4).
#
# On the host, beside postfix-accounts.cf (docker-data/dms/config/):
#   user-patches.sh	one line more:  sh /tmp/docker-mailserver/xapsd/xapsd.sh
#   xapsd/xapsd.sh	this file
#   xapsd/xapsd		the static file for this machine
#   xapsd/install-plugin.sh and xapsd/dovecot-xaps-plugin-*.tar.gz
#   xapsd/xapsd.yaml	with Apple's key or certificate beside it
# Then make a new container: docker compose up -d --force-recreate
# Keep all the tarballs there: a new image may bring another Dovecot.
#
# Registrations are in the volume of /var/mail-state, as the state of all else.
# Nothing here may keep mail from working: what fails is reported, no more.
set -u

here=/tmp/docker-mailserver/xapsd
state=/var/lib/xapsd

say() {
	echo "xapsd: $*"
}

# Settings and secrets are given to user xapsd at each start: who edits them on the
# host is somebody else.  What root runs is not his.
own() {
	for f in "$here"/*; do
		case $f in
		*/xapsd | *.sh | *.tar.gz | */SHA256SUMS) continue ;;
		esac
		chown -R xapsd:xapsd "$f" 2>/dev/null &&
			chmod -R u+rwX,go= "$f" && continue
		say "$f cannot be given to user xapsd, who must be able to read it"
	done
	chown xapsd:xapsd "$state/."
	# not what he has linked to
	find "$state/." -type f -links 1 ! -user xapsd \
		-exec chown -h xapsd:xapsd {} +
}

# What supervisor runs.
if [ "${1-}" = run ]; then
	own
	exec "$here/xapsd" --user xapsd --syslog
fi

[ -x "$here/xapsd" ] || chmod 755 "$here/xapsd"
chmod 755 "$here"
if ! version=$("$here/xapsd" --version | head -n 1); then
	say "$here/xapsd does not run: is it for this machine, $(uname -m)?"
	exit 1
fi

# The same number in each container; files in volumes go by numbers.
getent group xapsd-mail >/dev/null || groupadd --system xapsd-mail
id xapsd >/dev/null 2>&1 || useradd --system --uid 11619 --user-group \
	--groups xapsd-mail --home-dir / --shell /usr/sbin/nologin xapsd
ln -sfn "$here" /etc/xapsd
ln -sfn "$here/xapsd" /usr/local/sbin/xapsd

if [ ! -L "$state" ] && [ -d /var/mail-state ]; then
	mkdir -p /var/mail-state/lib-xapsd
	[ ! -d "$state" ] || cp -a "$state/." /var/mail-state/lib-xapsd/
	rm -rf "$state"
	ln -s /var/mail-state/lib-xapsd "$state"
elif [ ! -d "$state" ]; then
	say "/var/mail-state is no volume: phones will be forgotten with this" \
		"container"
	mkdir -p "$state"
fi
chmod 700 "$state/."
own

cat >/etc/supervisor/conf.d/xapsd.conf <<END
[program:xapsd]
command=/bin/sh $here/xapsd.sh run
autostart=true
autorestart=true
stopwaitsecs=10
stdout_logfile=/var/log/supervisor/%(program_name)s.log
stderr_logfile=/var/log/supervisor/%(program_name)s.log
END
# update: starts it, and again if it has changed
supervisorctl reread >/dev/null
supervisorctl update xapsd >/dev/null || say "supervisor did not start it"

if sh "$here/install-plugin.sh" "$here"; then
	say "$version is set up"
else
	say "Dovecot has no plugin, so phones cannot register"
	exit 1
fi
