/* push/hold.c - when Apple refuses our credentials, or the clock is wrong, all
 * sending pauses and is tried again later. */
#include "push/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apns.h"
#include "conf.h"
#include "cred.h"
#include "mem.h"

/* Pauses after Apple refused our credentials: somebody has to correct them. */
#define HOLD_MIN_MS (60 * 1000)
#define HOLD_MAX_MS (60 * 60 * 1000)

/* JWT and apns-expiration depend on the wall clock: while they are refused we check
 * this often whether it was set.  Steps below STEP_MS make no difference to
 * either. */
#define HOLD_CHECK_MS (60 * 1000)
#define STEP_MS (60 * 1000)

/* Pushes wait and Apple takes none for so long: trouble.  Restarts of a router,
 * and of Apple's servers, are over before. */
#define STALL_MS (5 * 60 * 1000)

int64_t push_clock_ms(const struct push_lane *l)
{
	return (int64_t)time(NULL) * 1000 - loop_now_ms(l->q->loop);
}

bool push_clock_stepped(const struct push_lane *l, int64_t since_ms)
{
	return llabs(push_clock_ms(l) - since_ms) > STEP_MS;
}

void push_set_text(char **text, const char *to)
{
	free(*text);
	*text = *to != '\0' ? xstrdup(to) : NULL;
}

/* Sets the timer to the end of the hold, or to the next check of the clock. */
static void set_hold_timer(struct push_lane *l)
{
	int64_t ms = l->hold_until_ms - loop_now_ms(l->q->loop);

	if (ms > HOLD_CHECK_MS)
		ms = HOLD_CHECK_MS;
	loop_timer_set(l->q->loop, &l->hold, ms);
}

void push_on_hold_over(void *arg)
{
	struct push_lane *l = arg;

	if (push_clock_stepped(l, l->hold_clock_ms)) {
		log_info(
		    "push: %sthe clock was set: tried again at once", l->label);
		push_renew_auth(l);
	} else if (loop_now_ms(l->q->loop) < l->hold_until_ms) {
		set_hold_timer(l);
		return;
	}
	l->probing = true;
	loop_task_queue(l->q->loop, &l->pump);
}

void push_renew_auth(struct push_lane *l)
{
	if (!l->closing && l->way->renew_auth != NULL)
		l->way->renew_auth(l);
	l->auth_gen++;
	l->renewed_ms = 0;
}

unsigned push_auth_gen(struct push_lane *l)
{
	unsigned jwts = l->jwts;

	if (!l->closing && l->way == &push_way_apple)
		jwts = cred_jwt_count(l->cred);
	if (jwts != l->jwts) {
		l->jwts = jwts;
		l->auth_gen++;
	}
	return l->auth_gen;
}

void push_hold(struct push_lane *l, const char *why, int64_t pause_ms)
{
	if (loop_timer_is_set(&l->hold))
		return;
	if (l->hold_ms == 0 || strcmp(l->trouble, why) != 0) {
		log_error("push: %s%s: pushes wait and are tried again from "
			  "time to time",
		    l->label, why);
		push_set_text(&l->trouble, why);
	}
	if (pause_ms == 0)
		pause_ms =
		    l->hold_ms < HOLD_MIN_MS ? HOLD_MIN_MS : l->hold_ms * 2;
	l->hold_ms = pause_ms < HOLD_MAX_MS ? pause_ms : HOLD_MAX_MS;
	l->hold_until_ms = loop_now_ms(l->q->loop) + l->hold_ms;
	l->hold_clock_ms = push_clock_ms(l);
	set_hold_timer(l);
}

void push_hold_forget(struct push_lane *l)
{
	l->hold_ms = 0;
	l->probing = false;
	loop_timer_clear(l->q->loop, &l->hold);
	l->auth_gen++;
	l->renewed_ms = 0;
	loop_task_queue(l->q->loop, &l->pump);
}

void push_hold_end(struct push_lane *l)
{
	if (l->hold_ms == 0)
		return;
	log_info("push: %s%s accepts our credentials again", l->label,
	    l->way->service);
	l->hold_ms = 0;
	l->probing = false;
	loop_timer_clear(l->q->loop, &l->hold);
}

void push_check_clock(struct push_lane *l)
{
	if (loop_timer_is_set(&l->hold) &&
	    push_clock_stepped(l, l->hold_clock_ms))
		loop_timer_set(l->q->loop, &l->hold, 0);
	if (l->no_expiration &&
	    push_clock_stepped(l, l->no_expiration_clock_ms)) {
		l->no_expiration = false;
		apns_set_expiration(l->apns, true);
	}
}

/* --- health --- */

static char health[ERR_MAX]; /* the last verdict */

void push_note_answer(
    struct push_lane *l, bool is_good, const struct send_answer *an)
{
	bool taken = an->outcome == SEND_ANSWERED && an->status < 500;

	if (is_good)
		l->delivered_s = (int64_t)time(NULL);
	if (taken) {
		l->fail_ms = 0;
	} else {
		if (l->fail_ms == 0)
			l->fail_ms = loop_now_ms(l->q->loop);
		if (an->outcome == SEND_ANSWERED)
			snprintf(l->fail_why, sizeof(l->fail_why), "%d %s",
			    an->status, an->reason);
		else
			strcpy(l->fail_why, "no answer");
	}
	if (!taken || l->stalled)
		push_health(l);
}

const char *push_trouble(struct push_lane *l)
{
	if (l->way != &push_way_apple)
		return l->hold_ms != 0 || l->sender == NULL ? l->trouble : NULL;
	if (cred_kind(l->cred) == CRED_NONE)
		return l->cred_error != NULL
			   ? l->cred_error
			   : "no credentials: set keyFileP8, "
			     "certificateFilePem or certificateFileP12";
	if (cred_check_time(l->cred, (int64_t)time(NULL), health) < 0)
		return health;
	return l->hold_ms != 0 ? l->trouble : NULL;
}

/* Without a timer: nothing has to happen when the time is over. */
static bool is_stalled(struct push_lane *l)
{
	struct send_status st = { 0 };
	int64_t ms;

	if (l->count == 0)
		return false;
	sender_get_status(l->sender, &st);
	if (st.down_ms >= STALL_MS) {
		err_set(health, "not connected to %s for %d min%s%s",
		    l->way->service, (int)(st.down_ms / 60000),
		    *st.last_error != '\0' ? ": " : "", st.last_error);
		return true;
	}
	ms = l->fail_ms == 0 ? 0 : loop_now_ms(l->q->loop) - l->fail_ms;
	err_set(health, "%s has taken no push for %d min: %s", l->way->service,
	    (int)(ms / 60000), l->fail_why);
	return ms >= STALL_MS;
}

const char *push_health(struct push_lane *l)
{
	const char *trouble = l->closing ? NULL : push_trouble(l);
	bool stalled;

	if (trouble != NULL)
		return trouble;
	stalled = is_stalled(l);
	if (stalled && !l->stalled)
		log_error("push: %s%s: pushes wait", l->label, health);
	else if (!stalled && l->stalled)
		log_info("push: %sno push waits for Apple any more", l->label);
	l->stalled = stalled;
	return stalled ? health : NULL;
}

bool push_next_trouble(struct push_queue *q, size_t *at, char line[ERR_MAX])
{
	const struct push_lane *l;
	size_t i = 0;

	for (l = q->others; l != NULL; l = l->next) {
		if (i++ < *at || l->hold_ms == 0 || l->closing ||
		    l->way == &push_way_apple)
			continue;
		*at = i;
		err_set(line, "%s%s", l->label, l->trouble);
		return true;
	}
	return false;
}

bool push_is_unset(const struct push_lane *l)
{
	return cred_kind(l->cred) == CRED_NONE && l->cred_error == NULL;
}

static bool is_connected(const struct push_lane *l)
{
	struct send_status st = { 0 };

	sender_get_status(l->sender, &st);
	return st.state == SEND_UP && st.down_ms == 0 && !l->stalled;
}

/* Without a credential for Apple: NULL if something else is configured, and can be
 * sent as far as we know. */
static const char *verdict_of_others(struct push_queue *q, bool cred)
{
	bool any = q->conf->hooks_dir != NULL ||
		   q->conf->deltachat_url != NULL ||
		   cred_fcm(q->main.cred) != NULL;
	const char *why = NULL, *one;
	struct push_lane *l;
	bool good = false;

	for (l = q->others; l != NULL; l = l->next) {
		if (l->way == &push_way_apple) {
			any = any || cred_fcm(l->cred) != NULL;
			continue;
		}
		one = cred ? push_trouble(l) : push_health(l);
		good = good || one == NULL;
		why = good ? NULL : one;
	}
	return any ? why : push_trouble(&q->main);
}

/* A lane that is idle knows nothing of the way to Apple, which is the same for
 * all; a lane that Apple refuses says nothing about the others. */
const char *push_verdict(struct push_queue *q, bool cred)
{
	struct push_lane *l, *bad = NULL, *stalled = NULL;
	bool good = false, connected = false;
	size_t i;

	for (i = 0; i < q->n_lanes; i++) {
		l = q->lanes[i];
		if (push_is_unset(l))
			continue;
		if (push_trouble(l) == NULL)
			good = true;
		else if (bad == NULL)
			bad = l;
		if (push_health(l) != NULL && l->stalled && stalled == NULL)
			stalled = l;
		connected = connected || is_connected(l);
	}
	if (q->n_lanes == 0)
		bad = &q->main;
	else if (good && (cred || stalled == NULL || connected))
		return NULL;
	else if (good)
		bad = stalled;
	if (bad == NULL)
		bad = &q->main;
	if (push_is_unset(bad))
		return verdict_of_others(q, cred);
	return cred ? push_trouble(bad) : push_health(bad);
}
