/* h2/int.h - declarations shared by the files of h2. */
#ifndef H2_INT_H
#define H2_INT_H

#include "h2.h"

#include "buf.h"

#define FRAME_HEADER 9
#define FRAME_MAX 16384 /* MAX_FRAME_SIZE: the smallest and the default */
#define WINDOW_MAX 0x7fffffff
#define WINDOW_DEFAULT 65535 /* ours: received bodies are never stored */

/* An answer may use half of its stream's window, padding included: far more
 * than APNs' 100 bytes or a proxy's error page.  A longer one, which may be
 * endless, would need a window update, and we never send one for a stream. */
#define ANSWER_MAX (WINDOW_DEFAULT / 2)
#define ID_MAX 0x7fffffff

/* How many streams that we reset are remembered: what the server sends before
 * it learns of the reset is ignored. */
#define RESET_MAX 64

/* Limits of the output, in bytes.  Requests stop at the first; a request that
 * began below it ends far below the second.  The rest is for what the server
 * makes us send (acknowledgements, resets, window updates): if that reaches the
 * second limit, the server does not read. */
#define OUT_HIGH (64 * 1024)
#define OUT_MAX (128 * 1024)

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

/* A request that has no answer yet, or an entry of the free list. */
struct stream {
	struct stream *next;	   /* in its bucket or the free list */
	struct stream *next_ready; /* in h2.ready */
	void *owner;
	unsigned char *rest; /* unsent part of the request's body, or NULL */
	unsigned char *body; /* of the answer, h2.body_max; NULL if none */
	int64_t length;	     /* content-length of the answer, or -1 */
	uint32_t id;
	uint32_t rest_off, rest_len;
	int32_t send_window; /* below 0 if SETTINGS reduced it */
	uint32_t received;   /* bytes of the answer's body */
	uint32_t padded;     /* the same with padding */
	uint16_t status;     /* of the final headers; 0 before them */
	uint16_t body_len : 15;
	uint16_t is_ready : 1;
};

struct h2 {
	const struct h2_ops *ops;
	void *arg;
	struct hpack_dec *dec;
	struct hpack_enc *enc;
	struct buf out;
	struct buf part;   /* a frame that arrived in pieces */
	struct buf block;  /* a header block with CONTINUATIONs */
	uint32_t block_id; /* the stream of that block; 0: none */
	uint8_t block_flags;

	struct stream **buckets; /* by id */
	uint32_t n_buckets;	 /* a power of two, 0 before the first */
	struct stream *free;
	/* Streams whose bodies could be sent by their own windows, but wait
	 * for the connection's window or for space in the output. */
	struct stream *ready, **ready_tail;
	uint32_t open, max_streams, peer_streams;
	uint32_t next_id;
	uint32_t goaway_last; /* the server processes no higher ids */
	uint32_t goaway_code;

	int32_t send_window;	    /* the connection's */
	uint32_t recv_used;	    /* received since the last window update */
	int32_t initial_window;	    /* of new streams, by the server */
	uint32_t resets[RESET_MAX]; /* ring of ids */
	uint32_t reset_at, reset_floor; /* highest id that left it */
	int64_t budget, budget_max;	/* in thousandths of a frame */
	int64_t budget_ms;
	unsigned char pings[8]; /* content of the last one, a counter */
	bool ping_outstanding;

	uint16_t body_max; /* H2_BODY_MAX at most */
	bool has_settings; /* the server's first SETTINGS have arrived */
	bool leaving;	   /* GOAWAY was sent or received */
	bool dead;	   /* h2_recv() failed or h2_close() was called */
	char error[160];
};

struct frame {
	uint8_t type, flags;
	uint32_t id;
	const unsigned char *p;
	size_t len;
};

static inline uint32_t get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static inline void set_u32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

static inline void set_frame_header(unsigned char *p, size_t len,
    enum frame_type type, uint8_t flags, uint32_t id)
{
	set_u32(p, (uint32_t)len << 8 | type);
	p[4] = flags;
	set_u32(p + 5, id);
}

/* --- h2/stream.c: errors, sent frames, streams, request bodies --- */

/* Ends the connection (9113 5.4.1); always returns -1. */
int h2_conn_error(struct h2 *h, enum code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* If the output is full, sets out.failed, which recv_frame() checks. */
void h2_put_frame(struct h2 *h, enum frame_type type, uint8_t flags,
    uint32_t id, const void *payload, size_t len);
/* RST_STREAM and WINDOW_UPDATE. */
void h2_put_u32(struct h2 *h, enum frame_type type, uint32_t id, uint32_t v);
void h2_put_goaway(struct h2 *h, enum code code);

struct stream *h2_stream_find(const struct h2 *h, uint32_t id);
/* With the next id; the caller checked that there is one. */
struct stream *h2_stream_open(struct h2 *h, void *owner);
/* Ends a request, with its answer or without.  The stream is removed before the
 * owner is called, since the owner may open the next one in that callback. */
void h2_stream_finish(struct h2 *h, struct stream *s, enum h2_outcome outcome,
    uint32_t error, const char *reason);
/* The same for every request with an id above last. */
void h2_finish_above(
    struct h2 *h, uint32_t last, enum h2_outcome outcome, const char *reason);
/* Ends a request without calling its owner. */
void h2_stream_drop(struct h2 *h, struct stream *s);
void h2_streams_free(struct h2 *h);

/* Sends RST_STREAM; the caller still has to end the stream. */
void h2_stream_reset(struct h2 *h, const struct stream *s, enum code code);
/* Ends a stream for an error of the server (9113 5.4.2); always returns 0,
 * since the connection goes on. */
int h2_stream_error(
    struct h2 *h, struct stream *s, enum code code, const char *reason);
/* A frame for a stream that is not open (9113 5.1): 0 if it may be ignored,
 * else -1.  harmless: a type of frame that may arrive after its end. */
int h2_stream_missing(
    struct h2 *h, uint32_t id, const char *type, bool harmless);

/* Sends a new request's body, and copies what cannot be sent yet. */
void h2_send_body(
    struct h2 *h, struct stream *s, const unsigned char *body, size_t len);
/* To be called after the stream's window has grown. */
void h2_ready_add(struct h2 *h, struct stream *s);
/* Sends what is waiting, as far as that is possible. */
void h2_send_ready(struct h2 *h);
/* 9113 6.9.2: the windows of open streams change by the difference. */
int h2_set_initial_window(struct h2 *h, int32_t window);

/* --- h2/answer.c: a server's answer to a request --- */

/* A whole header block.  Returns 0 or -1 as h2_recv(), like the next one. */
int h2_answer_headers(struct h2 *h, uint32_t id, uint8_t flags,
    const unsigned char *block, size_t len);
/* The content of a DATA frame. */
int h2_answer_data(struct h2 *h, struct stream *s, uint8_t flags,
    const unsigned char *p, size_t len);

#endif
