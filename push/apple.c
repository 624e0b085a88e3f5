/* push/apple.c - pushes for Apple's Mail: what they say, and what Apple's answers
 * mean. */
#include "push/int.h"

#include <assert.h>

#include "apns.h"
#include "json.h"
#include "store.h"

/* APNs takes 4 KiB, each mailbox needs 35 bytes; the rest goes into the next
 * push. */
#define MAILBOXES_MAX 100

static enum send_sent apple_send(
    struct push_lane *l, struct push *p, char err[ERR_MAX])
{
	struct buf *b = &l->q->payload;
	char account[REG_ACCOUNT_MAX + 1], tok[REG_TOKEN_MAX + 1];

	buf_reset(b);
	buf_add_str(b, "{\"aps\":{\"account-id\":");
	json_write_str(b, reg_account(p->reg, account));
	if (push_names_mailboxes(l->q, p->reg)) {
		buf_add_str(b, ",\"m\":[");
		push_hashes_write(b, &p->flight, 0, p->flight.n);
		b->len--; /* the last comma */
		buf_add_str(b, "],\"subtopic\":\"com.apple.mobilemail\"");
	}
	buf_add_str(b, "}}");
	assert(!b->failed);
	return apns_send(
	    l->apns, reg_token(p->reg, tok), buf_head(b), b->len, p, err);
}

static void apple_renew_auth(struct push_lane *l)
{
	apns_renew_auth(l->apns);
}

/* If our clock is a day late, every push has expired already. */
static void act_omit_expiration(struct push *p, const struct send_answer *an)
{
	struct push_lane *l = p->lane;

	(void)an;
	if (l->no_expiration) {
		push_hold(l,
		    "Apple takes no push, with or without a date of expiration "
		    "(BadExpirationDate): this machine's clock is probably "
		    "wrong",
		    0);
		push_send_again(p, 0);
		return;
	}
	log_warn("push: %sApple does not take our date of expiration: this "
		 "machine's clock is probably wrong: sent without",
	    l->label);
	l->no_expiration = true;
	l->no_expiration_clock_ms = push_clock_ms(l);
	l->auth_gen++;
	apns_set_expiration(l->apns, false);
	push_send_again(p, 0);
}

static const struct push_answer answers[] = {
	{ 410, ABOUT_DEVICE, "Unregistered", push_act_remove },
	{ 410, ABOUT_DEVICE, NULL, push_act_suspend },
	{ 400, ABOUT_DEVICE, "BadDeviceToken", push_act_suspend },
	{ 400, ABOUT_DEVICE, "DeviceTokenNotForTopic", push_act_suspend },
	{ 400, ABOUT_CREDENTIALS, "TopicDisallowed", push_act_hold },
	{ 400, ABOUT_CREDENTIALS, "MissingTopic", push_act_hold },
	{ 400, ABOUT_CREDENTIALS, "BadTopic", push_act_hold },
	{ 400, ABOUT_CREDENTIALS, "BadCertificate*", push_act_hold },
	{ 400, ABOUT_CREDENTIALS, "BadExpirationDate", act_omit_expiration },
	{ 403, ABOUT_CREDENTIALS, "ExpiredProviderToken", push_act_renew },
	{ 403, ABOUT_CREDENTIALS, NULL, push_act_hold },
	{ 408, ABOUT_PUSH, NULL, push_act_drop },
	{ 0, ABOUT_PUSH, NULL, push_act_drop },
};

const struct push_way push_way_apple = {
	.kind = REG_APPLE,
	.service = "Apple",
	.per_push = MAILBOXES_MAX,
	.send = apple_send,
	.renew_auth = apple_renew_auth,
	.words = apns_reason_words,
	.read_answer = apns_read_answer,
	.answers = answers,
};
