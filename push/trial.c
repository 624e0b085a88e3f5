/* push/trial.c - test pushes on request, each with a report of its result. */
#include "push/int.h"

#include <stdlib.h>
#include <strings.h>

#include "send.h"
#include "mem.h"
#include "store.h"

/* A person waits at a terminal. */
#define TRIAL_MS 15000

struct push_trial {
	struct push_trial *next; /* in queue.trials */
	struct push_queue *q;
	struct push_probe *probes;
	push_trial_cb *cb;
	void *arg;
	struct loop_timer timer;
};

/* One device whose answer is awaited. */
struct push_probe {
	struct push_probe *next;
	struct push_trial *trial;
	struct push *push;
};

/* --- the end of a probe and of a trial --- */

static void report(const struct push_trial *t, const struct reg *r,
    bool delivered, const char *words)
{
	char account[REG_ACCOUNT_MAX + 1], token[REG_TOKEN_MAX + 1];

	/* The others' tokens are hashes, or nothing. */
	t->cb(t->arg, reg_account(r, account),
	    reg_kind(r) == REG_APPLE ? reg_token(r, token)
				     : reg_kind_name(reg_kind(r)),
	    delivered, words);
}

static void trial_free(struct push_trial *t)
{
	struct push_trial **at = &t->q->trials;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	loop_timer_clear(t->q->loop, &t->timer);
	free(t);
}

static void trial_end(struct push_trial *t)
{
	t->cb(t->arg, NULL, NULL, false, NULL);
	trial_free(t);
}

static void probe_free(struct push_probe *pr)
{
	struct push_probe **at = &pr->trial->probes;

	while (*at != pr)
		at = &(*at)->next;
	*at = pr->next;
	pr->push->probe = NULL;
	pr->push->probe_sent = false;
	free(pr);
}

void push_probe_end(struct push *p, bool delivered, const char *words)
{
	struct push_probe *pr = p->probe;
	struct push_trial *t;

	if (pr == NULL)
		return;
	t = pr->trial;
	report(t, p->reg, delivered, words);
	probe_free(pr);
	/* Until push_trial_start() has seen all devices the timer is not set. */
	if (t->probes == NULL && loop_timer_is_set(&t->timer))
		trial_end(t);
}

void push_probe_answered(struct push *p, bool delivered, const char *words)
{
	if (p->probe_sent)
		push_probe_end(p, delivered, words);
}

/* --- start --- */

static void report_late(const struct push_trial *t, const struct push *p)
{
	struct send_status st = { .last_error = "" };
	char words[ERR_MAX];

	if (p->lane->sender != NULL)
		sender_get_status(p->lane->sender, &st);
	if (st.state == SEND_UP)
		err_set(words, "no answer within %d s: it stays queued",
		    TRIAL_MS / 1000);
	else
		err_set(words, "not connected to %s%s%s: it stays queued",
		    p->lane->way->service, st.last_error[0] != '\0' ? ": " : "",
		    st.last_error);
	report(t, p->reg, false, words);
}

static void on_timeout(void *arg)
{
	struct push_trial *t = arg;

	while (t->probes != NULL) {
		report_late(t, t->probes->push);
		probe_free(t->probes);
	}
	trial_end(t);
}

static const char *find_other_trouble(struct push_queue *q, const struct reg *r)
{
	if (push_ways[reg_kind(r)]->send == NULL)
		return PUSH_LACKS;
	if (reg_suspended(r))
		return "suspended: it was refused; it heals when the device "
		       "registers again";
	return push_is_active(q, r) ? NULL
				    : "its device has not confirmed it yet";
}

static const char *find_trouble(struct push_queue *q, const struct reg *r)
{
	const char *trouble;

	if (reg_kind(r) != REG_APPLE)
		return find_other_trouble(q, r);
	trouble = push_trouble(push_lane_of(q, r));
	if (trouble == NULL && reg_suspended(r))
		return "suspended: Apple refused its token; it heals when the "
		       "device registers again";
	return trouble;
}

/* Index of the mailbox, or -1: it does not watch it. */
static int find_mailbox(const struct reg *r, const char *mailbox)
{
	int i = reg_match(r, mailbox);

	if (i < 0) /* perhaps another owner's */
		i = reg_find_mailbox(r, mailbox);
	return i < 0 && push_watches_all(r) ? 0 : i;
}

/* The reason why this device cannot be tested, NULL if it can. */
static const char *find_obstacle(struct push_queue *q, const struct reg *r,
    const char *mailbox, int *mailbox_r)
{
	const struct push *p = reg_data(r);
	const char *trouble = find_trouble(q, r);

	*mailbox_r = find_mailbox(r, mailbox);
	if (trouble != NULL)
		return trouble;
	if (p != NULL && p->probe != NULL)
		return "another test is under way";
	if (*mailbox_r < 0)
		return "does not watch this mailbox";
	if (reg_kind(r) == REG_APPLE && !push_names_mailboxes(q, r) &&
	    strcasecmp(mailbox, "INBOX") != 0)
		return "is woken for INBOX only: its plugin does not name "
		       "mailboxes";
	return NULL;
}

static void start_probe(
    struct push_trial *t, struct reg *r, const char *name, int mailbox)
{
	struct push_probe *pr = xcalloc(1, sizeof(*pr));
	struct push *p = push_get(t->q, r);
	const char *trouble;

	pr->trial = t;
	pr->push = p;
	pr->next = t->probes;
	t->probes = pr;
	p->probe = pr;
	p->probe_sent = false;
	/* Ends a pause after a failure: a person waits for the result. */
	if (p->state == PUSH_PAUSED)
		push_set_state(p, PUSH_READY, 0);
	if (!p->noted)
		push_add(t->q, r, (size_t)mailbox, true);
	else if (reg_kind(r) == REG_HOOK || push_watches_all(r))
		push_add_named(t->q, r, name, &push_new_mail);
	else
		push_add_other(t->q, r, (size_t)mailbox, &push_new_mail);
	/* Of Apple it is known before. */
	trouble = p->noted ? push_trouble(p->lane) : NULL;
	if (trouble != NULL)
		push_probe_end(p, false, trouble);
}

/* Those of the user's mail. */
static void start_hooks(
    struct push_trial *t, const char *user, const char *mailbox)
{
	struct push *p;
	struct reg *r;
	size_t at = 0;

	while (push_ways[REG_HOOK]->next != NULL &&
	       (r = push_ways[REG_HOOK]->next(t->q, user, &at)) != NULL) {
		p = reg_data(r);
		if (p != NULL && p->probe != NULL)
			report(t, r, false, "another test is under way");
		else
			start_probe(t, r, mailbox, 0);
	}
}

void push_trial_start(struct push_queue *q, const char *user,
    const char *mailbox, push_trial_cb *cb, void *arg)
{
	struct push_trial *t = xcalloc(1, sizeof(*t));
	const char *why;
	struct reg *r;
	int i;

	t->q = q;
	t->cb = cb;
	t->arg = arg;
	t->next = q->trials;
	q->trials = t;
	loop_timer_init(&t->timer, on_timeout, t);
	for (r = store_first(q->store, user); r != NULL; r = reg_next(r)) {
		why = find_obstacle(q, r, mailbox, &i);
		if (why != NULL)
			report(t, r, false, why);
		else
			start_probe(t, r, mailbox, i);
	}
	start_hooks(t, user, mailbox);
	if (t->probes == NULL)
		trial_end(t);
	else
		loop_timer_set(q->loop, &t->timer, TRIAL_MS);
}

void push_trials_free(struct push_queue *q)
{
	struct push_trial *t;

	while ((t = q->trials) != NULL) {
		while (t->probes != NULL)
			probe_free(t->probes);
		trial_free(t);
	}
}
