/* hpack.h - header compression of HTTP/2, both ways (RFC 7541).  No I/O. */
#ifndef HPACK_H
#define HPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Size of a dynamic table before SETTINGS say otherwise (RFC 9113 6.5.2). */
#define HPACK_TABLE_DEFAULT 4096

/* Overhead that 7541 4.1 counts for every entry, in bytes. */
#define HPACK_ENTRY_OVERHEAD 32

enum hpack_index {
	HPACK_INDEX,	/* literal with incremental indexing, then by index */
	HPACK_NO_INDEX, /* literal without indexing: would push out better */
	HPACK_NEVER,	/* never indexed, here or by an intermediary */
};

struct hpack_header {
	const char *name, *value;
	size_t name_len, value_len;
	enum hpack_index index;
};

struct hpack_dec;
struct hpack_enc;

/* One decoded header.  Not terminated, valid during the call.  Non-zero stops
 * the caller's wish for more, not the decoding: the table must stay in step. */
typedef int hpack_header_cb(void *arg, const char *name, size_t name_len,
    const char *value, size_t value_len);

/* table_max: the SETTINGS_HEADER_TABLE_SIZE that we announce; list_max: ceiling
 * of the decoded list by 9113's measure (name + value + 32 each). */
struct hpack_dec *hpack_dec_new(size_t table_max, size_t list_max);
void hpack_dec_free(struct hpack_dec *d);
/* Changes what we announced; takes effect as 7541 4.2 says. */
void hpack_dec_set_max(struct hpack_dec *d, size_t table_max);

enum hpack_status {
	HPACK_OK,
	HPACK_BAD,     /* COMPRESSION_ERROR: the connection is over */
	HPACK_TOO_BIG, /* over list_max; the table is in step all the same */
};

/* Decodes one whole header block.  *reason_r is a static sentence if not OK. */
enum hpack_status hpack_decode(struct hpack_dec *d, const unsigned char *block,
    size_t len, hpack_header_cb *cb, void *arg, const char **reason_r);

/* own_max: the most table memory that we spend, whatever the peer allows. */
struct hpack_enc *hpack_enc_new(size_t own_max);
void hpack_enc_free(struct hpack_enc *e);
/* The peer's SETTINGS_HEADER_TABLE_SIZE; the size updates that 7541 4.2 demands
 * go in front of the next block. */
void hpack_enc_set_max(struct hpack_enc *e, size_t peer_max);
/* Appends one header block; false if the buf is full (the encoder's state is
 * then unusable: the connection must go). */
bool hpack_encode(struct hpack_enc *e, const struct hpack_header *headers,
    size_t n, struct buf *out);

#endif
