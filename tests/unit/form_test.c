/* form_test.c - forms: whole, cut anywhere, wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/form.h"

#define FORM                                                                   \
	"do=push&user=J%C3%B6rg+B%2B%26%3D%25+a%40b&empty=&with=1=2&%64%6F2=x"

static int get(const char *text, const char *key, char *out)
{
	return form_get(text, strlen(text), key, out, 64);
}

static void test_fields(void **state)
{
	static const struct {
		const char *text, *key, *value;
	} rows[] = {
		{ FORM, "do", "push" },
		{ FORM, "user", "J\xc3\xb6rg B+&=% a@b" },
		{ FORM, "empty", "" },
		{ FORM, "with", "1=2" },
		{ FORM, "do2", "x" },
		{ "=nameless", "", "nameless" },
		{ "a=1&", "a", "1" },
	};
	char out[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
		    get(rows[i].text, rows[i].key, out), strlen(rows[i].value));
		assert_string_equal(out, rows[i].value);
	}
	assert_int_equal(get(FORM, "no", out), FORM_ABSENT);
	assert_string_equal(out, "");
	assert_int_equal(get(FORM, "d", out), FORM_ABSENT);
	assert_int_equal(get("", "do", out), FORM_ABSENT);
	assert_int_equal(form_get(NULL, 0, "do", out, 64), FORM_ABSENT);
}

static void test_wrong(void **state)
{
	static const char *const rows[] = { "a", "&", "a=1&&b=2", "&a=1",
		"a=1&b", "a=%", "a=%4", "a=%4g", "a=%g4", "a=%00", "%00=1&a=1",
		"a=1&b=%zz", "a=1&a=1", "a=1&a=", "a=\x01", "a=1 2", "a=\n",
		"a=\xc3\xb6", "a=%ff", "a=%C3", "a=%C3%B6%80", "a=%C0%80",
		"a=%0a", "a=%7f", "a=%C2%85", "a=%ED%A0%80" };
	char out[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (get(rows[i], "a", out) != FORM_BAD)
			fail_msg("%s", rows[i]);
		assert_string_equal(out, "");
	}
	/* Of another field only the escapes count. */
	assert_int_equal(get("b=%ff&c=%01&c=&a=1", "a", out), 1);
}

static void test_size(void **state)
{
	char out[4];

	(void)state;
	assert_int_equal(form_get("a=123", 5, "a", out, 4), 3);
	assert_string_equal(out, "123");
	assert_int_equal(form_get("a=1234", 6, "a", out, 4), FORM_BAD);
	assert_int_equal(form_get("b=1234567&a=1", 13, "a", out, 4), 1);
	/* A name that is longer than any of ours */
	assert_int_equal(
	    form_get("aaaaaaaaaaaaaaaaaaaa=1&a=2", 26, "a", out, 4), 1);
}

/* Every beginning of it, with the end at a page that may not be read. */
static void test_every_end(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char out[64], *text;
	size_t len;
	int rc;

	(void)state;
	assert_true(mem != MAP_FAILED);
	assert_int_equal(mprotect(mem + page, page, PROT_NONE), 0);
	for (len = 0; len <= strlen(FORM); len++) {
		text = mem + page - len;
		memcpy(text, FORM, len);
		rc = form_get(text, len, "do", out, sizeof(out));
		assert_true(rc >= FORM_BAD && rc <= 4);
		rc = form_get(text, len, "user", out, sizeof(out));
		assert_true(rc >= FORM_BAD && rc < (int)sizeof(out));
		assert_int_equal(strlen(out), rc < 0 ? 0 : rc);
	}
	munmap(mem, 2 * page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_every_end),
	};

	return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
