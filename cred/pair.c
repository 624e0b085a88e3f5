/* cred/pair.c - a certificate and its key, from one file or two, and the password
 * for it. */
#include "cred/int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "mem.h"
#include "tls.h"

#define PASSWORD_MAX 1024

char *cred_read_password(const struct conf *conf, const char *key,
    const char *name, char err[ERR_MAX])
{
	static const char bom[] = "\xef\xbb\xbf";
	char *password = NULL;
	struct cred_file f;
	const char *line;
	size_t n;

	if (cred_file_read(conf, key, name, &f, err) == 0) {
		line = f.text;
		if (strncmp(line, bom, strlen(bom)) == 0)
			line += strlen(bom);
		n = strcspn(line, "\r\n");
		if (strncmp(line, "\xff\xfe", 2) == 0 ||
		    strncmp(line, "\xfe\xff", 2) == 0)
			conf_blame(conf, key, err,
			    "%s is in UTF-16: save it as UTF-8", f.path);
		else if (n <= PASSWORD_MAX)
			password = xstrndup(line, n);
		else
			conf_blame(conf, key, err,
			    "%s has a first line of over %d characters: is it "
			    "the right file?",
			    f.path, PASSWORD_MAX);
	}
	cred_file_free(&f);
	return password;
}

/* certificatePassword, or what is in certificatePasswordFile. */
int cred_password_get(
    const struct conf *conf, struct cred_password *pw, char err[ERR_MAX])
{
	const char *name = conf->certificate_password_file;

	*pw = (struct cred_password){
		.cure = "set certificatePassword or certificatePasswordFile",
	};
	if (name == NULL) {
		if (conf->certificate_password != NULL)
			pw->text = xstrdup(conf->certificate_password);
		return 0;
	}
	pw->text =
	    cred_read_password(conf, "certificatePasswordFile", name, err);
	if (pw->text == NULL)
		return -1;
	pw->path = conf_file_path(conf, name);
	return 0;
}

/* RFC 7468 11, RFC 1421 4.6.1.1. */
bool cred_is_encrypted(const char *pem)
{
	return strstr(pem, "BEGIN ENCRYPTED PRIVATE KEY") != NULL ||
	       strstr(pem, "Proc-Type: 4,ENCRYPTED") != NULL;
}

void cred_password_free(struct cred_password *pw)
{
	mem_free_wiped(pw->text);
	free(pw->path);
}

/* The password lacks, or is wrong. */
void cred_password_blame(const struct conf *conf, const struct cred_file *f,
    const struct cred_password *pw, char err[ERR_MAX])
{
	size_t n = pw->text != NULL ? strlen(pw->text) : 0;

	if (pw->text == NULL)
		conf_blame(conf, f->key, err, "%s needs its password: %s",
		    f->path, pw->cure);
	else if (pw->path == NULL)
		conf_blame(conf, f->key, err,
		    "%s is encrypted with another password and does not open: "
		    "certificatePassword is wrong (in YAML, one with # or "
		    "blanks belongs in 'single' quotes)",
		    f->path);
	else if (n == 0)
		conf_blame(conf, f->key, err,
		    "%s needs its password, and the first line of %s "
		    "(certificatePasswordFile) is empty: write it there",
		    f->path, pw->path);
	else
		conf_blame(conf, f->key, err,
		    "%s does not open with the first line of %s "
		    "(certificatePasswordFile): write its password there%s",
		    f->path, pw->path,
		    isspace((unsigned char)pw->text[0]) ||
			    isspace((unsigned char)pw->text[n - 1])
			? ", without the blanks around it"
			: "");
}

struct tls_key *cred_parse_key(const struct conf *conf,
    const struct cred_file *f, const struct cred_password *pw,
    char err[ERR_MAX])
{
	struct tls_key *key;
	char why[ERR_MAX] = "";

	if (pw->text == NULL && cred_is_encrypted(f->text)) {
		conf_blame(conf, f->key, err, "%s holds an encrypted key: %s",
		    f->path, pw->cure);
		return NULL;
	}
	key = tls_key_parse(f->text, f->len, pw->text, why);
	if (key == NULL && *why == '\0')
		cred_password_blame(conf, f, pw, err);
	else if (key == NULL)
		conf_blame(conf, f->key, err, "%s %s%s%s%s", f->path, why,
		    *f->key_is != '\0' ? " (it is " : "", f->key_is,
		    *f->key_is != '\0' ? ")" : "");
	return key;
}

static struct tls_cert *parse_cert(
    const struct conf *conf, const struct cred_file *f, char err[ERR_MAX])
{
	struct tls_cert *cert;
	char why[ERR_MAX];

	cert = tls_cert_parse(f->text, f->len, why);
	if (cert == NULL)
		conf_blame(conf, f->key, err, "%s %s", f->path, why);
	return cert;
}

/* --- a certificate and its key, from two files or one --- */

static int check_pair(struct cred *c, const struct conf *conf,
    const struct cred_pair *pair, const struct cred_file *cert,
    const char *key_path, char err[ERR_MAX])
{
	bool other = key_path != NULL && strcmp(key_path, cert->path) != 0;

	if (tls_cert_matches(c->cert, c->key, cred_rank_cert))
		return 0;
	conf_blame(conf,
	    pair->key_name != NULL ? pair->key_key : pair->cert_key, err,
	    "the key does not belong to the certificate in %s: take the key "
	    "that the certificate was requested with%s%s%s",
	    cert->path, other ? ", not " : "", other ? key_path : "",
	    tls_cert_unread(c->cert) > 0
		? " (one of the certificates cannot be read)"
		: "");
	return -1;
}

static int check_cert_file(const struct conf *conf,
    const struct cred_pair *pair, struct cred_file *cert, struct cred_file *key,
    char err[ERR_MAX])
{
	char other[ERR_MAX];

	if (cred_file_check(conf, cert, err) == 0)
		return 0;
	if (key->path != NULL && (cert->holds & HOLDS_KEY) != 0 &&
	    cred_file_check(conf, key, other) != 0 &&
	    (key->holds & HOLDS_CERT) != 0)
		conf_blame(conf, pair->cert_key, err,
		    "%s is the key and %s the certificate: exchange %s and %s",
		    cert->path, key->path, pair->cert_key, pair->key_key);
	return -1;
}

static int check_key_file(const struct conf *conf, const struct cred_pair *pair,
    const struct cred_file *cert, struct cred_file *key, char err[ERR_MAX])
{
	if (key->path != NULL)
		return cred_file_check(conf, key, err);
	if ((cert->holds & HOLDS_KEY) != 0)
		return 0;
	conf_blame(conf, pair->cert_key, err,
	    "%s holds no private key: name the key's file in %s", cert->path,
	    pair->key_key);
	return -1;
}

int cred_load_pair(struct cred *c, const struct conf *conf,
    const struct cred_pair *pair, char err[ERR_MAX])
{
	struct cred_file cert = { .text = NULL }, key = { .text = NULL };
	bool one = pair->key_name == NULL;
	int rc = -1;

	if (cred_file_read(conf, pair->cert_key, pair->cert_name, &cert, err) !=
		0 ||
	    (!one && cred_file_read(conf, pair->key_key, pair->key_name, &key,
			 err) != 0) ||
	    check_cert_file(conf, pair, &cert, &key, err) != 0)
		goto out;
	c->cert = parse_cert(conf, &cert, err);
	if (c->cert == NULL ||
	    check_key_file(conf, pair, &cert, &key, err) != 0)
		goto out;
	c->key = cred_parse_key(conf, one ? &cert : &key, pair->pw, err);
	if (c->key != NULL)
		rc = check_pair(c, conf, pair, &cert, key.path, err);
out:
	cred_file_free(&cert);
	cred_file_free(&key);
	return rc;
}
