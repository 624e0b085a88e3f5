/* push/int.h - what the files of push share.  Nobody else includes this.
 *
 * A file calls only those to the right of it:
 *   push.c -> answer.c, trial.c, save.c -> hold.c -> queue.c -> hashes.c
 * Up it goes through hooks only: the queue's pump, and probe_end. */
#ifndef PUSH_INT_H
#define PUSH_INT_H

#include "push.h"

#include "buf.h"
#include "push/hashes.h"
#include "loop.h"

struct apns;
struct apns_answer;
struct reg;

enum push_state {
	PUSH_IDLE,    /* nothing waits */
	PUSH_DELAYED, /* for the rest of a run of events */
	PUSH_READY,   /* for room, or for the one in flight */
	PUSH_PAUSED,  /* after a failure */
};

/* One registration's pushes: one waiting, one in flight. */
struct push {
	struct push_queue *q;
	struct reg *reg;	  /* NULL: dropped while in flight */
	struct push *prev, *next; /* ready list; next: pool, orphans */
	struct loop_timer timer;
	struct push_hashes wait, flight;
	int64_t wait_ms, flight_ms; /* the newest event of each */
	unsigned auth_gen;     /* credentials and JWT of the one in flight */
	unsigned tries;	       /* failures in a row */
	enum push_state state; /* changed only by push_set_state() */
	bool listed;	       /* in the ready list */
	bool in_flight;
	bool renewed;	 /* the device registered since that was sent */
	bool probe_sent; /* the one in flight is the probe's */
	struct push_probe *probe; /* of push_trial_start(), NULL: none */
};

struct push_queue {
	struct loop *loop;
	const struct conf *conf;
	struct store *store;
	struct cred *cred;
	struct apns *apns;
	struct push *first, *last; /* ready to be sent */
	struct push *pool;
	struct push *orphans; /* in flight, their registration dropped */
	size_t count, in_flight;
	struct loop_task pump;
	struct buf payload;
	/* credentials refused */
	struct loop_timer hold;
	int64_t hold_ms; /* the last pause; 0 when all is well */
	int64_t hold_until_ms, hold_clock_ms; /* its end; see clock_ms() */
	bool probing; /* one at a time until Apple accepts again */
	char trouble[ERR_MAX], date_trouble[ERR_MAX];
	char cred_error[ERR_MAX]; /* why there are no credentials yet */
	/* counts the credentials, and what we changed because of an answer to
	 * the last ones */
	unsigned auth_gen;
	/* for ExpiredProviderToken; 0: never.  And the clock then. */
	int64_t renewed_ms, renewed_clock_ms;
	/* Apple refused our apns-expiration: none until the clock is set */
	bool no_expiration;
	int64_t no_expiration_clock_ms;
	struct push_counters counters;
	struct push_trial *trials; /* of push_trial_start() */
	/* push_probe_end(), which the queue does not know */
	void (*probe_end)(struct push *p, bool delivered, const char *words);
};

/* --- push/queue.c --- */

/* The one place where a push changes its state.  ms: for the states that wait
 * for a timer; PUSH_FRONT for PUSH_READY: before the others, its turn was
 * already. */
void push_set_state(struct push *p, enum push_state to, int64_t ms);
#define PUSH_FRONT (-1)

/* The registration's push, made if there is none. */
struct push *push_get(struct push_queue *q, struct reg *r);
void push_release(struct push *p);
/* The answered push is over; what waited meanwhile goes on. */
void push_finish(struct push *p);
/* Adds the registration's i-th mailbox to what waits. */
void push_add(struct push_queue *q, struct reg *r, size_t mailbox, bool now);
void push_add_hash(struct push *p, const unsigned char *hash);
/* Adds `"<hex>",` for each before `to`. */
void push_write_hashes(
    struct buf *b, const struct push_hashes *s, unsigned from, unsigned to);
/* Whether its pushes name the mailbox; without, only INBOX is pushed. */
bool push_names_mailboxes(const struct push_queue *q, const struct reg *r);
/* MD5 of what the device makes of its spelling of a mailbox's name. */
void push_hash_mailbox(const char *name, unsigned char hash[HASH_LEN]);
/* Logs about one registration. */
void push_log(enum log_level level, const struct push *p, const char *what);
/* Whether an event is too old to be of use. */
bool push_is_expired(const struct push_queue *q, int64_t event_ms);
/* Logs and counts it. */
void push_note_expired(struct push *p);

/* --- push/hold.c --- */

/* Credentials refused: everything waits, in growing pauses, or pause_ms if it is
 * not 0.  Logged once, healthz says why. */
void push_hold(struct push_queue *q, const char *why, int64_t pause_ms);
/* Apple accepts them (again). */
void push_hold_end(struct push_queue *q);
void push_on_hold_over(void *arg);
/* The next request gets a new JWT. */
void push_renew_auth(struct push_queue *q);
/* How far the wall clock is before the monotonic one: it changes when that is
 * set (or the machine slept). */
int64_t push_clock_ms(const struct push_queue *q);
bool push_clock_stepped(const struct push_queue *q, int64_t since_ms);
/* If the clock was set, what it had spoilt is over. */
void push_check_clock(struct push_queue *q);

/* --- push/trial.c --- */

/* Reports how the probe of p ended, if it has one. */
void push_probe_end(struct push *p, bool delivered, const char *words);
void push_probe_answered(struct push *p, const struct apns_answer *an);
/* Nobody is told any more. */
void push_trials_free(struct push_queue *q);

/* --- push/answer.c --- */

/* Does what Apple's answer to the push in flight asks for. */
void push_handle_answer(struct push *p, const struct apns_answer *an);

#endif
