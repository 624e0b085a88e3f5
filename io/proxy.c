/* io/proxy.c - the way through an HTTP proxy: its URL, CONNECT, the answer. */
#include "io/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "text.h"

/* Bytes of all heads of an answer: proxies send a few hundred, with long Via
 * or Set-Cookie lines a few thousand.  A body is not read. */
#define ANSWER_MAX 8192

/* In struct io_tunnel.offered. */
#define OFFERS_BASIC 1
#define OFFERS_OTHER 2

/* --- the URL --- */

/* user[:password] of the length given, percent-encoded.  The first colon ends the
 * user's name (RFC 7617), which can hold none. */
static bool read_login(struct io_proxy *p, const char *s, size_t len)
{
	char *plain = xmalloc(len + 2), *out = plain;
	const char *end = s + len, *colon = NULL;
	int c = ' ', low;

	for (; s < end && c >= ' '; s++) {
		c = (unsigned char)*s;
		if (c == ':' && colon == NULL) {
			colon = s;
		} else if (c == '%') {
			c = text_hex_digit(s[1]);
			low = c < 0 ? -1 : text_hex_digit(s[2]);
			c = low < 0 ? -1 : c << 4 | low;
			if (c == 0x7f || (c == ':' && colon == NULL))
				c = -1;
			s += 2;
		}
		*out++ = (char)c;
	}
	if (colon == NULL)
		*out++ = ':';
	if (c >= ' ') {
		p->login = xmalloc(TEXT_BASE64_SIZE(len + 1));
		text_base64_write(
		    plain, (size_t)(out - plain), false, p->login);
	}
	mem_wipe(plain, len + 2);
	free(plain);
	return c >= ' ';
}

/* host:port of the length given. */
static bool read_address(struct io_proxy *p, const char *text, size_t len)
{
	char *colon, *end;
	long port;

	p->name = xstrndup(text, len);
	p->host = xstrndup(text, len);
	colon = strrchr(p->host, ':');
	if (colon == NULL || colon == p->host || colon[1] < '0' ||
	    colon[1] > '9' || strpbrk(p->host, " /?#%\\\t") != NULL)
		return false;
	port = strtol(colon + 1, &end, 10);
	*colon = '\0';
	p->port = (int)port;
	/* An IPv6 address without brackets: where would its port begin? */
	return *end == '\0' && port > 0 && port <= 65535 &&
	       (p->host[0] == '[') == (strchr(p->host, ':') != NULL) &&
	       (p->host[0] == '[') == (colon[-1] == ']');
}

static const char *read_url(struct io_proxy *p, const char *url)
{
	static const char form[] =
	    "write http://host:port or http://user:password@host:port (the "
	    "port is often 3128 or 8080; in user and password % is %25, : is "
	    "%3A)";
	static const char scheme[] = "http://";
	const char *text = url + sizeof(scheme) - 1, *at;
	size_t len;

	if (strncasecmp(url, scheme, sizeof(scheme) - 1) != 0)
		return strstr(url, "://") == NULL
			   ? form
			   : "only plain HTTP proxies are supported, neither "
			     "https:// nor SOCKS: write http://host:port";
	/* A password may hold an '@' or a '/', a host may not. */
	at = strrchr(text, '@');
	if (at != NULL && !read_login(p, text, (size_t)(at - text)))
		return form;
	text = at != NULL ? at + 1 : text;
	len = strlen(text);
	if (len > 0 && text[len - 1] == '/')
		len--;
	return read_address(p, text, len) ? NULL : form;
}

struct io_proxy *io_proxy_new(const char *url, char err[ERR_MAX])
{
	struct io_proxy *p = xcalloc(1, sizeof(*p));
	const char *wrong = read_url(p, url);

	if (wrong == NULL)
		return p;
	err_set(err, "%s", wrong);
	io_proxy_free(p);
	return NULL;
}

void io_proxy_free(struct io_proxy *p)
{
	if (p == NULL)
		return;
	mem_free_wiped(p->login);
	free(p->name);
	free(p->host);
	free(p);
}

const char *io_proxy_name(const struct io_proxy *p)
{
	return p->name;
}

/* --- the request --- */

struct io_tunnel *io_tunnel_new(
    const struct io_proxy *proxy, const char *host, int port)
{
	struct io_tunnel *t = xcalloc(1, sizeof(*t));
	bool ip6 = strchr(host, ':') != NULL && host[0] != '[';
	const char *login = proxy->login != NULL ? proxy->login : "";
	size_t n = strlen(host) + sizeof("[]:65535");

	t->has_login = proxy->login != NULL;
	t->target = xmalloc(n);
	snprintf(t->target, n, ip6 ? "[%s]:%d" : "%s:%d", host, port);
	n = 2 * n + strlen(login) + 80; /* 80: the rest of it */
	t->request = xmalloc(n);
	t->len = (size_t)snprintf(t->request, n,
	    "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", t->target,
	    t->target, t->has_login ? "Proxy-Authorization: Basic " : "", login,
	    t->has_login ? "\r\n" : "");
	return t;
}

void io_tunnel_free(struct io_tunnel *t)
{
	if (t == NULL)
		return;
	mem_free_wiped(t->request);
	free(t->target);
	free(t);
}

/* --- the answer --- */

static const char *explain_login(const struct io_tunnel *t)
{
	if (t->offered == OFFERS_OTHER)
		return "it takes no Basic authentication, and xapsd knows no "
		       "other: allow that, or this machine without";
	return t->has_login ? "it refuses user or password of apnsProxy"
			    : "it wants user and password: write "
			      "http://user:password@host:port";
}

static enum io_tunnel_state check_status(
    const struct io_tunnel *t, char err[ERR_MAX])
{
	const char *why = "is it an HTTP proxy? Check host and port";

	if (t->status / 100 == 2)
		return IO_TUNNEL_OPEN;
	/* tinyproxy says 401 */
	if (t->status == 407 || t->status == 401) {
		err_set(err, "%s (%d)", explain_login(t), t->status);
		return IO_TUNNEL_REFUSED;
	}
	if (t->status == 403)
		why = "it forbids this: allow it in its configuration";
	else if (t->status >= 500 && t->status != 501)
		why = "it cannot get there: its log says why";
	err_set(
	    err, "it answers %d to CONNECT %s: %s", t->status, t->target, why);
	return IO_TUNNEL_REFUSED;
}

/* The only headers of interest: ways to authenticate. */
static void read_header(struct io_tunnel *t)
{
	static const char name[] = "proxy-authenticate:";

	if (strncasecmp(t->line, name, sizeof(name) - 1) == 0)
		t->offered |=
		    strcasestr(t->line, "basic") ? OFFERS_BASIC : OFFERS_OTHER;
}

static enum io_tunnel_state refuse(char err[ERR_MAX], const char *why)
{
	err_set(err, "%s", why);
	return IO_TUNNEL_REFUSED;
}

/* Of "HTTP/1.1 200 OK", three digits; else 0. */
static int read_status(const char *line, size_t n)
{
	static const char digits[] = "0123456789";

	if (n < 12 || line[8] != ' ' || strspn(line + 9, digits) != 3 ||
	    strchr(" \r", line[12]) == NULL)
		return 0;
	return atoi(line + 9);
}

static enum io_tunnel_state end_line(struct io_tunnel *t, char err[ERR_MAX])
{
	size_t n = t->n;

	t->line[n] = '\0';
	t->n = 0;
	if (t->status == 0) {
		t->status = read_status(t->line, n);
		if (t->status < 100)
			return refuse(err, "its answer is not HTTP");
	} else if (n > 1 || t->line[0] != (n > 0 ? '\r' : '\0')) {
		read_header(t);
	} else if (t->status / 100 != 1 || t->status == 101) {
		return check_status(t, err);
	} else {
		t->status = 0; /* an interim answer */
	}
	return IO_TUNNEL_MORE;
}

static enum io_tunnel_state take(struct io_tunnel *t, char c, char err[ERR_MAX])
{
	static const char start[] = "HTTP/1.";

	if (++t->taken > ANSWER_MAX)
		return refuse(err, "its answer is longer than 8 KiB");
	if (t->status == 0 && t->n < sizeof(start) - 1 && c != start[t->n])
		return refuse(err,
		    "its answer is not HTTP: check host and port, which must "
		    "be the one without TLS");
	if (c == '\n')
		return end_line(t, err);
	if (t->n < sizeof(t->line) - 1)
		t->line[t->n++] = c;
	return IO_TUNNEL_MORE;
}

enum io_tunnel_state io_tunnel_feed(struct io_tunnel *t, const char *p,
    size_t len, size_t *used_r, char err[ERR_MAX])
{
	enum io_tunnel_state state = IO_TUNNEL_MORE;
	size_t i;

	if (len == 0)
		state = refuse(err,
		    t->taken > 0 ? "it closed the connection in the middle of "
				   "its answer"
				 : "it closed the connection without an "
				   "answer: does it let this machine in, and "
				   "is this its port for plain HTTP?");
	for (i = 0; i < len && state == IO_TUNNEL_MORE; i++)
		state = take(t, p[i], err);
	*used_r = i;
	return state;
}
