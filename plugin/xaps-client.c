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
#include "time-util.h"
#include "unichar.h"
#include "compat.h"
#include "xaps-client.h"
#include "xaps-unix.h"

#include <sys/stat.h>
#include <sys/un.h>

#ifndef XAPS_DEFAULT_SOCKET
#define XAPS_DEFAULT_SOCKET "/run/xapsd/xapsd.sock"
#endif
#define XAPS_DEFAULT_URL "http://localhost:11619"

#define XAPS_MAX_RETRIES 100
/* In flight at once; the others wait.  More than one, so that an answer which
   is late holds up nothing. */
#define XAPS_MAX_CONNECTIONS 4
/* Long enough for a run of deliveries, short since every imap process may hold
   a connection and xapsd takes 1024. */
#define XAPS_IDLE_MSECS 10000
/* Before another attempt: a daemon that restarts is back by then. */
#define XAPS_RETRY_MSECS 100

/* A request, from its submission until its answer has been handed over.

   Each has a connection to itself, so that nothing that goes wrong with one can
   harm the next: a connection that hangs, a body without end, a pause after a
   failure.  Over TCP an http_client whose call ended well is used again, with
   its connection. */
struct xaps_call {
	struct xaps_call *prev, *next;
	struct xaps_client *client;
	pool_t pool;
	struct event *event;
	const char *name, *json;
	const char *socket_path, *path; /* one way to the daemon */
	const char *url;		/* the other */
	struct timeval posted;
	unsigned int timeout_msecs, attempts_left;
	bool ssl, active;
	bool reusable; /* the connection: its answer is read to the end */

	struct xaps_unix *un;
	struct http_client *http;
	bool http_reused;
	struct http_client_request *req;
	struct istream *payload;
	struct io *io;
	struct timeout *to_deadline;
	struct timeout *to_next; /* retry, or hand over the answer */
	string_t *body;
	bool done;

	struct xaps_answer answer;
	xaps_answer_callback_t *callback;
	void *context;
};

struct xaps_client {
	int refcount;
	struct ioloop *ioloop;
	struct compat_http http;
	struct xaps_call *active, *active_tail;
	struct xaps_call *queue, *queue_tail;
	unsigned int active_count, calls_count;
	struct http_client *idle[XAPS_MAX_CONNECTIONS];
	unsigned int idle_count;
	bool finishing, deinitialized;
};

/*
 * Settings
 */

const char *xaps_lookup_user(struct mail_user *user, const char *field)
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
	set->ssl = url->have_ssl;
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
	set->user_lookup = conf.user_lookup;
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

static void xaps_client_start_queued(struct xaps_client *client);
static void xaps_client_unref(struct xaps_client *client);

static void xaps_call_drop_request(struct xaps_call *call)
{
	io_remove(&call->io);
	i_stream_unref(&call->payload);
	if (call->req != NULL)
		http_client_request_abort(&call->req);
	xaps_unix_free(&call->un);
}

static void xaps_call_free(struct xaps_call *call)
{
	struct xaps_client *client = call->client;

	timeout_remove(&call->to_deadline);
	timeout_remove(&call->to_next);
	xaps_call_drop_request(call);
	if (call->http != NULL)
		http_client_deinit(&call->http);
	event_unref(&call->event);
	if (call->active) {
		DLLIST2_REMOVE(&client->active, &client->active_tail, call);
		client->active_count--;
	} else {
		DLLIST2_REMOVE(&client->queue, &client->queue_tail, call);
	}
	client->calls_count--;
	pool_unref(&call->pool);
}

/* The call is over; its owner may drop the client. */
static void xaps_call_hand_over(struct xaps_call *call)
{
	struct xaps_client *client = call->client;
	xaps_answer_callback_t *callback = call->callback;
	struct xaps_answer answer = call->answer;
	void *context = call->context;

	answer.body = t_strdup(str_c(call->body));
	answer.error = t_strdup(answer.error);
	answer.event = call->event;
	event_ref(answer.event);
	if (call->reusable && call->http != NULL &&
	    client->idle_count < N_ELEMENTS(client->idle)) {
		client->idle[client->idle_count++] = call->http;
		call->http = NULL;
	}
	xaps_call_free(call);

	client->refcount++;
	callback(&answer, context);
	event_unref(&answer.event);
	if (!client->deinitialized)
		xaps_client_start_queued(client);
	if (client->finishing && client->calls_count == 0)
		io_loop_stop(current_ioloop);
	xaps_client_unref(client);
}

static void xaps_call_done(struct xaps_call *call)
{
	T_BEGIN
	{
		xaps_call_hand_over(call);
	}
	T_END;
}

/* Takes the call out of lib-http's hands; its owner learns it from the ioloop.
   An error of NULL is success. */
static void xaps_call_end(struct xaps_call *call, const char *error)
{
	if (call->done)
		return;
	call->done = TRUE;
	call->answer.error = p_strdup(call->pool, error);
	timeout_remove(&call->to_deadline);
	timeout_remove(&call->to_next);
	xaps_call_drop_request(call);
	call->to_next = timeout_add_short(0, xaps_call_done, call);
}

static void xaps_call_timed_out(struct xaps_call *call)
{
	call->answer.hangs = TRUE;
	call->answer.status = HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT;
	xaps_call_end(call,
	    t_strdup_printf("xapsd at %s gave no %sanswer within %u ms: does "
			    "it hang?",
		call->name, call->payload != NULL ? "whole " : "",
		call->timeout_msecs));
}

static void xaps_call_set_deadline(struct xaps_call *call)
{
	if (call->to_deadline == NULL) {
		call->to_deadline =
		    timeout_add(call->timeout_msecs, xaps_call_timed_out, call);
	}
}

/* The body is complete: what does the answer mean? */
static void xaps_call_judge(struct xaps_call *call)
{
	const char *hint = "", *why;

	call->reusable = TRUE;
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

static void xaps_call_bad_body(struct xaps_call *call, const char *what)
{
	call->answer.status = HTTP_CLIENT_REQUEST_ERROR_BAD_RESPONSE;
	xaps_call_end(
	    call, t_strdup_printf("xapsd at %s answered %s: is that xapsd?",
		      call->name, what));
}

static void xaps_call_read(struct xaps_call *call)
{
	const unsigned char *data;
	size_t size;
	int ret;

	while ((ret = i_stream_read_more(call->payload, &data, &size)) > 0) {
		if (str_len(call->body) + size > XAPS_BODY_MAX) {
			xaps_call_bad_body(call, "with too much");
			return;
		}
		str_append_data(call->body, data, size);
		i_stream_skip(call->payload, size);
	}
	if (ret == 0)
		return;
	if (call->payload->stream_errno != 0)
		xaps_call_bad_body(call, "half");
	else if (strlen(str_c(call->body)) != str_len(call->body))
		xaps_call_bad_body(call, "with a NUL");
	else
		xaps_call_judge(call);
}

static void xaps_call_submit(struct xaps_call *call);

static void xaps_call_retry(struct xaps_call *call)
{
	timeout_remove(&call->to_next);
	xaps_call_drop_request(call);
	if (call->http != NULL)
		http_client_deinit(&call->http);
	xaps_call_submit(call);
}

static bool xaps_call_may_retry(struct xaps_call *call, unsigned int status)
{
	if (status != HTTP_CLIENT_REQUEST_ERROR_CONNECT_FAILED &&
	    status != HTTP_CLIENT_REQUEST_ERROR_CONNECTION_LOST)
		return FALSE;
	/* A kept connection that the daemon has closed is no failure. */
	if (call->http_reused)
		return TRUE;
	if (call->attempts_left == 0)
		return FALSE;
	call->attempts_left--;
	return TRUE;
}

static void xaps_call_failed(
    struct xaps_call *call, unsigned int status, const char *reason)
{
	if (xaps_call_may_retry(call, status)) {
		call->to_next =
		    timeout_add(call->http_reused ? 0 : XAPS_RETRY_MSECS,
			xaps_call_retry, call);
		return;
	}
	switch (status) {
	case HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT:
		xaps_call_timed_out(call);
		break;
	case HTTP_CLIENT_REQUEST_ERROR_CONNECT_FAILED:
	case HTTP_CLIENT_REQUEST_ERROR_HOST_LOOKUP_FAILED:
		xaps_call_end(call,
		    t_strdup_printf("cannot reach xapsd at %s, is it running? "
				    "(%s)",
			call->name, reason));
		break;
	default:
		xaps_call_end(call,
		    t_strdup_printf("xapsd at %s: %s", call->name, reason));
	}
}

static void xaps_call_response(
    const struct http_response *response, void *context)
{
	struct xaps_call *call = context;

	call->req = NULL;
	call->answer.status = response->status;
	if (http_response_is_internal_error(response)) {
		xaps_call_failed(call, response->status, response->reason);
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

static void xaps_call_submit_http(struct xaps_call *call)
{
	struct xaps_client *client = call->client;
	struct http_client_request *req;

	call->http_reused = client->idle_count > 0;
	call->http = call->http_reused
			 ? client->idle[--client->idle_count]
			 : compat_http_client_init(&client->http, call->ssl);
	req = http_client_request_url_str(
	    call->http, "POST", call->url, xaps_call_response, (void *)call);
	http_client_request_set_event(req, call->event);
	http_client_request_add_header(req, "Content-Type", "application/json");
	http_client_request_set_payload_data(
	    req, (const unsigned char *)call->json, strlen(call->json));
	http_client_request_set_attempt_timeout_msecs(req, call->timeout_msecs);
	call->req = req;
	http_client_request_submit(req);
}

static void xaps_call_submit(struct xaps_call *call)
{
	if (call->socket_path != NULL) {
		call->un = xaps_unix_post(call->socket_path, call->path,
		    call->json, call->timeout_msecs, xaps_call_response, call);
	} else {
		xaps_call_submit_http(call);
	}
}

static void xaps_client_start_queued(struct xaps_client *client)
{
	struct xaps_call *call;

	while (client->queue != NULL &&
	       client->active_count < XAPS_MAX_CONNECTIONS) {
		call = client->queue;
		DLLIST2_REMOVE(&client->queue, &client->queue_tail, call);
		DLLIST2_APPEND(&client->active, &client->active_tail, call);
		client->active_count++;
		call->active = TRUE;
		xaps_call_submit(call);
	}
}

void xaps_client_post(struct xaps_client *client,
    const struct xaps_settings *set, const char *path, const char *json,
    bool in_time, struct event *event, xaps_answer_callback_t *callback,
    void *context)
{
	struct ioloop *prev_ioloop = current_ioloop;
	struct xaps_call *call;
	pool_t pool;

	pool = pool_alloconly_create("xaps call", 1024);
	call = p_new(pool, struct xaps_call, 1);
	call->pool = pool;
	call->client = client;
	call->name = p_strdup(pool, set->name);
	call->socket_path = p_strdup(pool, set->socket_path);
	call->path = p_strdup(pool, path);
	if (set->socket_path == NULL)
		call->url = p_strconcat(pool, set->url, path, NULL);
	call->json = p_strdup(pool, json);
	call->ssl = set->ssl;
	call->timeout_msecs = set->timeout_msecs;
	call->attempts_left = set->max_attempts - 1;
	call->posted = ioloop_timeval;
	call->event = event_create(event);
	call->body = str_new(pool, 64);
	call->callback = callback;
	call->context = context;
	DLLIST2_APPEND(&client->queue, &client->queue_tail, call);
	client->calls_count++;

	io_loop_set_current(client->ioloop);
	if (in_time)
		xaps_call_set_deadline(call);
	xaps_client_start_queued(client);
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
	struct xaps_client *client;
	struct compat_http http;

	i_zero(&http);
	http.pool = pool_alloconly_create("xaps client", 1024);
	if (compat_http_init_ssl(&http, user, error_r) < 0) {
		pool_unref(&http.pool);
		return NULL;
	}
	http.timeout_msecs = set->timeout_msecs;
	http.max_idle_time_msecs = XAPS_IDLE_MSECS;
	http.dns_client_socket_path =
	    p_strdup(http.pool, xaps_dns_socket(user, set));
	http.debug = event_want_debug(user->event);

	client = i_new(struct xaps_client, 1);
	client->refcount = 1;
	client->http = http;
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

	if (client == NULL)
		return;
	*_client = NULL;
	client->deinitialized = TRUE;
	while (client->queue != NULL)
		xaps_call_free(client->queue);
	while (client->active != NULL)
		xaps_call_free(client->active);
	while (client->idle_count > 0)
		http_client_deinit(&client->idle[--client->idle_count]);
	compat_http_deinit_ssl(&client->http);
	pool_unref(&client->http.pool);
	xaps_client_unref(client);
}

static void xaps_client_expire(struct ioloop *ioloop)
{
	io_loop_stop(ioloop);
}

static void xaps_call_switch_ioloop(struct xaps_call *call)
{
	if (call->un != NULL)
		xaps_unix_switch_ioloop(call->un);
	if (call->http != NULL)
		(void)http_client_switch_ioloop(call->http);
	if (call->io != NULL)
		call->io = io_loop_move_io(&call->io);
	if (call->to_deadline != NULL)
		call->to_deadline = io_loop_move_timeout(&call->to_deadline);
	if (call->to_next != NULL)
		call->to_next = io_loop_move_timeout(&call->to_next);
}

unsigned int xaps_client_finish(
    struct xaps_client **_client, unsigned int msecs)
{
	struct xaps_client *client = *_client;
	struct xaps_call *call;
	struct timeout *to;
	struct ioloop *ioloop;
	unsigned int lost;

	if (client == NULL)
		return 0;
	client->refcount++;
	while (client->idle_count > 0)
		http_client_deinit(&client->idle[--client->idle_count]);
	ioloop = io_loop_create();
	client->ioloop = ioloop;
	for (call = client->active; call != NULL; call = call->next)
		xaps_call_switch_ioloop(call);
	to = timeout_add(msecs, xaps_client_expire, ioloop);
	client->finishing = TRUE;
	if (client->calls_count > 0)
		io_loop_run(ioloop);
	timeout_remove(&to);
	lost = client->calls_count;
	/* A callback may have done it already, seeing that the daemon hangs. */
	if (!client->deinitialized)
		xaps_client_deinit(_client);
	xaps_client_unref(client);
	io_loop_destroy(&ioloop);
	return lost;
}

unsigned int xaps_client_drop_stale(struct xaps_client *client)
{
	struct xaps_call *call, *next;
	unsigned int count = 0;

	for (call = client->queue; call != NULL; call = next) {
		next = call->next;
		if (timeval_diff_msecs(&ioloop_timeval, &call->posted) <
		    (long long)call->timeout_msecs)
			continue;
		xaps_call_free(call);
		count++;
	}
	return count;
}

unsigned int xaps_client_pending(const struct xaps_client *client)
{
	return client->calls_count;
}
