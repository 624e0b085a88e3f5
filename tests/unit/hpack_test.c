/* hpack_test.c - RFC 7541's own examples, hostile blocks, the encoder's choices
 * and its economy, and stories that other encoders wrote. */
#include "../../hpack.c"

#include <dirent.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define LIST_MAX 16384

/* --- helpers --- */

static size_t unhex(const char *hex, unsigned char *out)
{
	unsigned char *p = out;
	unsigned v;

	while (*hex) {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		assert_int_equal(sscanf(hex, "%2x", &v), 1);
		*p++ = (unsigned char)v;
		hex += 2;
	}
	return (size_t)(p - out);
}

/* Writes "name: value\n" for each header. */
static int print_header(void *arg, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	struct buf *b = arg;

	buf_add(b, name, name_len);
	buf_add_str(b, ": ");
	buf_add(b, value, value_len);
	buf_add_str(b, "\n");
	return 0;
}

static enum hpack_status decode_text(struct hpack_dec *d,
    const unsigned char *block, size_t len, char *text, size_t size,
    const char **reason_r)
{
	struct buf b = BUF_INIT(1 << 20);
	enum hpack_status st;

	st = hpack_decode(d, block, len, print_header, &b, reason_r);
	assert_true(b.len < size);
	if (b.len > 0)
		memcpy(text, buf_head(&b), b.len);
	text[b.len] = '\0';
	buf_free(&b);
	return st;
}

static void expect(struct hpack_dec *d, const char *hex, const char *want)
{
	unsigned char block[1024];
	char text[4096];
	const char *reason = "";
	const size_t n = unhex(hex, block);

	assert_int_equal(
	    decode_text(d, block, n, text, sizeof(text), &reason), HPACK_OK);
	assert_string_equal(text, want);
}

/* --- RFC 7541, Appendix C --- */

/* C.1: integers, decoded and encoded. */
static void test_c1_integers(void **state)
{
	static const struct {
		const char *hex;
		unsigned prefix;
		uint32_t v;
	} t[] = {
		{ "0a", 5, 10 },
		{ "1f9a0a", 5, 1337 },
		{ "2a", 8, 42 },
		{ "1f00", 5, 31 },
		{ "7f00", 7, 127 },
		{ "1fe0ffffff0f", 5, UINT32_MAX },
	};
	unsigned char in[16], out[16];
	uint32_t v;
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct block b = { 0 };

		n = unhex(t[i].hex, in);
		b.p = in;
		b.end = in + n;
		assert_true(read_int(&b, t[i].prefix, &v));
		assert_int_equal(v, t[i].v);
		assert_ptr_equal(b.p, b.end);
		assert_int_equal(put_int(out, 0, t[i].prefix, v) - out, n);
		assert_memory_equal(in, out, n);
	}
}

static void test_c2_literals(void **state)
{
	struct hpack_dec *d = hpack_dec_new(4096, LIST_MAX);

	(void)state;
	expect(d, "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
	    "custom-key: custom-header\n");
	assert_int_equal(d->table.size, 55);
	expect(d, "040c2f73616d706c652f70617468", ":path: /sample/path\n");
	expect(d, "100870617373776f726406736563726574", "password: secret\n");
	expect(d, "82", ":method: GET\n");
	assert_int_equal(d->table.size, 55);
	hpack_dec_free(d);
}

struct example {
	const char *hex, *text;
	size_t size;
};

static void examples(size_t max, const struct example e[3])
{
	struct hpack_dec *d = hpack_dec_new(max, LIST_MAX);
	size_t i;

	for (i = 0; i < 3; i++) {
		expect(d, e[i].hex, e[i].text);
		assert_int_equal(d->table.size, e[i].size);
	}
	hpack_dec_free(d);
}

#define REQUEST_1                                                              \
	":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n"
#define REQUEST_2 REQUEST_1 "cache-control: no-cache\n"
#define REQUEST_3                                                              \
	":method: GET\n:scheme: https\n:path: /index.html\n"                   \
	":authority: www.example.com\ncustom-key: custom-value\n"
#define RESPONSE(status, second)                                               \
	":status: " status                                                     \
	"\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:" second       \
	" GMT\nlocation: https://www.example.com\n"
#define RESPONSE_3                                                             \
	RESPONSE("200", "22")                                                  \
	"content-encoding: gzip\nset-cookie: "                                 \
	"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"

static void test_c3_requests(void **state)
{
	static const struct example e[3] = {
		{ "828684410f7777772e6578616d706c652e636f6d", REQUEST_1, 57 },
		{ "828684be58086e6f2d6361636865", REQUEST_2, 110 },
		{ "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
		    REQUEST_3, 164 },
	};

	(void)state;
	examples(4096, e);
}

static const struct example c4[3] = {
	{ "828684418cf1e3c2e5f23a6ba0ab90f4ff", REQUEST_1, 57 },
	{ "828684be5886a8eb10649cbf", REQUEST_2, 110 },
	{ "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", REQUEST_3, 164 },
};

static void test_c4_requests_huffman(void **state)
{
	(void)state;
	examples(4096, c4);
}

static void test_c5_responses(void **state)
{
	static const struct example e[3] = {
		{ "4803333032580770726976617465611d4d6f6e2c203231204f6374203230"
		  "31332032303a31333a323120474d546e1768747470733a2f2f7777772e65"
		  "78616d706c652e636f6d",
		    RESPONSE("302", "21"), 222 },
		{ "4803333037c1c0bf", RESPONSE("307", "21"), 222 },
		{ "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220"
		  "474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157"
		  "454f50495541585157454f49553b206d61782d6167653d333630303b2076"
		  "657273696f6e3d31",
		    ":status: 200\ncache-control: private\n"
		    "date: Mon, 21 Oct 2013 20:13:22 GMT\n"
		    "location: https://www.example.com\n"
		    "content-encoding: gzip\nset-cookie: "
		    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; "
		    "version=1\n",
		    215 },
	};

	(void)state;
	examples(256, e);
}

static void test_c6_responses_huffman(void **state)
{
	static const struct example e[3] = {
		{ "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e0"
		  "82a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
		    RESPONSE("302", "21"), 222 },
		{ "4883640effc1c0bf", RESPONSE("307", "21"), 222 },
		{ "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839b"
		  "d9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab27"
		  "0fb5291f9587316065c003ed4ee5b1063d5007",
		    RESPONSE_3, 215 },
	};

	(void)state;
	examples(256, e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_c1_integers),
		cmocka_unit_test(test_c2_literals),
		cmocka_unit_test(test_c3_requests),
		cmocka_unit_test(test_c4_requests_huffman),
		cmocka_unit_test(test_c5_responses),
		cmocka_unit_test(test_c6_responses_huffman),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
