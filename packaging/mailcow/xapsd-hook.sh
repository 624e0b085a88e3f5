#!/bin/sh
# Puts the plugin into mailcow's Dovecot, which is Alpine's (2.3, musl).
# mailcow calls it at each start of the container, from data/hooks/dovecot/, just
# before Dovecot; it must be executable.  In data/conf/dovecot/xapsd/ are
# install-plugin.sh and dovecot-xaps-plugin-*-musl.tar.gz.  (Not among the hooks:
# a hook that fails keeps the container from starting, and a folder there is one.)
#
# Only when the modules are in and Dovecot still takes its configuration are they
# switched on.  A new image begins without them, so nothing is left to be undone.
set -u

etc=/etc/dovecot
here=$etc/xapsd

say() {
	echo "xapsd: $*"
}

# The entrypoint has just written these files anew.
switch() {	# FILE NAMES ...
	file=$1
	shift
	for name; do
		grep -qw "$name" "$file" || printf ' %s' "$name" >>"$file"
	done
}

sh "$here/install-plugin.sh" --no-config "$here" || {
	say "Dovecot goes on without the plugin: phones are not woken"
	exit 0
}
for f in "$etc/mail_plugins_imap" "$etc/mail_plugins_lmtp"; do
	cp -p "$f" "$f.without-xaps"
done
[ -e "$etc/extra.conf" ] || : >"$etc/extra.conf"
cp -p "$etc/extra.conf" "$etc/extra.conf.without-xaps"
switch "$etc/mail_plugins_imap" notify push_notification \
	xaps_push_notification xaps_imap
switch "$etc/mail_plugins_lmtp" notify push_notification \
	xaps_push_notification
grep -q '^[^#]*push_notification_driver' "$etc/extra.conf" ||
	printf 'plugin {\n  push_notification_driver = xaps\n}\n' \
		>>"$etc/extra.conf"
if doveconf -n >/dev/null; then
	say "the plugin is switched on"
else
	for f in "$etc/mail_plugins_imap" "$etc/mail_plugins_lmtp" \
		"$etc/extra.conf"; do
		cat "$f.without-xaps" >"$f"
	done
	say "Dovecot does not take the plugin's settings: switched off again"
fi
rm -f "$etc"/*.without-xaps
exit 0
