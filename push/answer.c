/* push/answer.c - what Apple's answer means for a registration: one table. */
#include "push/int.h"

#include <string.h>

#include "apns.h"
#include "conf.h"
#include "store.h"

/* Apple wants a JWT renewed no more often. */
#define RENEW_MIN_MS (20 * 60 * 1000)

/* What failed waits together with the new events, ms from now. */
static void send_again(struct push *p, int64_t ms)
{
	hashes_merge(&p->flight, &p->wait);
	p->wait = p->flight;
	memset(&p->flight, 0, sizeof(p->flight));
	p->q->counters.retried++;
	if (ms > 0)
		push_to(p, PUSH_PAUSED, ms);
	else
		push_to(p, PUSH_READY, PUSH_FRONT);
}

static void send_later(struct push *p, const struct apns_answer *an)
{
	const struct conf *conf = p->q->conf;
	int64_t ms;

	if (push_drop_expired(p))
		return;
	ms = apns_backoff_ms(conf->retry_min_ms, conf->retry_max_ms, p->tries);
	if (an->retry_after_s * 1000 > ms)
		ms = an->retry_after_s * 1000;
	send_again(p, ms > 0 ? ms : 1);
}

static void act_done(struct push *p, const struct apns_answer *an)
{
	(void)an;
	p->q->counters.delivered++;
	push_say(LOG_L_DEBUG, p, "delivered to Apple");
	push_settle(p);
}

static void act_forget(struct push *p, const struct apns_answer *an)
{
	struct push_queue *q = p->q;

	if (reg_time_s(p->reg) * 1000 >= an->timestamp_ms) {
		push_say(LOG_L_DEBUG, p, "registered again since Apple's 410");
		push_settle(p);
		return;
	}
	push_say(
	    LOG_L_INFO, p, "the device is gone (410): registration removed");
	q->counters.forgotten++;
	store_drop(q->store, p->reg); /* on_drop() releases p */
}

static void act_suspend(struct push *p, const struct apns_answer *an)
{
	char what[ERR_MAX];

	err_set(what,
	    "Apple refuses the device token (%d %s): suspended until the "
	    "device registers again",
	    an->status, an->reason);
	push_say(LOG_L_WARN, p, what);
	p->q->counters.suspended++;
	reg_suspend(p->reg);
	hashes_clear(&p->wait);
	push_settle(p);
}

static void act_hold(struct push *p, const struct apns_answer *an)
{
	char why[ERR_MAX];

	const char *words = apns_reason_words(an->reason);

	err_set(why, "Apple refuses our credentials (%d %s)%s%s", an->status,
	    an->reason, *words != '\0' ? ": " : "", words);
	push_hold(p->q, why, 0);
	send_again(p, 0);
}

/* Many may be answered so for one JWT: the first answer renews it. */
static void act_renew(struct push *p, const struct apns_answer *an)
{
	struct push_queue *q = p->q;
	int64_t now_ms = loop_now_ms(q->loop);

	(void)an;
	if (p->auth_gen == q->auth_gen) {
		if (q->renewed_ms != 0 &&
		    now_ms - q->renewed_ms < RENEW_MIN_MS) {
			push_hold(q,
			    "Apple calls a new JWT expired "
			    "(ExpiredProviderToken twice in 20 minutes): "
			    "this machine's clock is probably wrong",
			    0);
		}
		apns_renew_auth(q->apns);
		q->auth_gen++;
		q->renewed_ms = now_ms;
	}
	send_again(p, 0);
}

static void act_retry(struct push *p, const struct apns_answer *an)
{
	char what[ERR_MAX];

	p->tries++;
	if (an->outcome == APNS_ANSWERED)
		err_set(what, "Apple answered %d %s: will be sent again",
		    an->status, an->reason);
	else
		err_set(what, "no answer from Apple: will be sent again");
	push_say(LOG_L_DEBUG, p, what);
	send_later(p, an);
}

static void act_drop(struct push *p, const struct apns_answer *an)
{
	char what[ERR_MAX];

	err_set(what, "dropped: Apple answered %d %s", an->status, an->reason);
	push_say(LOG_L_WARN, p, what);
	p->q->counters.dropped++;
	push_settle(p);
}

/* Apple's answers: first match wins; a NULL reason matches any, one that ends
 * in '*' its start.  500 stands for every 5xx, 0 for all else.  known: Apple
 * takes our credentials, so that a hold is over. */
static const struct answer {
	int status;
	const char *reason;
	void (*act)(struct push *p, const struct apns_answer *an);
	bool known;
} answers[] = {
	{ 200, NULL, act_done, true },
	{ 410, "Unregistered", act_forget, true },
	{ 410, NULL, act_suspend, true },
	{ 400, "BadDeviceToken", act_suspend, true },
	{ 400, "DeviceTokenNotForTopic", act_suspend, true },
	{ 400, "TopicDisallowed", act_hold, false },
	{ 400, "MissingTopic", act_hold, false },
	{ 400, "BadTopic", act_hold, false },
	{ 400, "BadCertificate*", act_hold, false },
	{ 403, "ExpiredProviderToken", act_renew, false },
	{ 403, NULL, act_hold, false },
	{ 429, NULL, act_retry, false },
	{ 500, NULL, act_retry, false },
	{ 0, NULL, act_drop, false },
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

static const struct answer *find_answer(const struct apns_answer *an)
{
	int status = an->status >= 500 ? 500 : an->status;
	const struct answer *row = answers;

	while (
	    row->status != 0 &&
	    (row->status != status || !reason_matches(row->reason, an->reason)))
		row++;
	return row;
}

/* Once at once; a server that goes on refusing gets pauses. */
static void act_unprocessed(struct push *p, const struct apns_answer *an)
{
	if (p->tries++ == 0)
		send_again(p, 0);
	else
		send_later(p, an);
}

void push_answered(struct push *p, const struct apns_answer *an)
{
	const struct answer *row;

	switch (an->outcome) {
	case APNS_UNPROCESSED:
		act_unprocessed(p, an);
		break;
	case APNS_LOST:
		act_retry(p, an);
		break;
	case APNS_ANSWERED:
		row = find_answer(an);
		if (row->known)
			push_hold_ends(p->q);
		row->act(p, an);
		break;
	}
}
