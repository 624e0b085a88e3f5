/* hpack_decode_fuzz.c - blocks from anybody, in one decoder.  A block begins
 * with a byte: its length, or from 0xf0 on a change of the table's limit. */
#include "h2/hpack.h"

static int take(void *arg, const char *name, size_t name_len, const char *value,
    size_t value_len)
{
	unsigned *sum = arg;

	while (name_len > 0)
		*sum += (unsigned char)name[--name_len];
	while (value_len > 0)
		*sum += (unsigned char)value[--value_len];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hpack_dec *d = hpack_dec_new(HPACK_TABLE_DEFAULT, 2000);
	const char *reason;
	unsigned sum = 0;

	while (size-- > 0) {
		const size_t n = *data++;

		if (n >= 0xf0) {
			hpack_dec_set_max(d, (n - 0xf0) * 500);
			continue;
		}
		if (n > size ||
		    hpack_decode(d, data, n, take, &sum, &reason) == HPACK_BAD)
			break;
		data += n;
		size -= n;
	}
	hpack_dec_free(d);
	return 0;
}
