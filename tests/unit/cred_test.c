/* cred_test.c - credentials of every kind, and every mistake with its cure. */
#include "unit.h"

#include <stdbool.h>

#include "clock.h"
#include "conf.h"
#include "cred.h"
#include "pki.h"
#include "needs.h"
#include "tls.h"

#define TOPIC "com.apple.mobilemail.push.org.example"
#define XSERVER "com.apple.mail.XServer.0715abcd-1234-4321-9999-0123456789ab"
#define NOW (CLOCK_MIN_S + 1000)

static char err[ERR_MAX];

/* A configuration file beside the keys, with these lines. */
static void read_conf(struct conf *c, const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/xapsd.yaml", pki_dir);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
	conf_init(c);
	if (conf_read(c, path, err) != 0)
		fail_msg("%s", err);
}

static struct cred *load(const char *text)
{
	struct conf c;
	struct cred *cred;

	read_conf(&c, text);
	err[0] = '\0';
	cred = cred_load(&c, err);
	conf_free(&c);
	return cred;
}

static struct cred *load_ok(const char *text)
{
	struct cred *cred = load(text);

	if (cred == NULL)
		fail_msg("%s", err);
	return cred;
}

/* The error must contain each of the words (separated by '|'). */
static void refuses(const char *text, const char *words)
{
	char copy[256], *w;
	struct cred *cred = load(text);

	if (cred != NULL)
		fail_msg("was accepted: %s", text);
	snprintf(copy, sizeof(copy), "%s", words);
	for (w = strtok(copy, "|"); w != NULL; w = strtok(NULL, "|"))
		if (strstr(err, w) == NULL)
			fail_msg("\"%s\" lacks \"%s\"", err, w);
}

#define P8 "keyFileP8: token.key\n"
#define IDS "keyFileKeyId: ABCDE12345\nkeyFileTeamId: TEAM567890\n"
#define P8_TOPIC "keyFileTopic: " TOPIC "\n"

static void test_none(void **state)
{
	struct cred *c = load_ok("loglevel: info\n");

	(void)state;
	assert_int_equal(cred_kind(c), CRED_NONE);
	assert_string_equal(cred_topic(c), "");
	assert_null(cred_tls(c));
	assert_int_equal(cred_check_time(c, NOW, err), 0);
	cred_free(c);
	cred_free(NULL);
}

/* --- token key --- */

static void put(const char *name, const void *data, size_t len)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", pki_dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

/* The JWT's three parts as openssl(1) sees them. */
static void check_jwt(const char *bearer, const char *claims)
{
	char *text;

	put("jwt", bearer + 7, strlen(bearer + 7));
	/* base64url to base64, padded */
	sh("b64() { tr -- '-_' '+/' | awk '{ while (length($0) %% 4) $0 = $0 "
	   "\"=\"; print }' | openssl base64 -d -A; }; "
	   "cut -d. -f1 jwt | b64 >header; cut -d. -f2 jwt | b64 >claims; "
	   "cut -d. -f3 jwt | b64 >sig; cut -d. -f1,2 jwt | tr -d '\\n' "
	   ">signed; hex=$(od -An -v -tx1 sig | tr -d ' \\n'); "
	   "test ${#hex} = 128; "
	   "printf 'asn1=SEQUENCE:s\\n[s]\\nr=INTEGER:0x%%.64s\\n' $hex "
	   ">sig.cnf; printf 's=INTEGER:0x%%s\\n' ${hex#????????????????????"
	   "????????????????????????????????????????????} >>sig.cnf; "
	   "openssl asn1parse -genconf sig.cnf -noout -out sig.der; "
	   "openssl dgst -sha256 -verify token.pub -signature sig.der signed");
	text = slurp("header", NULL);
	assert_string_equal(text, "{\"alg\":\"ES256\",\"kid\":\"ABCDE12345\"}");
	free(text);
	text = slurp("claims", NULL);
	assert_string_equal(text, claims);
	free(text);
}

static void test_token_key(void **state)
{
	struct cred *c = load_ok(P8 IDS P8_TOPIC);
	char claims[128];
	const char *b;
	int i;

	(void)state;
	assert_int_equal(cred_kind(c), CRED_TOKEN_KEY);
	assert_string_equal(cred_topic(c), TOPIC);
	assert_int_equal(cred_expires_s(c), 0);
	assert_non_null(cred_tls(c));
	assert_int_equal(cred_check_time(c, NOW, err), 0);
	/* Several, since r and s are short now and then. */
	for (i = 0; i < 4; i++) {
		cred_renew(c);
		b = cred_bearer(c, NOW + i, err);
		assert_non_null(b);
		assert_memory_equal(b, "bearer ", 7);
		snprintf(claims, sizeof(claims),
		    "{\"iss\":\"TEAM567890\",\"iat\":%lld}",
		    (long long)NOW + i);
		check_jwt(b, claims);
	}
	cred_free(c);
}

/* --- of several nodes --- */

static void on_made(void *arg, bool is_end)
{
	int *n = arg;

	n[is_end]++;
}

/* A JWT made at that time by another node with this configuration. */
static const char *jwt_by(const char *text, int64_t now_s)
{
	static char jwt[512];
	struct cred *c = load_ok(text);

	strcpy(jwt, cred_bearer(c, now_s, err) + strlen("bearer "));
	cred_free(c);
	return jwt;
}

static enum cred_jwt_taken take(
    struct cred *c, const char *jwt, int64_t issued_s, int64_t now_s)
{
	return cred_take_jwt(c, jwt, strlen(jwt), issued_s, false, now_s);
}

static void test_taken(void **state)
{
	static const char text[] = P8 IDS P8_TOPIC;
	struct cred *c = load_ok(text), *none = load_ok("loglevel: info\n");
	char name[CRED_JWT_NAME_MAX];
	int made[2] = { 0, 0 };
	char jwt[512];
	int64_t at_s;
	unsigned n;

	(void)state;
	cred_jwt_name(c, name);
	assert_string_equal(name, "TEAM567890.ABCDE12345");
	cred_jwt_name(none, name);
	assert_string_equal(name, "");
	assert_null(cred_jwt(c, NOW, &at_s));
	n = cred_jwt_count(c);
	assert_int_equal(
	    take(c, jwt_by(text, NOW), NOW, NOW + 60), CRED_JWT_TAKEN);
	assert_int_not_equal(cred_jwt_count(c), n);
	strcpy(jwt, cred_bearer(c, NOW + 60, err) + 7);
	assert_string_equal(jwt, cred_jwt(c, NOW + 60, &at_s));
	assert_int_equal(at_s, NOW);
	/* an older one, and one of the same time */
	assert_int_equal(
	    take(c, jwt_by(text, NOW - 1), NOW - 1, NOW), CRED_JWT_KEPT);
	assert_int_equal(take(c, jwt, NOW, NOW), CRED_JWT_KEPT);
	assert_int_equal(cred_take_jwt(c, jwt_by(text, NOW - 1), strlen(jwt),
			     NOW - 1, true, NOW),
	    CRED_JWT_TAKEN);
	assert_int_equal(
	    take(c, jwt_by(text, NOW + 2), NOW + 2, NOW), CRED_JWT_TAKEN);
	/* Apple calls it expired: it does not come back */
	cred_renew(c);
	assert_int_equal(
	    take(c, jwt_by(text, NOW + 1), NOW + 1, NOW + 3), CRED_JWT_BAD);
	assert_int_equal(
	    take(c, jwt_by(text, NOW + 3), NOW + 3, NOW + 3), CRED_JWT_TAKEN);
	assert_int_equal(take(none, jwt, NOW, NOW), CRED_JWT_BAD);
	cred_on_jwt(c, on_made, made);
	cred_renew(c);
	cred_bearer(c, NOW + 4, err);
	cred_bearer(c, NOW + 5, err);
	assert_int_equal(made[0], 1);
	cred_free(c);
	assert_int_equal(made[1], 1);
	cred_free(none);
}

static void test_not_taken(void **state)
{
	static const char text[] = P8 IDS P8_TOPIC;
	struct cred *c = load_ok(text);
	char good[512], jwt[512], *dot;
	size_t i, len;

	(void)state;
	strcpy(good, jwt_by(text, NOW));
	len = strlen(good);
	/* of another time, by our clock or by what is said */
	assert_int_equal(take(c, good, NOW, NOW - 61), CRED_JWT_BAD);
	assert_int_equal(take(c, good, NOW, NOW + 50 * 60), CRED_JWT_BAD);
	assert_int_equal(take(c, good, NOW, 3600), CRED_JWT_BAD);
	assert_int_equal(take(c, good, NOW + 1, NOW), CRED_JWT_BAD);
	/* of another team, key id or key */
	assert_int_equal(take(c,
			     jwt_by(P8 "keyFileKeyId: ABCDE12345\n"
				       "keyFileTeamId: TEAM567891\n" P8_TOPIC,
				 NOW),
			     NOW, NOW),
	    CRED_JWT_BAD);
	assert_int_equal(take(c,
			     jwt_by(P8 "keyFileKeyId: ABCDE12346\n"
				       "keyFileTeamId: TEAM567890\n" P8_TOPIC,
				 NOW),
			     NOW, NOW),
	    CRED_JWT_BAD);
	sh("openssl ecparam -name prime256v1 -genkey -noout | "
	   "openssl pkcs8 -topk8 -nocrypt -out other.p8");
	assert_int_equal(
	    take(
		c, jwt_by("keyFileP8: other.p8\n" IDS P8_TOPIC, NOW), NOW, NOW),
	    CRED_JWT_BAD);
	/* every byte counts, and the length */
	for (i = 0; i < len; i++) {
		strcpy(jwt, good);
		jwt[i] = jwt[i] == 'A' ? 'B' : 'A';
		assert_int_equal(take(c, jwt, NOW, NOW), CRED_JWT_BAD);
		assert_int_equal(
		    cred_take_jwt(c, good, i, NOW, true, NOW), CRED_JWT_BAD);
	}
	dot = strrchr(good, '.');
	for (i = 1; i < 5; i++) {
		strcpy(jwt, good);
		jwt[dot - good + 3] = "A/+=."[i];
		assert_int_equal(take(c, jwt, NOW, NOW), CRED_JWT_BAD);
	}
	strcpy(jwt, good);
	strcat(jwt, "A");
	assert_int_equal(take(c, jwt, NOW, NOW), CRED_JWT_BAD);
	assert_int_equal(take(c, good, NOW, NOW), CRED_JWT_TAKEN);
	cred_free(c);
}

static void test_renewal(void **state)
{
	struct cred *c = load_ok(P8 IDS P8_TOPIC);
	char first[512];

	(void)state;
	strcpy(first, cred_bearer(c, NOW, err));
	assert_string_equal(cred_bearer(c, NOW, err), first);
	assert_string_equal(cred_bearer(c, NOW + 50 * 60 - 1, err), first);
	assert_string_not_equal(cred_bearer(c, NOW + 50 * 60, err), first);
	/* The clock went back to before it was issued. */
	strcpy(first, cred_bearer(c, NOW + 50 * 60, err));
	/* NTP at work, then a clock that is set back */
	assert_string_equal(cred_bearer(c, NOW + 49 * 60, err), first);
	assert_string_not_equal(cred_bearer(c, NOW, err), first);
	strcpy(first, cred_bearer(c, NOW, err));
	cred_renew(c);
	assert_string_not_equal(cred_bearer(c, NOW + 1, err), first);
	/* A clock that was never set. */
	assert_null(cred_bearer(c, 3600, err));
	assert_int_equal(cred_check_time(c, 3600, err), -1);
	assert_non_null(strstr(err, "clock was not set"));
	assert_int_equal(cred_check_time(c, NOW, err), 0);
	assert_non_null(strstr(err, "clock"));
	assert_non_null(cred_bearer(c, NOW, err));
	cred_free(c);
}

/* The warning i must hold each of the words (separated by '|'). */
static void warns(const struct cred *c, size_t i, const char *words)
{
	char copy[256], *w;
	const char *text = cred_warning(c, i);

	if (text == NULL)
		fail_msg("no warning %zu", i);
	snprintf(copy, sizeof(copy), "%s", words);
	for (w = strtok(copy, "|"); w != NULL; w = strtok(NULL, "|"))
		if (strstr(text, w) == NULL)
			fail_msg("\"%s\" lacks \"%s\"", text, w);
}

static void loads_with_warning(const char *text, const char *words)
{
	struct cred *c = load_ok(text);

	if (words != NULL)
		warns(c, 0, words);
	assert_null(cred_warning(c, words != NULL));
	cred_free(c);
}

static void test_ids(void **state)
{
	static const char *const bad[] = { "ABCDE1234", "ABCDE123456",
		"ABCDE 2345", "ABCDE-2345", "ABCDE1234\303\204",
		"com.apple.mobilemail", "AuthKey_ABCDE12345.p8",
		"ABCDEFGHIJABCDEFGHIJABCDEFGHIJAB" };
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text),
		    P8 P8_TOPIC "keyFileKeyId: '%s'\nkeyFileTeamId: "
				"TEAM567890\n",
		    bad[i]);
		refuses(text, "keyFileKeyId|10 letters and digits");
		snprintf(text, sizeof(text),
		    P8 P8_TOPIC "keyFileTeamId: '%s'\nkeyFileKeyId: "
				"ABCDE12345\n",
		    bad[i]);
		refuses(text, "keyFileTeamId|10 letters and digits");
	}
	loads_with_warning(P8 P8_TOPIC IDS, NULL);
	loads_with_warning(P8 P8_TOPIC
	    "keyFileKeyId: ' ABCDE12345 '\nkeyFileTeamId: "
	    "' TEAM567890'\n",
	    NULL);
	loads_with_warning(P8 P8_TOPIC "keyFileKeyId: abcde12345\n"
				       "keyFileTeamId: TEAM567890\n",
	    "keyFileKeyId|ABCDE12345|capital");
}

static void test_file_name(void **state)
{
	static const char *const names[] = { "AuthKey_ABCDE12345.p8",
		"AuthKey_abcde12345.p8", "AuthKey_ABCDE12345 (1).p8",
		"AuthKey_.p8", "AuthKey_ABCDE.p8", "AuthKey_ABCDE1234567.p8",
		"key.p8" };
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		sh("cp token.key '%s'", names[i]);
		snprintf(text, sizeof(text), "keyFileP8: '%s'\n" IDS P8_TOPIC,
		    names[i]);
		loads_with_warning(text, NULL);
	}
	sh("mkdir -p AuthKey_DIR4567890; cp token.key AuthKey_ZZZZZ12345.p8; "
	   "cp token.key AuthKey_DIR4567890/x.p8; "
	   "cp token.key 'ApnsAuthKey_ZZZZZ12345-1.p8'; "
	   "cp token.key AuthKey_TEAM567890.p8");
	loads_with_warning("keyFileP8: AuthKey_ZZZZZ12345.p8\n" IDS P8_TOPIC,
	    "keyFileKeyId|ABCDE12345|ZZZZZ12345");
	loads_with_warning(
	    "keyFileP8: ApnsAuthKey_ZZZZZ12345-1.p8\n" IDS P8_TOPIC,
	    "ZZZZZ12345");
	snprintf(text, sizeof(text),
	    "keyFileP8: %s/AuthKey_DIR4567890/x.p8\n" IDS P8_TOPIC, pki_dir);
	loads_with_warning(text, NULL);
	refuses("keyFileP8: AuthKey_TEAM567890.p8\n" IDS P8_TOPIC,
	    "keyFileTeamId|exchange keyFileKeyId and keyFileTeamId");
}

#define WITH_TOPIC(t) P8 IDS "keyFileTopic: " t "\n"

static void test_topics(void **state)
{
	(void)state;
	loads_with_warning(WITH_TOPIC("com.apple.mail.XServer.1"), NULL);
	loads_with_warning(WITH_TOPIC("com.apple.mgmt.External.1"),
	    "MDM|com.apple.mgmt.External.1|wake no phone's Mail");
	loads_with_warning(
	    WITH_TOPIC("com.apple.calendar.XServer.1"), "calendar");
	loads_with_warning(
	    WITH_TOPIC("com.apple.contact.XServer.1"), "contacts");
	loads_with_warning(WITH_TOPIC("com.example.app"), "of an app");
	loads_with_warning(WITH_TOPIC("com.apple.mail"), "another service");
	loads_with_warning(
	    WITH_TOPIC("com.apple.mobilemail"), "another service");
	loads_with_warning(
	    WITH_TOPIC("com.apple.mail.nil"), "the Go daemon's sample");
	loads_with_warning(WITH_TOPIC("web.org.example"), "a web site");
	loads_with_warning(WITH_TOPIC("pass.org.example"), "a Wallet pass");
	loads_with_warning(WITH_TOPIC("TEAM567890.com.apple.mail.XServer.1"),
	    "leave out TEAM567890. before it|keyFileTeamId");
	loads_with_warning(P8 P8_TOPIC "keyFileKeyId: ABCDE12345\n"
				       "keyFileTeamId: ABCDE12345\n",
	    "keyFileTeamId: is the same as keyFileKeyId");
	loads_with_warning("certificateFilePem: mdm.pem\n"
			   "certificateFilePemKey: rsa.key\n",
	    "MDM");
}

static void test_refused(void **state)
{
	struct cred *c = load_ok(WITH_TOPIC("com.example.app"));

	(void)state;
	assert_false(cred_is_refused(c));
	cred_set_refused(c, "newer ones: bad");
	warns(c, 0, "newer ones: bad");
	warns(c, 1, "of an app");
	assert_null(cred_warning(c, 2));
	assert_true(cred_is_refused(c));
	cred_set_refused(c, "");
	warns(c, 0, "of an app");
	cred_free(c);
}

static void test_token_key_mistakes(void **state)
{
	(void)state;
	refuses(P8, "xapsd.yaml|keyFileKeyId|missing");
	refuses(P8 "keyFileKeyId: ABCDE12345\n", "keyFileTeamId|missing");
	refuses(P8 IDS, "keyFileTopic|missing|com.apple.mobilemail.push");
	refuses(P8 P8_TOPIC "keyFileKeyId: 'AB\"CD'\nkeyFileTeamId: "
			    "TEAM567890\n",
	    "keyFileKeyId|letters and digits");
	refuses(P8 P8_TOPIC "keyFileKeyId: ABCDE12345\nkeyFileTeamId: "
			    "ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC\n",
	    "keyFileTeamId|letters and digits");
	refuses(P8 IDS "keyFileTopic: 'com.apple bad'\n",
	    "keyFileTopic|printable ASCII");
	refuses(P8 IDS "keyFileTopic: 'a\"b'\n", "printable ASCII");
	refuses(P8 IDS "keyFileTopic: 'a\\b'\n", "printable ASCII");
	refuses("keyFileP8: none.p8\n" IDS P8_TOPIC,
	    "keyFileP8|/none.p8|No such file");
	refuses("keyFileP8: /\n" IDS P8_TOPIC, "is not a file");
	refuses("keyFileP8: big\n" IDS P8_TOPIC, "1 MiB");
	refuses("keyFileP8: p384.key\n" IDS P8_TOPIC, "P-256");
	refuses("keyFileP8: rsa.key\n" IDS P8_TOPIC, "P-256");
	refuses("keyFileP8: rsa.pem\n" IDS P8_TOPIC, "no private key");
	refuses("keyFileP8: cut.key\n" IDS P8_TOPIC, "damaged");
	refuses("keyFileP8: empty\n" IDS P8_TOPIC, "no private key");
	refuses("keyFileP8: aes.key\n" IDS P8_TOPIC,
	    "keyFileP8|encrypted|downloaded");
}

static void test_unreadable(void **state)
{
	uid_t nobody = 65534;

	(void)state;
	if (geteuid() != 0)
		skip();
	sh("install -m 600 token.key secret.key; chmod 755 .");
	assert_int_equal(seteuid(nobody), 0);
	{
		struct conf c;
		char path[64];

		conf_init(&c);
		snprintf(path, sizeof(path), "%s/x.yaml", pki_dir);
		c.path = strdup(path);
		c.key_file_p8 = strdup("secret.key");
		c.key_file_key_id = strdup("ABCDE12345");
		c.key_file_team_id = strdup("TEAM567890");
		c.key_file_topic = strdup(TOPIC);
		assert_null(cred_load(&c, err));
		conf_free(&c);
	}
	assert_int_equal(seteuid(0), 0);
	assert_non_null(strstr(err, "user nobody may not read"));
	assert_non_null(strstr(err, "secret.key"));
	assert_non_null(strstr(err, "chmod 600"));
}

static void test_choose_one(void **state)
{
	(void)state;
	NEEDS("p12");
	refuses(P8 IDS P8_TOPIC "certificateFilePem: both.pem\n",
	    "certificateFilePem|keyFileP8|choose one");
	refuses(P8 IDS P8_TOPIC "certificateFileP12: a.p12\n",
	    "certificateFileP12|keyFileP8|choose one");
	refuses("certificateFilePemKey: rsa.key\n",
	    "certificateFilePemKey|certificateFilePem is missing");
}

static char unused[ERR_MAX * 2];

static void on_unused(const char *what)
{
	assert_true(strlen(unused) + strlen(what) + 2 < sizeof(unused));
	strcat(strcat(unused, what), "|");
}

/* As parsed: what cred_check_unused() says of it. */
static void unused_is(const char *text, const char *want)
{
	struct conf c;

	conf_init(&c);
	assert_int_equal(conf_parse(&c, "f", text, strlen(text), err), 0);
	unused[0] = '\0';
	cred_check_unused(&c, on_unused);
	conf_free(&c);
	assert_string_equal(unused, want);
}

/* The Go daemon ignores them. */
static void test_unused(void **state)
{
	struct cred *c;

	(void)state;
	NEEDS("p12");
	c = load_ok(IDS P8_TOPIC);
	assert_int_equal(cred_kind(c), CRED_NONE);
	cred_free(c);
	unused_is(P8 IDS P8_TOPIC, "");
	unused_is("certificateFilePem: x\ncertificateFilePemKey: x\n", "");
	unused_is("certificateFileP12: x\n", "");
	unused_is(IDS P8_TOPIC,
	    "keyFileKeyId, keyFileTeamId, keyFileTopic: ignored, since there "
	    "is no keyFileP8: remove them|");
	unused_is("certificateFilePem: x\nkeyFileP8:\n" P8_TOPIC,
	    "keyFileTopic: ignored, since there is no keyFileP8: remove it|");
	unused_is("certificateFilePem: x\ncertificateFileP12: y\n",
	    "certificateFilePem: ignored, since certificateFileP12 is set: "
	    "remove it|");
	unused_is("certificateFilePemKey: x\ncertificateFileP12: y\n" IDS,
	    "certificateFilePemKey, keyFileKeyId, keyFileTeamId: ignored, "
	    "since certificateFileP12 is set: remove them|");
	unused_is("certFile: x\nkeyFile: y\n",
	    "certFile, keyFile: taken as certificateFilePem and "
	    "certificateFilePemKey: call them so|");
	unused_is("certFile: x\nkeyFile:\ncertificateFilePem: y\n",
	    "certFile, keyFile: ignored, since a newer key names the "
	    "credential: remove them|");
}

/* --- certificates --- */

static void loads_cert(const char *text, const char *topic)
{
	struct cred *c = load_ok(text);

	assert_int_equal(cred_kind(c), CRED_CERTIFICATE);
	assert_string_equal(cred_topic(c), topic);
	/* 2049-01-01 */
	assert_int_equal(cred_expires_s(c), INT64_C(2493072000));
	assert_int_equal(cred_check_time(c, NOW, err), 0);
	assert_null(cred_bearer(c, NOW, err));
	assert_non_null(cred_tls(c));
	cred_free(c);
}

#define PAIR "certificateFilePem: rsa.pem\ncertificateFilePemKey: "

static void test_certificate(void **state)
{
	(void)state;
	loads_cert(PAIR "rsa.key\n", XSERVER);
	loads_cert("certificateFilePem: both.pem\n", XSERVER);
	/* the key first; the chain before the leaf; text between */
	loads_cert("certificateFilePem: keyfirst.pem\n", XSERVER);
	loads_cert("certificateFilePem: chainfirst.pem\n", XSERVER);
	loads_cert("certificateFilePem: ec.pem\ncertificateFilePemKey: "
		   "ec.key\n",
	    TOPIC);
	loads_cert("certificateFilePem: rsa4096.pem\n"
		   "certificateFilePemKey: rsa4096.key\n",
	    XSERVER);
	/* as Apple's site hands it out: DER */
	loads_cert("certificateFilePem: rsa.cer\ncertificateFilePemKey: "
		   "rsa.key\n",
	    XSERVER);
	/* no UID, several UIDs */
	loads_cert("certificateFilePem: nouid.pem\ncertificateFilePemKey: "
		   "rsa.key\ntopic: com.example.topic\n",
	    "com.example.topic");
	loads_cert("certificateFilePem: two.pem\ncertificateFilePemKey: "
		   "rsa.key\n",
	    "short.topic");
	loads_cert("certificateFilePem: two2.pem\ncertificateFilePemKey: "
		   "rsa.key\n",
	    "short.topic");
	loads_cert("certificateFilePem: two3.pem\ncertificateFilePemKey: "
		   "rsa.key\n",
	    XSERVER);
	loads_cert("certificateFilePem: two.pem\ncertificateFilePemKey: "
		   "rsa.key\ntopic: other\n",
	    "other");
	/* of two leafs Mail's, then the one that is valid for longer */
	sh("cat older.pem app.pem rsa.pem ca.pem rsa.key >leafs.pem");
	loads_cert("certificateFilePem: leafs.pem\n", XSERVER);
	/* the certificate knows better than a topic that was set */
	loads_cert(PAIR "rsa.key\ntopic: com.example.topic\n", XSERVER);
	/* its own trust */
	loads_cert(PAIR "rsa.key\napnsCaFile: ca.pem\n", XSERVER);
	loads_cert(PAIR "rsa.key\napnsCaFile: ca.der\n", XSERVER);
}

static void test_encrypted(void **state)
{
	const char *const files[] = { "old-aes.key", "old-3des.key", "aes.key",
		"3des.key", "aes128-sha1.key", "pbes1.key" };
	char text[512];
	size_t i;

	(void)state;
	NEEDS("p12");
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(text, sizeof(text),
		    PAIR "%s\ncertificatePassword: s3cret wörd\n", files[i]);
		loads_cert(text, XSERVER);
		snprintf(text, sizeof(text),
		    PAIR "%s\ncertificatePasswordFile: pw\n", files[i]);
		loads_cert(text, XSERVER);
		snprintf(text, sizeof(text), PAIR "%s\n", files[i]);
		refuses(text, "certificateFilePemKey|encrypted|"
			      "certificatePasswordFile");
		snprintf(text, sizeof(text),
		    PAIR "%s\ncertificatePassword: wrong\n", files[i]);
		refuses(text, "certificateFilePemKey|certificatePassword");
		assert_non_null(strstr(err, "not open"));
	}
	refuses(PAIR "aes.key\ncertificatePassword: a\n"
		     "certificatePasswordFile: pw\n",
	    "certificatePasswordFile|certificatePassword is set too");
	refuses(PAIR "aes.key\ncertificatePasswordFile: none\n",
	    "certificatePasswordFile|No such file");
	refuses(PAIR "aes.key\ncertificatePasswordFile: longline\n",
	    "certificatePasswordFile|first line");
}

/* What a wrong password makes of an old-style key looks like one in about 500
 * times. */
static void test_many_wrong_passwords(void **state)
{
	char text[512];
	int i;

	(void)state;
	NEEDS("p12");
	for (i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text),
		    PAIR "%s\ncertificatePassword: wrong%d\n",
		    i % 2 ? "old-aes.key" : "old-3des.key", i);
		refuses(text, "certificateFilePemKey|not open");
	}
}

static void test_certificate_mistakes(void **state)
{
	(void)state;
	refuses("certificateFilePem: rsa.pem\n",
	    "certificateFilePem|no private key|certificateFilePemKey");
	refuses(PAIR "rsa4096.key\n",
	    "certificateFilePemKey|does not belong|rsa.pem");
	refuses(PAIR "token.key\n", "does not belong");
	refuses("certificateFilePem: rsa.key\n", "no certificate");
	refuses("certificateFilePem: cutcert.pem\n", "cannot be read");
	refuses("certificateFilePem: nouid.pem\ncertificateFilePemKey: "
		"rsa.key\n",
	    "certificateFilePem|UID|topic");
	refuses("certificateFilePem: badtopic.pem\ncertificateFilePemKey: "
		"rsa.key\n",
	    "certificateFilePem|printable ASCII");
	refuses(PAIR "rsa.key\napnsCaFile: empty\n", "apnsCaFile|/empty|no CA");
	refuses(PAIR "rsa.key\napnsCaFile: rsa.key\n", "apnsCaFile|no CA");
	refuses(PAIR "rsa.key\napnsCaFile: none\n", "apnsCaFile|No such file");
}

static void test_purpose(void **state)
{
	(void)state;
	refuses("certificateFilePem: signing.pem\ncertificateFilePemKey: "
		"rsa.key\n",
	    "certificateFilePem|Apple Distribution: A|no push certificate");
	refuses("certificateFilePem: signing2.pem\ncertificateFilePemKey: "
		"rsa.key\n",
	    "certificateFilePem|no push certificate");
}

static void test_pair_mistakes(void **state)
{
	(void)state;
	refuses("certificateFilePem: rsa.key\ncertificateFilePemKey: "
		"rsa.pem\n",
	    "exchange certificateFilePem and certificateFilePemKey|rsa.key|"
	    "rsa.pem");
	sh("cat cutcert.pem ca.pem >cutchain.pem");
	refuses("certificateFilePem: cutchain.pem\ncertificateFilePemKey: "
		"rsa.key\n",
	    "does not belong|cannot be read");
	sh("cat rsa.pem cutcert.pem >leafcut.pem");
	loads_cert("certificateFilePem: leafcut.pem\ncertificateFilePemKey: "
		   "rsa.key\n",
	    XSERVER);
}

/* --- PKCS#12 --- */

static const struct {
	const char *name, *options;
	bool legacy; /* OpenSSL 3 keeps the algorithm apart */
} p12_kinds[] = {
	{ "modern", "-certfile ca.pem -name 'my push'", false },
	{ "old", "-certfile ca.pem -name 'Schl\303\274ssel'", true },
	{ "noiter", "-noiter -nomaciter", true },
	{ "iter1", "-iter 1", false },
	{ "iter20000", "-iter 20000", false },
	{ "aes128", "-keypbe AES-128-CBC -certpbe AES-128-CBC", false },
	{ "aes192", "-keypbe AES-192-CBC -certpbe AES-192-CBC", false },
	{ "des2", "-keypbe PBE-SHA1-2DES -certpbe PBE-SHA1-2DES", true },
	{ "des3", "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES", false },
	{ "rc2-128", "-keypbe PBE-SHA1-RC2-128 -certpbe PBE-SHA1-RC2-128",
	    true },
	{ "rc2-40", "-keypbe PBE-SHA1-RC2-40 -certpbe PBE-SHA1-RC2-40", true },
	{ "clearcert", "-certpbe NONE", false },
	{ "clear", "-keypbe NONE -certpbe NONE", false },
	{ "sha1", "-macalg sha1", false },
	{ "sha384", "-macalg sha384", false },
	{ "sha512", "-macalg sha512", false },
	{ "nomac", "-nomac", false },
	{ "nomacold", "-nomac", true },
};

#define N_P12 (sizeof(p12_kinds) / sizeof(p12_kinds[0]))

static void make_p12(size_t i, const char *cert, const char *pass_file)
{
	sh("openssl pkcs12 -export -inkey %s.key -in %s.pem -passout file:%s "
	   "-out %s.p12 %s %s",
	    cert, cert, pass_file, p12_kinds[i].name, p12_kinds[i].options,
	    p12_kinds[i].legacy ? "-legacy" : "");
}

static void p12_conf(char *out, size_t size, const char *name, const char *pw)
{
	snprintf(out, size, "certificateFileP12: %s.p12\n%s%s\n", name,
	    pw != NULL ? "certificatePassword: " : "", pw != NULL ? pw : "");
}

static void test_p12(void **state)
{
	static const struct {
		const char *file, *password, *yaml;
	} passwords[] = {
		{ "pw1", "simple", "simple" },
		{ "pw2", "s3cret w\303\266rd \342\202\254 \360\237\220\264",
		    "s3cret w\303\266rd \342\202\254 \360\237\220\264" },
		{ "pw3",
		    "a very long one, of many more than just sixty-four "
		    "bytes, to fill several blocks",
		    "'a very long one, of many more than just sixty-four "
		    "bytes, to fill several blocks'" },
	};
	char text[512];
	size_t i, j;

	(void)state;
	NEEDS("p12");
	for (j = 0; j < sizeof(passwords) / sizeof(passwords[0]); j++)
		put(passwords[j].file, passwords[j].password,
		    strlen(passwords[j].password));
	for (i = 0; i < N_P12; i++)
		for (j = 0; j < 3; j++) {
			make_p12(i, "rsa", passwords[j].file);
			p12_conf(text, sizeof(text), p12_kinds[i].name,
			    passwords[j].yaml);
			loads_cert(text, XSERVER);
			if (strcmp(p12_kinds[i].name, "clear") == 0)
				continue; /* its MAC has a password, too */
			p12_conf(
			    text, sizeof(text), p12_kinds[i].name, "wrong");
			refuses(text,
			    "certificateFileP12|certificatePassword is wrong");
			p12_conf(text, sizeof(text), p12_kinds[i].name, NULL);
			refuses(text, "certificateFileP12|needs its password|"
				      "certificatePasswordFile");
		}
}

/* Keychain exports whatever was selected: a developer's identity, too. */
static void test_p12_identities(void **state)
{
	(void)state;
	NEEDS("p12");
	sh("cat app.pem older.pem rsa.pem ec.pem >several.pem; "
	   "openssl pkcs12 -export -inkey rsa.key -in rsa.pem -certfile "
	   "several.pem -passout pass:simple -out several.p12");
	loads_cert("certificateFileP12: several.p12\n"
		   "certificatePassword: simple\n",
	    XSERVER);
}

#define FROM_FILE(p12, file)                                                   \
	"certificateFileP12: " p12 "\ncertificatePasswordFile: " file "\n"

static void test_password_file(void **state)
{
	(void)state;
	NEEDS("p12");
	sh("printf simple >pwplain; printf 'simple\\n' >pwnl; "
	   "printf '\\357\\273\\277simple\\r\\n' >pwbom; "
	   "printf 'simple \\n' >pwblank; printf 'wrong\\n' >pwwrong; "
	   "openssl pkcs12 -export -inkey rsa.key -in rsa.pem -passout "
	   "pass:simple -out pf.p12");
	loads_cert(FROM_FILE("pf.p12", "pwplain"), XSERVER);
	loads_cert(FROM_FILE("pf.p12", "pwnl"), XSERVER);
	loads_cert(FROM_FILE("pf.p12", "pwbom"), XSERVER);
	refuses(FROM_FILE("pf.p12", "pwwrong"),
	    "/pf.p12|not open|/pwwrong (certificatePasswordFile)");
	assert_null(strstr(err, "certificatePassword is"));
	assert_null(strstr(err, "blanks"));
	refuses(FROM_FILE("pf.p12", "pwblank"), "/pwblank|blanks");
	refuses(FROM_FILE("pf.p12", "empty"), "/pf.p12|/empty|is empty");
	refuses(FROM_FILE("pf.p12", "none"),
	    "certificatePasswordFile|/none|No such file");
	refuses(FROM_FILE("pf.p12", "."), "certificatePasswordFile|folder");
	refuses(PAIR "aes.key\ncertificatePasswordFile: pwwrong\n",
	    "/aes.key|not open|/pwwrong (certificatePasswordFile)");
}

static void test_p12_empty_password(void **state)
{
	char text[128];
	size_t i;

	(void)state;
	NEEDS("p12");
	for (i = 0; i < N_P12; i++) {
		make_p12(i, "ec", "newline");
		p12_conf(text, sizeof(text), p12_kinds[i].name, NULL);
		loads_cert(text, TOPIC);
		p12_conf(text, sizeof(text), p12_kinds[i].name, "''");
		loads_cert(text, TOPIC);
	}
}

/* Turns 2,000 iterations into over ten million, for which openssl would take
 * long: two bytes more for them, two less for the salt. */
static void make_slow(const char *name)
{
	static const unsigned char few[] = { 0x02, 0x02, 0x07, 0xd0 };
	static const unsigned char many[] = { 0x02, 0x04, 0x00, 0x98, 0x96,
		0x81 };
	unsigned char *p, *salt;
	size_t len, n;
	char *data;

	data = slurp(name, &len);
	p = memmem(data, len, few, sizeof(few));
	assert_non_null(p);
	for (n = 8; n <= 16; n += 8) {
		salt = p - n - 2;
		if (salt[0] == 0x04 && salt[1] == n)
			break;
	}
	assert_true(n <= 16);
	salt[1] -= 2;
	memcpy(p - 2, many, sizeof(many));
	put(name, data, len);
	free(data);
}

static void test_p12_mistakes(void **state)
{
	(void)state;
	NEEDS("p12");
	put("pw1", "simple", 6);
	sh("openssl pkcs12 -export -nokeys -in rsa.pem -passout file:pw1 "
	   "-out nokey.p12; openssl pkcs12 -export -nocerts -inkey rsa.key "
	   "-passout file:pw1 -out nocert.p12; openssl pkcs12 -export -inkey "
	   "rsa.key -in rsa.pem -legacy -keypbe PBE-SHA1-RC4-128 -passout "
	   "file:pw1 -out rc4.p12; head -c 900 modern.p12 >cut.p12; "
	   "openssl pkcs12 -export -inkey rsa.key -in rsa.pem -iter 2000 "
	   "-nomac -certpbe NONE -passout file:pw1 -out slow.p12");
	make_slow("slow.p12");
#define WITH(name)                                                             \
	"certificateFileP12: " name ".p12\ncertificatePassword: simple\n"
	refuses(WITH("nokey"), "nokey.p12 holds no private key|Keychain");
	refuses(WITH("nocert"), "nocert.p12 holds no certificate");
	refuses(WITH("rc4"), "rc4.p12|does not know|openssl pkcs12");
	refuses(WITH("cut"), "cut.p12 is not PKCS#12|damaged, cut off");
	refuses(WITH("slow"), "slow.p12 is damaged");
	refuses("certificateFileP12: rsa.pem\n", "not PKCS#12");
	refuses("certificateFileP12: rsa.cer\n", "not PKCS#12");
	refuses("certificateFileP12: empty\n", "not PKCS#12");
	refuses("certificateFileP12: none\n", "No such file");
}

/* Every cut and every changed byte is refused or read, without harm. */
static void test_p12_broken(void **state)
{
	struct tls_cert *cert;
	struct tls_key *key;
	unsigned char *copy;
	size_t len, i;
	char *data;

	(void)state;
	NEEDS("p12");
	put("pw1", "simple", 6);
	sh("openssl pkcs12 -export -inkey ec.key -in ec.pem -legacy -noiter "
	   "-nomac -passout file:pw1 -out small.p12");
	data = slurp("small.p12", &len);
	for (i = 0; i < 2 * len; i++) {
		/* its own allocation, so that a sanitizer sees its end */
		copy = malloc(i < len ? i + 1 : len);
		memcpy(copy, data, i < len ? i : len);
		if (i >= len)
			copy[i - len] ^= 0x81;
		cert = NULL;
		key = NULL;
		if (tls_p12_parse(copy, i < len ? i : len, "simple", NULL,
			&cert, &key, err) == 0)
			assert_true(i >= len);
		tls_cert_free(cert);
		tls_key_free(key);
		free(copy);
	}
	free(data);
}

static void test_environment(void **state)
{
	(void)state;
	refuses("certificateFilePem: dev.pem\ncertificateFilePemKey: "
		"rsa.key\n",
	    "certificateFilePem|sandbox|apnsEnvironment");
	refuses("certificateFilePem: prod.pem\ncertificateFilePemKey: "
		"rsa.key\napnsEnvironment: sandbox\n",
	    "certificateFilePem|production|apnsEnvironment");
	loads_cert("certificateFilePem: dev.pem\ncertificateFilePemKey: "
		   "rsa.key\napnsEnvironment: sandbox\n",
	    TOPIC);
	loads_cert("certificateFilePem: prod.pem\ncertificateFilePemKey: "
		   "rsa.key\n",
	    TOPIC);
	loads_cert("certificateFilePem: devprod.pem\ncertificateFilePemKey: "
		   "rsa.key\n",
	    TOPIC);
}

static void test_dates(void **state)
{
	struct cred *c;

	(void)state;
	c = load_ok("certificateFilePem: old.pem\ncertificateFilePemKey: "
		    "rsa.key\n");
	assert_int_equal(cred_check_time(c, NOW, err), -1);
	assert_non_null(strstr(err, "expired on 2021-02-03 00:00 UTC"));
	assert_int_equal(cred_check_time(c, 1000, err), 0);
	cred_free(c);
	c = load_ok("certificateFilePem: rsa.pem\ncertificateFilePemKey: "
		    "rsa.key\n");
	assert_int_equal(cred_check_time(c, INT64_C(2493072000), err), 0);
	assert_int_equal(cred_check_time(c, INT64_C(2493072001), err), -1);
	cred_free(c);
	c = load_ok("certificateFilePem: future.pem\ncertificateFilePemKey: "
		    "rsa.key\n");
	assert_int_equal(cred_check_time(c, NOW, err), -1);
	assert_non_null(strstr(err, "not valid before 2048-01-01"));
	assert_non_null(strstr(err, "clock"));
	cred_free(c);
}

static void note_path(void *arg, const char *path)
{
	strcat(strcat(arg, strrchr(path, '/')), " ");
}

static void test_each_file(void **state)
{
	char seen[256] = "";
	struct conf c;

	(void)state;
	read_conf(&c, "certificateFilePem: a\ncertificateFilePemKey: /x/b\n"
		      "certificatePasswordFile: c\napnsCaFile: d\n");
	cred_each_file(&c, note_path, seen);
	assert_string_equal(seen, "/a /b /c /d ");
	conf_free(&c);
}

/* --- our own listener --- */

static void test_server(void **state)
{
	struct conf conf;
	struct cred *c;

	(void)state;
	NEEDS("tls-listener");
	read_conf(&conf, "tlsCertfile: rsa.pem\ntlsKeyfile: rsa.key\n");
	c = cred_load_server(&conf, err);
	assert_non_null(c);
	assert_int_equal(cred_kind(c), CRED_SERVER);
	assert_non_null(cred_tls(c));
	assert_int_equal(cred_expires_s(c), INT64_C(2493072000));
	cred_free(c);
	conf_free(&conf);
	read_conf(&conf, "tlsCertfile: both.pem\ntlsKeyfile: both.pem\n");
	c = cred_load_server(&conf, err);
	assert_non_null(c);
	cred_free(c);
	conf_free(&conf);
	read_conf(&conf, "tlsCertfile: rsa.pem\ntlsKeyfile: ec.key\n");
	assert_null(cred_load_server(&conf, err));
	assert_non_null(strstr(err, "tlsKeyfile"));
	assert_non_null(strstr(err, "does not belong"));
	conf_free(&conf);
	read_conf(&conf, "tlsCertfile: rsa.pem\ntlsKeyfile: aes.key\n");
	assert_null(cred_load_server(&conf, err));
	assert_non_null(strstr(err, "openssl pkey"));
	conf_free(&conf);
}

static void make_encrypted(void)
{
	sh("printf 's3cret w\\303\\266rd\\r\\nsecond line\\n' >pw");
	sh("printf 's3cret w\\303\\266rd' >pass; "
	   "openssl rsa -traditional -in rsa.key -aes256 -passout file:pass "
	   "-out old-aes.key; "
	   "openssl rsa -traditional -in rsa.key -des3 -passout file:pass "
	   "-out old-3des.key; "
	   "openssl pkcs8 -topk8 -in rsa.key -passout file:pass -out aes.key; "
	   "openssl pkcs8 -topk8 -in rsa.key -v2 des3 -v2prf hmacWithSHA1 "
	   "-passout file:pass -out 3des.key; "
	   "openssl pkcs8 -topk8 -in rsa.key -v2 aes128 -v2prf hmacWithSHA1 "
	   "-passout file:pass -out aes128-sha1.key; "
	   "openssl pkcs8 -topk8 -in rsa.key -v1 PBE-SHA1-3DES "
	   "-passout file:pass -out pbes1.key");
}

#define APPLE "1.2.840.113635.100.6.3."

static void make_certs(void)
{
	const char *ext = "extendedKeyUsage=clientAuth";
	const struct {
		const char *name, *subj, *ext, *from, *to;
	} certs[] = {
		{ "rsa", "/C=US/CN=APSP:1/UID=" XSERVER, ext, PKI_FROM,
		    PKI_TO },
		{ "nouid", "/C=US/CN=APSP:1", ext, PKI_FROM, PKI_TO },
		{ "two", "/UID=other/CN=x/UID=short.topic", ext, PKI_FROM,
		    PKI_TO },
		{ "badtopic", "/UID=a b/CN=x", ext, PKI_FROM, PKI_TO },
		{ "dev", "/UID=" TOPIC "/CN=x", APPLE "1=DER:0500", PKI_FROM,
		    PKI_TO },
		{ "prod", "/UID=" TOPIC "/CN=x", APPLE "2=DER:0500", PKI_FROM,
		    PKI_TO },
		{ "devprod", "/UID=" TOPIC "/CN=x",
		    APPLE "1=DER:0500\\n" APPLE "2=DER:0500", PKI_FROM,
		    PKI_TO },
		{ "two2", "/UID=short.topic/CN=x/UID=TEAMID1234", ext, PKI_FROM,
		    PKI_TO },
		{ "two3", "/UID=" XSERVER "/UID=com.example.app", ext, PKI_FROM,
		    PKI_TO },
		{ "mdm", "/UID=com.apple.mgmt.External.1/CN=x", ext, PKI_FROM,
		    PKI_TO },
		{ "signing", "/UID=TEAMID1234/CN=Apple Distribution: A (B)",
		    "keyUsage=digitalSignature", PKI_FROM, PKI_TO },
		{ "signing2", "/UID=" TOPIC "/CN=x",
		    "extendedKeyUsage=codeSigning", PKI_FROM, PKI_TO },
		{ "older", "/UID=" TOPIC "/CN=x", ext, PKI_FROM, "20480101" },
		{ "app", "/UID=com.example.app/CN=x", ext, PKI_FROM,
		    "20491231" },
		{ "old", "/UID=" TOPIC "/CN=x", ext, PKI_FROM, "20210203" },
		{ "future", "/UID=" TOPIC "/CN=x", ext, "20480101", PKI_TO },
	};
	size_t i;

	for (i = 0; i < sizeof(certs) / sizeof(certs[0]); i++) {
		if (i > 0)
			sh("cp rsa.key %s.key", certs[i].name);
		pki_cert(certs[i].name, certs[i].subj, "ca", certs[i].ext,
		    certs[i].from, certs[i].to);
	}
	pki_cert("ec", "/UID=" TOPIC "/CN=x", "ca", ext, PKI_FROM, PKI_TO);
	pki_cert("rsa4096", "/UID=" XSERVER, "ca", ext, PKI_FROM, PKI_TO);
}

static int setup(void **state)
{
	(void)state;
	pki_open();
	pki_key("ca", "P-256");
	pki_cert("ca", "/CN=Test CA", "ca", PKI_CA_EXT, PKI_FROM, PKI_TO);
	pki_key("token", "P-256");
	sh("openssl pkey -in token.key -pubout -out token.pub");
	pki_key("p384", "P-384");
	pki_key("ec", "P-256");
	pki_key("rsa", "rsa:2048");
	pki_key("rsa4096", "rsa:4096");
	make_certs();
	make_encrypted();
	sh("openssl x509 -in rsa.pem -outform DER -out rsa.cer; "
	   "openssl x509 -in ca.pem -outform DER -out ca.der; "
	   "cat rsa.pem rsa.key >both.pem; "
	   "{ echo Bag Attributes; cat rsa.key; echo subject=x; cat rsa.pem "
	   "ca.pem; } >keyfirst.pem; "
	   "cat ca.pem rsa.pem rsa.key >chainfirst.pem; "
	   "sed 4d token.key | sed 2s/M/N/ >cut.key; "
	   "sed 5,8d rsa.pem >cutcert.pem; : >empty; "
	   "echo >newline; "
	   "head -c 1048577 /dev/zero >big; "
	   "head -c 1025 /dev/zero | tr '\\0' x >longline");
	sh("chmod 600 *");
	return tls_init(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_token_key),
		cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_not_taken),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_file_name),
		cmocka_unit_test(test_topics),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_token_key_mistakes),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_choose_one),
		cmocka_unit_test(test_unused),
		cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_encrypted),
		cmocka_unit_test(test_many_wrong_passwords),
		cmocka_unit_test(test_certificate_mistakes),
		cmocka_unit_test(test_purpose),
		cmocka_unit_test(test_pair_mistakes),
		cmocka_unit_test(test_p12),
		cmocka_unit_test(test_p12_identities),
		cmocka_unit_test(test_password_file),
		cmocka_unit_test(test_p12_empty_password),
		cmocka_unit_test(test_p12_mistakes),
		cmocka_unit_test(test_p12_broken),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_each_file),
		cmocka_unit_test(test_server),
	};

	return cmocka_run_group_tests(tests, setup, pki_teardown);
}
