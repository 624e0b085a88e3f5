/* line_fuzz.c - any bytes as a line of the first generation's protocol. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/line.h"

static void check_list(
    const struct api_line_list *l, const char *room, size_t len)
{
	const char *p = l->first;
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (p < room || p >= room + len + 1)
			abort();
		p += strlen(p) + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *room = malloc(size + 1);
	struct api_line rq;
	char err[ERR_MAX] = "";

	memcpy(text, data, size);
	if (api_line_parse(text, size, room, &rq, err) == 0) {
		check_list(&rq.mailboxes, room, size);
		check_list(&rq.events, room, size);
		api_line_list_has(&rq.events, "MessageNew");
	} else if (err[0] == '\0') {
		abort();
	}
	free(text);
	free(room);
	return 0;
}
