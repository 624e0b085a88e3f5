/* foreign_test.c - how many pushes go to addresses that users gave. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "../../push/foreign.c"
#include "fake_loop.h"
#include "needs.h"

static struct push_queue q;
static struct conf conf;
static struct push_way way = { .kind = REG_WEBPUSH };
static const char *user;

/* A lane for each host. */
struct sender {
	const char *host;
};

void sender_get_status(const struct sender *s, struct send_status *status_r)
{
	memset(status_r, 0, sizeof(*status_r));
	status_r->host = s->host;
	status_r->port = 443;
}

const char *reg_user(const struct reg *r)
{
	(void)r;
	return user;
}

static struct sender there = { "push.example.org" };
static struct push_lane lane;

static int setup(void **state)
{
	(void)state;
	memset(&lane, 0, sizeof(lane));
	lane.q = &q;
	lane.way = &way;
	lane.sender = &there;
	way.kind = REG_WEBPUSH;
	q = (struct push_queue){ .conf = &conf };
	user = "alice";
	pass(1000000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	push_foreign_free(&q);
	return 0;
}

static int64_t ask(void)
{
	struct push p = { .lane = &lane };
	int64_t wait_ms = push_foreign_wait(&p);

	assert_true(p.paid);
	assert_int_equal(push_foreign_wait(&p), 0); /* once for each */
	return wait_ms;
}

static void test_user(void **state)
{
	int i;

	(void)state;
	way.kind = REG_FCM;
	for (i = 0; i < 60; i++)
		assert_int_equal(ask(), 0);
	/* each has a moment of its own, in their order */
	for (i = 1; i <= 50; i++)
		assert_int_equal(ask(), 1000 * i);
	user = "bob";
	assert_int_equal(ask(), 0);
	user = "ALICE"; /* the same user */
	pass(50 * 1000);
	assert_int_equal(ask(), 1000);
	pass(1000);
	for (i = 0; i < 10; i++) {
		pass(1000);
		assert_int_equal(ask(), 0);
	}
	assert_int_equal(ask(), 1000);
	pass(3600 * 1000); /* not more than the burst is saved up */
	for (i = 0; i < 60; i++)
		assert_int_equal(ask(), 0);
	assert_int_equal(ask(), 1000);
}

/* All users together. */
static void test_origin(void **state)
{
	char name[16];
	int i;

	(void)state;
	user = name;
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "u%d", i / 10);
		assert_int_equal(ask(), 0);
	}
	snprintf(name, sizeof(name), "other");
	assert_int_equal(ask(), 10);
	assert_int_equal(ask(), 20);
	lane.paid_ms = 0; /* another server */
	assert_int_equal(ask(), 0);
}

static void test_kinds(void **state)
{
	int i;

	(void)state;
	way.kind = REG_HOOK; /* the administrator's own */
	for (i = 0; i < 1000; i++)
		assert_int_equal(ask(), 0);
	way.kind = REG_DELTACHAT; /* his server, but the user's tokens */
	for (i = 0; i < 60; i++)
		assert_int_equal(ask(), 0);
	assert_int_equal(ask(), 1000);
	assert_int_equal(lane.paid_ms, 0);
	lane.sender = NULL; /* no way to send it: whoever drops it says so */
	assert_int_equal(ask(), 0);
}

static void test_allowed(void **state)
{
	char allow[] = "*.example.org";
	int i;

	(void)state;
	NEEDS("webpush");
	conf.push_allow = allow;
	for (i = 0; i < 1000; i++)
		assert_int_equal(ask(), 0);
	conf.push_allow = NULL; /* a reload */
	push_refresh_guard(&q);
	for (i = 0; i < 60; i++)
		assert_int_equal(ask(), 0);
	assert_int_equal(ask(), 1000);
}

/* More users at once than are remembered: they are slowed, nobody gets more. */
static void test_many_users(void **state)
{
	char name[16];
	int i, j, free_now = 0;

	(void)state;
	user = name;
	for (j = 0; j < 61; j++)
		for (i = 0; i < 4 * N_USERS; i++) {
			lane.paid_ms = 0;
			snprintf(name, sizeof(name), "user%d", i);
			free_now += ask() == 0;
		}
	assert_in_range(free_now, 60 * N_USERS / 2, 60 * N_USERS);
	pass(10 * 3600 * 1000); /* and all is forgotten */
	for (i = 0; i < N_USERS / 4; i++) {
		lane.paid_ms = 0;
		snprintf(name, sizeof(name), "user%d", i);
		for (j = 0; j < 30; j++)
			assert_int_equal(ask(), 0);
	}
}

static void test_conf(void **state)
{
	char bad[] = "10.0.0.0/99", err[ERR_MAX];

	(void)state;
	NEEDS("webpush");
	conf.push_allow = bad;
	assert_int_equal(push_check_text(&conf, err), -1);
	assert_string_equal(err, CONF_PATH_DEFAULT
	    ": pushAllow: \"10.0.0.0/99\" is not valid: after "
	    "the / comes a number of bits");
	conf.push_allow = NULL;
	assert_int_equal(push_check_text(&conf, err), 0);
	push_refresh_guard(&q); /* none yet */
	assert_non_null(push_guard(&q));
	assert_ptr_equal(push_guard(&q), push_guard(&q));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_user),
		T(test_origin),
		T(test_kinds),
		T(test_allowed),
		T(test_many_users),
		T(test_conf),
	};

	return cmocka_run_group_tests_name("foreign", tests, NULL, NULL);
}
