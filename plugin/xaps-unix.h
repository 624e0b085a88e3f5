#ifndef XAPS_UNIX_H
#define XAPS_UNIX_H

/* One HTTP request over a Unix socket.  lib-http can do that too, but panics
   when the daemon restarts between its connect() and its request: the first
   connection is lost, the second refused, and
   http_client_queue_is_last_connect_ip() knows no Unix sockets (2.3, 2.4). */

#include "http-response.h"

struct xaps_unix;

/* Called once, from the ioloop, also for what went wrong (status 9000 and up,
   as of lib-http).  The payload is read by the callee. */
typedef void xaps_unix_callback_t(
    const struct http_response *response, void *context);

/* timeout_msecs: from when the daemon has read the request until the header of
   the answer is complete.  If patient, the time before does not count: then the
   daemon restarts, and systemd holds its socket meanwhile. */
struct xaps_unix *xaps_unix_post(const char *socket_path, const char *path,
    const char *json, unsigned int timeout_msecs, bool patient,
    xaps_unix_callback_t *callback, void *context);
/* The request is in the socket, from where the daemon reads it even when this
   process has ended. */
bool xaps_unix_is_sent(const struct xaps_unix *un);
/* Puts a request into the socket and does not wait for the answer. */
bool xaps_unix_leave(
    const char *socket_path, const char *path, const char *json);
/* Also once it is answered and the payload's reference is given up. */
void xaps_unix_free(struct xaps_unix **un);
void xaps_unix_switch_ioloop(struct xaps_unix *un);

#endif
