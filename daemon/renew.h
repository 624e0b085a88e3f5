/* daemon/renew.h - credentials over time: says until when they are valid, warns before
 * they expire, and swaps them when their files change; the same for the
 * certificate of our own TLS listener. */
#ifndef RENEW_H
#define RENEW_H

#include <stdbool.h>

struct api;
struct conf;
struct cred;
struct listeners;
struct loop;
struct push_queue;
struct renew;

/* Watches the files that conf names: to be called before they are read, so that
 * no change is missed.  Everything is borrowed. */
struct renew *renew_new(struct loop *l, const struct conf *conf);
/* Whether a file that conf names for the credentials (for the TLS listener)
 * cannot be read, which may heal by itself. */
bool renew_lacks_file(const struct conf *conf);
bool renew_lacks_server_file(const struct conf *conf);
/* Before the loop runs.  Takes both creds over: the one that queue and api use
 * already, cred_none() if its files cannot be read yet; and the one whose
 * cred_tls() the listeners use (NULL: there is no TLS listener, or its files
 * cannot be read yet).  What cannot be read yet is waited for.  All else is
 * borrowed. */
void renew_start(struct renew *r, struct cred *cred, struct push_queue *queue,
    struct api *api, struct cred *server_cred, struct listeners *listeners);
/* After queue and api. */
void renew_free(struct renew *r);

/* Reads the files that conf names now.  Bad ones are refused with an error in
 * the log, and the old credentials stay: false. */
bool renew_reload(struct renew *r);

/* Reads tlsCertfile and tlsKeyfile again, for new connections.  As above, but
 * for the return value. */
void renew_reload_server(struct renew *r);

/* Once a day: warns 30 (not of the listener's), 14, 7, 3 and 1 days ahead. */
void renew_look(struct renew *r);

#endif
