/* store.h - registrations in memory and in the flat file.
 *
 * A registration asks that one device be woken for one account of one user.
 * The file is JSON Lines, append-only, and a later line replaces an earlier one
 * with the same user, account and token:
 *   {"user":"alice","account":"0715","token":"2918","mailboxes":["INBOX"],
 *    "acked":true,"time":1763769600}        (one line)
 *   {"user":"alice","account":"0715","token":"2918","gone":true}
 * With several nodes both end with "t", the time in milliseconds, of a removal that
 * of reg_gone_ms().
 * Two more fields are there only when needed:
 *   "canonical":[null,"Entwürfe",["bob","Lists"]]  what each of "mailboxes" is:
 *               as spelled, the user's mailbox of that name, another owner's
 *   "topic":"com.apple…"  the topic in the phone's answer, if it is not the one
 *               in <file>.topic
 * A registration of another kind than Apple's has two more before "acked":
 *   "kind":"webpush","to":"https://…"  what it is, and where its pushes go
 * and "acked":null, so that versions before 0.2, which do not know kinds, set it
 * aside as a bad line.
 * Finding, putting and dropping take time in proportion to the registrations of
 * the one user only. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "log.h"

#define REG_USER_MAX 255    /* bytes */
#define REG_ACCOUNT_MAX 200 /* printable ASCII */
#define REG_TOKEN_MIN 16    /* hex digits */
#define REG_TOKEN_MAX 200
#define REG_MAILBOX_MAX 1024 /* bytes of one name */
#define REG_MAILBOXES_MAX 1000
#define REG_UTF8_MAX                                                           \
	(2 * REG_MAILBOX_MAX) /* a name decoded from modified UTF-7 */
#define REG_OWNER_MAX 255
#define REG_CANONICAL_MAX 2048 /* UTF-8 may be longer than modified UTF-7 */
/* All names of one registration, each with its NUL, and canonical ones with
 * their owner and a mark: four times what a request can contain. */
#define REG_NAMES_MAX (256u * 1024)
#define REG_TOPIC_MAX 255
#define REG_TO_MAX 2048 /* printable ASCII */

struct buf;
struct store;
struct users;
/* Owned by the store; its address is stable until it is dropped. */
struct reg;

/* --- what is put --- */

/* The clock was not set when the device registered. */
#define REG_TIME_UNKNOWN INT64_MIN

/* The mailbox that the device means by a name. */
struct reg_canonical {
	const char *owner;   /* NULL: the user */
	const char *mailbox; /* UTF-8; NULL: the user's own, as spelled */
};

/* Which service its pushes go to. */
enum reg_kind {
	REG_APPLE,
	REG_WEBPUSH,
	REG_DELTACHAT,
	REG_FCM,
	REG_HOOK, /* in memory only: neither files nor other nodes have one */
	REG_KINDS
};

/* "apple", "webpush", … */
const char *reg_kind_name(enum reg_kind kind);
/* False if there is none of that name. */
bool reg_kind_find(const char *name, enum reg_kind *kind_r);

/* What a device asks for; all strings are borrowed during the call. */
struct reg_spec {
	const char *user;
	const char *account;
	const char *token; /* hex, either case */
	const char *const *mailboxes;
	size_t n_mailboxes;
	bool acked;	/* the plugin sent the mailbox lines; other kinds than
			 * Apple's always are */
	int64_t time_s; /* wall clock, or REG_TIME_UNKNOWN */
	const struct reg_canonical *canonical; /* as many; NULL: not known */
	const char *topic; /* in the answer to the device; NULL: not known */
	enum reg_kind kind;
	const char *to; /* where its pushes go, in the kind's own words; not
			 * used for REG_APPLE */
};

/* NULL if the spec is within the limits above (and UTF-8 without control
 * characters where it must be), else a static sentence that names the field. */
const char *reg_spec_check(const struct reg_spec *s);
/* True for UTF-8 of 1 to max bytes without control characters (C0 and C1). */
bool reg_text_ok(const char *s, size_t max);

/* --- opening and closing --- */

/* Opens or creates the file, locks it, and reads it.  A Go daemon's
 * database.json is taken over (the original is kept as <path>.orig).  A torn
 * last line and bad lines are moved to <path>.bad with a warning.  NULL with err
 * set on failure, also if the file is of another kind. */
struct store *store_open(const char *path, char err[ERR_MAX]);
/* True with err set as store_open() would, if another process has opened it. */
bool store_in_use(const char *path, char err[ERR_MAX]);
/* Syncs and frees everything; s may be NULL. */
void store_close(struct store *s);

/* --- limits and the clock --- */

/* maxRegistrations also limits memory, in units of this size: about five times
 * what a registration with a few mailboxes takes. */
#define STORE_BYTES_EACH 1024
/* The memory limit is never below this, the size of one large registration. */
#define STORE_BYTES_MIN REG_NAMES_MAX

/* 0: no limit. */
struct store_limits {
	size_t devices;	      /* of one user */
	size_t registrations; /* in all; in bytes, STORE_BYTES_EACH for each */
	unsigned changes;     /* of one registration written per hour, <= 20 */
	int64_t ttl_s;	      /* registrationTtl */
};

void store_set_limits(struct store *s, const struct store_limits *limits);

/* Sets the time, from the wall clock and a monotonic one; to be called before
 * store_put() and store_expire().  False if the wall clock was not set yet. */
bool store_clock(struct store *s, int64_t wall_s, int64_t mono_s);

/* --- putting and dropping --- */

/* Creates or replaces a registration.  The spec must have passed
 * reg_spec_check() and must not point into the store.  The line is queued for
 * the file, except for a renewal that changes nothing but the time (or the order
 * of the mailboxes) less than a day after the last line was written (a quarter
 * of registrationTtl, if that is shorter).  If the user has too many devices, the
 * one renewed longest ago is dropped.  Of the other kinds the account is the app's
 * name for it, which has one address: an older one is dropped; but the kind's name
 * stands for none and may have many.  NULL if a limit is reached: store_explain_full()
 * says which. */
struct reg *store_put(struct store *s, const struct reg_spec *spec);
/* The same with another address (of one that is not Apple's) and the rest as it
 * is. */
struct reg *store_set_to(
    struct store *s, struct reg *r, const char *to, int64_t time_s);
void store_explain_full(const struct store *s, char err[ERR_MAX]);
void store_drop(struct store *s, struct reg *r);

/* Drops registrations that were not renewed within limits.ttl_s, and those whose
 * device came back with another account of the same user; of the other kinds only
 * REG_DELTACHAT, after 90 days.  Returns how many.
 * Drops nothing in the first three days after the first store_clock() or after a
 * step of the wall clock. */
size_t store_expire(struct store *s);

/* A registration that changes too often is held in memory until
 * store_release() queues it, which should be called every hour. */
bool store_holds(const struct store *s);
void store_release(struct store *s);

/* --- topics --- */

/* The topic in the answer to devices that register from now on. */
void store_set_topic(struct store *s, const char *topic);
/* How many have another topic: they ignore pushes until they register again. */
size_t store_old_topics(const struct store *s);
/* Registrations that are suspended. */
size_t store_suspended(const struct store *s);
/* The registration's topic if it is another one, else NULL.  Others than Apple's
 * have none. */
const char *store_old_topic(const struct store *s, const struct reg *r);

/* Several brands: their users' topics, "" if it is not known yet; the first is
 * that of number 1 in users, which is borrowed.  n 0: there are none (any
 * more). */
void store_set_brands(struct store *s, const struct users *users,
    const char *const *topics, size_t n);
/* The brand whose credential reaches the device: that which has the topic in its
 * answer, else its user's; 0: the main one. */
size_t store_brand_of(const struct store *s, const struct reg *r);
/* How many registrations the users of a brand have (0: all others), and how many
 * of these another topic. */
size_t store_brand_count(const struct store *s, size_t brand, size_t *old_r);

/* --- several nodes --- */

enum store_change {
	STORE_PUT,
	STORE_SUSPENDED,
	STORE_GONE, /* it is about to be dropped */
};
/* Calls cb after (STORE_GONE: before) each change that store_merge() does not make;
 * cb must not put or drop. */
void store_on_change(struct store *s,
    void (*cb)(void *arg, struct reg *r, enum store_change change), void *arg);
/* Applies a line of the file's format, a removal too, as of that time, unless ours
 * is newer, ours was renewed while the clock was not set, or it is older than
 * limits.ttl_s.  NULL, or what is wrong with it; *put_r: the registration, if
 * there is one now and it is not ours that is newer. */
const char *store_merge(struct store *s, const char *line, size_t len,
    int64_t t_ms, struct reg **put_r);
/* The time in milliseconds, in steps of four, and one more if it is suspended: so
 * that whatever happens to a registration is later than itself, and earlier than
 * what comes after it.  Steps that are not known (after a start, or a put until
 * reg_set_ms()) count as the first of the second, or the last. */
int64_t reg_time_ms(const struct reg *r, bool last);
void reg_set_ms(struct reg *r, int64_t t_ms);
/* The time of its removal: later than all that happened to it. */
int64_t reg_gone_ms(const struct reg *r);
/* The same for a put just now: later than what it replaced. */
void reg_set_later_ms(struct reg *r, int64_t t_ms);
#define REG_STEP_MS 4
/* While there is a store_on_change(), removed registrations are kept, as their keys
 * with that time, for as long as another node may have them; what a node says that
 * is older is not taken. */
size_t store_gone_count(const struct store *s);
int store_each_gone(
    struct store *s, int (*cb)(void *arg, struct reg *r), void *arg);
/* As store_scan(). */
void store_scan_gone(struct store *s, size_t *cursor,
    void (*cb)(void *arg, struct reg *r), void *arg);
/* A mark that a put clears: the others know it as it is. */
void store_set_shared(struct store *s, struct reg *r, bool is_shared);
/* Registrations and removals without it. */
size_t store_unshared(const struct store *s);
bool reg_shared(const struct reg *r);
/* The topic in the answer to its device; NULL: not known. */
const char *store_topic(const struct store *s, const struct reg *r);

/* --- durability --- */

/* True if something queued is not on disk yet. */
bool store_is_dirty(const struct store *s);
/* True if this registration is on disk as it is, or deliberately held back. */
bool store_is_durable(const struct store *s, const struct reg *r);
/* Calls cb when something is queued, perhaps several times before the next
 * store_sync(). */
void store_on_dirty(struct store *s, void (*cb)(void *arg), void *arg);
/* Writes all that is queued and syncs it: one call serves many puts (group
 * commit).  Rewrites the file when over half of it is dead and it is over
 * 64 KiB.  -1 with err set: what is queued stays queued for the next call, and
 * what was on disk before is intact. */
int store_sync(struct store *s, char err[ERR_MAX]);

/* --- finding --- */

struct reg *store_find(
    struct store *s, const char *user, const char *account, const char *token);
/* The user's devices: the first, then reg_next() until NULL.  ASCII letters of
 * the user's name match in either case. */
struct reg *store_first(struct store *s, const char *user);
struct reg *reg_next(const struct reg *r);
/* Registrations of other users that watch a mailbox of this owner.  *cursor is
 * NULL at first; returns NULL after the last. */
struct watch;
struct reg *store_watcher(
    struct store *s, const char *owner, const struct watch **cursor);
size_t store_count(const struct store *s);
size_t store_count_kind(const struct store *s, enum reg_kind kind);
/* Every registration, user by user; cb must not put or drop.  Stops at a
 * non-zero return and returns it. */
int store_each(struct store *s, int (*cb)(void *arg, struct reg *r), void *arg);
/* Every registration in steps, between which anything may be put and dropped.
 * *cursor is 0 at first and again after the last step; a step calls cb a few
 * times, or not at all.  A registration that is there all the time is shown at
 * least once, seldom twice. */
void store_scan(struct store *s, size_t *cursor,
    void (*cb)(void *arg, struct reg *r), void *arg);

/* The users whose names are most like this one, which has no device: with a domain
 * or without, of another domain, misspelled.  Best first; returns how many.  Looks
 * at every registration. */
#define STORE_SIMILAR_MAX 3
size_t store_similar(
    struct store *s, const char *user, const char *names_r[STORE_SIMILAR_MAX]);
/* "alice" of "alice@example.org", "EXAMPLE\\alice", "alice+lists@example.org" and
 * "alice%example.org". */
const char *store_local_part(const char *name, size_t *len_r);
/* One whose name is the same but for the domain, or NULL.  search: looks at every
 * registration, else only for the name without a domain. */
const char *store_namesake(struct store *s, const char *user, bool search);

/* --- import and export --- */

/* The Go daemon's database.json:
 *   {"Users":{user:{"Accounts":{account:{"DeviceToken":..,"Mailboxes":[..],
 *    "RegistrationTime":RFC 3339}}}}}
 * with keys in any case, as Go reads them. */
struct store_import {
	size_t taken, older, skipped;
};

/* Puts all that are newer than ours; now_s is the time of those without one.
 * Those that break the limits are skipped, with warnings.  -1 with err
 * "line:column: what is wrong" and nothing put. */
int store_import_go(struct store *s, const char *text, size_t len,
    int64_t now_s, struct store_import *result_r, char err[ERR_MAX]);
/* Writes all in that format, user by user; it can hold only Apple's, and one
 * device of an account: the newest.  flush (may be NULL) is called when out has grown, to
 * empty it; non-zero stops.  -1 if stopped or if out is full. */
int store_export_go(
    struct store *s, struct buf *out, int (*flush)(void *arg), void *arg);

/* Puts one line of the file's format if it is newer than ours.  NULL, or what
 * is wrong with it. */
const char *store_put_line(
    struct store *s, const char *line, size_t len, bool *newer_r);
/* Appends the registration's line; topic may be NULL.  False if b is full. */
bool reg_write(const struct reg *r, const char *topic, struct buf *b);
/* Appends the line for its removal; t_ms 0: without its time. */
bool reg_write_gone(const struct reg *r, int64_t t_ms, struct buf *b);

/* --- reading without owning the file --- */

/* A store in memory only: not to be synced or closed. */
struct store *store_view_new(void);
/* Reads a registrations file, or a Go daemon's database.json, without locking or
 * changing it.  *bad_r: how many lines or accounts were left out.  -1 with err
 * set, and errno if the file could not be read. */
int store_view_read(
    struct store *s, const char *path, size_t *bad_r, char err[ERR_MAX]);
void store_view_free(struct store *s);

/* What store_open() would find; errors are the same as its. */
struct store_found {
	bool missing; /* there is none yet */
	bool fixed;   /* its folder cannot be written to */
	size_t bad;   /* lines or accounts that cannot be read */
};
/* Reads it into a view without locking or changing anything.  in_use: another
 * xapsd has it.  0, or -1 with err set. */
int store_check(struct store *s, const char *path, bool in_use,
    struct store_found *found_r, char err[ERR_MAX]);
/* The process that has it open, 0 if there is none, -1 if that is unknown. */
pid_t store_holder(const char *path);

/* --- one registration --- */

const char *reg_user(const struct reg *r);
/* Returns out. */
const char *reg_account(const struct reg *r, char out[REG_ACCOUNT_MAX + 1]);
bool reg_has_account(const struct reg *r, const char *account);
/* As strcmp() of the two accounts. */
int reg_compare_accounts(const struct reg *a, const struct reg *b);
/* Lower-case hex; returns out. */
const char *reg_token(const struct reg *r, char out[REG_TOKEN_MAX + 1]);
enum reg_kind reg_kind(const struct reg *r);
/* Where its pushes go, in the kind's own words; "" for REG_APPLE.  Valid until
 * the next put. */
const char *reg_to(const struct reg *r);
int64_t reg_time_s(const struct reg *r);
/* False: it was renewed after that, while the clock was not set. */
bool reg_time_known(const struct reg *r);
bool reg_acked(const struct reg *r);
size_t reg_n_mailboxes(const struct reg *r);
/* The i-th name as the device spelled it. */
const char *reg_mailbox(const struct reg *r, size_t i);
/* The first name, then the second and so on; *at is NULL at first. */
const char *reg_next_mailbox(const struct reg *r, const char **at);
/* Index of the mailbox that a delivery to `name` (UTF-8) of the user's changes,
 * or -1.  Names at registration may be modified UTF-7 (RFC 3501 5.1.3); INBOX
 * matches in any case. */
int reg_match(const struct reg *r, const char *name);
/* The same for a mailbox of another owner (NULL: the user), of those after index
 * `after` (-1: of all): the device may spell one mailbox in several ways. */
int reg_match_next(
    const struct reg *r, const char *owner, const char *name, int after);
/* Index of the mailbox that the device spelled so, or -1. */
int reg_find_mailbox(const struct reg *r, const char *name);

/* Suspended until the device registers again: store_put() clears it. */
/* Until it is renewed. */
void store_suspend(struct store *s, struct reg *r);
bool reg_suspended(const struct reg *r);

/* A pointer for the push queue's use. */
void reg_set_data(struct reg *r, void *data);
void *reg_data(const struct reg *r);

/* What happened to it since start, for the push queue's use: push/visits.c says
 * what it means.  All zero at first; stays when it is renewed. */
struct reg_past {
	uint32_t first : 30;	 /* tick of the last wake-up's first push */
	uint32_t unwatched : 1;	 /* the notification: by no device */
	uint32_t silent : 1;	 /* named in the log, and not seen since */
	uint32_t seen : 26;	 /* second of the last visit */
	uint32_t unseen : 1;	 /* there was none: of the first push */
	uint32_t waiting : 5;	 /* the wake-up's pushes while it is open */
	uint32_t notified : 26;	 /* second of the last notification */
	uint32_t client : 6;	 /* who came: a name's index + 1 */
	uint32_t span : 5;	 /* from the first push to the last one, in
				 * steps of 4 s */
	uint32_t wakeup : 13;	 /* the last wake-up time, ticks; 0: none */
	uint32_t unanswered : 8; /* pushes of earlier ones since the visit */
	uint32_t answer : 6;	 /* Apple's last: a sentence's index + 1 */
};
struct reg_past *reg_past(struct reg *r);
/* Calls cb before a registration is dropped or expires (not at store_close());
 * cb must not put or drop. */
void store_on_drop(
    struct store *s, void (*cb)(void *arg, struct reg *r), void *arg);

#endif
