/* store_other_test.c - registrations of other kinds than Apple's. */
#include "unit.h"

#include "buf.h"
#include "store_util.h"
#include "needs.h"
#include "users.h"

#define NOW_S 1800000000LL
#define DAY_S 86400LL
#define LOW "0123456789abcdef0123456789abcdef"
#define TO "https://push.example/a?b=1 key auth"
#define KEY                                                                    \
	"{\"user\":\"al\",\"account\":\"web\",\"token\":\"" LOW "\","          \
	"\"mailboxes\":[\"INBOX\"],"
#define LINE_TO(to)                                                            \
	KEY "\"kind\":\"webpush\",\"to\":\"" to "\",\"acked\":null,\"time\":"  \
	    "5}"
#define LINE LINE_TO(TO)
#define LINE_APPLE                                                             \
	"{\"user\":\"al\",\"account\":\"web\",\"token\":\"" LOW "\","          \
	"\"mailboxes\":[\"INBOX\"],\"acked\":true,\"time\":6}"

static const char *const inbox[] = { "INBOX" };

static struct reg_spec spec_of(enum reg_kind kind, const char *to)
{
	return (struct reg_spec){ .user = "al",
		.account = "web",
		.token = TOKEN,
		.mailboxes = inbox,
		.n_mailboxes = 1,
		.acked = true,
		.time_s = 5,
		.kind = kind,
		.to = to };
}

static struct reg *put_kind(
    struct store *s, enum reg_kind kind, const char *to, int64_t time_s)
{
	struct reg_spec spec = spec_of(kind, to);

	spec.time_s = time_s;
	assert_null(reg_spec_check(&spec));
	return store_put(s, &spec);
}

static void test_names(void **state)
{
	enum reg_kind kind, found;

	(void)state;
	for (kind = REG_APPLE; kind < REG_KINDS; kind++) {
		assert_true(reg_kind_find(reg_kind_name(kind), &found));
		assert_int_equal(found, kind);
	}
	assert_string_equal(reg_kind_name(REG_APPLE), "apple");
	assert_false(reg_kind_find("", &found));
	assert_false(reg_kind_find("WebPush", &found));
	assert_false(reg_kind_find("webpush ", &found));
}

static void test_limits(void **state)
{
	char to[REG_TO_MAX + 2] = "";
	struct reg_spec spec = spec_of(REG_FCM, to);

	(void)state;
	memset(to, ' ', sizeof(to));
	to[REG_TO_MAX + 1] = '\0';
	assert_non_null(reg_spec_check(&spec));
	to[REG_TO_MAX] = '\0';
	assert_null(reg_spec_check(&spec));
	to[7] = '\x1f';
	assert_non_null(reg_spec_check(&spec));
	to[7] = '\x7f';
	assert_non_null(reg_spec_check(&spec));
	to[7] = '\xc3';
	assert_non_null(reg_spec_check(&spec));
	to[0] = '\0';
	assert_non_null(reg_spec_check(&spec));
	/* Apple's has none. */
	spec = spec_of(REG_APPLE, NULL);
	assert_null(reg_spec_check(&spec));
}

static void test_put(void **state)
{
	const char *boxes[] = { "*", "Lists" };
	struct store *s = open_store();
	struct reg_spec spec = spec_of(REG_DELTACHAT, "openpgp:x");
	struct reg *r = put_kind(s, REG_WEBPUSH, TO " code", 5);

	(void)state;
	assert_int_equal(reg_kind(r), REG_WEBPUSH);
	assert_string_equal(reg_to(r), TO " code");
	sync_store(s);
	/* Another address of the same key is a change, whatever its length. */
	assert_ptr_equal(put_kind(s, REG_WEBPUSH, TO, 6), r);
	assert_true(store_is_dirty(s));
	assert_string_equal(reg_to(r), TO);
	sync_store(s);
	put_kind(s, REG_WEBPUSH, TO, 7);
	assert_false(store_is_dirty(s));
	put_kind(s, REG_FCM, TO, 8);
	assert_true(store_is_dirty(s));
	assert_int_equal(reg_kind(r), REG_FCM);
	spec.mailboxes = boxes;
	spec.n_mailboxes = 2;
	assert_ptr_equal(store_put(s, &spec), r);
	assert_int_equal(reg_kind(r), REG_DELTACHAT);
	assert_string_equal(reg_to(r), "openpgp:x");
	assert_string_equal(reg_mailbox(r, 1), "Lists");
	put_kind(s, REG_APPLE, NULL, 9);
	assert_int_equal(reg_kind(r), REG_APPLE);
	assert_string_equal(reg_to(r), "");
	assert_int_equal(reg_n_mailboxes(r), 1);
	spec.n_mailboxes = 0;
	store_put(s, &spec);
	assert_string_equal(reg_to(r), "openpgp:x");
	assert_int_equal(store_count(s), 1);
	store_close(s);
}

static void test_set_to(void **state)
{
	const char *boxes[] = { "*", "Lists" };
	const struct reg_canonical canonical[] = { { NULL, "*" },
		{ "bob", "Lists" } };
	const struct watch *cursor = NULL;
	struct reg_spec spec = spec_of(REG_WEBPUSH, TO " code");
	struct store *s = open_store();
	struct reg *r;

	(void)state;
	spec.mailboxes = boxes;
	spec.canonical = canonical;
	spec.n_mailboxes = 2;
	r = store_put(s, &spec);
	store_suspend(s, r);
	sync_store(s);
	assert_ptr_equal(store_set_to(s, r, TO, 8), r);
	assert_string_equal(reg_to(r), TO);
	assert_int_equal(reg_kind(r), REG_WEBPUSH);
	assert_int_equal(reg_time_s(r), 8);
	assert_false(reg_suspended(r));
	assert_string_equal(reg_mailbox(r, 1), "Lists");
	assert_ptr_equal(store_watcher(s, "bob", &cursor), r);
	assert_true(store_is_dirty(s));
	store_close(s);
	s = open_store();
	assert_string_equal(reg_to(store_first(s, "al")), TO);
	assert_int_equal(
	    reg_match_next(store_first(s, "al"), "bob", "Lists", -1), 1);
	store_close(s);
}

static void test_file(void **state)
{
	struct store *s = open_store();
	struct reg *r;

	(void)state;
	put_kind(s, REG_WEBPUSH, TO, 5);
	sync_store(s);
	assert_file("db", LINE "\n");
	store_close(s);
	s = open_store();
	r = store_first(s, "al");
	assert_int_equal(reg_kind(r), REG_WEBPUSH);
	assert_string_equal(reg_to(r), TO);
	assert_int_equal(reg_time_s(r), 5);
	store_drop(s, r);
	sync_store(s);
	store_close(s);
	s = open_store();
	assert_int_equal(store_count(s), 0);
	store_close(s);
}

/* One of Apple's is what it was, in the file too. */
static void test_apple_line(void **state)
{
	struct store *s = open_store();

	(void)state;
	put_kind(s, REG_APPLE, "not used", 6);
	sync_store(s);
	assert_file("db", LINE_APPLE "\n");
	store_close(s);
}

/* A later version's kind, or a broken line, is set aside. */
static void test_bad_lines(void **state)
{
	static const struct {
		const char *line;
		bool is_good;
	} cases[] = {
		{ LINE, true },
		{ KEY "\"kind\":\"webpush\",\"to\":\"x\",\"time\":5}", true },
		{ KEY "\"kind\":\"apple\",\"time\":5}", true },
		{ KEY "\"kind\":\"apple\",\"to\":7,\"time\":5}", true },
		{ KEY "\"kind\":\"fcm\",\"to\":\"x\",\"topic\":7,"
		      "\"acked\":true,\"time\":5}",
		    true },
		{ KEY "\"acked\":null,\"time\":5}", false },
		{ KEY "\"kind\":\"apple\",\"acked\":null,\"time\":5}", false },
		{ KEY "\"kind\":\"webpush\",\"time\":5}", false },
		{ KEY "\"kind\":\"webpush\",\"to\":\"\",\"time\":5}", false },
		{ KEY "\"kind\":\"webpush\",\"to\":7,\"time\":5}", false },
		{ KEY "\"kind\":\"webpush\",\"to\":[],\"time\":5}", false },
		{ KEY "\"kind\":\"webpush\",\"to\":\"\\n\",\"time\":5}",
		    false },
		{ KEY "\"kind\":\"webpush\",\"to\":\"\\u0000\",\"time\":5}",
		    false },
		{ KEY "\"kind\":\"webpush\",\"to\":\"\xc3\xa4\",\"time\":5}",
		    false },
		{ KEY "\"kind\":\"hook\",\"to\":\"x\",\"time\":5}", false },
		{ KEY "\"kind\":\"pigeon\",\"to\":\"x\",\"time\":5}", false },
		{ KEY "\"kind\":\"\",\"to\":\"x\",\"time\":5}", false },
		{ KEY "\"kind\":\"webpushwebpushwebpush\",\"to\":\"x\","
		      "\"time\":5}",
		    false },
		{ KEY "\"kind\":null,\"to\":\"x\",\"time\":5}", false },
	};
	struct store *s;
	bool newer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		s = store_view_new();
		if (cases[i].is_good !=
		    (store_put_line(s, cases[i].line, strlen(cases[i].line),
			 &newer) == NULL))
			fail_msg("%s", cases[i].line);
		store_view_free(s);
	}
}

/* Whatever is left of the line after a power cut is cut off. */
static void test_every_cut(void **state)
{
	static const char text[] = LINE_APPLE "\n" LINE_TO("x");
	size_t n, first = sizeof(LINE_APPLE), len = sizeof(text) - 1;
	struct store *s;
	char *want;

	(void)state;
	for (n = first; n < len; n++) {
		rm_file("db.bad");
		write_file(db, text, n);
		s = open_store();
		assert_int_equal(store_count(s), 1);
		assert_int_equal(reg_kind(store_first(s, "al")), REG_APPLE);
		store_close(s);
		assert_file("db", LINE_APPLE "\n");
		if (n == first)
			continue;
		want = malloc(n + 2);
		assert_non_null(want);
		snprintf(want, n + 2, "%.*s\n", (int)(n - first), text + first);
		assert_file("db.bad", want);
		free(want);
	}
	write_file(db, text, len);
	s = open_store();
	assert_int_equal(reg_kind(store_first(s, "al")), REG_WEBPUSH);
	store_close(s);
}

/* The largest registration fits a line. */
static void test_largest(void **state)
{
	static char name[REG_MAILBOX_MAX + 1], to[REG_TO_MAX + 1];
	const char *boxes[255];
	struct reg_spec spec = spec_of(REG_WEBPUSH, to);
	struct store *s = open_store();
	size_t i;

	(void)state;
	memset(name, '"', REG_MAILBOX_MAX);
	memset(to, '\\', REG_TO_MAX);
	for (i = 0; i < 255; i++)
		boxes[i] = name;
	spec.mailboxes = boxes;
	spec.n_mailboxes = 255;
	assert_null(reg_spec_check(&spec));
	store_put(s, &spec);
	sync_store(s);
	store_close(s);
	s = open_store();
	assert_string_equal(reg_to(store_first(s, "al")), to);
	assert_file("db.bad", NULL);
	store_close(s);
}

/* Only Apple's have a topic that may be an old one. */
static void test_topics(void **state)
{
	struct store *s = open_store();
	struct reg *r;

	(void)state;
	store_set_topic(s, "one");
	put_kind(s, REG_WEBPUSH, TO, 5);
	store_set_topic(s, "two");
	assert_int_equal(store_old_topics(s), 0);
	r = put_kind(s, REG_APPLE, NULL, 6);
	assert_int_equal(store_old_topics(s), 0);
	store_set_topic(s, "three");
	assert_int_equal(store_old_topics(s), 1);
	assert_string_equal(store_old_topic(s, r), "two");
	put_kind(s, REG_WEBPUSH, TO, 7);
	assert_int_equal(store_old_topics(s), 0);
	assert_null(store_old_topic(s, r));
	store_drop(s, r);
	assert_int_equal(store_old_topics(s), 0);
	store_close(s);
}

static void test_brands(void **state)
{
	const char *const topics[] = { "brand" };
	struct users *users = users_new();
	struct store *s = open_store();
	struct reg *r;
	size_t old;

	(void)state;
	NEEDS("brands");
	store_set_topic(s, "main");
	r = put_kind(s, REG_FCM, "token", 5);
	assert_int_equal(store_brand_of(s, r), 0);
	users_add(users, "a*", 1);
	store_set_brands(s, users, topics, 1);
	/* Its user's, whatever topic the file names. */
	assert_int_equal(store_brand_of(s, r), 1);
	assert_int_equal(store_brand_count(s, 1, &old), 1);
	assert_int_equal(old, 0);
	assert_int_equal(store_brand_count(s, 0, &old), 0);
	store_drop(s, r);
	assert_int_equal(store_brand_count(s, 1, &old), 0);
	store_close(s);
	users_free(users);
}

static size_t left_after(enum reg_kind kind, int64_t days)
{
	struct store *s = store_view_new();
	size_t n;

	store_set_limits(s, &(struct store_limits){ .ttl_s = 30 * DAY_S });
	store_clock(s, NOW_S, 0);
	put_kind(s, kind, "to", NOW_S);
	store_clock(s, NOW_S + days * DAY_S, days * DAY_S);
	store_expire(s);
	n = store_count(s);
	store_view_free(s);
	return n;
}

static void test_expiry(void **state)
{
	(void)state;
	assert_int_equal(left_after(REG_APPLE, 30), 1);
	assert_int_equal(left_after(REG_APPLE, 31), 0);
	assert_int_equal(left_after(REG_DELTACHAT, 90), 1);
	assert_int_equal(left_after(REG_DELTACHAT, 91), 0);
	assert_int_equal(left_after(REG_WEBPUSH, 3650), 1);
	assert_int_equal(left_after(REG_FCM, 3650), 1);
}

/* The same address by another name of the app's is another registration. */
static void test_two_accounts(void **state)
{
	struct store *s = store_view_new();
	struct reg_spec spec = spec_of(REG_WEBPUSH, TO);
	int day;

	(void)state;
	store_set_limits(s, &(struct store_limits){ .ttl_s = 30 * DAY_S });
	store_clock(s, NOW_S, 0);
	put_kind(s, REG_WEBPUSH, TO, NOW_S);
	spec.account = "later";
	spec.time_s = NOW_S + 60;
	store_put(s, &spec);
	for (day = 1; day < 20; day++) {
		store_clock(s, NOW_S + day * DAY_S, day * DAY_S);
		store_expire(s);
	}
	assert_int_equal(store_count(s), 2);
	store_view_free(s);
}

static size_t put_named(
    struct store *s, const char *account, enum reg_kind kind, char token)
{
	char tokens[] = LOW;
	struct reg_spec spec = spec_of(kind, TO);

	tokens[0] = token;
	spec.account = account;
	spec.token = tokens;
	assert_non_null(store_put(s, &spec));
	return store_count(s);
}

/* An app's name for it has one address, and takes nobody else's place. */
static void test_names_of_apps(void **state)
{
	struct store *s = open_store();
	struct reg *r;

	(void)state;
	store_set_limits(
	    s, &(struct store_limits){ .devices = 2, .registrations = 2 });
	assert_int_equal(put_named(s, "web", REG_WEBPUSH, '1'), 1);
	assert_int_equal(put_named(s, "phone", REG_WEBPUSH, '2'), 2);
	sync_store(s);
	/* The one renewed longest ago is not the one that is replaced. */
	assert_int_equal(put_named(s, "phone", REG_WEBPUSH, '3'), 2);
	assert_non_null(
	    store_find(s, "al", "web", "1123456789abcdef0123456789abcdef"));
	assert_non_null(
	    store_find(s, "al", "phone", "3123456789abcdef0123456789abcdef"));
	sync_store(s);
	store_close(s);
	s = open_store();
	assert_int_equal(store_count(s), 2);
	/* By a clock that is a little behind that of the node it came from. */
	r = store_find(s, "al", "phone", "3123456789abcdef0123456789abcdef");
	reg_set_ms(r, 5500);
	assert_int_equal(put_named(s, "phone", REG_WEBPUSH, 'a'), 2);
	/* What is imported and much older takes nobody's place. */
	store_set_to(s,
	    store_find(s, "al", "phone", "a123456789abcdef0123456789abcdef"),
	    TO, 5 * DAY_S);
	assert_int_equal(put_named(s, "phone", REG_WEBPUSH, 'b'), 3);
	store_drop(s,
	    store_find(s, "al", "phone", "b123456789abcdef0123456789abcdef"));
	/* Another kind's is another one, and so are those without a name. */
	assert_int_equal(put_named(s, "phone", REG_FCM, '4'), 3);
	assert_int_equal(put_named(s, "fcm", REG_FCM, '5'), 4);
	assert_int_equal(put_named(s, "fcm", REG_FCM, '6'), 5);
	assert_int_equal(put_named(s, "fcm", REG_WEBPUSH, '7'), 6);
	assert_int_equal(put_named(s, "fcm", REG_WEBPUSH, '8'), 6);
	assert_int_equal(put_named(s, "a", REG_APPLE, '8'), 7);
	assert_int_equal(put_named(s, "a", REG_APPLE, '9'), 8);
	assert_int_equal(store_count_kind(s, REG_APPLE), 2);
	assert_int_equal(store_count_kind(s, REG_WEBPUSH), 3);
	assert_int_equal(store_count_kind(s, REG_FCM), 3);
	assert_int_equal(store_count_kind(s, REG_HOOK), 0);
	store_drop(
	    s, store_find(s, "al", "fcm", "8123456789abcdef0123456789abcdef"));
	assert_int_equal(store_count_kind(s, REG_WEBPUSH), 2);
	store_close(s);
}

/* --- several nodes --- */

static char gone_line[512];
static int64_t gone_ms;

static void on_change(void *arg, struct reg *r, enum store_change change)
{
	struct buf b;

	(void)arg;
	if (change != STORE_GONE)
		return;
	gone_ms = reg_gone_ms(r);
	buf_init(&b, sizeof(gone_line) - 1);
	reg_write_gone(r, gone_ms, &b);
	snprintf(gone_line, sizeof(gone_line), "%.*s", (int)b.len,
	    (const char *)buf_head(&b));
	buf_free(&b);
}

static struct store *new_node(void)
{
	struct store *s = store_view_new();

	store_set_limits(s, &(struct store_limits){ .ttl_s = 30 * DAY_S });
	store_clock(s, NOW_S, 0);
	store_on_change(s, on_change, NULL);
	return s;
}

/* One that was never renewed reaches a new node, and so does its removal, which
 * is remembered. */
static void test_merge_old(void **state)
{
	struct store *a = new_node(), *b = new_node();
	int64_t old_ms = (NOW_S - 300 * DAY_S) * 1000;
	struct reg *r;

	(void)state;
	assert_null(store_merge(a, LINE, strlen(LINE), old_ms, &r));
	assert_null(store_merge(b, LINE, strlen(LINE), old_ms, &r));
	assert_non_null(r);
	assert_int_equal(reg_kind(r), REG_WEBPUSH);
	assert_string_equal(reg_to(r), TO);
	store_drop(a, store_first(a, "al"));
	assert_in_range(gone_ms, (NOW_S - 2 * 3600) * 1000, NOW_S * 1000);
	assert_null(store_merge(b, gone_line, strlen(gone_line), gone_ms, &r));
	assert_int_equal(store_count(b), 0);
	store_expire(a);
	store_expire(b);
	assert_int_equal(store_gone_count(a), 1);
	assert_int_equal(store_gone_count(b), 1);
	/* A third node still has it. */
	assert_null(store_merge(b, LINE, strlen(LINE), old_ms, &r));
	assert_int_equal(store_count(b), 0);
	/* Made again at a node whose clock is behind. */
	r = put_kind(a, REG_WEBPUSH, TO, NOW_S - 60);
	assert_true(reg_time_ms(r, false) > gone_ms);
	store_view_free(a);
	store_view_free(b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_names),
		T(test_limits),
		T(test_put),
		T(test_set_to),
		T(test_file),
		T(test_apple_line),
		T(test_bad_lines),
		T(test_every_cut),
		T(test_largest),
		T(test_topics),
		T(test_brands),
		T(test_expiry),
		T(test_two_accounts),
		T(test_names_of_apps),
		T(test_merge_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
