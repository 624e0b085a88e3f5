/* shared/change.c - our changes, on their way to the shared book.
 *
 * What happens to a registration has its time and a little more, so that
 * a suspension or removal never hits one that came later, by whatever clock. */
#include "shared/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf.h"
#include "mem.h"
#include "text.h"

/* Changes without an answer: the server answers thousands in a second.  More are
 * left for a comparison. */
#define FLIGHT_MAX 4096
/* A fresh registration that is refused comes later than what it is refused for, but
 * a clock is behind: it is sent with a later time. */
#define ATTEMPTS_MAX 3

/* The key lives on for so long after the last change. */
#define TTL_MORE_S (2 * 86400)

/* A change, from the moment when it is sent to its answer. */
struct change {
	struct shared_request rq;
	int64_t t_ms;
	int64_t put_ms; /* the store's time of it */
	bool is_fresh;
	unsigned char attempts;
	const char *account, *token, *value; /* value: without its end */
	char user[];			     /* and those after it */
};

/* --- one change --- */

static void on_answer(struct shared_request *rq, const struct resp_item *it);

static struct change *change_new(
    struct shared *s, const struct reg *r, enum value_kind kind)
{
	struct buf b = BUF_INIT(RESP_STRING_MAX);
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	struct change *c;

	buf_add_fmt(&b, "%s%c%s%c%s%c", reg_user(r), '\0',
	    reg_account(r, account), '\0', reg_token(r, token), '\0');
	value_begin(s, r, kind, &b);
	buf_add_byte(&b, '\0');
	c = shared_request_new(s, sizeof(*c) + b.len, on_answer);
	memcpy(c->user, buf_head(&b), b.len);
	c->account = text_next(c->user);
	c->token = text_next(c->account);
	c->value = text_next(c->token);
	buf_free(&b);
	return c;
}

static void transmit(struct change *c)
{
	struct shared *s = c->rq.shared;
	struct buf b = BUF_INIT(RESP_STRING_MAX);
	struct script a = {
		.t_ms = c->t_ms,
		.life_ms = (s->conf->registration_ttl_s + TTL_MORE_S) * 1000,
	};

	value_key(s, "", c->user, &b);
	buf_add_fmt(
	    &b, "%c%s %s%c%s", '\0', c->account, c->token, '\0', c->value);
	value_end(s, c->t_ms, &b);
	a.key = (char *)buf_head(&b);
	a.field = text_next(a.key);
	a.value = text_next(a.field);
	c->attempts++;
	s->n_flight++;
	script_run(s, &c->rq, &a);
	buf_free(&b);
}

/* --- answers --- */

/* Whether it is still what our store has: nothing came after it. */
static bool is_current(const struct change *c)
{
	const struct reg *r =
	    store_find(c->rq.shared->store, c->user, c->account, c->token);

	return r != NULL && reg_time_ms(r, false) == c->put_ms;
}

/* What we sent is older than `it`. */
static void lose(struct change *c, const struct resp_item *it)
{
	int64_t t_ms = value_time_ms(it->text, it->len);

	if (c->is_fresh && c->attempts < ATTEMPTS_MAX && t_ms >= c->t_ms &&
	    is_current(c)) {
		c->t_ms = (t_ms / REG_STEP_MS + 1) * REG_STEP_MS;
		transmit(c);
		return;
	}
	value_merge(c->rq.shared, it->text, it->len);
	free(c);
}

/* Our own store has to know the time that it was given. */
static void win(struct change *c)
{
	struct shared *s = c->rq.shared;
	struct buf value = BUF_INIT(RESP_STRING_MAX);

	s->sent++;
	if (c->attempts > 1 && is_current(c)) {
		buf_add_str(&value, c->value);
		value_end(s, c->t_ms, &value);
		value_merge(s, (char *)buf_head(&value), value.len - 1);
		buf_free(&value);
	}
	free(c);
}

static bool is_foreign(const struct resp_item *it)
{
	return it->type == RESP_ERROR &&
	       memmem(it->text, it->len, "WRONGTYPE ", 10) != NULL;
}

/* A key of another kind is somebody else's: all other users are shared. */
static void log_foreign(const struct change *c)
{
	struct shared *s = c->rq.shared;
	struct buf key = BUF_INIT(RESP_STRING_MAX);

	value_key(s, "", c->user, &key);
	if (!s->is_bad_logged)
		log_warn("shared: %s: the key %.*s is somebody else's, so this "
			 "user is not shared: delete it, or set another "
			 "sharedPrefix",
		    shared_conn_peer(s->conn), (int)key.len,
		    (char *)buf_head(&key));
	s->is_bad_logged = true;
	buf_free(&key);
}

static void on_answer(struct shared_request *rq, const struct resp_item *it)
{
	struct change *c = (struct change *)(void *)rq;
	struct shared *s = rq->shared;

	s->n_flight--;
	loop_task_queue(s->loop, &s->step);
	if (it != NULL && it->type == RESP_INT) {
		win(c);
	} else if (it != NULL && it->type == RESP_STRING) {
		lose(c, it);
	} else {
		if (it != NULL && is_foreign(it))
			log_foreign(c);
		else if (it != NULL)
			script_refused(s->conn, it, "a change");
		free(c);
	}
}

/* --- for the book --- */

void change_send(
    struct shared *s, struct reg *r, enum value_kind kind, bool is_fresh)
{
	bool can_send = script_can_run(s) && s->n_flight < FLIGHT_MAX;
	struct change *c;

	if (!can_send) {
		store_set_shared(s->store, r, false);
		s->walk_again = true;
		return;
	}
	c = change_new(s, r, kind);
	c->t_ms = kind == VALUE_GONE ? reg_gone_ms(r)
				     : reg_time_ms(r, kind != VALUE_PUT);
	c->put_ms = c->t_ms;
	c->is_fresh = is_fresh && kind == VALUE_PUT;
	store_set_shared(s->store, r, true);
	transmit(c);
}
