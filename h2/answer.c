/* h2/answer.c - checks that a response is well-formed (RFC 9113 8). */
#include "h2/int.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* One header block of an answer while it is decoded. */
struct answer {
	struct h2 *h;
	const struct stream *s;
	bool trailers;
	bool regular; /* a field that is no pseudo-header was seen */
	int status;   /* 0 before :status */
	int64_t length;
	const char *bad; /* what is malformed (9113 8.1.1), or NULL */
};

/* Compares with a literal.  Lengths mostly differ, and then cost no call. */
#define EQUALS(s, len, want)                                                   \
	((len) == sizeof(want) - 1 && memcmp(s, want, sizeof(want) - 1) == 0)

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

/* Up to 18 digits and nothing else; -1 if it is something else. */
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
static const char *check_pseudo(struct answer *a, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	if (a->trailers)
		return "a pseudo-header is in the trailers";
	if (!EQUALS(name, name_len, ":status"))
		return "an unknown pseudo-header";
	if (a->regular)
		return ":status is not at the beginning";
	if (a->status != 0)
		return ":status is repeated";
	a->status = value_len == 3 ? (int)parse_digits(value, value_len) : -1;
	/* HTTP/2 has no 101 (8.6). */
	if (a->status < 100 || a->status > 599 || a->status == 101)
		return ":status is not a status";
	return NULL;
}

/* 9113 8.2.2 and 8.1.1 */
static const char *check_regular(struct answer *a, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	int64_t length;

	a->regular = true;
	if (EQUALS(name, name_len, "connection") ||
	    EQUALS(name, name_len, "keep-alive") ||
	    EQUALS(name, name_len, "proxy-connection") ||
	    EQUALS(name, name_len, "transfer-encoding") ||
	    EQUALS(name, name_len, "upgrade"))
		return "a header field is specific to HTTP/1.1";
	if (EQUALS(name, name_len, "te") &&
	    !EQUALS(value, value_len, "trailers"))
		return "te is not \"trailers\"";
	if (!a->trailers && a->status == 0)
		return ":status is missing";
	if (!EQUALS(name, name_len, "content-length") || a->trailers)
		return NULL;
	length = parse_digits(value, value_len);
	if (length < 0)
		return "content-length is not a number";
	if (a->length >= 0 && a->length != length)
		return "content-length is repeated";
	a->length = length;
	return NULL;
}

static int on_header(void *arg, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	struct answer *a = arg;
	struct h2 *h = a->h;

	a->bad = check_bytes(name, name_len, value, value_len);
	if (a->bad == NULL)
		a->bad = (name[0] == ':' ? check_pseudo : check_regular)(
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

/* END_STREAM was received. */
static int answer_end(struct h2 *h, struct stream *s)
{
	if (s->length >= 0 && s->length != s->received && !has_no_content(s))
		return h2_stream_error(
		    h, s, PROTOCOL_ERROR, "less data than content-length");
	/* It answered without reading the whole request (9113 8.1). */
	if (s->rest != NULL)
		h2_stream_reset(h, s, CANCEL);
	h2_stream_finish(h, s, H2_DONE, NO_ERROR, NULL);
	return 0;
}

int h2_answer_headers(struct h2 *h, uint32_t id, uint8_t flags,
    const unsigned char *block, size_t len)
{
	struct stream *s = h2_stream_find(h, id);
	struct answer a = { .h = h, .s = s, .length = -1 };
	const bool end = flags & F_END_STREAM;
	const char *reason = NULL;
	enum hpack_status st;

	a.trailers = s != NULL && s->status != 0;
	st =
	    hpack_decode(h->dec, block, len, s ? on_header : NULL, &a, &reason);
	if (st == HPACK_BAD)
		return h2_conn_error(h, COMPRESSION_ERROR, "%s", reason);
	if (s == NULL)
		return 0;
	if (st == HPACK_TOO_BIG)
		return h2_stream_error(h, s, ENHANCE_YOUR_CALM, reason);
	if (a.bad == NULL && a.trailers && !end)
		a.bad = "headers follow that are neither first nor last";
	if (a.bad == NULL && !a.trailers && a.status == 0)
		a.bad = ":status is missing";
	if (a.bad == NULL && a.status / 100 == 1 && end)
		a.bad = "an interim response ends the stream";
	if (a.bad != NULL)
		return h2_stream_error(h, s, PROTOCOL_ERROR, a.bad);
	if (a.status >= 200) {
		s->status = (uint16_t)a.status;
		s->length = a.length;
	}
	return end ? answer_end(h, s) : 0;
}

static void add_to_body(
    const struct h2 *h, struct stream *s, const unsigned char *p, size_t len)
{
	const size_t space = (size_t)(h->body_max - s->body_len);

	if (len == 0 || space == 0)
		return;
	if (s->body == NULL)
		s->body = xmalloc(h->body_max);
	if (len > space)
		len = space;
	memcpy(s->body + s->body_len, p, len);
	s->body_len = (s->body_len + len) & 0x7fff;
}

/* Why a DATA frame breaks its stream, or NULL if it does not. */
static const char *check_data(const struct stream *s, size_t len)
{
	if (s->status == 0)
		return "data comes before headers";
	if (s->length >= 0 && s->received > s->length)
		return "more data than content-length";
	if (has_no_content(s) && len > 0)
		return "data where there can be none";
	return NULL;
}

int h2_answer_data(struct h2 *h, struct stream *s, uint8_t flags,
    const unsigned char *p, size_t len)
{
	const char *bad;

	s->received += (uint32_t)len;
	bad = check_data(s, len);
	if (bad != NULL)
		return h2_stream_error(h, s, PROTOCOL_ERROR, bad);
	add_to_body(h, s, p, len);
	if (flags & F_END_STREAM)
		return answer_end(h, s);
	if (s->padded > ANSWER_MAX) {
		h2_stream_reset(h, s, CANCEL);
		h2_stream_finish(h, s, H2_DONE, NO_ERROR, NULL);
	}
	return 0;
}
