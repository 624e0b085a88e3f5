/* push/hashes.h - small sets of MD5 hashes: the mailboxes that one push names. */
#ifndef HASHES_H
#define HASHES_H

#include <stdbool.h>

#define HASH_LEN 16

/* In the order in which they were added.  One is the usual number and needs no
 * memory.  All zero is the empty set. */
struct hashes {
	unsigned char (*more)[HASH_LEN]; /* all of them once there are two,
					  * cap of them, and their index */
	unsigned char one[HASH_LEN];
	unsigned n, cap;
};

const unsigned char *hashes_at(const struct hashes *s, unsigned i);
bool hashes_has(const struct hashes *s, const unsigned char *hash);
/* False if it was there already.  The owner keeps the number within 65,535. */
bool hashes_add(struct hashes *s, const unsigned char *hash);
/* Empty again, memory freed. */
void hashes_clear(struct hashes *s);
/* Moves up to max of from into to, which is empty. */
void hashes_take(struct hashes *to, struct hashes *from, unsigned max);
/* Moves all of from into to. */
void hashes_merge(struct hashes *to, struct hashes *from);

#endif
