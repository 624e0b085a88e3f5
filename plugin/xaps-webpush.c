/* xaps-webpush.c - IMAP WEBPUSH: an app subscribes to Web Push messages.
 *
 * xapsd keeps the subscriptions, has the keys, sends the first push with the
 * code and checks it; here are the commands and their arguments. */

#include "imap-common.h"
#include "http-url.h"
#include "imap-arg.h"
#include "imap-quote.h"
#include "ostream.h"
#include "str.h"
#include "compat.h"
#include "xaps-json.h"
#include "xaps-log.h"
#include "xaps-wait.h"
#include "xaps-webpush.h"

#define XAPS_ID_MAX 128
#define XAPS_ENDPOINT_MAX 1024 /* push services' have 200 to 500 bytes */
#define XAPS_CODE_MAX 128
/* Characters of base64 for a point of P-256 (65 bytes), and 16 bytes. */
#define XAPS_P256DH_LEN 87
#define XAPS_AUTH_LEN 22
#define XAPS_BASE64URL                                                         \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* One of our commands, allocated from its pool. */
struct xaps_webpush {
	struct xaps_wait wait;
	const char *name; /* of the command */
	const char *id, *endpoint, *p256dh, *auth, *code;
};

/*
 * Arguments
 */

/* All arguments are read; NULL if more input is needed, or if it has been
   answered that this command is not there. */
static struct xaps_webpush *xaps_webpush_begin(
    struct client_command_context *cmd, const char *name,
    const struct imap_arg **args_r)
{
	struct xaps_imap_client *xclient = xaps_imap_client_get(cmd->client);
	struct xaps_webpush *ctx;

	if (!client_read_args(cmd, 0, 0, args_r))
		return NULL;
	ctx = p_new(cmd->pool, struct xaps_webpush, 1);
	ctx->wait.cmd = cmd;
	ctx->wait.ordered = TRUE;
	ctx->wait.done = name;
	ctx->wait.request.event_name = "xaps_webpush_finished";
	ctx->name = name;
	if (xclient == NULL || !xclient->set->webpush)
		ctx->name = NULL;
	return ctx;
}

static bool xaps_webpush_bad(struct xaps_webpush *ctx, const char *error)
{
	if (ctx->name == NULL)
		client_send_command_error(ctx->wait.cmd, "Unknown command.");
	else
		client_send_tagline(ctx->wait.cmd,
		    t_strdup_printf("BAD %s: %s.", ctx->name, error));
	return TRUE;
}

/* Returns NULL or an error. */
static const char *xaps_get_string(const struct imap_arg *arg, const char *what,
    size_t max_len, const char **str_r)
{
	const char *str;

	if (IMAP_ARG_IS_EOL(arg))
		return t_strdup_printf("%s is missing", what);
	if (!xaps_arg_get(arg, &str))
		return t_strdup_printf("%s must be a string", what);
	if (*str == '\0')
		return t_strdup_printf("%s is empty", what);
	if (strlen(str) > max_len)
		return t_strdup_printf("%s is too long", what);
	if (!xaps_is_printable(str))
		return t_strdup_printf("%s is not printable ASCII", what);
	*str_r = str;
	return NULL;
}

/* Base64 in both alphabets, with padding or without it; the result is in that
   of URLs, without. */
static const char *xaps_get_base64(const struct imap_arg *arg, const char *what,
    size_t len, const char **str_r)
{
	const char *error;
	char *str, *p;

	error = xaps_get_string(arg, what, len + 2, str_r);
	if (error != NULL)
		return error;
	str = t_strdup_noconst(*str_r);
	for (p = str; *p != '\0'; p++) {
		if (*p == '+' || *p == '/')
			*p = *p == '+' ? '-' : '_';
		else if (*p == '=' && strspn(p, "=") == strlen(p))
			break;
		else if (strchr(XAPS_BASE64URL, *p) == NULL)
			return t_strdup_printf("%s is not base64", what);
	}
	*p = '\0'; /* the padding */
	if (strlen(str) != len)
		return t_strdup_printf("%s has a wrong length", what);
	*str_r = str;
	return NULL;
}

static const char *xaps_get_endpoint(
    const struct imap_arg *arg, const char **str_r)
{
	const char *error;
	struct http_url *url;

	error = xaps_get_string(arg, "endpoint", XAPS_ENDPOINT_MAX, str_r);
	if (error != NULL)
		return error;
	if (strchr(*str_r, ' ') != NULL ||
	    http_url_parse(
		*str_r, NULL, 0, pool_datastack_create(), &url, &error) < 0)
		return "endpoint is not a URL";
	return url->have_ssl ? NULL : "endpoint is not https";
}

static const char *xaps_webpush_parse(
    struct xaps_webpush *ctx, const struct imap_arg *args)
{
	const char *error;

	error = xaps_get_string(&args[0], "id", XAPS_ID_MAX, &ctx->id);
	if (error != NULL)
		return error;
	if (args[1].type == IMAP_ARG_NIL)
		return IMAP_ARG_IS_EOL(&args[2]) ? NULL
						 : "an argument follows NIL";
	error = xaps_get_endpoint(&args[1], &ctx->endpoint);
	if (error == NULL)
		error = xaps_get_base64(
		    &args[2], "p256dh", XAPS_P256DH_LEN, &ctx->p256dh);
	/* 0x04: not compressed */
	if (error == NULL && (ctx->p256dh[0] != 'B' || ctx->p256dh[1] < 'A' ||
				 ctx->p256dh[1] > 'P'))
		error = "p256dh is not an uncompressed point";
	if (error == NULL)
		error = xaps_get_base64(
		    &args[3], "auth", XAPS_AUTH_LEN, &ctx->auth);
	if (error == NULL && !IMAP_ARG_IS_EOL(&args[4]))
		error = "too many arguments";
	return error;
}

/*
 * Requests
 */

static bool xaps_webpush_post(struct xaps_webpush *ctx, const char *path,
    string_t *json, xaps_reply_func_t *reply)
{
	ctx->wait.request.path = path;
	if (json != NULL) {
		xaps_append_pair(json, "Kind", "webpush");
		xaps_append_pair(json, "Username",
		    xaps_imap_client_get(ctx->wait.cmd->client)->set->username);
		/* a comma is at the end */
		str_truncate(json, str_len(json) - 1);
		str_append_c(json, '}');
		ctx->wait.request.json = str_c(json);
	}
	ctx->wait.reply = reply;
	return xaps_wait_start(&ctx->wait);
}

static string_t *xaps_json_begin(void)
{
	string_t *json = t_str_new(512);

	str_append_c(json, '{');
	return json;
}

static bool xaps_webpush_ok(struct xaps_webpush *ctx)
{
	client_send_tagline(
	    ctx->wait.cmd, t_strdup_printf("OK %s completed.", ctx->name));
	return TRUE;
}

static void xaps_send_vapid(struct xaps_wait *wait)
{
	client_send_line(
	    wait->cmd->client, t_strdup_printf("* VAPID \"%s\"", wait->body));
}

static void xaps_send_subscription(
    struct xaps_webpush *ctx, const char *id, const char *endpoint, bool active)
{
	string_t *line = t_str_new(256);

	str_append(line, "* WEBPUSH ");
	compat_append_astring(line, id);
	str_append_c(line, ' ');
	compat_append_astring(line, endpoint);
	str_append(line, active ? " ACTIVE" : " INACTIVE");
	client_send_line(ctx->wait.cmd->client, str_c(line));
}

static bool xaps_send_created(struct xaps_wait *wait)
{
	struct xaps_webpush *ctx =
	    container_of(wait, struct xaps_webpush, wait);

	if (wait->error != NULL) {
		xaps_wait_send_no(wait);
		return TRUE;
	}
	o_stream_cork(wait->cmd->client->output);
	xaps_send_subscription(
	    ctx, ctx->id, ctx->endpoint, wait->status == 200);
	xaps_send_vapid(wait);
	(void)xaps_webpush_ok(ctx);
	o_stream_uncork(wait->cmd->client->output);
	return TRUE;
}

/* That there is none with this id is as good. */
static bool xaps_send_deleted(struct xaps_wait *wait)
{
	if (wait->error == NULL || wait->status == 404)
		return xaps_webpush_ok(
		    container_of(wait, struct xaps_webpush, wait));
	xaps_wait_send_no(wait);
	return TRUE;
}

static bool cmd_webpush(struct client_command_context *cmd)
{
	const struct imap_arg *args;
	struct xaps_webpush *ctx = xaps_webpush_begin(cmd, "WEBPUSH", &args);
	const char *error;
	string_t *json;

	if (ctx == NULL)
		return FALSE;
	error = xaps_webpush_parse(ctx, args);
	if (error != NULL || ctx->name == NULL)
		return xaps_webpush_bad(ctx, error);
	json = xaps_json_begin();
	xaps_append_pair(json, "Id", ctx->id);
	if (ctx->endpoint == NULL)
		return xaps_webpush_post(
		    ctx, "/unregister", json, xaps_send_deleted);
	xaps_append_pair(json, "Endpoint", ctx->endpoint);
	xaps_append_pair(json, "P256dh", ctx->p256dh);
	xaps_append_pair(json, "Auth", ctx->auth);
	str_printfa(json, "\"Confirm\":true,\"Mailboxes\":[\"%s\"],",
	    xaps_imap_client_get(cmd->client)->set->inbox_only ? "INBOX" : "*");
	ctx->wait.request.wants_topic = TRUE;
	/* for the reply */
	ctx->id = p_strdup(cmd->pool, ctx->id);
	ctx->endpoint = p_strdup(cmd->pool, ctx->endpoint);
	return xaps_webpush_post(ctx, "/register", json, xaps_send_created);
}

static bool xaps_send_confirmed(struct xaps_wait *wait)
{
	if (wait->error == NULL)
		return xaps_webpush_ok(
		    container_of(wait, struct xaps_webpush, wait));
	if (wait->status == 403)
		client_send_tagline(wait->cmd,
		    "NO [CANNOT] This is not the code of the last push.");
	else if (wait->status == 404)
		client_send_tagline(
		    wait->cmd, "NO [NONEXISTENT] No such subscription.");
	else
		xaps_wait_send_no(wait);
	return TRUE;
}

static bool cmd_ackwebpush(struct client_command_context *cmd)
{
	const struct imap_arg *args;
	struct xaps_webpush *ctx = xaps_webpush_begin(cmd, "ACKWEBPUSH", &args);
	const char *error;
	string_t *json;

	if (ctx == NULL)
		return FALSE;
	error = xaps_get_string(&args[0], "id", XAPS_ID_MAX, &ctx->id);
	if (error == NULL)
		error = xaps_get_string(
		    &args[1], "code", XAPS_CODE_MAX, &ctx->code);
	if (error == NULL && !IMAP_ARG_IS_EOL(&args[2]))
		error = "too many arguments";
	if (error != NULL || ctx->name == NULL)
		return xaps_webpush_bad(ctx, error);
	json = xaps_json_begin();
	xaps_append_pair(json, "Id", ctx->id);
	xaps_append_pair(json, "Code", ctx->code);
	ctx->wait.request.takes_403 = TRUE;
	return xaps_webpush_post(ctx, "/confirm", json, xaps_send_confirmed);
}

static bool xaps_send_key(struct xaps_wait *wait)
{
	if (wait->error != NULL) {
		xaps_wait_send_no(wait);
		return TRUE;
	}
	xaps_send_vapid(wait);
	return xaps_webpush_ok(container_of(wait, struct xaps_webpush, wait));
}

static bool cmd_getvapid(struct client_command_context *cmd)
{
	const struct imap_arg *args;
	struct xaps_webpush *ctx = xaps_webpush_begin(cmd, "GETVAPID", &args);

	if (ctx == NULL)
		return FALSE;
	if (!IMAP_ARG_IS_EOL(args) || ctx->name == NULL)
		return xaps_webpush_bad(ctx, "it takes no arguments");
	ctx->wait.request.wants_topic = TRUE;
	return xaps_webpush_post(ctx, "/vapid", NULL, xaps_send_key);
}

static bool xaps_send_list(struct xaps_wait *wait)
{
	struct xaps_webpush *ctx =
	    container_of(wait, struct xaps_webpush, wait);
	ARRAY_TYPE(xaps_subscription) list;
	const struct xaps_subscription *sub;

	if (wait->status == 404)
		return xaps_webpush_ok(ctx);
	if (wait->error != NULL ||
	    !xaps_json_subscriptions(wait->body, &list)) {
		xaps_wait_send_no(wait);
		return TRUE;
	}
	o_stream_cork(wait->cmd->client->output);
	array_foreach(&list, sub)
	{
		if (sub->id != NULL && sub->endpoint != NULL)
			xaps_send_subscription(
			    ctx, sub->id, sub->endpoint, sub->active);
	}
	(void)xaps_webpush_ok(ctx);
	o_stream_uncork(wait->cmd->client->output);
	return TRUE;
}

static bool cmd_lwebpush(struct client_command_context *cmd)
{
	const struct imap_arg *args;
	struct xaps_webpush *ctx = xaps_webpush_begin(cmd, "LWEBPUSH", &args);

	if (ctx == NULL)
		return FALSE;
	if (!IMAP_ARG_IS_EOL(args) || ctx->name == NULL)
		return xaps_webpush_bad(ctx, "it takes no arguments");
	ctx->wait.request.wants_list = TRUE;
	return xaps_webpush_post(
	    ctx, "/subscriptions", xaps_json_begin(), xaps_send_list);
}

static const struct command webpush_commands[] = {
	{ "GETVAPID", cmd_getvapid, 0 },
	{ "WEBPUSH", cmd_webpush, 0 },
	{ "ACKWEBPUSH", cmd_ackwebpush, 0 },
	{ "LWEBPUSH", cmd_lwebpush, 0 },
};

void xaps_webpush_init(void)
{
	command_register_array(webpush_commands, N_ELEMENTS(webpush_commands));
}

void xaps_webpush_deinit(void)
{
	command_unregister_array(
	    webpush_commands, N_ELEMENTS(webpush_commands));
}
