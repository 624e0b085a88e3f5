/* push/hold.c - when Apple refuses our credentials, or the clock is wrong, all
 * sending pauses and is tried again later. */
#include "push/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apns.h"
#include "cred.h"

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

int64_t push_clock_ms(const struct push_queue *q)
{
	return (int64_t)time(NULL) * 1000 - loop_now_ms(q->loop);
}

bool push_clock_stepped(const struct push_queue *q, int64_t since_ms)
{
	return llabs(push_clock_ms(q) - since_ms) > STEP_MS;
}

/* Sets the timer to the end of the hold, or to the next check of the clock. */
static void set_hold_timer(struct push_queue *q)
{
	int64_t ms = q->hold_until_ms - loop_now_ms(q->loop);

	if (ms > HOLD_CHECK_MS)
		ms = HOLD_CHECK_MS;
	loop_timer_set(q->loop, &q->hold, ms);
}

void push_on_hold_over(void *arg)
{
	struct push_queue *q = arg;

	if (push_clock_stepped(q, q->hold_clock_ms)) {
		log_info("push: the clock was set: tried again at once");
		push_renew_auth(q);
	} else if (loop_now_ms(q->loop) < q->hold_until_ms) {
		set_hold_timer(q);
		return;
	}
	q->probing = true;
	loop_task_queue(q->loop, &q->pump);
}

void push_renew_auth(struct push_queue *q)
{
	apns_renew_auth(q->apns);
	q->auth_gen++;
	q->renewed_ms = 0;
}

unsigned push_auth_gen(struct push_queue *q)
{
	unsigned jwts = cred_jwt_count(q->cred);

	if (jwts != q->jwts) {
		q->jwts = jwts;
		q->auth_gen++;
	}
	return q->auth_gen;
}

void push_hold(struct push_queue *q, const char *why, int64_t pause_ms)
{
	if (loop_timer_is_set(&q->hold))
		return;
	if (q->hold_ms == 0 || strcmp(q->trouble, why) != 0)
		log_error("push: %s: pushes wait and are tried again from "
			  "time to time",
		    why);
	err_set(q->trouble, "%s", why);
	if (pause_ms == 0)
		pause_ms =
		    q->hold_ms < HOLD_MIN_MS ? HOLD_MIN_MS : q->hold_ms * 2;
	q->hold_ms = pause_ms < HOLD_MAX_MS ? pause_ms : HOLD_MAX_MS;
	q->hold_until_ms = loop_now_ms(q->loop) + q->hold_ms;
	q->hold_clock_ms = push_clock_ms(q);
	set_hold_timer(q);
}

void push_hold_end(struct push_queue *q)
{
	if (q->hold_ms == 0)
		return;
	log_info("push: Apple accepts our credentials again");
	q->hold_ms = 0;
	q->probing = false;
	q->trouble[0] = '\0';
	loop_timer_clear(q->loop, &q->hold);
}

void push_check_clock(struct push_queue *q)
{
	if (loop_timer_is_set(&q->hold) &&
	    push_clock_stepped(q, q->hold_clock_ms))
		loop_timer_set(q->loop, &q->hold, 0);
	if (q->no_expiration &&
	    push_clock_stepped(q, q->no_expiration_clock_ms)) {
		q->no_expiration = false;
		apns_set_expiration(q->apns, true);
	}
}

/* --- health --- */

void push_note_answer(struct push_queue *q, const struct apns_answer *an)
{
	bool taken = an->outcome == APNS_ANSWERED && an->status < 500;

	if (taken && an->status == 200)
		q->delivered_s = (int64_t)time(NULL);
	if (taken) {
		q->fail_ms = 0;
	} else {
		if (q->fail_ms == 0)
			q->fail_ms = loop_now_ms(q->loop);
		if (an->outcome == APNS_ANSWERED)
			snprintf(q->fail_why, sizeof(q->fail_why), "%d %s",
			    an->status, an->reason);
		else
			strcpy(q->fail_why, "no answer");
	}
	if (!taken || q->stalled)
		push_health(q);
}

const char *push_trouble(struct push_queue *q)
{
	if (cred_kind(q->cred) == CRED_NONE)
		return q->cred_error[0] != '\0'
			   ? q->cred_error
			   : "no credentials: set keyFileP8, "
			     "certificateFilePem or certificateFileP12";
	if (cred_check_time(q->cred, (int64_t)time(NULL), q->health) < 0)
		return q->health;
	return q->hold_ms != 0 ? q->trouble : NULL;
}

/* Without a timer: nothing has to happen when the time is over. */
static bool is_stalled(struct push_queue *q)
{
	struct apns_status st = { 0 };
	int64_t ms;

	if (q->count == 0)
		return false;
	apns_get_status(q->apns, &st);
	if (st.down_ms >= STALL_MS) {
		err_set(q->health, "not connected to Apple for %d min%s%s",
		    (int)(st.down_ms / 60000),
		    *st.last_error != '\0' ? ": " : "", st.last_error);
		return true;
	}
	ms = q->fail_ms == 0 ? 0 : loop_now_ms(q->loop) - q->fail_ms;
	err_set(q->health, "Apple has taken no push for %d min: %s",
	    (int)(ms / 60000), q->fail_why);
	return ms >= STALL_MS;
}

const char *push_health(struct push_queue *q)
{
	const char *trouble = push_trouble(q);
	bool stalled;

	if (trouble != NULL)
		return trouble;
	stalled = is_stalled(q);
	if (stalled && !q->stalled)
		log_error("push: %s: pushes wait", q->health);
	else if (!stalled && q->stalled)
		log_info("push: no push waits for Apple any more");
	q->stalled = stalled;
	return stalled ? q->health : NULL;
}

int64_t push_last_delivery_s(const struct push_queue *q)
{
	return q->delivered_s;
}
