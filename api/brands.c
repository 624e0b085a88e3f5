/* api/brands.c - the brands in /status. */
#include "api/int.h"

#include "send.h"
#include "cred.h"

static void write_brand(struct api *a, size_t i, struct buf *b)
{
	struct push_lane *lane = push_lane_at(a->queue, i);
	struct push_figures f = { 0 };
	const char *why, *sign;
	size_t n, old, w;

	push_get_figures(lane, &f);
	n = store_brand_count(a->store, i, &old);
	why = push_health(lane);
	json_open(b, NULL, '{');
	json_add_str(b, "name", f.name);
	json_add_str(b, "topic", cred_topic(f.cred));
	json_add_str(b, "credentials", cred_kind_name(f.cred));
	json_add_bool(b, "healthy", why == NULL);
	if (why != NULL)
		json_add_str(b, "problem", why);
	for (w = 0; (sign = cred_warning(f.cred, w)) != NULL; w++) {
		if (w == 0)
			json_open(b, "warnings", '[');
		json_add_str(b, NULL, sign);
	}
	if (w > 0)
		buf_add_byte(b, ']');
	json_add_str(b, "state", send_state_name(f.send.state));
	if (*f.send.last_error != '\0')
		json_add_str(b, "apnsError", f.send.last_error);
	if (cred_expires_s(f.cred) != 0)
		json_add_num(b, "expires", cred_expires_s(f.cred));
	json_add_num(b, "registrations", (int64_t)n);
	json_add_num(b, "oldTopic", (int64_t)old);
	json_add_num(b, "queued", (int64_t)f.waiting);
	json_add_num(b, "pushed", (int64_t)f.counters.delivered);
	if (f.delivered_s != 0)
		json_add_num(b, "lastSuccess", f.delivered_s);
	buf_add_byte(b, '}');
}

void api_write_brands(struct api *a, struct buf *b)
{
	size_t i, n = push_n_lanes(a->queue);

	if (n == 1)
		return;
	json_open(b, "brands", '[');
	for (i = 1; i < n; i++)
		write_brand(a, i, b);
	buf_add_byte(b, ']');
}

void api_write_brand_of(struct api *a, const struct reg *r, struct buf *b)
{
	struct push_lane *own = push_user_lane(a->queue, reg_user(r));
	struct push_lane *via =
	    push_lane_at(a->queue, store_brand_of(a->store, r));
	struct push_figures f = { 0 };

	push_get_figures(own, &f);
	if (*f.name != '\0')
		json_add_str(b, "brand", f.name);
	if (via == own)
		return;
	push_get_figures(via, &f);
	json_add_str(b, "via", f.name);
}

void api_write_brand_figures(struct api *a, struct buf *b)
{
	struct push_figures f = { 0 };
	char help[ERR_MAX];
	size_t i, n, old;

	for (i = 1; i < push_n_lanes(a->queue); i++) {
		push_get_figures(push_lane_at(a->queue, i), &f);
		n = store_brand_count(a->store, i, &old);
		err_set(help,
		    "Registrations of brand %s, %s: %zu with another topic.",
		    f.name, send_state_name(f.send.state), old);
		api_write_figure(b, help, n);
	}
}
