/* xaps-unix.c - one HTTP request over a Unix socket. */

#include "lib.h"
#include "http-client.h"
#include "http-header.h"
#include "http-response-parser.h"
#include "ioloop.h"
#include "istream.h"
#include "net.h"
#include "ostream.h"
#include "compat.h"
#include "xaps-unix.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* xapsd's headers are a few lines. */
#define XAPS_HEADER_MAX 8192
#define XAPS_HEADER_FIELDS_MAX 50

struct xaps_unix {
	int fd;
	struct istream *input;
	struct ostream *output;
	struct http_response_parser *parser;
	struct io *io;
	struct timeout *to;
	char *error;
	bool patient, was_unread;

	xaps_unix_callback_t *callback;
	void *context;
};

static void xaps_unix_fail(
    struct xaps_unix *un, unsigned int status, const char *reason)
{
	struct http_response response;

	timeout_remove(&un->to);
	io_remove(&un->io);
	http_response_init(&response, status, reason);
	un->callback(&response, un->context);
}

static void xaps_unix_refused(struct xaps_unix *un)
{
	xaps_unix_fail(
	    un, HTTP_CLIENT_REQUEST_ERROR_CONNECT_FAILED, t_strdup(un->error));
}

/* TRUE while the daemon has not read the request: on Unix sockets SIOCOUTQ
   counts bytes that the other end has not read. */
static bool xaps_unix_is_unread(const struct xaps_unix *un)
{
	int unread;

	if (o_stream_get_buffer_used_size(un->output) > 0)
		return TRUE;
	return ioctl(un->fd, SIOCOUTQ, &unread) == 0 && unread > 0;
}

bool xaps_unix_has_answer(struct xaps_unix *un)
{
	struct http_response response;
	const char *error;
	int ret;

	if (un->io == NULL)
		return FALSE;
	do {
		ret = http_response_parse_next(un->parser,
		    HTTP_RESPONSE_PAYLOAD_TYPE_ALLOWED, &response, &error);
	} while (ret > 0 && response.status / 100 == 1);

	if (ret > 0) {
		timeout_remove(&un->to);
		io_remove(&un->io);
		un->callback(&response, un->context);
	} else if (un->input->eof || un->input->stream_errno != 0) {
		xaps_unix_fail(un, HTTP_CLIENT_REQUEST_ERROR_CONNECTION_LOST,
		    "Connection lost before an answer");
	} else if (ret < 0) {
		xaps_unix_fail(
		    un, HTTP_CLIENT_REQUEST_ERROR_BAD_RESPONSE, error);
	} else {
		return FALSE;
	}
	return TRUE;
}

static void xaps_unix_input(struct xaps_unix *un)
{
	(void)xaps_unix_has_answer(un);
}

static void xaps_unix_timeout(struct xaps_unix *un)
{
	bool was_unread = un->was_unread;

	/* Timers come first: this process may be late, not the daemon. */
	if (xaps_unix_has_answer(un))
		return;
	/* The timeout repeats: it counts from when the request is read. */
	un->was_unread = un->patient && xaps_unix_is_unread(un);
	if (un->was_unread || was_unread)
		return;
	xaps_unix_fail(
	    un, HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT, "Request timed out");
}

static const char *xaps_unix_request(const char *path, const char *json)
{
	if (json == NULL)
		return t_strdup_printf("GET %s HTTP/1.1\r\n"
				       "Host: localhost\r\n"
				       "Connection: close\r\n\r\n",
		    path);
	return t_strdup_printf("POST %s HTTP/1.1\r\n"
			       "Host: localhost\r\n"
			       "Content-Type: application/json\r\n"
			       "Content-Length: %zu\r\n"
			       "Connection: close\r\n\r\n%s",
	    path, strlen(json), json);
}

static const char *xaps_unix_connect_error(const char *socket_path)
{
	if (errno == EAGAIN)
		return t_strdup_printf(
		    "connect(%s) failed: its queue is full", socket_path);
	return t_strdup_printf("connect(%s) failed: %m", socket_path);
}

struct xaps_unix *xaps_unix_post(const char *socket_path, const char *path,
    const char *json, unsigned int timeout_msecs, bool patient,
    xaps_unix_callback_t *callback, void *context)
{
	const struct http_header_limits limits = {
		.max_size = XAPS_HEADER_MAX,
		.max_field_size = XAPS_HEADER_MAX,
		.max_fields = XAPS_HEADER_FIELDS_MAX,
	};
	struct xaps_unix *un = i_new(struct xaps_unix, 1);

	un->callback = callback;
	un->context = context;
	un->patient = patient;
	un->fd = net_connect_unix(socket_path);
	if (un->fd == -1) {
		un->error = i_strdup(xaps_unix_connect_error(socket_path));
		un->to = timeout_add_short(0, xaps_unix_refused, un);
		return un;
	}
	un->input = i_stream_create_fd(un->fd, XAPS_HEADER_MAX);
	un->output = o_stream_create_fd(un->fd, SIZE_MAX);
	un->parser = http_response_parser_init(un->input, &limits, 0);
	un->io = io_add_istream(un->input, xaps_unix_input, un);
	un->to = timeout_add(timeout_msecs, xaps_unix_timeout, un);
	/* Failures are reported at the input. */
	o_stream_set_no_error_handling(un->output, TRUE);
	o_stream_nsend_str(un->output, xaps_unix_request(path, json));
	return un;
}

bool xaps_unix_is_sent(const struct xaps_unix *un)
{
	return un->fd != -1 && un->output->stream_errno == 0 &&
	       o_stream_get_buffer_used_size(un->output) == 0;
}

bool xaps_unix_send_only(
    const char *socket_path, const char *path, const char *json)
{
	const char *request = xaps_unix_request(path, json);
	size_t len = strlen(request);
	bool sent;
	int fd;

	fd = net_connect_unix(socket_path);
	if (fd == -1)
		return FALSE;
	sent = send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
	net_disconnect(fd);
	return sent;
}

void xaps_unix_free(struct xaps_unix **_un)
{
	struct xaps_unix *un = *_un;

	if (un == NULL)
		return;
	*_un = NULL;
	timeout_remove(&un->to);
	io_remove(&un->io);
	if (un->fd != -1) {
		http_response_parser_deinit(&un->parser);
		i_stream_destroy(&un->input);
		o_stream_destroy(&un->output);
		net_disconnect(un->fd);
	}
	i_free(un->error);
	i_free(un);
}

void xaps_unix_switch_ioloop(struct xaps_unix *un)
{
	if (un->to != NULL)
		un->to = io_loop_move_timeout(&un->to);
	if (un->fd == -1)
		return;
	if (un->io != NULL)
		un->io = io_loop_move_io(&un->io);
	i_stream_switch_ioloop(un->input);
	o_stream_switch_ioloop(un->output);
}
