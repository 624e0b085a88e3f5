/* api/int.h - what the files of api share.  Nobody else includes this.
 *
 * A file calls only those to the right of it:
 *   api.c -> apps.c, page.c -> dovecot.c, admin.c -> status.c -> brands.c, unknown.c,
 *   namesake.c
 *   -> form.c, body.c,
 *   guard.c, line.c, reply.c */
#ifndef API_INT_H
#define API_INT_H

#include "api.h"

#include "buf.h"
#include "commit.h"
#include "http.h"
#include "json.h"
#include "loop.h"
#include "push.h"
#include "store.h"

#define TEXT "text/plain"
#define JSON "application/json"

/* Of /status and /metrics: 16 KiB, and for each brand, of which there are at most
 * 4,096, a line of most figures in the latter: 1.2 KiB. */
#define API_OUT_MAX (6 * 1024 * 1024)

/* The only value in use. */
#define SUBTOPIC "com.apple.mobilemail"

#define MAILBOX_NAME_MAX 4096 /* bytes; Dovecot's own limit */

/* What is answered when the disk has the change. */
enum api_reply_kind {
	API_REPLY_TOPIC,    /* over HTTP: 200 with the text given */
	API_REPLY_ACCEPTED, /* 202 with it */
	API_REPLY_NONE,	    /* 204 */
	API_REPLY_LINE,	    /* the topic, by the line protocol */
	API_REPLY_JSON,	    /* the text given */
};

/* Since start. */
struct api_counters {
	uint64_t registered; /* registrations, renewals included */
	uint64_t notified;   /* notifications that woke somebody */
	uint64_t unwatched;  /* for mailboxes that no device watches */
	uint64_t unknown;    /* for users without a device */
	uint64_t refused;    /* malformed requests */
	uint64_t denied;     /* wrong password, or not allowed */
};

/* An address that sent wrong passwords. */
struct api_login_failures {
	unsigned char ip[16];
	int64_t until_ms; /* not logged again before; 0: unused */
	unsigned n;	  /* since it was logged */
};

/* Names logged since start: they show a fault of the set-up, which concerns all. */
#define API_NAMESAKES_MAX 32

#define API_LOGIN_FAILURES 32 /* also the most log lines in a minute */

struct api {
	struct loop *loop;
	const struct conf *conf;
	struct store *store;
	struct commit *commit;
	struct push_queue *queue;
	const struct cred *cred;
	const struct http_server *server; /* NULL until it is known */
	const struct shared *shared;	  /* NULL: there is none */
	int64_t started_ms;
	struct api_counters counters;
	bool store_is_full; /* refused the last registration; logged once */
	struct api_trial *trials; /* test pushes under way */
	struct api_lookup *lookups;
	size_t n_lookups;
	/* of the current request */
	struct json_tok *toks;
	size_t toks_cap;
	struct buf names;	/* of decoded mailboxes, each with its NUL */
	const char **mailboxes; /* api_set_mailboxes() */
	struct reg_canonical *canonical; /* of each, see api_body_canonical() */
	size_t mailboxes_cap;		 /* of both */
	struct buf out;
	char *authorization; /* "Basic …"; NULL: not required */
	struct api_login_failures login_failures[API_LOGIN_FAILURES];
	int64_t refusal_logged_ms;   /* a foreign request; 0: never */
	int64_t plugin_logged_ms;    /* one that would abort; 0: never */
	char page_token[33];	     /* in our own forms; "": none made yet */
	struct api_unknown *unknown; /* of unknown.c; NULL until there is one */
	/* of namesake.c */
	char *namesakes[API_NAMESAKES_MAX]; /* logged; owned */
	size_t n_namesakes;
	int64_t search_ms; /* beginning of a minute; 0: never */
	size_t search_visits;
};

/* One HTTP request.  A handler that refuses it need not answer: it sets err and
 * status. */
struct api_request {
	struct api *api;
	const struct http_request *req;
	struct json j;
	int status;
	char err[ERR_MAX];
};

/* --- api/reply.c --- */

void api_reply_text(struct http_conn *conn, int status, const char *text);
/* For a handler that does nothing else then. */
void api_refuse(struct api_request *rq, int status, const char *why);
/* Answers now what the disk has. */
void api_reply_done(
    struct http_conn *conn, enum api_reply_kind kind, const char *text);
/* Answers with the topic: now, or when the disk has the registration. */
void api_reply_registered(struct api *a, struct http_conn *conn,
    enum api_reply_kind kind, const struct reg *r);
/* Answers now, or when the disk has what is queued in the store.  Takes ownership
 * of text. */
void api_reply_durable(struct api *a, struct http_conn *conn,
    enum api_reply_kind kind, char *text);
/* {"help":…,"value":…}, one element of a list. */
void api_write_figure(struct buf *b, const char *help, uint64_t value);

/* --- api/guard.c --- */

bool api_is_authorized(const struct api *a, const struct http_request *req);
/* Takes the same time for whatever was sent. */
bool api_is_secret(const char *want, const char *got, size_t len);
/* Whether user and password are set and were sent, over whatever. */
bool api_has_password(const struct api *a, const struct http_request *req);
/* Logs it, at most once a minute for each address. */
void api_log_wrong_password(struct api *a, const struct http_request *req);
/* True for requests that may be a browser's, with a Host that is not ours or from
 * another site's web page; why is the answer.  Logs it, at most once a minute. */
bool api_is_foreign(
    struct api *a, const struct http_request *req, char why[ERR_MAX]);
/* Whether it is from root or the daemon's own user, over the Unix socket. */
bool api_is_admin(const struct http_request *req);
/* The text of a 403 if it is not. */
void api_explain_admin_only(const struct http_request *req, char why[ERR_MAX]);

/* --- api/body.c: each returns 0, or -1 with rq->err set --- */

/* The body must be a JSON object. */
int api_body_parse(struct api_request *rq);
int api_body_string(
    struct api_request *rq, const char *key, char *out, size_t size);
/* *given_r: whether it is there; then as above. */
int api_body_optional(struct api_request *rq, const char *key, char *out,
    size_t size, bool *given_r);
/* A text for people, "" if it is missing or cannot be shown; of longer ones the
 * beginning. */
int api_body_label(
    struct api_request *rq, const char *key, char *out, size_t size);
int api_body_bool(struct api_request *rq, const char *key, bool *v_r);
/* 0 if it is missing. */
int api_body_number(struct api_request *rq, const char *key, int64_t *v_r);
/* Stores the names in api->names, pointers to them in api->mailboxes. */
int api_body_mailboxes(struct api_request *rq, const char *key, size_t *n_r);
/* After that: the owners and canonical names of the spec's mailboxes, if given. */
int api_body_canonical(
    struct api_request *rq, const char *key, struct reg_spec *spec);
/* All of them together; none means new mail. */
int api_body_events(struct api_request *rq, struct push_event *ev_r);
/* An optional number; *n_r is -1 if there is none. */
int api_body_count(struct api_request *rq, const char *key, int64_t *n_r);
/* Points api->mailboxes at n <= REG_MAILBOXES_MAX consecutive strings, each with
 * its NUL; returns what follows them. */
const char *api_set_mailboxes(struct api *a, const char *first, size_t n);

/* --- api/dovecot.c --- */

/* What is wrong with a user's name. */
extern const char api_bad_user[];
/* The time of a registration; tells the store. */
int64_t api_now_s(struct api *a);
/* Stores a registration that is within the limits; sets its time.  NULL with err
 * set if the store is full. */
struct reg *api_put(struct api *a, struct reg_spec *spec, char err[ERR_MAX]);
/* NULL, or what is wrong with a registration. */
const char *api_check_registration(struct reg_spec *spec, const char *subtopic);
/* Takes one that passed that; completes the spec.  NULL with err set if the store
 * is full. */
const struct reg *api_register_device(
    struct api *a, struct reg_spec *spec, char err[ERR_MAX]);
/* NULL, or what is wrong with the names in a notification. */
const char *api_check_names(const char *user, const char *mailbox);
/* user: who was notified; owner: whose mailbox it is. */
enum push_result api_notify_mailbox(struct api *a, const char *user,
    const char *owner, const char *mailbox, const struct push_event *ev);
/* Why, if that was PUSH_NO_CRED. */
const char *api_lacks_cred(struct api *a, const char *user);
void api_handle_apple(struct api_request *rq, struct http_conn *conn);
void api_handle_notify(struct api_request *rq, struct http_conn *conn);
void api_handle_ox(struct api_request *rq, struct http_conn *conn);
void api_handle_seen(struct api_request *rq, struct http_conn *conn);

/* --- api/unknown.c --- */

/* Remembers a notification for such a user, for doctor. */
void api_keep_unknown(struct api *a, const char *user, bool seen);
void api_handle_unknown(struct api_request *rq, struct http_conn *conn);
void api_unknown_free(struct api *a);

/* --- api/namesake.c --- */

/* Logs it, once for each name and seldom enough to cost nothing, if somebody with
 * the same name but for the domain has a device.  what: the request. */
void api_note_unknown(struct api *a, const char *what, const char *user);
void api_namesakes_free(struct api *a);

/* --- api/status.c --- */

/* The answer of /status, but for the last brace and the brands; with_bad: what is
 * wrong with these is among the warnings. */
void api_write_status(struct api *a, struct buf *b, bool with_bad);
/* api_write_figure() for each figure. */
void api_write_figures(struct api *a, struct buf *b);
void api_handle_healthz(struct api_request *rq, struct http_conn *conn);
void api_handle_healthz_all(struct api_request *rq, struct http_conn *conn);
void api_handle_credentials(struct api_request *rq, struct http_conn *conn);
void api_handle_status(struct api_request *rq, struct http_conn *conn);
void api_handle_metrics(struct api_request *rq, struct http_conn *conn);

/* --- api/brands.c --- */

/* Appends "brands":[…], if there are brands. */
void api_write_brands(struct api *a, struct buf *b);
/* "brand":…, that of the registration's user, and "via":…, that which has the topic
 * that its device was told, if it is another one ("": the main credential).  Each
 * with a comma before it; nothing without brands. */
void api_write_brand_of(struct api *a, const struct reg *r, struct buf *b);

/* api_write_figure() for each: its registrations. */
void api_write_brand_figures(struct api *a, struct buf *b);

/* --- api/kinds.c --- */

/* Appends "kinds":[…], if there is or was a registration that is not Apple's. */
void api_write_kinds(struct api *a, struct buf *b);
/* api_write_figure() for each. */
void api_write_kind_figures(struct api *a, struct buf *b);
/* For /metrics, with the label kind. */
void api_write_kind_metrics(struct api *a, struct buf *b);

/* --- api/admin.c --- */

void api_handle_list(struct api_request *rq, struct http_conn *conn);
void api_handle_forget(struct api_request *rq, struct http_conn *conn);
void api_handle_import(struct api_request *rq, struct http_conn *conn);
void api_handle_push(struct api_request *rq, struct http_conn *conn);
/* How many of the user's registrations were removed; account, token: NULL for all,
 * or the first 8 characters or more. */
size_t api_forget(struct api *a, const char *user, const char *account,
    const char *token, bool exact);
/* devices: {"account":…,"token":…,"delivered":…,"answer":…} for each of the user's,
 * separated by commas; NULL if they are too many. */
typedef void api_trial_done(struct api *a, struct http_conn *conn,
    const char *user, const char *devices);
/* Sends test pushes; done answers conn when the results are known. */
void api_trial_start(struct api *a, struct http_conn *conn, const char *user,
    const char *mailbox, api_trial_done *done);
void api_trials_free(struct api *a);

/* --- api/apps.c --- */

void api_handle_register(struct api_request *rq, struct http_conn *conn);
void api_handle_vapid(struct api_request *rq, struct http_conn *conn);
void api_handle_confirm(struct api_request *rq, struct http_conn *conn);
void api_handle_unregister(struct api_request *rq, struct http_conn *conn);
void api_handle_subscriptions(struct api_request *rq, struct http_conn *conn);
/* Without answering. */
void api_lookups_free(struct api *a);

/* --- api/page.c --- */

void api_handle_page(struct api_request *rq, struct http_conn *conn);

#endif
