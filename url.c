/* url.c - takes the address of a service apart. */
#include "url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"

static int fail(char err[ERR_MAX], const char *why)
{
	err_set(err, "%s", why);
	return -1;
}

/* [host] or host, lower-cased; *p is left after it. */
static int read_host(const char **p, struct url *u, char err[ERR_MAX])
{
	bool ip6 = **p == '[';
	const char *from = *p + ip6;
	size_t n = text_span(from, ip6 ? ":." : "-._"), i;

	if (n == 0 || n > URL_HOST_MAX || (ip6 && from[n] != ']'))
		return fail(err, "names no host, or one that cannot be: write "
				 "https://HOST/…");
	for (i = 0; i < n; i++)
		u->host[i] = text_lower(from[i]);
	u->host[n] = '\0';
	*p = from + n + ip6;
	return 0;
}

static int read_port(const char **p, struct url *u, char err[ERR_MAX])
{
	int standard = u->tls ? 443 : 80;
	size_t n;

	u->port = standard;
	if (**p == ':') {
		n = strspn(++*p, "0123456789");
		u->port = n > 0 && n <= 5 ? atoi(*p) : 0;
		*p += n;
	}
	if (u->port < 1 || u->port > 65535)
		return fail(err, "has a port that is none: use 1 to 65535");
	snprintf(u->authority, sizeof(u->authority),
	    u->port != standard ? "%s%s%s:%d" : "%s%s%s",
	    strchr(u->host, ':') ? "[" : "", u->host,
	    strchr(u->host, ':') ? "]" : "", u->port);
	return 0;
}

static const char *check_chars(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("\"<>\\^`|", *p) != NULL)
			return "holds a character that must be "
			       "percent-encoded in a URL (a blank is %20)";
		else if (*p == '#')
			return "has a #fragment, which is never sent: leave it "
			       "out, or write %23";
	return (size_t)(p - (const unsigned char *)text) > URL_MAX
		   ? "is too long"
		   : NULL;
}

int url_parse(const char *text, struct url *u_r, char err[ERR_MAX])
{
	const char *p = text, *why = check_chars(text), *at;

	if (why != NULL)
		return fail(err, why);
	u_r->tls = strncasecmp(p, "https://", 8) == 0;
	if (!u_r->tls && strncasecmp(p, "http://", 7) != 0)
		return fail(err, "does not begin with https:// or http://");
	p += 7 + u_r->tls;
	at = strpbrk(p, "@/?");
	if (at != NULL && *at == '@')
		return fail(err, "has a user name or password in it: leave it "
				 "out (a header or token can have it)");
	if (read_host(&p, u_r, err) < 0 || read_port(&p, u_r, err) < 0)
		return -1;
	if (*p != '\0' && *p != '/')
		return fail(err, *p == '?' ? "has no / before the ?"
					   : "names no host, or one that "
					     "cannot be: write https://HOST/…");
	u_r->path = *p != '\0' ? p : "/";
	return 0;
}
