/* api.h - what Dovecot asks: decode, validate, answer.  POST /register, POST
 * /notify, the stock ox driver's path, /healthz and /status. */
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

/* Writes what is queued in the store and answers who waits for it. */
void api_sync(struct api *a);

#endif
