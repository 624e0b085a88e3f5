# The Makefile's targets for the static executables.

include static/arch.mk

# This machine, as RELEASES names it.
STATIC_ARCH ?= $(shell uname -m | sed -e 's/^i[3-6]86$$/i386/' \
	-e 's/^armv[78].*/armv7/' -e 's/^armv[56].*/armel/')

# As many jobs as there are processors, unless the caller says otherwise.
STATIC_MAKE = $(MAKE) --no-print-directory -f static/static.mk \
	$(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc)) \
	VERSION=$(VERSION) SRCS="$(SRCS)" FEATURES="$(FEATURES)"

.PHONY: static bench-static check-static
static: static-$(STATIC_ARCH)
	@cp build/static/$(STATIC_ARCH)/xapsd build/static/xapsd

# Two makes: the second one lists the source files that the first has fetched.
.PHONY: $(RELEASES:%=static-%)
$(RELEASES:%=static-%): static-%:
	@sh tests/deps.sh static cross/$(TRIPLET_$*)
	@+$(STATIC_MAKE) ARCH=$* -s sources
	@+$(STATIC_MAKE) ARCH=$*

# What each feature costs: the difference that leaving it out makes.
# `make size-table` writes it into DESIGN.md.
SIZE_OUT = build/static/sizes
.PHONY: size size-table size-objects size-one
size:
	@sh tests/deps.sh static cross/$(TRIPLET_$(STATIC_ARCH)) >&2
	@+$(STATIC_MAKE) -s ARCH=$(STATIC_ARCH) sources >&2
	@+for f in all none $(KNOWN_FEATURES:%=all,-%); do \
		$(MAKE) --no-print-directory -s size-one FEATURES=$$f \
			>>$(SIZE_OUT).log 2>&1 || exit 1; \
		echo $$f $$(size $(SIZE_OUT)/xapsd | tail -n 1) \
			$$(stat -c %s $(SIZE_OUT)/xapsd); \
	done >$(SIZE_OUT).raw
	@awk -f static/table.awk -v lines="$(foreach f,$(KNOWN_FEATURES), \
		$f=$(shell cat $($f.files) | wc -l))" $(SIZE_OUT).raw

size-one:
	@+$(STATIC_MAKE) ARCH=$(STATIC_ARCH) OUT=$(SIZE_OUT)

size-table:
	@mkdir -p $(dir $(SIZE_OUT))
	@+$(MAKE) --no-print-directory size >$(SIZE_OUT).md
	@awk 'FNR == NR { table = table $$0 "\n"; next } \
		/^<!-- end of the table/ { inside = 0 } \
		!inside { print } \
		/^<!-- make size-table/ { inside = 1; printf "%s", table }' \
		$(SIZE_OUT).md DESIGN.md >$(SIZE_OUT).new
	@cat $(SIZE_OUT).new >DESIGN.md

# Size by object file, without LTO, which leaves none to count by.
size-objects:
	@sh tests/deps.sh static cross/$(TRIPLET_$(STATIC_ARCH))
	@+$(STATIC_MAKE) -s ARCH=$(STATIC_ARCH) sources
	@+$(STATIC_MAKE) ARCH=$(STATIC_ARCH) LTO= \
		OUT=build/static/size-$(STATIC_ARCH)
	@sh static/size.sh build/static/size-$(STATIC_ARCH)/xapsd

# Size, memory and instructions of every file in dist/.
bench-static:
	@sh tests/deps.sh build bench qemu insns
	@$(PYTHON) tests/bench/released.py

# Builds and tests them: unit tests, the way of a mail, an empty root.
CHECK_STATIC ?= $(sort $(STATIC_ARCH) aarch64)
# The comparison with another library need not be repeated here.
STATIC_TESTS = $(filter-out %_nghttp2_test.c $(UNUSED_TESTS:%=tests/unit/%.c), \
	$(wildcard tests/unit/*_test.c))
check-static:
	@sh tests/deps.sh build check static qemu \
		$(foreach a,$(CHECK_STATIC),cross/$(TRIPLET_$a))
	@+$(MAKE) --no-print-directory plugin
	@+for arch in $(CHECK_STATIC); do \
		$(MAKE) --no-print-directory static-$$arch && \
		$(STATIC_MAKE) ARCH=$$arch TESTS="$(STATIC_TESTS)" sources && \
		$(STATIC_MAKE) ARCH=$$arch TESTS="$(STATIC_TESTS)" units || \
		exit 1; done
	@PYTHON=$(PYTHON) sh static/check.sh $(CHECK_STATIC)
	@sh static/twice.sh $(STATIC_ARCH) $(VERSION) $(SRCS)
