/* daemon/sockets.c - the daemon's listeners. */
#include "daemon/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf.h"
#include "daemon.h"
#include "daemon/systemd.h"
#include "daemon/user.h"
#include "http.h"
#include "io.h"
#include "mem.h"

/* Pauses between attempts to open what another program has, or what has no
 * address yet. */
#define AGAIN_MIN_MS 1000
#define AGAIN_MAX_MS 15000

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage any;
};

/* --- who may reach us --- */

static bool is_loopback(const union address *u)
{
	const struct in6_addr *a = &u->in6.sin6_addr;

	if (u->sa.sa_family == AF_INET)
		return ntohl(u->in.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(a) ||
	       (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

/* An address as it is written in the configuration; a zone may stand behind. */
static bool parse_address(const char *text, union address *u)
{
	char bare[INET6_ADDRSTRLEN];
	size_t n = strcspn(text, "%");

	memset(u, 0, sizeof(*u));
	if (n >= sizeof(bare))
		return false;
	memcpy(bare, text, n);
	bare[n] = '\0';
	u->sa.sa_family = AF_INET;
	if (text[n] == '\0' && inet_pton(AF_INET, bare, &u->in.sin_addr) == 1)
		return true;
	u->sa.sa_family = AF_INET6;
	return inet_pton(AF_INET6, bare, &u->in6.sin6_addr) == 1;
}

static bool has_password(const struct conf *c)
{
	return c->http_user != NULL &&
	       (c->http_password != NULL || c->http_password_file != NULL);
}

/* Whoever can register can read nothing, but can make us push: it takes a
 * password, and the password takes TLS. */
static int check_far(const struct conf *c, const char *key, const char *where,
    bool is_tls, char err[ERR_MAX])
{
	if (c->allow_insecure)
		return 0;
	if (!is_tls)
		conf_blame(c, key, err,
		    "%s can be reached from other machines without "
		    "encryption: use the tlsListenAddr keys, or set "
		    "allowInsecure: yes",
		    where);
	else if (!has_password(c))
		conf_blame(c, key, err,
		    "%s can be reached from other machines: set httpUser and "
		    "httpPassword, or allowInsecure: yes",
		    where);
	else
		return 0;
	return -1;
}

static int check_address(const struct conf *c, const char *key,
    const char *text, bool is_tls, char err[ERR_MAX])
{
	union address u;

	if (strcmp(text, "localhost") == 0)
		return 0;
	if (!parse_address(text, &u) ||
	    strlen(text) >= LISTENER_NAME_MAX - sizeof(" port 65535")) {
		conf_blame(c, key, err,
		    "%s is not an IP address: write one, or localhost", text);
		return -1;
	}
	return is_loopback(&u) ? 0 : check_far(c, key, text, is_tls, err);
}

static const char *tls_addr(const struct conf *c)
{
	return c->tls_listen_addr != NULL ? c->tls_listen_addr : "localhost";
}

int listen_check_text(const struct conf *c, char err[ERR_MAX])
{
	if (c->socket_path != NULL &&
	    strlen(c->socket_path) >=
		sizeof(((struct sockaddr_un *)0)->sun_path)) {
		conf_blame(c, "socketPath", err,
		    "is longer than the %zu bytes that a socket may have",
		    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		return -1;
	}
	if (c->port != 0 &&
	    check_address(c, "listenAddr", c->listen_addr, false, err) < 0)
		return -1;
	if (c->tls_certfile != NULL && c->tls_port != 0)
		return check_address(
		    c, "tlsListenAddr", tls_addr(c), true, err);
	return 0;
}

int listen_check_reload(
    const struct listeners *l, const struct conf *fresh, char err[ERR_MAX])
{
	const struct listener_at *at;
	char where[LISTENER_NAME_MAX + 32];

	for (at = l->a; at < l->a + l->n; at++) {
		snprintf(where, sizeof(where), "%s port %d is open and",
		    at->addr, at->port);
		if (at->is_far &&
		    check_far(fresh, at->key, where, at->is_tls, err) < 0)
			return -1;
	}
	return 0;
}

/* --- handed over --- */

static struct listener_at *add(struct listeners *l, const char *key,
    const char *addr, int port, bool is_tls)
{
	struct listener_at *at = &l->a[l->n++];

	*at = (struct listener_at){
		.fd = -1, .key = key, .port = port, .is_tls = is_tls
	};
	snprintf(at->addr, sizeof(at->addr), "%s", addr);
	return at;
}

static bool is_listening(int fd, union address *u, socklen_t *len)
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

static int take_unix(struct listeners *l, const struct conf *c, int fd,
    const union address *u, socklen_t len, char err[ERR_MAX])
{
	struct listener_at *at = add(l, "socketPath", u->un.sun_path, 0, false);

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
    struct listeners *l, const struct conf *c, int fd, char err[ERR_MAX])
{
	union address u = { 0 };
	char addr[INET6_ADDRSTRLEN] = "";
	socklen_t len = sizeof(u);
	struct listener_at *at;
	int port;
	bool is_tls;

	if (!is_listening(fd, &u, &len)) {
		err_set(err,
		    "socket activation: descriptor %d is no listening stream "
		    "socket",
		    fd);
		return -1;
	}
	if (u.sa.sa_family == AF_UNIX)
		return take_unix(l, c, fd, &u, len, err);
	if (u.sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &u.in.sin_addr, addr, sizeof(addr));
	else
		inet_ntop(AF_INET6, &u.in6.sin6_addr, addr, sizeof(addr));
	/* The port stands at the same place in both. */
	port = ntohs(u.in.sin_port);
	is_tls = c->tls_certfile != NULL && port == c->tls_port;
	at =
	    add(l, is_tls ? "tlsListenAddr" : "listenAddr", addr, port, is_tls);
	at->fd = fd;
	at->is_open = true;
	at->is_far = !is_loopback(&u);
	return at->is_far ? check_far(c, at->key, addr, is_tls, err) : 0;
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

/* --- our own: TCP --- */

static void plan_tcp(struct listeners *l, const char *key, const char *addr,
    int port, bool is_tls)
{
	struct listener_at *at;
	union address u;

	if (strcmp(addr, "localhost") == 0) {
		add(l, key, "127.0.0.1", port, is_tls);
		at = add(l, key, "::1", port, is_tls);
		at->may_lack = true;
		return;
	}
	at = add(l, key, addr, port, is_tls);
	at->is_far = !parse_address(addr, &u) || !is_loopback(&u);
}

static void plan(struct listeners *l, const struct conf *c)
{
	if (c->port != 0 && !has_kind(l, false, false))
		plan_tcp(l, "listenAddr", c->listen_addr, c->port, false);
	if (c->tls_certfile != NULL && c->tls_port != 0 &&
	    !has_kind(l, false, true))
		plan_tcp(l, "tlsListenAddr", tls_addr(c), c->tls_port, true);
}

static const char *cure(int error)
{
	switch (error) {
	case EADDRINUSE:
		return ": another program has it, perhaps another daemon of "
		       "this kind: `ss -ltnp` names it";
	case EADDRNOTAVAIL:
		return ": this machine does not have this address, or not yet";
	case EACCES:
		return ": ports below 1024 take root's rights at the start";
	default:
		return "";
	}
}

static bool is_lacking(const struct listener_at *at, int error)
{
	return at->may_lack &&
	       (error == EAFNOSUPPORT || error == EADDRNOTAVAIL);
}

/* 0, or -1 with err and errno set. */
static int open_one(struct listener_at *at, char err[ERR_MAX])
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
	err_set(err, "%s: %s%s", at->key, why, cure(code));
	errno = code;
	return -1;
}

int listen_open(
    struct listeners *l, const struct conf *c, bool has_tls, char err[ERR_MAX])
{
	struct listener_at *at;

	if (listen_check_text(c, err) < 0 || take_over(l, c, err) < 0)
		return -1;
	plan(l, c);
	if (l->n == 0 && c->socket_path == NULL) {
		err_set(err, "nothing to listen on: set socketPath or port");
		return -1;
	}
	for (at = l->a; at < l->a + l->n; at++) {
		at->failed = at->is_tls && !has_tls;
		if (at->is_open || at->failed || open_one(at, err) == 0)
			continue;
		if (is_lacking(at, errno))
			*at-- = l->a[--l->n];
		else
			log_error("%s; it is tried again until it works", err);
	}
	return 0;
}

/* --- our own: the Unix socket --- */

/* The group of the socket, -1 for that of the user.  False with err set: there is
 * no such group.  Where packages have made a group for it, that is the default. */
static bool find_group(const struct conf *c, gid_t *gid_r, char err[ERR_MAX])
{
	const char *name =
	    c->socket_group != NULL ? c->socket_group : SOCKET_GROUP;
	const struct group *g = getgrnam(name);

	*gid_r = g != NULL ? g->gr_gid : (gid_t)-1;
	if (g != NULL || c->socket_group == NULL)
		return true;
	conf_blame(c, "socketGroup", err,
	    "there is no group %s: make one, or leave this out", name);
	return false;
}

/* As root: makes the socket's folder (/run is empty after a boot) and gives it to
 * the user, where nobody can lay another one in its place. */
static void make_folder(const struct user *u, const char *path)
{
	char *folder = xstrdup(path), *end = strrchr(folder, '/'), *in;
	char real[PATH_MAX];
	int n;

	if (end == NULL || end == folder)
		goto out;
	*end = '\0';
	in = user_roots_folder(folder);
	end = strrchr(folder, '/');
	n = in == NULL || end == NULL
		? -1
		: snprintf(real, sizeof(real), "%s/%s", in, end + 1);
	free(in);
	if (n > 0 && n < (int)sizeof(real) && mkdir(real, 0755) == 0 &&
	    lchown(real, u->uid, u->gid) < 0)
		log_warn("%s: cannot give it to %s: %s", real, u->name,
		    strerror(errno));
out:
	free(folder);
}

/* Root's own folder, where the user may not make a socket: root does, as nobody
 * else can change anything there. */
static int open_as_root(
    const struct conf *c, const struct user *u, gid_t gid, char err[ERR_MAX])
{
	const char *slash = strrchr(c->socket_path, '/');
	char *folder = user_roots_folder(c->socket_path), path[PATH_MAX];
	int fd = -1;

	if (folder == NULL || slash == NULL)
		goto out;
	snprintf(path, sizeof(path), "%s/%s", folder, slash + 1);
	fd = io_listen_unix(path, c->socket_mode, err);
	if (fd >= 0 &&
	    io_give_socket(path, u->uid, gid != (gid_t)-1 ? gid : u->gid) < 0)
		log_warn("%s: cannot give it to %s: %s", path, u->name,
		    strerror(errno));
out:
	free(folder);
	return fd;
}

/* The socket has this group already if root made it. */
static int give_to_group(const struct conf *c, gid_t gid, char err[ERR_MAX])
{
	if (gid == (gid_t)-1 ||
	    io_give_socket(c->socket_path, (uid_t)-1, gid) == 0)
		return 0;
	if (c->socket_group == NULL) {
		log_warn("%s: cannot give it to the group %s (%s): is the "
			 "user a member?",
		    c->socket_path, SOCKET_GROUP, strerror(errno));
		return 0;
	}
	conf_blame(c, "socketGroup", err,
	    "cannot give %s to group %s: %s: the daemon's user must be a "
	    "member (usermod -aG)",
	    c->socket_path, c->socket_group, strerror(errno));
	return -1;
}

static void remember_path(struct listeners *l, const struct conf *c)
{
	struct stat st;

	if (lstat(c->socket_path, &st) < 0)
		return;
	l->own_path = true;
	l->path_dev = st.st_dev;
	l->path_ino = st.st_ino;
}

static int open_path(struct listeners *l, const struct conf *c,
    const struct user *u, char err[ERR_MAX])
{
	struct listener_at *at;
	char why[ERR_MAX];
	gid_t gid;
	int fd, rc = 0, code;

	if (!find_group(c, &gid, err))
		return -1;
	if (u->drops)
		make_folder(u, c->socket_path);
	user_enter(u, gid);
	fd = io_listen_unix(c->socket_path, c->socket_mode, why);
	code = errno;
	if (fd >= 0)
		rc = give_to_group(c, gid, why);
	user_leave(u);
	if (fd < 0 && (code == EACCES || code == EPERM) && u->drops)
		fd = open_as_root(c, u, gid, why);
	if (fd >= 0) {
		at = add(l, "socketPath", c->socket_path, 0, false);
		at->fd = fd;
		at->is_open = at->is_unix = true;
		remember_path(l, c);
	}
	if (fd >= 0 && rc == 0)
		return 0;
	err_set(err, "%s", why);
	return -1;
}

int listen_open_unix(struct listeners *l, const struct conf *c,
    const struct user *u, char err[ERR_MAX])
{
	size_t i;

	if (c->socket_path != NULL && !has_kind(l, true, false) &&
	    open_path(l, c, u, err) < 0)
		return -1;
	for (i = 0; i < l->n; i++)
		if (l->a[i].is_open)
			return 0;
	err_set(err, "no listener could be opened: the lines above say why");
	return -1;
}

/* --- serving --- */

static void give_away(struct listeners *l, struct listener_at *at)
{
	http_server_listen(
	    l->server, at->fd, at->is_unix, at->is_tls ? l->tls : NULL);
	at->fd = -1;
}

/* Opens and gives away what can be; true if there is something to wait for. */
static bool serve_all(struct listeners *l)
{
	struct listener_at *at;
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
			give_away(l, at);
	}
	return waits;
}

static void on_again(void *arg)
{
	struct listeners *l = arg;

	if (!serve_all(l))
		return;
	l->pause_ms *= 2;
	if (l->pause_ms > AGAIN_MAX_MS)
		l->pause_ms = AGAIN_MAX_MS;
	loop_timer_set(l->loop, &l->again, l->pause_ms);
}

void listen_serve(struct listeners *l, struct loop *loop,
    struct http_server *server, struct tls_ctx *tls)
{
	l->loop = loop;
	l->server = server;
	l->tls = tls;
	l->pause_ms = AGAIN_MIN_MS;
	loop_timer_init(&l->again, on_again, l);
	if (serve_all(l))
		loop_timer_set(loop, &l->again, l->pause_ms);
}

void listen_set_tls(struct listeners *l, struct tls_ctx *tls)
{
	if (l->server == NULL)
		return;
	http_server_set_tls(l->server, tls);
	l->tls = tls;
	if (serve_all(l) && !loop_timer_is_set(&l->again))
		loop_timer_set(l->loop, &l->again, l->pause_ms);
}

void listen_quiesce(struct listeners *l)
{
	loop_timer_clear(l->loop, &l->again);
	l->server = NULL;
}

void listen_close(struct listeners *l, const struct conf *c)
{
	struct stat st;

	if (l->loop != NULL)
		loop_timer_clear(l->loop, &l->again);
	while (l->n > 0)
		if (l->a[--l->n].fd >= 0)
			close(l->a[l->n].fd);
	/* Another daemon may have made its own there. */
	if (l->own_path && lstat(c->socket_path, &st) == 0 &&
	    st.st_dev == l->path_dev && st.st_ino == l->path_ino)
		unlink(c->socket_path);
}

/* --- what the start would find --- */

static bool is_member(gid_t gid)
{
	int n = getgroups(0, NULL);
	gid_t *groups = xcalloc((size_t)(n > 0 ? n : 0) + 1, sizeof(*groups));
	bool found = getegid() == gid || geteuid() == 0;

	n = getgroups(n, groups);
	while (n-- > 0)
		found = found || groups[n] == gid;
	free(groups);
	return found;
}

static int check_group(const struct conf *c, char err[ERR_MAX])
{
	gid_t gid;

	if (!find_group(c, &gid, err))
		return -1;
	/* Root sets any, before it becomes the user. */
	if (c->socket_group == NULL || c->user != NULL || is_member(gid))
		return 0;
	conf_blame(c, "socketGroup", err,
	    "the user is not in the group %s, and could not give it the "
	    "socket: usermod -aG %s %s",
	    c->socket_group, c->socket_group, SERVICE_USER);
	return -1;
}

static int check_folder(
    const struct conf *c, void (*warn)(const char *sentence), char err[ERR_MAX])
{
	char *folder = xstrdup(c->socket_path), *end = strrchr(folder, '/');
	char *roots =
	    c->user != NULL ? user_roots_folder(c->socket_path) : NULL;
	const char *dir = end == folder ? "/" : end == NULL ? "." : folder;
	int rc = 0;

	if (end != NULL)
		*end = '\0';
	if (access(dir, F_OK) < 0) {
		err_set(err,
		    "socketPath: the folder %s is not there: it is made at the "
		    "start if the daemon may do so",
		    dir);
		warn(err);
	} else if (roots == NULL &&
		   faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) < 0) {
		conf_blame(c, "socketPath", err,
		    "the user may not make a socket in %s: %s", dir,
		    strerror(errno));
		rc = -1;
	}
	free(roots);
	free(folder);
	return rc;
}

/* *there_r: there is a socket, so probably a daemon that has the ports, too. */
static int check_path(const struct conf *c, void (*warn)(const char *sentence),
    bool *there_r, char err[ERR_MAX])
{
	struct stat st;

	*there_r = false;
	if (check_group(c, err) < 0)
		return -1;
	if (lstat(c->socket_path, &st) < 0)
		return check_folder(c, warn, err);
	*there_r = S_ISSOCK(st.st_mode);
	if (*there_r)
		return 0;
	conf_blame(c, "socketPath", err,
	    "%s exists and is no socket: remove it or change this",
	    c->socket_path);
	return -1;
}

/* Binds without listening, which disturbs nobody.  0: it could listen there, or
 * does. */
static int check_tcp(const struct conf *c, const struct listener_at *at,
    bool runs, void (*warn)(const char *sentence))
{
	char why[ERR_MAX], err[ERR_MAX];
	int fd = io_bind_tcp(at->addr, at->port, why);
	bool in_use;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (is_lacking(at, errno))
		return -1;
	if ((errno == EADDRINUSE && runs) ||
	    (errno == EACCES && c->user != NULL)) /* bound by root */
		return 0;
	in_use = errno == EADDRINUSE;
	if (in_use)
		err_set(err,
		    "%s: %s: if that is not the xapsd that runs, `ss -ltnp` "
		    "names the program",
		    at->key, why);
	else
		err_set(err, "%s: %s%s", at->key, why, cure(errno));
	warn(err);
	return in_use ? 0 : -1;
}

static void add_words(char line[ERR_MAX], const char *addr, int port)
{
	size_t n = strlen(line);

	if (port == 0)
		snprintf(
		    line + n, ERR_MAX - n, "%s%s", n > 0 ? ", " : "", addr);
	else
		snprintf(line + n, ERR_MAX - n, "%s%s port %d",
		    n > 0 ? ", " : "", addr, port);
}

int daemon_check_listeners(const struct conf *c,
    void (*warn)(const char *sentence), char line[ERR_MAX])
{
	struct listeners l = { 0 };
	char err[ERR_MAX];
	bool runs = false;
	size_t i;

	line[0] = '\0';
	plan(&l, c);
	if (listen_check_text(c, err) < 0 ||
	    (c->socket_path != NULL && check_path(c, warn, &runs, err) < 0)) {
		err_set(line, "%s", err);
		return -1;
	}
	if (c->socket_path != NULL)
		add_words(line, c->socket_path, 0);
	for (i = 0; i < l.n; i++)
		if (check_tcp(c, &l.a[i], runs, warn) == 0)
			add_words(line, l.a[i].addr, l.a[i].port);
	if (line[0] != '\0')
		return 0;
	if (l.n == 0)
		err_set(line, "nothing to listen on: set socketPath or port");
	else
		err_set(line, "there is none that could be opened now");
	return -1;
}
