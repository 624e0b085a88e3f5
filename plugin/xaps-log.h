#ifndef XAPS_LOG_H
#define XAPS_LOG_H

/* Events of the modules, and how often an error is worth a line. */

struct event;
struct mail_user;

/* Kinds of lines beside statuses of HTTP and of lib-http (9000 and up). */
enum xaps_log_kind {
	XAPS_LOG_FULL = 1,
	XAPS_LOG_LEFT,
	XAPS_LOG_CAPABILITY,
	XAPS_LOG_OLD_SETTING,
};

/* Before the others; more than once does no harm. */
void xaps_log_init(struct mail_user *user);

/* Of category xaps, about one request of the user. */
struct event *xaps_event_create(struct mail_user *user);

/* TRUE once a minute and kind, for all processes of this Dovecot together. */
bool xaps_log_is_due(unsigned int kind);

#endif
