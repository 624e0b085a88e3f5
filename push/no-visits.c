/* push/no-visits.c - a build with neither doctor nor page, which are for whoever
 * asks whether phones come: that is not kept. */
#include "push/int.h"

#include "store.h"

void visits_init(struct visits *v, struct store *store, int64_t now_ms)
{
	(void)now_ms;
	v->store = store;
}

void visits_free(struct visits *v)
{
	(void)v;
}

int64_t visits_tick(const struct visits *v, int64_t now_ms)
{
	(void)v;
	(void)now_ms;
	return 0;
}

void visits_notified(
    struct visits *v, struct reg *r, bool watched, int64_t now_ms)
{
	(void)v;
	(void)r;
	(void)watched;
	(void)now_ms;
}

void visits_taken(
    struct visits *v, struct reg *r, int64_t sent, int64_t came, int64_t now_ms)
{
	(void)v;
	(void)r;
	(void)sent;
	(void)came;
	(void)now_ms;
}

void visits_answered(
    struct visits *v, struct reg *r, const char *words, int64_t now_ms)
{
	(void)v;
	(void)r;
	(void)words;
	(void)now_ms;
}

void visits_renewed(struct reg *r)
{
	(void)r;
}

bool visits_seen(
    struct visits *v, const char *user, const char *client, int64_t now_ms)
{
	(void)client;
	(void)now_ms;
	return store_first(v->store, user) != NULL;
}

void visits_drop(struct visits *v, struct reg *r, int64_t now_ms)
{
	(void)v;
	(void)r;
	(void)now_ms;
}

void visits_judge(struct visits *v, int64_t now_ms)
{
	(void)v;
	(void)now_ms;
}

void visits_write_day(struct visits *v, int64_t now_ms, struct buf *b)
{
	(void)v;
	(void)now_ms;
	(void)b;
}

void visits_write(
    struct visits *v, struct reg *r, int64_t now_ms, struct buf *b)
{
	(void)v;
	(void)r;
	(void)now_ms;
	(void)b;
}
