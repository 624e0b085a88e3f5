/* cred.h - our credentials at Apple, a token key (JWT) or a certificate; and
 * the certificate of our own TLS listener. */
#ifndef CRED_H
#define CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct buf;
struct conf;
struct cred;
struct tls_ctx;
struct tls_key;

/* Bytes of a topic with its NUL. */
#define CRED_TOPIC_MAX 256

enum cred_kind {
	CRED_NONE,
	CRED_TOKEN_KEY,
	CRED_CERTIFICATE,
	CRED_SERVER, /* of cred_load_server() */
};

/* Reads the files that the configuration names (see
 * conf_file_path()).  Without Apple's: a cred of kind CRED_NONE.  NULL with err
 * set: a sentence that says where, what is wrong and what to do.  A certificate
 * that is past its date is loaded: see cred_check_time(). */
struct cred *cred_load(const struct conf *conf, char err[ERR_MAX]);
/* Checks what the configuration's text alone shows (half of a pair, no topic).
 * 0, or -1 with err set. */
int cred_check_text(const struct conf *conf, char err[ERR_MAX]);
/* Calls warn with one sentence if the configuration names credentials that are
 * not used, or by the names that they had in 2020. */
void cred_check_unused(const struct conf *conf, void (*warn)(const char *what));
/* Of kind CRED_NONE, in place of credentials that cannot be read yet. */
struct cred *cred_none(void);
/* As cred_load() for tlsCertfile and tlsKeyfile; cred_tls() is the server's
 * context.  Both must be set. */
struct cred *cred_load_server(const struct conf *conf, char err[ERR_MAX]);
/* A server's connections may outlive it, a client's only once their handshake
 * is done. */
void cred_free(struct cred *c);

enum cred_kind cred_kind(const struct cred *c);
/* "token key", "certificate" or "none" */
const char *cred_kind_name(const struct cred *c);
/* "" if it has none. */
const char *cred_topic(const struct cred *c);
/* notAfter of the certificate, seconds since 1970; 0 for a token key. */
int64_t cred_expires_s(const struct cred *c);
/* The i-th thing, from 0, that looks wrong with credentials that were accepted,
 * such as a topic that is not Mail's; NULL: no more. */
const char *cred_warning(const struct cred *c, size_t i);
/* The first warning from now on: newer ones were refused, and why; "": none. */
void cred_set_refused(struct cred *c, const char *why);
bool cred_is_refused(const struct cred *c);
/* A clock that was not set yet; NULL: it was.  Written to out. */
const char *cred_clock_warning(int64_t now_s, char out[ERR_MAX]);
/* 0, or -1 with err saying that the certificate is past its date or not valid
 * yet.  With a clock that was never set it is not checked, but no JWT can be
 * made. */
int cred_check_time(const struct cred *c, int64_t now_s, char err[ERR_MAX]);

/* Calls cb with the path of each file that conf names for them. */
void cred_each_file(const struct conf *conf,
    void (*cb)(void *arg, const char *path), void *arg);

/* The first line of a file that a key of the configuration names; the caller
 * wipes and frees it.  NULL with err set. */
char *cred_read_password(const struct conf *conf, const char *key,
    const char *name, char err[ERR_MAX]);

/* A TLS context without an identity that trusts the CA certificates in a file
 * that a key of the configuration names; name NULL: those of this machine.  The
 * caller frees it.  NULL with err set. */
struct tls_ctx *cred_load_trust(const struct conf *conf, const char *key,
    const char *name, char err[ERR_MAX]);

/* The same by caFile, for HTTP/2 and HTTP/1.1. */
struct tls_ctx *cred_load_web_trust(const struct conf *conf, char err[ERR_MAX]);

/* The TLS context with this identity, its trust by apnsCaFile or the built-in
 * roots; owned by the cred; NULL for CRED_NONE. */
struct tls_ctx *cred_tls(const struct cred *c);

/* "bearer <JWT>" for a token key, renewed 50 minutes after the last one
 * (now_s: wall clock); NULL for a certificate, and NULL with err set if signing
 * fails or the clock was never set.  Owned by the cred, valid until the next
 * call. */
const char *cred_bearer(struct cred *c, int64_t now_s, char err[ERR_MAX]);
/* The next cred_bearer() makes a new JWT (Apple answered
 * ExpiredProviderToken). */
void cred_renew(struct cred *c);
/* Changes whenever another JWT is used. */
unsigned cred_jwt_count(const struct cred *c);

/* --- one JWT for several nodes --- */

/* Calls cb when c has made a JWT itself; and, with is_end, when c is about to be
 * freed.  From now on it makes one up to 5 minutes early, at random: so that
 * nodes that got one together do not all make the next one. */
void cred_on_jwt(struct cred *c, void (*cb)(void *arg, bool is_end), void *arg);
/* "<team>.<key id>"; "": it has none. */
#define CRED_JWT_NAME_MAX 22
void cred_jwt_name(const struct cred *c, char out[CRED_JWT_NAME_MAX]);
/* The JWT at hand and when it was made, a secret; NULL: none that is still good. */
const char *cred_jwt(const struct cred *c, int64_t now_s, int64_t *issued_s_r);

enum cred_jwt_taken {
	CRED_JWT_BAD,  /* not ours to use */
	CRED_JWT_KEPT, /* good, but so is the one at hand, which stays */
	CRED_JWT_TAKEN,
};
/* Uses another node's JWT if it is by our key, for our team, of that time, still
 * (and already) good by our clock, and not older than one that Apple called
 * expired.  The one at hand stays unless it is older, or `instead`. */
enum cred_jwt_taken cred_take_jwt(struct cred *c, const char *jwt, size_t len,
    int64_t issued_s, bool instead, int64_t now_s);

/* --- Google's: the key file of a service account, fcmServiceAccount --- */

/* What it says; the limits are ours. */
struct cred_service {
	char email[256];     /* whose key it is */
	char project[64];    /* of Firebase, as in its URLs */
	char token_url[256]; /* https:// */
	char key_id[64];     /* "": none */
	struct tls_key *key;
};

/* NULL: none is configured. */
const struct cred_service *cred_fcm(const struct cred *c);
/* Appends a JWT (RFC 7523) that is good for one access token, a secret; less than
 * 3 KB.  0, or -1 with err set: signing failed. */
int cred_fcm_jwt(const struct cred_service *f, int64_t now_s, struct buf *b,
    char err[ERR_MAX]);

#endif
