/* http_fuzz.c - heads and chunked bodies: where the input is split makes no
 * difference.  The first two bytes choose the split. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *copy(const void *p, size_t n)
{
	void *c = malloc(n ? n : 1); /* its end is watched */

	memcpy(c, p, n);
	return c;
}

static void check(int ok)
{
	if (!ok)
		abort();
}

static void fuzz_head(const char *in, size_t len, size_t split)
{
	struct http_head whole, part;
	char *a = copy(in, len), *b = copy(in, split);
	int verdict = http_parse_head(a, len, &whole);
	int rc = http_parse_head(b, split, &part);

	if (verdict >= 0 && (size_t)verdict <= split)
		check(rc == verdict && part.body == whole.body);
	else if (verdict == PARSE_BAD && rc == PARSE_BAD)
		check(part.status == whole.status && part.reason != NULL);
	else
		check(rc == PARSE_MORE);
	free(a);
	free(b);
}

static void fuzz_chunks(const char *in, size_t len, size_t split)
{
	struct http_chunked one = { 0 }, two = { 0 };
	char *a = copy(in, len), *b = copy(in, split);
	char *c = copy(in + split, len - split);
	size_t n = 0, n1 = 0, n2 = 0;
	bool done = false, done1 = false, done2 = false;
	int used = http_parse_chunks(&one, a, len, &n, &done);
	int used1 = http_parse_chunks(&two, b, split, &n1, &done1);
	int used2 = 0;

	if (used1 >= 0 && !done1)
		used2 = http_parse_chunks(&two, c, len - split, &n2, &done2);
	check((used < 0) == (used1 < 0 || used2 < 0));
	if (used >= 0) {
		check(done == (done1 || done2) && used == used1 + used2);
		check(n == n1 + n2 && memcmp(a, b, n1) == 0);
		check(memcmp(a + n1, c, n2) == 0);
	}
	free(a);
	free(b);
	free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *in = (const char *)data + 2;
	size_t split;

	if (size < 2)
		return 0;
	split = (size_t)(data[0] << 8 | data[1]) % (size - 1);
	fuzz_head(in, size - 2, split);
	fuzz_chunks(in, size - 2, split);
	return 0;
}
