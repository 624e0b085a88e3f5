/* http.h - HTTP/1.1 server (RFC 9112): parse, limits, keep-alive, pipelining.
 * Knows no paths: every request goes to one handler, which answers it now or
 * later through http_reply(). */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
};

struct http_head {
	struct http_str method;
	struct http_str path;  /* of origin or absolute form, without query */
	struct http_str query; /* behind '?', may be empty */
	struct http_str authorization;
	int minor; /* HTTP/1.minor */
	enum http_body body;
	uint64_t content_length;
	bool keep_alive;
	bool expect_continue;
	int status;	    /* on PARSE_BAD: 400, 431, 501, 505 */
	const char *reason; /* on PARSE_BAD: a static sentence */
};

/* Returns the bytes of the head with its empty line, PARSE_BAD or PARSE_MORE. */
int http_parse_head(const char *in, size_t len, struct http_head *head_r);

/* State of a chunked body; zero it before the first call. */
struct http_chunked {
	int state;
	uint64_t left;
	size_t line_len;
};

/* Decodes chunks in place: in[0..*len_r) is the body's next bytes.  Returns the
 * bytes of input used, PARSE_BAD; *done_r is true behind the last trailer. */
int http_parse_chunks(
    struct http_chunked *c, char *in, size_t len, size_t *len_r, bool *done_r);

/* --- the server --- */

struct http_request {
	struct http_str method, path, query, authorization;
	const char *body; /* body[body_len] is '\0' */
	size_t body_len;
	bool over_unix; /* came through the Unix socket */
	bool over_tls;
};

/* Called once per request.  Must see to exactly one http_reply() for conn, now
 * or later; the request's memory is gone after the return. */
typedef void http_handler(
    struct http_conn *conn, const struct http_request *req, void *arg);

struct http_server *http_server_new(
    struct loop *l, size_t max_connections, http_handler *handler, void *arg);
/* Takes the listening fd over.  tls may be NULL. */
void http_server_listen(
    struct http_server *s, int fd, bool is_unix, struct tls_ctx *tls);
/* No new connections or requests; what waits for an answer stays. */
void http_server_quiesce(struct http_server *s);
/* Connections with a request that has no reply yet. */
size_t http_server_busy(const struct http_server *s);
size_t http_server_connections(const struct http_server *s);
void http_server_free(struct http_server *s);

/* type: Content-Type, NULL for none.  extra: whole header lines with CRLF, or
 * NULL.  A conn whose peer has gone swallows the reply. */
void http_reply(struct http_conn *conn, int status, const char *type,
    const char *extra, const void *body, size_t len);

/* "Not Found" for 404. */
const char *http_status_text(int status);

#endif
