/* send/request.c - a request under way, until its answer. */
#include "send/int.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* Larger values of Retry-After make no difference. */
#define RETRY_AFTER_MAX 999999999

struct request *send_request_new(struct send_conn *c, void *owner)
{
	struct sender *s = c->s;
	struct request *r = s->free_requests;

	if (r != NULL)
		s->free_requests = r->next;
	else
		r = xmalloc(sizeof(*r));
	r->conn = c;
	r->owner = owner;
	r->sent_ms = loop_now_ms(s->loop);
	r->retry_after_s = -1;
	r->next = NULL;
	r->prev = c->last;
	*(c->last != NULL ? &c->last->next : &c->first) = r;
	c->last = r;
	return r;
}

void send_request_free(struct request *r)
{
	struct send_conn *c = r->conn;

	*(r->prev != NULL ? &r->prev->next : &c->first) = r->next;
	*(r->next != NULL ? &r->next->prev : &c->last) = r->prev;
	r->next = c->s->free_requests;
	c->s->free_requests = r;
}

void send_request_end(struct request *r, struct send_answer *an)
{
	struct sender *s = r->conn->s;
	void *owner = r->owner;

	send_request_free(r);
	s->ops->answer(s->arg, owner, an);
}

void send_request_lose(struct request *r)
{
	struct send_answer an = { .outcome = SEND_LOST, .retry_after_s = -1 };

	send_request_end(r, &an);
}

void send_requests_free_pool(struct sender *s)
{
	struct request *r;

	while ((r = s->free_requests) != NULL) {
		s->free_requests = r->next;
		free(r);
	}
}

void send_request_on_header(void *arg, void *owner, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	static const char want[] = "retry-after";
	struct request *r = owner;
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

const unsigned short send_latency_limits_ms[SEND_N_LATENCIES - 1] = { 50, 100,
	200, 500, 1000, 2000, 5000, 10000 };

static void note_latency(struct send_latency *l, int64_t ms)
{
	size_t i = 0;

	while (i < SEND_N_LATENCIES - 1 && ms > send_latency_limits_ms[i])
		i++;
	l->n[i]++;
	l->sum_ms += (uint64_t)ms;
}

void send_request_on_response(
    void *arg, void *owner, const struct h2_response *res)
{
	struct send_conn *c = arg;
	struct request *r = owner;
	struct send_answer an = { .retry_after_s = r->retry_after_s };

	switch (res->outcome) {
	case H2_DONE:
		an.outcome = SEND_ANSWERED;
		an.status = res->status;
		c->answered = true;
		c->s->failures = 0;
		note_latency(
		    &c->s->latency, loop_now_ms(c->s->loop) - r->sent_ms);
		an.body = res->body;
		an.body_len = res->body_len;
		break;
	case H2_UNPROCESSED:
		an.outcome = SEND_UNPROCESSED;
		/* REFUSED_STREAM: it will use a new connection. */
		if (!h2_is_finished(c->h2))
			h2_send_goaway(c->h2);
		break;
	case H2_LOST:
		an.outcome = SEND_LOST;
		log_debug("%s: request lost: %s", c->s->to.name, res->reason);
		break;
	}
	send_request_end(r, &an);
}
