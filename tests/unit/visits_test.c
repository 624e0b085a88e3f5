/* visits_test.c - the rule of wake-ups, and the quarters of a day. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../buf.h"
#include "../../log.h"
#include "../../store.h"
#include "push/int.h"

static struct store *store;
static struct visits v;
static struct reg *alice;
static struct push flight;
static int64_t begin_ms, now_ms;

static struct reg *put_kind(
    const char *user, const char *token, enum reg_kind kind)
{
	static const char *const boxes[] = { "INBOX" };
	const struct reg_spec spec = {
		.user = user,
		.account = "a",
		.token = token,
		.mailboxes = boxes,
		.n_mailboxes = 1,
		.time_s = 1,
		.kind = kind,
		.to = kind != REG_APPLE ? token : NULL,
	};

	assert_null(reg_spec_check(&spec));
	return store_put(store, &spec);
}

static struct reg *put(const char *user, const char *token)
{
	return put_kind(user, token, REG_APPLE);
}

#define TOKEN "aaaaaaaaaaaaaaaa"
#define OTHER "bbbbbbbbbbbbbbbb"

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_L_FATAL);
	store = store_view_new();
	memset(&v, 0, sizeof(v));
	memset(&flight, 0, sizeof(flight));
	begin_ms = now_ms = 1000000;
	visits_init(&v, store, now_ms);
	alice = put("alice", TOKEN);
	reg_set_data(alice, &flight);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_view_free(store);
	visits_free(&v);
	return 0;
}

static void at_s(int64_t s)
{
	now_ms = begin_ms + s * 1000;
}

static int64_t tick(void)
{
	return visits_tick(&v, now_ms);
}

static void sent(void)
{
	flight.in_flight = true;
	flight.sent = tick();
	flight.came = VISITS_NOBODY;
}

static void answered(void)
{
	flight.in_flight = false;
	visits_taken(&v, alice, flight.sent, flight.came, now_ms);
}

static void push(struct reg *r)
{
	visits_taken(&v, r, tick(), VISITS_NOBODY, now_ms);
}

static bool visit(const char *user)
{
	return visits_seen(&v, user, "iOS 26.5", now_ms);
}

static const char *known(struct reg *r)
{
	static char text[1024];
	struct buf b = BUF_INIT(sizeof(text) - 1);

	visits_write(&v, r, now_ms, &b);
	snprintf(text, sizeof(text), "%.*s}", (int)b.len,
	    b.len > 0 ? (const char *)buf_head(&b) : "");
	buf_free(&b);
	return text;
}

static void expect_known(struct reg *r, const char *what)
{
	const char *text = known(r);

	if (strstr(text, what) == NULL)
		fail_msg("no %s in %s", what, text);
}

static void expect_unknown(struct reg *r, const char *what)
{
	const char *text = known(r);

	if (strstr(text, what) != NULL)
		fail_msg("%s in %s", what, text);
}

static uint64_t missed(void)
{
	visits_judge(&v, now_ms);
	return v.n.missed;
}

/* --- the rule --- */

/* What happens at which second: P a push that Apple takes at once, S and A one
 * that is sent and taken, V a visit, J nothing. */
static void play(const char *script)
{
	const char *p = script;
	char what, *end;

	while (*p != '\0') {
		what = *p++;
		now_ms = begin_ms + strtol(p, &end, 10) * 1000;
		if (*end == '.') {
			now_ms += (end[1] - '0') * 100;
			end += 2;
		}
		p = end + (*end == ' ');
		if (what == 'P')
			push(alice);
		else if (what == 'S')
			sent();
		else if (what == 'A')
			answered();
		else if (what == 'V')
			assert_true(visit("alice"));
		else
			assert_int_equal(what, 'J');
	}
}

static const struct {
	const char *script, *wakeup; /* NULL: none */
	unsigned wakeups, missed, unanswered;
} cases[] = {
	{ "P0 V1.5", "1.5", 1, 0, 0 },
	/* pushes that follow each other are one wake-up */
	{ "P0 P1.3 V1.5", "1.5", 1, 0, 0 },
	{ "P0 P119 V120", "120.0", 1, 0, 0 },
	/* quicker than we can measure is not never */
	{ "P0 V0", "0.1", 1, 0, 0 },
	/* the second visit is none */
	{ "P0 V1.5 V1.6 V300", "1.5", 1, 0, 0 },
	{ "V0 V5", NULL, 0, 0, 0 },
	{ "V0 P1 V2 P3 V3.7", "0.7", 2, 0, 0 },
	/* asleep for two of three pushes over 20 minutes */
	{ "V0 P1 P601 P1201 V1203 J1700", "2.0", 1, 2, 0 },
	{ "V0 P1 P423 P901 V903 J1600", "2.0", 1, 2, 0 },
	/* the window's end */
	{ "V0 P1 V601", "600.0", 1, 0, 0 },
	{ "V0 P1 V601.1 J700", NULL, 0, 1, 0 },
	{ "V0 P1 V2 P3 V700", NULL, 1, 1, 0 },
	{ "V0 P1 J600", NULL, 0, 0, 0 },
	{ "V0 P1 J622", NULL, 0, 1, 1 },
	{ "V0 P1 P2 P3 J700", NULL, 0, 3, 3 },
	{ "V0 P1 P2 P300 J895", NULL, 0, 2, 2 },
	{ "V0 P1 P2 P300 J921", NULL, 0, 3, 3 },
	{ "V0 P1 V2 P3 P303 J1000", "1.0", 1, 2, 2 },
	/* nobody reports visits, or nobody did then */
	{ "P0 P1000 P2000 J9000", NULL, 0, 0, 0 },
	{ "P0 P1000 V1002 J9000", "2.0", 1, 0, 0 },
	{ "P0 V700 J9000", NULL, 0, 0, 0 },
	/* the phone is quicker than Apple's answer */
	{ "S0 V0.8 A1", "0.8", 1, 0, 0 },
	{ "S0 V0.8 V0.9 A1 V5 J700", "0.8", 1, 0, 0 },
	{ "S0 A20 V21", "21.0", 1, 0, 0 },
	{ "P0 S1 V1.5 A2 V3 J700", "1.5", 1, 0, 0 },
	{ "V0 S1 V1.5 A2 P3 J700", "0.5", 1, 1, 1 },
	/* an answer that takes longer than a wake-up */
	{ "V0 S1 A900 J1600", NULL, 0, 1, 1 },
	{ "V0 S1 V700 A900 J1600", "600.0", 1, 0, 0 },
};

static void test_sequences(void **state)
{
	char want[64];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		play(cases[i].script);
		if (missed() != cases[i].missed ||
		    v.n.n_wakeups != cases[i].wakeups)
			fail_msg("%s: %d wake-ups, %d missed", cases[i].script,
			    (int)v.n.n_wakeups, (int)v.n.missed);
		if (cases[i].wakeup == NULL) {
			expect_unknown(alice, "wakeup");
		} else {
			snprintf(want, sizeof(want), "\"wakeup\":%s,",
			    cases[i].wakeup);
			expect_known(alice, want);
		}
		snprintf(want, sizeof(want), "\"unanswered\":%u}",
		    cases[i].unanswered);
		if (v.first != 0 && strstr(known(alice), "pushed") != NULL)
			expect_known(alice, want);
		teardown(state);
		setup(state);
	}
}

/* Ticks and seconds of registrations have 30 and 26 bits. */
static void test_wrap(void **state)
{
	const int64_t wraps[] = { INT64_C(1) << 30, (INT64_C(1) << 26) * 10,
		INT64_C(3) << 30 };
	size_t i;

	for (i = 0; i < 3; i++) {
		v.start_ms = now_ms - (wraps[i] - 9) * 100;
		v.slot = tick() / VISITS_SLOT_TICKS;
		play("V0 P0.5 P1.2 V2 P3 P603 J604");
		assert_int_equal(missed(), 0);
		assert_int_equal(v.n.n_wakeups, 1);
		expect_known(alice, "\"wakeup\":1.5,");
		expect_known(alice, "\"unanswered\":1}");
		at_s(1300);
		assert_int_equal(missed(), 2);
		assert_int_equal(visit("alice"), true);
		teardown(state);
		setup(state);
	}
}

static void test_many_pushes(void **state)
{
	int i;

	(void)state;
	visit("alice");
	for (i = 0; i < 400; i++) { /* of one wake-up */
		now_ms += 100;
		push(alice);
	}
	visit("alice");
	assert_int_equal(v.n.n_wakeups, 1);
	for (i = 0; i < 400; i++) { /* of one each */
		now_ms += 200 * 1000;
		push(alice);
	}
	now_ms += 1000 * 1000;
	assert_int_equal(missed(), 400);
	expect_known(alice, "\"unanswered\":255}");
	assert_int_equal(v.n.missed_day, 400);
}

/* --- who came --- */

static void test_several_devices(void **state)
{
	struct reg *ipad = put("Alice", OTHER);

	(void)state;
	push(ipad);
	at_s(60);
	push(alice);
	at_s(62);
	assert_true(visit("ALICE"));
	assert_int_equal(v.n.n_wakeups, 1); /* and the shorter one counts */
	assert_int_equal(v.n.wakeups_ms, 2000);
	expect_known(alice, "\"wakeup\":2.0,");
	expect_known(ipad, "\"wakeup\":62.0,");
	at_s(2000);
	assert_int_equal(missed(), 0);
	push(ipad); /* while one is in flight to the other */
	sent();
	at_s(2001);
	visit("alice");
	at_s(2002);
	answered();
	assert_int_equal(v.n.n_wakeups, 2);
	expect_known(alice, "\"wakeup\":1.0,");
	at_s(9000);
	assert_int_equal(missed(), 0);
	assert_false(visit("bob"));
	assert_int_equal(v.n.visits, 2);
}

static void test_dropped(void **state)
{
	(void)state;
	visit("alice");
	push(alice);
	at_s(10);
	visits_drop(&v, alice, now_ms);
	store_drop(store, alice);
	at_s(2000);
	assert_int_equal(missed(), 0);
	alice = put("alice", TOKEN);
	assert_string_equal(known(alice), "}");
	assert_true(visit("alice"));
	assert_int_equal(v.n.n_wakeups, 0);
}

static void test_names(void **state)
{
	char name[32];
	int i;

	(void)state;
	assert_true(visits_seen(&v, "alice", "", now_ms));
	expect_unknown(alice, "client");
	for (i = 0; i < 180; i++) { /* unused ones make room */
		snprintf(name, sizeof(name), "iOS %d", i);
		visits_seen(&v, "alice", name, now_ms);
		visits_answered(&v, alice, name, now_ms);
		snprintf(name, sizeof(name), "\"client\":\"iOS %d\"", i);
		if (i <= VISITS_NAMES) {
			expect_known(alice, name);
		} else if (i < 2 * VISITS_NAMES) {
			/* but not all the time */
			now_ms += 10;
		}
		if (i == 2 * VISITS_NAMES - 1)
			now_ms += 60 * 60 * 1000;
	}
	expect_known(alice, "\"client\":\"iOS 179\"");
	expect_known(alice, "\"answer\":\"iOS 179\"");
	visits_renewed(alice);
	expect_unknown(alice, "answer");
	visits_answered(&v, alice, VISITS_TAKEN, now_ms);
	visits_renewed(alice);
	expect_known(alice, "\"answer\":\"Apple took it\"");
}

/* More of them in use than there is room for. */
static void test_many_names(void **state)
{
	char name[32];
	int i;

	(void)state;
	for (i = 0; i < 2 * VISITS_NAMES; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		put(name, TOKEN);
		assert_true(visits_seen(&v, name, name, now_ms));
		now_ms += 2 * 60 * 60 * 1000;
	}
	for (i = 0; i < 2 * VISITS_NAMES; i += VISITS_NAMES) {
		snprintf(name, sizeof(name), "u%d", i);
		if (i == 0)
			expect_known(store_first(store, name), "\"u0\"");
		else
			expect_unknown(store_first(store, name), "client");
	}
}

static void test_notified(void **state)
{
	(void)state;
	assert_string_equal(known(alice), "}");
	visits_notified(&v, alice, false, now_ms);
	expect_known(alice, "\"notified\":");
	expect_known(alice, "\"notifiedUnwatched\":true");
	visits_notified(&v, alice, true, now_ms);
	expect_unknown(alice, "notifiedUnwatched");
}

/* --- silent users --- */

#define DAY_S (24 * 60 * 60)

static uint64_t silent(void)
{
	visits_judge(&v, now_ms);
	return v.n.silent;
}

static void test_silent(void **state)
{
	struct reg *ipad = put("alice", OTHER);
	int day;

	(void)state;
	put("bob", TOKEN);
	visit("bob");
	for (day = 0; day < 8; day++) {
		at_s(day * DAY_S);
		push(alice);
		push(ipad);
		assert_int_equal(silent(), day >= 7);
	}
	at_s(9 * DAY_S);
	push(ipad);
	assert_int_equal(silent(), 1); /* a user, not a device */
	visits_drop(&v, alice, now_ms);
	store_drop(store, alice);
	assert_int_equal(silent(), 1);
	visit("alice");
	assert_int_equal(silent(), 0);
	for (day = 9; day < 18; day++) {
		at_s(day * DAY_S);
		push(ipad);
	}
	assert_int_equal(silent(), 1);
	visits_drop(&v, ipad, now_ms);
	store_drop(store, ipad);
	assert_int_equal(silent(), 0);
}

/* No push for a week, or nobody who would report visits. */
static void test_not_silent(void **state)
{
	int day;

	(void)state;
	for (day = 0; day < 20; day++) {
		at_s(day * DAY_S);
		push(alice);
	}
	assert_int_equal(silent(), 0);
	put("bob", TOKEN);
	visit("bob");
	at_s(21 * DAY_S);
	push(alice);
	assert_int_equal(silent(), 0);
	visit("alice");
	at_s(40 * DAY_S);
	push(alice);
	assert_int_equal(silent(), 0);
	now_ms += 1000;
	visit("alice");
	assert_int_equal(silent(), 0);
}

/* --- the day --- */

static const char *day(void)
{
	static char text[8192];
	struct buf b = BUF_INIT(sizeof(text) - 1);

	buf_add_str(&b, "{\"before\":true");
	visits_write_day(&v, now_ms, &b);
	snprintf(
	    text, sizeof(text), "%.*s", (int)b.len, (const char *)buf_head(&b));
	buf_free(&b);
	return text;
}

static size_t count(const char *text, char c)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == c;
	return n;
}

static void test_day(void **state)
{
	int i;

	(void)state;
	assert_null(strstr(day(), "wakeupMedian"));
	assert_int_equal(count(day(), ','), 1 + 3 + 3 * 95);
	visit("alice");
	for (i = 0; i < 5; i++) {
		push(alice);
		now_ms += i == 4 ? 99000 : 1000 * (i + 1);
		visit("alice");
		now_ms += 1000;
	}
	assert_non_null(strstr(day(), ",\"wakeupMedian\":3.0,"));
	at_s(DAY_S - 1000);
	assert_non_null(strstr(day(), ",\"wakeupMedian\":3.0,"));
	at_s(DAY_S + 2000);
	assert_null(strstr(day(), "wakeupMedian"));
	assert_null(strpbrk(strstr(day(), "pushes"), "123456789"));
	at_s(400 * DAY_S);
	assert_int_equal(count(day(), ','), 1 + 3 + 3 * 95);
	assert_true(sizeof(struct day) <= 2048);
	assert_true(sizeof(struct reg_past) <= 16);
}

/* More of them than are kept: the median stays near. */
static void test_median_of_many(void **state)
{
	struct day d = { 0 };
	int64_t now = DAY_FIRST_TICK;
	uint32_t random = 1;
	int i;

	(void)state;
	for (i = 0; i < 96 * 100; i++) {
		now += 90;
		day_begin(&d, now);
		random = random * 1103515245 + 12345;
		day_add_wakeup(&d, 10 + random / 65536 % 41);
	}
	assert_in_range(day_median(&d), 27, 33);
	/* a quarter of many weighs more than many quarters */
	day_begin(&d, now += DAY_QUARTER_TICKS);
	for (i = 0; i < 20000; i++)
		day_add_wakeup(&d, 600);
	assert_int_equal(day_median(&d), 600);
}

/* --- other kinds --- */

/* An Android phone answers for what is not Apple's, any other visit for Apple's;
 * what never says that it comes misses nothing. */
static void test_kinds(void **state)
{
	struct reg *web = put_kind("alice", OTHER, REG_WEBPUSH);

	(void)state;
	at_s(0);
	push(alice);
	push(web);
	expect_known(web, "\"pushed\"");
	at_s(2);
	visit("alice");
	expect_known(alice, "\"wakeup\":2.0");
	expect_unknown(web, "\"seen\"");
	at_s(700);
	push(web);
	at_s(2000);
	assert_int_equal(missed(), 0);
	expect_known(web, "\"waiting\":0,\"unanswered\":0");
	assert_true(visits_seen(&v, "alice", "android 14", now_ms));
	expect_known(web, "\"seen\"");
	expect_known(web, "\"client\":\"android 14\"");
	expect_unknown(web, "\"wakeup\"");
	expect_known(alice, "\"client\":\"iOS 26.5\"");
	/* from now on */
	at_s(3000);
	push(alice);
	push(web);
	at_s(3003);
	assert_true(visits_seen(&v, "alice", "Android 14", now_ms));
	expect_known(web, "\"wakeup\":3.0");
	expect_known(alice, "\"waiting\":1");
	at_s(3004);
	visit("alice");
	expect_known(alice, "\"wakeup\":4.0");
	assert_int_equal(v.n.n_wakeups, 3);
	at_s(4000);
	push(web);
	at_s(5000);
	assert_int_equal(missed(), 1);
	/* a user with an Android phone only is not unknown to an iPhone */
	put_kind("bob", TOKEN, REG_FCM);
	assert_true(visit("bob"));
	assert_true(visits_seen(&v, "bob", "Android", now_ms));
	assert_false(visits_seen(&v, "carol", "Android", now_ms));
}

/* Only of Apple's phones it is known that they come when pushed. */
static void test_other_kinds_are_not_silent(void **state)
{
	struct reg *web = put_kind("alice", OTHER, REG_WEBPUSH);
	int day;

	(void)state;
	visits_seen(&v, "alice", "Android 14", now_ms);
	for (day = 1; day < 10; day++) {
		at_s(day * 86400);
		push(web);
	}
	visits_judge(&v, now_ms);
	assert_int_equal(v.n.silent, 0);
	for (; day < 20; day++) {
		at_s(day * 86400);
		push(alice);
	}
	visits_judge(&v, now_ms);
	assert_int_equal(v.n.silent, 1);
	visits_seen(&v, "alice", "Android 14", now_ms);
	visits_judge(&v, now_ms);
	assert_int_equal(v.n.silent, 1);
	visit("alice");
	visits_judge(&v, now_ms);
	assert_int_equal(v.n.silent, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_sequences),
		T(test_wrap),
		T(test_many_pushes),
		T(test_several_devices),
		T(test_dropped),
		T(test_names),
		T(test_many_names),
		T(test_notified),
		T(test_silent),
		T(test_not_silent),
		T(test_day),
		T(test_median_of_many),
		T(test_kinds),
		T(test_other_kinds_are_not_silent),
	};

	return cmocka_run_group_tests_name("visits", tests, NULL, NULL);
}
