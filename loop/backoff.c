/* loop/backoff.c - how long to wait after failures in a row. */
#include "loop.h"

#include <sys/random.h>

int64_t loop_backoff_ms(int64_t min_ms, int64_t max_ms, unsigned failures)
{
	int64_t ms = min_ms;
	uint32_t r;

	while (failures-- > 1 && ms < max_ms)
		ms *= 2;
	if (ms > max_ms)
		ms = max_ms;
	/* Without random numbers the pause is just not spread. */
	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		r = 0;
	return ms / 2 + (int64_t)(r % (uint32_t)(ms / 2 + 1));
}
