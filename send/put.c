/* send/put.c - headers of a request, and where it goes. */
#include "send/int.h"

#include <string.h>

#include "conf.h"
#include "cred.h"
#include "url.h"

/* How long a connection that nothing is sent on is kept. */
#define IDLE_MS (60 * 1000)

struct hpack_header *send_put(
    struct hpack_header *h, const char *name, const char *value)
{
	*h = (struct hpack_header){ name, value, strlen(name), strlen(value),
		HPACK_INDEX };
	return h + 1;
}

struct hpack_header *send_put_post(
    struct hpack_header *h, const struct url *u, const char *path)
{
	h = send_put(h, ":method", "POST");
	h = send_put(h, ":scheme", u->tls ? "https" : "http");
	h = send_put(h, ":path", path);
	return send_put(h, ":authority", u->authority);
}

int send_web_target(const struct conf *conf, const char *name,
    const struct url *u, struct tls_ctx **trust, struct send_target *to_r,
    char err[ERR_MAX])
{
	if (u->tls && *trust == NULL)
		*trust = cred_load_web_trust(conf, err);
	if (u->tls && *trust == NULL)
		return -1;
	*to_r = (struct send_target){
		.name = name,
		.host = u->host,
		.port = u->port,
		.tls = u->tls ? *trust : NULL,
		.proxy_url = conf->apns_proxy,
		.timeout_ms = conf->push_timeout_ms,
		.idle_ms = IDLE_MS,
		.retry_min_ms = conf->retry_min_ms,
		.retry_max_ms = conf->retry_max_ms,
	};
	return 0;
}
