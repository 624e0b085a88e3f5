/* apns.c - Apple's connection: request headers, reconnect, back-off. */
#include "apns.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "clock.h"
#include "conf.h"
#include "cred.h"
#include "h2.h"
#include "io.h"
#include "json.h"
#include "loop.h"
#include "mem.h"
#include "tls.h"

/* APNs allows 1,000 concurrent streams; more would only wait there. */
#define STREAMS_MAX 1000

/* Handed to the socket's buffer at once; the rest waits in the engine, whose own
 * ceiling notices a server that reads nothing. */
#define OUT_STEP (64 * 1024)

#define IDLE_PING_MS (10 * 60 * 1000)
/* APNs answers within 100 ms: after OVERDUE_MS without an answer a PING asks
 * whether the peer lives, after PONG_MS more it does not.  Both are at most a
 * third of pushTimeout, which is also the limit for opening a connection (TCP,
 * TLS and the first SETTINGS together). */
#define OVERDUE_MS 5000
#define PONG_MS 10000

/* One address may not use up the time when others wait for their turn. */
#define OPENING_MS 5000

/* An address that has taken TCP is not overtaken for so long. */
#define HOPEFUL_MS 1000

/* Not worth a number in the log. */
#define SOON_MS 100

/* SETTINGS and no more, so often in a row: other addresses may do better. */
#define USELESS_MAX 4

/* A connection that lived so long was a good one, answers or not. */
#define GOOD_MS 60000

#define PRODUCTION_HOST "api.push.apple.com"
#define SANDBOX_HOST "api.sandbox.push.apple.com"
#define DEFAULT_PORT 443

#define PATH_PREFIX "/3/device/"
#define TOKEN_MAX 200 /* digits */

#define N_HEADERS 10

/* Digits taken of Retry-After: more mean the same. */
#define RETRY_AFTER_MAX 999999999

enum conn_state {
	CONN_OPENING,  /* TCP, TLS */
	CONN_SETTINGS, /* waiting for the server's first */
	CONN_UP,
	CONN_DRAINING, /* GOAWAY: only answers come */
	CONN_CLOSED,
};

static const char *const conn_names[] = {
	[CONN_OPENING] = "opening",
	[CONN_SETTINGS] = "settings",
	[CONN_UP] = "up",
	[CONN_DRAINING] = "draining",
	[CONN_CLOSED] = "closed",
};

/* A request under way, in its connection's order of sending. */
struct req {
	struct req *prev, *next;
	struct conn *conn;
	void *owner;
	uint32_t id;
	int64_t sent_ms;
	int64_t retry_after_s;
};

struct conn {
	struct apns *a;
	struct conn *next; /* among the opening or the draining ones */
	struct io_addr addr;
	struct io *io;
	struct h2 *h2;
	enum conn_state state; /* changed only by conn_to() */
	struct req *first, *last;
	struct loop_timer timer;
	struct loop_task flush;
	int64_t opened_ms, heard_ms;
	int64_t asked_ms; /* when the last PING went out */
	int64_t full_ms;  /* since when there is no room; 0: there is */
	bool answered;
};

struct apns {
	struct loop *loop;
	const struct conf *conf;
	struct cred *cred;
	const struct apns_ops *ops;
	void *arg;
	const char *host;
	int port;
	struct io_dialer *dialer;
	struct conn *opening; /* to several addresses, the youngest first */
	struct conn *cur;     /* up */
	struct conn *draining;
	/* the failure of this round that got furthest */
	char *why;
	int why_stage;
	struct loop_timer redial;
	unsigned failures; /* connections in a row that were no use */
	bool had_room;	   /* when the owner last looked */
	bool undated;	   /* no apns-expiration */
	struct req *free_reqs;
	char *last_error;
	uint64_t connections, resumed;
	/* what every request repeats */
	struct hpack_header headers[N_HEADERS];
	struct hpack_header *h_path, *h_auth, *h_length, *h_expiration;
	size_t n_headers;
	char authority[300];
	char path[sizeof(PATH_PREFIX) + TOKEN_MAX];
	char length[24], expiration[24];
	size_t body_len;   /* what is written in length */
	int64_t expires_s; /* and in expiration; -1: nothing yet */
	char priority[8];
};

static void conn_to(struct conn *c, enum conn_state to)
{
	log_debug(
	    "apns: connection: %s -> %s", conn_names[c->state], conn_names[to]);
	c->state = to;
}

/* --- requests --- */

static struct req *req_new(struct conn *c, void *owner)
{
	struct apns *a = c->a;
	struct req *r = a->free_reqs;

	if (r != NULL)
		a->free_reqs = r->next;
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

static void req_done(struct req *r)
{
	struct conn *c = r->conn;

	*(r->prev != NULL ? &r->prev->next : &c->first) = r->next;
	*(r->next != NULL ? &r->next->prev : &c->last) = r->prev;
	r->next = c->a->free_reqs;
	c->a->free_reqs = r;
}

static void tell_answer(struct req *r, const struct apns_answer *answer)
{
	struct apns *a = r->conn->a;
	void *owner = r->owner;

	req_done(r);
	a->ops->answer(a->arg, owner, answer);
}

/* Apple's error bodies have two members; a few more may come one day. */
#define BODY_TOKENS 32

void apns_read_body(
    struct apns_answer *an, const unsigned char *body, size_t len)
{
	struct json_tok toks[BODY_TOKENS];
	struct json_err jerr;
	struct json j = { (const char *)body, len, toks };
	const struct json_tok *t;
	int n;

	if (len == 0)
		return;
	n = json_parse(j.text, len, toks, BODY_TOKENS, &jerr);
	if (n < 1 || toks[0].type != JSON_OBJECT)
		return;
	t = json_get(&j, toks, "reason");
	if (t == NULL || json_string(&j, t, an->reason, sizeof(an->reason)) < 0)
		an->reason[0] = '\0';
	t = json_get(&j, toks, "timestamp");
	if (t != NULL)
		json_int(&j, t, &an->timestamp_ms);
}

/* --- the engine's callbacks --- */

static void on_header(void *arg, void *owner, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	static const char want[] = "retry-after";
	struct req *r = owner;
	int64_t s = 0;
	size_t i;

	(void)arg;
	if (name_len != sizeof(want) - 1 || memcmp(name, want, name_len) != 0)
		return;
	/* Seconds only: a date would trust a router's clock. */
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
	struct conn *c = arg;
	struct req *r = owner;
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
		/* REFUSED_STREAM: it goes over a new connection. */
		if (!h2_is_finished(c->h2))
			h2_goodbye(c->h2);
		break;
	case H2_LOST:
		an.outcome = APNS_LOST;
		log_debug("apns: request lost: %s", res->reason);
		break;
	}
	tell_answer(r, &an);
}

static void conn_schedule(struct conn *c);
static void unlink_conn(struct conn *c);
static void close_opening(struct apns *a, bool failed);

/* Of all the connections that are opening the first that got so far is it. */
static void on_ready(void *arg)
{
	struct conn *c = arg;
	struct apns *a = c->a;
	const struct tls *tls = io_tls(c->io);

	conn_to(c, CONN_UP);
	unlink_conn(c);
	a->cur = c;
	io_dialer_works(a->dialer, &c->addr);
	close_opening(a, false);
	a->connections++;
	if (tls_resumed(tls))
		a->resumed++;
	log_info("apns: connected to %s (%s, %s%s)", a->host, io_peer(c->io),
	    tls_protocol(tls), tls_resumed(tls) ? ", resumed" : "");
	free(a->last_error);
	a->last_error = NULL;
}

static void on_goaway(
    void *arg, uint32_t error, const unsigned char *debug, size_t debug_len)
{
	struct conn *c = arg;
	char name[H2_ERROR_NAME_MAX];

	log_info("apns: the server closes the connection: %s %.*s",
	    h2_error_name(error, name),
	    (int)(debug_len < 200 ? debug_len : 200),
	    debug_len > 0 ? (const char *)debug : "");
	if (c->state == CONN_UP)
		conn_to(c, CONN_DRAINING);
}

/* That bytes came is all there is to know: heard_ms. */
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

/* lost: NULL if none came up. */
static void redial_after(struct apns *a, const struct conn *lost)
{
	if (lost != NULL &&
	    (lost->answered ||
		loop_now_ms(a->loop) - lost->opened_ms > GOOD_MS))
		a->failures = 0;
	else
		a->failures++;
	if (lost != NULL && a->failures > USELESS_MAX)
		io_dialer_failed(a->dialer, &lost->addr);
	/* The first loss of a working connection costs no pause. */
	loop_timer_set(a->loop, &a->redial,
	    lost != NULL && a->failures <= 1
		? 0
		: apns_backoff_ms(a->conf->retry_min_ms, a->conf->retry_max_ms,
		      a->failures));
}

/* --- one connection's end --- */

static void conn_free(void *p)
{
	struct conn *c = p;

	h2_free(c->h2);
	free(c);
}

static bool unlink_from(struct conn **p, const struct conn *c)
{
	while (*p != NULL && *p != c)
		p = &(*p)->next;
	if (*p == NULL)
		return false;
	*p = c->next;
	return true;
}

static void unlink_conn(struct conn *c)
{
	if (c->a->cur == c)
		c->a->cur = NULL;
	else if (!unlink_from(&c->a->opening, c))
		unlink_from(&c->a->draining, c);
}

/* Takes it down; every open request gets its answer. */
static void conn_close(struct conn *c)
{
	struct buf *rest = c->h2 != NULL ? h2_out(c->h2) : NULL;

	conn_to(c, CONN_CLOSED);
	unlink_conn(c);
	loop_timer_clear(c->a->loop, &c->timer);
	loop_task_cancel(c->a->loop, &c->flush);
	if (c->h2 != NULL && rest->len > 0 && rest->len < OUT_STEP)
		buf_add(io_out(c->io), buf_head(rest), rest->len);
	io_finish(c->io);
	c->io = NULL;
	if (c->h2 != NULL)
		h2_close(c->h2);
	assert(c->first == NULL);
	loop_defer_free(c->a->loop, c, conn_free);
}

/* The same words again and again are for debug only: a server that is away for
 * hours gets one line in the log. */
static void complain(struct apns *a, const char *why)
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
	    "apns: %s port %d: %s; next try %s", a->host, a->port, why, when);
	if (!again) {
		free(a->last_error);
		a->last_error = xstrdup(why);
	}
}

static bool is_opening(const struct conn *c)
{
	return c->state == CONN_OPENING || c->state == CONN_SETTINGS;
}

/* Of several addresses' failures the one that came furthest tells most. */
static void note_failure(struct conn *c, const char *why)
{
	struct apns *a = c->a;
	int stage = c->state == CONN_SETTINGS ? 3
		    : io_is_connected(c->io)  ? 2
					      : 1;

	log_debug("apns: %s: %s", io_peer(c->io), why);
	if (stage < a->why_stage)
		return;
	a->why_stage = stage;
	free(a->why);
	a->why = xstrdup(why);
}

/* failed: their addresses are not tried first the next time; least of all the
 * one that had the most time. */
static void close_opening(struct apns *a, bool failed)
{
	struct conn *c;

	while ((c = a->opening) != NULL) {
		if (failed)
			io_dialer_failed(a->dialer, &c->addr);
		conn_close(c);
	}
}

static void conn_fail(struct conn *c, const char *why)
{
	struct apns *a = c->a;
	struct io_addr addr = c->addr;
	char err[ERR_MAX];

	err_set(err, "%s", why); /* why may live in what goes now */
	if (is_opening(c)) {
		note_failure(c, err);
		conn_close(c);
		io_dialer_failed(a->dialer, &addr);
		return;
	}
	if (a->cur == c) {
		redial_after(a, c);
		complain(a, err);
	} else {
		log_debug("apns: draining connection: %s", err);
	}
	conn_close(c);
}

/* Only answers are awaited from here on. */
static void conn_drain(struct conn *c)
{
	if (c->state != CONN_DRAINING)
		conn_to(c, CONN_DRAINING);
	c->a->cur = NULL;
	c->next = c->a->draining;
	c->a->draining = c;
	if (c->first == NULL)
		conn_close(c);
}

/* A connection that takes no more requests makes place for a new one. */
static void conn_settle(struct conn *c)
{
	struct apns *a = c->a;

	if (a->cur == c && c->h2 != NULL && h2_is_finished(c->h2)) {
		redial_after(a, c);
		conn_drain(c);
	} else if (c->state == CONN_DRAINING && c->first == NULL) {
		conn_close(c);
	}
}

/* --- bytes --- */

static void note_room(struct apns *a)
{
	struct conn *c = a->cur;

	a->had_room = apns_room(a) > 0;
	if (c == NULL || c->state != CONN_UP)
		return;
	if (a->had_room) {
		c->full_ms = 0;
	} else if (c->full_ms == 0) {
		c->full_ms = loop_now_ms(a->loop);
		conn_schedule(c);
	}
}

/* Tells the owner when there is room again. */
static void check_room(struct apns *a)
{
	bool had_room = a->had_room;

	note_room(a);
	if (a->had_room && !had_room)
		a->ops->room(a->arg);
}

/* Moves what the engine has ready to the socket; what is too much now comes with
 * IO_DRAINED. */
static void conn_flush(struct conn *c)
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
	check_room(c->a);
}

static void on_flush(void *arg)
{
	conn_flush(arg);
}

static void conn_receive(struct conn *c)
{
	struct buf *in = io_in(c->io);
	int rc;

	c->heard_ms = loop_now_ms(c->a->loop);
	rc = h2_recv(c->h2, buf_head(in), in->len, c->heard_ms);
	buf_consume(in, in->len);
	if (rc < 0) {
		conn_fail(c, h2_error(c->h2));
		return;
	}
	io_resume(c->io); /* it may have been full */
	conn_flush(c);
	conn_settle(c);
}

static void conn_open(struct conn *c)
{
	const char *alpn = tls_alpn(io_tls(c->io));

	if (alpn == NULL || strcmp(alpn, "h2") != 0) {
		conn_fail(c, "the server does not speak HTTP/2 (TLS ALPN "
			     "without h2): check apnsHost and apnsPort, or a "
			     "proxy on the way");
		return;
	}
	c->h2 = h2_new(&h2_ops, c, STREAMS_MAX);
	conn_to(c, CONN_SETTINGS);
	conn_flush(c);
}

static void on_io(struct io *io, enum io_event event, void *arg)
{
	struct conn *c = arg;

	switch (event) {
	case IO_OPEN:
		conn_open(c);
		break;
	case IO_DATA:
		conn_receive(c);
		break;
	case IO_DRAINED:
		conn_flush(c);
		break;
	case IO_EOF:
		conn_fail(c,
		    c->state == CONN_SETTINGS
			? "the server closed the connection before its SETTINGS"
			: "the server closed the connection");
		break;
	case IO_FAILED:
		conn_fail(c, io_error(io));
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

static int64_t overdue_ms(const struct conn *c)
{
	return min64(OVERDUE_MS, c->a->conf->push_timeout_ms / 3);
}

static int64_t pong_ms(const struct conn *c)
{
	return min64(PONG_MS, c->a->conf->push_timeout_ms / 3);
}

/* When the peer should be asked whether it lives. */
static int64_t ping_due_ms(const struct conn *c)
{
	int64_t due_ms = c->heard_ms + IDLE_PING_MS, sent_ms;

	if (c->first != NULL) {
		/* One PING for the oldest request, another for the next. */
		sent_ms = c->first->sent_ms;
		if (c->asked_ms <= sent_ms)
			due_ms = min64(due_ms, sent_ms + overdue_ms(c));
	}
	return due_ms;
}

/* When something about this connection will be due, loop_now_ms() clock. */
static int64_t conn_due_ms(const struct conn *c)
{
	int64_t timeout_ms = c->a->conf->push_timeout_ms, due_ms;

	if (is_opening(c))
		return c->opened_ms + min64(OPENING_MS, timeout_ms);
	due_ms = h2_ping_outstanding(c->h2) ? c->asked_ms + pong_ms(c)
					    : ping_due_ms(c);
	if (c->first != NULL)
		due_ms = min64(due_ms, c->first->sent_ms + timeout_ms);
	if (c->full_ms != 0 && c->state == CONN_UP)
		due_ms = min64(due_ms, c->full_ms + timeout_ms);
	return due_ms;
}

/* The timer is moved only towards now: a busy connection sets it once and looks
 * again when it fires. */
static void conn_schedule(struct conn *c)
{
	int64_t due_ms = conn_due_ms(c);

	if (!loop_timer_is_set(&c->timer) || due_ms < c->timer.due_ms)
		loop_timer_set(
		    c->a->loop, &c->timer, due_ms - loop_now_ms(c->a->loop));
}

static void give_up_overdue(struct conn *c, int64_t now_ms)
{
	static const struct apns_answer lost = {
		.outcome = APNS_LOST,
		.retry_after_s = -1,
	};
	struct req *r;

	while ((r = c->first) != NULL &&
	       now_ms - r->sent_ms >= c->a->conf->push_timeout_ms) {
		h2_cancel(c->h2, r->id);
		tell_answer(r, &lost);
	}
	loop_task_queue(c->a->loop, &c->flush);
}

static void conn_ping(struct conn *c, int64_t now_ms)
{
	c->asked_ms = now_ms;
	h2_ping(c->h2);
	conn_flush(c);
}

static void too_late(struct conn *c, char why[ERR_MAX])
{
	int64_t ms = loop_now_ms(c->a->loop) - c->opened_ms;

	err_set(why, "%s within %lld s",
	    c->state == CONN_OPENING ? "no TLS connection"
				     : "no HTTP/2 SETTINGS from the server",
	    (long long)(ms / 1000));
}

/* When no other address waits for its turn it may take all the time there
 * is. */
static void on_open_timer(struct conn *c)
{
	char why[ERR_MAX];

	if (!io_dialer_has_more(c->a->dialer))
		return;
	too_late(c, why);
	conn_fail(c, why);
}

/* No stream allowed, or the connection's window never given back: another
 * connection may be of use.  What was under way here is over by now. */
static bool is_stuck(const struct conn *c, int64_t now_ms)
{
	return c->full_ms != 0 && apns_room(c->a) == 0 &&
	       now_ms - c->full_ms >= c->a->conf->push_timeout_ms;
}

static void on_timer(void *arg)
{
	struct conn *c = arg;
	int64_t now_ms = loop_now_ms(c->a->loop);

	if (is_opening(c)) {
		on_open_timer(c);
		return;
	}
	if (h2_ping_outstanding(c->h2)) {
		if (now_ms - c->asked_ms >= pong_ms(c)) {
			conn_fail(c, "the server does not answer a PING");
			return;
		}
	} else if (now_ms >= ping_due_ms(c)) {
		conn_ping(c, now_ms);
	}
	give_up_overdue(c, now_ms);
	if (c->state == CONN_UP && is_stuck(c, now_ms)) {
		conn_fail(c, "the server lives but takes no request");
		return;
	}
	conn_settle(c);
	if (c->state != CONN_CLOSED)
		conn_schedule(c);
}

/* --- opening --- */

static void dial(struct apns *a)
{
	log_debug("apns: connecting to %s port %d", a->host, a->port);
	free(a->why);
	a->why = NULL;
	a->why_stage = 0;
	io_dialer_start(a->dialer, a->host, a->port, a->conf->push_timeout_ms);
}

static void on_attempt(void *arg, const struct io_addr *addr)
{
	struct apns *a = arg;
	struct conn *c = xcalloc(1, sizeof(*c));

	c->a = a;
	c->addr = *addr;
	c->state = CONN_OPENING;
	c->opened_ms = c->heard_ms = loop_now_ms(a->loop);
	loop_timer_init(&c->timer, on_timer, c);
	loop_task_init(&c->flush, on_flush, c);
	c->next = a->opening;
	a->opening = c;
	c->io = io_connect(a->loop, addr, a->host, cred_tls(a->cred), on_io, c);
	io_set_limits(c->io, OUT_STEP, 2 * OUT_STEP);
	log_debug("apns: trying %s", io_peer(c->io));
	conn_schedule(c);
}

/* TLS takes a slow machine longer than RFC 8305 waits. */
static bool is_hopeful(void *arg)
{
	const struct apns *a = arg;
	const struct conn *c;

	for (c = a->opening; c != NULL; c = c->next)
		if (io_is_connected(c->io) &&
		    loop_now_ms(a->loop) - c->opened_ms < HOPEFUL_MS)
			return true;
	return false;
}

static void on_exhausted(void *arg, const char *why)
{
	struct apns *a = arg;
	struct conn *c;
	char late[ERR_MAX];

	for (c = a->opening; c != NULL; c = c->next) {
		too_late(c, late);
		note_failure(c, late);
	}
	close_opening(a, true);
	redial_after(a, NULL);
	complain(a, why != NULL	     ? why
		    : a->why != NULL ? a->why
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
		dial(a);
}

/* --- requests' headers --- */

static struct hpack_header *add_header(
    struct apns *a, const char *name, const char *value, enum hpack_index index)
{
	struct hpack_header *h = &a->headers[a->n_headers++];

	assert(a->n_headers <= N_HEADERS);
	h->name = name;
	h->name_len = strlen(name);
	h->value = value;
	h->value_len = strlen(value);
	h->index = index;
	return h;
}

static void build_headers(struct apns *a)
{
	bool ip6 = strchr(a->host, ':') != NULL && a->host[0] != '[';

	memcpy(a->path, PATH_PREFIX, sizeof(PATH_PREFIX));
	a->expires_s = -1;
	a->body_len = 0;
	snprintf(a->authority, sizeof(a->authority),
	    a->port == DEFAULT_PORT ? "%s%s%s" : "%s%s%s:%d", ip6 ? "[" : "",
	    a->host, ip6 ? "]" : "", a->port);
	add_header(a, ":method", "POST", HPACK_INDEX);
	add_header(a, ":scheme", "https", HPACK_INDEX);
	a->h_path = add_header(a, ":path", a->path, HPACK_TRY_INDEX);
	add_header(a, ":authority", a->authority, HPACK_INDEX);
	if (cred_kind(a->cred) == CRED_TOKEN_KEY)
		a->h_auth = add_header(a, "authorization", "", HPACK_INDEX);
	add_header(a, "apns-topic", cred_topic(a->cred), HPACK_INDEX);
	add_header(a, "apns-push-type", a->conf->push_type, HPACK_INDEX);
	/* Some proxies want it; nearly all pushes name one mailbox. */
	a->h_length =
	    add_header(a, "content-length", a->length, HPACK_TRY_INDEX);
	if (a->conf->push_priority != 0) {
		snprintf(a->priority, sizeof(a->priority), "%d",
		    a->conf->push_priority);
		add_header(a, "apns-priority", a->priority, HPACK_INDEX);
	}
	/* Another value every second; the last one, so that it can be left
	 * out. */
	a->h_expiration =
	    add_header(a, "apns-expiration", a->expiration, HPACK_INDEX_NAME);
}

static void fill_number(struct hpack_header *h, char buf[24], int64_t n)
{
	h->value_len = (size_t)snprintf(buf, 24, "%lld", (long long)n);
}

/* By a clock that was not set yet the push would have expired: without the
 * header Apple keeps it as long as it likes. */
static bool has_expiration(const struct apns *a, int64_t now_s)
{
	return !a->undated &&
	       (now_s >= CLOCK_MIN_S || a->conf->push_expiration_s == 0);
}

/* Returns how many there are, 0 with err set. */
static size_t fill_headers(
    struct apns *a, const char *token, size_t len, char err[ERR_MAX])
{
	int64_t now_s = (int64_t)time(NULL), expires_s;
	size_t n = strlen(token);

	if (a->h_auth != NULL) {
		a->h_auth->value = cred_bearer(a->cred, now_s, err);
		if (a->h_auth->value == NULL)
			return 0;
		a->h_auth->value_len = strlen(a->h_auth->value);
	}
	assert(n <= TOKEN_MAX);
	memcpy(a->path + sizeof(PATH_PREFIX) - 1, token, n);
	a->h_path->value_len = sizeof(PATH_PREFIX) - 1 + n;
	if (len != a->body_len) {
		a->body_len = len;
		fill_number(a->h_length, a->length, (int64_t)len);
	}
	/* 0 is Apple's word for "now or never". */
	expires_s = a->conf->push_expiration_s == 0
			? 0
			: now_s + a->conf->push_expiration_s;
	if (expires_s != a->expires_s) {
		a->expires_s = expires_s;
		fill_number(a->h_expiration, a->expiration, expires_s);
	}
	return a->n_headers - !has_expiration(a, now_s);
}

enum apns_sent apns_send(struct apns *a, const char *token, const void *payload,
    size_t len, void *owner, char err[ERR_MAX])
{
	struct conn *c = a->cur;
	struct req *r;
	size_t n;

	if (apns_room(a) == 0)
		return APNS_FULL;
	n = fill_headers(a, token, len, err);
	if (n == 0)
		return APNS_NO_AUTH;
	r = req_new(c, owner);
	r->id = h2_request(c->h2, a->headers, n, payload, len, r);
	if (r->id == 0) {
		req_done(r);
		return APNS_FULL;
	}
	note_room(a);
	loop_task_queue(a->loop, &c->flush);
	conn_schedule(c);
	return APNS_SENT;
}

void apns_flush(struct apns *a)
{
	struct conn *c = a->cur;

	if (c == NULL || !c->flush.queued)
		return;
	loop_task_cancel(a->loop, &c->flush);
	conn_flush(c);
}

void apns_set_dated(struct apns *a, bool dated)
{
	a->undated = !dated;
}

void apns_renew_auth(struct apns *a)
{
	cred_renew(a->cred);
}

/* --- the owner's --- */

uint32_t apns_room(const struct apns *a)
{
	return a->cur != NULL && a->cur->state == CONN_UP
		   ? h2_capacity(a->cur->h2)
		   : 0;
}

void apns_get_status(const struct apns *a, struct apns_status *status_r)
{
	if (cred_kind(a->cred) == CRED_NONE)
		status_r->state = APNS_OFF;
	else if (a->cur != NULL)
		status_r->state =
		    a->cur->state == CONN_UP ? APNS_UP : APNS_WAITING;
	else
		status_r->state =
		    io_dialer_is_on(a->dialer) ? APNS_CONNECTING : APNS_WAITING;
	status_r->host = a->host;
	status_r->port = a->port;
	status_r->peer = status_r->state == APNS_UP ? io_peer(a->cur->io) : "";
	status_r->protocol =
	    status_r->state == APNS_UP ? tls_protocol(io_tls(a->cur->io)) : "";
	status_r->last_error = a->last_error != NULL ? a->last_error : "";
	status_r->connections = a->connections;
	status_r->resumed = a->resumed;
}

/* Apple's reasons that somebody can do something about. */
static const struct {
	const char *reason, *words;
} reasons[] = {
	{ "BadCertificate", "the certificate is not one for APNs" },
	{ "BadCertificateEnvironment",
	    "the certificate is for the other environment: set "
	    "apnsEnvironment" },
	{ "BadDeviceToken",
	    "the device token is unknown here: it is of the other "
	    "environment, or of a phone that is gone" },
	{ "BadEnvironmentKeyIdInToken",
	    "the key is for the other environment: set apnsEnvironment" },
	{ "BadTopic", "the topic is malformed: check keyFileTopic or topic" },
	{ "DeviceTokenNotForTopic",
	    "the device registered under another topic, as with an earlier "
	    "certificate" },
	{ "ExpiredProviderToken",
	    "the token is too old: this machine's clock is probably wrong" },
	{ "ExpiredToken", "the device token has expired" },
	{ "Forbidden", "Apple forbids it for this certificate or key" },
	{ "InvalidProviderToken",
	    "key, key id and team id do not belong together: check "
	    "keyFileP8, keyFileKeyId and keyFileTeamId" },
	{ "MissingProviderToken",
	    "Apple wants a certificate or a token key for this topic" },
	{ "MissingTopic", "set topic, or keyFileTopic" },
	{ "TopicDisallowed",
	    "the topic does not belong to this key or certificate: check "
	    "keyFileTopic or topic" },
	{ "Unregistered", "the account was removed from the phone" },
	{ "UnrelatedKeyIdInToken",
	    "the key id is not that of this key: check keyFileKeyId" },
};

const char *apns_reason_words(const char *reason)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strcmp(reason, reasons[i].reason) == 0)
			return reasons[i].words;
	return "";
}

static void use_cred(struct apns *a, struct cred *cred)
{
	const struct conf *conf = a->conf;

	a->host = conf->apns_host != NULL ? conf->apns_host
		  : conf->apns_sandbox	  ? SANDBOX_HOST
					  : PRODUCTION_HOST;
	a->port = conf->apns_port != 0 ? conf->apns_port : DEFAULT_PORT;
	a->cred = cred;
	a->n_headers = 0;
	a->h_auth = NULL;
	a->failures = 0;
	if (cred_kind(cred) == CRED_NONE)
		return;
	build_headers(a);
	dial(a);
}

void apns_set_cred(struct apns *a, struct cred *cred)
{
	struct conn *c = a->cur;

	loop_timer_clear(a->loop, &a->redial);
	io_dialer_stop(a->dialer);
	close_opening(a, false);
	if (c != NULL)
		conn_drain(c);
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

static void conn_drop(struct conn *c)
{
	/* The owner goes: nobody wants the answers. */
	while (c->first != NULL)
		req_done(c->first);
	if (c->h2 != NULL) {
		h2_goodbye(c->h2);
		buf_add(
		    io_out(c->io), buf_head(h2_out(c->h2)), h2_out(c->h2)->len);
	}
	unlink_conn(c);
	loop_timer_clear(c->a->loop, &c->timer);
	loop_task_cancel(c->a->loop, &c->flush);
	/* One try: no loop will run to finish it. */
	io_flush(c->io);
	io_close(c->io);
	conn_free(c);
}

void apns_free(struct apns *a)
{
	struct req *r;

	if (a == NULL)
		return;
	loop_timer_clear(a->loop, &a->redial);
	io_dialer_free(a->dialer);
	while (a->opening != NULL)
		conn_drop(a->opening);
	while (a->draining != NULL)
		conn_drop(a->draining);
	if (a->cur != NULL)
		conn_drop(a->cur);
	while ((r = a->free_reqs) != NULL) {
		a->free_reqs = r->next;
		free(r);
	}
	free(a->last_error);
	free(a->why);
	free(a);
}
