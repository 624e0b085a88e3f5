/* store/no-go.c - in place of store/go.c: the Go daemon's database is recognised
 * and left as it is. */
#include "store/int.h"

#include "features.h"

bool store_is_go(const char *text, size_t len)
{
	(void)text;
	(void)len;
	return false;
}

/* Called for whatever begins as JSON and is not ours. */
int store_go_load(
    struct store *s, const char *text, size_t len, char err[ERR_MAX])
{
	(void)text;
	(void)len;
	err_set(err, "%s: looks like the Go daemon's database, and %s", s->path,
	    features_lack("go-import"));
	return -1;
}

int store_export_go(
    struct store *s, struct buf *out, int (*flush)(void *arg), void *arg)
{
	(void)s;
	(void)out;
	(void)flush;
	(void)arg;
	return -1;
}
