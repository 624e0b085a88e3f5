/* io/guard.c - whether an address is of the internet, or of our own machine or
 * network, where users must not make us connect to. */
#include "io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "text.h"

/* RFC 1035 2.3.4, without a dot at the end. */
#define NAME_LEN_MAX 253

/* One word of pushAllow. */
struct rule {
	const char *name; /* with '.' for the * of "*.example"; NULL: bits */
	int port;	  /* 0: any */
	unsigned bits;
	unsigned char ip[16];
};

struct io_guard {
	struct rule *rules;
	size_t n;
	char *text;
};

/* --- addresses --- */

enum what {
	OUTSIDE,
	SELF,
	NETWORK,
	LINK,
	NOWHERE,
};

static const char words[][20] = {
	[SELF] = "this machine",
	[NETWORK] = "a private network",
	[LINK] = "the local link",
	[NOWHERE] = "a reserved address",
};

/* IANA's special-purpose registries; of IPv6 only what lies within 2000::/3. */
static const struct range {
	uint32_t first;
	unsigned char bits;
	bool ip6;
	unsigned char what;
} ranges[] = {
	{ 0x00000000, 8, false, SELF }, { 0x7f000000, 8, false, SELF },
	{ 0x0a000000, 8, false, NETWORK }, { 0xac100000, 12, false, NETWORK },
	{ 0xc0a80000, 16, false, NETWORK },
	{ 0x64400000, 10, false, NETWORK }, /* providers' NAT, RFC 6598 */
	{ 0xa9fe0000, 16, false, LINK },
	{ 0xc0000000, 24, false, NOWHERE }, /* protocol assignments */
	{ 0xc0000200, 24, false, NOWHERE }, /* examples */
	{ 0xc6336400, 24, false, NOWHERE }, { 0xcb007100, 24, false, NOWHERE },
	{ 0xc01fc400, 24, false, NOWHERE }, /* AS112 */
	{ 0xc0af3000, 24, false, NOWHERE },
	{ 0xc034c100, 24, false, NOWHERE }, /* AMT */
	{ 0xc0586300, 24, false, NOWHERE }, /* relays of 6to4 */
	{ 0xc6120000, 15, false, NOWHERE }, /* benchmarks */
	{ 0xe0000000, 3, false, NOWHERE },  /* multicast, 240/4, broadcast */
	{ 0x20010000, 23, true, NOWHERE },  /* Teredo, ORCHID, benchmarks */
	{ 0x20010db8, 32, true, NOWHERE },  /* examples */
	{ 0x3fff0000, 20, true, NOWHERE },
	{ 0x20020000, 16, true, NOWHERE }, /* 6to4: an IPv4 address within */
	{ 0x2620004f, 32, true, NOWHERE }, /* AS112 */
	{ 0x3ffe0000, 16, true, NOWHERE }, /* 6bone */
};

static enum what what_range(uint32_t first, bool ip6)
{
	const struct range *r = ranges;
	size_t i;

	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++, r++)
		if (r->ip6 == ip6 && (first ^ r->first) >> (32 - r->bits) == 0)
			return r->what;
	return OUTSIDE;
}

static uint32_t read_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static bool has_prefix(
    const unsigned char ip[16], const unsigned char *prefix, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(ip, prefix, whole) == 0 &&
	       (rest == 0 || (ip[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}

static int open_udp(int family)
{
	return socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* -1: not to be known now. */
static int can_bind(uint32_t ip4)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = open_udp(AF_INET), can;

	if (fd < 0)
		return -1;
	a.sin_addr.s_addr = htonl(ip4);
	can = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return can;
}

/* Whether the address from which we would speak to it begins with the same `len`
 * bytes: it is our own, or, in one /64, of a machine beside us, whose addresses are
 * global too. */
static bool is_near(struct io_addr *to, const void *ip, size_t len)
{
	bool ip4 = to->sa.sa_family == AF_INET, near;
	struct io_addr from;
	socklen_t size = sizeof(from);
	int fd = open_udp(to->sa.sa_family);

	if (fd < 0)
		return errno != EAFNOSUPPORT;
	to->in4.sin_port = htons(443); /* where IPv6's is, too; sends nothing */
	near = connect(fd, &to->sa, ip4 ? sizeof(to->in4) : sizeof(to->in6)) ==
		   0 &&
	       getsockname(fd, &from.sa, &size) == 0 &&
	       memcmp(ip4 ? (void *)&from.in4.sin_addr
			  : (void *)&from.in6.sin6_addr,
		   ip, len) == 0;
	close(fd);
	return near;
}

/* The kernel is asked which addresses are ours, each time.  We speak to most of them
 * from themselves, but not to a second one of a network; those we can bind to, if
 * net.ipv4.ip_nonlocal_bind does not let us bind to any. */
static enum what what_ip4(uint32_t ip)
{
	struct io_addr a = { .in4.sin_family = AF_INET };
	enum what what = what_range(ip, false);
	int can;

	if (what != OUTSIDE)
		return what;
	a.in4.sin_addr.s_addr = htonl(ip);
	if (is_near(&a, &a.in4.sin_addr, 4))
		return SELF;
	can = can_bind(ip);
	return can == 0 || (can > 0 && can_bind(0xc0000201) > 0) ? OUTSIDE
								 : SELF;
}

static enum what near_ip6(const unsigned char ip[16])
{
	struct io_addr a = { .in6.sin6_family = AF_INET6 };

	memcpy(&a.in6.sin6_addr, ip, 16);
	return is_near(&a, ip, 8) ? NETWORK : OUTSIDE;
}

static enum what what_ip6(const unsigned char ip[16])
{
	static const unsigned char one[16] = { [15] = 1 };
	enum what what;

	if (ip[0] >> 5 == 1) {
		what = what_range(read_u32(ip), true);
		return what == OUTSIDE ? near_ip6(ip) : what;
	}
	if (memcmp(ip, one, 15) == 0 && ip[15] <= 1)
		return SELF;
	if (ip[0] == 0xfe && ip[1] >> 6 == 2)
		return LINK;
	return ip[0] >> 1 == 0x7e || (ip[0] == 0xfe && ip[1] >> 6 == 3)
		   ? NETWORK
		   : NOWHERE;
}

static const char *what_ip(const unsigned char ip[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const unsigned char nat64[12] = { 0, 0x64, 0xff, 0x9b };
	enum what what = has_prefix(ip, mapped, 96) || has_prefix(ip, nat64, 96)
			     ? what_ip4(read_u32(ip + 12))
			     : what_ip6(ip);

	return what != OUTSIDE ? words[what] : NULL;
}

/* --- pushAllow --- */

/* A name's length without a dot at its end; 0: it is none. */
static size_t name_len(const char *s, size_t len)
{
	size_t i, label;

	if (len > 0 && s[len - 1] == '.')
		len--;
	for (i = 0; i < len; i += label + 1) {
		label = text_span(s + i, "-_");
		if (label == 0 || (i + label < len && s[i + label] != '.'))
			return 0;
	}
	return i == len + 1 && len <= NAME_LEN_MAX ? len : 0;
}

/* Libraries read 127.1, 0x7f.1 and 017700000001 as addresses, and not all as the
 * same; no name ends so. */
static bool is_number(const char *s, size_t len)
{
	size_t at = len;

	while (at > 0 && s[at - 1] != '.')
		at--;
	return at < len && s[at] >= '0' && s[at] <= '9';
}

/* Cuts ":port" off, and brackets. */
static const char *split_port(char **word, int *port_r)
{
	char *colon = strrchr(*word, ':'), *end;

	*port_r = 0;
	if (**word == '[') {
		end = strchr(++*word, ']');
		if (end == NULL)
			return "the ] is missing";
		*end = '\0';
		colon = end[1] != '\0' ? end + 1 : NULL;
	} else if (colon != strchr(*word, ':')) {
		return NULL; /* IPv6 */
	}
	if (colon == NULL)
		return NULL;
	*port_r = (int)text_number(colon + 1, strlen(colon + 1), 65535);
	if (*colon != ':' || *port_r < 1)
		return "the port must be a number up to 65535";
	*colon = '\0';
	return NULL;
}

static const char *read_rule(char *word, struct rule *r)
{
	const char *wrong;
	char *slash;
	int64_t bits = 128;
	size_t len, star;

	if (strstr(word, "//") != NULL)
		return "leave out http:// or https:// and what follows the "
		       "host";
	wrong = split_port(&word, &r->port);
	if (wrong != NULL)
		return wrong;
	slash = strchr(word, '/');
	if (slash != NULL)
		*slash = '\0';
	if (io_parse_ip(word, r->ip)) {
		bool ip4 = strchr(word, ':') == NULL;

		if (slash != NULL)
			bits = text_number(
			    slash + 1, strlen(slash + 1), ip4 ? 32 : 128);
		if (bits < 0)
			return "after the / comes a number of bits";
		r->bits = (unsigned)(bits + (ip4 && slash != NULL ? 96 : 0));
		return NULL;
	}
	star = word[0] == '*' && word[1] == '.';
	len = name_len(word + 2 * star, strlen(word + 2 * star));
	word += star;
	if (len == 0 || slash != NULL || is_number(word, len + star))
		return "write a name, *.example.org, an address or a network "
		       "such as 192.168.1.0/24, perhaps with :port";
	word[len + star] = '\0';
	r->name = word;
	return NULL;
}

int io_guard_set(struct io_guard *g, const char *allow, char err[ERR_MAX])
{
	char *text = xstrdup(allow != NULL ? allow : ""), *at = text, *word;
	struct rule *rules = NULL;
	const char *wrong;
	size_t n = 0;

	while ((word = strsep(&at, " \t")) != NULL) {
		if (*word == '\0')
			continue;
		rules = xrealloc(rules, (n + 1) * sizeof(*rules));
		memset(&rules[n], 0, sizeof(*rules));
		err_set(err, "%s", word);
		wrong = read_rule(word, &rules[n++]);
		if (wrong == NULL)
			continue;
		word = xstrdup(err);
		err_set(err, "\"%.60s\" is not valid: %s", word, wrong);
		free(word);
		free(rules);
		free(text);
		return -1;
	}
	free(g->rules);
	free(g->text);
	g->rules = rules;
	g->n = n;
	g->text = text;
	return 0;
}

struct io_guard *io_guard_new(const char *allow, char err[ERR_MAX])
{
	struct io_guard *g = xcalloc(1, sizeof(*g));

	if (io_guard_set(g, allow, err) == 0)
		return g;
	free(g);
	return NULL;
}

void io_guard_free(struct io_guard *g)
{
	if (g == NULL)
		return;
	free(g->rules);
	free(g->text);
	free(g);
}

static bool fits_name(const struct rule *r, const char *host, size_t len)
{
	size_t want = strlen(r->name);

	if (r->name[0] == '.' && len > want) {
		host += len - want;
		len = want;
	}
	return len == want && strncasecmp(r->name, host, len) == 0;
}

/* A host as an address, perhaps in brackets. */
static bool read_ip(const char *host, unsigned char ip_r[16])
{
	char bare[IO_IP_MAX] = "";
	size_t len = strlen(host);

	if (host[0] != '[' || host[len - 1] != ']' || len > sizeof(bare))
		return io_parse_ip(host, ip_r);
	memcpy(bare, host + 1, len - 2);
	return io_parse_ip(bare, ip_r);
}

/* By its name, its address, or both; each may be missing. */
static bool is_listed(const struct io_guard *g, const char *name, size_t len,
    const unsigned char *ip, int port)
{
	const struct rule *r;
	size_t i;

	for (i = 0; i < g->n; i++) {
		r = &g->rules[i];
		if ((r->port == 0 || r->port == port) &&
		    (r->name != NULL
			    ? len > 0 && fits_name(r, name, len)
			    : ip != NULL && has_prefix(ip, r->ip, r->bits)))
			return true;
	}
	return false;
}

bool io_guard_lists(const struct io_guard *g, const char *host, int port)
{
	unsigned char ip[16];

	return is_listed(g, host, name_len(host, strlen(host)),
	    read_ip(host, ip) ? ip : NULL, port);
}

const char *io_guard_refuses(
    const struct io_guard *g, const char *host, const struct io_addr *addr)
{
	int port = io_addr_port(addr);
	unsigned char ip[16];

	if (g == NULL)
		return NULL;
	io_addr_ip(addr, ip);
	return is_listed(g, host, name_len(host, strlen(host)), ip, port)
		   ? NULL
		   : what_ip(ip);
}

/* --- names --- */

void io_guard_explain(const char *host, const char *what, char err[ERR_MAX])
{
	err_set(err,
	    "%.*s leads to %s, where users may not send pushes: the "
	    "administrator can list it in pushAllow",
	    NAME_LEN_MAX, host, what);
}

static int refuse(const char *host, const char *what, char err[ERR_MAX])
{
	io_guard_explain(host, what, err);
	return -1;
}

/* Names that no name server of the internet knows (RFC 6761, 6762, 8375). */
static bool is_local_name(const char *host, size_t len)
{
	static const char tops[][16] = { ".localhost", ".local", ".localdomain",
		".internal", ".home.arpa", ".lan" };
	struct rule r;
	size_t i;

	for (i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
		r.name = tops[i];
		if (fits_name(&r, host, len))
			return true;
	}
	return memchr(host, '.', len) == NULL;
}

int io_guard_check_host(
    const struct io_guard *g, const char *host, int port, char err[ERR_MAX])
{
	unsigned char ip[16];
	const char *what;
	size_t len = strlen(host);

	if (io_guard_lists(g, host, port))
		return 0;
	if (read_ip(host, ip)) {
		what = what_ip(ip);
		return what != NULL ? refuse(host, what, err) : 0;
	}
	len = name_len(host, len);
	if (len == 0 || is_number(host, len)) {
		err_set(err,
		    "\"%.60s\" is neither a name nor an address: write the "
		    "address as four decimal numbers, and a name with letters "
		    "other than a to z as xn--...",
		    host);
		return -1;
	}
	return is_local_name(host, len) ? refuse(host, words[NETWORK], err) : 0;
}
