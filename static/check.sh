#!/bin/sh
# Tests static executables that static.mk has built:
#   check.sh ARCH ...
# Those for other machines run under qemu.  PYTHON is that of the Makefile.
set -eu

native=$(uname -m)
qemu() {
	case $1 in
	"$native") ;;
	i386) [ "$native" = x86_64 ] || echo qemu-i386-static ;;
	armv7 | armel) echo qemu-arm-static ;;
	mips | mipsel) echo "qemu-$1-static -cpu 24Kc" ;;
	*) echo "qemu-$1-static" ;;
	esac
}

fail() {
	echo "check-static: $*" >&2
	exit 1
}

for arch in "$@"; do
	out=build/static/$arch
	run=$(qemu "$arch")
	echo "$arch: $(stat -c %s "$out/xapsd") bytes${run:+, under $run}"
	printf '%s\n' "$out"/unit/*_test | xargs -P "$(nproc)" -I{} \
		sh -c "$run {} >{}.log 2>&1 || echo it failed >>{}.log"
	passed=0
	for t in "$out"/unit/*_test; do
		n=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$t.log" |
			awk '{ n += $1 } END { print n + 0 }')
		if [ "$n" -eq 0 ] || grep -q '^it failed$' "$t.log"; then
			cat "$t.log"
			fail "$arch: $t failed"
		fi
		passed=$((passed + n))
	done
	echo "$arch: $passed unit tests passed"
	# The way of a mail, and the executable alone in an empty root.
	STATIC=1 XAPSD=$(pwd)/$out/xapsd XAPSD_WRAP=$run \
		PLUGIN=$(pwd)/build/plugin \
		PYTHON=$PYTHON sh tests/pytest.sh "$(pwd)/$out/pytest_cache" -n 3 \
		tests/e2e/test_static.py tests/e2e/test_journey.py
done
