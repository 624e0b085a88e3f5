/* h2/hpack.h - header compression of HTTP/2 (RFC 7541), encoder and decoder.
 *
 * The caller says for each header whether it is worth an entry in the encoder's
 * table.  The table drops its oldest entries first, so values that are used
 * once push out what every request needs.  HPACK_TRY_INDEX is for values of
 * which there may be more than the table holds (device paths): one is added
 * while there is free space, and after that only if it is among the last
 * HPACK_SEEN_MAX values that were not added.  With fewer devices than the table
 * holds, every path gets its entry; with a thousand, none pushes others out. */
#ifndef HPACK_H
#define HPACK_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* The size of a dynamic table until SETTINGS change it (RFC 9113 6.5.2). */
#define HPACK_TABLE_DEFAULT 4096

/* Bytes that 7541 4.1 adds to the size of every entry. */
#define HPACK_ENTRY_OVERHEAD 32

/* The most bytes of a block besides the names and values themselves. */
#define HPACK_BLOCK_EXTRA(headers) (12 + 18 * (size_t)(headers))

enum hpack_index {
	HPACK_INDEX,	  /* add it to the table, then send its index */
	HPACK_TRY_INDEX,  /* the same if there is space or it was seen before */
	HPACK_INDEX_NAME, /* add only the name: the value keeps changing */
};

/* 32 hashes, 128 bytes: enough to recognise a device that gets several mails,
 * too few to recognise each of a thousand devices that get one in turn. */
#define HPACK_SEEN_MAX 32

/* Neither string is NULL; neither is terminated. */
struct hpack_header {
	const char *name, *value;
	size_t name_len, value_len;
	enum hpack_index index;
};

struct hpack_dec;
struct hpack_enc;

/* One decoded header; its strings have no NUL and are valid during the call.  A
 * non-zero result means: no more calls for this block.  It is decoded to its
 * end all the same, since the table has to match the sender's. */
typedef int hpack_header_cb(void *arg, const char *name, size_t name_len,
    const char *value, size_t value_len);

/* table_max: the SETTINGS_HEADER_TABLE_SIZE that we announce; list_max: limit
 * of the decoded list as RFC 9113 counts it (name + value + 32 for each
 * header).  The table's memory, 1.5 times table_max, is allocated with the
 * first entry. */
struct hpack_dec *hpack_dec_new(size_t table_max, size_t list_max);
void hpack_dec_free(struct hpack_dec *d);
/* The peer has acknowledged another table_max: if it is below the size in use,
 * the next block has to begin with a size update (7541 4.2). */
void hpack_dec_set_max(struct hpack_dec *d, size_t table_max);

enum hpack_status {
	HPACK_OK,
	HPACK_BAD,     /* COMPRESSION_ERROR: the connection is over */
	HPACK_TOO_BIG, /* over list_max; the table is still right */
};

/* Decodes one whole header block; cb may be NULL.  Unless HPACK_OK, *reason_r
 * is a static text.  Uses memory of up to 8/5 of the longest header. */
enum hpack_status hpack_decode(struct hpack_dec *d, const unsigned char *block,
    size_t len, hpack_header_cb *cb, void *arg, const char **reason_r);

/* own_max: our own limit of the table, whatever the peer allows. */
struct hpack_enc *hpack_enc_new(size_t own_max);
void hpack_enc_free(struct hpack_enc *e);
/* Sets the peer's SETTINGS_HEADER_TABLE_SIZE; the next block begins with the
 * size updates that 7541 4.2 demands. */
void hpack_enc_set_max(struct hpack_enc *e, size_t peer_max);
/* Appends one header block.  Returns false and changes nothing if names, values
 * and HPACK_BLOCK_EXTRA do not fit into out. */
bool hpack_encode(struct hpack_enc *e, const struct hpack_header *headers,
    size_t n, struct buf *out);

#endif
