/* api/guard.c - access: passwords, web pages, administrators. */
#include "api/int.h"

#include <pwd.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "conf.h"
#include "io.h"
#include "tls.h"

#define LOG_INTERVAL_MS 60000 /* between equal messages */

#define SHOWN_MAX 80 /* characters of a Host or an Origin in a message */

/* --- passwords --- */

bool api_is_authorized(const struct api *a, const struct http_request *req)
{
	return a->authorization == NULL || req->over_unix ||
	       api_has_password(a, req);
}

bool api_is_secret(const char *want, const char *got, size_t len)
{
	size_t want_len = strlen(want), i;
	unsigned diff = len != want_len;

	for (i = 0; i < want_len; i++)
		diff |= (unsigned char)want[i] ^
			(unsigned char)(i < len ? got[i] : 0);
	return diff == 0;
}

bool api_has_password(const struct api *a, const struct http_request *req)
{
	const struct http_str *got = &req->authorization;
	const size_t n = strlen("Basic ");

	return a->authorization != NULL && got->len >= n &&
	       strncasecmp(got->p, "Basic ", n) == 0 &&
	       api_is_secret(a->authorization + n, got->p + n, got->len - n);
}

static bool is_v4(const unsigned char ip[16])
{
	static const unsigned char prefix[12] = { [10] = 0xff, 0xff };

	return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

/* The address's entry in the table, or a free one; NULL if there is neither. */
static struct api_login_failures *find_login_failures(
    struct api *a, const unsigned char ip[16], int64_t now_ms)
{
	struct api_login_failures *k, *unused = NULL;

	for (k = a->login_failures; k < a->login_failures + API_LOGIN_FAILURES;
	     k++) {
		if (k->until_ms != 0 && memcmp(k->ip, ip, 16) == 0)
			return k;
		if (k->until_ms <= now_ms)
			unused = k;
	}
	if (unused != NULL) {
		*unused = (struct api_login_failures){ 0 };
		memcpy(unused->ip, ip, 16);
	}
	return unused;
}

/* While the table is full, other addresses are not logged. */
void api_log_wrong_password(struct api *a, const struct http_request *req)
{
	int64_t now_ms = loop_now_ms(a->loop);
	struct io_address from;
	struct api_login_failures *k;
	char shown[IO_IP_MAX];

	if (req->authorization.len == 0 ||
	    !io_get_address(req->io, true, &from))
		return;
	/* A client with one address of an IPv6 network can use all of it. */
	if (!is_v4(from.ip))
		memset(from.ip + 8, 0, 8);
	k = find_login_failures(a, from.ip, now_ms);
	if (k == NULL)
		return;
	if (k->until_ms > now_ms) {
		k->n++;
		return;
	}
	io_format_ip(from.ip, shown);
	if (k->n > 0)
		log_warn("http: wrong user or password from %s (and %u times "
			 "since the last such line)",
		    shown, k->n);
	else
		log_warn("http: wrong user or password from %s", shown);
	k->n = 0;
	k->until_ms = now_ms + LOG_INTERVAL_MS;
}

/* --- Host and Origin --- */

struct host {
	char name[256]; /* at most 253 in DNS; without a last dot */
	bool is_ip;
	unsigned char ip[16];
	int port; /* 0: not given */
};

static bool parse_port(const char *p, const char *end, int *port_r)
{
	*port_r = 0;
	if (p == end)
		return true;
	if (*p++ != ':' || end - p > 5)
		return false;
	if (p == end) /* RFC 3986 3.2.3: it may be empty */
		return true;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		*port_r = *port_r * 10 + (*p - '0');
	}
	return *port_r > 0 && *port_r <= 65535;
}

/* name, name:port, [address], [address]:port */
static bool parse_host(const char *p, size_t len, struct host *h)
{
	const char *end = p + len;
	bool brackets = len > 0 && *p == '[';
	const char *stop = memchr(p, brackets ? ']' : ':', len);
	size_t n;

	if (brackets && stop == NULL)
		return false;
	p += brackets;
	n = (size_t)((stop != NULL ? stop : end) - p);
	if (n == 0 || n >= sizeof(h->name))
		return false;
	memcpy(h->name, p, n);
	h->name[n] = '\0';
	h->is_ip = io_parse_ip(h->name, h->ip);
	if (brackets && (!h->is_ip || strchr(h->name, ':') == NULL))
		return false;
	if (!h->is_ip && h->name[n - 1] == '.')
		h->name[n - 1] = '\0';
	return parse_port(p + n + brackets, end, &h->port);
}

/* Whether it is in httpHosts, where a name without a port matches any. */
static bool is_listed(const char *list, const struct host *h)
{
	struct host own;
	size_t len;

	for (; list != NULL && *list != '\0'; list += len) {
		list += strspn(list, " ");
		len = strcspn(list, " ");
		if (parse_host(list, len, &own) &&
		    (own.port == 0 || h->port == 0 || own.port == h->port) &&
		    own.is_ip == h->is_ip &&
		    (h->is_ip ? memcmp(own.ip, h->ip, 16) == 0
			      : strcasecmp(own.name, h->name) == 0))
			return true;
	}
	return false;
}

static bool is_loopback(const unsigned char ip[16])
{
	unsigned char v4[16], v6[16];

	io_parse_ip("127.0.0.1", v4);
	io_parse_ip("::1", v6);
	return memcmp(ip, v4, 16) == 0 || memcmp(ip, v6, 16) == 0;
}

static bool is_ours(
    const struct api *a, const struct http_request *req, const struct host *h)
{
	struct io_address own;

	if (is_listed(a->conf->http_hosts, h))
		return true;
	if (!h->is_ip && req->over_tls &&
	    tls_has_cert_for(io_tls(req->io), h->name))
		return true;
	/* A tunnel to the Unix socket has any port. */
	if (h->port != 0 && !req->over_unix && h->port != io_own_port(req->io))
		return false;
	if (h->is_ip)
		return is_loopback(h->ip) ||
		       (io_get_address(req->io, false, &own) &&
			   memcmp(h->ip, own.ip, 16) == 0);
	return strcasecmp(h->name, "localhost") == 0;
}

static bool is_origin(const struct http_request *req, const char *scheme)
{
	size_t n = strlen(scheme);

	return req->origin.len == n + req->host.len &&
	       strncasecmp(req->origin.p, scheme, n) == 0 &&
	       strncasecmp(req->origin.p + n, req->host.p, req->host.len) == 0;
}

/* Whether the page came from the address that the request is sent to.  Of a name in
 * httpHosts a proxy may have taken the TLS off. */
static bool is_own_origin(
    const struct api *a, const struct http_request *req, const struct host *h)
{
	return (!req->over_tls && is_origin(req, "http://")) ||
	       (is_origin(req, "https://") &&
		   (req->over_tls || is_listed(a->conf->http_hosts, h)));
}

/* Browsers say from whose page a request comes (W3C Fetch Metadata); "none": from
 * nobody's.  A link may lead here from anywhere, but a form may not. */
static bool is_foreign_form(const struct http_request *req)
{
	static const char *const harmless[] = { "same-origin", "none" };
	const struct http_str *got = &req->fetch_site;
	size_t i;

	for (i = 0; i < 2; i++)
		if (got->len == strlen(harmless[i]) &&
		    memcmp(got->p, harmless[i], got->len) == 0)
			return false;
	return got->p != NULL && req->method.p[0] == 'P';
}

static int shown_len(const struct http_str *s)
{
	return s->len < SHOWN_MAX ? (int)s->len : SHOWN_MAX;
}

static void log_refused(
    struct api *a, const struct http_request *req, const char *why)
{
	int64_t now_ms = loop_now_ms(a->loop);
	char shown[IO_IP_MAX] = "?";
	struct io_address from;

	if (a->refusal_logged_ms != 0 &&
	    now_ms - a->refusal_logged_ms < LOG_INTERVAL_MS)
		return;
	a->refusal_logged_ms = now_ms;
	if (io_get_address(req->io, true, &from))
		io_format_ip(from.ip, shown);
	log_warn("http: refused a request from %s: %s", shown, why);
}

/* Browsers come to the Unix socket through a tunnel only, which is root's.  Dovecot
 * and curl may send any Host there, but not where names are: a page whose own name
 * was pointed here says no more of itself in a GET. */
static bool may_be_a_browser(const struct http_request *req)
{
	static const char admin[] = "/admin/";
	const size_t n = strlen(admin);

	return !req->over_unix || req->path.len == 1 || req->origin.p != NULL ||
	       req->fetch_site.p != NULL ||
	       (req->path.len > n && memcmp(req->path.p, admin, n) == 0);
}

/* A web page in somebody's browser can send requests to this machine, and a name
 * of its own that leads here lets it read the answers. */
bool api_is_foreign(
    struct api *a, const struct http_request *req, char why[ERR_MAX])
{
	struct host h = { 0 };

	if (!may_be_a_browser(req))
		return false;
	if (req->host.p != NULL &&
	    !(parse_host(req->host.p, req->host.len, &h) &&
		is_ours(a, req, &h)))
		err_set(why,
		    "Host \"%.*s\" is no address of this server: if it is a "
		    "name of it, add it to httpHosts in xapsd's configuration",
		    shown_len(&req->host), req->host.p);
	else if (req->origin.p != NULL && !is_own_origin(a, req, &h))
		err_set(why,
		    "Origin \"%.*s\": web pages of other sites may not ask",
		    shown_len(&req->origin), req->origin.p);
	else if (is_foreign_form(req))
		err_set(why, "web pages of other sites may not send forms");
	else
		return false;
	log_refused(a, req, why);
	return true;
}

/* --- administrators --- */

bool api_is_admin(const struct http_request *req)
{
	return req->over_unix && req->uid != HTTP_NOBODY &&
	       (req->uid == 0 || req->uid == geteuid());
}

void api_explain_admin_only(const struct http_request *req, char why[ERR_MAX])
{
	static const char folder[] = "/admin/";
	const struct passwd *pw = geteuid() != 0 ? getpwuid(geteuid()) : NULL;
	const char * or = pw != NULL ? " or as user " : "";
	const char *name = pw != NULL ? pw->pw_name : "";
	int n = (int)req->path.len - (int)strlen(folder);

	err_set(why,
	    "this is for administrators: run it as root%s%s, e.g. sudo xapsd "
	    "%.*s",
	    or, name, n, req->path.p + strlen(folder));
}
