/* io.h - one non-blocking stream: connect (the resolver never blocks the loop)
 * or accept, plain or TLS, with an input and an output buffer.
 *
 * The owner reads from io_in() and consumes, adds to io_out() and calls
 * io_flush().  Events come from the loop, never from within io_flush(): an
 * error that it finds is reported from the loop.  io_close() may be called
 * anywhere; the memory goes after the events at hand. */
#ifndef IO_H
#define IO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "log.h"

struct buf;
struct io;
struct io_guard;
struct loop;
struct tls_ctx;
struct tls;

#define IO_IP_MAX 46 /* characters of an address and a NUL */

enum io_event {
	IO_OPEN,    /* connected or accepted, TLS handshake done */
	IO_DATA,    /* io_in() has more bytes */
	IO_DRAINED, /* io_out() ran empty after it could not be written whole */
	IO_EOF,	    /* the peer will send no more; we may still write */
	IO_TIMEOUT, /* io_set_timeout() ran out (one shot) */
	IO_FAILED,  /* the stream is broken: io_error() says why */
};

typedef void io_cb(struct io *io, enum io_event event, void *arg);

struct io_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
};

/* An HTTP proxy that connects us to others by CONNECT (RFC 9110 9.3.6), with
 * Basic authentication if its URL has a user: "http://[user[:password]@]host:port",
 * user and password percent-encoded.  NULL with err: what is wrong and what to
 * do, without the URL, which may hold a password. */
struct io_proxy;
struct io_proxy *io_proxy_new(const char *url, char err[ERR_MAX]);
void io_proxy_free(struct io_proxy *p);
/* host:port as in the URL. */
const char *io_proxy_name(const struct io_proxy *p);

/* Whom to reach, and how. */
struct io_target {
	const char *host; /* name or address; brackets allowed for dialling */
	int port;
	const struct io_proxy *proxy; /* NULL: directly.  Else host is not
				       * looked up here: the proxy does it. */
	/* NULL: the host is the administrator's.  Else a user's: only what
	 * this allows is connected to. */
	const struct io_guard *guard;
	/* What io_dialer_tunnel_to() says, for io_connect(): the address that
	 * the proxy is asked for.  NULL: the host. */
	const char *tunnel_to;
};

/* Connects to one of the target's (or its proxy's) addresses.  The target's host
 * is for TLS's name check, for messages, and for the proxy; all of it is
 * borrowed for the call only.  tls NULL: plain.  Never fails at once: IO_FAILED
 * follows. */
struct io *io_connect(struct loop *l, const struct io_addr *addr,
    const struct io_target *to, struct tls_ctx *tls, io_cb *cb, void *arg);
/* How far connecting has come, also of a stream that has failed. */
enum io_stage {
	IO_STAGE_TCP,
	IO_STAGE_PROXY,
	IO_STAGE_TLS, /* or open */
};
enum io_stage io_stage(const struct io *io);
/* For an accepted socket; takes ownership of the fd. */
struct io *io_accept(
    struct loop *l, int fd, struct tls_ctx *tls, io_cb *cb, void *arg);
/* Closes at once, no event follows; NULL is fine. */
void io_close(struct io *io);
/* Writes what is left (for at most 5 s, and until loop_free()), then closes; no
 * event follows. */
void io_finish(struct io *io);

/* in_max: ceiling of io_in(): when it is full the peer has to wait until the
 * owner consumes and calls io_resume().  Set in the owner's IO_OPEN or
 * before. */
void io_set_limits(struct io *io, size_t in_max, size_t out_max);
/* For an owner who mostly listens: the kernel asks the peer after 2 s of silence
 * whether it is still there, and IO_FAILED follows within 5 s if it is not. */
void io_keep_alive(struct io *io);
/* Replaces the running timeout; -1 clears it. */
void io_set_timeout(struct io *io, int64_t timeout_ms);
/* Stop reading (back-pressure, or while an answer is awaited), and continue. */
void io_pause(struct io *io);
void io_resume(struct io *io);

struct buf *io_in(struct io *io);
struct buf *io_out(struct io *io);
/* Writes now what the kernel takes and arms the loop for the rest. */
void io_flush(struct io *io);

const char *io_error(const struct io *io);
/* Where it is connected to: "17.188.1.2 port 443", or "proxy 10.1.2.3 port
 * 3128", or the Unix socket. */
const char *io_peer(const struct io *io);
/* NULL if plain. */
const struct tls *io_tls(const struct io *io);
/* Whether the kernel has bytes to be read. */
bool io_has_input(const struct io *io);
/* Of a TCP connection; IPv4 as ::ffff:1.2.3.4. */
struct io_address {
	unsigned char ip[16];
	int port;
};
/* Our own address, or the peer's; false if there is none. */
bool io_get_address(const struct io *io, bool of_peer, struct io_address *a_r);
/* Our own port, asked of the kernel once; 0 if there is none. */
int io_own_port(struct io *io);
/* An address as people write it, without brackets; false if it is none.  *ip_r
 * as above. */
bool io_parse_ip(const char *text, unsigned char ip_r[16]);
void io_addr_ip(const struct io_addr *addr, unsigned char ip_r[16]);
int io_addr_port(const struct io_addr *addr);
/* Returns out. */
const char *io_format_ip(const unsigned char ip[16], char out[IO_IP_MAX]);
/* Frees the buffers' memory if they are empty (idle connections). */
void io_trim(struct io *io);

/* Where users may make us connect to: to the internet, and to what pushAllow lists.
 * Not to this machine, whatever addresses it has at that moment, its network, and
 * what else is not an address of the internet (IANA's special-purpose registries).
 *
 * allow: names, "*.example.org" for all below one, addresses and networks
 * ("192.168.1.0/24"), each perhaps with ":port", separated by spaces; NULL: none.
 * A name is enough, whatever addresses it has, and so is an address. */
struct io_guard *io_guard_new(const char *allow, char err[ERR_MAX]);
/* From now on another list.  -1 with err: what is wrong; the old one stays. */
int io_guard_set(struct io_guard *g, const char *allow, char err[ERR_MAX]);
/* NULL is fine. */
void io_guard_free(struct io_guard *g);
/* NULL: it may be connected to, being an address of this host's, with the port.  Else
 * what it is: "a private network", "this machine".  g may be NULL: anywhere. */
const char *io_guard_refuses(
    const struct io_guard *g, const char *host, const struct io_addr *addr);
/* That as a sentence. */
void io_guard_explain(const char *host, const char *what, char err[ERR_MAX]);
/* Whether pushAllow has the name, or the address that the host is. */
bool io_guard_lists(const struct io_guard *g, const char *host, int port);
/* What the text of a URL's host alone shows, without a lookup.  0, or -1 with err:
 * a sentence for the user. */
int io_guard_check_host(
    const struct io_guard *g, const char *host, int port, char err[ERR_MAX]);

enum io_guard_found {
	IO_GUARD_OUTSIDE, /* all its addresses are allowed */
	IO_GUARD_INSIDE,  /* one is not: why is a sentence for the user */
	IO_GUARD_UNKNOWN, /* not found in 3 s: why; judged when we connect */
};
typedef void io_guard_cb(void *arg, enum io_guard_found found, const char *why);
/* Looks up where a host (checked by the above) leads now.  Calls cb once, from the
 * loop.  g is borrowed until then. */
struct io_guard_lookup;
struct io_guard_lookup *io_guard_lookup(struct loop *l,
    const struct io_guard *g, const char *host, int port, io_guard_cb *cb,
    void *arg);
/* Before cb was called: no callback follows.  NULL is fine. */
void io_guard_cancel(struct io_guard_lookup *lo);

/* The addresses of a host, in rounds of overlapping attempts (RFC 8305):
 * families take turns, 250 ms apart or as soon as one fails, 8 under way at
 * once, at most 16 in a round.  The owner decides what works, as TCP and TLS
 * may not be enough: the last address that worked is tried first, those that
 * have failed since then last.  Between rounds nothing runs except a lookup
 * that has not ended yet. */
struct io_dialer;
struct io_dialer_ops {
	/* Tries an address; each attempt ends with io_dialer_failed() or
	 * io_dialer_succeeded(), but never within this call. */
	void (*attempt)(void *arg, const struct io_addr *addr);
	/* Whether an attempt has got so far that another one would be a
	 * waste. */
	bool (*is_hopeful)(void *arg);
	/* The round is over without success.  why: the reason why no address
	 * was found; NULL: all attempts have failed or timed out. */
	void (*exhausted)(void *arg, const char *why);
};

struct io_dialer *io_dialer_new(
    struct loop *l, const struct io_dialer_ops *ops, void *arg);
void io_dialer_free(struct io_dialer *d);
/* Begins a round for the target, or its proxy if it has one; borrowed for the
 * call only.  budget_ms: time for the lookup, and as much for the attempts. */
void io_dialer_start(
    struct io_dialer *d, const struct io_target *to, int64_t budget_ms);
/* With a proxy and a guard: the host's address that was checked; else NULL.  Of the
 * current round. */
const char *io_dialer_tunnel_to(const struct io_dialer *d);
/* Ends a round without a result for the attempts under way. */
void io_dialer_stop(struct io_dialer *d);
bool io_dialer_is_running(const struct io_dialer *d);
/* Whether some addresses have not been tried yet. */
bool io_dialer_has_more(const struct io_dialer *d);
void io_dialer_failed(struct io_dialer *d, const struct io_addr *addr);
/* Ends the round. */
void io_dialer_succeeded(struct io_dialer *d, const struct io_addr *addr);

/* Listening sockets. */
struct io_listener;
typedef void io_accept_cb(struct io_listener *li, int fd, void *arg);

/* A bound and listening socket, non-blocking, close-on-exec; -1 with err and
 * errno set.  The Unix one replaces a stale socket file, but neither one that
 * a daemon listens on (EADDRINUSE) nor another file; its file is made with the
 * mode.
 * io_bind_tcp() does not listen: does the address exist, is the port free? */
int io_listen_tcp(const char *addr, int port, char err[ERR_MAX]);
int io_bind_tcp(const char *addr, int port, char err[ERR_MAX]);
int io_listen_unix(const char *path, unsigned mode, char err[ERR_MAX]);
/* Checks whether io_listen_unix() would succeed, for a path that is short
 * enough.  Changes nothing, and a process that listens there does not notice.
 * 0, or -1 with err and errno set; errno is 0 if a process listens there. */
int io_check_unix(const char *path, char err[ERR_MAX]);
/* Gives our own socket file to another user or group (-1: as it is).  Follows
 * no link and touches no other kind of file.  0, or -1 with errno set. */
int io_chown_socket(const char *path, uid_t uid, gid_t gid);
/* Passes every accepted fd (non-blocking) to cb; takes ownership of the
 * listening fd.  Out of descriptors: pauses for a moment instead of
 * spinning. */
struct io_listener *io_listen(
    struct loop *l, int fd, io_accept_cb *cb, void *arg);
/* Accepted descriptors from this number on are closed again, so that clients
 * cannot take the last ones. */
void io_listener_set_max_fd(struct io_listener *li, int n);
/* While held, new connections wait in the kernel. */
void io_listener_hold(struct io_listener *li, bool hold);
void io_listener_free(struct io_listener *li);

#endif
