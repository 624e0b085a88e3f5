/* cred/fcm.c - the key file of a Google service account, and the JWT by which
 * it asks for an access token (RFC 7523). */
#include "cred/int.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf.h"
#include "json.h"
#include "mem.h"
#include "tls.h"
#include "url.h"

#define KEY "fcmServiceAccount"
#define SCOPE "https://www.googleapis.com/auth/firebase.messaging"

/* The longest that Google takes; it is used at once. */
#define JWT_LIFE_S 3600

/* Header or claims: 700 bytes at most, as the members below are limited. */
#define PART_MAX 1024
#define JWT_MAX                                                                \
	(2 * TEXT_BASE64_SIZE(PART_MAX) + TEXT_BASE64_SIZE(TLS_RS256_MAX))

#define CURE                                                                   \
	"take the file as the Firebase console makes it (Project settings, "   \
	"Service accounts, Generate new private key)"

/* They become part of a URL, or of JSON, as they are. */
static const struct member {
	const char *name;
	size_t off, size;
	const char * not ; /* characters that it may not have */
	const char *def;   /* NULL: it has to be there */
} members[] = {
#define ROW(name, field, not, def)                                             \
	{                                                                      \
		name, offsetof(struct cred_service, field),                    \
		    sizeof(((struct cred_service *)0)->field), not, def        \
	}
	ROW("client_email", email, "\"\\", NULL),
	ROW("project_id", project, "\"\\/?#%", NULL),
	ROW("token_uri", token_url, "\"\\#@",
	    "https://oauth2.googleapis.com/token"),
	ROW("private_key_id", key_id, "\"\\", ""),
#undef ROW
};

static bool is_plain(const char *s, const char * not )
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~' || strchr(not, *s) != NULL)
			return false;
	return true;
}

/* False: the member is missing or wrong. */
static bool take_member(
    struct cred_service *f, const struct json *j, const struct member *m)
{
	const struct json_tok *t = json_get(j, j->toks, m->name);
	char *to = (char *)f + m->off;

	if (t == NULL && m->def != NULL) {
		strcpy(to, m->def);
		return true;
	}
	return json_string(j, t, to, m->size) > (m->def == NULL ? 0 : -1) &&
	       is_plain(to, m->not );
}

/* What is wrong with it, as a predicate; NULL: nothing. */
static const char *take_key(
    struct cred_service *f, const struct json *j, char why[ERR_MAX])
{
	const struct json_tok *t = json_get(j, j->toks, "private_key");
	char *pem = xmalloc(j->len + 1);
	int n = json_string(j, t, pem, j->len + 1);

	*why = '\0';
	if (n > 0) {
		f->key = tls_key_parse(pem, (size_t)n, NULL, why);
		mem_wipe(pem, (size_t)n);
	}
	free(pem);
	if (f->key == NULL)
		return *why != '\0' ? why : "holds no private_key";
	return tls_key_signs_rs256(f->key) ? NULL
					   : "holds a private_key that is not "
					     "RSA of 2048 to 4096 bits";
}

static const char *take_file(
    struct cred_service *f, const struct json *j, char why[ERR_MAX])
{
	struct url u;
	size_t i;

	if (json_get(j, j->toks, "project_info") != NULL)
		return "is google-services.json, which is for the app";
	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (!take_member(f, j, &members[i])) {
			err_set(why,
			    "is not the key file of a service account: its %s "
			    "is missing or wrong",
			    members[i].name);
			return why;
		}
	if (url_parse(f->token_url, &u, why) < 0 || !u.tls)
		return "has a token_uri that is no https:// address";
	return take_key(f, j, why);
}

int cred_load_fcm(struct cred *c, const struct conf *conf, char err[ERR_MAX])
{
	const char *wrong = "is not JSON";
	struct cred_file file;
	struct json j = { .toks = NULL };
	char why[ERR_MAX];

	if (conf->fcm_service_account == NULL)
		return 0;
	if (cred_file_read(conf, KEY, conf->fcm_service_account, &file, err) <
	    0) {
		cred_file_free(&file);
		return -1;
	}
	c->fcm = xcalloc(1, sizeof(*c->fcm));
	if (json_load(file.text, file.len, &j))
		wrong = take_file(c->fcm, &j, why);
	if (wrong != NULL)
		conf_blame(conf, KEY, err, "%s %s: " CURE, file.path, wrong);
	json_free(&j);
	cred_file_free(&file);
	return wrong == NULL ? 0 : -1;
}

void cred_free_fcm(struct cred *c)
{
	if (c->fcm != NULL)
		tls_key_free(c->fcm->key);
	free(c->fcm);
}

/* --- the JWT --- */

int cred_fcm_jwt(const struct cred_service *f, int64_t now_s, struct buf *b,
    char err[ERR_MAX])
{
	const char *kid = *f->key_id != '\0' ? ",\"kid\":\"" : "";
	unsigned char sig[TLS_RS256_MAX];
	char json[PART_MAX], *start = (char *)buf_reserve(b, JWT_MAX),
			     *p = start;
	size_t n;

	assert(start != NULL); /* its owner has room for it */
	n = (size_t)snprintf(json, sizeof(json),
	    "{\"alg\":\"RS256\",\"typ\":\"JWT\"%s%s%s}", kid, f->key_id,
	    *kid != '\0' ? "\"" : "");
	p += text_base64_write(json, n, true, p);
	*p++ = '.';
	n = (size_t)snprintf(json, sizeof(json),
	    "{\"iss\":\"%s\",\"scope\":\"" SCOPE
	    "\",\"aud\":\"%s\",\"iat\":%lld,\"exp\":%lld}",
	    f->email, f->token_url, (long long)now_s,
	    (long long)(now_s + JWT_LIFE_S));
	p += text_base64_write(json, n, true, p);
	n = tls_sign_rs256(f->key, start, (size_t)(p - start), sig, err);
	if (n == 0)
		return -1;
	*p++ = '.';
	p += text_base64_write(sig, n, true, p);
	buf_added(b, (size_t)(p - start));
	return 0;
}
