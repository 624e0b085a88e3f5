/* commit.h - group commit: writes the store's changes to disk and reports to
 * those who wait for that.  One fsync serves all of them.  While writing fails,
 * it is repeated after growing pauses. */
#ifndef COMMIT_H
#define COMMIT_H

#include <stdbool.h>

struct commit;
struct loop;
struct store;

/* Both are borrowed.  Sets the store's on_dirty: whatever is queued there is
 * written at the end of the loop's round. */
struct commit *commit_new(struct loop *l, struct store *store);
/* No waiter may be left: call commit_sync() before. */
void commit_free(struct commit *c);

/* Called once; err is NULL if all that was queued in the store is on disk. */
typedef void commit_done_cb(void *arg, const char *err);

/* An entry in the list of waiters, for commit_wait() only. */
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
