/* proxy_fuzz.c - any bytes as a proxy's answer to CONNECT, whole and in pieces; and
 * as its URL. */
#include <stdint.h>
#include <stdlib.h>

#include "io/proxy.h"
#include "mem.h"

static enum io_tunnel_state feed(const struct io_proxy *p, const uint8_t *data,
    size_t size, size_t step, size_t *taken_r)
{
	struct io_tunnel *t = io_tunnel_new(p, "api.push.apple.com", 443);
	enum io_tunnel_state st = IO_TUNNEL_MORE;
	char err[ERR_MAX] = "";
	size_t n, used;

	for (*taken_r = 0; st == IO_TUNNEL_MORE && *taken_r < size;
	     *taken_r += used) {
		n = size - *taken_r < step ? size - *taken_r : step;
		st = io_tunnel_feed(
		    t, (const char *)data + *taken_r, n, &used, err);
		if (used > n || (st == IO_TUNNEL_MORE && used != n))
			abort();
	}
	if ((st == IO_TUNNEL_REFUSED) != (err[0] != '\0'))
		abort();
	io_tunnel_free(t);
	return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[ERR_MAX], *url = xstrndup((const char *)data, size);
	struct io_proxy *p = io_proxy_new(url, err);
	size_t whole, pieces;

	free(url);
	if (p == NULL)
		p = io_proxy_new("http://user:password@[::1]:3128", err);
	if (feed(p, data, size, size, &whole) !=
		feed(p, data, size, 3, &pieces) ||
	    whole != pieces)
		abort();
	io_proxy_free(p);
	return 0;
}
