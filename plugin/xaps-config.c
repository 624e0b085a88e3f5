/* xaps-config.c - the user's settings, read and checked. */

#include "lib.h"
#include "crc32.h"
#include "http-url.h"
#include "mail-user.h"
#include "restrict-access.h"
#include "compat.h"
#include "xaps-client.h"
#include "xaps-health.h"
#include "xaps-log.h"

#include <sys/un.h>

#ifndef XAPS_DEFAULT_SOCKET
#define XAPS_DEFAULT_SOCKET "/run/xapsd/xapsd.sock"
#endif

/* Each has its part of the timeout, which must be enough for an answer; the
   bits of an unsigned int would do for 32. */
#define XAPS_TARGETS_MAX 8
/* Rejects a mistake in the unit, such as 10000 seconds. */
#define XAPS_TIMEOUT_MAX_MSECS (10 * 60 * 1000)

/* A userdb field or else (2.3) a plugin { } setting; NULL if it is missing or
   empty. */
static const char *xaps_user_field(struct mail_user *user, const char *name)
{
	const char *const *fields = user->userdb_fields, *value;
	size_t len = strlen(name);

	if (len == 0)
		return NULL;
	for (; fields != NULL && *fields != NULL; fields++) {
		if (strncmp(*fields, name, len) == 0 && (*fields)[len] == '=' &&
		    (*fields)[len + 1] != '\0')
			return *fields + len + 1;
	}
	value = compat_plugin_setting(user, name);
	return value == NULL || *value == '\0' ? NULL : value;
}

const char *xaps_lookup_user(struct mail_user *user, const char *field)
{
	const char *name = xaps_user_field(user, field);

	/* No such field, or an empty one: this user is no alias. */
	return name == NULL ? user->username : name;
}

static int xaps_target_set_socket(struct xaps_target *target, pool_t pool,
    const char *path, const char **error_r)
{
	const char *chroot = restrict_access_get_current_chroot();
	struct sockaddr_un sa;

	if (*path != '/') {
		*error_r = t_strdup_printf("xaps url 'unix:%s': the path of "
					   "the socket must begin with /",
		    path);
		return -1;
	}
	if (strlen(path) >= sizeof(sa.sun_path)) {
		*error_r = "xaps url: the path of the socket is too long";
		return -1;
	}
	target->socket_path = p_strdup(pool, path);
	target->name = p_strconcat(pool, "unix:", path,
	    chroot == NULL ? NULL : " inside the chroot ", chroot, NULL);
	return 0;
}

static int xaps_target_set_url(struct xaps_target *target, pool_t pool,
    const char *str, const char **error_r)
{
	struct http_url *url;
	const char *error;
	size_t len = strlen(str);

	if (http_url_parse(str, NULL, HTTP_URL_ALLOW_USERINFO_PART,
		pool_datastack_create(), &url, &error) < 0) {
		/* The url itself is not shown: it may hold a password. */
		*error_r = t_strdup_printf("xaps url is not valid: %s (wanted "
					   "is unix:/path, http://host:port or "
					   "https://user:password@host:port)",
		    error);
		return -1;
	}
	if (url->enc_query != NULL) {
		*error_r = "xaps url: a query is not possible";
		return -1;
	}
	while (len > 0 && str[len - 1] == '/')
		len--;
	target->url = p_strndup(pool, str, len);
	target->name = p_strdup(pool, http_url_create_host(url));
	target->ssl = url->have_ssl;
	return 0;
}

static bool xaps_has_scheme(const char *str)
{
	return strncmp(str, "unix:", 5) == 0 ||
	       strncasecmp(str, "http://", 7) == 0 ||
	       strncasecmp(str, "https://", 8) == 0;
}

/* Whether a comma, which `after` follows, separates two urls rather than being
   part of a password. */
static bool xaps_comma_separates(const char *after)
{
	const char *at = strpbrk(after, "@ \t");
	const char *scheme = strstr(after, "://");

	return xaps_has_scheme(after) || at == NULL || *at != '@' ||
	       (scheme != NULL && scheme < at);
}

static const char *xaps_next_url(const char **str)
{
	const char *p, *start = *str;

	start += strspn(start, ", \t");
	for (p = start; *p != '\0' && *p != ' ' && *p != '\t'; p++) {
		if (*p == ',' && xaps_comma_separates(p + 1))
			break;
	}
	*str = p;
	return t_strdup_until(start, p);
}

static int xaps_target_set(struct xaps_target *target, pool_t pool,
    const char *url, const char **error_r)
{
	target->address = crc32_str(url);
	if (strncmp(url, "unix:", 5) == 0)
		return xaps_target_set_socket(target, pool, url + 5, error_r);
	return xaps_target_set_url(target, pool, url, error_r);
}

/* The slot in which the target's health is kept: no two of a list share one. */
static unsigned int xaps_settings_slot(
    const struct xaps_settings *set, unsigned int slot)
{
	unsigned int i;

	for (i = 0; i < set->targets_count; i++) {
		if (set->targets[i].slot != slot)
			continue;
		slot = (slot + 1) % XAPS_HEALTH_SLOTS;
		i = UINT_MAX; /* from the start */
	}
	return slot;
}

/* A broken url is left out if there are others. */
static int xaps_settings_set_targets(struct xaps_settings *set, pool_t pool,
    const char *urls, const char **error_r)
{
	struct xaps_target *targets, *target;
	const char *url, *error = NULL;

	targets = p_new(pool, struct xaps_target, XAPS_TARGETS_MAX);
	set->targets = targets;
	while (*(url = xaps_next_url(&urls)) != '\0') {
		if (set->targets_count == XAPS_TARGETS_MAX) {
			error = "xaps url: too many, 8 are possible";
			break;
		}
		target = &targets[set->targets_count];
		if (xaps_target_set(target, pool, url, &error) < 0)
			continue;
		target->slot = xaps_settings_slot(
		    set, target->address % XAPS_HEALTH_SLOTS);
		set->targets_count++;
	}
	*error_r = error;
	return error == NULL ? 0 : -1;
}

static int xaps_settings_set_urls(struct xaps_settings *set,
    struct mail_user *user, pool_t pool, const char *urls, const char **error_r)
{
	/* No TCP port by default: while the daemon is away, another user of the
	   machine could listen there. */
	if (strspn(urls, ", \t") == strlen(urls))
		urls = "unix:" XAPS_DEFAULT_SOCKET;
	if (xaps_settings_set_targets(set, pool, urls, error_r) == 0)
		return 0;
	if (set->targets_count == 0)
		return -1;
	if (xaps_log_is_due(XAPS_LOG_URL))
		e_error(user->event, "xaps: %s; %u other%s used instead",
		    *error_r, set->targets_count,
		    set->targets_count == 1 ? " is" : "s are");
	return 0;
}

static int xaps_settings_check(
    const struct compat_settings *conf, const char **error_r)
{
	if (conf->timeout_msecs == 0) {
		*error_r = "xaps timeout must be more than 0";
		return -1;
	}
	if (conf->timeout_msecs > XAPS_TIMEOUT_MAX_MSECS ||
	    conf->register_timeout_msecs > XAPS_TIMEOUT_MAX_MSECS) {
		*error_r = "xaps timeout and register timeout must be 10 "
			   "minutes at most";
		return -1;
	}
	return 0;
}

/* The userdb's xaps=no or xaps=inbox. */
static int xaps_settings_set_scope(
    struct xaps_settings *set, struct mail_user *user, const char **error_r)
{
	const char *scope = xaps_user_field(user, "xaps");

	if (scope == NULL || strcasecmp(scope, "yes") == 0)
		return 0;
	set->off = strcasecmp(scope, "no") == 0;
	set->inbox_only = strcasecmp(scope, "inbox") == 0;
	if (set->off || set->inbox_only)
		return 0;
	*error_r = t_strdup_printf(
	    "userdb field xaps must be yes, no or inbox, not '%s'", scope);
	return -1;
}

int xaps_settings_get(struct mail_user *user, pool_t pool,
    const struct xaps_settings **set_r, const char **error_r)
{
	struct xaps_settings *set = p_new(pool, struct xaps_settings, 1);
	struct compat_settings conf;

	xaps_log_init(user);
	xaps_health_init(user);
	if (xaps_settings_set_scope(set, user, error_r) < 0)
		return -1;
	*set_r = set;
	if (set->off)
		return 0;
	if (compat_settings_get(user, pool, &conf, error_r) < 0 ||
	    xaps_settings_check(&conf, error_r) < 0 ||
	    xaps_settings_set_urls(set, user, pool, conf.url, error_r) < 0)
		return -1;
	set->username =
	    p_strdup(pool, xaps_lookup_user(user, conf.user_lookup));
	set->user_lookup = conf.user_lookup;
	set->timeout_msecs = conf.timeout_msecs;
	set->register_timeout_msecs = conf.register_timeout_msecs;
	set->visits = conf.visits;
	set->webpush = conf.webpush;
	set->deltachat = conf.deltachat;
	return 0;
}
