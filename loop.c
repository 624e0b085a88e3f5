/* loop.c - the event loop: fds (epoll), timers, tasks, signals. */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"

/* The most events of a round; as many registrations can share one fsync. */
#define EVENTS_MAX 128

#define SIGNALS_MAX 8

/* Memory to be freed at the end of the round. */
struct deferred {
	struct deferred *next;
	void *p;
	void (*free_fn)(void *p);
};

struct loop {
	int epfd;
	bool stop;
	int64_t now_ms;
	struct loop_timer **heap; /* the first is due first */
	size_t n_timers, heap_cap;
	struct loop_task *tasks, **tasks_tail;
	struct deferred *deferred;
	struct loop_orphan *orphans;
	struct loop_fd sig_fd;
	sigset_t sigs;
	struct {
		int signo;
		void (*cb)(void *arg, int signo);
		void *arg;
	} handlers[SIGNALS_MAX];
	size_t n_handlers;
	/* of the current round */
	struct epoll_event events[EVENTS_MAX];
	int n_events, at_event;
};

int64_t loop_clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct loop *loop_new(char err[ERR_MAX])
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		err_set(err, "epoll: %s", err_words(errno));
		free(l);
		return NULL;
	}
	l->sig_fd.fd = -1;
	l->tasks_tail = &l->tasks;
	l->now_ms = loop_clock_ms();
	sigemptyset(&l->sigs);
	return l;
}

static void free_deferred(struct loop *l)
{
	struct deferred *d;

	/* free_fn may add more */
	while ((d = l->deferred) != NULL) {
		l->deferred = d->next;
		d->free_fn(d->p);
		free(d);
	}
}

void loop_free(struct loop *l)
{
	int fd;

	if (l == NULL)
		return;
	while (l->orphans != NULL)
		l->orphans->end(l->orphans->arg);
	free_deferred(l);
	fd = l->sig_fd.fd;
	loop_fd_del(l, &l->sig_fd);
	if (fd >= 0)
		close(fd);
	close(l->epfd);
	free(l->heap);
	free(l);
}

void loop_adopt(
    struct loop *l, struct loop_orphan *o, void (*end)(void *arg), void *arg)
{
	*o = (struct loop_orphan){ l->orphans, &l->orphans, end, arg };
	if (o->next != NULL)
		o->next->at = &o->next;
	l->orphans = o;
}

void loop_orphan_del(struct loop_orphan *o)
{
	*o->at = o->next;
	if (o->next != NULL)
		o->next->at = o->at;
}

int64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

/* --- fds --- */

static uint32_t to_epoll(unsigned events)
{
	return (events & LOOP_READ ? EPOLLIN | EPOLLRDHUP : 0u) |
	       (events & LOOP_WRITE ? EPOLLOUT : 0u);
}

static unsigned from_epoll(uint32_t e)
{
	return (e & (EPOLLIN | EPOLLRDHUP) ? LOOP_READ : 0u) |
	       (e & EPOLLOUT ? LOOP_WRITE : 0u) |
	       (e & (EPOLLERR | EPOLLHUP) ? LOOP_HUP : 0u);
}

int loop_fd_add(struct loop *l, struct loop_fd *f, int fd, unsigned events,
    void (*cb)(void *arg, unsigned events), void *arg)
{
	struct epoll_event e = { .events = to_epoll(events), .data.ptr = f };

	f->fd = fd;
	f->events = events;
	f->cb = cb;
	f->arg = arg;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &e) < 0) {
		f->fd = -1;
		return -1;
	}
	return 0;
}

void loop_fd_mod(struct loop *l, struct loop_fd *f, unsigned events)
{
	struct epoll_event e = { .events = to_epoll(events), .data.ptr = f };

	if (f->fd < 0 || events == f->events)
		return;
	f->events = events;
	if (epoll_ctl(l->epfd, EPOLL_CTL_MOD, f->fd, &e) < 0)
		assert(!"epoll_ctl MOD of a registered fd");
}

void loop_fd_del(struct loop *l, struct loop_fd *f)
{
	int i;

	if (f->fd < 0)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, f->fd, NULL);
	f->fd = -1;
	/* A later event of this round may be for it. */
	for (i = l->at_event; i < l->n_events; i++)
		if (l->events[i].data.ptr == f)
			l->events[i].data.ptr = NULL;
}

/* --- timers: a binary heap whose slots count from 1 --- */

static void heap_place(struct loop *l, size_t slot, struct loop_timer *t)
{
	l->heap[slot - 1] = t;
	t->slot = slot;
}

static void heap_up(struct loop *l, struct loop_timer *t)
{
	size_t slot = t->slot;

	while (slot > 1 && l->heap[slot / 2 - 1]->due_ms > t->due_ms) {
		heap_place(l, slot, l->heap[slot / 2 - 1]);
		slot /= 2;
	}
	heap_place(l, slot, t);
}

static void heap_down(struct loop *l, struct loop_timer *t)
{
	size_t slot = t->slot, child;

	while ((child = slot * 2) <= l->n_timers) {
		if (child < l->n_timers &&
		    l->heap[child]->due_ms < l->heap[child - 1]->due_ms)
			child++;
		if (l->heap[child - 1]->due_ms >= t->due_ms)
			break;
		heap_place(l, slot, l->heap[child - 1]);
		slot = child;
	}
	heap_place(l, slot, t);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_ms)
{
	t->due_ms = l->now_ms + (delay_ms > 0 ? delay_ms : 0);
	if (t->slot == 0) {
		if (l->n_timers == l->heap_cap) {
			l->heap_cap = l->heap_cap ? l->heap_cap * 2 : 16;
			l->heap = xrealloc(
			    l->heap, l->heap_cap * sizeof(struct loop_timer *));
		}
		heap_place(l, ++l->n_timers, t);
	}
	heap_up(l, t);
	heap_down(l, t);
}

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	struct loop_timer *last;

	if (t->slot == 0)
		return;
	last = l->heap[--l->n_timers];
	if (last != t) {
		heap_place(l, t->slot, last);
		heap_up(l, last);
		heap_down(l, last);
	}
	t->slot = 0;
}

static void run_timers(struct loop *l)
{
	struct loop_timer *t;
	int64_t now_ms = l->now_ms;

	/* A callback that sets its timer again for "now" is called in the next
	 * round, so that fds get their turn. */
	size_t left = l->n_timers;

	while (left-- > 0 && l->n_timers > 0 && !l->stop) {
		t = l->heap[0];
		if (t->due_ms > now_ms)
			break;
		loop_timer_clear(l, t);
		t->cb(t->arg);
	}
}

/* --- tasks, deferred freeing --- */

void loop_task_queue(struct loop *l, struct loop_task *t)
{
	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	*l->tasks_tail = t;
	l->tasks_tail = &t->next;
}

void loop_task_cancel(struct loop *l, struct loop_task *t)
{
	struct loop_task **p;

	if (!t->queued)
		return;
	for (p = &l->tasks; *p != t; p = &(*p)->next)
		;
	*p = t->next;
	if (*p == NULL)
		l->tasks_tail = p;
	t->queued = false;
}

bool loop_is_calm(const struct loop *l)
{
	return l->n_events == 1 && l->tasks != NULL;
}

static void run_tasks(struct loop *l)
{
	struct loop_task *t, *last;
	size_t left = 0;

	/* A task that queues itself again runs in the next round. */
	for (last = l->tasks; last != NULL; last = last->next)
		left++;
	while (left-- > 0 && (t = l->tasks) != NULL && !l->stop) {
		loop_task_cancel(l, t);
		t->cb(t->arg);
	}
}

void loop_defer_free(struct loop *l, void *p, void (*free_fn)(void *p))
{
	struct deferred *d = xmalloc(sizeof(*d));

	d->next = l->deferred;
	d->p = p;
	d->free_fn = free_fn;
	l->deferred = d;
}

/* --- signals --- */

static void on_signals(void *arg, unsigned events)
{
	struct loop *l = arg;
	struct signalfd_siginfo si;
	size_t i;

	(void)events;
	while (read(l->sig_fd.fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		for (i = 0; i < l->n_handlers; i++)
			if (l->handlers[i].signo == (int)si.ssi_signo)
				l->handlers[i].cb(
				    l->handlers[i].arg, (int)si.ssi_signo);
}

int loop_signal(
    struct loop *l, int signo, void (*cb)(void *arg, int signo), void *arg)
{
	int fd;

	assert(l->n_handlers < SIGNALS_MAX);
	sigaddset(&l->sigs, signo);
	if (sigprocmask(SIG_BLOCK, &l->sigs, NULL) < 0)
		return -1;
	fd = signalfd(l->sig_fd.fd, &l->sigs, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (l->sig_fd.fd < 0 &&
	    loop_fd_add(l, &l->sig_fd, fd, LOOP_READ, on_signals, l) < 0) {
		close(fd);
		return -1;
	}
	l->handlers[l->n_handlers].signo = signo;
	l->handlers[l->n_handlers].cb = cb;
	l->handlers[l->n_handlers++].arg = arg;
	return 0;
}

/* --- rounds --- */

static int round_wait_ms(const struct loop *l, int wait_ms)
{
	int64_t timer_ms;

	if (l->tasks != NULL)
		return 0;
	if (l->n_timers == 0)
		return wait_ms;
	timer_ms = l->heap[0]->due_ms - l->now_ms;
	if (timer_ms < 0)
		timer_ms = 0;
	if (timer_ms > INT_MAX)
		timer_ms = INT_MAX;
	return wait_ms < 0 || timer_ms < wait_ms ? (int)timer_ms : wait_ms;
}

static void wait_events(struct loop *l, int wait_ms)
{
	l->n_events = epoll_wait(l->epfd, l->events, EVENTS_MAX, wait_ms);
}

static void run_events(struct loop *l)
{
	struct loop_fd *f;
	unsigned wanted;

	for (l->at_event = 0; l->at_event < l->n_events;) {
		f = l->events[l->at_event].data.ptr;
		wanted = from_epoll(l->events[l->at_event].events);
		l->at_event++;
		if (f != NULL)
			f->cb(f->arg, wanted);
	}
	l->n_events = 0;
}

static bool has_due_timer(const struct loop *l)
{
	return l->n_timers > 0 && l->heap[0]->due_ms <= l->now_ms;
}

void loop_once(struct loop *l, int wait_ms)
{
	l->now_ms = loop_clock_ms();
	wait_events(l, round_wait_ms(l, wait_ms));
	l->now_ms = loop_clock_ms();
	run_events(l);
	/* It may be late, since we were stopped (SIGSTOP, a busy machine): what
	 * has come meanwhile comes first, else an answer that is here would be
	 * missed. */
	if (!l->stop && has_due_timer(l)) {
		wait_events(l, 0);
		run_events(l);
		run_timers(l);
	}
	run_tasks(l);
	free_deferred(l);
}

void loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop)
		loop_once(l, -1);
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}
