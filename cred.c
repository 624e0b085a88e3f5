/* cred.c - reads the credentials that the configuration names; makes JWTs. */
#include "cred.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "conf.h"
#include "mem.h"
#include "text.h"
#include "tls.h"

/* A bundle of all of Mozilla's roots has 220 KB; ours are a few KB. */
#define FILE_MAX (1024 * 1024)

/* Apple refuses a JWT older than 60 minutes, and a new one within 20. */
#define JWT_LIFE_S (50 * 60)
#define JWT_SLACK_S 60

#define ID_LEN 10 /* of Apple's key ids and team ids today */
#define ID_MAX 32 /* longer ones may come */
#define PASSWORD_MAX 1024

#define JWT_JSON_MAX 96 /* header or claims: 37 bytes and an id at most */
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
	char *ca; /* of apnsCaFile if tls borrows it */
	struct tls_ctx *tls;
	char key_id[ID_MAX + 1], team_id[ID_MAX + 1];
	int64_t issued_s;	 /* iat of bearer */
	char bearer[BEARER_MAX]; /* empty: make one */
};

static const char clock_unset[] =
    "this machine's clock was not set yet, and a JWT carries the time";

static const char *const alpn[] = { "h2", NULL };

/* DER of 0.9.2342.19200300.100.1.1 (RFC 4519 2.39). */
static const unsigned char oid_uid[] = { 0x09, 0x92, 0x26, 0x89, 0x93, 0xf2,
	0x2c, 0x64, 0x01, 0x01 };
/* 1.2.840.113635.100.6.3.1 and .2: Apple's marks for either environment. */
static const unsigned char oid_sandbox[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63,
	0x64, 0x06, 0x03, 0x01 };
static const unsigned char oid_production[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7,
	0x63, 0x64, 0x06, 0x03, 0x02 };

/* --- files --- */

/* A file that a key of the configuration names, in memory. */
struct file {
	const char *key; /* of the configuration */
	char *path;
	char *text; /* text[len] is NUL */
	size_t len;
};

static void file_free(struct file *f)
{
	if (f->text != NULL)
		mem_wipe(f->text, f->len);
	free(f->text);
	free(f->path);
}

static void blame_open(
    const struct conf *conf, const struct file *f, int error, char err[ERR_MAX])
{
	const struct passwd *pw;
	char number[16];
	const char *who;

	if (error != EACCES) {
		conf_blame(
		    conf, f->key, err, "%s: %s", f->path, strerror(error));
		return;
	}
	snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	pw = getpwuid(geteuid());
	who = pw != NULL ? pw->pw_name : number;
	conf_blame(conf, f->key, err,
	    "user %s may not read %s: chown %s %s && chmod 600 %s, and its "
	    "folder must be open to it",
	    who, f->path, who, f->path, f->path);
}

static int read_all(struct file *f, int fd, size_t size)
{
	ssize_t got;

	f->text = xmalloc(size + 1);
	do {
		got = read(fd, f->text + f->len, size - f->len);
		if (got > 0)
			f->len += (size_t)got;
	} while (got > 0 || (got == -1 && errno == EINTR));
	f->text[f->len] = '\0';
	return got == -1 ? -1 : 0;
}

/* 0, or -1 with err set; file_free() in both cases. */
static int file_read(const struct conf *conf, const char *key, const char *name,
    struct file *f, char err[ERR_MAX])
{
	struct stat st;
	int fd, rc = -1;

	*f = (struct file){ .key = key, .path = conf_file_path(conf, name) };
	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1) {
		blame_open(conf, f, errno, err);
		return -1;
	}
	if (fstat(fd, &st) != 0)
		blame_open(conf, f, errno, err);
	else if (!S_ISREG(st.st_mode))
		conf_blame(conf, key, err, "%s is not a file", f->path);
	else if (st.st_size > FILE_MAX)
		conf_blame(conf, key, err,
		    "%s is larger than 1 MiB: is it "
		    "the right file?",
		    f->path);
	else if (read_all(f, fd, (size_t)st.st_size) != 0)
		blame_open(conf, f, errno, err);
	else
		rc = 0;
	close(fd);
	return rc;
}

/* --- parts --- */

/* The topic goes into an IMAP quoted string and into an HTTP header. */
static int set_topic(struct cred *c, const struct conf *conf, const char *key,
    const char *topic, char err[ERR_MAX])
{
	const char *p = topic;

	while (isgraph((unsigned char)*p) && (unsigned char)*p < 0x80 &&
	       *p != '"' && *p != '\\')
		p++;
	if (topic[0] == '\0' || *p != '\0' || p - topic >= CRED_TOPIC_MAX) {
		conf_blame(conf, key, err,
		    "the topic must be 1 to %d printable ASCII characters "
		    "without spaces, quotes and backslashes, such as "
		    "com.apple.mobilemail.push.com.example",
		    CRED_TOPIC_MAX - 1);
		return -1;
	}
	memcpy(c->topic, topic, (size_t)(p - topic) + 1);
	return 0;
}

/* Goes into the JWT's JSON as it is. */
static int set_id(const struct conf *conf, const char *key, const char *what,
    const char *value, char out[ID_MAX + 1], char err[ERR_MAX])
{
	size_t n = 0;

	if (value == NULL) {
		conf_blame(conf, key, err,
		    "is missing: set it to the %s (%d letters and digits), "
		    "which Apple's developer site shows",
		    what, ID_LEN);
		return -1;
	}
	while (isalnum((unsigned char)value[n]))
		n++;
	if (value[n] != '\0' || n > ID_MAX) {
		conf_blame(conf, key, err, "the %s is %d letters and digits",
		    what, ID_LEN);
		return -1;
	}
	if (n != ID_LEN)
		log_warn("%s: has %zu characters, Apple's %ss have %d", key, n,
		    what, ID_LEN);
	memcpy(out, value, n + 1);
	return 0;
}

/* RFC 7468 11, RFC 1421 4.6.1.1. */
static bool is_encrypted(const char *pem)
{
	return strstr(pem, "BEGIN ENCRYPTED PRIVATE KEY") != NULL ||
	       strstr(pem, "Proc-Type: 4,ENCRYPTED") != NULL;
}

/* cure: what to do if the key is encrypted and there is no password. */
static struct tls_key *parse_key(const struct conf *conf, const struct file *f,
    const char *password, const char *cure, char err[ERR_MAX])
{
	struct tls_key *key = NULL;
	char why[ERR_MAX];

	if (password == NULL && is_encrypted(f->text)) {
		conf_blame(conf, f->key, err, "%s holds an encrypted key: %s",
		    f->path, cure);
		return NULL;
	}
	key = tls_key_parse(f->text, f->len, password, why);
	if (key == NULL)
		conf_blame(conf, f->key, err, "%s %s", f->path, why);
	return key;
}

static struct tls_cert *parse_cert(
    const struct conf *conf, const struct file *f, char err[ERR_MAX])
{
	struct tls_cert *cert;
	char why[ERR_MAX];

	cert = tls_cert_parse(f->text, f->len, why);
	if (cert == NULL)
		conf_blame(conf, f->key, err, "%s %s", f->path, why);
	return cert;
}

/* A certificate and its key, from two files or one. */
struct pair {
	const char *cert_key, *cert_name; /* key of the configuration, file */
	const char *key_key, *key_name;	  /* NULL: in the same file */
	const char *password;
	const char *cure;
};

static int check_pair(struct cred *c, const struct conf *conf,
    const struct pair *pair, const struct file *cert, char err[ERR_MAX])
{
	if (tls_cert_matches(c->cert, c->key))
		return 0;
	conf_blame(conf,
	    pair->key_name != NULL ? pair->key_key : pair->cert_key, err,
	    "the key does not belong to the certificate in %s: take the key "
	    "that the certificate was requested with",
	    cert->path);
	return -1;
}

static int load_pair(struct cred *c, const struct conf *conf,
    const struct pair *pair, char err[ERR_MAX])
{
	struct file cert = { .text = NULL }, key = { .text = NULL };
	bool one = pair->key_name == NULL;
	int rc = -1;

	if (file_read(conf, pair->cert_key, pair->cert_name, &cert, err) != 0)
		goto out;
	c->cert = parse_cert(conf, &cert, err);
	if (c->cert == NULL)
		goto out;
	if (!one &&
	    file_read(conf, pair->key_key, pair->key_name, &key, err) != 0)
		goto out;
	if (one && strstr(cert.text, "PRIVATE KEY-----") == NULL) {
		conf_blame(conf, pair->cert_key, err,
		    "%s holds no private key: name the key's file in %s",
		    cert.path, pair->key_key);
		goto out;
	}
	c->key = parse_key(
	    conf, one ? &cert : &key, pair->password, pair->cure, err);
	if (c->key != NULL)
		rc = check_pair(c, conf, pair, &cert, err);
out:
	file_free(&cert);
	file_free(&key);
	return rc;
}

/* --- kinds --- */

/* Key id, team id and topic, which the configuration names. */
static int set_token_names(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	if (set_id(conf, "keyFileKeyId", "key id", conf->key_file_key_id,
		c->key_id, err) != 0 ||
	    set_id(conf, "keyFileTeamId", "team id", conf->key_file_team_id,
		c->team_id, err) != 0)
		return -1;
	if (conf->key_file_topic == NULL) {
		conf_blame(conf, "keyFileTopic", err,
		    "is missing: set it to the identifier that Apple gave "
		    "you, such as com.apple.mobilemail.push.com.example");
		return -1;
	}
	return set_topic(c, conf, "keyFileTopic", conf->key_file_topic, err);
}

static int load_token_key(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	struct file f;

	c->kind = CRED_TOKEN_KEY;
	if (set_token_names(c, conf, err) != 0)
		return -1;
	if (file_read(conf, "keyFileP8", conf->key_file_p8, &f, err) == 0)
		c->key = parse_key(conf, &f, NULL,
		    "Apple's are not, take the file as it was downloaded", err);
	if (c->key != NULL && !tls_key_is_p256(c->key)) {
		conf_blame(conf, "keyFileP8", err,
		    "%s holds another kind of key than Apple's (EC P-256): "
		    "take the .p8 file as it was downloaded",
		    f.path);
		tls_key_free(c->key);
		c->key = NULL;
	}
	file_free(&f);
	return c->key != NULL ? 0 : -1;
}

static int cert_topic(struct cred *c, const struct conf *conf,
    const char *cert_key, char err[ERR_MAX])
{
	char uid[CRED_TOPIC_MAX];
	int n = tls_cert_subject(
	    c->cert, oid_uid, sizeof(oid_uid), uid, sizeof(uid));

	if (n > 0 && strlen(uid) == (size_t)n) {
		if (conf->topic != NULL && strcmp(conf->topic, uid) != 0)
			log_warn("topic: %s is ignored, the certificate says "
				 "%s",
			    conf->topic, uid);
		return set_topic(c, conf, cert_key, uid, err);
	}
	if (conf->topic != NULL)
		return set_topic(c, conf, "topic", conf->topic, err);
	conf_blame(conf, cert_key, err,
	    "the certificate's subject has no UID, which names the topic: is "
	    "it a push certificate?  If so, set topic");
	return -1;
}

static int check_environment(const struct cred *c, const struct conf *conf,
    const char *cert_key, char err[ERR_MAX])
{
	bool sandbox =
	    tls_cert_has_ext(c->cert, oid_sandbox, sizeof(oid_sandbox));
	bool production =
	    tls_cert_has_ext(c->cert, oid_production, sizeof(oid_production));

	/* Neither mark: not for us to say. */
	if (sandbox == production || conf->apns_host != NULL ||
	    sandbox == conf->apns_sandbox)
		return 0;
	conf_blame(conf, cert_key, err,
	    "the certificate is for Apple's %s environment only: %s",
	    sandbox ? "sandbox" : "production",
	    sandbox ? "phones need a production certificate (or, to try, set "
		      "apnsEnvironment: sandbox)"
		    : "remove apnsEnvironment: sandbox");
	return -1;
}

char *cred_read_password(const struct conf *conf, const char *key,
    const char *name, char err[ERR_MAX])
{
	char *password = NULL;
	struct file f;
	size_t n;

	if (file_read(conf, key, name, &f, err) == 0) {
		n = strcspn(f.text, "\r\n");
		if (n <= PASSWORD_MAX)
			password = xstrndup(f.text, n);
		else
			conf_blame(conf, key, err,
			    "%s has a first line of over %d characters: is it "
			    "the right file?",
			    f.path, PASSWORD_MAX);
	}
	file_free(&f);
	return password;
}

/* certificatePassword, or what is in certificatePasswordFile. */
static int get_password(
    const struct conf *conf, char **password_r, char err[ERR_MAX])
{
	const char *key = "certificatePasswordFile";

	*password_r = NULL;
	if (conf->certificate_password_file == NULL) {
		if (conf->certificate_password != NULL)
			*password_r = xstrdup(conf->certificate_password);
		return 0;
	}
	*password_r =
	    cred_read_password(conf, key, conf->certificate_password_file, err);
	return *password_r != NULL ? 0 : -1;
}

static int load_p12(struct cred *c, const struct conf *conf,
    const char *password, char err[ERR_MAX])
{
	const char *key = "certificateFileP12";
	char why[ERR_MAX];
	struct file f;
	int rc = -1;

	if (file_read(conf, key, conf->certificate_file_p12, &f, err) == 0) {
		rc = tls_p12_parse((unsigned char *)f.text, f.len, password,
		    &c->cert, &c->key, why);
		if (rc != 0)
			conf_blame(conf, key, err, "%s %s", f.path, why);
	}
	file_free(&f);
	return rc;
}

static int load_pem(struct cred *c, const struct conf *conf,
    const char *password, char err[ERR_MAX])
{
	const struct pair pair = {
		.cert_key = "certificateFilePem",
		.cert_name = conf->certificate_file_pem,
		.key_key = "certificateFilePemKey",
		.key_name = conf->certificate_file_pem_key,
		.password = password,
		.cure = "set certificatePassword or certificatePasswordFile",
	};

	return load_pair(c, conf, &pair, err);
}

static void take_dates(struct cred *c)
{
	c->not_before_s = tls_cert_not_before(c->cert);
	c->expires_s = tls_cert_not_after(c->cert);
}

static int load_certificate(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	bool pem = conf->certificate_file_p12 == NULL;
	const char *key = pem ? "certificateFilePem" : "certificateFileP12";
	char *password;
	int rc;

	c->kind = CRED_CERTIFICATE;
	if (get_password(conf, &password, err) != 0)
		return -1;
	rc = pem ? load_pem(c, conf, password, err)
		 : load_p12(c, conf, password, err);
	if (password != NULL)
		mem_wipe(password, strlen(password));
	free(password);
	if (rc != 0)
		return -1;
	take_dates(c);
	if (cert_topic(c, conf, key, err) != 0)
		return -1;
	return check_environment(c, conf, key, err);
}

/* A key that says nothing without another one, or against another one.  What
 * the Go daemon ignores is left to cred_check_unused(). */
static int check_choice(const struct conf *conf, char err[ERR_MAX])
{
	const char *pem_key = conf->certificate_file_p12 != NULL
				  ? NULL
				  : conf->certificate_file_pem_key;
	const struct {
		const char *a, *a_key, *b, *b_key;
		bool together;
	} rules[] = {
		{ conf->key_file_p8, "keyFileP8", conf->certificate_file_pem,
		    "certificateFilePem", false },
		{ conf->key_file_p8, "keyFileP8", conf->certificate_file_p12,
		    "certificateFileP12", false },
		{ pem_key, "certificateFilePemKey", conf->certificate_file_pem,
		    "certificateFilePem", true },
	};
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].a == NULL ||
		    (rules[i].b != NULL) == rules[i].together)
			continue;
		if (rules[i].together)
			conf_blame(conf, rules[i].a_key, err,
			    "%s is missing: set it too", rules[i].b_key);
		else
			conf_blame(conf, rules[i].b_key, err,
			    "%s is set too: choose one and remove the other "
			    "(the Go daemon took the certificate)",
			    rules[i].a_key);
		return -1;
	}
	if (conf->certificate_password == NULL ||
	    conf->certificate_password_file == NULL)
		return 0;
	conf_blame(conf, "certificatePasswordFile", err,
	    "certificatePassword is set too: remove one of them");
	return -1;
}

/* The names of the keys that are set, separated by commas; "" if none is. */
static void list_set(size_t n, const char *const (*keys)[2], char out[ERR_MAX])
{
	size_t i, len = 0;

	out[0] = '\0';
	for (i = 0; i < n; i++)
		if (keys[i][0] != NULL)
			len += (size_t)snprintf(out + len, ERR_MAX - len,
			    "%s%s", len > 0 ? ", " : "", keys[i][1]);
}

/* The Go daemon's sample has the names of a token key that is not there, and
 * it takes the .p12 file where there is another certificate, too. */
void cred_check_unused(const struct conf *conf, void (*warn)(const char *what))
{
	const char *const p12 = conf->certificate_file_p12;
	const char *const keys[][2] = {
		{ p12 ? conf->certificate_file_pem : NULL,
		    "certificateFilePem" },
		{ p12 ? conf->certificate_file_pem_key : NULL,
		    "certificateFilePemKey" },
		{ conf->key_file_p8 ? NULL : conf->key_file_key_id,
		    "keyFileKeyId" },
		{ conf->key_file_p8 ? NULL : conf->key_file_team_id,
		    "keyFileTeamId" },
		{ conf->key_file_p8 ? NULL : conf->key_file_topic,
		    "keyFileTopic" },
	};
	char names[ERR_MAX], what[ERR_MAX];

	list_set(sizeof(keys) / sizeof(keys[0]), keys, names);
	if (names[0] != '\0') {
		err_set(what, "%s: ignored, since %s: remove %s", names,
		    p12 != NULL ? "certificateFileP12 is set"
				: "there is no keyFileP8",
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
	struct cred c;

	if (check_choice(conf, err) != 0)
		return -1;
	if (conf->key_file_p8 != NULL)
		return set_token_names(&c, conf, err);
	return 0;
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
	struct file f = { .text = NULL };
	char why[ERR_MAX];
	int rc = -1;

	if (conf->apns_ca_file != NULL) {
		if (file_read(
			conf, "apnsCaFile", conf->apns_ca_file, &f, err) != 0)
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
	if (f.text != NULL && f.text[0] == 0x30) {
		c->ca = f.text; /* DER is borrowed */
		f.text = NULL;
	}
out:
	file_free(&f);
	return rc;
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
		return c;
	cred_free(c);
	return NULL;
}

struct cred *cred_load_server(const struct conf *conf, char err[ERR_MAX])
{
	struct cred *c = xcalloc(1, sizeof(*c));
	const struct pair pair = {
		.cert_key = "tlsCertfile",
		.cert_name = conf->tls_certfile,
		.key_key = "tlsKeyfile",
		.key_name = conf->tls_keyfile,
		.cure = "take one without password (openssl pkey -in … -out …)",
	};
	char why[ERR_MAX];

	c->kind = CRED_SERVER;
	if (load_pair(c, conf, &pair, err) != 0)
		goto fail;
	take_dates(c);
	c->tls = tls_server_new(c->cert, c->key, why);
	if (c->tls == NULL) {
		conf_blame(conf, "tlsCertfile", err, "%s", why);
		goto fail;
	}
	c->cert = NULL; /* the context's now */
	c->key = NULL;
	return c;
fail:
	cred_free(c);
	return NULL;
}

void cred_free(struct cred *c)
{
	if (c == NULL)
		return;
	tls_ctx_free(c->tls);
	tls_cert_free(c->cert);
	tls_key_free(c->key);
	free(c->ca);
	mem_wipe(c->bearer, sizeof(c->bearer));
	free(c);
}

enum cred_kind cred_kind(const struct cred *c)
{
	return c->kind;
}

const char *cred_topic(const struct cred *c)
{
	return c->topic;
}

int64_t cred_expires_s(const struct cred *c)
{
	return c->expires_s;
}

struct tls_ctx *cred_tls(const struct cred *c)
{
	return c->tls;
}

int cred_check_time(const struct cred *c, int64_t now_s, char err[ERR_MAX])
{
	bool early = now_s < c->not_before_s;
	char date[LOG_DATE_MAX];

	if (c->kind == CRED_TOKEN_KEY && now_s < CLOCK_MIN_S) {
		err_set(err, "%s", clock_unset);
		return -1;
	}
	if (c->expires_s == 0 || now_s < CLOCK_MIN_S ||
	    (!early && now_s <= c->expires_s))
		return 0;
	log_date(early ? c->not_before_s : c->expires_s, LOG_DATE_MINUTE, false,
	    date);
	if (early)
		err_set(err,
		    "the certificate is not valid before %s UTC: is this "
		    "machine's clock right?",
		    date);
	else
		err_set(err,
		    "the certificate expired on %s UTC: renew it (if this "
		    "machine's clock is right)",
		    date);
	return -1;
}

/* --- JWT --- */

/* RFC 7515 3.1: header.claims.signature, each in base64url. */
static int make_bearer(struct cred *c, int64_t now_s, char err[ERR_MAX])
{
	static const char start[] = "bearer ";
	char *p = c->bearer, *jwt;
	unsigned char sig[JWT_SIG_LEN];
	char json[JWT_JSON_MAX];
	int n;

	memcpy(p, start, sizeof(start));
	jwt = p += strlen(start);
	n = snprintf(json, sizeof(json), "{\"alg\":\"ES256\",\"kid\":\"%s\"}",
	    c->key_id);
	p += text_base64_write(json, (size_t)n, true, p);
	*p++ = '.';
	n = snprintf(json, sizeof(json), "{\"iss\":\"%s\",\"iat\":%lld}",
	    c->team_id, (long long)now_s);
	p += text_base64_write(json, (size_t)n, true, p);
	if (tls_sign_es256(c->key, jwt, (size_t)(p - jwt), sig, err) != 0) {
		c->bearer[0] = '\0';
		return -1;
	}
	*p++ = '.';
	text_base64_write(sig, sizeof(sig), true, p);
	c->issued_s = now_s;
	return 0;
}

const char *cred_bearer(struct cred *c, int64_t now_s, char err[ERR_MAX])
{
	if (c->kind != CRED_TOKEN_KEY)
		return NULL;
	if (now_s < CLOCK_MIN_S) {
		err_set(err, "%s", clock_unset);
		return NULL;
	}
	/* The clock may have been set back since; a little is NTP at work, and
	 * Apple frowns on many. */
	if (c->bearer[0] != '\0' && now_s >= c->issued_s - JWT_SLACK_S &&
	    now_s < c->issued_s + JWT_LIFE_S)
		return c->bearer;
	return make_bearer(c, now_s, err) == 0 ? c->bearer : NULL;
}

void cred_renew(struct cred *c)
{
	c->bearer[0] = '\0';
}

void cred_each_file(
    const struct conf *conf, void (*cb)(void *arg, const char *path), void *arg)
{
	const bool pem = conf->certificate_file_p12 == NULL;
	const char *const names[] = {
		conf->key_file_p8,
		pem ? conf->certificate_file_pem : NULL,
		pem ? conf->certificate_file_pem_key : NULL,
		conf->certificate_file_p12,
		conf->certificate_password_file,
		conf->apns_ca_file,
	};
	char *path;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i] == NULL)
			continue;
		path = conf_file_path(conf, names[i]);
		cb(arg, path);
		free(path);
	}
}
