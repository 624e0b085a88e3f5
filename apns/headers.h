/* apns/headers.h - the headers of a push.  Most are the same in all of them: they
 * are built once for a connection's credentials. */
#ifndef APNS_HEADERS_H
#define APNS_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h2.h"
#include "log.h"

struct conf;
struct cred;

#define APNS_PATH_PREFIX "/3/device/"
#define APNS_TOKEN_MAX 200 /* digits */
#define APNS_N_HEADERS 10

struct apns_headers {
	struct hpack_header list[APNS_N_HEADERS]; /* for h2_request() */
	/* the rest is for headers.c only */
	size_t n;
	const struct conf *conf;
	struct cred *cred;
	struct hpack_header *path, *length, *expiration;
	struct hpack_header *auth; /* NULL: a certificate is used */
	char authority_text[300];
	char path_text[sizeof(APNS_PATH_PREFIX) + APNS_TOKEN_MAX];
	char length_text[24], expiration_text[24], priority_text[8];
	size_t body_len;   /* written in length_text */
	int64_t expires_s; /* written in expiration_text; -1: nothing yet */
};

/* conf and cred are borrowed until the next call. */
void apns_headers_build(struct apns_headers *h, const struct conf *conf,
    struct cred *cred, const char *host, int port);
/* Sets what differs from push to push; len: of the body.  Returns how many of
 * the list are to be sent, 0 with err set if no JWT could be made. */
size_t apns_headers_fill(struct apns_headers *h, const char *token, size_t len,
    bool with_expiration, char err[ERR_MAX]);

#endif
