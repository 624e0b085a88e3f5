/* h2/stream.c - the streams of an HTTP/2 connection: finding, opening and
 * ending them, sending on them, reporting errors (RFC 9113 5). */
#include "h2/int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "text.h"

/* --- errors --- */

/* RFC 9113 7, by enum code. */
static const char code_names[] = "NO_ERROR\0"
				 "PROTOCOL_ERROR\0"
				 "INTERNAL_ERROR\0"
				 "FLOW_CONTROL_ERROR\0"
				 "SETTINGS_TIMEOUT\0"
				 "STREAM_CLOSED\0"
				 "FRAME_SIZE_ERROR\0"
				 "REFUSED_STREAM\0"
				 "CANCEL\0"
				 "COMPRESSION_ERROR\0"
				 "CONNECT_ERROR\0"
				 "ENHANCE_YOUR_CALM\0"
				 "INADEQUATE_SECURITY\0"
				 "HTTP_1_1_REQUIRED\0";

const char *h2_error_name(uint32_t code, char buf[H2_ERROR_NAME_MAX])
{
	if (code <= HTTP_1_1_REQUIRED)
		return text_nth(code_names, code);
	snprintf(buf, H2_ERROR_NAME_MAX, "unknown error (0x%x)", code);
	return buf;
}

int h2_conn_error(struct h2 *h, enum code code, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (h->dead)
		return -1;
	n = snprintf(
	    h->error, sizeof(h->error), "%s: ", text_nth(code_names, code));
	va_start(ap, fmt);
	vsnprintf(h->error + n, sizeof(h->error) - (size_t)n, fmt, ap);
	va_end(ap);
	h2_put_goaway(h, code);
	h->goaway_code = code;
	h->dead = true;
	return -1;
}

/* --- sent frames --- */

void h2_put_frame(struct h2 *h, enum frame_type type, uint8_t flags,
    uint32_t id, const void *payload, size_t len)
{
	unsigned char *p = buf_reserve(&h->out, FRAME_HEADER + len);

	if (p == NULL)
		return;
	set_frame_header(p, len, type, flags, id);
	if (len > 0)
		memcpy(p + FRAME_HEADER, payload, len);
	buf_added(&h->out, FRAME_HEADER + len);
}

void h2_put_u32(struct h2 *h, enum frame_type type, uint32_t id, uint32_t v)
{
	unsigned char p[4];

	set_u32(p, v);
	h2_put_frame(h, type, 0, id, p, sizeof(p));
}

void h2_put_goaway(struct h2 *h, enum code code)
{
	unsigned char p[8] = { 0 }; /* a server opens no streams: last id 0 */

	set_u32(p + 4, code);
	h2_put_frame(h, GOAWAY, 0, 0, p, sizeof(p));
}

/* --- streams --- */

static struct stream **bucket(const struct h2 *h, uint32_t id)
{
	/* Our ids are consecutive odd numbers: a good hash already. */
	return &h->buckets[(id >> 1) & (h->n_buckets - 1)];
}

struct stream *h2_stream_find(const struct h2 *h, uint32_t id)
{
	struct stream *s = h->n_buckets ? *bucket(h, id) : NULL;

	while (s != NULL && s->id != id)
		s = s->next;
	return s;
}

static void stream_link(struct h2 *h, struct stream *s)
{
	struct stream **at = bucket(h, s->id);

	s->next = *at;
	*at = s;
}

static void buckets_grow(struct h2 *h)
{
	struct stream **old = h->buckets;
	const uint32_t n = h->n_buckets;
	struct stream *s, *next;
	uint32_t i;

	h->n_buckets = n ? 2 * n : 8;
	h->buckets = xcalloc(h->n_buckets, sizeof(*h->buckets));
	for (i = 0; i < n; i++) {
		for (s = old[i]; s != NULL; s = next) {
			next = s->next;
			stream_link(h, s);
		}
	}
	free(old);
}

struct stream *h2_stream_open(struct h2 *h, void *owner)
{
	struct stream *s = h->free;

	if (s != NULL)
		h->free = s->next;
	else
		s = xmalloc(sizeof(*s));
	*s = (struct stream){
		.owner = owner,
		.length = -1,
		.id = h->next_id,
		.send_window = h->initial_window,
	};
	h->next_id += 2;
	if (h->open == h->n_buckets)
		buckets_grow(h);
	stream_link(h, s);
	h->open++;
	return s;
}

void h2_ready_add(struct h2 *h, struct stream *s)
{
	if (s->is_ready || s->rest == NULL || s->send_window <= 0)
		return;
	s->is_ready = 1;
	s->next_ready = NULL;
	*h->ready_tail = s;
	h->ready_tail = &s->next_ready;
}

static void ready_remove(struct h2 *h, struct stream *s)
{
	struct stream **at = &h->ready;

	if (!s->is_ready)
		return;
	while (*at != s)
		at = &(*at)->next_ready;
	*at = s->next_ready;
	if (*at == NULL)
		h->ready_tail = at;
	s->is_ready = 0;
}

/* Moves the stream to the free list; s->body passes to the caller. */
static void stream_release(struct h2 *h, struct stream *s)
{
	struct stream **at = bucket(h, s->id);

	ready_remove(h, s);
	free(s->rest);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->next = h->free;
	h->free = s;
	h->open--;
}

void h2_stream_finish(struct h2 *h, struct stream *s, enum h2_outcome outcome,
    uint32_t error, const char *reason)
{
	unsigned char *const body = s->body;
	const struct h2_response r = {
		.outcome = outcome,
		.status = outcome == H2_DONE ? s->status : 0,
		.error = error,
		.reason = reason,
		.body = body,
		.body_len = s->body_len,
	};

	stream_release(h, s);
	h->ops->response(h->arg, s->owner, &r);
	free(body);
}

void h2_stream_reset(struct h2 *h, const struct stream *s, enum code code)
{
	uint32_t *const slot = &h->resets[h->reset_at++ % RESET_MAX];

	if (*slot > h->reset_floor)
		h->reset_floor = *slot;
	*slot = s->id;
	h2_put_u32(h, RST_STREAM, s->id, code);
}

static bool was_reset(const struct h2 *h, uint32_t id)
{
	size_t i;

	for (i = 0; i < RESET_MAX; i++)
		if (h->resets[i] == id)
			return true;
	return id <= h->reset_floor;
}

int h2_stream_error(
    struct h2 *h, struct stream *s, enum code code, const char *reason)
{
	h2_stream_reset(h, s, code);
	h2_stream_finish(h, s, H2_LOST, code, reason);
	return 0;
}

int h2_stream_missing(
    struct h2 *h, uint32_t id, const char *type, bool harmless)
{
	if (id % 2 == 0 || id >= h->next_id)
		return h2_conn_error(
		    h, PROTOCOL_ERROR, "%s on idle stream %u", type, id);
	if (harmless || was_reset(h, id))
		return 0;
	return h2_conn_error(
	    h, STREAM_CLOSED, "%s on closed stream %u", type, id);
}

int h2_set_initial_window(struct h2 *h, int32_t window)
{
	const int64_t delta = (int64_t)window - h->initial_window;
	struct stream *s;
	uint32_t i;

	h->initial_window = window;
	for (i = 0; delta != 0 && i < h->n_buckets; i++) {
		for (s = h->buckets[i]; s != NULL; s = s->next) {
			if (s->send_window + delta > WINDOW_MAX)
				return h2_conn_error(h, FLOW_CONTROL_ERROR,
				    "SETTINGS make a window overflow");
			s->send_window += (int32_t)delta;
			h2_ready_add(h, s);
		}
	}
	return 0;
}

/* An owner cannot open a request meanwhile, but may cancel others: after each
 * callback the bucket is read from its beginning. */
void h2_finish_above(
    struct h2 *h, uint32_t last, enum h2_outcome outcome, const char *reason)
{
	struct stream *s;
	uint32_t i;

	for (i = 0; i < h->n_buckets; i++) {
		s = h->buckets[i];
		while (s != NULL) {
			if (s->id > last) {
				h2_stream_finish(
				    h, s, outcome, h->goaway_code, reason);
				s = h->buckets[i];
			} else {
				s = s->next;
			}
		}
	}
}

void h2_stream_drop(struct h2 *h, struct stream *s)
{
	free(s->body);
	stream_release(h, s);
}

void h2_streams_free(struct h2 *h)
{
	struct stream *s;
	uint32_t i;

	for (i = 0; i < h->n_buckets; i++)
		while (h->buckets[i] != NULL)
			h2_stream_drop(h, h->buckets[i]);
	while ((s = h->free) != NULL) {
		h->free = s->next;
		free(s);
	}
	free(h->buckets);
}

/* --- request bodies --- */

/* Sends what the windows and the output allow; returns how much. */
static size_t send_data(
    struct h2 *h, struct stream *s, const unsigned char *p, size_t len)
{
	size_t sent = 0;

	while (sent < len && h->out.len < OUT_HIGH) {
		const int32_t window = s->send_window < h->send_window
					   ? s->send_window
					   : h->send_window;
		size_t n = len - sent < FRAME_MAX ? len - sent : FRAME_MAX;

		if (window <= 0)
			break;
		if (n > (size_t)window)
			n = (size_t)window;
		h2_put_frame(h, DATA, sent + n == len ? F_END_STREAM : 0, s->id,
		    p + sent, n);
		s->send_window -= (int32_t)n;
		h->send_window -= (int32_t)n;
		sent += n;
	}
	return sent;
}

void h2_send_ready(struct h2 *h)
{
	struct stream *s;

	while (h->ready != NULL && h->send_window > 0 &&
	       h->out.len < OUT_HIGH && !h->dead) {
		s = h->ready;
		s->rest_off += (uint32_t)send_data(
		    h, s, s->rest + s->rest_off, s->rest_len - s->rest_off);
		if (s->rest_off == s->rest_len) {
			ready_remove(h, s);
			free(s->rest);
			s->rest = NULL;
		} else if (s->send_window <= 0) {
			ready_remove(h, s);
		}
	}
}

void h2_send_body(
    struct h2 *h, struct stream *s, const unsigned char *body, size_t len)
{
	const size_t sent = send_data(h, s, body, len);

	if (sent == len)
		return;
	s->rest_len = (uint32_t)(len - sent);
	s->rest = xmalloc(s->rest_len);
	memcpy(s->rest, body + sent, s->rest_len);
	h2_ready_add(h, s);
}
