/* api/no-apps.c - in the place of api/apps.c in a build without any kind that apps
 * register with. */
#include "api/int.h"

#include <string.h>

#include "features.h"

static void refuse(struct api_request *rq, struct http_conn *conn)
{
	(void)rq;
	api_reply_text(conn, 501, features_lack("webpush"));
}

void api_handle_register(struct api_request *rq, struct http_conn *conn)
{
	const struct json_tok *t = json_get(&rq->j, rq->j.toks, "Kind");
	char name[sizeof("apple")];

	if (t != NULL && (json_string(&rq->j, t, name, sizeof(name)) < 0 ||
			     strcmp(name, "apple") != 0))
		refuse(rq, conn);
	else
		api_handle_apple(rq, conn);
}

void api_handle_vapid(struct api_request *rq, struct http_conn *conn)
{
	refuse(rq, conn);
}

void api_handle_confirm(struct api_request *rq, struct http_conn *conn)
{
	refuse(rq, conn);
}

void api_handle_unregister(struct api_request *rq, struct http_conn *conn)
{
	refuse(rq, conn);
}

void api_handle_subscriptions(struct api_request *rq, struct http_conn *conn)
{
	refuse(rq, conn);
}

void api_lookups_free(struct api *a)
{
	(void)a;
}
