/* push/hashes.c - the hashes by which devices know their mailboxes, in small sets.
 *
 * Two or more are followed by an index: open addressing, half empty, each slot
 * a position counted from 1.  MD5 needs no further hashing; names that were
 * chosen to collide cost a walk along the set, which is bounded. */
#include "push/hashes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "store.h"
#include "text.h"
#include "tls.h"

#define CAP_MIN 8 /* a power of two, as every cap is */

const unsigned char *push_hashes_at(const struct push_hashes *s, unsigned i)
{
	return s->more != NULL ? s->more[i] : s->one;
}

/* The hash's slot, or the free one where it would be. */
static uint16_t *slot_of(const struct push_hashes *s, const unsigned char *hash)
{
	uint16_t *slots = (uint16_t *)(void *)(s->more + s->cap);
	unsigned mask = 2 * s->cap - 1;
	unsigned i = (hash[0] | (unsigned)hash[1] << 8) & mask;

	while (
	    slots[i] != 0 && memcmp(s->more[slots[i] - 1], hash, HASH_LEN) != 0)
		i = (i + 1) & mask;
	return &slots[i];
}

bool push_hashes_has(const struct push_hashes *s, const unsigned char *hash)
{
	if (s->more == NULL)
		return s->n > 0 && memcmp(s->one, hash, HASH_LEN) == 0;
	return *slot_of(s, hash) != 0;
}

static void append(struct push_hashes *s, const unsigned char *hash)
{
	memcpy(s->more[s->n++], hash, HASH_LEN);
	*slot_of(s, s->more[s->n - 1]) = (uint16_t)s->n;
}

static void grow(struct push_hashes *s)
{
	struct push_hashes big = { .cap = s->cap ? s->cap * 2 : CAP_MIN };
	unsigned i;

	big.more = xcalloc(
	    big.cap, sizeof(*big.more) + 2 * sizeof(uint16_t) /* half empty */);
	for (i = 0; i < s->n; i++)
		append(&big, push_hashes_at(s, i));
	free(s->more);
	*s = big;
}

bool push_hashes_add(struct push_hashes *s, const unsigned char *hash)
{
	if (push_hashes_has(s, hash))
		return false;
	if (s->n == 0 && s->more == NULL) {
		memcpy(s->one, hash, HASH_LEN);
		s->n = 1;
		return true;
	}
	if (s->n >= s->cap)
		grow(s);
	append(s, hash);
	return true;
}

void push_hashes_clear(struct push_hashes *s)
{
	free(s->more);
	memset(s, 0, sizeof(*s));
}

void push_hashes_remove(struct push_hashes *s, const unsigned char *hash)
{
	struct push_hashes rest = { 0 };
	unsigned i;

	for (i = 0; i < s->n; i++)
		if (memcmp(push_hashes_at(s, i), hash, HASH_LEN) != 0)
			push_hashes_add(&rest, push_hashes_at(s, i));
	push_hashes_clear(s);
	*s = rest;
}

void push_hashes_take(
    struct push_hashes *to, struct push_hashes *from, unsigned max)
{
	struct push_hashes all = *from;
	unsigned i;

	memset(from, 0, sizeof(*from));
	if (all.n <= max) {
		*to = all;
		return;
	}
	memset(to, 0, sizeof(*to));
	for (i = 0; i < all.n; i++)
		push_hashes_add(i < max ? to : from, push_hashes_at(&all, i));
	push_hashes_clear(&all);
}

void push_hashes_merge(struct push_hashes *to, struct push_hashes *from)
{
	unsigned i;

	for (i = 0; i < from->n; i++)
		push_hashes_add(to, push_hashes_at(from, i));
	push_hashes_clear(from);
}

void push_hashes_write(
    struct buf *b, const struct push_hashes *s, unsigned from, unsigned to)
{
	char item[HASH_LEN * 2 + 3] = "\"";

	item[sizeof(item) - 2] = '"';
	item[sizeof(item) - 1] = ',';
	for (; from < to; from++) {
		text_hex_write(push_hashes_at(s, from), HASH_LEN, item + 1);
		buf_add(b, item, sizeof(item));
	}
}

/* --- the hash of a name --- */

/* iOS decodes the name from modified UTF-7 and hashes it as UTF-8; a name that is
 * not modified UTF-7 (from a session with UTF8=ACCEPT) is hashed as it is.  INBOX
 * is by far the most frequent: its MD5 is a constant. */
void push_hash_mailbox(const char *name, unsigned char hash[HASH_LEN])
{
	char utf8[REG_UTF8_MAX + 1];

	push_hash_utf8(push_decode_mailbox(name, utf8), hash);
}

const char *push_decode_mailbox(const char *name, char utf8[REG_UTF8_MAX + 1])
{
	int n = strchr(name, '&') != NULL
		    ? text_utf7_read(name, utf8, REG_UTF8_MAX)
		    : -1;

	if (n < 0)
		return name;
	utf8[n] = '\0';
	return utf8;
}

void push_hash_utf8(const char *name, unsigned char hash[HASH_LEN])
{
	static const unsigned char inbox[HASH_LEN] = { 0x7e, 0x33, 0x42, 0x9f,
		0x65, 0x6f, 0x1e, 0x6e, 0x9d, 0x79, 0xb2, 0x9c, 0x3f, 0x82,
		0xc5, 0x7e };

	if (strcmp(name, "INBOX") == 0)
		memcpy(hash, inbox, HASH_LEN);
	else
		tls_md5(name, strlen(name), hash);
}
