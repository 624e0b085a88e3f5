/* api.c - what Dovecot asks: decode, validate, answer. */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "apns.h"
#include "buf.h"
#include "conf.h"
#include "cred.h"
#include "json.h"
#include "loop.h"
#include "push.h"
#include "store.h"
#include "tls.h"

/* A body of 64 KiB can hold some 30,000 tokens; a registration with 1,000
 * mailboxes has 1,012.  The larger part is for members that we do not know. */
#define TOKENS_FIRST 64
#define TOKENS_MAX 4096

/* The one value that the field's clients send. */
#define SUBTOPIC "com.apple.mobilemail"

#define TEXT "text/plain"

struct api {
	struct loop *loop;
	const struct conf *conf;
	struct store *store;
	struct push_queue *queue;
	const struct cred *cred;
	int64_t started_ms;
	/* registrations whose 200 waits for the disk */
	struct loop_task commit;
	struct http_conn **waiting;
	size_t n_waiting, waiting_cap;
	bool store_failed; /* the last sync; logged once */
	/* the request at hand */
	struct json_tok *toks;
	size_t toks_cap;
	struct buf names; /* decoded mailboxes, each with its NUL */
	const char **mailboxes;
	struct buf out;
	char *authorization; /* "Basic …", NULL: not asked for */
};

/* One request being decoded; err is the text of a 400. */
struct ask {
	struct api *api;
	struct json j;
	char err[ERR_MAX];
};

static void reply_text(struct http_conn *conn, int status, const char *text)
{
	char line[ERR_MAX + 2];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	http_reply(conn, status, TEXT, NULL, line,
	    n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

/* --- decoding --- */

static int ask_parse(struct ask *q, const struct http_request *req)
{
	struct api *a = q->api;
	struct json_err jerr;
	int n;

	for (;;) {
		/* without tokens it would only count */
		jerr.too_many = true;
		n = a->toks == NULL ? -1
				    : json_parse(req->body, req->body_len,
					  a->toks, a->toks_cap, &jerr);
		if (n >= 0 || !jerr.too_many || a->toks_cap >= TOKENS_MAX)
			break;
		a->toks_cap = a->toks_cap ? a->toks_cap * 4 : TOKENS_FIRST;
		a->toks = xrealloc(a->toks, a->toks_cap * sizeof(*a->toks));
	}
	if (n < 0 && jerr.too_many) {
		err_set(q->err, "too many values");
		return -1;
	}
	if (n < 0) {
		err_set(q->err, "malformed JSON: %zu:%zu: %s", jerr.line,
		    jerr.column, jerr.reason);
		return -1;
	}
	q->j.text = req->body;
	q->j.len = req->body_len;
	q->j.toks = a->toks;
	q->j.n_toks = (size_t)n;
	if (a->toks[0].type != JSON_OBJECT) {
		err_set(q->err, "not a JSON object");
		return -1;
	}
	return 0;
}

static const struct json_tok *ask_get(
    struct ask *q, const char *key, enum json_type type)
{
	static const char *const names[] = {
		[JSON_STRING] = "a string",
		[JSON_ARRAY] = "a list",
	};
	const struct json_tok *t = json_get(&q->j, q->j.toks, key);

	if (t == NULL)
		err_set(q->err, "%s is missing", key);
	else if (t->type != type)
		err_set(q->err, "%s is not %s", key, names[type]);
	else
		return t;
	return NULL;
}

static int ask_string(struct ask *q, const char *key, char *out, size_t size)
{
	const struct json_tok *t = ask_get(q, key, JSON_STRING);

	if (t == NULL)
		return -1;
	if (json_string(&q->j, t, out, size) < 0) {
		err_set(q->err,
		    "%s is longer than %zu bytes or holds characters that "
		    "cannot be used",
		    key, size - 1);
		return -1;
	}
	return 0;
}

/* The names land in api->names, pointers to them in api->mailboxes. */
static int ask_mailboxes(struct ask *q, const char *key, size_t *n_r)
{
	const struct json_tok *list = ask_get(q, key, JSON_ARRAY), *t;
	struct api *a = q->api;
	char name[REG_MAILBOX_MAX + 1];
	const char *p;
	size_t i;

	if (list == NULL)
		return -1;
	if (list->size > REG_MAILBOXES_MAX) {
		err_set(q->err, "%s has more than %d names", key,
		    REG_MAILBOXES_MAX);
		return -1;
	}
	buf_reset(&a->names);
	for (t = list + 1, i = 0; i < list->size; i++) {
		if (t->type != JSON_STRING ||
		    json_string(&q->j, t, name, sizeof(name)) < 0) {
			err_set(q->err,
			    "%s: name %zu is no string or longer than %d bytes",
			    key, i + 1, REG_MAILBOX_MAX);
			return -1;
		}
		buf_add(&a->names, name, strlen(name) + 1);
		t = q->j.toks + t->next;
	}
	/* Pointers last: the buffer has stopped moving. */
	a->mailboxes = xrealloc(a->mailboxes, (i + 1) * sizeof(*a->mailboxes));
	p = (const char *)buf_head(&a->names);
	for (i = 0; i < list->size; i++, p += strlen(p) + 1)
		a->mailboxes[i] = p;
	*n_r = list->size;
	return 0;
}

static int ask_acked(struct ask *q, bool *acked_r)
{
	const struct json_tok *t =
	    json_get(&q->j, q->j.toks, "MailboxesAcknowledged");

	*acked_r = t != NULL && t->type == JSON_TRUE;
	if (t == NULL || t->type == JSON_TRUE || t->type == JSON_FALSE)
		return 0;
	err_set(q->err, "MailboxesAcknowledged is not true or false");
	return -1;
}

/* --- POST /register --- */

static void wait_for_disk(struct api *a, struct http_conn *conn)
{
	if (a->n_waiting == a->waiting_cap) {
		a->waiting_cap = a->waiting_cap ? a->waiting_cap * 2 : 8;
		a->waiting = xrealloc(
		    a->waiting, a->waiting_cap * sizeof(struct http_conn *));
	}
	a->waiting[a->n_waiting++] = conn;
	loop_task_queue(a->loop, &a->commit);
}

static void reply_registered(struct api *a, struct http_conn *conn)
{
	const char *topic = cred_topic(a->cred);

	http_reply(conn, 200, TEXT, NULL, topic, strlen(topic));
}

/* The strings of a registration while they are decoded. */
struct reg_text {
	char user[REG_USER_MAX + 1];
	char account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
	char subtopic[64];
};

static int decode_registration(
    struct ask *q, struct reg_text *text, struct reg_spec *spec)
{
	const char *wrong;

	if (ask_string(
		q, "ApsAccountId", text->account, sizeof(text->account)) < 0 ||
	    ask_string(q, "ApsDeviceToken", text->token, sizeof(text->token)) <
		0 ||
	    ask_string(
		q, "ApsSubtopic", text->subtopic, sizeof(text->subtopic)) < 0 ||
	    ask_string(q, "Username", text->user, sizeof(text->user)) < 0 ||
	    ask_mailboxes(q, "Mailboxes", &spec->n_mailboxes) < 0 ||
	    ask_acked(q, &spec->acked) < 0)
		return -1;
	if (strcmp(text->subtopic, SUBTOPIC) != 0) {
		err_set(q->err, "ApsSubtopic is not " SUBTOPIC);
		return -1;
	}
	spec->user = text->user;
	spec->account = text->account;
	spec->token = text->token;
	spec->mailboxes = q->api->mailboxes;
	spec->time_s = (int64_t)time(NULL);
	wrong = reg_spec_check(spec);
	if (wrong != NULL) {
		err_set(q->err, "%s", wrong);
		return -1;
	}
	return 0;
}

static void handle_register(struct ask *q, struct http_conn *conn)
{
	struct api *a = q->api;
	struct reg_text text;
	struct reg_spec spec = { 0 };
	char shown[LOG_TOKEN_MAX];

	if (decode_registration(q, &text, &spec) < 0) {
		reply_text(conn, 400, q->err);
		return;
	}
	store_put(a->store, &spec);
	log_info("register: %s: %s: %zu mailboxes", spec.user,
	    log_token(spec.token, shown), spec.n_mailboxes);
	if (store_is_dirty(a->store))
		wait_for_disk(a, conn);
	else
		reply_registered(a, conn);
}

void api_sync(struct api *a)
{
	char err[ERR_MAX], text[ERR_MAX + 64];
	size_t i;
	int rc = store_sync(a->store, err);

	if (rc < 0 && !a->store_failed)
		log_error("%s", err);
	if (rc == 0 && a->store_failed)
		log_info("store: registrations are on disk again");
	a->store_failed = rc < 0;
	for (i = 0; i < a->n_waiting; i++) {
		if (rc == 0) {
			reply_registered(a, a->waiting[i]);
			continue;
		}
		snprintf(text, sizeof(text),
		    "%s; the registration is kept in memory only", err);
		reply_text(a->waiting[i], 503, text);
	}
	a->n_waiting = 0;
}

static void on_commit(void *arg)
{
	api_sync(arg);
}

static void on_dirty(void *arg)
{
	struct api *a = arg;

	loop_task_queue(a->loop, &a->commit);
}

/* --- POST /notify and the ox driver --- */

#define MAILBOX_NAME_MAX 4096 /* bytes; Dovecot's own limit of a name */

static void answer_notify(struct api *a, struct http_conn *conn,
    const char *user, const char *mailbox, bool now)
{
	switch (push_notify(a->queue, user, mailbox, now)) {
	case PUSH_QUEUED:
		http_reply(conn, 200, NULL, NULL, NULL, 0);
		break;
	case PUSH_NO_MAILBOX:
		http_reply(conn, 204, NULL, NULL, NULL, 0);
		break;
	case PUSH_NO_USER:
		reply_text(conn, 404, "no device is registered for this user");
		break;
	}
}

/* True if one of the names is MessageNew, or there is none at all. */
static int ask_events(struct ask *q, bool *now_r)
{
	const struct json_tok *list = ask_get(q, "Events", JSON_ARRAY), *t;
	char name[64];
	size_t i;

	if (list == NULL)
		return -1;
	*now_r = list->size == 0;
	for (t = list + 1, i = 0; i < list->size; i++) {
		if (t->type != JSON_STRING) {
			err_set(q->err, "Events: name %zu is no string", i + 1);
			return -1;
		}
		if (json_string(&q->j, t, name, sizeof(name)) >= 0 &&
		    strcasecmp(name, "MessageNew") == 0)
			*now_r = true;
		t = q->j.toks + t->next;
	}
	return 0;
}

static void handle_notify(struct ask *q, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1], mailbox[MAILBOX_NAME_MAX + 1];
	bool now = false;

	if (ask_string(q, "Username", user, sizeof(user)) < 0 ||
	    ask_string(q, "Mailbox", mailbox, sizeof(mailbox)) < 0 ||
	    ask_events(q, &now) < 0)
		reply_text(conn, 400, q->err);
	else
		answer_notify(q->api, conn, user, mailbox, now);
}

static void handle_ox(struct ask *q, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1], mailbox[MAILBOX_NAME_MAX + 1];
	char event[64];

	if (ask_string(q, "user", user, sizeof(user)) < 0 ||
	    ask_string(q, "folder", mailbox, sizeof(mailbox)) < 0 ||
	    ask_string(q, "event", event, sizeof(event)) < 0)
		reply_text(conn, 400, q->err);
	else
		answer_notify(q->api, conn, user, mailbox,
		    strcasecmp(event, "messageNew") == 0);
}

/* --- GET /healthz and /status --- */

static void handle_healthz(struct ask *q, struct http_conn *conn)
{
	const char *trouble = push_trouble(q->api->queue);

	reply_text(conn, trouble == NULL ? 200 : 503,
	    trouble == NULL ? "ok" : trouble);
}

static const char *const apns_states[] = {
	[APNS_OFF] = "off",
	[APNS_WAITING] = "waiting",
	[APNS_CONNECTING] = "connecting",
	[APNS_UP] = "connected",
};

static const char *const cred_kinds[] = {
	[CRED_NONE] = "none",
	[CRED_TOKEN_KEY] = "token key",
	[CRED_CERTIFICATE] = "certificate",
};

static void add_str(struct buf *b, const char *key, const char *value)
{
	buf_add_fmt(b, "\"%s\":", key);
	json_write_str(b, value);
	buf_add_byte(b, ',');
}

static void add_num(struct buf *b, const char *key, uint64_t value)
{
	buf_add_fmt(b, "\"%s\":%llu,", key, (unsigned long long)value);
}

static void add_counters(struct buf *b, const struct push_counters *c)
{
	add_num(b, "delivered", c->delivered);
	add_num(b, "merged", c->merged);
	add_num(b, "retried", c->retried);
	add_num(b, "dropped", c->dropped);
	add_num(b, "forgotten", c->forgotten);
	add_num(b, "suspended", c->suspended);
}

static void handle_status(struct ask *q, struct http_conn *conn)
{
	struct api *a = q->api;
	const char *trouble = push_trouble(a->queue);
	struct apns_status st = { 0 };
	struct buf *b = &a->out;

	push_get_apns(a->queue, &st);
	buf_reset(b);
	buf_add_byte(b, '{');
	add_str(b, "version", XAPSD_VERSION);
	add_str(b, "tls", tls_version());
	add_num(b, "uptime",
	    (uint64_t)(loop_now_ms(a->loop) - a->started_ms) / 1000);
	add_str(b, "health", trouble == NULL ? "ok" : trouble);
	add_str(b, "topic", cred_topic(a->cred));
	add_str(b, "credentials", cred_kinds[cred_kind(a->cred)]);
	add_num(b, "expires", (uint64_t)cred_expires_s(a->cred));
	add_str(b, "apns", apns_states[st.state]);
	add_str(b, "apnsHost", st.host);
	add_num(b, "apnsPort", (uint64_t)st.port);
	add_str(b, "apnsError", st.last_error);
	add_num(b, "connections", st.connections);
	add_num(b, "resumed", st.resumed);
	add_num(b, "registrations", store_count(a->store));
	add_num(b, "queue", push_count(a->queue));
	add_num(b, "inFlight", push_in_flight(a->queue));
	add_counters(b, push_get_counters(a->queue));
	b->len--; /* the last comma */
	buf_add_str(b, "}\n");
	http_reply(conn, 200, "application/json", NULL, buf_head(b), b->len);
}

/* --- who may ask what --- */

enum method {
	M_GET = 1,
	M_POST = 2,
	M_PUT = 4,
};

static const struct {
	const char *name;
	unsigned bits;
} methods[] = {
	{ "GET", M_GET },
	{ "HEAD", M_GET },
	{ "POST", M_POST },
	{ "PUT", M_PUT },
};

static const struct route {
	const char *path;
	unsigned methods;
	const char *allow; /* header line for a 405 */
	void (*handle)(struct ask *q, struct http_conn *conn);
	bool json; /* the body is decoded first */
	bool needs_cred;
	bool open; /* without authentication */
} routes[] = {
	{ "/notify", M_POST, "Allow: POST\r\n", handle_notify, true, true,
	    false },
	{ "/register", M_POST, "Allow: POST\r\n", handle_register, true, true,
	    false },
	{ "/preliminary/http-notify/v1/notify", M_PUT | M_POST,
	    "Allow: PUT, POST\r\n", handle_ox, true, true, false },
	{ "/healthz", M_GET, "Allow: GET, HEAD\r\n", handle_healthz, false,
	    false, true },
	{ "/status", M_GET, "Allow: GET, HEAD\r\n", handle_status, false, false,
	    false },
};

static bool str_is(const struct http_str *s, const char *want)
{
	return s->len == strlen(want) && memcmp(s->p, want, s->len) == 0;
}

static const struct route *find_route(const struct http_str *path)
{
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (str_is(path, routes[i].path))
			return &routes[i];
	return NULL;
}

static unsigned method_bits(const struct http_str *method)
{
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (str_is(method, methods[i].name))
			return methods[i].bits;
	return 0;
}

/* In a time that tells nothing about how much of it was right. */
static bool is_authorized(const struct api *a, const struct http_request *req)
{
	const struct http_str *got = &req->authorization;
	size_t want_len, i;
	unsigned diff;

	if (a->authorization == NULL || req->over_unix)
		return true;
	want_len = strlen(a->authorization);
	if (got->len < 6 || strncasecmp(got->p, "Basic ", 6) != 0)
		return false;
	diff = got->len != want_len;
	for (i = 6; i < want_len; i++)
		diff |= (unsigned char)a->authorization[i] ^
			(unsigned char)got->p[i < got->len ? i : 0];
	return diff == 0;
}

void api_handle(
    struct http_conn *conn, const struct http_request *req, void *arg)
{
	struct ask q = { .api = arg };
	const struct route *r = find_route(&req->path);

	if ((r == NULL || !r->open) && !is_authorized(q.api, req))
		http_reply(conn, 401, TEXT,
		    "WWW-Authenticate: Basic realm=\"xapsd\"\r\n",
		    "wrong or missing user and password\n", 35);
	else if (r == NULL)
		reply_text(conn, 404, "no such path");
	else if ((method_bits(&req->method) & r->methods) == 0)
		http_reply(conn, 405, TEXT, r->allow, "wrong method\n", 13);
	else if (r->needs_cred && cred_kind(q.api->cred) == CRED_NONE)
		reply_text(conn, 503, push_trouble(q.api->queue));
	else if (r->json && ask_parse(&q, req) < 0)
		reply_text(conn, 400, q.err);
	else
		r->handle(&q, conn);
}

/* --- the owner's --- */

static char *basic_authorization(const char *user, const char *password)
{
	static const char table[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
				    "qrstuvwxyz0123456789+/";
	size_t n = strlen(user) + 1 + strlen(password), i;
	unsigned char *plain = xcalloc(n + 3, 1);
	char *out = xmalloc(6 + (n + 2) / 3 * 4 + 1), *p = out + 6;
	unsigned v;

	memcpy(out, "Basic ", 6);
	snprintf((char *)plain, n + 1, "%s:%s", user, password);
	for (i = 0; i < n; i += 3, p += 4) {
		v = (unsigned)plain[i] << 16 | (unsigned)plain[i + 1] << 8 |
		    plain[i + 2];
		p[0] = table[v >> 18];
		p[1] = table[v >> 12 & 63];
		p[2] = i + 1 < n ? table[v >> 6 & 63] : '=';
		p[3] = i + 2 < n ? table[v & 63] : '=';
	}
	*p = '\0';
	mem_wipe(plain, n);
	free(plain);
	return out;
}

struct api *api_new(struct loop *l, const struct conf *conf,
    struct store *store, struct push_queue *queue, const struct cred *cred)
{
	struct api *a = xcalloc(1, sizeof(*a));

	a->loop = l;
	a->conf = conf;
	a->store = store;
	a->queue = queue;
	a->cred = cred;
	a->started_ms = loop_now_ms(l);
	/* All names of one request: its body's size and a NUL each. */
	buf_init(&a->names, HTTP_BODY_MAX + REG_MAILBOXES_MAX);
	buf_init(&a->out, 4096);
	loop_task_init(&a->commit, on_commit, a);
	store_on_dirty(store, on_dirty, a);
	if (conf->http_user != NULL && conf->http_password != NULL)
		a->authorization =
		    basic_authorization(conf->http_user, conf->http_password);
	return a;
}

void api_free(struct api *a)
{
	if (a == NULL)
		return;
	store_on_dirty(a->store, NULL, NULL);
	loop_task_cancel(a->loop, &a->commit);
	if (a->authorization != NULL)
		mem_wipe(a->authorization, strlen(a->authorization));
	free(a->authorization);
	free(a->waiting);
	free(a->toks);
	free(a->mailboxes);
	buf_free(&a->names);
	buf_free(&a->out);
	free(a);
}
