/* hook_test.c - files of hooks, and the requests that come of them. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "hook.h"
#include "json.h"

#define FILE_NAME "/etc/xapsd/hooks/x.yaml"

static struct conf top, conf;
static char err[ERR_MAX];
static struct hook_request req;

static const struct hook_event mail = {
	.user = "alice@example.org",
	.mailbox = "Entw\xc3\xbcrfe & \"More\"",
	.name = HOOK_NEW,
	.unseen = 3,
	.id = 0x1234abcd,
};

/* NULL with err set. */
static struct hook *read_text(const char *text)
{
	struct hook *h = NULL;

	conf_free(&conf);
	conf_init(&conf);
	conf.kind = CONF_HOOK;
	conf.top = &top;
	err[0] = '\0';
	if (conf_parse(&conf, FILE_NAME, text, strlen(text), err) == 0)
		h = hook_new(&conf, "x", err);
	if (h != NULL && hook_load(h, err) < 0) {
		hook_free(h);
		h = NULL;
	}
	return h;
}

static struct hook *good(const char *text)
{
	struct hook *h = read_text(text);

	if (h == NULL)
		fail_msg("%s: %s", text, err);
	return h;
}

static void bad(const char *text, const char *place, const char *what)
{
	struct hook *h = read_text(text);

	if (h != NULL)
		fail_msg("accepted: %s", text);
	if (strncmp(err, FILE_NAME, strlen(FILE_NAME)) != 0 ||
	    strncmp(err + strlen(FILE_NAME), place, strlen(place)) != 0 ||
	    strstr(err, what) == NULL)
		fail_msg("%s: got: %s", text, err);
	assert_null(strstr(err, "s3cret"));
}

/* The value of a header, "" if it is not there. */
static const char *header(const char *name)
{
	static char value[8][HPACK_BLOCK_EXTRA(40) + 16384];
	static int i;
	size_t k;

	i = (i + 1) % 8;
	value[i][0] = '\0';
	for (k = 0; k < req.n; k++)
		if (strlen(name) == req.list[k].name_len &&
		    memcmp(name, req.list[k].name, strlen(name)) == 0)
			snprintf(value[i], sizeof(value[i]), "%.*s",
			    (int)req.list[k].value_len, req.list[k].value);
	return value[i];
}

static const char *body(void)
{
	static char text[65537];

	snprintf(text, sizeof(text), "%.*s", (int)req.body.len,
	    req.body.len > 0 ? (const char *)buf_head(&req.body) : "");
	return text;
}

static void build(const char *text, const struct hook_event *e)
{
	struct hook *h = good(text);

	assert_true(hook_build(h, e, &req));
	hook_free(h);
}

/* --- requests --- */

static void plain(void **state)
{
	struct hook_event e = mail;

	(void)state;
	build("url: https://example.org/mail\n", &e);
	assert_string_equal(header(":method"), "POST");
	assert_string_equal(header(":scheme"), "https");
	assert_string_equal(header(":authority"), "example.org");
	assert_string_equal(header(":path"), "/mail");
	assert_string_equal(header("content-type"), "application/json");
	assert_string_equal(header("user-agent"), "xapsd");
	assert_string_equal(header("authorization"), "");
	assert_string_equal(body(),
	    "{\"user\":\"alice@example.org\","
	    "\"mailbox\":\"Entw\xc3\xbcrfe & \\\"More\\\"\","
	    "\"event\":\"new\",\"unseen\":3}");
	e.unseen = -1;
	e.name = "FlagsSet";
	build("url: https://example.org/mail\ncontent: json\n", &e);
	assert_non_null(strstr(body(), "\"FlagsSet\",\"unseen\":null}"));
	build("url: http://h\ncontent: url\ntoken: t0k\n", &mail);
	assert_string_equal(body(),
	    "user=alice%40example.org&mailbox=Entw%C3%BCrfe%20%26%20%22More%22"
	    "&event=new&unseen=3");
	assert_string_equal(
	    header("content-type"), "application/x-www-form-urlencoded");
	assert_string_equal(header("authorization"), "Bearer t0k");
	build("url: http://h\ncontent: text\n", &mail);
	assert_string_equal(
	    body(), "New mail: alice@example.org, Entw\xc3\xbcrfe & \"More\"");
}

static void own_body(void **state)
{
	(void)state;
	build("url: http://h/{user}/x?box={mailbox}&id={id}\n"
	      "method: put\n"
	      "body: '{\"text\": \"{event} for {user} (\\\\{mailbox}\\\")\", "
	      "\"n\": {unseen}, \"m\": \"{unseen}\", \"k\": {mailbox}}'\n",
	    &mail);
	assert_string_equal(header(":method"), "PUT");
	assert_string_equal(header(":path"),
	    "/alice%40example.org/x?box=Entw%C3%BCrfe%20%26%20%22More%22"
	    "&id=000000001234abcd");
	assert_string_equal(body(),
	    "{\"text\": \"new for alice@example.org (\\\\Entw\xc3\xbcrfe & "
	    "\\\"More\\\"\\\")\", \"n\": 3, \"m\": \"3\", \"k\": "
	    "\"Entw\xc3\xbcrfe & \\\"More\\\"\"}");
	build("url: http://h/\nmethod: GET\n", &mail);
	assert_string_equal(body(), "");
	assert_string_equal(header("content-type"), "");
	build("url: http://h/\ncontent: text\nbody: \"a\\n{user} { no } {} "
	      "{A}\"\n",
	    &mail);
	assert_string_equal(body(), "a\nalice@example.org { no } {} {A}");
}

static void headers(void **state)
{
	struct hook_event e = mail;

	(void)state;
	e.mailbox = "a\r\nEvil: 1\x7f";
	build("url: http://h/\nheaders: # mine\n"
	      "  X-Box:  '{mailbox} '  # and\n"
	      "\n"
	      "  Content-Type: text/x; charset=utf-8\n"
	      "content: text\n",
	    &e);
	assert_string_equal(header("x-box"), "a??Evil: 1?");
	assert_string_equal(header("content-type"), "text/x; charset=utf-8");
	assert_string_equal(header("evil"), "");
	assert_int_equal(req.n, 7);
	build(
	    "url: http://h/\nheaders: \"A: 1\\nAUTHORIZATION:Basic eA==\\n\"\n"
	    "token: other\n",
	    &mail);
	assert_string_equal(header("a"), "1");
	assert_string_equal(header("authorization"), "Basic eA==");
}

static void presets(void **state)
{
	(void)state;
	build("url: https://ntfy.sh/mail\npreset: ntfy\ntoken: tk_1\n", &mail);
	assert_string_equal(header(":method"), "POST");
	assert_string_equal(header(":path"), "/mail");
	assert_string_equal(header("title"), "New mail");
	assert_string_equal(header("tags"), "envelope");
	assert_string_equal(header("authorization"), "Bearer tk_1");
	assert_string_equal(
	    body(), "alice@example.org: Entw\xc3\xbcrfe & \"More\"");
	build("preset: gotify\nurl: https://h/gotify/\ntoken: A1\n", &mail);
	assert_string_equal(header(":path"), "/gotify/message");
	assert_string_equal(header("x-gotify-key"), "A1");
	assert_string_equal(body(),
	    "{\"title\":\"New mail\",\"message\":\"alice@example.org: "
	    "Entw\xc3\xbcrfe & \\\"More\\\"\",\"priority\":5}");
	build("preset: gotify\nurl: https://h\ntoken: A1\n", &mail);
	assert_string_equal(header(":path"), "/message");
	build("preset: gotify\nurl: https://h/message?x=1\ntoken: A1\n", &mail);
	assert_string_equal(header(":path"), "/message?x=1");
	build("preset: homeassistant\nurl: http://ha:8123/\ntoken: L\n", &mail);
	assert_string_equal(header(":path"), "/api/services/notify/notify");
	assert_string_equal(header(":authority"), "ha:8123");
	assert_string_equal(header("authorization"), "Bearer L");
	build("preset: homeassistant\nurl: http://ha:8123/api/webhook/w\n",
	    &mail);
	assert_string_equal(header(":path"), "/api/webhook/w");
	assert_string_equal(header("authorization"), "");
	build("preset: matrix\nurl: https://m/!r:m.org\ntoken: syt\n", &mail);
	assert_string_equal(header(":method"), "PUT");
	assert_string_equal(header(":path"),
	    "/_matrix/client/v3/rooms/!r:m.org/send/m.room.message/"
	    "000000001234abcd");
	assert_string_equal(body(),
	    "{\"msgtype\":\"m.text\",\"body\":\"New mail: alice@example.org, "
	    "Entw\xc3\xbcrfe & \\\"More\\\"\"}");
	build("preset: matrix\ntoken: syt\n"
	      "url: https://m/_matrix/client/v3/rooms/%21r%3Am.org/\n",
	    &mail);
	assert_string_equal(header(":path"),
	    "/_matrix/client/v3/rooms/%21r%3Am.org/send/m.room.message/"
	    "000000001234abcd");
}

/* Each byte of a name, and each character of two bytes, in each content. */
static void hostile(void **state)
{
	static const char *const texts[] = {
		"url: http://h/{mailbox}\nheaders:\n  X: '{user}{mailbox}'\n",
		"url: http://h/?{mailbox}\ncontent: url\n",
		"url: http://h/t\npreset: ntfy\ncontent: json\n",
		"preset: matrix\nurl: https://m/!r\ntoken: t\n",
		"preset: homeassistant\nurl: http://ha\ntoken: t\n",
	};
	struct hook_event e = mail;
	struct json_err je;
	struct hook *h;
	char name[8];
	size_t i, k;
	int c;

	(void)state;
	e.user = e.mailbox = name;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		h = good(texts[i]);
		for (c = 1; c < 256; c++) {
			snprintf(name, sizeof(name), "{%c\"%c\\", c, c);
			assert_true(hook_build(h, &e, &req));
			if (i != 1 &&
			    json_parse(body(), req.body.len, NULL, 0, &je) < 0)
				fail_msg("%d: %s: %s", c, body(), je.reason);
			for (k = 0; k < req.n; k++)
				assert_null(memchr(req.list[k].value, '\n',
				    req.list[k].value_len));
			assert_null(strpbrk(header(":path"), " \"\\\t\r\x7f"));
		}
		hook_free(h);
	}
}

/* Long names are cut between characters, and fit, or the file is refused. */
static void long_names(void **state)
{
	char mailbox[4097], text[70000];
	struct hook_event e = mail;
	size_t n;

	(void)state;
	for (n = 0; n < 4096; n += 2)
		memcpy(mailbox + n, "\xc3\xbc", 2);
	mailbox[4096] = '\0';
	e.mailbox = mailbox + 1; /* its first byte is none of UTF-8 */
	build("url: http://h/{mailbox}\n", &e);
	assert_int_equal(strlen(header(":path")), 1 + 3 * 1023);
	e.mailbox = mailbox;
	build("url: http://h/{mailbox}\n", &e);
	assert_int_equal(strlen(header(":path")), 1 + 3 * 1024);
	n = (size_t)sprintf(text, "url: http://h/\ncontent: text\nbody: '");
	while (n < 60000)
		n += (size_t)sprintf(text + n, "{mailbox}");
	strcpy(text + n, "'\n");
	bad(text, ":3: body: ", "too long");
	bad("url: http://h/{mailbox}{mailbox}{mailbox}{mailbox}{mailbox}\n",
	    ":", "too long");
	build("url: http://h/{mailbox}{mailbox}{mailbox}{mailbox}\n", &e);
}

/* --- whom it concerns --- */

static void wants(void **state)
{
	struct hook *h = good("url: http://h/\n");

	(void)state;
	assert_true(hook_wants(h, "alice", HOOK_NEW));
	assert_false(hook_wants(h, "alice", "FlagsSet"));
	assert_int_equal(hook_delay_ms(h), 30000);
	assert_string_equal(hook_name(h), "x");
	hook_free(h);
	h = good("url: http://h/\nusers: *@example.org  bob\n"
		 "events: FlagsSet messagenew\ndelay: 5m\n");
	assert_true(hook_wants(h, "A@Example.org", HOOK_NEW));
	assert_true(hook_wants(h, "BOB", "flagsset"));
	assert_false(hook_wants(h, "bob", "MessageRead"));
	assert_false(hook_wants(h, "carol", HOOK_NEW));
	assert_int_equal(hook_delay_ms(h), 300000);
	hook_free(h);
	h = good("url: http://h/\nevents: ALL\n");
	assert_true(hook_wants(h, "bob", "Other"));
	assert_true(hook_wants(h, "bob", HOOK_NEW));
	hook_free(h);
}

/* --- mistakes --- */

static void mistakes(void **state)
{
	static const char *const cases[][3] = {
		{ "", ": url: ", "is missing" },
		{ "url: \n", ":1: url: ", "is missing" },
		{ "url: s3cret\n", ":1: url: ", "https://" },
		{ "url: http://u:s3cret@h/\n", ":1: url: ", "password" },
		{ "url: http://h/{usr}\n", ":1: url: ", "{usr}" },
		{ "\nurl: http://h\nmethod: POSTT\n", ":3: method: ", "PUT" },
		{ "url: http://h\ncontent: xml\n", ":2: content: ", "json" },
		{ "url: http://h\npreset: slack\n", ":2: preset: ", "ntfy" },
		{ "url: http://h\nurl: http://h\n", ":2: url: ", "line 1" },
		{ "urls: http://h\n", ":1: urls: ", "did you mean url?" },
		{ "url: http://h\nuser: bob\n",
		    ":2: user: ", "is users meant" },
		{ "url: http://h\nport: 1\n", ":2: port: ", "xapsd.yaml" },
		{ "url: http://h\nkeyFileP8: x\n", ":2: keyFileP8: ", "hook" },
		{ "url: http://h\nevents: new MessageNeu\n",
		    ":2: events: ", "MessageNeu" },
		{ "url: http://h\ndelay: soon\n", ":2: delay: ", "30s" },
		{ "url: http://h\nbody: '{\"s3cret\"'\n",
		    ":2: body: ", "JSON" },
		{ "url: http://h\nbody: '{\"a\":{uzer}}'\n",
		    ":2: body: ", "{uzer}" },
		{ "url: http://h\nbody: '{user}{user}'\n",
		    ":2: body: ", "JSON" },
		{ "url: http://h\nmethod: GET\nbody: x\n",
		    ":3: body: ", "GET" },
		{ "url: http://h\nheaders: s3cret\n",
		    ":2: headers: ", "a line is not" },
		{ "url: http://h\nheaders: \"A: s3cret\\rB: c\"\n",
		    ":2: headers: ", "control character" },
		{ "url: http://h\nheaders:\n  Host: x\n",
		    ":2: headers: ", "Host" },
		{ "url: http://h\nheaders:\n  Content-Length: 5\n",
		    ":2: headers: ", "leave them out" },
		{ "url: http://h\nheaders:\n  X: '{what}'\n",
		    ":2: headers: ", "{what}" },
		{ "url: http://h\nheaders:\n  X y: z\n", ":3: ", "key: value" },
		{ "url: http://h\nheaders:\n  X: a: b\n", ":3: X: ", "quotes" },
		{ "url: http://h\n  X: a\n", ":2: url: ", "indented" },
		{ "headers:\n  X: a\nurl: http://h\n  Y: a\n",
		    ":4: url: ", "indented" },
		{ "url: http://h\ntoken: 's3cret x'\n",
		    ":2: token: ", "character" },
		{ "url: http://h\ntokenFile: /nonexistent/s\n",
		    ":2: tokenFile: ", "No such file" },
		{ "url: http://h\ntoken: s3cret\ntokenFile: /dev/null\n",
		    ":3: tokenFile: ", "token is set too" },
		{ "url: https://ntfy.sh\npreset: ntfy\n",
		    ":1: url: ", "TOPIC" },
		{ "url: https://m/\npreset: matrix\ntoken: x\n",
		    ":1: url: ", "!ROOM" },
		{ "url: https://h/\npreset: gotify\n", ": token: ", "missing" },
		{ "url: https://h/!r\npreset: matrix\n",
		    ": token: ", "missing" },
		{ "url: https://h/\npreset: homeassistant\n",
		    ": token: ", "missing" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		bad(cases[i][0], cases[i][1], cases[i][2]);
}

static void token_file(void **state)
{
	char path[] = "/tmp/hook_test.XXXXXX", text[200];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "url: http://h\ntokenFile: %s\n", path);
	bad(text, ":2: tokenFile: ", "empty");
	assert_int_equal(write(fd, "t0k\nrest\n", 9), 9);
	build(text, &mail);
	assert_string_equal(header("authorization"), "Bearer t0k");
	close(fd);
	unlink(path);
}

/* Keys of the one file in the other. */
static void other_files(void **state)
{
	static const char text[] = "preset: ntfy\n", delay[] = "delay: 5s\n";
	struct conf c;

	(void)state;
	conf_init(&c);
	assert_int_equal(conf_parse(&c, "f", text, sizeof(text) - 1, err), -1);
	assert_non_null(strstr(err, "f:1: preset: belongs into a file "
				    "NAME.yaml in the folder that hooksDir"));
	conf_free(&c);
	conf_init(&c);
	c.kind = CONF_BRAND;
	c.top = &top;
	assert_int_equal(
	    conf_parse(&c, "f", delay, sizeof(delay) - 1, err), -1);
	assert_int_equal(conf_parse(&c, "f", text, sizeof(text) - 1, err), -1);
	conf_free(&c);
}

static int begin(void **state)
{
	(void)state;
	conf_init(&top);
	return 0;
}

static int end(void **state)
{
	(void)state;
	hook_request_free(&req);
	conf_free(&conf);
	conf_free(&top);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(own_body),
		cmocka_unit_test(headers),
		cmocka_unit_test(presets),
		cmocka_unit_test(hostile),
		cmocka_unit_test(long_names),
		cmocka_unit_test(wants),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(token_file),
		cmocka_unit_test(other_files),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
