/* api/line.h - one request of the first-generation plugin, without I/O:
 *
 *   REGISTER aps-account-id="A"<TAB>aps-device-token="B"<TAB>...
 *       dovecot-mailboxes=("INBOX","Notes")
 *   NOTIFY dovecot-username="u"<TAB>dovecot-mailbox="INBOX"
 *
 * Fields come in any order; \" and \\ stand for themselves inside quotes. */
#ifndef API_LINE_H
#define API_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "log.h"

enum api_line_verb {
	API_LINE_REGISTER,
	API_LINE_NOTIFY,
};

/* Consecutive strings, each with its NUL. */
struct api_line_list {
	const char *first; /* NULL: the field is missing */
	size_t n;
};

/* A missing field is NULL. */
struct api_line {
	enum api_line_verb verb;
	const char *account, *token, *subtopic, *user, *mailbox;
	struct api_line_list mailboxes, events;
};

/* text: the line without its end.  strings receives the decoded strings: len + 1
 * bytes.  Unknown fields are skipped.  0, or -1 with err saying what is
 * wrong. */
int api_line_parse(const char *text, size_t len, char *strings,
    struct api_line *rq_r, char err[ERR_MAX]);

/* Ignores case. */
bool api_line_list_has(const struct api_line_list *l, const char *s);

#endif
