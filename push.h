/* push.h - decides when a device is woken and what Apple's answer means for it.
 *
 * At most one push per registration is in flight and one is waiting; what comes
 * meanwhile is merged into the waiting one, so the queue never holds more than
 * one entry per registration. */
#ifndef PUSH_H
#define PUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct apns_status;
struct conf;
struct cred;
struct loop;
struct push_queue;
struct reg;
struct store;

enum push_result {
	PUSH_QUEUED,
	PUSH_NO_MAILBOX, /* the user has devices, none watches this mailbox */
	PUSH_NO_USER,	 /* no devices for this user */
};

/* Everything is borrowed.  Opens Apple's connection if there are credentials;
 * takes the store's on_drop. */
struct push_queue *push_new(struct loop *l, const struct conf *conf,
    struct store *store, struct cred *cred);
/* What waits or is in flight is lost. */
void push_free(struct push_queue *q);

/* Goes on with other credentials, and with what conf says now about Apple's
 * side; the old ones may be freed then.  What waited
 * for Apple to accept the old ones is tried at once. */
void push_set_cred(struct push_queue *q, struct cred *cred);
/* The same with the credentials at hand. */
void push_reconfigure(struct push_queue *q);
/* Why there are no credentials yet, if their files cannot be read; "" if none are
 * set. */
void push_set_cred_error(struct push_queue *q, const char *why);

/* Something happened in the user's mailbox (UTF-8 name), which others may watch,
 * too.  now: sent at once,
 * taking along what waits; else after `delay` from the first of a run. */
enum push_result push_notify(
    struct push_queue *q, const char *user, const char *mailbox, bool now);

/* The device has registered (again): what Apple answers to an earlier push says
 * nothing about this registration.  NULL is fine. */
void push_renewed(const struct reg *r);

/* Tells of one device of a test: Apple's answer, or why there is none, in
 * words.  The end is told with account NULL. */
typedef void push_trial_cb(void *arg, const char *account, const char *token,
    bool delivered, const char *words);
/* Sends a test push to each of the user's devices at once, and tells of each as
 * soon as it is known, in 15 s at most; perhaps within this call. */
void push_trial_start(struct push_queue *q, const char *user,
    const char *mailbox, push_trial_cb *cb, void *arg);

/* Sends at once what still waits for the rest of its run (shutdown). */
void push_flush(struct push_queue *q);

/* Writes what waits to the file (none: removes it).  -1 with err set: what fitted
 * is kept. */
int push_save(struct push_queue *q, const char *path, char err[ERR_MAX]);
/* Queues what push_save() wrote and removes the file. */
void push_load(struct push_queue *q, const char *path);

/* True as long as waiting could help: something is in flight, or could be sent
 * now. */
bool push_is_busy(const struct push_queue *q);

/* Registrations with something waiting or in flight. */
size_t push_count(const struct push_queue *q);
size_t push_in_flight(const struct push_queue *q);

/* NULL if pushes can be sent, else why not (credentials missing, refused,
 * expired).  Valid until the next call. */
const char *push_trouble(struct push_queue *q);

/* Since start. */
struct push_counters {
	uint64_t delivered; /* answered 200 */
	uint64_t merged;    /* events that joined a waiting push */
	uint64_t retried;   /* sent again, for whatever reason */
	uint64_t dropped;   /* refused for good, or too old */
	uint64_t forgotten; /* registrations that Apple reported gone */
	uint64_t suspended; /* registrations whose token Apple refused */
};

const struct push_counters *push_get_counters(const struct push_queue *q);
void push_get_apns(const struct push_queue *q, struct apns_status *status_r);

#endif
