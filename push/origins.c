/* push/origins.c - what is sent elsewhere than to Apple: whom we trust there, how
 * many connections there may be, and lanes for one server each, which come when
 * they are needed and go when they are not. */
#include "push/int.h"

#include <stdio.h>
#include <string.h>

#include "conf.h"
#include "cred.h"
#include "tls.h"
#include "url.h"

/* Of an answer: push services and Google explain an error in up to 1 KB, and a
 * token of Google's has 1 KB. */
#define BODY_MAX 8192

#define LABEL_MAX (sizeof("https://: ") + URL_AUTHORITY_MAX)

struct send_gate *push_gate(struct push_queue *q)
{
	if (q->origin_gate == NULL)
		q->origin_gate = send_gate_new(false);
	return q->origin_gate;
}

int push_target(struct push_queue *q, const char *name, const struct url *u,
    struct send_target *to_r, char err[ERR_MAX])
{
	if (send_web_target(q->conf, name, u, &q->trust, to_r, err) < 0)
		return -1;
	to_r->body_max = BODY_MAX;
	return 0;
}

/* Users name web push's servers. */
static int make_target(struct push_queue *q, const struct push_way *way,
    const struct url *u, struct send_target *to_r, char err[ERR_MAX])
{
	if (push_target(q, reg_kind_name(way->kind), u, to_r, err) < 0)
		return -1;
	if (way->kind == REG_WEBPUSH)
		to_r->guard = push_guard(q);
	return 0;
}

static void write_label(const struct url *u, char out[LABEL_MAX])
{
	snprintf(out, LABEL_MAX, "%s://%s: ", u->tls ? "https" : "http",
	    u->authority);
}

/* Its connection was closed because nothing was sent any more. */
static bool is_over(const struct push_lane *l)
{
	return l->count == 0 && l->in_flight == 0 && sender_is_idle(l->sender);
}

/* Without a timer: those that are over cost memory only, and go before another
 * one comes. */
static void sweep(struct push_queue *q)
{
	struct push_lane *l;

	for (l = q->others; l != NULL; l = l->next)
		if (l->is_origin && !l->closing && is_over(l)) {
			l->closing = true;
			push_lane_free(l);
		}
}

struct push_lane *push_origin_lane(struct push_queue *q,
    const struct push_way *way, const char *url, char err[ERR_MAX])
{
	char label[LABEL_MAX];
	struct send_target to;
	struct push_lane *l;
	struct url u;

	if (url_parse(url, &u, err) < 0)
		return NULL;
	write_label(&u, label);
	for (l = q->others; l != NULL; l = l->next)
		if (l->is_origin && !l->closing && l->way == way &&
		    strcmp(l->label, label) == 0)
			return l;
	if (make_target(q, way, &u, &to, err) < 0)
		return NULL;
	sweep(q);
	l = push_lane_make(q, way, label);
	l->is_origin = true;
	/* The target's name is in the sender's messages anyway. */
	l->sender =
	    sender_new(q->loop, &to, &push_send_ops, l, "", push_gate(q));
	return l;
}

/* --- reload --- */

static void refresh(struct push_lane *l)
{
	char url[LABEL_MAX], err[ERR_MAX];
	struct send_target to;
	struct url u;

	snprintf(url, sizeof(url), "%.*s", (int)strlen(l->label) - 2, l->label);
	if (url_parse(url, &u, err) == 0 &&
	    make_target(l->q, l->way, &u, &to, err) == 0)
		sender_set_target(l->sender, &to);
}

static void free_trust(void *tls)
{
	tls_ctx_free(tls);
}

static void renew_trust(struct push_queue *q)
{
	struct tls_ctx *fresh;
	struct push_lane *l;
	char err[ERR_MAX];

	if (q->trust == NULL)
		return;
	fresh = cred_load_web_trust(q->conf, err);
	if (fresh == NULL) {
		log_error("%s: the old one stays", err);
		return;
	}
	for (l = q->others; l != NULL; l = l->next)
		if (l->sender != NULL && l->way != &push_way_apple)
			sender_set_tls(l->sender, fresh);
	loop_defer_free(q->loop, q->trust, free_trust);
	q->trust = fresh;
}

void push_refresh_origins(struct push_queue *q)
{
	struct push_lane *l;

	renew_trust(q);
	for (l = q->others; l != NULL; l = l->next)
		if (l->is_origin && !l->closing)
			refresh(l);
}
