/* store_int.h - shared by the files store*.c; nobody else includes it. */
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
	REG_FIRST = 16,	 /* the first of its user */
	REG_FAR = 32,	 /* the mailboxes did not fit into the tail */
};

enum reg_chain {
	BY_KEY,
	BY_USER,
	N_CHAINS,
};

/* Made as small as it can be: a hundred thousand of them on a router.  Time is
 * unsigned 32 bits (until 2106). */
struct reg {
	/* Next in its bucket.  BY_USER only firsts are in a bucket; others
	 * have the one before them in `next`'s list there. */
	struct reg *chain[N_CHAINS];
	struct reg *next; /* of the same user */
	void *data;
	uint32_t time_s;
	uint32_t written_s; /* time_s of its line in the file */
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

/* Linear hashing: grows by one bucket an insertion, so that no single one has
 * to wait for all. */
struct table {
	struct reg **buckets;
	size_t n, cap; /* buckets in use, allocated */
	size_t mask;   /* smallest 2^k - 1 that is n - 1 or more */
	size_t items;
	enum reg_chain which;
};

struct dirty {
	struct reg *reg;
	uint32_t len; /* of the line written for it */
};

struct store {
	struct table tables[N_CHAINS];
	uint64_t seed[2];
	void (*on_drop)(void *arg, struct reg *r);
	void *on_drop_arg;
	void (*on_dirty)(void *arg);
	void *on_dirty_arg;

	/* What the file does not have yet.  A dropped registration that has a
	 * line in the file is its own removal record, chained BY_KEY. */
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

/* The longest line read or written: 1000 mailboxes of 255 bytes, each escaped,
 * and the key come to 514,191 bytes.  Longer ones are kept aside as bad. */
#define STORE_LINE_MAX (512u * 1024)

/* One record being read, with room for every string. */
struct record {
	struct reg_spec spec; /* points into what follows */
	bool gone, suspended;
	char user[REG_USER_MAX + 1];
	char account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
	const char *mailboxes[REG_MAILBOXES_MAX];
	char text[REG_MAILBOXES_MAX * (REG_MAILBOX_MAX + 1)];
};

/* --- store.c --- */

struct store *store_new(void);
void store_free(struct store *s);
void store_free_gone(struct store *s);
/* About n registrations will be put into an empty store. */
void store_expect(struct store *s, size_t n);
/* Puts without marking for the file; *changed_r: more than the time.  NULL if the
 * token is not hex; the rest of the spec must be good. */
struct reg *store_upsert(
    struct store *s, const struct reg_spec *spec, bool *changed_r);
/* Drops without a removal record. */
void store_forget(struct store *s, struct reg *r);

/* --- store_reg.c --- */

/* Appends the line of its removal. */
bool reg_write_gone(const struct reg *r, struct buf *b);

/* --- store_load.c --- */

/* Reads the lines of s->fd, of which there are none yet in memory. */
int store_load(struct store *s, char err[ERR_MAX]);
/* The length of the line that begins here, with its newline; 0, with rec in any
 * state, if it is not whole or not just as reg_write() writes it.  That the token
 * is hex remains to be seen. */
size_t record_scan(struct record *rec, const char *line, size_t len);
/* A JSON array of strings into rec->spec.  NULL, or what is wrong. */
const char *record_set_mailboxes(
    struct record *rec, const struct json *j, const struct json_tok *array);

/* --- store_file.c --- */

/* Writes the file anew; keep: the old one stays as <path>.orig. */
int store_rewrite(struct store *s, bool keep, char err[ERR_MAX]);
/* Writes all n bytes: 0, or errno. */
int store_write_all(int fd, const void *p, size_t n);
/* Says what failed and what to do about it; path has `suffix` behind it. */
void store_io_error(char err[ERR_MAX], const struct store *s,
    const char *suffix, const char *what, int error);

/* --- store_go.c --- */

/* True if the text begins as a Go daemon's database does. */
bool store_go_detect(const char *text, size_t len);
/* Reads s->fd as such a one. */
int store_go_load(struct store *s, char err[ERR_MAX]);

#endif
