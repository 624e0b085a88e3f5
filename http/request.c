/* http/request.c - reads one request, HTTP or a line, and calls the handler. */
#include "http/int.h"

#include <string.h>

#include "buf.h"
#include "io.h"

static bool is_method(struct http_str m, const char *name)
{
	return m.len == strlen(name) && memcmp(m.p, name, m.len) == 0;
}

static void call_handler(struct http_conn *c, const struct http_head *h)
{
	struct http_server *s = c->s;
	char *body = (char *)buf_head(io_in(c->io)) + c->head_len;
	const struct http_request req = {
		.method = h->method,
		.path = h->path,
		.authorization = h->authorization,
		.host = h->host,
		.origin = h->origin,
		.query = h->query,
		.fetch_site = h->fetch_site,
		.dated = h->dated,
		.body = body,
		.body_len = c->body_len,
		.over_unix = c->over_unix,
		.over_tls = c->over_tls,
		.uid = c->uid,
		.io = c->io,
	};
	char saved = body[c->body_len];

	body[c->body_len] = '\0';
	c->in_handler = true;
	s->handler(c, &req, s->arg);
	c->in_handler = false;
	body[c->body_len] = saved;
}

/* The request is complete.  head: NULL if it must be parsed again since the
 * input may have moved. */
static void dispatch(struct http_conn *c, const struct http_head *head)
{
	struct buf *in = io_in(c->io);
	const unsigned char *before = buf_head(in);
	struct http_head again;

	/* Space for the NUL, which IN_MAX includes. */
	if (in->len == c->head_len + c->body_len &&
	    buf_reserve(in, 1) == NULL) {
		http_conn_refuse(c, 413, "the request is too long");
		return;
	}
	if (head == NULL || buf_head(in) != before) {
		http_parse_head((const char *)buf_head(in), in->len, &again);
		head = &again;
	}
	c->close = !head->keep_alive || c->s->quiet;
	c->http10 = head->minor == 0;
	c->is_head = is_method(head->method, "HEAD");
	c->no_lines = !c->over_unix;
	c->fresh = false;
	http_conn_set_state(c, HTTP_CONN_WAITING);
	call_handler(c, head);
	buf_consume(in, c->head_len + c->body_len);
}

/* Decodes what has arrived of a chunked body; true when it is complete. */
static bool read_chunks(struct http_conn *c)
{
	struct buf *in = io_in(c->io);
	size_t at = c->head_len + c->body_len, got;
	char *p = (char *)buf_head(in) + at;
	bool done;
	int used;

	used = http_parse_chunks(&c->chunked, p, in->len - at, &got, &done);
	if (used < 0) {
		http_conn_refuse(c, 400, "malformed chunked body");
		return false;
	}
	/* What follows the body is the next request. */
	memmove(p + got, p + used, in->len - at - (size_t)used);
	in->len -= (size_t)used - got;
	c->body_len += got;
	if (c->body_len > HTTP_BODY_MAX ||
	    c->chunked.left > HTTP_BODY_MAX - c->body_len) {
		http_conn_refuse(c, 413, "the body is longer than 64 KiB");
		return false;
	}
	return done;
}

/* RFC 9110 10.1.1: only if the peer really waits for it, that is, has not sent
 * any of the body. */
static void send_continue(struct http_conn *c)
{
	if (c->expect && io_in(c->io)->len == c->head_len)
		buf_add_str(io_out(c->io), "HTTP/1.1 100 Continue\r\n\r\n");
	c->expect = false;
}

static void read_body(struct http_conn *c, const struct http_head *head)
{
	bool done;

	if (c->body == HTTP_BODY_CHUNKED) {
		done = read_chunks(c);
		head = NULL;
	} else {
		done = io_in(c->io)->len - c->head_len >= c->content_length;
		c->body_len = c->content_length;
	}
	if (c->state == HTTP_CONN_DEAD)
		return;
	if (done) {
		dispatch(c, head);
		return;
	}
	send_continue(c);
	if (c->state != HTTP_CONN_BODY)
		http_conn_set_state(c, HTTP_CONN_BODY);
}

static void read_head(struct http_conn *c)
{
	const struct buf *in = io_in(c->io);
	struct http_head head;
	int n;

	n = http_parse_head((const char *)buf_head(in), in->len, &head);
	if (n == PARSE_MORE) {
		if (c->state != HTTP_CONN_HEAD)
			http_conn_set_state(c, HTTP_CONN_HEAD);
		return;
	}
	if (n == PARSE_BAD) {
		http_conn_refuse(c, head.status, head.reason);
		return;
	}
	if (head.content_length > HTTP_BODY_MAX) {
		http_conn_refuse(c, 413, "the body is longer than 64 KiB");
		return;
	}
	c->head_len = (size_t)n;
	c->body_len = 0;
	c->body = (unsigned char)head.body;
	c->content_length = (size_t)head.content_length;
	c->expect = head.expect_continue;
	memset(&c->chunked, 0, sizeof(c->chunked));
	read_body(c, &head);
}

/* The first-generation plugin's commands; as HTTP methods they would be
 * followed by a path or an address.  Not checked after an HTTP request over
 * TCP, which may come from a web page: its next bytes must not be taken for
 * this protocol. */
static bool starts_line(const struct buf *in)
{
	static const char words[][10] = { "NOTIFY ", "REGISTER " };
	const char *p = (const char *)buf_head(in);
	size_t i, n;

	for (i = 0; i < 2; i++) {
		n = strlen(words[i]);
		if (in->len > n && memcmp(p, words[i], n) == 0)
			return strchr("/*hH", p[n]) == NULL;
	}
	return false;
}

static void read_line(struct http_conn *c)
{
	struct buf *in = io_in(c->io);
	struct http_server *s = c->s;
	struct http_line line = {
		.text = (const char *)buf_head(in),
		.over_unix = c->over_unix,
	};
	char *end = memchr(buf_head(in), '\n', in->len);

	c->is_line = true;
	/* The buffer holds more than a line may have. */
	if ((end != NULL ? (size_t)(end - line.text) : in->len) >
	    HTTP_BODY_MAX) {
		http_conn_refuse(c, 413, "the line is longer than 64 KiB");
		return;
	}
	if (end == NULL) {
		if (c->state != HTTP_CONN_HEAD)
			http_conn_set_state(c, HTTP_CONN_HEAD);
		return;
	}
	c->head_len = (size_t)(end - line.text) + 1;
	line.len = c->head_len - 1;
	if (end > line.text && end[-1] == '\r')
		line.len--;
	buf_head(in)[line.len] = '\0';
	c->close = s->quiet;
	c->fresh = false;
	http_conn_set_state(c, HTTP_CONN_WAITING);
	c->in_handler = true;
	s->line_handler(c, &line, s->line_arg);
	c->in_handler = false;
	buf_consume(in, c->head_len);
}

/* Old clients send an empty line after a body (RFC 9112 2.2): it starts neither
 * a request nor its time limit. */
static void skip_empty_lines(struct buf *in)
{
	while (in->len >= 2 && memcmp(buf_head(in), "\r\n", 2) == 0)
		buf_consume(in, 2);
}

bool http_read_request(struct http_conn *c)
{
	struct buf *in = io_in(c->io);

	if (c->state == HTTP_CONN_IDLE)
		skip_empty_lines(in);
	if (in->len == 0)
		return false;
	if (c->state == HTTP_CONN_BODY) {
		read_body(c, NULL);
	} else {
		c->is_line = false;
		c->is_head = false;
		if (c->s->line_handler != NULL && !c->no_lines &&
		    starts_line(in))
			read_line(c);
		else
			read_head(c);
	}
	return true;
}
