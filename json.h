/* json.h - RFC 8259: a strict tokeniser into the caller's tokens, and an
 * escaping writer.  Reads no further than the given length, allocates nothing,
 * does not recurse. */
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

/* One value (object keys are JSON_STRING values before theirs).  A string's
 * start and end exclude its quotes. */
struct json_tok {
	uint32_t start;	    /* offset of the first byte */
	uint32_t end;	    /* offset behind the last byte */
	uint32_t next;	    /* index of the token behind this value */
	uint32_t size : 28; /* members or elements; children counted once */
	uint32_t type : 4;  /* enum json_type */
};

struct json {
	const char *text;
	size_t len;
	const struct json_tok *toks;
	size_t n_toks;
};

/* What is wrong and where; line and column count from 1, column in bytes. */
struct json_err {
	const char *reason; /* static text */
	size_t line, column;
	bool too_many; /* the tokens did not suffice */
};

/* Tokenises one text (under 512 MiB).  toks NULL: only checks it and counts, to
 * a depth of 1024.  Returns the number of tokens (at least 1), or -1 with err_r
 * filled. */
int json_parse(const char *text, size_t len, struct json_tok *toks,
    size_t max_toks, struct json_err *err_r);

/* The value of a key in the object at index obj, or NULL.  The key is compared
 * after decoding; of repeated keys the last one counts. */
const struct json_tok *json_get(
    const struct json *j, const struct json_tok *obj, const char *key);

/* Decodes a string's escapes into out (terminated).  Returns its length, or -1
 * if it does not fit, is no string, holds a NUL, or an unpaired surrogate. */
int json_string(
    const struct json *j, const struct json_tok *t, char *out, size_t out_size);

/* The integer value; false if t is no number, has a fraction or exponent, or
 * does not fit. */
bool json_int(const struct json *j, const struct json_tok *t, int64_t *v_r);

/* True if s[0..n) is well-formed UTF-8 (no surrogates, no overlong forms). */
bool json_utf8_ok(const char *s, size_t n);

#define JSON_UTF8_MAX 4 /* bytes of one character */

/* Writes the character c (up to U+10FFFF, no surrogate); returns its length. */
size_t json_utf8_put(uint32_t c, char out[JSON_UTF8_MAX]);

/* Appends s as a JSON string with its quotes: quote, backslash and control
 * characters escaped, a byte that is not UTF-8 becomes U+FFFD. */
bool json_write_str(struct buf *b, const char *s);
bool json_write_strn(struct buf *b, const char *s, size_t n);

#endif
