/* renew.h - credentials over time: says until when they are valid, warns before
 * they expire, and swaps them when their files change. */
#ifndef RENEW_H
#define RENEW_H

#include <stdbool.h>

struct api;
struct conf;
struct cred;
struct loop;
struct push_queue;
struct renew;

/* Takes the cred over, which queue and api use already; all else is borrowed. */
struct renew *renew_new(struct loop *l, const struct conf *conf,
    struct cred *cred, struct push_queue *queue, struct api *api);
/* After queue and api. */
void renew_free(struct renew *r);

/* Reads the files that conf names now.  Bad ones are refused with an error in
 * the log, and the old credentials stay: false. */
bool renew_reload(struct renew *r);

/* Once a day: warns 30, 14, 7, 3 and 1 days ahead. */
void renew_look(struct renew *r);

#endif
