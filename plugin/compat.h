#ifndef XAPS_COMPAT_H
#define XAPS_COMPAT_H

/* Every difference between Dovecot 2.3 and 2.4, and nothing else.  The rest of
   the plugin does not depend on the version. */

#include "lib.h"
#include "array.h"
#include "http-client.h"
#include "iostream-ssl.h"
#include "mail-user.h"
#include "strnum.h"

/* DOVECOT_PREREQ takes two arguments up to 2.3.17; those versions do not define
   the third number, and 0 is good enough for us. */
#ifndef DOVECOT_VERSION_MICRO
#define DOVECOT_VERSION_MICRO 0
#endif
#define XAPS_DOVECOT(major, minor, micro)                                      \
	(DOVECOT_VERSION_MAJOR * 1000000 + DOVECOT_VERSION_MINOR * 1000 +      \
		DOVECOT_VERSION_MICRO >=                                       \
	    (major)*1000000 + (minor)*1000 + (micro))

#if XAPS_DOVECOT(2, 4, 0)
#define XAPS_DOVECOT_2_4
#include "json-generator.h"
#include "push-notification-settings.h"
#include "settings.h"
#include "ssl-settings.h"
#include "xaps-settings.h"
#else
#include "json-parser.h"
#endif

/* The settings as the administrator wrote them. */
struct compat_settings {
	const char *url; /* "" if not set; several, separated by spaces */
	const char *user_lookup; /* "" if not set */
	unsigned int timeout_msecs;
	unsigned int register_timeout_msecs;
	bool visits, webpush, deltachat;
};

#define COMPAT_DEFAULT_TIMEOUT_MSECS 1000
#define COMPAT_DEFAULT_REGISTER_TIMEOUT_MSECS 10000

#ifdef XAPS_DOVECOT_2_4

static inline void compat_settings_register(void)
{
	settings_info_register(&xaps_setting_parser_info);
}

static inline int compat_settings_get(struct mail_user *user, pool_t pool,
    struct compat_settings *set_r, const char **error_r)
{
	const struct xaps_plugin_settings *set;

	if (settings_get(
		user->event, &xaps_setting_parser_info, 0, &set, error_r) < 0)
		return -1;
	set_r->url = p_strdup(pool, set->url);
	set_r->user_lookup = p_strdup(pool, set->user_lookup);
	set_r->timeout_msecs = set->timeout;
	set_r->register_timeout_msecs = set->register_timeout;
	set_r->visits = set->visits;
	set_r->webpush = set->webpush;
	set_r->deltachat = set->deltachat;
	settings_free(set);
	return 0;
}

/* Only 2.3 has settings of arbitrary names. */
static inline const char *compat_plugin_setting(
    struct mail_user *user ATTR_UNUSED, const char *name ATTR_UNUSED)
{
	return NULL;
}

#else

static inline void compat_settings_register(void)
{
}

static inline const char *compat_plugin_setting(
    struct mail_user *user, const char *name)
{
	return mail_user_plugin_getenv(user, name);
}

/* max_retries is a setting of the field's other plugin.  It is accepted but has
   no effect: ours retries for as long as that makes sense. */
#define COMPAT_MAX_RETRIES 100

static inline int compat_bool_parse(
    const char *key, const char *value, bool *bool_r, const char **error_r)
{
	static const char *const yes[] = { "yes", "y", "1", "true", NULL };
	static const char *const no[] = { "no", "n", "0", "false", NULL };

	*bool_r = str_array_icase_find(yes, value);
	if (*bool_r || str_array_icase_find(no, value))
		return 0;
	*error_r =
	    t_strdup_printf("%s must be yes or no, not '%s'", key, value);
	return -1;
}

static const char *const compat_bools[] = { "visits", "webpush", "deltachat" };

static inline bool *compat_setting_bool(
    struct compat_settings *set, const char *key)
{
	bool *const yesno[] = { &set->visits, &set->webpush, &set->deltachat };
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(compat_bools); i++) {
		if (strcmp(key, compat_bools[i]) == 0)
			return yesno[i];
	}
	return NULL;
}

static inline int compat_setting_parse(struct compat_settings *set, pool_t pool,
    const char *key, const char *value, const char **error_r)
{
	unsigned int *number = NULL, retries = 0;
	bool *yesno;

	if (strcmp(key, "url") == 0)
		set->url = *set->url == '\0'
			       ? p_strdup(pool, value)
			       : p_strconcat(pool, set->url, " ", value, NULL);
	else if (strcmp(key, "user_lookup") == 0)
		set->user_lookup = p_strdup(pool, value);
	else if (strcmp(key, "timeout_msecs") == 0)
		number = &set->timeout_msecs;
	else if (strcmp(key, "register_timeout_msecs") == 0)
		number = &set->register_timeout_msecs;
	else if (strcmp(key, "max_retries") == 0)
		number = &retries;
	else if ((yesno = compat_setting_bool(set, key)) != NULL)
		return compat_bool_parse(
		    t_strconcat("xaps_config: ", key, NULL), value, yesno,
		    error_r);
	else {
		*error_r = t_strdup_printf("xaps_config: unknown '%s', known "
					   "are url, user_lookup, "
					   "timeout_msecs, "
					   "register_timeout_msecs, "
					   "visits, webpush, deltachat, "
					   "max_retries",
		    key);
		return -1;
	}
	if (number != NULL && str_to_uint(value, number) < 0) {
		*error_r = t_strdup_printf("xaps_config: %s must be a number, "
					   "not '%s'",
		    key, value);
		return -1;
	}
	if (retries > COMPAT_MAX_RETRIES) {
		*error_r = "xaps_config: max_retries must be 100 at most";
		return -1;
	}
	return 0;
}

/* Settings of the first-generation plugin, and of one that has Dovecot 2.4's
   names on 2.3, for what xaps_config does not set.  xaps_visits and its like
   come first: a userdb field may set them for one user. */
static inline int compat_settings_get_old(struct mail_user *user, pool_t pool,
    struct compat_settings *set, const char **error_r)
{
	const char *name, *value;
	unsigned int i;

	value = mail_user_plugin_getenv(user, "xaps_url");
	if (*set->url == '\0' && value != NULL)
		set->url = p_strdup(pool, value);
	value = mail_user_plugin_getenv(user, "xaps_socket");
	if (*set->url == '\0' && value != NULL && *value != '\0')
		set->url = p_strconcat(pool, "unix:", value, NULL);
	value = mail_user_plugin_getenv(user, "xaps_user_lookup");
	if (*set->user_lookup == '\0' && value != NULL)
		set->user_lookup = p_strdup(pool, value);
	for (i = 0; i < N_ELEMENTS(compat_bools); i++) {
		name = t_strconcat("xaps_", compat_bools[i], NULL);
		value = mail_user_plugin_getenv(user, name);
		if (value != NULL &&
		    compat_bool_parse(name, value,
			compat_setting_bool(set, compat_bools[i]), error_r) < 0)
			return -1;
	}
	return 0;
}

static inline int compat_settings_get(struct mail_user *user, pool_t pool,
    struct compat_settings *set_r, const char **error_r)
{
	const char *config = mail_user_plugin_getenv(user, "xaps_config");
	const char *const *words, *value;

	set_r->url = set_r->user_lookup = "";
	set_r->timeout_msecs = COMPAT_DEFAULT_TIMEOUT_MSECS;
	set_r->register_timeout_msecs = COMPAT_DEFAULT_REGISTER_TIMEOUT_MSECS;
	set_r->visits = TRUE;
	set_r->webpush = set_r->deltachat = FALSE;
	words = t_strsplit_spaces(config == NULL ? "" : config, " \t");
	for (; *words != NULL; words++) {
		value = strchr(*words, '=');
		if (compat_setting_parse(set_r, pool,
			value == NULL ? *words : t_strdup_until(*words, value),
			value == NULL ? "" : value + 1, error_r) < 0)
			return -1;
	}
	return compat_settings_get_old(user, pool, set_r, error_r);
}

#endif

/* event_find_field() was renamed in 2.3.16. */
static inline bool compat_event_has_field(struct event *event, const char *key)
{
	const struct event_field *fields;
	unsigned int i, count;

	fields = event_get_fields(event, &count);
	for (i = 0; i < count; i++) {
		if (strcmp(fields[i].key, key) == 0)
			return TRUE;
	}
	return FALSE;
}

/* Everything needed to create an HTTP client, so that one can be created when
   the user is gone. */
struct compat_http {
	pool_t pool;
	unsigned int timeout_msecs, connect_timeout_msecs;
	unsigned int max_idle_time_msecs;
	const char *dns_client_socket_path; /* NULL: the system's resolver */
	bool debug;
#ifdef XAPS_DOVECOT_2_4
	const struct ssl_iostream_settings *ssl;
#else
	struct ssl_iostream_settings ssl;
#endif
};

#ifdef XAPS_DOVECOT_2_4

static inline int compat_http_init_ssl(
    struct compat_http *http, struct mail_user *user, const char **error_r)
{
	const struct ssl_settings *set;

	if (ssl_client_settings_get(user->event, &set, error_r) < 0)
		return -1;
	ssl_client_settings_to_iostream_set(set, &http->ssl);
	settings_free(set);
	return 0;
}

static inline void compat_http_deinit_ssl(struct compat_http *http)
{
	settings_free(http->ssl);
}

static inline struct http_client *compat_http_client_init(
    const struct compat_http *http, bool ssl)
{
	struct http_client_settings *set;
	struct http_client *client;
	struct event *event;
	pool_t pool;

	pool = pool_alloconly_create("xaps http settings", 1024);
	set = p_new(pool, struct http_client_settings, 1);
	http_client_settings_init(pool, set);
	set->request_timeout_msecs = http->timeout_msecs;
	set->connect_timeout_msecs = http->connect_timeout_msecs;
	set->max_idle_time_msecs = http->max_idle_time_msecs;
	set->auto_redirect = FALSE;
	set->auto_retry = FALSE;
#if !XAPS_DOVECOT(2, 4, 2) /* those take care of it themselves */
	if (http->dns_client_socket_path != NULL)
		set->dns_client_socket_path =
		    p_strdup(pool, http->dns_client_socket_path);
#endif

	event = event_create(NULL);
	client = http_client_init_private(set, event);
	event_unref(&event);
	pool_unref(&pool);
	if (ssl)
		http_client_set_ssl_settings(client, http->ssl);
	return client;
}

#else

static inline int compat_http_init_ssl(struct compat_http *http,
    struct mail_user *user, const char **error_r ATTR_UNUSED)
{
	struct ssl_iostream_settings set;

	i_zero(&set);
	mail_user_init_ssl_client_settings(user, &set);
	ssl_iostream_settings_init_from(http->pool, &http->ssl, &set);
	return 0;
}

static inline void compat_http_deinit_ssl(struct compat_http *http ATTR_UNUSED)
{
}

static inline struct http_client *compat_http_client_init(
    const struct compat_http *http, bool ssl)
{
	struct http_client_settings set;

	i_zero(&set);
	if (ssl)
		set.ssl = &http->ssl; /* copied, as all is */
	set.debug = http->debug;
	set.request_timeout_msecs = http->timeout_msecs;
	set.connect_timeout_msecs = http->connect_timeout_msecs;
	set.max_idle_time_msecs = http->max_idle_time_msecs;
	set.no_auto_redirect = TRUE;
	set.no_auto_retry = TRUE;
	set.dns_client_socket_path = http->dns_client_socket_path;
	return http_client_init_private(&set);
}

#endif

static inline const char *compat_base_dir(struct mail_user *user)
{
#ifdef XAPS_DOVECOT_2_4
	const struct mail_user_settings *set = user->set;

	return set->base_dir;
#else
	return user->set->base_dir;
#endif
}

/* The following are defined only for files that include the respective
   header. */

#ifdef AUTH_MASTER_H
/* As Dovecot looks up a user whose mailboxes are shared. */
static inline void compat_auth_user_info(
    const struct mail_user *user, struct auth_user_info *info_r)
{
	i_zero(info_r);
#ifdef XAPS_DOVECOT_2_4
	info_r->protocol = user->protocol;
#else
	info_r->service = user->service;
#endif
}
#endif

#ifdef PUSH_NOTIFICATION_DRIVERS_H
#ifdef XAPS_DOVECOT_2_4
#define COMPAT_DRIVER_INIT_ARGS                                                \
	struct mail_user *user, pool_t pool, const char *name ATTR_UNUSED,     \
	    void **context, const char **error_r
#else
#define COMPAT_DRIVER_INIT_ARGS                                                \
	struct push_notification_driver_config *config ATTR_UNUSED,            \
	    struct mail_user *user, pool_t pool, void **context,               \
	    const char **error_r
#endif
#endif

#ifdef PUSH_NOTIFICATION_EVENTS_H
static inline void compat_push_event_init(
    struct push_notification_driver_txn *dtxn, const char *name, void *config)
{
#ifdef XAPS_DOVECOT_2_4
	push_notification_event_init(dtxn, name, config, dtxn->ptxn->event);
#else
	push_notification_event_init(dtxn, name, config);
#endif
}
#endif

#ifdef IMAP_QUOTE_H
static inline void compat_append_astring(string_t *dest, const char *src)
{
#if XAPS_DOVECOT(2, 4, 3)
	imap_append_astring(dest, src, 0);
#else
	imap_append_astring(dest, src);
#endif
}
#endif

#ifdef MAIL_STORAGE_SERVICE_H
/* The plugin push_notification is loaded but has no driver for this user (the
   userdb may say so): a registration would never lead to a push. */
#ifdef XAPS_DOVECOT_2_4
static inline bool compat_push_is_off(struct mail_user *user)
{
	struct module *module =
	    module_dir_find(mail_storage_service_modules, "push_notification");
	const struct setting_parser_info *info;
	const struct push_notification_settings *set;
	const char *error;
	bool off;

	if (module == NULL || !mail_user_is_plugin_loaded(user, module))
		return FALSE;
	info = module_get_symbol_quiet(
	    module, "push_notification_setting_parser_info");
	if (info == NULL ||
	    settings_get(user->event, info, 0, &set, &error) < 0)
		return FALSE;
	off = array_is_empty(&set->push_notifications);
	settings_free(set);
	return off;
}
#else
static inline bool compat_push_is_off(struct mail_user *user)
{
	struct module *module =
	    module_dir_find(mail_storage_service_modules, "push_notification");
	const char *driver =
	    mail_user_plugin_getenv(user, "push_notification_driver");

	return module != NULL && mail_user_is_plugin_loaded(user, module) &&
	       (driver == NULL || *driver == '\0');
}
#endif
#endif

#ifdef IMAP_CLIENT_H
/* The administrator has set the whole list of capabilities, so that ours cannot
   be added. */
static inline bool compat_capability_is_fixed(const struct client *client)
{
#ifdef XAPS_DOVECOT_2_4
	return settings_boollist_is_stopped(&client->set->imap_capability);
#else
	return *client->set->imap_capability != '\0' &&
	       *client->set->imap_capability != '+';
#endif
}
#endif

#ifdef IMAP_COMMANDS_UTIL_H
/* Decodes the name as the client sent it; NULL if it is invalid. */
static inline struct mail_namespace *compat_find_namespace(
    struct client_command_context *cmd, const char **name)
{
	const char *error;

#if XAPS_DOVECOT(2, 4, 3)
	return client_find_namespace_full(cmd, name, &error);
#else
	return client_find_namespace_full(cmd->client, name, &error);
#endif
}
#endif

#endif
