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
#include "xaps-health.h"
#include "xaps-log.h"
#include "xaps-unix.h"

#include <unistd.h>

/* In flight at once; the others wait.  More than one, so that a late answer
   does not block the rest. */
#define XAPS_MAX_CONNECTIONS 4
/* At the end of a process there is no time to queue. */
#define XAPS_MAX_CONNECTIONS_FINISHING 64
/* Long enough for a series of deliveries, but short: every imap process may
   hold a connection, and xapsd takes 1024. */
#define XAPS_IDLE_MSECS 10000
/* Between attempts at the end of a process. */
#define XAPS_FINISH_PAUSE_MSECS 100
/* A call that has waited for this long also stands for later, equal ones. */
#define XAPS_MERGE_MSECS 1000
/* A daemon that is away for longer is not just restarting: log it. */
#define XAPS_REPORT_AWAY_MSECS 5000

/* A call is in the list of its state. */
enum xaps_call_state {
	XAPS_CALL_QUEUED, /* may be submitted */
	XAPS_CALL_ACTIVE, /* until its answer is delivered */
	XAPS_CALL_PAUSED, /* to_next is when it is queued again */
	XAPS_CALL_STATES
};

/* What has become of an attempt. */
enum xaps_failure {
	XAPS_REFUSED, /* by the daemon: no other one would take the request */
	XAPS_BROKEN,  /* somebody must mend this target; others may do */
	XAPS_AWAY     /* as broken, but it may come back by itself */
};

/* A request, from its submission until its answer is delivered.

   Each attempt has a connection of its own, so that a connection that hangs or
   a body that never ends cannot harm the next one.  Over TCP an http_client
   whose call succeeded is used again, with its connection. */
struct xaps_call {
	struct xaps_call *prev, *next;
	struct xaps_client *client;
	pool_t pool;
	struct event *event;
	const char *event_name, *path, *json;
	const struct xaps_target *targets, *target;
	char **errors; /* the last one of each target */
	unsigned int targets_count;
	unsigned int tried, tried_count; /* targets in this round, as bits */
	bool away; /* some of these are, so there may be another round */
	bool broken;
	struct timeval posted, round_began;
	unsigned int timeout_msecs, patience_msecs;
	unsigned int pause_msecs, pause_min_msecs, pause_max_msecs;
	enum xaps_call_state state;
	bool mergeable, wants_topic, takes_403;
	size_t body_max;
	bool taken;    /* by the daemon, though its answer is not complete */
	bool reusable; /* the connection: its answer is read to the end */

	struct xaps_unix *un;
	struct http_client *http;
	bool http_reused;
	struct http_client_request *req;
	struct istream *payload;
	struct io *io;
	struct timeout *to_deadline; /* of the call */
	struct timeout *to_attempt;  /* its end */
	struct timeout *to_next;     /* next attempt, or delivery of the
				        answer */
	string_t *body;
	unsigned int attempt_msecs;
	unsigned int last_status; /* of the last attempt that failed */
	bool reported, done;

	struct xaps_answer answer;
	xaps_answer_callback_t *callback;
	void *context;
};

struct xaps_calls {
	struct xaps_call *head, *tail;
	unsigned int count;
};

struct xaps_client {
	int refcount;
	struct ioloop *ioloop;
	struct compat_http http;
	struct xaps_calls calls[XAPS_CALL_STATES];
	struct {
		struct http_client *http;
		unsigned int address;
	} idle[XAPS_MAX_CONNECTIONS];
	unsigned int idle_count;
	bool finishing, stopped, deinitialized;
};

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
static void xaps_call_submit(struct xaps_call *call);

static void xaps_call_remove(struct xaps_call *call)
{
	struct xaps_calls *calls = &call->client->calls[call->state];

	DLLIST2_REMOVE(&calls->head, &calls->tail, call);
	calls->count--;
}

static void xaps_call_add(struct xaps_call *call, enum xaps_call_state state)
{
	struct xaps_calls *calls = &call->client->calls[state];

	DLLIST2_APPEND(&calls->head, &calls->tail, call);
	calls->count++;
	call->state = state;
}

static void xaps_call_set_state(
    struct xaps_call *call, enum xaps_call_state state)
{
	xaps_call_remove(call);
	xaps_call_add(call, state);
}

/* Frees everything that belongs to the current attempt. */
static void xaps_call_drop_request(struct xaps_call *call)
{
	timeout_remove(&call->to_attempt);
	io_remove(&call->io);
	i_stream_unref(&call->payload);
	if (call->req != NULL)
		http_client_request_abort(&call->req);
	xaps_unix_free(&call->un);
}

static void xaps_call_free(struct xaps_call *call)
{
	unsigned int i;

	timeout_remove(&call->to_deadline);
	timeout_remove(&call->to_next);
	xaps_call_drop_request(call);
	if (call->http != NULL)
		http_client_deinit(&call->http);
	event_unref(&call->event);
	xaps_call_remove(call);
	for (i = 0; i < call->targets_count; i++)
		i_free(call->errors[i]);
	pool_unref(&call->pool);
}

static unsigned int xaps_msecs_since(const struct timeval *since)
{
	long long msecs = timeval_diff_msecs(&ioloop_timeval, since);

	return msecs < 0 ? 0 : (unsigned int)msecs;
}

/* Queues it again, for a new round over all targets. */
static void xaps_call_queue(struct xaps_call *call)
{
	call->tried = call->tried_count = 0;
	call->away = call->broken = FALSE;
	xaps_call_set_state(call, XAPS_CALL_QUEUED);
}

/* The next target of this round: of those that have not just failed the first,
   else the first. */
static const struct xaps_target *xaps_call_next_target(
    const struct xaps_call *call)
{
	unsigned int i, first = UINT_MAX;

	for (i = 0; i < call->targets_count; i++) {
		if ((call->tried & 1U << i) != 0)
			continue;
		if (call->targets_count == 1 ||
		    xaps_health_may_try(call->targets[i].slot))
			return &call->targets[i];
		first = I_MIN(first, i);
	}
	return &call->targets[first];
}

/* All targets of a round share the time that one has: none waits for longer
   because there are several. */
static unsigned int xaps_call_share_msecs(const struct xaps_call *call)
{
	unsigned int spent = xaps_msecs_since(&call->round_began);
	unsigned int left = call->targets_count - call->tried_count;
	unsigned int least = call->timeout_msecs / call->targets_count;

	spent = I_MIN(spent, call->timeout_msecs);
	return I_MAX(I_MAX((call->timeout_msecs - spent) / left, least), 1);
}

/* What each target has failed with. */
static const char *xaps_call_errors(const struct xaps_call *call)
{
	string_t *str = NULL;
	unsigned int i;

	for (i = 0; i < call->targets_count; i++) {
		if (call->errors[i] == NULL)
			continue;
		if (str == NULL)
			str = t_str_new(256);
		else
			str_append(str, "; ");
		str_append(str, call->errors[i]);
	}
	return str == NULL ? NULL : str_c(str);
}

static void xaps_call_finish_event(const struct xaps_call *call)
{
	event_set_name(call->event, call->event_name);
	event_add_int(call->event, "status", call->answer.status);
	event_add_int(call->event, "duration",
	    timeval_diff_usecs(&ioloop_timeval, &call->posted));
	if (call->answer.error != NULL)
		event_add_str(call->event, "error", call->answer.error);
}

static bool xaps_call_has_target(const struct xaps_call *call, const char *name)
{
	unsigned int i;

	for (i = 0; i < call->targets_count; i++) {
		if (strcmp(call->targets[i].name, name) == 0)
			return TRUE;
	}
	return FALSE;
}

/* The daemon answers again: calls that pause are tried at once. */
static void xaps_client_resume_paused(
    struct xaps_client *client, const char *target)
{
	struct xaps_call *call, *next;

	for (call = client->calls[XAPS_CALL_PAUSED].head; call != NULL;
	     call = next) {
		next = call->next;
		if (!xaps_call_has_target(call, target))
			continue;
		call->pause_msecs = call->pause_min_msecs;
		timeout_remove(&call->to_next);
		xaps_call_queue(call);
	}
}

/* Ends the call; its owner may deinit the client in the callback. */
static void xaps_call_deliver(struct xaps_call *call)
{
	struct xaps_client *client = call->client;
	xaps_answer_callback_t *callback = call->callback;
	struct xaps_answer answer = call->answer;
	void *context = call->context;

	xaps_call_finish_event(call);
	answer.body = t_strdup(str_c(call->body));
	answer.error = t_strdup(answer.error);
	answer.name = t_strdup(call->target->name);
	answer.event = call->event;
	event_ref(answer.event);
	if (call->reusable && call->http != NULL && !client->stopped &&
	    client->idle_count < N_ELEMENTS(client->idle)) {
		client->idle[client->idle_count].http = call->http;
		client->idle[client->idle_count++].address =
		    call->target->address;
		call->http = NULL;
	}
	xaps_call_free(call);

	client->refcount++;
	callback(&answer, context);
	event_unref(&answer.event);
	if (!client->deinitialized) {
		if (answer.error == NULL)
			xaps_client_resume_paused(client, answer.name);
		xaps_client_start_queued(client);
	}
	if (client->finishing && !client->stopped &&
	    xaps_client_pending(client) == 0)
		io_loop_stop(current_ioloop);
	xaps_client_unref(client);
}

static void xaps_call_done(struct xaps_call *call)
{
	T_BEGIN
	{
		xaps_call_deliver(call);
	}
	T_END;
}

/* Ends the request; the owner is called from the ioloop.  error is NULL on
   success. */
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

/* One target has answered; of those that did not nobody else would hear. */
static void xaps_call_log_failed(struct xaps_call *call)
{
	const char *errors = xaps_call_errors(call);
	const char *name = call->target->name;

	if (errors == NULL)
		return;
	if (!xaps_log_is_due(call->broken ? XAPS_LOG_BROKEN : XAPS_LOG_AWAY))
		e_debug(call->event, "xaps: %s; %s answers", errors, name);
	else if (call->broken)
		e_error(call->event, "xaps: %s; %s answers", errors, name);
	else
		e_warning(call->event, "xaps: %s; %s answers", errors, name);
}

/* error: what the daemon refuses, or NULL. */
static void xaps_call_answered(struct xaps_call *call, const char *error)
{
	if (call->targets_count > 1) {
		xaps_health_set(call->target->slot, TRUE);
		i_free(call->errors[call->target - call->targets]);
		T_BEGIN
		{
			xaps_call_log_failed(call);
		}
		T_END;
	}
	xaps_call_end(call, error);
}

static const char *xaps_call_no_answer(
    const struct xaps_call *call, unsigned int msecs)
{
	return t_strdup_printf("xapsd at %s gave no %sanswer within %u ms: "
			       "does it hang?",
	    call->target->name, call->payload != NULL ? "whole " : "", msecs);
}

/* What the attempts have failed with, or that none has ended yet. */
static const char *xaps_call_last_error(
    struct xaps_call *call, unsigned int waited_msecs)
{
	const char *errors = xaps_call_errors(call);

	if (errors != NULL) {
		call->answer.status = call->last_status;
		return errors;
	}
	call->answer.status = HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT;
	return xaps_call_no_answer(call, waited_msecs);
}

/* The daemon was away for all of the call's patience. */
static void xaps_call_expired(struct xaps_call *call)
{
	const char *error;

	if (call->un != NULL && xaps_unix_has_answer(call->un) && call->done)
		return;
	error = xaps_call_last_error(call, call->patience_msecs);
	if (call->answer.status != HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT ||
	    xaps_call_errors(call) != NULL)
		error = t_strdup_printf(
		    "%s (tried for %u s)", error, call->patience_msecs / 1000);
	xaps_call_end(call, error);
}

/* Reports once that the daemon is away, so that somebody can mend it before the
   call expires. */
static void xaps_call_report_away(struct xaps_call *call)
{
	struct xaps_answer answer = call->answer;

	if (call->reported ||
	    xaps_msecs_since(&call->posted) < XAPS_REPORT_AWAY_MSECS)
		return;
	call->reported = TRUE;
	answer.waits = TRUE;
	answer.name = call->target->name;
	answer.body = "";
	answer.event = call->event;
	T_BEGIN
	{
		answer.error = xaps_call_errors(call);
		call->callback(&answer, call->context);
	}
	T_END;
}

static void xaps_call_resume(struct xaps_call *call)
{
	timeout_remove(&call->to_next);
	xaps_call_queue(call);
	xaps_client_start_queued(call->client);
}

/* Tries the next target at once; after the last one there is a pause before all
   are tried again.  Called from the ioloop, since lib-http may be on the stack
   when an attempt fails. */
static void xaps_call_next_attempt(struct xaps_call *call)
{
	struct xaps_client *client = call->client;
	unsigned int msecs;

	timeout_remove(&call->to_next);
	xaps_call_drop_request(call);
	str_truncate(call->body, 0);
	if (call->http != NULL)
		http_client_deinit(&call->http);
	if (call->tried_count < call->targets_count) {
		xaps_call_submit(call);
		return;
	}
	xaps_call_report_away(call);
	msecs = client->finishing ? XAPS_FINISH_PAUSE_MSECS : call->pause_msecs;
	call->pause_msecs = I_MIN(call->pause_msecs * 2, call->pause_max_msecs);
	xaps_call_set_state(call, XAPS_CALL_PAUSED);
	call->to_next = timeout_add(msecs, xaps_call_resume, call);
	xaps_client_start_queued(client);
}

static void xaps_call_try_again(struct xaps_call *call)
{
	timeout_remove(&call->to_attempt);
	if (call->to_next == NULL)
		call->to_next =
		    timeout_add_short(0, xaps_call_next_attempt, call);
}

/* The attempt has failed. */
static void xaps_call_fail(
    struct xaps_call *call, enum xaps_failure failure, const char *error)
{
	char **last = &call->errors[call->target - call->targets];

	if (call->done)
		return;
	if (call->taken || failure == XAPS_REFUSED) {
		xaps_call_answered(call, call->taken ? NULL : error);
		return;
	}
	i_free(*last);
	*last = i_strdup(error);
	call->last_status = call->answer.status;
	call->away = call->away || failure == XAPS_AWAY;
	call->broken = call->broken || failure == XAPS_BROKEN;
	if (call->targets_count > 1)
		xaps_health_set(call->target->slot, FALSE);
	if (call->tried_count < call->targets_count ||
	    (call->away && call->patience_msecs > 0))
		xaps_call_try_again(call);
	else
		xaps_call_end(call, xaps_call_errors(call));
}

static void xaps_call_timed_out(struct xaps_call *call)
{
	const char *error = xaps_call_no_answer(call, call->attempt_msecs);

	/* Over a Unix socket the daemon has read the request and is at fault;
	   over TCP it may as well be out of reach. */
	call->answer.status = HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT;
	xaps_call_fail(call,
	    call->payload == NULL && call->target->socket_path == NULL &&
		    call->mergeable
		? XAPS_AWAY
		: XAPS_BROKEN,
	    error);
}

static void xaps_call_bad_body(struct xaps_call *call, const char *what)
{
	call->answer.status = HTTP_CLIENT_REQUEST_ERROR_BAD_RESPONSE;
	xaps_call_fail(call, XAPS_BROKEN,
	    t_strdup_printf("xapsd at %s answered %s: is that xapsd?",
		call->target->name, what));
}

/* Only characters of topics.  Any other answer is not from xapsd, and could
   inject lines into an IMAP response. */
static bool xaps_is_topic(const char *str)
{
	return *str != '\0' &&
	       strspn(str,
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		   "0123456789.-_:") == strlen(str);
}

static void xaps_call_accepted(struct xaps_call *call)
{
	if (call->wants_topic &&
	    ((call->answer.status != 200 && call->answer.status != 202) ||
		!xaps_is_topic(str_c(call->body))))
		xaps_call_bad_body(call,
		    t_strdup_printf("%u without a topic", call->answer.status));
	else
		xaps_call_answered(call, NULL);
}

/* What xapsd answers if it cannot do what it is asked: other ones could not,
   either. */
static bool xaps_is_refusal(const struct xaps_call *call)
{
	switch (call->answer.status) {
	case 400:
	case 409: /* too many */
	case 413:
	case 431:
		return TRUE;
	case 403: /* wrong code */
		return call->takes_403;
	case 404: /* no device of this user */
		return !call->wants_topic;
	default:
		return FALSE;
	}
}

/* Evaluates the answer, whose body is complete. */
static void xaps_call_evaluate(struct xaps_call *call)
{
	unsigned int status = call->answer.status;
	const char *hint = "", *why;

	/* Only a series of requests needs a connection that stays. */
	call->reusable = call->mergeable;
	if (status / 100 == 2) {
		xaps_call_accepted(call);
		return;
	}
	why = t_strcut(t_strcut(str_c(call->body), '\n'), '\r');
	if (status == 401)
		hint = " (set user:password@ in the url)";
	if (*why == '\0' || !xaps_is_clean(why))
		why = "no reason given";
	/* A proxy answers 502 or 504 while the daemon is away. */
	xaps_call_fail(call,
	    xaps_is_refusal(call)	     ? XAPS_REFUSED
	    : status >= 502 && status <= 504 ? XAPS_AWAY
					     : XAPS_BROKEN,
	    t_strdup_printf("xapsd at %s answered %u: %s%s", call->target->name,
		status, why, hint));
}

static void xaps_call_lost(struct xaps_call *call, const char *reason)
{
	call->answer.status = HTTP_CLIENT_REQUEST_ERROR_CONNECTION_LOST;
	if (call->http_reused) {
		/* That the daemon has closed an idle connection is no
		   failure. */
		call->tried &= ~(1U << (call->target - call->targets));
		call->tried_count--;
		xaps_call_try_again(call);
		return;
	}
	xaps_call_fail(call, XAPS_AWAY,
	    t_strdup_printf("xapsd at %s: %s", call->target->name, reason));
}

static void xaps_call_read(struct xaps_call *call)
{
	const unsigned char *data;
	size_t size;
	int ret;

	while ((ret = i_stream_read_more(call->payload, &data, &size)) > 0) {
		if (str_len(call->body) + size > call->body_max) {
			xaps_call_bad_body(call, "with too much");
			return;
		}
		str_append_data(call->body, data, size);
		i_stream_skip(call->payload, size);
	}
	if (ret == 0)
		return;
	io_remove(&call->io);
	if (call->payload->stream_errno != 0)
		xaps_call_lost(call, "Connection lost in the answer");
	else if (strlen(str_c(call->body)) != str_len(call->body))
		xaps_call_bad_body(call, "with a NUL");
	else
		xaps_call_evaluate(call);
}

static void xaps_call_failed(
    struct xaps_call *call, unsigned int status, const char *reason)
{
	switch (status) {
	case HTTP_CLIENT_REQUEST_ERROR_TIMED_OUT:
		xaps_call_timed_out(call);
		break;
	case HTTP_CLIENT_REQUEST_ERROR_CONNECT_FAILED:
	case HTTP_CLIENT_REQUEST_ERROR_HOST_LOOKUP_FAILED:
		xaps_call_fail(call, XAPS_AWAY,
		    t_strdup_printf("cannot reach xapsd at %s, is it running? "
				    "(%s)",
			call->target->name, reason));
		break;
	case HTTP_CLIENT_REQUEST_ERROR_CONNECTION_LOST:
		xaps_call_lost(call, reason);
		break;
	default:
		xaps_call_fail(call, XAPS_BROKEN,
		    t_strdup_printf(
			"xapsd at %s: %s", call->target->name, reason));
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
		return;
	}
	call->http_reused = FALSE;
	if (response->payload == NULL) {
		xaps_call_evaluate(call);
		return;
	}
	call->taken = response->status / 100 == 2 && !call->wants_topic &&
		      call->targets_count > 1;
	call->payload = response->payload;
	i_stream_ref(call->payload);
	if (call->to_attempt == NULL)
		call->to_attempt =
		    timeout_add(call->attempt_msecs, xaps_call_timed_out, call);
	call->io = io_add_istream(call->payload, xaps_call_read, call);
	xaps_call_read(call);
}

/* An idle one with a connection to this target, or a new one. */
static struct http_client *xaps_call_get_http(struct xaps_call *call)
{
	struct xaps_client *client = call->client;
	struct http_client *http;
	unsigned int i;

	for (i = 0; i < client->idle_count; i++) {
		if (client->idle[i].address != call->target->address)
			continue;
		http = client->idle[i].http;
		client->idle[i] = client->idle[--client->idle_count];
		call->http_reused = TRUE;
		return http;
	}
	/* Shorter than the attempt, so that a daemon out of reach is not
	   reported as hanging. */
	client->http.connect_timeout_msecs =
	    call->attempt_msecs - call->attempt_msecs / 10;
	return compat_http_client_init(&client->http, call->target->ssl);
}

static void xaps_call_submit_http(struct xaps_call *call)
{
	struct http_client_request *req;
	const char *url = t_strconcat(call->target->url, call->path, NULL);

	call->http = xaps_call_get_http(call);
	req = http_client_request_url_str(call->http,
	    call->json == NULL ? "GET" : "POST", url, xaps_call_response,
	    (void *)call);
	http_client_request_set_event(req, call->event);
	if (call->json != NULL) {
		http_client_request_add_header(
		    req, "Content-Type", "application/json");
		http_client_request_set_payload_data(
		    req, (const unsigned char *)call->json, strlen(call->json));
	}
	call->req = req;
	/* lib-http's timeouts each begin with a step of it: name lookup,
	   connection, request. */
	call->to_attempt =
	    timeout_add(call->attempt_msecs, xaps_call_timed_out, call);
	http_client_request_submit(req);
}

static void xaps_call_submit(struct xaps_call *call)
{
	bool patient;

	if (call->tried_count == 0)
		call->round_began = ioloop_timeval;
	call->target = xaps_call_next_target(call);
	call->attempt_msecs = xaps_call_share_msecs(call);
	call->tried |= 1U << (call->target - call->targets);
	call->tried_count++;
	/* The last target that is left may take its time. */
	patient = call->patience_msecs > 0 &&
		  call->tried_count == call->targets_count;

	i_zero(&call->answer);
	call->reusable = call->taken = call->http_reused = FALSE;
	T_BEGIN
	{
		if (call->target->socket_path == NULL)
			xaps_call_submit_http(call);
		else
			call->un = xaps_unix_post(call->target->socket_path,
			    call->path, call->json, call->attempt_msecs,
			    patient, xaps_call_response, call);
	}
	T_END;
}

static void xaps_client_start_queued(struct xaps_client *client)
{
	struct xaps_call *call;
	unsigned int max = client->finishing ? XAPS_MAX_CONNECTIONS_FINISHING
					     : XAPS_MAX_CONNECTIONS;

	while ((call = client->calls[XAPS_CALL_QUEUED].head) != NULL &&
	       client->calls[XAPS_CALL_ACTIVE].count < max &&
	       !client->stopped) {
		xaps_call_set_state(call, XAPS_CALL_ACTIVE);
		xaps_call_submit(call);
	}
}

/* Held up by a failure, rather than waiting for its turn for a moment. */
static bool xaps_call_is_stuck(const struct xaps_call *call)
{
	return call->last_status != 0 ||
	       xaps_msecs_since(&call->posted) >= XAPS_MERGE_MSECS;
}

static bool xaps_call_has_targets(
    const struct xaps_call *call, const struct xaps_settings *set)
{
	unsigned int i;

	if (call->targets_count != set->targets_count)
		return FALSE;
	for (i = 0; i < set->targets_count; i++) {
		if (call->targets[i].address != set->targets[i].address)
			return FALSE;
	}
	return TRUE;
}

/* A call that has not been sent yet, with the same request for the same
   targets. */
static struct xaps_call *xaps_client_find_equal(struct xaps_client *client,
    const struct xaps_settings *set, const struct xaps_request *request)
{
	static const enum xaps_call_state states[] = { XAPS_CALL_QUEUED,
		XAPS_CALL_PAUSED };
	struct xaps_call *call;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(states); i++) {
		call = client->calls[states[i]].head;
		for (; call != NULL; call = call->next) {
			if (call->mergeable && xaps_call_is_stuck(call) &&
			    strcmp(call->json, request->json) == 0 &&
			    strcmp(call->path, request->path) == 0 &&
			    xaps_call_has_targets(call, set))
				return call;
		}
	}
	return NULL;
}

static const struct xaps_target *xaps_targets_dup(
    pool_t pool, const struct xaps_settings *set)
{
	struct xaps_target *targets =
	    p_new(pool, struct xaps_target, set->targets_count);
	unsigned int i;

	for (i = 0; i < set->targets_count; i++) {
		targets[i] = set->targets[i];
		targets[i].name = p_strdup(pool, set->targets[i].name);
		targets[i].url = p_strdup(pool, set->targets[i].url);
		targets[i].socket_path =
		    p_strdup(pool, set->targets[i].socket_path);
	}
	return targets;
}

static struct xaps_call *xaps_call_create(
    const struct xaps_settings *set, const struct xaps_request *request)
{
	struct xaps_call *call;
	pool_t pool;

	pool = pool_alloconly_create("xaps call", 1024);
	call = p_new(pool, struct xaps_call, 1);
	call->pool = pool;
	call->event = request->event;
	call->event_name = request->event_name;
	call->path = p_strdup(pool, request->path);
	call->json = p_strdup(pool, request->json);
	call->targets = call->target = xaps_targets_dup(pool, set);
	call->targets_count = set->targets_count;
	call->errors = p_new(pool, char *, set->targets_count);
	call->posted = ioloop_timeval;
	call->timeout_msecs = set->timeout_msecs;
	call->patience_msecs = request->patience_msecs;
	call->pause_msecs = call->pause_min_msecs = request->pause_msecs;
	call->pause_max_msecs = request->pause_max_msecs;
	call->mergeable = request->mergeable;
	call->wants_topic = request->wants_topic;
	call->takes_403 = request->takes_403;
	call->body_max = request->wants_list ? XAPS_LIST_MAX : XAPS_BODY_MAX;
	call->body = str_new(pool, 64);
	return call;
}

void xaps_client_post(struct xaps_client *client,
    const struct xaps_settings *set, const struct xaps_request *request,
    xaps_answer_callback_t *callback, void *context)
{
	struct ioloop *prev_ioloop = current_ioloop;
	struct xaps_call *call;

	call = request->mergeable ? xaps_client_find_equal(client, set, request)
				  : NULL;
	if (call != NULL) {
		struct event *event = request->event;

		if (call->to_deadline != NULL)
			timeout_reset(call->to_deadline);
		event_unref(&event);
		return;
	}
	call = xaps_call_create(set, request);
	call->client = client;
	call->callback = callback;
	call->context = context;
	xaps_call_add(call, XAPS_CALL_QUEUED);

	io_loop_set_current(client->ioloop);
	if (call->patience_msecs > 0)
		call->to_deadline =
		    timeout_add(call->patience_msecs, xaps_call_expired, call);
	xaps_client_start_queued(client);
	io_loop_set_current(prev_ioloop);
}

/*
 * Client
 */

/* Dovecot's dns-client looks up names without blocking, unlike the resolver. It
   is only used for names that need a lookup. */
static bool xaps_target_needs_dns(const struct xaps_target *target)
{
	const char *error;
	struct http_url *url;

	return target->socket_path == NULL &&
	       http_url_parse(target->url, NULL, HTTP_URL_ALLOW_USERINFO_PART,
		   pool_datastack_create(), &url, &error) == 0 &&
	       url->host.ip.family == 0 && url->host.name != NULL &&
	       strcasecmp(url->host.name, "localhost") != 0;
}

static const char *xaps_dns_socket(
    struct mail_user *user, const struct xaps_settings *set)
{
	const char *path;
	unsigned int i;

	for (i = 0; i < set->targets_count; i++) {
		if (xaps_target_needs_dns(&set->targets[i]))
			break;
	}
	if (i == set->targets_count)
		return NULL;
	path = t_strconcat(compat_base_dir(user), "/dns-client", NULL);
	/* not stat(), which glibc renamed in 2.33 */
	return access(path, F_OK) == 0 ? path : NULL;
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
	unsigned int i;

	if (client == NULL)
		return;
	*_client = NULL;
	client->deinitialized = TRUE;
	for (i = 0; i < XAPS_CALL_STATES; i++) {
		while (client->calls[i].head != NULL)
			xaps_call_free(client->calls[i].head);
	}
	while (client->idle_count > 0)
		http_client_deinit(&client->idle[--client->idle_count].http);
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
	if (call->to_attempt != NULL)
		call->to_attempt = io_loop_move_timeout(&call->to_attempt);
	if (call->to_next != NULL)
		call->to_next = io_loop_move_timeout(&call->to_next);
}

/* The process ends: moves everything to its last ioloop and ends all pauses. */
static void xaps_client_end_pauses(struct xaps_client *client)
{
	struct xaps_call *call;
	unsigned int i;

	for (i = 0; i < XAPS_CALL_STATES; i++) {
		for (call = client->calls[i].head; call != NULL;
		     call = call->next)
			xaps_call_switch_ioloop(call);
	}
	client->finishing = TRUE;
	while ((call = client->calls[XAPS_CALL_PAUSED].head) != NULL)
		xaps_call_resume(call);
	xaps_client_start_queued(client);
}

/* What a socket takes reaches the daemon, even if that is too busy to answer,
   or only about to start.  Returns the target whose socket has taken it. */
static const struct xaps_target *xaps_call_leave(const struct xaps_call *call)
{
	const struct xaps_target *target = call->targets;
	unsigned int i;

	if (call->un != NULL && xaps_unix_is_sent(call->un))
		return call->target;
	for (i = 0; i < call->targets_count; i++, target++) {
		if (target->socket_path != NULL &&
		    xaps_unix_send_only(
			target->socket_path, call->path, call->json))
			return target;
	}
	return NULL;
}

/* The time is over. */
static void xaps_call_give_up(struct xaps_call *call, unsigned int msecs)
{
	const struct xaps_target *target = NULL;

	timeout_remove(&call->to_next);
	if (!call->done)
		target = xaps_call_leave(call);
	call->answer.left = target != NULL;
	if (target != NULL)
		call->answer.error = t_strdup_printf(
		    "xapsd at %s gave no answer within %u ms: the request is "
		    "left in its socket",
		    target->name, msecs);
	else if (!call->done)
		call->answer.error =
		    t_strdup(xaps_call_last_error(call, msecs));
	xaps_call_deliver(call);
}

static void xaps_client_give_up(struct xaps_client *client, unsigned int msecs)
{
	struct xaps_call *call;
	unsigned int i;

	client->stopped = TRUE;
	for (i = 0; i < XAPS_CALL_STATES; i++) {
		while ((call = client->calls[i].head) != NULL) {
			T_BEGIN
			{
				xaps_call_give_up(call, msecs);
			}
			T_END;
		}
	}
}

void xaps_client_finish(struct xaps_client **_client, unsigned int msecs)
{
	struct xaps_client *client = *_client;
	struct timeout *to;
	struct ioloop *ioloop;

	if (client == NULL)
		return;
	while (client->idle_count > 0)
		http_client_deinit(&client->idle[--client->idle_count].http);
	ioloop = io_loop_create();
	client->ioloop = ioloop;
	to = timeout_add(msecs, xaps_client_expire, ioloop);
	xaps_client_end_pauses(client);
	if (xaps_client_pending(client) > 0)
		io_loop_run(ioloop);
	timeout_remove(&to);
	xaps_client_give_up(client, msecs);
	xaps_client_deinit(_client);
	io_loop_destroy(&ioloop);
}

unsigned int xaps_client_pending(const struct xaps_client *client)
{
	unsigned int i, count = 0;

	for (i = 0; i < XAPS_CALL_STATES; i++)
		count += client->calls[i].count;
	return count;
}
