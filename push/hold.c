/* push/hold.c - when Apple refuses our credentials, or the clock is wrong, all
 * sending pauses and is tried again later. */
#include "push/int.h"

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

const char *push_trouble(struct push_queue *q)
{
	if (cred_kind(q->cred) == CRED_NONE)
		return q->cred_error[0] != '\0'
			   ? q->cred_error
			   : "no credentials: set keyFileP8, "
			     "certificateFilePem or certificateFileP12";
	if (cred_check_time(q->cred, (int64_t)time(NULL), q->date_trouble) < 0)
		return q->date_trouble;
	return q->hold_ms != 0 ? q->trouble : NULL;
}
