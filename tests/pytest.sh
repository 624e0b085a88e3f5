#!/bin/sh
# Runs pytest: pytest.sh CACHE ARGUMENT ...  ends with a line of counts
#   N passed, N failed
# Many processes share the machine: up to five tests that failed get one more
# try, alone.  A test that fails again has failed.  CACHE is a folder for what
# failed; PYTHON as the Makefile says.
set -u

cache=$1
shift
passed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
rm -rf "$cache"

number() {	# before the word $1 in pytest's last line
	tail -n 1 "$out" | sed -n "s/^\(.*[^0-9]\)\{0,1\}\([0-9]\{1,\}\) $1.*/\2/p"
}

run() {
	"$PYTHON" -m pytest -o cache_dir="$cache" -q --timeout 120 "$@" \
		>"$out" 2>&1
	rc=$?
	cat "$out"
	p=$(number passed)
	f=$(number failed)
	e=$(number error)
	passed=$((passed + ${p:-0}))
	failed=$((${f:-0} + ${e:-0}))
	[ $rc -eq 0 ] || [ $failed -gt 0 ] || failed=1
}

run "$@"
if [ $failed -gt 0 ] && [ $failed -le 5 ]; then
	echo "== once more, alone: $failed"
	run "$@" -n 0 --lf --lfnf=none
fi
[ $passed -gt 0 ] || [ $failed -gt 0 ] || failed=1	# ran nothing
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
