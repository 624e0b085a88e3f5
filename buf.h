/* buf.h - growing bytes with a ceiling from birth, hex digits, and allocation
 * that dies.
 *
 * A buf is a queue: bytes are added at the tail and consumed at the head.  It
 * allocates at the first byte.  An addition beyond the ceiling adds nothing,
 * returns false and sets `failed`, so that a writer of many pieces may check
 * once at the end. */
#ifndef BUF_H
#define BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	unsigned char *mem; /* NULL until first use */
	size_t off;	    /* first unread byte */
	size_t len;	    /* unread bytes */
	size_t cap;
	size_t max;  /* ceiling of len */
	bool failed; /* an addition did not fit; sticky */
};

#define BUF_INIT(ceiling)                                                      \
	{                                                                      \
		.max = (ceiling)                                               \
	}

void buf_init(struct buf *b, size_t max);
/* Gives the memory back; the buf is empty and may be used again. */
void buf_free(struct buf *b);
/* Empty again, memory kept, failed cleared. */
void buf_reset(struct buf *b);

static inline unsigned char *buf_head(const struct buf *b)
{
	return b->mem + b->off;
}

/* Makes room for n more bytes and returns where they go (then buf_added(b, k)
 * with k <= n), or NULL if they would not fit. */
unsigned char *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

bool buf_add(struct buf *b, const void *data, size_t n);
bool buf_add_byte(struct buf *b, unsigned char c);
bool buf_add_str(struct buf *b, const char *s);
bool buf_add_fmt(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops n <= len bytes from the head. */
void buf_consume(struct buf *b, size_t n);

/* The value and 1 of the hex digits, 0 of all else: device tokens are random, a
 * branch would be guessed wrongly every third time. */
extern const unsigned char hex_values[256];

/* A hex digit's value, -1: it is none. */
static inline int hex_digit(char c)
{
	return hex_values[(unsigned char)c] - 1;
}

/* Packs digits, the high half of a byte first; the low half of an odd last one
 * is 0.  False if one of them is not hex. */
bool hex_read(const char *digits, size_t n_digits, void *out);
/* Writes two lower-case digits for each of the n bytes, and no NUL. */
void hex_write(const void *data, size_t n, char *out);

/* Base64 (RFC 4648 4), or with url that of its section 5 without padding, and a
 * NUL: BASE64_SIZE(n) bytes at most.  Returns the length. */
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)
size_t base64_write(const void *data, size_t n, bool url, char *out);
/* A digit's value, -1: it is none. */
int base64_digit(char c);

/* Allocation that ends the process when there is no memory. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);

/* Overwrites secrets in a way that the compiler keeps. */
void mem_wipe(void *p, size_t n);

#endif
