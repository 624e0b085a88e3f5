/* send/h1.c - HTTP/1.1 client engine (RFC 9112).
 *
 * What two readers might understand differently ends the connection, at once or
 * after the answer: else what follows would be taken for the next answer. */
#include "send/h1.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "http.h"
#include "mem.h"

#define OUT_MAX (128 * 1024)

enum h1_state {
	H1_IDLE,
	H1_HEAD, /* a request was sent, its answer's head is awaited */
	H1_BODY, /* `left` bytes of it, or all until the end */
	H1_CHUNKED,
	H1_DEAD,
};

struct h1 {
	const struct h2_ops *ops;
	void *arg, *owner;
	struct buf out;
	unsigned char *body; /* body_max bytes; NULL: there was none yet */
	size_t body_max, body_len, received;
	uint64_t left;
	struct http_chunked chunks;
	enum h1_state state;
	int status;
	bool close;   /* after this answer */
	bool is_head; /* the request: its answer has no body */
	bool heard;   /* something came in answer to it */
	unsigned served;
	const char *error;
};

struct h1 *h1_new(const struct h2_ops *ops, void *arg, size_t body_max)
{
	struct h1 *h = xcalloc(1, sizeof(*h));

	h->ops = ops;
	h->arg = arg;
	h->body_max = body_max;
	buf_init(&h->out, OUT_MAX);
	return h;
}

void h1_free(struct h1 *h)
{
	if (h == NULL)
		return;
	buf_free(&h->out);
	free(h->body);
	free(h);
}

bool h1_is_ready(const struct h1 *h)
{
	return h->state == H1_IDLE;
}

bool h1_is_finished(const struct h1 *h)
{
	return h->state == H1_DEAD;
}

struct buf *h1_out(struct h1 *h)
{
	return &h->out;
}

const char *h1_error(const struct h1 *h)
{
	return h->error;
}

/* --- the request --- */

#define EQUALS(s, len, want)                                                   \
	((len) == sizeof(want) - 1 && memcmp(s, want, sizeof(want) - 1) == 0)

static void add_line(struct buf *b, const char *name, size_t name_len,
    const struct hpack_header *value)
{
	buf_add(b, name, name_len);
	buf_add_str(b, ": ");
	buf_add(b, value->value, value->value_len);
	buf_add_str(b, "\r\n");
}

/* list: :method, :scheme, :path, :authority and others. */
static void add_head(
    struct h1 *h, const struct hpack_header *list, size_t n, size_t body_len)
{
	const struct hpack_header *method = &list[0], *path = &list[2];
	bool has_length = EQUALS(method->value, method->value_len, "GET");
	size_t i;

	h->is_head = EQUALS(method->value, method->value_len, "HEAD");
	buf_add(&h->out, method->value, method->value_len);
	buf_add_byte(&h->out, ' ');
	buf_add(&h->out, path->value, path->value_len);
	buf_add_str(&h->out, " HTTP/1.1\r\n");
	add_line(&h->out, "host", 4, &list[3]);
	for (i = 4; i < n; i++) {
		has_length =
		    has_length ||
		    EQUALS(list[i].name, list[i].name_len, "content-length");
		add_line(&h->out, list[i].name, list[i].name_len, &list[i]);
	}
	if (!has_length)
		buf_add_fmt(&h->out, "content-length: %zu\r\n", body_len);
	buf_add_str(&h->out, "\r\n");
}

bool h1_request(struct h1 *h, const struct hpack_header *list, size_t n,
    const void *body, size_t len, void *owner)
{
	if (h->state != H1_IDLE)
		return false;
	buf_reset(&h->out);
	add_head(h, list, n, len);
	buf_add(&h->out, body, len);
	if (h->out.failed) {
		buf_reset(&h->out);
		return false;
	}
	h->owner = owner;
	h->state = H1_HEAD;
	h->heard = false;
	h->received = 0;
	return true;
}

/* --- its end --- */

/* 408 is for a request that the server did not wait for: it may have crossed it on
 * an idle connection. */
static void answer(struct h1 *h)
{
	struct h2_response res = {
		.outcome = h->status != 408 ? H2_DONE : H2_UNPROCESSED,
		.status = h->status,
		.body = h->body,
		.body_len = h->body_len,
	};

	h->served++;
	h->state = h->close ? H1_DEAD : H1_IDLE;
	h->ops->response(h->arg, h->owner, &res);
}

bool h1_end(struct h1 *h)
{
	if (h->state != H1_BODY && h->state != H1_CHUNKED)
		return false;
	h->close = true;
	answer(h);
	return true;
}

bool h1_is_unheard(const struct h1 *h)
{
	return h->state == H1_HEAD && h->served > 0 && !h->heard;
}

void h1_close(struct h1 *h)
{
	struct h2_response res = {
		.outcome = h1_is_unheard(h) ? H2_UNPROCESSED : H2_LOST,
		.reason = "the connection was lost",
	};
	bool is_open = h->state != H1_IDLE && h->state != H1_DEAD;

	h->state = H1_DEAD;
	if (is_open)
		h->ops->response(h->arg, h->owner, &res);
}

/* --- the answer --- */

static int fail(struct h1 *h, const char *why)
{
	h->error = why;
	return -1;
}

static void take_head(struct h1 *h, const struct http_head *head)
{
	static const char name[] = "retry-after";

	if (head->status < 200)
		return; /* interim */
	h->status = head->status;
	h->body_len = h->received = 0;
	h->left = head->content_length;
	h->close = !head->keep_alive;
	h->state = H1_BODY;
	if (head->retry_after.len > 0)
		h->ops->header(h->arg, h->owner, name, sizeof(name) - 1,
		    head->retry_after.p, head->retry_after.len);
	if (h->is_head || h->status == 204 || h->status == 304) {
		h->left = 0;
	} else if (head->body == HTTP_BODY_UNTIL_END) {
		h->left = UINT64_MAX;
		h->close = true;
	} else if (head->body == HTTP_BODY_CHUNKED) {
		memset(&h->chunks, 0, sizeof(h->chunks));
		h->state = H1_CHUNKED;
	}
}

static void keep(struct h1 *h, const unsigned char *data, size_t n)
{
	h->received += n;
	if (n > h->body_max - h->body_len)
		n = h->body_max - h->body_len;
	if (n == 0)
		return;
	if (h->body == NULL)
		h->body = xmalloc(h->body_max);
	memcpy(h->body + h->body_len, data, n);
	h->body_len += n;
}

/* Returns the bytes used, or -1.  *done_r: that was all of it. */
static int take_body(struct h1 *h, unsigned char *data, size_t n, bool *done_r)
{
	int used;

	if (h->state == H1_CHUNKED) {
		used =
		    http_parse_chunks(&h->chunks, (char *)data, n, &n, done_r);
		if (used < 0)
			return fail(h, "malformed chunks");
	} else {
		if (n > h->left)
			n = (size_t)h->left;
		h->left -= n;
		used = (int)n;
		*done_r = h->left == 0;
	}
	keep(h, data, n);
	if (h->received > H1_ANSWER_MAX)
		h->close = *done_r = true;
	return used;
}

int h1_recv(struct h1 *h, unsigned char *data, size_t n)
{
	struct http_head head;
	bool done = false;
	size_t at = 0;
	int used;

	h->heard = n > 0;
	while (h->state == H1_HEAD) {
		used = http_parse_answer((char *)data + at, n - at, &head);
		if (used == PARSE_BAD)
			return fail(h, head.reason);
		if (used == PARSE_MORE)
			return (int)at;
		at += (size_t)used;
		h->received += (size_t)used;
		if (h->received > H1_ANSWER_MAX)
			return fail(h, "too many interim answers");
		take_head(h, &head);
	}
	if (h->state == H1_IDLE && n > 0)
		return fail(h, "nothing was asked");
	if (h->state == H1_IDLE || h->state == H1_DEAD)
		return (int)n;
	used = take_body(h, data + at, n - at, &done);
	if (used < 0)
		return -1;
	if (done) {
		h->close = h->close || at + (size_t)used < n;
		answer(h);
	}
	return (int)n;
}
