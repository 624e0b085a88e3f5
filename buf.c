/* buf.c - growing bytes with a ceiling from birth. */
#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define BUF_FIRST 256 /* bytes; most requests and answers fit */

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf)BUF_INIT(max);
}

void buf_free(struct buf *b)
{
	free(b->mem);
	buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
	b->off = 0;
	b->len = 0;
	b->failed = false;
}

unsigned char *buf_reserve(struct buf *b, size_t n)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST;

	if (b->len > b->max || n > b->max - b->len) {
		b->failed = true;
		return NULL;
	}
	if (b->off + b->len + n <= b->cap)
		return b->mem + b->off + b->len;
	/* Moving is cheap as long as the dead half is the larger one. */
	if (b->len + n <= b->cap && b->off >= b->len) {
		memmove(b->mem, b->mem + b->off, b->len);
		b->off = 0;
		return b->mem + b->len;
	}
	while (cap < b->len + n)
		cap *= 2;
	if (b->off != 0) {
		memmove(b->mem, b->mem + b->off, b->len);
		b->off = 0;
	}
	if (cap > b->cap) {
		b->mem = xrealloc(b->mem, cap);
		b->cap = cap;
	}
	return b->mem + b->len;
}

void buf_added(struct buf *b, size_t n)
{
	assert(b->off + b->len + n <= b->cap);
	b->len += n;
}

bool buf_add(struct buf *b, const void *data, size_t n)
{
	unsigned char *p;

	if (n == 0)
		return true;
	p = buf_reserve(b, n);
	if (p == NULL)
		return false;
	memcpy(p, data, n);
	b->len += n;
	return true;
}

bool buf_add_byte(struct buf *b, unsigned char c)
{
	return buf_add(b, &c, 1);
}

bool buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

bool buf_add_fmt(struct buf *b, const char *fmt, ...)
{
	unsigned char *p;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	/* One more for vsnprintf's NUL, which is not counted in. */
	p = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
	if (p == NULL) {
		b->failed = true;
		return false;
	}
	va_start(ap, fmt);
	vsnprintf((char *)p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return true;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->len);
	b->off += n;
	b->len -= n;
	if (b->len == 0)
		b->off = 0;
}
