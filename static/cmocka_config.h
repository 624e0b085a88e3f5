/* cmocka_config.h - stands in for what cmocka's own build finds out, on musl.
 * No thread-local variables: ld 2.40 makes a text relocation of them on riscv64. */
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

/* Nor floating point, nor the times of tests, which are taken with it: on MIPS
 * Debian's libgcc would use a unit that a router has not. */
#define double long
#define float long

#endif
