/* io/lookup.c - where a host that a user names leads now, for a registration. */
#include "io.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "io/resolve.h"
#include "loop.h"
#include "mem.h"

/* How long a registration waits for name servers: less than Dovecot does for the
 * answer.  What is not known then is looked at when we connect. */
#define LOOKUP_MS 3000
/* Each is a thread, until its name servers have answered or failed. */
#define LOOKUPS_MAX 16

struct io_guard_lookup {
	struct loop *loop;
	const struct io_guard *guard;
	io_guard_cb *cb; /* NULL: called or cancelled */
	void *arg;
	struct resolve *resolve; /* may still run then */
	struct loop_timer timer;
	struct loop_orphan orphan;
	char host[]; /* with a NUL */
};

static unsigned lookups;

static void lookup_free(void *arg)
{
	struct io_guard_lookup *lo = arg;

	if (lo->resolve != NULL)
		lookups--;
	resolve_cancel(lo->resolve);
	loop_timer_clear(lo->loop, &lo->timer);
	loop_orphan_del(&lo->orphan);
	free(lo);
}

static void answer(
    struct io_guard_lookup *lo, enum io_guard_found found, const char *why)
{
	io_guard_cb *cb = lo->cb;

	lo->cb = NULL;
	loop_timer_clear(lo->loop, &lo->timer);
	if (cb != NULL)
		cb(lo->arg, found, why);
}

static void on_resolved(void *arg, struct addrinfo *addrs, const char *why)
{
	struct io_guard_lookup *lo = arg;
	enum io_guard_found found = addrs ? IO_GUARD_OUTSIDE : IO_GUARD_UNKNOWN;
	const struct addrinfo *ai;
	const char *what = NULL;
	char err[ERR_MAX] = "";

	lookups--;
	lo->resolve = NULL;
	if (addrs == NULL)
		err_set(
		    err, "cannot find the address of %s: %s", lo->host, why);
	for (ai = addrs; lo->cb && ai && what == NULL; ai = ai->ai_next)
		what = io_guard_refuses(lo->guard, lo->host,
		    (const struct io_addr *)(const void *)ai->ai_addr);
	resolve_free_addrs(addrs);
	if (what != NULL) {
		found = IO_GUARD_INSIDE;
		io_guard_explain(lo->host, what, err);
	}
	answer(lo, found, err);
	lookup_free(lo);
}

static void on_lookup_late(void *arg)
{
	struct io_guard_lookup *lo = arg;
	char err[ERR_MAX];

	err_set(err,
	    "cannot find the address of %s: no answer from the name servers "
	    "yet",
	    lo->host);
	answer(lo, IO_GUARD_UNKNOWN, err);
	if (lo->resolve == NULL)
		lookup_free(lo);
}

struct io_guard_lookup *io_guard_lookup(struct loop *l,
    const struct io_guard *g, const char *host, int port, io_guard_cb *cb,
    void *arg)
{
	struct io_guard_lookup *lo = xcalloc(1, sizeof(*lo) + strlen(host) + 1);
	bool full = lookups >= LOOKUPS_MAX;

	lo->loop = l;
	lo->guard = g;
	lo->cb = cb;
	lo->arg = arg;
	strcpy(lo->host, host);
	loop_adopt(l, &lo->orphan, lookup_free, lo);
	loop_timer_init(&lo->timer, on_lookup_late, lo);
	loop_timer_set(l, &lo->timer, full ? 0 : LOOKUP_MS);
	if (!full) {
		lookups++;
		lo->resolve = resolve_start(l, host, port, on_resolved, lo);
	}
	return lo;
}

void io_guard_cancel(struct io_guard_lookup *lo)
{
	if (lo == NULL)
		return;
	lo->cb = NULL;
	loop_timer_clear(lo->loop, &lo->timer);
	if (lo->resolve == NULL)
		lookup_free(lo);
}
