/* buf_test.c - the queue of bytes with its ceiling; hex, base64; memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "buf.h"

/* Added at the tail, consumed at the head, moved within the memory. */
static void queue(void **state)
{
	struct buf b = BUF_INIT(1 << 20);
	unsigned char in = 0, out = 0;
	size_t i, round;

	(void)state;
	assert_null(b.mem);
	for (round = 1; round < 2000; round++) {
		for (i = 0; i < round % 97; i++)
			assert_true(buf_add_byte(&b, in++));
		for (i = round % 89; i > 0 && b.len > 0; i--) {
			assert_int_equal(*buf_head(&b), out++);
			buf_consume(&b, 1);
		}
	}
	for (i = 0; i < b.len; i++)
		assert_int_equal(buf_head(&b)[i], (unsigned char)(out + i));
	assert_int_equal((unsigned char)(out + b.len), in);
	/* No more memory than the next power of two of what it held. */
	assert_true(b.cap <= 16384);
	buf_free(&b);
	assert_null(b.mem);
	assert_int_equal(b.len, 0);
	assert_true(buf_add_str(&b, "again"));
	buf_free(&b);
}

/* What does not fit changes nothing, and is remembered. */
static void ceiling(void **state)
{
	struct buf b = BUF_INIT(10);

	(void)state;
	assert_true(buf_add_str(&b, "12345678"));
	assert_false(buf_add_str(&b, "abc"));
	assert_true(b.failed);
	assert_int_equal(b.len, 8);
	assert_true(buf_add_str(&b, "90"));
	assert_true(b.failed);
	assert_memory_equal(buf_head(&b), "1234567890", 10);
	assert_false(buf_add_byte(&b, 'x'));
	assert_null(buf_reserve(&b, SIZE_MAX));
	buf_consume(&b, 4);
	assert_true(buf_add_str(&b, "abcd"));
	assert_memory_equal(buf_head(&b), "567890abcd", 10);
	buf_reset(&b);
	assert_false(b.failed);
	assert_int_equal(b.len, 0);
	assert_true(buf_add_fmt(&b, "%d-%s", 17, "abc"));
	assert_int_equal(b.len, 6);
	assert_memory_equal(buf_head(&b), "17-abc", 6);
	assert_false(buf_add_fmt(&b, "%s", "abcd"));
	assert_true(b.failed);
	assert_int_equal(b.len, 6);
	buf_free(&b);
}

/* Bytes written in place count when they are reported. */
static void reserve(void **state)
{
	struct buf b = BUF_INIT(1000);
	unsigned char *p;

	(void)state;
	assert_true(buf_add(&b, "head", 4));
	assert_true(buf_add(&b, NULL, 0));
	p = buf_reserve(&b, 900);
	assert_non_null(p);
	memset(p, 'x', 900);
	assert_int_equal(b.len, 4);
	buf_added(&b, 500);
	assert_int_equal(b.len, 504);
	assert_memory_equal(buf_head(&b), "headxxxx", 8);
	buf_free(&b);
}

static void strings(void **state)
{
	char secret[] = "secret", *s = xstrndup("abcdef", 3);

	(void)state;
	assert_string_equal(s, "abc");
	free(s);
	s = xstrdup("");
	assert_string_equal(s, "");
	free(s);
	free(xmalloc(0));
	mem_wipe(secret, sizeof(secret));
	assert_memory_equal(secret, "\0\0\0\0\0\0\0", 7);
}

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
		out = xmalloc(BASE64_SIZE(n)); /* ASan sees one byte more */
		assert_int_equal(base64_write(rows[i].plain, n, false, out),
		    strlen(rows[i].padded));
		assert_string_equal(out, rows[i].padded);
		assert_int_equal(base64_write(rows[i].plain, n, true, out),
		    strlen(rows[i].url));
		assert_string_equal(out, rows[i].url);
		free(out);
	}
}

static void base64_digits(void **state)
{
	const unsigned char v[3] = { 0xfb, 0xf0, 0x00 };
	char out[BASE64_SIZE(3)];
	int c, n = 0;

	(void)state;
	for (c = 0; c < 256; c++)
		n += base64_digit((char)c) >= 0;
	assert_int_equal(n, 64);
	base64_write(v, sizeof(v), false, out);
	assert_int_equal(base64_digit(out[0]), 0x3e);
	assert_int_equal(base64_digit(out[1]), 0x3f);
	assert_int_equal(base64_digit(out[3]), 0);
	assert_int_equal(base64_digit('='), -1);
	assert_int_equal(base64_digit('\0'), -1);
}

static void hex(void **state)
{
	unsigned char bytes[4] = { 0 };
	char text[8];

	(void)state;
	assert_true(hex_read("0fA95", 5, bytes));
	assert_memory_equal(bytes, "\x0f\xa9\x50", 4);
	hex_write(bytes, 3, text);
	assert_memory_equal(text, "0fa950", 6);
	assert_false(hex_read("0g", 2, bytes));
	assert_false(hex_read("g0", 2, bytes));
	assert_int_equal(hex_digit('/'), -1);
	assert_int_equal(hex_digit(':'), -1);
	assert_int_equal(hex_digit('@'), -1);
	assert_int_equal(hex_digit('G'), -1);
	assert_int_equal(hex_digit('\xff'), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue),
		cmocka_unit_test(ceiling),
		cmocka_unit_test(reserve),
		cmocka_unit_test(strings),
		cmocka_unit_test(base64),
		cmocka_unit_test(base64_digits),
		cmocka_unit_test(hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
