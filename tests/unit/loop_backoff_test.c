/* loop_backoff_test.c - pauses after failures. */
#include "unit.h"

#include <limits.h>

#include "loop.h"

/* Of many tries, all are between half of ms and ms, and they differ. */
static void assert_spread(int64_t ms, unsigned failures)
{
	int64_t low = INT64_MAX, high = 0, got;
	int i;

	for (i = 0; i < 200; i++) {
		got = loop_backoff_ms(1000, 300000, failures);
		low = got < low ? got : low;
		high = got > high ? got : high;
	}
	assert_in_range(low, ms / 2, ms / 2 + ms / 10);
	assert_in_range(high, ms - ms / 10, ms);
}

static void test_doubles_up_to_the_maximum(void **state)
{
	(void)state;
	assert_spread(1000, 1);
	assert_spread(2000, 2);
	assert_spread(256000, 9);
	assert_spread(300000, 10);
	assert_spread(300000, UINT_MAX);
}

static void test_no_failure_is_as_one(void **state)
{
	(void)state;
	assert_spread(1000, 0);
}

static void test_the_least_is_not_zero(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 200; i++)
		assert_in_range(loop_backoff_ms(10, 10, 5), 5, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles_up_to_the_maximum),
		cmocka_unit_test(test_no_failure_is_as_one),
		cmocka_unit_test(test_the_least_is_not_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
