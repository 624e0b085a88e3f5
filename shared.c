/* shared.c - one book of registrations for several nodes: its connections, and
 * what people see of it. */
#include "shared.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf.h"
#include "json.h"
#include "mem.h"
#include "shared/int.h"
#include "text.h"

int shared_check_text(const struct conf *conf, char err[ERR_MAX])
{
	struct shared_addr a;
	int rc;

	if (conf->shared_store == NULL)
		return 0;
	rc = shared_addr_parse(&a, conf, err);
	shared_addr_free(&a);
	return rc;
}

/* --- connections --- */

static void go_away(struct shared *s, const char *why)
{
	err_set(s->why, "%s", why);
	log_at(s->logged == LOGGED_AWAY ? LOG_L_DEBUG : LOG_L_WARN,
	    "shared: %s; all goes on, and changes are shared when it is back",
	    why);
	s->logged = LOGGED_AWAY;
	loop_timer_clear(s->loop, &s->again);
	book_set_phase(s, SHARED_AWAY);
}

static void subscribe(struct shared *s, struct shared_conn *c)
{
	shared_conn_ask(c, NULL, "SUBSCRIBE", s->channel, NULL);
}

/* Messages come: the comparison will miss nothing. */
static void on_push(void *arg, const struct resp_item *it)
{
	struct shared *s = arg;

	if (book_hear(s, it))
		s->is_subscribed = true;
	if (s->is_subscribed && it->last && s->phase == SHARED_AWAY &&
	    shared_conn_is_up(s->conn))
		book_begin(s);
}

static void on_listener_up(void *arg)
{
	struct shared *s = arg;

	s->is_subscribed = false;
	subscribe(s, s->listener);
}

static void on_listener_down(void *arg, const char *why)
{
	struct shared *s = arg;

	s->is_subscribed = false;
	/* What is being compared would have gaps. */
	if (shared_conn_is_up(s->conn))
		shared_conn_fail(s->conn, why, true);
	else
		go_away(s, why);
}

static const struct shared_conn_ops listener_ops = {
	.up = on_listener_up,
	.down = on_listener_down,
	.push = on_push,
};

static void read_info(struct shared *s)
{
	shared_conn_info(s->conn, "role", s->role, sizeof(s->role));
	shared_conn_info(
	    s->conn, "maxmemory_policy", s->policy, sizeof(s->policy));
	if (s->policy[0] == '\0' || s->is_policy_logged ||
	    strcmp(s->policy, SHARED_POLICY) == 0)
		return;
	s->is_policy_logged = true;
	log_warn("shared: %s: maxmemory-policy is %s: it throws registrations "
		 "away when memory is short; set " SHARED_POLICY,
	    shared_conn_peer(s->conn), s->policy);
}

static void on_up(void *arg)
{
	struct shared *s = arg;

	read_info(s);
	if (shared_conn_protocol(s->conn) == 3) {
		shared_conn_free(s->listener);
		s->listener = NULL;
		s->is_subscribed = false;
		subscribe(s, s->conn);
	} else if (s->listener == NULL) {
		s->listener =
		    shared_conn_new(s->loop, &s->addr, &listener_ops, s);
	} else if (s->is_subscribed) {
		book_begin(s);
	}
}

static void on_down(void *arg, const char *why)
{
	go_away(arg, why);
}

static bool on_idle(void *arg)
{
	return book_ask_id(arg);
}

static const struct shared_conn_ops conn_ops = {
	.up = on_up,
	.down = on_down,
	.idle = on_idle,
	.push = on_push,
};

/* --- beginning and end --- */

struct shared *shared_new(struct loop *l, const struct conf *conf,
    struct store *store, struct commit *commit, char err[ERR_MAX])
{
	struct shared *s;

	err[0] = '\0';
	if (conf->shared_store == NULL)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->loop = l;
	s->conf = conf;
	s->store = store;
	s->commit = commit;
	if (shared_addr_load(&s->addr, conf, err) < 0) {
		shared_addr_free(&s->addr);
		free(s);
		return NULL;
	}
	return s;
}

void shared_start(struct shared *s, struct push_queue *queue)
{
	value_set_names(s);
	strcpy(s->why, "connecting");
	s->left_ms = loop_now_ms(s->loop);
	book_init(s);
	once_init(s, queue);
	s->conn = shared_conn_new(s->loop, &s->addr, &conn_ops, s);
}

void shared_free(struct shared *s)
{
	if (s == NULL)
		return;
	shared_conn_free(s->listener);
	shared_conn_free(s->conn);
	if (s->conn != NULL) {
		book_end(s);
		once_end(s);
	}
	jwt_end(s);
	shared_addr_free(&s->addr);
	free(s);
}

/* --- what people see --- */

bool shared_is_in_step(const struct shared *s)
{
	return s->phase == SHARED_IN_STEP;
}

/* Changes that the others do not know. */
static size_t waiting(const struct shared *s)
{
	return s->phase == SHARED_IN_STEP ? s->n_flight
					  : store_unshared(s->store);
}

/* After the key in /status ("": none) come the name in /metrics, after
 * xapsd_shared_, and the words for people. */
static const struct {
	const char *key;
	bool counts;
} rows[] = {
	{ "\0in_step\0"
	  "1 if this node has what the shared book has.",
	    false },
	{ "waiting\0waiting\0"
	  "Changes that the other nodes do not know yet.",
	    false },
	{ "lag\0lag_seconds\0How long it has not been in step.", false },
	{ "taken\0taken_total\0"
	  "Registrations taken over from other nodes.",
	    true },
	{ "sent\0sent_total\0Changes that went into the shared book.", true },
	{ "spared\0spared_pushes_total\0"
	  "Delayed pushes that another node has sent.",
	    true },
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void collect(const struct shared *s, int64_t v[N_ROWS])
{
	bool in_step = s->phase == SHARED_IN_STEP;
	int64_t left_ms = loop_now_ms(s->loop) - s->left_ms;

	v[0] = in_step;
	v[1] = (int64_t)waiting(s);
	v[2] = in_step ? 0 : left_ms / 1000;
	v[3] = (int64_t)s->taken;
	v[4] = (int64_t)s->sent;
	v[5] = (int64_t)s->spared;
}

void shared_write_metrics(const struct shared *s, struct buf *b)
{
	int64_t v[N_ROWS];
	const char *name;
	size_t i;

	collect(s, v);
	for (i = 0; i < N_ROWS; i++) {
		name = text_next(rows[i].key);
		buf_add_fmt(b,
		    "# HELP xapsd_shared_%s %s\n# TYPE xapsd_shared_%s %s\n"
		    "xapsd_shared_%s %lld\n",
		    name, text_next(name), name,
		    rows[i].counts ? "counter" : "gauge", name,
		    (long long)v[i]);
	}
}

void shared_write_status(const struct shared *s, struct buf *b)
{
	static const char *const words[] = {
		[SHARED_AWAY] = "away",
		[SHARED_MERGING] = "comparing",
		[SHARED_SENDING] = "comparing",
		[SHARED_IN_STEP] = "in step",
	};
	int64_t v[N_ROWS];
	size_t i;

	collect(s, v);
	buf_add_byte(b, '{');
	json_add_str(b, "state", words[s->phase]);
	json_add_str(b, "server", shared_conn_peer(s->conn));
	json_add_str(b, "problem", s->why);
	json_add_str(b, "node", s->node);
	json_add_str(b, "book", s->id);
	json_add_str(b, "role", s->role);
	json_add_str(b, "policy", s->policy);
	for (i = 0; i < N_ROWS; i++)
		if (*rows[i].key != '\0')
			json_add_num(b, rows[i].key, v[i]);
	buf_add_byte(b, '}');
}
