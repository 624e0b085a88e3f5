/* shared_addr_test.c - sharedStore and its kin: what they mean, what is refused. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "conf.h"
#include "shared/int.h"

static char err[ERR_MAX];

static int parse(struct shared_addr *a, const char *url, const char *more)
{
	struct conf c;
	char text[1024];
	int rc;

	snprintf(text, sizeof(text), "sharedStore: '%s'\n%s", url, more);
	conf_init(&c);
	if (conf_parse(&c, "x.yaml", text, strlen(text), err) != 0)
		fail_msg("%s", err);
	rc = shared_addr_parse(a, &c, err);
	conf_free(&c);
	return rc;
}

static void test_urls(void **state)
{
	static const struct {
		const char *url, *host, *user, *password;
		int port, db;
		bool has_tls;
	} rows[] = {
		{ "valkey://h", "h", NULL, NULL, 6379, 0, false },
		{ "VALKEYS://h/", "h", NULL, NULL, 6379, 0, true },
		{ "redis://h:1/15", "h", NULL, NULL, 1, 15, false },
		{ "rediss://u:p@h:65535", "h", "u", "p", 65535, 0, true },
		{ "redis://:p@h", "h", "", "p", 6379, 0, false },
		{ "redis://u@h", "h", "u", NULL, 6379, 0, false },
		{ "redis://u:@h", "h", "u", "", 6379, 0, false },
		{ "redis://u:a:b@h", "h", "u", "a:b", 6379, 0, false },
		{ "redis://u:p@w/d?#@h/2", "h", "u", "p@w/d?#", 6379, 2,
		    false },
		{ "redis://%75:%25%2F%40%3a@h", "h", "u", "%/@:", 6379, 0,
		    false },
		{ "redis://[::1]", "[::1]", NULL, NULL, 6379, 0, false },
		{ "redis://[fe80::1]:7/3", "[fe80::1]", NULL, NULL, 7, 3,
		    false },
		{ "redis://10.0.0.1:7", "10.0.0.1", NULL, NULL, 7, 0, false },
	};
	struct shared_addr a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (parse(&a, rows[i].url, "") != 0)
			fail_msg("%s: %s", rows[i].url, err);
		assert_string_equal(a.server.host, rows[i].host);
		assert_int_equal(a.server.port, rows[i].port);
		assert_int_equal(a.db, rows[i].db);
		assert_int_equal(a.server.has_tls, rows[i].has_tls);
		assert_null(a.unix_path);
		assert_int_equal(a.server.user == NULL, rows[i].user == NULL);
		if (a.server.user != NULL)
			assert_string_equal(a.server.user, rows[i].user);
		assert_int_equal(
		    a.server.password == NULL, rows[i].password == NULL);
		if (a.server.password != NULL)
			assert_string_equal(
			    a.server.password, rows[i].password);
		shared_addr_free(&a);
	}
}

static void test_unix(void **state)
{
	struct shared_addr a;

	(void)state;
	assert_int_equal(parse(&a, "unix:/run/v.sock", ""), 0);
	assert_string_equal(a.unix_path, "/run/v.sock");
	shared_addr_free(&a);
	assert_int_equal(parse(&a, "unix:///run/v.sock", ""), 0);
	assert_string_equal(a.unix_path, "/run/v.sock");
	shared_addr_free(&a);
}

static void test_refused(void **state)
{
	static const char *const urls[] = {
		"h", "h:6379", "http://h", "valkey:/h", "valkey:h", "redis://",
		"redis://u:p@", "redis://h:", "redis://h:0", "redis://h:65536",
		"redis://h:x", "redis://h:-1", "redis://h/x", "redis://h/-1",
		"redis://h/1/2", "redis://h/65536", "redis://h/99999999999",
		"redis://h?db=1", "redis://h#1", "redis://a b", "redis://[::1",
		"redis://::1", "redis://::1]", "redis://s3cr%zz@h",
		"redis://s3cr%@h", "redis://s3cr:%00@h", "redis://s3cr:%4@h",
		"unix:", "unix:x",
		"unix:/0123456789012345678901234567890123456789012345678901234"
		"567890123456789012345678901234567890123456789012345678901234"
	};
	struct shared_addr a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		if (parse(&a, urls[i], "") == 0)
			fail_msg("%s is taken", urls[i]);
		assert_non_null(strstr(err, "x.yaml:1: sharedStore: "));
		assert_null(strstr(err, "s3cr"));
		shared_addr_free(&a);
	}
}

static void test_sentinels(void **state)
{
	struct shared_addr a;

	(void)state;
	assert_int_equal(parse(&a, "redis://u:p@/1",
			     "sharedSentinels: ' a  b:1 [::1]:2 '\n"
			     "sharedMaster: m\n"),
	    0);
	assert_int_equal(a.n_sentinels, 3);
	assert_string_equal(a.sentinels[0].host, "a");
	assert_int_equal(a.sentinels[0].port, 26379);
	assert_int_equal(a.sentinels[1].port, 1);
	assert_string_equal(a.sentinels[2].host, "[::1]");
	assert_int_equal(a.sentinels[2].port, 2);
	assert_string_equal(a.master, "m");
	assert_false(a.has_tls);
	assert_null(a.sentinels[0].user);
	shared_addr_free(&a);
	assert_int_equal(
	    parse(&a, "redis://u:p@/1",
		"sharedSentinels: 'v:q%25%20@a valkeys://b :w@[::1]:2'\n"
		"sharedMaster: m\n"),
	    0);
	assert_string_equal(a.sentinels[0].user, "v");
	assert_string_equal(a.sentinels[0].password, "q% ");
	assert_string_equal(a.sentinels[0].host, "a");
	assert_false(a.sentinels[0].has_tls);
	assert_true(a.sentinels[1].has_tls);
	assert_null(a.sentinels[1].password);
	assert_true(a.has_tls);
	assert_false(a.server.has_tls);
	assert_string_equal(a.sentinels[2].user, "");
	assert_string_equal(a.sentinels[2].password, "w");
	assert_string_equal(a.server.password, "p");
	shared_addr_free(&a);
	assert_int_equal(parse(&a, "rediss:///1",
			     "sharedSentinels: 'a redis://b'\n"
			     "sharedMaster: m\n"),
	    0);
	assert_true(a.sentinels[0].has_tls);
	assert_false(a.sentinels[1].has_tls);
	shared_addr_free(&a);
	assert_int_equal(parse(&a, "redis://h",
			     "sharedSentinels: 'u:s3cr@ valkey:// b'\n"
			     "sharedMaster: m\n"),
	    -1);
	assert_null(strstr(err, "s3cr"));
	shared_addr_free(&a);
	assert_int_equal(parse(&a, "redis://h", "sharedSentinels: a\n"), -1);
	assert_non_null(strstr(err, "sharedMaster: is missing"));
	shared_addr_free(&a);
	assert_int_equal(
	    parse(&a, "redis://h", "sharedSentinels: a:b\nsharedMaster: m\n"),
	    -1);
	shared_addr_free(&a);
	assert_int_equal(
	    parse(&a, "redis://h",
		"sharedSentinels: a a a a a a a a a\nsharedMaster: m\n"),
	    -1);
	assert_non_null(strstr(err, "more than 8"));
	shared_addr_free(&a);
	assert_int_equal(
	    parse(&a, "unix:/x", "sharedSentinels: a\nsharedMaster: m\n"), -1);
	shared_addr_free(&a);
}

static void test_prefix(void **state)
{
	struct shared_addr a;

	(void)state;
	assert_int_equal(
	    parse(&a, "redis://h", "sharedPrefix: 'Site/1:a_b-c.'\n"), 0);
	shared_addr_free(&a);
	assert_int_equal(parse(&a, "redis://h", "sharedPrefix: 'a*'\n"), -1);
	assert_non_null(strstr(err, "sharedPrefix"));
	shared_addr_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sentinels),
		cmocka_unit_test(test_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
