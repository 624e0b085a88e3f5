/* buf.c - growing bytes with a ceiling from birth, hex digits, and allocation
 * that dies. */
#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

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

/* --- hex --- */

const unsigned char hex_values[256] = {
	/* clang-format off */
	['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
	['A'] = 11, 12, 13, 14, 15, 16,
	['a'] = 11, 12, 13, 14, 15, 16,
	/* clang-format on */
};

bool hex_read(const char *digits, size_t n_digits, void *out)
{
	unsigned char *to = out;
	int high, low;
	size_t i;

	for (i = 0; i < n_digits; i += 2) {
		high = hex_digit(digits[i]);
		low = i + 1 < n_digits ? hex_digit(digits[i + 1]) : 0;
		if ((high | low) < 0)
			return false;
		*to++ = (unsigned char)(high << 4 | low);
	}
	return true;
}

void hex_write(const void *data, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = data;

	while (n-- > 0) {
		*out++ = digits[*from >> 4];
		*out++ = digits[*from++ & 15];
	}
}

/* --- Base64 --- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char base64_char(unsigned int v, bool url)
{
	v &= 63;
	return url && v >= 62 ? "-_"[v - 62] : base64_digits[v];
}

size_t base64_write(const void *data, size_t n, bool url, char *out)
{
	const unsigned char *p = data;
	unsigned int bits = 0;
	size_t i, len = 0;
	int have = 0;

	for (i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		for (have += 8; have >= 6; have -= 6)
			out[len++] = base64_char(bits >> (have - 6), url);
	}
	if (have > 0)
		out[len++] = base64_char(bits << (6 - have), url);
	while (!url && len % 4 != 0)
		out[len++] = '=';
	out[len] = '\0';
	return len;
}

int base64_digit(char c)
{
	const char *p = c != '\0' ? strchr(base64_digits, c) : NULL;

	return p != NULL ? (int)(p - base64_digits) : -1;
}

/* --- allocation --- */

static void *alloc_check(void *p, size_t n)
{
	if (p == NULL) {
		log_at(LOG_L_FATAL, "memory: no room for %zu bytes", n);
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

void mem_wipe(void *p, size_t n)
{
	memset(p, 0, n);
	__asm__ volatile("" : : "r"(p) : "memory");
}
