/* io.c - one non-blocking stream: connect or accept, plain or TLS. */
#include "io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "io/proxy.h"
#include "loop.h"
#include "mem.h"
#include "tls.h"

/* Ceilings until the owner sets its own. */
#define DEFAULT_MAX (64 * 1024)

/* Bytes read at once: a TLS record. */
#define READ_CHUNK 16384
/* First read of what may be a short answer or request: most streams never need
 * more, and keep no more while they are idle. */
#define READ_SMALL 1024

/* Bytes read from one stream before the others get their turn. */
#define READ_TURN (128 * 1024)

/* io_finish(): how long, and how many bytes, the peer may go on sending. */
#define LINGER_MS 5000
#define LINGER_MAX (256 * 1024)

enum io_state {
	IO_S_CONNECTING,
	IO_S_PROXY, /* asked to connect us */
	IO_S_HANDSHAKE,
	IO_S_OPEN,
	IO_S_FINISHING, /* writing the rest */
	IO_S_LINGERING, /* our side is shut, waiting for theirs */
	IO_S_FAILED,
	IO_S_DEAD, /* io_close()d, freed by the loop's sweep */
};

static const char state_names[][12] = {
	[IO_S_CONNECTING] = "connecting",
	[IO_S_PROXY] = "proxy",
	[IO_S_HANDSHAKE] = "handshake",
	[IO_S_OPEN] = "open",
	[IO_S_FINISHING] = "finishing",
	[IO_S_LINGERING] = "lingering",
	[IO_S_FAILED] = "failed",
	[IO_S_DEAD] = "dead",
};

struct io {
	struct loop *loop;
	io_cb *cb;
	void *arg;
	enum io_state state;   /* changed only by io_set_state() */
	enum io_state reached; /* before it failed */
	bool paused;	       /* by the owner */
	bool stalled;	       /* and bytes have come since */
	bool full;	       /* in is at its ceiling */
	bool eof;
	bool write_reads; /* TLS must read before that write goes on */
	bool want_write;  /* TLS or a full socket buffer waits for it */
	bool blocked; /* out could not be written whole: report IO_DRAINED */
	uint16_t own_port; /* 0: not asked yet */
	struct loop_fd f;
	struct loop_timer timer; /* the owner's timeout; io_finish()'s */
	struct loop_task kick;	 /* reports from the loop */
	struct buf in, out;
	size_t retry_len; /* mbedTLS wants an unfinished write repeated */
	size_t lingered;
	struct loop_orphan orphan; /* after io_finish() */
	struct io_tunnel *tunnel;  /* until the proxy has connected us */
	struct tls_ctx *tls_ctx;
	struct tls *tls;
	char *err, *peer;
	char *host; /* of a connecting stream, until it is open */
};

static void on_event(void *arg, unsigned events);

static void io_set_state(struct io *io, enum io_state to)
{
	log_trace("io: %s: %s -> %s", io_peer(io), state_names[io->state],
	    state_names[to]);
	io->state = to;
	if (to <= IO_S_OPEN)
		io->reached = to;
}

static void close_fd(struct io *io)
{
	int fd = io->f.fd;

	tls_free(io->tls);
	io->tls = NULL;
	io->retry_len = 0;
	if (fd < 0)
		return;
	loop_fd_del(io->loop, &io->f);
	close(fd);
}

static void io_free(void *p)
{
	struct io *io = p;

	buf_free(&io->in);
	buf_free(&io->out);
	io_tunnel_free(io->tunnel);
	free(io->err);
	free(io->peer);
	free(io->host);
	free(io);
}

void io_close(struct io *io)
{
	if (io == NULL || io->state == IO_S_DEAD)
		return;
	if (io->state == IO_S_FINISHING || io->state == IO_S_LINGERING)
		loop_orphan_del(&io->orphan);
	if (io->tls != NULL && io->state == IO_S_OPEN)
		tls_close_notify(io->tls);
	close_fd(io);
	loop_timer_clear(io->loop, &io->timer);
	loop_task_cancel(io->loop, &io->kick);
	io_set_state(io, IO_S_DEAD);
	loop_defer_free(io->loop, io, io_free);
}

/* Calls the owner; false if the stream is gone afterwards. */
static bool report(struct io *io, enum io_event event)
{
	io->cb(io, event, io->arg);
	return io->state != IO_S_DEAD;
}

/* The failure is reported from the loop, wherever it was found. */
static void fail(struct io *io, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void fail(struct io *io, const char *fmt, ...)
{
	char err[ERR_MAX];
	va_list ap;

	if (io->state >= IO_S_FAILED)
		return;
	va_start(ap, fmt);
	vsnprintf(err, sizeof(err), fmt, ap);
	va_end(ap);
	free(io->err);
	io->err = xstrdup(err);
	if (io->state == IO_S_FINISHING || io->state == IO_S_LINGERING) {
		io_close(io);
		return;
	}
	close_fd(io);
	io_set_state(io, IO_S_FAILED);
	loop_task_queue(io->loop, &io->kick);
}

/* What an unfinished write waits for. */
static unsigned write_event(const struct io *io)
{
	return io->write_reads ? LOOP_READ : LOOP_WRITE;
}

static void update_interest(struct io *io)
{
	unsigned events = 0;

	if (io->f.fd < 0)
		return;
	switch (io->state) {
	case IO_S_CONNECTING:
		events = LOOP_WRITE;
		break;
	case IO_S_PROXY:
		events = LOOP_READ;
		if (io->tunnel->sent < io->tunnel->len)
			events |= LOOP_WRITE;
		break;
	case IO_S_HANDSHAKE:
		events = io->want_write ? LOOP_WRITE : LOOP_READ;
		break;
	case IO_S_OPEN:
		if (!io->stalled && !io->full && !io->eof)
			events |= LOOP_READ;
		if (io->want_write)
			events |= write_event(io);
		break;
	case IO_S_FINISHING:
		events = write_event(io);
		break;
	case IO_S_LINGERING:
		events = LOOP_READ;
		break;
	default:
		break;
	}
	loop_fd_mod(io->loop, &io->f, events);
}

/* --- bytes --- */

static enum tls_status raw_read(
    struct io *io, unsigned char *p, size_t n, size_t *done_r)
{
	ssize_t r;

	*done_r = 0;
	if (io->tls != NULL)
		return tls_read(io->tls, p, n, done_r);
	do
		r = recv(io->f.fd, p, n, 0);
	while (r < 0 && errno == EINTR);
	if (r > 0) {
		*done_r = (size_t)r;
		return TLS_OK;
	}
	if (r == 0)
		return TLS_EOF;
	return errno == EAGAIN ? TLS_WANT_READ : TLS_FAILED;
}

static enum tls_status raw_write(
    struct io *io, const unsigned char *p, size_t n, size_t *done_r)
{
	ssize_t r;

	*done_r = 0;
	if (io->tls != NULL)
		return tls_write(io->tls, p, n, done_r);
	do
		r = send(io->f.fd, p, n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r >= 0) {
		*done_r = (size_t)r;
		return TLS_OK;
	}
	return errno == EAGAIN ? TLS_WANT_WRITE : TLS_FAILED;
}

static void fail_stream(struct io *io)
{
	if (io->tls != NULL)
		fail(io, "%s", tls_error(io->tls));
	else
		fail(io, "connection lost: %s", err_words(errno));
}

/* Reads up to one turn into io->in.  Returns how many bytes were read. */
static size_t read_turn(struct io *io)
{
	size_t before = io->in.len, space, got;
	enum tls_status st = TLS_OK;
	unsigned char *p;

	while (st == TLS_OK && io->in.len - before < READ_TURN) {
		space = io->in.max - io->in.len;
		if (space == 0) {
			io->full = true;
			break;
		}
		if (space > READ_CHUNK)
			space = READ_CHUNK;
		if (io->in.len == 0 && io->in.cap <= READ_SMALL &&
		    space > READ_SMALL)
			space = READ_SMALL;
		p = buf_reserve(&io->in, space);
		st = raw_read(io, p, space, &got);
		buf_added(&io->in, got);
		/* A short read has emptied the socket: another one would find
		 * nothing. */
		if (st == TLS_OK && got < space &&
		    (io->tls == NULL || tls_drained(io->tls)))
			break;
	}
	if (st == TLS_EOF)
		io->eof = true;
	else if (st == TLS_FAILED)
		fail_stream(io);
	else if (st == TLS_OK && io->tls != NULL && !io->full &&
		 tls_pending(io->tls))
		loop_task_queue(io->loop, &io->kick);
	return io->in.len - before;
}

static void do_read(struct io *io)
{
	bool was_eof = io->eof;
	size_t got;

	if (io->paused || io->full || io->eof)
		return;
	got = read_turn(io);
	if (io->in.len == 0)
		buf_free(&io->in);
	/* After a failure, what arrived before it is still reported. */
	if (got > 0 && !report(io, IO_DATA))
		return;
	/* Space for much is kept only while much comes. */
	if (got <= READ_SMALL && io->in.len == 0 && io->in.cap > READ_SMALL)
		buf_free(&io->in);
	if (io->state == IO_S_OPEN && io->eof && !was_eof &&
	    !report(io, IO_EOF))
		return;
	update_interest(io);
}

/* Writes what the kernel takes. */
static void write_out(struct io *io)
{
	enum tls_status st = TLS_OK;
	size_t n, done;

	while (st == TLS_OK && (io->out.len > 0 || io->retry_len > 0)) {
		n = io->retry_len ? io->retry_len : io->out.len;
		st = raw_write(io, buf_head(&io->out), n, &done);
		io->retry_len =
		    st == TLS_WANT_WRITE || st == TLS_WANT_READ ? n : 0;
		buf_consume(&io->out, done);
	}
	if (st == TLS_FAILED || st == TLS_EOF) {
		fail_stream(io);
		return;
	}
	io->want_write = st != TLS_OK;
	io->write_reads = st == TLS_WANT_READ;
	if (io->want_write)
		io->blocked = true;
}

void io_flush(struct io *io)
{
	if (io->state != IO_S_OPEN || io->want_write)
		return;
	write_out(io);
	update_interest(io);
}

/* --- opening --- */

static void opened(struct io *io)
{
	free(io->host);
	io->host = NULL;
	io->want_write = false;
	io_set_state(io, IO_S_OPEN);
	update_interest(io);
	if (!report(io, IO_OPEN) || io->state != IO_S_OPEN)
		return;
	io_flush(io);
	/* Early bytes may have been read together with the handshake. */
	if (io->state == IO_S_OPEN && io->tls != NULL && tls_pending(io->tls))
		loop_task_queue(io->loop, &io->kick);
}

static void handshake_step(struct io *io)
{
	enum tls_status st = tls_handshake(io->tls);

	switch (st) {
	case TLS_OK:
		opened(io);
		return;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		io->want_write = st == TLS_WANT_WRITE;
		update_interest(io);
		return;
	case TLS_EOF:
	case TLS_FAILED:
		fail(io, "%s", tls_error(io->tls));
		return;
	}
}

static void transport_up(struct io *io)
{
	char err[ERR_MAX];

	if (io->tls_ctx == NULL) {
		opened(io);
		return;
	}
	io->tls = tls_open(io->tls_ctx, io->f.fd, io->host, err);
	if (io->tls == NULL) {
		fail(io, "%s", err);
		return;
	}
	io_set_state(io, IO_S_HANDSHAKE);
	handshake_step(io);
}

static void describe_peer(struct io *io, const struct io_addr *a)
{
	bool ip4 = a->sa.sa_family == AF_INET;
	const void *bytes =
	    ip4 ? (const void *)&a->in4.sin_addr : &a->in6.sin6_addr;
	char addr[INET6_ADDRSTRLEN] = "?", text[INET6_ADDRSTRLEN + 32];

	inet_ntop(a->sa.sa_family, bytes, addr, sizeof(addr));
	snprintf(text, sizeof(text), "%s%s port %d",
	    io->tunnel != NULL ? "proxy " : "", addr,
	    ntohs(ip4 ? a->in4.sin_port : a->in6.sin6_port));
	io->peer = xstrdup(text);
}

/* 0 if under way, -1 with errno. */
static int start_connect(struct io *io, const struct io_addr *a)
{
	socklen_t len =
	    a->sa.sa_family == AF_INET ? sizeof(a->in4) : sizeof(a->in6);
	int fd, one = 1, saved;

	fd = socket(
	    a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((connect(fd, &a->sa, len) < 0 && errno != EINPROGRESS) ||
	    loop_fd_add(io->loop, &io->f, fd, LOOP_WRITE, on_event, io) < 0) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return 0;
}

static void fail_connect(struct io *io, int error)
{
	if (io->tunnel != NULL)
		fail(io, "cannot connect to the %s: %s", io_peer(io),
		    err_words(error));
	else
		fail(io, "cannot connect to %s (%s): %s", io->host, io_peer(io),
		    err_words(error));
}

/* Peeks, and takes only what is the proxy's: what follows is for TLS. */
static enum io_tunnel_state read_tunnel(struct io *io, char err[ERR_MAX])
{
	enum io_tunnel_state st = IO_TUNNEL_MORE;
	char p[512];
	size_t used;
	ssize_t r;

	while (st == IO_TUNNEL_MORE) {
		r = recv(io->f.fd, p, sizeof(p), MSG_PEEK);
		if (r < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (r < 0) {
			err_set(err, "it broke the connection: %s",
			    err_words(errno));
			return IO_TUNNEL_REFUSED;
		}
		st = io_tunnel_feed(io->tunnel, p, (size_t)r, &used, err);
		recv(io->f.fd, p, used, 0);
	}
	return st;
}

static void tunnel_step(struct io *io)
{
	struct io_tunnel *t = io->tunnel;
	char err[ERR_MAX];
	ssize_t r;

	if (t->sent < t->len) {
		r = send(io->f.fd, t->request + t->sent, t->len - t->sent,
		    MSG_NOSIGNAL);
		if (r > 0) /* if not, reading says why */
			t->sent += (size_t)r;
	}
	switch (read_tunnel(io, err)) {
	case IO_TUNNEL_MORE:
		update_interest(io);
		break;
	case IO_TUNNEL_REFUSED:
		fail(io, "%s: %s", io_peer(io), err);
		break;
	case IO_TUNNEL_OPEN:
		io_tunnel_free(t);
		io->tunnel = NULL;
		transport_up(io);
		break;
	}
}

static void connect_done(struct io *io)
{
	int soerr = 0;
	socklen_t len = sizeof(soerr);

	if (getsockopt(io->f.fd, SOL_SOCKET, SO_ERROR, &soerr, &len) < 0)
		soerr = errno;
	if (soerr != 0)
		fail_connect(io, soerr);
	else if (io->tunnel == NULL) {
		transport_up(io);
	} else {
		io_set_state(io, IO_S_PROXY);
		tunnel_step(io);
	}
}

/* --- finishing --- */

static void linger_step(struct io *io)
{
	unsigned char trash[2048];
	ssize_t r;

	/* Below TLS: what the peer still sends does not matter. */
	while ((r = recv(io->f.fd, trash, sizeof(trash), 0)) > 0) {
		io->lingered += (size_t)r;
		if (io->lingered > LINGER_MAX)
			break;
	}
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	io_close(io);
}

static void finish_step(struct io *io)
{
	write_out(io); /* on failure: closed */
	if (io->state != IO_S_FINISHING || io->want_write)
		return;
	if (io->tls != NULL)
		tls_close_notify(io->tls);
	shutdown(io->f.fd, SHUT_WR);
	io_set_state(io, IO_S_LINGERING);
	update_interest(io);
	linger_step(io);
}

static void end_finishing(void *arg)
{
	io_close(arg);
}

void io_finish(struct io *io)
{
	if (io == NULL || io->state >= IO_S_FINISHING) {
		if (io != NULL && io->state == IO_S_FAILED)
			io_close(io);
		return;
	}
	if (io->state != IO_S_OPEN) {
		io_close(io);
		return;
	}
	io_set_state(io, IO_S_FINISHING);
	loop_adopt(io->loop, &io->orphan, end_finishing, io);
	buf_free(&io->in);
	io->want_write = false;
	loop_timer_set(io->loop, &io->timer, LINGER_MS);
	update_interest(io);
	finish_step(io);
}

/* --- events --- */

static void on_open_event(struct io *io, unsigned events)
{
	if (io->want_write && events & write_event(io)) {
		io->want_write = false;
		write_out(io);
		if (io->state == IO_S_OPEN && !io->want_write && io->blocked) {
			io->blocked = false;
			if (!report(io, IO_DRAINED))
				return;
		}
	}
	if (events & LOOP_READ)
		io->stalled = io->paused;
	if (io->state == IO_S_OPEN && events & (LOOP_READ | LOOP_HUP))
		do_read(io);
	if (io->state != IO_S_OPEN)
		return;
	/* Both directions are shut while we do not read: no other event
	 * comes. */
	if (events & LOOP_HUP && (io->paused || io->full || io->eof))
		fail(io, "connection closed by the peer");
	else
		update_interest(io);
}

static void on_event(void *arg, unsigned events)
{
	struct io *io = arg;

	switch (io->state) {
	case IO_S_CONNECTING:
		connect_done(io);
		break;
	case IO_S_PROXY:
		tunnel_step(io);
		break;
	case IO_S_HANDSHAKE:
		handshake_step(io);
		break;
	case IO_S_OPEN:
		on_open_event(io, events);
		break;
	case IO_S_FINISHING:
		if (events & LOOP_HUP)
			io_close(io);
		else
			finish_step(io);
		break;
	case IO_S_LINGERING:
		linger_step(io);
		break;
	default:
		break;
	}
}

static void on_kick(void *arg)
{
	struct io *io = arg;

	if (io->state == IO_S_FAILED)
		report(io, IO_FAILED);
	else if (io->state == IO_S_OPEN)
		do_read(io);
	else if (io->state == IO_S_CONNECTING && io->host == NULL)
		transport_up(io); /* accepted */
}

static void on_timeout(void *arg)
{
	struct io *io = arg;

	if (io->state == IO_S_FINISHING || io->state == IO_S_LINGERING)
		io_close(io);
	else if (io->state != IO_S_FAILED)
		report(io, IO_TIMEOUT);
}

static struct io *io_new(
    struct loop *l, struct tls_ctx *tls, io_cb *cb, void *arg)
{
	struct io *io = xcalloc(1, sizeof(*io));

	io->loop = l;
	io->cb = cb;
	io->arg = arg;
	io->tls_ctx = tls;
	io->f.fd = -1;
	buf_init(&io->in, DEFAULT_MAX);
	buf_init(&io->out, DEFAULT_MAX);
	loop_timer_init(&io->timer, on_timeout, io);
	loop_task_init(&io->kick, on_kick, io);
	return io;
}

struct io *io_connect(struct loop *l, const struct io_addr *addr,
    const struct io_target *to, struct tls_ctx *tls, io_cb *cb, void *arg)
{
	struct io *io = io_new(l, tls, cb, arg);

	io->state = IO_S_CONNECTING;
	io->host = xstrdup(to->host);
	if (to->proxy != NULL)
		io->tunnel = io_tunnel_new(to->proxy,
		    to->tunnel_to != NULL ? to->tunnel_to : to->host, to->port);
	describe_peer(io, addr);
	if (start_connect(io, addr) < 0)
		fail_connect(io, errno);
	return io;
}

struct io *io_accept(
    struct loop *l, int fd, struct tls_ctx *tls, io_cb *cb, void *arg)
{
	struct io *io = io_new(l, tls, cb, arg);

	io->state = IO_S_CONNECTING;
	if (loop_fd_add(l, &io->f, fd, 0, on_event, io) < 0) {
		close(fd);
		fail(io, "epoll: %s", err_words(errno));
	} else {
		loop_task_queue(l, &io->kick);
	}
	return io;
}

/* --- what the owner may ask --- */

void io_set_limits(struct io *io, size_t in_max, size_t out_max)
{
	io->in.max = in_max;
	io->out.max = out_max;
}

void io_keep_alive(struct io *io)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 2 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 1 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
	};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(io->f.fd, options[i].level, options[i].name,
		    &options[i].value, sizeof(options[i].value));
}

void io_set_timeout(struct io *io, int64_t timeout_ms)
{
	if (io->state >= IO_S_FINISHING)
		return;
	if (timeout_ms < 0)
		loop_timer_clear(io->loop, &io->timer);
	else
		loop_timer_set(io->loop, &io->timer, timeout_ms);
}

/* The loop keeps watching until bytes arrive: in most pauses none do, which
 * saves two system calls. */
void io_pause(struct io *io)
{
	io->paused = true;
}

void io_resume(struct io *io)
{
	io->paused = false;
	io->stalled = false;
	if (io->in.len < io->in.max)
		io->full = false;
	if (io->state != IO_S_OPEN)
		return;
	if (io->tls != NULL && tls_pending(io->tls))
		loop_task_queue(io->loop, &io->kick);
	update_interest(io);
}

struct buf *io_in(struct io *io)
{
	return &io->in;
}

struct buf *io_out(struct io *io)
{
	return &io->out;
}

enum io_stage io_stage(const struct io *io)
{
	return io->reached < IO_S_HANDSHAKE ? (enum io_stage)io->reached
					    : IO_STAGE_TLS;
}

const char *io_error(const struct io *io)
{
	return io->err != NULL ? io->err : "";
}

const char *io_peer(const struct io *io)
{
	return io->peer != NULL ? io->peer : "accepted";
}

const struct tls *io_tls(const struct io *io)
{
	return io->tls;
}

void io_trim(struct io *io)
{
	if (io->in.len == 0)
		buf_free(&io->in);
	if (io->out.len == 0)
		buf_free(&io->out);
}

bool io_has_input(const struct io *io)
{
	struct pollfd p = { .fd = io->f.fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* --- addresses --- */

bool io_get_address(const struct io *io, bool of_peer, struct io_address *a_r)
{
	struct io_addr addr = { 0 };
	socklen_t len = sizeof(addr);

	if ((of_peer ? getpeername(io->f.fd, &addr.sa, &len)
		     : getsockname(io->f.fd, &addr.sa, &len)) < 0)
		return false;
	io_addr_ip(&addr, a_r->ip);
	a_r->port = io_addr_port(&addr);
	return addr.sa.sa_family == AF_INET || addr.sa.sa_family == AF_INET6;
}

int io_own_port(struct io *io)
{
	struct io_address own;

	if (io->own_port == 0 && io_get_address(io, false, &own))
		io->own_port = (uint16_t)own.port;
	return io->own_port;
}
