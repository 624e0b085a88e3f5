/* store.c - puts and drops registrations, and keeps what the file lacks. */
#include "store.h"

#include <stdlib.h>

#include "clock.h"
#include "mem.h"
#include "store/int.h"

#define HOUR_S 3600
#define DAY_S 86400

/* No expiry after the clock was set: a healthy device registers every 23 hours. */
#define GRACE_S (3 * DAY_S)

/* --- the whole --- */

struct store *store_new(void)
{
	struct store *s = xcalloc(1, sizeof(*s));

	s->fd = -1;
	table_init(&s->table);
	topic_init(s);
	return s;
}

void store_free_gone(struct store *s)
{
	struct reg *r;

	while ((r = s->gone) != NULL) {
		s->gone = r->next;
		reg_free(r);
	}
}

void store_free(struct store *s)
{
	struct reg *r;
	size_t i;

	for (i = 0; i < s->table.n_buckets; i++)
		while ((r = s->table.buckets[i]) != NULL) {
			s->table.buckets[i] = r->next;
			owner_unwatch(s, r);
			reg_free(r);
		}
	free(s->table.buckets);
	for (i = 0; i < s->graves.n_buckets; i++)
		while ((r = s->graves.buckets[i]) != NULL) {
			s->graves.buckets[i] = r->next;
			reg_free(r);
		}
	free(s->graves.buckets);
	store_free_gone(s);
	topic_free_all(s);
	free(s->dirty);
	free(s->path);
	free(s);
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

void store_on_change(struct store *s,
    void (*cb)(void *arg, struct reg *r, enum store_change change), void *arg)
{
	s->on_change = cb;
	s->on_change_arg = arg;
}

static void report_change(
    struct store *s, struct reg *r, enum store_change change)
{
	if (s->on_change != NULL && !s->is_merging)
		s->on_change(s->on_change_arg, r, change);
}

/* --- what waits for the file --- */

static void report_dirty(struct store *s)
{
	if (s->on_dirty != NULL)
		s->on_dirty(s->on_dirty_arg);
}

static void mark_dirty(struct store *s, struct reg *r)
{
	report_dirty(s);
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

/* --- putting --- */

static void add(struct store *s, struct reg *r)
{
	table_add(&s->table, r);
	owner_watch(s, r);
	topic_count(s, r, 1);
	s->bytes += reg_bytes(r);
}

static void set_mailboxes(
    struct store *s, struct reg *r, const struct reg *from)
{
	s->bytes -= reg_bytes(r);
	owner_unwatch(s, r);
	reg_take_mailboxes(r, from);
	owner_watch(s, r);
	s->bytes += reg_bytes(r);
}

/* While the clock is not set, the old time stays.  So it does if it came from a
 * node whose clock is ahead of ours: what a phone says last is the newest, also
 * if this node is cut off and nobody else can say so. */
static void set_time(
    const struct store *s, struct reg *r, const struct reg *from)
{
	r->replaced = 0;
	if (s->on_change != NULL && !s->is_merging &&
	    !(from->flags & REG_UNSTAMPED) && from->time_s < r->time_s &&
	    r->time_s - from->time_s < HOUR_S) {
		r->flags &= (uint8_t)~REG_UNSTAMPED;
		r->time_s += r->part == PART_UNKNOWN;
		return;
	}
	/* In the same second the new step will be a later one. */
	if (from->time_s != r->time_s)
		r->part = PART_UNKNOWN;
	if (from->flags & REG_UNSTAMPED) {
		r->flags |= REG_UNSTAMPED;
	} else {
		r->flags &= (uint8_t)~REG_UNSTAMPED;
		r->time_s = from->time_s;
	}
}

struct reg *store_replace(
    struct store *s, struct reg *r, struct reg *new, bool *changed_r)
{
	bool same_to, same;

	if (new->flags & REG_UNSTAMPED)
		s->is_unstamped = true;
	*changed_r = true;
	if (r == NULL) {
		grave_open(s, grave_find(s, new));
		add(s, new);
		return new;
	}
	same_to = reg_same_to(r, new);
	same = same_to && mailboxes_same(r, new);
	*changed_r = reg_acked(r) != reg_acked(new) || r->topic != new->topic ||
		     !same_to || (!same && !mailboxes_same_set(r, new));
	topic_count(s, r, -1);
	if (!same)
		set_mailboxes(s, r, new);
	r->topic = new->topic;
	topic_count(s, r, 1);
	set_time(s, r, new);
	/* The registration renewed last comes first in its user's list: of
	 * those with the same time, the last one is dropped first. */
	table_remove(&s->table, r);
	table_add(&s->table, r);
	s->suspended -= reg_suspended(r);
	r->flags &= (uint8_t) ~(REG_ACKED | REG_SUSPENDED);
	r->flags |= new->flags &REG_ACKED;
	reg_free(new);
	return r;
}

/* The device is back, though by a clock that is behind it was not gone yet. */
static void set_after(struct reg *new, const struct reg *grave)
{
	int64_t t_ms;

	if (grave == NULL || new->flags & REG_UNSTAMPED ||
	    new->time_s > grave->time_s || grave->time_s - new->time_s > HOUR_S)
		return;
	t_ms = reg_gone_ms(grave) + REG_STEP_MS - 2;
	new->time_s = (uint32_t)(t_ms / 1000);
	reg_set_ms(new, t_ms);
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

/* Drops what has to go for `new`, which replaces r (NULL: nothing). */
static bool make_space(struct store *s, const struct reg *new, struct reg *r)
{
	struct reg *surplus, *renamed = limit_renamed(s, new, r);

	if (!limit_bytes_ok(s, new, r != NULL ? r : renamed))
		return false;
	for (; renamed != NULL; renamed = limit_renamed(s, new, r))
		store_drop(s, renamed);
	while ((surplus = limit_surplus(s, new, r)) != NULL)
		evict(s, surplus);
	return r != NULL || limit_count_ok(s);
}

/* Takes `new`, which replaces r (NULL: nothing). */
static struct reg *put(struct store *s, struct reg *new, struct reg *r)
{
	bool changed;

	if (!make_space(s, new, r)) {
		reg_free(new);
		return NULL;
	}
	if (r == NULL && !s->is_merging)
		set_after(new, grave_find(s, new));
	r = store_replace(s, r, new, &changed);
	switch (limit_write(s, r, changed)) {
	case WRITE_HELD:
		r->flags |= REG_HELD;
		s->is_held = true;
		break;
	case WRITE_NOW:
		mark_dirty(s, r);
		break;
	case WRITE_NOT:
		break;
	}
	store_set_shared(s, r, false);
	report_change(s, r, STORE_PUT);
	return r;
}

struct reg *store_put(struct store *s, const struct reg_spec *spec)
{
	struct reg *new = reg_new(spec), *r = table_find(&s->table, new);

	/* A request without a topic leaves it as it is. */
	if (spec->topic != NULL)
		new->topic = topic_index(s, spec->topic);
	else if (r != NULL && spec->kind == REG_APPLE)
		new->topic = r->topic;
	return put(s, new, r);
}

struct reg *store_set_to(
    struct store *s, struct reg *r, const char *to, int64_t time_s)
{
	return put(s, reg_with_to(r, to, time_s), r);
}

void store_suspend(struct store *s, struct reg *r)
{
	s->suspended += !reg_suspended(r);
	r->flags |= REG_SUSPENDED;
	report_change(s, r, STORE_SUSPENDED);
}

size_t store_suspended(const struct store *s)
{
	return s->suspended;
}

/* --- dropping --- */

/* Takes r out of all tables and lists. */
static void detach(struct store *s, struct reg *r)
{
	if (s->on_drop != NULL)
		s->on_drop(s->on_drop_arg, r);
	store_set_shared(s, r, false);
	table_remove(&s->table, r);
	owner_unwatch(s, r);
	topic_count(s, r, -1);
	s->suspended -= reg_suspended(r);
	s->bytes -= reg_bytes(r);
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

void store_write_gone(struct store *s, struct reg *r)
{
	r->next = s->gone;
	s->gone = r;
	report_dirty(s);
}

/* One that is not renewed may be older than other nodes remember a removal, so
 * this counts from now; less what their clocks may differ by. */
static void set_drop_time(const struct store *s, struct reg *r)
{
	int64_t t_s = s->wall_s - HOUR_S;

	if (r->flags & REG_OTHER && !(r->flags & REG_UNSTAMPED) &&
	    !s->is_merging && r->time_s < t_s) {
		r->time_s = (uint32_t)t_s;
		r->part = PART_UNKNOWN;
	}
}

void store_drop(struct store *s, struct reg *r)
{
	struct reg *grave = NULL;

	set_drop_time(s, r);
	report_change(s, r, STORE_GONE);
	if (s->on_change != NULL && !s->is_merging && reg_time_known(r))
		grave = grave_dig(s, r, reg_gone_ms(r));
	if (grave != NULL)
		store_set_shared(s, grave, reg_shared(r));
	if (!(r->flags & REG_ON_DISK) && grave == NULL) {
		store_forget(s, r);
		return;
	}
	detach(s, r);
	store_write_gone(s, r);
}

/* --- the clock --- */

static int stamp(void *arg, struct reg *r)
{
	struct store *s = arg;

	if (r->flags & REG_UNSTAMPED) {
		r->flags &= (uint8_t)~REG_UNSTAMPED;
		r->time_s = (uint32_t)s->wall_s;
		mark_dirty(s, r);
		report_change(s, r, STORE_PUT);
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
	if (wall_s < CLOCK_MIN_S)
		return false;
	if (s->is_unstamped) {
		s->is_unstamped = false;
		store_each(s, stamp, s);
	}
	return true;
}

static bool is_over(struct store *s, struct reg *r)
{
	bool replaced = limit_is_replaced(s, r);

	if (s->mono_s < s->grace_s || r->flags & REG_UNSTAMPED)
		return false;
	/* Written while the clock was ahead: counts from now. */
	if (r->time_s > s->wall_s + DAY_S) {
		r->time_s = (uint32_t)s->wall_s;
		mark_dirty(s, r);
	}
	return replaced || limit_is_old(s, reg_kind(r), r->time_s);
}

size_t store_expire(struct store *s)
{
	struct reg *r, *next;
	size_t i, n = 0;

	if (s->wall_s < CLOCK_MIN_S)
		return 0;
	for (i = 0; i < s->table.n_buckets; i++)
		for (r = s->table.buckets[i]; r != NULL; r = next) {
			next = r->next;
			if (is_over(s, r)) {
				store_drop(s, r);
				n++;
			}
		}
	if (s->mono_s >= s->grace_s)
		grave_expire(s);
	return n;
}

/* --- registrations that change all the time --- */

static int release(void *arg, struct reg *r)
{
	struct store *s = arg;

	if (r->flags & REG_HELD) {
		r->flags &= (uint8_t)~REG_HELD;
		/* One write less, so that it is still held an hour later. */
		r->changes = (2 * s->limits.changes) & 0x3f;
		mark_dirty(s, r);
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
