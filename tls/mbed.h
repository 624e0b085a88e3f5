/* tls/mbed.h - the one place that includes mbedTLS, for tls*.c only: what 2.28
 * and 3.6 name differently, and the structs that those files share. */
#ifndef TLS_MBED_H
#define TLS_MBED_H

#include <mbedtls/version.h>

#include <mbedtls/asn1.h>
#include <mbedtls/cipher.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#if defined(MBEDTLS_SSL_TICKET_C)
#include <mbedtls/ssl_ticket.h>
#endif

#include "tls.h"

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define MBEDTLS_PRIVATE(member) member
#define PK_RNG /* 3.x wants a generator to blind with */
#else
#include <psa/crypto.h>
#define PK_RNG , tls_rng, NULL
#endif

#if defined(MBEDTLS_SSL_PROTO_TLS1_3) && defined(MBEDTLS_PSA_CRYPTO_C)
#define TLS_HAS_13
#endif

struct tls_key {
	mbedtls_pk_context pk;
};

struct tls_cert {
	mbedtls_x509_crt crt;
};

/* What the verify callback knows and finds. */
struct tls_verify {
	const char *host;     /* NULL on the server side */
	unsigned char ip[16]; /* if host is an address */
	size_t ip_len;	      /* 0: it is a name */
	bool called;	      /* a certificate was judged: not resumed */
	int rank;	      /* of the complaint in err */
	char *err;
};

/* The generator for mbedTLS: getrandom(2). */
int tls_rng(void *unused, unsigned char *p, size_t n);

/* The certificate is for this DNS name (RFC 6125): an alternative name, else its
 * CN. */
bool tls_cert_is_for(const mbedtls_x509_crt *crt, const char *host);
/* mbedTLS's verify callback; arg is a struct tls_verify. */
int tls_verify_cb(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

/* The last attribute with this OID in a name, NULL if none. */
const mbedtls_x509_name *tls_name_find(
    const mbedtls_x509_name *name, const void *oid, size_t oid_len);

#define TLS_ASN1_SEQ (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)

bool tls_oid_is(const mbedtls_asn1_buf *oid, const void *to, size_t len);

/* A password in the forms that key derivation wants. */
struct tls_password {
	const char *text; /* UTF-8, borrowed */
	size_t len;
	unsigned char *bmp; /* for PKCS#12, NULL: none */
	size_t bmp_len;
};

enum tls_pbe_status {
	TLS_PBE_OK,
	TLS_PBE_WRONG,	 /* the password, most likely */
	TLS_PBE_BAD,	 /* the file */
	TLS_PBE_UNKNOWN, /* the algorithm */
};

/* Tools disagree on how a password becomes bytes: variant 0 is the usual way,
 * then 1 and on until this returns false.  NULL is the empty password. */
bool tls_password_init(
    struct tls_password *pw, const char *text, unsigned variant);
void tls_password_free(struct tls_password *pw);

/* Key material as PKCS#12 derives it (RFC 7292 B.2): id 1 keys, 2 IVs, 3 MACs.
 * 0, or -1 if the digest is not known or the iterations are too many. */
int tls_p12_derive(const struct tls_password *pw, mbedtls_md_type_t type,
    int id, const mbedtls_asn1_buf *salt, int iterations, unsigned char *out,
    size_t n);

/* An OCTET STRING that lies within p to end. */
int tls_octets(
    unsigned char **p, const unsigned char *end, mbedtls_asn1_buf *out);

/* Decrypts what an AlgorithmIdentifier of PBES1 or PBES2 describes.  *out_r is
 * the caller's, for tls_pbe_free(). */
enum tls_pbe_status tls_pbe_open(const mbedtls_asn1_buf *oid,
    const mbedtls_asn1_buf *params, const mbedtls_asn1_buf *in,
    const struct tls_password *pw, unsigned char **out_r, size_t *len_r);
void tls_pbe_free(unsigned char *p, size_t len);

/* EncryptedPrivateKeyInfo (RFC 5958 3) into an initialised pk. */
enum tls_pbe_status tls_pbe_key(unsigned char *der, size_t len,
    const struct tls_password *pw, mbedtls_pk_context *pk);

/* Words for an alert that the peer sent; has_cert: we showed a certificate. */
void tls_explain_alert(
    const char *peer, int alert, bool has_cert, char err[ERR_MAX]);
/* Words for an error code of mbedTLS. */
void tls_explain(const char *peer, int code, char err[ERR_MAX]);

#endif
