/* apns.h - the connection to Apple: opened at start and kept open, reopened after
 * growing pauses, checked by PING.  Sends a push, reports status and reason.
 * Knows no registrations: what is sent again, and when, is up to push. */
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

/* Size of a reason with its NUL (the longest of Apple's has 30). */
#define APNS_REASON_MAX 64
#define APNS_NO_REASON "without a reason"

enum apns_outcome {
	APNS_ANSWERED,	  /* status and reason are Apple's */
	APNS_UNPROCESSED, /* certainly not processed: send again at once */
	APNS_LOST, /* unknown: connection lost, stream reset or no answer */
};

struct apns_answer {
	enum apns_outcome outcome;
	int status;		      /* if ANSWERED */
	char reason[APNS_REASON_MAX]; /* "BadDeviceToken"; "" if it is good */
	int64_t timestamp_ms;	      /* of a 410, wall clock; 0 if none */
	int64_t retry_after_s;	      /* -1 if none */
};

struct apns_ops {
	/* Requests can be sent again: apns_capacity() went from 0 to more. */
	void (*capacity)(void *arg);
	/* The end of a request, exactly once.  May call apns_send(). */
	void (*answer)(void *arg, void *owner, const struct apns_answer *a);
	/* An attempt to connect has failed, or the connection; may be NULL. */
	void (*failed)(void *arg);
	/* Of one with a gate: whether something is to be sent now. */
	bool (*wanted)(void *arg);
};

/* How long Apple's answers took: a count for each of the limits and one for what
 * is beyond them, and the sum. */
#define APNS_N_LATENCIES 9
extern const unsigned short apns_latency_limits_ms[APNS_N_LATENCIES - 1];
struct apns_latency {
	uint64_t n[APNS_N_LATENCIES];
	uint64_t sum_ms;
};

enum apns_state {
	APNS_OFF,     /* no credentials */
	APNS_IDLE,    /* nothing is to be sent */
	APNS_WAITING, /* for the next attempt */
	APNS_CONNECTING,
	APNS_UP,
};

/* In one word. */
const char *apns_state_name(enum apns_state state);

struct apns_status {
	enum apns_state state;
	const char *host;
	int port;
	const char *proxy;	/* host:port; "" if none */
	bool past_proxy;	/* so far the last failed attempt came */
	const char *peer;	/* address and port, if up; else "" */
	const char *protocol;	/* TLS version, if up; else "" */
	const char *last_error; /* of the last failed attempt; "" if none */
	/* How long there has been no connection of use; 0: there is one.  One
	 * that ends before Apple has answered anything is of no use. */
	int64_t down_ms;
	uint64_t connections; /* opened since start */
	uint64_t resumed;     /* of these, with TLS session resumption */
	struct apns_latency latency;
};

/* Of many connections: each is opened when ops->wanted, and closed after 10
 * minutes without a push; not more than a few are opened at once.  To be freed
 * after them. */
struct apns_gate;
struct apns_gate *apns_gate_new(void);

/* conf and cred are borrowed.  Starts connecting at once; gate not NULL: when it is
 * needed.  label: whose it is, at the beginning of messages. */
struct apns *apns_new(struct loop *l, const struct conf *conf,
    struct cred *cred, const struct apns_ops *ops, void *arg, const char *label,
    struct apns_gate *gate);
/* With a gate: opens the connection if it is wanted and there is none. */
void apns_need(struct apns *a);
/* With a gate: there is no connection because none was needed. */
bool apns_is_idle(const struct apns *a);
/* Opens no connection any more; what is under way still gets its answers.  The
 * credentials may be freed. */
void apns_stop(struct apns *a);
/* No callback is called any more. */
void apns_free(struct apns *a);
/* What the text of the configuration alone shows (apnsProxy).  0, or -1 with err
 * set; it must be 0 for apns_new() and apns_set_cred(). */
int apns_check_text(const struct conf *conf, char err[ERR_MAX]);

/* How many requests may be sent now. */
uint32_t apns_capacity(const struct apns *a);

enum apns_sent {
	APNS_SENT,
	APNS_FULL,    /* no capacity; ops->capacity reports when there is */
	APNS_NO_AUTH, /* err says why no JWT could be made */
};

/* Sends one push to a device; everything is copied.  token: lower-case hex.  It
 * is written together with others at the end of the loop's round, or by
 * apns_flush(). */
enum apns_sent apns_send(struct apns *a, const char *token, const void *payload,
    size_t len, void *owner, char err[ERR_MAX]);

/* Writes what was sent, with one write and so as one TLS record. */
void apns_flush(struct apns *a);

/* Continues with these credentials and conf's current settings on a new
 * connection; requests on the old one still get their answers there.  The old
 * cred may be freed then. */
void apns_set_cred(struct apns *a, struct cred *cred);

/* Takes conf's current settings for what comes, without a new connection if there
 * is one; to be called when its strings have moved. */
void apns_refresh(struct apns *a);

/* What one of Apple's reasons means and what to do about it; "" if unknown. */
const char *apns_reason_words(const char *reason);

/* Fills reason and timestamp_ms from the JSON body of an error answer.  Any other
 * body leaves them empty. */
void apns_read_body(
    struct apns_answer *an, const unsigned char *body, size_t len);

/* Whether requests have apns-expiration; true at first.  While the clock is not
 * set they have none in any case. */
void apns_set_expiration(struct apns *a, bool wanted);

/* Makes a new JWT for the next request. */
void apns_renew_auth(struct apns *a);

void apns_get_status(const struct apns *a, struct apns_status *status_r);

#endif
