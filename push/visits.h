/* push/visits.h - whether phones come when they are pushed.
 *
 * The rule: a wake-up is a push that Apple took together with those of the next
 * two minutes; the first visit of the user within ten minutes of the first of
 * them answers it, and that distance is the wake-up time; if there is none, or
 * another wake-up begins before it, its pushes have brought nobody.
 *
 * A visit does not say which of the user's devices has come: it answers the
 * wake-ups of all, is counted once, and the shortest time counts.  It may come
 * while Apple's answer is under way: the time counts from when we sent.
 *
 * A visit of an Android phone ("Android" is in its client's name) answers for all
 * registrations that are not Apple's, any other visit for Apple's.  What is not
 * Apple's may be a browser, which never comes: its wake-ups count from the first
 * visit on.
 *
 * Everything is in memory and counted when it is looked at, without timers, by the
 * monotonic clock.  Until the first visit since start nothing is missed: perhaps
 * nobody reports visits. */
#ifndef PUSH_VISITS_H
#define PUSH_VISITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "push.h"
#include "push/day.h"

struct buf;
struct push;

/* A wake-up that nobody has answered is missed up to SLOT_TICKS later. */
#define VISITS_WINDOW_TICKS (600 * DAY_TICKS_S)
#define VISITS_SLOT_TICKS (20 * DAY_TICKS_S)
#define VISITS_SLOTS (VISITS_WINDOW_TICKS / VISITS_SLOT_TICKS + 2)

/* Indices of reg_past's client and answer, which have 6 bits. */
#define VISITS_NAMES 63

struct visits {
	struct store *store;
	int64_t start_ms; /* tick 0 */
	int64_t first;	  /* tick of the first visit since start; 0: none */
	int64_t slot;	  /* the oldest that is not counted yet */
	size_t silent;	  /* users */
	struct push_visits n;
	uint32_t open[VISITS_SLOTS]; /* pushes that wait, by their first */
	struct day day;
	/* Owned.  When all are in use a new one is not kept. */
	int64_t swept; /* tick at which unused ones were freed; 0: never */
	char *clients[VISITS_NAMES], *answers[VISITS_NAMES];
};

void visits_init(struct visits *v, struct store *store, int64_t now_ms);
void visits_free(struct visits *v);

/* Of a clock that shows now_ms. */
int64_t visits_tick(const struct visits *v, int64_t now_ms);

/* The user was notified. */
void visits_notified(
    struct visits *v, struct reg *r, bool watched, int64_t now_ms);
/* Apple took a push that was sent at tick `sent`.  came: the first visit since,
 * or VISITS_NOBODY, or VISITS_EARLIER if that answered an earlier push, too. */
#define VISITS_NOBODY 0
#define VISITS_EARLIER 1
void visits_taken(struct visits *v, struct reg *r, int64_t sent, int64_t came,
    int64_t now_ms);
/* The registration's answer of Apple's, in words. */
#define VISITS_TAKEN "Apple took it"
void visits_answered(
    struct visits *v, struct reg *r, const char *words, int64_t now_ms);
/* The device has registered again: a refusal says nothing about it any more. */
void visits_renewed(struct reg *r);
/* The user has come.  False if he has no device. */
bool visits_seen(
    struct visits *v, const char *user, const char *client, int64_t now_ms);
/* It will be dropped. */
void visits_drop(struct visits *v, struct reg *r, int64_t now_ms);

/* Counts what is over. */
void visits_judge(struct visits *v, int64_t now_ms);
/* See push_write_day(). */
void visits_write_day(struct visits *v, int64_t now_ms, struct buf *b);
/* Appends what is known of it as members of a JSON object, each after a comma. */
void visits_write(
    struct visits *v, struct reg *r, int64_t now_ms, struct buf *b);

#endif
