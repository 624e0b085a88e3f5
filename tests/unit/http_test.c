/* http_test.c - the HTTP/1 parser at every split, and the server over a Unix
 * socket with the clock in our hands. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http.h"
#include "io.h"
#include "loop.h"
#include "own_clock.h"

/* --- the parser --- */

/* n bytes that end where the readable memory ends. */
static char *at_the_edge(const char *data, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = (n + page) / page * page;
	char *mem = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	assert_int_equal(mprotect(mem + room, page, PROT_NONE), 0);
	memcpy(mem + room - n, data, n);
	return mem + room - n;
}

static void edge_free(char *p, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = (n + page) / page * page;

	munmap(p + n - room, room + page);
}

/* Parses every prefix: PARSE_MORE until the verdict, which then stays. */
static int parse_splits(const char *in, size_t len, struct http_head *h)
{
	struct http_head part;
	int verdict, rc;
	size_t n;
	char *p;

	verdict = http_parse_head(in, len, h);
	for (n = 0; n <= len; n++) {
		p = at_the_edge(in, n);
		rc = http_parse_head(p, n, &part);
		edge_free(p, n);
		if (verdict >= 0 && n >= (size_t)verdict)
			assert_int_equal(rc, verdict);
		else if (verdict == PARSE_BAD && rc == PARSE_BAD)
			assert_int_equal(part.status, h->status);
		else
			assert_int_equal(rc, PARSE_MORE);
	}
	return verdict;
}

static void assert_str(struct http_str s, const char *wanted)
{
	assert_int_equal(s.len, strlen(wanted));
	assert_memory_equal(s.p, wanted, s.len);
}

#define HOST_LINE "Host: x\r\n"

static void head_fields(void **state)
{
	static const char in[] = "\r\n\r\nPOST /a/b?c=d&e HTTP/1.1\r\n"
				 "hOsT:[::1]:11619\r\n"
				 "X-Other: \xc3\xa9\t x\r\n"
				 "X-Empty:\r\n"
				 "Content-Length: \t 12 \t\r\n"
				 "AUTHORIZATION: Basic YTpi\r\n"
				 "Expect: 100-Continue\r\n\r\nbody";
	struct http_head h;

	(void)state;
	assert_int_equal(
	    parse_splits(in, sizeof(in) - 1, &h), (int)sizeof(in) - 1 - 4);
	assert_str(h.method, "POST");
	assert_str(h.path, "/a/b");
	assert_str(h.authorization, "Basic YTpi");
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.body, HTTP_BODY_LENGTH);
	assert_int_equal(h.content_length, 12);
	assert_true(h.keep_alive);
	assert_true(h.expect_continue);
}

static void head_good(void **state)
{
	static const struct {
		const char *in, *path;
		int minor, body;
		bool keep;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n" HOST_LINE "\r\n", "/", 1, 0, true },
		{ "GET / HTTP/1.0\r\n\r\n", "/", 0, 0, false },
		{ "GET /?a?b HTTP/1.9\nHost:\n\n", "/", 1, 0, true },
		{ "GET / HTTP/1.0\r\nConnection: foo , Keep-Alive\r\n\r\n", "/",
		    0, 0, true },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
		    "/", 0, 0, false },
		{ "GET / HTTP/1.1\r\n" HOST_LINE
		  "Connection: x\r\nConnection:,, CLOSE\r\n\r\n",
		    "/", 1, 0, false },
		{ "GET / HTTP/1.1\r\n" HOST_LINE "Connection: closed\r\n\r\n",
		    "/", 1, 0, true },
		{ "PUT http://h:1/p?q HTTP/1.1\r\n" HOST_LINE
		  "Transfer-Encoding: Chunked\r\n\r\n",
		    "/p", 1, HTTP_BODY_CHUNKED, true },
		{ "GET HTTPS://[::1] HTTP/1.1\r\n" HOST_LINE "\r\n", "/", 1, 0,
		    true },
		{ "GET http://h?q HTTP/1.1\r\n" HOST_LINE "\r\n", "/", 1, 0,
		    true },
		{ "OPTIONS * HTTP/1.1\r\n" HOST_LINE "\r\n", "*", 1, 0, true },
		{ "GET /a HTTP/1.1\r\n" HOST_LINE "Content-Length: 000\r\n\r\n",
		    "/a", 1, 0, true },
	};
	struct http_head h;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (parse_splits(cases[i].in, strlen(cases[i].in), &h) !=
		    (int)strlen(cases[i].in))
			fail_msg("%s: %s", cases[i].in, h.reason);
		assert_str(h.path, cases[i].path);
		assert_int_equal(h.minor, cases[i].minor);
		assert_int_equal(h.body, cases[i].body);
		assert_int_equal(h.keep_alive, cases[i].keep);
	}
}

/* RFC 9112 3.2.2: the target's host takes precedence. */
static void head_host(void **state)
{
	static const struct {
		const char *in, *host, *origin;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: A.b:1\r\n\r\n", "A.b:1", NULL },
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", "", NULL },
		{ "GET / HTTP/1.0\r\nOrigin: null\r\n\r\n", NULL, "null" },
		{ "GET http://c/ HTTP/1.1\r\nHost: d\r\n\r\n", "c", NULL },
		{ "GET HTTPS://[::1]:5 HTTP/1.1\r\nORIGIN: x\r\nHost: d\r\n"
		  "\r\n",
		    "[::1]:5", "x" },
		{ "GET http://c?q HTTP/1.0\r\n\r\n", "c", NULL },
	};
	struct http_head h;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (parse_splits(cases[i].in, strlen(cases[i].in), &h) < 0)
			fail_msg("%s: %s", cases[i].in, h.reason);
		if (cases[i].host == NULL)
			assert_null(h.host.p);
		else
			assert_str(h.host, cases[i].host);
		if (cases[i].origin == NULL)
			assert_null(h.origin.p);
		else
			assert_str(h.origin, cases[i].origin);
	}
}

static void head_odd(void **state)
{
	static const char expects[] =
	    "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";
	static const char large[] =
	    "POST / HTTP/1.0\r\n"
	    "Content-Length: 99999999999999999999999999999\r\n\r\n";
	struct http_head h;

	(void)state;
	/* HTTP/1.0 cannot expect */
	assert_true(http_parse_head(expects, sizeof(expects) - 1, &h) > 0);
	assert_false(h.expect_continue);
	/* too large to count, but a length */
	assert_true(http_parse_head(large, sizeof(large) - 1, &h) > 0);
	assert_true(h.content_length > UINT64_MAX / 200);
}

#define GET "GET / HTTP/1.1\r\n" HOST_LINE

static void head_bad(void **state)
{
	static const struct {
		const char *in;
		int status;
	} cases[] = {
		{ "\x16\x03\x01", 400 }, /* TLS */
		{ " GET / HTTP/1.1\r\n", 400 },
		{ "GET\t/ HTTP/1.1\r\n", 400 },
		{ "GET  / HTTP/1.1\r\n", 400 },
		{ "GET /\r\n", 400 }, /* HTTP/0.9 */
		{ "GET / \r\n", 400 },
		{ "GET / HTTP/1.1 \r\n", 400 },
		{ "GET /a b HTTP/1.1\r\n", 400 },
		{ "GET /\xc3\xa9 HTTP/1.1\r\n", 400 },
		{ "GET /#a HTTP/1.1\r\n", 400 },
		{ "GET a HTTP/1.1\r\n", 400 },
		{ "GET * HTTP/1.1\r\n", 400 },
		{ "GET http:///a HTTP/1.1\r\n", 400 },
		{ "GET http://u@h/ HTTP/1.1\r\n", 400 },
		{ "GET ftp://h/ HTTP/1.1\r\n", 400 },
		{ "CONNECT h:443 HTTP/1.1\r\n", 501 },
		{ "GET / http/1.1\r\n", 400 },
		{ "GET / HTTP/11\r\n", 400 },
		{ "GET / HTTP/1.x\r\n", 400 },
		{ "GET / HTTP/2.0\r\n", 505 },
		{ "PRI * HTTP/2.0\r\n", 400 },
		{ "GET / HTTP/1.1\rHost: x\r\n", 400 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ GET HOST_LINE "\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
		{ GET "A: b\r\n c\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n A: b\r\n\r\n", 400 },
		{ GET "A : b\r\n\r\n", 400 },
		{ GET ": b\r\n\r\n", 400 },
		{ GET "A\r\n\r\n", 400 },
		{ GET "A: b\rc\r\n\r\n", 400 },
		{ GET "A: \001\r\n\r\n", 400 },
		{ GET "A: b\r\n\rX", 400 },
		{ GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
		{ GET "Content-Length: 5, 5\r\n\r\n", 400 },
		{ GET "Content-Length: -5\r\n\r\n", 400 },
		{ GET "Content-Length: +5\r\n\r\n", 400 },
		{ GET "Content-Length: 0x5\r\n\r\n", 400 },
		{ GET "Content-Length:\r\n\r\n", 400 },
		{ GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		    400 },
		{ GET "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
		    400 },
		{ GET "Transfer-Encoding: chunked\r\n"
		      "Transfer-Encoding: chunked\r\n\r\n",
		    400 },
		{ GET "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
		{ GET "Transfer-Encoding: xchunked\r\n\r\n", 501 },
		{ GET "Transfer-Encoding: chunked, identity\r\n\r\n", 501 },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ GET "Authorization: a\r\nAuthorization: b\r\n\r\n", 400 },
		{ GET "Origin: http://x\r\nOrigin: http://x\r\n\r\n", 400 },
		{ "GET http://x/ HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400 },
		{ GET "Expect: 200-ok\r\n\r\n", 417 },
	};
	static const char nul[] = "GET / HTTP/1.0\r\nA: \0\r\n\r\n";
	struct http_head h;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (parse_splits(cases[i].in, strlen(cases[i].in), &h) !=
		    PARSE_BAD)
			fail_msg("accepted: %s", cases[i].in);
		if (h.status != cases[i].status)
			fail_msg("%s: %d", cases[i].in, h.status);
		assert_non_null(h.reason);
	}
	/* a NUL is no end */
	assert_int_equal(http_parse_head(nul, sizeof(nul) - 1, &h), PARSE_BAD);
}

static void head_limit(void **state)
{
	static const char start[] = GET "A: ";
	char in[HTTP_HEAD_MAX + 1];
	struct http_head h;

	(void)state;
	memset(in, 'x', sizeof(in));
	memcpy(in, start, sizeof(start) - 1);
	assert_int_equal(
	    http_parse_head(in, HTTP_HEAD_MAX - 1, &h), PARSE_MORE);
	assert_int_equal(http_parse_head(in, HTTP_HEAD_MAX, &h), PARSE_BAD);
	assert_int_equal(h.status, 431);
	memcpy(in + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(http_parse_head(in, sizeof(in), &h), HTTP_HEAD_MAX);
	memcpy(in + HTTP_HEAD_MAX - 4, "x\r\n\r\n", 5);
	assert_int_equal(http_parse_head(in, sizeof(in), &h), PARSE_BAD);
	assert_int_equal(h.status, 431);
	/* empty lines do not go on for ever */
	memset(in, '\n', sizeof(in));
	assert_int_equal(http_parse_head(in, sizeof(in), &h), PARSE_BAD);
}

/* Feeds in[] in pieces: first bytes, then step at a time.  Returns the length
 * of the body in out, PARSE_BAD, or PARSE_MORE; *used_r: the input's. */
static int chunks(const char *in, size_t len, size_t first, size_t step,
    char *out, size_t *used_r)
{
	struct http_chunked c = { 0 };
	size_t at = 0, n = first, total = 0, got;
	bool done = false;
	char *p;
	int used;

	while (at < len && !done) {
		if (n > len - at)
			n = len - at;
		p = at_the_edge(in + at, n);
		used = http_parse_chunks(&c, p, n, &got, &done);
		if (used >= 0)
			memcpy(out + total, p, got);
		edge_free(p, n);
		if (used < 0)
			return PARSE_BAD;
		assert_true(done || (size_t)used == n);
		total += got;
		at += (size_t)used;
		n = step;
	}
	*used_r = at;
	return done ? (int)total : PARSE_MORE;
}

static void chunks_good(void **state)
{
	static const char in[] =
	    "5\r\nhello\r\n"
	    "00A ;x=\"y;\xc3\xa9\";z\r\n, world\r\n!\r\n"
	    "1 \t\r\n?\r\n0;last\r\nTrailer: x\r\nOther:y\r\n\r\nGET /";
	struct http_chunked c = { 0 };
	char out[sizeof(in)], *many;
	size_t used, len = sizeof(in) - 1, first, i;
	bool done;

	(void)state;
	for (first = 0; first <= len; first++) {
		assert_int_equal(chunks(in, len, first, len, out, &used), 16);
		assert_int_equal(used, len - 5);
		assert_memory_equal(out, "hello, world\r\n!?", 16);
		assert_int_equal(
		    chunks(in, len - 6, first, len, out, &used), PARSE_MORE);
	}
	assert_int_equal(chunks(in, len, 1, 1, out, &used), 16);
	assert_int_equal(used, len - 5);
	assert_memory_equal(out, "hello, world\r\n!?", 16);
	assert_int_equal(chunks("0\r\n\r\n", 5, 1, 1, out, &used), 0);
	/* many small ones are fine */
	many = malloc(20000 * 6 + 5);
	for (i = 0; i < 20000; i++)
		memcpy(many + i * 6, "1\r\nx\r\n", 6);
	memcpy(many + i * 6, "0\r\n\r\n", 5);
	assert_int_equal(
	    http_parse_chunks(&c, many, 20000 * 6 + 5, &used, &done),
	    20000 * 6 + 5);
	assert_int_equal(used, 20000);
	assert_true(done);
	free(many);
}

static void chunks_bad(void **state)
{
	static const char *const cases[] = {
		"\r\n",
		"x\r\n",
		"-1\r\n",
		"+1\r\n",
		"0x1\r\n",
		" 1\r\n",
		"1\n",
		"1\rx",
		"1 2\r\n",
		"1;a\nb\r\n",
		"1;\001\r\n",
		"1\r\nab",
		"1\r\na\n",
		"1\r\na\rx",
		"1\r\na0\r\n\r\n",
		"11111111111111111\r\n",
		"fffffffffffffffff\r\n",
		"0\r\n\n",
		"0\r\n\rx",
		"0\r\n x: y\r\n",
		"0\r\nx: y\n",
		"0\r\nx: \001",
		"0\r\nx: y\rz",
	};
	char out[64], *big;
	size_t i, used;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (chunks(cases[i], strlen(cases[i]), strlen(cases[i]), 1, out,
			&used) != PARSE_BAD ||
		    chunks(cases[i], strlen(cases[i]), 1, 1, out, &used) !=
			PARSE_BAD)
			fail_msg("accepted: %s", cases[i]);
	}
	/* not more than a limit is discarded */
	big = malloc(5000);
	memset(big, '0', 5000);
	assert_int_equal(chunks(big, 5000, 5000, 1, out, &used), PARSE_BAD);
	big[1] = ';';
	assert_int_equal(chunks(big, 5000, 5000, 1, out, &used), PARSE_BAD);
	memcpy(big, "0\r\n", 3);
	assert_int_equal(chunks(big, 5000, 5000, 1, out, &used), PARSE_BAD);
	memcpy(big, "1 ", 2);
	memset(big + 2, ' ', 4998);
	assert_int_equal(chunks(big, 5000, 5000, 1, out, &used), PARSE_BAD);
	free(big);
}

/* --- the server --- */

#define MAX_CONNS 4

static struct loop *loop;
static struct http_server *server;
static char socket_path[64];
static char tcp_path[72];	   /* for the server it is TCP */
static uid_t who;		   /* its clients are */
static struct http_conn *later[8]; /* requests that wait for answer_later() */
static size_t n_later, n_handled;
static char sample[200000];   /* a large answer */
static struct loop_task work; /* that a request for /work sets going */
static int worker = -1;	      /* the client who asked for it */
static size_t n_worked;
static bool work_ends; /* it ends the server */

/* The client has no answer yet. */
static void on_work(void *arg)
{
	char c;

	(void)arg;
	n_worked++;
	assert_int_equal(recv(worker, &c, 1, MSG_PEEK), -1);
	assert_int_equal(errno, EAGAIN);
	if (work_ends)
		http_server_quiesce(server);
}

static void handler(
    struct http_conn *conn, const struct http_request *req, void *arg)
{
	static char text[80000];
	int n;

	assert_ptr_equal(arg, &server);
	assert_int_equal(req->uid, req->over_unix ? who : HTTP_NOBODY);
	assert_false(req->over_tls);
	assert_int_equal(req->body[req->body_len], '\0');
	n_handled++;
	if (req->path.len == 6 && memcmp(req->path.p, "/later", 6) == 0) {
		later[n_later++] = conn;
		return;
	}
	if (req->path.len == 4 && memcmp(req->path.p, "/big", 4) == 0) {
		http_reply(conn, 200, NULL, NULL, sample, sizeof(sample));
		return;
	}
	if (req->path.len == 5 && memcmp(req->path.p, "/none", 5) == 0) {
		http_reply(conn, 204, NULL, "X-A: b\r\n", NULL, 0);
		return;
	}
	if (req->path.len == 5 && memcmp(req->path.p, "/work", 5) == 0)
		loop_task_queue(loop, &work);
	n = snprintf(text, sizeof(text), "%.*s %.*s %zu %s",
	    (int)req->method.len, req->method.p, (int)req->path.len,
	    req->path.p, req->body_len, req->body);
	http_reply(conn, 200, "text/plain", NULL, text, (size_t)n);
}

static void line_handler(
    struct http_conn *conn, const struct http_line *line, void *arg)
{
	char text[128];

	assert_ptr_equal(arg, &server);
	assert_int_equal(strlen(line->text), line->len);
	n_handled++;
	if (strcmp(line->text, "NOTIFY later") == 0) {
		later[n_later++] = conn;
		return;
	}
	snprintf(text, sizeof(text), "OK %.100s", line->text);
	http_reply_line(conn, text);
}

static int set_up(void **state)
{
	char err[ERR_MAX];
	int fd;

	(void)state;
	own_clock_ms = OWN_CLOCK_START_MS;
	n_later = n_handled = n_worked = 0;
	work_ends = false;
	loop_task_init(&work, on_work, NULL);
	loop = loop_new(err);
	snprintf(socket_path, sizeof(socket_path), "/tmp/http_test.%d.sock",
	    (int)getpid());
	fd = io_listen_unix(socket_path, 0600, err);
	if (loop == NULL || fd < 0)
		return -1;
	server = http_server_new(loop, MAX_CONNS, handler, &server);
	http_server_set_lines(server, line_handler, &server);
	http_server_listen(server, fd, true, NULL);
	who = geteuid();
	snprintf(tcp_path, sizeof(tcp_path), "%s.tcp", socket_path);
	fd = io_listen_unix(tcp_path, 0600, err);
	if (fd < 0)
		return -1;
	http_server_listen(server, fd, false, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	http_server_free(server);
	loop_free(loop);
	unlink(socket_path);
	unlink(tcp_path);
	return 0;
}

static void rounds(int n)
{
	while (n-- > 0)
		loop_once(loop, 0);
}

static void advance(int64_t ms)
{
	own_clock_ms += ms;
	rounds(3);
}

static int client_at(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(sun.sun_path, path);
	assert_int_equal(
	    connect(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	rounds(2);
	return fd;
}

static int client(void)
{
	return client_at(socket_path);
}

static int tcp_client(void)
{
	return client_at(tcp_path);
}

static void say_n(int fd, const char *data, size_t len)
{
	size_t at = 0;
	ssize_t n;

	while (at < len) {
		n = send(fd, data + at, len - at, MSG_NOSIGNAL);
		assert_true(n > 0 || errno == EAGAIN);
		at += n > 0 ? (size_t)n : 0;
		rounds(1);
	}
	rounds(3);
}

static void say(int fd, const char *text)
{
	say_n(fd, text, strlen(text));
}

/* All of it is there before the server looks. */
static void send_whole(int fd, const char *data, size_t len)
{
	int room = 1 << 20;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
	rounds(3);
}

/* Whatever is there to read, after some rounds; -1 when the server closed and
 * nothing came. */
static char heard[300000];

static ssize_t hear(int fd)
{
	size_t at = 0;
	ssize_t n = 0;
	int idle;

	for (idle = 0; idle < 4; idle++) {
		rounds(1);
		n = recv(fd, heard + at, sizeof(heard) - 1 - at, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n > 0) {
			at += (size_t)n;
			idle = 0;
		}
	}
	heard[at] = '\0';
	return at == 0 && (n == 0 || errno != EAGAIN) ? -1 : (ssize_t)at;
}

static void expect(int fd, const char *text)
{
	hear(fd);
	assert_string_equal(heard, text);
}

static void expect_closed(int fd)
{
	assert_int_equal(hear(fd), -1);
	close(fd);
	rounds(2);
}

/* An answer of ours that ends the connection. */
static void expect_refusal(int fd, int status)
{
	char start[64];

	snprintf(start, sizeof(start), "HTTP/1.1 %d ", status);
	assert_true(hear(fd) > 0);
	/* Every status has its text. */
	if (strncmp(heard, start, strlen(start)) != 0)
		fail_msg("not %d: %s", status, heard);
	assert_non_null(strstr(heard, "\r\nConnection: close\r\n"));
	expect_closed(fd);
}

#define OK(len, text)                                                          \
	"HTTP/1.1 200 OK\r\nContent-Length: " #len                             \
	"\r\nContent-Type: text/plain\r\n\r\n" text

static void one_request(void **state)
{
	int fd = client();

	(void)state;
	assert_int_equal(http_server_connections(server), 1);
	say(fd,
	    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
	expect(fd, OK(15, "POST /a 5 hello"));
	say(fd, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(fd, OK(9, "GET /b 0 "));
	say(fd, "HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(fd, OK(10, ""));
	say(fd, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(fd, "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n");
	close(fd);
	rounds(3);
	assert_int_equal(http_server_connections(server), 0);
}

static void byte_by_byte(void **state)
{
	static const char in[] =
	    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"
	    "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz";
	static const char out[] =
	    OK(15, "POST /a 5 abcde") OK(13, "POST /b 3 xyz");
	size_t i, split;
	int fd;

	(void)state;
	for (split = 0; split < sizeof(in); split++) {
		fd = client();
		say_n(fd, in, split);
		say_n(fd, in + split, sizeof(in) - 1 - split);
		expect(fd, out);
		close(fd);
	}
	fd = client();
	for (i = 0; i < sizeof(in) - 1; i++)
		say_n(fd, in + i, 1);
	expect(fd, out);
	close(fd);
}

static void pipelined(void **state)
{
	static const char one[] = "GET /p HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char ok[] = OK(9, "GET /p 0 ");
	char *in = malloc(sizeof(one) * 2000);
	size_t i;
	int fd = client();

	(void)state;
	for (i = 0; i < 2000; i++)
		memcpy(in + i * (sizeof(one) - 1), one, sizeof(one) - 1);
	say_n(fd, in, 2000 * (sizeof(one) - 1));
	assert_int_equal(hear(fd), 2000 * (sizeof(ok) - 1));
	for (i = 0; i < 2000; i++)
		assert_memory_equal(
		    heard + i * (sizeof(ok) - 1), ok, sizeof(ok) - 1);
	free(in);
	close(fd);
}

static void later_reply(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
		"GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(n_later, 1);
	assert_int_equal(n_handled, 1); /* the next one waits */
	assert_int_equal(http_server_busy(server), 1);
	assert_int_equal(hear(fd), 0);
	advance(3600 * 1000); /* no limit of ours on the answer */
	http_reply(later[0], 503, NULL, NULL, "no\n", 3);
	assert_int_equal(n_handled, 1); /* not from within http_reply() */
	assert_int_equal(http_server_busy(server), 0);
	expect(fd, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n"
		   "\r\nno\n" OK(12, "GET /next 0 "));
	close(fd);
}

#define WORK_REQUEST "GET /work HTTP/1.1\r\nHost: x\r\n"

/* What a request sets going comes before its answer, however it ends. */
static void work_comes_first(void **state)
{
	(void)state;
	worker = client();
	say(worker, WORK_REQUEST "\r\n");
	assert_int_equal(n_worked, 1);
	expect(worker, OK(12, "GET /work 0 "));
	say(worker, WORK_REQUEST "\r\n");
	expect(worker, OK(12, "GET /work 0 "));
	assert_int_equal(n_worked, 2);
	say(worker, WORK_REQUEST "Connection: close\r\n\r\n");
	hear(worker);
	assert_non_null(strstr(heard, "close\r\n\r\nGET /work 0 "));
	expect_closed(worker);

	worker = client();
	send(worker, WORK_REQUEST "\r\n", sizeof(WORK_REQUEST) + 1, 0);
	shutdown(worker, SHUT_WR);
	expect(worker, OK(12, "GET /work 0 "));
	expect_closed(worker);

	worker = client();
	work_ends = true;
	say(worker, WORK_REQUEST "\r\n");
	assert_int_equal(n_worked, 5);
	expect(worker, OK(12, "GET /work 0 "));
	expect_closed(worker);
	assert_int_equal(http_server_connections(server), 0);
}

static void gone_before_reply(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	close(fd);
	rounds(5);
	assert_int_equal(http_server_busy(server), 1);
	http_reply(later[0], 200, NULL, NULL, "x", 1);
	assert_int_equal(http_server_busy(server), 0);
	rounds(2);
	assert_int_equal(http_server_connections(server), 0);
}

static void half_closed(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	shutdown(fd, SHUT_WR);
	rounds(5);
	http_reply(later[0], 200, "a/b", NULL, "x", 1);
	expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		   "Content-Type: a/b\r\n\r\nx");
	expect_closed(fd);
	fd = client();
	say(fd, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	shutdown(fd, SHUT_WR);
	expect(fd, OK(9, "GET /a 0 "));
	expect_closed(fd);
	fd = client();
	say(fd, "GET /a HTTP/1.1\r\nHos");
	shutdown(fd, SHUT_WR);
	expect_refusal(fd, 400);
	fd = client();
	shutdown(fd, SHUT_WR);
	expect_closed(fd);
	assert_int_equal(http_server_connections(server), 0);
}

static void http10(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
		   "Content-Type: text/plain\r\nConnection: keep-alive\r\n\r\n"
		   "GET /a 0 ");
	say(fd, "GET /a HTTP/1.0\n\n");
	expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
		   "Content-Type: text/plain\r\nConnection: close\r\n\r\n"
		   "GET /a 0 ");
	expect_closed(fd);
	fd = client();
	say(fd, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nmore");
	assert_true(hear(fd) > 0);
	assert_non_null(strstr(heard, "\r\nConnection: close\r\n"));
	expect_closed(fd);
	assert_int_equal(n_handled, 3);
}

static void continues(void **state)
{
	static const char head[] = "POST /a HTTP/1.1\r\nHost: x\r\n"
				   "Expect: 100-continue\r\n";
	int fd = client();

	(void)state;
	say(fd, head);
	say(fd, "Content-Length: 2\r\n\r\n");
	expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "a");
	assert_int_equal(hear(fd), 0); /* only once */
	say(fd, "b");
	expect(fd, OK(12, "POST /a 2 ab"));
	say(fd, head);
	say(fd, "Transfer-Encoding: chunked\r\n\r\n");
	expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "1\r\na\r\n0\r\n\r\n");
	expect(fd, OK(11, "POST /a 1 a"));
	/* the body is there already */
	say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
		"Content-Length: 2\r\n\r\na");
	assert_int_equal(hear(fd), 0);
	say(fd, "b");
	expect(fd, OK(12, "POST /a 2 ab"));
	say(fd, head);
	say(fd, "Content-Length: 65537\r\n\r\n");
	expect_refusal(fd, 413);
}

static void too_much(void **state)
{
	char *body = malloc(70000);
	int fd = client();

	(void)state;
	memset(body, 'b', 70000);
	/* just enough */
	say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n");
	say_n(fd, body, 65536);
	assert_int_equal(hear(fd), 65536 + 14 + 68);
	say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		"\r\n10000\r\n");
	say_n(fd, body, 65536);
	say(fd, "\r\n0\r\n\r\n");
	assert_int_equal(hear(fd), 65536 + 14 + 68);
	/* a byte more */
	say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		"\r\n10000\r\n");
	say_n(fd, body, 65536);
	say(fd, "\r\n1\r\n");
	expect_refusal(fd, 413);
	/* said beforehand */
	fd = client();
	say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
	expect_refusal(fd, 413);
	fd = client();
	say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		"\r\n10001\r\n");
	expect_refusal(fd, 413);
	/* an answer to one that writes on: it can be read */
	fd = client();
	say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n"
		"\r\n");
	say_n(fd, body, 70000);
	expect_refusal(fd, 413);
	/* head */
	fd = client();
	say(fd, "GET / HTTP/1.1\r\nA: ");
	say_n(fd, body, 9000);
	expect_refusal(fd, 431);
	free(body);
	assert_int_equal(n_handled, 2);
}

static void refused(void **state)
{
	static const struct {
		const char *in;
		int status;
	} cases[] = {
		{ "nonsense\r\n", 400 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/3.0\r\n", 505 },
		{ "CONNECT x:1 HTTP/1.1\r\n", 501 },
		{ "GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n", 417 },
		{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		  "\r\nzz\r\n",
		    400 },
		{ "NOTIFY /x HTTP/1.1\r\n\r\n", 400 },
	};
	static const char ok[] = OK(9, "GET /a 0 ");
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fd = client();
		say(fd, cases[i].in);
		expect_refusal(fd, cases[i].status);
	}
	assert_int_equal(n_handled, 0);
	/* answers that come before stay */
	fd = client();
	say(fd, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET\r\n\r\n");
	assert_true(hear(fd) > 0);
	assert_int_equal(strncmp(heard, ok, strlen(ok)), 0);
	assert_string_equal(heard + strlen(ok),
	    "HTTP/1.1 400 Bad Request\r\nContent-Length: 23\r\n"
	    "Content-Type: text/plain\r\nConnection: close\r\n\r\n"
	    "malformed request line\n");
	expect_closed(fd);
}

static void slow_and_silent(void **state)
{
	int fd = client(), i;

	(void)state;
	/* a byte a second does not prolong it */
	for (i = 0; i < 9; i++) {
		say(fd, "G");
		advance(1000);
	}
	assert_int_equal(hear(fd), 0);
	advance(1500);
	expect_refusal(fd, 408);
	fd = client();
	say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcd");
	advance(9000);
	assert_int_equal(hear(fd), 0);
	advance(2000);
	expect_refusal(fd, 408);
	/* the limit is each request's own */
	fd = client();
	for (i = 0; i < 5; i++) {
		say(fd, "GET /a HTTP/1.1\r\nHost: ");
		advance(7000);
		say(fd, "x\r\n\r\n");
		expect(fd, OK(9, "GET /a 0 "));
	}
	/* an empty line begins nothing */
	say(fd, "\r\n");
	say(fd, "\r\n");
	advance(11 * 1000);
	assert_int_equal(hear(fd), 0);
	/* silence: ten minutes, from the last answer on */
	advance(9 * 60 * 1000);
	say(fd, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(fd, OK(9, "GET /a 0 "));
	advance(599 * 1000);
	assert_int_equal(hear(fd), 0);
	advance(2 * 1000);
	expect_closed(fd);
	assert_int_equal(http_server_connections(server), 0);
}

static void newcomers(void **state)
{
	int fd[MAX_CONNS], extra, i;

	(void)state;
	for (i = 0; i < MAX_CONNS; i++)
		fd[i] = client();
	/* 0 was used last, so 1 is the longest-idle */
	say(fd[0], "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(fd[0], OK(9, "GET /a 0 "));
	advance(1);
	extra = client();
	expect_closed(fd[1]);
	assert_int_equal(http_server_connections(server), MAX_CONNS);
	fd[1] = extra;
	for (i = 0; i < MAX_CONNS; i++)
		say(fd[i], "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	/* now none is idle: a new one waits for a moment */
	extra = client();
	say(extra, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(hear(extra), 0);
	advance(200);
	expect_refusal(extra, 503);
	extra = client();
	say(extra, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	close(fd[3]);
	rounds(3);
	assert_int_equal(hear(extra), 0);
	http_reply(later[3], 200, NULL, NULL, NULL, 0);
	expect(extra, OK(9, "GET /a 0 "));
	fd[3] = extra;
	say(fd[3], "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	later[3] = later[4];
	assert_int_equal(http_server_connections(server), MAX_CONNS);
	for (i = 0; i < MAX_CONNS; i++) {
		http_reply(later[i], 200, NULL, NULL, NULL, 0);
		expect(fd[i], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		advance(1);
	}
	extra = client();
	expect_closed(fd[0]);
	close(extra);
	for (i = 1; i < MAX_CONNS; i++)
		close(fd[i]);
}

static void flood_of_newcomers(void **state)
{
	int fd[MAX_CONNS], extra[100], i, told = 0;

	(void)state;
	for (i = 0; i < MAX_CONNS; i++) {
		fd[i] = client();
		say(fd[i], "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	for (i = 0; i < 100; i++)
		extra[i] = client();
	advance(200);
	for (i = 0; i < 100; i++)
		told += hear(extra[i]) > 0 && strstr(heard, " 503 ");
	assert_true(told >= 50);
	for (i = 0; i < 100; i++)
		close(extra[i]);
	for (i = 0; i < MAX_CONNS; i++) {
		http_reply(later[i], 204, NULL, NULL, NULL, 0);
		assert_true(hear(fd[i]) > 0);
		close(fd[i]);
	}
	rounds(3);
	assert_int_equal(http_server_connections(server), 0);
}

#define GET_A "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"

/* A quarter is the Unix socket's, however full TCP is. */
static void tcp_has_a_share(void **state)
{
	int tcp[MAX_CONNS], fd, i;

	(void)state;
	for (i = 0; i < MAX_CONNS - 1; i++) {
		tcp[i] = tcp_client();
		say(tcp[i], i % 2 ? "G" : "GET /la HTTP/1.1\r\nHost: ");
	}
	assert_int_equal(http_server_connections(server), MAX_CONNS - 1);
	/* one that came just now is not ended for another of TCP */
	fd = tcp_client();
	say(fd, GET_A);
	assert_int_equal(hear(fd), 0);
	tcp[MAX_CONNS - 1] = fd;
	fd = client();
	say(fd, GET_A);
	expect(fd, OK(9, "GET /a 0 "));
	/* in a moment it is */
	advance(200);
	expect(tcp[MAX_CONNS - 1], OK(9, "GET /a 0 "));
	expect_refusal(tcp[0], 503);
	/* idle ones go first, of its own kind */
	advance(200);
	tcp[0] = tcp_client();
	say(tcp[0], GET_A);
	expect(tcp[0], OK(9, "GET /a 0 "));
	expect_closed(tcp[MAX_CONNS - 1]);
	say(fd, GET_A);
	expect(fd, OK(9, "GET /a 0 "));
	close(fd);
	for (i = 0; i < MAX_CONNS - 1; i++)
		close(tcp[i]);
}

/* The Unix socket gives back what it has beyond its share. */
static void unix_gives_back(void **state)
{
	int fd[MAX_CONNS], tcp, i;

	(void)state;
	for (i = 0; i < MAX_CONNS; i++) {
		fd[i] = client();
		say(fd[i], "G");
	}
	tcp = tcp_client();
	say(tcp, GET_A);
	assert_int_equal(hear(tcp), 0);
	advance(200);
	expect(tcp, OK(9, "GET /a 0 "));
	expect_refusal(fd[0], 503);
	close(tcp);
	for (i = 1; i < MAX_CONNS; i++)
		close(fd[i]);
}

/* A user who takes all connections with half requests cannot lock out
 * others. */
static void one_user_has_all(void **state)
{
	int fd[MAX_CONNS], extra, i;

	(void)state;
	for (i = 0; i < MAX_CONNS; i++) {
		fd[i] = client();
		say(fd[i], "POST /a HTTP/1.1\r\n");
	}
	/* himself, */
	extra = client();
	advance(200);
	expect_refusal(extra, 503);
	/* not others, */
	if (geteuid() == 0) {
		assert_int_equal(chmod(socket_path, 0666), 0);
		assert_int_equal(seteuid(65534), 0);
		extra = client();
		assert_int_equal(seteuid(0), 0);
		who = 65534;
		say(extra, GET_A);
		expect(extra, OK(9, "GET /a 0 "));
		expect_refusal(fd[0], 503);
		fd[0] = extra;
		say(fd[0], "GET /");
		who = 0;
	}
	/* and none for long; bodies count from the head on */
	say(fd[1], "Host: x\r\nContent-Length: 2\r\n\r\n");
	advance(1000);
	extra = client();
	say(extra, GET_A);
	expect(extra, OK(9, "GET /a 0 "));
	expect_refusal(fd[geteuid() == 0 ? 1 : 0], 503);
	close(extra);
	for (i = 0; i < MAX_CONNS; i++)
		close(fd[i]);
}

/* Neither do unread answers; requests that wait for us stay. */
static void unread_answers(void **state)
{
	static const char get[] = "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
	int fd[MAX_CONNS], small = 4096, extra, i;

	(void)state;
	for (i = 0; i < MAX_CONNS; i++) {
		fd[i] = client();
		setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		if (i == 0) {
			say(fd[i], "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
		} else {
			say(fd[i], get);
			say(fd[i], get);
		}
	}
	advance(1000);
	for (i = 1; i < MAX_CONNS; i++) {
		extra = client();
		say(extra, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
		close(fd[i]);
		fd[i] = extra;
	}
	assert_int_equal(n_later, MAX_CONNS);
	advance(5000);
	extra = client();
	advance(200);
	expect_refusal(extra, 503);
	for (i = 0; i < MAX_CONNS; i++) {
		http_reply(later[i], 204, NULL, NULL, NULL, 0);
		assert_true(hear(fd[i]) > 0);
		close(fd[i]);
	}
}

/* Half bodies of all connections have a ceiling, too: the longest one goes. */
static void half_bodies(void **state)
{
	static const char head[] =
	    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n";
	enum {
		N = 140
	};
	static int fd[N];
	char *body = malloc(65536);
	int i, closed = 0;

	(void)state;
	memset(body, 'b', 65536);
	http_server_set_max(server, N + 1, HTTP_EXTRA_FDS);
	for (i = 0; i < N; i++) {
		fd[i] = i % 2 ? client() : tcp_client();
		say(fd[i], head);
		say_n(fd[i], body, 65535);
	}
	for (i = 0; i < N - 20; i++)
		if (hear(fd[i]) > 0)
			closed += strstr(heard, " 503 ") != NULL;
	assert_true(closed > 0 && closed < 20);
	assert_int_equal(http_server_connections(server), N - closed);
	say(fd[N - 1], "x");
	assert_true(hear(fd[N - 1]) > 65536);
	for (i = 0; i < N; i++)
		close(fd[i]);
	free(body);
	rounds(N);
	assert_int_equal(http_server_connections(server), 0);
}

/* An HTTP client over TCP may be a web page: no lines from it. */
static void lines_after_http(void **state)
{
	int fd = tcp_client();

	(void)state;
	say(fd, "NOTIFY a\n" GET_A);
	expect(fd, "OK NOTIFY a\r\n" OK(9, "GET /a 0 "));
	say(fd, "NOTIFY b=\"c\"\n");
	expect_refusal(fd, 400);
	/* nor the rest of what was refused */
	fd = tcp_client();
	say(fd, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n"
		"\r\nNOTIFY b=\"c\"\n");
	expect_refusal(fd, 413);
	fd = tcp_client();
	say(fd, "POST /a HTTP/1.1\r\nNOTIFY b=\"c\"\nREGISTER d\n");
	expect_refusal(fd, 400);
	assert_int_equal(n_handled, 2);
}

static void slow_reader(void **state)
{
	static const char get[] = "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
	int fd = client(), small = 4096, i;

	(void)state;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	memset(sample, 's', sizeof(sample));
	say(fd, get);
	say(fd, get);
	for (i = 0; i < 8; i++) /* not taken: nothing more is done for it */
		say(fd, get);
	assert_true(n_handled <= 2);
	assert_true(hear(fd) > 150000);
	/* it takes a little now and then: it may go on */
	n_handled = 0;
	for (i = 0; i < 3; i++) {
		advance(9000);
		assert_true(recv(fd, heard, 2000, 0) > 0);
	}
	/* it takes nothing */
	advance(11000);
	advance(11000);
	while (hear(fd) > 0)
		;
	expect_closed(fd);
	assert_int_equal(http_server_connections(server), 0);
}

static void lines(void **state)
{
	char *big = malloc(HTTP_BODY_MAX + 2);
	int fd = client();

	(void)state;
	say(fd, "NOT");
	say(fd, "IFY ");
	say(fd, "d=\"u\"\tx\r\nREGISTER a\nNOTIFY later\nNOTIFY z\n");
	expect(fd, "OK NOTIFY d=\"u\"\tx\r\nOK REGISTER a\r\n");
	http_reply_line(later[0], "ERROR no");
	expect(fd, "ERROR no\r\nOK NOTIFY z\r\n");
	/* detected again each time */
	say(fd, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nNOTIFY a\n");
	expect(fd, OK(9, "GET /a 0 ") "OK NOTIFY a\r\n");
	say(fd, "NOTIFY unfinished");
	advance(11000);
	expect(fd, "ERROR the request was not complete within 10 s\r\n");
	expect_closed(fd);
	fd = client();
	memset(big, 'x', HTTP_BODY_MAX + 2);
	memcpy(big, "REGISTER ", 9);
	say_n(fd, big, HTTP_BODY_MAX + 2);
	expect(fd, "ERROR the line is longer than 64 KiB\r\n");
	expect_closed(fd);
	/* whole in the buffer: the limit is the same */
	n_handled = 0;
	fd = client();
	big[HTTP_BODY_MAX + 1] = '\n';
	send_whole(fd, big, HTTP_BODY_MAX + 2);
	expect(fd, "ERROR the line is longer than 64 KiB\r\n");
	expect_closed(fd);
	assert_int_equal(n_handled, 0);
	fd = client();
	big[HTTP_BODY_MAX] = '\n';
	send_whole(fd, big, HTTP_BODY_MAX + 1);
	assert_int_equal(hear(fd), 3 + 100 + 2);
	assert_int_equal(n_handled, 1);
	close(fd);
	free(big);
}

static void quiesced(void **state)
{
	int idle = client(), half = client(), waiting = client(), last;

	(void)state;
	say(half, "GET /a HT");
	say(waiting, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
		     "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	http_server_quiesce(server);
	expect_closed(idle);
	expect_refusal(half, 503);
	assert_int_equal(http_server_busy(server), 1);
	last = socket(AF_UNIX, SOCK_STREAM, 0);
	close(last);
	http_reply(later[0], 200, NULL, NULL, "x", 1);
	expect(waiting, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
			"Connection: close\r\n\r\nx");
	expect_closed(waiting);
	assert_int_equal(n_handled, 1);
	assert_int_equal(http_server_connections(server), 0);
}

/* tear_down() frees the server under all kinds of connections. */
static void freed_with_work(void **state)
{
	int fd[MAX_CONNS], i;

	(void)state;
	for (i = 0; i < MAX_CONNS; i++)
		fd[i] = client();
	say(fd[0], "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	say(fd[1], "GET /la");
	say(fd[2], "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	say(fd[2], "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	for (i = 0; i < MAX_CONNS; i++)
		close(fd[i]);
}

#define SERVER_TEST(name)                                                      \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_fields),
		cmocka_unit_test(head_good),
		cmocka_unit_test(head_host),
		cmocka_unit_test(head_odd),
		cmocka_unit_test(head_bad),
		cmocka_unit_test(head_limit),
		cmocka_unit_test(chunks_good),
		cmocka_unit_test(chunks_bad),
		SERVER_TEST(one_request),
		SERVER_TEST(byte_by_byte),
		SERVER_TEST(pipelined),
		SERVER_TEST(later_reply),
		SERVER_TEST(work_comes_first),
		SERVER_TEST(gone_before_reply),
		SERVER_TEST(half_closed),
		SERVER_TEST(http10),
		SERVER_TEST(continues),
		SERVER_TEST(too_much),
		SERVER_TEST(refused),
		SERVER_TEST(slow_and_silent),
		SERVER_TEST(newcomers),
		SERVER_TEST(flood_of_newcomers),
		SERVER_TEST(tcp_has_a_share),
		SERVER_TEST(unix_gives_back),
		SERVER_TEST(one_user_has_all),
		SERVER_TEST(unread_answers),
		SERVER_TEST(half_bodies),
		SERVER_TEST(lines_after_http),
		SERVER_TEST(slow_reader),
		SERVER_TEST(lines),
		SERVER_TEST(quiesced),
		SERVER_TEST(freed_with_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
