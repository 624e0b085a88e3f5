/* api.h - what Dovecot asks: decode, validate, answer.  POST /register, POST
 * /notify, the stock ox driver's path, the first generation's lines, /healthz,
 * /status and /metrics; and what the command line asks, below /admin/. */
#ifndef API_H
#define API_H

#include "http.h"

struct api;
struct commit;
struct conf;
struct cred;
struct loop;
struct push_queue;
struct shared;
struct store;

/* Everything is borrowed. */
struct api *api_new(struct loop *l, const struct conf *conf,
    struct store *store, struct commit *commit, struct push_queue *queue,
    const struct cred *cred);
/* No reply may wait for the disk any more: call commit_sync() before. */
void api_free(struct api *a);

/* Handles a request to the http_server; arg is the struct api. */
void api_handle(
    struct http_conn *conn, const struct http_request *req, void *arg);

/* Handles a line of the first-generation plugin. */
void api_handle_line(
    struct http_conn *conn, const struct http_line *line, void *arg);
/* Continues with other credentials. */
void api_set_cred(struct api *a, const struct cred *cred);
/* For the status; NULL: sharedStore is not set. */
void api_set_shared(struct api *a, const struct shared *shared);
/* For the count of clients in the status; may be NULL. */
void api_set_server(struct api *a, const struct http_server *server);

/* Takes user and password from the configuration, after it was read again. */
void api_set_password(struct api *a);

/* Logs the status (SIGUSR1). */
void api_log_status(struct api *a);

#endif
