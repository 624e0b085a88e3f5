/* store/go.c - takes over the Go daemon's database.json and writes it back. */
#include "store/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "buf.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "text.h"

#define SKIPPED_LOGGED 10     /* then only the count */
#define EXPORT_FLUSH_AT 65536 /* bytes */

/* --- RFC 3339 --- */

/* Reads numbers by a pattern, in which a digit means so many digits, and any other
 * character itself. */
static bool scan(const char **s, const char *pattern, int *out)
{
	size_t n;

	for (; *pattern != '\0'; pattern++) {
		if (*pattern >= '1' && *pattern <= '9') {
			n = (size_t)(*pattern - '0');
			*out = (int)text_number(*s, n, INT32_MAX);
			if (*out++ < 0)
				return false;
			*s += n;
		} else if (*(*s)++ != *pattern) {
			return false;
		}
	}
	return true;
}

/* "+01:00" or "Z" and the end. */
static bool scan_zone(const char *s, int64_t *offset_s)
{
	int hm[2];
	int sign = *s == '-' ? -1 : 1;

	*offset_s = 0;
	if (strcmp(s, "Z") == 0)
		return true;
	if (*s != '+' && *s != '-')
		return false;
	s++;
	if (!scan(&s, "2:2", hm) || *s != '\0')
		return false;
	*offset_s = (int64_t)sign * (hm[0] * 3600 + hm[1] * 60);
	return true;
}

static bool parse_time(const char *s, int64_t *t_r)
{
	int64_t offset;
	int v[6];

	if (!scan(&s, "4-2-2T2:2:2", v))
		return false;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++)
			;
	if (!scan_zone(s, &offset) || v[1] < 1 || v[1] > 12 || v[2] < 1 ||
	    v[2] > 31 || v[3] > 23 || v[4] > 59 || v[5] > 60)
		return false;
	*t_r = clock_seconds(v[0], v[1], v[2], v + 3) - offset;
	return true;
}

/* --- keys, in any case --- */

/* The next member of an object; *key is NULL at first. */
static bool next_member(const struct json *j, const struct json_tok *obj,
    const struct json_tok **key)
{
	if (obj == NULL || obj->type != JSON_OBJECT || obj->size == 0)
		return false;
	*key = *key == NULL ? obj + 1 : j->toks + (*key)[1].next;
	return *key < j->toks + obj->next;
}

static bool key_is(
    const struct json *j, const struct json_tok *key, const char *name)
{
	char text[32];

	return json_string(j, key, text, sizeof(text)) >= 0 &&
	       strcasecmp(text, name) == 0;
}

/* --- import --- */

struct import {
	struct store *s;
	const struct json *j;
	int64_t now_s;
	struct store_import *result;
	struct record rec;
};

static const char *read_time(
    struct import *m, const struct json_tok *t, int64_t *time_r)
{
	char s[64];

	*time_r = m->now_s;
	if (t == NULL || t->type == JSON_NULL)
		return NULL;
	if (json_string(m->j, t, s, sizeof(s)) < 0 || !parse_time(s, time_r))
		return "RegistrationTime is not an RFC 3339 time";
	/* Go's zero time, or a clock that was wrong. */
	if (*time_r <= 0 ||
	    (*time_r > m->now_s && m->now_s != REG_TIME_UNKNOWN))
		*time_r = m->now_s;
	return NULL;
}

static const char *read_account(
    struct import *m, const struct json_tok *name, const struct json_tok *value)
{
	const struct json *j = m->j;
	struct record *rec = &m->rec;
	const struct json_tok *boxes;
	const char *reason;

	rec->spec = (struct reg_spec){
		.user = rec->user, .account = rec->account, .token = rec->token
	};
	if (json_string(j, name, rec->account, sizeof(rec->account)) < 0)
		return "account id is too long or not valid text";
	if (json_string(j, json_get(j, value, "DeviceToken"), rec->token,
		sizeof(rec->token)) < 0)
		return "DeviceToken is missing, not a string, or too long";
	boxes = json_get(j, value, "Mailboxes");
	if (boxes != NULL && boxes->type != JSON_NULL) {
		reason = line_set_mailboxes(rec, j, boxes);
		if (reason != NULL)
			return reason;
	}
	reason = read_time(
	    m, json_get(j, value, "RegistrationTime"), &rec->spec.time_s);
	return reason != NULL ? reason : reg_spec_check(&rec->spec);
}

static void skip(
    struct import *m, const struct json_tok *at, const char *reason)
{
	if (m->result->skipped++ < SKIPPED_LOGGED)
		log_warn("import: user %.*s: skipped a registration: %s",
		    (int)(at->end - at->start > 100 ? 100
						    : at->end - at->start),
		    m->j->text + at->start, reason);
}

static void take_account(struct import *m, const struct json_tok *user,
    const struct json_tok *name, const struct json_tok *value)
{
	const struct reg_spec *spec = &m->rec.spec;
	const char *reason = read_account(m, name, value);
	const struct reg *r;

	if (reason != NULL) {
		skip(m, user, reason);
		return;
	}
	r = store_find(m->s, spec->user, spec->account, spec->token);
	if (r != NULL && reg_time_s(r) >= spec->time_s) {
		m->result->older++;
		return;
	}
	if (store_put(m->s, spec) == NULL) {
		skip(m, user, "maxRegistrations allows no more");
		return;
	}
	m->result->taken++;
}

static void take_user(
    struct import *m, const struct json_tok *user, const struct json_tok *value)
{
	const struct json_tok *accounts = NULL, *name;
	struct record *rec = &m->rec;

	if (json_string(m->j, user, rec->user, sizeof(rec->user)) < 0) {
		skip(m, user, "user name is too long or not valid text");
		return;
	}
	while (next_member(m->j, value, &accounts)) {
		if (!key_is(m->j, accounts, "Accounts"))
			continue;
		name = NULL;
		while (next_member(m->j, accounts + 1, &name))
			take_account(m, user, name, name + 1);
	}
}

static bool is_empty(const struct json *j)
{
	return j->toks->type == JSON_NULL ||
	       (j->toks->type == JSON_OBJECT && j->toks->size == 0);
}

/* NULL, or what is wrong. */
static const char *take_users(struct import *m)
{
	const struct json_tok *users = NULL, *user;
	bool any = is_empty(m->j);

	while (next_member(m->j, m->j->toks, &users)) {
		if (!key_is(m->j, users, "Users"))
			continue;
		any = true;
		if (users[1].type == JSON_NULL)
			continue;
		if (users[1].type != JSON_OBJECT)
			return "there is no object \"Users\"";
		user = NULL;
		while (next_member(m->j, users + 1, &user))
			take_user(m, user, user + 1);
	}
	return any ? NULL : "there is no object \"Users\"";
}

static int import(struct store *s, const struct json *j, int64_t now_s,
    struct store_import *result_r, char err[ERR_MAX])
{
	struct import *m = xmalloc(sizeof(*m));
	const char *wrong;

	m->s = s;
	m->j = j;
	m->now_s = now_s;
	m->result = result_r;
	wrong = take_users(m);
	free(m);
	if (wrong != NULL)
		err_set(err, "1:1: not a database of the Go daemon: %s", wrong);
	return wrong != NULL ? -1 : 0;
}

/* NULL, with e set, if it is not JSON. */
static struct json_tok *tokens(struct json *j, struct json_err *e)
{
	struct json_tok *toks;
	size_t skip = store_bom_len(j->text, j->len);
	int n;

	j->text += skip;
	j->len -= skip;
	n = json_parse(j->text, j->len, NULL, 0, e);
	if (n < 0)
		return NULL;
	toks = xmalloc((size_t)n * sizeof(*toks));
	j->toks = toks;
	json_parse(j->text, j->len, toks, (size_t)n, e);
	return toks;
}

bool store_is_go(const char *text, size_t len)
{
	struct json j = { text, len, NULL };
	struct json_err e;
	struct json_tok *toks = tokens(&j, &e);
	bool is = toks != NULL &&
		  (is_empty(&j) || json_get(&j, toks, "Users") != NULL);

	free(toks);
	return is;
}

int store_import_go(struct store *s, const char *text, size_t len,
    int64_t now_s, struct store_import *result_r, char err[ERR_MAX])
{
	struct json j = { text, len, NULL };
	struct json_tok *toks;
	struct json_err e;
	int rc;

	*result_r = (struct store_import){ 0 };
	toks = tokens(&j, &e);
	if (toks == NULL) {
		err_set(err, "%zu:%zu: %s", e.line, e.column, e.reason);
		return -1;
	}
	rc = import(s, &j, now_s, result_r, err);
	free(toks);
	return rc;
}

int store_go_load(
    struct store *s, const char *text, size_t len, char err[ERR_MAX])
{
	struct store_import result;
	char why[ERR_MAX / 2];
	int64_t now_s = (int64_t)time(NULL);

	if (now_s < CLOCK_MIN_S)
		now_s = REG_TIME_UNKNOWN;
	if (store_import_go(s, text, len, now_s, &result, err) < 0) {
		snprintf(why, sizeof(why), "%s", err);
		err_set(err,
		    "%s: looks like the Go daemon's database, but %s: correct "
		    "it, "
		    "or move it away to begin without",
		    s->path, why);
		return -1;
	}
	s->n_bad = result.skipped;
	if (s->read_only) {
		s->must_rewrite = true;
		return 0;
	}
	if (store_rewrite(s, true, err) < 0)
		return -1;
	log_info("%s: took over %zu registration%s of the Go daemon, skipped "
		 "%zu; the original is kept with .orig added to its name",
	    s->path, result.taken, LOG_S(result.taken), result.skipped);
	return 0;
}

/* --- export --- */

/* By account id, the newest last. */
static int compare_regs(const void *a, const void *b)
{
	const struct reg *const *x = a, *const *y = b;
	int c = reg_compare_accounts(*x, *y);

	if (c != 0)
		return c;
	return ((*x)->time_s > (*y)->time_s) - ((*x)->time_s < (*y)->time_s);
}

static void export_reg(const struct reg *r, bool first, struct buf *out)
{
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	char when[LOG_DATE_MAX];
	const char *p = key_mailboxes(r);
	struct mailbox box;
	size_t i;

	buf_add_str(out, first ? "" : ",");
	json_write_str(out, reg_account(r, account));
	buf_add_str(out, ":{");
	json_add_str(out, "DeviceToken", reg_token(r, token));
	json_open(out, "Mailboxes", '[');
	for (i = 0; i < r->n_mailboxes; i++) {
		p = mailbox_unpack(p, &box);
		json_add_str(out, NULL, box.name);
	}
	buf_add_str(out, "]");
	/* Without one it is never too old for the Go daemon. */
	if (reg_time_s(r) != REG_TIME_UNKNOWN) {
		log_date(reg_time_s(r), LOG_DATE_SECOND, false, when);
		when[LOG_DATE_DAY] = 'T';
		buf_add_fmt(out, ",\"RegistrationTime\":\"%sZ\"", when);
	}
	buf_add_str(out, "}");
}

/* The Go daemon looks users up in lower case. */
static void export_name(struct buf *out, const char *user)
{
	char name[REG_USER_MAX + 1];
	size_t i;

	for (i = 0; user[i] != '\0' && i < REG_USER_MAX; i++)
		name[i] = text_lower(user[i]);
	name[i] = '\0';
	json_write_str(out, name);
}

struct export
{
	struct buf *out;
	int (*flush)(void *arg);
	void *arg;
	const struct reg **regs; /* of one user */
	size_t n, cap;
	bool first_user;
};

static int export_flush(struct export *e)
{
	if (e->out->len >= EXPORT_FLUSH_AT && e->flush != NULL &&
	    e->flush(e->arg) != 0)
		return -1;
	return e->out->failed ? -1 : 0;
}

static int export_user(struct export *e)
{
	bool first = true;
	size_t i;

	if (e->n == 0)
		return 0;
	qsort(e->regs, e->n, sizeof(*e->regs), compare_regs);
	buf_add_str(e->out, e->first_user ? "" : ",");
	export_name(e->out, reg_user(e->regs[0]));
	buf_add_str(e->out, ":{\"Accounts\":{");
	for (i = 0; i < e->n; i++) {
		if (i + 1 < e->n &&
		    reg_compare_accounts(e->regs[i], e->regs[i + 1]) == 0)
			continue;
		export_reg(e->regs[i], first, e->out);
		first = false;
		if (export_flush(e) < 0)
			return -1;
	}
	buf_add_str(e->out, "}}");
	e->first_user = false;
	e->n = 0;
	return export_flush(e);
}

static int export_gather(void *arg, struct reg *r)
{
	struct export *e = arg;

	if (r->flags & REG_OTHER)
		return 0;
	if (e->n > 0 && !reg_same_user(e->regs[0], r) && export_user(e) < 0)
		return -1;
	if (e->n == e->cap) {
		e->cap += e->cap + 16;
		e->regs = xrealloc(e->regs, e->cap * sizeof(*e->regs));
	}
	e->regs[e->n++] = r;
	return 0;
}

int store_export_go(
    struct store *s, struct buf *out, int (*flush)(void *arg), void *arg)
{
	struct export e = {
		.out = out, .flush = flush, .arg = arg, .first_user = true
	};
	int rc;

	buf_add_str(out, "{\"Users\":{");
	rc = store_each(s, export_gather, &e);
	if (rc == 0)
		rc = export_user(&e);
	buf_add_str(out, "}}\n");
	free(e.regs);
	if (rc == 0 && flush != NULL)
		rc = flush(arg);
	return rc != 0 || out->failed ? -1 : 0;
}
