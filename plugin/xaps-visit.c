/* xaps-visit.c - tells xapsd that a phone has come. */

#include "imap-common.h"
#include "hash.h"
#include "imap-arg.h"
#include "ioloop.h"
#include "str.h"
#include "compat.h"
#include "xaps-client.h"
#include "xaps-log.h"
#include "xaps-visit.h"

#include <time.h>

/* A late visit would be taken for a phone that came late. */
#define XAPS_VISIT_PATIENCE_MSECS 1000
#define XAPS_VISIT_PAUSE_MSECS 100
/* At the end of a process, for what has to be connected first (TCP). */
#define XAPS_VISIT_FINISH_MSECS 100
/* A phone opens several connections at once. */
#define XAPS_VISIT_AGAIN_SECS 10
/* A user without devices may have one some day. */
#define XAPS_VISIT_UNKNOWN_SECS 600
/* Users that are remembered, 300 bytes each at most; one that shares another's
   slot takes it. */
#define XAPS_VISIT_USERS 256
/* xapsd shows no more. */
#define XAPS_VISIT_CLIENT_MAX 64

/* A user for whom there is nothing to tell for a while, of one kind of
   phone: another one that comes at the same moment answers its own pushes. */
struct xaps_visit_user {
	char *name;
	time_t until;
	bool android;
	bool unknown; /* the daemon has no device of his */
};

enum xaps_id_key {
	XAPS_ID_NAME,
	XAPS_ID_VENDOR,
	XAPS_ID_OS,
	XAPS_ID_OS_VERSION,
	XAPS_ID_EVENT,
	XAPS_ID_KEYS
};

static const char *const xaps_id_keys[XAPS_ID_KEYS] = { "name", "vendor", "os",
	"os-version", "event" };

/* Mail of older systems, as "iPhone Mail". */
static const char *const xaps_phone_names[] = { "iPhone Mail", "iPad Mail",
	"iPod Mail", "iPod touch Mail", NULL };
/* Not macOS, whose Mail uses IDLE and never asks for pushes. */
static const char *const xaps_phone_systems[] = { "iOS", "iPadOS", "iPhone OS",
	"visionOS", "xrOS", "watchOS", NULL };

static struct xaps_visit_user visit_users[XAPS_VISIT_USERS];
static struct xaps_client *visit_client;
static struct ioloop *visit_ioloop;

/*
 * ID
 */

/* The value of the last pair wins; "" is one that is no string. */
static void xaps_id_parse(
    const struct imap_arg *args, const char *values[XAPS_ID_KEYS])
{
	const char *key, *value;
	unsigned int i;

	for (; !IMAP_ARG_IS_EOL(&args[0]) && !IMAP_ARG_IS_EOL(&args[1]);
	     args += 2) {
		if (!imap_arg_get_astring(&args[0], &key))
			continue;
		if (args[1].type == IMAP_ARG_NIL)
			value = NULL;
		else if (!imap_arg_get_astring(&args[1], &value))
			value = "";
		for (i = 0; i < XAPS_ID_KEYS; i++) {
			if (strcasecmp(xaps_id_keys[i], key) == 0)
				values[i] = value;
		}
	}
}

/* Apple's TN3189: what the connection is for, separated by commas.  Of all but
   NIL only "push" is a phone that a push has woken, unless it also downloads
   old mail; "periodic" is one that fetches without push. */
static bool xaps_id_is_background(const char *event)
{
	const char *const *words;

	if (event == NULL)
		return FALSE;
	words = t_strsplit_spaces(event, ", ");
	return !str_array_icase_find(words, "push") ||
	       str_array_icase_find(words, "indexer") ||
	       str_array_icase_find(words, "back-fill");
}

/* Its programs are many, and mostly name the system. */
static bool xaps_id_is_android(const char *const values[XAPS_ID_KEYS])
{
	return values[XAPS_ID_OS] != NULL &&
	       strncasecmp(values[XAPS_ID_OS], "Android", 7) == 0;
}

static bool xaps_id_is_phone(const char *const values[XAPS_ID_KEYS])
{
	const char *name = values[XAPS_ID_NAME], *os = values[XAPS_ID_OS];
	const char *vendor = values[XAPS_ID_VENDOR];
	bool apples;

	if (name == NULL)
		apples = vendor != NULL && strncasecmp(vendor, "Apple", 5) == 0;
	else if (str_array_icase_find(xaps_phone_names, name))
		return TRUE;
	else
		apples = strncasecmp(name, "com.apple.", 10) == 0;
	if (os == NULL)
		return name != NULL &&
		       strcasecmp(name, "com.apple.email.maild") == 0;
	return apples && str_array_icase_find(xaps_phone_systems, os);
}

/* "iOS 26.5" of "iOS" and "26.5 (23F77)", "Android 14" of "Android" and
   "14; UP1A.231005", else the name. */
static const char *xaps_id_client(const char *const values[XAPS_ID_KEYS])
{
	const char *os = values[XAPS_ID_OS], *version, *text;
	size_t len;

	version = values[XAPS_ID_OS_VERSION];
	if (os == NULL || *os == '\0')
		text = values[XAPS_ID_NAME];
	else if (version == NULL || !xaps_is_clean(version))
		text = os;
	else
		text = t_strconcat(
		    os, " ", t_strcut(t_strcut(version, '('), ';'), NULL);
	if (text == NULL || !xaps_is_clean(text))
		return NULL;
	len = strlen(text);
	if (len > XAPS_VISIT_CLIENT_MAX) {
		len = XAPS_VISIT_CLIENT_MAX;
		/* not within a character */
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	while (len > 0 && text[len - 1] == ' ')
		len--;
	return len == 0 ? NULL : t_strndup(text, len);
}

/*
 * Users
 */

/* The wall clock may jump. */
static time_t xaps_visit_now(void)
{
	struct timespec ts;

	return clock_gettime(CLOCK_MONOTONIC, &ts) < 0 ? 0 : ts.tv_sec;
}

static struct xaps_visit_user *xaps_visit_slot(const char *name, bool android)
{
	return &visit_users[(str_hash(name) + (android ? 1 : 0)) %
			    XAPS_VISIT_USERS];
}

static bool xaps_visit_user_is(
    const struct xaps_visit_user *user, const char *name, bool android)
{
	return user->name != NULL && user->android == android &&
	       strcmp(user->name, name) == 0;
}

/* NULL if there is nothing that keeps us from telling. */
static const struct xaps_visit_user *xaps_visit_user_find(
    const char *name, bool android)
{
	const struct xaps_visit_user *user = xaps_visit_slot(name, android);

	return xaps_visit_user_is(user, name, android) &&
		       xaps_visit_now() < user->until
		   ? user
		   : NULL;
}

static void xaps_visit_user_set(
    const char *name, bool android, unsigned int secs, bool unknown)
{
	struct xaps_visit_user *user = xaps_visit_slot(name, android);
	char *copy = i_strdup(name);

	i_free(user->name);
	user->name = copy;
	user->android = android;
	user->until = xaps_visit_now() + secs;
	user->unknown = unknown;
}

/*
 * Telling
 */

/* The context is a + for Android or a -, and the name. */
static void xaps_visit_answered(const struct xaps_answer *answer, void *context)
{
	char *who = context;
	struct event *event = answer->event;

	if (answer->waits)
		return;
	if (answer->status == 404)
		xaps_visit_user_set(
		    who + 1, *who == '+', XAPS_VISIT_UNKNOWN_SECS, TRUE);
	if (answer->error == NULL || answer->status == 404)
		e_debug(event, "xaps: visit: answer %u", answer->status);
	else if (!answer->left && xaps_log_is_due(answer->status))
		e_error(event, "xaps: visit not reported: %s", answer->error);
	else
		e_debug(event, "xaps: visit not reported: %s", answer->error);
	i_free(who);
}

static const char *xaps_visit_json(
    const struct xaps_visit *visit, const struct xaps_settings *set)
{
	string_t *json = t_str_new(128);

	str_append(json, "{\"Username\":\"");
	json_append_escaped(json, set->username);
	if (visit->client != NULL) {
		str_append(json, "\",\"Client\":\"");
		json_append_escaped(json, visit->client);
	}
	str_append(json, "\"}");
	return str_c(json);
}

static void xaps_visit_tell(struct xaps_visit *visit,
    const struct xaps_settings *set, struct client *client)
{
	struct xaps_request request = {
		.path = "/seen",
		.patience_msecs = XAPS_VISIT_PATIENCE_MSECS,
		.pause_msecs = XAPS_VISIT_PAUSE_MSECS,
		.pause_max_msecs = XAPS_VISIT_PATIENCE_MSECS,
		.event_name = "xaps_seen_finished",
	};
	const char *error;

	visit->told = TRUE;
	if (!xaps_is_clean(set->username) ||
	    xaps_visit_user_find(set->username, visit->android) != NULL)
		return;
	if (visit_client == NULL)
		visit_client =
		    xaps_client_init(client->user, set, visit_ioloop, &error);
	if (visit_client == NULL) {
		if (xaps_log_is_due(0))
			e_error(client->event, "xaps: visit not reported: %s",
			    error);
		return;
	}
	if (xaps_client_pending(visit_client) >= XAPS_PENDING_MAX)
		return;
	xaps_visit_user_set(
	    set->username, visit->android, XAPS_VISIT_AGAIN_SECS, FALSE);
	request.json = xaps_visit_json(visit, set);
	request.event = xaps_event_create(client->user);
	xaps_client_post(visit_client, set, &request, xaps_visit_answered,
	    i_strconcat(visit->android ? "+" : "-", set->username, NULL));
}

void xaps_visit_id(struct xaps_visit *visit, const struct xaps_settings *set,
    struct client_command_context *cmd)
{
	const char *values[XAPS_ID_KEYS] = { NULL };
	const struct imap_arg *args;

	/* The command has read them all, so this reads nothing from the
	   client. */
	if (!set->visits || visit->told ||
	    imap_parser_read_args(cmd->parser, 0, 0, &args) < 0 ||
	    !imap_arg_get_list(args, &args))
		return;
	xaps_id_parse(args, values);
	visit->background = xaps_id_is_background(values[XAPS_ID_EVENT]);
	visit->android = xaps_id_is_android(values);
	if (visit->background || (!visit->android && !xaps_id_is_phone(values)))
		return;
	visit->client = p_strdup(cmd->client->pool, xaps_id_client(values));
	xaps_visit_tell(visit, set, cmd->client);
}

void xaps_visit_registered(struct xaps_visit *visit,
    const struct xaps_settings *set, struct client *client)
{
	struct xaps_visit_user *user = xaps_visit_slot(set->username, FALSE);

	if (!set->visits || visit->background)
		return;
	visit->android = FALSE;
	/* That the user has no device is not true any more. */
	if (user->unknown && xaps_visit_user_is(user, set->username, FALSE)) {
		user->until = 0;
		user->unknown = FALSE;
		visit->told = FALSE;
	}
	if (!visit->told)
		xaps_visit_tell(visit, set, client);
}

void xaps_visit_init(struct ioloop *ioloop)
{
	visit_ioloop = ioloop;
}

void xaps_visit_deinit(void)
{
	unsigned int i;

	xaps_client_finish(&visit_client, XAPS_VISIT_FINISH_MSECS);
	for (i = 0; i < XAPS_VISIT_USERS; i++)
		i_free(visit_users[i].name);
}
