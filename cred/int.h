/* cred/int.h - what the files of cred share.  Nobody else includes this.
 *
 * Calls go one way: server.c -> cred.c -> pair.c, purpose.c, fcm.c -> file.c -> kind.c,
 * pem.c.  jwt.c calls none of them. */
#ifndef CRED_INT_H
#define CRED_INT_H

#include "cred.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

struct tls_cert;
struct tls_key;

#define ID_LEN 10	/* of Apple's key ids and team ids */
#define WARNINGS_MAX 5	/* one of each kind */
#define JWT_JSON_MAX 96 /* header or claims: 57 bytes at most */
#define JWT_SIG_LEN 64

/* "bearer " and three parts; a part's NUL makes up for the dot after it. */
#define BEARER_MAX                                                             \
	(sizeof("bearer ") + 2 * TEXT_BASE64_SIZE(JWT_JSON_MAX) +              \
	    TEXT_BASE64_SIZE(JWT_SIG_LEN))

struct cred {
	enum cred_kind kind;
	char topic[CRED_TOPIC_MAX];
	int64_t not_before_s, expires_s; /* 0 without certificate */
	struct tls_cert *cert;
	struct tls_key *key;
	struct tls_ctx *tls;
	char *warnings[WARNINGS_MAX];
	size_t n_warnings;
	char *refused;		  /* why newer ones are not used */
	struct cred_service *fcm; /* NULL: none */
	char key_id[ID_LEN + 1], team_id[ID_LEN + 1];
	int64_t issued_s;	 /* iat of bearer */
	char bearer[BEARER_MAX]; /* empty: make one */
	/* --- of several nodes --- */
	int64_t refused_s; /* iat of one that Apple calls expired */
	int64_t early_s;   /* renewed so much earlier than others */
	unsigned jwts;	   /* cred_jwt_count() */
	void (*on_jwt)(void *arg, bool is_end);
	void *on_jwt_arg;
};

/* What a file holds, as bits. */
enum cred_holds {
	HOLDS_CERT = 1 << 0,
	HOLDS_KEY = 1 << 1, /* private */
	HOLDS_P12 = 1 << 2,
	HOLDS_REQUEST = 1 << 3,
	HOLDS_PUBLIC = 1 << 4,
	HOLDS_PKCS7 = 1 << 5,
	HOLDS_SSH = 1 << 6,
	HOLDS_PGP = 1 << 7,
	HOLDS_CRL = 1 << 8,
};

/* --- cred/pem.c --- */

/* Brings the certificates and keys of a file into the form that mbedTLS reads:
 * PEM, or DER of PKCS#12.  Takes DER, PEM with what editors, mail and web forms
 * do to it (UTF-16, a byte order mark, any ends of lines, "\n" in letters,
 * blanks and text around it, lines that are cut), and bare Base64.  text[len]
 * is NUL; *text_r is such a text, too, or NULL if there was nothing of that
 * kind.  The caller wipes and frees it.  *key_r: what the first private key is,
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

/* --- cred/purpose.c --- */

/* Adds a cred_warning(). */
void cred_warn(struct cred *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Key id, team id and topic, which the configuration names.  0, or -1 with err
 * set; so the others. */
int cred_set_token_names(
    struct cred *c, const struct conf *conf, char err[ERR_MAX]);
/* Warns if the topic is not Mail's. */
void cred_check_topic(struct cred *c);
/* The topic of a certificate; key: of the configuration, which names it. */
int cred_set_cert_topic(struct cred *c, const struct conf *conf,
    const char *key, char err[ERR_MAX]);
/* Is it a push certificate, and for the environment that we use? */
int cred_check_purpose(const struct cred *c, const struct conf *conf,
    const char *key, char err[ERR_MAX]);
int cred_check_environment(const struct cred *c, const struct conf *conf,
    const char *key, char err[ERR_MAX]);
/* A tls_cert_rank: of several certificates with their keys, as Keychain exports
 * them, that of Mail is meant; of these the one that is valid for longest. */
int64_t cred_rank_cert(const struct tls_cert *cert);

/* --- cred/pair.c --- */

/* For key and certificate files, and where it is from, for messages. */
struct cred_password {
	char *text;	  /* NULL: none */
	char *path;	  /* NULL: certificatePassword */
	const char *cure; /* what to do if one is needed */
};

/* certificatePassword, or what is in certificatePasswordFile.  0, or -1 with err
 * set; cred_password_free() in both cases. */
int cred_password_get(
    const struct conf *conf, struct cred_password *pw, char err[ERR_MAX]);
void cred_password_free(struct cred_password *pw);
/* The file's password lacks, or is wrong. */
void cred_password_blame(const struct conf *conf, const struct cred_file *f,
    const struct cred_password *pw, char err[ERR_MAX]);

/* Of a private key, as cred_file_check() leaves it. */
bool cred_is_encrypted(const char *pem);
/* NULL with err set. */
struct tls_key *cred_parse_key(const struct conf *conf,
    const struct cred_file *f, const struct cred_password *pw,
    char err[ERR_MAX]);

/* A certificate and its key, from two files or one. */
struct cred_pair {
	const char *cert_key, *cert_name; /* key of the configuration, file */
	const char *key_key, *key_name;	  /* NULL: in the same file */
	const struct cred_password *pw;
};

/* Sets c->cert and c->key, which belong together.  0, or -1 with err set. */
int cred_load_pair(struct cred *c, const struct conf *conf,
    const struct cred_pair *pair, char err[ERR_MAX]);

/* --- cred/fcm.c --- */

/* Sets c->fcm if the configuration names one.  0, or -1 with err set. */
int cred_load_fcm(struct cred *c, const struct conf *conf, char err[ERR_MAX]);
void cred_free_fcm(struct cred *c);

/* --- ../cred.c --- */

/* From the certificate. */
void cred_take_dates(struct cred *c);

#endif
