/* store/int.h - what the files of store share.  Nobody else includes this. */
#ifndef STORE_INT_H
#define STORE_INT_H

#include <string.h>

#include "store.h"

struct buf;
struct json;
struct json_tok;

enum reg_flag {
	REG_ACKED = 1,
	REG_SUSPENDED = 2,
	REG_DIRTY = 4,	  /* its line is to be written */
	REG_ON_DISK = 8,  /* a line of this key may be in the file */
	REG_FAR = 16,	  /* the mailboxes did not fit into the tail */
	REG_FOREIGN = 32, /* and some are other owners': watches before them */
	REG_UNSTAMPED = 64, /* renewed while the clock was not set */
	REG_HELD = 128,	    /* changes all the time: see store_release() */
};

/* Made as small as it can be: a hundred thousand of them on a router.  Time is
 * unsigned 32 bits (until 2106). */
struct reg {
	struct reg *prev, *next; /* of the same user; the first has no prev */
	void *data;
	uint32_t time_s;
	uint32_t written_s; /* time_s of its line in the file */
	struct reg *chain;  /* next in its bucket; near what is compared */
	uint32_t line;	    /* that line's length; its place in store.dirty
			     * while REG_DIRTY */
	uint16_t n_mailboxes : 10;
	uint16_t changes : 6; /* written lately because it changed */
	uint8_t flags;	      /* enum reg_flag */
	uint8_t topic;	      /* place in store.topics */
	uint8_t replaced;     /* the hour when a look saw a newer account of
			       * the same device, 0 never */
	uint8_t user_len, account_len;
	uint8_t digits; /* of the token */
	uint8_t room;	/* bytes for mailboxes at the end of the tail */
	/* user NUL account NUL token (two digits a byte) and the mailboxes as
	 * box_read() reads them, or, when REG_FAR, a pointer to them. */
	char tail[];
};

/* user NUL account NUL token, as in a reg's tail */
#define KEY_MAX                                                                \
	(REG_USER_MAX + 1 + REG_ACCOUNT_MAX + 1 + (REG_TOKEN_MAX + 1) / 2)

/* A reg's size counted in pointers, which it is a whole number of. */
#define SLOT_MAX                                                               \
	((sizeof(struct reg) + KEY_MAX + UINT8_MAX) / sizeof(void *) + 1)

/* Linear hashing: grows by one bucket an insertion, so that no single one has
 * to wait for all. */
struct table {
	struct reg **buckets;
	size_t n, cap; /* buckets in use, allocated */
	size_t mask;   /* smallest 2^k - 1 that is n - 1 or more */
	size_t items;
};

enum {
	OTHERS, /* by key */
	FIRSTS, /* by user, one of each: most have no other */
	N_TABLES,
};

/* Whose mailboxes others watch: store/owner.c. */
struct owner {
	struct owner *chain;
	struct watch *first;
	uint64_t hash;
	char name[];
};

struct watch {
	struct watch *next, **at; /* of the same owner */
	struct owner *owner;	  /* NULL: not in use */
	struct reg *reg;
};

/* Stands before the mailboxes of a registration that is REG_FOREIGN. */
struct watches {
	size_t n;
	struct watch w[];
};

/* Topics that devices were told; the first is what <file>.topic says, and the
 * one of lines that name none. */
#define TOPICS_MAX 64

struct topic {
	char *name; /* NULL: not known */
	size_t n;   /* registrations */
};

struct dirty {
	struct reg *reg;
	uint32_t len; /* of the line written for it */
};

struct store {
	struct table tables[N_TABLES];
	uint64_t seed[2];
	void **slabs;			/* the newest; in each the one before */
	void **slot, **slots_end;	/* free in the newest */
	struct reg *free[SLOT_MAX + 1]; /* given back, by size */
	void (*on_drop)(void *arg, struct reg *r);
	void *on_drop_arg;
	void (*on_dirty)(void *arg);
	void *on_dirty_arg;

	/* What the file does not have yet.  A dropped registration that has a
	 * line in the file is its own removal record, chained. */
	struct dirty *dirty;
	size_t n_dirty, cap_dirty;
	struct reg *gone;

	struct owner **owners;
	size_t n_owners, cap_owners; /* cap: a power of two, or 0 */
	struct topic topics[TOPICS_MAX];
	size_t topic; /* that devices are told now */

	struct store_limits limits;
	uint64_t bytes; /* of all registrations in memory */
	int64_t wall_s, mono_s;
	int64_t grace_s;   /* nothing is dropped before this, by mono_s */
	bool has_clock;	   /* store_clock() was called */
	bool is_unstamped; /* a registration may be REG_UNSTAMPED */
	bool is_held;	   /* a registration may be REG_HELD */

	char *path; /* NULL: memory only */
	int fd;
	uint64_t size;	     /* of the file's whole lines */
	uint64_t live;	     /* bytes of lines that still count */
	uint64_t rewrite_at; /* a rewrite failed: not again below this size */
	bool must_rewrite;   /* what the file holds is not to be relied on */
	bool must_cut;	     /* bytes behind `size` could not be cut off */
	bool must_sync_dir;  /* a rename may not be durable */
	bool lacks_newline;  /* the last line is whole but for that */
	bool read_only;	     /* a view: nothing is ever written */
	size_t n_bad;	     /* lines or accounts that could not be read */
	bool frozen;	     /* lines that no other file has: never rewrite */
	bool has_copy;	     /* <path>.copy is of more use than the file */
	bool in_place;	     /* another file cannot take its name */
};

static inline size_t reg_token_len(size_t digits)
{
	return (digits + 1) / 2;
}

/* Where the account id begins in the tail, with the token behind it. */
static inline size_t reg_id_at(const struct reg *r)
{
	return (size_t)r->user_len + 1;
}

static inline size_t reg_id_len(const struct reg *r)
{
	return (size_t)r->account_len + 1 + reg_token_len(r->digits);
}

static inline size_t reg_mailboxes_at(const struct reg *r)
{
	return reg_id_at(r) + reg_id_len(r);
}

/* What is allocated for those that did not fit. */
static inline void *reg_far(const struct reg *r)
{
	void *far;

	memcpy(&far, r->tail + reg_mailboxes_at(r), sizeof(far));
	return far;
}

/* The first of them, for box_read(). */
static inline const char *reg_mailboxes(const struct reg *r)
{
	const struct watches *far;

	if (!(r->flags & REG_FAR))
		return r->tail + reg_mailboxes_at(r);
	far = reg_far(r);
	return r->flags & REG_FOREIGN ? (const char *)(far->w + far->n)
				      : (const char *)far;
}

/* A mailbox in memory: its name as the device spelled it, with a NUL; before
 * that, if it is not the user's own of that name, this byte, the owner (none: the
 * user) and the canonical name, both with a NUL. */
#define BOX_CANONICAL '\1'

struct box {
	const char *name;
	const char *owner;     /* NULL: the user */
	const char *canonical; /* NULL: as spelled */
};

/* Returns the next one's place. */
static inline const char *box_read(const char *p, struct box *b)
{
	b->owner = b->canonical = NULL;
	if (*p == BOX_CANONICAL) {
		b->owner = *++p != '\0' ? p : NULL;
		p += strlen(p) + 1;
		b->canonical = p;
		p += strlen(p) + 1;
	}
	b->name = p;
	return p + strlen(p) + 1;
}

/* A registration to be found or put. */
struct entry {
	const char *tail; /* laid out as in a reg, all mailboxes in it */
	size_t user_len, account_len, digits;
	size_t key_len; /* of the tail without mailboxes */
	size_t mailboxes_len, n_mailboxes;
	uint64_t user_hash;
	uint64_t hash;	/* of all, when the user has others */
	int64_t time_s; /* REG_TIME_UNKNOWN */
	bool acked;
	size_t topic;
};

/* The longest line read or written: REG_NAMES_MAX, each byte escaped, and quotes,
 * brackets and the key come to 540,000 bytes.  Longer ones are kept aside as
 * bad. */
#define STORE_LINE_MAX (544u * 1024)

/* One record being read, with room for every string. */
struct record {
	struct reg_spec spec; /* points into what follows */
	bool gone, suspended;
	char user[REG_USER_MAX + 1];
	char account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
	const char *mailboxes[REG_MAILBOXES_MAX];
	struct reg_canonical canonical[REG_MAILBOXES_MAX];
	char topic[REG_TOPIC_MAX + 1];
	size_t text_len;
	char text[REG_NAMES_MAX + REG_CANONICAL_MAX + 1];
};

/* One read by record_scan(), whole words at a time. */
struct scanned {
	struct entry entry;
	char
	    tail[KEY_MAX + REG_NAMES_MAX + 2 * REG_MAILBOX_MAX + REG_TOPIC_MAX];
};

/* --- store.c --- */

struct store *store_new(void);
void store_free(struct store *s);
void store_free_gone(struct store *s);
/* About n registrations will be put into an empty store. */
void store_expect(struct store *s, size_t n);
/* Hashes an entry's user, and begins to fetch what that leads to; a little later
 * store_prefetch() begins to fetch what lies there.  Not to wait for that is a
 * tenth of the time of a hundred thousand. */
void store_hash_user(const struct store *s, struct entry *e);
void store_prefetch(const struct store *s, const struct entry *e);
/* The entry of a spec.  Returns its tail, to be freed, or NULL if no registration
 * can have this key. */
char *entry_new(struct store *s, struct entry *e, const struct reg_spec *spec);
/* Puts without marking for the file; *changed_r: more than the time. */
struct reg *store_upsert(struct store *s, struct entry *e, bool *changed_r);
/* Drops without a removal record. */
void store_forget(struct store *s, struct reg *r);
void store_mark_dirty(struct store *s, struct reg *r);
/* The user in any case. */
uint64_t store_hash_name(const struct store *s, const char *name, size_t len);
/* What n mailboxes of len bytes take of the ceiling in bytes, and those of a
 * registration. */
size_t store_boxes_bytes(const char *boxes, size_t n, size_t len);
size_t reg_boxes_bytes(const struct reg *r);

/* --- store/limit.c --- */

/* Makes room for an entry, which replaces r, or is new if that is NULL: false if
 * there is none. */
bool store_make_room(struct store *s, const struct entry *e, struct reg *r);
/* False if one of that time would be the first of the user's to make room. */
bool store_has_place(struct store *s, const struct reg_spec *spec);
/* Marks what has changed or was renewed, unless it is to wait. */
void store_mark_put(struct store *s, struct reg *r, bool changed);

/* --- store/topic.c --- */

/* Its place in store.topics. */
size_t store_topic(struct store *s, const char *name);
void store_use_topic(struct store *s, struct reg *r, size_t topic);
/* What its line has to name, or NULL. */
const char *store_named_topic(const struct store *s, const struct reg *r);
void store_read_topic(struct store *s);
void store_free_topics(struct store *s);

/* --- store/owner.c --- */

/* Watches that these mailboxes may need. */
size_t owner_count(const char *boxes, size_t n);
/* Sets up w, of owner_count() watches, for the mailboxes of r. */
void owner_watch(
    struct store *s, struct reg *r, struct watches *w, const char *boxes);
void owner_unwatch(struct store *s, struct watches *w);

/* --- store/reg.c --- */

/* The same mailbox: INBOX in any case, all else exactly. */
bool reg_same_name(const char *a, const char *b);
/* Appends the line of its removal. */
bool reg_write_gone(const struct reg *r, struct buf *b);

/* --- store/load.c --- */

/* Reads the lines of s->fd from `skip` on, of which there are none yet in
 * memory. */
int store_load(struct store *s, size_t skip, char err[ERR_MAX]);
/* True if it is one of our lines. */
bool record_is_ours(const char *line, size_t len);
/* True if it is the beginning of one as we write them. */
bool record_is_torn(const char *line, size_t len);
/* The length of the line that begins here, with its newline; 0, with the entry in
 * any state, if it is not whole or not just as reg_write() writes it. */
size_t record_scan(
    struct store *s, struct scanned *sc, const char *line, size_t len);
/* A JSON array of strings into rec->spec.  NULL, or what is wrong. */
const char *record_set_mailboxes(
    struct record *rec, const struct json *j, const struct json_tok *array);

/* --- store/file.c --- */

/* Writes the file anew; keep: the old one stays as <path>.orig. */
int store_rewrite(struct store *s, bool keep, char err[ERR_MAX]);
/* Writes all n bytes: 0, or errno. */
int store_write_all(int fd, const void *p, size_t n);
/* A new file belongs to whom the old one did. */
void store_give_file(const struct store *s, int fd);
/* 0, or errno. */
int store_sync_dir(const struct store *s);
/* Says what failed and what to do about it; path has `suffix` behind it. */
void store_io_error(char err[ERR_MAX], const struct store *s,
    const char *suffix, const char *what, int error);

/* --- store/kind.c --- */

/* Reads s->fd, whatever it is. */
int store_read(struct store *s, char err[ERR_MAX]);

/* --- store/go.c --- */

/* True if it is one JSON object with "Users", or an empty one, or null. */
bool store_go_is(const char *text, size_t len);
/* Takes over the text of s->fd as such a one. */
int store_go_load(
    struct store *s, const char *text, size_t len, char err[ERR_MAX]);

#endif
