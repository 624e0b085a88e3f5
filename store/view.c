/* store/view.c - looking at registrations without owning the file. */
#include "store/int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "mem.h"

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
	topic_read(s);
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	n = s->fd < 0 ? -1 : pread(s->fd, &first, 1, 0);
	if (n < 0) {
		code = errno;
		err_set(err, "%s: cannot be read: %s", path, err_words(code));
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
