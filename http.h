/* http.h - HTTP/1.1 server (RFC 9112): parse, limits, keep-alive, pipelining.
 * Knows no paths: every request goes to one handler, which answers it now or
 * later through http_reply(). */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct io;
struct loop;
struct http_server;
struct http_conn;
struct tls_ctx;

#define HTTP_HEAD_MAX 8192  /* request line and headers, bytes: else 431 */
#define HTTP_BODY_MAX 65536 /* bytes: else 413 */

/* --- the parser, without I/O --- */

#define PARSE_BAD (-1)
#define PARSE_MORE (-2)

/* A piece of the input; not terminated. */
struct http_str {
	const char *p;
	size_t len;
};

enum http_body {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_UNTIL_END, /* of the connection: answers only */
};

struct http_head {
	struct http_str method;
	struct http_str path;  /* without query; "*" only for OPTIONS */
	struct http_str query; /* after the '?'; empty without one */
	struct http_str authorization;
	struct http_str host;	    /* of the target if that names one, else of
				 * Host; p is NULL without either */
	struct http_str origin;	    /* p is NULL without one */
	struct http_str fetch_site; /* Sec-Fetch-Site; the same */
	int minor; /* HTTP/1.minor: 0 or 1 (what is higher is 1) */
	enum http_body body;
	uint64_t content_length;
	bool keep_alive;
	bool expect_continue;
	bool dated;		     /* has a Date */
	int status;		     /* on PARSE_BAD: 400, 417, 431, 501, 505 */
	const char *reason;	     /* on PARSE_BAD: a static sentence */
	struct http_str retry_after; /* of an answer */
};

/* Returns the bytes of the head with its empty line, PARSE_BAD or PARSE_MORE.
 * The pieces in head_r point into the input (or to static text). */
int http_parse_head(const char *in, size_t len, struct http_head *head_r);
/* The same of an answer, interim ones included: status is its own, and what it
 * shares with requests is set. */
int http_parse_answer(const char *in, size_t len, struct http_head *head_r);

/* The decoder's state; zero it before the first call. */
struct http_chunked {
	int state;
	uint64_t left;	 /* of the current chunk */
	size_t line_len; /* bytes of extensions and trailers: 4 KiB at most */
};

/* Decodes chunks in place: in[0..*len_r) is the body's next bytes.  Returns the
 * bytes of input used, all of them unless *done_r says that the body's end was
 * found; or PARSE_BAD.  Give it less than 2 GiB. */
int http_parse_chunks(
    struct http_chunked *c, char *in, size_t len, size_t *len_r, bool *done_r);

/* --- the server --- */

struct http_request {
	struct http_str method, path, query, authorization, host, origin;
	struct http_str fetch_site;
	const char *body; /* body[body_len] is '\0' */
	size_t body_len;
	bool over_unix; /* came over the Unix socket */
	bool over_tls;
	bool dated;    /* has a Date: few clients but Dovecot send one */
	uid_t uid;     /* of the peer of a Unix socket; HTTP_NOBODY if it is
			      * unknown */
	struct io *io; /* for its addresses and certificate */
};

#define HTTP_NOBODY ((uid_t)-1)

/* Called once per request.  Must cause exactly one http_reply() for conn, now
 * or later; the request's memory is invalid after the return. */
typedef void http_handler(
    struct http_conn *conn, const struct http_request *req, void *arg);

/* At most max_connections are open, a quarter of which is reserved for the Unix
 * socket.  When all are in use, the longest-idle one is closed for a new one,
 * or else the one whose peer has taken longest for a handshake, for sending a
 * request or for reading an answer; never one that waits for our answer. */
struct http_server *http_server_new(
    struct loop *l, size_t max_connections, http_handler *handler, void *arg);
/* Descriptors that may be open beyond max_connections: clients that are being
 * refused, or that wait for a free connection. */
#define HTTP_EXTRA_FDS 400
/* A lower limit only affects new connections. */
void http_server_set_max(
    struct http_server *s, size_t max_connections, size_t extra_fds);
/* Clients get no descriptor from this number on. */
void http_server_set_max_fd(struct http_server *s, int max_fd);
/* Takes ownership of the listening fd.  tls may be NULL. */
void http_server_listen(
    struct http_server *s, int fd, bool is_unix, struct tls_ctx *tls);
/* For new connections to listeners with TLS.  The old one may be freed after
 * this round of the loop. */
void http_server_set_tls(struct http_server *s, struct tls_ctx *tls);
/* The line protocol on the same ports: a request that begins with REGISTER or
 * NOTIFY, a space and no HTTP target is one line.  Without a handler it is
 * malformed HTTP. */
struct http_line {
	const char *text; /* without its LF or CRLF; text[len] is '\0' */
	size_t len;
	bool over_unix;
};

/* Called once per line, as http_handler is; answers by http_reply_line(). */
typedef void http_line_handler(
    struct http_conn *conn, const struct http_line *line, void *arg);
void http_server_set_lines(
    struct http_server *s, http_line_handler *handler, void *arg);
/* text is one line without its end. */
void http_reply_line(struct http_conn *conn, const char *text);

/* Stops accepting connections and requests; those that have arrived are
 * answered. */
void http_server_quiesce(struct http_server *s);
/* Whether a request has no reply yet, or was not read yet. */
bool http_server_busy(const struct http_server *s);
size_t http_server_connections(const struct http_server *s);
/* Ends all connections.  No http_reply() may follow. */
void http_server_free(struct http_server *s);

/* type: Content-Type, NULL for none.  extra: whole header lines with CRLF, or
 * NULL.  If the peer has gone, the reply is dropped. */
void http_reply(struct http_conn *conn, int status, const char *type,
    const char *extra, const void *body, size_t len);

#endif
