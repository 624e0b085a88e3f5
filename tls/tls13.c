/* tls/tls13.c - which versions of TLS are spoken: all that mbedTLS has. */
#include "tls/mbed.h"

const char tls_features[] = "TLS 1.2"
#if defined(TLS_HAS_13)
			    " and 1.3"
#endif
    ;

void tls13_limit(mbedtls_ssl_config *conf)
{
	(void)conf;
}
