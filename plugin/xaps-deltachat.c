/* xaps-deltachat.c - tokens of Delta Chat's clients, set by SETMETADATA.
 *
 * Dovecot parses the commands, also where METADATA is off: the entry is
 * registered as one that its owner validates.  Its OK is held back until xapsd
 * has the token on disk. */

#include "imap-common.h"
#include "imap-arg.h"
#include "mail-storage-private.h"
#include "mailbox-attribute-private.h"
#include "str.h"
#include "compat.h"
#include "xaps-deltachat.h"
#include "xaps-json.h"
#include "xaps-log.h"
#include "xaps-wait.h"

#define XAPS_TOKEN_ENTRY "/private/devicetoken"
#define XAPS_TOKEN_KEY "devicetoken"
/* xapsd's own limit; they have 500 to 900 bytes. */
#define XAPS_TOKEN_MAX 2048

/* Of a session; only one SETMETADATA or GETMETADATA is in Dovecot's hands at a
   time: the one locks the input, the other one is executed at once. */
struct xaps_deltachat {
	struct client_command_context *cmd; /* SETMETADATA being executed */
	command_func_t *func;		    /* the rest of it */
	bool set;     /* it has an entry of ours, this is its value: */
	char *token;  /* NULL: remove all */
	bool held;    /* it wants to say OK */
	char *tokens; /* what GETMETADATA is to get, or NULL */
};

static struct command orig_setmetadata, orig_getmetadata;
static bool attribute_registered;

/*
 * The entry
 */

static struct xaps_deltachat *xaps_deltachat_find(struct mailbox *box)
{
	struct client *client = imap_clients;
	struct xaps_imap_client *xclient;

	for (; client != NULL; client = client->next) {
		if (client->user != box->storage->user)
			continue;
		xclient = xaps_imap_client_get(client);
		return xclient == NULL || !box->inbox_user ? NULL
							   : xclient->deltachat;
	}
	return NULL;
}

/* As its clients check it, too: it is sent as it is. */
static const char *xaps_token_check(const char *token)
{
	const unsigned char *p = (const unsigned char *)token;

	if (*token == '\0')
		return "The token is empty";
	if (strlen(token) > XAPS_TOKEN_MAX)
		return "The token is too long";
	for (; *p != '\0'; p++) {
		if (*p <= 0x20 || *p > 0x7e || *p == '"' || *p == '\\')
			return "The token is not printable ASCII without "
			       "spaces and quotes";
	}
	return NULL;
}

static int xaps_token_set(struct mailbox_transaction_context *t,
    const char *key ATTR_UNUSED, const struct mail_attribute_value *value)
{
	struct xaps_deltachat *deltachat = xaps_deltachat_find(t->box);
	struct mail_storage *storage = t->box->storage;
	const char *token = NULL, *error;

	if (deltachat == NULL) {
		mail_storage_set_error(storage, MAIL_ERROR_NOTPOSSIBLE,
		    XAPS_TOKEN_ENTRY " is for the INBOX of one who may "
				     "have pushes");
		return -1;
	}
	if (value->value != NULL || value->value_stream != NULL) {
		if (mailbox_attribute_value_to_string(storage, value, &token) <
		    0)
			return -1;
		error = xaps_token_check(token);
		if (error != NULL) {
			mail_storage_set_error(
			    storage, MAIL_ERROR_PARAMS, error);
			return -1;
		}
	}
	i_free(deltachat->token);
	deltachat->token = i_strdup(token);
	deltachat->set = TRUE;
	return 0;
}

static int xaps_token_get(struct mailbox *box, const char *key ATTR_UNUSED,
    struct mail_attribute_value *value_r)
{
	struct xaps_deltachat *deltachat = xaps_deltachat_find(box);

	if (deltachat == NULL || deltachat->tokens == NULL)
		return 0;
	value_r->value = deltachat->tokens;
	return 1;
}

/* It is not listed: that would not wait for xapsd. */
static int xaps_token_iter(struct mailbox *box ATTR_UNUSED,
    const char *key_prefix ATTR_UNUSED, pool_t pool ATTR_UNUSED,
    ARRAY_TYPE(const_string) * keys ATTR_UNUSED)
{
	return 0;
}

static const struct mailbox_attribute_internal xaps_token_attribute = {
	.type = MAIL_ATTRIBUTE_TYPE_PRIVATE,
	.key = XAPS_TOKEN_KEY,
	.rank = MAIL_ATTRIBUTE_INTERNAL_RANK_AUTHORITY,
	.flags = MAIL_ATTRIBUTE_INTERNAL_FLAG_VALIDATED,
	.get = xaps_token_get,
	.set = xaps_token_set,
	.iter = xaps_token_iter,
};

/*
 * Requests
 */

static bool xaps_deltachat_post(struct client_command_context *cmd,
    const char *path, const char *token, xaps_reply_func_t *reply)
{
	struct xaps_wait *wait = p_new(cmd->pool, struct xaps_wait, 1);
	string_t *json = t_str_new(1024);

	str_append_c(json, '{');
	xaps_append_pair(json, "Kind", "deltachat");
	if (token != NULL) {
		xaps_append_pair(json, "Token", token);
		str_append(json, "\"Mailboxes\":[\"INBOX\"],");
	}
	xaps_append_pair(
	    json, "Username", xaps_imap_client_get(cmd->client)->set->username);
	str_truncate(json, str_len(json) - 1); /* the comma */
	str_append_c(json, '}');
	wait->cmd = cmd;
	wait->ordered = TRUE;
	wait->done = "Delta Chat's token";
	wait->request.path = path;
	wait->request.json = str_c(json);
	wait->request.event_name = "xaps_deltachat_finished";
	wait->request.wants_list = TRUE;
	wait->reply = reply;
	return xaps_wait_start(wait);
}

/* To remove what is not there is no failure. */
static bool xaps_send_set(struct xaps_wait *wait)
{
	if (wait->error == NULL || wait->status == 404)
		client_send_tagline(wait->cmd, "OK Setmetadata completed.");
	else
		xaps_wait_send_no(wait);
	return TRUE;
}

/*
 * SETMETADATA
 */

static bool cmd_setmetadata_continue(struct client_command_context *cmd);
static bool cmd_setmetadata_with_token(struct client_command_context *cmd);

/* Delta Chat asks for what its own servers announce, and goes no further if
   that fails: where nothing is stored there is nothing to get. */
static bool xaps_is_about_storage(
    const struct client_command_context *cmd, const char *data)
{
	return strncmp(data, "NO ", 3) == 0 &&
	       strstr(data, "attributes not enabled") != NULL &&
	       strcasecmp(cmd->name, "GETMETADATA") == 0;
}

static void xaps_send_tagline(
    struct client_command_context *cmd, const char *data)
{
	struct xaps_imap_client *xclient = xaps_imap_client_get(cmd->client);
	struct xaps_deltachat *deltachat = xclient->deltachat;

	if (cmd == deltachat->cmd && deltachat->set &&
	    strncmp(data, "OK ", 3) == 0) {
		deltachat->held = TRUE;
		return;
	}
	if (xaps_is_about_storage(cmd, data))
		data = "OK Getmetadata completed.";
	xclient->module_ctx.super.send_tagline(cmd, data);
}

/* func: Dovecot's, from its beginning or its continuation */
static bool xaps_setmetadata_run(struct client_command_context *cmd,
    struct xaps_deltachat *deltachat, command_func_t *func)
{
	command_func_t *ours = cmd->func;
	bool finished;

	deltachat->cmd = cmd;
	finished = func(cmd);
	deltachat->cmd = NULL;
	if (!finished) {
		if (cmd->func != ours) {
			deltachat->func = cmd->func;
			cmd->func = cmd_setmetadata_continue;
		}
		return FALSE;
	}
	if (deltachat->held && !cmd->cancel)
		finished = xaps_deltachat_post(cmd,
		    deltachat->token == NULL ? "/unregister" : "/register",
		    deltachat->token, xaps_send_set);
	deltachat->held = deltachat->set = FALSE;
	i_free(deltachat->token);
	return finished;
}

static bool cmd_setmetadata_continue(struct client_command_context *cmd)
{
	struct xaps_deltachat *deltachat =
	    xaps_imap_client_get(cmd->client)->deltachat;

	return xaps_setmetadata_run(cmd, deltachat, deltachat->func);
}

static bool cmd_setmetadata_with_token(struct client_command_context *cmd)
{
	struct xaps_imap_client *xclient = xaps_imap_client_get(cmd->client);

	if (xclient == NULL || xclient->deltachat == NULL)
		return orig_setmetadata.func(cmd);
	return xaps_setmetadata_run(
	    cmd, xclient->deltachat, orig_setmetadata.func);
}

/*
 * GETMETADATA
 */

/* All of the user's, separated by spaces, as chatmail's servers do. */
static const char *xaps_tokens_join(const char *body)
{
	ARRAY_TYPE(xaps_subscription) list;
	const struct xaps_subscription *sub;
	string_t *str = t_str_new(1024);

	if (!xaps_json_subscriptions(body, &list))
		return NULL;
	array_foreach(&list, sub)
	{
		if (sub->token == NULL)
			continue;
		if (str_len(str) > 0)
			str_append_c(str, ' ');
		str_append(str, sub->token);
	}
	return str_len(str) == 0 ? NULL : str_c(str);
}

/* Dovecot's command runs only now. */
static bool xaps_send_tokens(struct xaps_wait *wait)
{
	struct client_command_context *cmd = wait->cmd;
	struct xaps_deltachat *deltachat =
	    xaps_imap_client_get(cmd->client)->deltachat;
	bool finished;

	if (wait->error != NULL && wait->status != 404) {
		xaps_wait_send_no(wait);
		return TRUE;
	}
	i_free(deltachat->tokens);
	if (wait->error == NULL)
		deltachat->tokens = i_strdup(xaps_tokens_join(wait->body));
	cmd->func = orig_getmetadata.func;
	cmd->context = NULL;
	cmd->state = CLIENT_COMMAND_STATE_WAIT_INPUT;
	finished = cmd->func(cmd);
	if (finished)
		i_free(deltachat->tokens);
	return finished;
}

static bool xaps_args_have_entry(const struct imap_arg *args)
{
	const struct imap_arg *list;
	const char *name;

	for (; !IMAP_ARG_IS_EOL(args); args++) {
		if (imap_arg_get_list(args, &list)
			? xaps_args_have_entry(list)
			: imap_arg_get_astring(args, &name) &&
			      strcasecmp(name, XAPS_TOKEN_ENTRY) == 0)
			return TRUE;
	}
	return FALSE;
}

static bool cmd_getmetadata_after_answer(struct client_command_context *cmd)
{
	struct xaps_imap_client *xclient = xaps_imap_client_get(cmd->client);
	const struct imap_arg *args;

	if (xclient == NULL || xclient->deltachat == NULL)
		return orig_getmetadata.func(cmd);
	if (!client_read_args(cmd, 0, 0, &args))
		return FALSE;
	if (!xaps_args_have_entry(args))
		return orig_getmetadata.func(cmd);
	return xaps_deltachat_post(
	    cmd, "/subscriptions", NULL, xaps_send_tokens);
}

/*
 * Sessions
 */

void xaps_deltachat_client_add(
    struct xaps_imap_client *xclient, struct client *client)
{
	xclient->deltachat = p_new(client->pool, struct xaps_deltachat, 1);
	xclient->module_ctx.super = client->v;
	client->v.send_tagline = xaps_send_tagline;
	/* Not before: where it is off, the entry is Dovecot's. */
	if (!attribute_registered)
		mailbox_attribute_register_internal(&xaps_token_attribute);
	attribute_registered = TRUE;
}

void xaps_deltachat_init(void)
{
	orig_setmetadata =
	    xaps_command_replace("SETMETADATA", cmd_setmetadata_with_token);
	orig_getmetadata =
	    xaps_command_replace("GETMETADATA", cmd_getmetadata_after_answer);
}

void xaps_deltachat_deinit(void)
{
	(void)xaps_command_replace(
	    orig_setmetadata.name, orig_setmetadata.func);
	(void)xaps_command_replace(
	    orig_getmetadata.name, orig_getmetadata.func);
	if (attribute_registered)
		mailbox_attribute_unregister_internal(&xaps_token_attribute);
	attribute_registered = FALSE;
}
