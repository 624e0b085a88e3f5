/* with_loop.h - tests that each have an event loop of their own, l. */
#ifndef WITH_LOOP_H
#define WITH_LOOP_H

#include "../../loop.h"

static struct loop *l;

static int loop_setup(void **state)
{
	char err[ERR_MAX];

	(void)state;
	l = loop_new(err);
	return l == NULL;
}

static int loop_teardown(void **state)
{
	(void)state;
	loop_free(l);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)

#endif
