#!/bin/sh
# Every include of ours points downward (or to the file's own header), mbedTLS
# stays behind tls.h, and every header compiles alone.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0

layer() {
	case $1 in
	log | buf) echo 0 ;;
	json | hashes | line | systemd | hpack* | loop | tls* | roots | resolve | conf) echo 1 ;;
	h2* | io* | store* | cred | watch | backoff) echo 2 ;;
	http* | apns) echo 3 ;;
	push*) echo 4 ;;
	api*) echo 5 ;;
	xapsd | daemon | listen | cli | ctl* | renew | check | pass) echo 6 ;;
	*) echo "tests/layers.sh: $1 has no layer" >&2; echo 99 ;;
	esac
}

# Modules of one layer that are one module in several files.
module() {
	case $1 in
	tls*) echo tls ;;
	hpack*) echo hpack ;;
	store*) echo store ;;
	http*) echo http ;;
	h2*) echo h2 ;;
	io*) echo io ;;
	push*) echo push ;;
	api*) echo api ;;
	xapsd | daemon | listen | cli | ctl* | renew | check | pass) echo xapsd ;;
	*) echo "$1" ;;
	esac
}

for f in *.c *.h; do
	me=${f%.*}
	mine=$(layer "$me")
	[ "$mine" = 99 ] && bad=1
	# shellcheck disable=SC2013	# names of headers, no blanks
	for inc in $(sed -n 's/^#include "\(.*\)\.h"$/\1/p' "$f"); do
		[ "$(module "$inc")" = "$(module "$me")" ] && continue
		# The two that stand on a neighbour of their own layer.
		[ "$me:$inc" = resolve:loop ] && continue
		[ "$me:$inc" = buf:log ] && continue
		if [ "$(layer "$inc")" -ge "$mine" ]; then
			echo "$f: includes $inc.h, which is not in a lower layer"
			bad=1
		fi
	done
	case $f in
	tls*) ;;
	*) if grep -n '#include *[<"]mbedtls/' "$f" /dev/null; then
		echo "$f: only tls*.c may include mbedTLS"
		bad=1
	fi ;;
	esac
done

for h in *.h; do
	${CC:-cc} -std=c11 -D_GNU_SOURCE -fsyntax-only -Wall -Werror -x c "$h" ||
		bad=1
done
exit $bad
