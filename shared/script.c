/* shared/script.c - the one script that changes the shared store.
 *
 * Which of two values is the newer one is decided in one place, in the server:
 * registrations, the JWT and the book's name all go this way. */
#include "shared/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* KEYS[1]: a hash.  ARGV: field, time, node, value, the key's lifetime in
 * milliseconds, channel.  Value "": removes the field if it is ARGV[2].  Returns 1,
 * or the value that is newer. */
static const char script[] =
    "local k,f,t,v=KEYS[1],ARGV[1],ARGV[2],ARGV[4]\n"
    "local c=redis.call('HGET',k,f)\n"
    "if v=='' then if c==t then redis.call('HDEL',k,f) end return 1 end\n"
    "if c then\n"
    "local a,n=string.match(c,',\"t\":(%d+),\"node\":\"([^\"]*)\"}$')\n"
    "a=tonumber(a) t=tonumber(t)\n"
    "if a and (a>t or a==t and n>=ARGV[3]) then return c end\n"
    "end\n"
    "redis.call('HSET',k,f,v)\n"
    "redis.call('PEXPIRE',k,ARGV[5])\n"
    "redis.call('PUBLISH',ARGV[6],v)\n"
    "return 1";

void script_refused(
    struct shared_conn *c, const struct resp_item *it, const char *what)
{
	/* These pass by themselves, or with the next connection. */
	static const char *const soon[] = { "READONLY", "NOSCRIPT", "LOADING",
		"MASTERDOWN", "CLUSTERDOWN", "BUSY", "TRYAGAIN", "NOREPLICAS" };
	bool is_soon = false;
	char why[ERR_MAX];
	size_t i, n;

	for (i = 0; i < sizeof(soon) / sizeof(soon[0]); i++) {
		n = strlen(soon[i]);
		is_soon |= it->len >= n && memcmp(it->text, soon[i], n) == 0;
	}
	shared_conn_explain(c, it, what, why);
	shared_conn_fail(c, why, is_soon);
}

/* --- loading --- */

struct load {
	struct shared_request rq;
	void (*done)(struct shared *s);
};

static void on_loaded(struct shared_request *rq, const struct resp_item *it)
{
	struct load *l = (struct load *)(void *)rq;
	struct shared *s = rq->shared;

	if (it != NULL && it->type == RESP_STRING && it->len < sizeof(s->sha)) {
		memcpy(s->sha, it->text, it->len);
		s->sha[it->len] = '\0';
		l->done(s);
	} else if (it != NULL) {
		script_refused(s->conn, it, "our script");
	}
	free(l);
}

void script_load(struct shared *s, void (*done)(struct shared *s))
{
	struct load *l = shared_request_new(s, sizeof(*l), on_loaded);

	l->done = done;
	s->sha[0] = '\0';
	shared_conn_ask(s->conn, &l->rq, "SCRIPT", "LOAD", script, NULL);
}

/* --- running --- */

bool script_can_run(const struct shared *s)
{
	return s->phase >= SHARED_MERGING && s->sha[0] != '\0';
}

void script_run(
    struct shared *s, struct shared_request *rq, const struct script *a)
{
	char t[24], life[24];

	snprintf(t, sizeof(t), "%lld", (long long)a->t_ms);
	snprintf(life, sizeof(life), "%lld", (long long)a->life_ms);
	shared_conn_ask(s->conn, rq, "EVALSHA", s->sha, "1", a->key, a->field,
	    t, s->node, a->value, life, s->channel, NULL);
}

static void on_purged(struct shared_request *rq, const struct resp_item *it)
{
	if (it == NULL || it->last)
		free(rq);
}

void script_purge(struct shared *s, const char *key, const char *field,
    const struct resp_item *old)
{
	struct shared_request *rq =
	    shared_request_new(s, sizeof(*rq), on_purged);
	char *value = xstrndup(old->text, old->len);

	shared_conn_ask(s->conn, rq, "EVALSHA", s->sha, "1", key, field, value,
	    "", "", NULL);
	free(value);
}
