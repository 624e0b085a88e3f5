/* url_fuzz.c - any text as a URL: what is accepted means the same when it is put
 * together again, and holds nothing that could end a line or a host. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "url.h"

static void check(int ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[URL_MAX + 32], authority[URL_AUTHORITY_MAX];
	char err[ERR_MAX] = "", *text = xstrndup((const char *)data, size);
	struct url u, v;
	size_t i;

	if (url_parse(text, &u, err) < 0) {
		check(err[0] != '\0');
		free(text);
		return 0;
	}
	check(url_authority(&u, authority) == strlen(authority));
	check(authority[strcspn(authority, "/?#@\\% ")] == '\0');
	check(u.path_len > 0 && u.path[0] == '/');
	for (i = 0; i < u.path_len; i++)
		check(u.path[i] > ' ' && u.path[i] < 0x7f && u.path[i] != '#');
	snprintf(again, sizeof(again), "%s://%s%.*s", u.tls ? "https" : "http",
	    authority, (int)u.path_len, u.path);
	check(strlen(again) > URL_MAX || url_parse(again, &v, err) == 0);
	check(strlen(again) > URL_MAX ||
	      (url_same_origin(&u, &v) && u.path_len == v.path_len));
	free(text);
	return 0;
}
