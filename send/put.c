/* send/put.c - headers of a request. */
#include "send/int.h"

#include <string.h>

#include "url.h"

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
