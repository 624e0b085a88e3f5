/* xaps-json.c - the list of a user's subscriptions, as xapsd sends it. */

#include "lib.h"
#include "array.h"
#include "hex-dec.h"
#include "str.h"
#include "unichar.h"
#include "xaps-json.h"

static void skip_space(const char **p)
{
	*p += strspn(*p, " \t\r\n");
}

/* Skips the character if it is there. */
static bool take(const char **p, char c)
{
	skip_space(p);
	if (**p != c)
		return FALSE;
	(*p)++;
	return TRUE;
}

static bool parse_hex(const char **p, string_t *str)
{
	unichar_t chr;

	if (strspn(*p, "0123456789abcdefABCDEF") < 4)
		return FALSE;
	chr = hex2dec((const unsigned char *)*p, 4);
	*p += 4;
	/* xapsd escapes control characters only. */
	if (chr == 0 || !uni_is_valid_ucs4(chr))
		return FALSE;
	uni_ucs4_to_utf8_c(chr, str);
	return TRUE;
}

/* The opening quote is skipped already. */
static bool parse_string(const char **p, const char **str_r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	string_t *str = t_str_new(64);
	const char *escape;
	size_t len;

	for (;;) {
		len = strcspn(*p, "\"\\");
		str_append_data(str, *p, len);
		*p += len;
		if (**p == '\0')
			return FALSE;
		if (*(*p)++ == '"')
			break;
		if (**p == '\0')
			return FALSE;
		escape = strchr(from, *(*p)++);
		if (escape != NULL)
			str_append_c(str, to[escape - from]);
		else if ((*p)[-1] != 'u' || !parse_hex(p, str))
			return FALSE;
	}
	*str_r = str_c(str);
	return TRUE;
}

/* Whatever it is, with all that is in it. */
static bool skip_value(const char **p)
{
	unsigned int depth = 0;
	const char *str;

	do {
		skip_space(p);
		switch (**p) {
		case '\0':
			return FALSE;
		case '"':
			(*p)++;
			if (!parse_string(p, &str))
				return FALSE;
			break;
		case '{':
		case '[':
			(*p)++;
			depth++;
			continue;
		case '}':
		case ']':
			if (depth == 0)
				return FALSE;
			(*p)++;
			depth--;
			break;
		case ',':
		case ':':
			if (depth == 0)
				return FALSE;
			(*p)++;
			break;
		default:
			*p += strcspn(*p, " \t\r\n,:]}\"[{");
		}
	} while (depth > 0);
	return TRUE;
}

static bool parse_key(const char **p, const char **key_r)
{
	return take(p, '"') && parse_string(p, key_r) && take(p, ':');
}

static bool parse_member(const char **p, struct xaps_subscription *sub)
{
	const char *key, **dest = NULL;

	if (!parse_key(p, &key))
		return FALSE;
	skip_space(p);
	if (strcmp(key, "id") == 0)
		dest = &sub->id;
	else if (strcmp(key, "endpoint") == 0)
		dest = &sub->endpoint;
	else if (strcmp(key, "token") == 0)
		dest = &sub->token;
	else if (strcmp(key, "active") == 0)
		sub->active = **p == 't';
	return dest != NULL && take(p, '"') ? parse_string(p, dest)
					    : skip_value(p);
}

static bool parse_object(const char **p, struct xaps_subscription *sub)
{
	if (!take(p, '{'))
		return FALSE;
	if (take(p, '}'))
		return TRUE;
	do {
		if (!parse_member(p, sub))
			return FALSE;
	} while (take(p, ','));
	return take(p, '}');
}

static bool parse_list(const char **p, ARRAY_TYPE(xaps_subscription) * list)
{
	if (!take(p, '['))
		return FALSE;
	if (take(p, ']'))
		return TRUE;
	do {
		if (!parse_object(p, array_append_space(list)))
			return FALSE;
	} while (take(p, ','));
	return take(p, ']');
}

bool xaps_json_subscriptions(
    const char *json, ARRAY_TYPE(xaps_subscription) * list_r)
{
	const char *p = json, *key;

	t_array_init(list_r, 8);
	if (!take(&p, '{'))
		return FALSE;
	do {
		if (!parse_key(&p, &key))
			return FALSE;
		if (strcmp(key, "subscriptions") == 0)
			return parse_list(&p, list_r);
		if (!skip_value(&p))
			return FALSE;
	} while (take(&p, ','));
	return FALSE;
}
