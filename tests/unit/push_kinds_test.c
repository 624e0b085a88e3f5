/* push_kinds_test.c - what the queue does for other services than Apple's: with
 * ways of the test's, and without a socket. */
#include "unit.h"

#include <limits.h>
#include <unistd.h>

#include "../../push/int.h"
#include "needs.h"
#include "push_fake.h"

/* --- a service --- */

/* What was sent: the registration's account, then mailbox, event and unseen of each
 * note. */
#define OUT_MAX 400
static struct out {
	struct push_lane *lane;
	struct push *push;
	uint64_t id;
	char text[300];
} out[OUT_MAX];
static size_t n_out;

static enum send_sent test_send(
    struct push_lane *l, struct push *p, char err[ERR_MAX])
{
	const struct push_note *n = push_note(p);
	struct out *o = &out[n_out];
	size_t len;

	if (no_auth) {
		err_set(err, "no token today");
		return SEND_NO_AUTH;
	}
	assert_ptr_equal(p->lane, l);
	assert_non_null(n);
	if (strcmp(n->mailbox, "odd") == 0)
		return SEND_BAD;
	assert_true(n_out < OUT_MAX);
	n_out++;
	o->lane = l;
	o->push = p;
	o->id = n->id;
	len = strlen(reg_account(p->reg, o->text));
	for (; n != NULL; n = n->next)
		len += (size_t)snprintf(o->text + len,
		    len < sizeof(o->text) ? sizeof(o->text) - len : 0,
		    " %s:%s:%d", n->mailbox, n->event, (int)n->unseen);
	return SEND_SENT;
}

/* One lane for each address, but for those that are wrong. */
static struct push_lane *lanes[8];
static char senders[8];

static struct push_lane *find_lane(struct push_queue *q,
    const struct push_way *way, struct reg *r, char err[ERR_MAX])
{
	size_t i = (size_t)(reg_to(r)[0] - '0');

	if (i >= 8) {
		err_set(err, "there is no way to %s", reg_to(r));
		return NULL;
	}
	if (lanes[i] == NULL) {
		lanes[i] = push_lane_make(q, way, "test: ");
		lanes[i]->sender = (struct sender *)(void *)&senders[i];
	}
	return lanes[i];
}

static unsigned renewals;

static void renew(struct push_lane *l)
{
	assert_non_null(l);
	renewals++;
}

static void read_answer(struct send_answer *an)
{
	if (an->body_len > 0 && an->body_len < sizeof(an->reason))
		memcpy(an->reason, an->body, an->body_len);
}

static const struct push_answer answers[] = {
	{ 200, ABOUT_PUSH, NULL, push_act_done },
	{ 400, ABOUT_PUSH, "Odd*", push_act_drop },
	{ 400, ABOUT_DEVICE, NULL, push_act_suspend },
	{ 401, ABOUT_CREDENTIALS, NULL, push_act_renew },
	{ 403, ABOUT_CREDENTIALS, NULL, push_act_hold },
	{ 404, ABOUT_DEVICE, NULL, push_act_remove },
	{ 410, ABOUT_DEVICE, NULL, push_act_remove },
	{ 429, ABOUT_PUSH, NULL, push_act_retry },
	{ 500, ABOUT_PUSH, NULL, push_act_retry },
	{ 0, ABOUT_PUSH, NULL, push_act_drop },
};

/* webpush: one mailbox in a request; confirmed if its address says so. */
static struct push_lane *webpush_lane(
    struct push_queue *q, struct reg *r, char err[ERR_MAX])
{
	return find_lane(q, &push_way_webpush, r, err);
}

static bool is_confirmed(struct push_queue *q, const struct reg *r)
{
	(void)q;
	return strstr(reg_to(r), "code") == NULL;
}

const struct push_way push_way_webpush = {
	.kind = REG_WEBPUSH,
	.service = "the push service",
	.per_push = 1,
	.is_active = is_confirmed,
	.lane = webpush_lane,
	.send = test_send,
	.renew_auth = renew,
	.read_answer = read_answer,
	.answers = answers,
};

/* deltachat: all that waits, if it is new. */
static struct push_lane *deltachat_lane(
    struct push_queue *q, struct reg *r, char err[ERR_MAX])
{
	return find_lane(q, &push_way_deltachat, r, err);
}

const struct push_way push_way_deltachat = {
	.kind = REG_DELTACHAT,
	.service = "the proxy",
	.per_push = UINT_MAX,
	.only_new = true,
	.lane = deltachat_lane,
	.send = test_send,
	.answers = answers,
};

/* hook: two, for one user. */
static bool hook_notify(struct push_queue *q, const char *owner,
    const char *mailbox, const struct push_event *ev)
{
	struct reg *r;

	if (strcasecmp(owner, "hooked") != 0)
		return false;
	r = push_memory_reg(q, REG_HOOK, owner, "ntfy");
	push_add_named(q, r, mailbox, ev);
	r = push_memory_reg(q, REG_HOOK, owner, "matrix");
	push_add_named(q, r, mailbox, ev);
	return true;
}

static bool hooks_gone;

static struct push_lane *hook_lane(
    struct push_queue *q, struct reg *r, char err[ERR_MAX])
{
	size_t i = reg_has_account(r, "ntfy") ? 6 : 7;

	if (hooks_gone) {
		err_set(err, "there is no such hook any more");
		return NULL;
	}
	if (lanes[i] == NULL) {
		lanes[i] = push_lane_make(q, &push_way_hook, "hook: ");
		lanes[i]->sender = (struct sender *)(void *)&senders[i];
	}
	return lanes[i];
}

static int64_t hook_delay(const struct push_queue *q, const struct reg *r)
{
	(void)q;
	return reg_has_account(r, "ntfy") ? 1000 : 2000;
}

const struct push_way push_way_hook = {
	.kind = REG_HOOK,
	.service = "the hook",
	.per_push = 1,
	.notify = hook_notify,
	.delay_ms = hook_delay,
	.lane = hook_lane,
	.send = test_send,
	.answers = answers,
};

/* fcm: not in this build. */
const struct push_way push_way_fcm = { .kind = REG_FCM };

/* --- fixture --- */

static int begin(void **state)
{
	n_out = 0;
	renewals = 0;
	hooks_gone = false;
	memset(lanes, 0, sizeof(lanes));
	if (setup(state) < 0)
		return -1;
	push_home(queue, REG_HOOK);
	return 0;
}

static struct reg *add(enum reg_kind kind, const char *user,
    const char *account, const char *to, const char *mailbox)
{
	char token[33] = "";
	unsigned char md5[16];
	const struct reg_spec spec = {
		.user = user,
		.account = account,
		.token = token,
		.mailboxes = &mailbox,
		.n_mailboxes = 1,
		.time_s = 100,
		.kind = kind,
		.to = to,
	};
	struct reg *r;

	tls_md5(to, strlen(to), md5);
	text_hex_write(md5, sizeof(md5), token);
	assert_null(reg_spec_check(&spec));
	r = store_put(store, &spec);
	push_renewed(r);
	return r;
}

/* One phone of alice's, for INBOX. */
static struct reg *phone(void)
{
	return add(REG_WEBPUSH, "alice", "phone", "0", "INBOX");
}

static enum push_result tell(
    const char *mailbox, const char *event, int64_t unseen)
{
	struct push_event ev = push_no_event;
	enum push_result result;

	push_event_add(&ev, event);
	ev.unseen = unseen;
	result = push_notify(queue, "alice", mailbox, &ev);
	run_tasks();
	return result;
}

static enum push_result new_mail(void)
{
	return tell("INBOX", "MessageNew", -1);
}

static void reply_full(size_t i, struct send_answer *an)
{
	push_send_ops.answer(out[i].lane, out[i].push, an);
	run_tasks();
}

static void reply(size_t i, int status)
{
	struct send_answer an = {
		.outcome = SEND_ANSWERED,
		.status = status,
		.retry_after_s = -1,
	};

	reply_full(i, &an);
}

static void no_reply(size_t i, enum send_outcome outcome)
{
	struct send_answer an = { .outcome = outcome, .retry_after_s = -1 };

	reply_full(i, &an);
}

static void expect(size_t i, const char *text)
{
	assert_true(i < n_out);
	assert_string_equal(out[i].text, text);
}

static void expect_left(size_t sent_so_far, size_t in_queue)
{
	assert_int_equal(n_out, sent_so_far);
	assert_int_equal(push_count(queue), in_queue);
}

static struct push_counters counted(enum reg_kind kind)
{
	struct push_figures f;

	push_get_kind_figures(queue, kind, &f);
	return f.counters;
}

/* --- what is said --- */

static void test_words_of_a_push(void **state)
{
	(void)state;
	phone();
	assert_int_equal(tell("INBOX", "MessageNew", 3), PUSH_QUEUED);
	expect_left(1, 1);
	expect(0, "phone INBOX:new:3");
	reply(0, 201);
	expect_left(1, 0);
	assert_int_equal(counted(REG_WEBPUSH).delivered, 1);
	assert_int_equal(tell("inbox", "messagenew", 0), PUSH_QUEUED);
	expect(1, "phone INBOX:new:0");
	assert_true(out[1].id > out[0].id);
	reply(1, 200);
	assert_int_equal(tell("Notes", "MessageNew", 3), PUSH_NO_MAILBOX);
	expect_left(2, 0);
}

static void test_names_of_events(void **state)
{
	static const char *const rows[][2] = {
		{ "MessageNew", "new" },
		{ "messagenew", "new" },
		{ "FlagsSet", "FlagsSet" },
		{ "flagsclear", "FlagsClear" },
		{ "MessageTrash", "MessageTrash" },
		{ "MailboxRename", "MailboxRename" },
		{ "", "changed" },
		{ "MessageInvented", "changed" },
		/* ours are not Dovecot's */
		{ "new", "changed" },
		{ "confirm", "changed" },
	};
	struct push_event ev;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ev = push_no_event;
		push_event_add(&ev, rows[i][0]);
		assert_string_equal(ev.name, rows[i][1]);
		assert_int_equal(ev.now, strcmp(rows[i][1], "new") == 0);
	}
	push_event_add(&ev, "FlagsSet");
	assert_string_equal(ev.name, "changed");
	push_event_add(&ev, "MessageNew");
	push_event_add(&ev, "FlagsSet");
	assert_string_equal(ev.name, "new");
	assert_true(ev.now);
}

static void test_the_name_is_decoded(void **state)
{
	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "Entw&APw-rfe");
	tell("Entw\xc3\xbcrfe", "MessageNew", -1);
	expect(0, "phone Entw\xc3\xbcrfe:new:-1");
	reply(0, 201);
	expect_left(1, 0);
}

static void test_each_mailbox_has_its_request(void **state)
{
	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	away = (struct sender *)(void *)&senders[0];
	tell("INBOX", "MessageNew", 1);
	tell("Lists/a b", "MessageNew", 2);
	tell("Notes", "MessageNew", 3);
	expect_left(0, 1);
	away = NULL;
	push_send_ops.capacity(lanes[0]);
	run_tasks();
	expect_left(1, 1); /* one at a time */
	expect(0, "phone INBOX:new:1");
	reply(0, 201);
	expect(1, "phone Lists/a b:new:2");
	reply(1, 201);
	expect(2, "phone Notes:new:3");
	reply(2, 201);
	expect_left(3, 0);
}

static void test_one_request_for_all(void **state)
{
	(void)state;
	add(REG_DELTACHAT, "alice", "deltachat", "1", "*");
	tell("INBOX", "MessageNew", 1);
	tell("INBOX", "MessageNew", 2);
	tell("Notes", "MessageNew", -1);
	expect_left(1, 1);
	assert_int_equal(tell("Other", "FlagsSet", -1), PUSH_QUEUED);
	reply(0, 200);
	expect(1, "deltachat INBOX:new:2 Notes:new:-1");
	reply(1, 200);
	expect_left(2, 0);
}

static void test_all_mailboxes_of_the_user(void **state)
{
	static const char *const boxes[] = { "*" };
	struct reg_spec apple = { .user = "bob",
		.account = "b",
		.token = TOK_B,
		.mailboxes = boxes,
		.n_mailboxes = 1,
		.acked = true,
		.time_s = 1 };

	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	assert_int_equal(tell("a", "MessageNew", -1), PUSH_QUEUED);
	reply(0, 201);
	/* it is a name as any other for Apple's */
	store_put(store, &apple);
	assert_int_equal(push_notify(queue, "bob", "INBOX", &push_new_mail),
	    PUSH_NO_MAILBOX);
	run_tasks();
	expect_left(1, 0);
}

static void test_another_owners_mailbox(void **state)
{
	static const char *const boxes[] = { "shared/bob/Lists" };
	static const struct reg_canonical canonical[] = { { "bob", "Lists" } };
	const struct reg_spec spec = { .user = "alice",
		.account = "phone",
		.token = TOK_B,
		.mailboxes = boxes,
		.n_mailboxes = 1,
		.canonical = canonical,
		.time_s = 1,
		.kind = REG_WEBPUSH,
		.to = "0" };

	(void)state;
	store_put(store, &spec);
	assert_int_equal(
	    push_notify(queue, "bob", "Lists", &push_new_mail), PUSH_QUEUED);
	run_tasks();
	expect(0, "phone shared/bob/Lists:new:-1");
	reply(0, 201);
	expect_left(1, 0);
}

static void test_apple_beside_it(void **state)
{
	(void)state;
	phone();
	add_reg("alice", TOK_A, true, 100);
	assert_int_equal(new_mail(), PUSH_QUEUED);
	assert_int_equal(n_sent, 1);
	expect_left(1, 2);
	reply(0, 404);
	answer(0, 200, "");
	assert_int_equal(push_count(queue), 0);
	assert_int_equal(store_count(store), 1);
	assert_int_equal(reg_kind(store_first(store, "alice")), REG_APPLE);
}

/* --- merging --- */

static void test_new_mail_counts_most(void **state)
{
	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	tell("INBOX", "FlagsSet", 5);
	tell("Notes", "MessageExpunge", -1);
	expect_left(0, 1);
	pass(20000);
	tell("INBOX", "MessageNew", 6);
	expect(0, "phone INBOX:new:6");
	tell("INBOX", "FlagsClear", -1);
	reply(0, 201);
	/* Notes was taken along; INBOX has changed since */
	expect(1, "phone Notes:MessageExpunge:-1");
	reply(1, 201);
	expect(2, "phone INBOX:FlagsClear:-1");
	reply(2, 201);
	expect_left(3, 0);
}

static void test_flags_wait(void **state)
{
	(void)state;
	phone();
	tell("INBOX", "FlagsSet", -1);
	pass(29999);
	expect_left(0, 1);
	pass(1);
	expect(0, "phone INBOX:FlagsSet:-1");
}

static void test_a_failed_push_is_merged(void **state)
{
	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	tell("INBOX", "MessageNew", 1);
	tell("Notes", "MessageNew", -1);
	tell("INBOX", "FlagsSet", 0);
	reply(0, 503);
	expect_left(1, 1);
	pass(conf.retry_max_ms * 2);
	expect(1, "phone INBOX:new:0");
	assert_true(out[1].id > out[0].id);
	reply(1, 201);
	expect(2, "phone Notes:new:-1");
	reply(2, 201);
	expect_left(3, 0);
}

static void test_what_is_tried_again_is_the_same(void **state)
{
	(void)state;
	phone();
	new_mail();
	no_reply(0, SEND_LOST);
	pass(conf.retry_max_ms * 2);
	expect_left(2, 1);
	assert_true(out[1].id == out[0].id);
	assert_string_equal(out[1].text, out[0].text);
}

/* A mail client that moves thousands of folders. */
static void test_what_waits_is_bounded(void **state)
{
	char name[32];
	size_t i;

	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "m%zu", i);
		tell(name, "MessageNew", -1);
	}
	expect_left(1, 1);
	expect(0, "phone m0:new:-1");
	for (i = 0; push_count(queue) > 0; i++) {
		reply(i, 201);
		pass(1000); /* no user is sent more than one a second */
	}
	expect_left(101, 0);
	expect(1, "phone m900:new:-1");
	expect(100, "phone m999:new:-1");
	assert_int_equal(counted(REG_WEBPUSH).dropped, 899);
}

/* A famous pair of 128 bytes (X. Wang et al., 2004).  The first one stands for
 * both, and nothing is mixed up. */
static void test_names_with_the_same_md5(void **state)
{
	static const char hex[] =
	    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89"
	    "55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b"
	    "d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
	    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70";
	static const unsigned char differ[] = { 19, 45, 59, 83, 109, 123 };
	unsigned char twins[2][129] = { { 0 } };
	unsigned char md5[2][16];
	char text[200];
	size_t i;

	(void)state;
	assert_true(text_hex_read(hex, 256, twins[0]));
	memcpy(twins[1], twins[0], 128);
	for (i = 0; i < sizeof(differ); i++)
		twins[1][differ[i]] ^= 0x80;
	for (i = 0; i < 2; i++)
		tls_md5(twins[i], 128, md5[i]);
	assert_memory_equal(md5[0], md5[1], 16);
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	tell("INBOX", "MessageNew", -1);
	tell((char *)twins[0], "MessageNew", -1);
	tell((char *)twins[1], "MessageNew", -1);
	tell("Notes", "MessageNew", -1);
	reply(0, 503);
	tell((char *)twins[1], "MessageNew", -1);
	pass(conf.retry_max_ms * 2);
	reply(1, 201);
	snprintf(text, sizeof(text), "phone %s:new:-1", (char *)twins[0]);
	expect(2, text);
	reply(2, 201);
	expect(3, "phone Notes:new:-1");
	reply(3, 201);
	expect_left(4, 0);
}

/* --- answers --- */

static void test_gone_is_removed(void **state)
{
	static const int gone[] = { 404, 410 };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		phone();
		new_mail();
		tell("INBOX", "MessageNew", -1);
		reply(i, gone[i]);
		assert_int_equal(store_count(store), 0);
		expect_left(i + 1, 0);
	}
	assert_int_equal(counted(REG_WEBPUSH).forgotten, 2);
	assert_int_equal(new_mail(), PUSH_NO_USER);
}

static void test_refused_is_suspended(void **state)
{
	(void)state;
	phone();
	new_mail();
	new_mail();
	reply(0, 400);
	expect_left(1, 0);
	assert_int_equal(store_suspended(store), 1);
	assert_int_equal(new_mail(), PUSH_NO_MAILBOX);
	phone(); /* comes again */
	assert_int_equal(new_mail(), PUSH_QUEUED);
	expect_left(2, 1);
}

static void test_the_body_decides(void **state)
{
	struct send_answer an = { .outcome = SEND_ANSWERED,
		.status = 400,
		.retry_after_s = -1,
		.body = (const unsigned char *)"Oddly put",
		.body_len = 9 };

	(void)state;
	phone();
	new_mail();
	reply_full(0, &an);
	assert_int_equal(store_suspended(store), 0);
	assert_int_equal(counted(REG_WEBPUSH).dropped, 1);
	expect_left(1, 0);
}

/* A redirect is an answer as any other that nobody knows. */
static void test_unknown_answers_drop(void **state)
{
	static const int odd[] = { 100, 301, 302, 307, 402, 418, 600, 999 };
	size_t i;

	(void)state;
	phone();
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		new_mail();
		reply(i, odd[i]);
		expect_left(i + 1, 0);
	}
	assert_int_equal(counted(REG_WEBPUSH).dropped, i);
	assert_int_equal(store_count(store), 1);
}

static void test_every_2xx_is_good(void **state)
{
	static const int good[] = { 200, 201, 202, 204, 299 };
	size_t i;

	(void)state;
	phone();
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		new_mail();
		reply(i, good[i]);
		expect_left(i + 1, 0);
	}
	assert_int_equal(counted(REG_WEBPUSH).delivered, i);
}

static void retries_after(int status, int64_t asked_s, int64_t wait_s)
{
	struct send_answer an = { .outcome = SEND_ANSWERED,
		.status = status,
		.retry_after_s = asked_s };

	phone();
	new_mail();
	reply_full(0, &an);
	pass(wait_s * 1000 - 1);
	expect_left(1, 1);
	pass(1);
	expect_left(2, 1);
	reply(1, 201);
	expect_left(2, 0);
	assert_int_equal(counted(REG_WEBPUSH).retried, 1);
}

static void test_429_with_retry_after(void **state)
{
	(void)state;
	retries_after(429, 900, 900);
}

static void test_503_with_retry_after(void **state)
{
	(void)state;
	retries_after(503, 1200, 1200);
}

static void test_retry_after_is_bounded(void **state)
{
	(void)state;
	retries_after(429, 999999999, 3600);
}

static void test_retried_until_it_is_old(void **state)
{
	size_t i;

	(void)state;
	conf.push_expiration_s = 3600;
	phone();
	new_mail();
	for (i = 0; push_count(queue) > 0; i++) {
		if (i % 3 == 0)
			reply(i, 500 + (int)i % 4);
		else
			no_reply(i, i % 3 == 1 ? SEND_LOST : SEND_UNPROCESSED);
		pass(conf.retry_max_ms * 2);
	}
	assert_true(i > 3);
	assert_int_equal(counted(REG_WEBPUSH).dropped, 1);
	assert_int_equal(store_count(store), 1);
}

static void test_unprocessed_is_sent_at_once(void **state)
{
	(void)state;
	phone();
	new_mail();
	no_reply(0, SEND_UNPROCESSED);
	expect_left(2, 1);
}

static void test_401_renews(void **state)
{
	(void)state;
	phone();
	new_mail();
	reply(0, 401);
	assert_int_equal(renewals, 1);
	expect_left(2, 1);
	/* and that is refused, too */
	reply(1, 401);
	expect_left(2, 1);
	pass(59999);
	expect_left(2, 1);
	pass(1);
	expect_left(3, 1);
	reply(2, 201);
	expect_left(3, 0);
}

/* Only those of that server wait. */
static void test_403_holds_one_lane(void **state)
{
	(void)state;
	phone();
	add(REG_WEBPUSH, "alice", "other", "1", "INBOX");
	new_mail();
	expect_left(2, 2);
	reply(out[0].lane == lanes[0] ? 0 : 1, 403);
	reply(out[0].lane == lanes[0] ? 1 : 0, 201);
	expect_left(2, 1);
	new_mail();
	expect_left(3, 2);
	expect(2, "other INBOX:new:-1");
	reply(2, 201);
	assert_non_null(push_trouble(lanes[0]));
	assert_null(push_trouble(lanes[1]));
	pass(60000);
	expect_left(4, 1);
	reply(3, 201);
	assert_null(push_trouble(lanes[0]));
	expect_left(4, 0);
}

static void test_without_a_token_the_lane_waits(void **state)
{
	(void)state;
	phone();
	no_auth = true;
	new_mail();
	expect_left(0, 1);
	assert_string_equal(push_trouble(lanes[0]), "no token today");
	no_auth = false;
	pass(10000);
	expect_left(1, 1);
	reply(0, 201);
	assert_null(push_trouble(lanes[0]));
}

/* --- what changes meanwhile --- */

static void test_renewed_in_flight(void **state)
{
	(void)state;
	phone();
	new_mail();
	phone();
	reply(0, 410); /* of the one before */
	assert_int_equal(store_count(store), 1);
	expect_left(2, 1);
	reply(1, 410);
	assert_int_equal(store_count(store), 0);
	expect_left(2, 0);
}

static void test_removed_in_flight(void **state)
{
	static const int statuses[] = { 201, 404, 400, 503, 429, 403, 401 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		phone();
		new_mail();
		store_drop(store, store_first(store, "alice"));
		new_mail(); /* nobody is there */
		expect_left(i + 1, 1);
		reply(i, statuses[i]);
		expect_left(i + 1, 0);
	}
}

static void test_removed_while_it_waits(void **state)
{
	(void)state;
	phone();
	tell("INBOX", "FlagsSet", -1);
	store_drop(store, store_first(store, "alice"));
	pass(60000);
	expect_left(0, 0);
}

static void test_no_way(void **state)
{
	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "nowhere", "INBOX");
	assert_int_equal(new_mail(), PUSH_QUEUED);
	expect_left(0, 0);
	assert_int_equal(counted(REG_WEBPUSH).dropped, 1);
	assert_int_equal(store_count(store), 1);
	tell("INBOX", "FlagsSet", -1);
	pass(30000);
	expect_left(0, 0);
}

static void test_not_in_this_build(void **state)
{
	(void)state;
	add(REG_FCM, "alice", "fcm", "0", "*");
	assert_int_equal(new_mail(), PUSH_NO_MAILBOX);
	expect_left(0, 0);
}

/* A request that no server would take does not stop what is behind it. */
static void test_cannot_be_written(void **state)
{
	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	assert_int_equal(tell("odd", "MessageNew", -1), PUSH_QUEUED);
	expect_left(0, 0);
	assert_int_equal(counted(REG_WEBPUSH).dropped, 1);
	tell("INBOX", "FlagsSet", -1);
	tell("odd", "FlagsSet", -1);
	tell("Notes", "FlagsSet", -1);
	pass(30000);
	expect(0, "phone INBOX:FlagsSet:-1");
	reply(0, 201);
	expect(1, "phone Notes:FlagsSet:-1");
	reply(1, 201);
	expect_left(2, 0);
	assert_int_equal(counted(REG_WEBPUSH).dropped, 2);
}

/* A server that is away for ever keeps nothing for ever. */
static void test_away_until_it_is_old(void **state)
{
	(void)state;
	phone();
	away = (struct sender *)(void *)&senders[0];
	new_mail();
	pass(conf.push_expiration_s * 1000 - 1);
	push_send_ops.failed(lanes[0]);
	expect_left(0, 1);
	pass(1);
	push_send_ops.failed(lanes[0]);
	expect_left(0, 0);
	assert_int_equal(counted(REG_WEBPUSH).dropped, 1);
}

static void test_one_server_hangs(void **state)
{
	(void)state;
	phone();
	add(REG_WEBPUSH, "alice", "other", "1", "INBOX");
	away = (struct sender *)(void *)&senders[0];
	new_mail();
	expect_left(1, 2);
	expect(0, "other INBOX:new:-1");
	reply(0, 201);
	expect_left(1, 1);
	away = NULL;
	push_send_ops.capacity(lanes[0]);
	run_tasks();
	expect(1, "phone INBOX:new:-1");
}

static void test_counters_outlive_the_lane(void **state)
{
	(void)state;
	phone();
	new_mail();
	reply(0, 201);
	push_lane_free(lanes[0]);
	lanes[0] = NULL;
	assert_int_equal(counted(REG_WEBPUSH).delivered, 1);
	new_mail();
	reply(1, 201);
	assert_int_equal(counted(REG_WEBPUSH).delivered, 2);
	assert_int_equal(counted(REG_DELTACHAT).delivered, 0);
}

/* Its lane ends while it is under way, and it has to be sent again. */
static void test_the_lane_ends(void **state)
{
	(void)state;
	phone();
	new_mail();
	lanes[0]->closing = true;
	lanes[0] = NULL; /* freed with the answer */
	reply(0, 503);
	expect_left(1, 1);
	pass(conf.retry_max_ms * 2);
	expect_left(2, 1);
	assert_ptr_equal(out[1].lane, lanes[0]);
	lanes[0]->closing = true;
	lanes[0] = NULL;
	no_reply(1, SEND_LOST);
	pass(conf.retry_max_ms * 2);
	expect_left(3, 1);
	reply(2, 201);
	expect_left(3, 0);
}

/* --- confirmation --- */

static void test_confirmation(void **state)
{
	struct reg *r = add(REG_WEBPUSH, "alice", "phone", "0 code", "*");

	(void)state;
	assert_int_equal(new_mail(), PUSH_NO_MAILBOX);
	push_confirm(queue, r);
	run_tasks();
	expect(0, "phone :confirm:-1");
	assert_int_equal(new_mail(), PUSH_NO_MAILBOX);
	reply(0, 201);
	expect_left(1, 0);
}

static void test_confirmation_is_tried_again(void **state)
{
	struct reg *r = add(REG_WEBPUSH, "alice", "phone", "0 code", "*");

	(void)state;
	push_confirm(queue, r);
	run_tasks();
	reply(0, 503);
	pass(conf.retry_max_ms * 2);
	expect(1, "phone :confirm:-1");
	reply(1, 410);
	assert_int_equal(store_count(store), 0);
	expect_left(2, 0);
}

/* What waited for the confirmed one says nothing to one that is not. */
static void test_has_to_be_confirmed_again(void **state)
{
	const char *inbox = "INBOX";
	struct reg_spec spec = { .user = "alice",
		.account = "phone",
		.token = TOK_A,
		.mailboxes = &inbox,
		.n_mailboxes = 1,
		.time_s = 1,
		.kind = REG_WEBPUSH,
		.to = "0" };
	struct reg *r = store_put(store, &spec);

	(void)state;
	tell("INBOX", "FlagsSet", -1);
	expect_left(0, 1);
	spec.to = "0 code";
	assert_ptr_equal(store_put(store, &spec), r);
	push_renewed(r);
	expect_left(0, 0);
	push_confirm(queue, r);
	pass(60000);
	expect_left(1, 1);
	expect(0, "phone :confirm:-1");
}

/* --- hooks --- */

static enum push_result hooked(const char *mailbox, const char *event)
{
	struct push_event ev = push_no_event;
	enum push_result result;

	push_event_add(&ev, event);
	result = push_notify(queue, "hooked", mailbox, &ev);
	run_tasks();
	return result;
}

static void test_hooks_need_no_device(void **state)
{
	(void)state;
	assert_int_equal(hooked("INBOX", "MessageNew"), PUSH_QUEUED);
	expect_left(2, 2);
	expect(0, "ntfy INBOX:new:-1");
	expect(1, "matrix INBOX:new:-1");
	reply(0, 200);
	reply(1, 200);
	expect_left(2, 0);
	assert_int_equal(store_count(store), 0);
	assert_int_equal(store_count(queue->memory), 0);
}

static void test_a_hook_has_its_own_delay(void **state)
{
	(void)state;
	hooked("INBOX", "FlagsSet");
	pass(999);
	expect_left(0, 2);
	pass(1);
	expect(0, "ntfy INBOX:FlagsSet:-1");
	pass(999);
	expect_left(1, 2);
	pass(1);
	expect(1, "matrix INBOX:FlagsSet:-1");
}

static void test_one_hook_hangs(void **state)
{
	size_t i;

	(void)state;
	away = (struct sender *)(void *)&senders[6];
	for (i = 0; i < 10; i++) {
		hooked("INBOX", "MessageNew");
		reply(i, 200);
	}
	expect_left(10, 1);
	expect(9, "matrix INBOX:new:-1");
	assert_int_equal(store_count(queue->memory), 1);
}

/* A hook's registration is never asked of other nodes. */
static void on_due(
    void *arg, const struct reg *r, const unsigned char *hash, int64_t ahead_ms)
{
	(void)hash;
	assert_int_equal(ahead_ms, 500);
	assert_int_not_equal(reg_kind(r), REG_HOOK);
	++*(unsigned *)arg;
}

static void test_other_nodes(void **state)
{
	unsigned asked = 0;
	unsigned char hash[PUSH_HASH_LEN];
	struct reg *r = add(REG_WEBPUSH, "hooked", "phone", "0", "*");

	(void)state;
	push_on_due(queue, on_due, &asked);
	hooked("INBOX", "FlagsSet");
	hooked("Notes", "FlagsSet");
	pass(29500);
	assert_int_equal(asked, 2);
	push_hash_utf8("INBOX", hash);
	assert_false(push_covered(r, hash, now_ms + 500));
	pass(500);
	expect_left(3, 3);
	expect(2, "phone Notes:FlagsSet:-1");
	reply(2, 201);
	/* all of it is covered */
	hooked("INBOX", "FlagsSet");
	pass(29500);
	assert_true(push_covered(r, hash, now_ms + 500));
	pass(500);
	expect_left(3, 2);
}

static void test_memory_is_bounded(void **state)
{
	char user[32];
	size_t i;

	(void)state;
	for (i = 0; i <= 10000; i++) {
		snprintf(user, sizeof(user), "user%zu", i);
		if (push_memory_reg(queue, REG_HOOK, user, "ntfy") == NULL)
			break;
	}
	assert_int_equal(i, 10000);
}

/* --- over a restart --- */

static void restart(void)
{
	char err[ERR_MAX], saved[80];

	snprintf(saved, sizeof(saved), "%s.queue", path);
	assert_int_equal(push_save(queue, saved, err), 0);
	push_free(queue);
	memset(lanes, 0, sizeof(lanes));
	queue = push_new(NULL, &conf, store, NULL);
	push_load(queue, saved);
	assert_int_equal(access(saved, F_OK), -1);
	run_tasks();
}

static void test_kept_over_a_restart(void **state)
{
	uint64_t id;

	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	tell("INBOX", "MessageNew", 7);	 /* in flight */
	tell("a \"b\\", "FlagsSet", -1); /* delayed */
	tell("INBOX", "FlagsSet", 6);
	id = out[0].id;
	restart();
	expect_left(2, 1);
	expect(1, "phone INBOX:new:6");
	assert_true(out[1].id > id);
	reply(1, 201);
	expect(2, "phone a \"b\\:FlagsSet:-1");
	reply(2, 201);
	expect_left(3, 0);
	restart();
	expect_left(3, 0);
}

/* The same request is known as the same, also after a restart. */
static void test_the_id_is_kept(void **state)
{
	(void)state;
	phone();
	new_mail();
	wall_s += 3600;
	restart();
	expect_left(2, 1);
	assert_true(out[1].id == out[0].id);
	reply(1, 201);
	new_mail();
	assert_true(out[2].id > out[1].id);
}

static void test_hooks_over_a_restart(void **state)
{
	(void)state;
	hooked("INBOX", "MessageNew");
	reply(0, 503);
	restart();
	expect_left(4, 2);
	reply(2, 200);
	reply(3, 200);
	expect_left(4, 0);
	assert_int_equal(store_count(queue->memory), 0);
}

static void test_a_hook_that_is_gone(void **state)
{
	(void)state;
	hooked("INBOX", "MessageNew");
	hooks_gone = true;
	restart();
	expect_left(2, 0);
	assert_int_equal(store_count(queue->memory), 0);
	assert_int_equal(counted(REG_HOOK).dropped, 2);
}

static void load_text(const char *text)
{
	char saved[80];
	FILE *f;

	snprintf(saved, sizeof(saved), "%s.queue", path);
	f = fopen(saved, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	push_load(queue, saved);
	run_tasks();
}

#define KEPT(kind, age, rest)                                                  \
	"{\"user\":\"alice\",\"account\":\"phone\",\"token\":\"" TOK_A         \
	"\",\"kind\":\"" kind "\",\"age\":" age "," rest "}\n"
#define NOTE "\"note\":[\"INBOX\",\"new\",1,5]"

static void test_damaged_queue_file(void **state)
{
	const char *inbox = "INBOX";
	struct reg_spec spec = { .user = "alice",
		.account = "phone",
		.token = TOK_A,
		.mailboxes = &inbox,
		.n_mailboxes = 1,
		.time_s = 1,
		.kind = REG_WEBPUSH,
		.to = "0" };

	(void)state;
	store_put(store, &spec);
	load_text(KEPT("webpush", "1", "\"note\":[]")
		KEPT("webpush", "1", "\"note\":[\"INBOX\"]")
		    KEPT("webpush", "1", "\"note\":[\"INBOX\",\"new\",1]")
			KEPT("webpush", "1", "\"note\":[\"INBOX\",7,1,5]")
			    KEPT("webpush", "1",
				"\"note\":[[\"INBOX\",\"new\"],\"new\",1,5]")
				KEPT("webpush", "1", "\"note\":{\"a\":1}")
				    KEPT("webpush", "-1", NOTE) KEPT("webpush",
					"1", "\"hashes\":[\"" MD5_INBOX "\"]"));
	expect_left(0, 0);
	load_text(KEPT("webpush", "1", NOTE) "{\"user\":\"alice\",\"acc");
	expect_left(1, 1);
	expect(0, "phone INBOX:new:1");
	reply(0, 201);
	load_text(KEPT("webpush", "9223372036854775807", NOTE));
	expect_left(1, 0);
	/* of Apple's, where there is none of that kind any more */
	load_text(KEPT("apple", "1", "\"hashes\":[\"" MD5_INBOX "\"]"));
	expect_left(1, 0);
}

/* A build that lacks the kind finds what another one has left. */
static void test_kept_by_another_build(void **state)
{
	const char *inbox = "INBOX";
	struct reg_spec spec = { .user = "alice",
		.account = "phone",
		.token = TOK_A,
		.mailboxes = &inbox,
		.n_mailboxes = 1,
		.time_s = 1,
		.kind = REG_FCM,
		.to = "0" };

	(void)state;
	store_put(store, &spec);
	load_text(KEPT("fcm", "1", NOTE));
	expect_left(0, 0);
	assert_int_equal(store_count(store), 1);
}

/* The most that can wait, with the longest names. */
static void test_many_long_names_are_kept(void **state)
{
	static char name[4097];
	size_t i;

	(void)state;
	add(REG_WEBPUSH, "alice", "phone", "0", "*");
	capacity = 0;
	memset(name, '"', sizeof(name) - 1);
	for (i = 0; i < 100; i++) {
		name[0] = (char)('A' + i / 10);
		name[1] = (char)('A' + i % 10);
		tell(name, "MessageNew", -1);
	}
	restart();
	capacity = 1;
	push_send_ops.capacity(lanes[0]);
	run_tasks();
	for (i = 0; push_count(queue) > 0; i++) {
		capacity = 1;
		reply(i, 201);
		capacity = 1;
		pass(1000);
	}
	assert_int_equal(i, 100);
}

/* --- visits --- */

static void test_visits_of_an_android_app(void **state)
{
	struct reg *apple, *r = phone();
	const struct push_visits *v;

	(void)state;
	NEEDS_VISITS();
	apple = add_reg("alice", TOK_A, true, 100);
	/* An iPhone's says nothing about it. */
	assert_true(push_seen(queue, "alice", "iOS 26.1"));
	assert_int_equal(reg_past(r)->seen, 0);
	assert_int_not_equal(reg_past(apple)->seen, 0);
	new_mail();
	reply(0, 201);
	answer(0, 200, "");
	assert_int_equal(reg_past(r)->waiting, 0);
	assert_int_equal(reg_past(apple)->waiting, 1);
	/* Its own does, from then on. */
	assert_true(push_seen(queue, "alice", "K-9 Mail on Android 16"));
	assert_int_equal(reg_past(apple)->waiting, 1);
	new_mail();
	reply(1, 201);
	assert_int_equal(reg_past(r)->waiting, 1);
	pass(4000);
	push_seen(queue, "alice", "FairEmail (android)");
	assert_int_equal(reg_past(r)->waiting, 0);
	assert_int_equal(reg_past(r)->wakeup, 40);
	v = push_get_visits(queue);
	assert_int_equal(v->n_wakeups, 1);
	assert_false(push_seen(queue, "bob", "Android"));
}

/* --- xapsd push --- */

static char reported[400];
static unsigned ended;

static void on_report(void *arg, const char *account, const char *token,
    bool delivered, const char *words)
{
	size_t len = strlen(reported);

	(void)arg;
	(void)token;
	if (account == NULL)
		ended++;
	else
		snprintf(reported + len, sizeof(reported) - len, "%s %d %s|",
		    account, delivered, words);
}

static void try(const char *mailbox)
{
	*reported = '\0';
	ended = 0;
	push_trial_start(queue, "alice", mailbox, on_report, NULL);
	run_tasks();
}

static void test_trial(void **state)
{
	(void)state;
	phone();
	try("INBOX");
	expect(0, "phone INBOX:new:-1");
	reply(0, 201);
	assert_string_equal(reported, "phone 1 the push service took it|");
	assert_int_equal(ended, 1);
	try("INBOX");
	reply(1, 410);
	assert_string_equal(reported, "phone 0 the push service answered 410|");
	assert_int_equal(ended, 1);
}

static void test_trial_of_all_mailboxes(void **state)
{
	(void)state;
	add(REG_DELTACHAT, "alice", "deltachat", "1", "*");
	try("Any folder");
	expect(0, "deltachat Any folder:new:-1");
	reply(0, 200);
	assert_string_equal(reported, "deltachat 1 the proxy took it|");
}

static void test_obstacles_of_a_trial(void **state)
{
	(void)state;
	add(REG_FCM, "alice", "fcm", "0", "*");
	add(REG_WEBPUSH, "alice", "code", "0 code", "*");
	add(REG_WEBPUSH, "alice", "nowhere", "nowhere", "*");
	add(REG_WEBPUSH, "alice", "notes", "2", "Notes");
	try("INBOX");
	assert_int_equal(ended, 1);
	assert_non_null(
	    strstr(reported, "fcm 0 this xapsd was built without it|"));
	assert_non_null(
	    strstr(reported, "code 0 its device has not confirmed it yet|"));
	assert_non_null(
	    strstr(reported, "nowhere 0 there is no way to nowhere|"));
	assert_non_null(
	    strstr(reported, "notes 0 does not watch this mailbox|"));
	expect_left(0, 0);
}

static void test_trial_without_an_answer(void **state)
{
	(void)state;
	phone();
	away = (struct sender *)(void *)&senders[0];
	try("INBOX");
	assert_int_equal(ended, 0);
	pass(15000);
	assert_int_equal(ended, 1);
	assert_string_equal(reported,
	    "phone 0 not connected to the push service: refused: it stays "
	    "queued|");
	expect_left(0, 1);
}

#define K(f) cmocka_unit_test_setup_teardown(f, begin, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		K(test_words_of_a_push),
		K(test_names_of_events),
		K(test_the_name_is_decoded),
		K(test_each_mailbox_has_its_request),
		K(test_one_request_for_all),
		K(test_all_mailboxes_of_the_user),
		K(test_another_owners_mailbox),
		K(test_apple_beside_it),
		K(test_new_mail_counts_most),
		K(test_flags_wait),
		K(test_a_failed_push_is_merged),
		K(test_what_is_tried_again_is_the_same),
		K(test_what_waits_is_bounded),
		K(test_names_with_the_same_md5),
		K(test_gone_is_removed),
		K(test_refused_is_suspended),
		K(test_the_body_decides),
		K(test_unknown_answers_drop),
		K(test_every_2xx_is_good),
		K(test_429_with_retry_after),
		K(test_503_with_retry_after),
		K(test_retry_after_is_bounded),
		K(test_retried_until_it_is_old),
		K(test_unprocessed_is_sent_at_once),
		K(test_401_renews),
		K(test_403_holds_one_lane),
		K(test_without_a_token_the_lane_waits),
		K(test_renewed_in_flight),
		K(test_removed_in_flight),
		K(test_removed_while_it_waits),
		K(test_no_way),
		K(test_not_in_this_build),
		K(test_cannot_be_written),
		K(test_away_until_it_is_old),
		K(test_one_server_hangs),
		K(test_counters_outlive_the_lane),
		K(test_the_lane_ends),
		K(test_confirmation),
		K(test_confirmation_is_tried_again),
		K(test_has_to_be_confirmed_again),
		K(test_hooks_need_no_device),
		K(test_a_hook_has_its_own_delay),
		K(test_one_hook_hangs),
		K(test_other_nodes),
		K(test_memory_is_bounded),
		K(test_kept_over_a_restart),
		K(test_the_id_is_kept),
		K(test_hooks_over_a_restart),
		K(test_a_hook_that_is_gone),
		K(test_damaged_queue_file),
		K(test_kept_by_another_build),
		K(test_many_long_names_are_kept),
		K(test_visits_of_an_android_app),
		K(test_trial),
		K(test_trial_of_all_mailboxes),
		K(test_obstacles_of_a_trial),
		K(test_trial_without_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
