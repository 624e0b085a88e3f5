/* shared/resp.h - RESP, the protocol of Valkey and Redis: versions 2 and 3, no I/O.
 * (https://valkey.io/topics/protocol/)
 *
 * The reader gives a reply item by item, so that memory is needed for the longest
 * string only: an array is an item that says how many follow. */
#ifndef SHARED_RESP_H
#define SHARED_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

/* The longest string: a registration's line has 544 KiB at most. */
#define RESP_STRING_MAX (1024u * 1024)
/* The longest line: an error, a number or a length. */
#define RESP_LINE_MAX (16u * 1024)
/* Items of one reply: a user's hash has two for each of at most 10,000 devices and
 * for each that was removed; a hundred users' keys come at once. */
#define RESP_ITEMS_MAX (1024u * 1024)
/* Arrays in arrays: no reply that we ask for has more than three. */
#define RESP_DEPTH_MAX 8
/* What the input buffer has to hold. */
#define RESP_IN_MAX (RESP_STRING_MAX + RESP_LINE_MAX)

enum resp_type {
	RESP_SKIP, /* part of an attribute: to be ignored */
	RESP_NULL,
	RESP_STRING,
	RESP_ERROR,
	RESP_INT,    /* n; a boolean is 0 or 1 */
	RESP_NUMBER, /* a double or a big number, as text */
	RESP_ARRAY,  /* n items follow; also a set */
	RESP_MAP,    /* n items follow: keys and values in turn */
	RESP_PUSH,   /* n items follow; belongs to no request */
};

struct resp_item {
	enum resp_type type;
	unsigned depth;	  /* 0: the reply itself */
	bool last;	  /* the reply is complete */
	const char *text; /* into the input, not terminated */
	size_t len;
	int64_t n;
};

/* All zero at first. */
struct resp {
	uint32_t left[RESP_DEPTH_MAX]; /* items of the open arrays */
	unsigned depth;
	unsigned attributes; /* bits: which of them are attributes */
	uint32_t items;	     /* of this reply */
	const char *reason;  /* why resp_read() failed */
};

#define RESP_MORE 0

/* Reads one item.  Returns how many bytes it took, RESP_MORE, or -1: r->reason says
 * why, and nothing can be read any more. */
ssize_t resp_read(
    struct resp *r, const char *p, size_t len, struct resp_item *it);

/* A request is an array of n strings.  What does not fit marks b as failed. */
void resp_write_array(struct buf *b, size_t n);
void resp_write_string(struct buf *b, const char *s, size_t len);

#endif
