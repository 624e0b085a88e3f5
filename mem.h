/* mem.h - allocation that ends the process when there is no memory. */
#ifndef MEM_H
#define MEM_H

#include <stddef.h>

/* n may be 0: the result is never NULL. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
/* As printf() would print it. */
char *xprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Overwrites secrets in a way that the compiler keeps. */
void mem_wipe(void *p, size_t n);
/* Frees one of n bytes, or a string that is one; they may be NULL. */
void mem_wipe_free(void *p, size_t n);
void mem_free_wiped(char *s);

#endif
