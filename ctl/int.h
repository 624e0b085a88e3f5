/* ctl/int.h - what the files of ctl share.  Nobody else includes this. */
#ifndef CTL_INT_H
#define CTL_INT_H

#include "ctl.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"
#include "log.h"

struct reg;
struct store;

/* --- ctl/client.c --- */

enum ctl_asked {
	CTL_ANSWERED,
	CTL_NOT_RUNNING, /* no daemon listens; err says what to do */
	CTL_FAILED,
};

/* One request to the daemon, GET without a body, for the subcommand of that name.
 * The answer's body lands in body_r (emptied first), followed by a NUL. */
enum ctl_asked ctl_ask(const struct conf *conf, const char *command,
    const char *path, const struct buf *body, int *status_r, struct buf *body_r,
    char err[ERR_MAX]);
#define CTL_ANSWER_MAX (16u * 1024 * 1024) /* a page of list is 4 MiB */

/* A member of the object toks[at]; "" or 0 if it is not there. */
const char *ctl_str(const struct json *j, const struct json_tok *obj,
    const char *key, char *out, size_t size);
int64_t ctl_num(
    const struct json *j, const struct json_tok *obj, const char *key);

/* --- ctl/modules.c --- */

/* Calls warn if Dovecot would load another plugin of the kind beside ours. */
void modules_check(void (*warn)(const char *sentence));

/* --- ctl/running.c --- */

struct daemon_now;
/* The daemon of this configuration, and its ports if we are root. */
void running_find(const struct conf *c, struct daemon_now *now);

/* --- ctl/past.c --- */

/* Keeps what a line of /admin/list says about the time since start with the
 * registration, which it has made in the view. */
void past_take(struct store *s, const char *line, size_t len);
/* Before the view is freed. */
void past_free(struct store *s);
/* All of it as members of a JSON object, a comma before each. */
const char *past_json(const struct reg *r);

/* Times are seconds since 1970; 0: not known, or not since start. */
struct past {
	int64_t pushed_s, seen_s;
	int64_t wakeup_ds;  /* tenths of a second */
	int64_t waiting;    /* pushes for which somebody may come yet */
	int64_t unanswered; /* pushes for which nobody came */
};
void past_read(const struct reg *r, struct past *p_r);

/* --- ctl/show.c --- */

enum ctl_style {
	STYLE_PLAIN,
	STYLE_HEAD,
	STYLE_GOOD,
	STYLE_BAD,
};

/* Prints text in columns: width counts characters, 0 none. */
void ctl_cell(enum ctl_style style, const char *text, int width);

/* Registrations of a view (store.h) as a table or as JSON; sorted. */
/* live: they are the daemon's, which says whose topic is an old one. */
void ctl_show_regs(const struct store *live, struct reg **regs, size_t n,
    int64_t ttl_s, bool json);
/* Prints the answer of /status. */
void ctl_show_status(const struct json *j);

#endif
