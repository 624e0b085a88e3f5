/* store/scan.c - reads a line just as reg_write() puts it, which nearly all of a
 * file's are, without tokens and several times faster.  What differs in any way,
 * if only by a blank or an escape, is left to the JSON parser. */
#include "store/int.h"

#include <endian.h>
#include <string.h>

#include "text.h"

#define TIME_DIGITS 11 /* more than a reg can hold */

struct scan {
	const char *p, *end;
	char *out;
};

static bool skip(struct scan *s, const char *words, size_t n)
{
	if ((size_t)(s->end - s->p) < n || memcmp(s->p, words, n) != 0)
		return false;
	s->p += n;
	return true;
}

#define SKIP(s, words) skip(s, words, sizeof(words) - 1)

/* The same byte in all places of a word: as many are looked at at once. */
#define EACH(byte) ((size_t)-1 / 0xff * (byte))

/* The first byte lowest.  False if there are too few: no string of a whole line
 * ends so near to the end. */
static bool peek(const struct scan *s, const char *p, size_t *w_r)
{
	size_t w;

	if ((size_t)(s->end - p) < sizeof(w))
		return false;
	memcpy(&w, p, sizeof(w));
	*w_r = sizeof(w) == 8 ? le64toh(w) : le32toh((uint32_t)w);
	return true;
}

/* Marks those bytes that do not stand for themselves in JSON and in a name, by
 * arithmetic on all at once; beyond ASCII it remains to be seen.  What one borrows
 * from or carries to the byte above may mark that one too: only the lowest mark
 * counts. */
static size_t not_plain(size_t w)
{
	size_t quote = w ^ EACH('"'), slash = w ^ EACH('\\');

	return ((w - EACH(0x20)) | (w + EACH(1)) | (quote - EACH(1)) |
		   (slash - EACH(1))) &
	       ~w & EACH(0x80);
}

/* What stands before the next quote, and goes on behind that.  Returns its
 * length, 0 if it is empty, too long, no text or not to be had so. */
static size_t take_string(struct scan *s, size_t max, bool ascii)
{
	size_t w, stop, seen = 0, n = 0;

	do {
		if (n > max || !peek(s, s->p + n, &w))
			return 0;
		stop = not_plain(w);
		seen |= w;
		memcpy(s->out + n, s->p + n, sizeof(w));
		n += sizeof(w);
	} while (stop == 0);
	n = n - sizeof(w) + (size_t)__builtin_ctzl(stop) / 8;
	if (n > max || s->p[n] != '"')
		return 0;
	s->out[n] = '\0';
	/* Or what follows it in its last word is not: no harm. */
	if ((seen & EACH(0x80)) != 0 && (ascii || !reg_text_ok(s->out, max)))
		return 0;
	s->out += n + 1;
	s->p += n + 1;
	return n;
}

/* Makes lower-case hex digits their values; false if they are not that. */
static bool hex_word(size_t *w)
{
	size_t v = (*w & EACH(0x0f)) + (*w >> 6 & EACH(1)) * 9;
	size_t letter = (v + EACH(6)) >> 4 & EACH(1);
	bool ok = (v & EACH(0xf0)) == 0 &&
		  v + EACH('0') + letter * ('a' - '9' - 1) == *w;

	*w = v;
	return ok;
}

/* As take_string(), but packs the digits, two a byte. */
static size_t take_token(struct scan *s)
{
	size_t n = 0, rest = 0, w, i;

	for (;;) {
		if (n > REG_TOKEN_MAX || !peek(s, s->p + n, &w))
			return 0;
		if (!hex_word(&w))
			break;
		w = w << 4 | w >> 8;
		for (i = 0; i < sizeof(w); i += 2, n += 2, w >>= 16)
			s->out[n / 2] = (char)w;
	}
	while (rest < sizeof(w) - 1 && text_hex_digit(s->p[n + rest]) >= 0)
		rest++;
	text_hex_read(s->p + n, rest, s->out + n / 2);
	n += rest;
	if (n < REG_TOKEN_MIN || n > REG_TOKEN_MAX || s->p[n] != '"')
		return 0;
	s->out += reg_token_len(n);
	s->p += n + 1;
	return n;
}

static bool take_mailboxes(struct scan *s, struct entry *e)
{
	const char *from = s->out;
	size_t n = 0;

	do {
		if (n++ == REG_MAILBOXES_MAX || s->out - from > REG_NAMES_MAX ||
		    !SKIP(s, "\"") ||
		    take_string(s, REG_MAILBOX_MAX, false) == 0)
			return false;
	} while (SKIP(s, ","));
	e->n_mailboxes = n;
	e->mailboxes_len = (size_t)(s->out - from);
	return e->mailboxes_len <= REG_NAMES_MAX;
}

static bool take_time(struct scan *s, int64_t *time_r)
{
	const char *from = s->p;
	int64_t v = 0;

	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
		if (s->p - from == TIME_DIGITS)
			return false;
		v = v * 10 + (*s->p - '0');
	}
	*time_r = v;
	return s->p > from && (*from != '0' || s->p == from + 1);
}

/* That field is there in few lines. */
static bool take_topic(struct scan *s, struct store *store, size_t *topic_r)
{
	const char *name = s->out;

	*topic_r = 0;
	if (!SKIP(s, ",\"topic\":\""))
		return true;
	if (take_string(s, REG_TOPIC_MAX, false) == 0)
		return false;
	*topic_r = store_topic(store, name);
	return true;
}

size_t record_scan(
    struct store *store, struct scanned *sc, const char *line, size_t len)
{
	struct scan s = { line, line + len, sc->tail };
	struct entry *e = &sc->entry;

	if (!SKIP(&s, "{\"user\":\""))
		return 0;
	e->user_len = take_string(&s, REG_USER_MAX, false);
	if (e->user_len == 0 || !SKIP(&s, ",\"account\":\""))
		return 0;
	e->tail = sc->tail;
	store_hash_user(store, e);
	e->account_len = take_string(&s, REG_ACCOUNT_MAX, true);
	if (e->account_len == 0 || !SKIP(&s, ",\"token\":\""))
		return 0;
	e->digits = take_token(&s);
	store_prefetch(store, e);
	e->key_len = (size_t)(s.out - sc->tail);
	if (e->digits == 0 || !SKIP(&s, ",\"mailboxes\":[") ||
	    !take_mailboxes(&s, e))
		return 0;
	e->acked = SKIP(&s, "],\"acked\":true");
	if (!e->acked && !SKIP(&s, "],\"acked\":false"))
		return 0;
	if (!take_topic(&s, store, &e->topic) || !SKIP(&s, ",\"time\":") ||
	    !take_time(&s, &e->time_s) || !SKIP(&s, "}\n"))
		return 0;
	return (size_t)(s.p - line);
}

/* --- the beginning of a line --- */

/* A string with its quotes; true also if the end comes within. */
static bool pass_string(struct scan *s)
{
	bool escaped = false;

	if (s->p == s->end)
		return true;
	if (*s->p++ != '"')
		return false;
	for (; s->p < s->end; s->p++) {
		if ((unsigned char)*s->p < 0x20)
			return false;
		if (escaped)
			escaped = false;
		else if (*s->p == '\\')
			escaped = true;
		else if (*s->p == '"') {
			s->p++;
			break;
		}
	}
	return true;
}

/* As much of the word as there is. */
static bool pass(struct scan *s, const char *word)
{
	size_t n = strlen(word), left = (size_t)(s->end - s->p);

	return skip(s, word, n < left ? n : left);
}

bool record_is_torn(const char *line, size_t len)
{
	struct scan s = { line, line + len, NULL };

	if (!pass(&s, "{\"user\":") || !pass_string(&s) ||
	    !pass(&s, ",\"account\":") || !pass_string(&s) ||
	    !pass(&s, ",\"token\":") || !pass_string(&s))
		return false;
	if (s.p < s.end && !pass(&s, ",\"gone\":true}") &&
	    !pass(&s, ",\"mailboxes\":["))
		return false;
	for (; s.p < s.end; s.p++)
		if ((unsigned char)*s.p < 0x20)
			return false;
	return true;
}
