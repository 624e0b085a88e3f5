/* ctl/doctor.c - `xapsd doctor USER`: why the user's phones are woken, or not.
 * From the causes that are frequent to those that are left. */
#include "ctl/int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli.h"
#include "conf.h"
#include "mem.h"
#include "store.h"

#define DAY_S 86400
/* Phones renew once a day; one may be off over a weekend. */
#define STALE_S (3 * DAY_S)
/* Between the notification and Apple's answer, `delay` apart; and what the daemon's
 * times may be wrong by. */
#define PUSH_S 10
#define NAMED 3 /* of many devices or folders */
#define NAME_SHOWN 40

/* --- what to do --- */

#define ACCOUNTS "Settings > Apps > Mail > Mail Accounts"
#define FETCH ACCOUNTS " > Fetch New Data"
#define AT_ONCE                                                                \
	"a phone registers at once when the account's Mail is switched off "   \
	"and on (" ACCOUNTS ")"
#define ONE_NAME                                                               \
	"let Dovecot use one name at log-in and at delivery, or set "          \
	"user_lookup to a userdb field that holds it"

static const char phone_registers[] =
    "On the phone: " FETCH
    ": Push on, and Push chosen for the account; " AT_ONCE ".";

static const char dovecot_registers[] =
    "In Dovecot: `doveconf -f protocol=imap mail_plugins` must show "
    "xaps_imap, a session after log-in the capability XAPPLEPUSHSERVICE, and "
    "the userdb field xaps must not be no; its log and xapsd's say why one was "
    "refused.";

static const char dovecot_notifies[] =
    "Has no mail come, or does Dovecot not report it? `doveconf -f "
    "protocol=lmtp mail_plugins` (lda: dovecot-lda) must show "
    "push_notification and xaps_push_notification. Mail that another program "
    "writes into the mailbox is not noticed.";

static const char phone_comes[] =
    "On the phone: is it on, and has it a network? " FETCH ": Push on, and "
    "Push chosen for the account; Settings > Notifications > Mail: alerts for "
    "the account. Low Power Mode and Game Mode stop Mail's push. Then: " AT_ONCE
    ".";

/* --- what is known --- */

/* Devices that have something in common, and which. */
struct group {
	size_t n;
	char who[NAMED * 10 + 8];
};

struct doctor {
	const struct conf *conf;
	const char *user;
	bool live; /* asked the daemon, not its file */
	bool ok;
	bool reaches_apple;
	int64_t now_s;
	struct buf answer;    /* of the daemon */
	struct json status;   /* toks NULL: no daemon */
	struct store *others; /* everybody's, if the user has no device */
	/* the user's devices */
	size_t n;
	struct group stale, old_topic, suspended, inbox_only;
	struct group refused;	       /* and not suspended */
	char topic[REG_TOPIC_MAX + 1]; /* one of the old ones */
	char refusal[ERR_MAX];
	int64_t registered_s; /* 0: not known, like all times here */
	int64_t notified_s, pushed_s, seen_s, waiting, unanswered;
	bool notified_unwatched;
	char wakeup[16], client[80];
	bool has_inbox;
	size_t n_folders, n_foreign; /* of the device that registered last */
	char folders[NAMED * (NAME_SHOWN + 2) + 1];
	/* the user, or one with a similar name, was notified and has no device */
	char unknown[REG_USER_MAX + 1];
	int64_t unknown_age_s;
	char unlike[NAMED * (NAME_SHOWN + 2) + 1]; /* others who were */
};

static void say(struct doctor *d, const char *step, enum ctl_result result,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void say(struct doctor *d, const char *step, enum ctl_result result,
    const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctl_step(step, result, text);
	if (result == STEP_LOOK || result == STEP_FAILED)
		d->ok = false;
}

/* All of them, or some: those may be phones in a drawer. */
static enum ctl_result result_of(const struct doctor *d, const struct group *g)
{
	return g->n == 0 ? STEP_OK : g->n < d->n ? STEP_LOOK : STEP_FAILED;
}

static void add_to_list(char *list, size_t size, const char *name)
{
	size_t len = strlen(list);

	snprintf(list + len, size - len, "%s%.*s", len > 0 ? ", " : "",
	    NAME_SHOWN, name);
}

static void add_device(struct group *g, const char *token)
{
	char shown[9];

	snprintf(shown, sizeof(shown), "%s", token);
	if (g->n++ < NAMED)
		add_to_list(g->who, sizeof(g->who), shown);
	else if (g->n == NAMED + 1)
		strcat(g->who, " ...");
}

/* "12 min ago" */
static const char *ago(int64_t seconds, char out[32])
{
	static const struct {
		int s;
		const char *unit;
	} units[] = { { DAY_S, "d" }, { 3600, "h" }, { 60, "min" } };
	size_t i = 0;

	while (i < 3 && seconds < units[i].s)
		i++;
	if (i == 3)
		snprintf(out, 32, "%d s ago", seconds > 0 ? (int)seconds : 0);
	else
		snprintf(out, 32, "%d %s ago", (int)(seconds / units[i].s),
		    units[i].unit);
	return out;
}

static bool is_true(
    const struct json *j, const struct json_tok *obj, const char *key)
{
	const struct json_tok *t = json_get(j, obj, key);

	return t != NULL && t->type == JSON_TRUE;
}

/* Whoever asks in vain may be Dovecot. */
static const char *denied(const struct doctor *d, char out[80])
{
	int64_t n = ctl_num(&d->status, d->status.toks, "denied");

	out[0] = '\0';
	if (n > 0)
		snprintf(out, 80,
		    " %lld request%s denied: xapsd's log says why.",
		    (long long)n, n == 1 ? " was" : "s were");
	return out;
}

/* --- gathering it --- */

static void later(int64_t *time_s, int64_t other_s)
{
	if (other_s > *time_s)
		*time_s = other_s;
}

static void read_folders(struct doctor *d, const struct json *j, bool newest)
{
	const struct json_tok *t = json_get(j, j->toks, "mailboxes"), *f;
	char name[REG_MAILBOX_MAX + 1];
	size_t i;

	if (t == NULL)
		return;
	if (newest) {
		d->n_folders = t->size;
		d->n_foreign = 0;
		d->folders[0] = '\0';
	}
	for (f = t + 1, i = 0; i < t->size; i++, f = j->toks + f->next) {
		if (json_string(j, f, name, sizeof(name)) < 0)
			continue;
		if (newest && i < NAMED)
			add_to_list(d->folders, sizeof(d->folders), name);
		d->has_inbox = d->has_inbox || strcasecmp(name, "INBOX") == 0;
	}
	t = json_get(j, j->toks, "canonical");
	if (t == NULL || !newest)
		return;
	for (f = t + 1, i = 0; i < t->size; i++, f = j->toks + f->next)
		d->n_foreign += f->type == JSON_ARRAY;
}

/* What visits.c and push say of it; the newest push counts. */
static void read_push(struct doctor *d, const struct json *j, const char *token)
{
	const struct json_tok *obj = j->toks, *t;
	int64_t pushed_s = ctl_num(j, obj, "pushed");
	char answer[ERR_MAX];

	if (ctl_num(j, obj, "notified") > d->notified_s)
		d->notified_unwatched = is_true(j, obj, "notifiedUnwatched");
	later(&d->notified_s, ctl_num(j, obj, "notified"));
	later(&d->seen_s, ctl_num(j, obj, "seen"));
	ctl_str(j, obj, "answer", answer, sizeof(answer));
	if (answer[0] != '\0' && strcmp(answer, "Apple took it") != 0) {
		if (!is_true(j, obj, "suspended"))
			add_device(&d->refused, token);
		strcpy(d->refusal, answer);
	}
	if (pushed_s <= d->pushed_s)
		return;
	d->pushed_s = pushed_s;
	d->waiting = ctl_num(j, obj, "waiting");
	d->unanswered = ctl_num(j, obj, "unanswered");
	ctl_str(j, obj, "client", d->client, sizeof(d->client));
	t = json_get(j, obj, "wakeup");
	if (t != NULL)
		snprintf(d->wakeup, sizeof(d->wakeup), "%.*s",
		    (int)(t->end - t->start), j->text + t->start);
}

static void read_device(struct doctor *d, const struct json *j)
{
	const struct json_tok *obj = j->toks;
	char token[REG_TOKEN_MAX + 1];
	const struct json_tok *topic = json_get(j, obj, "topic");
	int64_t time_s = ctl_num(j, obj, "time");

	d->n++;
	ctl_str(j, obj, "token", token, sizeof(token));
	if (time_s > 0 && d->now_s - time_s > STALE_S)
		add_device(&d->stale, token);
	if (json_string(j, topic, d->topic, sizeof(d->topic)) > 0)
		add_device(&d->old_topic, token);
	if (is_true(j, obj, "suspended"))
		add_device(&d->suspended, token);
	if (d->conf->mailbox_hashes == HASHES_NEVER ||
	    (d->conf->mailbox_hashes == HASHES_AUTO &&
		!is_true(j, obj, "acked")))
		add_device(&d->inbox_only, token);
	read_folders(d, j, d->n == 1 || time_s > d->registered_s);
	later(&d->registered_s, time_s);
	read_push(d, j, token);
}

/* The lines of a page, or of the file; the last of a page is no device. */
static int64_t read_lines(struct doctor *d, const struct buf *b)
{
	const char *p = (const char *)buf_head(b), *end = p + b->len, *eol;
	int64_t next = -1;
	struct json j;

	for (; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (eol == NULL)
			break;
		if (!ctl_parse(p, (size_t)(eol - p), &j))
			return -1;
		if (json_get(&j, j.toks, "token") != NULL)
			read_device(d, &j);
		else
			next = ctl_num(&j, j.toks, "next");
		ctl_free_json(&j);
	}
	return next;
}

/* Asks about the user; err says what went wrong. */
static enum ctl_asked ask(
    struct doctor *d, const char *path, int64_t from, char err[ERR_MAX])
{
	struct buf body = BUF_INIT(8 * REG_USER_MAX);
	enum ctl_asked asked;
	int status;

	buf_add_str(&body, "{\"user\":");
	json_write_str(&body, d->user);
	buf_add_fmt(&body, ",\"from\":%lld}", (long long)from);
	asked =
	    ctl_ask(d->conf, "doctor", path, &body, &status, &d->answer, err);
	buf_free(&body);
	if (asked != CTL_ANSWERED || status == 200)
		return asked;
	ctl_take_refusal(&d->answer, err);
	return CTL_FAILED;
}

static enum ctl_asked ask_devices(struct doctor *d, char err[ERR_MAX])
{
	enum ctl_asked asked;
	int64_t from = 0;

	do {
		asked = ask(d, "/admin/list", from, err);
		if (asked != CTL_ANSWERED)
			return asked;
		from = read_lines(d, &d->answer);
	} while (from > 0);
	if (from == 0)
		return asked;
	err_set(err, "the daemon's answer is not understood: restart it, if it "
		     "is of another version");
	return CTL_FAILED;
}

/* An older daemon does not know. */
static void ask_unknown(struct doctor *d)
{
	const struct json_tok *t, *o;
	char err[ERR_MAX], name[REG_USER_MAX + 1];
	struct json j;
	size_t i;

	if (ask(d, "/admin/unknown", 0, err) != CTL_ANSWERED ||
	    !ctl_parse((const char *)buf_head(&d->answer), d->answer.len, &j))
		return;
	ctl_str(&j, j.toks, "name", d->unknown, sizeof(d->unknown));
	d->unknown_age_s = ctl_num(&j, j.toks, "age");
	t = json_get(&j, j.toks, "others");
	for (o = t + 1, i = 0; t != NULL && i < t->size; i++, o++)
		if (json_string(&j, o, name, sizeof(name)) > 0)
			add_to_list(d->unlike, sizeof(d->unlike), name);
	ctl_free_json(&j);
}

/* /status is kept; its text is in the buffer. */
static enum ctl_asked ask_status(
    struct doctor *d, struct buf *text, char err[ERR_MAX])
{
	enum ctl_asked asked;
	int status;

	asked = ctl_ask(d->conf, "doctor", "/status", NULL, &status, text, err);
	if (asked != CTL_ANSWERED)
		return asked;
	if (status == 200 &&
	    ctl_parse((const char *)buf_head(text), text->len, &d->status))
		return asked;
	ctl_take_refusal(text, err);
	return CTL_FAILED;
}

/* From the file, if no daemon runs.  -1 with err set. */
static int read_file(struct doctor *d, char err[ERR_MAX])
{
	struct buf line = BUF_INIT(CTL_ANSWER_MAX);
	struct reg *r;
	size_t bad;
	int rc;

	d->others = store_view_new();
	rc = store_view_read(d->others, d->conf->database_file, &bad, err);
	for (r = rc < 0 ? NULL : store_first(d->others, d->user); r != NULL;
	     r = reg_next(r))
		reg_write(r, NULL, &line);
	read_lines(d, &line);
	buf_free(&line);
	return rc;
}

/* --- the steps --- */

static void check_daemon(struct doctor *d)
{
	char version[64], up[32], problem[ERR_MAX], state[32], error[ERR_MAX];
	const struct json *j = &d->status;
	const struct json_tok *t = json_get(j, j->toks, "warnings");

	ctl_str(j, j->toks, "version", version, sizeof(version));
	if (is_true(j, j->toks, "storeFailing"))
		say(d, "daemon", STEP_FAILED,
		    "registrations cannot be written to disk: xapsd's log says "
		    "why");
	else
		say(d, "daemon", STEP_OK, "xapsd %s runs, started %s", version,
		    ago(ctl_num(j, j->toks, "uptime"), up));
	ctl_str(j, j->toks, "problem", problem, sizeof(problem));
	ctl_str(j, j->toks, "apns", state, sizeof(state));
	ctl_str(j, j->toks, "apnsError", error, sizeof(error));
	if (problem[0] != '\0')
		say(d, "Apple", STEP_FAILED,
		    "%s. Pushes wait; xapsd check shows more", problem);
	else if (strcmp(state, "connected") != 0)
		say(d, "Apple", error[0] != '\0' ? STEP_FAILED : STEP_LOOK,
		    "not connected%s%s. Pushes wait; xapsd check shows more",
		    error[0] != '\0' ? ": " : " yet", error);
	else if (t != NULL && t->size > 0 &&
		 json_string(j, t + 1, error, sizeof(error)) > 0)
		say(d, "Apple", STEP_LOOK, "%s", error);
	else
		say(d, "Apple", STEP_OK, "connected");
	d->reaches_apple = d->ok;
}

/* Whose names are like that of the user, who has no device. */
static void check_similar(struct doctor *d)
{
	const char *names[STORE_SIMILAR_MAX];
	char list[STORE_SIMILAR_MAX * (NAME_SHOWN + 2) + 1] = "";
	size_t n = store_similar(d->others, d->user, names), i;

	if (n == 0)
		return;
	for (i = 0; i < n; i++)
		add_to_list(list, sizeof(list), names[i]);
	say(d, "names", STEP_FAILED,
	    "%s has no device, but there are devices of %s. If that is the "
	    "same person, " ONE_NAME ". Whether that one is woken: xapsd "
	    "doctor %s",
	    d->user, list, names[0]);
}

/* Why there may be none, and how to get one. */
static void check_unregistered(struct doctor *d)
{
	const struct watch *w = NULL;
	char mail[ERR_MAX] = "", shared[80] = "", time[80];
	bool anybody = false;
	size_t n = 0;

	if (d->others == NULL) {
		d->others = store_view_new();
		anybody = ctl_ask_regs(d->conf, "doctor", NULL, d->others,
			      mail) != CTL_ANSWERED;
	}
	check_similar(d);
	while (store_watcher(d->others, d->user, &w) != NULL)
		n++;
	if (n > 0)
		snprintf(shared, sizeof(shared),
		    " (%zu device%s of others watch%s this user's folders)", n,
		    LOG_S(n), n == 1 ? "es" : "");
	mail[0] = '\0';
	if (d->unknown[0] != '\0')
		err_set(mail, " Mail is reported: for %s, %s.", d->unknown,
		    ago(d->unknown_age_s, time));
	anybody = anybody || store_count(d->others) > 0;
	say(d, "registration", STEP_FAILED, "no device of %s%s.%s%s %s%s %s",
	    d->user, shared, mail, denied(d, time),
	    anybody ? "" : "Nobody has one, so it is hardly the phone. ",
	    anybody ? phone_registers : dovecot_registers,
	    anybody ? dovecot_registers : phone_registers);
}

/* Whether Dovecot has one name for the user. */
static bool check_names(struct doctor *d)
{
	char time[32], own[32];
	bool other = d->unknown[0] != '\0' &&
		     strcasecmp(d->unknown, d->user) != 0 &&
		     d->now_s - d->notified_s > d->unknown_age_s;

	if (other)
		say(d, "names", STEP_FAILED,
		    "notifications come for %s, the last %s, who has no "
		    "device, and for %s %s%s: " ONE_NAME,
		    d->unknown, ago(d->unknown_age_s, time), d->user,
		    d->notified_s > 0 ? "the last came "
				      : "none has come since the start",
		    d->notified_s > 0 ? ago(d->now_s - d->notified_s, own)
				      : "");
	else
		say(d, "names", STEP_OK, "%s has %zu device%s", d->user, d->n,
		    LOG_S(d->n));
	return !other;
}

static void check_registration(struct doctor *d)
{
	char time[32];
	const char *when = d->registered_s == 0
			       ? "before the clock was set"
			       : ago(d->now_s - d->registered_s, time);

	if (d->stale.n == d->n)
		say(d, "registration", STEP_LOOK,
		    "the last one %s, though phones renew once a day: is the "
		    "phone off, the account gone, its password changed, or "
		    "Push off? %s",
		    when, phone_registers);
	else
		say(d, "registration", STEP_OK, "the last one %s%s%s", when,
		    d->stale.n > 0 ? "; not for days: " : "", d->stale.who);
}

/* What Apple's answers do not show, and what they did. */
static void check_tokens(struct doctor *d)
{
	char now[REG_TOPIC_MAX + 1];

	ctl_str(&d->status, d->status.toks, "topic", now, sizeof(now));
	if (d->old_topic.n > 0)
		say(d, "topic", result_of(d, &d->old_topic),
		    "%s registered under %s and ignores pushes of %s until it "
		    "registers again, within a day; " AT_ONCE,
		    d->old_topic.who, d->topic, now);
	else if (now[0] != '\0')
		say(d, "topic", STEP_OK, "%s", now);
	if (d->suspended.n > 0)
		say(d, "token", result_of(d, &d->suspended),
		    "Apple refuses that of %s%s%s: suspended until it "
		    "registers again; " AT_ONCE ". If that does not help, or "
		    "many are suspended (xapsd status): topic, credentials or "
		    "apnsEnvironment are not those of these phones",
		    d->suspended.who, d->refusal[0] != '\0' ? ": " : "",
		    d->refusal);
	else
		say(d, "token", STEP_OK, "not refused by Apple");
}

static void check_folders(struct doctor *d)
{
	char more[64] = "", shared[64] = "", time[32];

	if (d->n_folders > NAMED)
		snprintf(
		    more, sizeof(more), " and %zu more", d->n_folders - NAMED);
	if (d->n_foreign > 0)
		snprintf(shared, sizeof(shared), "; %zu of other users",
		    d->n_foreign);
	if (d->inbox_only.n > 0 && (d->n_folders > 1 || !d->has_inbox))
		say(d, "folders", STEP_LOOK, "%s: INBOX only, of %s%s: %s",
		    d->inbox_only.who, d->folders, more,
		    d->conf->mailbox_hashes == HASHES_NEVER
			? "mailboxHashes is never"
			: "Dovecot's plugin is one that does not acknowledge "
			  "folders to the phone. Install xapsd's; " AT_ONCE);
	else if (d->notified_unwatched && d->suspended.n < d->n)
		say(d, "folders", STEP_LOOK,
		    "the last notification, %s, was for a folder that no "
		    "device watches. They watch %s%s. They are chosen on the "
		    "phone: " FETCH " > the account",
		    ago(d->now_s - d->notified_s, time), d->folders, more);
	else
		say(d, "folders", d->has_inbox ? STEP_OK : STEP_LOOK,
		    "%s%s%s%s", d->n_folders > 0 ? d->folders : "none", more,
		    shared, d->has_inbox ? "" : ": INBOX is not among them");
}

static void check_notified(struct doctor *d)
{
	const struct json_tok *obj = d->status.toks;
	char time[80];
	bool anybody = ctl_num(&d->status, obj, "notified") +
			   ctl_num(&d->status, obj, "unwatched") +
			   ctl_num(&d->status, obj, "unknownUsers") >
		       0;

	if (d->notified_s > 0)
		say(d, "notification", STEP_OK, "the last one %s",
		    ago(d->now_s - d->notified_s, time));
	else
		say(d, "notification", STEP_LOOK,
		    "none since the start%s.%s %s%s%s",
		    anybody ? "" : ", for nobody", denied(d, time),
		    dovecot_notifies,
		    d->unlike[0] != '\0' ? " Names that were notified and "
					   "have no device: "
					 : "",
		    d->unlike);
}

static void check_pushed(struct doctor *d)
{
	char time[32] = "none since the start";
	bool waits = d->reaches_apple && !d->notified_unwatched &&
		     d->suspended.n < d->n &&
		     d->notified_s > d->pushed_s + d->conf->delay_s + PUSH_S;

	if (d->pushed_s > 0)
		ago(d->now_s - d->pushed_s, time);
	if (d->refused.n > 0)
		say(d, "push", result_of(d, &d->refused),
		    "the last that Apple took: %s. %s: %s", time,
		    d->refused.who, d->refusal);
	else if (waits)
		say(d, "push", STEP_LOOK,
		    "the last that Apple took: %s, before the last "
		    "notification: xapsd's log says why",
		    time);
	else if (d->pushed_s > 0)
		say(d, "push", STEP_OK, "Apple took the last one %s", time);
}

static void check_visits(struct doctor *d)
{
	int64_t age_s = d->now_s - d->pushed_s;
	char time[32];

	if (ctl_num(&d->status, d->status.toks, "visits") == 0)
		say(d, "visit", STEP_OPEN,
		    "none is reported, so whether phones come is not known: "
		    "Dovecot's plugin is an older one, or has xaps_visits = "
		    "no");
	else if (d->unanswered > 0)
		say(d, "visit", STEP_FAILED, "%lld push%s, nobody came. %s",
		    (long long)d->unanswered, d->unanswered == 1 ? "" : "es",
		    phone_comes);
	else if (d->waiting > 0)
		say(d, "visit", STEP_LOOK,
		    "nobody has come yet after the push of %s, and phones "
		    "come within seconds. %s",
		    ago(age_s, time), phone_comes);
	else if (d->seen_s + PUSH_S < d->pushed_s)
		say(d, "visit", STEP_LOOK,
		    "none since the last push, before which nobody reported "
		    "visits. Ask again after the next mail");
	else
		say(d, "visit", STEP_OK, "%s%s%s%s came %s",
		    d->client[0] != '\0' ? d->client : "a phone",
		    d->wakeup[0] != '\0' ? ", " : "", d->wakeup,
		    d->wakeup[0] != '\0' ? " s after a push," : "",
		    ago(d->now_s - d->seen_s, time));
}

static void check_devices(struct doctor *d)
{
	check_registration(d);
	if (d->live)
		check_tokens(d);
	check_folders(d);
	if (!d->live)
		return;
	check_notified(d);
	check_pushed(d);
	if (d->pushed_s > 0)
		check_visits(d);
}

static void doctor_run(struct doctor *d, struct buf *status)
{
	char err[ERR_MAX];
	enum ctl_asked asked = ask_status(d, status, err);

	if (asked == CTL_ANSWERED)
		asked = ask_devices(d, err);
	d->live = asked == CTL_ANSWERED;
	if (d->live)
		check_daemon(d);
	else
		say(d, "daemon", STEP_FAILED, "%s", err);
	if (asked == CTL_FAILED)
		return;
	if (d->live) {
		ask_unknown(d);
	} else if (read_file(d, err) < 0) {
		say(d, "database", STEP_FAILED, "%s", err);
		return;
	}
	if (d->n == 0)
		check_unregistered(d);
	else if (check_names(d))
		check_devices(d);
}

int ctl_doctor(const struct conf *conf, const struct cli *cli)
{
	struct doctor d = { .conf = conf, .ok = true };
	struct buf status = BUF_INIT(CTL_ANSWER_MAX);

	d.user = cli->argv[cli->rest + 1];
	d.now_s = (int64_t)time(NULL);
	buf_init(&d.answer, CTL_ANSWER_MAX);
	ctl_steps_begin(cli->json, true);
	if (reg_text_ok(d.user, REG_USER_MAX))
		doctor_run(&d, &status);
	else
		say(&d, "names", STEP_FAILED,
		    "nobody can have this name: 1 to 255 bytes of UTF-8 "
		    "without control characters");
	ctl_free_json(&d.status);
	buf_free(&status);
	buf_free(&d.answer);
	if (d.others != NULL)
		past_free_view(d.others);
	return ctl_steps_end(d.ok);
}
