/* url.h - http:// and https:// URLs (RFC 3986), split. */
#ifndef URL_H
#define URL_H

#include <stdbool.h>
#include <stddef.h>

#include "log.h"

/* Bytes of one.  The longest endpoints of push services have 500. */
#define URL_MAX 2048
#define URL_HOST_MAX 253 /* of a name (RFC 1035 2.3.4) */

struct url {
	bool tls;		     /* https */
	char host[URL_HOST_MAX + 1]; /* lower case, no dot at its end; an IPv6
				      * address has its brackets */
	int port;
	/* Begins with '/'; with the query, without a fragment; in the URL's
	 * own memory, and not terminated. */
	const char *path;
	size_t path_len;
};

/* 0, or -1 with err: what is wrong, or what to write instead.  err never quotes
 * the URL, which may be a secret.  All of an accepted URL is visible ASCII. */
int url_parse(const char *url, struct url *u_r, char err[ERR_MAX]);

/* The same scheme, host and port. */
bool url_same_origin(const struct url *a, const struct url *b);

/* host, or host:port if that is not the scheme's: for :authority or Host, with a
 * NUL.  Returns its length. */
#define URL_AUTHORITY_MAX (URL_HOST_MAX + sizeof(":65535"))
size_t url_authority(const struct url *u, char out[URL_AUTHORITY_MAX]);

#endif
