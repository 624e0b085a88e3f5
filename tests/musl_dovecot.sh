#!/bin/sh
# Builds Debian's Dovecot with musl, as Alpine has one, and uses the modules that are
# made for it: log-in, registration, delivery.  musl_dovecot.sh DIR, as root.  Takes
# ten minutes the first time; DIR keeps the build.
set -eu

[ $# = 1 ] || { echo "usage: musl_dovecot.sh DIR" >&2; exit 64; }
cd "$(dirname "$0")/.."
mkdir -p "$1"
dir=$(cd "$1" && pwd)
prefix=/opt/musl-dovecot
log=$dir/log

fail() {
	tail -n 20 "$log" >&2
	echo "musl_dovecot.sh: $*" >&2
	exit 1
}

# Debian's musl has no crypt(), which no log-in here needs.
stand_ins() {
	mkdir -p "$dir/include" "$dir/lib"
	for name in linux asm-generic; do
		ln -sfn "/usr/include/$name" "$dir/include/$name"
	done
	ln -sfn "/usr/include/$(gcc -dumpmachine)/asm" "$dir/include/asm"
	printf '#!/bin/sh\nexec musl-gcc "$@" -idirafter %s/include\n' "$dir" \
		>"$dir/cc"
	chmod 755 "$dir/cc"
	echo 'char *crypt(const char *a, const char *b) { return a && b ? 0 : 0; }' |
		musl-gcc -fPIC -x c -c -o "$dir/lib/crypt.o" -
	ar rcs "$dir/lib/libcrypt.a" "$dir/lib/crypt.o"
}

build() {
	sh static/source.sh dovecot '' "$dir/source" bookworm
	stand_ins
	cd "$dir/source"
	[ -e config.status ] || ./configure CC="$dir/cc" LDFLAGS="-L$dir/lib" \
		--prefix=$prefix --disable-static --with-pam=no --without-ssl \
		--without-zlib --without-bzlib --without-lzma --without-lz4 \
		--without-zstd --without-icu --without-libcap --without-lua \
		--without-sodium --without-systemd --without-gssapi \
		--without-docs
	# the manual pages' folder fails without their converter
	make -k -j"$(nproc)" || :
	make -k install DESTDIR="$dir/root" || :
	[ -x "$dir/root$prefix/libexec/dovecot/imap" ]
}

if ! [ -e "$dir/built" ]; then
	echo "Building a Dovecot with musl, which takes ten minutes"
	(build) >"$log" 2>&1 || fail "it does not build"
	touch "$dir/built"
fi
MACHINES=amd64-musl SUITES=bookworm sh plugin/tarballs.sh "$dir/dist"
MACHINES=amd64 SUITES=bookworm sh plugin/tarballs.sh "$dir/dist"
DIR=$dir PREFIX=$prefix unshare --mount --net --pid --fork --kill-child \
	--mount-proc "${PYTHON:-/usr/bin/python3}" tests/musl_dovecot.py
