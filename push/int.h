/* push/int.h - what the files of push share.  Nobody else includes this.
 *
 * A file calls only those to the right of it:
 *   brands.c -> push.c -> answer.c, trial.c, save.c -> hold.c -> queue.c -> hashes.c
 *                                 -> visits.c -> day.c
 * Up it goes through hooks only: the queue's pump, and probe_end. */
#ifndef PUSH_INT_H
#define PUSH_INT_H

#include "push.h"

#include "apns.h"
#include "buf.h"
#include "push/hashes.h"
#include "push/visits.h"
#include "loop.h"

struct reg;

enum push_state {
	PUSH_IDLE,    /* nothing is waiting */
	PUSH_DELAYED, /* until `delay` after the first event is over */
	PUSH_READY,   /* to be sent as soon as the connection takes it */
	PUSH_PAUSED,  /* until it is tried again after a failure */
};

/* One registration's pushes: at most one waiting and one in flight. */
struct push {
	struct push_lane *lane;	  /* changed only by push_change_lane() */
	struct reg *reg;	  /* NULL: dropped while in flight */
	struct push *prev, *next; /* ready list; next: pool, orphans */
	struct loop_timer timer;
	struct push_hashes wait, flight;
	int64_t wait_ms, flight_ms; /* time of the newest event in each */
	int64_t sent, came; /* ticks of the one in flight, see visits_taken() */
	unsigned auth_gen;  /* lane.auth_gen when that was sent */
	unsigned tries;	    /* failures in a row */
	enum push_state state; /* changed only by push_set_state() */
	bool asked;	       /* other nodes, or there are none to ask */
	bool listed;	       /* in the ready list */
	bool in_flight;
	bool renewed;	 /* the device has registered since it was sent */
	bool probe_sent; /* the one in flight includes the probe */
	struct push_probe *probe; /* of a test push; NULL: none */
};

/* What is sent with one credential: its connection, what is ready to go there, and
 * what Apple thinks of it.  Nothing here delays another lane: fairness among the
 * users of one lane would go where `first` is taken, in push.c. */
struct push_lane {
	struct push_queue *q;
	struct push_lane *next; /* in queue.brands */
	/* "brand NAME: ", for messages; after its NUL the name.  "" and "": the
	 * main one. */
	char *label;
	struct cred *cred;
	struct sender *sender;
	struct apns *apns;	   /* whose the sender is */
	struct push *first, *last; /* ready to be sent */
	size_t count, in_flight;
	struct loop_task pump;
	/* credentials refused */
	struct loop_timer hold;
	int64_t hold_ms;       /* the last pause; 0 when all is well */
	int64_t hold_until_ms; /* its end */
	int64_t hold_clock_ms; /* push_clock_ms() at its start */
	bool probing;	       /* one at a time until Apple accepts one */
	bool closing;  /* its brand is gone: freed when nothing is in flight */
	char *trouble; /* why; NULL: nothing yet */
	/* Apple has taken no push since then, as far as we know; 0: it has */
	int64_t fail_ms;
	char fail_why[SEND_REASON_MAX + 8];
	bool stalled; /* push_health() has logged that pushes do not get out */
	int64_t delivered_s; /* wall clock, of the last one */
	char *cred_error;    /* see push_set_cred_error(); NULL: none */
	/* Incremented when the credentials, the JWT or the use of
	 * apns-expiration change: see push_auth_gen(). */
	unsigned auth_gen;
	unsigned jwts; /* cred_jwt_count() then */
	/* last JWT renewal after ExpiredProviderToken (0: never), and
	 * push_clock_ms() then */
	int64_t renewed_ms, renewed_clock_ms;
	/* Apple refused our apns-expiration: left out until the clock is set */
	bool no_expiration;
	int64_t no_expiration_clock_ms;
	struct push_counters counters;
};

struct push_queue {
	struct loop *loop;
	const struct conf *conf;
	struct store *store;
	struct push_lane main;
	struct push_lane *brands; /* all, closing ones too */
	/* By number, the main one first; NULL: no brands. */
	struct push_lane **lanes;
	size_t n_lanes;
	const struct users *users;
	struct send_gate *gate; /* of the brands; NULL: there never were any */
	struct push *pool;
	struct push *orphans; /* in flight, their registration dropped */
	size_t count;
	struct buf payload;
	char health[ERR_MAX]; /* the last verdict */
	struct visits visits;
	struct push_trial *trials; /* under way */
	/* push_on_due() */
	void (*on_due)(void *arg, const struct reg *r,
	    const unsigned char *hash, int64_t ahead_ms);
	void *on_due_arg;
	/* push_probe_end(), which the queue does not know */
	void (*probe_end)(struct push *p, bool delivered, const char *words);
};

/* --- push.c --- */

/* Of a zeroed lane; gate: it is a brand's, and connects when it is needed. */
void push_lane_init(struct push_lane *l, struct push_queue *q,
    struct cred *cred, struct send_gate *gate);
/* Without callbacks. */
void push_lane_clear(struct push_lane *l);
/* Of a brand, at the end of this round. */
void push_lane_free(struct push_lane *l);

/* --- push/queue.c --- */

/* The only function that changes a push's state.  ms: the timer of PUSH_DELAYED
 * and PUSH_PAUSED; for PUSH_READY PUSH_FRONT puts it first in the ready list. */
void push_set_state(struct push *p, enum push_state to, int64_t ms);
#define PUSH_FRONT (-1)

/* The registration's push, created if there is none. */
struct push *push_get(struct push_queue *q, struct reg *r);
/* Ends it and detaches it from the registration. */
void push_release(struct push *p);
/* The push in flight is done; goes on with what waits, if anything. */
void push_finish(struct push *p);
/* Adds an event in one of the registration's mailboxes (an index) to what
 * waits. */
void push_add(struct push_queue *q, struct reg *r, size_t mailbox, bool now);
void push_add_hash(struct push *p, const unsigned char *hash);
/* The lane that reaches the registration's device. */
struct push_lane *push_lane_of(struct push_queue *q, const struct reg *r);
/* After the brands or the device's topic have changed: what waits moves to the
 * lane that reaches it now; what is in flight does so later. */
void push_change_lane(struct push *p);
/* Whether its pushes name mailboxes; if not, only INBOX is pushed. */
bool push_names_mailboxes(const struct push_queue *q, const struct reg *r);
/* Logs a message about one registration. */
void push_log(enum log_level level, const struct push *p, const char *what);
/* Whether an event is older than pushExpiration. */
bool push_is_expired(const struct push_queue *q, int64_t event_ms);
/* Logs and counts a push dropped for that. */
void push_note_expired(struct push *p);

/* --- push/hold.c --- */

/* Owned; NULL for "". */
void push_set_text(char **text, const char *to);
/* Credentials refused: pauses all sending for pause_ms, or, if that is 0, for
 * twice the last pause.  Logs why, once; push_trouble() returns it. */
void push_hold(struct push_lane *l, const char *why, int64_t pause_ms);
/* Apple accepts the credentials (again). */
void push_hold_end(struct push_lane *l);
/* The timer's callback. */
void push_on_hold_over(void *arg);
/* Makes a new JWT for the next request. */
void push_renew_auth(struct push_lane *l);
/* What answers to pushes depend on: answers to those that were sent with another
 * number are outdated. */
unsigned push_auth_gen(struct push_lane *l);
/* Wall clock minus monotonic clock: changes only when the wall clock is set (or
 * the machine slept). */
int64_t push_clock_ms(const struct push_lane *l);
/* Whether that has changed since it had this value. */
bool push_clock_stepped(const struct push_lane *l, int64_t since_ms);
/* An answer that says that Apple takes pushes, or one that does not. */
void push_note_answer(struct push_lane *l, const struct send_answer *an);
/* If the clock was set, ends what the wrong time had caused. */
void push_check_clock(struct push_lane *l);

/* --- push/trial.c --- */

/* Reports how the probe of p ended, if it has one. */
void push_probe_end(struct push *p, bool delivered, const char *words);
void push_probe_answered(
    struct push *p, const struct send_answer *an, const char *words);
/* Frees them without a report. */
void push_trials_free(struct push_queue *q);

/* --- push/answer.c --- */

/* What it says, in words: perhaps in line. */
const char *push_answer_words(const struct send_answer *an, char line[ERR_MAX]);
/* Does what Apple's answer to the push in flight asks for. */
void push_handle_answer(struct push *p, const struct send_answer *an);

#endif
