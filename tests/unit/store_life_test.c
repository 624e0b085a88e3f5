/* store_life_test.c - what the store does over time and at its limits: clocks,
 * expiry, ceilings, restless registrations; owners of watched mailboxes, and
 * the topics of devices. */
#include "unit.h"

#include <time.h>

#include "clock.h"
#include "needs.h"
#include "store_util.h"
#include "users.h"

#define T0 (CLOCK_MIN_S + 1000000)
#define HOUR 3600
#define DAY 86400
#define TTL (30 * DAY)
#define OTHER "fedcba9876543210"

static struct store *open_limited(size_t devices, size_t registrations)
{
	struct store *s = open_store();

	store_set_limits(s, &(struct store_limits){ .devices = devices,
				.registrations = registrations,
				.changes = 10,
				.ttl_s = TTL });
	return s;
}

static size_t count_user(struct store *s, const char *user)
{
	size_t n = 0;
	struct reg *r;

	for (r = store_first(s, user); r != NULL; r = reg_next(r))
		n++;
	return n;
}

static struct reg *put_list(struct store *s, const char *user,
    const char *const *boxes, const struct reg_canonical *canonical, size_t n)
{
	struct reg_spec spec = {
		.user = user,
		.account = "a",
		.token = TOKEN,
		.mailboxes = boxes,
		.canonical = canonical,
		.n_mailboxes = n,
		.acked = true,
		.time_s = T0,
	};

	struct reg *r;

	assert_null(reg_spec_check(&spec));
	r = reg_new(&spec); /* has what it needs, and no more */
	assert_int_equal(mailboxes_len(r), mailboxes_size(&spec));
	reg_free(r);
	return store_put(s, &spec);
}

/* --- clocks --- */

static void test_expires(void **state)
{
	struct store *s = open_limited(0, 0);

	(void)state;
	assert_true(store_clock(s, T0, 100));
	put(s, "old", "a", TOKEN, NULL, T0 - TTL - 1);
	put(s, "new", "a", TOKEN, NULL, T0);
	assert_int_equal(store_expire(s), 0); /* three days from the start */
	store_clock(s, T0 + 3 * DAY - 1, 99 + 3 * DAY);
	assert_int_equal(store_expire(s), 0);
	store_clock(s, T0 + 3 * DAY, 100 + 3 * DAY);
	assert_int_equal(store_expire(s), 1);
	assert_null(store_first(s, "old"));
	store_clock(s, T0 + TTL, 100 + TTL);
	assert_int_equal(store_expire(s), 0);
	store_clock(s, T0 + TTL + 1, 101 + TTL);
	assert_int_equal(store_expire(s), 1);
	store_close(s);
}

/* Wherever the wall clock jumps to, nothing is dropped for three days. */
static void test_steps(void **state)
{
	static const int64_t steps[] = { 60 * DAY, -60 * DAY, -DAY, DAY,
		2 * HOUR, -T0 };
	struct store *s = open_limited(0, 0);
	int64_t wall = T0, mono = 0;
	size_t i;

	(void)state;
	store_clock(s, wall, mono);
	put(s, "u", "a", TOKEN, NULL, wall);
	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		wall += 10 * DAY, mono += 10 * DAY;
		store_clock(s, wall, mono);
		put(s, "u", "a", TOKEN, NULL, wall);
		store_clock(s, wall + steps[i], mono);
		assert_int_equal(store_expire(s), 0);
		store_clock(s, wall + steps[i] + 2 * DAY, mono + 2 * DAY);
		assert_int_equal(store_expire(s), 0);
		wall += 2 * DAY, mono += 2 * DAY;
		store_clock(s, wall, mono); /* and back */
		assert_int_equal(store_expire(s), 0);
	}
	/* An hour less or more, as by a wrong time zone, is no step. */
	wall = T0 + 365 * DAY, mono += 365 * DAY;
	store_clock(s, wall, mono);
	put(s, "u", "a", TOKEN, NULL, wall - TTL + 10 * DAY);
	store_clock(s, wall + 5 * DAY + HOUR - 1, mono + 5 * DAY);
	assert_int_equal(store_expire(s), 0);
	store_clock(s, wall + 11 * DAY, mono + 11 * DAY);
	assert_int_equal(store_expire(s), 1);
	store_close(s);
}

/* Renewed under a clock that was not set: the old time stays, and the time is
 * stamped when it is right; in between, restarts. */
static void test_unset(void **state)
{
	struct store *s = open_limited(0, 0);
	int i;

	(void)state;
	store_clock(s, T0, 0);
	put(s, "known", "a", TOKEN, NULL, T0);
	store_close(s);
	for (i = 0; i < 2; i++) {
		s = open_limited(0, 0);
		assert_false(store_clock(s, 100, 5));
		put(s, "known", "a", TOKEN, NULL, REG_TIME_UNKNOWN);
		put(s, "fresh", "a", TOKEN, NULL, REG_TIME_UNKNOWN);
		assert_int_equal(reg_time_s(store_first(s, "known")), T0);
		assert_int_equal(reg_time_s(store_first(s, "fresh")), 0);
		assert_false(reg_time_known(store_first(s, "fresh")));
		store_clock(s, 100 + 5 * DAY, 5 + 5 * DAY);
		assert_int_equal(store_expire(s), 0);
		store_close(s);
	}
	s = open_limited(0, 0);
	assert_false(reg_time_known(store_first(s, "fresh")));
	assert_true(store_clock(s, T0 + 40 * DAY, 5));
	assert_int_equal(reg_time_s(store_first(s, "fresh")), T0 + 40 * DAY);
	assert_true(reg_time_known(store_first(s, "fresh")));
	assert_int_equal(store_expire(s), 0);
	put(s, "known", "a", TOKEN, NULL, T0 + 40 * DAY);
	sync_store(s);
	store_close(s);
	s = open_limited(0, 0);
	assert_int_equal(reg_time_s(store_first(s, "fresh")), T0 + 40 * DAY);
	/* It is not kept for ever. */
	store_clock(s, T0 + 71 * DAY, 5);
	store_clock(s, T0 + 75 * DAY, 5 + 4 * DAY);
	assert_int_equal(store_expire(s), 2);
	store_close(s);
}

/* Written under a clock that ran ahead: its time begins when that is seen. */
static void test_future(void **state)
{
	struct store *s = open_limited(0, 0);

	(void)state;
	put(s, "u", "a", TOKEN, NULL, T0 + 60 * DAY);
	put(s, "v", "a", TOKEN, NULL, UINT32_MAX);
	store_clock(s, T0, 0);
	assert_int_equal(store_expire(s), 0);
	assert_int_equal(reg_time_s(store_first(s, "u")), T0 + 60 * DAY);
	store_clock(s, T0 + 3 * DAY, 3 * DAY);
	assert_int_equal(store_expire(s), 0);
	assert_int_equal(reg_time_s(store_first(s, "u")), T0 + 3 * DAY);
	store_close(s);
	s = open_limited(0, 0); /* and so the file says */
	assert_int_equal(reg_time_s(store_first(s, "v")), T0 + 3 * DAY);
	store_clock(s, T0 + 30 * DAY, 0);
	store_clock(s, T0 + 34 * DAY, 4 * DAY);
	assert_int_equal(store_expire(s), 2);
	store_close(s);
}

/* A short registrationTtl is written often enough to outlive a restart. */
static void test_short_ttl(void **state)
{
	struct store *s = open_store();

	(void)state;
	store_set_limits(s, &(struct store_limits){ .ttl_s = 4 * HOUR });
	put(s, "u", "a", TOKEN, NULL, T0);
	sync_store(s);
	put(s, "u", "a", TOKEN, NULL, T0 + HOUR - 1);
	assert_false(store_is_dirty(s));
	put(s, "u", "a", TOKEN, NULL, T0 + HOUR);
	assert_true(store_is_dirty(s));
	store_close(s);
}

/* The account was set up again: the old one is dropped unless it is renewed. */
static void test_replaced(void **state)
{
	struct store *s = open_limited(0, 0);
	int64_t day;

	(void)state;
	store_clock(s, T0, 0);
	put(s, "u", "before", TOKEN, NULL, T0 - 5 * DAY);
	put(s, "u", "twin", TOKEN, NULL, T0);
	put(s, "u", "tablet", OTHER, NULL, T0 - 5 * DAY);
	put(s, "U", "after", TOKEN, NULL, T0 + 1);
	for (day = 0; day < 10; day++) {
		store_clock(s, T0 + day * DAY, day * DAY);
		put(s, "u", "twin", TOKEN, NULL, T0 + day * DAY);
		put(s, "u", "after", TOKEN, NULL, T0 + day * DAY + 1);
		assert_int_equal(store_expire(s), day == 3 ? 1 : 0);
	}
	assert_null(store_find(s, "u", "before", TOKEN));
	assert_int_equal(count_user(s, "u"), 3);
	store_close(s);
}

/* --- ceilings --- */

static void test_devices(void **state)
{
	struct store *s = open_limited(3, 0);
	char account[16];
	int i;

	(void)state;
	put(s, "v", "a", TOKEN, NULL, T0);
	for (i = 0; i < 10; i++) {
		snprintf(account, sizeof(account), "a%d", i);
		/* The second is the one renewed longest ago, later the others. */
		put(s, "u", account, TOKEN, NULL, T0 + (i == 0 ? 2 : i));
		assert_int_equal(count_user(s, "u"), i < 3 ? i + 1 : 3);
	}
	assert_non_null(store_find(s, "u", "a9", TOKEN));
	assert_non_null(store_find(s, "u", "a8", TOKEN));
	assert_non_null(store_find(s, "u", "a7", TOKEN));
	/* A renewal needs no further place; one without a time is not dropped
	 * for it. */
	put(s, "u", "a7", TOKEN, NULL, REG_TIME_UNKNOWN);
	put(s, "u", "a10", TOKEN, NULL, REG_TIME_UNKNOWN);
	assert_null(store_find(s, "u", "a8", TOKEN));
	put(s, "u", "a11", TOKEN, NULL, T0 + 100);
	assert_null(store_find(s, "u", "a9", TOKEN));
	assert_non_null(store_find(s, "u", "a7", TOKEN));
	assert_int_equal(store_count(s), 4);
	store_close(s);
	/* A file of before has more. */
	s = open_limited(2, 0);
	put(s, "u", "a11", TOKEN, NULL, T0 + 101);
	assert_int_equal(count_user(s, "u"), 2);
	store_close(s);
}

/* An import does not displace newer ones. */
static void test_import_of_devices(void **state)
{
	struct store *s = open_limited(2, 0);
	char line[512];
	bool newer;
	int i;

	(void)state;
	put(s, "u", "a", TOKEN, NULL, T0);
	put(s, "u", "b", TOKEN, NULL, T0 + 10);
	for (i = 0; i < 2; i++) {
		snprintf(line, sizeof(line),
		    "{\"user\":\"u\",\"account\":\"c\",\"token\":\"" TOKEN
		    "\",\"mailboxes\":[\"b\"],\"time\":%d}",
		    (int)T0 + 5 * i);
		assert_null(store_put_line(s, line, strlen(line), &newer));
		assert_int_equal(newer, i);
		assert_int_equal(count_user(s, "u"), 2);
		assert_non_null(store_find(s, "u", "b", TOKEN));
	}
	assert_null(store_find(s, "u", "a", TOKEN));
	store_close(s);
}

static void test_registrations(void **state)
{
	struct store *s = open_limited(2, 3);
	char err[ERR_MAX];

	(void)state;
	put(s, "u", "a", TOKEN, NULL, T0);
	put(s, "v", "a", TOKEN, NULL, T0);
	put(s, "w", "a", TOKEN, NULL, T0);
	assert_null(put(s, "x", "a", TOKEN, NULL, T0));
	store_explain_full(s, err);
	assert_non_null(strstr(err, "maxRegistrations"));
	assert_non_null(put(s, "w", "a", TOKEN, "Notes", T0 + 1));
	store_drop(s, store_first(s, "u"));
	assert_non_null(put(s, "w", "b", TOKEN, NULL, T0 + 2));
	/* One of the same user is dropped. */
	assert_non_null(put(s, "w", "c", TOKEN, NULL, T0 + 3));
	assert_int_equal(store_count(s), 3);
	store_close(s);
}

static void test_bytes(void **state)
{
	static char name[REG_MAILBOX_MAX + 1];
	const char *boxes[200];
	struct store *s = open_limited(0, 1000);
	char user[32], err[ERR_MAX];
	uint64_t bytes;
	size_t i, n = 0;

	(void)state;
	memset(name, 'x', REG_MAILBOX_MAX);
	for (i = 0; i < 200; i++)
		boxes[i] = name;
	do
		snprintf(user, sizeof(user), "u%zu", n);
	while (put_list(s, user, boxes, NULL, 60) != NULL && ++n < 100);
	assert_int_equal(n, 1000 * STORE_BYTES_EACH / (60 * 1025 + 120));
	store_explain_full(s, err);
	assert_non_null(strstr(err, "KiB, maxRegistrations"));
	bytes = s->bytes;
	/* Neither does one grow; it is as it was. */
	assert_null(put_list(s, "u0", boxes, NULL, 200));
	assert_int_equal(reg_n_mailboxes(store_first(s, "u0")), 60);
	assert_int_equal(s->bytes, bytes);
	assert_non_null(put_list(s, "u0", boxes, NULL, 1));
	assert_true(s->bytes <= bytes - 59 * 1025);
	for (i = 0; i < n; i++) {
		snprintf(user, sizeof(user), "u%zu", i);
		store_drop(s, store_first(s, user));
	}
	assert_int_equal(s->bytes, 0);
	store_close(s);
}

/* --- lists --- */

static void test_sets(void **state)
{
	static const char *const lists[][4] = {
		{ "INBOX", "Notes", "Sent" },
		{ "Sent", "INBOX", "Notes" },
		{ "Notes", "Sent", "inbox", "Sent" },
		{ "Notes", "Sent", "INBOX", "notes" },
		{ "Notes", "Sent" },
	};
	static const size_t n[] = { 3, 3, 4, 4, 2 };
	struct store *s = open_limited(0, 0);
	size_t i;

	(void)state;
	put_list(s, "u", lists[0], NULL, n[0]);
	sync_store(s);
	for (i = 1; i < 5; i++) {
		put_list(s, "u", lists[i], NULL, n[i]);
		assert_int_equal(store_is_dirty(s), i > 2);
		/* The spelling in memory is the newest. */
		assert_int_equal(reg_n_mailboxes(store_first(s, "u")), n[i]);
		assert_string_equal(
		    reg_mailbox(store_first(s, "u"), 0), lists[i][0]);
		sync_store(s);
	}
	store_close(s);
}

/* Alternating lists: ten times within an hour, then once an hour. */
static void test_restless(void **state)
{
	struct store *s = open_limited(0, 0);
	int64_t t = T0;
	int i, hours, written = 0;

	(void)state;
	put(s, "u", "a", TOKEN, "0", t);
	put(s, "quiet", "a", TOKEN, "0", t);
	sync_store(s);
	for (i = 1; i <= 30; i++, t += 60) {
		put(s, "u", "a", TOKEN, i % 2 ? "1" : "0", t);
		written += store_is_dirty(s);
		assert_int_equal(store_holds(s), i > 10);
		assert_string_equal(
		    reg_mailbox(store_first(s, "u"), 1), i % 2 ? "1" : "0");
		sync_store(s);
	}
	assert_int_equal(written, 10);
	for (hours = 0; hours < 5; hours++) {
		store_release(s); /* what the timer does */
		assert_true(store_is_dirty(s));
		sync_store(s);
		for (i = 1; i <= 30; i++, t += 120) {
			put(s, "u", "a", TOKEN, i % 2 ? "1" : "0", t);
			assert_false(store_is_dirty(s));
		}
	}
	put(s, "quiet", "a", TOKEN, "1", t);
	assert_true(store_is_dirty(s));
	store_close(s); /* writes what is held */
	s = open_limited(0, 0);
	assert_string_equal(reg_mailbox(store_first(s, "u"), 1), "0");
	store_close(s);
}

/* --- whose mailbox --- */

static void test_canonical(void **state)
{
	static const char *const boxes[] = { "INBOX", "Entw&APw-rfe",
		"shared/bob/INBOX", "R&-D", "shared/Bob/Lists", "Public/News",
		"INBOX.Sent" };
	static const struct reg_canonical canonical[] = { { "alice", "INBOX" },
		{ "alice", "Entw\xc3\xbcrfe" }, { "bob", "INBOX" },
		{ "Alice", "R&D" }, { "bob", "Lists" },
		{ "public:Public", "News" }, { "alice", "Sent" } };
	struct store *s = open_limited(0, 0);
	const struct watch *w = NULL;
	struct reg *r = put_list(s, "alice", boxes, canonical, 7);
	int i;

	(void)state;
	sync_store(s);
	assert_file("db",
	    "{\"user\":\"alice\",\"account\":\"a\",\"token\":"
	    "\"0123456789abcdef0123456789abcdef\",\"mailboxes\":[\"INBOX\","
	    "\"Entw&APw-rfe\",\"shared/bob/INBOX\",\"R&-D\","
	    "\"shared/Bob/Lists\",\"Public/News\",\"INBOX.Sent\"],"
	    "\"canonical\":[null,\"Entw\xc3\xbcrfe\","
	    "[\"bob\",\"INBOX\"],\"R&D\",[\"bob\",\"Lists\"],"
	    "[\"public:Public\",\"News\"],\"Sent\"],"
	    "\"acked\":true,\"time\":1796305600}\n");
	for (i = 0; i < 3; i++) {
		assert_int_equal(reg_match(r, "inbox"), 0);
		assert_int_equal(reg_match(r, "Entw\xc3\xbcrfe"), 1);
		assert_int_equal(reg_match(r, "Entw&APw-rfe"), -1);
		assert_int_equal(reg_match(r, "R&D"), 3);
		assert_int_equal(reg_match(r, "R&-D"), -1);
		assert_int_equal(reg_match(r, "INBOX.Sent"), -1);
		assert_int_equal(reg_match(r, "Sent"), 6);
		assert_int_equal(reg_match(r, "Lists"), -1);
		assert_int_equal(reg_match_next(r, "BOB", "Lists", -1), 4);
		assert_int_equal(reg_match_next(r, "bob", "lists", -1), -1);
		assert_int_equal(reg_match_next(r, "bob", "Inbox", -1), 2);
		assert_int_equal(reg_match_next(r, "carol", "INBOX", -1), -1);
		assert_int_equal(reg_find_mailbox(r, "shared/bob/INBOX"), 2);
		assert_string_equal(reg_mailbox(r, 5), "Public/News");
		w = NULL;
		assert_ptr_equal(store_watcher(s, "Bob", &w), r);
		assert_null(store_watcher(s, "bob", &w));
		w = NULL;
		assert_ptr_equal(store_watcher(s, "public:Public", &w), r);
		w = NULL;
		assert_null(store_watcher(s, "alice", &w));
		assert_int_equal(s->n_owners, 2);
		put_list(s, "alice", boxes, canonical, 7);
		assert_false(store_is_dirty(s));
		if (i == 1) { /* the same from the file */
			store_close(s);
			s = open_limited(0, 0);
			r = store_first(s, "alice");
		}
	}
	/* The index follows. */
	put_list(s, "alice", boxes, canonical, 5);
	w = NULL;
	assert_null(store_watcher(s, "public:Public", &w));
	w = NULL;
	assert_non_null(store_watcher(s, "bob", &w));
	store_drop(s, store_first(s, "alice"));
	assert_int_equal(s->n_owners, 0);
	w = NULL;
	assert_null(store_watcher(s, "bob", &w));
	store_close(s);
}

static void test_several_spellings(void **state)
{
	static const char *const boxes[] = { "Sent", "shared/bob",
		"Sent Messages", "shared/bob/INBOX", "inbox", "INBOX" };
	static const struct reg_canonical canonical[] = { { "alice", "Sent" },
		{ "bob", "INBOX" }, { "alice", "Sent" }, { "bob", "INBOX" },
		{ "alice", "INBOX" }, { "alice", "INBOX" } };
	struct store *s = open_limited(0, 0);
	struct reg *r = put_list(s, "alice", boxes, canonical, 6);

	(void)state;
	assert_int_equal(reg_match(r, "Sent"), 0);
	assert_int_equal(reg_match_next(r, NULL, "Sent", 0), 2);
	assert_int_equal(reg_match_next(r, NULL, "Sent", 2), -1);
	assert_int_equal(reg_match(r, "INBOX"), 4);
	assert_int_equal(reg_match_next(r, NULL, "INBOX", 4), 5);
	assert_int_equal(reg_match_next(r, NULL, "INBOX", 5), -1);
	assert_int_equal(reg_match_next(r, "Bob", "INBOX", -1), 1);
	assert_int_equal(reg_match_next(r, "Bob", "INBOX", 1), 3);
	assert_int_equal(reg_match_next(r, "Bob", "INBOX", 3), -1);
	store_close(s);
}

/* The longest line of all is written, and read back. */
static void test_longest_line(void **state)
{
	static const char *boxes[REG_MAILBOXES_MAX];
	static struct reg_canonical canonical[REG_MAILBOXES_MAX];
	char user[256], owner[60], box[101], name[101];
	struct store *s = open_limited(0, 0);
	struct reg *r;
	size_t i;

	(void)state;
	memset(user, '"', 255);
	memset(owner, '\\', 59);
	memset(box, '"', 100);
	memset(name, '\\', 100);
	user[255] = owner[59] = box[100] = name[100] = '\0';
	for (i = 0; i < REG_MAILBOXES_MAX; i++) {
		boxes[i] = box;
		canonical[i].owner = i % 2 ? owner : user;
		canonical[i].mailbox = name;
	}
	put_list(s, user, boxes, canonical, REG_MAILBOXES_MAX);
	sync_store(s);
	assert_true(s->size > 400000 && s->size <= STORE_LINE_MAX);
	store_close(s);
	s = open_limited(0, 0);
	r = store_first(s, user);
	assert_non_null(r);
	assert_int_equal(reg_match(r, name), 0);
	assert_int_equal(reg_match_next(r, owner, name, -1), 1);
	store_close(s);
	assert_file("db.bad", NULL);
}

/* Many watch one, one watches many, in any order of coming and going. */
static void test_watchers(void **state)
{
	const struct reg_canonical few[] = { { "o1", "A" }, { "o2", "B" },
		{ "o1", "C" } };
	static const char *const boxes[] = { "x", "y", "z" };
	struct store *s = open_limited(0, 0);
	const struct watch *w = NULL;
	char user[32];
	size_t i, n = 0;

	(void)state;
	for (i = 0; i < 1000; i++) {
		snprintf(user, sizeof(user), "u%zu", i);
		put_list(s, user, boxes, few, 1 + i % 3);
	}
	while (store_watcher(s, "o1", &w) != NULL)
		n++;
	assert_int_equal(n, 1000);
	for (i = 0; i < 1000; i += 2) {
		snprintf(user, sizeof(user), "u%zu", (i * 7) % 1000);
		store_drop(s, store_first(s, user));
	}
	for (w = NULL, n = 0; store_watcher(s, "o1", &w) != NULL; n++)
		;
	assert_int_equal(n, 500);
	store_close(s);
}

static void test_canonical_lines(void **state)
{
	static const char *const bad[] = { "1", "[1]", "[[\"a\"]]", "[[]]",
		"[\"\"]", "[{}]", "[[\"a\",\"b\",\"c\"]]", "[[\"a\",1]]",
		"[null,null]", "[[\"\",\"b\"]]", "[[\"a\",\"\"]]", "{}" };
	struct store *s = open_store();
	char line[512];
	bool newer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(line, sizeof(line),
		    "{\"user\":\"u\",\"account\":\"a\",\"token\":\"" TOKEN
		    "\",\"mailboxes\":[\"b\"],\"canonical\":%s,\"time\":5}",
		    bad[i]);
		assert_non_null(store_put_line(s, line, strlen(line), &newer));
	}
	assert_int_equal(store_count(s), 0);
	store_close(s);
}

/* --- topics --- */

static void put_topic(struct store *s, const char *user, const char *topic)
{
	struct reg_spec spec = { .user = user,
		.account = "a",
		.token = TOKEN,
		.time_s = T0,
		.topic = topic };

	assert_non_null(store_put(s, &spec));
}

static void test_topics(void **state)
{
	struct store *s;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		s = open_store();
		store_set_topic(s, "com.example.one");
		put_topic(s, "u", "com.example.one");
		put_topic(s, "v", "com.example.one");
		assert_int_equal(store_old_topics(s), 0);
		assert_int_equal(store_is_dirty(s), i == 0);
		store_close(s);
		assert_file("db.topic", "com.example.one\n");
	}
	s = open_store(); /* the usual lines name none */
	assert_null(topic_in_line(s, store_first(s, "u")));
	store_set_topic(s, "com.example.two");
	assert_int_equal(store_old_topics(s), 2);
	assert_string_equal(
	    store_old_topic(s, store_first(s, "u")), "com.example.one");
	put_topic(s, "u", "com.example.two");
	assert_true(store_is_dirty(s));
	assert_int_equal(store_old_topics(s), 1);
	assert_null(store_old_topic(s, store_first(s, "u")));
	store_close(s);
	assert_file("db.topic", "com.example.one\n");
	s = open_store();
	store_set_topic(s, "com.example.two");
	assert_int_equal(store_old_topics(s), 1);
	assert_string_equal(
	    topic_in_line(s, store_first(s, "u")), "com.example.two");
	store_set_topic(s, "com.example.one"); /* back again */
	assert_int_equal(store_old_topics(s), 1);
	store_drop(s, store_first(s, "u"));
	assert_int_equal(store_old_topics(s), 0);
	put_topic(s, "v", "com.example.two");
	put_topic(s, "w", "com.example.three");
	store_close(s);
	/* When no registration is left of the first one, another takes its
	 * place. */
	s = open_store();
	store_set_topic(s, "com.example.two");
	assert_file("db.topic", "com.example.two\n");
	assert_int_equal(store_old_topics(s), 1);
	assert_null(store_old_topic(s, store_first(s, "v")));
	assert_null(topic_in_line(s, store_first(s, "v")));
	put_topic(s, "x", "com.example.two");
	store_close(s);
	s = open_store();
	store_set_topic(s, "com.example.two");
	assert_int_equal(store_old_topics(s), 1);
	assert_null(topic_in_line(s, store_first(s, "x")));
	assert_string_equal(
	    store_old_topic(s, store_first(s, "w")), "com.example.three");
	store_close(s);
}

/* A device belongs to the only brand that has its topic, else to its user's. */
static void test_brands(void **state)
{
	static const char *const topics[] = { "com.example.a", "com.example.b",
		"com.example.main", "" };
	struct store *s;
	struct users *users;
	size_t old;

	(void)state;
	NEEDS("brands");
	s = open_store();
	users = users_new();
	users_add(users, "a", 1);
	users_add(users, "b moved", 2);
	users_add(users, "same", 3);
	users_add(users, "waits", 4);
	store_set_topic(s, "com.example.main");
	store_set_brands(s, users, topics, 4);
	put_topic(s, "a", "com.example.a");
	put_topic(s, "moved", "com.example.a");
	put_topic(s, "same", "com.example.main");
	put_topic(s, "u", "com.example.main");
	put_topic(s, "waits", "com.example.lost");
	assert_int_equal(store_brand_of(s, store_first(s, "a")), 1);
	assert_int_equal(store_brand_of(s, store_first(s, "moved")), 1);
	assert_int_equal(store_brand_of(s, store_first(s, "same")), 3);
	assert_int_equal(store_brand_of(s, store_first(s, "u")), 0);
	assert_int_equal(store_brand_of(s, store_first(s, "waits")), 4);
	assert_int_equal(store_old_topics(s), 1);
	assert_string_equal(
	    store_old_topic(s, store_first(s, "moved")), "com.example.a");
	assert_null(store_old_topic(s, store_first(s, "a")));
	assert_null(store_old_topic(s, store_first(s, "waits")));
	assert_int_equal(store_brand_count(s, 2, &old), 1);
	assert_int_equal(old, 1);
	assert_int_equal(store_brand_count(s, 0, &old), 1);
	put_topic(s, "moved", "com.example.b");
	assert_int_equal(store_brand_of(s, store_first(s, "moved")), 2);
	assert_int_equal(store_old_topics(s), 0);
	store_drop(s, store_first(s, "a"));
	assert_int_equal(store_brand_count(s, 1, &old), 0);
	/* The place of a topic in use is kept without registrations. */
	put_topic(s, "x", "com.example.other");
	put_topic(s, "a", "com.example.a");
	assert_int_equal(store_brand_of(s, store_first(s, "a")), 1);
	/* No main credential any more: its devices are their users'. */
	store_set_topic(s, "");
	assert_int_equal(store_brand_of(s, store_first(s, "same")), 3);
	store_set_brands(s, NULL, NULL, 0);
	assert_int_equal(store_brand_of(s, store_first(s, "a")), 0);
	store_close(s);
	users_free(users);
}

/* More of them than there are places. */
static void test_many_topics(void **state)
{
	struct store *s = open_store();
	char user[32], topic[32];
	int i;

	(void)state;
	store_set_topic(s, "com.example.main");
	for (i = 0; i < TOPICS_MAX + 44; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		snprintf(topic, sizeof(topic), "com.example.%d", i);
		put_topic(s, user, topic);
	}
	assert_int_equal(store_old_topics(s), TOPICS_MAX - 1);
	for (i = 0; i < 300; i++) { /* places are used again */
		snprintf(topic, sizeof(topic), "com.example.x%d", i);
		put_topic(s, "u0", topic);
	}
	assert_string_equal(
	    store_old_topic(s, store_first(s, "u0")), "com.example.x299");
	store_close(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_expires),
		T(test_steps),
		T(test_unset),
		T(test_future),
		T(test_short_ttl),
		T(test_replaced),
		T(test_devices),
		T(test_import_of_devices),
		T(test_registrations),
		T(test_bytes),
		T(test_sets),
		T(test_restless),
		T(test_canonical),
		T(test_several_spellings),
		T(test_longest_line),
		T(test_watchers),
		T(test_canonical_lines),
		T(test_topics),
		T(test_brands),
		T(test_many_topics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
