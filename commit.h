/* commit.h - group commit: when changes of the store go to disk, and who waits
 * for it.  One fsync serves everybody who waits.  While the disk refuses, it is
 * tried again after growing pauses. */
#ifndef COMMIT_H
#define COMMIT_H

#include <stdbool.h>

struct commit;
struct loop;
struct store;

/* Both are borrowed.  Takes the store's on_dirty: whatever is queued there, by
 * whomever, is written after the events at hand. */
struct commit *commit_new(struct loop *l, struct store *store);
/* Nobody may wait any more: call commit_sync() before. */
void commit_free(struct commit *c);

/* Called once; err is NULL if all that was queued in the store is on disk. */
typedef void commit_done_cb(void *arg, const char *err);

/* A place in the list of those who wait, for commit_wait() only. */
struct commit_waiter {
	struct commit_waiter *next;
	commit_done_cb *done;
	void *arg;
};

/* Calls done after the next write.  The waiter is the caller's, and in use until
 * then. */
void commit_wait(
    struct commit *c, struct commit_waiter *w, commit_done_cb *done, void *arg);

/* Writes at once. */
void commit_sync(struct commit *c);

/* To be called after a registration: if the store holds changes back (see
 * store_holds()) they are written within an hour. */
void commit_after_put(struct commit *c);

/* True if the last write failed. */
bool commit_is_failing(const struct commit *c);

#endif
