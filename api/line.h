/* api/line.h - one request of the first-generation plugin, without I/O:
 *
 *   REGISTER aps-account-id="A"<TAB>aps-device-token="B"<TAB>...
 *       dovecot-mailboxes=("INBOX","Notes")
 *   NOTIFY dovecot-username="u"<TAB>dovecot-mailbox="INBOX"
 *
 * Fields come in any order; \" and \\ stand for themselves inside quotes. */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "log.h"

enum line_verb {
	LINE_REGISTER,
	LINE_NOTIFY,
};

/* Strings one behind the other, each with its NUL. */
struct line_list {
	const char *first; /* NULL: the field is not there */
	size_t n;
};

/* What is not there is NULL. */
struct line_request {
	enum line_verb verb;
	const char *account, *token, *subtopic, *user, *mailbox;
	struct line_list mailboxes, events;
};

/* text: the line without its end.  room takes the decoded strings: len + 1
 * bytes.  Unknown fields are skipped.  0, or -1 with err saying what is
 * wrong. */
int line_parse(const char *text, size_t len, char *room,
    struct line_request *rq_r, char err[ERR_MAX]);

/* Compared without regard to case. */
bool line_list_has(const struct line_list *l, const char *s);

#endif
