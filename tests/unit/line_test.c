/* line_test.c - the first generation's lines: whole, cut anywhere, wrong. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/line.h"

#define REGISTER                                                               \
	"REGISTER aps-account-id=\"A1\"\taps-device-token=\"B2\"\t"            \
	"aps-subtopic=\"com.apple.mobilemail\"\tdovecot-username=\"u\"\t"      \
	"dovecot-mailboxes=(\"INBOX\",\"No, \\\"tes\\\\\")"

struct parsed {
	struct api_line rq;
	char err[ERR_MAX];
	char room[4096];
};

static int parse(struct parsed *p, const char *text, size_t len)
{
	p->err[0] = '\0';
	memset(p->room, 'x', sizeof(p->room));
	return api_line_parse(text, len, p->room, &p->rq, p->err);
}

static void test_register(void **state)
{
	struct parsed p;

	(void)state;
	assert_int_equal(parse(&p, REGISTER, strlen(REGISTER)), 0);
	assert_int_equal(p.rq.verb, API_LINE_REGISTER);
	assert_string_equal(p.rq.account, "A1");
	assert_string_equal(p.rq.token, "B2");
	assert_string_equal(p.rq.subtopic, "com.apple.mobilemail");
	assert_string_equal(p.rq.user, "u");
	assert_null(p.rq.mailbox);
	assert_null(p.rq.events.first);
	assert_int_equal(p.rq.mailboxes.n, 2);
	assert_string_equal(p.rq.mailboxes.first, "INBOX");
	assert_string_equal(p.rq.mailboxes.first + 6, "No, \"tes\\");
}

static void test_notify(void **state)
{
	static const char text[] =
	    "NOTIFY events=(\"FlagsSet\",\"messagenew\")\tfuture=(\"a\",\"b\")"
	    "\tdovecot-mailbox=\"\"\tDOVECOT-USERNAME=\"u\"\tx=\"y\"\t";
	struct parsed p;

	(void)state;
	assert_int_equal(parse(&p, text, strlen(text)), 0);
	assert_int_equal(p.rq.verb, API_LINE_NOTIFY);
	assert_string_equal(p.rq.mailbox, "");
	assert_string_equal(p.rq.user, "u");
	assert_true(api_line_list_has(&p.rq.events, "MessageNew"));
	assert_false(api_line_list_has(&p.rq.events, "MessageTrash"));
	assert_int_equal(parse(&p, "NOTIFY events=()", 16), 0);
	assert_int_equal(p.rq.events.n, 0);
	assert_non_null(p.rq.events.first);
	assert_false(api_line_list_has(&p.rq.events, "MessageNew"));
}

static void test_wrong(void **state)
{
	static const struct {
		const char *text, *err;
	} rows[] = {
		{ "", "unknown command: REGISTER or NOTIFY is meant" },
		{ "NOTIFY", "unknown command: REGISTER or NOTIFY is meant" },
		{ "HELLO a=\"b\"",
		    "unknown command: REGISTER or NOTIFY is meant" },
		{ "NOTIFY a", "a: not a field of the form key=\"value\"" },
		{ "NOTIFY =\"x\"", ": not a field of the form key=\"value\"" },
		{ "NOTIFY a=b", "a: a \"quoted\" value is missing" },
		{ "NOTIFY a=\"b", "a: the closing quote is missing" },
		{ "NOTIFY a=\"b\\", "a: the closing quote is missing" },
		{ "NOTIFY a=\"b\\\"", "a: the closing quote is missing" },
		{ "NOTIFY a=\"b\" c=\"d\"",
		    "a: fields must be separated by TAB" },
		{ "NOTIFY events=\"b\"",
		    "events: a list in parentheses is missing" },
		{ "NOTIFY events=(\"b\"", "events: the closing ) is missing" },
		{ "NOTIFY events=(\"b\",)",
		    "events: a \"quoted\" value is missing" },
		{ "NOTIFY dovecot-username=(\"b\")",
		    "dovecot-username: a \"quoted\" value is missing" },
		{ "NOTIFY events=()\tevents=()", "events: appears twice" },
		{ "NOTIFY dovecot-username=\"\"\tdovecot-username=\"a\"",
		    "dovecot-username: appears twice" },
	};
	struct parsed p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
		    parse(&p, rows[i].text, strlen(rows[i].text)), -1);
		assert_string_equal(p.err, rows[i].err);
	}
	assert_int_equal(parse(&p, "NOTIFY a=\"b\0c\"", 14), -1);
}

/* A long key is cut in the message, a long line decoded whole. */
static void test_long(void **state)
{
	size_t len = 65536, n = strlen("NOTIFY dovecot-mailbox=\"");
	char *text = malloc(len), *room = malloc(len + 1), err[ERR_MAX];
	struct api_line rq;

	(void)state;
	memset(text, 'k', len);
	memcpy(text, "NOTIFY ", 7);
	assert_int_equal(api_line_parse(text, len, room, &rq, err), -1);
	assert_true(strlen(err) < 100);
	memcpy(text, "NOTIFY dovecot-mailbox=\"", n);
	text[len - 1] = '"';
	assert_int_equal(api_line_parse(text, len, room, &rq, err), 0);
	assert_int_equal(strlen(rq.mailbox), len - n - 1);
	free(text);
	free(room);
}

/* The input and the buffer for strings each end at an inaccessible page: every
 * cut of the line is accepted or refused without reading beyond it. */
static void test_every_end(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = strlen(REGISTER), n;
	char *in = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *out = in + 2 * page, err[ERR_MAX];
	struct api_line rq;
	size_t good = 0;

	(void)state;
	assert_ptr_not_equal(in, MAP_FAILED);
	assert_int_equal(mprotect(in + page, page, PROT_NONE), 0);
	assert_int_equal(mprotect(out + page, page, PROT_NONE), 0);
	for (n = 0; n <= len; n++) {
		memcpy(in + page - n, REGISTER, n);
		err[0] = '\0';
		if (api_line_parse(
			in + page - n, n, out + page - n - 1, &rq, err) == 0)
			good++;
		else
			assert_true(err[0] != '\0');
	}
	/* whole; after each of four fields, with and without the TAB; and after
	 * the verb */
	assert_int_equal(good, 1 + 2 * 4 + 1);
	munmap(in, 4 * page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_every_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
