/* mbedtls_config.h - mbedTLS 3.6 for the static executables: what xapsd uses
 * and nothing else.  Large options have their bytes on x86_64 beside them, as
 * "make size-objects" counts them (no LTO). */
#ifndef XAPSD_MBEDTLS_CONFIG_H
#define XAPSD_MBEDTLS_CONFIG_H

/* --- the machine --- */

/* Multiplication in assembler: faster handshakes for a few hundred bytes. */
#define MBEDTLS_HAVE_ASM
/* The dates of certificates are checked. */
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_HAVE_TIME_DATE
/* Needed for gmtime_r() and the time of tickets. */
#define MBEDTLS_PLATFORM_C

/* --- TLS --- */

#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C	 /* to Apple */
#define MBEDTLS_SSL_PROTO_TLS1_2 /* 10,000 bytes */
/* RFC 7627: without it, resumption in TLS 1.2 can be attacked. */
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_SSL_ALPN		   /* "h2" */
#define MBEDTLS_SSL_SERVER_NAME_INDICATION /* Apple's names share addresses */
#define MBEDTLS_SSL_SESSION_TICKETS	   /* cheap reconnects */
/* Only with forward secrecy (RFC 9113 9.2.2). */
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
/* mbedTLS's own list, which we never use: 760 bytes. */
#define MBEDTLS_SSL_CIPHERSUITES 0

/* TLS 1.3 and the part of PSA that it needs: 41,000 bytes. */
#ifndef XAPSD_WITHOUT_TLS13
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_COMPATIBILITY_MODE /* for middleboxes, RFC 8446 D.4 */
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED /* tickets */
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE /* 1.3 needs it */
#define MBEDTLS_HKDF_C
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_PSA_CRYPTO_CONFIG
#define MBEDTLS_PSA_CRYPTO_CONFIG_FILE "static/psa_config.h"
/* Our random numbers come from getrandom(2): saves entropy.c and ctr_drbg.c,
 * which would read /dev/random on musl. */
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
/* Our buffers do not change during a call of PSA: saves copies of them. */
#define MBEDTLS_PSA_ASSUME_EXCLUSIVE_BUFFERS
/* Memory for keys as they are needed, instead of 32 slots from the start. */
#define MBEDTLS_PSA_KEY_STORE_DYNAMIC
#endif

/* The listener for tlsListenAddr: 15,000 bytes.  Without MBEDTLS_SSL_TICKET_C
 * (3,100 bytes): Dovecot's processes would not use its tickets. */
#ifndef XAPSD_WITHOUT_TLS_LISTENER
#define MBEDTLS_SSL_SRV_C
#endif

/* A peer may send records of 16 KB.  Ours are small, except the certificates of
 * our listener: a chain of four takes up to 8 KB and has to fit into one
 * buffer. A connection needs 24 KB of memory for both instead of 32. */
#define MBEDTLS_SSL_IN_CONTENT_LEN 16384
#define MBEDTLS_SSL_OUT_CONTENT_LEN 8192

/* --- certificates and keys --- */

#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_REMOVE_INFO /* removes descriptions for people */
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_PEM_PARSE_C
#define MBEDTLS_BASE64_C
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C /* signatures */
#define MBEDTLS_OID_C
#define MBEDTLS_PKCS1_V15
/* RSA-PSS: TLS 1.3 needs it; in certificates it is rare. */
#ifndef XAPSD_WITHOUT_TLS13
#define MBEDTLS_PKCS1_V21
#define MBEDTLS_X509_RSASSA_PSS_SUPPORT
#endif

/* --- public keys --- */

#define MBEDTLS_BIGNUM_C /* 12,000 bytes */
#define MBEDTLS_RSA_C	 /* 11,000 bytes */
#ifndef XAPSD_WITHOUT_CSR
#define MBEDTLS_GENPRIME /* `xapsd csr`: 6,400 bytes with our part */
#endif
#define MBEDTLS_ECP_C /* 13,500 bytes with its curves */
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED /* JWT, most servers */
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED /* Apple's and others' CAs */
/* Not MBEDTLS_ECP_DP_CURVE25519_ENABLED (4,100 bytes): every TLS 1.3 has P-256
 * (RFC 8446 9.1). */
/* Uses the form of these primes: handshakes are several times as fast. */
#define MBEDTLS_ECP_NIST_OPTIM
/* Tables of multiples of each curve's base point, 7,000 bytes: a handshake takes
 * two thirds of the time.  0 leaves them out.  The window, for other points, is
 * 1 KB of memory while it is used, and no bytes of the file. */
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 1
#define MBEDTLS_ECP_WINDOW_SIZE 4
#define MBEDTLS_MPI_MAX_SIZE 1024 /* RSA up to 8192 bits */

/* --- ciphers and digests --- */

#define MBEDTLS_AES_C /* 6,500 bytes */
/* AES instructions, if the processor has them: a push takes a fifth less time,
 * and there are no table look-ups whose timing leaks. */
#ifdef __x86_64__
#define MBEDTLS_AESNI_C /* 1,700 bytes */
#endif
#ifdef __aarch64__
#define MBEDTLS_AESCE_C /* 1,300 bytes */
#endif
#define MBEDTLS_GCM_C
/* Not MBEDTLS_CHACHAPOLY_C (4,300 bytes): every HTTP/2 and TLS 1.3 has AES-GCM
 * (RFC 9113 9.2.2, RFC 8446 9.1). */
#define MBEDTLS_CIPHER_C
#define MBEDTLS_MD_C
#define MBEDTLS_MD5_C /* the mailboxes' hashes; old encrypted PEM */
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C

/* --- for .p12 files and encrypted keys --- */

#ifndef XAPSD_WITHOUT_P12
#define MBEDTLS_PKCS5_C /* PBKDF2 */
#define MBEDTLS_CIPHER_MODE_CBC
#define MBEDTLS_CIPHER_PADDING_PKCS7
#define MBEDTLS_DES_C /* 3DES, of Keychain */
#define MBEDTLS_SHA1_C
#else
/* AES-GCM never decrypts blocks: 3,200 bytes.  (mbedTLS's assembler for AES
 * instructions then lacks a label: static.mk takes its intrinsics.) */
#define MBEDTLS_BLOCK_CIPHER_NO_DECRYPT
#endif

/* --- small rather than fast --- */

/* Tables in read-only memory, instead of 8 KB that are computed at start. */
#define MBEDTLS_AES_ROM_TABLES
#define MBEDTLS_AES_FEWER_TABLES
#define MBEDTLS_SHA256_SMALLER
#define MBEDTLS_SHA512_SMALLER

#endif
