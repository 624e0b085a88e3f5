#!/usr/bin/python3
"""Writes tls/roots.c from Mozilla's roots as Debian's ca-certificates installs
them, or what it would hold of one certificate:
  python3 tests/tools/make-roots.py >tls/roots.c
  python3 tests/tools/make-roots.py ca.pem >anchor.der"""

import hashlib
import pathlib
import subprocess
import sys

DIR = pathlib.Path("/usr/share/ca-certificates/mozilla")
# In 2025 Apple moved from AAA to USERTrust RSA.  The others are where Sectigo
# and DigiCert, Apple's two suppliers, issue from now.
NAMES = ("USERTrust_RSA_Certification_Authority",
         "USERTrust_ECC_Certification_Authority", "Comodo_AAA_Services_root",
         "Sectigo_Public_Server_Authentication_Root_R46",
         "Sectigo_Public_Server_Authentication_Root_E46",
         "DigiCert_Global_Root_G2")
SEQUENCE, SET = b"\x30", b"\x31"
SERIAL = b"\2\1\1"
ISSUER = b"\6\3\x55\4\3\x0c\1-"     # a common name
SIGNATURE = b"\3\1\0"               # a bit string of no bits


def openssl(path, *args):
    return subprocess.run(["openssl", "x509", "-in", path, *args], check=True,
                          stdout=subprocess.PIPE).stdout


def lengths(der):
    """Of the header of an ASN.1 value, and of all of it."""
    n = 2 + (der[1] & 0x7f if der[1] & 0x80 else 0)
    return n, n + (int.from_bytes(der[2:n], "big") if n > 2 else der[1])


def split(der):
    """The values in a sequence."""
    at, end = lengths(der)
    while at < end:
        n = lengths(der[at:])[1]
        yield der[at:at + n]
        at += n


def join(tag, *values):
    body = b"".join(values)
    n = len(body)
    return tag + (bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else
                  b"\x82" + n.to_bytes(2, "big")) + body


def anchor(der):
    """What RFC 5280 6.1.1 (d) needs of a root, its name and key, and its time.
    mbedTLS reads certificates only: it becomes one of version 1, which has
    nothing else, and whose issuer and signature nobody looks at."""
    _, _, algorithm, _, time, name, key, *_ = split(next(split(der)))
    issuer = join(SEQUENCE, join(SET, join(SEQUENCE, ISSUER)))
    return join(SEQUENCE,
                join(SEQUENCE, SERIAL, algorithm, issuer, time, name, key),
                algorithm, SIGNATURE)


def write(path):
    der = openssl(path, "-outform", "DER")
    text = openssl(path, "-noout", "-subject", "-enddate",
                   "-nameopt", "multiline").decode()
    name = text.split("commonName")[1].split("\n")[0].lstrip(" =")
    until = text.split("notAfter=")[1].strip()
    digest = hashlib.sha256(der).hexdigest()
    print("/* %s\n * until %s\n * SHA-256 of the certificate %s\n * %s */" % (
        name, until, digest[:32], digest[32:]))
    data = anchor(der)
    for at in range(0, len(data), 20):
        print("".join("%d," % byte for byte in data[at:at + 20]))


def main():
    if len(sys.argv) > 1:
        sys.stdout.buffer.write(anchor(openssl(sys.argv[1], "-outform", "DER")))
        return
    print("""/* tls/roots.c - trusted CA roots.  Made by tests/tools/make-roots.py from Debian's
 * ca-certificates: change that, not this.  It says what is left of each. */
#include "tls.h"

/* clang-format off */
const unsigned char tls_roots_der[] = {""")
    for name in NAMES:
        write(DIR / (name + ".crt"))
    print("""};
/* clang-format on */

const size_t tls_roots_der_len = sizeof(tls_roots_der);""")


if __name__ == "__main__":
    main()
