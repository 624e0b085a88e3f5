/* api/line.c - registrations and notifications as lines from the first-generation
 * plugin: reads and serves them. */
#include "api/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/int.h"
#include "cred.h"
#include "mem.h"

#define KEY_SHOWN_MAX 40 /* characters of a bad field in a message */

static const struct {
	char word[12];
	enum api_line_verb verb;
} verbs[] = {
	{ "REGISTER ", API_LINE_REGISTER },
	{ "NOTIFY ", API_LINE_NOTIFY },
};

static const struct field {
	char key[20];
	bool list;
	unsigned char at;
} fields[] = {
#define STRING(key, field)                                                     \
	{                                                                      \
		key, false, offsetof(struct api_line, field)                   \
	}
#define LIST(key, field)                                                       \
	{                                                                      \
		key, true, offsetof(struct api_line, field)                    \
	}
	STRING("aps-account-id", account),
	STRING("aps-device-token", token),
	STRING("aps-subtopic", subtopic),
	STRING("dovecot-username", user),
	STRING("dovecot-mailbox", mailbox),
	LIST("dovecot-mailboxes", mailboxes),
	LIST("events", events),
#undef STRING
#undef LIST
};

struct scan {
	const char *p, *end;
	char *out; /* where the next string is written */
	const char *key;
	int key_len;
	char *err;
};

static int fail(const struct scan *s, const char *what)
{
	err_set(s->err, "%.*s: %s",
	    s->key_len > KEY_SHOWN_MAX ? KEY_SHOWN_MAX : s->key_len, s->key,
	    what);
	return -1;
}

static bool next_is(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* A quoted string; NULL with err set. */
static const char *scan_string(struct scan *s)
{
	const char *start = s->out;

	if (!next_is(s, '"')) {
		fail(s, "a \"quoted\" value is missing");
		return NULL;
	}
	for (; s->p < s->end && *s->p != '"'; s->p++) {
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		if (*s->p == '\0')
			break;
		*s->out++ = *s->p;
	}
	if (!next_is(s, '"')) {
		fail(s, "the closing quote is missing");
		return NULL;
	}
	*s->out++ = '\0';
	return start;
}

static int scan_list(struct scan *s, struct api_line_list *list)
{
	*list = (struct api_line_list){ .first = s->out };
	if (!next_is(s, '('))
		return fail(s, "a list in parentheses is missing");
	if (next_is(s, ')'))
		return 0;
	do {
		if (scan_string(s) == NULL)
			return -1;
		list->n++;
	} while (next_is(s, ','));
	return next_is(s, ')') ? 0 : fail(s, "the closing ) is missing");
}

static const struct field *find_field(const struct scan *s)
{
	size_t i, len = (size_t)s->key_len;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strlen(fields[i].key) == len &&
		    strncasecmp(fields[i].key, s->key, len) == 0)
			return &fields[i];
	return NULL;
}

static int scan_value(
    struct scan *s, const struct field *f, struct api_line *rq)
{
	struct api_line_list list;
	const char *string;
	void *to = f == NULL ? NULL : (char *)rq + f->at;
	bool is_list = f == NULL ? s->p < s->end && *s->p == '(' : f->list;

	/* Both types begin with a pointer that is NULL if it is not set. */
	if (f != NULL && *(const char **)to != NULL)
		return fail(s, "appears twice");
	if (is_list) {
		if (scan_list(s, &list) < 0)
			return -1;
		if (f != NULL)
			*(struct api_line_list *)to = list;
		return 0;
	}
	string = scan_string(s);
	if (string != NULL && f != NULL)
		*(const char **)to = string;
	return string != NULL ? 0 : -1;
}

static int scan_field(struct scan *s, struct api_line *rq)
{
	s->key = s->p;
	while (s->p < s->end && *s->p != '=' && *s->p != '\t')
		s->p++;
	s->key_len = (int)(s->p - s->key);
	if (s->key_len == 0 || !next_is(s, '='))
		return fail(s, "not a field of the form key=\"value\"");
	if (scan_value(s, find_field(s), rq) < 0)
		return -1;
	if (s->p < s->end && !next_is(s, '\t'))
		return fail(s, "fields must be separated by TAB");
	return 0;
}

int api_line_parse(const char *text, size_t len, char *strings,
    struct api_line *rq_r, char err[ERR_MAX])
{
	struct scan s = {
		.p = text, .end = text + len, .out = strings, .err = err
	};
	size_t i, n;

	memset(rq_r, 0, sizeof(*rq_r));
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		n = strlen(verbs[i].word);
		if (len < n || memcmp(text, verbs[i].word, n) != 0)
			continue;
		rq_r->verb = verbs[i].verb;
		s.p += n;
		while (s.p < s.end)
			if (scan_field(&s, rq_r) < 0)
				return -1;
		return 0;
	}
	err_set(err, "unknown command: REGISTER or NOTIFY is meant");
	return -1;
}

bool api_line_list_has(const struct api_line_list *l, const char *s)
{
	const char *p = l->first;
	size_t i;

	for (i = 0; i < l->n; i++, p += strlen(p) + 1)
		if (strcasecmp(p, s) == 0)
			return true;
	return false;
}

/* --- serving --- */

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
	const struct push_event *ev =
	    api_line_list_has(&in->events, "MessageNew") || in->events.n == 0
		? &push_new_mail
		: &push_other_event;
	const char *wrong = api_check_names(in->user, in->mailbox);

	if (wrong != NULL) {
		a->counters.refused++;
		reply_error(conn, wrong);
		return;
	}
	if (api_notify_mailbox(a, in->user, in->user, in->mailbox, ev) ==
	    PUSH_NO_CRED)
		reply_error(conn, api_lacks_cred(a, in->user));
	else
		http_reply_line(conn, "OK ");
}

static void line_serve(
    struct api *a, struct http_conn *conn, const struct api_line *in)
{
	const char *wrong = missing(in);

	if (wrong != NULL) {
		a->counters.refused++;
		reply_error(conn, wrong);
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
	char err[ERR_MAX], *strings;

	/* The line protocol has no password. */
	if (a->authorization != NULL && !line->over_unix) {
		a->counters.denied++;
		reply_error(conn,
		    "a password is needed here: use the Unix socket, or HTTP");
		return;
	}
	strings = xmalloc(line->len + 1);
	if (api_line_parse(line->text, line->len, strings, &in, err) < 0) {
		a->counters.refused++;
		reply_error(conn, err);
	} else {
		line_serve(a, conn, &in);
	}
	free(strings);
}
