/* apns.h - Apple's connection: opened at start and held, reopened in the
 * background with growing pauses, checked by PING; request headers in, status and
 * reason out.  Knows no registrations: when to resend what is push's business. */
#ifndef APNS_H
#define APNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct apns;
struct conf;
struct cred;
struct loop;

/* Room for one of Apple's reasons with its NUL (the longest has 30). */
#define APNS_REASON_MAX 64

enum apns_outcome {
	APNS_ANSWERED,	  /* status and reason are Apple's */
	APNS_UNPROCESSED, /* surely not processed: send again at once */
	APNS_LOST,	  /* no telling: connection lost, reset or no answer */
};

struct apns_answer {
	enum apns_outcome outcome;
	int status;		      /* if ANSWERED */
	char reason[APNS_REASON_MAX]; /* "BadDeviceToken"; "" if none */
	int64_t timestamp_ms;	      /* of a 410, wall clock; 0 if none */
	int64_t retry_after_s;	      /* -1 if none */
};

struct apns_ops {
	/* Requests can be sent again: apns_capacity() went from 0 to more. */
	void (*capacity)(void *arg);
	/* The one and only end of a request.  May call apns_send(). */
	void (*answer)(void *arg, void *owner, const struct apns_answer *a);
};

enum apns_state {
	APNS_OFF,     /* no credentials */
	APNS_WAITING, /* for the next attempt */
	APNS_CONNECTING,
	APNS_UP,
};

struct apns_status {
	enum apns_state state;
	const char *host;
	int port;
	const char *peer;     /* of a connection that is up: address and port */
	const char *protocol; /* and its TLS version; else "" */
	const char *last_error; /* of the last failed connection; "" if none */
	uint64_t connections;	/* that came up since start */
	uint64_t resumed;	/* of these, by TLS session resumption */
};

/* conf and cred are borrowed.  Starts to connect at once. */
struct apns *apns_new(struct loop *l, const struct conf *conf,
    struct cred *cred, const struct apns_ops *ops, void *arg);
/* No callback follows. */
void apns_free(struct apns *a);

/* How many requests may be sent now. */
uint32_t apns_capacity(const struct apns *a);

enum apns_sent {
	APNS_SENT,
	APNS_FULL,    /* no room; ops->capacity tells when */
	APNS_NO_AUTH, /* err says why no JWT could be made */
};

/* One push to a device; everything is copied.  token: lower-case hex.  It leaves
 * with the others of this round, or with apns_flush(). */
enum apns_sent apns_send(struct apns *a, const char *token, const void *payload,
    size_t len, void *owner, char err[ERR_MAX]);

/* What was sent leaves now, in one write, and so one TLS record. */
void apns_flush(struct apns *a);

/* Goes on with these credentials, and with what conf says now, on a new
 * connection; what is under way on the old one is answered there.  The old cred
 * may be freed then. */
void apns_set_cred(struct apns *a, struct cred *cred);

/* What one of Apple's reasons means and what to do about it, "" if nothing is
 * known of it. */
const char *apns_reason_words(const char *reason);

/* Fills reason and timestamp_ms from the JSON body of an error answer; whatever
 * else it may be leaves them empty. */
void apns_read_body(
    struct apns_answer *an, const unsigned char *body, size_t len);

/* Whether requests say when Apple shall give up (apns-expiration): true until
 * told otherwise.  By a clock that was not set yet none does. */
void apns_set_expiration(struct apns *a, bool wanted);

/* Makes a new JWT for the next request. */
void apns_renew_auth(struct apns *a);

void apns_get_status(const struct apns *a, struct apns_status *status_r);

/* How long to wait after failures in a row: min_ms after the first, doubling, up to
 * max_ms; of that the upper half is random, so that devices and daemons spread. */
int64_t apns_backoff_ms(int64_t min_ms, int64_t max_ms, unsigned failures);

#endif
