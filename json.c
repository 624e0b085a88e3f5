/* json.c - JSON (RFC 8259): a strict parser and a writer of strings.
 *
 * The parser is a loop over one state, `want`.  Its stack is in the tokens: the
 * `next` of an open container is the index of its parent.  Without tokens it is
 * a bitmap of fixed depth. */
#include "json.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "mem.h"
#include "text.h"

/* Depth of a text that is checked without tokens; one bit for each level. */
#define DEPTH_MAX 1024

/* So that every count fits into the 28 bits of json_tok.size (the shortest
 * element is "1,") and into an int. */
#define TEXT_MAX ((size_t)1 << 29)

#define NO_PARENT UINT32_MAX

enum want {
	WANT_VALUE,
	WANT_VALUE_OR_END,
	WANT_KEY,
	WANT_KEY_OR_END,
	WANT_COLON,
	WANT_MORE_ELEMENTS,
	WANT_MORE_MEMBERS,
	WANT_NOTHING,
};

/* By enum want. */
static const char want_reasons[] = "expected a value\0"
				   "expected a value or ']'\0"
				   "expected a key in double quotes\0"
				   "expected a key in double quotes or '}'\0"
				   "expected ':'\0"
				   "expected ',' or ']'\0"
				   "expected ',' or '}'\0"
				   "something follows the value\0";

struct parser {
	const unsigned char *s;
	size_t len, pos;
	struct json_tok *toks;
	size_t max_toks;
	uint32_t n;
	uint32_t parent; /* with tokens: the innermost open container */
	uint32_t depth;
	enum want want;
	const char *reason;
	bool too_many;
	uint8_t is_object[DEPTH_MAX / 8]; /* without tokens */
};

static bool fail(struct parser *p, const char *reason)
{
	p->reason = reason;
	return false;
}

static bool fail_unexpected(struct parser *p)
{
	return fail(p, text_nth(want_reasons, p->want));
}

static bool at_end(const struct parser *p)
{
	return p->pos == p->len;
}

static bool is_digit(const struct parser *p)
{
	return !at_end(p) && p->s[p->pos] >= '0' && p->s[p->pos] <= '9';
}

static bool fail_here(struct parser *p, const char *reason)
{
	return fail(p, at_end(p) ? "the text ends too early" : reason);
}

/* Adds a token, whose end is set later. */
static bool add_token(struct parser *p, enum json_type type, size_t start)
{
	struct json_tok *t;

	if (p->toks != NULL) {
		if (p->n == p->max_toks) {
			p->too_many = true;
			return fail(p, "too many values");
		}
		t = &p->toks[p->n];
		t->start = (uint32_t)start;
		t->end = (uint32_t)start;
		t->next = p->n + 1;
		t->size = 0;
		t->type = type;
	}
	p->n++;
	return true;
}

static void end_token(struct parser *p, uint32_t i, size_t end)
{
	if (p->toks != NULL)
		p->toks[i].end = (uint32_t)end;
}

static bool in_object(const struct parser *p)
{
	uint32_t d = p->depth - 1;

	if (p->toks != NULL)
		return p->toks[p->parent].type == JSON_OBJECT;
	return p->is_object[d / 8] >> (d % 8) & 1;
}

static void after_value(struct parser *p)
{
	if (p->depth == 0)
		p->want = WANT_NOTHING;
	else
		p->want = in_object(p) ? WANT_MORE_MEMBERS : WANT_MORE_ELEMENTS;
}

static bool open_container(struct parser *p, enum json_type type)
{
	uint32_t i = p->n;
	unsigned bit = 1u << (p->depth % 8);

	if (p->toks == NULL && p->depth == DEPTH_MAX)
		return fail(p, "nested deeper than 1024 levels");
	if (!add_token(p, type, p->pos))
		return false;
	if (p->toks != NULL) {
		p->toks[i].next = p->parent;
		p->parent = i;
	} else if (type == JSON_OBJECT) {
		p->is_object[p->depth / 8] |= (uint8_t)bit;
	} else {
		p->is_object[p->depth / 8] &= (uint8_t)~bit;
	}
	p->depth++;
	p->pos++;
	p->want = type == JSON_OBJECT ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
	return true;
}

static bool close_container(struct parser *p)
{
	struct json_tok *t;

	p->pos++;
	if (p->toks != NULL) {
		t = &p->toks[p->parent];
		p->parent = t->next;
		t->next = p->n;
		t->end = (uint32_t)p->pos;
	}
	p->depth--;
	after_value(p);
	return true;
}

/* The rest of an escape, after the backslash. */
static bool parse_escape(struct parser *p)
{
	int i;

	if (at_end(p) || p->s[p->pos] == '\0' ||
	    strchr("\"\\/bfnrtu", p->s[p->pos]) == NULL)
		return fail_here(p, "unknown escape");
	if (p->s[p->pos++] != 'u')
		return true;
	for (i = 0; i < 4; i++, p->pos++)
		if (at_end(p) || text_hex_digit((char)p->s[p->pos]) < 0)
			return fail_here(p, "\\u needs four hex digits");
	return true;
}

/* The first byte that is not plain printable ASCII, or the end. */
static const unsigned char *skip_plain(
    const unsigned char *s, const unsigned char *end)
{
	while (s < end && *s >= 0x20 && *s < 0x7f && *s != '"' && *s != '\\')
		s++;
	return s;
}

static bool parse_string(struct parser *p)
{
	uint32_t i = p->n;
	unsigned char c;
	size_t n;

	if (!add_token(p, JSON_STRING, ++p->pos))
		return false;
	for (;;) {
		p->pos =
		    (size_t)(skip_plain(p->s + p->pos, p->s + p->len) - p->s);
		if (at_end(p))
			return fail_here(p, "");
		c = p->s[p->pos];
		if (c == '"')
			break;
		if (c == '\\') {
			p->pos++;
			if (!parse_escape(p))
				return false;
		} else if (c < 0x20) {
			return fail(p, "control character in a string");
		} else {
			n = text_utf8_char(p->s + p->pos, p->len - p->pos);
			if (n == 0)
				return fail(p, "not UTF-8");
			p->pos += n;
		}
	}
	end_token(p, i, p->pos++);
	return true;
}

static bool parse_digits(struct parser *p)
{
	if (!is_digit(p))
		return fail_here(p, "expected a digit");
	while (is_digit(p))
		p->pos++;
	return true;
}

static bool parse_number(struct parser *p)
{
	uint32_t i = p->n;

	if (!add_token(p, JSON_NUMBER, p->pos))
		return false;
	if (p->s[p->pos] == '-')
		p->pos++;
	if (!at_end(p) && p->s[p->pos] == '0') {
		p->pos++;
		if (is_digit(p))
			return fail(p, "a number must not begin with 0");
	} else if (!parse_digits(p)) {
		return false;
	}
	if (!at_end(p) && p->s[p->pos] == '.') {
		p->pos++;
		if (!parse_digits(p))
			return false;
	}
	if (!at_end(p) && (p->s[p->pos] | 0x20) == 'e') {
		p->pos++;
		if (!at_end(p) && (p->s[p->pos] == '+' || p->s[p->pos] == '-'))
			p->pos++;
		if (!parse_digits(p))
			return false;
	}
	end_token(p, i, p->pos);
	after_value(p);
	return true;
}

static bool parse_word(struct parser *p, enum json_type type, const char *w)
{
	uint32_t i = p->n;

	if (!add_token(p, type, p->pos))
		return false;
	for (; *w != '\0'; w++, p->pos++)
		if (at_end(p) || p->s[p->pos] != (unsigned char)*w)
			return fail_here(p, "expected true, false or null");
	end_token(p, i, p->pos);
	after_value(p);
	return true;
}

static bool parse_value(struct parser *p)
{
	if (p->want == WANT_VALUE_OR_END && p->s[p->pos] == ']')
		return close_container(p);
	if (p->toks != NULL && p->depth > 0 && !in_object(p))
		p->toks[p->parent].size++;
	switch (p->s[p->pos]) {
	case '{':
		return open_container(p, JSON_OBJECT);
	case '[':
		return open_container(p, JSON_ARRAY);
	case '"':
		if (!parse_string(p))
			return false;
		after_value(p);
		return true;
	case 't':
		return parse_word(p, JSON_TRUE, "true");
	case 'f':
		return parse_word(p, JSON_FALSE, "false");
	case 'n':
		return parse_word(p, JSON_NULL, "null");
	default:
		if (p->s[p->pos] == '-' || is_digit(p))
			return parse_number(p);
		return fail_unexpected(p);
	}
}

static bool parse_key(struct parser *p)
{
	if (p->want == WANT_KEY_OR_END && p->s[p->pos] == '}')
		return close_container(p);
	if (p->s[p->pos] != '"')
		return fail_unexpected(p);
	if (p->toks != NULL)
		p->toks[p->parent].size++;
	if (!parse_string(p))
		return false;
	p->want = WANT_COLON;
	return true;
}

/* Expects a separator, then `next`; or, unless NUL, the container's end. */
static bool parse_separator(
    struct parser *p, unsigned char sep, enum want next, unsigned char end)
{
	if (p->s[p->pos] == sep) {
		p->pos++;
		p->want = next;
		return true;
	}
	if (end != '\0' && p->s[p->pos] == end)
		return close_container(p);
	return fail_unexpected(p);
}

static bool parse_next(struct parser *p)
{
	switch (p->want) {
	case WANT_VALUE:
	case WANT_VALUE_OR_END:
		return parse_value(p);
	case WANT_KEY:
	case WANT_KEY_OR_END:
		return parse_key(p);
	case WANT_COLON:
		return parse_separator(p, ':', WANT_VALUE, '\0');
	case WANT_MORE_ELEMENTS:
		return parse_separator(p, ',', WANT_VALUE, ']');
	case WANT_MORE_MEMBERS:
		return parse_separator(p, ',', WANT_KEY, '}');
	case WANT_NOTHING:
		break;
	}
	return fail_unexpected(p);
}

static bool parse_text(struct parser *p)
{
	if (p->len >= TEXT_MAX)
		return fail(p, "the text is 512 MiB or larger");
	if (p->len >= 3 && memcmp(p->s, "\xef\xbb\xbf", 3) == 0)
		return fail(p, "begins with a byte order mark");
	for (;;) {
		while (!at_end(p) &&
		       (p->s[p->pos] == ' ' || p->s[p->pos] == '\n' ||
			   p->s[p->pos] == '\r' || p->s[p->pos] == '\t'))
			p->pos++;
		if (at_end(p))
			return p->want == WANT_NOTHING ? true
						       : fail_here(p, "");
		if (!parse_next(p))
			return false;
	}
}

/* Finds line and column of the error. */
static void set_error(const struct parser *p, struct json_err *err_r)
{
	size_t i;

	err_r->reason = p->reason;
	err_r->too_many = p->too_many;
	err_r->line = 1;
	err_r->column = 1;
	for (i = 0; i < p->pos; i++) {
		err_r->column++;
		if (p->s[i] == '\n') {
			err_r->line++;
			err_r->column = 1;
		}
	}
}

int json_parse(const char *text, size_t len, struct json_tok *toks,
    size_t max_toks, struct json_err *err_r)
{
	struct parser p;

	/* Not by an initialiser, which would clear the bitmap for nothing. */
	p.s = (const unsigned char *)text;
	p.len = len;
	p.pos = 0;
	p.toks = toks;
	p.max_toks = max_toks;
	p.n = 0;
	p.parent = NO_PARENT;
	p.depth = 0;
	p.want = WANT_VALUE;
	p.reason = NULL;
	p.too_many = false;
	if (parse_text(&p))
		return (int)p.n;
	set_error(&p, err_r);
	return -1;
}

/* --- reading tokens --- */

static uint32_t hex4(const char *s)
{
	uint32_t v = 0;
	int i;

	for (i = 0; i < 4; i++)
		v = v << 4 | (uint32_t)text_hex_digit(s[i]);
	return v;
}

/* Decodes the \u escape at *s, with both halves of a surrogate pair.  Returns
 * the length, or 0 if a half is missing. */
static size_t decode_u(const char **s, const char *end, char out[TEXT_UTF8_MAX])
{
	uint32_t c = hex4(*s + 2), low;

	*s += 6;
	if (c >= 0xdc00 && c <= 0xdfff)
		return 0;
	if (c >= 0xd800 && c <= 0xdbff) {
		if (end - *s < 6 || (*s)[0] != '\\' || (*s)[1] != 'u')
			return 0;
		low = hex4(*s + 2);
		if (low < 0xdc00 || low > 0xdfff)
			return 0;
		*s += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	return text_utf8_put(c, out);
}

/* Decodes the byte or escape at *s, which the parser has checked.  Returns the
 * length, or 0 if a C string cannot contain it. */
static size_t decode_one(
    const char **s, const char *end, char out[TEXT_UTF8_MAX])
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *e;
	size_t n = 1;

	if (**s != '\\') {
		out[0] = *(*s)++;
		return 1;
	}
	if ((*s)[1] == 'u') {
		n = decode_u(s, end, out);
		return n > 0 && out[0] != '\0' ? n : 0;
	}
	e = strchr(from, (*s)[1]);
	out[0] = e != NULL ? to[e - from] : (*s)[1];
	*s += 2;
	return n;
}

/* The number of bytes before the next escape. */
static size_t plain_run(const char *s, const char *end)
{
	const char *p = memchr(s, '\\', (size_t)(end - s));

	return (size_t)((p != NULL ? p : end) - s);
}

int json_string(
    const struct json *j, const struct json_tok *t, char *out, size_t out_size)
{
	const char *s, *end;
	char c[TEXT_UTF8_MAX];
	size_t len = 0, n;

	if (t == NULL || t->type != JSON_STRING)
		return -1;
	s = j->text + t->start;
	end = j->text + t->end;
	for (;;) {
		n = plain_run(s, end);
		if (n >= out_size - len)
			return -1;
		memcpy(out + len, s, n);
		len += n;
		s += n;
		if (s == end)
			break;
		n = decode_one(&s, end, c);
		if (n == 0 || n >= out_size - len)
			return -1;
		memcpy(out + len, c, n);
		len += n;
	}
	out[len] = '\0';
	return (int)len;
}

bool json_load(const char *text, size_t len, struct json *j_r)
{
	struct json_tok *toks;
	struct json_err err;
	int n = json_parse(text, len, NULL, 0, &err);

	*j_r = (struct json){ text, len, NULL };
	if (n < 0)
		return false;
	toks = xmalloc((size_t)n * sizeof(*toks));
	json_parse(text, len, toks, (size_t)n, &err);
	j_r->toks = toks;
	return true;
}

void json_free(struct json *j)
{
	union {
		const struct json_tok *c;
		void *p;
	} toks = { .c = j->toks };

	free(toks.p);
	j->toks = NULL;
}

/* Compares a key that contains escapes with k. */
static bool escaped_key_is(const char *s, const char *end, const char *k)
{
	char c[TEXT_UTF8_MAX];
	size_t n;

	while (s < end) {
		n = decode_one(&s, end, c);
		/* It stops at k's NUL: no decoded byte equals that. */
		if (n == 0 || strncasecmp(k, c, n) != 0)
			return false;
		k += n;
	}
	return *k == '\0';
}

const struct json_tok *json_get(
    const struct json *j, const struct json_tok *obj, const char *k)
{
	const struct json_tok *t, *found = NULL;
	size_t len = strlen(k), raw;
	uint32_t left;
	const char *s;

	if (obj == NULL || obj->type != JSON_OBJECT)
		return NULL;
	t = obj + 1;
	for (left = obj->size; left > 0; left--, t = j->toks + t[1].next) {
		s = j->text + t->start;
		raw = t->end - t->start;
		/* An escape is longer than its character. */
		if (raw == len ? strncasecmp(s, k, len) == 0
			       : raw > len && memchr(s, '\\', raw) != NULL &&
				     escaped_key_is(s, s + raw, k))
			found = t + 1;
	}
	return found;
}

bool json_int(const struct json *j, const struct json_tok *t, int64_t *v_r)
{
	const char *s, *end;
	bool negative;
	int64_t v = 0;
	int d;

	if (t == NULL || t->type != JSON_NUMBER)
		return false;
	s = j->text + t->start;
	end = j->text + t->end;
	negative = *s == '-';
	if (negative)
		s++;
	/* Negative all along, since -INT64_MIN does not fit. */
	for (; s < end; s++) {
		d = *s - '0';
		if (d < 0 || d > 9 || v < (INT64_MIN + d) / 10)
			return false;
		v = v * 10 - d;
	}
	if (!negative && v == INT64_MIN)
		return false;
	*v_r = negative ? v : -v;
	return true;
}

/* --- writing --- */

/* The escape of an ASCII character, or NULL if it needs none. */
static const char *escape_of(unsigned char c, char out[8])
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *e = c != '\0' ? strchr(from, c) : NULL;

	if (e != NULL) {
		out[0] = '\\';
		out[1] = to[e - from];
		out[2] = '\0';
		return out;
	}
	if (c >= 0x20 && c != 0x7f)
		return NULL;
	memcpy(out, "\\u00", 4);
	text_hex_write(&c, 1, out + 4);
	out[6] = '\0';
	return out;
}

bool json_write_strn(struct buf *b, const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s, *end = u + n;
	const unsigned char *from = u;
	const char *e;
	size_t len;
	char esc[8];

	buf_add_byte(b, '"');
	while ((u = skip_plain(u, end)) < end) {
		len = text_utf8_char(u, (size_t)(end - u));
		e = len == 0   ? "\xef\xbf\xbd"
		    : len == 1 ? escape_of(*u, esc)
			       : NULL;
		if (e != NULL) {
			buf_add(b, from, (size_t)(u - from));
			buf_add_str(b, e);
			from = u + 1;
		}
		u += len ? len : 1;
	}
	buf_add(b, from, (size_t)(end - from));
	buf_add_byte(b, '"');
	return !b->failed;
}

bool json_write_str(struct buf *b, const char *s)
{
	return json_write_strn(b, s, strlen(s));
}

void json_add(struct buf *b, const char *key)
{
	unsigned char last = b->len > 0 ? buf_head(b)[b->len - 1] : '{';

	if (last != '{' && last != '[')
		buf_add_byte(b, ',');
	if (key == NULL)
		return;
	buf_add_byte(b, '"');
	buf_add_str(b, key);
	buf_add_str(b, "\":");
}

void json_open(struct buf *b, const char *key, char bracket)
{
	json_add(b, key);
	buf_add_byte(b, (unsigned char)bracket);
}

void json_add_str(struct buf *b, const char *key, const char *value)
{
	json_add(b, key);
	json_write_str(b, value);
}

void json_add_num(struct buf *b, const char *key, int64_t value)
{
	json_add(b, key);
	buf_add_fmt(b, "%lld", (long long)value);
}

void json_add_bool(struct buf *b, const char *key, bool value)
{
	json_add(b, key);
	buf_add_str(b, value ? "true" : "false");
}
