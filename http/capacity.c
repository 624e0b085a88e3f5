/* http/capacity.c - how many clients may be connected, and which one is closed
 * for another.  It counts and chooses; conn.c acts. */
#include "http/int.h"

#include <stdlib.h>

#include "io.h"
#include "log.h"
#include "mem.h"
#include "tls.h"

/* One connection in this many is reserved for the Unix socket. */
#define RESERVED_PART 4

/* A request that is unfinished for this long is not an ordinary one, which
 * takes milliseconds.  It may be ended for any new client. */
#define SLOW_MS 1000

/* A handshake takes 38 KB before we know who the client is: 5 MB for all.  One
 * whose peer is silent is ended for the next one: soon if not even the
 * ClientHello has come, which a client sends at once; else after a long round
 * trip.  Until then new connections wait in the kernel. */
#define HANDSHAKES_MAX 128
#define HELLO_MS 200
#define HANDSHAKE_MS 1000

/* Limit, for all connections together, of incomplete requests, requests that
 * wait for their turn, and answers that were not read yet: 128 whole bodies.
 * Without it 1,024 clients could use 140 MB. */
#define WEIGHT_MAX (8 * 1024 * 1024)
#define HEAVY 4096 /* ordinary requests are smaller */

#define WARN_MS 60000 /* between warnings in the log */

static struct share *share_of(const struct http_conn *c)
{
	return &c->s->shares[c->over_unix ? UNIX : TCP];
}

/* A TCP client that has not sent a request yet does not count as idle:
 * otherwise silent connections could displace working ones. */
struct link *http_capacity_list(const struct http_conn *c)
{
	switch ((enum http_conn_state)c->state) {
	case HTTP_CONN_IDLE:
		return c->fresh && !c->over_unix ? &share_of(c)->unfinished
						 : &share_of(c)->idle;
	case HTTP_CONN_OPENING:
	case HTTP_CONN_HEAD:
	case HTTP_CONN_BODY:
	case HTTP_CONN_SENDING:
		return &share_of(c)->unfinished;
	default:
		return &c->s->busy;
	}
}

/* --- users of this machine --- */

struct peer *http_capacity_peer(struct http_server *s, uid_t uid)
{
	struct peer *p = s->peers;

	while (p != NULL && p->uid != uid)
		p = p->next;
	if (p == NULL) {
		p = xcalloc(1, sizeof(*p));
		p->uid = uid;
		p->next = s->peers;
		s->peers = p;
	}
	p->n++;
	return p;
}

static void peer_put(struct http_server *s, struct peer *p)
{
	struct peer **at = &s->peers;

	if (p == NULL || --p->n > 0)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	free(p);
}

/* True if this local user has more than half of all connections: another one
 * may then displace only the user's own. */
static bool has_most_connections(const struct http_conn *c)
{
	return c->peer != NULL && c->peer->n > c->s->max / 2;
}

/* --- places --- */

static void warn_full(struct http_server *s, const char *what)
{
	int64_t now_ms = loop_now_ms(s->loop);

	if (s->warned_ms != 0 && now_ms - s->warned_ms < WARN_MS)
		return;
	s->warned_ms = now_ms;
	log_warn("http: %s: the client that takes longest is cut off", what);
}

/* The oldest of a list (of that user's, if one is given), except surplus
 * ones. */
static struct http_conn *find_oldest(
    const struct link *list, const struct peer *of)
{
	struct http_conn *c;
	struct link *l;

	for (l = list->next; l != list; l = l->next) {
		c = (struct http_conn *)l;
		if (!c->surplus && (of == NULL || c->peer == of))
			return c;
	}
	return NULL;
}

/* The longest-idle connection.  One that was opened or answered just now is not
 * idle yet: its next request may be on the way. */
static struct http_conn *find_idle(
    const struct http_conn *newcomer, bool tcp, bool unix_too)
{
	const struct peer *of =
	    has_most_connections(newcomer) ? newcomer->peer : NULL;
	struct share *shares = newcomer->s->shares;
	struct http_conn *c = NULL, *u = NULL;

	if (tcp)
		c = find_oldest(&shares[TCP].idle, NULL);
	if (unix_too)
		u = find_oldest(&shares[UNIX].idle, of);
	if (c == NULL || (u != NULL && u->since_ms < c->since_ms))
		c = u;
	return c != NULL && c->since_ms < loop_now_ms(newcomer->s->loop) ? c
									 : NULL;
}

/* Whether a connection whose peer is slow may be ended for a new one. */
static bool may_end(const struct http_conn *c, const struct http_conn *newcomer)
{
	int64_t age_ms;

	if (c == NULL)
		return false;
	age_ms = loop_now_ms(c->s->loop) - c->since_ms;
	if (age_ms >= SLOW_MS)
		return true;
	if (c->over_unix && newcomer->over_unix)
		return has_most_connections(c) &&
		       !has_most_connections(newcomer);
	return age_ms >= SURPLUS_MS;
}

/* The longest-unfinished connection: of the other kind, which has more than its
 * share, or else of the new one's kind. */
static struct http_conn *find_unfinished(
    const struct http_conn *newcomer, bool tcp, bool unix_too)
{
	const struct peer *of =
	    has_most_connections(newcomer) ? newcomer->peer : NULL;
	struct share *shares = newcomer->s->shares;
	struct http_conn *c = NULL, *u = NULL;

	if (tcp)
		c = find_oldest(&shares[TCP].unfinished, NULL);
	if (unix_too)
		u = find_oldest(&shares[UNIX].unfinished, of);
	if (newcomer->over_unix)
		return may_end(c, newcomer)   ? c
		       : may_end(u, newcomer) ? u
					      : NULL;
	return may_end(u, newcomer) ? u : may_end(c, newcomer) ? c : NULL;
}

static size_t tcp_max(const struct http_server *s)
{
	return s->max - s->max / RESERVED_PART;
}

bool http_capacity_allows(const struct http_conn *newcomer)
{
	const struct http_server *s = newcomer->s;

	return s->shares[TCP].n + s->shares[UNIX].n < s->max &&
	       (newcomer->over_unix || s->shares[TCP].n < tcp_max(s));
}

/* The longest-idle connection, or else the longest-unfinished one.  If TCP has
 * its full share, a new TCP connection displaces only TCP's; if a local user
 * has most connections, only that user's. */
struct http_conn *http_capacity_victim(const struct http_conn *newcomer)
{
	struct http_server *s = newcomer->s;
	bool tcp = !has_most_connections(newcomer);
	bool unix_too = newcomer->over_unix || s->shares[TCP].n < tcp_max(s);
	struct http_conn *c = find_idle(newcomer, tcp, unix_too);

	if (c != NULL)
		return c;
	warn_full(s, "more than maxConnections clients, none is idle");
	return find_unfinished(newcomer, tcp, unix_too);
}

/* New TCP connections wait in the kernel while enough of them wait here, or
 * enough handshakes are under way.  The Unix socket is never held: a user who
 * floods it must not make others wait. */
static void hold_listeners(struct http_server *s)
{
	bool full = s->shares[TCP].n_surplus >= s->surplus_max;
	struct listener *from;

	for (from = s->listeners; from != NULL; from = from->next)
		if (!from->is_unix)
			io_listener_hold(from->li,
			    full || (from->tls != NULL && s->no_handshakes));
}

void http_capacity_admit(struct http_conn *c)
{
	if (!c->surplus)
		return;
	c->surplus = false;
	share_of(c)->n_surplus--;
	share_of(c)->n++;
	hold_listeners(c->s);
}

static struct http_conn *first_waiting(const struct share *share)
{
	struct http_conn *c;
	struct link *l;

	for (l = share->unfinished.next; l != &share->unfinished; l = l->next) {
		c = (struct http_conn *)l;
		if (c->timer == TIMER_SURPLUS && http_capacity_allows(c))
			return c;
	}
	return NULL;
}

struct http_conn *http_capacity_next(const struct http_server *s)
{
	struct http_conn *c = first_waiting(&s->shares[UNIX]);

	return c != NULL ? c : first_waiting(&s->shares[TCP]);
}

/* --- memory --- */

static struct http_conn *find_oldest_heavy(
    const struct share *share, const struct http_conn *but)
{
	struct http_conn *c;
	struct link *l;

	for (l = share->unfinished.next; l != &share->unfinished; l = l->next) {
		c = (struct http_conn *)l;
		if (c != but && c->weight >= HEAVY)
			return c;
	}
	return NULL;
}

struct http_conn *http_capacity_weigh(struct http_conn *c, size_t bytes)
{
	struct http_server *s = c->s;
	struct http_conn *other;

	s->weight += bytes;
	s->weight -= c->weight;
	c->weight = bytes;
	if (s->weight <= WEIGHT_MAX)
		return NULL;
	other = find_oldest_heavy(&s->shares[TCP], c);
	if (other == NULL)
		other = find_oldest_heavy(&s->shares[UNIX], c);
	if (other != NULL)
		warn_full(s, "too many large requests at once");
	return other;
}

/* --- TLS handshakes under way --- */

/* The handshake whose time limit ends first, and how much is left of it.  One
 * with bytes to be read does not count: there we are the slow side. */
static struct http_conn *find_silent(
    const struct http_server *s, int64_t *left_ms_r)
{
	const struct link *list = &s->shares[TCP].unfinished;
	int64_t now_ms = loop_now_ms(s->loop), left_ms;
	struct http_conn *c, *found = NULL;
	struct link *l;

	*left_ms_r = HELLO_MS;
	for (l = list->next; l != list; l = l->next) {
		c = (struct http_conn *)l;
		if (!c->handshake)
			continue;
		left_ms =
		    c->since_ms - now_ms +
		    (tls_has_answered(io_tls(c->io)) ? HANDSHAKE_MS : HELLO_MS);
		if ((found == NULL || left_ms < *left_ms_r) &&
		    !io_has_input(c->io)) {
			*left_ms_r = left_ms;
			found = c;
		}
	}
	return found;
}

static void allow_handshakes(void *arg)
{
	struct http_server *s = arg;

	loop_timer_clear(s->loop, &s->handshakes);
	s->no_handshakes = false;
	hold_listeners(s);
}

void http_capacity_handshake_begins(struct http_conn *c)
{
	struct http_server *s = c->s;
	int64_t left_ms;

	if (!c->over_tls)
		return;
	c->handshake = true;
	if (++s->n_handshakes < HANDSHAKES_MAX)
		return;
	find_silent(s, &left_ms);
	if (left_ms <= 0)
		return;
	s->no_handshakes = true;
	hold_listeners(s);
	loop_timer_set(s->loop, &s->handshakes, left_ms);
}

void http_capacity_handshake_done(struct http_conn *c)
{
	if (!c->handshake)
		return;
	c->handshake = false;
	c->s->n_handshakes--;
	if (c->s->no_handshakes)
		allow_handshakes(c->s);
}

/* --- coming and going --- */

static void uncount(struct http_conn *c)
{
	if (c->surplus)
		share_of(c)->n_surplus--;
	else
		share_of(c)->n--;
	peer_put(c->s, c->peer);
	c->peer = NULL;
}

struct http_conn *http_capacity_silent(const struct http_server *s)
{
	struct http_conn *silent;
	int64_t left_ms;

	if (s->n_handshakes < HANDSHAKES_MAX)
		return NULL;
	silent = find_silent(s, &left_ms);
	return left_ms <= 0 ? silent : NULL;
}

bool http_capacity_enter(struct http_conn *c)
{
	struct share *share = share_of(c);

	if (!c->surplus) {
		share->n++;
		return true;
	}
	if (++share->n_surplus > c->s->surplus_max) {
		uncount(c);
		return false;
	}
	hold_listeners(c->s);
	return true;
}

void http_capacity_leave(struct http_conn *c)
{
	struct http_server *s = c->s;

	http_capacity_handshake_done(c);
	c->s->weight -= c->weight;
	uncount(c);
	if (s->shares[TCP].n_surplus + s->shares[UNIX].n_surplus > 0)
		loop_task_queue(s->loop, &s->admit);
	hold_listeners(s);
}

void http_capacity_init(struct http_server *s)
{
	int i;

	for (i = 0; i < N_SHARES; i++) {
		link_init(&s->shares[i].idle);
		link_init(&s->shares[i].unfinished);
	}
	link_init(&s->busy);
	loop_timer_init(&s->handshakes, allow_handshakes, s);
}

void http_capacity_end(struct http_server *s)
{
	loop_timer_clear(s->loop, &s->handshakes);
}
