/* shared/addr.c - where the shared store is: sharedStore and its kin. */
#include "shared/int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "conf.h"
#include "cred.h"
#include "mem.h"
#include "text.h"
#include "tls.h"

#define STORE_PORT 6379
#define SENTINEL_PORT 26379
#define DB_MAX 65535

static const struct {
	char name[12];
	bool has_tls;
} schemes[] = {
	{ "valkey://", false },
	{ "valkeys://", true },
	{ "redis://", false },
	{ "rediss://", true },
};

static void host_free(struct shared_host *h)
{
	free(h->host);
	mem_free_wiped(h->user);
	mem_free_wiped(h->password);
}

void shared_addr_free(struct shared_addr *a)
{
	size_t i;

	for (i = 0; i < a->n_sentinels; i++)
		host_free(&a->sentinels[i]);
	host_free(&a->server);
	free(a->unix_path);
	free(a->master);
	tls_ctx_free(a->tls);
	memset(a, 0, sizeof(*a));
}

/* Percent-decoded in place; false: it has a NUL or a broken escape. */
static bool decode(char *s)
{
	char *out = s;
	char c;

	for (; *s != '\0'; s++) {
		if (*s != '%') {
			*out++ = *s;
			continue;
		}
		if (s[1] == '\0' || !text_hex_read(s + 1, 2, &c) || c == '\0')
			return false;
		*out++ = c;
		s += 2;
	}
	*out = '\0';
	return true;
}

/* user, user:password, :password */
static bool read_login(struct shared_host *h, const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	size_t n = colon != NULL ? (size_t)(colon - text) : len;

	h->user = xstrndup(text, n);
	if (colon != NULL)
		h->password = xstrndup(colon + 1, len - n - 1);
	return decode(h->user) && (h->password == NULL || decode(h->password));
}

/* host, host:port, [IPv6]:port, each after a log-in and an '@'; the host may be
 * "".  A password may hold an '@', a host may not. */
static bool read_host(
    const char *text, size_t len, int port, struct shared_host *h)
{
	const char *at = memrchr(text, '@', len);
	char *colon;

	if (at != NULL && !read_login(h, text, (size_t)(at - text)))
		return false;
	if (at != NULL) {
		len -= (size_t)(at + 1 - text);
		text = at + 1;
	}
	h->host = xstrndup(text, len);
	h->port = port;
	colon = strrchr(h->host, ':');
	if (colon != NULL && strchr(colon, ']') == NULL) {
		*colon = '\0';
		h->port =
		    (int)text_number(colon + 1, strlen(colon + 1), UINT16_MAX);
		if (h->port < 1)
			return false;
	}
	return strpbrk(h->host, " /?#%\\\t") == NULL &&
	       (h->host[0] == '[') == (strchr(h->host, ':') != NULL) &&
	       (h->host[0] == '[') == (strchr(h->host, ']') != NULL);
}

/* Bytes of a scheme at the beginning, 0: there is none. */
static size_t read_scheme(const char *text, bool *has_tls_r)
{
	size_t i, n;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		n = strlen(schemes[i].name);
		if (strncasecmp(text, schemes[i].name, n) != 0)
			continue;
		*has_tls_r = schemes[i].has_tls;
		return n;
	}
	return 0;
}

static const char *read_unix(struct shared_addr *a, const char *path)
{
	struct sockaddr_un un;

	while (path[0] == '/' && path[1] == '/')
		path++;
	if (path[0] != '/')
		return "write unix:/path/of/the/socket";
	if (strlen(path) >= sizeof(un.sun_path))
		return "the path is too long for a socket";
	a->unix_path = xstrdup(path);
	return NULL;
}

/* NULL, or what is wrong; never the URL, which may hold a password. */
static const char *read_url(struct shared_addr *a, const char *url)
{
	size_t n = read_scheme(url, &a->server.has_tls), len;
	const char *at, *slash;

	if (strncasecmp(url, "unix:", 5) == 0)
		return read_unix(a, url + 5);
	url += n;
	at = strrchr(url, '@');
	slash = strchr(at != NULL ? at : url, '/');
	len = slash != NULL ? (size_t)(slash - url) : strlen(url);
	if (slash != NULL && slash[1] != '\0')
		a->db = (int)text_number(slash + 1, strlen(slash + 1), DB_MAX);
	if (n > 0 && read_host(url, len, STORE_PORT, &a->server) && a->db >= 0)
		return NULL;
	return "write valkey://host, valkeys://user:password@host:6379/0 (with "
	       "TLS) or unix:/path (in user and password % is %25, / is %2F)";
}

/* Separated by spaces; with TLS or not as the server, unless a scheme says it. */
static const char *read_sentinels(struct shared_addr *a, const char *list)
{
	struct shared_host *h;
	size_t len, n;

	for (list += strspn(list, " "); *list != '\0';
	     list += len, list += strspn(list, " ")) {
		len = strcspn(list, " ");
		if (a->n_sentinels == SHARED_SENTINELS_MAX)
			return "more than 8 of them";
		h = &a->sentinels[a->n_sentinels++];
		h->has_tls = a->server.has_tls;
		n = read_scheme(list, &h->has_tls);
		if (n >= len ||
		    !read_host(list + n, len - n, SENTINEL_PORT, h) ||
		    h->host[0] == '\0')
			return "write host, host:26379 or "
			       "user:password@host:26379 of each, with "
			       "valkeys:// (TLS) or valkey:// (none) before it "
			       "if that differs from sharedStore, separated by "
			       "spaces";
		a->has_tls |= h->has_tls;
	}
	return NULL;
}

static int blame(const struct conf *conf, const char *key, const char *wrong,
    char err[ERR_MAX])
{
	conf_blame(conf, key, err, "%s", wrong);
	return -1;
}

/* The prefix is part of a pattern for SCAN and of ACL rules. */
static bool is_prefix_plain(const char *s)
{
	size_t n = text_span(s, ":._/-");

	return n <= 64 && s[n] == '\0';
}

int shared_addr_parse(
    struct shared_addr *a, const struct conf *conf, char err[ERR_MAX])
{
	const char *wrong;

	memset(a, 0, sizeof(*a));
	wrong = read_url(a, conf->shared_store);
	if (wrong != NULL)
		return blame(conf, "sharedStore", wrong, err);
	if (conf->shared_password_file != NULL && a->server.password != NULL)
		return blame(conf, "sharedPasswordFile",
		    "sharedStore has a password too: remove one of them", err);
	if (!is_prefix_plain(conf->shared_prefix))
		return blame(conf, "sharedPrefix",
		    "write at most 64 letters, digits and : . _ / -", err);
	wrong = conf->shared_sentinels
		    ? read_sentinels(a, conf->shared_sentinels)
		    : NULL;
	if (wrong != NULL)
		return blame(conf, "sharedSentinels", wrong, err);
	if (a->n_sentinels > 0 && conf->shared_master == NULL)
		return blame(conf, "sharedMaster",
		    "is missing: set it to the name that the sentinels have "
		    "for the master",
		    err);
	if (a->n_sentinels > 0 && a->unix_path != NULL)
		return blame(conf, "sharedSentinels",
		    "they name a host: sharedStore cannot be a Unix socket",
		    err);
	if (a->n_sentinels == 0 && a->unix_path == NULL &&
	    a->server.host[0] == '\0')
		return blame(conf, "sharedStore",
		    "the host is missing (sharedSentinels would find it)", err);
	a->master = conf->shared_master ? xstrdup(conf->shared_master) : NULL;
	return 0;
}

int shared_addr_load(
    struct shared_addr *a, const struct conf *conf, char err[ERR_MAX])
{
	if (shared_addr_parse(a, conf, err) < 0)
		return -1;
	if (conf->shared_password_file != NULL) {
		a->server.password = cred_read_password(conf,
		    "sharedPasswordFile", conf->shared_password_file, err);
		if (a->server.password == NULL)
			return -1;
	}
	if (a->server.has_tls || a->has_tls) {
		a->tls = cred_load_trust(
		    conf, "sharedCaFile", conf->shared_ca_file, err);
		if (a->tls == NULL)
			return -1;
	}
	return 0;
}
