#!/bin/sh
# For the CI of OpenWrt's packages feed, after the package was installed:
#   test.sh PACKAGE VERSION
[ "$1" = xapsd ] || exit 0

fail() {
	echo "FAIL: $1"
	exit 1
}

xapsd --version | grep -F "xapsd $2" || fail "xapsd --version is not $2"
for file in /etc/config/xapsd /etc/init.d/xapsd /etc/capabilities/xapsd.json; do
	[ -f "$file" ] || fail "$file is not there"
done

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf '%s\n' "databaseFile: $dir/db" "socketPath: $dir/s" 'port: 0' >"$dir/conf"
xapsd -c "$dir/conf" check --offline || fail "xapsd check --offline"

# It runs and answers, without a credential yet.
xapsd -c "$dir/conf" &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$dir"' EXIT
tries=0
until xapsd -c "$dir/conf" status; do
	tries=$((tries + 1))
	[ $tries -lt 60 ] || fail "the daemon does not answer"
	kill -0 $pid || fail "the daemon has ended"
	sleep 1
done
kill $pid
wait $pid || fail "the daemon does not stop as it should"
