/* fake_loop.h - a loop whose clocks the test moves: timers and tasks in the place
 * of loop.c's, and time(). */
#ifndef FAKE_LOOP_H
#define FAKE_LOOP_H

#include <time.h>

#include "../../loop.h"

#define TIMERS_MAX 64

static int64_t now_ms;
static int64_t wall_s; /* the wall clock when now_ms was 0 */
static struct loop_timer *timers[TIMERS_MAX];
static struct loop_task *tasks[TIMERS_MAX];
static size_t n_tasks;

int64_t loop_now_ms(const struct loop *l)
{
	(void)l;
	return now_ms;
}

time_t time(time_t *t)
{
	assert_null(t);
	return (time_t)(wall_s + now_ms / 1000);
}

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	(void)l;
	if (t->slot != 0)
		timers[t->slot - 1] = NULL;
	t->slot = 0;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_ms)
{
	size_t i = 0;

	loop_timer_clear(l, t);
	while (timers[i] != NULL)
		i++;
	assert_true(i < TIMERS_MAX);
	timers[i] = t;
	t->slot = i + 1;
	t->due_ms = now_ms + delay_ms;
}

void loop_task_queue(struct loop *l, struct loop_task *t)
{
	(void)l;
	if (!t->queued)
		tasks[n_tasks++] = t;
	t->queued = true;
}

void loop_defer_free(struct loop *l, void *p, void (*free_fn)(void *p))
{
	(void)l;
	free_fn(p);
}

void loop_task_cancel(struct loop *l, struct loop_task *t)
{
	size_t i;

	(void)l;
	for (i = 0; i < n_tasks; i++)
		if (tasks[i] == t)
			tasks[i] = tasks[--n_tasks];
	t->queued = false;
}

static void run_tasks(void)
{
	struct loop_task *t;

	while (n_tasks > 0) {
		t = tasks[0];
		loop_task_cancel(NULL, t);
		t->cb(t->arg);
	}
}

/* Moves the clock, stopping at every timer on the way. */
static void pass(int64_t ms)
{
	int64_t until = now_ms + ms;
	struct loop_timer *t;
	size_t i;

	run_tasks();
	for (;;) {
		t = NULL;
		for (i = 0; i < TIMERS_MAX; i++)
			if (timers[i] != NULL && timers[i]->due_ms <= until &&
			    (t == NULL || timers[i]->due_ms < t->due_ms))
				t = timers[i];
		if (t == NULL)
			break;
		if (t->due_ms > now_ms)
			now_ms = t->due_ms;
		loop_timer_clear(NULL, t);
		t->cb(t->arg);
		run_tasks();
	}
	now_ms = until;
}

#endif
