/* push/int.h - what the files of push share.  Nobody else includes this.
 *
 * A file calls only those to the right of it:
 *   brands.c -> push.c -> foreign.c, trial.c, save.c -> hold.c -> queue.c -> notes.c -> hashes.c
 *               apple.c and other ways -> answer.c -> hold.c, visits.c -> day.c
 * Up it goes through hooks only: a lane's way, the queue's pump, and probe_end. */
#ifndef PUSH_INT_H
#define PUSH_INT_H

#include "push.h"

#include "apns.h"
#include "buf.h"
#include "push/hashes.h"
#include "push/visits.h"
#include "loop.h"
#include "store.h"

struct reg;

enum push_state {
	PUSH_IDLE,    /* nothing is waiting */
	PUSH_DELAYED, /* until `delay` after the first event is over */
	PUSH_READY,   /* to be sent as soon as the connection takes it */
	PUSH_PAUSED,  /* until it is tried again after a failure */
};

/* One kind of registration: how its pushes are sent and what the answers mean.
 * One constant push_way_KIND in push/KIND.c; push/ways.c has the list of them. */
struct push_way {
	enum reg_kind kind;
	const char *service; /* who answers, in messages: "Apple" */
	unsigned per_push;   /* mailboxes named in one request */
	bool only_new;	     /* other events than new mail are not told */
	/* Makes what is in memory only for an event, and queues it; NULL: the
	 * store has all there is.  True if it has queued something.  Called
	 * once its home is there. */
	bool (*notify)(struct push_queue *q, const char *owner,
	    const char *mailbox, const struct push_event *ev);
	/* That of the next one, from *at on, 0 at first, which the user's new
	 * mail concerns, for a test; NULL: no more. */
	struct reg *(*next)(struct push_queue *q, const char *user, size_t *at);
	/* How long other events wait; NULL: `delay`. */
	int64_t (*delay_ms)(const struct push_queue *q, const struct reg *r);
	/* Whether it is pushed now; NULL: always. */
	bool (*is_active)(struct push_queue *q, const struct reg *r);
	/* The lane of a push that becomes ready, which may have to be made.  NULL
	 * with err set: it is dropped.  Not called for Apple's. */
	struct push_lane *(*lane)(
	    struct push_queue *q, struct reg *r, char err[ERR_MAX]);
	/* Sends p->flight, or the notes of it; NULL: this build cannot. */
	enum send_sent (*send)(
	    struct push_lane *l, struct push *p, char err[ERR_MAX]);
	/* Frees the lane's data; NULL: it has none. */
	void (*clear)(struct push_lane *l);
	/* New authorization for the next request; NULL: there is none. */
	void (*renew_auth)(struct push_lane *l);
	/* The credentials of an Apple lane, or the configuration, have changed,
	 * or it is closing; NULL: that makes no difference. */
	void (*follow)(struct push_lane *apple);
	/* What a reason means, "" if unknown; NULL: nothing is known. */
	const char *(*words)(const char *reason);
	/* Fills in the reason and timestamp from the body; NULL: they say
	 * nothing. */
	void (*read_answer)(struct send_answer *an);
	const struct push_answer *answers;
};

/* Of a way without functions. */
#define PUSH_LACKS "this xapsd was built without it"

/* By kind. */
extern const struct push_way *const push_ways[REG_KINDS];
extern const struct push_way push_way_apple, push_way_webpush,
    push_way_deltachat, push_way_fcm, push_way_hook;

enum push_about {
	ABOUT_PUSH,	   /* this request only */
	ABOUT_DEVICE,	   /* the registration; the credentials were accepted */
	ABOUT_CREDENTIALS, /* the credentials */
};

/* A table of these says what answers mean.  The first match wins.  Reason NULL
 * matches any; a trailing '*' matches any rest.  Status 200 matches every 2xx, 500
 * every 5xx, 0 everything: the last row.  What is not in it may be in the table that
 * all ways share, in push/answer.c. */
struct push_answer {
	unsigned short status;
	unsigned char about; /* enum push_about */
	const char *reason;
	void (*act)(struct push *p, const struct send_answer *an);
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
	bool noted;	 /* of another kind than Apple's: see push_noted */
	bool renewed;	 /* the device has registered since it was sent */
	bool paid;	 /* see push_foreign_wait() */
	bool probe_sent; /* the one in flight includes the probe */
	struct push_probe *probe; /* of a test push; NULL: none */
};

/* What others than Apple are told of a mailbox. */
struct push_note {
	struct push_note *next;
	uint64_t id; /* of the newest event; the same when it is tried again */
	const char *event; /* see struct push_event */
	int64_t unseen;
	char mailbox[]; /* UTF-8; "": none is meant */
};

/* A push of another kind than Apple's. */
struct push_noted {
	struct push push;
	/* One for each of push.wait and push.flight, in their order. */
	struct push_note *wait, *flight;
};

/* What is sent with one credential: its connection, what is ready to go there, and
 * what Apple thinks of it.  Nothing here delays another lane: fairness among the
 * users of one lane would go where `first` is taken, in push.c. */
struct push_lane {
	struct push_queue *q;
	const struct push_way *way;
	struct push_lane *next; /* in queue.brands */
	/* "brand NAME: ", for messages; after its NUL the name.  "" and "": the
	 * main one. */
	char *label;
	struct cred *cred;
	struct sender *sender;	   /* NULL: a home */
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
	bool closing;	/* its brand is gone: freed when nothing is in flight */
	bool is_origin; /* of push_origin_lane() */
	char *trouble;	/* why; NULL: nothing yet */
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
	int64_t paid_ms; /* see push_foreign_wait() */
	struct push_counters counters;
	void *data; /* of the way */
};

struct push_queue {
	struct loop *loop;
	const struct conf *conf;
	struct store *store;
	struct push_lane main;
	/* Registrations that only we make, of REG_HOOK; NULL: none yet. */
	struct store *memory;
	uint64_t note_id; /* the last one */
	/* Of each kind but Apple's: what waits and has no lane yet, or can have
	 * none; the counters of lanes that are gone. */
	struct push_lane *homes[REG_KINDS];
	struct push_lane *others; /* all but main and homes, closing ones too */
	/* By number, the main one first; NULL: no brands. */
	struct push_lane **lanes;
	size_t n_lanes;
	const struct users *users;
	const struct users *fcm_users; /* by the brands that have an account */
	struct send_gate *gate; /* of the brands; NULL: there never were any */
	struct send_gate *origin_gate; /* of all but Apple's; the same */
	struct tls_ctx *trust;	       /* by caFile; NULL: not needed yet */
	struct push *pool;
	struct push *orphans; /* in flight, their registration dropped */
	struct webpush *webpush;
	size_t count;
	struct buf payload;
	struct visits visits;
	struct push_trial *trials;    /* under way */
	struct push_foreign *foreign; /* NULL: not needed yet */
	/* push_on_due() */
	void (*on_due)(void *arg, const struct reg *r,
	    const unsigned char *hash, int64_t ahead_ms);
	void *on_due_arg;
	/* push_probe_end(), which the queue does not know */
	void (*probe_end)(struct push *p, bool delivered, const char *words);
};

/* --- push.c --- */

/* A lane of another kind than Apple's, which the caller gives a sender, with
 * push_send_ops and the lane as their arg.  label: begins its messages; copied. */
struct push_lane *push_lane_make(
    struct push_queue *q, const struct push_way *way, const char *label);
extern const struct send_ops push_send_ops;
/* Of a zeroed lane; gate: it is a brand's, and connects when it is needed. */
void push_lane_init(struct push_lane *l, struct push_queue *q,
    struct cred *cred, struct send_gate *gate);
/* Reports that to the ways. */
void push_lane_changed(struct push_lane *apple);
/* Without callbacks. */
void push_lane_clear(struct push_lane *l);
/* Of a brand or another kind, at the end of this round; nothing waits or is in
 * flight. */
void push_lane_free(struct push_lane *l);

/* --- push/origins.c --- */

struct url;

/* The lane to the server of an address, made if there is none: freed when nothing
 * waits for it and its connection is closed.  NULL with err set. */
struct push_lane *push_origin_lane(struct push_queue *q,
    const struct push_way *way, const char *url, char err[ERR_MAX]);
/* For senders of one's own: the gate that all share, and a target, the same for all
 * but name, host, port and TLS.  -1 with err set: caFile cannot be read. */
struct send_gate *push_gate(struct push_queue *q);
int push_target(struct push_queue *q, const char *name, const struct url *u,
    struct send_target *to_r, char err[ERR_MAX]);

/* --- push/foreign.c --- */

void push_foreign_free(struct push_queue *q);
/* How long a push to an address that its user gave has to wait before it is sent, so
 * that nobody is flooded by us; to be asked once for each (push.paid). */
int64_t push_foreign_wait(struct push *p);

/* --- push/queue.c --- */

/* Of the store and in memory; cb must not drop. */
void push_each_reg(
    struct push_queue *q, int (*cb)(void *arg, struct reg *r), void *arg);
/* Of another kind than Apple's: it watches all of its user's mailboxes. */
bool push_watches_all(const struct reg *r);
/* Whether a registration of another kind than Apple's can be pushed now. */
bool push_is_active(struct push_queue *q, const struct reg *r);

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
/* The same for another kind than Apple's. */
void push_add_other(struct push_queue *q, struct reg *r, size_t mailbox,
    const struct push_event *ev);
/* The same in a mailbox of that name, as UTF-8. */
void push_add_named(struct push_queue *q, struct reg *r, const char *mailbox,
    const struct push_event *ev);
/* Adds to what waits, and changes nothing else. */
void push_add_note(struct push *p, const char *mailbox, const char *event,
    int64_t unseen, uint64_t id);
/* False if it waits already. */
bool push_add_hash(struct push *p, const unsigned char *hash);
/* Moves up to the way's per_push from what waits to what is in flight. */
void push_take(struct push *p);
/* Moves what is in flight back to what waits. */
void push_give_back(struct push *p);
void push_clear(struct push *p);
/* Forgets what waits. */
void push_forget(struct push *p);
/* That of a kind, made if there is none. */
struct push_lane *push_home(struct push_queue *q, enum reg_kind kind);
/* The registration in memory of a user and account, made if there is none; NULL:
 * there are too many.  It ends with its push. */
struct reg *push_memory_reg(struct push_queue *q, enum reg_kind kind,
    const char *user, const char *account);
/* The lane that reaches the device of a registration of Apple's. */
struct push_lane *push_lane_of(struct push_queue *q, const struct reg *r);
/* After the brands or the device's topic have changed: what waits moves to the
 * lane that reaches it now; what is in flight does so later. */
void push_change_lane(struct push *p);
/* Whether its pushes name mailboxes; if not, only INBOX is pushed. */
bool push_names_mailboxes(const struct push_queue *q, const struct reg *r);
/* Logs a message about one registration. */
void push_log(enum log_level level, const struct push *p, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether an event is older than pushExpiration. */
bool push_is_expired(const struct push_queue *q, int64_t event_ms);
/* Logs and counts a push dropped for that. */
void push_note_expired(struct push *p);

/* --- push/notes.c --- */

/* The first of what is in flight; NULL: Apple's. */
const struct push_note *push_note(const struct push *p);
const struct push_note *push_waiting_note(const struct push *p);
/* Changes that of a mailbox in what waits; is_first: there is none, one is
 * added. */
void push_notes_add(struct push *p, const char *mailbox, const char *event,
    int64_t unseen, uint64_t id, bool is_first);
/* The static name that equals it. */
const char *push_event_name(const char *name);
/* Moves the first n of what waits to what is in flight, which has none. */
void push_notes_take(struct push *p, unsigned n);
void push_notes_give_back(struct push *p);
void push_notes_clear_flight(struct push *p);
/* Removes all of what waits, or those whose hash does not wait any more. */
void push_notes_clear(struct push *p);
void push_notes_prune(struct push *p);

/* --- push/hold.c --- */

/* Owned; NULL for "". */
void push_set_text(char **text, const char *to);
/* Credentials refused: pauses all sending for pause_ms, or, if that is 0, for
 * twice the last pause.  Logs why, once; push_trouble() returns it. */
void push_hold(struct push_lane *l, const char *why, int64_t pause_ms);
/* Apple accepts the credentials (again). */
void push_hold_end(struct push_lane *l);
/* There are other credentials, or another server: what was sent before says nothing
 * of these, and what waits is tried at once. */
void push_hold_forget(struct push_lane *l);
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
void push_note_answer(
    struct push_lane *l, bool is_good, const struct send_answer *an);
/* If the clock was set, ends what the wrong time had caused. */
void push_check_clock(struct push_lane *l);

/* --- push/trial.c --- */

/* Reports how the probe of p ended, if it has one. */
void push_probe_end(struct push *p, bool delivered, const char *words);
void push_probe_answered(struct push *p, bool delivered, const char *words);
/* Frees them without a report. */
void push_trials_free(struct push_queue *q);

/* --- push/answer.c --- */

/* The row of the lane's table for an answer; NULL: there is no answer. */
const struct push_answer *push_find_answer(
    const struct push_lane *l, const struct send_answer *an);
/* What it says, in words: perhaps in line. */
const char *push_answer_words(const struct push_lane *l,
    const struct push_answer *row, const struct send_answer *an,
    char line[ERR_MAX]);
/* Does what the answer to the push in flight asks for. */
void push_handle_answer(struct push *p, const struct push_answer *row,
    const struct send_answer *an);
/* Merges the failed push with what waits, to be sent ms from now; 0: at once. */
void push_send_again(struct push *p, int64_t ms);

/* For the tables. */
void push_act_done(struct push *p, const struct send_answer *an);
/* Whether the push was taken.  row may be NULL. */
static inline bool push_answer_is_good(const struct push_answer *row)
{
	return row != NULL && row->act == push_act_done;
}
/* The registration is gone, or older than the answer's timestamp says. */
void push_act_remove(struct push *p, const struct send_answer *an);
/* Suspends the registration until it comes again. */
void push_act_suspend(struct push *p, const struct send_answer *an);
/* Our credentials are refused: the lane pauses. */
void push_act_hold(struct push *p, const struct send_answer *an);
/* New authorization, and the push is sent again at once; the second time in 20
 * minutes the lane pauses. */
void push_act_renew(struct push *p, const struct send_answer *an);
/* Sent again after a growing pause, or after Retry-After if that is longer. */
void push_act_retry(struct push *p, const struct send_answer *an);
/* Logged and forgotten. */
void push_act_drop(struct push *p, const struct send_answer *an);

#endif
