/* push/no-hook.c - in the place of push/hook.c in a build without it. */
#include "push/int.h"

const struct push_way push_way_hook = { .kind = REG_HOOK };

void push_set_hooks(
    struct push_queue *q, struct hook *const *list, size_t n, bool all)
{
	(void)q;
	(void)list;
	(void)n;
	(void)all;
}

struct reg *push_hook_reg(struct push_queue *q, const char *user, size_t *at)
{
	(void)q;
	(void)user;
	(void)at;
	return NULL;
}
