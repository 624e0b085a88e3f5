/* ctl/doctor.c - `xapsd doctor USER`: why the user's phones are woken, or not.
 * From the causes that are frequent to those that are left. */
#include "ctl/int.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli.h"
#include "conf.h"
#include "store.h"

/* Phones renew once a day; one may be off over a weekend. */
#define STALE_S (3 * 86400)
/* Between the notification and Apple's answer, `delay` apart; and what the daemon's
 * times may be wrong by. */
#define PUSH_S 10
/* A later visit answers no push; and how many of those are counted. */
#define WAKEUP_MAX_S 600
#define UNANSWERED_MAX 255
#define NAMED 3 /* of many devices or folders */
#define NAME_SHOWN 40
#define LIST_MAX (NAMED * (NAME_SHOWN + 5) + 32)

/* --- what is known --- */

enum group_index {
	STALE,
	OLD_TOPIC,
	MOVED, /* with another brand's topic, and so pushed by it */
	SUSPENDED,
	INBOX_ONLY,
	REFUSED, /* and not suspended */
	N_GROUPS,
};

/* Times are seconds since 1970; 0: not known, or not since the start. */
struct doctor {
	const struct conf *conf;
	bool live; /* asked the daemon, not its file */
	bool ok, reaches_apple;
	/* the user's devices */
	bool unwatched; /* the last notification was */
	bool has_inbox;
	int64_t now_s;
	int64_t n;	/* Apple's */
	int64_t n_apps; /* others, whose lines are below */
	int64_t notified_s, pushed_s, seen_s, registered_s;
	int64_t waiting, unanswered; /* of the one with the last push */
	int64_t n_folders;	     /* of the one that registered last */
	/* who has no device: one of a similar name, and when he was notified and
	 * seen; below: and who was notified last */
	int64_t unknown_notified_s, unknown_seen_s;
	int64_t started_s, denied, forgotten; /* of the daemon */
	struct store *others; /* everybody's, if the user has no device */
	struct json status;   /* toks NULL: no daemon */
	struct buf answer;    /* of the daemon */
	struct buf text;      /* of the next step */
	struct buf apps;

	struct {
		int64_t n;
		char who[LIST_MAX];
	} groups[N_GROUPS];
	char list[LIST_MAX]; /* folders */
	char user[REG_USER_MAX + 1];
	char unknown[REG_USER_MAX + 1], last[REG_USER_MAX + 1];
	char wakeup[16], client[80];
	char brand[80], via[80];       /* the user's; "": the main credential */
	char topic[REG_TOPIC_MAX + 1]; /* the daemon's */
	char old_topic[REG_TOPIC_MAX + 1];
	char refusal[ERR_MAX], error[ERR_MAX];
};

/* --- sentences --- */

/* Each @ and letter is replaced: a capital by one of these, another by a fact. */
static const char *const phrases[] = {
	/* A */ "Settings > Apps > Mail > Mail Accounts",
	/* B */ "@A > Fetch New Data",
	/* C */
	"a phone registers at once when the account's Mail is switched "
	"off and on (@A)",
	/* D */
	"let Dovecot use one name at log-in and at delivery, or set "
	"user_lookup to a userdb field that holds it",
	/* E */
	"On the phone: @B: Push on, and Push chosen for the account; "
	"@C.",
	/* F */
	"In Dovecot: `doveconf -f protocol=imap mail_plugins` must "
	"show xaps_imap, a session after log-in the capability "
	"XAPPLEPUSHSERVICE, and the userdb field xaps must not be no; "
	"its log and xapsd's say why one was refused or removed.",
	/* G */
	"Has no mail come, or does Dovecot not report it? `doveconf -f "
	"protocol=lmtp mail_plugins` (lda: dovecot-lda) must show "
	"push_notification and xaps_push_notification. Mail that "
	"another program writes into the mailbox is not noticed.",
	/* H */
	"On the phone: is it on, and has it a network? @B: Push on, "
	"and Push chosen for the account; @J. Low Power Mode and Game "
	"Mode stop Mail's push. If all of that is right: @C.",
	/* I */ "Pushes wait; xapsd check shows more",
	/* J */ "Settings > Notifications > Mail: alerts for the account",
};

enum fact_kind {
	TEXT,
	AGO,
	COUNT,
	ARG, /* of a command that somebody may paste */
};

static const struct fact {
	char letter, kind;
	unsigned short at;
	const char *word; /* if it is empty or 0; what is counted */
} facts[] = {
#define F(letter, kind, field, word)                                           \
	{                                                                      \
		letter, kind, offsetof(struct doctor, field), word             \
	}
	F('a', TEXT, groups[STALE].who, ""),
	F('b', TEXT, groups[OLD_TOPIC].who, ""),
	F('c', TEXT, groups[SUSPENDED].who, ""),
	F('d', TEXT, groups[INBOX_ONLY].who, ""),
	F('e', TEXT, error, ""),
	F('f', TEXT, list, "none"),
	F('g', COUNT, denied, "request"),
	F('h', AGO, seen_s, ""),
	F('i', AGO, registered_s, "before the clock was set"),
	F('j', AGO, notified_s, "none since the start"),
	F('k', AGO, pushed_s, "none since the start"),
	F('l', TEXT, last, ""),
	F('m', AGO, unknown_seen_s, ""),
	F('n', COUNT, n, "device"),
	F('o', TEXT, unknown, ""),
	F('p', TEXT, groups[REFUSED].who, ""),
	F('q', COUNT, unanswered, "push"),
	F('r', TEXT, refusal, "its log says how"),
	F('s', AGO, started_s, ""),
	F('t', TEXT, old_topic, ""),
	F('u', TEXT, user, ""),
	F('v', COUNT, forgotten, "device"),
	F('w', TEXT, wakeup, ""),
	F('x', AGO, unknown_notified_s, ""),
	F('y', TEXT, topic, ""),
	F('z', TEXT, client, "a phone"),
	F('}', TEXT, groups[MOVED].who, ""),
	F('~', TEXT, via, "the main credential"),
	F('{', ARG, user, ""),
	F('|', ARG, error, ""),
#undef F
};

static int64_t *number(struct doctor *d, size_t at)
{
	return (int64_t *)(void *)((char *)d + at);
}

/* Quoted for a shell, if that is needed. */
static void add_arg(struct doctor *d, const char *text)
{
	static const char quotable[] = " !\"#$&'()*;<=>?[\\]^`{|}~";
	size_t n;

	if (*text == '-')
		buf_add_str(&d->text, "-- ");
	if (strpbrk(text, quotable) == NULL) {
		buf_add_str(&d->text, text);
		return;
	}
	buf_add_byte(&d->text, '\'');
	for (; *text != '\0'; text += n) {
		n = strcspn(text, "'");
		buf_add(&d->text, text, n);
		if (text[n] == '\'') {
			buf_add_str(&d->text, "'\\''");
			n++;
		}
	}
	buf_add_byte(&d->text, '\'');
}

static void add_fact(struct doctor *d, char letter)
{
	const struct fact *f = facts;
	const char *text;
	char ago[24];
	int64_t n;

	while (f->letter != letter)
		f++;
	text = (char *)d + f->at;
	if (f->kind == ARG) {
		add_arg(d, text);
		return;
	}
	if (f->kind == TEXT) {
		buf_add_str(&d->text, *text != '\0' ? text : f->word);
		return;
	}
	n = *number(d, f->at);
	if (f->kind == COUNT)
		buf_add_fmt(&d->text, "%lld%s %s%s", (long long)n,
		    f->letter == 'q' && n == UNANSWERED_MAX ? "+" : "", f->word,
		    n == 1	      ? ""
		    : *f->word == 'p' ? "es"
				      : "s");
	else
		buf_add_str(
		    &d->text, n != 0 ? ctl_ago(d->now_s - n, ago) : f->word);
}

static void add(struct doctor *d, const char *sentence)
{
	for (; *sentence != '\0'; sentence++) {
		if (*sentence != '@')
			buf_add_byte(&d->text, *sentence);
		else if (*++sentence >= 'a')
			add_fact(d, *sentence);
		else
			add(d, phrases[*sentence - 'A']);
	}
}

/* Ends what add() began. */
static void say(struct doctor *d, const char *step, enum ctl_result result,
    const char *sentence)
{
	add(d, sentence);
	buf_add_byte(&d->text, '\0');
	ctl_step(step, result, (const char *)buf_head(&d->text));
	buf_reset(&d->text);
	if (result == STEP_LOOK || result == STEP_FAILED)
		d->ok = false;
}

/* Of a trouble of all devices, or of some: those may be phones in a drawer. */
static enum ctl_result result_of(const struct doctor *d, enum group_index g)
{
	return d->groups[g].n < d->n ? STEP_LOOK : STEP_FAILED;
}

/* --- gathering it --- */

static bool is_true(
    const struct json *j, const struct json_tok *obj, const char *key)
{
	const struct json_tok *t = json_get(j, obj, key);

	return t != NULL && t->type == JSON_TRUE;
}

static void add_to_list(char list[LIST_MAX], int64_t i, const char *name)
{
	size_t len = strlen(list), n = strlen(name);
	bool cut = n > NAME_SHOWN;

	if (i >= NAMED)
		return;
	n = cut ? NAME_SHOWN : n;
	while (cut && n > 0 && (name[n] & 0xc0) == 0x80)
		n--; /* not within a character */
	snprintf(list + len, LIST_MAX - len, "%s%.*s%s", i > 0 ? ", " : "",
	    (int)n, name, cut ? "…" : "");
}

static void end_list(char list[LIST_MAX], int64_t n)
{
	size_t len = strlen(list);

	if (n > NAMED)
		snprintf(list + len, LIST_MAX - len, " and %lld more",
		    (long long)(n - NAMED));
}

static void add_device(
    struct doctor *d, enum group_index g, bool is_of_it, char shown[9])
{
	if (is_of_it)
		add_to_list(d->groups[g].who, d->groups[g].n++, shown);
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
		d->list[0] = '\0';
	}
	for (f = t + 1, i = 0; i < t->size; i++, f = j->toks + f->next) {
		if (json_string(j, f, name, sizeof(name)) < 0)
			continue;
		if (newest)
			add_to_list(d->list, (int64_t)i, name);
		d->has_inbox = d->has_inbox || strcasecmp(name, "INBOX") == 0;
	}
}

/* The latest of all devices. */
static const struct latest {
	const char *key;
	unsigned short at;
} latest[] = {
	{ "time", offsetof(struct doctor, registered_s) },
	{ "notified", offsetof(struct doctor, notified_s) },
	{ "pushed", offsetof(struct doctor, pushed_s) },
	{ "seen", offsetof(struct doctor, seen_s) },
};

static void read_last_push(struct doctor *d, const struct json *j)
{
	const struct json_tok *t = json_get(j, j->toks, "wakeup");

	d->wakeup[0] = '\0';
	d->waiting = ctl_num(j, j->toks, "waiting");
	d->unanswered = ctl_num(j, j->toks, "unanswered");
	ctl_str(j, j->toks, "client", d->client, sizeof(d->client));
	if (t != NULL)
		snprintf(d->wakeup, sizeof(d->wakeup), "%.*s",
		    (int)(t->end - t->start), j->text + t->start);
}

static void read_device(struct doctor *d, const struct json *j)
{
	const struct json_tok *obj = j->toks;
	char token[REG_TOKEN_MAX + 1], answer[ERR_MAX];
	int64_t time_s = ctl_num(j, obj, "time"), *at;
	int hashes = d->conf->mailbox_hashes;
	bool suspended = is_true(j, obj, "suspended"), moved;
	size_t i;

	ctl_str(j, obj, "token", token, sizeof(token));
	token[8] = '\0';
	ctl_str(j, obj, "answer", answer, sizeof(answer));
	if (strcmp(answer, "Apple took it") == 0)
		answer[0] = '\0';
	if (answer[0] != '\0')
		strcpy(d->refusal, answer);
	add_device(d, STALE, time_s > 0 && d->now_s - time_s > STALE_S, token);
	ctl_str(j, obj, "brand", d->brand, sizeof(d->brand));
	moved = json_get(j, obj, "via") != NULL;
	if (moved)
		ctl_str(j, obj, "via", d->via, sizeof(d->via));
	add_device(d, MOVED, moved, token);
	add_device(d, OLD_TOPIC,
	    !moved && json_string(j, json_get(j, obj, "topic"), d->old_topic,
			  sizeof(d->old_topic)) > 0,
	    token);
	add_device(d, SUSPENDED, suspended, token);
	add_device(d, REFUSED, answer[0] != '\0' && !suspended, token);
	add_device(d, INBOX_ONLY,
	    hashes == HASHES_NEVER ||
		(hashes == HASHES_AUTO && !is_true(j, obj, "acked")),
	    token);
	read_folders(d, j, d->n++ == 0 || time_s > d->registered_s);
	if (ctl_num(j, obj, "notified") > d->notified_s)
		d->unwatched = is_true(j, obj, "notifiedUnwatched");
	if (ctl_num(j, obj, "pushed") > d->pushed_s)
		read_last_push(d, j);
	for (i = 0; i < sizeof(latest) / sizeof(latest[0]); i++) {
		at = number(d, latest[i].at);
		time_s = ctl_num(j, obj, latest[i].key);
		*at = time_s > *at ? time_s : *at;
	}
}

/* One that is not Apple's, and its line. */
static void keep_app(
    struct doctor *d, const struct json *j, const char *line, size_t len)
{
	int64_t time_s = ctl_num(j, j->toks, "notified");

	if (time_s > d->notified_s)
		d->notified_s = time_s;
	buf_add(&d->apps, line, len);
	d->n_apps++;
}

/* The lines of a page, or of the file.  What the page says to ask for next, 0 at
 * the end, -1 if it is none. */
static int64_t read_lines(struct doctor *d, const struct buf *b)
{
	const char *p = (const char *)buf_head(b), *end = p + b->len, *eol;
	int64_t next = -1;
	struct json j;

	for (; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (eol == NULL || !json_load(p, (size_t)(eol - p), &j))
			return -1;
		if (json_get(&j, j.toks, "kind") != NULL)
			keep_app(d, &j, p, (size_t)(eol - p) + 1);
		else if (json_get(&j, j.toks, "token") != NULL)
			read_device(d, &j);
		else
			next = ctl_num(&j, j.toks, "next");
		json_free(&j);
	}
	return next;
}

/* GET, or with the user, from the device with that number on. */
static enum ctl_asked ask(struct doctor *d, const char *path, int64_t from)
{
	struct buf body = BUF_INIT(8 * REG_USER_MAX);
	enum ctl_asked asked;
	int status;

	buf_add_str(&body, "{\"user\":");
	json_write_str(&body, d->user);
	buf_add_fmt(&body, ",\"from\":%lld}", (long long)from);
	asked = ctl_ask(d->conf, "doctor", path, from < 0 ? NULL : &body,
	    &status, &d->answer, d->error);
	buf_free(&body);
	if (asked != CTL_ANSWERED || status == 200)
		return asked;
	ctl_take_refusal(&d->answer, d->error);
	if (status == 403) /* it names another command */
		err_set(d->error,
		    "only root and the daemon's own user may ask this: sudo "
		    "xapsd doctor %s",
		    d->user);
	return CTL_FAILED;
}

static bool parse(struct doctor *d, struct json *j_r)
{
	return json_load(
	    (const char *)buf_head(&d->answer), d->answer.len, j_r);
}

static enum ctl_asked ask_devices(struct doctor *d)
{
	enum ctl_asked asked;
	int64_t from = 0;

	do {
		asked = ask(d, "/admin/list", from);
		if (asked != CTL_ANSWERED)
			return asked;
		from = read_lines(d, &d->answer);
	} while (from > 0);
	if (from == 0)
		return asked;
	err_set(d->error, CTL_NOT_UNDERSTOOD);
	return CTL_FAILED;
}

static void set_time(const struct doctor *d, int64_t *time_s,
    const struct json *j, const char *age_key)
{
	if (json_get(j, j->toks, age_key) != NULL)
		*time_s = d->now_s - ctl_num(j, j->toks, age_key);
}

/* An older daemon does not know. */
static void ask_unknown(struct doctor *d)
{
	struct json j;

	if (ask(d, "/admin/unknown", 0) != CTL_ANSWERED || !parse(d, &j))
		return;
	ctl_str(&j, j.toks, "name", d->unknown, sizeof(d->unknown));
	ctl_str(&j, j.toks, "last", d->last, sizeof(d->last));
	set_time(d, &d->unknown_notified_s, &j, "notified");
	set_time(d, &d->unknown_seen_s, &j, "seen");
	json_free(&j);
}

/* From the file, if no daemon runs.  -1 with the error set. */
static int read_file(struct doctor *d)
{
	struct reg *r;
	size_t bad;
	int rc;

	d->others = store_view_new();
	rc = store_view_read(d->others, d->conf->database_file, &bad, d->error);
	buf_reset(&d->answer);
	r = rc < 0 ? NULL : store_first(d->others, d->user);
	for (; r != NULL; r = reg_next(r))
		reg_write(r, NULL, &d->answer);
	read_lines(d, &d->answer);
	return rc;
}

/* --- the steps --- */

static int64_t status(const struct doctor *d, const char *key)
{
	return ctl_num(&d->status, d->status.toks, key);
}

/* What is known of the user's credential: of a brand, or of the main one. */
static const struct json_tok *credential(const struct doctor *d)
{
	const struct json *j = &d->status;
	const struct json_tok *list = json_get(j, j->toks, "brands"), *t;
	char name[80];
	size_t i;

	for (t = list + 1, i = 0; list != NULL && i < list->size; i++) {
		ctl_str(j, t, "name", name, sizeof(name));
		if (strcmp(name, d->brand) == 0)
			return t;
		t = j->toks + t->next;
	}
	return j->toks;
}

static void check_apple(struct doctor *d)
{
	const struct json *j = &d->status;
	const struct json_tok *obj = credential(d);
	const struct json_tok *t = json_get(j, obj, "warnings");
	char state[32];

	ctl_str(j, obj, "topic", d->topic, sizeof(d->topic));
	ctl_str(
	    j, obj, obj == j->toks ? "apns" : "state", state, sizeof(state));
	ctl_str(j, obj, "problem", d->error, sizeof(d->error));
	if (d->error[0] != '\0') {
		say(d, "Apple", STEP_FAILED, "@e. @I");
	} else if (strcmp(state, "connected") != 0 &&
		   strcmp(state, "idle") != 0) {
		ctl_str(j, obj, "apnsError", d->error, sizeof(d->error));
		if (d->error[0] != '\0')
			say(d, "Apple", STEP_FAILED, "not connected: @e. @I");
		else
			say(d, "Apple", STEP_LOOK, "not connected yet. @I");
	} else if (d->wakeup[0] == '\0' && t != NULL && t->size > 0 &&
		   json_string(j, t + 1, d->error, sizeof(d->error)) > 0) {
		say(d, "Apple", STEP_LOOK, "@e");
	} else {
		add(d, strcmp(state, "idle") == 0
			   ? "connected when there is something to push"
			   : "connected");
		if (d->brand[0] != '\0')
			buf_add_fmt(&d->text, ", brand %s", d->brand);
		say(d, "Apple", STEP_OK, "");
		d->reaches_apple = true;
	}
}

static void check_daemon(struct doctor *d)
{
	if (is_true(&d->status, d->status.toks, "storeFailing"))
		say(d, "daemon", STEP_FAILED,
		    "registrations cannot be written to disk: xapsd's log says "
		    "why");
	else
		say(d, "daemon", STEP_OK, "runs, started @s");
	if (d->n > 0 || d->n_apps == 0)
		check_apple(d);
}

/* Whose names are like that of the user, who has no device. */
static void check_similar(struct doctor *d)
{
	const char *names[STORE_SIMILAR_MAX];
	size_t n = store_similar(d->others, d->user, names), i;

	if (n == 0)
		return;
	for (i = 0; i < n; i++)
		add_to_list(d->list, (int64_t)i, names[i]);
	err_set(d->error, "%s", names[0]);
	say(d, "names", STEP_FAILED,
	    "@u has no device, but there are devices of @f. If that is the "
	    "same person, @D. Whether that one is woken: xapsd doctor @|");
}

/* Whoever asks in vain may be Dovecot. */
static void add_denied(struct doctor *d)
{
	if (d->denied > 0)
		add(d, " Denied: @g; xapsd's log says why.");
}

/* Of several nodes each knows its own past. */
static void add_nodes(struct doctor *d)
{
	if (json_get(&d->status, d->status.toks, "shared") != NULL)
		add(d,
		    " There are several nodes (sharedStore): ask the one where "
		    "this user's mail is delivered.");
}

/* Why there may be none, and how to get one. */
static void check_unregistered(struct doctor *d)
{
	const struct watch *w = NULL;
	bool anybody = false;

	if (d->others == NULL) {
		d->others = store_view_new();
		anybody = ctl_ask_regs(d->conf, "doctor", NULL, d->others,
			      d->error) != CTL_ANSWERED;
	}
	anybody = anybody || store_count(d->others) > 0;
	check_similar(d);
	add(d, "no device of @u.");
	while (store_watcher(d->others, d->user, &w) != NULL)
		d->n++;
	if (d->n > 0)
		add(d, " Of others who watch this user's folders: @n.");
	if (d->unknown_notified_s > 0)
		add(d, " Mail for @o was reported, @x.");
	if (d->unknown_seen_s > 0)
		add(d, " A phone logged in as @o, @m, and did not register.");
	if (d->forgotten > 0)
		add(d, " Apple has reported gone, see xapsd's log: @v.");
	add_denied(d);
	say(d, "registration", STEP_FAILED,
	    anybody ? " @E @F"
		    : " Nobody has one, so it is hardly the phone. @F @E");
}

/* Of another domain, and mail comes for both: somebody else. */
static bool is_stranger(const struct doctor *d)
{
	const char *own = strchr(d->user, '@'),
		   *other = strchr(d->unknown, '@');

	return own != NULL && other != NULL && strcasecmp(own, other) != 0 &&
	       d->notified_s > 0;
}

static void say_names(struct doctor *d)
{
	bool both = d->n > 0 && d->n_apps > 0;

	add(d, "@u has ");
	if (d->n > 0)
		add(d, "@n");
	if (d->n_apps > 0)
		buf_add_fmt(&d->text, "%s%lld %s%s", both ? " and " : "",
		    (long long)d->n_apps,
		    both ? "other registration" : "registration",
		    LOG_S(d->n_apps));
	if (d->n == 0)
		add(d, ", none of Apple's Mail");
	say(d, "names", STEP_OK, "");
}

/* Whether Dovecot has one name for the user. */
static bool check_names(struct doctor *d)
{
	bool other = strcasecmp(d->unknown, d->user) != 0 &&
		     d->notified_s < d->unknown_notified_s && !is_stranger(d);

	if (other)
		say(d, "names", STEP_FAILED,
		    "notifications come for @o, who has no device, the last "
		    "@x, and for @u: @j. If that is the same person, @D");
	else
		say_names(d);
	return !other;
}

static void check_registration(struct doctor *d)
{
	add(d, "the last one @i");
	if (d->groups[STALE].n == d->n)
		say(d, "registration", STEP_LOOK,
		    ", though phones renew once a day: is the phone off, the "
		    "account gone, its password changed, or Push off? @E");
	else
		say(d, "registration", STEP_OK,
		    d->groups[STALE].n > 0 ? "; not for days: @a" : "");
}

static void check_tokens(struct doctor *d)
{
	if (d->groups[OLD_TOPIC].n > 0)
		say(d, "topic", result_of(d, OLD_TOPIC),
		    "@b registered under @t and ignores pushes of @y until it "
		    "registers again, within a day; @C");
	else if (d->groups[MOVED].n > 0)
		say(d, "topic", STEP_OK,
		    "@} was told that of another brand, and is pushed with it "
		    "(@~) until it registers again, within a day");
	else
		say(d, "topic", STEP_OK, "the current one");
	if (d->groups[SUSPENDED].n > 0)
		say(d, "token", result_of(d, SUSPENDED),
		    "Apple refuses that of @c: @r. It is suspended until it "
		    "registers again; @C. If that does not help, or many are "
		    "suspended (xapsd status): topic, credentials or "
		    "apnsEnvironment are not those of these phones");
	else
		say(d, "token", STEP_OK, "not refused by Apple");
}

static bool has_deaf_folders(const struct doctor *d)
{
	return d->groups[INBOX_ONLY].n > 0 &&
	       (d->n_folders > 1 || !d->has_inbox);
}

static void check_folders(struct doctor *d)
{
	if (has_deaf_folders(d))
		say(d, "folders", STEP_LOOK,
		    d->conf->mailbox_hashes == HASHES_NEVER
			? "INBOX only, of @f: mailboxHashes is never"
			: "@d: INBOX only, of @f: Dovecot's plugin is one that "
			  "does not acknowledge folders to the phone. Install "
			  "xapsd's; @C");
	else if (d->unwatched && d->groups[SUSPENDED].n < d->n)
		say(d, "folders", STEP_LOOK,
		    "the last notification, @j, was for a folder that no "
		    "device watches. They watch @f, and are chosen on the "
		    "phone: @B > the account");
	else if (d->has_inbox)
		say(d, "folders", STEP_OK, "@f");
	else
		say(d, "folders", STEP_LOOK, "@f: INBOX is not among them");
}

static void check_notified(struct doctor *d)
{
	if (d->notified_s > 0) {
		say(d, "notification", STEP_OK, "the last one @j");
		return;
	}
	add(d, "none since the start");
	if (status(d, "notified") + status(d, "unwatched") +
		status(d, "unknownUsers") ==
	    0)
		add(d, ", for nobody");
	add(d, ".");
	add_nodes(d);
	add_denied(d);
	say(d, "notification", STEP_LOOK,
	    d->last[0] != '\0' ? " @G The last name that was notified and has "
				 "no device: @l"
			       : " @G");
}

static void check_pushed(struct doctor *d)
{
	int64_t most_s = d->conf->delay_s + PUSH_S;
	/* If a device cannot be woken for each of its folders, there may have
	 * been no push. */
	bool waits = d->reaches_apple && !d->unwatched &&
		     d->groups[SUSPENDED].n == 0 && !has_deaf_folders(d) &&
		     d->notified_s > d->pushed_s + most_s;

	if (d->groups[REFUSED].n > 0)
		say(d, "push", result_of(d, REFUSED),
		    "the last that Apple took: @k. @p: @r. To try again at "
		    "once: xapsd push @{");
	else if (waits)
		say(d, "push", STEP_LOOK,
		    d->now_s - d->notified_s > most_s
			? "the last that Apple took: @k, before the last "
			  "notification: xapsd's log says why"
			: "one is under way: ask again in a minute");
	else if (d->pushed_s > 0)
		say(d, "push", STEP_OK, "Apple took the last one @k");
}

/* There was a visit since the last push. */
static void check_came(struct doctor *d)
{
	int64_t after_s = d->seen_s - d->pushed_s;

	if (d->wakeup[0] == '\0')
		say(d, "visit", after_s > WAKEUP_MAX_S ? STEP_LOOK : STEP_OK,
		    after_s > WAKEUP_MAX_S
			? "@z came @h, more than 10 minutes after the push of "
			  "@k: perhaps somebody opened Mail. @H"
			: "@z came @h");
	else
		say(d, "visit", STEP_OK,
		    after_s > strtol(d->wakeup, NULL, 10) + PUSH_S
			? "@z came @w s after the last push, and again @h. If "
			  "it shows nothing: @J"
			: "@z, @w s after a push, came @h. If it shows "
			  "nothing: @J");
}

static void check_visits(struct doctor *d)
{
	if (status(d, "visits") == 0)
		say(d, "visit", STEP_OPEN,
		    "none has been reported since the start, @s, so whether "
		    "phones come is not known: nobody's phone has come, or "
		    "Dovecot's plugin is an older one, or has xaps_visits = "
		    "no");
	else if (d->unanswered > 0)
		say(d, "visit", STEP_FAILED,
		    status(d, "wakeups") == 0
			? "@q, nobody came. @H Nor has anybody else's phone "
			  "since the start: is topic, key or certificate "
			  "Mail's?"
			: "@q, nobody came. @H");
	else if (d->waiting > 0)
		say(d, "visit", STEP_LOOK,
		    "nobody has come yet after the push of @k, and phones "
		    "come within seconds. @H");
	else if (d->seen_s + PUSH_S < d->pushed_s)
		say(d, "visit", STEP_LOOK,
		    "none since the last push, before which nobody reported "
		    "visits. Ask again after the next mail");
	else
		check_came(d);
}

static void check_devices(struct doctor *d)
{
	int i;

	for (i = 0; i < N_GROUPS; i++)
		end_list(d->groups[i].who, d->groups[i].n);
	end_list(d->list, d->n_folders);
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

static void check_apps(struct doctor *d)
{
	const char *p = (const char *)buf_head(&d->apps), *eol;
	const char *end = p + d->apps.len;
	char kind[CTL_KIND_MAX], text[ERR_MAX];
	enum ctl_result result;
	struct json j;

	for (; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!json_load(p, (size_t)(eol - p), &j))
			continue;
		result = ctl_doctor_app(&j, d->now_s, d->live, kind, text);
		buf_add_str(&d->text, text);
		say(d, kind, result, "");
		json_free(&j);
	}
}

static void check_all(struct doctor *d)
{
	if (d->n > 0)
		check_devices(d);
	else if (d->live)
		check_notified(d);
	check_apps(d);
}

static void check_shared(struct doctor *d)
{
	enum ctl_result result;

	if (json_get(&d->status, d->status.toks, "shared") == NULL)
		return;
	result = ctl_doctor_shared(d->conf, d->user, &d->status, d->error);
	say(d, "shared book", result, "@e");
}

static void doctor_run(struct doctor *d, struct buf *text)
{
	enum ctl_asked asked = ask(d, "/status", -1);

	/* Its text stays, the other answers get a buffer of their own. */
	*text = d->answer;
	buf_init(&d->answer, CTL_ANSWER_MAX);
	if (asked == CTL_ANSWERED) {
		json_load((const char *)buf_head(text), text->len, &d->status);
		d->started_s = d->now_s - status(d, "uptime");
		d->denied = status(d, "denied");
		d->forgotten = status(d, "forgotten");
		asked = ask_devices(d);
	}
	d->live = asked == CTL_ANSWERED;
	if (d->live)
		check_daemon(d);
	else
		say(d, "daemon", STEP_FAILED, "@e");
	if (asked == CTL_FAILED)
		return;
	if (d->live) {
		check_shared(d);
		ask_unknown(d);
	} else if (read_file(d) < 0) {
		say(d, "database", STEP_FAILED, "@e");
		return;
	}
	if (d->n + d->n_apps == 0)
		check_unregistered(d);
	else if (check_names(d))
		check_all(d);
}

int ctl_doctor(const struct conf *conf, const struct cli *cli)
{
	struct doctor d = { .conf = conf, .ok = true };
	const char *user = cli->argv[cli->rest + 1];
	struct buf status_text = BUF_INIT(0);

	d.now_s = (int64_t)time(NULL);
	buf_init(&d.answer, CTL_ANSWER_MAX);
	buf_init(&d.text, 64 * 1024);
	buf_init(&d.apps, CTL_ANSWER_MAX);
	ctl_steps_begin(cli->json, true);
	if (reg_text_ok(user, REG_USER_MAX)) {
		strcpy(d.user, user);
		doctor_run(&d, &status_text);
	} else {
		say(&d, "names", STEP_FAILED,
		    "nobody can have this name: 1 to 255 bytes of UTF-8 "
		    "without control characters");
	}
	json_free(&d.status);
	buf_free(&status_text);
	buf_free(&d.answer);
	buf_free(&d.text);
	buf_free(&d.apps);
	if (d.others != NULL)
		past_free_view(d.others);
	return ctl_steps_end(d.ok);
}
