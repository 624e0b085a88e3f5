/* api/status.c - the state of the daemon: /healthz, /status, /metrics and the log,
 * from one table of figures. */
#include "api/int.h"

#include <string.h>

#include "apns.h"
#include "cred.h"
#include "features.h"
#include "shared.h"
#include "tls.h"

/* The values of all figures at one moment. */
struct figures {
	uint64_t uptime, healthy, connected, expires, delivered_s;
	uint64_t registrations, old_topics, suspended;
	uint64_t queue, in_flight, clients;
	uint64_t store_failing;
	uint64_t connections, resumed;
	struct push_counters push;
	struct api_counters api;
	struct push_visits visits;
};

enum metric_type {
	GAUGE,
	FLAG, /* true or false in /status, a gauge of 1 or 0 in /metrics */
	COUNTER,
	TIMESTAMP, /* a gauge that is left out while it is 0 */
};

static const struct figure {
	const char *key;  /* in /status; NULL: not there */
	const char *name; /* in /metrics, after xapsd_ */
	const char *help;
	unsigned short at;
	unsigned char type;
} rows[] = {
#define ROW(key, field, type, name, help)                                      \
	{                                                                      \
		key, name, help, offsetof(struct figures, field), type         \
	}
	ROW("uptime", uptime, GAUGE, "uptime_seconds", "Time since start."),
	ROW("healthy", healthy, FLAG, "healthy",
	    "1 if pushes can be sent, as /healthz says."),
	ROW("connected", connected, FLAG, "apns_connected",
	    "1 if the connection to Apple is up."),
	ROW("expires", expires, TIMESTAMP,
	    "certificate_expiry_timestamp_seconds",
	    "When the certificate expires, in seconds since 1970."),
	ROW(NULL, expires, TIMESTAMP, "certificate_expiry_seconds",
	    "Old name of the one above; goes with version 0.3.0."),
	ROW("lastSuccess", delivered_s, TIMESTAMP,
	    "last_push_success_timestamp_seconds",
	    "When Apple accepted the last push, in seconds since 1970."),
	ROW("registrations", registrations, GAUGE, "registrations",
	    "Registrations of devices."),
	ROW("oldTopic", old_topics, GAUGE, "registrations_old_topic",
	    "Of these, devices with another topic: they ignore "
	    "pushes until they register again."),
	ROW("suspendedNow", suspended, GAUGE, "suspended_registrations",
	    "Of these, devices whose token Apple has refused: they get no "
	    "pushes until they register again."),
	ROW("queue", queue, GAUGE, "queue_length",
	    "Devices with a push that waits or is in flight."),
	ROW("inFlight", in_flight, GAUGE, "pushes_in_flight",
	    "Pushes that Apple has not answered yet."),
	ROW("clients", clients, GAUGE, "clients",
	    "Connections of Dovecot's processes and others."),
	ROW("storeFailing", store_failing, FLAG, "store_failing",
	    "1 if registrations could not be written to disk."),
	ROW("connections", connections, COUNTER, "apns_connections_total",
	    "Connections to Apple that were opened."),
	ROW("resumed", resumed, COUNTER, "apns_resumptions_total",
	    "Of these, with TLS session resumption."),
	ROW("delivered", push.delivered, COUNTER, "pushes_delivered_total",
	    "Pushes that Apple accepted."),
	ROW("merged", push.merged, COUNTER, "events_merged_total",
	    "Events that joined a push that was waiting."),
	ROW("retried", push.retried, COUNTER, "pushes_retried_total",
	    "Pushes sent again."),
	ROW("dropped", push.dropped, COUNTER, "pushes_dropped_total",
	    "Pushes refused for good or too old."),
	ROW("forgotten", push.forgotten, COUNTER,
	    "registrations_forgotten_total",
	    "Registrations removed because Apple reported the device gone."),
	ROW("suspended", push.suspended, COUNTER,
	    "registrations_suspended_total",
	    "Registrations suspended because Apple refused the token."),
	ROW("registered", api.registered, COUNTER, "registers_total",
	    "Registrations, renewals included."),
	ROW("notified", api.notified, COUNTER, "notifies_total",
	    "Notifications that woke a device."),
	ROW("unwatched", api.unwatched, COUNTER, "notifies_unwatched_total",
	    "Notifications for mailboxes that no device watches."),
	ROW("unknownUsers", api.unknown, COUNTER, "notifies_unknown_user_total",
	    "Notifications for users without a device."),
	ROW("visits", visits.visits, COUNTER, "visits_total",
	    "Visits of phones by IMAP that Dovecot reported."),
	ROW("wakeups", visits.n_wakeups, COUNTER, "wakeups_total",
	    "Of these, the first after a push: xapsd_wakeup_seconds has "
	    "their times."),
	ROW("missed", visits.missed, COUNTER, "pushes_missed_total",
	    "Pushes after which no phone came within 10 minutes."),
	ROW("missedDay", visits.missed_day, GAUGE, "pushes_missed_day",
	    "The same in the last 24 hours."),
	ROW("silent", visits.silent, GAUGE, "silent_users",
	    "Users whose phone has not come for 7 days, though Apple took "
	    "pushes for it."),
	ROW("refused", api.refused, COUNTER, "requests_refused_total",
	    "Malformed requests."),
	ROW("denied", api.denied, COUNTER, "requests_denied_total",
	    "Requests without the right password, or not allowed."),
#undef ROW
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static uint64_t figure(const struct figures *f, const struct figure *row)
{
	return *(const uint64_t *)(const void *)((const char *)f + row->at);
}

static void collect_figures(
    struct api *a, struct figures *f, struct apns_status *st)
{
	memset(st, 0, sizeof(*st));
	push_get_apns(a->queue, st);
	*f = (struct figures){
		.uptime =
		    (uint64_t)(loop_now_ms(a->loop) - a->started_ms) / 1000,
		.healthy = push_health(a->queue) == NULL,
		.connected = st->state == APNS_UP,
		.expires = (uint64_t)cred_expires_s(a->cred),
		.registrations = store_count(a->store),
		.delivered_s = (uint64_t)push_last_delivery_s(a->queue),
		.old_topics = store_old_topics(a->store),
		.suspended = store_suspended(a->store),
		.queue = push_count(a->queue),
		.in_flight = push_in_flight(a->queue),
		.clients =
		    a->server == NULL ? 0 : http_server_connections(a->server),
		.store_failing = commit_is_failing(a->commit),
		.connections = st->connections,
		.resumed = st->resumed,
		.push = *push_get_counters(a->queue),
		.api = a->counters,
		.visits = *push_get_visits(a->queue),
	};
}

/* Answers with what was written to api->out. */
static void reply_out(struct api *a, struct http_conn *conn, const char *type)
{
	if (a->out.failed)
		api_reply_text(conn, 500, "the answer is too long");
	else
		http_reply(
		    conn, 200, type, NULL, buf_head(&a->out), a->out.len);
}

static void reply_verdict(struct http_conn *conn, const char *trouble)
{
	api_reply_text(conn, trouble == NULL ? 200 : 503,
	    trouble == NULL ? "ok" : trouble);
}

void api_handle_healthz(struct api_request *rq, struct http_conn *conn)
{
	reply_verdict(conn, push_health(rq->api->queue));
}

/* For load balancers: Apple's servers, or the way there, are the same for all
 * nodes. */
void api_handle_credentials(struct api_request *rq, struct http_conn *conn)
{
	reply_verdict(conn, push_trouble(rq->api->queue));
}

/* --- /status and the log --- */

static const char *const apns_states[] = {
	[APNS_OFF] = "off",
	[APNS_WAITING] = "waiting",
	[APNS_CONNECTING] = "connecting",
	[APNS_UP] = "connected",
};

static const char *const cred_kinds[] = {
	[CRED_NONE] = "none",
	[CRED_TOKEN_KEY] = "token key",
	[CRED_CERTIFICATE] = "certificate",
};

static void add_str(struct buf *b, const char *key, const char *value)
{
	buf_add_fmt(b, "\"%s\":", key);
	json_write_str(b, value);
	buf_add_byte(b, ',');
}

static void add_num(struct buf *b, const char *key, uint64_t value)
{
	buf_add_fmt(b, "\"%s\":%llu,", key, (unsigned long long)value);
}

static void add_figure(struct buf *b, const struct figure *row, uint64_t value)
{
	if (row->type != FLAG)
		add_num(b, row->key, value);
	else
		buf_add_fmt(
		    b, "\"%s\":%s,", row->key, value != 0 ? "true" : "false");
}

static void add_warnings(struct buf *b, const struct cred *cred)
{
	const char *warning;
	size_t i;

	buf_add_str(b, "\"warnings\":[");
	for (i = 0; (warning = cred_warning(cred, i)) != NULL; i++) {
		if (i > 0)
			buf_add_byte(b, ',');
		json_write_str(b, warning);
	}
	buf_add_str(b, "],");
}

void api_write_status(struct api *a, struct buf *b)
{
	struct apns_status st;
	const char *trouble;
	struct figures f;
	size_t i;

	collect_figures(a, &f, &st);
	trouble = push_health(a->queue);
	buf_reset(b);
	buf_add_byte(b, '{');
	add_str(b, "version", XAPSD_VERSION);
	add_str(b, "tls", tls_version());
	add_str(b, "features", features_built);
	add_str(b, "problem", trouble == NULL ? "" : trouble);
	add_str(b, "topic", cred_topic(a->cred));
	add_str(b, "credentials", cred_kinds[cred_kind(a->cred)]);
	add_warnings(b, a->cred);
	add_str(b, "apns", apns_states[st.state]);
	add_str(b, "apnsHost", st.host);
	add_num(b, "apnsPort", (uint64_t)st.port);
	add_str(b, "apnsProxy", st.proxy);
	add_str(b, "apnsError", st.last_error);
	for (i = 0; i < N_ROWS; i++)
		if (rows[i].key != NULL)
			add_figure(b, &rows[i], figure(&f, &rows[i]));
	if (a->shared != NULL) {
		buf_add_str(b, "\"shared\":");
		shared_write_status(a->shared, b);
		buf_add_byte(b, ',');
	}
	if (!b->failed)
		b->len--; /* the last comma */
}

/* The same words as in /metrics. */
void api_write_figures(struct api *a, struct buf *b)
{
	const struct figure *row;
	struct apns_status st;
	struct figures f;

	collect_figures(a, &f, &st);
	for (row = rows; row < rows + N_ROWS; row++)
		if (row->key != NULL && row->type != TIMESTAMP)
			buf_add_fmt(b, "{\"help\":\"%s\",\"value\":%llu},",
			    row->help, (unsigned long long)figure(&f, row));
	if (!b->failed)
		b->len--; /* the last comma */
}

void api_handle_status(struct api_request *rq, struct http_conn *conn)
{
	struct buf *b = &rq->api->out;

	api_write_status(rq->api, b);
	push_write_day(rq->api->queue, b);
	buf_add_str(b, "}\n");
	reply_out(rq->api, conn, JSON);
}

void api_log_status(struct api *a)
{
	api_write_status(a, &a->out);
	if (a->out.failed)
		log_error("status: the answer is too long");
	else
		log_info("status: %.*s}", (int)a->out.len,
		    (const char *)buf_head(&a->out));
}

/* --- /metrics: Prometheus' text format 0.0.4 --- */

/* One whose limits are this many thousandths of a second; the last number is of
 * what is beyond them. */
static void write_histogram(struct buf *b, const char *name, const char *help,
    const unsigned short *limits, unsigned unit_ms, size_t n_limits,
    const uint64_t *counts, uint64_t sum_ms)
{
	unsigned long long n = 0;
	unsigned ms;
	size_t i;

	buf_add_fmt(b, "# HELP xapsd_%s %s\n# TYPE xapsd_%s histogram\n", name,
	    help, name);
	for (i = 0; i < n_limits; i++) {
		n += counts[i];
		ms = limits[i] * unit_ms;
		buf_add_fmt(b, "xapsd_%s_bucket{le=\"%u", name, ms / 1000);
		if (unit_ms < 1000)
			buf_add_fmt(b, ".%02u", ms % 1000 / 10);
		buf_add_fmt(b, "\"} %llu\n", n);
	}
	n += counts[i];
	buf_add_fmt(b,
	    "xapsd_%s_bucket{le=\"+Inf\"} %llu\n"
	    "xapsd_%s_sum %llu.%03llu\n"
	    "xapsd_%s_count %llu\n",
	    name, n, name, (unsigned long long)sum_ms / 1000,
	    (unsigned long long)sum_ms % 1000, name, n);
}

void api_handle_metrics(struct api_request *rq, struct http_conn *conn)
{
	static const char *const types[] = {
		[GAUGE] = "gauge",
		[FLAG] = "gauge",
		[COUNTER] = "counter",
		[TIMESTAMP] = "gauge",
	};
	struct buf *b = &rq->api->out;
	const struct figure *row;
	struct apns_status st;
	struct figures f;

	collect_figures(rq->api, &f, &st);
	buf_reset(b);
	buf_add_fmt(b,
	    "# HELP xapsd_build_info Versions, as labels.\n"
	    "# TYPE xapsd_build_info gauge\n"
	    "xapsd_build_info{version=\"%s\",tls=\"%s\"} 1\n"
	    "# HELP xapsd_info Old name of the one above; goes with version "
	    "0.3.0.\n"
	    "# TYPE xapsd_info gauge\n"
	    "xapsd_info{version=\"%s\",tls=\"%s\"} 1\n",
	    XAPSD_VERSION, tls_version(), XAPSD_VERSION, tls_version());
	write_histogram(b, "apns_answer_seconds",
	    "How long Apple's answers to pushes took.", apns_latency_limits_ms,
	    1, APNS_N_LATENCIES - 1, st.latency.n, st.latency.sum_ms);
	write_histogram(b, "wakeup_seconds",
	    "How long after a push its phone came.", push_wakeup_limits_s, 1000,
	    PUSH_N_WAKEUPS - 1, f.visits.wakeups, f.visits.wakeups_ms);
	for (row = rows; row < rows + N_ROWS; row++) {
		if (row->type == TIMESTAMP && figure(&f, row) == 0)
			continue;
		buf_add_fmt(b,
		    "# HELP xapsd_%s %s\n# TYPE xapsd_%s %s\nxapsd_%s %llu\n",
		    row->name, row->help, row->name, types[row->type],
		    row->name, (unsigned long long)figure(&f, row));
	}
	if (rq->api->shared != NULL)
		shared_write_metrics(rq->api->shared, b);
	reply_out(rq->api, conn, "text/plain; version=0.0.4");
}
