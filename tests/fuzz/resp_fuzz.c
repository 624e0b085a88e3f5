/* resp_fuzz.c - any bytes as replies of Valkey: read whole and byte by byte, the
 * items must be the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/resp.h"

#define ITEMS 4096

struct seen {
	struct resp_item items[ITEMS];
	size_t n, used;
	ssize_t end;
};

static void read_all(
    struct resp *r, struct seen *s, const char *base, size_t len)
{
	struct resp_item it;
	ssize_t n;

	while (s->n < ITEMS &&
	       (n = resp_read(r, base + s->used, len - s->used, &it)) != 0) {
		s->end = n;
		if (n < 0)
			break;
		if (it.len > 0 && (it.text < base + s->used ||
				      it.text + it.len > base + s->used + n))
			abort();
		s->used += (size_t)n;
		s->items[s->n++] = it;
	}
}

static void check_same(const struct resp_item *a, const struct resp_item *b)
{
	if (a->type != b->type || a->depth != b->depth || a->last != b->last ||
	    a->text != b->text || a->len != b->len || a->n != b->n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen whole, parts;
	struct resp a = { 0 }, b = { 0 };
	char *text = malloc(size + 1);
	size_t i;

	memcpy(text, data, size);
	whole.n = whole.used = parts.n = parts.used = 0;
	whole.end = parts.end = 0;
	read_all(&a, &whole, text, size);
	for (i = 0; i <= size && parts.end >= 0; i++)
		read_all(&b, &parts, text, i);
	if (whole.n != parts.n || whole.used != parts.used ||
	    (whole.end < 0) != (parts.end < 0))
		abort();
	for (i = 0; i < whole.n; i++)
		check_same(&whole.items[i], &parts.items[i]);
	if (whole.end < 0 && a.reason == NULL)
		abort();
	free(text);
	return 0;
}
