/* send/conn.c - one connection: TCP and TLS, HTTP/2 or 1.1, its timeouts. */
#include "send/int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "tls.h"

/* APNs allows 1,000 concurrent streams; more would only wait there. */
#define STREAMS_MAX 1000

/* Bytes in the socket's buffer; the rest waits in h2, whose own ceiling notices a
 * server that does not read. */
#define OUT_STEP (64 * 1024)

#define IDLE_PING_MS (10 * 60 * 1000)
/* APNs answers within 100 ms: after OVERDUE_MS without an answer we send a PING,
 * and after PONG_MS more without one we give the connection up.  Both are at most a
 * third of the timeout, which is also the limit for opening a connection (TCP,
 * TLS and the first SETTINGS together). */
#define OVERDUE_MS 5000
#define PONG_MS 10000

/* Time for one address while others have not been tried yet. */
#define OPENING_MS 5000

/* A connection that lasted so long does not count as a failure. */
#define GOOD_MS 60000

static const char state_names[][12] = {
	[SEND_CONN_OPENING] = "opening",
	[SEND_CONN_SETTINGS] = "settings",
	[SEND_CONN_UP] = "up",
	[SEND_CONN_DRAINING] = "draining",
	[SEND_CONN_CLOSED] = "closed",
};

static void send_conn_set_state(struct send_conn *c, enum send_conn_state to)
{
	log_debug("%s: connection: %s -> %s", c->s->to.name,
	    state_names[c->state], state_names[to]);
	c->state = to;
}

bool send_conn_is_opening(const struct send_conn *c)
{
	return c->state == SEND_CONN_OPENING || c->state == SEND_CONN_SETTINGS;
}

static void fail(struct send_conn *c, const char *why)
{
	c->s->conn_ops->failed(c, why);
}

/* --- closing --- */

static void send_conn_free(void *p)
{
	struct send_conn *c = p;

	h2_free(c->h2);
	h1_free(c->h1);
	free(c);
}

static bool unlink_from(struct send_conn **p, const struct send_conn *c)
{
	while (*p != NULL && *p != c)
		p = &(*p)->next;
	if (*p == NULL)
		return false;
	*p = c->next;
	return true;
}

void send_conn_unlink(struct send_conn *c)
{
	if (c->s->cur == c)
		c->s->cur = NULL;
	else if (!unlink_from(&c->s->opening, c))
		unlink_from(&c->s->draining, c);
}

void send_conn_close(struct send_conn *c)
{
	struct buf *rest = c->h2 != NULL ? h2_out(c->h2) : NULL;

	send_conn_set_state(c, SEND_CONN_CLOSED);
	send_conn_unlink(c);
	loop_timer_clear(c->s->loop, &c->timer);
	loop_task_cancel(c->s->loop, &c->flush);
	if (c->h2 != NULL && rest->len > 0 && rest->len < OUT_STEP)
		buf_add(io_out(c->io), buf_head(rest), rest->len);
	io_finish(c->io);
	c->io = NULL;
	/* ends all open requests */
	if (c->h2 != NULL)
		h2_close(c->h2);
	else if (c->h1 != NULL)
		h1_close(c->h1);
	assert(c->first == NULL);
	loop_defer_free(c->s->loop, c, send_conn_free);
}

void send_conn_abandon(struct send_conn *c)
{
	while (c->first != NULL)
		send_request_free(c->first);
	if (c->h2 != NULL) {
		h2_send_goaway(c->h2);
		buf_add(
		    io_out(c->io), buf_head(h2_out(c->h2)), h2_out(c->h2)->len);
	}
	send_conn_unlink(c);
	loop_timer_clear(c->s->loop, &c->timer);
	loop_task_cancel(c->s->loop, &c->flush);
	/* Only one attempt: the loop may not run any more. */
	io_flush(c->io);
	io_close(c->io);
	send_conn_free(c);
}

void send_conn_drain(struct send_conn *c)
{
	if (c->state != SEND_CONN_DRAINING)
		send_conn_set_state(c, SEND_CONN_DRAINING);
	c->s->cur = NULL;
	c->next = c->s->draining;
	c->s->draining = c;
	if (c->first == NULL)
		send_conn_close(c);
}

/* Replaces a connection that takes no more requests, and closes a draining one
 * that has no more to wait for. */
static void send_conn_retire(struct send_conn *c)
{
	struct sender *s = c->s;

	if (s->cur == c &&
	    (c->h2 != NULL ? h2_is_finished(c->h2) : h1_is_finished(c->h1)))
		s->conn_ops->finished(c);
	else if (c->state == SEND_CONN_DRAINING && c->first == NULL)
		send_conn_close(c);
	else if (s->gate != NULL && s->cur == c && c->first == NULL)
		s->conn_ops->unused(c, false);
}

/* --- time --- */

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t overdue_ms(const struct send_conn *c)
{
	return min64(OVERDUE_MS, c->s->to.timeout_ms / 3);
}

static int64_t pong_ms(const struct send_conn *c)
{
	return min64(PONG_MS, c->s->to.timeout_ms / 3);
}

/* When a PING should be sent; of many connections those that are not used are
 * closed instead. */
static int64_t ping_due_ms(const struct send_conn *c)
{
	int64_t sent_ms, due_ms = c->s->gate != NULL
				      ? c->used_ms + c->s->to.idle_ms
				      : c->heard_ms + IDLE_PING_MS;

	if (c->first != NULL) {
		/* One PING for each request that is the oldest. */
		sent_ms = c->first->sent_ms;
		if (c->ping_sent_ms <= sent_ms)
			due_ms = min64(due_ms, sent_ms + overdue_ms(c));
	}
	return due_ms;
}

/* When the timer has something to do, loop_now_ms() clock. */
static int64_t send_conn_due_ms(const struct send_conn *c)
{
	int64_t timeout_ms = c->s->to.timeout_ms, due_ms;

	if (send_conn_is_opening(c))
		return c->opened_ms + min64(OPENING_MS, timeout_ms);
	if (c->h1 != NULL)
		return c->first != NULL ? c->first->sent_ms + timeout_ms
					: c->used_ms + c->s->to.idle_ms;
	due_ms = h2_ping_outstanding(c->h2) ? c->ping_sent_ms + pong_ms(c)
					    : ping_due_ms(c);
	if (c->first != NULL)
		due_ms = min64(due_ms, c->first->sent_ms + timeout_ms);
	if (c->full_ms != 0 && c->state == SEND_CONN_UP)
		due_ms = min64(due_ms, c->full_ms + timeout_ms);
	return due_ms;
}

/* The timer is only ever set earlier: a busy connection sets it once, and checks
 * again when it fires. */
static void send_conn_set_timer(struct send_conn *c)
{
	int64_t due_ms = send_conn_due_ms(c);

	if (!loop_timer_is_set(&c->timer) || due_ms < c->timer.due_ms)
		loop_timer_set(
		    c->s->loop, &c->timer, due_ms - loop_now_ms(c->s->loop));
}

/* --- bytes --- */

static void update_capacity(struct sender *s)
{
	struct send_conn *c = s->cur;

	s->had_capacity = send_conn_capacity(s) > 0;
	if (c == NULL || c->state != SEND_CONN_UP || c->h2 == NULL)
		return;
	if (s->had_capacity) {
		c->full_ms = 0;
	} else if (c->full_ms == 0) {
		c->full_ms = loop_now_ms(s->loop);
		send_conn_set_timer(c);
	}
}

/* Calls the owner when requests can be sent again. */
static void check_capacity(struct sender *s)
{
	bool had_capacity = s->had_capacity;

	update_capacity(s);
	if (s->had_capacity && !had_capacity)
		s->ops->capacity(s->arg);
}

static struct buf *output(struct send_conn *c)
{
	return c->h2 != NULL ? h2_out(c->h2) : h1_out(c->h1);
}

/* Moves the output to the socket; what does not fit follows on IO_DRAINED. */
void send_conn_flush(struct send_conn *c)
{
	struct buf *from, *to = io_out(c->io);
	size_t n;

	while ((from = output(c))->len > 0 && to->len < OUT_STEP) {
		n = OUT_STEP - to->len;
		if (n > from->len)
			n = from->len;
		buf_add(to, buf_head(from), n);
		buf_consume(from, n);
	}
	io_flush(c->io);
	check_capacity(c->s);
}

static void on_flush(void *arg)
{
	send_conn_flush(arg);
}

/* --- timeouts --- */

static void give_up_overdue(struct send_conn *c, int64_t now_ms)
{
	struct request *r;

	while ((r = c->first) != NULL &&
	       now_ms - r->sent_ms >= c->s->to.timeout_ms) {
		h2_cancel(c->h2, r->id);
		send_request_lose(r);
	}
	loop_task_queue(c->s->loop, &c->flush);
}

static void send_conn_ping(struct send_conn *c, int64_t now_ms)
{
	c->ping_sent_ms = now_ms;
	h2_ping(c->h2);
	send_conn_flush(c);
}

bool send_conn_is_useful(const struct send_conn *c)
{
	/* One that takes no request may live long. */
	return c->answered ||
	       (c->full_ms == 0 &&
		   loop_now_ms(c->s->loop) - c->opened_ms > GOOD_MS);
}

void send_conn_describe_timeout(const struct send_conn *c, char why[ERR_MAX])
{
	/* Not longer than it was given, though we may come late: the same reason
	 * is the same text. */
	int64_t ms =
	    min64(loop_now_ms(c->s->loop) - c->opened_ms, c->s->to.timeout_ms);
	const char *what = "no TLS connection";

	if (c->state != SEND_CONN_OPENING)
		what = "no HTTP/2 SETTINGS from the server";
	else if (c->s->to.tls == NULL)
		what = "no connection";
	else if (io_stage(c->io) == IO_STAGE_PROXY)
		what = "no answer from the proxy";
	else if (c->s->proxy != NULL && io_stage(c->io) == IO_STAGE_TCP)
		what = "no connection to the proxy";
	err_set(why, "%s within %lld s", what, (long long)(ms / 1000));
}

/* If there are no more addresses to try, it may use all of the time. */
static void on_opening_timeout(struct send_conn *c)
{
	char why[ERR_MAX];

	if (!io_dialer_has_more(c->s->dialer))
		return;
	send_conn_describe_timeout(c, why);
	fail(c, why);
}

/* The server allows no stream or never opens the window: another connection may
 * help.  All requests on this one have timed out by now. */
static bool is_stuck(const struct send_conn *c, int64_t now_ms)
{
	return c->full_ms != 0 && send_conn_capacity(c->s) == 0 &&
	       now_ms - c->full_ms >= c->s->to.timeout_ms;
}

/* An answer that has begun is used as it is. */
static void check_h1(struct send_conn *c, int64_t now_ms)
{
	int64_t timeout_ms = c->s->to.timeout_ms;
	char why[ERR_MAX];

	if (c->first == NULL || now_ms - c->first->sent_ms < timeout_ms ||
	    h1_end(c->h1))
		return;
	err_set(why, "no answer within %lld s", (long long)(timeout_ms / 1000));
	fail(c, why);
}

static void check_h2(struct send_conn *c, int64_t now_ms)
{
	if (h2_ping_outstanding(c->h2)) {
		if (now_ms - c->ping_sent_ms >= pong_ms(c)) {
			fail(c, "the server does not answer a PING");
			return;
		}
	} else if (now_ms >= ping_due_ms(c)) {
		send_conn_ping(c, now_ms);
	}
	give_up_overdue(c, now_ms);
	if (c->state == SEND_CONN_UP && is_stuck(c, now_ms))
		fail(c, "the server lives but takes no request");
}

static void on_timer(void *arg)
{
	struct send_conn *c = arg;
	struct sender *s = c->s;
	int64_t now_ms = loop_now_ms(s->loop);

	if (send_conn_is_opening(c)) {
		on_opening_timeout(c);
		return;
	}
	if ((s->gate != NULL || c->h1 != NULL) && s->cur == c &&
	    c->first == NULL && now_ms - c->used_ms >= s->to.idle_ms) {
		s->conn_ops->unused(c, true);
		return;
	}
	if (c->h1 != NULL)
		check_h1(c, now_ms);
	else
		check_h2(c, now_ms);
	if (c->state != SEND_CONN_CLOSED)
		send_conn_retire(c);
	if (c->state != SEND_CONN_CLOSED)
		send_conn_set_timer(c);
}

/* --- callbacks of h2 --- */

static void on_ready(void *arg)
{
	struct send_conn *c = arg;

	send_conn_set_state(c, SEND_CONN_UP);
	c->s->had_capacity = false; /* what it says is of the last one */
	c->s->conn_ops->ready(c);
}

static void on_goaway(
    void *arg, uint32_t error, const unsigned char *debug, size_t debug_len)
{
	struct send_conn *c = arg;
	char name[H2_ERROR_NAME_MAX];

	log_info("%s: %sthe server closes the connection: %s %.*s",
	    c->s->to.name, c->s->label, h2_error_name(error, name),
	    (int)(debug_len < 200 ? debug_len : 200),
	    debug_len > 0 ? (const char *)debug : "");
	if (c->state == SEND_CONN_UP)
		send_conn_set_state(c, SEND_CONN_DRAINING);
}

static const struct h2_ops h2_ops = {
	.ready = on_ready,
	.header = send_request_on_header,
	.response = send_request_on_response,
	.goaway = on_goaway,
};

/* --- the stream --- */

static void send_conn_start(struct send_conn *c)
{
	const struct send_target *to = &c->s->to;
	const char *alpn = to->tls != NULL ? tls_alpn(io_tls(c->io)) : NULL;
	char why[ERR_MAX];

	if (alpn != NULL && strcmp(alpn, "h2") == 0) {
		c->h2 = h2_new(&h2_ops, c, STREAMS_MAX, (uint16_t)to->body_max);
		send_conn_set_state(c, SEND_CONN_SETTINGS);
		send_conn_flush(c);
	} else if (to->only_h2 == NULL) {
		c->h1 = h1_new(&h2_ops, c, to->body_max);
		on_ready(c);
		send_conn_flush(c);
	} else {
		err_set(why,
		    "the server does not speak HTTP/2 (TLS ALPN without h2): "
		    "%s",
		    to->only_h2);
		fail(c, why);
	}
}

static int receive(struct send_conn *c)
{
	struct buf *in = io_in(c->io);
	int n = (int)in->len, rc;

	if (c->h1 != NULL)
		rc = n = h1_recv(c->h1, buf_head(in), in->len);
	else
		rc = h2_recv(c->h2, buf_head(in), in->len, c->heard_ms);
	if (rc >= 0)
		buf_consume(in, (size_t)n);
	return rc;
}

static void send_conn_receive(struct send_conn *c)
{
	char why[ERR_MAX];

	c->heard_ms = loop_now_ms(c->s->loop);
	if (receive(c) < 0) {
		if (c->h1 != NULL)
			err_set(why, "malformed HTTP/1.1: %s", h1_error(c->h1));
		fail(c, c->h1 != NULL ? why : h2_error(c->h2));
		return;
	}
	io_resume(c->io); /* it may have been full */
	send_conn_flush(c);
	send_conn_retire(c);
}

static void on_io(struct io *io, enum io_event event, void *arg)
{
	struct send_conn *c = arg;

	if ((event == IO_EOF || event == IO_FAILED) && c->h1 != NULL &&
	    h1_end(c->h1)) {
		send_conn_retire(c);
		return;
	}
	switch (event) {
	case IO_OPEN:
		send_conn_start(c);
		break;
	case IO_DATA:
		send_conn_receive(c);
		break;
	case IO_DRAINED:
		send_conn_flush(c);
		break;
	case IO_EOF:
		fail(c,
		    c->state == SEND_CONN_SETTINGS
			? "the server closed the connection before its SETTINGS"
			: "the server closed the connection");
		break;
	case IO_FAILED:
		fail(c, io_error(io));
		break;
	case IO_TIMEOUT:
		break;
	}
}

struct io_target send_conn_target(const struct sender *s)
{
	return (struct io_target){
		.host = s->to.host,
		.port = s->to.port,
		.proxy = s->proxy,
		.guard = s->to.guard,
		.tunnel_to = io_dialer_tunnel_to(s->dialer),
	};
}

void send_conn_open(struct sender *s, const struct io_addr *addr)
{
	struct send_conn *c = xcalloc(1, sizeof(*c));
	struct io_target to = send_conn_target(s);

	c->s = s;
	c->addr = *addr;
	c->state = SEND_CONN_OPENING;
	c->opened_ms = c->heard_ms = c->used_ms = loop_now_ms(s->loop);
	loop_timer_init(&c->timer, on_timer, c);
	loop_task_init(&c->flush, on_flush, c);
	c->next = s->opening;
	s->opening = c;
	c->io = io_connect(s->loop, addr, &to, s->to.tls, on_io, c);
	io_set_limits(c->io, OUT_STEP, 2 * OUT_STEP);
	log_debug("%s: trying %s", s->to.name, io_peer(c->io));
	send_conn_set_timer(c);
}

bool send_conn_send(struct send_conn *c, const struct hpack_header *list,
    size_t n, const void *body, size_t len, void *owner)
{
	struct sender *s = c->s;
	struct request *r = send_request_new(c, owner);

	if (c->h2 != NULL)
		r->id = h2_request(c->h2, list, n, body, len, r);
	else
		r->id = h1_request(c->h1, list, n, body, len, r);
	if (r->id == 0) {
		send_request_free(r);
		return false;
	}
	c->used_ms = r->sent_ms;
	update_capacity(s);
	loop_task_queue(s->loop, &c->flush);
	send_conn_set_timer(c);
	return true;
}
