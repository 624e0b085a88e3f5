/* buf_test.c - the queue of bytes with its ceiling; memory. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"

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

/* An addition that does not fit changes nothing, and is remembered. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue),
		cmocka_unit_test(ceiling),
		cmocka_unit_test(reserve),
		cmocka_unit_test(strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
