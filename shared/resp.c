/* shared/resp.c - RESP, the protocol of Valkey and Redis. */
#include "shared/resp.h"

#include <string.h>

#include "buf.h"

/* The first byte of an item. */
#define SCALARS "+-:#_,("
#define STRINGS "$=!"
#define ARRAYS "*~%>|"
#define STREAMS ";."

static ssize_t fail(struct resp *r, const char *reason)
{
	r->reason = reason;
	return -1;
}

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* An integer of -2^63 + 1 to 2^63 - 1; false if it is none. */
static bool read_int(const char *p, size_t len, int64_t *n_r)
{
	bool negative = len > 0 && *p == '-';
	size_t i = negative || (len > 0 && *p == '+');
	int64_t n = 0;

	if (i == len)
		return false;
	for (; i < len; i++) {
		if (p[i] < '0' || p[i] > '9' ||
		    n > (INT64_MAX - (p[i] - '0')) / 10)
			return false;
		n = n * 10 + (p[i] - '0');
	}
	*n_r = negative ? -n : n;
	return true;
}

/* The length of the first line without its CR LF: RESP_MORE + 1 at least, as its
 * first byte is the type. */
static ssize_t read_line(struct resp *r, const char *p, size_t len)
{
	size_t max = len < RESP_LINE_MAX ? len : RESP_LINE_MAX;
	const char *lf = memchr(p, '\n', max);

	if (lf == NULL)
		return max < RESP_LINE_MAX ? RESP_MORE
					   : fail(r, "a line is too long");
	if (lf - p < 2 || lf[-1] != '\r' ||
	    memchr(p, '\r', (size_t)(lf - p) - 1) != NULL)
		return fail(r, "a line is empty or does not end with CR LF");
	return lf - 1 - p;
}

/* The value that is complete may complete the arrays that it is in.  True if the
 * reply is complete. */
static bool finish_value(struct resp *r)
{
	unsigned bit;

	while (r->depth > 0) {
		if (--r->left[r->depth - 1] > 0)
			return false;
		bit = 1u << --r->depth;
		if (r->attributes & bit) { /* it goes before its value */
			r->attributes &= ~bit;
			return false;
		}
	}
	r->items = 0;
	return true;
}

/* --- the kinds of items; line is what follows the type --- */

static ssize_t read_array(
    struct resp *r, char type, ssize_t used, struct resp_item *it)
{
	uint32_t each = type == '%' || type == '|' ? 2 : 1;

	if (type == '*' && it->n == -1) {
		it->type = RESP_NULL;
		it->last = finish_value(r);
		return used;
	}
	if (it->n < 0 || it->n > (RESP_ITEMS_MAX - r->items) / each)
		return fail(r, "an array is too long");
	if (type == '>' && r->depth > 0)
		return fail(r, "a push message within a reply");
	if (r->depth == RESP_DEPTH_MAX)
		return fail(r, "too many arrays in arrays");
	it->type = type == '|'	 ? RESP_SKIP
		   : type == '%' ? RESP_MAP
		   : type == '>' ? RESP_PUSH
				 : RESP_ARRAY;
	it->n *= each;
	r->items += (uint32_t)it->n;
	if (it->n > 0) {
		if (type == '|')
			r->attributes |= 1u << r->depth;
		r->left[r->depth++] = (uint32_t)it->n;
	} else if (type != '|') {
		it->last = finish_value(r);
	}
	return used;
}

/* $ string, = string with a prefix of four bytes, ! error */
static ssize_t read_string(struct resp *r, const char *p, size_t len,
    size_t used, struct resp_item *it)
{
	size_t n = (size_t)it->n;

	it->type = *p == '!' ? RESP_ERROR : RESP_STRING;
	if (*p == '$' && it->n == -1) {
		it->type = RESP_NULL;
		it->last = finish_value(r);
		return (ssize_t)used;
	}
	if (it->n < 0 || n > RESP_STRING_MAX)
		return fail(r, "a string is too long");
	if (len - used < n + 2)
		return RESP_MORE;
	it->text = p + used;
	it->len = n;
	if (it->text[n] != '\r' || it->text[n + 1] != '\n')
		return fail(r, "a string does not end with CR LF");
	if (*p == '=') {
		if (n < 4 || it->text[3] != ':')
			return fail(r, "a string without its format");
		it->text += 4;
		it->len -= 4;
	}
	it->last = finish_value(r);
	return (ssize_t)(used + n + 2);
}

/* What is one line. */
static ssize_t read_scalar(
    struct resp *r, char type, ssize_t used, struct resp_item *it)
{
	bool ok = true;

	switch (type) {
	case '+':
		it->type = RESP_STRING;
		break;
	case '-':
		it->type = RESP_ERROR;
		break;
	case ':':
		it->type = RESP_INT;
		ok = read_int(it->text, it->len, &it->n);
		break;
	case '#':
		it->type = RESP_INT;
		it->n = it->len == 1 && *it->text == 't';
		ok = it->n || (it->len == 1 && *it->text == 'f');
		break;
	case '_':
		it->type = RESP_NULL;
		ok = it->len == 0;
		break;
	default: /* , ( */
		it->type = RESP_NUMBER;
		ok = it->len > 0;
		break;
	}
	if (!ok)
		return fail(r, "a malformed value");
	it->last = finish_value(r);
	return used;
}

ssize_t resp_read(
    struct resp *r, const char *p, size_t len, struct resp_item *it)
{
	bool skip = r->attributes != 0;
	ssize_t n, used;

	if (len == 0)
		return RESP_MORE;
	/* Said at once: what comes may never have a line's end. */
	if (!is_one_of(*p, SCALARS STRINGS ARRAYS STREAMS))
		return fail(r, "not the protocol of Valkey or Redis");
	n = read_line(r, p, len);
	if (n <= 0)
		return n;
	used = n + 2;
	*it = (struct resp_item){
		.depth = r->depth, .text = p + 1, .len = (size_t)n - 1
	};
	if (is_one_of(*p, SCALARS))
		used = read_scalar(r, *p, used, it);
	else if (is_one_of(*p, STREAMS) || (it->len == 1 && *it->text == '?'))
		return fail(r, "a streamed value, which no server should send");
	else if (!read_int(it->text, it->len, &it->n))
		return fail(r, "a malformed length");
	else if (is_one_of(*p, STRINGS))
		used = read_string(r, p, len, (size_t)used, it);
	else
		used = read_array(r, *p, used, it);
	if (skip && used > 0)
		it->type = RESP_SKIP;
	return used;
}

void resp_write_array(struct buf *b, size_t n)
{
	buf_add_fmt(b, "*%zu\r\n", n);
}

void resp_write_string(struct buf *b, const char *s, size_t len)
{
	buf_add_fmt(b, "$%zu\r\n", len);
	buf_add(b, s, len);
	buf_add(b, "\r\n", 2);
}
