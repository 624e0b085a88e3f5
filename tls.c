/* tls.c - TLS connections, client and server, over non-blocking sockets. */
#include "tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mem.h"
#include "tls/mbed.h"

/* Bytes read ahead.  mbedTLS reads the 5 bytes of a record's header, then the
 * rest: reading ahead halves the system calls, and short records share one. */
#define AHEAD 512

#define TICKET_LIFE_S 86400 /* of the tickets that our server issues */
#define FIRST_MAX 5	    /* bytes that show whether it is TLS */

struct tls_ctx {
	unsigned refs; /* one of the owner, one of each connection */
	bool client;
	bool has_cert;
	struct tls_cert *cert; /* a server's own */
	struct tls_key *key;
	mbedtls_ssl_config conf;
	mbedtls_x509_crt ca;
	mbedtls_ssl_session session; /* valid if session_host is set */
	char *session_host;
	const char *ca_key, *host_key;
#if defined(MBEDTLS_SSL_TICKET_C) && defined(MBEDTLS_SSL_SRV_C)
	mbedtls_ssl_ticket_context tickets;
#endif
};

struct tls {
	struct tls_ctx *ctx;
	int fd;
	int error; /* errno of the socket */
	bool open; /* the handshake is done */
	bool sent; /* anything at all */
	bool failed;
	bool offered;	   /* an earlier session was offered */
	bool dry;	   /* the last read found the socket empty */
	bool short_read;   /* or returned less than it asked for */
	size_t unfinished; /* bytes that mbedTLS has but could not send */
	char *host;
	mbedtls_ssl_context ssl;
	struct tls_verify verify;
	unsigned char first[FIRST_MAX]; /* bytes received */
	size_t n_first;
	size_t ahead_off, ahead_len;
	unsigned char ahead[AHEAD];
	char err[ERR_MAX];
};

int tls_init(char err[ERR_MAX])
{
#if defined(TLS_HAS_13)
	psa_status_t status = psa_crypto_init();

	if (status != PSA_SUCCESS) {
		err_set(err,
		    "TLS: cannot start mbedTLS (internal error %d of its PSA): "
		    "is there memory left?",
		    (int)status);
		return -1;
	}
#endif
	(void)err;
	return 0;
}

/* The built-in roots, once for all contexts: 9 KB. */
static mbedtls_x509_crt builtin;

void tls_exit(void)
{
	mbedtls_x509_crt_free(&builtin);
#if defined(TLS_HAS_13)
	mbedtls_psa_crypto_free();
#endif
}

const char *tls_version(void)
{
#if defined(MBEDTLS_VERSION_C)
	static char text[32] = "mbedTLS ";

	mbedtls_version_get_string(text + strlen("mbedTLS "));
	return text;
#else
	return "mbedTLS " MBEDTLS_VERSION_STRING;
#endif
}

/* RFC 9113 9.2.2 forbids most others with HTTP/2. */
static const int ciphers[] = {
#if defined(TLS_HAS_13)
	MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
	MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#endif
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	0,
};

#if defined(TLS_HAS_13)
/* PKCS#1 v1.5 comes before PSS because otherwise mbedTLS 3.6.6 fails with
 * servers that have an RSA certificate and TLS 1.2 only. */
static const uint16_t signatures[] = {
	MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
	MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
	MBEDTLS_TLS1_3_SIG_ECDSA_SECP521R1_SHA512,
	MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
	MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
	MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,
	MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
	MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,
	MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,
	MBEDTLS_TLS1_3_SIG_NONE,
};
#endif

static void set_versions(mbedtls_ssl_config *conf)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	mbedtls_ssl_conf_min_version(
	    conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#else
	mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
#endif
#if defined(TLS_HAS_13)
	mbedtls_ssl_conf_sig_algs(conf, signatures);
#endif
	tls13_limit(conf);
}

/* The part that client and server share. */
static struct tls_ctx *ctx_new(
    bool client, struct tls_cert *cert, struct tls_key *key, char err[ERR_MAX])
{
	struct tls_ctx *c = xcalloc(1, sizeof(*c));
	int ret;

	c->refs = 1;
	c->client = client;
	c->has_cert = cert != NULL;
	mbedtls_ssl_config_init(&c->conf);
	mbedtls_x509_crt_init(&c->ca);
	mbedtls_ssl_session_init(&c->session);
#if defined(MBEDTLS_SSL_TICKET_C) && defined(MBEDTLS_SSL_SRV_C)
	mbedtls_ssl_ticket_init(&c->tickets);
#endif
	ret = mbedtls_ssl_config_defaults(&c->conf,
	    client ? MBEDTLS_SSL_IS_CLIENT : MBEDTLS_SSL_IS_SERVER,
	    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	if (ret == 0 && cert != NULL)
		ret = mbedtls_ssl_conf_own_cert(&c->conf, &cert->crt, &key->pk);
	if (ret != 0) {
		err_set(err,
		    "TLS: cannot be set up (internal error -0x%04x of "
		    "mbedTLS): is there memory left?",
		    (unsigned)-ret);
		tls_ctx_free(c);
		return NULL;
	}
	set_versions(&c->conf);
	mbedtls_ssl_conf_ciphersuites(&c->conf, ciphers);
	mbedtls_ssl_conf_rng(&c->conf, tls_rng, NULL);
	return c;
}

/* Adds trusted roots.  Some of a PEM bundle may be unreadable to mbedTLS. */
static int add_roots(
    mbedtls_x509_crt *ca, const unsigned char *p, size_t len, char err[ERR_MAX])
{
	const mbedtls_x509_crt *last;
	int ret;

	if (len == 0 || p[0] != TLS_ASN1_SEQ) {
		ret = mbedtls_x509_crt_parse(ca, p, len + 1);
		if (ret >= 0 && ca->version != 0)
			return 0;
		err_set(err, "holds no CA certificate that can be read");
		return -1;
	}
	while (len > 0) {
		ret = mbedtls_x509_crt_parse_der_nocopy(ca, p, len);
		if (ret != 0) {
			err_set(err,
			    "holds a CA certificate that cannot be read: it is "
			    "damaged, or of a kind that xapsd does not know");
			return -1;
		}
		for (last = ca; last->next != NULL;)
			last = last->next;
		p += last->raw.len;
		len -= last->raw.len;
	}
	return 0;
}

void tls_client_set_keys(
    struct tls_ctx *c, const char *ca_key, const char *host_key)
{
	c->ca_key = ca_key;
	c->host_key = host_key;
}

struct tls_ctx *tls_client_new(const void *ca, size_t ca_len,
    struct tls_cert *cert, struct tls_key *key, const char *const *alpn,
    char err[ERR_MAX])
{
	struct tls_ctx *c = ctx_new(true, cert, key, err);
	mbedtls_x509_crt *roots;

	if (c == NULL)
		return NULL;
	roots = ca == tls_roots_der ? &builtin : &c->ca;
	if (roots->version == 0 && add_roots(roots, ca, ca_len, err) != 0) {
		tls_ctx_free(c);
		return NULL;
	}
	tls_client_set_keys(c, "apnsCaFile", "apnsHost");
	mbedtls_ssl_conf_ca_chain(&c->conf, roots, NULL);
	mbedtls_ssl_conf_authmode(&c->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
	/* mbedTLS keeps the pointer and writes nothing; 2.28 has no const. */
	if (alpn != NULL)
		mbedtls_ssl_conf_alpn_protocols(
		    &c->conf, (const char **)(uintptr_t)alpn);
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
	mbedtls_ssl_conf_session_tickets(
	    &c->conf, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
#if defined(TLS_HAS_13) && MBEDTLS_VERSION_NUMBER >= 0x03060100
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
	    &c->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
#endif
	return c;
}

struct tls_ctx *tls_server_new(
    struct tls_cert *cert, struct tls_key *key, char err[ERR_MAX])
{
#if defined(MBEDTLS_SSL_SRV_C)
	struct tls_ctx *c = ctx_new(false, cert, key, err);

	if (c == NULL)
		return NULL;
	c->cert = cert;
	c->key = key;
	mbedtls_ssl_conf_authmode(&c->conf, MBEDTLS_SSL_VERIFY_NONE);
#if defined(MBEDTLS_SSL_TICKET_C)
	/* If it fails, connections work without tickets, only slower. */
	if (mbedtls_ssl_ticket_setup(&c->tickets, tls_rng, NULL,
		MBEDTLS_CIPHER_AES_256_GCM, TICKET_LIFE_S) == 0)
		mbedtls_ssl_conf_session_tickets_cb(&c->conf,
		    mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse,
		    &c->tickets);
#endif
	return c;
#else
	(void)cert;
	(void)key;
	err_set(err, "TLS: this xapsd was built without the server side");
	return NULL;
#endif
}

static void forget_session(struct tls_ctx *c)
{
	mbedtls_ssl_session_free(&c->session);
	mbedtls_ssl_session_init(&c->session);
	free(c->session_host);
	c->session_host = NULL;
}

static void save_session(struct tls *t)
{
	struct tls_ctx *c = t->ctx;

	forget_session(c);
	if (mbedtls_ssl_get_session(&t->ssl, &c->session) == 0)
		c->session_host = xstrdup(t->host);
	else
		forget_session(c);
}

void tls_ctx_free(struct tls_ctx *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	forget_session(c);
#if defined(MBEDTLS_SSL_TICKET_C) && defined(MBEDTLS_SSL_SRV_C)
	mbedtls_ssl_ticket_free(&c->tickets);
#endif
	mbedtls_x509_crt_free(&c->ca);
	mbedtls_ssl_config_free(&c->conf);
	tls_cert_free(c->cert);
	tls_key_free(c->key);
	free(c);
}

/* --- the socket --- */

static ssize_t socket_recv(struct tls *t, unsigned char *p, size_t n)
{
	ssize_t got;
	size_t i;

	do {
		got = recv(t->fd, p, n, 0);
	} while (got == -1 && errno == EINTR);
	t->error = got == -1 ? errno : 0;
	for (i = 0; (ssize_t)i < got && t->n_first < FIRST_MAX; i++)
		t->first[t->n_first++] = p[i];
	return got;
}

/* What to return to mbedTLS; want: the code for "not now". */
static int socket_code(const struct tls *t, int want)
{
	if (t->error == EAGAIN || t->error == EWOULDBLOCK)
		return want;
	return MBEDTLS_ERR_NET_CONN_RESET;
}

static int bio_recv(void *arg, unsigned char *p, size_t n)
{
	struct tls *t = arg;
	bool direct = t->ahead_len == 0 && n >= AHEAD;
	ssize_t got;

	if (t->ahead_len == 0) {
		got = socket_recv(t, direct ? p : t->ahead, direct ? n : AHEAD);
		t->dry = got == -1;
		t->short_read = got < (ssize_t)(direct ? n : AHEAD);
		if (got == -1)
			return socket_code(t, MBEDTLS_ERR_SSL_WANT_READ);
		if (direct)
			return (int)got;
		t->ahead_off = 0;
		t->ahead_len = (size_t)got;
	}
	if (n > t->ahead_len)
		n = t->ahead_len;
	memcpy(p, t->ahead + t->ahead_off, n);
	t->ahead_off += n;
	t->ahead_len -= n;
	return (int)n;
}

static int bio_send(void *arg, const unsigned char *p, size_t n)
{
	struct tls *t = arg;
	ssize_t put;

	do {
		put = send(t->fd, p, n, MSG_NOSIGNAL);
	} while (put == -1 && errno == EINTR);
	t->error = put == -1 ? errno : 0;
	t->sent = t->sent || put > 0;
	return put == -1 ? socket_code(t, MBEDTLS_ERR_SSL_WANT_WRITE)
			 : (int)put;
}

/* --- a connection --- */

/* Recognises an address, with or without brackets: it is not sent as a server
 * name (RFC 6066 3). */
static void set_address(struct tls_verify *v, char *host)
{
	size_t n = strlen(host);
	char *zone;

	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		memmove(host, host + 1, n - 2);
		host[n - 2] = '\0';
	}
	if (inet_pton(AF_INET, host, v->ip) == 1) {
		v->ip_len = 4;
		return;
	}
	zone = strchr(host, '%');
	if (zone != NULL)
		*zone = '\0';
	if (inet_pton(AF_INET6, host, v->ip) == 1)
		v->ip_len = 16;
	if (zone != NULL)
		*zone = '%';
}

static int set_host(struct tls *t, const char *host)
{
	struct tls_verify *v = &t->verify;

	t->host = xstrdup(host);
	set_address(v, t->host);
	v->host = t->host;
	v->err = t->err;
	v->ca_key = t->ctx->ca_key;
	v->host_key = t->ctx->host_key;
	mbedtls_ssl_set_verify(&t->ssl, tls_verify_cb, v);
	return mbedtls_ssl_set_hostname(
	    &t->ssl, v->ip_len != 0 ? NULL : t->host);
}

struct tls *tls_open(
    struct tls_ctx *c, int fd, const char *host, char err[ERR_MAX])
{
	struct tls *t = xcalloc(1, sizeof(*t));
	int ret;

	assert(c->client == (host != NULL));
	t->ctx = c;
	c->refs++;
	t->fd = fd;
	mbedtls_ssl_init(&t->ssl);
	ret = mbedtls_ssl_setup(&t->ssl, &c->conf);
	if (ret == 0 && c->client)
		ret = set_host(t, host);
	if (ret != 0) {
		if (ret == MBEDTLS_ERR_SSL_BAD_INPUT_DATA)
			err_set(
			    err, "the host name \"%.64s…\" is too long", host);
		else
			tls_explain("TLS", ret, err);
		tls_free(t);
		return NULL;
	}
	if (c->session_host != NULL && strcmp(c->session_host, t->host) == 0)
		t->offered = mbedtls_ssl_set_session(&t->ssl, &c->session) == 0;
	mbedtls_ssl_set_bio(&t->ssl, t, bio_send, bio_recv, NULL);
	return t;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	mbedtls_ssl_free(&t->ssl);
	tls_ctx_free(t->ctx);
	free(t->host);
	free(t);
}

static const char *peer_name(const struct tls *t)
{
	return t->ctx->client ? "the server" : "the client";
}

/* RFC 8446 5.1: record types are 20 to 24. */
static bool peer_speaks_tls(const struct tls *t)
{
	return t->n_first == 0 || (t->first[0] >= 20 && t->first[0] <= 24);
}

/* A server that refuses us during the handshake of TLS 1.2 sends an alert and
 * closes: when a write fails, its alert may still be unread (RFC 5246 7.2). */
static bool read_last_alert(struct tls *t, int *alert_r)
{
	unsigned char p[7]; /* type, 2 version, 2 length, level, alert */
	size_t n = 0;
	int got;

	while (n < sizeof(p)) {
		got = bio_recv(t, p + n, sizeof(p) - n);
		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	*alert_r = p[6];
	return p[0] == 21 && p[1] == 3 && p[3] == 0 && p[4] == 2;
}

static void explain_failure(struct tls *t, int ret)
{
	const char *peer = peer_name(t);
	int error = t->error, alert;

	if (ret == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		tls_explain_alert(peer, t->ssl.MBEDTLS_PRIVATE(in_msg)[1],
		    t->ctx->has_cert, t->err);
	else if (t->verify.rank != 0)
		return; /* the verify callback has set err */
	else if (ret == MBEDTLS_ERR_NET_CONN_RESET && !t->open &&
		 read_last_alert(t, &alert))
		tls_explain_alert(peer, alert, t->ctx->has_cert, t->err);
	else if (ret == MBEDTLS_ERR_NET_CONN_RESET)
		err_set(t->err, "%s: %s",
		    t->open ? "the connection broke"
			    : "the connection broke during the TLS handshake",
		    err_words(error));
	else if (!t->open && !peer_speaks_tls(t))
		err_set(t->err, "%s speaks %s on this port, not TLS", peer,
		    memcmp(t->first, "HTTP/", FIRST_MAX) == 0
			? "plain HTTP"
			: "something else");
	else
		tls_explain(peer, ret, t->err);
}

/* The status for a return value of mbedTLS below 0, or 0 for end of file. */
static enum tls_status status_of(struct tls *t, int ret)
{
	if (ret == MBEDTLS_ERR_SSL_WANT_READ)
		return TLS_WANT_READ;
	if (ret == MBEDTLS_ERR_SSL_WANT_WRITE)
		return TLS_WANT_WRITE;
	if (t->open && (ret == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || ret == 0 ||
			   ret == MBEDTLS_ERR_SSL_CONN_EOF)) {
		err_set(t->err,
		    ret == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY
			? "%s closed TLS (close_notify)"
			: "%s closed the connection without ending TLS first",
		    peer_name(t));
		return TLS_EOF;
	}
	t->failed = true;
	explain_failure(t, ret);
	/* The reason may be the session that we offered. */
	if (t->offered && !t->open)
		forget_session(t->ctx);
	return TLS_FAILED;
}

/* Does mbedTLS have to be called again?  It returns early after a ticket of TLS
 * 1.3, which may arrive at any time, and with WANT_READ after some other
 * messages although it did not read the socket. */
static bool must_call_again(struct tls *t, int ret)
{
#if defined(TLS_HAS_13) && defined(MBEDTLS_SSL_SESSION_TICKETS)
	if (ret == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
		save_session(t);
		return true;
	}
#endif
	return ret == MBEDTLS_ERR_SSL_WANT_READ && !t->dry;
}

/* The peer's certificates have been checked, and nobody asks for them again: some
 * 5 KB, which would also be copied with the session that is saved. */
static void drop_peer_certs(struct tls *t)
{
#if defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
	mbedtls_ssl_session *s = t->ssl.MBEDTLS_PRIVATE(session);
	mbedtls_x509_crt **chain = &s->MBEDTLS_PRIVATE(peer_cert);

	if (*chain != NULL)
		mbedtls_x509_crt_free(*chain);
	mbedtls_free(*chain);
	*chain = NULL;
#else
	(void)t;
#endif
}

enum tls_status tls_handshake(struct tls *t)
{
	int ret;

	if (t->failed)
		return TLS_FAILED;
	ret = mbedtls_ssl_handshake(&t->ssl);
	if (ret != 0)
		return status_of(t, ret);
	t->open = true;
	drop_peer_certs(t);
	if (t->ctx->client && strcmp(tls_protocol(t), "TLSv1.2") == 0)
		save_session(t);
	return TLS_OK;
}

enum tls_status tls_read(
    struct tls *t, unsigned char *p, size_t n, size_t *done_r)
{
	int ret;

	*done_r = 0;
	if (t->failed)
		return TLS_FAILED;
	do {
		t->dry = false;
		ret = mbedtls_ssl_read(&t->ssl, p, n);
	} while (must_call_again(t, ret));
	if (ret <= 0)
		return status_of(t, ret);
	*done_r = (size_t)ret;
	return TLS_OK;
}

/* A server that refuses our certificate in TLS 1.3 sends an alert and closes:
 * when a write fails, its alert may still be unread. */
static int find_alert(struct tls *t, int ret)
{
	unsigned char c;
	int error = t->error;

	if (ret != MBEDTLS_ERR_NET_CONN_RESET)
		return ret;
	if (mbedtls_ssl_read(&t->ssl, &c, 1) ==
	    MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		return MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;
	t->error = error;
	return ret;
}

enum tls_status tls_write(
    struct tls *t, const unsigned char *p, size_t n, size_t *done_r)
{
	int ret;

	*done_r = 0;
	if (t->failed)
		return TLS_FAILED;
	/* mbedTLS has these bytes already; it would report any n as sent. */
	if (t->unfinished != 0) {
		assert(n >= t->unfinished);
		n = t->unfinished;
	}
	do {
		t->dry = false;
		ret = mbedtls_ssl_write(&t->ssl, p, n);
	} while (must_call_again(t, ret));
	if (ret >= 0) {
		t->unfinished = 0;
		*done_r = (size_t)ret;
		return TLS_OK;
	}
	if (ret == MBEDTLS_ERR_SSL_WANT_WRITE)
		t->unfinished = n;
	return status_of(t, find_alert(t, ret));
}

bool tls_pending(const struct tls *t)
{
	return !t->failed &&
	       (t->ahead_len != 0 || mbedtls_ssl_check_pending(&t->ssl) != 0);
}

bool tls_drained(const struct tls *t)
{
	return t->short_read && !tls_pending(t);
}

void tls_close_notify(struct tls *t)
{
	if (t->open && !t->failed)
		mbedtls_ssl_close_notify(&t->ssl);
}

bool tls_has_answered(const struct tls *t)
{
	return t != NULL && t->sent;
}

bool tls_has_cert_for(const struct tls *t, const char *host)
{
	const struct tls_cert *cert = t->ctx->cert;

	return cert != NULL && tls_cert_is_for(&cert->crt, host);
}

const char *tls_error(const struct tls *t)
{
	return t->err;
}

const char *tls_alpn(const struct tls *t)
{
	return mbedtls_ssl_get_alpn_protocol(&t->ssl);
}

const char *tls_protocol(const struct tls *t)
{
	return mbedtls_ssl_get_version(&t->ssl);
}

bool tls_resumed(const struct tls *t)
{
	return t->open && t->ctx->client && !t->verify.called;
}
