/* tls/csr.c - makes an RSA key and a request for a certificate (RFC 2986).  The
 * DER is written here, from its end to its beginning: mbedTLS's writers of
 * requests and keys are several times the size. */
#include "tls/mbed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define KEY_BITS 2048 /* what Apple's form takes */
#define EXPONENT 65537
#define SIG_LEN (KEY_BITS / 8)
#define DER_MAX TLS_PEM_MAX /* the key takes 1,200 bytes, the request 600 */

#define SET (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET)
#define ATTRIBUTES                                                             \
	(MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 0)

#define PKCS1 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01

static const unsigned char oid_rsa[] = { PKCS1, 1 };
static const unsigned char oid_rsa_sha256[] = { PKCS1, 11 };

/* Grows towards its beginning. */
struct der {
	unsigned char mem[DER_MAX];
	unsigned char *p;
	int ret; /* 0, or the first error */
};

static void note(struct der *d, int ret)
{
	if (ret < 0 && d->ret == 0)
		d->ret = ret;
}

/* What was written since `end` becomes one element. */
static void wrap(struct der *d, const unsigned char *end, unsigned char tag)
{
	note(d, mbedtls_asn1_write_len(&d->p, d->mem, (size_t)(end - d->p)));
	note(d, mbedtls_asn1_write_tag(&d->p, d->mem, tag));
}

static void add_raw(struct der *d, const void *data, size_t n)
{
	note(d, mbedtls_asn1_write_raw_buffer(&d->p, d->mem, data, n));
}

static void add(struct der *d, unsigned char tag, const void *data, size_t n)
{
	unsigned char *end = d->p;

	add_raw(d, data, n);
	wrap(d, end, tag);
}

static void add_int(struct der *d, const mbedtls_mpi *n)
{
	note(d, mbedtls_asn1_write_mpi(&d->p, d->mem, n));
}

static void add_zero(struct der *d)
{
	add(d, MBEDTLS_ASN1_INTEGER, "", 1);
}

/* AlgorithmIdentifier with the parameters NULL. */
static void add_algorithm(struct der *d, const unsigned char *oid, size_t n)
{
	unsigned char *end = d->p;

	add(d, MBEDTLS_ASN1_NULL, "", 0);
	add(d, MBEDTLS_ASN1_OID, oid, n);
	wrap(d, end, TLS_ASN1_SEQ);
}

/* The bits of what was written since `end`: a whole number of bytes. */
static void wrap_bits(struct der *d, const unsigned char *end)
{
	add_raw(d, "", 1);
	wrap(d, end, MBEDTLS_ASN1_BIT_STRING);
}

enum part {
	N,
	P,
	Q,
	D,
	E,
	DP,
	DQ,
	QP,
	N_PARTS
};

/* RSAPrivateKey (RFC 8017 A.1.2) */
static void write_key(struct der *d, const mbedtls_mpi part[N_PARTS])
{
	static const unsigned char order[] = { QP, DQ, DP, Q, P, D, E, N };
	unsigned char *end = d->p;
	size_t i;

	for (i = 0; i < sizeof(order); i++)
		add_int(d, &part[order[i]]);
	add_zero(d);
	wrap(d, end, TLS_ASN1_SEQ);
}

/* SubjectPublicKeyInfo (RFC 5280 4.1) */
static void write_public(struct der *d, const mbedtls_mpi part[N_PARTS])
{
	unsigned char *end = d->p;

	add_int(d, &part[E]);
	add_int(d, &part[N]);
	wrap(d, end, TLS_ASN1_SEQ);
	wrap_bits(d, end);
	add_algorithm(d, oid_rsa, sizeof(oid_rsa));
	wrap(d, end, TLS_ASN1_SEQ);
}

/* Name with nothing but a common name */
static void write_name(struct der *d, const char *name)
{
	unsigned char *end = d->p;

	add(d, MBEDTLS_ASN1_UTF8_STRING, name, strlen(name));
	add(d, MBEDTLS_ASN1_OID, MBEDTLS_OID_AT_CN, strlen(MBEDTLS_OID_AT_CN));
	wrap(d, end, TLS_ASN1_SEQ);
	wrap(d, end, SET);
	wrap(d, end, TLS_ASN1_SEQ);
}

/* CertificationRequestInfo */
static void write_info(
    struct der *d, const mbedtls_mpi part[N_PARTS], const char *name)
{
	unsigned char *end = d->p;

	add(d, ATTRIBUTES, "", 0);
	write_public(d, part);
	write_name(d, name);
	add_zero(d);
	wrap(d, end, TLS_ASN1_SEQ);
}

static int sign(mbedtls_rsa_context *rsa, const unsigned char hash[32],
    unsigned char sig[SIG_LEN])
{
	return mbedtls_rsa_pkcs1_sign(rsa, tls_rng, NULL,
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	    MBEDTLS_RSA_PRIVATE,
#endif
	    MBEDTLS_MD_SHA256, 32, hash, sig);
}

/* CertificationRequest: the info, which has to be there to be signed, moves to
 * its place before the signature. */
static void write_request(struct der *d, mbedtls_rsa_context *rsa,
    const mbedtls_mpi part[N_PARTS], const char *name)
{
	unsigned char *end = d->p, info[DER_MAX], hash[32], sig[SIG_LEN];
	size_t n;

	write_info(d, part, name);
	n = (size_t)(end - d->p);
	memcpy(info, d->p, n);
	tls_sha256(info, n, hash);
	note(d, sign(rsa, hash, sig));
	d->p = end;
	add_raw(d, sig, sizeof(sig));
	wrap_bits(d, end);
	add_algorithm(d, oid_rsa_sha256, sizeof(oid_rsa_sha256));
	add_raw(d, info, n);
	wrap(d, end, TLS_ASN1_SEQ);
}

static char *pem(const struct der *d, const char *label)
{
	return tls_pem(d->p, (size_t)(d->mem + DER_MAX - d->p), label);
}

static void der_init(struct der *d)
{
	d->p = d->mem + DER_MAX;
	d->ret = 0;
}

static int make(mbedtls_rsa_context *rsa, mbedtls_mpi part[N_PARTS],
    const char *name, char **key_r, char **request_r)
{
	struct der d;
	int ret;

	ret = mbedtls_rsa_gen_key(rsa, tls_rng, NULL, KEY_BITS, EXPONENT);
	if (ret == 0)
		ret = mbedtls_rsa_export(
		    rsa, &part[N], &part[P], &part[Q], &part[D], &part[E]);
	if (ret == 0)
		ret = mbedtls_rsa_export_crt(
		    rsa, &part[DP], &part[DQ], &part[QP]);
	if (ret != 0)
		return ret;
	der_init(&d);
	write_request(&d, rsa, part, name);
	if (d.ret != 0)
		return d.ret;
	*request_r = pem(&d, "CERTIFICATE REQUEST");
	der_init(&d);
	write_key(&d, part);
	*key_r = pem(&d, "RSA PRIVATE KEY");
	mem_wipe(d.mem, sizeof(d.mem));
	return d.ret;
}

int tls_csr_make(
    const char *name, char **key_r, char **request_r, char err[ERR_MAX])
{
	mbedtls_mpi part[N_PARTS];
	mbedtls_rsa_context rsa;
	int ret, i;

#if MBEDTLS_VERSION_NUMBER < 0x03000000
	mbedtls_rsa_init(&rsa, MBEDTLS_RSA_PKCS_V15, 0);
#else
	mbedtls_rsa_init(&rsa);
#endif
	for (i = 0; i < N_PARTS; i++)
		mbedtls_mpi_init(&part[i]);
	ret = make(&rsa, part, name, key_r, request_r);
	for (i = 0; i < N_PARTS; i++)
		mbedtls_mpi_free(&part[i]);
	mbedtls_rsa_free(&rsa);
	if (ret == 0)
		return 0;
	err_set(err,
	    "cannot make a key (internal error -0x%04x of mbedTLS): is there "
	    "memory left?",
	    (unsigned)-ret);
	return -1;
}
