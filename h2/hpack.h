/* h2/hpack.h - header compression of HTTP/2, both ways (RFC 7541).  No I/O.
 *
 * What is worth a place in the encoder's table is the caller's to say, header
 * by header.  The table forgets in the order of arrival, so one-off values push
 * out what every request needs; HPACK_TRY_INDEX is for the values of which
 * there may be more than the table holds (device paths): such a value goes in
 * while there is free room, and later only if it was met before among the last
 * HPACK_SEEN_MAX values that were left out.  With fewer devices than the table
 * holds every path ends up in it; with a thousand, none pushes others out. */
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

/* Most bytes of a block beyond the names and values themselves. */
#define HPACK_BLOCK_EXTRA(headers) (12 + 18 * (size_t)(headers))

enum hpack_index {
	HPACK_INDEX,	  /* literal with incremental indexing, then by index */
	HPACK_TRY_INDEX,  /* as above: for free room or a second sighting */
	HPACK_INDEX_NAME, /* changing values: only the name gets an entry */
	HPACK_NO_INDEX,	  /* literal without indexing, unless it is there */
	HPACK_NEVER,	  /* never indexed, here or by an intermediary */
};

/* 32 hashes, 128 bytes: enough to see a device that gets several mails among
 * others, too few to see a thousand of them in turn. */
#define HPACK_SEEN_MAX 32

/* Neither string is NULL; neither is terminated. */
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
 * of the decoded list by 9113's measure (name + value + 32 each).  The table's
 * memory (1.5 times table_max) is taken at the first entry. */
struct hpack_dec *hpack_dec_new(size_t table_max, size_t list_max);
void hpack_dec_free(struct hpack_dec *d);
/* The peer has acknowledged another table_max: if it is below the size in use,
 * the next block has to begin with a size update (7541 4.2). */
void hpack_dec_set_max(struct hpack_dec *d, size_t table_max);

enum hpack_status {
	HPACK_OK,
	HPACK_BAD,     /* COMPRESSION_ERROR: the connection is over */
	HPACK_TOO_BIG, /* over list_max; the table is in step all the same */
};

/* Decodes one whole header block; cb may be NULL.  *reason_r is a static
 * sentence if not OK.  Scratch memory: up to 8/5 of the longest header. */
enum hpack_status hpack_decode(struct hpack_dec *d, const unsigned char *block,
    size_t len, hpack_header_cb *cb, void *arg, const char **reason_r);

/* own_max: the most table memory that we spend, whatever the peer allows. */
struct hpack_enc *hpack_enc_new(size_t own_max);
void hpack_enc_free(struct hpack_enc *e);
/* The peer's SETTINGS_HEADER_TABLE_SIZE; the size updates that 7541 4.2 demands
 * go in front of the next block. */
void hpack_enc_set_max(struct hpack_enc *e, size_t peer_max);
/* Appends one header block; false, with nothing changed, if the buf has no room
 * for the names, values and HPACK_BLOCK_EXTRA. */
bool hpack_encode(struct hpack_enc *e, const struct hpack_header *headers,
    size_t n, struct buf *out);

#endif
