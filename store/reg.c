/* store/reg.c - one registration: its fields, its limits, its line in the file,
 * and which of its mailboxes a delivery means. */
#include "store/int.h"

#include <string.h>
#include <strings.h>

#include "buf.h"
#include "json.h"
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

static bool account_ok(const char *s)
{
	size_t n = 0;

	while (s[n] >= 0x20 && s[n] <= 0x7e)
		n++;
	return s[n] == '\0' && n > 0 && n <= REG_ACCOUNT_MAX;
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
	if (!account_ok(s->account))
		return "account id must be 1 to 200 printable ASCII characters";
	if (!token_ok(s->token))
		return "device token must be 16 to 200 hex digits";
	if (s->n_mailboxes > REG_MAILBOXES_MAX)
		return "more than 1000 mailboxes";
	return check_names(s);
}

/* --- fields --- */

struct reg *reg_next(const struct reg *r)
{
	return r->next;
}

const char *reg_user(const struct reg *r)
{
	return r->tail;
}

const char *reg_account(const struct reg *r)
{
	return r->tail + reg_id_at(r);
}

const char *reg_token(const struct reg *r, char out[REG_TOKEN_MAX + 1])
{
	/* Of an odd number the last one is cut off again. */
	text_hex_write(r->tail + reg_id_at(r) + r->account_len + 1,
	    reg_token_len(r->digits), out);
	out[r->digits] = '\0';
	return out;
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

const char *reg_mailbox(const struct reg *r, size_t i)
{
	const char *p = reg_mailboxes(r);
	struct box box;

	do
		p = box_read(p, &box);
	while (i-- > 0);
	return box.name;
}

const char *reg_mailbox_after(const char *name)
{
	struct box box;

	box_read(name + strlen(name) + 1, &box);
	return box.name;
}

void reg_suspend(struct reg *r)
{
	r->flags |= REG_SUSPENDED;
}

bool reg_suspended(const struct reg *r)
{
	return r->flags & REG_SUSPENDED;
}

void reg_set_data(struct reg *r, void *data)
{
	r->data = data;
}

void *reg_data(const struct reg *r)
{
	return r->data;
}

/* --- lines of the file --- */

static void write_key(const struct reg *r, struct buf *b)
{
	char token[REG_TOKEN_MAX + 1];

	buf_add_str(b, "{\"user\":");
	json_write_strn(b, reg_user(r), r->user_len);
	buf_add_str(b, ",\"account\":");
	json_write_strn(b, reg_account(r), r->account_len);
	buf_add_fmt(b, ",\"token\":\"%s\"", reg_token(r, token));
}

/* In the order of the mailboxes, only if one of them is another's, or is called
 * otherwise. */
static void write_canonical(const struct reg *r, struct buf *b)
{
	const char *p = reg_mailboxes(r), *before = ",\"canonical\":[";
	struct box box;
	size_t i, plain = 0;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = box_read(p, &box);
		if (box.canonical == NULL) {
			plain++;
			continue;
		}
		for (; plain > 0; plain--, before = ",") {
			buf_add_str(b, before);
			buf_add_str(b, "null");
		}
		buf_add_str(b, before);
		if (box.owner != NULL) {
			buf_add_byte(b, '[');
			json_write_str(b, box.owner);
			buf_add_byte(b, ',');
		}
		json_write_str(b, box.canonical);
		if (box.owner != NULL)
			buf_add_byte(b, ']');
		before = ",";
	}
	if (*before == ',' && before[1] == '\0')
		buf_add_byte(b, ']');
}

bool reg_write(const struct reg *r, const char *topic, struct buf *b)
{
	const char *p = reg_mailboxes(r);
	struct box box;
	size_t i;

	write_key(r, b);
	buf_add_str(b, ",\"mailboxes\":[");
	for (i = 0; i < r->n_mailboxes; i++) {
		p = box_read(p, &box);
		if (i > 0)
			buf_add_byte(b, ',');
		json_write_str(b, box.name);
	}
	buf_add_byte(b, ']');
	write_canonical(r, b);
	buf_add_str(b, reg_acked(r) ? ",\"acked\":true" : ",\"acked\":false");
	if (topic != NULL) {
		buf_add_str(b, ",\"topic\":");
		json_write_str(b, topic);
	}
	return buf_add_fmt(b, ",\"time\":%lu}\n", (unsigned long)r->time_s);
}

bool reg_write_gone(const struct reg *r, struct buf *b)
{
	write_key(r, b);
	return buf_add_str(b, ",\"gone\":true}\n");
}

/* --- modified UTF-7 (RFC 3501 5.1.3) --- */

/* Bytes of a name; no mUTF-7 name decodes to more than 9/8 of its bytes. */
#define NAME_MAX_BYTES REG_NAME_MAX

struct name {
	char s[NAME_MAX_BYTES];
	size_t len;
	uint32_t high; /* the first half of a surrogate pair */
};

/* RFC 3501 5.1.3: a comma instead of the slash. */
static int utf7_digit(char c)
{
	return c == '/' ? -1 : text_base64_digit(c == ',' ? '/' : c);
}

static bool name_add(struct name *n, uint32_t c)
{
	if (n->len > sizeof(n->s) - TEXT_UTF8_MAX)
		return false;
	n->len += text_utf8_put(c, n->s + n->len);
	return true;
}

/* One 16-bit unit of a shifted run.  What can stand for itself must. */
static bool name_add_unit(struct name *n, uint32_t u)
{
	bool low = u >= 0xdc00 && u <= 0xdfff;
	uint32_t high = n->high;

	if (low != (high != 0))
		return false;
	n->high = 0;
	if (low)
		return name_add(
		    n, 0x10000 + ((high - 0xd800) << 10) + (u - 0xdc00));
	if (u >= 0xd800 && u <= 0xdbff) {
		n->high = u;
		return true;
	}
	return u >= 0x7f && name_add(n, u);
}

/* The run behind '&'; returns what follows its '-', or NULL. */
static const char *decode_run(struct name *n, const char *s)
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
		if (!name_add_unit(n, bits >> n_bits & 0xffff))
			return NULL;
	}
	/* Padding is less than a digit and zero; a run that could have been
	 * part of this one must have been. */
	if (*s != '-' || n->high != 0 || n_bits >= 6 ||
	    (bits & ((1u << n_bits) - 1)) != 0 || (s[1] == '&' && s[2] != '-'))
		return NULL;
	return s + 1;
}

static bool decode_name(struct name *n, const char *s)
{
	n->len = 0;
	n->high = 0;
	while (s != NULL && *s != '\0') {
		if (*s < 0x20 || *s > 0x7e)
			return false;
		if (*s == '&' && s[1] != '-') {
			s = decode_run(n, s + 1);
			continue;
		}
		if (!name_add(n, (unsigned char)*s))
			return false;
		s += *s == '&' ? 2 : 1;
	}
	return s != NULL;
}

bool reg_same_name(const char *a, const char *b)
{
	return strcmp(a, b) == 0 ||
	       (strcasecmp(a, "INBOX") == 0 && strcasecmp(b, "INBOX") == 0);
}

/* The user's own: by the canonical name, or as the device spelled it. */
int reg_match(const struct reg *r, const char *name)
{
	const char *p = reg_mailboxes(r);
	bool inbox = strcasecmp(name, "INBOX") == 0;
	size_t len = strlen(name);
	int i, decoded = -1;
	struct name n;
	struct box box;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = box_read(p, &box);
		if (box.owner != NULL)
			continue;
		if (box.canonical != NULL) {
			if (reg_same_name(box.canonical, name))
				return i;
			continue;
		}
		if (inbox ? strcasecmp(box.name, name) == 0
			  : strcmp(box.name, name) == 0)
			return i;
		if (decoded < 0 && strchr(box.name, '&') != NULL &&
		    decode_name(&n, box.name) && n.len == len &&
		    memcmp(n.s, name, len) == 0)
			decoded = i;
	}
	return decoded;
}

int reg_match_foreign(const struct reg *r, const char *owner, const char *name)
{
	const char *p = reg_mailboxes(r);
	struct box box;
	int i;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = box_read(p, &box);
		if (box.owner != NULL && strcasecmp(box.owner, owner) == 0 &&
		    reg_same_name(box.canonical, name))
			return i;
	}
	return -1;
}

static bool box_is(const struct box *b, const char *owner, const char *name)
{
	struct name n;

	if (owner == NULL
		? b->owner != NULL
		: b->owner == NULL || strcasecmp(b->owner, owner) != 0)
		return false;
	if (b->canonical != NULL)
		return reg_same_name(b->canonical, name);
	return reg_same_name(b->name, name) ||
	       (strchr(b->name, '&') != NULL && decode_name(&n, b->name) &&
		   n.len == strlen(name) && memcmp(n.s, name, n.len) == 0);
}

int reg_match_next(
    const struct reg *r, const char *owner, const char *name, int i)
{
	const char *p = reg_mailboxes(r);
	struct box box;
	int at;

	for (at = 0; at < r->n_mailboxes; at++) {
		p = box_read(p, &box);
		if (at > i && box_is(&box, owner, name))
			return at;
	}
	return -1;
}

int reg_spelled(const struct reg *r, const char *name)
{
	const char *p = reg_mailboxes(r);
	struct box box;
	int i;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = box_read(p, &box);
		if (reg_same_name(box.name, name))
			return i;
	}
	return -1;
}

int reg_decode_name(const char *name, char out[REG_NAME_MAX])
{
	struct name n;

	if (!decode_name(&n, name))
		return -1;
	memcpy(out, n.s, n.len);
	return (int)n.len;
}
