/* api/dovecot.c - registrations, notifications and visits: from our plugin and
 * Dovecot's stock ox driver. */
#include "api/int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cred.h"

/* --- what JSON and lines have in common --- */

int64_t api_now_s(struct api *a)
{
	int64_t now_s = (int64_t)time(NULL);

	return store_clock(a->store, now_s, loop_clock_ms() / 1000)
		   ? now_s
		   : REG_TIME_UNKNOWN;
}

struct reg *api_put(struct api *a, struct reg_spec *spec, char err[ERR_MAX])
{
	struct reg *r;
	char shown[LOG_TOKEN_MAX];

	spec->time_s = api_now_s(a);
	r = store_put(a->store, spec);
	if (r == NULL) {
		store_explain_full(a->store, err);
		if (!a->store_is_full)
			log_error("register: %s: %s", spec->user, err);
		a->store_is_full = true;
		return NULL;
	}
	a->store_is_full = false;
	push_renewed(r);
	commit_after_put(a->commit);
	a->counters.registered++;
	log_info("register: %s: %s%s%s: %zu mailbox%s", spec->user,
	    spec->kind != REG_APPLE ? reg_kind_name(spec->kind) : "",
	    spec->kind != REG_APPLE ? ": " : "", log_token(spec->token, shown),
	    spec->n_mailboxes, spec->n_mailboxes == 1 ? "" : "es");
	return r;
}

const struct reg *api_register_device(
    struct api *a, struct reg_spec *spec, char err[ERR_MAX])
{
	struct push_lane *lane = push_user_lane(a->queue, spec->user);

	if (cred_kind(push_cred(lane)) == CRED_NONE) {
		err_set(err, "%s", push_trouble(lane));
		return NULL;
	}
	spec->topic = cred_topic(push_cred(lane));
	return api_put(a, spec, err);
}

enum push_result api_notify_mailbox(struct api *a, const char *user,
    const char *owner, const char *mailbox, const struct push_event *ev)
{
	enum push_result result = push_notify(a->queue, owner, mailbox, ev);

	if (result == PUSH_NO_USER && store_first(a->store, user) != NULL)
		result = PUSH_NO_MAILBOX;
	switch (result) {
	case PUSH_QUEUED:
		a->counters.notified++;
		break;
	case PUSH_NO_MAILBOX:
		a->counters.unwatched++;
		log_debug("notify: %s: no device watches %s", owner, mailbox);
		break;
	case PUSH_NO_USER:
		a->counters.unknown++;
		log_debug("notify: %s: no device of this user", user);
		api_keep_unknown(a, owner, false);
		api_note_unknown(a, "notify", owner);
		break;
	case PUSH_NO_CRED:
		break;
	}
	return result;
}

const char *api_lacks_cred(struct api *a, const char *user)
{
	const char *why = push_trouble(push_user_lane(a->queue, user));

	return why != NULL ? why : "no credentials for those who watch it";
}

const char api_bad_user[] =
    "user must be 1 to 255 bytes of UTF-8 without control characters";

const char *api_check_names(const char *user, const char *mailbox)
{
	if (!reg_text_ok(user, REG_USER_MAX))
		return api_bad_user;
	if (!reg_text_ok(mailbox, MAILBOX_NAME_MAX))
		return "mailbox must be 1 to 4096 bytes of UTF-8 without "
		       "control characters";
	return NULL;
}

const char *api_check_registration(struct reg_spec *spec, const char *subtopic)
{
	if (strcmp(subtopic, SUBTOPIC) != 0)
		return "the subtopic is not " SUBTOPIC;
	return reg_spec_check(spec);
}

/* --- POST /register --- */

/* The decoded strings of a registration. */
struct reg_text {
	char user[REG_USER_MAX + 1];
	char account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
	char subtopic[64];
};

static int decode_registration(
    struct api_request *rq, struct reg_text *text, struct reg_spec *spec)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} strings[] = {
		{ "ApsAccountId", text->account, sizeof(text->account) },
		{ "ApsDeviceToken", text->token, sizeof(text->token) },
		{ "ApsSubtopic", text->subtopic, sizeof(text->subtopic) },
		{ "Username", text->user, sizeof(text->user) },
	};
	const char *wrong;
	size_t i;

	for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (api_body_string(
			rq, strings[i].key, strings[i].to, strings[i].size) < 0)
			return -1;
	if (api_body_mailboxes(rq, "Mailboxes", &spec->n_mailboxes) < 0 ||
	    api_body_bool(rq, "MailboxesAcknowledged", &spec->acked) < 0)
		return -1;
	spec->mailboxes = rq->api->mailboxes;
	if (api_body_canonical(rq, "Canonical", spec) < 0)
		return -1;
	spec->user = text->user;
	spec->account = text->account;
	spec->token = text->token;
	wrong = api_check_registration(spec, text->subtopic);
	if (wrong == NULL)
		return 0;
	err_set(rq->err, "%s", wrong);
	return -1;
}

/* The older HTTP plugin asserts that the topic has more characters, and takes
 * its IMAP process with it. */
#define ASSERTED_TOPIC_LEN 50
#define PLUGIN_LOGGED_MS (60 * 60 * 1000)

/* It never sends MailboxesAcknowledged, and Dovecot's HTTP client always sends
 * a Date, which other clients do not. */
static bool would_abort(const struct api_request *rq, const char *user)
{
	return rq->req->dated &&
	       strlen(cred_topic(push_cred(push_user_lane(
		   rq->api->queue, user)))) <= ASSERTED_TOPIC_LEN &&
	       json_get(&rq->j, rq->j.toks, "MailboxesAcknowledged") == NULL;
}

static void refuse_plugin(
    struct api *a, const char *user, struct http_conn *conn)
{
	static const char why[] =
	    "this plugin would abort Dovecot's imap process, since the topic "
	    "has no more than 50 characters: install xapsd's own "
	    "(dovecot-xaps, or make install-plugin)";
	int64_t now_ms = loop_now_ms(a->loop);

	if (a->plugin_logged_ms == 0 ||
	    now_ms - a->plugin_logged_ms >= PLUGIN_LOGGED_MS) {
		log_error("register: %s: %s", user, why);
		a->plugin_logged_ms = now_ms;
	}
	a->counters.refused++;
	api_reply_text(conn, 503, why);
}

void api_handle_apple(struct api_request *rq, struct http_conn *conn)
{
	struct reg_text text;
	struct reg_spec spec = { 0 };
	const struct reg *r;
	char err[ERR_MAX];

	if (!push_has_cred(rq->api->queue)) {
		api_reply_text(
		    conn, 503, push_trouble(push_lane_at(rq->api->queue, 0)));
		return;
	}
	if (decode_registration(rq, &text, &spec) < 0) {
		rq->status = 400;
		return;
	}
	if (would_abort(rq, spec.user)) {
		refuse_plugin(rq->api, spec.user, conn);
		return;
	}
	r = api_register_device(rq->api, &spec, err);
	if (r == NULL)
		api_reply_text(conn, 503, err);
	else
		api_reply_registered(rq->api, conn, API_REPLY_TOPIC, r);
}

/* --- POST /notify and the ox driver --- */

static void answer_notify(struct api_request *rq, struct http_conn *conn,
    const char *user, const char *owner, const char *mailbox,
    const struct push_event *ev)
{
	const char *wrong = api_check_names(user, mailbox);

	if (wrong == NULL && !reg_text_ok(owner, REG_OWNER_MAX))
		wrong = "owner must be 1 to 255 bytes of UTF-8 without control "
			"characters";
	if (wrong != NULL) {
		api_refuse(rq, 400, wrong);
		return;
	}
	switch (api_notify_mailbox(rq->api, user, owner, mailbox, ev)) {
	case PUSH_QUEUED:
		http_reply(conn, 200, NULL, NULL, NULL, 0);
		break;
	case PUSH_NO_MAILBOX:
		http_reply(conn, 204, NULL, NULL, NULL, 0);
		break;
	case PUSH_NO_USER:
		api_reply_text(
		    conn, 404, "no device is registered for this user");
		break;
	case PUSH_NO_CRED:
		api_reply_text(conn, 503, api_lacks_cred(rq->api, user));
		break;
	}
}

/* Than n members: most requests have nothing else to be looked for. */
static bool has_more(const struct api_request *rq, uint32_t n)
{
	return rq->j.toks->size > n;
}

void api_handle_notify(struct api_request *rq, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1], mailbox[MAILBOX_NAME_MAX + 1];
	char owner[REG_OWNER_MAX + 1];
	struct push_event ev;
	bool has_owner;

	if (api_body_string(rq, "Username", user, sizeof(user)) < 0 ||
	    api_body_optional(rq, "Owner", owner, sizeof(owner), &has_owner) <
		0 ||
	    api_body_string(rq, "Mailbox", mailbox, sizeof(mailbox)) < 0 ||
	    api_body_events(rq, &ev) < 0 ||
	    (has_more(rq, 3 + has_owner) &&
		api_body_count(rq, "Unseen", &ev.unseen) < 0))
		rq->status = 400;
	else
		answer_notify(
		    rq, conn, user, has_owner ? owner : user, mailbox, &ev);
}

void api_handle_ox(struct api_request *rq, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1], mailbox[MAILBOX_NAME_MAX + 1];
	char event[64];
	struct push_event ev = push_no_event;

	if (api_body_string(rq, "user", user, sizeof(user)) < 0 ||
	    api_body_string(rq, "folder", mailbox, sizeof(mailbox)) < 0 ||
	    api_body_string(rq, "event", event, sizeof(event)) < 0) {
		rq->status = 400;
		return;
	}
	push_event_add(&ev, event);
	/* A stranger's driver: what it says wrongly is not known. */
	if (api_body_count(rq, "unseen", &ev.unseen) < 0)
		ev.unseen = -1;
	answer_notify(rq, conn, user, user, mailbox, &ev);
}

/* --- POST /seen --- */

#define CLIENT_MAX 64 /* bytes; "iPadOS 26.5" */

void api_handle_seen(struct api_request *rq, struct http_conn *conn)
{
	char user[REG_USER_MAX + 1], client[CLIENT_MAX + 1];

	if (api_body_string(rq, "Username", user, sizeof(user)) < 0 ||
	    api_body_label(rq, "Client", client, sizeof(client)) < 0) {
		rq->status = 400;
	} else if (!reg_text_ok(user, REG_USER_MAX)) {
		api_refuse(rq, 400, api_bad_user);
	} else if (push_seen(rq->api->queue, user, client)) {
		log_debug("seen: %s: %s", user, client);
		http_reply(conn, 204, NULL, NULL, NULL, 0);
	} else {
		api_keep_unknown(rq->api, user, true);
		api_note_unknown(rq->api, "seen", user);
		api_reply_text(
		    conn, 404, "no device is registered for this user");
	}
}
