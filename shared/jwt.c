/* shared/jwt.c - one JWT for all nodes that have the same token key: Apple frowns
 * on many.
 *
 * Nobody waits for it: a node that needs one makes it.  It then is in the hash
 *   prefix jwt:{team.keyid}   jwt   {"jwt":"…","t":1763769600000,"node":"…"}
 * for as long as it is good, and the others hear of it.  Whoever can read that can
 * push in our name for an hour, so it is a secret.  Whoever can write it changes
 * nothing: cred_take_jwt() believes our own key alone. */
#include "shared/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "conf.h"
#include "cred.h"
#include "mem.h"

/* As long as a node would use it. */
#define LIFE_MS (50 * 60 * 1000)

/* prefix, "jwt:", braces */
#define KEY_MAX (64 + 8 + CRED_JWT_NAME_MAX)

#define FIELD "jwt"
static const char start[] = JWT_START;

/* A credential whose JWT is shared. */
struct shared_jwt {
	struct shared_jwt *next;
	struct shared *shared;
	struct cred *cred;
	/* Made here while there was no connection: one that the others have is
	 * preferred, lest every start makes all change theirs. */
	bool is_new;
	unsigned n_puts; /* of the key, without an answer */
	char key[KEY_MAX];
};

/* HGET, or the script. */
struct jwt_request {
	struct shared_request rq;
	bool is_put;
	bool again; /* not once more */
	char key[KEY_MAX];
};

/* --- what comes --- */

/* Of two of the same second the store's stays; while it has not answered that is not
 * known. */
static bool is_preferred(
    const struct shared_jwt *j, int64_t issued_s, bool is_asked)
{
	int64_t had_s;

	cred_jwt(j->cred, issued_s, &had_s);
	return (is_asked && j->is_new) || (had_s == issued_s && j->n_puts == 0);
}

/* A value of the key; NULL: of any.  The best of what becomes of it. */
static enum cred_jwt_taken take(struct shared *s, const char *key,
    const char *text, size_t len, bool is_asked)
{
	const char *jwt = text + sizeof(start) - 1, *end;
	enum cred_jwt_taken taken, best = CRED_JWT_BAD;
	int64_t t_ms = value_time_ms(text, len);
	struct shared_jwt *j;

	if (t_ms < 0 || !value_is(text, len, start))
		return CRED_JWT_BAD;
	end = memchr(jwt, '"', len - (sizeof(start) - 1));
	for (j = s->jwts; j != NULL && end != NULL; j = j->next) {
		if (key != NULL && strcmp(j->key, key) != 0)
			continue;
		taken = cred_take_jwt(j->cred, jwt, (size_t)(end - jwt),
		    t_ms / 1000, is_preferred(j, t_ms / 1000, is_asked),
		    (int64_t)time(NULL));
		if (taken == CRED_JWT_TAKEN)
			j->is_new = false;
		if (taken > best)
			best = taken;
	}
	return best;
}

void jwt_hear(struct shared *s, const char *text, size_t len)
{
	take(s, NULL, text, len, false);
}

/* --- what goes --- */

static void on_answer(struct shared_request *rq, const struct resp_item *it);

static const char *jwt_of(struct shared *s, const char *key, int64_t *issued_s)
{
	const char *jwt = NULL;
	struct shared_jwt *j;

	for (j = s->jwts; j != NULL && jwt == NULL; j = j->next)
		if (strcmp(j->key, key) == 0)
			jwt = cred_jwt(j->cred, (int64_t)time(NULL), issued_s);
	return jwt;
}

static void count_puts(
    struct shared *s, const char *key, int change, bool is_new)
{
	struct shared_jwt *j;

	for (j = s->jwts; j != NULL; j = j->next)
		if (strcmp(j->key, key) == 0) {
			j->is_new = is_new;
			if (change > 0 || j->n_puts > 0) /* it may be new */
				j->n_puts += (unsigned)change;
		}
}

static struct jwt_request *request_new(
    struct shared *s, const char *key, bool is_put)
{
	struct jwt_request *q = shared_request_new(s, sizeof(*q), on_answer);

	q->is_put = is_put;
	strcpy(q->key, key);
	return q;
}

static void put(struct shared *s, const char *key, bool again)
{
	struct script a = { .life_ms = LIFE_MS, .field = FIELD };
	struct buf value = BUF_INIT(4096);
	struct jwt_request *q;
	int64_t issued_s;
	const char *jwt = jwt_of(s, key, &issued_s);

	if (jwt == NULL)
		return;
	q = request_new(s, key, true);
	q->again = again;
	count_puts(s, key, 1, false);
	a.key = q->key;
	a.t_ms = issued_s * 1000;
	buf_add_fmt(&value, "%s%s\"", start, jwt);
	value_end(s, a.t_ms, &value);
	a.value = (char *)buf_head(&value);
	script_run(s, &q->rq, &a);
	buf_free(&value);
}

/* It is there, and younger; or it is no good, as of a node whose clock is wrong or
 * of somebody else, and goes. */
static void answered(struct jwt_request *q, const struct resp_item *it)
{
	struct shared *s = q->rq.shared;
	bool is_there = it->type == RESP_STRING;
	enum cred_jwt_taken taken = CRED_JWT_BAD;
	int64_t issued_s;

	if (is_there)
		taken = take(s, q->key, it->text, it->len, !q->is_put);
	if (q->is_put && (!is_there || q->again || taken != CRED_JWT_BAD))
		return;
	if (taken == CRED_JWT_TAKEN || jwt_of(s, q->key, &issued_s) == NULL)
		return;
	if (is_there && taken == CRED_JWT_BAD)
		script_purge(s, q->key, FIELD, it);
	put(s, q->key, true);
}

static void on_answer(struct shared_request *rq, const struct resp_item *it)
{
	struct jwt_request *q = (struct jwt_request *)(void *)rq;

	if (q->is_put)
		count_puts(rq->shared, q->key, -1, it == NULL);
	if (it != NULL && it->type == RESP_ERROR)
		script_refused(rq->shared->conn, it, "the JWT");
	else if (it != NULL)
		answered(q, it);
	if (it == NULL || it->last)
		free(q);
}

static void ask(struct shared_jwt *j)
{
	shared_conn_ask(j->shared->conn,
	    &request_new(j->shared, j->key, false)->rq, "HGET", j->key, FIELD,
	    NULL);
}

void jwt_compare(struct shared *s)
{
	struct shared_jwt *j;

	for (j = s->jwts; j != NULL; j = j->next)
		ask(j);
}

/* --- credentials --- */

static void jwt_free(struct shared_jwt *j)
{
	struct shared_jwt **at = &j->shared->jwts;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	free(j);
}

/* Others of ours may have the same key, for another topic. */
static void on_jwt(void *arg, bool is_end)
{
	struct shared_jwt *j = arg, *other;
	int64_t now_s = (int64_t)time(NULL), issued_s;
	const char *jwt;

	if (is_end) {
		jwt_free(j);
		return;
	}
	j->is_new = true;
	jwt = cred_jwt(j->cred, now_s, &issued_s);
	if (jwt == NULL) /* the clock was set at this moment */
		return;
	for (other = j->shared->jwts; other != NULL; other = other->next)
		if (other != j && strcmp(other->key, j->key) == 0)
			cred_take_jwt(other->cred, jwt, strlen(jwt), issued_s,
			    true, now_s);
	if (script_can_run(j->shared))
		put(j->shared, j->key, false);
}

void shared_add_cred(struct shared *s, struct cred *c)
{
	char name[CRED_JWT_NAME_MAX];
	struct shared_jwt *j;

	cred_jwt_name(c, name);
	if (s == NULL || name[0] == '\0')
		return;
	for (j = s->jwts; j != NULL; j = j->next)
		if (j->cred == c)
			return;
	j = xcalloc(1, sizeof(*j));
	j->shared = s;
	j->cred = c;
	j->is_new = true;
	snprintf(
	    j->key, sizeof(j->key), "%sjwt:{%s}", s->conf->shared_prefix, name);
	j->next = s->jwts;
	s->jwts = j;
	cred_on_jwt(c, on_jwt, j);
	if (script_can_run(s))
		ask(j);
}

void jwt_end(struct shared *s)
{
	while (s->jwts != NULL) {
		cred_on_jwt(s->jwts->cred, NULL, NULL);
		jwt_free(s->jwts);
	}
}
