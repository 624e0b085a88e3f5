/* daemon/no-hooks.c - in a build without hooks: hooksDir is refused. */
#include "daemon/hooks.h"

#include <stddef.h>

#include "cli.h"
#include "daemon.h"

int daemon_each_hook(
    const struct conf *conf, daemon_hook_cb *cb, void *arg, char err[ERR_MAX])
{
	(void)conf;
	(void)cb;
	(void)arg;
	(void)err;
	return 0;
}

struct hooks *hooks_new(struct loop *l, const struct conf *conf)
{
	(void)l;
	(void)conf;
	return NULL;
}

void hooks_free(struct hooks *h)
{
	(void)h;
}

int hooks_read(struct hooks *h, char err[ERR_MAX])
{
	(void)h;
	(void)err;
	return EXIT_DONE;
}

void hooks_start(struct hooks *h, struct push_queue *q)
{
	(void)h;
	(void)q;
}

void hooks_reload(struct hooks *h)
{
	(void)h;
}
