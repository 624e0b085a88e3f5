/* Web Push: RFC 8291's example, subscriptions, the VAPID key and its JWTs. */
#include <unistd.h>

/* What this machine is called. */
static const char *host_name = "mail.example.org";

static int fake_host_name(char *out, size_t size);
#define gethostname fake_host_name
#include "webpush.c"
#undef gethostname

#include "unit.h"

static int fake_host_name(char *out, size_t size)
{
	snprintf(out, size, "%s", host_name);
	return 0;
}

#define NOW_S INT64_C(1800000000)

/* RFC 8291 5 and its appendix A, in base64url. */
static const char ua_public[] =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7V"
    "d8pZGH6SRpkNtoIAiw4";
static const char ua_auth[] = "BTBZMqHH6r4Tts7J_aSIgg";
static const char as_private[] = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
static const char ua_private[] = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
static const char as_public[] =
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz"
    "AC8wEqKK6PBru3jl7A8";
static const char body_text[] =
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMo"
    "ZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf"
    "1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
static const char plain[] = "When I grow up, I want to be a watermelon";

#define ENDPOINT_TEXT "https://push.example.org/p/1"

struct fixture {
	struct conf conf;
	struct webpush *w;
	char folder[64], database[96], file[112];
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	conf_init(&f->conf);
	strcpy(f->folder, "/tmp/webpush-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->database, sizeof(f->database), "%s/db", f->folder);
	snprintf(f->file, sizeof(f->file), "%s.vapid", f->database);
	free(f->conf.database_file);
	f->conf.database_file = xstrdup(f->database);
	f->w = webpush_new(&f->conf);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	webpush_free(f->w);
	conf_free(&f->conf);
	chmod(f->folder, 0700);
	unlink(f->file);
	rmdir(f->file);
	rmdir(f->folder);
	free(f);
	return 0;
}

static void decode(const char *text, void *out, size_t n)
{
	assert_int_equal(text_base64_read(text, strlen(text), true, out, n), n);
}

/* ECPrivateKey without its public half. */
static struct tls_key *key_of(const char *scalar)
{
	unsigned char der[52] = { 0x30, 49, 2, 1, 1, 4, 32 };
	static const unsigned char curve[] = { 0xa0, 10, 6, 8, 0x2a, 0x86, 0x48,
		0xce, 0x3d, 3, 1, 7 };
	char err[ERR_MAX];
	struct tls_key *k;

	decode(scalar, der + 7, 32);
	memcpy(der + 39, curve, sizeof(curve));
	k = tls_key_parse((char *)der, 51, NULL, err);
	assert_non_null(k);
	return k;
}

static void test_rfc8291_example(void **state)
{
	unsigned char want[144], body[144] = { 0 };
	size_t n = sizeof(plain); /* one byte of padding, in place of the NUL */
	struct receiver r;
	struct tls_key *k = key_of(as_private);

	(void)state;
	decode(body_text, want, sizeof(want));
	decode(ua_public, r.point, sizeof(r.point));
	decode(ua_auth, r.auth, sizeof(r.auth));
	memcpy(body, want, SALT_LEN);
	memcpy(body + HEAD_LEN, plain, n);
	body[HEAD_LEN + n - 1] = 2;
	assert_int_equal(seal(&r, k, body, n), 0);
	assert_memory_equal(body, want, sizeof(want));
	tls_key_free(k);
}

/* Both sides agree, and on the secret of the appendix. */
static void test_ecdh(void **state)
{
	unsigned char a[32], b[32], want[32], point[65];
	struct tls_key *as = key_of(as_private), *ua = key_of(ua_private);

	(void)state;
	decode("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs", want, 32);
	decode(ua_public, point, sizeof(point));
	assert_int_equal(tls_ecdh(as, point, a), 0);
	decode(as_public, point, sizeof(point));
	assert_int_equal(tls_ecdh(ua, point, b), 0);
	assert_memory_equal(a, want, 32);
	assert_memory_equal(b, want, 32);
	tls_key_free(as);
	tls_key_free(ua);
}

static void test_bad_points(void **state)
{
	unsigned char point[65], good[65], secret[32];
	struct tls_key *k = key_of(as_private);
	int i;

	(void)state;
	decode(ua_public, good, sizeof(good));
	assert_true(tls_point_ok(good));
	for (i = 0; i < 65; i += 8) { /* in front, x, y */
		memcpy(point, good, sizeof(point));
		point[i] ^= 1;
		assert_false(tls_point_ok(point));
		assert_int_equal(tls_ecdh(k, point, secret), -1);
	}
	memset(point, 0, sizeof(point)); /* infinity */
	assert_false(tls_point_ok(point));
	point[0] = 4; /* (0, 0) */
	assert_false(tls_point_ok(point));
	memset(point + 1, 0xff, 64); /* beyond the field */
	assert_false(tls_point_ok(point));
	memcpy(point, good, sizeof(point));
	point[0] = 3; /* compressed, with something behind it */
	assert_false(tls_point_ok(point));
	tls_key_free(k);
}

/* --- subscriptions --- */

static int subscribe(struct fixture *f, const char *endpoint,
    const char *p256dh, const char *auth, const char *code,
    char to[WEBPUSH_TO_MAX], char err[ERR_MAX])
{
	return webpush_subscribe(f->w,
	    &(struct webpush_sub){ endpoint, p256dh, auth, code }, to, err);
}

static void test_subscribe(void **state)
{
	struct fixture *f = *state;
	char to[WEBPUSH_TO_MAX], out[WEBPUSH_TO_MAX], err[ERR_MAX];
	char want[WEBPUSH_TO_MAX];

	assert_int_equal(
	    subscribe(f, ENDPOINT_TEXT, ua_public, ua_auth, "", to, err), 0);
	snprintf(want, sizeof(want), "%s %s %s %.8s", ENDPOINT_TEXT, ua_public,
	    ua_auth, webpush_key(f->w, err) + 1);
	assert_string_equal(to, want);
	assert_int_equal(webpush_state(f->w, to), WEBPUSH_ACTIVE);
	assert_string_equal(webpush_code(to), "");
	assert_false(webpush_confirms(to, ""));
	webpush_confirm(to, out);
	assert_string_equal(out, want);

	assert_int_equal(
	    subscribe(f, ENDPOINT_TEXT, ua_public, ua_auth, "c0de", to, err),
	    0);
	assert_int_equal(webpush_state(f->w, to), WEBPUSH_UNCONFIRMED);
	assert_string_equal(webpush_code(to), "c0de");
	assert_true(webpush_confirms(to, "c0de"));
	assert_false(webpush_confirms(to, "c0dE"));
	assert_false(webpush_confirms(to, "c0d"));
	assert_false(webpush_confirms(to, "c0de0"));
	webpush_confirm(to, out);
	assert_string_equal(out, want);
}

/* As some clients write them. */
static void test_other_base64(void **state)
{
	struct fixture *f = *state;
	char to[WEBPUSH_TO_MAX], same[WEBPUSH_TO_MAX], err[ERR_MAX];

	subscribe(f, ENDPOINT_TEXT, ua_public, ua_auth, "", to, err);
	assert_int_equal(subscribe(f, ENDPOINT_TEXT,
			     "BCVxsr7N/eNgVRqvHtD0zTZsEc6+VV+JvLexhqUzORcxaOzi"
			     "6+AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4=",
			     "BTBZMqHH6r4Tts7J/aSIgg==", "", same, err),
	    0);
	assert_string_equal(to, same);
}

static void test_bad_subscriptions(void **state)
{
	static const char off_curve[] = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhq"
					"UzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6"
					"SRpkNtoIAiw8";
	static const struct {
		const char *endpoint, *p256dh, *auth, *code, *wrong;
	} rows[] = {
		{ "ftp://push.example.org/", ua_public, ua_auth, "",
		    "Endpoint" },
		{ "", ua_public, ua_auth, "", "Endpoint" },
		{ "https://a b/", ua_public, ua_auth, "", "Endpoint" },
		{ "https://a/\n", ua_public, ua_auth, "", "Endpoint" },
		{ "https://\xc3\xbc/", ua_public, ua_auth, "", "Endpoint" },
		{ ENDPOINT_TEXT, "", ua_auth, "", "P256dh" },
		{ ENDPOINT_TEXT, ua_auth, ua_auth, "", "P256dh" },
		{ ENDPOINT_TEXT, off_curve, ua_auth, "", "P256dh" },
		{ ENDPOINT_TEXT, "\"", ua_auth, "", "P256dh" },
		{ ENDPOINT_TEXT, ua_public, "", "", "Auth" },
		{ ENDPOINT_TEXT, ua_public, ua_public, "", "Auth" },
		{ ENDPOINT_TEXT, ua_public, "BTBZMqHH6r4Tts7J_aSI", "",
		    "Auth" },
		{ ENDPOINT_TEXT, ua_public, "BTBZMqHH6r4Tts7J_aSIgh", "",
		    "Auth" }, /* bits that stand for nothing */
		{ ENDPOINT_TEXT, ua_public, "BTBZMqHH6r4Tts7J_aSIgg=", "",
		    "Auth" },
	};
	struct fixture *f = *state;
	char to[WEBPUSH_TO_MAX], err[ERR_MAX], *long_one;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(subscribe(f, rows[i].endpoint, rows[i].p256dh,
				     rows[i].auth, rows[i].code, to, err),
		    -1);
		assert_int_equal(
		    strncmp(err, rows[i].wrong, strlen(rows[i].wrong)), 0);
	}
	long_one = xmalloc(WEBPUSH_ENDPOINT_MAX + 2);
	memset(long_one, 'x', WEBPUSH_ENDPOINT_MAX + 1);
	long_one[WEBPUSH_ENDPOINT_MAX + 1] = '\0';
	memcpy(long_one, "https://a.example/", 18);
	assert_int_equal(
	    subscribe(f, long_one, ua_public, ua_auth, "", to, err), -1);
	long_one[WEBPUSH_ENDPOINT_MAX] = '\0';
	assert_int_equal(subscribe(f, long_one, ua_public, ua_auth,
			     "0123456789abcdef0123456789abcdef0123456789abcdef0"
			     "123456789abcdef",
			     to, err),
	    0);
	assert_int_equal(webpush_state(f->w, to), WEBPUSH_UNCONFIRMED);
	assert_int_equal(strlen(webpush_code(to)), WEBPUSH_CODE_MAX);
	free(long_one);
}

static void test_damaged_texts(void **state)
{
	static const char *const rows[] = { "", " ", "a", "a b", "a b c",
		"a b c d", "a b c 12345678 e f", "    " };
	struct fixture *f = *state;
	char out[WEBPUSH_TO_MAX];
	unsigned char body[WEBPUSH_BODY_MAX];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(webpush_state(f->w, rows[i]), WEBPUSH_BAD);
		assert_string_equal(webpush_code(rows[i]), "");
		webpush_confirm(rows[i], out);
		assert_int_equal(webpush_encrypt(rows[i], "x", 1, body), 0);
	}
}

/* --- the key --- */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_key_is_kept(void **state)
{
	struct fixture *f = *state;
	struct webpush *other = webpush_new(&f->conf);
	char err[ERR_MAX], to[WEBPUSH_TO_MAX];
	struct stat st;

	assert_int_equal(stat(f->file, &st), -1); /* not before it is needed */
	err[0] = '\0';
	assert_non_null(webpush_key(f->w, err));
	assert_string_equal(err, ""); /* only of failures */
	assert_int_equal(strlen(webpush_key(f->w, err)), WEBPUSH_KEY_LEN);
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_string_equal(webpush_key(other, err), webpush_key(f->w, err));
	subscribe(f, ENDPOINT_TEXT, ua_public, ua_auth, "", to, err);
	assert_int_equal(webpush_state(other, to), WEBPUSH_ACTIVE);
	webpush_free(other);

	unlink(f->file);
	other = webpush_new(&f->conf);
	assert_string_not_equal(
	    webpush_key(other, err), webpush_key(f->w, err));
	assert_int_equal(webpush_state(other, to), WEBPUSH_OTHER_KEY);
	webpush_free(other);
}

static void test_bad_key_files(void **state)
{
	static const struct {
		const char *text, *wrong;
	} rows[] = {
		{ "", "holds no private key" },
		{ "hello\n", "holds no private key" },
		{ "-----BEGIN EC PRIVATE KEY-----\nAAAA\n"
		  "-----END EC PRIVATE KEY-----\n",
		    "damaged" },
	};
	struct fixture *f = *state;
	char err[ERR_MAX], text[64];
	FILE *file;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		write_file(f->file, rows[i].text);
		assert_null(webpush_key(f->w, err));
		assert_non_null(strstr(err, f->file));
		assert_non_null(strstr(err, rows[i].wrong));
		assert_non_null(strstr(err, "move it away"));
		file = fopen(f->file, "r"); /* never overwritten */
		assert_non_null(file);
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		assert_int_equal(strncmp(text, rows[i].text, 63), 0);
		fclose(file);
	}
	unlink(f->file);
	mkdir(f->file, 0700);
	assert_null(webpush_key(f->w, err));
	assert_non_null(strstr(err, "it is a folder"));
	rmdir(f->file);
}

static void test_key_cannot_be_kept(void **state)
{
	struct fixture *f = *state;
	char err[ERR_MAX], to[WEBPUSH_TO_MAX];

	free(f->conf.database_file);
	f->conf.database_file = xstrdup("/nonexistent/folder/db");
	assert_null(webpush_key(f->w, err));
	assert_non_null(strstr(err, "/nonexistent/folder/db.vapid: cannot be "
				    "written"));
	assert_int_equal(
	    subscribe(f, ENDPOINT_TEXT, ua_public, ua_auth, "", to, err), -2);
}

/* --- JWTs --- */

static void claims(const char *auth, char out[1024])
{
	const char *at = strchr(auth, '.') + 1;
	int n = text_base64_read(at, strcspn(at, "."), true, out, 1023);

	assert_true(n > 0);
	out[n] = '\0';
}

static void test_jwt(void **state)
{
	struct fixture *f = *state;
	const char *origin = "https://push.example.org";
	char err[ERR_MAX], json[1024], want[256], *first;
	unsigned char sig[64];
	const char *auth, *key = webpush_key(f->w, err), *end;

	f->conf.vapid_subject = xstrdup("mailto:a@mail.example.org");
	auth = webpush_auth(f->w, origin, NOW_S, err);
	assert_non_null(auth);
	assert_int_equal(strncmp(auth, "vapid t=", 8), 0);
	end = strstr(auth, ", k=");
	assert_string_equal(end + 4, key);
	assert_int_equal(
	    text_base64_read(end - 86, 86, true, sig, sizeof(sig)), 64);
	assert_true(tls_check_es256(
	    f->w->key, auth + 8, (size_t)(end - 87 - auth - 8), sig));
	claims(auth, json);
	snprintf(want, sizeof(want),
	    "{\"exp\":%lld,\"aud\":\"%s\",\"sub\":\"%s\"}",
	    (long long)NOW_S + 12 * 3600, origin, f->conf.vapid_subject);
	assert_string_equal(json, want);

	/* kept for 11 hours, by origin */
	first = xstrdup(auth);
	assert_string_equal(
	    webpush_auth(f->w, origin, NOW_S + 11 * 3600 - 1, err), first);
	assert_string_not_equal(
	    webpush_auth(f->w, "https://other.example.org", NOW_S, err), first);
	assert_string_equal(webpush_auth(f->w, origin, NOW_S, err), first);
	assert_string_not_equal(
	    webpush_auth(f->w, origin, NOW_S + 11 * 3600, err), first);
	free(first);

	/* the clock was set back */
	first = xstrdup(webpush_auth(f->w, origin, NOW_S + 86400, err));
	claims(webpush_auth(f->w, origin, NOW_S, err), json);
	assert_non_null(strstr(json, "\"exp\":1800043200"));
	free(first);

	/* another subject */
	free(f->conf.vapid_subject);
	f->conf.vapid_subject = xstrdup("https://example.org/contact");
	claims(webpush_auth(f->w, origin, NOW_S, err), json);
	assert_non_null(
	    strstr(json, "\"sub\":\"https://example.org/contact\"}"));
}

/* Without vapidSubject: postmaster here, if others can reach him. */
static void test_default_subject(void **state)
{
	static const struct {
		const char *host, *subject;
	} rows[] = {
		{ "mail.example.org", "mailto:postmaster@mail.example.org" },
		{ "mail", NULL },
		{ "localhost", NULL },
		{ "mail.lan", NULL },
		{ "mail.local", NULL },
		{ "mail.home.arpa", NULL },
		{ "localhost.localdomain", NULL },
		{ "192.0.2.1", NULL },
		{ "mail.", NULL },
		{ "", NULL },
	};
	struct fixture *f = *state;
	char err[ERR_MAX], json[1024], want[128];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		host_name = rows[i].host;
		claims(webpush_auth(f->w, "https://a.example.org", NOW_S, err),
		    json);
		snprintf(want, sizeof(want), "\"sub\":\"%s\"}",
		    rows[i].subject != NULL ? rows[i].subject : "");
		assert_int_equal(
		    strstr(json, "sub") != NULL, rows[i].subject != NULL);
		assert_true(
		    rows[i].subject == NULL || strstr(json, want) != NULL);
	}
	host_name = rows[0].host;
}

static void test_jwt_without_clock(void **state)
{
	struct fixture *f = *state;
	char err[ERR_MAX] = "";

	assert_null(webpush_auth(f->w, "https://a.example.org", 1000, err));
	assert_non_null(strstr(err, "clock"));
}

/* More origins than are kept. */
static void test_many_origins(void **state)
{
	struct fixture *f = *state;
	char origin[64], err[ERR_MAX], json[1024];
	int i;

	for (i = 0; i < 3 * JWTS_MAX; i++) {
		snprintf(
		    origin, sizeof(origin), "https://p%d.example.org:8443", i);
		claims(webpush_auth(f->w, origin, NOW_S, err), json);
		assert_non_null(strstr(json, origin));
	}
}

static void test_subject_text(void **state)
{
	static const char *const good[] = { "mailto:a@example.org",
		"mailto:postmaster@mail.co.uk", "https://example.org",
		"https://example.org/contact", "https://example.org:8443/" };
	static const char *const bad[] = { "a@example.org",
		"mailto:", "mailto:a", "mailto:@example.org",
		"mailto:a@localhost", "mailto:a@mail.local",
		"mailto:a@mail.LAN", "http://example.org", "https://",
		"https://localhost/", "https://host/", "https://192.0.2.1/",
		"https://x.invalid", "mailto:a@.org", "mailto:a@b.",
		"https://[2001:db8::1]/" };
	struct fixture *f = *state;
	char err[ERR_MAX];
	size_t i;

	assert_int_equal(webpush_check_text(&f->conf, err), 0);
	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		free(f->conf.vapid_subject);
		f->conf.vapid_subject = xstrdup(good[i]);
		assert_int_equal(webpush_check_text(&f->conf, err), 0);
	}
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		free(f->conf.vapid_subject);
		f->conf.vapid_subject = xstrdup(bad[i]);
		assert_int_equal(webpush_check_text(&f->conf, err), -1);
		assert_non_null(strstr(err, "vapidSubject"));
	}
}

/* --- content --- */

/* What the app gets, by its private key; returns the length of the content. */
static size_t open_body(
    const unsigned char *body, size_t len, unsigned char *out)
{
	static const char start[] = "WebPush: info";
	struct tls_key *ua = key_of(ua_private);
	unsigned char secret[32], cek[16], nonce[12];
	char info[sizeof(start) + 130];
	struct receiver r;
	struct tls_hkdf h = { r.auth, info, AUTH_LEN, sizeof(info), secret };

	assert_memory_equal(body + 16, "\0\0\x10\0\x41", 5);
	decode(ua_public, r.point, sizeof(r.point));
	decode(ua_auth, r.auth, sizeof(r.auth));
	memcpy(info, start, sizeof(start));
	memcpy(info + sizeof(start), r.point, 65);
	memcpy(info + sizeof(start) + 65, body + 21, 65);
	assert_int_equal(tls_ecdh(ua, body + 21, secret), 0);
	tls_hkdf_sha256(&h, secret, 32);
	h = (struct tls_hkdf){ body, "Content-Encoding: aes128gcm", 16, 28,
		secret };
	tls_hkdf_sha256(&h, cek, 16);
	h.info = "Content-Encoding: nonce";
	h.info_len = 24;
	tls_hkdf_sha256(&h, nonce, 12);
	len -= HEAD_LEN + 16;
	memcpy(out, body + HEAD_LEN, len);
	/* In counter mode encrypting the encrypted gives the plain text. */
	tls_seal(cek, nonce, out, len);
	tls_key_free(ua);
	while (len > 0 && out[len - 1] == 0)
		len--;
	assert_int_equal(out[len - 1], 2);
	return len - 1;
}

static void test_encrypt(void **state)
{
	static const struct {
		size_t len, body;
	} rows[] = {
		{ 0, 86 + 256 + 16 },
		{ 1, 86 + 256 + 16 },
		{ 255, 86 + 256 + 16 },
		{ 256, 86 + 512 + 16 },
		{ 3839, 86 + 3840 + 16 },
		{ 3840, 0 },
		{ 5000, 0 },
	};
	struct fixture *f = *state;
	unsigned char body[WEBPUSH_BODY_MAX], out[WEBPUSH_BODY_MAX + 16];
	unsigned char first[16];
	char to[WEBPUSH_TO_MAX], err[ERR_MAX], *content;
	size_t i, n;

	subscribe(f, ENDPOINT_TEXT, ua_public, ua_auth, "code", to, err);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		content = xmalloc(rows[i].len);
		memset(content, 'a', rows[i].len);
		n = webpush_encrypt(to, content, rows[i].len, body);
		assert_int_equal(n, rows[i].body);
		if (n > 0) {
			assert_int_equal(open_body(body, n, out), rows[i].len);
			assert_memory_equal(out, content, rows[i].len);
		}
		free(content);
	}
	/* neither salt nor key is used twice */
	memcpy(first, body, 16);
	webpush_encrypt(to, "x", 1, body);
	memcpy(out, body, 86);
	webpush_encrypt(to, "x", 1, body);
	assert_true(memcmp(out, body, 16) != 0);
	assert_true(memcmp(out + 21, body + 21, 65) != 0);
}

static void test_topic(void **state)
{
	struct fixture *f = *state;
	char to[WEBPUSH_TO_MAX], other[WEBPUSH_TO_MAX], err[ERR_MAX];
	char a[WEBPUSH_TOPIC_LEN + 1], b[WEBPUSH_TOPIC_LEN + 1];

	subscribe(f, ENDPOINT_TEXT, ua_public, ua_auth, "", to, err);
	subscribe(f, ENDPOINT_TEXT, ua_public, "BTBZMqHH6r4Tts7J_aSIgA", "",
	    other, err);
	webpush_topic(to, "alice", "INBOX", a);
	assert_int_equal(strlen(a), WEBPUSH_TOPIC_LEN);
	webpush_topic(to, "alice", "INBOX", b);
	assert_string_equal(a, b);
	webpush_topic(to, "alice", "Notes", b);
	assert_string_not_equal(a, b);
	webpush_topic(to, "bob", "INBOX", b);
	assert_string_not_equal(a, b);
	webpush_topic(to, "aliceI", "NBOX", b);
	assert_string_not_equal(a, b);
	/* Whoever lacks the secret cannot try out names. */
	webpush_topic(other, "alice", "INBOX", b);
	assert_string_not_equal(a, b);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8291_example),
		cmocka_unit_test(test_ecdh),
		cmocka_unit_test(test_bad_points),
		FRESH(test_subscribe),
		FRESH(test_other_base64),
		FRESH(test_bad_subscriptions),
		FRESH(test_damaged_texts),
		FRESH(test_key_is_kept),
		FRESH(test_bad_key_files),
		FRESH(test_key_cannot_be_kept),
		FRESH(test_jwt),
		FRESH(test_default_subject),
		FRESH(test_jwt_without_clock),
		FRESH(test_many_origins),
		FRESH(test_subject_text),
		FRESH(test_encrypt),
		FRESH(test_topic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
