/* mbedtls_tls.h - read before mbedTLS's ssl_*.c: no suites with CBC, which we never
 * offer.  mbedTLS has them as soon as there is CBC, which key files need. */
#ifndef XAPSD_MBEDTLS_TLS_H
#define XAPSD_MBEDTLS_TLS_H

#include <mbedtls/build_info.h>

#undef MBEDTLS_SSL_HAVE_CBC

#endif
