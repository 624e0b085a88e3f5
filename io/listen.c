/* io/listen.c - listening sockets, TCP and Unix. */
#include "io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libgen.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"
#include "loop.h"

/* All IMAP processes come back at once after a restart; a full backlog of a Unix
 * socket answers EAGAIN. */
#define BACKLOG 1024

/* Taken from the backlog before others get their turn. */
#define ACCEPT_TURN 64

/* Out of descriptors or memory: trying at once again would only spin. */
#define ACCEPT_PAUSE_MS 100
#define ACCEPT_COMPLAIN_MS 60000

struct io_listener {
	struct loop *loop;
	struct loop_fd f;
	struct loop_timer pause;
	bool held;
	int64_t complained_ms; /* when the last complaint was logged; 0 never */
	io_accept_cb *cb;
	void *arg;
};

/* --- making them --- */

int io_listen_tcp(const char *addr, int port, char err[ERR_MAX])
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	};
	struct addrinfo *a = NULL;
	char service[8];
	int fd = -1, one = 1, rc;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(addr, service, &hints, &a);
	if (rc != 0) {
		err_set(err, "cannot listen on %s: not an IP address", addr);
		return -1;
	}
	fd =
	    socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		goto fail;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		goto fail;
	freeaddrinfo(a);
	return fd;
fail:
	rc = errno;
	err_set(
	    err, "cannot listen on %s port %d: %s", addr, port, strerror(rc));
	if (fd >= 0)
		close(fd);
	freeaddrinfo(a);
	errno = rc; /* the caller may forgive EAFNOSUPPORT */
	return -1;
}

/* The socket's folder is often on a tmpfs, empty after every boot. */
static void make_parent(const char *path)
{
	char *copy = xstrdup(path);

	mkdir(dirname(copy), 0755);
	free(copy);
}

/* Removes the socket file of a daemon that died; -1 if one lives. */
static int remove_stale(const struct sockaddr_un *sun, char err[ERR_MAX])
{
	struct stat st;
	int fd, rc;

	if (lstat(sun->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		err_set(err,
		    "cannot listen on %s: it exists and is no socket; "
		    "remove it or change socketPath",
		    sun->sun_path);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	close(fd);
	if (rc == 0 || errno == EAGAIN) {
		err_set(err,
		    "cannot listen on %s: another xapsd is running "
		    "there",
		    sun->sun_path);
		return -1;
	}
	unlink(sun->sun_path);
	return 0;
}

int io_listen_unix(const char *path, unsigned mode, char err[ERR_MAX])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, rc;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		err_set(err,
		    "cannot listen on %s: the path is longer than "
		    "%zu bytes",
		    path, sizeof(sun.sun_path) - 1);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path));
	make_parent(path);
	if (remove_stale(&sun, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err_set(err, "socket: %s", strerror(errno));
		return -1;
	}
	/* Nobody may connect before the mode and group are right. */
	old = umask(0777);
	rc = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	if (rc < 0 || chmod(path, (mode_t)mode) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		err_set(err, "cannot listen on %s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* --- accepting --- */

static void take_breath(struct io_listener *li)
{
	int64_t now_ms = loop_now_ms(li->loop);

	if (li->complained_ms == 0 ||
	    now_ms - li->complained_ms >= ACCEPT_COMPLAIN_MS) {
		log_warn("accept: %s: new clients wait; raise the limit of "
			 "open files or lower maxConnections",
		    strerror(errno));
		li->complained_ms = now_ms;
	}
	loop_fd_mod(li->loop, &li->f, 0);
	loop_timer_set(li->loop, &li->pause, ACCEPT_PAUSE_MS);
}

static void on_pause_over(void *arg)
{
	struct io_listener *li = arg;

	if (!li->held)
		loop_fd_mod(li->loop, &li->f, LOOP_READ);
}

void io_listener_hold(struct io_listener *li, bool hold)
{
	if (li->held == hold)
		return;
	li->held = hold;
	if (!loop_timer_is_set(&li->pause))
		loop_fd_mod(li->loop, &li->f, hold ? 0 : LOOP_READ);
}

static void on_readable(void *arg, unsigned events)
{
	struct io_listener *li = arg;
	int fd, turn;

	(void)events;
	for (turn = 0; turn < ACCEPT_TURN && li->f.fd >= 0 && !li->held;
	     turn++) {
		fd =
		    accept4(li->f.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			li->cb(li, fd, li->arg);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			take_breath(li);
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

struct io_listener *io_listen(
    struct loop *l, int fd, io_accept_cb *cb, void *arg)
{
	struct io_listener *li = xcalloc(1, sizeof(*li));

	li->loop = l;
	li->f.fd = -1;
	li->cb = cb;
	li->arg = arg;
	loop_timer_init(&li->pause, on_pause_over, li);
	if (loop_fd_add(l, &li->f, fd, LOOP_READ, on_readable, li) < 0)
		log_error("listen: epoll: %s", strerror(errno));
	return li;
}

void io_listener_free(struct io_listener *li)
{
	int fd;

	if (li == NULL)
		return;
	fd = li->f.fd;
	loop_timer_clear(li->loop, &li->pause);
	loop_fd_del(li->loop, &li->f);
	if (fd >= 0)
		close(fd);
	loop_defer_free(li->loop, li, free);
}
