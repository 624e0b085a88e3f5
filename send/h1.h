/* send/h1.h - HTTP/1.1 client engine (RFC 9112): bytes in, bytes out, one request at
 * a time.  It has no fd and reads no clock.  It uses the callbacks of h2: header(),
 * of Retry-After only, and response(), in which h1_request() may be called and
 * nothing else. */
#ifndef SEND_H1_H
#define SEND_H1_H

#include <stdbool.h>
#include <stddef.h>

#include "h2.h"

struct buf;
struct h1;

/* A longer answer is cut there and used as it is; the connection is finished
 * then.  So many bytes of interim answers are an error. */
#define H1_ANSWER_MAX (64 * 1024)

/* body_max: bytes of an answer's body that are kept. */
struct h1 *h1_new(const struct h2_ops *ops, void *arg, size_t body_max);
void h1_free(struct h1 *h);

/* Whether h1_request() is possible now. */
bool h1_is_ready(const struct h1 *h);
/* No more requests will be possible: open another connection. */
bool h1_is_finished(const struct h1 *h);
/* The list as for h2_request(); without a content-length it gets one.  All is
 * copied.  False: it is not ready, or all of it is longer than 128 KiB. */
bool h1_request(struct h1 *h, const struct hpack_header *list, size_t n,
    const void *body, size_t len, void *owner);

/* Returns how many of the bytes were used, and may change those: the rest has to
 * come again with what follows it.  -1 when the connection has failed: h1_error()
 * says why, and h1_close() is next. */
int h1_recv(struct h1 *h, unsigned char *data, size_t n);
/* The bytes to be sent: write from its head and buf_consume(). */
struct buf *h1_out(struct h1 *h);
/* No more will be received, or it takes too long: an answer whose head is there is
 * used as it is.  False: there is none. */
bool h1_end(struct h1 *h);
/* Nothing came in answer to an open request that is not the first: a server closes
 * a connection that was idle at any moment. */
bool h1_is_unheard(const struct h1 *h);
/* The transport is closed: an open request ends as H2_UNPROCESSED if it is unheard,
 * else as H2_LOST. */
void h1_close(struct h1 *h);
const char *h1_error(const struct h1 *h);

#endif
