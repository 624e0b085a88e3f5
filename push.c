/* push.c - decides when a device is woken and what Apple's answer means for it.
 * Knows devices and time; knows nothing of HTTP/2, TLS or Dovecot. */
#include "push/int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "apns.h"
#include "conf.h"
#include "cred.h"
#include "features.h"
#include "json.h"
#include "mem.h"
#include "store.h"
#include "tls.h"
#include "users.h"
#include "webpush.h"

/* 4 KiB is Apple's limit; account ids are at most 200 bytes, escaped 400. */
#define PAYLOAD_MAX 4096

/* Pause after a JWT could not be signed: on a router NTP may set the clock at any
 * moment. */
#define NO_AUTH_MS (10 * 1000)

/* --- events --- */

/* None of the user's own devices is woken: because none watches it, or because
 * those that do are suspended? */
static void note_unwatched(
    struct push_queue *q, const char *user, const char *mailbox)
{
	int64_t now_ms = loop_now_ms(q->loop);
	bool watched = false;
	struct reg *r;

	for (r = store_first(q->store, user); r != NULL; r = reg_next(r))
		watched = watched || push_watches_all(r) ||
			  reg_match(r, mailbox) >= 0;
	for (r = store_first(q->store, user); r != NULL; r = reg_next(r))
		visits_notified(&q->visits, r, watched, now_ms);
}

/* Several of the device's folders may be this mailbox. */
static enum push_result notify_apple(struct push_queue *q, struct reg *r,
    const char *owner, const char *mailbox, int i, bool now)
{
	if (cred_kind(push_lane_of(q, r)->cred) == CRED_NONE)
		return PUSH_NO_CRED;
	for (; i >= 0; i = reg_match_next(r, owner, mailbox, i))
		push_add(q, r, (size_t)i, now);
	return PUSH_QUEUED;
}

/* The same for another kind than Apple's; owner NULL: the user. */
static enum push_result notify_other(struct push_queue *q, struct reg *r,
    const char *owner, const char *mailbox, const struct push_event *ev)
{
	bool all = owner == NULL && push_watches_all(r);
	int i = all ? 0 : reg_match_next(r, owner, mailbox, -1);

	if (i < 0 || !push_is_active(q, r))
		return PUSH_NO_USER;
	if (!ev->now && push_ways[reg_kind(r)]->only_new)
		return PUSH_QUEUED;
	if (all)
		push_add_named(q, r, mailbox, ev);
	for (; i >= 0 && !all; i = reg_match_next(r, owner, mailbox, i))
		push_add_other(q, r, (size_t)i, ev);
	return PUSH_QUEUED;
}

/* Of a device's results the best one counts. */
static enum push_result better(enum push_result a, enum push_result b)
{
	static const unsigned char rank[] = {
		[PUSH_NO_USER] = 0,
		[PUSH_NO_MAILBOX] = 1,
		[PUSH_NO_CRED] = 2,
		[PUSH_QUEUED] = 3,
	};

	return rank[a] > rank[b] ? a : b;
}

/* Notifies other users' devices that watch this mailbox of the owner's. */
static enum push_result notify_watchers(struct push_queue *q, const char *owner,
    const char *mailbox, const struct push_event *ev)
{
	const struct watch *w = NULL;
	enum push_result result = PUSH_NO_USER, one;
	struct reg *r;
	int i;

	while ((r = store_watcher(q->store, owner, &w)) != NULL) {
		if (reg_kind(r) != REG_APPLE) {
			one = notify_other(q, r, owner, mailbox, ev);
			if (one == PUSH_NO_USER)
				continue;
		} else {
			/* Without names in the push a phone would check its
			 * own INBOX. */
			if (reg_suspended(r) || !push_names_mailboxes(q, r))
				continue;
			i = reg_match_next(r, owner, mailbox, -1);
			if (i < 0)
				continue;
			one = notify_apple(q, r, owner, mailbox, i, ev->now);
		}
		visits_notified(&q->visits, r, true, loop_now_ms(q->loop));
		result = better(result, one);
	}
	return result;
}

/* Notifies one of the user's own devices. */
static enum push_result notify_own(struct push_queue *q, struct reg *r,
    const char *mailbox, const struct push_event *ev)
{
	int i;

	if (reg_kind(r) != REG_APPLE)
		return notify_other(q, r, NULL, mailbox, ev);
	if (reg_suspended(r))
		return PUSH_NO_USER;
	/* Without names in the push the phone only checks INBOX. */
	if (!push_names_mailboxes(q, r) && strcasecmp(mailbox, "INBOX") != 0)
		return PUSH_NO_USER;
	i = reg_match(r, mailbox);
	return i >= 0 ? notify_apple(q, r, NULL, mailbox, i, ev->now)
		      : PUSH_NO_USER;
}

enum push_result push_notify(struct push_queue *q, const char *user,
    const char *mailbox, const struct push_event *ev)
{
	enum push_result result, one;
	int64_t now_ms = loop_now_ms(q->loop);
	const struct push_way *hook = push_ways[REG_HOOK];
	bool own = false;
	struct reg *r;

	if (strcasecmp(mailbox, "INBOX") == 0)
		mailbox = "INBOX";
	result = notify_watchers(q, user, mailbox, ev);
	for (r = store_first(q->store, user); r != NULL; r = reg_next(r)) {
		visits_notified(&q->visits, r, true, now_ms);
		one = notify_own(q, r, mailbox, ev);
		own = own || one != PUSH_NO_USER;
		if (one == PUSH_NO_USER)
			one = PUSH_NO_MAILBOX;
		result = better(result, one);
	}
	if (!own)
		note_unwatched(q, user, mailbox);
	if (q->homes[REG_HOOK] != NULL && hook->notify != NULL &&
	    hook->notify(q, user, mailbox, ev))
		return PUSH_QUEUED;
	return result != PUSH_QUEUED && !push_has_cred(q) ? PUSH_NO_CRED
							  : result;
}

void push_confirm(struct push_queue *q, struct reg *r)
{
	static const struct push_event ev = { true, PUSH_CONFIRM, -1 };

	if (push_ways[reg_kind(r)]->send != NULL)
		push_add_named(q, r, "", &ev);
}

static int flush_reg(void *arg, struct reg *r)
{
	struct push *p = reg_data(r);

	(void)arg;
	if (p != NULL && p->state == PUSH_DELAYED)
		push_set_state(p, PUSH_READY, 0);
	return 0;
}

void push_flush(struct push_queue *q)
{
	push_each_reg(q, flush_reg, NULL);
}

void push_on_due(struct push_queue *q,
    void (*cb)(void *arg, const struct reg *r,
	const unsigned char hash[HASH_LEN], int64_t ahead_ms),
    void *arg)
{
	q->on_due = cb;
	q->on_due_arg = arg;
}

/* --- sending --- */

/* It could not be sent.  Returns false if nothing can be now. */
static bool give_up(struct push *p, enum send_sent sent, const char *why)
{
	struct push_lane *l = p->lane;

	if (sent == SEND_BAD) {
		push_log(LOG_L_WARN, p,
		    "dropped: its request would be too long, or has control "
		    "characters");
		l->counters.dropped++;
		push_set_state(p, PUSH_IDLE, 0);
		if (p->wait.n > 0)
			push_set_state(p, PUSH_READY, 0);
		push_finish(p);
		return true;
	}
	push_give_back(p);
	if (sent == SEND_NO_AUTH)
		push_hold(l, why, NO_AUTH_MS);
	return false;
}

/* Returns false if nothing more can be sent now. */
static bool send_first(struct push_lane *l)
{
	struct push_queue *q = l->q;
	struct push *p = l->first;
	char err[ERR_MAX];
	enum send_sent sent;
	int64_t wait_ms;

	/* Without pushExpiration (0) each is tried once, however late. */
	if (q->conf->push_expiration_s != 0 && push_is_expired(q, p->wait_ms)) {
		push_note_expired(p);
		push_release(p);
		return true;
	}
	wait_ms = p->noted ? push_foreign_wait(p) : 0;
	if (wait_ms > 0) {
		push_set_state(p, PUSH_PAUSED, wait_ms);
		return true;
	}
	push_take(p);
	sent = l->way->send(l, p, err);
	if (sent != SEND_SENT)
		return give_up(p, sent, err);
	p->auth_gen = push_auth_gen(l);
	p->flight_ms = p->wait_ms;
	p->renewed = p->paid = false;
	p->probe_sent = p->probe != NULL;
	p->sent = visits_tick(&q->visits, loop_now_ms(q->loop));
	p->came = VISITS_NOBODY;
	push_set_state(p, PUSH_IDLE, 0);
	p->in_flight = true;
	l->in_flight++;
	if (p->wait.n > 0) /* more mailboxes than fit into one push */
		push_set_state(p, PUSH_READY, 0);
	return true;
}

static void on_pump(void *arg)
{
	struct push_lane *l = arg;

	push_check_clock(l);
	while (l->first != NULL && !loop_timer_is_set(&l->hold) &&
	       sender_capacity(l->sender) > 0 &&
	       !(l->probing && l->in_flight > 0))
		if (!send_first(l))
			break;
	sender_flush(l->sender);
	if (l->first != NULL)
		sender_need(l->sender);
}

static void on_capacity(void *arg)
{
	struct push_lane *l = arg;

	loop_task_queue(l->q->loop, &l->pump);
}

/* --- answers --- */

void push_renewed(struct reg *r)
{
	struct push *p = r != NULL ? reg_data(r) : NULL;

	if (p != NULL) {
		p->renewed = true;
		if (p->noted && !push_is_active(p->lane->q, r))
			push_forget(p); /* it has to be confirmed again */
		else
			push_change_lane(p);
	}
	if (r != NULL)
		visits_renewed(r);
}

static void add_counters(
    struct push_counters *to, const struct push_counters *from)
{
	to->delivered += from->delivered;
	to->merged += from->merged;
	to->retried += from->retried;
	to->dropped += from->dropped;
	to->forgotten += from->forgotten;
	to->suspended += from->suspended;
}

/* What was counted stays known. */
static void keep_counters(const struct push_lane *l)
{
	struct push_lane *to = push_home(l->q, l->way->kind);

	add_counters(&to->counters, &l->counters);
	if (to->delivered_s < l->delivered_s)
		to->delivered_s = l->delivered_s;
}

static void free_lane(void *arg)
{
	struct push_lane *l = arg, **at = &l->q->others;

	if (l->way != &push_way_apple)
		keep_counters(l);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	push_lane_clear(l);
	free(l->label);
	free(l);
}

void push_lane_free(struct push_lane *l)
{
	/* Perhaps from a callback of its connection. */
	loop_defer_free(l->q->loop, l, free_lane);
}

static void release_orphan(struct push *p)
{
	struct push **at = &p->lane->q->orphans;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	push_release(p);
}

static void on_answer(void *arg, void *owner, struct send_answer *an)
{
	struct push_lane *l = arg;
	struct push_queue *q = l->q;
	struct push *p = owner;
	char line[ERR_MAX];
	const struct push_answer *row;
	const char *words;
	bool is_good;

	if (l->way->read_answer != NULL)
		l->way->read_answer(an);
	row = push_find_answer(l, an);
	words = push_answer_words(l, row, an, line);
	is_good = push_answer_is_good(row);
	p->in_flight = false;
	l->in_flight--;
	if (p->reg != NULL)
		visits_answered(
		    &q->visits, p->reg, words, loop_now_ms(q->loop));
	push_probe_answered(p, is_good, words);
	push_note_answer(l, is_good, an);
	loop_task_queue(q->loop, &l->pump);
	if (p->reg == NULL)
		release_orphan(p);
	else
		push_handle_answer(p, row, an);
	if (l->closing && l->in_flight == 0)
		push_lane_free(l);
}

/* --- the owner's --- */

static void on_drop(void *arg, struct reg *r)
{
	struct push_queue *q = arg;
	struct push *p = reg_data(r);

	visits_drop(&q->visits, r, loop_now_ms(q->loop));
	if (p == NULL)
		return;
	push_probe_end(p, false, "the registration was removed meanwhile");
	reg_set_data(r, NULL);
	push_set_state(p, PUSH_IDLE, 0);
	p->reg = NULL;
	if (!p->in_flight) {
		push_release(p);
		return;
	}
	p->next = q->orphans;
	q->orphans = p;
}

/* Another server than Apple's may be away for ever. */
static void drop_expired(struct push_lane *l)
{
	struct push *p, *next;

	for (p = l->first; p != NULL; p = next) {
		next = p->next;
		if (!push_is_expired(l->q, p->wait_ms))
			continue;
		push_note_expired(p);
		push_release(p);
	}
}

/* For the log: nobody may ask. */
static void on_send_failed(void *arg)
{
	struct push_lane *l = arg;

	if (l->way != &push_way_apple)
		drop_expired(l);
	push_health(l);
}

/* For a brand's lane: is there something to be sent? */
static char no_label[] = "\0";

static bool on_wanted(void *arg)
{
	const struct push_lane *l = arg;

	return l->first != NULL && !loop_timer_is_set(&l->hold);
}

const struct send_ops push_send_ops = {
	.capacity = on_capacity,
	.answer = on_answer,
	.failed = on_send_failed,
	.wanted = on_wanted,
};

void push_lane_init(struct push_lane *l, struct push_queue *q,
    struct cred *cred, struct send_gate *gate)
{
	l->q = q;
	l->way = &push_way_apple;
	l->cred = cred;
	loop_task_init(&l->pump, on_pump, l);
	loop_timer_init(&l->hold, push_on_hold_over, l);
	l->apns =
	    apns_new(q->loop, q->conf, cred, &push_send_ops, l, l->label, gate);
	l->sender = apns_sender(l->apns);
}

struct push_lane *push_lane_make(
    struct push_queue *q, const struct push_way *way, const char *label)
{
	struct push_lane *l = xcalloc(1, sizeof(*l));

	l->q = q;
	l->way = way;
	/* No brand's name after the NUL. */
	l->label = xcalloc(1, strlen(label) + 2);
	strcpy(l->label, label);
	loop_task_init(&l->pump, on_pump, l);
	loop_timer_init(&l->hold, push_on_hold_over, l);
	l->next = q->others;
	q->others = l;
	return l;
}

void push_lane_clear(struct push_lane *l)
{
	if (l->way == &push_way_apple)
		apns_free(l->apns);
	else
		sender_free(l->sender);
	l->apns = NULL;
	l->sender = NULL;
	if (l->way->clear != NULL && l->data != NULL)
		l->way->clear(l);
	l->data = NULL;
	loop_task_cancel(l->q->loop, &l->pump);
	loop_timer_clear(l->q->loop, &l->hold);
	push_set_text(&l->trouble, "");
	push_set_text(&l->cred_error, "");
}

struct push_queue *push_new(struct loop *l, const struct conf *conf,
    struct store *store, struct cred *cred)
{
	struct push_queue *q = xcalloc(1, sizeof(*q));

	q->loop = l;
	q->conf = conf;
	q->store = store;
	buf_init(&q->payload, PAYLOAD_MAX);
	q->probe_end = push_probe_end;
	q->webpush = webpush_new(conf);
	/* Other ids than before the start. */
	q->note_id = (uint64_t)time(NULL) * 1000000;
	visits_init(&q->visits, store, loop_now_ms(l));
	store_on_drop(store, on_drop, q);
	q->main.label = no_label;
	push_lane_init(&q->main, q, cred, NULL);
	return q;
}

static void free_pool(struct push_queue *q)
{
	struct push *p;

	while ((p = q->pool) != NULL) {
		q->pool = p->next;
		free(p);
	}
}

static int release_reg(void *arg, struct reg *r)
{
	struct push *p = reg_data(r);

	(void)arg;
	if (p != NULL)
		push_release(p);
	return 0;
}

static void free_home(struct push_lane *l)
{
	if (l == NULL)
		return;
	push_lane_clear(l);
	free(l->label);
	free(l);
}

void push_free(struct push_queue *q)
{
	struct push_lane *l;
	struct store *memory;
	size_t i;

	if (q == NULL)
		return;
	memory = q->memory;
	q->memory = NULL; /* nothing is dropped from it any more */
	push_trials_free(q);
	store_on_drop(q->store, NULL, NULL);
	push_lane_clear(&q->main);
	for (l = q->others; l != NULL; l = l->next)
		push_lane_clear(l);
	store_each(q->store, release_reg, NULL);
	if (memory != NULL)
		store_each(memory, release_reg, NULL);
	while (q->orphans != NULL)
		release_orphan(q->orphans);
	free_pool(q);
	while (q->others != NULL)
		free_lane(q->others);
	for (i = 0; i < REG_KINDS; i++)
		free_home(q->homes[i]);
	store_view_free(memory);
	free(q->lanes);
	free(q->gate);
	free(q->origin_gate);
	tls_ctx_free(q->trust);
	buf_free(&q->payload);
	visits_free(&q->visits);
	webpush_free(q->webpush);
	push_foreign_free(q);
	free(q);
}

void push_lane_changed(struct push_lane *apple)
{
	size_t i;

	for (i = 0; i < REG_KINDS; i++)
		if (push_ways[i]->follow != NULL)
			push_ways[i]->follow(apple);
}

void push_set_cred(struct push_lane *l, struct cred *cred)
{
	l->cred = cred;
	push_hold_forget(l);
	l->no_expiration = false;
	apns_set_expiration(l->apns, true);
	apns_set_cred(l->apns, cred);
	push_lane_changed(l);
}

void push_reconfigure(struct push_lane *l)
{
	push_set_cred(l, l->cred);
}

void push_refresh_brands(struct push_queue *q)
{
	size_t i;

	for (i = 1; i < q->n_lanes; i++) {
		apns_refresh(q->lanes[i]->apns);
		push_lane_changed(q->lanes[i]);
	}
}

void push_set_cred_error(struct push_lane *l, const char *why)
{
	push_set_text(&l->cred_error, why);
}

struct push_lane *push_lane_at(struct push_queue *q, size_t brand)
{
	return q->lanes != NULL ? q->lanes[brand] : &q->main;
}

size_t push_n_lanes(const struct push_queue *q)
{
	return q->lanes != NULL ? q->n_lanes : 1;
}

struct push_lane *push_user_lane(struct push_queue *q, const char *user)
{
	return push_lane_at(q, users_find(q->users, user));
}

const struct cred *push_cred(const struct push_lane *l)
{
	return l->cred;
}

bool push_has_cred(struct push_queue *q)
{
	size_t i, n = push_n_lanes(q);

	for (i = 0; i < n; i++)
		if (cred_kind(push_lane_at(q, i)->cred) != CRED_NONE)
			return true;
	return false;
}

bool push_is_busy(struct push_queue *q)
{
	const struct push_lane *l;

	for (l = &q->main; l != NULL; l = l == &q->main ? q->others : l->next)
		if (l->in_flight > 0 ||
		    (l->first != NULL && !loop_timer_is_set(&l->hold) &&
			sender_capacity(l->sender) > 0))
			return true;
	return false;
}

size_t push_count(const struct push_queue *q)
{
	return q->count;
}

void push_get_figures(const struct push_lane *l, struct push_figures *f_r)
{
	f_r->name = l->label + strlen(l->label) + 1;
	f_r->cred = l->cred;
	f_r->waiting = l->count;
	f_r->in_flight = l->in_flight;
	f_r->delivered_s = l->delivered_s;
	f_r->counters = l->counters;
	sender_get_status(l->sender, &f_r->send);
}

static void add_figures(struct push_figures *f, const struct push_lane *l)
{
	if (l == NULL)
		return;
	f->waiting += l->count;
	f->in_flight += l->in_flight;
	if (f->delivered_s < l->delivered_s)
		f->delivered_s = l->delivered_s;
	add_counters(&f->counters, &l->counters);
}

bool push_get_kind_figures(
    struct push_queue *q, enum reg_kind kind, struct push_figures *f_r)
{
	const struct push_lane *l;

	*f_r = (struct push_figures){ .name = reg_kind_name(kind) };
	add_figures(f_r, q->homes[kind]);
	for (l = q->others; l != NULL; l = l->next)
		if (l->way->kind == kind)
			add_figures(f_r, l);
	return q->homes[kind] != NULL;
}

/* --- visits --- */

const unsigned short push_wakeup_limits_s[PUSH_N_WAKEUPS - 1] = { 1, 2, 5, 10,
	30, 60, 300, 600 };

bool push_seen(struct push_queue *q, const char *user, const char *client)
{
	return visits_seen(&q->visits, user, client, loop_now_ms(q->loop));
}

const struct push_visits *push_get_visits(struct push_queue *q)
{
	visits_judge(&q->visits, loop_now_ms(q->loop));
	return &q->visits.n;
}

void push_write_day(struct push_queue *q, struct buf *b)
{
	visits_write_day(&q->visits, loop_now_ms(q->loop), b);
}

/* Why its pushes wait, or are not sent at all. */
static void write_trouble(struct push_queue *q, struct reg *r, struct buf *b)
{
	const struct push *p = reg_data(r);
	struct send_status st = { .last_error = "" };

	if (push_ways[reg_kind(r)]->send == NULL)
		st.last_error = features_lack(reg_kind_name(reg_kind(r)));
	else if (!push_is_active(q, r) && !reg_suspended(r))
		json_add_bool(b, "inactive", true);
	else if (p != NULL && p->lane->sender != NULL)
		sender_get_status(p->lane->sender, &st);
	if (st.last_error != NULL && st.last_error[0] != '\0')
		json_add_str(b, "problem", st.last_error);
}

void push_write_past(struct push_queue *q, struct reg *r, struct buf *b)
{
	visits_write(&q->visits, r, loop_now_ms(q->loop), b);
	if (reg_kind(r) != REG_APPLE)
		write_trouble(q, r, b);
}
