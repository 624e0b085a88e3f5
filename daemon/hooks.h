/* daemon/hooks.h - the hooks: reads the files of hooksDir and follows their
 * changes.  A bad one never touches the others. */
#ifndef HOOKS_H
#define HOOKS_H

#include "log.h"

struct conf;
struct hooks;
struct loop;
struct push_queue;

/* conf is borrowed. */
struct hooks *hooks_new(struct loop *l, const struct conf *conf);
/* After the queue; h may be NULL. */
void hooks_free(struct hooks *h);

/* At the start, as the daemon's user.  An exit status; err is set if it is not
 * EXIT_DONE. */
int hooks_read(struct hooks *h, char err[ERR_MAX]);
/* From now on they are called. */
void hooks_start(struct hooks *h, struct push_queue *q);

/* Reads all again; those that were suspended are tried again. */
void hooks_reload(struct hooks *h);

#endif
