/* apns.h - Apple's push service as a target: its headers, its JSON, its reasons.
 * The connection to it is a sender. */
#ifndef APNS_H
#define APNS_H

#include <stdbool.h>
#include <stddef.h>

#include "log.h"
#include "send.h"

struct apns;
struct conf;
struct cred;
struct loop;

#define APNS_NO_REASON "without a reason"

/* conf and cred are borrowed; the rest as for sender_new(). */
struct apns *apns_new(struct loop *l, const struct conf *conf,
    struct cred *cred, const struct send_ops *ops, void *arg, const char *label,
    struct send_gate *gate);
void apns_free(struct apns *a);
/* Ends with a.  After sender_stop() the credentials may be freed. */
struct sender *apns_sender(const struct apns *a);
/* What the text of the configuration alone shows (apnsProxy).  0, or -1 with err
 * set; it must be 0 for apns_new() and apns_set_cred(). */
int apns_check_text(const struct conf *conf, char err[ERR_MAX]);

/* Sends one push to a device as send_request() does, or SEND_NO_AUTH: err says why
 * no JWT could be made.  token: lower-case hex. */
enum send_sent apns_send(struct apns *a, const char *token, const void *payload,
    size_t len, void *owner, char err[ERR_MAX]);

/* Continues with these credentials and conf's current settings on a new
 * connection; requests on the old one still get their answers there.  The old
 * cred may be freed then. */
void apns_set_cred(struct apns *a, struct cred *cred);

/* Takes conf's current settings for what comes, without a new connection if there
 * is one; to be called when its strings have moved. */
void apns_refresh(struct apns *a);

/* What one of Apple's reasons means and what to do about it; "" if unknown. */
const char *apns_reason_words(const char *reason);

/* Fills reason and timestamp_ms from the JSON body of an error answer. */
void apns_read_answer(struct send_answer *an);

/* Whether requests have apns-expiration; true at first.  While the clock is not
 * set they have none in any case. */
void apns_set_expiration(struct apns *a, bool wanted);

/* Makes a new JWT for the next request. */
void apns_renew_auth(struct apns *a);

#endif
