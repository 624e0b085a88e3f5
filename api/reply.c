/* api/reply.c - answers: at once, or when the disk has what they confirm. */
#include "api/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cred.h"
#include "json.h"
#include "mem.h"

/* A client whose answer waits for the disk. */
struct waiter {
	struct commit_waiter commit;
	struct http_conn *conn;
	enum api_reply_kind kind;
	char *text; /* owned */
};

void api_reply_text(struct http_conn *conn, int status, const char *text)
{
	char line[ERR_MAX + 2];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	http_reply(conn, status, TEXT, NULL, line,
	    n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void api_refuse(struct api_request *rq, int status, const char *why)
{
	err_set(rq->err, "%s", why);
	rq->status = status;
}

void api_reply_done(
    struct http_conn *conn, enum api_reply_kind kind, const char *text)
{
	char line[CRED_TOPIC_MAX + 4];

	switch (kind) {
	case API_REPLY_TOPIC:
	case API_REPLY_ACCEPTED:
		http_reply(conn, kind == API_REPLY_TOPIC ? 200 : 202, TEXT,
		    NULL, text, strlen(text));
		break;
	case API_REPLY_NONE:
		http_reply(conn, 204, NULL, NULL, NULL, 0);
		break;
	case API_REPLY_LINE:
		snprintf(line, sizeof(line), "OK %s", text);
		http_reply_line(conn, line);
		break;
	case API_REPLY_JSON:
		http_reply(conn, 200, JSON, NULL, text, strlen(text));
		break;
	}
}

static void reply_disk_failed(
    struct http_conn *conn, enum api_reply_kind kind, const char *err)
{
	char text[ERR_MAX + 64];

	snprintf(text, sizeof(text), "%s%s; the %s is kept in memory only",
	    kind == API_REPLY_LINE ? "ERROR " : "", err,
	    kind == API_REPLY_JSON || kind == API_REPLY_NONE ? "change"
							     : "registration");
	if (kind == API_REPLY_LINE)
		http_reply_line(conn, text);
	else
		api_reply_text(conn, 503, text);
}

static void on_committed(void *arg, const char *err)
{
	struct waiter *w = arg;

	if (err == NULL)
		api_reply_done(w->conn, w->kind, w->text);
	else
		reply_disk_failed(w->conn, w->kind, err);
	free(w->text);
	free(w);
}

void api_reply_durable(
    struct api *a, struct http_conn *conn, enum api_reply_kind kind, char *text)
{
	struct waiter *w;

	if (!store_is_dirty(a->store)) {
		api_reply_done(conn, kind, text);
		free(text);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->conn = conn;
	w->kind = kind;
	w->text = text;
	commit_wait(a->commit, &w->commit, on_committed, w);
}

void api_reply_registered(struct api *a, struct http_conn *conn,
    enum api_reply_kind kind, const struct reg *r)
{
	const struct push_lane *lane = push_user_lane(a->queue, reg_user(r));
	const char *topic = cred_topic(push_cred(lane));

	if (store_is_durable(a->store, r))
		api_reply_done(conn, kind, topic);
	else
		api_reply_durable(a, conn, kind, xstrdup(topic));
}

void api_write_figure(struct buf *b, const char *help, uint64_t value)
{
	json_open(b, NULL, '{');
	json_add_str(b, "help", help);
	json_add_num(b, "value", (int64_t)value);
	buf_add_byte(b, '}');
}
