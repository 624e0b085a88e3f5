/* daemon/sockets.h - the daemon's listeners: opened by the configuration, or handed over by
 * the service manager (socket activation). */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "log.h"
#include "loop.h"

struct conf;
struct http_server;
struct tls_ctx;
struct user;

#define LISTENERS_MAX 16
#define LISTENER_NAME_MAX 112 /* the path of a Unix socket */

struct listener_at {
	int fd; /* -1: not open, or the server's already */
	bool is_open;
	bool failed; /* it could not be opened at once, and that was said */
	bool is_unix, is_tls;
	bool is_far;   /* not only this machine's own users reach it */
	bool may_lack; /* no IPv6, no ::1: nothing to wait for */
	const char *key;
	char addr[LISTENER_NAME_MAX]; /* as it is written, or a Unix path */
	int port;
};

struct listeners {
	struct listener_at a[LISTENERS_MAX];
	size_t n;
	bool own_path; /* the Unix socket's file is ours to remove: */
	dev_t path_dev;
	ino_t path_ino;
	/* from listen_serve() on */
	struct loop *loop;
	struct http_server *server;
	struct tls_ctx *tls;
	struct loop_timer again; /* set while one is not open */
	int64_t pause_ms;
};

/* What the text of the configuration alone shows: -1 with err set.  Whether
 * others could reach us without password or encryption although that was not
 * asked for is part of it. */
int listen_check_text(const struct conf *c, char err[ERR_MAX]);
/* The same for the listeners that are there, under a configuration that was
 * read again. */
int listen_check_reload(
    const struct listeners *l, const struct conf *fresh, char err[ERR_MAX]);

/* Takes what was handed over; of a kind (Unix, TCP, TLS) that was handed over
 * none is opened by the configuration.  TCP and TLS then are opened as far as it
 * goes.  -1 with err set: the configuration, or what was handed over, is wrong.
 * listen_close() in any case. */
int listen_open(
    struct listeners *l, const struct conf *c, bool has_tls, char err[ERR_MAX]);
/* The Unix socket, with the user's rights.  -1 with err set, also if now nothing
 * at all is open. */
int listen_open_unix(struct listeners *l, const struct conf *c,
    const struct user *u, char err[ERR_MAX]);
/* Hands them to the server, and tries the others again until they open.  tls
 * NULL: those with TLS wait for listen_set_tls(). */
void listen_serve(struct listeners *l, struct loop *loop,
    struct http_server *server, struct tls_ctx *tls);
/* What newcomers to listeners with TLS get from now on. */
void listen_set_tls(struct listeners *l, struct tls_ctx *tls);
/* No more are opened. */
void listen_quiesce(struct listeners *l);
/* Those that were not given away; removes the Unix socket's file if it is
 * ours. */
void listen_close(struct listeners *l, const struct conf *c);

#endif
