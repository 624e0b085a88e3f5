/* proxy_test.c - an HTTP proxy: its URL, what is asked of it, and its answer whole,
 * cut anywhere, wrong and too long. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/proxy.h"

static char err[ERR_MAX];

/* --- the URL --- */

static void test_good_urls(void **state)
{
	static const struct {
		const char *url, *host, *name, *login;
		int port;
	} rows[] = {
		{ "http://proxy.lan:3128", "proxy.lan", "proxy.lan:3128", NULL,
		    3128 },
		{ "HTTP://10.0.0.5:1/", "10.0.0.5", "10.0.0.5:1", NULL, 1 },
		{ "http://[::1]:65535", "[::1]", "[::1]:65535", NULL, 65535 },
		/* "u:p" "u:" "a@b:c/d:e" "é:%" */
		{ "http://u:p@h:80", "h", "h:80", "dTpw", 80 },
		{ "http://u@h:80", "h", "h:80", "dTo=", 80 },
		{ "http://a%40b:c/d:e@h:80", "h", "h:80", "YUBiOmMvZDpl", 80 },
		{ "http://a@b:c/d%3ae@h:80", "h", "h:80", "YUBiOmMvZDpl", 80 },
		{ "http://%C3%a9:%25@[2001:db8::1]:8080", "[2001:db8::1]",
		    "[2001:db8::1]:8080", "w6k6JQ==", 8080 },
	};
	struct io_proxy *p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		p = io_proxy_new(rows[i].url, err);
		if (p == NULL)
			fail_msg("%s: %s", rows[i].url, err);
		assert_string_equal(p->host, rows[i].host);
		assert_int_equal(p->port, rows[i].port);
		assert_string_equal(io_proxy_name(p), rows[i].name);
		if (rows[i].login == NULL)
			assert_null(p->login);
		else
			assert_string_equal(p->login, rows[i].login);
		io_proxy_free(p);
	}
}

static void test_bad_urls(void **state)
{
	static const char form[] = "write http://host:port";
	static const char only[] = "only plain HTTP proxies";
	static const char *const rows[][2] = {
		{ "proxy.lan:3128", form },
		{ "proxy.lan", form },
		{ "http:/h:1", form },
		{ "https://h:443", only },
		{ "HTTPS://u:s3cret@h:443", only },
		{ "socks5://h:1080", only },
		{ "socks5h://u:s3cret@h:1080", only },
		{ "http://", form },
		{ "http://h", form },
		{ "http://h:", form },
		{ "http://h:0", form },
		{ "http://h:65536", form },
		{ "http://h:99999999999999999999", form },
		{ "http://h:-1", form },
		{ "http://h: 1", form },
		{ "http://h:1x", form },
		{ "http://h:1/path", form },
		{ "http://h:1?q", form },
		{ "http://:1", form },
		{ "http://a b:1", form },
		{ "http://::1:3128", form },
		{ "http://[::1]", form },
		{ "http://[::1:3128", form },
		{ "http://::1]:3128", form },
		{ "http://u:s3cret@", form },
		{ "http://u:s3cret@:1", form },
		{ "http://u:s3cret%zz@h:1", form },
		{ "http://u:s3cret%2@h:1", form },
		{ "http://u:s3cret%@h:1", form },
		{ "http://u:s3cret%00@h:1", form },
		{ "http://u:s3cret%0d%0aX:y@h:1", form },
		{ "http://u:s3cret\r\n@h:1", form },
		{ "http://u%3av:s3cret@h:1", form },
		{ "http://u%7f:s3cret@h:1", form },
	};
	struct io_proxy *p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		p = io_proxy_new(rows[i][0], err);
		if (p != NULL)
			fail_msg("taken: %s", rows[i][0]);
		if (strncmp(err, rows[i][1], strlen(rows[i][1])) != 0)
			fail_msg("%s: %s", rows[i][0], err);
		assert_null(strstr(err, "s3cret"));
	}
}

/* --- the request --- */

static struct io_tunnel *tunnel(const char *url, const char *host, int port)
{
	struct io_proxy *p = io_proxy_new(url, err);
	struct io_tunnel *t;

	assert_non_null(p);
	t = io_tunnel_new(p, host, port);
	io_proxy_free(p); /* it was borrowed */
	return t;
}

static void asks(const char *url, const char *host, int port, const char *want)
{
	struct io_tunnel *t = tunnel(url, host, port);

	assert_int_equal(t->len, strlen(want));
	assert_memory_equal(t->request, want, t->len);
	io_tunnel_free(t);
}

static void test_request(void **state)
{
	(void)state;
	asks("http://h:1", "api.push.apple.com", 443,
	    "CONNECT api.push.apple.com:443 HTTP/1.1\r\n"
	    "Host: api.push.apple.com:443\r\n\r\n");
	asks("http://user:pass@h:1", "2001:db8::1", 2197,
	    "CONNECT [2001:db8::1]:2197 HTTP/1.1\r\n"
	    "Host: [2001:db8::1]:2197\r\n"
	    "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n");
	asks("http://h:1", "[::1]", 65535,
	    "CONNECT [::1]:65535 HTTP/1.1\r\nHost: [::1]:65535\r\n\r\n");
}

/* --- the answer --- */

#define PLAIN "http://h:1"
#define LOGIN "http://u:s3cret@h:1"

/* Feeds in pieces: the first of cut bytes, the rest of step bytes. */
static enum io_tunnel_state feed(const char *url, const char *text, size_t len,
    size_t cut, size_t step, size_t *used_r)
{
	struct io_tunnel *t = tunnel(url, "apple", 443);
	enum io_tunnel_state st = IO_TUNNEL_MORE;
	size_t n, used;

	*used_r = 0;
	err[0] = '\0';
	while (st == IO_TUNNEL_MORE && *used_r < len) {
		n = *used_r < cut ? cut : step;
		if (n > len - *used_r)
			n = len - *used_r;
		st = io_tunnel_feed(t, text + *used_r, n, &used, err);
		assert_true(used <= n && used > 0);
		assert_true(st != IO_TUNNEL_MORE || used == n);
		*used_r += used;
	}
	if (st == IO_TUNNEL_MORE && len > 0) {
		st = io_tunnel_feed(t, NULL, 0, &used, err);
		assert_int_equal(st, IO_TUNNEL_REFUSED);
		assert_int_equal(used, 0);
	}
	io_tunnel_free(t);
	return st;
}

/* At every split point, byte by byte, and with the input's end at the end of what
 * may be read. */
static void answers(const char *url, const char *text, size_t len,
    enum io_tunnel_state want, size_t want_used, const char *why)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), cut, used;
	size_t pages = (len + page - 1) / page;
	char *mem = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = mem + pages * page - len;

	assert_true(mem != MAP_FAILED);
	assert_int_equal(mprotect(mem + pages * page, page, PROT_NONE), 0);
	memcpy(p, text, len);
	for (cut = 0; cut <= len; cut += len > 1000 ? 97 : 1) {
		if (feed(url, p, len, cut, cut == 0 ? 1 : len, &used) != want ||
		    used != want_used || !strstr(err, why))
			fail_msg(
			    "cut at %zu: %.60s: %zu: %s", cut, text, used, err);
		assert_null(strstr(err, "s3cret"));
	}
	munmap(mem, (pages + 1) * page);
}

static void test_opens(void **state)
{
	/* what is followed by "|" is TLS's */
	static const char *const rows[] = {
		"HTTP/1.1 200 Connection established\r\n\r\n|",
		"HTTP/1.0 200 OK\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n|",
		"HTTP/1.1 200\r\n\r\n|\r\nmore",
		"HTTP/1.1 200\n\n|",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n|hello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|0\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n"
		"\r\nHTTP/1.1 200 OK\r\n\r\n|\026\003\003",
		"HTTP/1.1 200 OK\r\nX: 1\r\n Y\r\n\rZ: \r\n\r\n|",
	};
	char text[256];
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		n = (size_t)(strchr(rows[i], '|') - rows[i]);
		memcpy(text, rows[i], n);
		strcpy(text + n, rows[i] + n + 1);
		answers(PLAIN, text, strlen(text), IO_TUNNEL_OPEN, n, "");
	}
}

static void test_refuses(void **state)
{
	static const struct {
		const char *url, *text, *why;
	} rows[] = {
		{ PLAIN, "HTTP/1.1 407 x\r\n\r\n", "wants user and password" },
		{ LOGIN, "HTTP/1.1 407 x\r\n\r\n",
		    "refuses user or password of apnsProxy (407)" },
		{ LOGIN, "HTTP/1.0 401 x\r\n\r\n",
		    "refuses user or password of apnsProxy (401)" },
		{ LOGIN,
		    "HTTP/1.1 407 x\r\nproxy-authenticate: Negotiate\r\n"
		    "Proxy-Authenticate: BASIC realm=\"x\"\r\n\r\n",
		    "refuses user or password" },
		{ LOGIN,
		    "HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\n"
		    "Proxy-Authenticate: NTLM\r\n\r\n",
		    "takes no Basic" },
		{ PLAIN, "HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n",
		    "takes no Basic" },
		{ PLAIN, "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\n",
		    "answers 403 to CONNECT apple:443: it forbids this" },
		{ PLAIN, "HTTP/1.0 500 Unable to connect\r\n\r\n",
		    "answers 500 to CONNECT apple:443: it cannot get there" },
		{ PLAIN, "HTTP/1.1 502 x\r\n\r\n", "it cannot get there" },
		{ PLAIN, "HTTP/1.1 504 x\r\n\r\n", "it cannot get there" },
		{ PLAIN, "HTTP/1.1 501 x\r\n\r\n", "is it an HTTP proxy?" },
		{ PLAIN, "HTTP/1.1 400 Bad Request\r\n\r\n",
		    "is it an HTTP proxy?" },
		{ PLAIN, "HTTP/1.1 405 x\r\n\r\n", "is it an HTTP proxy?" },
		{ PLAIN, "HTTP/1.1 302 x\r\nLocation: x\r\n\r\n",
		    "is it an HTTP proxy?" },
		{ PLAIN, "HTTP/1.1 999 x\r\n\r\n", "999" },
		{ PLAIN, "HTTP/1.1 099 x\n", "not HTTP" },
		{ PLAIN, "HTTP/1.1 2000 x\n", "not HTTP" },
		/* 2^32 + 200, of which an int keeps 200 */
		{ PLAIN, "HTTP/1.1 4294967496 x\n", "not HTTP" },
		{ PLAIN, "HTTP/1.1 20\n", "not HTTP" },
		{ PLAIN, "HTTP/1.1 +200 OK\n", "not HTTP" },
		{ PLAIN, "HTTP/1.1 200OK\n", "not HTTP" },
		/* the last word, unlike the others of its hundred */
		{ PLAIN, "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		    "answers 101 to CONNECT apple:443: is it an HTTP proxy?" },
		{ PLAIN, "HTTP/1.1 OK\n", "not HTTP" },
		{ PLAIN, "HTTP/1.1200 OK\n", "not HTTP" },
		{ PLAIN, "HTTP/1.\n", "not HTTP" },
		{ PLAIN, "HTTP/2", "not HTTP" },
		{ PLAIN, "\n", "not HTTP" },
		{ PLAIN, "S", "not HTTP" },
		{ PLAIN, "\025", "without TLS" },
		{ PLAIN, "HTTP/1.1 100 x\r\n\r\nx", "not HTTP" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		answers(rows[i].url, rows[i].text, strlen(rows[i].text),
		    IO_TUNNEL_REFUSED, strlen(rows[i].text), rows[i].why);
}

/* Each beginning of a good answer, and nothing at all. */
static void test_closed_early(void **state)
{
	static const char text[] =
	    "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r";
	struct io_tunnel *t = tunnel(PLAIN, "apple", 443);
	size_t len, used;

	(void)state;
	assert_int_equal(
	    io_tunnel_feed(t, NULL, 0, &used, err), IO_TUNNEL_REFUSED);
	assert_non_null(strstr(err, "without an answer"));
	io_tunnel_free(t);
	for (len = 1; len < sizeof(text); len++)
		answers(PLAIN, text, len, IO_TUNNEL_REFUSED, len,
		    "in the middle of its answer");
}

static void test_too_long(void **state)
{
	static const char first[] = "HTTP/1.1 200 OK\r\nX: ";
	char text[10000];
	size_t i, n;

	(void)state;
	/* one endless line */
	memset(text, 'x', sizeof(text));
	memcpy(text, first, strlen(first));
	answers(PLAIN, text, sizeof(text), IO_TUNNEL_REFUSED, 8193,
	    "longer than 8 KiB");
	/* many lines */
	for (i = strlen(first); i < sizeof(text); i++)
		text[i] = "y: z\r\n"[i % 6];
	answers(PLAIN, text, sizeof(text), IO_TUNNEL_REFUSED, 8193,
	    "longer than 8 KiB");
	/* interim answers without end */
	static const char interim[] = "HTTP/1.1 100 Go\r\n\r\n";
	for (i = 0; i < sizeof(text); i++)
		text[i] = interim[i % strlen(interim)];
	answers(PLAIN, text, sizeof(text), IO_TUNNEL_REFUSED, 8193,
	    "longer than 8 KiB");
	/* just short enough */
	memset(text, 'x', sizeof(text));
	memcpy(text, first, strlen(first));
	n = 8192;
	memcpy(text + n - 4, "\r\n\r\n", 4);
	answers(PLAIN, text, n + 10, IO_TUNNEL_OPEN, n, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_urls),
		cmocka_unit_test(test_bad_urls),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_closed_early),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
