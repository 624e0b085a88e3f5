/* shared/probe.c - what `check` and `doctor` ask the shared store: whether a node
 * may do all that it has to, and what the book has of a user.
 *
 * They run without the daemon, one question after the other. */
#include "shared/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf.h"
#include "mem.h"
#include "text.h"

/* A person waits for it. */
#define LIMIT_MS 15000
#define POLL_MS 50

#define WORDS_MAX 6

struct probe {
	struct shared_request rq;
	struct loop *loop;
	struct shared shared; /* as much of it as value_merge() needs */
	void (*next)(struct probe *p);
	struct shared_probe *found;
	struct store *view;
	const char *user;
	unsigned step, downs;
	bool is_open, is_done;
	size_t n_items;
	char lacks[ERR_MAX]; /* rights */
	char err[ERR_MAX];
};

/* --- questions --- */

#define WHICH_BOOK "HGET B id"

/* Each right of xapsd(8) that is not of the greeting, then how it is tried: K, P, C
 * and M stand for a key of our own, the pattern of all, the channel and a message
 * that nobody minds. */
static const char *const steps[] = {
	"+info\0INFO server", "+ping\0PING", "+script|load\0SCRIPT LOAD return",
	"+evalsha\0EVALSHA 0000000000000000000000000000000000000000 0",
	"+hset\0HSET K f v", "+hget\0HGET K f", "+hgetall\0HGETALL K",
	"+pexpire\0PEXPIRE K 1000", "+hdel\0HDEL K f",
	"+set\0SET K 1 NX PX 1000", "+pttl\0PTTL K", "+scan\0SCAN 0 MATCH P",
	"+publish\0PUBLISH C M", "+hget\0" WHICH_BOOK,
	"+subscribe\0SUBSCRIBE C", /* no answer but a message */
};

#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

/* Sends it; a word of one capital letter stands for something. */
static void ask(struct probe *p, const char *words)
{
	const char *prefix = p->shared.conf->shared_prefix;
	const char *list[WORDS_MAX] = { NULL };
	char key[96], pattern[80], book[80];
	char *own = xstrdup(words), *at = own, *w;
	size_t n = 0;

	snprintf(key, sizeof(key), "%scheck:{%s}", prefix, p->shared.node);
	snprintf(pattern, sizeof(pattern), "%s{*", prefix);
	snprintf(book, sizeof(book), "%sbook", prefix);
	while ((w = strsep(&at, " ")) != NULL)
		list[n++] = w[1] != '\0' ? w
			    : *w == 'K'	 ? key
			    : *w == 'P'	 ? pattern
			    : *w == 'B'	 ? book
			    : *w == 'C'	 ? p->shared.channel
			    : *w == 'M'	 ? CHECK_VALUE
					 : w;
	shared_conn_ask(p->shared.conn, p->step == N_STEPS - 1 ? NULL : &p->rq,
	    list[0], list[1], list[2], list[3], list[4], list[5], NULL);
	free(own);
}

static bool has(const struct resp_item *it, const char *words)
{
	return memmem(it->text, it->len, words, strlen(words)) != NULL;
}

static void add_lack(struct probe *p, const char *right)
{
	size_t n = strlen(p->lacks);

	if (strstr(p->lacks, right) == NULL)
		snprintf(p->lacks + n, sizeof(p->lacks) - n, "%s%s",
		    n > 0 ? " " : "", right);
}

/* A right that lacks; or anything else, which is told as it is.  That there is no
 * such script is right. */
static void take_error(struct probe *p, const struct resp_item *it)
{
	char right[96];

	if (has(it, "NOSCRIPT"))
		return;
	if (!has(it, "NOPERM")) {
		if (p->err[0] == '\0')
			err_set(p->err, "%s answers: %.*s", p->found->peer,
			    (int)(it->len < 300 ? it->len : 300), it->text);
	} else if (has(it, "to access") && has(it, "key")) {
		snprintf(right, sizeof(right), "~%s*",
		    p->shared.conf->shared_prefix);
		add_lack(p, right);
	} else if (has(it, "to access")) {
		snprintf(right, sizeof(right), "&%s", p->shared.channel);
		add_lack(p, right);
	} else {
		add_lack(p, p->step < N_STEPS ? steps[p->step] : "+hgetall");
	}
}

static void on_step(struct shared_request *rq, const struct resp_item *it)
{
	struct probe *p = (struct probe *)(void *)rq;

	if (it == NULL)
		return;
	if (it->type == RESP_ERROR && it->depth == 0)
		take_error(p, it);
	else if (strcmp(text_next(steps[p->step]), WHICH_BOOK) == 0 &&
		 it->type == RESP_STRING &&
		 !value_book(it->text, it->len, p->found->book))
		p->found->book[0] = '\0';
	if (!it->last)
		return;
	p->step++;
	ask(p, text_next(steps[p->step]));
}

/* --- a user --- */

static void on_user(struct shared_request *rq, const struct resp_item *it)
{
	struct probe *p = (struct probe *)(void *)rq;
	int64_t t_ms;
	struct reg *r;

	if (it == NULL)
		return;
	if (it->type == RESP_ERROR && it->depth == 0)
		take_error(p, it);
	if (it->depth == 1 && it->type == RESP_STRING &&
	    p->n_items++ % 2 == 1) {
		t_ms = value_time_ms(it->text, it->len);
		if (t_ms >= 0)
			store_merge(p->view, it->text, it->len, t_ms, &r);
	}
	p->is_done = it->last;
}

/* --- the connection --- */

static void on_up(void *arg)
{
	struct probe *p = arg;
	struct shared_conn *c = p->shared.conn;

	p->is_open = true;
	snprintf(
	    p->found->peer, sizeof(p->found->peer), "%s", shared_conn_peer(c));
	shared_conn_info(c, "role", p->found->role, sizeof(p->found->role));
	shared_conn_info(
	    c, "maxmemory_policy", p->found->policy, sizeof(p->found->policy));
	p->next(p);
}

/* With sentinels, one after the other is asked. */
static void on_down(void *arg, const char *why)
{
	struct probe *p = arg;

	if (p->is_open && strstr(why, "NOPERM") != NULL)
		take_error(
		    p, &(struct resp_item){ .text = why, .len = strlen(why) });
	else
		err_set(p->err, "%s", why);
	p->is_done = p->is_open || ++p->downs >= p->shared.addr.n_sentinels;
}

static void on_push(void *arg, const struct resp_item *it)
{
	struct probe *p = arg;

	(void)it;
	p->is_done = true;
}

static const struct shared_conn_ops ops = {
	.up = on_up,
	.down = on_down,
	.push = on_push,
};

static int run(struct probe *p, const struct conf *conf, char err[ERR_MAX])
{
	struct shared *s = &p->shared;
	int64_t end_ms;

	s->conf = conf;
	if (shared_addr_load(&s->addr, conf, err) < 0) {
		shared_addr_free(&s->addr);
		return -1;
	}
	value_set_names(s);
	loop_once(p->loop, 0);
	end_ms = loop_now_ms(p->loop) + LIMIT_MS;
	s->conn = shared_conn_new(p->loop, &s->addr, &ops, p);
	while (!p->is_done && loop_now_ms(p->loop) < end_ms)
		loop_once(p->loop, POLL_MS);
	if (p->lacks[0] != '\0')
		err_set(p->err,
		    "%s: its user lacks rights: ACL SETUSER %s %s (xapsd(8), "
		    "\"Several nodes\", has all that are needed)",
		    p->found->peer,
		    s->addr.server.user != NULL && *s->addr.server.user != '\0'
			? s->addr.server.user
			: "default",
		    p->lacks);
	p->found->has_tls = s->addr.server.has_tls;
	shared_conn_free(s->conn);
	shared_addr_free(&s->addr);
	loop_once(p->loop, 0);
	if (!p->is_done && p->err[0] == '\0')
		err_set(p->err, "no answer within %d s", LIMIT_MS / 1000);
	err_set(err, "%s", p->err);
	return p->is_done && p->err[0] == '\0' ? 0 : -1;
}

static void begin_steps(struct probe *p)
{
	ask(p, text_next(steps[0]));
}

int shared_probe(struct loop *l, const struct conf *conf,
    struct shared_probe *found_r, char err[ERR_MAX])
{
	struct probe *p = xcalloc(1, sizeof(*p));
	int rc;

	memset(found_r, 0, sizeof(*found_r));
	p->loop = l;
	p->rq.cb = on_step;
	p->rq.is_many = true;
	p->next = begin_steps;
	p->found = found_r;
	rc = run(p, conf, err);
	free(p);
	return rc;
}

static void begin_user(struct probe *p)
{
	struct buf key = BUF_INIT(4096);

	value_key(&p->shared, "", p->user, &key);
	buf_add_byte(&key, '\0');
	shared_conn_ask(
	    p->shared.conn, &p->rq, "HGETALL", (char *)buf_head(&key), NULL);
	buf_free(&key);
}

int shared_read_user(struct loop *l, const struct conf *conf, const char *user,
    struct store *view, char err[ERR_MAX])
{
	struct shared_probe found;
	struct probe *p = xcalloc(1, sizeof(*p));
	int rc;

	memset(&found, 0, sizeof(found));
	p->loop = l;
	p->rq.cb = on_user;
	p->rq.is_many = true;
	p->next = begin_user;
	p->found = &found;
	p->view = view;
	p->user = user;
	p->step = N_STEPS; /* none of them */
	rc = run(p, conf, err);
	free(p);
	return rc;
}
