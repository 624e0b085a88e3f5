/* xaps-wait.c - IMAP commands that wait for xapsd. */

#include "imap-common.h"
#include "imap-arg.h"
#include "ioloop.h"
#include "module-context.h"
#include "ostream.h"
#include "str.h"
#include "compat.h"
#include "xaps-log.h"
#include "xaps-wait.h"

#define XAPS_IMAP_CONTEXT(obj) MODULE_CONTEXT(obj, xaps_imap_module)

/* Between attempts.  They are worth it: a phone that gets NO may not ask again
   for a day. */
#define XAPS_WAIT_PAUSE_MSECS 1000

/* What is shown to the client of the daemon's reason. */
#define XAPS_WAIT_REASON_MAX 200

static MODULE_CONTEXT_DEFINE_INIT(xaps_imap_module, &imap_module_register);
static struct ioloop *main_ioloop;
static struct command orig_logout;

struct xaps_imap_client *xaps_imap_client_create(
    struct client *client, const struct xaps_settings *set)
{
	struct xaps_imap_client *xclient;

	xclient = p_new(client->pool, struct xaps_imap_client, 1);
	xclient->set = set;
	MODULE_CONTEXT_SET(client, xaps_imap_module, xclient);
	return xclient;
}

struct xaps_imap_client *xaps_imap_client_get(struct client *client)
{
	return XAPS_IMAP_CONTEXT(client);
}

struct command xaps_command_replace(const char *name, command_func_t *func)
{
	struct command orig = *command_find(name);

	command_unregister(orig.name);
	command_register(orig.name, func, orig.flags);
	return orig;
}

bool xaps_arg_get(const struct imap_arg *arg, const char **str_r)
{
	return arg->type != IMAP_ARG_NIL && imap_arg_get_astring(arg, str_r) &&
	       strlen(*str_r) == arg->str_len;
}

bool xaps_is_printable(const char *str)
{
	for (; *str != '\0'; str++) {
		if ((unsigned char)*str < 0x20 || (unsigned char)*str > 0x7e)
			return FALSE;
	}
	return TRUE;
}

void xaps_append_pair(string_t *json, const char *key, const char *value)
{
	str_printfa(json, "\"%s\":\"", key);
	json_append_escaped(json, value);
	str_append(json, "\",");
}

/*
 * Answers
 */

static bool xaps_wait_continue(struct client_command_context *cmd);
static void xaps_wait_post(struct xaps_wait *wait);

/* The daemon's own words on what it refuses are for the client. */
static const char *xaps_wait_reason(const struct xaps_wait *wait)
{
	const char *why;

	if (wait->status != 400 && wait->status != 409)
		return NULL;
	why = t_strcut(t_strcut(wait->body, '\n'), '\r');
	return *why == '\0' || strlen(why) > XAPS_WAIT_REASON_MAX ||
		       !xaps_is_printable(why)
		   ? NULL
		   : why;
}

void xaps_wait_send_no(struct xaps_wait *wait)
{
	const char *why = xaps_wait_reason(wait);

	if (why == NULL)
		why = "[UNAVAILABLE] Push notifications are not available now.";
	else
		why = t_strdup_printf(
		    "%s %s", wait->status == 409 ? "[LIMIT]" : "[CANNOT]", why);
	client_send_tagline(wait->cmd, t_strconcat("NO ", why, NULL));
}

/* The client's fault, not the administrator's. */
static bool xaps_wait_is_refused(const struct xaps_wait *wait)
{
	switch (wait->status) {
	case 400:
	case 409:
		return wait->ordered;
	case 403:
		return wait->request.takes_403;
	case 404:
		return !wait->request.wants_topic;
	default:
		return FALSE;
	}
}

static void xaps_wait_log(
    const struct xaps_wait *wait, const struct xaps_answer *answer)
{
	if (answer->error == NULL)
		e_debug(answer->event, "xaps: %s", wait->done);
	else if (xaps_wait_is_refused(wait))
		e_info(answer->event, "xaps: %s", answer->error);
	else
		e_error(answer->event, "xaps: %s", answer->error);
}

/* The next one that has had to wait for its turn. */
static void xaps_wait_post_next(struct client *client)
{
	struct client_command_context *cmd = client->command_queue;
	struct xaps_wait *wait, *next = NULL;

	/* The oldest is the last. */
	for (; cmd != NULL; cmd = cmd->next) {
		if (cmd->func != xaps_wait_continue)
			continue;
		wait = cmd->context;
		if (wait->ordered && !wait->answered) {
			if (wait->posted)
				return;
			next = wait;
		}
	}
	if (next != NULL)
		xaps_wait_post(next);
}

static void xaps_wait_reply(struct xaps_wait *wait)
{
	struct client_command_context *cmd = wait->cmd;
	struct client *client = cmd->client;

	wait->answered = TRUE;
	if (wait->ordered)
		xaps_wait_post_next(client);
	if (client->output_cmd_lock != NULL) {
		/* Another command is in the middle of a literal:
		   xaps_wait_continue() is called when that is sent. */
		cmd->state = CLIENT_COMMAND_STATE_WAIT_OUTPUT;
		o_stream_set_flush_pending(client->output, TRUE);
		return;
	}
	if (command_exec(cmd))
		client_command_free(&cmd);
	else
		o_stream_set_flush_pending(client->output, TRUE);
}

static void xaps_wait_answered(const struct xaps_answer *answer, void *context)
{
	struct xaps_wait *wait = context;
	pool_t pool = wait->cmd->pool;

	if (answer->waits)
		return;
	xaps_client_deinit(&wait->client);
	wait->status = answer->status;
	xaps_wait_log(wait, answer);
	wait->error = p_strdup(pool, answer->error);
	wait->body = p_strdup(pool, answer->body);
	xaps_wait_reply(wait);
}

static bool xaps_wait_continue(struct client_command_context *cmd)
{
	struct xaps_wait *wait = cmd->context;

	if (cmd->cancel) {
		xaps_client_deinit(&wait->client);
		return TRUE;
	}
	return wait->answered && wait->reply(wait);
}

/* LOGOUT would cut off commands that are not answered yet.  It waits for ours
   just as Dovecot makes it wait for a FETCH. */
static bool cmd_logout_after_answers(struct client_command_context *cmd)
{
	struct client_command_context *other = cmd->client->command_queue;
	bool waiting = FALSE;

	for (; other != NULL; other = other->next) {
		if (other->func == xaps_wait_continue) {
			other->cmd_flags |= COMMAND_FLAG_USES_MAILBOX;
			waiting = TRUE;
		}
	}
	if (!waiting)
		return orig_logout.func(cmd);
	cmd->state = CLIENT_COMMAND_STATE_WAIT_UNAMBIGUITY;
	return FALSE;
}

/*
 * Requests
 */

static bool xaps_wait_has_turn(const struct xaps_wait *wait)
{
	const struct client_command_context *cmd;
	const struct xaps_wait *other;

	cmd = wait->ordered ? wait->cmd->client->command_queue : NULL;
	for (; cmd != NULL; cmd = cmd->next) {
		if (cmd == wait->cmd || cmd->func != xaps_wait_continue)
			continue;
		other = cmd->context;
		if (other->ordered && !other->answered)
			return FALSE;
	}
	return TRUE;
}

/* wait->client is there. */
static void xaps_wait_post(struct xaps_wait *wait)
{
	const struct xaps_settings *set =
	    xaps_imap_client_get(wait->cmd->client)->set;
	struct xaps_request request = wait->request;

	request.patience_msecs = set->register_timeout_msecs;
	request.pause_msecs = XAPS_WAIT_PAUSE_MSECS;
	request.pause_max_msecs = XAPS_WAIT_PAUSE_MSECS;
	request.event = xaps_event_create(wait->cmd->client->user);
	if (wait->mailboxes != NULL)
		event_add_str(request.event, "mailbox", wait->mailboxes);
	wait->posted = TRUE;
	xaps_client_post(wait->client, set, &request, xaps_wait_answered, wait);
}

bool xaps_wait_start(struct xaps_wait *wait)
{
	struct client_command_context *cmd = wait->cmd;
	struct client *client = cmd->client;
	const struct xaps_settings *set = xaps_imap_client_get(client)->set;
	const char *error;

	if (!xaps_is_clean(set->username)) {
		e_error(
		    client->event, "xaps: the user's name is not valid UTF-8");
		client_send_tagline(cmd, "NO No pushes for this user.");
		return TRUE;
	}
	/* Each command has a client of its own: nothing is left over from a
	   faulty answer, and nothing is shared between users. */
	wait->client = xaps_client_init(client->user, set, main_ioloop, &error);
	if (wait->client == NULL) {
		e_error(client->event, "xaps: %s", error);
		xaps_wait_send_no(wait);
		return TRUE;
	}
	cmd->func = xaps_wait_continue;
	cmd->context = wait;
	cmd->state = CLIENT_COMMAND_STATE_WAIT_EXTERNAL;
	if (xaps_wait_has_turn(wait))
		xaps_wait_post(wait);
	else
		wait->request.json = p_strdup(cmd->pool, wait->request.json);
	return FALSE;
}

void xaps_wait_init(struct ioloop *ioloop)
{
	main_ioloop = ioloop;
	orig_logout = xaps_command_replace("LOGOUT", cmd_logout_after_answers);
}

void xaps_wait_deinit(void)
{
	(void)xaps_command_replace(orig_logout.name, orig_logout.func);
}
