/* push/provisional.h - until push/origins.c is there. */
#ifndef PUSH_PROVISIONAL_H
#define PUSH_PROVISIONAL_H

#include <string.h>

#include "conf.h"
#include "cred.h"
#include "push/int.h"
#include "url.h"

static inline struct send_gate *prov_gate(struct push_queue *q)
{
	if (q->gate == NULL)
		q->gate = send_gate_new(false);
	return q->gate;
}

static inline int prov_target(struct push_queue *q, const char *name,
    const struct url *u, struct send_target *to_r, char err[ERR_MAX])
{
	static struct tls_ctx *tls;

	if (tls == NULL)
		tls = cred_load_trust(
		    q->conf, "apnsCaFile", q->conf->apns_ca_file, err);
	if (tls == NULL)
		return -1;
	*to_r = (struct send_target){
		.name = name,
		.host = u->host,
		.port = u->port,
		.tls = u->tls ? tls : NULL,
		.proxy_url = q->conf->apns_proxy,
		.timeout_ms = q->conf->push_timeout_ms,
		.idle_ms = 60000,
		.retry_min_ms = q->conf->retry_min_ms,
		.retry_max_ms = q->conf->retry_max_ms,
		.body_max = 4096,
	};
	return 0;
}

static inline struct push_lane *prov_lane(struct push_queue *q,
    const struct push_way *way, const char *url, char err[ERR_MAX])
{
	struct send_target to;
	struct push_lane *l;
	struct url u;

	if (url_parse(url, &u, err) < 0)
		return NULL;
	for (l = q->others; l != NULL; l = l->next)
		if (l->way == way && strcmp(l->label, u.authority) == 0)
			return l;
	if (prov_target(q, "push", &u, &to, err) < 0)
		return NULL;
	if (way->kind == REG_WEBPUSH)
		to.guard = push_guard(q);
	l = push_lane_make(q, way, u.authority);
	l->sender =
	    sender_new(q->loop, &to, &push_send_ops, l, l->label, prov_gate(q));
	return l;
}

#endif
