/* store/limit.c - how many, how often and how long: what keeps memory, flash and
 * the file within bounds, and what a wrong clock must not do. */
#include "store/int.h"

#include <stdlib.h>

#include "tls.h"

/* A renewal that changes only the time wears the flash once a day; of a short
 * registrationTtl a quarter, for the file's times count after a start. */
#define RENEWAL_WRITE_S 86400

#define HOUR_S 3600
#define DAY_S 86400

/* A device that is well registers every 23 hours. */
#define GRACE_S (3 * DAY_S)
#define REPLACED_HOURS (3 * 24)

/* --- the clock --- */

static int stamp(void *arg, struct reg *r)
{
	struct store *s = arg;

	if (r->flags & REG_UNSTAMPED) {
		r->flags &= (uint8_t)~REG_UNSTAMPED;
		r->time_s = (uint32_t)s->wall_s;
		store_mark_dirty(s, r);
	}
	return 0;
}

bool store_clock(struct store *s, int64_t wall_s, int64_t mono_s)
{
	int64_t step = (wall_s - mono_s) - (s->wall_s - s->mono_s);

	if (!s->has_clock || step > HOUR_S || step < -HOUR_S)
		s->grace_s = mono_s + GRACE_S;
	s->has_clock = true;
	s->wall_s = wall_s;
	s->mono_s = mono_s;
	if (wall_s < TLS_CLOCK_MIN_S)
		return false;
	if (s->is_unstamped) {
		s->is_unstamped = false;
		store_each(s, stamp, s);
	}
	return true;
}

/* --- expiry --- */

/* Hours that go round, 1 to 255. */
static uint8_t hour(const struct store *s)
{
	return (uint8_t)(s->mono_s / HOUR_S % 255 + 1);
}

static bool has_newer_account(const struct reg *r)
{
	const struct reg *o = r;
	char mine[REG_TOKEN_MAX + 1], token[REG_TOKEN_MAX + 1];

	if (r->prev == NULL && r->next == NULL)
		return false;
	reg_token(r, mine);
	while (o->prev != NULL)
		o = o->prev;
	for (; o != NULL; o = o->next)
		if (o->time_s > r->time_s && o->digits == r->digits &&
		    strcmp(reg_account(o), reg_account(r)) != 0 &&
		    strcmp(reg_token(o, token), mine) == 0)
			return true;
	return false;
}

/* Its device came back with another account, and not with this one for three
 * days: the account was set up anew. */
static bool is_replaced(const struct store *s, struct reg *r)
{
	uint8_t now = hour(s);

	if (!has_newer_account(r))
		r->replaced = 0;
	else if (r->replaced == 0)
		r->replaced = now;
	else
		return (now + 255 - r->replaced) % 255 >= REPLACED_HOURS;
	return false;
}

static bool is_over(struct store *s, struct reg *r, bool in_grace)
{
	bool replaced = is_replaced(s, r);

	if (in_grace || r->flags & REG_UNSTAMPED)
		return false;
	/* Written under a clock that ran ahead: its time begins now. */
	if (r->time_s > s->wall_s + DAY_S) {
		r->time_s = (uint32_t)s->wall_s;
		store_mark_dirty(s, r);
	}
	return replaced || r->time_s < s->wall_s - s->limits.ttl_s;
}

size_t store_expire(struct store *s)
{
	bool in_grace = s->mono_s < s->grace_s;
	const struct table *t = s->tables;
	struct reg *r, *next;
	size_t i, n = 0;

	if (s->wall_s < TLS_CLOCK_MIN_S)
		return 0;
	/* Firsts last: who takes the place of one is not to be dropped. */
	for (; t < s->tables + N_TABLES; t++) {
		for (i = 0; i < t->n; i++) {
			for (r = t->buckets[i]; r != NULL; r = next) {
				next = r->chain;
				if (is_over(s, r, in_grace)) {
					store_drop(s, r);
					n++;
				}
			}
		}
	}
	return n;
}

/* --- how many --- */

void store_set_limits(struct store *s, const struct store_limits *limits)
{
	s->limits = *limits;
}

static uint64_t bytes_max(const struct store *s)
{
	uint64_t max = (uint64_t)s->limits.registrations * STORE_BYTES_EACH;

	if (s->limits.registrations == 0)
		return UINT64_MAX;
	return max < STORE_BYTES_MIN ? STORE_BYTES_MIN : max;
}

void store_full(const struct store *s, char err[ERR_MAX])
{
	if (store_count(s) >= s->limits.registrations)
		err_set(err,
		    "there are %zu registrations, maxRegistrations allows no "
		    "more",
		    store_count(s));
	else
		err_set(err,
		    "the registrations take %llu KiB, maxRegistrations (of %d "
		    "bytes each) allows no more",
		    (unsigned long long)s->bytes / 1024, STORE_BYTES_EACH);
}

static void evict(struct store *s, struct reg *r)
{
	char token[REG_TOKEN_MAX + 1], shown[LOG_TOKEN_MAX];

	log_warn("register: %s: %s: removed: more than %zu devices of this "
		 "user (maxDevices), it was renewed longest ago",
	    reg_user(r), log_token(reg_token(r, token), shown),
	    s->limits.devices);
	store_drop(s, r);
}

/* For the user's others to be no more than that. */
static void limit_devices(
    struct store *s, const struct entry *e, const struct reg *keep)
{
	struct reg *r, *oldest;
	size_t n;

	do {
		oldest = NULL;
		n = 1;
		for (r = store_first(s, e->tail); r != NULL; r = r->next) {
			if (r == keep)
				continue;
			n++;
			if (oldest == NULL ||
			    ((oldest->flags & REG_UNSTAMPED) &&
				!(r->flags & REG_UNSTAMPED)) ||
			    (((oldest->flags ^ r->flags) & REG_UNSTAMPED) ==
				    0 &&
				r->time_s < oldest->time_s))
				oldest = r;
		}
		if (n > s->limits.devices)
			evict(s, oldest);
	} while (n > s->limits.devices + 1);
}

bool store_has_place(struct store *s, const struct reg_spec *spec)
{
	const struct reg *r = store_first(s, spec->user);
	size_t newer = 0;

	for (; r != NULL; r = r->next)
		newer += r->time_s >= spec->time_s ||
			 (r->flags & REG_UNSTAMPED) != 0;
	return s->limits.devices == 0 || newer < s->limits.devices;
}

bool store_make_room(struct store *s, const struct entry *e, struct reg *r)
{
	size_t was = r != NULL ? reg_boxes_bytes(r) : 0;
	uint64_t more = store_boxes_bytes(
	    e->tail + e->key_len, e->n_mailboxes, e->mailboxes_len);

	if (r == NULL)
		more += offsetof(struct reg, tail) + e->key_len;
	if (more > was && s->bytes + more - was > bytes_max(s))
		return false;
	if (s->limits.devices > 0)
		limit_devices(s, e, r);
	return r != NULL || s->limits.registrations == 0 ||
	       store_count(s) < s->limits.registrations;
}

/* --- how often --- */

static int release(void *arg, struct reg *r)
{
	struct store *s = arg;

	if (r->flags & REG_HELD) {
		r->flags &= (uint8_t)~REG_HELD;
		/* So that an hour later it is still held. */
		r->changes = (2 * s->limits.changes) & 0x3f;
		store_mark_dirty(s, r);
	}
	return 0;
}

bool store_holds(const struct store *s)
{
	return s->is_held;
}

void store_release(struct store *s)
{
	if (!s->is_held)
		return;
	s->is_held = false;
	store_each(s, release, s);
}

/* True if it changes more often than it may be written: `changes` counts the
 * writings, and those of an hour less with every hour since the last one. */
static bool is_restless(struct store *s, struct reg *r)
{
	unsigned max = s->limits.changes, level = r->changes;
	int64_t since = (int64_t)r->time_s - r->written_s, less;

	if (r->flags & REG_HELD)
		return true;
	if (max == 0 || !(r->flags & REG_ON_DISK) || r->flags & REG_DIRTY)
		return false;
	if (since < 0 || since > 2 * HOUR_S)
		since = 2 * HOUR_S;
	less = since * max / HOUR_S;
	level = level > less ? level - (unsigned)less : 0;
	if (level >= max)
		return true;
	r->changes = (level + 1) & 0x3f;
	return false;
}

void store_mark_put(struct store *s, struct reg *r, bool changed)
{
	int64_t since = (int64_t)r->time_s - r->written_s;
	int64_t ttl_s = s->limits.ttl_s, due = RENEWAL_WRITE_S;

	if (ttl_s > 0 && ttl_s / 4 < due)
		due = ttl_s / 4 > 0 ? ttl_s / 4 : 1;
	if (changed && is_restless(s, r)) {
		r->flags |= REG_HELD;
		s->is_held = true;
		return;
	}
	/* A clock that went back by a day counts too. */
	if (changed || !(r->flags & REG_ON_DISK) || since >= due ||
	    since <= -due)
		store_mark_dirty(s, r);
}
