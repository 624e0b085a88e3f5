#!/bin/sh
# Puts the project's address NEW_URL and its maintainer NEW_MAINTAINER in the place
# of those in the Makefile, in all files given: set-url.sh FILE ...
# What is empty stays as it is.
set -eu

usage() {
	echo "make set-url: $*" >&2
	echo "make set-url URL=https://... MAINTAINER='Name <name@...>'" >&2
	exit 64
}

old() {
	sed -n "s/^$1 = //p" Makefile
}

# As a text and as what replaces one, for sed's s|||.
text() {
	printf %s "$1" | sed 's/[.[\*^$|]/\\&/g'
}

value() {
	printf %s "$1" | sed 's/[\&|]/\\&/g'
}

matches() {
	printf %s "$2" | tr '\n' '"' | LC_ALL=C grep -Eqx "$1"
}

old_url=$(old PROJECT_URL)
old_maintainer=$(old MAINTAINER)
url=${NEW_URL:-$old_url}
maintainer=${NEW_MAINTAINER:-$old_maintainer}
[ "$url $maintainer" != "$old_url $old_maintainer" ] || usage "nothing new"
matches 'https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~/-]*[A-Za-z0-9])?' "$url" ||
	usage "'$url' is no address of a project, without a slash at its end"
# No sign that a Makefile, a shell or a control file could take for its own.
matches "[^][<>\"#\$\`\\|;:,(){}*?]+ <[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+>" \
	"$maintainer" || usage "'$maintainer' is no name and address"

address() {
	printf %s "$1" | sed 's/.*<\(.*\)>$/\1/'
}

for f in "$@"; do
	sed -e "s|$(text "$old_url")|$(value "$url")|g" \
		-e "s|$(text "$old_maintainer")|$(value "$maintainer")|g" \
		-e "s|$(text "$(address "$old_maintainer")")|$(value \
			"$(address "$maintainer")")|g" "$f" >"$f.new"
	cat "$f.new" >"$f"	# its mode stays
	rm "$f.new"
done
