/* commit.c - group commit: one fsync for everybody who waits for the disk. */
#include "commit.h"

#include <stdint.h>
#include <stdlib.h>

#include "log.h"
#include "loop.h"
#include "mem.h"
#include "store.h"

/* Pauses after the disk refused. */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS (5 * 60 * 1000)

/* How long a registration that changes too often is held back. */
#define HOLD_MS (60 * 60 * 1000)

struct commit {
	struct loop *loop;
	struct store *store;
	struct loop_task task; /* queued while something is to be written */
	struct commit_waiter *first, **last;
	struct loop_timer retry; /* set while the disk refuses */
	int64_t retry_ms;	 /* the last pause; 0: none */
	struct loop_timer hold;	 /* set while store_holds() */
	bool failing;		 /* the last write; logged once */
};

static void on_write(void *arg)
{
	commit_sync(arg);
}

static void on_dirty(void *arg)
{
	struct commit *c = arg;

	loop_task_queue(c->loop, &c->task);
}

static void on_hold_over(void *arg)
{
	struct commit *c = arg;

	store_release(c->store);
}

struct commit *commit_new(struct loop *l, struct store *store)
{
	struct commit *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->store = store;
	c->last = &c->first;
	loop_task_init(&c->task, on_write, c);
	loop_timer_init(&c->retry, on_write, c);
	loop_timer_init(&c->hold, on_hold_over, c);
	store_on_dirty(store, on_dirty, c);
	return c;
}

void commit_free(struct commit *c)
{
	if (c == NULL)
		return;
	store_on_dirty(c->store, NULL, NULL);
	loop_task_cancel(c->loop, &c->task);
	loop_timer_clear(c->loop, &c->retry);
	loop_timer_clear(c->loop, &c->hold);
	free(c);
}

void commit_wait(
    struct commit *c, struct commit_waiter *w, commit_done_cb *done, void *arg)
{
	*w = (struct commit_waiter){ .done = done, .arg = arg };
	*c->last = w;
	c->last = &w->next;
	loop_task_queue(c->loop, &c->task);
}

/* Retries as long as something is not on disk. */
static void set_retry(struct commit *c, bool failed)
{
	if (!failed) {
		loop_timer_clear(c->loop, &c->retry);
		c->retry_ms = 0;
	} else if (!loop_timer_is_set(&c->retry)) {
		c->retry_ms = c->retry_ms * 2;
		if (c->retry_ms < RETRY_MIN_MS)
			c->retry_ms = RETRY_MIN_MS;
		if (c->retry_ms > RETRY_MAX_MS)
			c->retry_ms = RETRY_MAX_MS;
		loop_timer_set(c->loop, &c->retry, c->retry_ms);
	}
}

/* A waiter that is added meanwhile waits for the next write. */
static void call_waiters(struct commit *c, const char *err)
{
	struct commit_waiter *w = c->first, *next;

	c->first = NULL;
	c->last = &c->first;
	for (; w != NULL; w = next) {
		next = w->next;
		w->done(w->arg, err);
	}
}

void commit_sync(struct commit *c)
{
	char err[ERR_MAX];
	bool failed = store_sync(c->store, err) < 0;

	if (failed && !c->failing)
		log_error("%s", err);
	if (!failed && c->failing)
		log_info("store: registrations are on disk again");
	c->failing = failed;
	set_retry(c, failed);
	call_waiters(c, failed ? err : NULL);
}

void commit_after_put(struct commit *c)
{
	if (store_holds(c->store) && !loop_timer_is_set(&c->hold))
		loop_timer_set(c->loop, &c->hold, HOLD_MS);
}

bool commit_is_failing(const struct commit *c)
{
	return c->failing;
}
