/* api/kinds.c - figures of the kinds of registrations that are not Apple's, of those
 * that are in use: /status, /metrics, the page. */
#include "api/int.h"

#include <string.h>

#include "push.h"

static const struct row {
	const char *key;  /* in /status */
	const char *name; /* in /metrics, after xapsd_kind_ */
	const char *type, *help;
} rows[] = {
	{ "registrations", "registrations", "gauge", "Registrations." },
	{ "queue", "queue_length", "gauge",
	    "Those with a push that waits or is in flight." },
	{ "inFlight", "pushes_in_flight", "gauge",
	    "Pushes that were not answered yet." },
	{ "lastSuccess", "last_push_success_timestamp_seconds", "gauge",
	    "When the last push was taken, in seconds since 1970; 0: none." },
	{ "delivered", "pushes_delivered_total", "counter",
	    "Pushes that were taken." },
	{ "merged", "events_merged_total", "counter",
	    "Events that joined a push that was waiting." },
	{ "retried", "pushes_retried_total", "counter", "Pushes sent again." },
	{ "dropped", "pushes_dropped_total", "counter",
	    "Pushes refused for good or too old." },
	{ "forgotten", "registrations_forgotten_total", "counter",
	    "Registrations removed because they were reported gone." },
	{ "suspended", "registrations_suspended_total", "counter",
	    "Registrations suspended because they were refused." },
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* False if there has been none. */
static bool collect(struct api *a, unsigned kind, unsigned long long v[N_ROWS])
{
	struct push_figures f;
	bool used = push_get_kind_figures(a->queue, (enum reg_kind)kind, &f);
	size_t n = store_count_kind(a->store, (enum reg_kind)kind);
	const unsigned long long values[N_ROWS] = {
		n,
		f.waiting,
		f.in_flight,
		(unsigned long long)f.delivered_s,
		f.counters.delivered,
		f.counters.merged,
		f.counters.retried,
		f.counters.dropped,
		f.counters.forgotten,
		f.counters.suspended,
	};

	memcpy(v, values, sizeof(values));
	return used || n > 0;
}

void api_write_kinds(struct api *a, struct buf *b)
{
	unsigned long long v[N_ROWS];
	bool any = false;
	unsigned kind;
	size_t i;

	for (kind = REG_APPLE + 1; kind < REG_KINDS; kind++) {
		if (!collect(a, kind, v))
			continue;
		if (!any)
			json_open(b, "kinds", '[');
		any = true;
		json_open(b, NULL, '{');
		json_add_str(b, "kind", reg_kind_name(kind));
		for (i = 0; i < N_ROWS; i++)
			json_add_num(b, rows[i].key, (int64_t)v[i]);
		buf_add_byte(b, '}');
	}
	if (any)
		buf_add_byte(b, ']');
}

void api_write_kind_figures(struct api *a, struct buf *b)
{
	unsigned long long v[N_ROWS];
	char help[ERR_MAX];
	unsigned kind;

	for (kind = REG_APPLE + 1; kind < REG_KINDS; kind++) {
		if (!collect(a, kind, v))
			continue;
		err_set(help,
		    "Pushes of kind %s that were taken, of %llu registrations; "
		    "%llu wait.",
		    reg_kind_name(kind), v[0], v[1]);
		api_write_figure(b, help, v[4]);
	}
}

void api_write_kind_metrics(struct api *a, struct buf *b)
{
	unsigned long long v[REG_KINDS][N_ROWS];
	bool used[REG_KINDS], any = false;
	unsigned kind;
	size_t i;

	for (kind = REG_APPLE + 1; kind < REG_KINDS; kind++) {
		used[kind] = collect(a, kind, v[kind]);
		any = any || used[kind];
	}
	for (i = 0; any && i < N_ROWS; i++) {
		buf_add_fmt(b,
		    "# HELP xapsd_kind_%s Of what is not Apple's: %s\n"
		    "# TYPE xapsd_kind_%s %s\n",
		    rows[i].name, rows[i].help, rows[i].name, rows[i].type);
		for (kind = REG_APPLE + 1; kind < REG_KINDS; kind++)
			if (used[kind])
				buf_add_fmt(b,
				    "xapsd_kind_%s{kind=\"%s\"} %llu\n",
				    rows[i].name, reg_kind_name(kind),
				    v[kind][i]);
	}
}
