/* api/no-line.c - in place of api/line.c: the plugin logs why. */
#include "api/int.h"

#include <stdio.h>

#include "features.h"

void api_handle_line(
    struct http_conn *conn, const struct http_line *line, void *arg)
{
	struct api *a = arg;
	char text[ERR_MAX];

	(void)line;
	a->counters.refused++;
	snprintf(text, sizeof(text), "ERROR %s", features_lack("line"));
	http_reply_line(conn, text);
}
