/* go_fuzz.c - any Go daemon's database: all that was taken from it is exported
 * and taken again. */
#include <assert.h>

#include "buf.h"
#include "store.h"

#define NOW_S 1800000000

/* Into an empty store and out again; returns how many it took. */
static size_t round_trip(const char *text, size_t len, struct buf *out)
{
	struct store *s = store_view_new();
	struct store_import result;
	char err[ERR_MAX];
	size_t n;

	if (store_import_go(s, text, len, NOW_S, &result, err) < 0) {
		assert(store_count(s) == 0);
		buf_add_str(out, "{}");
	} else {
		assert(store_export_go(s, out, NULL, NULL) == 0);
	}
	n = store_count(s);
	store_view_free(s);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first = BUF_INIT(16 << 20), again = BUF_INIT(16 << 20);
	size_t n, m;

	log_set_level(LOG_L_FATAL);
	n = round_trip((const char *)data, size, &first);
	/* Of an account's devices one is exported. */
	m = round_trip((const char *)buf_head(&first), first.len, &again);
	assert(m <= n && (m > 0) == (n > 0));
	buf_reset(&first);
	n = round_trip((const char *)buf_head(&again), again.len, &first);
	assert(n == m && first.len == again.len);
	buf_free(&first);
	buf_free(&again);
	return 0;
}
