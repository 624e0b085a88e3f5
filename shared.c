/* shared.c - one book of registrations for several nodes: its connections, and
 * what people see of it. */
#include "shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "buf.h"
#include "conf.h"
#include "json.h"
#include "mem.h"
#include "shared/int.h"

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
	const struct shared_arg args[] = { SHARED_ARG("SUBSCRIBE"),
		{ s->channel, strlen(s->channel) } };

	shared_conn_send(c, NULL, args, 2);
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

static void warn_of_policy(struct shared *s)
{
	const struct shared_conn *c = s->conn;
	const char *policy = shared_conn_info(c, "maxmemory_policy");
	int n = (int)strcspn(policy, "\r\n");

	if (n == 0 || s->is_policy_logged ||
	    strncmp(policy, "noeviction", (size_t)n) == 0)
		return;
	s->is_policy_logged = true;
	log_warn("shared: %s: maxmemory-policy is %.*s: it throws "
		 "registrations away when memory is short; set "
		 "noeviction",
	    shared_conn_peer(c), n, policy);
}

static void on_up(void *arg)
{
	struct shared *s = arg;

	warn_of_policy(s);
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

/* Two processes have different names, so that each hears the other. */
static void set_node(struct shared *s)
{
	char host[SHARED_NODE_MAX - 8] = "";
	uint16_t r = 0;
	size_t n;

	gethostname(host, sizeof(host) - 1);
	n = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789.-_");
	host[n] = '\0';
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint16_t)getpid();
	snprintf(s->node, sizeof(s->node), "%s/%04x", host, r);
}

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
	set_node(s);
	snprintf(
	    s->channel, sizeof(s->channel), "%sevents", s->conf->shared_prefix);
	strcpy(s->why, "connecting");
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

static int count_unshared(void *arg, struct reg *r)
{
	*(size_t *)arg += !reg_shared(r);
	return 0;
}

/* Changes that the others do not know. */
static size_t waiting(const struct shared *s)
{
	size_t n = 0;

	if (s->phase == SHARED_IN_STEP)
		return s->n_flight;
	store_each(s->store, count_unshared, &n);
	store_each_gone(s->store, count_unshared, &n);
	return n;
}

void shared_write_status(const struct shared *s, struct buf *b)
{
	static const char *const words[] = {
		[SHARED_AWAY] = "away",
		[SHARED_MERGING] = "comparing",
		[SHARED_SENDING] = "comparing",
		[SHARED_IN_STEP] = "in step",
	};

	buf_add_fmt(b, "{\"state\":\"%s\",\"server\":", words[s->phase]);
	json_write_str(b, shared_conn_peer(s->conn));
	buf_add_str(b, ",\"problem\":");
	json_write_str(b, s->why);
	buf_add_fmt(b,
	    ",\"node\":\"%s\",\"taken\":%llu,\"sent\":%llu,"
	    "\"spared\":%llu,\"waiting\":%zu,"
	    "\"book\":\"%s\"}",
	    s->node, (unsigned long long)s->taken, (unsigned long long)s->sent,
	    (unsigned long long)s->spared, waiting(s), s->id);
}
