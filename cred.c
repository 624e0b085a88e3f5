/* cred.c - reads the credentials that the configuration names; makes JWTs. */
#include "cred/int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>

#include "clock.h"
#include "conf.h"
#include "mem.h"
#include "text.h"
#include "tls.h"

static const char *const alpn[] = { "h2", NULL };

/* --- kinds --- */

static const char p8_cure[] = "take the file as it was downloaded from Apple "
			      "(AuthKey_….p8)";

static int parse_p8(struct cred *c, const struct conf *conf,
    struct cred_file *f, char err[ERR_MAX])
{
	const struct cred_password none = { .cure = p8_cure };

	if (cred_file_check(conf, f, err) != 0)
		return -1;
	if ((f->holds & HOLDS_CERT) != 0) {
		conf_blame(conf, f->key, err, "%s is %s, and no token key",
		    f->path, cred_kind_words(f->holds, false));
		return -1;
	}
	/* mbedTLS may not know the kind at all. */
	if (*f->key_is == '\0' || cred_is_encrypted(f->text) ||
	    strcmp(f->key_is, TLS_KEY_P256) == 0)
		c->key = cred_parse_key(conf, f, &none, err);
	if (c->key != NULL && tls_key_is_p256(c->key))
		return 0;
	if (c->key != NULL || *err == '\0')
		conf_blame(conf, f->key, err,
		    "%s holds %s, and Apple's token keys are EC keys on P-256: "
		    "%s; certificateFilePemKey takes the key of a certificate",
		    f->path,
		    *f->key_is != '\0' ? f->key_is : "another kind of key",
		    p8_cure);
	return -1;
}

static int load_token_key(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	struct cred_file f;
	int rc;

	c->kind = CRED_TOKEN_KEY;
	if (cred_set_token_names(c, conf, err) != 0)
		return -1;
	cred_check_topic(c);
	*err = '\0';
	rc = cred_file_read(conf, "keyFileP8", conf->key_file_p8, &f, err);
	if (rc == 0)
		rc = parse_p8(c, conf, &f, err);
	cred_file_free(&f);
	return rc;
}

static int load_p12(struct cred *c, const struct conf *conf,
    const struct cred_password *pw, char err[ERR_MAX])
{
	const char *key = "certificateFileP12";
	char why[ERR_MAX] = "";
	struct cred_file f;
	int rc = -1;

	if (cred_file_read(conf, key, conf->certificate_file_p12, &f, err) !=
		0 ||
	    cred_file_check(conf, &f, err) != 0)
		goto out;
	rc = tls_p12_parse((unsigned char *)f.text, f.len, pw->text,
	    cred_rank_cert, &c->cert, &c->key, why);
	if (rc != 0 && *why == '\0')
		cred_password_blame(conf, &f, pw, err);
	else if (rc != 0)
		conf_blame(conf, key, err, "%s %s", f.path, why);
out:
	cred_file_free(&f);
	return rc;
}

static int load_pem(struct cred *c, const struct conf *conf,
    const struct cred_password *pw, char err[ERR_MAX])
{
	const struct cred_pair pair = {
		.cert_key = "certificateFilePem",
		.cert_name = conf->certificate_file_pem,
		.key_key = "certificateFilePemKey",
		.key_name = conf->certificate_file_pem_key,
		.pw = pw,
	};

	return cred_load_pair(c, conf, &pair, err);
}

void cred_take_dates(struct cred *c)
{
	c->not_before_s = tls_cert_not_before(c->cert);
	c->expires_s = tls_cert_not_after(c->cert);
}

static int load_certificate(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	bool pem = conf->certificate_file_p12 == NULL;
	const char *key = pem ? "certificateFilePem" : "certificateFileP12";
	struct cred_password pw;
	int rc;

	c->kind = CRED_CERTIFICATE;
	if (cred_password_get(conf, &pw, err) != 0)
		return -1;
	rc = pem ? load_pem(c, conf, &pw, err) : load_p12(c, conf, &pw, err);
	cred_password_free(&pw);
	if (rc != 0)
		return -1;
	cred_take_dates(c);
	if (cred_check_purpose(c, conf, key, err) != 0 ||
	    cred_set_cert_topic(c, conf, key, err) != 0)
		return -1;
	cred_check_topic(c);
	return cred_check_environment(c, conf, key, err);
}

/* Keys that need or exclude each other.  What the Go daemon ignores is left to
 * cred_check_unused(). */
static int check_choice(const struct conf *conf, char err[ERR_MAX])
{
	const bool pem = conf->certificate_file_pem != NULL;
	const bool p12 = conf->certificate_file_p12 != NULL;

	if (conf->key_file_p8 != NULL && (pem || p12))
		conf_blame(conf,
		    pem ? "certificateFilePem" : "certificateFileP12", err,
		    "keyFileP8 is set too: choose one and remove the other "
		    "(the Go daemon took the certificate)");
	else if (conf->certificate_file_pem_key != NULL && !pem && !p12)
		conf_blame(conf, "certificateFilePemKey", err,
		    "certificateFilePem is missing: set it too");
	else if (conf->certificate_password != NULL &&
		 conf->certificate_password_file != NULL)
		conf_blame(conf, "certificatePasswordFile", err,
		    "certificatePassword is set too: remove one of them");
	else
		return 0;
	return -1;
}

/* The Go daemon's sample has the names of a token key that is not there, and
 * it takes the .p12 file where there is another certificate, too. */
void cred_check_unused(const struct conf *conf, void (*warn)(const char *what))
{
	/* Ignored with a .p12 file, without a token key. */
	static const char *const keys[] = { "certificateFilePem",
		"certificateFilePemKey", "keyFileKeyId", "keyFileTeamId",
		"keyFileTopic" };
	const bool p12 = conf->certificate_file_p12 != NULL;
	char names[ERR_MAX] = "", what[ERR_MAX];
	size_t i, len = 0;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if ((i < 2 ? p12 : conf->key_file_p8 == NULL) &&
		    conf_string(conf, keys[i]) != NULL)
			len += (size_t)snprintf(names + len, ERR_MAX - len,
			    "%s%s", len > 0 ? ", " : "", keys[i]);
	if (len > 0) {
		err_set(what, "%s: ignored, since %s: remove %s", names,
		    p12 ? "certificateFileP12 is set" : "there is no keyFileP8",
		    strchr(names, ',') != NULL ? "them" : "it");
		warn(what);
	}
	if (conf->old_keys == CONF_OLD_TAKEN)
		warn("certFile, keyFile: taken as certificateFilePem and "
		     "certificateFilePemKey: call them so");
	else if (conf->old_keys == CONF_OLD_IGNORED)
		warn("certFile, keyFile: ignored, since a newer key names the "
		     "credential: remove them");
}

int cred_check_text(const struct conf *conf, char err[ERR_MAX])
{
	struct cred *c;
	int rc;

	if (check_choice(conf, err) != 0)
		return -1;
	if (conf->key_file_p8 == NULL)
		return 0;
	c = cred_none();
	rc = cred_set_token_names(c, conf, err);
	cred_free(c);
	return rc;
}

struct cred *cred_none(void)
{
	return xcalloc(1, sizeof(struct cred));
}

static int make_client(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	const void *ca = tls_roots_der;
	size_t ca_len = tls_roots_der_len;
	struct cred_file f = { .text = NULL };
	char why[ERR_MAX];
	int rc = -1;

	conf = conf_top(conf);
	if (conf->apns_ca_file != NULL) {
		if (cred_file_read(
			conf, "apnsCaFile", conf->apns_ca_file, &f, err) != 0 ||
		    cred_file_check(conf, &f, err) != 0)
			goto out;
		ca = f.text;
		ca_len = f.len;
	}
	/* The key of a certificate; a token key signs JWTs, not handshakes. */
	c->tls = tls_client_new(
	    ca, ca_len, c->cert, c->cert != NULL ? c->key : NULL, alpn, why);
	if (c->tls == NULL && f.text != NULL)
		conf_blame(conf, "apnsCaFile", err, "%s %s", f.path, why);
	else if (c->tls == NULL)
		err_set(err, "built-in roots: %s", why);
	else
		rc = 0;
out:
	cred_file_free(&f);
	return rc;
}

static struct tls_ctx *load_trust(const struct conf *conf, const char *key,
    const char *name, const char *const *protocols, const char *host_key,
    char err[ERR_MAX])
{
	/* Of Debian, Fedora, Alpine and OpenWrt. */
	static const char *const bundles[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/cert.pem",
	};
	struct cred_file f = { .text = NULL };
	struct tls_ctx *tls = NULL;
	char why[ERR_MAX];
	size_t i;

	for (i = 0; name == NULL && i < sizeof(bundles) / sizeof(bundles[0]);
	     i++)
		if (access(bundles[i], R_OK) == 0)
			name = bundles[i];
	if (name == NULL) {
		conf_blame(conf, key, err,
		    "is not set, and this machine has no CA certificates: set "
		    "it, or install the package ca-certificates");
		return NULL;
	}
	if (cred_file_read(conf, key, name, &f, err) == 0 &&
	    cred_file_check(conf, &f, err) == 0) {
		tls = tls_client_new(f.text, f.len, NULL, NULL, protocols, why);
		if (tls == NULL)
			conf_blame(conf, key, err, "%s %s", f.path, why);
		else
			tls_client_set_keys(tls, key, host_key);
	}
	cred_file_free(&f);
	return tls;
}

struct tls_ctx *cred_load_trust(const struct conf *conf, const char *key,
    const char *name, char err[ERR_MAX])
{
	return load_trust(conf, key, name, NULL, "sharedStore", err);
}

struct tls_ctx *cred_load_web_trust(const struct conf *conf, char err[ERR_MAX])
{
	static const char *const protocols[] = { "h2", "http/1.1", NULL };

	return load_trust(
	    conf, "caFile", conf->ca_file, protocols, "the address", err);
}

struct cred *cred_load(const struct conf *conf, char err[ERR_MAX])
{
	struct cred *c = xcalloc(1, sizeof(*c));
	int rc = check_choice(conf, err);

	if (rc == 0 && conf->key_file_p8 != NULL)
		rc = load_token_key(c, conf, err);
	else if (rc == 0 && (conf->certificate_file_pem != NULL ||
				conf->certificate_file_p12 != NULL))
		rc = load_certificate(c, conf, err);
	if (rc == 0 && c->kind != CRED_NONE)
		rc = make_client(c, conf, err);
	if (rc == 0)
		rc = cred_load_fcm(c, conf, err);
	if (rc == 0 && c->fcm != NULL && c->kind == CRED_NONE &&
	    conf->top == NULL)
		cred_warn(c, "there is no credential for Apple, so iPhones and "
			     "iPads cannot be reached: set keyFileP8, "
			     "certificateFilePem or certificateFileP12");
	if (rc == 0)
		return c;
	cred_free(c);
	return NULL;
}

void cred_free(struct cred *c)
{
	if (c == NULL)
		return;
	if (c->on_jwt != NULL)
		c->on_jwt(c->on_jwt_arg, true);
	tls_ctx_free(c->tls);
	tls_cert_free(c->cert);
	tls_key_free(c->key);
	while (c->n_warnings > 0)
		free(c->warnings[--c->n_warnings]);
	free(c->refused);
	cred_free_fcm(c);
	mem_wipe(c->bearer, sizeof(c->bearer));
	free(c);
}

enum cred_kind cred_kind(const struct cred *c)
{
	return c->kind;
}

const char *cred_kind_name(const struct cred *c)
{
	return c->kind == CRED_NONE	   ? "none"
	       : c->kind == CRED_TOKEN_KEY ? "token key"
					   : "certificate";
}

const char *cred_topic(const struct cred *c)
{
	return c->topic;
}

int64_t cred_expires_s(const struct cred *c)
{
	return c->expires_s;
}

const struct cred_service *cred_fcm(const struct cred *c)
{
	return c->fcm;
}

struct tls_ctx *cred_tls(const struct cred *c)
{
	return c->tls;
}

static const char *utc(int64_t time_s, char out[LOG_DATE_MAX])
{
	return log_date(time_s, LOG_DATE_MINUTE, false, out);
}

const char *cred_clock_warning(int64_t now_s, char out[ERR_MAX])
{
	char now[LOG_DATE_MAX];

	if (now_s >= CLOCK_MIN_S)
		return NULL;
	err_set(out,
	    "this machine's clock was not set yet (it says %s UTC): set it, "
	    "as by NTP; a JWT carries the time, and until then the dates of "
	    "certificates are not checked",
	    utc(now_s, now));
	return out;
}

int cred_check_time(const struct cred *c, int64_t now_s, char err[ERR_MAX])
{
	bool early = now_s < c->not_before_s;
	char date[LOG_DATE_MAX], now[LOG_DATE_MAX];

	if (c->kind == CRED_TOKEN_KEY && cred_clock_warning(now_s, err) != NULL)
		return -1;
	if (c->expires_s == 0 || now_s < CLOCK_MIN_S ||
	    (!early && now_s <= c->expires_s))
		return 0;
	err_set(err,
	    "the certificate %s %s UTC, and this machine's clock says %s UTC: "
	    "%s",
	    early ? "is not valid before" : "expired on",
	    utc(early ? c->not_before_s : c->expires_s, date), utc(now_s, now),
	    early ? "is the clock right?"
		  : "renew it, or set the clock if that is wrong");
	return -1;
}

void cred_each_file(
    const struct conf *conf, void (*cb)(void *arg, const char *path), void *arg)
{
	/* certificateFilePem and its key only without a .p12 file. */
	static const char *const keys[] = { "keyFileP8", "certificateFilePem",
		"certificateFilePemKey", "certificateFileP12",
		"certificatePasswordFile", "fcmServiceAccount", "apnsCaFile" };
	const struct conf *of = conf;
	const char *name;
	char *path;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (i + 1 == sizeof(keys) / sizeof(keys[0]))
			of = conf_top(conf);
		name = conf_string(of, keys[i]);
		if (name == NULL ||
		    ((i == 1 || i == 2) && conf->certificate_file_p12 != NULL))
			continue;
		path = conf_file_path(of, name);
		cb(arg, path);
		free(path);
	}
}
