/* tls/pbe.c - password-based decryption of key files: PBES1 as PKCS#12 uses it
 * (RFC 7292) and PBES2 (RFC 8018).  mbedTLS cannot do it all: 2.28 has no AES
 * there, neither version has RC2, and both get non-ASCII passwords wrong. */
#include "tls/mbed.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "text.h"

/* More would stop a router's daemon for minutes; tools use 2,048 to 600,000. */
#ifndef ITERATIONS_MAX
#define ITERATIONS_MAX 10000000
#endif

#define KEY_MAX 32
#define BLOCK_MAX 16

/* --- RC2 (RFC 2268), for the certificate in files of old tools --- */

static const unsigned char rc2_pi[256] = { 0xd9, 0x78, 0xf9, 0xc4, 0x19, 0xdd,
	0xb5, 0xed, 0x28, 0xe9, 0xfd, 0x79, 0x4a, 0xa0, 0xd8, 0x9d, 0xc6, 0x7e,
	0x37, 0x83, 0x2b, 0x76, 0x53, 0x8e, 0x62, 0x4c, 0x64, 0x88, 0x44, 0x8b,
	0xfb, 0xa2, 0x17, 0x9a, 0x59, 0xf5, 0x87, 0xb3, 0x4f, 0x13, 0x61, 0x45,
	0x6d, 0x8d, 0x09, 0x81, 0x7d, 0x32, 0xbd, 0x8f, 0x40, 0xeb, 0x86, 0xb7,
	0x7b, 0x0b, 0xf0, 0x95, 0x21, 0x22, 0x5c, 0x6b, 0x4e, 0x82, 0x54, 0xd6,
	0x65, 0x93, 0xce, 0x60, 0xb2, 0x1c, 0x73, 0x56, 0xc0, 0x14, 0xa7, 0x8c,
	0xf1, 0xdc, 0x12, 0x75, 0xca, 0x1f, 0x3b, 0xbe, 0xe4, 0xd1, 0x42, 0x3d,
	0xd4, 0x30, 0xa3, 0x3c, 0xb6, 0x26, 0x6f, 0xbf, 0x0e, 0xda, 0x46, 0x69,
	0x07, 0x57, 0x27, 0xf2, 0x1d, 0x9b, 0xbc, 0x94, 0x43, 0x03, 0xf8, 0x11,
	0xc7, 0xf6, 0x90, 0xef, 0x3e, 0xe7, 0x06, 0xc3, 0xd5, 0x2f, 0xc8, 0x66,
	0x1e, 0xd7, 0x08, 0xe8, 0xea, 0xde, 0x80, 0x52, 0xee, 0xf7, 0x84, 0xaa,
	0x72, 0xac, 0x35, 0x4d, 0x6a, 0x2a, 0x96, 0x1a, 0xd2, 0x71, 0x5a, 0x15,
	0x49, 0x74, 0x4b, 0x9f, 0xd0, 0x5e, 0x04, 0x18, 0xa4, 0xec, 0xc2, 0xe0,
	0x41, 0x6e, 0x0f, 0x51, 0xcb, 0xcc, 0x24, 0x91, 0xaf, 0x50, 0xa1, 0xf4,
	0x70, 0x39, 0x99, 0x7c, 0x3a, 0x85, 0x23, 0xb8, 0xb4, 0x7a, 0xfc, 0x02,
	0x36, 0x5b, 0x25, 0x55, 0x97, 0x31, 0x2d, 0x5d, 0xfa, 0x98, 0xe3, 0x8a,
	0x92, 0xae, 0x05, 0xdf, 0x29, 0x10, 0x67, 0x6c, 0xba, 0xc9, 0xd3, 0x00,
	0xe6, 0xcf, 0xe1, 0x9e, 0xa8, 0x2c, 0x63, 0x16, 0x01, 0x3f, 0x58, 0xe2,
	0x89, 0xa9, 0x0d, 0x38, 0x34, 0x1b, 0xab, 0x33, 0xff, 0xb0, 0xbb, 0x48,
	0x0c, 0x5f, 0xb9, 0xb1, 0xcd, 0x2e, 0xc5, 0xf3, 0xdb, 0x47, 0xe5, 0xa5,
	0x9c, 0x77, 0x0a, 0xa6, 0x20, 0x68, 0xfe, 0x7f, 0xc1, 0xad };

/* RFC 2268 2; all bits of the key are effective. */
static void rc2_expand(const unsigned char *key, size_t n, uint16_t k[64])
{
	unsigned char l[128];
	size_t i;

	memcpy(l, key, n);
	for (i = n; i < 128; i++)
		l[i] = rc2_pi[(l[i - 1] + l[i - n]) & 255];
	l[128 - n] = rc2_pi[l[128 - n]];
	for (i = 128 - n; i-- > 0;)
		l[i] = rc2_pi[l[i + 1] ^ l[i + n]];
	for (i = 0; i < 64; i++)
		k[i] = (uint16_t)(l[2 * i] | l[2 * i + 1] << 8);
	mem_wipe(l, sizeof(l));
}

static void rc2_unmix(uint16_t r[4], const uint16_t *k)
{
	static const int turns[4] = { 1, 2, 3, 5 };
	unsigned a, b, c;
	int i;

	for (i = 3; i >= 0; i--) {
		r[i] = (uint16_t)(r[i] >> turns[i] | r[i] << (16 - turns[i]));
		a = r[(i + 3) & 3];
		b = r[(i + 2) & 3];
		c = r[(i + 1) & 3];
		r[i] = (uint16_t)(r[i] - k[i] - (a & b) - (~a & c));
	}
}

/* RFC 2268 4: 5, 6 and 5 mixing rounds, with a mashing round after the first
 * and the second group. */
static void rc2_decrypt_block(
    const uint16_t k[64], const unsigned char in[8], unsigned char out[8])
{
	uint16_t r[4];
	int i, round;

	for (i = 0; i < 4; i++)
		r[i] = (uint16_t)(in[2 * i] | in[2 * i + 1] << 8);
	for (round = 15; round >= 0; round--) {
		rc2_unmix(r, k + 4 * round);
		if (round == 5 || round == 11)
			for (i = 3; i >= 0; i--)
				r[i] =
				    (uint16_t)(r[i] - k[r[(i + 3) & 3] & 63]);
	}
	for (i = 0; i < 4; i++) {
		out[2 * i] = (unsigned char)r[i];
		out[2 * i + 1] = (unsigned char)(r[i] >> 8);
	}
}

static int rc2_decrypt_cbc(const unsigned char *key, size_t key_len,
    const unsigned char *iv, const unsigned char *in, size_t len,
    unsigned char *out, size_t *out_len_r)
{
	const unsigned char *prev = iv;
	uint16_t k[64];
	size_t i, j, pad;

	if (len == 0 || len % 8 != 0)
		return -1;
	rc2_expand(key, key_len, k);
	for (i = 0; i < len; i += 8) {
		rc2_decrypt_block(k, in + i, out + i);
		for (j = 0; j < 8; j++)
			out[i + j] ^= prev[j];
		prev = in + i;
	}
	mem_wipe(k, sizeof(k));
	pad = out[len - 1];
	if (pad == 0 || pad > 8)
		return -1;
	for (i = len - pad; i < len; i++)
		if (out[i] != pad)
			return -1;
	*out_len_r = len - pad;
	return 0;
}

/* --- passwords --- */

/* Reads one character of UTF-8, or of Latin-1 if it is not valid UTF-8. */
static unsigned long next_char(const char **s, bool utf8)
{
	const unsigned char *p = (const unsigned char *)*s;
	size_t n = utf8 ? text_utf8_char(p, strlen(*s)) : 1;
	unsigned long c = *p;

	*s += n > 0 ? n : 1;
	if (n > 1)
		c &= 0x7fu >> n;
	for (; n > 1; n--)
		c = c << 6 | (*++p & 0x3f);
	return c;
}

/* Writes a BMPString with its two NUL bytes (RFC 7292 B.1). */
static size_t write_bmp(const char *s, bool utf8, unsigned char *out)
{
	unsigned long c;
	size_t n = 0;

	while (*s != '\0') {
		c = next_char(&s, utf8);
		if (c > 0xffff) { /* a surrogate pair */
			c -= 0x10000;
			out[n++] = (unsigned char)(0xd8 | (c >> 18 & 3));
			out[n++] = (unsigned char)(c >> 10);
			c = 0xdc00 | (c & 0x3ff);
		}
		out[n++] = (unsigned char)(c >> 8);
		out[n++] = (unsigned char)c;
	}
	out[n++] = 0;
	out[n++] = 0;
	return n;
}

bool tls_password_init(
    struct tls_password *pw, const char *text, unsigned variant)
{
	memset(pw, 0, sizeof(*pw));
	pw->text = text != NULL ? text : "";
	pw->len = strlen(pw->text);
	if (variant > 1)
		return false;
	/* An empty password has two forms: an empty string, and none. */
	if (pw->len == 0 && variant == 1)
		return true;
	pw->bmp = xmalloc(2 * pw->len + 2);
	/* OpenSSL before 1.1 made a character of each byte. */
	pw->bmp_len = write_bmp(pw->text, variant == 0, pw->bmp);
	return true;
}

void tls_password_free(struct tls_password *pw)
{
	if (pw->bmp != NULL)
		mem_wipe(pw->bmp, pw->bmp_len);
	free(pw->bmp);
	pw->bmp = NULL;
}

/* --- key derivation --- */

/* RFC 7292 B.2 step 6, for one block: I = I + B + 1. */
static void add_block(unsigned char *i, const unsigned char *b, size_t v)
{
	unsigned carry = 1;

	while (v-- > 0) {
		carry += (unsigned)i[v] + b[v];
		i[v] = (unsigned char)carry;
		carry >>= 8;
	}
}

static void fill_repeated(
    unsigned char *out, size_t n, const unsigned char *from, size_t len)
{
	size_t i;

	for (i = 0; i < n; i++)
		out[i] = from[i % len];
}

/* RFC 7292 B.2.  Digests up to SHA-512: u 64, v 128. */
int tls_p12_derive(const struct tls_password *pw, mbedtls_md_type_t type,
    int id, const mbedtls_asn1_buf *salt, int iterations, unsigned char *out,
    size_t n)
{
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(type);
	unsigned char a[64], b[128], *di;
	size_t u, v, s_len, p_len, i, k;
	int round;

	if (md == NULL || iterations < 1 || iterations > ITERATIONS_MAX)
		return -1;
	u = mbedtls_md_get_size(md);
	v = u > 32 ? 128 : 64;
	s_len = (salt->len + v - 1) / v * v;
	p_len = (pw->bmp_len + v - 1) / v * v;
	di = xmalloc(v + s_len + p_len);
	memset(di, id, v);
	fill_repeated(di + v, s_len, salt->p, salt->len);
	fill_repeated(di + v + s_len, p_len, pw->bmp, pw->bmp_len);
	while (n > 0) {
		mbedtls_md(md, di, v + s_len + p_len, a);
		for (round = 1; round < iterations; round++)
			mbedtls_md(md, a, u, a);
		k = n < u ? n : u;
		memcpy(out, a, k);
		out += k;
		n -= k;
		fill_repeated(b, v, a, u);
		for (i = 0; i < s_len + p_len; i += v)
			add_block(di + v + i, b, v);
	}
	mem_wipe(di, v + s_len + p_len);
	free(di);
	mem_wipe(a, sizeof(a));
	mem_wipe(b, sizeof(b));
	return 0;
}

static int pbkdf2(const struct tls_password *pw, mbedtls_md_type_t type,
    const mbedtls_asn1_buf *salt, int iterations, unsigned char *out, size_t n)
{
	const unsigned char *p = (const unsigned char *)pw->text;
	int ret;

	if (iterations < 1 || iterations > ITERATIONS_MAX)
		return -1;
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	mbedtls_md_context_t md;

	mbedtls_md_init(&md);
	ret = mbedtls_md_setup(&md, mbedtls_md_info_from_type(type), 1);
	if (ret == 0)
		ret = mbedtls_pkcs5_pbkdf2_hmac(&md, p, pw->len, salt->p,
		    salt->len, (unsigned)iterations, (uint32_t)n, out);
	mbedtls_md_free(&md);
#else
	ret = mbedtls_pkcs5_pbkdf2_hmac_ext(type, p, pw->len, salt->p,
	    salt->len, (unsigned)iterations, (uint32_t)n, out);
#endif
	return ret;
}

/* --- algorithms --- */

struct scheme {
	unsigned char oid[11];
	unsigned char oid_len;
	mbedtls_cipher_type_t cipher; /* NONE: RC2 */
	unsigned char key_len, block;
};

#define PKCS12_PBE 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01
#define NIST_AES 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01

/* RFC 7292 C */
static const struct scheme pbes1[] = {
	{ { PKCS12_PBE, 3 }, 10, MBEDTLS_CIPHER_DES_EDE3_CBC, 24, 8 },
	{ { PKCS12_PBE, 4 }, 10, MBEDTLS_CIPHER_DES_EDE_CBC, 16, 8 },
	{ { PKCS12_PBE, 5 }, 10, MBEDTLS_CIPHER_NONE, 16, 8 },
	{ { PKCS12_PBE, 6 }, 10, MBEDTLS_CIPHER_NONE, 5, 8 },
	{ .oid_len = 0 },
};

/* RFC 8018 B.2 */
static const struct scheme pbes2[] = {
	{ { NIST_AES, 0x02 }, 9, MBEDTLS_CIPHER_AES_128_CBC, 16, 16 },
	{ { NIST_AES, 0x16 }, 9, MBEDTLS_CIPHER_AES_192_CBC, 24, 16 },
	{ { NIST_AES, 0x2a }, 9, MBEDTLS_CIPHER_AES_256_CBC, 32, 16 },
	{ { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7 }, 8,
	    MBEDTLS_CIPHER_DES_EDE3_CBC, 24, 8 },
	{ .oid_len = 0 },
};

static const unsigned char oid_pbes2[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
	0x01, 0x05, 0x0d };
static const unsigned char oid_pbkdf2[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
	0x01, 0x05, 0x0c };
/* hmacWithSHA1 to hmacWithSHA512, without the last byte (RFC 8018 B.1) */
static const unsigned char oid_hmac[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
	0x02 };

static const struct scheme *find_scheme(
    const struct scheme *s, const mbedtls_asn1_buf *oid)
{
	for (; s->oid_len != 0; s++)
		if (tls_oid_is(oid, s->oid, s->oid_len))
			return s;
	return NULL;
}

static mbedtls_md_type_t prf_digest(const mbedtls_asn1_buf *oid)
{
	static const mbedtls_md_type_t types[] = { MBEDTLS_MD_SHA1,
		MBEDTLS_MD_SHA224, MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384,
		MBEDTLS_MD_SHA512 };
	const size_t n = sizeof(oid_hmac);

	if (oid->len != n + 1 || memcmp(oid->p, oid_hmac, n) != 0 ||
	    oid->p[n] < 7 || oid->p[n] > 11)
		return MBEDTLS_MD_NONE;
	return types[oid->p[n] - 7];
}

static int decrypt_cbc(const struct scheme *s, const unsigned char *key,
    const unsigned char *iv, const mbedtls_asn1_buf *in, unsigned char *out,
    size_t *out_len_r)
{
	mbedtls_cipher_context_t c;
	int ret;

	if (s->cipher == MBEDTLS_CIPHER_NONE)
		return rc2_decrypt_cbc(
		    key, s->key_len, iv, in->p, in->len, out, out_len_r);
	mbedtls_cipher_init(&c);
	ret =
	    mbedtls_cipher_setup(&c, mbedtls_cipher_info_from_type(s->cipher));
	if (ret == 0)
		ret = mbedtls_cipher_setkey(
		    &c, key, s->key_len * 8, MBEDTLS_DECRYPT);
	if (ret == 0)
		ret =
		    mbedtls_cipher_set_padding_mode(&c, MBEDTLS_PADDING_PKCS7);
	*out_len_r = 0;
	if (ret == 0)
		ret = mbedtls_cipher_crypt(
		    &c, iv, s->block, in->p, in->len, out, out_len_r);
	mbedtls_cipher_free(&c);
	return ret;
}

/* What PBES1 and PBES2 have in common. */
struct pbe {
	const struct scheme *scheme;
	unsigned char key[KEY_MAX], iv[BLOCK_MAX];
};

int tls_octets(
    unsigned char **p, const unsigned char *end, mbedtls_asn1_buf *out)
{
	if (mbedtls_asn1_get_tag(
		p, end, &out->len, MBEDTLS_ASN1_OCTET_STRING) != 0)
		return -1;
	out->p = *p;
	*p += out->len;
	return 0;
}

/* SEQUENCE { salt, iterations } */
static enum tls_pbe_status pbes1_params(const mbedtls_asn1_buf *params,
    const struct tls_password *pw, struct pbe *pbe)
{
	unsigned char *p = params->p, *end = p + params->len;
	mbedtls_asn1_buf salt;
	int iterations;

	if (params->tag != TLS_ASN1_SEQ || tls_octets(&p, end, &salt) != 0 ||
	    mbedtls_asn1_get_int(&p, end, &iterations) != 0)
		return TLS_PBE_BAD;
	if (tls_p12_derive(pw, MBEDTLS_MD_SHA1, 1, &salt, iterations, pbe->key,
		pbe->scheme->key_len) != 0 ||
	    tls_p12_derive(pw, MBEDTLS_MD_SHA1, 2, &salt, iterations, pbe->iv,
		pbe->scheme->block) != 0)
		return TLS_PBE_BAD;
	return TLS_PBE_OK;
}

/* PBKDF2-params ::= SEQUENCE { salt, iterations, keyLength?, prf? } */
static enum tls_pbe_status pbkdf2_params(const mbedtls_asn1_buf *params,
    const struct tls_password *pw, struct pbe *pbe)
{
	unsigned char *p = params->p, *end = p + params->len;
	mbedtls_md_type_t type = MBEDTLS_MD_SHA1;
	mbedtls_asn1_buf salt, prf, none;
	int iterations, key_len;

	if (params->tag != TLS_ASN1_SEQ || tls_octets(&p, end, &salt) != 0 ||
	    mbedtls_asn1_get_int(&p, end, &iterations) != 0)
		return TLS_PBE_BAD;
	if (p < end && *p == MBEDTLS_ASN1_INTEGER &&
	    (mbedtls_asn1_get_int(&p, end, &key_len) != 0 ||
		key_len != pbe->scheme->key_len))
		return TLS_PBE_BAD;
	if (p < end) {
		if (mbedtls_asn1_get_alg(&p, end, &prf, &none) != 0)
			return TLS_PBE_BAD;
		type = prf_digest(&prf);
	}
	if (type == MBEDTLS_MD_NONE)
		return TLS_PBE_UNKNOWN;
	if (pbkdf2(pw, type, &salt, iterations, pbe->key,
		pbe->scheme->key_len) != 0)
		return TLS_PBE_BAD;
	return TLS_PBE_OK;
}

/* SEQUENCE { keyDerivationFunc, encryptionScheme } (RFC 8018 A.4) */
static enum tls_pbe_status pbes2_params(const mbedtls_asn1_buf *params,
    const struct tls_password *pw, struct pbe *pbe)
{
	unsigned char *p = params->p, *end = p + params->len;
	mbedtls_asn1_buf kdf, kdf_params, enc, iv;

	if (params->tag != TLS_ASN1_SEQ ||
	    mbedtls_asn1_get_alg(&p, end, &kdf, &kdf_params) != 0 ||
	    mbedtls_asn1_get_alg(&p, end, &enc, &iv) != 0)
		return TLS_PBE_BAD;
	pbe->scheme = find_scheme(pbes2, &enc);
	if (pbe->scheme == NULL ||
	    !tls_oid_is(&kdf, oid_pbkdf2, sizeof(oid_pbkdf2)))
		return TLS_PBE_UNKNOWN;
	if (iv.tag != MBEDTLS_ASN1_OCTET_STRING || iv.len != pbe->scheme->block)
		return TLS_PBE_BAD;
	memcpy(pbe->iv, iv.p, iv.len);
	return pbkdf2_params(&kdf_params, pw, pbe);
}

enum tls_pbe_status tls_pbe_open(const mbedtls_asn1_buf *oid,
    const mbedtls_asn1_buf *params, const mbedtls_asn1_buf *in,
    const struct tls_password *pw, unsigned char **out_r, size_t *len_r)
{
	enum tls_pbe_status st;
	struct pbe pbe;

	*out_r = NULL;
	*len_r = 0;
	pbe.scheme = find_scheme(pbes1, oid);
	if (pbe.scheme != NULL)
		st = pbes1_params(params, pw, &pbe);
	else if (tls_oid_is(oid, oid_pbes2, sizeof(oid_pbes2)))
		st = pbes2_params(params, pw, &pbe);
	else
		return TLS_PBE_UNKNOWN;
	if (st == TLS_PBE_OK) {
		/* mbedTLS may write one block more than it keeps. */
		*out_r = xmalloc(in->len + BLOCK_MAX);
		if (decrypt_cbc(
			pbe.scheme, pbe.key, pbe.iv, in, *out_r, len_r) != 0) {
			tls_pbe_free(*out_r, in->len + BLOCK_MAX);
			*out_r = NULL;
			st = TLS_PBE_WRONG;
		}
	}
	mem_wipe(&pbe, sizeof(pbe));
	return st;
}

void tls_pbe_free(unsigned char *p, size_t len)
{
	if (p != NULL)
		mem_wipe(p, len);
	free(p);
}

enum tls_pbe_status tls_pbe_key(unsigned char *der, size_t len,
    const struct tls_password *pw, mbedtls_pk_context *pk)
{
	unsigned char *p = der, *end = der + len, *plain;
	mbedtls_asn1_buf oid, params, in;
	enum tls_pbe_status st;
	size_t n;

	if (mbedtls_asn1_get_tag(&p, end, &n, TLS_ASN1_SEQ) != 0 ||
	    mbedtls_asn1_get_alg(&p, end, &oid, &params) != 0 ||
	    tls_octets(&p, end, &in) != 0)
		return TLS_PBE_BAD;
	st = tls_pbe_open(&oid, &params, &in, pw, &plain, &n);
	if (st != TLS_PBE_OK)
		return st;
	/* With a wrong password the padding is right once in 256 times. */
	if (mbedtls_pk_parse_key(pk, plain, n, NULL, 0 PK_RNG) != 0)
		st = TLS_PBE_WRONG;
	tls_pbe_free(plain, n);
	return st;
}
