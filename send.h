/* send.h - connections to one server that takes requests over HTTP: Apple's, or a
 * push service, or whatever a hook calls.  Opened at start and kept open, or when
 * something is to be sent; reopened after growing pauses.  Sends a request,
 * reports the answer.  Knows nothing of what is in them: what is sent again, and
 * when, is up to push. */
#ifndef SEND_H
#define SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct conf;
struct hpack_header;
struct io_guard;
struct loop;
struct sender;
struct tls_ctx;
struct url;

enum send_outcome {
	SEND_ANSWERED,	  /* status is the server's */
	SEND_UNPROCESSED, /* certainly not processed: send again at once */
	SEND_LOST, /* unknown: connection lost, stream reset or no answer */
};

/* Size of a reason with its NUL (the longest of Apple's has 30). */
#define SEND_REASON_MAX 64

struct send_answer {
	enum send_outcome outcome;
	int status;		   /* if ANSWERED */
	int64_t retry_after_s;	   /* -1 if none */
	const unsigned char *body; /* the first body_max bytes, without a NUL;
				    * for the callback only */
	size_t body_len;
	/* For whoever understands the body; the sender leaves them empty. */
	char reason[SEND_REASON_MAX];
	int64_t timestamp_ms;
};

struct send_ops {
	/* Requests can be sent again: sender_capacity() went from 0 to
	 * more. */
	void (*capacity)(void *arg);
	/* The end of a request, exactly once; the answer may be changed.  May
	 * call send_request(). */
	void (*answer)(void *arg, void *owner, struct send_answer *an);
	/* An attempt to connect has failed, or the connection; may be NULL. */
	void (*failed)(void *arg);
	/* Of one with a gate: whether something is to be sent now. */
	bool (*wanted)(void *arg);
};

/* How long answers took: a count for each of the limits and one for what is
 * beyond them, and the sum. */
#define SEND_N_LATENCIES 9
extern const unsigned short send_latency_limits_ms[SEND_N_LATENCIES - 1];
struct send_latency {
	uint64_t n[SEND_N_LATENCIES];
	uint64_t sum_ms;
};

enum send_state {
	SEND_OFF,     /* no credentials */
	SEND_IDLE,    /* nothing is to be sent */
	SEND_WAITING, /* for the next attempt */
	SEND_CONNECTING,
	SEND_UP,
};

/* In one word. */
const char *send_state_name(enum send_state state);

struct send_status {
	enum send_state state;
	const char *host;
	int port;
	const char *proxy;	/* host:port; "" if none */
	bool past_proxy;	/* so far the last failed attempt came */
	const char *peer;	/* address and port, if up; else "" */
	const char *protocol;	/* TLS version, if up; else "" */
	const char *last_error; /* of the last failed attempt; "" if none */
	/* How long there has been no connection of use; 0: there is one.  One
	 * that ends before the server has answered anything is of no use. */
	int64_t down_ms;
	uint64_t connections; /* opened since start */
	uint64_t resumed;     /* of these, with TLS session resumption */
	struct send_latency latency;
};

/* Whom to reach, and how.  host is copied, the rest of what pointers point to is
 * borrowed until there is another target or, for tls, the sender was stopped. */
struct send_target {
	const char *name; /* "apns": begins its lines in the log */
	const char *host;
	int port;
	struct tls_ctx *tls;   /* NULL: without TLS */
	const char *proxy_url; /* one that io_proxy_new() takes, or NULL; not
				 * needed after the call */
	const char *only_h2;   /* HTTP/2 is a must: what to do without; NULL:
			       * HTTP/1.1 will do, one request at a time */
	const struct io_guard *guard; /* NULL: any address */
	int64_t timeout_ms; /* for opening a connection, and for an answer */
	int64_t idle_ms;    /* with a gate: closed when unused for so long */
	int64_t retry_min_ms, retry_max_ms; /* pauses between attempts */
	size_t body_max; /* kept of an answer's body: up to 32,767 */
	bool off;	 /* not to be reached for now */
};

/* Of many connections: each is opened when ops->wanted, and closed when it was not
 * used for idle_ms.  At most 16 of them are being opened (brief), or are open; then
 * those that are not used make room, or whose server has not answered for 5 s.
 * Freed by free(), after them. */
struct send_gate;
struct send_gate *send_gate_new(bool brief);

/* Starts connecting at once, and again whenever the connection is lost; gate not
 * NULL: when it is needed.  label: whose it is, in messages after the target's name,
 * borrowed. */
struct sender *sender_new(struct loop *l, const struct send_target *to,
    const struct send_ops *ops, void *arg, const char *label,
    struct send_gate *gate);
/* No callback is called any more. */
void sender_free(struct sender *s);
/* With a gate: opens the connection if it is wanted and there is none. */
void sender_need(struct sender *s);
/* With a gate: there is no connection because none was needed. */
bool sender_is_idle(const struct sender *s);
/* Opens no connection any more; what is under way still gets its answers. */
void sender_stop(struct sender *s);
/* Continues there on a new connection; requests on the old one still get their
 * answers. */
void sender_set_target(struct sender *s, const struct send_target *to);
/* The same for what comes, without a new connection if there is one. */
void sender_refresh(struct sender *s, const struct send_target *to);

/* The same with another context, for a target with TLS.  The old one may be freed at
 * the end of the round. */
void sender_set_tls(struct sender *s, struct tls_ctx *tls);

/* How many requests may be sent now. */
uint32_t sender_capacity(const struct sender *s);

enum send_sent {
	SEND_SENT,
	SEND_FULL,    /* no capacity; ops->capacity reports when there is */
	SEND_BAD,     /* too long, or with a character that no header has */
	SEND_NO_AUTH, /* of a target: err says why it has no credentials */
};

/* Sends one request; everything is copied.  The list begins with :method, :scheme,
 * :path and :authority.  It is written together with others at the end of the
 * loop's round, or by sender_flush(). */
enum send_sent send_request(struct sender *s, const struct hpack_header *list,
    size_t n, const void *body, size_t len, void *owner);

/* Write headers into a list, borrowed; return where the next one goes.  post: the
 * four that a POST to that server begins with. */
struct hpack_header *send_put(
    struct hpack_header *h, const char *name, const char *value);
struct hpack_header *send_put_post(
    struct hpack_header *h, const struct url *u, const char *path);

/* A connection to where u leads, by the configuration, for at once; nothing of an
 * answer is kept.  *trust is made if it is NULL and needed: -1 with err set if caFile
 * cannot be read. */
int send_web_target(const struct conf *conf, const char *name,
    const struct url *u, struct tls_ctx **trust, struct send_target *to_r,
    char err[ERR_MAX]);

/* Writes what was sent, with one write and so as one TLS record. */
void sender_flush(struct sender *s);

void sender_get_status(const struct sender *s, struct send_status *status_r);

#endif
