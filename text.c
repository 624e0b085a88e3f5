/* text.c - hex digits, Base64, UTF-8, modified UTF-7 and misspelled words. */
#include "text.h"

#include <string.h>

const char *text_next(const char *s)
{
	return s + strlen(s) + 1;
}

const char *text_nth(const char *list, size_t i)
{
	while (i-- > 0)
		list = text_next(list);
	return list;
}

/* --- hex --- */

const unsigned char text_hex_values[256] = {
	/* clang-format off */
	['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
	['A'] = 11, 12, 13, 14, 15, 16,
	['a'] = 11, 12, 13, 14, 15, 16,
	/* clang-format on */
};

bool text_hex_read(const char *digits, size_t n_digits, void *out)
{
	unsigned char *to = out;
	int high, low;
	size_t i;

	for (i = 0; i < n_digits; i += 2) {
		high = text_hex_digit(digits[i]);
		low = i + 1 < n_digits ? text_hex_digit(digits[i + 1]) : 0;
		if ((high | low) < 0)
			return false;
		*to++ = (unsigned char)(high << 4 | low);
	}
	return true;
}

void text_hex_write(const void *data, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = data;

	while (n-- > 0) {
		*out++ = digits[*from >> 4];
		*out++ = digits[*from++ & 15];
	}
}

/* --- ASCII --- */

size_t text_span(const char *s, const char *more)
{
	size_t n = 0;
	char c;

	while ((c = text_lower(s[n])) != '\0' &&
	       ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		   strchr(more, c) != NULL))
		n++;
	return n;
}

int64_t text_number(const char *s, size_t n, int64_t max)
{
	int64_t v = n > 0 ? 0 : -1;

	for (; n > 0 && v >= 0; n--, s++) {
		v = *s >= '0' && *s <= '9' ? v * 10 + (*s - '0') : -1;
		if (v > max)
			v = -1;
	}
	return v;
}

/* --- Base64 --- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char base64_char(unsigned int v, bool url)
{
	v &= 63;
	return url && v >= 62 ? "-_"[v - 62] : base64_digits[v];
}

size_t text_base64_write(const void *data, size_t n, bool url, char *out)
{
	const unsigned char *p = data;
	unsigned int bits = 0;
	size_t i, len = 0;
	int have = 0;

	for (i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		for (have += 8; have >= 6; have -= 6)
			out[len++] = base64_char(bits >> (have - 6), url);
	}
	if (have > 0)
		out[len++] = base64_char(bits << (6 - have), url);
	while (!url && len % 4 != 0)
		out[len++] = '=';
	out[len] = '\0';
	return len;
}

int text_base64_digit(char c)
{
	const char *p = c != '\0' ? strchr(base64_digits, c) : NULL;

	return p != NULL ? (int)(p - base64_digits) : -1;
}

/* A digit of RFC 4648 5 or, unless strict, 4; -1: it is none. */
static int base64_any(char c, bool strict)
{
	if (c == '-' || c == '_')
		return c == '-' ? 62 : 63;
	return strict && (c == '+' || c == '/') ? -1 : text_base64_digit(c);
}

int text_base64_read(
    const char *s, size_t n, bool strict, void *out, size_t size)
{
	unsigned char *p = out;
	unsigned bits = 0;
	size_t i, len = 0, pad = 0;
	int have = 0, v;

	for (; !strict && pad < 2 && n > 0 && (n + pad) % 4 == 0 &&
	       s[n - 1] == '=';
	     pad++)
		n--;
	for (i = 0; i < n; i++) {
		v = base64_any(s[i], strict);
		if (v < 0)
			return -1;
		bits = bits << 6 | (unsigned)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (len == size)
			return -1;
		p[len++] = (unsigned char)(bits >> have);
	}
	/* The last digit's other bits stand for nothing. */
	return have == 6 || (bits & ((1u << have) - 1)) != 0 ? -1 : (int)len;
}

/* --- UTF-8 --- */

/* The length of the valid UTF-8 character at s (RFC 3629 4), 0 if none. */
size_t text_utf8_char(const unsigned char *s, size_t n)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t len, i;

	if (n == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		lo = 0xa0; /* overlong */
	else if (s[0] == 0xed)
		hi = 0x9f; /* surrogates */
	else if (s[0] == 0xf0)
		lo = 0x90; /* overlong */
	else if (s[0] == 0xf4)
		hi = 0x8f; /* above U+10FFFF */
	if (n < len || s[1] < lo || s[1] > hi)
		return 0;
	for (i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool text_utf8_ok(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len;

	for (; n > 0; u += len, n -= len) {
		len = *u < 0x80 ? 1 : text_utf8_char(u, n);
		if (len == 0)
			return false;
	}
	return true;
}

size_t text_utf8_put(uint32_t c, char out[TEXT_UTF8_MAX])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* --- modified UTF-7 (RFC 3501 5.1.3) --- */

struct utf7 {
	char *out;
	size_t len, size;
	uint32_t high; /* the first half of a surrogate pair */
};

/* A comma takes the place of the slash. */
static int utf7_digit(char c)
{
	return c == '/' ? -1 : text_base64_digit(c == ',' ? '/' : c);
}

static bool utf7_add(struct utf7 *u7, uint32_t c)
{
	if (u7->size - u7->len < TEXT_UTF8_MAX)
		return false;
	u7->len += text_utf8_put(c, u7->out + u7->len);
	return true;
}

/* One 16-bit unit of a run.  Printable ASCII must not be encoded. */
static bool utf7_add_unit(struct utf7 *u7, uint32_t u)
{
	bool low = u >= 0xdc00 && u <= 0xdfff;
	uint32_t high = u7->high;

	if (low != (high != 0))
		return false;
	u7->high = 0;
	if (low)
		return utf7_add(
		    u7, 0x10000 + ((high - 0xd800) << 10) + (u - 0xdc00));
	if (u >= 0xd800 && u <= 0xdbff) {
		u7->high = u;
		return true;
	}
	return u >= 0x7f && utf7_add(u7, u);
}

/* The run after '&'; returns what follows its '-', or NULL. */
static const char *utf7_read_run(struct utf7 *u7, const char *s)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;
	int v;

	for (; (v = utf7_digit(*s)) >= 0; s++) {
		bits = (bits << 6 | (uint32_t)v) & 0x3fffff;
		n_bits += 6;
		if (n_bits < 16)
			continue;
		n_bits -= 16;
		if (!utf7_add_unit(u7, bits >> n_bits & 0xffff))
			return NULL;
	}
	/* Padding is less than a digit and zero; a run that could have been
	 * part of this one must have been. */
	if (*s != '-' || u7->high != 0 || n_bits >= 6 ||
	    (bits & ((1u << n_bits) - 1)) != 0 || (s[1] == '&' && s[2] != '-'))
		return NULL;
	return s + 1;
}

int text_utf7_read(const char *s, char *out, size_t size)
{
	struct utf7 u7 = { .out = out, .size = size };

	while (s != NULL && *s != '\0') {
		if (*s < 0x20 || *s > 0x7e)
			return -1;
		if (*s == '&' && s[1] != '-') {
			s = utf7_read_run(&u7, s + 1);
			continue;
		}
		if (!utf7_add(&u7, (unsigned char)*s))
			return -1;
		s += *s == '&' ? 2 : 1;
	}
	return s != NULL ? (int)u7.len : -1;
}

/* --- misspelled words --- */

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static unsigned char min3(unsigned a, unsigned b, unsigned c)
{
	a = a < b ? a : b;
	return (unsigned char)(a < c ? a : c);
}

/* Letters of UTF-8, each as the number that its bytes make. */
static size_t letters(const char *s, size_t len, uint32_t out[TEXT_WORD_MAX])
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (((unsigned char)s[i] & 0xc0) == 0x80 && n > 0)
			out[n - 1] = out[n - 1] << 8 | (unsigned char)s[i];
		else if (n < TEXT_WORD_MAX)
			out[n++] = (unsigned char)lower(s[i]);
		else
			break;
	}
	return n;
}

/* "Optimal string alignment", of which only the last three rows are kept. */
size_t text_distance(const char *s, size_t s_len, const char *t, size_t t_len)
{
	unsigned char rows[3][TEXT_WORD_MAX + 1], *before, *above, *row;
	uint32_t a[TEXT_WORD_MAX], b[TEXT_WORD_MAX];
	size_t i, j, a_len = letters(s, s_len, a), b_len = letters(t, t_len, b);
	bool same;

	for (j = 0; j <= b_len; j++)
		rows[0][j] = (unsigned char)j;
	for (i = 1; i <= a_len; i++) {
		before = rows[(i + 1) % 3];
		above = rows[(i + 2) % 3];
		row = rows[i % 3];
		row[0] = (unsigned char)i;
		for (j = 1; j <= b_len; j++) {
			same = a[i - 1] == b[j - 1];
			row[j] = min3(above[j] + 1U, row[j - 1] + 1U,
			    above[j - 1] + (same ? 0U : 1U));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
				row[j] = (unsigned char)(before[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

bool text_is_nearer(
    const char *word, size_t len, const char *known, size_t *best_r)
{
	size_t d = text_distance(word, len, known, strlen(known));

	if (d >= *best_r)
		return false;
	*best_r = d;
	return true;
}
