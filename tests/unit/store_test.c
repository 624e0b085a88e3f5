/* store_test.c - registrations in memory and in the file. */
#include "unit.h"

#include <time.h>

#include "buf.h"
#include "store_util.h"

/* --- limits --- */

static const char *check(const char *user, const char *account,
    const char *token, const char *mailbox, size_t n)
{
	static const char *boxes[REG_MAILBOXES_MAX + 1];
	struct reg_spec spec = { .user = user,
		.account = account,
		.token = token,
		.mailboxes = boxes,
		.n_mailboxes = n };
	size_t i;

	for (i = 0; i < n; i++)
		boxes[i] = mailbox;
	return reg_spec_check(&spec);
}

static void test_limits(void **state)
{
	char s[300], name[REG_MAILBOX_MAX + 2];

	(void)state;
	memset(s, 'a', sizeof(s));
	s[299] = '\0';
	memset(name, 'a', sizeof(name));
	name[REG_MAILBOX_MAX + 1] = '\0';
	assert_null(check("u", "a", "0123456789abcdef", "INBOX", 1));
	assert_null(check("u", "a", "0123456789ABCDEF", "INBOX", 0));
	assert_null(check("\xc3\xa4@x", " ~", TOKEN, "\xf0\x9f\x98\x80", 1000));
	assert_non_null(check("u", "a", TOKEN, "INBOX", 1001));
	assert_null(check(s + 299 - 255, "a", TOKEN, "b", 1));
	assert_non_null(check(s + 299 - 256, "a", TOKEN, "b", 1));
	assert_null(check("u", s + 299 - 200, TOKEN, "b", 1));
	assert_non_null(check("u", s + 299 - 201, TOKEN, "b", 1));
	assert_null(check("u", "a", s + 299 - 200, "b", 1));
	assert_non_null(check("u", "a", s + 299 - 201, "b", 1));
	assert_null(check("u", "a", s + 299 - 16, "b", 1));
	assert_non_null(check("u", "a", s + 299 - 15, "b", 1));
	assert_null(check("u", "a", TOKEN, name + 1, 1));
	assert_non_null(check("u", "a", TOKEN, name, 1));
	assert_null(check("u", "a", TOKEN, name + 1, 255));
	assert_non_null(check("u", "a", TOKEN, name + 1, 256));
	assert_non_null(check("", "a", TOKEN, "b", 1));
	assert_non_null(check("u", "", TOKEN, "b", 1));
	assert_non_null(check("u", "a", "", "b", 1));
	assert_non_null(check("u", "a", TOKEN, "", 1));
	assert_non_null(check("u\n", "a", TOKEN, "b", 1));
	assert_non_null(check("u\x7f", "a", TOKEN, "b", 1));
	assert_non_null(check("u\xc2\x9f", "a", TOKEN, "b", 1));
	assert_null(check("u\xc2\xa0", "a", TOKEN, "b", 1));
	assert_non_null(check("u\xff", "a", TOKEN, "b", 1));
	assert_non_null(check("u", "\xc3\xa4", TOKEN, "b", 1));
	assert_non_null(check("u", "a\t", TOKEN, "b", 1));
	assert_non_null(check("u", "a", "0123456789abcdeg", "b", 1));
	assert_non_null(check("u", "a", "aa%zz6789abcdef00", "b", 1));
	assert_non_null(check("u", "a", TOKEN, "b\x1f", 1));
	assert_non_null(check("u", "a", TOKEN, "\xed\xa0\x80", 1));
}

/* --- memory --- */

static void test_keys(void **state)
{
	struct store *s = open_store();
	struct reg *a, *b;
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];

	(void)state;
	a = put(s, "Alice", "acc", TOKEN, "Notes", 100);
	assert_ptr_equal(store_find(s, "aLICE", "acc", TOKEN), a);
	assert_ptr_equal(
	    store_find(s, "alice", "acc", "0123456789ABCDEF0123456789abcdef"),
	    a);
	assert_string_equal(reg_user(a), "Alice");
	assert_string_equal(reg_account(a, account), "acc");
	assert_string_equal(
	    reg_token(a, token), "0123456789abcdef0123456789abcdef");
	assert_int_equal(reg_time_s(a), 100);
	assert_int_equal(reg_n_mailboxes(a), 2);
	assert_string_equal(reg_mailbox(a, 1), "Notes");
	assert_true(reg_acked(a));
	/* Everything else is another registration. */
	assert_null(store_find(s, "alice", "ACC", TOKEN));
	assert_null(store_find(s, "alice", "acc", "0123456789abcdef"));
	assert_null(store_find(s, "alice", "acc", "nonsense"));
	assert_null(store_find(s, "alicia", "acc", TOKEN));
	b = put(s, "alice", "acc", "0123456789abcdef0", NULL, 100);
	assert_ptr_not_equal(a, b);
	/* An odd number of digits differs from the even one with a final 0. */
	assert_null(store_find(s, "alice", "acc", "0123456789abcdef00"));
	assert_string_equal(reg_token(b, token), "0123456789abcdef0");
	assert_int_equal(store_count(s), 2);
	/* Only ASCII is lower-cased. */
	put(s, "\xc3\x84", "acc", TOKEN, NULL, 1);
	assert_null(store_first(s, "\xc3\xa4"));
	assert_non_null(store_first(s, "\xc3\x84"));
	store_close(s);
}

static void test_renewal(void **state)
{
	struct store *s = open_store();
	char far[256];
	int here;
	struct reg *r = put(s, "u", "a", TOKEN, "Notes", 1000);
	struct reg_spec spec = {
		.user = "u", .account = "a", .token = TOKEN, .time_s = 7
	};

	(void)state;
	reg_set_data(r, &here);
	store_suspend(s, r);
	assert_true(reg_suspended(r));
	memset(far, 'x', 255);
	far[255] = '\0';
	/* Mailboxes in place, too many for that, back again, none: one
	 * address. */
	assert_ptr_equal(put(s, "U", "a", TOKEN, "Sent", 2000), r);
	assert_false(reg_suspended(r));
	assert_string_equal(reg_mailbox(r, 1), "Sent");
	assert_ptr_equal(put(s, "u", "a", TOKEN, far, 2000), r);
	assert_string_equal(reg_mailbox(r, 1), far);
	assert_int_equal(reg_match(r, far), 1);
	far[0] = 'y';
	assert_ptr_equal(put(s, "u", "a", TOKEN, far, 2000), r);
	assert_string_equal(reg_mailbox(r, 1), far);
	assert_ptr_equal(put(s, "u", "a", TOKEN, "Z", 2000), r);
	assert_string_equal(reg_mailbox(r, 1), "Z");
	assert_ptr_equal(store_put(s, &spec), r);
	assert_int_equal(reg_n_mailboxes(r), 0);
	assert_int_equal(reg_match(r, "INBOX"), -1);
	assert_false(reg_acked(r));
	assert_int_equal(reg_time_s(r), 7);
	assert_ptr_equal(reg_data(r), &here);
	assert_int_equal(store_count(s), 1);
	store_close(s);
}

static void on_drop(void *arg, struct reg *r)
{
	struct reg **last = arg;

	*last = r;
}

static size_t count_user(struct store *s, const char *user)
{
	struct reg *r;
	size_t n = 0;

	for (r = store_first(s, user); r != NULL; r = reg_next(r))
		n++;
	return n;
}

/* Drops a user's devices in every order. */
static void test_drop_orders(void **state)
{
	static const char *const tokens[] = { "00000000000000000",
		"11111111111111111", "22222222222222222" };
	static const int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct store *s = open_store();
	struct reg *regs[3], *last, *other;
	size_t i, k;

	(void)state;
	store_on_drop(s, on_drop, &last);
	other = put(s, "bob", "a", TOKEN, NULL, 1);
	for (i = 0; i < 6; i++) {
		for (k = 0; k < 3; k++)
			regs[k] = put(s, "al", "a", tokens[k], NULL, 1);
		if (i % 2)
			sync_store(s);
		for (k = 0; k < 3; k++) {
			assert_int_equal(count_user(s, "AL"), 3 - k);
			last = NULL;
			store_drop(s, regs[orders[i][k]]);
			assert_ptr_equal(last, regs[orders[i][k]]);
			assert_null(
			    store_find(s, "al", "a", tokens[orders[i][k]]));
		}
		assert_null(store_first(s, "al"));
		assert_int_equal(store_count(s), 1);
	}
	assert_ptr_equal(store_first(s, "bob"), other);
	assert_null(store_first(s, "nobody"));
	store_close(s);
}

static int stop_at_second(void *arg, struct reg *r)
{
	int *n = arg;

	(void)r;
	return ++*n == 2 ? 42 : 0;
}

/* As if the wall clock had gone on for long. */
static void expire(struct store *s, int64_t before_s, size_t n)
{
	const int64_t late = (int64_t)1 << 31;

	store_set_limits(
	    s, &(struct store_limits){ .ttl_s = late + 10 * 86400 - before_s });
	store_clock(s, late, 0);
	store_clock(s, late + 10 * 86400, 10 * 86400);
	assert_int_equal(store_expire(s), n);
}

static void test_each_and_expire(void **state)
{
	struct store *s = open_store();
	char user[32];
	int i, n = 0;

	(void)state;
	for (i = 0; i < 1000; i++) {
		snprintf(user, sizeof(user), "u%d", i / 2);
		put(s, user, i % 2 ? "a" : "b", i % 2 ? TOKEN : TOKEN "0", NULL,
		    i > 0 ? i : 1);
	}
	assert_int_equal(store_each(s, stop_at_second, &n), 42);
	assert_int_equal(n, 2);
	sync_store(s);
	expire(s, 0, 0);
	expire(s, 400, 400);
	assert_true(store_is_dirty(s));
	assert_int_equal(store_count(s), 600);
	assert_null(store_first(s, "u199"));
	assert_int_equal(count_user(s, "u200"), 2);
	store_close(s);
	s = open_store();
	assert_int_equal(store_count(s), 600);
	assert_null(store_first(s, "u199"));
	store_close(s);
}

/* --- mailbox names --- */

static void test_match(void **state)
{
	static const struct {
		const char *stored, *name;
		bool match;
	} cases[] = {
		{ "INBOX", "INBOX", true },
		{ "inbox", "INBOX", true },
		{ "INBOX", "Inbox", true },
		{ "INBOX/a", "inbox/a", false },
		{ "Notes", "Notes", true },
		{ "Notes", "notes", false },
		{ "Notes", "Note", false },
		{ "Entw&APw-rfe", "Entw\xc3\xbcrfe", true },
		{ "Entw&APw-rfe", "Entw&APw-rfe", true },
		{ "Entw\xc3\xbcrfe", "Entw\xc3\xbcrfe", true },
		{ "A&-B", "A&B", true },
		{ "A&B", "A&B", true },
		/* the example of RFC 3501 5.1.3 */
		{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		    "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
		    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
		    true },
		{ "&2D3eAA-", "\xf0\x9f\x98\x80", true },
		{ "&AOQA9g-", "\xc3\xa4\xc3\xb6", true },
		{ "&AOQ-&-&APY-", "\xc3\xa4&\xc3\xb6", true },
		/* not well-formed: only as they are */
		{ "&AOQ", "\xc3\xa4", false },
		{ "&AOQ", "&AOQ", true },
		{ "&AOR-", "\xc3\xa4", false },	 /* padding not zero */
		{ "&AOQA-", "\xc3\xa4", false }, /* a whole digit of padding */
		{ "&AOQ-&APY-", "\xc3\xa4\xc3\xb6", false }, /* two runs */
		{ "&AEE-", "A", false }, /* ASCII as it is */
		{ "&ACY-", "&", false },
		{ "&AAA-", "", false },
		{ "&2D0-", "\xed\xa0\xbd", false }, /* half a pair */
		{ "&3gA-", "\xed\xb8\x80", false },
		{ "&2D3YPQ-", "x", false },
		{ "&AO/-", "x", false }, /* '/' is no digit here */
		{ "&AO\xc3\xa4-", "x", false },
		{ "\xc3\xa4&APY-", "\xc3\xa4\xc3\xb6", false },
		{ "&", "&", true },
	};
	struct store *s = open_store();
	struct reg *r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		r = put(s, "u", "a", TOKEN, cases[i].stored, 1);
		if (strcasecmp(cases[i].name, "INBOX") == 0) {
			assert_int_equal(reg_match(r, cases[i].name), 0);
			continue;
		}
		if (reg_match(r, cases[i].name) != (cases[i].match ? 1 : -1))
			fail_msg("%s and %s", cases[i].stored, cases[i].name);
	}
	store_close(s);
}

/* The exact name wins over the decoded one, whatever their order. */
static void test_match_prefers_exact(void **state)
{
	const char *boxes[] = { "&AOQ-", "inbox", "\xc3\xa4", "&AOQ-" };
	struct reg_spec spec = { .user = "u",
		.account = "a",
		.token = TOKEN,
		.mailboxes = boxes,
		.n_mailboxes = 4,
		.acked = true,
		.time_s = 1 };
	struct store *s = open_store();
	struct reg *r = store_put(s, &spec);

	(void)state;
	assert_int_equal(reg_match(r, "\xc3\xa4"), 2);
	assert_int_equal(reg_match(r, "&AOQ-"), 0);
	assert_int_equal(reg_match(r, "INBOX"), 1);
	store_close(s);
}

/* Names of the greatest length, all escape or all run, fit the decoder. */
static void test_match_long(void **state)
{
	struct store *s = open_store();
	char name[256], utf8[512];
	struct reg *r;
	size_t i, n;

	(void)state;
	/* 253 digits hold 94 units of 3 bytes (and 14 spare bits). */
	name[0] = '&';
	for (i = 0; i < 31; i++)
		memcpy(name + 1 + 8 * i, "ZeVnLIqe", 8);
	memcpy(name + 1 + 8 * 31, "-", 2);
	for (n = 0, i = 0; i < 31; i++, n += 9)
		memcpy(utf8 + n, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 9);
	utf8[n] = '\0';
	r = put(s, "u", "a", TOKEN, name, 1);
	assert_int_equal(reg_match(r, utf8), 1);
	for (i = 0; i < 127; i++)
		memcpy(name + 2 * i, "&-", 2);
	name[254] = '\0';
	memset(utf8, '&', 127);
	utf8[127] = '\0';
	r = put(s, "u", "a", TOKEN, name, 1);
	assert_int_equal(reg_match(r, utf8), 1);
	store_close(s);
}

/* --- the file --- */

#define LINE_AL                                                                \
	"{\"user\":\"al\\\"\",\"account\":\"a\\\\b\",\"token\":"               \
	"\"0123456789abcdef0123456789abcdef\",\"mailboxes\":[\"INBOX\","       \
	"\"B\xc3\xbc\"],\"acked\":true,\"time\":1763769600}\n"
#define LINE_BOB                                                               \
	"{\"user\":\"bob\",\"account\":\"c\",\"token\":\"0123456789abcdef0\"," \
	"\"mailboxes\":[\"INBOX\"],\"acked\":true,\"time\":5}\n"
#define GONE_BOB                                                               \
	"{\"user\":\"bob\",\"account\":\"c\",\"token\":\"0123456789abcdef0\"," \
	"\"gone\":true}\n"

#define LINE_NEW                                                               \
	"{\"user\":\"new\",\"account\":\"n\",\"token\":\"0123456789abcdef\","  \
	"\"mailboxes\":[\"INBOX\"],\"acked\":true,\"time\":1}\n"

static void test_format(void **state)
{
	struct store *s = open_store();
	struct stat st;

	(void)state;
	assert_false(store_is_dirty(s));
	put(s, "al\"", "a\\b", TOKEN, "B\xc3\xbc", 1763769600);
	assert_true(store_is_dirty(s));
	assert_file("db", "");
	sync_store(s);
	assert_file("db", LINE_AL);
	put(s, "bob", "c", "0123456789ABCDEF0", NULL, 5);
	sync_store(s);
	assert_file("db", LINE_AL LINE_BOB);
	store_drop(s, store_first(s, "bob"));
	assert_true(store_is_dirty(s));
	sync_store(s);
	assert_file("db", LINE_AL LINE_BOB GONE_BOB);
	assert_int_equal(stat(db, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Put and dropped before it was written: no trace. */
	put(s, "bob", "c", "0123456789ABCDEF0", NULL, 5);
	store_drop(s, store_first(s, "bob"));
	assert_false(store_is_dirty(s));
	store_close(s);
	s = open_store();
	assert_int_equal(store_count(s), 1);
	assert_true(reg_has_account(store_first(s, "AL\""), "a\\b"));
	assert_string_equal(
	    reg_mailbox(store_first(s, "al\""), 1), "B\xc3\xbc");
	assert_int_equal(s->live, strlen(LINE_AL));
	assert_int_equal(s->size, strlen(LINE_AL LINE_BOB GONE_BOB));
	store_close(s);
}

/* Dropped and back before the file knows: only the new line is written. */
static void test_drop_and_back(void **state)
{
	struct store *s = open_store();
	int i;

	(void)state;
	put(s, "bob", "c", "0123456789ABCDEF0", NULL, 5);
	sync_store(s);
	for (i = 0; i < 5; i++) {
		store_drop(s, store_first(s, "bob"));
		put(s, "bob", "c", "0123456789ABCDEF0", NULL, 5);
	}
	sync_store(s);
	assert_file("db", LINE_BOB LINE_BOB);
	store_close(s);
	s = open_store();
	assert_int_equal(store_count(s), 1);
	store_close(s);
}

/* The time alone is written once a day, whichever way the clock goes. */
static void test_daily(void **state)
{
	const int64_t t = 1763769600, day = 86400;
	struct store *s = open_store();

	(void)state;
	put(s, "u", "a", TOKEN, NULL, t);
	sync_store(s);
	put(s, "u", "a", TOKEN, NULL, t + day - 1);
	assert_false(store_is_dirty(s));
	assert_int_equal(reg_time_s(store_first(s, "u")), t + day - 1);
	put(s, "u", "a", TOKEN, NULL, t + day);
	assert_true(store_is_dirty(s));
	sync_store(s);
	put(s, "u", "a", TOKEN, NULL, t + 2 * day - 1);
	assert_false(store_is_dirty(s));
	put(s, "u", "a", TOKEN, NULL, t + 1);
	assert_false(store_is_dirty(s));
	put(s, "u", "a", TOKEN, NULL, t);
	assert_true(store_is_dirty(s));
	sync_store(s);
	put(s, "u", "a", TOKEN, "Notes", t + 1);
	assert_true(store_is_dirty(s));
	store_close(s);
	/* And across a restart. */
	s = open_store();
	assert_int_equal(reg_time_s(store_first(s, "u")), t + 1);
	put(s, "u", "a", TOKEN, "Notes", t + day);
	assert_false(store_is_dirty(s));
	put(s, "u", "a", TOKEN, "Notes", t + 1 + day);
	assert_true(store_is_dirty(s));
	store_close(s);
}

/* A file cut at any byte: lines before the torn one survive, the rest is cut
 * off, and the next line begins a line. */
static void test_every_cut(void **state)
{
	static const char text[] = LINE_AL LINE_BOB GONE_BOB LINE_BOB;
	const size_t ends[] = { 0, strlen(LINE_AL), strlen(LINE_AL LINE_BOB),
		strlen(LINE_AL LINE_BOB GONE_BOB), sizeof(text) - 1 };
	const size_t counts[] = { 0, 1, 2, 1, 2 };
	char torn[sizeof(text) + 1];
	struct store *s;
	size_t cut, whole, k;
	struct stat st;

	(void)state;
	for (cut = 0; cut < sizeof(text); cut++) {
		write_file(db, text, cut);
		for (k = 0, whole = 0; k < 5; k++)
			/* A line that lacks only its newline counts. */
			if (ends[k] <= cut + (k > 0))
				whole = k;
		s = open_store();
		assert_int_equal(store_count(s), counts[whole]);
		assert_int_equal(stat(db, &st), 0);
		assert_int_equal(
		    st.st_size, ends[whole] < cut ? ends[whole] : cut);
		put(s, "new", "n", "0123456789abcdef", NULL, 1);
		store_close(s);
		s = open_store();
		assert_int_equal(store_count(s), counts[whole] + 1);
		assert_int_equal(s->size, ends[whole] + strlen(LINE_NEW));
		store_close(s);
		snprintf(torn, sizeof(torn), "%.*s\n",
		    (int)(cut > ends[whole] ? cut - ends[whole] : 0),
		    text + ends[whole]);
		assert_file("db.bad", cut > ends[whole] ? torn : NULL);
		rm_file("db.bad");
	}
}

static void test_nul_tail(void **state)
{
	char text[4096 + sizeof(LINE_BOB)] = LINE_BOB;
	struct store *s;

	(void)state;
	/* A file system that lengthened the file before the power went. */
	write_file(db, text, sizeof(text));
	s = open_store();
	assert_int_equal(store_count(s), 1);
	store_close(s);
	assert_file("db", LINE_BOB);
	assert_file("db.bad", NULL);
}

static void test_bad_lines(void **state)
{
	static const char bad[] =
	    "nonsense\n"
	    "[]\n"
	    "{\"user\":\"u\",\"account\":\"a\",\"token\":\"0123456789abcdeg\","
	    "\"mailboxes\":[\"b\"],\"acked\":true,\"time\":1}\n"
	    "{\"user\":\"u\",\"account\":\"a\",\"gone\":true}\n"
	    "{\"user\":\"u\",\"account\":\"a\",\"token\":\"12\","
	    "\"mailboxes\":[],\"time\":1}\n"
	    "{\"user\":\"u\",\"account\":\"a\",\"token\":\"" TOKEN "\","
	    "\"mailboxes\":[1],\"time\":1}\n"
	    "{\"user\":\"u\",\"account\":\"a\",\"token\":\"" TOKEN "\","
	    "\"mailboxes\":[\"a\\u0000b\"],\"time\":1}\n"
	    "{\"user\":\"u\\ud800\",\"account\":\"a\",\"token\":\"" TOKEN "\","
	    "\"mailboxes\":[],\"time\":1}\n"
	    "{\"user\":\"u\",\"account\":\"a\",\"token\":\"" TOKEN "\","
	    "\"mailboxes\":[],\"time\":1.5}\n"
	    "{\"user\":\"u\",\"account\":\"a\",\"token\":\"" TOKEN "\","
	    "\"mailboxes\":[],\"time\":1,\"acked\":0}\n"
	    "{\"user\":\"u\",\"account\":\"a\",\"token\":\"" TOKEN "\","
	    "\"time\":1}\n";
	struct buf b = BUF_INIT(1 << 20);
	struct store *s;

	(void)state;
	buf_add_str(&b, bad);
	buf_add_str(&b, LINE_AL "\r\n \t\n");
	buf_add_str(&b, LINE_BOB "{\"torn");
	write_file(db, buf_head(&b), b.len);
	s = open_store();
	assert_int_equal(store_count(s), 2);
	store_close(s);
	buf_reset(&b);
	buf_add_fmt(&b, "%s{\"torn\n", bad);
	assert_file("db.bad", (char *)buf_head(&b));
	/* The file is rid of them: not kept aside a second time. */
	s = open_store();
	assert_int_equal(store_count(s), 2);
	assert_int_equal(s->size, strlen(LINE_AL LINE_BOB));
	store_close(s);
	assert_file("db.bad", (char *)buf_head(&b));
	buf_free(&b);
}

/* The longest line that we can write is read back; longer ones go aside. */
static void test_long_lines(void **state)
{
	static const char *boxes[REG_MAILBOXES_MAX];
	char user[256], account[201], token[201], box[256], *have;
	struct reg_spec spec = { .user = user,
		.account = account,
		.token = token,
		.mailboxes = boxes,
		.n_mailboxes = REG_MAILBOXES_MAX,
		.acked = true,
		.time_s = UINT32_MAX };
	struct buf b = BUF_INIT(4 << 20);
	struct store *s = open_store();
	struct reg *r;
	size_t i, n;

	(void)state;
	memset(user, '"', 255);
	memset(account, '\\', 200);
	memset(token, 'f', 200);
	memset(box, '"', 255);
	user[255] = account[200] = token[200] = box[255] = '\0';
	for (i = 0; i < REG_MAILBOXES_MAX; i++)
		boxes[i] = box;
	assert_null(reg_spec_check(&spec));
	store_put(s, &spec);
	sync_store(s);
	assert_int_equal(s->size, 514191);
	store_close(s);
	for (i = 0; i < 2; i++) {
		s = open_store();
		r = store_first(s, user);
		assert_non_null(r);
		assert_int_equal(reg_n_mailboxes(r), REG_MAILBOXES_MAX);
		assert_string_equal(reg_mailbox(r, 999), box);
		assert_int_equal(reg_match(r, box), 0);
		store_close(s);
	}
	/* Too long in the middle, and at the end without a newline. */
	for (n = 0; n < 2; n++) {
		buf_reset(&b);
		buf_add_str(&b, LINE_AL);
		for (i = 0; i < (600 + 700 * n) * 1024; i++)
			buf_add_byte(&b, 'x');
		if (n == 0)
			buf_add_str(&b, "\n" LINE_BOB);
		write_file(db, buf_head(&b), b.len);
		s = open_store();
		assert_int_equal(store_count(s), 2 - n);
		store_close(s);
		have = read_file_at(db, &i);
		assert_int_equal(
		    i, n == 0 ? strlen(LINE_AL LINE_BOB) : strlen(LINE_AL));
		free(have);
	}
	snprintf(box, sizeof(box), "%s/db.bad", tmp_dir);
	have = read_file_at(box, &i);
	assert_int_equal(i, 1900 * 1024 + 2);
	assert_int_equal(have[600 * 1024], '\n');
	assert_int_equal(have[i - 1], '\n');
	free(have);
	buf_free(&b);
}

static void test_rewrite(void **state)
{
	struct store *s = open_store();
	uint64_t largest = 0;
	char box[64];
	int i;

	(void)state;
	put(s, "still", "a", TOKEN, NULL, 1);
	for (i = 0; i < 3000; i++) {
		snprintf(box, sizeof(box), "box %d", i);
		put(s, "u", "a", TOKEN, box, 1);
		if (i % 10 == 0)
			put(s, "brief", "a", TOKEN, NULL, 1);
		else if (i % 10 == 5)
			store_drop(s, store_first(s, "brief"));
		sync_store(s);
		if (s->size > largest)
			largest = s->size;
	}
	/* 3,000 lines of 100 bytes would be 300 kB. */
	assert_true(largest > 65536 && largest < 65536 + 1000);
	store_close(s);
	s = open_store();
	assert_int_equal(store_count(s), 2);
	assert_string_equal(reg_mailbox(store_first(s, "u"), 1), "box 2999");
	assert_non_null(store_first(s, "still"));
	/* Nothing but live lines: however large, left alone. */
	for (i = 0; i < 2000; i++) {
		snprintf(box, sizeof(box), "user %d", i);
		put(s, box, "a", TOKEN, NULL, 1);
	}
	sync_store(s);
	largest = s->size;
	assert_true(largest > 2 * 65536);
	put(s, "one more", "a", TOKEN, NULL, 1);
	sync_store(s);
	assert_true(s->size > largest);
	store_close(s);
}

/* --- opening --- */

static void assert_open_fails(const char *path, const char *words)
{
	struct store *s = store_open(path, why);

	assert_null(s);
	if (strstr(why, words) == NULL || strstr(why, path) == NULL)
		fail_msg("%s: not in: %s", words, why);
}

static void test_open_errors(void **state)
{
	char path[256], *long_name;

	(void)state;
	snprintf(path, sizeof(path), "%s/none/db", tmp_dir);
	assert_open_fails(path, "does not exist: create it");
	assert_open_fails("none/db", "directory none does not exist");
	assert_open_fails(tmp_dir, "must name a file");
	assert_open_fails("/dev/null", "not a regular file");
	long_name = calloc(1, 5000);
	assert_non_null(long_name);
	memset(long_name, 'a', 4999);
	assert_null(store_open(long_name, why));
	assert_non_null(strstr(why, "too long"));
	free(long_name);
}

static void test_lock(void **state)
{
	struct store *s = open_store();

	(void)state;
	put(s, "u", "a", TOKEN, NULL, 1);
	sync_store(s);
	assert_open_fails(db, "in use by another xapsd");
	s->must_rewrite = true; /* another inode takes the name */
	sync_store(s);
	assert_open_fails(db, "in use by another xapsd");
	store_close(s);
	s = open_store();
	assert_int_equal(store_count(s), 1);
	store_close(s);
	store_close(NULL);
}

/* The link stays a link, and its target is rewritten. */
static void test_symlink(void **state)
{
	char link_path[256], path[256];
	struct store *s;
	struct stat st;

	(void)state;
	snprintf(link_path, sizeof(link_path), "%s/link", tmp_dir);
	snprintf(path, sizeof(path), "%s/db2", tmp_dir);
	assert_int_equal(symlink(path, link_path), 0);
	s = store_open(link_path, why);
	assert_non_null(s);
	put(s, "u", "a", TOKEN, NULL, 1);
	s->must_rewrite = true;
	sync_store(s);
	store_close(s);
	assert_int_equal(lstat(link_path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode) && st.st_size > 0);
}

static void test_stale_temp(void **state)
{
	char path[256];
	struct store *s;

	(void)state;
	snprintf(path, sizeof(path), "%s/db.new", tmp_dir);
	write_file(path, "half a rewri", 12);
	write_file(db, LINE_BOB, strlen(LINE_BOB));
	s = open_store();
	assert_int_equal(store_count(s), 1);
	assert_file("db.new", NULL);
	store_close(s);
}

/* --- growth --- */

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#define MANY 100000
#define MANY_OF_ONE 1000 /* maxDevices is 50 if not set otherwise */

static void many_key(int i, char user[32], char account[64])
{
	snprintf(user, 32, "user%06d@example.com", i);
	snprintf(account, 64, "%08x-0000-0000-0000-%012x", i * 7, i);
}

/* Timing is printed, never asserted: machines differ. */
static void test_many(void **state)
{
	struct store *s = open_store();
	char user[32], account[64];
	int64_t t0 = now_us(), t1, t2, t3, worst = 0, t;
	int i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		many_key(i, user, account);
		t = now_us();
		put(s, user, account, TOKEN TOKEN, "Notes", 1000 + i % 5 / 4);
		t = now_us() - t;
		worst = t > worst ? t : worst;
	}
	t1 = now_us();
	sync_store(s);
	store_close(s);
	t2 = now_us();
	s = open_store();
	t3 = now_us();
	assert_int_equal(store_count(s), MANY);
	for (i = 0; i < MANY; i++) {
		many_key(i, user, account);
		assert_non_null(store_find(s, user, account, TOKEN TOKEN));
		assert_int_equal(count_user(s, user), 1);
	}
	print_message("%d registrations: put %d ms (worst %d us), write %d ms, "
		      "read %d ms (%d MB/s)\n",
	    MANY, (int)((t1 - t0) / 1000), (int)worst, (int)((t2 - t1) / 1000),
	    (int)((t3 - t2) / 1000), (int)(s->size / (t3 - t2 + 1)));
	expire(s, 1001, MANY / 5 * 4);
	assert_int_equal(store_count(s), MANY / 5);
	sync_store(s); /* mostly dead: rewritten, the removals never appended */
	assert_true(s->size == s->live);
	store_close(s);
}

/* One user with very many devices must not slow anything down. */
static void test_many_of_one_user(void **state)
{
	struct store *s = open_store();
	char account[64];
	int i;

	(void)state;
	for (i = 0; i < MANY_OF_ONE; i++) {
		snprintf(account, sizeof(account), "%d", i);
		put(s, "shared", account, TOKEN, NULL, 1);
		put(s, "shared", account, TOKEN, "Notes", 1);
	}
	assert_int_equal(count_user(s, "shared"), MANY_OF_ONE);
	for (i = 0; i < MANY_OF_ONE; i++) {
		snprintf(account, sizeof(account), "%d", i);
		store_drop(s, store_find(s, "shared", account, TOKEN));
	}
	assert_null(store_first(s, "shared"));
	store_close(s);
}

/* A user's devices stay together while the table grows, and when some go. */
static void test_devices_of_many(void **state)
{
	struct store *s = store_view_new();
	char user[32], account[32];
	int i, k;

	(void)state;
	for (k = 0; k < 3; k++)
		for (i = 0; i < 1000; i++) {
			snprintf(user, sizeof(user), "%s%d",
			    k == 1 ? "USER" : "user", i);
			snprintf(account, sizeof(account), "%d", k);
			put(s, user, account, TOKEN, NULL, 1);
		}
	assert_int_equal(store_count(s), 3000);
	for (i = 0; i < 1000; i++) {
		snprintf(user, sizeof(user), "User%d", i);
		assert_int_equal(count_user(s, user), 3);
		for (k = 2; k >= 0; k--) {
			snprintf(account, sizeof(account), "%d", (i + k) % 3);
			store_drop(s, store_find(s, user, account, TOKEN));
			assert_int_equal(count_user(s, user), k);
		}
	}
	assert_int_equal(store_count(s), 0);
	store_view_free(s);
}

/* --- lines --- */

#define LINE(user, account, token, boxes, tail)                                \
	"{\"user\":\"" user "\",\"account\":\"" account                        \
	"\",\"token\":\"" token "\",\"mailboxes\":[" boxes "]," tail
#define LOWER "0123456789abcdef"
#define TAIL "\"acked\":true,\"time\":1763769600}"

static const struct {
	const char *line;
	enum {
		BAD,
		GOOD,
		SAME
	} is; /* SAME: it is written as it was read */
} lines[] = {
	{ LINE("u", "a", LOWER, "\"INBOX\"", TAIL), SAME },
	{ LINE("U12345678", "a b", LOWER LOWER, "\"1234567\",\"12345678\"",
	      TAIL),
	    SAME },
	{ LINE("u", "a", LOWER "0", "\"b\"", TAIL), SAME },
	{ LINE("u", "a", LOWER "01234F", "\"b\"", TAIL), GOOD },
	{ LINE("u", "a", LOWER "0123456789", "\"b\"", TAIL), SAME },
	{ LINE("u", "a", LOWER, "\"b\"", "\"acked\":false,\"time\":0}"), SAME },
	{ LINE("u", "a", TOKEN, "\"b\"", TAIL), GOOD },
	{ LINE("u", "a", LOWER "g", "\"b\"", TAIL), BAD },
	{ LINE("u", "a", LOWER "0123456:", "\"b\"", TAIL), BAD },
	{ LINE("\xc3\xa4", "a b", LOWER, "\"INBOX\",\"\xe2\x82\xac\"", TAIL),
	    SAME },
	{ LINE("u", "a", LOWER, "\"b\",\"1234567\xc3\xa4\"", TAIL), SAME },
	{ LINE("u", "a", LOWER, "\"b\",\"1234567\xc3\"", TAIL), BAD },
	{ LINE("u", "a", LOWER, "\"\xc2\x9f\"", TAIL), BAD },
	{ LINE("u", "1234567\xc3\xa4", LOWER, "\"b\"", TAIL), BAD },
	{ LINE("u", "a\x7f", LOWER, "\"b\"", TAIL), BAD },
	{ LINE("u", "a", LOWER, "", TAIL), SAME },
	{ LINE("u", "a", LOWER, "\"b\" ", TAIL), GOOD },
	{ LINE("u", "a", LOWER, "\"b\",", TAIL), BAD },
	{ LINE("u", "a", LOWER, "\"b\"", TAIL " "), GOOD },
	{ LINE("u", "a", LOWER, "\"b\"", TAIL "}"), BAD },
	{ LINE("u", "a", LOWER, "\"\"", TAIL), BAD },
	{ LINE("u\\u0041", "a", LOWER, "\"b\"", TAIL), GOOD },
	{ LINE("u\\\"", "a", LOWER, "\"b\"", TAIL), SAME },
	{ LINE("u\n", "a", LOWER, "\"b\"", TAIL), BAD },
	{ LINE("u\xff", "a", LOWER, "\"b\"", TAIL), BAD },
	{ LINE("", "a", LOWER, "\"b\"", TAIL), BAD },
	{ LINE("u", "\xc3\xa4", LOWER, "\"b\"", TAIL), BAD },
	{ LINE("u", "a", "0123456789abcde", "\"b\"", TAIL), BAD },
	{ LINE("u", "a", LOWER, "\"b\"", "\"acked\":null,\"time\":1}"), BAD },
	{ LINE("u", "a", LOWER, "\"b\"", "\"acked\":true,\"time\":}"), BAD },
	{ LINE("u", "a", LOWER, "\"b\"", "\"acked\":true,\"time\":01}"), BAD },
	{ LINE("u", "a", LOWER, "\"b\"", "\"acked\":true,\"time\":-1}"), GOOD },
	{ LINE("u", "a", LOWER, "\"b\"", "\"acked\":true,\"time\":1.5}"), BAD },
	{ LINE("u", "a", LOWER, "\"b\"",
	      "\"acked\":true,\"time\":123456789012}"),
	    GOOD },
	{ LINE("u", "a", LOWER, "\"b\"", "\"acked\":true,\"time\":1,\"x\":2}"),
	    GOOD },
};

static int take_reg(void *arg, struct reg *r)
{
	*(struct reg **)arg = r;
	return 0;
}

/* At a heap block's end, so that a sanitizer sees what reads beyond. */
static struct reg *put_line(struct store *s, const char *line, size_t n)
{
	char *exact = malloc(n ? n : 1);
	struct reg *r = NULL;
	bool newer;

	assert_non_null(exact);
	memcpy(exact, line, n);
	if (store_put_line(s, exact, n, &newer) == NULL)
		store_each(s, take_reg, &r);
	free(exact);
	return r;
}

static void test_lines(void **state)
{
	struct buf b = BUF_INIT(4096);
	struct store *s;
	struct reg *r;
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		s = store_view_new();
		n = strlen(lines[i].line);
		assert_int_equal(
		    put_line(s, lines[i].line, n) != NULL, lines[i].is != BAD);
		store_view_free(s);
		s = store_view_new();
		r = put_line(s, lines[i].line, n);
		if (r != NULL) {
			assert_true(reg_write(r, NULL, &b));
			assert_int_equal(
			    b.len == n + 1 &&
				memcmp(buf_head(&b), lines[i].line, n) == 0,
			    lines[i].is == SAME);
			buf_reset(&b);
		}
		store_view_free(s);
		s = store_view_new();
		while (lines[i].is == SAME && n > 0)
			assert_null(put_line(s, lines[i].line, --n));
		assert_int_equal(store_count(s), 0);
		store_view_free(s);
	}
	buf_free(&b);
}

/* Each byte in a user's name and in the token. */
static void test_every_byte(void **state)
{
	static const char plain[] = LINE("uu", "a", LOWER LOWER, "\"b\"", TAIL);
	char line[sizeof(plain)], *user, *token;
	struct store *s = store_view_new();
	bool newer;
	int c;

	(void)state;
	memcpy(line, plain, sizeof(line));
	user = strchr(line, 'u') + strlen("user\":\"");
	token = strstr(line, LOWER LOWER);
	assert_non_null(token);
	for (c = 0; c < 256; c++) {
		*user = (char)c;
		assert_int_equal(
		    store_put_line(s, line, sizeof(line) - 1, &newer) == NULL,
		    c >= ' ' && c < 0x7f && c != '"' && c != '\\');
		*user = 'u';
		*token = (char)c;
		assert_int_equal(
		    store_put_line(s, line, sizeof(line) - 1, &newer) == NULL,
		    (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
			(c >= 'A' && c <= 'F'));
		*token = '0';
	}
	store_view_free(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_limits),
		T(test_lines),
		T(test_every_byte),
		T(test_keys),
		T(test_renewal),
		T(test_drop_orders),
		T(test_each_and_expire),
		T(test_match),
		T(test_match_prefers_exact),
		T(test_match_long),
		T(test_format),
		T(test_drop_and_back),
		T(test_daily),
		T(test_every_cut),
		T(test_nul_tail),
		T(test_bad_lines),
		T(test_long_lines),
		T(test_rewrite),
		T(test_open_errors),
		T(test_lock),
		T(test_symlink),
		T(test_stale_temp),
		T(test_many),
		T(test_many_of_one_user),
		T(test_devices_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
