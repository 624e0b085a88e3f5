/* daemon/watch.c - tells when one of a few files was changed or replaced. */
#include "daemon/watch.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"
#include "loop.h"

/* Certificate and key are often copied one after the other. */
#define SETTLE_MS 1000

/* IN_CREATE is for symbolic links, which certbot makes anew. */
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB | IN_CREATE)

struct watch {
	struct loop *loop;
	struct loop_fd f;
	struct loop_timer settle;
	void (*cb)(void *arg);
	void *arg;
	struct {
		int wd; /* its folder's */
		char *name;
	} files[WATCH_FILES_MAX];
	size_t n;
};

static void on_settled(void *arg)
{
	struct watch *w = arg;

	w->cb(w->arg);
}

static void look_at(struct watch *w, const struct inotify_event *e)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (w->files[i].wd == e->wd && e->len > 0 &&
		    strcmp(w->files[i].name, e->name) == 0)
			loop_timer_set(w->loop, &w->settle, SETTLE_MS);
}

static void on_events(void *arg, unsigned events)
{
	struct watch *w = arg;
	union {
		struct inotify_event first;
		char bytes[4096];
	} in;
	struct inotify_event e;
	ssize_t n, at;

	(void)events;
	while ((n = read(w->f.fd, &in, sizeof(in))) > 0) {
		for (at = 0; at < n; at += (ssize_t)(sizeof(e) + e.len)) {
			memcpy(&e, in.bytes + at, sizeof(e));
			look_at(w, (const void *)(in.bytes + at));
		}
	}
}

struct watch *watch_new(struct loop *l, void (*cb)(void *arg), void *arg)
{
	struct watch *w = xcalloc(1, sizeof(*w));
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	w->loop = l;
	w->f.fd = -1;
	w->cb = cb;
	w->arg = arg;
	loop_timer_init(&w->settle, on_settled, w);
	if (fd < 0 || loop_fd_add(l, &w->f, fd, LOOP_READ, on_events, w) < 0) {
		log_warn("inotify: %s: changed keys and certificates are "
			 "noticed at SIGHUP only",
		    strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	return w;
}

void watch_free(struct watch *w)
{
	int fd;

	if (w == NULL)
		return;
	fd = w->f.fd;
	loop_fd_del(w->loop, &w->f);
	loop_timer_clear(w->loop, &w->settle);
	if (fd >= 0)
		close(fd);
	while (w->n > 0)
		free(w->files[--w->n].name);
	free(w);
}

void watch_add(struct watch *w, const char *path)
{
	char *dir = xstrdup(path), *base = xstrdup(path);
	int wd;

	if (w->f.fd >= 0) {
		assert(w->n < WATCH_FILES_MAX);
		wd = inotify_add_watch(w->f.fd, dirname(dir), EVENTS);
		/* Who reads the file complains of a missing folder. */
		if (wd < 0 && errno != ENOENT)
			log_warn("inotify: %s: %s: changes are noticed at "
				 "SIGHUP only",
			    path, strerror(errno));
		w->files[w->n].wd = wd;
		w->files[w->n++].name = xstrdup(basename(base));
	}
	free(dir);
	free(base);
}
