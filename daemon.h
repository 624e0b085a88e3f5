/* daemon.h - the daemon itself, from its configuration to its end. */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>

#include "log.h"

struct cli;
struct conf;

/* Runs until it is stopped; returns an exit status.  Takes ownership of what
 * is in conf. */
int daemon_run(struct conf *conf, const struct cli *cli);

/* What the start finds out without a network and without opening anything, for
 * a daemon that may be running.  To be called as the daemon's user. */

/* What runs at this moment. */
struct daemon_now {
	bool runs;	 /* the daemon of this configuration */
	bool is_another; /* another one, with the database */
	/* It runs, and these belong to somebody else. */
	bool port_is_taken, tls_port_is_taken;
};

/* The listeners: addresses, ports, group and folder of the socket.  0 with what would be listened on in line; -1 with what
 * is wrong.  warn gets what a start would wait for. */
int daemon_check_listeners(const struct conf *c, const struct daemon_now *now,
    void (*warn)(const char *sentence), char line[ERR_MAX]);
/* Reads httpPasswordFile into httpPassword, if there is such a file.  -1 with err
 * set. */
int daemon_read_password(struct conf *c, char err[ERR_MAX]);
/* Calls warn for each secret file (and the database) that others than its owner
 * may read, with a sentence that names them and what to do. */
void daemon_check_rights(
    const struct conf *c, void (*warn)(const char *sentence));
/* Calls warn for each thing that another daemon's configuration meant and that
 * it does not mean here. */
void daemon_check_moved(
    const struct conf *c, void (*warn)(const char *sentence));

/* Reads the files of brandsDir, by name, and calls cb for each: with its
 * configuration, or with NULL and why it is bad.  -1 with err set: the folder
 * cannot be read. */
typedef void daemon_brand_cb(
    void *arg, const char *name, const struct conf *brand, const char *why);
int daemon_each_brand(
    const struct conf *conf, daemon_brand_cb *cb, void *arg, char err[ERR_MAX]);

/* The same for the files of hooksDir; hook NULL: it is bad. */
struct hook;
typedef void daemon_hook_cb(void *arg, const char *name,
    const struct conf *conf, const struct hook *hook, const char *why);
int daemon_each_hook(
    const struct conf *conf, daemon_hook_cb *cb, void *arg, char err[ERR_MAX]);

/* Makes root the daemon's user and nothing else, groups included, for good.
 * *name_r: its name; NULL: we are not root, or there is no user for it.  -1 with
 * err set: the start could not become that user, either. */
int daemon_become_user(
    const struct conf *c, const char **name_r, char err[ERR_MAX]);
/* The same for who owns the folder that path is in, so that no file of root's
 * is left there; root's folder: stays root.  -1 with errno set. */
int daemon_become_owner(const char *path);

#endif
