/* store/view.c - looking at registrations without owning the file. */
#include "store/int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "mem.h"

/* A table grows by splitting a bucket in two, of which the new one comes behind
 * all others, and it never shrinks: what was not shown yet stands in front of the
 * cursor.  Others come before firsts, for one of them may become a first. */
void store_scan(struct store *s, size_t *cursor,
    void (*cb)(void *arg, struct reg *r), void *arg)
{
	bool firsts = *cursor % 2;
	const struct table *t = &s->tables[firsts ? FIRSTS : OTHERS];
	size_t i = *cursor / 2;
	struct reg *r = i < t->n ? t->buckets[i] : NULL;

	for (; r != NULL; r = r->chain)
		cb(arg, r);
	*cursor += 2;
	/* Beyond the end is only who made the cursor up. */
	if (i + 1 >= t->n)
		*cursor = i + 1 == t->n && !firsts;
}

struct store *store_view_new(void)
{
	struct store *s = store_new();

	s->read_only = true;
	return s;
}

int store_view_read(
    struct store *s, const char *path, size_t *bad_r, char err[ERR_MAX])
{
	char first;
	ssize_t n;
	int rc = -1, code = 0;

	s->path = xstrdup(path);
	store_read_topic(s);
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	n = s->fd < 0 ? -1 : pread(s->fd, &first, 1, 0);
	if (n < 0) {
		code = errno;
		err_set(err, "%s: cannot be read: %s", path, strerror(code));
	} else {
		rc = n > 0 ? store_read(s, err) : 0;
	}
	*bad_r = s->n_bad;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	errno = code;
	return rc;
}

void store_view_free(struct store *s)
{
	if (s != NULL)
		store_free(s);
}
