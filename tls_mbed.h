/* tls_mbed.h - the one place that includes mbedTLS, for tls*.c only: what 2.28
 * and 3.6 name differently, and the structs that those files share. */
#ifndef TLS_MBED_H
#define TLS_MBED_H

#include <mbedtls/version.h>

#include <mbedtls/asn1.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
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

/* mbedTLS's verify callback; arg is a struct tls_verify. */
int tls_verify_cb(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

/* The last attribute with this OID in a name, NULL if none. */
const mbedtls_x509_name *tls_name_find(
    const mbedtls_x509_name *name, const void *oid, size_t oid_len);

/* Words for an alert that the peer sent; has_cert: we showed a certificate. */
void tls_explain_alert(
    const char *peer, int alert, bool has_cert, char err[ERR_MAX]);
/* Words for an error code of mbedTLS. */
void tls_explain(const char *peer, int code, char err[ERR_MAX]);

#endif
