/* hpack_test.c - RFC 7541's own examples, hostile blocks, the encoder's choices
 * and its economy, and stories that other encoders wrote. */
#include "../../h2/hpack.c"
#include "mem.h"
#include "text.h"

#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define LIST_MAX 16384

/* --- helpers --- */

static size_t unhex(const char *hex, unsigned char *out)
{
	unsigned char *p = out;

	while (*hex) {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		assert_true(text_hex_read(hex, 2, p++));
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

/* --- Huffman code --- */

static void test_huffman_symbols(void **state)
{
	unsigned char in[3], code[16], out[32], *end;
	unsigned a;
	size_t n;

	(void)state;
	huff_init();
	for (a = 0; a < 256; a++) {
		in[0] = (unsigned char)a;
		in[1] = 'x';
		in[2] = (unsigned char)(255 - a);
		end = huff_encode(code, code + sizeof(code), in, 3);
		assert_non_null(end);
		n = (size_t)(end - code);
		assert_int_equal(
		    n, (huff_len[in[0]] + 7u + huff_len[in[2]] + 7u) / 8);
		/* Not to the last byte that is left for it. */
		assert_null(huff_encode(code, code + n, in, 3));
		assert_ptr_equal(
		    huff_encode(code, code + n + 1, in, 3), code + n);
		assert_int_equal(huff_decode(out, code, n), 3);
		assert_memory_equal(in, out, 3);
	}
}

/* 5.2: padding is ones, under 8 bits; EOS is no symbol. */
static void test_huffman_padding(void **state)
{
	static const struct {
		const char *hex;
		ptrdiff_t n;
	} t[] = {
		{ "", 0 }, { "1f", 1 }, /* a and 3 ones */
		{ "1fff", -1 },		/* a and 11 ones */
		{ "18", -1 },		/* a and 3 zeros */
		{ "1e", -1 },		/* a, two ones and a zero */
		{ "ff", -1 },		/* 8 ones */
		{ "fe", -1 },		/* begins a longer code */
		{ "f8", 1 },		/* & */
		{ "fffffffb", 1 },	/* 22, of 30 bits */
		{ "fffffff8", -1 }, { "ffffffff", -1 }, /* EOS */
		{ "1fffffffff", -1 },			/* a and EOS */
	};
	unsigned char code[16], out[32];
	size_t i, n;

	(void)state;
	huff_init();
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		n = unhex(t[i].hex, code);
		if (huff_decode(out, code, n) != t[i].n)
			fail_msg("%s", t[i].hex);
	}
}

/* --- hostile blocks --- */

static unsigned char *guard; /* the first unreadable byte */

static enum hpack_status decode_at_guard(struct hpack_dec *d,
    const unsigned char *block, size_t n, const char **reason_r)
{
	unsigned char *p = guard - n;

	memcpy(p, block, n);
	return hpack_decode(d, p, n, NULL, NULL, reason_r);
}

static void test_hostile(void **state)
{
	static const struct {
		const char *hex, *reason;
	} t[] = {
		{ "80", "an index is in neither table" },
		{ "be", "an index is in neither table" },
		{ "ffffffffff0f", "an integer is too large" },
		{ "fff1ffffff0f", "an integer is too large" },
		{ "ff80ffffff0f", "an index is in neither table" },
		{ "ff808080808000", "an integer is too large" },
		{ "ff80", "an integer is cut short" },
		{ "ff", "an integer is cut short" },
		{ "7f", "an integer is cut short" },
		{ "40", "a string is missing" },
		{ "4001", "a string is cut short" },
		{ "400161", "a string is missing" },
		{ "40016102", "a string is cut short" },
		{ "4001617f", "an integer is cut short" },
		{ "4001617fffffffff0f", "an integer is too large" },
		{ "4001617f80ffffff0f", "a string is cut short" },
		{ "40016181", "a string is cut short" },
		{ "40016181ff", "a string has a bad Huffman code" },
		{ "4081ff", "a string has a bad Huffman code" },
		{ "7e0161", "an index is in neither table" },
		{ "0f300161", "an index is in neither table" },
		{ "1f300161", "an index is in neither table" },
		{ "3fe21f", "a table size is above the announced one" },
		{ "3fe0ffffff0f", "a table size is above the announced one" },
		{ "3f", "an integer is cut short" },
		{ "8220", "a table size update is not at the beginning" },
	};
	unsigned char block[64];
	const char *reason = NULL;
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct hpack_dec *d = hpack_dec_new(4096, LIST_MAX);

		n = unhex(t[i].hex, block);
		if (decode_at_guard(d, block, n, &reason) != HPACK_BAD ||
		    strcmp(reason, t[i].reason) != 0)
			fail_msg("%s: %s", t[i].hex, reason);
		hpack_dec_free(d);
	}
}

/* A good block, cut anywhere: never a byte too many is read. */
static void test_cut(void **state)
{
	static const char hex[] =
	    "20 3fe11f 82 86 84 418cf1e3c2e5f23a6ba0ab90f4ff"
	    "408825a849e95ba97d7f8925a849e95bb8e8b4bf be 5f01 0131"
	    "100870617373776f726406736563726574 7f00 820000";
	unsigned char block[128];
	const char *reason;
	const size_t n = unhex(hex, block);
	size_t i;

	(void)state;
	for (i = 0; i <= n; i++) {
		struct hpack_dec *d = hpack_dec_new(4096, LIST_MAX);

		decode_at_guard(d, block, i, &reason);
		hpack_dec_free(d);
	}
}

/* --- the decoder's table --- */

/* 4.4: the entry that lends its name is itself pushed out. */
static void test_name_of_evicted(void **state)
{
	struct hpack_dec *d = hpack_dec_new(64, LIST_MAX);

	(void)state;
	expect(d, "40 04 6e616d65 02 7631", "name: v1\n");
	expect(d, "7e 1a 6162636465666768696a6b6c6d6e6f707172737475767778797a",
	    "name: abcdefghijklmnopqrstuvwxyz\n");
	assert_int_equal(d->table.count, 1);
	assert_int_equal(d->table.size, 62);
	expect(d, "be", "name: abcdefghijklmnopqrstuvwxyz\n");
	/* An entry larger than the table empties it. */
	expect(d,
	    "7e 1d 6162636465666768696a6b6c6d6e6f707172737475767778797a"
	    "303132",
	    "name: abcdefghijklmnopqrstuvwxyz012\n");
	assert_int_equal(d->table.count, 0);
	expect(d, "40 00 00", ": \n");
	assert_int_equal(d->table.size, 32);
	expect(d, "be", ": \n");
	hpack_dec_free(d);
}

/* 4.2: after we lowered our size the next block has to say so. */
static void test_size_updates(void **state)
{
	struct hpack_dec *d = hpack_dec_new(4096, LIST_MAX);
	const unsigned char get = 0x82;
	const char *reason;

	(void)state;
	expect(d, "40 04 6e616d65 02 7631", "name: v1\n");
	hpack_dec_set_max(d, 8192);
	expect(d, "be", "name: v1\n");
	expect(d, "3fe13f", ""); /* 8192 */
	assert_int_equal(d->table.max, 8192);
	hpack_dec_set_max(d, 100);
	hpack_dec_set_max(d, 200);
	/* Down to 100 first, then up. */
	expect(d, "3f45 3fa901 be", "name: v1\n");
	assert_int_equal(d->table.max, 200);
	/* To nothing and back: the table is empty. */
	expect(d, "20 3fa901 82", ":method: GET\n");
	assert_int_equal(d->table.count, 0);
	hpack_dec_set_max(d, 50);
	assert_int_equal(
	    hpack_decode(d, &get, 1, NULL, NULL, &reason), HPACK_BAD);
	assert_string_equal(reason, "a table size update is missing");
	hpack_dec_free(d);
	d = hpack_dec_new(4096, LIST_MAX);
	hpack_dec_set_max(d, 50);
	hpack_dec_set_max(d, 4096);
	assert_int_equal(hpack_decode(d, (const unsigned char *)"\x3f\xe1\x1f",
			     3, NULL, NULL, &reason),
	    HPACK_BAD);
	hpack_dec_free(d);
}

static int count_header(void *arg, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	size_t *n = arg;

	(void)name;
	(void)name_len;
	(void)value;
	(void)value_len;
	return ++*n == 5;
}

/* Over the limit no more headers are reported, but the table stays right. */
static void test_list_limit(void **state)
{
	struct hpack_dec *d = hpack_dec_new(4096, 3 * 36);
	unsigned char block[64];
	const char *reason = NULL;
	size_t reported = 0, n;

	(void)state;
	n = unhex("0001610131 0001610132 0001610133 4001610134", block);
	assert_int_equal(
	    hpack_decode(d, block, n, count_header, &reported, &reason),
	    HPACK_TOO_BIG);
	assert_int_equal(reported, 3);
	assert_string_equal(reason, "the header list is too large");
	expect(d, "be", "a: 4\n");
	hpack_dec_free(d);
	/* The listener's wish to stop is no error. */
	d = hpack_dec_new(4096, LIST_MAX);
	n = unhex("828282828282 4001610134", block);
	reported = 0;
	assert_int_equal(
	    hpack_decode(d, block, n, count_header, &reported, &reason),
	    HPACK_OK);
	assert_int_equal(reported, 5);
	expect(d, "be", "a: 4\n");
	hpack_dec_free(d);
}

/* --- encoder --- */

static struct hpack_header header(
    const char *name, const char *value, enum hpack_index index)
{
	return (struct hpack_header){ name, value, strlen(name), strlen(value),
		index };
}

static void expect_block(struct hpack_enc *e, const struct hpack_header *h,
    size_t n, const char *hex)
{
	struct buf out = BUF_INIT(4096);
	unsigned char want[256];
	const size_t len = unhex(hex, want);

	assert_true(hpack_encode(e, h, n, &out));
	assert_int_equal(out.len, len);
	if (len > 0)
		assert_memory_equal(buf_head(&out), want, len);
	buf_free(&out);
}

static void test_encode_c4(void **state)
{
	struct hpack_enc *e = hpack_enc_new(4096);
	const struct hpack_header h[] = {
		header(":method", "GET", HPACK_INDEX),
		header(":scheme", "http", HPACK_INDEX),
		header(":path", "/", HPACK_INDEX),
		header(":authority", "www.example.com", HPACK_INDEX),
		header("cache-control", "no-cache", HPACK_INDEX),
	};
	const struct hpack_header h3[] = {
		header(":method", "GET", HPACK_INDEX),
		header(":scheme", "https", HPACK_INDEX),
		header(":path", "/index.html", HPACK_INDEX),
		header(":authority", "www.example.com", HPACK_INDEX),
		header("custom-key", "custom-value", HPACK_INDEX),
	};

	(void)state;
	expect_block(e, h, 4, c4[0].hex);
	expect_block(e, h, 5, c4[1].hex);
	expect_block(e, h3, 5, c4[2].hex);
	assert_int_equal(e->table.size, 164);
	hpack_enc_free(e);
}

static void test_encode_kinds(void **state)
{
	struct hpack_enc *e = hpack_enc_new(4096);
	struct hpack_header h = header("k", "0", HPACK_INDEX_NAME);

	(void)state;
	expect_block(e, &h, 1, "40 016b 0130");
	h.value = "1";
	expect_block(e, &h, 1, "0f2f 0131"); /* by name, no new entry */
	h.index = HPACK_INDEX;
	expect_block(e, &h, 1, "7e 0131");
	expect_block(e, &h, 1, "be");
	h.index = HPACK_INDEX_NAME;
	expect_block(e, &h, 1, "be"); /* it is in the table */
	hpack_enc_set_max(e, 102);    /* space for one more */
	h = header("p", "2", HPACK_TRY_INDEX);
	expect_block(e, &h, 1, "3f47 40 0170 0132");
	h.value = "3";
	expect_block(e, &h, 1, "0f2f 0133"); /* seen for the first time */
	expect_block(e, &h, 1, "7e 0133");
	expect_block(e, &h, 1, "be");
	hpack_enc_free(e);
}

/* 4.2: the smallest size since the last block, then the final one. */
static void test_encode_size_updates(void **state)
{
	struct hpack_enc *e = hpack_enc_new(4096);
	const struct hpack_header h = header("k", "0", HPACK_INDEX);

	(void)state;
	expect_block(e, &h, 1, "40 016b 0130");
	hpack_enc_set_max(e, 65536); /* we take no more than 4096 */
	expect_block(e, &h, 1, "be");
	hpack_enc_set_max(e, 0);
	hpack_enc_set_max(e, 65536);
	expect_block(e, &h, 1, "20 3fe11f 40 016b 0130");
	hpack_enc_set_max(e, 40);
	hpack_enc_set_max(e, 34);
	expect_block(e, &h, 1, "3f03 be");
	hpack_enc_set_max(e, 33); /* the entry does not fit */
	expect_block(e, &h, 1, "3f02 00 016b 0130");
	hpack_enc_set_max(e, 0);
	expect_block(e, &h, 1, "20 00 016b 0130");
	hpack_enc_set_max(e, 0);
	expect_block(e, &h, 1, "00 016b 0130");
	hpack_enc_free(e);
	e = hpack_enc_new(100); /* less than the default: announced at once */
	expect_block(e, &h, 1, "3f45 40 016b 0130");
	hpack_enc_set_max(e, 4096);
	expect_block(e, &h, 1, "be");
	hpack_enc_free(e);
}

/* A value larger than the table pushes nothing out; a full buf, neither. */
static void test_encode_limits(void **state)
{
	static char large[5000];
	struct hpack_enc *e = hpack_enc_new(4096);
	struct hpack_header h[2] = { header("k", "0", HPACK_INDEX),
		{ "large", large, 5, sizeof(large), HPACK_INDEX } };
	struct buf out = BUF_INIT(100);

	(void)state;
	expect_block(e, h, 1, "40 016b 0130");
	assert_false(hpack_encode(e, h, 2, &out));
	assert_int_equal(out.len, 0);
	buf_free(&out);
	buf_init(&out, 20000);
	assert_true(hpack_encode(e, h, 2, &out));
	assert_int_equal(e->table.count, 1);
	buf_free(&out);
	expect_block(e, h, 1, "be");
	hpack_enc_free(e);
}

struct trip {
	struct hpack_enc *e;
	struct hpack_dec *d;
	struct buf out, want, got;
};

static void trip_begin(struct trip *t)
{
	t->e = hpack_enc_new(4096);
	t->d = hpack_dec_new(4096, 1 << 20);
	buf_init(&t->out, 1 << 16);
	buf_init(&t->want, 1 << 16);
	buf_init(&t->got, 1 << 16);
}

/* Encodes, decodes and compares.  Returns the block's length. */
static size_t trip(struct trip *t, const struct hpack_header *h, size_t n)
{
	const char *reason;
	size_t i, len;

	for (i = 0; i < n; i++)
		print_header(&t->want, h[i].name, h[i].name_len, h[i].value,
		    h[i].value_len);
	assert_true(hpack_encode(t->e, h, n, &t->out));
	len = t->out.len;
	if (hpack_decode(t->d, buf_head(&t->out), len, print_header, &t->got,
		&reason) != HPACK_OK)
		fail_msg("%s", reason);
	assert_int_equal(t->got.len, t->want.len);
	assert_memory_equal(buf_head(&t->got), buf_head(&t->want), t->want.len);
	buf_reset(&t->out);
	buf_reset(&t->want);
	buf_reset(&t->got);
	return len;
}

static void trip_end(struct trip *t)
{
	buf_free(&t->out);
	buf_free(&t->want);
	buf_free(&t->got);
	hpack_enc_free(t->e);
	hpack_dec_free(t->d);
}

/* The length of Huffman's part grows to two and three bytes. */
static void test_encode_long(void **state)
{
	static char text[30000];
	static const size_t lengths[] = { 1, 202, 203, 204, 407, 408, 409, 410,
		26400, 26410, 30000 };
	struct hpack_header h = { "k", text, 1, 0, HPACK_INDEX_NAME };
	struct trip t;
	size_t i, huffman;

	(void)state;
	memset(text, 'a', sizeof(text)); /* 5 bits */
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		trip_begin(&t); /* an empty table: the name takes 3 bytes */
		h.value_len = lengths[i];
		huffman = (lengths[i] * 5 + 7) / 8;
		if (huffman == lengths[i])
			huffman = 1;
		assert_int_equal(
		    trip(&t, &h, 1), 3 + huffman +
					 (huffman < 127	       ? 1
					     : huffman < 255   ? 2
					     : huffman < 16511 ? 3
							       : 4));
		trip_end(&t);
	}
}

/* Every entry of the static table is found by itself. */
static void test_encode_static(void **state)
{
	struct hpack_enc *e = hpack_enc_new(4096);
	struct hpack_header h;
	struct buf out = BUF_INIT(4096);
	struct field f;
	size_t i;

	(void)state;
	for (i = 1; i <= STATIC_COUNT; i++) {
		f = static_field(i);
		h = (struct hpack_header){ f.name, f.value, f.name_len,
			f.value_len, HPACK_INDEX };
		buf_reset(&out);
		assert_true(hpack_encode(e, &h, 1, &out));
		assert_int_equal(out.len, 1);
		assert_int_equal(*buf_head(&out), 0x80 | i);
	}
	buf_free(&out);
	hpack_enc_free(e);
}

/* --- what a push costs --- */

static size_t push_cost(struct hpack_enc *e, unsigned device, unsigned token)
{
	char path[128] = "", authorization[300] = "";
	struct hpack_header h[7] = {
		header(":method", "POST", HPACK_INDEX),
		header(":scheme", "https", HPACK_INDEX),
		header(":authority", "api.push.apple.com", HPACK_INDEX),
		header(":path", path, HPACK_TRY_INDEX),
		header("apns-topic",
		    "com.apple.mail.XServer.01234567-89ab-cdef-0123-"
		    "456789abcdef",
		    HPACK_INDEX),
		header("apns-push-type", "background", HPACK_INDEX),
		header("authorization", authorization, HPACK_INDEX),
	};
	struct buf out = BUF_INIT(4096);
	uint32_t x = device * 2654435761U + 1;
	size_t i, n;

	memcpy(path, "/3/device/", 10);
	for (i = 0; i < 64; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		path[10 + i] = "0123456789abcdef"[x >> 28];
	}
	path[74] = '\0';
	h[3].value_len = 74;
	x = token + 77;
	memcpy(authorization, "bearer ", 7);
	for (i = 7; i < 250; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		authorization[i] =
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
		    "stuvwxyz0123456789-_"[x >> 26];
	}
	authorization[250] = '\0';
	h[6].value_len = 250;
	assert_true(hpack_encode(e, h, 7, &out));
	n = out.len;
	buf_free(&out);
	return n;
}

/* Round robin: bytes of a block, at first and on average of what follows. */
static void cost_of(unsigned devices, size_t first_max, size_t later_max)
{
	struct hpack_enc *e = hpack_enc_new(4096);
	const unsigned pushes = 20 * devices + 1000;
	const unsigned counted = pushes - 2 * devices;
	size_t first, sum = 0;
	unsigned i;

	first = push_cost(e, 0, 0);
	for (i = 1; i < pushes; i++) {
		const size_t n = push_cost(e, i % devices, 0);

		if (i >= 2 * devices)
			sum += n;
	}
	print_message("%4u devices: first %zu bytes, later %zu.%zu\n", devices,
	    first, sum / counted, sum * 10 / counted % 10);
	assert_true(first <= first_max);
	assert_true(sum <= later_max * counted);
	hpack_enc_free(e);
}

static void test_cost(void **state)
{
	(void)state;
	cost_of(1, 350, 7);
	cost_of(20, 350, 7);
	cost_of(40, 350, 27);
	cost_of(1000, 350, 60);
}

/* Tokens are renewed 300 times: the old ones do not crowd out the paths. */
static void test_cost_rotation(void **state)
{
	struct hpack_enc *e = hpack_enc_new(4096);
	size_t sum = 0;
	unsigned token, i;

	(void)state;
	for (token = 0; token < 300; token++)
		for (i = 0; i < 200; i++)
			sum += push_cost(e, i % 10, token);
	print_message("10 devices, token renewed every 200: %zu.%zu bytes\n",
	    sum / (300 * 200), sum * 10 / (300 * 200) % 10);
	assert_true(sum <= 300 * 200 * 11);
	hpack_enc_free(e);
}

/* --- random lists, with table sizes that change --- */

static uint32_t random_state = 1;

static unsigned rnd(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % n;
}

static void test_round_trip(void **state)
{
	static char text[600];
	struct hpack_header h[10];
	struct trip t;
	unsigned round, i;

	(void)state;
	trip_begin(&t);
	for (i = 0; i < sizeof(text); i++)
		text[i] = (char)rnd(256);
	for (round = 0; round < 20000; round++) {
		if (rnd(20) == 0) {
			const size_t max = rnd(6000);

			hpack_enc_set_max(t.e, max);
			hpack_dec_set_max(t.d, max < 4096 ? max : 4096);
		}
		for (i = 0; i < 10; i++) {
			h[i].name = text + rnd(4);
			h[i].name_len = rnd(12);
			h[i].value = text + rnd(20);
			h[i].value_len = rnd(rnd(20) == 0 ? 500 : 15);
			h[i].index = (enum hpack_index)rnd(3);
		}
		trip(&t, h, 10);
		assert_int_equal(t.e->table.size, t.d->table.size);
	}
	trip_end(&t);
}

/* --- stories: blocks that other encoders wrote --- */

#define STORY_HEADERS 200
#define STORY_TEXT 65536

/* One case of a story file, read by the little that its JSON uses. */
struct story_case {
	char text[STORY_TEXT]; /* the strings */
	size_t used;
	struct hpack_header h[STORY_HEADERS];
	size_t n;
	const char *wire;
	long table_size; /* -1: no change */
};

/* Copies the JSON string at p to the case's text; returns what follows it. */
static const char *story_string(
    struct story_case *c, const char *p, const char **s_r, size_t *len_r)
{
	char *const start = c->text + c->used;
	char *out = start;
	unsigned char v[2];

	for (p++; *p != '"'; p++) {
		if (*p == '\\') {
			p++;
			if (*p == 'u') {
				assert_true(text_hex_read(p + 1, 4, v));
				assert_true(v[0] == 0 && v[1] < 0x80);
				*out++ = (char)v[1];
				p += 4;
				continue;
			}
			assert_non_null(strchr("\"\\/", *p));
		}
		*out++ = *p;
		assert_true(out < c->text + STORY_TEXT - 1);
	}
	*out = '\0';
	*s_r = start;
	*len_r = (size_t)(out - start);
	c->used = (size_t)(out + 1 - c->text);
	return p + 1;
}

/* Reads up to the end of a case; NULL if there is none. */
static const char *story_next(struct story_case *c, const char *p)
{
	const char *key, *value;
	size_t key_len, value_len;
	bool in_headers = false;

	c->used = c->n = 0;
	c->wire = NULL;
	c->table_size = -1;
	for (; *p != '\0'; p++) {
		if (*p == ']' && in_headers)
			in_headers = false;
		else if (*p == '}' && !in_headers)
			return c->wire ? p + 1 : NULL;
		if (*p != '"')
			continue;
		p = story_string(c, p, &key, &key_len);
		p += strspn(p, " :\n");
		if (strcmp(key, "headers") == 0 && *p == '[') {
			in_headers = true;
		} else if (*p == '"') {
			p = story_string(c, p, &value, &value_len) - 1;
			if (in_headers)
				c->h[c->n++] = (struct hpack_header){ key,
					value, key_len, value_len,
					(enum hpack_index)rnd(3) };
			else if (strcmp(key, "wire") == 0)
				c->wire = value;
		} else if (strcmp(key, "header_table_size") == 0) {
			c->table_size = atol(p);
		} else if (*p == '[') { /* "cases" */
			c->used = 0;
		}
		assert_true(c->n < STORY_HEADERS);
	}
	return NULL;
}

struct story_run {
	struct hpack_dec *theirs, *ours;
	struct hpack_enc *enc;
	size_t cases;
	size_t their_bytes, our_bytes;
};

static void story_case(struct story_run *r, const struct story_case *c)
{
	static unsigned char block[STORY_TEXT];
	static char want[STORY_TEXT], got[STORY_TEXT];
	const char *reason = "";
	struct buf out = BUF_INIT(STORY_TEXT);
	const size_t n = unhex(c->wire, block);
	size_t i, at = 0;

	for (i = 0; i < c->n; i++)
		at += (size_t)sprintf(
		    want + at, "%s: %s\n", c->h[i].name, c->h[i].value);
	if (c->table_size >= 0) {
		hpack_dec_set_max(r->theirs, (size_t)c->table_size);
		hpack_dec_set_max(r->ours, (size_t)c->table_size);
		hpack_enc_set_max(r->enc, (size_t)c->table_size);
	}
	assert_int_equal(
	    decode_text(r->theirs, block, n, got, sizeof(got), &reason),
	    HPACK_OK);
	assert_string_equal(got, want);
	assert_true(hpack_encode(r->enc, c->h, c->n, &out));
	assert_int_equal(decode_text(r->ours, buf_head(&out), out.len, got,
			     sizeof(got), &reason),
	    HPACK_OK);
	assert_string_equal(got, want);
	r->their_bytes += n;
	r->our_bytes += out.len;
	r->cases++;
	buf_free(&out);
}

static void story_file(struct story_run *r, const char *path)
{
	struct story_case *c = xmalloc(sizeof(*c));
	FILE *f = fopen(path, "r");
	char *text;
	const char *p;
	size_t n;

	assert_non_null(f);
	text = xmalloc(4 << 20);
	n = fread(text, 1, (4 << 20) - 1, f);
	text[n] = '\0';
	fclose(f);
	r->theirs = hpack_dec_new(4096, 1 << 20);
	r->ours = hpack_dec_new(4096, 1 << 20);
	r->enc = hpack_enc_new(4096);
	/* Past the outer object's brace. */
	for (p = strchr(text, '[') + 1; (p = story_next(c, p)) != NULL;)
		story_case(r, c);
	hpack_dec_free(r->theirs);
	hpack_dec_free(r->ours);
	hpack_enc_free(r->enc);
	free(text);
	free(c);
}

#define STORIES "../shared/data/hpack"

static void test_stories(void **state)
{
	static const char *const kinds[] = { STORIES "/nghttp2",
		STORIES "/nghttp2-change-table-size" };
	struct story_run r = { 0 };
	const struct dirent *e;
	char path[600];
	size_t i, files = 0;
	DIR *dir;

	(void)state;
	for (i = 0; i < 2; i++) {
		dir = opendir(kinds[i]);
		if (dir == NULL)
			continue;
		while ((e = readdir(dir)) != NULL) {
			if (strncmp(e->d_name, "story_", 6) != 0)
				continue;
			snprintf(
			    path, sizeof(path), "%s/%s", kinds[i], e->d_name);
			story_file(&r, path);
			files++;
		}
		closedir(dir);
	}
	if (files == 0)
		skip(); /* they are not part of the repository */
	print_message("%zu stories, %zu blocks: theirs %zu bytes, ours %zu\n",
	    files, r.cases, r.their_bytes, r.our_bytes);
	assert_true(r.cases > files);
	/* story_next() keeps a third of our headers out of the table. */
	assert_true(r.our_bytes < r.their_bytes * 3);
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
		cmocka_unit_test(test_huffman_symbols),
		cmocka_unit_test(test_huffman_padding),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_name_of_evicted),
		cmocka_unit_test(test_size_updates),
		cmocka_unit_test(test_list_limit),
		cmocka_unit_test(test_encode_c4),
		cmocka_unit_test(test_encode_kinds),
		cmocka_unit_test(test_encode_size_updates),
		cmocka_unit_test(test_encode_limits),
		cmocka_unit_test(test_encode_long),
		cmocka_unit_test(test_encode_static),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_cost_rotation),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_stories),
	};
	const long page = sysconf(_SC_PAGESIZE);
	unsigned char *mem = mmap(NULL, 2 * (size_t)page,
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return 1;
	guard = mem + page;
	if (mprotect(guard, (size_t)page, PROT_NONE) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
