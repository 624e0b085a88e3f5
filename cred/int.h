/* cred/int.h - what the files of cred share.  Nobody else includes this.
 *
 * Calls go one way: cred.c -> file.c -> kind.c, pem.c. */
#ifndef CRED_INT_H
#define CRED_INT_H

#include "cred.h"

#include <stdbool.h>
#include <stddef.h>

/* What a file holds, as bits. */
enum cred_holds {
	HOLDS_CERT = 1 << 0,
	HOLDS_KEY = 1 << 1, /* private */
	HOLDS_P12 = 1 << 2,
	HOLDS_REQUEST = 1 << 3,
	HOLDS_PUBLIC = 1 << 4,
	HOLDS_PKCS7 = 1 << 5,
	HOLDS_SSH = 1 << 6,
};

/* --- cred/pem.c --- */

/* Brings the certificates and keys of a file into the form that mbedTLS reads:
 * PEM, or DER of PKCS#12.  Takes DER, PEM with what editors, mail and web forms
 * do to it (UTF-16, a byte order mark, any ends of lines, "\n" in letters,
 * blanks and text around it, lines that are cut), and bare Base64.  text[len]
 * is NUL; *text_r is such a text, too, or NULL if there was nothing of that
 * kind.  The caller wipes and frees it.  *key_r: what the last private key is,
 * tls_key_words(), or "".  Returns bits of enum cred_holds.  A pure function;
 * tests/fuzz/pem_fuzz.c. */
unsigned cred_pem_read(const char *text, size_t len, char **text_r,
    size_t *len_r, const char **key_r);

/* --- cred/kind.c --- */

/* What a file is in which cred_pem_read() found nothing: "a web page: …". */
const char *cred_kind_guess(const char *text, size_t len);
/* What those bits are, and which key of the configuration takes them; server:
 * the TLS listener's.  "a certificate, which certificateFilePem takes" */
const char *cred_kind_words(unsigned holds, bool server);

/* --- cred/file.c --- */

/* A file that a key of the configuration names, in memory. */
struct cred_file {
	const char *key; /* of the configuration */
	char *path;
	char *text; /* text[len] is NUL */
	size_t len;
	unsigned holds;	    /* after cred_file_check() */
	const char *is;	    /* if holds does not say it */
	const char *key_is; /* "an RSA key" */
};

/* 0, or -1 with err set; cred_file_free() in both cases. */
int cred_file_read(const struct conf *conf, const char *key, const char *name,
    struct cred_file *f, char err[ERR_MAX]);
void cred_file_free(struct cred_file *f);
/* Brings it into the form that mbedTLS reads.  0 if it holds what its key wants;
 * else -1 with err naming what it is. */
int cred_file_check(
    const struct conf *conf, struct cred_file *f, char err[ERR_MAX]);

#endif
