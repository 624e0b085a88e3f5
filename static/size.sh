#!/bin/sh
# Size by object file of an executable that static.mk built without LTO:
#   size.sh build/static/size-ARCH/xapsd
set -eu

parts=$(mktemp)
trap 'rm -f "$parts"' EXIT
awk -f "$(dirname "$0")/size.awk" "$1.map" | sort -rn >"$parts"

echo '   bytes  object file'
cat "$parts"
echo
echo '   bytes  in total'
awk '{ n[$2] += $1 } END { for (i in n) printf "%8d  %s\n", n[i], i }' \
	"$parts" | sort -rn

cost() {	# NAME, pattern of its objects
	awk -v name="$1" -v part="$2" '$2 " " $3 ~ "^(" part ")$" { n += $1 }
		END { printf "%8d  %s\n", n, name }' "$parts"
}
echo
echo '   bytes  of what is always there'
cost 'TLS 1.2' 'mbedtls ssl_tls12_.*'
cost 'built-in roots' 'xapsd tls/roots'
cost 'status, metrics' 'xapsd api/status'
cost 'subcommands' 'xapsd (ctl.*|api/admin)'
cost 'messages about TLS' 'xapsd tls/verify'
