/* daemon/sockets.h - the daemon's doors: opened before privileges go, or handed over by
 * the service manager (socket activation). */
#ifndef LISTEN_H
#define LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "log.h"

struct conf;

#define LISTENERS_MAX 16

struct listeners {
	struct {
		int fd;
		bool is_unix, is_tls;
	} a[LISTENERS_MAX];
	size_t n;
	bool own_path; /* the Unix socket's file is ours to remove */
};

/* Whether others could reach us without password or encryption although that
 * was not asked for: -1 with err set. */
int listen_check_exposure(const struct conf *c, char err[ERR_MAX]);

/* Of a kind (Unix, TCP, TLS) that was handed over none is opened by the
 * configuration.  -1 with err set; listen_close() in any case. */
int listen_open(struct listeners *l, const struct conf *c, char err[ERR_MAX]);
/* Those that were not given away. */
void listen_close(struct listeners *l);

#endif
