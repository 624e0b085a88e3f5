#!/bin/sh
# Runs the unit tests given and then the end-to-end tests; ends with one line of
# counts.  BUILD, XAPSD, PLUGIN, PYTHON as the Makefile says.
set -u

passed=0
failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

count() {	# sum of the first number in the lines that match $1
	sed -n "$1" "$out" | awk '{ n += $1 } END { print n + 0 }'
}

for t in "$@"; do
	printf '  %-7s %s\n' RUN "$(basename "$t")"
	"$t" >"$out" 2>&1
	rc=$?
	p=$(count 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p')
	f=$(count 's/^ *\([0-9]*\) FAILED TEST.*/\1/p')
	[ $rc -eq 0 ] || [ "$f" -gt 0 ] || f=1	# crashed
	[ "$p" -gt 0 ] || [ "$f" -gt 0 ] || f=1	# a test that ran nothing
	[ "$f" -eq 0 ] || cat "$out"
	passed=$((passed + p))
	failed=$((failed + f))
done

# Failures of the last pytest run; its passes go to `passed`.
count_pytest() {
	p=$(count 's/.*[^0-9]\([0-9]*\) passed.*/\1/p;s/^\([0-9]*\) passed.*/\1/p')
	f=$(count 's/^\([0-9]*\) failed.*/\1/p;s/.* \([0-9]*\) failed.*/\1/p')
	e=$(count 's/.*[^0-9]\([0-9]*\) error.*/\1/p')
	f=$((f + e))
	[ "$1" -eq 0 ] || [ "$f" -gt 0 ] || f=1
	passed=$((passed + p))
}

if [ "$PYTHON" != : ]; then
	cache=$BUILD/pytest_cache
	rm -rf "$cache"
	"$PYTHON" -m pytest -o cache_dir="$PWD/$cache" -q -n 4 --timeout 120 \
		tests/e2e >"$out" 2>&1
	rc=$?
	cat "$out"
	count_pytest $rc
	# Many processes share the machine above: what failed gets one more try,
	# alone.  A test that fails again has failed.
	if [ "$f" -gt 0 ] && [ "$f" -le 5 ]; then
		echo "== once more, alone: $f"
		"$PYTHON" -m pytest -o cache_dir="$PWD/$cache" -q --lf \
			--lfnf=none --timeout 120 tests/e2e >"$out" 2>&1
		rc=$?
		cat "$out"
		count_pytest $rc
	fi
	failed=$((failed + f))
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
