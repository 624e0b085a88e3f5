/* backoff.h - how long to wait after failures in a row. */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdint.h>

/* min_ms after the first failure, doubling, up to max_ms; of that the upper half
 * is random, so that devices and daemons spread. */
int64_t backoff_ms(int64_t min_ms, int64_t max_ms, unsigned failures);

#endif
