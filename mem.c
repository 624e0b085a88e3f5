/* mem.c - allocation that ends the process when there is no memory. */
#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static void *alloc_check(void *p, size_t n)
{
	if (p == NULL) {
		log_at(LOG_L_FATAL, "memory: cannot allocate %zu bytes", n);
		abort();
	}
	return p;
}

void *xmalloc(size_t n)
{
	return alloc_check(malloc(n ? n : 1), n);
}

void *xcalloc(size_t n, size_t size)
{
	return alloc_check(calloc(n ? n : 1, size ? size : 1), n * size);
}

void *xrealloc(void *p, size_t n)
{
	return alloc_check(realloc(p, n ? n : 1), n);
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
	char *p = xmalloc(n + 1);

	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *xprintf(const char *fmt, ...)
{
	va_list ap, again;
	size_t size;
	char *p;

	va_start(ap, fmt);
	va_copy(again, ap);
	size = (size_t)vsnprintf(NULL, 0, fmt, ap) + 1;
	p = xmalloc(size);
	vsnprintf(p, size, fmt, again);
	va_end(again);
	va_end(ap);
	return p;
}

void mem_wipe(void *p, size_t n)
{
	memset(p, 0, n);
	__asm__ volatile("" : : "r"(p) : "memory");
}

void mem_wipe_free(void *p, size_t n)
{
	if (p != NULL)
		mem_wipe(p, n);
	free(p);
}

void mem_free_wiped(char *s)
{
	mem_wipe_free(s, s != NULL ? strlen(s) : 0);
}
