/* text.h - hex digits, Base64, UTF-8, modified UTF-7 and misspelled words. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value and 1 of the hex digits, 0 of all else: device tokens are random, a
 * branch would be guessed wrongly every third time. */
extern const unsigned char text_hex_values[256];

/* What follows a string and its NUL: where a row of a table has several strings in
 * one literal, which saves a pointer for each. */
const char *text_next(const char *s);
/* The i-th of strings that follow each other so, from 0 on. */
const char *text_nth(const char *list, size_t i);

/* A hex digit's value, -1: it is none. */
static inline int text_hex_digit(char c)
{
	return text_hex_values[(unsigned char)c] - 1;
}

/* Packs digits, the high half of a byte first; the low half of an odd last one
 * is 0.  False if one of them is not hex. */
bool text_hex_read(const char *digits, size_t n_digits, void *out);
/* Writes two lower-case digits for each of the n bytes, and no NUL. */
void text_hex_write(const void *data, size_t n, char *out);

/* An ASCII letter becomes a small one, all else stays. */
static inline char text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}
/* How many of the first characters are ASCII letters, digits or one of `more`. */
size_t text_span(const char *s, const char *more);

/* What n decimal digits stand for; -1: they are none, or it is more than max. */
int64_t text_number(const char *s, size_t n, int64_t max);

/* Base64 (RFC 4648 4), or with url that of its section 5 without padding, and a
 * NUL: TEXT_BASE64_SIZE(n) bytes at most.  Returns the length. */
#define TEXT_BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)
size_t text_base64_write(const void *data, size_t n, bool url, char *out);
/* A digit's value, -1: it is none. */
int text_base64_digit(char c);

/* Reads n digits of either alphabet, with or without padding; strict: only of
 * RFC 4648 5, and none.  Returns the number of bytes; -1: it is not Base64, or more
 * than size bytes. */
int text_base64_read(
    const char *s, size_t n, bool strict, void *out, size_t size);

/* Length of the UTF-8 character that s[0..n) begins with: no surrogate, no overlong
 * form, up to U+10FFFF.  0: it is none. */
size_t text_utf8_char(const unsigned char *s, size_t n);
/* True if s[0..n) is well-formed UTF-8 (no surrogates, no overlong forms). */
bool text_utf8_ok(const char *s, size_t n);

#define TEXT_UTF8_MAX 4 /* bytes of one character */

/* Writes the character c (up to U+10FFFF, no surrogate); returns its length. */
size_t text_utf8_put(uint32_t c, char out[TEXT_UTF8_MAX]);

/* Decodes modified UTF-7 (RFC 3501 5.1.3).  Returns the length of the UTF-8, which
 * is not terminated; -1: s is not valid, or size too small. */
int text_utf7_read(const char *s, char *out, size_t size);

/* How many letters to add, leave out, exchange or swap with their neighbour make
 * one word of the other; ASCII letters in either case are the same.  Of words
 * longer than TEXT_WORD_MAX only so many letters (of UTF-8) count. */
#define TEXT_WORD_MAX 255
size_t text_distance(const char *s, size_t s_len, const char *t, size_t t_len);
/* More than this is another word, not a misspelled one of that length. */
#define TEXT_TYPOS_MAX(len) ((len) / 3 + 1)
/* Whether the distance to known is less than *best_r, which it then becomes; at
 * first that is TEXT_TYPOS_MAX(len) + 1. */
bool text_is_nearer(
    const char *word, size_t len, const char *known, size_t *best_r);

#endif
