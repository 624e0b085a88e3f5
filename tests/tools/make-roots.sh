#!/bin/sh
# Writes tls/roots.c to stdout from Mozilla's roots as Debian's ca-certificates
# installs them:
#   sh tests/tools/make-roots.sh >tls/roots.c
set -eu

dir=${1:-/usr/share/ca-certificates/mozilla}

cat <<'END'
/* tls/roots.c - trusted CA roots.  Made by tests/tools/make-roots.sh from Debian's
 * ca-certificates: change that, not this. */
#include "tls.h"

/* clang-format off */
const unsigned char tls_roots_der[] = {
END
# In 2025 Apple moved from AAA to USERTrust RSA.  The others are where Sectigo
# and DigiCert, Apple's two suppliers, issue from now.
for name in USERTrust_RSA_Certification_Authority \
	USERTrust_ECC_Certification_Authority Comodo_AAA_Services_root \
	Sectigo_Public_Server_Authentication_Root_R46 \
	Sectigo_Public_Server_Authentication_Root_E46 \
	DigiCert_Global_Root_G2; do
	openssl x509 -in "$dir/$name.crt" -noout -subject -nameopt multiline |
		sed -n 's/^ *commonName *= /\/* /p'
	openssl x509 -in "$dir/$name.crt" -noout -enddate |
		sed 's/^notAfter=/ * until /'
	openssl x509 -in "$dir/$name.crt" -noout -fingerprint -sha256 |
		sed 's/.*=//; s/://g' | tr A-F a-f |
		sed 's/\(.\{32\}\)\(.*\)/ * SHA-256 \1\n *         \2 *\//'
	openssl x509 -in "$dir/$name.crt" -outform DER | od -An -v -tu1 -w20 |
		sed 's/^ *//; s/  */,/g; s/$/,/'
done
cat <<'END'
};
/* clang-format on */

const size_t tls_roots_der_len = sizeof(tls_roots_der);
END
