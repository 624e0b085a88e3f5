#!/bin/sh
# Makes a release twice, of copies of these sources in two folders that have nothing
# in common but what comes from Debian (musl, mbedTLS, Dovecot's headers), and compares:
#   PARTS="files source sbom" KEEP=DIR twice.sh
# by default all; the first of the two becomes DIR, if one is named.
# The second has another umask, language, time zone, home, priority and older
# sources.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
a=$work/one b=$work/two/a.long/way

copy() {
	mkdir -p "$1"
	sh release/list.sh | tar -cf - -T - | tar -C "$1" -xf -
	mkdir -p "$1/build/static"
	cp -R build/static/src "$1/build/static/"
	[ ! -e build/dovecot ] || cp -R build/dovecot "$1/build/"
}

# FOLDER COMMAND...: of make, with PARTS.
build() {
	dir=$1
	shift
	"$@" make -s -C "$dir" release ${PARTS:+RELEASE_PARTS="$PARTS"} \
		DIST="$dir/dist" >"$work/log" 2>&1 || {
		tail -n 20 "$work/log" >&2
		exit 1
	}
}

[ -e build/static/src/musl/.version ] ||
	make -s static >/dev/null	# fetches them
umask 022
copy "$a"
build "$a" env TZ=UTC
umask 077
copy "$b"
find "$b" -exec touch -d '2001-02-03 04:05' {} +
mkdir "$work/home"
build "$b" env TZ=Asia/Kolkata LC_ALL=C.UTF-8 LANG=tr_TR.UTF-8 HOME="$work/home" \
	nice
diff -r "$a/dist" "$b/dist" || {
	echo "check-release: two releases of the same sources differ" >&2
	exit 1
}
# The tarball's own tarball is the same, and so is Git's.
mkdir "$work/three"
tar -C "$work/three" -xzf "$a/dist/xapsd-$(sed -n 's/^VERSION = //p' Makefile).tar.gz"
make -s -C "$work"/three/xapsd-* release-source DIST="$work/three/dist"
make -s release-source DIST="$work/here"
cmp "$a"/dist/xapsd-*[0-9].tar.gz "$work"/three/dist/xapsd-*.tar.gz
cmp "$a"/dist/xapsd-*[0-9].tar.gz "$work"/here/xapsd-*.tar.gz
if [ -n "${KEEP-}" ]; then
	rm -rf "$KEEP"
	cp -R "$a/dist" "$KEEP"
fi
echo "$(find "$a/dist" -type f | wc -l) files, the same to the byte when built" \
	"again elsewhere: $(cd "$a/dist" && echo *)"
