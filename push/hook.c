/* push/hook.c - hooks: each has a lane of its own, so that one which does not answer
 * delays no other. */
#include "push/int.h"

#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "cred.h"
#include "hook.h"
#include "mem.h"
#include "tls.h"

/* Nobody reads what hooks answer. */
#define ANSWER_MAX 256
/* Until a reload. */
#define SUSPENDED_MS (INT64_C(1000) * 365 * 24 * 60 * 60 * 1000)

/* The data of a hook's lane. */
struct one {
	char *name;
	const struct hook *hook; /* borrowed; NULL: its file is gone */
	struct push_lane *lane;	 /* NULL: not needed so far */
	bool suspended;
};

/* The data of their home, which every hook shares. */
struct hooks {
	struct one **list;
	size_t n;
	struct hook_request request;
};

static struct hooks *hooks_of(const struct push_queue *q)
{
	const struct push_lane *home = q->homes[REG_HOOK];

	return home != NULL ? home->data : NULL;
}

static struct one *find_one(const struct hooks *h, const char *name)
{
	size_t i;

	for (i = 0; h != NULL && i < h->n; i++)
		if (strcmp(h->list[i]->name, name) == 0)
			return h->list[i];
	return NULL;
}

static struct one *find_for(const struct push_queue *q, const struct reg *r)
{
	char name[REG_ACCOUNT_MAX + 1];

	return find_one(hooks_of(q), reg_account(r, name));
}

/* --- events --- */

/* Not any more once something was taken, after the clock was set. */
static bool is_suspended(const struct one *o)
{
	return o->suspended && o->lane->hold_ms != 0;
}

/* The registration of the next hook from *at on that wants this; NULL: no more. */
static struct reg *find_next(struct push_queue *q, const char *user,
    const char *event, bool suspended, size_t *at)
{
	struct hooks *h = hooks_of(q);
	const struct one *o;
	struct reg *r;

	while (h != NULL && *at < h->n) {
		o = h->list[(*at)++];
		if (o->hook == NULL || (is_suspended(o) && !suspended) ||
		    !hook_wants(o->hook, user, event))
			continue;
		r = push_memory_reg(q, REG_HOOK, user, o->name);
		if (r != NULL)
			return r;
	}
	return NULL;
}

static bool notify(struct push_queue *q, const char *owner, const char *mailbox,
    const struct push_event *ev)
{
	struct reg *r;
	size_t at = 0;
	bool any = false;

	while ((r = find_next(q, owner, ev->name, false, &at)) != NULL) {
		push_add_named(q, r, mailbox, ev);
		any = true;
	}
	return any;
}

static struct reg *next(struct push_queue *q, const char *user, size_t *at)
{
	return find_next(q, user, HOOK_NEW, true, at);
}

static int64_t delay_ms(const struct push_queue *q, const struct reg *r)
{
	const struct one *o = find_for(q, r);

	return o != NULL && o->hook != NULL ? hook_delay_ms(o->hook) : 0;
}

/* --- lanes --- */

static int target(struct push_queue *q, const struct hook *hook,
    struct send_target *to_r, char err[ERR_MAX])
{
	if (push_target(q, "send", hook_url(hook), to_r, err) < 0)
		return -1;
	to_r->body_max = ANSWER_MAX;
	return 0;
}

static struct push_lane *lane(
    struct push_queue *q, struct reg *r, char err[ERR_MAX])
{
	struct one *o = find_for(q, r);
	struct send_target to;
	char label[ERR_MAX];

	if (o == NULL || o->hook == NULL) {
		err_set(err, "its file is gone, or bad");
		return NULL;
	}
	if (o->lane != NULL)
		return o->lane;
	if (target(q, o->hook, &to, err) < 0)
		return NULL;
	err_set(label, "hook %s: ", o->name);
	o->lane = push_lane_make(q, &push_way_hook, label);
	o->lane->data = o;
	o->lane->sender = sender_new(q->loop, &to, &push_send_ops, o->lane,
	    o->lane->label, push_gate(q));
	return o->lane;
}

static enum send_sent send(
    struct push_lane *l, struct push *p, char err[ERR_MAX])
{
	const struct push_note *n = push_note(p);
	struct hook_request *r = &hooks_of(l->q)->request;
	const struct one *o = l->data;
	const struct hook_event e = {
		.user = reg_user(p->reg),
		.mailbox = n->mailbox,
		.name = n->event,
		.unseen = n->unseen,
		.id = n->id,
	};

	if (!hook_build(o->hook, &e, r)) {
		err_set(err, "a name is too long"); /* of an edited file */
		return SEND_NO_AUTH;
	}
	return send_request(
	    l->sender, r->list, r->n, r->body.mem, r->body.len, p);
}

static void free_one(struct one *o)
{
	free(o->name);
	free(o);
}

/* Of their home; a lane's is there, too. */
static void clear(struct push_lane *l)
{
	struct hooks *h = l->data;

	if (l != l->q->homes[REG_HOOK] || h == NULL)
		return;
	while (h->n > 0)
		free_one(h->list[--h->n]);
	free(h->list);
	hook_request_free(&h->request);
	free(h);
	l->data = NULL;
}

/* --- answers --- */

/* What waits is kept for the reload. */
static void act_suspend(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;
	struct one *o = l->data;
	char why[ERR_MAX];

	if (!is_suspended(o)) {
		l->auth_gen++; /* answers under way change nothing */
		err_set(why,
		    "suspended, since the service answers %d: mend url, then "
		    "reload (SIGHUP)",
		    an->status);
		log_error("push: %s%s", l->label, why);
		push_set_text(&l->trouble, why);
		l->counters.suspended++;
	}
	o->suspended = true;
	l->hold_ms = 1; /* there is a trouble */
	l->hold_clock_ms = push_clock_ms(l);
	loop_timer_set(l->q->loop, &l->hold, SUSPENDED_MS);
	push_finish(p);
}

static void read_answer(struct send_answer *an)
{
	if (an->status / 100 == 3)
		strcpy(an->reason, "and redirects are not followed");
}

static const struct push_answer answers[] = {
	{ 401, ABOUT_CREDENTIALS, NULL, push_act_hold },
	{ 403, ABOUT_CREDENTIALS, NULL, push_act_hold },
	{ 404, ABOUT_CREDENTIALS, NULL, act_suspend },
	{ 410, ABOUT_CREDENTIALS, NULL, act_suspend },
	{ 425, ABOUT_PUSH, NULL, push_act_retry },
	{ 0, ABOUT_PUSH, NULL, push_act_drop },
};

const struct push_way push_way_hook = {
	.kind = REG_HOOK,
	.service = "the service",
	.per_push = 1,
	.notify = notify,
	.next = next,
	.delay_ms = delay_ms,
	.lane = lane,
	.send = send,
	.clear = clear,
	.read_answer = read_answer,
	.answers = answers,
};

/* --- reload --- */

/* As if it were new. */
static void renew_one(struct one *o, const struct hook *hook)
{
	struct push_lane *l = o->lane;
	struct send_target to;
	char err[ERR_MAX];

	o->hook = hook;
	o->suspended = false;
	if (l == NULL)
		return;
	push_hold_forget(l);
	push_set_text(&l->trouble, "");
	if (target(l->q, hook, &to, err) == 0) {
		sender_set_target(l->sender, &to);
	} else {
		log_error("%s%s: it is not called", l->label, err);
		o->hook = NULL; /* its secrets are not for the old address */
	}
}

static int change_lane(void *arg, struct reg *r)
{
	struct push *p = reg_data(r);

	(void)arg;
	if (p == NULL || reg_kind(r) != REG_HOOK)
		return 0;
	push_change_lane(p);
	if (!p->in_flight && p->state == PUSH_PAUSED && p->lane->sender == NULL)
		push_set_state(p, PUSH_READY, 0); /* which drops it */
	return 0;
}

/* Forgets those whose file is gone, once nothing waits in their lane. */
static void sweep(struct hooks *h)
{
	struct one *o;
	size_t i = 0;

	while (i < h->n) {
		o = h->list[i];
		if (o->hook != NULL ||
		    (o->lane != NULL && o->lane->count > 0)) {
			i++;
			continue;
		}
		if (o->lane != NULL)
			push_lane_free(o->lane);
		free_one(o);
		h->list[i] = h->list[--h->n];
	}
}

void push_set_hooks(struct push_queue *q, struct hook *const *list, size_t n)
{
	struct push_lane *home;
	struct hooks *h;
	struct one *o;
	size_t i;

	if (n == 0 && q->homes[REG_HOOK] == NULL)
		return; /* which push_notify() looks at */
	home = push_home(q, REG_HOOK);
	h = home->data;
	if (h == NULL)
		home->data = h = xcalloc(1, sizeof(*h));
	h->list = xrealloc(h->list, (h->n + n + 1) * sizeof(*h->list));
	for (i = 0; i < h->n; i++)
		h->list[i]->hook = NULL;
	for (i = 0; i < n; i++) {
		o = find_one(h, hook_name(list[i]));
		if (o == NULL) {
			h->list[h->n++] = o = xcalloc(1, sizeof(*o));
			o->name = xstrdup(hook_name(list[i]));
		}
		renew_one(o, list[i]);
	}
	push_each_reg(q, change_lane, NULL);
	sweep(h);
}
