/* url_fuzz.c - what is taken can be put together again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), again[URL_MAX + 64], err[ERR_MAX];
	struct url u, v;

	memcpy(text, data, size);
	text[size] = '\0';
	if (url_parse(text, &u, err) == 0) {
		snprintf(again, sizeof(again), "%s://%s%s",
		    u.tls ? "https" : "http", u.authority, u.path);
		if (url_parse(again, &v, err) < 0 || u.port != v.port ||
		    strcmp(u.host, v.host) != 0 || u.path[0] != '/' ||
		    strcmp(u.path, v.path) != 0)
			abort();
	}
	free(text);
	return 0;
}
