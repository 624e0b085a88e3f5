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
	err_set(why, "%s refuses %s: %.*s%s", shared_conn_peer(c), what,
	    (int)(it->len < 300 ? it->len : 300), it->text,
	    shared_conn_cure(c, it));
	shared_conn_fail(c, why, is_soon);
}

/* --- loading --- */

struct load {
	struct shared_request rq;
	struct shared *shared;
	void (*done)(struct shared *s);
};

static void on_loaded(struct shared_request *rq, const struct resp_item *it)
{
	struct load *l = (struct load *)(void *)rq;
	struct shared *s = l->shared;

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
	const struct shared_arg args[] = { SHARED_ARG("SCRIPT"),
		SHARED_ARG("LOAD"), SHARED_ARG(script) };
	struct load *l = xcalloc(1, sizeof(*l));

	l->rq.cb = on_loaded;
	l->shared = s;
	l->done = done;
	s->sha[0] = '\0';
	shared_conn_send(s->conn, &l->rq, args, 3);
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
	const struct shared_arg args[] = { SHARED_ARG("EVALSHA"),
		shared_arg(s->sha), SHARED_ARG("1"), a->key, a->field,
		{ t, (size_t)snprintf(
			 t, sizeof(t), "%lld", (long long)a->t_ms) },
		shared_arg(s->node), a->value,
		{ life, (size_t)snprintf(life, sizeof(life), "%lld",
			    (long long)a->life_ms) },
		shared_arg(s->channel) };

	shared_conn_send(s->conn, rq, args, sizeof(args) / sizeof(args[0]));
}

static void on_purged(struct shared_request *rq, const struct resp_item *it)
{
	if (it == NULL || it->last)
		free(rq);
}

void script_purge(
    struct shared *s, const char *key, const char *field, struct shared_arg old)
{
	struct shared_request *rq = xcalloc(1, sizeof(*rq));
	const struct shared_arg args[] = { SHARED_ARG("EVALSHA"),
		shared_arg(s->sha), SHARED_ARG("1"), shared_arg(key),
		shared_arg(field), old, SHARED_ARG(""), SHARED_ARG("") };

	rq->cb = on_purged;
	shared_conn_send(s->conn, rq, args, sizeof(args) / sizeof(args[0]));
}
