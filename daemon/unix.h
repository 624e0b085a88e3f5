/* daemon/unix.h - the Unix socket that the configuration names: its folder,
 * mode and group. */
#ifndef UNIX_H
#define UNIX_H

#include <stdbool.h>

#include "log.h"

struct conf;
struct user;

/* Makes it with the user's rights; *fd_r: the listening descriptor, -1 if
 * there is none.  -1 with err set on failure, even if there is one. */
int unix_open(
    const struct conf *c, const struct user *u, int *fd_r, char err[ERR_MAX]);
/* False with err set: there is no such group as socketGroup. */
bool unix_has_group(const struct conf *c, char err[ERR_MAX]);
/* Checks whether unix_open() would succeed, without opening anything.
 * *lives_r: a process listens there; err has unix_open()'s message.  0, or -1
 * with err set; warn is called for what a start would tolerate. */
int unix_check(const struct conf *c, void (*warn)(const char *sentence),
    bool *lives_r, char err[ERR_MAX]);

#endif
