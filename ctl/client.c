/* ctl/client.c - one HTTP request to the daemon, over its Unix socket; blocking. */
#include "ctl/int.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf.h"
#include "features.h"
#include "mem.h"

/* A test push takes up to 15 s; a daemon that is silent for longer hangs. */
#define ANSWER_S 30

#define CHUNK 65536

static enum ctl_asked fail_unreachable(
    const char *path, const char *command, int code, char err[ERR_MAX])
{
	switch (code) {
	case ENOENT:
	case ECONNREFUSED:
		err_set(err,
		    "xapsd is not running: nobody answers at %s (socketPath); "
		    "start it first%s",
		    path,
		    features_lack("systemd") == NULL
			? " (systemctl start xapsd)"
			: "");
		return CTL_NOT_RUNNING;
	case EACCES:
	case EPERM:
		err_set(err,
		    "you may not use %s: run this as root: sudo xapsd %s", path,
		    command);
		return CTL_FAILED;
	default:
		err_set(err, "cannot reach xapsd: %s (socketPath): %s", path,
		    err_words(code));
		return CTL_FAILED;
	}
}

static int new_socket(int family)
{
	const struct timeval limit = { .tv_sec = ANSWER_S };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	}
	return fd;
}

static enum ctl_asked dial(
    const struct conf *conf, const char *command, int *fd_r, char err[ERR_MAX])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = conf->socket_path;
	int fd;

	if (path == NULL) {
		err_set(err, "socketPath is empty: set it, else this command "
			     "cannot reach the daemon");
		return CTL_NOT_RUNNING;
	}
	if (strlen(path) >= sizeof(addr.sun_path)) {
		err_set(err, "socketPath: %s is too long", path);
		return CTL_FAILED;
	}
	strcpy(addr.sun_path, path);
	fd = new_socket(AF_UNIX);
	if (fd < 0)
		return fail_unreachable(path, command, errno, err);
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		const int code = errno;

		close(fd);
		return fail_unreachable(path, command, code, err);
	}
	*fd_r = fd;
	return CTL_ANSWERED;
}

/* The TCP listener, which may be on all addresses: connecting to 0.0.0.0 or :: is
 * connecting to this machine. */
static enum ctl_asked dial_tcp(
    const struct conf *conf, int *fd_r, char err[ERR_MAX])
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	const char *host = strcasecmp(conf->listen_addr, "localhost") == 0
			       ? "127.0.0.1"
			       : conf->listen_addr;
	struct addrinfo *a = NULL;
	char service[8];
	int code = EADDRNOTAVAIL;

	*fd_r = -1;
	snprintf(service, sizeof(service), "%d", conf->port);
	if (getaddrinfo(host, service, &hints, &a) == 0) {
		*fd_r = new_socket(a->ai_family);
		if (*fd_r >= 0 &&
		    connect(*fd_r, a->ai_addr, a->ai_addrlen) == 0)
			code = 0;
		else
			code = errno;
		freeaddrinfo(a);
	}
	if (code == 0)
		return CTL_ANSWERED;
	if (*fd_r >= 0)
		close(*fd_r);
	err_set(err, "xapsd is not running: nobody answers at %s port %d: %s",
	    host, conf->port, err_words(code));
	return CTL_NOT_RUNNING;
}

static int send_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	ssize_t k;

	while (n > 0) {
		k = send(fd, p, n, MSG_NOSIGNAL);
		if (k < 0 && errno != EINTR)
			return -1;
		if (k > 0) {
			p += k;
			n -= (size_t)k;
		}
	}
	return 0;
}

static int send_request(int fd, const char *path, const struct buf *body)
{
	char head[256];
	size_t len = body != NULL ? body->len : 0;

	snprintf(head, sizeof(head),
	    "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    body != NULL ? "POST" : "GET", path, len);
	if (send_all(fd, head, strlen(head)) < 0)
		return -1;
	return len > 0 ? send_all(fd, buf_head(body), len) : 0;
}

/* All until the end of the stream. */
static int receive(int fd, struct buf *in)
{
	unsigned char *p;
	ssize_t k;

	for (;;) {
		p = buf_reserve(in, CHUNK);
		if (p == NULL) {
			errno = EMSGSIZE;
			return -1;
		}
		k = read(fd, p, CHUNK);
		if (k == 0)
			return 0;
		if (k < 0 && errno != EINTR)
			return -1;
		if (k > 0)
			buf_added(in, (size_t)k);
	}
}

/* Leaves the body in `in`; the status, or -1 if it is not whole. */
static int split_answer(struct buf *in)
{
	static const char version[] = "HTTP/1.1 ";
	const char *length, *end;
	size_t head_len;
	int status;

	if (!buf_add_byte(in, '\0'))
		return -1;
	end = strstr((const char *)buf_head(in), "\r\n\r\n");
	if (end == NULL ||
	    strncmp((const char *)buf_head(in), version, strlen(version)) != 0)
		return -1;
	/* Not sscanf(): it would be 10 KB for this one number. */
	status = atoi((const char *)buf_head(in) + strlen(version));
	if (status < 100)
		return -1;
	head_len = (size_t)(end - (const char *)buf_head(in)) + 4;
	length = strstr((const char *)buf_head(in), "Content-Length: ");
	if (length != NULL && length < end &&
	    strtoull(length + 16, NULL, 10) != in->len - 1 - head_len)
		return -1;
	buf_consume(in, head_len);
	in->len--; /* the NUL stays after it */
	return status;
}

/* Closes fd. */
static enum ctl_asked exchange(const struct conf *conf, int fd,
    const char *path, const struct buf *body, int *status_r, struct buf *body_r,
    char err[ERR_MAX])
{
	const char *at = conf->socket_path != NULL ? conf->socket_path : "port";
	enum ctl_asked asked = CTL_ANSWERED;

	/* A daemon that refuses answers before it has read all. */
	if ((send_request(fd, path, body) < 0 && errno != EPIPE) ||
	    receive(fd, body_r) < 0) {
		err_set(err, "%s: %s", at,
		    errno == EAGAIN ? "xapsd does not answer: see its log, or "
				      "restart it"
				    : err_words(errno));
		asked = CTL_FAILED;
	} else {
		*status_r = split_answer(body_r);
		if (*status_r < 0) {
			err_set(err,
			    "%s: what listens there is not xapsd, or "
			    "it ended meanwhile",
			    at);
			asked = CTL_FAILED;
		}
	}
	close(fd);
	return asked;
}

enum ctl_asked ctl_ask(const struct conf *conf, const char *command,
    const char *path, const struct buf *body, int *status_r, struct buf *body_r,
    char err[ERR_MAX])
{
	enum ctl_asked asked;
	int fd;

	buf_reset(body_r);
	if (body != NULL && body->failed) {
		err_set(err, "a name that was typed is too long");
		return CTL_FAILED;
	}
	asked = dial(conf, command, &fd, err);
	return asked != CTL_ANSWERED
		   ? asked
		   : exchange(conf, fd, path, body, status_r, body_r, err);
}

enum ctl_asked ctl_ask_health(const struct conf *conf, int *status_r,
    struct buf *body_r, char err[ERR_MAX])
{
	enum ctl_asked asked;
	int fd;

	if (conf->socket_path == NULL && conf->port == 0) {
		err_set(
		    err, "healthcheck asks at socketPath or at port: set one");
		return CTL_FAILED;
	}
	buf_reset(body_r);
	asked = conf->socket_path != NULL ? dial(conf, "healthcheck", &fd, err)
					  : dial_tcp(conf, &fd, err);
	return asked != CTL_ANSWERED ? asked
				     : exchange(conf, fd, "/healthz", NULL,
					   status_r, body_r, err);
}

/* --- what it answered --- */

const char *ctl_str(const struct json *j, const struct json_tok *obj,
    const char *key, char *out, size_t size)
{
	if (json_string(j, json_get(j, obj, key), out, size) < 0)
		out[0] = '\0';
	return out;
}

int64_t ctl_num(
    const struct json *j, const struct json_tok *obj, const char *key)
{
	int64_t v;

	return json_int(j, json_get(j, obj, key), &v) ? v : 0;
}

void ctl_take_refusal(const struct buf *body, char err[ERR_MAX])
{
	const char *text = (const char *)buf_head(body);
	size_t len = strcspn(text, "\n");

	err_set(err, "%.*s", (int)len, text);
	if (len == 0)
		err_set(err, "the daemon refuses without a reason");
}
