/* daemon/reach.h - who can reach a listener, and whether the configuration
 * allows that. */
#ifndef REACH_H
#define REACH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "log.h"

struct conf;

union reach_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage any;
};

#define REACH_ADDR_MAX 112 /* an address, or the path of a Unix socket */

/* An address as it is written in the configuration, perhaps with a zone. */
bool reach_parse(const char *text, union reach_addr *u);
bool reach_is_loopback(const union reach_addr *u);
/* tlsListenAddr, or its default. */
const char *reach_tls_addr(const struct conf *c);

/* Whether `where`, which other machines can reach, may be open.  A client that
 * can register cannot read anything, but can make us push: that takes a
 * password, and the password takes TLS.  -1 with err set. */
int reach_check(const struct conf *c, const char *key, const char *where,
    bool is_tls, char err[ERR_MAX]);
/* What the text of the configuration alone shows, that of its addresses
 * included: -1 with err set. */
int reach_check_text(const struct conf *c, char err[ERR_MAX]);

#endif
