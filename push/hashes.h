/* push/hashes.h - the MD5 hashes by which a push names mailboxes, in small sets. */
#ifndef PUSH_HASHES_H
#define PUSH_HASHES_H

#include <stdbool.h>

#include "push.h"
#include "store.h"

struct buf;

#define HASH_LEN PUSH_HASH_LEN

/* In the order in which they were added.  One is the usual number and needs no
 * allocation.  All zero is the empty set. */
struct push_hashes {
	unsigned char (*more)[HASH_LEN]; /* NULL with less than two; cap
					  * of them, and their index */
	unsigned char one[HASH_LEN];
	unsigned n, cap;
};

const unsigned char *push_hashes_at(const struct push_hashes *s, unsigned i);
bool push_hashes_has(const struct push_hashes *s, const unsigned char *hash);
/* False if it was there already.  The caller keeps the number below 65,536. */
bool push_hashes_add(struct push_hashes *s, const unsigned char *hash);
void push_hashes_remove(struct push_hashes *s, const unsigned char *hash);
/* Empties it and frees its memory. */
void push_hashes_clear(struct push_hashes *s);
/* Moves up to max of from into to, which is empty. */
void push_hashes_take(
    struct push_hashes *to, struct push_hashes *from, unsigned max);
/* Moves all of from into to. */
void push_hashes_merge(struct push_hashes *to, struct push_hashes *from);
/* Appends `"<hex>",` for each from `from` to before `to`. */
void push_hashes_write(
    struct buf *b, const struct push_hashes *s, unsigned from, unsigned to);

/* The hash by which the device knows a mailbox that it registered as name. */
void push_hash_mailbox(const char *name, unsigned char hash[HASH_LEN]);
/* The same for a name that is UTF-8 without encoding. */
void push_hash_utf8(const char *name, unsigned char hash[HASH_LEN]);
/* The name as UTF-8 without encoding: in utf8, or as it is. */
const char *push_decode_mailbox(const char *name, char utf8[REG_UTF8_MAX + 1]);

#endif
