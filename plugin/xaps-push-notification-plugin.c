/* xaps-push-notification-plugin.c - tells xapsd which mailbox has changed. */

#include "lib.h"
#include "array.h"
#include "ioloop.h"
#include "mail-storage-private.h"
#include "mail-user.h"
#include "push-notification-drivers.h"
#include "push-notification-event-message-common.h"
#include "push-notification-event-messageappend.h"
#include "push-notification-event-messagenew.h"
#include "push-notification-events.h"
#include "push-notification-txn-msg.h"
#include "str.h"
#include "compat.h"
#include "xaps-client.h"
#include "xaps-log.h"
#include "xaps-mailbox.h"
#include "xaps-push-notification-plugin.h"

/* While the daemon is away: its restart, or an upgrade. */
#define XAPS_PATIENCE_MSECS 30000
#define XAPS_PAUSE_MSECS 100
#define XAPS_PAUSE_MAX_MSECS 2000

struct xaps_push_user {
	struct mail_user *user;
	const struct xaps_settings *set; /* NULL: not a user of ours */
};

/* MessageNew and MessageAppend are only sent if some field is requested.  The
   flags are known without reading the mail. */
static struct push_notification_event_messagenew_config config_new = {
	.flags = PUSH_NOTIFICATION_MESSAGE_FLAGS,
};
static struct push_notification_event_messageappend_config config_append = {
	.flags = PUSH_NOTIFICATION_MESSAGE_FLAGS,
};

/* Events that can change what a phone shows. */
static const struct xaps_event {
	const char *name;
	void *config;
} xaps_events[] = {
	{ "MessageNew", &config_new },
	{ "MessageAppend", &config_append },
	{ "MessageExpunge", NULL },
	{ "MessageRead", NULL },
	{ "MessageTrash", NULL },
	{ "FlagsSet", NULL },
	{ "FlagsClear", NULL },
};

/* What one transaction did to its mailbox. */
struct xaps_push_txn {
	bool seen[N_ELEMENTS(xaps_events)];
	bool any;
};

/* One for the process, since requests outlive the users they are about. */
static struct xaps_client *push_client;
static struct ioloop *main_ioloop;
static unsigned int longest_timeout_msecs;

/*
 * Sending
 */

static void xaps_push_answered(
    const struct xaps_answer *answer, void *context ATTR_UNUSED)
{
	struct event *event = answer->event;

	if (answer->error == NULL || answer->status == 404) {
		/* 404: the user has no devices, which is normal. */
		e_debug(event, "xaps: answer %u", answer->status);
	} else if (answer->left) {
		if (xaps_log_is_due(XAPS_LOG_UNANSWERED))
			e_warning(event, "xaps: %s", answer->error);
		else
			e_debug(event, "xaps: %s", answer->error);
	} else if (xaps_log_is_due(answer->status)) {
		e_error(event, "xaps: not notified: %s%s", answer->error,
		    answer->waits ? " (attempts go on)" : "");
	} else {
		e_debug(event, "xaps: not notified: %s", answer->error);
	}
}

/* username: of the session that made the change. */
static const char *xaps_notify_json(const char *username,
    const struct xaps_mailbox *mailbox, const struct xaps_push_txn *txn)
{
	string_t *json = t_str_new(256);
	const char *sep = "";
	unsigned int i;

	str_append(json, "{\"Username\":\"");
	json_append_escaped(json, username);
	str_append(json, "\",\"Mailbox\":\"");
	json_append_escaped(json, mailbox->name);
	if (strcmp(mailbox->owner, username) != 0) {
		str_append(json, "\",\"Owner\":\"");
		json_append_escaped(json, mailbox->owner);
	}
	str_append(json, "\",\"Events\":[");
	for (i = 0; i < N_ELEMENTS(xaps_events); i++) {
		if (!txn->seen[i])
			continue;
		str_printfa(json, "%s\"%s\"", sep, xaps_events[i].name);
		sep = ",";
	}
	str_append(json, "]}");
	return str_c(json);
}

static struct xaps_client *xaps_push_client(const struct xaps_push_user *puser)
{
	const char *error;

	if (push_client == NULL) {
		push_client = xaps_client_init(
		    puser->user, puser->set, main_ioloop, &error);
		if (push_client == NULL && xaps_log_is_due(0))
			e_error(puser->user->event, "xaps: not notified: %s",
			    error);
	}
	if (push_client != NULL &&
	    xaps_client_pending(push_client) >= XAPS_PENDING_MAX) {
		if (xaps_log_is_due(XAPS_LOG_FULL))
			e_error(puser->user->event,
			    "xaps: not notified: too many notifications are "
			    "waiting");
		return NULL;
	}
	return push_client;
}

static void xaps_push_send(const struct xaps_push_user *puser,
    struct mailbox *box, const struct xaps_push_txn *txn)
{
	struct xaps_request request = {
		.path = "/notify",
		.patience_msecs = XAPS_PATIENCE_MSECS,
		.pause_msecs = XAPS_PAUSE_MSECS,
		.pause_max_msecs = XAPS_PAUSE_MAX_MSECS,
		.mergeable = TRUE,
		.event_name = "xaps_notify_finished",
	};
	struct xaps_mailbox mailbox;
	struct xaps_client *client;

	if (!xaps_is_clean(puser->set->username) ||
	    !xaps_mailbox_get(box, puser->set, &mailbox)) {
		e_debug(puser->user->event,
		    "xaps: no notification: nobody can watch %s",
		    mailbox_get_vname(box));
		return;
	}
	client = xaps_push_client(puser);
	if (client == NULL)
		return;
	longest_timeout_msecs =
	    I_MAX(longest_timeout_msecs, puser->set->timeout_msecs);
	request.json = xaps_notify_json(puser->set->username, &mailbox, txn);
	request.event = xaps_event_create(puser->user);
	event_add_str(request.event, "mailbox", mailbox.name);
	xaps_client_post(
	    client, puser->set, &request, xaps_push_answered, NULL);
}

/*
 * Driver
 */

static int xaps_driver_init(COMPAT_DRIVER_INIT_ARGS)
{
	struct xaps_push_user *puser = p_new(pool, struct xaps_push_user, 1);
	const char *error;

	puser->user = user;
	*context = puser;
	/* LMTP's internal user for reading the incoming mail, and owners of
	   shared mailboxes. */
	if (user->autocreated)
		return 0;
	if (xaps_settings_get(user, pool, &puser->set, &error) < 0) {
		/* Up to 2.3.15 this is logged outside our data stack frame. */
		*error_r = p_strdup(pool, error);
		event_add_str(user->event, XAPS_ERROR_FIELD, "yes");
		return -1;
	}
	if (puser->set->off)
		puser->set = NULL;
	return 0;
}

static bool xaps_driver_begin_txn(struct push_notification_driver_txn *dtxn)
{
	const struct xaps_push_user *puser = dtxn->duser->context;
	unsigned int i;

	if (puser->set == NULL)
		return FALSE;
	/* A mailbox that is not the user's own may be watched by others. */
	if (puser->set->inbox_only && !dtxn->ptxn->mbox->inbox_user &&
	    mailbox_get_namespace(dtxn->ptxn->mbox)->owner == puser->user)
		return FALSE;
	for (i = 0; i < N_ELEMENTS(xaps_events); i++)
		compat_push_event_init(
		    dtxn, xaps_events[i].name, xaps_events[i].config);
	dtxn->context = p_new(dtxn->ptxn->pool, struct xaps_push_txn, 1);
	return TRUE;
}

static void xaps_driver_process_msg(struct push_notification_driver_txn *dtxn,
    struct push_notification_txn_msg *msg)
{
	struct xaps_push_txn *txn = dtxn->context;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(xaps_events); i++) {
		if (push_notification_txn_msg_get_eventdata(
			msg, xaps_events[i].name) != NULL)
			txn->any = txn->seen[i] = TRUE;
	}
}

static void xaps_driver_end_txn(
    struct push_notification_driver_txn *dtxn, bool success)
{
	const struct xaps_push_txn *txn = dtxn->context;

	/* Also called for transactions without any of our events. */
	if (!success || !txn->any)
		return;
	T_BEGIN
	{
		xaps_push_send(dtxn->duser->context, dtxn->ptxn->mbox, txn);
	}
	T_END;
}

/* No deinit and no cleanup: they run after every user, while requests that are
   under way are waited for only at the end of the process. */
static const struct push_notification_driver xaps_driver = {
	.name = "xaps",
	.v = {
		.init = xaps_driver_init,
		.begin_txn = xaps_driver_begin_txn,
		.process_msg = xaps_driver_process_msg,
		.end_txn = xaps_driver_end_txn,
	},
};

/*
 * Plugin
 */

XAPS_EXPORT const char *xaps_push_notification_plugin_version =
    DOVECOT_ABI_VERSION;
XAPS_EXPORT const char *xaps_push_notification_plugin_dependencies[] = {
	"push_notification", NULL
};

XAPS_EXPORT void xaps_push_notification_plugin_init(
    struct module *module ATTR_UNUSED)
{
	main_ioloop = current_ioloop;
	compat_settings_register();
	push_notification_driver_register(&xaps_driver);
}

XAPS_EXPORT void xaps_push_notification_plugin_deinit(void)
{
	push_notification_driver_unregister(&xaps_driver);
	xaps_client_finish(&push_client, longest_timeout_msecs);
}
