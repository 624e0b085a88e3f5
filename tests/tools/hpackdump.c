/* hpackdump.c - decodes HPACK from standard input: lines `size <n>` (a new
 * limit of the table) and `<hex of one header block>`, all with one decoder.
 * Prints each header as `name: value` and an empty line after each block.  On a
 * decoding error prints `error: ...` and exits 1; on any other line exits
 * 64. */
#include "h2/hpack.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX (1 << 20)	 /* bytes; no limit that a test would meet */
#define TABLE_LIMIT (64UL << 20) /* bytes; so that a typo costs no memory */

static int print_header(void *arg, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	(void)arg;
	fwrite(name, 1, name_len, stdout);
	fputs(": ", stdout);
	fwrite(value, 1, value_len, stdout);
	putchar('\n');
	return 0;
}

static int take_size(struct hpack_dec *d, const char *s)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (*s < '0' || *s > '9' || *end != '\0' || errno != 0 ||
	    v > TABLE_LIMIT)
		return 64;
	hpack_dec_set_max(d, v);
	return 0;
}

static int take_block(struct hpack_dec *d, char *s, size_t len)
{
	const char *reason = NULL;

	/* In place: no byte is written before its digits were read. */
	if (len % 2 != 0 || !text_hex_read(s, len, s))
		return 64;
	if (hpack_decode(d, (unsigned char *)s, len / 2, print_header, NULL,
		&reason) != HPACK_OK) {
		printf("error: %s\n", reason);
		return 1;
	}
	putchar('\n');
	return 0;
}

int main(void)
{
	struct hpack_dec *d = hpack_dec_new(HPACK_TABLE_DEFAULT, LIST_MAX);
	char *line = NULL;
	size_t cap = 0, number = 0;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = getline(&line, &cap, stdin)) >= 0) {
		while (n > 0 && strchr("\r\n", line[n - 1]) != NULL)
			n--;
		line[n] = '\0';
		number++;
		rc = strncmp(line, "size ", 5) == 0
			 ? take_size(d, line + 5)
			 : take_block(d, line, (size_t)n);
	}
	if (rc == 64)
		fprintf(stderr,
		    "hpackdump: line %zu is neither `size <n>` nor hex\n",
		    number);
	free(line);
	hpack_dec_free(d);
	return fflush(stdout) != 0 && rc == 0 ? 1 : rc;
}
