/* tls.h - the only door to mbedTLS: contexts, handshake, read, write, verify,
 * keys, certificates, signing, digests.  Works with mbedTLS 2.28 and 3.6.
 * tls.c: connections; tls/verify.c: judging the peer, and what went wrong in
 * words; tls/key.c: keys, certificates, digests, random; tls/pbe.c, tls/p12.c:
 * encrypted keys and PKCS#12.  Only they include tls/mbed.h, and only that
 * includes mbedTLS. */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

/* 2026-11-22 UTC, moved up with releases.  A clock that says less was not set
 * yet (a router before its first NTP answer): no certificate is judged expired
 * or not yet valid by it. */
#define TLS_CLOCK_MIN_S INT64_C(1795305600)

struct tls_ctx;	 /* what connections share: trust, identity, tickets */
struct tls;	 /* one connection */
struct tls_key;	 /* a private key */
struct tls_cert; /* a certificate, leaf first, with its chain */

enum tls_status {
	TLS_OK,
	TLS_WANT_READ,
	TLS_WANT_WRITE,
	TLS_EOF,    /* the peer ended properly (close_notify) or just closed */
	TLS_FAILED, /* tls_error() says why; so will every later call */
};

/* Once, at start.  0, or -1 with err set. */
int tls_init(char err[ERR_MAX]);
void tls_exit(void);
/* "mbedTLS 2.28.3" */
const char *tls_version(void);
/* "TLS 1.2 and 1.3, TLS listener": what this build can do. */
extern const char tls_features[];

/* Client side.  ca: trusted roots, as PEM text (ca[ca_len] is NUL) or DER
 * certificates one after the other (borrowed).  cert and key: our identity or
 * NULL both, borrowed.  alpn: NULL-terminated list (static).  What is borrowed
 * must outlive the context's last handshake.  Verification is always on. */
struct tls_ctx *tls_client_new(const void *ca, size_t ca_len,
    struct tls_cert *cert, struct tls_key *key, const char *const *alpn,
    char err[ERR_MAX]);
/* Server side for tlsListenAddr.  Takes cert and key over on success, so that a
 * handshake may outlive the owner. */
struct tls_ctx *tls_server_new(
    struct tls_cert *cert, struct tls_key *key, char err[ERR_MAX]);
/* Connections may outlive it; of a client's (and its cert and key) only those
 * that are open, none in its handshake. */
void tls_ctx_free(struct tls_ctx *c);

/* A connection over a connected non-blocking socket, which stays the caller's.
 * host: for SNI and the name check (client), NULL (server); an IP address (also
 * in brackets) is not sent as SNI and is compared with the certificate's IP
 * addresses only.  A client context remembers its last session and offers it
 * again to the same host. */
struct tls *tls_open(
    struct tls_ctx *c, int fd, const char *host, char err[ERR_MAX]);
void tls_free(struct tls *t);
enum tls_status tls_handshake(struct tls *t);
/* At least one byte on TLS_OK. */
enum tls_status tls_read(
    struct tls *t, unsigned char *p, size_t n, size_t *done_r);
/* After TLS_WANT_WRITE the next call must offer the same bytes again (more may
 * follow them). */
enum tls_status tls_write(
    struct tls *t, const unsigned char *p, size_t n, size_t *done_r);
/* Bytes wait inside, which no poll of the socket tells: read before polling,
 * also right after the handshake. */
bool tls_pending(const struct tls *t);
/* Neither inside nor in the socket is anything left for now: asking again would
 * be in vain. */
bool tls_drained(const struct tls *t);
/* Sends close_notify if it fits. */
void tls_bye(struct tls *t);
/* Server side: whether our certificate is for this DNS name. */
bool tls_serves(const struct tls *t, const char *host);
/* One sentence that says which failure and, where there is one, the cure. */
const char *tls_error(const struct tls *t);
/* The negotiated protocol, NULL if none. */
const char *tls_alpn(const struct tls *t);
/* "TLSv1.3" */
const char *tls_protocol(const struct tls *t);
/* Client side: the handshake resumed an earlier session. */
bool tls_resumed(const struct tls *t);

/* Keys and certificates, from memory where text[len] is NUL: PEM, or DER.  NULL
 * with err set: what is wrong, to stand after the file's name. */
struct tls_key *tls_key_parse(
    const char *text, size_t len, const char *password, char err[ERR_MAX]);
/* A PKCS#12 file: its certificates, and the key that belongs to one of them,
 * which becomes the leaf.  0, or -1 with err set as above.  The data is not
 * changed. */
int tls_p12_parse(unsigned char *data, size_t len, const char *password,
    struct tls_cert **cert_r, struct tls_key **key_r, char err[ERR_MAX]);
void tls_key_free(struct tls_key *k);
bool tls_key_is_p256(const struct tls_key *k);
struct tls_cert *tls_cert_parse(
    const char *text, size_t len, char err[ERR_MAX]);
void tls_cert_free(struct tls_cert *c);
/* One of the certificates belongs to the key; it becomes the leaf, wherever in
 * the file it stood. */
bool tls_cert_matches(struct tls_cert *c, const struct tls_key *k);
/* Seconds since 1970 of notBefore and notAfter of the leaf. */
int64_t tls_cert_not_before(const struct tls_cert *c);
int64_t tls_cert_not_after(const struct tls_cert *c);
/* The last value of the attribute with this OID (DER bytes) in the leaf's
 * subject; length, or -1 if there is none or it does not fit. */
int tls_cert_subject(const struct tls_cert *c, const unsigned char *oid,
    size_t oid_len, char *out, size_t out_size);
/* The leaf has an extension with this OID (DER bytes). */
bool tls_cert_has_ext(
    const struct tls_cert *c, const unsigned char *oid, size_t oid_len);

/* ES256: SHA-256 of data signed with a P-256 key, r||s big-endian. 0 or -1. */
int tls_sign_es256(struct tls_key *k, const void *data, size_t len,
    unsigned char sig_r[64], char err[ERR_MAX]);

void tls_md5(const void *data, size_t len, unsigned char out[16]);
void tls_sha256(const void *data, size_t len, unsigned char out[32]);
/* Fills p from the kernel's generator; ends the process if it has none. */
void tls_random(void *p, size_t n);

/* --- tls/roots.c: the CA roots that Apple's push servers use or may move to, so
 * that a router without ca-certificates can verify them --- */

/* DER certificates, one after the other. */
extern const unsigned char tls_roots_der[];
extern const size_t tls_roots_der_len;

#endif
