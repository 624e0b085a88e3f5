/* tls/mbed.h - the only file that includes mbedTLS: evens out the names of 2.28
 * and 3.6, and declares what the files of tls share. */
#ifndef TLS_MBED_H
#define TLS_MBED_H

#include <mbedtls/version.h>

#include <mbedtls/asn1.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/cipher.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/rsa.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#if defined(MBEDTLS_SSL_TICKET_C)
#include <mbedtls/ssl_ticket.h>
#endif

#include "tls.h"

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define MBEDTLS_PRIVATE(member) member
#define PK_RNG /* 3.x needs random numbers for blinding */
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
	int unread; /* certificates in the text that mbedTLS cannot read */
};

/* What the verify callback compares with, and what it finds. */
struct tls_verify {
	const char *host; /* NULL on the server side */
	const char *ca_key, *host_key;
	unsigned char ip[16]; /* if host is an address */
	size_t ip_len;	      /* 0: it is a name */
	bool called;	      /* a certificate was checked: not resumed */
	int rank;	      /* of the fault that err describes, 0: none */
	char *err;
};

/* Random bytes of the kernel, for mbedTLS.  Returns 0, or ends the process. */
int tls_rng(void *unused, unsigned char *p, size_t n);

/* Is the certificate for this DNS name (RFC 6125)?  The alternative names
 * count, or the CN if there are none. */
bool tls_cert_is_for(const mbedtls_x509_crt *crt, const char *host);
/* mbedTLS's verify callback; arg is a struct tls_verify. */
int tls_verify_cb(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

/* The last attribute with this OID in a name, NULL if none. */
const mbedtls_x509_name *tls_name_find(
    const mbedtls_x509_name *name, const void *oid, size_t oid_len);

#define TLS_ASN1_SEQ (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)

bool tls_oid_is(const mbedtls_asn1_buf *oid, const void *to, size_t len);

/* A password in the forms that key derivation needs. */
struct tls_password {
	const char *text; /* UTF-8, borrowed */
	size_t len;
	unsigned char *bmp; /* for PKCS#12; NULL: none */
	size_t bmp_len;
};

enum tls_pbe_status {
	TLS_PBE_OK,
	TLS_PBE_WRONG,	 /* most likely the password is wrong */
	TLS_PBE_BAD,	 /* the file is damaged */
	TLS_PBE_UNKNOWN, /* the algorithm is not supported */
};

/* Programs convert a password to bytes in different ways.  Try variant 0, the
 * usual one, then 1 and so on until this returns false.  NULL is the empty
 * one. */
bool tls_password_init(
    struct tls_password *pw, const char *text, unsigned variant);
void tls_password_free(struct tls_password *pw);

/* Derives key material as PKCS#12 does (RFC 7292 B.2): id 1 for keys, 2 for
 * IVs, 3 for MACs.  0, or -1 if it does not know the digest or there are too
 * many iterations. */
int tls_p12_derive(const struct tls_password *pw, mbedtls_md_type_t type,
    int id, const mbedtls_asn1_buf *salt, int iterations, unsigned char *out,
    size_t n);

/* --- tls/tls13.c --- */

/* Without the feature: nothing newer than TLS 1.2. */
void tls13_limit(mbedtls_ssl_config *conf);

/* --- tls/key.c --- */

/* PEM of at most TLS_PEM_MAX bytes; the caller wipes and frees it. */
#define TLS_PEM_MAX 2048
char *tls_pem(const void *der, size_t n, const char *label);

/* Reads an OCTET STRING between *p and end.  0 or -1. */
int tls_octets(
    unsigned char **p, const unsigned char *end, mbedtls_asn1_buf *out);

/* Decrypts by an AlgorithmIdentifier of PBES1 or PBES2.  The caller frees
 * *out_r with tls_pbe_free(). */
enum tls_pbe_status tls_pbe_open(const mbedtls_asn1_buf *oid,
    const mbedtls_asn1_buf *params, const mbedtls_asn1_buf *in,
    const struct tls_password *pw, unsigned char **out_r, size_t *len_r);
void tls_pbe_free(unsigned char *p, size_t len);

/* Reads an EncryptedPrivateKeyInfo (RFC 5958 3) into an initialised pk. */
enum tls_pbe_status tls_pbe_key(unsigned char *der, size_t len,
    const struct tls_password *pw, mbedtls_pk_context *pk);

/* Explains an alert that the peer sent; has_cert: we sent a certificate. */
void tls_explain_alert(
    const char *peer, int alert, bool has_cert, char err[ERR_MAX]);
/* Explains an error code of mbedTLS. */
void tls_explain(const char *peer, int code, char err[ERR_MAX]);

#endif
