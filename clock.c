/* clock.c - dates. */
#include "clock.h"

int64_t clock_seconds(int year, int month, int day, const int hms[3])
{
	int y = month <= 2 ? year - 1 : year;
	int m = (month + 9) % 12; /* from March, so that leap days come last */
	int64_t days = INT64_C(365) * y + y / 4 - y / 100 + y / 400 +
		       (153 * m + 2) / 5 + day - 1 - 719468;

	return ((days * 24 + hms[0]) * 60 + hms[1]) * 60 + hms[2];
}
