/* api/no-unknown.c - in a build without doctor, which alone asks for them. */
#include "api/int.h"

#include "features.h"

void api_keep_unknown(struct api *a, const char *user, bool seen)
{
	(void)a;
	(void)user;
	(void)seen;
}

void api_handle_unknown(struct api_request *rq, struct http_conn *conn)
{
	(void)rq;
	api_reply_text(conn, 404, features_lack("doctor"));
}

void api_unknown_free(struct api *a)
{
	(void)a;
}
