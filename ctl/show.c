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
#define HOUR_S 3600
#define DAY_S 86400

/* --- pieces --- */

static int text_width(const char *text)
{
	return ctl_width(text, strlen(text));
}

static const struct unit {
	int s;
	const char *name, *word;
} units[] = {
	{ DAY_S, "d", " d ago" },
	{ HOUR_S, "h", " h ago" },
	{ MINUTE_S, "m", " min ago" },
	{ 1, "s", " s ago" },
};

/* The largest one that is in it; *n_r: how often. */
static const struct unit *find_unit(int64_t seconds, int *n_r)
{
	const struct unit *u = units;

	if (seconds < 0)
		seconds = 0;
	while (u->s > 1 && seconds < u->s)
		u++;
	*n_r = (int)(seconds / u->s);
	return u;
}

/* "5d", "3h", "12m", "8s" */
static void format_age(int64_t seconds, char out[16])
{
	int n;
	const struct unit *u = find_unit(seconds, &n);

	snprintf(out, 16, "%d%s", n, u->name);
}

const char *ctl_ago(int64_t seconds, char out[24])
{
	int n;
	const struct unit *u = find_unit(seconds, &n);

	snprintf(out, 24, "%d%s", n, u->word);
	return out;
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
	strcpy(row->text[C_PUSHED], "-");
	strcpy(row->text[C_CAME], "-");
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
	char token[REG_TOKEN_MAX + 1];
	int64_t age_s = now_s - reg_time_s(r);
	const char *what = state(live, r, age_s, ttl_s);

	snprintf(row->text[C_USER], sizeof(row->text[0]), "%s", reg_user(r));
	snprintf(row->text[C_DEVICE], SHOWN + 1, "%s", reg_token(r, token));
	snprintf(row->text[C_ACCOUNT],
	    reg_kind(r) == REG_APPLE ? SHOWN + 1 : CTL_ID_SHOWN + 1, "%s",
	    reg_account(r));
	strcpy(row->text[C_KIND], reg_kind_name(reg_kind(r)));
	/* Registered before the clock was set. */
	strcpy(row->text[C_REGISTERED], "-");
	strcpy(row->text[C_AGE], "-");
	if (reg_time_s(r) > 0) {
		log_date(reg_time_s(r), LOG_DATE_MINUTE, true,
		    row->text[C_REGISTERED]);
		format_age(age_s, row->text[C_AGE]);
	}
	snprintf(row->text[C_STATE], sizeof(row->text[0]), "%s", what);
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
		buf_add_str(&b, ",\"suspended\":");
		buf_add_str(&b, reg_suspended(regs[i]) ? "true" : "false");
		topic = live != NULL ? store_old_topic(live, regs[i]) : NULL;
		if (topic != NULL) {
			buf_add_str(&b, ",\"oldTopic\":");
			json_write_str(&b, topic);
		}
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
#define LINE_MAX_BYTES 4096 /* a few of ERR_MAX */

/* One row, which may take several lines.  The style is that of the state, or if
 * that is empty, of the text. */
static void show_line(
    const char *label, enum ctl_style style, const char *state, struct buf *b)
{
	buf_add_byte(b, '\0');
	ctl_cell(STYLE_HEAD, label, LABEL_WIDTH);
	ctl_cell(style, state, 0);
	ctl_text(stdout, *state == '\0' ? style : STYLE_PLAIN,
	    b->failed ? "" : (const char *)buf_head(b),
	    LABEL_WIDTH + text_width(state), LABEL_WIDTH, 0);
	buf_free(b);
}

static void show_text(const char *label, enum ctl_style style, const char *text)
{
	struct buf b = BUF_INIT(LINE_MAX_BYTES);

	buf_add_str(&b, text);
	show_line(label, style, "", &b);
}

/* One line: a label, then each number with its words. */
static const struct counts {
	const char *label;
	struct {
		const char *key, *words;
	} n[4];
} counts[] = {
	{ "Registrations",
	    { { "registrations", "" }, { "oldTopic", " with an old topic" },
		{ "forgotten", " reported gone by Apple" },
		{ "suspendedNow", " suspended" } } },
	{ "Queue", { { "queue", " waiting" }, { "inFlight", " in flight" } } },
	{ "Pushes",
	    { { "delivered", " delivered" }, { "merged", " merged" },
		{ "retried", " sent again" }, { "dropped", " dropped" } } },
	{ "Asked",
	    { { "registered", " registrations" },
		{ "notified", " notifications" }, { "unwatched", " unwatched" },
		{ "unknownUsers", " without a device" } } },
	{ "Refused",
	    { { "refused", " malformed" }, { "denied", " not allowed" } } },
	{ "Clients", { { "clients", "" } } },
};

static bool flag(const struct json *j, const char *key)
{
	const struct json_tok *t = json_get(j, j->toks, key);

	return t != NULL && t->type == JSON_TRUE;
}

static void show_counts(const struct json *j, const struct counts *row)
{
	const char *words;
	int64_t n;
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	size_t i, len;

	for (i = 0; i < 4 && row->n[i].key != NULL; i++) {
		n = ctl_num(j, j->toks, row->n[i].key);
		words = row->n[i].words;
		len = strlen(words);
		if (n == 1 && len > 0 && words[len - 1] == 's')
			len--; /* the plural's */
		buf_add_fmt(&b, "%s%lld%.*s", i > 0 ? ", " : "", (long long)n,
		    (int)len, words);
	}
	show_line(row->label, STYLE_PLAIN, "", &b);
}

static void show_pushes(const struct json *j)
{
	int64_t last_s = ctl_num(j, j->toks, "lastSuccess");
	char age[16], text[64] = "none since start";

	if (last_s > 0) {
		format_age((int64_t)time(NULL) - last_s, age);
		snprintf(text, sizeof(text), "taken by Apple %s ago", age);
	}
	show_text("Last push", STYLE_PLAIN, text);
}

/* How phones come. */
static void show_visits(const struct json *j)
{
	const struct json_tok *t = json_get(j, j->toks, "wakeupMedian");
	int64_t silent = ctl_num(j, j->toks, "silent");
	int64_t missed = ctl_num(j, j->toks, "missedDay");
	struct buf b = BUF_INIT(LINE_MAX_BYTES);

	if (ctl_num(j, j->toks, "visits") == 0) {
		show_text(
		    "Phones", STYLE_PLAIN, "no visit reported since start");
		return;
	}
	if (t != NULL)
		buf_add_fmt(&b, "came after %.*s s (a day's median), ",
		    (int)(t->end - t->start), j->text + t->start);
	buf_add_fmt(&b, "%lld push%s missed, %lld user%s silent",
	    (long long)missed, missed == 1 ? "" : "es", (long long)silent,
	    LOG_S(silent));
	show_line("Phones", STYLE_PLAIN, "", &b);
}

static void show_credentials(const struct json *j)
{
	int64_t expires_s = ctl_num(j, j->toks, "expires");
	int64_t left_s = expires_s - (int64_t)time(NULL);
	char kind[64], topic[256], date[LOG_DATE_MAX], age[16];
	struct buf b = BUF_INIT(LINE_MAX_BYTES);

	ctl_str(j, j->toks, "credentials", kind, sizeof(kind));
	ctl_str(j, j->toks, "topic", topic, sizeof(topic));
	buf_add_fmt(
	    &b, "%s%s%s", kind, topic[0] != '\0' ? ", topic " : "", topic);
	if (expires_s > 0) {
		log_date(expires_s, LOG_DATE_DAY, false, date);
		format_age(left_s, age);
		if (left_s > 0)
			buf_add_fmt(&b, ", valid until %s (%s)", date, age);
		else
			buf_add_fmt(&b, ", expired on %s", date);
	}
	show_line("Credentials", STYLE_PLAIN, "", &b);
}

static void show_warnings(const struct json *j)
{
	const struct json_tok *t = json_get(j, j->toks, "warnings"), *w;
	char text[2 * ERR_MAX];
	size_t i;

	if (t == NULL || t->type != JSON_ARRAY)
		return;
	w = t + 1;
	for (i = 0; i < t->size; i++, w = j->toks + w->next) {
		if (json_string(j, w, text, sizeof(text)) < 0)
			continue;
		show_text("Warning", STYLE_BAD, text);
	}
}

static void show_apple(const struct json *j)
{
	char state[64], host[256], proxy[300], error[ERR_MAX];
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	bool up;

	ctl_str(j, j->toks, "apns", state, sizeof(state));
	ctl_str(j, j->toks, "apnsHost", host, sizeof(host));
	ctl_str(j, j->toks, "apnsProxy", proxy, sizeof(proxy));
	ctl_str(j, j->toks, "apnsError", error, sizeof(error));
	up = strcmp(state, "connected") == 0;
	buf_add_fmt(&b, ", %s port %lld", host,
	    (long long)ctl_num(j, j->toks, "apnsPort"));
	if (proxy[0] != '\0')
		buf_add_fmt(&b, ", through the proxy %s", proxy);
	if (!up && error[0] != '\0')
		buf_add_fmt(&b, ": %s", error);
	show_line("Apple", up ? STYLE_GOOD : STYLE_BAD, state, &b);
}

/* All of a few, of many the bad ones. */
#define BRANDS_SHOWN 20

static void show_brand(
    const struct json *j, const struct json_tok *t, bool healthy)
{
	char name[80], state[32], problem[ERR_MAX], topic[256];
	struct buf b = BUF_INIT(LINE_MAX_BYTES);

	ctl_str(j, t, "name", name, sizeof(name));
	ctl_str(j, t, "state", state, sizeof(state));
	ctl_str(j, t, "topic", topic, sizeof(topic));
	ctl_str(j, t, "problem", problem, sizeof(problem));
	buf_add_fmt(&b, ": %s%s", healthy ? state : problem,
	    *topic != '\0' ? ", topic " : "");
	buf_add_fmt(&b,
	    "%s, %lld registrations, %lld with an old topic, "
	    "%lld waiting",
	    topic, (long long)ctl_num(j, t, "registrations"),
	    (long long)ctl_num(j, t, "oldTopic"),
	    (long long)ctl_num(j, t, "queued"));
	show_line("Brand", healthy ? STYLE_GOOD : STYLE_BAD, name, &b);
}

/* Only of a site with brands. */
static void show_brands(const struct json *j)
{
	const struct json_tok *t = json_get(j, j->toks, "brands"), *b, *ok;
	struct buf line = BUF_INIT(LINE_MAX_BYTES);
	size_t i, bad = 0;
	bool healthy;

	if (t == NULL)
		return;
	for (b = t + 1, i = 0; i < t->size; i++, b = j->toks + b->next) {
		ok = json_get(j, b, "healthy");
		healthy = ok != NULL && ok->type == JSON_TRUE;
		bad += !healthy;
		if (!healthy || t->size <= BRANDS_SHOWN)
			show_brand(j, b, healthy);
	}
	if (t->size <= BRANDS_SHOWN)
		return;
	buf_add_fmt(&line, "%zu, %zu bad", (size_t)t->size, bad);
	show_line("Brands", STYLE_PLAIN, "", &line);
}

/* Of what is not Apple's. */
static void show_kinds(const struct json *j)
{
	const struct json_tok *t = json_get(j, j->toks, "kinds"), *k;
	char kind[32], ago[24];
	int64_t last_s, n;
	size_t i;

	for (k = t + 1, i = 0; t != NULL && i < t->size;
	     i++, k = j->toks + k->next) {
		struct buf line = BUF_INIT(LINE_MAX_BYTES);

		ctl_str(j, k, "kind", kind, sizeof(kind));
		last_s = ctl_num(j, k, "lastSuccess");
		n = ctl_num(j, k, "registrations");
		buf_add_fmt(&line,
		    ": %lld registration%s, %lld delivered since start, %lld "
		    "waiting",
		    (long long)n, LOG_S(n),
		    (long long)ctl_num(j, k, "delivered"),
		    (long long)ctl_num(j, k, "queue"));
		if (last_s > 0)
			buf_add_fmt(&line, ", the last taken %s",
			    ctl_ago((int64_t)time(NULL) - last_s, ago));
		show_line("Kind", STYLE_PLAIN, kind, &line);
	}
}

/* Only of a site with several nodes. */
static void show_shared(const struct json *j)
{
	const struct json_tok *t = json_get(j, j->toks, "shared");
	char state[64], server[320], problem[ERR_MAX];
	struct buf b = BUF_INIT(LINE_MAX_BYTES);

	if (t == NULL)
		return;
	ctl_str(j, t, "state", state, sizeof(state));
	ctl_str(j, t, "server", server, sizeof(server));
	ctl_str(j, t, "problem", problem, sizeof(problem));
	buf_add_fmt(&b, ", %s, %lld changes wait",
	    problem[0] != '\0' ? problem : server,
	    (long long)ctl_num(j, t, "waiting"));
	show_line("Shared book",
	    strcmp(state, "in step") == 0 ? STYLE_GOOD : STYLE_BAD, state, &b);
}

void ctl_show_status(const struct json *j)
{
	char version[64], tls[64], problem[ERR_MAX], age[16];
	struct buf b = BUF_INIT(LINE_MAX_BYTES), none = BUF_INIT(1);
	bool healthy = flag(j, "healthy");
	size_t i;

	ctl_str(j, j->toks, "version", version, sizeof(version));
	ctl_str(j, j->toks, "tls", tls, sizeof(tls));
	ctl_str(j, j->toks, "problem", problem, sizeof(problem));
	format_age(ctl_num(j, j->toks, "uptime"), age);
	buf_add_fmt(&b, "xapsd %s, %s, up for %s", version, tls, age);
	show_line("Version", STYLE_PLAIN, "", &b);
	if (healthy)
		show_line("Health", STYLE_GOOD, "ok", &none);
	else
		show_text("Health", STYLE_BAD, problem);
	show_credentials(j);
	show_warnings(j);
	show_apple(j);
	show_brands(j);
	show_kinds(j);
	show_shared(j);
	show_pushes(j);
	show_visits(j);
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		show_counts(j, &counts[i]);
	if (flag(j, "storeFailing"))
		show_text("Disk", STYLE_BAD,
		    "registrations cannot be written: see the log");
}
