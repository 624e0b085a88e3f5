/* send/dial.c - opens a connection, prefers addresses that have worked, and
 * opens the next connection when one is lost. */
#include "send/int.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "tls.h"

/* For so long after TCP has connected, the next address is not tried. */
#define HOPEFUL_MS 1000

/* A shorter wait is logged as "at once". */
#define SOON_MS 100

/* After so many connections in a row that gave only SETTINGS another address is
 * preferred. */
#define USELESS_MAX 4

/* --- the gate --- */

/* Connections that are opened at once: each costs a thread for DNS and some
 * milliseconds of TLS, and the server may take many at once for an attack. */
#define DIALS_MAX 16

struct send_gate {
	unsigned n;	      /* inside */
	struct sender *first; /* those that wait */
};

struct send_gate *send_gate_new(void)
{
	return xcalloc(1, sizeof(struct send_gate));
}

static struct sender **find_waiting(struct send_gate *g, const struct sender *s)
{
	struct sender **p = &g->first;

	while (*p != NULL && *p != s)
		p = &(*p)->next;
	return p;
}

/* False: not yet; then the timer of the next attempt tells when. */
static bool gate_enter(struct sender *s)
{
	struct send_gate *g = s->gate;

	if (g == NULL || s->is_inside || s->waits)
		return !s->waits;
	if (g->n < DIALS_MAX) {
		g->n++;
		s->is_inside = true;
	} else {
		*find_waiting(g, NULL) = s;
		s->next = NULL;
		s->waits = true;
	}
	return s->is_inside;
}

/* The first that waits, since one is out or does not want to enter any more. */
static void gate_next(struct send_gate *g)
{
	struct sender *next = g->first;

	if (next == NULL || g->n >= DIALS_MAX)
		return;
	g->first = next->next;
	next->waits = false;
	loop_timer_set(next->loop, &next->redial, 0);
}

static void gate_leave(struct sender *s)
{
	struct send_gate *g = s->gate;

	if (g == NULL)
		return;
	if (s->waits)
		*find_waiting(g, s) = s->next;
	g->n -= s->is_inside;
	s->waits = s->is_inside = false;
	gate_next(g);
}

/* --- pauses --- */

static void set_error(struct sender *s, const char *why)
{
	free(s->last_error);
	s->last_error = why != NULL ? xstrdup(why) : NULL;
}

/* lost: the connection that broke; NULL if none could be opened. */
static void schedule_redial(struct sender *s, const struct send_conn *lost)
{
	if (lost != NULL && send_conn_is_useful(lost)) {
		s->failures = 0;
		s->down_ms = loop_now_ms(s->loop);
		set_error(s, NULL);
	} else {
		s->failures++;
	}
	if (lost != NULL && s->failures > USELESS_MAX)
		io_dialer_failed(s->dialer, &lost->addr);
	/* No pause after the first loss of a working connection. */
	loop_timer_set(s->loop, &s->redial,
	    lost != NULL && s->failures <= 1
		? 0
		: loop_backoff_ms(
		      s->to.retry_min_ms, s->to.retry_max_ms, s->failures));
}

/* A repeated reason is logged at debug level only: a server that is away for hours
 * gets one line in the log. */
static void log_failure(struct sender *s, const char *why)
{
	bool again = s->last_error != NULL && strcmp(s->last_error, why) == 0;
	int64_t ms = s->redial.due_ms - loop_now_ms(s->loop);
	char when[ERR_MAX];

	if (ms < SOON_MS)
		err_set(when, "at once");
	else
		err_set(when, "in %lld.%lld s", (long long)(ms / 1000),
		    (long long)(ms % 1000 / 100));
	log_at(again ? LOG_L_DEBUG : LOG_L_WARN,
	    "%s: %s%s port %d: %s; next try %s", s->to.name, s->label,
	    s->to.host, s->to.port, why, when);
	if (!again)
		set_error(s, why);
	if (s->ops->failed != NULL)
		s->ops->failed(s->arg);
}

/* --- attempts --- */

/* Keeps the reason of the attempt that got furthest: it says most. */
static void note_failure(struct send_conn *c, const char *why)
{
	struct sender *s = c->s;
	char text[ERR_MAX];
	int stage = io_stage(c->io) + (c->state == SEND_CONN_SETTINGS);

	log_debug("%s: %s: %s", s->to.name, io_peer(c->io), why);
	if (stage < s->reason_stage)
		return;
	s->reason_stage = stage;
	free(s->reason);
	/* Following TLS's advice would let such a proxy read all. */
	err_set(text,
	    s->proxy != NULL && stage == IO_STAGE_TLS
		? "does the proxy open TLS? It must not for this host: %s"
		: "%s",
	    why);
	s->reason = xstrdup(text);
}

/* failed: puts their addresses last for the next time, the oldest attempt's at the
 * very end. */
static void close_opening(struct sender *s, bool failed)
{
	struct send_conn *c;

	while ((c = s->opening) != NULL) {
		if (failed)
			io_dialer_failed(s->dialer, &c->addr);
		send_conn_close(c);
	}
}

static void on_attempt(void *arg, const struct io_addr *addr)
{
	send_conn_open(arg, addr);
}

/* On slow machines TLS takes longer than the delay of RFC 8305. */
static bool is_hopeful(void *arg)
{
	const struct sender *s = arg;
	const struct send_conn *c;

	for (c = s->opening; c != NULL; c = c->next)
		if (io_stage(c->io) > IO_STAGE_TCP &&
		    loop_now_ms(s->loop) - c->opened_ms < HOPEFUL_MS)
			return true;
	return false;
}

static void on_exhausted(void *arg, const char *why)
{
	struct sender *s = arg;
	struct send_conn *c;
	char late[ERR_MAX];

	for (c = s->opening; c != NULL; c = c->next) {
		send_conn_describe_timeout(c, late);
		note_failure(c, late);
	}
	close_opening(s, true);
	gate_leave(s);
	schedule_redial(s, NULL);
	log_failure(s, why != NULL	   ? why
		       : s->reason != NULL ? s->reason
					   : "it has no IPv4 or IPv6 address");
}

static const struct io_dialer_ops dialer_ops = {
	.attempt = on_attempt,
	.is_hopeful = is_hopeful,
	.exhausted = on_exhausted,
};

/* --- reports of a connection --- */

/* The first of the opening connections that gets here is used. */
static void on_ready(struct send_conn *c)
{
	struct sender *s = c->s;
	const struct tls *tls = io_tls(c->io);

	send_conn_unlink(c);
	s->cur = c;
	io_dialer_succeeded(s->dialer, &c->addr);
	close_opening(s, false);
	gate_leave(s);
	s->connections++;
	if (tls_resumed(tls))
		s->resumed++;
	log_info("%s: %sconnected to %s (%s, %s%s)", s->to.name, s->label,
	    s->to.host, io_peer(c->io), tls_protocol(tls),
	    tls_resumed(tls) ? ", resumed" : "");
	if (s->failures <= 1) /* else it may be of no use, as those before */
		set_error(s, NULL);
}

static void on_failed(struct send_conn *c, const char *why)
{
	struct sender *s = c->s;
	struct io_addr addr = c->addr;
	char err[ERR_MAX];

	err_set(err, "%s", why); /* why may be freed with the connection */
	if (send_conn_is_opening(c)) {
		note_failure(c, err);
		send_conn_close(c);
		io_dialer_failed(s->dialer, &addr);
		return;
	}
	if (s->cur == c) {
		schedule_redial(s, c);
		log_failure(s, err);
	} else {
		log_debug("%s: draining connection: %s", s->to.name, err);
	}
	send_conn_close(c);
}

static void on_finished(struct send_conn *c)
{
	schedule_redial(c->s, c);
	if (c->s->failures > 1)
		set_error(c->s, "the server ends each connection (GOAWAY)");
	send_conn_drain(c);
}

static const struct send_conn_ops conn_ops = {
	.ready = on_ready,
	.failed = on_failed,
	.finished = on_finished,
};

/* --- for send.c --- */

bool send_dial_wanted(const struct sender *s)
{
	return s->gate == NULL || s->ops->wanted(s->arg);
}

bool send_dial_is_idle(const struct sender *s)
{
	return s->cur == NULL && !s->waits &&
	       !io_dialer_is_running(s->dialer) &&
	       !loop_timer_is_set(&s->redial);
}

void send_dial_start(struct sender *s)
{
	struct io_target to;

	if (!gate_enter(s))
		return;
	log_debug("%s: connecting to %s port %d%s%s", s->to.name, s->to.host,
	    s->to.port, s->proxy != NULL ? " through the proxy " : "",
	    s->proxy != NULL ? io_proxy_name(s->proxy) : "");
	free(s->reason);
	s->reason = NULL;
	s->reason_stage = 0;
	to = send_conn_target(s);
	io_dialer_start(s->dialer, &to, s->to.timeout_ms);
}

static void on_redial(void *arg)
{
	struct sender *s = arg;

	if (s->cur == NULL && !io_dialer_is_running(s->dialer) &&
	    send_dial_wanted(s))
		send_dial_start(s);
	else if (s->gate != NULL)
		gate_next(s->gate);
}

void send_dial_stop(struct sender *s)
{
	loop_timer_clear(s->loop, &s->redial);
	io_dialer_stop(s->dialer);
	close_opening(s, false);
	gate_leave(s);
}

void send_dial_init(struct sender *s)
{
	s->conn_ops = &conn_ops;
	loop_timer_init(&s->redial, on_redial, s);
	s->dialer = io_dialer_new(s->loop, &dialer_ops, s);
}

void send_dial_free(struct sender *s)
{
	gate_leave(s);
	loop_timer_clear(s->loop, &s->redial);
	io_dialer_free(s->dialer);
	free(s->reason);
	free(s->last_error);
}
