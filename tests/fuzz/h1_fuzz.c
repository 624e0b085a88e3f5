/* h1_fuzz.c - any bytes as a server's answers by HTTP/1.1: where the input is split
 * makes no difference.  The first two bytes choose the split. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "send/h1.h"

#define BODY_MAX 8
#define SEEN_MAX 65536

static void check(int ok)
{
	if (!ok)
		abort();
}

/* What was answered, in words. */
struct seen {
	char text[SEEN_MAX];
	size_t len;
	struct h1 *h;
	unsigned open;
};

static void on_header(void *arg, void *owner, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	struct seen *s = arg;

	(void)owner;
	check(name_len == 11 && memcmp(name, "retry-after", 11) == 0);
	check(memchr(value, '\n', value_len) == NULL);
	if (s->len < SEEN_MAX / 2)
		s->len += (size_t)snprintf(s->text + s->len, SEEN_MAX / 2,
		    "%.*s;", (int)value_len, value);
}

static const struct hpack_header get[] = {
	{ ":method", "POST", 7, 4, HPACK_INDEX },
	{ ":scheme", "https", 7, 5, HPACK_INDEX },
	{ ":path", "/", 5, 1, HPACK_INDEX },
	{ ":authority", "h", 10, 1, HPACK_INDEX },
};

static void on_response(void *arg, void *owner, const struct h2_response *r)
{
	struct seen *s = arg;

	(void)owner;
	check(s->open-- == 1 && r->body_len <= BODY_MAX);
	if (s->len < SEEN_MAX / 2)
		s->len += (size_t)snprintf(s->text + s->len, SEEN_MAX / 2,
		    "%d %d %.*s;", r->outcome, r->status, (int)r->body_len,
		    r->body != NULL ? (const char *)r->body : "");
	if (h1_request(s->h, get, 4, "x", 1, s))
		s->open++;
}

static const struct h2_ops ops = {
	.header = on_header,
	.response = on_response,
};

/* What is not used comes again, and ends where it ends. */
static int feed(struct h1 *h, const uint8_t *p, size_t n, size_t *used_r)
{
	unsigned char *copy = malloc(n ? n : 1);
	int used;

	memcpy(copy, p, n);
	used = h1_recv(h, copy, n);
	check(used < 0 ? h1_error(h) != NULL : (size_t)used <= n);
	*used_r += used > 0 ? (size_t)used : 0;
	free(copy);
	return used;
}

static void run(struct seen *s, const uint8_t *p, size_t n, size_t split)
{
	size_t used = 0;

	s->len = 0;
	s->text[0] = '\0';
	s->h = h1_new(&ops, s, BODY_MAX);
	s->open = h1_request(s->h, get, 4, "x", 1, s);
	if (feed(s->h, p, split, &used) >= 0)
		feed(s->h, p + used, n - used, &used);
	h1_end(s->h);
	h1_close(s->h);
	check(s->open == 0 && h1_is_finished(s->h));
	h1_free(s->h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen whole, split;
	size_t at;

	if (size < 2)
		return 0;
	at = (size_t)(data[0] << 8 | data[1]) % (size - 1);
	run(&whole, data + 2, size - 2, size - 2);
	run(&split, data + 2, size - 2, at);
	/* After an answer more is an error in one piece, and in two perhaps
	 * the next answer, or the end of an idle connection. */
	check(strncmp(whole.text, split.text, strcspn(whole.text, ";")) == 0);
	return 0;
}
