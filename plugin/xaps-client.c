/* xaps-client.c - the modules' HTTP client for xapsd. */

#include "lib.h"
#include "base64.h"
#include "http-client.h"
#include "http-url.h"
#include "ioloop.h"
#include "istream.h"
#include "llist.h"
#include "mail-user.h"
#include "str.h"
#include "unichar.h"
#include "compat.h"
#include "xaps-client.h"

#include <sys/stat.h>
#include <sys/un.h>

#ifndef XAPS_DEFAULT_SOCKET
#define XAPS_DEFAULT_SOCKET "/run/xapsd/xapsd.sock"
#endif
#define XAPS_DEFAULT_URL "http://localhost:11619"

#define XAPS_MAX_RETRIES 100
/* More than one, so that an answer which is late holds up nothing. */
#define XAPS_MAX_CONNECTIONS 4
/* Long enough for a run of deliveries, short since every imap process may hold
   a connection and xapsd takes 1024. */
#define XAPS_IDLE_MSECS 10000
/* Dovecot's own default would stay away for a minute after a restart. */
#define XAPS_BACKOFF_MSECS 10
#define XAPS_BACKOFF_MAX_MSECS 100

struct xaps_call {
	struct xaps_call *prev, *next;
	struct xaps_client *client;
	pool_t pool;
	struct event *event;
	const char *name;
	unsigned int timeout_msecs;

	struct http_client_request *req;
	struct istream *payload;
	struct io *io;
	struct timeout *to_deadline;
	struct timeout *to_done;
	string_t *body;

	struct xaps_answer answer;
	xaps_answer_callback_t *callback;
	void *context;
};

struct xaps_client {
	int refcount;
	struct http_client *http;
	struct ioloop *ioloop;
	struct xaps_call *calls;
	unsigned int calls_count;
	bool finishing;
};

/*
 * Settings
 */

static const char *xaps_lookup_user(struct mail_user *user, const char *field)
{
	const char *const *fields = user->userdb_fields;
	size_t len = strlen(field);

	/* No such field, or an empty one: this user is no alias. */
	if (len == 0 || fields == NULL)
		return user->username;
	for (; *fields != NULL; fields++) {
		if (strncmp(*fields, field, len) == 0 &&
		    (*fields)[len] == '=' && (*fields)[len + 1] != '\0')
			return *fields + len + 1;
	}
	return user->username;
}

static int xaps_settings_set_socket(struct xaps_settings *set, pool_t pool,
    const char *path, const char **error_r)
{
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
	set->socket_path = p_strdup(pool, path);
	set->name = p_strconcat(pool, "unix:", path, NULL);
	/* The host stands in the request only. */
	set->url = "http://localhost";
	return 0;
}

static int xaps_settings_set_url(struct xaps_settings *set, pool_t pool,
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
	set->url = p_strndup(pool, str, len);
	set->name = p_strdup(pool, http_url_create_host(url));
	return 0;
}

int xaps_settings_get(struct mail_user *user, pool_t pool,
    const struct xaps_settings **set_r, const char **error_r)
{
	struct xaps_settings *set = p_new(pool, struct xaps_settings, 1);
	struct compat_settings conf;
	struct stat st;
	int ret;

	if (compat_settings_get(user, pool, &conf, error_r) < 0)
		return -1;
	if (conf.timeout_msecs == 0) {
		*error_r = "xaps timeout must be more than 0";
		return -1;
	}
	if (conf.max_retries > XAPS_MAX_RETRIES) {
		*error_r = "xaps max_retries must be 100 at most";
		return -1;
	}
	if (*conf.url == '\0') {
		conf.url = stat(XAPS_DEFAULT_SOCKET, &st) == 0
			       ? "unix:" XAPS_DEFAULT_SOCKET
			       : XAPS_DEFAULT_URL;
	}
	if (strncmp(conf.url, "unix:", 5) == 0)
		ret =
		    xaps_settings_set_socket(set, pool, conf.url + 5, error_r);
	else
		ret = xaps_settings_set_url(set, pool, conf.url, error_r);
	if (ret < 0)
		return -1;
	set->username =
	    p_strdup(pool, xaps_lookup_user(user, conf.user_lookup));
	set->timeout_msecs = conf.timeout_msecs;
	set->max_attempts = conf.max_retries + 1;
	*set_r = set;
	return 0;
}

bool xaps_is_clean(const char *str)
{
	const unsigned char *p = (const unsigned char *)str;

	for (; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			return FALSE;
	}
	return uni_utf8_str_is_valid(str);
}

/*
 * Calls
 */

static void xaps_call_free(struct xaps_call *call)
{
	struct xaps_client *client = call->client;

	timeout_remove(&call->to_deadline);
	timeout_remove(&call->to_done);
	io_remove(&call->io);
	i_stream_unref(&call->payload);
	if (call->req != NULL)
		http_client_request_abort(&call->req);
	event_unref(&call->event);
	DLLIST_REMOVE(&client->calls, call);
	client->calls_count--;
	pool_unref(&call->pool);
	if (client->finishing && client->calls == NULL)
		io_loop_stop(current_ioloop);
}

static void xaps_call_done(struct xaps_call *call)
{
	xaps_answer_callback_t *callback = call->callback;
	struct xaps_answer answer = call->answer;
	void *context = call->context;

	T_BEGIN
	{
		answer.body = t_strdup(str_c(call->body));
		answer.error = t_strdup(answer.error);
		answer.event = call->event;
		event_ref(answer.event);
		xaps_call_free(call);
		callback(&answer, context);
		event_unref(&answer.event);
	}
	T_END;
}

/* Takes the call out of lib-http's hands; its owner learns it from the ioloop.
   An error of NULL is success. */
static void xaps_call_end(struct xaps_call *call, const char *error)
{
	if (call->to_done != NULL)
		return;
	call->answer.error = p_strdup(call->pool, error);
	timeout_remove(&call->to_deadline);
	io_remove(&call->io);
	i_stream_unref(&call->payload);
	if (call->req != NULL)
		http_client_request_abort(&call->req);
	call->to_done = timeout_add_short(0, xaps_call_done, call);
}

static void xaps_call_deadline(struct xaps_call *call)
{
	call->answer.broken = TRUE;
	if (call->payload == NULL)
		call->answer.status = HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT;
	xaps_call_end(call,
	    t_strdup_printf("xapsd at %s gave no whole answer in %u ms: is it "
			    "overloaded, or something else there?",
		call->name, call->timeout_msecs));
}

static void xaps_call_set_deadline(struct xaps_call *call)
{
	if (call->to_deadline == NULL) {
		call->to_deadline =
		    timeout_add(call->timeout_msecs, xaps_call_deadline, call);
	}
}

/* The body is complete: what does the answer mean? */
static void xaps_call_judge(struct xaps_call *call)
{
	const char *hint = "", *why;

	if (call->answer.status / 100 == 2) {
		xaps_call_end(call, NULL);
		return;
	}
	why = t_strcut(t_strcut(str_c(call->body), '\n'), '\r');
	if (call->answer.status == 401)
		hint = " (set user:password@ in the url)";
	if (*why == '\0' || !xaps_is_clean(why))
		why = "no reason given";
	xaps_call_end(call, t_strdup_printf("xapsd at %s answered %u: %s%s",
				call->name, call->answer.status, why, hint));
}

static void xaps_call_read(struct xaps_call *call)
{
	const unsigned char *data;
	size_t size;
	int ret;

	while ((ret = i_stream_read_more(call->payload, &data, &size)) > 0) {
		if (str_len(call->body) + size > XAPS_BODY_MAX) {
			/* Its rest is unread: this connection is useless. */
			call->answer.broken = TRUE;
			xaps_call_end(call,
			    t_strdup_printf("%s answered more than %u bytes: "
					    "is that xapsd?",
				call->name, XAPS_BODY_MAX));
			return;
		}
		str_append_data(call->body, data, size);
		i_stream_skip(call->payload, size);
	}
	if (ret == 0)
		return;
	if (memchr(str_data(call->body), '\0', str_len(call->body)) != NULL)
		xaps_call_end(call, t_strdup_printf("%s answered with a NUL: "
						    "is that xapsd?",
					call->name));
	else if (call->payload->stream_errno != 0)
		xaps_call_end(call, t_strdup_printf("xapsd at %s: answer "
						    "ended early",
					call->name));
	else
		xaps_call_judge(call);
}

static void xaps_call_internal_error(
    struct xaps_call *call, const struct http_response *response)
{
	switch (response->status) {
	case HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT:
		call->answer.broken = TRUE;
		xaps_call_end(call,
		    t_strdup_printf("xapsd at %s does not answer within %u ms: "
				    "does it hang?",
			call->name, call->timeout_msecs));
		break;
	case HTTP_CLIENT_REQUEST_ERROR_CONNECT_FAILED:
	case HTTP_CLIENT_REQUEST_ERROR_HOST_LOOKUP_FAILED:
		xaps_call_end(call,
		    t_strdup_printf("cannot reach xapsd at %s, is it running? "
				    "(%s)",
			call->name, response->reason));
		break;
	default:
		xaps_call_end(call, t_strdup_printf("xapsd at %s: %s",
					call->name, response->reason));
	}
}

static void xaps_call_response(
    const struct http_response *response, struct xaps_call *call)
{
	call->req = NULL;
	call->answer.status = response->status;
	if (http_response_is_internal_error(response)) {
		xaps_call_internal_error(call, response);
	} else if (response->payload == NULL) {
		xaps_call_judge(call);
	} else {
		call->payload = response->payload;
		i_stream_ref(call->payload);
		xaps_call_set_deadline(call);
		call->io = io_add_istream(call->payload, xaps_call_read, call);
		xaps_call_read(call);
	}
}

static void xaps_call_submit(struct xaps_call *call,
    const struct xaps_settings *set, const char *path, const char *json)
{
	struct http_client_request *req;

	req = http_client_request_url_str(call->client->http, "POST",
	    t_strconcat(set->url, path, NULL), xaps_call_response, call);
	if (set->socket_path != NULL)
		http_client_request_set_proxy_socket(req, set->socket_path);
	http_client_request_set_event(req, call->event);
	http_client_request_add_header(req, "Content-Type", "application/json");
	http_client_request_set_payload_data(
	    req, (const unsigned char *)json, strlen(json));
	http_client_request_set_attempt_timeout_msecs(req, set->timeout_msecs);
	http_client_request_set_max_attempts(req, set->max_attempts);
	call->req = req;
	http_client_request_submit(req);
}

void xaps_client_post(struct xaps_client *client,
    const struct xaps_settings *set, const char *path, const char *json,
    bool in_time, struct event *event, xaps_answer_callback_t *callback,
    void *context)
{
	struct ioloop *prev_ioloop = current_ioloop;
	struct xaps_call *call;
	pool_t pool;

	pool = pool_alloconly_create("xaps call", 512);
	call = p_new(pool, struct xaps_call, 1);
	call->pool = pool;
	call->client = client;
	call->name = p_strdup(pool, set->name);
	call->timeout_msecs = set->timeout_msecs;
	call->event = event_create(event);
	call->body = str_new(pool, 64);
	call->callback = callback;
	call->context = context;
	DLLIST_PREPEND(&client->calls, call);
	client->calls_count++;

	io_loop_set_current(client->ioloop);
	if (in_time)
		xaps_call_set_deadline(call);
	xaps_call_submit(call, set, path, json);
	io_loop_set_current(prev_ioloop);
}

/*
 * Client
 */

/* The resolver blocks; Dovecot's dns-client does not.  Where no name can be
   unknown it is not needed, nor where it is not running. */
static const char *xaps_dns_socket(
    struct mail_user *user, const struct xaps_settings *set)
{
	const char *path, *error;
	struct http_url *url;
	struct stat st;

	if (set->socket_path != NULL ||
	    http_url_parse(set->url, NULL, HTTP_URL_ALLOW_USERINFO_PART,
		pool_datastack_create(), &url, &error) < 0 ||
	    url->host.ip.family != 0 || url->host.name == NULL ||
	    strcasecmp(url->host.name, "localhost") == 0)
		return NULL;
	path = t_strconcat(compat_base_dir(user), "/dns-client", NULL);
	return stat(path, &st) == 0 ? path : NULL;
}

struct xaps_client *xaps_client_init(struct mail_user *user,
    const struct xaps_settings *set, struct ioloop *ioloop,
    const char **error_r)
{
	const struct compat_http http = {
		.timeout_msecs = set->timeout_msecs,
		.max_parallel_connections = XAPS_MAX_CONNECTIONS,
		.max_idle_time_msecs = XAPS_IDLE_MSECS,
		.backoff_time_msecs = XAPS_BACKOFF_MSECS,
		.backoff_max_time_msecs = XAPS_BACKOFF_MAX_MSECS,
		.dns_client_socket_path = xaps_dns_socket(user, set),
	};
	struct ioloop *prev_ioloop = current_ioloop;
	struct xaps_client *client;
	struct http_client *http_client;

	io_loop_set_current(ioloop);
	http_client = compat_http_client_init(user, &http, error_r);
	io_loop_set_current(prev_ioloop);
	if (http_client == NULL)
		return NULL;
	client = i_new(struct xaps_client, 1);
	client->refcount = 1;
	client->http = http_client;
	client->ioloop = ioloop;
	return client;
}

static void xaps_client_unref(struct xaps_client *client)
{
	if (--client->refcount == 0)
		i_free(client);
}

void xaps_client_deinit(struct xaps_client **_client)
{
	struct xaps_client *client = *_client;
	struct xaps_call *call, *next;

	if (client == NULL)
		return;
	*_client = NULL;
	for (call = client->calls; call != NULL; call = next) {
		next = call->next;
		xaps_call_free(call);
	}
	http_client_deinit(&client->http);
	xaps_client_unref(client);
}

static void xaps_client_expire(struct ioloop *ioloop)
{
	io_loop_stop(ioloop);
}

static void xaps_client_switch_ioloop(struct xaps_client *client)
{
	struct xaps_call *call;

	client->ioloop = current_ioloop;
	(void)http_client_switch_ioloop(client->http);
	for (call = client->calls; call != NULL; call = call->next) {
		if (call->io != NULL)
			call->io = io_loop_move_io(&call->io);
		if (call->to_deadline != NULL) {
			call->to_deadline =
			    io_loop_move_timeout(&call->to_deadline);
		}
		if (call->to_done != NULL)
			call->to_done = io_loop_move_timeout(&call->to_done);
	}
}

unsigned int xaps_client_finish(
    struct xaps_client **_client, unsigned int msecs)
{
	struct xaps_client *client = *_client;
	struct timeout *to;
	struct ioloop *ioloop;
	unsigned int lost;

	if (client == NULL)
		return 0;
	client->refcount++;
	ioloop = io_loop_create();
	xaps_client_switch_ioloop(client);
	to = timeout_add(msecs, xaps_client_expire, ioloop);
	client->finishing = TRUE;
	if (client->calls != NULL)
		io_loop_run(ioloop);
	client->finishing = FALSE;
	timeout_remove(&to);
	lost = client->calls_count;
	/* A callback may have done it already, seeing that it is broken. */
	if (client->http != NULL)
		xaps_client_deinit(_client);
	xaps_client_unref(client);
	io_loop_destroy(&ioloop);
	return lost;
}

unsigned int xaps_client_pending(const struct xaps_client *client)
{
	return client->calls_count;
}
