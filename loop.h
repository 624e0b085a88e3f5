/* loop.h - the event loop: fds (epoll), timers, tasks, signals.
 *
 * It runs in one thread.  A callback may add, change and remove anything,
 * itself included; memory that a callback may still be using is freed with
 * loop_defer_free(). */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct loop;

#define LOOP_READ 1u
#define LOOP_WRITE 2u
#define LOOP_HUP 4u /* error or hang-up; reported even if not asked for */

/* Part of its owner's struct.  The fields belong to the loop from loop_fd_add()
 * to loop_fd_del(); the same is true of timers and tasks while they are set. */
struct loop_fd {
	int fd;
	unsigned events;
	void (*cb)(void *arg, unsigned events);
	void *arg;
};

struct loop_timer {
	int64_t due_ms;
	size_t slot; /* position in the heap, from 1; 0: not set */
	void (*cb)(void *arg);
	void *arg;
};

/* Work to be done once, at the end of this round, before the next wait. */
struct loop_task {
	struct loop_task *next;
	bool queued;
	void (*cb)(void *arg);
	void *arg;
};

/* Something without an owner, which ends with the loop at the latest. */
struct loop_orphan {
	struct loop_orphan *next, **at;
	void (*end)(void *arg);
	void *arg;
};

/* NULL with err set on failure. */
struct loop *loop_new(char err[ERR_MAX]);
/* Ends adopted orphans first. */
void loop_free(struct loop *l);

/* Runs until loop_stop(). */
void loop_run(struct loop *l);
/* What is known of already (fds) is still dealt with in this round; timers and
 * tasks are not: nothing new begins. */
void loop_stop(struct loop *l);
/* Runs one round.  It waits at most wait_ms (-1: any time) for an event or
 * timer. */
void loop_once(struct loop *l, int wait_ms);

/* The monotonic clock in milliseconds, as read in this round. */
int64_t loop_now_ms(const struct loop *l);
/* The same read now, to be compared with another clock. */
int64_t loop_clock_ms(void);

/* Watches an fd, which remains the caller's and must not be watched already.
 * 0, or -1 with errno set. */
int loop_fd_add(struct loop *l, struct loop_fd *f, int fd, unsigned events,
    void (*cb)(void *arg, unsigned events), void *arg);
void loop_fd_mod(struct loop *l, struct loop_fd *f, unsigned events);
/* Call it before close(2).  No event of f follows.  Does nothing if not
 * added. */
void loop_fd_del(struct loop *l, struct loop_fd *f);

static inline void loop_timer_init(
    struct loop_timer *t, void (*cb)(void *arg), void *arg)
{
	t->slot = 0;
	t->due_ms = 0;
	t->cb = cb;
	t->arg = arg;
}

static inline bool loop_timer_is_set(const struct loop_timer *t)
{
	return t->slot != 0;
}

/* Calls cb once, delay_ms from now; if the timer is set already, moves it. */
void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_ms);
void loop_timer_clear(struct loop *l, struct loop_timer *t);

static inline void loop_task_init(
    struct loop_task *t, void (*cb)(void *arg), void *arg)
{
	t->next = NULL;
	t->queued = false;
	t->cb = cb;
	t->arg = arg;
}

void loop_task_queue(struct loop *l, struct loop_task *t);
void loop_task_cancel(struct loop *l, struct loop_task *t);
/* Whether this round has one event, and tasks that follow it. */
bool loop_is_calm(const struct loop *l);

/* loop_free() will call end, which must call loop_orphan_del(); so must
 * whatever ends earlier. */
void loop_adopt(
    struct loop *l, struct loop_orphan *o, void (*end)(void *arg), void *arg);
void loop_orphan_del(struct loop_orphan *o);

/* Calls free_fn(p) at the end of this round. */
void loop_defer_free(struct loop *l, void *p, void (*free_fn)(void *p));

/* From now on cb is called for signo, instead of the signal's usual effect.  0,
 * or -1 with errno set. */
int loop_signal(
    struct loop *l, int signo, void (*cb)(void *arg, int signo), void *arg);

/* How long to wait after so many failures in a row: min_ms after the first,
 * doubling up to max_ms.  The upper half of it is random, so that not all try at
 * the same moment. */
int64_t loop_backoff_ms(int64_t min_ms, int64_t max_ms, unsigned failures);

#endif
