/* push_test.c - the queue against a scripted Apple and a clock of the test's. */
#include "unit.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../../push/int.h"
#include "push_fake.h"

/* In the place of push/ways.c: Apple's alone. */
static const struct push_way other = { .kind = REG_HOOK };
const struct push_way *const push_ways[REG_KINDS] = { &push_way_apple, &other,
	&other, &other, &other };

static enum push_result notify(const char *user, const char *mailbox, bool now)
{
	const struct push_event *ev = now ? &push_new_mail : &push_other_event;
	enum push_result r = push_notify(queue, user, mailbox, ev);

	run_tasks();
	return r;
}

static struct reg *add_boxes(
    const char *token, const char *const *boxes, size_t n)
{
	const struct reg_spec spec = {
		.user = "alice",
		.account = "a",
		.token = token,
		.mailboxes = boxes,
		.n_mailboxes = n,
		.acked = true,
		.time_s = 1,
	};

	assert_null(reg_spec_check(&spec));
	return store_put(store, &spec);
}

/* Names of n mailboxes, good until the next call. */
static const char *const *names(const char *prefix, size_t n)
{
	static char text[REG_MAILBOXES_MAX][32];
	static const char *boxes[REG_MAILBOXES_MAX];
	size_t i;

	for (i = 0; i < n; i++) {
		snprintf(text[i], sizeof(text[i]), "%s%zu", prefix, i);
		boxes[i] = text[i];
	}
	return boxes;
}

static void lose(size_t i, enum send_outcome outcome)
{
	struct send_answer an = { .outcome = outcome, .retry_after_s = -1 };

	capacity++;
	ops->answer(ops_arg, sent[i].owner, &an);
	run_tasks();
}

static struct push_counters counters(void)
{
	struct push_figures f = { 0 };

	push_get_figures(push_lane_at(queue, 0), &f);
	return f.counters;
}

static void expect_counts(size_t sent_so_far, size_t in_queue)
{
	assert_int_equal(n_sent, sent_so_far);
	assert_int_equal(push_count(queue), in_queue);
}

/* --- who is woken, and with which words --- */

static void test_payload(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	assert_int_equal(notify("Alice", "inbox", true), PUSH_QUEUED);
	expect_counts(1, 1);
	assert_string_equal(sent[0].token, TOK_A);
	assert_string_equal(sent[0].payload,
	    "{\"aps\":{\"account-id\":\"acc\\\"1\",\"m\":[\"" MD5_INBOX
	    "\"],\"subtopic\":\"com.apple.mobilemail\"}}");
	answer(0, 200, "");
	expect_counts(1, 0);
	assert_int_equal(counters().delivered, 1);
}

static void test_unacknowledged_gets_inbox_only(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, false, 100);
	assert_int_equal(notify("alice", "Notes", true), PUSH_NO_MAILBOX);
	assert_int_equal(notify("alice", "INBOX", true), PUSH_QUEUED);
	expect_counts(1, 1);
	assert_string_equal(
	    sent[0].payload, "{\"aps\":{\"account-id\":\"acc\\\"1\"}}");
}

static void test_mailbox_hashes_setting(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, false, 100);
	add_reg("bob", TOK_B, true, 100);
	conf.mailbox_hashes = HASHES_ALWAYS;
	assert_int_equal(notify("alice", "Notes", true), PUSH_QUEUED);
	assert_non_null(strstr(sent[0].payload, "\"m\":[\"" MD5_NOTES "\"]"));
	conf.mailbox_hashes = HASHES_NEVER;
	assert_int_equal(notify("bob", "Notes", true), PUSH_NO_MAILBOX);
	assert_int_equal(notify("bob", "INBOX", true), PUSH_QUEUED);
	assert_null(strstr(sent[1].payload, "\"m\""));
}

static void test_nobody(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	assert_int_equal(notify("carol", "INBOX", true), PUSH_NO_USER);
	assert_int_equal(notify("alice", "Trash", true), PUSH_NO_MAILBOX);
	assert_int_equal(notify("alice", "notes", true), PUSH_NO_MAILBOX);
	expect_counts(0, 0);
}

static void test_two_devices(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	add_reg("alice", TOK_B, true, 100);
	notify("alice", "INBOX", true);
	expect_counts(2, 2);
	assert_string_not_equal(sent[0].token, sent[1].token);
}

/* --- waiting and merging --- */

static void test_delay_from_the_first(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", false);
	pass(20000);
	notify("alice", "Notes", false);
	pass(9999);
	expect_counts(0, 1);
	pass(1);
	expect_counts(1, 1);
	assert_non_null(strstr(sent[0].payload, MD5_INBOX));
	assert_non_null(strstr(sent[0].payload, MD5_NOTES));
}

static void test_new_mail_takes_along(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "Notes", false);
	notify("alice", "INBOX", true);
	expect_counts(1, 1);
	assert_non_null(strstr(sent[0].payload, MD5_NOTES));
	answer(0, 200, "");
	pass(60000);
	expect_counts(1, 0);
}

static void test_burst_is_two_pushes(void **state)
{
	int i;

	(void)state;
	add_reg("alice", TOK_A, true, 100);
	for (i = 0; i < 1000; i++)
		notify("alice", i % 2 ? "INBOX" : "Notes", true);
	expect_counts(1, 1);
	answer(0, 200, "");
	expect_counts(2, 1);
	assert_non_null(strstr(sent[1].payload, MD5_INBOX));
	assert_non_null(strstr(sent[1].payload, MD5_NOTES));
	answer(1, 200, "");
	expect_counts(2, 0);
}

static void make_space(void)
{
	capacity = 1;
	ops->capacity(ops_arg);
	run_tasks();
}

/* What was sent names each of them, in the pushes from first on. */
static void expect_named(size_t first, const char *const *boxes, size_t n)
{
	char hex[33] = "";
	unsigned char md5[16];
	size_t i, k;

	for (i = 0; i < n; i++) {
		tls_md5(boxes[i], strlen(boxes[i]), md5);
		text_hex_write(md5, sizeof(md5), hex);
		for (k = first; k < n_sent; k++)
			if (strstr(sent[k].payload, hex) != NULL)
				break;
		assert_true(k < n_sent);
	}
}

/* All thousand, over as many pushes as it takes, each below Apple's limit. */
static void test_more_mailboxes_than_fit(void **state)
{
	const char *const *boxes = names("m", REG_MAILBOXES_MAX);
	size_t i;

	(void)state;
	capacity = 0;
	add_boxes(TOK_A, boxes, REG_MAILBOXES_MAX);
	for (i = 0; i < REG_MAILBOXES_MAX; i++) {
		notify("alice", boxes[i], i % 2);
		notify("alice", boxes[i / 2], true);
	}
	make_space();
	for (i = 0; i < 10; i++) {
		expect_counts(i + 1, 1);
		assert_true(strlen(sent[i].payload) < 4096);
		answer(i, 200, "");
	}
	expect_counts(10, 0);
	expect_named(0, boxes, REG_MAILBOXES_MAX);
}

/* A device that keeps changing its list while Apple is away: mailboxes that it
 * does not know any more are dropped, those that it knows are not lost. */
static void test_lists_that_alternate(void **state)
{
	const char *const *boxes = NULL;
	char prefix[2] = "a";
	size_t i;

	(void)state;
	capacity = 0;
	for (; prefix[0] <= 'e'; prefix[0]++) {
		boxes = names(prefix, REG_MAILBOXES_MAX);
		add_boxes(TOK_A, boxes, REG_MAILBOXES_MAX);
		for (i = 0; i < REG_MAILBOXES_MAX; i++)
			notify("alice", boxes[i], true);
	}
	make_space();
	for (i = 0; push_count(queue) > 0; i++)
		answer(i, 200, "");
	assert_true(n_sent <= 11);
	expect_named(0, boxes, REG_MAILBOXES_MAX);
}

/* RFC 3501 5.1.3; the right values are of Python's hashlib, of the UTF-8. */
static void test_hash_of_the_decoded_name(void **state)
{
	static const char *const rows[][2] = {
		{ "INBOX", MD5_INBOX },
		{ "inbox", "af1cd994dfcb9286c394d142687ff5a0" },
		{ "Entw&APw-rfe", "6935862f74f620598b6b2549c202aafa" },
		{ "Entw\xc3\xbcrfe", "6935862f74f620598b6b2549c202aafa" },
		{ "R&-D", "2f99609fe3ff2cd1f17d6ea9945ea9f6" },
		{ "R&D", "2f99609fe3ff2cd1f17d6ea9945ea9f6" },
		{ "&-&-", "d3e6c58433b57b7aeaa0f363c50c1665" },
		{ "&U,BTFw-/&ZeVnLIqe-", "73d5ae248fe8e38a311ff2e49c7ed44c" },
		{ "&2D3eAA-", "2a02eac39d716a70ecf37579185927b6" },
		{ "a/&-/&APw-&-b", "90f5d18e3ae981043f13b1a99ddcf36f" },
		/* not modified UTF-7: as given */
		{ "&AEE-", "d239d7186a9f038ce5bde60f1ad69e29" },
		{ "&APw", "5f1b5b36c1ce77cf530c13010647b19e" },
		{ "&2D0-", "be0263877aaad5d399a610d3c35806a1" },
		{ "Entw\xc3\xbcrfe &-", "79758920850ec8298fc355f399bab330" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		add_boxes(TOK_A, &rows[i][0], 1);
		assert_int_equal(
		    notify("alice", rows[i][0], true), PUSH_QUEUED);
		assert_non_null(strstr(sent[i].payload, rows[i][1]));
		answer(i, 200, "");
	}
}

/* The longest name, all of it encoded. */
static void test_hash_of_the_longest_name(void **state)
{
	char name[REG_MAILBOX_MAX + 1] = "", utf8[REG_UTF8_MAX] = "";
	const char *const box = name;
	unsigned char md5[16];
	char hex[33] = "";

	(void)state;
	/* in a run of its own, with something between two: eight characters
	 * are nine bytes of UTF-8 */
	while (strlen(name) + 8 < sizeof(name)) {
		strcat(name, "&ZeVnLA-");
		strcat(utf8, "\xe6\x97\xa5\xe6\x9c\xac");
		if (strlen(name) + 1 < sizeof(name)) {
			strcat(name, "x");
			strcat(utf8, "x");
		}
	}
	tls_md5(utf8, strlen(utf8), md5);
	text_hex_write(md5, sizeof(md5), hex);
	add_boxes(TOK_A, &box, 1);
	assert_int_equal(notify("alice", utf8, true), PUSH_QUEUED);
	assert_non_null(strstr(sent[0].payload, hex));
}

/* --- several nodes --- */

static unsigned asked;
static unsigned char asked_hash[PUSH_HASH_LEN];

static void on_due(
    void *arg, const struct reg *r, const unsigned char *hash, int64_t ahead_ms)
{
	assert_ptr_equal(arg, &asked);
	assert_string_equal(reg_user(r), "alice");
	assert_int_equal(ahead_ms, 500);
	memcpy(asked_hash, hash, sizeof(asked_hash));
	asked++;
}

static void test_another_node_sends_it(void **state)
{
	struct reg *r = add_reg("alice", TOK_A, true, 1);

	(void)state;
	asked = 0;
	push_on_due(queue, on_due, &asked);
	notify("alice", "INBOX", false);
	assert_false(push_covered(r, asked_hash, now_ms + 30000));
	pass(29499);
	assert_int_equal(asked, 0);
	pass(1);
	assert_int_equal(asked, 1);
	/* what came after that is not covered */
	assert_false(push_covered(r, asked_hash, now_ms - 29500));
	assert_true(push_covered(r, asked_hash, now_ms - 29499));
	assert_int_equal(push_count(queue), 0);
	assert_false(push_covered(r, asked_hash, now_ms));
	pass(1000);
	assert_int_equal(n_sent, 0);
	/* no answer: sent when it is due */
	notify("alice", "INBOX", false);
	notify("alice", "Notes", false);
	pass(29999);
	assert_int_equal(asked, 3);
	assert_int_equal(n_sent, 0);
	/* Notes, the second of two, and new since 30 s */
	assert_false(push_covered(r, asked_hash, now_ms));
	pass(1);
	assert_int_equal(n_sent, 1);
	assert_non_null(strstr(sent[0].payload, MD5_INBOX));
	assert_null(strstr(sent[0].payload, MD5_NOTES));
	assert_false(push_covered(r, asked_hash, now_ms + 1));
	answer(0, 200, "");
	assert_int_equal(push_count(queue), 0);
}

/* The others count from the claim, which the store made after our question. */
static void test_claimed_late(void **state)
{
	struct reg *r = add_reg("alice", TOK_A, true, 1);

	(void)state;
	asked = 0;
	push_claimed(r, 500);
	push_on_due(queue, on_due, &asked);
	notify("alice", "INBOX", false);
	push_claimed(r, 500);
	pass(29500);
	assert_int_equal(asked, 1);
	pass(300);
	push_claimed(r, 500);
	pass(499);
	assert_int_equal(n_sent, 0);
	pass(1);
	assert_int_equal(n_sent, 1);
	push_claimed(r, 500);
	answer(0, 200, "");
	pass(1000);
	assert_int_equal(n_sent, 1);
}

static void test_nobody_is_asked(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 1);
	asked = 0;
	push_on_due(queue, on_due, &asked);
	/* mail takes it along */
	notify("alice", "INBOX", false);
	notify("alice", "INBOX", true);
	assert_int_equal(n_sent, 1);
	answer(0, 200, "");
	/* it could not be sent by us */
	capacity = 0;
	notify("alice", "INBOX", false);
	pass(30000);
	assert_int_equal(asked, 0);
	/* they went away meanwhile */
	capacity = 1;
	ops->capacity(ops_arg);
	run_tasks();
	answer(1, 200, "");
	push_on_due(queue, NULL, NULL);
	notify("alice", "INBOX", false);
	push_on_due(queue, on_due, &asked);
	pass(30000);
	assert_int_equal(asked, 0);
	assert_int_equal(n_sent, 3);
}

/* An answer to an earlier JWT says nothing of the one that another node made. */
static void test_jwt_of_another_node(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 1);
	notify("alice", "INBOX", true);
	jwts++;
	answer(0, 403, "ExpiredProviderToken");
	assert_int_equal(renewed, 0);
	assert_int_equal(n_sent, 2);
	answer(1, 403, "ExpiredProviderToken");
	assert_int_equal(renewed, 1);
	assert_int_equal(n_sent, 3);
}

static void test_flush_sends_delayed(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", false);
	push_flush(queue);
	run_tasks();
	expect_counts(1, 1);
}

/* --- Apple's answers --- */

static void gone(int64_t timestamp_ms, size_t left)
{
	struct send_answer an = { .outcome = SEND_ANSWERED,
		.status = 410,
		.reason = "Unregistered",
		.timestamp_ms = timestamp_ms,
		.retry_after_s = -1 };

	add_reg("alice", TOK_A, true, 5000);
	notify("alice", "INBOX", true);
	notify("alice", "Notes", true);
	capacity++;
	ops->answer(ops_arg, sent[0].owner, &an);
	run_tasks();
	assert_int_equal(store_count(store), left);
}

static void test_410_newer_forgets(void **state)
{
	(void)state;
	gone(5000001, 0);
	expect_counts(1, 0);
	assert_int_equal(counters().forgotten, 1);
}

static void test_410_older_stays(void **state)
{
	(void)state;
	gone(4999999, 1);
	expect_counts(2, 1); /* what waited is sent */
}

/* Apple speaks of the push, and the registration is older. */
static void test_410_without_timestamp_forgets(void **state)
{
	(void)state;
	gone(0, 0);
}

static void test_410_with_garbage_forgets(void **state)
{
	(void)state;
	gone(INT64_MIN, 0);
}

/* A clock that ran ahead made it seem newer than everything. */
static void test_410_of_a_stamp_from_the_future(void **state)
{
	struct send_answer an = { .outcome = SEND_ANSWERED,
		.status = 410,
		.reason = "Unregistered",
		.retry_after_s = -1 };

	(void)state;
	an.timestamp_ms = (int64_t)time(NULL) * 1000;
	add_reg("alice", TOK_A, true, time(NULL) + 60 * 86400);
	notify("alice", "INBOX", true);
	capacity++;
	ops->answer(ops_arg, sent[0].owner, &an);
	assert_int_equal(store_count(store), 0);
}

/* The device registers while the push is under way: it is sent once more, and
 * only the answer to that counts. */
static void renewed_since(int status, const char *reason)
{
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	push_renewed(add_reg("alice", TOK_A, true, 100));
	answer(0, status, reason);
	assert_int_equal(store_count(store), 1);
	expect_counts(2, 1);
	assert_string_equal(sent[1].payload, sent[0].payload);
	answer(1, status, reason);
	expect_counts(2, 0);
	assert_int_equal(notify("alice", "INBOX", true),
	    status == 410 ? PUSH_NO_USER : PUSH_NO_MAILBOX);
}

static void test_renewed_since_bad_token(void **state)
{
	(void)state;
	renewed_since(400, "BadDeviceToken");
}

static void test_renewed_since_410(void **state)
{
	(void)state;
	renewed_since(410, "Unregistered");
}

static void suspends(int status, const char *reason)
{
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	answer(0, status, reason);
	expect_counts(1, 0);
	assert_int_equal(store_count(store), 1);
	assert_int_equal(notify("alice", "INBOX", true), PUSH_NO_MAILBOX);
	add_reg("alice", TOK_A, true, 200); /* the phone came back */
	assert_int_equal(notify("alice", "INBOX", true), PUSH_QUEUED);
	expect_counts(2, 1);
}

static void test_bad_token_suspends(void **state)
{
	(void)state;
	suspends(400, "BadDeviceToken");
}

static void test_wrong_topic_suspends(void **state)
{
	(void)state;
	suspends(400, "DeviceTokenNotForTopic");
}

static void test_expired_token_suspends(void **state)
{
	(void)state;
	suspends(410, "ExpiredToken");
}

static void retries(int status, const char *reason)
{
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	answer(0, status, reason);
	expect_counts(1, 1);
	notify("alice", "Notes", true); /* does not cut the pause short */
	pass(400);
	expect_counts(1, 1);
	pass(600); /* retryMin with jitter: 0.5 to 1 s */
	expect_counts(2, 1);
	assert_non_null(strstr(sent[1].payload, MD5_INBOX));
	assert_non_null(strstr(sent[1].payload, MD5_NOTES));
	answer(1, status, reason);
	pass(900);
	expect_counts(2, 1);
	pass(1100);
	expect_counts(3, 1);
	answer(2, 200, "");
	expect_counts(3, 0);
}

static void test_429_retries(void **state)
{
	(void)state;
	retries(429, "TooManyRequests");
}

static void test_429_jwt_kept(void **state)
{
	(void)state;
	retries(429, "TooManyProviderTokenUpdates");
	assert_int_equal(renewed, 0);
}

static void test_500_retries(void **state)
{
	(void)state;
	retries(500, "InternalServerError");
}

static void test_503_retries(void **state)
{
	(void)state;
	retries(503, "");
}

static void test_retry_after(void **state)
{
	struct send_answer an = {
		.outcome = SEND_ANSWERED, .status = 503, .retry_after_s = 120
	};

	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	capacity++;
	ops->answer(ops_arg, sent[0].owner, &an);
	pass(119999);
	expect_counts(1, 1);
	pass(1);
	expect_counts(2, 1);
}

/* An hour is the most that a server may ask for. */
static void test_retry_after_is_capped(void **state)
{
	struct send_answer an = { .outcome = SEND_ANSWERED,
		.status = 429,
		.retry_after_s = INT64_MAX };

	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	capacity++;
	ops->answer(ops_arg, sent[0].owner, &an);
	pass(3599999);
	expect_counts(1, 1);
	pass(1);
	expect_counts(2, 1);
}

/* A day-old flag does not take a second-old mail with it. */
static void test_each_event_has_its_own_time(void **state)
{
	(void)state;
	capacity = 0;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "Notes", false);
	pass(conf.push_expiration_s * 1000 - 1000);
	notify("alice", "INBOX", true);
	pass(2000);
	make_space();
	expect_counts(1, 1);
	assert_non_null(strstr(sent[0].payload, MD5_INBOX));
	/* the one under way is too old when it fails, the mail is not */
	pass(conf.push_expiration_s * 1000 - 3000);
	notify("alice", "Notes", true);
	pass(2000);
	lose(0, SEND_LOST);
	expect_counts(2, 1);
	assert_null(strstr(sent[1].payload, MD5_INBOX));
	assert_non_null(strstr(sent[1].payload, MD5_NOTES));
	assert_int_equal(counters().dropped, 1);
}

/* pushExpiration 0: each is tried once, and no other's failure drops it. */
static void test_now_or_never(void **state)
{
	(void)state;
	conf.push_expiration_s = 0;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	notify("alice", "Notes", true);
	lose(0, SEND_LOST);
	expect_counts(2, 1);
	assert_non_null(strstr(sent[1].payload, MD5_NOTES));
	lose(1, SEND_UNPROCESSED); /* was not tried */
	expect_counts(3, 1);
	lose(2, SEND_UNPROCESSED);
	pass(2000);
	expect_counts(4, 1);
	answer(3, 503, "");
	expect_counts(4, 0);
	assert_int_equal(counters().dropped, 2);
}

static void test_lost_retries_until_expiration(void **state)
{
	size_t i;

	(void)state;
	conf.push_expiration_s = 3600;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	for (i = 0; i < SENT_MAX - 1 && push_count(queue) > 0; i++) {
		lose(n_sent - 1, SEND_LOST);
		pass(conf.retry_max_ms);
	}
	expect_counts(n_sent, 0);
	assert_true(n_sent > 10);
	assert_true(now_ms - 1000000 >= 3600 * 1000);
	assert_int_equal(counters().dropped, 1);
	assert_int_equal(store_count(store), 1);
}

static void test_unprocessed_at_once_then_pauses(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	lose(0, SEND_UNPROCESSED);
	expect_counts(2, 1);
	lose(1, SEND_UNPROCESSED);
	expect_counts(2, 1);
	pass(2000);
	expect_counts(3, 1);
}

static void holds(int status, const char *reason)
{
	add_reg("alice", TOK_A, true, 100);
	add_reg("bob", TOK_B, true, 100);
	notify("alice", "INBOX", true);
	assert_null(push_trouble(push_lane_at(queue, 0)));
	answer(0, status, reason);
	assert_non_null(strstr(push_trouble(push_lane_at(queue, 0)), reason));
	assert_int_equal(notify("bob", "INBOX", true), PUSH_QUEUED);
	pass(59999);
	expect_counts(1, 2);
	pass(1);
	expect_counts(2, 2); /* one tries, the other waits */
	answer(1, status, reason);
	pass(119999);
	expect_counts(2, 2);
	pass(1);
	expect_counts(3, 2);
	answer(2, 200, "");
	assert_null(push_trouble(push_lane_at(queue, 0)));
	expect_counts(4, 1);
	assert_int_equal(store_count(store), 2);
}

static void test_403_holds(void **state)
{
	(void)state;
	holds(403, "InvalidProviderToken");
}

static void test_topic_disallowed_holds(void **state)
{
	(void)state;
	holds(400, "TopicDisallowed");
}

static void test_bad_certificate_holds(void **state)
{
	(void)state;
	holds(400, "BadCertificateEnvironment");
}

static bool is_ill(const char *words)
{
	const char *health = push_health(push_lane_at(queue, 0));

	if (health != NULL && strstr(health, words) == NULL)
		fail_msg("%s", health);
	return health != NULL;
}

static void test_health_without_connection(void **state)
{
	static const char words[] = "not connected to Apple for 5 min: refused";

	(void)state;
	down_ms = 300000;
	capacity = 0;
	add_reg("alice", TOK_A, true, 100);
	assert_false(is_ill("")); /* nothing waits */
	notify("alice", "INBOX", false);
	assert_true(is_ill(words));
	assert_null(push_trouble(
	    push_lane_at(queue, 0))); /* the credentials are good */
	down_ms = 299999;
	assert_false(is_ill(""));
	down_ms = 300000;
	assert_true(is_ill(words));
	store_drop(store, store_first(store, "alice"));
	assert_false(is_ill(""));
	down_ms = 0;
}

/* Connected, but no push is taken. */
static void test_health_without_success(void **state)
{
	size_t n = 0;

	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	lose(n++, SEND_LOST);
	assert_false(is_ill(""));
	pass(299999);
	while (n < n_sent)
		answer(n++, 503, "Shutdown");
	assert_false(is_ill(""));
	pass(1);
	assert_true(is_ill("taken no push for 5 min: 503 Shutdown"));
	pass(2 * 60 * 1000);
	assert_true(n_sent > n);
	assert_true(is_ill("taken no push for 7 min: 503 Shutdown"));
	/* also an answer that refuses it is one */
	answer(n, 400, "BadDeviceToken");
	assert_false(is_ill(""));
	/* the next one begins again, a day later */
	pass(86400 * 1000);
	add_reg("bob", TOK_B, true, 100);
	notify("bob", "INBOX", true);
	assert_false(is_ill(""));
	lose(n_sent - 1, SEND_UNPROCESSED);
	assert_false(is_ill(""));
}

static void test_no_auth_holds(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	no_auth = true;
	notify("alice", "INBOX", true);
	expect_counts(0, 1);
	assert_string_equal(
	    push_trouble(push_lane_at(queue, 0)), "no key today");
	pass(10000); /* not growing: the clock may be set any moment */
	pass(10000);
	no_auth = false;
	pass(9999);
	expect_counts(0, 1);
	pass(1);
	expect_counts(1, 1);
	assert_non_null(strstr(sent[0].payload, MD5_INBOX));
}

/* Other credentials: tried at once, and the next refusal is a first one. */
static void test_new_credentials_end_a_hold(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	answer(0, 403, "Forbidden");
	expect_counts(1, 1);
	push_set_cred(push_lane_at(queue, 0), NULL);
	run_tasks();
	expect_counts(2, 1);
	assert_null(push_trouble(push_lane_at(queue, 0)));
	answer(1, 403, "Forbidden");
	pass(60000);
	expect_counts(3, 1);
}

/* Answers from the old connection say nothing about the new credentials. */
static void late(int status, const char *reason)
{
	add_reg("alice", TOK_A, true, 100);
	add_reg("bob", TOK_B, true, 100);
	notify("alice", "INBOX", true);
	push_set_cred(push_lane_at(queue, 0), NULL);
	answer(0, status, reason);
	assert_null(push_trouble(push_lane_at(queue, 0)));
	assert_int_equal(store_count(store), 2);
	expect_counts(2, 1); /* sent again with the new ones */
	notify("bob", "INBOX", true);
	expect_counts(3, 2);
	answer(1, 200, "");
	answer(2, 200, "");
	expect_counts(3, 0);
	assert_int_equal(renewed, 0);
}

static void test_late_403(void **state)
{
	(void)state;
	late(403, "InvalidProviderToken");
}

static void test_late_expired_jwt(void **state)
{
	(void)state;
	late(403, "ExpiredProviderToken");
}

static void test_late_wrong_topic(void **state)
{
	(void)state;
	late(400, "DeviceTokenNotForTopic");
}

static void test_late_topic_disallowed(void **state)
{
	(void)state;
	late(400, "TopicDisallowed");
}

static void test_late_410(void **state)
{
	(void)state;
	late(410, "Unregistered");
}

/* Nor does a late 200 end the hold of the new ones. */
static void test_late_200(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	add_reg("bob", TOK_B, true, 100);
	notify("alice", "INBOX", true);
	push_set_cred(push_lane_at(queue, 0), NULL);
	notify("bob", "INBOX", true);
	answer(1, 403, "Forbidden");
	assert_non_null(push_trouble(push_lane_at(queue, 0)));
	answer(0, 200, "");
	assert_non_null(push_trouble(push_lane_at(queue, 0)));
	expect_counts(2, 1);
	pass(60000);
	expect_counts(3, 1);
}

/* The registration went and came back while a push was under way. */
static void test_answer_after_forget(void **state)
{
	struct reg *r = add_reg("alice", TOK_A, true, 100);

	(void)state;
	notify("alice", "INBOX", true);
	store_drop(store, r);
	add_reg("alice", TOK_A, true, 100);
	answer(0, 400, "BadDeviceToken");
	assert_int_equal(notify("alice", "INBOX", true), PUSH_QUEUED);
	expect_counts(2, 1);
}

/* NTP sets the clock while Apple refuses our JWT for its time. */
static void test_clock_step_ends_a_hold(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	wall_s += 60 * 86400;
	notify("alice", "INBOX", true);
	answer(0, 403, "InvalidProviderToken");
	pass(60000);
	answer(1, 403, "InvalidProviderToken");
	pass(120000);
	answer(2, 403, "InvalidProviderToken");
	expect_counts(3, 1);
	wall_s -= 60 * 86400;
	pass(60000); /* of 240 s */
	expect_counts(4, 1);
	assert_int_equal(renewed, 1);
	answer(3, 200, "");
	assert_null(push_trouble(push_lane_at(queue, 0)));
}

/* The second ExpiredProviderToken within 20 minutes, but the first was the
 * wrong clock's. */
static void test_expired_jwt_and_a_clock_step(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	answer(0, 403, "ExpiredProviderToken");
	wall_s += 7200;
	answer(1, 403, "ExpiredProviderToken");
	assert_null(push_trouble(push_lane_at(queue, 0)));
	expect_counts(3, 1);
	answer(2, 403, "ExpiredProviderToken");
	assert_non_null(push_trouble(push_lane_at(queue, 0)));
}

/* New mail is soon enough for a look at the clock. */
static void test_clock_step_and_new_mail(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	add_reg("bob", TOK_B, true, 100);
	notify("alice", "INBOX", true);
	answer(0, 403, "InvalidProviderToken");
	wall_s -= 3600;
	notify("bob", "INBOX", true);
	pass(1);
	expect_counts(2, 2);
	answer(1, 200, "");
	expect_counts(3, 1);
}

/* By a late clock all has expired: without the date Apple takes it. */
static void test_bad_expiration_date(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	add_reg("bob", TOK_B, true, 100);
	notify("alice", "INBOX", true);
	notify("bob", "INBOX", true);
	answer(0, 400, "BadExpirationDate");
	assert_false(dated);
	answer(1, 400, "BadExpirationDate"); /* was sent with the date, too */
	expect_counts(4, 2);
	answer(2, 200, "");
	answer(3, 400, "BadExpirationDate"); /* whatever it means */
	assert_non_null(strstr(push_trouble(push_lane_at(queue, 0)), "clock"));
	expect_counts(4, 1);
	wall_s += 86400;
	pass(60000);
	assert_true(dated);
	expect_counts(5, 1);
	answer(4, 200, "");
	assert_null(push_trouble(push_lane_at(queue, 0)));
}

static void test_expired_jwt(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	add_reg("bob", TOK_B, true, 100);
	notify("alice", "INBOX", true);
	notify("bob", "INBOX", true);
	answer(0, 403, "ExpiredProviderToken");
	assert_int_equal(renewed, 1);
	expect_counts(3, 2);			/* resent at once */
	answer(1, 403, "ExpiredProviderToken"); /* was sent with the old one */
	assert_int_equal(renewed, 1);
	expect_counts(4, 2);
	assert_null(push_trouble(push_lane_at(queue, 0)));
	answer(2, 403, "ExpiredProviderToken"); /* the new one too */
	assert_non_null(strstr(push_trouble(push_lane_at(queue, 0)), "clock"));
	expect_counts(4, 2);
}

static void test_other_4xx_dropped(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	answer(0, 413, "PayloadTooLarge");
	expect_counts(1, 0);
	assert_int_equal(counters().dropped, 1);
	assert_int_equal(store_count(store), 1);
}

static void test_dropped_while_in_flight(void **state)
{
	struct reg *r = add_reg("alice", TOK_A, true, 100);

	(void)state;
	notify("alice", "INBOX", true);
	notify("alice", "Notes", true);
	store_drop(store, r);
	expect_counts(1, 1);
	answer(0, 200, "");
	expect_counts(1, 0);
}

static void test_queue_is_bounded(void **state)
{
	int i;

	(void)state;
	capacity = 0;
	add_reg("alice", TOK_A, true, 100);
	add_reg("alice", TOK_B, true, 100);
	for (i = 0; i < 1000; i++)
		notify("alice", "INBOX", i % 3 == 0);
	expect_counts(0, 2);
	capacity = 10;
	ops->capacity(ops_arg);
	run_tasks();
	expect_counts(2, 2);
}

/* --- over a restart --- */

static void restart(void)
{
	char err[ERR_MAX], saved[80];

	snprintf(saved, sizeof(saved), "%s.queue", path);
	assert_int_equal(push_save(queue, saved, err), 0);
	push_free(queue);
	queue = push_new(NULL, &conf, store, NULL);
	push_load(queue, saved);
	assert_int_equal(access(saved, F_OK), -1);
	run_tasks();
}

/* databaseFile may be relative. */
static void test_kept_in_the_working_directory(void **state)
{
	char err[ERR_MAX], *old = getcwd(NULL, 0);

	(void)state;
	assert_int_equal(chdir(dir), 0);
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", false);
	assert_int_equal(push_save(queue, "waiting", err), 0);
	assert_int_equal(unlink("waiting"), 0);
	assert_int_equal(chdir(old), 0);
	free(old);
}

static void test_kept_over_a_restart(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	add_reg("bob", TOK_B, true, 100);
	notify("alice", "INBOX", true);	 /* in flight */
	notify("alice", "Notes", false); /* delayed */
	notify("bob", "INBOX", true);
	answer(1, 503, ""); /* paused */
	expect_counts(2, 2);
	restart();
	expect_counts(4, 2);
	assert_non_null(strstr(sent[2].payload, MD5_INBOX));
	assert_non_null(strstr(sent[3].payload, MD5_INBOX));
	assert_non_null(strstr(
	    sent[strcmp(sent[2].token, TOK_A) ? 3 : 2].payload, MD5_NOTES));
}

static void test_nothing_to_keep(void **state)
{
	(void)state;
	restart();
	expect_counts(0, 0);
}

static void load_text(const char *text)
{
	char saved[80];
	FILE *f;

	snprintf(saved, sizeof(saved), "%s.queue", path);
	f = fopen(saved, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	push_load(queue, saved);
	run_tasks();
}

#define KEPT(token, age, hashes)                                               \
	"{\"user\":\"alice\",\"account\":\"acc\\\"1\",\"token\":\"" token      \
	"\",\"age\":" age ",\"hashes\":[" hashes "]}\n"

static void test_damaged_queue_file(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	load_text("garbage\n[]\n\n{}\n" KEPT(TOK_A, "1", "\"7e33\"")
		KEPT(TOK_A, "true", "\"" MD5_INBOX "\"")
		    KEPT(TOK_A, "-1", "\"" MD5_INBOX "\"") KEPT(TOK_A, "1", "")
			KEPT(TOK_B, "1", "\"" MD5_INBOX "\"") /* none such */
	    KEPT(TOK_A, "1",
		"\"" MD5_NOTES "\"") "{\"user\":\"alice\",\"acc"); /* torn */
	expect_counts(1, 1);
	assert_non_null(strstr(sent[0].payload, MD5_NOTES));
	assert_null(strstr(sent[0].payload, MD5_INBOX));
}

static void test_too_old_to_send(void **state)
{
	(void)state;
	add_reg("alice", TOK_A, true, 100);
	load_text(KEPT(TOK_A, "9223372036854775807", "\"" MD5_INBOX "\""));
	expect_counts(0, 0);
	assert_int_equal(counters().dropped, 1);
}

/* Saved under any clock, loaded under any other: neither lost nor kept for
 * ever. */
static void test_clocks_of_a_restart(void **state)
{
	static const int64_t jumps[] = { -CLOCK_MIN_S, CLOCK_MIN_S, 60 * 86400,
		-60 * 86400, -86400, 86400, 20 * 365 * 86400,
		-20 * 365 * 86400 };
	size_t i;

	(void)state;
	capacity = 0;
	add_reg("alice", TOK_A, true, 100);
	notify("alice", "INBOX", true);
	for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		wall_s += jumps[i];
		restart();
		pass(3600000);
		expect_counts(0, 1);
	}
	pass(conf.push_expiration_s * 1000 - (int64_t)i * 3600000);
	make_space();
	expect_counts(0, 0);
	assert_int_equal(counters().dropped, 1);
}

/* Of 0.1.0: the wall clock's time, and names hashed as they were spelled. */
static void test_queue_of_the_last_version(void **state)
{
	static const char *const boxes[] = { "INBOX", "Entw&APw-rfe" };

	(void)state;
	add_boxes(TOK_A, boxes, 2);
	load_text("{\"user\":\"alice\",\"account\":\"a\",\"token\":\"" TOK_A
		  "\",\"time\":5,\"hashes\":[\"" MD5_INBOX
		  "\",\"d07923816012158d6c5f8f4d220153e3\"]}\n");
	expect_counts(1, 1);
	assert_non_null(strstr(sent[0].payload, MD5_INBOX));
	assert_non_null(
	    strstr(sent[0].payload, "6935862f74f620598b6b2549c202aafa"));
}

/* More hashes than the registration has mailboxes, none of them its own. */
static void test_hashes_of_another_list(void **state)
{
	static char text[48 * 1024];
	size_t line, i, len;
	FILE *f;
	char saved[80];

	(void)state;
	add_reg("alice", TOK_A, true, 100);
	snprintf(saved, sizeof(saved), "%s.queue", path);
	f = fopen(saved, "w");
	assert_non_null(f);
	for (line = 0; line < 3; line++) {
		len = (size_t)snprintf(text, sizeof(text),
		    "{\"user\":\"alice\",\"account\":\"acc\\\"1\",\"token\":"
		    "\"" TOK_A "\",\"age\":1,\"hashes\":[");
		for (i = 0; i < 1000; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
			    "%s\"%032zx\"", i > 0 ? "," : "",
			    line * 1000 + i + 1);
		fprintf(f, "%s]}\n", text);
	}
	fclose(f);
	push_load(queue, saved);
	run_tasks();
	for (i = 0; i < n_sent && push_count(queue) > 0; i++) {
		assert_null(strstr(sent[i].payload, "\"m\":]"));
		answer(i, 200, "");
	}
	assert_int_equal(push_count(queue), 0);
	assert_true(n_sent <= 11);
}

/* More than a line holds, among others. */
static void test_long_records_are_kept(void **state)
{
	char token[32];
	const char *const *boxes;
	size_t i, k;

	(void)state;
	for (k = 0; k < 5; k++) {
		boxes = names("a", REG_MAILBOXES_MAX);
		snprintf(token, sizeof(token), "%024zx", k + 1);
		add_boxes(token, boxes, REG_MAILBOXES_MAX);
	}
	for (i = 0; i < REG_MAILBOXES_MAX; i++)
		notify("alice", boxes[i], true); /* one each is in flight */
	boxes = names("b", REG_MAILBOXES_MAX);
	for (k = 0; k < 5; k++) {
		snprintf(token, sizeof(token), "%024zx", k + 1);
		add_boxes(token, boxes, REG_MAILBOXES_MAX);
	}
	for (i = 0; i < REG_MAILBOXES_MAX; i++)
		notify("alice", boxes[i], true);
	expect_counts(5, 5);
	capacity = 0;
	restart();
	expect_counts(5, 5);
	capacity = 1;
	ops->capacity(ops_arg);
	run_tasks();
	for (i = 5; i < 20; i++)
		answer(i, 200, "");
	expect_named(5, boxes, 1);
}

/* The disk is full: what fits is kept, and the rest is reported. */
static void test_no_space_for_the_queue(void **state)
{
	char *end;
	struct rlimit old, small = { 60 * 1024, RLIM_INFINITY };
	char err[ERR_MAX], saved[80], token[32];
	const char *const *boxes = names("a", 200);
	size_t i, kept;

	(void)state;
	capacity = 0;
	for (i = 0; i < 20; i++) {
		snprintf(token, sizeof(token), "%024zx", i + 1);
		add_boxes(token, boxes, 200);
	}
	for (i = 0; i < 200; i++)
		notify("alice", boxes[i], true);
	snprintf(saved, sizeof(saved), "%s.queue", path);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	i = (size_t)push_save(queue, saved, err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal((int)i, -1);
	assert_int_equal(strncmp(err, "only ", 5), 0);
	kept = strtoul(err + 5, &end, 10);
	assert_int_equal(strncmp(end, " of 20 waiting", 14), 0);
	assert_true(kept >= 2);
	push_free(queue);
	queue = push_new(NULL, &conf, store, NULL);
	push_load(queue, saved);
	assert_int_equal(push_count(queue), kept);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_payload),
		T(test_unacknowledged_gets_inbox_only),
		T(test_mailbox_hashes_setting),
		T(test_nobody),
		T(test_two_devices),
		T(test_delay_from_the_first),
		T(test_new_mail_takes_along),
		T(test_burst_is_two_pushes),
		T(test_more_mailboxes_than_fit),
		T(test_lists_that_alternate),
		T(test_hash_of_the_decoded_name),
		T(test_hash_of_the_longest_name),
		T(test_flush_sends_delayed),
		T(test_another_node_sends_it),
		T(test_claimed_late),
		T(test_nobody_is_asked),
		T(test_jwt_of_another_node),
		T(test_410_newer_forgets),
		T(test_410_older_stays),
		T(test_410_without_timestamp_forgets),
		T(test_410_with_garbage_forgets),
		T(test_410_of_a_stamp_from_the_future),
		T(test_renewed_since_bad_token),
		T(test_renewed_since_410),
		T(test_bad_token_suspends),
		T(test_wrong_topic_suspends),
		T(test_expired_token_suspends),
		T(test_429_retries),
		T(test_429_jwt_kept),
		T(test_500_retries),
		T(test_503_retries),
		T(test_retry_after),
		T(test_retry_after_is_capped),
		T(test_each_event_has_its_own_time),
		T(test_now_or_never),
		T(test_lost_retries_until_expiration),
		T(test_unprocessed_at_once_then_pauses),
		T(test_403_holds),
		T(test_topic_disallowed_holds),
		T(test_bad_certificate_holds),
		T(test_health_without_connection),
		T(test_health_without_success),
		T(test_no_auth_holds),
		T(test_new_credentials_end_a_hold),
		T(test_late_403),
		T(test_late_expired_jwt),
		T(test_late_wrong_topic),
		T(test_late_topic_disallowed),
		T(test_late_410),
		T(test_late_200),
		T(test_answer_after_forget),
		T(test_clock_step_ends_a_hold),
		T(test_expired_jwt_and_a_clock_step),
		T(test_clock_step_and_new_mail),
		T(test_bad_expiration_date),
		T(test_expired_jwt),
		T(test_other_4xx_dropped),
		T(test_dropped_while_in_flight),
		T(test_queue_is_bounded),
		T(test_kept_over_a_restart),
		T(test_kept_in_the_working_directory),
		T(test_nothing_to_keep),
		T(test_damaged_queue_file),
		T(test_too_old_to_send),
		T(test_clocks_of_a_restart),
		T(test_queue_of_the_last_version),
		T(test_hashes_of_another_list),
		T(test_long_records_are_kept),
		T(test_no_space_for_the_queue),
	};

	return cmocka_run_group_tests_name("push", tests, NULL, NULL);
}
