/* shared/conn.c - one connection to the shared store: found, opened, greeted,
 * kept, and opened again.
 *
 * Requests are pipelined: replies come in the order in which they were sent. */
#include "shared/int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"
#include "io.h"
#include "mem.h"
#include "text.h"

/* After a failure: so short that nodes agree again within seconds when a cut
 * network heals; one packet every 2 s costs nothing. */
#define RETRY_MIN_MS 250
#define RETRY_MAX_MS 2000
/* A connection that lasted so long does not count as a failure. */
#define GOOD_MS 10000
/* After it refused what we need: somebody has to change its settings. */
#define REFUSED_MS 60000
/* For finding, connecting and TLS.  TCP asks at 0, 1 and 3 s: more than 3 s would
 * be spent in waiting after a cut network has healed. */
#define OPEN_MS 2500
/* Valkey answers within milliseconds.  A script or SCAN that blocks it, or a fork
 * on a busy machine, may take seconds without a byte. */
#define REPLY_MS 5000
/* A question so often: nobody else tells that the server's machine is gone, or that
 * it has lost its data, and what is registered elsewhere would not be heard. */
#define IDLE_MS 30000
/* The longest name of a host in the DNS. */
#define HOST_MAX 255
/* Requests that wait for the kernel: thousands of registrations. */
#define OUT_MAX (4u * 1024 * 1024)

enum state {
	WAITING, /* to try again */
	DIALLING,
	GREETING,
	UP,
};

enum step {
	STEP_SENTINEL,
	STEP_HELLO,
	STEP_AUTH,
	STEP_SELECT,
	STEP_INFO,
};

/* A stream to one address; several are tried at once. */
struct link {
	struct link *next;
	struct shared_conn *conn;
	struct io_addr addr;
	struct io *io;
};

struct shared_conn {
	struct loop *loop;
	const struct shared_addr *addr;
	const struct shared_conn_ops *ops;
	void *arg;
	enum state state; /* changed only by set_state() */
	struct io_dialer *dialer;
	struct link *attempts, *link;
	char why[ERR_MAX]; /* the last of this round's attempts that failed */
	struct io *io;	   /* the link's */
	struct resp resp;
	struct shared_request *first, *last;
	struct loop_timer timer; /* the next attempt, timeouts, PING */
	struct loop_task flush;
	int64_t looked_ms, up_ms;
	unsigned failures;
	struct shared_request greeting, ping;
	bool is_pinging, in_push, is_info_logged;
	enum step step;
	int protocol;
	char *info;
	const char *host;		 /* being dialled */
	const struct shared_host *login; /* for it */
	size_t sentinel;		 /* the one to ask next */
	struct shared_host master;	 /* that it named; host NULL: ask */
	char peer[300];
};

static const char state_names[][12] = {
	[WAITING] = "waiting",
	[DIALLING] = "dialling",
	[GREETING] = "greeting",
	[UP] = "up",
};

static void set_state(struct shared_conn *c, enum state to)
{
	log_debug("shared: %s: %s -> %s", c->peer, state_names[c->state],
	    state_names[to]);
	c->state = to;
}

/* --- closing --- */

static void link_free(struct link *k)
{
	if (k != NULL)
		io_close(k->io);
	free(k);
}

static void close_attempts(struct shared_conn *c)
{
	struct link *k;

	while ((k = c->attempts) != NULL) {
		c->attempts = k->next;
		link_free(k);
	}
}

static void drop_requests(struct shared_conn *c)
{
	struct shared_request *rq;

	while ((rq = c->first) != NULL) {
		c->first = rq->next;
		rq->cb(rq, NULL);
	}
}

static void disconnect(struct shared_conn *c)
{
	io_dialer_stop(c->dialer);
	close_attempts(c);
	link_free(c->link);
	c->link = NULL;
	c->io = NULL;
	loop_task_cancel(c->loop, &c->flush);
	loop_timer_clear(c->loop, &c->timer);
	free(c->info);
	c->info = NULL;
	memset(&c->resp, 0, sizeof(c->resp));
	set_state(c, WAITING);
	drop_requests(c);
	c->is_pinging = false;
}

/* The next sentinel says where it is now. */
static void forget_master(struct shared_conn *c)
{
	free(c->master.host);
	c->master.host = NULL;
	c->master.port = 0; /* it may know none now */
}

static void lost(struct shared_conn *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void lost(struct shared_conn *c, const char *fmt, ...)
{
	char err[ERR_MAX]; /* what it is made of ends with the stream */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, sizeof(err), fmt, ap);
	va_end(ap);
	if (c->state == UP && loop_now_ms(c->loop) - c->up_ms > GOOD_MS)
		c->failures = 0;
	c->sentinel++;
	forget_master(c);
	disconnect(c);
	c->failures++;
	loop_timer_set(c->loop, &c->timer,
	    loop_backoff_ms(RETRY_MIN_MS, RETRY_MAX_MS, c->failures));
	c->ops->down(c->arg, err);
}

void shared_conn_fail(struct shared_conn *c, const char *why, bool soon)
{
	if (c->state != UP)
		return;
	lost(c, "%s", why);
	if (!soon)
		loop_timer_set(c->loop, &c->timer, REFUSED_MS);
}

/* --- sending --- */

static void set_timer(struct shared_conn *c)
{
	int64_t due_ms = c->first != NULL ? c->first->sent_ms + REPLY_MS
					  : c->looked_ms + IDLE_MS;

	/* Only ever set earlier: it looks again when it fires. */
	if (!loop_timer_is_set(&c->timer) || due_ms < c->timer.due_ms)
		loop_timer_set(
		    c->loop, &c->timer, due_ms - loop_now_ms(c->loop));
}

void *shared_request_new(struct shared *s, size_t size,
    void (*cb)(struct shared_request *rq, const struct resp_item *it))
{
	struct shared_request *rq = xcalloc(1, size);

	rq->shared = s;
	rq->cb = cb;
	return rq;
}

void shared_conn_ask(struct shared_conn *c, struct shared_request *rq, ...)
{
	struct buf *out = io_out(c->io);
	const char *word;
	va_list ap;
	size_t n = 0;

	va_start(ap, rq);
	while (va_arg(ap, const char *) != NULL)
		n++;
	va_end(ap);
	resp_write_array(out, n);
	va_start(ap, rq);
	while ((word = va_arg(ap, const char *)) != NULL)
		resp_write_string(out, word, strlen(word));
	va_end(ap);
	loop_task_queue(c->loop, &c->flush);
	if (rq == NULL)
		return;
	rq->next = NULL;
	rq->sent_ms = loop_now_ms(c->loop);
	if (c->first == NULL)
		c->first = rq;
	else
		c->last->next = rq;
	c->last = rq;
	set_timer(c);
}

static void on_flush(void *arg)
{
	struct shared_conn *c = arg;

	if (io_out(c->io)->failed)
		lost(c, "it takes our requests too slowly");
	else
		io_flush(c->io);
}

/* --- greeting: one step after the other, as each depends on the last --- */

static bool is_at_sentinel(const struct shared_conn *c)
{
	return c->login != &c->addr->server;
}

static enum step after_auth(const struct shared_conn *c)
{
	return is_at_sentinel(c) ? STEP_SENTINEL : STEP_SELECT;
}

static void begin_step(struct shared_conn *c, enum step step)
{
	const struct shared_addr *a = c->addr;
	const char *user = c->login->user, *password = c->login->password;
	struct shared_request *rq = &c->greeting;
	char db[8];

	if (user != NULL && *user == '\0')
		user = NULL;
	if (step == STEP_AUTH && password == NULL)
		step = after_auth(c);
	if (step == STEP_SELECT && a->db == 0)
		step++;
	c->step = step;
	switch (step) {
	case STEP_SENTINEL:
		shared_conn_ask(c, rq, "SENTINEL", "get-master-addr-by-name",
		    a->master, NULL);
		break;
	case STEP_HELLO: /* which always wants a user */
		shared_conn_ask(c, rq, "HELLO", "3",
		    password != NULL ? "AUTH" : NULL,
		    user != NULL ? user : "default", password, NULL);
		break;
	case STEP_AUTH: /* what is too old for HELLO knows passwords alone */
		shared_conn_ask(c, rq, "AUTH", user != NULL ? user : password,
		    user != NULL ? password : NULL, NULL);
		break;
	case STEP_SELECT:
		snprintf(db, sizeof(db), "%d", a->db);
		shared_conn_ask(c, rq, "SELECT", db, NULL);
		break;
	case STEP_INFO:
		shared_conn_ask(c, rq, "INFO", NULL);
		break;
	}
}

/* True if the error begins so. */
static bool is_error(const struct resp_item *it, const char *word)
{
	size_t n = strlen(word);

	return it->text != NULL && it->len >= n &&
	       memcmp(it->text, word, n) == 0;
}

const char *shared_conn_cure(
    const struct shared_conn *c, const struct resp_item *error)
{
	static const char right[] =
	    "; its user lacks a right: xapsd(8) names those that are needed";
	static const char sentinel_right[] =
	    "; its user needs the right +sentinel|get-master-addr-by-name";
	/* Of a script's command, Redis 6 and 7 say the last but one, Valkey
	 * "ERR ACL failure in script: User x has no permissions ...". */
	static const struct {
		const char *text, *cure, *sentinel_cure;
	} cures[] = {
		{ "NOAUTH ",
		    "; it wants a password: sharedStore: "
		    "valkey://user:password@host, or sharedPasswordFile",
		    "; it wants a password: sharedSentinels: "
		    "user:password@host" },
		{ "WRONGPASS ", "; check user and password of sharedStore",
		    "; check user and password in sharedSentinels" },
		{ "NOPERM ", right, sentinel_right },
		{ " executing the script can't ", right, right },
		{ " has no permissions ", right, right },
		{ "WRONGTYPE ",
		    "; a key is somebody else's: delete it, or set another "
		    "sharedPrefix",
		    "" },
		{ "MOVED ",
		    "; it is part of a cluster: name the cluster's proxy", "" },
	};
	size_t i;

	for (i = 0; i < sizeof(cures) / sizeof(cures[0]); i++)
		if (error->text != NULL &&
		    memmem(error->text, error->len, cures[i].text,
			strlen(cures[i].text)) != NULL)
			return is_at_sentinel(c) ? cures[i].sentinel_cure
						 : cures[i].cure;
	return "";
}

void shared_conn_explain(const struct shared_conn *c,
    const struct resp_item *error, const char *what, char why[ERR_MAX])
{
	err_set(why, "%s refuses %s: %.*s%s", c->peer, what,
	    (int)(error->len < 300 ? error->len : 300),
	    error->text != NULL ? error->text : "", shared_conn_cure(c, error));
}

static void step_refused(struct shared_conn *c, const struct resp_item *it)
{
	static const char *const what[] = {
		[STEP_SENTINEL] = "to name the master",
		[STEP_HELLO] = "the log-in",
		[STEP_AUTH] = "the log-in",
		[STEP_SELECT] = "this database",
		[STEP_INFO] = "the log-in",
	};
	char why[ERR_MAX];

	shared_conn_explain(c, it, what[c->step], why);
	lost(c, "%s", why);
}

void shared_conn_info(
    const struct shared_conn *c, const char *key, char *out, size_t size)
{
	size_t n = strlen(key);
	const char *p = c->info != NULL ? c->info : "";

	for (; *p != '\0'; p += strcspn(p, "\n"), p += *p == '\n')
		if (strncmp(p, key, n) == 0 && p[n] == ':')
			break;
	p += *p != '\0' ? n + 1 : 0;
	snprintf(out, size, "%.*s", (int)strcspn(p, "\r\n"), p);
}

static void greeted(struct shared_conn *c)
{
	char role[8];

	shared_conn_info(c, "role", role, sizeof(role));
	if (strcmp(role, "slave") == 0) {
		lost(c,
		    "%s is a replica, which takes no changes: name its master "
		    "in sharedStore, or set sharedSentinels",
		    c->peer);
		return;
	}
	c->up_ms = loop_now_ms(c->loop);
	set_state(c, UP);
	c->ops->up(c->arg);
	free(c->info);
	c->info = NULL;
}

static void dial(struct shared_conn *c, const struct shared_host *h,
    const struct shared_host *login);

static void redial_master(struct shared_conn *c)
{
	if (c->master.port < 1) {
		lost(c, "the sentinel %s knows no master \"%s\"", c->peer,
		    c->addr->master);
		return;
	}
	disconnect(c);
	dial(c, &c->master, &c->addr->server);
}

static void step_done(struct shared_conn *c)
{
	if (c->step == STEP_SENTINEL)
		redial_master(c);
	else if (c->step == STEP_INFO)
		greeted(c);
	else
		begin_step(
		    c, c->step == STEP_SELECT ? STEP_INFO : after_auth(c));
}

static void step_failed(struct shared_conn *c, const struct resp_item *it)
{
	/* Valkey 9 says NOAUTH to a command that it does not know, too. */
	bool has_sent = c->step == STEP_HELLO && c->login->password != NULL;
	bool denied =
	    is_error(it, "WRONGPASS") || (is_error(it, "NOAUTH") && !has_sent);

	if (!denied && c->step == STEP_INFO) {
		/* a proxy, or a user who may not ask */
		if (is_error(it, "NOPERM") && !c->is_info_logged)
			log_warn("shared: %s refuses INFO, which tells a "
				 "master from a replica%s",
			    c->peer, shared_conn_cure(c, it));
		c->is_info_logged = true;
		greeted(c);
	} else if (!denied && c->step == STEP_HELLO) {
		/* Of what knows no HELLO, or allows it to nobody (Redis 6.0
		 * without a default user), all is asked in RESP2. */
		c->protocol = 2;
		begin_step(c, STEP_AUTH);
	} else {
		step_refused(c, it);
	}
}

/* What the sentinel says: the host, then the port. */
static void take_master(struct shared_conn *c, const struct resp_item *it)
{
	if (c->master.host == NULL && it->len <= HOST_MAX) {
		c->master.host = xstrndup(it->text, it->len);
		c->master.port = 0;
	} else {
		c->master.port =
		    (int)text_number(it->text, it->len, UINT16_MAX);
	}
}

static void on_greeting(struct shared_request *rq, const struct resp_item *it)
{
	struct shared_conn *c =
	    (struct shared_conn *)((char *)rq -
				   offsetof(struct shared_conn, greeting));

	if (it == NULL)
		return;
	if (it->type == RESP_STRING && c->step == STEP_SENTINEL)
		take_master(c, it);
	if (it->type == RESP_STRING && it->depth == 0 && c->step == STEP_INFO)
		c->info = xstrndup(it->text, it->len);
	if (it->type == RESP_ERROR && it->depth == 0)
		step_failed(c, it);
	else if (it->last)
		step_done(c);
}

/* --- receiving --- */

/* Whether this begins a message.  With protocol 2 it is an array of three, and the
 * answer to PING one of two, on a connection for messages. */
static bool is_push(const struct shared_conn *c, const struct resp_item *it)
{
	return it->type == RESP_PUSH ||
	       (c->protocol == 2 && it->type == RESP_ARRAY && it->n == 3 &&
		   (c->first == NULL || c->first == &c->ping));
}

static void take_item(struct shared_conn *c, const struct resp_item *it)
{
	struct shared_request *rq = c->first;
	char why[ERR_MAX];

	if (it->depth == 0 && is_push(c, it))
		c->in_push = true;
	if (c->in_push) {
		c->in_push = !it->last;
		if (c->state == UP)
			c->ops->push(c->arg, it);
		return;
	}
	if (rq == NULL) {
		shared_conn_explain(c, it, "to send messages", why);
		shared_conn_fail(c, why, false);
		return;
	}
	if (!it->last && !rq->is_many) {
		lost(c, "%s answers what was not asked", c->peer);
		return;
	}
	if (it->last)
		c->first = rq->next;
	rq->cb(rq, it);
}

static void receive(struct shared_conn *c)
{
	struct io *io = c->io;
	struct buf *in = io_in(io);
	struct resp_item it;
	ssize_t n;

	while ((n = resp_read(
		    &c->resp, (const char *)buf_head(in), in->len, &it)) > 0) {
		if (it.type != RESP_SKIP)
			take_item(c, &it);
		if (c->io != io) /* lost, or another one */
			return;
		buf_consume(in, (size_t)n);
	}
	if (n < 0) {
		lost(c, "%s: %s", c->peer, c->resp.reason);
		return;
	}
	io_resume(io); /* it may have been full */
	/* On a slow line an answer takes long, but something always comes. */
	if (c->first != NULL)
		c->first->sent_ms = loop_now_ms(c->loop);
	set_timer(c);
}

/* --- opening --- */

static void greet(struct shared_conn *c, struct link *k)
{
	c->link = k;
	c->io = k->io;
	c->protocol = 3;
	c->in_push = false;
	c->looked_ms = loop_now_ms(c->loop);
	set_state(c, GREETING);
	begin_step(c, is_at_sentinel(c) ? STEP_AUTH : STEP_HELLO);
}

static void remove_attempt(struct link *k)
{
	struct link **at = &k->conn->attempts;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
}

/* The first one that is open is used. */
static void attempt_opened(struct link *k)
{
	struct shared_conn *c = k->conn;

	remove_attempt(k);
	close_attempts(c);
	io_dialer_succeeded(c->dialer, &k->addr);
	greet(c, k);
}

static void attempt_failed(struct link *k)
{
	struct shared_conn *c = k->conn;
	struct io_addr addr = k->addr;

	err_set(c->why, "%s", io_error(k->io));
	remove_attempt(k);
	link_free(k);
	io_dialer_failed(c->dialer, &addr);
}

static void on_io(struct io *io, enum io_event event, void *arg)
{
	struct link *k = arg;
	struct shared_conn *c = k->conn;

	if (event == IO_OPEN && c->addr->unix_path != NULL)
		greet(c, k);
	else if (event == IO_OPEN)
		attempt_opened(k);
	else if (event == IO_DATA)
		receive(c);
	else if (event == IO_FAILED && k != c->link &&
		 c->addr->unix_path == NULL)
		attempt_failed(k);
	else if (event == IO_EOF || event == IO_FAILED)
		lost(c, "%s",
		    event == IO_EOF ? "the server closed the connection"
				    : io_error(io));
}

static struct link *link_new(struct shared_conn *c)
{
	struct link *k = xcalloc(1, sizeof(*k));

	k->conn = c;
	return k;
}

static void on_attempt(void *arg, const struct io_addr *addr)
{
	struct shared_conn *c = arg;
	struct link *k = link_new(c);
	struct io_target to = { .host = c->host };

	k->addr = *addr;
	k->next = c->attempts;
	c->attempts = k;
	k->io = io_connect(c->loop, addr, &to,
	    c->login->has_tls ? c->addr->tls : NULL, on_io, k);
	io_set_limits(k->io, RESP_IN_MAX, OUT_MAX);
	/* While the network is cut TCP's pauses grow: what others register would
	 * come long after it has healed. */
	io_keep_alive(k->io);
}

static bool is_hopeful(void *arg)
{
	const struct shared_conn *c = arg;
	const struct link *k;

	for (k = c->attempts; k != NULL; k = k->next)
		if (io_stage(k->io) > IO_STAGE_TCP)
			return true;
	return false;
}

static void on_exhausted(void *arg, const char *why)
{
	struct shared_conn *c = arg;

	if (why == NULL)
		why = c->why[0] != '\0' ? c->why : "no connection within 2.5 s";
	lost(c, "%s: %s", c->peer, why);
}

static const struct io_dialer_ops dialer_ops = {
	.attempt = on_attempt,
	.is_hopeful = is_hopeful,
	.exhausted = on_exhausted,
};

static void dial(struct shared_conn *c, const struct shared_host *h,
    const struct shared_host *login)
{
	struct io_target to = { .host = h->host, .port = h->port };

	snprintf(c->peer, sizeof(c->peer), "%s port %d", h->host, h->port);
	c->host = h->host;
	c->login = login;
	c->why[0] = '\0';
	set_state(c, DIALLING);
	io_dialer_start(c->dialer, &to, OPEN_MS);
}

static void dial_sentinel(struct shared_conn *c)
{
	const struct shared_addr *a = c->addr;
	const struct shared_host *h =
	    &a->sentinels[c->sentinel % a->n_sentinels];

	dial(c, h, h);
}

/* It is there at once or not at all. */
static void dial_unix(struct shared_conn *c)
{
	const char *path = c->addr->unix_path;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const char *why;

	c->login = &c->addr->server;
	snprintf(c->peer, sizeof(c->peer), "%s", path);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	set_state(c, DIALLING);
	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&un, sizeof(un)) < 0) {
		why = err_words(errno);
		if (fd >= 0)
			close(fd);
		lost(c, "%s: %s", path, why);
		return;
	}
	c->link = link_new(c);
	c->link->io = io_accept(c->loop, fd, NULL, on_io, c->link);
	io_set_limits(c->link->io, RESP_IN_MAX, OUT_MAX);
}

/* --- time --- */

static void on_pong(struct shared_request *rq, const struct resp_item *it)
{
	struct shared_conn *c =
	    (struct shared_conn *)((char *)rq -
				   offsetof(struct shared_conn, ping));

	if (it == NULL || it->last)
		c->is_pinging = false;
}

static void check_idle(struct shared_conn *c)
{
	if (c->first != NULL &&
	    loop_now_ms(c->loop) - c->first->sent_ms >= REPLY_MS) {
		lost(c, "%s does not answer", c->peer);
		return;
	}
	if (c->first == NULL && !c->is_pinging &&
	    loop_now_ms(c->loop) - c->looked_ms >= IDLE_MS) {
		c->looked_ms = loop_now_ms(c->loop);
		io_trim(c->io); /* a comparison needs much */
		if (c->ops->idle == NULL || !c->ops->idle(c->arg)) {
			c->is_pinging = true;
			shared_conn_ask(c, &c->ping, "PING", NULL);
		}
	}
	set_timer(c);
}

static void on_timer(void *arg)
{
	struct shared_conn *c = arg;
	const struct shared_addr *a = c->addr;

	if (c->state >= GREETING)
		check_idle(c);
	else if (a->unix_path != NULL)
		dial_unix(c);
	else if (a->n_sentinels > 0)
		dial_sentinel(c);
	else
		dial(c, &a->server, &a->server);
}

/* --- the owner's --- */

struct shared_conn *shared_conn_new(struct loop *l,
    const struct shared_addr *addr, const struct shared_conn_ops *ops,
    void *arg)
{
	struct shared_conn *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->addr = addr;
	c->ops = ops;
	c->arg = arg;
	c->greeting.cb = on_greeting;
	c->greeting.is_many = true;
	c->ping.cb = on_pong;
	c->dialer = io_dialer_new(l, &dialer_ops, c);
	loop_timer_init(&c->timer, on_timer, c);
	loop_task_init(&c->flush, on_flush, c);
	loop_timer_set(l, &c->timer, 0);
	return c;
}

void shared_conn_free(struct shared_conn *c)
{
	if (c == NULL)
		return;
	if (c->state == UP)
		io_flush(c->io); /* the last changes */
	disconnect(c);
	io_dialer_free(c->dialer);
	free(c->master.host);
	free(c);
}

bool shared_conn_is_up(const struct shared_conn *c)
{
	return c->state == UP;
}

int shared_conn_protocol(const struct shared_conn *c)
{
	return c->protocol;
}

const char *shared_conn_peer(const struct shared_conn *c)
{
	return c->peer;
}
