/* api/no-page.c - in place of api/page.c and api/form.c. */
#include "api/int.h"

#include "features.h"

void api_handle_page(struct api_request *rq, struct http_conn *conn)
{
	(void)rq;
	api_reply_text(conn, 404, features_lack("page"));
}
