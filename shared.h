/* shared.h - one book of registrations for several nodes, in Valkey or Redis.
 *
 * Every node has all registrations in its own store, as without it: nothing here
 * is ever waited for.  What changes in one store is sent to the shared book, which
 * tells the other nodes; upon every connection and once a day each node compares
 * all. */
#ifndef SHARED_H
#define SHARED_H

#include <stdbool.h>

#include "log.h"

struct buf;
struct commit;
struct conf;
struct cred;
struct loop;
struct push_queue;
struct shared;
struct store;

/* Checks the text of the keys: 0, or -1 with err set. */
int shared_check_text(const struct conf *conf, char err[ERR_MAX]);
/* Reads the files that the keys name; does nothing else until shared_start().
 * conf, store and commit are borrowed.  NULL with err set; NULL with err "":
 * sharedStore is not set. */
struct shared *shared_new(struct loop *l, const struct conf *conf,
    struct store *store, struct commit *commit, char err[ERR_MAX]);
/* queue is borrowed. */
void shared_start(struct shared *s, struct push_queue *queue);
/* s may be NULL. */
void shared_free(struct shared *s);
/* The JWT of c is shared with the other nodes from now on, until c is freed; as
 * often as a credential comes into use or s is replaced.  s may be NULL, c of any
 * kind. */
void shared_add_cred(struct shared *s, struct cred *c);
/* Connected and with the same registrations as the shared book. */
bool shared_is_in_step(const struct shared *s);
/* Appends one JSON object for /status; metrics. */
void shared_write_status(const struct shared *s, struct buf *b);
void shared_write_metrics(const struct shared *s, struct buf *b);

/* --- without the daemon --- */

/* Anything else loses registrations when memory is short. */
#define SHARED_POLICY "noeviction"
#define SHARED_ID_MAX 17

/* What is found at the shared store; "": not known. */
struct shared_probe {
	bool has_tls;
	char peer[300];
	char role[16], policy[24];
	char book[SHARED_ID_MAX]; /* the name that nodes have given it */
};
/* Connects as a node would, and tries all that one has to do.  0, or -1 with err
 * saying what is wrong and what to do.  Both run the loop for seconds at most. */
int shared_probe(struct loop *l, const struct conf *conf,
    struct shared_probe *found_r, char err[ERR_MAX]);
/* Reads what the shared book has of a user into a view. */
int shared_read_user(struct loop *l, const struct conf *conf, const char *user,
    struct store *view, char err[ERR_MAX]);

#endif
