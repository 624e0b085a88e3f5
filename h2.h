/* h2.h - HTTP/2 client engine (RFC 9113): bytes in, bytes out.
 *
 * It has no fd and reads no clock: its owner moves the bytes and passes the
 * time in.  Callbacks may call h2_request(), h2_ping(), h2_send_goaway() and,
 * except from header(), h2_cancel(); never h2_recv(), h2_close() or h2_free().
 *
 * Memory: about 2 KiB for a connection, 6 KiB for the header table of each
 * direction at its first entry, 80 bytes for each of the most requests that
 * were ever open at once (reused by later ones), and body_max for an answer,
 * if it has a body. */
#ifndef H2_H
#define H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h2/hpack.h"

struct buf;
struct h2;

/* The most that can be kept of an answer's body.  The rest is counted and
 * discarded; after 32 KiB the stream is cancelled and the answer is used as it
 * is. */
#define H2_BODY_MAX 32767

/* The limit of a request's headers, HPACK_BLOCK_EXTRA included: one frame of
 * the size that every server has to accept (9113 4.2). */
#define H2_REQUEST_HEADERS_MAX 16384

enum h2_outcome {
	H2_DONE,	/* a whole, well-formed response: status is set */
	H2_UNPROCESSED, /* certainly not processed: may be resent at once */
	H2_LOST,	/* may have been processed or not */
};

struct h2_response {
	enum h2_outcome outcome;
	int status;	    /* 200 to 599 if H2_DONE, else 0 */
	uint32_t error;	    /* RST_STREAM or GOAWAY code if not H2_DONE */
	const char *reason; /* static text if not H2_DONE, else NULL */
	const unsigned char *body; /* first body_max bytes; no NUL */
	size_t body_len;
};

struct h2_ops {
	/* The server's first SETTINGS have arrived: requests may be opened. */
	void (*ready)(void *arg);
	/* A header field of a final response, but no pseudo-header; may be
	 * NULL.  Valid only if response() reports H2_DONE later. */
	void (*header)(void *arg, void *owner, const char *name,
	    size_t name_len, const char *value, size_t value_len);
	/* A request has ended; called exactly once for each. */
	void (*response)(void *arg, void *owner, const struct h2_response *r);
	/* The server accepts no more requests on this connection (GOAWAY);
	 * those that it will not process have ended as H2_UNPROCESSED.  debug
	 * has no NUL.  May come twice: first a warning, then the end. */
	void (*goaway)(void *arg, uint32_t error, const unsigned char *debug,
	    size_t debug_len);
};

/* Queues the preface and our SETTINGS.  max_streams: our own limit of requests
 * that are open at once.  body_max: bytes that are kept of each answer's body, up
 * to H2_BODY_MAX.  Scheme and authority are given with each request. */
struct h2 *h2_new(const struct h2_ops *ops, void *arg, uint32_t max_streams,
    uint16_t body_max);
void h2_free(struct h2 *h);

/* Processes all n bytes.  Returns 0, or -1 when the connection has failed: then
 * h2_error() says why and a GOAWAY may be in the output; then h2_close(). */
int h2_recv(struct h2 *h, const unsigned char *data, size_t n, int64_t now_ms);

/* The bytes to be sent: write from its head and buf_consume().  This call also
 * adds what flow control allows of waiting request bodies: call it again after
 * h2_recv() and after everything was written. */
struct buf *h2_out(struct h2 *h);

/* How many requests may be opened now: 0 before SETTINGS, after GOAWAY, when
 * the stream ids are used up, and while a body could only be stored (64 KiB of
 * output are waiting, or the connection's window is empty).  Changes with
 * h2_recv() and with what was written. */
uint32_t h2_capacity(const struct h2 *h);
/* No more requests will be possible: open another connection. */
bool h2_is_finished(const struct h2 *h);

/* Opens one request.  Pseudo-headers come first; the body is copied if it
 * cannot be sent at once.  Returns the stream id, or 0 if h2_capacity() is 0 or the
 * headers are over H2_REQUEST_HEADERS_MAX. */
uint32_t h2_request(struct h2 *h, const struct hpack_header *headers, size_t n,
    const void *body, size_t body_len, void *owner);
/* Abandons a request (RST_STREAM CANCEL); response() is not called for it. */
void h2_cancel(struct h2 *h, uint32_t id);

/* Sends a PING, unless one is outstanding: not answered yet. */
void h2_ping(struct h2 *h);
bool h2_ping_outstanding(const struct h2 *h);

/* Queues GOAWAY NO_ERROR: no request may be opened any more, the open ones can
 * still be answered. */
void h2_send_goaway(struct h2 *h);

/* The transport is closed: every open request ends as H2_LOST. */
void h2_close(struct h2 *h);

/* Why h2_recv() returned -1: the RFC's name of the error, and a sentence. */
const char *h2_error(const struct h2 *h);

#define H2_ERROR_NAME_MAX sizeof("unknown error (0xffffffff)")

/* The name of an error code (RFC 9113 7); if it has none, writes one with the
 * number to buf and returns that. */
const char *h2_error_name(uint32_t code, char buf[H2_ERROR_NAME_MAX]);

#endif
