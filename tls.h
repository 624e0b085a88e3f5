/* tls.h - TLS connections, keys, certificates, signatures and digests, by
 * mbedTLS 2.28 or 3.6.  No other module includes mbedTLS.
 *
 * tls.c: connections; tls/tls13.c: their versions; tls/verify.c: checks the
 * peer's certificate and explains failures; tls/key.c: keys, certificates, signatures, digests;
 * tls/der.c: recognises files; tls/csr.c: makes requests for certificates;
 * tls/ecdh.c: encryption for one receiver;
 * tls/p12.c: PKCS#12 files; tls/pbe.c: decryption with a password; tls/roots.c:
 * built-in CA certificates. */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct tls_ctx;	 /* shared by connections: trust, identity, tickets */
struct tls;	 /* one connection */
struct tls_key;	 /* a private key */
struct tls_cert; /* a certificate, leaf first, with its chain */

enum tls_status {
	TLS_OK,
	TLS_WANT_READ,
	TLS_WANT_WRITE,
	TLS_EOF,    /* the peer closed, with or without close_notify */
	TLS_FAILED, /* tls_error() says why; every later call fails, too */
};

/* To be called once, at start.  0, or -1 with err set. */
int tls_init(char err[ERR_MAX]);
void tls_exit(void);
/* "mbedTLS 2.28.3" */
const char *tls_version(void);
/* What this build supports: "TLS 1.2 and 1.3", or "TLS 1.2". */
extern const char tls_features[];

/* The client side; the server's certificate is always verified.  ca: trusted
 * roots, PEM text (ca[ca_len] is NUL) or DER certificates one after the other;
 * cert and key: our identity, or both NULL.  DER, cert and key are borrowed and
 * must outlive the context's last handshake.  alpn: a static list that ends
 * with NULL, or NULL.  NULL with err set on failure. */
struct tls_ctx *tls_client_new(const void *ca, size_t ca_len,
    struct tls_cert *cert, struct tls_key *key, const char *const *alpn,
    char err[ERR_MAX]);
/* The keys of the configuration that say whom to trust and whom to reach, for
 * messages; instead of apnsCaFile and apnsHost.  Static strings. */
void tls_client_set_keys(
    struct tls_ctx *c, const char *ca_key, const char *host_key);
/* The server side, for tlsListenAddr.  Takes ownership of cert and key on
 * success, so that a handshake may outlive the caller.  NULL with err set: it
 * failed. */
struct tls_ctx *tls_server_new(
    struct tls_cert *cert, struct tls_key *key, char err[ERR_MAX]);
/* A server's connections may outlive their context; a client's may outlive it
 * (and its cert and key) once their handshake is over. */
void tls_ctx_free(struct tls_ctx *c);

/* A connection over a connected non-blocking socket, which remains the
 * caller's. host: the name for SNI and for the check of the certificate; NULL
 * on the server side.  An IP address (brackets are allowed) is not sent as SNI
 * and is compared with the certificate's IP addresses only.  A client context
 * remembers its last session and resumes it with the same host.  NULL with err
 * set on failure. */
struct tls *tls_open(
    struct tls_ctx *c, int fd, const char *host, char err[ERR_MAX]);
void tls_free(struct tls *t);
enum tls_status tls_handshake(struct tls *t);
/* TLS_OK: *done_r is at least 1. */
enum tls_status tls_read(
    struct tls *t, unsigned char *p, size_t n, size_t *done_r);
/* After TLS_WANT_WRITE the next call must begin with the same bytes. */
enum tls_status tls_write(
    struct tls *t, const unsigned char *p, size_t n, size_t *done_r);
/* Received bytes are waiting in here, where no poll of the socket sees them:
 * read before polling, also right after the handshake. */
bool tls_pending(const struct tls *t);
/* Neither this connection nor its socket has any more bytes for now: another
 * read would find nothing. */
bool tls_drained(const struct tls *t);
/* Sends close_notify, if the socket accepts it at once. */
void tls_close_notify(struct tls *t);
/* Server side: whether the handshake has come so far that we have sent
 * anything; false for NULL. */
bool tls_has_answered(const struct tls *t);
/* Server side: is our certificate for this DNS name? */
bool tls_has_cert_for(const struct tls *t, const char *host);
/* One sentence: what failed and, where possible, what to do. */
const char *tls_error(const struct tls *t);
/* The negotiated protocol, NULL if none. */
const char *tls_alpn(const struct tls *t);
/* "TLSv1.3" */
const char *tls_protocol(const struct tls *t);
/* Client side: an earlier session was resumed. */
bool tls_resumed(const struct tls *t);

/* What a file holds. */
enum tls_der_kind {
	TLS_DER_UNKNOWN,
	TLS_DER_CERT,
	TLS_DER_REQUEST, /* for a certificate */
	TLS_DER_CRL,
	TLS_DER_KEY, /* private: PKCS#8, ... */
	TLS_DER_ENCRYPTED_KEY,
	TLS_DER_EC_KEY,
	TLS_DER_RSA_KEY,
	TLS_DER_DSA_KEY, /* as OpenSSL wrote it before PKCS#8 */
	TLS_DER_PUBLIC_KEY,
	TLS_DER_P12,
	TLS_DER_PKCS7, /* certificates without keys, a signed profile */
};

/* By the form of the DER structure that data begins with; no more is checked.
 * *len_r (or NULL): its bytes, unchanged if it is no whole one. */
enum tls_der_kind tls_der_kind(const void *der, size_t len, size_t *len_r);
#define TLS_KEY_P256 "an EC key on P-256"
/* Of a private key: that, "an RSA key" and the like, or "". */
const char *tls_key_words(const void *der, size_t len);

/* Keys and certificates are parsed from PEM or DER; text[len] has to be NUL.
 * NULL with err set on failure: a predicate that follows the file's name
 * ("holds no certificate ..."); err is "" if the password is wrong or lacks. */
struct tls_key *tls_key_parse(
    const char *text, size_t len, const char *password, char err[ERR_MAX]);

/* Of several certificates that fit the highest becomes the leaf. */
typedef int64_t tls_cert_rank(const struct tls_cert *c);

/* Reads a PKCS#12 file: its certificates, and the key that belongs to one of
 * them, which becomes the leaf.  0, or -1 with err set as above.  Does not
 * change the data. */
int tls_p12_parse(unsigned char *data, size_t len, const char *password,
    tls_cert_rank *rank, struct tls_cert **cert_r, struct tls_key **key_r,
    char err[ERR_MAX]);
void tls_key_free(struct tls_key *k);
bool tls_key_is_p256(const struct tls_key *k);
struct tls_cert *tls_cert_parse(
    const char *text, size_t len, char err[ERR_MAX]);
void tls_cert_free(struct tls_cert *c);
/* Does one of the certificates belong to the key?  It becomes the leaf,
 * whatever its place in the file was. */
bool tls_cert_matches(
    struct tls_cert *c, const struct tls_key *k, tls_cert_rank *rank);
/* How many more there were in the text that could not be read. */
int tls_cert_unread(const struct tls_cert *c);
/* The leaf's notBefore and notAfter, in seconds since 1970. */
int64_t tls_cert_not_before(const struct tls_cert *c);
int64_t tls_cert_not_after(const struct tls_cert *c);
/* Copies the n-th attribute, from 0, of the leaf's subject with this OID (DER
 * bytes).  Returns its length, 0 if it does not fit, or -1 if there is none. */
int tls_cert_subject(const struct tls_cert *c, const unsigned char *oid,
    size_t oid_len, size_t n, char *out, size_t out_size);
/* The leaf's common name, or organisation, in printable form. */
#define TLS_NAME_MAX 80
const char *tls_cert_name(const struct tls_cert *c, char out[TLS_NAME_MAX]);
/* May the leaf be shown to a server? */
bool tls_cert_is_client(const struct tls_cert *c);
/* Does the leaf have an extension with this OID (DER bytes)? */
bool tls_cert_has_ext(
    const struct tls_cert *c, const unsigned char *oid, size_t oid_len);

/* ES256 (RFC 7518 3.4): signs SHA-256 of data with a P-256 key; sig_r is r and
 * s, big-endian.  0, or -1 with err set. */
int tls_sign_es256(struct tls_key *k, const void *data, size_t len,
    unsigned char sig_r[64], char err[ERR_MAX]);
/* Whether that key has made this signature. */
bool tls_check_es256(const struct tls_key *k, const void *data, size_t len,
    const unsigned char sig[64]);

/* RS256 (RFC 7518 3.3): PKCS#1 v1.5 of SHA-256 of data.  Returns the length of the
 * signature, 0 with err set.  With a key for which the predicate holds: RSA of 2048
 * to 4096 bits. */
#define TLS_RS256_MAX 512
bool tls_key_signs_rs256(const struct tls_key *k);
size_t tls_sign_rs256(struct tls_key *k, const void *data, size_t len,
    unsigned char sig_r[TLS_RS256_MAX], char err[ERR_MAX]);

/* Makes an RSA key of 2048 bits and a request for a certificate of this common
 * name, both PEM; the caller wipes and frees them.  Takes a second, a minute on
 * a slow router.  0, or -1 with err set. */
int tls_csr_make(
    const char *name, char **key_r, char **request_r, char err[ERR_MAX]);

/* For secrets. */
void tls_random(void *out, size_t n);
void tls_md5(const void *data, size_t len, unsigned char out[16]);
void tls_sha256(const void *data, size_t len, unsigned char out[32]);

/* --- tls/ecdh.c: encryption for one receiver (RFC 8291) --- */

#define TLS_POINT_LEN 65 /* a point of P-256, uncompressed */
#define TLS_TAG_LEN 16

/* Makes a key on P-256.  NULL: there is no memory. */
struct tls_key *tls_key_make(void);
/* Its public half. */
void tls_key_point(const struct tls_key *k, unsigned char out[TLS_POINT_LEN]);
/* Both halves as PEM, for tls_key_parse(); the caller wipes and frees it. */
char *tls_key_write(const struct tls_key *k);
/* Whether it is a public key: a point on the curve. */
bool tls_point_ok(const unsigned char point[TLS_POINT_LEN]);
/* The secret that k and the owner of the point share.  0; -1: it is no public key,
 * or there is no memory. */
int tls_ecdh(const struct tls_key *k, const unsigned char point[TLS_POINT_LEN],
    unsigned char secret_r[32]);

#define TLS_HKDF_INFO_MAX 192
struct tls_hkdf {
	const void *salt, *info;
	size_t salt_len, info_len;
	const unsigned char *secret; /* 32 bytes */
};
/* HKDF with SHA-256 (RFC 5869), for 32 bytes at most; info has at most
 * TLS_HKDF_INFO_MAX. */
void tls_hkdf_sha256(const struct tls_hkdf *h, void *out, size_t n);
/* AES-128-GCM: encrypts data in place and appends TLS_TAG_LEN bytes. */
void tls_seal(const unsigned char key[16], const unsigned char nonce[12],
    unsigned char *data, size_t len);

/* --- tls/roots.c: the root CAs of Apple's push servers, and those that Apple
 * may change to, for machines without ca-certificates --- */

/* One after the other, as DER certificates of name, time and key. */
extern const unsigned char tls_roots_der[];
extern const size_t tls_roots_der_len;

#endif
