/* http/parse.c - heads of HTTP/1 requests and answers, and chunked bodies, without
 * I/O.
 *
 * Strict where leniency would let two readers see different messages (RFC 9112
 * 11.2): no folding, no space before a colon, one length.  The only exception
 * is that of section 2.2: a bare LF ends a line of the head (people type
 * requests into nc), but not one of a chunked body. */
#include "http.h"

#include <string.h>

#include "text.h"

/* Classes of bytes. */
#define TOKEN 1u  /* methods, field names: RFC 9110 5.6.2 */
#define TARGET 2u /* visible, and no '#' */
#define VALUE 4u  /* field values: RFC 9110 5.5 */
#define HOST 8u	  /* RFC 3986 3.2, without user information */

#define ALL (TOKEN | TARGET | VALUE | HOST)
#define NO_HOST (TOKEN | TARGET | VALUE)
#define NO_TOKEN (TARGET | VALUE | HOST)
#define VISIBLE (TARGET | VALUE)

static const unsigned char classes[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['!'] = ALL,
	['"'] = VISIBLE,
	['#'] = TOKEN | VALUE,
	['$' ... '\''] = ALL,
	['(' ... ')'] = NO_TOKEN,
	['*' ... '+'] = ALL,
	[','] = NO_TOKEN,
	['-' ... '.'] = ALL,
	['/'] = VISIBLE,
	['0' ... '9'] = ALL,
	[':' ... ';'] = NO_TOKEN,
	['<'] = VISIBLE,
	['='] = NO_TOKEN,
	['>' ... '@'] = VISIBLE,
	['A' ... 'Z'] = ALL,
	['['] = NO_TOKEN,
	['\\'] = VISIBLE,
	[']'] = NO_TOKEN,
	['^'] = NO_HOST,
	['_'] = ALL,
	['`'] = NO_HOST,
	['a' ... 'z'] = ALL,
	['{'] = VISIBLE,
	['|'] = NO_HOST,
	['}'] = VISIBLE,
	['~'] = ALL,
	[0x80 ... 0xff] = VALUE,
};

static inline bool has_class(char c, unsigned class)
{
	return classes[(unsigned char)c] & class;
}

/* The headers that we use. */
enum known {
	H_HOST,
	H_CONNECTION, /* may come twice */
	H_LENGTH,
	H_ENCODING,
	H_EXPECT,
	H_AUTHORIZATION,
	H_ORIGIN,
	H_FETCH_SITE, /* may, too */
	H_DATE,	      /* may, too */
	/* of answers: */
	H_RETRY_AFTER, /* may, too */
};

#define N_KNOWN (H_RETRY_AFTER + 1)

static const struct {
	char name[18];
	unsigned char len;
} known_headers[] = {
	[H_HOST] = { "host", 4 },
	[H_CONNECTION] = { "connection", 10 },
	[H_LENGTH] = { "content-length", 14 },
	[H_ENCODING] = { "transfer-encoding", 17 },
	[H_EXPECT] = { "expect", 6 },
	[H_AUTHORIZATION] = { "authorization", 13 },
	[H_ORIGIN] = { "origin", 6 },
	[H_FETCH_SITE] = { "sec-fetch-site", 14 },
	[H_DATE] = { "date", 4 },
	[H_RETRY_AFTER] = { "retry-after", 11 },
};

/* The head being read. */
struct scan {
	const char *p, *end;
	struct http_head *h;
	unsigned n_known; /* headers that are looked for */
	unsigned seen;	  /* bits by enum known */
	bool close, keep; /* from the Connection header */
};

static int bad(struct scan *s, int status, const char *reason)
{
	s->h->status = status;
	s->h->reason = reason;
	return PARSE_BAD;
}

static const char *span(struct scan *s, unsigned class)
{
	const char *start = s->p, *p = start, *end = s->end;

	while (p < end && has_class(*p, class))
		p++;
	s->p = p;
	return start;
}

/* Skips CRLF or LF. */
static int line_end(struct scan *s)
{
	if (s->p == s->end)
		return PARSE_MORE;
	if (*s->p == '\r') {
		if (s->p + 1 == s->end)
			return PARSE_MORE;
		s->p++;
	}
	if (*s->p != '\n')
		return bad(s, 400, "control character or bare CR in the head");
	s->p++;
	return 0;
}

static bool same(struct http_str a, const char *lower)
{
	return a.len == strlen(lower) && strncasecmp(a.p, lower, a.len) == 0;
}

/* --- the request line, RFC 9112 3 --- */

static void set_path(struct http_head *h, const char *p, size_t len)
{
	const char *query = memchr(p, '?', len);

	h->path.p = p;
	h->path.len = query ? (size_t)(query - p) : len;
	if (query != NULL) {
		h->query.p = query + 1;
		h->query.len = len - h->path.len - 1;
	}
	if (h->path.len == 0) { /* http://host, http://host?x */
		h->path.p = "/";
		h->path.len = 1;
	}
}

static int parse_target(struct scan *s, struct http_str t)
{
	size_t scheme = 0, i;

	if (t.p[0] == '/') {
		set_path(s->h, t.p, t.len);
		return 0;
	}
	if (t.len > 7 && strncasecmp(t.p, "http://", 7) == 0)
		scheme = 7;
	else if (t.len > 8 && strncasecmp(t.p, "https://", 8) == 0)
		scheme = 8;
	if (scheme > 0) {
		for (i = scheme; i < t.len && has_class(t.p[i], HOST); i++)
			;
		if (i > scheme &&
		    (i == t.len || t.p[i] == '/' || t.p[i] == '?')) {
			s->h->host.p = t.p + scheme;
			s->h->host.len = i - scheme;
			set_path(s->h, t.p + i, t.len - i);
			return 0;
		}
	}
	if (same(s->h->method, "connect"))
		return bad(s, 501, "this server is not a proxy");
	if (same(t, "*") && same(s->h->method, "options")) {
		set_path(s->h, t.p, t.len);
		return 0;
	}
	return bad(s, 400, "the request target is not a path");
}

static int parse_version(struct scan *s)
{
	static const char pattern[] = "HTTP/d.d";
	const char *v = s->p;
	size_t i;

	for (i = 0; i < sizeof(pattern) - 1; i++, s->p++) {
		if (s->p == s->end)
			return PARSE_MORE;
		if (pattern[i] == 'd' ? *s->p < '0' || *s->p > '9'
				      : *s->p != pattern[i])
			return bad(s, 400, "malformed HTTP version");
	}
	if (v[5] != '1')
		return bad(s, 505, "only HTTP/1.0 and HTTP/1.1 are supported");
	s->h->minor = v[7] != '0';
	return 0;
}

static int parse_request_line(struct scan *s)
{
	struct http_str target;
	int rc;

	/* RFC 9112 2.2: empty lines before it are skipped */
	while (s->p < s->end && (*s->p == '\r' || *s->p == '\n')) {
		rc = line_end(s);
		if (rc < 0)
			return rc;
	}
	s->h->method.p = span(s, TOKEN);
	s->h->method.len = (size_t)(s->p - s->h->method.p);
	if (s->p == s->end)
		return PARSE_MORE;
	if (s->h->method.len == 0 || *s->p != ' ')
		return bad(s, 400, "malformed request line");
	s->p++;
	target.p = span(s, TARGET);
	target.len = (size_t)(s->p - target.p);
	if (s->p == s->end)
		return PARSE_MORE;
	if (target.len == 0 || *s->p != ' ')
		return bad(s, 400, "malformed request line");
	s->p++;
	rc = parse_target(s, target);
	if (rc == 0)
		rc = parse_version(s);
	return rc < 0 ? rc : line_end(s);
}

/* --- the status line, RFC 9112 4 --- */

static int parse_status_line(struct scan *s)
{
	int rc = parse_version(s), i;

	for (i = 0; rc == 0 && i < 4; i++, s->p++) {
		if (s->p == s->end)
			return PARSE_MORE;
		if (i == 0 ? *s->p != ' ' : *s->p < '0' || *s->p > '9')
			return bad(s, 400, "malformed status line");
		if (i > 0)
			s->h->status = s->h->status * 10 + (*s->p - '0');
	}
	if (rc < 0)
		return rc;
	/* We ask for no other protocol. */
	if (s->h->status < 100 || s->h->status > 599 || s->h->status == 101)
		return bad(s, 400, "a status that is none");
	if (s->p < s->end && *s->p == ' ')
		span(s, VALUE);
	return line_end(s);
}

/* --- header fields, RFC 9112 5 and 6 --- */

static int parse_length(struct scan *s, struct http_str v)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			break;
		/* It is over our limit long before it could overflow. */
		if (n < UINT64_MAX / 16)
			n = n * 10 + (uint64_t)(v.p[i] - '0');
	}
	if (v.len == 0 || i < v.len)
		return bad(s, 400, "malformed Content-Length");
	s->h->content_length = n;
	return 0;
}

static void parse_connection(struct scan *s, struct http_str v)
{
	const char *end = v.p + v.len;
	struct http_str word;

	for (word.p = v.p; word.p < end; word.p += word.len + 1) {
		while (word.p < end && (*word.p == ' ' || *word.p == '\t'))
			word.p++;
		word.len = 0;
		while (word.p + word.len < end &&
		       has_class(word.p[word.len], TOKEN))
			word.len++;
		if (same(word, "close"))
			s->close = true;
		else if (same(word, "keep-alive"))
			s->keep = true;
	}
}

static int parse_host(struct scan *s, struct http_str v)
{
	size_t i;

	/* RFC 9112 3.2.2: the target's host takes precedence */
	if (s->h->host.p == NULL)
		s->h->host = v;

	for (i = 0; i < v.len; i++)
		if (!has_class(v.p[i], HOST))
			return bad(s, 400, "malformed Host");
	return 0;
}

static int take_known(struct scan *s, enum known id, struct http_str v)
{
	if (s->seen & 1u << id && id != H_CONNECTION && id < H_FETCH_SITE)
		return bad(s, 400,
		    id == H_HOST     ? "Host is repeated"
		    : id == H_LENGTH ? "Content-Length is repeated"
				     : "a header that may not be repeated is");
	s->seen |= 1u << id;
	switch (id) {
	case H_HOST:
		return parse_host(s, v);
	case H_CONNECTION:
		parse_connection(s, v);
		return 0;
	case H_LENGTH:
		return parse_length(s, v);
	case H_ENCODING:
		return same(v, "chunked") ? 0
					  : bad(s, 501,
						"the only supported transfer "
						"coding is chunked");
	case H_EXPECT:
		return same(v, "100-continue")
			   ? 0
			   : bad(s, 417,
				 "the only supported expectation is "
				 "100-continue");
	case H_AUTHORIZATION:
		s->h->authorization = v;
		return 0;
	case H_ORIGIN:
		s->h->origin = v;
		return 0;
	case H_FETCH_SITE:
		s->h->fetch_site = v;
		return 0;
	case H_DATE:
		s->h->dated = true;
		return 0;
	case H_RETRY_AFTER:
		s->h->retry_after = v;
	}
	return 0;
}

static int take_header(
    struct scan *s, struct http_str name, struct http_str value)
{
	const size_t n = s->n_known;
	size_t i;

	for (i = 0; i < n; i++)
		if (name.len == known_headers[i].len &&
		    strncasecmp(name.p, known_headers[i].name, name.len) == 0)
			return take_known(s, (enum known)i, value);
	return 0;
}

static int parse_header(struct scan *s)
{
	struct http_str name, value;
	int rc;

	name.p = span(s, TOKEN);
	name.len = (size_t)(s->p - name.p);
	if (s->p == s->end)
		return PARSE_MORE;
	if (name.len == 0 && (*s->p == ' ' || *s->p == '\t'))
		return bad(s, 400, "folded header lines are not accepted");
	if (name.len == 0 || *s->p != ':')
		return bad(s, 400, "malformed header line");
	s->p++;
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
		s->p++;
	value.p = span(s, VALUE);
	value.len = (size_t)(s->p - value.p);
	rc = line_end(s);
	if (rc < 0)
		return rc;
	while (value.len > 0 && (value.p[value.len - 1] == ' ' ||
				    value.p[value.len - 1] == '\t'))
		value.len--;
	return take_header(s, name, value);
}

/* Evaluates the headers as a whole. */
static int conclude(struct scan *s)
{
	struct http_head *h = s->h;
	bool chunked = s->seen & 1u << H_ENCODING;
	bool length = s->seen & 1u << H_LENGTH;

	if (chunked && length)
		return bad(s, 400,
		    "both Content-Length and Transfer-Encoding are given");
	if (chunked && h->minor == 0)
		return bad(s, 400, "HTTP/1.0 has no Transfer-Encoding");
	if (chunked)
		h->body = HTTP_BODY_CHUNKED;
	else if (h->content_length > 0)
		h->body = HTTP_BODY_LENGTH;
	/* RFC 9110 10.1.1: not from HTTP/1.0 */
	h->expect_continue = h->minor > 0 && s->seen & 1u << H_EXPECT;
	h->keep_alive = !s->close && (h->minor > 0 || s->keep);
	return 0;
}

static int parse_lines(struct scan *s)
{
	int rc;

	do {
		if (s->p == s->end)
			return PARSE_MORE;
		if (*s->p == '\r' || *s->p == '\n') {
			rc = line_end(s);
			return rc < 0 ? rc : conclude(s);
		}
		rc = parse_header(s);
	} while (rc == 0);
	return rc;
}

static int parse(const char *in, size_t len, struct scan *s,
    int (*parse_first)(struct scan *s))
{
	int rc;

	memset(s->h, 0, sizeof(*s->h));
	s->p = in;
	s->end = in + (len > HTTP_HEAD_MAX ? HTTP_HEAD_MAX : len);
	rc = parse_first(s);
	if (rc == 0)
		rc = parse_lines(s);
	if (rc == PARSE_MORE && len >= HTTP_HEAD_MAX)
		return bad(s, 431, "the head is longer than 8 KiB");
	return rc < 0 ? rc : (int)(s->p - in);
}

int http_parse_head(const char *in, size_t len, struct http_head *head_r)
{
	struct scan s = { .h = head_r, .n_known = H_RETRY_AFTER };
	int rc = parse(in, len, &s, parse_request_line);

	if (rc >= 0 && head_r->minor > 0 && !(s.seen & 1u << H_HOST))
		return bad(&s, 400, "Host is missing");
	return rc;
}

int http_parse_answer(const char *in, size_t len, struct http_head *head_r)
{
	struct scan s = { .h = head_r, .n_known = N_KNOWN };
	int rc = parse(in, len, &s, parse_status_line);

	if (head_r->body == HTTP_BODY_NONE && !(s.seen & 1u << H_LENGTH))
		head_r->body = HTTP_BODY_UNTIL_END;
	return rc;
}

/* --- chunked bodies, RFC 9112 7.1 --- */

/* Limit of extensions, trailers and leading zeros in one body, which are all
 * discarded. */
#define CHUNK_EXTRA_MAX 4096

enum chunk_state {
	C_SIZE_FIRST, /* its first digit */
	C_SIZE,
	C_SIZE_SPACE, /* before ';' */
	C_EXTENSION,
	C_SIZE_LF,
	C_DATA,
	C_DATA_CR,
	C_DATA_LF,
	C_TRAILER_FIRST, /* the line's first byte */
	C_TRAILER,
	C_TRAILER_LF,
	C_END_LF,
	C_DONE,
};

static int size_digit(struct http_chunked *c, char byte)
{
	int digit = text_hex_digit(byte);

	if (digit < 0 || c->left > UINT64_MAX >> 4)
		return PARSE_BAD;
	if (c->left == 0 && c->state == C_SIZE)
		c->line_len++;
	c->left = c->left << 4 | (uint64_t)digit;
	return C_SIZE;
}

/* The state after one byte that is not data, PARSE_BAD if it may not be. */
static int chunk_step(struct http_chunked *c, char b)
{
	switch (c->state) {
	case C_SIZE:
		if (b != '\r' && b != ';' && b != ' ' && b != '\t')
			return size_digit(c, b);
		/* fall through */
	case C_SIZE_SPACE:
		c->line_len += b != '\r';
		return b == '\r'	       ? C_SIZE_LF
		       : b == ';'	       ? C_EXTENSION
		       : b == ' ' || b == '\t' ? C_SIZE_SPACE
					       : PARSE_BAD;
	case C_SIZE_FIRST:
		return size_digit(c, b);
	case C_EXTENSION:
		c->line_len++;
		return b == '\r'	     ? C_SIZE_LF
		       : has_class(b, VALUE) ? C_EXTENSION
					     : PARSE_BAD;
	case C_SIZE_LF:
		if (b != '\n')
			return PARSE_BAD;
		return c->left > 0 ? C_DATA : C_TRAILER_FIRST;
	case C_DATA_CR:
		return b == '\r' ? C_DATA_LF : PARSE_BAD;
	case C_DATA_LF:
		return b == '\n' ? C_SIZE_FIRST : PARSE_BAD;
	case C_TRAILER_FIRST:
		if (b == '\r')
			return C_END_LF;
		c->line_len++;
		return has_class(b, TOKEN) ? C_TRAILER : PARSE_BAD;
	case C_TRAILER:
		c->line_len++;
		return b == '\r'	     ? C_TRAILER_LF
		       : has_class(b, VALUE) ? C_TRAILER
					     : PARSE_BAD;
	case C_TRAILER_LF:
		return b == '\n' ? C_TRAILER_FIRST : PARSE_BAD;
	case C_END_LF:
		return b == '\n' ? C_DONE : PARSE_BAD;
	}
	return PARSE_BAD;
}

int http_parse_chunks(
    struct http_chunked *c, char *in, size_t len, size_t *len_r, bool *done_r)
{
	size_t used = 0, out = 0, n;

	while (used < len && c->state != C_DONE) {
		if (c->state == C_DATA) {
			n = len - used;
			if (n > c->left)
				n = (size_t)c->left;
			memmove(in + out, in + used, n);
			out += n;
			used += n;
			c->left -= n;
			if (c->left == 0)
				c->state = C_DATA_CR;
			continue;
		}
		c->state = chunk_step(c, in[used++]);
		if (c->state < 0 || c->line_len > CHUNK_EXTRA_MAX) {
			c->state = PARSE_BAD;
			return PARSE_BAD;
		}
	}
	*len_r = out;
	*done_r = c->state == C_DONE;
	return (int)used;
}
