/* store/int.h - what the files of the store share.  Nobody else includes this.
 *
 * Calls go up this list only, to the files above the caller's:
 *   key      user, account and token of one registration
 *   mailbox  its mailbox names
 *   reg      and all of it in memory
 *   line     one registration as a line of the file
 *   table    all registrations, by user
 *   owner    and by the owner of the mailboxes that they watch
 *   similar  and users whose names are like another one
 *   topic    the topic in the answer to each device
 *   grave    what was removed, and other nodes may still have
 *   limit    how many, how often, how long: decides only
 *   ../store what is put and dropped, and what the file still lacks
 *   file     the flat file: append, rewrite, sync
 *   load     reads its lines
 *   go       the Go daemon's database.json: import and export
 *   open     opens either of them for the daemon
 *   view     and only for looking */
#ifndef STORE_INT_H
#define STORE_INT_H

#include "disk.h"
#include "json.h"
#include "store.h"

struct buf;

/* --- what all work on --- */

enum reg_flag {
	REG_ACKED = 1,
	REG_SUSPENDED = 2,
	REG_DIRTY = 4,	    /* its line is to be written */
	REG_ON_DISK = 8,    /* a line of this key may be in the file */
	REG_UNSTAMPED = 16, /* renewed while the clock was not set */
	REG_HELD = 32,	    /* changes too often: see store_release() */
	REG_SHARED = 64,    /* store_set_shared() */
	REG_OTHER = 128,    /* not Apple's: has a kind and an address */
};

/* Kept small: there may be a hundred thousand of them on a router.  Times are
 * unsigned 32 bits (until 2106). */
struct reg {
	struct reg *next; /* in its bucket, a user's one after the other */
	void *data;
	uint32_t hash : 24; /* of the user */
	uint32_t user_len : 8;
	uint32_t time_s;
	uint32_t written_s; /* time_s of its line in the file */
	uint32_t line : 24; /* length of that line; while REG_DIRTY its index in
			     * store.dirty */
	uint32_t part : 8;  /* of time_s, see reg_time_ms(); or PART_UNKNOWN */
	struct reg_past past;
	uint16_t n_mailboxes : 10;
	uint16_t changes : 6;	  /* recent writes because it changed */
	uint16_t topic : 13;	  /* index in store.topics */
	uint16_t has_uuid : 1;	  /* its account is one, packed */
	uint16_t has_watches : 1; /* of mailboxes of other owners */
	uint16_t is_moved : 1;	  /* what may change is allocated: key.c */
	uint8_t flags;		  /* enum reg_flag */
	uint8_t replaced; /* hour in which an expiry found a newer account of
			   * the same device, 0 never */
	uint8_t digits;	  /* of the token */
	/* key.c: user, account, token; reg.c: mailboxes, for mailbox_unpack(),
	 * and if REG_OTHER then a byte, its kind, and its address with a NUL */
	char key[];
};

#define PART_UNKNOWN 255

/* The longest token, packed. */
#define TOKEN_BYTES ((REG_TOKEN_MAX + 1) / 2)

#define UUID_BYTES 16

/* The longest key. */
#define KEY_MAX                                                                \
	(REG_USER_MAX + 1 + REG_ACCOUNT_MAX + 1 + sizeof(struct watches *) +   \
	    TOKEN_BYTES)

/* By user: buckets of lists.  It doubles when there are more registrations than
 * buckets. */
struct table {
	struct reg **buckets;
	size_t n_buckets; /* a power of two */
	size_t n;	  /* registrations */
	uint64_t seed[2];
};

/* An owner of mailboxes that other users watch. */
struct owner {
	struct owner *next; /* in its bucket */
	struct watch *first;
	uint32_t hash;
	char name[];
};

struct watch {
	struct watch *next, **at; /* of the same owner */
	struct owner *owner;
	struct reg *reg;
};

/* The watches of one registration. */
struct watches {
	size_t n;
	struct watch w[];
};

/* Topics in answers to devices; the first is the one in <file>.topic, and of
 * lines that name none.  One for each brand, and those of the time before; more
 * can only come from files or a shared book that are not ours. */
#define TOPICS_MAX 8192 /* struct reg has 13 bits for it */
#define TOPIC_NONE UINT16_MAX

#define BRAND_BY_USER UINT16_MAX

struct topic {
	char *name; /* NULL: not known */
	uint32_t hash;
	uint32_t n;	/* registrations */
	uint16_t brand; /* the only one that has it; or BRAND_BY_USER */
	bool current;	/* of a credential: kept without registrations */
};

/* The registrations of one brand's users; the first is the main credential's. */
struct store_brand {
	uint16_t topic; /* TOPIC_NONE: not known */
	uint32_t n;
	uint32_t old; /* of these, with another topic */
};

struct dirty {
	struct reg *reg;
	uint32_t len; /* of the line written for it */
};

struct store {
	struct table table;
	struct table graves; /* see grave.c; no buckets: there are none yet */
	struct owner **owners;
	size_t n_owners, cap_owners; /* cap: a power of two, or 0 */
	struct topic *topics;
	size_t n_topics;
	uint16_t topic;		    /* in answers from now on */
	bool has_topic;		    /* false: in none */
	struct store_brand *brands; /* NULL: there are none */
	size_t n_brands;	    /* with the main one */
	const struct users *users;

	void (*on_drop)(void *arg, struct reg *r);
	void *on_drop_arg;
	void (*on_change)(void *arg, struct reg *r, enum store_change change);
	void *on_change_arg;
	bool is_merging; /* store_merge() is at work */
	void (*on_dirty)(void *arg);
	void *on_dirty_arg;

	/* Lines that the file lacks.  A dropped registration that has a line in
	 * the file serves as its own removal record, linked by next. */
	struct dirty *dirty;
	size_t n_dirty, cap_dirty;
	struct reg *gone;

	struct store_limits limits;
	uint64_t bytes;		 /* sum of reg_bytes() */
	size_t suspended;	 /* registrations with REG_SUSPENDED */
	size_t kinds[REG_KINDS]; /* registrations of each; [REG_APPLE]: not
				  * counted */
	size_t n_shared;	 /* registrations and graves with REG_SHARED */
	int64_t wall_s, mono_s;
	int64_t grace_s;   /* nothing expires before this, by mono_s */
	bool has_clock;	   /* store_clock() was called */
	bool is_unstamped; /* a registration may be REG_UNSTAMPED */
	bool is_held;	   /* a registration may be REG_HELD */

	char *path; /* NULL: memory only */
	int fd;
	uint64_t size;	     /* of the file's whole lines */
	uint64_t live;	     /* bytes of lines that still count */
	uint64_t rewrite_at; /* a rewrite failed: not again below this size */
	bool must_rewrite;   /* what the file contains is not reliable */
	bool must_cut;	     /* bytes after `size` could not be cut off */
	bool must_sync_dir;  /* a rename may not be durable */
	bool lacks_newline;  /* the last line is complete except for that */
	bool read_only;	     /* a view: nothing is ever written */
	bool is_check;	     /* a view that speaks as the start does */
	size_t n_bad;	     /* lines or accounts that could not be read */
	bool frozen;	     /* lines that no other file has: never rewrite */
	bool has_copy;	     /* <path>.copy is to be used, not the file */
	bool in_place;	     /* the file cannot be replaced, only overwritten */
};

/* --- key.c --- */

/* Packs the spec's user, account and token, with space for watches if
 * r->has_watches, and sets r's fields for them.  Returns the length. */
size_t key_pack(struct reg *r, const struct reg_spec *spec, char out[KEY_MAX]);
/* The length without what reg.c has added. */
size_t key_len(const struct reg *r);
/* What may change: from the watches' address, or the token, to the end. */
const char *key_rest(const struct reg *r);
/* Another one, which it takes; NULL: none, r is about to be freed. */
void key_set_rest(struct reg *r, char *rest);
const char *key_mailboxes(const struct reg *r);
/* NULL: it has none. */
struct watches *key_watches(const struct reg *r);
/* Of one that has_watches. */
void key_set_watches(struct reg *r, struct watches *w);
/* False if no registration has such a token. */
bool reg_pack_token(const char *digits, size_t n, char out[TOKEN_BYTES]);
/* Whether it has this account and packed token. */
bool reg_has_key(const struct reg *r, const char *account, const char *packed,
    size_t digits);
/* These need the hashes. */
bool reg_same_user(const struct reg *a, const struct reg *b);
bool reg_same_device(const struct reg *a, const struct reg *b);
bool reg_same_key(const struct reg *a, const struct reg *b);

/* --- mailbox.c --- */

/* A mailbox: its name as the device spelled it, and what that means. */
struct mailbox {
	const char *name;
	const char *owner;     /* NULL: the user */
	const char *canonical; /* NULL: as spelled */
};

/* Unpacks the mailbox at p; returns where the next one is. */
const char *mailbox_unpack(const char *p, struct mailbox *b);
/* How many bytes mailboxes_pack() writes. */
size_t mailboxes_size(const struct reg_spec *spec);
/* Packs the spec's mailboxes; returns the end. */
char *mailboxes_pack(char *p, const struct reg_spec *spec);
size_t mailboxes_len(const struct reg *r);
/* With the kind and the address. */
size_t mailboxes_len_all(const struct reg *r);
bool mailboxes_same(const struct reg *a, const struct reg *b);
/* The same mailboxes, in any order and each any number of times. */
bool mailboxes_same_set(const struct reg *a, const struct reg *b);

/* True if some are another owner's. */
bool mailboxes_are_watched(const struct reg_spec *spec);
/* How many other owners they have; consecutive equal ones count once. */
size_t mailboxes_owners(const struct reg *r);

/* --- reg.c --- */

/* Of a spec within the limits: in no table, topic 0. */
struct reg *reg_new(const struct reg_spec *spec);
/* One that is like r, but has this address and time; in no table. */
struct reg *reg_with_to(const struct reg *r, const char *to, int64_t time_s);
void reg_free(struct reg *r);
/* r has the mailboxes, the kind and the address of `from` from now on; its watches
 * are not touched. */
void reg_take_mailboxes(struct reg *r, const struct reg *from);
/* The bytes that it counts for maxRegistrations. */
size_t reg_bytes(const struct reg *r);
/* The same kind and address. */
bool reg_same_to(const struct reg *a, const struct reg *b);

/* --- line.c --- */

/* The longest line read or written: REG_NAMES_MAX, each byte escaped, and quotes,
 * brackets, the key and the address come to 545,000 bytes.  Longer ones are kept aside as
 * bad. */
#define STORE_LINE_MAX (544u * 1024)

/* One record being read, with space for every string. */
struct record {
	struct reg_spec spec; /* points into what follows */
	bool gone, suspended;
	int64_t t_ms; /* of several nodes; 0: not known */
	char user[REG_USER_MAX + 1];
	char account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
	const char *mailboxes[REG_MAILBOXES_MAX];
	struct reg_canonical canonical[REG_MAILBOXES_MAX];
	char topic[REG_TOPIC_MAX + 1];
	char to[REG_TO_MAX + 1];
	size_t text_len;
	char text[REG_NAMES_MAX + REG_CANONICAL_MAX + 1];
};

/* Values of one line: the most mailboxes, each with owner and name, the keys, and
 * space for fields that a later version may add. */
#define LINE_VALUES_MAX (4 * REG_MAILBOXES_MAX + 1024)

/* What a line is read with. */
struct reader {
	struct json_tok toks[LINE_VALUES_MAX];
	struct record rec;
};

/* Reads a line into in->rec.  NULL, or what is wrong with it. */
const char *line_read(struct reader *in, const char *line, size_t len);
/* A JSON array of strings into rec->spec.  NULL, or what is wrong. */
const char *line_set_mailboxes(
    struct record *rec, const struct json *j, const struct json_tok *array);
/* True if it is one of our lines. */
bool line_is_ours(const char *line, size_t len);
/* True if it is the beginning of such a line as we write it. */
bool line_is_torn(const char *line, size_t len);

/* --- table.c --- */

void table_init(struct table *t);
/* ASCII letters in either case are the same. */
uint32_t table_hash(const struct table *t, const char *name);
/* The one with the key of `r`, whose hash it sets; or NULL. */
struct reg *table_find(const struct table *t, struct reg *r);
/* As the first one of its user; the hash is set. */
void table_add(struct table *t, struct reg *r);
void table_remove(struct table *t, struct reg *r);

/* --- owner.c --- */

/* Sets up and takes down its watches. */
void owner_watch(struct store *s, struct reg *r);
void owner_unwatch(struct store *s, struct reg *r);

/* --- topic.c --- */

void topic_init(struct store *s);
/* Its index in store.topics. */
uint16_t topic_index(struct store *s, const char *name);
/* Adds change, 1 or -1, to the number of registrations of r's kind, with its topic,
 * and of its brand. */
void topic_count(struct store *s, const struct reg *r, int change);
void topic_use(struct store *s, struct reg *r, uint16_t topic);
/* The topic that its line has to name, or NULL. */
const char *topic_in_line(const struct store *s, const struct reg *r);
void topic_read(struct store *s);
void topic_free_all(struct store *s);

/* --- grave.c --- */

/* A registration that has r's key and this time, and nothing else. */
struct reg *reg_key(const struct reg *r, int64_t t_ms);
/* That of r's key, or NULL. */
struct reg *grave_find(const struct store *s, struct reg *r);
/* Keeps that what has r's key, and was in the table, was removed at t_ms, unless
 * that is known with a later time.  NULL: there are too many. */
struct reg *grave_dig(struct store *s, struct reg *r, int64_t t_ms);
/* The device is back: forgets the removal.  NULL is fine. */
void grave_open(struct store *s, struct reg *grave);
/* The length of its line in the file, which has to stay there. */
void grave_set_line(struct store *s, struct reg *grave, size_t len);
/* Forgets those that are too old to matter. */
void grave_expire(struct store *s);

/* --- limit.c --- */

/* True if there are enough bytes left for `new` in place of r (NULL:
 * nothing). */
bool limit_bytes_ok(
    const struct store *s, const struct reg *new, const struct reg *r);
/* True if there may be one more. */
bool limit_count_ok(const struct store *s);
/* A device of the user's, other than r, that has to be dropped for `new`, or
 * NULL. */
struct reg *limit_surplus(
    struct store *s, const struct reg *new, const struct reg *r);
/* An app's earlier registration of the same name, kind and user as `new`, with
 * another address, or NULL. */
struct reg *limit_renamed(
    struct store *s, const struct reg *new, const struct reg *r);
/* False if one of that time would be the first of the user's to be dropped. */
bool limit_admits(struct store *s, const char *user, int64_t t_ms);
/* True if one of this kind that was renewed then has expired. */
bool limit_is_old(const struct store *s, enum reg_kind kind, int64_t time_s);
/* True if its device came back with another account, and not with this one for
 * three days: the account was set up again.  To be called every hour. */
bool limit_is_replaced(struct store *s, struct reg *r);
/* Whether a registration that was put is written now; changed: more than its
 * time. */
enum limit_write {
	WRITE_NOT,
	WRITE_NOW,
	WRITE_HELD
};
enum limit_write limit_write(
    const struct store *s, struct reg *r, bool changed);

/* --- ../store.c --- */

struct store *store_new(void);
void store_free(struct store *s);
void store_free_gone(struct store *s);
/* Puts `new`, which it takes, in the place of r (NULL: nothing), without marking
 * it for the file; *changed_r: more than the time. */
struct reg *store_replace(
    struct store *s, struct reg *r, struct reg *new, bool *changed_r);
/* r is in no table, and has to be shown as removed by the file; takes it. */
void store_write_gone(struct store *s, struct reg *r);
/* Drops without a removal record. */
void store_forget(struct store *s, struct reg *r);

/* --- file.c --- */

/* Writes the file again as a whole; keep: the old one stays as <path>.orig. */
int store_rewrite(struct store *s, bool keep, char err[ERR_MAX]);
int store_sync_dir(struct store *s, char err[ERR_MAX]);
/* The copy that an interrupted rewrite has left: a descriptor, or -1 with
 * errno. */
int store_open_copy(const struct store *s);
/* Completes it. */
int store_finish_copy(struct store *s, char err[ERR_MAX]);

/* --- load.c --- */

/* Bytes of the byte order mark, which some editors put at the beginning. */
size_t store_bom_len(const char *text, size_t len);
/* Reads the lines of s->fd from `skip` on into an empty store. */
int store_load(struct store *s, size_t skip, char err[ERR_MAX]);

/* --- go.c --- */

/* True if it is one JSON object with "Users", or an empty one, or null. */
bool store_is_go(const char *text, size_t len);
/* Takes it over: text is all of s->fd. */
int store_go_load(
    struct store *s, const char *text, size_t len, char err[ERR_MAX]);

/* --- open.c --- */

/* Reads s->fd, whatever it is. */
int store_read(struct store *s, char err[ERR_MAX]);

#endif
