#ifndef XAPS_CLIENT_H
#define XAPS_CLIENT_H

/* Talks HTTP with xapsd, over its Unix socket or TCP.  Compiled into both
   modules; knows nothing of IMAP commands or push notifications. */

/* Set in the event of a user whose settings the log complained of. */
#define XAPS_ERROR_FIELD "xaps_settings_error"

#define XAPS_EXPORT __attribute__((visibility("default")))

/* The longest topic, and how much of any answer's body is kept. */
#define XAPS_BODY_MAX 255

struct mail_user;
struct xaps_client;

struct xaps_settings {
	const char *name; /* where the daemon is, for messages: no password */
	const char *url;  /* ends without slash */
	const char *socket_path; /* or this */
	const char *username;	 /* of the user, as the daemon shall know it */
	const char *user_lookup; /* where that comes from; "": the login */
	unsigned int timeout_msecs; /* for one attempt */
	unsigned int max_attempts;
	bool ssl;
};

struct xaps_answer {
	unsigned int status; /* of HTTP, or Dovecot's 9000 and up */
	const char *body;    /* what came of it, at most XAPS_BODY_MAX */
	const char *error;   /* NULL if status is 2xx and the body complete */
	bool hangs;	     /* nothing came in time, or not all of it */
	struct event *event;
};

/* Always called from the ioloop, with no code of lib-http on the stack: it may
   deinit the client. */
typedef void xaps_answer_callback_t(
    const struct xaps_answer *answer, void *context);

/* Reads and checks the user's settings, allocated from pool. */
int xaps_settings_get(struct mail_user *user, pool_t pool,
    const struct xaps_settings **set_r, const char **error_r);

/* The user's name by the field, or as he is called; may be user->username. */
const char *xaps_lookup_user(struct mail_user *user, const char *field);

/* ioloop: where requests live, though the caller may be in another one. */
struct xaps_client *xaps_client_init(struct mail_user *user,
    const struct xaps_settings *set, struct ioloop *ioloop,
    const char **error_r);
/* Drops what is under way without calling back. */
void xaps_client_deinit(struct xaps_client **client);
/* Waits for what is under way, then deinits.  Returns the number of requests
   that had no answer. */
unsigned int xaps_client_finish(
    struct xaps_client **client, unsigned int msecs);
/* For when the daemon hangs: drops what has waited in the queue for its timeout
   or longer.  Returns how many. */
unsigned int xaps_client_drop_stale(struct xaps_client *client);
unsigned int xaps_client_pending(const struct xaps_client *client);

/* Sends.  The answer comes through callback, once: within the settings' timeout
   if in_time, else as attempts and the queue allow.  event is the parent for
   log lines. */
void xaps_client_post(struct xaps_client *client,
    const struct xaps_settings *set, const char *path, const char *json,
    bool in_time, struct event *event, xaps_answer_callback_t *callback,
    void *context);

/* For JSON: valid UTF-8 without control characters. */
bool xaps_is_clean(const char *str);

#endif
