/* tls/der.c - recognises what a DER structure is, by its form alone: enough to
 * tell somebody that a file is a certificate and no key. */
#include "tls/mbed.h"

#include <string.h>

#include "text.h"

#define SHAPE_MAX 7 /* elements looked at */

bool tls_oid_is(const mbedtls_asn1_buf *oid, const void *to, size_t len)
{
	return oid->len == len && memcmp(oid->p, to, len) == 0;
}

/* One letter for each element from *p on; '\0' ends it. */
static void write_shape(
    unsigned char *p, const unsigned char *end, char out[SHAPE_MAX + 1])
{
	static const struct {
		unsigned char tag;
		char letter;
	} letters[] = {
		{ MBEDTLS_ASN1_INTEGER, 'i' },
		{ TLS_ASN1_SEQ, 's' },
		{ MBEDTLS_ASN1_OCTET_STRING, 'o' },
		{ MBEDTLS_ASN1_BIT_STRING, 'b' },
		{ MBEDTLS_ASN1_OID, 'O' },
		{ MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED,
		    'c' },
	};
	size_t n, len, i;

	for (n = 0; n < SHAPE_MAX && p < end; n++) {
		out[n] = '?';
		for (i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
			if (letters[i].tag == *p)
				out[n] = letters[i].letter;
		if (mbedtls_asn1_get_tag(&p, end, &len, *p) != 0)
			break;
		p += len;
	}
	out[n] = '\0';
}

/* The first match wins; each is the beginning of a shape.  inner: of the first
 * element. */
static const struct {
	char outer[SHAPE_MAX + 1], inner[5];
	unsigned char what; /* enum tls_der_kind */
} shapes[] = {
	{ "ssb", "c", TLS_DER_CERT },	      /* RFC 5280 4.1 */
	{ "ssb", "isss", TLS_DER_CERT },      /* version 1 */
	{ "ssb", "iss?", TLS_DER_CRL },	      /* RFC 5280 5.1: dates */
	{ "ssb", "ss??", TLS_DER_CRL },	      /* version 1 */
	{ "ssb", "iss", TLS_DER_REQUEST },    /* RFC 2986 4 */
	{ "iso", "", TLS_DER_KEY },	      /* RFC 5958 2 */
	{ "so", "O", TLS_DER_ENCRYPTED_KEY }, /* RFC 5958 3 */
	{ "io", "", TLS_DER_EC_KEY },	      /* RFC 5915 3 */
	{ "iiiiiii", "", TLS_DER_RSA_KEY },   /* RFC 8017 A.1.2 */
	{ "iiiiii", "", TLS_DER_DSA_KEY },
	{ "sb", "O", TLS_DER_PUBLIC_KEY }, /* RFC 5280 4.1 */
	{ "is", "", TLS_DER_P12 },	   /* RFC 7292 4 */
	{ "Oc", "", TLS_DER_PKCS7 },	   /* RFC 5652 3 */
};

enum tls_der_kind tls_der_kind(const void *der, size_t len, size_t *len_r)
{
	/* mbedTLS writes nothing; its asn1 functions have no const. */
	unsigned char *p = (unsigned char *)(uintptr_t)der, *end = p + len;
	char outer[SHAPE_MAX + 1], inner[SHAPE_MAX + 1] = "";
	unsigned char *first;
	size_t n, i;

	if (mbedtls_asn1_get_tag(&p, end, &n, TLS_ASN1_SEQ) != 0)
		return TLS_DER_UNKNOWN;
	end = p + n;
	if (len_r != NULL)
		*len_r = (size_t)(end - (const unsigned char *)der);
	write_shape(p, end, outer);
	first = p;
	if (mbedtls_asn1_get_tag(&first, end, &n, TLS_ASN1_SEQ) == 0)
		write_shape(first, first + n, inner);
	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (strncmp(outer, shapes[i].outer, strlen(shapes[i].outer)) ==
			0 &&
		    strncmp(inner, shapes[i].inner, strlen(shapes[i].inner)) ==
			0)
			return (enum tls_der_kind)shapes[i].what;
	return TLS_DER_UNKNOWN;
}

/* Of each kind the DER of its OID with the tag, within a key, and its words. */
static const char key_kinds[] =
    "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
    "an RSA key\0"
    "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
    "an RSA-PSS key\0"
    "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07" TLS_KEY_P256 "\0"
    "\x06\x07\x2a\x86\x48\xce\x3d\x01\x01"
    "an EC key whose curve has no name\0"
    "\x06\x05\x2b\x81\x04\x00\x22"
    "an EC key on P-384 (secp384r1)\0"
    "\x06\x05\x2b\x81\x04\x00\x23"
    "an EC key on P-521 (secp521r1)\0"
    "\x06\x05\x2b\x81\x04\x00\x0a"
    "an EC key on secp256k1\0"
    "\x06\x03\x2b\x65\x70"
    "an Ed25519 key\0"
    "\x06\x03\x2b\x65\x71"
    "an Ed448 key\0"
    "\x06\x03\x2b\x65\x6e"
    "an X25519 key\0"
    "\x06\x07\x2a\x86\x48\xce\x38\x04\x01"
    "a DSA key\0";

const char *tls_key_words(const void *der, size_t len)
{
	enum tls_der_kind what = tls_der_kind(der, len, NULL);
	const char *p;
	size_t oid_len;

	if (what == TLS_DER_RSA_KEY)
		return "an RSA key";
	if (what == TLS_DER_DSA_KEY)
		return "a DSA key";
	for (p = key_kinds; *p != '\0'; p = text_next(p + oid_len)) {
		oid_len = (size_t)p[1] + 2;
		if (memmem(der, len, p, oid_len) != NULL)
			return p + oid_len;
	}
	return "";
}
