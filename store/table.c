/* store/table.c - all registrations, found by user. */
#include "store/int.h"

#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "mem.h"

#define BUCKETS_FIRST 64 /* a power of two */

/* What struct reg holds of a hash; maxRegistrations is at most 10 million. */
#define HASH_MASK 0xffffff

/* --- hashing: SipHash-1-3, since users may choose names --- */

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(struct sip *s)
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

static void sip_word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	sip_round(s);
	s->v0 ^= m;
}

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

uint32_t table_hash(const struct table *t, const char *name)
{
	struct sip s = { t->seed[0] ^ 0x736f6d6570736575,
		t->seed[1] ^ 0x646f72616e646f6d,
		t->seed[0] ^ 0x6c7967656e657261,
		t->seed[1] ^ 0x7465646279746573 };
	uint64_t m = 0;
	size_t n;

	for (n = 0; name[n] != '\0'; n++) {
		m |= (uint64_t)lower((unsigned char)name[n]) << (n % 8 * 8);
		if (n % 8 == 7) {
			sip_word(&s, m);
			m = 0;
		}
	}
	sip_word(&s, m | (uint64_t)n << 56);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return (uint32_t)(s.v0 ^ s.v1 ^ s.v2 ^ s.v3) & HASH_MASK;
}

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

/* --- the table --- */

void table_init(struct table *t)
{
	seed(t->seed);
	t->n = 0;
	t->n_buckets = BUCKETS_FIRST;
	t->buckets = xcalloc(t->n_buckets, sizeof(*t->buckets));
}

static struct reg **bucket(const struct table *t, uint32_t hash)
{
	return &t->buckets[hash & (t->n_buckets - 1)];
}

/* Twice as many buckets: each is divided into itself and its copy in the upper
 * half, in the order that it has. */
static void grow(struct table *t)
{
	size_t n = t->n_buckets, i;
	struct reg **low, **high, *r;

	t->n_buckets = 2 * n;
	t->buckets = xrealloc(t->buckets, t->n_buckets * sizeof(*t->buckets));
	for (i = 0; i < n; i++) {
		r = t->buckets[i];
		low = &t->buckets[i];
		high = &t->buckets[i + n];
		for (; r != NULL; r = r->next) {
			if (r->hash & n) {
				*high = r;
				high = &r->next;
			} else {
				*low = r;
				low = &r->next;
			}
		}
		*low = NULL;
		*high = NULL;
	}
}

struct reg *table_find(const struct table *t, struct reg *r)
{
	struct reg *found;

	r->hash = table_hash(t, reg_user(r));
	found = *bucket(t, r->hash);
	while (found != NULL && !reg_same_key(found, r))
		found = found->next;
	return found;
}

void table_add(struct table *t, struct reg *r)
{
	struct reg **b;

	if (t->n++ == t->n_buckets)
		grow(t);
	b = bucket(t, r->hash);
	while (*b != NULL && !reg_same_user(*b, r))
		b = &(*b)->next;
	r->next = *b;
	*b = r;
}

void table_remove(struct table *t, struct reg *r)
{
	struct reg **b = bucket(t, r->hash);

	while (*b != r)
		b = &(*b)->next;
	*b = r->next;
	t->n--;
}

/* --- finding --- */

struct reg *store_first(struct store *s, const char *user)
{
	uint32_t hash = table_hash(&s->table, user);
	struct reg *r = *bucket(&s->table, hash);

	while (r != NULL &&
	       (r->hash != hash || strcasecmp(reg_user(r), user) != 0))
		r = r->next;
	return r;
}

struct reg *reg_next(const struct reg *r)
{
	return r->next != NULL && reg_same_user(r->next, r) ? r->next : NULL;
}

struct reg *store_find(
    struct store *s, const char *user, const char *account, const char *token)
{
	char packed[TOKEN_BYTES];
	size_t digits = strlen(token);
	struct reg *r;

	if (!reg_pack_token(token, digits, packed))
		return NULL;
	r = store_first(s, user);
	while (r != NULL && !reg_has_key(r, account, packed, digits))
		r = reg_next(r);
	return r;
}

/* User by user, so that a rewritten file is easy to read. */
static int each(
    const struct table *t, int (*cb)(void *arg, struct reg *r), void *arg)
{
	struct reg *r;
	size_t i;
	int rc;

	for (i = 0; i < t->n_buckets; i++)
		for (r = t->buckets[i]; r != NULL; r = r->next) {
			rc = cb(arg, r);
			if (rc != 0)
				return rc;
		}
	return 0;
}

int store_each(struct store *s, int (*cb)(void *arg, struct reg *r), void *arg)
{
	return each(&s->table, cb, arg);
}

int store_each_gone(
    struct store *s, int (*cb)(void *arg, struct reg *r), void *arg)
{
	return each(&s->graves, cb, arg);
}

size_t store_count(const struct store *s)
{
	return s->table.n;
}

size_t store_count_kind(const struct store *s, enum reg_kind kind)
{
	size_t i, n = s->table.n;

	if (kind != REG_APPLE)
		return s->kinds[kind];
	for (i = 0; i < REG_KINDS; i++)
		n -= s->kinds[i];
	return n;
}

size_t store_gone_count(const struct store *s)
{
	return s->graves.n;
}

void store_set_shared(struct store *s, struct reg *r, bool is_shared)
{
	if (is_shared == reg_shared(r))
		return;
	s->n_shared += is_shared ? 1 : (size_t)-1;
	r->flags ^= REG_SHARED;
}

size_t store_unshared(const struct store *s)
{
	return s->table.n + s->graves.n - s->n_shared;
}

/* A growing table moves nothing to a lower bucket, and tables never shrink:
 * what was not shown yet is at the cursor or above. */
static void scan(const struct table *t, size_t *cursor,
    void (*cb)(void *arg, struct reg *r), void *arg)
{
	struct reg *r = *cursor < t->n_buckets ? t->buckets[*cursor] : NULL;

	for (; r != NULL; r = r->next)
		cb(arg, r);
	if (++*cursor >= t->n_buckets)
		*cursor = 0;
}

void store_scan(struct store *s, size_t *cursor,
    void (*cb)(void *arg, struct reg *r), void *arg)
{
	scan(&s->table, cursor, cb, arg);
}

void store_scan_gone(struct store *s, size_t *cursor,
    void (*cb)(void *arg, struct reg *r), void *arg)
{
	scan(&s->graves, cursor, cb, arg);
}
