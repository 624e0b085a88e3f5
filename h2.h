/* h2.h - HTTP/2 client engine (RFC 9113): bytes in, bytes out.
 *
 * No fd, no clock: the owner carries bytes and passes the time.  Callbacks may
 * call h2_request(), h2_ping(), h2_goodbye() and (header() excepted) h2_cancel(),
 * never h2_recv(), h2_close() or h2_free().
 *
 * Memory: about 2 KiB for a connection, 6 KiB for each way's header table at
 * its first entry, 80 bytes for every request that was ever open at once (kept
 * for the next ones), and H2_BODY_MAX only for an answer that has a body. */
#ifndef H2_H
#define H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h2/hpack.h"

struct buf;
struct h2;

/* Kept of an answer's body; the rest is counted and thrown away, and after 32
 * KiB the stream is cancelled and the answer taken as it is.  APNs' reasons are
 * under 100 bytes. */
#define H2_BODY_MAX 1024

/* Most bytes that the headers of one request may take, with HPACK_BLOCK_EXTRA:
 * one frame, which every server must take (9113 4.2). */
#define H2_REQUEST_HEADERS_MAX 16384

enum h2_outcome {
	H2_DONE,	/* a whole, well-formed response: status is set */
	H2_UNPROCESSED, /* surely not processed: may be sent again at once */
	H2_LOST,	/* no telling whether it was processed */
};

struct h2_response {
	enum h2_outcome outcome;
	int status;	    /* 200 to 599 if H2_DONE, else 0 */
	uint32_t error;	    /* RST_STREAM or GOAWAY code if not H2_DONE */
	const char *reason; /* static sentence if not H2_DONE, else NULL */
	const unsigned char *body; /* first H2_BODY_MAX bytes; not terminated */
	size_t body_len;
};

struct h2_ops {
	/* The server's first SETTINGS are in: requests may be opened. */
	void (*ready)(void *arg);
	/* A header field of a final response, the pseudo ones excepted; may
	 * be NULL.  It counts only once response() says H2_DONE. */
	void (*header)(void *arg, void *owner, const char *name,
	    size_t name_len, const char *value, size_t value_len);
	/* The one and only end of a request. */
	void (*response)(void *arg, void *owner, const struct h2_response *r);
	/* The server wants no more requests here (GOAWAY); what it did not
	 * process was answered H2_UNPROCESSED.  debug is not terminated.  May
	 * come twice: a warning first, then the end. */
	void (*goaway)(void *arg, uint32_t error, const unsigned char *debug,
	    size_t debug_len);
	/* Answer to h2_ping(). */
	void (*pong)(void *arg);
};

/* Queues the preface and our SETTINGS.  max_streams: most requests open at once
 * from our side.  authority and scheme are not needed: they are headers. */
struct h2 *h2_new(const struct h2_ops *ops, void *arg, uint32_t max_streams);
void h2_free(struct h2 *h);

/* Takes all n bytes.  0, or -1 when the connection is over: a GOAWAY may wait
 * in the output, h2_error() says why.  Then h2_close(). */
int h2_recv(struct h2 *h, const unsigned char *data, size_t n, int64_t now_ms);

/* The bytes to be sent: write from its head and buf_consume().  Bodies that
 * flow control held back are added by this call: ask again after h2_recv() and
 * when all was written. */
struct buf *h2_out(struct h2 *h);

/* How many requests may be opened now: 0 before SETTINGS, after GOAWAY, when
 * stream ids are used up, and while bodies could only be stored (64 KiB of
 * output wait, or the connection's window is empty).  Ask after h2_recv() and
 * when all was written. */
uint32_t h2_room(const struct h2 *h);
/* Requests without an answer yet. */
uint32_t h2_open_count(const struct h2 *h);
/* No new request will ever be possible: open another connection. */
bool h2_is_finished(const struct h2 *h);

/* Opens one POST-like request; headers with pseudo-headers first, body copied
 * if it cannot go out at once.  Returns the stream id, or 0 if h2_room() is 0
 * or the headers are over H2_REQUEST_HEADERS_MAX. */
uint32_t h2_request(struct h2 *h, const struct hpack_header *headers, size_t n,
    const void *body, size_t body_len, void *owner);
/* Gives up on a request: RST_STREAM CANCEL; no response callback follows. */
void h2_cancel(struct h2 *h, uint32_t id);

/* Sends a PING; pong() answers.  At most one is outstanding. */
void h2_ping(struct h2 *h);
bool h2_ping_outstanding(const struct h2 *h);

/* Queues GOAWAY NO_ERROR (we are leaving); no new request follows, the open
 * ones are answered. */
void h2_goodbye(struct h2 *h);

/* The transport is gone: every open request gets its response() with
 * H2_UNPROCESSED or H2_LOST. */
void h2_close(struct h2 *h);

/* Why h2_recv() returned -1, a sentence with the RFC error name. */
const char *h2_error(const struct h2 *h);

/* Name of an error code of RFC 9113 7; "code 0x…" for an unknown one, good
 * until the next call. */
const char *h2_error_name(uint32_t code);

#endif
