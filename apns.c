/* apns.c - Apple's push service as a target. */
#include "apns.h"

#include <stdlib.h>

#include "apns/headers.h"
#include "conf.h"
#include "cred.h"
#include "io.h"
#include "mem.h"

#define PRODUCTION_HOST "api.push.apple.com"
#define SANDBOX_HOST "api.sandbox.push.apple.com"
#define DEFAULT_PORT 443

/* APNs answers within 100 ms; what a brand does not use it can open again. */
#define IDLE_MS (10 * 60 * 1000)

/* An answer has one reason, in under 100 bytes. */
#define BODY_MAX 1024

struct apns {
	struct sender *sender;
	const struct conf *conf;
	struct cred *cred;
	bool no_expiration; /* leave out apns-expiration */
	struct apns_headers headers;
};

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

static struct send_target target(const struct apns *a)
{
	const struct conf *conf = a->conf;

	return (struct send_target){
		.name = "apns",
		.host = conf->apns_host != NULL ? conf->apns_host
			: conf->apns_sandbox	? SANDBOX_HOST
						: PRODUCTION_HOST,
		.port = conf->apns_port != 0 ? conf->apns_port : DEFAULT_PORT,
		.tls = cred_tls(a->cred),
		.proxy_url = conf->apns_proxy,
		.only_h2 = "check apnsHost and apnsPort, or a proxy on the way",
		.timeout_ms = conf->push_timeout_ms,
		.idle_ms = IDLE_MS,
		.retry_min_ms = conf->retry_min_ms,
		.retry_max_ms = conf->retry_max_ms,
		.body_max = BODY_MAX,
		.off = cred_kind(a->cred) == CRED_NONE,
	};
}

static void build_headers(struct apns *a, const struct send_target *to)
{
	if (!to->off)
		apns_headers_build(
		    &a->headers, a->conf, a->cred, to->host, to->port);
}

struct apns *apns_new(struct loop *l, const struct conf *conf,
    struct cred *cred, const struct send_ops *ops, void *arg, const char *label,
    struct send_gate *gate)
{
	struct apns *a = xcalloc(1, sizeof(*a));
	struct send_target to;

	a->conf = conf;
	a->cred = cred;
	to = target(a);
	build_headers(a, &to);
	a->sender = sender_new(l, &to, ops, arg, label, gate);
	return a;
}

void apns_free(struct apns *a)
{
	if (a == NULL)
		return;
	sender_free(a->sender);
	free(a);
}

struct sender *apns_sender(const struct apns *a)
{
	return a->sender;
}

void apns_set_cred(struct apns *a, struct cred *cred)
{
	struct send_target to;

	a->cred = cred;
	to = target(a);
	build_headers(a, &to);
	sender_set_target(a->sender, &to);
}

void apns_refresh(struct apns *a)
{
	struct send_target to = target(a);

	build_headers(a, &to);
	sender_refresh(a->sender, &to);
}

/* --- sending --- */

enum send_sent apns_send(struct apns *a, const char *token, const void *payload,
    size_t len, void *owner, char err[ERR_MAX])
{
	size_t n;

	n = apns_headers_fill(&a->headers, token, len, !a->no_expiration, err);
	if (n == 0)
		return SEND_NO_AUTH;
	return send_request(a->sender, a->headers.list, n, payload, len, owner);
}

void apns_set_expiration(struct apns *a, bool wanted)
{
	a->no_expiration = !wanted;
}

void apns_renew_auth(struct apns *a)
{
	cred_renew(a->cred);
}
