/* shared/once.c - events that may wait, flags, often are of one user on several
 * nodes: of those that would push for the same within `delay` only one does.
 *
 * Shortly before such a push is due a node claims it,
 *   SET prefix once:{user} account token hash   1   NX PX delay
 * Who finds a claim sees by what is left of it when the other one pushes, and drops
 * its own if all its events were before that.  Without an answer, both push. */
#include "shared/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf.h"
#include "mem.h"
#include "push.h"
#include "text.h"

/* Questions under way: more push without one. */
#define ONCE_MAX 4096

#define KEY_MAX (64 + 8 + REG_USER_MAX + REG_ACCOUNT_MAX + REG_TOKEN_MAX + 64)

struct once {
	struct shared_request rq;
	int64_t asked_ms, ahead_ms, delay_ms;
	unsigned char hash[PUSH_HASH_LEN];
	/* The registration may be gone when the answer comes. */
	char user[REG_USER_MAX + 1];
	char account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
};

static void once_free(struct once *o)
{
	o->rq.shared->n_once--;
	free(o);
}

static void write_key(const struct once *o, struct buf *b)
{
	char hash[2 * PUSH_HASH_LEN + 1] = "";

	text_hex_write(o->hash, sizeof(o->hash), hash);
	value_key(o->rq.shared, "once:", o->user, b);
	buf_add_fmt(b, " %s %s %s%c", o->account, o->token, hash, '\0');
}

/* All else goes on: both push. */
static void refused(
    struct shared *s, const struct resp_item *it, const char *what)
{
	log_at(s->is_once_refused ? LOG_L_DEBUG : LOG_L_WARN,
	    "shared: %s refuses %s, so events on several nodes are several "
	    "pushes: %.*s%s",
	    shared_conn_peer(s->conn), what,
	    (int)(it->len < 200 ? it->len : 200), it->text,
	    shared_conn_cure(s->conn, it));
	s->is_once_refused = true;
}

/* NULL: it is gone. */
static struct reg *reg_of(const struct once *o)
{
	return store_find(o->rq.shared->store, o->user, o->account, o->token);
}

/* left_ms: of the claim, which was made for our own `delay`; if that is longer, it
 * proves nothing. */
static void claimed(const struct once *o, int64_t left_ms)
{
	int64_t age_ms = o->delay_ms - left_ms;
	struct reg *r = reg_of(o);

	if (r != NULL && left_ms >= 0 && age_ms >= 0 &&
	    push_covered(r, o->hash, o->asked_ms - age_ms + o->ahead_ms))
		o->rq.shared->spared++;
}

static void on_left(struct shared_request *rq, const struct resp_item *it)
{
	struct once *o = (struct once *)(void *)rq;

	if (it != NULL && it->type == RESP_INT)
		claimed(o, it->n);
	else if (it != NULL)
		refused(rq->shared, it, "to show how old a claim is");
	once_free(o);
}

static void granted(const struct once *o)
{
	struct reg *r = reg_of(o);

	if (r != NULL)
		push_claimed(r, o->ahead_ms);
}

static void on_claim(struct shared_request *rq, const struct resp_item *it)
{
	struct once *o = (struct once *)(void *)rq;
	struct shared *s = rq->shared;
	struct buf key = BUF_INIT(KEY_MAX);

	if (it != NULL && it->type == RESP_NULL) {
		write_key(o, &key);
		rq->cb = on_left;
		shared_conn_ask(
		    s->conn, rq, "PTTL", (char *)buf_head(&key), NULL);
		buf_free(&key);
		return;
	}
	if (it != NULL && it->type == RESP_ERROR)
		refused(s, it, "to claim a push");
	else if (it != NULL)
		granted(o);
	once_free(o);
}

static void on_due(
    void *arg, const struct reg *r, const unsigned char *hash, int64_t ahead_ms)
{
	struct shared *s = arg;
	struct once *o;
	struct buf key = BUF_INIT(KEY_MAX);
	char px[24];

	if (!script_can_run(s) || s->n_once >= ONCE_MAX)
		return;
	s->n_once++;
	o = shared_request_new(s, sizeof(*o), on_claim);
	o->asked_ms = loop_now_ms(s->loop);
	o->ahead_ms = ahead_ms;
	o->delay_ms = s->conf->delay_s * 1000;
	memcpy(o->hash, hash, sizeof(o->hash));
	strcpy(o->user, reg_user(r));
	reg_account(r, o->account);
	reg_token(r, o->token);
	write_key(o, &key);
	snprintf(px, sizeof(px), "%lld", (long long)o->delay_ms);
	shared_conn_ask(s->conn, &o->rq, "SET", (char *)buf_head(&key), "1",
	    "NX", "PX", px, NULL);
	buf_free(&key);
}

void once_init(struct shared *s, struct push_queue *queue)
{
	s->queue = queue;
	push_on_due(queue, on_due, s);
}

void once_end(struct shared *s)
{
	push_on_due(s->queue, NULL, NULL);
}
