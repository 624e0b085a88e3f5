# The Makefile's targets for containers and for the machines that others set up.

# The image for these machines, in one file, with no engine.
OCI_ARCHES ?= x86_64 aarch64 armv7

.PHONY: oci
oci: export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)
oci:
	@sh tests/deps.sh static $(foreach a,$(OCI_ARCHES),cross/$(TRIPLET_$a))
	@+for arch in $(OCI_ARCHES); do \
		$(MAKE) --no-print-directory static-$$arch || exit 1; done
	@mkdir -p $(DIST)
	@cat LICENSE build/static/src/musl/COPYRIGHT \
		build/static/src/mbedtls/LICENSE >build/static/LICENSES
	@$(PYTHON) packaging/docker/oci.py $(DIST)/xapsd-oci.tar $(VERSION) \
		$(PROJECT_URL) build/static/LICENSES $(OCI_ARCHES)

# The image run by runc, and the recipes in packaging/, as root.
CHECK_OCI ?= $(sort $(STATIC_ARCH) aarch64)
.PHONY: check-packages
check-packages:
	@sh tests/deps.sh build check static packages dovecot \
		$(foreach a,$(CHECK_OCI),cross/$(TRIPLET_$a))
	@+$(MAKE) --no-print-directory all plugin
	@+$(MAKE) --no-print-directory oci OCI_ARCHES="$(CHECK_OCI)" \
		DIST=build/packages
	@SUITES='bookworm trixie' MACHINES=$(shell dpkg --print-architecture) \
		sh plugin/tarballs.sh build/packages
	@OCI=$(abspath build/packages)/xapsd-oci.tar CHECK_PACKAGES=1 PYTHON=$(PYTHON) \
		sh tests/pytest.sh "$(CURDIR)/build/packages_cache" -n 3 --dist loadfile -rs \
		tests/e2e/test_oci.py tests/e2e/test_recipes.py \
		tests/e2e/test_foreign_packages.py tests/e2e/test_alpine.py
