/* push/queue.c - one registration's push: its states, what waits for it, and the
 * list of those that are ready to be sent. */
#include "push/int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "mem.h"
#include "store.h"

/* Hashes that wait for one registration: it watches no more mailboxes.  Above it
 * those of an earlier list are removed, as the device does not know them any
 * more. */
#define WAIT_MAX REG_MAILBOXES_MAX

/* The same of another kind than Apple's, which may watch all mailboxes and needs
 * a request for each: more than this at once is a move or a sync, and the newest
 * say that. */
#define NOTES_MAX 100

static const char state_names[][8] = {
	[PUSH_IDLE] = "idle",
	[PUSH_DELAYED] = "delayed",
	[PUSH_READY] = "ready",
	[PUSH_PAUSED] = "paused",
};

/* --- registrations --- */

bool push_watches_all(const struct reg *r)
{
	return reg_kind(r) != REG_APPLE && reg_n_mailboxes(r) == 1 &&
	       strcmp(reg_mailbox(r, 0), PUSH_ALL_MAILBOXES) == 0;
}

bool push_is_active(struct push_queue *q, const struct reg *r)
{
	const struct push_way *way = push_ways[reg_kind(r)];

	return way->send != NULL && !reg_suspended(r) &&
	       (way->is_active == NULL || way->is_active(q, r));
}

void push_each_reg(
    struct push_queue *q, int (*cb)(void *arg, struct reg *r), void *arg)
{
	store_each(q->store, cb, arg);
	if (q->memory != NULL)
		store_each(q->memory, cb, arg);
}

/* --- lanes --- */

struct push_lane *push_lane_of(struct push_queue *q, const struct reg *r)
{
	return q->lanes == NULL ? &q->main
				: q->lanes[store_brand_of(q->store, r)];
}

static void on_home(void *arg);

/* Made when it is needed: hundreds of bytes. */
struct push_lane *push_home(struct push_queue *q, enum reg_kind kind)
{
	struct push_lane *l = q->homes[kind];

	if (l != NULL)
		return l;
	l = q->homes[kind] = xcalloc(1, sizeof(*l));
	l->q = q;
	l->way = push_ways[kind];
	l->label = xcalloc(2, 1);
	loop_task_init(&l->pump, on_home, l);
	return l;
}

/* Of another kind than Apple's: one that can send it, or else its home, which
 * drops it and says why. */
static struct push_lane *find_lane(struct push *p)
{
	const struct push_way *way = p->lane->way;
	struct push_lane *home = push_home(p->lane->q, way->kind), *l;
	char err[ERR_MAX];

	err_set(err, "%s", PUSH_LACKS);
	l = way->lane != NULL ? way->lane(p->lane->q, p->reg, err) : NULL;
	if (l != NULL)
		return l;
	if (home->trouble == NULL || strcmp(home->trouble, err) != 0)
		push_log(LOG_L_ERROR, p, "%s", err);
	free(home->trouble);
	home->trouble = xstrdup(err);
	return home;
}

/* To be called while it is neither listed nor in flight. */
static void choose_lane(struct push *p)
{
	struct push_lane *to;

	if (!p->noted)
		to = push_lane_of(p->lane->q, p->reg);
	else if (p->state == PUSH_READY)
		to = find_lane(p);
	else
		to = push_home(p->lane->q, p->lane->way->kind);
	if (to == p->lane)
		return;
	if (--p->lane->count == 0)
		p->lane->fail_ms = 0;
	p->lane = to;
	to->count++;
}

/* --- the ready list --- */

static void ready_add(struct push *p, bool front)
{
	struct push_lane *l;

	if (p->listed || p->in_flight)
		return;
	choose_lane(p);
	l = p->lane;
	p->listed = true;
	p->prev = front ? NULL : l->last;
	p->next = front ? l->first : NULL;
	*(p->prev != NULL ? &p->prev->next : &l->first) = p;
	*(p->next != NULL ? &p->next->prev : &l->last) = p;
	loop_task_queue(l->q->loop, &l->pump);
}

static void ready_remove(struct push *p)
{
	struct push_lane *l = p->lane;

	if (!p->listed)
		return;
	p->listed = false;
	*(p->prev != NULL ? &p->prev->next : &l->first) = p->next;
	*(p->next != NULL ? &p->next->prev : &l->last) = p->prev;
}

/* --- states --- */

#define SHOWN_MAX (REG_ACCOUNT_MAX + 1) /* more than LOG_TOKEN_MAX */

/* Its account alone says what another kind's is: the token is a hash. */
static const char *show(const struct reg *r, char shown[SHOWN_MAX])
{
	char tok[REG_TOKEN_MAX + 1];

	return reg_kind(r) != REG_APPLE ? reg_account(r, shown)
					: log_token(reg_token(r, tok), shown);
}

static void log_state(const struct push *p, enum push_state to)
{
	char shown[SHOWN_MAX];

	log_debug("push: %s: %s: %s -> %s", reg_user(p->reg),
	    show(p->reg, shown), state_names[p->state], state_names[to]);
}

static void on_timer(void *arg);

void push_set_state(struct push *p, enum push_state to, int64_t ms)
{
	if (log_get_level() >= LOG_L_DEBUG && p->reg != NULL)
		log_state(p, to);
	p->state = to;
	loop_timer_clear(p->lane->q->loop, &p->timer);
	ready_remove(p);
	switch (to) {
	case PUSH_IDLE:
		break;
	case PUSH_DELAYED:
	case PUSH_PAUSED:
		loop_timer_set(p->lane->q->loop, &p->timer, ms);
		break;
	case PUSH_READY:
		ready_add(p, ms < 0);
		break;
	}
}

/* Apple's are used again. */
static struct push *new_push(struct push_queue *q, enum reg_kind kind)
{
	struct push *p = q->pool;

	if (kind != REG_APPLE) {
		p = xcalloc(1, sizeof(struct push_noted));
		p->noted = true;
		p->lane = push_home(q, kind);
		return p;
	}
	if (p != NULL)
		q->pool = p->next;
	else
		p = xmalloc(sizeof(*p));
	memset(p, 0, sizeof(*p));
	return p;
}

struct push *push_get(struct push_queue *q, struct reg *r)
{
	struct push *p = reg_data(r);

	if (p != NULL)
		return p;
	p = new_push(q, reg_kind(r));
	if (!p->noted)
		p->lane = push_lane_of(q, r);
	p->reg = r;
	loop_timer_init(&p->timer, on_timer, p);
	reg_set_data(r, p);
	p->lane->count++;
	q->count++;
	return p;
}

void push_take(struct push *p)
{
	push_hashes_take(&p->flight, &p->wait, p->lane->way->per_push);
	if (p->noted)
		push_notes_take(p, p->flight.n);
}

void push_give_back(struct push *p)
{
	push_hashes_merge(&p->flight, &p->wait);
	p->wait = p->flight;
	memset(&p->flight, 0, sizeof(p->flight));
	if (p->noted)
		push_notes_give_back(p);
}

void push_clear(struct push *p)
{
	push_hashes_clear(&p->wait);
	if (p->noted)
		push_notes_clear(p);
}

static void clear_flight(struct push *p)
{
	push_hashes_clear(&p->flight);
	if (p->noted)
		push_notes_clear_flight(p);
}

/* Each is one of our users' and of our hooks', and has something to be sent. */
#define MEMORY_MAX 10000

struct reg *push_memory_reg(struct push_queue *q, enum reg_kind kind,
    const char *user, const char *account)
{
	static const struct store_limits limits = { .registrations =
							MEMORY_MAX };
	struct reg_spec spec = {
		.user = user,
		.account = account,
		.token = "00000000000000000000000000000000",
		.kind = kind,
		.to = reg_kind_name(kind),
	};
	struct reg *r;

	if (q->memory == NULL) {
		q->memory = store_view_new();
		store_set_limits(q->memory, &limits);
	}
	r = store_find(q->memory, user, account, spec.token);
	return r != NULL ? r : store_put(q->memory, &spec);
}

static void forget_reg(struct push_queue *q, struct push *p)
{
	struct reg *r = p->reg;

	if (r == NULL)
		return;
	reg_set_data(r, NULL);
	if (q->memory != NULL && reg_kind(r) == REG_HOOK)
		store_drop(q->memory, r);
}

void push_release(struct push *p)
{
	struct push_lane *l = p->lane;
	struct push_queue *q = l->q;

	if (p->probe != NULL)
		q->probe_end(p, false, "dropped: could not be sent");
	if (p->state != PUSH_IDLE)
		push_set_state(p, PUSH_IDLE, 0);
	if (p->wait.n > 0)
		push_clear(p);
	if (p->flight.n > 0)
		clear_flight(p);
	forget_reg(q, p);
	if (p->noted) {
		free(p);
	} else {
		p->next = q->pool;
		q->pool = p;
	}
	q->count--;
	if (--l->count == 0)
		l->fail_ms = 0; /* nobody waits for Apple to mend */
}

/* Nothing can be sent from here. */
static void on_home(void *arg)
{
	struct push_lane *l = arg;
	struct push *p;

	while ((p = l->first) != NULL) {
		visits_answered(
		    &l->q->visits, p->reg, l->trouble, loop_now_ms(l->q->loop));
		if (p->probe != NULL)
			l->q->probe_end(p, false, l->trouble);
		l->counters.dropped++;
		push_release(p);
	}
}

void push_finish(struct push *p)
{
	clear_flight(p);
	p->tries = 0;
	if (p->wait.n == 0)
		push_release(p);
	else if (p->state == PUSH_READY)
		ready_add(p, false);
}

void push_forget(struct push *p)
{
	push_clear(p);
	push_set_state(p, PUSH_IDLE, 0);
	if (!p->in_flight)
		push_release(p);
}

void push_change_lane(struct push *p)
{
	if (p->in_flight)
		return;
	if (p->listed) {
		ready_remove(p);
		ready_add(p, false);
	} else {
		choose_lane(p);
	}
}

/* --- several nodes --- */

/* Long enough for an answer, and short beside `delay`. */
#define AHEAD_MS 500
/* A push with more mailboxes is sent by each: a question for each is more than a
 * push costs. */
#define ASK_MAX 8

static int64_t delay_ms(const struct push *p)
{
	const struct push_way *way = p->lane->way;

	return way->delay_ms != NULL ? way->delay_ms(p->lane->q, p->reg)
				     : p->lane->q->conf->delay_s * 1000;
}

/* Other nodes do not know a hook's registration. */
static int64_t ahead_ms(const struct push *p)
{
	int64_t half_ms = delay_ms(p) / 2;

	if (p->lane->q->on_due == NULL || p->lane->way->kind == REG_HOOK)
		return 0;
	return half_ms < AHEAD_MS ? half_ms : AHEAD_MS;
}

/* Whoever could not send now leaves it to the others. */
static bool ask_ahead(struct push *p)
{
	struct push_lane *l = p->lane;
	struct push_queue *q = l->q;
	int64_t ms = ahead_ms(p);
	unsigned i;

	if (p->state != PUSH_DELAYED || p->asked || ms == 0)
		return false;
	p->asked = true;
	loop_timer_set(q->loop, &p->timer, ms);
	if (p->wait.n > ASK_MAX || loop_timer_is_set(&l->hold) ||
	    (sender_capacity(l->sender) == 0 && !sender_is_idle(l->sender)))
		return true;
	for (i = 0; i < p->wait.n; i++)
		q->on_due(
		    q->on_due_arg, p->reg, push_hashes_at(&p->wait, i), ms);
	return true;
}

bool push_covered(
    struct reg *r, const unsigned char hash[HASH_LEN], int64_t sent_ms)
{
	struct push *p = reg_data(r);

	if (p == NULL || p->state != PUSH_DELAYED || !p->asked ||
	    p->wait_ms >= sent_ms || !push_hashes_has(&p->wait, hash))
		return false;
	push_hashes_remove(&p->wait, hash);
	if (p->noted)
		push_notes_prune(p);
	if (p->wait.n > 0)
		return false;
	push_log(LOG_L_DEBUG, p, "another node sends it");
	push_forget(p);
	return true;
}

void push_claimed(struct reg *r, int64_t ahead_ms)
{
	struct push *p = reg_data(r);

	if (p != NULL && p->state == PUSH_DELAYED && p->asked)
		loop_timer_set(p->lane->q->loop, &p->timer, ahead_ms);
}

static void on_timer(void *arg)
{
	if (!ask_ahead(arg))
		push_set_state(arg, PUSH_READY, 0);
}

/* --- what waits --- */

/* Removes what the registration does not watch any more. */
static void prune_waiting(struct push *p)
{
	struct push_hashes current = { 0 }, rest = { 0 };
	unsigned char hash[HASH_LEN];
	const char *at = NULL;
	unsigned i;

	for (i = 0; i < reg_n_mailboxes(p->reg); i++) {
		push_hash_mailbox(reg_next_mailbox(p->reg, &at), hash);
		push_hashes_add(&current, hash);
	}
	for (i = 0; i < p->wait.n; i++)
		if (push_hashes_has(&current, push_hashes_at(&p->wait, i)))
			push_hashes_add(&rest, push_hashes_at(&p->wait, i));
	push_hashes_clear(&current);
	push_hashes_clear(&p->wait);
	p->wait = rest;
}

/* The one that waits longest makes room. */
static void limit_notes(struct push *p)
{
	unsigned char first[HASH_LEN];

	if (p->wait.n <= NOTES_MAX)
		return;
	memcpy(first, push_hashes_at(&p->wait, 0), HASH_LEN);
	push_hashes_remove(&p->wait, first);
	push_notes_prune(p);
	p->lane->counters.dropped++;
}

bool push_add_hash(struct push *p, const unsigned char *hash)
{
	if (!push_hashes_add(&p->wait, hash))
		return false;
	if (p->wait.n > WAIT_MAX)
		prune_waiting(p);
	return true;
}

/* Something was added to what waits, as the first or not. */
static void added(struct push *p, bool first, bool now)
{
	int64_t ms;

	p->wait_ms = loop_now_ms(p->lane->q->loop);
	if (!first)
		p->lane->counters.merged++;
	if (p->state == PUSH_IDLE && !now) {
		ms = ahead_ms(p);
		p->asked = ms == 0;
		push_set_state(p, PUSH_DELAYED, delay_ms(p) - ms);
	} else if (p->state == PUSH_IDLE || (p->state == PUSH_DELAYED && now)) {
		push_set_state(p, PUSH_READY, 0);
	}
}

void push_add_note(struct push *p, const char *mailbox, const char *event,
    int64_t unseen, uint64_t id)
{
	unsigned char hash[HASH_LEN];

	push_hash_utf8(mailbox, hash);
	push_notes_add(p, mailbox, event, unseen, id, push_add_hash(p, hash));
	limit_notes(p);
}

void push_add_named(struct push_queue *q, struct reg *r, const char *mailbox,
    const struct push_event *ev)
{
	struct push *p = push_get(q, r);
	bool first = p->wait.n == 0;

	push_add_note(p, mailbox, ev->name, ev->unseen, ++q->note_id);
	added(p, first, ev->now);
}

void push_add_other(struct push_queue *q, struct reg *r, size_t mailbox,
    const struct push_event *ev)
{
	char utf8[REG_UTF8_MAX + 1];

	push_add_named(
	    q, r, push_decode_mailbox(reg_mailbox(r, mailbox), utf8), ev);
}

void push_add(struct push_queue *q, struct reg *r, size_t mailbox, bool now)
{
	struct push *p = push_get(q, r);
	unsigned char hash[HASH_LEN];
	bool first = p->wait.n == 0;

	push_hash_mailbox(reg_mailbox(r, mailbox), hash);
	push_add_hash(p, hash);
	added(p, first, now);
}

bool push_names_mailboxes(const struct push_queue *q, const struct reg *r)
{
	switch (q->conf->mailbox_hashes) {
	case HASHES_ALWAYS:
		return true;
	case HASHES_NEVER:
		return false;
	default:
		return reg_acked(r);
	}
}

/* --- logging --- */

void push_log(enum log_level level, const struct push *p, const char *fmt, ...)
{
	char shown[SHOWN_MAX], what[ERR_MAX];
	va_list ap;

	if (level > log_get_level())
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	log_at(level, "push: %s: %s: %s", reg_user(p->reg), show(p->reg, shown),
	    what);
}

bool push_is_expired(const struct push_queue *q, int64_t event_ms)
{
	return loop_now_ms(q->loop) - event_ms >=
	       q->conf->push_expiration_s * 1000;
}

void push_note_expired(struct push *p)
{
	push_log(
	    LOG_L_WARN, p, "dropped: could not be sent before pushExpiration");
	p->lane->counters.dropped++;
}
