/* push/answer.c - what answers mean for a push and its registration: by the table
 * of its way. */
#include "push/int.h"

#include <string.h>
#include <time.h>

#include "clock.h"
#include "conf.h"
#include "store.h"

/* Apple allows a new JWT every 20 minutes. */
#define RENEW_MIN_MS (20 * 60 * 1000)

/* A larger Retry-After is treated as a mistake of the server's. */
#define RETRY_AFTER_MAX_S (60 * 60)

/* Differences between clocks below this are ignored. */
#define CLOCK_SLACK_S (60 * 60)

void push_send_again(struct push *p, int64_t ms)
{
	push_give_back(p);
	p->lane->counters.retried++;
	if (ms > 0) {
		push_set_state(p, PUSH_PAUSED, ms);
		if (p->lane->closing) /* which is about to be freed */
			push_change_lane(p);
	} else {
		push_set_state(p, PUSH_READY, PUSH_FRONT);
	}
}

/* The age of the failed events counts: those that wait are newer. */
static void send_later(struct push *p, const struct send_answer *an)
{
	const struct conf *conf = p->lane->q->conf;
	bool tried = an->outcome != SEND_UNPROCESSED;
	int64_t ms, asked_s = an->retry_after_s;

	if ((tried || conf->push_expiration_s != 0) &&
	    push_is_expired(p->lane->q, p->flight_ms)) {
		push_note_expired(p);
		push_finish(p);
		return;
	}
	ms = loop_backoff_ms(conf->retry_min_ms, conf->retry_max_ms, p->tries);
	if (asked_s > RETRY_AFTER_MAX_S)
		asked_s = RETRY_AFTER_MAX_S;
	if (asked_s * 1000 > ms)
		ms = asked_s * 1000;
	push_send_again(p, ms > 0 ? ms : 1);
}

void push_act_done(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;

	(void)an;
	l->counters.delivered++;
	if (l->way->kind != REG_HOOK)
		visits_taken(&l->q->visits, p->reg, p->sent, p->came,
		    loop_now_ms(l->q->loop));
	push_log(LOG_L_DEBUG, p, "delivered to %s", l->way->service);
	push_finish(p);
}

/* Whether Apple's 410 applies to this registration, and not to an earlier one of
 * the same device.  Without a timestamp, or if ours is from a clock that was
 * ahead, it applies: the device registered before the push was sent. */
static bool is_gone(const struct push *p, const struct send_answer *an)
{
	int64_t now_s = (int64_t)time(NULL), time_s = reg_time_s(p->reg);

	return an->timestamp_ms <= 0 || time_s * 1000 < an->timestamp_ms ||
	       (now_s >= CLOCK_MIN_S && time_s > now_s + CLOCK_SLACK_S);
}

/* "410 Unregistered", or "410". */
static const char *answer_text(const struct send_answer *an, char text[ERR_MAX])
{
	err_set(text, "%d%s%s", an->status, *an->reason != '\0' ? " " : "",
	    an->reason);
	return text;
}

static const char *words_of(const struct push_lane *l, const char *reason)
{
	return l->way->words != NULL ? l->way->words(reason) : "";
}

void push_act_remove(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;

	if (!is_gone(p, an)) {
		push_log(LOG_L_DEBUG, p, "registered again since Apple's 410");
		push_finish(p);
		return;
	}
	push_log(LOG_L_INFO, p, "the device is gone (%d): registration removed",
	    an->status);
	l->counters.forgotten++;
	store_drop(l->q->store, p->reg); /* on_drop() releases p */
}

void push_act_suspend(struct push *p, const struct send_answer *an)
{
	char text[ERR_MAX];

	push_log(LOG_L_WARN, p,
	    "%s refuses the %s (%s): suspended until the device registers "
	    "again",
	    p->lane->way->service, p->noted ? "registration" : "device token",
	    answer_text(an, text));
	p->lane->counters.suspended++;
	store_suspend(p->lane->q->store, p->reg);
	push_clear(p);
	push_finish(p);
}

void push_act_hold(struct push *p, const struct send_answer *an)
{
	char why[ERR_MAX], text[ERR_MAX];
	const char *words = words_of(p->lane, an->reason);

	err_set(why, "%s refuses our credentials (%s)%s%s",
	    p->lane->way->service, answer_text(an, text),
	    *words != '\0' ? ": " : "", words);
	push_hold(p->lane, why, 0);
	push_send_again(p, 0);
}

/* Many requests may get this answer for one JWT: the first answer renews it, the
 * others are outdated then. */
void push_act_renew(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;
	int64_t now_ms = loop_now_ms(l->q->loop);
	char why[ERR_MAX], text[ERR_MAX];

	if (l->renewed_ms != 0 && now_ms - l->renewed_ms < RENEW_MIN_MS &&
	    !push_clock_stepped(l, l->renewed_clock_ms)) {
		err_set(why,
		    "%s calls a new JWT expired (%s twice in 20 minutes): "
		    "this machine's clock is probably wrong",
		    l->way->service,
		    *an->reason != '\0' ? an->reason : answer_text(an, text));
		push_hold(l, why, 0);
	}
	push_renew_auth(l);
	l->renewed_ms = now_ms;
	l->renewed_clock_ms = push_clock_ms(l);
	push_send_again(p, 0);
}

void push_act_retry(struct push *p, const struct send_answer *an)
{
	const char *service = p->lane->way->service;
	char text[ERR_MAX];

	p->tries++;
	if (an->outcome == SEND_ANSWERED)
		push_log(LOG_L_DEBUG, p, "%s answered %s: will be sent again",
		    service, answer_text(an, text));
	else
		push_log(LOG_L_DEBUG, p,
		    "no answer from %s: will be sent again", service);
	send_later(p, an);
}

void push_act_drop(struct push *p, const struct send_answer *an)
{
	char text[ERR_MAX];

	push_log(LOG_L_WARN, p, "dropped: %s answered %s",
	    p->lane->way->service, answer_text(an, text));
	p->lane->counters.dropped++;
	push_finish(p);
}

static bool reason_matches(const char *pattern, const char *reason)
{
	size_t n;

	if (pattern == NULL)
		return true;
	n = strlen(pattern);
	if (pattern[n - 1] == '*')
		return strncmp(pattern, reason, n - 1) == 0;
	return strcmp(pattern, reason) == 0;
}

/* The same for every way, unless its own table says something else. */
static const struct push_answer common[] = {
	{ 200, ABOUT_PUSH, NULL, push_act_done },
	{ 408, ABOUT_PUSH, NULL, push_act_retry },
	{ 429, ABOUT_PUSH, NULL, push_act_retry },
	{ 500, ABOUT_PUSH, NULL, push_act_retry },
	{ 0, ABOUT_PUSH, NULL, NULL },
};

static const struct push_answer *find_row(
    const struct push_answer *row, int status, const struct send_answer *an)
{
	while (
	    row->status != 0 &&
	    (row->status != status || !reason_matches(row->reason, an->reason)))
		row++;
	return row;
}

const struct push_answer *push_find_answer(
    const struct push_lane *l, const struct send_answer *an)
{
	const struct push_answer *own, *row = common;
	int status = an->status / 100;

	if (an->outcome != SEND_ANSWERED)
		return NULL;
	if (status == 2) /* nearly always */
		return row;
	status = status == 5 ? 500 : an->status;
	own = find_row(l->way->answers, status, an);
	row = find_row(common, status, an);
	return own->status != 0 || row->status == 0 ? own : row;
}

/* Sends it again at once the first time, later after pauses. */
static void act_unprocessed(struct push *p, const struct send_answer *an)
{
	if (p->tries++ == 0)
		push_send_again(p, 0);
	else
		send_later(p, an);
}

/* An answer to earlier credentials, or to a push from before the device registered
 * again, says nothing about the current ones: the push is sent again. */
static bool is_outdated(const struct push *p, enum push_about about)
{
	return (about != ABOUT_PUSH && p->auth_gen != push_auth_gen(p->lane)) ||
	       (about == ABOUT_DEVICE && p->renewed);
}

static void handle_reason(
    struct push *p, const struct push_answer *row, const struct send_answer *an)
{
	if (p->lane->hold_ms != 0 &&
	    (push_answer_is_good(row) || row->about == ABOUT_DEVICE) &&
	    p->auth_gen == push_auth_gen(p->lane))
		push_hold_end(p->lane);
	if (is_outdated(p, row->about)) {
		push_log(LOG_L_DEBUG, p,
		    "the answer is outdated: will be sent again");
		push_send_again(p, 0);
	} else {
		row->act(p, an);
	}
}

static void write_words(const struct push_lane *l,
    const struct push_answer *row, const struct send_answer *an,
    char line[ERR_MAX])
{
	const char *service = l->way->service, *meaning;
	char text[ERR_MAX];

	if (an->outcome == SEND_LOST) {
		err_set(
		    line, "no answer from %s: it will be sent again", service);
	} else if (an->outcome == SEND_UNPROCESSED) {
		err_set(line,
		    "%s closed the connection before it: it will be sent again",
		    service);
	} else if (push_answer_is_good(row)) {
		err_set(line, "%s took it", service);
	} else {
		meaning = words_of(l, an->reason);
		err_set(line, "%s answered %s%s%s", service,
		    answer_text(an, text), meaning[0] != '\0' ? ": " : "",
		    meaning);
	}
}

const char *push_answer_words(const struct push_lane *l,
    const struct push_answer *row, const struct send_answer *an,
    char line[ERR_MAX])
{
	if (l->way == &push_way_apple && push_answer_is_good(row))
		return VISITS_TAKEN; /* nearly always */
	write_words(l, row, an, line);
	return line;
}

void push_handle_answer(
    struct push *p, const struct push_answer *row, const struct send_answer *an)
{
	switch (an->outcome) {
	case SEND_UNPROCESSED:
		act_unprocessed(p, an);
		break;
	case SEND_LOST:
		push_act_retry(p, an);
		break;
	case SEND_ANSWERED:
		handle_reason(p, row, an);
		break;
	}
}
