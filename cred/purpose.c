/* cred/purpose.c - is it for Mail?  Topic, ids, environment, kind of
 * certificate; and the warnings about credentials that are taken all the same. */
#include "cred/int.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf.h"
#include "mem.h"
#include "tls.h"

/* DER of 0.9.2342.19200300.100.1.1 (RFC 4519 2.39). */
static const unsigned char oid_uid[] = { 0x09, 0x92, 0x26, 0x89, 0x93, 0xf2,
	0x2c, 0x64, 0x01, 0x01 };
/* 1.2.840.113635.100.6.3.1 and .2: Apple's marks for either environment. */
static const unsigned char oid_sandbox[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63,
	0x64, 0x06, 0x03, 0x01 };
static const unsigned char oid_production[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7,
	0x63, 0x64, 0x06, 0x03, 0x02 };

/* --- warnings --- */

void cred_warn(struct cred *c, const char *fmt, ...)
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

/* --- topic and ids of the configuration --- */

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

/* Where a topic of Mail begins in it, or NULL. */
static const char *find_mail_topic(const char *topic)
{
	const char *at = strstr(topic, "com.apple.mail.XServer.");

	return at != NULL ? at : strstr(topic, "com.apple.mobilemail.push.");
}

static bool is_mail_topic(const char *topic)
{
	return find_mail_topic(topic) == topic;
}

/* Apple takes any topic that a certificate or key is for, and no phone's Mail
 * listens to others. */
void cred_check_topic(struct cred *c)
{
	static const struct {
		const char *begins, *whose;
	} others[] = {
		{ "com.apple.mgmt.", "of device management (MDM)" },
		{ "com.apple.calendar.", "of a calendar server" },
		{ "com.apple.contact", "of a contacts server" },
		{ "com.apple.mail.nil", "from the Go daemon's sample" },
		{ "com.apple.", "of another service of Apple's" },
		{ "web.", "of a web site" },
		{ "pass.", "of a Wallet pass" },
		{ "", "of an app" },
	};
	const char *mail = find_mail_topic(c->topic);
	size_t i = 0;

	if (mail == c->topic)
		return;
	if (mail != NULL) {
		cred_warn(c,
		    "the topic %s is not of Mail: leave out %.*s before it (a "
		    "team id belongs in keyFileTeamId)",
		    c->topic, (int)(mail - c->topic), c->topic);
		return;
	}
	while (
	    strncmp(c->topic, others[i].begins, strlen(others[i].begins)) != 0)
		i++;
	cred_warn(c,
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
		cred_warn(c,
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
	cred_warn(c,
	    "keyFileKeyId: is %s, but by its name %s is the key %s: unless "
	    "the file was renamed, set keyFileKeyId: %s",
	    c->key_id, conf->key_file_p8, id, id);
	return 0;
}

/* Key id, team id and topic, which the configuration names. */
int cred_set_token_names(
    struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	if (set_id(c, conf, "keyFileKeyId", "key id", conf->key_file_key_id,
		c->key_id, err) != 0 ||
	    set_id(c, conf, "keyFileTeamId", "team id", conf->key_file_team_id,
		c->team_id, err) != 0 ||
	    check_file_name(c, conf, err) != 0)
		return -1;
	if (strcmp(c->key_id, c->team_id) == 0)
		cred_warn(c,
		    "keyFileTeamId: is the same as keyFileKeyId: Apple's "
		    "developer site shows the team id under Membership");
	if (conf->key_file_topic == NULL) {
		conf_blame(conf, "keyFileTopic", err,
		    "is missing: set it to the identifier that Apple gave "
		    "you, such as com.apple.mobilemail.push.com.example");
		return -1;
	}
	return set_topic(c, conf, "keyFileTopic", conf->key_file_topic, err);
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
int64_t cred_rank_cert(const struct tls_cert *cert)
{
	char uid[CRED_TOPIC_MAX];

	return (find_uid(cert, NULL, uid) == UID_MAIL ? INT64_C(1) << 60 : 0) +
	       tls_cert_not_after(cert);
}

int cred_set_cert_topic(struct cred *c, const struct conf *conf,
    const char *cert_key, char err[ERR_MAX])
{
	char uid[CRED_TOPIC_MAX];
	enum uid_rank rank = find_uid(c->cert, conf->topic, uid);

	if (rank >= UID_DOTTED || (rank == UID_ANY && conf->topic == NULL)) {
		if (conf->topic != NULL && rank != UID_WANTED)
			cred_warn(c,
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
int cred_check_purpose(const struct cred *c, const struct conf *conf,
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

int cred_check_environment(const struct cred *c, const struct conf *conf,
    const char *cert_key, char err[ERR_MAX])
{
	bool sandbox =
	    tls_cert_has_ext(c->cert, oid_sandbox, sizeof(oid_sandbox));
	bool production =
	    tls_cert_has_ext(c->cert, oid_production, sizeof(oid_production));
	const struct conf *top = conf_top(conf);
	const char *where =
	    top->apns_host != NULL ? "apnsHost" : "apnsEnvironment";
	bool want_sandbox;

	/* Neither mark, or both. */
	if (sandbox == production || !knows_environment(top, &want_sandbox) ||
	    sandbox == want_sandbox)
		return 0;
	conf_blame(conf, cert_key, err,
	    "the certificate is for Apple's %s environment only: %s%s%s",
	    sandbox ? "sandbox" : "production",
	    sandbox ? "phones need a production certificate (or, to try, set "
		      "apnsEnvironment: sandbox"
		    : "remove ",
	    sandbox && top->apns_host != NULL ? " and remove " : "",
	    !sandbox		     ? where
	    : top->apns_host != NULL ? "apnsHost)"
				     : ")");
	return -1;
}
