/* guard_fuzz.c - any text as a host that a user names, and as pushAllow.  What the C
 * library reads as an address in whatever notation, and is let through, must be
 * one that is let through when we connect. */
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "mem.h"

static void check_host(const struct io_guard *g, const char *host)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST };
	struct addrinfo *found;
	char err[ERR_MAX] = "", *bare = xstrdup(host);
	size_t len = strlen(host);

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		memmove(bare, host + 1, len - 2);
		bare[len - 2] = '\0';
	}
	if (io_guard_check_host(g, host, 0, err) < 0) {
		if (err[0] == '\0')
			abort();
	} else if (getaddrinfo(bare, NULL, &hints, &found) == 0) {
		if (io_guard_refuses(g, host, (const void *)found->ai_addr) !=
		    NULL)
			abort();
		freeaddrinfo(found);
	}
	free(bare);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[ERR_MAX] = "", *text = xstrndup((const char *)data, size);
	struct io_guard *g = io_guard_new(NULL, err);

	check_host(g, text);
	if (io_guard_set(g, text, err) == 0)
		check_host(g, text);
	else if (err[0] == '\0')
		abort();
	io_guard_free(g);
	free(text);
	return 0;
}
