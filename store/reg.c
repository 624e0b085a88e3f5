/* store/reg.c - one registration: its limits, its fields, its memory. */
#include "store/int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "text.h"

/* --- checking --- */

bool reg_text_ok(const char *s, size_t max)
{
	size_t len = strlen(s), i;

	if (len == 0 || len > max || !text_utf8_ok(s, len))
		return false;
	for (i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f ||
		    (s[i] == '\xc2' && (unsigned char)s[i + 1] < 0xa0))
			return false;
	return true;
}

static bool printable_ok(const char *s, size_t max)
{
	size_t n = 0;

	while (s[n] >= 0x20 && s[n] <= 0x7e)
		n++;
	return s[n] == '\0' && n > 0 && n <= max;
}

static bool token_ok(const char *s)
{
	size_t n = 0;

	while (text_hex_digit(s[n]) >= 0)
		n++;
	return s[n] == '\0' && n >= REG_TOKEN_MIN && n <= REG_TOKEN_MAX;
}

/* NULL, or what is wrong with them. */
static const char *check_names(const struct reg_spec *s)
{
	const struct reg_canonical *c = s->canonical;
	size_t i, len = 0;

	for (i = 0; i < s->n_mailboxes; i++) {
		if (!reg_text_ok(s->mailboxes[i], REG_MAILBOX_MAX))
			return "mailbox must be 1 to 1024 bytes of UTF-8 "
			       "without control characters";
		len += strlen(s->mailboxes[i]) + 1;
		if (c == NULL)
			continue;
		if ((c[i].owner != NULL &&
			!reg_text_ok(c[i].owner, REG_OWNER_MAX)) ||
		    (c[i].mailbox != NULL &&
			!reg_text_ok(c[i].mailbox, REG_CANONICAL_MAX)))
			return "owner and mailbox of Canonical must be 1 to "
			       "255 and 2048 bytes of UTF-8 without control "
			       "characters";
		len += 3;
		if (c[i].owner != NULL && strcasecmp(c[i].owner, s->user) != 0)
			len += strlen(c[i].owner);
		len += c[i].mailbox != NULL ? strlen(c[i].mailbox) : 0;
	}
	return len > REG_NAMES_MAX ? "the mailboxes' names are longer than "
				     "256 KiB in all"
				   : NULL;
}

const char *reg_spec_check(const struct reg_spec *s)
{
	if (!reg_text_ok(s->user, REG_USER_MAX))
		return "user must be 1 to 255 bytes of UTF-8 without control "
		       "characters";
	if (!printable_ok(s->account, REG_ACCOUNT_MAX))
		return "account id must be 1 to 200 printable ASCII characters";
	if (!token_ok(s->token))
		return "device token must be 16 to 200 hex digits";
	if (s->n_mailboxes > REG_MAILBOXES_MAX)
		return "more than 1000 mailboxes";
	if (s->kind != REG_APPLE && !printable_ok(s->to, REG_TO_MAX))
		return "the address must be 1 to 2048 printable ASCII "
		       "characters";
	return check_names(s);
}

/* --- kinds --- */

static const char *const kind_names[REG_KINDS] = {
	[REG_APPLE] = "apple",
	[REG_WEBPUSH] = "webpush",
	[REG_DELTACHAT] = "deltachat",
	[REG_FCM] = "fcm",
	[REG_HOOK] = "hook",
};

const char *reg_kind_name(enum reg_kind kind)
{
	return kind_names[kind];
}

bool reg_kind_find(const char *name, enum reg_kind *kind_r)
{
	enum reg_kind kind = REG_APPLE;

	while (kind < REG_KINDS && strcmp(kind_names[kind], name) != 0)
		kind++;
	*kind_r = kind;
	return kind < REG_KINDS;
}

/* --- memory --- */

struct reg *reg_new(const struct reg_spec *spec)
{
	bool is_other = spec->kind != REG_APPLE;
	struct reg head = {
		.n_mailboxes = spec->n_mailboxes & 0x3ff,
		.has_watches = mailboxes_are_watched(spec),
		.part = PART_UNKNOWN,
	};
	char key[KEY_MAX], *end;
	size_t len = key_pack(&head, spec, key);
	struct reg *r =
	    xmalloc(offsetof(struct reg, key) + len + mailboxes_size(spec) +
		    (is_other ? strlen(spec->to) + 2 : 0));

	*r = head;
	memcpy(r->key, key, len);
	end = mailboxes_pack(r->key + len, spec);
	if (is_other) {
		r->flags |= REG_OTHER;
		*end = (char)spec->kind;
		strcpy(end + 1, spec->to);
	}
	if (spec->acked || is_other)
		r->flags |= REG_ACKED;
	if (spec->time_s <= 0)
		r->flags |= REG_UNSTAMPED;
	else
		r->time_s = spec->time_s > UINT32_MAX ? UINT32_MAX
						      : (uint32_t)spec->time_s;
	return r;
}

struct reg *reg_with_to(const struct reg *r, const char *to, int64_t time_s)
{
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	const struct reg_spec spec = {
		.user = reg_user(r),
		.account = reg_account(r, account),
		.token = reg_token(r, token),
		.kind = reg_kind(r),
		.to = to,
		.time_s = time_s,
	};
	struct reg *new = reg_new(&spec);
	size_t len = (size_t)(reg_to(r) - key_rest(r));
	char *rest = xmalloc(len + strlen(to) + 1);

	memcpy(rest, key_rest(r), len);
	strcpy(rest + len, to);
	new->hash = r->hash;
	new->n_mailboxes = r->n_mailboxes;
	new->has_watches = r->has_watches;
	key_set_rest(new, rest);
	return new;
}

void reg_free(struct reg *r)
{
	key_set_rest(r, NULL);
	free(r);
}

void reg_take_mailboxes(struct reg *r, const struct reg *from)
{
	size_t len = (size_t)(key_mailboxes(from) - key_rest(from)) +
		     mailboxes_len_all(from);
	char *rest = xmalloc(len);

	memcpy(rest, key_rest(from), len);
	key_set_rest(r, rest);
	r->n_mailboxes = from->n_mailboxes;
	r->has_watches = from->has_watches;
	r->flags &= (uint8_t)~REG_OTHER;
	r->flags |= from->flags & REG_OTHER;
}

/* --- fields --- */

bool reg_same_to(const struct reg *a, const struct reg *b)
{
	return reg_kind(a) == reg_kind(b) && strcmp(reg_to(a), reg_to(b)) == 0;
}

/* An owner in the index, and a watch. */
#define OWNER_BYTES 128

size_t reg_bytes(const struct reg *r)
{
	return sizeof(*r) + key_len(r) + mailboxes_len_all(r) +
	       OWNER_BYTES * mailboxes_owners(r);
}

enum reg_kind reg_kind(const struct reg *r)
{
	return r->flags & REG_OTHER
		   ? (enum reg_kind)key_mailboxes(r)[mailboxes_len(r)]
		   : REG_APPLE;
}

const char *reg_to(const struct reg *r)
{
	return r->flags & REG_OTHER ? key_mailboxes(r) + mailboxes_len(r) + 1
				    : "";
}

int64_t reg_time_s(const struct reg *r)
{
	return r->time_s;
}

bool reg_time_known(const struct reg *r)
{
	return !(r->flags & REG_UNSTAMPED);
}

bool reg_acked(const struct reg *r)
{
	return r->flags & REG_ACKED;
}

size_t reg_n_mailboxes(const struct reg *r)
{
	return r->n_mailboxes;
}

bool reg_suspended(const struct reg *r)
{
	return r->flags & REG_SUSPENDED;
}

int64_t reg_time_ms(const struct reg *r, bool last)
{
	unsigned step = r->part != PART_UNKNOWN ? r->part
			: last			? 1000 / REG_STEP_MS - 1
						: 0;

	return (int64_t)r->time_s * 1000 + step * REG_STEP_MS +
	       reg_suspended(r);
}

void reg_set_ms(struct reg *r, int64_t t_ms)
{
	r->part = (uint32_t)(t_ms % 1000 / REG_STEP_MS) & 0xff;
}

void reg_set_later_ms(struct reg *r, int64_t t_ms)
{
	unsigned before = r->part;

	reg_set_ms(r, t_ms);
	if (before == PART_UNKNOWN || r->part > before)
		return;
	r->part = (before + 1) % (1000 / REG_STEP_MS) & 0xff;
	r->time_s += r->part == 0;
}

bool reg_shared(const struct reg *r)
{
	return r->flags & REG_SHARED;
}

void reg_set_data(struct reg *r, void *data)
{
	r->data = data;
}

void *reg_data(const struct reg *r)
{
	return r->data;
}

struct reg_past *reg_past(struct reg *r)
{
	return &r->past;
}
