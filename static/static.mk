# Builds one static executable, build/static/ARCH/xapsd, from musl, mbedTLS 3.6 and
# our sources:
#   make -f static/static.mk ARCH=mips VERSION=... SRCS="..."
# The Makefile calls it.  The result depends neither on the directory nor on the
# time or the order of files.

ROOT = build/static
OUT ?= $(ROOT)/$(ARCH)
MUSL = $(ROOT)/src/musl
MBEDTLS = $(ROOT)/src/mbedtls
CMOCKA = $(ROOT)/src/cmocka
LIBC = $(OUT)/musl

include static/arch.mk
include features.mk
TRIPLET = $(TRIPLET_$(ARCH))

CC = $(TRIPLET)-gcc
STRIP = $(TRIPLET)-strip

# --- flags ---

# One set for musl, mbedTLS and our files, on every machine: small code that the
# linker can leave out by the function, at an address of the kernel's choice.
SMALL = -Oz -fPIE -ffunction-sections -fdata-sections -fno-ident \
	-fno-asynchronous-unwind-tables -fno-unwind-tables \
	-fmerge-all-constants $(MACHINE) -ffile-prefix-map=$(CURDIR)/=
# Optimises across files, all at once; takes longer, saves 5 %.  (No plain
# -fstack-protector with it: gcc 12 would then see no array of char.)
LTO = -flto -flto-partition=one
# What mbedtls_config.h leaves out with a feature.
MBEDTLS_WITHOUT = $(filter $(addprefix -DXAPSD_WITHOUT_,P12 TLS_LISTENER TLS13 CSR), \
	$(FEATURE_FLAGS))
HEADERS = -nostdinc -isystem $(LIBC)/include \
	-isystem $(shell $(CC) -print-file-name=include) \
	-isystem $(MBEDTLS)/include \
	-DMBEDTLS_CONFIG_FILE='"static/mbedtls_config.h"'
CFLAGS = -std=c11 -D_GNU_SOURCE $(SMALL) $(LTO) -fstack-protector-strong \
	$(HEADERS) -iquote . $(MBEDTLS_WITHOUT)
WARN = -Wall -Wextra -Wshadow -Wcast-qual -Wmissing-prototypes \
	-Wstrict-prototypes -Wvla -Wredundant-decls -Werror
# -static -pie ... is -static-pie, which gcc knows for x86 only.
# Relative relocations in packed form: 16 KB.  ld 2.40 has it for x86 only.
LINK_x86_64 = -Wl,-z,pack-relative-relocs
LINK_i386 = $(LINK_x86_64)
LDFLAGS = -nostdlib -static -Wl,-pie,--no-dynamic-linker,-z,text $(MACHINE) \
	$(LTO) -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,relro,-z,now \
	-Wl,-z,noexecstack -Wl,-z,noseparate-code -Wl,--hash-style=gnu \
	$(LINK_$(ARCH))

# Only what a machine cannot do without: most MIPS routers have a 24Kc or alike,
# without FPU.  Debian's libgcc is for one with FPU; its integer functions, the
# only ones that we call, do not use it.
MIPS = -march=24kc -msoft-float
# Arrays are aligned as the ABI says, not to whole cache lines.
MACHINE_i386 = -malign-data=abi
# The stack protector's secret is a variable, as on other machines: 2.5 KB.
MACHINE_x86_64 = $(MACHINE_i386) -mstack-protector-guard=global
# AES-NI by the compiler: an eighth faster than by mbedTLS's assembler, which does not
# build without decryption either.
AESNI_x86_64 = -maes -mpclmul
MACHINE_mipsel = $(MIPS)
MACHINE_mips = $(MIPS)
MACHINE = $(MACHINE_$(ARCH))
# Their pages are of 4 or 16 KB; for 64 KB the file would have a hole of up to that.
LINK_mipsel = -Wl,--no-warn-mismatch -Wl,-z,max-page-size=16384
LINK_mips = $(LINK_mipsel)

MAP = -Wl,-Map=$@.map

MBEDTLS_OBJS = $(patsubst $(MBEDTLS)/library/%.c,$(OUT)/mbedtls/%.o, \
	$(sort $(wildcard $(MBEDTLS)/library/*.c)))
OBJS = $(patsubst %.c,$(OUT)/%.o,$(SRCS) static/relro.c)

Q = $(if $(V),,@)
SAY = $(if $(V),@:,@printf '  %-7s %s\n')

# --- sources: to be fetched before `all`, which lists the files in them ---

.PHONY: all sources
all: $(OUT)/xapsd
sources: $(MUSL)/.version $(MBEDTLS)/.version $(if $(TESTS),$(CMOCKA)/.version)

# Change when the flags or the version, and when the list of files changes.
FLAGS = $(CC) $(CFLAGS) $(AESNI_$(ARCH)) $(LDFLAGS) $(VERSION)
LIST = $(SRCS) $(FEATURE_FLAGS)
$(OUT)/flags: WORDS = $(FLAGS)
$(OUT)/list: WORDS = $(LIST)
$(OUT)/flags $(OUT)/list: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(WORDS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(WORDS))' >$@
.PHONY: FORCE

# Removes encryption by RSA, which we never use but a table refers to: 3 KB.
$(MBEDTLS)/.version:
	$(SAY) FETCH mbedtls
	$(Q)sh static/source.sh mbedtls '3\.6\.' $(MBEDTLS).new forky sid
	$(Q)sed -i 's/^\( *\.\(de\|en\)crypt_func =\) rsa_..crypt_wrap,/\1 NULL,/' \
		$(MBEDTLS).new/library/pk_wrap.c
	$(Q)! grep -q '= rsa_..crypt_wrap' $(MBEDTLS).new/library/pk_wrap.c
	$(Q)mv $(MBEDTLS).new $(MBEDTLS)

# musl's own make gets its jobs by this, since MAKEFLAGS is not passed on.
JOBS ?= -j2

# Removes %f from printf(), which we never use: without an FPU it needs functions
# that Debian's libgcc for MIPS does not have.  Also saves 7 KB.
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

# Two fifths of musl's files we never call; leaving them out shortens the build.
MUSL_DIRS = $(filter-out %/math %/complex %/fenv %/crypt %/aio %/mq %/regex, \
	$(patsubst $(MUSL)/%,../../src/musl/%,$(sort $(wildcard $(MUSL)/src/*)))) \
	../../src/musl/src/malloc/mallocng ../../src/musl/crt

$(LIBC)/lib/libc.a: $(OUT)/musl-flags | $(MUSL)/.version
	$(SAY) MUSL $(ARCH)
	$(Q)rm -rf $(LIBC) $(OUT)/musl-obj && mkdir -p $(OUT)/musl-obj
	$(Q)cd $(OUT)/musl-obj && { ../../src/musl/configure --target=$(TRIPLET) \
		--prefix=$(abspath $(LIBC)) --disable-shared --disable-wrapper \
		CC=$(CC) CROSS_COMPILE=$(TRIPLET)- CFLAGS="$(SMALL)" && \
		MAKEFLAGS= $(MAKE) $(JOBS) SRC_DIRS="$(MUSL_DIRS)" install; } \
		>log 2>&1 || { tail -n 20 log >&2; exit 1; }

$(patsubst %,$(OUT)/mbedtls/%.o,aes aesni gcm): private CFLAGS += $(AESNI_$(ARCH))
$(OUT)/mbedtls/ssl_%.o: private CFLAGS += -include static/mbedtls_tls.h
$(OUT)/mbedtls/%.o: $(MBEDTLS)/library/%.c static/mbedtls_config.h \
		static/mbedtls_tls.h static/psa_config.h $(OUT)/flags | \
		$(LIBC)/lib/libc.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

$(OUT)/features.o: $(OUT)/list
$(OUT)/features.o: CFLAGS += $(FEATURE_FLAGS)
$(OUT)/%.o: %.c static/mbedtls_config.h static/psa_config.h $(OUT)/flags | \
		$(LIBC)/lib/libc.a
	@mkdir -p $(@D)
	$(SAY) CC "$< ($(ARCH))"
	$(Q)$(CC) $(CFLAGS) $(WARN) -DXAPSD_VERSION='"$(VERSION)"' \
		-DXAPSD_BUILD='"$(ARCH), static with musl"' -MMD -MP \
		-c -o $@ $<

LIBS = -L$(LIBC)/lib -Wl,--start-group -lc -lgcc -Wl,--end-group

$(OUT)/xapsd: $(OBJS) $(MBEDTLS_OBJS) $(LIBC)/lib/libc.a $(OUT)/list
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(MAP) -o $@.full $(LIBC)/lib/rcrt1.o \
		$(LIBC)/lib/crti.o $(OBJS) $(MBEDTLS_OBJS) $(LIBS) \
		$(LIBC)/lib/crtn.o
	$(Q)$(STRIP) -s -R .comment -R .note.gnu.property -o $@.bare $@.full
	$(Q)! $(TRIPLET)-readelf -ldW $@.bare | \
		grep -E 'INTERP|NEEDED|TEXTREL|RWE' || \
		{ echo "$@: not static, or not safe" >&2; exit 1; }
	$(Q)mv $@.bare $@

-include $(wildcard $(OUT)/*.d $(OUT)/*/*.d)

# --- the unit tests, for the same machine ---

$(CMOCKA)/.version:
	$(SAY) FETCH cmocka
	$(Q)sh static/source.sh cmocka '1\.1' $(CMOCKA) bookworm

# cmocka.h would define uintptr_t, wrongly: it only looks for glibc's macro.
TEST_CFLAGS = $(CFLAGS) -I$(CMOCKA)/include -DHAVE_CONFIG_H \
	-D_UINTPTR_T_DEFINED
UNITS = $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(TESTS))

$(OUT)/unit/cmocka.o: $(CMOCKA)/.version static/cmocka_config.h $(OUT)/flags
	@mkdir -p $(@D)/include
	$(Q)cp static/cmocka_config.h $(@D)/include/config.h
	$(Q)$(CC) $(TEST_CFLAGS) -I$(@D)/include -c -o $@ $(CMOCKA)/src/cmocka.c

# An archive: a test is linked with what it calls and nothing more.
$(OUT)/unit/all.a: $(OBJS) $(MBEDTLS_OBJS) $(OUT)/list
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(TRIPLET)-gcc-ar qcsD $@ \
		$(filter-out $(OUT)/xapsd.o,$(OBJS)) $(MBEDTLS_OBJS)

$(OUT)/unit/%: tests/unit/%.c $(OUT)/unit/cmocka.o $(OUT)/unit/all.a
	$(SAY) TEST $@
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP $(LDFLAGS) -o $@ \
		$(LIBC)/lib/rcrt1.o $(LIBC)/lib/crti.o $< \
		$(OUT)/unit/cmocka.o $(OUT)/unit/all.a $(LIBS) $(LIBC)/lib/crtn.o

.PHONY: units
units: $(UNITS)
-include $(wildcard $(OUT)/unit/*.d)
