/* store/line.c - a registration as a line of the file: written, read, and
 * recognised from its beginning. */
#include "store/int.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"

/* --- writing --- */

static void write_key(const struct reg *r, struct buf *b)
{
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];

	buf_add_byte(b, '{');
	json_add_str(b, "user", reg_user(r));
	json_add_str(b, "account", reg_account(r, account));
	json_add_str(b, "token", reg_token(r, token));
}

/* In the order of the mailboxes, only if one of them is another owner's or has
 * another name for its owner. */
static void write_canonical(const struct reg *r, struct buf *b)
{
	const char *p = key_mailboxes(r);
	size_t i, plain = 0;
	struct mailbox box;
	bool any = false;

	for (i = 0; i < r->n_mailboxes; i++) {
		p = mailbox_unpack(p, &box);
		if (box.canonical == NULL) {
			plain++;
			continue;
		}
		if (!any)
			json_open(b, "canonical", '[');
		any = true;
		for (; plain > 0; plain--) {
			json_add(b, NULL);
			buf_add_str(b, "null");
		}
		if (box.owner != NULL) {
			json_open(b, NULL, '[');
			json_add_str(b, NULL, box.owner);
		}
		json_add_str(b, NULL, box.canonical);
		if (box.owner != NULL)
			buf_add_byte(b, ']');
	}
	if (any)
		buf_add_byte(b, ']');
}

bool reg_write(const struct reg *r, const char *topic, struct buf *b)
{
	const char *p = key_mailboxes(r);
	struct mailbox box;
	size_t i;

	write_key(r, b);
	json_open(b, "mailboxes", '[');
	for (i = 0; i < r->n_mailboxes; i++) {
		p = mailbox_unpack(p, &box);
		json_add_str(b, NULL, box.name);
	}
	buf_add_byte(b, ']');
	write_canonical(r, b);
	if (r->flags & REG_OTHER) {
		json_add_str(b, "kind", reg_kind_name(reg_kind(r)));
		json_add_str(b, "to", reg_to(r));
		json_add(b, "acked");
		buf_add_str(b, "null");
	} else {
		json_add_bool(b, "acked", reg_acked(r));
		if (topic != NULL)
			json_add_str(b, "topic", topic);
	}
	json_add_num(b, "time", r->time_s);
	buf_add_str(b, "}\n");
	return !b->failed;
}

bool reg_write_gone(const struct reg *r, int64_t t_ms, struct buf *b)
{
	write_key(r, b);
	json_add_bool(b, "gone", true);
	if (t_ms > 0)
		json_add_num(b, "t", t_ms);
	buf_add_str(b, "}\n");
	return !b->failed;
}

/* --- reading --- */

static bool get_string(
    const struct json *j, const char *key, char *out, size_t out_size)
{
	return json_string(j, json_get(j, j->toks, key), out, out_size) >= 0;
}

/* NULL if it is not a string, too long, or not text; max includes the NUL. */
static const char *take_text(struct record *rec, const struct json *j,
    const struct json_tok *t, size_t max)
{
	size_t left = sizeof(rec->text) - rec->text_len;
	char *p = rec->text + rec->text_len;
	int len = json_string(j, t, p, max < left ? max : left);

	if (len < 0)
		return NULL;
	rec->text_len += (size_t)len + 1;
	return p;
}

const char *line_set_mailboxes(
    struct record *rec, const struct json *j, const struct json_tok *array)
{
	const struct json_tok *t;
	size_t i;

	if (array == NULL || array->type != JSON_ARRAY)
		return "mailboxes must be an array";
	if (array->size > REG_MAILBOXES_MAX)
		return "more than 1000 mailboxes";
	rec->text_len = 0;
	t = array + 1;
	for (i = 0; i < array->size; i++) {
		rec->mailboxes[i] = take_text(rec, j, t, REG_MAILBOX_MAX + 1);
		if (rec->mailboxes[i] == NULL)
			return "a mailbox is not a string, too long, or not "
			       "valid text";
		t = j->toks + t->next;
	}
	rec->spec.mailboxes = rec->mailboxes;
	rec->spec.n_mailboxes = array->size;
	return NULL;
}

/* Each is ["owner","mailbox"], "mailbox" (of the user) or null; those at the end
 * may be left out. */
static const char *set_canonical(
    struct record *rec, const struct json *j, const struct json_tok *array)
{
	static const char wrong[] =
	    "canonical must hold a name, [\"owner\",\"name\"] or null for each "
	    "mailbox";
	struct reg_canonical *c = rec->canonical;
	const struct json_tok *t, *name;
	size_t i;

	if (array == NULL)
		return NULL;
	if (array->type != JSON_ARRAY || array->size > rec->spec.n_mailboxes)
		return wrong;
	memset(c, 0, rec->spec.n_mailboxes * sizeof(*c));
	t = array + 1;
	for (i = 0; i < array->size; i++, t = j->toks + t->next) {
		if (t->type == JSON_NULL)
			continue;
		name = t;
		if (t->type == JSON_ARRAY && t->size == 2) {
			c[i].owner =
			    take_text(rec, j, t + 1, REG_OWNER_MAX + 1);
			if (c[i].owner == NULL)
				return wrong;
			name = t + 2;
		}
		c[i].mailbox = take_text(rec, j, name, REG_CANONICAL_MAX + 1);
		if (c[i].mailbox == NULL)
			return wrong;
	}
	rec->spec.canonical = c;
	return NULL;
}

static const char *read_kind(struct record *rec, const struct json *j)
{
	const struct json_tok *t = json_get(j, j->toks, "kind");
	struct reg_spec *spec = &rec->spec;
	char name[16];

	if (t == NULL)
		return NULL;
	if (json_string(j, t, name, sizeof(name)) < 0 ||
	    !reg_kind_find(name, &spec->kind) || spec->kind == REG_HOOK)
		return "kind is not one that this version knows";
	if (spec->kind == REG_APPLE)
		return NULL;
	if (!get_string(j, "to", rec->to, sizeof(rec->to)))
		return "to is missing, not a string, or too long";
	spec->to = rec->to;
	return NULL;
}

/* What only Apple's have. */
static const char *read_apple(struct record *rec, const struct json *j)
{
	const struct json_tok *t = json_get(j, j->toks, "acked");

	if (t != NULL && t->type != JSON_TRUE && t->type != JSON_FALSE)
		return "acked must be true or false";
	rec->spec.acked = t != NULL && t->type == JSON_TRUE;
	t = json_get(j, j->toks, "topic");
	if (t == NULL)
		return NULL;
	if (json_string(j, t, rec->topic, sizeof(rec->topic)) < 0 ||
	    !reg_text_ok(rec->topic, REG_TOPIC_MAX))
		return "topic is not a string, too long, or not valid text";
	rec->spec.topic = rec->topic;
	return NULL;
}

static const char *read_value(struct record *rec, const struct json *j)
{
	const char *reason = read_kind(rec, j);

	if (reason == NULL && rec->spec.kind == REG_APPLE)
		reason = read_apple(rec, j);
	if (reason != NULL)
		return reason;
	if (!json_int(j, json_get(j, j->toks, "time"), &rec->spec.time_s))
		return "time must be a whole number of seconds";
	reason = line_set_mailboxes(rec, j, json_get(j, j->toks, "mailboxes"));
	return reason != NULL
		   ? reason
		   : set_canonical(rec, j, json_get(j, j->toks, "canonical"));
}

/* NULL, or what is wrong with the line. */
const char *line_read(struct reader *in, const char *line, size_t len)
{
	struct json j = { line, len, in->toks };
	struct record *rec = &in->rec;
	const struct json_tok *flag;
	struct json_err e;
	const char *reason;
	int n;

	n = json_parse(line, len, in->toks, LINE_VALUES_MAX, &e);
	if (n < 0)
		return e.reason;
	if (in->toks[0].type != JSON_OBJECT)
		return "not a JSON object";
	rec->spec = (struct reg_spec){
		.user = rec->user, .account = rec->account, .token = rec->token
	};
	if (!get_string(&j, "user", rec->user, sizeof(rec->user)))
		return "user is missing, not a string, or too long";
	if (!get_string(&j, "account", rec->account, sizeof(rec->account)))
		return "account is missing, not a string, or too long";
	if (!get_string(&j, "token", rec->token, sizeof(rec->token)))
		return "token is missing, not a string, or too long";
	flag = json_get(&j, in->toks, "gone");
	rec->gone = flag != NULL && flag->type == JSON_TRUE;
	if (!json_int(&j, json_get(&j, in->toks, "t"), &rec->t_ms))
		rec->t_ms = 0;
	flag = json_get(&j, in->toks, "suspended");
	rec->suspended = flag != NULL && flag->type == JSON_TRUE;
	if (!rec->gone) {
		reason = read_value(rec, &j);
		if (reason != NULL)
			return reason;
	}
	return reg_spec_check(&rec->spec);
}

bool line_is_ours(const char *line, size_t len)
{
	struct reader *in;
	bool is;

	if (len > STORE_LINE_MAX || memmem(line, len, "token", 5) == NULL)
		return false;
	in = xmalloc(sizeof(*in));
	is = line_read(in, line, len) == NULL;
	free(in);
	return is;
}

/* --- the beginning of a line --- */

struct scan {
	const char *p, *end;
};

/* A string with its quotes; true also if the text ends within it. */
static bool pass_string(struct scan *s)
{
	bool escaped = false;

	if (s->p == s->end)
		return true;
	if (*s->p++ != '"')
		return false;
	for (; s->p < s->end; s->p++) {
		if ((unsigned char)*s->p < 0x20)
			return false;
		if (escaped)
			escaped = false;
		else if (*s->p == '\\')
			escaped = true;
		else if (*s->p == '"') {
			s->p++;
			break;
		}
	}
	return true;
}

/* The word, or as much of it as there is. */
static bool pass(struct scan *s, const char *word)
{
	size_t n = strlen(word), left = (size_t)(s->end - s->p);

	if (n > left)
		n = left;
	if (memcmp(s->p, word, n) != 0)
		return false;
	s->p += n;
	return true;
}

bool line_is_torn(const char *line, size_t len)
{
	struct scan s = { line, line + len };

	if (!pass(&s, "{\"user\":") || !pass_string(&s) ||
	    !pass(&s, ",\"account\":") || !pass_string(&s) ||
	    !pass(&s, ",\"token\":") || !pass_string(&s))
		return false;
	if (s.p < s.end && !pass(&s, ",\"gone\":true") &&
	    !pass(&s, ",\"mailboxes\":["))
		return false;
	for (; s.p < s.end; s.p++)
		if ((unsigned char)*s.p < 0x20)
			return false;
	return true;
}
