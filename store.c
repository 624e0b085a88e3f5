/* store.c - registrations in memory: two hash tables over small records.  One has
 * the first registration of each user, which for most users is the only one; the
 * other has all others.  So most need only one place in one table. */
#include "store.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "json.h"
#include "mem.h"
#include "store/int.h"
#include "text.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

/* --- hashing: SipHash-1-3, for clients choose account ids and tokens --- */

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 = rotl(s->v2, 32);
}

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static uint64_t sip_hash(
    uint64_t k0, uint64_t k1, const char *p, size_t len, bool fold)
{
	const unsigned char *u = (const unsigned char *)p;
	struct sip s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	size_t left = len, n, i, k;
	uint64_t m;

	/* The length stands above the rest; three rounds of nothing end it. */
	for (i = len / 8 + 4; i > 0; i--) {
		m = i == 4 ? len : 0;
		n = left < 8 ? left : 8;
		if (n == 8 && !fold)
			memcpy(&m, u, 8);
		else
			for (k = n; k > 0; k--)
				m = m << 8 |
				    (fold ? lower(u[k - 1]) : u[k - 1]);
		u += n;
		left -= n;
		if (i == 3)
			s.v2 ^= 0xff;
		s.v3 ^= m;
		sip_round(&s);
		s.v0 ^= m;
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t store_hash_name(const struct store *s, const char *name, size_t len)
{
	return sip_hash(s->seed[0], s->seed[1], name, len, true);
}

static uint64_t hash_id(
    const struct store *s, uint64_t user_hash, const char *id, size_t len)
{
	return sip_hash(s->seed[0] ^ user_hash, s->seed[1], id, len, false);
}

static bool same_user(const struct reg *r, const char *user, size_t len)
{
	const unsigned char *p = (const unsigned char *)r->tail;
	const unsigned char *q = (const unsigned char *)user;
	size_t i;

	if (r->user_len != len)
		return false;
	for (i = 0; i < len; i++)
		if (lower(p[i]) != lower(q[i]))
			return false;
	return true;
}

static uint64_t hash_reg(const struct store *s, const struct reg *r)
{
	uint64_t h = store_hash_name(s, r->tail, r->user_len);

	return r->prev == NULL
		   ? h
		   : hash_id(s, h, r->tail + reg_id_at(r), reg_id_len(r));
}

/* --- the tables --- */

#define TABLE_FIRST 64 /* buckets allocated at first */

static void table_init(struct table *t)
{
	t->n = 1;
	t->mask = 0;
	t->items = 0;
	t->cap = TABLE_FIRST;
	t->buckets = xcalloc(t->cap, sizeof(*t->buckets));
}

/* Of an empty table: buckets for what is about to come. */
static void table_presize(struct table *t, size_t n)
{
	if (n <= t->cap)
		return;
	free(t->buckets);
	t->buckets = xcalloc(n, sizeof(*t->buckets));
	t->cap = n;
	t->n = n;
	while (t->mask < n - 1)
		t->mask = t->mask * 2 + 1;
}

static struct reg **table_bucket(const struct table *t, uint64_t hash)
{
	size_t i = (size_t)hash & t->mask;

	return &t->buckets[i < t->n ? i : i & (t->mask >> 1)];
}

/* Adds one bucket and moves there what belongs there, out of the one bucket in
 * which that was until now. */
static void table_split(const struct store *s, struct table *t)
{
	struct reg **from, *r, *next;

	if (t->n == t->cap) {
		t->cap += t->cap / 4 + TABLE_FIRST;
		t->buckets = xrealloc(t->buckets, t->cap * sizeof(*t->buckets));
	}
	if (t->n > t->mask)
		t->mask = t->mask * 2 + 1;
	from = &t->buckets[t->n & (t->mask >> 1)];
	t->buckets[t->n++] = NULL;
	r = *from;
	*from = NULL;
	for (; r != NULL; r = next) {
		next = r->chain;
		from = table_bucket(t, hash_reg(s, r));
		r->chain = *from;
		*from = r;
	}
}

static void table_add(
    const struct store *s, struct table *t, struct reg *r, uint64_t hash)
{
	struct reg **b;

	if (++t->items > t->n)
		table_split(s, t);
	b = table_bucket(t, hash);
	r->chain = *b;
	*b = r;
}

/* Puts `instead` (may be NULL) into r's place. */
static void table_replace(struct store *s, struct reg *r, struct reg *instead)
{
	struct table *t = &s->tables[r->prev == NULL ? FIRSTS : OTHERS];
	struct reg **p = table_bucket(t, hash_reg(s, r));

	while (*p != r)
		p = &(*p)->chain;
	if (instead != NULL) {
		instead->chain = r->chain;
		*p = instead;
	} else {
		*p = r->chain;
		t->items--;
	}
}

/* --- entries --- */

void store_hash_user(const struct store *s, struct entry *e)
{
	e->user_hash = store_hash_name(s, e->tail, e->user_len);
	__builtin_prefetch(table_bucket(&s->tables[FIRSTS], e->user_hash));
}

void store_prefetch(const struct store *s, const struct entry *e)
{
	const struct reg *r = *table_bucket(&s->tables[FIRSTS], e->user_hash);

	if (r != NULL)
		__builtin_prefetch(r->tail);
}

/* The i-th mailbox, as box_read() reads it. */
static char *put_box(char *p, const struct reg_spec *spec, size_t i)
{
	const char *name = spec->mailboxes[i], *owner, *mailbox;

	if (spec->canonical != NULL && spec->canonical[i].mailbox != NULL) {
		owner = spec->canonical[i].owner;
		mailbox = spec->canonical[i].mailbox;
		if (owner == NULL || strcasecmp(owner, spec->user) == 0)
			owner = "";
		/* An '&' may stand for itself, or for more. */
		if (*owner != '\0' || !reg_same_name(mailbox, name) ||
		    strchr(name, '&') != NULL) {
			*p++ = BOX_CANONICAL;
			p = stpcpy(stpcpy(p, owner) + 1, mailbox) + 1;
		}
	}
	return stpcpy(p, name) + 1;
}

/* At most. */
static size_t boxes_len(const struct reg_spec *spec)
{
	const struct reg_canonical *c;
	size_t i, len = 0;

	for (i = 0; i < spec->n_mailboxes; i++)
		len += strlen(spec->mailboxes[i]) + 1;
	if (spec->canonical == NULL)
		return len;
	for (i = 0; i < spec->n_mailboxes; i++) {
		c = &spec->canonical[i];
		len += 3 + (c->owner != NULL ? strlen(c->owner) : 0) +
		       (c->mailbox != NULL ? strlen(c->mailbox) : 0);
	}
	return len;
}

char *entry_new(struct store *s, struct entry *e, const struct reg_spec *spec)
{
	char *tail, *p;
	size_t i;

	e->user_len = strlen(spec->user);
	e->account_len = strlen(spec->account);
	e->digits = strlen(spec->token);
	if (e->user_len > REG_USER_MAX || e->account_len > REG_ACCOUNT_MAX ||
	    e->digits > REG_TOKEN_MAX)
		return NULL;
	tail = xmalloc(KEY_MAX + boxes_len(spec));
	p = stpcpy(stpcpy(tail, spec->user) + 1, spec->account) + 1;
	if (!text_hex_read(spec->token, e->digits, p)) {
		free(tail);
		return NULL;
	}
	p += reg_token_len(e->digits);
	e->tail = tail;
	e->key_len = (size_t)(p - tail);
	for (i = 0; i < spec->n_mailboxes; i++)
		p = put_box(p, spec, i);
	e->mailboxes_len = (size_t)(p - tail) - e->key_len;
	e->n_mailboxes = spec->n_mailboxes;
	e->acked = spec->acked;
	e->time_s = spec->time_s;
	e->topic = spec->topic != NULL ? store_topic(s, spec->topic) : 0;
	store_hash_user(s, e);
	return tail;
}

/* Of the entry's user. */
static struct reg *find_first(const struct store *s, const struct entry *e)
{
	struct reg *r = *table_bucket(&s->tables[FIRSTS], e->user_hash);

	while (r != NULL && !same_user(r, e->tail, e->user_len))
		r = r->chain;
	return r;
}

static bool same_id(const struct reg *r, const struct entry *e)
{
	size_t id = e->user_len + 1;

	return r->digits == e->digits && r->account_len == e->account_len &&
	       memcmp(r->tail + id, e->tail + id, e->key_len - id) == 0;
}

/* first: of its user, or NULL */
static struct reg *find(
    const struct store *s, struct entry *e, struct reg *first)
{
	size_t id = e->user_len + 1;
	struct reg *r = first;

	if (first == NULL || same_id(first, e))
		return first;
	e->hash = hash_id(s, e->user_hash, e->tail + id, e->key_len - id);
	r = *table_bucket(&s->tables[OTHERS], e->hash);
	while (r != NULL && !(r->user_len == e->user_len && same_id(r, e) &&
				same_user(r, e->tail, e->user_len)))
		r = r->chain;
	return r;
}

/* --- memory for them --- */

/* malloc() would take a sixth more and, in musl, a system call for every page: so
 * they lie one behind the other.  What is given back is taken by the next of its
 * size.  Of a slab only what is used is resident; malloc()'s own bytes are left
 * to it. */
#define SLAB_SLOTS ((262144 - 64) / sizeof(void *))

/* In pointers. */
static size_t slot_size(size_t tail_len)
{
	return (offsetof(struct reg, tail) + tail_len + sizeof(void *) - 1) /
	       sizeof(void *);
}

static void slab_new(struct store *s)
{
	void **slab = xmalloc(SLAB_SLOTS * sizeof(*slab));

	*slab = s->slabs;
	s->slabs = slab;
	s->slot = slab + 1;
	s->slots_end = slab + SLAB_SLOTS;
	ASAN_POISON_MEMORY_REGION(s->slot, (SLAB_SLOTS - 1) * sizeof(*slab));
}

static struct reg *slot_take(struct store *s, size_t tail_len)
{
	size_t n = slot_size(tail_len);
	struct reg *r = s->free[n];

	if (r != NULL) {
		s->free[n] = r->next;
	} else {
		if (n > (size_t)(s->slots_end - s->slot))
			slab_new(s);
		r = (struct reg *)s->slot;
		s->slot += n;
	}
	ASAN_UNPOISON_MEMORY_REGION(r, offsetof(struct reg, tail) + tail_len);
	return r;
}

static void slot_give(struct store *s, struct reg *r)
{
	size_t n = slot_size(reg_mailboxes_at(r) + r->room);

	r->next = s->free[n];
	s->free[n] = r;
	ASAN_POISON_MEMORY_REGION(
	    &r->data, n * sizeof(void *) - offsetof(struct reg, data));
}

/* --- mailboxes --- */

static size_t names_len(const struct reg *r)
{
	const char *from = reg_mailboxes(r), *p = from;
	struct box box;
	size_t i;

	for (i = 0; i < r->n_mailboxes; i++)
		p = box_read(p, &box);
	return (size_t)(p - from);
}

/* An owner in the index, and a watch. */
#define OWNER_BYTES 128

size_t store_boxes_bytes(const char *boxes, size_t n, size_t len)
{
	return len + OWNER_BYTES * owner_count(boxes, n);
}

size_t reg_boxes_bytes(const struct reg *r)
{
	return store_boxes_bytes(
	    reg_mailboxes(r), r->n_mailboxes, names_len(r));
}

static void free_mailboxes(struct store *s, struct reg *r)
{
	if (r->flags & REG_FOREIGN)
		owner_unwatch(s, reg_far(r));
	if (r->flags & REG_FAR)
		free(reg_far(r));
	r->flags &= (uint8_t) ~(REG_FAR | REG_FOREIGN);
}

static const char *fold_inbox(const char *name)
{
	return strcasecmp(name, "INBOX") == 0 ? "INBOX" : name;
}

static int compare_names(const char *a, const char *b)
{
	return strcmp(fold_inbox(a), fold_inbox(b));
}

static int compare_boxes(const void *a, const void *b)
{
	struct box x, y;
	int c;

	box_read(*(const char *const *)a, &x);
	box_read(*(const char *const *)b, &y);
	c = compare_names(x.name, y.name);
	if (c == 0)
		c = strcasecmp(x.owner != NULL ? x.owner : "",
		    y.owner != NULL ? y.owner : "");
	if (c == 0)
		c = compare_names(x.canonical != NULL ? x.canonical : "",
		    y.canonical != NULL ? y.canonical : "");
	return c;
}

/* Sorted, each once; returns how many. */
static size_t sort_boxes(const char *p, size_t n, const char **out)
{
	struct box box;
	size_t i, kept = 0;

	for (i = 0; i < n; i++) {
		out[i] = p;
		p = box_read(p, &box);
	}
	if (n > 0)
		qsort(out, n, sizeof(*out), compare_boxes);
	for (i = 0; i < n; i++)
		if (kept == 0 || compare_boxes(&out[kept - 1], &out[i]) != 0)
			out[kept++] = out[i];
	return kept;
}

/* Compared as sets: phones vary the order. */
static bool same_set(const struct reg *r, const struct entry *e)
{
	size_t n = r->n_mailboxes, m = e->n_mailboxes, i;
	const char **a = xmalloc((n + m + 1) * sizeof(*a)), **b = a + n;
	bool same;

	n = sort_boxes(reg_mailboxes(r), n, a);
	m = sort_boxes(e->tail + e->key_len, m, b);
	same = n == m;
	for (i = 0; same && i < n; i++)
		same = compare_boxes(&a[i], &b[i]) == 0;
	free(a);
	return same;
}

static bool same_bytes(const struct reg *r, const struct entry *e)
{
	return r->n_mailboxes == e->n_mailboxes &&
	       names_len(r) == e->mailboxes_len &&
	       memcmp(reg_mailboxes(r), e->tail + e->key_len,
		   e->mailboxes_len) == 0;
}

static void set_mailboxes(struct store *s, struct reg *r, const struct entry *e)
{
	char *p = r->tail + e->key_len;
	const char *boxes = e->tail + e->key_len;
	size_t n = owner_count(boxes, e->n_mailboxes);
	struct watches *far;

	free_mailboxes(s, r);
	r->n_mailboxes = e->n_mailboxes & 0x3ff;
	s->bytes += e->mailboxes_len + n * OWNER_BYTES;
	if (n == 0 && e->mailboxes_len <= r->room) {
		memcpy(p, boxes, e->mailboxes_len);
		return;
	}
	far = xmalloc((n > 0 ? sizeof(*far) + n * sizeof(*far->w) : 0) +
		      e->mailboxes_len + 1);
	memcpy(p, &far, sizeof(far));
	r->flags |= REG_FAR;
	if (n > 0) {
		far->n = n;
		r->flags |= REG_FOREIGN;
		owner_watch(s, r, far, boxes);
	}
	memcpy(n > 0 ? (char *)(far->w + n) : (char *)far, boxes,
	    e->mailboxes_len);
}

/* --- putting and dropping --- */

static struct reg *reg_new(struct store *s, const struct entry *e)
{
	size_t room = e->mailboxes_len;
	struct reg *r;

	if (room < sizeof(char *) || room > UINT8_MAX)
		room = sizeof(char *);
	r = slot_take(s, e->key_len + room);
	memset(r, 0, offsetof(struct reg, tail));
	r->user_len = (uint8_t)e->user_len;
	r->account_len = (uint8_t)e->account_len;
	r->digits = (uint8_t)e->digits;
	r->room = (uint8_t)room;
	memcpy(r->tail, e->tail, e->key_len);
	s->bytes += offsetof(struct reg, tail) + e->key_len;
	s->topics[0].n++;
	return r;
}

static void reg_free(struct store *s, struct reg *r)
{
	free_mailboxes(s, r);
	slot_give(s, r);
}

/* first: of its user, or NULL */
static void link_reg(
    struct store *s, struct reg *r, const struct entry *e, struct reg *first)
{
	if (first == NULL) {
		table_add(s, &s->tables[FIRSTS], r, e->user_hash);
		return;
	}
	table_add(s, &s->tables[OTHERS], r, e->hash);
	r->next = first->next;
	r->prev = first;
	if (r->next != NULL)
		r->next->prev = r;
	first->next = r;
}

static void unlink_reg(struct store *s, struct reg *r)
{
	struct reg *prev = r->prev, *next = r->next;

	if (prev != NULL) {
		table_replace(s, r, NULL);
		prev->next = next;
	} else {
		if (next != NULL)
			table_replace(s, next, NULL);
		table_replace(s, r, next);
	}
	if (next != NULL)
		next->prev = prev;
}

static uint32_t clamp_time(int64_t t)
{
	return t < 0 ? 0 : t > UINT32_MAX ? UINT32_MAX : (uint32_t)t;
}

/* Under a clock that was not set the old time stays. */
static void set_time(struct store *s, struct reg *r, int64_t time_s)
{
	r->replaced = 0;
	if (time_s <= 0) {
		r->flags |= REG_UNSTAMPED;
		s->is_unstamped = true;
	} else {
		r->flags &= (uint8_t)~REG_UNSTAMPED;
		r->time_s = clamp_time(time_s);
	}
}

struct reg *store_upsert(struct store *s, struct entry *e, bool *changed_r)
{
	struct reg *first = find_first(s, e);
	struct reg *r = find(s, e, first);
	bool is_new = r == NULL;

	if (is_new) {
		r = reg_new(s, e);
		link_reg(s, r, e, first);
	}
	*changed_r = is_new || reg_acked(r) != e->acked || r->topic != e->topic;
	if (is_new || !same_bytes(r, e)) {
		*changed_r = *changed_r || !same_set(r, e);
		s->bytes -= reg_boxes_bytes(r);
		set_mailboxes(s, r, e);
	}
	store_use_topic(s, r, e->topic);
	set_time(s, r, e->time_s);
	r->flags &= (uint8_t) ~(REG_ACKED | REG_SUSPENDED);
	if (e->acked)
		r->flags |= REG_ACKED;
	return r;
}

static void tell_dirty(struct store *s)
{
	if (s->on_dirty != NULL)
		s->on_dirty(s->on_dirty_arg);
}

void store_mark_dirty(struct store *s, struct reg *r)
{
	tell_dirty(s);
	if (r->flags & REG_DIRTY)
		return;
	if (s->n_dirty == s->cap_dirty) {
		s->cap_dirty += s->cap_dirty / 2 + 16;
		s->dirty = xrealloc(s->dirty, s->cap_dirty * sizeof(*s->dirty));
	}
	s->live -= r->line;
	s->dirty[s->n_dirty].reg = r;
	r->line = (uint32_t)s->n_dirty++;
	r->flags |= REG_DIRTY;
}

static void unmark_dirty(struct store *s, struct reg *r)
{
	struct dirty *d = &s->dirty[r->line];

	*d = s->dirty[--s->n_dirty];
	d->reg->line = r->line;
	r->line = 0;
	r->flags &= (uint8_t)~REG_DIRTY;
}

struct reg *store_put(struct store *s, const struct reg_spec *spec)
{
	struct entry e;
	char *tail = entry_new(s, &e, spec);
	struct reg *r;
	bool changed;

	if (tail == NULL)
		abort(); /* the caller did not ask reg_spec_check() */
	r = find(s, &e, find_first(s, &e));
	/* Who does not say it was told what is in force. */
	if (spec->topic == NULL && r != NULL)
		e.topic = r->topic;
	if (store_make_room(s, &e, r)) {
		r = store_upsert(s, &e, &changed);
		store_mark_put(s, r, changed);
	} else {
		r = NULL;
	}
	free(tail);
	return r;
}

/* Takes r out of all tables and lists. */
static void detach(struct store *s, struct reg *r)
{
	if (s->on_drop != NULL)
		s->on_drop(s->on_drop_arg, r);
	unlink_reg(s, r);
	s->bytes -= offsetof(struct reg, tail) + reg_mailboxes_at(r) +
		    reg_boxes_bytes(r);
	s->topics[r->topic].n--;
	if (r->flags & REG_DIRTY)
		unmark_dirty(s, r);
	else
		s->live -= r->line;
}

void store_forget(struct store *s, struct reg *r)
{
	detach(s, r);
	reg_free(s, r);
}

void store_drop(struct store *s, struct reg *r)
{
	detach(s, r);
	if (!(r->flags & REG_ON_DISK)) {
		reg_free(s, r);
		return;
	}
	free_mailboxes(s, r);
	r->chain = s->gone;
	s->gone = r;
	tell_dirty(s);
}

/* --- finding and asking --- */

struct reg *store_find(
    struct store *s, const char *user, const char *account, const char *token)
{
	struct reg_spec spec = {
		.user = user, .account = account, .token = token
	};
	struct reg *r = NULL;
	struct entry e;
	char *tail = entry_new(s, &e, &spec);

	if (tail != NULL)
		r = find(s, &e, find_first(s, &e));
	free(tail);
	return r;
}

struct reg *store_first(struct store *s, const char *user)
{
	struct entry e = { .tail = user, .user_len = strlen(user) };

	if (e.user_len > REG_USER_MAX)
		return NULL;
	store_hash_user(s, &e);
	return find_first(s, &e);
}

/* User by user, so that a rewritten file is a pleasure to read. */
int store_each(struct store *s, int (*cb)(void *arg, struct reg *r), void *arg)
{
	const struct table *t = &s->tables[FIRSTS];
	struct reg *first, *r;
	size_t i;
	int rc;

	for (i = 0; i < t->n; i++)
		for (first = t->buckets[i]; first != NULL; first = first->chain)
			for (r = first; r != NULL; r = r->next) {
				rc = cb(arg, r);
				if (rc != 0)
					return rc;
			}
	return 0;
}

size_t store_count(const struct store *s)
{
	return s->tables[FIRSTS].items + s->tables[OTHERS].items;
}

void store_on_dirty(struct store *s, void (*cb)(void *arg), void *arg)
{
	s->on_dirty = cb;
	s->on_dirty_arg = arg;
}

void store_on_drop(
    struct store *s, void (*cb)(void *arg, struct reg *r), void *arg)
{
	s->on_drop = cb;
	s->on_drop_arg = arg;
}

/* --- the whole --- */

static void seed(uint64_t out[2])
{
	struct timespec ts;

	/* Early at boot there may be no entropy yet: better a guessable seed
	 * than no mail. */
	if (getrandom(out, 2 * sizeof(*out), GRND_NONBLOCK) ==
	    (ssize_t)(2 * sizeof(*out)))
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	out[0] = (uint64_t)ts.tv_nsec << 32 ^ (uint64_t)ts.tv_sec;
	out[1] = (uint64_t)(uintptr_t)out;
}

struct store *store_new(void)
{
	struct store *s = xcalloc(1, sizeof(*s));
	size_t i;

	s->fd = -1;
	seed(s->seed);
	for (i = 0; i < N_TABLES; i++)
		table_init(&s->tables[i]);
	return s;
}

void store_expect(struct store *s, size_t n)
{
	size_t i;

	for (i = 0; i < N_TABLES; i++)
		table_presize(&s->tables[i], n);
}

void store_free(struct store *s)
{
	struct table *t = s->tables;
	struct reg *r;
	void **slab;
	size_t i;

	for (; t < s->tables + N_TABLES; t++) {
		for (i = 0; i < t->n; i++)
			for (r = t->buckets[i]; r != NULL; r = r->chain)
				free_mailboxes(s, r);
		free(t->buckets);
	}
	while ((slab = s->slabs) != NULL) {
		s->slabs = *slab;
		free(slab);
	}
	store_free_topics(s);
	free(s->dirty);
	free(s->path);
	free(s);
}

void store_free_gone(struct store *s)
{
	struct reg *r;

	while ((r = s->gone) != NULL) {
		s->gone = r->chain;
		reg_free(s, r);
	}
}
