/* store_scan.c - reads a line just as reg_write() puts it, which nearly all of a
 * file's are, without tokens and several times faster.  What differs in any way,
 * if only by a blank or an escape, is left to the JSON parser. */
#include "store_int.h"

#include <string.h>

#define TIME_DIGITS 11 /* more than a reg can hold */

struct scan {
	const char *p, *end;
	bool beyond_ascii; /* in a string */
};

static bool skip(struct scan *s, const char *words, size_t n)
{
	if ((size_t)(s->end - s->p) < n || memcmp(s->p, words, n) != 0)
		return false;
	s->p += n;
	return true;
}

#define SKIP(s, words) skip(s, words, sizeof(words) - 1)

/* Stands for itself in JSON and in a name; beyond ASCII it remains to be seen. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* True if all of eight bytes are plain, by arithmetic on all at once: what
 * borrows into the next byte was no plain byte. */
static bool are_plain(uint64_t w)
{
	uint64_t quote = w ^ EACH('"'), slash = w ^ EACH('\\');
	uint64_t del = w ^ EACH(0x7f);

	w = (w - EACH(0x20)) & ~w;
	w |= (quote - EACH(1)) & ~quote;
	w |= (slash - EACH(1)) & ~slash;
	w |= (del - EACH(1)) & ~del;
	return (w & EACH(0x80)) == 0;
}

/* What stands before the next quote, and goes on behind that.  Returns its
 * length, 0 if it is empty or not to be had so. */
static size_t take_string(struct scan *s, char *out, size_t size)
{
	const char *p = s->p;
	size_t max = (size_t)(s->end - p), n = 0;
	uint64_t w, seen = 0;

	if (max > size)
		max = size;
	for (; max - n >= sizeof(w); n += sizeof(w)) {
		memcpy(&w, p + n, sizeof(w));
		if (!are_plain(w))
			break;
		memcpy(out + n, &w, sizeof(w));
		seen |= w;
	}
	for (; n < max && is_plain((unsigned char)p[n]); n++) {
		out[n] = p[n];
		seen |= (unsigned char)p[n];
	}
	if (n == max || p[n] != '"')
		return 0;
	out[n] = '\0';
	s->beyond_ascii |= (seen & EACH(0x80)) != 0;
	s->p = p + n + 1;
	return n;
}

static bool take_mailboxes(struct scan *s, struct record *rec)
{
	char *p = rec->text;
	size_t n = 0, len;

	do {
		if (n == REG_MAILBOXES_MAX || !SKIP(s, "\""))
			return false;
		len = take_string(s, p, REG_MAILBOX_MAX + 1);
		if (len == 0)
			return false;
		rec->mailboxes[n++] = p;
		p += len + 1;
	} while (SKIP(s, ","));
	rec->spec.mailboxes = rec->mailboxes;
	rec->spec.n_mailboxes = n;
	return true;
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

size_t record_scan(struct record *rec, const char *line, size_t len)
{
	struct scan s = { line, line + len, false };
	size_t digits;

	rec->spec = (struct reg_spec){
		.user = rec->user, .account = rec->account, .token = rec->token
	};
	rec->gone = false;
	rec->suspended = false;
	if (!SKIP(&s, "{\"user\":\"") ||
	    take_string(&s, rec->user, sizeof(rec->user)) == 0 ||
	    !SKIP(&s, ",\"account\":\"") ||
	    take_string(&s, rec->account, sizeof(rec->account)) == 0 ||
	    !SKIP(&s, ",\"token\":\""))
		return 0;
	digits = take_string(&s, rec->token, sizeof(rec->token));
	if (digits < REG_TOKEN_MIN || !SKIP(&s, ",\"mailboxes\":[") ||
	    !take_mailboxes(&s, rec))
		return 0;
	rec->spec.acked = SKIP(&s, "],\"acked\":true");
	if (!rec->spec.acked && !SKIP(&s, "],\"acked\":false"))
		return 0;
	if (!SKIP(&s, ",\"time\":") || !take_time(&s, &rec->spec.time_s) ||
	    !SKIP(&s, "}\n"))
		return 0;
	/* Printable ASCII can be only of a wrong length, which it is not. */
	if (s.beyond_ascii && reg_spec_check(&rec->spec) != NULL)
		return 0;
	return (size_t)(s.p - line);
}
