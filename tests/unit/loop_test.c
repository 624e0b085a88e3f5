/* loop_test.c - fds, timers, tasks, signals. */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "with_loop.h"

static char trace[256];

static void note(void *arg)
{
	strcat(trace, arg);
}

static void test_timers_in_order(void **state)
{
	static const struct {
		const char *name;
		int64_t ms;
	} want[] = { { "c", 30 }, { "a", 10 }, { "d", 40 }, { "b", 20 },
		{ "x", 15 } };
	struct loop_timer t[5];
	size_t i;

	(void)state;
	trace[0] = '\0';
	for (i = 0; i < 5; i++) {
		loop_timer_init(&t[i], note, (void *)(uintptr_t)want[i].name);
		loop_timer_set(l, &t[i], want[i].ms);
	}
	loop_timer_clear(l, &t[4]);
	loop_timer_clear(l, &t[4]);
	assert_false(loop_timer_is_set(&t[4]));
	loop_timer_set(l, &t[0], 5); /* moved to the front */
	while (loop_timer_is_set(&t[2]))
		loop_once(l, -1);
	assert_string_equal(trace, "cabd");
}

static void test_many_timers(void **state)
{
	enum {
		N = 1000
	};
	struct loop_timer *t = calloc(N, sizeof(*t));
	int64_t last = 0;
	size_t i, set = 0;
	unsigned seed = 1;

	(void)state;
	trace[0] = '\0';
	for (i = 0; i < N; i++) {
		loop_timer_init(&t[i], note, (void *)(uintptr_t) "");
		loop_timer_set(l, &t[i],
		    (seed = seed * 1103515245 + 12345) % 60000 + 60000);
	}
	for (i = 0; i < N; i += 3)
		loop_timer_clear(l, &t[i]);
	for (i = 0; i < N; i++) {
		set += loop_timer_is_set(&t[i]);
		if (loop_timer_is_set(&t[i]) && t[i].due_ms > last)
			last = t[i].due_ms;
	}
	assert_int_equal(set, N - (N + 2) / 3);
	for (i = 0; i < N; i++)
		loop_timer_clear(l, &t[i]);
	free(t);
}

struct pair {
	struct loop_fd a, b;
	int calls;
};

static void drop_both(void *arg, unsigned events)
{
	struct pair *p = arg;

	assert_true(events & LOOP_READ);
	p->calls++;
	loop_fd_del(l, &p->a);
	loop_fd_del(l, &p->b);
}

/* An event of the same round must not reach an fd that was taken out. */
static void test_fd_removed_by_its_neighbour(void **state)
{
	struct pair p = { .a.fd = -1, .b.fd = -1 };
	int x[2], y[2];

	(void)state;
	assert_int_equal(pipe(x) | pipe(y), 0);
	assert_int_equal(
	    loop_fd_add(l, &p.a, x[0], LOOP_READ, drop_both, &p), 0);
	assert_int_equal(
	    loop_fd_add(l, &p.b, y[0], LOOP_READ, drop_both, &p), 0);
	assert_int_equal(write(x[1], "x", 1) + write(y[1], "y", 1), 2);
	loop_once(l, 1000);
	loop_once(l, 0);
	assert_int_equal(p.calls, 1);
	close(x[0]);
	close(x[1]);
	close(y[0]);
	close(y[1]);
}

struct chain {
	struct loop_fd a, b;
	int to_b;
};

static void on_b(void *arg, unsigned events)
{
	struct chain *c = arg;

	(void)events;
	note((void *)(uintptr_t) "b");
	loop_fd_del(l, &c->b);
}

static void on_a(void *arg, unsigned events)
{
	struct chain *c = arg;

	(void)events;
	note((void *)(uintptr_t) "a");
	assert_int_equal(write(c->to_b, "x", 1), 1);
	loop_fd_del(l, &c->a);
}

/* What comes after the events of a round were fetched, as while we are stopped,
 * comes before a timer that is due. */
static void test_late_event_before_timer(void **state)
{
	struct chain c = { .a.fd = -1, .b.fd = -1 };
	struct loop_timer t;
	int x[2], y[2];

	(void)state;
	trace[0] = '\0';
	assert_int_equal(pipe(x) | pipe(y), 0);
	c.to_b = y[1];
	assert_int_equal(loop_fd_add(l, &c.a, x[0], LOOP_READ, on_a, &c), 0);
	assert_int_equal(loop_fd_add(l, &c.b, y[0], LOOP_READ, on_b, &c), 0);
	loop_timer_init(&t, note, (void *)(uintptr_t) "t");
	loop_timer_set(l, &t, 0);
	assert_int_equal(write(x[1], "x", 1), 1);
	loop_once(l, 1000);
	assert_string_equal(trace, "abt");
	close(x[0]);
	close(x[1]);
	close(y[0]);
	close(y[1]);
}

struct again {
	struct loop_task task;
	int calls;
};

static void queue_again(void *arg)
{
	struct again *a = arg;

	a->calls++;
	loop_task_queue(l, &a->task);
}

/* A task that queues itself must not starve the rest. */
static void test_task_that_queues_itself(void **state)
{
	struct again a = { .calls = 0 };
	struct loop_task other;

	(void)state;
	trace[0] = '\0';
	loop_task_init(&a.task, queue_again, &a);
	loop_task_init(&other, note, (void *)(uintptr_t) "o");
	loop_task_queue(l, &a.task);
	loop_task_queue(l, &other);
	loop_task_queue(l, &other);
	loop_once(l, -1);
	loop_once(l, -1);
	assert_int_equal(a.calls, 2);
	assert_string_equal(trace, "o");
	loop_task_cancel(l, &a.task);
	loop_task_queue(l, &other);
	loop_once(l, 0);
	assert_int_equal(a.calls, 2);
	assert_string_equal(trace, "oo");
}

static void on_signal(void *arg, int signo)
{
	*(int *)arg = signo;
}

static void test_signal(void **state)
{
	int got = 0, other = 0;

	(void)state;
	assert_int_equal(loop_signal(l, SIGUSR1, on_signal, &got), 0);
	assert_int_equal(loop_signal(l, SIGUSR2, on_signal, &other), 0);
	kill(getpid(), SIGUSR1);
	loop_once(l, 1000);
	assert_int_equal(got, SIGUSR1);
	assert_int_equal(other, 0);
	kill(getpid(), SIGUSR2);
	loop_once(l, 1000);
	assert_int_equal(other, SIGUSR2);
}

static int freed;

static void count_free(void *p)
{
	free(p);
	freed++;
}

static void free_self(void *arg)
{
	loop_defer_free(l, arg, count_free);
	assert_int_equal(freed, 0);
}

static void test_deferred_free(void **state)
{
	struct loop_task *t = malloc(sizeof(*t));

	(void)state;
	freed = 0;
	loop_task_init(t, free_self, t);
	loop_task_queue(l, t);
	loop_once(l, 0);
	assert_int_equal(freed, 1);
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* A push that a task would send then is saved as one that waits. */
static void test_no_task_after_stop(void **state)
{
	struct loop_timer t;
	struct loop_task task;

	(void)state;
	trace[0] = '\0';
	loop_timer_init(&t, stop_loop, l);
	loop_timer_set(l, &t, 0);
	loop_task_init(&task, note, (void *)(uintptr_t) "x");
	loop_task_queue(l, &task);
	loop_run(l);
	assert_string_equal(trace, "");
	loop_task_cancel(l, &task);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_timers_in_order),
		T(test_many_timers),
		T(test_fd_removed_by_its_neighbour),
		T(test_late_event_before_timer),
		T(test_task_that_queues_itself),
		T(test_signal),
		T(test_deferred_free),
		T(test_no_task_after_stop),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
