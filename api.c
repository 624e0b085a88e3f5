/* api.c - routes, and who may use them; the api object. */
#include "api/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "cred.h"
#include "mem.h"
#include "text.h"

/* --- routes --- */

enum method {
	M_GET = 1,
	M_POST = 2,
	M_PUT = 4,
};

static const struct {
	char name[7];
	unsigned char bits;
} methods[] = {
	{ "GET", M_GET },
	{ "HEAD", M_GET },
	{ "POST", M_POST },
	{ "PUT", M_PUT },
};

enum route_flag {
	R_JSON = 1,  /* the body is JSON */
	R_OPEN = 2,  /* without authentication */
	R_ADMIN = 4, /* for the command line: 404 over TCP */
};

static const struct route {
	const char *path;
	unsigned methods, flags;
	void (*handle)(struct api_request *rq, struct http_conn *conn);
} routes[] = {
	{ "/", M_GET | M_POST, 0, api_handle_page },
	{ "/notify", M_POST, R_JSON, api_handle_notify },
	{ "/register", M_POST, R_JSON, api_handle_register },
	{ "/vapid", M_GET, 0, api_handle_vapid },
	{ "/confirm", M_POST, R_JSON, api_handle_confirm },
	{ "/unregister", M_POST, R_JSON, api_handle_unregister },
	{ "/subscriptions", M_POST, R_JSON, api_handle_subscriptions },
	{ "/seen", M_POST, R_JSON, api_handle_seen },
	{ "/preliminary/http-notify/v1/notify", M_PUT | M_POST, R_JSON,
	    api_handle_ox },
	{ "/healthz", M_GET, R_OPEN, api_handle_healthz },
	{ "/healthz/all", M_GET, R_OPEN, api_handle_healthz_all },
	{ "/healthz/credentials", M_GET, R_OPEN, api_handle_credentials },
	{ "/status", M_GET, 0, api_handle_status },
	{ "/metrics", M_GET, 0, api_handle_metrics },
	{ "/admin/list", M_POST, R_ADMIN | R_JSON, api_handle_list },
	{ "/admin/forget", M_POST, R_ADMIN | R_JSON, api_handle_forget },
	{ "/admin/import", M_POST, R_ADMIN, api_handle_import },
	{ "/admin/unknown", M_POST, R_ADMIN | R_JSON, api_handle_unknown },
	{ "/admin/push", M_POST, R_ADMIN | R_JSON, api_handle_push },
};

/* A 405's header line. */
static const char *allow(unsigned bits)
{
	return bits == M_GET  ? "Allow: GET, HEAD\r\n"
	       : bits & M_GET ? "Allow: GET, HEAD, POST\r\n"
	       : bits & M_PUT ? "Allow: PUT, POST\r\n"
			      : "Allow: POST\r\n";
}

static bool str_is(const struct http_str *s, const char *want)
{
	return strncmp(s->p, want, s->len) == 0 && want[s->len] == '\0';
}

static const struct route *find_route(const struct http_request *req)
{
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (str_is(&req->path, routes[i].path))
			return routes[i].flags & R_ADMIN && !req->over_unix
				   ? NULL
				   : &routes[i];
	return NULL;
}

static unsigned method_bits(const struct http_str *method)
{
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (str_is(method, methods[i].name))
			return methods[i].bits;
	return 0;
}

static void call_handler(
    struct api_request *rq, const struct route *r, struct http_conn *conn)
{
	if (r->flags & R_JSON && api_body_parse(rq) < 0)
		rq->status = 400;
	else
		r->handle(rq, conn);
	if (rq->status != 0)
		api_reply_text(conn, rq->status, rq->err);
	if (rq->err[0] != '\0')
		rq->api->counters.refused++;
}

/* Returns 0 if the request is allowed, else the status of the answer, with rq->err
 * set if it is not 401. */
static int refusal(struct api_request *rq, const struct route *r)
{
	if (api_is_foreign(rq->api, rq->req, rq->err))
		return 403;
	if ((r == NULL || !(r->flags & R_OPEN)) &&
	    !api_is_authorized(rq->api, rq->req)) {
		api_log_wrong_password(rq->api, rq->req);
		return 401;
	}
	if (r == NULL || !(r->flags & R_ADMIN) || api_is_admin(rq->req))
		return 0;
	api_explain_admin_only(rq->req, rq->err);
	return 403;
}

void api_handle(
    struct http_conn *conn, const struct http_request *req, void *arg)
{
	struct api_request rq = { .api = arg, .req = req };
	const struct route *r = find_route(req);
	int status = refusal(&rq, r);

	if (status != 0)
		rq.api->counters.denied++;
	if (status == 401)
		http_reply(conn, 401, TEXT,
		    "WWW-Authenticate: Basic realm=\"xapsd\"\r\n",
		    "wrong or missing user and password\n", 35);
	else if (status != 0)
		api_reply_text(conn, status, rq.err);
	else if (r == NULL)
		api_reply_text(conn, 404, "no such path");
	else if ((method_bits(&req->method) & r->methods) == 0)
		http_reply(
		    conn, 405, TEXT, allow(r->methods), "wrong method\n", 13);
	else
		call_handler(&rq, r, conn);
}

/* --- for the owner --- */

static char *basic_authorization(const char *user, const char *password)
{
	static const char basic[] = "Basic ";
	const size_t n = strlen(user) + 1 + strlen(password);
	char *plain = xmalloc(n + 1);
	char *out = xmalloc(strlen(basic) + TEXT_BASE64_SIZE(n));

	snprintf(plain, n + 1, "%s:%s", user, password);
	text_base64_write(plain, n, false, stpcpy(out, basic));
	mem_wipe(plain, n);
	free(plain);
	return out;
}

void api_set_cred(struct api *a, const struct cred *cred)
{
	a->cred = cred;
	store_set_topic(a->store, cred_topic(cred));
}

static void wipe_password(struct api *a)
{
	if (a->authorization != NULL)
		mem_wipe(a->authorization, strlen(a->authorization));
	free(a->authorization);
	a->authorization = NULL;
}

void api_set_password(struct api *a)
{
	const struct conf *c = a->conf;

	wipe_password(a);
	if (c->http_user != NULL && c->http_password != NULL)
		a->authorization =
		    basic_authorization(c->http_user, c->http_password);
}

struct api *api_new(struct loop *l, const struct conf *conf,
    struct store *store, struct commit *commit, struct push_queue *queue,
    const struct cred *cred)
{
	struct api *a = xcalloc(1, sizeof(*a));

	a->loop = l;
	a->conf = conf;
	a->store = store;
	a->commit = commit;
	a->queue = queue;
	a->cred = cred;
	a->started_ms = loop_now_ms(l);
	/* All names in a body, and a NUL for each mailbox, owner and canonical
	 * name. */
	buf_init(&a->names, HTTP_BODY_MAX + 3 * REG_MAILBOXES_MAX);
	buf_init(&a->out, API_OUT_MAX);
	store_set_topic(store, cred_topic(cred));
	api_set_password(a);
	return a;
}

void api_set_shared(struct api *a, const struct shared *shared)
{
	a->shared = shared;
}

void api_set_server(struct api *a, const struct http_server *server)
{
	a->server = server;
}

void api_free(struct api *a)
{
	if (a == NULL)
		return;
	wipe_password(a);
	api_trials_free(a);
	api_lookups_free(a);
	api_unknown_free(a);
	api_namesakes_free(a);
	free(a->toks);
	free(a->mailboxes);
	free(a->canonical);
	buf_free(&a->names);
	buf_free(&a->out);
	free(a);
}
