/* cred/jwt.c - JWTs by a token key: made, renewed, and taken from other nodes. */
#include "cred/int.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "text.h"
#include "tls.h"

/* Apple refuses a JWT older than 60 minutes, and a new one within 20. */
#define JWT_LIFE_S (50 * 60)
/* Clocks of several nodes, and one that NTP sets back, differ by less. */
#define JWT_SLACK_S 60
/* Nodes that use one JWT do not all make the next one in the same second. */
#define EARLY_MAX_S (5 * 60)

static const char start[] = "bearer ";

#define START_LEN (sizeof(start) - 1)
#define SIG_DIGITS 86 /* of JWT_SIG_LEN bytes, in base64url */

/* RFC 7515 3.1: header.claims, each in base64url: what is signed.  Returns its
 * end. */
static char *write_claims(const struct cred *c, int64_t issued_s, char *p)
{
	char json[JWT_JSON_MAX];
	int n;

	n = snprintf(json, sizeof(json), "{\"alg\":\"ES256\",\"kid\":\"%s\"}",
	    c->key_id);
	p += text_base64_write(json, (size_t)n, true, p);
	*p++ = '.';
	n = snprintf(json, sizeof(json), "{\"iss\":\"%s\",\"iat\":%lld}",
	    c->team_id, (long long)issued_s);
	return p + text_base64_write(json, (size_t)n, true, p);
}

static int make_bearer(struct cred *c, int64_t now_s, char err[ERR_MAX])
{
	char *jwt = c->bearer + START_LEN, *end;
	unsigned char sig[JWT_SIG_LEN];

	memcpy(c->bearer, start, START_LEN);
	end = write_claims(c, now_s, jwt);
	if (tls_sign_es256(c->key, jwt, (size_t)(end - jwt), sig, err) != 0) {
		c->bearer[0] = '\0';
		return -1;
	}
	*end++ = '.';
	text_base64_write(sig, sizeof(sig), true, end);
	c->issued_s = now_s;
	c->jwts++;
	if (c->on_jwt != NULL)
		c->on_jwt(c->on_jwt_arg, false);
	return 0;
}

/* The clock may have been set back since; a little is NTP at work, and Apple
 * frowns on many. */
static bool is_good(const struct cred *c, int64_t issued_s, int64_t now_s)
{
	return now_s >= issued_s - JWT_SLACK_S &&
	       now_s < issued_s + JWT_LIFE_S - c->early_s;
}

const char *cred_jwt(const struct cred *c, int64_t now_s, int64_t *issued_s_r)
{
	*issued_s_r = c->issued_s;
	return c->bearer[0] != '\0' && is_good(c, c->issued_s, now_s)
		   ? c->bearer + START_LEN
		   : NULL;
}

const char *cred_bearer(struct cred *c, int64_t now_s, char err[ERR_MAX])
{
	int64_t issued_s;

	if (c->kind != CRED_TOKEN_KEY)
		return NULL;
	if (cred_clock_warning(now_s, err) != NULL)
		return NULL;
	if (cred_jwt(c, now_s, &issued_s) == NULL &&
	    make_bearer(c, now_s, err) < 0)
		return NULL;
	return c->bearer;
}

void cred_renew(struct cred *c)
{
	if (c->bearer[0] != '\0')
		c->refused_s = c->issued_s;
	c->bearer[0] = '\0';
}

unsigned cred_jwt_count(const struct cred *c)
{
	return c->jwts;
}

/* --- several nodes --- */

void cred_on_jwt(struct cred *c, void (*cb)(void *arg, bool is_end), void *arg)
{
	uint16_t r = 0;

	/* Without random numbers all nodes make one, which is no harm. */
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) == sizeof(r))
		c->early_s = r % EARLY_MAX_S;
	c->on_jwt = cb;
	c->on_jwt_arg = arg;
}

void cred_jwt_name(const struct cred *c, char out[CRED_JWT_NAME_MAX])
{
	out[0] = '\0';
	if (c->kind == CRED_TOKEN_KEY)
		snprintf(
		    out, CRED_JWT_NAME_MAX, "%s.%s", c->team_id, c->key_id);
}

/* Exactly as we would have written it, but for the signature. */
static bool is_ours(
    const struct cred *c, const char *jwt, size_t len, int64_t issued_s)
{
	unsigned char sig[JWT_SIG_LEN];
	char claims[BEARER_MAX];
	size_t n = (size_t)(write_claims(c, issued_s, claims) - claims);

	return len == n + 1 + SIG_DIGITS && memcmp(jwt, claims, n) == 0 &&
	       jwt[n] == '.' &&
	       text_base64_read(jwt + n + 1, SIG_DIGITS, true, sig,
		   sizeof(sig)) == JWT_SIG_LEN &&
	       tls_check_es256(c->key, claims, n, sig);
}

enum cred_jwt_taken cred_take_jwt(struct cred *c, const char *jwt, size_t len,
    int64_t issued_s, bool instead, int64_t now_s)
{
	int64_t had_s;
	const char *had = cred_jwt(c, now_s, &had_s);

	if (c->kind != CRED_TOKEN_KEY || now_s < CLOCK_MIN_S ||
	    !is_good(c, issued_s, now_s))
		return CRED_JWT_BAD;
	/* A time that a wrong clock gave means nothing any more. */
	if (issued_s <= c->refused_s && c->refused_s <= now_s + JWT_SLACK_S)
		return CRED_JWT_BAD;
	if (!is_ours(c, jwt, len, issued_s))
		return CRED_JWT_BAD;
	if (had != NULL &&
	    ((!instead && had_s >= issued_s) ||
		(strlen(had) == len && memcmp(had, jwt, len) == 0)))
		return CRED_JWT_KEPT;
	memcpy(c->bearer, start, START_LEN);
	memcpy(c->bearer + START_LEN, jwt, len);
	c->bearer[START_LEN + len] = '\0';
	c->issued_s = issued_s;
	c->jwts++;
	return CRED_JWT_TAKEN;
}
