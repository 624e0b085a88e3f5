/* webpush.h - Web Push to browsers and UnifiedPush apps: our VAPID key and what it
 * signs (RFC 8292), subscriptions, and content that only the app can read (RFC
 * 8291).  Knows neither connections nor registrations.
 *
 * A subscription is one text, five words separated by blanks:
 *   ENDPOINT P256DH AUTH KEY [CODE]
 * KEY is the beginning of our public key when the app subscribed: with another
 * key we cannot reach it.  CODE: the app has to confirm it by this first. */
#ifndef WEBPUSH_H
#define WEBPUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct conf;
struct webpush;

/* conf is borrowed; its vapidSubject may change.  Logs why the key cannot be read;
 * none is made yet. */
struct webpush *webpush_new(const struct conf *conf);
void webpush_free(struct webpush *w);
/* What the configuration's text shows.  0, or -1 with err set. */
int webpush_check_text(const struct conf *conf, char err[ERR_MAX]);

/* Our public key in base64url, as apps need it to subscribe.  The private one is
 * in the file databaseFile with ".vapid", which is made at the first call and
 * never overwritten.  Owned by w; NULL with err set. */
#define WEBPUSH_KEY_LEN 87
const char *webpush_key(struct webpush *w, char err[ERR_MAX]);

/* --- subscriptions --- */

#define WEBPUSH_ENDPOINT_MAX 1024 /* they have 150 to 400 */
#define WEBPUSH_CODE_MAX 64
/* Bytes of the text with its NUL; it fits into REG_TO_MAX. */
#define WEBPUSH_TO_MAX 1280

/* What an app sends, unchecked. */
struct webpush_sub {
	const char *endpoint, *p256dh, *auth;
	const char *code; /* "": nothing to confirm */
};

/* Checks a new subscription and writes its text.  0; -1 with err saying what is
 * wrong with it ("p256dh: …"); -2 with err: we have no key. */
int webpush_subscribe(struct webpush *w, const struct webpush_sub *sub,
    char to[WEBPUSH_TO_MAX], char err[ERR_MAX]);

enum webpush_state {
	WEBPUSH_ACTIVE,
	WEBPUSH_UNCONFIRMED,
	WEBPUSH_OTHER_KEY, /* subscribed with another key of ours */
	WEBPUSH_BAD,	   /* not such a text, or no key */
};
enum webpush_state webpush_state(struct webpush *w, const char *to);
/* Its code, "" if it has none. */
const char *webpush_code(const char *to);
/* Whether code is that of `to`; in constant time. */
bool webpush_confirms(const char *to, const char *code);
/* The text without its code. */
void webpush_confirm(const char *to, char out[WEBPUSH_TO_MAX]);

/* --- a push --- */

#define WEBPUSH_TOPIC_LEN 22
#define WEBPUSH_BODY_MAX 4096 /* what every service takes (RFC 8030 7.2) */

/* Names what is in a push, for its service to replace one that waits there; says
 * nothing to whoever does not know the subscription's secret. */
void webpush_topic(const char *to, const char *user, const char *mailbox,
    char out[WEBPUSH_TOPIC_LEN + 1]);
/* "vapid t=…, k=…" for an origin ("https://push.example"), made anew every 11
 * hours.  Owned by w, valid until the next call; NULL with err set: no key, or
 * the clock is not set. */
const char *webpush_auth(
    struct webpush *w, const char *origin, int64_t now_s, char err[ERR_MAX]);
/* The next webpush_auth() signs anew. */
void webpush_renew(struct webpush *w);
/* Encrypts content for the subscription, padded to a multiple of 256 bytes.
 * Returns the body's length; 0 if the subscription is damaged, or the content too
 * long. */
size_t webpush_encrypt(const char *to, const void *content, size_t len,
    unsigned char body[WEBPUSH_BODY_MAX]);

#endif
