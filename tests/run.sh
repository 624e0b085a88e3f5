#!/bin/sh
# Runs the unit tests given and then the end-to-end tests; ends with one line of
# counts.  BUILD, XAPSD, PLUGIN, PYTHON as the Makefile says.
set -u

passed=0
failed=0
out=$(mktemp)
TMPDIR=$(mktemp -d)	# must be empty in the end
trap 'rm -rf "$out" "$TMPDIR"' EXIT
chmod 755 "$TMPDIR"	# Dovecot's mail users enter it
export TMPDIR

count() {	# sum of the numbers that the sed script $1 prints
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

if [ "$PYTHON" != : ]; then
	sh tests/pytest.sh "$PWD/$BUILD/pytest_cache" -n 4 tests/e2e | tee "$out"
	p=$(count 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p')
	f=$(count 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p')
	[ "$p" -gt 0 ] || [ "$f" -gt 0 ] || f=1	# did not end
	passed=$((passed + p))
	failed=$((failed + f))
fi

rm -rf "$TMPDIR"/pytest-of-*	# the last ones are kept by pytest
left=$(ls -A "$TMPDIR")
if [ -n "$left" ]; then
	echo "left by the tests: $left"
	failed=$((failed + 1))
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
