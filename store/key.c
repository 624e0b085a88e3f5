/* store/key.c - what stands behind struct reg: user, account and token, packed,
 * and where the mailboxes are.
 *
 *   user     with a NUL
 *   account  a UUID in upper case, as iOS makes them: its bytes; any other:
 *            text with a NUL
 *   rest     the address of its watches, if it has any; the token, two digits a
 *            byte; what reg.c adds
 *
 * A rest that changes is allocated, and its address takes its place: none is
 * shorter than that, since no token is.  Nothing is aligned, so addresses are
 * copied. */
#include "store/int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"

static_assert(REG_TOKEN_MIN / 2 >= sizeof(char *), "no space for an address");

/* --- UUIDs --- */

#define UUID_LEN 36

static bool is_dash(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static bool uuid_pack(const char *s, char out[UUID_BYTES])
{
	char digits[2 * UUID_BYTES];
	size_t i, n = 0;

	for (i = 0; i < UUID_LEN; i++) {
		if (is_dash(i) ? s[i] != '-'
			       : text_hex_digit(s[i]) < 0 || s[i] >= 'a')
			return false;
		if (!is_dash(i))
			digits[n++] = s[i];
	}
	return s[i] == '\0' && text_hex_read(digits, n, out);
}

static void uuid_unpack(const char *uuid, char *out)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t i;

	for (i = 0; i < UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[(unsigned char)uuid[i] >> 4];
		*out++ = digits[uuid[i] & 15];
	}
	*out = '\0';
}

/* --- where all is --- */

static size_t token_len(size_t digits)
{
	return (digits + 1) / 2;
}

/* UUID_BYTES, or text. */
static const char *account(const struct reg *r)
{
	return r->key + r->user_len + 1;
}

/* Of the rest, or of its address. */
static size_t rest_at(const struct reg *r)
{
	return (size_t)r->user_len + 1 +
	       (r->has_uuid ? UUID_BYTES : strlen(account(r)) + 1);
}

const char *key_rest(const struct reg *r)
{
	const char *p = r->key + rest_at(r);

	if (r->is_moved)
		memcpy(&p, p, sizeof(p));
	return p;
}

void key_set_rest(struct reg *r, char *rest)
{
	char *p = r->key + rest_at(r), *old;

	if (r->is_moved) {
		memcpy(&old, p, sizeof(old));
		free(old);
	}
	r->is_moved = rest != NULL;
	if (rest != NULL)
		memcpy(p, &rest, sizeof(rest));
}

static const char *token(const struct reg *r)
{
	return key_rest(r) + (r->has_watches ? sizeof(struct watches *) : 0);
}

const char *key_mailboxes(const struct reg *r)
{
	return token(r) + token_len(r->digits);
}

size_t key_len(const struct reg *r)
{
	return rest_at(r) + (size_t)(key_mailboxes(r) - key_rest(r));
}

size_t key_pack(struct reg *r, const struct reg_spec *spec, char out[KEY_MAX])
{
	size_t digits = strlen(spec->token);
	char *p = stpcpy(out, spec->user);

	r->user_len = (size_t)(p++ - out) & 0xff;
	r->has_uuid = uuid_pack(spec->account, p);
	p = r->has_uuid ? p + UUID_BYTES : stpcpy(p, spec->account) + 1;
	if (r->has_watches) {
		memset(p, 0, sizeof(struct watches *));
		p += sizeof(struct watches *);
	}
	r->digits = (uint8_t)digits;
	text_hex_read(spec->token, digits, p);
	return (size_t)(p - out) + token_len(digits);
}

/* --- the watches --- */

struct watches *key_watches(const struct reg *r)
{
	struct watches *w = NULL;

	if (r->has_watches)
		memcpy(&w, key_rest(r), sizeof(w));
	return w;
}

void key_set_watches(struct reg *r, struct watches *w)
{
	char *p = r->key + rest_at(r);

	if (r->is_moved)
		memcpy(&p, p, sizeof(p));
	memcpy(p, &w, sizeof(w));
}

/* --- the parts --- */

const char *reg_user(const struct reg *r)
{
	return r->key;
}

const char *reg_account(const struct reg *r, char out[REG_ACCOUNT_MAX + 1])
{
	if (r->has_uuid)
		uuid_unpack(account(r), out);
	else
		strcpy(out, account(r));
	return out;
}

const char *reg_token(const struct reg *r, char out[REG_TOKEN_MAX + 1])
{
	/* If the number is odd, the last digit is cut off again. */
	text_hex_write(token(r), token_len(r->digits), out);
	out[r->digits] = '\0';
	return out;
}

bool reg_pack_token(const char *digits, size_t n, char out[TOKEN_BYTES])
{
	return n <= REG_TOKEN_MAX && text_hex_read(digits, n, out);
}

/* --- comparing --- */

bool reg_has_account(const struct reg *r, const char *name)
{
	char uuid[UUID_BYTES];

	if (!r->has_uuid)
		return strcmp(account(r), name) == 0;
	return uuid_pack(name, uuid) &&
	       memcmp(account(r), uuid, UUID_BYTES) == 0;
}

int reg_compare_accounts(const struct reg *a, const struct reg *b)
{
	char x[REG_ACCOUNT_MAX + 1], y[REG_ACCOUNT_MAX + 1];

	if (a->has_uuid && b->has_uuid)
		return memcmp(account(a), account(b), UUID_BYTES);
	return strcmp(reg_account(a, x), reg_account(b, y));
}

bool reg_has_key(
    const struct reg *r, const char *name, const char *packed, size_t digits)
{
	return r->digits == digits &&
	       memcmp(token(r), packed, token_len(digits)) == 0 &&
	       reg_has_account(r, name);
}

bool reg_same_user(const struct reg *a, const struct reg *b)
{
	return a->hash == b->hash && strcasecmp(a->key, b->key) == 0;
}

/* The token first: it nearly always differs. */
bool reg_same_device(const struct reg *a, const struct reg *b)
{
	return a->digits == b->digits &&
	       memcmp(token(a), token(b), token_len(a->digits)) == 0 &&
	       reg_same_user(a, b);
}

bool reg_same_key(const struct reg *a, const struct reg *b)
{
	return reg_same_device(a, b) && reg_compare_accounts(a, b) == 0;
}
