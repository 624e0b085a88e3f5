/* fcm.c - access tokens of Google, and messages of Firebase Cloud Messaging. */
#include "fcm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "cred.h"
#include "json.h"
#include "loop.h"
#include "mem.h"
#include "url.h"

/* The answer with a token: today's tokens have up to 1 KB, Google allows 2. */
#define ANSWER_MAX 8192
/* The request for one: the JWT, 3 KB. */
#define REQUEST_MAX 4096
#define BEARER "Bearer "
#define BEARER_MAX (sizeof(BEARER) + 4096)

/* Renewed so long before its end, which is an hour after it was made. */
#define EARLY_S 300
#define LIFE_S 3600

/* Larger values of Retry-After are treated as a mistake. */
#define RETRY_AFTER_MAX_S 3600

#define TTL_MAX_S (28 * 86400) /* Google's limit */

enum fcm_state {
	FCM_NONE,
	FCM_ASKING,
	FCM_WAITING, /* until it is asked for again after a failure */
	FCM_READY,
	FCM_REFUSED,
};

struct fcm {
	struct loop *loop;
	const struct cred_service *account;
	void (*ready)(void *arg);
	void *arg;
	const char *label;
	struct url url; /* of the tokens */
	struct sender *sender;
	int64_t retry_min_ms, retry_max_ms;
	enum fcm_state state; /* changed only by set_state() */
	bool asked;	      /* while it is ASKING: the request is under way */
	unsigned tries;	      /* failures in a row */
	struct loop_timer timer;
	int64_t until_ms; /* of READY */
	char bearer[BEARER_MAX];
	char why[ERR_MAX]; /* it failed, or was refused; "": it did not */
};

/* --- access tokens --- */

static void set_state(struct fcm *f, enum fcm_state to, int64_t ms)
{
	static const char *const names[] = { "none", "asking", "waiting",
		"ready", "refused" };

	log_debug("fcm: %saccess token: %s -> %s", f->label, names[f->state],
	    names[to]);
	f->state = to;
	loop_timer_clear(f->loop, &f->timer);
	if (to == FCM_WAITING)
		loop_timer_set(f->loop, &f->timer, ms);
	if (to == FCM_READY) {
		if (f->tries > 0)
			log_info("fcm: %sGoogle gives access tokens again",
			    f->label);
		f->until_ms = loop_now_ms(f->loop) + ms;
		f->tries = 0;
		f->why[0] = '\0';
	}
}

static void refuse(struct fcm *f, const char *why)
{
	err_set(f->why, "%s", why);
	set_state(f, FCM_REFUSED, 0);
	f->ready(f->arg);
}

/* It is tried again by itself. */
static void try_later(struct fcm *f, const char *why, int64_t asked_s)
{
	int64_t ms =
	    loop_backoff_ms(f->retry_min_ms, f->retry_max_ms, ++f->tries);

	if (asked_s > RETRY_AFTER_MAX_S)
		asked_s = RETRY_AFTER_MAX_S;
	if (asked_s * 1000 > ms)
		ms = asked_s * 1000;
	if (f->tries == 1)
		log_warn("fcm: %sno access token from %s: %s: it is tried "
			 "again",
		    f->label, f->url.host, why);
	err_set(f->why, "no access token from %s: %s", f->url.host, why);
	set_state(f, FCM_WAITING, ms);
	f->ready(f->arg);
}

static void on_timer(void *arg)
{
	struct fcm *f = arg;

	set_state(f, FCM_NONE, 0);
	f->ready(f->arg);
}

/* RFC 7523 2.1 */
static void ask(struct fcm *f)
{
	struct hpack_header list[5];
	struct buf b = BUF_INIT(REQUEST_MAX);
	char err[ERR_MAX];

	if (f->state != FCM_ASKING || f->asked ||
	    sender_capacity(f->sender) == 0)
		return;
	send_put(send_put_post(list, &f->url, f->url.path), "content-type",
	    "application/x-www-form-urlencoded");
	buf_add_str(&b, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3A"
			"jwt-bearer&assertion=");
	if (cred_fcm_jwt(f->account, (int64_t)time(NULL), &b, err) < 0)
		refuse(f, err);
	else
		f->asked = send_request(f->sender, list, 5, buf_head(&b), b.len,
			       f) == SEND_SENT;
	if (b.mem != NULL)
		mem_wipe(b.mem, b.cap);
	buf_free(&b);
}

static bool take_token(struct fcm *f, const struct json *j)
{
	static const size_t n = sizeof(BEARER) - 1;
	int64_t life_s = LIFE_S;
	const char *p = f->bearer + n;

	if (json_string(j, json_get(j, j->toks, "access_token"), f->bearer + n,
		sizeof(f->bearer) - n) <= 0)
		return false;
	while (*p > ' ' && *p < 0x7f)
		p++;
	if (*p != '\0')
		return false;
	memcpy(f->bearer, BEARER, n);
	json_int(j, json_get(j, j->toks, "expires_in"), &life_s);
	if (life_s <= 0)
		return false;
	if (life_s > LIFE_S)
		life_s = LIFE_S;
	if (life_s > 2 * EARLY_S)
		life_s -= EARLY_S;
	else
		life_s /= 2;
	set_state(f, FCM_READY, life_s * 1000);
	return true;
}

/* RFC 6749 5.2: a text for people, or else a word. */
static void explain(
    const struct fcm *f, int status, const struct json *j, char why[ERR_MAX])
{
	char text[160];

	if (j->toks == NULL ||
	    (json_string(j, json_get(j, j->toks, "error_description"), text,
		 sizeof(text)) < 0 &&
		json_string(
		    j, json_get(j, j->toks, "error"), text, sizeof(text)) < 0))
		strcpy(text, "no reason");
	err_set(why, "Google gives no access token to %s (%d: %s): %s",
	    f->account->email, status, text,
	    strstr(text, "timeframe") != NULL
		? "this machine's clock is probably wrong: set it"
	    : strstr(text, "Signature") != NULL
		? "the key was deleted at Google: make a new one"
		: "is the account gone or disabled? is it Google that answers "
		  "(token_uri)?");
}

static void on_answer(void *arg, void *owner, struct send_answer *an)
{
	struct fcm *f = arg;
	struct json j = { .toks = NULL };
	char why[ERR_MAX];
	bool ok = an->outcome == SEND_ANSWERED;

	(void)owner;
	f->asked = false;
	if (f->state != FCM_ASKING)
		return;
	if (!ok || an->status == 429 || an->status >= 500) {
		err_set(why, ok ? "it answered %d" : "no answer", an->status);
		try_later(f, why, an->retry_after_s);
		return;
	}
	json_load((const char *)an->body, an->body_len, &j);
	if (an->status == 200 && j.toks != NULL && take_token(f, &j)) {
		f->ready(f->arg);
	} else {
		explain(f, an->status, &j, why);
		refuse(f, why);
	}
	json_free(&j);
}

static void on_capacity(void *arg)
{
	ask(arg);
}

static void on_failed(void *arg)
{
	struct fcm *f = arg;
	struct send_status st = { 0 };

	sender_get_status(f->sender, &st);
	err_set(
	    f->why, "no access token from %s: %s", f->url.host, st.last_error);
	f->ready(f->arg);
}

static bool on_wanted(void *arg)
{
	const struct fcm *f = arg;

	return f->state == FCM_ASKING;
}

static const struct send_ops ops = {
	.capacity = on_capacity,
	.answer = on_answer,
	.failed = on_failed,
	.wanted = on_wanted,
};

struct fcm *fcm_new(struct loop *l, const struct cred_service *account,
    const struct send_target *to, void (*ready)(void *arg), void *arg,
    const char *label, struct send_gate *gate)
{
	struct fcm *f = xcalloc(1, sizeof(*f));
	struct send_target target = *to;
	char err[ERR_MAX];

	url_parse(account->token_url, &f->url, err); /* cred has, too */
	f->loop = l;
	f->account = account;
	f->ready = ready;
	f->arg = arg;
	f->label = label;
	f->retry_min_ms = to->retry_min_ms;
	f->retry_max_ms = to->retry_max_ms;
	loop_timer_init(&f->timer, on_timer, f);
	target.host = f->url.host;
	target.port = f->url.port;
	target.body_max = ANSWER_MAX;
	f->sender = sender_new(l, &target, &ops, f, label, gate);
	return f;
}

void fcm_free(struct fcm *f)
{
	if (f == NULL)
		return;
	sender_free(f->sender);
	loop_timer_clear(f->loop, &f->timer);
	mem_wipe(f->bearer, sizeof(f->bearer));
	free(f);
}

enum send_sent fcm_bearer(
    struct fcm *f, const char **bearer_r, char err[ERR_MAX])
{
	if (f->state == FCM_REFUSED) {
		err_set(err, "%s", f->why);
		set_state(f, FCM_NONE, 0);
		return SEND_NO_AUTH;
	}
	if (f->state == FCM_READY && loop_now_ms(f->loop) < f->until_ms) {
		*bearer_r = f->bearer;
		return SEND_SENT;
	}
	if (f->state == FCM_ASKING || f->state == FCM_WAITING)
		return SEND_FULL;
	if (cred_clock_warning((int64_t)time(NULL), err) != NULL)
		return SEND_NO_AUTH;
	set_state(f, FCM_ASKING, 0);
	sender_need(f->sender);
	ask(f);
	return SEND_FULL;
}

void fcm_renew(struct fcm *f)
{
	if (f->state == FCM_READY || f->state == FCM_WAITING)
		set_state(f, FCM_NONE, 0);
}

const char *fcm_trouble(const struct fcm *f)
{
	return f->why;
}

/* --- messages --- */

void fcm_headers(const struct fcm *f, const struct url *u, const char *bearer,
    char path[FCM_PATH_MAX], struct hpack_header list[FCM_N_HEADERS])
{
	snprintf(path, FCM_PATH_MAX, "/v1/projects/%s/messages:send",
	    f->account->project);
	list = send_put_post(list, u, path);
	list = send_put(list, "content-type", "application/json");
	send_put(list, "authorization", bearer);
}

void fcm_write_message(struct buf *b, const struct fcm_message *m)
{
	int64_t ttl_s = m->ttl_s < TTL_MAX_S ? m->ttl_s : TTL_MAX_S;

	buf_reset(b);
	buf_add_str(b, "{\"message\":{");
	json_add_str(b, "token", m->token);
	buf_add_fmt(b,
	    ",\"android\":{\"priority\":\"%s\",\"ttl\":\"%llds\"},"
	    "\"data\":{",
	    m->urgent ? "HIGH" : "NORMAL", (long long)ttl_s);
	json_add_str(b, "event", m->event);
	json_add_str(b, "user", m->user);
	json_add_str(b, "mailbox", m->mailbox);
	buf_add_str(b, "}}}");
}

/* A detail says more than the status: NOT_FOUND may be an app that was removed, or
 * a project. */
static void read_reason(const struct json *j, struct send_answer *an)
{
	const struct json_tok *error = json_get(j, j->toks, "error");
	const struct json_tok *t = json_get(j, error, "details");
	uint32_t i, n = t != NULL && t->type == JSON_ARRAY ? t->size : 0;
	const size_t size = sizeof(an->reason);

	for (i = 0; i < n; i++) {
		t = i == 0 ? t + 1 : j->toks + t->next;
		if (json_string(
			j, json_get(j, t, "errorCode"), an->reason, size) > 0)
			return;
	}
	if (json_string(j, json_get(j, error, "status"), an->reason, size) < 0)
		an->reason[0] = '\0';
}

#define NO_REASON "without a reason"

void fcm_read_answer(struct send_answer *an)
{
	struct json j;

	if (an->outcome != SEND_ANSWERED || an->status == 200)
		return;
	an->reason[0] = '\0';
	if (json_load((const char *)an->body, an->body_len, &j)) {
		read_reason(&j, an);
		json_free(&j);
	}
	if (an->reason[0] == '\0')
		strcpy(an->reason, NO_REASON);
}

static const struct {
	const char *reason, *words;
} reasons[] = {
	{ "UNREGISTERED", "the app is gone, or has another token" },
	{ "INVALID_ARGUMENT", "Google does not take this for a token" },
	{ "SENDER_ID_MISMATCH",
	    "the app is of another Firebase project than fcmServiceAccount" },
	{ "PERMISSION_DENIED",
	    "the account needs the role Firebase Cloud Messaging API Admin, "
	    "its project that API" },
	{ "UNAUTHENTICATED", "is this machine's clock right?" },
	{ "THIRD_PARTY_AUTH_ERROR",
	    "the app's project lacks a key for APNs or web push" },
	{ NO_REASON, "is it Google that answers (fcmUrl)?" },
};

const char *fcm_reason_words(const char *reason)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strcmp(reason, reasons[i].reason) == 0)
			return reasons[i].words;
	return "";
}
