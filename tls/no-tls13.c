/* tls/no-tls13.c - a build without the feature "tls13": TLS 1.2 alone, whatever
 * mbedTLS has. */
#include "tls/mbed.h"

const char tls_features[] = "TLS 1.2";

void tls13_limit(mbedtls_ssl_config *conf)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	(void)conf; /* 2.28 has no other */
#else
	mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
#endif
}
