/* daemon/watch.h - reports when one of a few files changes: in place, by being
 * replaced, or through a link or a folder on its path (inotify, so that nothing
 * runs while nothing changes). */
#ifndef WATCH_H
#define WATCH_H

#include <stdint.h>

struct conf;
struct loop;
struct watch;

/* Calls cb once a burst of changes has settled.  Never NULL; without inotify it
 * reports nothing. */
struct watch *watch_new(struct loop *l, void (*cb)(void *arg), void *arg);
void watch_free(struct watch *w);
/* watch: a struct watch.  Neither the file nor its folder need exist yet.
 * Later states are compared with the current one: call this before the file is
 * read. */
void watch_add(void *watch, const char *path);
/* The same for a file that the configuration names, */
void watch_add_named(
    struct watch *w, const struct conf *conf, const char *name);
/* and for names that come and go in such a folder. */
void watch_add_folder(
    struct watch *w, const struct conf *conf, const char *name);
/* Checks for changes without an event (a file system without inotify, a folder
 * that may not be watched). */
void watch_check(struct watch *w);

/* A mark, a uint64_t, of what a file is (inode, size, times), which others can be
 * added to. */
#define WATCH_MARK UINT64_C(0xcbf29ce484222325)
void watch_mark(void *mark, const char *path);

#endif
