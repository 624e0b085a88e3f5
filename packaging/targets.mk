# The Makefile's targets for containers and for the machines that others set up.

DIST ?= dist

# The image for these machines, in one file, with no engine.
OCI_ARCHES ?= x86_64 aarch64 armv7
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
export SOURCE_DATE_EPOCH

.PHONY: oci
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
.PHONY: check-packages
check-packages:
	@sh tests/deps.sh build check static packages \
		$(foreach a,$(OCI_ARCHES),cross/$(TRIPLET_$a))
	@+$(MAKE) --no-print-directory all plugin oci
	@OCI=$(abspath $(DIST))/xapsd-oci.tar CHECK_PACKAGES=1 PYTHON=$(PYTHON) \
		sh tests/pytest.sh "$(CURDIR)/build/packages_cache" -n 3 -rs \
		tests/e2e/test_oci.py tests/e2e/test_recipes.py \
		tests/e2e/test_foreign_packages.py
