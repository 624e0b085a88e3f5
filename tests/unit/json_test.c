/* json_test.c - the tokeniser at every split, error position and page end. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "json.h"
#include "text.h"

#define N_TOKS 256

static struct json_tok toks[N_TOKS];
static struct json_err err;

static int parse(const char *s)
{
	int n = json_parse(s, strlen(s), toks, N_TOKS, &err);
	struct json_err e2;

	/* Checking alone must agree in everything. */
	assert_int_equal(json_parse(s, strlen(s), NULL, 0, &e2), n);
	if (n < 0) {
		assert_string_equal(err.reason, e2.reason);
		assert_int_equal(err.line, e2.line);
		assert_int_equal(err.column, e2.column);
	}
	return n;
}

static struct json doc(const char *s)
{
	assert_true(parse(s) > 0);
	return (struct json){ s, strlen(s), toks };
}

static void test_scalars(void **state)
{
	static const struct {
		const char *text;
		enum json_type type;
	} cases[] = {
		{ "null", JSON_NULL },
		{ "false", JSON_FALSE },
		{ "true", JSON_TRUE },
		{ " \t\r\n0 ", JSON_NUMBER },
		{ "-0", JSON_NUMBER },
		{ "-12.50e+10", JSON_NUMBER },
		{ "1E-2", JSON_NUMBER },
		{ "\"\"", JSON_STRING },
		{ "\"\\u00e4\\\"\\\\\\/\\b\\f\\n\\r\\t\"", JSON_STRING },
		{ "[]", JSON_ARRAY },
		{ "{}", JSON_OBJECT },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(parse(cases[i].text), 1);
		assert_int_equal(toks[0].type, cases[i].type);
		assert_int_equal(toks[0].next, 1);
	}
	parse(" -12.5 ");
	assert_int_equal(toks[0].start, 1);
	assert_int_equal(toks[0].end, 6);
}

static void test_tree(void **state)
{
	/*                0123456789012345678901234567890 */
	const char *s = " {\"a\":[1,[],{\"b\":2}],\"c\":\"d\"} ";
	static const struct json_tok want[] = {
		{ 1, 29, 10, 2, JSON_OBJECT },
		{ 3, 4, 2, 0, JSON_STRING },
		{ 6, 20, 8, 3, JSON_ARRAY },
		{ 7, 8, 4, 0, JSON_NUMBER },
		{ 9, 11, 5, 0, JSON_ARRAY },
		{ 12, 19, 8, 1, JSON_OBJECT },
		{ 14, 15, 7, 0, JSON_STRING },
		{ 17, 18, 8, 0, JSON_NUMBER },
		{ 22, 23, 9, 0, JSON_STRING },
		{ 26, 27, 10, 0, JSON_STRING },
	};
	size_t i;

	(void)state;
	assert_int_equal(parse(s), 10);
	for (i = 0; i < 10; i++) {
		assert_int_equal(toks[i].start, want[i].start);
		assert_int_equal(toks[i].end, want[i].end);
		assert_int_equal(toks[i].next, want[i].next);
		assert_int_equal(toks[i].size, want[i].size);
		assert_int_equal(toks[i].type, want[i].type);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *reason;
		size_t line, column;
	} cases[] = {
		{ "", "the text ends too early", 1, 1 },
		{ " \n ", "the text ends too early", 2, 2 },
		{ "\xef\xbb\xbf{}", "begins with a byte order mark", 1, 1 },
		{ "x", "expected a value", 1, 1 },
		{ "tru", "the text ends too early", 1, 4 },
		{ "trux", "expected true, false or null", 1, 4 },
		{ "nulll", "something follows the value", 1, 5 },
		{ "1 2", "something follows the value", 1, 3 },
		{ "-", "the text ends too early", 1, 2 },
		{ "-a", "expected a digit", 1, 2 },
		{ "01", "a number must not begin with 0", 1, 2 },
		{ "1.", "the text ends too early", 1, 3 },
		{ "1.e1", "expected a digit", 1, 3 },
		{ "1e+", "the text ends too early", 1, 4 },
		{ "1ex", "expected a digit", 1, 3 },
		{ "+1", "expected a value", 1, 1 },
		{ ".5", "expected a value", 1, 1 },
		{ "\"ab", "the text ends too early", 1, 4 },
		{ "\"a\tb\"", "control character in a string", 1, 3 },
		{ "\"\\x\"", "unknown escape", 1, 3 },
		{ "\"\\", "the text ends too early", 1, 3 },
		{ "\"\\u12g4\"", "\\u needs four hex digits", 1, 6 },
		{ "\"\\u12", "the text ends too early", 1, 6 },
		{ "\"\xff\"", "not UTF-8", 1, 2 },
		{ "\"\xc3\xa4\xc3\"", "not UTF-8", 1, 4 },
		{ "[", "the text ends too early", 1, 2 },
		{ "[1\n,]", "expected a value", 2, 2 },
		{ "[,", "expected a value or ']'", 1, 2 },
		{ "[1 2]", "expected ',' or ']'", 1, 4 },
		{ "[1}", "expected ',' or ']'", 1, 3 },
		{ "]", "expected a value", 1, 1 },
		{ "{1:2}", "expected a key in double quotes or '}'", 1, 2 },
		{ "{\"a\" 1}", "expected ':'", 1, 6 },
		{ "{\"a\":}", "expected a value", 1, 6 },
		{ "{\"a\":1,}", "expected a key in double quotes", 1, 8 },
		{ "{\"a\":1]", "expected ',' or '}'", 1, 7 },
		{ "{\"a\":[{}],\n\"b\":[}", "expected a value or ']'", 2, 6 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(parse(cases[i].text), -1);
		assert_string_equal(err.reason, cases[i].reason);
		assert_int_equal(err.line, cases[i].line);
		assert_int_equal(err.column, cases[i].column);
		assert_false(err.too_many);
	}
	/* NUL is a byte like others: never the end. */
	assert_int_equal(json_parse("1\0", 2, toks, N_TOKS, &err), -1);
	assert_int_equal(json_parse("\"\\\0\"", 4, toks, N_TOKS, &err), -1);
	assert_string_equal(err.reason, "unknown escape");
}

/* Every prefix ends at an unreadable page; only the whole is valid. */
static void test_prefixes_at_page_end(void **state)
{
	static const char text[] = "{\"a\\u00e4\":[-1.5e+3,true,false,null,"
				   "\"\xe2\x82\xac\\ud83d\\ude00"
				   "\xf0\x9f\x98\x80\\n\"],\"b\":{\"c\":{}}}";
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n;
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at;

	(void)state;
	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
	for (n = 0; n < sizeof(text); n++) {
		at = map + page - n;
		memcpy(at, text, n);
		if (n == sizeof(text) - 1)
			continue;
		assert_int_equal(json_parse(at, n, toks, N_TOKS, &err), -1);
		assert_int_equal(json_parse(at, n, NULL, 0, &err), -1);
	}
	at = map + page - (sizeof(text) - 1);
	memcpy(at, text, sizeof(text) - 1);
	assert_int_equal(
	    json_parse(at, sizeof(text) - 1, toks, N_TOKS, &err), 12);
	assert_int_equal(json_parse(at, sizeof(text) - 1, NULL, 0, &err), 12);
	munmap(map, 2 * page);
}

/* A number ends with the text: no byte after it may be read. */
static void test_number_at_page_end(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static const char *const numbers[] = { "0", "-0", "12", "1.5", "1e9" };
	size_t i, n;

	(void)state;
	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
	for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		n = strlen(numbers[i]);
		memcpy(map + page - n, numbers[i], n);
		assert_int_equal(
		    json_parse(map + page - n, n, toks, N_TOKS, &err), 1);
	}
	munmap(map, 2 * page);
}

static void test_too_many(void **state)
{
	const char *s = "[1,2,{\"a\":3}]";
	size_t max;

	(void)state;
	for (max = 0; max < 6; max++) {
		assert_int_equal(json_parse(s, strlen(s), toks, max, &err), -1);
		assert_true(err.too_many);
	}
	assert_int_equal(json_parse(s, strlen(s), toks, 6, &err), 6);
}

static void test_depth(void **state)
{
	enum {
		DEEP = 100000
	};
	char *s = malloc(2 * DEEP + 1);
	struct json_tok *many = calloc(DEEP, sizeof(*many));
	size_t i;

	(void)state;
	assert_non_null(s);
	assert_non_null(many);
	memset(s, '[', DEEP);
	memset(s + DEEP, ']', DEEP);
	assert_int_equal(json_parse(s, 2 * DEEP, many, DEEP, &err), DEEP);
	for (i = 0; i < DEEP; i++)
		assert_int_equal(many[i].next, DEEP);
	assert_int_equal(json_parse(s, 2 * DEEP - 1, many, DEEP, &err), -1);
	/* Without tokens: 1024 levels, no more. */
	assert_int_equal(
	    json_parse(s + DEEP - 1024, 2048, NULL, 0, &err), 1024);
	assert_int_equal(json_parse(s + DEEP - 1025, 2050, NULL, 0, &err), -1);
	assert_string_equal(err.reason, "nested deeper than 1024 levels");
	assert_int_equal(err.column, 1025);
	/* Objects and arrays in turn: the bitmap must distinguish them. */
	for (i = 0; i < 1024; i += 2)
		memcpy(s + 6 * (i / 2), "{\"a\":[", 6);
	for (i = 0; i < 1024; i += 2)
		memcpy(s + 6 * 512 + i, "]}", 2);
	assert_int_equal(json_parse(s, 8 * 512, NULL, 0, &err), 1024 + 512);
	s[6 * 512 + 1] = ']';
	assert_int_equal(json_parse(s, 8 * 512, NULL, 0, &err), -1);
	assert_int_equal(err.column, 6 * 512 + 2);
	free(many);
	free(s);
}

static void test_get(void **state)
{
	struct json j = doc("{\"a\":1,\"b\":[1,{\"a\":5}],\"\\u0061\":2,"
			    "\"ab\":3,\"\":4,\"\xc3\xa4\":6}");
	int64_t v;

	(void)state;
	assert_true(json_int(&j, json_get(&j, toks, "a"), &v));
	assert_int_equal(v, 2); /* the last one, written as an escape */
	assert_true(json_int(&j, json_get(&j, toks, "ab"), &v));
	assert_int_equal(v, 3);
	assert_true(json_int(&j, json_get(&j, toks, ""), &v));
	assert_int_equal(v, 4);
	assert_true(json_int(&j, json_get(&j, toks, "\xc3\xa4"), &v));
	assert_int_equal(v, 6);
	assert_int_equal(json_get(&j, toks, "b")->size, 2);
	assert_null(json_get(&j, toks, "abc"));
	assert_null(json_get(&j, toks, "c"));
	assert_null(json_get(&j, &toks[1], "a"));
	assert_null(json_get(&j, NULL, "a"));
	j = doc("{\"a\\u0000\":1}");
	assert_null(json_get(&j, toks, "a"));
	j = doc("{\"\\ud800\":1}");
	assert_null(json_get(&j, toks, "\xed\xa0\x80"));
}

static void test_string(void **state)
{
	static const struct {
		const char *text, *value; /* NULL: refused */
	} cases[] = {
		{ "\"\"", "" },
		{ "\"abc\"", "abc" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u0041\\u00E4\\u20ac\"", "A\xc3\xa4\xe2\x82\xac" },
		{ "\"\\ud83d\\uDE00\"", "\xf0\x9f\x98\x80" },
		{ "\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf" },
		{ "\"\\uffff\\u07ff\\u0800\"",
		    "\xef\xbf\xbf\xdf\xbf\xe0\xa0\x80" },
		{ "\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80" },
		{ "\"\\ud83d\"", NULL },
		{ "\"\\ud83dx\"", NULL },
		{ "\"\\ud83d\\n\"", NULL },
		{ "\"\\ud83d\\u0041\"", NULL },
		{ "\"\\ud83d\\ud83d\"", NULL },
		{ "\"\\ude00\\ud83d\"", NULL },
		{ "\"a\\u0000b\"", NULL },
		{ "17", NULL },
	};
	char out[32];
	struct json j;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		j = doc(cases[i].text);
		n = json_string(&j, toks, out, sizeof(out));
		if (cases[i].value == NULL) {
			assert_int_equal(n, -1);
			continue;
		}
		assert_int_equal(n, strlen(cases[i].value));
		assert_string_equal(out, cases[i].value);
		/* It needs its length and the NUL, no less. */
		assert_int_equal(json_string(&j, toks, out, (size_t)n + 1), n);
		assert_int_equal(json_string(&j, toks, out, (size_t)n), -1);
		assert_int_equal(json_string(&j, toks, out, 0), -1);
	}
	assert_int_equal(json_string(&j, NULL, out, sizeof(out)), -1);
}

static void test_int(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t value;
	} cases[] = {
		{ "0", true, 0 },
		{ "-0", true, 0 },
		{ "1763769600", true, 1763769600 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 },
		{ "99999999999999999999999", false, 0 },
		{ "1.0", false, 0 },
		{ "1e3", false, 0 },
		{ "\"1\"", false, 0 },
		{ "null", false, 0 },
	};
	struct json j;
	int64_t v;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		j = doc(cases[i].text);
		assert_int_equal(json_int(&j, toks, &v), cases[i].ok);
		if (cases[i].ok)
			assert_true(v == cases[i].value);
	}
	assert_false(json_int(&j, NULL, &v));
}

/* Decodes by the definition of RFC 3629, to compare with. */
static bool utf8_is_char(uint32_t v, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	return v >= least[n] && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff);
}

static void test_utf8(void **state)
{
	uint32_t v;
	char s[4];

	(void)state;
	assert_true(text_utf8_ok("", 0));
	assert_true(text_utf8_ok("a\0b", 3));
	/* Every three- and four-byte form, overlong and too large ones too. */
	for (v = 0; v < 0x10000; v++) {
		s[0] = (char)(0xe0 | v >> 12);
		s[1] = (char)(0x80 | (v >> 6 & 0x3f));
		s[2] = (char)(0x80 | (v & 0x3f));
		assert_int_equal(text_utf8_ok(s, 3), utf8_is_char(v, 3));
		assert_false(text_utf8_ok(s, 2));
	}
	for (v = 0; v < 0x200000; v += 7) {
		s[0] = (char)(0xf0 | v >> 18);
		s[1] = (char)(0x80 | (v >> 12 & 0x3f));
		s[2] = (char)(0x80 | (v >> 6 & 0x3f));
		s[3] = (char)(0x80 | (v & 0x3f));
		if (text_utf8_ok(s, 4) != utf8_is_char(v, 4))
			fail_msg("U+%X", v);
		assert_false(text_utf8_ok(s, 3));
	}
	for (v = 0; v < 0x800; v++) {
		s[0] = (char)(0xc0 | v >> 6);
		s[1] = (char)(0x80 | (v & 0x3f));
		assert_int_equal(text_utf8_ok(s, 2), utf8_is_char(v, 2));
	}
	for (v = 0x80; v < 0x100; v++) {
		s[0] = (char)v;
		assert_false(text_utf8_ok(s, 1));
		s[1] = 'a';
		assert_false(text_utf8_ok(s, 2));
	}
	assert_false(text_utf8_ok("\xfc\x84\x80\x80\x80\x80", 6));
}

static void test_write(void **state)
{
	static const char in[] = "a\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa4\xff"
				 "\xe2\x82z";
	static const char want[] =
	    "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\xc3\xa4"
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"";
	struct buf b = BUF_INIT(1000), small = BUF_INIT(sizeof(want) - 2);

	(void)state;
	assert_true(json_write_str(&b, in));
	assert_int_equal(b.len, sizeof(want) - 1);
	assert_memory_equal(buf_head(&b), want, b.len);
	assert_false(json_write_str(&small, in));
	buf_reset(&b);
	assert_true(json_write_strn(&b, "a\0b", 3));
	assert_int_equal(b.len, 10);
	assert_memory_equal(buf_head(&b), "\"a\\u0000b\"", 10);
	buf_free(&b);
	buf_free(&small);
}

/* Every character is written and read back. */
static void test_round_trip(void **state)
{
	struct buf b = BUF_INIT(1000);
	char in[256], out[256];
	struct json j = { .toks = toks };
	int i;

	(void)state;
	for (i = 1; i < 128; i++)
		in[i - 1] = (char)i;
	memcpy(in + 127, "\xdf\xbf\xef\xbf\xbd\xf4\x8f\xbf\xbf", 10);
	assert_true(json_write_str(&b, in));
	j.text = (const char *)buf_head(&b);
	j.len = b.len;
	assert_int_equal(json_parse(j.text, j.len, toks, 1, &err), 1);
	assert_int_equal(json_string(&j, toks, out, sizeof(out)), strlen(in));
	assert_string_equal(out, in);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_prefixes_at_page_end),
		cmocka_unit_test(test_number_at_page_end),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_int),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
