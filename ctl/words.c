/* ctl/words.c - ages, and sentences about what the daemon has answered. */
#include "ctl/int.h"

#include <stdio.h>
#include <string.h>

/* --- ages --- */

#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400

static const struct unit {
	int s;
	const char *name, *word;
} units[] = {
	{ DAY_S, "d", " d ago" },
	{ HOUR_S, "h", " h ago" },
	{ MINUTE_S, "m", " min ago" },
	{ 1, "s", " s ago" },
};

/* The largest one that is in it; *n_r: how often. */
static const struct unit *find_unit(int64_t seconds, int *n_r)
{
	const struct unit *u = units;

	if (seconds < 0)
		seconds = 0;
	while (u->s > 1 && seconds < u->s)
		u++;
	*n_r = (int)(seconds / u->s);
	return u;
}

void ctl_age(int64_t seconds, char out[16])
{
	int n;
	const struct unit *u = find_unit(seconds, &n);

	snprintf(out, 16, "%d%s", n, u->name);
}

const char *ctl_ago(int64_t seconds, char out[24])
{
	int n;
	const struct unit *u = find_unit(seconds, &n);

	snprintf(out, 24, "%d%s", n, u->word);
	return out;
}

/* --- sentences --- */

int64_t ctl_words_num(const struct ctl_words *w, const char *key)
{
	return ctl_num(w->j, w->obj, key);
}

bool ctl_words_flag(const struct ctl_words *w, const char *key)
{
	const struct json_tok *t = json_get(w->j, w->obj, key);

	return t != NULL && t->type == JSON_TRUE;
}

/* The value of a member, as name says. */
static void read_member(
    const struct ctl_words *w, char *name, bool may_lack, char value_r[ERR_MAX])
{
	char *ago = strchr(name, ' ');
	const struct json_tok *t;

	if (ago != NULL)
		*ago = '\0';
	t = json_get(w->j, w->obj, name);
	value_r[0] = '\0';
	if (ago != NULL)
		ctl_ago(w->now_s - ctl_words_num(w, name), value_r);
	else if (t == NULL && !may_lack)
		strcpy(value_r, "0");
	else if (t != NULL && t->type == JSON_NUMBER)
		err_set(value_r, "%.*s", (int)(t->end - t->start),
		    w->j->text + t->start);
	else
		ctl_str(w->j, w->obj, name, value_r, ERR_MAX);
}

void ctl_words_add(struct ctl_words *w, const char *text)
{
	char name[32], value[ERR_MAX] = "";
	size_t n, begin = 0;
	bool may_lack = false;

	for (; *text != '\0'; text += n + (text[n] != '\0')) {
		n = strcspn(text, "[]{}");
		if (text[n] == '}') {
			snprintf(name, sizeof(name), "%.*s", (int)n, text);
			if (name[strspn(name, "es")] != '\0') {
				read_member(w, name, may_lack, value);
				buf_add_str(&w->text, value);
			} else if (strcmp(value, "1") != 0) {
				buf_add_str(&w->text, name);
			}
			continue;
		}
		buf_add(&w->text, text, n);
		if (text[n] == '[') {
			begin = w->text.len;
			may_lack = true;
		} else if (text[n] == ']') {
			may_lack = false;
			if (*value == '\0')
				w->text.len = begin;
		}
	}
}

const char *ctl_words_end(struct ctl_words *w)
{
	buf_add_byte(&w->text, '\0');
	return w->text.failed ? "" : (const char *)buf_head(&w->text);
}
