#ifndef XAPS_CLIENT_H
#define XAPS_CLIENT_H

/* Talks HTTP with xapsd, over its Unix socket or TCP.  Compiled into both
   modules; knows nothing of IMAP commands or push notifications. */

/* Set in the user's event once an error in the settings is logged. */
#define XAPS_ERROR_FIELD "xaps_settings_error"

#define XAPS_EXPORT __attribute__((visibility("default")))

/* The longest topic, and how much of most answers' bodies is kept. */
#define XAPS_BODY_MAX 255
/* A list of subscriptions: 50 of them, with addresses of 2 KB and some
   mailboxes. */
#define XAPS_LIST_MAX (256 * 1024)

/* Requests that may wait in a process, 14 KB each with its user's event: enough
   while the daemon restarts. */
#define XAPS_PENDING_MAX 1000

struct mail_user;
struct xaps_client;

/* One address of the daemon. */
struct xaps_target {
	const char *name;	 /* for messages: no password */
	const char *url;	 /* ends without slash */
	const char *socket_path; /* or this */
	unsigned int address;	 /* stands for url or path */
	unsigned int slot;	 /* of its health */
	bool ssl;
};

struct xaps_settings {
	const struct xaps_target *targets; /* in the order of preference */
	unsigned int targets_count;	   /* at least 1 */
	const char *username;	    /* of the user, as sent to the daemon */
	const char *user_lookup;    /* where that comes from; "": the login */
	unsigned int timeout_msecs; /* for an attempt at all targets */
	unsigned int register_timeout_msecs;
	bool off;	 /* no pushes for this user; the rest is not set */
	bool inbox_only; /* pushes for INBOX only */
	bool visits;	 /* visits of phones are reported */
	bool webpush;	 /* IMAP WEBPUSH is there */
	bool deltachat;	 /* Delta Chat may register tokens */
};

struct xaps_answer {
	unsigned int status; /* of HTTP, or Dovecot's 9000 and up */
	const char *name;    /* of the target */
	const char *body;    /* as received, also of a refusal */
	const char *error;   /* NULL if status is 2xx and the body complete */
	bool waits;	     /* not final: the daemon is away, attempts go on */
	bool left; /* the process ends before the answer: it is left in the
		       daemon's socket */
	struct event *event;
};

/* Always called from the ioloop, never by lib-http: it may deinit the client,
   unless answer->waits. */
typedef void xaps_answer_callback_t(
    const struct xaps_answer *answer, void *context);

/* What to send, and for how long to retry while the daemon is away. */
struct xaps_request {
	const char *path, *json; /* json: NULL for a GET */
	unsigned int patience_msecs;
	unsigned int pause_msecs;     /* before the second attempt */
	unsigned int pause_max_msecs; /* it doubles up to this */
	bool mergeable;		      /* merged with an equal one that waits */
	bool wants_topic;	/* the answer must be one, or a key like it */
	bool takes_403;		/* as an answer to what is asked */
	bool wants_list;	/* up to XAPS_LIST_MAX */
	struct event *event;	/* takes ownership of this reference */
	const char *event_name; /* at the end */
};

/* Reads and checks the user's settings, allocated from pool. */
int xaps_settings_get(struct mail_user *user, pool_t pool,
    const struct xaps_settings **set_r, const char **error_r);

/* The value of the user's field, else user->username itself. */
const char *xaps_lookup_user(struct mail_user *user, const char *field);

/* ioloop: in which requests run; the caller may be in another one. */
struct xaps_client *xaps_client_init(struct mail_user *user,
    const struct xaps_settings *set, struct ioloop *ioloop,
    const char **error_r);
/* Drops what is under way without calling back. */
void xaps_client_deinit(struct xaps_client **client);
/* For the end of a process: waits up to msecs for what is under way, puts the
   rest into the daemon's socket if possible, then deinits. */
void xaps_client_finish(struct xaps_client **client, unsigned int msecs);
unsigned int xaps_client_pending(const struct xaps_client *client);

/* Sends a request.  The final answer comes through callback exactly once; an
   answer with waits set may come before it. */
void xaps_client_post(struct xaps_client *client,
    const struct xaps_settings *set, const struct xaps_request *request,
    xaps_answer_callback_t *callback, void *context);

/* For JSON: valid UTF-8 without control characters. */
bool xaps_is_clean(const char *str);

#endif
