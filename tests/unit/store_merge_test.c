/* store_merge_test.c - what other nodes say, and what they are told. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "store.h"

#define ACCOUNT "0715"
#define TOKEN "2918000000000000"
#define NOW_S 1800000000LL

static struct store *s;
static unsigned n_puts, suspensions, removals;

static void on_change(void *arg, struct reg *r, enum store_change change)
{
	assert_ptr_equal(arg, &n_puts);
	assert_true(reg_has_account(r, ACCOUNT));
	n_puts += change == STORE_PUT;
	suspensions += change == STORE_SUSPENDED;
	removals += change == STORE_GONE;
}

static int setup(void **state)
{
	(void)state;
	s = store_view_new();
	store_set_limits(s, &(struct store_limits){ .ttl_s = 1000 });
	store_clock(s, NOW_S, 1);
	store_on_change(s, on_change, &n_puts);
	n_puts = suspensions = removals = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_view_free(s);
	return 0;
}

static struct reg *mine(void)
{
	return store_find(s, "alice", ACCOUNT, TOKEN);
}

static struct reg *put(const char *mailbox, int64_t time_s)
{
	return store_put(s, &(struct reg_spec){ .user = "alice",
				.account = ACCOUNT,
				.token = TOKEN,
				.mailboxes = &mailbox,
				.n_mailboxes = 1,
				.time_s = time_s });
}

/* Returns what is wrong with it. */
static const char *merge(const char *rest, int64_t t_ms, struct reg **r_r)
{
	char line[512];

	snprintf(line, sizeof(line),
	    "{\"user\":\"Alice\",\"account\":\"" ACCOUNT "\",\"token\":\"" TOKEN
	    "\",%s,\"t\":1,\"node\":\"x\"}",
	    rest);
	return store_merge(s, line, strlen(line), t_ms, r_r);
}

#define PUT(name) "\"mailboxes\":[\"" name "\"],\"acked\":true,\"time\":1"
#define SUSPENDED PUT("S") ",\"suspended\":true"
#define GONE "\"gone\":true"

/* Whether it was taken. */
static bool takes(const char *rest, int64_t t_ms)
{
	struct reg *r;

	assert_null(merge(rest, t_ms, &r));
	assert_true(r == NULL || (r == mine() && reg_shared(r)));
	return r != NULL;
}

static void test_newer_wins(void **state)
{
	int64_t t = NOW_S * 1000 + 400;
	struct reg *r = put("A", NOW_S);

	(void)state;
	assert_int_equal(n_puts, 1);
	assert_false(reg_shared(r));
	reg_set_ms(r, 403);
	assert_int_equal(reg_time_ms(r, false), t);
	assert_int_equal(reg_time_ms(r, true), t);
	assert_false(takes(PUT("B"), t - 1));
	assert_string_equal(reg_mailbox(mine(), 0), "A");
	assert_true(takes(PUT("B"), t));
	assert_string_equal(reg_mailbox(mine(), 0), "B");
	assert_true(takes(PUT("C"), t + 60000));
	assert_int_equal(reg_time_s(mine()), NOW_S + 60);
	/* nobody is told of what came from others */
	assert_int_equal(n_puts, 1);
	put("D", NOW_S);
	assert_int_equal(n_puts, 2);
	assert_false(reg_shared(mine()));
	assert_int_equal(store_count(s), 1);
}

/* Whatever happens to a registration is later than it, and earlier than the next
 * one. */
static void test_steps(void **state)
{
	struct reg *r = put("A", NOW_S);
	int64_t t;

	(void)state;
	/* not known: anything within the second */
	reg_set_ms(r, 996);
	assert_int_equal(reg_time_ms(r, false) % 1000, 996);
	reg_set_ms(r, 999);
	assert_int_equal(reg_time_ms(r, false) % 1000, 996);
	reg_set_ms(r, 8);
	t = reg_time_ms(r, true);
	assert_true(takes(SUSPENDED, t + 1));
	assert_true(reg_suspended(mine()));
	assert_int_equal(reg_time_ms(mine(), true), t + 1);
	assert_int_equal(store_suspended(s), 1);
	assert_int_equal(suspensions, 0);
	/* the registration itself once more does not end that */
	assert_false(takes(PUT("A"), t));
	assert_true(takes(PUT("A"), t + REG_STEP_MS));
	assert_false(reg_suspended(mine()));
	store_suspend(s, mine());
	assert_int_equal(suspensions, 1);
	assert_false(takes(GONE, t + REG_STEP_MS));
	assert_non_null(mine());
	assert_false(takes(GONE, t + REG_STEP_MS + 2));
	assert_null(mine());
	assert_int_equal(removals, 0);
}

static void test_unknown_steps(void **state)
{
	struct reg *r = put("A", NOW_S);

	(void)state;
	assert_int_equal(reg_time_ms(r, false), NOW_S * 1000);
	assert_int_equal(reg_time_ms(r, true), NOW_S * 1000 + 996);
	assert_false(takes(PUT("B"), NOW_S * 1000 - 1));
	assert_true(takes(PUT("B"), NOW_S * 1000 + 500));
	/* a put within the same second comes later, one of another does not
	 * know its step */
	r = put("C", NOW_S);
	reg_set_later_ms(r, 498);
	assert_int_equal(reg_time_ms(r, true), NOW_S * 1000 + 504);
	r = put("D", NOW_S);
	reg_set_later_ms(r, 800);
	assert_int_equal(reg_time_ms(r, true), NOW_S * 1000 + 800);
	r = put("E", NOW_S + 1);
	assert_int_equal(reg_time_ms(r, true), (NOW_S + 1) * 1000 + 996);
	reg_set_later_ms(r, 4);
	assert_int_equal(reg_time_ms(r, true), (NOW_S + 1) * 1000 + 4);
	store_drop(s, r);
	assert_int_equal(removals, 1);
}

/* A put is never earlier than what it replaces: that came by a clock that is
 * ahead of ours.  A step of more than an hour is one of our own clock. */
static void test_clock_behind(void **state)
{
	int64_t before, now;
	struct reg *r;
	int i;

	(void)state;
	assert_true(takes(PUT("A"), (NOW_S + 60) * 1000 + 500));
	before = reg_time_ms(mine(), true);
	for (i = 0; i < 600; i++) {
		r = put("B", NOW_S + i / 10);
		reg_set_later_ms(r, 0);
		now = reg_time_ms(r, false);
		assert_true(now > before && now < before + 1000);
		before = now;
	}
	/* after a start its part of the second is not known */
	r = put("C", NOW_S + 100);
	r = put("C", NOW_S + 50);
	reg_set_later_ms(r, 0);
	assert_int_equal(reg_time_ms(r, false), (NOW_S + 101) * 1000);
	r = put("D", NOW_S - 3600);
	assert_int_equal(reg_time_s(r), NOW_S - 3600);
}

static void test_not_taken(void **state)
{
	struct reg *r;

	(void)state;
	assert_false(takes(GONE, NOW_S * 1000)); /* of nobody */
	/* older than ttl_s */
	assert_false(takes(PUT("A"), (NOW_S - 1001) * 1000));
	assert_null(mine());
	assert_non_null(merge("\"mailboxes\":1", 1, &r));
	assert_null(r);
	assert_non_null(store_merge(s, "x", 1, 1, &r));
	assert_non_null(store_merge(s, "", 0, 1, &r));
	/* ours was renewed while the clock was not set */
	put("A", NOW_S);
	put("B", REG_TIME_UNKNOWN);
	assert_false(takes(PUT("C"), (NOW_S + 1) * 1000));
	assert_false(takes(GONE, (NOW_S + 1) * 1000));
	assert_string_equal(reg_mailbox(mine(), 0), "B");
}

static void test_limits(void **state)
{
	static const char bob[] = "{\"user\":\"bob\",\"account\":\"1\","
				  "\"token\":\"" TOKEN "\","
				  "\"mailboxes\":[],\"time\":1}";
	struct reg *r;

	(void)state;
	store_set_limits(
	    s, &(struct store_limits){ .registrations = 1, .ttl_s = 1000 });
	assert_true(takes(PUT("A"), NOW_S * 1000));
	assert_string_equal(
	    store_merge(s, bob, sizeof(bob) - 1, NOW_S * 1000, &r),
	    "maxRegistrations allows no more");
	assert_null(r);
	assert_int_equal(store_count(s), 1);
}

/* --- what was removed --- */

static unsigned graves, unshared;
static int64_t gone_ms;

static int on_grave(void *arg, struct reg *r)
{
	char token[REG_TOKEN_MAX + 1];

	(void)arg;
	assert_string_equal(reg_token(r, token), TOKEN);
	graves++;
	unshared += !reg_shared(r);
	gone_ms = reg_gone_ms(r);
	return 0;
}

static void expect_graves(unsigned n, unsigned n_unshared, int64_t t_ms)
{
	graves = unshared = 0;
	gone_ms = 0;
	store_each_gone(s, on_grave, NULL);
	assert_int_equal(graves, n);
	assert_int_equal(store_gone_count(s), n);
	assert_int_equal(unshared, n_unshared);
	assert_int_equal(store_unshared(s),
	    n_unshared + (mine() != NULL && !reg_shared(mine())));
	assert_int_equal(gone_ms, t_ms);
}

static void test_removal_is_kept(void **state)
{
	int64_t t = NOW_S * 1000 + 400;
	struct reg *r = put("A", NOW_S);

	(void)state;
	reg_set_ms(r, t);
	store_drop(s, r);
	assert_int_equal(removals, 1);
	expect_graves(1, 1, t + 2);
	/* what is older does not come back, what is later does */
	assert_false(takes(PUT("A"), t));
	assert_false(takes(SUSPENDED, t + 1));
	expect_graves(1, 1, t + 2);
	/* the others know it */
	assert_false(takes(GONE, t + 2));
	expect_graves(1, 0, t + 2);
	assert_true(takes(PUT("B"), t + 4));
	expect_graves(0, 0, 0);
	/* by others */
	assert_false(takes(GONE, t + 6));
	expect_graves(1, 0, t + 6);
	assert_int_equal(removals, 1);
	/* another one's is older than ours, or younger */
	assert_false(takes(GONE, t + 2));
	expect_graves(1, 0, t + 6);
	assert_false(takes(GONE, t + 10));
	expect_graves(1, 0, t + 10);
	/* of one that nobody had here; too old to matter */
	store_each_gone(s, on_grave, NULL);
	assert_true(takes(PUT("C"), t + 12));
	assert_false(takes(GONE, t + 14));
	put("D", NOW_S);
	expect_graves(0, 0, 0);
	assert_true(reg_time_ms(mine(), false) > t + 14);
}

/* By a clock that is behind it was not gone yet. */
static void test_back_after_removal(void **state)
{
	struct reg *r;
	int64_t t;

	(void)state;
	assert_false(takes(GONE, (NOW_S + 60) * 1000 + 998));
	expect_graves(1, 0, (NOW_S + 60) * 1000 + 998);
	r = put("A", NOW_S);
	t = reg_time_ms(r, false);
	assert_int_equal(t, (NOW_S + 61) * 1000);
	reg_set_later_ms(r, 0);
	assert_true(reg_time_ms(r, false) > (NOW_S + 60) * 1000 + 998);
	store_drop(s, r);
	/* more than an hour is no clock that is a little behind */
	assert_false(takes(GONE, (NOW_S + 4000) * 1000 + 2));
	put("A", NOW_S);
	assert_int_equal(reg_time_s(mine()), NOW_S);
}

static void test_old_removals_go(void **state)
{
	(void)state;
	/* older than ttl_s: of no use */
	assert_false(takes(GONE, (NOW_S - 1001) * 1000 + 2));
	expect_graves(0, 0, 0);
	assert_false(takes(GONE, (NOW_S - 900) * 1000 + 2));
	store_clock(s, NOW_S + 4 * 86400, 4 * 86400);
	store_expire(s);
	expect_graves(0, 0, 0);
}

static void test_kept_only_with_others(void **state)
{
	(void)state;
	store_on_change(s, NULL, NULL);
	store_drop(s, put("A", NOW_S));
	expect_graves(0, 0, 0);
	assert_false(takes(GONE, NOW_S * 1000 + 2));
	expect_graves(0, 0, 0);
}

/* Two devices of one second, where one is allowed: the later one stays. */
static void test_last_of_a_second(void **state)
{
	static const char other[] = "{\"user\":\"alice\",\"account\":\"1\","
				    "\"token\":\"" TOKEN "\","
				    "\"mailboxes\":[],\"time\":1}";
	struct reg *r;

	(void)state;
	store_on_change(s, NULL, NULL);
	store_set_limits(
	    s, &(struct store_limits){ .devices = 1, .ttl_s = 1000 });
	assert_true(takes(PUT("A"), NOW_S * 1000 + 400));
	assert_null(
	    store_merge(s, other, sizeof(other) - 1, NOW_S * 1000 + 396, &r));
	assert_null(r);
	assert_null(
	    store_merge(s, other, sizeof(other) - 1, NOW_S * 1000 + 404, &r));
	assert_non_null(r);
	assert_null(mine());
	assert_int_equal(store_count(s), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_newer_wins),
		T(test_steps),
		T(test_unknown_steps),
		T(test_clock_behind),
		T(test_not_taken),
		T(test_limits),
		T(test_removal_is_kept),
		T(test_back_after_removal),
		T(test_old_removals_go),
		T(test_kept_only_with_others),
		T(test_last_of_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
