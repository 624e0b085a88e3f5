/* url_test.c - addresses of services. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "url.h"

static void good(void **state)
{
	static const struct {
		const char *text;
		bool tls;
		const char *host;
		int port;
		const char *authority, *path;
	} cases[] = {
		{ "https://ntfy.sh/mail", true, "ntfy.sh", 443, "ntfy.sh",
		    "/mail" },
		{ "http://10.0.0.1:8123", false, "10.0.0.1", 8123,
		    "10.0.0.1:8123", "/" },
		{ "HTTPS://Example.ORG:443/A?b=c@d", true, "example.org", 443,
		    "example.org", "/A?b=c@d" },
		{ "http://example.org:443/", false, "example.org", 443,
		    "example.org:443", "/" },
		{ "https://[2001:DB8::1]:8443/x", true, "2001:db8::1", 8443,
		    "[2001:db8::1]:8443", "/x" },
		{ "http://[::1]", false, "::1", 80, "[::1]", "/" },
		{ "https://h/!room:example.org/{id}", true, "h", 443, "h",
		    "/!room:example.org/{id}" },
		{ "http://h:00080/", false, "h", 80, "h", "/" },
	};
	char err[ERR_MAX];
	struct url u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (url_parse(cases[i].text, &u, err) < 0)
			fail_msg("%s: %s", cases[i].text, err);
		assert_int_equal(u.tls, cases[i].tls);
		assert_string_equal(u.host, cases[i].host);
		assert_int_equal(u.port, cases[i].port);
		assert_string_equal(u.authority, cases[i].authority);
		assert_string_equal(u.path, cases[i].path);
	}
}

static void bad(void **state)
{
	static const char *const cases[][2] = {
		{ "", "https://" },
		{ "ntfy.sh/mail", "https://" },
		{ "ftp://s3cret/", "https://" },
		{ "https:/s3cret/", "https://" },
		{ "https://", "host" },
		{ "https:///s3cret", "host" },
		{ "https://:443/s3cret", "host" },
		{ "https://[::1/s3cret", "host" },
		{ "https://[]/s3cret", "host" },
		{ "https://[::1]x/s3cret", "host" },
		{ "https://h%31/s3cret", "host" },
		{ "https://h,i/s3cret", "host" },
		{ "https://h:/s3cret", "port" },
		{ "https://h:0/s3cret", "port" },
		{ "https://h:65536/s3cret", "port" },
		{ "https://h:999999/s3cret", "port" },
		{ "https://h:80x/s3cret", "host" },
		{ "https://h:-1/s3cret", "port" },
		{ "https://user:s3cret@h/", "password" },
		{ "https://s3cret@h", "password" },
		{ "https://h?s3cret", "/" },
		{ "https://h/s3cret#x", "fragment" },
		{ "https://h/s3cret x", "percent" },
		{ "https://h/s3cret\n", "percent" },
		{ "https://h/s3cret\r\nHost: x", "percent" },
		{ "https://h/s3cret\xc3\xa9", "percent" },
		{ "https://h\\s3cret", "percent" },
	};
	char err[ERR_MAX];
	struct url u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err[0] = '\0';
		if (url_parse(cases[i][0], &u, err) == 0)
			fail_msg("accepted: %s", cases[i][0]);
		if (strstr(err, cases[i][1]) == NULL)
			fail_msg("%s: %s", cases[i][0], err);
		assert_null(strstr(err, "s3cret"));
	}
}

static void long_ones(void **state)
{
	char text[URL_MAX + 64], err[ERR_MAX];
	struct url u;
	int n;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "https://", 8);
	text[8 + URL_HOST_MAX] = '\0';
	assert_int_equal(url_parse(text, &u, err), 0);
	assert_int_equal(strlen(u.host), URL_HOST_MAX);
	text[8 + URL_HOST_MAX] = 'a';
	text[9 + URL_HOST_MAX] = '\0';
	assert_int_equal(url_parse(text, &u, err), -1);
	n = snprintf(text, sizeof(text), "https://h:65535/");
	memset(text + n, 'a', sizeof(text) - (size_t)n);
	text[URL_MAX] = '\0';
	assert_int_equal(url_parse(text, &u, err), 0);
	text[URL_MAX] = 'a';
	text[URL_MAX + 1] = '\0';
	assert_int_equal(url_parse(text, &u, err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
		cmocka_unit_test(long_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
