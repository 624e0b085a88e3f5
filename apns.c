/* apns.c - the connection to Apple, as its owner uses it. */
#include "apns/int.h"

#include <assert.h>
#include <stdlib.h>

#include "conf.h"
#include "cred.h"
#include "mem.h"
#include "tls.h"

#define PRODUCTION_HOST "api.push.apple.com"
#define SANDBOX_HOST "api.sandbox.push.apple.com"
#define DEFAULT_PORT 443

/* --- opening and closing --- */

int apns_check_text(const struct conf *conf, char err[ERR_MAX])
{
	char why[ERR_MAX];
	struct io_proxy *p;

	if (conf->apns_proxy == NULL)
		return 0;
	p = io_proxy_new(conf->apns_proxy, why);
	if (p == NULL)
		conf_blame(conf, "apnsProxy", err, "%s", why);
	io_proxy_free(p);
	return p != NULL ? 0 : -1;
}

static void set_target(struct apns *a)
{
	const struct conf *conf = a->conf;
	char err[ERR_MAX];

	io_proxy_free(a->proxy);
	a->proxy = NULL;
	if (conf->apns_proxy != NULL) {
		a->proxy = io_proxy_new(conf->apns_proxy, err);
		assert(a->proxy != NULL); /* apns_check_text() */
	}
	a->to = (struct io_target){
		.host = conf->apns_host != NULL ? conf->apns_host
			: conf->apns_sandbox	? SANDBOX_HOST
						: PRODUCTION_HOST,
		.port = conf->apns_port != 0 ? conf->apns_port : DEFAULT_PORT,
		.proxy = a->proxy,
	};
}

static void build_headers(struct apns *a)
{
	if (cred_kind(a->cred) != CRED_NONE)
		apns_headers_build(
		    &a->headers, a->conf, a->cred, a->to.host, a->to.port);
}

static void use_cred(struct apns *a, struct cred *cred)
{
	set_target(a);
	a->cred = cred;
	a->failures = 0;
	build_headers(a);
	if (cred_kind(cred) != CRED_NONE && apns_dial_wanted(a))
		apns_dial_start(a);
}

/* A stream that has just failed has no TLS any more, and will be reported. */
static bool is_up(const struct apns *a)
{
	return a->cur != NULL && a->cur->state == APNS_CONN_UP &&
	       io_tls(a->cur->io) != NULL;
}

bool apns_is_idle(const struct apns *a)
{
	return a->gate != NULL && apns_dial_is_idle(a);
}

/* See struct apns_status. */
static int64_t down_ms(const struct apns *a)
{
	if ((is_up(a) && (a->failures <= 1 || apns_conn_is_useful(a->cur))) ||
	    apns_is_idle(a))
		return 0;
	return loop_now_ms(a->loop) - a->down_ms;
}

void apns_set_cred(struct apns *a, struct cred *cred)
{
	struct apns_conn *c = a->cur;

	if (down_ms(a) == 0 || cred_kind(a->cred) == CRED_NONE)
		a->down_ms = loop_now_ms(a->loop);
	apns_dial_stop(a);
	if (c != NULL)
		apns_conn_drain(c);
	use_cred(a, cred);
}

void apns_refresh(struct apns *a)
{
	if (a->cur == NULL) {
		apns_set_cred(a, a->cred);
		return;
	}
	set_target(a);
	build_headers(a);
}

void apns_need(struct apns *a)
{
	if (!apns_is_idle(a) || cred_kind(a->cred) == CRED_NONE ||
	    !apns_dial_wanted(a))
		return;
	a->down_ms = loop_now_ms(a->loop);
	apns_dial_start(a);
}

void apns_stop(struct apns *a)
{
	struct apns_conn *c = a->cur;

	apns_dial_stop(a);
	if (c != NULL)
		apns_conn_drain(c);
}

struct apns *apns_new(struct loop *l, const struct conf *conf,
    struct cred *cred, const struct apns_ops *ops, void *arg, const char *label,
    struct apns_gate *gate)
{
	struct apns *a = xcalloc(1, sizeof(*a));

	a->loop = l;
	a->conf = conf;
	a->ops = ops;
	a->arg = arg;
	a->label = label;
	a->gate = gate;
	a->down_ms = loop_now_ms(l);
	apns_dial_init(a);
	use_cred(a, cred);
	return a;
}

void apns_free(struct apns *a)
{
	if (a == NULL)
		return;
	while (a->opening != NULL)
		apns_conn_abandon(a->opening);
	while (a->draining != NULL)
		apns_conn_abandon(a->draining);
	if (a->cur != NULL)
		apns_conn_abandon(a->cur);
	apns_requests_free_pool(a);
	apns_dial_free(a);
	io_proxy_free(a->proxy);
	free(a);
}

/* --- sending --- */

enum apns_sent apns_send(struct apns *a, const char *token, const void *payload,
    size_t len, void *owner, char err[ERR_MAX])
{
	size_t n;

	if (apns_capacity(a) == 0)
		return APNS_FULL;
	n = apns_headers_fill(&a->headers, token, len, !a->no_expiration, err);
	if (n == 0)
		return APNS_NO_AUTH;
	return apns_conn_send(a->cur, n, payload, len, owner) ? APNS_SENT
							      : APNS_FULL;
}

void apns_flush(struct apns *a)
{
	struct apns_conn *c = a->cur;

	if (c == NULL || !c->flush.queued)
		return;
	loop_task_cancel(a->loop, &c->flush);
	apns_conn_flush(c);
}

void apns_set_expiration(struct apns *a, bool wanted)
{
	a->no_expiration = !wanted;
}

void apns_renew_auth(struct apns *a)
{
	cred_renew(a->cred);
}

/* --- status --- */

const char *apns_state_name(enum apns_state state)
{
	static const char *const names[] = {
		[APNS_OFF] = "off",
		[APNS_IDLE] = "idle",
		[APNS_WAITING] = "waiting",
		[APNS_CONNECTING] = "connecting",
		[APNS_UP] = "connected",
	};

	return names[state];
}

void apns_get_status(const struct apns *a, struct apns_status *status_r)
{
	bool up = is_up(a);

	if (cred_kind(a->cred) == CRED_NONE)
		status_r->state = APNS_OFF;
	else if (up)
		status_r->state = APNS_UP;
	else if (apns_is_idle(a))
		status_r->state = APNS_IDLE;
	else
		status_r->state = io_dialer_is_running(a->dialer)
				      ? APNS_CONNECTING
				      : APNS_WAITING;
	status_r->host = a->to.host;
	status_r->port = a->to.port;
	status_r->proxy = a->proxy != NULL ? io_proxy_name(a->proxy) : "";
	status_r->past_proxy = a->reason_stage > IO_STAGE_PROXY;
	status_r->peer = up ? io_peer(a->cur->io) : "";
	status_r->protocol = up ? tls_protocol(io_tls(a->cur->io)) : "";
	status_r->connections = a->connections;
	status_r->resumed = a->resumed;
	status_r->down_ms = down_ms(a);
	status_r->last_error = a->last_error;
	if (a->last_error == NULL || (up && status_r->down_ms == 0))
		status_r->last_error = "";
	status_r->latency = a->latency;
}
