/* daemon/watch.h - reports when one of a few files changes: in place, by being
 * replaced, or through a link or a folder on its path (inotify, so that nothing
 * runs while nothing changes). */
#ifndef WATCH_H
#define WATCH_H

struct loop;
struct watch;

/* Calls cb once a burst of changes has settled.  Never NULL; without inotify it
 * reports nothing. */
struct watch *watch_new(struct loop *l, void (*cb)(void *arg), void *arg);
void watch_free(struct watch *w);
/* Neither the file nor its folder need exist yet.
 * Later states are compared with the current one: call this before the file is
 * read. */
void watch_add(struct watch *w, const char *path);
/* The same for names that come and go in a folder. */
void watch_add_folder(struct watch *w, const char *path);
/* Checks for changes without an event (a file system without inotify, a folder
 * that may not be watched). */
void watch_check(struct watch *w);

#endif
