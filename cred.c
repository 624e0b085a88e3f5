/* cred.c - reads the credentials that the configuration names; makes JWTs. */
#include "cred/int.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "clock.h"
#include "conf.h"
#include "mem.h"
#include "text.h"
#include "tls.h"

/* Apple refuses a JWT older than 60 minutes, and a new one within 20. */
#define JWT_LIFE_S (50 * 60)
#define JWT_SLACK_S 60

#define ID_LEN 10 /* of Apple's key ids and team ids */
#define PASSWORD_MAX 1024
#define WARNINGS_MAX 4 /* one of each kind */

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
	char *refused; /* why newer ones are not used */
	char key_id[ID_LEN + 1], team_id[ID_LEN + 1];
	int64_t issued_s;	 /* iat of bearer */
	char bearer[BEARER_MAX]; /* empty: make one */
};

static const char *const alpn[] = { "h2", NULL };

/* DER of 0.9.2342.19200300.100.1.1 (RFC 4519 2.39). */
static const unsigned char oid_uid[] = { 0x09, 0x92, 0x26, 0x89, 0x93, 0xf2,
	0x2c, 0x64, 0x01, 0x01 };
/* 1.2.840.113635.100.6.3.1 and .2: Apple's marks for either environment. */
static const unsigned char oid_sandbox[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63,
	0x64, 0x06, 0x03, 0x01 };
static const unsigned char oid_production[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7,
	0x63, 0x64, 0x06, 0x03, 0x02 };

/* --- warnings --- */

static void __attribute__((format(printf, 2, 3)))
add_warning(struct cred *c, const char *fmt, ...)
{
	char text[ERR_MAX];
	va_list ap;

	if (c->n_warnings == WARNINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->warnings[c->n_warnings++] = xstrdup(text);
}

const char *cred_warning(const struct cred *c, size_t i)
{
	if (c->refused != NULL && i-- == 0)
		return c->refused;
	return i < c->n_warnings ? c->warnings[i] : NULL;
}

void cred_set_refused(struct cred *c, const char *why)
{
	free(c->refused);
	c->refused = *why != '\0' ? xstrdup(why) : NULL;
}

bool cred_is_refused(const struct cred *c)
{
	return c->refused != NULL;
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

static bool is_mail_topic(const char *topic)
{
	static const char *const mail[] = { "com.apple.mail.XServer.",
		"com.apple.mobilemail.push." };
	size_t i;

	for (i = 0; i < sizeof(mail) / sizeof(mail[0]); i++)
		if (strncmp(topic, mail[i], strlen(mail[i])) == 0)
			return true;
	return false;
}

/* Apple takes any topic that a certificate or key is for, and no phone's Mail
 * listens to others. */
static void check_topic(struct cred *c)
{
	static const struct {
		const char *begins, *whose;
	} others[] = {
		{ "com.apple.mgmt.", "of device management (MDM)" },
		{ "com.apple.calendar.", "of a calendar server" },
		{ "com.apple.contact", "of a contacts server" },
		{ "", "of an app" },
	};
	size_t i = 0;

	if (is_mail_topic(c->topic))
		return;
	while (
	    strncmp(c->topic, others[i].begins, strlen(others[i].begins)) != 0)
		i++;
	add_warning(c,
	    "the topic %s is one %s, not of Mail (com.apple.mobilemail.push.… "
	    "or com.apple.mail.XServer.…): Apple takes such pushes, but they "
	    "wake no phone's Mail: use the certificate or key for Mail",
	    c->topic, others[i].whose);
}

/* Goes into the JWT's JSON as it is. */
static int set_id(struct cred *c, const struct conf *conf, const char *key,
    const char *what, const char *value, char out[ID_LEN + 1],
    char err[ERR_MAX])
{
	size_t n = 0, len;
	bool lower = false;

	if (value == NULL) {
		conf_blame(conf, key, err,
		    "is missing: set it to the %s (%d letters and digits), "
		    "which Apple's developer site shows",
		    what, ID_LEN);
		return -1;
	}
	value += strspn(value, " \t");
	len = strcspn(value, " \t");
	for (; n < len && n < ID_LEN && isalnum((unsigned char)value[n]); n++) {
		lower = lower || islower((unsigned char)value[n]);
		out[n] = (char)toupper((unsigned char)value[n]);
	}
	out[n] = '\0';
	if (n != ID_LEN || n != len) {
		conf_blame(conf, key, err,
		    "\"%.40s\" cannot be the %s: that has %d letters and "
		    "digits, such as ABCDE12345; Apple's developer site shows "
		    "it",
		    value, what, ID_LEN);
		return -1;
	}
	if (lower)
		add_warning(c,
		    "%s: taken as %s: Apple's %ss are in capital letters", key,
		    out, what);
	return 0;
}

/* Apple names the file AuthKey_KEYID.p8; browsers may add to that. */
static int check_file_name(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	const char *slash = strrchr(conf->key_file_p8, '/'), *name;
	char id[ID_LEN + 1];
	size_t n = 0;

	name = strstr(slash != NULL ? slash : conf->key_file_p8, "AuthKey_");
	if (name == NULL)
		return 0;
	name += strlen("AuthKey_");
	while (n < ID_LEN && isalnum((unsigned char)name[n]))
		n++;
	if (n < ID_LEN || isalnum((unsigned char)name[n]))
		return 0;
	memcpy(id, name, ID_LEN);
	id[ID_LEN] = '\0';
	if (strcasecmp(id, c->key_id) == 0)
		return 0;
	if (strcasecmp(id, c->team_id) == 0) {
		conf_blame(conf, "keyFileTeamId", err,
		    "%s is the key id, by the name of the file %s: exchange "
		    "keyFileKeyId and keyFileTeamId",
		    c->team_id, conf->key_file_p8);
		return -1;
	}
	add_warning(c,
	    "keyFileKeyId: is %s, but by its name %s is the key %s: unless "
	    "the file was renamed, set keyFileKeyId: %s",
	    c->key_id, conf->key_file_p8, id, id);
	return 0;
}

/* RFC 7468 11, RFC 1421 4.6.1.1. */
static bool is_encrypted(const char *pem)
{
	return strstr(pem, "BEGIN ENCRYPTED PRIVATE KEY") != NULL ||
	       strstr(pem, "Proc-Type: 4,ENCRYPTED") != NULL;
}

/* For key and certificate files, and where it is from, for messages. */
struct password {
	char *text;	  /* NULL: none */
	char *path;	  /* NULL: certificatePassword */
	const char *cure; /* what to do if one is needed */
};

static void password_free(struct password *pw)
{
	if (pw->text != NULL)
		mem_wipe(pw->text, strlen(pw->text));
	free(pw->text);
	free(pw->path);
}

/* The password lacks, or is wrong. */
static void blame_password(const struct conf *conf, const struct cred_file *f,
    const struct password *pw, char err[ERR_MAX])
{
	size_t n = pw->text != NULL ? strlen(pw->text) : 0;

	if (pw->text == NULL)
		conf_blame(conf, f->key, err, "%s needs its password: %s",
		    f->path, pw->cure);
	else if (pw->path == NULL)
		conf_blame(conf, f->key, err,
		    "%s is encrypted with another password and does not open: "
		    "certificatePassword is wrong",
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

static struct tls_key *parse_key(const struct conf *conf,
    const struct cred_file *f, const struct password *pw, char err[ERR_MAX])
{
	struct tls_key *key;
	char why[ERR_MAX] = "";

	if (pw->text == NULL && is_encrypted(f->text)) {
		conf_blame(conf, f->key, err, "%s holds an encrypted key: %s",
		    f->path, pw->cure);
		return NULL;
	}
	key = tls_key_parse(f->text, f->len, pw->text, why);
	if (key == NULL && *why == '\0')
		blame_password(conf, f, pw, err);
	else if (key == NULL)
		conf_blame(conf, f->key, err, "%s %s%s%s", f->path, why,
		    *f->key_is != '\0' ? ": it is " : "", f->key_is);
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

/* --- the topic of a certificate --- */

enum uid_rank {
	UID_NONE,
	UID_ANY,
	UID_DOTTED, /* a bundle identifier */
	UID_MAIL,
	UID_WANTED, /* what the configuration says */
};

static enum uid_rank rank_uid(const char *uid, const char *wanted)
{
	if (wanted != NULL && strcmp(uid, wanted) == 0)
		return UID_WANTED;
	if (is_mail_topic(uid))
		return UID_MAIL;
	return strchr(uid, '.') != NULL ? UID_DOTTED : UID_ANY;
}

/* The UID of the subject that looks most like a topic, the last of equals. */
static enum uid_rank find_uid(
    const struct tls_cert *cert, const char *wanted, char out[CRED_TOPIC_MAX])
{
	enum uid_rank best = UID_NONE, rank;
	char uid[CRED_TOPIC_MAX];
	size_t i;
	int n;

	for (i = 0;; i++) {
		n = tls_cert_subject(
		    cert, oid_uid, sizeof(oid_uid), i, uid, sizeof(uid));
		if (n < 0)
			return best;
		if (n == 0 || strlen(uid) != (size_t)n)
			continue;
		rank = rank_uid(uid, wanted);
		if (rank < best)
			continue;
		best = rank;
		memcpy(out, uid, (size_t)n + 1);
	}
}

/* Of several certificates with their keys, as Keychain exports them, that of
 * Mail is meant; of these the one that is valid for longest. */
static int64_t rank_cert(const struct tls_cert *cert)
{
	char uid[CRED_TOPIC_MAX];

	return (find_uid(cert, NULL, uid) == UID_MAIL ? INT64_C(1) << 60 : 0) +
	       tls_cert_not_after(cert);
}

/* --- a certificate and its key, from two files or one --- */

struct pair {
	const char *cert_key, *cert_name; /* key of the configuration, file */
	const char *key_key, *key_name;	  /* NULL: in the same file */
	const struct password *pw;
};

static int check_pair(struct cred *c, const struct conf *conf,
    const struct pair *pair, const struct cred_file *cert, const char *key_path,
    char err[ERR_MAX])
{
	bool other = key_path != NULL && strcmp(key_path, cert->path) != 0;

	if (tls_cert_matches(c->cert, c->key, rank_cert))
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

static int check_cert_file(const struct conf *conf, const struct pair *pair,
    struct cred_file *cert, struct cred_file *key, char err[ERR_MAX])
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

static int check_key_file(const struct conf *conf, const struct pair *pair,
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

static int load_pair(struct cred *c, const struct conf *conf,
    const struct pair *pair, char err[ERR_MAX])
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
	c->key = parse_key(conf, one ? &cert : &key, pair->pw, err);
	if (c->key != NULL)
		rc = check_pair(c, conf, pair, &cert, key.path, err);
out:
	cred_file_free(&cert);
	cred_file_free(&key);
	return rc;
}

/* --- kinds --- */

/* Key id, team id and topic, which the configuration names. */
static int set_token_names(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	if (set_id(c, conf, "keyFileKeyId", "key id", conf->key_file_key_id,
		c->key_id, err) != 0 ||
	    set_id(c, conf, "keyFileTeamId", "team id", conf->key_file_team_id,
		c->team_id, err) != 0 ||
	    check_file_name(c, conf, err) != 0)
		return -1;
	if (conf->key_file_topic == NULL) {
		conf_blame(conf, "keyFileTopic", err,
		    "is missing: set it to the identifier that Apple gave "
		    "you, such as com.apple.mobilemail.push.com.example");
		return -1;
	}
	return set_topic(c, conf, "keyFileTopic", conf->key_file_topic, err);
}

static const char p8_cure[] = "take the file as it was downloaded from Apple "
			      "(AuthKey_….p8)";

static int parse_p8(struct cred *c, const struct conf *conf,
    struct cred_file *f, char err[ERR_MAX])
{
	const struct password none = { .cure = p8_cure };

	if (cred_file_check(conf, f, err) != 0)
		return -1;
	if ((f->holds & HOLDS_CERT) != 0) {
		conf_blame(conf, f->key, err, "%s is %s, and no token key",
		    f->path, cred_kind_words(f->holds, false));
		return -1;
	}
	/* mbedTLS may not know the kind at all. */
	if (*f->key_is == '\0' || is_encrypted(f->text) ||
	    strcmp(f->key_is, TLS_KEY_P256) == 0)
		c->key = parse_key(conf, f, &none, err);
	if (c->key != NULL && tls_key_is_p256(c->key))
		return 0;
	if (c->key != NULL || *err == '\0')
		conf_blame(conf, f->key, err,
		    "%s holds %s, and Apple's token keys are EC keys on P-256: "
		    "%s",
		    f->path, f->key_is, p8_cure);
	return -1;
}

static int load_token_key(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	struct cred_file f;
	int rc;

	c->kind = CRED_TOKEN_KEY;
	if (set_token_names(c, conf, err) != 0)
		return -1;
	check_topic(c);
	*err = '\0';
	rc = cred_file_read(conf, "keyFileP8", conf->key_file_p8, &f, err);
	if (rc == 0)
		rc = parse_p8(c, conf, &f, err);
	cred_file_free(&f);
	return rc;
}

static int cert_topic(struct cred *c, const struct conf *conf,
    const char *cert_key, char err[ERR_MAX])
{
	char uid[CRED_TOPIC_MAX];
	enum uid_rank rank = find_uid(c->cert, conf->topic, uid);

	if (rank >= UID_DOTTED || (rank == UID_ANY && conf->topic == NULL)) {
		if (conf->topic != NULL && rank != UID_WANTED)
			add_warning(c,
			    "topic: %s is ignored, the certificate says %s",
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

/* Those that developers have, too: for apps, not for servers. */
static int check_purpose(const struct cred *c, const struct conf *conf,
    const char *cert_key, char err[ERR_MAX])
{
	static const char *const signing[] = { "Apple Development:",
		"Apple Distribution:", "iPhone Developer:",
		"iPhone Distribution:", "Mac Developer:", "Developer ID ",
		"3rd Party Mac Developer ", "Mac App Distribution:",
		"Apple Worldwide Developer Relations" };
	char name[TLS_NAME_MAX];
	bool other = !tls_cert_is_client(c->cert);
	size_t i;

	tls_cert_name(c->cert, name);
	for (i = 0; i < sizeof(signing) / sizeof(signing[0]); i++)
		if (strncmp(name, signing[i], strlen(signing[i])) == 0)
			other = true;
	if (!other)
		return 0;
	conf_blame(conf, cert_key, err,
	    "the certificate \"%s\" is no push certificate (it is for "
	    "signing apps, or for another purpose): make one of the kind Apple "
	    "Push Notification service at Apple's developer site",
	    name);
	return -1;
}

/* False: it is not for us to say. */
static bool knows_environment(const struct conf *conf, bool *sandbox_r)
{
	static const struct {
		const char *host;
		bool sandbox;
	} hosts[] = {
		{ "api.push.apple.com", false },
		{ "api.sandbox.push.apple.com", true },
		{ "api.development.push.apple.com", true },
	};
	size_t i;

	*sandbox_r = conf->apns_sandbox;
	if (conf->apns_host == NULL)
		return true;
	for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (strcasecmp(conf->apns_host, hosts[i].host) == 0) {
			*sandbox_r = hosts[i].sandbox;
			return true;
		}
	return false;
}

static int check_environment(const struct cred *c, const struct conf *conf,
    const char *cert_key, char err[ERR_MAX])
{
	bool sandbox =
	    tls_cert_has_ext(c->cert, oid_sandbox, sizeof(oid_sandbox));
	bool production =
	    tls_cert_has_ext(c->cert, oid_production, sizeof(oid_production));
	const char *where =
	    conf->apns_host != NULL ? "apnsHost" : "apnsEnvironment";
	bool want_sandbox;

	/* Neither mark, or both. */
	if (sandbox == production || !knows_environment(conf, &want_sandbox) ||
	    sandbox == want_sandbox)
		return 0;
	conf_blame(conf, cert_key, err,
	    "the certificate is for Apple's %s environment only: %s%s%s",
	    sandbox ? "sandbox" : "production",
	    sandbox ? "phones need a production certificate (or, to try, set "
		      "apnsEnvironment: sandbox"
		    : "remove ",
	    sandbox && conf->apns_host != NULL ? " and remove " : "",
	    !sandbox		      ? where
	    : conf->apns_host != NULL ? "apnsHost)"
				      : ")");
	return -1;
}

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
		if (n <= PASSWORD_MAX)
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
static int get_password(
    const struct conf *conf, struct password *pw, char err[ERR_MAX])
{
	const char *name = conf->certificate_password_file;

	*pw = (struct password){
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

static int load_p12(struct cred *c, const struct conf *conf,
    const struct password *pw, char err[ERR_MAX])
{
	const char *key = "certificateFileP12";
	char why[ERR_MAX] = "";
	struct cred_file f;
	int rc = -1;

	if (cred_file_read(conf, key, conf->certificate_file_p12, &f, err) !=
		0 ||
	    cred_file_check(conf, &f, err) != 0)
		goto out;
	rc = tls_p12_parse((unsigned char *)f.text, f.len, pw->text, rank_cert,
	    &c->cert, &c->key, why);
	if (rc != 0 && *why == '\0')
		blame_password(conf, &f, pw, err);
	else if (rc != 0)
		conf_blame(conf, key, err, "%s %s", f.path, why);
out:
	cred_file_free(&f);
	return rc;
}

static int load_pem(struct cred *c, const struct conf *conf,
    const struct password *pw, char err[ERR_MAX])
{
	const struct pair pair = {
		.cert_key = "certificateFilePem",
		.cert_name = conf->certificate_file_pem,
		.key_key = "certificateFilePemKey",
		.key_name = conf->certificate_file_pem_key,
		.pw = pw,
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
	struct password pw;
	int rc;

	c->kind = CRED_CERTIFICATE;
	if (get_password(conf, &pw, err) != 0)
		return -1;
	rc = pem ? load_pem(c, conf, &pw, err) : load_p12(c, conf, &pw, err);
	password_free(&pw);
	if (rc != 0)
		return -1;
	take_dates(c);
	if (check_purpose(c, conf, key, err) != 0 ||
	    cert_topic(c, conf, key, err) != 0)
		return -1;
	check_topic(c);
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
	struct cred *c;
	int rc;

	if (check_choice(conf, err) != 0)
		return -1;
	if (conf->key_file_p8 == NULL)
		return 0;
	c = cred_none();
	rc = set_token_names(c, conf, err);
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
	const struct password none = {
		.cure = "take one without password (openssl pkey -in … -out …)",
	};
	const struct pair pair = {
		.cert_key = "tlsCertfile",
		.cert_name = conf->tls_certfile,
		.key_key = "tlsKeyfile",
		.key_name = conf->tls_keyfile,
		.pw = &none,
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
	while (c->n_warnings > 0)
		free(c->warnings[--c->n_warnings]);
	free(c->refused);
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
	if (cred_clock_warning(now_s, err) != NULL)
		return NULL;
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
