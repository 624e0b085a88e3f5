/* ctl/app.c - what doctor says of a registration that is not Apple's. */
#include "ctl/int.h"

#include <stdio.h>
#include <string.h>

#include "store.h"
#include "webpush.h"

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

/* What to say after its name, and what follows that. */
struct finding {
	enum ctl_result result;
	const char *text, *tail;
};

static struct finding of_pushed(const struct ctl_words *w)
{
	struct finding f = { STEP_OK, "the last push was taken {pushed ago}",
		"" };

	if (ctl_words_num(w, "unanswered") > 0) {
		f.result = STEP_LOOK;
		f.text = "{unanswered} push{es} were taken, the last {pushed "
			 "ago}, and nobody came: may the app run in the "
			 "background, and has it a network?";
	} else if (json_get(w->j, w->obj, "wakeup") != NULL) {
		f.text = "[{client}] came {wakeup} s after a push; the last "
			 "{pushed ago}";
	} else if (ctl_words_num(w, "seen") > 0) {
		f.text =
		    "the last push was taken {pushed ago}; [{client}] came "
		    "{seen ago}";
	}
	return f;
}

/* With nobody who has been asked since: of the file only. */
static struct finding of_unpushed(const struct ctl_words *w, bool live)
{
	return (struct finding){
		.result = live ? STEP_OPEN : STEP_OK,
		.text = ctl_words_num(w, "time") > 0
			    ? "registered {time ago}"
			    : "registered before the clock was set",
		.tail = live ? ", no push since the start" : "",
	};
}

/* why: the last answer or problem, which is not that of a push that was taken, or
 * "". */
static struct finding find(
    const struct ctl_words *w, const char *why, bool unconfirmed, bool live)
{
	struct finding f = { STEP_LOOK, "", why };

	if (ctl_words_flag(w, "suspended")) {
		f.text = "suspended until the app registers again: ";
		if (*why == '\0')
			f.tail = "it was refused, xapsd's log says how";
	} else if (unconfirmed) {
		f.text = *why == '\0' ? "the app has not sent back the code of "
					"its first push"
				      : "the app has not sent back the code of "
					"its first push: ";
	} else if (ctl_words_flag(w, "inactive")) {
		f.text = "was made for an earlier key of this server (VAPID): "
			 "the app has to subscribe again";
		f.tail = "";
	} else if (*why == '\0') {
		return ctl_words_num(w, "pushed") > 0 ? of_pushed(w)
						      : of_unpushed(w, live);
	}
	return f;
}

enum ctl_result ctl_doctor_app(const struct json *j, int64_t now_s, bool live,
    char kind[CTL_KIND_MAX], char text[ERR_MAX])
{
	struct ctl_words w = CTL_WORDS_INIT(j, now_s);
	char to[REG_TO_MAX + 1], who[128], why[ERR_MAX];
	struct finding f;

	ctl_str(j, j->toks, "kind", kind, CTL_KIND_MAX);
	ctl_str(j, j->toks, "to", to, sizeof(to));
	name_it(j, kind, to, who);
	ctl_str(j, j->toks, "problem", why, sizeof(why));
	if (*why == '\0')
		ctl_str(j, j->toks, "answer", why, sizeof(why));
	if (strstr(why, " took it") != NULL)
		*why = '\0';
	f = find(&w, why,
	    strcmp(kind, reg_kind_name(REG_WEBPUSH)) == 0 &&
		*webpush_code(to) != '\0',
	    live);
	ctl_words_add(&w, f.text);
	err_set(text, "%s: %s%s", who, ctl_words_end(&w), f.tail);
	buf_free(&w.text);
	return f.result;
}
