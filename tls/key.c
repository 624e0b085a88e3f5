/* tls/key.c - keys, certificates, signatures, digests; random numbers. */
#include "tls/mbed.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "features.h"
#include "mem.h"
#include "text.h"

#define PEM_CERT "-----BEGIN CERTIFICATE-----"
#define PEM_ENCRYPTED "-----BEGIN ENCRYPTED PRIVATE KEY-----"
#define PEM_OLD_ENCRYPTED "Proc-Type: 4,ENCRYPTED" /* RFC 1421 4.6.1.1 */
#define PEM_ENCRYPTED_END "-----END ENCRYPTED PRIVATE KEY-----"

int tls_rng(void *unused, unsigned char *p, size_t n)
{
	ssize_t got;

	(void)unused;
	while (n > 0) {
		got = getrandom(p, n, 0);
		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0) {
			log_at(LOG_L_FATAL, "random: getrandom: %s",
			    err_words(errno));
			abort();
		}
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

void tls_random(void *out, size_t n)
{
	tls_rng(NULL, out, n);
}

#if defined(MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG)
/* For PSA, in a build without mbedTLS's own generator. */
psa_status_t mbedtls_psa_external_get_random(
    mbedtls_psa_external_random_context_t *unused, uint8_t *p, size_t n,
    size_t *n_r)
{
	(void)unused;
	tls_rng(NULL, p, n);
	*n_r = n;
	return PSA_SUCCESS;
}
#endif

#define LINE_LEN 64 /* RFC 7468 2 */

char *tls_pem(const void *der, size_t n, const char *label)
{
	char b64[TEXT_BASE64_SIZE(TLS_PEM_MAX)];
	char *out = xmalloc(2 * sizeof(b64)), *at = out;
	size_t len, i;

	len = text_base64_write(der, n, false, b64);
	at += sprintf(at, "-----BEGIN %s-----\n", label);
	for (i = 0; i < len; i += LINE_LEN)
		at += sprintf(at, "%.*s\n", LINE_LEN, b64 + i);
	sprintf(at, "-----END %s-----\n", label);
	mem_wipe(b64, sizeof(b64));
	return out;
}

/* --- private keys --- */

/* mbedTLS has several codes for one fault of a key, by version and format.  "":
 * the password, which the caller knows more about. */
static const struct {
	int code;
	const char *text;
} key_faults[] = {
	{ MBEDTLS_ERR_PK_PASSWORD_REQUIRED, "" },
	{ MBEDTLS_ERR_PEM_PASSWORD_REQUIRED, "" },
	{ MBEDTLS_ERR_PK_PASSWORD_MISMATCH, "" },
	{ MBEDTLS_ERR_PEM_PASSWORD_MISMATCH, "" },
	{ MBEDTLS_ERR_PK_UNKNOWN_PK_ALG,
	    "holds a key that is neither RSA nor EC: take the one that the "
	    "certificate was requested with" },
	{ MBEDTLS_ERR_PK_UNKNOWN_NAMED_CURVE,
	    "holds an EC key on a curve that TLS does not use: use P-256" },
	{ MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE,
	    "holds a key in an encryption that xapsd does not know: "
	    "convert it with \"openssl pkey -aes256 -in … -out …\"" },
	{ MBEDTLS_ERR_PEM_UNKNOWN_ENC_ALG,
	    "holds a key in an encryption that xapsd does not know: "
	    "convert it with \"openssl pkey -aes256 -in … -out …\"" },
	{ 0, NULL },
};

static void explain_key(int ret, const char *text, char err[ERR_MAX])
{
	const char *lack = features_lack("p12");
	size_t i;

	if (lack != NULL && strstr(text, "ENCRYPTED") != NULL) {
		err_set(err, "holds an encrypted key: %s", lack);
		return;
	}
	for (i = 0; key_faults[i].text != NULL; i++)
		if (key_faults[i].code == ret) {
			err_set(err, "%s", key_faults[i].text);
			return;
		}
	/* One wrong password in 512 gives what looks like a key at first. */
	if (strstr(text, PEM_OLD_ENCRYPTED) != NULL)
		*err = '\0';
	else if (text[0] != 0x30 && strstr(text, "PRIVATE KEY-----") == NULL)
		err_set(err, "holds no private key (no PEM part \"BEGIN … "
			     "PRIVATE KEY\")");
	else
		err_set(err,
		    "holds a damaged private key (-0x%04x of mbedTLS): take "
		    "a fresh copy of the file",
		    (unsigned)-ret);
}

/* Encrypted PKCS#8, by tls/pbe.c.  Returns a code of mbedTLS. */
static int parse_encrypted(
    mbedtls_pk_context *pk, const char *text, const char *password)
{
	static const int codes[] = {
		[TLS_PBE_OK] = 0,
		[TLS_PBE_WRONG] = MBEDTLS_ERR_PK_PASSWORD_MISMATCH,
		[TLS_PBE_BAD] = MBEDTLS_ERR_PK_KEY_INVALID_FORMAT,
		[TLS_PBE_UNKNOWN] = MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE,
	};
	enum tls_pbe_status st = TLS_PBE_WRONG;
	struct tls_password pw;
	mbedtls_pem_context pem;
	unsigned variant = 0;
	size_t used;
	int ret;

	if (password == NULL)
		return MBEDTLS_ERR_PK_PASSWORD_REQUIRED;
	mbedtls_pem_init(&pem);
	ret = mbedtls_pem_read_buffer(&pem, PEM_ENCRYPTED, PEM_ENCRYPTED_END,
	    (const unsigned char *)text, NULL, 0, &used);
	while (ret == 0 && st == TLS_PBE_WRONG &&
	       tls_password_init(&pw, password, variant++)) {
		st = tls_pbe_key(pem.MBEDTLS_PRIVATE(buf),
		    pem.MBEDTLS_PRIVATE(buflen), &pw, pk);
		tls_password_free(&pw);
	}
	mbedtls_pem_free(&pem);
	return ret != 0 ? ret : codes[st];
}

struct tls_key *tls_key_parse(
    const char *text, size_t len, const char *password, char err[ERR_MAX])
{
	struct tls_key *k = xcalloc(1, sizeof(*k));
	/* mbedTLS recognises PEM by the NUL within its length. */
	size_t n = text[0] == 0x30 ? len : len + 1;
	int ret;

	assert(text[len] == '\0');
	mbedtls_pk_init(&k->pk);
	if (strstr(text, PEM_ENCRYPTED) != NULL)
		ret = parse_encrypted(&k->pk, text, password);
	else
		ret = mbedtls_pk_parse_key(&k->pk, (const unsigned char *)text,
		    n, (const unsigned char *)password,
		    password != NULL ? strlen(password) : 0 PK_RNG);
	if (ret == 0)
		return k;
	/* What a wrong password makes of it looks like a key once in 500. */
	if (password != NULL && ret != MBEDTLS_ERR_PEM_UNKNOWN_ENC_ALG &&
	    strstr(text, PEM_OLD_ENCRYPTED) != NULL)
		ret = MBEDTLS_ERR_PK_PASSWORD_MISMATCH;
	explain_key(ret, text, err);
	tls_key_free(k);
	return NULL;
}

void tls_key_free(struct tls_key *k)
{
	if (k == NULL)
		return;
	mbedtls_pk_free(&k->pk);
	free(k);
}

bool tls_key_is_p256(const struct tls_key *k)
{
	return mbedtls_pk_get_type(&k->pk) == MBEDTLS_PK_ECKEY &&
	       mbedtls_pk_ec(k->pk)->MBEDTLS_PRIVATE(grp).id ==
		   MBEDTLS_ECP_DP_SECP256R1;
}

/* --- certificates --- */

struct tls_cert *tls_cert_parse(const char *text, size_t len, char err[ERR_MAX])
{
	const unsigned char *p = (const unsigned char *)text;
	struct tls_cert *c = xcalloc(1, sizeof(*c));
	bool pem = strstr(text, PEM_CERT) != NULL;
	int ret;

	assert(text[len] == '\0');
	mbedtls_x509_crt_init(&c->crt);
	if (pem)
		ret = mbedtls_x509_crt_parse(&c->crt, p, len + 1);
	else
		ret = mbedtls_x509_crt_parse_der(&c->crt, p, len);
	/* One that cannot be read may be a CA that is not needed. */
	if (ret >= 0 && c->crt.version != 0) {
		c->unread = ret;
		return c;
	}
	if (!pem && text[0] != 0x30)
		err_set(err, "holds no certificate (no PEM part \"BEGIN "
			     "CERTIFICATE\")");
	else
		err_set(err,
		    "holds a certificate that cannot be read: it is damaged, "
		    "or of a kind that xapsd does not know; take a fresh copy "
		    "of the file");
	tls_cert_free(c);
	return NULL;
}

void tls_cert_free(struct tls_cert *c)
{
	if (c == NULL)
		return;
	mbedtls_x509_crt_free(&c->crt);
	free(c);
}

/* Exchanges two certificates of a list, or one with itself. */
static void swap(mbedtls_x509_crt *a, mbedtls_x509_crt *b)
{
	mbedtls_x509_crt tmp = *a;
	mbedtls_x509_crt *a_next = a->next, *b_next = b->next;

	*a = *b;
	*b = tmp;
	a->next = a_next;
	b->next = b_next;
}

bool tls_cert_matches(
    struct tls_cert *c, const struct tls_key *k, tls_cert_rank *rank)
{
	mbedtls_x509_crt *crt, *best = NULL;
	int64_t most = 0, n;

	for (crt = &c->crt; crt != NULL; crt = crt->next) {
		if (mbedtls_pk_check_pair(&crt->pk, &k->pk PK_RNG) != 0)
			continue;
		swap(&c->crt, crt);
		n = rank != NULL ? rank(c) : 0;
		swap(&c->crt, crt);
		if (best == NULL || n > most) {
			best = crt;
			most = n;
		}
	}
	if (best != NULL)
		swap(&c->crt, best);
	return best != NULL;
}

int tls_cert_unread(const struct tls_cert *c)
{
	return c->unread;
}

static int64_t seconds_of(const mbedtls_x509_time *t)
{
	return clock_seconds(
	    t->year, t->mon, t->day, (const int[]){ t->hour, t->min, t->sec });
}

int64_t tls_cert_not_before(const struct tls_cert *c)
{
	return seconds_of(&c->crt.valid_from);
}

int64_t tls_cert_not_after(const struct tls_cert *c)
{
	return seconds_of(&c->crt.valid_to);
}

const mbedtls_x509_name *tls_name_find(
    const mbedtls_x509_name *name, const void *oid, size_t oid_len)
{
	const mbedtls_x509_name *found = NULL;

	for (; name != NULL; name = name->next)
		if (name->oid.len == oid_len &&
		    memcmp(name->oid.p, oid, oid_len) == 0)
			found = name;
	return found;
}

int tls_cert_subject(const struct tls_cert *c, const unsigned char *oid,
    size_t oid_len, size_t n, char *out, size_t out_size)
{
	const mbedtls_x509_name *a = &c->crt.subject;

	for (; a != NULL; a = a->next)
		if (tls_oid_is(&a->oid, oid, oid_len) && n-- == 0)
			break;
	if (a == NULL)
		return -1;
	n = a->val.len < out_size ? a->val.len : 0;
	memcpy(out, a->val.p, n);
	out[n] = '\0';
	return (int)n;
}

bool tls_cert_is_client(const struct tls_cert *c)
{
	return mbedtls_x509_crt_check_extended_key_usage(&c->crt,
		   MBEDTLS_OID_CLIENT_AUTH,
		   strlen(MBEDTLS_OID_CLIENT_AUTH)) == 0;
}

/* Extensions ::= SEQUENCE OF SEQUENCE { OID, ... } (RFC 5280 4.1). */
bool tls_cert_has_ext(
    const struct tls_cert *c, const unsigned char *oid, size_t oid_len)
{
	unsigned char *p = c->crt.v3_ext.p, *end, *next;
	size_t len;

	if (p == NULL)
		return false;
	end = p + c->crt.v3_ext.len;
	if (mbedtls_asn1_get_tag(&p, end, &len, TLS_ASN1_SEQ) != 0)
		return false;
	while (
	    p < end && mbedtls_asn1_get_tag(&p, end, &len, TLS_ASN1_SEQ) == 0) {
		next = p + len;
		if (mbedtls_asn1_get_tag(&p, next, &len, MBEDTLS_ASN1_OID) ==
			0 &&
		    len == oid_len && memcmp(p, oid, len) == 0)
			return true;
		p = next;
	}
	return false;
}

/* --- signatures and digests --- */

static void digest(
    mbedtls_md_type_t type, const void *data, size_t len, unsigned char *out)
{
	int ret = mbedtls_md(mbedtls_md_info_from_type(type), data, len, out);

	/* Fails only if mbedTLS was built without this digest. */
	assert(ret == 0);
	(void)ret;
}

void tls_md5(const void *data, size_t len, unsigned char out[16])
{
	digest(MBEDTLS_MD_MD5, data, len, out);
}

void tls_sha256(const void *data, size_t len, unsigned char out[32])
{
	digest(MBEDTLS_MD_SHA256, data, len, out);
}

static void explain_sign(int ret, char err[ERR_MAX])
{
	err_set(err,
	    "cannot sign a JWT (internal error -0x%04x of mbedTLS): is the "
	    "key in order, and is there memory left?",
	    (unsigned)-ret);
}

bool tls_key_signs_rs256(const struct tls_key *k)
{
	size_t bits = mbedtls_pk_get_bitlen(&k->pk);

	return mbedtls_pk_get_type(&k->pk) == MBEDTLS_PK_RSA && bits >= 2048 &&
	       bits <= 8 * TLS_RS256_MAX;
}

size_t tls_sign_rs256(struct tls_key *k, const void *data, size_t len,
    unsigned char sig_r[TLS_RS256_MAX], char err[ERR_MAX])
{
	unsigned char hash[32];
	size_t n = 0;
	int ret;

	tls_sha256(data, len, hash);
	ret = mbedtls_pk_sign(&k->pk, MBEDTLS_MD_SHA256, hash, sizeof(hash),
	    sig_r,
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
	    TLS_RS256_MAX,
#endif
	    &n, tls_rng, NULL);
	if (ret == 0)
		return n;
	explain_sign(ret, err);
	return 0;
}

int tls_sign_es256(struct tls_key *k, const void *data, size_t len,
    unsigned char sig_r[64], char err[ERR_MAX])
{
	mbedtls_ecp_keypair *ec = mbedtls_pk_ec(k->pk);
	unsigned char hash[32];
	mbedtls_mpi r, s;
	int ret;

	assert(tls_key_is_p256(k));
	tls_sha256(data, len, hash);
	mbedtls_mpi_init(&r);
	mbedtls_mpi_init(&s);
	ret = mbedtls_ecdsa_sign(&ec->MBEDTLS_PRIVATE(grp), &r, &s,
	    &ec->MBEDTLS_PRIVATE(d), hash, sizeof(hash), tls_rng, NULL);
	if (ret == 0)
		ret = mbedtls_mpi_write_binary(&r, sig_r, 32);
	if (ret == 0)
		ret = mbedtls_mpi_write_binary(&s, sig_r + 32, 32);
	mbedtls_mpi_free(&r);
	mbedtls_mpi_free(&s);
	if (ret == 0)
		return 0;
	explain_sign(ret, err);
	return -1;
}

bool tls_check_es256(const struct tls_key *k, const void *data, size_t len,
    const unsigned char sig[64])
{
	const mbedtls_ecp_keypair *key = mbedtls_pk_ec(k->pk);
	unsigned char hash[32];
	mbedtls_ecp_group grp;
	mbedtls_mpi r, s;
	int ret;

	tls_sha256(data, len, hash);
	mbedtls_ecp_group_init(&grp); /* verifying fills in a table there */
	mbedtls_mpi_init(&r);
	mbedtls_mpi_init(&s);
	ret = mbedtls_ecp_group_load(&grp, MBEDTLS_ECP_DP_SECP256R1);
	if (ret == 0)
		ret = mbedtls_mpi_read_binary(&r, sig, 32);
	if (ret == 0)
		ret = mbedtls_mpi_read_binary(&s, sig + 32, 32);
	if (ret == 0)
		ret = mbedtls_ecdsa_verify(
		    &grp, hash, sizeof(hash), &key->MBEDTLS_PRIVATE(Q), &r, &s);
	mbedtls_mpi_free(&r);
	mbedtls_mpi_free(&s);
	mbedtls_ecp_group_free(&grp);
	return ret == 0;
}
