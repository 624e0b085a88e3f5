/* ctl/app.c - what doctor says of a registration that is not Apple's. */
#include "ctl/int.h"

#include <stdio.h>
#include <string.h>

#include "store.h"
#include "webpush.h"

struct app {
	int64_t now_s, time_s, pushed_s, seen_s, unanswered;
	bool suspended, inactive;
	char who[128];
	char answer[ERR_MAX], problem[ERR_MAX], wakeup[16], client[80];
};

static bool is_true(const struct json *j, const char *key)
{
	const struct json_tok *t = json_get(j, j->toks, key);

	return t != NULL && t->type == JSON_TRUE;
}

/* "laptop at push.example.org", or a token's beginning. */
static void name_it(
    const struct json *j, const char *kind, const char *to, char who[128])
{
	const char *host = strstr(to, "://");
	char account[REG_ACCOUNT_MAX + 1];

	ctl_str(j, j->toks, "account", account, sizeof(account));
	if (strcmp(account, kind) == 0)
		account[0] = '\0';
	if (host != NULL)
		snprintf(who, 128, "%.40s%s%.*s", account,
		    account[0] != '\0' ? " at " : "",
		    (int)strcspn(host + 3, "/? "), host + 3);
	else if (account[0] != '\0')
		snprintf(who, 128, "%.40s", account);
	else
		snprintf(who, 128, "%.8s…", to);
}

static void read_app(
    const struct json *j, const char *kind, const char *to, struct app *a)
{
	const struct json_tok *t = json_get(j, j->toks, "wakeup");

	name_it(j, kind, to, a->who);
	a->time_s = ctl_num(j, j->toks, "time");
	a->pushed_s = ctl_num(j, j->toks, "pushed");
	a->seen_s = ctl_num(j, j->toks, "seen");
	a->unanswered = ctl_num(j, j->toks, "unanswered");
	a->suspended = is_true(j, "suspended");
	a->inactive = is_true(j, "inactive");
	ctl_str(j, j->toks, "answer", a->answer, sizeof(a->answer));
	ctl_str(j, j->toks, "problem", a->problem, sizeof(a->problem));
	ctl_str(j, j->toks, "client", a->client, sizeof(a->client));
	a->wakeup[0] = '\0';
	if (t != NULL)
		snprintf(a->wakeup, sizeof(a->wakeup), "%.*s",
		    (int)(t->end - t->start), j->text + t->start);
}

static enum ctl_result describe_pushed(const struct app *a, char text[ERR_MAX])
{
	char pushed[24], seen[24];

	ctl_ago(a->now_s - a->pushed_s, pushed);
	if (a->unanswered > 0) {
		err_set(text,
		    "%s: %lld push%s were taken, the last %s, and nobody "
		    "came: may the app run in the background, and has it a "
		    "network?",
		    a->who, (long long)a->unanswered,
		    a->unanswered > 1 ? "es" : "", pushed);
		return STEP_LOOK;
	}
	if (a->wakeup[0] != '\0')
		err_set(text, "%s: %s came %s s after a push; the last %s",
		    a->who, a->client, a->wakeup, pushed);
	else if (a->seen_s > 0)
		err_set(text, "%s: the last push was taken %s; %s came %s",
		    a->who, pushed, a->client,
		    ctl_ago(a->now_s - a->seen_s, seen));
	else
		err_set(text, "%s: the last push was taken %s", a->who, pushed);
	return STEP_OK;
}

/* With nobody who has been asked since: of the file only. */
static enum ctl_result describe_unpushed(
    const struct app *a, bool live, char text[ERR_MAX])
{
	char registered[24];

	err_set(text, "%s: registered %s%s", a->who,
	    a->time_s > 0 ? ctl_ago(a->now_s - a->time_s, registered)
			  : "before the clock was set",
	    live ? ", no push since the start" : "");
	return live ? STEP_OPEN : STEP_OK;
}

static enum ctl_result describe(
    const struct app *a, bool unconfirmed, bool live, char text[ERR_MAX])
{
	const char *why = a->problem[0] != '\0' ? a->problem : a->answer;
	bool failed = why[0] != '\0' && strstr(why, " took it") == NULL;

	if (a->suspended)
		err_set(text, "%s: suspended until the app registers again: %s",
		    a->who,
		    failed ? why : "it was refused, xapsd's log says how");
	else if (unconfirmed)
		err_set(text,
		    "%s: the app has not sent back the code of its first "
		    "push%s%s",
		    a->who, failed ? ": " : "", failed ? why : "");
	else if (a->inactive)
		err_set(text,
		    "%s: was made for an earlier key of this server (VAPID): "
		    "the app has to subscribe again",
		    a->who);
	else if (failed)
		err_set(text, "%s: %s", a->who, why);
	else if (a->pushed_s > 0)
		return describe_pushed(a, text);
	else
		return describe_unpushed(a, live, text);
	return STEP_LOOK;
}

enum ctl_result ctl_doctor_app(const struct json *j, int64_t now_s, bool live,
    char kind[CTL_KIND_MAX], char text[ERR_MAX])
{
	struct app a = { .now_s = now_s };
	char to[REG_TO_MAX + 1];

	ctl_str(j, j->toks, "kind", kind, CTL_KIND_MAX);
	ctl_str(j, j->toks, "to", to, sizeof(to));
	read_app(j, kind, to, &a);
	return describe(&a,
	    strcmp(kind, reg_kind_name(REG_WEBPUSH)) == 0 &&
		*webpush_code(to) != '\0',
	    live, text);
}
