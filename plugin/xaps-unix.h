#ifndef XAPS_UNIX_H
#define XAPS_UNIX_H

/* One HTTP request over a Unix socket.  lib-http can do that, too, but panics
   when the daemon restarts between connect() and the request: the first
   connection is lost, the second refused, and
   http_client_queue_is_last_connect_ip() cannot handle Unix sockets (2.3,
   2.4). */

#include "http-response.h"

struct xaps_unix;

/* Called once, from the ioloop, also on failure (with lib-http's statuses, 9000
   and up).  The callee reads the payload. */
typedef void xaps_unix_callback_t(
    const struct http_response *response, void *context);

/* json: NULL for a GET.  timeout_msecs: until the header of the answer is complete.  If patient, it
   starts only when the daemon has read the request: while the daemon restarts,
   systemd keeps its socket open. */
struct xaps_unix *xaps_unix_post(const char *socket_path, const char *path,
    const char *json, unsigned int timeout_msecs, bool patient,
    xaps_unix_callback_t *callback, void *context);
/* The request is in the socket: the daemon can read it even after this process
   has ended. */
bool xaps_unix_is_sent(const struct xaps_unix *un);
/* Calls back if the answer, or an error, is there already and that has not been
   done: for a timer that is due at the same time.  TRUE if it has. */
bool xaps_unix_has_answer(struct xaps_unix *un);
/* Puts a request into the socket and does not wait for the answer. */
bool xaps_unix_send_only(
    const char *socket_path, const char *path, const char *json);
/* At any time; after an answer, once the payload is unreferenced. */
void xaps_unix_free(struct xaps_unix **un);
void xaps_unix_switch_ioloop(struct xaps_unix *un);

#endif
