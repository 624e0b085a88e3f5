/* roots.h - the CA roots that Apple's push servers use or may move to, built in
 * so that a router without ca-certificates can verify them. */
#ifndef ROOTS_H
#define ROOTS_H

#include <stddef.h>

/* DER certificates, one after the other. */
extern const unsigned char roots_der[];
extern const size_t roots_der_len;

#endif
