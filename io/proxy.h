/* io/proxy.h - what is said to a proxy and back until it is a tunnel (RFC 9110
 * 9.3.6).  No I/O: io.c carries the bytes. */
#ifndef IO_PROXY_H
#define IO_PROXY_H

#include "io.h"

struct io_proxy {
	char *name; /* host:port, an IPv6 address in brackets */
	char *host; /* the brackets are allowed for dialling */
	int port;
	char *login; /* Base64 of user:password; NULL: none */
};

enum io_tunnel_state {
	IO_TUNNEL_MORE, /* bytes are missing */
	IO_TUNNEL_OPEN,
	IO_TUNNEL_REFUSED,
};

/* Bytes of a line of the answer that are looked at. */
#define IO_TUNNEL_LINE 128

struct io_tunnel {
	char *request;
	size_t len, sent; /* of the request; the owner counts sent up */
	/* the rest is for proxy.c only */
	char *target;
	bool has_login;
	size_t taken; /* bytes of the answer */
	char line[IO_TUNNEL_LINE];
	size_t n;	  /* bytes of the current line, as far as looked at */
	int status;	  /* 0: the current line is the status line */
	unsigned offered; /* ways to authenticate */
};

/* proxy is borrowed for the call only. */
struct io_tunnel *io_tunnel_new(
    const struct io_proxy *proxy, const char *host, int port);
/* NULL is fine. */
void io_tunnel_free(struct io_tunnel *t);

/* Takes bytes of the answer, *used_r of them: what follows an OPEN belongs to
 * the server.  len 0: the proxy closed the connection.  REFUSED: err says why
 * and what to do, in words that follow the proxy's name. */
enum io_tunnel_state io_tunnel_feed(struct io_tunnel *t, const char *p,
    size_t len, size_t *used_r, char err[ERR_MAX]);

#endif
