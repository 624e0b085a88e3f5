/* shared/book.c - our registrations and the shared ones: compared both ways upon
 * every connection and once a day, and kept the same by messages in between.
 *
 * A registration that is marked (reg_shared()) is known to be in the shared book
 * as it is, or on its way.  A comparison takes all marks away, merges every value
 * of the shared book, which sets them again, and sends what has none. */
#include "shared/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "buf.h"
#include "conf.h"
#include "mem.h"
#include "text.h"

/* Messages can be lost without anybody noticing (a failover). */
#define COMPARE_MS (24 * 60 * 60 * 1000)

/* The one who noticed it begins at once, the others when he has filled it. */
#define REFILL_MS 8000

/* Keys in an answer of SCAN, more or less; so many HGETALLs are under way. */
#define SCAN_COUNT "200"

/* Changes under way while we walk over our own: the server is kept busy, and others
 * get their turn. */
#define FLIGHT_WALK 256

/* The name of the book stays; a book that nobody has goes. */
#define ID_LIFE_MS (10 * 365 * 86400LL * 1000)

/* Values that are so much older than registrationTtl are of no use to anybody. */
#define PURGE_MORE_S (2 * 86400)

/* A registration of so long ago does not come from a phone just now. */
#define FRESH_S 2

static const char phase_names[][8] = {
	[SHARED_AWAY] = "away",
	[SHARED_MERGING] = "merging",
	[SHARED_SENDING] = "sending",
	[SHARED_IN_STEP] = "in step",
};

static void log_in_step(struct shared *s)
{
	log_at(s->logged != LOGGED_IN_STEP ? LOG_L_INFO : LOG_L_DEBUG,
	    "shared: %s: in step: %llu taken over, %llu sent",
	    shared_conn_peer(s->conn),
	    (unsigned long long)(s->taken - s->taken_at),
	    (unsigned long long)(s->sent - s->sent_at));
	s->logged = LOGGED_IN_STEP;
	s->why[0] = '\0';
}

void book_set_phase(struct shared *s, enum shared_phase to)
{
	if (to == s->phase)
		return;
	log_debug(
	    "shared: book: %s -> %s", phase_names[s->phase], phase_names[to]);
	if (s->phase == SHARED_IN_STEP)
		s->left_ms = loop_now_ms(s->loop);
	s->phase = to;
	if (to == SHARED_IN_STEP) {
		log_in_step(s);
		loop_timer_set(
		    s->loop, &s->again, s->is_emptied ? REFILL_MS : COMPARE_MS);
	}
}

/* --- what the shared book lacks --- */

static void send_unshared(void *arg, struct reg *r)
{
	struct shared *s = arg;

	if (reg_shared(r) || !reg_time_known(r))
		return;
	change_send(
	    s, r, reg_suspended(r) ? VALUE_SUSPENDED : VALUE_PUT, false);
}

static void send_unshared_gone(void *arg, struct reg *r)
{
	if (!reg_shared(r))
		change_send(arg, r, VALUE_GONE, false);
}

/* A step of the walk; false at its end. */
static bool walk(struct shared *s)
{
	if (s->walk == 0 && s->walks_left == 0) {
		if (!s->walk_again)
			return false;
		s->walk_again = false;
		s->walks_left = 2;
	}
	if (s->walks_left == 2)
		store_scan_gone(s->store, &s->walk, send_unshared_gone, s);
	else
		store_scan(s->store, &s->walk, send_unshared, s);
	if (s->walk == 0)
		s->walks_left--;
	return true;
}

static void on_step(void *arg)
{
	struct shared *s = arg;

	if (s->phase == SHARED_IN_STEP && s->walk_again)
		book_set_phase(s, SHARED_SENDING);
	if (s->phase != SHARED_SENDING)
		return;
	while (s->n_flight < FLIGHT_WALK && walk(s))
		;
	if (s->n_flight == 0)
		book_set_phase(s, SHARED_IN_STEP);
}

static void begin_walk(struct shared *s)
{
	book_set_phase(s, SHARED_SENDING);
	s->walk = 0;
	s->walks_left = 0;
	s->walk_again = true;
	on_step(s);
}

/* --- what it has --- */

/* Of one user. */
struct user {
	struct shared_request rq;
	size_t n; /* items so far */
	char key[];
};

static void scan_on(struct shared *s);

static void take_value(struct user *u, const struct resp_item *it)
{
	struct shared *s = u->rq.shared;
	int64_t oldest_s =
	    (int64_t)time(NULL) - s->conf->registration_ttl_s - PURGE_MORE_S;
	int64_t t_ms;

	if (u->n++ % 2 == 0) {
		snprintf(s->field, sizeof(s->field), "%.*s",
		    it->len < sizeof(s->field) ? (int)it->len : 0, it->text);
		return;
	}
	t_ms = value_time_ms(it->text, it->len);
	if (t_ms >= 0 && t_ms / 1000 < oldest_s)
		script_purge(s, u->key, s->field, it);
	else
		value_merge(s, it->text, it->len);
}

static void on_user(struct shared_request *rq, const struct resp_item *it)
{
	struct user *u = (struct user *)(void *)rq;
	struct shared *s = rq->shared;

	if (it != NULL && it->depth == 1 && it->type == RESP_STRING)
		take_value(u, it);
	if (it != NULL && !it->last)
		return;
	free(u);
	s->n_users--;
	if (it == NULL)
		return;
	/* A key of another kind is somebody else's. */
	if (it->type == RESP_ERROR &&
	    (it->len < 9 || memcmp(it->text, "WRONGTYPE", 9) != 0))
		script_refused(s->conn, it, "to show a user's devices");
	else if (s->n_users == 0)
		scan_on(s);
}

static void ask_user(struct shared *s, const struct resp_item *it)
{
	struct user *u =
	    shared_request_new(s, sizeof(*u) + it->len + 1, on_user);

	u->rq.is_many = true;
	memcpy(u->key, it->text, it->len);
	s->n_users++;
	shared_conn_ask(s->conn, &u->rq, "HGETALL", u->key, NULL);
}

static void on_scan(struct shared_request *rq, const struct resp_item *it)
{
	struct shared *s = rq->shared;
	bool last = it == NULL || it->last;

	if (it != NULL && it->type == RESP_STRING && it->depth == 1)
		snprintf(s->cursor, sizeof(s->cursor), "%.*s",
		    it->len < sizeof(s->cursor) ? (int)it->len : 0, it->text);
	else if (it != NULL && it->type == RESP_STRING && it->depth == 2)
		ask_user(s, it);
	if (last)
		free(rq);
	if (it != NULL && it->type == RESP_ERROR && it->depth == 0)
		script_refused(s->conn, it, "to list the users");
	else if (it != NULL && last && s->n_users == 0)
		scan_on(s);
}

static void scan(struct shared *s)
{
	struct shared_request *rq = shared_request_new(s, sizeof(*rq), on_scan);
	char pattern[80];

	snprintf(pattern, sizeof(pattern), "%s{*", s->conf->shared_prefix);
	rq->is_many = true;
	shared_conn_ask(s->conn, rq, "SCAN", s->cursor, "MATCH", pattern,
	    "COUNT", SCAN_COUNT, NULL);
}

static void scan_on(struct shared *s)
{
	if (strcmp(s->cursor, "0") == 0)
		begin_walk(s);
	else
		scan(s);
}

static void on_script(struct shared *s)
{
	book_ask_id(s);
	jwt_compare(s);
	strcpy(s->cursor, "0");
	scan(s);
}

static int unmark(void *arg, struct reg *r)
{
	store_set_shared(arg, r, false);
	return 0;
}

void book_begin(struct shared *s)
{
	store_clock(s->store, (int64_t)time(NULL), loop_clock_ms() / 1000);
	store_each(s->store, unmark, s->store);
	store_each_gone(s->store, unmark, s->store);
	s->taken_at = s->taken;
	s->sent_at = s->sent;
	s->is_bad_logged = false;
	s->is_emptied = false;
	s->id[0] = '\0';
	s->n_users = 0;
	book_set_phase(s, SHARED_MERGING);
	script_load(s, on_script);
}

static void on_again(void *arg)
{
	struct shared *s = arg;

	if (s->phase == SHARED_IN_STEP)
		book_begin(s);
}

/* --- whether it is still there ---
 *
 * The hash prefix book has the field id, {"book":"0123456789abcdef",…}, which
 * whoever finds none makes and publishes.  So all notice when the server has lost
 * its data (FLUSHALL) and kept the connections. */

static void set_id(struct shared *s, const char *id, int64_t pause_ms)
{
	bool is_other = s->id[0] != '\0' && strcmp(s->id, id) != 0;

	strcpy(s->id, id);
	if (!is_other)
		return;
	log_warn("shared: %s has lost its data: it is filled again",
	    shared_conn_peer(s->conn));
	s->is_emptied = true;
	loop_timer_set(s->loop, &s->again, pause_ms);
}

static void take_id(struct shared *s, const char *text, size_t len)
{
	char id[SHARED_ID_MAX];

	if (value_book(text, len, id))
		set_id(s, id, loop_backoff_ms(REFILL_MS, REFILL_MS, 1));
}

struct id_request {
	struct shared_request rq;
	char id[SHARED_ID_MAX];
};

static void on_id(struct shared_request *rq, const struct resp_item *it)
{
	struct id_request *q = (struct id_request *)(void *)rq;
	struct shared *s = rq->shared;

	if (it != NULL && it->type == RESP_ERROR)
		script_refused(s->conn, it, "to name the book");
	else if (it != NULL && it->type == RESP_STRING)
		take_id(s, it->text, it->len);
	else if (it != NULL)
		set_id(s, q->id, 0);
	free(q);
}

bool book_ask_id(struct shared *s)
{
	struct script a = {
		.field = "id",
		.life_ms = ID_LIFE_MS,
	};
	struct buf b = BUF_INIT(1024);
	struct id_request *q;
	uint64_t r = 0;

	if (!script_can_run(s))
		return false;
	q = shared_request_new(s, sizeof(*q), on_id);
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint64_t)loop_clock_ms();
	snprintf(q->id, sizeof(q->id), "%016llx", (unsigned long long)r);
	buf_add_fmt(&b, "%sbook%c" BOOK_START "%s\"", s->conf->shared_prefix,
	    '\0', q->id);
	value_end(s, 1, &b);
	a.key = (char *)buf_head(&b);
	a.value = text_next(a.key);
	script_run(s, &q->rq, &a); /* of time 0: never the newer one */
	buf_free(&b);
	return true;
}

/* --- what changes --- */

static void hear(struct shared *s, const char *text, size_t len)
{
	if (value_is(text, len, BOOK_START))
		take_id(s, text, len);
	else if (value_is(text, len, JWT_START))
		jwt_hear(s, text, len);
	else if (!value_is(text, len, CHECK_VALUE))
		value_merge(s, text, len);
}

/* Whether we sent it. */
static bool is_ours(const struct shared *s, const struct resp_item *it)
{
	char end[SHARED_NODE_MAX + 16];
	size_t n =
	    (size_t)snprintf(end, sizeof(end), ",\"node\":\"%s\"}", s->node);

	return it->len >= n && memcmp(it->text + it->len - n, end, n) == 0;
}

bool book_hear(struct shared *s, const struct resp_item *it)
{
	if (it->depth == 0)
		s->n_items = 0;
	else if (it->depth == 1)
		s->n_items++;
	if (s->n_items == 1 && it->type == RESP_STRING) {
		s->is_message =
		    it->len == 7 && memcmp(it->text, "message", 7) == 0;
		return it->len == 9 && memcmp(it->text, "subscribe", 9) == 0;
	}
	if (s->n_items == 3 && s->is_message && it->type == RESP_STRING &&
	    s->phase >= SHARED_MERGING && !is_ours(s, it))
		hear(s, it->text, it->len);
	return false;
}

static void on_change(void *arg, struct reg *r, enum store_change change)
{
	static const enum value_kind kinds[] = {
		[STORE_PUT] = VALUE_PUT,
		[STORE_SUSPENDED] = VALUE_SUSPENDED,
		[STORE_GONE] = VALUE_GONE,
	};
	struct timespec now;
	int64_t age_s, later_ms = 0;

	if (!reg_time_known(r))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	age_s = (int64_t)now.tv_sec - reg_time_s(r);
	if (age_s == 0)
		later_ms = now.tv_nsec / 1000000;
	else if (age_s == 1) /* a second began after the clock was read */
		later_ms = 999;
	if (change == STORE_PUT)
		reg_set_later_ms(r, later_ms);
	change_send(arg, r, kinds[change], age_s <= FRESH_S);
}

void book_init(struct shared *s)
{
	loop_timer_init(&s->again, on_again, s);
	loop_task_init(&s->step, on_step, s);
	store_on_change(s->store, on_change, s);
}

void book_end(struct shared *s)
{
	store_on_change(s->store, NULL, NULL);
	loop_timer_clear(s->loop, &s->again);
	loop_task_cancel(s->loop, &s->step);
}
