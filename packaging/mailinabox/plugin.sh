#!/bin/sh
# Puts xapsd's plugin into Mail-in-a-Box (Ubuntu 22.04, Dovecot 2.3.16).  As root,
# in the folder of xapsd's sources, after xapsd itself (install.sh of a release):
#   sh packaging/mailinabox/plugin.sh
#
# The modules are built on the box, since no ready-made ones fit its Dovecot.  All
# that is added to the box is its compiler, the modules and one file of Dovecot's,
# conf.d/90-xaps.conf, which Mail-in-a-Box's own setup leaves alone: it need not be
# run again after an upgrade of the box, but after one of Ubuntu.
set -eu
cd "$(dirname "$0")/../.."

snippet=/etc/dovecot/conf.d/90-xaps.conf

fail() {
	echo "plugin.sh: $*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "run this as root: sudo sh packaging/mailinabox/plugin.sh"
[ -e /etc/mailinabox.conf ] || fail "this is no Mail-in-a-Box"
getent group xapsd-mail >/dev/null ||
	fail "there is no group xapsd-mail: install xapsd first (install.sh)"
doveconf -n >/dev/null || fail "mend Dovecot's configuration first"

[ -n "${NO_APT-}" ] || apt-get install -y -q --no-install-recommends \
	gcc libc6-dev make dovecot-dev
make plugin install-plugin

# Groups that the box gives to mail processes in 10-mail.conf stay (spampd), and so
# does all in the file that is there from an earlier time.
groups=$(doveconf -h mail_access_groups | tr ',' ' ')
case " $groups " in
*" xapsd-mail "*) ;;
*) groups="$groups xapsd-mail" ;;
esac
line="mail_access_groups = ${groups# }"
if [ ! -e "$snippet" ]; then
	sed "s/^#mail_access_groups = .*/$line/" plugin/90-xaps-2.3.conf
elif ! grep -q '^mail_access_groups.*xapsd-mail' "$snippet"; then
	sed '/^mail_access_groups/d' "$snippet" && echo "$line"
else
	cat "$snippet"
fi >"$snippet.new"
[ ! -e "$snippet" ] || cp -p "$snippet" "$snippet.before"
chown mail:dovecot "$snippet.new"
chmod 640 "$snippet.new"
mv -f "$snippet.new" "$snippet"
if ! doveconf -n >/dev/null; then
	rm -f "$snippet"
	[ ! -e "$snippet.before" ] || mv "$snippet.before" "$snippet"
	fail "Dovecot does not take $snippet: it is as before"
fi
rm -f "$snippet.before"
doveadm reload 2>/dev/null || echo "Then start Dovecot."
