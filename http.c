/* http.c - HTTP/1.1 server: limits, keep-alive, pipelining.
 *
 * A connection reads one request at a time into io_in(), where it stays until
 * the handler has seen it; a chunked body is decoded in place after its head.
 * While an answer is awaited nothing is read. */
#include "http.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "io.h"
#include "log.h"
#include "loop.h"
#include "http/int.h"
#include "mem.h"

/* A whole request and the NUL after its body. */
#define IN_MAX (HTTP_HEAD_MAX + HTTP_BODY_MAX + 1)

/* Answers are ours: the peer cannot make them grow (exports are large). */
#define OUT_MAX (SIZE_MAX / 4)

/* Pipelined answers that may wait for the peer to take them. */
#define OUT_BATCH (64 * 1024)

#define REQUEST_MS 10000	 /* to complete a request once begun */
#define IDLE_MS (10 * 60 * 1000) /* between requests */
#define SENDING_MS 10000	 /* for the peer to take any of an answer */

/* How many requests of one connection are served before the others' turn: who
 * pipelines must not make them wait. */
#define REQUESTS_TURN 4

static const char *const state_names[] = {
	[CONN_OPENING] = "opening",
	[CONN_IDLE] = "idle",
	[CONN_HEAD] = "head",
	[CONN_BODY] = "body",
	[CONN_WAITING] = "waiting",
	[CONN_GONE] = "gone",
	[CONN_REPLIED] = "replied",
	[CONN_SENDING] = "sending",
	[CONN_DEAD] = "dead",
};

static void http_conn_step(struct http_conn *c);
static void on_resume(void *arg);

/* --- lists and states --- */

static void http_conn_timer(
    struct http_conn *c, enum timer_for what, int64_t ms)
{
	c->timer = what;
	io_set_timeout(c->io, ms);
}

static void http_conn_to(struct http_conn *c, enum conn_state to)
{
	struct http_server *s = c->s;
	const struct link *from = http_capacity_list(c);

	if (log_get_level() >= LOG_L_TRACE)
		log_trace("http: %p: %s -> %s", (void *)c,
		    state_names[c->state], state_names[to]);
	c->state = (unsigned char)to;
	/* A request that goes on with its body did not begin with it. */
	if (http_capacity_list(c) != from) {
		link_remove(&c->link);
		link_append(http_capacity_list(c), &c->link);
		c->since_ms = loop_now_ms(s->loop);
	}
	switch (to) {
	case CONN_IDLE:
		if (c->timer != TIMER_IDLE)
			http_conn_timer(c, TIMER_IDLE, IDLE_MS);
		break;
	case CONN_OPENING:
	case CONN_HEAD:
	case CONN_BODY:
		if (c->timer != TIMER_REQUEST)
			http_conn_timer(c, TIMER_REQUEST, REQUEST_MS);
		break;
	case CONN_SENDING:
		c->sending = io_out(c->io)->len;
		http_conn_timer(c, TIMER_SENDING, SENDING_MS);
		break;
	case CONN_WAITING:
		s->n_waiting++;
		break;
	default:
		break;
	}
}

static void http_conn_free(struct http_conn *c)
{
	struct http_server *s = c->s;

	http_conn_to(c, CONN_DEAD);
	link_remove(&c->link);
	http_capacity_leave(c);
	loop_task_cancel(s->loop, &c->resume);
	loop_defer_free(s->loop, c, free);
}

static void http_conn_close(struct http_conn *c)
{
	io_close(c->io);
	c->io = NULL;
	http_conn_free(c);
}

/* Closes so that what was written arrives though the peer still sends: closing
 * over unread bytes would be a reset, which may overtake the answer. */
static void http_conn_linger(struct http_conn *c)
{
	struct http_server *s = c->s;
	int64_t now_s = loop_now_ms(s->loop) / 1000;

	if (s->linger_s != now_s) {
		s->linger_s = now_s;
		s->n_lingers = 0;
	}
	if (s->n_lingers >= s->surplus_max) {
		io_flush(c->io);
		http_conn_close(c);
		return;
	}
	s->n_lingers++;
	io_finish(c->io);
	c->io = NULL;
	http_conn_free(c);
}

/* --- answers --- */

static const struct {
	short status;
	char text[32];
} status_texts[] = {
	{ 200, "OK" },
	{ 204, "No Content" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 413, "Content Too Large" },
	{ 417, "Expectation Failed" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *status_text(int status)
{
	size_t i;

	for (i = 0; i < sizeof(status_texts) / sizeof(status_texts[0]); i++)
		if (status_texts[i].status == status)
			return status_texts[i].text;
	return "Unknown";
}

static char *put(char *p, const void *data, size_t n)
{
	memcpy(p, data, n);
	return p + n;
}

#define PUT(p, text) put(p, text, sizeof(text) - 1)

static char *put_number(char *p, size_t n)
{
	char digits[24];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	return put(p, digits + i, sizeof(digits) - i);
}

/* Bytes of our own part of a head at most: status line and header lines. */
#define OWN_HEAD_MAX 192

static void compose(struct http_conn *c, int status, const char *type,
    const char *extra, const void *body, size_t len)
{
	struct buf *out = io_out(c->io);
	const char *reason = status_text(status);
	size_t type_len = type ? strlen(type) : 0;
	size_t extra_len = extra ? strlen(extra) : 0;
	char *start, *p;

	start =
	    (char *)buf_reserve(out, OWN_HEAD_MAX + type_len + extra_len + len);
	if (start == NULL) { /* beyond OUT_MAX */
		c->close = true;
		return;
	}
	p = PUT(start, "HTTP/1.1 ");
	p = put_number(p, (size_t)status);
	*p++ = ' ';
	p = put(p, reason, strlen(reason));
	if (status != 204) { /* RFC 9110 8.6 */
		p = PUT(p, "\r\nContent-Length: ");
		p = put_number(p, len);
	}
	if (type != NULL) {
		p = PUT(p, "\r\nContent-Type: ");
		p = put(p, type, type_len);
	}
	if (c->close)
		p = PUT(p, "\r\nConnection: close");
	else if (c->http10)
		p = PUT(p, "\r\nConnection: keep-alive");
	p = PUT(p, "\r\n");
	p = put(p, extra ? extra : "", extra_len);
	p = PUT(p, "\r\n");
	if (!c->is_head && status != 204)
		p = put(p, body ? body : "", len);
	buf_added(out, (size_t)(p - start));
}

static void compose_line(struct http_conn *c, const char *text)
{
	struct buf *out = io_out(c->io);

	if (!buf_add_str(out, text) || !buf_add(out, "\r\n", 2))
		c->close = true;
}

/* Our own verdict on what the peer sends; the connection ends with it. */
static void http_conn_refuse(
    struct http_conn *c, int status, const char *reason)
{
	char text[128];
	int n;

	log_debug("http: request refused: %d %s", status, reason);
	c->close = true;
	if (c->is_line) {
		snprintf(text, sizeof(text), "ERROR %s", reason);
		compose_line(c, text);
	} else {
		n = snprintf(text, sizeof(text), "%s\n", reason);
		compose(c, status, "text/plain", NULL, text, (size_t)n);
	}
	http_conn_linger(c);
}

/* It must end for another one. */
static void http_conn_give_way(struct http_conn *c, const char *why)
{
	if (c->state == CONN_HEAD || c->state == CONN_BODY)
		http_conn_refuse(c, 503, why);
	else
		http_conn_close(c);
}

/* The answer to a request is complete in io_out(), or nobody wants it. */
static void http_conn_replied(struct http_conn *c)
{
	if (c->state == CONN_GONE) {
		http_conn_free(c);
		return;
	}
	http_conn_to(c, CONN_REPLIED);
	if (c->in_handler)
		return; /* http_conn_step() goes on */
	if (io_in(c->io)->len == 0) {
		on_resume(c);
		return;
	}
	/* Not now: the caller may be in the middle of many answers and the
	 * next request would call it back. */
	io_flush(c->io);
	loop_task_queue(c->s->loop, &c->resume);
}

/* The end of waiting; true if there is a peer to compose for. */
static bool take_reply(struct http_conn *c)
{
	assert(c->state == CONN_WAITING || c->state == CONN_GONE);
	c->s->n_waiting--;
	return c->state == CONN_WAITING;
}

void http_reply(struct http_conn *c, int status, const char *type,
    const char *extra, const void *body, size_t len)
{
	assert(!c->is_line);
	if (take_reply(c))
		compose(c, status, type, extra, body, len);
	http_conn_replied(c);
}

void http_reply_line(struct http_conn *c, const char *text)
{
	assert(c->is_line);
	if (take_reply(c))
		compose_line(c, text);
	http_conn_replied(c);
}

/* --- requests --- */

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

	/* The NUL's place, which IN_MAX has. */
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
	http_conn_to(c, CONN_WAITING);
	call_handler(c, head);
	buf_consume(in, c->head_len + c->body_len);
}

/* Decodes what came of a chunked body; true when it is complete. */
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

/* RFC 9110 10.1.1: only if the peer really waits for it. */
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
	if (c->state == CONN_DEAD)
		return;
	if (done) {
		dispatch(c, head);
		return;
	}
	send_continue(c);
	if (c->state != CONN_BODY)
		http_conn_to(c, CONN_BODY);
}

static void read_head(struct http_conn *c)
{
	const struct buf *in = io_in(c->io);
	struct http_head head;
	int n;

	n = http_parse_head((const char *)buf_head(in), in->len, &head);
	if (n == PARSE_MORE) {
		if (c->state != CONN_HEAD)
			http_conn_to(c, CONN_HEAD);
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

/* The first-generation plugin's words; as HTTP methods they would be followed
 * by a path or an address.  Not asked after an HTTP request over TCP: that may
 * be a web page's, whose next bytes must not be taken for this protocol. */
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
		if (c->state != CONN_HEAD)
			http_conn_to(c, CONN_HEAD);
		return;
	}
	c->head_len = (size_t)(end - line.text) + 1;
	line.len = c->head_len - 1;
	if (end > line.text && end[-1] == '\r')
		line.len--;
	buf_head(in)[line.len] = '\0';
	c->close = s->quiet;
	c->fresh = false;
	http_conn_to(c, CONN_WAITING);
	c->in_handler = true;
	s->line_handler(c, &line, s->line_arg);
	c->in_handler = false;
	buf_consume(in, c->head_len);
}

/* The answer is in io_out(): what next? */
static void after_reply(struct http_conn *c)
{
	const struct buf *out = io_out(c->io);

	if (c->close || out->len > OUT_BATCH)
		io_flush(c->io);
	if (out->len > OUT_BATCH || (c->close && out->len > 0))
		http_conn_to(c, CONN_SENDING);
	else if (!c->close)
		http_conn_to(c, CONN_IDLE);
	else if (io_in(c->io)->len > 0)
		http_conn_linger(c);
	else
		http_conn_close(c);
}

static bool is_reading(const struct http_conn *c)
{
	return c->state == CONN_IDLE || c->state == CONN_HEAD ||
	       c->state == CONN_BODY;
}

/* Old clients send an empty line after a body (RFC 9112 2.2): it does not begin
 * a request, nor the time limit of one. */
static void skip_empty_lines(struct buf *in)
{
	while (in->len >= 2 && memcmp(buf_head(in), "\r\n", 2) == 0)
		buf_consume(in, 2);
}

/* One request if it is there; false if nothing more can be done now. */
static bool read_request(struct http_conn *c)
{
	struct buf *in = io_in(c->io);

	if (c->state == CONN_IDLE)
		skip_empty_lines(in);
	if (in->len == 0)
		return false;
	if (c->state == CONN_BODY) {
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
	if (c->state == CONN_REPLIED)
		after_reply(c);
	return c->state == CONN_IDLE;
}

/* Nothing more can be answered now, or in this turn.  more: it may have whole
 * requests in its buffer. */
static void http_conn_finish_step(struct http_conn *c, bool more)
{
	io_flush(c->io);
	if (c->state == CONN_IDLE && io_out(c->io)->len > 0 && !more)
		http_conn_to(c, CONN_SENDING);
	if (c->state == CONN_IDLE && more) {
		loop_task_queue(c->s->loop, &c->resume);
		io_pause(c->io);
	} else if (c->state == CONN_IDLE && (c->eof || c->s->quiet)) {
		http_conn_close(c);
	} else if (is_reading(c) && c->eof) {
		http_conn_refuse(c, 400, "the request ended in the middle");
	} else if (is_reading(c)) {
		/* A thousand clients share the few buffers that are in use. */
		io_trim(c->io);
		io_resume(c->io);
	} else {
		io_pause(c->io);
	}
}

/* Answers are ours, but how many of them wait is the peer's doing. */
static size_t weight(const struct http_conn *c)
{
	size_t out = io_out(c->io)->len;

	return io_in(c->io)->len + (out < OUT_BATCH ? out : OUT_BATCH);
}

static void http_conn_weigh(struct http_conn *c)
{
	struct http_conn *other;

	while ((other = http_capacity_weigh(c, weight(c))) != NULL)
		http_conn_give_way(other, "too many large requests at once");
}

static void http_conn_step(struct http_conn *c)
{
	int n = 0;

	while (is_reading(c) && n < REQUESTS_TURN && read_request(c))
		n++;
	if (c->state != CONN_DEAD)
		http_conn_finish_step(
		    c, n == REQUESTS_TURN && io_in(c->io)->len > 0);
	if (c->state != CONN_DEAD)
		http_conn_weigh(c);
}

static void on_resume(void *arg)
{
	struct http_conn *c = arg;

	if (c->state == CONN_REPLIED)
		after_reply(c);
	if (c->state != CONN_DEAD)
		http_conn_step(c);
}

/* --- events --- */

static bool make_place(const struct http_conn *newcomer)
{
	struct http_conn *victim;

	if (http_capacity_has_place(newcomer))
		return true;
	victim = http_capacity_victim(newcomer);
	if (victim != NULL)
		http_conn_give_way(victim, "too many connections");
	return victim != NULL;
}

/* A newcomer may send requests from now on. */
static void http_conn_admit(struct http_conn *c)
{
	http_capacity_admit(c);
	http_conn_to(c, CONN_IDLE);
	http_conn_step(c);
}

static void on_open(struct http_conn *c)
{
	http_capacity_handshake_done(c);
	if (!c->surplus || make_place(c))
		http_conn_admit(c);
	else
		http_conn_timer(c, TIMER_SURPLUS, SURPLUS_MS);
}

static void on_surplus_timeout(struct http_conn *c)
{
	if (make_place(c))
		http_conn_admit(c);
	else
		http_conn_refuse(c, 503, "too many connections");
}

/* Somebody has gone: those that wait for it come in. */
static void on_place(void *arg)
{
	struct http_server *s = arg;
	struct http_conn *c;

	while ((c = http_capacity_next(s)) != NULL)
		http_conn_admit(c);
}

static void on_drained(struct http_conn *c)
{
	if (c->state != CONN_SENDING)
		return;
	http_conn_to(c, CONN_REPLIED);
	on_resume(c);
}

static void on_idle_timeout(struct http_conn *c)
{
	int64_t idle_ms = loop_now_ms(c->s->loop) - c->since_ms;

	if (idle_ms >= IDLE_MS)
		http_conn_close(c);
	else
		http_conn_timer(c, TIMER_IDLE, IDLE_MS - idle_ms);
}

static void on_timeout(struct http_conn *c)
{
	bool surplus = c->timer == TIMER_SURPLUS;

	c->timer = TIMER_NONE;
	switch ((enum conn_state)c->state) {
	case CONN_OPENING:
		if (surplus)
			on_surplus_timeout(c);
		else
			http_conn_close(c);
		break;
	case CONN_IDLE:
		on_idle_timeout(c);
		break;
	case CONN_HEAD:
	case CONN_BODY:
		http_conn_refuse(
		    c, 408, "the request was not complete within 10 s");
		break;
	case CONN_SENDING:
		if (io_out(c->io)->len < c->sending)
			http_conn_to(c, CONN_SENDING); /* slow, but it reads */
		else
			http_conn_close(c);
		break;
	default:
		break;
	}
}

static void on_failed(struct http_conn *c)
{
	log_debug("http: connection lost: %s", io_error(c->io));
	if (c->state != CONN_WAITING) {
		http_conn_close(c);
		return;
	}
	io_close(c->io);
	c->io = NULL;
	http_conn_to(c, CONN_GONE);
}

static void on_io(struct io *io, enum io_event event, void *arg)
{
	struct http_conn *c = arg;

	(void)io;
	switch (event) {
	case IO_OPEN:
		on_open(c);
		break;
	case IO_DATA:
		http_conn_step(c);
		break;
	case IO_DRAINED:
		on_drained(c);
		break;
	case IO_EOF:
		c->eof = true;
		if (is_reading(c))
			http_conn_step(c);
		break;
	case IO_TIMEOUT:
		on_timeout(c);
		break;
	case IO_FAILED:
		on_failed(c);
		break;
	}
}

static uid_t peer_uid(int fd)
{
	struct ucred cred = { .uid = HTTP_NOBODY };
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0
		   ? cred.uid
		   : HTTP_NOBODY;
}

static struct http_conn *http_conn_new(const struct listener *from, int fd)
{
	struct http_conn *c = xcalloc(1, sizeof(*c));

	c->s = from->s;
	c->state = CONN_DEAD; /* in no list */
	c->fresh = true;
	c->over_unix = from->is_unix;
	c->over_tls = from->tls != NULL;
	c->uid = from->is_unix ? peer_uid(fd) : HTTP_NOBODY;
	if (from->is_unix)
		c->peer = http_capacity_peer(c->s, c->uid);
	link_init(&c->link);
	loop_task_init(&c->resume, on_resume, c);
	return c;
}

static void on_accept(struct io_listener *li, int fd, void *arg)
{
	const struct listener *from = arg;
	struct http_conn *c = http_conn_new(from, fd), *silent;

	(void)li;
	silent = c->over_tls ? http_capacity_silent(c->s) : NULL;
	if (silent != NULL)
		http_conn_close(silent);
	c->surplus = !make_place(c);
	if (!http_capacity_enter(c)) {
		close(fd);
		free(c);
		return;
	}
	c->io = io_accept(c->s->loop, fd, from->tls, on_io, c);
	io_set_limits(c->io, IN_MAX, OUT_MAX);
	http_conn_to(c, CONN_OPENING);
	http_capacity_handshake_begins(c);
}

/* --- the server --- */

struct http_server *http_server_new(
    struct loop *l, size_t max_connections, http_handler *handler, void *arg)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	http_server_set_max(s, max_connections, HTTP_EXTRA_FDS);
	s->max_fd = INT_MAX;
	s->handler = handler;
	s->arg = arg;
	http_capacity_init(s);
	loop_task_init(&s->place, on_place, s);
	return s;
}

void http_server_set_lines(
    struct http_server *s, http_line_handler *handler, void *arg)
{
	s->line_handler = handler;
	s->line_arg = arg;
}

void http_server_set_max(
    struct http_server *s, size_t max_connections, size_t extra_fds)
{
	s->max = max_connections;
	/* Two kinds of newcomers, and the refused of LINGER_MS. */
	s->surplus_max = extra_fds / 8 > 0 ? extra_fds / 8 : 1;
}

void http_server_set_max_fd(struct http_server *s, int max_fd)
{
	struct listener *from;

	s->max_fd = max_fd;
	for (from = s->listeners; from != NULL; from = from->next)
		io_listener_set_max_fd(from->li, max_fd);
}

void http_server_listen(
    struct http_server *s, int fd, bool is_unix, struct tls_ctx *tls)
{
	struct listener *from = xcalloc(1, sizeof(*from));

	from->s = s;
	from->tls = tls;
	from->is_unix = is_unix;
	from->next = s->listeners;
	s->listeners = from;
	from->li = io_listen(s->loop, fd, on_accept, from);
	io_listener_set_max_fd(from->li, s->max_fd);
}

void http_server_set_tls(struct http_server *s, struct tls_ctx *tls)
{
	struct listener *from;

	for (from = s->listeners; from != NULL; from = from->next)
		if (from->tls != NULL)
			from->tls = tls;
}

static void stop_listening(struct http_server *s)
{
	struct listener *from;

	while ((from = s->listeners) != NULL) {
		s->listeners = from->next;
		io_listener_free(from->li);
		/* on_accept() may be on the stack above us */
		loop_defer_free(s->loop, from, free);
	}
}

/* A request that has arrived is answered: closing would reset the connection,
 * and the client could not know whether we have seen it. */
static void quiesce_share(struct share *sh)
{
	struct link *l, *next;
	struct http_conn *c;

	for (l = sh->idle.next; l != &sh->idle; l = next) {
		next = l->next;
		c = (struct http_conn *)l;
		if (io_in(c->io)->len == 0 && !io_has_input(c->io))
			http_conn_close(c);
	}
	for (l = sh->unfinished.next; l != &sh->unfinished; l = next) {
		next = l->next;
		c = (struct http_conn *)l;
		if (c->state == CONN_SENDING)
			c->close = true;
		else if (c->state == CONN_HEAD || c->state == CONN_BODY)
			http_conn_refuse(c, 503, "shutting down");
		else
			http_conn_close(c);
	}
}

void http_server_quiesce(struct http_server *s)
{
	struct link *l;
	int i;

	s->quiet = true;
	stop_listening(s);
	for (i = 0; i < N_SHARES; i++)
		quiesce_share(&s->shares[i]);
	for (l = s->busy.next; l != &s->busy; l = l->next)
		((struct http_conn *)l)->close = true;
}

bool http_server_busy(const struct http_server *s)
{
	bool unread = false;
	int i;

	for (i = 0; i < N_SHARES && s->quiet; i++)
		unread |= s->shares[i].idle.next != &s->shares[i].idle;
	return s->n_waiting > 0 || unread;
}

size_t http_server_connections(const struct http_server *s)
{
	return s->shares[TCP].n + s->shares[UNIX].n;
}

static void close_all(struct link *list)
{
	struct http_conn *c;

	while (list->next != list) {
		c = (struct http_conn *)list->next;
		if (c->io != NULL)
			io_flush(c->io); /* the loop may not run again */
		http_conn_close(c);
	}
}

void http_server_free(struct http_server *s)
{
	int i;

	if (s == NULL)
		return;
	http_server_quiesce(s);
	close_all(&s->busy);
	for (i = 0; i < N_SHARES; i++) {
		close_all(&s->shares[i].idle);
		close_all(&s->shares[i].unfinished);
	}
	http_capacity_end(s);
	loop_task_cancel(s->loop, &s->place);
	loop_defer_free(s->loop, s, free);
}
