/* tls/no-p12.c - in place of tls/p12.c and tls/pbe.c: nothing that is encrypted
 * with a password can be read. */
#include "tls/mbed.h"

#include "features.h"

int tls_p12_parse(unsigned char *data, size_t len, const char *password,
    tls_cert_rank *rank, struct tls_cert **cert_r, struct tls_key **key_r,
    char err[ERR_MAX])
{
	(void)data;
	(void)len;
	(void)password;
	(void)rank;
	(void)cert_r;
	(void)key_r;
	err_set(err, "cannot be read: %s", features_lack("p12"));
	return -1;
}

enum tls_pbe_status tls_pbe_key(unsigned char *der, size_t len,
    const struct tls_password *pw, mbedtls_pk_context *pk)
{
	(void)der;
	(void)len;
	(void)pw;
	(void)pk;
	return TLS_PBE_UNKNOWN;
}

bool tls_password_init(
    struct tls_password *pw, const char *text, unsigned variant)
{
	*pw = (struct tls_password){ .text = text };
	return variant == 0;
}

void tls_password_free(struct tls_password *pw)
{
	(void)pw;
}
