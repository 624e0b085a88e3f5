/* url.c - http:// and https:// URLs, split. */
#include "url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HTTP_PORT 80
#define HTTPS_PORT 443

/* Others read a '\\' as '/', or what is not ASCII as something that is: here they
 * are refused before anybody has to agree on them. */
static const char host_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";

static const char *read_ip6(const char *text, size_t len)
{
	char ip[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (text[len - 1] != ']' || len - 2 >= sizeof(ip))
		return "the address in brackets is none";
	memcpy(ip, text + 1, len - 2);
	ip[len - 2] = '\0';
	return inet_pton(AF_INET6, ip, &addr) == 1
		   ? NULL
		   : "the address in brackets is no IPv6 address";
}

static const char *read_host(struct url *u, const char *text, size_t len)
{
	size_t i;

	if (len > 1 && text[len - 1] == '.')
		len--;
	if (len == 0)
		return "the host is missing";
	if (len > URL_HOST_MAX)
		return "the host's name is too long";
	for (i = 0; i < len; i++)
		u->host[i] = (char)(text[i] >= 'A' && text[i] <= 'Z'
					? text[i] + ('a' - 'A')
					: text[i]);
	u->host[len] = '\0';
	if (u->host[0] == '[')
		return read_ip6(u->host, len);
	if (strspn(u->host, host_chars) != len)
		return "the host has a character that no name has (a name that "
		       "is not ASCII is written as xn--...)";
	return u->host[0] == '.' || u->host[len - 1] == '.' ||
		       strstr(u->host, "..") != NULL
		   ? "the host's name has an empty part"
		   : NULL;
}

/* Digits, or nothing: that of the scheme. */
static const char *read_port(struct url *u, const char *text, size_t len)
{
	size_t i;

	if (len == 0)
		return NULL;
	u->port = 0;
	for (i = 0; i < len && u->port <= 65535; i++) {
		if (text[i] < '0' || text[i] > '9')
			return "the port is not a number";
		u->port = u->port * 10 + (text[i] - '0');
	}
	return u->port > 0 && u->port <= 65535
		   ? NULL
		   : "the port is not from 1 to 65535";
}

static const char *read_authority(struct url *u, const char *text, size_t len)
{
	size_t bracket = text[0] == '[' ? strcspn(text, "]") : 0, n;
	const char *wrong;

	if (memchr(text, '@', len) != NULL)
		return "user and password have no place before the host: they "
		       "go into a header";
	if (bracket > 0 && bracket >= len)
		return "the bracket ] is missing";
	for (n = bracket; n < len && text[n] != ':'; n++)
		;
	wrong = read_host(u, text, n);
	return wrong == NULL && n < len
		   ? read_port(u, text + n + 1, len - n - 1)
		   : wrong;
}

static const char *read_path(struct url *u, const char *text)
{
	u->path = text;
	u->path_len = strcspn(text, "#");
	if (u->path_len == 0) {
		u->path = "/";
		u->path_len = 1;
	}
	return u->path[0] == '/' ? NULL : "write a / before the ?";
}

static const char *read_scheme(struct url *u, const char **text)
{
	static const char secure[] = "https://", plain[] = "http://";
	bool tls = strncasecmp(*text, secure, sizeof(secure) - 1) == 0;

	if (!tls && strncasecmp(*text, plain, sizeof(plain) - 1) != 0)
		return "write https://host/path";
	*text += (tls ? sizeof(secure) : sizeof(plain)) - 1;
	u->tls = tls;
	u->port = tls ? HTTPS_PORT : HTTP_PORT;
	return NULL;
}

static const char *read_url(struct url *u, const char *url)
{
	const char *wrong, *p;
	size_t len;

	for (p = url; *p > ' ' && *p < 0x7f; p++)
		;
	if (*p != '\0')
		return "it has a blank or a character that is not ASCII: write "
		       "%20 and so on";
	if (p - url > URL_MAX)
		return "it is longer than 2,048 bytes";
	wrong = read_scheme(u, &url);
	if (wrong != NULL)
		return wrong;
	len = strcspn(url, "/?#");
	wrong = read_authority(u, url, len);
	return wrong != NULL ? wrong : read_path(u, url + len);
}

int url_parse(const char *url, struct url *u_r, char err[ERR_MAX])
{
	const char *wrong = read_url(u_r, url);

	if (wrong == NULL)
		return 0;
	err_set(err, "%s", wrong);
	return -1;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return a->tls == b->tls && a->port == b->port &&
	       strcmp(a->host, b->host) == 0;
}

size_t url_authority(const struct url *u, char out[URL_AUTHORITY_MAX])
{
	const int usual = u->tls ? HTTPS_PORT : HTTP_PORT;

	return (size_t)snprintf(out, URL_AUTHORITY_MAX,
	    u->port == usual ? "%s" : "%s:%d", u->host, u->port);
}
