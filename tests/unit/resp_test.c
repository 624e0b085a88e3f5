/* resp_test.c - replies of Valkey and Redis: whole, cut anywhere, malformed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

#include "buf.h"
#include "mem.h"
#include "shared/resp.h"

/* The items of all replies as text: "depth type value", . at a reply's end. */
static void describe(const struct resp_item *it, struct buf *out)
{
	static const char names[] = { [RESP_NULL] = '_',
		[RESP_STRING] = '$',
		[RESP_ERROR] = '-',
		[RESP_INT] = ':',
		[RESP_NUMBER] = ',',
		[RESP_ARRAY] = '*',
		[RESP_MAP] = '%',
		[RESP_PUSH] = '>' };

	if (it->type == RESP_SKIP)
		return;
	buf_add_fmt(out, "%u%c", it->depth, names[it->type]);
	if (it->type == RESP_STRING || it->type == RESP_ERROR ||
	    it->type == RESP_NUMBER)
		buf_add(out, it->text, it->len);
	else if (it->type != RESP_NULL)
		buf_add_fmt(out, "%lld", (long long)it->n);
	buf_add_str(out, it->last ? ".\n" : "\n");
}

/* Reads as far as it goes; returns the last result. */
static ssize_t feed(
    struct resp *r, const char *p, size_t len, size_t *used_r, struct buf *out)
{
	struct resp_item it;
	ssize_t n;

	*used_r = 0;
	while ((n = resp_read(r, p + *used_r, len - *used_r, &it)) > 0) {
		*used_r += (size_t)n;
		assert_true(*used_r <= len);
		describe(&it, out);
	}
	return n;
}

/* The bytes end where no memory follows. */
static char *at_the_edge(const char *p, size_t len, char **map_r, size_t *n_r)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t n = (len + page - 1) / page * page;
	char *m = mmap(NULL, n + page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(m, MAP_FAILED);
	assert_int_equal(mprotect(m + n, page, PROT_NONE), 0);
	memcpy(m + n - len, p, len);
	*map_r = m;
	*n_r = n + page;
	return m + n - len;
}

/* Whole; in two parts, cut everywhere, each part at the edge; byte by byte. */
static void check_read(
    const char *text, size_t len, const char *want, size_t want_len)
{
	struct buf out = BUF_INIT(1 << 20);
	size_t cut, used, more, n;
	char *map, *p;
	struct resp r;

	for (cut = 0; cut <= len; cut++) {
		memset(&r, 0, sizeof(r));
		buf_reset(&out);
		p = at_the_edge(text, cut, &map, &n);
		assert_int_equal(feed(&r, p, cut, &used, &out), RESP_MORE);
		munmap(map, n);
		p = at_the_edge(text + used, len - used, &map, &n);
		assert_int_equal(
		    feed(&r, p, len - used, &more, &out), RESP_MORE);
		munmap(map, n);
		assert_int_equal(used + more, len);
		assert_int_equal(out.len, want_len);
		assert_memory_equal(buf_head(&out), want, out.len);
		assert_int_equal(r.depth, 0);
		assert_int_equal(r.attributes, 0);
	}
	buf_free(&out);
}

#define READ(text, want)                                                       \
	check_read(text, sizeof(text) - 1, want, sizeof(want) - 1)

static void test_scalars(void **state)
{
	(void)state;
	READ("+OK\r\n", "0$OK.\n");
	READ("+\r\n", "0$.\n");
	READ("-ERR no\r\n", "0-ERR no.\n");
	READ(":0\r\n:-12\r\n:+7\r\n", "0:0.\n0:-12.\n0:7.\n");
	READ(":9223372036854775807\r\n:-9223372036854775807\r\n",
	    "0:9223372036854775807.\n0:-9223372036854775807.\n");
	READ("$5\r\na\r\n\0b\r\n$0\r\n\r\n", "0$a\r\n\0b.\n0$.\n");
	READ("$-1\r\n*-1\r\n_\r\n", "0_.\n0_.\n0_.\n");
	READ("#t\r\n#f\r\n", "0:1.\n0:0.\n");
	READ(",1.5e3\r\n,inf\r\n(-3492890328409238509324850943850943825\r\n",
	    "0,1.5e3.\n0,inf.\n0,-3492890328409238509324850943850943825.\n");
	READ("!8\r\nERR a\r\nb\r\n", "0-ERR a\r\nb.\n");
	READ("=8\r\ntxt:text\r\n=4\r\nmkd:\r\n", "0$text.\n0$.\n");
}

static void test_arrays(void **state)
{
	(void)state;
	READ("*0\r\n~0\r\n%0\r\n>0\r\n", "0*0.\n0*0.\n0%0.\n0>0.\n");
	READ("*2\r\n$1\r\n0\r\n*3\r\n+a\r\n*0\r\n$-1\r\n+next\r\n",
	    "0*2\n1$0\n1*3\n2$a\n2*0\n2_.\n0$next.\n");
	READ("%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n#t\r\n",
	    "0%4\n1$a\n1:1\n1$b\n1*1\n2:1.\n");
	READ(">3\r\n+message\r\n+c\r\n$1\r\nx\r\n+OK\r\n",
	    "0>3\n1$message\n1$c\n1$x.\n0$OK.\n");
}

/* They go before a value and say something about it that nobody asked for. */
static void test_attributes(void **state)
{
	(void)state;
	READ("|1\r\n+ttl\r\n:3600\r\n+OK\r\n", "0$OK.\n");
	READ("|0\r\n|1\r\n+a\r\n*2\r\n+b\r\n|1\r\n+c\r\n*0\r\n+d\r\n*1\r\n:"
	     "1\r\n",
	    "0*1\n1:1.\n");
	READ("*2\r\n:1\r\n|1\r\n+a\r\n%1\r\n+b\r\n+c\r\n:2\r\n:3\r\n",
	    "0*2\n1:1\n1:2.\n0:3.\n");
}

static void check_bad(const char *text, size_t len, const char *reason)
{
	struct buf out = BUF_INIT(1 << 20);
	struct resp r = { 0 };
	size_t used, n;
	char *map, *p = at_the_edge(text, len, &map, &n);

	assert_int_equal(feed(&r, p, len, &used, &out), -1);
	assert_non_null(r.reason);
	assert_non_null(strstr(r.reason, reason));
	munmap(map, n);
	buf_free(&out);
}

#define BAD(text, reason) check_bad(text, sizeof(text) - 1, reason)

static void test_malformed(void **state)
{
	(void)state;
	BAD("H", "not the protocol");
	BAD("\0", "not the protocol");
	BAD("\r\n", "not the protocol");
	BAD("\x15\x03\x03\x00\x02\x02\x46", "not the protocol"); /* TLS */
	BAD("+OK\n", "CR LF");
	BAD("\n", "not the protocol");
	BAD("+a\rb\r\n", "CR LF");
	BAD(":\r\n", "value");
	BAD(":1a\r\n", "value");
	BAD(":-\r\n", "value");
	BAD(": 1\r\n", "value");
	BAD(":9223372036854775808\r\n", "value");
	BAD(":99999999999999999999999\r\n", "value");
	BAD("#\r\n", "value");
	BAD("#true\r\n", "value");
	BAD("_x\r\n", "value");
	BAD(",\r\n", "value");
	BAD("$\r\n", "length");
	BAD("$x\r\n", "length");
	BAD("$-2\r\n", "too long");
	BAD("=-1\r\n", "too long");
	BAD("$1048577\r\n", "too long");
	BAD("$9223372036854775807\r\n", "too long");
	BAD("$1\r\nab\r\n", "CR LF");
	BAD("$1\r\na\n\n", "CR LF");
	BAD("=3\r\ntxt\r\n", "format");
	BAD("=4\r\ntext\r\n", "format");
	BAD("*x\r\n", "length");
	BAD("*-2\r\n", "too long");
	BAD("~-1\r\n", "too long");
	BAD("*1048577\r\n", "too long");
	BAD("%524289\r\n", "too long");
	BAD("*2\r\n*1000000\r\n%100000\r\n", "too long");
	BAD("*1\r\n>1\r\n", "push");
	BAD("|1\r\n>1\r\n", "push");
	BAD("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
	    "arrays in arrays");
}

static void test_streamed(void **state)
{
	(void)state;
	BAD("$?\r\n", "streamed");
	BAD("*?\r\n", "streamed");
	BAD("~?\r\n", "streamed");
	BAD("%?\r\n", "streamed");
	BAD(";4\r\nabcd\r\n", "streamed");
	BAD(".\r\n", "streamed");
}

/* A line that never ends is refused, the longest is not. */
static void test_long_line(void **state)
{
	struct buf out = BUF_INIT(1 << 20);
	char *p = xmalloc(RESP_LINE_MAX);
	struct resp r = { 0 };
	size_t used;

	(void)state;
	memset(p, 'x', RESP_LINE_MAX);
	p[0] = '-';
	assert_int_equal(
	    feed(&r, p, RESP_LINE_MAX - 1, &used, &out), RESP_MORE);
	check_bad(p, RESP_LINE_MAX, "too long");
	memcpy(p + RESP_LINE_MAX - 2, "\r\n", 2);
	assert_int_equal(feed(&r, p, RESP_LINE_MAX, &used, &out), RESP_MORE);
	assert_int_equal(used, RESP_LINE_MAX);
	free(p);
	buf_free(&out);
}

/* As many items as may be; the count begins anew with each reply. */
static void test_many(void **state)
{
	struct buf in = BUF_INIT(16 << 20);
	struct resp_item it;
	struct resp r = { 0 };
	size_t used = 0;
	ssize_t n;
	int i, k, ends = 0;

	(void)state;
	for (k = 0; k < 2; k++) {
		buf_add_fmt(&in, "*%u\r\n", RESP_ITEMS_MAX);
		for (i = 0; i < (int)RESP_ITEMS_MAX; i++)
			buf_add_str(&in, ":1\r\n");
	}
	while ((n = resp_read(&r, (char *)buf_head(&in) + used, in.len - used,
		    &it)) > 0) {
		used += (size_t)n;
		ends += it.last;
	}
	assert_int_equal(n, RESP_MORE);
	assert_int_equal(used, in.len);
	assert_int_equal(ends, 2);
	buf_free(&in);
}

static void test_write(void **state)
{
	static const char want[] = "*3\r\n$4\r\nHSET\r\n$0\r\n\r\n"
				   "$3\r\n\r\n\0\r\n";
	struct buf b = BUF_INIT(100);

	(void)state;
	resp_write_array(&b, 3);
	resp_write_string(&b, "HSET", 4);
	resp_write_string(&b, "", 0);
	resp_write_string(&b, "\r\n", 3);
	assert_false(b.failed);
	assert_int_equal(b.len, sizeof(want) - 1);
	assert_memory_equal(buf_head(&b), want, b.len);
	resp_write_string(&b, (char[100]){ 0 }, 100);
	assert_true(b.failed);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_streamed),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
