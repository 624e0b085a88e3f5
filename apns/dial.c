/* apns/dial.c - opens a connection, prefers addresses that have worked, and
 * opens the next connection when one is lost. */
#include "apns/int.h"

#include <stdlib.h>
#include <string.h>

#include "conf.h"
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
 * milliseconds of TLS, and Apple may take many at once for an attack. */
#define DIALS_MAX 16

struct apns_gate {
	unsigned n;	    /* inside */
	struct apns *first; /* those that wait */
};

struct apns_gate *apns_gate_new(void)
{
	return xcalloc(1, sizeof(struct apns_gate));
}

static struct apns **find_waiting(struct apns_gate *g, const struct apns *a)
{
	struct apns **p = &g->first;

	while (*p != NULL && *p != a)
		p = &(*p)->next;
	return p;
}

/* False: not yet; then the timer of the next attempt tells when. */
static bool gate_enter(struct apns *a)
{
	struct apns_gate *g = a->gate;

	if (g == NULL || a->is_inside || a->waits)
		return !a->waits;
	if (g->n < DIALS_MAX) {
		g->n++;
		a->is_inside = true;
	} else {
		*find_waiting(g, NULL) = a;
		a->next = NULL;
		a->waits = true;
	}
	return a->is_inside;
}

/* The first that waits, since one is out or does not want to enter any more. */
static void gate_next(struct apns_gate *g)
{
	struct apns *next = g->first;

	if (next == NULL || g->n >= DIALS_MAX)
		return;
	g->first = next->next;
	next->waits = false;
	loop_timer_set(next->loop, &next->redial, 0);
}

static void gate_leave(struct apns *a)
{
	struct apns_gate *g = a->gate;

	if (g == NULL)
		return;
	if (a->waits)
		*find_waiting(g, a) = a->next;
	g->n -= a->is_inside;
	a->waits = a->is_inside = false;
	gate_next(g);
}

/* --- pauses --- */

static void set_error(struct apns *a, const char *why)
{
	free(a->last_error);
	a->last_error = why != NULL ? xstrdup(why) : NULL;
}

/* lost: the connection that broke; NULL if none could be opened. */
static void schedule_redial(struct apns *a, const struct apns_conn *lost)
{
	if (lost != NULL && apns_conn_is_useful(lost)) {
		a->failures = 0;
		a->down_ms = loop_now_ms(a->loop);
		set_error(a, NULL);
	} else {
		a->failures++;
	}
	if (lost != NULL && a->failures > USELESS_MAX)
		io_dialer_failed(a->dialer, &lost->addr);
	/* No pause after the first loss of a working connection. */
	loop_timer_set(a->loop, &a->redial,
	    lost != NULL && a->failures <= 1
		? 0
		: loop_backoff_ms(a->conf->retry_min_ms, a->conf->retry_max_ms,
		      a->failures));
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
	    "apns: %s%s port %d: %s; next try %s", a->label, a->to.host,
	    a->to.port, why, when);
	if (!again)
		set_error(a, why);
	if (a->ops->failed != NULL)
		a->ops->failed(a->arg);
}

/* --- attempts --- */

/* Keeps the reason of the attempt that got furthest: it says most. */
static void note_failure(struct apns_conn *c, const char *why)
{
	struct apns *a = c->a;
	char text[ERR_MAX];
	int stage = io_stage(c->io) + (c->state == APNS_CONN_SETTINGS);

	log_debug("apns: %s: %s", io_peer(c->io), why);
	if (stage < a->reason_stage)
		return;
	a->reason_stage = stage;
	free(a->reason);
	/* Following TLS's advice would let such a proxy read all. */
	err_set(text,
	    a->proxy != NULL && stage == IO_STAGE_TLS
		? "does the proxy open TLS? It must not for this host: %s"
		: "%s",
	    why);
	a->reason = xstrdup(text);
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

static void on_attempt(void *arg, const struct io_addr *addr)
{
	apns_conn_open(arg, addr);
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
		apns_conn_describe_timeout(c, late);
		note_failure(c, late);
	}
	close_opening(a, true);
	gate_leave(a);
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

/* --- reports of a connection --- */

/* The first of the opening connections that gets here is used. */
static void on_ready(struct apns_conn *c)
{
	struct apns *a = c->a;
	const struct tls *tls = io_tls(c->io);

	apns_conn_unlink(c);
	a->cur = c;
	io_dialer_succeeded(a->dialer, &c->addr);
	close_opening(a, false);
	gate_leave(a);
	a->connections++;
	if (tls_resumed(tls))
		a->resumed++;
	log_info("apns: %sconnected to %s (%s, %s%s)", a->label, a->to.host,
	    io_peer(c->io), tls_protocol(tls),
	    tls_resumed(tls) ? ", resumed" : "");
	if (a->failures <= 1) /* else it may be of no use, as those before */
		set_error(a, NULL);
}

static void on_failed(struct apns_conn *c, const char *why)
{
	struct apns *a = c->a;
	struct io_addr addr = c->addr;
	char err[ERR_MAX];

	err_set(err, "%s", why); /* why may be freed with the connection */
	if (apns_conn_is_opening(c)) {
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

static void on_finished(struct apns_conn *c)
{
	schedule_redial(c->a, c);
	if (c->a->failures > 1)
		set_error(c->a, "the server ends each connection (GOAWAY)");
	apns_conn_drain(c);
}

static const struct apns_conn_ops conn_ops = {
	.ready = on_ready,
	.failed = on_failed,
	.finished = on_finished,
};

/* --- for apns.c --- */

bool apns_dial_wanted(const struct apns *a)
{
	return a->gate == NULL || a->ops->wanted(a->arg);
}

bool apns_dial_is_idle(const struct apns *a)
{
	return a->cur == NULL && !a->waits &&
	       !io_dialer_is_running(a->dialer) &&
	       !loop_timer_is_set(&a->redial);
}

void apns_dial_start(struct apns *a)
{
	if (!gate_enter(a))
		return;
	log_debug("apns: connecting to %s port %d%s%s", a->to.host, a->to.port,
	    a->proxy != NULL ? " through the proxy " : "",
	    a->proxy != NULL ? io_proxy_name(a->proxy) : "");
	free(a->reason);
	a->reason = NULL;
	a->reason_stage = 0;
	io_dialer_start(a->dialer, &a->to, a->conf->push_timeout_ms);
}

static void on_redial(void *arg)
{
	struct apns *a = arg;

	if (a->cur == NULL && !io_dialer_is_running(a->dialer) &&
	    apns_dial_wanted(a))
		apns_dial_start(a);
	else if (a->gate != NULL)
		gate_next(a->gate);
}

void apns_dial_stop(struct apns *a)
{
	loop_timer_clear(a->loop, &a->redial);
	io_dialer_stop(a->dialer);
	close_opening(a, false);
	gate_leave(a);
}

void apns_dial_init(struct apns *a)
{
	a->conn_ops = &conn_ops;
	loop_timer_init(&a->redial, on_redial, a);
	a->dialer = io_dialer_new(a->loop, &dialer_ops, a);
}

void apns_dial_free(struct apns *a)
{
	gate_leave(a);
	loop_timer_clear(a->loop, &a->redial);
	io_dialer_free(a->dialer);
	free(a->reason);
	free(a->last_error);
}
