/* api.h - what Dovecot asks: decode, validate, answer.  POST /register, POST
 * /notify, the stock ox driver's path, the first generation's lines, /healthz,
 * /status and /metrics; and what the command line asks, below /admin/. */
#ifndef API_H
#define API_H

#include "http.h"

struct api;
struct conf;
struct cred;
struct loop;
struct push_queue;
struct store;

/* Everything is borrowed.  Takes the store's on_dirty: what is queued there is
 * synced once after the events at hand, whoever queued it. */
struct api *api_new(struct loop *l, const struct conf *conf,
    struct store *store, struct push_queue *queue, const struct cred *cred);
/* Replies that wait for the disk are lost: quiesce before. */
void api_free(struct api *a);

/* The http_server's handler; arg is the struct api. */
void api_handle(
    struct http_conn *conn, const struct http_request *req, void *arg);

/* The same for its lines. */
void api_handle_line(
    struct http_conn *conn, const struct http_line *line, void *arg);
/* Goes on with other credentials. */
void api_set_cred(struct api *a, const struct cred *cred);
/* For the count of clients in the status; may be NULL. */
void api_set_server(struct api *a, const struct http_server *server);

/* User and password were changed in the configuration. */
void api_set_password(struct api *a);

/* Logs the status (SIGUSR1). */
void api_log_status(struct api *a);

/* Writes what is queued in the store and answers who waits for it. */
void api_sync(struct api *a);

#endif
