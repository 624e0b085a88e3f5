/* json.h - JSON (RFC 8259): a strict parser that fills an array of tokens, and
 * a writer of strings.  The parser never reads beyond the given length,
 * allocates nothing and does not recurse. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/* One value.  An object's key is a JSON_STRING, followed by the key's value.  A
 * string's start and end exclude the quotes. */
struct json_tok {
	uint32_t start;	    /* offset of the first byte */
	uint32_t end;	    /* offset after the last byte */
	uint32_t next;	    /* index of the token after this value */
	uint32_t size : 28; /* number of members or elements */
	uint32_t type : 4;  /* enum json_type */
};

/* What json_parse() has parsed. */
struct json {
	const char *text;
	size_t len;
	const struct json_tok *toks;
};

/* What is wrong and where.  Lines and columns (of bytes) count from 1. */
struct json_err {
	const char *reason; /* static text */
	size_t line, column;
	bool too_many; /* there were not enough tokens */
};

/* Parses a text of less than 512 MiB.  If toks is NULL it only checks the text,
 * to a depth of 1024, and counts.  Returns the number of tokens (at least 1),
 * or -1 with *err_r set. */
int json_parse(const char *text, size_t len, struct json_tok *toks,
    size_t max_toks, struct json_err *err_r);

/* Parses a text, which stays the caller's, with as many tokens as it needs; to be
 * freed if that is true. */
bool json_load(const char *text, size_t len, struct json *j_r);
void json_free(struct json *j);

/* The value of a key in the object obj, or NULL, also if obj is NULL or no
 * object.  Keys are compared decoded and in any case, as Go's encoding/json
 * takes them; the last of equal ones counts. */
const struct json_tok *json_get(
    const struct json *j, const struct json_tok *obj, const char *key);

/* Copies a string to out with its escapes decoded, and a NUL.  Returns its
 * length, or -1 if t is NULL or no string, if it does not fit, or if it
 * contains a NUL or an unpaired surrogate. */
int json_string(
    const struct json *j, const struct json_tok *t, char *out, size_t out_size);

/* Reads an integer.  False if t is NULL or no number, has a fraction or an
 * exponent, or does not fit. */
bool json_int(const struct json *j, const struct json_tok *t, int64_t *v_r);

/* Appends s as a JSON string with its quotes.  Quotes, backslashes and control
 * characters are escaped; a byte that is not UTF-8 becomes U+FFFD.  False if it
 * does not fit. */
bool json_write_str(struct buf *b, const char *s);
bool json_write_strn(struct buf *b, const char *s, size_t n);

/* Appends the key of a member, a name that needs no escapes (NULL: an element of a
 * list has none), after a comma if it is not the first. */
void json_add(struct buf *b, const char *key);
/* The same, and how a list or object begins. */
void json_open(struct buf *b, const char *key, char bracket);
/* The same, and the value. */
void json_add_str(struct buf *b, const char *key, const char *value);
void json_add_num(struct buf *b, const char *key, int64_t value);
void json_add_bool(struct buf *b, const char *key, bool value);

#endif
