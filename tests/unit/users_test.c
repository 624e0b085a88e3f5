/* users_test.c - patterns of users' names. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../users.h"

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *user;
		int matches;
	} rows[] = {
		{ "alice", "alice", 1 }, { "Alice", "aLICE", 1 },
		{ "alice", "alice@example.org", 0 }, { "alice", "alic", 0 },
		{ "alice", "", 0 }, { "*@example.org", "alice@example.org", 1 },
		{ "*@Example.ORG", "alice@eXample.org", 1 },
		{ "*@example.org", "@example.org", 1 },
		{ "*@example.org", "a@b@example.org", 1 },
		{ "*@example.org", "alice@example.org.", 0 },
		{ "*@example.org", "alice@an.example.org", 0 },
		{ "*@example.org", "example.org", 0 },
		{ "*@b@example.org", "a@b@example.org", 1 },
		{ "*@*.example.org", "alice@an.example.org", 1 },
		{ "*@*.example.org", "alice@example.org", 0 },
		{ "*", "alice", 1 }, { "*", "\303\274", 1 }, { "**", "a", 1 },
		{ "?", "a", 1 },
		{ "?", "\303\274", 1 }, /* one character of two bytes */
		{ "??", "\303\274", 0 }, { "?", "ab", 0 }, { "a*", "alice", 1 },
		{ "a*e", "alice", 1 }, { "a*i*e", "alice", 1 },
		{ "a*x*e", "alice", 0 }, { "*ab", "aab", 1 },
		{ "*a?c", "abcabc", 1 }, { "*?@x", "@x", 0 },
		{ "user-??@x", "user-12@x", 1 },
		{ "\303\204rger", "\303\244rger", 0 }, /* ASCII only */
		{ "[a]", "a", 0 }, { "a.c", "abc", 0 },
		{ "a\\*", "a*", 0 }, /* no escapes: nobody has such a name */
	};
	struct users *u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		u = users_new();
		assert_null(users_add(u, rows[i].pattern, 1));
		if (users_find(u, rows[i].user) != (size_t)rows[i].matches)
			fail_msg("%s: %s", rows[i].pattern, rows[i].user);
		users_free(u);
	}
	assert_int_equal(users_find(NULL, "alice"), 0);
	users_free(NULL);
}

/* Of several that match the lowest number counts, whatever their kinds. */
static void test_order(void **state)
{
	static const char *const kinds[] = { "a@b", "*@b", "a*", "?@b" };
	struct users *u;
	size_t i, j;

	(void)state;
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++) {
			u = users_new();
			assert_null(users_add(u, "x  y\t*@z ", 1));
			users_add(u, kinds[i], 2);
			users_add(u, kinds[j], 3);
			assert_int_equal(users_find(u, "A@B"), 2);
			assert_int_equal(users_find(u, "x"), 1);
			assert_int_equal(users_find(u, "Y"), 1);
			assert_int_equal(users_find(u, "c@Z"), 1);
			assert_int_equal(users_find(u, "c@y"), 0);
			users_free(u);
		}
}

static void test_twice(void **state)
{
	struct users *u = users_new();

	(void)state;
	assert_null(users_add(u, "a *@b", 1));
	assert_null(users_add(u, "", 2));
	assert_null(users_add(u, " c c ", 3)); /* of one set: no matter */
	assert_string_equal(users_add(u, "d *@B", 4), "*@B");
	assert_string_equal(users_add(u, "A e", 5), "A e");
	assert_int_equal(users_find(u, "a"), 1);
	assert_int_equal(users_find(u, "x@b"), 1);
	assert_int_equal(users_find(u, "e"), 5);
	users_free(u);
}

static void test_many(void **state)
{
	enum {
		N = 2000
	};
	static char text[N][32];
	struct users *u = users_new();
	char user[64];
	size_t i;

	(void)state;
	for (i = 0; i < N; i++) {
		snprintf(text[i], sizeof(text[i]), "*@d%zu.example u%zu",
		    i * 7919 % N, i * 7919 % N);
		assert_null(users_add(u, text[i], i + 1));
	}
	for (i = 0; i < N; i++) {
		snprintf(user, sizeof(user), "x@D%zu.example", i * 7919 % N);
		assert_int_equal(users_find(u, user), i + 1);
		snprintf(user, sizeof(user), "U%zu", i * 7919 % N);
		assert_int_equal(users_find(u, user), i + 1);
	}
	assert_int_equal(users_find(u, "x@d2000.example"), 0);
	users_free(u);
}

/* Neither is read past its end. */
static void test_edges(void **state)
{
	static const char *const texts[] = { "*@a", "a?*", "ab@cd", "*\303" };
	long page = sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct users *u;
	char *at;
	size_t i, j;

	(void)state;
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map + page, (size_t)page, PROT_NONE), 0);
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++) {
			u = users_new();
			at = map + page - strlen(texts[i]) - 1;
			strcpy(at, texts[i]);
			users_add(u, at, 1);
			users_find(u, texts[j]);
			users_free(u);
			u = users_new();
			users_add(u, texts[j], 1);
			users_find(u, at);
			users_free(u);
		}
	munmap(map, 2 * (size_t)page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
