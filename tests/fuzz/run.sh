#!/bin/sh
# Runs each fuzzer given for FUZZ_S seconds (60), from tests/fuzz/seeds/<name>
# and what earlier runs found new; finds stay in BUILD/fuzz/finds/.
set -u
cd "$(dirname "$0")/../.." || exit 1

dir=${BUILD:-build/fuzz-obj}/fuzz
bad=0
for f in "$@"; do
	name=$(basename "$f" _fuzz)
	corpus=$dir/corpus/$name
	finds=$dir/finds/$name
	mkdir -p "$corpus" "$finds"
	printf '  %-7s %s\n' FUZZ "$name, ${FUZZ_S:-60} s"
	"$f" -max_total_time="${FUZZ_S:-60}" -timeout=60 -rss_limit_mb=1024 \
		-print_final_stats=1 -artifact_prefix="$finds/" \
		"$corpus" "tests/fuzz/seeds/$name" >"$finds/log" 2>&1
	rc=$?
	grep -E '^stat::(number_of_executed|average_exec)|DONE ' "$finds/log" |
		sed 's/^/          /'
	if [ $rc -ne 0 ]; then
		tail -40 "$finds/log"
		echo "$name: failed; its input is in $finds" >&2
		bad=1
	fi
done
exit $bad
