/* daemon/watch.h - reports when one of a few files becomes another one:
 * changed in place, replaced, or reached through a link or a folder that was
 * (inotify, so that nothing runs while nothing changes). */
#ifndef WATCH_H
#define WATCH_H

struct loop;
struct watch;

/* cb comes once a burst of changes has settled.  Without inotify: no watch, but
 * never NULL. */
struct watch *watch_new(struct loop *l, void (*cb)(void *arg), void *arg);
void watch_free(struct watch *w);
/* At most WATCH_FILES_MAX.  Neither the file nor its folder need exist yet.
 * What the file is now is what later changes are compared with: call this
 * before the file is read. */
void watch_add(struct watch *w, const char *path);
/* Checks whether a file is another one by now although there was no event (a
 * file system without inotify, a folder that may not be watched). */
void watch_check(struct watch *w);

/* More than one kind of credentials can name. */
#define WATCH_FILES_MAX 8

#endif
