/* fcm_token_test.c - access tokens over time, with scripted answers; messages and
 * what their answers say. */
#include "unit.h"

#include "clock.h"
#include "needs.h"
#include "pki.h"

#include "fake_loop.h"

#include "../../fcm.c"

static char err[ERR_MAX];
static struct cred_service account = { .email = "push@shop-1.example",
	.project = "shop-1",
	.token_url = "https://oauth2.googleapis.com/token",
	.key_id = "0123abcd" };

/* --- the sender: what was sent, and what is answered --- */

static struct {
	const struct send_ops *ops;
	void *arg;
	uint32_t capacity;
	unsigned sent, needed;
	char body[REQUEST_MAX];
	char host[300];
} wire;

struct sender *sender_new(struct loop *l, const struct send_target *to,
    const struct send_ops *o, void *arg, const char *label,
    struct send_gate *gate)
{
	(void)l;
	(void)label;
	(void)gate;
	wire.ops = o;
	wire.arg = arg;
	wire.capacity = 1;
	wire.sent = wire.needed = 0;
	snprintf(wire.host, sizeof(wire.host), "%s:%d", to->host, to->port);
	return (struct sender *)&wire;
}

void sender_free(struct sender *s)
{
	assert_ptr_equal(s, &wire);
}

void sender_need(struct sender *s)
{
	assert_ptr_equal(s, &wire);
	assert_true(wire.ops->wanted(wire.arg));
	wire.needed++;
}

uint32_t sender_capacity(const struct sender *s)
{
	assert_ptr_equal(s, &wire);
	return wire.capacity;
}

void sender_get_status(const struct sender *s, struct send_status *status_r)
{
	assert_ptr_equal(s, &wire);
	status_r->last_error = "the name is not known";
}

enum send_sent send_request(struct sender *s, const struct hpack_header *list,
    size_t n, const void *body, size_t len, void *owner)
{
	assert_ptr_equal(s, &wire);
	(void)owner;
	assert_int_equal(n, 5);
	assert_string_equal(list[2].value, "/token");
	assert_string_equal(list[3].value, "oauth2.googleapis.com");
	assert_true(len < sizeof(wire.body));
	memcpy(wire.body, body, len);
	wire.body[len] = '\0';
	wire.capacity = 0;
	wire.sent++;
	return SEND_SENT;
}

static void answer(enum send_outcome outcome, int status, const char *body)
{
	struct send_answer an = { .outcome = outcome,
		.status = status,
		.retry_after_s = -1,
		.body = (const unsigned char *)body,
		.body_len = strlen(body) };

	wire.capacity = 1;
	wire.ops->answer(wire.arg, wire.arg, &an);
}

#define TOKEN(t, s)                                                            \
	"{\"access_token\":\"" t "\",\"expires_in\":" s                        \
	",\"token_type\":\"Bearer\"}"

/* --- the account's --- */

static unsigned readies;

static void on_ready(void *arg)
{
	assert_ptr_equal(arg, &readies);
	readies++;
}

static struct fcm *open_fcm(void)
{
	static const struct send_target to = { .retry_min_ms = 1000,
		.retry_max_ms = 60000 };

	now_ms = 5000;
	wall_s = CLOCK_MIN_S + 1000;
	readies = 0;
	return fcm_new(NULL, &account, &to, on_ready, &readies, "", NULL);
}

static void has(struct fcm *f, const char *bearer)
{
	const char *got = NULL;

	assert_int_equal(fcm_bearer(f, &got, err), SEND_SENT);
	assert_string_equal(got, bearer);
}

static void has_none(struct fcm *f, enum send_sent want)
{
	const char *got = NULL;

	*err = '\0';
	assert_int_equal(fcm_bearer(f, &got, err), want);
	assert_null(got);
}

static void test_token(void **state)
{
	struct fcm *f = open_fcm();

	(void)state;
	assert_string_equal(wire.host, "oauth2.googleapis.com:443");
	assert_int_equal(wire.sent, 0); /* nobody wants one yet */
	assert_false(wire.ops->wanted(f));
	has_none(f, SEND_FULL);
	has_none(f, SEND_FULL); /* one request for all who wait */
	assert_int_equal(wire.sent, 1);
	assert_int_equal(wire.needed, 1);
	assert_non_null(strstr(wire.body, "jwt-bearer&assertion=ey"));
	answer(SEND_ANSWERED, 200, TOKEN("one", "3599"));
	assert_int_equal(readies, 1);
	has(f, "Bearer one");
	assert_false(wire.ops->wanted(f));
	/* Kept until 5 minutes before its end, without a timer. */
	pass(3298 * 1000);
	has(f, "Bearer one");
	pass(1000);
	assert_int_equal(wire.sent, 1);
	has_none(f, SEND_FULL);
	assert_int_equal(wire.sent, 2);
	answer(SEND_ANSWERED, 200, TOKEN("two", "3599"));
	has(f, "Bearer two");
	/* One that was refused. */
	fcm_renew(f);
	has_none(f, SEND_FULL);
	answer(SEND_ANSWERED, 200, TOKEN("three", "3599"));
	has(f, "Bearer three");
	assert_int_equal(wire.sent, 3);
	fcm_free(f);
}

static void test_life(void **state)
{
	static const struct {
		const char *body;
		int life_s;
	} rows[] = {
		{ TOKEN("t", "600"), 300 },
		{ TOKEN("t", "10"), 5 },
		{ TOKEN("t", "999999999"), 3300 },
		{ TOKEN("t", "\"soon\""), 3300 },
		{ "{\"access_token\":\"t\"}", 3300 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fcm *f = open_fcm();

		has_none(f, SEND_FULL);
		answer(SEND_ANSWERED, 200, rows[i].body);
		pass((rows[i].life_s - 1) * 1000);
		has(f, "Bearer t");
		pass(1000);
		has_none(f, SEND_FULL);
		fcm_free(f);
	}
}

/* A token that is expired at once is no reason to ask for ever. */
static void test_no_life(void **state)
{
	struct fcm *f = open_fcm();

	(void)state;
	has_none(f, SEND_FULL);
	answer(SEND_ANSWERED, 200, TOKEN("t", "0"));
	has_none(f, SEND_NO_AUTH);
	assert_non_null(strstr(err, "Google gives no access token"));
	fcm_free(f);
}

static void test_transient(void **state)
{
	static const struct {
		enum send_outcome outcome;
		int status;
	} rows[] = { { SEND_LOST, 0 }, { SEND_UNPROCESSED, 0 },
		{ SEND_ANSWERED, 500 }, { SEND_ANSWERED, 503 },
		{ SEND_ANSWERED, 429 } };
	struct fcm *f = open_fcm();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		has_none(f, SEND_FULL);
		assert_int_equal(wire.sent, i + 1);
		answer(rows[i].outcome, rows[i].status, "<html>");
		has_none(f, SEND_FULL); /* it waits */
		assert_int_equal(wire.sent, i + 1);
		assert_string_not_equal(fcm_trouble(f), "");
		readies = 0;
		pass(60 * 1000);
		assert_int_equal(readies, 1);
	}
	has_none(f, SEND_FULL);
	answer(SEND_ANSWERED, 200, TOKEN("t", "3599"));
	has(f, "Bearer t");
	assert_string_equal(fcm_trouble(f), "");
	fcm_free(f);
}

/* It grows, and Retry-After is honoured. */
static void test_pauses(void **state)
{
	struct send_answer an = { .outcome = SEND_ANSWERED,
		.status = 503,
		.retry_after_s = 30,
		.body = (const unsigned char *)"" };
	struct fcm *f = open_fcm();

	(void)state;
	has_none(f, SEND_FULL);
	wire.capacity = 1;
	wire.ops->answer(f, f, &an);
	readies = 0;
	pass(29999);
	assert_int_equal(readies, 0);
	pass(1);
	assert_int_equal(readies, 1);
	an.retry_after_s = INT64_MAX / 10;
	has_none(f, SEND_FULL);
	wire.capacity = 1;
	wire.ops->answer(f, f, &an);
	readies = 0;
	pass(3600 * 1000);
	assert_int_equal(readies, 1);
	fcm_free(f);
}

static void test_refused(void **state)
{
	static const struct {
		int status;
		const char *body, *words;
	} rows[] = {
		{ 400,
		    "{\"error\":\"invalid_grant\",\"error_description\":"
		    "\"Invalid JWT: Token must be a short-lived token (60 "
		    "minutes) and in a reasonable timeframe. Check your iat "
		    "and exp values in the JWT claim.\"}",
		    "clock is probably wrong" },
		{ 400,
		    "{\"error\":\"invalid_grant\",\"error_description\":"
		    "\"Invalid JWT Signature.\"}",
		    "the key was deleted" },
		{ 400,
		    "{\"error\":\"invalid_grant\",\"error_description\":"
		    "\"Invalid grant: account not found\"}",
		    "is the account gone or disabled?" },
		{ 401,
		    "{\"error\":\"invalid_client\",\"error_description\":"
		    "\"The OAuth client was not found.\"}",
		    "(401: The OAuth client was not found.)" },
		{ 403, "{\"error\":{\"code\":403}}", "(403: no reason)" },
		{ 404, "<!DOCTYPE html>", "(404: no reason)" },
		{ 302, "", "(302: no reason)" },
		{ 200, "", "(200: no reason)" },
		{ 200, "{\"access_token\":\"\"}", "(200: no reason)" },
		{ 200, "{\"access_token\":7}", "(200: no reason)" },
		{ 200, "{\"id_token\":\"a\"}", "(200: no reason)" },
		{ 200, "[]", "(200: no reason)" },
	};
	struct fcm *f = open_fcm();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		has_none(f, SEND_FULL);
		assert_int_equal(wire.sent, i + 1);
		readies = 0;
		answer(SEND_ANSWERED, rows[i].status, rows[i].body);
		assert_int_equal(readies, 1);
		has_none(f, SEND_NO_AUTH);
		if (strstr(err, rows[i].words) == NULL ||
		    strstr(err, account.email) == NULL)
			fail_msg("\"%s\" lacks \"%s\"", err, rows[i].words);
		assert_int_equal(wire.sent, i + 1); /* but the next one asks */
	}
	fcm_free(f);
}

static void test_clock(void **state)
{
	struct fcm *f = open_fcm();

	(void)state;
	wall_s = 1000;
	has_none(f, SEND_NO_AUTH);
	assert_non_null(strstr(err, "clock was not set"));
	assert_int_equal(wire.sent, 0);
	wall_s = CLOCK_MIN_S + 1;
	has_none(f, SEND_FULL);
	assert_int_equal(wire.sent, 1);
	fcm_free(f);
}

static void test_away(void **state)
{
	struct fcm *f = open_fcm();

	(void)state;
	wire.capacity = 0;
	has_none(f, SEND_FULL);
	assert_int_equal(wire.sent, 0);
	assert_true(wire.ops->wanted(f)); /* the sender goes on */
	wire.ops->failed(f);
	assert_string_equal(fcm_trouble(f),
	    "no access token from oauth2.googleapis.com: the name is not "
	    "known");
	wire.capacity = 1;
	wire.ops->capacity(f);
	assert_int_equal(wire.sent, 1);
	wire.capacity = 1;
	wire.ops->capacity(f); /* it is under way */
	assert_int_equal(wire.sent, 1);
	answer(SEND_ANSWERED, 200, TOKEN("t", "3599"));
	has(f, "Bearer t");
	assert_string_equal(fcm_trouble(f), "");
	/* One that was asked for before it was renewed. */
	fcm_renew(f);
	answer(SEND_ANSWERED, 200, TOKEN("late", "3599"));
	has_none(f, SEND_FULL);
	fcm_free(f);
}

static void test_message(void **state)
{
	const struct fcm_message m = { .token = "app:\"1\"",
		.user = "alice@example.org",
		.mailbox = "A \"b\"\\c\nd ü",
		.event = "new",
		.urgent = true,
		.ttl_s = 86400 },
				 late = { .token = "t",
					 .user = "a",
					 .mailbox = "INBOX",
					 .event = "changed",
					 .ttl_s = 30 * 86400 };
	struct buf b = BUF_INIT(FCM_MESSAGE_MAX);
	struct json j;

	(void)state;
	fcm_write_message(&b, &m);
	buf_add_byte(&b, '\0');
	assert_string_equal((char *)buf_head(&b),
	    "{\"message\":{\"token\":\"app:\\\"1\\\"\",\"android\":{"
	    "\"priority\":\"HIGH\",\"ttl\":\"86400s\"},\"data\":{\"event\":"
	    "\"new\",\"user\":\"alice@example.org\",\"mailbox\":"
	    "\"A \\\"b\\\"\\\\c\\nd ü\"}}}");
	fcm_write_message(&b, &late);
	assert_true(json_load((char *)buf_head(&b), b.len, &j));
	json_free(&j);
	buf_add_byte(&b, '\0');
	assert_non_null(strstr((char *)buf_head(&b),
	    "\"priority\":\"NORMAL\",\"ttl\":\"2419200s\""));
	buf_free(&b);
}

/* The longest that can be registered fits, whatever is in it. */
static void test_longest(void **state)
{
	static char token[2049], user[256], mailbox[1025];
	const struct fcm_message m = { token, user, mailbox, "new", true, 1 };
	struct buf b = BUF_INIT(FCM_MESSAGE_MAX);

	(void)state;
	memset(token, '"', sizeof(token) - 1);
	memset(user, '\\', sizeof(user) - 1);
	memset(mailbox, '"', sizeof(mailbox) - 1);
	fcm_write_message(&b, &m);
	assert_false(b.failed);
	buf_free(&b);
}

static void reason_is(int status, const char *body, const char *reason)
{
	struct send_answer an = { .outcome = SEND_ANSWERED,
		.status = status,
		.body = (const unsigned char *)body,
		.body_len = strlen(body) };

	fcm_read_answer(&an);
	assert_string_equal(an.reason, reason);
}

#define DETAILS(d)                                                             \
	"{\"error\":{\"code\":404,\"message\":\"x\",\"status\":\"NOT_FOUND\"," \
	"\"details\":" d "}}"

static void test_reasons(void **state)
{
	(void)state;
	reason_is(404,
	    DETAILS("[{\"@type\":\"a\"},{\"@type\":\"b\",\"errorCode\":"
		    "\"UNREGISTERED\"}]"),
	    "UNREGISTERED");
	reason_is(
	    404, DETAILS("[{\"errorCode\":\"A\"},{\"errorCode\":\"B\"}]"), "A");
	reason_is(404, DETAILS("[]"), "NOT_FOUND");
	reason_is(404, DETAILS("{}"), "NOT_FOUND");
	reason_is(404, DETAILS("[1,null,[],\"errorCode\",{\"errorCode\":7}]"),
	    "NOT_FOUND");
	reason_is(401, "{\"error\":{\"status\":\"UNAUTHENTICATED\"}}",
	    "UNAUTHENTICATED");
	reason_is(400, "{\"error\":\"x\"}", NO_REASON);
	reason_is(400, "{\"error\":{\"status\":[]}}", NO_REASON);
	reason_is(400, "[{\"error\":{}}]", NO_REASON);
	reason_is(404, "<html>", NO_REASON);
	reason_is(404, "", NO_REASON);
	reason_is(200, "{\"name\":\"projects/x/messages/1\"}", "");
	assert_string_not_equal(fcm_reason_words("UNREGISTERED"), "");
	assert_string_equal(fcm_reason_words("SOMETHING"), "");
}

static void test_headers(void **state)
{
	struct hpack_header list[FCM_N_HEADERS];
	struct fcm *f = open_fcm();
	char path[FCM_PATH_MAX];
	struct url u;

	(void)state;
	assert_int_equal(url_parse("https://fcm.example:444", &u, err), 0);
	fcm_headers(f, &u, "Bearer t", path, list);
	assert_string_equal(list[2].value, "/v1/projects/shop-1/messages:send");
	assert_int_equal(list[2].value_len, strlen(path));
	assert_string_equal(list[3].value, "fcm.example:444");
	assert_string_equal(list[5].name, "authorization");
	assert_string_equal(list[5].value, "Bearer t");
	fcm_free(f);
}

static int setup(void **state)
{
	char *pem;
	size_t len;

	(void)state;
	pki_open();
	pki_key("rsa", "rsa:2048");
	if (tls_init(err) != 0)
		return -1;
	pem = slurp("rsa.key", &len);
	account.key = tls_key_parse(pem, len, NULL, err);
	free(pem);
	return account.key == NULL;
}

static int teardown(void **state)
{
	tls_key_free(account.key);
	return pki_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_no_life),
		cmocka_unit_test(test_transient),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_away),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
