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

bool send_dial_wanted(const struct sender *s)
{
	return s->gate == NULL || s->ops->wanted(s->arg);
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
	send_gate_leave(s);
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
	if (send_gate_is_brief(s))
		send_gate_leave(s);
	s->connections++;
	if (tls != NULL && tls_resumed(tls))
		s->resumed++;
	/* Those that are kept are news. */
	log_at(s->to.only_h2 != NULL ? LOG_L_INFO : LOG_L_DEBUG,
	    "%s: %sconnected to %s (%s, %s%s)", s->to.name, s->label,
	    s->to.host, io_peer(c->io),
	    tls != NULL ? tls_protocol(tls) : "without TLS",
	    tls != NULL && tls_resumed(tls) ? ", resumed" : "");
	if (s->failures <= 1) /* else it may be of no use, as those before */
		set_error(s, NULL);
}

/* The end of one that was of use, when nothing was lost with it. */
static void end_well(struct send_conn *c, const char *why)
{
	struct sender *s = c->s;

	log_debug("%s: %s%s: %s", s->to.name, s->label, s->to.host, why);
	if (send_dial_wanted(s)) {
		schedule_redial(s, c);
		return;
	}
	s->failures = 0;
	set_error(s, NULL);
	send_gate_leave(s);
}

/* Servers close connections that they think are not used. */
static bool is_well(const struct send_conn *c)
{
	return c->s->gate != NULL && send_conn_is_useful(c) &&
	       (c->first == NULL || (c->h1 != NULL && h1_is_unheard(c->h1)));
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
	if (s->cur == c && is_well(c)) {
		end_well(c, err);
	} else if (s->cur == c) {
		schedule_redial(s, c);
		log_failure(s, err);
	} else {
		log_debug("%s: draining connection: %s", s->to.name, err);
	}
	send_conn_close(c);
}

static void on_finished(struct send_conn *c)
{
	if (is_well(c)) {
		end_well(c, "the server ends the connection");
	} else {
		schedule_redial(c->s, c);
		if (c->s->failures > 1)
			set_error(
			    c->s, "the server ends each connection (GOAWAY)");
	}
	send_conn_drain(c);
}

static void on_unused(struct send_conn *c, bool is_over)
{
	struct sender *s = c->s;
	int64_t age_ms = loop_now_ms(s->loop) - c->opened_ms;

	if (!is_over &&
	    (!send_gate_has_queue(s) ||
		(send_dial_wanted(s) && age_ms < SEND_GATE_PATIENCE_MS)))
		return;
	if (c->h2 != NULL)
		h2_send_goaway(c->h2);
	end_well(c, "not used: closed");
	send_conn_drain(c);
}

static void on_evict(struct sender *s)
{
	if (s->cur == NULL) {
		io_dialer_stop(s->dialer);
		on_exhausted(s, s->opening == NULL
				    ? "no address from the name servers in 5 s"
				    : NULL);
	} else if (s->cur->first == NULL) {
		on_unused(s->cur, true);
	} else {
		on_failed(s->cur, "no answer within 5 s, and others wait");
	}
}

static const struct send_conn_ops conn_ops = {
	.ready = on_ready,
	.failed = on_failed,
	.finished = on_finished,
	.unused = on_unused,
	.evict = on_evict,
};

/* --- for send.c --- */

bool send_dial_is_idle(const struct sender *s)
{
	return s->cur == NULL && !s->waits &&
	       !io_dialer_is_running(s->dialer) &&
	       !loop_timer_is_set(&s->redial);
}

void send_dial_start(struct sender *s)
{
	struct io_target to;

	if (!send_gate_enter(s))
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

	if (s->cur != NULL || io_dialer_is_running(s->dialer))
		return;
	if (send_dial_wanted(s))
		send_dial_start(s);
	else
		send_gate_leave(s);
}

void send_dial_stop(struct sender *s)
{
	loop_timer_clear(s->loop, &s->redial);
	io_dialer_stop(s->dialer);
	close_opening(s, false);
	send_gate_leave(s);
}

void send_dial_init(struct sender *s)
{
	s->conn_ops = &conn_ops;
	loop_timer_init(&s->redial, on_redial, s);
	s->dialer = io_dialer_new(s->loop, &dialer_ops, s);
}

void send_dial_free(struct sender *s)
{
	send_gate_leave(s);
	loop_timer_clear(s->loop, &s->redial);
	io_dialer_free(s->dialer);
	free(s->reason);
	free(s->last_error);
}
