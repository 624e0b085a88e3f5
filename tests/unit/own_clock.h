/* own_clock.h - a clock that moves only when the test says so, for tests with the
 * real loop: loop.c asks this one.  Waiting in loop_once() does not move it. */
#ifndef OWN_CLOCK_H
#define OWN_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Not zero, which is "never" here and there. */
#define OWN_CLOCK_START_MS (1000 * 1000)

static int64_t own_clock_ms = OWN_CLOCK_START_MS;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	ts->tv_sec = (time_t)(own_clock_ms / 1000);
	ts->tv_nsec = (long)(own_clock_ms % 1000) * 1000000;
	return 0;
}

#endif
