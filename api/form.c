/* api/form.c - fields of application/x-www-form-urlencoded. */
#include "api/form.h"

#include <stdbool.h>
#include <string.h>

#include "store.h"
#include "text.h"

/* One byte, decoded.  Returns how many bytes of the input it takes, 0: it is none
 * that a browser sends, or a NUL. */
static size_t read_byte(const char *p, const char *end, char *c_r)
{
	*c_r = *p == '+' ? ' ' : *p;
	if (*p != '%')
		return (unsigned char)*p > ' ' && (unsigned char)*p < 0x7f;
	return end - p >= 3 && text_hex_read(p + 1, 2, c_r) && *c_r != '\0' ? 3
									    : 0;
}

/* Decodes up to the end or to stop, whichever comes first.  NULL: malformed.
 * *len_r: the decoded bytes, of which out has as many as fit. */
static const char *decode(const char *p, const char *end, char stop, char *out,
    size_t size, size_t *len_r)
{
	size_t n;
	char c;

	for (*len_r = 0; p < end && *p != '&' && *p != stop; p += n) {
		n = read_byte(p, end, &c);
		if (n == 0)
			return NULL;
		if (*len_r < size)
			out[*len_r] = c;
		(*len_r)++;
	}
	return p;
}

/* Whether a decoded value fits and is text; adds its NUL. */
static bool is_text(char *out, size_t len, size_t size)
{
	if (len >= size)
		return false;
	out[len] = '\0';
	return len == 0 || reg_text_ok(out, len);
}

int form_get(
    const char *text, size_t len, const char *key, char *out, size_t size)
{
	const char *p = text, *end = text + len;
	char name[16]; /* ours are shorter */
	int rc = FORM_ABSENT;
	size_t n;
	bool mine;

	for (; p < end; p += p < end) {
		p = decode(p, end, '=', name, sizeof(name), &n);
		if (p == NULL || p == end || *p != '=')
			goto bad;
		mine = n == strlen(key) && memcmp(name, key, n) == 0;
		if (mine && rc >= 0)
			goto bad;
		p = decode(p + 1, end, '&', out, mine ? size : 0, &n);
		if (p == NULL || (mine && !is_text(out, n, size)))
			goto bad;
		if (mine)
			rc = (int)n;
	}
	if (rc < 0)
		out[0] = '\0';
	return rc;
bad:
	out[0] = '\0';
	return FORM_BAD;
}
