/* push/no-origins.c - in a build without other servers than Apple's. */
#include "push/int.h"

void push_refresh_origins(struct push_queue *q)
{
	(void)q;
}
