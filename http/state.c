/* http/state.c - a connection's state, its list and timer, and its end. */
#include "http/int.h"

#include <stdlib.h>

#include "buf.h"
#include "io.h"
#include "log.h"

#define REQUEST_MS 10000 /* to complete a request once begun */
#define SENDING_MS 10000 /* for the peer to read any of an answer */

static const char state_names[][8] = {
	[HTTP_CONN_OPENING] = "opening",
	[HTTP_CONN_IDLE] = "idle",
	[HTTP_CONN_HEAD] = "head",
	[HTTP_CONN_BODY] = "body",
	[HTTP_CONN_WAITING] = "waiting",
	[HTTP_CONN_GONE] = "gone",
	[HTTP_CONN_REPLIED] = "replied",
	[HTTP_CONN_SENDING] = "sending",
	[HTTP_CONN_DEAD] = "dead",
};

void http_conn_set_timer(struct http_conn *c, enum timer_for what, int64_t ms)
{
	c->timer = what;
	io_set_timeout(c->io, ms);
}

void http_conn_set_state(struct http_conn *c, enum http_conn_state to)
{
	struct http_server *s = c->s;
	const struct link *from = http_capacity_list(c);

	if (log_get_level() >= LOG_L_TRACE)
		log_trace("http: %p: %s -> %s", (void *)c,
		    state_names[c->state], state_names[to]);
	c->state = (unsigned char)to;
	/* since_ms stays while the list does: from a request's head to its
	 * body. */
	if (http_capacity_list(c) != from) {
		link_remove(&c->link);
		link_append(http_capacity_list(c), &c->link);
		c->since_ms = loop_now_ms(s->loop);
	}
	switch (to) {
	case HTTP_CONN_IDLE:
		if (c->timer != TIMER_IDLE)
			http_conn_set_timer(c, TIMER_IDLE, HTTP_IDLE_MS);
		break;
	case HTTP_CONN_OPENING:
	case HTTP_CONN_HEAD:
	case HTTP_CONN_BODY:
		if (c->timer != TIMER_REQUEST)
			http_conn_set_timer(c, TIMER_REQUEST, REQUEST_MS);
		break;
	case HTTP_CONN_SENDING:
		c->sending = io_out(c->io)->len;
		http_conn_set_timer(c, TIMER_SENDING, SENDING_MS);
		break;
	case HTTP_CONN_WAITING:
		s->n_waiting++;
		break;
	default:
		break;
	}
}

void http_conn_free(struct http_conn *c)
{
	struct http_server *s = c->s;

	http_conn_set_state(c, HTTP_CONN_DEAD);
	link_remove(&c->link);
	http_capacity_leave(c);
	loop_task_cancel(s->loop, &c->resume);
	loop_defer_free(s->loop, c, free);
}

void http_conn_close(struct http_conn *c)
{
	io_close(c->io);
	c->io = NULL;
	http_conn_free(c);
}

void http_conn_linger(struct http_conn *c)
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
