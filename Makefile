# xapsd: see README.md.  Everything a user calls is listed by `make help`.
# V=1 shows the commands.  CC, CFLAGS, PKG_CONFIG, PREFIX, DESTDIR are respected.

VERSION = 0.2.0
# Where the project lives and who maintains it: placeholders until it has a home.
# This is the place to change them: `make set-url` (see below) writes others here
# and into all files that show them.
PROJECT_URL = https://xapsd.invalid/xapsd
MAINTAINER = The xapsd authors <xapsd@xapsd.invalid>

CC ?= cc
AR ?= ar
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
# Systems without a separate sbin: SBINDIR=/usr/bin.
SBINDIR ?= $(PREFIX)/sbin
SYSCONFDIR ?= /etc
CFLAGS ?= -O2 -g

BUILD ?= build
PROG ?= xapsd

# Where a release goes, and the time in all its archives: that of the first entry of
# debian/changelog, the same with and without Git.
DIST ?= dist
ifndef SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH := $(shell LC_ALL=C date +%s -d \
	"$$(sed -n 's/^ -- .*>  //p' debian/changelog | head -n 1)" 2>/dev/null)
endif
export SOURCE_DATE_EPOCH

# Warnings are errors where we look (lint, check), not on a stranger's compiler.
WARN = -Wall -Wextra -Wshadow -Wcast-qual -Wmissing-prototypes \
	-Wstrict-prototypes -Wvla -Wredundant-decls $(WERROR)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -iquote . -DXAPSD_VERSION='"$(VERSION)"' $(WARN) \
	-pthread $(MBEDTLS_CFLAGS) $(CFLAGS)

# mbedTLS 2.28 of bookworm has no pkg-config files.
MBEDTLS_CFLAGS ?= $(shell $(PKG_CONFIG) --cflags mbedtls 2>/dev/null)
MBEDTLS_LIBS ?= $(shell $(PKG_CONFIG) --libs mbedtls mbedx509 mbedcrypto \
	2>/dev/null || echo -lmbedtls -lmbedx509 -lmbedcrypto)

# By layer, lowest first; tests/layers.sh holds the includes to it.
include features.mk
SRCS = clock.c log.c features.c mem.c disk.c buf.c text.c url.c \
	json.c loop.c loop/backoff.c conf.c conf/yaml.c \
	tls.c tls/key.c tls/verify.c \
	tls/der.c tls/roots.c \
	h2.c h2/hpack.c h2/stream.c h2/answer.c \
	io.c io/listen.c io/addr.c io/dial.c io/resolve.c \
	cred.c cred/jwt.c cred/pem.c cred/kind.c cred/file.c cred/purpose.c cred/pair.c \
	store.c store/key.c store/mailbox.c store/reg.c store/line.c store/table.c \
	store/owner.c store/grave.c store/similar.c store/topic.c store/limit.c \
	store/file.c \
	store/load.c store/open.c store/view.c \
	http.c http/conn.c http/request.c http/reply.c http/state.c \
	http/parse.c http/capacity.c \
	send.c send/dial.c send/conn.c send/request.c send/put.c \
	apns.c apns/headers.c apns/reason.c \
	push.c push/answer.c push/trial.c push/save.c push/hold.c push/queue.c \
	push/apple.c push/ways.c push/notes.c \
	push/hashes.c commit.c \
	api.c api/reply.c api/guard.c api/body.c api/dovecot.c \
	api/namesake.c api/status.c api/admin.c \
	daemon.c daemon/renew.c daemon/watch.c daemon/sockets.c daemon/reach.c \
	daemon/unix.c daemon/user.c daemon/rights.c \
	daemon/moved.c \
	cli.c ctl.c ctl/client.c ctl/words.c ctl/show.c ctl/check.c \
	ctl/running.c ctl/past.c ctl/pass.c ctl/step.c ctl/term.c xapsd.c $(FEATURE_SRCS)
LIB_OBJS = $(patsubst %.c,$(BUILD)/%.o,$(filter-out xapsd.c,$(SRCS)))
LIB = $(BUILD)/libxapsd.a

UNIT_TESTS = $(patsubst tests/unit/%.c,$(BUILD)/unit/%, \
	$(filter-out $(UNUSED_TESTS:%=tests/unit/%.c), \
	$(wildcard tests/unit/*_test.c)))
FUZZERS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%, \
	$(filter-out $(UNUSED_TESTS:%=tests/fuzz/%.c), \
	$(wildcard tests/fuzz/*_fuzz.c)))

Q = $(if $(V),,@)
SAY = $(if $(V),@:,@printf '  %-7s %s\n')

.PHONY: all
all: $(PROG)

$(PROG): $(BUILD)/xapsd.o $(LIB)
	$(SAY) LINK $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(MBEDTLS_LIBS) $(LIBS)

$(LIB): $(LIB_OBJS) $(BUILD)/features.list
	$(SAY) AR $@
	$(Q)rm -f $@ && $(AR) qcs $@ $(LIB_OBJS)

# Changes with FEATURES.
$(BUILD)/features.list: FORCE
	@mkdir -p $(@D)
	@echo '$(WITH)' | cmp -s - $@ || echo '$(WITH)' >$@
.PHONY: FORCE
$(BUILD)/features.o: $(BUILD)/features.list
$(BUILD)/features.o: ALL_CFLAGS += $(FEATURE_FLAGS)

# What the compiler would say of a missing one helps nobody.
$(BUILD)/able:
	@CC='$(CC)' CFLAGS='$(MBEDTLS_CFLAGS) $(CFLAGS)' \
		sh tests/needs.sh compiler mbedtls
	@mkdir -p $(@D) && touch $@

$(BUILD)/%.o: %.c Makefile | $(BUILD)/able
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# What --version says of this build.
$(BUILD)/xapsd.o: ALL_CFLAGS += \
	-DXAPSD_BUILD='"$(shell $(CC) -dumpmachine), shared libraries"'

# --- tools for testing the parsers from outside ---

.PHONY: tools
tools: $(BUILD)/hpackdump $(BUILD)/jsoncheck

$(BUILD)/hpackdump $(BUILD)/jsoncheck: $(BUILD)/%: tests/tools/%.c $(LIB)
	$(SAY) LINK $@
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(LIB)

# --- the page ---

# Its generated form is in the tree, for machines without Python; `make lint`
# checks that it is current.
.PHONY: page
page:
	$(PYTHON) page/make-page.py >$(BUILD)/page_asset.h
	mv $(BUILD)/page_asset.h api/page_asset.h

# docs/pictures, of a daemon to which a day has happened; by root.
.PHONY: pictures
pictures:
	@sh tests/deps.sh build browser pictures
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/pictures.py

# --- the Dovecot plugin ---

.PHONY: plugin
plugin:
	$(Q)$(MAKE) --no-print-directory -C plugin BUILD=$(abspath $(BUILD))/plugin

# Ready made for the Dovecots of Debian's releases, with an installer, by Dovecot's
# ABI and machine: plugin/tarballs.sh says which.
.PHONY: plugin-tarballs
plugin-tarballs:
	@sh tests/deps.sh build static cross/x86_64-linux-gnu \
		cross/aarch64-linux-gnu
	@sh plugin/tarballs.sh $(DIST)

# Each installed, used and taken away in the chroots of check-dovecot.
.PHONY: check-plugin-tarballs
check-plugin-tarballs: plugin-tarballs
	@sh tests/ready_made.sh $(DIST) build/chroot bullseye trixie forky

# Those for Alpine, with a Dovecot that is built with musl, in ten minutes.
.PHONY: check-musl-plugin
check-musl-plugin:
	@sh tests/deps.sh build static musl
	@PYTHON=$(PYTHON) sh tests/musl_dovecot.sh build/musl-dovecot

# --- install ---

UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
DOCDIR ?= $(PREFIX)/share/doc/xapsd
MANDIR ?= $(PREFIX)/share/man
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
UNITS = xapsd.service xapsd.socket
# As installed it is reached by its Unix socket alone, by group xapsd-mail.
CONF = $(DESTDIR)$(SYSCONFDIR)/xapsd/xapsd.yaml
PAPERS = README.md CHANGELOG.md SECURITY.md
EXAMPLES = xapsd.yaml plugin/90-xaps-2.3.conf plugin/90-xaps-2.4.conf

.PHONY: install may-install install-daemon install-files install-plugin uninstall
install: may-install install-daemon
	if test -e $(BUILD)/plugin/installable; then \
		$(MAKE) --no-print-directory install-plugin; fi

may-install:
	@! test -e $(BUILD)/plugin/installable || \
		$(MAKE) --no-print-directory -C plugin may-install \
			BUILD=$(abspath $(BUILD))/plugin DESTDIR=$(DESTDIR)

install-daemon: $(PROG) install-files
	install -d $(DESTDIR)$(SBINDIR)
	install -m 755 $(PROG) $(DESTDIR)$(SBINDIR)/xapsd

# What is the same for every machine; the units name the paths of this
# installation.
install-files:
	install -d $(addprefix $(DESTDIR),$(MANDIR)/man7 $(MANDIR)/man8 \
		$(UNITDIR) $(SYSUSERSDIR) $(TMPFILESDIR) \
		$(BASH_COMPLETIONS) $(ZSH_COMPLETIONS) \
		$(DOCDIR)/docs $(DOCDIR)/examples $(SYSCONFDIR)/xapsd)
	install -m 644 xapsd.8 $(DESTDIR)$(MANDIR)/man8/xapsd.8
	install -m 644 xapsd-api.7 $(DESTDIR)$(MANDIR)/man7/xapsd-api.7
	install -m 644 completion/xapsd.bash \
		$(DESTDIR)$(BASH_COMPLETIONS)/xapsd
	install -m 644 completion/xapsd.zsh $(DESTDIR)$(ZSH_COMPLETIONS)/_xapsd
	for u in $(UNITS); do \
		sed -e 's|/usr/sbin/|$(SBINDIR)/|' \
			-e 's|/etc/xapsd/|$(SYSCONFDIR)/xapsd/|' systemd/$$u \
			>$(DESTDIR)$(UNITDIR)/$$u && \
		chmod 644 $(DESTDIR)$(UNITDIR)/$$u || exit 1; done
	install -m 644 systemd/xapsd.sysusers \
		$(DESTDIR)$(SYSUSERSDIR)/xapsd.conf
	install -m 644 systemd/xapsd.tmpfiles \
		$(DESTDIR)$(TMPFILESDIR)/xapsd.conf
	install -m 644 $(PAPERS) $(DESTDIR)$(DOCDIR)
	install -m 644 docs/*.md $(DESTDIR)$(DOCDIR)/docs
	# pictures stay in the sources
	sed -i '/^!\[/d' $(addprefix $(DESTDIR)$(DOCDIR)/,README.md docs/page.md)
	install -m 644 $(EXAMPLES) $(DESTDIR)$(DOCDIR)/examples
	test -e $(CONF) || { install -m 600 /dev/null $(CONF) && \
		sed -e 's/^#port: .*/port: 0/' \
			-e 's/^#\(socketGroup: xapsd-mail\)$$/\1/' \
			xapsd.yaml >$(CONF); }

install-plugin:
	$(MAKE) -C plugin BUILD=$(abspath $(BUILD))/plugin \
		DESTDIR=$(DESTDIR) install

# Leaves the configuration, and the registrations in /var/lib/xapsd.
uninstall:
	@$(MAKE) --no-print-directory -C plugin DESTDIR=$(DESTDIR) uninstall
	rm -f $(DESTDIR)$(SBINDIR)/xapsd \
		$(DESTDIR)$(MANDIR)/man8/xapsd.8 \
		$(DESTDIR)$(MANDIR)/man7/xapsd-api.7 \
		$(DESTDIR)$(BASH_COMPLETIONS)/xapsd \
		$(DESTDIR)$(ZSH_COMPLETIONS)/_xapsd \
		$(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS)) \
		$(DESTDIR)$(SYSUSERSDIR)/xapsd.conf \
		$(DESTDIR)$(TMPFILESDIR)/xapsd.conf
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/,$(PAPERS) $(wildcard docs/*.md)) \
		$(addprefix $(DESTDIR)$(DOCDIR)/examples/,$(notdir $(EXAMPLES)))
	-rmdir $(addprefix $(DESTDIR)$(DOCDIR),/docs /examples) \
		$(DESTDIR)$(DOCDIR)

# Debian packages of daemon and plugin, into build/deb.
.PHONY: deb check-deb
deb:
	@sh tests/deps.sh build deb
	@sh tests/deb/build.sh build/deb

# They are installed, used, upgraded and purged in a Debian of their own; by
# root only.  That Debian is kept in build/deb-root.
check-deb:
	@sh tests/deps.sh build deb check-deb
	@sh tests/deb/build.sh build/deb
	@PYTHON=$(PYTHON) sh tests/deb/check.sh build/deb build/deb-root

# --- tests: each installs the Debian packages that it lacks ---

.PHONY: deps check demo demo-webpush check-shared asan lint fuzz valgrind check-mbedtls36 check-dovecot
# What building and `make check` need.
deps: browser web-push ntfy
	@sh tests/deps.sh build check

# A Chromium for the tests of the page, 100 MB to fetch and 300 MB on the disk:
# NO_BROWSER=1 does without, and where there is none they are skipped.
.PHONY: browser
browser:
	@test -n '$(NO_BROWSER)' || sh tests/deps.sh browser || \
		echo 'No Chromium: the tests of the page in a browser are skipped.'

# npm's web-push, 1 MB, for the tests of Web Push; without it some are skipped.
.PHONY: web-push
WEB_PUSH = build/web-push
# A second attempt, and no more than a minute of silence.
NPM_FETCH = --fetch-retries 1 --fetch-retry-mintimeout 1000 --fetch-timeout 60000
web-push:
	@cmp -s tests/web-push/package-lock.json $(WEB_PUSH)/lock || { \
		mkdir -p $(WEB_PUSH) && cp tests/web-push/*.json $(WEB_PUSH) && \
		npm ci --prefix $(WEB_PUSH) --no-audit --no-fund --silent \
			--ignore-scripts $(NPM_FETCH) && \
		cp tests/web-push/package-lock.json $(WEB_PUSH)/lock; } || \
		echo 'No web-push by npm: tests that compare with it are skipped.'

# An ntfy server for the tests of hooks, 5 MB from Debian 13; without it they are
# skipped.
.PHONY: ntfy
ntfy:
	@mkdir -p build && sh static/source.sh \
		ntfy:$$(dpkg --print-architecture) '2\.' build/ntfy trixie || \
		echo 'No ntfy: the tests with a real one are skipped.'

check: deps
	@$(MAKE) --no-print-directory run-check WERROR=-Werror

# Prints the journey of one mail, with a real Dovecot and a stand-in for Apple.
demo:
	@echo 'This takes half a minute, and a minute or two more where packages' \
		'are missing.'
	@sh tests/deps.sh build demo
	@$(MAKE) --no-print-directory all plugin
	@$(PYTHON) tests/demo.py

# How a mail app subscribes by IMAP WEBPUSH and is woken.
demo-webpush:
	@sh tests/deps.sh build demo
	@$(MAKE) --no-print-directory all plugin
	@$(PYTHON) tests/demo_webpush.py

# Several nodes and one Valkey or Redis, while everything breaks that can.
check-shared:
	@sh tests/deps.sh build check
	@$(MAKE) --no-print-directory all
	@CHECK_SHARED=1 $(PYTHON) -m pytest -q -s -rs -p no:cacheprovider \
		tests/e2e/test_shared_bars.py

# Hours of everything at once: nothing lost, nothing grows.
HOURS = 1
.PHONY: soak
soak:
	@sh tests/deps.sh build check
	@$(MAKE) --no-print-directory all plugin
	@$(PYTHON) tests/soak.py --hours $(HOURS)

# The same tests under AddressSanitizer and UBSan.
asan: browser web-push
	@sh tests/deps.sh build check
	@$(MAKE) --no-print-directory plugin WERROR=-Werror
	@$(MAKE) --no-print-directory run-check WERROR=-Werror \
		BUILD=build/asan PROG=build/asan/xapsd PLUGIN_BUILD=build/plugin \
		CFLAGS="-O1 -g -fno-omit-frame-pointer \
		-fsanitize=address,undefined -fno-sanitize-recover=all"

# The journey, and Dovecot with our modules, under valgrind: no leak, no error.
valgrind:
	@sh tests/deps.sh build check valgrind
	@$(MAKE) --no-print-directory all plugin
	@XAPSD_WRAP="valgrind -q --vgdb=no --leak-check=full --error-exitcode=99 \
		--errors-for-leak-kinds=definite,indirect,possible" \
		$(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e \
		-m 'journey or valgrind'

# Daemon and plugin with Dovecot 2.3.13, 2.4.1 and newer, in chroots that it
# makes.  bullseye has no mbedTLS for the daemon: the static one runs there.
check-dovecot:
	@sh tests/deps.sh dovecot
	@+$(MAKE) --no-print-directory static
	@sh tests/dovecot.sh build/chroot bullseye trixie forky

# mbedTLS 3.6 built from Debian's newer source: it compiles and passes.
check-mbedtls36:
	@sh tests/deps.sh build check mbedtls36
	@sh tests/mbedtls36.sh build/mbedtls36
	@$(MAKE) --no-print-directory plugin WERROR=-Werror
	@$(MAKE) --no-print-directory run-check WERROR=-Werror \
		BUILD=build/m36 PROG=build/m36/xapsd PLUGIN_BUILD=build/plugin \
		"MBEDTLS_CFLAGS=-isystem build/mbedtls36/include" \
		MBEDTLS_LIBS="-Lbuild/mbedtls36/lib -lmbedtls -lmbedx509 -lmbedcrypto"

# Builds with every feature alone and with all but one; one with none is tested.
# They share what they have in common, so that each takes a second or two.
ONE_BUILD = $(MAKE) --no-print-directory WERROR=-Werror BUILD=build/features \
	CFLAGS=-O0
.PHONY: check-features
check-features:
	@sh tests/deps.sh build check
	@+for f in $(KNOWN_FEATURES) $(KNOWN_FEATURES:%=all,-%) none; do \
		$(ONE_BUILD) FEATURES=$$f PROG=build/features/xapsd \
			build/features/xapsd && \
		echo "FEATURES=$$f: $$(build/features/xapsd --version | \
			tail -n 1)" || exit 1; done
	@+$(ONE_BUILD) FEATURES=none unit
	@XAPSD=$(CURDIR)/build/features/xapsd PYTHON=$(PYTHON) \
		sh tests/pytest.sh "$(CURDIR)/build/features/pytest_cache" \
		-p no:xdist tests/e2e/test_features.py

.PHONY: run-check unit
run-check: $(PROG) tools $(UNIT_TESTS)
	$(if $(PLUGIN_BUILD),,@$(MAKE) --no-print-directory plugin)
	@BUILD=$(BUILD) XAPSD=$(abspath $(PROG)) PYTHON=$(PYTHON) \
		PLUGIN=$(abspath $(or $(PLUGIN_BUILD),$(BUILD)/plugin)) \
		sh tests/run.sh $(UNIT_TESTS)

unit: $(UNIT_TESTS)
	@PYTHON=: sh tests/run.sh $(UNIT_TESTS)

$(BUILD)/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(SAY) TEST $@
	$(Q)$(CC) $(ALL_CFLAGS) -Wno-missing-prototypes -MMD -MP $(LDFLAGS) \
		-o $@ $< $(LIB) -lcmocka $(UNIT_LIBS_$*) $(MBEDTLS_LIBS)

UNIT_LIBS_hpack_nghttp2_test = -lnghttp2

lint:
	@sh tests/deps.sh build lint
	@sh tests/lint.sh

# Each fuzzer for FUZZ_S seconds; finds stay in build/fuzz/.
FUZZ_S ?= 60
FUZZ_FLAGS = -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
fuzz:
	@sh tests/deps.sh build fuzz
	@$(MAKE) --no-print-directory run-fuzz CC=clang BUILD=build/fuzz-obj \
		CFLAGS="$(FUZZ_FLAGS)"

.PHONY: run-fuzz fuzzers
fuzzers: $(FUZZERS)
run-fuzz: fuzzers
	@FUZZ_S=$(FUZZ_S) BUILD=$(BUILD) sh tests/fuzz/run.sh $(FUZZERS)

$(BUILD)/fuzz/%: tests/fuzz/%.c $(LIB)
	@mkdir -p $(@D)
	$(SAY) FUZZ $@
	$(Q)$(CC) $(ALL_CFLAGS) -Wno-missing-prototypes -fsanitize=fuzzer \
		-MMD -MP -o $@ $< $(LIB) $(MBEDTLS_LIBS)

# --- what it costs ---

# A table of figures; BENCH_BIG=1 takes a million registrations, too.
.PHONY: bench budget
bench:
	@sh tests/deps.sh build bench
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/bench/bench.py

# What can be repeated exactly, against tests/bench/budget.
budget:
	@sh tests/deps.sh build bench
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/bench/check_budget.py

# What several nodes with one Valkey or Redis cost, against the same without it.
.PHONY: bench-shared
bench-shared:
	@sh tests/deps.sh build bench shared
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory FEATURES=all,-shared \
		BUILD=build/plain PROG=build/plain/xapsd all
	@PLAIN=build/plain/xapsd $(PYTHON) tests/bench/shared.py

# --- one file that runs anywhere: make static, size, check-static ---

include static/targets.mk

# --- all that a release consists of: make release, check-release ---

include release/release.mk
include packaging/targets.mk

# All files that show the project's address or its maintainer's.
URL_FILES = Makefile README.md SECURITY.md debian/control debian/changelog \
	$(wildcard openwrt/*/Makefile packaging/*/*BUILD packaging/rpm/*.spec) \
	release/install.sh

.PHONY: set-url clean help
# make set-url URL=https://... MAINTAINER='Name <name@...>', or one of them.
set-url: export NEW_URL = $(URL)
set-url: export NEW_MAINTAINER = $(MAINTAINER)
set-url:
	@sh release/set-url.sh $(URL_FILES)

clean:
	rm -rf build dist xapsd

help:
	@echo 'make              the daemon, ./xapsd'
	@echo 'make plugin       the Dovecot modules, build/plugin/'
	@echo 'make plugin-tarballs  them for other Dovecots, with installer, dist/'
	@echo 'make install      both, with man page, units and sample config'
	@echo 'make deb          Debian packages of both, build/deb/'
	@echo 'make static       one static file, build/static/xapsd'
	@echo 'make release      all that a release consists of, dist/'
	@echo 'make oci          a container image, dist/xapsd-oci.tar'
	@echo 'make check-release  builds it twice and compares'
	@echo 'make deps         installs the Debian packages for building and tests'
	@echo 'make demo         one mail from Dovecot to a stand-in for Apple'
	@echo 'make demo-webpush a mail app subscribes by IMAP WEBPUSH and is woken'
	@echo 'make check        all tests'
	@echo 'make check-features  builds without some or all FEATURES'
	@echo 'make check-shared several nodes with one Valkey, and what can break'
	@echo 'make soak HOURS=1  everything at once, for hours'
	@echo 'make asan         all tests under AddressSanitizer and UBSan'
	@echo 'make valgrind     the journey under valgrind'
	@echo 'make check-dovecot  both with Dovecot 2.3.13, 2.4.1, 2.4.5, as root'
	@echo 'make check-plugin-tarballs  those, installed beside each Dovecot'
	@echo 'make check-musl-plugin  those for Alpine, with a Dovecot on musl'
	@echo 'make check-mbedtls36  all tests with mbedTLS 3.6'
	@echo 'make check-static the static files, foreign ones under qemu'
	@echo 'make bench        what it costs, as a table (BENCH_BIG=1: more)'
	@echo 'make bench-shared several nodes with one Valkey (BENCH_BIG=1)'
	@echo 'make bench-static bytes and memory of the files in dist/'
	@echo 'make budget       fails if it costs more than it may'
	@echo 'make size         size of the static file by feature (size-objects:'
	@echo '                  by object file; size-table: into DESIGN.md)'
	@echo 'make check-packages  the container image and the recipes, as root'
	@echo 'make check-deb    the Debian packages, installed to purged'
	@echo 'make fuzz         the fuzzers, FUZZ_S seconds each'
	@echo 'make tools        build/hpackdump, build/jsoncheck'
	@echo 'make page         api/page_asset.h from page/index.html'
	@echo 'make pictures     docs/pictures/, of the page'
	@echo 'make lint         style, layers, shell and man page'
	@echo 'make set-url URL= MAINTAINER=  other addresses, in all files'
	@echo 'make uninstall, make clean'

-include $(wildcard $(BUILD)/*.d $(BUILD)/*/*.d)
