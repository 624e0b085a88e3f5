/* send/request.c - a request under way, until its answer. */
#include "send/int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
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

/* Up to n digits, or all until the end; -1: there are others, or none. */
static int64_t read_number(const char *s, size_t n)
{
	int64_t v = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		if (v < RETRY_AFTER_MAX)
			v = v * 10 + (s[i] - '0');
	}
	return n > 0 ? v : -1;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7; nobody sends its older forms), as
 * seconds from now, while our clock is set; else -1. */
static int64_t read_date(const char *s, size_t n)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t now_s = (int64_t)time(NULL), date_s;
	int month = 0, hms[3], i;

	if (n != 29 || now_s < CLOCK_MIN_S)
		return -1;
	while (month < 12 && memcmp(months + 3 * month, s + 8, 3) != 0)
		month++;
	for (i = 0; i < 3; i++)
		hms[i] = (int)read_number(s + 17 + 3 * i, 2);
	date_s = clock_seconds((int)read_number(s + 12, 4), month + 1,
	    (int)read_number(s + 5, 2), hms);
	return date_s > now_s ? date_s - now_s : 0;
}

void send_request_on_header(void *arg, void *owner, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	static const char want[] = "retry-after";
	const struct send_conn *c = arg;
	struct request *r = owner;

	if (name_len != sizeof(want) - 1 || memcmp(name, want, name_len) != 0)
		return;
	r->retry_after_s = read_number(value, value_len);
	/* Apple sends none; one that came all the same would be from something
	 * in between. */
	if (r->retry_after_s < 0 && c->s->to.only_h2 == NULL)
		r->retry_after_s = read_date(value, value_len);
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
		if (c->h2 != NULL && !h2_is_finished(c->h2))
			h2_send_goaway(c->h2);
		break;
	case H2_LOST:
		an.outcome = SEND_LOST;
		log_debug("%s: request lost: %s", c->s->to.name, res->reason);
		break;
	}
	send_request_end(r, &an);
}
