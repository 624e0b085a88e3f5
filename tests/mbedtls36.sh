#!/bin/sh
# Builds static mbedTLS 3.6 libraries from a newer Debian's source:
#   mbedtls36.sh DIR	-> DIR/include, DIR/lib
# The mirror is the one that this system's apt already uses; apt's own state is
# not touched.  Does nothing when DIR is built.
set -eu

[ $# -eq 1 ] || { echo "usage: mbedtls36.sh DIR" >&2; exit 64; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
[ ! -e "$dir/built" ] || exit 0

fail() {
	echo "mbedtls36.sh: $*" >&2
	exit 1
}

# "URI KEYRING" of the first Debian archive that apt knows: the one that has
# main and is not the security one.
mirror() {
	eval "$(apt-config shell etc Dir::Etc/d parts Dir::Etc::sourceparts/d \
		list Dir::Etc::sourcelist/f)"
	# shellcheck disable=SC2154	# set by the eval
	set -- "$parts"/*.sources
	[ -e "$1" ] || set --
	[ $# -eq 0 ] || awk '
		function done() {
			if (types ~ /(^| )deb( |$)/ && suites !~ /security/ &&
			    comps ~ /(^| )main( |$)/ && tolower(on) != "no")
				print uri, key
			types = uri = suites = comps = key = on = ""
		}
		FNR == 1 || /^[ \t]*$/ { done() }
		/^#/ { next }
		{ name = tolower($1); $1 = ""; sub(/^ /, "") }
		name == "types:" { types = $0 }
		name == "uris:" { uri = $1 }
		name == "suites:" { suites = $0 }
		name == "components:" { comps = $0 }
		name == "enabled:" { on = $0 }
		name == "signed-by:" && /^\// { key = $1 }
		END { done() }' "$@"
	# shellcheck disable=SC2154
	cat "$list" "$parts"/*.list 2>/dev/null | awk '
		$1 != "deb" || /security/ { next }
		{
			key = ""
			if (match($0, /\[[^]]*\]/)) {
				opts = substr($0, RSTART + 1, RLENGTH - 2)
				sub(/\[[^]]*\]/, "")
				n = split(opts, o, /[ \t]+/)
				for (i = 1; i <= n; i++)
					if (o[i] ~ /^signed-by=\//)
						key = substr(o[i], 11)
			}
			for (i = 4; i <= NF; i++)
				if ($i == "main") {
					print $2, key
					next
				}
		}'
}

apt() {
	apt-get -q -o Dir::Etc::sourcelist="$work/sources.list" \
		-o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=- \
		-o Dir::State="$work/state" -o Dir::Cache="$work/cache" \
		-o APT::Sandbox::User= -o Acquire::Languages=none "$@"
}

fetch() {	# the first 3.6 that a newer suite has
	for suite in forky sid; do
		printf 'deb-src %s%s %s main\n' \
			"${keyring:+[signed-by=$keyring] }" "$uri" "$suite" \
			>"$work/sources.list"
		apt update >"$work/log" 2>&1 || continue
		version=$(cd "$work" && apt-cache -o Dir::State="$work/state" \
			-o Dir::Cache="$work/cache" \
			-o Dir::Etc::sourcelist="$work/sources.list" \
			-o Dir::Etc::sourceparts=- showsrc mbedtls |
			sed -n 's/^Version: *\(3\.6\..*\)/\1/p' | tail -1)
		[ -n "$version" ] || continue
		(cd "$work" && apt source --download-only \
			"mbedtls=$version") >"$work/log" 2>&1 && return 0
	done
	return 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"

found=$(mirror | grep -v -e '^ ' -e '^cdrom:' | head -n 1)
uri=${found%% *}
keyring=${found#* }
[ -n "$uri" ] || fail "apt has no Debian archive configured"
if ! fetch; then
	tail -n 5 "$work/log" >&2
	fail "no mbedTLS 3.6 source from $uri"
fi

echo "Building mbedTLS ${version%-*}"
mkdir "$work/src" "$work/build"
tar -xf "$work"/mbedtls_*.orig.tar.* -C "$work/src" --strip-components=1
{
	cmake -S "$work/src" -B "$work/build" -DCMAKE_BUILD_TYPE=Release \
		-DENABLE_TESTING=OFF -DENABLE_PROGRAMS=OFF \
		-DCMAKE_INSTALL_PREFIX="$dir" -DCMAKE_INSTALL_LIBDIR=lib &&
	cmake --build "$work/build" -j 2 &&
	cmake --install "$work/build"
} >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "build failed"; }
echo "$version" >"$dir/built"
