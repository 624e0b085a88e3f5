/* daemon/watch.c - reports when one of a few files changes or is replaced.
 *
 * certbot replaces links to files, Kubernetes a link to a folder, an
 * administrator renames folders: so everything on the path of a file is
 * watched. A folder reports its own move or removal; names in a folder are
 * watched only where the path's next part is a link, the file itself, or
 * missing (so that activity in /tmp does not wake us).  An event is only a
 * hint: what counts is whether the path leads to a different file than
 * before. */
#include "daemon/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "log.h"
#include "loop.h"
#include "mem.h"

/* Certificate and key are often copied one after the other, so wait for both,
 * but not for endless changes. */
#define SETTLE_MS 1000
#define SETTLE_MAX_MS 10000

/* Of a folder on the path. */
#define SELF_EVENTS                                                            \
	(IN_MASK_ADD | IN_ONLYDIR | IN_DONT_FOLLOW | IN_DELETE_SELF |          \
	    IN_MOVE_SELF)
/* Of a name in a folder. */
#define NAME_EVENTS                                                            \
	(SELF_EVENTS | IN_MOVED_TO | IN_MOVED_FROM | IN_ATTRIB | IN_CREATE |   \
	    IN_DELETE | IN_CLOSE_WRITE)

#define LINKS_MAX 40 /* as the kernel has it */
#define STEPS_MAX 64 /* of one file; a deep path has 20 */

/* A name in a folder, on the path of a file; or ANY. */
struct step {
	int wd;
	char *name;
};

#define ANY "/"

struct watch {
	struct loop *loop;
	struct loop_fd f;
	struct loop_timer settle;
	int64_t since_ms; /* of the first change that has not settled */
	void (*cb)(void *arg);
	void *arg;
	struct file {
		char *path;
		bool is_folder;
		uint64_t mark;
	} * files;
	size_t n;
	bool warned; /* about a folder that cannot be watched */
	struct step *steps;
	size_t n_steps, cap_steps;
};

/* --- the path of a file --- */

static void warn_unwatched(struct watch *w, const char *dir, const char *name)
{
	/* A folder that we may only pass through cannot be watched, but rarely
	 * changes. */
	log_at(errno == EACCES || w->warned ? LOG_L_DEBUG : LOG_L_WARN,
	    "inotify: %s: %s: a change of %s there is noticed at SIGHUP, or "
	    "once a day%s",
	    dir, err_words(errno), name,
	    errno == ENOSPC ? "; sysctl fs.inotify.max_user_watches is too low"
			    : "");
	w->warned = w->warned || errno != EACCES;
}

/* name "": the folder itself. */
static bool add_step(
    struct watch *w, const char *dir, const char *name, uint32_t events)
{
	int wd = inotify_add_watch(w->f.fd, dir, events);
	size_t i;

	if (wd < 0)
		return false;
	for (i = 0; i < w->n_steps; i++)
		if (w->steps[i].wd == wd && strcmp(w->steps[i].name, name) == 0)
			return true;
	if (w->n_steps >= STEPS_MAX * (w->n + 1))
		return false;
	if (w->n_steps == w->cap_steps) {
		w->cap_steps += w->cap_steps / 2 + 32;
		w->steps = xrealloc(w->steps, w->cap_steps * sizeof(*w->steps));
	}
	w->steps[w->n_steps].wd = wd;
	w->steps[w->n_steps++].name = xstrdup(name);
	return true;
}

/* Where we are (without links), and the rest of the path; space for another path
 * and for what a link holds.  Allocated, because pages of the stack that were used
 * once stay with the process. */
struct path {
	char at[PATH_MAX], rest[PATH_MAX], full[PATH_MAX], target[PATH_MAX];
	int links;
};

/* Removes the next name from the rest; false at the end. */
static bool next_name(struct path *y, char name[NAME_MAX + 1])
{
	char *p = y->rest + strspn(y->rest, "/");
	size_t n = strcspn(p, "/");

	if (n == 0 || n > NAME_MAX)
		return false;
	memcpy(name, p, n);
	name[n] = '\0';
	memmove(y->rest, p + n, strlen(p + n) + 1);
	return true;
}

static bool append_name(char path[PATH_MAX], const char *name)
{
	size_t at = strlen(path), n = strlen(name);

	if (at + n + 2 > PATH_MAX)
		return false;
	if (at == 0 || path[at - 1] != '/')
		path[at++] = '/';
	memcpy(path + at, name, n + 1);
	return true;
}

/* Continues at the target of the link at `full`. */
static bool follow_link(struct path *y)
{
	char *target = y->target;
	ssize_t n = readlink(y->full, target, sizeof(y->target) - 1);

	if (n <= 0 || ++y->links > LINKS_MAX)
		return false;
	target[n] = '\0';
	if (*target == '/')
		strcpy(y->at, "/");
	if ((size_t)n + strlen(y->rest) + 1 > PATH_MAX)
		return false;
	memmove(y->rest + n, y->rest, strlen(y->rest) + 1);
	memcpy(y->rest, target, (size_t)n);
	return true;
}

/* Goes on by one name; false at the end.  A name is watched before it is
 * examined, so that no change in between is missed. */
static bool walk_step(struct watch *w, struct path *y, const char *name)
{
	char *full = y->full;
	struct stat st;

	strcpy(full, y->at);
	if (!append_name(full, name))
		return false;
	if (lstat(full, &st) < 0 || !S_ISDIR(st.st_mode) ||
	    !add_step(w, full, "", SELF_EVENTS)) {
		if (!add_step(w, y->at, name, NAME_EVENTS))
			warn_unwatched(w, y->at, name);
		if (lstat(full, &st) < 0) {
			if (errno == EACCES) /* the folder's mode may change */
				add_step(w, y->at, "", SELF_EVENTS | IN_ATTRIB);
			return false;
		}
	}
	if (S_ISLNK(st.st_mode))
		return follow_link(y);
	strcpy(y->at, full);
	return true;
}

/* Watches what is on the path from y->at on. */
static void walk_path(struct watch *w, struct path *y, const char *path)
{
	char name[NAME_MAX + 1], *slash;

	if (strlen(path) >= sizeof(y->rest) ||
	    (*path != '/' && getcwd(y->at, sizeof(y->at)) == NULL))
		return;
	strcpy(y->rest, path);
	while (next_name(y, name)) {
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			slash = strrchr(y->at, '/');
			slash[slash == y->at] = '\0';
		} else if (!walk_step(w, y, name)) {
			return;
		}
	}
}

static void walk(struct watch *w, const char *path, bool is_folder)
{
	struct path *y;

	if (is_folder && !add_step(w, path, ANY, NAME_EVENTS & ~IN_DONT_FOLLOW))
		warn_unwatched(w, path, "files");
	y = xmalloc(sizeof(*y));
	strcpy(y->at, "/");
	y->links = 0;
	walk_path(w, y, path);
	free(y);
}

static void mix(uint64_t *mark, const void *data, size_t n)
{
	const unsigned char *p = data;

	while (n-- > 0)
		*mark = (*mark ^ *p++) * 0x100000001b3; /* FNV-1a */
}

void watch_mark(void *mark, const char *path)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	if (stat(path, &st) < 0)
		st.st_size = -errno;
	mix(mark, &st.st_dev, sizeof(st.st_dev));
	mix(mark, &st.st_ino, sizeof(st.st_ino));
	mix(mark, &st.st_size, sizeof(st.st_size));
	mix(mark, &st.st_mtim, sizeof(st.st_mtim));
	mix(mark, &st.st_ctim, sizeof(st.st_ctim));
}

/* Whether the path leads to another file, or it looks different. */
static bool has_changed(struct file *f)
{
	uint64_t old = f->mark;

	f->mark = WATCH_MARK;
	watch_mark(&f->mark, f->path);
	return f->mark != old;
}

/* --- events --- */

static void open_inotify(struct watch *w);

static void close_inotify(struct watch *w)
{
	int fd = w->f.fd;

	loop_fd_del(w->loop, &w->f);
	if (fd >= 0)
		close(fd);
	while (w->n_steps > 0)
		free(w->steps[--w->n_steps].name);
}

/* Walks all paths again; reports if one leads to another file. */
static void walk_again(struct watch *w)
{
	bool changed = false;
	size_t i;

	loop_timer_clear(w->loop, &w->settle);
	close_inotify(w);
	open_inotify(w);
	for (i = 0; i < w->n; i++) {
		if (w->f.fd >= 0)
			walk(w, w->files[i].path, w->files[i].is_folder);
		if (has_changed(&w->files[i]))
			changed = true;
	}
	if (changed)
		w->cb(w->arg);
}

static void on_settled(void *arg)
{
	walk_again(arg);
}

/* A folder itself was moved, removed or unmounted; or too much happened. */
static bool is_ours(const struct watch *w, const struct inotify_event *e)
{
	size_t i;

	if (e->mask & IN_Q_OVERFLOW)
		return true;
	for (i = 0; i < w->n_steps; i++)
		if (w->steps[i].wd == e->wd &&
		    (e->len > 0 ? strcmp(w->steps[i].name, e->name) == 0 ||
				      strcmp(w->steps[i].name, ANY) == 0
				: (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF |
						 IN_UNMOUNT)) != 0))
			return true;
	return false;
}

static void take_event(struct watch *w, const struct inotify_event *e)
{
	int64_t now_ms = loop_now_ms(w->loop);

	if (!is_ours(w, e))
		return;
	if (!loop_timer_is_set(&w->settle))
		w->since_ms = now_ms;
	if (now_ms - w->since_ms < SETTLE_MAX_MS)
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
			take_event(w, (const void *)(in.bytes + at));
		}
	}
}

static void open_inotify(struct watch *w)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd >= 0 &&
	    loop_fd_add(w->loop, &w->f, fd, LOOP_READ, on_events, w) == 0)
		return;
	log_warn("inotify: %s: changed keys and certificates are noticed at "
		 "SIGHUP, or once a day",
	    err_words(errno));
	if (fd >= 0)
		close(fd);
}

/* --- the owner's --- */

struct watch *watch_new(struct loop *l, void (*cb)(void *arg), void *arg)
{
	struct watch *w = xcalloc(1, sizeof(*w));

	w->loop = l;
	w->f.fd = -1;
	w->cb = cb;
	w->arg = arg;
	loop_timer_init(&w->settle, on_settled, w);
	open_inotify(w);
	return w;
}

void watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	close_inotify(w);
	loop_timer_clear(w->loop, &w->settle);
	while (w->n > 0)
		free(w->files[--w->n].path);
	free(w->files);
	free(w->steps);
	free(w);
}

static void add(struct watch *w, const char *path, bool is_folder)
{
	struct file *f;

	if (w->f.fd >= 0)
		walk(w, path, is_folder);
	w->files = xrealloc(w->files, (w->n + 1) * sizeof(*w->files));
	f = &w->files[w->n++];
	f->path = xstrdup(path);
	f->is_folder = is_folder;
	f->mark = 0;
	has_changed(f);
}

void watch_add(void *watch, const char *path)
{
	add(watch, path, false);
}

static void add_named(
    struct watch *w, const struct conf *conf, const char *name, bool is_folder)
{
	char *path = conf_file_path(conf, name);

	add(w, path, is_folder);
	free(path);
}

void watch_add_named(struct watch *w, const struct conf *conf, const char *name)
{
	add_named(w, conf, name, false);
}

void watch_add_folder(
    struct watch *w, const struct conf *conf, const char *name)
{
	add_named(w, conf, name, true);
}

void watch_check(struct watch *w)
{
	uint64_t mark;
	size_t i;

	for (i = 0; w != NULL && i < w->n; i++) {
		mark = WATCH_MARK;
		watch_mark(&mark, w->files[i].path);
		if (mark != w->files[i].mark) {
			walk_again(w);
			return;
		}
	}
}
