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
#include "json.h"
#include "mem.h"
#include "store.h"
#include "text.h"
#include "tls.h"

/* Mailboxes named in one push: APNs takes 4 KiB, one costs 35 bytes; the rest
 * goes with the next. */
#define MAILBOXES_MAX 100

/* What waits for one registration: it watches no more mailboxes.  Hashes of an
 * earlier list, which the device does not know any more, make room. */
#define WAIT_MAX REG_MAILBOXES_MAX

/* 4 KiB is Apple's limit; account ids are at most 200 bytes, escaped 400. */
#define PAYLOAD_MAX 4096

/* Pauses after Apple refused our credentials: an operator has to act. */
#define HOLD_MIN_MS (60 * 1000)
#define HOLD_MAX_MS (60 * 60 * 1000)

/* After we could not even sign: a router's clock is set by NTP any moment. */
#define NO_AUTH_MS (10 * 1000)

/* A JWT carries the time, as does the date of expiration: while they are refused
 * a clock that has been set is noticed this soon.  Jumps under STEP_MS change
 * nothing for either. */
#define HOLD_LOOK_MS (60 * 1000)
#define STEP_MS (60 * 1000)

static const char *const state_names[] = {
	[PUSH_IDLE] = "idle",
	[PUSH_DELAYED] = "delayed",
	[PUSH_READY] = "ready",
	[PUSH_PAUSED] = "paused",
};

/* --- the ready list --- */

static void list_add(struct push *p, bool front)
{
	struct push_queue *q = p->q;

	if (p->listed || p->in_flight)
		return;
	p->listed = true;
	p->prev = front ? NULL : q->last;
	p->next = front ? q->first : NULL;
	*(p->prev != NULL ? &p->prev->next : &q->first) = p;
	*(p->next != NULL ? &p->next->prev : &q->last) = p;
	loop_task_queue(q->loop, &q->pump);
}

static void list_remove(struct push *p)
{
	struct push_queue *q = p->q;

	if (!p->listed)
		return;
	p->listed = false;
	*(p->prev != NULL ? &p->prev->next : &q->first) = p->next;
	*(p->next != NULL ? &p->next->prev : &q->last) = p->prev;
}

/* --- one registration's push --- */

static void on_timer(void *arg);

void push_to(struct push *p, enum push_state to, int64_t ms)
{
	char tok[REG_TOKEN_MAX + 1], shown[LOG_TOKEN_MAX];

	if (log_get_level() >= LOG_L_DEBUG && p->reg != NULL)
		log_debug("push: %s: %s: %s -> %s", reg_user(p->reg),
		    log_token(reg_token(p->reg, tok), shown),
		    state_names[p->state], state_names[to]);
	p->state = to;
	loop_timer_clear(p->q->loop, &p->timer);
	list_remove(p);
	switch (to) {
	case PUSH_IDLE:
		break;
	case PUSH_DELAYED:
	case PUSH_PAUSED:
		loop_timer_set(p->q->loop, &p->timer, ms);
		break;
	case PUSH_READY:
		list_add(p, ms < 0);
		break;
	}
}

struct push *push_get(struct push_queue *q, struct reg *r)
{
	struct push *p = reg_data(r);

	if (p != NULL)
		return p;
	p = q->pool;
	if (p != NULL)
		q->pool = p->next;
	else
		p = xmalloc(sizeof(*p));
	memset(p, 0, sizeof(*p));
	p->q = q;
	p->reg = r;
	loop_timer_init(&p->timer, on_timer, p);
	reg_set_data(r, p);
	q->count++;
	return p;
}

void push_release(struct push *p)
{
	struct push_queue *q = p->q;

	push_probe_end(p, false, "dropped: could not be sent");
	push_to(p, PUSH_IDLE, 0);
	hashes_clear(&p->wait);
	hashes_clear(&p->flight);
	if (p->reg != NULL)
		reg_set_data(p->reg, NULL);
	p->next = q->pool;
	q->pool = p;
	q->count--;
}

void push_settle(struct push *p)
{
	hashes_clear(&p->flight);
	p->tries = 0;
	if (p->wait.n == 0)
		push_release(p);
	else if (p->state == PUSH_READY)
		list_add(p, false);
}

static void on_timer(void *arg)
{
	push_to(arg, PUSH_READY, 0);
}

/* iOS decodes the name that it spelled in modified UTF-7 and hashes its UTF-8;
 * what is not modified UTF-7 (from a session with UTF8=ACCEPT) it takes as it
 * is.  Nearly all mail is for one mailbox. */
void push_hash(const char *name, unsigned char hash[HASH_LEN])
{
	char utf8[REG_NAME_MAX];
	int n;
	static const unsigned char inbox[HASH_LEN] = { 0x7e, 0x33, 0x42, 0x9f,
		0x65, 0x6f, 0x1e, 0x6e, 0x9d, 0x79, 0xb2, 0x9c, 0x3f, 0x82,
		0xc5, 0x7e };

	if (strcmp(name, "INBOX") == 0) {
		memcpy(hash, inbox, HASH_LEN);
		return;
	}
	n = strchr(name, '&') != NULL ? reg_decode_name(name, utf8) : -1;
	if (n >= 0)
		tls_md5(utf8, (size_t)n, hash);
	else
		tls_md5(name, strlen(name), hash);
}

/* Drops what the registration does not watch any more. */
static void prune(struct push *p)
{
	struct hashes current = { 0 }, rest = { 0 };
	unsigned char hash[HASH_LEN];
	const char *name = NULL;
	unsigned i;

	for (i = 0; i < reg_n_mailboxes(p->reg); i++) {
		name =
		    i == 0 ? reg_mailbox(p->reg, 0) : reg_mailbox_after(name);
		push_hash(name, hash);
		hashes_add(&current, hash);
	}
	for (i = 0; i < p->wait.n; i++)
		if (hashes_has(&current, hashes_at(&p->wait, i)))
			hashes_add(&rest, hashes_at(&p->wait, i));
	hashes_clear(&current);
	hashes_clear(&p->wait);
	p->wait = rest;
}

void push_add_hash(struct push *p, const unsigned char *hash)
{
	if (hashes_add(&p->wait, hash) && p->wait.n > WAIT_MAX)
		prune(p);
}

void push_add(struct push_queue *q, struct reg *r, size_t mailbox, bool now)
{
	struct push *p = push_get(q, r);
	unsigned char hash[HASH_LEN];
	bool first = p->wait.n == 0;

	push_hash(reg_mailbox(r, mailbox), hash);
	push_add_hash(p, hash);
	p->wait_ms = loop_now_ms(q->loop);
	if (!first)
		q->counters.merged++;
	if (p->state == PUSH_IDLE && !now)
		push_to(p, PUSH_DELAYED, q->conf->delay_s * 1000);
	else if (p->state == PUSH_IDLE || (p->state == PUSH_DELAYED && now))
		push_to(p, PUSH_READY, 0);
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

/* The phone may have several folders that are this mailbox. */
static void notify_reg(struct push_queue *q, struct reg *r, const char *owner,
    const char *mailbox, int i, bool now)
{
	for (; i >= 0; i = reg_match_next(r, owner, mailbox, i))
		push_add(q, r, (size_t)i, now);
}

/* Devices of others that watch this mailbox of the owner's. */
static bool notify_watchers(
    struct push_queue *q, const char *owner, const char *mailbox, bool now)
{
	const struct watch *w = NULL;
	bool any = false;
	struct reg *r;
	int i;

	while ((r = store_watcher(q->store, owner, &w)) != NULL) {
		/* Without names a phone would look into its own INBOX. */
		if (reg_suspended(r) || !push_names_mailboxes(q, r))
			continue;
		i = reg_match_foreign(r, owner, mailbox);
		if (i < 0)
			continue;
		notify_reg(q, r, owner, mailbox, i, now);
		any = true;
	}
	return any;
}

enum push_result push_notify(
    struct push_queue *q, const char *user, const char *mailbox, bool now)
{
	enum push_result result = PUSH_NO_USER;
	struct reg *r;
	int i;

	if (notify_watchers(q, user, mailbox, now))
		result = PUSH_QUEUED;
	for (r = store_first(q->store, user); r != NULL; r = reg_next(r)) {
		if (result == PUSH_NO_USER)
			result = PUSH_NO_MAILBOX;
		if (reg_suspended(r))
			continue;
		/* Without names the phone looks into INBOX only. */
		if (!push_names_mailboxes(q, r) &&
		    strcasecmp(mailbox, "INBOX") != 0)
			continue;
		i = reg_match(r, mailbox);
		if (i < 0)
			continue;
		notify_reg(q, r, NULL, mailbox, i, now);
		result = PUSH_QUEUED;
	}
	return result;
}

static int flush_of(void *arg, struct reg *r)
{
	struct push *p = reg_data(r);

	(void)arg;
	if (p != NULL && p->state == PUSH_DELAYED)
		push_to(p, PUSH_READY, 0);
	return 0;
}

void push_flush(struct push_queue *q)
{
	store_each(q->store, flush_of, NULL);
}

/* --- sending --- */

void push_add_hashes(
    struct buf *b, const struct hashes *s, unsigned from, unsigned to)
{
	char item[HASH_LEN * 2 + 3] = "\"";

	item[sizeof(item) - 2] = '"';
	item[sizeof(item) - 1] = ',';
	for (; from < to; from++) {
		text_hex_write(hashes_at(s, from), HASH_LEN, item + 1);
		buf_add(b, item, sizeof(item));
	}
}

static void build_payload(struct push_queue *q, const struct push *p)
{
	struct buf *b = &q->payload;

	buf_reset(b);
	buf_add_str(b, "{\"aps\":{\"account-id\":");
	json_write_str(b, reg_account(p->reg));
	if (push_names_mailboxes(q, p->reg)) {
		buf_add_str(b, ",\"m\":[");
		push_add_hashes(b, &p->flight, 0, p->flight.n);
		b->len--; /* the last comma */
		buf_add_str(b, "],\"subtopic\":\"com.apple.mobilemail\"");
	}
	buf_add_str(b, "}}");
	assert(!b->failed);
}

void push_say(enum log_level level, const struct push *p, const char *what)
{
	char tok[REG_TOKEN_MAX + 1], shown[LOG_TOKEN_MAX];

	if (level > log_get_level())
		return;
	log_at(level, "push: %s: %s: %s", reg_user(p->reg),
	    log_token(reg_token(p->reg, tok), shown), what);
}

bool push_is_expired(const struct push_queue *q, int64_t event_ms)
{
	return loop_now_ms(q->loop) - event_ms >=
	       q->conf->push_expiration_s * 1000;
}

void push_dropped(struct push *p)
{
	push_say(
	    LOG_L_WARN, p, "dropped: could not be sent before pushExpiration");
	p->q->counters.dropped++;
}

/* False: nothing more can be sent now. */
static bool send_first(struct push_queue *q)
{
	struct push *p = q->first;
	char tok[REG_TOKEN_MAX + 1], err[ERR_MAX];
	enum apns_sent sent;

	/* Without expiration (0) each is tried, whenever that may be. */
	if (q->conf->push_expiration_s != 0 && push_is_expired(q, p->wait_ms)) {
		push_dropped(p);
		push_release(p);
		return true;
	}
	hashes_take(&p->flight, &p->wait, MAILBOXES_MAX);
	build_payload(q, p);
	sent = apns_send(q->apns, reg_token(p->reg, tok), buf_head(&q->payload),
	    q->payload.len, p, err);
	if (sent != APNS_SENT) {
		hashes_merge(&p->flight, &p->wait);
		p->wait = p->flight;
		memset(&p->flight, 0, sizeof(p->flight));
		if (sent == APNS_NO_AUTH)
			push_hold(q, err, NO_AUTH_MS);
		return false;
	}
	p->auth_gen = q->auth_gen;
	p->flight_ms = p->wait_ms;
	p->renewed = false;
	p->probe_sent = p->probe != NULL;
	push_to(p, PUSH_IDLE, 0);
	p->in_flight = true;
	q->in_flight++;
	if (p->wait.n > 0) /* more than fit into one */
		push_to(p, PUSH_READY, 0);
	return true;
}

/* The clock was set: what it spoilt is over. */
static void look_at_clock(struct push_queue *q)
{
	if (loop_timer_is_set(&q->hold) &&
	    push_clock_stepped(q, q->hold_clock_ms))
		loop_timer_set(q->loop, &q->hold, 0);
	if (q->undated && push_clock_stepped(q, q->undated_clock_ms)) {
		q->undated = false;
		apns_set_dated(q->apns, true);
	}
}

static void on_pump(void *arg)
{
	struct push_queue *q = arg;

	look_at_clock(q);
	while (q->first != NULL && !loop_timer_is_set(&q->hold) &&
	       apns_room(q->apns) > 0 && !(q->probing && q->in_flight > 0))
		if (!send_first(q))
			break;
	apns_flush(q->apns);
}

static void on_room(void *arg)
{
	struct push_queue *q = arg;

	loop_task_queue(q->loop, &q->pump);
}

/* --- credentials refused: everything waits --- */

int64_t push_clock_ms(const struct push_queue *q)
{
	return (int64_t)time(NULL) * 1000 - loop_now_ms(q->loop);
}

bool push_clock_stepped(const struct push_queue *q, int64_t since_ms)
{
	return llabs(push_clock_ms(q) - since_ms) > STEP_MS;
}

/* Sets the timer to the end of the hold, or to the next look at the clock. */
static void hold_on(struct push_queue *q)
{
	int64_t ms = q->hold_until_ms - loop_now_ms(q->loop);

	if (ms > HOLD_LOOK_MS)
		ms = HOLD_LOOK_MS;
	loop_timer_set(q->loop, &q->hold, ms);
}

static void on_hold_over(void *arg)
{
	struct push_queue *q = arg;

	if (push_clock_stepped(q, q->hold_clock_ms)) {
		log_info("push: the clock was set: tried again at once");
		push_renew_auth(q);
	} else if (loop_now_ms(q->loop) < q->hold_until_ms) {
		hold_on(q);
		return;
	}
	q->probing = true;
	loop_task_queue(q->loop, &q->pump);
}

void push_renew_auth(struct push_queue *q)
{
	apns_renew_auth(q->apns);
	q->auth_gen++;
	q->renewed_ms = 0;
}

void push_hold(struct push_queue *q, const char *why, int64_t pause_ms)
{
	if (loop_timer_is_set(&q->hold))
		return;
	if (q->hold_ms == 0 || strcmp(q->trouble, why) != 0)
		log_error("push: %s: pushes wait and are tried again from "
			  "time to time",
		    why);
	err_set(q->trouble, "%s", why);
	if (pause_ms == 0)
		pause_ms =
		    q->hold_ms < HOLD_MIN_MS ? HOLD_MIN_MS : q->hold_ms * 2;
	q->hold_ms = pause_ms < HOLD_MAX_MS ? pause_ms : HOLD_MAX_MS;
	q->hold_until_ms = loop_now_ms(q->loop) + q->hold_ms;
	q->hold_clock_ms = push_clock_ms(q);
	hold_on(q);
}

void push_hold_ends(struct push_queue *q)
{
	if (q->hold_ms == 0)
		return;
	log_info("push: Apple accepts our credentials again");
	q->hold_ms = 0;
	q->probing = false;
	q->trouble[0] = '\0';
	loop_timer_clear(q->loop, &q->hold);
}

/* --- answers --- */

void push_renewed(const struct reg *r)
{
	struct push *p = r != NULL ? reg_data(r) : NULL;

	if (p != NULL)
		p->renewed = true;
}

static void release_orphan(struct push *p)
{
	struct push **at = &p->q->orphans;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	push_release(p);
}

static void on_answer(void *arg, void *owner, const struct apns_answer *an)
{
	struct push_queue *q = arg;
	struct push *p = owner;

	p->in_flight = false;
	q->in_flight--;
	push_probe_answered(p, an);
	loop_task_queue(q->loop, &q->pump);
	if (p->reg == NULL)
		release_orphan(p);
	else
		push_answered(p, an);
}

/* --- the owner's --- */

static void on_drop(void *arg, struct reg *r)
{
	struct push *p = reg_data(r);

	(void)arg;
	if (p == NULL)
		return;
	push_probe_end(p, false, "the registration was removed meanwhile");
	reg_set_data(r, NULL);
	push_to(p, PUSH_IDLE, 0);
	p->reg = NULL;
	if (!p->in_flight) {
		push_release(p);
		return;
	}
	p->next = p->q->orphans;
	p->q->orphans = p;
}

static const struct apns_ops apns_ops = {
	.room = on_room,
	.answer = on_answer,
};

struct push_queue *push_new(struct loop *l, const struct conf *conf,
    struct store *store, struct cred *cred)
{
	struct push_queue *q = xcalloc(1, sizeof(*q));

	q->loop = l;
	q->conf = conf;
	q->store = store;
	q->cred = cred;
	buf_init(&q->payload, PAYLOAD_MAX);
	loop_task_init(&q->pump, on_pump, q);
	loop_timer_init(&q->hold, on_hold_over, q);
	store_on_drop(store, on_drop, q);
	q->apns = apns_new(l, conf, cred, &apns_ops, q);
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

static int release_of(void *arg, struct reg *r)
{
	struct push *p = reg_data(r);

	(void)arg;
	if (p != NULL)
		push_release(p);
	return 0;
}

void push_free(struct push_queue *q)
{
	if (q == NULL)
		return;
	push_tests_free(q);
	store_on_drop(q->store, NULL, NULL);
	apns_free(q->apns);
	store_each(q->store, release_of, NULL);
	while (q->orphans != NULL)
		release_orphan(q->orphans);
	free_pool(q);
	loop_task_cancel(q->loop, &q->pump);
	loop_timer_clear(q->loop, &q->hold);
	buf_free(&q->payload);
	free(q);
}

void push_set_cred(struct push_queue *q, struct cred *cred)
{
	q->cred = cred;
	q->hold_ms = 0;
	q->probing = false;
	loop_timer_clear(q->loop, &q->hold);
	q->auth_gen++;
	q->renewed_ms = 0;
	q->undated = false;
	apns_set_dated(q->apns, true);
	apns_set_cred(q->apns, cred);
	loop_task_queue(q->loop, &q->pump);
}

void push_reconfigure(struct push_queue *q)
{
	push_set_cred(q, q->cred);
}

void push_set_lack(struct push_queue *q, const char *why)
{
	err_set(q->lack, "%s", why);
}

bool push_is_busy(const struct push_queue *q)
{
	return q->in_flight > 0 ||
	       (q->first != NULL && !loop_timer_is_set(&q->hold) &&
		   apns_room(q->apns) > 0);
}

size_t push_count(const struct push_queue *q)
{
	return q->count;
}

size_t push_in_flight(const struct push_queue *q)
{
	return q->in_flight;
}

const char *push_trouble(struct push_queue *q)
{
	if (cred_kind(q->cred) == CRED_NONE)
		return q->lack[0] != '\0'
			   ? q->lack
			   : "no credentials: set keyFileP8, "
			     "certificateFilePem or certificateFileP12";
	if (cred_check_time(q->cred, (int64_t)time(NULL), q->date_trouble) < 0)
		return q->date_trouble;
	return q->hold_ms != 0 ? q->trouble : NULL;
}

const struct push_counters *push_get_counters(const struct push_queue *q)
{
	return &q->counters;
}

void push_get_apns(const struct push_queue *q, struct apns_status *status_r)
{
	apns_get_status(q->apns, status_r);
}
