/* store.h - registrations in memory and in the flat file.
 *
 * A registration is one device's wish to be woken for one account of one user.
 * File: JSON Lines, append-only, a later line wins:
 *   {"user":"alice","account":"0715","token":"2918","mailboxes":["INBOX"],
 *    "acked":true,"time":1763769600}        (one line)
 *   {"user":"alice","account":"0715","token":"2918","gone":true}
 * Lookup, put and drop are O(1) in the number of registrations. */
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
#define REG_MAILBOX_MAX 255 /* bytes of one name */
#define REG_MAILBOXES_MAX 1000

struct buf;
struct store;
struct reg; /* owned by the store; its address is stable until dropped */

/* What a device asks for; all strings borrowed during the call. */
struct reg_spec {
	const char *user;
	const char *account;
	const char *token; /* hex, either case */
	const char *const *mailboxes;
	size_t n_mailboxes;
	bool acked;	/* the plugin sent the mailbox lines */
	int64_t time_s; /* wall clock */
};

/* NULL if the spec is within the limits above (and UTF-8 without control
 * characters where it must be), else a static sentence naming the field. */
const char *reg_spec_check(const struct reg_spec *s);

/* Opens or creates the file, takes its lock, and reads it.  A Go daemon's
 * database.json is taken over (the original kept as <path>.orig).  A torn last
 * line is cut off, other bad lines go to <path>.bad, both with a warning.
 * NULL with err set. */
struct store *store_open(const char *path, char err[ERR_MAX]);
/* Syncs and frees everything. */
void store_close(struct store *s);

/* Creates or replaces a registration; the spec has passed reg_spec_check() and
 * points at nothing of the store's.  The line is queued for the file, or not
 * at all if this renewal changes nothing but the time and less than a day has
 * passed since one was written. */
struct reg *store_put(struct store *s, const struct reg_spec *spec);
void store_drop(struct store *s, struct reg *r);
/* Drops what was not renewed since before_s; returns how many. */
size_t store_expire(struct store *s, int64_t before_s);

/* True if something queued is not on disk yet. */
bool store_is_dirty(const struct store *s);
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
 * Takes over what is not newer here, for the next store_sync(); now_s is for
 * those without a time.  Those that break the limits are skipped, each with a
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
/* Appends the registration's line. */
bool reg_write(const struct reg *r, struct buf *b);

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
bool reg_acked(const struct reg *r);
size_t reg_n_mailboxes(const struct reg *r);
/* The i-th name as the device sent it. */
const char *reg_mailbox(const struct reg *r, size_t i);
/* The one after it; there must be one. */
const char *reg_mailbox_after(const char *name);
/* Index of the mailbox a delivery to `name` (UTF-8) wakes, or -1.  Names at
 * registration may be modified UTF-7 (RFC 3501 5.1.3); INBOX in any case. */
int reg_match(const struct reg *r, const char *name);
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
