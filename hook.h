/* hook.h - a hook: one HTTP request of the administrator's own for each mailbox in
 * which something has happened.  Knows its file and what the request looks like;
 * sends nothing. */
#ifndef HOOK_H
#define HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "h2.h"
#include "log.h"
#include "url.h"

struct conf;
struct hook;

#define HOOK_NEW "new" /* what the event MessageNew is called */

/* What has happened. */
struct hook_event {
	const char *user, *mailbox; /* UTF-8 */
	const char *name;	    /* HOOK_NEW, or as Dovecot calls it */
	int64_t unseen;		    /* messages; -1: not known */
	/* The same at every attempt, of no other event: {id}. */
	uint64_t id;
};

/* More than any service wants; each is a line of the file. */
#define HOOK_HEADERS_MAX 40

struct hook_request {
	struct buf head, body;
	struct hpack_header list[HOOK_HEADERS_MAX]; /* in head */
	size_t n;
};

/* Of the hook's file, which is borrowed, as text: NULL with err set. */
struct hook *hook_new(
    const struct conf *conf, const char *name, char err[ERR_MAX]);
/* Reads the file of its token, if it has one: -1 with err set. */
int hook_load(struct hook *h, char err[ERR_MAX]);
/* h may be NULL. */
void hook_free(struct hook *h);

const char *hook_name(const struct hook *h);
/* Where the request goes.  The rest of the URL may be a secret. */
const struct url *hook_url(const struct hook *h);
/* The longest wait of an event that is not HOOK_NEW. */
int64_t hook_delay_ms(const struct hook *h);
bool hook_wants(const struct hook *h, const char *user, const char *event);

/* The request for an event, after hook_load(): r is zeroed before the first
 * time, or one of an earlier event.  False if it would be too long, for which
 * names must be longer than ours can be. */
bool hook_build(
    const struct hook *h, const struct hook_event *e, struct hook_request *r);
void hook_request_free(struct hook_request *r);

#endif
