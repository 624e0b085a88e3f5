/* apns/request.c - a request under way, until Apple's answer. */
#include "apns/int.h"

#include <stdlib.h>
#include <string.h>

#include "h2.h"
#include "mem.h"

/* Larger values of Retry-After make no difference. */
#define RETRY_AFTER_MAX 999999999

struct apns_request *apns_request_new(struct apns_conn *c, void *owner)
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

void apns_request_free(struct apns_request *r)
{
	struct apns_conn *c = r->conn;

	*(r->prev != NULL ? &r->prev->next : &c->first) = r->next;
	*(r->next != NULL ? &r->next->prev : &c->last) = r->prev;
	r->next = c->a->free_requests;
	c->a->free_requests = r;
}

void apns_request_end(struct apns_request *r, const struct apns_answer *answer)
{
	struct apns *a = r->conn->a;
	void *owner = r->owner;

	apns_request_free(r);
	a->ops->answer(a->arg, owner, answer);
}

void apns_requests_free_pool(struct apns *a)
{
	struct apns_request *r;

	while ((r = a->free_requests) != NULL) {
		a->free_requests = r->next;
		free(r);
	}
}

void apns_request_on_header(void *arg, void *owner, const char *name,
    size_t name_len, const char *value, size_t value_len)
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

const unsigned short apns_latency_limits_ms[APNS_N_LATENCIES - 1] = { 50, 100,
	200, 500, 1000, 2000, 5000, 10000 };

static void note_latency(struct apns_latency *l, int64_t ms)
{
	size_t i = 0;

	while (i < APNS_N_LATENCIES - 1 && ms > apns_latency_limits_ms[i])
		i++;
	l->n[i]++;
	l->sum_ms += (uint64_t)ms;
}

void apns_request_on_response(
    void *arg, void *owner, const struct h2_response *res)
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
		note_latency(
		    &c->a->latency, loop_now_ms(c->a->loop) - r->sent_ms);
		apns_read_body(&an, res->body, res->body_len);
		if (an.status != 200 && an.reason[0] == '\0')
			strcpy(an.reason, APNS_NO_REASON);
		break;
	case H2_UNPROCESSED:
		an.outcome = APNS_UNPROCESSED;
		/* REFUSED_STREAM: it will use a new connection. */
		if (!h2_is_finished(c->h2))
			h2_send_goaway(c->h2);
		break;
	case H2_LOST:
		an.outcome = APNS_LOST;
		log_debug("apns: request lost: %s", res->reason);
		break;
	}
	apns_request_end(r, &an);
}
