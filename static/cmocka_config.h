/* cmocka_config.h - what cmocka's own build would detect on musl.  No
 * thread-local variables: ld 2.40 makes text relocations of them on riscv64. */
#ifndef XAPSD_CMOCKA_CONFIG_H
#define XAPSD_CMOCKA_CONFIG_H

#define HAVE_INTTYPES_H 1
#define HAVE_MALLOC_H 1
#define HAVE_SETJMP_H 1
#define HAVE_SIGNAL_H 1
#define HAVE_STDINT_H 1
#define HAVE_STRINGS_H 1
#define HAVE_STRING_H 1
#define HAVE_TIME_H 1
#define HAVE_UNISTD_H 1
#define HAVE_STRSIGNAL 1
#define HAVE_SIGLONGJMP 1

/* No floating point either, and so no durations of tests: on MIPS, Debian's
 * libgcc would use an FPU, which routers lack. */
#define double long
#define float long

#endif
