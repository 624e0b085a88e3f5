/* push/hashes.c - small sets of MD5 hashes. */
#include "push/hashes.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"

const unsigned char *hashes_at(const struct hashes *s, unsigned i)
{
	return s->more != NULL ? s->more[i] : s->one;
}

static bool hashes_has(const struct hashes *s, const unsigned char *hash)
{
	unsigned i;

	for (i = 0; i < s->n; i++)
		if (memcmp(hashes_at(s, i), hash, HASH_LEN) == 0)
			return true;
	return false;
}

bool hashes_add(struct hashes *s, const unsigned char *hash)
{
	if (hashes_has(s, hash))
		return false;
	if (s->n == 0 && s->more == NULL) {
		memcpy(s->one, hash, HASH_LEN);
		s->n = 1;
		return true;
	}
	if (s->n >= s->cap) {
		s->cap = s->cap ? s->cap * 2 : 8;
		if (s->more == NULL) {
			s->more = xmalloc(s->cap * sizeof(*s->more));
			memcpy(s->more[0], s->one, HASH_LEN);
		} else {
			s->more = xrealloc(s->more, s->cap * sizeof(*s->more));
		}
	}
	memcpy(s->more[s->n++], hash, HASH_LEN);
	return true;
}

void hashes_clear(struct hashes *s)
{
	free(s->more);
	memset(s, 0, sizeof(*s));
}

void hashes_take(struct hashes *to, struct hashes *from, unsigned max)
{
	struct hashes rest = { 0 };
	unsigned i;

	for (i = max; i < from->n; i++)
		hashes_add(&rest, hashes_at(from, i));
	if (from->n > max)
		from->n = max;
	*to = *from;
	*from = rest;
}

void hashes_merge(struct hashes *to, struct hashes *from)
{
	unsigned i;

	for (i = 0; i < from->n; i++)
		hashes_add(to, hashes_at(from, i));
	hashes_clear(from);
}
