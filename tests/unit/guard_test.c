/* guard_test.c - which addresses users may make us connect to: every range, every
 * notation, names, pushAllow, lookups. */
#include "unit.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../io.h"
#include "../../io/resolve.h"
#include "fake_loop.h"

static char err[ERR_MAX];

static struct io_addr addr_of(const char *text, int port)
{
	struct io_addr a;

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, text, &a.in4.sin_addr) == 1) {
		a.sa.sa_family = AF_INET;
		a.in4.sin_port = htons((uint16_t)port);
		return a;
	}
	assert_int_equal(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
	a.sa.sa_family = AF_INET6;
	a.in6.sin6_port = htons((uint16_t)port);
	return a;
}

static const char *refuses(
    const struct io_guard *g, const char *host, const char *text, int port)
{
	struct io_addr a = addr_of(text, port);

	return io_guard_refuses(g, host, &a);
}

static struct io_guard *guard(const char *allow)
{
	struct io_guard *g = io_guard_new(allow, err);

	if (g == NULL)
		fail_msg("%s: %s", allow != NULL ? allow : "", err);
	return g;
}

/* --- addresses --- */

static void test_ranges(void **state)
{
	/* the first and the last of each, and their neighbours outside */
	static const char *const inside[] = { "0.0.0.0", "0.0.0.1",
		"0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0",
		"100.127.255.255", "127.0.0.0", "127.0.0.1", "127.1.2.3",
		"127.255.255.255", "169.254.0.0", "169.254.169.254",
		"169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0",
		"192.0.0.170", "192.0.0.255", "192.0.2.0", "192.0.2.255",
		"192.31.196.1", "192.52.193.1", "192.88.99.1", "192.88.99.255",
		"192.168.0.0", "192.168.255.255", "192.175.48.1", "198.18.0.0",
		"198.19.255.255", "198.51.100.1", "203.0.113.0",
		"203.0.113.255", "224.0.0.0", "224.0.0.1", "239.255.255.255",
		"240.0.0.0", "255.255.255.254", "255.255.255.255", "::", "::1",
		"::2", "::7f00:1", "::127.0.0.1", "::10.1.2.3", "::8.8.8.8",
		"::ffff:0.0.0.0", "::ffff:127.0.0.1", "::ffff:10.1.2.3",
		"::ffff:192.168.1.1", "::ffff:169.254.169.254",
		"::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.1.2.3",
		"64:ff9b::169.254.169.254", "64:ff9b:1::1",
		"64:ff9b:1::8.8.8.8", "100::1", "100:0:0:1::1", "2001::1",
		"2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1::1",
		"2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::1",
		"2001:db8::1", "2001:db8:ffff:ffff::1",
		"2002:7f00:1::", "2002:7f00:1::1", "2002:a01:203::1",
		"2002:808:808::1", "2620:4f:8000::1", "3ffe::1", "3fff::1",
		"3fff:fff::1", "4000::1", "5f00::1", "fc00::1", "fd00::1",
		"fdff:ffff::1", "fe00::1", "fe80::1", "febf::1", "fec0::1",
		"feff::1", "ff02::1", "ff0e::1", "ffff::1" };
	static const char *const outside[] = { "1.0.0.0", "9.255.255.255",
		"11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255",
		"172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0",
		"192.167.255.255", "192.169.0.0", "198.17.255.255",
		"198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255",
		"203.0.114.0", "223.255.255.255", "8.8.8.8", "17.188.1.2",
		"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2000::1", "2001:200::1",
		"2001:4860::1", "2001:db7:ffff::1", "2001:db9::1", "2003::1",
		"2400:cb00::1", "2606:4700::1", "2620:4e::1", "2a00:1450::1",
		"3ffd::1", "3fff:1000::1" };
	struct io_guard *g = guard(NULL);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		if (refuses(g, "a.example", inside[i], 443) == NULL)
			fail_msg("%s is allowed", inside[i]);
	for (i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		if (refuses(g, "a.example", outside[i], 443) != NULL)
			fail_msg("%s is refused", outside[i]);
	assert_null(refuses(NULL, "a.example", "127.0.0.1", 443));
	io_guard_free(g);
	io_guard_free(NULL);
}

static void test_what_they_are(void **state)
{
	static const char *const rows[][2] = {
		{ "127.0.0.1", "this machine" },
		{ "::1", "this machine" },
		{ "::ffff:127.0.0.1", "this machine" },
		{ "0.0.0.0", "this machine" },
		{ "10.1.2.3", "a private network" },
		{ "100.64.1.1", "a private network" },
		{ "fd00::1", "a private network" },
		{ "169.254.169.254", "the local link" },
		{ "fe80::1", "the local link" },
		{ "224.0.0.1", "a reserved address" },
		{ "2001:db8::1", "a reserved address" },
	};
	struct io_guard *g = guard("");
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(
		    refuses(g, "a.example", rows[i][0], 1), rows[i][1]);
	io_guard_free(g);
}

/* --- the text of a host --- */

static void test_hosts(void **state)
{
	static const char *const good[] = { "push.example.org",
		"push.example.org.", "PUSH.Example.Org", "8.8.8.8",
		"[2a00:1450::1]", "2a00:1450::1", "a-b.example", "a_b.example",
		"xn--bcher-kva.example", "1.example", "127.0.0.1.example",
		"localhost.example", "0x7f.example", "locals.example",
		"notlocalhost.example", "[64:ff9b::8.8.8.8]", "10.example" };
	static const char *const inside[] = { "127.0.0.1", "[::1]", "::1",
		"[::]", "0.0.0.0", "10.0.0.1", "169.254.169.254",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
		"[fe80::1]", "[fd00::1]", "[2002:7f00:1::]",
		"[64:ff9b::7f00:1]", "localhost", "LocalHost", "localhost.",
		"a.localhost", "A.LOCALHOST.", "a.b.localhost",
		"localhost.localdomain", "printer.local", "db.internal",
		"nas.home.arpa", "nas.lan", "nas", "redis.", "ip6-localhost" };
	static const char *const wrong[] = { "", ".", "..", "a..example",
		".example.org", "localhost..", "127.1", "127.0.1", "0", "0.",
		"2130706433", "2130706433.", "0x7f000001", "0X7F000001",
		"0x7f.1", "0x7f.0x0.0x0.0x1", "0x", "1.2.3.0x", "017700000001",
		"0177.1", "0177.0.0.1", "127.0.0.01", "127.0.0.1.", "010.0.0.1",
		"1.1.1.1.", "1.2.3.4.5", "256.1.1.1", "1.2.3.256", "4294967296",
		"127.0.0.1 ", " 127.0.0.1", "127.0.0.1\t", "127.0.0.1\n",
		"a b.example", "[fe80::1%25lo]", "[fe80::1%lo]", "fe80::1%lo",
		"[::1", "::1]", "[]", "[127.0.0.1]x", "[::1]]", "[[::1]]",
		"[::ffff:127.1]", "[::ffff:0x7f.0.0.1]", "user@host",
		"a%2eexample", "%31%32%37.0.0.1", "a/b", "a\\b", "a:80",
		"127.0.0.1:80", "a?b", "a#b", "\303\274.example",
		"\342\221\240\342\221\241\342\221\246.0.0.1",
		"127\343\200\2020.0.1", "a.example\001", "*.example.org",
		"nas.1", "nas.0x7f", "nas.8x" };
	struct io_guard *g = guard(NULL);
	char longest[300];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (io_guard_check_host(g, good[i], 443, err) < 0)
			fail_msg("%s: %s", good[i], err);
	for (i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		if (io_guard_check_host(g, inside[i], 443, err) == 0 ||
		    strstr(err, "pushAllow") == NULL)
			fail_msg("%s: %s", inside[i], err);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (io_guard_check_host(g, wrong[i], 443, err) == 0 ||
		    strstr(err, "is neither a name nor an address") == NULL)
			fail_msg("%s: %s", wrong[i], err);
	memset(longest, 'a', sizeof(longest));
	for (i = 63; i < sizeof(longest); i += 64)
		longest[i] = '.';
	longest[253] = '\0';
	assert_int_equal(io_guard_check_host(g, longest, 443, err), 0);
	longest[253] = 'a';
	longest[254] = '\0';
	assert_int_equal(io_guard_check_host(g, longest, 443, err), -1);
	io_guard_check_host(g, "localhost", 443, err);
	assert_string_equal(err,
	    "localhost leads to a private network, where users may not send "
	    "pushes: the administrator can list it in pushAllow");
	io_guard_free(g);
}

/* --- pushAllow --- */

static void test_allowed(void **state)
{
	static const struct {
		const char *allow, *host, *addr;
		int port;
		bool allowed;
	} rows[] = {
		{ "ntfy.lan", "ntfy.lan", "10.0.0.1", 443, true },
		{ "NTFY.lan.", "ntfy.LAN", "10.0.0.1", 443, true },
		{ "ntfy.lan", "ntfy.lan.", "10.0.0.1", 443, true },
		{ "ntfy.lan", "ntfy.lan..", "10.0.0.1", 443, false },
		{ "ntfy.lan", "x.ntfy.lan", "10.0.0.1", 443, false },
		{ "ntfy.lan", "ntfy.la", "10.0.0.1", 443, false },
		{ "nas", "nas", "10.0.0.1", 80, true },
		{ "localhost", "localhost", "127.0.0.1", 80, true },
		{ "localhost", "a.example", "127.0.0.1", 80, false },
		{ "*.lan", "ntfy.lan", "10.0.0.1", 443, true },
		{ "*.lan", "a.b.lan.", "10.0.0.1", 443, true },
		{ "*.lan", "lan", "10.0.0.1", 443, false },
		{ "*.lan", ".lan", "10.0.0.1", 443, false },
		{ "*.lan", "wlan", "10.0.0.1", 443, false },
		{ "*.ntfy.lan", "xntfy.lan", "10.0.0.1", 443, false },
		{ "10.0.0.1", "a.example", "10.0.0.1", 443, true },
		{ "10.0.0.1", "a.example", "10.0.0.2", 443, false },
		{ "10.0.0.1", "a.example", "::ffff:10.0.0.1", 443, true },
		{ "::ffff:10.0.0.1", "a.example", "10.0.0.1", 443, true },
		{ "10.0.0.0/8", "a.example", "10.255.255.255", 443, true },
		{ "10.0.0.0/8", "a.example", "11.0.0.1", 443, true },
		{ "10.0.0.0/8", "a.example", "172.16.0.1", 443, false },
		{ "10.9.9.9/8", "a.example", "10.1.1.1", 443, true },
		{ "192.168.4.0/23", "a.example", "192.168.5.255", 1, true },
		{ "192.168.4.0/23", "a.example", "192.168.6.0", 1, false },
		{ "192.168.4.0/32", "a.example", "192.168.4.0", 1, true },
		{ "192.168.4.0/32", "a.example", "192.168.4.1", 1, false },
		{ "0.0.0.0/0", "a.example", "127.0.0.1", 1, true },
		{ "0.0.0.0/0", "a.example", "::1", 1, false },
		{ "::/0", "a.example", "::1", 1, true },
		{ "::1", "a.example", "::1", 1, true },
		{ "[::1]", "a.example", "::1", 1, true },
		{ "::1", "a.example", "::", 1, false },
		{ "fd00::/8", "a.example", "fd12::1", 1, true },
		{ "fd00::/8", "a.example", "fc12::1", 1, false },
		{ "fd00:1:2:3::/64", "a.example", "fd00:1:2:3:4::1", 1, true },
		{ "fd00:1:2:3::/64", "a.example", "fd00:1:2:4::1", 1, false },
		{ "10.0.0.1:8080", "a.example", "10.0.0.1", 8080, true },
		{ "10.0.0.1:8080", "a.example", "10.0.0.1", 6379, false },
		{ "10.0.0.0/8:80", "a.example", "10.0.0.1", 80, true },
		{ "10.0.0.0/8:80", "a.example", "10.0.0.1", 81, false },
		{ "[::1]:80", "a.example", "::1", 80, true },
		{ "[::1]:80", "a.example", "::1", 81, false },
		{ "[fd00::/8]:80", "a.example", "fd00::1", 80, true },
		{ "ntfy.lan:80", "ntfy.lan", "10.0.0.1", 80, true },
		{ "ntfy.lan:80", "ntfy.lan", "10.0.0.1", 443, false },
		{ "*.lan:80", "ntfy.lan", "10.0.0.1", 443, false },
		{ "  x.example\t10.0.0.1  nas ", "nas", "127.0.0.1", 1, true },
		{ "  x.example\t10.0.0.1  nas ", "b.example", "10.0.0.1", 1,
		    true },
		{ "10.0.0.2 10.0.0.3", "a.example", "10.0.0.1", 1, false },
	};
	struct io_guard *g;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		g = guard(rows[i].allow);
		if ((refuses(g, rows[i].host, rows[i].addr, rows[i].port) ==
			NULL) != rows[i].allowed)
			fail_msg("%s: %s %s port %d", rows[i].allow,
			    rows[i].host, rows[i].addr, rows[i].port);
		io_guard_free(g);
	}
	g = guard("nas *.lan:80 10.0.0.1 [fd00::1]:80");
	assert_int_equal(io_guard_check_host(g, "nas", 443, err), 0);
	assert_int_equal(io_guard_check_host(g, "a.lan.", 80, err), 0);
	assert_int_equal(io_guard_check_host(g, "a.lan", 443, err), -1);
	assert_int_equal(io_guard_check_host(g, "10.0.0.1", 443, err), 0);
	assert_int_equal(io_guard_check_host(g, "[fd00::1]", 80, err), 0);
	assert_int_equal(io_guard_check_host(g, "[fd00::1]", 443, err), -1);
	assert_int_equal(io_guard_check_host(g, "10.1", 443, err), -1);
	assert_true(io_guard_lists(g, "NAS.", 1));
	assert_true(io_guard_lists(g, "10.0.0.1", 1));
	assert_false(io_guard_lists(g, "10.0.0.2", 1));
	assert_true(io_guard_lists(g, "[fd00::1]", 80));
	assert_false(io_guard_lists(g, "[fd00::1]", 81));
	assert_false(io_guard_lists(g, "", 80));
	io_guard_free(g);
}

static void test_bad_lists(void **state)
{
	static const char *const rows[][2] = {
		{ "https://ntfy.lan/", "leave out http://" },
		{ "ntfy.lan/x", "write a name" },
		{ "*", "write a name" },
		{ "*.", "write a name" },
		{ "*lan", "write a name" },
		{ "a.*.lan", "write a name" },
		{ ".lan", "write a name" },
		{ "a..b", "write a name" },
		{ "\303\274.lan", "write a name" },
		{ "127.1", "write a name" },
		{ "0x7f.0.0.1", "write a name" },
		{ "010.0.0.1", "write a name" },
		{ "1.2.3.4.5", "write a name" },
		{ "10.0.0.0/33", "number of bits" },
		{ "10.0.0.0/", "number of bits" },
		{ "10.0.0.0/-1", "number of bits" },
		{ "10.0.0.0/8x", "number of bits" },
		{ "10.0.0.0/255.0.0.0", "number of bits" },
		{ "fd00::/129", "number of bits" },
		{ "10.0.0.1:", "the port" },
		{ "10.0.0.1:0", "the port" },
		{ "10.0.0.1:65536", "the port" },
		{ "10.0.0.1:99999999999999999999", "the port" },
		{ "nas:http", "the port" },
		{ "[::1", "the ]" },
		{ "[::1]80", "the port" },
		{ "[", "the ]" },
		{ "[]", "write a name" },
		{ "/8", "write a name" },
		{ ":80", "write a name" },
		{ "a,b", "write a name" },
		{ "ok.lan 10.0.0.0/99", "\"10.0.0.0/99\" is not valid" },
	};
	struct io_guard *g;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		g = io_guard_new(rows[i][0], err);
		if (g != NULL)
			fail_msg("%s is taken", rows[i][0]);
		if (strstr(err, rows[i][1]) == NULL)
			fail_msg("%s: %s", rows[i][0], err);
	}
	/* a reload with a bad one changes nothing */
	g = guard("nas");
	assert_int_equal(io_guard_set(g, "lan x:y", err), -1);
	assert_true(io_guard_lists(g, "nas", 1));
	assert_int_equal(io_guard_set(g, "lan", err), 0);
	assert_false(io_guard_lists(g, "nas", 1));
	assert_true(io_guard_lists(g, "lan", 1));
	assert_int_equal(io_guard_set(g, NULL, err), 0);
	assert_false(io_guard_lists(g, "lan", 1));
	io_guard_free(g);
}

/* --- looking up, with a resolver of the test's --- */

struct resolve {
	resolve_cb *cb;
	void *arg;
};

#define LOOKUPS_MAX 16
static struct resolve running[LOOKUPS_MAX];
static size_t n_running;

struct resolve *resolve_start(
    struct loop *l, const char *host, int port, resolve_cb *cb, void *arg)
{
	size_t i = 0;

	(void)l;
	(void)host;
	(void)port;
	while (i < LOOKUPS_MAX && running[i].cb != NULL)
		i++;
	assert_true(i < LOOKUPS_MAX);
	running[i] = (struct resolve){ cb, arg };
	n_running++;
	return &running[i];
}

void resolve_cancel(struct resolve *r)
{
	if (r == NULL)
		return;
	r->cb = NULL;
	n_running--;
}

void resolve_free_addrs(struct addrinfo *addrs)
{
	struct addrinfo *next;

	for (; addrs != NULL; addrs = next) {
		next = addrs->ai_next;
		free(addrs->ai_addr);
		free(addrs);
	}
}

void loop_adopt(
    struct loop *l, struct loop_orphan *o, void (*end)(void *arg), void *arg)
{
	(void)l;
	o->end = end;
	o->arg = arg;
}

void loop_orphan_del(struct loop_orphan *o)
{
	(void)o;
}

static void resolved(size_t i, const char *list, int port)
{
	struct addrinfo *first = NULL, **at = &first;
	struct resolve r = running[i];
	char text[64];
	size_t len;

	for (; list != NULL && *list != '\0'; list += len + (list[len] != 0)) {
		len = strcspn(list, " ");
		snprintf(text, sizeof(text), "%.*s", (int)len, list);
		*at = calloc(1, sizeof(**at));
		(*at)->ai_addr = malloc(sizeof(struct io_addr));
		*(struct io_addr *)(void *)(*at)->ai_addr = addr_of(text, port);
		(*at)->ai_family = (*at)->ai_addr->sa_family;
		at = &(*at)->ai_next;
	}
	assert_non_null(r.cb);
	running[i].cb = NULL;
	n_running--;
	r.cb(r.arg, first, first == NULL ? "there is no such name" : NULL);
}

static int n_answers;
static enum io_guard_found answer;
static char answer_why[ERR_MAX];

static void on_found(void *arg, enum io_guard_found found, const char *why)
{
	assert_ptr_equal(arg, &n_answers);
	n_answers++;
	answer = found;
	snprintf(answer_why, sizeof(answer_why), "%s", why);
}

static struct io_guard_lookup *ask(const struct io_guard *g, const char *host)
{
	return io_guard_lookup(NULL, g, host, 443, on_found, &n_answers);
}

static void expect(enum io_guard_found found, const char *why)
{
	assert_int_equal(n_answers, 1);
	n_answers = 0;
	assert_int_equal(answer, found);
	if (why[0] == '\0')
		assert_string_equal(answer_why, "");
	else if (strstr(answer_why, why) == NULL)
		fail_msg("%s", answer_why);
}

static void expect_quiet(void)
{
	size_t i;

	assert_int_equal(n_answers, 0);
	assert_int_equal(n_running, 0);
	for (i = 0; i < TIMERS_MAX; i++)
		assert_null(timers[i]);
}

static void test_lookups(void **state)
{
	struct io_guard *g = guard("nas.lan 10.0.0.9:443");

	(void)state;
	ask(g, "push.example");
	assert_int_equal(n_answers, 0);
	resolved(0, "8.8.8.8 2a00:1450::1", 443);
	expect(IO_GUARD_OUTSIDE, "");
	ask(g, "evil.example"); /* one is enough */
	resolved(0, "8.8.8.8 2a00:1450::1 192.168.1.1", 443);
	expect(IO_GUARD_INSIDE,
	    "evil.example leads to a private network, where users may not");
	ask(g, "evil.example");
	resolved(0, "::ffff:127.0.0.1", 443);
	expect(IO_GUARD_INSIDE, "evil.example leads to this machine");
	ask(g, "nas.lan");
	resolved(0, "192.168.1.1", 443);
	expect(IO_GUARD_OUTSIDE, "");
	ask(g, "alias.example");
	resolved(0, "10.0.0.9", 443);
	expect(IO_GUARD_OUTSIDE, "");
	ask(g, "gone.example");
	resolved(0, NULL, 443);
	expect(IO_GUARD_UNKNOWN, "gone.example: there is no such name");
	expect_quiet();
	io_guard_free(g);
}

/* The answer does not wait for name servers, the thread is waited for. */
static void test_late_lookups(void **state)
{
	struct io_guard *g = guard(NULL);
	struct io_guard_lookup *lo;

	(void)state;
	ask(g, "slow.example");
	pass(2999);
	assert_int_equal(n_answers, 0);
	pass(1);
	expect(IO_GUARD_UNKNOWN, "slow.example: no answer from the name");
	assert_int_equal(n_running, 1);
	io_guard_free(g); /* by a reload, or the end */
	resolved(0, "127.0.0.1", 443);
	expect_quiet();

	g = guard(NULL);
	lo = ask(g, "slow.example");
	io_guard_cancel(lo); /* the asker went away */
	pass(10000);
	assert_int_equal(n_running, 1);
	resolved(0, "127.0.0.1", 443);
	expect_quiet();
	io_guard_cancel(NULL);
	io_guard_free(g);
}

/* As many as asked at once: not as many threads. */
static void test_many_lookups(void **state)
{
	struct io_guard *g = guard(NULL);
	struct io_guard_lookup *lo;
	size_t i;

	(void)state;
	for (i = 0; i < LOOKUPS_MAX; i++)
		ask(g, "slow.example");
	lo = ask(g, "slow.example");
	assert_int_equal(n_answers, 0); /* never from within */
	io_guard_cancel(lo);
	ask(g, "slow.example");
	pass(0);
	expect(IO_GUARD_UNKNOWN, "slow.example: no answer from the name");
	resolved(3, "8.8.8.8", 443);
	expect(IO_GUARD_OUTSIDE, "");
	ask(g, "slow.example");
	pass(0);
	assert_int_equal(n_answers, 0); /* there was room */
	for (i = 0; i < LOOKUPS_MAX; i++)
		resolved(i, "8.8.8.8", 443);
	assert_int_equal(n_answers, LOOKUPS_MAX);
	n_answers = 0;
	expect_quiet();
	io_guard_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_what_they_are),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_late_lookups),
		cmocka_unit_test(test_many_lookups),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
