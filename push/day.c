/* push/day.c - see push/day.h. */
#include "push/day.h"

#include <string.h>

#include "buf.h"
#include "json.h"

/* Larger than any wake-up time. */
#define TICKS_MAX 8191

static struct day_quarter *at(struct day *d, int64_t quarter)
{
	return &d->q[quarter % DAY_QUARTERS];
}

void day_begin(struct day *d, int64_t now)
{
	int64_t quarter = now / DAY_QUARTER_TICKS;

	if (quarter - d->newest > DAY_QUARTERS)
		d->newest = quarter - DAY_QUARTERS;
	while (d->newest < quarter)
		memset(at(d, ++d->newest), 0, sizeof(d->q[0]));
}

void day_add(struct day *d, int64_t tick, uint32_t pushes, uint32_t missed)
{
	int64_t quarter = tick / DAY_QUARTER_TICKS;

	if (d->newest - quarter >= DAY_QUARTERS)
		return;
	at(d, quarter)->pushes += pushes;
	at(d, quarter)->missed += missed;
}

void day_add_wakeup(struct day *d, int64_t ticks)
{
	struct day_quarter *q = at(d, d->newest);
	uint32_t i = q->wakeups;

	if (i < UINT16_MAX)
		q->wakeups++;
	if (i >= DAY_SAMPLES) {
		d->random = d->random * 1664525 + 1013904223;
		i = (uint32_t)((uint64_t)d->random * q->wakeups >> 32);
	}
	if (i < DAY_SAMPLES)
		q->samples[i] = (uint16_t)ticks;
}

uint64_t day_missed(const struct day *d)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < DAY_QUARTERS; i++)
		n += d->q[i].missed;
	return n;
}

/* How many of n quarters' wake-ups took at most so many ticks, twice. */
static uint64_t twice_below(
    const struct day_quarter *q, size_t n, int64_t ticks)
{
	uint64_t sum = 0;
	uint32_t kept, i, below;

	for (; n > 0; n--, q++) {
		kept = q->wakeups < DAY_SAMPLES ? q->wakeups : DAY_SAMPLES;
		for (i = 0, below = 0; i < kept; i++)
			below += q->samples[i] <= ticks;
		if (kept > 0)
			sum += (uint64_t)2 * below * q->wakeups / kept;
	}
	return sum;
}

/* The lower one of two in the middle. */
static int64_t median(const struct day_quarter *q, size_t n)
{
	int64_t low = 0, high = TICKS_MAX, middle;
	uint64_t all = twice_below(q, n, TICKS_MAX) / 2;

	if (all == 0)
		return -1;
	while (low < high) {
		middle = (low + high) / 2;
		if (twice_below(q, n, middle) >= all)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

int64_t day_median(const struct day *d)
{
	return median(d->q, DAY_QUARTERS);
}

void day_write_ticks(struct buf *b, const char *key, int64_t ticks)
{
	json_add(b, key);
	if (ticks < 0)
		buf_add_str(b, "null");
	else
		buf_add_fmt(b, "%d.%d", (int)ticks / DAY_TICKS_S,
		    (int)ticks % DAY_TICKS_S);
}

void day_write(struct day *d, struct buf *b)
{
	static const char *const keys[] = { "pushes", "missed", "wakeups" };
	const struct day_quarter *q;
	int64_t i;
	size_t k;

	for (k = 0; k < 3; k++) {
		json_open(b, keys[k], '[');
		for (i = d->newest - DAY_QUARTERS + 1; i <= d->newest; i++) {
			q = at(d, i);
			if (k == 2)
				day_write_ticks(b, NULL, median(q, 1));
			else
				json_add_num(
				    b, NULL, k == 0 ? q->pushes : q->missed);
		}
		buf_add_byte(b, ']');
	}
}
