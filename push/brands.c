/* push/brands.c - lanes of brands: they come, change and go while pushes wait and
 * are under way. */
#include "push/int.h"

#include <stdlib.h>
#include <string.h>

#include "cred.h"
#include "mem.h"
#include "store.h"

struct push_lane *push_lane_new(
    struct push_queue *q, const char *name, struct cred *cred)
{
	struct push_lane *l = xcalloc(1, sizeof(*l));

	if (q->gate == NULL)
		q->gate = send_gate_new(true);
	l->label = xprintf("brand %s: %c%s", name, '\0', name);
	push_lane_init(l, q, cred, q->gate);
	l->next = q->others;
	q->others = l;
	return l;
}

void push_lane_close(struct push_lane *l)
{
	l->closing = true;
	push_lane_changed(l);
	loop_timer_clear(l->q->loop, &l->hold);
	sender_stop(l->sender);
	if (l->in_flight == 0)
		push_lane_free(l);
}

static int change_lane(void *arg, struct reg *r)
{
	struct push *p = reg_data(r);

	(void)arg;
	if (p != NULL)
		push_change_lane(p);
	return 0;
}

void push_set_brands(struct push_queue *q, const struct users *users,
    const struct users *fcm_users, struct push_lane *const *lanes, size_t n)
{
	const char **topics = xmalloc((n + 1) * sizeof(*topics));
	size_t i;

	free(q->lanes);
	q->lanes = xmalloc((n + 1) * sizeof(*q->lanes));
	q->lanes[0] = &q->main;
	for (i = 0; i < n; i++) {
		q->lanes[i + 1] = lanes[i];
		topics[i] = cred_topic(lanes[i]->cred);
	}
	q->n_lanes = n + 1;
	q->users = users;
	q->fcm_users = fcm_users;
	store_set_brands(q->store, users, topics, n);
	free(topics);
	store_each(q->store, change_lane, NULL);
	if (n > 0)
		return;
	free(q->lanes);
	q->lanes = NULL;
	q->n_lanes = 0;
}
