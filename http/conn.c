/* http/conn.c - a connection: accepted, read and answered step by step, closed.
 *
 * It reads one request at a time into io_in(), where it stays until the handler
 * has seen it; a chunked body is decoded in place after its head.  While an
 * answer is awaited nothing is read. */
#include "http/int.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "io.h"
#include "log.h"
#include "mem.h"

/* A whole request and the NUL after its body. */
#define IN_MAX (HTTP_HEAD_MAX + HTTP_BODY_MAX + 1)

/* Answers are ours: the peer cannot make them grow (exports are large). */
#define OUT_MAX (SIZE_MAX / 4)

/* Bytes of pipelined answers that may wait for the peer to read them. */
#define OUT_BATCH (64 * 1024)

/* How many requests of one connection are served before it is the others' turn:
 * a client that pipelines must not make them wait. */
#define REQUESTS_TURN 4

/* --- one step --- */

/* The answer is in io_out(): sends it, and goes on or closes. */
static void after_reply(struct http_conn *c)
{
	const struct buf *out = io_out(c->io);

	if (c->close || out->len > OUT_BATCH)
		io_flush(c->io);
	if (out->len > OUT_BATCH || (c->close && out->len > 0))
		http_conn_set_state(c, HTTP_CONN_SENDING);
	else if (!c->close)
		http_conn_set_state(c, HTTP_CONN_IDLE);
	else if (io_in(c->io)->len > 0)
		http_conn_linger(c);
	else
		http_conn_close(c);
}

static bool is_reading(const struct http_conn *c)
{
	return c->state == HTTP_CONN_IDLE || c->state == HTTP_CONN_HEAD ||
	       c->state == HTTP_CONN_BODY;
}

/* Serves one request; false if no other one can be served now. */
static bool serve_request(struct http_conn *c)
{
	if (!http_read_request(c))
		return false;
	/* What the request has set going, such as a push, leaves first: the
	 * client gets its answer later in this round of the loop.  Not under
	 * load, where the answers of a round would take memory. */
	if (c->state == HTTP_CONN_REPLIED && io_in(c->io)->len == 0 &&
	    loop_is_calm(c->s->loop)) {
		loop_task_queue(c->s->loop, &c->resume);
		io_pause(c->io);
		return false;
	}
	if (c->state == HTTP_CONN_REPLIED)
		after_reply(c);
	return c->state == HTTP_CONN_IDLE;
}

/* Nothing more can be answered now, or in this turn.  more: it may have whole
 * requests in its buffer. */
static void http_conn_finish_step(struct http_conn *c, bool more)
{
	io_flush(c->io);
	if (c->state == HTTP_CONN_IDLE && io_out(c->io)->len > 0 && !more)
		http_conn_set_state(c, HTTP_CONN_SENDING);
	if (c->state == HTTP_CONN_IDLE && more) {
		loop_task_queue(c->s->loop, &c->resume);
		io_pause(c->io);
	} else if (c->state == HTTP_CONN_IDLE && (c->eof || c->s->quiet)) {
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

/* The size of answers is ours to choose, but the peer decides how many of them
 * wait. */
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

	while (is_reading(c) && n < REQUESTS_TURN && serve_request(c))
		n++;
	if (c->state == HTTP_CONN_DEAD || c->state == HTTP_CONN_REPLIED)
		return; /* replied: on_resume() goes on */
	http_conn_finish_step(c, n == REQUESTS_TURN && io_in(c->io)->len > 0);
	if (c->state != HTTP_CONN_DEAD)
		http_conn_weigh(c);
}

static void on_resume(void *arg)
{
	struct http_conn *c = arg;

	if (c->state == HTTP_CONN_REPLIED)
		after_reply(c);
	if (c->state != HTTP_CONN_DEAD)
		http_conn_step(c);
}

/* --- answers --- */

/* The answer to a request is complete in io_out(), or the peer is gone. */
static void http_conn_replied(struct http_conn *c)
{
	if (c->state == HTTP_CONN_GONE) {
		http_conn_free(c);
		return;
	}
	http_conn_set_state(c, HTTP_CONN_REPLIED);
	if (c->in_handler)
		return; /* http_conn_step() goes on */
	if (io_in(c->io)->len == 0) {
		on_resume(c);
		return;
	}
	/* Not at once: the caller may be in the middle of many answers, and the
	 * next request would call it recursively. */
	io_flush(c->io);
	loop_task_queue(c->s->loop, &c->resume);
}

/* The handler has answered; true if the peer is still there. */
static bool take_reply(struct http_conn *c, bool is_line)
{
	assert(c->is_line == is_line &&
	       (c->state == HTTP_CONN_WAITING || c->state == HTTP_CONN_GONE));
	c->s->n_waiting--;
	return c->state == HTTP_CONN_WAITING;
}

void http_reply(struct http_conn *c, int status, const char *type,
    const char *extra, const void *body, size_t len)
{
	if (take_reply(c, false))
		http_compose(c, status, type, extra, body, len);
	http_conn_replied(c);
}

void http_reply_line(struct http_conn *c, const char *text)
{
	if (take_reply(c, true))
		http_compose_line(c, text);
	http_conn_replied(c);
}

/* --- coming in --- */

static bool make_capacity(const struct http_conn *newcomer)
{
	struct http_conn *victim;

	if (http_capacity_allows(newcomer))
		return true;
	victim = http_capacity_victim(newcomer);
	if (victim != NULL)
		http_conn_give_way(victim, "too many connections");
	return victim != NULL;
}

/* From now on the new connection may send requests. */
static void http_conn_admit(struct http_conn *c)
{
	http_capacity_admit(c);
	http_conn_set_state(c, HTTP_CONN_IDLE);
	http_conn_step(c);
}

static void on_open(struct http_conn *c)
{
	http_capacity_handshake_done(c);
	if (!c->surplus || make_capacity(c))
		http_conn_admit(c);
	else
		http_conn_set_timer(c, TIMER_SURPLUS, SURPLUS_MS);
}

static void on_surplus_timeout(struct http_conn *c)
{
	if (make_capacity(c))
		http_conn_admit(c);
	else
		http_conn_refuse(c, 503, "too many connections");
}

void http_conn_admit_waiting(void *arg)
{
	struct http_server *s = arg;
	struct http_conn *c;

	while ((c = http_capacity_next(s)) != NULL)
		http_conn_admit(c);
}

/* --- events --- */

static void on_drained(struct http_conn *c)
{
	if (c->state != HTTP_CONN_SENDING)
		return;
	http_conn_set_state(c, HTTP_CONN_REPLIED);
	on_resume(c);
}

static void on_idle_timeout(struct http_conn *c)
{
	int64_t idle_ms = loop_now_ms(c->s->loop) - c->since_ms;

	if (idle_ms >= HTTP_IDLE_MS)
		http_conn_close(c);
	else
		http_conn_set_timer(c, TIMER_IDLE, HTTP_IDLE_MS - idle_ms);
}

static void on_timeout(struct http_conn *c)
{
	bool surplus = c->timer == TIMER_SURPLUS;

	c->timer = TIMER_NONE;
	switch ((enum http_conn_state)c->state) {
	case HTTP_CONN_OPENING:
		if (surplus)
			on_surplus_timeout(c);
		else
			http_conn_close(c);
		break;
	case HTTP_CONN_IDLE:
		on_idle_timeout(c);
		break;
	case HTTP_CONN_HEAD:
	case HTTP_CONN_BODY:
		http_conn_refuse(
		    c, 408, "the request was not complete within 10 s");
		break;
	case HTTP_CONN_SENDING:
		if (io_out(c->io)->len < c->sending)
			http_conn_set_state(
			    c, HTTP_CONN_SENDING); /* slow, but it reads */
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
	if (c->state != HTTP_CONN_WAITING) {
		http_conn_close(c);
		return;
	}
	io_close(c->io);
	c->io = NULL;
	http_conn_set_state(c, HTTP_CONN_GONE);
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
	c->state = HTTP_CONN_DEAD; /* in no list */
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

void http_conn_accept(struct io_listener *li, int fd, void *arg)
{
	const struct listener *from = arg;
	struct http_conn *c = http_conn_new(from, fd), *silent;

	(void)li;
	silent = c->over_tls ? http_capacity_silent(c->s) : NULL;
	if (silent != NULL)
		http_conn_close(silent);
	c->surplus = !make_capacity(c);
	if (!http_capacity_enter(c)) {
		close(fd);
		free(c);
		return;
	}
	c->io = io_accept(c->s->loop, fd, from->tls, on_io, c);
	io_set_limits(c->io, IN_MAX, OUT_MAX);
	http_conn_set_state(c, HTTP_CONN_OPENING);
	http_capacity_handshake_begins(c);
}
