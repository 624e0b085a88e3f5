/* store_view_test.c - looking at registrations without owning the file. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "store.h"
#include "needs.h"

#define TOKEN "0123456789abcdef0123456789abcdef"
#define MANY 5000

static char dir[] = "/tmp/xapsd-view-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

static void put(struct store *s, unsigned i)
{
	char user[32], account[32];
	const char *box = "INBOX";
	const struct reg_spec spec = { .user = user,
		.account = account,
		.token = TOKEN,
		.mailboxes = &box,
		.n_mailboxes = 1,
		.acked = true,
		.time_s = 1763769600 };

	snprintf(user, sizeof(user), "u%u", i % 50);
	snprintf(account, sizeof(account), "%u", i);
	store_put(s, &spec);
}

static void mark(void *arg, struct reg *r)
{
	char account[REG_ACCOUNT_MAX + 1];
	unsigned char *seen = arg;

	seen[atoi(reg_account(r, account))]++;
}

/* While the table grows to many times its size, and others go, each that is
 * there all the time is shown. */
static void test_scan_while_it_grows(void **state)
{
	static unsigned char seen[4 * MANY];
	struct store *s = store_view_new();
	size_t cursor = 0, steps = 0, twice = 0;
	unsigned i, next = MANY;
	char user[32], account[32];

	(void)state;
	for (i = 0; i < MANY; i++)
		put(s, i);
	do {
		store_scan(s, &cursor, mark, seen);
		if (next < 4 * MANY)
			put(s, next++);
		if (steps % 7 == 0 && steps / 7 < MANY / 2) {
			i = (unsigned)(steps / 7 * 2 + 1);
			snprintf(user, sizeof(user), "u%u", i % 50);
			snprintf(account, sizeof(account), "%u", i);
			store_drop(s, store_find(s, user, account, TOKEN));
		}
		steps++;
	} while (cursor != 0);
	assert_true(steps > MANY);
	for (i = 0; i < MANY; i += 2) { /* only odd ones were dropped */
		assert_true(seen[i] > 0);
		twice += seen[i] > 1;
	}
	assert_true(twice < MANY / 2);
	store_view_free(s);
}

static void test_scan_nothing(void **state)
{
	static const size_t made_up[] = { 1000, SIZE_MAX - 1, SIZE_MAX };
	unsigned char seen[1] = { 0 };
	struct store *s = store_view_new();
	size_t cursor = 0, steps = 0, i;

	(void)state;
	do
		store_scan(s, &cursor, mark, seen);
	while (cursor != 0 && ++steps < 100);
	assert_int_equal(cursor, 0);
	for (i = 0; i < sizeof(made_up) / sizeof(*made_up); i++) {
		cursor = made_up[i];
		store_scan(s, &cursor, mark, seen);
		assert_int_equal(cursor, 0);
	}
	assert_int_equal(seen[0], 0);
	store_view_free(s);
}

static char *write_file(const char *name, const char *text)
{
	static char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
	return path;
}

#define LINE(user)                                                             \
	"{\"user\":\"" user "\",\"account\":\"A\",\"token\":\"" TOKEN          \
	"\",\"mailboxes\":[\"INBOX\"],\"acked\":true,\"time\":1763769600}\n"

/* Everything that a daemon would repair stays as it is. */
static void test_read_changes_nothing(void **state)
{
	static const struct {
		const char *text;
		size_t count, bad;
	} rows[] = {
		{ "", 0, 0 },
		{ LINE("a") LINE("b"), 2, 0 },
		{ LINE("a") "{\"user\":\"b", 1, 1 },
		{ LINE("a") "nonsense\n" LINE("b"), 2, 1 },
		{ "{\"Users\":{\"a\":{\"Accounts\":{\"A\":{\"DeviceToken\":"
		  "\"" TOKEN "\",\"Mailboxes\":[]},\"B\":{\"DeviceToken\":"
		  "\"x\"}}}}}",
		    1, 1 },
	};
	char err[ERR_MAX], now[1024], *path;
	struct store *s;
	size_t i, bad, n;
	FILE *f;

	(void)state;
	NEEDS("go-import");
	log_set_level(LOG_L_FATAL);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		path = write_file("db", rows[i].text);
		s = store_view_new();
		assert_int_equal(store_view_read(s, path, &bad, err), 0);
		assert_int_equal(store_count(s), rows[i].count);
		assert_int_equal(bad, rows[i].bad);
		store_view_free(s);
		f = fopen(path, "r");
		n = fread(now, 1, sizeof(now) - 1, f);
		now[n] = '\0';
		fclose(f);
		assert_string_equal(now, rows[i].text);
		/* and there is no other file: remove_dir() would fail */
		assert_int_equal(unlink(path), 0);
	}
}

static void test_read_fails(void **state)
{
	char err[ERR_MAX], *path = write_file("db", "{\"Users\":{");
	struct store *s = store_view_new();
	size_t bad;

	(void)state;
	assert_int_equal(store_view_read(s, path, &bad, err), -1);
	assert_non_null(strstr(err, "db: "));
	store_view_free(s);
	unlink(path);
	s = store_view_new();
	assert_int_equal(store_view_read(s, path, &bad, err), -1);
	assert_non_null(strstr(err, "No such file"));
	store_view_free(s);
	s = store_view_new();
	assert_int_equal(store_view_read(s, dir, &bad, err), -1);
	store_view_free(s);
}

static const char *put_line(struct store *s, const char *line, bool *newer)
{
	return store_put_line(s, line, strlen(line), newer);
}

static void test_put_line(void **state)
{
	struct store *s = store_view_new();
	struct buf b = BUF_INIT(4096);
	bool newer;

	(void)state;
	assert_null(put_line(s, LINE("a"), &newer));
	assert_true(newer);
	assert_null(put_line(s, LINE("A"), &newer));
	assert_false(newer); /* the same user, not newer */
	assert_non_null(put_line(s, "", &newer));
	assert_non_null(put_line(s, "[]", &newer));
	assert_non_null(put_line(s,
	    "{\"user\":\"a\",\"account\":\"A\",\"token\":\"" TOKEN
	    "\",\"gone\":true}",
	    &newer));
	assert_int_equal(store_count(s), 1);
	assert_false(reg_suspended(store_first(s, "a")));
	assert_null(put_line(s,
	    "{\"user\":\"a\",\"account\":\"A\",\"token\":\"" TOKEN
	    "\",\"mailboxes\":[],\"time\":1763769601,\"suspended\":true}",
	    &newer));
	assert_true(newer);
	assert_true(reg_suspended(store_first(s, "a")));
	reg_write(store_first(s, "a"), NULL, &b);
	assert_int_equal(b.len,
	    strlen("{\"user\":\"a\",\"account\":\"A\","
		   "\"token\":\"" TOKEN "\",\"mailboxes\":[],\"acked\":false,"
		   "\"time\":1763769601}\n"));
	buf_free(&b);
	store_view_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_while_it_grows),
		cmocka_unit_test(test_scan_nothing),
		cmocka_unit_test(test_read_changes_nothing),
		cmocka_unit_test(test_read_fails),
		cmocka_unit_test(test_put_line),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
