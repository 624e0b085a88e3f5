/* hpack_roundtrip_fuzz.c - what our encoder writes our decoder reads.  Input:
 * headers as two bytes (kind and lengths) and their text; kind 7 sets a table
 * size, kind 6 ends a block. */
#include "h2/hpack.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"

struct list {
	struct hpack_header h[32];
	size_t n, at;
};

static int compare(void *arg, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	struct list *l = arg;
	const struct hpack_header *h = &l->h[l->at++];

	if (l->at > l->n || h->name_len != name_len ||
	    h->value_len != value_len || memcmp(h->name, name, name_len) ||
	    memcmp(h->value, value, value_len))
		abort();
	return 0;
}

static void block(struct hpack_enc *e, struct hpack_dec *d, struct list *l)
{
	struct buf out = BUF_INIT(1 << 20);
	const char *reason;

	if (!hpack_encode(e, l->h, l->n, &out) ||
	    hpack_decode(d, buf_head(&out), out.len, compare, l, &reason) !=
		HPACK_OK ||
	    l->at != l->n)
		abort();
	buf_free(&out);
	l->n = l->at = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hpack_enc *e = hpack_enc_new(1000);
	struct hpack_dec *d = hpack_dec_new(HPACK_TABLE_DEFAULT, 1 << 20);
	struct list l = { .n = 0 };

	while (size >= 2) {
		const unsigned kind = data[0] & 7, name = data[0] >> 3,
			       value = data[1];

		data += 2;
		size -= 2;
		if (kind == 7) {
			hpack_enc_set_max(e, value * 8);
			hpack_dec_set_max(d, value * 8);
		} else if (kind == 6 || l.n == 32) {
			block(e, d, &l);
		} else if (name + value <= size) {
			l.h[l.n++] = (struct hpack_header){ (const char *)data,
				(const char *)data + name, name, value,
				(enum hpack_index)(kind % 3) };
			data += name + value;
			size -= name + value;
		}
	}
	block(e, d, &l);
	hpack_enc_free(e);
	hpack_dec_free(d);
	return 0;
}
