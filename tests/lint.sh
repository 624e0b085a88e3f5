#!/bin/sh
# Style, layers, function and file sizes, shell scripts, man page.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0

sh tests/layers.sh || bad=1

# Generated tables keep their generator's form.
files=$(git ls-files '*.c' '*.h' | grep -v -e '^tls/roots\.c$' -e '_tables\.h$' -e '_asset\.h$')
# shellcheck disable=SC2086
clang-format --dry-run --Werror $files || bad=1

# No function over 60 lines (STYLE: 40, 60 for one flat switch or table).
for f in $(git ls-files '*.c' | grep -v '^tests/'); do
	awk -v f="$f" '
		/^{/ { start = NR }
		/^}/ && start { if (NR - start > 61) {
			print f ":" start ": function of " NR - start - 1 \
				" lines"; bad = 1 } start = 0 }
		length($0) > 120 && f != "tls/roots.c" {
			print f ":" NR ": line too long"; bad = 1 }
		END { exit bad }' "$f" || bad=1
done

${PYTHON:-/usr/bin/python3} page/make-page.py | cmp - api/page_asset.h || {
	echo 'api/page_asset.h is not current: make page'
	bad=1
}

scripts=$(git ls-files '*.sh' .ci/run 'init/*')
# shellcheck disable=SC2086
shellcheck $scripts || bad=1
shellcheck -s bash completion/xapsd.bash || bad=1
shellcheck -s dash openwrt/xapsd/files/xapsd.init debian/*.p* packaging/alpine/* || bad=1

# The views of luci-app-xapsd, where npm can fetch eslint.
eslint=build/eslint/node_modules/.bin/eslint
if [ -x $eslint ] || { command -v npm >/dev/null && mkdir -p build/eslint &&
	npm install --prefix build/eslint --no-audit --no-fund --silent \
		--fetch-retries 1 --fetch-retry-mintimeout 1000 \
		--fetch-timeout 60000 eslint@9.39.5; }; then
	$eslint -c tests/openwrt/eslint.config.mjs openwrt/luci-app-xapsd || bad=1
else
	echo 'eslint: skipped, npm is not there or could not fetch it'
fi

for page in xapsd.8 xapsd-api.7; do
	[ ! -e $page ] || mandoc -Tlint -Wstyle $page 2>/dev/null || bad=1
done
rules='{document-start: disable, truthy: {check-keys: false},
 comments: {min-spaces-from-content: 1}, line-length: {max: 100}}'
yamllint -s -d "{extends: default, rules: $rules}" .github || bad=1

[ $bad = 0 ] && echo 'lint: clean'
exit $bad
