/* tls/ecdh.c - what encryption for one receiver needs (RFC 8291): keys on P-256,
 * agreement on a secret, HKDF and AES-GCM. */
#include "tls/mbed.h"

#include <assert.h>
#include <mbedtls/ecdh.h>
#include <mbedtls/gcm.h>
#include <string.h>

#include "mem.h"

#define SECRET_LEN 32

/* Fails only for lack of memory, or if mbedTLS was built without it. */
static void must(int ret)
{
	assert(ret == 0);
	(void)ret;
}

struct tls_key *tls_key_make(void)
{
	struct tls_key *k = xcalloc(1, sizeof(*k));

	mbedtls_pk_init(&k->pk);
	must(mbedtls_pk_setup(
	    &k->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
	if (mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(k->pk),
		tls_rng, NULL) == 0)
		return k;
	tls_key_free(k);
	return NULL;
}

void tls_key_point(const struct tls_key *k, unsigned char out[TLS_POINT_LEN])
{
	mbedtls_ecp_keypair *ec = mbedtls_pk_ec(k->pk);
	size_t n;

	must(mbedtls_ecp_point_write_binary(&ec->MBEDTLS_PRIVATE(grp),
	    &ec->MBEDTLS_PRIVATE(Q), MBEDTLS_ECP_PF_UNCOMPRESSED, &n, out,
	    TLS_POINT_LEN));
}

char *tls_key_write(const struct tls_key *k)
{
	/* ECPrivateKey (RFC 5915 3): its length never differs. */
	static const unsigned char start[] = { 0x30, 119, 0x02, 1, 1, 0x04,
		SECRET_LEN };
	static const unsigned char middle[] = { 0xa0, 10, 0x06, 8, 0x2a, 0x86,
		0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0xa1, 68, 0x03, 66, 0 };
	unsigned char
	    der[sizeof(start) + SECRET_LEN + sizeof(middle) + TLS_POINT_LEN];
	unsigned char *p = der;
	char *pem;

	memcpy(p, start, sizeof(start));
	p += sizeof(start);
	must(mbedtls_mpi_write_binary(
	    &mbedtls_pk_ec(k->pk)->MBEDTLS_PRIVATE(d), p, SECRET_LEN));
	p += SECRET_LEN;
	memcpy(p, middle, sizeof(middle));
	p += sizeof(middle);
	tls_key_point(k, p);
	pem = tls_pem(der, sizeof(der), "EC PRIVATE KEY");
	mem_wipe(der, sizeof(der));
	return pem;
}

/* Reads a point of P-256 that is on the curve. */
static int read_point(mbedtls_ecp_group *grp, mbedtls_ecp_point *q,
    const unsigned char point[TLS_POINT_LEN])
{
	int ret = mbedtls_ecp_group_load(grp, MBEDTLS_ECP_DP_SECP256R1);

	if (ret == 0)
		ret =
		    mbedtls_ecp_point_read_binary(grp, q, point, TLS_POINT_LEN);
	if (ret == 0)
		ret = mbedtls_ecp_check_pubkey(grp, q);
	return ret;
}

/* k NULL: only checks the point. */
static int agree(const struct tls_key *k,
    const unsigned char point[TLS_POINT_LEN], unsigned char secret_r[32])
{
	mbedtls_ecp_group grp;
	mbedtls_ecp_point q;
	mbedtls_mpi z;
	int ret;

	mbedtls_ecp_group_init(&grp);
	mbedtls_ecp_point_init(&q);
	mbedtls_mpi_init(&z);
	ret = read_point(&grp, &q, point);
	if (ret == 0 && k != NULL)
		ret = mbedtls_ecdh_compute_shared(&grp, &z, &q,
		    &mbedtls_pk_ec(k->pk)->MBEDTLS_PRIVATE(d), tls_rng, NULL);
	if (ret == 0 && k != NULL)
		ret = mbedtls_mpi_write_binary(&z, secret_r, SECRET_LEN);
	mbedtls_mpi_free(&z);
	mbedtls_ecp_point_free(&q);
	mbedtls_ecp_group_free(&grp);
	return ret;
}

bool tls_point_ok(const unsigned char point[TLS_POINT_LEN])
{
	return agree(NULL, point, NULL) == 0;
}

int tls_ecdh(const struct tls_key *k, const unsigned char point[TLS_POINT_LEN],
    unsigned char secret_r[32])
{
	return agree(k, point, secret_r) == 0 ? 0 : -1;
}

static void hmac(const void *key, size_t key_len, const void *data, size_t len,
    unsigned char out[32])
{
	must(mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key,
	    key_len, data, len, out));
}

void tls_hkdf_sha256(const struct tls_hkdf *h, void *out, size_t n)
{
	unsigned char prk[32], t[32], info[TLS_HKDF_INFO_MAX + 1];

	hmac(h->salt, h->salt_len, h->secret, 32, prk);
	memcpy(info, h->info, h->info_len);
	info[h->info_len] = 1;
	hmac(prk, sizeof(prk), info, h->info_len + 1, t);
	memcpy(out, t, n);
	mem_wipe(prk, sizeof(prk));
	mem_wipe(t, sizeof(t));
}

void tls_seal(const unsigned char key[16], const unsigned char nonce[12],
    unsigned char *data, size_t len)
{
	mbedtls_gcm_context gcm;

	mbedtls_gcm_init(&gcm);
	must(mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 128));
	must(mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, len, nonce,
	    12, NULL, 0, data, data, TLS_TAG_LEN, data + len));
	mbedtls_gcm_free(&gcm);
}
