/* store/limit.c - limits: how many registrations, how often and how long.  They
 * bound memory, flash wear and the file.  It decides; store.c acts. */
#include "store/int.h"

#include <string.h>

/* A renewal that changes only the time is written at most once a day, since
 * flash memory wears out; more often with a short registrationTtl, since after
 * a start only the times in the file are known. */
#define RENEWAL_WRITE_S 86400

#define HOUR_S 3600
#define REPLACED_HOURS (3 * 24) /* a healthy device registers every 23 */

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

bool limit_bytes_ok(
    const struct store *s, const struct reg *new, const struct reg *r)
{
	size_t more = reg_bytes(new), less = r != NULL ? reg_bytes(r) : 0;

	return more <= less || s->bytes + more - less <= bytes_max(s);
}

bool limit_count_ok(const struct store *s)
{
	return s->limits.registrations == 0 ||
	       store_count(s) < s->limits.registrations;
}

void store_explain_full(const struct store *s, char err[ERR_MAX])
{
	if (!limit_count_ok(s))
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

/* A registration without a time was renewed after the clock was lost, so it is
 * newer.  Of two with the same time, the one further back in the user's list is
 * older. */
static bool is_older(const struct reg *a, const struct reg *b)
{
	if ((a->flags ^ b->flags) & REG_UNSTAMPED)
		return b->flags & REG_UNSTAMPED;
	if (a->flags & REG_UNSTAMPED)
		return true;
	return reg_time_ms(a, false) <= reg_time_ms(b, false);
}

struct reg *limit_surplus(
    struct store *s, const struct reg *new, const struct reg *r)
{
	struct reg *o, *oldest = NULL;
	size_t n = 1;

	if (s->limits.devices == 0)
		return NULL;
	for (o = store_first(s, reg_user(new)); o != NULL; o = reg_next(o)) {
		if (o == r)
			continue;
		n++;
		if (oldest == NULL || is_older(o, oldest))
			oldest = o;
	}
	return n > s->limits.devices ? oldest : NULL;
}

/* False for what is imported and older: clocks of nodes differ by less. */
static bool may_replace(const struct reg *new, const struct reg *o)
{
	return new->flags &REG_UNSTAMPED || o->time_s <= new->time_s + HOUR_S;
}

struct reg *limit_renamed(
    struct store *s, const struct reg *new, const struct reg *r)
{
	enum reg_kind kind = reg_kind(new);
	struct reg *o = NULL;

	/* Other nodes say themselves what they have replaced. */
	if (kind != REG_APPLE && !s->is_merging &&
	    !reg_has_account(new, reg_kind_name(kind)))
		o = store_first(s, reg_user(new));
	while (o != NULL &&
	       (o == r || reg_kind(o) != kind ||
		   reg_compare_accounts(o, new) != 0 || !may_replace(new, o)))
		o = reg_next(o);
	return o;
}

bool limit_admits(struct store *s, const char *user, int64_t t_ms)
{
	const struct reg *r = store_first(s, user);
	size_t newer = 0;

	for (; r != NULL; r = reg_next(r))
		newer +=
		    reg_time_ms(r, false) >= t_ms || r->flags & REG_UNSTAMPED;
	return s->limits.devices == 0 || newer < s->limits.devices;
}

/* --- how long --- */

#define DELTACHAT_TTL_S (90 * 86400) /* as chatmail servers keep them */

/* Who sends to the others says when one has ended. */
bool limit_is_old(const struct store *s, enum reg_kind kind, int64_t time_s)
{
	switch (kind) {
	case REG_APPLE:
		return time_s < s->wall_s - s->limits.ttl_s;
	case REG_DELTACHAT:
		return time_s < s->wall_s - DELTACHAT_TTL_S;
	default:
		return false;
	}
}

/* Hours modulo 255, 1 to 255. */
static uint8_t hour_of(const struct store *s)
{
	return (uint8_t)(s->mono_s / HOUR_S % 255 + 1);
}

static bool has_newer_account(struct store *s, const struct reg *r)
{
	const struct reg *o = store_first(s, reg_user(r));

	for (; o != NULL; o = reg_next(o))
		if (o->time_s > r->time_s && reg_same_device(o, r) &&
		    reg_compare_accounts(o, r) != 0)
			return true;
	return false;
}

bool limit_is_replaced(struct store *s, struct reg *r)
{
	uint8_t now = hour_of(s);

	if (r->flags & REG_OTHER || !has_newer_account(s, r))
		r->replaced = 0;
	else if (r->replaced == 0)
		r->replaced = now;
	else
		return (now + 255 - r->replaced) % 255 >= REPLACED_HOURS;
	return false;
}

/* --- how often --- */

/* True if it changes more often than it may be written: `changes` counts the
 * writes, less what is allowed for the time since the last one. */
static bool changes_too_often(const struct store *s, struct reg *r)
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

enum limit_write limit_write(const struct store *s, struct reg *r, bool changed)
{
	int64_t since = (int64_t)r->time_s - r->written_s;
	int64_t ttl_s = s->limits.ttl_s, due = RENEWAL_WRITE_S;

	if (ttl_s > 0 && ttl_s / 4 < due)
		due = ttl_s / 4 > 0 ? ttl_s / 4 : 1;
	if (changed && changes_too_often(s, r))
		return WRITE_HELD;
	/* Also if the clock went back by a day. */
	return changed || !(r->flags & REG_ON_DISK) || since >= due ||
		       since <= -due
		   ? WRITE_NOW
		   : WRITE_NOT;
}
