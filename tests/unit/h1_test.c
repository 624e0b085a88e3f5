/* h1_test.c - answers by HTTP/1.1, at every split point and with the input ending at an
 * inaccessible page; requests; what ends a connection. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../buf.h"
#include "../../send/h1.h"

#define BODY_MAX 16

static char owner[3];
static char heard[256];	 /* what the callbacks were told */
static struct h1 *again; /* sends a request in the callback */

static void on_header(void *arg, void *who, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	size_t n = strlen(heard);

	assert_ptr_equal(arg, heard);
	assert_in_range((char *)who - owner, 0, 2);
	snprintf(heard + n, sizeof(heard) - n, "%.*s=%.*s ", (int)name_len,
	    name, (int)value_len, value);
}

static const struct hpack_header post[] = {
	{ ":method", "POST", 7, 4, HPACK_INDEX },
	{ ":scheme", "https", 7, 5, HPACK_INDEX },
	{ ":path", "/a?b", 5, 4, HPACK_INDEX },
	{ ":authority", "h:99", 10, 4, HPACK_INDEX },
	{ "ttl", "60", 3, 2, HPACK_INDEX },
};

static void on_response(void *arg, void *who, const struct h2_response *r)
{
	static const char *const names[] = { "done", "unprocessed", "lost" };
	size_t n = strlen(heard);

	assert_ptr_equal(arg, heard);
	snprintf(heard + n, sizeof(heard) - n, "%d:%s %d \"%.*s\" ",
	    (int)((char *)who - owner), names[r->outcome], r->status,
	    (int)r->body_len, r->body != NULL ? (const char *)r->body : "");
	if (again != NULL)
		assert_true(h1_request(again, post, 5, "x", 1, owner + 2));
	again = NULL;
}

static const struct h2_ops ops = {
	.header = on_header,
	.response = on_response,
};

/* --- answers --- */

/* The same bytes, ending where the process may not read. */
static unsigned char *page;
static size_t page_size;

static int map(void **state)
{
	(void)state;
	page_size = (size_t)sysconf(_SC_PAGESIZE) * 32;
	page = mmap(NULL, page_size + (size_t)sysconf(_SC_PAGESIZE),
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(page != MAP_FAILED);
	return mprotect(
	    page + page_size, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE);
}

/* Gives it in pieces of step bytes, the first one `first` long; false: it
 * failed. */
static bool feed(
    struct h1 *h, const char *in, size_t n, size_t first, size_t step)
{
	unsigned char rest[70000];
	size_t kept = 0, k;
	int used;

	for (k = first; n > 0; k = step) {
		if (k > n)
			k = n;
		memcpy(rest + kept, in, k);
		kept += k;
		in += k;
		n -= k;
		memcpy(page + page_size - kept, rest, kept);
		used = h1_recv(h, page + page_size - kept, kept);
		if (used < 0)
			return false;
		assert_in_range(used, 0, kept);
		kept -= (size_t)used;
		memmove(rest, rest + used, kept);
	}
	return true;
}

#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
	const char *in, *want;
	bool finished; /* the connection takes no more */
} answers[] = {
	{ OK "Content-Length: 2\r\n\r\nhi", "0:done 200 \"hi\" ", false },
	{ OK "Content-Length: 0\r\n\r\n", "0:done 200 \"\" ", false },
	{ "HTTP/1.1 204 No Content\r\n\r\n", "0:done 204 \"\" ", false },
	{ "HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", "0:done 304 \"\" ",
	    false },
	{ "HTTP/1.1 201\r\ncontent-length:2\r\n\r\nhi", "0:done 201 \"hi\" ",
	    false },
	{ "HTTP/1.1 201 \r\ncontent-length: 2 \r\n\r\nhi", "0:done 201 \"hi\" ",
	    false },
	{ "HTTP/1.1 404 N\xc3\xb6\nContent-Length: 1\n\nx", "0:done 404 \"x\" ",
	    false },
	{ "HTTP/1.1 307 x\r\nLocation: http://127.0.0.1/\r\n"
	  "Content-Length: 0\r\n\r\n",
	    "0:done 307 \"\" ", false },
	/* only the beginning of the body is kept */
	{ OK "Content-Length: 20\r\n\r\n01234567890123456789",
	    "0:done 200 \"0123456789012345\" ", false },
	{ OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n"
	     "Trailer: z\r\n\r\n",
	    "0:done 200 \"hi!\" ", false },
	{ OK "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "0:done 200 \"\" ",
	    false },
	{ OK "Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n"
	     "0\r\n\r\n",
	    "0:done 200 \"0123456789012345\" ", false },
	/* interim answers */
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n"
	  "Content-Length: 3\r\nConnection: close\r\n\r\n" OK
	  "Content-Length: 1\r\n\r\nx",
	    "0:done 200 \"x\" ", false },
	{ "HTTP/1.1 503 x\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
	    "retry-after=120 0:done 503 \"\" ", false },
	{ "HTTP/1.1 429 x\r\nrETRY-aFTER:  Wed, 21 Oct 2099 07:28:00 GMT \r\n"
	  "Content-Length: 0\r\n\r\n",
	    "retry-after=Wed, 21 Oct 2099 07:28:00 GMT 0:done 429 \"\" ",
	    false },
	/* the server will close it */
	{ OK "Connection: close\r\nContent-Length: 2\r\n\r\nhi",
	    "0:done 200 \"hi\" ", true },
	{ OK "Connection: x, Close\r\nContent-Length: 2\r\n\r\nhi",
	    "0:done 200 \"hi\" ", true },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
	    "0:done 200 \"hi\" ", true },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n"
	  "\r\nhi",
	    "0:done 200 \"hi\" ", false },
	/* it was not waited for: an idle connection's */
	{ "HTTP/1.1 408 Timeout\r\nConnection: close\r\nContent-Length: 0\r\n"
	  "\r\n",
	    "0:unprocessed 408 \"\" ", true },
};

/* What comes after an answer, and the ones that the end of the connection ends. */
static const struct {
	const char *in, *want;
} ended[] = {
	{ OK "\r\nhello", "0:done 200 \"hello\" " },
	{ OK "\r\n", "0:done 200 \"\" " },
	{ "HTTP/1.0 200 OK\r\n\r\nhello", "0:done 200 \"hello\" " },
	/* less than it said: the status counts all the same */
	{ OK "Content-Length: 9\r\n\r\nhello", "0:done 200 \"hello\" " },
	{ OK "Transfer-Encoding: chunked\r\n\r\n9\r\nhello",
	    "0:done 200 \"hello\" " },
	{ "HTTP/1.1 503 x\r\nRetry-After: 7\r\nContent-Length: 1\r\n\r\n",
	    "retry-after=7 0:done 503 \"\" " },
};

static const struct {
	const char *in, *why;
} malformed[] = {
	{ "SSH-2.0-OpenSSH_9.2p1\r\n", "version" },
	{ "HTTP/2.0 200 OK\r\n", "HTTP/1.1" },
	{ "HTTP/1.1 20 OK\r\n", "status" },
	{ "HTTP/1.1 2000 OK\r\n", "" },
	{ "HTTP/1.1 abc OK\r\n", "status" },
	{ "HTTP/1.1  200 OK\r\n", "status" },
	{ "HTTP/1.1 099 OK\r\n", "status" },
	{ "HTTP/1.1 600 OK\r\n", "status" },
	{ "HTTP/1.1 101 Switching Protocols\r\n", "status" },
	{ "\r\n" OK, "version" },
	{ OK "A: b\r\n c\r\n", "folded" },
	{ OK "A : b\r\n", "malformed header" },
	{ OK ": b\r\n", "malformed header" },
	{ OK "A\r\n", "malformed header" },
	{ OK "A: b\rc\r\n", "bare CR" },
	{ OK "Content-Length: -1\r\n", "Content-Length" },
	{ OK "Content-Length: 0x1\r\n", "Content-Length" },
	{ OK "Content-Length: 5, 5\r\n", "Content-Length" },
	{ OK "Content-Length: \r\n", "Content-Length" },
	{ OK "Content-Length: 1\r\nContent-Length: 1\r\n", "repeated" },
	{ OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "both" },
	{ OK "Transfer-Encoding: gzip\r\n", "chunked" },
	{ OK "Transfer-Encoding: gzip, chunked\r\n", "chunked" },
	{ OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
	    "repeated" },
	{ OK "Transfer-Encoding: chunked\r\n\r\nx", "chunks" },
	{ OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab", "chunks" },
	{ OK "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
	    "chunks" },
};

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct h1 *begin(void)
{
	struct h1 *h = h1_new(&ops, heard, BODY_MAX);

	heard[0] = '\0';
	assert_true(h1_is_ready(h));
	assert_true(h1_request(h, post, 5, "body", 4, owner));
	assert_false(h1_is_ready(h));
	return h;
}

static void test_answers(void **state)
{
	struct h1 *h;
	size_t i, at, n;

	(void)state;
	for (i = 0; i < COUNT(answers); i++) {
		n = strlen(answers[i].in);
		/* split once everywhere, and byte by byte */
		for (at = 1; at <= n + 1; at++) {
			h = begin();
			assert_true(feed(h, answers[i].in, n, at <= n ? at : 1,
			    at <= n ? n : 1));
			assert_string_equal(heard, answers[i].want);
			assert_int_equal(
			    h1_is_finished(h), answers[i].finished);
			assert_int_equal(h1_is_ready(h), !answers[i].finished);
			assert_false(h1_end(h));
			h1_close(h);
			assert_string_equal(heard, answers[i].want);
			h1_free(h);
		}
	}
}

static void test_ended(void **state)
{
	struct h1 *h;
	size_t i, at, n;

	(void)state;
	for (i = 0; i < COUNT(ended); i++) {
		n = strlen(ended[i].in);
		for (at = 1; at <= n; at++) {
			h = begin();
			assert_true(feed(h, ended[i].in, n, at, n));
			assert_false(h1_is_ready(h) || h1_is_finished(h));
			assert_true(h1_end(h));
			assert_string_equal(heard, ended[i].want);
			assert_true(h1_is_finished(h));
			h1_free(h);
		}
	}
}

/* Any beginning of a head is no answer yet. */
static void test_lost(void **state)
{
	static const char in[] = OK "Content-Length: 2\r\n\r\n";
	struct h1 *h;
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(in) - 1; n++) {
		h = begin();
		assert_true(feed(h, in, n, n, n));
		assert_false(h1_end(h));
		h1_close(h);
		assert_string_equal(heard, "0:lost 0 \"\" ");
		assert_true(h1_is_finished(h));
		h1_free(h);
	}
}

static void test_malformed(void **state)
{
	struct h1 *h;
	size_t i, at, n;

	(void)state;
	for (i = 0; i < COUNT(malformed); i++) {
		n = strlen(malformed[i].in);
		for (at = 1; at <= n; at++) {
			h = begin();
			if (feed(h, malformed[i].in, n, at, n))
				fail_msg("taken: %s", malformed[i].in);
			if (strstr(h1_error(h), malformed[i].why) == NULL)
				fail_msg(
				    "%s: %s", malformed[i].in, h1_error(h));
			h1_close(h);
			assert_string_equal(heard, "0:lost 0 \"\" ");
			h1_free(h);
		}
	}
	/* a NUL */
	h = begin();
	assert_false(feed(h, OK "A: \0\r\n", sizeof(OK) + 5, 1, 1));
	h1_free(h);
}

static void test_next(void **state)
{
	static const char one[] = OK "Content-Length: 2\r\n\r\nhi";
	struct h1 *h = begin();

	(void)state;
	assert_false(h1_is_unheard(h)); /* the first may have been lost */
	assert_false(h1_request(h, post, 5, "", 0, owner + 1));
	assert_true(feed(h, one, sizeof(one) - 1, 1, 1));
	assert_true(h1_request(h, post, 5, "", 0, owner + 1));
	assert_true(h1_is_unheard(h));
	assert_true(feed(h, one, sizeof(one) - 1, 99, 99));
	assert_string_equal(heard, "0:done 200 \"hi\" 1:done 200 \"hi\" ");
	/* from the callback */
	assert_true(h1_request(h, post, 5, "", 0, owner));
	again = h;
	assert_true(feed(h, one, sizeof(one) - 1, 99, 99));
	assert_false(h1_is_ready(h));
	heard[0] = '\0';
	assert_true(feed(h, one, sizeof(one) - 1, 99, 99));
	assert_string_equal(heard, "2:done 200 \"hi\" ");
	/* the server closes an idle connection at any moment */
	heard[0] = '\0';
	assert_true(h1_request(h, post, 5, "", 0, owner));
	h1_close(h);
	assert_string_equal(heard, "0:unprocessed 0 \"\" ");
	h1_free(h);
	/* but not once it has begun to answer */
	h = begin();
	assert_true(feed(h, one, sizeof(one) - 1, 99, 99));
	heard[0] = '\0';
	assert_true(h1_request(h, post, 5, "", 0, owner));
	assert_true(feed(h, "H", 1, 1, 1));
	h1_close(h);
	assert_string_equal(heard, "0:lost 0 \"\" ");
	h1_free(h);
}

/* It would be taken for the next answer. */
static void test_unasked(void **state)
{
	static const char one[] = OK "Content-Length: 2\r\n\r\nhi";
	static const char two[] = OK "Content-Length: 2\r\n\r\nhi" OK;
	struct h1 *h = begin();

	(void)state;
	assert_true(feed(h, one, sizeof(one) - 1, 99, 99));
	assert_false(feed(h, "x", 1, 1, 1));
	assert_non_null(h1_error(h));
	h1_close(h);
	h1_free(h);

	h = begin();
	assert_true(feed(h, two, sizeof(two) - 1, 99, 99));
	assert_string_equal(heard, "0:done 200 \"hi\" ");
	assert_true(h1_is_finished(h));
	assert_false(h1_request(h, post, 5, "", 0, owner));
	assert_true(feed(h, "x", 1, 1, 1)); /* nobody listens any more */
	h1_free(h);

	h = h1_new(&ops, heard, BODY_MAX);
	assert_false(feed(h, OK, sizeof(OK) - 1, 1, 1));
	h1_free(h);
}

static void fill(struct h1 *h, const char *piece, size_t n)
{
	size_t i;

	for (i = 0; i < n && !h1_is_finished(h); i++)
		assert_true(feed(h, piece, strlen(piece), 99, 99));
}

static void test_limits(void **state)
{
	static const char ten[] = "0123456789";
	static const char chunk[] = "A\r\n0123456789\r\n";
	char big[9000];
	struct h1 *h = begin();

	(void)state;
	/* whatever the body's form is, at 64 KiB it is cut */
	assert_true(feed(
	    h, OK "Content-Length: 99999999\r\n\r\n", sizeof(OK) + 27, 99, 99));
	fill(h, ten, 7000);
	assert_string_equal(heard, "0:done 200 \"0123456789012345\" ");
	h1_free(h);
	h = begin();
	assert_true(feed(h, OK "\r\n", sizeof(OK) + 1, 99, 99));
	fill(h, ten, 7000);
	assert_string_equal(heard, "0:done 200 \"0123456789012345\" ");
	assert_true(h1_is_finished(h));
	h1_free(h);
	h = begin();
	assert_true(feed(h, OK "Transfer-Encoding: chunked\r\n\r\n",
	    sizeof(OK) + 29, 99, 99));
	fill(h, chunk, 7000);
	assert_string_equal(heard, "0:done 200 \"0123456789012345\" ");
	assert_true(h1_is_finished(h));
	h1_free(h);
	/* a head */
	h = begin();
	memset(big, 'a', sizeof(big));
	memcpy(big, OK "A: ", sizeof(OK) + 2);
	assert_false(feed(h, big, sizeof(big), 100, 100));
	assert_non_null(strstr(h1_error(h), "8 KiB"));
	h1_free(h);
}

static void test_interim(void **state)
{
	static const char early[] = "HTTP/1.1 103 Early Hints\r\n\r\n";
	struct h1 *h = begin();
	size_t n = 0;

	(void)state;
	while (n < 64 * 1024 && feed(h, early, sizeof(early) - 1, 99, 99))
		n += sizeof(early) - 1;
	assert_in_range(n, 64 * 1024 - sizeof(early), 64 * 1024 - 1);
	assert_string_equal(heard, "");
	assert_non_null(strstr(h1_error(h), "interim"));
	h1_free(h);
}

/* --- requests --- */

static const char *out(struct h1 *h)
{
	buf_add_byte(h1_out(h), 0);
	return (const char *)buf_head(h1_out(h));
}

static void test_requests(void **state)
{
	struct hpack_header list[6];
	struct h1 *h = begin();

	(void)state;
	assert_string_equal(out(h), "POST /a?b HTTP/1.1\r\nhost: h:99\r\n"
				    "ttl: 60\r\ncontent-length: 4\r\n\r\nbody");
	h1_free(h);
	/* one that has a length, one without a body, one that needs none */
	memcpy(list, post, sizeof(post));
	list[5] =
	    (struct hpack_header){ "content-length", "4", 14, 1, HPACK_INDEX };
	h = h1_new(&ops, heard, BODY_MAX);
	assert_true(h1_request(h, list, 6, "body", 4, owner));
	assert_string_equal(out(h), "POST /a?b HTTP/1.1\r\nhost: h:99\r\n"
				    "ttl: 60\r\ncontent-length: 4\r\n\r\nbody");
	h1_free(h);
	h = h1_new(&ops, heard, BODY_MAX);
	assert_true(h1_request(h, list, 4, NULL, 0, owner));
	assert_string_equal(out(h), "POST /a?b HTTP/1.1\r\nhost: h:99\r\n"
				    "content-length: 0\r\n\r\n");
	h1_free(h);
	list[0].value = "GET";
	list[0].value_len = 3;
	h = h1_new(&ops, heard, BODY_MAX);
	assert_true(h1_request(h, list, 4, NULL, 0, owner));
	assert_string_equal(out(h), "GET /a?b HTTP/1.1\r\nhost: h:99\r\n\r\n");
	h1_free(h);
}

/* The answer to a HEAD has a length, and no body. */
static void test_head(void **state)
{
	static const char in[] = OK "Content-Length: 2\r\n\r\n";
	struct hpack_header list[4];
	struct h1 *h = h1_new(&ops, heard, BODY_MAX);

	(void)state;
	heard[0] = '\0';
	memcpy(list, post, sizeof(list));
	list[0].value = "HEAD";
	assert_true(h1_request(h, list, 4, NULL, 0, owner));
	assert_true(feed(h, in, sizeof(in) - 1, 1, 1));
	assert_string_equal(heard, "0:done 200 \"\" ");
	assert_true(h1_is_ready(h));
	h1_free(h);
}

static void test_too_long(void **state)
{
	static char body[128 * 1024];
	struct h1 *h = h1_new(&ops, heard, BODY_MAX);

	(void)state;
	assert_false(h1_request(h, post, 5, body, sizeof(body), owner));
	assert_int_equal(h1_out(h)->len, 0);
	assert_true(h1_request(h, post, 5, body, sizeof(body) / 2, owner));
	h1_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_unasked),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_interim),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, map, NULL);
}
