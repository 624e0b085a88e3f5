/* api/kinds.c - figures of the kinds of registrations that are not Apple's, of those
 * that are in use: /status, /metrics, the page. */
#include "api/int.h"

#include <string.h>

#include "push.h"
#include "text.h"

/* After the key in /status come the name in /metrics, after xapsd_kind_, and the
 * words for people. */
static const struct row {
	const char *key;
	bool counts;
} rows[] = {
	{ "registrations\0registrations\0Registrations.", false },
	{ "queue\0queue_length\0"
	  "Those with a push that waits or is in flight.",
	    false },
	{ "inFlight\0pushes_in_flight\0Pushes that were not answered yet.",
	    false },
	{ "lastSuccess\0last_push_success_timestamp_seconds\0"
	  "When the last push was taken, in seconds since 1970; 0: none.",
	    false },
	{ "delivered\0pushes_delivered_total\0Pushes that were taken.", true },
	{ "merged\0events_merged_total\0"
	  "Events that joined a push that was waiting.",
	    true },
	{ "retried\0pushes_retried_total\0Pushes sent again.", true },
	{ "dropped\0pushes_dropped_total\0"
	  "Pushes refused for good or too old.",
	    true },
	{ "forgotten\0registrations_forgotten_total\0"
	  "Registrations removed because they were reported gone.",
	    true },
	{ "suspended\0registrations_suspended_total\0"
	  "Registrations suspended because they were refused.",
	    true },
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
	const char *name;
	unsigned kind;
	size_t i;

	for (kind = REG_APPLE + 1; kind < REG_KINDS; kind++) {
		used[kind] = collect(a, kind, v[kind]);
		any = any || used[kind];
	}
	for (i = 0; any && i < N_ROWS; i++) {
		name = text_next(rows[i].key);
		buf_add_fmt(b,
		    "# HELP xapsd_kind_%s Of what is not Apple's: %s\n"
		    "# TYPE xapsd_kind_%s %s\n",
		    name, text_next(name), name,
		    rows[i].counts ? "counter" : "gauge");
		for (kind = REG_APPLE + 1; kind < REG_KINDS; kind++)
			if (used[kind])
				buf_add_fmt(b,
				    "xapsd_kind_%s{kind=\"%s\"} %llu\n", name,
				    reg_kind_name(kind), v[kind][i]);
	}
}
