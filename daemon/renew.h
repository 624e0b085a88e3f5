/* daemon/renew.h - credentials over time: loads them, logs until when they are
 * valid, warns before they expire, and loads them again when their files
 * change; the same for the certificate of our own TLS listener. */
#ifndef RENEW_H
#define RENEW_H

#include <stdbool.h>

#include "log.h"

struct conf;
struct cred;
struct loop;
struct renew;
struct tls_ctx;

/* Those of a brand are loaded and warned of in the same way, but daemon/brands.c
 * watches all their files together, and waits for missing ones. */

/* What the owner does with them.  Not called before renew_start(). */
struct renew_ops {
	/* New credentials for Apple; the old ones are freed afterwards. */
	void (*set_cred)(void *arg, struct cred *cred);
	/* Why there are still none; "": there are. */
	void (*set_lack)(void *arg, const char *why);
	/* A new certificate for new connections to the TLS listener. */
	void (*set_tls)(void *arg, struct tls_ctx *tls);
};

/* Watches the files that conf names, before any is read, so that no change is
 * missed.  conf and ops are borrowed. */
struct renew *renew_new(struct loop *l, const struct conf *conf,
    const struct renew_ops *ops, void *arg);
/* Of a brand; label: "brand NAME: ", borrowed. */
struct renew *renew_new_brand(struct loop *l, const struct conf *conf,
    const struct renew_ops *ops, void *arg, const char *label);
/* To be called after all users of its credentials are freed. */
void renew_free(struct renew *r);

/* The first time: the TLS listener's, and those for Apple.  -1 with err set.  A
 * file that cannot be read yet is no failure: the daemon waits for it. */
int renew_load_server(struct renew *r, char err[ERR_MAX]);
int renew_load(struct renew *r, char err[ERR_MAX]);
/* For Apple, of kind CRED_NONE while their files cannot be read; why not, or
 * "". */
struct cred *renew_cred(const struct renew *r);
const char *renew_lack(const struct renew *r);
/* NULL: there is no TLS listener, or its files cannot be read yet. */
struct tls_ctx *renew_tls(const struct renew *r);

/* Why there are none, or not the newest: as renew_reload() would say it. */
void renew_refuse(struct renew *r, const char *why);

/* Logs the credentials, and begins to wait for missing files. */
void renew_start(struct renew *r);

/* Reads the files that conf names now.  Bad ones are refused with an error in
 * the log, and the old credentials stay: false. */
bool renew_reload(struct renew *r);

/* Reads tlsCertfile and tlsKeyfile again, for new connections.  As above, but
 * for the return value. */
void renew_reload_server(struct renew *r);

/* Once a day: warns 30 (not of the listener's), 14, 7, 3 and 1 days ahead. */
void renew_check(struct renew *r);
/* Only the warnings. */
void renew_warn(struct renew *r);

#endif
