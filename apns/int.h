/* apns/int.h - what the files of apns share.  Nobody else includes this.
 *
 * A file calls only those to the right of it:
 *   apns.c -> dial.c -> conn.c -> request.c -> reason.c
 *                       conn.c -> headers.c
 * A connection reports to dial.c through apns.conn_ops. */
#ifndef APNS_INT_H
#define APNS_INT_H

#include "apns.h"

#include "apns/headers.h"
#include "io.h"
#include "loop.h"

struct h2;
struct h2_response;

enum apns_conn_state {
	APNS_CONN_OPENING,  /* TCP, TLS */
	APNS_CONN_SETTINGS, /* waiting for the server's SETTINGS */
	APNS_CONN_UP,
	APNS_CONN_DRAINING, /* no more requests; waits for answers */
	APNS_CONN_CLOSED,
};

/* A request under way; a connection has them in order of sending. */
struct apns_request {
	struct apns_request *prev, *next;
	struct apns_conn *conn;
	void *owner;
	uint32_t id;
	int64_t sent_ms;
	int64_t retry_after_s;
};

struct apns_conn {
	struct apns *a;
	struct apns_conn *next; /* in apns.opening or apns.draining */
	struct io_addr addr;
	struct io *io;
	struct h2 *h2;		    /* NULL until TLS is done */
	enum apns_conn_state state; /* changed only by apns_conn_set_state() */
	struct apns_request *first, *last;
	struct loop_timer timer;
	struct loop_task flush;
	int64_t opened_ms, heard_ms;
	int64_t ping_sent_ms;
	int64_t full_ms; /* since when no request can be sent; 0: one can */
	bool answered;
};

struct apns_conn_ops {
	/* It is up: requests can be sent. */
	void (*ready)(struct apns_conn *c);
	/* It cannot be used any more, and is to be closed. */
	void (*failed)(struct apns_conn *c, const char *why);
	/* apns.cur takes no more requests, and is to be drained. */
	void (*finished)(struct apns_conn *c);
};

struct apns {
	struct loop *loop;
	const struct conf *conf;
	struct cred *cred;
	const struct apns_ops *ops;
	void *arg;
	struct io_target to;
	struct io_proxy *proxy; /* to.proxy; NULL: none */
	const struct apns_conn_ops *conn_ops;
	struct io_dialer *dialer;
	struct apns_conn *opening; /* by address, latest first */
	struct apns_conn *cur;	   /* up */
	struct apns_conn *draining;
	/* of this round's failed attempts the one that got furthest */
	char *reason;
	int reason_stage;
	struct loop_timer redial;
	unsigned failures;  /* useless connections in a row */
	int64_t down_ms;    /* the last useful one ended then */
	bool had_capacity;  /* at the last check */
	bool no_expiration; /* leave out apns-expiration */
	struct apns_request *free_requests;
	char *last_error;
	uint64_t connections, resumed;
	struct apns_latency latency;
	struct apns_headers headers;
	const char *label;
	struct apns_gate *gate; /* NULL: always connected */
	struct apns *next;	/* in gate.first, if waits */
	bool waits, is_inside;	/* of the gate */
};

/* --- apns/request.c --- */

struct apns_request *apns_request_new(struct apns_conn *c, void *owner);
/* Without a callback. */
void apns_request_free(struct apns_request *r);
/* Takes it off the connection and calls the owner. */
void apns_request_end(struct apns_request *r, const struct apns_answer *answer);
/* Callbacks of h2; owner is the request. */
void apns_request_on_header(void *arg, void *owner, const char *name,
    size_t name_len, const char *value, size_t value_len);
void apns_request_on_response(
    void *arg, void *owner, const struct h2_response *res);
void apns_requests_free_pool(struct apns *a);

/* --- apns/conn.c --- */

/* Adds a connection to apns.opening and starts connecting. */
void apns_conn_open(struct apns *a, const struct io_addr *addr);
bool apns_conn_is_opening(const struct apns_conn *c);
/* Takes it out of apns.opening, cur or draining. */
void apns_conn_unlink(struct apns_conn *c);
/* Sends with the first n headers of apns.headers.  False: not now. */
bool apns_conn_send(struct apns_conn *c, size_t n, const void *payload,
    size_t len, void *owner);
/* Moves h2's output to the socket. */
void apns_conn_flush(struct apns_conn *c);
/* Sends no more requests, only waits for answers. */
void apns_conn_drain(struct apns_conn *c);
/* All its requests end without an answer. */
void apns_conn_close(struct apns_conn *c);
/* Closes it without callbacks; frees it at once. */
void apns_conn_abandon(struct apns_conn *c);
/* It was answered, or has lasted long enough to count as good. */
bool apns_conn_is_useful(const struct apns_conn *c);
/* Why one that is still opening took too long. */
void apns_conn_describe_timeout(const struct apns_conn *c, char why[ERR_MAX]);

/* --- apns/dial.c --- */

void apns_dial_init(struct apns *a);
void apns_dial_free(struct apns *a);
/* Opens a new connection to apns.to. */
void apns_dial_start(struct apns *a);
/* Gives up connections that are not up yet, and the next attempt. */
void apns_dial_stop(struct apns *a);
/* Whether a connection is to be open now. */
bool apns_dial_wanted(const struct apns *a);
/* There is none, nor an attempt at it. */
bool apns_dial_is_idle(const struct apns *a);

#endif
