#!/bin/sh
# Fetches the source of a Debian package, with Debian's fixes, from another
# suite too:
#   source.sh PACKAGE VERSION-PATTERN DIR SUITE ...
# unpacks into DIR the newest version that matches the basic regular expression
# in the first suite that has one, and leaves the version in DIR/.version.  The
# mirror and its keyring are those of this system's apt, whose own state is not
# touched, or those of SOURCE_MIRROR, "URI KEYRING".  apt checks the signature.
# A mirror that fails once is asked a second time.
# Does nothing when DIR is there.
# PACKAGE:ARCHITECTURE is a binary package, with what is in it.
set -eu

[ $# -ge 4 ] || {
	echo "usage: source.sh PACKAGE VERSION-PATTERN DIR SUITE ..." >&2
	exit 64
}
package=${1%:*} pattern=$2 dir=$3
type=deb-src show=showsrc arch=
case $1 in
*:*) type=deb show=show arch=${1#*:} ;;
esac
shift 3
[ ! -e "$dir/.version" ] || exit 0

fail() {
	echo "source.sh: $*" >&2
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
	"$@" -q -o Dir::Etc::sourcelist="$work/sources.list" \
		-o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=- \
		-o Dir::State="$work/state" -o Dir::Cache="$work/cache" \
		-o APT::Sandbox::User= -o Acquire::Languages=none \
		-o Acquire::Retries=3 -o APT::Update::Error-Mode=any \
		${arch:+-o "APT::Architecture=$arch" -o "APT::Architectures=$arch"
			-o "Dir::State::status=$work/status"}
}

twice() {
	"$@" || "$@"
}

download() {
	cd "$work"
	if [ -n "$arch" ]; then
		apt apt-get download "$package=$version"
	else
		apt apt-get source --download-only "$package=$version"
	fi
}

unpack() {
	if [ -n "$arch" ]; then
		dpkg-deb -x "$work/${package}"_*.deb "$dir"
	else
		dpkg-source --no-check -x "$work/${package}"_*.dsc "$dir"
	fi
}

fetch() {
	for suite in "$@"; do
		printf '%s %s%s %s main\n' "$type" \
			"${keyring:+[signed-by=$keyring] }" "$uri" "$suite" \
			>"$work/sources.list"
		twice apt apt-get update >"$work/log" 2>&1 || continue
		version=$(apt apt-cache $show "$package" |
			sed -n "s/^Version: *\($pattern.*\)/\1/p" |
			sort -V | tail -n 1)
		[ -n "$version" ] || continue
		(twice download) >"$work/log" 2>&1 && return 0
	done
	return 1
}

command -v dpkg-source >/dev/null || fail "$package: this needs Debian's dpkg-dev"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
: >"$work/status"

found=${SOURCE_MIRROR-$(mirror | grep -v -e '^ ' -e '^cdrom:' | head -n 1)}
uri=${found%% *}
keyring=${found#* }
[ -n "$uri" ] || fail "apt has no Debian archive configured"
if ! fetch "$@"; then
	tail -n 5 "$work/log" >&2
	fail "no $package of a fitting version at $uri in $*"
fi
rm -rf "$dir"
mkdir -p "$(dirname "$dir")"
unpack >"$work/log" 2>&1 || {
	tail -n 5 "$work/log" >&2
	fail "cannot unpack $package $version"
}
echo "$version" >"$dir/.version"
