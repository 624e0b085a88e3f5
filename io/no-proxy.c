/* io/no-proxy.c - a build that connects directly only: conf.c refuses apnsProxy. */
#include "io/proxy.h"

#include <stddef.h>

#include "features.h"

struct io_proxy *io_proxy_new(const char *url, char err[ERR_MAX])
{
	(void)url;
	err_set(err, "%s", features_lack("proxy"));
	return NULL;
}

void io_proxy_free(struct io_proxy *p)
{
	(void)p;
}

const char *io_proxy_name(const struct io_proxy *p)
{
	return p->name;
}

struct io_tunnel *io_tunnel_new(
    const struct io_proxy *proxy, const char *host, int port)
{
	(void)proxy;
	(void)host;
	(void)port;
	return NULL;
}

void io_tunnel_free(struct io_tunnel *t)
{
	(void)t;
}

enum io_tunnel_state io_tunnel_feed(struct io_tunnel *t, const char *p,
    size_t len, size_t *used_r, char err[ERR_MAX])
{
	(void)t;
	(void)p;
	(void)len;
	*used_r = 0;
	err_set(err, "%s", features_lack("proxy"));
	return IO_TUNNEL_REFUSED;
}
