/* fcm_test.c - the key file of a Google service account, every mistake with its
 * cure, and the JWT by it. */
#include "unit.h"

#include <stdbool.h>

#include "buf.h"
#include "clock.h"
#include "conf.h"
#include "cred.h"
#include "json.h"
#include "needs.h"
#include "pki.h"
#include "tls.h"

#define NOW (CLOCK_MIN_S + 1000)

#define EMAIL "\"client_email\":\"push@shop-1.iam.gserviceaccount.com\""
#define PROJECT "\"project_id\":\"shop-1\""
#define URL "\"token_uri\":\"https://oauth2.googleapis.com/token\""
#define KEY_ID "\"private_key_id\":\"0123abcd\""
#define TYPE "\"type\":\"service_account\""

static char err[ERR_MAX];

static void write_file(const char *name, const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", pki_dir, name);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

/* A configuration with sa.json, which holds this text. */
static struct cred *load(const char *text)
{
	struct conf c;
	struct cred *cred;
	char path[64];

	if (text != NULL)
		write_file("sa.json", text);
	write_file("xapsd.yaml", "fcmServiceAccount: sa.json\n");
	snprintf(path, sizeof(path), "%s/xapsd.yaml", pki_dir);
	conf_init(&c);
	if (conf_read(&c, path, err) != 0)
		fail_msg("%s", err);
	err[0] = '\0';
	cred = cred_load(&c, err);
	conf_free(&c);
	return cred;
}

/* The members, and the private key of a file. */
static char *with_key(const char *members, const char *key)
{
	static char text[16384];
	struct buf b = BUF_INIT(sizeof(text));
	char *pem = slurp(key, NULL);

	buf_add_fmt(&b, "{%s,\"private_key\":", members);
	json_write_str(&b, pem);
	buf_add(&b, "}", 2);
	memcpy(text, buf_head(&b), b.len);
	buf_free(&b);
	free(pem);
	return text;
}

static void refuses(const char *text, const char *words)
{
	struct cred *cred = load(text);

	if (cred != NULL)
		fail_msg("was accepted: %s", text);
	if (strstr(err, words) == NULL || strstr(err, "xapsd.yaml:1") == NULL ||
	    strstr(err, "Firebase console") == NULL)
		fail_msg("\"%s\" lacks \"%s\"", err, words);
}

#define ALL TYPE "," EMAIL "," PROJECT "," KEY_ID "," URL

static void test_file(void **state)
{
	struct cred *c;
	const struct cred_service *f;

	(void)state;
	NEEDS("fcm");
	c = load(with_key(ALL, "rsa.key"));
	if (c == NULL)
		fail_msg("%s", err);
	f = cred_fcm(c);
	assert_int_equal(cred_kind(c), CRED_NONE);
	assert_string_equal(f->email, "push@shop-1.iam.gserviceaccount.com");
	assert_string_equal(f->project, "shop-1");
	assert_string_equal(
	    f->token_url, "https://oauth2.googleapis.com/token");
	assert_string_equal(f->key_id, "0123abcd");
	cred_free(c);

	/* What has a default, and a domain's project. */
	c = load(
	    with_key(EMAIL ",\"project_id\":\"example.com:shop\"", "rsa.key"));
	assert_non_null(c);
	assert_string_equal(
	    cred_fcm(c)->token_url, "https://oauth2.googleapis.com/token");
	assert_string_equal(cred_fcm(c)->key_id, "");
	assert_string_equal(cred_fcm(c)->project, "example.com:shop");
	cred_free(c);
	c = load(with_key(ALL, "old.key")); /* PKCS#1 */
	assert_non_null(c);
	cred_free(c);
	c = load(with_key(ALL, "big.key"));
	assert_non_null(c);
	cred_free(c);
}

static void test_mistakes(void **state)
{
	char *text;

	(void)state;
	NEEDS("fcm");
	refuses("", "is not JSON");
	refuses("AAAAabc:APA91b-a-legacy-server-key\n", "is not JSON");
	text = with_key(ALL, "rsa.key");
	text[strlen(text) - 1] = '\0'; /* cut off */
	refuses(text, "is not JSON");
	refuses("[]", "client_email");
	refuses("{}", "client_email");
	refuses("{\"project_info\":{\"project_id\":\"shop-1\"},\"client\":[]}",
	    "google-services.json, which is for the app");
	refuses("{\"installed\":{\"client_id\":\"1\"}}", "client_email");
	refuses(with_key(PROJECT, "rsa.key"), "client_email is missing");
	refuses(with_key(EMAIL, "rsa.key"), "project_id is missing");
	refuses(
	    with_key(EMAIL ",\"project_id\":\"\"", "rsa.key"), "project_id");
	refuses(with_key(EMAIL ",\"project_id\":7", "rsa.key"), "project_id");
	refuses(with_key(EMAIL ",\"project_id\":\"a/../b\"", "rsa.key"),
	    "project_id");
	refuses(with_key(EMAIL ",\"project_id\":\"a\\u0000b\"", "rsa.key"),
	    "project_id");
	refuses(
	    with_key(EMAIL ",\"project_id\":\"a b\"", "rsa.key"), "project_id");
	refuses(with_key(PROJECT ",\"client_email\":\"a\\\"b@c\"", "rsa.key"),
	    "client_email");
	refuses(with_key(EMAIL "," PROJECT ",\"token_uri\":\"http://x/\"",
		    "rsa.key"),
	    "token_uri");
	refuses(with_key(EMAIL "," PROJECT ",\"token_uri\":null", "rsa.key"),
	    "token_uri");
	refuses("{" ALL "}", "holds no private_key");
	refuses("{" ALL ",\"private_key\":\"\"}", "holds no private_key");
	load("{" ALL ",\"private_key\":\"nonsense\"}");
	assert_non_null(strstr(err, "holds no private key"));
	refuses(with_key(ALL, "ec.key"), "not RSA");
	refuses(with_key(ALL, "small.key"), "not RSA of 2048");
	sh("rm sa.json; mkdir sa.json");
	assert_null(load(NULL));
	assert_non_null(strstr(err, "folder"));
	sh("rmdir sa.json");
	assert_null(load(NULL));
	assert_non_null(strstr(err, "sa.json: No such file"));
}

/* openssl(1) checks the signature, and what is signed is as RFC 7523 says. */
static void test_jwt(void **state)
{
	struct buf b = BUF_INIT(4096);
	struct cred *c;

	(void)state;
	NEEDS("fcm");
	c = load(with_key(ALL, "rsa.key"));
	assert_non_null(c);
	assert_int_equal(cred_fcm_jwt(cred_fcm(c), NOW, &b, err), 0);
	assert_false(b.failed);
	buf_add_byte(&b, '\0');
	write_file("jwt", (const char *)buf_head(&b));
	sh("decode() { tr -- '-_' '+/' | { cat; printf '=='; } | base64 -d "
	   "2>/dev/null || true; }; "
	   "cut -d. -f1 jwt | decode >header; cut -d. -f2 jwt | decode "
	   ">claims; "
	   "cut -d. -f3 jwt | decode >sig; cut -d. -f1,2 jwt | tr -d '\\n' "
	   ">signed; "
	   "openssl pkey -in rsa.key -pubout -out rsa.pub; "
	   "openssl dgst -sha256 -verify rsa.pub -signature sig signed; "
	   "grep -qx "
	   "'{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"0123abcd\"}' "
	   "header; "
	   "test $(($(grep -o '\"exp\":[0-9]*' claims | cut -d: -f2) - "
	   "$(grep -o '\"iat\":[0-9]*' claims | cut -d: -f2))) = 3600");
	sh("grep -q '\"iss\":\"push@shop-1.iam.gserviceaccount.com\"' claims "
	   "&& "
	   "grep -q '\"aud\":\"https://oauth2.googleapis.com/token\"' claims "
	   "&& "
	   "grep -q '\"scope\":\"https://www.googleapis.com/auth/"
	   "firebase.messaging\"' claims");
	buf_free(&b);
	cred_free(c);
}

static int setup(void **state)
{
	(void)state;
	pki_open();
	pki_key("rsa", "rsa:2048");
	pki_key("small", "rsa:1024");
	pki_key("big", "rsa:4096");
	pki_key("ec", "P-256");
	sh("openssl rsa -in rsa.key -traditional -out old.key");
	return tls_init(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_jwt),
	};

	return cmocka_run_group_tests(tests, setup, pki_teardown);
}
