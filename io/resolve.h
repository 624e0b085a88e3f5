/* io/resolve.h - getaddrinfo() in a thread of its own, so that a slow resolver
 * never blocks the loop. */
#ifndef RESOLVE_H
#define RESOLVE_H

struct addrinfo;
struct loop;
struct resolve;

/* addrs: owned by the callee (resolve_free_addrs()); or NULL, with why. Always
 * called from the loop, never from within resolve_start(). */
typedef void resolve_cb(void *arg, struct addrinfo *addrs, const char *why);

/* host: name or address (brackets allowed).  Never fails at once.  The handle
 * is invalid once the callback is called. */
struct resolve *resolve_start(
    struct loop *l, const char *host, int port, resolve_cb *cb, void *arg);
/* No callback follows; a thread still in getaddrinfo() frees what is left. NULL
 * is fine. */
void resolve_cancel(struct resolve *r);
void resolve_free_addrs(struct addrinfo *addrs);

#endif
