# The Makefile's targets for what a release consists of.  Each release-PART writes
# its files into $(DIST); `make release` all of them, and SHA256SUMS.  No byte
# depends on the folder, the time, the user or the language.

RELEASE_PARTS = static files source plugins debs oci openwrt sbom

.PHONY: release check-release check-tag $(RELEASE_PARTS:%=release-%)

release:
	@rm -rf $(DIST)
	@+for part in $(RELEASE_PARTS); do $(MAKE) --no-print-directory \
		release-$$part || exit 1; done
	@cd $(DIST) && LC_ALL=C sha256sum * >../SHA256SUMS.new && \
		mv ../SHA256SUMS.new SHA256SUMS && cat SHA256SUMS

$(DIST):
	@mkdir -p $@

RELEASE_ARCHS ?= $(RELEASES)
release-static: | $(DIST)
	@sh tests/deps.sh static $(foreach a,$(RELEASE_ARCHS),cross/$(TRIPLET_$a))
	@+for arch in $(RELEASE_ARCHS); do \
		$(MAKE) --no-print-directory static-$$arch && \
		install -m 755 build/static/$$arch/xapsd \
			$(DIST)/xapsd-$(VERSION)-$$arch || exit 1; done
	@cat LICENSE build/static/src/musl/COPYRIGHT \
		build/static/src/mbedtls/LICENSE >$(DIST)/LICENSES

# What install.sh needs beside the executable: as `make install` puts it there,
# and the starters of other inits.
FILES = build/release/files
INITS = init/xapsd.openrc init/xapsd.sysv $(addprefix openwrt/xapsd/files/, \
	xapsd.init xapsd.config xapsd.json)
release-files: | $(DIST)
	@rm -rf $(FILES) && mkdir -p $(FILES)/init
	@$(MAKE) -s --no-print-directory install-files PREFIX=/usr/local \
		SYSCONFDIR=/etc DESTDIR=$(abspath $(FILES))
	@cp $(INITS) $(FILES)/init
	@install -d $(FILES)/usr/local/share/xapsd
	@install release/install.sh release/setup.sh \
		$(FILES)/usr/local/share/xapsd
	@cd $(FILES) && find . -type f | sed 's|^\./||' | \
		sh $(CURDIR)/release/tar.sh $(abspath $(DIST))/xapsd-$(VERSION)-files.tar.gz . ''
	@install -m 755 release/install.sh $(DIST)

release-source: | $(DIST)
	@sh release/list.sh | sh release/tar.sh $(DIST)/xapsd-$(VERSION).tar.gz . \
		xapsd-$(VERSION)/

# Dovecot's modules, and packages of them and of the static files.
release-plugins: | $(DIST)
	@+$(MAKE) --no-print-directory plugin-tarballs

release-debs: | $(DIST)
	@sh tests/deps.sh deb
	@sh release/debs.sh $(DIST)

release-oci: | $(DIST)
	@+$(MAKE) --no-print-directory oci
	@mv $(DIST)/xapsd-oci.tar $(DIST)/xapsd-$(VERSION)-oci.tar

# Package folders for OpenWrt's feeds, which build from the source tarball.
FEED = build/release/xapsd-$(VERSION)-openwrt
release-openwrt: | $(DIST)
	@rm -rf $(FEED)
	@sh openwrt/feed.sh $(DIST)/xapsd-$(VERSION).tar.gz $(FEED)
	@cd $(FEED) && find . -type f | sed 's|^\./||' | \
		sh $(CURDIR)/release/tar.sh \
		$(abspath $(DIST))/xapsd-$(VERSION)-openwrt.tar.gz . $(notdir $(FEED))/

release-sbom: export PROJECT_URL := $(PROJECT_URL)
release-sbom: export MAINTAINER := $(MAINTAINER)
release-sbom: | $(DIST)
	@$(PYTHON) release/sbom.py $(VERSION) $(DIST) \
		>$(DIST)/xapsd-$(VERSION).spdx.json

# TAG names this version, which is finished.
check-tag:
	@sh release/tag.sh '$(TAG)'

# Two releases, of copies of these sources that share nothing, are the same to the
# byte.  PARTS="files source sbom": of these parts only.  KEEP=dist keeps one.
check-release:
	@PARTS='$(PARTS)' KEEP='$(KEEP)' sh release/twice.sh

# What is in dist/, installed and used in the chroots of check-dovecot: the Debian
# packages, and install.sh under systemd and OpenRC.
.PHONY: check-release-installs
check-release-installs:
	@sh tests/deps.sh qemu
	@sh tests/release_debs.sh $(DIST) build/chroot bullseye trixie
	@FOREIGN=aarch64 sh tests/release_debs.sh $(DIST) build/chroot \
		bullseye trixie
	@sh tests/install_inits.sh $(DIST) build/chroot/trixie
