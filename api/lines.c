/* api/lines.c - registrations and notifications as lines from the first-generation
 * plugin. */
#include "api/int.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/line.h"
#include "cred.h"
#include "mem.h"

static void reply_error(struct http_conn *conn, const char *reason)
{
	char text[ERR_MAX + 16];

	snprintf(text, sizeof(text), "ERROR %s", reason);
	http_reply_line(conn, text);
}

/* NULL, or what is missing. */
static const char *missing(const struct api_line *in)
{
	if (in->user == NULL)
		return "dovecot-username is missing";
	if (in->verb == API_LINE_NOTIFY)
		return in->mailbox == NULL ? "dovecot-mailbox is missing"
					   : NULL;
	if (in->account == NULL)
		return "aps-account-id is missing";
	if (in->token == NULL)
		return "aps-device-token is missing";
	if (in->subtopic == NULL)
		return "aps-subtopic is missing";
	return in->mailboxes.first == NULL ? "dovecot-mailboxes is missing"
					   : NULL;
}

/* Not acked: that plugin does not send the `mailbox` lines to the phone. */
static void line_register(
    struct api *a, struct http_conn *conn, const struct api_line *in)
{
	const struct api_line_list *boxes = &in->mailboxes;
	struct reg_spec spec = {
		.user = in->user,
		.account = in->account,
		.token = in->token,
		.n_mailboxes = boxes->n,
	};
	const char *wrong = "more than 1000 mailboxes";
	const struct reg *r;
	char err[ERR_MAX];

	if (boxes->n <= REG_MAILBOXES_MAX) {
		api_set_mailboxes(a, boxes->first, boxes->n);
		spec.mailboxes = a->mailboxes;
		wrong = api_check_registration(&spec, in->subtopic);
	}
	if (wrong != NULL) {
		a->counters.refused++;
		reply_error(conn, wrong);
		return;
	}
	r = api_register_device(a, &spec, err);
	if (r == NULL)
		reply_error(conn, err);
	else
		api_reply_registered(a, conn, API_REPLY_LINE, r);
}

/* If no device watches it that is no error: the plugin would log each. */
static void line_notify(
    struct api *a, struct http_conn *conn, const struct api_line *in)
{
	bool now =
	    in->events.n == 0 || api_line_list_has(&in->events, "MessageNew");
	const char *wrong = api_check_names(in->user, in->mailbox);

	if (wrong != NULL) {
		a->counters.refused++;
		reply_error(conn, wrong);
		return;
	}
	api_notify_mailbox(a, in->user, in->user, in->mailbox, now);
	http_reply_line(conn, "OK ");
}

static void line_serve(
    struct api *a, struct http_conn *conn, const struct api_line *in)
{
	const char *wrong = missing(in);

	if (wrong != NULL) {
		a->counters.refused++;
		reply_error(conn, wrong);
	} else if (cred_kind(a->cred) == CRED_NONE) {
		reply_error(conn, push_trouble(a->queue));
	} else if (in->verb == API_LINE_REGISTER) {
		line_register(a, conn, in);
	} else {
		line_notify(a, conn, in);
	}
}

void api_handle_line(
    struct http_conn *conn, const struct http_line *line, void *arg)
{
	struct api_line in;
	struct api *a = arg;
	char err[ERR_MAX], *room;

	/* The line protocol has no password. */
	if (a->authorization != NULL && !line->over_unix) {
		a->counters.denied++;
		reply_error(conn,
		    "a password is needed here: use the Unix socket, or HTTP");
		return;
	}
	room = xmalloc(line->len + 1);
	if (api_line_parse(line->text, line->len, room, &in, err) < 0) {
		a->counters.refused++;
		reply_error(conn, err);
	} else {
		line_serve(a, conn, &in);
	}
	free(room);
}
