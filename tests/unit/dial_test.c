/* dial_test.c - which address is tried when, with a resolver and a clock of the
 * test's. */
#include "unit.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../buf.h"
#include "../../io.h"
#include "../../io/resolve.h"
#include "fake_loop.h"
#include "needs.h"

/* --- a scripted resolver --- */

struct resolve {
	resolve_cb *cb;
	void *arg;
};

static struct resolve lookup;
static bool looking;
static unsigned lookups;
static char looked_up[64]; /* host and port */

struct resolve *resolve_start(
    struct loop *l, const char *host, int port, resolve_cb *cb, void *arg)
{
	(void)l;
	assert_false(looking); /* a thread each: never two */
	snprintf(looked_up, sizeof(looked_up), "%s %d", host, port);
	lookup = (struct resolve){ .cb = cb, .arg = arg };
	looking = true;
	lookups++;
	return &lookup;
}

void resolve_cancel(struct resolve *r)
{
	if (r != NULL)
		looking = false;
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

/* "6a 6b 4a": the last byte of addresses of either family. */
static struct addrinfo *found(const char *list)
{
	struct addrinfo *first = NULL, **at = &first;
	struct io_addr *a;

	for (; *list != '\0'; list += 2, list += *list == ' ') {
		*at = calloc(1, sizeof(**at));
		a = calloc(1, sizeof(*a));
		a->sa.sa_family = list[0] == '6' ? AF_INET6 : AF_INET;
		if (list[0] == '6')
			a->in6.sin6_addr.s6_addr[15] = (unsigned char)list[1];
		else
			a->in4.sin_addr.s_addr = htonl((uint32_t)list[1]);
		(*at)->ai_family = a->sa.sa_family;
		(*at)->ai_addr = &a->sa;
		at = &(*at)->ai_next;
	}
	return first;
}

static void resolved(const char *list, const char *why)
{
	assert_true(looking);
	looking = false;
	lookup.cb(lookup.arg, list != NULL ? found(list) : NULL, why);
}

/* --- the owner --- */

static struct io_dialer *d;
static char tried[256]; /* as in found() */
static struct io_addr addrs[64];
static size_t n_tried;
static unsigned exhausted;
static char last_why[ERR_MAX];
static bool hopeful;

static void on_attempt(void *arg, const struct io_addr *addr)
{
	bool ip4 = addr->sa.sa_family == AF_INET;
	size_t len = strlen(tried);

	(void)arg;
	addrs[n_tried++] = *addr;
	snprintf(tried + len, sizeof(tried) - len, "%s%c%c", len > 0 ? " " : "",
	    ip4 ? '4' : '6',
	    ip4 ? (int)ntohl(addr->in4.sin_addr.s_addr)
		: addr->in6.sin6_addr.s6_addr[15]);
}

static bool is_hopeful(void *arg)
{
	(void)arg;
	return hopeful;
}

static void on_exhausted(void *arg, const char *why)
{
	(void)arg;
	exhausted++;
	snprintf(last_why, sizeof(last_why), "%s", why != NULL ? why : "");
}

static const struct io_dialer_ops ops = {
	.attempt = on_attempt,
	.is_hopeful = is_hopeful,
	.exhausted = on_exhausted,
};

#define BUDGET_MS 30000

static void forget_tries(void)
{
	tried[0] = '\0';
	n_tried = 0;
	exhausted = 0;
}

static void start(const char *list)
{
	forget_tries();
	const struct io_target to = { .host = "host", .port = 443 };

	io_dialer_start(d, &to, BUDGET_MS);
	if (list != NULL)
		resolved(list, NULL);
}

static int setup(void **state)
{
	(void)state;
	now_ms = 1000;
	looking = hopeful = false;
	lookups = 0;
	d = io_dialer_new(NULL, &ops, NULL);
	return 0;
}

static int teardown(void **state)
{
	size_t i;

	(void)state;
	io_dialer_free(d);
	assert_false(looking);
	for (i = 0; i < TIMERS_MAX; i++)
		assert_null(timers[i]);
	return 0;
}

/* No timer runs: nothing wakes an idle machine. */
static void expect_quiet(void)
{
	size_t i;

	assert_false(io_dialer_is_running(d));
	for (i = 0; i < TIMERS_MAX; i++)
		assert_null(timers[i]);
}

/* --- tests --- */

static void test_families_take_turns(void **state)
{
	(void)state;
	start("6a 6b 6c 4a 4b");
	assert_string_equal(tried, "6a");
	pass(249);
	assert_string_equal(tried, "6a");
	pass(1);
	assert_string_equal(tried, "6a 4a");
	pass(750);
	assert_string_equal(tried, "6a 4a 6b 4b 6c");
	io_dialer_succeeded(d, &addrs[3]);
	expect_quiet();
	start("4a 6a 4a 6a 4b"); /* the same twice is one */
	pass(BUDGET_MS - 1);
	assert_string_equal(tried, "4b 4a 6a");
	assert_int_equal(exhausted, 0);
	pass(1);
	assert_int_equal(exhausted, 1);
	expect_quiet();
}

static void test_a_failure_brings_the_next_at_once(void **state)
{
	(void)state;
	start("4a 4b 4c");
	io_dialer_failed(d, &addrs[0]);
	assert_string_equal(tried, "4a 4b");
	io_dialer_failed(d, &addrs[1]);
	io_dialer_failed(d, &addrs[2]);
	assert_int_equal(exhausted, 1);
	assert_string_equal(last_why, "");
	expect_quiet();
	start("4a 4b 4c"); /* the first is another one */
	assert_string_equal(tried, "4b");
	io_dialer_stop(d);
}

/* The seventh after 1.5 s. */
static void test_six_black_holes(void **state)
{
	(void)state;
	start("4a 4b 4c 4d 4e 4f 4g");
	pass(1500);
	assert_string_equal(tried, "4a 4b 4c 4d 4e 4f 4g");
	io_dialer_succeeded(d, &addrs[6]);
	expect_quiet();
	/* the next time at once */
	start("4a 4b 4c 4d 4e 4f 4g");
	assert_string_equal(tried, "4g");
	io_dialer_succeeded(d, &addrs[0]);
	/* and when that fails, all the others follow */
	start("4a 4b 4c 4d 4e 4f 4g");
	io_dialer_failed(d, &addrs[0]);
	pass(2000);
	assert_string_equal(tried, "4g 4f 4e 4d 4c 4b 4a");
	io_dialer_stop(d);
	expect_quiet();
}

/* Eight at once; the next when one of them ends. */
static void test_attempts_are_bounded(void **state)
{
	(void)state;
	start("4a 4b 4c 4d 4e 4f 4g 4h 4i 4j 4k 4l 4m 4n 4o 4p 4q 4r 4s 4t");
	pass(5000);
	assert_int_equal(n_tried, 8);
	assert_true(io_dialer_has_more(d));
	io_dialer_failed(d, &addrs[0]);
	assert_int_equal(n_tried, 9);
	pass(5000);
	assert_int_equal(n_tried, 9);
	for (size_t i = 1; i < 9; i++)
		io_dialer_failed(d, &addrs[i]);
	pass(5000);
	assert_int_equal(n_tried, 16); /* of 20 */
	assert_false(io_dialer_has_more(d));
	while (exhausted == 0)
		for (size_t i = 9; i < 16; i++)
			io_dialer_failed(d, &addrs[i]);
	/* now those that had no turn come first */
	start("4a 4b 4c 4d 4e 4f 4g 4h 4i 4j 4k 4l 4m 4n 4o 4p 4q 4r 4s 4t");
	pass(1000);
	assert_string_equal(tried, "4q 4r 4s 4t 4b");
	io_dialer_stop(d);
}

/* One that takes TCP is not overtaken at once, but it is. */
static void test_hopeful(void **state)
{
	(void)state;
	start("4a 4b");
	hopeful = true;
	pass(900);
	assert_string_equal(tried, "4a");
	hopeful = false;
	pass(250);
	assert_string_equal(tried, "4a 4b");
	io_dialer_succeeded(d, &addrs[1]);
	expect_quiet();
}

/* Whatever the reason: it is not the first one the next time. */
static void test_a_failed_one_is_not_the_first(void **state)
{
	(void)state;
	start("4a 4b 4c");
	io_dialer_failed(d, &addrs[0]);
	io_dialer_stop(d);
	start("4a 4b 4c");
	assert_string_equal(tried, "4b");
	/* all run out of time: the one that had most comes last */
	pass(1000);
	pass(BUDGET_MS);
	assert_int_equal(exhausted, 1);
	for (size_t i = 3; i-- > 0;)
		io_dialer_failed(d, &addrs[i]);
	start("4a 4b 4c");
	pass(500);
	assert_string_equal(tried, "4a 4c 4b");
	io_dialer_failed(d, &addrs[0]);
	/* the good one is not good any more when it fails */
	io_dialer_succeeded(d, &addrs[2]);
	start("4a 4b 4c");
	assert_string_equal(tried, "4b");
	io_dialer_failed(d, &addrs[0]);
	assert_string_equal(tried, "4b 4c");
	io_dialer_stop(d);
	start("4a 4b 4d");
	pass(500);
	assert_string_equal(tried, "4d 4a 4b");
	io_dialer_stop(d);
}

static void test_another_host(void **state)
{
	(void)state;
	start("4a 4b");
	pass(250);
	io_dialer_succeeded(d, &addrs[1]);
	forget_tries();
	io_dialer_start(
	    d, &(struct io_target){ .host = "other", .port = 443 }, BUDGET_MS);
	resolved("4a 4b", NULL);
	assert_string_equal(tried, "4a");
	io_dialer_stop(d);
}

/* --- name servers --- */

static void test_unknown_name(void **state)
{
	(void)state;
	start(NULL);
	resolved(NULL, "there is no such name");
	assert_int_equal(exhausted, 1);
	assert_string_equal(
	    last_why, "cannot find the address of host: there is no such name");
	expect_quiet();
}

/* One lookup, however many rounds it lasts; its answer is used then. */
static void test_slow_name_servers(void **state)
{
	(void)state;
	start(NULL);
	pass(BUDGET_MS);
	assert_int_equal(exhausted, 1);
	assert_non_null(strstr(last_why, "no answer from the name servers"));
	expect_quiet();
	start(NULL);
	pass(1000);
	resolved("4a", NULL);
	assert_int_equal(lookups, 1);
	assert_string_equal(tried, "4a");
	io_dialer_stop(d);

	start(NULL);
	pass(BUDGET_MS);
	resolved("4b", NULL); /* between rounds */
	expect_quiet();
	start(NULL);
	assert_string_equal(tried, "4b");
	assert_int_equal(lookups, 2);
	pass(BUDGET_MS - 1); /* the attempts have their own time */
	assert_int_equal(exhausted, 0);
	pass(1);
	assert_int_equal(exhausted, 1);

	start(NULL);
	pass(BUDGET_MS);
	resolved("4c", NULL);
	pass(3600000); /* not for ever */
	start("4d");
	assert_string_equal(tried, "4d");
	io_dialer_stop(d);
}

/* An address that has worked is used without them. */
static void test_no_name_servers_any_more(void **state)
{
	(void)state;
	start("4a 4b");
	pass(250);
	io_dialer_succeeded(d, &addrs[1]);
	start(NULL);
	resolved(NULL, "no name server answers");
	assert_string_equal(tried, "4b");
	io_dialer_succeeded(d, &addrs[0]);
	start(NULL);
	pass(2999);
	assert_string_equal(tried, "");
	pass(1); /* they are silent */
	assert_string_equal(tried, "4b");
	resolved("4a 4b", NULL); /* too late for this round */
	io_dialer_failed(d, &addrs[0]);
	assert_int_equal(exhausted, 1);
	start(NULL);
	assert_string_equal(tried, "4a");
	io_dialer_stop(d);
}

/* --- hosts that users name --- */

/* 'b' only: 0.0.0.98 */
static void start_guarded(struct io_guard **g, struct io_proxy *proxy)
{
	char err[ERR_MAX];

	if (*g == NULL)
		*g = io_guard_new("::62 0.0.0.98 listed.example", err);
	assert_non_null(*g);
	forget_tries();
	io_dialer_start(d,
	    &(struct io_target){
		.host = "host", .port = 443, .proxy = proxy, .guard = *g },
	    BUDGET_MS);
}

/* Each address is judged when its turn comes, also one that has worked. */
static void test_guarded(void **state)
{
	struct io_guard *g = NULL;
	char err[ERR_MAX];

	(void)state;
	NEEDS("webpush");
	start_guarded(&g, NULL);
	resolved("6a 4a 6b 4b 4c", NULL);
	assert_string_equal(tried, "6b");
	pass(5000);
	assert_string_equal(tried, "6b 4b");
	io_dialer_succeeded(d, &addrs[1]);
	start_guarded(&g, NULL); /* the name leads elsewhere now */
	resolved("4a 6c", NULL);
	assert_string_equal(tried, "");
	assert_int_equal(exhausted, 1);
	assert_string_equal(last_why,
	    "host leads to this machine, where users may not send pushes: the "
	    "administrator can list it in pushAllow");
	expect_quiet();
	start_guarded(&g, NULL); /* some fail, some are not tried */
	resolved("4b 4a", NULL);
	io_dialer_failed(d, &addrs[0]);
	assert_int_equal(exhausted, 1);
	assert_string_equal(last_why, "");
	start_guarded(&g, NULL);
	resolved("4b", NULL);
	io_dialer_succeeded(d, &addrs[0]);
	/* pushAllow has changed, and no name server answers */
	assert_int_equal(io_guard_set(g, "", err), 0);
	start_guarded(&g, NULL);
	pass(BUDGET_MS);
	assert_string_equal(tried, "");
	assert_int_equal(exhausted, 1);
	resolved("4b", NULL);
	start_guarded(&g, NULL); /* its late answer */
	assert_string_equal(tried, "");
	expect_quiet();
	io_guard_free(g);
}

/* The proxy is asked for an address that was judged. */
static void test_guarded_proxy(void **state)
{
	struct io_guard *g = NULL;
	char err[ERR_MAX];
	struct io_proxy *p = io_proxy_new("http://proxy.lan:3128", err);

	(void)state;
	NEEDS("webpush");
	NEEDS("proxy");
	assert_non_null(p);
	assert_null(io_dialer_tunnel_to(d));
	start_guarded(&g, p);
	assert_string_equal(looked_up, "host 443");
	resolved("4a 6b 4b", NULL);
	assert_string_equal(looked_up, "proxy.lan 3128");
	resolved("4a", NULL); /* the proxy's own is not judged */
	assert_string_equal(tried, "4a");
	assert_string_equal(io_dialer_tunnel_to(d), "::62");
	io_dialer_failed(d, &addrs[0]);
	start_guarded(&g, p);
	resolved("4a 6b 4b", NULL); /* another one this time */
	assert_string_equal(io_dialer_tunnel_to(d), "0.0.0.98");
	resolved("4a", NULL);
	io_dialer_succeeded(d, &addrs[0]);
	start_guarded(&g, p);
	assert_null(io_dialer_tunnel_to(d));
	resolved("6b 4b", NULL);
	assert_string_equal(io_dialer_tunnel_to(d), "::62");
	resolved("4a", NULL);
	io_dialer_stop(d);

	start_guarded(&g, p);
	resolved("4a", NULL);
	assert_string_equal(tried, "");
	assert_int_equal(exhausted, 1);
	assert_non_null(strstr(last_why, "host leads to this machine"));
	expect_quiet();
	start_guarded(&g, p);
	resolved(NULL, "there is no such name");
	assert_int_equal(exhausted, 1);
	assert_string_equal(last_why,
	    "cannot find the address of host: there is no such name; if only "
	    "the proxy can, list it in pushAllow");
	start_guarded(&g, p);
	pass(BUDGET_MS); /* with an address of the proxy's that has worked */
	assert_int_equal(exhausted, 1);
	assert_non_null(strstr(last_why, "of host: no answer from the name"));
	expect_quiet();

	/* the administrator's name is the proxy's to look up */
	forget_tries();
	io_dialer_start(d,
	    &(struct io_target){
		.host = "listed.example", .port = 443, .proxy = p, .guard = g },
	    BUDGET_MS);
	assert_string_equal(looked_up, "proxy.lan 3128");
	resolved("4a", NULL);
	assert_string_equal(tried, "4a");
	assert_null(io_dialer_tunnel_to(d));
	io_dialer_stop(d);
	start_guarded(&g, p); /* freed while looking */
	io_proxy_free(p);
	io_guard_free(g);
}

static void test_freed_while_looking(void **state)
{
	(void)state;
	start(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_families_take_turns),
		T(test_a_failure_brings_the_next_at_once),
		T(test_six_black_holes),
		T(test_attempts_are_bounded),
		T(test_hopeful),
		T(test_a_failed_one_is_not_the_first),
		T(test_another_host),
		T(test_unknown_name),
		T(test_slow_name_servers),
		T(test_no_name_servers_any_more),
		T(test_guarded),
		T(test_guarded_proxy),
		T(test_freed_while_looking),
	};

	return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
