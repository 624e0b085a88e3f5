#!/bin/sh
# Prints what CHANGELOG.md says of one version: notes.sh VERSION
set -eu

awk -v version="$1" '
	/^## / { inside = ($2 "") == (version ""); found = found || inside; next }
	inside && (n || /[^ \t]/) { line[++n] = $0; if (/[^ \t]/) last = n }
	END {
		if (!last) {
			print "CHANGELOG.md says nothing of " version >"/dev/stderr"
			exit 1
		}
		for (i = 1; i <= last; i++)
			print line[i]
	}' "${CHANGELOG:-CHANGELOG.md}"
