/* text_test.c - hex digits, Base64, modified UTF-7. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "text.h"

static void base64(void **state)
{
	/* RFC 4648 10, and the two characters in which 4 and 5 differ. */
	static const struct {
		const char *plain, *padded, *url;
	} rows[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+", "-__-" },
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *out;

		n = strlen(rows[i].plain);
		out =
		    xmalloc(TEXT_BASE64_SIZE(n)); /* ASan sees one byte more */
		assert_int_equal(
		    text_base64_write(rows[i].plain, n, false, out),
		    strlen(rows[i].padded));
		assert_string_equal(out, rows[i].padded);
		assert_int_equal(text_base64_write(rows[i].plain, n, true, out),
		    strlen(rows[i].url));
		assert_string_equal(out, rows[i].url);
		free(out);
	}
}

static void base64_digits(void **state)
{
	const unsigned char v[3] = { 0xfb, 0xf0, 0x00 };
	char out[TEXT_BASE64_SIZE(3)];
	int c, n = 0;

	(void)state;
	for (c = 0; c < 256; c++)
		n += text_base64_digit((char)c) >= 0;
	assert_int_equal(n, 64);
	text_base64_write(v, sizeof(v), false, out);
	assert_int_equal(text_base64_digit(out[0]), 0x3e);
	assert_int_equal(text_base64_digit(out[1]), 0x3f);
	assert_int_equal(text_base64_digit(out[3]), 0);
	assert_int_equal(text_base64_digit('='), -1);
	assert_int_equal(text_base64_digit('\0'), -1);
}

/* Into memory that ends where the data do; -1: refused. */
static int read_base64(const char *s, bool strict, char *out, size_t size)
{
	size_t n = strlen(s);
	char *digits = xmalloc(n), *to = xmalloc(size);
	int len;

	memcpy(digits, s, n);
	len = text_base64_read(digits, n, strict, to, size);
	if (len > 0)
		memcpy(out, to, (size_t)len);
	out[len > 0 ? len : 0] = '\0';
	free(digits);
	free(to);
	return len;
}

static void base64_read(void **state)
{
	static const struct {
		const char *text, *plain;
		int len, strict; /* -1: refused */
	} rows[] = {
		{ "", "", 0, 0 },
		{ "Zg", "f", 1, 1 },
		{ "Zg==", "f", 1, -1 },
		{ "Zm8", "fo", 2, 2 },
		{ "Zm8=", "fo", 2, -1 },
		{ "Zm9v", "foo", 3, 3 },
		{ "Zm9vYmFy", "foobar", 6, 6 },
		{ "-__-", "\xfb\xff\xfe", 3, 3 },
		{ "+//+", "\xfb\xff\xfe", 3, -1 },
		{ "+__+", "\xfb\xff\xfe", 3, -1 },
		{ "Z", "", -1, -1 },
		{ "Zm9vY", "", -1, -1 },
		{ "Zh", "", -1, -1 }, /* bits that stand for nothing */
		{ "Zm9", "", -1, -1 },
		{ "Zg=", "", -1, -1 },
		{ "Zg===", "", -1, -1 },
		{ "Zm9v=", "", -1, -1 },
		{ "Zm9v====", "", -1, -1 },
		{ "=", "", -1, -1 },
		{ "====", "", -1, -1 },
		{ "Zm=v", "", -1, -1 },
		{ "Zm9v ", "", -1, -1 },
		{ " Zm9v", "", -1, -1 },
		{ "Zm9v\n", "", -1, -1 },
		{ "Zm\xc3\xa4", "", -1, -1 },
	};
	char out[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
		    read_base64(rows[i].text, false, out, 6), rows[i].len);
		assert_string_equal(out, rows[i].len > 0 ? rows[i].plain : "");
		assert_int_equal(
		    read_base64(rows[i].text, true, out, 6), rows[i].strict);
	}
	assert_int_equal(read_base64("Zm9vYmFy", true, out, 5), -1);
	assert_int_equal(read_base64("Zm9vYmFyZg", true, out, 6), -1);
	assert_int_equal(read_base64("", true, out, 0), 0);
}

static void hex(void **state)
{
	unsigned char bytes[4] = { 0 };
	char text[8];

	(void)state;
	assert_true(text_hex_read("0fA95", 5, bytes));
	assert_memory_equal(bytes, "\x0f\xa9\x50", 4);
	text_hex_write(bytes, 3, text);
	assert_memory_equal(text, "0fa950", 6);
	assert_false(text_hex_read("0g", 2, bytes));
	assert_false(text_hex_read("g0", 2, bytes));
	assert_int_equal(text_hex_digit('/'), -1);
	assert_int_equal(text_hex_digit(':'), -1);
	assert_int_equal(text_hex_digit('@'), -1);
	assert_int_equal(text_hex_digit('G'), -1);
	assert_int_equal(text_hex_digit('\xff'), -1);
}

/* Which names are valid is tested by store_test. */
static void utf7(void **state)
{
	char out[8];

	(void)state;
	assert_int_equal(text_utf7_read("a&APw-", out, sizeof(out)), 3);
	assert_memory_equal(out, "a\xc3\xbc", 3);
	assert_int_equal(text_utf7_read("&-&2D3eAA-", out, 5), 5);
	assert_int_equal(text_utf7_read("&-&2D3eAA-", out, 4), -1);
	assert_int_equal(text_utf7_read("&APw", out, sizeof(out)), -1);
}

static void ascii(void **state)
{
	static const struct {
		const char *s;
		int64_t max, v;
	} rows[] = {
		{ "0", 0, 0 },
		{ "007", 7, 7 },
		{ "65535", 65535, 65535 },
		{ "65536", 65535, -1 },
		{ "99999999999999999999999", 65535, -1 },
		{ "", 9, -1 },
		{ "-1", 9, -1 },
		{ "+1", 9, -1 },
		{ " 1", 9, -1 },
		{ "1x", 9, -1 },
	};
	size_t i;

	(void)state;
	assert_int_equal(text_span("aZ09-_.b@c", "-_."), 8);
	assert_int_equal(text_span("", "-"), 0);
	assert_int_equal(text_span("\xc3\xa9", "-"), 0);
	assert_int_equal(text_span("[]", "]["), 2);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
		    text_number(rows[i].s, strlen(rows[i].s), rows[i].max),
		    rows[i].v);
	assert_int_equal(text_number("12345", 2, 99), 12);
}

static void distance(void **state)
{
	static const struct {
		const char *a, *b;
		size_t d;
	} rows[] = {
		{ "", "", 0 },
		{ "", "abc", 3 },
		{ "abc", "", 3 },
		{ "list", "LIST", 0 },
		{ "lsit", "list", 1 },
		{ "ls", "list", 2 },
		{ "alcie", "alice", 1 },
		{ "kitten", "sitting", 3 },
		{ "ca", "abc", 3 },
		{ "pussh", "push", 1 },
		{ "j\u00fcrgen", "jurgen", 1 },
		{ "\u00fcr", "r\u00fc", 1 },
		{ "\u00e9", "\u20ac", 1 },
		{ "\x80", "\x80\x80", 1 },
	};
	char x[600], y[600];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *a = rows[i].a, *b = rows[i].b;

		assert_int_equal(
		    text_distance(a, strlen(a), b, strlen(b)), rows[i].d);
		assert_int_equal(
		    text_distance(b, strlen(b), a, strlen(a)), rows[i].d);
	}
	memset(x, 'x', sizeof(x));
	memset(y, 'y', sizeof(y));
	assert_int_equal(
	    text_distance(x, sizeof(x), y, sizeof(y)), TEXT_WORD_MAX);
	assert_int_equal(text_distance(x, sizeof(x), y, 0), TEXT_WORD_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64),
		cmocka_unit_test(base64_digits),
		cmocka_unit_test(base64_read),
		cmocka_unit_test(hex),
		cmocka_unit_test(utf7),
		cmocka_unit_test(ascii),
		cmocka_unit_test(distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
