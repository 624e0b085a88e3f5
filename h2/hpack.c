/* h2/hpack.c - header compression of HTTP/2 (RFC 7541): the table that encoder
 * and decoder share, Huffman code, decoder, encoder. */
#include "h2/hpack.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "h2/hpack_tables.h"
#include "mem.h"

/* --- the dynamic table --- */

/* Names and values are stored one after the other, the oldest first, each in
 * one piece.  At the end of the memory, those in use are moved to its start. */
struct entry {
	uint32_t hash; /* of the value; encoder only */
	uint32_t at;   /* position of the name, counted from table.base */
	uint32_t name_len, value_len;
};

struct table {
	struct entry *entries; /* ring; the text follows in the same memory */
	unsigned char *text;
	size_t cap;	     /* bytes allocated for text */
	size_t slots;	     /* entries allocated */
	size_t first, count; /* the oldest entry; how many there are */
	size_t begin, end;   /* the part of the text in use */
	uint32_t base;	     /* the position of text[0]; wraps */
	size_t size, max;    /* as 7541 4.1 counts */
};

struct field {
	const char *name, *value;
	size_t name_len, value_len;
};

static size_t table_slot(const struct table *t, size_t age)
{
	size_t i = t->first + t->count - 1 - age;

	return i < t->slots ? i : i - t->slots;
}

static struct entry *table_entry(const struct table *t, size_t age)
{
	return &t->entries[table_slot(t, age)];
}

/* age 0 is the newest. */
static struct field table_field(const struct table *t, size_t age)
{
	const struct entry *e = table_entry(t, age);
	const char *p = (const char *)t->text + (uint32_t)(e->at - t->base);

	return (struct field){ p, p + e->name_len, e->name_len, e->value_len };
}

/* Drops the oldest entries until there is space for `needed` bytes. */
static void table_evict(struct table *t, size_t needed)
{
	const struct entry *e;

	while (t->count > 0 && t->size + needed > t->max) {
		e = table_entry(t, t->count - 1);
		t->begin += e->name_len + e->value_len;
		t->size -= e->name_len + e->value_len + HPACK_ENTRY_OVERHEAD;
		t->first = t->first + 1 < t->slots ? t->first + 1 : 0;
		t->count--;
	}
	if (t->count == 0)
		t->begin = t->end = 0;
}

static void table_set_max(struct table *t, size_t max)
{
	t->max = max;
	table_evict(t, 0);
}

/* Allocates what max allows: at most one entry for every 32 bytes. */
static void table_grow(struct table *t)
{
	struct table n = *t;
	size_t i;

	n.slots = t->max / HPACK_ENTRY_OVERHEAD;
	n.cap = t->max;
	n.entries = xmalloc(n.slots * sizeof(struct entry) + n.cap);
	n.text = (unsigned char *)(n.entries + n.slots);
	n.first = 0;
	for (i = 0; i < t->count; i++)
		n.entries[i] = *table_entry(t, t->count - 1 - i);
	if (t->count > 0)
		memcpy(
		    n.text + t->begin, t->text + t->begin, t->end - t->begin);
	free(t->entries);
	*t = n;
}

/* 7541 4.4.  The strings must not be the table's own. */
static void table_insert(struct table *t, const struct field *f, uint32_t hash)
{
	const size_t text = f->name_len + f->value_len;

	if (text + HPACK_ENTRY_OVERHEAD > t->max) {
		table_evict(t, t->max);
		return;
	}
	table_evict(t, text + HPACK_ENTRY_OVERHEAD);
	if (t->cap < t->max)
		table_grow(t);
	if (t->end + text > t->cap) {
		memmove(t->text, t->text + t->begin, t->end - t->begin);
		t->base += (uint32_t)t->begin;
		t->end -= t->begin;
		t->begin = 0;
	}
	memcpy(t->text + t->end, f->name, f->name_len);
	memcpy(t->text + t->end + f->name_len, f->value, f->value_len);
	t->count++;
	*table_entry(t, 0) = (struct entry){
		.hash = hash,
		.at = t->base + (uint32_t)t->end,
		.name_len = (uint32_t)f->name_len,
		.value_len = (uint32_t)f->value_len,
	};
	t->end += text;
	t->size += text + HPACK_ENTRY_OVERHEAD;
}

/* index: from 1 to STATIC_COUNT. */
static struct field static_field(size_t index)
{
	const char *p = static_text + static_rows[index - 1].at;
	const size_t name_len = static_rows[index - 1].name_len;

	return (struct field){ p, p + name_len, name_len,
		static_rows[index - 1].value_len };
}

/* index: valid in one of the two tables. */
static struct field field_of(const struct table *t, size_t index)
{
	return index <= STATIC_COUNT ? static_field(index)
				     : table_field(t, index - STATIC_COUNT - 1);
}

/* --- Huffman code --- */

#define CODE_MIN 5 /* bits */
#define CODE_MAX 30

/* Symbols are ranked by the length of their code, then by value: that of a symbol
 * is huff_base[length] + rank (modulo 2^32).  EOS has rank 256. */
static uint8_t huff_rank[256], huff_symbol[256];
static uint32_t huff_base[CODE_MAX + 1];
/* Codes of up to so many bits, seen as the top of 32 bits, are below this. */
static uint32_t huff_limit[CODE_MAX + 1];

/* The code is canonical: the lengths say all. */
static void huff_init(void)
{
	uint32_t code = 0;
	unsigned bits, s, rank = 0;

	if (huff_limit[CODE_MIN] != 0)
		return;
	for (bits = CODE_MIN; bits <= CODE_MAX; bits++, code <<= 1) {
		huff_base[bits] = code - rank;
		for (s = 0; s < 256; s++) {
			if (huff_len[s] != bits)
				continue;
			huff_rank[s] = (uint8_t)rank;
			huff_symbol[rank++] = (uint8_t)s;
			code++;
		}
		huff_limit[bits] = code << (32 - bits);
	}
}

/* Returns the end of the code, or NULL if that would not be below limit. */
static unsigned char *huff_encode(unsigned char *out,
    const unsigned char *limit, const unsigned char *s, size_t n)
{
	const unsigned char *const end = s + n;
	uint64_t acc = 0;
	unsigned bits = 0; /* how many at the low end of acc are unwritten */
	uint32_t word;

	for (; s < end; s++) {
		const unsigned len = huff_len[*s];

		acc = acc << len | (uint32_t)(huff_base[len] + huff_rank[*s]);
		bits += len;
		if (bits < 32)
			continue;
		if (limit - out <= (ptrdiff_t)sizeof(word))
			return NULL;
		bits -= 32;
		word = htobe32((uint32_t)(acc >> bits));
		memcpy(out, &word, sizeof(word));
		out += sizeof(word);
	}
	if (limit - out <= (ptrdiff_t)(bits + 7) / 8)
		return NULL;
	for (; bits >= 8; bits -= 8)
		*out++ = (unsigned char)(acc >> (bits - 8));
	if (bits > 0)
		*out++ = (unsigned char)(acc << (8 - bits) | 0xff >> bits);
	return out;
}

/* Writes up to n * 8 / 5 bytes; returns how many, or -1 (7541 5.2: EOS within,
 * padding over 7 bits or not of ones). */
static ptrdiff_t huff_decode(
    unsigned char *out, const unsigned char *s, size_t n)
{
	unsigned char *const out0 = out;
	const unsigned char *const end = s + n;
	uint64_t acc = 0; /* unread bits at the top */
	unsigned bits = 0;

	for (;;) {
		uint32_t window, rank;
		unsigned len = CODE_MIN;

		while (bits <= 56 && s < end) {
			acc |= (uint64_t)*s++ << (56 - bits);
			bits += 8;
		}
		/* Ones after the end make padding look like EOS. */
		window = (uint32_t)(acc >> 32);
		if (bits < 32)
			window |= 0xffffffff >> bits;
		while (window >= huff_limit[len] && len < CODE_MAX)
			len++;
		if (len > bits)
			return bits < 8 && window == 0xffffffff ? out - out0
								: -1;
		rank = (window >> (32 - len)) - huff_base[len];
		if (rank > 255)
			return -1;
		*out++ = huff_symbol[rank];
		acc <<= len;
		bits -= len;
	}
}

/* --- decoder --- */

#define SCRATCH_KEEP_MAX 1024 /* bytes; a larger scratch buf is freed */

struct hpack_dec {
	struct table table;
	size_t announced; /* the largest table that the peer may use */
	/* The next block must reduce the table to this; SIZE_MAX: need not. */
	size_t must_shrink;
	size_t list_max;
	struct buf scratch; /* name and value of one literal */
};

/* The rest of a block, and where its headers go. */
struct block {
	const unsigned char *p, *end;
	hpack_header_cb *cb; /* NULL once no more headers are wanted */
	void *arg;
	size_t list_size;
	const char *reason;
};

struct hpack_dec *hpack_dec_new(size_t table_max, size_t list_max)
{
	struct hpack_dec *d = xcalloc(1, sizeof(*d));

	huff_init();
	d->table.max = table_max;
	d->announced = table_max;
	d->must_shrink = SIZE_MAX;
	d->list_max = list_max;
	buf_init(&d->scratch, SIZE_MAX / 4); /* limited by the block's length */
	return d;
}

void hpack_dec_free(struct hpack_dec *d)
{
	if (d == NULL)
		return;
	free(d->table.entries);
	buf_free(&d->scratch);
	free(d);
}

void hpack_dec_set_max(struct hpack_dec *d, size_t table_max)
{
	d->announced = table_max;
	if (table_max < d->table.max && table_max < d->must_shrink)
		d->must_shrink = table_max;
}

/* 7541 5.1, beginning with the low `prefix` bits of a byte.  Five more bytes
 * are enough for 32 bits; a longer form is an error, also one with zeros. */
static bool read_int(struct block *b, unsigned prefix, uint32_t *v_r)
{
	const uint32_t mask = (1U << prefix) - 1;
	uint64_t v = *b->p++ & mask;
	unsigned shift;

	for (shift = 0; v >= mask; shift += 7) {
		if (b->p == b->end) {
			b->reason = "an integer is cut short";
			return false;
		}
		v += (uint64_t)(*b->p & 0x7f) << shift;
		if (shift > 28 || v > UINT32_MAX) {
			b->reason = "an integer is too large";
			return false;
		}
		if ((*b->p++ & 0x80) == 0)
			break;
	}
	*v_r = (uint32_t)v;
	return true;
}

/* Appends a string literal to the scratch (7541 5.2). */
static bool read_string(struct hpack_dec *d, struct block *b)
{
	const bool huffman = b->p < b->end && (*b->p & 0x80);
	uint32_t len;
	ptrdiff_t n;

	if (b->p == b->end) {
		b->reason = "a string is missing";
		return false;
	}
	if (!read_int(b, 7, &len))
		return false;
	if (len > (size_t)(b->end - b->p)) {
		b->reason = "a string is cut short";
		return false;
	}
	b->p += len;
	if (!huffman)
		return buf_add(&d->scratch, b->p - len, len);
	n = huff_decode(
	    buf_reserve(&d->scratch, (size_t)len * 8 / 5 + 1), b->p - len, len);
	if (n < 0) {
		b->reason = "a string has a bad Huffman code";
		return false;
	}
	buf_added(&d->scratch, (size_t)n);
	return true;
}

static bool field_at(
    const struct hpack_dec *d, struct block *b, uint32_t index, struct field *f)
{
	if (index == 0 || index > STATIC_COUNT + d->table.count) {
		b->reason = "an index is in neither table";
		return false;
	}
	*f = field_of(&d->table, index);
	return true;
}

/* Reads a literal (7541 6.2) into the scratch buf, the name too: an entry that
 * it comes from may be dropped when the new one is added (4.4). */
static bool read_literal(
    struct hpack_dec *d, struct block *b, unsigned prefix, struct field *f)
{
	uint32_t index;

	buf_reset(&d->scratch);
	if (!read_int(b, prefix, &index))
		return false;
	if (index == 0) {
		if (!read_string(d, b))
			return false;
	} else {
		if (!field_at(d, b, index, f))
			return false;
		buf_add(&d->scratch, f->name, f->name_len);
	}
	f->name_len = d->scratch.len;
	if (!read_string(d, b))
		return false;
	f->value_len = d->scratch.len - f->name_len;
	/* Two empty strings need no memory. */
	f->name = d->scratch.mem ? (const char *)buf_head(&d->scratch) : "";
	f->value = f->name + f->name_len;
	return true;
}

/* 7541 4.2 and 6.3: only at the beginning, and as small as was demanded. */
static bool read_size_updates(struct hpack_dec *d, struct block *b)
{
	uint32_t max;

	while (b->p < b->end && (*b->p & 0xe0) == 0x20) {
		if (!read_int(b, 5, &max))
			return false;
		if (max > d->announced) {
			b->reason = "a table size is above the announced one";
			return false;
		}
		if (max <= d->must_shrink)
			d->must_shrink = SIZE_MAX;
		table_set_max(&d->table, max);
	}
	if (d->must_shrink != SIZE_MAX)
		b->reason = "a table size update is missing";
	return d->must_shrink == SIZE_MAX;
}

static bool read_field(struct hpack_dec *d, struct block *b, struct field *f)
{
	const unsigned char first = *b->p;
	uint32_t index;

	if (first & 0x80)
		return read_int(b, 7, &index) && field_at(d, b, index, f);
	if (first & 0x40) {
		if (!read_literal(d, b, 6, f))
			return false;
		table_insert(&d->table, f, 0);
		return true;
	}
	if (first & 0x20) {
		b->reason = "a table size update is not at the beginning";
		return false;
	}
	return read_literal(d, b, 4, f);
}

enum hpack_status hpack_decode(struct hpack_dec *d, const unsigned char *block,
    size_t len, hpack_header_cb *cb, void *arg, const char **reason_r)
{
	struct block b = {
		.p = block, .end = block + len, .cb = cb, .arg = arg
	};
	struct field f = { 0 };

	if (!read_size_updates(d, &b)) {
		*reason_r = b.reason;
		return HPACK_BAD;
	}
	while (b.p < b.end) {
		if (!read_field(d, &b, &f)) {
			*reason_r = b.reason;
			return HPACK_BAD;
		}
		b.list_size += f.name_len + f.value_len + HPACK_ENTRY_OVERHEAD;
		if (b.list_size > d->list_max)
			b.cb = NULL;
		if (b.cb != NULL &&
		    b.cb(arg, f.name, f.name_len, f.value, f.value_len) != 0)
			b.cb = NULL;
	}
	if (d->scratch.cap > SCRATCH_KEEP_MAX)
		buf_free(&d->scratch);
	if (b.list_size > d->list_max) {
		*reason_r = "the header list is too large";
		return HPACK_TOO_BIG;
	}
	return HPACK_OK;
}

/* --- encoder --- */

#define HINTS_MAX 16 /* if there are more headers, they share hints */

struct hpack_enc {
	struct table table;
	size_t own_max;
	bool update;	   /* the peer does not know table.max yet */
	size_t update_min; /* the smallest max since the last block */
	/* Ring of hashes: HPACK_TRY_INDEX values that were not added. */
	uint32_t seen[HPACK_SEEN_MAX];
	unsigned seen_at;
	/* Where the headers of the last block were found, in their order: most
	 * of the next block's are there again.  Without this a push takes a
	 * third more instructions of ours. */
	uint8_t hints[HINTS_MAX];
};

struct hpack_enc *hpack_enc_new(size_t own_max)
{
	struct hpack_enc *e = xcalloc(1, sizeof(*e));

	huff_init();
	e->own_max = own_max;
	e->table.max = HPACK_TABLE_DEFAULT;
	hpack_enc_set_max(e, HPACK_TABLE_DEFAULT);
	return e;
}

void hpack_enc_free(struct hpack_enc *e)
{
	if (e == NULL)
		return;
	free(e->table.entries);
	free(e);
}

void hpack_enc_set_max(struct hpack_enc *e, size_t peer_max)
{
	const size_t max = peer_max < e->own_max ? peer_max : e->own_max;

	if (max == e->table.max)
		return;
	if (!e->update || max < e->update_min)
		e->update_min = max;
	e->update = true;
	table_set_max(&e->table, max);
}

/* Of a value only: few entries have the same value and different names. */
static uint32_t hash_bytes(const char *s, size_t n)
{
	uint32_t h = (uint32_t)n, w;

	for (; n >= sizeof(w); s += sizeof(w), n -= sizeof(w)) {
		memcpy(&w, s, sizeof(w));
		h = (h ^ w) * 0x9e3779b1;
		h ^= h >> 15;
	}
	for (; n > 0; n--)
		h = (h ^ (unsigned char)*s++) * 0x9e3779b1;
	return h ^ h >> 15;
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* A hint is one byte that stays right while entries are added: an index of the
 * static table, or after those a slot of the dynamic one.  One that does not
 * fit is cut and wrong, so the header found by a hint is always compared. */
static uint8_t hint_of(const struct table *t, size_t index)
{
	return (uint8_t)(index <= STATIC_COUNT
			     ? index
			     : table_slot(t, index - STATIC_COUNT - 1) +
				   STATIC_COUNT + 1);
}

/* The index that the hint means now, or 0 if none. */
static size_t index_by_hint(const struct table *t, size_t hint)
{
	size_t since;

	if (hint <= STATIC_COUNT)
		return hint;
	since = hint - STATIC_COUNT - 1 - t->first;
	if (since >= t->count)
		since += t->slots;
	return since < t->count ? STATIC_COUNT + t->count - since : 0;
}

enum match {
	MATCH_NONE,
	MATCH_NAME,
	MATCH_ALL
};

/* How much of the header the entry at index has. */
static enum match compare(
    const struct table *t, size_t index, const struct hpack_header *h)
{
	const struct field f = field_of(t, index);

	if (!same(f.name, f.name_len, h->name, h->name_len))
		return MATCH_NONE;
	if (!same(f.value, f.value_len, h->value, h->value_len))
		return MATCH_NAME;
	return MATCH_ALL;
}

/* The find functions return the header's index.  If it has none they return 0
 * and set *name_r to an index of its name, if that is found.  This one looks
 * where the hint says. */
static size_t find_by_hint(const struct table *t, const struct hpack_header *h,
    uint8_t hint, size_t *name_r)
{
	const size_t index = index_by_hint(t, hint);
	const enum match found = index ? compare(t, index, h) : MATCH_NONE;

	if (found != MATCH_NONE)
		*name_r = index;
	return found == MATCH_ALL ? index : 0;
}

static size_t find_static(
    const struct table *t, const struct hpack_header *h, size_t *name_r)
{
	const unsigned char *name = (const unsigned char *)h->name;
	size_t first, i;

	if (h->name_len == 0)
		return 0;
	first = static_slot[STATIC_HASH(
	    h->name_len, name[0], name[h->name_len - 1])];
	for (i = first; i != 0 && i <= STATIC_COUNT; i++) {
		const enum match found = compare(t, i, h);

		if (found == MATCH_NONE)
			break;
		*name_r = first;
		if (found == MATCH_ALL)
			return i;
	}
	return 0;
}

/* Compares entries with another hash only while no name is found. */
static size_t find_dynamic(const struct table *t, const struct hpack_header *h,
    uint32_t hash, size_t *name_r)
{
	const struct entry *e = t->count > 0 ? table_entry(t, 0) : NULL;
	size_t i, index;
	enum match found;

	/* Every new path takes this through the whole table, so the entries are
	 * walked without a call of table_entry() for each. */
	for (i = 0; i < t->count; i++) {
		const uint32_t entry_hash = e->hash;

		e = e > t->entries ? e - 1 : t->entries + t->slots - 1;
		if (entry_hash != hash && *name_r != 0)
			continue;
		index = STATIC_COUNT + 1 + i;
		found = compare(t, index, h);
		if (found != MATCH_NONE && *name_r == 0)
			*name_r = index;
		if (found == MATCH_ALL)
			return index;
	}
	return 0;
}

/* Is it among the last values that were not added?  If not, remembers it. */
static bool seen_before(struct hpack_enc *e, uint32_t hash)
{
	unsigned i;

	for (i = 0; i < HPACK_SEEN_MAX; i++)
		if (e->seen[i] == hash)
			return true;
	e->seen[e->seen_at++ % HPACK_SEEN_MAX] = hash;
	return false;
}

static bool worth_an_entry(struct hpack_enc *e, const struct hpack_header *h,
    size_t name_index, uint32_t hash)
{
	const size_t size = h->name_len + h->value_len + HPACK_ENTRY_OVERHEAD;

	/* One that is too large would only empty the table (7541 4.4). */
	if (size > e->table.max)
		return false;
	switch (h->index) {
	case HPACK_INDEX:
		return true;
	case HPACK_TRY_INDEX:
		return e->table.size + size <= e->table.max ||
		       seen_before(e, hash);
	case HPACK_INDEX_NAME:
		return name_index == 0;
	}
	return false;
}

#define PUT_INT_MAX 6 /* bytes that put_int() writes for a number below 2^32 */

static unsigned char *put_int(
    unsigned char *p, unsigned char pattern, unsigned prefix, size_t v)
{
	const size_t mask = (1U << prefix) - 1;

	if (v < mask) {
		*p++ = (unsigned char)(pattern | v);
		return p;
	}
	*p++ = (unsigned char)(pattern | mask);
	for (v -= mask; v >= 0x80; v >>= 7)
		*p++ = (unsigned char)(v | 0x80);
	*p++ = (unsigned char)v;
	return p;
}

/* Writes the length, then the text: in Huffman code if that is shorter.  The
 * code is written one byte after p, since its length nearly always takes one
 * byte, and moved if it takes more. */
static unsigned char *put_string(unsigned char *p, const char *s, size_t n)
{
	unsigned char *end =
	    huff_encode(p + 1, p + 1 + n, (const unsigned char *)s, n);
	const void *text = s;

	if (end != NULL) {
		n = (size_t)(end - p) - 1;
		text = n < 0x7f ? p + 1 : memmove(p + PUT_INT_MAX, p + 1, n);
	}
	p = put_int(p, end ? 0x80 : 0, 7, n);
	memmove(p, text, n);
	return p + n;
}

static unsigned char *put_header(struct hpack_enc *e, unsigned char *p,
    const struct hpack_header *h, uint8_t *hint)
{
	const struct field f = { h->name, h->value, h->name_len, h->value_len };
	size_t name = 0;
	size_t index = find_by_hint(&e->table, h, *hint, &name);
	uint32_t hash = 0;

	/* A changing value is not looked for: only its first one was added. */
	if (index == 0 && (name == 0 || h->index != HPACK_INDEX_NAME)) {
		hash = hash_bytes(h->value, h->value_len);
		index = find_static(&e->table, h, &name);
		if (index == 0)
			index = find_dynamic(&e->table, h, hash, &name);
	}
	*hint = hint_of(&e->table, index ? index : name);
	if (index != 0)
		return put_int(p, 0x80, 7, index);
	if (worth_an_entry(e, h, name, hash)) {
		p = put_int(p, 0x40, 6, name);
		table_insert(&e->table, &f, hash);
	} else {
		p = put_int(p, 0, 4, name);
	}
	if (name == 0)
		p = put_string(p, h->name, h->name_len);
	return put_string(p, h->value, h->value_len);
}

bool hpack_encode(struct hpack_enc *e, const struct hpack_header *headers,
    size_t n, struct buf *out)
{
	size_t most = HPACK_BLOCK_EXTRA(n);
	unsigned char *start, *p;
	size_t i;

	for (i = 0; i < n; i++)
		most += headers[i].name_len + headers[i].value_len;
	p = start = buf_reserve(out, most);
	if (p == NULL)
		return false;
	if (e->update && e->update_min < e->table.max)
		p = put_int(p, 0x20, 5, e->update_min);
	if (e->update)
		p = put_int(p, 0x20, 5, e->table.max);
	e->update = false;
	for (i = 0; i < n; i++)
		p = put_header(e, p, &headers[i], &e->hints[i % HINTS_MAX]);
	assert((size_t)(p - start) <= most);
	buf_added(out, (size_t)(p - start));
	return true;
}
