/* push/no-hook.c - in the place of push/hook.c in a build without it. */
#include "push/int.h"

const struct push_way push_way_hook = { .kind = REG_HOOK };

void push_set_hooks(struct push_queue *q, struct hook *const *list, size_t n)
{
	(void)q;
	(void)list;
	(void)n;
}
