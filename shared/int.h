/* shared/int.h - what the files of shared have in common.  Nobody else includes
 * this.
 *
 * A file calls only those to the right of it:
 *   ../shared -> book.c -> change.c, jwt.c -> value.c, script.c
 *   ../shared -> once.c -> value.c, script.c
 *                all of these -> conn.c -> resp.c
 *   ../shared -> addr.c;  probe.c -> value.c, addr.c
 * A connection reports to ../shared through struct shared_conn_ops. */
#ifndef SHARED_INT_H
#define SHARED_INT_H

#include <string.h>

#include "loop.h"
#include "shared.h"
#include "store.h"
#include "shared/resp.h"

struct tls_ctx;

/* --- shared/addr.c: where the shared store is, as the configuration says --- */

#define SHARED_SENTINELS_MAX 8 /* three or five are usual */

struct shared_host {
	char *host; /* brackets of an IPv6 address are left on */
	int port;
	bool has_tls;
	char *user, *password; /* NULL: none */
};

struct shared_addr {
	char *unix_path; /* NULL: TCP */
	struct shared_host server;
	struct shared_host sentinels[SHARED_SENTINELS_MAX];
	size_t n_sentinels;
	char *master; /* its name there */
	int db;
	bool has_tls;	     /* a sentinel has */
	struct tls_ctx *tls; /* for those that have TLS */
};

/* Checks the text only: without the files that it names. */
int shared_addr_parse(
    struct shared_addr *a, const struct conf *conf, char err[ERR_MAX]);
/* And reads them. */
int shared_addr_load(
    struct shared_addr *a, const struct conf *conf, char err[ERR_MAX]);
void shared_addr_free(struct shared_addr *a);

/* --- shared/conn.c: one connection, opened again whenever it is lost --- */

/* A request and what becomes of its reply; the first member of what its sender has to
 * know then, made by shared_request_new().  cb is called with the reply, or for
 * every item of one that is_many, and frees the request at the last one; and with
 * NULL if the connection is lost first, when it must not send. */
struct shared_request {
	struct shared_request *next;
	struct shared *shared;
	int64_t sent_ms;
	bool is_many; /* an array is asked for; else one ends the connection */
	void (*cb)(struct shared_request *rq, const struct resp_item *it);
};

void *shared_request_new(struct shared *s, size_t size,
    void (*cb)(struct shared_request *rq, const struct resp_item *it));

struct shared_conn;
struct shared_conn_ops {
	/* It is up, at a server that can be written to. */
	void (*up)(void *arg);
	/* It could not be opened or was lost; it is opened again by itself. */
	void (*down)(void *arg, const char *why);
	/* Once in a while: may ask the server something, if only to see that it
	 * lives.  False, or NULL: it has not. */
	bool (*idle)(void *arg);
	/* The items of a message that answers no request. */
	void (*push)(void *arg, const struct resp_item *it);
};

/* Begins to connect in the next round; addr is borrowed. */
struct shared_conn *shared_conn_new(struct loop *l,
    const struct shared_addr *addr, const struct shared_conn_ops *ops,
    void *arg);
/* Without calling down(). */
void shared_conn_free(struct shared_conn *c);
/* As if it had been lost; the next attempt is soon, or in a minute.  Does nothing
 * while it is not up. */
void shared_conn_fail(struct shared_conn *c, const char *why, bool soon);
bool shared_conn_is_up(const struct shared_conn *c);
/* 2 or 3: with 2, messages need a connection of their own. */
int shared_conn_protocol(const struct shared_conn *c);
/* "host port 6379", or the Unix socket. */
const char *shared_conn_peer(const struct shared_conn *c);
/* Who refuses what, why, and what to do about it. */
void shared_conn_explain(const struct shared_conn *c,
    const struct resp_item *error, const char *what, char why[ERR_MAX]);
/* What to do about an error of the server, to be appended to it; perhaps "". */
const char *shared_conn_cure(
    const struct shared_conn *c, const struct resp_item *error);
/* What INFO says, "" if it says nothing; within up(). */
void shared_conn_info(
    const struct shared_conn *c, const char *key, char *out, size_t size);

/* A command's words, up to a NULL.  rq NULL: there is no reply but a push
 * (SUBSCRIBE).  Only while it is up. */
void shared_conn_ask(struct shared_conn *c, struct shared_request *rq, ...)
    __attribute__((sentinel));

/* --- the book --- */

enum shared_phase {
	SHARED_AWAY,	/* no connection, or messages do not come yet */
	SHARED_MERGING, /* taking over what the shared book has */
	SHARED_SENDING, /* what it lacks */
	SHARED_IN_STEP,
};

#define SHARED_NODE_MAX 64

struct shared_jwt;

struct shared {
	struct loop *loop;
	const struct conf *conf;
	struct store *store;
	struct commit *commit;
	struct shared_addr addr;
	struct shared_conn *conn;
	/* For messages, if the server speaks RESP2 only; else NULL. */
	struct shared_conn *listener;
	enum shared_phase phase; /* changed only by book_set_phase() */
	struct loop_timer again; /* the next comparison */
	struct loop_task step;	 /* goes on with the walk */
	bool is_subscribed;
	enum {
		LOGGED_NOTHING,
		LOGGED_AWAY,
		LOGGED_IN_STEP
	} logged;
	bool is_bad_logged;	   /* a value that is none */
	bool is_once_refused;	   /* a right lacks */
	bool is_policy_logged;	   /* maxmemory-policy */
	char why[ERR_MAX];	   /* it is away */
	char role[16], policy[24]; /* of the server */
	int64_t left_ms;	   /* when it was last in step */
	char node[SHARED_NODE_MAX];
	char channel[80];
	char sha[41]; /* of the script; "": not loaded */
	/* of the message or reply at hand */
	unsigned n_items;
	bool is_message;
	char field[REG_ACCOUNT_MAX + REG_TOKEN_MAX + 2];
	/* SCAN: where it is, and how many users' answers it waits for */
	char cursor[24];
	size_t n_users;
	/* the walk over our own: removals, then registrations */
	size_t walk;
	unsigned walks_left;
	bool walk_again;
	/* Of the shared book: another one has been emptied meanwhile.  "": not
	 * known yet. */
	char id[SHARED_ID_MAX];
	bool is_emptied; /* compare again soon */
	size_t n_flight; /* changes without an answer */
	struct shared_jwt *jwts;
	struct push_queue *queue;
	bool is_key_logged;	    /* see warn_of_key() */
	size_t n_once;		    /* questions without an answer */
	uint64_t spared;	    /* pushes that another node has sent */
	uint64_t taken, sent;	    /* since start */
	uint64_t taken_at, sent_at; /* when this comparison began */
};

/* --- shared/value.c: a registration in the shared book --- */

/* Milliseconds since 1970 at the end of a value; -1: it is none of ours. */
int64_t value_time_ms(const char *text, size_t len);
/* Whether it begins so. */
bool value_is(const char *text, size_t len, const char *start);
#define BOOK_START "{\"book\":\""
/* The name of the book; false: it is none. */
bool value_book(const char *text, size_t len, char id_r[SHARED_ID_MAX]);
/* A message of `check`. */
#define CHECK_VALUE "{\"check\":1,\"t\":0,\"node\":\"\"}"
/* Of this node and of the channel. */
void value_set_names(struct shared *s);
/* Takes it over unless ours is newer. */
void value_merge(struct shared *s, const char *text, size_t len);
/* What became of r, as its line in the file without the end; value_end() appends
 * that, and a NUL. */
enum value_kind {
	VALUE_PUT,
	VALUE_SUSPENDED,
	VALUE_GONE,
};
void value_begin(const struct shared *s, const struct reg *r,
    enum value_kind kind, struct buf *b);
void value_end(const struct shared *s, int64_t t_ms, struct buf *b);
/* prefix kind{user} */
void value_key(
    const struct shared *s, const char *kind, const char *user, struct buf *b);

/* --- shared/script.c: what is newer stays in the shared store --- */

/* Loads it; done(s) follows. */
void script_load(struct shared *s, void (*done)(struct shared *s));
bool script_can_run(const struct shared *s);
/* value, whose end is value_end()'s, is put there and published unless there is one
 * that is newer; the reply is 1, or that one.  The key lives on for life_ms. */
struct script {
	const char *key, *field, *value;
	int64_t t_ms, life_ms;
};
void script_run(
    struct shared *s, struct shared_request *rq, const struct script *a);
/* Removes the value if it is still this one. */
void script_purge(struct shared *s, const char *key, const char *field,
    const struct resp_item *old);
/* The server answered with an error: the connection is given up. */
void script_refused(
    struct shared_conn *c, const struct resp_item *it, const char *what);

/* --- shared/jwt.c: one JWT for all --- */

#define JWT_START "{\"jwt\":\""
/* Asks for those of the others. */
void jwt_compare(struct shared *s);
void jwt_hear(struct shared *s, const char *text, size_t len);
void jwt_end(struct shared *s);

/* --- shared/change.c: our changes, on their way to the shared book --- */

/* Sends what has become of r and marks it, unless there is no connection: then a
 * comparison will find it.  is_fresh: it has just happened, so it comes after all
 * that the shared book has. */
void change_send(
    struct shared *s, struct reg *r, enum value_kind kind, bool is_fresh);

/* --- shared/once.c: a delayed push is sent by one node --- */

void once_init(struct shared *s, struct push_queue *queue);
void once_end(struct shared *s);

/* --- shared/book.c: compares ours with the shared one, hears of changes --- */

void book_init(struct shared *s);
void book_end(struct shared *s);
void book_set_phase(struct shared *s, enum shared_phase to);
/* Compares both ways; messages must be heard already. */
void book_begin(struct shared *s);
/* Asks whether it is still the same one.  False: it cannot. */
bool book_ask_id(struct shared *s);
/* An item of a message.  True: messages come from now on. */
bool book_hear(struct shared *s, const struct resp_item *it);

#endif
