/* h2.c - HTTP/2 client engine (RFC 9113): received frames, calls of the
 * owner. */
#include "h2/int.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* The limit of a server's header block with its CONTINUATIONs; those of APNs
 * are under 300 bytes.  A longer one ends the connection: if it were skipped,
 * our HPACK table would no longer match the server's. */
#define BLOCK_MAX FRAME_MAX
/* The limit of the decoded list: a block of 1-byte indices can mean
 * megabytes. */
#define LIST_MAX 16384
/* A buffer for split frames or blocks is freed after use if it is larger. */
#define BUF_KEEP_MAX 1024

/* The server has a budget of frames, so that it cannot flood us.  Every frame
 * costs one, except DATA of some size.  A request adds what a busy server sends
 * for it (headers, data, two window updates, PINGs for its bandwidth estimate),
 * and every second adds some. */
#define BUDGET_BURST 1000
#define BUDGET_PER_S 100
#define BUDGET_PER_REQUEST 8
#define BUDGET_DATA_MIN 256 /* bytes; DATA of this size is free */

enum setting {
	S_HEADER_TABLE_SIZE = 1,
	S_ENABLE_PUSH,
	S_MAX_CONCURRENT_STREAMS,
	S_INITIAL_WINDOW_SIZE,
	S_MAX_FRAME_SIZE,
	S_MAX_HEADER_LIST_SIZE,
};

/* Takes one frame from the server's budget. */
static int budget_spend(struct h2 *h)
{
	if (h->budget < 1000)
		return h2_conn_error(
		    h, ENHANCE_YOUR_CALM, "the server floods us with frames");
	h->budget -= 1000;
	return 0;
}

static void budget_refill(struct h2 *h, int64_t now_ms)
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

/* --- received frames --- */

/* 9113 6.1: removes the padding. */
static int unpad(struct h2 *h, struct frame *f)
{
	size_t pad;

	if (!(f->flags & F_PADDED))
		return 0;
	if (f->len == 0)
		return h2_conn_error(h, FRAME_SIZE_ERROR, "padding is missing");
	pad = f->p[0];
	if (pad >= f->len)
		return h2_conn_error(
		    h, PROTOCOL_ERROR, "padding is longer than its frame");
	f->p++;
	f->len -= 1 + pad;
	return 0;
}

/* The connection's window is renewed when half of it is used, a stream's never:
 * the answer ends first (ANSWER_MAX).  What remains is always more than the
 * largest frame, so no server exceeds a window and none has to be checked. */
_Static_assert(FRAME_MAX < WINDOW_DEFAULT / 2, "a frame could overrun");

static void window_spend(struct h2 *h, uint32_t n)
{
	h->recv_used += n;
	if (h->recv_used <= WINDOW_DEFAULT / 2)
		return;
	h2_put_u32(h, WINDOW_UPDATE, 0, h->recv_used);
	h->recv_used = 0;
}

static int recv_data(struct h2 *h, struct frame *f)
{
	const uint32_t flow = (uint32_t)f->len; /* padding counts (6.9.1) */
	struct stream *s = h2_stream_find(h, f->id);

	/* Data that was not asked for is never free. */
	if (s == NULL && (h2_stream_missing(h, f->id, "DATA", false) < 0 ||
			     budget_spend(h) < 0))
		return -1;
	if (unpad(h, f) < 0)
		return -1;
	window_spend(h, flow);
	if (s == NULL)
		return 0;
	s->padded += flow;
	return h2_answer_data(h, s, f->flags, f->p, f->len);
}

static int recv_headers(struct h2 *h, struct frame *f)
{
	if (h2_stream_find(h, f->id) == NULL &&
	    h2_stream_missing(h, f->id, "HEADERS", false) < 0)
		return -1;
	if (unpad(h, f) < 0)
		return -1;
	if (f->flags & F_PRIORITY) {
		if (f->len < 5)
			return h2_conn_error(h,
			    f->flags & F_PADDED ? PROTOCOL_ERROR
						: FRAME_SIZE_ERROR,
			    "HEADERS is too short for its priority");
		f->p += 5;
		f->len -= 5;
	}
	if (f->flags & F_END_HEADERS)
		return h2_answer_headers(h, f->id, f->flags, f->p, f->len);
	h->block_id = f->id;
	h->block_flags = f->flags;
	buf_add(&h->block, f->p, f->len); /* one frame always fits */
	return 0;
}

/* Empties the buffer, and frees its memory if that is large. */
static void recycle_buf(struct buf *b)
{
	if (b->cap > BUF_KEEP_MAX)
		buf_free(b);
	buf_reset(b);
}

static int recv_continuation(struct h2 *h, struct frame *f)
{
	int rc;

	if (h->block_id == 0)
		return h2_conn_error(
		    h, PROTOCOL_ERROR, "CONTINUATION without a header block");
	if (!buf_add(&h->block, f->p, f->len))
		return h2_conn_error(h, ENHANCE_YOUR_CALM,
		    "a header block is over %d bytes", BLOCK_MAX);
	if (!(f->flags & F_END_HEADERS))
		return 0;
	h->block_id = 0;
	rc = h2_answer_headers(h, f->id, h->block_flags,
	    h->block.mem ? buf_head(&h->block) : f->p, h->block.len);
	recycle_buf(&h->block);
	return rc;
}

/* Deprecated by 9113 5.3.2 and without meaning for a client. */
static int recv_priority(struct h2 *h, struct frame *f)
{
	(void)h;
	(void)f;
	return 0;
}

static int recv_rst_stream(struct h2 *h, struct frame *f)
{
	struct stream *s = h2_stream_find(h, f->id);
	const uint32_t code = get_u32(f->p);

	if (s == NULL)
		return h2_stream_missing(h, f->id, "RST_STREAM", true);
	/* 9113 8.7 */
	if (code == REFUSED_STREAM)
		h2_stream_finish(h, s, H2_UNPROCESSED, code,
		    "the server refused the stream");
	else
		h2_stream_finish(
		    h, s, H2_LOST, code, "the server reset the stream");
	return 0;
}

/* 9113 6.5.2.  A new window goes to *window: it concerns every stream, so it is
 * applied once a frame, however often the frame repeats the setting. */
static int apply_setting(
    struct h2 *h, unsigned setting, uint32_t v, int32_t *window)
{
	switch (setting) {
	case S_HEADER_TABLE_SIZE:
		hpack_enc_set_max(h->enc, v);
		break;
	case S_ENABLE_PUSH:
		if (v != 0)
			return h2_conn_error(
			    h, PROTOCOL_ERROR, "a server enables push");
		break;
	case S_MAX_CONCURRENT_STREAMS:
		h->peer_streams = v;
		break;
	case S_INITIAL_WINDOW_SIZE:
		if (v > WINDOW_MAX)
			return h2_conn_error(h, FLOW_CONTROL_ERROR,
			    "INITIAL_WINDOW_SIZE is too large");
		*window = (int32_t)v;
		break;
	case S_MAX_FRAME_SIZE:
		/* Our frames have the size that every server accepts. */
		if (v < FRAME_MAX || v > 0xffffff)
			return h2_conn_error(h, PROTOCOL_ERROR,
			    "MAX_FRAME_SIZE is out of range");
		break;
	default:
		break;
	}
	return 0;
}

static int recv_settings(struct h2 *h, struct frame *f)
{
	int32_t window = h->initial_window;
	size_t i;

	if (f->len % 6 != 0 || (f->flags & F_ACK && f->len != 0))
		return h2_conn_error(h, FRAME_SIZE_ERROR,
		    "SETTINGS of %u bytes", (unsigned)f->len);
	if (f->flags & F_ACK)
		return 0;
	for (i = 0; i < f->len; i += 6)
		if (apply_setting(h, (unsigned)(f->p[i] << 8 | f->p[i + 1]),
			get_u32(f->p + i + 2), &window) < 0)
			return -1;
	if (h2_set_initial_window(h, window) < 0)
		return -1;
	h2_put_frame(h, SETTINGS, F_ACK, 0, NULL, 0);
	if (!h->has_settings) {
		h->has_settings = true;
		h->ops->ready(h->arg);
	}
	return 0;
}

static int recv_push_promise(struct h2 *h, struct frame *f)
{
	(void)f;
	return h2_conn_error(
	    h, PROTOCOL_ERROR, "PUSH_PROMISE although push is disabled");
}

static int recv_ping(struct h2 *h, struct frame *f)
{
	if (!(f->flags & F_ACK)) {
		h2_put_frame(h, PING, F_ACK, 0, f->p, f->len);
		return 0;
	}
	if (h->ping_outstanding &&
	    memcmp(f->p, h->pings, sizeof(h->pings)) == 0)
		h->ping_outstanding = false;
	return 0;
}

/* 9113 6.8: may come twice, the first one with 2^31-1. */
static int recv_goaway(struct h2 *h, struct frame *f)
{
	const uint32_t last = get_u32(f->p) & ID_MAX;

	if (last > h->goaway_last)
		return h2_conn_error(
		    h, PROTOCOL_ERROR, "GOAWAY raises its last stream");
	h->leaving = true;
	h->goaway_last = last;
	h->goaway_code = get_u32(f->p + 4);
	h2_finish_above(
	    h, last, H2_UNPROCESSED, "the server closes the connection");
	h->ops->goaway(h->arg, h->goaway_code, f->p + 8, f->len - 8);
	return 0;
}

static int recv_window_update(struct h2 *h, struct frame *f)
{
	const uint32_t n = get_u32(f->p) & WINDOW_MAX;
	struct stream *s = NULL;

	if (f->id == 0 && n == 0)
		return h2_conn_error(h, PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
	if (f->id == 0 && (int64_t)h->send_window + n > WINDOW_MAX)
		return h2_conn_error(h, FLOW_CONTROL_ERROR,
		    "WINDOW_UPDATE makes the window overflow");
	if (f->id == 0) {
		h->send_window += (int32_t)n;
		return 0;
	}
	s = h2_stream_find(h, f->id);
	if (s == NULL)
		return h2_stream_missing(h, f->id, "WINDOW_UPDATE", true);
	if (n == 0)
		return h2_stream_error(
		    h, s, PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
	if ((int64_t)s->send_window + n > WINDOW_MAX)
		return h2_stream_error(h, s, FLOW_CONTROL_ERROR,
		    "WINDOW_UPDATE makes the window overflow");
	s->send_window += (int32_t)n;
	h2_ready_add(h, s);
	return 0;
}

enum frame_scope {
	ON_CONNECTION,
	ON_STREAM,
	ANYWHERE
};

/* Where a frame may occur, and how long it may be (9113 6). */
static const struct frame_kind {
	int (*recv)(struct h2 *h, struct frame *f);
	const char *name;
	enum frame_scope scope;
	uint16_t min, max;
} kinds[FRAME_TYPES] = {
	[DATA] = { recv_data, "DATA", ON_STREAM, 0, FRAME_MAX },
	[HEADERS] = { recv_headers, "HEADERS", ON_STREAM, 0, FRAME_MAX },
	[PRIORITY] = { recv_priority, "PRIORITY", ON_STREAM, 5, 5 },
	[RST_STREAM] = { recv_rst_stream, "RST_STREAM", ON_STREAM, 4, 4 },
	[SETTINGS] = { recv_settings, "SETTINGS", ON_CONNECTION, 0, FRAME_MAX },
	[PUSH_PROMISE] = { recv_push_promise, "PUSH_PROMISE", ON_STREAM, 0,
	    FRAME_MAX },
	[PING] = { recv_ping, "PING", ON_CONNECTION, 8, 8 },
	[GOAWAY] = { recv_goaway, "GOAWAY", ON_CONNECTION, 8, FRAME_MAX },
	[WINDOW_UPDATE] = { recv_window_update, "WINDOW_UPDATE", ANYWHERE, 4,
	    4 },
	[CONTINUATION] = { recv_continuation, "CONTINUATION", ON_STREAM, 0,
	    FRAME_MAX },
};

static int recv_frame(struct h2 *h, const unsigned char *p, size_t size)
{
	struct frame f = {
		.type = p[3],
		.flags = p[4],
		.id = get_u32(p + 5) & ID_MAX,
		.p = p + FRAME_HEADER,
		.len = size - FRAME_HEADER,
	};
	const struct frame_kind *k = &kinds[f.type < FRAME_TYPES ? f.type : 0];

	if (h->block_id != 0 && (f.type != CONTINUATION || f.id != h->block_id))
		return h2_conn_error(
		    h, PROTOCOL_ERROR, "a header block is interrupted");
	if ((f.type != DATA || f.len < BUDGET_DATA_MIN) && budget_spend(h) < 0)
		return -1;
	if (f.type >= FRAME_TYPES) /* 9113 5.5 */
		return 0;
	if (k->scope != ANYWHERE && (k->scope == ON_STREAM) != (f.id != 0))
		return h2_conn_error(
		    h, PROTOCOL_ERROR, "%s on stream %u", k->name, f.id);
	if (f.len < k->min || f.len > k->max)
		return h2_conn_error(h, FRAME_SIZE_ERROR, "%s of %u bytes",
		    k->name, (unsigned)f.len);
	if (k->recv(h, &f) < 0)
		return -1;
	if (h->out.failed)
		return h2_conn_error(h, ENHANCE_YOUR_CALM,
		    "the server does not read what we send");
	return 0;
}

/* Checks the 9 bytes at p; *size_r is the length of the whole frame. */
static int check_frame_header(
    struct h2 *h, const unsigned char *p, size_t *size_r)
{
	const size_t len = get_u32(p) >> 8;

	if (!h->has_settings && memcmp(p, "HTTP/1.", 7) == 0)
		return h2_conn_error(h, PROTOCOL_ERROR,
		    "the server speaks HTTP/1.1 on this port, not HTTP/2");
	/* 9113 3.4 */
	if (!h->has_settings && (p[3] != SETTINGS || p[4] & F_ACK))
		return h2_conn_error(h, PROTOCOL_ERROR,
		    "the server does not begin with SETTINGS");
	if (len > FRAME_MAX)
		return h2_conn_error(
		    h, FRAME_SIZE_ERROR, "a frame of %u bytes", (unsigned)len);
	*size_r = FRAME_HEADER + len;
	return 0;
}

/* Collects a frame that arrives in pieces.  Returns the bytes used, or -1. */
static ptrdiff_t collect_frame(
    struct h2 *h, const unsigned char *data, size_t n)
{
	struct buf *const b = &h->part;
	size_t size = FRAME_HEADER;

	if (b->len >= FRAME_HEADER &&
	    check_frame_header(h, buf_head(b), &size) < 0)
		return -1;
	if (n > size - b->len)
		n = size - b->len;
	buf_add(b, data, n);
	if (b->len < FRAME_HEADER)
		return (ptrdiff_t)n;
	if (check_frame_header(h, buf_head(b), &size) < 0)
		return -1;
	if (b->len == size) {
		if (recv_frame(h, buf_head(b), size) < 0)
			return -1;
		recycle_buf(b);
	}
	return (ptrdiff_t)n;
}

int h2_recv(struct h2 *h, const unsigned char *data, size_t n, int64_t now_ms)
{
	size_t size;
	ptrdiff_t used;

	budget_refill(h, now_ms);
	while (n > 0 && !h->dead) {
		if (h->part.len == 0 && n >= FRAME_HEADER) {
			if (check_frame_header(h, data, &size) < 0)
				return -1;
			if (n >= size) {
				if (recv_frame(h, data, size) < 0)
					return -1;
				data += size;
				n -= size;
				continue;
			}
		}
		used = collect_frame(h, data, n);
		if (used < 0)
			return -1;
		data += used;
		n -= (size_t)used;
	}
	return h->dead ? -1 : 0;
}

/* --- the owner's calls --- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* 3.4 */

struct h2 *h2_new(const struct h2_ops *ops, void *arg, uint32_t max_streams,
    uint16_t body_max)
{
	unsigned char settings[12] = { 0, S_ENABLE_PUSH, 0, 0, 0, 0, 0,
		S_MAX_HEADER_LIST_SIZE };
	struct h2 *h = xcalloc(1, sizeof(*h));

	h->ops = ops;
	h->arg = arg;
	h->max_streams = max_streams;
	h->body_max = body_max;
	h->dec = hpack_dec_new(HPACK_TABLE_DEFAULT, LIST_MAX);
	h->enc = hpack_enc_new(HPACK_TABLE_DEFAULT);
	buf_init(&h->out, OUT_MAX);
	buf_init(&h->part, FRAME_HEADER + FRAME_MAX);
	buf_init(&h->block, BLOCK_MAX);
	h->ready_tail = &h->ready;
	h->peer_streams = UINT32_MAX;
	h->next_id = 1;
	h->goaway_last = ID_MAX;
	h->send_window = WINDOW_DEFAULT;
	h->initial_window = WINDOW_DEFAULT;
	h->budget = INT64_C(1000) * BUDGET_BURST;
	h->budget_max =
	    h->budget + INT64_C(1000) * BUDGET_PER_REQUEST * max_streams;
	buf_add(&h->out, preface, sizeof(preface) - 1);
	set_u32(settings + 8, LIST_MAX);
	h2_put_frame(h, SETTINGS, 0, 0, settings, sizeof(settings));
	return h;
}

void h2_free(struct h2 *h)
{
	if (h == NULL)
		return;
	h2_streams_free(h);
	hpack_dec_free(h->dec);
	hpack_enc_free(h->enc);
	buf_free(&h->out);
	buf_free(&h->part);
	buf_free(&h->block);
	free(h);
}

struct buf *h2_out(struct h2 *h)
{
	h2_send_ready(h);
	return &h->out;
}

uint32_t h2_capacity(const struct h2 *h)
{
	uint32_t most = h->max_streams;

	if (!h->has_settings || h2_is_finished(h) || h->out.len >= OUT_HIGH ||
	    h->send_window <= 0)
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
	size_t i;

	for (i = 0; i < n; i++)
		most += headers[i].name_len + headers[i].value_len;
	if (h2_capacity(h) == 0 || most > H2_REQUEST_HEADERS_MAX ||
	    body_len > UINT32_MAX)
		return 0;
	s = h2_stream_open(h, owner);
	h2_put_frame(h, HEADERS, 0, s->id, NULL, 0);
	hpack_encode(h->enc, headers, n, &h->out); /* fits: OUT_MAX */
	set_frame_header(buf_head(&h->out) + at, h->out.len - at - FRAME_HEADER,
	    HEADERS, F_END_HEADERS | end, s->id);
	h2_send_body(h, s, body, body_len);
	h->budget += INT64_C(1000) * BUDGET_PER_REQUEST;
	if (h->budget > h->budget_max)
		h->budget = h->budget_max;
	return s->id;
}

void h2_cancel(struct h2 *h, uint32_t id)
{
	struct stream *s = h2_stream_find(h, id);

	if (s == NULL)
		return;
	h2_stream_reset(h, s, CANCEL);
	h2_stream_drop(h, s);
}

void h2_ping(struct h2 *h)
{
	if (h->ping_outstanding || h->dead)
		return;
	h->ping_outstanding = true;
	h->pings[0]++;
	h2_put_frame(h, PING, 0, 0, h->pings, sizeof(h->pings));
}

bool h2_ping_outstanding(const struct h2 *h)
{
	return h->ping_outstanding;
}

void h2_send_goaway(struct h2 *h)
{
	if (h->dead)
		return;
	h->leaving = true;
	h2_put_goaway(h, NO_ERROR);
}

void h2_close(struct h2 *h)
{
	const bool broken = h->error[0] != '\0';

	h->dead = true;
	h2_finish_above(h, 0, H2_LOST,
	    broken ? "the server broke the protocol"
		   : "the connection was lost");
}

const char *h2_error(const struct h2 *h)
{
	return h->error;
}
