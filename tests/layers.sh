#!/bin/sh
# Holds the sources to their layout: X.c, X.h and the folder X/ are module X.
# A module includes lower ones only, nobody but X includes X/..., mbedTLS stays
# in tls, every header compiles alone, and inside a module, too, calls go one way.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0

# Lowest first.
modules='clock log features mem disk buf text url users json loop conf tls h2 io cred store http send
	apns webpush fcm hook commit push shared api cli daemon ctl xapsd'

place() {
	n=0
	for m in $modules; do
		n=$((n + 1))
		[ "$m" = "$1" ] && { echo $n; return; }
	done
	echo "tests/layers.sh: $1 is no module" >&2
	echo 0
}

module() {
	m=${1%%/*}
	m=${m#no-}	# its stub, in a build without it
	echo "${m%.[ch]}"
}

for f in $(git ls-files -co --exclude-standard '*.c' '*.h' |
	grep -v -e ^plugin/ -e ^tests/ -e ^static/); do
	me=$(module "$f")
	mine=$(place "$me")
	[ "$mine" = 0 ] && bad=1
	# shellcheck disable=SC2013	# names of headers, no blanks
	for inc in $(sed -n 's/^#include "\(.*\.[ch]\)"$/\1/p' "$f"); do
		it=$(module "$inc")
		[ "$it" = "$me" ] && continue
		case $inc in
		*/*)
			echo "$f: includes $inc, which belongs to $it alone"
			bad=1 ;;
		esac
		if [ "$(place "$it")" -ge "$mine" ]; then
			echo "$f: includes $inc, which is not below it"
			bad=1
		fi
	done
	case $f in
	tls.c | tls/*) ;;
	*) if grep -n '#include *[<"]mbedtls/' "$f" /dev/null; then
		echo "$f: only tls may include mbedTLS"
		bad=1
	fi ;;
	esac
	case $f in
	log.c) ;;
	*) if grep -n -e '[^_]strerror(' -e '"%m' "$f" /dev/null; then
		echo "$f: err_words() has the same words with every libc"
		bad=1
	fi ;;
	esac
	case $f in
	*.h) ${CC:-cc} -std=c11 -D_GNU_SOURCE -iquote . -fsyntax-only -Wall \
		-Werror -x c "$f" || bad=1 ;;
	esac
done

# --- inside a module ---

# The functions that a file defines for others: a name at the left margin that
# is not static, with a body.
defined() {
	awk '/^[a-z]/ && !/^static/ && match($0, /[a-z_0-9]+\(/) {
			name = substr($0, RSTART, RLENGTH - 1); open = 1 }
		open && /;[ \t]*$/ { open = 0 }
		open && /^{/ { print name; open = 0 }' "$1"
}

# A stranger finds a function by its name: it begins with the module or the file;
# reg_ is the store's, some of mem and log are short because everybody calls them.
for f in $(git ls-files -co --exclude-standard '*.c' |
	grep -v -e ^plugin/ -e ^tests/ -e ^static/); do
	file=${f##*/}
	file=${file#no-}	# what takes its place in a build without it
	for name in $(defined "$f"); do
		case $f:$name in
		*:"$(module "$f")"_* | *:"${file%.c}"* | store/*:reg_* | \
			mem.c:x* | log.c:err_* | xapsd.c:main | \
			tls/*:mbedtls_psa_external_*) ;;
		*)
			echo "$f: $name() begins neither with the module nor the file"
			bad=1 ;;
		esac
	done
done

# Calls between the files of a module go one way: tsort finds those that do not.
for m in $modules; do
	[ -d "$m" ] || continue
	calls=$(
		for f in "$m.c" "$m"/*.c; do
			case $f in */no-*) continue ;; esac
			for name in $(defined "$f"); do
				grep -lw "$name" "$m.c" "$m"/*.c |
					grep -vx -e "$f" -e '.*/no-.*'  | sed "s|\$| $f|"
			done
		done | sort -u
	)
	if ! echo "$calls" | tsort >/dev/null 2>&1; then
		echo "$m: calls between its files go round in a circle:"
		{ echo "$calls" | tsort >/dev/null; } 2>&1
		bad=1
	fi
done
exit $bad
