/* push/day.h - the last 24 hours in quarters, in less than 2 KB.  Knows numbers
 * only: times are in ticks of 100 ms. */
#ifndef PUSH_DAY_H
#define PUSH_DAY_H

#include <stdint.h>

struct buf;

#define DAY_TICKS_S 10 /* ticks in a second */
#define DAY_QUARTERS 96
#define DAY_QUARTER_TICKS (INT64_C(900) * DAY_TICKS_S)
/* Wake-up times of a quarter that are kept: with more of them a random choice.
 * Medians are of these, each for as many as it stands for. */
#define DAY_SAMPLES 5

struct day_quarter {
	uint32_t pushes, missed;
	uint16_t wakeups;	       /* 65,535 are enough to weigh a median */
	uint16_t samples[DAY_SAMPLES]; /* ticks */
};

struct day {
	int64_t newest; /* quarters since tick 0 */
	uint32_t random;
	struct day_quarter q[DAY_QUARTERS];
};

/* The tick now is never less: then there were 96 quarters before. */
#define DAY_FIRST_TICK (DAY_QUARTERS * DAY_QUARTER_TICKS)

/* To be called with the current tick before all others. */
void day_begin(struct day *d, int64_t now);
/* Of the quarter of that tick, if it is one of these 96. */
void day_add(struct day *d, int64_t tick, uint32_t pushes, uint32_t missed);
/* In the newest quarter. */
void day_add_wakeup(struct day *d, int64_t ticks);
uint64_t day_missed(const struct day *d);
/* The median of all wake-up times, in ticks; -1: there is none. */
int64_t day_median(const struct day *d);
/* Appends a member or an element with that time in seconds; null if it is -1. */
void day_write_ticks(struct buf *b, const char *key, int64_t ticks);
/* Appends ,"pushes":[…],"wakeups":[…],"missed":[…], the oldest quarter first. */
void day_write(struct day *d, struct buf *b);

#endif
