/* xaps-imap-plugin.c - the IMAP command with which an iPhone asks for pushes,
   and the module. */

#include "imap-common.h"
#include "hash.h"
#include "imap-arg.h"
#include "imap-commands-util.h"
#include "imap-quote.h"
#include "mail-storage-private.h"
#include "mail-storage-service.h"
#include "module-dir.h"
#include "ostream.h"
#include "str.h"
#include "compat.h"
#include "xaps-deltachat.h"
#include "xaps-log.h"
#include "xaps-mailbox.h"
#include "xaps-wait.h"
#include "xaps-webpush.h"
#include "xaps-imap-plugin.h"

#define XAPS_COMMAND "XAPPLEPUSHSERVICE"
#define XAPS_SUBTOPIC "com.apple.mobilemail"

/* xapsd's own limits, see its /register. */
#define XAPS_ACCOUNT_ID_MAX 200
#define XAPS_DEVICE_TOKEN_MAX 200
#define XAPS_MAILBOXES_MAX 1000
#define XAPS_REQUEST_MAX 65536

/* Limit for a field that Dovecot's stats process receives. */
#define XAPS_EVENT_MAILBOX_MAX 1000

/* One XAPPLEPUSHSERVICE, allocated from its command's pool. */
struct xaps_command {
	struct xaps_wait wait;
	struct client_command_context *cmd;
	const struct xaps_settings *set;

	const char *version, *account_id, *device_token, *subtopic;
	ARRAY_TYPE(const_string) mailboxes;   /* as the client spelled them */
	ARRAY(struct xaps_mailbox) canonical; /* in the same order */
};

HASH_TABLE_DEFINE_TYPE(xaps_names, const char *, const char *);

enum xaps_key_type {
	XAPS_KEY_STRING,
	XAPS_KEY_LIST,
};

static const struct xaps_key {
	const char *name;
	size_t offset;
	enum xaps_key_type type;
} xaps_keys[] = {
	{ "aps-version", offsetof(struct xaps_command, version),
	    XAPS_KEY_STRING },
	{ "aps-account-id", offsetof(struct xaps_command, account_id),
	    XAPS_KEY_STRING },
	{ "aps-device-token", offsetof(struct xaps_command, device_token),
	    XAPS_KEY_STRING },
	{ "aps-subtopic", offsetof(struct xaps_command, subtopic),
	    XAPS_KEY_STRING },
	{ "mailboxes", offsetof(struct xaps_command, mailboxes),
	    XAPS_KEY_LIST },
};

static imap_client_created_func_t *next_hook_client_created;
static struct module *xaps_imap_plugin_module;
static struct command orig_id;

/*
 * Arguments
 */

static const char *xaps_parse_names(struct xaps_command *ctx, const char *key,
    const struct imap_arg *args, HASH_TABLE_TYPE(xaps_names) seen)
{
	const char *name;

	for (; !IMAP_ARG_IS_EOL(args); args++) {
		if (!xaps_arg_get(args, &name) || *name == '\0')
			return t_strdup_printf("%s must be names", key);
		/* No mailbox can have such a name: skip it. */
		if (strlen(name) > XAPS_MAILBOX_MAX || !xaps_is_clean(name) ||
		    hash_table_lookup(seen, name) != NULL)
			continue;
		/* One more than the limit is enough to detect it. */
		if (array_count(&ctx->mailboxes) > XAPS_MAILBOXES_MAX)
			break;
		name = p_strdup(ctx->cmd->pool, name);
		array_push_back(&ctx->mailboxes, &name);
		hash_table_insert(seen, name, name);
	}
	return NULL;
}

/* Returns NULL or an error. */
static const char *xaps_parse_list(
    struct xaps_command *ctx, const char *key, const struct imap_arg *args)
{
	HASH_TABLE_TYPE(xaps_names) seen;
	const char *error;

	if (array_is_created(&ctx->mailboxes))
		return t_strdup_printf("%s is given twice", key);
	p_array_init(&ctx->mailboxes, ctx->cmd->pool, 8);
	if (IMAP_ARG_IS_EOL(args))
		return t_strdup_printf("%s is empty", key);
	hash_table_create(&seen, default_pool, 0, str_hash, strcmp);
	error = xaps_parse_names(ctx, key, args, seen);
	hash_table_destroy(&seen);
	return error;
}

static const char *xaps_parse_value(struct xaps_command *ctx,
    const struct xaps_key *key, const struct imap_arg *arg)
{
	const struct imap_arg *list;
	const char *value, **dest;

	if (key->type == XAPS_KEY_LIST) {
		if (!imap_arg_get_list(arg, &list))
			return t_strdup_printf("%s must be a list", key->name);
		return xaps_parse_list(ctx, key->name, list);
	}
	if (!xaps_arg_get(arg, &value))
		return t_strdup_printf("%s must be a string", key->name);
	if (*value == '\0')
		return t_strdup_printf("%s is empty", key->name);
	dest = PTR_OFFSET(ctx, key->offset);
	if (*dest != NULL)
		return t_strdup_printf("%s is given twice", key->name);
	*dest = p_strdup(ctx->cmd->pool, value);
	return NULL;
}

static const struct xaps_key *xaps_key_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(xaps_keys); i++) {
		if (strcasecmp(xaps_keys[i].name, name) == 0)
			return &xaps_keys[i];
	}
	return NULL;
}

static const char *xaps_parse_args(
    struct xaps_command *ctx, const struct imap_arg *args)
{
	const struct xaps_key *key;
	const char *name, *error;

	for (; !IMAP_ARG_IS_EOL(args); args += 2) {
		if (!xaps_arg_get(args, &name) || *name == '\0')
			return "a key must be a string";
		key = xaps_key_find(name);
		if (IMAP_ARG_IS_EOL(&args[1]))
			return t_strdup_printf("%s has no value",
			    key == NULL ? "the last key" : key->name);
		if (key != NULL)
			error = xaps_parse_value(ctx, key, &args[1]);
		else if (args[1].type == IMAP_ARG_NIL)
			error = "NIL is no value";
		else
			error = NULL;
		if (error != NULL)
			return error;
	}
	return ctx->version == NULL ? "aps-version is missing" : NULL;
}

static bool xaps_is_hex(const char *str)
{
	return strspn(str, "0123456789abcdefABCDEF") == strlen(str);
}

/* For aps-version 1 and 2. Returns NULL or an error. */
static const char *xaps_check_values(struct xaps_command *ctx)
{
	const char *inbox = "INBOX";

	if (ctx->account_id == NULL)
		return "aps-account-id is missing";
	if (ctx->device_token == NULL)
		return "aps-device-token is missing";
	if (ctx->subtopic == NULL)
		return "aps-subtopic is missing";
	if (strlen(ctx->account_id) > XAPS_ACCOUNT_ID_MAX)
		return "aps-account-id is too long";
	if (!xaps_is_printable(ctx->account_id))
		return "aps-account-id is not printable";
	if (strlen(ctx->device_token) > XAPS_DEVICE_TOKEN_MAX)
		return "aps-device-token is too long";
	if (!xaps_is_hex(ctx->device_token))
		return "aps-device-token is not hex";
	if (strcmp(ctx->subtopic, XAPS_SUBTOPIC) != 0)
		return "aps-subtopic is not " XAPS_SUBTOPIC;
	if (array_is_created(&ctx->mailboxes))
		return NULL;
	if (strcmp(ctx->version, "1") != 0)
		return "mailboxes is missing";
	p_array_init(&ctx->mailboxes, ctx->cmd->pool, 1);
	array_push_back(&ctx->mailboxes, &inbox);
	return NULL;
}

/* Keeps only INBOX; the others are neither acknowledged nor registered. FALSE
   if nothing is left. */
static bool xaps_only_inbox(struct xaps_command *ctx)
{
	const char *const *names;
	unsigned int i, count;

	names = array_get(&ctx->mailboxes, &count);
	for (i = count; i > 0; i--) {
		if (strcasecmp(names[i - 1], "INBOX") != 0)
			array_delete(&ctx->mailboxes, i - 1, 1);
	}
	return array_count(&ctx->mailboxes) > 0;
}

/*
 * Answering
 */

static void xaps_send_no(struct client_command_context *cmd, const char *reason)
{
	client_send_tagline(cmd, t_strconcat("NO ", reason, NULL));
}

static void xaps_send_mailbox(struct xaps_command *ctx, const char *name)
{
	string_t *line = t_str_new(64);

	str_append(line, "* " XAPS_COMMAND " mailbox ");
	compat_append_astring(line, name);
	client_send_line(ctx->cmd->client, str_c(line));
}

/* The mailbox lines must come first: the phone builds its index of watched
   folders from them. */
static bool xaps_send_reply(struct xaps_wait *wait)
{
	struct xaps_command *ctx =
	    container_of(wait, struct xaps_command, wait);
	struct client *client = ctx->cmd->client;
	const char *name;

	if (wait->error != NULL) {
		xaps_send_no(ctx->cmd,
		    "[UNAVAILABLE] Push notifications are not available now.");
		return TRUE;
	}
	xaps_visit_registered(
	    &xaps_imap_client_get(client)->visit, ctx->set, client);
	o_stream_cork(client->output);
	array_foreach_elem(&ctx->mailboxes, name)
	{
		T_BEGIN
		{
			xaps_send_mailbox(ctx, name);
		}
		T_END;
	}
	client_send_line(
	    client, t_strdup_printf("* " XAPS_COMMAND
				    " aps-version \"2\" aps-topic \"%s\"",
			wait->body));
	client_send_tagline(ctx->cmd, "OK " XAPS_COMMAND " completed.");
	o_stream_uncork(client->output);
	return TRUE;
}

/*
 * Registering
 */

/* TRUE if it exists, can be selected, the user may read it (ACLs), and its
   changes are reported. */
static bool xaps_resolve_mailbox(
    struct xaps_command *ctx, const char *name, struct xaps_mailbox *mailbox_r)
{
	enum mailbox_existence existence;
	struct mail_namespace *ns;
	struct mailbox *box;
	bool ret;

	ns = compat_find_namespace(ctx->cmd, &name);
	if (ns == NULL)
		return FALSE;
	box = mailbox_alloc(ns->list, name, MAILBOX_FLAG_READONLY);
	ret = mailbox_exists(box, TRUE, &existence) == 0 &&
	      existence == MAILBOX_EXISTENCE_SELECT && mailbox_open(box) == 0 &&
	      xaps_mailbox_get(box, ctx->set, mailbox_r);
	if (ret) {
		mailbox_r->owner = p_strdup(ctx->cmd->pool, mailbox_r->owner);
		mailbox_r->name = p_strdup(ctx->cmd->pool, mailbox_r->name);
	}
	mailbox_free(&box);
	return ret;
}

/* Reduces the client's list to mailboxes that can be watched: these are
   acknowledged and registered. */
static void xaps_resolve_mailboxes(struct xaps_command *ctx)
{
	ARRAY_TYPE(const_string) wanted = ctx->mailboxes;
	struct xaps_mailbox mailbox;
	const char *name;
	bool found;

	p_array_init(&ctx->mailboxes, ctx->cmd->pool, 8);
	p_array_init(&ctx->canonical, ctx->cmd->pool, 8);
	array_foreach_elem(&wanted, name)
	{
		T_BEGIN
		{
			found = xaps_resolve_mailbox(ctx, name, &mailbox);
		}
		T_END;
		if (!found)
			continue;
		array_push_back(&ctx->mailboxes, &name);
		array_push_back(&ctx->canonical, &mailbox);
	}
}

static void xaps_append_canonical(
    string_t *json, const struct xaps_command *ctx)
{
	const struct xaps_mailbox *mailbox;
	const char *sep = "";

	str_append(json, ",\"Canonical\":[");
	array_foreach(&ctx->canonical, mailbox)
	{
		str_printfa(json, "%s{", sep);
		xaps_append_pair(json, "owner", mailbox->owner);
		str_append(json, "\"mailbox\":\"");
		json_append_escaped(json, mailbox->name);
		str_append(json, "\"}");
		sep = ",";
	}
	str_append_c(json, ']');
}

static const char *xaps_register_json(const struct xaps_command *ctx)
{
	string_t *json = t_str_new(512);
	const char *name, *sep = "";

	str_append_c(json, '{');
	xaps_append_pair(json, "ApsAccountId", ctx->account_id);
	xaps_append_pair(json, "ApsDeviceToken", ctx->device_token);
	xaps_append_pair(json, "ApsSubtopic", ctx->subtopic);
	xaps_append_pair(json, "Username", ctx->set->username);
	str_append(json, "\"Mailboxes\":[");
	array_foreach_elem(&ctx->mailboxes, name)
	{
		str_printfa(json, "%s\"", sep);
		json_append_escaped(json, name);
		str_append_c(json, '"');
		sep = ",";
	}
	str_append_c(json, ']');
	if (array_count(&ctx->canonical) > 0)
		xaps_append_canonical(json, ctx);
	/* We do send the mailbox lines. */
	str_append(json, ",\"MailboxesAcknowledged\":true}");
	return str_c(json);
}

/* Keeps only mailboxes that need no canonical name. */
static void xaps_keep_plain(struct xaps_command *ctx)
{
	const char *const *names;
	unsigned int i, count;

	names = array_get(&ctx->mailboxes, &count);
	p_array_init(&ctx->mailboxes, ctx->cmd->pool, 8);
	for (i = 0; i < count; i++) {
		if (xaps_mailbox_is_plain(
			array_idx(&ctx->canonical, i), ctx->set, names[i]))
			array_push_back(&ctx->mailboxes, &names[i]);
	}
	array_clear(&ctx->canonical);
}

static bool xaps_register(struct xaps_command *ctx)
{
	struct xaps_wait *wait = &ctx->wait;

	xaps_resolve_mailboxes(ctx);
	wait->request.json = xaps_register_json(ctx);
	if (strlen(wait->request.json) > XAPS_REQUEST_MAX) {
		e_warning(ctx->cmd->client->user->event,
		    "xaps: too many mailboxes for one request: those that are "
		    "shared or have several names are not pushed");
		xaps_keep_plain(ctx);
		wait->request.json = xaps_register_json(ctx);
	}
	wait->cmd = ctx->cmd;
	wait->request.path = "/register";
	wait->request.wants_topic = TRUE;
	wait->request.event_name = "xaps_register_finished";
	wait->mailboxes =
	    t_strndup(t_array_const_string_join(&ctx->mailboxes, ","),
		XAPS_EVENT_MAILBOX_MAX);
	wait->done = "registered";
	wait->reply = xaps_send_reply;
	return xaps_wait_start(wait);
}

static bool cmd_xapplepushservice(struct client_command_context *cmd)
{
	struct xaps_imap_client *xclient = xaps_imap_client_get(cmd->client);
	const struct imap_arg *args;
	struct xaps_command *ctx;
	const char *error;

	/* FALSE: either an error, which has been answered, or more input is
	   needed, and we are called again. */
	if (!client_read_args(cmd, 0, 0, &args))
		return FALSE;
	if (xclient == NULL) {
		xaps_send_no(cmd, "Push notifications are not available here.");
		return TRUE;
	}
	ctx = p_new(cmd->pool, struct xaps_command, 1);
	ctx->cmd = cmd;
	ctx->set = xclient->set;
	error = xaps_parse_args(ctx, args);
	if (error == NULL && strcmp(ctx->version, "1") != 0 &&
	    strcmp(ctx->version, "2") != 0) {
		xaps_send_no(cmd, "Only aps-version 1 and 2 are supported.");
		return TRUE;
	}
	if (error == NULL)
		error = xaps_check_values(ctx);
	if (error != NULL) {
		client_send_tagline(
		    cmd, t_strdup_printf("BAD " XAPS_COMMAND ": %s.", error));
		return TRUE;
	}
	if (ctx->set->inbox_only && !xaps_only_inbox(ctx)) {
		xaps_send_no(cmd, "Only INBOX is pushed for this user.");
		return TRUE;
	}
	if (array_count(&ctx->mailboxes) > XAPS_MAILBOXES_MAX) {
		xaps_send_no(
		    cmd, "[LIMIT] Too many mailboxes, 1000 are possible.");
		return TRUE;
	}
	return xaps_register(ctx);
}

/*
 * Plugin
 */

static bool cmd_id_with_visit(struct client_command_context *cmd)
{
	struct xaps_imap_client *xclient = xaps_imap_client_get(cmd->client);

	if (!orig_id.func(cmd))
		return FALSE;
	if (xclient != NULL)
		xaps_visit_id(&xclient->visit, xclient->set, cmd);
	return TRUE;
}

/* A fixed imap_capability that does not list ours hides it. */
static void xaps_add_capability(struct client *client, const char *name)
{
	if (str_array_icase_find(
		t_strsplit_spaces(str_c(client->capability_string), " "), name))
		return;
	client_add_capability(client, name);
	if (compat_capability_is_fixed(client) &&
	    xaps_log_is_due(XAPS_LOG_CAPABILITY))
		e_warning(client->event,
		    "xaps: imap_capability does not list %s, so no %s will "
		    "register: add it there",
		    name, strcmp(name, XAPS_COMMAND) == 0 ? "phone" : "app");
}

static void xaps_imap_client_add(struct client *client)
{
	struct xaps_imap_client *xclient;
	const struct xaps_settings *set;
	const char *error;

	if (xaps_settings_get(client->user, client->pool, &set, &error) < 0) {
		/* The driver may have logged it already. */
		if (!compat_event_has_field(
			client->user->event, XAPS_ERROR_FIELD))
			e_error(client->user->event, "xaps: %s", error);
		return;
	}
	if (set->off || compat_push_is_off(client->user))
		return;
	xclient = xaps_imap_client_create(client, set);
	xaps_add_capability(client, XAPS_COMMAND);
	if (set->webpush)
		xaps_add_capability(client, "WEBPUSH");
	if (set->deltachat) {
		xaps_deltachat_client_add(xclient, client);
		/* Its clients look for the second only if there is the
		   first. */
		xaps_add_capability(client, "METADATA");
		xaps_add_capability(client, "XDELTAPUSH");
	}
}

static void xaps_imap_client_created(struct client **_client)
{
	struct client *client = *_client;

	if (mail_user_is_plugin_loaded(client->user, xaps_imap_plugin_module)) {
		T_BEGIN
		{
			xaps_imap_client_add(client);
		}
		T_END;
	}
	if (next_hook_client_created != NULL)
		next_hook_client_created(_client);
}

XAPS_EXPORT const char *xaps_imap_plugin_version = DOVECOT_ABI_VERSION;
XAPS_EXPORT const char xaps_imap_plugin_binary_dependency[] = "imap";

XAPS_EXPORT void xaps_imap_plugin_init(struct module *module)
{
	xaps_imap_plugin_module = module;
	compat_settings_register();
	command_register(XAPS_COMMAND, cmd_xapplepushservice, 0);
	orig_id = xaps_command_replace("ID", cmd_id_with_visit);
	xaps_wait_init(current_ioloop);
	xaps_visit_init(current_ioloop);
	xaps_webpush_init();
	xaps_deltachat_init();
	next_hook_client_created =
	    imap_client_created_hook_set(xaps_imap_client_created);
}

XAPS_EXPORT void xaps_imap_plugin_deinit(void)
{
	imap_client_created_hook_set(next_hook_client_created);
	command_unregister(XAPS_COMMAND);
	(void)xaps_command_replace(orig_id.name, orig_id.func);
	xaps_deltachat_deinit();
	xaps_webpush_deinit();
	xaps_visit_deinit();
	xaps_wait_deinit();
}
