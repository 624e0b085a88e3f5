/* push.h - decides when a device is woken and what Apple's answer means for it.
 *
 * At most one push per registration is in flight and one is waiting; later events
 * are merged into the waiting one.  So the queue never holds more than one entry
 * per registration. */
#ifndef PUSH_H
#define PUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "send.h"
#include "store.h"
#include "log.h"

struct buf;
struct conf;
struct cred;
struct io_guard;
struct loop;
struct push_queue;
struct reg;
struct store;
struct users;
struct webpush;

enum push_result {
	PUSH_QUEUED,
	PUSH_NO_MAILBOX, /* the user has devices, but none watches this mailbox */
	PUSH_NO_USER,	 /* no devices for this user */
	PUSH_NO_CRED,	 /* the credentials of their lane cannot be read yet */
};

/* Everything is borrowed.  Connects to Apple if there are credentials; sets the
 * store's on_drop. */
struct push_queue *push_new(struct loop *l, const struct conf *conf,
    struct store *store, struct cred *cred);
/* Drops what waits or is in flight. */
void push_free(struct push_queue *q);

/* Our key for Web Push. */
struct webpush *push_webpush(struct push_queue *q);

/* --- lanes: what is sent with one credential --- */

/* The main one is number 0, the brands follow, by name. */
struct push_lane *push_lane_at(struct push_queue *q, size_t brand);
size_t push_n_lanes(const struct push_queue *q);

/* A lane for a brand, which connects when there is something to be sent; it takes
 * part from push_set_brands() on. */
struct push_lane *push_lane_new(
    struct push_queue *q, const char *name, struct cred *cred);
/* Of one that does not take part any more; its credentials may be freed then. */
void push_lane_close(struct push_lane *l);
/* The brands from now on, in the order of their numbers in users (for Apple) and
 * fcm_users (for Google), which are borrowed; sets the store's.  What waits moves to the lane that reaches its
 * device.  To be called again when a brand's topic has changed. */
void push_set_brands(struct push_queue *q, const struct users *users,
    const struct users *fcm_users, struct push_lane *const *lanes, size_t n);
/* The lane that a user's phones belong to. */
struct push_lane *push_user_lane(struct push_queue *q, const char *user);
const struct cred *push_cred(const struct push_lane *l);
/* Of any lane. */
bool push_has_cred(struct push_queue *q);

/* Continues with other credentials, and with conf's current settings for the
 * connection to Apple; the old credentials may be freed then.  Pushes that were
 * paused because Apple refused the old ones are tried at once. */
void push_set_cred(struct push_lane *l, struct cred *cred);
/* The same with the current credentials. */
void push_reconfigure(struct push_lane *l);
/* The strings of conf have moved, and it may have changed: for the brands, whose
 * connections stay. */
void push_refresh_brands(struct push_queue *q);
/* Sets the reason why there are no credentials yet: their files cannot be read.
 * "": none are configured. */
void push_set_cred_error(struct push_lane *l, const char *why);

/* --- addresses that users give --- */

/* What the text of the configuration alone shows (pushAllow).  0, or -1 with err
 * set; it must be 0 for push_new(). */
int push_check_text(const struct conf *conf, char err[ERR_MAX]);
/* Where they may be; NULL if this build sends to none. */
const struct io_guard *push_guard(struct push_queue *q);
/* conf's pushAllow may have changed. */
void push_refresh_guard(struct push_queue *q);
/* caFile is read again, and the other settings are taken; before the next two, and
 * before hooks are set. */
void push_refresh_origins(struct push_queue *q);

/* --- the queue --- */

/* What has happened in a mailbox. */
struct push_event {
	bool now; /* sent at once, merged with what waits; else `delay` after
		   * the first of a series of events */
	const char
	    *name;	/* static; Dovecot's own but for PUSH_NEW, PUSH_OTHER */
	int64_t unseen; /* messages in the mailbox; -1: not known */
};
#define PUSH_NEW "new"	     /* the name of new mail */
#define PUSH_OTHER "changed" /* of what has no other name */
extern const struct push_event push_no_event, push_new_mail, push_other_event;
/* Adds one of Dovecot's events, by its name in any case: new mail makes the rest
 * unimportant, else the first one counts. */
void push_event_add(struct push_event *ev, const char *dovecot);

/* Queues pushes for an event in the user's mailbox (UTF-8 name), to the user's
 * devices and to others that watch it. */
enum push_result push_notify(struct push_queue *q, const char *user,
    const char *mailbox, const struct push_event *ev);

/* A registration of another kind than Apple's with this only mailbox watches all
 * of its user's. */
#define PUSH_ALL_MAILBOXES "*"
/* Sends one push, of no mailbox, to a registration that does not count yet: it
 * brings what its device shall confirm. */
#define PUSH_CONFIRM "confirm"
void push_confirm(struct push_queue *q, struct reg *r);

/* The hooks from now on, which are borrowed; there is a connection for each while it
 * is needed.  What was refused is tried again. */
struct hook;
void push_set_hooks(struct push_queue *q, struct hook *const *list, size_t n);

/* --- several nodes: a delayed push of the same is sent by one of them --- */

/* How a push names a mailbox. */
#define PUSH_HASH_LEN 16
/* Calls cb, ahead_ms before it is sent, for each mailbox of a delayed push that
 * would be sent then; cb must not push. */
void push_on_due(struct push_queue *q,
    void (*cb)(void *arg, const struct reg *r,
	const unsigned char hash[PUSH_HASH_LEN], int64_t ahead_ms),
    void *arg);
/* Another node sends, at sent_ms of loop_now_ms(), a push for that mailbox: what
 * waits since before that needs none by us.  True if that leaves nothing. */
bool push_covered(
    struct reg *r, const unsigned char hash[PUSH_HASH_LEN], int64_t sent_ms);
/* We are to send that push: ahead_ms from now, since the others reckon from the
 * moment of the claim, which was a little after the question.  Else what comes to
 * them in between would wake nobody. */
void push_claimed(struct reg *r, int64_t ahead_ms);

/* To be called when a device has registered (again): answers to pushes sent before
 * say nothing about this registration.  NULL is fine. */
void push_renewed(struct reg *r);

/* Reports the result for one device: Apple's answer, or why there is none, as
 * text.  The last call has account NULL. */
typedef void push_trial_cb(void *arg, const char *account, const char *token,
    bool delivered, const char *words);
/* Sends a test push to each of the user's devices at once.  Calls cb for each as
 * soon as its result is known, within 15 s; perhaps before this returns. */
void push_trial_start(struct push_queue *q, const char *user,
    const char *mailbox, push_trial_cb *cb, void *arg);

/* Sends at once what is delayed (at shutdown). */
void push_flush(struct push_queue *q);

/* Writes what waits to the file; removes the file if nothing does.  -1 with err
 * set: the file has as much as fitted. */
int push_save(struct push_queue *q, const char *path, char err[ERR_MAX]);
/* Queues what push_save() wrote, and removes the file. */
void push_load(struct push_queue *q, const char *path);

/* True while a shutdown should wait: something is in flight, or could be sent
 * now. */
bool push_is_busy(struct push_queue *q);

/* Registrations with something waiting or in flight. */
size_t push_count(const struct push_queue *q);

/* NULL if the credentials are good as far as we know, else the reason (missing,
 * refused, expired).  Valid until the next call, also of push_health(). */
const char *push_trouble(struct push_lane *l);
/* NULL if pushes can be sent, else the reason: the above, or pushes have waited
 * for Apple for minutes.  Judged now; a change is logged, once. */
const char *push_health(struct push_lane *l);
/* Why one that is not Apple's does not push, with its name: the next from *at on.
 * False: no more. */
bool push_next_trouble(struct push_queue *q, size_t *at, char line[ERR_MAX]);
/* The main one has no credentials, and is to have none. */
bool push_is_unset(const struct push_lane *l);
/* The same of all lanes together: NULL if pushes can be sent with one of the
 * credentials, for all that is known of the way to Apple.  cred: only the
 * credentials are judged. */
const char *push_verdict(struct push_queue *q, bool cred);

/* Since start. */
struct push_counters {
	uint64_t delivered; /* answered 200 */
	uint64_t merged;    /* events that joined a waiting push */
	uint64_t retried;   /* sent again, for any reason */
	uint64_t dropped;   /* refused for good, or too old */
	uint64_t forgotten; /* registrations that Apple reported gone */
	uint64_t suspended; /* registrations whose token Apple refused */
};

/* What is known of a lane. */
struct push_figures {
	const char *name; /* of the brand */
	const struct cred *cred;
	size_t waiting; /* registrations with something waiting or in flight */
	size_t in_flight;
	int64_t delivered_s; /* when Apple took the last push, since 1970; 0 */
	struct push_counters counters;
	struct send_status send;
};
void push_get_figures(const struct push_lane *l, struct push_figures *f_r);
/* The same of all lanes of another kind than Apple's, but for the connection.
 * False: there was nothing of it since start. */
bool push_get_kind_figures(
    struct push_queue *q, enum reg_kind kind, struct push_figures *f_r);

/* --- whether phones come; push/visits.h has the rule --- */

/* The user's phone has come (POST /seen).  client: what it calls itself, or "".
 * False if he has no device. */
bool push_seen(struct push_queue *q, const char *user, const char *client);

/* Wake-up times since start: a count for each of the limits and one for what is
 * beyond them, and the sum. */
#define PUSH_N_WAKEUPS 9
extern const unsigned short push_wakeup_limits_s[PUSH_N_WAKEUPS - 1];

struct push_visits {
	uint64_t visits;
	uint64_t n_wakeups, wakeups[PUSH_N_WAKEUPS], wakeups_ms;
	uint64_t missed;     /* pushes that brought nobody */
	uint64_t missed_day; /* the same in the last 24 hours */
	uint64_t silent; /* users who do not come although they are pushed */
};

const struct push_visits *push_get_visits(struct push_queue *q);
/* Appends the median of the last 24 hours and its quarters, as members of a JSON
 * object, each with a comma before it. */
void push_write_day(struct push_queue *q, struct buf *b);
/* Appends what is known of a registration since start in the same way. */
void push_write_past(struct push_queue *q, struct reg *r, struct buf *b);

#endif
