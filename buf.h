/* buf.h - growing bytes with a ceiling from birth.
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

/* Reserves space for n more bytes and returns where to write them (then call
 * buf_added(b, k) with k <= n), or NULL if they would not fit. */
unsigned char *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

bool buf_add(struct buf *b, const void *data, size_t n);
bool buf_add_byte(struct buf *b, unsigned char c);
bool buf_add_str(struct buf *b, const char *s);
bool buf_add_fmt(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops n <= len bytes from the head. */
void buf_consume(struct buf *b, size_t n);

#endif
