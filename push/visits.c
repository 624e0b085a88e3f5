/* push/visits.c - see push/visits.h. */
#include "push/int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "mem.h"
#include "store.h"

#define WINDOW VISITS_WINDOW_TICKS
#define SLOT VISITS_SLOT_TICKS
/* Pushes so soon after a wake-up's first one belong to it. */
#define RUN_TICKS (120 * DAY_TICKS_S)
#define SPAN_TICKS (4 * DAY_TICKS_S)
#define SILENT_S (7 * 24 * 60 * 60)

#define WAITING_MAX 31
#define UNANSWERED_MAX 255

/* --- the clock --- */

/* Ticks and seconds of registrations wrap after 3 and 2 years: what is older looks
 * newer. */
#define MASK(bits) ((UINT32_C(1) << (bits)) - 1)

int64_t visits_tick(const struct visits *v, int64_t now_ms)
{
	return (now_ms - v->start_ms) * DAY_TICKS_S / 1000;
}

static int64_t age_ticks(int64_t now, uint32_t then)
{
	return (int64_t)(((uint32_t)now - then) & MASK(30));
}

static uint32_t second(int64_t now)
{
	uint32_t s = (uint32_t)(now / DAY_TICKS_S) & MASK(26);

	return s + (s == 0); /* which says that there is none */
}

static int64_t age_s(int64_t now, uint32_t then)
{
	return (int64_t)((second(now) - then) & MASK(26));
}

/* --- what is over --- */

/* A wake-up that began then is over: did anybody report visits at its end? */
static bool is_counted(const struct visits *v, int64_t began)
{
	return v->first != 0 && began + WINDOW > v->first;
}

static int64_t close_slots(struct visits *v, int64_t now_ms)
{
	int64_t now = visits_tick(v, now_ms);
	uint32_t *n;

	day_begin(&v->day, now);
	for (; (v->slot + 1) * SLOT + WINDOW <= now; v->slot++) {
		n = &v->open[v->slot % VISITS_SLOTS];
		if (*n > 0 && is_counted(v, v->slot * SLOT)) {
			v->n.missed += *n;
			day_add(&v->day, v->slot * SLOT, 0, *n);
		}
		*n = 0;
	}
	return now;
}

void visits_judge(struct visits *v, int64_t now_ms)
{
	close_slots(v, now_ms);
	v->n.missed_day = day_missed(&v->day);
	v->n.silent = v->silent;
}

/* The pushes of a wake-up that began then. */
static uint32_t *open_at(struct visits *v, int64_t began)
{
	int64_t slot = began / SLOT;

	return &v->open[(slot > v->slot ? slot : v->slot) % VISITS_SLOTS];
}

static bool is_in_time(const struct reg_past *p, int64_t now)
{
	return p->waiting > 0 && age_ticks(now, p->first) <= WINDOW;
}

/* The open wake-up ends without a visit. */
static void end_unanswered(
    const struct visits *v, struct reg_past *p, int64_t now)
{
	unsigned n = p->unanswered;

	if (is_counted(v, now - age_ticks(now, p->first)))
		n += p->waiting;
	p->unanswered = n < UNANSWERED_MAX ? n & 0xff : UNANSWERED_MAX;
	p->waiting = 0;
}

/* --- silent users --- */

static bool is_silent(struct visits *v, const struct reg *r)
{
	struct reg *other = store_first(v->store, reg_user(r));

	while (other != NULL && !reg_past(other)->silent)
		other = reg_next(other);
	return other != NULL;
}

/* Nobody has come for the wake-up that ends. */
static void note_silence(struct visits *v, struct reg *r, int64_t now)
{
	struct reg_past *p = reg_past(r);
	int64_t s = age_s(now, p->seen);

	if (p->silent || p->unanswered == 0 || s < SILENT_S ||
	    reg_kind(r) != REG_APPLE ||
	    (now - v->first) / DAY_TICKS_S < SILENT_S)
		return;
	if (!is_silent(v, r)) {
		v->silent++;
		log_info("push: %s: not seen for %d days, though Apple took "
			 "pushes: `xapsd doctor %s` says what to look at",
		    reg_user(r), (int)(s / (24 * 60 * 60)), reg_user(r));
	}
	p->silent = 1;
}

/* --- pushes --- */

static void begin_wakeup(
    struct visits *v, struct reg *r, int64_t sent, int64_t now)
{
	struct reg_past *p = reg_past(r);
	bool over = p->waiting > 0 && !is_in_time(p, now);

	end_unanswered(v, p, now);
	if (over)
		note_silence(v, r, now);
	p->first = (uint32_t)sent & MASK(30);
	p->span = 0;
	if (p->seen == 0) {
		p->seen = second(now) & MASK(26);
		p->unseen = 1;
	}
}

static void count_wakeup(struct visits *v, int64_t ticks)
{
	unsigned i = 0;

	while (i < PUSH_N_WAKEUPS - 1 &&
	       ticks > push_wakeup_limits_s[i] * DAY_TICKS_S)
		i++;
	v->n.wakeups[i]++;
	v->n.wakeups_ms += (uint64_t)ticks * (1000 / DAY_TICKS_S);
	v->n.n_wakeups++;
	day_add_wakeup(&v->day, ticks);
}

static int64_t set_wakeup(struct reg_past *p, int64_t ticks)
{
	if (ticks > WINDOW)
		ticks = WINDOW;
	if (ticks < 1)
		ticks = 1;
	p->wakeup = (uint32_t)ticks & MASK(13);
	return ticks;
}

void visits_taken(
    struct visits *v, struct reg *r, int64_t sent, int64_t came, int64_t now_ms)
{
	struct reg_past *p = reg_past(r);
	int64_t now = close_slots(v, now_ms), since;

	day_add(&v->day, now, 1, 0);
	/* Most of what is not Apple's never says that it has come. */
	if (reg_kind(r) != REG_APPLE && (p->seen == 0 || p->unseen)) {
		p->first = (uint32_t)sent & MASK(30);
		return;
	}
	since = age_ticks(sent, p->first);
	if (p->waiting > 0 && since <= RUN_TICKS)
		p->span = (uint32_t)(since / SPAN_TICKS) & MASK(5);
	else
		begin_wakeup(v, r, sent, now);
	if (came == VISITS_NOBODY && p->waiting < WAITING_MAX) {
		p->waiting++;
		++*open_at(v, now - age_ticks(now, p->first));
	} else if (came > VISITS_EARLIER) {
		count_wakeup(v, set_wakeup(p, came - sent));
	} else if (came < 0) {
		set_wakeup(p, -came - sent);
	}
}

void visits_notified(
    struct visits *v, struct reg *r, bool watched, int64_t now_ms)
{
	struct reg_past *p = reg_past(r);

	p->notified = second(visits_tick(v, now_ms)) & MASK(26);
	p->unwatched = !watched;
}

/* --- names, each kept once --- */

#define SWEEP_TICKS (60 * 60 * DAY_TICKS_S)

/* The index + 1 of VISITS_TAKEN, see visits_init(). */
#define TAKEN 1

/* Which are used, by their index + 1. */
struct used {
	bool clients[VISITS_NAMES + 1], answers[VISITS_NAMES + 1];
};

static int mark_used(void *arg, struct reg *r)
{
	struct used *u = arg;

	u->clients[reg_past(r)->client] = true;
	u->answers[reg_past(r)->answer] = true;
	return 0;
}

static void free_unused(char *names[VISITS_NAMES], const bool *used)
{
	size_t i;

	for (i = 0; i < VISITS_NAMES; i++)
		if (!used[i + 1]) {
			free(names[i]);
			names[i] = NULL;
		}
}

/* Phones get new versions: frees what none has any more.  Looks at every
 * registration, so not often. */
static void sweep_names(struct visits *v, int64_t now)
{
	struct used u = { .answers[TAKEN] = true };

	if (v->swept != 0 && now - v->swept < SWEEP_TICKS)
		return;
	v->swept = now;
	store_each(v->store, mark_used, &u);
	free_unused(v->clients, u.clients);
	free_unused(v->answers, u.answers);
}

/* Index + 1; 0: there is no room. */
static unsigned name_index(char *names[VISITS_NAMES], const char *name)
{
	unsigned i, room = 0;

	for (i = VISITS_NAMES; i > 0; i--)
		if (names[i - 1] == NULL)
			room = i;
		else if (strcmp(names[i - 1], name) == 0)
			return i;
	if (room > 0)
		names[room - 1] = xstrdup(name);
	return room;
}

static unsigned keep_name(
    struct visits *v, char *names[VISITS_NAMES], const char *name, int64_t now)
{
	unsigned i = *name != '\0' ? name_index(names, name) : 0;

	if (i > 0 || *name == '\0')
		return i;
	sweep_names(v, now);
	return name_index(names, name);
}

void visits_answered(
    struct visits *v, struct reg *r, const char *words, int64_t now_ms)
{
	unsigned i = TAKEN;

	if (strcmp(words, VISITS_TAKEN) != 0) /* as nearly all are */
		i = keep_name(v, v->answers, words, visits_tick(v, now_ms));
	reg_past(r)->answer = i & MASK(6);
}

void visits_renewed(struct reg *r)
{
	if (reg_past(r)->answer != TAKEN)
		reg_past(r)->answer = 0;
}

/* --- visits --- */

/* The time from the wake-up that this ends; -1: there was none. */
static int64_t end_answered(struct visits *v, struct reg_past *p, int64_t now)
{
	int64_t ticks = -1;

	if (is_in_time(p, now)) {
		ticks = set_wakeup(p, age_ticks(now, p->first));
		*open_at(v, now - age_ticks(now, p->first)) -= p->waiting;
	} else if (p->waiting > 0 || p->unanswered > 0) {
		p->wakeup = 0; /* the last one was not answered */
	}
	p->waiting = 0;
	p->unanswered = 0;
	p->silent = 0;
	p->unseen = 0;
	p->seen = second(now) & MASK(26);
	return ticks;
}

bool visits_seen(
    struct visits *v, const char *user, const char *client, int64_t now_ms)
{
	struct reg *r = store_first(v->store, user);
	int64_t now = close_slots(v, now_ms), ticks, least = -1;
	bool android = strcasestr(client, "Android") != NULL;
	unsigned who;
	struct push *p, *early = NULL;

	if (r == NULL)
		return false;
	who = keep_name(v, v->clients, client, now);
	v->silent -= !android && is_silent(v, r);
	v->n.visits++;
	if (v->first == 0)
		v->first = now;
	for (; r != NULL; r = reg_next(r)) {
		if (android != (reg_kind(r) != REG_APPLE))
			continue;
		ticks = end_answered(v, reg_past(r), now);
		reg_past(r)->client = who & MASK(6);
		if (ticks >= 0 && (least < 0 || ticks < least))
			least = ticks;
		p = reg_data(r);
		if (p == NULL || !p->in_flight || p->came != VISITS_NOBODY)
			continue;
		p->came = ticks < 0 ? -now : VISITS_EARLIER;
		if (ticks < 0)
			early = p;
	}
	if (least >= 0)
		count_wakeup(v, least);
	else if (early != NULL)
		early->came = now;
	return true;
}

void visits_drop(struct visits *v, struct reg *r, int64_t now_ms)
{
	struct reg_past *p = reg_past(r);
	int64_t now = close_slots(v, now_ms);

	if (is_in_time(p, now))
		*open_at(v, now - age_ticks(now, p->first)) -= p->waiting;
	p->waiting = 0;
	if (p->silent) {
		p->silent = 0;
		v->silent -= !is_silent(v, r);
	}
}

/* --- what is known --- */

static void write_time(struct buf *b, const char *key, int64_t ticks)
{
	struct timespec ts;
	int64_t tenths;

	clock_gettime(CLOCK_REALTIME, &ts);
	tenths = (int64_t)ts.tv_sec * DAY_TICKS_S +
		 ts.tv_nsec / (1000 * 1000 * 1000 / DAY_TICKS_S);
	json_add_num(b, key, (tenths - ticks) / DAY_TICKS_S);
}

/* Ticks since the beginning of that second. */
static int64_t since(int64_t now, uint32_t then)
{
	return age_s(now, then) * DAY_TICKS_S + now % DAY_TICKS_S;
}

static void write_name(
    struct buf *b, const char *key, char *const names[], unsigned index)
{
	if (index != 0)
		json_add_str(b, key, names[index - 1]);
}

void visits_write(
    struct visits *v, struct reg *r, int64_t now_ms, struct buf *b)
{
	const struct reg_past *p = reg_past(r);
	int64_t now = visits_tick(v, now_ms);
	struct reg_past end = *p;

	if (p->notified != 0)
		write_time(b, "notified", since(now, p->notified));
	if (p->notified != 0 && p->unwatched)
		json_add_bool(b, "notifiedUnwatched", true);
	if (p->first != 0)
		write_time(b, "pushed",
		    age_ticks(now, p->first) - p->span * SPAN_TICKS);
	write_name(b, "answer", v->answers, p->answer);
	if (p->seen != 0 && !p->unseen)
		write_time(b, "seen", since(now, p->seen));
	write_name(b, "client", v->clients, p->client);
	if (p->wakeup != 0)
		day_write_ticks(b, "wakeup", p->wakeup);
	if (p->waiting > 0 && !is_in_time(p, now))
		end_unanswered(v, &end, now);
	if (p->first != 0 && v->first != 0) {
		json_add_num(b, "waiting", end.waiting);
		json_add_num(b, "unanswered", end.unanswered);
	}
}

void visits_write_day(struct visits *v, int64_t now_ms, struct buf *b)
{
	int64_t now = close_slots(v, now_ms), ticks = day_median(&v->day);
	int64_t left = (v->day.newest + 1) * DAY_QUARTER_TICKS - now;

	if (ticks >= 0)
		day_write_ticks(b, "wakeupMedian", ticks);
	json_open(b, "day", '{');
	json_add_num(b, "end", time(NULL) + left / DAY_TICKS_S);
	day_write(&v->day, b);
	buf_add_byte(b, '}');
}

/* --- the whole --- */

void visits_init(struct visits *v, struct store *store, int64_t now_ms)
{
	int64_t into_ms = (int64_t)time(NULL) % 900 * 1000;

	/* Quarters end with those of the clock, if it is set. */
	v->store = store;
	v->start_ms = now_ms - DAY_FIRST_TICK * (1000 / DAY_TICKS_S) - into_ms;
	v->slot = visits_tick(v, now_ms) / SLOT;
	name_index(v->answers, VISITS_TAKEN);
	day_begin(&v->day, visits_tick(v, now_ms));
}

void visits_free(struct visits *v)
{
	size_t i;

	for (i = 0; i < VISITS_NAMES; i++) {
		free(v->clients[i]);
		free(v->answers[i]);
	}
}
