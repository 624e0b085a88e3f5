/* shared/no-shared.c - in place of all else here: there is no shared store, and
 * conf.c refuses its keys. */
#include <stddef.h>

#include "shared.h"

int shared_check_text(const struct conf *conf, char err[ERR_MAX])
{
	(void)conf;
	(void)err;
	return 0;
}

struct shared *shared_new(struct loop *l, const struct conf *conf,
    struct store *store, struct commit *commit, char err[ERR_MAX])
{
	(void)l;
	(void)conf;
	(void)store;
	(void)commit;
	err[0] = '\0';
	return NULL;
}

void shared_start(struct shared *s, struct push_queue *queue)
{
	(void)s;
	(void)queue;
}

void shared_free(struct shared *s)
{
	(void)s;
}

void shared_add_cred(struct shared *s, struct cred *c)
{
	(void)s;
	(void)c;
}

bool shared_is_in_step(const struct shared *s)
{
	(void)s;
	return true;
}

void shared_write_metrics(const struct shared *s, struct buf *b)
{
	(void)s;
	(void)b;
}

void shared_write_status(const struct shared *s, struct buf *b)
{
	(void)s;
	(void)b;
}
