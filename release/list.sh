#!/bin/sh
# Lists the files of the sources: Git's, and where there is none, as in a tarball of
# them, all that no build makes.
set -eu

if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$(pwd -P)" ]; then
	git -c core.quotePath=off ls-files
else
	find . \( -path ./build -o -path ./dist -o -path ./xapsd -o -name .git \
		-o -name __pycache__ -o -name .pytest_cache \) -prune -o \
		-type f -print | sed 's|^\./||'
fi
