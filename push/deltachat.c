/* push/deltachat.c - pushes to Delta Chat's apps: their tokens, which nobody but
 * their developers' server can read, are sent there. */
#include "push/int.h"

#include <limits.h>
#include <string.h>

#include "conf.h"
#include "h2.h"
#include "url.h"

static struct push_lane *deltachat_lane(
    struct push_queue *q, struct reg *r, char err[ERR_MAX])
{
	(void)r;
	if (q->conf->deltachat_url != NULL)
		return push_origin_lane(
		    q, &push_way_deltachat, q->conf->deltachat_url, err);
	err_set(err, "deltachatUrl is not set, so Delta Chat's apps get no "
		     "pushes");
	return NULL;
}

static enum send_sent deltachat_send(
    struct push_lane *l, struct push *p, char err[ERR_MAX])
{
	const char *token = reg_to(p->reg);
	struct url u;
	struct hpack_header list[4];

	if (url_parse(l->q->conf->deltachat_url, &u, err) < 0)
		return SEND_NO_AUTH; /* push_check_text() has looked at it */
	send_put_post(list, &u, u.path);
	return send_request(l->sender, list, 4, token, strlen(token), p);
}

/* A redirect, 404 and their like: the address is wrong.  All else is about this
 * token, and no other one's fault. */
static void act_other(struct push *p, const struct send_answer *an)
{
	char why[ERR_MAX];

	if (an->status == 400 || an->status > 405) {
		push_act_drop(p, an);
		return;
	}
	err_set(why, "deltachatUrl: it answers %d: is the address right?",
	    an->status);
	push_hold(p->lane, why, 0);
	push_send_again(p, 0);
}

static const struct push_answer answers[] = {
	{ 410, ABOUT_DEVICE, NULL, push_act_remove },
	{ 0, ABOUT_PUSH, NULL, act_other },
};

const struct push_way push_way_deltachat = {
	.kind = REG_DELTACHAT,
	.service = "Delta Chat's server",
	.per_push = UINT_MAX, /* it names no mailbox */
	.only_new = true,
	.lane = deltachat_lane,
	.send = deltachat_send,
	.answers = answers,
};
