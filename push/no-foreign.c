/* push/no-foreign.c - when this build sends to nobody whom users name. */
#include "push/int.h"

int push_check_text(const struct conf *conf, char err[ERR_MAX])
{
	(void)conf;
	(void)err;
	return 0;
}

const struct io_guard *push_guard(struct push_queue *q)
{
	(void)q;
	return NULL;
}

void push_refresh_guard(struct push_queue *q)
{
	(void)q;
}

void push_foreign_free(struct push_queue *q)
{
	(void)q;
}

int64_t push_foreign_wait(struct push *p)
{
	(void)p;
	return 0;
}
