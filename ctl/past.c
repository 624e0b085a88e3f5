/* ctl/past.c - what the daemon knows of registrations since its start: the end of
 * their lines in the answer of /admin/list, kept with them in the view. */
#include "ctl/int.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "store.h"

/* --- keeping it --- */

/* The end of the text from after this key on, or NULL.  No string contains a quote
 * that is not escaped. */
static const char *find(const char *line, size_t len, const char *key)
{
	return memmem(line, len, key, strlen(key));
}

/* The registration of a line of which only the beginning is read. */
static struct reg *find_reg(struct store *s, const char *line, size_t key_len)
{
	char user[REG_USER_MAX + 1], account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1], *text = xstrndup(line, key_len + 1);
	struct reg *r = NULL;
	struct json j;

	text[key_len] = '}';
	if (json_load(text, key_len + 1, &j)) {
		r = store_find(s,
		    ctl_str(&j, j.toks, "user", user, sizeof(user)),
		    ctl_str(&j, j.toks, "account", account, sizeof(account)),
		    ctl_str(&j, j.toks, "token", token, sizeof(token)));
		json_free(&j);
	}
	free(text);
	return r;
}

void past_take(struct store *s, const char *line, size_t len)
{
	static const char time_key[] = ",\"time\":",
			  suspended[] = ",\"suspended\":true";
	const char *key_end = find(line, len, ",\"mailboxes\":");
	const char *p = find(line, len, time_key), *end = line + len;
	struct reg *r;
	char *text;

	if (key_end == NULL || p == NULL)
		return;
	p += strlen(time_key);
	while (p < end && *p != ',' && *p != '}')
		p++;
	if ((size_t)(end - p) > strlen(suspended) &&
	    strncmp(p, suspended, strlen(suspended)) == 0)
		p += strlen(suspended);
	if (p == end || *p != ',')
		return;
	r = find_reg(s, line, (size_t)(key_end - line));
	if (r == NULL)
		return;
	free(reg_data(r));
	text = xstrndup(p, (size_t)(end - p));
	*text = '{';
	reg_set_data(r, text);
}

static int free_one(void *arg, struct reg *r)
{
	(void)arg;
	free(reg_data(r));
	return 0;
}

void past_free_view(struct store *s)
{
	if (s == NULL)
		return;
	store_each(s, free_one, NULL);
	store_view_free(s);
}

const char *past_json(const struct reg *r)
{
	return reg_data(r);
}

/* --- reading it --- */

/* "1.5" in tenths. */
static int64_t tenths(const char *text)
{
	char *end;
	int64_t n = strtol(text, &end, 10) * 10;

	return *end == '.' ? n + end[1] - '0' : n;
}

void past_read(const struct reg *r, struct past *p_r)
{
	const char *text = past_json(r);
	const struct json_tok *t;
	struct json j;

	memset(p_r, 0, sizeof(*p_r));
	if (text == NULL || !json_load(text, strlen(text), &j))
		return;
	p_r->pushed_s = ctl_num(&j, j.toks, "pushed");
	p_r->seen_s = ctl_num(&j, j.toks, "seen");
	p_r->waiting = ctl_num(&j, j.toks, "waiting");
	p_r->unanswered = ctl_num(&j, j.toks, "unanswered");
	t = json_get(&j, j.toks, "wakeup");
	if (t != NULL)
		p_r->wakeup_ds = tenths(text + t->start);
	json_free(&j);
}
