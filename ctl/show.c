/* ctl/show.c - registrations and status for people. */
#include "ctl/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store.h"
#include "webpush.h"

#define SHOWN 8 /* characters of a token or an account id */

#define MINUTE_S 60

/* --- pieces --- */

static int text_width(const char *text)
{
	return ctl_width(text, strlen(text));
}

/* --- registrations --- */

enum column {
	C_USER,
	C_DEVICE,
	C_ACCOUNT,
	C_KIND,
	C_REGISTERED,
	C_AGE,
	C_STATE,
	C_PUSHED,
	C_CAME,
	N_COLUMNS,
};

struct row {
	char text[N_COLUMNS][REG_USER_MAX + 2]; /* for ctl_shorten() */
	enum ctl_style style, came;		/* of the state and of C_CAME */
};

static const char *const heads[N_COLUMNS] = { "USER", "DEVICE", "ACCOUNT",
	"KIND", "REGISTERED", "AGE", "STATE", "LAST PUSH", "CAME" };

/* What of it is in the way of a push, or "active". */
static const char *state(
    const struct store *live, const struct reg *r, int64_t age_s, int64_t ttl_s)
{
	if (reg_suspended(r))
		return "suspended";
	if (reg_kind(r) == REG_APPLE && reg_time_known(r) && age_s > ttl_s)
		return "expired";
	if (*webpush_code(reg_to(r)) != '\0')
		return "unconfirmed";
	if (live != NULL && store_old_topic(live, r) != NULL)
		return "old topic";
	return "active";
}

/* Whether the phone came after the last push. */
static enum ctl_style format_came(const struct past *p, char *out, size_t size)
{
	int64_t ds = p->wakeup_ds;

	if (p->unanswered > 0) {
		snprintf(out, size, "%lld%s push%s, nobody came",
		    (long long)p->unanswered, p->unanswered == 255 ? "+" : "",
		    p->unanswered == 1 ? "" : "es");
		return STYLE_BAD;
	}
	if (p->waiting > 0)
		strcpy(out, "not yet");
	else if (ds >= 10 * 10 * MINUTE_S)
		strcpy(out, "-");
	else if (ds >= 2 * 10 * MINUTE_S)
		snprintf(out, size, "came after %d min", (int)ds / 600);
	else if (ds >= 10 * 10)
		snprintf(out, size, "came after %d s", (int)ds / 10);
	else if (ds > 0)
		snprintf(out, size, "came after %d.%d s", (int)ds / 10,
		    (int)ds % 10);
	else
		strcpy(out, p->seen_s > p->pushed_s ? "came much later" : "-");
	return ds > 0 && p->waiting == 0 ? STYLE_GOOD : STYLE_PLAIN;
}

static void fill_past(struct row *row, const struct reg *r, int64_t now_s)
{
	struct past p;

	past_read(r, &p);
	row->came = STYLE_PLAIN;
	if (p.pushed_s == 0)
		return;
	ctl_ago(now_s - p.pushed_s, row->text[C_PUSHED]);
	row->came =
	    format_came(&p, row->text[C_CAME], sizeof(row->text[C_CAME]));
}

static void fill_row(struct row *row, const struct store *live,
    const struct reg *r, int64_t now_s, int64_t ttl_s)
{
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];
	int64_t age_s = now_s - reg_time_s(r);
	const char *what = state(live, r, age_s, ttl_s);
	size_t c;

	for (c = 0; c < N_COLUMNS; c++)
		strcpy(row->text[c], "-");
	snprintf(row->text[C_USER], sizeof(row->text[0]), "%s", reg_user(r));
	snprintf(row->text[C_DEVICE], SHOWN + 1, "%s", reg_token(r, token));
	snprintf(row->text[C_ACCOUNT],
	    reg_kind(r) == REG_APPLE ? SHOWN + 1 : CTL_ID_SHOWN + 1, "%s",
	    reg_account(r, account));
	strcpy(row->text[C_KIND], reg_kind_name(reg_kind(r)));
	/* Registered before the clock was set. */
	if (reg_time_s(r) > 0) {
		log_date(reg_time_s(r), LOG_DATE_MINUTE, true,
		    row->text[C_REGISTERED]);
		ctl_age(age_s, row->text[C_AGE]);
	}
	strcpy(row->text[C_STATE], what);
	row->style = strcmp(what, "active") == 0 ? STYLE_GOOD : STYLE_BAD;
	fill_past(row, r, now_s);
}

/* As many names as the terminal's line takes, at least a part of one. */
static void show_mailboxes(const struct reg *r, int at, int columns)
{
	size_t i, n = reg_n_mailboxes(r);
	char name[REG_MAILBOX_MAX + 2], more[24] = "";

	if (n > 1)
		snprintf(more, sizeof(more), " +%zu", n - 1);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s", reg_mailbox(r, i));
		if (i == 0 && columns > 0)
			ctl_shorten(name, columns - at - (int)strlen(more));
		at += text_width(name) + 2;
		if (i > 0 && columns > 0 && at + (int)strlen(more) > columns) {
			printf(" +%zu", n - i);
			return;
		}
		printf("%s%s", i > 0 ? ", " : "", name);
	}
	if (n == 0)
		putchar('-');
}

#define GAP 2
#define USER_MIN 10
#define MAILBOXES_MIN 12

/* Widths with the gap to the next column; 0: not shown. */
struct layout {
	int width[N_COLUMNS], sum;
	int columns;   /* of the terminal; 0: everything is shown */
	int mailboxes; /* the least width; 0: not shown */
};

static int excess(const struct layout *l)
{
	return l->sum + (l->mailboxes > 0 ? l->mailboxes : -GAP) - l->columns;
}

/* Leaves the column out, or gives it `to` at least, if others need the place. */
static void narrow(struct layout *l, enum column c, int to)
{
	int by = excess(l), most = l->width[c] - to;

	if (by <= 0 || most <= 0)
		return;
	if (to == 0 || by > most)
		by = most;
	l->width[c] -= by;
	l->sum -= by;
}

/* What says least goes first. */
static void fit(struct layout *l)
{
	narrow(l, C_REGISTERED, 0);
	narrow(l, C_ACCOUNT, 0);
	narrow(l, C_USER, USER_MIN);
	narrow(l, C_KIND, 0);
	narrow(l, C_DEVICE, 0);
	narrow(l, C_AGE, 0);
	if (excess(l) > 0)
		l->mailboxes = 0;
	narrow(l, C_PUSHED, 0);
	narrow(l, C_STATE, 0);
}

static void show_row(
    const struct layout *l, struct row *row, enum ctl_style style)
{
	size_t c, last = 0;

	for (c = 0; c < N_COLUMNS; c++)
		if (l->width[c] > 0)
			last = c;
	ctl_shorten(row->text[C_USER], l->width[C_USER] - GAP);
	for (c = 0; c <= last; c++)
		if (l->width[c] > 0)
			ctl_cell(style != STYLE_PLAIN ? style
				 : c == C_STATE	      ? row->style
				 : c == C_CAME	      ? row->came
						      : STYLE_PLAIN,
			    row->text[c],
			    c < last || l->mailboxes > 0 ? l->width[c] : 0);
}

static void measure(struct layout *l, const struct row *row)
{
	size_t c;
	int w;

	for (c = 0; c < N_COLUMNS; c++) {
		w = text_width(row->text[c]) + GAP;
		l->width[c] = w > l->width[c] ? w : l->width[c];
	}
}

static void show_table(
    const struct store *live, struct reg **regs, size_t n, int64_t ttl_s)
{
	struct layout l = { .columns = ctl_columns(stdout),
		.mailboxes = MAILBOXES_MIN };
	int64_t now_s = (int64_t)time(NULL);
	struct row row, head = { 0 };
	bool pushed = false, kinds = false;
	size_t i, c;

	for (c = 0; c < N_COLUMNS; c++)
		strcpy(head.text[c], heads[c]);
	measure(&l, &head);
	for (i = 0; i < n; i++) {
		fill_row(&row, live, regs[i], now_s, ttl_s);
		measure(&l, &row);
		pushed = pushed || strcmp(row.text[C_PUSHED], "-") != 0;
		kinds = kinds || reg_kind(regs[i]) != REG_APPLE;
	}
	if (!pushed)
		l.width[C_PUSHED] = l.width[C_CAME] = 0;
	if (!kinds)
		l.width[C_KIND] = 0;
	for (c = 0; c < N_COLUMNS; c++)
		l.sum += l.width[c];
	if (l.columns > 0)
		fit(&l);
	show_row(&l, &head, STYLE_HEAD);
	if (l.mailboxes > 0)
		ctl_cell(STYLE_HEAD, "MAILBOXES", 0);
	putchar('\n');
	for (i = 0; i < n; i++) {
		fill_row(&row, live, regs[i], now_s, ttl_s);
		show_row(&l, &row, STYLE_PLAIN);
		if (l.mailboxes > 0)
			show_mailboxes(regs[i], l.sum, l.columns);
		putchar('\n');
	}
}

static void show_json(const struct store *live, struct reg **regs, size_t n)
{
	struct buf b = BUF_INIT(CTL_ANSWER_MAX);
	const char *topic, *past;
	size_t i;

	putchar('[');
	for (i = 0; i < n; i++) {
		buf_reset(&b);
		reg_write(regs[i], NULL, &b);
		b.len -= strlen("}\n");
		json_add_bool(&b, "suspended", reg_suspended(regs[i]));
		topic = live != NULL ? store_old_topic(live, regs[i]) : NULL;
		if (topic != NULL)
			json_add_str(&b, "oldTopic", topic);
		past = past_json(regs[i]);
		if (past != NULL) {
			buf_add_byte(&b, ',');
			buf_add(&b, past + 1, strlen(past) - 2);
		}
		printf("%s\n%.*s}", i > 0 ? "," : "", (int)b.len,
		    (const char *)buf_head(&b));
	}
	puts(n > 0 ? "\n]" : "]");
	buf_free(&b);
}

void ctl_show_regs(const struct store *live, struct reg **regs, size_t n,
    int64_t ttl_s, bool json)
{
	if (json)
		show_json(live, regs, n);
	else
		show_table(live, regs, n, ttl_s);
}

/* --- status --- */

#define LABEL_WIDTH 15
/* The row that is being written: a label, a state in its style, a text that may
 * take several lines. */
struct line {
	struct ctl_words w;
	char state[80];
};

/* Whether the member that is the row's state is the good one. */
static bool is_state(struct line *l, const char *key, const char *good)
{
	ctl_str(l->w.j, l->w.obj, key, l->state, sizeof(l->state));
	return strcmp(l->state, good) == 0;
}

/* Ends the row with the rest of its text.  The style is that of the state, or if
 * that is empty, of the text. */
static void show(
    struct line *l, const char *label, enum ctl_style style, const char *text)
{
	ctl_words_add(&l->w, text);
	ctl_cell(STYLE_HEAD, label, LABEL_WIDTH);
	ctl_cell(style, l->state, 0);
	ctl_text(stdout, *l->state == '\0' ? style : STYLE_PLAIN,
	    ctl_words_end(&l->w), LABEL_WIDTH + text_width(l->state),
	    LABEL_WIDTH, 0);
	buf_reset(&l->w.text);
	l->state[0] = '\0';
}

/* How phones come. */
static void show_visits(struct line *l)
{
	if (json_get(l->w.j, l->w.obj, "day") == NULL)
		return; /* the daemon was built to keep none */
	show(l, "Phones", STYLE_PLAIN,
	    ctl_words_num(&l->w, "visits") == 0
		? "no visit reported since start"
		: "[came after {wakeupMedian} s (a day's median), ]{missedDay} "
		  "push{es} missed, {silent} user{s} silent");
}

static void show_credentials(struct line *l, int64_t now_s)
{
	int64_t expires_s = ctl_words_num(&l->w, "expires");
	char date[LOG_DATE_MAX], age[16];

	ctl_words_add(&l->w, "{credentials}[, topic {topic}]");
	if (expires_s > 0) {
		log_date(expires_s, LOG_DATE_DAY, false, date);
		ctl_age(expires_s - now_s, age);
		if (expires_s > now_s)
			buf_add_fmt(
			    &l->w.text, ", valid until %s (%s)", date, age);
		else
			buf_add_fmt(&l->w.text, ", expired on %s", date);
	}
	show(l, "Credentials", STYLE_PLAIN, "");
}

static void show_warnings(struct line *l)
{
	const struct json_tok *t = json_get(l->w.j, l->w.obj, "warnings"), *w;
	char text[2 * ERR_MAX];
	size_t i;

	if (t == NULL || t->type != JSON_ARRAY)
		return;
	w = t + 1;
	for (i = 0; i < t->size; i++, w = l->w.j->toks + w->next) {
		if (json_string(l->w.j, w, text, sizeof(text)) < 0)
			continue;
		buf_add_str(&l->w.text, text);
		show(l, "Warning", STYLE_BAD, "");
	}
}

static void show_apple(struct line *l)
{
	bool up = is_state(l, "apns", "connected");

	ctl_words_add(&l->w,
	    ", {apnsHost} port {apnsPort}[, through the proxy {apnsProxy}]");
	show(l, "Apple", up ? STYLE_GOOD : STYLE_BAD,
	    up ? "" : "[: {apnsError}]");
}

/* All of a few, of many the bad ones. */
#define BRANDS_SHOWN 20

/* Only of a site with brands. */
static void show_brands(struct line *l, const struct json_tok *t)
{
	size_t i, bad = 0;
	bool healthy;

	l->w.obj = t + 1;
	for (i = 0; i < t->size;
	     i++, l->w.obj = l->w.j->toks + l->w.obj->next) {
		healthy = ctl_words_flag(&l->w, "healthy");
		bad += !healthy;
		if (healthy && t->size > BRANDS_SHOWN)
			continue;
		is_state(l, "name", "");
		ctl_words_add(&l->w, healthy ? ": {state}" : ": {problem}");
		show(l, "Brand", healthy ? STYLE_GOOD : STYLE_BAD,
		    "[, topic {topic}], {registrations} registrations, "
		    "{oldTopic} with an old topic, {queued} waiting");
	}
	if (t->size <= BRANDS_SHOWN)
		return;
	buf_add_fmt(&l->w.text, "%zu, %zu bad", (size_t)t->size, bad);
	show(l, "Brands", STYLE_PLAIN, "");
}

/* Of what is not Apple's. */
static void show_kinds(struct line *l, const struct json_tok *t)
{
	size_t i;

	l->w.obj = t + 1;
	for (i = 0; i < t->size;
	     i++, l->w.obj = l->w.j->toks + l->w.obj->next) {
		is_state(l, "kind", "");
		ctl_words_add(&l->w,
		    ": {registrations} registration{s}, {delivered} delivered "
		    "since start, {queue} waiting");
		show(l, "Kind", STYLE_PLAIN,
		    ctl_words_num(&l->w, "lastSuccess") > 0
			? ", the last taken {lastSuccess ago}"
			: "");
	}
}

/* Only of a site with several nodes. */
static void show_shared(struct line *l, const struct json_tok *t)
{
	bool good;

	l->w.obj = t;
	good = is_state(l, "state", "in step");
	ctl_words_add(&l->w, "[, {problem}]");
	if (l->w.text.len == 0)
		ctl_words_add(&l->w, ", {server}");
	show(l, "Shared book", good ? STYLE_GOOD : STYLE_BAD,
	    ", {waiting} changes wait");
}

/* Of what there may be several. */
static void show_parts(struct line *l)
{
	const struct json_tok *all = l->w.j->toks, *t;

	t = json_get(l->w.j, all, "brands");
	if (t != NULL)
		show_brands(l, t);
	t = json_get(l->w.j, all, "kinds");
	if (t != NULL)
		show_kinds(l, t);
	t = json_get(l->w.j, all, "shared");
	if (t != NULL)
		show_shared(l, t);
	l->w.obj = all;
}

static void show_counts(struct line *l)
{
	static const struct {
		const char *label, *text;
	} rows[] = {
		{ "Registrations",
		    "{registrations}, {oldTopic} with an old topic, "
		    "{forgotten} reported gone by Apple, {suspendedNow} "
		    "suspended" },
		{ "Queue", "{queue} waiting, {inFlight} in flight" },
		{ "Pushes",
		    "{delivered} delivered, {merged} merged, {retried} sent "
		    "again, {dropped} dropped" },
		{ "Asked",
		    "{registered} registration{s}, {notified} notification{s}, "
		    "{unwatched} unwatched, {unknownUsers} without a device" },
		{ "Refused", "{refused} malformed, {denied} not allowed" },
		{ "Clients", "{clients}" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		show(l, rows[i].label, STYLE_PLAIN, rows[i].text);
}

void ctl_show_status(const struct json *j)
{
	int64_t now_s = (int64_t)time(NULL);
	struct line l = { .w = CTL_WORDS_INIT(j, now_s) };
	bool healthy = ctl_words_flag(&l.w, "healthy");
	char age[16];

	ctl_age(ctl_words_num(&l.w, "uptime"), age);
	ctl_words_add(&l.w, "xapsd {version}, {tls}, up for ");
	buf_add_str(&l.w.text, age);
	show(&l, "Version", STYLE_PLAIN, "");
	if (healthy)
		strcpy(l.state, "ok");
	show(&l, "Health", healthy ? STYLE_GOOD : STYLE_BAD,
	    healthy ? "" : "{problem}");
	show_credentials(&l, now_s);
	show_warnings(&l);
	show_apple(&l);
	show_parts(&l);
	ctl_age(now_s - ctl_words_num(&l.w, "lastSuccess"), age);
	if (ctl_words_num(&l.w, "lastSuccess") > 0)
		buf_add_fmt(&l.w.text, "taken by Apple %s ago", age);
	show(&l, "Last push", STYLE_PLAIN,
	    l.w.text.len > 0 ? "" : "none since start");
	show_visits(&l);
	show_counts(&l);
	if (ctl_words_flag(&l.w, "storeFailing"))
		show(&l, "Disk", STYLE_BAD,
		    "registrations cannot be written: see the log");
	buf_free(&l.w.text);
}
