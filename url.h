/* url.h - takes the address of a service apart: RFC 3986, http and https only, and
 * strict, since some come from users. */
#ifndef URL_H
#define URL_H

#include <stdbool.h>

#include "log.h"

#define URL_MAX 2048	 /* bytes; push services use up to 500 */
#define URL_HOST_MAX 253 /* of a name in DNS */
#define URL_AUTHORITY_MAX (URL_HOST_MAX + 8)

struct url {
	bool tls; /* https */
	int port;
	char host[URL_HOST_MAX + 1]; /* lower case; IPv6 without brackets */
	/* Host, and port if it is not the scheme's: for :authority and Host. */
	char authority[URL_AUTHORITY_MAX + 1];
	const char *path; /* with the query; in the text, or "/" */
};

/* -1 with err set: what is wrong and what to do, as a predicate ("has no host"),
 * in which nothing of the text is repeated: it may be a secret.  Templates
 * ({word}) are taken in the path. */
int url_parse(const char *text, struct url *u_r, char err[ERR_MAX]);

#endif
