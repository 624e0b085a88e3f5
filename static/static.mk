# One static executable for ARCH, from musl, mbedTLS 3.6 and our sources:
#   make -f static/static.mk ARCH=mips VERSION=... SRCS="..."
# makes build/static/ARCH/xapsd; the Makefile calls it.  Nothing in the result
# depends on the directory, the time or the order of files.

ROOT = build/static
OUT ?= $(ROOT)/$(ARCH)
MUSL = $(ROOT)/src/musl
MBEDTLS = $(ROOT)/src/mbedtls
CMOCKA = $(ROOT)/src/cmocka
LIBC = $(OUT)/musl

include static/arch.mk
TRIPLET = $(TRIPLET_$(ARCH))

# Flags where the compiler's default is not what small machines have.
# One atomic counter is no reason for runtime detection of LSE.
MACHINE_aarch64 = -mno-outline-atomics
MACHINE_armel = -march=armv5te -mthumb
MIPS = -march=24kc -mtune=24kc -msoft-float -minterlink-mips16
MACHINE_mipsel = $(MIPS)
MACHINE_mips = $(MIPS)
MACHINE = $(MACHINE_$(ARCH))

# Position-independent, so that the kernel loads it at an address of its choice.
# On MIPS that and its 32-bit instructions would make it twice as large, on
# machines with 8 MB of flash.
PIE = -fPIE
# What gcc's -static-pie means for x86 alone.
LINK_PIE = -static -Wl,-pie,--no-dynamic-linker,-z,text
START = rcrt1.o
ifneq ($(filter mips%,$(ARCH)),)
PIE = -fno-pie
LINK_PIE = -static -no-pie
START = crt1.o
OUR_MACHINE = -mips16 -DXAPSD_NO_ASM
endif

# Relative relocations in packed form: 10 KB.  ld 2.40 has it for x86 only.
LINK_x86_64 = -Wl,-z,pack-relative-relocs
LINK_i386 = -Wl,-z,pack-relative-relocs
# Debian's libgcc is for hard float; we use its integer parts alone.  A kernel for
# a 24Kc has pages of 4 KB; room for 64 KB would be 41 KB of nothing in the file.
LINK_mipsel = -Wl,--no-warn-mismatch -Wl,-z,max-page-size=4096
LINK_mips = $(LINK_mipsel)

CC = $(TRIPLET)-gcc
STRIP = $(TRIPLET)-strip
# Costs patience and maps; gains 4 %.
LTO = -flto=2

SMALL = -Oz -ffunction-sections -fdata-sections -fno-ident \
	-fno-asynchronous-unwind-tables -fno-unwind-tables \
	-fmerge-all-constants $(MACHINE) $(PIE)
PLACE = -ffile-prefix-map=$(CURDIR)/=
HEADERS = -nostdinc -isystem $(LIBC)/include \
	-isystem $(shell $(CC) -print-file-name=include)
CFLAGS = -std=c11 -D_GNU_SOURCE $(SMALL) $(PLACE) $(OUR_MACHINE) $(LTO) -fstack-protector-strong \
	$(HEADERS) -iquote . -I$(MBEDTLS)/include \
	-DMBEDTLS_CONFIG_FILE='"static/mbedtls_config.h"' $(DEFINES)
WARN = -Wall -Wextra -Wshadow -Wcast-qual -Wmissing-prototypes \
	-Wstrict-prototypes -Wvla -Werror
LDFLAGS = -nostdlib $(LINK_PIE) $(MACHINE) $(LTO) -Wl,--gc-sections \
	-Wl,--build-id=none -Wl,-z,relro,-z,now -Wl,-z,noexecstack \
	-Wl,-z,noseparate-code -Wl,--hash-style=gnu $(LINK_$(ARCH))
MAP = -Wl,-Map=$@.map

MBEDTLS_OBJS = $(patsubst $(MBEDTLS)/library/%.c,$(OUT)/mbedtls/%.o, \
	$(sort $(wildcard $(MBEDTLS)/library/*.c)))
OBJS = $(patsubst %.c,$(OUT)/%.o,$(SRCS) static/relro.c)

Q = $(if $(V),,@)
SAY = $(if $(V),@:,@printf '  %-7s %s\n')

# The sources first: which files there are is asked of the folder.
.PHONY: all sources
all: $(OUT)/xapsd
sources: $(MUSL)/.version $(MBEDTLS)/.version $(if $(TESTS),$(CMOCKA)/.version)

# Changes when what is compiled changes otherwise than by its files.
FLAGS = $(CC) $(CFLAGS) $(LDFLAGS) $(VERSION) $(SRCS)
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(FLAGS))' >$@
.PHONY: FORCE

$(MBEDTLS)/.version:
	$(SAY) FETCH mbedtls
	$(Q)sh static/source.sh mbedtls '3\.6\.' $(MBEDTLS) forky sid

# Our make's variables are no business of musl's make.
JOBS ?= -j2

# printf's %f is cut out: 7 KB, and without a floating-point unit it would need
# routines that Debian's libgcc for MIPS lacks.  We never print one.
$(MUSL)/.version:
	$(SAY) FETCH musl
	$(Q)sh static/source.sh musl '1\.2\.5' $(MUSL).new trixie
	$(Q)sed -i '/^static int fmt_fp/,/^{/s/^{/{ return -1;/' \
		$(MUSL).new/src/stdio/vfprintf.c
	$(Q)grep -q '^{ return -1;' $(MUSL).new/src/stdio/vfprintf.c
	$(Q)mv $(MUSL).new $(MUSL)

$(OUT)/musl-flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(SMALL) $(MUSL_DIRS)' | cmp -s - $@ || \
		echo '$(CC) $(SMALL) $(MUSL_DIRS)' >$@

# Two of five files are for arithmetic and for programs of old: nobody calls them.
MUSL_DIRS = $(filter-out %/math %/complex %/fenv %/crypt %/aio %/mq %/regex, \
	$(patsubst $(MUSL)/%,../../src/musl/%,$(sort $(wildcard $(MUSL)/src/*)))) \
	../../src/musl/src/malloc/mallocng ../../src/musl/crt

$(LIBC)/lib/libc.a: $(OUT)/musl-flags | $(MUSL)/.version
	$(SAY) MUSL $(ARCH)
	$(Q)rm -rf $(LIBC) $(OUT)/musl-obj && mkdir -p $(OUT)/musl-obj
	$(Q)cd $(OUT)/musl-obj && { ../../src/musl/configure --target=$(TRIPLET) \
		--prefix=$(abspath $(LIBC)) --disable-shared --disable-wrapper \
		CC=$(CC) CROSS_COMPILE=$(TRIPLET)- CFLAGS="$(SMALL) $(PLACE)" && \
		MAKEFLAGS= $(MAKE) $(JOBS) SRC_DIRS="$(MUSL_DIRS)" install; } >log 2>&1 || { tail -n 20 log >&2; exit 1; }

$(OUT)/mbedtls/%.o: $(MBEDTLS)/library/%.c static/mbedtls_config.h \
		static/psa_config.h $(OUT)/flags | $(LIBC)/lib/libc.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

$(OUT)/%.o: %.c static/mbedtls_config.h static/psa_config.h $(OUT)/flags | \
		$(LIBC)/lib/libc.a
	@mkdir -p $(@D)
	$(SAY) CC "$< ($(ARCH))"
	$(Q)$(CC) $(CFLAGS) $(WARN) -DXAPSD_VERSION='"$(VERSION)"' \
		-DXAPSD_BUILD='"$(ARCH), static with musl"' -MMD -MP \
		-c -o $@ $<

LIBS = -L$(LIBC)/lib -Wl,--start-group -lc -lgcc -Wl,--end-group

$(OUT)/xapsd: $(OBJS) $(MBEDTLS_OBJS) $(LIBC)/lib/libc.a
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(MAP) -o $@.full $(LIBC)/lib/$(START) \
		$(LIBC)/lib/crti.o $(OBJS) $(MBEDTLS_OBJS) $(LIBS) \
		$(LIBC)/lib/crtn.o
	$(Q)$(STRIP) -s -R .comment -R .note.gnu.property -o $@.bare $@.full
	$(Q)! $(TRIPLET)-readelf -ldW $@.bare | \
		grep -E 'INTERP|NEEDED|TEXTREL|RWE' || \
		{ echo "$@: not static, or not safe" >&2; exit 1; }
	$(Q)mv $@.bare $@

-include $(wildcard $(OUT)/*.d)

# --- the unit tests, for the same machine ---

$(CMOCKA)/.version:
	$(SAY) FETCH cmocka
	$(Q)sh static/source.sh cmocka '1\.1' $(CMOCKA) bookworm

# cmocka.h would guess at uintptr_t, and wrongly, where glibc does not define it.
TEST_CFLAGS = $(CFLAGS) -I$(CMOCKA)/include -DHAVE_CONFIG_H \
	-D_UINTPTR_T_DEFINED
UNITS = $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(TESTS))

$(OUT)/unit/cmocka.o: $(CMOCKA)/.version static/cmocka_config.h $(OUT)/flags
	@mkdir -p $(@D)/include
	$(Q)cp static/cmocka_config.h $(@D)/include/config.h
	$(Q)$(CC) $(TEST_CFLAGS) -I$(@D)/include -c -o $@ $(CMOCKA)/src/cmocka.c

# An archive: a test is linked with what it calls and nothing more.
$(OUT)/unit/all.a: $(OBJS) $(MBEDTLS_OBJS)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(TRIPLET)-gcc-ar qcsD $@ \
		$(filter-out $(OUT)/xapsd.o,$(OBJS)) $(MBEDTLS_OBJS)

$(OUT)/unit/%: tests/unit/%.c $(OUT)/unit/cmocka.o $(OUT)/unit/all.a
	$(SAY) TEST $@
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP $(LDFLAGS) -o $@ \
		$(LIBC)/lib/$(START) $(LIBC)/lib/crti.o $< \
		$(OUT)/unit/cmocka.o $(OUT)/unit/all.a $(LIBS) $(LIBC)/lib/crtn.o

.PHONY: units
units: $(UNITS)
-include $(wildcard $(OUT)/unit/*.d)
