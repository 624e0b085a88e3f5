/* http/reply.c - composes answers, ours to malformed requests included. */
#include "http/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "io.h"
#include "log.h"
#include "text.h"

static const char status_texts[] = "200 OK\0"
				   "202 Accepted\0"
				   "204 No Content\0"
				   "400 Bad Request\0"
				   "401 Unauthorized\0"
				   "403 Forbidden\0"
				   "404 Not Found\0"
				   "405 Method Not Allowed\0"
				   "408 Request Timeout\0"
				   "409 Conflict\0"
				   "413 Content Too Large\0"
				   "417 Expectation Failed\0"
				   "431 Request Header Fields Too Large\0"
				   "500 Internal Server Error\0"
				   "501 Not Implemented\0"
				   "503 Service Unavailable\0"
				   "505 HTTP Version Not Supported\0";

/* With the number before it. */
static const char *status_text(int status)
{
	const char *s = status_texts;

	while (*s != '\0' && atoi(s) != status)
		s = text_next(s);
	return s;
}

static char *put(char *p, const void *data, size_t n)
{
	memcpy(p, data, n);
	return p + n;
}

#define PUT(p, text) put(p, text, sizeof(text) - 1)

static char *put_number(char *p, size_t n)
{
	char digits[24];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	return put(p, digits + i, sizeof(digits) - i);
}

/* Bytes of our own part of a head at most: status line and header lines. */
#define OWN_HEAD_MAX 192

void http_compose(struct http_conn *c, int status, const char *type,
    const char *extra, const void *body, size_t len)
{
	struct buf *out = io_out(c->io);
	const char *reason = status_text(status);
	size_t type_len = type ? strlen(type) : 0;
	size_t extra_len = extra ? strlen(extra) : 0;
	char *start, *p;

	start =
	    (char *)buf_reserve(out, OWN_HEAD_MAX + type_len + extra_len + len);
	if (start == NULL) { /* beyond OUT_MAX */
		c->close = true;
		return;
	}
	p = PUT(start, "HTTP/1.1 ");
	p = put(p, reason, strlen(reason));
	if (status != 204) { /* RFC 9110 8.6 */
		p = PUT(p, "\r\nContent-Length: ");
		p = put_number(p, len);
	}
	if (type != NULL) {
		p = PUT(p, "\r\nContent-Type: ");
		p = put(p, type, type_len);
	}
	if (c->close)
		p = PUT(p, "\r\nConnection: close");
	else if (c->http10)
		p = PUT(p, "\r\nConnection: keep-alive");
	p = PUT(p, "\r\n");
	p = put(p, extra ? extra : "", extra_len);
	p = PUT(p, "\r\n");
	if (!c->is_head && status != 204)
		p = put(p, body ? body : "", len);
	buf_added(out, (size_t)(p - start));
}

void http_compose_line(struct http_conn *c, const char *text)
{
	struct buf *out = io_out(c->io);

	if (!buf_add_str(out, text) || !buf_add(out, "\r\n", 2))
		c->close = true;
}

void http_conn_refuse(struct http_conn *c, int status, const char *reason)
{
	char text[128];
	int n;

	log_debug("http: request refused: %d %s", status, reason);
	c->close = true;
	if (c->is_line) {
		snprintf(text, sizeof(text), "ERROR %s", reason);
		http_compose_line(c, text);
	} else {
		n = snprintf(text, sizeof(text), "%s\n", reason);
		http_compose(c, status, "text/plain", NULL, text, (size_t)n);
	}
	http_conn_linger(c);
}

void http_conn_give_way(struct http_conn *c, const char *why)
{
	if (c->state == HTTP_CONN_HEAD || c->state == HTTP_CONN_BODY)
		http_conn_refuse(c, 503, why);
	else
		http_conn_close(c);
}
