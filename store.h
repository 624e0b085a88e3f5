/* store.h - registrations in memory and in the flat file.
 *
 * A registration is one device's wish to be woken for one account of one user.
 * File: JSON Lines, append-only, a later line wins:
 *   {"user":"alice","account":"0715","token":"2918","mailboxes":["INBOX"],
 *    "acked":true,"time":1763769600}        (one line)
 *   {"user":"alice","account":"0715","token":"2918","gone":true}
 * and two fields that most have no need of:
 *   "canonical":[null,"Entwürfe",["bob","Lists"]]  what each of "mailboxes" is:
 *               as spelled, the user's of that name, another owner's
 *   "topic":"com.apple…"  what the phone was told, if not what <file>.topic says
 * Lookup, put and drop are O(1) in the number of registrations, and O(n) in
 * those of one user. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define REG_USER_MAX 255    /* bytes */
#define REG_ACCOUNT_MAX 200 /* printable ASCII */
#define REG_TOKEN_MIN 16    /* hex digits */
#define REG_TOKEN_MAX 200
#define REG_MAILBOX_MAX 1024 /* bytes of one name */
#define REG_MAILBOXES_MAX 1000
#define REG_OWNER_MAX 255
#define REG_CANONICAL_MAX 2048 /* UTF-8 may be longer than modified UTF-7 */
/* Of one registration's names in all, each with its NUL and canonical ones with
 * an owner's and a mark: four times what a request can bring. */
#define REG_NAMES_MAX (256u * 1024)
#define REG_TOPIC_MAX 255

struct buf;
struct store;
struct reg; /* owned by the store; its address is stable until dropped */

/* The clock was not set when it registered. */
#define REG_TIME_UNKNOWN INT64_MIN

/* Whose mailbox a name of the device's is, and what its owner calls it. */
struct reg_canonical {
	const char *owner;   /* NULL: the user */
	const char *mailbox; /* UTF-8; NULL: the user's own, as spelled */
};

/* What a device asks for; all strings borrowed during the call. */
struct reg_spec {
	const char *user;
	const char *account;
	const char *token; /* hex, either case */
	const char *const *mailboxes;
	size_t n_mailboxes;
	bool acked;	/* the plugin sent the mailbox lines */
	int64_t time_s; /* wall clock, or REG_TIME_UNKNOWN */
	const struct reg_canonical *canonical; /* as many; NULL: not known */
	const char *topic; /* that it is told; NULL: not known */
};

/* NULL if the spec is within the limits above (and UTF-8 without control
 * characters where it must be), else a static sentence naming the field. */
const char *reg_spec_check(const struct reg_spec *s);
/* UTF-8 of 1 to max bytes without control characters, C1 ones included. */
bool reg_text_ok(const char *s, size_t max);

/* Opens or creates the file, takes its lock, and reads it.  A Go daemon's
 * database.json is taken over (the original kept as <path>.orig).  A torn last
 * line and bad lines go to <path>.bad with a warning.  NULL with err set, also if
 * it is another kind of file. */
struct store *store_open(const char *path, char err[ERR_MAX]);
/* Syncs and frees everything. */
void store_close(struct store *s);

/* What a registration is counted as for the ceiling in bytes: five times what
 * one takes that watches a few mailboxes. */
#define STORE_BYTES_EACH 1024
/* Below this the ceiling is no use: a single one may be as large. */
#define STORE_BYTES_MIN REG_NAMES_MAX

/* 0: no limit. */
struct store_limits {
	size_t devices;	      /* of one user */
	size_t registrations; /* in all; in bytes, STORE_BYTES_EACH for each */
	unsigned changes;     /* written of one in an hour; 20 at most */
	int64_t ttl_s;	      /* registrationTtl */
};

void store_set_limits(struct store *s, const struct store_limits *limits);

/* Tells the time, to be done before a put or a look: by the wall clock, and by
 * one that only ever goes on.  False if the wall clock was not set yet. */
bool store_clock(struct store *s, int64_t wall_s, int64_t mono_s);

/* Creates or replaces a registration; the spec has passed reg_spec_check() and
 * points at nothing of the store's.  The line is queued for the file, or not
 * at all if this renewal changes nothing but the time and less than a day (of a
 * short registrationTtl, a quarter) has passed since one was written.  The order
 * of the mailboxes is nothing.  A user's device too many makes room, the one
 * that was renewed longest ago.  NULL if there is no room: store_full() says
 * why. */
struct reg *store_put(struct store *s, const struct reg_spec *spec);
void store_full(const struct store *s, char err[ERR_MAX]);
void store_drop(struct store *s, struct reg *r);

/* Drops what was not renewed within limits.ttl_s, and what was replaced by
 * another account of the same user's device; returns how many.  Nothing within
 * three days after the first store_clock() or a step of the wall clock. */
size_t store_expire(struct store *s);

/* Registrations that change all the time wait in memory until this is called,
 * best after an hour: it queues them. */
bool store_holds(const struct store *s);
void store_release(struct store *s);

/* The topic that devices are told from now on. */
void store_set_topic(struct store *s, const char *topic);
/* Those that were told another one: they ignore pushes until they register. */
size_t store_old_topics(const struct store *s);
/* What the device was told if that is another one, else NULL. */
const char *store_old_topic(const struct store *s, const struct reg *r);

/* True if something queued is not on disk yet. */
bool store_is_dirty(const struct store *s);
/* True if this one has nothing to wait for. */
bool store_is_durable(const struct store *s, const struct reg *r);
/* cb: something was queued; it may be told more than once before the next
 * store_sync(). */
void store_on_dirty(struct store *s, void (*cb)(void *arg), void *arg);
/* Writes all that is queued and fsyncs it: one call serves many puts (group
 * commit).  Rewrites the file when over half of it is dead and it is over
 * 64 KiB.  -1 with err set: what is queued stays queued for the next call, and
 * what was on disk before is intact. */
int store_sync(struct store *s, char err[ERR_MAX]);

/* The Go daemon's database.json:
 *   {"Users":{user:{"Accounts":{account:{"DeviceToken":..,"Mailboxes":[..],
 *    "RegistrationTime":RFC 3339}}}}}
 * Keys in any case, as Go takes them.  Takes over what is not newer here, for the
 * next store_sync(); now_s is for those without a time.  Those that break the limits are skipped, each with a
 * warning.  -1 with err "line:column: what is wrong", nothing taken. */
struct store_import {
	size_t taken, older, skipped;
};

int store_import_go(struct store *s, const char *text, size_t len,
    int64_t now_s, struct store_import *result_r, char err[ERR_MAX]);
/* Writes all in that format, user by user; of an account's devices only the
 * newest, for it has room for one.  flush (may be NULL) is called now and then
 * to empty out; non-zero stops.  -1 if stopped or if out is full. */
int store_export_go(
    struct store *s, struct buf *out, int (*flush)(void *arg), void *arg);

struct reg *store_find(
    struct store *s, const char *user, const char *account, const char *token);
/* The user's devices: first, then reg_next(); NULL ends.  The user is compared
 * with ASCII lower-cased. */
struct reg *store_first(struct store *s, const char *user);
struct reg *reg_next(const struct reg *r);
/* Registrations of other users that watch a mailbox of the owner's: starts with
 * a NULL cursor, NULL ends. */
struct watch;
struct reg *store_watcher(
    struct store *s, const char *owner, const struct watch **cursor);
/* Every registration; cb must not put or drop.  Stops at a non-zero return. */
int store_each(struct store *s, int (*cb)(void *arg, struct reg *r), void *arg);
size_t store_count(const struct store *s);
/* The same piece by piece, with anything in between: *cursor begins as 0 and is
 * 0 again at the end.  A call shows a few (perhaps none); what is there all the
 * time is shown at least once, rarely twice. */
void store_scan(struct store *s, size_t *cursor,
    void (*cb)(void *arg, struct reg *r), void *arg);

/* One line of the file's format, put if it is newer than what is here.  NULL,
 * or what is wrong with it. */
const char *store_put_line(
    struct store *s, const char *line, size_t len, bool *newer_r);
/* Appends the registration's line; topic NULL: it names none. */
bool reg_write(const struct reg *r, const char *topic, struct buf *b);

/* A store in memory only, for looking: not to be synced or closed. */
struct store *store_view_new(void);
/* Reads a registrations file, or a Go daemon's database.json, without locking or
 * changing it.  *bad_r: how many lines or accounts were left out.  -1 with err
 * set, and errno if the file could not be read. */
int store_view_read(
    struct store *s, const char *path, size_t *bad_r, char err[ERR_MAX]);
void store_view_free(struct store *s);

const char *reg_user(const struct reg *r);
const char *reg_account(const struct reg *r);
/* Lower-case hex; returns out. */
const char *reg_token(const struct reg *r, char out[REG_TOKEN_MAX + 1]);
int64_t reg_time_s(const struct reg *r);
/* False: it was renewed when the clock was not set, so later than that. */
bool reg_time_known(const struct reg *r);
bool reg_acked(const struct reg *r);
size_t reg_n_mailboxes(const struct reg *r);
/* The i-th name as the device sent it. */
const char *reg_mailbox(const struct reg *r, size_t i);
/* The one after it; there must be one. */
const char *reg_mailbox_after(const char *name);
/* Index of the mailbox a delivery to `name` (UTF-8) wakes, or -1.  Names at
 * registration may be modified UTF-7 (RFC 3501 5.1.3); INBOX in any case. */
int reg_match(const struct reg *r, const char *name);
/* The same for a mailbox of another owner's. */
int reg_match_foreign(const struct reg *r, const char *owner, const char *name);
/* The one after i that is the same mailbox under another spelling, or -1; owner
 * is NULL after reg_match(). */
int reg_match_next(
    const struct reg *r, const char *owner, const char *name, int i);
/* Index of the mailbox that the device calls so, or -1. */
int reg_spelled(const struct reg *r, const char *name);
/* Decodes a name in modified UTF-7 as reg_match() does.  Returns the length of
 * its UTF-8 (out is not terminated), or -1 if it is not modified UTF-7. */
#define REG_NAME_MAX (2 * REG_MAILBOX_MAX)
int reg_decode_name(const char *name, char out[REG_NAME_MAX]);

/* Suspended until the device registers again (store_put clears it). */
void reg_suspend(struct reg *r);
bool reg_suspended(const struct reg *r);

/* A place for the push queue's own pointer; on_drop tells it that the
 * registration is about to be freed (by a drop or expiry; store_close() does not
 * tell).  It must not put or drop. */
void reg_set_data(struct reg *r, void *data);
void *reg_data(const struct reg *r);
void store_on_drop(
    struct store *s, void (*cb)(void *arg, struct reg *r), void *arg);

#endif
