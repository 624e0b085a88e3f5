/* fcm.h - Firebase Cloud Messaging (HTTP v1) for one service account: gets access
 * tokens from Google (OAuth 2.0, RFC 7523), writes messages, reads answers.  Sends
 * no messages itself. */
#ifndef FCM_H
#define FCM_H

#include <stddef.h>
#include <stdint.h>

#include "h2.h"
#include "log.h"
#include "send.h"

struct buf;
struct cred_service;
struct fcm;
struct loop;
struct url;

/* to: how Google is reached, all but the host, which the key file names.
 * account and what is in to are borrowed; ready is called when fcm_bearer() may
 * say something else than SEND_FULL. */
struct fcm *fcm_new(struct loop *l, const struct cred_service *account,
    const struct send_target *to, void (*ready)(void *arg), void *arg,
    const char *label, struct send_gate *gate);
/* No callback is called any more. */
void fcm_free(struct fcm *f);

/* SEND_SENT: *bearer_r is "Bearer <access token>", valid until the next call.
 * SEND_FULL: it was asked for, one request for all who wait.  SEND_NO_AUTH: err
 * says what Google has against the account; it is asked again by the next call,
 * which should not come at once. */
enum send_sent fcm_bearer(
    struct fcm *f, const char **bearer_r, char err[ERR_MAX]);
/* The token was refused: the next call gets another one. */
void fcm_renew(struct fcm *f);
/* Why there is no token, as far as the way to Google goes; "": nothing is wrong. */
const char *fcm_trouble(const struct fcm *f);

/* The headers of a message to fcmUrl's server, all of it borrowed. */
#define FCM_N_HEADERS 6
#define FCM_PATH_MAX 128
void fcm_headers(const struct fcm *f, const struct url *u, const char *bearer,
    char path[FCM_PATH_MAX], struct hpack_header list[FCM_N_HEADERS]);

struct fcm_message {
	const char *token, *user, *mailbox;
	const char *event; /* "new" */
	bool urgent;	   /* wakes the device at once */
	int64_t ttl_s;	   /* how long Google keeps it for the device */
};
#define FCM_MESSAGE_MAX 12288 /* names and token with everything escaped */
void fcm_write_message(struct buf *b, const struct fcm_message *m);

/* Fills in the reason: "UNREGISTERED". */
void fcm_read_answer(struct send_answer *an);
/* What one means and what to do about it; "" if unknown. */
const char *fcm_reason_words(const char *reason);

#endif
