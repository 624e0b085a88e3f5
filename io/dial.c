/* io/dial.c - in which order and when a host's addresses are tried (RFC
 * 8305). */
#include "io.h"

#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "io/proxy.h"
#include "io/resolve.h"
#include "loop.h"
#include "mem.h"

/* RFC 8305 5, "Connection Attempt Delay". */
#define ATTEMPT_DELAY_MS 250

/* Attempts at once: each has a descriptor, and memory for TLS once TCP is
 * connected. */
#define ATTEMPTS_MAX 8

/* Addresses remembered for one host, and tried in one round. */
#define CANDIDATES_MAX 16
/* Addresses of the resolver's that are considered. */
#define FOUND_MAX 64

/* How long name servers may take if an address is known that has worked. */
#define PATIENCE_MS 3000

/* An answer that is too late for one round may be used this long for the
 * next. */
#define LATE_MAX_MS (10 * 60 * 1000)

struct candidate {
	struct io_addr addr;
	unsigned failed; /* counts up with each failure; 0: none yet */
};

enum dial_state {
	DIAL_IDLE,
	DIAL_CHECKING, /* where the host leads that the proxy is for */
	DIAL_RESOLVING,
	DIAL_TRYING,
};

struct io_dialer {
	struct loop *loop;
	const struct io_dialer_ops *ops;
	void *arg;
	char *host;
	int port;
	int64_t budget_ms;
	enum dial_state state;
	struct resolve *resolve; /* may still run when a round is over */
	struct addrinfo *late;	 /* its result then, and when */
	int64_t late_ms;
	struct loop_timer next_due, deadline;
	struct candidate list[CANDIDATES_MAX]; /* in the order of this round */
	size_t n, next;			       /* the next to be tried */
	size_t open;			       /* attempts under way */
	bool tried;			       /* at least one in this round */
	const struct io_guard *guard;
	const char *refused; /* what an address was that it does not allow */
	struct io_addr good; /* the last one that worked */
	bool has_good;
	unsigned failures;
	/* with a proxy and a guard: */
	struct resolve *check;
	char *target;		   /* the host */
	char tunnel_to[IO_IP_MAX]; /* its address for this round */
	unsigned turn;
};

static bool same_addr(const struct io_addr *a, const struct io_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
		   sizeof(a->in6.sin6_addr)) == 0 &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

static struct candidate *find_candidate(
    struct candidate *list, size_t n, const struct io_addr *a)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (same_addr(&list[i].addr, a))
			return &list[i];
	return NULL;
}

/* --- their order --- */

static bool take_addr(const struct addrinfo *ai, struct io_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
		return false;
	memcpy(addr, ai->ai_addr,
	    ai->ai_family == AF_INET ? sizeof(addr->in4) : sizeof(addr->in6));
	return true;
}

/* The next address of the family (or of the other ones) from ai on. */
static const struct addrinfo *of_family(
    const struct addrinfo *ai, int family, bool other)
{
	while (ai != NULL && (ai->ai_family == family) == other)
		ai = ai->ai_next;
	return ai;
}

/* The resolver's order (RFC 6724), but the families take turns. */
static size_t interleave(
    const struct addrinfo *ai, struct candidate found[FOUND_MAX])
{
	const struct addrinfo *turn[2] = { ai, NULL };
	int first = ai->ai_family;
	struct io_addr addr;
	size_t n = 0;
	unsigned who;

	turn[1] = of_family(ai, first, true);
	for (who = 0; n < FOUND_MAX && (turn[0] || turn[1]); who = !who) {
		if (turn[who] == NULL)
			continue;
		if (take_addr(turn[who], &addr) &&
		    find_candidate(found, n, &addr) == NULL)
			found[n++] = (struct candidate){ .addr = addr };
		turn[who] = of_family(turn[who]->ai_next, first, who == 1);
	}
	return n;
}

/* Order: the last address that worked, those that have not failed, then the
 * others, the least recent failure first. */
static unsigned rank_of(const struct io_dialer *d, const struct candidate *w)
{
	if (d->has_good && same_addr(&d->good, &w->addr))
		return 0;
	return w->failed == 0 ? 1 : 1 + w->failed;
}

static void sort_candidates(struct io_dialer *d, const struct addrinfo *addrs)
{
	struct candidate found[FOUND_MAX];
	const struct candidate *old;
	unsigned rank[FOUND_MAX];
	size_t n = interleave(addrs, found), i, best;

	/* If all have failed, another one is the first this time. */
	if (d->n > 0 && d->list[0].failed != 0)
		d->list[0].failed = ++d->failures;
	for (i = 0; i < n; i++) {
		old = find_candidate(d->list, d->n, &found[i].addr);
		found[i].failed = old != NULL ? old->failed : 0;
		rank[i] = rank_of(d, &found[i]);
	}
	for (d->n = 0; d->n < n && d->n < CANDIDATES_MAX; d->n++) {
		for (i = 1, best = 0; i < n; i++)
			if (rank[i] < rank[best])
				best = i;
		d->list[d->n] = found[best];
		rank[best] = UINT_MAX; /* taken */
	}
}

/* --- a round --- */

void io_dialer_stop(struct io_dialer *d)
{
	d->state = DIAL_IDLE;
	d->open = 0;
	resolve_cancel(d->check);
	d->check = NULL;
	loop_timer_clear(d->loop, &d->next_due);
	loop_timer_clear(d->loop, &d->deadline);
}

static void give_up(struct io_dialer *d, const char *why)
{
	io_dialer_stop(d);
	d->ops->exhausted(d->arg, why);
}

static void give_up_refused(
    struct io_dialer *d, const char *host, const char *what)
{
	char err[ERR_MAX];

	io_guard_explain(host, what, err);
	give_up(d, err);
}

static void skip_refused(struct io_dialer *d)
{
	const char *what;

	while (d->next < d->n && (what = io_guard_refuses(d->guard, d->host,
				      &d->list[d->next].addr)) != NULL) {
		d->refused = what;
		d->next++;
	}
}

static void try_next(struct io_dialer *d)
{
	struct io_addr addr;

	skip_refused(d);
	if (d->next < d->n && d->open < ATTEMPTS_MAX) {
		addr = d->list[d->next++].addr;
		d->open++;
		d->tried = true;
		if (d->next < d->n)
			loop_timer_set(d->loop, &d->next_due, ATTEMPT_DELAY_MS);
		d->ops->attempt(d->arg, &addr);
	} else if (d->open == 0 && !d->tried && d->refused != NULL) {
		give_up_refused(d, d->host, d->refused);
	} else if (d->open == 0) {
		give_up(d, NULL);
	}
}

static void on_next_due(void *arg)
{
	struct io_dialer *d = arg;

	if (d->ops->is_hopeful(d->arg))
		loop_timer_set(d->loop, &d->next_due, ATTEMPT_DELAY_MS);
	else
		try_next(d);
}

static void start_trying(struct io_dialer *d)
{
	d->state = DIAL_TRYING;
	d->next = 0;
	d->tried = false;
	d->refused = NULL;
	loop_timer_set(d->loop, &d->deadline, d->budget_ms);
	try_next(d);
}

/* Tries the address that has worked, whatever the name servers do. */
static void try_last_good(struct io_dialer *d)
{
	struct candidate *w = find_candidate(d->list, d->n, &d->good), first;

	log_debug("dial: no answer from name servers: the last address that "
		  "worked is tried");
	first = w != NULL ? *w : (struct candidate){ .addr = d->good };
	d->list[0] = first;
	d->n = 1;
	start_trying(d);
}

static void use_addrs(struct io_dialer *d, struct addrinfo *addrs)
{
	sort_candidates(d, addrs);
	resolve_free_addrs(addrs);
	start_trying(d);
}

static void on_resolved(void *arg, struct addrinfo *addrs, const char *why)
{
	struct io_dialer *d = arg;
	char err[ERR_MAX];

	d->resolve = NULL;
	if (d->state != DIAL_RESOLVING) {
		resolve_free_addrs(d->late);
		d->late = addrs;
		d->late_ms = loop_now_ms(d->loop);
	} else if (addrs != NULL) {
		use_addrs(d, addrs);
	} else if (d->has_good) {
		try_last_good(d);
	} else {
		err_set(err, "cannot find the address of %s: %s", d->host, why);
		give_up(d, err);
	}
}

static void on_deadline(void *arg)
{
	struct io_dialer *d = arg;
	char err[ERR_MAX];

	if (d->state == DIAL_TRYING) {
		give_up(d, NULL);
	} else if (d->has_good && d->state == DIAL_RESOLVING) {
		try_last_good(d);
	} else {
		err_set(err,
		    "cannot find the address of %s: no answer from the name "
		    "servers within %lld s",
		    d->state == DIAL_CHECKING ? d->target : d->host,
		    (long long)(d->budget_ms / 1000));
		give_up(d, err);
	}
}

/* --- the owner's --- */

struct io_dialer *io_dialer_new(
    struct loop *l, const struct io_dialer_ops *ops, void *arg)
{
	struct io_dialer *d = xcalloc(1, sizeof(*d));

	d->loop = l;
	d->ops = ops;
	d->arg = arg;
	loop_timer_init(&d->next_due, on_next_due, d);
	loop_timer_init(&d->deadline, on_deadline, d);
	return d;
}

/* Forgets what is known about another host. */
static void set_host(struct io_dialer *d, const char *host, int port)
{
	if (d->host != NULL && strcmp(d->host, host) == 0 && d->port == port)
		return;
	resolve_cancel(d->resolve);
	d->resolve = NULL;
	resolve_free_addrs(d->late);
	d->late = NULL;
	d->n = 0;
	d->has_good = false;
	free(d->host);
	d->host = xstrdup(host);
	d->port = port;
}

static void start_resolving(struct io_dialer *d)
{
	struct addrinfo *addrs = d->late;
	int64_t ms = d->budget_ms;

	d->late = NULL;
	if (addrs != NULL && loop_now_ms(d->loop) - d->late_ms <= LATE_MAX_MS) {
		use_addrs(d, addrs);
		return;
	}
	resolve_free_addrs(addrs);
	d->state = DIAL_RESOLVING;
	if (d->has_good && ms > PATIENCE_MS)
		ms = PATIENCE_MS;
	loop_timer_set(d->loop, &d->deadline, ms);
	if (d->resolve == NULL)
		d->resolve =
		    resolve_start(d->loop, d->host, d->port, on_resolved, d);
}

/* The proxy is asked for an address that the guard allows: it would look the name
 * up again, and might find another one. */
static void on_checked(void *arg, struct addrinfo *addrs, const char *why)
{
	struct io_dialer *d = arg;
	const struct addrinfo *ai;
	const struct io_addr *addr;
	const char *what = NULL;
	char err[ERR_MAX];
	unsigned char ip[16];
	unsigned n = 0;

	d->check = NULL;
	for (ai = addrs; ai != NULL; ai = ai->ai_next) {
		addr = (const void *)ai->ai_addr;
		what = io_guard_refuses(d->guard, d->target, addr);
		/* each round takes the next one of those allowed */
		if (what == NULL && n++ <= d->turn)
			io_addr_ip(addr, ip);
	}
	d->turn = d->turn + 1 < n ? d->turn + 1 : 0;
	resolve_free_addrs(addrs);
	if (n > 0) {
		io_format_ip(ip, d->tunnel_to);
		d->guard = NULL; /* the proxy's own are the administrator's */
		start_resolving(d);
	} else if (what != NULL) {
		give_up_refused(d, d->target, what);
	} else {
		err_set(err,
		    "cannot find the address of %s: %s; if only the proxy "
		    "can, list it in pushAllow",
		    d->target, why);
		give_up(d, err);
	}
}

static void start_checking(struct io_dialer *d, const struct io_target *to)
{
	free(d->target);
	d->target = xstrdup(to->host);
	d->state = DIAL_CHECKING;
	loop_timer_set(d->loop, &d->deadline, d->budget_ms);
	d->check = resolve_start(d->loop, to->host, to->port, on_checked, d);
}

void io_dialer_start(
    struct io_dialer *d, const struct io_target *to, int64_t budget_ms)
{
	bool check = to->proxy != NULL && to->guard != NULL &&
		     !io_guard_lists(to->guard, to->host, to->port);

	io_dialer_stop(d);
	set_host(d, to->proxy ? to->proxy->host : to->host,
	    to->proxy ? to->proxy->port : to->port);
	d->budget_ms = budget_ms;
	d->guard = to->proxy == NULL || check ? to->guard : NULL;
	*d->tunnel_to = '\0';
	if (check)
		start_checking(d, to);
	else
		start_resolving(d);
}

const char *io_dialer_tunnel_to(const struct io_dialer *d)
{
	return *d->tunnel_to != '\0' ? d->tunnel_to : NULL;
}

bool io_dialer_is_running(const struct io_dialer *d)
{
	return d->state != DIAL_IDLE;
}

bool io_dialer_has_more(const struct io_dialer *d)
{
	return d->state == DIAL_TRYING && d->next < d->n;
}

static void mark_failed(struct io_dialer *d, struct candidate *w)
{
	w->failed = ++d->failures;
	if (d->has_good && same_addr(&d->good, &w->addr))
		d->has_good = false;
}

void io_dialer_failed(struct io_dialer *d, const struct io_addr *addr)
{
	struct candidate *w = find_candidate(d->list, d->n, addr);

	if (w != NULL)
		mark_failed(d, w);
	if (d->state != DIAL_TRYING)
		return;
	d->open--;
	try_next(d);
}

void io_dialer_succeeded(struct io_dialer *d, const struct io_addr *addr)
{
	struct candidate *w = find_candidate(d->list, d->n, addr);
	ptrdiff_t i;

	io_dialer_stop(d);
	d->good = *addr;
	d->has_good = true;
	if (w == NULL)
		return;
	w->failed = 0;
	/* These were tried earlier, so had more time, the first one most. */
	for (i = w - d->list; i-- > 0;)
		mark_failed(d, &d->list[i]);
}

void io_dialer_free(struct io_dialer *d)
{
	if (d == NULL)
		return;
	io_dialer_stop(d);
	resolve_cancel(d->resolve);
	resolve_free_addrs(d->late);
	free(d->target);
	free(d->host);
	free(d);
}
