/* conf/yaml.c - reads the flat subset of YAML that conf.h describes: keys and
 * values, but not what they mean. */
#include "conf/int.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* --- messages --- */

int conf_vfail(const struct conf_place *at, const char *fmt, va_list ap)
{
	int n;

	if (at->file == NULL)
		n = snprintf(at->err, ERR_MAX, "option --");
	else if (at->line > 0)
		n = snprintf(at->err, ERR_MAX, "%s:%d: ", at->file, at->line);
	else
		n = snprintf(at->err, ERR_MAX, "%s: ", at->file);
	if (n < ERR_MAX && at->key != NULL)
		n += snprintf(at->err + n, (size_t)(ERR_MAX - n),
		    "%.*s: ", at->key_len, at->key);
	if (n < ERR_MAX)
		vsnprintf(at->err + n, (size_t)(ERR_MAX - n), fmt, ap);
	return -1;
}

int conf_fail(const struct conf_place *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_vfail(at, fmt, ap);
	va_end(ap);
	return -1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blanks(const struct yaml *y, char *p)
{
	while (p < y->stop && is_blank(*p))
		p++;
	return p;
}

/* --- quoted values --- */

/* Decodes in place from p, just after the opening quote.  Returns what follows
 * the closing quote, NULL with err set. */
static char *unquote_single(const struct yaml *y, char *p)
{
	char *out = p;

	for (; p < y->stop; p++) {
		if (*p == '\'') {
			if (p + 1 == y->stop || p[1] != '\'') {
				*out = '\0';
				return p + 1;
			}
			p++;
		}
		*out++ = *p;
	}
	conf_fail(&y->at,
	    "the closing ' is missing: a value must be on one line, and a ' "
	    "in it is written ''");
	return NULL;
}

/* \xHH \uHHHH \UHHHHHHHH: *p is at the letter and is left at the last digit. */
static char *unescape_hex(char **p, const char *end, char *out)
{
	int digits = **p == 'x' ? 2 : **p == 'u' ? 4 : 8;
	char text[9];
	unsigned long u;

	if (end - *p <= digits)
		return NULL;
	memcpy(text, *p + 1, (size_t)digits);
	text[digits] = '\0';
	if (strspn(text, "0123456789abcdefABCDEF") != (size_t)digits)
		return NULL;
	u = strtoul(text, NULL, 16);
	if (u == 0 || u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
		return NULL;
	*p += digits;
	return out + text_utf8_put((uint32_t)u, out);
}

static char *unescape(char **p, const char *end, char *out)
{
	static const char from[] = "abtnvfre \"/\\";
	static const char to[] = "\a\b\t\n\v\f\r\033 \"/\\";
	const char *found;

	if (*p == end)
		return NULL;
	if (**p == 'x' || **p == 'u' || **p == 'U')
		return unescape_hex(p, end, out);
	found = strchr(from, **p);
	if (found == NULL)
		return NULL;
	*out++ = to[found - from];
	return out;
}

/* As unquote_single(). */
static char *unquote_double(const struct yaml *y, char *p)
{
	char *out = p;

	for (; p < y->stop; p++) {
		if (*p == '"') {
			*out = '\0';
			return p + 1;
		}
		if (*p != '\\') {
			*out++ = *p;
			continue;
		}
		p++;
		out = unescape(&p, y->stop, out);
		if (out == NULL) {
			conf_fail(&y->at,
			    "a \\ in \"double\" quotes begins an unknown "
			    "escape: write \\\\ for a backslash, or use "
			    "'single' quotes");
			return NULL;
		}
	}
	conf_fail(&y->at,
	    "the closing \" is missing: a value must be on one line, and a "
	    "\" in it is written \\\"");
	return NULL;
}

/* Only a comment may follow a quoted value. */
static int check_rest(const struct yaml *y, char *start)
{
	const char *p = skip_blanks(y, start);

	if (p == y->stop || (*p == '#' && p > start))
		return 0;
	return conf_fail(&y->at, "there is text after the closing quote: "
				 "remove it, or put # before a comment");
}

static char *quoted_value(const struct yaml *y, char *p)
{
	char *rest =
	    *p == '"' ? unquote_double(y, p + 1) : unquote_single(y, p + 1);

	return rest != NULL && check_rest(y, rest) == 0 ? p + 1 : NULL;
}

/* --- other values --- */

static int check_plain(const struct yaml *y, const char *p)
{
	if ((strchr("[]{},&*!|>%@`", *p) != NULL && !(y->stars && *p == '*')) ||
	    ((*p == '-' || *p == '?') && (p + 1 == y->stop || is_blank(p[1]))))
		return conf_fail(&y->at,
		    "a value that begins with %c means something else in "
		    "YAML: put it in 'single' quotes",
		    *p);
	return 0;
}

static char *plain_value(const struct yaml *y, char *p)
{
	char *q;

	if (check_plain(y, p) < 0)
		return NULL;
	for (q = p; q < y->stop && !(*q == '#' && is_blank(q[-1])); q++) {
		if (*q == ':' && (q + 1 == y->stop || is_blank(q[1]))) {
			conf_fail(&y->at,
			    "the value holds a colon that ends it or precedes "
			    "a space: put the value in 'single' quotes");
			return NULL;
		}
	}
	while (q > p && is_blank(q[-1]))
		q--;
	*q = '\0';
	/* YAML's words for nothing */
	if (strcmp(p, "~") == 0 || strcasecmp(p, "null") == 0)
		*p = '\0';
	return p;
}

char *yaml_value(struct yaml *y)
{
	char *p = y->value + 1;

	if (p < y->stop && !is_blank(*p)) {
		conf_fail(&y->at, "a space is missing after the colon");
		return NULL;
	}
	p = skip_blanks(y, p);
	if (p == y->stop || *p == '#') {
		*y->stop = '\0';
		return y->stop;
	}
	return *p == '\'' || *p == '"' ? quoted_value(y, p) : plain_value(y, p);
}

/* --- lines --- */

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static int read_key(struct yaml *y, char *p)
{
	char quote = *p == '"' || *p == '\'' ? *p++ : '\0';
	char *name = p;
	bool closed = quote == '\0';
	int len;

	while (p < y->stop && is_key_char(*p))
		p++;
	len = (int)(p - name);
	if (!closed && p < y->stop && *p == quote) {
		closed = true;
		p++;
	}
	p = skip_blanks(y, p);
	if (len == 0 || !closed || p == y->stop || *p != ':')
		return conf_fail(&y->at, "this line is not of the form `key: "
					 "value`; a comment begins with #");
	y->value = p;
	y->at.key = name;
	y->at.key_len = len > CONF_SHOWN_MAX ? CONF_SHOWN_MAX : len;
	return len;
}

/* Past a "---" before all keys. */
static char *skip_mark(struct yaml *y, char *p)
{
	if (!y->begun && y->stop - p >= 3 && memcmp(p, "---", 3) == 0)
		p = skip_blanks(y, p + 3);
	y->begun = true;
	return p;
}

/* "...", after which nothing belongs to the document. */
static bool is_end(const struct yaml *y, char *p)
{
	return y->stop - p >= 3 && memcmp(p, "...", 3) == 0 &&
	       skip_blanks(y, p + 3) == y->stop;
}

/* As yaml_key(), but 0: there is no pair in this line.  above: the key of the
 * last pair, which an indented line belongs to. */
static int read_line(struct yaml *y, char *line, const char *above)
{
	char *p = line;

	while (p < y->stop && *p == ' ')
		p++;
	if (p == y->stop || *p == '#')
		return 0;
	if (*p == '\t')
		return conf_fail(&y->at, "there is a tab: use spaces");
	y->inner = y->block && p > line;
	y->block = y->inner;
	if (p > line && !y->inner) {
		y->at.key = above;
		return conf_fail(&y->at,
		    "the line is indented: lists and nested keys are not "
		    "supported, write each `key: value` at the beginning of a "
		    "line");
	}
	p = skip_mark(y, p);
	if (p == y->stop || *p == '#')
		return 0;
	if (is_end(y, p)) {
		y->next = y->end;
		return 0;
	}
	if (*p == '-' && p + 1 < y->stop && p[1] == ' ')
		return conf_fail(&y->at, "lists are not supported: write each "
					 "key as `key: value`");
	return read_key(y, p);
}

static int check_bytes(const struct yaml *y, const char *p)
{
	for (; p < y->stop; p++) {
		if (*p == '\0')
			return conf_fail(&y->at, "the line holds a NUL byte: "
						 "save the file as UTF-8 text");
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return conf_fail(&y->at, "the line holds a control "
						 "character: remove it");
	}
	return 0;
}

int yaml_key(struct yaml *y)
{
	const char *above = y->at.key;
	char *line;
	int rc = 0;

	while (rc == 0 && y->next < y->end) {
		line = y->next;
		y->at.line++;
		y->at.key = NULL;
		y->stop = memchr(line, '\n', (size_t)(y->end - line));
		if (y->stop == NULL)
			y->stop = y->end;
		y->next = y->stop + 1;
		if (y->stop > line && y->stop[-1] == '\r')
			y->stop--;
		rc = check_bytes(y, line);
		if (rc == 0)
			rc = read_line(y, line, above);
	}
	return rc;
}

void yaml_open(
    struct yaml *y, const char *name, char *text, size_t len, char *err)
{
	static const char mark[] = "\xef\xbb\xbf"; /* UTF-8, says an editor */

	*y = (struct yaml){
		.at = { .file = name, .err = err },
		.next = text,
		.end = text + len,
	};
	if (len >= 3 && memcmp(text, mark, 3) == 0)
		y->next += 3;
}
