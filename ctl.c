/* ctl.c - the subcommands that look after registrations. */
#include "ctl/int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli.h"
#include "conf.h"
#include "daemon.h"
#include "http.h"
#include "mem.h"
#include "store.h"

/* --- words and answers --- */

static int fail(const char *why)
{
	fprintf(stderr, "xapsd: %s\n", why);
	return EXIT_FAILED;
}

static int done(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	return fail("the output could not be written");
}

static const char *argument(const struct cli *cli, int i)
{
	i += cli->rest + 1;
	return i < cli->argc ? cli->argv[i] : NULL;
}

static int fail_answer(const struct buf *body)
{
	char why[ERR_MAX];

	ctl_take_refusal(body, why);
	return fail(why);
}

/* Parses an answer's object; toks are the caller's to free. */
static int parse(const struct buf *body, struct json *j_r)
{
	if (json_load((const char *)buf_head(body), body->len, j_r))
		return 0;
	return fail(CTL_NOT_UNDERSTOOD);
}

static void add_member(struct buf *b, const char *key, const char *value)
{
	if (value != NULL)
		json_add_str(b, key, value);
}

/* --- all registrations --- */

struct regs {
	struct store *store; /* a view */
	bool live;	     /* of the daemon's, not of its file */
	struct reg **list;
	size_t n;
};

/* One page into the view; *next_r: 0 at the end. */
static int take_page(struct store *s, const struct buf *page, size_t *next_r)
{
	static const char next[] = "{\"next\":";
	const char *p = (const char *)buf_head(page), *end = p + page->len;
	const char *eol, *wrong;
	bool newer;

	for (; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (eol == NULL)
			break;
		if (strncmp(p, next, strlen(next)) == 0) {
			*next_r = strtoul(p + strlen(next), NULL, 10);
			return 0;
		}
		wrong = store_put_line(s, p, (size_t)(eol - p), &newer);
		if (wrong != NULL)
			return fail(wrong);
		past_take(s, p, (size_t)(eol - p));
	}
	return fail("the daemon's answer is incomplete: try again");
}

enum ctl_asked ctl_ask_regs(const struct conf *conf, const char *command,
    const char *user, struct store *s, char err[ERR_MAX])
{
	struct buf body = BUF_INIT(4096), page = BUF_INIT(CTL_ANSWER_MAX);
	enum ctl_asked asked;
	size_t next = 0;
	int status;

	do {
		buf_reset(&body);
		buf_add_byte(&body, '{');
		add_member(&body, "user", user);
		json_add_num(&body, "from", (int64_t)next);
		buf_add_byte(&body, '}');
		asked = ctl_ask(
		    conf, command, "/admin/list", &body, &status, &page, err);
		if (asked == CTL_ANSWERED && status != 200) {
			ctl_take_refusal(&page, err);
			asked = CTL_FAILED;
		}
		if (asked == CTL_ANSWERED && take_page(s, &page, &next) != 0) {
			err_set(err, "nothing is shown");
			asked = CTL_FAILED;
		}
	} while (asked == CTL_ANSWERED && next != 0);
	buf_free(&body);
	buf_free(&page);
	return asked;
}

static int gather(void *arg, struct reg *r)
{
	struct regs *regs = arg;

	regs->list[regs->n++] = r;
	return 0;
}

static int by_user(const void *a, const void *b)
{
	const struct reg *const *x = a, *const *y = b;
	int c = strcasecmp(reg_user(*x), reg_user(*y));

	if (c == 0)
		c = reg_compare_accounts(*x, *y);
	if (c != 0)
		return c;
	return (reg_time_s(*x) < reg_time_s(*y)) -
	       (reg_time_s(*x) > reg_time_s(*y));
}

static void sort_regs(struct regs *regs, const char *user)
{
	struct reg *r;

	regs->list =
	    xmalloc((store_count(regs->store) + 1) * sizeof(*regs->list));
	if (user == NULL)
		store_each(regs->store, gather, regs);
	else
		for (r = store_first(regs->store, user); r != NULL;
		     r = reg_next(r))
			gather(regs, r);
	qsort(regs->list, regs->n, sizeof(*regs->list), by_user);
}

static void free_regs(struct regs *regs)
{
	past_free_view(regs->store);
	free(regs->list);
}

/* From the daemon, or from its file if none runs; an exit status. */
static int load_regs(const struct conf *conf, const char *command,
    const char *user, struct regs *regs)
{
	char err[ERR_MAX], why[ERR_MAX];
	size_t bad;
	int code;

	*regs = (struct regs){ .store = store_view_new() };
	switch (ctl_ask_regs(conf, command, user, regs->store, why)) {
	case CTL_FAILED:
		return fail(why);
	case CTL_NOT_RUNNING:
		if (store_view_read(
			regs->store, conf->database_file, &bad, err) < 0) {
			code = errno;
			fail(why);
			fail(err);
			if (code == EACCES && geteuid() != 0)
				fprintf(stderr,
				    "xapsd: run this as root: sudo xapsd %s\n",
				    command);
			return EXIT_FAILED;
		}
		fprintf(stderr, "xapsd: no daemon runs: these are from %s\n",
		    conf->database_file);
		break;
	case CTL_ANSWERED:
		regs->live = true;
		break;
	}
	sort_regs(regs, user);
	return EXIT_DONE;
}

/* why, and whose name is like that of the user who has no device. */
static int fail_user(const struct conf *conf, const char *command,
    const char *user, const char *why)
{
	struct store *all = store_view_new();
	const char *names[STORE_SIMILAR_MAX];
	char err[ERR_MAX];
	size_t n, i, bad;

	if (ctl_ask_regs(conf, command, NULL, all, err) == CTL_NOT_RUNNING)
		store_view_read(all, conf->database_file, &bad, err);
	fprintf(stderr, "xapsd: %s", why);
	n = store_first(all, user) == NULL ? store_similar(all, user, names)
					   : 0;
	if (store_first(all, user) != NULL)
		fprintf(stderr, "; xapsd list %s shows those that are", user);
	else if (n == 0)
		fputs("; xapsd list shows who has one", stderr);
	for (i = 0; i < n; i++)
		fprintf(stderr, "%s%s",
		    i == 0	 ? "; did you mean "
		    : i == n - 1 ? " or "
				 : ", ",
		    names[i]);
	fputs(n > 0 ? "?\n" : "\n", stderr);
	past_free_view(all);
	return EXIT_FAILED;
}

/* The daemon's answer, if it is 200; else why not is said.  body NULL: GET.  user:
 * the answer may be that there is nothing of this one (404). */
static int ask(const struct conf *conf, const char *path,
    const struct buf *body, const char *user, struct buf *answer)
{
	const char *command = strrchr(path, '/') + 1;
	char err[ERR_MAX], why[ERR_MAX];
	int status;

	if (ctl_ask(conf, command, path, body, &status, answer, err) !=
	    CTL_ANSWERED)
		return fail(err);
	if (status == 200)
		return EXIT_DONE;
	ctl_take_refusal(answer, why);
	if (status != 404 || user == NULL)
		return fail(why);
	err_set(err, "%s: %s", user, why);
	return fail_user(conf, command, user, err);
}

int ctl_list(const struct conf *conf, const struct cli *cli)
{
	const char *user = argument(cli, 0);
	char why[ERR_MAX];
	struct regs regs;
	int rc = load_regs(conf, "list", user, &regs);

	if (rc == EXIT_DONE && regs.n == 0 && !cli->json && user != NULL) {
		err_set(why, "no device is registered for %s", user);
		rc = fail_user(conf, "list", user, why);
	} else if (rc == EXIT_DONE && regs.n == 0 && !cli->json) {
		fputs("xapsd: no device is registered yet\n", stderr);
	} else if (rc == EXIT_DONE) {
		ctl_show_regs(regs.live ? regs.store : NULL, regs.list, regs.n,
		    conf->registration_ttl_s, cli->json);
		rc = done();
	}
	free_regs(&regs);
	return rc;
}

/* --- export --- */

static int flush_out(void *arg)
{
	struct buf *out = arg;

	if (fwrite(buf_head(out), 1, out->len, stdout) != out->len)
		return -1;
	buf_reset(out);
	return 0;
}

/* The format holds one device of an account. */
static void warn_left_out(const struct regs *regs)
{
	size_t i, n = 0,
		  others = store_count(regs->store) -
			   store_count_kind(regs->store, REG_APPLE);

	for (i = 1; i < regs->n; i++)
		n += strcasecmp(reg_user(regs->list[i - 1]),
			 reg_user(regs->list[i])) == 0 &&
		     reg_compare_accounts(regs->list[i - 1], regs->list[i]) ==
			 0 &&
		     reg_kind(regs->list[i - 1]) == REG_APPLE &&
		     reg_kind(regs->list[i]) == REG_APPLE;
	if (others > 0)
		fprintf(stderr,
		    "xapsd: %zu registration%s of other kinds than Apple's "
		    "left out: this format has no place for %s; a copy of "
		    "databaseFile has all\n",
		    others, LOG_S(others), others == 1 ? "it" : "them");
	if (n > 0)
		fprintf(stderr,
		    "xapsd: %zu registration%s left out: this format holds "
		    "one device of an account, the newest\n",
		    n, LOG_S(n));
}

int ctl_export(const struct conf *conf, const struct cli *cli)
{
	struct buf out = BUF_INIT(CTL_ANSWER_MAX);
	struct regs regs;
	int rc = load_regs(conf, "export", NULL, &regs);

	(void)cli;
	if (rc == EXIT_DONE) {
		if (store_export_go(regs.store, &out, flush_out, &out) < 0)
			rc = fail("the output could not be written");
		else
			rc = done();
		warn_left_out(&regs);
	}
	buf_free(&out);
	free_regs(&regs);
	return rc;
}

/* --- import --- */

/* Below the daemon's ceiling of a body. */
#define BATCH_BYTES (HTTP_BODY_MAX - 1024)

struct import {
	const struct conf *conf;
	struct store *target; /* the file's; NULL: the daemon */
	struct buf batch, answer;
	size_t taken, older, left_out;
	char err[ERR_MAX];
};

static int send_batch(struct import *m)
{
	struct json j;

	if (m->batch.len == 0)
		return 0;
	if (ask(m->conf, "/admin/import", &m->batch, NULL, &m->answer) !=
		EXIT_DONE ||
	    parse(&m->answer, &j) != 0)
		return EXIT_FAILED;
	m->taken += (size_t)ctl_num(&j, j.toks, "taken");
	m->older += (size_t)ctl_num(&j, j.toks, "older");
	json_free(&j);
	buf_reset(&m->batch);
	return 0;
}

static int put_here(struct import *m, const struct buf *line)
{
	bool newer;

	if (store_put_line(m->target, (const char *)buf_head(line),
		line->len - 1, &newer) != NULL)
		m->left_out++;
	else if (newer)
		m->taken++;
	else
		m->older++;
	return 0;
}

static int import_reg(struct import *m, const struct reg *r)
{
	struct buf line = BUF_INIT(CTL_ANSWER_MAX);
	int rc = 0;

	if (!reg_write(r, NULL, &line)) {
		m->left_out++;
	} else if (m->target != NULL) {
		rc = put_here(m, &line);
	} else if (line.len > BATCH_BYTES) {
		m->left_out++;
	} else {
		if (m->batch.len + line.len > BATCH_BYTES)
			rc = send_batch(m);
		if (rc == 0)
			buf_add(&m->batch, buf_head(&line), line.len);
	}
	buf_free(&line);
	return rc;
}

/* Finds out whether a daemon runs; opens the file if not. */
static int import_begin(struct import *m)
{
	int status;

	buf_init(&m->batch, HTTP_BODY_MAX);
	buf_init(&m->answer, CTL_ANSWER_MAX);
	switch (ctl_ask(
	    m->conf, "import", "/healthz", NULL, &status, &m->answer, m->err)) {
	case CTL_ANSWERED:
		return 0;
	case CTL_FAILED:
		return fail(m->err);
	default:
		/* The file and those beside it stay the daemon's. */
		if (daemon_become_owner(m->conf->database_file) < 0)
			return fail(
			    "cannot become the owner of databaseFile's folder: "
			    "run this as that user");
		m->target = store_open(m->conf->database_file, m->err);
		return m->target != NULL ? 0 : fail(m->err);
	}
}

static int import_end(struct import *m)
{
	int rc;

	if (m->target == NULL)
		rc = send_batch(m);
	else
		rc = store_sync(m->target, m->err) < 0 ? fail(m->err) : 0;
	if (rc != 0)
		return rc;
	printf("%zu registration%s taken over", m->taken, LOG_S(m->taken));
	if (m->older > 0)
		printf(", %zu not newer than what is here", m->older);
	if (m->left_out > 0)
		printf(", %zu left out", m->left_out);
	putchar('\n');
	return done();
}

int ctl_import(const struct conf *conf, const struct cli *cli)
{
	struct regs regs = { .store = store_view_new() };
	struct import m = { .conf = conf };
	size_t i;
	int rc;

	if (store_view_read(regs.store, argument(cli, 0), &m.left_out, m.err) <
	    0) {
		rc = fail(m.err);
	} else if (store_count(regs.store) == 0 && m.left_out > 0) {
		err_set(m.err, "%s: no registration in it can be read",
		    argument(cli, 0));
		rc = fail(m.err);
	} else {
		sort_regs(&regs, NULL);
		rc = import_begin(&m);
	}
	for (i = 0; i < regs.n && rc == 0; i++)
		rc = import_reg(&m, regs.list[i]);
	if (rc == 0)
		rc = import_end(&m);
	store_close(m.target);
	buf_free(&m.batch);
	buf_free(&m.answer);
	free_regs(&regs);
	return rc;
}

/* --- questions of one answer --- */

/* As ask(); show prints the answer and returns an exit status. */
static int ask_and_show(const struct conf *conf, const char *path,
    const struct buf *body, const char *user, bool raw,
    int (*show)(const struct json *j))
{
	struct buf answer = BUF_INIT(CTL_ANSWER_MAX);
	int rc = ask(conf, path, body, user, &answer);
	struct json j;

	if (rc == EXIT_DONE && raw) {
		fwrite(buf_head(&answer), 1, answer.len, stdout);
		rc = done();
	} else if (rc == EXIT_DONE) {
		rc = parse(&answer, &j);
		if (rc == 0) {
			rc = show(&j);
			json_free(&j);
		}
	}
	buf_free(&answer);
	return rc;
}

static int show_status(const struct json *j)
{
	ctl_show_status(j);
	return done();
}

int ctl_status(const struct conf *conf, const struct cli *cli)
{
	return ask_and_show(
	    conf, "/status", NULL, NULL, cli->json, show_status);
}

int ctl_healthcheck(const struct conf *conf, const struct cli *cli)
{
	struct buf answer = BUF_INIT(CTL_ANSWER_MAX);
	char err[ERR_MAX];
	int status, rc;

	(void)cli;
	if (ctl_ask_health(conf, &status, &answer, err) != CTL_ANSWERED)
		rc = fail(err);
	else if (status != 200)
		rc = fail_answer(&answer);
	else
		rc = puts("ok") < 0 ? EXIT_FAILED : done();
	buf_free(&answer);
	return rc;
}

static int show_forgotten(const struct json *j)
{
	long long n = (long long)ctl_num(j, j->toks, "forgotten");

	printf("%lld registration%s removed\n", n, LOG_S(n));
	return done();
}

/* The command's words are the user and what these keys are called. */
static int ask_of_user(const struct conf *conf, const struct cli *cli,
    const char *path, const char *second, const char *third,
    int (*show)(const struct json *j))
{
	struct buf body = BUF_INIT(65536);
	int rc;

	buf_add_byte(&body, '{');
	add_member(&body, "user", argument(cli, 0));
	add_member(&body, second, argument(cli, 1));
	add_member(&body, third, argument(cli, 2));
	buf_add_byte(&body, '}');
	rc = ask_and_show(conf, path, &body, argument(cli, 0), false, show);
	buf_free(&body);
	return rc;
}

int ctl_forget(const struct conf *conf, const struct cli *cli)
{
	return ask_of_user(
	    conf, cli, "/admin/forget", "account", "token", show_forgotten);
}

#define SHOWN 8 /* characters of a token or an account id */

struct pushed {
	char account[256], token[256]; /* as they are shown */
};

/* The columns that both take. */
static int read_pushed(
    const struct json *j, const struct json_tok *t, struct pushed *p)
{
	enum reg_kind kind;
	bool is_kind;

	ctl_str(j, t, "token", p->token, sizeof(p->token));
	ctl_str(j, t, "account", p->account, sizeof(p->account));
	is_kind = reg_kind_find(p->token, &kind);
	p->account[is_kind ? CTL_ID_SHOWN : SHOWN] = '\0';
	p->token[is_kind ? SHOWN + 1 : SHOWN] = '\0';
	return SHOWN + 2 + (int)strlen(p->account) + 2;
}

static int show_pushed(const struct json *j)
{
	const struct json_tok *list = json_get(j, j->toks, "devices"), *t, *d;
	char answer[ERR_MAX];
	int at = 2 * (SHOWN + 2), w;
	struct pushed p;
	bool all = true, ok;
	size_t i;

	for (t = list + 1, i = 0; list != NULL && i < list->size; i++) {
		w = read_pushed(j, t, &p);
		at = w > at ? w : at;
		t = j->toks + t->next;
	}
	ctl_cell(STYLE_HEAD, "DEVICE", SHOWN + 2);
	ctl_cell(STYLE_HEAD, "ACCOUNT", at - SHOWN - 2);
	ctl_cell(STYLE_HEAD, "ANSWER", 0);
	putchar('\n');
	for (t = list + 1, i = 0; list != NULL && i < list->size; i++) {
		read_pushed(j, t, &p);
		d = json_get(j, t, "delivered");
		ok = d != NULL && d->type == JSON_TRUE;
		all = all && ok;
		ctl_str(j, t, "answer", answer, sizeof(answer));
		ctl_cell(STYLE_PLAIN, p.token, SHOWN + 2);
		ctl_cell(STYLE_PLAIN, p.account, at - SHOWN - 2);
		ctl_text(
		    stdout, ok ? STYLE_GOOD : STYLE_BAD, answer, at, at, 0);
		t = j->toks + t->next;
	}
	return done() == EXIT_DONE && all ? EXIT_DONE : EXIT_FAILED;
}

int ctl_push(const struct conf *conf, const struct cli *cli)
{
	return ask_of_user(
	    conf, cli, "/admin/push", "mailbox", NULL, show_pushed);
}

/* --- register --- */

#define SUBSCRIPTION_MAX 16384 /* bytes; they have 400 */

/* file "-": stdin.  False with err set. */
static bool read_subscription(
    const char *file, struct buf *b, char err[ERR_MAX])
{
	bool is_stdin = strcmp(file, "-") == 0;
	FILE *f = is_stdin ? stdin : fopen(file, "re");
	unsigned char *p = buf_reserve(b, SUBSCRIPTION_MAX);
	bool ok;

	if (f != NULL)
		buf_added(b, fread(p, 1, SUBSCRIPTION_MAX, f));
	ok = f != NULL && !ferror(f);
	if (!ok)
		err_set(err, "%s: cannot be read: %s",
		    is_stdin ? "standard input" : file, err_words(errno));
	if (f != NULL && !is_stdin)
		fclose(f);
	return ok;
}

static void add_string(struct buf *b, const char *key, const struct json *j,
    const struct json_tok *object, const char *from)
{
	char text[SUBSCRIPTION_MAX];

	if (json_string(j, json_get(j, object, from), text, sizeof(text)) >= 0)
		add_member(b, key, text);
}

/* What a browser's PushSubscription.toJSON() gives.  What is missing or wrong in
 * it the daemon says. */
static int add_subscription(struct buf *body, const char *file)
{
	struct buf text = BUF_INIT(SUBSCRIPTION_MAX);
	const struct json_tok *keys;
	char err[ERR_MAX];
	struct json j;
	int rc = 0;

	if (!read_subscription(file, &text, err)) {
		rc = fail(err);
	} else if (!json_load((const char *)buf_head(&text), text.len, &j)) {
		err_set(err,
		    "%s: is no JSON: a browser's subscription is needed, as "
		    "PushSubscription.toJSON() gives it",
		    file);
		rc = fail(err);
	} else {
		keys = json_get(&j, j.toks, "keys");
		add_string(body, "Endpoint", &j, j.toks, "endpoint");
		add_string(body, "P256dh", &j, keys, "p256dh");
		add_string(body, "Auth", &j, keys, "auth");
		json_free(&j);
	}
	buf_free(&text);
	return rc;
}

static void add_mailboxes(struct buf *b, const struct cli *cli)
{
	int i;

	if (cli->n_mailboxes == 0)
		return;
	json_open(b, "Mailboxes", '[');
	for (i = 0; i < cli->n_mailboxes; i++)
		json_add_str(b, NULL, cli->mailboxes[i]);
	buf_add_byte(b, ']');
}

int ctl_register(const struct conf *conf, const struct cli *cli)
{
	struct buf body = BUF_INIT(65536), answer = BUF_INIT(CTL_ANSWER_MAX);
	const char *kind = argument(cli, 0), *what = argument(cli, 1);
	char err[ERR_MAX];
	enum reg_kind k;
	int rc = 0;

	if (!reg_kind_find(kind, &k) || k == REG_APPLE || k == REG_HOOK) {
		err_set(err,
		    "register: %s is none of webpush, fcm and deltachat", kind);
		fail(err);
		return EXIT_USAGE;
	}
	buf_add_byte(&body, '{');
	add_member(&body, "Kind", kind);
	add_member(&body, "Username", cli->user);
	add_member(&body, "Id", cli->id);
	if (k == REG_WEBPUSH)
		rc = add_subscription(&body, what);
	else
		add_member(&body, "Token", what);
	add_mailboxes(&body, cli);
	buf_add_byte(&body, '}');
	if (rc == 0)
		rc = ask(conf, "/register", &body, NULL, &answer);
	if (rc == 0)
		rc =
		    printf("registered; a test: xapsd push %s\n", cli->user) < 0
			? EXIT_FAILED
			: done();
	buf_free(&body);
	buf_free(&answer);
	return rc;
}
