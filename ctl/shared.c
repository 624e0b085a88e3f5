/* ctl/shared.c - what check and doctor say about the shared book. */
#include "ctl/int.h"

#include <string.h>

#include "conf.h"
#include "loop.h"
#include "shared.h"
#include "store.h"
#include "tls.h"

static const char step[] = "shared book";

/* --- check --- */

static void warn_of_policy(const struct shared_probe *found)
{
	char line[ERR_MAX];

	if (found->policy[0] == '\0' ||
	    strcmp(found->policy, SHARED_POLICY) == 0)
		return;
	err_set(line,
	    "sharedStore: maxmemory-policy is %s: it throws registrations away "
	    "when memory is short: CONFIG SET maxmemory-policy " SHARED_POLICY
	    ", and in its configuration",
	    found->policy);
	ctl_step(NULL, STEP_WARNING, line);
}

/* What the daemon that runs makes of it; found: what we have found. */
static bool compare_daemon(
    const struct json *j, const struct shared_probe *found, char line[ERR_MAX])
{
	const struct json_tok *t = json_get(j, j->toks, "shared");
	char state[32], problem[ERR_MAX], book[SHARED_ID_MAX], ago[24];

	if (t == NULL) { /* whoever has just written it down is not wrong */
		ctl_step(NULL, STEP_WARNING,
		    "sharedStore: the daemon that runs "
		    "does not use it yet: reload it (SIGHUP)");
		return true;
	}
	ctl_str(j, t, "state", state, sizeof(state));
	ctl_str(j, t, "problem", problem, sizeof(problem));
	ctl_str(j, t, "book", book, sizeof(book));
	if (book[0] != '\0' && strcmp(book, found->book) != 0) {
		err_set(line,
		    "the daemon that runs has another book (%s, not %s): is "
		    "another database or sharedPrefix set since? Reload it "
		    "(SIGHUP)",
		    book, found->book[0] != '\0' ? found->book : "none yet");
		return false;
	}
	if (strcmp(state, "in step") == 0)
		return true;
	err_set(line,
	    "the daemon that runs was last in step %s: %s%s%lld changes wait",
	    ctl_ago(ctl_num(j, t, "lag"), ago), problem,
	    problem[0] != '\0' ? "; " : "",
	    (long long)ctl_num(j, t, "waiting"));
	return false;
}

static bool check_daemon(
    const struct conf *conf, const struct shared_probe *found)
{
	struct buf body = BUF_INIT(CTL_ANSWER_MAX);
	struct json j = { NULL, 0, NULL };
	char line[ERR_MAX];
	bool ok = true;
	int status;

	if (ctl_ask(conf, "check", "/status", NULL, &status, &body, line) ==
		CTL_ANSWERED &&
	    status == 200 &&
	    json_load((const char *)buf_head(&body), body.len, &j))
		ok = compare_daemon(&j, found, line);
	if (!ok)
		ctl_step(step, STEP_FAILED, line);
	json_free(&j);
	buf_free(&body);
	return ok;
}

bool ctl_check_shared(const struct conf *conf, struct loop *l, bool offline)
{
	struct shared_probe found;
	struct shared *s;
	char line[ERR_MAX];

	if (conf->shared_store == NULL)
		return true;
	if (offline) { /* the files alone */
		s = shared_new(l, conf, NULL, NULL, line);
		shared_free(s);
		if (s == NULL)
			ctl_step(step, STEP_FAILED, line);
		return s != NULL;
	}
	if (shared_probe(l, conf, &found, line) < 0) {
		ctl_step(step, STEP_FAILED, line);
		return false;
	}
	warn_of_policy(&found);
	if (!check_daemon(conf, &found))
		return false;
	err_set(line, "%s%s%s%s, all rights%s%s", found.peer,
	    found.has_tls ? ", TLS" : "", found.role[0] != '\0' ? ", " : "",
	    found.role, found.book[0] != '\0' ? ", book " : ", no book yet",
	    found.book);
	ctl_step(step, STEP_OK, line);
	return true;
}

/* --- doctor --- */

static bool is_same(const struct reg *a, const struct reg *b)
{
	return reg_time_s(a) == reg_time_s(b) &&
	       reg_suspended(a) == reg_suspended(b) &&
	       reg_n_mailboxes(a) == reg_n_mailboxes(b);
}

struct differences {
	unsigned n, here, there, other;
};

static void compare(struct store *here, struct store *there, const char *user,
    struct differences *d)
{
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	struct reg *r, *o;

	memset(d, 0, sizeof(*d));
	for (r = store_first(here, user); r != NULL; r = reg_next(r)) {
		o = store_find(
		    there, user, reg_account(r, account), reg_token(r, token));
		d->n++;
		d->here += o == NULL;
		d->other += o != NULL && !is_same(r, o);
	}
	for (r = store_first(there, user); r != NULL; r = reg_next(r))
		d->there += store_find(here, user, reg_account(r, account),
				reg_token(r, token)) == NULL;
}

static enum ctl_result say_differences(
    const struct differences *d, char text[ERR_MAX])
{
	if (d->here + d->there + d->other == 0) {
		err_set(text,
		    "in step; this user's devices are the same here and "
		    "there: %u",
		    d->n);
		return STEP_OK;
	}
	err_set(text,
	    "this user's devices differ: %u only here, %u only in the shared "
	    "book, %u otherwise. If a moment later they still do: restart "
	    "xapsd, which compares all, and see its log",
	    d->here, d->there, d->other);
	return STEP_LOOK;
}

static enum ctl_result compare_user(
    const struct conf *conf, const char *user, char text[ERR_MAX])
{
	struct store *here = store_view_new(), *there = store_view_new();
	enum ctl_result result = STEP_LOOK;
	struct differences d;
	char why[ERR_MAX];
	struct loop *l = loop_new(why);

	if (l != NULL && tls_init(why) == 0 &&
	    ctl_ask_regs(conf, "doctor", user, here, why) == CTL_ANSWERED &&
	    shared_read_user(l, conf, user, there, why) == 0) {
		compare(here, there, user, &d);
		result = say_differences(&d, text);
	} else {
		err_set(text, "cannot be compared: %s", why);
	}
	if (l != NULL) {
		loop_free(l);
		tls_exit();
	}
	past_free_view(here);
	store_view_free(there);
	return result;
}

enum ctl_result ctl_doctor_shared(const struct conf *conf, const char *user,
    const struct json *status, char text[ERR_MAX])
{
	const struct json_tok *t = json_get(status, status->toks, "shared");
	char state[32], problem[ERR_MAX], ago[24];

	ctl_str(status, t, "state", state, sizeof(state));
	err_set(text, "in step");
	if (strcmp(state, "in step") == 0)
		return conf->shared_store != NULL
			   ? compare_user(conf, user, text)
			   : STEP_OK;
	ctl_str(status, t, "problem", problem, sizeof(problem));
	err_set(text,
	    "%s, last in step %s%s%s. What is registered at other nodes "
	    "meanwhile is not known here; xapsd check says what to do",
	    state, ctl_ago(ctl_num(status, t, "lag"), ago),
	    problem[0] != '\0' ? ": " : "", problem);
	return STEP_LOOK;
}
