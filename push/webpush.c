/* push/webpush.c - pushes to browsers and UnifiedPush apps: what they say, and what
 * the answers of their services mean (RFC 8030). */
#include "push/int.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conf.h"
#include "h2.h"
#include "json.h"
#include "store.h"
#include "url.h"
#include "webpush.h"

/* Several services refuse more than four weeks. */
#define TTL_MAX_S (28 * 24 * 60 * 60)
/* A code that comes later is of no use to an app. */
#define TTL_CONFIRM_S (5 * 60)

struct webpush *push_webpush(struct push_queue *q)
{
	return q->webpush;
}

static bool webpush_is_active(struct push_queue *q, const struct reg *r)
{
	return webpush_state(q->webpush, reg_to(r)) == WEBPUSH_ACTIVE;
}

static void copy_endpoint(
    const struct reg *r, char out[WEBPUSH_ENDPOINT_MAX + 1])
{
	const char *to = reg_to(r);

	snprintf(
	    out, WEBPUSH_ENDPOINT_MAX + 1, "%.*s", (int)strcspn(to, " "), to);
}

static struct push_lane *webpush_lane(
    struct push_queue *q, struct reg *r, char err[ERR_MAX])
{
	char endpoint[WEBPUSH_ENDPOINT_MAX + 1];

	copy_endpoint(r, endpoint);
	return push_origin_lane(q, &push_way_webpush, endpoint, err);
}

/* --- what is sent --- */

static void write_content(
    struct buf *b, const struct reg *r, const struct push_note *n)
{
	char account[REG_ACCOUNT_MAX + 1];

	buf_reset(b);
	buf_add_byte(b, '{');
	json_add_str(b, "user", reg_user(r));
	if (strcmp(n->event, PUSH_CONFIRM) == 0) {
		json_add_str(b, "event", PUSH_CONFIRM);
		json_add_str(b, "id", reg_account(r, account));
		json_add_str(b, "code", webpush_code(reg_to(r)));
	} else {
		json_add_str(b, "mailbox", n->mailbox);
		json_add_str(b, "event",
		    strcmp(n->event, PUSH_NEW) == 0 ? PUSH_NEW : PUSH_OTHER);
	}
	buf_add_byte(b, '}');
}

/* The headers' values that are not constant. */
struct head {
	struct hpack_header list[11];
	size_t n;
	char endpoint[WEBPUSH_ENDPOINT_MAX + 1];
	struct url url;
	char origin[URL_AUTHORITY_MAX + sizeof("https://")];
	char ttl[24], length[24], topic[WEBPUSH_TOPIC_LEN + 1];
};

static void fill_head(struct head *h, const struct push_queue *q,
    const struct reg *r, const struct push_note *n, const char *auth,
    size_t len)
{
	bool confirm = strcmp(n->event, PUSH_CONFIRM) == 0;
	bool urgent = confirm || strcmp(n->event, PUSH_NEW) == 0;
	int64_t ttl_s = q->conf->push_expiration_s;
	struct hpack_header *end;

	if (ttl_s > TTL_MAX_S)
		ttl_s = TTL_MAX_S;
	if (confirm && ttl_s > TTL_CONFIRM_S)
		ttl_s = TTL_CONFIRM_S;
	snprintf(h->ttl, sizeof(h->ttl), "%lld", (long long)ttl_s);
	snprintf(h->length, sizeof(h->length), "%zu", len);
	end = send_put_post(h->list, &h->url, h->url.path);
	end[-2].index = HPACK_TRY_INDEX; /* :path */
	end = send_put(end, "authorization", auth);
	end = send_put(end, "content-encoding", "aes128gcm");
	end = send_put(end, "content-length", h->length);
	end = send_put(end, "ttl", h->ttl);
	end = send_put(end, "urgency", urgent ? "high" : "low");
	h->n = (size_t)(end - h->list);
	if (confirm)
		return;
	webpush_topic(reg_to(r), reg_user(r), n->mailbox, h->topic);
	send_put(end, "topic", h->topic);
	end->index = HPACK_TRY_INDEX;
	h->n++;
}

/* To encrypt takes 2 ms here and a fifth of a second on a router: each lane has one
 * in a round of the loop, so that nobody else waits for all of them. */
static bool has_had_its_turn(struct push_lane *l)
{
	void *round = (void *)((uintptr_t)loop_now_ms(l->q->loop) + 1);

	if (l->data != round) {
		l->data = round;
		return false;
	}
	loop_task_queue(l->q->loop, &l->pump);
	return true;
}

static enum send_sent webpush_send(
    struct push_lane *l, struct push *p, char err[ERR_MAX])
{
	const struct push_note *n = push_note(p);
	struct buf *b = &l->q->payload;
	unsigned char body[WEBPUSH_BODY_MAX];
	const char *auth;
	struct head h;
	size_t len;

	if (has_had_its_turn(l))
		return SEND_FULL;
	copy_endpoint(p->reg, h.endpoint);
	if (url_parse(h.endpoint, &h.url, err) < 0)
		return SEND_NO_AUTH; /* it was parsed for its lane */
	snprintf(h.origin, sizeof(h.origin), "http%s://%s",
	    h.url.tls ? "s" : "", h.url.authority);
	auth = webpush_auth(l->q->webpush, h.origin, (int64_t)time(NULL), err);
	if (auth == NULL)
		return SEND_NO_AUTH;
	write_content(b, p->reg, n);
	len = webpush_encrypt(reg_to(p->reg), buf_head(b), b->len, body);
	if (len == 0)
		return SEND_BAD; /* its text is damaged */
	fill_head(&h, l->q, p->reg, n, auth, len);
	return send_request(l->sender, h.list, h.n, body, len, p);
}

/* --- answers --- */

/* How the text begins: JSON with a reason, mostly. */
static void webpush_read_answer(struct send_answer *an)
{
	size_t i, n = an->body_len;

	if (n >= SEND_REASON_MAX)
		n = SEND_REASON_MAX - 1;
	for (i = 0; i < n && an->body[i] >= ' ' && an->body[i] <= '~'; i++)
		an->reason[i] = (char)an->body[i];
	an->reason[i] = '\0';
}

/* Either this app subscribed with another key, which is its affair, or the service
 * refuses all that we send: nothing tells which.  So nobody else's pushes wait, and
 * nobody's subscription ends. */
static void act_refused(struct push *p, const struct send_answer *an)
{
	if (p->tries == 0)
		push_log(LOG_L_WARN, p,
		    "the push service refuses us (%d %s): is vapidSubject "
		    "somebody whom it can reach, is the clock right? Else the "
		    "app has to subscribe again",
		    an->status, an->reason);
	webpush_renew(p->lane->q->webpush);
	push_act_retry(p, an);
}

static const struct push_answer answers[] = {
	{ 404, ABOUT_DEVICE, NULL, push_act_remove },
	{ 410, ABOUT_DEVICE, NULL, push_act_remove },
	{ 400, ABOUT_DEVICE, NULL, push_act_suspend },
	{ 413, ABOUT_DEVICE, NULL, push_act_suspend },
	{ 401, ABOUT_PUSH, NULL, act_refused },
	{ 403, ABOUT_PUSH, NULL, act_refused },
	{ 406, ABOUT_PUSH, NULL, push_act_retry }, /* Microsoft's 429 */
	{ 0, ABOUT_PUSH, NULL, push_act_drop },
};

const struct push_way push_way_webpush = {
	.kind = REG_WEBPUSH,
	.service = "the push service",
	.per_push = 1,
	.is_active = webpush_is_active,
	.lane = webpush_lane,
	.send = webpush_send,
	.read_answer = webpush_read_answer,
	.answers = answers,
};
