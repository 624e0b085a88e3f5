/* jsoncheck.c - jsoncheck FILE: exits 0 if it is valid JSON (RFC 8259), 1 with
 * "line:column: reason" if not, 2 if it cannot be read, 64 on wrong usage. */
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "json.h"
#include "mem.h"

#define CHUNK 65536
#define FILE_MAX ((size_t)1 << 29) /* json_parse() takes no more */

static bool read_all(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "rb");
	unsigned char *p;
	size_t n;

	if (f == NULL)
		return false;
	do {
		p = buf_reserve(b, CHUNK);
		n = p != NULL ? fread(p, 1, CHUNK, f) : 0;
		if (n > 0)
			buf_added(b, n);
	} while (n > 0);
	n = (size_t)ferror(f);
	fclose(f);
	return n == 0 && p != NULL;
}

int main(int argc, char **argv)
{
	struct buf b = BUF_INIT(FILE_MAX);
	struct json_tok *toks;
	struct json_err err;
	int n;

	if (argc != 2) {
		fprintf(stderr, "usage: jsoncheck FILE\n");
		return 64;
	}
	if (!read_all(argv[1], &b)) {
		perror(argv[1]);
		return 2;
	}
	/* With tokens the depth has no limit.  No value is shorter than a
	 * byte. */
	toks = xmalloc((b.len + 1) * sizeof(*toks));
	n = json_parse(
	    (const char *)buf_head(&b), b.len, toks, b.len + 1, &err);
	free(toks);
	buf_free(&b);
	if (n < 0)
		printf("%zu:%zu: %s\n", err.line, err.column, err.reason);
	return n < 0;
}
