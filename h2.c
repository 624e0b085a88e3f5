/* h2.c - HTTP/2 client engine (RFC 9113).  From the bottom: errors, frames out,
 * streams, answers, frames in, what the owner calls. */
#include "h2.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define FRAME_HEADER 9
#define FRAME_MAX 16384 /* the least and default MAX_FRAME_SIZE; both ways */
#define WINDOW_MAX 0x7fffffff
#define WINDOW_DEFAULT 65535 /* we keep it: bodies are thrown away at once */
#define ID_MAX 0x7fffffff

/* A server's header block, with its CONTINUATIONs; APNs' are under 300 bytes.
 * One frame's worth is taken, then the connection ends: what is not decoded
 * would put HPACK out of step. */
#define BLOCK_MAX FRAME_MAX
/* The same decoded (a block of 1-byte indices can mean megabytes). */
#define LIST_MAX 16384
/* Kept of the buffers for split frames and blocks between uses. */
#define KEEP_MAX 1024

/* Room is over at the first ceiling.  The second is for what the server makes
 * us say (acknowledgements, resets, window updates): beyond it, it does not
 * read. */
#define OUT_HIGH (64 * 1024)
#define OUT_MAX (128 * 1024)

/* Every frame costs one, except DATA of some size.  A request earns what a busy
 * server sends for it (headers, data, two window updates, PINGs for its
 * bandwidth estimate); time earns the rest.  Who is over it floods. */
#define BUDGET_BURST 1000
#define BUDGET_PER_S 100
#define BUDGET_PER_REQUEST 8
#define BUDGET_DATA_MIN 256 /* bytes: DATA of this size is free */

/* Streams that we reset: what the server sent before it knew is ignored. */
#define RESET_MAX 64

enum frame_type {
	DATA,
	HEADERS,
	PRIORITY,
	RST_STREAM,
	SETTINGS,
	PUSH_PROMISE,
	PING,
	GOAWAY,
	WINDOW_UPDATE,
	CONTINUATION,
	FRAME_TYPES,
};

enum frame_flag {
	F_END_STREAM = 0x1,
	F_ACK = 0x1,
	F_END_HEADERS = 0x4,
	F_PADDED = 0x8,
	F_PRIORITY = 0x20,
};

enum setting {
	S_HEADER_TABLE_SIZE = 1,
	S_ENABLE_PUSH,
	S_MAX_CONCURRENT_STREAMS,
	S_INITIAL_WINDOW_SIZE,
	S_MAX_FRAME_SIZE,
	S_MAX_HEADER_LIST_SIZE,
};

enum code {
	NO_ERROR,
	PROTOCOL_ERROR,
	INTERNAL_ERROR,
	FLOW_CONTROL_ERROR,
	SETTINGS_TIMEOUT,
	STREAM_CLOSED,
	FRAME_SIZE_ERROR,
	REFUSED_STREAM,
	CANCEL,
	COMPRESSION_ERROR,
	CONNECT_ERROR,
	ENHANCE_YOUR_CALM,
	INADEQUATE_SECURITY,
	HTTP_1_1_REQUIRED,
};

/* A request without an answer yet; between requests in the free list. */
struct stream {
	struct stream *next;	   /* in its bucket or the free list */
	struct stream *next_ready; /* in h2.ready */
	void *owner;
	unsigned char *rest; /* of the request's body, not sent; else NULL */
	unsigned char *body; /* of the answer, H2_BODY_MAX; NULL before any */
	uint64_t received;   /* body bytes of the answer */
	int64_t length;	     /* content-length of the answer, or -1 */
	uint32_t id;
	uint32_t rest_off, rest_len;
	int32_t send_window; /* below 0 when SETTINGS took some back */
	int32_t recv_window;
	uint16_t status; /* of the final headers; 0 before */
	uint16_t body_len : 15;
	uint16_t is_ready : 1;
};

struct h2 {
	const struct h2_ops *ops;
	void *arg;
	struct hpack_dec *dec;
	struct hpack_enc *enc;
	struct buf out;
	struct buf part;   /* a frame that came in pieces */
	struct buf block;  /* a header block that came in CONTINUATIONs */
	uint32_t block_id; /* stream of that block; 0: none */
	uint8_t block_flags;

	struct stream **buckets; /* by id */
	uint32_t n_buckets;	 /* a power of two, 0 before the first */
	struct stream *free;
	/* Bodies that wait, with window of their own, for the connection's
	 * window or for room in the output. */
	struct stream *ready, **ready_tail;
	uint32_t open, max_streams, peer_streams;
	uint32_t next_id;
	uint32_t goaway_last; /* the server processes none above */
	uint32_t goaway_code;

	int32_t send_window, recv_window; /* the connection's */
	int32_t initial_window;		  /* the server's, for new streams */
	uint32_t resets[RESET_MAX];	  /* ring of ids */
	uint32_t reset_at, reset_floor;	  /* highest id that fell out of it */
	int64_t budget, budget_max;	  /* in thousandths of a frame */
	int64_t budget_ms;
	uint64_t pings;
	bool ping_outstanding;

	bool settled; /* the server's first SETTINGS are in */
	bool leaving; /* GOAWAY went either way */
	bool dead;    /* h2_recv() failed or h2_close() was called */
	char error[160];
};

struct frame {
	uint8_t type, flags;
	uint32_t id;
	const unsigned char *p;
	size_t len;
};

/* --- errors --- */

static const char *const code_names[] = {
	[NO_ERROR] = "NO_ERROR",
	[PROTOCOL_ERROR] = "PROTOCOL_ERROR",
	[INTERNAL_ERROR] = "INTERNAL_ERROR",
	[FLOW_CONTROL_ERROR] = "FLOW_CONTROL_ERROR",
	[SETTINGS_TIMEOUT] = "SETTINGS_TIMEOUT",
	[STREAM_CLOSED] = "STREAM_CLOSED",
	[FRAME_SIZE_ERROR] = "FRAME_SIZE_ERROR",
	[REFUSED_STREAM] = "REFUSED_STREAM",
	[CANCEL] = "CANCEL",
	[COMPRESSION_ERROR] = "COMPRESSION_ERROR",
	[CONNECT_ERROR] = "CONNECT_ERROR",
	[ENHANCE_YOUR_CALM] = "ENHANCE_YOUR_CALM",
	[INADEQUATE_SECURITY] = "INADEQUATE_SECURITY",
	[HTTP_1_1_REQUIRED] = "HTTP_1_1_REQUIRED",
};

const char *h2_error_name(uint32_t code)
{
	static char unknown[sizeof("code 0xffffffff")];

	if (code < sizeof(code_names) / sizeof(*code_names))
		return code_names[code];
	snprintf(unknown, sizeof(unknown), "code 0x%x", code);
	return unknown;
}

static void put_goaway(struct h2 *h, enum code code);
static void put_u32(
    struct h2 *h, enum frame_type type, uint32_t id, uint32_t v);

/* The end of the connection (9113 5.4.1); always -1. */
__attribute__((format(printf, 3, 4))) static int conn_error(
    struct h2 *h, enum code code, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (h->dead)
		return -1;
	n = snprintf(h->error, sizeof(h->error), "%s: ", h2_error_name(code));
	va_start(ap, fmt);
	vsnprintf(h->error + n, sizeof(h->error) - (size_t)n, fmt, ap);
	va_end(ap);
	put_goaway(h, code);
	h->goaway_code = code;
	h->dead = true;
	return -1;
}

/* Spends one frame of the server's budget. */
static int charge(struct h2 *h)
{
	if (h->budget < 1000)
		return conn_error(
		    h, ENHANCE_YOUR_CALM, "the server floods us with frames");
	h->budget -= 1000;
	return 0;
}

static void budget_earn(struct h2 *h, int64_t now_ms)
{
	const int64_t burst = INT64_C(1000) * BUDGET_BURST;
	int64_t passed_ms = now_ms - h->budget_ms;

	h->budget_ms = now_ms;
	if (passed_ms <= 0 || h->budget >= burst)
		return;
	if (passed_ms > burst / BUDGET_PER_S)
		passed_ms = burst / BUDGET_PER_S;
	h->budget += passed_ms * BUDGET_PER_S;
	if (h->budget > burst)
		h->budget = burst;
}

/* --- frames out --- */

static uint32_t get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static void set_u32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

static void set_frame_header(unsigned char *p, size_t len, enum frame_type type,
    uint8_t flags, uint32_t id)
{
	set_u32(p, (uint32_t)len << 8 | type);
	p[4] = flags;
	set_u32(p + 5, id);
}

/* A full output shows in out.failed, which frame_take() looks at. */
static void put_frame(struct h2 *h, enum frame_type type, uint8_t flags,
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

/* RST_STREAM and WINDOW_UPDATE. */
static void put_u32(struct h2 *h, enum frame_type type, uint32_t id, uint32_t v)
{
	unsigned char p[4];

	set_u32(p, v);
	put_frame(h, type, 0, id, p, sizeof(p));
}

static void put_goaway(struct h2 *h, enum code code)
{
	unsigned char p[8] = { 0 }; /* we processed no stream of the server's */

	set_u32(p + 4, code);
	put_frame(h, GOAWAY, 0, 0, p, sizeof(p));
}

/* --- streams --- */

static struct stream **bucket(const struct h2 *h, uint32_t id)
{
	/* Our ids are the odd ones, in turn: no better hash is needed. */
	return &h->buckets[(id >> 1) & (h->n_buckets - 1)];
}

static struct stream *stream_find(const struct h2 *h, uint32_t id)
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

static struct stream *stream_open(struct h2 *h, void *owner)
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
		.recv_window = WINDOW_DEFAULT,
	};
	h->next_id += 2;
	if (h->open == h->n_buckets)
		buckets_grow(h);
	stream_link(h, s);
	h->open++;
	return s;
}

static void ready_add(struct h2 *h, struct stream *s)
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

/* Into the free list; s->body is the caller's now. */
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

/* The end of a request.  The stream is gone before its owner hears of it, since
 * the owner may open the next one right then. */
static void stream_finish(struct h2 *h, struct stream *s,
    enum h2_outcome outcome, uint32_t error, const char *reason)
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

static void stream_reset(struct h2 *h, const struct stream *s, enum code code)
{
	uint32_t *const slot = &h->resets[h->reset_at++ % RESET_MAX];

	if (*slot > h->reset_floor)
		h->reset_floor = *slot;
	*slot = s->id;
	put_u32(h, RST_STREAM, s->id, code);
}

static bool was_reset(const struct h2 *h, uint32_t id)
{
	size_t i;

	for (i = 0; i < RESET_MAX; i++)
		if (h->resets[i] == id)
			return true;
	return id <= h->reset_floor;
}

/* The end of a stream for the server's fault (9113 5.4.2); always 0, since the
 * connection lives. */
static int stream_error(
    struct h2 *h, struct stream *s, enum code code, const char *reason)
{
	stream_reset(h, s, code);
	stream_finish(h, s, H2_LOST, code, reason);
	return 0;
}

/* A frame for a stream that is not open (9113 5.1): 0 if it may be ignored. */
static int stream_missing(
    struct h2 *h, uint32_t id, const char *type, bool harmless)
{
	if (id % 2 == 0 || id >= h->next_id)
		return conn_error(
		    h, PROTOCOL_ERROR, "%s on idle stream %u", type, id);
	if (harmless || was_reset(h, id))
		return 0;
	return conn_error(h, STREAM_CLOSED, "%s on closed stream %u", type, id);
}

/* --- request bodies --- */

/* Sends what the windows and the output take; returns how much. */
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
		put_frame(h, DATA, sent + n == len ? F_END_STREAM : 0, s->id,
		    p + sent, n);
		s->send_window -= (int32_t)n;
		h->send_window -= (int32_t)n;
		sent += n;
	}
	return sent;
}

static void send_ready(struct h2 *h)
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

/* --- answers --- */

/* One header block of an answer while it is decoded. */
struct answer {
	struct h2 *h;
	const struct stream *s;
	bool trailers;
	bool regular; /* a field that is not a pseudo-header was there */
	int status;   /* 0 before :status */
	int64_t length;
	const char *bad; /* what is malformed (9113 8.1.1) */
};

static bool is(const char *name, size_t len, const char *want)
{
	return len == strlen(want) && memcmp(name, want, len) == 0;
}

/* 9113 8.2.1 */
static const char *check_bytes(
    const char *name, size_t name_len, const char *value, size_t value_len)
{
	size_t i;

	if (name_len == 0)
		return "a header has no name";
	for (i = 0; i < name_len; i++) {
		const unsigned char c = (unsigned char)name[i];

		if (c <= ' ' || c >= 0x7f || (c >= 'A' && c <= 'Z') ||
		    (c == ':' && i > 0))
			return "a header name has a forbidden character";
	}
	for (i = 0; i < value_len; i++)
		if (value[i] == '\0' || value[i] == '\r' || value[i] == '\n')
			return "a header value has a forbidden character";
	if (value_len > 0 &&
	    (value[0] == ' ' || value[0] == '\t' ||
		value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
		return "a header value begins or ends with a blank";
	return NULL;
}

/* Digits only, up to a number that int64_t holds; -1 if not. */
static int64_t parse_digits(const char *s, size_t n)
{
	int64_t v = 0;
	size_t i;

	if (n == 0 || n > 18)
		return -1;
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

/* 9113 8.3 and 8.3.2 */
static const char *take_pseudo(struct answer *a, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	if (a->trailers)
		return "a pseudo-header is in the trailers";
	if (!is(name, name_len, ":status"))
		return "an unknown pseudo-header";
	if (a->regular)
		return ":status is not at the beginning";
	if (a->status != 0)
		return ":status is repeated";
	a->status = value_len == 3 ? (int)parse_digits(value, value_len) : -1;
	/* 101 is no part of HTTP/2 (8.6). */
	if (a->status < 100 || a->status > 599 || a->status == 101)
		return ":status is not a status";
	return NULL;
}

/* 9113 8.2.2 and 8.1.1 */
static const char *take_regular(struct answer *a, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	static const char *const forbidden[] = { "connection", "keep-alive",
		"proxy-connection", "transfer-encoding", "upgrade" };
	int64_t length;
	size_t i;

	a->regular = true;
	for (i = 0; i < sizeof(forbidden) / sizeof(*forbidden); i++)
		if (is(name, name_len, forbidden[i]))
			return "a header field is specific to HTTP/1.1";
	if (is(name, name_len, "te") && !is(value, value_len, "trailers"))
		return "te is not \"trailers\"";
	if (!a->trailers && a->status == 0)
		return ":status is missing";
	if (!is(name, name_len, "content-length") || a->trailers)
		return NULL;
	length = parse_digits(value, value_len);
	if (length < 0)
		return "content-length is not a number";
	if (a->length >= 0 && a->length != length)
		return "content-length is repeated";
	a->length = length;
	return NULL;
}

static int take_header(void *arg, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	struct answer *a = arg;
	struct h2 *h = a->h;

	a->bad = check_bytes(name, name_len, value, value_len);
	if (a->bad == NULL)
		a->bad = (name[0] == ':' ? take_pseudo : take_regular)(
		    a, name, name_len, value, value_len);
	if (a->bad == NULL && a->status >= 200 && name[0] != ':' &&
	    h->ops->header != NULL)
		h->ops->header(
		    h->arg, a->s->owner, name, name_len, value, value_len);
	return a->bad != NULL;
}

static bool has_no_content(const struct stream *s)
{
	return s->status == 204 || s->status == 304;
}

/* END_STREAM came. */
static int answer_end(struct h2 *h, struct stream *s)
{
	if (s->length >= 0 && (uint64_t)s->length != s->received &&
	    !has_no_content(s))
		return stream_error(h, s, PROTOCOL_ERROR,
		    "malformed response: less data than content-length");
	/* It answered without wanting the rest (9113 8.1). */
	if (s->rest != NULL)
		stream_reset(h, s, CANCEL);
	stream_finish(h, s, H2_DONE, NO_ERROR, NULL);
	return 0;
}

static int answer_headers(struct h2 *h, uint32_t id, uint8_t flags,
    const unsigned char *block, size_t len)
{
	struct stream *s = stream_find(h, id);
	struct answer a = { .h = h, .s = s, .length = -1 };
	const bool end = flags & F_END_STREAM;
	const char *reason = NULL;
	enum hpack_status st;

	a.trailers = s != NULL && s->status != 0;
	st = hpack_decode(
	    h->dec, block, len, s ? take_header : NULL, &a, &reason);
	if (st == HPACK_BAD)
		return conn_error(h, COMPRESSION_ERROR, "%s", reason);
	if (s == NULL)
		return 0;
	if (st == HPACK_TOO_BIG)
		return stream_error(h, s, ENHANCE_YOUR_CALM, reason);
	if (a.bad == NULL && a.trailers && !end)
		a.bad = "headers follow that are neither first nor last";
	if (a.bad == NULL && !a.trailers && a.status == 0)
		a.bad = ":status is missing";
	if (a.bad == NULL && a.status / 100 == 1 && end)
		a.bad = "an interim response ends the stream";
	if (a.bad != NULL)
		return stream_error(h, s, PROTOCOL_ERROR, a.bad);
	if (a.status >= 200) {
		s->status = (uint16_t)a.status;
		s->length = a.length;
	}
	return end ? answer_end(h, s) : 0;
}

static void keep_body(struct stream *s, const unsigned char *p, size_t len)
{
	const size_t room = H2_BODY_MAX - s->body_len;

	if (len == 0 || room == 0)
		return;
	if (s->body == NULL)
		s->body = xmalloc(H2_BODY_MAX);
	if (len > room)
		len = room;
	memcpy(s->body + s->body_len, p, len);
	s->body_len = (s->body_len + len) & 0x7fff;
}

/* --- frames in --- */

/* 9113 6.1: takes padding off. */
static int unpad(struct h2 *h, struct frame *f)
{
	size_t pad;

	if (!(f->flags & F_PADDED))
		return 0;
	if (f->len == 0)
		return conn_error(h, FRAME_SIZE_ERROR, "padding is missing");
	pad = f->p[0];
	if (pad >= f->len)
		return conn_error(
		    h, PROTOCOL_ERROR, "padding is longer than its frame");
	f->p++;
	f->len -= 1 + pad;
	return 0;
}

/* Gives a window back once half of it is used up. */
static void replenish(struct h2 *h, uint32_t id, int32_t *window)
{
	if (*window > WINDOW_DEFAULT / 2)
		return;
	put_u32(h, WINDOW_UPDATE, id, (uint32_t)(WINDOW_DEFAULT - *window));
	*window = WINDOW_DEFAULT;
}

/* What of a DATA frame breaks its stream, or NULL. */
static const char *check_data(const struct stream *s, size_t len)
{
	if (s->status == 0)
		return "malformed response: data comes before headers";
	if (s->length >= 0 && s->received > (uint64_t)s->length)
		return "malformed response: more data than content-length";
	if (has_no_content(s) && len > 0)
		return "malformed response: data where there can be none";
	return NULL;
}

static int take_data(struct h2 *h, struct frame *f)
{
	const int32_t flow = (int32_t)f->len; /* padding counts (6.9.1) */
	struct stream *s = stream_find(h, f->id);
	const char *bad;

	if (s == NULL && stream_missing(h, f->id, "DATA", false) < 0)
		return -1;
	if (flow > h->recv_window)
		return conn_error(h, FLOW_CONTROL_ERROR,
		    "more data than the connection's window");
	if (unpad(h, f) < 0)
		return -1;
	h->recv_window -= flow;
	replenish(h, 0, &h->recv_window);
	if (s == NULL)
		return 0;
	if (flow > s->recv_window)
		return stream_error(h, s, FLOW_CONTROL_ERROR,
		    "more data than the stream's window");
	s->recv_window -= flow;
	s->received += f->len;
	bad = check_data(s, f->len);
	if (bad != NULL)
		return stream_error(h, s, PROTOCOL_ERROR, bad);
	keep_body(s, f->p, f->len);
	if (f->flags & F_END_STREAM)
		return answer_end(h, s);
	replenish(h, s->id, &s->recv_window);
	return 0;
}

static int take_headers(struct h2 *h, struct frame *f)
{
	if (stream_find(h, f->id) == NULL &&
	    stream_missing(h, f->id, "HEADERS", false) < 0)
		return -1;
	if (unpad(h, f) < 0)
		return -1;
	if (f->flags & F_PRIORITY) {
		if (f->len < 5)
			return conn_error(h, FRAME_SIZE_ERROR,
			    "HEADERS is too short for its priority");
		f->p += 5;
		f->len -= 5;
	}
	if (f->flags & F_END_HEADERS)
		return answer_headers(h, f->id, f->flags, f->p, f->len);
	h->block_id = f->id;
	h->block_flags = f->flags;
	buf_add(&h->block, f->p, f->len); /* one frame always fits */
	return 0;
}

/* Empty again; what was large is given back. */
static void buf_recycle(struct buf *b)
{
	if (b->cap > KEEP_MAX)
		buf_free(b);
	buf_reset(b);
}

static int take_continuation(struct h2 *h, struct frame *f)
{
	int rc;

	if (h->block_id == 0)
		return conn_error(
		    h, PROTOCOL_ERROR, "CONTINUATION without a header block");
	if (!buf_add(&h->block, f->p, f->len))
		return conn_error(h, ENHANCE_YOUR_CALM,
		    "a header block is over %d bytes", BLOCK_MAX);
	if (!(f->flags & F_END_HEADERS))
		return 0;
	h->block_id = 0;
	rc = answer_headers(h, f->id, h->block_flags,
	    h->block.mem ? buf_head(&h->block) : f->p, h->block.len);
	buf_recycle(&h->block);
	return rc;
}

/* Deprecated by 9113 5.3.2; it means nothing to a client. */
static int take_priority(struct h2 *h, struct frame *f)
{
	(void)h;
	(void)f;
	return 0;
}

static int take_rst_stream(struct h2 *h, struct frame *f)
{
	struct stream *s = stream_find(h, f->id);
	const uint32_t code = get_u32(f->p);

	if (s == NULL)
		return stream_missing(h, f->id, "RST_STREAM", true);
	/* 9113 8.7 */
	if (code == REFUSED_STREAM)
		stream_finish(h, s, H2_UNPROCESSED, code,
		    "the server refused the stream");
	else
		stream_finish(
		    h, s, H2_LOST, code, "the server reset the stream");
	return 0;
}

/* 9113 6.9.2: open streams get the difference. */
static int set_initial_window(struct h2 *h, int32_t window)
{
	const int64_t delta = (int64_t)window - h->initial_window;
	struct stream *s;
	uint32_t i;

	h->initial_window = window;
	for (i = 0; delta != 0 && i < h->n_buckets; i++) {
		for (s = h->buckets[i]; s != NULL; s = s->next) {
			if (s->send_window + delta > WINDOW_MAX)
				return conn_error(h, FLOW_CONTROL_ERROR,
				    "SETTINGS make a window overflow");
			s->send_window += (int32_t)delta;
			ready_add(h, s);
		}
	}
	return 0;
}

/* 9113 6.5.2.  The window goes to *window: it touches every stream, so once a
 * frame has to do. */
static int take_setting(
    struct h2 *h, unsigned setting, uint32_t v, int32_t *window)
{
	switch (setting) {
	case S_HEADER_TABLE_SIZE:
		hpack_enc_set_max(h->enc, v);
		break;
	case S_ENABLE_PUSH:
		if (v != 0)
			return conn_error(
			    h, PROTOCOL_ERROR, "a server enables push");
		break;
	case S_MAX_CONCURRENT_STREAMS:
		h->peer_streams = v;
		break;
	case S_INITIAL_WINDOW_SIZE:
		if (v > WINDOW_MAX)
			return conn_error(h, FLOW_CONTROL_ERROR,
			    "INITIAL_WINDOW_SIZE is too large");
		*window = (int32_t)v;
		break;
	case S_MAX_FRAME_SIZE:
		/* We send no larger frames than any server must take. */
		if (v < FRAME_MAX || v > 0xffffff)
			return conn_error(h, PROTOCOL_ERROR,
			    "MAX_FRAME_SIZE is out of range");
		break;
	default:
		break;
	}
	return 0;
}

static int take_settings(struct h2 *h, struct frame *f)
{
	int32_t window = h->initial_window;
	size_t i;

	if (f->len % 6 != 0 || (f->flags & F_ACK && f->len != 0))
		return conn_error(h, FRAME_SIZE_ERROR, "SETTINGS of %u bytes",
		    (unsigned)f->len);
	if (f->flags & F_ACK)
		return 0;
	for (i = 0; i < f->len; i += 6)
		if (take_setting(h, (unsigned)(f->p[i] << 8 | f->p[i + 1]),
			get_u32(f->p + i + 2), &window) < 0)
			return -1;
	if (set_initial_window(h, window) < 0)
		return -1;
	put_frame(h, SETTINGS, F_ACK, 0, NULL, 0);
	if (!h->settled) {
		h->settled = true;
		h->ops->ready(h->arg);
	}
	return 0;
}

static int take_push_promise(struct h2 *h, struct frame *f)
{
	(void)f;
	return conn_error(
	    h, PROTOCOL_ERROR, "PUSH_PROMISE although push is disabled");
}

static int take_ping(struct h2 *h, struct frame *f)
{
	if (!(f->flags & F_ACK)) {
		put_frame(h, PING, F_ACK, 0, f->p, f->len);
		return 0;
	}
	if (h->ping_outstanding &&
	    memcmp(f->p, &h->pings, sizeof(h->pings)) == 0) {
		h->ping_outstanding = false;
		h->ops->pong(h->arg);
	}
	return 0;
}

/* Ends all requests with ids above last.  Their owners cannot open new ones,
 * but may cancel others: a bucket is begun again after each. */
static void finish_above(
    struct h2 *h, uint32_t last, enum h2_outcome outcome, const char *reason)
{
	struct stream *s;
	uint32_t i;

	for (i = 0; i < h->n_buckets; i++) {
		s = h->buckets[i];
		while (s != NULL) {
			if (s->id > last) {
				stream_finish(
				    h, s, outcome, h->goaway_code, reason);
				s = h->buckets[i];
			} else {
				s = s->next;
			}
		}
	}
}

/* 9113 6.8: may come twice, with 2^31-1 first. */
static int take_goaway(struct h2 *h, struct frame *f)
{
	const uint32_t last = get_u32(f->p) & ID_MAX;

	if (last > h->goaway_last)
		return conn_error(
		    h, PROTOCOL_ERROR, "GOAWAY raises its last stream");
	h->leaving = true;
	h->goaway_last = last;
	h->goaway_code = get_u32(f->p + 4);
	finish_above(
	    h, last, H2_UNPROCESSED, "the server closes the connection");
	h->ops->goaway(h->arg, h->goaway_code, f->p + 8, f->len - 8);
	return 0;
}

static int take_window_update(struct h2 *h, struct frame *f)
{
	const uint32_t n = get_u32(f->p) & WINDOW_MAX;
	struct stream *s = NULL;

	if (f->id == 0 && n == 0)
		return conn_error(h, PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
	if (f->id == 0 && (int64_t)h->send_window + n > WINDOW_MAX)
		return conn_error(h, FLOW_CONTROL_ERROR,
		    "WINDOW_UPDATE makes the window overflow");
	if (f->id == 0) {
		h->send_window += (int32_t)n;
		return 0;
	}
	s = stream_find(h, f->id);
	if (s == NULL)
		return stream_missing(h, f->id, "WINDOW_UPDATE", true);
	if (n == 0)
		return stream_error(h, s, PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
	if ((int64_t)s->send_window + n > WINDOW_MAX)
		return stream_error(h, s, FLOW_CONTROL_ERROR,
		    "WINDOW_UPDATE makes the window overflow");
	s->send_window += (int32_t)n;
	ready_add(h, s);
	return 0;
}

enum where {
	ON_CONNECTION,
	ON_STREAM,
	ANYWHERE
};

/* How large and where a frame may be (9113 6). */
static const struct kind {
	int (*take)(struct h2 *h, struct frame *f);
	const char *name;
	enum where where;
	uint16_t min, max;
} kinds[FRAME_TYPES] = {
	[DATA] = { take_data, "DATA", ON_STREAM, 0, FRAME_MAX },
	[HEADERS] = { take_headers, "HEADERS", ON_STREAM, 0, FRAME_MAX },
	[PRIORITY] = { take_priority, "PRIORITY", ON_STREAM, 5, 5 },
	[RST_STREAM] = { take_rst_stream, "RST_STREAM", ON_STREAM, 4, 4 },
	[SETTINGS] = { take_settings, "SETTINGS", ON_CONNECTION, 0, FRAME_MAX },
	[PUSH_PROMISE] = { take_push_promise, "PUSH_PROMISE", ON_STREAM, 0,
	    FRAME_MAX },
	[PING] = { take_ping, "PING", ON_CONNECTION, 8, 8 },
	[GOAWAY] = { take_goaway, "GOAWAY", ON_CONNECTION, 8, FRAME_MAX },
	[WINDOW_UPDATE] = { take_window_update, "WINDOW_UPDATE", ANYWHERE, 4,
	    4 },
	[CONTINUATION] = { take_continuation, "CONTINUATION", ON_STREAM, 0,
	    FRAME_MAX },
};

static int frame_take(struct h2 *h, const unsigned char *p, size_t size)
{
	struct frame f = {
		.type = p[3],
		.flags = p[4],
		.id = get_u32(p + 5) & ID_MAX,
		.p = p + FRAME_HEADER,
		.len = size - FRAME_HEADER,
	};
	const struct kind *k = &kinds[f.type < FRAME_TYPES ? f.type : 0];

	if (h->block_id != 0 && (f.type != CONTINUATION || f.id != h->block_id))
		return conn_error(
		    h, PROTOCOL_ERROR, "a header block is interrupted");
	if ((f.type != DATA || f.len < BUDGET_DATA_MIN) && charge(h) < 0)
		return -1;
	if (f.type >= FRAME_TYPES) /* 9113 5.5 */
		return 0;
	if (k->where != ANYWHERE && (k->where == ON_STREAM) != (f.id != 0))
		return conn_error(
		    h, PROTOCOL_ERROR, "%s on stream %u", k->name, f.id);
	if (f.len < k->min || f.len > k->max)
		return conn_error(h, FRAME_SIZE_ERROR, "%s of %u bytes",
		    k->name, (unsigned)f.len);
	if (k->take(h, &f) < 0)
		return -1;
	if (h->out.failed)
		return conn_error(h, ENHANCE_YOUR_CALM,
		    "the server does not read what we send");
	return 0;
}

/* Looks at the 9 bytes at p; *size_r is that of the whole frame. */
static int frame_check(struct h2 *h, const unsigned char *p, size_t *size_r)
{
	const size_t len = get_u32(p) >> 8;

	if (!h->settled && memcmp(p, "HTTP/1.", 7) == 0)
		return conn_error(h, PROTOCOL_ERROR,
		    "the server speaks HTTP/1.1 on this port, not HTTP/2");
	/* 9113 3.4 */
	if (!h->settled && (p[3] != SETTINGS || p[4] & F_ACK))
		return conn_error(h, PROTOCOL_ERROR,
		    "the server does not begin with SETTINGS");
	if (len > FRAME_MAX)
		return conn_error(
		    h, FRAME_SIZE_ERROR, "a frame of %u bytes", (unsigned)len);
	*size_r = FRAME_HEADER + len;
	return 0;
}

/* Collects a frame that comes in pieces; returns the bytes used, or -1. */
static ptrdiff_t frame_collect(
    struct h2 *h, const unsigned char *data, size_t n)
{
	struct buf *const b = &h->part;
	size_t size = FRAME_HEADER;

	if (b->len >= FRAME_HEADER && frame_check(h, buf_head(b), &size) < 0)
		return -1;
	if (n > size - b->len)
		n = size - b->len;
	buf_add(b, data, n);
	if (b->len < FRAME_HEADER)
		return (ptrdiff_t)n;
	if (frame_check(h, buf_head(b), &size) < 0)
		return -1;
	if (b->len == size) {
		if (frame_take(h, buf_head(b), size) < 0)
			return -1;
		buf_recycle(b);
	}
	return (ptrdiff_t)n;
}

int h2_recv(struct h2 *h, const unsigned char *data, size_t n, int64_t now_ms)
{
	size_t size;
	ptrdiff_t used;

	budget_earn(h, now_ms);
	while (n > 0 && !h->dead) {
		if (h->part.len == 0 && n >= FRAME_HEADER) {
			if (frame_check(h, data, &size) < 0)
				return -1;
			if (n >= size) {
				if (frame_take(h, data, size) < 0)
					return -1;
				data += size;
				n -= size;
				continue;
			}
		}
		used = frame_collect(h, data, n);
		if (used < 0)
			return -1;
		data += used;
		n -= (size_t)used;
	}
	return h->dead ? -1 : 0;
}

/* --- what the owner calls --- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* 3.4 */

struct h2 *h2_new(const struct h2_ops *ops, void *arg, uint32_t max_streams)
{
	unsigned char settings[12] = { 0, S_ENABLE_PUSH, 0, 0, 0, 0, 0,
		S_MAX_HEADER_LIST_SIZE };
	struct h2 *h = xcalloc(1, sizeof(*h));

	h->ops = ops;
	h->arg = arg;
	h->max_streams = max_streams;
	h->dec = hpack_dec_new(HPACK_TABLE_DEFAULT, LIST_MAX);
	h->enc = hpack_enc_new(HPACK_TABLE_DEFAULT);
	buf_init(&h->out, OUT_MAX);
	buf_init(&h->part, FRAME_HEADER + FRAME_MAX);
	buf_init(&h->block, BLOCK_MAX);
	h->ready_tail = &h->ready;
	h->peer_streams = UINT32_MAX;
	h->next_id = 1;
	h->goaway_last = ID_MAX;
	h->send_window = h->recv_window = WINDOW_DEFAULT;
	h->initial_window = WINDOW_DEFAULT;
	h->budget = INT64_C(1000) * BUDGET_BURST;
	h->budget_max =
	    h->budget + INT64_C(1000) * BUDGET_PER_REQUEST * max_streams;
	buf_add(&h->out, preface, sizeof(preface) - 1);
	set_u32(settings + 8, LIST_MAX);
	put_frame(h, SETTINGS, 0, 0, settings, sizeof(settings));
	return h;
}

void h2_free(struct h2 *h)
{
	struct stream *s;
	uint32_t i;

	if (h == NULL)
		return;
	for (i = 0; i < h->n_buckets; i++) {
		while ((s = h->buckets[i]) != NULL) {
			free(s->body);
			stream_release(h, s);
		}
	}
	while ((s = h->free) != NULL) {
		h->free = s->next;
		free(s);
	}
	free(h->buckets);
	hpack_dec_free(h->dec);
	hpack_enc_free(h->enc);
	buf_free(&h->out);
	buf_free(&h->part);
	buf_free(&h->block);
	free(h);
}

struct buf *h2_out(struct h2 *h)
{
	send_ready(h);
	return &h->out;
}

uint32_t h2_room(const struct h2 *h)
{
	uint32_t most = h->max_streams;

	if (!h->settled || h2_is_finished(h) || h->out.len >= OUT_HIGH)
		return 0;
	if (most > h->peer_streams)
		most = h->peer_streams;
	if (most <= h->open)
		return 0;
	most -= h->open;
	if (most > (ID_MAX - h->next_id) / 2 + 1)
		most = (ID_MAX - h->next_id) / 2 + 1;
	return most;
}

uint32_t h2_open_count(const struct h2 *h)
{
	return h->open;
}

bool h2_is_finished(const struct h2 *h)
{
	return h->leaving || h->dead || h->next_id > ID_MAX;
}

uint32_t h2_request(struct h2 *h, const struct hpack_header *headers, size_t n,
    const void *body, size_t body_len, void *owner)
{
	const size_t at = h->out.len;
	size_t most = HPACK_BLOCK_EXTRA(n);
	const uint8_t end = body_len == 0 ? F_END_STREAM : 0;
	struct stream *s;
	size_t i, sent;

	for (i = 0; i < n; i++)
		most += headers[i].name_len + headers[i].value_len;
	if (h2_room(h) == 0 || most > H2_REQUEST_HEADERS_MAX ||
	    body_len > UINT32_MAX)
		return 0;
	s = stream_open(h, owner);
	put_frame(h, HEADERS, 0, s->id, NULL, 0);
	hpack_encode(h->enc, headers, n, &h->out); /* OUT_HIGH leaves room */
	set_frame_header(buf_head(&h->out) + at, h->out.len - at - FRAME_HEADER,
	    HEADERS, F_END_HEADERS | end, s->id);
	sent = send_data(h, s, body, body_len);
	if (sent < body_len) {
		s->rest_len = (uint32_t)(body_len - sent);
		s->rest = xmalloc(s->rest_len);
		memcpy(
		    s->rest, (const unsigned char *)body + sent, s->rest_len);
		ready_add(h, s);
	}
	h->budget += INT64_C(1000) * BUDGET_PER_REQUEST;
	if (h->budget > h->budget_max)
		h->budget = h->budget_max;
	return s->id;
}

void h2_cancel(struct h2 *h, uint32_t id)
{
	struct stream *s = stream_find(h, id);

	if (s == NULL)
		return;
	stream_reset(h, s, CANCEL);
	free(s->body);
	stream_release(h, s);
}

void h2_ping(struct h2 *h)
{
	if (h->ping_outstanding || h->dead)
		return;
	h->ping_outstanding = true;
	h->pings++;
	put_frame(h, PING, 0, 0, &h->pings, sizeof(h->pings));
}

bool h2_ping_outstanding(const struct h2 *h)
{
	return h->ping_outstanding;
}

void h2_goodbye(struct h2 *h)
{
	if (h->dead)
		return;
	h->leaving = true;
	put_goaway(h, NO_ERROR);
}

void h2_close(struct h2 *h)
{
	const bool broken = h->error[0] != '\0';

	h->dead = true;
	finish_above(h, 0, H2_LOST,
	    broken ? "the server broke the protocol"
		   : "the connection was lost");
}

const char *h2_error(const struct h2 *h)
{
	return h->error;
}
