/* io/listen.c - listening sockets, TCP and Unix. */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"
#include "mem.h"

/* After a restart all IMAP processes connect at once; connect() to a Unix
 * socket with a full backlog fails with EAGAIN. */
#define BACKLOG 1024

/* Connections accepted before others get their turn. */
#define ACCEPT_TURN 64

/* Out of descriptors or memory: trying at once again would only spin. */
#define ACCEPT_PAUSE_MS 100
#define ACCEPT_WARN_MS 60000

struct io_listener {
	struct loop *loop;
	struct loop_fd f;
	struct loop_timer pause;
	bool held;
	/* Clients get no descriptor from this number on (the kernel assigns the
	 * lowest free one): the rest is for Apple's connection and for
	 * files. */
	int max_fd;
	int64_t warned_ms; /* when the last warning was logged; 0 never */
	io_accept_cb *cb;
	void *arg;
};

/* --- making them --- */

static int fail_bind(
    const char *addr, int port, int fd, int code, char err[ERR_MAX])
{
	err_set(err, "cannot listen on %s port %d: %s", addr, port,
	    err_words(code));
	if (fd >= 0)
		close(fd);
	errno = code; /* the caller may forgive EAFNOSUPPORT */
	return -1;
}

int io_bind_tcp(const char *addr, int port, char err[ERR_MAX])
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	};
	struct addrinfo *a = NULL;
	char service[8];
	int fd, one = 1, code = 0;

	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(addr, service, &hints, &a) != 0) {
		err_set(err,
		    "cannot listen on %s: not an IP address of this machine",
		    addr);
		errno = EADDRNOTAVAIL; /* the interface after % is missing */
		return -1;
	}
	fd =
	    socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (fd < 0 || bind(fd, a->ai_addr, a->ai_addrlen) < 0)
		code = errno;
	freeaddrinfo(a);
	return code != 0 ? fail_bind(addr, port, fd, code, err) : fd;
}

int io_listen_tcp(const char *addr, int port, char err[ERR_MAX])
{
	int fd = io_bind_tcp(addr, port, err);

	if (fd >= 0 && listen(fd, BACKLOG) < 0)
		return fail_bind(addr, port, fd, errno, err);
	return fd;
}

/* The socket's folder is often on a tmpfs, empty after every boot. */
static int open_parent(const char *path)
{
	char *copy = xstrdup(path), *dir = dirname(copy);
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && mkdir(dir, 0755) == 0)
		fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	else if (fd < 0 && errno == EEXIST)
		errno = ENOENT; /* a link that leads nowhere */
	free(copy);
	return fd;
}

/* No socket can be made there. */
static void fail_place(const char *path, int code, char err[ERR_MAX])
{
	char *copy = xstrdup(path);
	const char *dir = dirname(copy);

	if (code == ENOENT || (access(dir, F_OK) < 0 && errno == ENOENT))
		err_set(err,
		    "cannot listen on %s: the folder %s does not exist, and "
		    "the start cannot make it: make the folder %s, or set "
		    "socketPath",
		    path, dir, dir);
	else if (code == EACCES || code == EPERM)
		err_set(err,
		    "cannot listen on %s: the user may not make a socket in "
		    "%s: %s: give the folder to the user, or set socketPath",
		    path, dir, err_words(code));
	else
		err_set(err,
		    "cannot listen on %s: %s: see to the folder %s, or set "
		    "socketPath",
		    path, err_words(code), dir);
	free(copy);
}

static int fail_exists(const char *path, char err[ERR_MAX])
{
	err_set(err,
	    "cannot listen on %s: it exists and is not a socket; "
	    "remove it or change socketPath",
	    path);
	errno = EEXIST;
	return -1;
}

/* code 0: a process listens on the socket there. */
static int fail_socket(const char *path, int code, char err[ERR_MAX])
{
	if (code == 0)
		err_set(err,
		    "cannot listen on %s: another xapsd is running there: "
		    "" ERR_SECOND,
		    path);
	else /* not ours to remove */
		err_set(err, "cannot listen on %s: the socket there: %s", path,
		    err_words(code));
	errno = code;
	return -1;
}

/* What connecting to the socket with that type gives: 0 or errno. */
static int try_connect(const struct sockaddr_un *sun, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc, code;

	if (fd < 0)
		return ENOENT;
	rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	code = rc == 0 ? 0 : errno;
	close(fd);
	return code;
}

/* Removes the socket file of a daemon that has died; -1 if it is in use. */
static int remove_stale(
    const char *path, const struct sockaddr_un *sun, char err[ERR_MAX])
{
	struct stat st;
	int code;

	if (lstat(sun->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return fail_exists(path, err);
	code = try_connect(sun, SOCK_STREAM);
	if (code == ENOENT ||
	    (code == ECONNREFUSED && unlink(sun->sun_path) == 0))
		return 0;
	if (code == ECONNREFUSED)
		code = errno;
	return fail_socket(path, code == EAGAIN ? 0 : code, err);
}

/* In the working directory; -1 with err set, or with errno set and err "". */
static int bind_here(
    const char *path, const char *name, unsigned mode, char err[ERR_MAX])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, rc, code;

	err[0] = '\0';
	if (*name == '\0') {
		errno = EISDIR;
		return -1;
	}
	memcpy(sun.sun_path, name, strlen(name));
	if (remove_stale(path, &sun, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* The file is made with its mode: no chmod, which follows links, and
	 * no default ACL can widen it. */
	old = umask(~(mode_t)mode & 0777);
	if (fchmod(fd, (mode_t)mode) < 0)
		log_debug("fchmod: %s", err_words(errno));
	rc = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	if (rc == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

int io_chown_socket(const char *path, uid_t uid, gid_t gid)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), rc = -1, code;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		;
	else if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		errno = EEXIST; /* somebody put another file there */
	else if ((uid == (uid_t)-1 || uid == st.st_uid) &&
		 (gid == (gid_t)-1 || gid == st.st_gid))
		rc = 0;
	else
		rc = fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
	code = errno;
	close(fd);
	errno = code;
	return rc;
}

/* Opens the folder once and works inside it, so that nobody can replace a part
 * of the path meanwhile. */
int io_listen_unix(const char *path, unsigned mode, char err[ERR_MAX])
{
	const struct sockaddr_un *sun = NULL;
	const char *slash = strrchr(path, '/');
	int here, dir, fd = -1, code;

	if (strlen(path) >= sizeof(sun->sun_path)) {
		err_set(err,
		    "cannot listen on %s: the path is longer than "
		    "%zu bytes",
		    path, sizeof(sun->sun_path) - 1);
		errno = ENAMETOOLONG;
		return -1;
	}
	err[0] = '\0';
	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	dir = here < 0 ? -1 : open_parent(path);
	if (dir >= 0 && fchdir(dir) == 0) {
		fd = bind_here(
		    path, slash != NULL ? slash + 1 : path, mode, err);
		code = errno;
		if (fchdir(here) < 0)
			log_warn("cannot go back to the working directory: %s",
			    err_words(errno));
		errno = code;
	}
	code = errno;
	if (fd < 0 && err[0] == '\0')
		fail_place(path, code, err);
	if (dir >= 0)
		close(dir);
	if (here >= 0)
		close(here);
	errno = code;
	return fd;
}

/* --- what io_listen_unix() would find --- */

static int may(const char *path)
{
	return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS);
}

/* Whether the folder can be written to, or made. */
static int may_use(const char *dir)
{
	struct stat st;
	char *copy;
	int rc = may(dir);

	if (rc < 0 && errno == ENOENT && lstat(dir, &st) < 0) {
		copy = xstrdup(dir);
		rc = may(dirname(copy));
		free(copy);
	}
	return rc;
}

/* In a sticky folder only its owner or the file's may remove the file. */
static int may_remove(const char *dir, const struct stat *file)
{
	uid_t uid = geteuid();
	struct stat st;

	if (uid == 0 || uid == file->st_uid || stat(dir, &st) < 0 ||
	    (st.st_mode & S_ISVTX) == 0 || uid == st.st_uid)
		return 0;
	errno = EPERM;
	return -1;
}

static int check_unix(const char *path, const char *dir, char err[ERR_MAX])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	int code;

	err[0] = '\0';
	if (path[strlen(path) - 1] == '/') {
		errno = EISDIR;
		return -1;
	}
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? may_use(dir) : -1;
	if (!S_ISSOCK(st.st_mode))
		return fail_exists(path, err);
	memcpy(sun.sun_path, path, strlen(path));
	/* A listener of another type does not notice the attempt. */
	code = try_connect(&sun, SOCK_DGRAM);
	if (code == EPROTOTYPE)
		return fail_socket(path, 0, err);
	if (code == ECONNREFUSED) {
		if (may(dir) == 0 && may_remove(dir, &st) == 0)
			return 0;
		code = errno;
	}
	return fail_socket(path, code, err);
}

int io_check_unix(const char *path, char err[ERR_MAX])
{
	char *copy = xstrdup(path);
	int rc = check_unix(path, dirname(copy), err), code = errno;

	free(copy);
	if (rc < 0 && err[0] == '\0')
		fail_place(path, code, err);
	errno = code;
	return rc;
}

/* --- accepting --- */

void io_listener_set_max_fd(struct io_listener *li, int n)
{
	li->max_fd = n;
}

static void pause_accepting(struct io_listener *li, int why)
{
	int64_t now_ms = loop_now_ms(li->loop);

	if (li->warned_ms == 0 || now_ms - li->warned_ms >= ACCEPT_WARN_MS) {
		log_warn("accept: %s: new clients wait; raise the limit of "
			 "open files or lower maxConnections",
		    err_words(why));
		li->warned_ms = now_ms;
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
		if (fd >= li->max_fd) {
			close(fd);
			pause_accepting(li, EMFILE);
			return;
		}
		if (fd >= 0) {
			li->cb(li, fd, li->arg);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			pause_accepting(li, errno);
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
	li->max_fd = INT_MAX;
	li->cb = cb;
	li->arg = arg;
	loop_timer_init(&li->pause, on_pause_over, li);
	if (loop_fd_add(l, &li->f, fd, LOOP_READ, on_readable, li) < 0)
		log_error("listen: epoll: %s", err_words(errno));
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
