/* daemon/sockets.c - the daemon's listeners. */
#include "daemon/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf.h"
#include "daemon.h"
#include "daemon/reach.h"
#include "daemon/systemd.h"
#include "daemon/unix.h"
#include "http.h"
#include "io.h"

/* Pauses between attempts to open a port that is in use, or an address that
 * does not exist yet. */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 15000

int sockets_check_reload(
    const struct listen_sockets *l, const struct conf *fresh, char err[ERR_MAX])
{
	const struct listen_socket *at;
	char where[REACH_ADDR_MAX + 32];

	for (at = l->a; at < l->a + l->n; at++) {
		snprintf(where, sizeof(where), "%s port %d is open and",
		    at->addr, at->port);
		if (at->is_far &&
		    reach_check(fresh, at->key, where, at->is_tls, err) < 0)
			return -1;
	}
	return 0;
}

/* --- by socket activation --- */

static struct listen_socket *add_listener(struct listen_sockets *l,
    const char *key, const char *addr, int port, bool is_tls)
{
	struct listen_socket *at = &l->a[l->n++];

	*at = (struct listen_socket){
		.fd = -1, .key = key, .port = port, .is_tls = is_tls
	};
	snprintf(at->addr, sizeof(at->addr), "%s", addr);
	return at;
}

static bool is_listening(int fd, union reach_addr *u, socklen_t *len)
{
	int on = 0, type = 0;
	socklen_t on_len = sizeof(on), type_len = sizeof(type);

	return getsockname(fd, &u->sa, len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &on_len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 &&
	       on && type == SOCK_STREAM &&
	       (u->sa.sa_family == AF_UNIX || u->sa.sa_family == AF_INET ||
		   u->sa.sa_family == AF_INET6);
}

static int take_unix(struct listen_sockets *l, const struct conf *c, int fd,
    const union reach_addr *u, socklen_t len, char err[ERR_MAX])
{
	struct listen_socket *at =
	    add_listener(l, "socketPath", u->un.sun_path, 0, false);

	at->fd = fd;
	at->is_open = at->is_unix = true;
	/* An abstract one has neither mode nor group. */
	if ((len > offsetof(struct sockaddr_un, sun_path) &&
		u->un.sun_path[0] != '\0') ||
	    c->allow_insecure)
		return 0;
	err_set(err, "socket activation: every user of this machine may use "
		     "an abstract socket: take one with a path, or set "
		     "allowInsecure: yes");
	return -1;
}

static int take_one(
    struct listen_sockets *l, const struct conf *c, int fd, char err[ERR_MAX])
{
	union reach_addr u = { 0 };
	char addr[INET6_ADDRSTRLEN] = "";
	socklen_t len = sizeof(u);
	struct listen_socket *at;
	int port;
	bool is_tls;

	if (!is_listening(fd, &u, &len)) {
		err_set(err,
		    "socket activation: descriptor %d is not a listening "
		    "stream socket: ListenStream= makes one",
		    fd);
		return -1;
	}
	if (u.sa.sa_family == AF_UNIX)
		return take_unix(l, c, fd, &u, len, err);
	inet_ntop(u.sa.sa_family,
	    u.sa.sa_family == AF_INET ? (void *)&u.in.sin_addr
				      : (void *)&u.in6.sin6_addr,
	    addr, sizeof(addr));
	/* The port is at the same offset in both. */
	port = ntohs(u.in.sin_port);
	is_tls = c->tls_certfile != NULL && port == c->tls_port;
	at = add_listener(
	    l, is_tls ? "tlsListenAddr" : "listenAddr", addr, port, is_tls);
	at->fd = fd;
	at->is_open = true;
	at->is_far = !reach_is_loopback(&u);
	return at->is_far ? reach_check(c, at->key, addr, is_tls, err) : 0;
}

static int take_over(
    struct listen_sockets *l, const struct conf *c, char err[ERR_MAX])
{
	int n = systemd_listen_fds(), i;

	if (n > LISTENERS_MAX / 2) {
		err_set(err, "socket activation: %d sockets are more than %d",
		    n, LISTENERS_MAX / 2);
		return -1;
	}
	for (i = 0; i < n; i++)
		if (take_one(l, c, SYSTEMD_FIRST_FD + i, err) < 0)
			return -1;
	return 0;
}

static bool has_kind(const struct listen_sockets *l, bool is_unix, bool is_tls)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (l->a[i].is_unix == is_unix && l->a[i].is_tls == is_tls)
			return true;
	return false;
}

/* --- by the configuration: TCP --- */

static void plan_tcp(struct listen_sockets *l, const char *key,
    const char *addr, int port, bool is_tls)
{
	struct listen_socket *at;
	union reach_addr u;

	if (strcmp(addr, "localhost") == 0) {
		add_listener(l, key, "127.0.0.1", port, is_tls);
		at = add_listener(l, key, "::1", port, is_tls);
		at->may_lack = true;
		return;
	}
	at = add_listener(l, key, addr, port, is_tls);
	at->is_far = !reach_parse(addr, &u) || !reach_is_loopback(&u);
}

static void plan(struct listen_sockets *l, const struct conf *c)
{
	if (c->port != 0 && !has_kind(l, false, false))
		plan_tcp(l, "listenAddr", c->listen_addr, c->port, false);
	if (c->tls_certfile != NULL && c->tls_port != 0 &&
	    !has_kind(l, false, true))
		plan_tcp(
		    l, "tlsListenAddr", reach_tls_addr(c), c->tls_port, true);
}

static int check_any(
    const struct listen_sockets *l, const struct conf *c, char err[ERR_MAX])
{
	if (l->n > 0 || c->socket_path != NULL)
		return 0;
	err_set(err, "nothing to listen on: set socketPath or port");
	return -1;
}

static int fail_all(char err[ERR_MAX])
{
	err_set(err, "no listener could be opened: the lines above say why");
	return -1;
}

static const char *cure(const struct listen_socket *at, int error)
{
	static const char no_ipv6[] =
	    ": this machine has no IPv6: write 127.0.0.1 or localhost";

	switch (error) {
	case EADDRINUSE:
		return ": another program has it, perhaps an old daemon: ss "
		       "-ltnp names it";
	case EAFNOSUPPORT:
		return no_ipv6;
	case EADDRNOTAVAIL:
		/* It is there as soon as there is IPv6. */
		if (strcmp(at->addr, "::1") == 0)
			return no_ipv6;
		return ": this machine does not have this address, or not yet: "
		       "ip addr shows those that it has";
	case EACCES:
		if (at->port < 1024)
			return ": ports below 1024 need root's rights: start "
			       "it as root with user set, or take a port from "
			       "1024 on";
		return ": does a security module (SELinux, AppArmor) forbid "
		       "it?";
	default:
		return "";
	}
}

static bool is_lacking(const struct listen_socket *at, int error)
{
	return at->may_lack &&
	       (error == EAFNOSUPPORT || error == EADDRNOTAVAIL);
}

/* 0, or -1 with err and errno set. */
static int open_one(struct listen_socket *at, char err[ERR_MAX])
{
	char why[ERR_MAX];
	int code;

	at->fd = io_listen_tcp(at->addr, at->port, why);
	code = errno;
	at->is_open = at->fd >= 0;
	if (at->is_open && at->failed)
		log_info("%s: listens on %s port %d now", at->key, at->addr,
		    at->port);
	if (at->is_open)
		return 0;
	at->failed = true;
	err_set(err, "%s: %s%s", at->key, why, cure(at, code));
	errno = code;
	return -1;
}

int sockets_plan(
    struct listen_sockets *l, const struct conf *c, char err[ERR_MAX])
{
	if (reach_check_text(c, err) < 0 || take_over(l, c, err) < 0)
		return -1;
	plan(l, c);
	return check_any(l, c, err);
}

int sockets_open_tcp(struct listen_sockets *l, bool has_tls, char err[ERR_MAX])
{
	struct listen_socket *at;
	size_t n = 0;

	for (at = l->a; at < l->a + l->n; at++) {
		at->failed = at->is_tls && !has_tls;
		if (at->is_open || at->failed || open_one(at, err) == 0)
			continue;
		if (is_lacking(at, errno))
			*at-- = l->a[--l->n];
		else
			log_error("%s; it is tried again until it works", err);
	}
	for (at = l->a; at < l->a + l->n; at++)
		n += at->is_open;
	return n > 0 ? 0 : fail_all(err);
}

static void remember_path(struct listen_sockets *l, const struct conf *c)
{
	struct stat st;

	if (lstat(c->socket_path, &st) < 0)
		return;
	l->own_path = true;
	l->path_dev = st.st_dev;
	l->path_ino = st.st_ino;
}

int sockets_open_unix(struct listen_sockets *l, const struct conf *c,
    const struct user *u, char err[ERR_MAX])
{
	struct listen_socket *at;
	int fd, rc;

	if (c->socket_path == NULL || has_kind(l, true, false))
		return 0;
	rc = unix_open(c, u, &fd, err);
	if (fd >= 0) {
		at = add_listener(l, "socketPath", c->socket_path, 0, false);
		at->fd = fd;
		at->is_open = at->is_unix = true;
		remember_path(l, c);
	}
	return rc;
}

/* --- serving --- */

static void hand_over(struct listen_sockets *l, struct listen_socket *at)
{
	http_server_listen(
	    l->server, at->fd, at->is_unix, at->is_tls ? l->tls : NULL);
	at->fd = -1;
}

/* Opens all that can be opened and passes it to the server; true if others are
 * to be tried again. */
static bool serve_all(struct listen_sockets *l)
{
	struct listen_socket *at;
	bool waits = false;
	char err[ERR_MAX];

	for (at = l->a; at < l->a + l->n; at++) {
		if (at->is_tls && l->tls == NULL)
			continue;
		if (!at->is_open && open_one(at, err) < 0) {
			log_debug("%s", err);
			waits = waits || !is_lacking(at, errno);
			continue;
		}
		if (at->fd >= 0)
			hand_over(l, at);
	}
	return waits;
}

static void on_retry(void *arg)
{
	struct listen_sockets *l = arg;

	if (!serve_all(l))
		return;
	l->pause_ms *= 2;
	if (l->pause_ms > RETRY_MAX_MS)
		l->pause_ms = RETRY_MAX_MS;
	loop_timer_set(l->loop, &l->retry, l->pause_ms);
}

void sockets_serve(struct listen_sockets *l, struct loop *loop,
    struct http_server *server, struct tls_ctx *tls)
{
	l->loop = loop;
	l->server = server;
	l->tls = tls;
	l->pause_ms = RETRY_MIN_MS;
	loop_timer_init(&l->retry, on_retry, l);
	if (serve_all(l))
		loop_timer_set(loop, &l->retry, l->pause_ms);
}

void sockets_set_tls(struct listen_sockets *l, struct tls_ctx *tls)
{
	if (l->server == NULL)
		return;
	http_server_set_tls(l->server, tls);
	l->tls = tls;
	if (serve_all(l) && !loop_timer_is_set(&l->retry))
		loop_timer_set(l->loop, &l->retry, l->pause_ms);
}

void sockets_quiesce(struct listen_sockets *l)
{
	loop_timer_clear(l->loop, &l->retry);
	l->server = NULL;
}

void sockets_close(struct listen_sockets *l, const struct conf *c)
{
	struct stat st;

	if (l->loop != NULL)
		loop_timer_clear(l->loop, &l->retry);
	while (l->n > 0)
		if (l->a[--l->n].fd >= 0)
			close(l->a[l->n].fd);
	/* Another daemon may have made its own there. */
	if (l->own_path && lstat(c->socket_path, &st) == 0 &&
	    st.st_dev == l->path_dev && st.st_ino == l->path_ino)
		unlink(c->socket_path);
}

/* --- what a start would find --- */

/* Binds without listening, which does not disturb anybody.  0: it could listen
 * there, or does. */
static int check_tcp(const struct conf *c, const struct listen_socket *at,
    const struct daemon_now *now, bool lives,
    void (*warn)(const char *sentence))
{
	char why[ERR_MAX], err[ERR_MAX];
	int fd = io_bind_tcp(at->addr, at->port, why);
	bool may_be_ours =
	    fd < 0 && errno == EADDRINUSE && now->runs &&
	    !(at->is_tls ? now->tls_port_is_taken : now->port_is_taken);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (is_lacking(at, errno))
		return -1;
	if ((may_be_ours && lives) ||
	    (errno == EACCES && c->user != NULL)) /* bound by root */
		return 0;
	err_set(err, "%s: %s%s", at->key, why,
	    may_be_ours ? ": if that is not the running xapsd, ss -ltnp "
			  "names the program"
			: cure(at, errno));
	warn(err);
	return may_be_ours ? 0 : -1;
}

static void add_words(char line[ERR_MAX], const char *addr, int port)
{
	size_t n = strlen(line);

	snprintf(line + n, ERR_MAX - n, port == 0 ? "%s%s" : "%s%s port %d",
	    n > 0 ? ", " : "", addr, port);
}

/* err: what the start would say if that is another xapsd. */
static void warn_of_socket(
    void (*warn)(const char *sentence), const char err[ERR_MAX])
{
	char line[ERR_MAX];

	if (access("/run/systemd/system", F_OK) == 0)
		return; /* xapsd.socket */
	err_set(
	    line, "%s, unless a service manager holds it for this one", err);
	warn(line);
}

int daemon_check_listeners(const struct conf *c, const struct daemon_now *now,
    void (*warn)(const char *sentence), char line[ERR_MAX])
{
	struct listen_sockets l = { 0 };
	char err[ERR_MAX];
	bool lives = false;
	size_t i;

	line[0] = '\0';
	plan(&l, c);
	if (reach_check_text(c, err) < 0 || check_any(&l, c, err) < 0 ||
	    (c->socket_path != NULL && unix_check(c, warn, &lives, err) < 0)) {
		err_set(line, "%s", err);
		return -1;
	}
	if (lives && !now->runs)
		warn_of_socket(warn, err);
	if (c->socket_path != NULL)
		add_words(line, c->socket_path, 0);
	for (i = 0; i < l.n; i++)
		if (check_tcp(c, &l.a[i], now, lives, warn) == 0)
			add_words(line, l.a[i].addr, l.a[i].port);
	return line[0] != '\0' ? 0 : fail_all(line);
}
