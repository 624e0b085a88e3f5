/* tls/p12.c - reads PKCS#12 files (RFC 7292) as Keychain and openssl export
 * them: in DER, and protected by a password, not by a public key. */
#include "tls/mbed.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define DEPTH_MAX 4 /* of SafeContents in SafeContents */
#define KEYS_MAX 8  /* an export may hold several identities */

#define EXPLICIT_0                                                             \
	(MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 0)
#define IMPLICIT_0 (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 0)

#define PKCS7 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07
#define BAGS 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01

static const unsigned char oid_data[] = { PKCS7, 1 };
static const unsigned char oid_encrypted[] = { PKCS7, 6 };
static const unsigned char oid_bag[] = { BAGS }; /* and the kind */
/* 1.2.840.113549.1.9.22.1 */
static const unsigned char oid_x509[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
	0x01, 0x09, 0x16, 0x01 };

/* The last byte of a bag's OID (RFC 7292 D). */
enum bag {
	BAG_KEY = 1,
	BAG_SHROUDED_KEY = 2,
	BAG_CERT = 3,
	BAG_NESTED = 6,
};

struct p12 {
	const struct tls_password *pw;
	struct tls_cert *cert;
	struct tls_key *keys[KEYS_MAX];
	size_t n_keys, n_certs;
};

/* Moves *p to the content of an element and returns the end of that.  NULL if
 * the tag is another one or the element does not fit. */
static unsigned char *enter(
    unsigned char **p, const unsigned char *end, int tag)
{
	size_t len;

	if (mbedtls_asn1_get_tag(p, end, &len, tag) != 0)
		return NULL;
	return *p + len;
}

/* ContentInfo, SafeBag and CertBag ::= SEQUENCE { OID, [0] EXPLICIT, ... }.
 * Moves *p to the value and returns its end, or NULL; *next_r: what follows. */
static unsigned char *enter_typed(unsigned char **p, const unsigned char *end,
    mbedtls_asn1_buf *oid, unsigned char **next_r)
{
	oid->p = NULL;
	*next_r = enter(p, end, TLS_ASN1_SEQ);
	if (*next_r == NULL ||
	    mbedtls_asn1_get_tag(p, *next_r, &oid->len, MBEDTLS_ASN1_OID) != 0)
		return NULL;
	oid->p = *p;
	*p += oid->len;
	return enter(p, *next_r, EXPLICIT_0);
}

static enum tls_pbe_status add_key(
    struct p12 *f, unsigned char *p, const unsigned char *end, bool shrouded)
{
	enum tls_pbe_status st = TLS_PBE_OK;
	struct tls_key *k;

	if (f->n_keys == KEYS_MAX)
		return TLS_PBE_OK;
	k = xcalloc(1, sizeof(*k));
	mbedtls_pk_init(&k->pk);
	if (shrouded)
		st = tls_pbe_key(p, (size_t)(end - p), f->pw, &k->pk);
	else if (mbedtls_pk_parse_key(
		     &k->pk, p, (size_t)(end - p), NULL, 0 PK_RNG) != 0)
		st = TLS_PBE_BAD;
	if (st == TLS_PBE_OK)
		f->keys[f->n_keys++] = k;
	else
		tls_key_free(k);
	return st;
}

/* CertBag ::= SEQUENCE { certId, [0] OCTET STRING } */
static enum tls_pbe_status add_cert(
    struct p12 *f, unsigned char *p, const unsigned char *end)
{
	mbedtls_asn1_buf oid, der;
	unsigned char *next;

	end = enter_typed(&p, end, &oid, &next);
	if (end == NULL || tls_octets(&p, end, &der) != 0)
		return TLS_PBE_BAD;
	if (!tls_oid_is(&oid, oid_x509, sizeof(oid_x509)))
		return TLS_PBE_OK; /* an SDSI certificate */
	/* One that mbedTLS cannot read may be a CA that is not needed. */
	if (mbedtls_x509_crt_parse_der(&f->cert->crt, der.p, der.len) == 0)
		f->n_certs++;
	return TLS_PBE_OK;
}

/* SafeContents ::= SEQUENCE OF SafeBag; the file decides how deep they nest. */
static enum tls_pbe_status read_bags(
    struct p12 *f, unsigned char *p, const unsigned char *end, int depth)
{
	enum tls_pbe_status st = TLS_PBE_OK;
	unsigned char *bag_end, *value_end;
	mbedtls_asn1_buf oid;

	end = enter(&p, end, TLS_ASN1_SEQ);
	if (end == NULL || depth > DEPTH_MAX)
		return TLS_PBE_BAD;
	for (; st == TLS_PBE_OK && p < end; p = bag_end) {
		value_end = enter_typed(&p, end, &oid, &bag_end);
		if (value_end == NULL)
			return TLS_PBE_BAD;
		if (oid.len != sizeof(oid_bag) + 1 ||
		    memcmp(oid.p, oid_bag, sizeof(oid_bag)) != 0)
			continue;
		switch (oid.p[sizeof(oid_bag)]) {
		case BAG_KEY:
			st = add_key(f, p, value_end, false);
			break;
		case BAG_SHROUDED_KEY:
			st = add_key(f, p, value_end, true);
			break;
		case BAG_CERT:
			st = add_cert(f, p, value_end);
			break;
		case BAG_NESTED:
			st = read_bags(f, p, value_end, depth + 1);
			break;
		default: /* revocation lists, secrets */
			break;
		}
	}
	return st;
}

/* EncryptedData ::= SEQUENCE { version, SEQUENCE { type, algorithm, [0] } } */
static enum tls_pbe_status read_encrypted(
    struct p12 *f, unsigned char *p, const unsigned char *end)
{
	mbedtls_asn1_buf alg, params, in;
	enum tls_pbe_status st;
	unsigned char *plain;
	size_t len;
	int version;

	end = enter(&p, end, TLS_ASN1_SEQ);
	if (end == NULL || mbedtls_asn1_get_int(&p, end, &version) != 0)
		return TLS_PBE_BAD;
	end = enter(&p, end, TLS_ASN1_SEQ);
	if (end == NULL ||
	    mbedtls_asn1_get_tag(&p, end, &len, MBEDTLS_ASN1_OID) != 0)
		return TLS_PBE_BAD;
	p += len;
	if (mbedtls_asn1_get_alg(&p, end, &alg, &params) != 0 ||
	    mbedtls_asn1_get_tag(&p, end, &in.len, IMPLICIT_0) != 0)
		return TLS_PBE_BAD;
	in.p = p;
	st = tls_pbe_open(&alg, &params, &in, f->pw, &plain, &len);
	if (st != TLS_PBE_OK)
		return st;
	st = read_bags(f, plain, plain + len, 0);
	tls_pbe_free(plain, len);
	/* A wrong password leaves nonsense inside. */
	return st == TLS_PBE_BAD ? TLS_PBE_WRONG : st;
}

/* AuthenticatedSafe ::= SEQUENCE OF ContentInfo */
static enum tls_pbe_status read_safes(
    struct p12 *f, const mbedtls_asn1_buf *safe)
{
	unsigned char *p = safe->p, *end, *info_end, *value_end;
	enum tls_pbe_status st = TLS_PBE_OK;
	mbedtls_asn1_buf oid, data;

	end = enter(&p, p + safe->len, TLS_ASN1_SEQ);
	if (end == NULL)
		return TLS_PBE_BAD;
	for (; st == TLS_PBE_OK && p < end; p = info_end) {
		value_end = enter_typed(&p, end, &oid, &info_end);
		if (value_end == NULL)
			return TLS_PBE_BAD;
		if (tls_oid_is(&oid, oid_encrypted, sizeof(oid_encrypted)))
			st = read_encrypted(f, p, value_end);
		else if (!tls_oid_is(&oid, oid_data, sizeof(oid_data)))
			st = TLS_PBE_UNKNOWN; /* for a public key */
		else if (tls_octets(&p, value_end, &data) != 0)
			st = TLS_PBE_BAD;
		else
			st = read_bags(f, data.p, data.p + data.len, 0);
	}
	return st;
}

/* MacData ::= SEQUENCE { SEQUENCE { algorithm, digest }, salt, iterations? } */
static enum tls_pbe_status check_mac(unsigned char *p, const unsigned char *end,
    const mbedtls_asn1_buf *safe, const struct tls_password *pw)
{
	mbedtls_asn1_buf alg, params, digest, salt;
	unsigned char key[64], mac[64], *info_end;
	mbedtls_md_type_t type;
	size_t size;
	int iterations = 1;

	end = enter(&p, end, TLS_ASN1_SEQ);
	if (end == NULL)
		return TLS_PBE_BAD;
	info_end = enter(&p, end, TLS_ASN1_SEQ);
	if (info_end == NULL ||
	    mbedtls_asn1_get_alg(&p, info_end, &alg, &params) != 0 ||
	    tls_octets(&p, info_end, &digest) != 0 ||
	    tls_octets(&p, end, &salt) != 0 ||
	    (p < end && mbedtls_asn1_get_int(&p, end, &iterations) != 0))
		return TLS_PBE_BAD;
	if (mbedtls_oid_get_md_alg(&alg, &type) != 0 ||
	    mbedtls_md_info_from_type(type) == NULL)
		return TLS_PBE_UNKNOWN;
	size = mbedtls_md_get_size(mbedtls_md_info_from_type(type));
	if (digest.len != size ||
	    tls_p12_derive(pw, type, 3, &salt, iterations, key, size) != 0 ||
	    mbedtls_md_hmac(mbedtls_md_info_from_type(type), key, size, safe->p,
		safe->len, mac) != 0)
		return TLS_PBE_BAD;
	mem_wipe(key, sizeof(key));
	return memcmp(mac, digest.p, size) == 0 ? TLS_PBE_OK : TLS_PBE_WRONG;
}

/* PFX ::= SEQUENCE { version, authSafe, macData? } */
static enum tls_pbe_status read_pfx(
    struct p12 *f, unsigned char *p, const unsigned char *end)
{
	enum tls_pbe_status st = TLS_PBE_OK;
	unsigned char *info_end, *value_end;
	mbedtls_asn1_buf oid, safe;
	int version;

	end = enter(&p, end, TLS_ASN1_SEQ);
	if (end == NULL || mbedtls_asn1_get_int(&p, end, &version) != 0 ||
	    version != 3)
		return TLS_PBE_BAD;
	value_end = enter_typed(&p, end, &oid, &info_end);
	if (value_end == NULL)
		return TLS_PBE_BAD;
	if (!tls_oid_is(&oid, oid_data, sizeof(oid_data)))
		return TLS_PBE_UNKNOWN; /* signed with a key */
	if (tls_octets(&p, value_end, &safe) != 0)
		return TLS_PBE_BAD;
	if (info_end < end)
		st = check_mac(info_end, end, &safe, f->pw);
	return st == TLS_PBE_OK ? read_safes(f, &safe) : st;
}

static void p12_free(struct p12 *f)
{
	size_t i;

	for (i = 0; i < f->n_keys; i++)
		tls_key_free(f->keys[i]);
	tls_cert_free(f->cert);
	*f = (struct p12){ .pw = NULL };
}

static void p12_init(struct p12 *f, const struct tls_password *pw)
{
	*f = (struct p12){ .pw = pw, .cert = xcalloc(1, sizeof(*f->cert)) };
	mbedtls_x509_crt_init(&f->cert->crt);
}

static void explain_p12(enum tls_pbe_status st, char err[ERR_MAX])
{
	static const char *const text[] = {
		[TLS_PBE_OK] = "",
		[TLS_PBE_WRONG] = "", /* the caller knows more about it */
		[TLS_PBE_BAD] = "is damaged or not PKCS#12 in DER",
		[TLS_PBE_UNKNOWN] =
		    "uses an encryption that xapsd does not know: convert it "
		    "with \"openssl pkcs12 -in … -nodes -out push.pem\" and "
		    "set certificateFilePem: push.pem",
	};

	err_set(err, "%s", text[st]);
}

/* Finds the key with the highest certificate among several keys and CAs. */
static int take_pair(struct p12 *f, tls_cert_rank *rank,
    struct tls_cert **cert_r, struct tls_key **key_r, char err[ERR_MAX])
{
	size_t i, best = KEYS_MAX;
	int64_t most = 0, n;

	for (i = 0; f->n_certs > 0 && i < f->n_keys; i++) {
		if (!tls_cert_matches(f->cert, f->keys[i], rank))
			continue;
		n = rank != NULL ? rank(f->cert) : 0;
		if (best == KEYS_MAX || n > most) {
			best = i;
			most = n;
		}
	}
	if (best < KEYS_MAX) {
		tls_cert_matches(f->cert, f->keys[best], rank);
		*cert_r = f->cert;
		*key_r = f->keys[best];
		f->cert = NULL;
		f->keys[best] = NULL;
		return 0;
	}
	if (f->n_keys == 0)
		err_set(err, "holds no private key: export the certificate "
			     "together with its key (in Keychain, expand the "
			     "certificate and select both)");
	else if (f->n_certs == 0)
		err_set(err, "holds no certificate: export it together with "
			     "the key");
	else
		err_set(err, "holds a key that does not belong to the "
			     "certificate in it");
	return -1;
}

int tls_p12_parse(unsigned char *data, size_t len, const char *password,
    tls_cert_rank *rank, struct tls_cert **cert_r, struct tls_key **key_r,
    char err[ERR_MAX])
{
	enum tls_pbe_status st = TLS_PBE_WRONG;
	struct p12 f = { .pw = NULL };
	struct tls_password pw;
	unsigned variant = 0;
	int rc = -1;

	while (st == TLS_PBE_WRONG &&
	       tls_password_init(&pw, password, variant++)) {
		p12_free(&f);
		p12_init(&f, &pw);
		st = read_pfx(&f, data, data + len);
		tls_password_free(&pw);
	}
	if (st == TLS_PBE_OK)
		rc = take_pair(&f, rank, cert_r, key_r, err);
	else
		explain_p12(st, err);
	p12_free(&f);
	return rc;
}
