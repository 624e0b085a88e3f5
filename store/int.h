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
	REG_DIRTY = 4,	 /* its line is to be written */
	REG_ON_DISK = 8, /* a line of this key may be in the file */
	REG_FAR = 16,	 /* the mailboxes did not fit into the tail */
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
	uint16_t flags : 6; /* enum reg_flag */
	uint8_t user_len, account_len;
	uint8_t digits; /* of the token */
	uint8_t room;	/* bytes for mailboxes at the end of the tail */
	/* user NUL account NUL token (two digits a byte) and the mailboxes,
	 * each with its NUL, or, when REG_FAR, a pointer to them. */
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

/* All of them, each with its NUL. */
static inline const char *reg_mailboxes(const struct reg *r)
{
	const char *near = r->tail + reg_mailboxes_at(r), *far;

	if (!(r->flags & REG_FAR))
		return near;
	memcpy(&far, near, sizeof(far));
	return far;
}

/* A registration to be found or put. */
struct entry {
	const char *tail; /* laid out as in a reg, all mailboxes in it */
	size_t user_len, account_len, digits;
	size_t key_len; /* of the tail without mailboxes */
	size_t mailboxes_len, n_mailboxes;
	uint64_t user_hash;
	uint64_t hash; /* of all, when the user has others */
	int64_t time_s;
	bool acked;
};

/* The longest line read or written: 1000 mailboxes of 255 bytes, each escaped,
 * and the key come to 514,191 bytes.  Longer ones are kept aside as bad. */
#define STORE_LINE_MAX (512u * 1024)

#define MAILBOXES_MAX (REG_MAILBOXES_MAX * (REG_MAILBOX_MAX + 1))

/* One record being read, with room for every string. */
struct record {
	struct reg_spec spec; /* points into what follows */
	bool gone, suspended;
	char user[REG_USER_MAX + 1];
	char account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
	const char *mailboxes[REG_MAILBOXES_MAX];
	char text[MAILBOXES_MAX];
};

/* One read by record_scan(), whole words at a time. */
struct scanned {
	struct entry entry;
	char tail[KEY_MAX + MAILBOXES_MAX + sizeof(size_t)];
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
char *entry_new(
    const struct store *s, struct entry *e, const struct reg_spec *spec);
/* Puts without marking for the file; *changed_r: more than the time. */
struct reg *store_upsert(struct store *s, struct entry *e, bool *changed_r);
/* Drops without a removal record. */
void store_forget(struct store *s, struct reg *r);

/* --- store/reg.c --- */

/* Appends the line of its removal. */
bool reg_write_gone(const struct reg *r, struct buf *b);

/* --- store/load.c --- */

/* Reads the lines of s->fd, of which there are none yet in memory. */
int store_load(struct store *s, char err[ERR_MAX]);
/* The length of the line that begins here, with its newline; 0, with the entry in
 * any state, if it is not whole or not just as reg_write() writes it. */
size_t record_scan(
    const struct store *s, struct scanned *sc, const char *line, size_t len);
/* A JSON array of strings into rec->spec.  NULL, or what is wrong. */
const char *record_set_mailboxes(
    struct record *rec, const struct json *j, const struct json_tok *array);

/* --- store/file.c --- */

/* Writes the file anew; keep: the old one stays as <path>.orig. */
int store_rewrite(struct store *s, bool keep, char err[ERR_MAX]);
/* Writes all n bytes: 0, or errno. */
int store_write_all(int fd, const void *p, size_t n);
/* Says what failed and what to do about it; path has `suffix` behind it. */
void store_io_error(char err[ERR_MAX], const struct store *s,
    const char *suffix, const char *what, int error);

/* --- store/go.c --- */

/* True if the text begins as a Go daemon's database does. */
bool store_go_detect(const char *text, size_t len);
/* Reads s->fd as such a one. */
int store_go_load(struct store *s, char err[ERR_MAX]);

#endif
