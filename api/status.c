/* api/status.c - the state of the daemon: /healthz, /status, /metrics and the log,
 * from one table of figures. */
#include "api/int.h"

#include <stdlib.h>
#include <string.h>

#include "send.h"
#include "cred.h"
#include "features.h"
#include "mem.h"
#include "shared.h"
#include "text.h"
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
	TYPES = 3,
	/* With brands: each has it, and the number without a label is what the
	 * main credential has. */
	EACH = 4,
	/* The same, and /status says how much it is in all. */
	SUM = EACH | 8,
};

/* After the key in /status ("": it is not there) come the name in /metrics, after
 * xapsd_, and the words for people. */
static const struct figure {
	const char *key;
	unsigned short at;
	unsigned char type;
} rows[] = {
#define ROW(key, field, type, name, help)                                      \
	{                                                                      \
		key "\0" name "\0" help, offsetof(struct figures, field), type \
	}
	ROW("uptime", uptime, GAUGE, "uptime_seconds", "Time since start."),
	ROW("healthy", healthy, FLAG | EACH, "healthy",
	    "1 if pushes can be sent, as /healthz says."),
	ROW("connected", connected, FLAG | EACH, "apns_connected",
	    "1 if the connection to Apple is up."),
	ROW("expires", expires, TIMESTAMP | EACH,
	    "certificate_expiry_timestamp_seconds",
	    "When the certificate expires, in seconds since 1970."),
	ROW("", expires, TIMESTAMP, "certificate_expiry_seconds",
	    "Old name of the one above; goes with version 0.3.0."),
	ROW("lastSuccess", delivered_s, TIMESTAMP | EACH,
	    "last_push_success_timestamp_seconds",
	    "When Apple accepted the last push, in seconds since 1970."),
	ROW("registrations", registrations, GAUGE | SUM, "registrations",
	    "Registrations of devices."),
	ROW("oldTopic", old_topics, GAUGE | SUM, "registrations_old_topic",
	    "Of these, devices with another topic: they ignore "
	    "pushes until they register again."),
	ROW("suspendedNow", suspended, GAUGE, "suspended_registrations",
	    "Of these, devices whose token Apple has refused: they get no "
	    "pushes until they register again."),
	ROW("queue", queue, GAUGE | SUM, "queue_length",
	    "Devices with a push that waits or is in flight."),
	ROW("inFlight", in_flight, GAUGE | SUM, "pushes_in_flight",
	    "Pushes that Apple has not answered yet."),
	ROW("clients", clients, GAUGE, "clients",
	    "Connections of Dovecot's processes and others."),
	ROW("storeFailing", store_failing, FLAG, "store_failing",
	    "1 if registrations could not be written to disk."),
	ROW("connections", connections, COUNTER | SUM, "apns_connections_total",
	    "Connections to Apple that were opened."),
	ROW("resumed", resumed, COUNTER | SUM, "apns_resumptions_total",
	    "Of these, with TLS session resumption."),
	ROW("delivered", push.delivered, COUNTER | SUM,
	    "pushes_delivered_total", "Pushes that Apple accepted."),
	ROW("merged", push.merged, COUNTER | SUM, "events_merged_total",
	    "Events that joined a push that was waiting."),
	ROW("retried", push.retried, COUNTER | SUM, "pushes_retried_total",
	    "Pushes sent again."),
	ROW("dropped", push.dropped, COUNTER | SUM, "pushes_dropped_total",
	    "Pushes refused for good or too old."),
	ROW("forgotten", push.forgotten, COUNTER | SUM,
	    "registrations_forgotten_total",
	    "Registrations removed because Apple reported the device gone."),
	ROW("suspended", push.suspended, COUNTER | SUM,
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

/* Those of one credential.  The others are 0. */
static void collect_lane(
    struct api *a, size_t lane, struct figures *f, struct send_status *st)
{
	struct push_figures push = { 0 };
	size_t old = store_old_topics(a->store), n = store_count(a->store);

	push_get_figures(push_lane_at(a->queue, lane), &push);
	if (push_n_lanes(a->queue) > 1)
		n = store_brand_count(a->store, lane, &old);
	*st = push.send;
	*f = (struct figures){
		.healthy = push_health(push_lane_at(a->queue, lane)) == NULL,
		.connected = st->state == SEND_UP,
		.expires = (uint64_t)cred_expires_s(push.cred),
		.registrations = n,
		.delivered_s = (uint64_t)push.delivered_s,
		.old_topics = old,
		.queue = push.waiting,
		.in_flight = push.in_flight,
		.connections = st->connections,
		.resumed = st->resumed,
		.push = push.counters,
	};
}

/* Those of the main credential, and those of which there is only one. */
static void collect_figures(
    struct api *a, struct figures *f, struct send_status *st)
{
	collect_lane(a, 0, f, st);
	f->uptime = (uint64_t)(loop_now_ms(a->loop) - a->started_ms) / 1000;
	f->healthy = push_verdict(a->queue, false) == NULL;
	f->suspended = store_suspended(a->store);
	f->clients = a->server == NULL ? 0 : http_server_connections(a->server);
	f->store_failing = commit_is_failing(a->commit);
	f->api = a->counters;
	f->visits = *push_get_visits(a->queue);
}

/* Adds those of the brands to the sums. */
static void add_brands(struct api *a, struct figures *f)
{
	const struct figure *row;
	struct send_status st;
	struct figures one;
	size_t i, n = push_n_lanes(a->queue);

	for (i = 1; i < n; i++) {
		collect_lane(a, i, &one, &st);
		for (row = rows; row < rows + N_ROWS; row++)
			if ((row->type & SUM) == SUM)
				*(uint64_t *)(void *)((char *)f + row->at) +=
				    figure(&one, row);
	}
}

/* More is not kept for the next time. */
#define OUT_KEPT (64 * 1024)

/* Answers with what was written to api->out. */
static void reply_out(struct api *a, struct http_conn *conn, const char *type)
{
	if (a->out.failed)
		api_reply_text(conn, 500, "the answer is too long");
	else
		http_reply(
		    conn, 200, type, NULL, buf_head(&a->out), a->out.len);
	if (a->out.cap > OUT_KEPT)
		buf_free(&a->out);
}

/* --- /healthz --- */

/* Lines of brands that are named; more are only counted. */
#define BAD_SHOWN 20

/* What is wrong with single credentials, for people. */
static void write_bad(struct api *a, struct buf *b)
{
	size_t i, n = push_n_lanes(a->queue), bad = 0;
	struct push_figures f = { 0 };
	char line[ERR_MAX];
	const char *why;

	for (i = 0; n > 1 && i < n; i++) {
		push_get_figures(push_lane_at(a->queue, i), &f);
		if (push_is_unset(push_lane_at(a->queue, i)))
			continue;
		why = push_health(push_lane_at(a->queue, i));
		if (why != NULL && bad++ < BAD_SHOWN)
			buf_add_fmt(b, "%s%s: %s\n",
			    i > 0 ? "brand " : "main credential", f.name, why);
	}
	for (i = 0; push_next_trouble(a->queue, &i, line);)
		if (bad++ < BAD_SHOWN)
			buf_add_fmt(b, "%s\n", line);
	if (bad > BAD_SHOWN)
		buf_add_fmt(b, "and %zu more\n", bad - BAD_SHOWN);
}

/* In the first line what counts for the status. */
static void reply_verdict(
    struct api *a, struct http_conn *conn, bool is_for_balancer, bool strict)
{
	struct buf b = BUF_INIT((BAD_SHOWN + 2) * (ERR_MAX + 128)), bad = b;
	const char *trouble;

	write_bad(a, &bad);
	trouble = push_verdict(a->queue, is_for_balancer);
	if (trouble == NULL && strict && bad.len > 0)
		trouble = "not all credentials are good:";
	buf_add_fmt(&b, "%s\n%.*s", trouble == NULL ? "ok" : trouble,
	    (int)bad.len, bad.len > 0 ? (const char *)buf_head(&bad) : "");
	http_reply(
	    conn, trouble == NULL ? 200 : 503, TEXT, NULL, buf_head(&b), b.len);
	buf_free(&bad);
	buf_free(&b);
}

void api_handle_healthz(struct api_request *rq, struct http_conn *conn)
{
	reply_verdict(rq->api, conn, false, false);
}

/* For who watches: one bad credential is enough. */
void api_handle_healthz_all(struct api_request *rq, struct http_conn *conn)
{
	reply_verdict(rq->api, conn, false, true);
}

/* For load balancers: Apple's servers, or the way there, are the same for all
 * nodes. */
void api_handle_credentials(struct api_request *rq, struct http_conn *conn)
{
	reply_verdict(rq->api, conn, true, false);
}

/* --- /status and the log --- */

static void add_bad(struct api *a, struct buf *b)
{
	size_t i, n = push_n_lanes(a->queue);
	struct push_figures f = { 0 };
	char line[ERR_MAX];
	const char *why;

	for (i = 1; i < n; i++) {
		why = push_health(push_lane_at(a->queue, i));
		if (why == NULL)
			continue;
		push_get_figures(push_lane_at(a->queue, i), &f);
		err_set(line, "Brand %s: %s", f.name, why);
		json_add_str(b, NULL, line);
	}
}

static void add_warnings(struct api *a, struct buf *b, bool with_bad)
{
	const char *warning;
	size_t i;

	json_open(b, "warnings", '[');
	for (i = 0; (warning = cred_warning(a->cred, i)) != NULL; i++)
		json_add_str(b, NULL, warning);
	if (with_bad)
		add_bad(a, b);
	buf_add_byte(b, ']');
}

void api_write_status(struct api *a, struct buf *b, bool with_bad)
{
	struct send_status st;
	struct push_lane *main = push_lane_at(a->queue, 0);
	const struct figure *row;
	const char *trouble;
	struct figures f;

	collect_figures(a, &f, &st);
	add_brands(a, &f);
	trouble = push_verdict(a->queue, false);
	if (trouble == NULL && !push_is_unset(main))
		trouble = push_health(main);
	buf_reset(b);
	buf_add_byte(b, '{');
	json_add_str(b, "version", XAPSD_VERSION);
	json_add_str(b, "tls", tls_version());
	json_add_str(b, "features", features_built);
	json_add_str(b, "problem", trouble == NULL ? "" : trouble);
	json_add_str(b, "topic", cred_topic(a->cred));
	json_add_str(b, "credentials", cred_kind_name(a->cred));
	add_warnings(a, b, with_bad);
	json_add_str(b, "apns", send_state_name(st.state));
	json_add_str(b, "apnsHost", st.host);
	json_add_num(b, "apnsPort", st.port);
	json_add_str(b, "apnsProxy", st.proxy);
	json_add_str(b, "apnsError", st.last_error);
	for (row = rows; row < rows + N_ROWS; row++)
		if (*row->key == '\0')
			continue;
		else if ((row->type & TYPES) == FLAG)
			json_add_bool(b, row->key, figure(&f, row) != 0);
		else
			json_add_num(b, row->key, (int64_t)figure(&f, row));
	if (a->shared != NULL) {
		json_add(b, "shared");
		shared_write_status(a->shared, b);
	}
}

/* The same words as in /metrics. */
void api_write_figures(struct api *a, struct buf *b)
{
	const struct figure *row;
	struct send_status st;
	struct figures f;

	collect_figures(a, &f, &st);
	add_brands(a, &f);
	for (row = rows; row < rows + N_ROWS; row++)
		if (*row->key != '\0' && (row->type & TYPES) != TIMESTAMP)
			api_write_figure(
			    b, text_next(text_next(row->key)), figure(&f, row));
	api_write_brand_figures(a, b);
	api_write_kind_figures(a, b);
}

void api_handle_status(struct api_request *rq, struct http_conn *conn)
{
	struct buf *b = &rq->api->out;

	api_write_status(rq->api, b, false);
	api_write_brands(rq->api, b);
	api_write_kinds(rq->api, b);
	push_write_day(rq->api->queue, b);
	buf_add_str(b, "}\n");
	reply_out(rq->api, conn, JSON);
}

void api_log_status(struct api *a)
{
	api_write_status(a, &a->out, false);
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

/* Of each, NULL if there are none. */
static struct figures *collect_brands(struct api *a)
{
	size_t i, n = push_n_lanes(a->queue);
	struct send_status st;
	struct figures *f;

	if (n == 1)
		return NULL;
	f = xmalloc(n * sizeof(*f));
	for (i = 1; i < n; i++)
		collect_lane(a, i, &f[i], &st);
	return f;
}

static void write_metric(struct api *a, struct buf *b, const struct figure *row,
    const struct figures *f, const struct figures *brands)
{
	static const char *const types[] = {
		[GAUGE] = "gauge",
		[FLAG] = "gauge",
		[COUNTER] = "counter",
		[TIMESTAMP] = "gauge",
	};
	unsigned type = row->type & TYPES;
	const char *name = text_next(row->key);
	struct push_figures push = { 0 };
	size_t i, n = push_n_lanes(a->queue);

	if (type != TIMESTAMP || figure(f, row) != 0 || brands != NULL)
		buf_add_fmt(b, "# HELP xapsd_%s %s\n# TYPE xapsd_%s %s\n", name,
		    text_next(name), name, types[type]);
	if (type != TIMESTAMP || figure(f, row) != 0)
		buf_add_fmt(b, "xapsd_%s %llu\n", name,
		    (unsigned long long)figure(f, row));
	for (i = 1; (row->type & EACH) && i < n; i++) {
		push_get_figures(push_lane_at(a->queue, i), &push);
		if (type != TIMESTAMP || figure(&brands[i], row) != 0)
			buf_add_fmt(b, "xapsd_%s{brand=\"%s\"} %llu\n", name,
			    push.name,
			    (unsigned long long)figure(&brands[i], row));
	}
}

void api_handle_metrics(struct api_request *rq, struct http_conn *conn)
{
	struct buf *b = &rq->api->out;
	const struct figure *row;
	struct send_status st;
	struct figures f, *brands;

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
	    "How long Apple's answers to pushes took.", send_latency_limits_ms,
	    1, SEND_N_LATENCIES - 1, st.latency.n, st.latency.sum_ms);
	write_histogram(b, "wakeup_seconds",
	    "How long after a push its phone came.", push_wakeup_limits_s, 1000,
	    PUSH_N_WAKEUPS - 1, f.visits.wakeups, f.visits.wakeups_ms);
	brands = collect_brands(rq->api);
	for (row = rows; row < rows + N_ROWS; row++)
		write_metric(rq->api, b, row, &f, brands);
	free(brands);
	api_write_kind_metrics(rq->api, b);
	if (rq->api->shared != NULL)
		shared_write_metrics(rq->api->shared, b);
	reply_out(rq->api, conn, "text/plain; version=0.0.4");
}
