/* daemon/sockets.h - the daemon's listeners: opened by the configuration, or
 * handed over by the service manager (socket activation). */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "log.h"
#include "daemon/reach.h"
#include "loop.h"

struct conf;
struct http_server;
struct tls_ctx;
struct user;

#define LISTENERS_MAX 16

struct listen_socket {
	int fd; /* -1: not open, or the server's already */
	bool is_open;
	bool failed; /* it could not be opened at once, which was logged */
	bool is_unix, is_tls;
	bool is_far;   /* it can be reached from other machines */
	bool may_lack; /* no IPv6, no ::1: nothing to wait for */
	const char *key;
	char addr[REACH_ADDR_MAX]; /* as it is written, or a Unix path */
	int port;
};

struct listen_sockets {
	struct listen_socket a[LISTENERS_MAX];
	size_t n;
	bool own_path; /* the Unix socket's file is ours to remove, if it still
		        * is this one: */
	dev_t path_dev;
	ino_t path_ino;
	/* from sockets_serve() on */
	struct loop *loop;
	struct http_server *server;
	struct tls_ctx *tls;
	struct loop_timer retry; /* set while one is not open */
	int64_t pause_ms;
};

/* Checks the open listeners against a configuration that was read again: -1
 * with err set if one of them may not be open under it. */
int sockets_check_reload(const struct listen_sockets *l,
    const struct conf *fresh, char err[ERR_MAX]);

/* Takes over the sockets that the service manager passes; of the kinds (Unix,
 * TCP, TLS) among these, none is opened by the configuration.  -1 with err set:
 * the configuration, or what was passed to us, is wrong.  sockets_close() in any
 * case. */
int sockets_plan(
    struct listen_sockets *l, const struct conf *c, char err[ERR_MAX]);
/* The Unix socket, with the user's rights.  -1 with err set. */
int sockets_open_unix(struct listen_sockets *l, const struct conf *c,
    const struct user *u, char err[ERR_MAX]);
/* TCP and TLS, as far as possible; after that one, so that a second daemon does
 * not complain of ports first.  -1 with err set if now nothing at all is
 * open. */
int sockets_open_tcp(struct listen_sockets *l, bool has_tls, char err[ERR_MAX]);
/* Gives them to the server, and tries the others again until they open.  tls
 * NULL: those with TLS wait for sockets_set_tls(). */
void sockets_serve(struct listen_sockets *l, struct loop *loop,
    struct http_server *server, struct tls_ctx *tls);
/* For new connections to listeners with TLS. */
void sockets_set_tls(struct listen_sockets *l, struct tls_ctx *tls);
/* Opens no more. */
void sockets_quiesce(struct listen_sockets *l);
/* Closes those that the server did not get; removes the Unix socket's file if
 * it is ours. */
void sockets_close(struct listen_sockets *l, const struct conf *c);

#endif
