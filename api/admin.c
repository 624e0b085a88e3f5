/* api/admin.c - requests of the command line over the Unix socket. */
#include "api/int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

/* Many registrations are sent in pages of about this size, so that neither memory
 * nor the time of one answer grows with their number. */
#define PAGE_BYTES (64 * 1024)
/* A page with a few of the longest registrations (2 MB each, of 1,000 escaped
 * names) is larger.  The command line reads up to 16 MiB. */
#define PAGE_MAX (15 * 1024 * 1024)

/* So many characters of an account id or a token are enough: `list` shows no
 * more. */
#define PREFIX_MIN 8

static char *make_json(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

static char *make_json(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort(); /* no memory */
	va_end(ap);
	return text;
}

/* --- /admin/list: {"user":…,"from":…} -> lines of the file's format with what is
 * known since start, and {"next":…}, 0 at the end --- */

struct listing {
	struct api *api;
	struct buf b;
};

/* The topic is included if it is not the current one. */
static void add_reg(void *arg, struct reg *r)
{
	struct listing *l = arg;
	struct buf *b = &l->b;

	if (!reg_write(r, store_old_topic(l->api->store, r), b))
		return;
	b->len -= strlen("}\n");
	if (reg_suspended(r))
		json_add_bool(b, "suspended", true);
	push_write_past(l->api->queue, r, b);
	api_write_brand_of(l->api, r, b);
	buf_add_str(b, "}\n");
}

static size_t list_user(
    struct api *a, const char *user, size_t from, struct listing *l)
{
	struct reg *r = store_first(a->store, user);
	size_t i;

	for (i = 0; r != NULL && i < from; i++)
		r = reg_next(r);
	for (; r != NULL && l->b.len < PAGE_BYTES; r = reg_next(r), i++)
		add_reg(l, r);
	return r != NULL ? i : 0;
}

static size_t list_all(struct api *a, size_t from, struct listing *l)
{
	do
		store_scan(a->store, &from, add_reg, l);
	while (from != 0 && l->b.len < PAGE_BYTES);
	return from;
}

void api_handle_list(struct api_request *rq, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1];
	struct listing l = { rq->api, BUF_INIT(PAGE_MAX) };
	struct buf *b = &l.b;
	bool one;
	int64_t from;
	size_t next;

	if (api_body_optional(rq, "user", user, sizeof(user), &one) < 0 ||
	    api_body_number(rq, "from", &from) < 0) {
		rq->status = 400;
		return;
	}
	next = one ? list_user(rq->api, user, (size_t)from, &l)
		   : list_all(rq->api, (size_t)from, &l);
	buf_add_fmt(b, "{\"next\":%zu}\n", next);
	if (b->failed)
		api_reply_text(conn, 500, "registrations are too long");
	else
		http_reply(conn, 200, "application/x-ndjson", NULL, buf_head(b),
		    b->len);
	buf_free(b);
}

/* --- /admin/forget: {"user":…,"account":…,"token":…} -> {"forgotten":…} --- */

/* typed is NULL if all are meant. */
static bool matches_typed(const char *whole, const char *typed, bool exact)
{
	size_t n = typed != NULL ? strlen(typed) : 0;

	return typed == NULL ||
	       (exact		     ? strcmp(whole, typed) == 0
		   : n >= PREFIX_MIN ? strncasecmp(whole, typed, n) == 0
				     : strcasecmp(whole, typed) == 0);
}

size_t api_forget(struct api *a, const char *user, const char *account,
    const char *token, bool exact)
{
	char tok[REG_TOKEN_MAX + 1], shown[LOG_TOKEN_MAX];
	char acc[REG_ACCOUNT_MAX + 1];
	struct reg *r, *next;
	size_t n = 0;

	for (r = store_first(a->store, user); r != NULL; r = next) {
		next = reg_next(r);
		reg_token(r, tok);
		if (!matches_typed(reg_account(r, acc), account, exact) ||
		    !matches_typed(tok, token, exact))
			continue;
		log_info("forget: %s: %s: removed on request", reg_user(r),
		    log_token(tok, shown));
		store_drop(a->store, r);
		n++;
	}
	return n;
}

void api_handle_forget(struct api_request *rq, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1], account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
	bool has_account, has_token;
	size_t n = 0;
	int exact;

	if (api_body_string(rq, "user", user, sizeof(user)) < 0 ||
	    api_body_optional(
		rq, "account", account, sizeof(account), &has_account) < 0 ||
	    api_body_optional(rq, "token", token, sizeof(token), &has_token) <
		0) {
		rq->status = 400;
		return;
	}
	/* What is given whole may be the beginning of another one's. */
	for (exact = 1; exact >= 0 && n == 0; exact--)
		n = api_forget(rq->api, user, has_account ? account : NULL,
		    has_token ? token : NULL, exact);
	if (n == 0)
		api_reply_text(conn, 404, "there is no such registration");
	else
		api_reply_durable(rq->api, conn, API_REPLY_JSON,
		    make_json("{\"forgotten\":%zu}\n", n));
}

/* --- /admin/import: lines of the file's format -> {"taken":…,"older":…} --- */

void api_handle_import(struct api_request *rq, struct http_conn *conn)
{
	const char *p = rq->req->body, *end = p + rq->req->body_len, *eol,
		   *wrong;
	size_t taken = 0, older = 0, line = 0;
	bool newer;

	for (; p < end; p = eol + 1) {
		line++;
		eol = memchr(p, '\n', (size_t)(end - p));
		if (eol == NULL)
			eol = end;
		wrong = store_put_line(
		    rq->api->store, p, (size_t)(eol - p), &newer);
		if (wrong != NULL) {
			err_set(rq->err, "line %zu: %s", line, wrong);
			rq->status = 400;
			return;
		}
		if (newer)
			taken++;
		else
			older++;
	}
	log_info("import: %zu registration%s taken over, %zu not newer than "
		 "what is here",
	    taken, LOG_S(taken), older);
	api_reply_durable(rq->api, conn, API_REPLY_JSON,
	    make_json("{\"taken\":%zu,\"older\":%zu}\n", taken, older));
}

/* --- /admin/push: {"user":…,"mailbox":…} -> {"devices":[…]}, each with account,
 * token, delivered and answer --- */

struct api_trial {
	struct api_trial *next;
	struct api *api;
	struct http_conn *conn;
	api_trial_done *done;
	struct buf out;
	char *user; /* owned */
};

static void trial_free(struct api_trial *t)
{
	struct api_trial **at = &t->api->trials;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	buf_free(&t->out);
	free(t->user);
	free(t);
}

void api_trials_free(struct api *a)
{
	while (a->trials != NULL)
		trial_free(a->trials);
}

static void reply_trial(struct api *a, struct http_conn *conn, const char *user,
    const char *devices)
{
	struct buf b = BUF_INIT(PAGE_MAX);

	(void)a;
	(void)user;
	if (devices == NULL)
		api_reply_text(conn, 500, "too many devices to report");
	else if (*devices == '\0')
		api_reply_text(
		    conn, 404, "no device is registered for this user");
	else {
		buf_add_fmt(&b, "{\"devices\":[%s]}\n", devices);
		http_reply(conn, 200, JSON, NULL, buf_head(&b), b.len);
	}
	buf_free(&b);
}

static void on_trial_result(void *arg, const char *account, const char *token,
    bool delivered, const char *words)
{
	struct api_trial *t = arg;
	struct buf *b = &t->out;

	if (account == NULL) {
		buf_add_byte(b, '\0');
		t->done(t->api, t->conn, t->user,
		    b->failed ? NULL : (const char *)buf_head(b));
		trial_free(t);
		return;
	}
	json_open(b, NULL, '{');
	json_add_str(b, "account", account);
	json_add_str(b, "token", token);
	json_add_bool(b, "delivered", delivered);
	json_add_str(b, "answer", words);
	buf_add_byte(b, '}');
}

void api_trial_start(struct api *a, struct http_conn *conn, const char *user,
    const char *mailbox, api_trial_done *done)
{
	struct api_trial *t = xcalloc(1, sizeof(*t));

	t->api = a;
	t->conn = conn;
	t->done = done;
	t->user = xstrdup(user);
	t->next = a->trials;
	a->trials = t;
	buf_init(&t->out, PAGE_MAX);
	push_trial_start(a->queue, user, mailbox, on_trial_result, t);
}

void api_handle_push(struct api_request *rq, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1], mailbox[MAILBOX_NAME_MAX + 1];
	bool given;

	if (api_body_string(rq, "user", user, sizeof(user)) < 0 ||
	    api_body_optional(rq, "mailbox", mailbox, sizeof(mailbox), &given) <
		0)
		rq->status = 400;
	else
		api_trial_start(rq->api, conn, user, given ? mailbox : "INBOX",
		    reply_trial);
}
