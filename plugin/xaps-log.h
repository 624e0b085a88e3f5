#ifndef XAPS_LOG_H
#define XAPS_LOG_H

/* The modules' events, and a limit on how often an error is logged. */

struct event;
struct mail_user;

/* Kinds of messages, besides HTTP statuses and lib-http's (9000 and up). */
enum xaps_log_kind {
	XAPS_LOG_FULL = 1,
	XAPS_LOG_UNANSWERED,
	XAPS_LOG_CAPABILITY,
	XAPS_LOG_URL = 21, /* no status has this remainder, see xaps-log.c */
	XAPS_LOG_BROKEN,
	XAPS_LOG_AWAY,
};

/* To be called before the others; repeated calls do no harm. */
void xaps_log_init(struct mail_user *user);

/* Of category xaps, for one request of the user. */
struct event *xaps_event_create(struct mail_user *user);

/* TRUE at most once a minute for each kind, over all processes of this
   Dovecot. */
bool xaps_log_is_due(unsigned int kind);

#endif
