/* clock.h - tells whether the wall clock has been set; dates. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* 2026-11-22 UTC, in seconds since 1970; raise it with releases.  An earlier
 * time means that the clock is not set yet (a router before its first NTP
 * answer): then nothing is expired and no certificate's dates are checked. */
#define CLOCK_MIN_S INT64_C(1795305600)

/* Seconds since 1970 of a date in UTC; hms: hours, minutes, seconds.  Not timegm(),
 * whose time_t may have 32 bits. */
int64_t clock_seconds(int year, int month, int day, const int hms[3]);

#endif
