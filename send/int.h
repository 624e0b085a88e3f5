/* send/int.h - what the files of send share.  Nobody else includes this.
 *
 * A file calls only those to the right of it:
 *   send.c -> dial.c -> gate.c
 *             dial.c -> conn.c -> h1.c, request.c
 * A connection and the gate report to dial.c through sender.conn_ops. */
#ifndef SEND_INT_H
#define SEND_INT_H

#include "send.h"

#include "h2.h"
#include "io.h"
#include "loop.h"
#include "send/h1.h"

enum send_conn_state {
	SEND_CONN_OPENING,  /* TCP, TLS */
	SEND_CONN_SETTINGS, /* waiting for the server's SETTINGS */
	SEND_CONN_UP,
	SEND_CONN_DRAINING, /* no more requests; waits for answers */
	SEND_CONN_CLOSED,
};

/* A request under way; a connection has them in order of sending. */
struct request {
	struct request *prev, *next;
	struct send_conn *conn;
	void *owner;
	uint32_t id;
	int64_t sent_ms;
	int64_t retry_after_s;
};

struct send_conn {
	struct sender *s;
	struct send_conn *next; /* in sender.opening or .draining */
	struct io_addr addr;
	struct io *io;
	struct h2 *h2; /* NULL until TLS is done, or: */
	struct h1 *h1;
	enum send_conn_state state; /* changed only by send_conn_set_state() */
	struct request *first, *last;
	struct loop_timer timer;
	struct loop_task flush;
	int64_t opened_ms, heard_ms;
	int64_t ping_sent_ms;
	int64_t used_ms; /* by the last request */
	int64_t full_ms; /* since when no request can be sent; 0: one can */
	bool answered;
};

struct send_conn_ops {
	/* It is up: requests can be sent. */
	void (*ready)(struct send_conn *c);
	/* It cannot be used any more, and is to be closed. */
	void (*failed)(struct send_conn *c, const char *why);
	/* sender.cur takes no more requests, and is to be drained. */
	void (*finished)(struct send_conn *c);
	/* With a gate, of sender.cur: no request is open any more, is_over: for
	 * long.  May close it. */
	void (*unused)(struct send_conn *c, bool is_over);
	/* Another one needs its place in the gate. */
	void (*evict)(struct sender *s);
};

struct sender {
	struct loop *loop;
	const struct send_ops *ops;
	void *arg;
	struct send_target to;	/* its host is ours */
	char *host;		/* to.host */
	struct io_proxy *proxy; /* NULL: none */
	const struct send_conn_ops *conn_ops;
	struct io_dialer *dialer;
	struct send_conn *opening; /* by address, latest first */
	struct send_conn *cur;	   /* up */
	struct send_conn *draining;
	/* of this round's failed attempts the one that got furthest */
	char *reason;
	int reason_stage;
	struct loop_timer redial;
	unsigned failures; /* useless connections in a row */
	int64_t down_ms;   /* the last useful one ended then */
	bool had_capacity; /* at the last check */
	struct request *free_requests;
	char *last_error;
	uint64_t connections, resumed;
	struct send_latency latency;
	const char *label;
	struct send_gate *gate; /* NULL: always connected */
	struct sender *next;	/* in gate.waiting or gate.inside */
	bool waits, is_inside;	/* of the gate */
	int64_t entered_ms;
};

/* --- send/gate.c --- */

/* False: not yet, then the timer `redial` says when to try again.  True without a
 * gate. */
bool send_gate_enter(struct sender *s);
/* Of the gate, or of its queue. */
void send_gate_leave(struct sender *s);
/* A place in it is for the time of connecting only. */
bool send_gate_is_brief(const struct sender *s);
/* Somebody waits. */
bool send_gate_has_queue(const struct sender *s);
/* For so long a server may keep a place for nothing while another one waits. */
#define SEND_GATE_PATIENCE_MS 5000

/* --- send/request.c --- */

struct request *send_request_new(struct send_conn *c, void *owner);
/* Without a callback. */
void send_request_free(struct request *r);
/* Takes it off the connection and calls the owner. */
void send_request_end(struct request *r, struct send_answer *an);
/* The same without an answer. */
void send_request_lose(struct request *r);
/* Callbacks of h2; owner is the request. */
void send_request_on_header(void *arg, void *owner, const char *name,
    size_t name_len, const char *value, size_t value_len);
void send_request_on_response(
    void *arg, void *owner, const struct h2_response *res);
void send_requests_free_pool(struct sender *s);

/* --- send/conn.c --- */

/* How many requests the connection in use takes now. */
static inline uint32_t send_conn_capacity(const struct sender *s)
{
	if (s->cur == NULL || s->cur->state != SEND_CONN_UP)
		return 0;
	return s->cur->h2 != NULL ? h2_capacity(s->cur->h2)
				  : h1_is_ready(s->cur->h1);
}

/* Adds a connection to sender.opening and starts connecting. */
void send_conn_open(struct sender *s, const struct io_addr *addr);
bool send_conn_is_opening(const struct send_conn *c);
/* Takes it out of sender.opening, cur or draining. */
void send_conn_unlink(struct send_conn *c);
/* Everything is copied.  False: not now. */
bool send_conn_send(struct send_conn *c, const struct hpack_header *list,
    size_t n, const void *body, size_t len, void *owner);
/* Where it leads. */
struct io_target send_conn_target(const struct sender *s);
/* Moves h2's output to the socket. */
void send_conn_flush(struct send_conn *c);
/* Sends no more requests, only waits for answers. */
void send_conn_drain(struct send_conn *c);
/* All its requests end without an answer. */
void send_conn_close(struct send_conn *c);
/* Closes it without callbacks; frees it at once. */
void send_conn_abandon(struct send_conn *c);
/* It was answered, or has lasted long enough to count as good. */
bool send_conn_is_useful(const struct send_conn *c);
/* Why one that is still opening took too long. */
void send_conn_describe_timeout(const struct send_conn *c, char why[ERR_MAX]);

/* --- send/dial.c --- */

void send_dial_init(struct sender *s);
void send_dial_free(struct sender *s);
/* Opens a new connection to sender.to. */
void send_dial_start(struct sender *s);
/* Gives up connections that are not up yet, and the next attempt. */
void send_dial_stop(struct sender *s);
/* Whether a connection is to be open now. */
bool send_dial_wanted(const struct sender *s);
/* There is none, nor an attempt at it. */
bool send_dial_is_idle(const struct sender *s);

#endif
