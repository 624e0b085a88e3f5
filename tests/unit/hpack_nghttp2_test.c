/* hpack_nghttp2_test.c - our encoder read by nghttp2's inflater and nghttp2's
 * deflater read by our decoder, over random lists and table sizes. */
#include "h2/hpack.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "buf.h"

#define ROUNDS 20000
#define HEADERS 12

static uint32_t random_state;

static unsigned rnd(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % n;
}

static const char *const names[] = { ":method", ":path", ":authority",
	":scheme", "authorization", "apns-topic", "apns-id", "apns-expiration",
	"cookie", "x", "content-length",
	"x-quite-a-long-name-that-few-would-choose" };

#define N_NAMES (sizeof(names) / sizeof(*names))

static void add_header(struct buf *b, const void *name, size_t name_len,
    const void *value, size_t value_len)
{
	buf_add(b, name, name_len);
	buf_add_str(b, ": ");
	buf_add(b, value, value_len);
	buf_add_str(b, "\n");
}

/* Values repeat often enough to be found in the table. */
static void random_list(struct hpack_header h[HEADERS], struct buf *want)
{
	static char text[2000];
	size_t i;

	for (i = 0; text[sizeof(text) - 1] == 0 && i < sizeof(text); i++)
		text[i] = (char)(rnd(4) ? 33 + rnd(94) : 1 + rnd(255));
	for (i = 0; i < HEADERS; i++) {
		h[i].name = names[rnd(N_NAMES)];
		h[i].name_len = strlen(h[i].name);
		h[i].value = text + 50 * rnd(20);
		h[i].value_len = rnd(20) ? rnd(4) * 25 : rnd(900);
		h[i].index = (enum hpack_index)rnd(3);
		add_header(
		    want, h[i].name, h[i].name_len, h[i].value, h[i].value_len);
	}
}

static void same(const struct buf *got, const struct buf *want)
{
	assert_int_equal(got->len, want->len);
	assert_memory_equal(buf_head(got), buf_head(want), want->len);
}

static void inflate(
    nghttp2_hd_inflater *inflater, const struct buf *block, struct buf *got)
{
	const uint8_t *p = buf_head(block);
	size_t left = block->len;
	int flags = 0;

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv nv;
		const ssize_t n =
		    nghttp2_hd_inflate_hd2(inflater, &nv, &flags, p, left, 1);

		assert_true(n >= 0);
		p += n;
		left -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			add_header(
			    got, nv.name, nv.namelen, nv.value, nv.valuelen);
	}
	assert_int_equal(left, 0);
	nghttp2_hd_inflate_end_headers(inflater);
}

static void test_ours_to_nghttp2(void **state)
{
	const size_t own_max = (size_t)(uintptr_t)*state;
	struct hpack_enc *e = hpack_enc_new(own_max);
	struct buf block = BUF_INIT(1 << 16), got = BUF_INIT(1 << 16),
		   want = BUF_INIT(1 << 16);
	nghttp2_hd_inflater *inflater;
	struct hpack_header h[HEADERS];
	unsigned i, changes;

	random_state = 7;
	assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
	for (i = 0; i < ROUNDS; i++) {
		for (changes = rnd(8) ? 0 : rnd(4); changes > 0; changes--) {
			const size_t max = rnd(4) ? rnd(9000) : 0;

			hpack_enc_set_max(e, max);
			assert_int_equal(
			    nghttp2_hd_inflate_change_table_size(inflater, max),
			    0);
		}
		random_list(h, &want);
		assert_true(hpack_encode(e, h, HEADERS, &block));
		inflate(inflater, &block, &got);
		same(&got, &want);
		assert_true(nghttp2_hd_inflate_get_dynamic_table_size(
				inflater) <= own_max);
		buf_reset(&block);
		buf_reset(&got);
		buf_reset(&want);
	}
	buf_free(&block);
	buf_free(&got);
	buf_free(&want);
	nghttp2_hd_inflate_del(inflater);
	hpack_enc_free(e);
}

static int take(void *arg, const char *name, size_t name_len, const char *value,
    size_t value_len)
{
	add_header(arg, name, name_len, value, value_len);
	return 0;
}

static void deflate(nghttp2_hd_deflater *deflater,
    const struct hpack_header h[HEADERS], struct buf *block)
{
	nghttp2_nv nv[HEADERS];
	size_t i, most;
	ssize_t n;

	for (i = 0; i < HEADERS; i++) {
		nv[i] = (nghttp2_nv){ .namelen = h[i].name_len,
			.valuelen = h[i].value_len,
			.flags = rnd(5) == 0 ? NGHTTP2_NV_FLAG_NO_INDEX
					     : NGHTTP2_NV_FLAG_NONE };
		memcpy(&nv[i].name, &h[i].name, sizeof(nv[i].name));
		memcpy(&nv[i].value, &h[i].value, sizeof(nv[i].value));
	}
	most = nghttp2_hd_deflate_bound(deflater, nv, HEADERS);
	n = nghttp2_hd_deflate_hd(
	    deflater, buf_reserve(block, most), most, nv, HEADERS);
	assert_true(n >= 0);
	buf_added(block, (size_t)n);
}

static void test_nghttp2_to_ours(void **state)
{
	struct hpack_dec *d = hpack_dec_new(HPACK_TABLE_DEFAULT, 1 << 20);
	struct buf block = BUF_INIT(1 << 16), got = BUF_INIT(1 << 16),
		   want = BUF_INIT(1 << 16);
	nghttp2_hd_deflater *deflater;
	struct hpack_header h[HEADERS];
	unsigned i, changes;
	const char *reason;

	(void)state;
	random_state = 11;
	assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
	for (i = 0; i < ROUNDS; i++) {
		for (changes = rnd(8) ? 0 : rnd(4); changes > 0; changes--) {
			const size_t max = rnd(4) ? rnd(9000) : 0;

			hpack_dec_set_max(d, max);
			assert_int_equal(
			    nghttp2_hd_deflate_change_table_size(deflater, max),
			    0);
		}
		random_list(h, &want);
		deflate(deflater, h, &block);
		if (hpack_decode(d, buf_head(&block), block.len, take, &got,
			&reason) != HPACK_OK)
			fail_msg("round %u: %s", i, reason);
		same(&got, &want);
		buf_reset(&block);
		buf_reset(&got);
		buf_reset(&want);
	}
	buf_free(&block);
	buf_free(&got);
	buf_free(&want);
	nghttp2_hd_deflate_del(deflater);
	hpack_dec_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_ours_to_nghttp2, (void *)4096),
		cmocka_unit_test_prestate(test_ours_to_nghttp2, (void *)600),
		cmocka_unit_test(test_nghttp2_to_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
