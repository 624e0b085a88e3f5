/* send/gate.c - how many connect at once, or are connected: who may enter, who
 * waits, and who has to make room. */
#include "send/int.h"

#include <stdlib.h>

#include "mem.h"

/* Connections that are opened at once, or open: each costs a thread for DNS and some
 * milliseconds of TLS, and a server may take many at once for an attack. */
#define GATE_MAX 16

struct send_gate {
	unsigned n;		/* inside */
	bool brief;		/* only while connecting */
	struct sender *inside;	/* unless brief */
	struct sender *waiting; /* the first one first */
};

struct send_gate *send_gate_new(bool brief)
{
	struct send_gate *g = xcalloc(1, sizeof(*g));

	g->brief = brief;
	return g;
}

bool send_gate_is_brief(const struct sender *s)
{
	return s->gate == NULL || s->gate->brief;
}

bool send_gate_has_queue(const struct sender *s)
{
	return !s->gate->brief && s->gate->waiting != NULL;
}

static struct sender **find(struct sender **p, const struct sender *s)
{
	while (*p != NULL && *p != s)
		p = &(*p)->next;
	return p;
}

/* Since when it has kept its place for nothing: connecting, or waiting for its oldest
 * answer; 0: it has none to wait for. */
static int64_t waste_ms(const struct sender *s)
{
	return s->cur == NULL	       ? s->entered_ms
	       : s->cur->first == NULL ? 0
				       : s->cur->first->sent_ms;
}

/* The one to make room, NULL: none yet, and *wait_ms_r is the time until there is
 * one.  Of those that are not used the one that was not used for longest. */
static struct sender *choose(
    const struct send_gate *g, int64_t now_ms, int64_t *wait_ms_r)
{
	struct sender *s, *worst = NULL, *idle = NULL;

	for (s = g->inside; s != NULL; s = s->next) {
		if (worst == NULL || waste_ms(s) < waste_ms(worst))
			worst = s;
		if (waste_ms(s) == 0 &&
		    (idle == NULL || s->cur->used_ms < idle->cur->used_ms))
			idle = s;
	}
	*wait_ms_r = SEND_GATE_PATIENCE_MS - (now_ms - waste_ms(worst));
	return idle != NULL ? idle : *wait_ms_r <= 0 ? worst : NULL;
}

static void make_room(struct sender *s)
{
	struct send_gate *g = s->gate;
	int64_t now_ms = loop_now_ms(s->loop), wait_ms;
	struct sender *other = choose(g, now_ms, &wait_ms);

	/* Only from the timer: what this ends is reported to others. */
	if (other != NULL && (s->waits || waste_ms(other) == 0))
		other->conn_ops->evict(other);
	else
		loop_timer_set(s->loop, &s->redial, wait_ms > 0 ? wait_ms : 0);
}

static bool is_next(const struct sender *s)
{
	return s->gate->waiting == NULL || s->gate->waiting == s;
}

static void call_next(struct sender *s)
{
	struct send_gate *g = s->gate;

	if (g->waiting != NULL && (g->n < GATE_MAX || !g->brief))
		loop_timer_set(s->loop, &g->waiting->redial, 0);
}

static void let_in(struct sender *s)
{
	struct send_gate *g = s->gate;

	if (s->waits)
		g->waiting = s->next;
	s->waits = false;
	s->is_inside = true;
	s->entered_ms = loop_now_ms(s->loop);
	g->n++;
	if (!g->brief) {
		s->next = g->inside;
		g->inside = s;
	}
	call_next(s);
}

bool send_gate_enter(struct sender *s)
{
	struct send_gate *g = s->gate;

	if (g == NULL || s->is_inside)
		return true;
	if (g->n >= GATE_MAX && !g->brief && is_next(s))
		make_room(s);
	if (g->n < GATE_MAX && is_next(s))
		let_in(s);
	else if (!s->waits) {
		*find(&g->waiting, NULL) = s;
		s->next = NULL;
		s->waits = true;
	}
	return s->is_inside;
}

void send_gate_leave(struct sender *s)
{
	struct send_gate *g = s->gate;

	if (g == NULL)
		return;
	if (s->waits)
		*find(&g->waiting, s) = s->next;
	else if (s->is_inside && !g->brief)
		*find(&g->inside, s) = s->next;
	g->n -= s->is_inside;
	s->waits = s->is_inside = false;
	call_next(s);
}
