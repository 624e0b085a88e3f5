/* cred_pem_test.c - what editors, mail and web forms do to a key or certificate
 * is taken; what is none of these is named. */
#include "unit.h"

#include "cred/int.h"
#include "pki.h"
#include "needs.h"
#include "tls.h"

static char *text;
static size_t len;
static const char *key;
static char err[ERR_MAX];
static const char *way_now = "";

static unsigned read_all(const char *data, size_t n)
{
	/* its own allocation, so that a sanitizer sees its end */
	char *copy = malloc(n + 1);
	unsigned holds;

	memcpy(copy, data, n);
	copy[n] = '\0';
	free(text);
	holds = cred_pem_read(copy, n, &text, &len, &key);
	free(copy);
	if (text != NULL)
		assert_int_equal(text[len], '\0');
	return holds;
}

static unsigned read_file(const char *name)
{
	size_t n;
	char *data = slurp(name, &n);
	unsigned holds = read_all(data, n);

	free(data);
	return holds;
}

static void gives_key(const char *name)
{
	struct tls_key *k;

	if ((read_file(name) & HOLDS_KEY) == 0 || text == NULL)
		fail_msg("%s: no key (%s)", name, way_now);
	k = tls_key_parse(text, len, NULL, err);
	if (k == NULL)
		fail_msg("%s: %s\n%s", name, err, text);
	tls_key_free(k);
}

static void gives_cert(const char *name)
{
	struct tls_cert *c;

	if ((read_file(name) & HOLDS_CERT) == 0 || text == NULL)
		fail_msg("%s: no certificate (%s)", name, way_now);
	c = tls_cert_parse(text, len, err);
	if (c == NULL)
		fail_msg("%s: %s", name, err);
	tls_cert_free(c);
}

/* What may happen to a PEM file IN on its way; the result is OUT. */
static const char *const ways[] = {
	"cat IN >OUT",
	"sed 's/$/   /' IN >OUT",		    /* blanks at the end */
	"sed 's/^/\t  /' IN >OUT",		    /* indented */
	"sed 's/$/\\r/' IN >OUT",		    /* CRLF */
	"tr '\\n' '\\r' <IN >OUT",		    /* CR only */
	"tr '\\n' ' ' <IN >OUT",		    /* one line */
	"awk '{ printf \"%s\\\\n\", $0 }' IN >OUT", /* "\n" in letters */
	"awk '{ printf \"%s\\\\r\\\\n\", $0 }' IN >OUT",
	"awk '{ printf \"\\\"%s\\\\\\\\n\\\" \", $0 }' IN >OUT",
	"printf '%s' \"$(cat IN)\" >OUT", /* no newline at the end */
	"{ printf '\\357\\273\\277'; cat IN; } >OUT", /* byte order mark */
	"iconv -f ASCII -t UTF-16 IN >OUT",
	"iconv -f ASCII -t UTF-16LE IN >OUT",
	"iconv -f ASCII -t UTF-16BE IN >OUT",
	"{ printf '\\376\\377'; iconv -f ASCII -t UTF-16BE IN; } >OUT",
	"{ echo 'Here it is:'; cat IN; echo 'Best, A -- B'; } >OUT",
	"{ echo; echo; cat IN; echo; } >OUT",
	"sed 's/^/> /' IN >OUT", /* quoted in mail */
	"sed 's/-----/---/g' IN >OUT",
	"sed 's/-----/\\xe2\\x80\\x94/g' IN >OUT", /* typographic dashes */
	"sed 's/^/\\xc2\\xa0/' IN >OUT",	   /* no-break spaces */
	"tr -d '\\n' <IN >OUT",
	"sed 'a\\\n' IN >OUT", /* empty lines between */
			       /* the body alone */
	"grep -v -e -- IN >OUT",
	"grep -v -e -- IN | tr -d '\\n' >OUT",
	"{ printf \"'\"; grep -v -e -- IN | tr -d '\\n'; echo \"'\"; } >OUT",
	"sed /-BEG/d IN >OUT",
	"sed /-END/d IN >OUT",
};

static void go(const char *way, const char *in)
{
	char cmd[1024], *out = cmd;
	const char *p;

	for (p = way; *p != '\0'; p++)
		if (strncmp(p, "IN", 2) == 0) {
			out += sprintf(out, "%s", in);
			p++;
		} else if (strncmp(p, "OUT", 3) == 0) {
			out += sprintf(out, "way.out");
			p += 2;
		} else {
			*out++ = *p;
		}
	*out = '\0';
	way_now = way;
	sh("%s", cmd);
}

static void test_ways(void **state)
{
	static const char *const keys[] = { "p8.key", "sec1.key", "rsa.key",
		"pkcs1.key" };
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		for (j = 0; j < sizeof(keys) / sizeof(keys[0]); j++) {
			go(ways[i], keys[j]);
			gives_key("way.out");
		}
		go(ways[i], "ca.pem");
		gives_cert("way.out");
		/* a certificate and its key */
		if (i < 23) {
			go(ways[i], "both.pem");
			gives_cert("way.out");
			gives_key("way.out");
		}
	}
}

static void test_der(void **state)
{
	(void)state;
	sh("openssl pkcs8 -topk8 -nocrypt -in p8.key -outform DER -out a.der; "
	   "openssl ec -in p8.key -outform DER -out b.der; "
	   "openssl rsa -in rsa.key -traditional -outform DER -out c.der; "
	   "openssl x509 -in ca.pem -outform DER -out d.der; "
	   "{ cat a.der; echo; } >e.der; base64 d.der >d.b64; "
	   "openssl pkcs8 -topk8 -in p8.key -passout pass:x -outform DER -out "
	   "f.der");
	gives_key("a.der");
	assert_string_equal(key, TLS_KEY_P256);
	gives_key("b.der");
	assert_string_equal(key, TLS_KEY_P256);
	gives_key("c.der");
	assert_string_equal(key, "an RSA key");
	gives_cert("d.der");
	gives_key("e.der");
	gives_cert("d.b64");
	assert_int_equal(read_file("f.der"), HOLDS_KEY);
	assert_non_null(strstr(text, "BEGIN ENCRYPTED PRIVATE KEY"));
}

/* The label may be wrong: the form counts. */
static void test_labels(void **state)
{
	(void)state;
	sh("sed 's/BEGIN PRIVATE KEY/BEGIN EC PRIVATE KEY/; "
	   "s/END PRIVATE/END EC PRIVATE/' p8.key >l1; "
	   "sed 's/ PRIVATE KEY/ CERTIFICATE/' p8.key >l2; "
	   "openssl x509 -in ca.pem -trustout -addtrust serverAuth -out l3; "
	   "sed 's/ EC PRIVATE KEY/ PRIVATE KEY/' sec1.key >l4");
	gives_key("l1");
	gives_key("l2");
	gives_cert("l3");
	gives_key("l4");
}

static void test_encrypted(void **state)
{
	struct tls_key *k;

	(void)state;
	sh("openssl rsa -traditional -in rsa.key -aes256 -passout pass:pw -out "
	   "old.key; sed 's/$/ \\r/; s/^/  /' old.key >old2.key");
	NEEDS("p12");
	assert_int_equal(read_file("old2.key"), HOLDS_KEY);
	assert_null(tls_key_parse(text, len, NULL, err));
	assert_string_equal(err, "");
	k = tls_key_parse(text, len, "pw", err);
	assert_non_null(k);
	tls_key_free(k);
}

/* Every cipher that openssl writes into DEK-Info, of which we know these. */
static void test_encrypted_old(void **state)
{
	static const char *const ciphers[] = { "aes128", "aes192", "aes256",
		"des3", "des", "camellia128" };
	struct tls_key *k;
	size_t i;

	(void)state;
	NEEDS("p12");
	for (i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		sh("openssl rsa -traditional -provider default -provider "
		   "legacy -in rsa.key -%s -passout pass:pw -out old3.key",
		    ciphers[i]);
		assert_int_equal(read_file("old3.key"), HOLDS_KEY);
		assert_null(tls_key_parse(text, len, "", err));
		k = tls_key_parse(text, len, "pw", err);
		if (i < 5)
			assert_non_null(k);
		else
			assert_non_null(strstr(err, "xapsd does not know"));
		tls_key_free(k);
	}
}

/* What is encrypted in the old way begins like DER, with a length of its own,
 * once in 256 times: all of it is kept. */
static void test_encrypted_like_der(void **state)
{
	static const char body[] = "MAIBBUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
	char pem[256];

	(void)state;
	snprintf(pem, sizeof(pem),
	    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
	    "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n%s\n"
	    "-----END RSA PRIVATE KEY-----\n",
	    body);
	assert_int_equal(read_all(pem, strlen(pem)), HOLDS_KEY);
	assert_non_null(strstr(text, body));
}

/* One in 512 wrong passwords gives something that looks like a key. */
static void test_wrong_passwords(void **state)
{
	char password[32];
	int i;

	(void)state;
	NEEDS("p12");
	read_file("old.key");
	for (i = 0; i < 5000; i++) {
		snprintf(password, sizeof(password), "wrong %d", i);
		strcpy(err, "?");
		assert_null(tls_key_parse(text, len, password, err));
		assert_string_equal(err, "");
	}
}

static void test_names(void **state)
{
	const struct {
		const char *make;
		unsigned holds;
	} cases[] = {
		{ "openssl pkcs12 -export -inkey rsa.key -in both.pem -passout "
		  "pass:x -out x",
		    HOLDS_P12 },
		{ "openssl pkcs12 -export -inkey rsa.key -in both.pem -passout "
		  "pass:x | base64 >x",
		    HOLDS_P12 },
		{ "openssl req -new -key rsa.key -subj /CN=x -out x",
		    HOLDS_REQUEST },
		{ "openssl req -new -key rsa.key -subj /CN=x -outform DER "
		  "-out x",
		    HOLDS_REQUEST },
		{ "openssl pkey -in rsa.key -pubout -out x", HOLDS_PUBLIC },
		{ "openssl pkey -in p8.key -pubout -outform DER -out x",
		    HOLDS_PUBLIC },
		{ "openssl crl2pkcs7 -nocrl -certfile ca.pem -out x",
		    HOLDS_PKCS7 },
		{ "openssl crl2pkcs7 -nocrl -certfile ca.pem -outform DER "
		  "-out x",
		    HOLDS_PKCS7 },
		{ "rm -f x; ssh-keygen -q -t ed25519 -N '' -f x || "
		  "printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\\nAAAA\\n"
		  "-----END OPENSSH PRIVATE KEY-----\\n' >x",
		    HOLDS_SSH },
		{ "cat both.pem >x", HOLDS_CERT | HOLDS_KEY },
		{ "openssl ecparam -name prime256v1 -out x", 0 },
		{ "echo 'a few words, no key: BEGIN' >x", 0 },
		{ "head -c 3000 /dev/urandom | tr -d '0' >x", 0 },
		{ ": >x", 0 },
		{ "printf 0 >x", 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sh("%s", cases[i].make);
		if (read_file("x") != cases[i].holds)
			fail_msg("%s", cases[i].make);
	}
}

static void test_key_words(void **state)
{
	const struct {
		const char *make, *words;
	} cases[] = {
		{ "genpkey -algorithm ED25519", "an Ed25519 key" },
		{ "genpkey -algorithm ED448", "an Ed448 key" },
		{ "genpkey -algorithm X25519", "an X25519 key" },
		{ "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
		    "an EC key on P-384 (secp384r1)" },
		{ "ecparam -name secp521r1 -genkey -noout",
		    "an EC key on P-521 (secp521r1)" },
		{ "ecparam -name secp256k1 -genkey", "an EC key on secp256k1" },
		{ "ecparam -name prime256v1 -genkey", TLS_KEY_P256 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sh("openssl %s -out k", cases[i].make);
		assert_int_equal(read_file("k"), HOLDS_KEY);
		assert_string_equal(key, cases[i].words);
	}
}

static void test_guess(void **state)
{
	static const struct {
		const char *data, *words;
	} cases[] = {
		{ "", "empty" },
		{ " \n\r\n", "empty" },
		{ "<!DOCTYPE html><html>", "a web page" },
		{ "\n<HTML><body>403", "a web page" },
		{ "<?xml version=\"1.0\"?><plist>", "a property list" },
		{ "bplist00", "a property list" },
		{ "PK\003\004....", "a ZIP archive" },
		{ "ssh-ed25519 AAAA a@b", "a public key for SSH" },
		{ "{\"type\":\"service_account\"}", "JSON" },
		{ "0\202\001\001", "damaged, cut off" },
		{ "words", "text without a PEM part" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strstr(
			cred_kind_guess(cases[i].data, strlen(cases[i].data)),
			cases[i].words) == NULL)
			fail_msg("%s: %s", cases[i].words,
			    cred_kind_guess(
				cases[i].data, strlen(cases[i].data)));
	assert_non_null(
	    strstr(cred_kind_guess("\177ELF\0\0\0", 7), "binary data"));
	assert_non_null(strstr(cred_kind_guess("0\202\001\001\0 <plist>", 13),
	    "a provisioning profile"));
}

/* Every cut and every changed byte gives an answer, without harm. */
static void test_broken(void **state)
{
	size_t n, i, j;
	char *data;
	static const char *const files[] = { "both.pem", "old.key", "a.der",
		"x16" };

	(void)state;
	sh("iconv -f ASCII -t UTF-16 p8.key >x16");
	for (j = 0; j < sizeof(files) / sizeof(files[0]); j++) {
		data = slurp(files[j], &n);
		for (i = 0; i < n; i++)
			read_all(data, i);
		for (i = 0; i < n; i++) {
			data[i] ^= 0x21;
			read_all(data, n);
			data[i] ^= 0x21;
		}
		free(data);
	}
}

static void test_csr(void **state)
{
	char *key_pem, *request, path[64];
	FILE *f;

	(void)state;
	NEEDS("csr");
	assert_int_equal(tls_csr_make("a name", &key_pem, &request, err), 0);
	snprintf(path, sizeof(path), "%s/made", pki_dir);
	f = fopen(path, "w");
	fprintf(f, "%s%s", key_pem, request);
	fclose(f);
	assert_int_equal(read_file("made"), HOLDS_KEY | HOLDS_REQUEST);
	gives_key("made");
	sh("openssl req -in made -verify -noout && openssl req -in made "
	   "-noout -subject | grep 'CN = a name' && openssl rsa -in made "
	   "-check -noout && test \"$(openssl req -in made -noout -pubkey)\" = "
	   "\"$(openssl rsa -in made -pubout)\"");
	free(key_pem);
	free(request);
}

static int setup(void **state)
{
	(void)state;
	pki_open();
	pki_key("ca", "P-256");
	pki_cert("ca", "/CN=Test CA", "ca", PKI_CA_EXT, PKI_FROM, PKI_TO);
	pki_key("p8", "P-256");
	pki_key("rsa", "rsa:2048");
	pki_cert("rsa", "/CN=x", "ca", "extendedKeyUsage=clientAuth", PKI_FROM,
	    PKI_TO);
	sh("openssl ec -in p8.key -out sec1.key; "
	   "openssl rsa -in rsa.key -traditional -out pkcs1.key; "
	   "cat rsa.pem rsa.key >both.pem");
	return tls_init(err);
}

static int teardown(void **state)
{
	free(text);
	return pki_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_der),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_encrypted),
		cmocka_unit_test(test_encrypted_old),
		cmocka_unit_test(test_encrypted_like_der),
		cmocka_unit_test(test_wrong_passwords),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_key_words),
		cmocka_unit_test(test_guess),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_csr),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
