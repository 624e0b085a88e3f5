/* apns.c - the connection to Apple: requests, timeouts, reconnecting. */
#include "apns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "apns/headers.h"
#include "buf.h"
#include "conf.h"
#include "cred.h"
#include "h2.h"
#include "io.h"
#include "loop.h"
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
 * third of pushTimeout, which is also the limit for opening a connection (TCP,
 * TLS and the first SETTINGS together). */
#define OVERDUE_MS 5000
#define PONG_MS 10000

/* Time for one address while others have not been tried yet. */
#define OPENING_MS 5000

/* After TCP has connected the next address is not tried for so long. */
#define HOPEFUL_MS 1000

/* A shorter wait is logged as "at once". */
#define SOON_MS 100

/* After so many connections in a row that gave only SETTINGS another address is
 * preferred. */
#define USELESS_MAX 4

/* A connection that lasted so long does not count as a failure. */
#define GOOD_MS 60000

#define PRODUCTION_HOST "api.push.apple.com"
#define SANDBOX_HOST "api.sandbox.push.apple.com"
#define DEFAULT_PORT 443

/* Larger values of Retry-After make no difference. */
#define RETRY_AFTER_MAX 999999999

enum apns_conn_state {
	APNS_CONN_OPENING,  /* TCP, TLS */
	APNS_CONN_SETTINGS, /* waiting for the server's SETTINGS */
	APNS_CONN_UP,
	APNS_CONN_DRAINING, /* no more requests; waits for answers */
	APNS_CONN_CLOSED,
};

static const char *const state_names[] = {
	[APNS_CONN_OPENING] = "opening",
	[APNS_CONN_SETTINGS] = "settings",
	[APNS_CONN_UP] = "up",
	[APNS_CONN_DRAINING] = "draining",
	[APNS_CONN_CLOSED] = "closed",
};

/* A request under way; a connection has them in order of sending. */
struct apns_request {
	struct apns_request *prev, *next;
	struct apns_conn *conn;
	void *owner;
	uint32_t id;
	int64_t sent_ms;
	int64_t retry_after_s;
};

struct apns_conn {
	struct apns *a;
	struct apns_conn *next; /* in apns.opening or apns.draining */
	struct io_addr addr;
	struct io *io;
	struct h2 *h2;
	enum apns_conn_state state; /* changed only by apns_conn_set_state() */
	struct apns_request *first, *last;
	struct loop_timer timer;
	struct loop_task flush;
	int64_t opened_ms, heard_ms;
	int64_t ping_sent_ms;
	int64_t full_ms; /* since when no request can be sent; 0: one can */
	bool answered;
};

struct apns {
	struct loop *loop;
	const struct conf *conf;
	struct cred *cred;
	const struct apns_ops *ops;
	void *arg;
	struct io_target to;
	struct io_proxy *proxy;
	struct io_dialer *dialer;
	struct apns_conn *opening; /* by address, latest first */
	struct apns_conn *cur;	   /* up */
	struct apns_conn *draining;
	/* of this round's failed attempts the one that got furthest */
	char *reason;
	int reason_stage;
	struct loop_timer redial;
	unsigned failures;  /* useless connections in a row */
	bool had_capacity;  /* at the last check */
	bool no_expiration; /* leave out apns-expiration */
	struct apns_request *free_requests;
	char *last_error;
	uint64_t connections, resumed;
	struct apns_headers headers;
};

static void apns_conn_set_state(struct apns_conn *c, enum apns_conn_state to)
{
	log_debug("apns: connection: %s -> %s", state_names[c->state],
	    state_names[to]);
	c->state = to;
}

/* --- requests --- */

static struct apns_request *request_new(struct apns_conn *c, void *owner)
{
	struct apns *a = c->a;
	struct apns_request *r = a->free_requests;

	if (r != NULL)
		a->free_requests = r->next;
	else
		r = xmalloc(sizeof(*r));
	r->conn = c;
	r->owner = owner;
	r->sent_ms = loop_now_ms(a->loop);
	r->retry_after_s = -1;
	r->next = NULL;
	r->prev = c->last;
	*(c->last != NULL ? &c->last->next : &c->first) = r;
	c->last = r;
	return r;
}

static void request_free(struct apns_request *r)
{
	struct apns_conn *c = r->conn;

	*(r->prev != NULL ? &r->prev->next : &c->first) = r->next;
	*(r->next != NULL ? &r->next->prev : &c->last) = r->prev;
	r->next = c->a->free_requests;
	c->a->free_requests = r;
}

static void request_end(
    struct apns_request *r, const struct apns_answer *answer)
{
	struct apns *a = r->conn->a;
	void *owner = r->owner;

	request_free(r);
	a->ops->answer(a->arg, owner, answer);
}

/* --- callbacks of h2 --- */

static void on_header(void *arg, void *owner, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	static const char want[] = "retry-after";
	struct apns_request *r = owner;
	int64_t s = 0;
	size_t i;

	(void)arg;
	if (name_len != sizeof(want) - 1 || memcmp(name, want, name_len) != 0)
		return;
	/* Seconds only: comparing a date needs a correct clock. */
	if (value_len == 0)
		return;
	for (i = 0; i < value_len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return;
		if (s < RETRY_AFTER_MAX)
			s = s * 10 + (value[i] - '0');
	}
	r->retry_after_s = s;
}

static void on_response(void *arg, void *owner, const struct h2_response *res)
{
	struct apns_conn *c = arg;
	struct apns_request *r = owner;
	struct apns_answer an = { .retry_after_s = r->retry_after_s };

	switch (res->outcome) {
	case H2_DONE:
		an.outcome = APNS_ANSWERED;
		an.status = res->status;
		c->answered = true;
		c->a->failures = 0;
		apns_read_body(&an, res->body, res->body_len);
		break;
	case H2_UNPROCESSED:
		an.outcome = APNS_UNPROCESSED;
		/* REFUSED_STREAM: it will use a new connection. */
		if (!h2_is_finished(c->h2))
			h2_goodbye(c->h2);
		break;
	case H2_LOST:
		an.outcome = APNS_LOST;
		log_debug("apns: request lost: %s", res->reason);
		break;
	}
	request_end(r, &an);
}

static void apns_conn_set_timer(struct apns_conn *c);
static void apns_conn_unlink(struct apns_conn *c);
static void close_opening(struct apns *a, bool failed);

/* The first of the opening connections that gets here is used. */
static void on_ready(void *arg)
{
	struct apns_conn *c = arg;
	struct apns *a = c->a;
	const struct tls *tls = io_tls(c->io);

	apns_conn_set_state(c, APNS_CONN_UP);
	apns_conn_unlink(c);
	a->cur = c;
	io_dialer_works(a->dialer, &c->addr);
	close_opening(a, false);
	a->connections++;
	if (tls_resumed(tls))
		a->resumed++;
	log_info("apns: connected to %s (%s, %s%s)", a->to.host, io_peer(c->io),
	    tls_protocol(tls), tls_resumed(tls) ? ", resumed" : "");
	free(a->last_error);
	a->last_error = NULL;
}

static void on_goaway(
    void *arg, uint32_t error, const unsigned char *debug, size_t debug_len)
{
	struct apns_conn *c = arg;
	char name[H2_ERROR_NAME_MAX];

	log_info("apns: the server closes the connection: %s %.*s",
	    h2_error_name(error, name),
	    (int)(debug_len < 200 ? debug_len : 200),
	    debug_len > 0 ? (const char *)debug : "");
	if (c->state == APNS_CONN_UP)
		apns_conn_set_state(c, APNS_CONN_DRAINING);
}

/* Nothing to do: heard_ms is set by all that is received. */
static void on_pong(void *arg)
{
	(void)arg;
}

static const struct h2_ops h2_ops = {
	.ready = on_ready,
	.header = on_header,
	.response = on_response,
	.goaway = on_goaway,
	.pong = on_pong,
};

/* --- pauses --- */

/* lost: the connection that broke; NULL if none could be opened. */
static void schedule_redial(struct apns *a, const struct apns_conn *lost)
{
	if (lost != NULL &&
	    (lost->answered ||
		loop_now_ms(a->loop) - lost->opened_ms > GOOD_MS))
		a->failures = 0;
	else
		a->failures++;
	if (lost != NULL && a->failures > USELESS_MAX)
		io_dialer_failed(a->dialer, &lost->addr);
	/* No pause after the first loss of a working connection. */
	loop_timer_set(a->loop, &a->redial,
	    lost != NULL && a->failures <= 1
		? 0
		: apns_backoff_ms(a->conf->retry_min_ms, a->conf->retry_max_ms,
		      a->failures));
}

/* --- closing --- */

static void apns_conn_free(void *p)
{
	struct apns_conn *c = p;

	h2_free(c->h2);
	free(c);
}

static bool unlink_from(struct apns_conn **p, const struct apns_conn *c)
{
	while (*p != NULL && *p != c)
		p = &(*p)->next;
	if (*p == NULL)
		return false;
	*p = c->next;
	return true;
}

static void apns_conn_unlink(struct apns_conn *c)
{
	if (c->a->cur == c)
		c->a->cur = NULL;
	else if (!unlink_from(&c->a->opening, c))
		unlink_from(&c->a->draining, c);
}

/* Closes it; h2_close() ends all open requests. */
static void apns_conn_close(struct apns_conn *c)
{
	struct buf *rest = c->h2 != NULL ? h2_out(c->h2) : NULL;

	apns_conn_set_state(c, APNS_CONN_CLOSED);
	apns_conn_unlink(c);
	loop_timer_clear(c->a->loop, &c->timer);
	loop_task_cancel(c->a->loop, &c->flush);
	if (c->h2 != NULL && rest->len > 0 && rest->len < OUT_STEP)
		buf_add(io_out(c->io), buf_head(rest), rest->len);
	io_finish(c->io);
	c->io = NULL;
	if (c->h2 != NULL)
		h2_close(c->h2);
	assert(c->first == NULL);
	loop_defer_free(c->a->loop, c, apns_conn_free);
}

/* A repeated reason is logged at debug level only: a server that is away for hours
 * gets one line in the log. */
static void log_failure(struct apns *a, const char *why)
{
	bool again = a->last_error != NULL && strcmp(a->last_error, why) == 0;
	int64_t ms = a->redial.due_ms - loop_now_ms(a->loop);
	char when[ERR_MAX];

	if (ms < SOON_MS)
		err_set(when, "at once");
	else
		err_set(when, "in %lld.%lld s", (long long)(ms / 1000),
		    (long long)(ms % 1000 / 100));
	log_at(again ? LOG_L_DEBUG : LOG_L_WARN,
	    "apns: %s port %d: %s; next try %s", a->to.host, a->to.port, why,
	    when);
	if (!again) {
		free(a->last_error);
		a->last_error = xstrdup(why);
	}
}

static bool is_opening(const struct apns_conn *c)
{
	return c->state == APNS_CONN_OPENING || c->state == APNS_CONN_SETTINGS;
}

/* Keeps the reason of the attempt that got furthest: it says most. */
static void note_failure(struct apns_conn *c, const char *why)
{
	struct apns *a = c->a;
	int stage = io_stage(c->io) + (c->state == APNS_CONN_SETTINGS);

	log_debug("apns: %s: %s", io_peer(c->io), why);
	if (stage < a->reason_stage)
		return;
	a->reason_stage = stage;
	free(a->reason);
	a->reason = xstrdup(why);
}

/* failed: puts their addresses last for the next time, the oldest attempt's at the
 * very end. */
static void close_opening(struct apns *a, bool failed)
{
	struct apns_conn *c;

	while ((c = a->opening) != NULL) {
		if (failed)
			io_dialer_failed(a->dialer, &c->addr);
		apns_conn_close(c);
	}
}

static void apns_conn_fail(struct apns_conn *c, const char *why)
{
	struct apns *a = c->a;
	struct io_addr addr = c->addr;
	char err[ERR_MAX];

	err_set(err, "%s", why); /* why may be freed with the connection */
	if (is_opening(c)) {
		note_failure(c, err);
		apns_conn_close(c);
		io_dialer_failed(a->dialer, &addr);
		return;
	}
	if (a->cur == c) {
		schedule_redial(a, c);
		log_failure(a, err);
	} else {
		log_debug("apns: draining connection: %s", err);
	}
	apns_conn_close(c);
}

/* Sends no more requests, only waits for answers. */
static void apns_conn_drain(struct apns_conn *c)
{
	if (c->state != APNS_CONN_DRAINING)
		apns_conn_set_state(c, APNS_CONN_DRAINING);
	c->a->cur = NULL;
	c->next = c->a->draining;
	c->a->draining = c;
	if (c->first == NULL)
		apns_conn_close(c);
}

/* Replaces a connection that takes no more requests, and closes a draining one
 * that has no more to wait for. */
static void apns_conn_retire(struct apns_conn *c)
{
	struct apns *a = c->a;

	if (a->cur == c && c->h2 != NULL && h2_is_finished(c->h2)) {
		schedule_redial(a, c);
		apns_conn_drain(c);
	} else if (c->state == APNS_CONN_DRAINING && c->first == NULL) {
		apns_conn_close(c);
	}
}

/* --- bytes --- */

static void update_capacity(struct apns *a)
{
	struct apns_conn *c = a->cur;

	a->had_capacity = apns_capacity(a) > 0;
	if (c == NULL || c->state != APNS_CONN_UP)
		return;
	if (a->had_capacity) {
		c->full_ms = 0;
	} else if (c->full_ms == 0) {
		c->full_ms = loop_now_ms(a->loop);
		apns_conn_set_timer(c);
	}
}

/* Calls the owner when requests can be sent again. */
static void check_capacity(struct apns *a)
{
	bool had_capacity = a->had_capacity;

	update_capacity(a);
	if (a->had_capacity && !had_capacity)
		a->ops->capacity(a->arg);
}

/* Moves h2's output to the socket; what does not fit follows on IO_DRAINED. */
static void apns_conn_flush(struct apns_conn *c)
{
	struct buf *from, *to = io_out(c->io);
	size_t n;

	while ((from = h2_out(c->h2))->len > 0 && to->len < OUT_STEP) {
		n = OUT_STEP - to->len;
		if (n > from->len)
			n = from->len;
		buf_add(to, buf_head(from), n);
		buf_consume(from, n);
	}
	io_flush(c->io);
	check_capacity(c->a);
}

static void on_flush(void *arg)
{
	apns_conn_flush(arg);
}

static void apns_conn_receive(struct apns_conn *c)
{
	struct buf *in = io_in(c->io);
	int rc;

	c->heard_ms = loop_now_ms(c->a->loop);
	rc = h2_recv(c->h2, buf_head(in), in->len, c->heard_ms);
	buf_consume(in, in->len);
	if (rc < 0) {
		apns_conn_fail(c, h2_error(c->h2));
		return;
	}
	io_resume(c->io); /* it may have been full */
	apns_conn_flush(c);
	apns_conn_retire(c);
}

static void apns_conn_start_h2(struct apns_conn *c)
{
	const char *alpn = tls_alpn(io_tls(c->io));

	if (alpn == NULL || strcmp(alpn, "h2") != 0) {
		apns_conn_fail(c,
		    "the server does not speak HTTP/2 (TLS ALPN "
		    "without h2): check apnsHost and apnsPort, or a "
		    "proxy on the way");
		return;
	}
	c->h2 = h2_new(&h2_ops, c, STREAMS_MAX);
	apns_conn_set_state(c, APNS_CONN_SETTINGS);
	apns_conn_flush(c);
}

static void on_io(struct io *io, enum io_event event, void *arg)
{
	struct apns_conn *c = arg;

	switch (event) {
	case IO_OPEN:
		apns_conn_start_h2(c);
		break;
	case IO_DATA:
		apns_conn_receive(c);
		break;
	case IO_DRAINED:
		apns_conn_flush(c);
		break;
	case IO_EOF:
		apns_conn_fail(c,
		    c->state == APNS_CONN_SETTINGS
			? "the server closed the connection before its SETTINGS"
			: "the server closed the connection");
		break;
	case IO_FAILED:
		apns_conn_fail(c, io_error(io));
		break;
	case IO_TIMEOUT:
		break;
	}
}

/* --- time --- */

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t overdue_ms(const struct apns_conn *c)
{
	return min64(OVERDUE_MS, c->a->conf->push_timeout_ms / 3);
}

static int64_t pong_ms(const struct apns_conn *c)
{
	return min64(PONG_MS, c->a->conf->push_timeout_ms / 3);
}

/* When a PING should be sent. */
static int64_t ping_due_ms(const struct apns_conn *c)
{
	int64_t due_ms = c->heard_ms + IDLE_PING_MS, sent_ms;

	if (c->first != NULL) {
		/* One PING for each request that is the oldest. */
		sent_ms = c->first->sent_ms;
		if (c->ping_sent_ms <= sent_ms)
			due_ms = min64(due_ms, sent_ms + overdue_ms(c));
	}
	return due_ms;
}

/* When the timer has something to do, loop_now_ms() clock. */
static int64_t apns_conn_due_ms(const struct apns_conn *c)
{
	int64_t timeout_ms = c->a->conf->push_timeout_ms, due_ms;

	if (is_opening(c))
		return c->opened_ms + min64(OPENING_MS, timeout_ms);
	due_ms = h2_ping_outstanding(c->h2) ? c->ping_sent_ms + pong_ms(c)
					    : ping_due_ms(c);
	if (c->first != NULL)
		due_ms = min64(due_ms, c->first->sent_ms + timeout_ms);
	if (c->full_ms != 0 && c->state == APNS_CONN_UP)
		due_ms = min64(due_ms, c->full_ms + timeout_ms);
	return due_ms;
}

/* The timer is only ever set earlier: a busy connection sets it once, and checks
 * again when it fires. */
static void apns_conn_set_timer(struct apns_conn *c)
{
	int64_t due_ms = apns_conn_due_ms(c);

	if (!loop_timer_is_set(&c->timer) || due_ms < c->timer.due_ms)
		loop_timer_set(
		    c->a->loop, &c->timer, due_ms - loop_now_ms(c->a->loop));
}

static void give_up_overdue(struct apns_conn *c, int64_t now_ms)
{
	static const struct apns_answer lost = {
		.outcome = APNS_LOST,
		.retry_after_s = -1,
	};
	struct apns_request *r;

	while ((r = c->first) != NULL &&
	       now_ms - r->sent_ms >= c->a->conf->push_timeout_ms) {
		h2_cancel(c->h2, r->id);
		request_end(r, &lost);
	}
	loop_task_queue(c->a->loop, &c->flush);
}

static void apns_conn_ping(struct apns_conn *c, int64_t now_ms)
{
	c->ping_sent_ms = now_ms;
	h2_ping(c->h2);
	apns_conn_flush(c);
}

static void describe_timeout(struct apns_conn *c, char why[ERR_MAX])
{
	int64_t ms = loop_now_ms(c->a->loop) - c->opened_ms;
	const char *what = "no TLS connection";

	if (c->state == APNS_CONN_SETTINGS)
		what = "no HTTP/2 SETTINGS from the server";
	else if (c->a->proxy != NULL && io_stage(c->io) == IO_STAGE_TCP)
		what = "no connection to the proxy";
	else if (io_stage(c->io) == IO_STAGE_PROXY)
		what = "no answer from the proxy";
	err_set(why, "%s within %lld s", what, (long long)(ms / 1000));
}

/* If there are no more addresses to try, it may use all of the time. */
static void on_opening_timeout(struct apns_conn *c)
{
	char why[ERR_MAX];

	if (!io_dialer_has_more(c->a->dialer))
		return;
	describe_timeout(c, why);
	apns_conn_fail(c, why);
}

/* The server allows no stream or never opens the window: another connection may
 * help.  All requests on this one have timed out by now. */
static bool is_stuck(const struct apns_conn *c, int64_t now_ms)
{
	return c->full_ms != 0 && apns_capacity(c->a) == 0 &&
	       now_ms - c->full_ms >= c->a->conf->push_timeout_ms;
}

static void on_timer(void *arg)
{
	struct apns_conn *c = arg;
	int64_t now_ms = loop_now_ms(c->a->loop);

	if (is_opening(c)) {
		on_opening_timeout(c);
		return;
	}
	if (h2_ping_outstanding(c->h2)) {
		if (now_ms - c->ping_sent_ms >= pong_ms(c)) {
			apns_conn_fail(c, "the server does not answer a PING");
			return;
		}
	} else if (now_ms >= ping_due_ms(c)) {
		apns_conn_ping(c, now_ms);
	}
	give_up_overdue(c, now_ms);
	if (c->state == APNS_CONN_UP && is_stuck(c, now_ms)) {
		apns_conn_fail(c, "the server lives but takes no request");
		return;
	}
	apns_conn_retire(c);
	if (c->state != APNS_CONN_CLOSED)
		apns_conn_set_timer(c);
}

/* --- opening --- */

static void start_dialing(struct apns *a)
{
	log_debug("apns: connecting to %s port %d%s%s", a->to.host, a->to.port,
	    a->proxy != NULL ? " through the proxy " : "",
	    a->proxy != NULL ? io_proxy_name(a->proxy) : "");
	free(a->reason);
	a->reason = NULL;
	a->reason_stage = 0;
	io_dialer_start(a->dialer, &a->to, a->conf->push_timeout_ms);
}

static void on_attempt(void *arg, const struct io_addr *addr)
{
	struct apns *a = arg;
	struct apns_conn *c = xcalloc(1, sizeof(*c));

	c->a = a;
	c->addr = *addr;
	c->state = APNS_CONN_OPENING;
	c->opened_ms = c->heard_ms = loop_now_ms(a->loop);
	loop_timer_init(&c->timer, on_timer, c);
	loop_task_init(&c->flush, on_flush, c);
	c->next = a->opening;
	a->opening = c;
	c->io = io_connect(a->loop, addr, &a->to, cred_tls(a->cred), on_io, c);
	io_set_limits(c->io, OUT_STEP, 2 * OUT_STEP);
	log_debug("apns: trying %s", io_peer(c->io));
	apns_conn_set_timer(c);
}

/* On slow machines TLS takes longer than the delay of RFC 8305. */
static bool is_hopeful(void *arg)
{
	const struct apns *a = arg;
	const struct apns_conn *c;

	for (c = a->opening; c != NULL; c = c->next)
		if (io_stage(c->io) > IO_STAGE_TCP &&
		    loop_now_ms(a->loop) - c->opened_ms < HOPEFUL_MS)
			return true;
	return false;
}

static void on_exhausted(void *arg, const char *why)
{
	struct apns *a = arg;
	struct apns_conn *c;
	char late[ERR_MAX];

	for (c = a->opening; c != NULL; c = c->next) {
		describe_timeout(c, late);
		note_failure(c, late);
	}
	close_opening(a, true);
	schedule_redial(a, NULL);
	log_failure(a, why != NULL	   ? why
		       : a->reason != NULL ? a->reason
					   : "it has no IPv4 or IPv6 address");
}

static const struct io_dialer_ops dialer_ops = {
	.attempt = on_attempt,
	.is_hopeful = is_hopeful,
	.exhausted = on_exhausted,
};

static void on_redial(void *arg)
{
	struct apns *a = arg;

	if (a->cur == NULL && !io_dialer_is_on(a->dialer))
		start_dialing(a);
}

/* --- sending --- */

enum apns_sent apns_send(struct apns *a, const char *token, const void *payload,
    size_t len, void *owner, char err[ERR_MAX])
{
	struct apns_conn *c = a->cur;
	struct apns_request *r;
	size_t n;

	if (apns_capacity(a) == 0)
		return APNS_FULL;
	n = apns_headers_fill(&a->headers, token, len, !a->no_expiration, err);
	if (n == 0)
		return APNS_NO_AUTH;
	r = request_new(c, owner);
	r->id = h2_request(c->h2, a->headers.list, n, payload, len, r);
	if (r->id == 0) {
		request_free(r);
		return APNS_FULL;
	}
	update_capacity(a);
	loop_task_queue(a->loop, &c->flush);
	apns_conn_set_timer(c);
	return APNS_SENT;
}

void apns_flush(struct apns *a)
{
	struct apns_conn *c = a->cur;

	if (c == NULL || !c->flush.queued)
		return;
	loop_task_cancel(a->loop, &c->flush);
	apns_conn_flush(c);
}

void apns_set_expiration(struct apns *a, bool wanted)
{
	a->no_expiration = !wanted;
}

void apns_renew_auth(struct apns *a)
{
	cred_renew(a->cred);
}

/* --- for the owner --- */

uint32_t apns_capacity(const struct apns *a)
{
	return a->cur != NULL && a->cur->state == APNS_CONN_UP
		   ? h2_capacity(a->cur->h2)
		   : 0;
}

void apns_get_status(const struct apns *a, struct apns_status *status_r)
{
	if (cred_kind(a->cred) == CRED_NONE)
		status_r->state = APNS_OFF;
	else if (a->cur != NULL)
		status_r->state =
		    a->cur->state == APNS_CONN_UP ? APNS_UP : APNS_WAITING;
	else
		status_r->state =
		    io_dialer_is_on(a->dialer) ? APNS_CONNECTING : APNS_WAITING;
	status_r->host = a->to.host;
	status_r->port = a->to.port;
	status_r->proxy = a->proxy != NULL ? io_proxy_name(a->proxy) : "";
	status_r->past_proxy = a->reason_stage > IO_STAGE_PROXY;
	status_r->peer = status_r->state == APNS_UP ? io_peer(a->cur->io) : "";
	status_r->protocol =
	    status_r->state == APNS_UP ? tls_protocol(io_tls(a->cur->io)) : "";
	status_r->last_error = a->last_error != NULL ? a->last_error : "";
	status_r->connections = a->connections;
	status_r->resumed = a->resumed;
}

int apns_check_text(const struct conf *conf, char err[ERR_MAX])
{
	char why[ERR_MAX];
	struct io_proxy *p;

	if (conf->apns_proxy == NULL)
		return 0;
	p = io_proxy_new(conf->apns_proxy, why);
	if (p == NULL)
		conf_blame(conf, "apnsProxy", err, "%s", why);
	io_proxy_free(p);
	return p != NULL ? 0 : -1;
}

static void set_target(struct apns *a)
{
	const struct conf *conf = a->conf;
	char err[ERR_MAX];

	io_proxy_free(a->proxy);
	a->proxy = NULL;
	if (conf->apns_proxy != NULL) {
		a->proxy = io_proxy_new(conf->apns_proxy, err);
		assert(a->proxy != NULL); /* apns_check_text() */
	}
	a->to = (struct io_target){
		.host = conf->apns_host != NULL ? conf->apns_host
			: conf->apns_sandbox	? SANDBOX_HOST
						: PRODUCTION_HOST,
		.port = conf->apns_port != 0 ? conf->apns_port : DEFAULT_PORT,
		.proxy = a->proxy,
	};
}

static void use_cred(struct apns *a, struct cred *cred)
{
	set_target(a);
	a->cred = cred;
	a->failures = 0;
	if (cred_kind(cred) == CRED_NONE)
		return;
	apns_headers_build(&a->headers, a->conf, cred, a->to.host, a->to.port);
	start_dialing(a);
}

void apns_set_cred(struct apns *a, struct cred *cred)
{
	struct apns_conn *c = a->cur;

	loop_timer_clear(a->loop, &a->redial);
	io_dialer_stop(a->dialer);
	close_opening(a, false);
	if (c != NULL)
		apns_conn_drain(c);
	use_cred(a, cred);
}

struct apns *apns_new(struct loop *l, const struct conf *conf,
    struct cred *cred, const struct apns_ops *ops, void *arg)
{
	struct apns *a = xcalloc(1, sizeof(*a));

	a->loop = l;
	a->conf = conf;
	a->ops = ops;
	a->arg = arg;
	loop_timer_init(&a->redial, on_redial, a);
	a->dialer = io_dialer_new(l, &dialer_ops, a);
	use_cred(a, cred);
	return a;
}

static void apns_conn_abandon(struct apns_conn *c)
{
	/* The owner is gone: no callbacks. */
	while (c->first != NULL)
		request_free(c->first);
	if (c->h2 != NULL) {
		h2_goodbye(c->h2);
		buf_add(
		    io_out(c->io), buf_head(h2_out(c->h2)), h2_out(c->h2)->len);
	}
	apns_conn_unlink(c);
	loop_timer_clear(c->a->loop, &c->timer);
	loop_task_cancel(c->a->loop, &c->flush);
	/* Only one attempt: the loop may not run any more. */
	io_flush(c->io);
	io_close(c->io);
	apns_conn_free(c);
}

void apns_free(struct apns *a)
{
	struct apns_request *r;

	if (a == NULL)
		return;
	loop_timer_clear(a->loop, &a->redial);
	io_dialer_free(a->dialer);
	io_proxy_free(a->proxy);
	while (a->opening != NULL)
		apns_conn_abandon(a->opening);
	while (a->draining != NULL)
		apns_conn_abandon(a->draining);
	if (a->cur != NULL)
		apns_conn_abandon(a->cur);
	while ((r = a->free_requests) != NULL) {
		a->free_requests = r->next;
		free(r);
	}
	free(a->last_error);
	free(a->reason);
	free(a);
}
