/* store_go_test.c - the Go daemon's database: taken over, and written back. */
#include "unit.h"

#include <time.h>

#include "buf.h"
#include "store_util.h"

/* For registrations of which the file does not say when they were made. */
#define NOW_S 1800000000

time_t time(time_t *t)
{
	assert_null(t);
	return NOW_S;
}

#define TOKEN2 "fedcba9876543210fedcba9876543210"

static const char go_line[] =
    "{\"Users\":{\"alice\":{\"Accounts\":{"
    "\"0715A9B4\":{\"DeviceToken\":\"" TOKEN "\","
    "\"Mailboxes\":[\"INBOX\",\"Entw&APw-rfe\"],"
    "\"RegistrationTime\":\"2024-02-29T23:59:59.123456789+02:00\"},"
    "\"second\":{\"DeviceToken\":\"" TOKEN2 "\",\"Mailboxes\":[\"INBOX\"],"
    "\"RegistrationTime\":\"2025-11-22T00:00:00Z\"}}},"
    "\"b\\u00f6b\":{\"Accounts\":{\"x y\":{\"DeviceToken\":\"" TOKEN "\","
    "\"Mailboxes\":null}}},"
    "\"nobody\":{\"Accounts\":{}},\"void\":{\"Accounts\":null}}}";

static const char go_pretty[] = " {\r\n\t\"Users\" :\n {\n"
				"  \"carol\": {\n    \"Accounts\": {\n"
				"      \"a\": {\n"
				"        \"DeviceToken\": \"" TOKEN "\",\n"
				"        \"Mailboxes\": [\n\"INBOX\"\n]\n"
				"      }\n    }\n  }\n }\n}\n";

static void check_go_line(struct store *s)
{
	struct reg *r;

	assert_int_equal(store_count(s), 3);
	r = store_find(s, "alice", "0715A9B4", TOKEN);
	assert_non_null(r);
	assert_int_equal(reg_n_mailboxes(r), 2);
	assert_int_equal(reg_match(r, "Entw\xc3\xbcrfe"), 1);
	assert_int_equal(reg_time_s(r), 1709243999);
	assert_false(reg_acked(r));
	r = store_find(s, "alice", "second", TOKEN2);
	assert_non_null(r);
	assert_int_equal(reg_time_s(r), 1763769600);
	r = store_first(s, "b\xc3\xb6"
			   "b");
	assert_non_null(r);
	assert_true(reg_has_account(r, "x y"));
	assert_int_equal(reg_n_mailboxes(r), 0);
	assert_int_equal(reg_time_s(r), NOW_S);
}

static void test_take_over(void **state)
{
	struct store *s;
	struct stat st;

	(void)state;
	write_file(db, go_line, sizeof(go_line) - 1);
	s = open_store();
	check_go_line(s);
	assert_false(store_is_dirty(s));
	assert_file("db.orig", go_line);
	assert_int_equal(stat(db, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	store_close(s);
	/* Once only, and another one's original does not push out the first. */
	s = open_store();
	check_go_line(s);
	store_close(s);
	write_file(db, go_pretty, sizeof(go_pretty) - 1);
	s = open_store();
	assert_int_equal(store_count(s), 1);
	assert_int_equal(reg_match(store_first(s, "carol"), "INBOX"), 0);
	store_close(s);
	assert_file("db.orig", go_line);
	assert_file("db.orig.1", go_pretty);
	assert_file("db.bad", NULL);
}

static void test_empty(void **state)
{
	static const char *const texts[] = { "{\"Users\":{}}",
		"{\"Users\":null}\n", "{ \"Users\" : { } , \"More\" : 1 }" };
	struct store *s;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		write_file(db, texts[i], strlen(texts[i]));
		s = open_store();
		assert_int_equal(store_count(s), 0);
		put(s, "u", "a", TOKEN, NULL, 1);
		store_close(s);
		assert_file("db.orig", texts[i]);
		rm_file("db.orig");
	}
}

/* A broken file is neither taken nor changed, at whatever byte it breaks. */
static void test_damaged(void **state)
{
	size_t n;

	(void)state;
	for (n = sizeof(go_line) - 2; n > 9; n--) {
		write_file(db, go_line, n);
		assert_null(store_open(db, why));
		assert_non_null(strstr(why, "looks like the Go daemon's"));
		assert_non_null(strstr(why, ": the text ends too early: "
					    "correct"));
	}
	assert_file("db", "{\"Users\":{");
	write_file(db, "{\"Users\":[]}", 12);
	assert_null(store_open(db, why));
	assert_non_null(strstr(why, "no object \"Users\""));
	assert_file("db.orig", NULL);
	assert_file("db.bad", NULL);
}

static void test_detect(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} cases[] = {
		{ "{\"Users\":{}}", true },
		{ " \n{\t\"Users\"\r\n:null} ", true },
		{ "{\"Users\"", false },
		{ "{\"users\":{}}", true },
		{ "\xef\xbb\xbf{\"A\":1,\"USERS\":{}}", true },
		{ "{}", true },
		{ "null\r\n", true },
		{ "{\"user\":\"u\"}", false },
		{ "{\"User s\":1}", false },
		{ "[{\"Users\":1}]", false },
		{ "", false },
		{ "\0{\"Users\":1", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(
		    store_is_go(cases[i].text, strlen(cases[i].text)),
		    cases[i].is);
}

static struct store_import import(
    struct store *s, const char *text, int64_t now)
{
	struct store_import result;

	if (store_import_go(s, text, strlen(text), now, &result, why) < 0)
		fail_msg("%s", why);
	return result;
}

#define ONE(user, account, token, rest)                                        \
	"{\"Users\":{\"" user "\":{\"Accounts\":{\"" account                   \
	"\":{\"DeviceToken\":" token rest "}}}}}"

/* Data that the Go daemon accepted with 200 and died of later, and others. */
static void test_skipped(void **state)
{
	static const char *const texts[] = {
		ONE("u", "a", "\"aa%zz\"", ""),
		ONE("u", "a", "\"../../x?y=1#z0123456789\"", ""),
		ONE("u", "a\\u0000", "\"" TOKEN "\"", ""),
		ONE("u", "a\\n", "\"" TOKEN "\"", ""),
		ONE("u\\ud800", "a", "\"" TOKEN "\"", ""),
		ONE("", "a", "\"" TOKEN "\"", ""),
		ONE("u", "", "\"" TOKEN "\"", ""),
		ONE("u", "a", "7", ""),
		ONE("u", "a", "\"" TOKEN "\"", ",\"Mailboxes\":[1]"),
		ONE("u", "a", "\"" TOKEN "\"", ",\"Mailboxes\":\"INBOX\""),
		ONE("u", "a", "\"" TOKEN "\"", ",\"Mailboxes\":[\"\\t\"]"),
		ONE("u", "a", "\"" TOKEN "\"", ",\"RegistrationTime\":5"),
		ONE("u", "a", "\"" TOKEN "\"",
		    ",\"RegistrationTime\":\"today\""),
		"{\"Users\":{\"u\":{\"Accounts\":{\"a\":17}}}}",
	};
	struct store *s = open_store();
	struct store_import result;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		result = import(s, texts[i], 1000);
		if (result.skipped != 1 || result.taken != 0)
			fail_msg("%s", texts[i]);
	}
	assert_int_equal(store_count(s), 0);
	assert_int_equal(
	    store_import_go(s, "{\"a\":1}", 7, 1, &result, why), -1);
	/* Odd, but within the limits: taken as it is. */
	result = import(s, ONE("u", "x\\\"y", "\"" TOKEN "\"", ""), 1000);
	assert_int_equal(result.taken, 1);
	assert_true(reg_has_account(store_first(s, "u"), "x\"y"));
	store_close(s);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t time_s; /* -1: refused; 0: now */
	} cases[] = {
		{ "1970-01-02T00:00:00Z", 86400 },
		{ "2000-02-29T12:34:56Z", 951827696 },
		{ "2000-02-29T12:34:56.5-00:30", 951829496 },
		{ "2000-02-29T12:34:56+14:00", 951777296 },
		{ "0001-01-01T00:00:00Z", 0 },
		{ "2199-01-01T00:00:00Z", 0 },
		{ "2000-13-01T00:00:00Z", -1 },
		{ "2000-00-01T00:00:00Z", -1 },
		{ "2000-01-32T00:00:00Z", -1 },
		{ "2000-01-01T24:00:00Z", -1 },
		{ "2000-01-01T00:60:00Z", -1 },
		{ "2000-01-01T00:00:00", -1 },
		{ "2000-01-01T00:00:00Zz", -1 },
		{ "2000-01-01T00:00:00+1:00", -1 },
		{ "2000-01-01 00:00:00Z", -1 },
		{ "2000-1-01T00:00:00Z", -1 },
		{ "20", -1 },
		{ "", -1 },
	};
	const int64_t now = 1763769600;
	struct store *s = open_store();
	struct store_import result;
	char text[512];
	struct reg *r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
		    ONE("u", "a", "\"" TOKEN "\"",
			",\"RegistrationTime\":\"%s\""),
		    cases[i].text);
		result = import(s, text, now);
		if (result.taken != (cases[i].time_s >= 0))
			fail_msg("%s", cases[i].text);
		r = store_first(s, "u");
		if (r == NULL)
			continue;
		assert_int_equal(
		    reg_time_s(r), cases[i].time_s ? cases[i].time_s : now);
		store_drop(s, r);
	}
	store_close(s);
}

/* Ours stay if they are newer. */
static void test_older(void **state)
{
	static const char text[] = ONE("u", "a", "\"" TOKEN "\"",
	    ",\"Mailboxes\":[\"Old\"],"
	    "\"RegistrationTime\":\"1970-01-01T00:16:40Z\"");
	struct store *s = open_store();

	(void)state;
	put(s, "u", "a", TOKEN, "New", 1000);
	assert_int_equal(import(s, text, 2000).older, 1);
	assert_int_equal(reg_match(store_first(s, "u"), "New"), 1);
	put(s, "u", "a", TOKEN, "New", 999);
	assert_int_equal(import(s, text, 2000).taken, 1);
	assert_int_equal(reg_match(store_first(s, "u"), "Old"), 0);
	assert_true(store_is_dirty(s));
	store_close(s);
}

/* --- export --- */

static int take_piece(void *arg)
{
	struct buf **b = arg;

	buf_add(b[1], buf_head(b[0]), b[0]->len);
	buf_reset(b[0]);
	return 0;
}

static int refuse(void *arg)
{
	(void)arg;
	return 1;
}

static void test_export(void **state)
{
	static const char want[] =
	    "{\"Users\":{\"u\":{\"Accounts\":{"
	    "\"a\":{\"DeviceToken\":\"" TOKEN2 "\",\"Mailboxes\":[\"INBOX\","
	    "\"\\\"\"],\"RegistrationTime\":\"2000-02-29T12:34:56Z\"},"
	    "\"b\":{\"DeviceToken\":\"" TOKEN2 "\",\"Mailboxes\":[\"INBOX\"],"
	    "\"RegistrationTime\":\"1970-01-01T00:00:00Z\"}}}}}\n";
	struct buf b = BUF_INIT(10000), small = BUF_INIT(100);
	struct store *s = open_store();

	(void)state;
	assert_int_equal(store_export_go(s, &b, NULL, NULL), 0);
	assert_int_equal(b.len, 13);
	assert_memory_equal(buf_head(&b), "{\"Users\":{}}\n", 13);
	buf_reset(&b);
	/* One account, two devices: the newer one. */
	put(s, "u", "b", TOKEN2, NULL, 0);
	put(s, "u", "a", TOKEN2, "\"", 951827696);
	put(s, "u", "a", TOKEN, NULL, 951827695);
	assert_int_equal(store_export_go(s, &b, NULL, NULL), 0);
	assert_int_equal(b.len, sizeof(want) - 1);
	assert_memory_equal(buf_head(&b), want, b.len);
	assert_int_equal(store_export_go(s, &small, NULL, NULL), -1);
	assert_int_equal(store_export_go(s, &b, refuse, NULL), -1);
	buf_free(&b);
	buf_free(&small);
	store_close(s);
}

/* Out in pieces and in again: every field as it was. */
static void test_round_trip(void **state)
{
	struct buf piece = BUF_INIT(1 << 20), whole = BUF_INIT(16 << 20);
	struct buf *bufs[] = { &piece, &whole };
	struct store *s = open_store();
	char user[64], account[64], token[REG_TOKEN_MAX + 1];
	struct reg *r;
	int i;

	(void)state;
	for (i = 0; i < 3000; i++) {
		snprintf(user, sizeof(user), "user \"%d", i / 3);
		snprintf(account, sizeof(account), "acc\\%d", i);
		put(s, user, account, TOKEN, i % 2 ? "Entw&APw-rfe" : NULL,
		    1000 + i);
	}
	assert_int_equal(store_export_go(s, &piece, take_piece, bufs), 0);
	assert_true(piece.cap <= 131072);
	store_close(s);
	write_file(db, buf_head(&whole), whole.len);
	s = open_store();
	assert_int_equal(store_count(s), 3000);
	for (i = 0; i < 3000; i++) {
		snprintf(user, sizeof(user), "user \"%d", i / 3);
		snprintf(account, sizeof(account), "acc\\%d", i);
		r = store_find(s, user, account, TOKEN);
		assert_non_null(r);
		assert_int_equal(reg_time_s(r), 1000 + i);
		assert_int_equal(reg_n_mailboxes(r), i % 2 ? 2 : 1);
		assert_int_equal(
		    reg_match(r, "Entw\xc3\xbcrfe"), i % 2 ? 1 : -1);
		assert_int_equal(strlen(reg_token(r, token)), 32);
	}
	store_close(s);
	buf_free(&piece);
	buf_free(&whole);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

/* What the Go daemon's file had comes back in the same order and spelling. */
static void test_accounts(void **state)
{
#define REST                                                                   \
	":{\"DeviceToken\":\"0123456789abcdef\",\"Mailboxes\":[\"INBOX\","     \
	"\"Notes\"],\"RegistrationTime\":\"2025-11-22T00:00:00Z\"}"
	static const char text[] =
	    "{\"Users\":{\"al\":{\"Accounts\":{"
	    "\"0715\"" REST ",\"0715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E5\"" REST
	    ",\"0715baf2-7c1f-4b9a-9c0e-30a1b2c3d4e5\"" REST
	    ",\"A715BAF2-7C1F-4B9A-9C0E-30A1B2C3D4E5\"" REST ",\"a\"" REST
	    "}}}}\n";
#undef REST
	struct store *s = open_store();
	struct store_import result;
	struct buf b = BUF_INIT(4096);

	(void)state;
	assert_int_equal(
	    store_import_go(s, text, strlen(text), NOW_S, &result, why), 0);
	assert_int_equal(result.taken, 5);
	assert_int_equal(
	    store_import_go(s, text, strlen(text), NOW_S, &result, why), 0);
	assert_int_equal(result.older, 5);
	assert_int_equal(store_export_go(s, &b, NULL, NULL), 0);
	buf_add_byte(&b, 0);
	assert_string_equal(buf_head(&b), text);
	buf_free(&b);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_take_over),
		T(test_empty),
		T(test_damaged),
		T(test_detect),
		T(test_skipped),
		T(test_times),
		T(test_older),
		T(test_export),
		T(test_round_trip),
		T(test_accounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
