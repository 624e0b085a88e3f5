/* store.c - registrations in memory: two hash tables over small records. */
#include "store.h"

#include <string.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "buf.h"
#include "json.h"
#include "store_int.h"

/* A renewal that changes only the time wears the flash once a day. */
#define RENEWAL_WRITE_S 86400

/* account NUL token, as in the tail of a reg */
#define ID_MAX (REG_ACCOUNT_MAX + 1 + (REG_TOKEN_MAX + 1) / 2)

/* What a registration is found by. */
struct key {
	const char *user;
	size_t user_len, account_len, digits;
	uint64_t user_hash, hash;
	char id[ID_MAX];
	size_t id_len;
};

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

static uint64_t sip_hash(uint64_t k0, uint64_t k1, const char *p, size_t len)
{
	struct sip s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	size_t i, last = len / 8;
	uint64_t m;

	/* Three more rounds, of nothing, finish it. */
	for (i = 0; i <= last + 3; i++) {
		m = 0;
		if (i < last)
			memcpy(&m, p + 8 * i, 8);
		else if (i == last)
			memcpy(&m, p + 8 * i, len % 8);
		if (i == last)
			m ^= (uint64_t)len << 56;
		if (i == last + 1)
			s.v2 ^= 0xff;
		s.v3 ^= m;
		sip_round(&s);
		s.v0 ^= m;
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static uint64_t hash_user(const struct store *s, const char *user, size_t len)
{
	char low[REG_USER_MAX];
	size_t i;

	for (i = 0; i < len; i++)
		low[i] = lower(user[i]);
	return sip_hash(s->seed[0], s->seed[1], low, len);
}

static uint64_t hash_id(
    const struct store *s, uint64_t user_hash, const char *id, size_t len)
{
	return sip_hash(s->seed[0] ^ user_hash, s->seed[1], id, len);
}

static bool same_user(const struct reg *r, const char *user, size_t len)
{
	size_t i;

	if (r->user_len != len)
		return false;
	if (memcmp(r->tail, user, len) == 0)
		return true;
	for (i = 0; i < len; i++)
		if (lower(r->tail[i]) != lower(user[i]))
			return false;
	return true;
}

static uint64_t hash_reg(
    const struct store *s, const struct reg *r, enum reg_chain which)
{
	uint64_t h = hash_user(s, r->tail, r->user_len);

	return which == BY_USER
		   ? h
		   : hash_id(s, h, r->tail + reg_id_at(r), reg_id_len(r));
}

/* --- the tables --- */

#define TABLE_FIRST 64 /* buckets allocated at first */

static void table_init(struct table *t, enum reg_chain which)
{
	t->which = which;
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
		next = r->chain[t->which];
		from = table_bucket(t, hash_reg(s, r, t->which));
		r->chain[t->which] = *from;
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
	r->chain[t->which] = *b;
	*b = r;
}

/* Puts `instead` (may be NULL) into r's place. */
static void table_replace(
    struct table *t, struct reg *r, uint64_t hash, struct reg *instead)
{
	struct reg **p = table_bucket(t, hash);

	while (*p != r)
		p = &(*p)->chain[t->which];
	if (instead != NULL) {
		instead->chain[t->which] = r->chain[t->which];
		*p = instead;
	} else {
		*p = r->chain[t->which];
		t->items--;
	}
}

/* --- keys --- */

/* False if no registration can have this key. */
static bool key_init(const struct store *s, struct key *k, const char *user,
    const char *account, const char *token)
{
	k->user = user;
	k->user_len = strlen(user);
	k->account_len = strlen(account);
	k->digits = strlen(token);
	if (k->user_len > REG_USER_MAX || k->account_len > REG_ACCOUNT_MAX ||
	    k->digits > REG_TOKEN_MAX)
		return false;
	memcpy(k->id, account, k->account_len + 1);
	if (!hex_read(token, k->digits, k->id + k->account_len + 1))
		return false;
	k->id_len = k->account_len + 1 + reg_token_len(k->digits);
	k->user_hash = hash_user(s, user, k->user_len);
	/* Two waits for memory in the time of one. */
	__builtin_prefetch(table_bucket(&s->tables[BY_USER], k->user_hash));
	k->hash = hash_id(s, k->user_hash, k->id, k->id_len);
	__builtin_prefetch(table_bucket(&s->tables[BY_KEY], k->hash));
	return true;
}

static struct reg *find(const struct store *s, const struct key *k)
{
	struct reg *r = *table_bucket(&s->tables[BY_KEY], k->hash);

	for (; r != NULL; r = r->chain[BY_KEY])
		if (r->digits == k->digits &&
		    r->account_len == k->account_len &&
		    r->user_len == k->user_len &&
		    memcmp(r->tail + reg_id_at(r), k->id, k->id_len) == 0 &&
		    same_user(r, k->user, k->user_len))
			break;
	return r;
}

static struct reg *find_first(
    const struct store *s, const char *user, size_t len, uint64_t hash)
{
	struct reg *r = *table_bucket(&s->tables[BY_USER], hash);

	while (r != NULL && !same_user(r, user, len))
		r = r->chain[BY_USER];
	return r;
}

/* --- mailboxes --- */

static void free_mailboxes(struct reg *r)
{
	char *p;

	if (!(r->flags & REG_FAR))
		return;
	memcpy(&p, r->tail + reg_mailboxes_at(r), sizeof(p));
	free(p);
	r->flags &= (uint16_t)~REG_FAR;
}

static bool same_mailboxes(const struct reg *r, const struct reg_spec *spec)
{
	const char *p = reg_mailboxes(r);
	size_t i;

	if (r->n_mailboxes != spec->n_mailboxes)
		return false;
	for (i = 0; i < spec->n_mailboxes; i++, p += strlen(p) + 1)
		if (strcmp(p, spec->mailboxes[i]) != 0)
			return false;
	return true;
}

static size_t mailboxes_size(const struct reg_spec *spec)
{
	size_t i, n = 0;

	for (i = 0; i < spec->n_mailboxes; i++)
		n += strlen(spec->mailboxes[i]) + 1;
	return n;
}

static void set_mailboxes(struct reg *r, const struct reg_spec *spec)
{
	size_t i, n = mailboxes_size(spec);
	char *p = r->tail + reg_mailboxes_at(r), *far;

	free_mailboxes(r);
	if (n > r->room) {
		far = xmalloc(n);
		memcpy(p, &far, sizeof(far));
		r->flags |= REG_FAR;
		p = far;
	}
	r->n_mailboxes = spec->n_mailboxes & 0x3ff;
	for (i = 0; i < spec->n_mailboxes; i++) {
		n = strlen(spec->mailboxes[i]) + 1;
		memcpy(p, spec->mailboxes[i], n);
		p += n;
	}
}

/* --- putting and dropping --- */

static struct reg *reg_new(const struct key *k, const struct reg_spec *spec)
{
	size_t room = mailboxes_size(spec);
	struct reg *r;

	if (room < sizeof(char *) || room > UINT8_MAX)
		room = sizeof(char *);
	r = xmalloc(
	    offsetof(struct reg, tail) + k->user_len + 1 + k->id_len + room);
	memset(r, 0, offsetof(struct reg, tail));
	r->user_len = (uint8_t)k->user_len;
	r->account_len = (uint8_t)k->account_len;
	r->digits = (uint8_t)k->digits;
	r->room = (uint8_t)room;
	memcpy(r->tail, k->user, k->user_len + 1);
	memcpy(r->tail + reg_id_at(r), k->id, k->id_len);
	return r;
}

static void reg_free(struct reg *r)
{
	free_mailboxes(r);
	free(r);
}

static void link_reg(struct store *s, struct reg *r, const struct key *k)
{
	struct reg *first = find_first(s, k->user, k->user_len, k->user_hash);

	table_add(s, &s->tables[BY_KEY], r, k->hash);
	if (first == NULL) {
		r->flags |= REG_FIRST;
		table_add(s, &s->tables[BY_USER], r, k->user_hash);
		return;
	}
	r->next = first->next;
	r->chain[BY_USER] = first;
	if (r->next != NULL)
		r->next->chain[BY_USER] = r;
	first->next = r;
}

static void unlink_reg(struct store *s, struct reg *r)
{
	table_replace(&s->tables[BY_KEY], r, hash_reg(s, r, BY_KEY), NULL);
	if (r->flags & REG_FIRST) {
		table_replace(
		    &s->tables[BY_USER], r, hash_reg(s, r, BY_USER), r->next);
		if (r->next != NULL)
			r->next->flags |= REG_FIRST;
		return;
	}
	r->chain[BY_USER]->next = r->next;
	if (r->next != NULL)
		r->next->chain[BY_USER] = r->chain[BY_USER];
}

static uint32_t clamp_time(int64_t t)
{
	return t < 0 ? 0 : t > UINT32_MAX ? UINT32_MAX : (uint32_t)t;
}

struct reg *store_upsert(
    struct store *s, const struct reg_spec *spec, bool *changed_r)
{
	struct key k;
	struct reg *r;

	if (!key_init(s, &k, spec->user, spec->account, spec->token))
		return NULL;
	r = find(s, &k);
	*changed_r = r == NULL || !same_mailboxes(r, spec) ||
		     reg_acked(r) != spec->acked;
	if (r == NULL) {
		r = reg_new(&k, spec);
		link_reg(s, r, &k);
	}
	if (*changed_r)
		set_mailboxes(r, spec);
	r->time_s = clamp_time(spec->time_s);
	r->flags &= (uint16_t) ~(REG_ACKED | REG_SUSPENDED);
	if (spec->acked)
		r->flags |= REG_ACKED;
	return r;
}

static void tell_dirty(struct store *s)
{
	if (s->on_dirty != NULL)
		s->on_dirty(s->on_dirty_arg);
}

static void mark_dirty(struct store *s, struct reg *r)
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
	r->flags &= (uint16_t)~REG_DIRTY;
}

struct reg *store_put(struct store *s, const struct reg_spec *spec)
{
	bool changed;
	struct reg *r = store_upsert(s, spec, &changed);
	int64_t since;

	if (r == NULL)
		abort(); /* the caller did not ask reg_spec_check() */
	since = (int64_t)r->time_s - r->written_s;
	/* A clock that went back by a day counts too. */
	if (changed || since >= RENEWAL_WRITE_S || since <= -RENEWAL_WRITE_S)
		mark_dirty(s, r);
	return r;
}

/* Takes r out of all tables and lists. */
static void detach(struct store *s, struct reg *r)
{
	if (s->on_drop != NULL)
		s->on_drop(s->on_drop_arg, r);
	unlink_reg(s, r);
	if (r->flags & REG_DIRTY)
		unmark_dirty(s, r);
	else
		s->live -= r->line;
}

void store_forget(struct store *s, struct reg *r)
{
	detach(s, r);
	reg_free(r);
}

void store_drop(struct store *s, struct reg *r)
{
	detach(s, r);
	if (!(r->flags & REG_ON_DISK)) {
		reg_free(r);
		return;
	}
	free_mailboxes(r);
	r->chain[BY_KEY] = s->gone;
	s->gone = r;
	tell_dirty(s);
}

size_t store_expire(struct store *s, int64_t before_s)
{
	struct table *t = &s->tables[BY_KEY];
	struct reg *r, *next;
	size_t i, n = 0;

	for (i = 0; i < t->n; i++) {
		for (r = t->buckets[i]; r != NULL; r = next) {
			next = r->chain[BY_KEY];
			if (r->time_s < before_s) {
				store_drop(s, r);
				n++;
			}
		}
	}
	return n;
}

/* --- finding and asking --- */

struct reg *store_find(
    struct store *s, const char *user, const char *account, const char *token)
{
	struct key k;

	return key_init(s, &k, user, account, token) ? find(s, &k) : NULL;
}

struct reg *store_first(struct store *s, const char *user)
{
	size_t len = strlen(user);

	if (len > REG_USER_MAX)
		return NULL;
	return find_first(s, user, len, hash_user(s, user, len));
}

/* User by user, so that a rewritten file is a pleasure to read. */
int store_each(struct store *s, int (*cb)(void *arg, struct reg *r), void *arg)
{
	struct table *t = &s->tables[BY_USER];
	struct reg *first, *r;
	size_t i;
	int rc;

	for (i = 0; i < t->n; i++)
		for (first = t->buckets[i]; first != NULL;
		     first = first->chain[BY_USER])
			for (r = first; r != NULL; r = r->next) {
				rc = cb(arg, r);
				if (rc != 0)
					return rc;
			}
	return 0;
}

size_t store_count(const struct store *s)
{
	return s->tables[BY_KEY].items;
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

	s->fd = -1;
	seed(s->seed);
	table_init(&s->tables[BY_KEY], BY_KEY);
	table_init(&s->tables[BY_USER], BY_USER);
	return s;
}

void store_expect(struct store *s, size_t n)
{
	table_presize(&s->tables[BY_KEY], n);
	table_presize(&s->tables[BY_USER], n);
}

void store_free(struct store *s)
{
	struct table *t = &s->tables[BY_KEY];
	struct reg *r, *next;
	size_t i;

	for (i = 0; i < t->n; i++)
		for (r = t->buckets[i]; r != NULL; r = next) {
			next = r->chain[BY_KEY];
			reg_free(r);
		}
	store_free_gone(s);
	free(s->tables[BY_KEY].buckets);
	free(s->tables[BY_USER].buckets);
	free(s->dirty);
	free(s->path);
	free(s);
}

void store_free_gone(struct store *s)
{
	struct reg *r;

	while ((r = s->gone) != NULL) {
		s->gone = r->chain[BY_KEY];
		reg_free(r);
	}
}
