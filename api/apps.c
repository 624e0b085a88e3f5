/* api/apps.c - registrations of apps and of servers that are not Dovecot: POST
 * /register with a kind, and what belongs to it.  xapsd-api(7) describes it. */
#include "api/int.h"

#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "cred.h"
#include "features.h"
#include "io.h"
#include "mem.h"
#include "text.h"
#include "tls.h"
#include "url.h"
#include "webpush.h"

/* Of one user, made by an IMAP client: a browser or a phone has one each. */
#define UNTRUSTED_MAX 20
#define CODE_BYTES 16
#define KEY_TOKEN_BYTES                                                        \
	16 /* of the address's SHA-256, in a registration's key */
/* Registrations that wait for a name server; each keeps its body of at most 64
 * KiB. */
#define LOOKUPS_MAX 64
#define ANSWER_MAX (16 * 1024 * 1024) /* 50 registrations of 256 KiB of names */

/* What a body says of a registration. */
struct app {
	struct reg_spec spec;
	char user[REG_USER_MAX + 1];
	char id[REG_ACCOUNT_MAX + 1];
	char address[REG_TO_MAX + 1]; /* Endpoint or Token */
	char p256dh[128], auth[64];   /* Base64 of 65 and 16 bytes */
	char token[2 * KEY_TOKEN_BYTES + 1];
	char to[REG_TO_MAX + 1];
	bool has_id, has_address;
	bool confirm;
};

/* --- decoding: 0, or the status of the answer with rq->err set --- */

static int say(struct api_request *rq, int status, const char *why)
{
	err_set(rq->err, "%s", why);
	return status;
}

static int fail(struct api_request *rq, const char *why)
{
	return say(rq, 400, why);
}

/* status 0: it was done, 204 as soon as the disk has it. */
static void finish(struct api_request *rq, struct http_conn *conn, int status)
{
	if (status == 0)
		api_reply_durable(rq->api, conn, API_REPLY_NONE, xstrdup(""));
	else
		api_reply_text(conn, status, rq->err);
	/* Only malformed requests are counted as refused. */
	if (status != 400)
		rq->err[0] = '\0';
}

static int decode_kind(
    struct api_request *rq, enum reg_kind otherwise, enum reg_kind *kind_r)
{
	const struct json_tok *t = json_get(&rq->j, rq->j.toks, "Kind");
	const char *lack;
	char name[16];

	*kind_r = otherwise;
	if (t != NULL &&
	    (json_string(&rq->j, t, name, sizeof(name)) < 0 ||
		!reg_kind_find(name, kind_r) || *kind_r == REG_HOOK))
		return fail(rq, "Kind is none of apple, webpush, deltachat and "
				"fcm");
	lack = features_lack(reg_kind_name(*kind_r));
	return lack != NULL ? say(rq, 501, lack) : 0;
}

static bool is_printable(const char *s, char least)
{
	while (*s >= least && *s <= '~')
		s++;
	return *s == '\0';
}

static int decode_id(struct api_request *rq, struct app *app)
{
	const char *kind = reg_kind_name(app->spec.kind);

	if (api_body_optional(
		rq, "Id", app->id, sizeof(app->id), &app->has_id) < 0)
		return 400;
	if (app->has_id && (app->id[0] == '\0' || !is_printable(app->id, ' ')))
		return fail(
		    rq, "Id must be 1 to 200 printable ASCII characters");
	if (strcmp(app->id, kind) == 0)
		return fail(rq,
		    "Id must not be the kind's name, which stands for none");
	app->spec.account = app->has_id ? app->id : kind;
	return 0;
}

static int decode_address(struct api_request *rq, struct app *app)
{
	bool is_webpush = app->spec.kind == REG_WEBPUSH;
	const char *key = is_webpush ? "Endpoint" : "Token";
	unsigned char hash[32];

	if (api_body_optional(rq, key, app->address, sizeof(app->address),
		&app->has_address) < 0)
		return 400;
	if (app->has_address &&
	    (app->address[0] == '\0' || !is_printable(app->address, '!'))) {
		err_set(rq->err,
		    "%s must be 1 to %d printable ASCII characters without "
		    "blanks",
		    key, REG_TO_MAX);
		return 400;
	}
	tls_sha256(app->address, strlen(app->address), hash);
	text_hex_write(hash, KEY_TOKEN_BYTES, app->token);
	app->spec.token = app->token;
	return 0;
}

/* Whose registrations of which kind, and which of them. */
static int decode_app(
    struct api_request *rq, enum reg_kind otherwise, struct app *app)
{
	int status;

	app->spec = (struct reg_spec){ .user = app->user, .to = app->to };
	status = decode_kind(rq, otherwise, &app->spec.kind);
	if (status != 0)
		return status;
	if (app->spec.kind == REG_APPLE)
		return fail(rq, "Kind is none of webpush, deltachat and fcm");
	if (api_body_string(rq, "Username", app->user, sizeof(app->user)) < 0)
		return 400;
	if (!reg_text_ok(app->user, REG_USER_MAX))
		return fail(rq, api_bad_user);
	status = decode_id(rq, app);
	return status != 0 ? status : decode_address(rq, app);
}

static int decode_mailboxes(struct api_request *rq, struct reg_spec *spec)
{
	struct api *a = rq->api;
	size_t i;

	if (json_get(&rq->j, rq->j.toks, "Mailboxes") == NULL) {
		buf_reset(&a->names);
		buf_add(&a->names, "INBOX", sizeof("INBOX"));
		api_set_mailboxes(a, (const char *)buf_head(&a->names), 1);
		spec->n_mailboxes = 1;
	} else if (api_body_mailboxes(rq, "Mailboxes", &spec->n_mailboxes) <
		   0) {
		return 400;
	}
	if (spec->n_mailboxes == 0)
		return fail(rq, "Mailboxes is empty: leave it out for INBOX");
	for (i = 0; spec->n_mailboxes > 1 && i < spec->n_mailboxes; i++)
		if (strcmp(a->mailboxes[i], "*") == 0)
			return fail(rq, "Mailboxes: \"*\" stands for all of "
					"them, and alone");
	spec->mailboxes = a->mailboxes;
	return api_body_canonical(rq, "Canonical", spec) < 0 ? 400 : 0;
}

/* --- webpush --- */

static int subscribe(struct api_request *rq, struct app *app, const char *code)
{
	const struct webpush_sub sub = { .endpoint = app->address,
		.p256dh = app->p256dh,
		.auth = app->auth,
		.code = code };
	int rc = webpush_subscribe(
	    push_webpush(rq->api->queue), &sub, app->to, rq->err);

	return rc == 0 ? 0 : rc == -1 ? 400 : 503;
}

/* What the text of the endpoint shows: whether we may connect to it at all. */
static int check_endpoint(
    struct api_request *rq, const char *endpoint, struct url *url_r)
{
	const struct io_guard *guard = push_guard(rq->api->queue);
	char why[ERR_MAX];

	if (url_parse(endpoint, url_r, why) < 0) {
		err_set(rq->err, "Endpoint %s", why);
		return 400;
	}
	if (!url_r->tls && !io_guard_lists(guard, url_r->host, url_r->port))
		return fail(rq, "Endpoint is not an https:// address: http:// "
				"is only for hosts that pushAllow lists");
	return io_guard_check_host(guard, url_r->host, url_r->port, rq->err) < 0
		   ? 400
		   : 0;
}

static int decode_webpush(
    struct api_request *rq, struct app *app, struct url *url_r)
{
	int status;

	if (api_body_string(rq, "P256dh", app->p256dh, sizeof(app->p256dh)) <
		0 ||
	    api_body_string(rq, "Auth", app->auth, sizeof(app->auth)) < 0 ||
	    api_body_bool(rq, "Confirm", &app->confirm) < 0)
		return 400;
	if (app->confirm && !app->has_id)
		return fail(rq, "Id is missing: Confirm needs one");
	status = check_endpoint(rq, app->address, url_r);
	return status != 0 ? status : subscribe(rq, app, "");
}

/* The user's registration of this kind and Id, or NULL. */
static struct reg *find_app(struct api *a, const struct app *app)
{
	struct reg *r = store_first(a->store, app->user);

	while (r != NULL &&
	       (reg_kind(r) != app->spec.kind || !reg_has_account(r, app->id)))
		r = reg_next(r);
	return r;
}

static size_t count_kind(struct api *a, const struct app *app)
{
	const struct reg *r = store_first(a->store, app->user);
	size_t n = 0;

	for (; r != NULL; r = reg_next(r))
		n += reg_kind(r) == app->spec.kind;
	return n;
}

/* Whoever asks may not own the address: it is pushed when a code that was sent
 * there comes back.  What is the same as before needs no other one. */
static int demand_code(struct api_request *rq, struct app *app)
{
	const struct reg *old = find_app(rq->api, app);
	const char *had = old != NULL ? reg_to(old) : "";
	char bare[WEBPUSH_TO_MAX], code[WEBPUSH_CODE_MAX + 1] = "";
	unsigned char random[CODE_BYTES];

	webpush_confirm(had, bare);
	if (strcmp(bare, app->to) == 0) {
		if (webpush_state(push_webpush(rq->api->queue), had) ==
		    WEBPUSH_ACTIVE)
			return 0;
		return subscribe(rq, app, webpush_code(had));
	}
	if (old == NULL && count_kind(rq->api, app) >= UNTRUSTED_MAX) {
		err_set(rq->err,
		    "this user has %d subscriptions, which are as many as "
		    "there may be: delete one first",
		    UNTRUSTED_MAX);
		return 409;
	}
	tls_random(random, sizeof(random));
	text_hex_write(random, sizeof(random), code);
	return subscribe(rq, app, code);
}

/* --- POST /register --- */

/* A registration that waits until we know where its address leads. */
struct api_lookup {
	struct api_lookup *next;
	struct api *api;
	struct http_conn *conn;
	struct io_guard_lookup *lookup;
	size_t len;
	char body[]; /* with a NUL */
};

static void put_app(
    struct api_request *rq, struct app *app, struct http_conn *conn)
{
	struct api *a = rq->api;
	enum api_reply_kind kind = API_REPLY_TOPIC;
	const char *key = "";
	struct reg *r;
	int status = app->confirm ? demand_code(rq, app) : 0;
	bool confirmed = true;

	if (status != 0) {
		finish(rq, conn, status);
		return;
	}
	r = api_put(a, &app->spec, rq->err);
	if (r == NULL) {
		finish(rq, conn, 503);
		return;
	}
	if (reg_kind(r) == REG_WEBPUSH) {
		confirmed = *webpush_code(reg_to(r)) == '\0';
		key = webpush_key(push_webpush(a->queue), rq->err);
	}
	if (!confirmed) {
		kind = API_REPLY_ACCEPTED;
		push_confirm(a->queue, r);
	}
	rq->err[0] = '\0'; /* what was asked on the way may have written it */
	if (store_is_durable(a->store, r))
		api_reply_done(conn, kind, key);
	else
		api_reply_durable(a, conn, kind, xstrdup(key));
}

static void look_up(
    struct api_request *rq, const struct url *url, struct http_conn *conn);

static bool has_service_account(struct api *a)
{
	size_t i, n = push_n_lanes(a->queue);

	for (i = 0; i < n; i++)
		if (cred_fcm(push_cred(push_lane_at(a->queue, i))) != NULL)
			return true;
	return false;
}

/* NULL, or why this kind cannot be pushed. */
static const char *find_lack(struct api *a, enum reg_kind kind)
{
	if (kind == REG_DELTACHAT && a->conf->deltachat_url == NULL)
		return "deltachatUrl is not set, so Delta Chat's apps get no "
		       "pushes";
	if (kind == REG_FCM && !has_service_account(a))
		return "there is no service account of Google's: set "
		       "fcmServiceAccount to its key file";
	return NULL;
}

/* All of a registration, and whether it may be. */
static int decode_registration(
    struct api_request *rq, struct app *app, struct url *url_r)
{
	const char *wrong;
	int status = decode_app(rq, REG_APPLE, app);

	if (status == 0 && !app->has_address)
		status = fail(rq, app->spec.kind == REG_WEBPUSH
				      ? "Endpoint is missing"
				      : "Token is missing");
	if (status == 0)
		status = decode_mailboxes(rq, &app->spec);
	if (status == 0 && app->spec.kind == REG_WEBPUSH)
		status = decode_webpush(rq, app, url_r);
	else
		memcpy(app->to, app->address, sizeof(app->to));
	if (status != 0)
		return status;
	wrong = reg_spec_check(&app->spec);
	if (wrong != NULL)
		return fail(rq, wrong);
	wrong = find_lack(rq->api, app->spec.kind);
	return wrong != NULL ? say(rq, 503, wrong) : 0;
}

/* checked: where the address leads. */
static void register_app(
    struct api_request *rq, struct http_conn *conn, bool checked)
{
	struct url url = { 0 };
	struct app app = { 0 };
	int status = decode_registration(rq, &app, &url);

	if (status == 0)
		rq->err[0] = '\0'; /* making a key may have written it */
	if (status != 0)
		finish(rq, conn, status);
	else if (app.spec.kind == REG_WEBPUSH && !checked)
		look_up(rq, &url, conn);
	else
		put_app(rq, &app, conn);
}

static void lookup_free(struct api_lookup *l)
{
	struct api_lookup **at = &l->api->lookups;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	l->api->n_lookups--;
	free(l);
}

static void on_looked_up(void *arg, enum io_guard_found found, const char *why)
{
	struct api_lookup *l = arg;
	const struct http_request req = { .body = l->body, .body_len = l->len };
	struct api_request rq = { .api = l->api, .req = &req };

	if (found == IO_GUARD_UNKNOWN)
		log_info(
		    "register: %s; taken, and judged when it is pushed", why);
	if (found == IO_GUARD_INSIDE) {
		err_set(rq.err, "%s", why);
		finish(&rq, l->conn, 400);
	} else if (api_body_parse(&rq) < 0) {
		finish(&rq, l->conn, 400); /* it was well-formed before */
	} else {
		register_app(&rq, l->conn, true);
	}
	l->api->counters.refused += rq.err[0] != '\0';
	lookup_free(l);
}

static void look_up(
    struct api_request *rq, const struct url *url, struct http_conn *conn)
{
	size_t len = rq->req->body_len;
	struct api *a = rq->api;
	struct api_lookup *l;

	if (a->n_lookups >= LOOKUPS_MAX) {
		finish(rq, conn,
		    say(rq, 503,
			"too many wait for the name server: try again"));
		return;
	}
	l = xmalloc(sizeof(*l) + len + 1);
	*l = (struct api_lookup){ a->lookups, a, conn, NULL, len };
	memcpy(l->body, rq->req->body, len);
	l->body[len] = '\0';
	a->lookups = l;
	a->n_lookups++;
	l->lookup = io_guard_lookup(a->loop, push_guard(a->queue), url->host,
	    url->port, on_looked_up, l);
}

void api_lookups_free(struct api *a)
{
	while (a->lookups != NULL) {
		io_guard_cancel(a->lookups->lookup);
		lookup_free(a->lookups);
	}
}

void api_handle_register(struct api_request *rq, struct http_conn *conn)
{
	enum reg_kind kind;
	int status = decode_kind(rq, REG_APPLE, &kind);

	if (status != 0)
		finish(rq, conn, status);
	else if (kind == REG_APPLE)
		api_handle_apple(rq, conn);
	else
		register_app(rq, conn, false);
}

/* --- GET /vapid --- */

void api_handle_vapid(struct api_request *rq, struct http_conn *conn)
{
	const char *lack = features_lack("webpush");
	const char *key =
	    lack == NULL ? webpush_key(push_webpush(rq->api->queue), rq->err)
			 : NULL;

	if (key != NULL) {
		http_reply(conn, 200, TEXT, NULL, key, strlen(key));
		return;
	}
	finish(rq, conn, lack != NULL ? say(rq, 501, lack) : 503);
}

/* --- POST /confirm --- */

static const char no_such[] = "there is no such registration";

static int confirm(struct api_request *rq, const char *code, struct reg *r)
{
	char to[WEBPUSH_TO_MAX], account[REG_ACCOUNT_MAX + 1];
	struct api *a = rq->api;

	switch (webpush_state(push_webpush(a->queue), reg_to(r))) {
	case WEBPUSH_ACTIVE:
		return 0;
	case WEBPUSH_UNCONFIRMED:
		break;
	default:
		return say(rq, 403,
		    "it was made with another VAPID key than "
		    "today's: subscribe again");
	}
	if (!webpush_confirms(reg_to(r), code))
		return say(rq, 403, "wrong code");
	webpush_confirm(reg_to(r), to);
	if (store_set_to(a->store, r, to, api_now_s(a)) == NULL) {
		store_explain_full(a->store, rq->err);
		return 503;
	}
	push_renewed(r);
	commit_after_put(a->commit);
	log_info(
	    "confirm: %s: %s: confirmed", reg_user(r), reg_account(r, account));
	return 0;
}

void api_handle_confirm(struct api_request *rq, struct http_conn *conn)
{
	char code[WEBPUSH_CODE_MAX + 1];
	struct app app = { 0 };
	struct reg *r;
	int status;

	status = decode_app(rq, REG_WEBPUSH, &app);
	if (status == 0 && app.spec.kind != REG_WEBPUSH)
		status = fail(rq, "Kind is not webpush");
	if (status == 0 && api_body_string(rq, "Code", code, sizeof(code)) < 0)
		status = 400;
	if (status == 0 && !app.has_id)
		status = fail(rq, "Id is missing");
	r = status == 0 ? find_app(rq->api, &app) : NULL;
	if (status == 0 && r == NULL)
		status = say(rq, 404, no_such);
	if (status == 0)
		status = confirm(rq, code, r);
	finish(rq, conn, status);
}

/* --- POST /unregister --- */

static bool is_meant(const struct app *app, const struct reg *r)
{
	char token[REG_TOKEN_MAX + 1];

	return reg_kind(r) == app->spec.kind &&
	       (!app->has_id || reg_has_account(r, app->id)) &&
	       (!app->has_address ||
		   strcmp(reg_token(r, token), app->token) == 0);
}

void api_handle_unregister(struct api_request *rq, struct http_conn *conn)
{
	char account[REG_ACCOUNT_MAX + 1];
	struct app app = { 0 };
	struct reg *r, *next;
	size_t n = 0;
	int status = decode_app(rq, REG_APPLE, &app);

	/* A Delta Chat client takes its tokens away without naming them. */
	if (status == 0 && !app.has_id && !app.has_address &&
	    app.spec.kind != REG_DELTACHAT)
		status = fail(rq, app.spec.kind == REG_WEBPUSH
				      ? "Id or Endpoint is missing"
				      : "Id or Token is missing");
	r = status == 0 ? store_first(rq->api->store, app.user) : NULL;
	for (; r != NULL; r = next) {
		next = reg_next(r);
		if (!is_meant(&app, r))
			continue;
		log_info("unregister: %s: %s: removed on request", reg_user(r),
		    reg_account(r, account));
		store_drop(rq->api->store, r);
		n++;
	}
	if (status == 0 && n == 0)
		status = say(rq, 404, no_such);
	finish(rq, conn, status);
}

/* --- POST /subscriptions --- */

static void write_app(struct api *a, const struct reg *r, struct buf *b)
{
	bool is_webpush = reg_kind(r) == REG_WEBPUSH;
	const char *to = reg_to(r), *at = NULL;
	char account[REG_ACCOUNT_MAX + 1];
	bool active = !reg_suspended(r) &&
		      (!is_webpush || webpush_state(push_webpush(a->queue),
					  to) == WEBPUSH_ACTIVE);
	size_t i;

	json_open(b, NULL, '{');
	json_add_str(b, "id", reg_account(r, account));
	json_add(b, is_webpush ? "endpoint" : "token");
	json_write_strn(b, to, strcspn(to, " "));
	json_add_bool(b, "active", active);
	json_open(b, "mailboxes", '[');
	for (i = 0; i < reg_n_mailboxes(r); i++)
		json_add_str(b, NULL, reg_next_mailbox(r, &at));
	buf_add_str(b, "]}");
}

void api_handle_subscriptions(struct api_request *rq, struct http_conn *conn)
{
	struct buf b = BUF_INIT(ANSWER_MAX);
	struct app app = { 0 };
	const struct reg *r;
	const char *key = NULL;
	int status = decode_app(rq, REG_APPLE, &app);

	if (status == 0 && app.spec.kind == REG_WEBPUSH) {
		key = webpush_key(push_webpush(rq->api->queue), rq->err);
		status = key == NULL ? 503 : 0;
	}
	if (status != 0) {
		finish(rq, conn, status);
		return;
	}
	buf_add_byte(&b, '{');
	if (key != NULL)
		json_add_str(&b, "vapid", key);
	json_open(&b, "subscriptions", '[');
	r = store_first(rq->api->store, app.user);
	for (; r != NULL; r = reg_next(r))
		if (reg_kind(r) == app.spec.kind)
			write_app(rq->api, r, &b);
	buf_add_str(&b, "]}\n");
	if (b.failed)
		api_reply_text(conn, 500, "the answer is too long");
	else
		http_reply(conn, 200, JSON, NULL, buf_head(&b), b.len);
	buf_free(&b);
}
