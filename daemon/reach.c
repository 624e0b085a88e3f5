/* daemon/reach.c - who can reach a listener. */
#include "daemon/reach.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "conf.h"

bool reach_is_loopback(const union reach_addr *u)
{
	const struct in6_addr *a = &u->in6.sin6_addr;

	if (u->sa.sa_family == AF_INET)
		return ntohl(u->in.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(a) ||
	       (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

bool reach_parse(const char *text, union reach_addr *u)
{
	char bare[INET6_ADDRSTRLEN];
	size_t n = strcspn(text, "%");

	memset(u, 0, sizeof(*u));
	if (n >= sizeof(bare))
		return false;
	memcpy(bare, text, n);
	bare[n] = '\0';
	u->sa.sa_family = AF_INET;
	if (text[n] == '\0' && inet_pton(AF_INET, bare, &u->in.sin_addr) == 1)
		return true;
	u->sa.sa_family = AF_INET6;
	return inet_pton(AF_INET6, bare, &u->in6.sin6_addr) == 1;
}

static bool has_password(const struct conf *c)
{
	return c->http_user != NULL &&
	       (c->http_password != NULL || c->http_password_file != NULL);
}

int reach_check(const struct conf *c, const char *key, const char *where,
    bool is_tls, char err[ERR_MAX])
{
	if (c->allow_insecure)
		return 0;
	if (!is_tls)
		conf_blame(c, key, err,
		    "%s can be reached from other machines without "
		    "encryption: use the tlsListenAddr keys, or set "
		    "allowInsecure: yes",
		    where);
	else if (!has_password(c))
		conf_blame(c, key, err,
		    "%s can be reached from other machines: set httpUser and "
		    "httpPassword, or allowInsecure: yes",
		    where);
	else
		return 0;
	return -1;
}

static int check_address(const struct conf *c, const char *key,
    const char *text, bool is_tls, char err[ERR_MAX])
{
	union reach_addr u;

	if (strcmp(text, "localhost") == 0)
		return 0;
	if (!reach_parse(text, &u) ||
	    strlen(text) >= REACH_ADDR_MAX - sizeof(" port 65535")) {
		conf_blame(c, key, err,
		    "%s is not an IP address: write one, or localhost", text);
		return -1;
	}
	return reach_is_loopback(&u) ? 0
				     : reach_check(c, key, text, is_tls, err);
}

const char *reach_tls_addr(const struct conf *c)
{
	return c->tls_listen_addr != NULL ? c->tls_listen_addr : "localhost";
}

static bool is_any(const union reach_addr *u)
{
	return u->sa.sa_family == AF_INET
		   ? u->in.sin_addr.s_addr == 0
		   : IN6_IS_ADDR_UNSPECIFIED(&u->in6.sin6_addr);
}

/* Whether a socket at one address takes a port away from the other. */
static bool meet(const char *a, const char *b)
{
	union reach_addr u, v;

	if (strcmp(a, "localhost") == 0)
		return meet("127.0.0.1", b) || meet("::1", b);
	if (strcmp(b, "localhost") == 0)
		return meet(b, a);
	return reach_parse(a, &u) && reach_parse(b, &v) &&
	       u.sa.sa_family == v.sa.sa_family &&
	       (is_any(&u) || is_any(&v) || strcasecmp(a, b) == 0);
}

/* The second one could never be opened. */
static int check_ports(const struct conf *c, char err[ERR_MAX])
{
	if (c->port == 0 || c->port != c->tls_port ||
	    !meet(c->listen_addr, reach_tls_addr(c)))
		return 0;
	conf_blame(c, "port", err,
	    "%d is the port for TLS (tlsPort), too: set one of them to "
	    "another, or port: 0",
	    c->port);
	return -1;
}

int reach_check_text(const struct conf *c, char err[ERR_MAX])
{
	if (c->socket_path != NULL &&
	    strlen(c->socket_path) >=
		sizeof(((struct sockaddr_un *)0)->sun_path)) {
		conf_blame(c, "socketPath", err,
		    "is longer than the %zu bytes that a socket may have",
		    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		return -1;
	}
	if (c->port != 0 &&
	    check_address(c, "listenAddr", c->listen_addr, false, err) < 0)
		return -1;
	if (c->tls_certfile == NULL || c->tls_port == 0)
		return 0;
	if (check_address(c, "tlsListenAddr", reach_tls_addr(c), true, err) < 0)
		return -1;
	return check_ports(c, err);
}
