/* daemon/no-brands.c - in a build without brands: brandsDir is refused. */
#include "daemon/brands.h"

#include "cli.h"
#include "daemon.h"

int daemon_each_brand(
    const struct conf *conf, daemon_brand_cb *cb, void *arg, char err[ERR_MAX])
{
	(void)conf;
	(void)cb;
	(void)arg;
	(void)err;
	return 0;
}

struct brands *brands_new(struct loop *l, const struct conf *conf)
{
	(void)l;
	(void)conf;
	return NULL;
}

void brands_stop(struct brands *b)
{
	(void)b;
}

void brands_free(struct brands *b)
{
	(void)b;
}

int brands_read(struct brands *b, char err[ERR_MAX])
{
	(void)b;
	(void)err;
	return EXIT_DONE;
}

int brands_load(struct brands *b, char err[ERR_MAX])
{
	(void)b;
	(void)err;
	return EXIT_DONE;
}

void brands_start(struct brands *b, struct push_queue *q)
{
	(void)b;
	(void)q;
}

void brands_share(struct brands *b, struct shared *shared)
{
	(void)b;
	(void)shared;
}

void brands_reload(struct brands *b, bool all)
{
	(void)b;
	(void)all;
}

void brands_main_changed(struct brands *b)
{
	(void)b;
}

void brands_check(struct brands *b)
{
	(void)b;
}

size_t brands_count(const struct brands *b)
{
	(void)b;
	return 0;
}
