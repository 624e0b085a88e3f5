/* send.c - connections to one server, as their owner uses them. */
#include "send/int.h"

#include <assert.h>
#include <stdlib.h>

#include "mem.h"
#include "tls.h"

/* --- opening and closing --- */

static void take_target(struct sender *s, const struct send_target *to)
{
	char *host = xstrdup(to->host), err[ERR_MAX];

	free(s->host);
	io_proxy_free(s->proxy);
	s->proxy = NULL;
	s->to = *to;
	s->to.host = s->host = host;
	if (to->proxy_url != NULL) {
		s->proxy = io_proxy_new(to->proxy_url, err);
		assert(s->proxy != NULL); /* see struct send_target */
	}
}

static void use_target(struct sender *s, const struct send_target *to)
{
	take_target(s, to);
	s->failures = 0;
	if (!s->to.off && send_dial_wanted(s))
		send_dial_start(s);
}

/* A stream that has just failed has no TLS any more, and will be reported. */
static bool is_up(const struct sender *s)
{
	return s->cur != NULL && s->cur->state == SEND_CONN_UP &&
	       (s->to.tls == NULL || io_tls(s->cur->io) != NULL);
}

bool sender_is_idle(const struct sender *s)
{
	return s->gate != NULL && send_dial_is_idle(s);
}

/* See struct send_status. */
static int64_t down_ms(const struct sender *s)
{
	if ((is_up(s) && (s->failures <= 1 || send_conn_is_useful(s->cur))) ||
	    sender_is_idle(s))
		return 0;
	return loop_now_ms(s->loop) - s->down_ms;
}

void sender_set_target(struct sender *s, const struct send_target *to)
{
	if (down_ms(s) == 0 || s->to.off)
		s->down_ms = loop_now_ms(s->loop);
	sender_stop(s);
	use_target(s, to);
}

void sender_refresh(struct sender *s, const struct send_target *to)
{
	if (s->cur == NULL)
		sender_set_target(s, to);
	else
		take_target(s, to);
}

void sender_set_tls(struct sender *s, struct tls_ctx *tls)
{
	if (s->to.tls == NULL)
		return;
	s->to.tls = tls;
	if (s->opening == NULL)
		return;
	send_dial_stop(s);
	if (send_dial_wanted(s))
		send_dial_start(s);
}

void sender_need(struct sender *s)
{
	if (!sender_is_idle(s) || s->to.off || !send_dial_wanted(s))
		return;
	s->down_ms = loop_now_ms(s->loop);
	send_dial_start(s);
}

void sender_stop(struct sender *s)
{
	struct send_conn *c = s->cur;

	send_dial_stop(s);
	if (c != NULL)
		send_conn_drain(c);
}

struct sender *sender_new(struct loop *l, const struct send_target *to,
    const struct send_ops *ops, void *arg, const char *label,
    struct send_gate *gate)
{
	struct sender *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->ops = ops;
	s->arg = arg;
	s->label = label;
	s->gate = gate;
	s->down_ms = loop_now_ms(l);
	send_dial_init(s);
	use_target(s, to);
	return s;
}

void sender_free(struct sender *s)
{
	if (s == NULL)
		return;
	while (s->opening != NULL)
		send_conn_abandon(s->opening);
	while (s->draining != NULL)
		send_conn_abandon(s->draining);
	if (s->cur != NULL)
		send_conn_abandon(s->cur);
	send_requests_free_pool(s);
	send_dial_free(s);
	io_proxy_free(s->proxy);
	free(s->host);
	free(s);
}

/* --- sending --- */

uint32_t sender_capacity(const struct sender *s)
{
	return send_conn_capacity(s);
}

static bool is_clean(const struct hpack_header *list, size_t n)
{
	size_t i, k;

	for (i = 0; i < n; i++) {
		for (k = 0; k < list[i].name_len; k++)
			if (list[i].name[k] <= ' ' || list[i].name[k] >= 0x7f)
				return false;
		for (k = 0; k < list[i].value_len; k++)
			if ((unsigned char)list[i].value[k] < ' ' ||
			    list[i].value[k] == 0x7f)
				return false;
	}
	return true;
}

enum send_sent send_request(struct sender *s, const struct hpack_header *list,
    size_t n, const void *body, size_t len, void *owner)
{
	struct send_conn *c = s->cur;

	if (c == NULL || c->state != SEND_CONN_UP)
		return SEND_FULL;
	/* Apple's are all ours: what is not sent does not fit now. */
	if (s->to.only_h2 != NULL)
		return send_conn_send(c, list, n, body, len, owner) ? SEND_SENT
								    : SEND_FULL;
	/* Others' are from a configuration or a user. */
	if (send_conn_capacity(s) == 0)
		return SEND_FULL;
	return is_clean(list, n) && send_conn_send(c, list, n, body, len, owner)
		   ? SEND_SENT
		   : SEND_BAD;
}

void sender_flush(struct sender *s)
{
	struct send_conn *c = s->cur;

	if (c == NULL || !c->flush.queued)
		return;
	loop_task_cancel(s->loop, &c->flush);
	send_conn_flush(c);
}

/* --- status --- */

const char *send_state_name(enum send_state state)
{
	static const char *const names[] = {
		[SEND_OFF] = "off",
		[SEND_IDLE] = "idle",
		[SEND_WAITING] = "waiting",
		[SEND_CONNECTING] = "connecting",
		[SEND_UP] = "connected",
	};

	return names[state];
}

void sender_get_status(const struct sender *s, struct send_status *status_r)
{
	bool up = is_up(s);

	if (s->to.off)
		status_r->state = SEND_OFF;
	else if (up)
		status_r->state = SEND_UP;
	else if (sender_is_idle(s))
		status_r->state = SEND_IDLE;
	else
		status_r->state = io_dialer_is_running(s->dialer)
				      ? SEND_CONNECTING
				      : SEND_WAITING;
	status_r->host = s->to.host;
	status_r->port = s->to.port;
	status_r->proxy = s->proxy != NULL ? io_proxy_name(s->proxy) : "";
	status_r->past_proxy = s->reason_stage > IO_STAGE_PROXY;
	status_r->peer = up ? io_peer(s->cur->io) : "";
	status_r->protocol =
	    up && s->to.tls != NULL ? tls_protocol(io_tls(s->cur->io)) : "";
	status_r->connections = s->connections;
	status_r->resumed = s->resumed;
	status_r->down_ms = down_ms(s);
	status_r->last_error = s->last_error;
	if (s->last_error == NULL || (up && status_r->down_ms == 0))
		status_r->last_error = "";
	status_r->latency = s->latency;
}
