/* daemon/brands.h - the brands: reads the files of brandsDir, makes a lane of each,
 * and follows their changes.  A bad one never touches the others. */
#ifndef BRANDS_H
#define BRANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "log.h"

struct brands;
struct conf;
struct loop;
struct push_queue;
struct shared;

/* conf is borrowed. */
struct brands *brands_new(struct loop *l, const struct conf *conf);
/* Before what its lanes belong to is freed; b may be NULL. */
void brands_stop(struct brands *b);
/* After that. */
void brands_free(struct brands *b);

/* At the start: the text of all files, and then what they name.  An exit status;
 * err is set if it is not EXIT_DONE. */
int brands_read(struct brands *b, char err[ERR_MAX]);
int brands_load(struct brands *b, char err[ERR_MAX]);
/* From now on their lanes take part. */
void brands_start(struct brands *b, struct push_queue *q);

/* Shares their JWTs with other nodes; shared may be NULL. */
void brands_share(struct brands *b, struct shared *shared);

/* Reads again what has changed; all: everything, since the main configuration has
 * changed what concerns them, too. */
void brands_reload(struct brands *b, bool all);
/* The main credential has changed. */
void brands_main_changed(struct brands *b);
/* Once a day, as renew_check(). */
void brands_check(struct brands *b);
size_t brands_count(const struct brands *b);

#endif
