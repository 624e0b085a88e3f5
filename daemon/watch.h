/* daemon/watch.h - tells when one of a few files was changed or replaced (inotify on
 * their folders, so that a rename over a file is seen too). */
#ifndef WATCH_H
#define WATCH_H

struct loop;
struct watch;

/* cb comes once a burst of changes has settled.  Without inotify: no watch, but
 * never NULL. */
struct watch *watch_new(struct loop *l, void (*cb)(void *arg), void *arg);
void watch_free(struct watch *w);
/* At most WATCH_FILES_MAX; the file need not exist, its folder must. */
void watch_add(struct watch *w, const char *path);

/* More than one kind of credentials can name. */
#define WATCH_FILES_MAX 8

#endif
