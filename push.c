/* push.c - decides when a device is woken and what Apple's answer means for it.
 * Knows devices and time; knows nothing of HTTP/2, TLS or Dovecot. */
#include "push.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "apns.h"
#include "buf.h"
#include "conf.h"
#include "cred.h"
#include "json.h"
#include "loop.h"
#include "store.h"
#include "tls.h"

#define HASH_LEN 16 /* MD5 */

/* Mailboxes named in one push: APNs takes 4 KiB, one costs 35 bytes; the rest
 * goes with the next. */
#define MAILBOXES_MAX 100

/* 4 KiB is Apple's limit; account ids are at most 200 bytes, escaped 400. */
#define PAYLOAD_MAX 4096

/* Pauses after Apple refused our credentials: an operator has to act. */
#define HOLD_MIN_MS (60 * 1000)
#define HOLD_MAX_MS (60 * 60 * 1000)

/* Apple wants a JWT renewed no more often. */
#define RENEW_MIN_MS (20 * 60 * 1000)

/* A set of mailbox hashes; one is the usual number and needs no memory. */
struct hashes {
	unsigned char (*more)[HASH_LEN]; /* all of them once there are two */
	unsigned char one[HASH_LEN];
	unsigned n, cap;
};

enum push_state {
	PUSH_IDLE,    /* nothing waits */
	PUSH_DELAYED, /* for the rest of a run of events */
	PUSH_READY,   /* for room, or for the one in flight */
	PUSH_PAUSED,  /* after a failure */
};

static const char *const state_names[] = {
	[PUSH_IDLE] = "idle",
	[PUSH_DELAYED] = "delayed",
	[PUSH_READY] = "ready",
	[PUSH_PAUSED] = "paused",
};

/* One registration's pushes: one waiting, one in flight. */
struct push {
	struct push_queue *q;
	struct reg *reg;	  /* NULL: dropped while in flight */
	struct push *prev, *next; /* ready list; next: pool, orphans */
	struct loop_timer timer;
	struct hashes wait, flight;
	int64_t born_ms;       /* oldest event of wait and flight */
	unsigned auth_gen;     /* JWT that the one in flight was sent with */
	unsigned tries;	       /* failures in a row */
	enum push_state state; /* changed only by push_to() */
	bool listed;	       /* in the ready list */
	bool in_flight;
};

struct push_queue {
	struct loop *loop;
	const struct conf *conf;
	struct store *store;
	struct cred *cred;
	struct apns *apns;
	struct push *first, *last; /* ready to be sent */
	struct push *pool;
	struct push *orphans; /* in flight, their registration dropped */
	size_t count, in_flight;
	struct loop_task pump;
	struct buf payload;
	/* credentials refused */
	struct loop_timer hold;
	int64_t hold_ms; /* the last pause; 0 when all is well */
	bool probing;	 /* one at a time until Apple accepts again */
	char trouble[ERR_MAX];
	/* JWT */
	unsigned auth_gen;
	int64_t renewed_ms; /* 0: never for ExpiredProviderToken */
	struct push_counters counters;
};

/* --- sets of hashes --- */

static const unsigned char *hashes_at(const struct hashes *s, unsigned i)
{
	return s->more != NULL ? s->more[i] : s->one;
}

static bool hashes_has(const struct hashes *s, const unsigned char *hash)
{
	unsigned i;

	for (i = 0; i < s->n; i++)
		if (memcmp(hashes_at(s, i), hash, HASH_LEN) == 0)
			return true;
	return false;
}

static bool hashes_add(struct hashes *s, const unsigned char *hash)
{
	if (hashes_has(s, hash))
		return false;
	if (s->n == 0 && s->more == NULL) {
		memcpy(s->one, hash, HASH_LEN);
		s->n = 1;
		return true;
	}
	if (s->n >= s->cap) {
		s->cap = s->cap ? s->cap * 2 : 8;
		if (s->more == NULL) {
			s->more = xmalloc(s->cap * sizeof(*s->more));
			memcpy(s->more[0], s->one, HASH_LEN);
		} else {
			s->more = xrealloc(s->more, s->cap * sizeof(*s->more));
		}
	}
	memcpy(s->more[s->n++], hash, HASH_LEN);
	return true;
}

static void hashes_clear(struct hashes *s)
{
	free(s->more);
	memset(s, 0, sizeof(*s));
}

/* Moves up to MAILBOXES_MAX of from into the empty set to. */
static void hashes_take(struct hashes *to, struct hashes *from)
{
	struct hashes rest = { 0 };
	unsigned i;

	for (i = MAILBOXES_MAX; i < from->n; i++)
		hashes_add(&rest, hashes_at(from, i));
	if (from->n > MAILBOXES_MAX)
		from->n = MAILBOXES_MAX;
	*to = *from;
	*from = rest;
}

static void hashes_merge(struct hashes *to, struct hashes *from)
{
	unsigned i;

	for (i = 0; i < from->n; i++)
		hashes_add(to, hashes_at(from, i));
	hashes_clear(from);
}

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

/* The one place where a push changes its state.  ms: for the states that wait
 * for a timer. */
static void push_to(struct push *p, enum push_state to, int64_t ms)
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

/* For push_to(READY): before the others, since its turn was already. */
#define FRONT (-1)

static struct push *push_get(struct push_queue *q, struct reg *r)
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

static void push_release(struct push *p)
{
	struct push_queue *q = p->q;

	push_to(p, PUSH_IDLE, 0);
	hashes_clear(&p->wait);
	hashes_clear(&p->flight);
	if (p->reg != NULL)
		reg_set_data(p->reg, NULL);
	p->next = q->pool;
	q->pool = p;
	q->count--;
}

static void on_timer(void *arg)
{
	push_to(arg, PUSH_READY, 0);
}

static void push_add(
    struct push_queue *q, struct reg *r, size_t mailbox, bool now)
{
	struct push *p = push_get(q, r);
	const char *name = reg_mailbox(r, mailbox);
	unsigned char hash[HASH_LEN];
	bool first = p->wait.n == 0;

	tls_md5(name, strlen(name), hash);
	hashes_add(&p->wait, hash);
	if (first && !p->in_flight)
		p->born_ms = loop_now_ms(q->loop);
	if (!first)
		q->counters.merged++;
	if (p->state == PUSH_IDLE && !now)
		push_to(p, PUSH_DELAYED, q->conf->delay_s * 1000);
	else if (p->state == PUSH_IDLE || (p->state == PUSH_DELAYED && now))
		push_to(p, PUSH_READY, 0);
}

static bool names_mailboxes(const struct push_queue *q, const struct reg *r)
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

enum push_result push_notify(
    struct push_queue *q, const char *user, const char *mailbox, bool now)
{
	enum push_result result = PUSH_NO_USER;
	struct reg *r;
	int i;

	for (r = store_first(q->store, user); r != NULL; r = reg_next(r)) {
		if (result == PUSH_NO_USER)
			result = PUSH_NO_MAILBOX;
		if (reg_suspended(r))
			continue;
		/* Without names the phone looks into INBOX only. */
		if (!names_mailboxes(q, r) && strcasecmp(mailbox, "INBOX") != 0)
			continue;
		i = reg_match(r, mailbox);
		if (i < 0)
			continue;
		push_add(q, r, (size_t)i, now);
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

static void build_payload(struct push_queue *q, const struct push *p)
{
	static const char hex[] = "0123456789abcdef";
	struct buf *b = &q->payload;
	const unsigned char *hash;
	char text[HASH_LEN * 2];
	unsigned i, k;

	buf_reset(b);
	buf_add_str(b, "{\"aps\":{\"account-id\":");
	json_write_str(b, reg_account(p->reg));
	if (names_mailboxes(q, p->reg)) {
		buf_add_str(b, ",\"m\":[");
		for (i = 0; i < p->flight.n; i++) {
			hash = hashes_at(&p->flight, i);
			for (k = 0; k < HASH_LEN; k++) {
				text[2 * k] = hex[hash[k] >> 4];
				text[2 * k + 1] = hex[hash[k] & 15];
			}
			buf_add_str(b, i > 0 ? ",\"" : "\"");
			buf_add(b, text, sizeof(text));
			buf_add_byte(b, '"');
		}
		buf_add_str(b, "],\"subtopic\":\"com.apple.mobilemail\"");
	}
	buf_add_str(b, "}}");
	assert(!b->failed);
}

static void say(enum log_level level, const struct push *p, const char *what)
{
	char tok[REG_TOKEN_MAX + 1], shown[LOG_TOKEN_MAX];

	log_at(level, "push: %s: %s: %s", reg_user(p->reg),
	    log_token(reg_token(p->reg, tok), shown), what);
}

/* True if it is too old to be of use. */
static bool drop_expired(struct push *p)
{
	struct push_queue *q = p->q;
	int64_t max_ms = q->conf->push_expiration_s * 1000;

	if (max_ms == 0 ? p->tries == 0
			: loop_now_ms(q->loop) - p->born_ms < max_ms)
		return false;
	say(LOG_L_WARN, p, "dropped: could not be sent before pushExpiration");
	q->counters.dropped++;
	push_release(p);
	return true;
}

static void hold(struct push_queue *q, const char *why);

/* False: nothing more can be sent now. */
static bool send_first(struct push_queue *q)
{
	struct push *p = q->first;
	char tok[REG_TOKEN_MAX + 1], err[ERR_MAX];
	enum apns_sent sent;

	if (drop_expired(p))
		return true;
	hashes_take(&p->flight, &p->wait);
	build_payload(q, p);
	sent = apns_send(q->apns, reg_token(p->reg, tok), buf_head(&q->payload),
	    q->payload.len, p, err);
	if (sent != APNS_SENT) {
		hashes_merge(&p->wait, &p->flight);
		if (sent == APNS_NO_AUTH)
			hold(q, err);
		return false;
	}
	p->auth_gen = q->auth_gen;
	push_to(p, PUSH_IDLE, 0);
	p->in_flight = true;
	q->in_flight++;
	if (p->wait.n > 0) /* more than fit into one */
		push_to(p, PUSH_READY, 0);
	return true;
}

static void on_pump(void *arg)
{
	struct push_queue *q = arg;

	while (q->first != NULL && !loop_timer_is_set(&q->hold) &&
	       apns_room(q->apns) > 0 && !(q->probing && q->in_flight > 0))
		if (!send_first(q))
			break;
}

static void on_room(void *arg)
{
	struct push_queue *q = arg;

	loop_task_queue(q->loop, &q->pump);
}

/* --- credentials refused: everything waits --- */

static void on_hold_over(void *arg)
{
	struct push_queue *q = arg;

	q->probing = true;
	loop_task_queue(q->loop, &q->pump);
}

/* Logged once, then the pushes wait and healthz says why. */
static void hold(struct push_queue *q, const char *why)
{
	if (loop_timer_is_set(&q->hold))
		return;
	if (q->hold_ms == 0 || strcmp(q->trouble, why) != 0)
		log_error("push: %s: pushes wait and are tried again in "
			  "growing pauses (1 min to 1 h)",
		    why);
	err_set(q->trouble, "%s", why);
	q->hold_ms = q->hold_ms == 0 ? HOLD_MIN_MS : q->hold_ms * 2;
	if (q->hold_ms > HOLD_MAX_MS)
		q->hold_ms = HOLD_MAX_MS;
	loop_timer_set(q->loop, &q->hold, q->hold_ms);
}

static void hold_ends(struct push_queue *q)
{
	if (q->hold_ms == 0)
		return;
	log_info("push: Apple accepts our credentials again");
	q->hold_ms = 0;
	q->probing = false;
	q->trouble[0] = '\0';
	loop_timer_clear(q->loop, &q->hold);
}

/* --- Apple's answers --- */

/* The answered push is over; what waited meanwhile goes on. */
static void settle(struct push *p)
{
	hashes_clear(&p->flight);
	p->tries = 0;
	p->born_ms = loop_now_ms(p->q->loop);
	if (p->wait.n == 0)
		push_release(p);
	else if (p->state == PUSH_READY)
		list_add(p, false);
}

/* What failed waits together with the new events, ms from now. */
static void send_again(struct push *p, int64_t ms)
{
	hashes_merge(&p->flight, &p->wait);
	p->wait = p->flight;
	memset(&p->flight, 0, sizeof(p->flight));
	p->q->counters.retried++;
	if (ms > 0)
		push_to(p, PUSH_PAUSED, ms);
	else
		push_to(p, PUSH_READY, FRONT);
}

/* retryMin, doubling, up to retryMax; jitter so that devices spread. */
static void send_later(struct push *p, const struct apns_answer *an)
{
	const struct conf *conf = p->q->conf;
	int64_t ms = conf->retry_min_ms;
	unsigned i;
	uint32_t r;

	if (drop_expired(p))
		return;
	for (i = 1; i < p->tries && ms < conf->retry_max_ms; i++)
		ms *= 2;
	if (ms > conf->retry_max_ms)
		ms = conf->retry_max_ms;
	tls_random(&r, sizeof(r));
	ms = ms / 2 + (int64_t)(r % (uint32_t)(ms / 2 + 1));
	if (an->retry_after_s * 1000 > ms)
		ms = an->retry_after_s * 1000;
	send_again(p, ms > 0 ? ms : 1);
}

static void act_done(struct push *p, const struct apns_answer *an)
{
	(void)an;
	p->q->counters.delivered++;
	say(LOG_L_DEBUG, p, "delivered to Apple");
	settle(p);
}

static void act_forget(struct push *p, const struct apns_answer *an)
{
	struct push_queue *q = p->q;

	if (reg_time_s(p->reg) * 1000 >= an->timestamp_ms) {
		say(LOG_L_DEBUG, p, "registered again since Apple's 410");
		settle(p);
		return;
	}
	say(LOG_L_INFO, p, "the device is gone (410): registration removed");
	q->counters.forgotten++;
	store_drop(q->store, p->reg); /* on_drop() releases p */
}

static void act_suspend(struct push *p, const struct apns_answer *an)
{
	char what[ERR_MAX];

	err_set(what,
	    "Apple refuses the device token (%d %s): suspended until the "
	    "device registers again",
	    an->status, an->reason);
	say(LOG_L_WARN, p, what);
	p->q->counters.suspended++;
	reg_suspend(p->reg);
	hashes_clear(&p->wait);
	settle(p);
}

static void act_hold(struct push *p, const struct apns_answer *an)
{
	char why[ERR_MAX];

	err_set(why, "Apple refuses our credentials (%d %s)", an->status,
	    an->reason);
	hold(p->q, why);
	send_again(p, 0);
}

/* Many may be answered so for one JWT: the first answer renews it. */
static void act_renew(struct push *p, const struct apns_answer *an)
{
	struct push_queue *q = p->q;
	int64_t now_ms = loop_now_ms(q->loop);

	(void)an;
	if (p->auth_gen == q->auth_gen) {
		if (q->renewed_ms != 0 &&
		    now_ms - q->renewed_ms < RENEW_MIN_MS) {
			hold(q, "Apple calls a new JWT expired "
				"(ExpiredProviderToken twice in 20 minutes): "
				"this machine's clock is probably wrong");
		}
		apns_renew_auth(q->apns);
		q->auth_gen++;
		q->renewed_ms = now_ms;
	}
	send_again(p, 0);
}

static void act_retry(struct push *p, const struct apns_answer *an)
{
	char what[ERR_MAX];

	p->tries++;
	if (an->outcome == APNS_ANSWERED)
		err_set(what, "Apple answered %d %s: will be sent again",
		    an->status, an->reason);
	else
		err_set(what, "no answer from Apple: will be sent again");
	say(LOG_L_DEBUG, p, what);
	send_later(p, an);
}

static void act_drop(struct push *p, const struct apns_answer *an)
{
	char what[ERR_MAX];

	err_set(what, "dropped: Apple answered %d %s", an->status, an->reason);
	say(LOG_L_WARN, p, what);
	p->q->counters.dropped++;
	settle(p);
}

/* Apple's answers: first match wins; a NULL reason matches any, one that ends
 * in '*' its start.  500 stands for every 5xx, 0 for all else.  known: Apple
 * takes our credentials, so that a hold is over. */
static const struct answer {
	int status;
	const char *reason;
	void (*act)(struct push *p, const struct apns_answer *an);
	bool known;
} answers[] = {
	{ 200, NULL, act_done, true },
	{ 410, "Unregistered", act_forget, true },
	{ 410, NULL, act_suspend, true },
	{ 400, "BadDeviceToken", act_suspend, true },
	{ 400, "DeviceTokenNotForTopic", act_suspend, true },
	{ 400, "TopicDisallowed", act_hold, false },
	{ 400, "MissingTopic", act_hold, false },
	{ 400, "BadTopic", act_hold, false },
	{ 400, "BadCertificate*", act_hold, false },
	{ 403, "ExpiredProviderToken", act_renew, false },
	{ 403, NULL, act_hold, false },
	{ 429, NULL, act_retry, false },
	{ 500, NULL, act_retry, false },
	{ 0, NULL, act_drop, false },
};

static bool reason_matches(const char *pattern, const char *reason)
{
	size_t n;

	if (pattern == NULL)
		return true;
	n = strlen(pattern);
	if (pattern[n - 1] == '*')
		return strncmp(pattern, reason, n - 1) == 0;
	return strcmp(pattern, reason) == 0;
}

static const struct answer *find_answer(const struct apns_answer *an)
{
	int status = an->status >= 500 ? 500 : an->status;
	const struct answer *row = answers;

	while (
	    row->status != 0 &&
	    (row->status != status || !reason_matches(row->reason, an->reason)))
		row++;
	return row;
}

/* Once at once; a server that goes on refusing gets pauses. */
static void act_unprocessed(struct push *p, const struct apns_answer *an)
{
	if (p->tries++ == 0)
		send_again(p, 0);
	else
		send_later(p, an);
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
	const struct answer *row;

	p->in_flight = false;
	q->in_flight--;
	loop_task_queue(q->loop, &q->pump);
	if (p->reg == NULL) {
		release_orphan(p);
		return;
	}
	switch (an->outcome) {
	case APNS_UNPROCESSED:
		act_unprocessed(p, an);
		break;
	case APNS_LOST:
		act_retry(p, an);
		break;
	case APNS_ANSWERED:
		row = find_answer(an);
		if (row->known)
			hold_ends(q);
		row->act(p, an);
		break;
	}
}

/* --- the owner's --- */

static void on_drop(void *arg, struct reg *r)
{
	struct push *p = reg_data(r);

	(void)arg;
	if (p == NULL)
		return;
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

size_t push_count(const struct push_queue *q)
{
	return q->count;
}

size_t push_in_flight(const struct push_queue *q)
{
	return q->in_flight;
}

const char *push_trouble(const struct push_queue *q)
{
	int64_t expires_s = cred_expires_s(q->cred);

	if (cred_kind(q->cred) == CRED_NONE)
		return "no credentials: set keyFileP8 or certificateFilePem";
	if (expires_s != 0 && expires_s <= (int64_t)time(NULL))
		return "the certificate has expired";
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
