/* webpush.c - VAPID, subscriptions and their encryption. */
#include "webpush.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "cred.h"
#include "disk.h"
#include "mem.h"
#include "text.h"
#include "tls.h"
#include "url.h"

/* RFC 8292 2 allows 24 hours; a service's clock may be hours behind ours. */
#define JWT_LIFE_S (12 * 60 * 60)
#define JWT_RENEW_S (11 * 60 * 60)
#define JWT_SLACK_S 60 /* NTP sets the clock back a little */
/* Origins whose JWTs are kept: as many as connections are open at once. */
#define JWTS_MAX 16
/* A name of 253 bytes, a subject and a number; twice that has room for base64, the
 * signature and our key. */
#define CLAIMS_MAX 768

#define KEY_FILE_MAX 4096 /* ours have 230 bytes */
/* databaseFile could be opened by its name. */
#define KEY_PATH_MAX (PATH_MAX + 8)
#define MARK_LEN 8 /* of our public key in a subscription */
#define AUTH_LEN 16
#define SUBJECT_MAX 320

struct jwt {
	char *origin, *text; /* NULL: none */
	int64_t issued_s;
};

struct webpush {
	const struct conf *conf;
	struct tls_key *key; /* NULL: not read yet */
	char public[WEBPUSH_KEY_LEN + 1];
	bool warned;		   /* of apps that know another key */
	char subject[SUBJECT_MAX]; /* of all JWTs */
	struct jwt jwts[JWTS_MAX];
	unsigned next; /* to be replaced */
};

/* --- who we are (RFC 8292 2.1) --- */

/* Names that mean nothing outside; services that look (Apple's) answer 403. */
static const char inner_domains[] =
    " localhost localdomain local lan home internal intranet corp arpa test "
    "example invalid ";

/* A host name that can be somebody's in the Internet. */
static bool is_public(const char *host, size_t len)
{
	const char *dot = memrchr(host, '.', len);
	int n = dot != NULL ? (int)(host + len - dot - 1) : 0;
	char word[32];

	if (n < 2 || dot == host || (dot[1] >= '0' && dot[1] <= '9'))
		return false;
	snprintf(word, sizeof(word), " %.*s ", n, dot + 1);
	return strcasestr(inner_domains, word) == NULL;
}

int webpush_check_text(const struct conf *conf, char err[ERR_MAX])
{
	const char *subject = conf->vapid_subject, *host = NULL;

	if (subject == NULL)
		return 0;
	if (strncmp(subject, "https://", 8) == 0)
		host = subject + 8;
	else if (strncmp(subject, "mailto:", 7) == 0)
		host = strchr(subject + 7, '@');
	/* There is something before the @. */
	if (host != NULL && *host == '@')
		host = host > subject + 7 ? host + 1 : NULL;
	if (host != NULL && strlen(subject) < SUBJECT_MAX &&
	    is_public(host, strcspn(host, "/:?#")))
		return 0;
	conf_blame(conf, "vapidSubject", err,
	    "write mailto:somebody@your.domain or an https:// address, which "
	    "push services can reach");
	return -1;
}

/* "": none.  postmaster is somebody everywhere (RFC 5321 4.5.1). */
static void find_subject(const struct conf *conf, char out[SUBJECT_MAX])
{
	char host[256];

	*out = '\0';
	if (conf->vapid_subject != NULL)
		snprintf(out, SUBJECT_MAX, "%s", conf->vapid_subject);
	else if (gethostname(host, sizeof(host)) == 0 &&
		 is_public(host, strnlen(host, sizeof(host))))
		snprintf(out, SUBJECT_MAX, "mailto:postmaster@%s", host);
}

/* --- the key --- */

static int use_key(struct webpush *w, struct tls_key *key)
{
	unsigned char point[TLS_POINT_LEN];

	tls_key_point(key, point);
	text_base64_write(point, sizeof(point), true, w->public);
	w->key = key;
	return 0;
}

/* 0, 1: there is no such file, or -1 with err set. */
static int read_key(struct webpush *w, const char *path, char err[ERR_MAX])
{
	char text[KEY_FILE_MAX + 1], why[ERR_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct tls_key *key;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return 1;
	n = fd >= 0 ? read(fd, text, KEY_FILE_MAX) : -1;
	if (n < 0)
		disk_error(err, path, "", "cannot be read", errno);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -1;
	text[n] = '\0';
	key = tls_key_parse(text, (size_t)n, NULL, why);
	mem_wipe(text, sizeof(text));
	if (key != NULL && tls_key_is_p256(key))
		return use_key(w, key);
	err_set(err,
	    "%s: %s: bring back a copy, or move it away: then every app has "
	    "to subscribe again",
	    path, key != NULL || *why == '\0' ? "is not " TLS_KEY_P256 : why);
	tls_key_free(key);
	return -1;
}

/* What cannot be kept is not used. */
static int write_key(
    const struct tls_key *key, const char *path, char err[ERR_MAX])
{
	char aside[KEY_PATH_MAX + 4], *pem = tls_key_write(key);
	int fd, error;

	snprintf(aside, sizeof(aside), "%s.new", path);
	unlink(aside); /* left by a crash */
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	error = fd < 0 ? errno : disk_write(fd, pem, strlen(pem));
	if (error == 0 && fsync(fd) < 0)
		error = errno;
	if (fd >= 0 && close(fd) < 0 && error == 0)
		error = errno;
	if (error == 0 && rename(aside, path) < 0)
		error = errno;
	if (error == 0)
		error = disk_sync_dir(path);
	else if (fd >= 0)
		unlink(aside);
	mem_free_wiped(pem);
	if (error != 0)
		disk_error(err, path, "", "cannot be written", error);
	return error != 0 ? -1 : 0;
}

static int make_key(struct webpush *w, const char *path, char err[ERR_MAX])
{
	struct tls_key *key = tls_key_make();

	if (key == NULL)
		err_set(err, "no memory");
	if (key == NULL || write_key(key, path, err) < 0) {
		tls_key_free(key);
		return -1;
	}
	log_info("webpush: made our VAPID key, %s: keep a copy", path);
	return use_key(w, key);
}

static void key_path(const struct webpush *w, char path[KEY_PATH_MAX])
{
	snprintf(path, KEY_PATH_MAX, "%s.vapid", w->conf->database_file);
}

const char *webpush_key(struct webpush *w, char err[ERR_MAX])
{
	char path[KEY_PATH_MAX];
	int rc;

	if (w->key != NULL)
		return w->public;
	key_path(w, path);
	rc = read_key(w, path, err);
	if (rc == 1)
		rc = make_key(w, path, err);
	return rc == 0 ? w->public : NULL;
}

struct webpush *webpush_new(const struct conf *conf)
{
	struct webpush *w = xcalloc(1, sizeof(*w));
	char path[KEY_PATH_MAX], err[ERR_MAX];

	w->conf = conf;
	key_path(w, path);
	if (read_key(w, path, err) < 0)
		log_error("webpush: no pushes: %s", err);
	return w;
}

void webpush_free(struct webpush *w)
{
	if (w == NULL)
		return;
	webpush_renew(w);
	tls_key_free(w->key);
	free(w);
}

/* --- subscriptions --- */

enum word {
	ENDPOINT,
	P256DH,
	AUTH,
	MARK,
	CODE,
	N_WORDS
};

struct text {
	const char *at;
	size_t len;
};

/* False if one is missing; CODE may be. */
static bool split(const char *to, struct text words[N_WORDS])
{
	size_t i;

	for (i = 0; i < N_WORDS; i++) {
		words[i].at = to;
		words[i].len = strcspn(to, " ");
		to += words[i].len;
		to += *to == ' ';
	}
	return *to == '\0' && words[MARK].len == MARK_LEN;
}

static bool read_base64(struct text t, void *out, size_t n)
{
	return text_base64_read(t.at, t.len, false, out, n) == (int)n;
}

static struct text text_of(const char *s)
{
	return (struct text){ s, strlen(s) };
}

/* NULL, or what is wrong. */
static const char *check(const struct webpush_sub *sub,
    unsigned char point[TLS_POINT_LEN], unsigned char auth[AUTH_LEN])
{
	char why[ERR_MAX];
	struct url url;

	if (strlen(sub->endpoint) > WEBPUSH_ENDPOINT_MAX ||
	    url_parse(sub->endpoint, &url, why) < 0)
		return "Endpoint: is no https:// address of at most 1024 bytes";
	if (!read_base64(text_of(sub->p256dh), point, TLS_POINT_LEN) ||
	    !tls_point_ok(point))
		return "P256dh: is no public key on P-256 in base64url";
	if (!read_base64(text_of(sub->auth), auth, AUTH_LEN))
		return "Auth: is not 16 bytes in base64url";
	return NULL;
}

int webpush_subscribe(struct webpush *w, const struct webpush_sub *sub,
    char to[WEBPUSH_TO_MAX], char err[ERR_MAX])
{
	unsigned char point[TLS_POINT_LEN], auth[AUTH_LEN];
	char p256dh[TEXT_BASE64_SIZE(TLS_POINT_LEN)];
	char secret[TEXT_BASE64_SIZE(AUTH_LEN)];
	const char *wrong = check(sub, point, auth);

	if (wrong != NULL) {
		err_set(err, "%s", wrong);
		return -1;
	}
	if (webpush_key(w, err) == NULL)
		return -2;
	text_base64_write(point, sizeof(point), true, p256dh);
	text_base64_write(auth, sizeof(auth), true, secret);
	snprintf(to, WEBPUSH_TO_MAX, "%s %s %s %.*s%s%s", sub->endpoint, p256dh,
	    secret, MARK_LEN, w->public + 1, *sub->code != '\0' ? " " : "",
	    sub->code);
	return 0;
}

/* Once: there may be thousands. */
static void warn_of_key(struct webpush *w)
{
	char path[KEY_PATH_MAX];

	key_path(w, path);
	if (!w->warned)
		log_warn(
		    "webpush: some apps have subscribed with another key "
		    "than %s: bring that back, or let them subscribe again",
		    path);
	w->warned = true;
}

enum webpush_state webpush_state(struct webpush *w, const char *to)
{
	struct text words[N_WORDS];
	char err[ERR_MAX];

	if (!split(to, words) || webpush_key(w, err) == NULL)
		return WEBPUSH_BAD;
	if (memcmp(words[MARK].at, w->public + 1, MARK_LEN) != 0) {
		warn_of_key(w);
		return WEBPUSH_OTHER_KEY;
	}
	return words[CODE].len > 0 ? WEBPUSH_UNCONFIRMED : WEBPUSH_ACTIVE;
}

const char *webpush_code(const char *to)
{
	struct text words[N_WORDS];

	return split(to, words) ? words[CODE].at : "";
}

bool webpush_confirms(const char *to, const char *code)
{
	const char *want = webpush_code(to);
	size_t n = strlen(want);
	unsigned char differ = n == 0 || strlen(code) != n;

	while (!differ && n-- > 0)
		differ |= (unsigned char)(want[n] ^ code[n]);
	return differ == 0;
}

void webpush_confirm(const char *to, char out[WEBPUSH_TO_MAX])
{
	size_t n = strlen(to), code = strlen(webpush_code(to));

	snprintf(out, WEBPUSH_TO_MAX, "%.*s",
	    (int)(code > 0 ? n - code - 1 : n), to);
}

/* --- VAPID (RFC 8292) --- */

static void forget_jwt(struct jwt *j)
{
	free(j->origin);
	free(j->text);
	j->origin = j->text = NULL;
}

void webpush_renew(struct webpush *w)
{
	size_t i;

	for (i = 0; i < JWTS_MAX; i++)
		forget_jwt(&w->jwts[i]);
}

static bool is_good(const struct jwt *j, int64_t now_s)
{
	return now_s >= j->issued_s - JWT_SLACK_S &&
	       now_s < j->issued_s + JWT_RENEW_S;
}

static int make_jwt(struct webpush *w, struct jwt *j, const char *origin,
    int64_t now_s, char err[ERR_MAX])
{
	/* {"typ":"JWT","alg":"ES256"} */
	static const char start[] =
	    "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.";
	const char *to = *w->subject != '\0' ? "\",\"sub\":\"" : "";
	char json[CLAIMS_MAX], *text, *p;
	unsigned char sig[64];
	int n;

	n = snprintf(json, sizeof(json), "{\"exp\":%lld,\"aud\":\"%s%s%s\"}",
	    (long long)(now_s + JWT_LIFE_S), origin, to, w->subject);
	text = xmalloc(sizeof(start) + 2 * CLAIMS_MAX);
	p = stpcpy(text, start);
	p += text_base64_write(json, (size_t)n, true, p);
	if (tls_sign_es256(w->key, text + 8, (size_t)(p - text) - 8, sig, err) <
	    0) {
		free(text);
		return -1;
	}
	*p++ = '.';
	p += text_base64_write(sig, sizeof(sig), true, p);
	sprintf(p, ", k=%s", w->public);
	*j = (struct jwt){ xstrdup(origin), text, now_s };
	return 0;
}

static void use_subject(struct webpush *w)
{
	char subject[SUBJECT_MAX];

	find_subject(w->conf, subject);
	if (strcmp(subject, w->subject) != 0)
		webpush_renew(w);
	strcpy(w->subject, subject);
}

const char *webpush_auth(
    struct webpush *w, const char *origin, int64_t now_s, char err[ERR_MAX])
{
	struct jwt *j = w->jwts;

	if (cred_clock_warning(now_s, err) != NULL ||
	    webpush_key(w, err) == NULL)
		return NULL;
	use_subject(w);
	while (j < w->jwts + JWTS_MAX &&
	       (j->origin == NULL || strcmp(j->origin, origin) != 0))
		j++;
	if (j < w->jwts + JWTS_MAX && is_good(j, now_s))
		return j->text;
	if (j == w->jwts + JWTS_MAX)
		j = &w->jwts[w->next++ % JWTS_MAX];
	forget_jwt(j);
	return make_jwt(w, j, origin, now_s, err) == 0 ? j->text : NULL;
}

/* --- encryption (RFC 8291 3) --- */

#define SALT_LEN 16
#define HEAD_LEN (SALT_LEN + 4 + 1 + TLS_POINT_LEN) /* RFC 8188 2.1 */
#define PAD_TO 256
#define PADDED_MAX                                                             \
	((WEBPUSH_BODY_MAX - HEAD_LEN - TLS_TAG_LEN) / PAD_TO * PAD_TO)

struct receiver {
	unsigned char point[TLS_POINT_LEN], auth[AUTH_LEN];
};

static bool read_receiver(const char *to, struct receiver *r)
{
	struct text words[N_WORDS];

	return split(to, words) &&
	       read_base64(words[P256DH], r->point, TLS_POINT_LEN) &&
	       read_base64(words[AUTH], r->auth, AUTH_LEN);
}

/* Encrypts with our key, which is used once, what is padded at body + HEAD_LEN;
 * the salt is at its beginning. */
static int seal(const struct receiver *r, const struct tls_key *key,
    unsigned char *body, size_t padded)
{
	static const char start[] = "WebPush: info";
	unsigned char *point = body + HEAD_LEN - TLS_POINT_LEN;
	unsigned char secret[32], cek[16], nonce[12];
	char info[sizeof(start) + 2 * TLS_POINT_LEN];
	struct tls_hkdf h = { r->auth, info, AUTH_LEN, sizeof(info), secret };

	memcpy(body + SALT_LEN, "\0\0\x10\0\x41", 5); /* record, key: sizes */
	tls_key_point(key, point);
	if (tls_ecdh(key, r->point, secret) < 0)
		return -1;
	memcpy(info, start, sizeof(start));
	memcpy(info + sizeof(start), r->point, TLS_POINT_LEN);
	memcpy(info + sizeof(start) + TLS_POINT_LEN, point, TLS_POINT_LEN);
	tls_hkdf_sha256(&h, secret, sizeof(secret));
	h = (struct tls_hkdf){ body, "Content-Encoding: aes128gcm", SALT_LEN,
		sizeof("Content-Encoding: aes128gcm"), secret };
	tls_hkdf_sha256(&h, cek, sizeof(cek));
	h.info = "Content-Encoding: nonce";
	h.info_len = sizeof("Content-Encoding: nonce");
	tls_hkdf_sha256(&h, nonce, sizeof(nonce));
	tls_seal(cek, nonce, body + HEAD_LEN, padded);
	mem_wipe(secret, sizeof(secret));
	mem_wipe(cek, sizeof(cek));
	return 0;
}

size_t webpush_encrypt(const char *to, const void *content, size_t len,
    unsigned char body[WEBPUSH_BODY_MAX])
{
	size_t padded = (len + PAD_TO) / PAD_TO * PAD_TO;
	struct tls_key *key;
	struct receiver r;
	int rc = -1;

	if (padded > PADDED_MAX || !read_receiver(to, &r))
		return 0;
	key = tls_key_make();
	if (key != NULL) {
		tls_random(body, SALT_LEN);
		memset(body + HEAD_LEN, 0, padded);
		memcpy(body + HEAD_LEN, content, len);
		body[HEAD_LEN + len] = 2; /* the last record */
		rc = seal(&r, key, body, padded);
	}
	tls_key_free(key);
	mem_wipe(&r, sizeof(r));
	return rc == 0 ? HEAD_LEN + padded + TLS_TAG_LEN : 0;
}

void webpush_topic(const char *to, const char *user, const char *mailbox,
    char out[WEBPUSH_TOPIC_LEN + 1])
{
	struct text words[N_WORDS];
	char all[2048]; /* a secret, and two names of 1,300 bytes at most */
	unsigned char hash[32];

	split(to, words);
	snprintf(all, sizeof(all), "%.*s\n%s\n%s", (int)words[AUTH].len,
	    words[AUTH].at, user, mailbox);
	tls_sha256(all, strlen(all), hash);
	text_base64_write(hash, 16, true, out);
}
