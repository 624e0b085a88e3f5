/* tls_test.c - handshakes, data, refusals: our client with our server over a
 * socketpair, and with openssl(1) as the other side. */
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

/* The verify callback's clock is ours. */
static time_t fake_now;
static time_t test_time(time_t *unused)
{
	(void)unused;
	return fake_now != 0 ? fake_now : (time)(NULL);
}
#define time(p) test_time(p)
#include "../../tls/verify.c"
#undef time

#include "features.h"
#include "pki.h"
#include "tls.h"

#define EXT_SERVER                                                             \
	"subjectAltName=DNS:push.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1\\n"  \
	"extendedKeyUsage=serverAuth"

static const char *const h2[] = { "h2", NULL };
static char err[ERR_MAX];

/* --- identities --- */

struct ident {
	struct tls_cert *cert;
	struct tls_key *key;
};

static struct ident ident(const char *cert_file, const char *key_file)
{
	struct ident id;
	size_t len;
	char *text = slurp(cert_file, &len);

	id.cert = tls_cert_parse(text, len, err);
	free(text);
	if (id.cert == NULL)
		fail_msg("%s: %s", cert_file, err);
	text = slurp(key_file, &len);
	id.key = tls_key_parse(text, len, NULL, err);
	free(text);
	if (id.key == NULL)
		fail_msg("%s: %s", key_file, err);
	return id;
}

static void ident_free(struct ident *id)
{
	tls_cert_free(id->cert);
	tls_key_free(id->key);
}

static struct tls_ctx *client_ctx(const char *ca_file, const struct ident *id)
{
	size_t len;
	char *ca = slurp(ca_file, &len);
	struct tls_ctx *c = tls_client_new(
	    ca, len, id ? id->cert : NULL, id ? id->key : NULL, h2, err);

	free(ca);
	if (c == NULL)
		fail_msg("%s", err);
	return c;
}

/* --- a client and a server in one process --- */

struct duo {
	struct tls_ctx *cc, *sc;
	int cfd, sfd;	    /* theirs */
	int crelay, srelay; /* the other ends, joined by us */
	size_t chunk;	    /* bytes that pass at a time */
	struct tls *c, *s;
};

static void nonblocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void wire(struct duo *d)
{
	int a[2], b[2], i;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
	for (i = 0; i < 2; i++) {
		nonblocking(a[i]);
		nonblocking(b[i]);
	}
	d->cfd = a[0];
	d->crelay = a[1];
	d->srelay = b[1];
	d->sfd = b[0];
}

static void connect_duo(struct duo *d, const char *host)
{
	wire(d);
	d->c = tls_open(d->cc, d->cfd, host, err);
	if (d->c == NULL)
		fail_msg("%s", err);
	d->s = tls_open(d->sc, d->sfd, NULL, err);
	if (d->s == NULL)
		fail_msg("%s", err);
}

static void hang_up(struct duo *d)
{
	tls_free(d->c);
	tls_free(d->s);
	d->c = d->s = NULL;
	close(d->cfd);
	close(d->sfd);
	close(d->crelay);
	close(d->srelay);
}

static struct tls_ctx *server_ctx(const char *name)
{
	char pem[64], key[64];
	struct tls_ctx *c;
	struct ident id;

	snprintf(pem, sizeof(pem), "%s.pem", name);
	snprintf(key, sizeof(key), "%s.key", name);
	id = ident(pem, key);
	c = tls_server_new(id.cert, id.key, err);
	if (c == NULL)
		fail_msg("%s", err);
	return c;
}

static void open_duo(struct duo *d, const char *server, const char *ca)
{
	memset(d, 0, sizeof(*d));
	d->cc = client_ctx(ca, NULL);
	d->sc = server_ctx(server);
	d->chunk = 1 << 16;
}

static void close_duo(struct duo *d)
{
	tls_ctx_free(d->cc);
	tls_ctx_free(d->sc);
}

static bool pass(int from, int to, size_t chunk)
{
	static char buf[1 << 16];
	ssize_t n = recv(from, buf, chunk, MSG_PEEK);

	if (n <= 0)
		return false;
	n = send(to, buf, (size_t)n, MSG_NOSIGNAL);
	if (n <= 0)
		return false;
	assert_int_equal(recv(from, buf, (size_t)n, 0), n);
	return true;
}

static bool relay(struct duo *d)
{
	bool a = pass(d->crelay, d->srelay, d->chunk);
	bool b = pass(d->srelay, d->crelay, d->chunk);

	return a || b;
}

/* Runs both handshakes to their ends; returns the client's. */
static enum tls_status shake(struct duo *d, enum tls_status *server_r)
{
	enum tls_status c = TLS_WANT_READ, s = TLS_WANT_READ;
	bool moved = true;

	while (moved || c == TLS_WANT_WRITE || s == TLS_WANT_WRITE) {
		if (c == TLS_WANT_READ || c == TLS_WANT_WRITE)
			c = tls_handshake(d->c);
		if (s == TLS_WANT_READ || s == TLS_WANT_WRITE)
			s = tls_handshake(d->s);
		moved = relay(d);
	}
	if (server_r != NULL)
		*server_r = s;
	return c;
}

static void shake_ok(struct duo *d)
{
	enum tls_status s, c = shake(d, &s);

	if (c != TLS_OK)
		fail_msg("client: %s", tls_error(d->c));
	if (s != TLS_OK)
		fail_msg("server: %s", tls_error(d->s));
}

/* One read by each side until nothing moves; tickets are taken on the way. */
static enum tls_status read_now(
    struct duo *d, struct tls *t, void *p, size_t n, size_t *done_r)
{
	enum tls_status st;

	do {
		st = tls_read(t, p, n, done_r);
	} while (st == TLS_WANT_READ && relay(d));
	return st;
}

static void says(const char *text, const char *words)
{
	char copy[256], *w;

	snprintf(copy, sizeof(copy), "%s", words);
	for (w = strtok(copy, "|"); w != NULL; w = strtok(NULL, "|"))
		if (strstr(text, w) == NULL)
			fail_msg("\"%s\" lacks \"%s\"", text, w);
}

/* --- handshakes and data --- */

static void pattern(unsigned char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 31 + i / 251 + seed);
}

/* n bytes from one to the other, written as the socket takes them. */
static void transfer(
    struct duo *d, struct tls *from, struct tls *to, size_t n, size_t piece)
{
	unsigned char *out = malloc(n), *in = malloc(n);
	size_t sent = 0, got = 0, k;
	enum tls_status st;

	pattern(out, n, (unsigned)piece);
	while (got < n) {
		if (sent < n) {
			k = n - sent < piece ? n - sent : piece;
			st = tls_write(from, out + sent, k, &k);
			assert_true(st == TLS_OK || st == TLS_WANT_WRITE);
			sent += k;
		}
		relay(d);
		st = tls_read(to, in + got, n - got, &k);
		assert_true(st == TLS_OK || st == TLS_WANT_READ);
		assert_true(st != TLS_OK || k > 0);
		got += k;
	}
	assert_memory_equal(in, out, n);
	free(out);
	free(in);
}

static void one_handshake(const char *server, size_t chunk)
{
	struct duo d;

	open_duo(&d, server, "ca.pem");
	d.chunk = chunk;
	connect_duo(&d, "push.test");
	assert_int_equal(tls_handshake(d.c), TLS_WANT_READ);
	shake_ok(&d);
	assert_string_equal(tls_protocol(d.c), tls_protocol(d.s));
	assert_memory_equal(tls_protocol(d.c), "TLSv1.", 6);
	assert_false(tls_resumed(d.c));
	assert_null(tls_alpn(d.c));
	transfer(&d, d.c, d.s, 300, 1);
	transfer(&d, d.s, d.c, 300, 1);
	if (chunk > 100) {
		transfer(&d, d.c, d.s, 500000, 500000);
		transfer(&d, d.s, d.c, 500000, 70000);
	}
	hang_up(&d);
	close_duo(&d);
}

static void test_handshakes(void **state)
{
	const char *const servers[] = { "rsa", "p256", "p384", "chain" };
	const size_t chunks[] = { 1, 2, 5, 511, 513, 1 << 16 };
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		for (j = 0; j < sizeof(chunks) / sizeof(chunks[0]); j++)
			one_handshake(servers[i], chunks[j]);
}

/* Bytes that mbedTLS took count once, whatever is offered with them later. */
static void test_partial_write(void **state)
{
	static unsigned char out[600000], in[600000];
	struct duo d;
	size_t sent = 0, got = 0, k, offer;
	enum tls_status st;

	(void)state;
	open_duo(&d, "p256", "ca.pem");
	connect_duo(&d, "push.test");
	shake_ok(&d);
	pattern(out, sizeof(out), 7);
	offer = 1000;
	do {
		st = tls_write(d.c, out + sent, offer, &k);
		sent += k;
	} while (st == TLS_OK);
	assert_int_equal(st, TLS_WANT_WRITE);
	/* the queue grew meanwhile */
	offer = 16000;
	while (got < 300000) {
		if (sent + offer <= sizeof(out)) {
			st = tls_write(d.c, out + sent, offer, &k);
			assert_true(st == TLS_OK || st == TLS_WANT_WRITE);
			sent += k;
		}
		relay(&d);
		if (tls_read(d.s, in + got, 5000, &k) == TLS_OK)
			got += k;
	}
	assert_memory_equal(in, out, got);
	hang_up(&d);
	close_duo(&d);
}

static void test_pending(void **state)
{
	unsigned char p[64];
	struct duo d;
	size_t k;

	(void)state;
	open_duo(&d, "p256", "ca.pem");
	connect_duo(&d, "push.test");
	shake_ok(&d);
	assert_int_equal(read_now(&d, d.c, p, 1, &k), TLS_WANT_READ);
	assert_false(tls_pending(d.c));
	assert_int_equal(tls_write(d.s, p, 10, &k), TLS_OK);
	assert_int_equal(tls_write(d.s, p, 10, &k), TLS_OK);
	relay(&d);
	assert_int_equal(tls_read(d.c, p, 4, &k), TLS_OK);
	assert_int_equal(k, 4);
	assert_true(tls_pending(d.c));
	assert_int_equal(tls_read(d.c, p, 64, &k), TLS_OK);
	assert_int_equal(k, 6);
	/* The second record was read ahead: the socket is empty. */
	assert_int_equal(recv(d.cfd, p, 1, MSG_PEEK), -1);
	assert_true(tls_pending(d.c));
	assert_int_equal(tls_read(d.c, p, 64, &k), TLS_OK);
	assert_int_equal(k, 10);
	assert_false(tls_pending(d.c));
	assert_int_equal(tls_read(d.c, p, 64, &k), TLS_WANT_READ);
	hang_up(&d);
	close_duo(&d);
}

static void test_end(void **state)
{
	unsigned char p[8];
	struct duo d;
	size_t k;

	(void)state;
	open_duo(&d, "p256", "ca.pem");
	connect_duo(&d, "push.test");
	shake_ok(&d);
	assert_int_equal(tls_write(d.s, p, 3, &k), TLS_OK);
	tls_close_notify(d.s);
	assert_int_equal(read_now(&d, d.c, p, 8, &k), TLS_OK);
	assert_int_equal(read_now(&d, d.c, p, 8, &k), TLS_EOF);
	says(tls_error(d.c), "the server closed TLS (close_notify)");
	hang_up(&d);
	connect_duo(&d, "push.test");
	shake_ok(&d);
	while (relay(&d))
		;
	shutdown(d.crelay, SHUT_WR);
	assert_int_equal(read_now(&d, d.c, p, 8, &k), TLS_EOF);
	says(tls_error(d.c), "without ending TLS");
	shutdown(d.srelay, SHUT_RDWR);
	assert_int_equal(tls_write(d.s, p, 3, &k), TLS_FAILED);
	says(tls_error(d.s), "the connection broke|pipe");
	assert_int_equal(tls_write(d.s, p, 3, &k), TLS_FAILED);
	assert_int_equal(tls_read(d.s, p, 3, &k), TLS_FAILED);
	assert_false(tls_pending(d.s));
	tls_close_notify(d.s);
	hang_up(&d);
	close_duo(&d);
}

/* Open connections outlive the objects that they were made from. */
static void test_outlives(void **state)
{
	struct duo d;

	(void)state;
	open_duo(&d, "p256", "ca.pem");
	connect_duo(&d, "push.test");
	shake_ok(&d);
	close_duo(&d);
	transfer(&d, d.c, d.s, 3000, 100);
	transfer(&d, d.s, d.c, 3000, 100);
	hang_up(&d);
}

/* So does a server's handshake: its certificate was replaced meanwhile. */
static void test_handshake_outlives(void **state)
{
	struct duo d;

	(void)state;
	open_duo(&d, "p256", "ca.pem");
	connect_duo(&d, "push.test");
	tls_handshake(d.c);
	tls_ctx_free(d.sc);
	d.sc = server_ctx("p384");
	shake_ok(&d);
	transfer(&d, d.c, d.s, 3000, 100);
	hang_up(&d);
	close_duo(&d);
}

/* A damaged record is no data. */
static void test_damage(void **state)
{
	unsigned char p[100];
	struct duo d;
	ssize_t n;
	size_t k;

	(void)state;
	open_duo(&d, "p256", "ca.pem");
	connect_duo(&d, "push.test");
	shake_ok(&d);
	read_now(&d, d.c, p, 1, &k);
	assert_int_equal(tls_write(d.s, p, 10, &k), TLS_OK);
	n = recv(d.srelay, p, sizeof(p), 0);
	assert_true(n > 20);
	p[n - 1] ^= 1;
	assert_int_equal(send(d.crelay, p, (size_t)n, 0), n);
	assert_int_equal(tls_read(d.c, p, 100, &k), TLS_FAILED);
	says(tls_error(d.c), "damaged");
	hang_up(&d);
	close_duo(&d);
}

/* --- resumption --- */

/* Of our server, which the static build lacks; the client is the same there. */
static void needs_tickets(void)
{
#if !defined(MBEDTLS_SSL_TICKET_C)
	skip();
#endif
}

static bool resumes(struct duo *d, const char *host)
{
	unsigned char c;
	bool resumed;
	size_t k;

	connect_duo(d, host);
	shake_ok(d);
	resumed = tls_resumed(d->c);
	/* A ticket of TLS 1.3 comes with the first read. */
	assert_int_equal(read_now(d, d->c, &c, 1, &k), TLS_WANT_READ);
	transfer(d, d->c, d->s, 100, 10);
	hang_up(d);
	return resumed;
}

static void test_resumption(void **state)
{
	struct duo d;

	(void)state;
	needs_tickets();
	open_duo(&d, "p256", "ca.pem");
	assert_false(resumes(&d, "push.test"));
	assert_true(resumes(&d, "push.test"));
	assert_true(resumes(&d, "push.test"));
	/* never for another host, which was not verified */
	assert_false(resumes(&d, "a.wild.test"));
	assert_true(resumes(&d, "a.wild.test"));
	assert_false(resumes(&d, "127.0.0.1"));
	assert_true(resumes(&d, "127.0.0.1"));
	/* The server forgot its ticket keys: a full handshake, no failure. */
	tls_ctx_free(d.sc);
	d.sc = server_ctx("p256");
	assert_false(resumes(&d, "127.0.0.1"));
	assert_true(resumes(&d, "127.0.0.1"));
	close_duo(&d);
}

/* A session that was offered in a handshake that failed is not offered again:
 * it may be what the server disliked. */
static void test_resumption_dropped(void **state)
{
	struct duo d;

	(void)state;
	needs_tickets();
	open_duo(&d, "p256", "ca.pem");
	assert_false(resumes(&d, "push.test"));
	assert_true(resumes(&d, "push.test"));
	connect_duo(&d, "push.test");
	tls_handshake(d.c);
	shutdown(d.crelay, SHUT_RDWR);
	assert_int_equal(tls_handshake(d.c), TLS_FAILED);
	hang_up(&d);
	assert_false(resumes(&d, "push.test"));
	close_duo(&d);
}

/* --- verification --- */

static void refused(
    const char *server, const char *ca, const char *host, const char *words)
{
	enum tls_status s;
	struct duo d;

	open_duo(&d, server, ca);
	connect_duo(&d, host);
	assert_int_equal(shake(&d, &s), TLS_FAILED);
	says(tls_error(d.c), words);
	assert_int_equal(tls_handshake(d.c), TLS_FAILED);
	/* The server learns of it by an alert. */
	assert_int_not_equal(s, TLS_OK);
	says(tls_error(d.s), "the client");
	hang_up(&d);
	close_duo(&d);
}

static void accepted(const char *server, const char *ca, const char *host)
{
	struct duo d;

	open_duo(&d, server, ca);
	connect_duo(&d, host);
	shake_ok(&d);
	hang_up(&d);
	close_duo(&d);
}

static void test_trust(void **state)
{
	(void)state;
	refused("p256", "other.pem", "push.test",
	    "\"CN p256\" is issued by \"Test CA\"|unknown CA|apnsCaFile");
	refused("leafonly", "ca.pem", "push.test",
	    "\"CN chain\"|\"Middle CA\"|incomplete chain|apnsCaFile");
	refused("self", "ca.pem", "push.test",
	    "self-signed|\"CN self\"|apnsCaFile");
	refused("fullchain", "other.pem", "push.test",
	    "unknown CA \"Test CA\"|apnsCaFile");
	accepted("self", "self.pem", "push.test");
	accepted("chain", "ca.pem", "push.test");
	accepted("fullchain", "ca.pem", "push.test");
	accepted("leafonly", "middle.pem", "push.test");
	/* several faults: the most basic one is reported */
	refused("expired", "other.pem", "wrong.test", "apnsCaFile");
}

static void test_names(void **state)
{
	(void)state;
	refused("p256", "ca.pem", "other.test",
	    "\"push.test\" and 1 more|\"other.test\"|apnsHost");
	refused("p256", "ca.pem", "wild.test", "\"wild.test\"");
	refused("cnonly", "ca.pem", "other.test", "\"push.test\"|other.test");
	accepted("p256", "ca.pem", "x.wild.test");
	accepted("p256", "ca.pem", "PUSH.test");
	refused("p256", "ca.pem", "a.b.wild.test", "a.b.wild.test");
	accepted("p256", "ca.pem", "127.0.0.1");
	accepted("p256", "ca.pem", "::1");
	accepted("p256", "ca.pem", "[::1]");
	refused("p256", "ca.pem", "127.0.0.2", "\"127.0.0.2\"");
	refused("p256", "ca.pem", "::2", "\"::2\"");
	/* an address has to be an IP address of the certificate */
	refused("cnaddress", "ca.pem", "127.0.0.1", "\"127.0.0.1\"");
}

static void test_dates(void **state)
{
	(void)state;
	refused("expired", "ca.pem", "push.test",
	    "\"CN expired\"|expired on 2021-02-03|clock|right?");
	refused("future", "ca.pem", "push.test",
	    "not valid before 2048-01-01|clock");
	/* a router before its first NTP answer */
	fake_now = 3600;
	accepted("expired", "ca.pem", "push.test");
	accepted("future", "ca.pem", "push.test");
	refused("expired", "ca.pem", "other.test", "push.test");
	refused("expired", "other.pem", "push.test", "unknown CA");
	fake_now = 0;
}

static void test_weak(void **state)
{
	(void)state;
	refused("sha1", "ca.pem", "push.test", "\"CN sha1\"|digest");
	refused("rsa1024", "ca.pem", "push.test", "\"CN rsa1024\"|key");
	refused("clientonly", "ca.pem", "push.test", "certificate");
}

static void test_host_too_long(void **state)
{
	char host[400];
	struct duo d;

	(void)state;
	memset(host, 'a', sizeof(host));
	host[sizeof(host) - 1] = '\0';
	open_duo(&d, "p256", "ca.pem");
	assert_null(tls_open(d.cc, 0, host, err));
	says(err, "too long");
	close_duo(&d);
}

/* --- no TLS at the other side --- */

static void answers(const char *bytes, size_t n, const char *words)
{
	enum tls_status st;
	struct duo d;

	open_duo(&d, "p256", "ca.pem");
	connect_duo(&d, "push.test");
	assert_int_equal(tls_handshake(d.c), TLS_WANT_READ);
	assert_int_equal(send(d.crelay, bytes, n, 0), n);
	shutdown(d.crelay, SHUT_WR);
	do {
		st = tls_handshake(d.c);
	} while (st == TLS_WANT_READ);
	assert_int_equal(st, TLS_FAILED);
	says(tls_error(d.c), words);
	hang_up(&d);
	close_duo(&d);
}

static void test_not_tls(void **state)
{
	struct duo d;

	(void)state;
	answers("HTTP/1.1 400 Bad Request\r\n\r\n", 28,
	    "the server speaks plain HTTP on this port, not TLS");
	answers("HTTP", 4, "not TLS");
	answers("220 mail ESMTP\r\n", 16, "something else on this port");
	answers("\0\0\6\4\0\0\0\0\0", 9, "not TLS");
	answers("", 0, "closed the connection during the TLS handshake");
	answers("\x16\x03\x03", 3, "closed the connection during");
	answers("\x16\x03\x03\x00\x04\x02\x00\x00\x00", 9, "the server");
	answers("\x15\x03\x03\x00\x02\x02\x28", 7,
	    "the server ended TLS with the alert handshake_failure");
	answers("\x15\x03\x03\x00\x02\x02\x50", 7, "internal_error");
	answers("\x15\x03\x03\x00\x02\x02\xfe", 7, "alert 254");
	answers("\x15\x03\x03\x00\x02\x02\x30", 7, "the alert unknown_ca");
	/* and as a server */
	open_duo(&d, "p256", "ca.pem");
	wire(&d);
	d.s = tls_open(d.sc, d.sfd, NULL, err);
	assert_int_equal(send(d.srelay, "GET / HTTP/1.1\r\n", 16, 0), 16);
	assert_int_equal(tls_handshake(d.s), TLS_FAILED);
	says(tls_error(d.s), "the client speaks something else");
	hang_up(&d);
	close_duo(&d);
}

/* --- openssl as the other side --- */

struct peer {
	pid_t pid;
	int in, out; /* its stdin and stdout */
	int port;
};

/* Starts a shell command in pki_dir with pipes to it. */
static void peer_run(struct peer *p, const char *cmd)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	p->pid = fork();
	if (p->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		if (chdir(pki_dir) == 0)
			execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	p->out = out[0];
}

/* Reads the peer's output until it contains text, for at most 20 s. */
static void peer_wait(struct peer *p, const char *text, char *out, size_t size)
{
	struct pollfd pfd = { .fd = p->out, .events = POLLIN };
	size_t n = 0;
	ssize_t got;

	out[0] = '\0';
	while (strstr(out, text) == NULL || out[n - 1] != '\n') {
		assert_true(n + 1 < size);
		assert_int_equal(poll(&pfd, 1, 20000), 1);
		got = read(p->out, out + n, size - n - 1);
		if (got <= 0)
			fail_msg("peer ended: %s", out);
		n += (size_t)got;
		out[n] = '\0';
	}
}

static void serve(struct peer *p, const char *options)
{
	char cmd[1024], out[8192], *accept;

	snprintf(cmd, sizeof(cmd),
	    "exec openssl s_server -accept 127.0.0.1:0 -cert p256.pem "
	    "-key p256.key %s",
	    options);
	peer_run(p, cmd);
	peer_wait(p, "ACCEPT", out, sizeof(out));
	accept = strstr(out, "ACCEPT");
	p->port = atoi(strchr(accept, ':') + 1);
	assert_true(p->port > 0);
}

static void peer_end(struct peer *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->in);
	close(p->out);
}

static int dial(const struct peer *p)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)p->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (void *)&sin, sizeof(sin)), 0);
	nonblocking(fd);
	return fd;
}

static void wait_fd(int fd, enum tls_status st)
{
	struct pollfd pfd = { .fd = fd,
		.events = st == TLS_WANT_WRITE ? POLLOUT : POLLIN };

	assert_int_equal(poll(&pfd, 1, 20000), 1);
}

static enum tls_status shake_fd(struct tls *t, int fd)
{
	enum tls_status st;

	while ((st = tls_handshake(t)) == TLS_WANT_READ || st == TLS_WANT_WRITE)
		wait_fd(fd, st);
	return st;
}

/* One line there and one back, so that tickets were read as well. */
static enum tls_status talk(struct tls *t, int fd, struct peer *p)
{
	unsigned char in[256];
	enum tls_status st;
	size_t k, n = 0;

	st = tls_write(t, (const unsigned char *)"ping\n", 5, &k);
	if (st != TLS_OK)
		return st;
	assert_int_equal(write(p->in, "pong\n", 5), 5);
	while (n < 5) {
		st = tls_read(t, in + n, sizeof(in) - n, &k);
		n += k;
		if (st == TLS_WANT_READ)
			wait_fd(fd, st);
		else if (st != TLS_OK)
			return st;
	}
	assert_memory_equal(in, "pong\n", 5);
	return TLS_OK;
}

/* Handshake and talk; err is the connection's error and protocol. */
static enum tls_status visit(
    struct tls_ctx *c, struct peer *p, bool *resumed_r, const char *protocol)
{
	int fd = dial(p);
	struct tls *t = tls_open(c, fd, "push.test", err);
	enum tls_status st = shake_fd(t, fd);

	if (st == TLS_OK) {
		if (protocol != NULL)
			assert_string_equal(tls_protocol(t), protocol);
		*resumed_r = tls_resumed(t);
		if (tls_alpn(t) != NULL)
			assert_string_equal(tls_alpn(t), "h2");
		st = talk(t, fd, p);
	}
	snprintf(err, sizeof(err), "%s|%s", tls_error(t),
	    tls_alpn(t) != NULL ? tls_alpn(t) : "no alpn");
	tls_close_notify(t);
	tls_free(t);
	close(fd);
	return st;
}

static void visit_ok(
    const char *options, const char *protocol, const struct ident *id)
{
	struct tls_ctx *c = client_ctx("ca.pem", id);
	struct peer p;
	bool resumed;
	int i;

	serve(&p, options);
	for (i = 0; i < 3; i++) {
		if (visit(c, &p, &resumed, protocol) != TLS_OK)
			fail_msg("%s: %s", options, err);
		assert_int_equal(resumed, i > 0);
		if (strstr(options, "-alpn") != NULL)
			says(err, "|h2");
	}
	peer_end(&p);
	tls_ctx_free(c);
}

static void visit_fails(
    const char *options, const struct ident *id, const char *words)
{
	struct tls_ctx *c = client_ctx("ca.pem", id);
	struct peer p;
	bool resumed;

	serve(&p, options);
	assert_int_equal(visit(c, &p, &resumed, NULL), TLS_FAILED);
	says(err, words);
	peer_end(&p);
	tls_ctx_free(c);
}

static bool has_13(void)
{
#if defined(TLS_HAS_13)
	return features_lack("tls13") == NULL;
#else
	return false;
#endif
}

static bool has_chacha(void)
{
#if defined(MBEDTLS_CHACHAPOLY_C)
	return true;
#else
	return false;
#endif
}

static void test_openssl(void **state)
{
	(void)state;
	visit_ok("-tls1_2", "TLSv1.2", NULL);
	visit_ok("-tls1_2 -alpn h2", "TLSv1.2", NULL);
	visit_ok("-tls1_2 -alpn h2 -no_ticket", "TLSv1.2", NULL);
	visit_ok(
	    "-tls1_2 -alpn h2 -cert rsa.pem -key rsa.key", "TLSv1.2", NULL);
	if (has_chacha())
		visit_ok("-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
		    "TLSv1.2", NULL);
	visit_ok("-alpn h2", has_13() ? "TLSv1.3" : "TLSv1.2", NULL);
	visit_ok("-alpn h2 -cert rsa.pem -key rsa.key",
	    has_13() ? "TLSv1.3" : "TLSv1.2", NULL);
	visit_ok(
	    "-alpn h2 -groups P-384", has_13() ? "TLSv1.3" : "TLSv1.2", NULL);
	if (has_13() && has_chacha())
		visit_ok("-tls1_3 -alpn h2 -ciphersuites "
			 "TLS_CHACHA20_POLY1305_SHA256",
		    "TLSv1.3", NULL);
}

static void test_openssl_refuses(void **state)
{
	(void)state;
	visit_fails("-alpn http/1.1", NULL, "no_application_protocol|HTTP/2");
	visit_fails("-tls1_1 -cipher ALL:@SECLEVEL=0", NULL, "TLS");
	visit_fails("-tls1_2 -cipher AES128-SHA -cert rsa.pem -key rsa.key",
	    NULL, "handshake_failure|cipher");
	if (!has_13())
		visit_fails("-tls1_3", NULL, "protocol_version");
}

#define VERIFY " -alpn h2 -Verify 3 -verify_return_error -CAfile "

static void test_client_certificate(void **state)
{
	struct ident rsa = ident("client.pem", "rsa.key");
	struct ident ec = ident("ecclient.pem", "p256.key");
	struct ident old = ident("oldclient.pem", "p256.key");
	const struct ident *ids[] = { &rsa, &ec };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		visit_ok("-tls1_2" VERIFY "ca.pem", "TLSv1.2", ids[i]);
		visit_ok(VERIFY "ca.pem", NULL, ids[i]);
		visit_fails("-tls1_2" VERIFY "other.pem", ids[i],
		    "refused our certificate: unknown_ca");
		visit_fails(VERIFY "other.pem", ids[i],
		    "refused our certificate: unknown_ca");
	}
	visit_fails("-tls1_2" VERIFY "ca.pem", &old,
	    "refused our certificate: certificate_expired|renew");
	visit_fails(VERIFY "ca.pem", &old,
	    "refused our certificate: certificate_expired|renew");
	visit_fails("-tls1_2" VERIFY "ca.pem", NULL, "handshake_failure");
	visit_fails(VERIFY "ca.pem", NULL,
	    has_13() ? "certificate_required" : "handshake_failure");
	ident_free(&rsa);
	ident_free(&ec);
	ident_free(&old);
}

/* openssl as a client of our listener: a line from us, a line from it. */
static void serve_openssl(struct tls_ctx *c, int lfd, int port, const char *opt)
{
	char cmd[512], out[16384];
	unsigned char in[64];
	struct peer p;
	struct tls *t;
	size_t k;
	int fd;

	snprintf(cmd, sizeof(cmd),
	    "exec openssl s_client -connect 127.0.0.1:%d -CAfile ca.pem "
	    "-verify_return_error -verify_hostname push.test -servername "
	    "push.test -alpn http/1.1 -quiet %s",
	    port, opt);
	peer_run(&p, cmd);
	fd = accept(lfd, NULL, NULL);
	nonblocking(fd);
	t = tls_open(c, fd, NULL, err);
	if (shake_fd(t, fd) != TLS_OK)
		fail_msg("%s", tls_error(t));
	assert_int_equal(tls_write(t, (const void *)"hello\n", 6, &k), TLS_OK);
	peer_wait(&p, "hello\n", out, sizeof(out));
	assert_int_equal(write(p.in, "world\n", 6), 6);
	while (tls_read(t, in, sizeof(in), &k) == TLS_WANT_READ)
		wait_fd(fd, TLS_WANT_READ);
	assert_int_equal(k, 6);
	assert_memory_equal(in, "world\n", 6);
	tls_free(t);
	close(fd);
	peer_end(&p);
}

static void test_openssl_client(void **state)
{
	struct tls_ctx *c = server_ctx("chain");
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(lfd, (void *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(lfd, 5), 0);
	assert_int_equal(getsockname(lfd, (void *)&sin, &len), 0);
	serve_openssl(c, lfd, ntohs(sin.sin_port), "-tls1_2");
	serve_openssl(c, lfd, ntohs(sin.sin_port), has_13() ? "-tls1_3" : "");
	close(lfd);
	tls_ctx_free(c);
}

/* --- keys, certificates, small things --- */

static void test_roots(void **state)
{
	const char *const names[] = { "USERTrust RSA Certification Authority",
		"USERTrust ECC Certification Authority",
		"AAA Certificate Services",
		"Sectigo Public Server Authentication Root R46",
		"Sectigo Public Server Authentication Root E46",
		"DigiCert Global Root G2" };
	const unsigned char *p = tls_roots_der;
	struct tls_ctx *c;
	struct tls_cert *cert;
	char cn[80], der[4096];
	size_t i, len, left = tls_roots_der_len;

	(void)state;
	c = tls_client_new(
	    tls_roots_der, tls_roots_der_len, NULL, NULL, h2, err);
	if (c == NULL)
		fail_msg("%s", err);
	tls_ctx_free(c);
	for (i = 0; i < 6; i++) {
		len = (size_t)(p[2] << 8 | p[3]) + 4;
		assert_true(len <= left && len < sizeof(der));
		memcpy(der, p, len);
		der[len] = '\0';
		cert = tls_cert_parse(der, len, err);
		assert_non_null(cert);
		assert_true(tls_cert_subject(cert,
				(const unsigned char *)"\x55\x04\x03", 3, 0, cn,
				sizeof(cn)) > 0);
		assert_string_equal(cn, names[i]);
		tls_cert_free(cert);
		p += len;
		left -= len;
	}
	assert_int_equal(left, 0);
}

/* What the roots are made of is enough to trust what a root has issued. */
static void test_anchor(void **state)
{
	const char *const cas[] = { "ca", "other" };
	char *cwd = getcwd(NULL, 0);
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++)
		sh("{ echo -----BEGIN CERTIFICATE-----; "
		   "%s/tests/tools/make-roots.py %s.pem | base64; "
		   "echo -----END CERTIFICATE-----; } >%s.anchor",
		    cwd, cas[i], cas[i]);
	free(cwd);
	accepted("p256", "ca.anchor", "push.test");
	accepted("chain", "ca.anchor", "push.test");
	accepted("fullchain", "ca.anchor", "push.test");
	refused("p256", "other.anchor", "push.test", "unknown CA|apnsCaFile");
	refused("forged", "ca.anchor", "push.test", "unknown CA|apnsCaFile");
	refused("chain", "ca.anchor", "wrong.test", "not for");
}

static void test_ca_file(void **state)
{
	char *text, *two;
	size_t len;
	struct tls_ctx *c;

	(void)state;
	assert_null(tls_client_new("", 0, NULL, NULL, h2, err));
	says(err, "no CA certificate");
	assert_null(tls_client_new("garbage", 7, NULL, NULL, h2, err));
	assert_null(
	    tls_client_new("\x30\x03\x02\x01\x00", 5, NULL, NULL, h2, err));
	says(err, "cannot be read");
	/* A bundle is good as long as one of it can be read. */
	text = slurp("ca.pem", &len);
	two = malloc(2 * len + 200);
	sprintf(two,
	    "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n"
	    "-----END CERTIFICATE-----\n%s",
	    text);
	c = tls_client_new(two, strlen(two), NULL, NULL, h2, err);
	assert_non_null(c);
	tls_ctx_free(c);
	free(text);
	free(two);
}

static void test_leaf_choice(void **state)
{
	struct ident id = ident("fullchain.pem", "chain.key");
	struct ident other = ident("chain.pem", "p384.key");
	struct ident reversed = ident("reversed.pem", "chain.key");
	char cn[64];
	const unsigned char oid[] = { 0x55, 4, 3 };

	(void)state;
	assert_true(tls_cert_matches(id.cert, id.key, NULL));
	assert_false(tls_cert_matches(other.cert, other.key, NULL));
	assert_true(tls_cert_subject(reversed.cert, oid, 3, 0, cn, 64) > 0);
	assert_string_equal(cn, "Test CA");
	assert_true(tls_cert_matches(reversed.cert, reversed.key, NULL));
	assert_int_equal(tls_cert_subject(reversed.cert, oid, 3, 0, cn, 64), 8);
	assert_string_equal(cn, "CN chain");
	assert_int_equal(tls_cert_subject(reversed.cert, oid, 3, 0, cn, 8), 0);
	assert_int_equal(
	    tls_cert_subject(reversed.cert, oid, 2, 0, cn, 64), -1);
	/* 2020-01-01, 2049-01-01 */
	assert_int_equal(tls_cert_not_before(id.cert), 1577836800);
	assert_int_equal(tls_cert_not_after(id.cert), INT64_C(2493072000));
	assert_true(tls_key_is_p256(id.key));
	ident_free(&id);
	ident_free(&other);
	ident_free(&reversed);
	/* A leap day and the end of a year. */
	id = ident("leap.pem", "rsa.key");
	assert_int_equal(tls_cert_not_before(id.cert), 1709164800);
	assert_int_equal(tls_cert_not_after(id.cert), INT64_C(2493072000));
	assert_false(tls_key_is_p256(id.key));
	assert_true(tls_cert_has_ext(
	    id.cert, (const unsigned char *)"\x55\x1d\x25", 3));
	assert_false(tls_cert_has_ext(
	    id.cert, (const unsigned char *)"\x55\x1d\x26", 3));
	ident_free(&id);
}

static void hex(const unsigned char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
}

static void test_digests(void **state)
{
	unsigned char d[32], e[32] = { 0 };
	char out[65];

	(void)state;
	tls_md5("INBOX", 5, d);
	hex(d, 16, out);
	assert_string_equal(out, "7e33429f656f1e6e9d79b29c3f82c57e");
	tls_sha256("abc", 3, d);
	hex(d, 32, out);
	assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223"
				 "b00361a396177a9cb410ff61f20015ad");
	tls_rng(NULL, d, 32);
	assert_memory_not_equal(d, e, 32);
	tls_rng(NULL, e, 32);
	assert_memory_not_equal(d, e, 32);
}

static void test_version(void **state)
{
	(void)state;
	assert_memory_equal(tls_version(), "mbedTLS ", 8);
	assert_true(strchr(tls_version() + 8, '.') != NULL);
}

static const struct {
	const char *name, *key, *subj, *issuer, *ext, *from, *to;
} servers[] = {
	{ "rsa", NULL, "/CN=CN rsa", "ca", EXT_SERVER, PKI_FROM, PKI_TO },
	{ "p256", NULL, "/CN=CN p256", "ca", EXT_SERVER, PKI_FROM, PKI_TO },
	{ "p384", NULL, "/CN=CN p384", "ca", EXT_SERVER, PKI_FROM, PKI_TO },
	{ "self", "p256", "/CN=CN self", "self", EXT_SERVER, PKI_FROM, PKI_TO },
	{ "leafonly", "p256", "/CN=CN chain", "middle", EXT_SERVER, PKI_FROM,
	    PKI_TO },
	{ "forged", "p256", "/CN=CN forged", "fake", EXT_SERVER, PKI_FROM,
	    PKI_TO },
	{ "cnonly", "p256", "/CN=push.test", "ca",
	    "extendedKeyUsage=serverAuth", PKI_FROM, PKI_TO },
	{ "cnaddress", "p256", "/CN=127.0.0.1", "ca",
	    "subjectAltName=DNS:127.0.0.1", PKI_FROM, PKI_TO },
	{ "expired", "p256", "/CN=CN expired", "ca", EXT_SERVER, PKI_FROM,
	    "20210203" },
	{ "future", "p256", "/CN=CN future", "ca", EXT_SERVER, "20480101",
	    PKI_TO },
	{ "rsa1024", NULL, "/CN=CN rsa1024", "ca", EXT_SERVER, PKI_FROM,
	    PKI_TO },
	{ "clientonly", "p256", "/CN=CN clientonly", "ca",
	    "subjectAltName=DNS:push.test\\n"
	    "extendedKeyUsage=clientAuth",
	    PKI_FROM, PKI_TO },
	{ "client", "rsa", "/CN=CN client", "ca", "extendedKeyUsage=clientAuth",
	    PKI_FROM, PKI_TO },
	{ "ecclient", "p256", "/CN=CN client", "ca",
	    "extendedKeyUsage=clientAuth", PKI_FROM, PKI_TO },
	{ "oldclient", "p256", "/CN=CN old", "ca",
	    "extendedKeyUsage=clientAuth", PKI_FROM, "20210203" },
	{ "leap", "rsa", "/CN=CN leap", "ca", "extendedKeyUsage=clientAuth",
	    "20240229", PKI_TO },
};

static void make_servers(void)
{
	size_t i;

	for (i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		if (servers[i].key != NULL)
			sh("cp %s.key %s.key", servers[i].key, servers[i].name);
		pki_cert(servers[i].name, servers[i].subj, servers[i].issuer,
		    servers[i].ext, servers[i].from, servers[i].to);
	}
}

static int setup(void **state)
{
	(void)state;
	pki_open();
	pki_key("ca", "P-256");
	pki_cert("ca", "/CN=Test CA", "ca", PKI_CA_EXT, PKI_FROM, PKI_TO);
	pki_key("other", "P-256");
	pki_cert(
	    "other", "/CN=Other CA", "other", PKI_CA_EXT, PKI_FROM, PKI_TO);
	pki_key("fake", "P-256");
	pki_cert("fake", "/CN=Test CA", "fake", PKI_CA_EXT, PKI_FROM, PKI_TO);
	pki_key("middle", "P-256");
	pki_cert("middle", "/CN=Middle CA", "ca", PKI_CA_EXT, PKI_FROM, PKI_TO);
	pki_key("rsa", "rsa:2048");
	pki_key("rsa1024", "rsa:1024");
	pki_key("p256", "P-256");
	pki_key("p384", "P-384");
	make_servers();
	sh("cp leafonly.key chain.key; cp leafonly.key fullchain.key; "
	   "cat leafonly.pem middle.pem >chain.pem; "
	   "cat leafonly.pem middle.pem ca.pem >fullchain.pem; "
	   "cat ca.pem middle.pem leafonly.pem >reversed.pem");
	sh("cp p256.key sha1.key; openssl req -new -key sha1.key -subj "
	   "'/CN=CN sha1' -out sha1.csr; printf '%%b\\n' '%s' >sha1.ext; "
	   "openssl x509 -req -sha1 -in sha1.csr -CA ca.pem -CAkey ca.key "
	   "-extfile sha1.ext -days 3000 -out sha1.pem",
	    EXT_SERVER);
	return tls_init(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_partial_write),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_outlives),
		cmocka_unit_test(test_handshake_outlives),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_resumption_dropped),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_weak),
		cmocka_unit_test(test_host_too_long),
		cmocka_unit_test(test_not_tls),
		cmocka_unit_test(test_openssl),
		cmocka_unit_test(test_openssl_refuses),
		cmocka_unit_test(test_client_certificate),
		cmocka_unit_test(test_openssl_client),
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_anchor),
		cmocka_unit_test(test_ca_file),
		cmocka_unit_test(test_leaf_choice),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_version),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, pki_teardown);
}
