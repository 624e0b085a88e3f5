/* api/page.c - GET /: the page for people, and the forms on it.
 *
 * The page is one template, made from page/index.html, which is filled from one
 * JSON document: the answer of /status and what is added to it here.  In it
 *   {{name}}             is the value of a member, {{name:as}} in another form,
 *   {{?name}}…{{/}}      is there if that is not missing, empty, 0 or false,
 *   {{!name}}…{{/}}      if it is,
 *   {{?wakeup:v}}…{{/}}  only if that is the time of the visit that is shown, too,
 *   {{#name}}…{{/}}      once for each element of a list, whose members are meant
 *                        then ({{.}}: itself; {{^name}}: of the whole document).
 * Values are always escaped, and nothing else is ever written into the page. */
#include "api/int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "send.h"
#include "api/form.h"
#include "api/page_asset.h"
#include "cred.h"
#include "mem.h"
#include "text.h"
#include "tls.h"

#define DEVICES 100	 /* on one page, about 60 KB */
#define MAILBOXES 4	 /* of one device; longer lists are cut off */
#define DEVICES_MAX 1000 /* of a user with more, where maxDevices allows it */
#define STEPS_MAX 100000 /* buckets searched for one page: 20 ms on a PC */
#define DOC_MAX                                                                \
	(16 << 20) /* never reached: a device has 10 KB of names at most */

/* What is shown besides the status. */
struct page {
	const char *search; /* part of a user's name; "": all */
	size_t from;
	bool admin;
	const char *pushed, *forgot; /* the user, if a form was sent; or NULL */
	const char *results;	     /* of a test push */
	const char *trouble;	     /* of the disk; or NULL */
};

/* --- values --- */

struct render {
	struct json j;
	struct buf out;
	int64_t now_s;
};

/* The only way from outside into the page. */
static void put_escaped(struct buf *out, const char *s)
{
	static const char special[] = "&<>\"'";
	static const char escaped[] = "&amp;\0&lt;\0&gt;\0&quot;\0&#39;";
	size_t n;

	for (; *s != '\0'; s += n + 1) {
		n = strcspn(s, special);
		buf_add(out, s, n);
		if (s[n] == '\0')
			return;
		buf_add_str(
		    out, text_nth(escaped,
			     (size_t)(strchr(special, s[n]) - special)));
	}
}

/* "3 days", "1 min"; of a time that is to come, too. */
static void put_span(struct buf *out, int64_t seconds)
{
	static const struct {
		int s;
		char unit[4];
	} units[] = {
		{ 86400, "day" },
		{ 3600, "h" },
		{ 60, "min" },
		{ 1, "s" },
	};
	long long n;
	size_t i = 0;

	if (seconds < 0)
		seconds = 0;
	while (i < 3 && seconds < units[i].s)
		i++;
	n = seconds / units[i].s;
	buf_add_fmt(
	    out, "%lld %s%s", n, units[i].unit, i == 0 && n != 1 ? "s" : "");
}

static void put_value(
    struct render *r, const struct json_tok *t, const char *as)
{
	char text[MAILBOX_NAME_MAX + 1], date[LOG_DATE_MAX];
	int64_t n = 0;

	if (t == NULL)
		return;
	json_int(&r->j, t, &n);
	switch (*as) {
	case 'a': /* age */
		put_span(&r->out, r->now_s - n);
		break;
	case 'l': /* left */
		if (n <= r->now_s) {
			buf_add_str(&r->out, "expired");
			break;
		}
		put_span(&r->out, n - r->now_s);
		buf_add_str(&r->out, " left");
		break;
	case 't': /* time */
		put_span(&r->out, n);
		break;
	case 'd': /* date */
		buf_add_str(&r->out, log_date(n, LOG_DATE_DAY, true, date));
		break;
	case 's': /* plural: devices */
	case 'e': /* pushes */
		buf_add_str(&r->out, n == 1 ? "" : *as == 's' ? "s" : "es");
		break;
	default:
		if (json_string(&r->j, t, text, sizeof(text)) < 0) {
			/* A number, true or false: nothing to be escaped. */
			if (t->type != JSON_STRING)
				buf_add(&r->out, r->j.text + t->start,
				    t->end - t->start);
			break;
		}
		if (*as >= '1' && *as <= '9' && strlen(text) > (size_t)atoi(as))
			text[atoi(as)] = '\0'; /* hex digits, ASCII */
		put_escaped(&r->out, text);
	}
}

/* --- the template --- */

/* Unpacks the template: PAGE_LEN bytes, and a NUL. */
static void unpack(char *out)
{
	const unsigned char *p = page_packed, *end = p + sizeof(page_packed);
	size_t n, back;

	while (p < end) {
		if (*p < 128) {
			*out++ = (char)*p++;
			continue;
		}
		n = (*p >> 4 & 7) + 3;
		back = (size_t)(*p & 15) << 8 | p[1];
		p += 2;
		if (n == 10)
			n += *p++;
		for (; n > 0; n--, out++)
			*out = out[-1 - (ptrdiff_t)back];
	}
	*out = '\0';
}

#define OPEN '\1' /* {{ and }}, as the generator writes them */
#define CLOSE '\2'
#define TAG_MAX 24 /* a name with its NUL */

static const struct json_tok *find(
    const struct render *r, const struct json_tok *scope, const char *name)
{
	if (*name == '.')
		return scope;
	if (*name == '^')
		return json_get(&r->j, r->j.toks, name + 1);
	return json_get(&r->j, scope, name);
}

static bool is_true(const struct render *r, const struct json_tok *t)
{
	if (t == NULL || t->type == JSON_NULL || t->type == JSON_FALSE)
		return false;
	if (t->type == JSON_NUMBER)
		return t->end - t->start != 1 || r->j.text[t->start] != '0';
	return t->type == JSON_STRING  ? t->end > t->start
	       : t->type == JSON_ARRAY ? t->size > 0
				       : true;
}

#define VISIT_LATE_S 10 /* a phone opens several connections */
#define PUSH_RUN_S 120	/* a wake-up is counted from the first push of a run */

/* Whether the wake-up time is that of the last visit: no push and no visit since. */
static bool is_of_visit(const struct render *r, const struct json_tok *device)
{
	const struct json_tok *t = json_get(&r->j, device, "wakeup");
	int64_t seen_s = 0, pushed_s = 0, after_s;

	json_int(&r->j, json_get(&r->j, device, "seen"), &seen_s);
	json_int(&r->j, json_get(&r->j, device, "pushed"), &pushed_s);
	after_s = seen_s - pushed_s;
	return after_s >= -PUSH_RUN_S &&
	       after_s <= atoi(r->j.text + t->start) + VISIT_LATE_S;
}

/* Reads {{name:as}}, after the {{.  Returns what follows. */
static const char *read_tag(
    const char *p, char name[TAG_MAX], const char **as_r)
{
	size_t len = strcspn(p, "\2"), n = strcspn(p, ":\2");

	memcpy(name, p, n);
	name[n] = '\0';
	*as_r = p + n + (n < len);
	return p + len + 1;
}

/* Renders p up to the {{/}} that belongs to it, or the end; without a scope it is
 * only skipped.  Returns what follows. */
static const char *render(
    struct render *r, const char *p, const struct json_tok *scope)
{
	const struct json_tok *t, *end;
	char name[TAG_MAX], kind;
	const char *as, *after;
	size_t n;

	for (;;) {
		n = strcspn(p, "\1");
		if (scope != NULL)
			buf_add(&r->out, p, n);
		kind = p[n] == OPEN ? p[n + 1] : '\0';
		if (kind == '\0')
			return p + n;
		p = read_tag(
		    p + n + 1 + (strchr("?!#", kind) != NULL), name, &as);
		if (kind == '/')
			return p;
		t = scope != NULL ? find(r, scope, name) : NULL;
		if (kind == '?' || kind == '!') {
			p = render(r, p,
			    is_true(r, t) == (kind == '?') &&
				    (*as != 'v' || is_of_visit(r, scope))
				? scope
				: NULL);
		} else if (kind == '#') {
			after = render(r, p, NULL);
			end = t != NULL ? r->j.toks + t->next : NULL;
			for (t = t != NULL ? t + 1 : NULL; t < end;
			     t = r->j.toks + t->next)
				render(r, p, t);
			p = after;
		} else if (scope != NULL) {
			put_value(r, t, as);
		}
	}
}

/* --- devices --- */

struct found {
	struct reg **regs;
	size_t n, cap;
	const char *search;
};

static void add_device(struct found *f, struct reg *r)
{
	if (f->n == DEVICES_MAX)
		return;
	if (f->n == f->cap) {
		f->cap = f->cap * 2 + DEVICES;
		f->regs = xrealloc(f->regs, f->cap * sizeof(f->regs[0]));
	}
	f->regs[f->n++] = r;
}

/* Those of the very name come first, before any search. */
static void find_device(void *arg, struct reg *r)
{
	struct found *f = arg;

	if (strcasestr(reg_user(r), f->search) != NULL &&
	    strcasecmp(reg_user(r), f->search) != 0)
		add_device(f, r);
}

/* By user, the newest device first. */
static int compare(const void *a, const void *b)
{
	const struct reg *x = *(struct reg *const *)a;
	const struct reg *y = *(struct reg *const *)b;
	int d = strcasecmp(reg_user(x), reg_user(y));

	return d != 0 ? d
		      : (reg_time_s(x) < reg_time_s(y)) -
			    (reg_time_s(x) > reg_time_s(y));
}

static void write_device(struct api *a, struct buf *b, struct reg *r)
{
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	size_t n = reg_n_mailboxes(r), i;

	json_add_str(b, "user", reg_user(r));
	json_add_str(b, "account", reg_account(r, account));
	json_add_str(b, "token", reg_token(r, token));
	if (reg_kind(r) != REG_APPLE)
		json_add_str(b, "kind", reg_kind_name(reg_kind(r)));
	json_add_num(b, "time", reg_time_known(r) ? reg_time_s(r) : 0);
	json_add_bool(b, "suspended", reg_suspended(r));
	json_add_bool(b, "oldTopic", store_old_topic(a->store, r) != NULL);
	json_add_num(b, "more", n > MAILBOXES ? (int)n - MAILBOXES : 0);
	json_open(b, "mailboxes", '[');
	for (i = 0; i < n && i < MAILBOXES; i++)
		json_add_str(b, NULL, reg_mailbox(r, i));
	buf_add_byte(b, ']');
	push_write_past(a->queue, r, b);
	buf_add_byte(b, '}');
}

/* Returns where the next page begins, 0: there is none. */
static size_t write_devices(struct api *a, const struct page *pg, struct buf *b)
{
	struct found f = { .search = pg->search };
	size_t from = pg->from, steps = 0, i;
	struct reg *r = from == 0 ? store_first(a->store, f.search) : NULL;

	for (; r != NULL; r = reg_next(r))
		add_device(&f, r);
	do
		store_scan(a->store, &from, find_device, &f);
	while (from != 0 && f.n < DEVICES && ++steps < STEPS_MAX);
	if (f.n > 0)
		qsort(f.regs, f.n, sizeof(f.regs[0]), compare);
	json_open(b, "devices", '[');
	for (i = 0; i < f.n; i++) {
		json_open(b, NULL, '{');
		json_add_bool(b, "head",
		    i == 0 || strcasecmp(reg_user(f.regs[i - 1]),
				  reg_user(f.regs[i])) != 0);
		write_device(a, b, f.regs[i]);
	}
	buf_add_byte(b, ']');
	free(f.regs);
	return from;
}

/* --- the document --- */

static const char *page_token(struct api *a)
{
	unsigned char random[16];

	if (a->page_token[0] == '\0') {
		tls_random(random, sizeof(random));
		text_hex_write(random, sizeof(random), a->page_token);
	}
	return a->page_token;
}

/* How the first line looks. */
static const char *level(struct api *a)
{
	struct push_figures f = { 0 };
	size_t i = push_n_lanes(a->queue);
	bool bad = false;

	while (--i > 0)
		bad =
		    bad || (!push_is_unset(push_lane_at(a->queue, i)) &&
			       push_health(push_lane_at(a->queue, i)) != NULL);
	push_get_figures(push_lane_at(a->queue, 0), &f);
	return push_verdict(a->queue, false) != NULL ||
		       commit_is_failing(a->commit)
		   ? "bad"
	       : store_suspended(a->store) > 0 ||
		       store_old_topics(a->store) > 0 ||
		       push_get_visits(a->queue)->silent > 0 || bad ||
		       (f.send.state != SEND_UP &&
			   !push_is_unset(push_lane_at(a->queue, 0))) ||
		       cred_warning(a->cred, 0) != NULL
		   ? "look"
	       : store_count(a->store) == 0 ? "new"
					    : "good";
}

static void write_document(struct api *a, const struct page *pg, struct buf *b)
{
	const char *how = level(a);
	size_t next;

	api_write_status(a, b, true);
	push_write_day(a->queue, b);
	json_add_str(b, "level", how);
	json_add_bool(b, how, true);
	json_open(b, "figures", '[');
	api_write_figures(a, b);
	buf_add_byte(b, ']');
	if (pg->admin) {
		json_add_str(b, "key", page_token(a));
		json_add_str(b, "search", pg->search);
		next = write_devices(a, pg, b);
		json_add_bool(b, "admin", true);
		json_add_num(b, "from", (int64_t)pg->from);
		json_add_num(b, "next", (int64_t)next);
	}
	if (pg->pushed != NULL) {
		json_add_str(b, "pushed", pg->pushed);
		buf_add_fmt(b, ",\"results\":[%s]", pg->results);
	}
	if (pg->forgot != NULL)
		json_add_str(b, "forgot", pg->forgot);
	if (pg->trouble != NULL)
		json_add_str(b, "trouble", pg->trouble);
	buf_add_byte(b, '}');
}

static void reply_page(
    struct api *a, struct http_conn *conn, const struct page *pg)
{
	static const char headers[] =
	    "Content-Security-Policy: " PAGE_CSP "\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "Referrer-Policy: same-origin\r\n" /* no-referrer: Origin: null */
	    "Cache-Control: no-store\r\n";
	struct buf doc = BUF_INIT(DOC_MAX);
	struct render r = { .out = BUF_INIT(DOC_MAX),
		.now_s = (int64_t)time(NULL) };
	char *template = xmalloc(PAGE_LEN + 1);
	bool ok;

	write_document(a, pg, &doc);
	ok = !doc.failed &&
	     json_load((const char *)buf_head(&doc), doc.len, &r.j);
	if (ok) {
		unpack(template);
		render(&r, template, r.j.toks);
	}
	if (!ok || r.out.failed)
		api_reply_text(conn, 500, "the page is too long");
	else
		http_reply(conn, 200, "text/html; charset=utf-8", headers,
		    buf_head(&r.out), r.out.len);
	json_free(&r.j);
	free(template);
	buf_free(&doc);
	buf_free(&r.out);
}

/* --- forms --- */

static void on_pushed(struct api *a, struct http_conn *conn, const char *user,
    const char *devices)
{
	struct page pg = { .search = user, .admin = true, .pushed = user };

	pg.results = devices != NULL ? devices : "";
	reply_page(a, conn, &pg);
}

struct forget {
	struct commit_waiter commit;
	struct api *api;
	struct http_conn *conn;
	char user[REG_USER_MAX + 1];
};

static void on_forgotten(void *arg, const char *err)
{
	struct forget *f = arg;
	struct page pg = {
		.search = "", .admin = true, .forgot = f->user, .trouble = err
	};

	reply_page(f->api, f->conn, &pg);
	free(f);
}

static void start_forget(struct api *a, struct http_conn *conn,
    const char *user, const char *account, const char *token)
{
	struct forget *f;

	if (api_forget(a, user, account, token, true) == 0) {
		api_reply_text(conn, 404,
		    "there is no such device any more: go back and load the "
		    "page again");
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->api = a;
	f->conn = conn;
	strcpy(f->user, user);
	commit_wait(a->commit, &f->commit, on_forgotten, f);
}

static bool is_page_token(const struct api *a, const char *got)
{
	return a->page_token[0] != '\0' &&
	       api_is_secret(a->page_token, got, strlen(got));
}

static void handle_form(struct api_request *rq, struct http_conn *conn)
{
	const char *text = rq->req->body;
	size_t len = rq->req->body_len;
	char key[sizeof(rq->api->page_token)], what[8];
	char user[REG_USER_MAX + 1];
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	int has_token;

	if (form_get(text, len, "key", key, sizeof(key)) < 0 ||
	    !is_page_token(rq->api, key)) {
		api_refuse(rq, 403,
		    "this form is not from the page of the running xapsd: "
		    "load the page again");
		return;
	}
	has_token = form_get(text, len, "token", token, sizeof(token));
	if (form_get(text, len, "do", what, sizeof(what)) < 0 ||
	    form_get(text, len, "user", user, sizeof(user)) <= 0 ||
	    form_get(text, len, "account", account, sizeof(account)) ==
		FORM_BAD) {
		api_refuse(
		    rq, 400, "this form lacks a field, or one is malformed");
	} else if (strcmp(what, "push") == 0) {
		api_trial_start(rq->api, conn, user, "INBOX", on_pushed);
	} else if (strcmp(what, "forget") == 0 && has_token >= 8 &&
		   account[0] != '\0') {
		start_forget(rq->api, conn, user, account, token);
	} else {
		api_refuse(
		    rq, 400, "this form asks for nothing that xapsd does");
	}
}

/* --- the request --- */

/* Names only for those who gave the password, whatever way they came, and for those
 * who could read the database. */
static bool may_see_names(const struct api_request *rq)
{
	return api_has_password(rq->api, rq->req) || api_is_admin(rq->req);
}

void api_handle_page(struct api_request *rq, struct http_conn *conn)
{
	const struct http_str *q = &rq->req->query;
	char search[REG_USER_MAX + 1], from[24];
	struct page pg = { .search = search, .admin = may_see_names(rq) };

	if (rq->req->method.p[0] == 'P') {
		if (pg.admin) {
			handle_form(rq, conn);
			return;
		}
		api_refuse(rq, 403,
		    "this is for those who log in: set httpUser "
		    "and httpPassword in xapsd's configuration");
		return;
	}
	if (form_get(q->p, q->len, "user", search, sizeof(search)) ==
		FORM_BAD ||
	    form_get(q->p, q->len, "from", from, sizeof(from)) == FORM_BAD) {
		api_refuse(rq, 400, "malformed query");
		return;
	}
	pg.from = (size_t)strtoull(from, NULL, 10);
	reply_page(rq->api, conn, &pg);
}
