/* url_test.c - URLs as people and browsers write them, and as attackers do. */
#include "unit.h"

#include <string.h>

#include "url.h"

static void accepted(void **state)
{
	static const struct {
		const char *url, *host, *path, *authority;
		int port;
		bool tls;
	} rows[] = {
		{ "https://push.example.com", "push.example.com", "/",
		    "push.example.com", 443, true },
		{ "HTTPS://Push.Example.COM/A/b?c=D&e=%2f#frag",
		    "push.example.com", "/A/b?c=D&e=%2f", "push.example.com",
		    443, true },
		{ "http://localhost:8080/x", "localhost", "/x",
		    "localhost:8080", 8080, false },
		{ "http://h/", "h", "/", "h", 80, false },
		{ "http://h:80/", "h", "/", "h", 80, false },
		{ "http://h:443/", "h", "/", "h:443", 443, false },
		{ "https://h:443/", "h", "/", "h", 443, true },
		{ "https://h:80/", "h", "/", "h:80", 80, true },
		{ "https://h:/x", "h", "/x", "h", 443, true },
		{ "https://h:00443/x", "h", "/x", "h", 443, true },
		{ "https://h.:8443/x", "h", "/x", "h:8443", 8443, true },
		{ "https://[2001:DB8::1]/x", "[2001:db8::1]", "/x",
		    "[2001:db8::1]", 443, true },
		{ "https://[::ffff:127.0.0.1]:99/x", "[::ffff:127.0.0.1]", "/x",
		    "[::ffff:127.0.0.1]:99", 99, true },
		{ "https://127.1/x", "127.1", "/x", "127.1", 443, true },
		{ "https://0x7f.1/x", "0x7f.1", "/x", "0x7f.1", 443, true },
		{ "https://_dmarc.a-b.xn--bcher-kva.example/",
		    "_dmarc.a-b.xn--bcher-kva.example", "/",
		    "_dmarc.a-b.xn--bcher-kva.example", 443, true },
		/* not the host's any more */
		{ "https://h/@x:y", "h", "/@x:y", "h", 443, true },
		{ "https://h/a]b{c}|\\", "h", "/a]b{c}|\\", "h", 443, true },
		{ "https://h#@other/", "h", "/", "h", 443, true },
	};
	char err[ERR_MAX], authority[URL_AUTHORITY_MAX];
	struct url u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(url_parse(rows[i].url, &u, err), 0);
		assert_string_equal(u.host, rows[i].host);
		assert_int_equal(u.port, rows[i].port);
		assert_int_equal(u.tls, rows[i].tls);
		assert_int_equal(u.path_len, strlen(rows[i].path));
		assert_memory_equal(u.path, rows[i].path, u.path_len);
		assert_int_equal(
		    url_authority(&u, authority), strlen(rows[i].authority));
		assert_string_equal(authority, rows[i].authority);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *url, *why;
	} rows[] = {
		{ "", "https://" },
		{ "h", "https://" },
		{ "ftp://h/", "https://" },
		{ "https:/h/", "https://" },
		{ "https:h", "https://" },
		{ "//h/", "https://" },
		{ "javascript:alert(1)", "https://" },
		{ " https://h/", "blank" },
		{ "https://h/ ", "blank" },
		{ "https://h/a b", "blank" },
		{ "https://h/\r\nX: y", "blank" },
		{ "https://h/\t", "blank" },
		{ "https://h/\x7f", "blank" },
		{ "https://b\xc3\xbc"
		  "cher.example/",
		    "blank" },
		{ "https://h/\xff", "blank" },
		{ "https://", "host is missing" },
		{ "https:///x", "host is missing" },
		{ "https://:443/x", "host is missing" },
		{ "https://?x", "host is missing" },
		{ "https://user@h/", "header" },
		{ "https://user:password@h/", "header" },
		{ "https://@h/", "header" },
		{ "https://h\\@127.0.0.1/", "header" },
		{ "https://h\\x/", "character" },
		{ "https://h%2e/", "character" },
		{ "https://h,i/", "character" },
		{ "https://h*/", "character" },
		{ "https://./", "empty part" },
		{ "https://.h/", "empty part" },
		{ "https://h../", "empty part" },
		{ "https://a..b/", "empty part" },
		{ "https://h:0/", "1 to 65535" },
		{ "https://h:65536/", "1 to 65535" },
		{ "https://h:4294967739/", "1 to 65535" },
		{ "https://h:-1/", "not a number" },
		{ "https://h:44x/", "not a number" },
		{ "https://h:1:2/", "not a number" },
		{ "https://2001:db8::1/", "not a number" },
		{ "https://[::1/", "bracket" },
		{ "https://[::1/]", "bracket" },
		{ "https://[]/", "bracket" },
		{ "https://[", "bracket" },
		{ "https://[::1]x/", "bracket" },
		{ "https://[::1%25eth0]/", "bracket" },
		{ "https://[127.0.0.1]/", "bracket" },
		{ "https://[00000000000000000000000000000000000000000000:1]/",
		    "bracket" },
		{ "https://h?x", "before the ?" },
	};
	char err[ERR_MAX];
	struct url u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		err[0] = '\0';
		assert_int_equal(url_parse(rows[i].url, &u, err), -1);
		if (strstr(err, rows[i].why) == NULL)
			fail_msg("%s: %s", rows[i].url, err);
	}
}

static void limits(void **state)
{
	char url[URL_MAX + 2], err[ERR_MAX];
	struct url u;

	(void)state;
	memset(url, 'a', sizeof(url));
	memcpy(url, "https://h/", 10);
	url[URL_MAX] = '\0';
	assert_int_equal(url_parse(url, &u, err), 0);
	url[URL_MAX] = 'a';
	url[URL_MAX + 1] = '\0';
	assert_int_equal(url_parse(url, &u, err), -1);
	assert_non_null(strstr(err, "2,048"));

	memcpy(url, "https://", 8);
	memset(url + 8, 'a', URL_HOST_MAX);
	strcpy(url + 8 + URL_HOST_MAX, ".:65535/");
	assert_int_equal(url_parse(url, &u, err), 0);
	assert_int_equal(strlen(u.host), URL_HOST_MAX);
	{
		char authority[URL_AUTHORITY_MAX];

		assert_int_equal(
		    url_authority(&u, authority), URL_AUTHORITY_MAX - 1);
	}
	memset(url + 8, 'a', URL_HOST_MAX + 1);
	strcpy(url + 8 + URL_HOST_MAX + 1, "/");
	assert_int_equal(url_parse(url, &u, err), -1);
	assert_non_null(strstr(err, "too long"));
}

static void origins(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "https://h/x", "HTTPS://H.:443/y?z", true },
		{ "https://h/", "http://h/", false },
		{ "https://h/", "https://h:8443/", false },
		{ "https://h/", "https://h.i/", false },
		{ "http://h:443/", "https://h/", false },
	};
	char err[ERR_MAX];
	struct url a, b;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(url_parse(rows[i].a, &a, err), 0);
		assert_int_equal(url_parse(rows[i].b, &b, err), 0);
		assert_int_equal(url_same_origin(&a, &b), rows[i].same);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted),
		cmocka_unit_test(refused),
		cmocka_unit_test(limits),
		cmocka_unit_test(origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
