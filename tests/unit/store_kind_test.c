/* store_kind_test.c - whatever file a person makes the database: it is read, or
 * left alone; nothing of it is lost. */
#include "unit.h"

#include "store_util.h"
#include "needs.h"

#define BOM "\xef\xbb\xbf"
#define KEY "\"account\":\"a\",\"token\":\"0123456789abcdef\""
#define OURS(user)                                                             \
	"{\"user\":\"" user "\"," KEY                                          \
	",\"mailboxes\":[\"INBOX\"],\"acked\":true,\"time\":1763769600}"
#define DEVICE                                                                 \
	"{\"DeviceToken\":\"0123456789abcdef\",\"Mailboxes\":[\"INBOX\"],"     \
	"\"RegistrationTime\":\"2025-11-22T00:00:00Z\"}"
#define GO "{\"Users\":{\"u\":{\"Accounts\":{\"a\":" DEVICE "}}}}"

static void assert_bytes(const char *name, const void *want, size_t n)
{
	char path[256], *have;
	size_t got;

	snprintf(path, sizeof(path), "%s/%s", tmp_dir, name);
	have = read_file_at(path, &got);
	assert_non_null(have);
	assert_int_equal(got, n);
	assert_memory_equal(have, want, n);
	free(have);
}

/* --- the Go daemon's, as people save it --- */

static const struct {
	const char *text;
	size_t count;
} go_files[] = {
	{ GO, 1 },
	{ GO "\n", 1 },
	{ BOM GO "\r\n", 1 },
	{ "\n\n  " GO, 1 },
	{ "{\r\n  \"Users\": {\r\n    \"u\": {\r\n      \"Accounts\": {\r\n"
	  "        \"a\": {\r\n          \"DeviceToken\": \"0123456789abcdef\""
	  "\r\n        }\r\n      }\r\n    }\r\n  }\r\n}\r\n",
	    1 },
	{ "{\"users\":{\"u\":{\"accounts\":{\"a\":{\"devicetoken\":"
	  "\"0123456789abcdef\",\"mailboxes\":null,\"registrationtime\":null}"
	  "}}}}",
	    1 },
	{ "{\"USERS\":{\"u\":{\"ACCOUNTS\":{\"a\":" DEVICE "}}}}", 1 },
	{ "{\n  \"A\": {\"user\": 5},\n  \"Users\": {\"u\":{\"X\":[],"
	  "\"Accounts\":{\"a\":" DEVICE "}}},\n  \"Z\": 1\n}\n",
	    1 },
	/* Go reads both into the one. */
	{ "{\"users\":{\"u\":{\"Accounts\":{\"a\":" DEVICE "}}},"
	  "\"Users\":{\"v\":{\"accounts\":{\"a\":" DEVICE "},"
	  "\"Accounts\":{\"b\":" DEVICE "}}}}",
	    3 },
	{ "{\"Us\\u0065rs\":{\"u\":{\"Accounts\":{\"a\":" DEVICE "}}}}", 1 },
	{ "{}", 0 },
	{ "{ }\n", 0 },
	{ "null", 0 },
	{ BOM "null\n", 0 },
	{ "{\"Users\":null}", 0 },
	{ "{\"users\":{}}\n", 0 },
};

static void test_go(void **state)
{
	struct store *s;
	size_t i;

	(void)state;
	NEEDS("go-import");
	for (i = 0; i < sizeof(go_files) / sizeof(*go_files); i++) {
		write_file(db, go_files[i].text, strlen(go_files[i].text));
		s = open_store();
		if (store_count(s) != go_files[i].count)
			fail_msg("%s", go_files[i].text);
		store_close(s);
		assert_file("db.orig", go_files[i].text);
		assert_file("db.bad", NULL);
		s = open_store();
		assert_int_equal(store_count(s), go_files[i].count);
		store_close(s);
		rm_file("db.orig");
	}
}

/* An original of before stays. */
static void test_originals(void **state)
{
	char path[256];

	(void)state;
	NEEDS("go-import");
	snprintf(path, sizeof(path), "%s/db.orig", tmp_dir);
	write_file(path, "mine", 4);
	write_file(db, GO, strlen(GO));
	store_close(open_store());
	assert_file("db.orig", "mine");
	assert_file("db.orig.1", GO);
}

/* --- ours, as people save them --- */

static const struct {
	const char *text;
	size_t count;
	const char *bad; /* NULL: none */
} our_files[] = {
	{ "", 0, NULL },
	{ "\n \r\n\t", 0, NULL },
	{ BOM, 0, NULL },
	{ OURS("u"), 1, NULL },
	{ OURS("u") "\r\n" OURS("v") "\r\n", 2, NULL },
	{ BOM OURS("u") "\n" OURS("v") "\n", 2, NULL },
	{ BOM OURS("u"), 1, NULL },
	{ "\n" OURS("u") "\n", 1, NULL },
	{ "{ \"token\": \"0123456789abcdef\", \"user\": \"u\", \"account\": "
	  "\"a\", \"mailboxes\": [], \"time\": 5 }\n",
	    1, NULL },
	{ "# mine\n" OURS("u") "\n", 1, "# mine\n" },
	{ OURS("u") "\n" OURS("v") "x", 1, OURS("v") "x\n" },
	{ OURS("u") "\n" GO, 1, GO "\n" },
	{ OURS("u") "\n" GO "\n", 1, GO "\n" },
	{ OURS("u") "\n{\"user\":\"v\",\"acc", 1, "{\"user\":\"v\",\"acc\n" },
	{ OURS("u") "\n{\"user\":\"v\"," KEY ",\"go", 1,
	    "{\"user\":\"v\"," KEY ",\"go\n" },
	{ "{\"user\":\"v\",\"acc", 0, "{\"user\":\"v\",\"acc\n" },
	{ "{", 0, "{\n" },
};

static void test_ours(void **state)
{
	struct store *s;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(our_files) / sizeof(*our_files); i++) {
		write_file(db, our_files[i].text, strlen(our_files[i].text));
		s = open_store();
		if (store_count(s) != our_files[i].count)
			fail_msg("%s", our_files[i].text);
		put(s, "new", "n", TOKEN, NULL, 5);
		store_close(s);
		assert_file("db.orig", NULL);
		assert_file("db.bad", our_files[i].bad);
		rm_file("db.bad");
		s = open_store();
		assert_int_equal(store_count(s), our_files[i].count + 1);
		store_close(s);
		assert_file("db.bad", NULL);
	}
}

/* --- anything else --- */

static const struct {
	const char *text;
	size_t n;
	const char *words;
} strangers[] = {
	{ "\xff\xfe{\0\"\0", 6, "UTF-16" },
	{ "{\0\"\0U\0", 6, "UTF-16" },
	{ "\x1f\x8b\x08\0\n\n\0\n", 8, "gzip" },
	{ "\0\0\1\n\n\0\n", 7, "neither" },
	{ "-----BEGIN PRIVATE KEY-----\nMII\n\n", 33, "neither" },
	{ "nonsense", 8, "neither" },
	{ "[]", 2, "neither" },
	{ "5\n", 2, "neither" },
	{ "\"Users\"", 7, "neither" },
	{ "{\"Users\":{\"al", 13, "1:14" },
	{ "{\n  \"users\": {\n    \"u\": {,\n", 28, "3:11" },
	{ "{\"Users\":[]}", 12, "no object \"Users\"" },
	{ "{\"a\":1}", 7, "no object \"Users\"" },
	{ "{\n", 2, "ends too early" },
};

static void test_strangers(void **state)
{
	struct store *view;
	size_t i, bad;

	(void)state;
	NEEDS("go-import");
	for (i = 0; i < sizeof(strangers) / sizeof(*strangers); i++) {
		write_file(db, strangers[i].text, strangers[i].n);
		if (store_open(db, why) != NULL)
			fail_msg("%s", strangers[i].text);
		if (strstr(why, strangers[i].words) == NULL)
			fail_msg("%s: %s", strangers[i].text, why);
		assert_bytes("db", strangers[i].text, strangers[i].n);
		assert_file("db.bad", NULL);
		assert_file("db.orig", NULL);
		view = store_view_new();
		assert_true(store_view_read(view, db, &bad, why) < 0);
		store_view_free(view);
	}
}

static void test_directory(void **state)
{
	(void)state;
	assert_int_equal(mkdir(db, 0700), 0);
	assert_null(store_open(db, why));
	assert_non_null(strstr(why, "must name a file"));
	assert_int_equal(rmdir(db), 0);
}

/* Appending works, what needs the directory waits or is refused. */
static void test_directory_not_writable(void **state)
{
	static const char text[] = OURS("u") "\nnonsense\n" OURS("v") "\n";
	struct store *s;

	(void)state;
	if (geteuid() == 0)
		skip(); /* the e2e tests do it */
	write_file(db, text, strlen(text));
	assert_int_equal(chmod(tmp_dir, 0500), 0);
	s = open_store();
	assert_int_equal(store_count(s), 2);
	put(s, "w", "a", TOKEN, NULL, 5);
	sync_store(s);
	store_close(s);
	write_file(db, GO, strlen(GO));
	assert_null(store_open(db, why));
	assert_int_equal(chmod(tmp_dir, 0700), 0);
	assert_file("db", GO);
}

/* Every prefix of our lines is torn, whatever is in them. */
static void test_torn(void **state)
{
	static const char *const lines[] = {
		"{\"user\":\"a\\\"b\xc3\xbc\",\"account\":\"\\\\\",\"token\":"
		"\"0123456789abcdef\",\"mailboxes\":[\"INBOX\",\"a]}\\\"\"],"
		"\"canonical\":[null,[\"b\",\"c\"]],\"acked\":true,"
		"\"topic\":\"com.x\",\"time\":1763769600}",
		"{\"user\":\"a\"," KEY ",\"gone\":true}",
	};
	static const char *const others[] = { "x", "{\"users\"",
		"{\"Users\":", "[", " {\"user\"",
		"{\"user\" :", "{\"user\":\"a\tb", "{\"user\":5",
		"{\"user\":\"a\",\"token\"", "{\"user\":\"a\"," KEY ",\"x\"" };
	size_t i, n;

	(void)state;
	for (i = 0; i < 2; i++)
		for (n = strlen(lines[i]); n > 0; n--)
			assert_true(line_is_torn(lines[i], n));
	for (i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(line_is_torn(others[i], strlen(others[i])));
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_go),
		T(test_originals),
		T(test_ours),
		T(test_strangers),
		T(test_directory),
		T(test_directory_not_writable),
		T(test_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
