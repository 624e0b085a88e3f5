/* http/room.c - who may be connected, and who makes room for whom. */
#include "http/int.h"

#include <stdlib.h>

#include "io.h"
#include "log.h"
#include "mem.h"
#include "tls.h"

/* One in so many connections is kept for the Unix socket. */
#define RESERVED_PART 4

/* What is unfinished for so long is no ordinary request: it took milliseconds.
 * It makes room for anybody. */
#define SLOW_MS 1000

/* A handshake takes 38 KB before we know whom we talk to: 5 MB for all.  One
 * whose peer is silent makes room for the next: soon if it has not even said its
 * first word, which comes with the connection; else after a long way there and
 * back.  Until then newcomers wait in the kernel. */
#define HANDSHAKES_MAX 128
#define HELLO_MS 200
#define HANDSHAKE_MS 1000

/* Bytes of requests that are not complete, of those that wait for their turn and
 * of answers that are not taken, of all connections: 128 whole bodies.  Without
 * it 1,024 clients could have 140 MB. */
#define WEIGHT_MAX (8 * 1024 * 1024)
#define HEAVY 4096 /* ordinary requests are smaller */

#define COMPLAIN_MS 60000 /* that there is no room, in the log */

static struct share *share_of(const struct http_conn *c)
{
	return &c->s->shares[c->over_unix ? UNIX : TCP];
}

/* Who comes by TCP and asks nothing is not idle like one that did: his silence
 * must not be worth more than the other's patience. */
struct link *http_room_list(const struct http_conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_IDLE:
		return c->fresh && !c->over_unix ? &share_of(c)->unfinished
						 : &share_of(c)->idle;
	case CONN_OPENING:
	case CONN_HEAD:
	case CONN_BODY:
	case CONN_SENDING:
		return &share_of(c)->unfinished;
	default:
		return &c->s->busy;
	}
}

/* --- users of this machine --- */

static struct peer *peer_get(struct http_server *s, uid_t uid)
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

/* He has more than half of all connections: one more ends only his own. */
static bool is_hog(const struct http_conn *c)
{
	return c->peer != NULL && c->peer->n > c->s->max / 2;
}

/* --- room --- */

static void complain(struct http_server *s, const char *what)
{
	int64_t now_ms = loop_now_ms(s->loop);

	if (s->complained_ms != 0 && now_ms - s->complained_ms < COMPLAIN_MS)
		return;
	s->complained_ms = now_ms;
	log_warn("http: %s: the client that takes longest is cut off", what);
}

/* The oldest of a list, of this user if one is given; no surplus one. */
static struct http_conn *oldest(const struct link *list, const struct peer *of)
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

/* The longest-idle one.  One that came or was answered just now is not idle yet:
 * its next request may be on the way. */
static struct http_conn *find_idle(
    const struct http_conn *newcomer, bool tcp, bool unix_too)
{
	const struct peer *of = is_hog(newcomer) ? newcomer->peer : NULL;
	struct share *shares = newcomer->s->shares;
	struct http_conn *c = NULL, *u = NULL;

	if (tcp)
		c = oldest(&shares[TCP].idle, NULL);
	if (unix_too)
		u = oldest(&shares[UNIX].idle, of);
	if (c == NULL || (u != NULL && u->since_ms < c->since_ms))
		c = u;
	return c != NULL && c->since_ms < loop_now_ms(newcomer->s->loop) ? c
									 : NULL;
}

/* Whether what the peer does not finish may end for a newcomer. */
static bool may_end(const struct http_conn *c, const struct http_conn *newcomer)
{
	int64_t age_ms;

	if (c == NULL)
		return false;
	age_ms = loop_now_ms(c->s->loop) - c->since_ms;
	if (age_ms >= SLOW_MS)
		return true;
	if (c->over_unix && newcomer->over_unix)
		return is_hog(c) && !is_hog(newcomer);
	return age_ms >= SURPLUS_MS;
}

/* The longest one: of the other kind, which has more than its share, or else of
 * the newcomer's own. */
static struct http_conn *find_unfinished(
    const struct http_conn *newcomer, bool tcp, bool unix_too)
{
	const struct peer *of = is_hog(newcomer) ? newcomer->peer : NULL;
	struct share *shares = newcomer->s->shares;
	struct http_conn *c = NULL, *u = NULL;

	if (tcp)
		c = oldest(&shares[TCP].unfinished, NULL);
	if (unix_too)
		u = oldest(&shares[UNIX].unfinished, of);
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

static bool has_room(const struct http_conn *newcomer)
{
	const struct http_server *s = newcomer->s;

	return s->shares[TCP].n + s->shares[UNIX].n < s->max &&
	       (newcomer->over_unix || s->shares[TCP].n < tcp_max(s));
}

static void end(struct http_conn *c, const char *why)
{
	if (c->state == CONN_HEAD || c->state == CONN_BODY)
		http_conn_refuse(c, 503, why);
	else
		http_conn_close(c);
}

/* The longest-idle one goes, or else the longest unfinished one; of TCP's own if
 * that has its share, of a user's own if he has most. */
static bool make_room(const struct http_conn *newcomer)
{
	struct http_server *s = newcomer->s;
	bool tcp = !is_hog(newcomer);
	bool unix_too = newcomer->over_unix || s->shares[TCP].n < tcp_max(s);
	struct http_conn *c;

	if (has_room(newcomer))
		return true;
	c = find_idle(newcomer, tcp, unix_too);
	if (c == NULL) {
		c = find_unfinished(newcomer, tcp, unix_too);
		complain(s, "more than maxConnections clients, none is idle");
	}
	if (c != NULL)
		end(c, "too many connections");
	return c != NULL;
}

/* Newcomers wait in the kernel while those that wait here, or the handshakes
 * under way, are enough.  Not those of the Unix socket: a user who floods it
 * must not make others wait. */
static void hold_listeners(struct http_server *s)
{
	bool full = s->shares[TCP].n_surplus >= s->surplus_max;
	struct listener *from;

	for (from = s->listeners; from != NULL; from = from->next)
		if (!from->is_unix)
			io_listener_hold(from->li,
			    full || (from->tls != NULL && s->no_handshakes));
}

static void end_surplus(struct http_conn *c)
{
	if (!c->surplus)
		return;
	c->surplus = false;
	share_of(c)->n_surplus--;
	share_of(c)->n++;
	hold_listeners(c->s);
}

bool http_room_make(struct http_conn *c)
{
	if (!make_room(c))
		return false;
	end_surplus(c);
	return true;
}

/* Lets one in that waits for room. */
static bool admit_one(struct share *share)
{
	struct http_conn *c;
	struct link *l;

	for (l = share->unfinished.next; l != &share->unfinished; l = l->next) {
		c = (struct http_conn *)l;
		if (c->timer == TIMER_SURPLUS && has_room(c)) {
			end_surplus(c);
			http_conn_admit(c);
			return true;
		}
	}
	return false;
}

/* Somebody has gone: the first that waits for it comes in. */
static void on_room(void *arg)
{
	struct http_server *s = arg;

	while (admit_one(&s->shares[UNIX]))
		;
	while (admit_one(&s->shares[TCP]))
		;
}

/* --- memory --- */

static struct http_conn *oldest_heavy(
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

void http_room_weigh(struct http_conn *c, size_t bytes)
{
	struct http_server *s = c->s;
	struct http_conn *other;

	s->weight += bytes;
	s->weight -= c->weight;
	c->weight = bytes;
	while (s->weight > WEIGHT_MAX) {
		other = oldest_heavy(&s->shares[TCP], c);
		if (other == NULL)
			other = oldest_heavy(&s->shares[UNIX], c);
		if (other == NULL)
			return;
		complain(s, "too many large requests at once");
		end(other, "too many large requests at once");
	}
}

/* --- TLS handshakes under way --- */

/* The handshake that has waited for its peer for too long, or will be the first
 * to: *left_ms_r.  What has come and we have not read yet is our slowness. */
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

void http_room_opening(struct http_conn *c)
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

void http_room_opened(struct http_conn *c)
{
	if (!c->handshake)
		return;
	c->handshake = false;
	c->s->n_handshakes--;
	if (c->s->no_handshakes)
		allow_handshakes(c->s);
}

/* --- coming and going --- */

static void forget(struct http_conn *c)
{
	if (c->surplus)
		share_of(c)->n_surplus--;
	else
		share_of(c)->n--;
	peer_put(c->s, c->peer);
	c->peer = NULL;
}

bool http_room_enter(struct http_conn *c)
{
	struct http_server *s = c->s;
	struct share *share = share_of(c);
	struct http_conn *silent;
	int64_t left_ms;

	if (c->over_tls && s->n_handshakes >= HANDSHAKES_MAX) {
		silent = find_silent(s, &left_ms);
		if (silent != NULL && left_ms <= 0)
			http_conn_close(silent);
	}
	if (c->over_unix)
		c->peer = peer_get(s, c->uid);
	c->surplus = !make_room(c);
	if (!c->surplus) {
		share->n++;
		return true;
	}
	if (++share->n_surplus > s->surplus_max) {
		forget(c);
		return false;
	}
	hold_listeners(s);
	return true;
}

void http_room_leave(struct http_conn *c)
{
	struct http_server *s = c->s;

	http_room_opened(c);
	c->s->weight -= c->weight;
	forget(c);
	if (s->shares[TCP].n_surplus + s->shares[UNIX].n_surplus > 0)
		loop_task_queue(s->loop, &s->room);
	hold_listeners(s);
}

void http_room_init(struct http_server *s)
{
	int i;

	for (i = 0; i < N_SHARES; i++) {
		link_init(&s->shares[i].idle);
		link_init(&s->shares[i].unfinished);
	}
	link_init(&s->busy);
	loop_task_init(&s->room, on_room, s);
	loop_timer_init(&s->handshakes, allow_handshakes, s);
}

void http_room_end(struct http_server *s)
{
	loop_task_cancel(s->loop, &s->room);
	loop_timer_clear(s->loop, &s->handshakes);
}
