/* tls/verify.c - checks the peer's certificate, and explains in words what is
 * wrong with it or with the handshake. */
#include "tls/mbed.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "clock.h"
#include "text.h"

/* Of several faults the most basic one is reported. */
enum rank {
	RANK_NONE,
	RANK_OTHER,
	RANK_NAME,
	RANK_TIME,
	RANK_TRUST,
};

#define SAN_DNS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2) /* RFC 5280 4.2.1.6 */
#define SAN_IP (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)

/* Copies bytes of a peer; control characters become '?'. */
static void copy_printable(char *out, const mbedtls_x509_buf *b)
{
	size_t i, n = b->len < TLS_NAME_MAX ? b->len : TLS_NAME_MAX - 1;

	for (i = 0; i < n; i++)
		out[i] =
		    b->p[i] < 0x20 || b->p[i] == 0x7f ? '?' : (char)b->p[i];
	out[n] = '\0';
}

/* The name for people: the common name, else the organisation. */
static const char *display_name(
    const mbedtls_x509_name *name, char out[TLS_NAME_MAX])
{
	const mbedtls_x509_name *n;

	n = tls_name_find(name, MBEDTLS_OID_AT_CN, strlen(MBEDTLS_OID_AT_CN));
	if (n == NULL)
		n = tls_name_find(name, MBEDTLS_OID_AT_ORGANIZATION,
		    strlen(MBEDTLS_OID_AT_ORGANIZATION));
	if (n == NULL)
		return "(no name)";
	copy_printable(out, &n->val);
	return out;
}

const char *tls_cert_name(const struct tls_cert *c, char out[TLS_NAME_MAX])
{
	return display_name(&c->crt.subject, out);
}

static bool has_ip(const mbedtls_x509_crt *crt, const struct tls_verify *v)
{
	const mbedtls_x509_sequence *s = &crt->subject_alt_names;

	for (; s != NULL; s = s->next)
		if (s->buf.tag == SAN_IP && s->buf.len == v->ip_len &&
		    memcmp(s->buf.p, v->ip, v->ip_len) == 0)
			return true;
	return false;
}

/* RFC 6125 6.4.3: a wildcard is the whole first label. */
static bool name_is(const mbedtls_x509_buf *b, const char *host)
{
	const char *p = (const char *)b->p;
	size_t n = b->len;

	if (n > 2 && p[0] == '*' && p[1] == '.' && *host != '.') {
		p++;
		n--;
		host += strcspn(host, ".");
	}
	return strlen(host) == n && strncasecmp(p, host, n) == 0;
}

bool tls_cert_is_for(const mbedtls_x509_crt *crt, const char *host)
{
	const mbedtls_x509_sequence *s = &crt->subject_alt_names;
	const mbedtls_x509_name *cn;
	bool any = false;

	for (; s != NULL; s = s->next) {
		if (s->buf.tag != SAN_DNS)
			continue;
		if (name_is(&s->buf, host))
			return true;
		any = true;
	}
	cn = tls_name_find(
	    &crt->subject, MBEDTLS_OID_AT_CN, strlen(MBEDTLS_OID_AT_CN));
	return !any && cn != NULL && name_is(&cn->val, host);
}

/* The host names of a certificate: the first, and how many more. */
static void list_host_names(const mbedtls_x509_crt *crt, char *out, size_t size)
{
	const mbedtls_x509_sequence *s = &crt->subject_alt_names;
	char name[TLS_NAME_MAX];
	int n = 0;

	for (; s != NULL; s = s->next)
		if (s->buf.tag == SAN_DNS && n++ == 0)
			copy_printable(name, &s->buf);
	if (n > 1)
		snprintf(out, size, "\"%s\" and %d more", name, n - 1);
	else
		snprintf(out, size, "\"%s\"",
		    n == 1 ? name : display_name(&crt->subject, name));
}

/* name: of the certificate's subject, here and below. */
static void explain_trust(const struct tls_verify *v,
    const mbedtls_x509_crt *crt, const char *name, int depth)
{
	char issuer[TLS_NAME_MAX];
	bool self = crt->subject_raw.len == crt->issuer_raw.len &&
		    memcmp(crt->subject_raw.p, crt->issuer_raw.p,
			crt->subject_raw.len) == 0;

	if (self && depth == 0)
		err_set(v->err,
		    "the server has a self-signed certificate (\"%s\"): if "
		    "it is the right one, set %s to a file with it",
		    name, v->ca_key);
	else if (self)
		err_set(v->err,
		    "the server's certificate comes from the unknown CA "
		    "\"%s\": if that is right, set %s to a file with that "
		    "CA's certificate",
		    name, v->ca_key);
	else
		err_set(v->err,
		    "the server's certificate \"%s\" is issued by \"%s\", "
		    "which is not a trusted CA, and the server sends no "
		    "certificate for it (unknown CA or incomplete chain): set "
		    "%s to a file with the CA's certificate",
		    name, display_name(&crt->issuer, issuer), v->ca_key);
}

static void explain_time(const struct tls_verify *v,
    const mbedtls_x509_crt *crt, const char *name, bool expired)
{
	const mbedtls_x509_time *t =
	    expired ? &crt->valid_to : &crt->valid_from;
	char today[LOG_DATE_MAX];

	err_set(v->err,
	    "the server's certificate \"%s\" %s %04d-%02d-%02d, and this "
	    "machine's clock says %s: is the clock right?",
	    name, expired ? "expired on" : "is not valid before", t->year,
	    t->mon, t->day,
	    log_date((int64_t)time(NULL), LOG_DATE_DAY, false, today));
}

static void explain_name(
    const struct tls_verify *v, const mbedtls_x509_crt *crt)
{
	char names[TLS_NAME_MAX + 32];

	list_host_names(crt, names, sizeof(names));
	err_set(v->err,
	    "the server's certificate is for %s, not for \"%s\": is %s "
	    "right?",
	    names, v->host, v->host_key);
}

/* Flags other than those of trust, time and name. */
static const struct {
	uint32_t flag;
	char text[32];
} other_faults[] = {
	{ MBEDTLS_X509_BADCERT_REVOKED, "is revoked" },
	{ MBEDTLS_X509_BADCERT_BAD_MD, "is signed with an unsafe digest" },
	{ MBEDTLS_X509_BADCERT_BAD_PK, "has an unsafe kind of key" },
	{ MBEDTLS_X509_BADCERT_BAD_KEY, "has a key that is too short" },
	{ MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
		MBEDTLS_X509_BADCERT_NS_CERT_TYPE,
	    "is not meant for a server" },
	{ UINT32_MAX, "is not acceptable" },
};

static void explain_other(
    const struct tls_verify *v, const char *name, uint32_t flags)
{
	size_t i = 0;

	while ((other_faults[i].flag & flags) == 0)
		i++;
	err_set(v->err, "the server's certificate \"%s\" %s", name,
	    other_faults[i].text);
}

#define TIMES (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE)

static enum rank rank_of(uint32_t flags)
{
	return flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED	  ? RANK_TRUST
	       : flags & TIMES				  ? RANK_TIME
	       : flags & MBEDTLS_X509_BADCERT_CN_MISMATCH ? RANK_NAME
							  : RANK_OTHER;
}

int tls_verify_cb(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct tls_verify *v = arg;
	char subject[TLS_NAME_MAX];
	const char *name;

	v->called = true;
	if (time(NULL) < CLOCK_MIN_S)
		*flags &= ~(uint32_t)TIMES;
	/* If the host is an address, mbedTLS has no name to compare with. */
	if (depth == 0 && v->ip_len != 0 && !has_ip(crt, v))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	/* Of the same rank the first is reported. */
	if (*flags == 0 || (int)rank_of(*flags) <= v->rank)
		return 0;
	v->rank = rank_of(*flags);
	name = display_name(&crt->subject, subject);
	if (v->rank == RANK_TRUST)
		explain_trust(v, crt, name, depth);
	else if (v->rank == RANK_TIME)
		explain_time(
		    v, crt, name, *flags & MBEDTLS_X509_BADCERT_EXPIRED);
	else if (v->rank == RANK_NAME)
		explain_name(v, crt);
	else
		explain_other(v, name, *flags);
	return 0;
}

/* RFC 8446 6.2, RFC 5246 7.2: number, whether it is about our certificate, name,
 * and what it means ("": that is clear enough). */
#define ALERTS(A)                                                              \
	A(10, false, "unexpected_message", "")                                 \
	A(20, false, "bad_record_mac", "")                                     \
	A(22, false, "record_overflow", "")                                    \
	A(40, false, "handshake_failure",                                      \
	    "no TLS version, cipher or key type in common, or it requires a "  \
	    "client certificate, or another one")                              \
	A(42, true, "bad_certificate", "it cannot read it")                    \
	A(43, true, "unsupported_certificate", "it does not accept this type") \
	A(44, true, "certificate_revoked", "its issuer revoked it")            \
	A(45, true, "certificate_expired", "it has expired: renew it")         \
	A(46, true, "certificate_unknown", "it does not accept it")            \
	A(47, false, "illegal_parameter", "")                                  \
	A(48, true, "unknown_ca", "it does not trust the issuer")              \
	A(49, true, "access_denied", "its owner has no access")                \
	A(50, false, "decode_error", "")                                       \
	A(51, false, "decrypt_error", "a signature or key is wrong")           \
	A(70, false, "protocol_version", "no TLS version in common")           \
	A(71, false, "insufficient_security", "it requires stronger ciphers")  \
	A(80, false, "internal_error", "the fault is on its side")             \
	A(90, false, "user_canceled", "")                                      \
	A(109, false, "missing_extension", "")                                 \
	A(110, false, "unsupported_extension", "")                             \
	A(112, false, "unrecognized_name", "it has no service of that name")   \
	A(116, false, "certificate_required",                                  \
	    "it requires a client certificate")                                \
	A(120, false, "no_application_protocol",                               \
	    "it does not speak HTTP/2 on this port")

static const struct {
	unsigned char number;
	bool cert;
} alerts[] = {
#define NUMBER(number, cert, name, text) { number, cert },
	ALERTS(NUMBER)
#undef NUMBER
};

/* Of each its name and its text. */
static const char alert_words[] =
#define WORDS(number, cert, name, text) name "\0" text "\0"
    ALERTS(WORDS);
#undef WORDS

void tls_explain_alert(
    const char *peer, int alert, bool has_cert, char err[ERR_MAX])
{
	const size_t n = sizeof(alerts) / sizeof(alerts[0]);
	const char *name, *text;
	size_t i = 0;

	while (i < n && alerts[i].number != alert)
		i++;
	if (i == n) {
		err_set(err,
		    "%s ended TLS with the alert %d, which TLS does not "
		    "define: is it a TLS server?",
		    peer, alert);
		return;
	}
	name = text_nth(alert_words, 2 * i);
	text = text_next(name);
	if (alerts[i].cert && has_cert)
		err_set(err, "%s refused our certificate: %s (%s)", peer, name,
		    text);
	else if (*text != '\0' && !alerts[i].cert)
		err_set(err, "%s ended TLS with the alert %s (%s)", peer, name,
		    text);
	else
		err_set(err, "%s ended TLS with the alert %s", peer, name);
}

/* 2.28 and 3.6 name some codes differently, but use them for the same. */
static const struct {
	int code;
	char text[52];
} failures[] = {
	{ MBEDTLS_ERR_SSL_CONN_EOF,
	    "closed the connection during the TLS handshake" },
	{ MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY,
	    "closed the connection during the TLS handshake" },
	{ MBEDTLS_ERR_SSL_INVALID_RECORD, "sent something that is not TLS" },
	{ MBEDTLS_ERR_SSL_INVALID_MAC, "sent a damaged record" },
	{ -0x6E80, "supports only a TLS version older than 1.2" },
	{ MBEDTLS_ERR_SSL_FEATURE_UNAVAILABLE,
	    "asks for a TLS feature that xapsd does not support" },
};

void tls_explain(const char *peer, int code, char err[ERR_MAX])
{
	size_t i;

	if (code == MBEDTLS_ERR_SSL_ALLOC_FAILED) {
		err_set(err, "no memory for TLS");
		return;
	}
	for (i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (failures[i].code == code) {
			err_set(err, "%s %s", peer, failures[i].text);
			return;
		}
	err_set(err,
	    "%s broke the TLS protocol (internal error -0x%04x of mbedTLS): "
	    "does something in between, such as a firewall, change it?",
	    peer, (unsigned)-code);
}
