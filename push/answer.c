/* push/answer.c - what Apple's answers mean for a push and its registration. */
#include "push/int.h"

#include <string.h>
#include <time.h>

#include "apns.h"
#include "clock.h"
#include "conf.h"
#include "store.h"

/* Apple allows a new JWT every 20 minutes. */
#define RENEW_MIN_MS (20 * 60 * 1000)

/* A larger Retry-After is treated as a mistake of the server's. */
#define RETRY_AFTER_MAX_S (60 * 60)

/* Differences between clocks below this are ignored. */
#define CLOCK_SLACK_S (60 * 60)

/* Merges the failed push with what waits, to be sent ms from now. */
static void send_again(struct push *p, int64_t ms)
{
	push_hashes_merge(&p->flight, &p->wait);
	p->wait = p->flight;
	memset(&p->flight, 0, sizeof(p->flight));
	p->lane->counters.retried++;
	if (ms > 0)
		push_set_state(p, PUSH_PAUSED, ms);
	else
		push_set_state(p, PUSH_READY, PUSH_FRONT);
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
	send_again(p, ms > 0 ? ms : 1);
}

static void act_delivered(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;

	(void)an;
	l->counters.delivered++;
	visits_taken(
	    &l->q->visits, p->reg, p->sent, p->came, loop_now_ms(l->q->loop));
	push_log(LOG_L_DEBUG, p, "delivered to Apple");
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

static void act_forget(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;

	if (!is_gone(p, an)) {
		push_log(LOG_L_DEBUG, p, "registered again since Apple's 410");
		push_finish(p);
		return;
	}
	push_log(
	    LOG_L_INFO, p, "the device is gone (410): registration removed");
	l->counters.forgotten++;
	store_drop(l->q->store, p->reg); /* on_drop() releases p */
}

static void act_suspend(struct push *p, const struct send_answer *an)
{
	char what[ERR_MAX];

	err_set(what,
	    "Apple refuses the device token (%d %s): suspended until the "
	    "device registers again",
	    an->status, an->reason);
	push_log(LOG_L_WARN, p, what);
	p->lane->counters.suspended++;
	store_suspend(p->lane->q->store, p->reg);
	push_hashes_clear(&p->wait);
	push_finish(p);
}

static void act_hold(struct push *p, const struct send_answer *an)
{
	char why[ERR_MAX];
	const char *words = apns_reason_words(an->reason);

	err_set(why, "Apple refuses our credentials (%d %s)%s%s", an->status,
	    an->reason, *words != '\0' ? ": " : "", words);
	push_hold(p->lane, why, 0);
	send_again(p, 0);
}

/* Many requests may get this answer for one JWT: the first answer renews it, the
 * others are outdated then. */
static void act_renew(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;
	int64_t now_ms = loop_now_ms(l->q->loop);

	(void)an;
	if (l->renewed_ms != 0 && now_ms - l->renewed_ms < RENEW_MIN_MS &&
	    !push_clock_stepped(l, l->renewed_clock_ms))
		push_hold(l,
		    "Apple calls a new JWT expired "
		    "(ExpiredProviderToken twice in 20 minutes): "
		    "this machine's clock is probably wrong",
		    0);
	push_renew_auth(l);
	l->renewed_ms = now_ms;
	l->renewed_clock_ms = push_clock_ms(l);
	send_again(p, 0);
}

static void act_retry(struct push *p, const struct send_answer *an)
{
	char what[ERR_MAX];

	p->tries++;
	if (an->outcome == SEND_ANSWERED)
		err_set(what, "Apple answered %d %s: will be sent again",
		    an->status, an->reason);
	else
		err_set(what, "no answer from Apple: will be sent again");
	push_log(LOG_L_DEBUG, p, what);
	send_later(p, an);
}

static void act_drop(struct push *p, const struct send_answer *an)
{
	char what[ERR_MAX];

	err_set(what, "dropped: Apple answered %d %s", an->status, an->reason);
	push_log(LOG_L_WARN, p, what);
	p->lane->counters.dropped++;
	push_finish(p);
}

/* If our clock is a day late, every push has expired already. */
static void act_omit_expiration(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;

	(void)an;
	if (l->no_expiration) {
		push_hold(l,
		    "Apple takes no push, with or without a date of expiration "
		    "(BadExpirationDate): this machine's clock is probably "
		    "wrong",
		    0);
		send_again(p, 0);
		return;
	}
	log_warn("push: %sApple does not take our date of expiration: this "
		 "machine's clock is probably wrong: sent without",
	    l->label);
	l->no_expiration = true;
	l->no_expiration_clock_ms = push_clock_ms(l);
	l->auth_gen++;
	apns_set_expiration(l->apns, false);
	send_again(p, 0);
}

enum about {
	ABOUT_PUSH,	   /* this request only */
	ABOUT_DEVICE,	   /* the registration; the credentials were accepted */
	ABOUT_CREDENTIALS, /* the credentials */
};

/* The first match wins.  Reason NULL matches any; a trailing '*' matches any rest.
 * Status 500 matches every 5xx, 0 everything. */
static const struct answer {
	int status;
	const char *reason;
	void (*act)(struct push *p, const struct send_answer *an);
	enum about about;
} answers[] = {
	{ 200, NULL, act_delivered, ABOUT_PUSH },
	{ 410, "Unregistered", act_forget, ABOUT_DEVICE },
	{ 410, NULL, act_suspend, ABOUT_DEVICE },
	{ 400, "BadDeviceToken", act_suspend, ABOUT_DEVICE },
	{ 400, "DeviceTokenNotForTopic", act_suspend, ABOUT_DEVICE },
	{ 400, "TopicDisallowed", act_hold, ABOUT_CREDENTIALS },
	{ 400, "MissingTopic", act_hold, ABOUT_CREDENTIALS },
	{ 400, "BadTopic", act_hold, ABOUT_CREDENTIALS },
	{ 400, "BadCertificate*", act_hold, ABOUT_CREDENTIALS },
	{ 400, "BadExpirationDate", act_omit_expiration, ABOUT_CREDENTIALS },
	{ 403, "ExpiredProviderToken", act_renew, ABOUT_CREDENTIALS },
	{ 403, NULL, act_hold, ABOUT_CREDENTIALS },
	{ 429, NULL, act_retry, ABOUT_PUSH },
	{ 500, NULL, act_retry, ABOUT_PUSH },
	{ 0, NULL, act_drop, ABOUT_PUSH },
};

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

static const struct answer *find_answer(const struct send_answer *an)
{
	int status = an->status >= 500 ? 500 : an->status;
	const struct answer *row = answers;

	while (
	    row->status != 0 &&
	    (row->status != status || !reason_matches(row->reason, an->reason)))
		row++;
	return row;
}

/* Sends it again at once the first time, later after pauses. */
static void act_unprocessed(struct push *p, const struct send_answer *an)
{
	if (p->tries++ == 0)
		send_again(p, 0);
	else
		send_later(p, an);
}

/* An answer to earlier credentials, or to a push from before the device registered
 * again, says nothing about the current ones: the push is sent again. */
static bool is_outdated(const struct push *p, enum about about)
{
	return (about != ABOUT_PUSH && p->auth_gen != push_auth_gen(p->lane)) ||
	       (about == ABOUT_DEVICE && p->renewed);
}

static void handle_reason(struct push *p, const struct send_answer *an)
{
	const struct answer *row = find_answer(an);

	if ((an->status == 200 || row->about == ABOUT_DEVICE) &&
	    p->auth_gen == push_auth_gen(p->lane))
		push_hold_end(p->lane);
	if (is_outdated(p, row->about)) {
		push_log(LOG_L_DEBUG, p,
		    "the answer is outdated: will be sent again");
		send_again(p, 0);
	} else {
		row->act(p, an);
	}
}

const char *push_answer_words(const struct send_answer *an, char line[ERR_MAX])
{
	const char *meaning;

	if (an->outcome == SEND_LOST)
		return "no answer from Apple: it will be sent again";
	if (an->outcome == SEND_UNPROCESSED)
		return "Apple closed the connection before it: it will be sent "
		       "again";
	if (an->status == 200)
		return VISITS_TAKEN;
	meaning = apns_reason_words(an->reason);
	err_set(line, "Apple answered %d %s%s%s", an->status, an->reason,
	    meaning[0] != '\0' ? ": " : "", meaning);
	return line;
}

void push_handle_answer(struct push *p, const struct send_answer *an)
{
	switch (an->outcome) {
	case SEND_UNPROCESSED:
		act_unprocessed(p, an);
		break;
	case SEND_LOST:
		act_retry(p, an);
		break;
	case SEND_ANSWERED:
		handle_reason(p, an);
		break;
	}
}
