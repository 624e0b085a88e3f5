/* daemon/sockets.c - the daemon's doors. */
#include "daemon/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf.h"
#include "io.h"
#include "daemon/systemd.h"

/* --- who may reach us --- */

static bool is_loopback(const char *addr)
{
	return strcmp(addr, "localhost") == 0 || strcmp(addr, "::1") == 0 ||
	       strncmp(addr, "127.", 4) == 0;
}

static bool has_password(const struct conf *c)
{
	return c->http_user != NULL &&
	       (c->http_password != NULL || c->http_password_file != NULL);
}

/* Whoever can register can read nothing, but can make us push: it takes a
 * password, and the password takes TLS. */
static int check_address(const struct conf *c, const char *key,
    const char *addr, bool is_tls, char err[ERR_MAX])
{
	if (c->allow_insecure || is_loopback(addr))
		return 0;
	if (!is_tls)
		conf_blame(c, key, err,
		    "%s can be reached from other machines without "
		    "encryption: use the tlsListenAddr keys, or set "
		    "allowInsecure: yes",
		    addr);
	else if (!has_password(c))
		conf_blame(c, key, err,
		    "%s can be reached from other machines: set httpUser and "
		    "httpPassword, or allowInsecure: yes",
		    addr);
	else
		return 0;
	return -1;
}

static const char *tls_addr(const struct conf *c)
{
	return c->tls_listen_addr != NULL ? c->tls_listen_addr : "localhost";
}

int listen_check_exposure(const struct conf *c, char err[ERR_MAX])
{
	if (c->port != 0 &&
	    check_address(c, "listenAddr", c->listen_addr, false, err) < 0)
		return -1;
	if (c->tls_certfile != NULL && c->tls_port != 0)
		return check_address(
		    c, "tlsListenAddr", tls_addr(c), true, err);
	return 0;
}

/* --- handed over --- */

static void keep(struct listeners *l, int fd, bool is_unix, bool is_tls)
{
	l->a[l->n].fd = fd;
	l->a[l->n].is_unix = is_unix;
	l->a[l->n++].is_tls = is_tls;
}

static int take_one(
    struct listeners *l, const struct conf *c, int fd, char err[ERR_MAX])
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_storage any;
	} u = { 0 };
	char addr[INET6_ADDRSTRLEN] = "";
	socklen_t len = sizeof(u);
	int listening = 0, port;
	socklen_t opt_len = sizeof(listening);
	bool is_tls;

	if (getsockname(fd, &u.sa, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &opt_len) <
		0 ||
	    !listening) {
		err_set(err,
		    "socket activation: descriptor %d is no listening stream "
		    "socket",
		    fd);
		return -1;
	}
	if (u.sa.sa_family == AF_UNIX) {
		keep(l, fd, true, false);
		return 0;
	}
	if (u.sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &u.in.sin_addr, addr, sizeof(addr));
	else
		inet_ntop(AF_INET6, &u.in6.sin6_addr, addr, sizeof(addr));
	/* The port stands at the same place in both. */
	port = ntohs(u.in.sin_port);
	is_tls = c->tls_certfile != NULL && port == c->tls_port;
	keep(l, fd, false, is_tls);
	return check_address(
	    c, is_tls ? "tlsListenAddr" : "listenAddr", addr, is_tls, err);
}

static int take_over(
    struct listeners *l, const struct conf *c, char err[ERR_MAX])
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

static bool has_kind(const struct listeners *l, bool is_unix, bool is_tls)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (l->a[i].is_unix == is_unix && l->a[i].is_tls == is_tls)
			return true;
	return false;
}

/* --- our own --- */

static int open_tcp(struct listeners *l, const char *addr, int port,
    bool is_tls, char err[ERR_MAX])
{
	int fd, fd6;

	if (strcmp(addr, "localhost") != 0) {
		fd = io_listen_tcp(addr, port, err);
		if (fd >= 0)
			keep(l, fd, false, is_tls);
		return fd < 0 ? -1 : 0;
	}
	fd = io_listen_tcp("127.0.0.1", port, err);
	if (fd < 0)
		return -1;
	keep(l, fd, false, is_tls);
	/* A kernel without IPv6 is fine. */
	fd6 = io_listen_tcp("::1", port, err);
	if (fd6 >= 0)
		keep(l, fd6, false, is_tls);
	else if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
		return -1;
	return 0;
}

static int set_group(const struct conf *c, char err[ERR_MAX])
{
	const struct group *g = getgrnam(c->socket_group);

	if (g == NULL) {
		conf_blame(c, "socketGroup", err,
		    "there is no group %s: make one, or leave this out",
		    c->socket_group);
		return -1;
	}
	if (chown(c->socket_path, (uid_t)-1, g->gr_gid) < 0) {
		conf_blame(c, "socketGroup", err,
		    "cannot give %s to group %s: %s", c->socket_path,
		    c->socket_group, strerror(errno));
		return -1;
	}
	return 0;
}

static int open_unix(
    struct listeners *l, const struct conf *c, char err[ERR_MAX])
{
	int fd = io_listen_unix(c->socket_path, c->socket_mode, err);

	if (fd < 0)
		return -1;
	keep(l, fd, true, false);
	l->own_path = true;
	return c->socket_group != NULL ? set_group(c, err) : 0;
}

int listen_open(struct listeners *l, const struct conf *c, char err[ERR_MAX])
{
	if (listen_check_exposure(c, err) < 0 || take_over(l, c, err) < 0)
		return -1;
	if (c->socket_path != NULL && !has_kind(l, true, false) &&
	    open_unix(l, c, err) < 0)
		return -1;
	if (c->port != 0 && !has_kind(l, false, false) &&
	    open_tcp(l, c->listen_addr, c->port, false, err) < 0)
		return -1;
	if (c->tls_certfile != NULL && c->tls_port != 0 &&
	    !has_kind(l, false, true) &&
	    open_tcp(l, tls_addr(c), c->tls_port, true, err) < 0)
		return -1;
	if (l->n > 0)
		return 0;
	err_set(err, "nothing to listen on: set socketPath or port");
	return -1;
}

void listen_close(struct listeners *l)
{
	while (l->n > 0)
		close(l->a[--l->n].fd);
}
