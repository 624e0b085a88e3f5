#!/bin/sh
# For the CI of OpenWrt's packages feed, after the package was installed:
#   test.sh PACKAGE VERSION
[ "$1" = dovecot-xaps-plugin ] || exit 0

fail() {
	echo "FAIL: $1"
	exit 1
}

for module in imap push_notification; do
	file=/usr/lib/dovecot/lib95_xaps_${module}_plugin.so
	[ -f "$file" ] || fail "$file is not there"
done

# The sample is one that this Dovecot understands.
doveconf -c /usr/share/doc/dovecot/example-config/conf.d/90-xaps.conf -n |
	grep -F xaps_config || fail "doveconf does not take the sample"
