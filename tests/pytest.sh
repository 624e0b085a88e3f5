#!/bin/sh
# Runs pytest: pytest.sh CACHE ARGUMENT ...  ends with a line of counts
#   N passed, N failed
# A test that fails has failed.  Only with RETRY=1 do up to five of them get a
# second try, alone, and the line before the last says how many needed it.
# CACHE is a folder for what failed; PYTHON as the Makefile says.
set -u

cache=$1
shift
passed=0
out=$(mktemp)
trap 'rm -f "$out" "$out.rc"' EXIT
trap 'exit 130' INT TERM HUP
rm -rf "$cache"

# Before the word $1 in pytest's line of counts; a process that ends late may still
# have written something after it.
number() {
	grep -E '^=* ?[0-9]+ [a-z].* in [0-9.]+s' "$out" | tail -n 1 |
		sed -n "s/^\(.*[^0-9]\)\{0,1\}\([0-9]\{1,\}\) $1.*/\2/p"
}

# Dots as they come: -u, as this may be a pipe.
run() {
	{ "$PYTHON" -u -m pytest -o cache_dir="$cache" -q --timeout 120 "$@" \
		2>&1; echo $? >"$out.rc"; } | tee "$out"
	rc=$(cat "$out.rc" 2>/dev/null || echo 1)
	p=$(number passed)
	f=$(number failed)
	e=$(number error)
	passed=$((passed + ${p:-0}))
	failed=$((${f:-0} + ${e:-0}))
	[ "$rc" -eq 0 ] || [ $failed -gt 0 ] || failed=1
}

run "$@"
if [ -n "${RETRY-}" ] && [ $failed -gt 0 ] && [ $failed -le 5 ]; then
	first=$failed
	run "$@" -n 0 --lf --lfnf=none
	echo "$((first - failed)) at second try"
fi
[ $passed -gt 0 ] || [ $failed -gt 0 ] || failed=1	# ran nothing
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
