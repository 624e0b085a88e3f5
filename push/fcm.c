/* push/fcm.c - pushes by Firebase Cloud Messaging: a lane for each service account,
 * and what Google's answers mean. */
#include "push/int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "conf.h"
#include "cred.h"
#include "fcm.h"
#include "mem.h"
#include "url.h"
#include "users.h"

/* Of a lane.  It is the data of the lane of the same credential's Apple side. */
struct data {
	struct push_lane *apple; /* NULL: that has left it */
	struct fcm *fcm;	 /* NULL: there is no account (yet) */
	struct url url;
	struct buf message;
};

static void on_ready(void *arg)
{
	struct push_lane *l = arg;

	loop_task_queue(l->q->loop, &l->pump);
}

/* -1 with err set: nothing has changed. */
static int use_account(struct push_lane *l, char err[ERR_MAX])
{
	struct push_queue *q = l->q;
	struct data *d = l->data;
	const struct cred_service *account = cred_fcm(d->apple->cred);
	struct send_target to;

	if (url_parse(q->conf->fcm_url, &d->url, err) < 0 ||
	    push_target(q, "fcm", &d->url, &to, err) < 0)
		return -1;
	fcm_free(d->fcm);
	d->fcm = NULL;
	to.off = account == NULL;
	if (l->sender == NULL)
		l->sender = sender_new(
		    q->loop, &to, &push_send_ops, l, l->label, push_gate(q));
	else
		sender_set_target(l->sender, &to);
	if (account != NULL)
		d->fcm = fcm_new(
		    q->loop, account, &to, on_ready, l, l->label, push_gate(q));
	return 0;
}

static struct push_lane *make_lane(struct push_lane *apple, char err[ERR_MAX])
{
	struct push_lane *l =
	    push_lane_make(apple->q, &push_way_fcm, apple->label);
	struct data *d = xcalloc(1, sizeof(*d));

	l->data = d;
	d->apple = apple;
	buf_init(&d->message, FCM_MESSAGE_MAX);
	if (use_account(l, err) == 0) {
		apple->data = l;
		return l;
	}
	push_lane_free(l);
	return NULL;
}

static struct push_lane *fcm_lane(
    struct push_queue *q, struct reg *r, char err[ERR_MAX])
{
	struct push_lane *apple =
	    push_lane_at(q, users_find(q->fcm_users, reg_user(r)));
	struct push_lane *l;
	const struct data *d;

	if (cred_fcm(apple->cred) == NULL && apple->cred_error == NULL) {
		err_set(err, "fcmServiceAccount is not set: set it to the key "
			     "file of a service account");
		return NULL;
	}
	l = apple->data != NULL ? apple->data : make_lane(apple, err);
	d = l != NULL ? l->data : NULL;
	if (d != NULL && d->fcm == NULL) /* its file cannot be read yet */
		push_hold(l, apple->cred_error, 0);
	return l;
}

static void fcm_clear(struct push_lane *l)
{
	struct data *d = l->data;

	if (d == NULL) /* again */
		return;
	l->data = NULL;
	fcm_free(d->fcm);
	buf_free(&d->message);
	free(d);
}

/* What waits finds another lane, or hears that there is none. */
static void leave(struct push_lane *l)
{
	struct push *last = l->last, *p;
	struct data *d = l->data;

	d->apple->data = NULL;
	d->apple = NULL;
	fcm_free(d->fcm);
	d->fcm = NULL;
	loop_timer_clear(l->q->loop, &l->hold);
	sender_stop(l->sender);
	while (last != NULL) {
		p = l->first;
		push_change_lane(p);
		last = p != last ? last : NULL;
	}
	l->closing = true;
	if (l->count == 0)
		push_lane_free(l);
}

static void fcm_follow(struct push_lane *apple)
{
	struct push_lane *l = apple->data;
	char err[ERR_MAX];

	if (l == NULL)
		return;
	*err = '\0';
	if (apple->closing || cred_fcm(apple->cred) == NULL ||
	    use_account(l, err) < 0) {
		if (*err != '\0')
			log_error("push: %s%s", l->label, err);
		leave(l);
		return;
	}
	push_hold_forget(l);
}

/* --- sending --- */

/* For push_health(). */
static void note_trouble(struct push_lane *l, const char *why)
{
	if (*why == '\0')
		return;
	if (l->fail_ms == 0)
		l->fail_ms = loop_now_ms(l->q->loop);
	snprintf(l->fail_why, sizeof(l->fail_why), "%s", why);
	push_health(l);
}

static enum send_sent fcm_send(
    struct push_lane *l, struct push *p, char err[ERR_MAX])
{
	const struct push_note *n = push_note(p);
	struct data *d = l->data;
	bool is_new = strcmp(n->event, PUSH_NEW) == 0;
	const struct fcm_message m = {
		.token = reg_to(p->reg),
		.user = reg_user(p->reg),
		.mailbox = n->mailbox,
		.event = is_new ? PUSH_NEW : PUSH_OTHER,
		.urgent = is_new,
		.ttl_s = l->q->conf->push_expiration_s,
	};
	struct hpack_header list[FCM_N_HEADERS];
	char path[FCM_PATH_MAX];
	const char *bearer;
	enum send_sent sent = fcm_bearer(d->fcm, &bearer, err);

	if (sent == SEND_FULL)
		note_trouble(l, fcm_trouble(d->fcm));
	/* Somebody has to do something, unless NTP does. */
	if (sent == SEND_NO_AUTH && time(NULL) >= CLOCK_MIN_S)
		push_hold(l, err, 0);
	if (sent != SEND_SENT)
		return sent;
	fcm_headers(d->fcm, &d->url, bearer, path, list);
	fcm_write_message(&d->message, &m);
	assert(!d->message.failed);
	return send_request(l->sender, list, FCM_N_HEADERS,
	    buf_head(&d->message), d->message.len, p);
}

static void fcm_renew_auth(struct push_lane *l)
{
	struct data *d = l->data;

	if (d->fcm != NULL)
		fcm_renew(d->fcm);
}

/* fcmUrl leads somewhere else, or this message is at fault. */
static void act_other(struct push *p, const struct send_answer *an)
{
	(an->status / 100 == 3 ? push_act_hold : push_act_drop)(p, an);
}

static const struct push_answer answers[] = {
	{ 404, ABOUT_DEVICE, "UNREGISTERED", push_act_remove },
	/* Of Google's, but nothing that it says of an app that is gone. */
	{ 404, ABOUT_DEVICE, "NOT_FOUND", push_act_suspend },
	{ 404, ABOUT_CREDENTIALS, NULL, push_act_hold },
	{ 400, ABOUT_DEVICE, "INVALID_ARGUMENT", push_act_suspend },
	{ 401, ABOUT_DEVICE, "THIRD_PARTY_AUTH_ERROR", push_act_drop },
	{ 401, ABOUT_CREDENTIALS, NULL, push_act_renew },
	{ 403, ABOUT_DEVICE, "SENDER_ID_MISMATCH", push_act_suspend },
	{ 403, ABOUT_CREDENTIALS, NULL, push_act_hold },
	{ 0, ABOUT_PUSH, NULL, act_other },
};

const struct push_way push_way_fcm = {
	.kind = REG_FCM,
	.service = "Google",
	.per_push = 1,
	.lane = fcm_lane,
	.clear = fcm_clear,
	.send = fcm_send,
	.renew_auth = fcm_renew_auth,
	.follow = fcm_follow,
	.words = fcm_reason_words,
	.read_answer = fcm_read_answer,
	.answers = answers,
};
