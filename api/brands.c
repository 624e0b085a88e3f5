/* api/brands.c - the brands in /status. */
#include "api/int.h"

#include "send.h"
#include "cred.h"

static void write_string(struct buf *b, const char *key, const char *value)
{
	buf_add_fmt(b, ",\"%s\":", key);
	json_write_str(b, value);
}

static void write_brand(struct api *a, size_t i, struct buf *b)
{
	struct push_lane *lane = push_lane_at(a->queue, i);
	struct push_figures f = { 0 };
	const char *why, *sign;
	size_t n, old, w;

	push_get_figures(lane, &f);
	n = store_brand_count(a->store, i, &old);
	why = push_health(lane);
	buf_add_str(b, i > 1 ? ",{\"name\":" : "{\"name\":");
	json_write_str(b, f.name);
	write_string(b, "topic", cred_topic(f.cred));
	write_string(b, "credentials", cred_kind_name(f.cred));
	buf_add_fmt(b, ",\"healthy\":%s", why == NULL ? "true" : "false");
	if (why != NULL)
		write_string(b, "problem", why);
	for (w = 0; (sign = cred_warning(f.cred, w)) != NULL; w++) {
		if (w == 0)
			buf_add_str(b, ",\"warnings\":[");
		else
			buf_add_byte(b, ',');
		json_write_str(b, sign);
	}
	if (w > 0)
		buf_add_byte(b, ']');
	write_string(b, "state", send_state_name(f.send.state));
	if (*f.send.last_error != '\0')
		write_string(b, "apnsError", f.send.last_error);
	if (cred_expires_s(f.cred) != 0)
		buf_add_fmt(
		    b, ",\"expires\":%lld", (long long)cred_expires_s(f.cred));
	buf_add_fmt(b,
	    ",\"registrations\":%zu,\"oldTopic\":%zu,\"queued\":%zu,"
	    "\"pushed\":%llu",
	    n, old, f.waiting, (unsigned long long)f.counters.delivered);
	if (f.delivered_s != 0)
		buf_add_fmt(
		    b, ",\"lastSuccess\":%lld", (long long)f.delivered_s);
	buf_add_byte(b, '}');
}

void api_write_brands(struct api *a, struct buf *b)
{
	size_t i, n = push_n_lanes(a->queue);

	if (n == 1)
		return;
	buf_add_str(b, ",\"brands\":[");
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
		write_string(b, "brand", f.name);
	if (via == own)
		return;
	push_get_figures(via, &f);
	write_string(b, "via", f.name);
}

void api_write_brand_figures(struct api *a, struct buf *b)
{
	struct push_figures f = { 0 };
	size_t i, n, old;

	for (i = 1; i < push_n_lanes(a->queue); i++) {
		push_get_figures(push_lane_at(a->queue, i), &f);
		n = store_brand_count(a->store, i, &old);
		buf_add_fmt(b,
		    "{\"help\":\"Registrations of brand %s, %s: %zu with "
		    "another topic.\",\"value\":%zu},",
		    f.name, send_state_name(f.send.state), old, n);
	}
}
