#ifndef XAPS_WAIT_H
#define XAPS_WAIT_H

/* An IMAP command that waits for xapsd's answer while the session goes on.
   Compiled into the imap module. */

#include "xaps-client.h"
#include "xaps-visit.h"

struct client_command_context;
struct ioloop;
struct xaps_wait;

/* What we know of an IMAP session with pushes. */
struct xaps_imap_client {
	union imap_module_context module_ctx;
	const struct xaps_settings *set;
	struct xaps_visit visit;
	struct xaps_deltachat *deltachat; /* NULL: off */
};

/* Sends the reply; FALSE if the command is not finished with it. */
typedef bool xaps_reply_func_t(struct xaps_wait *wait);

/* Allocated from its command's pool. */
struct xaps_wait {
	struct client_command_context *cmd;
	struct xaps_request request; /* without event */
	const char *mailboxes;	     /* field of the event, or NULL */
	const char *done;	     /* what to log on success */
	xaps_reply_func_t *reply;
	bool ordered; /* after the session's earlier ones that are, too */

	/* Then, for reply: */
	unsigned int status;
	const char *error; /* NULL on success */
	const char *body;

	/* Private. */
	struct xaps_client *client;
	bool posted, answered;
};

void xaps_wait_init(struct ioloop *ioloop);
void xaps_wait_deinit(void);

/* Makes the session one with pushes. */
struct xaps_imap_client *xaps_imap_client_create(
    struct client *client, const struct xaps_settings *set);
/* NULL if it has none. */
struct xaps_imap_client *xaps_imap_client_get(struct client *client);

/* Replaces a command of Dovecot's; returns what was there. */
struct command xaps_command_replace(const char *name, command_func_t *func);

/* Unlike imap_arg_get_astring() this rejects NIL, and literals that contain a
   NUL. */
bool xaps_arg_get(const struct imap_arg *arg, const char **str_r);

/* Posts the request, with the name of the user in it.  Returns what the
   command's function is to return. */
bool xaps_wait_start(struct xaps_wait *wait);

/* The line for a request that has failed: what the daemon refuses, else that it
   is away. */
void xaps_wait_send_no(struct xaps_wait *wait);

/* ASCII without control characters. */
bool xaps_is_printable(const char *str);

void xaps_append_pair(string_t *json, const char *key, const char *value);

#endif
