/* ctl/int.h - what the files of ctl share.  Nobody else includes this. */
#ifndef CTL_INT_H
#define CTL_INT_H

#include "ctl.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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
/* GET /healthz, at the TCP port if there is no socket: it needs no right. */
enum ctl_asked ctl_ask_health(const struct conf *conf, int *status_r,
    struct buf *body_r, char err[ERR_MAX]);
/* The one line of text of an answer that refuses. */
void ctl_take_refusal(const struct buf *body, char err[ERR_MAX]);
#define CTL_NOT_UNDERSTOOD                                                     \
	"the daemon's answer is not understood: restart it, if it is of "      \
	"another version"

#define CTL_ANSWER_MAX (16u * 1024 * 1024) /* a page of list is 4 MiB */

/* A member of the object toks[at]; "" or 0 if it is not there. */
const char *ctl_str(const struct json *j, const struct json_tok *obj,
    const char *key, char *out, size_t size);
int64_t ctl_num(
    const struct json *j, const struct json_tok *obj, const char *key);

/* --- ctl/words.c --- */

/* "5d", "3h", "12m", "8s" */
void ctl_age(int64_t seconds, char out[16]);
/* "12 min ago"; returns out. */
const char *ctl_ago(int64_t seconds, char out[24]);

/* A sentence about an object of an answer. */
struct ctl_words {
	const struct json *j;
	const struct json_tok *obj;
	int64_t now_s;
	struct buf text; /* the owner's to free */
};

#define CTL_WORDS_INIT(json, time_s)                                           \
	{                                                                      \
		.j = (json), .obj = (json)->toks, .now_s = (time_s),           \
		.text = BUF_INIT(4096)                                         \
	}

int64_t ctl_words_num(const struct ctl_words *w, const char *key);
bool ctl_words_flag(const struct ctl_words *w, const char *key);
/* Adds text, with members, which are strings or numbers, in the place of their
 * {names}; {name ago}: of a time; {s} or {es} after a number: the plural's ending.
 * What is in [] is left out if its last member is not there or empty; elsewhere one
 * that is not there, as with an older daemon, is 0. */
void ctl_words_add(struct ctl_words *w, const char *text);
/* All of it, with a NUL. */
const char *ctl_words_end(struct ctl_words *w);

/* --- ctl.c --- */

/* The daemon's registrations into a view: of all users if user is NULL. */
enum ctl_asked ctl_ask_regs(const struct conf *conf, const char *command,
    const char *user, struct store *s, char err[ERR_MAX]);

/* --- ctl/modules.c --- */

/* Compares our modules with the Dovecot that is here, if both are; -1 if the step
 * has failed, which others do not depend on.  offline: warnings instead, since a
 * start does not mind. */
int modules_check(bool offline);

/* --- ctl/running.c --- */

struct daemon_now;
/* The daemon of this configuration, and its ports if we are root. */
void running_find(const struct conf *c, struct daemon_now *now);

/* --- ctl/past.c --- */

/* Keeps what a line of /admin/list says about the time since start with the
 * registration, which it has made in the view. */
void past_take(struct store *s, const char *line, size_t len);
/* The same as a JSON object, or NULL. */
const char *past_json(const struct reg *r);
/* Frees a view and what was kept with it. */
void past_free_view(struct store *s);

/* Times are seconds since 1970; 0: not known, or not since start. */
struct past {
	int64_t pushed_s, seen_s;
	int64_t wakeup_ds;  /* tenths of a second */
	int64_t waiting;    /* pushes for which somebody may come yet */
	int64_t unanswered; /* pushes for which nobody came */
};
void past_read(const struct reg *r, struct past *p_r);

/* --- ctl/term.c --- */

enum ctl_style {
	STYLE_PLAIN,
	STYLE_HEAD,
	STYLE_GOOD,
	STYLE_BAD,
};

/* Of the terminal, at least 40; 0 if that is none. */
int ctl_columns(FILE *out);
/* Of the Id of a browser or an app, which people choose: more than of an account's,
 * of which 8 characters tells them apart. */
#define CTL_ID_SHOWN 24

/* Columns of UTF-8 text, as terminals show it. */
int ctl_width(const char *text, size_t len);
/* Leaves beginning and end of text that is wider: users of one domain differ in
 * front, those of two in the end.  It may become a byte longer. */
void ctl_shorten(char *text, int width);
/* Prints text in `width` columns at least; not more than it takes: 0. */
void ctl_cell(enum ctl_style style, const char *text, int width);
/* Prints text and the line's end, from column `at` on; further lines begin at
 * column `indent`.  It is wrapped at the terminal's width; most, unless 0, is a
 * limit for that and for what is no terminal.  Control characters become '?'. */
void ctl_text(FILE *out, enum ctl_style style, const char *text, int at,
    int indent, int most);

/* --- ctl/show.c --- */

/* Registrations of a view (store.h) as a table or as JSON; sorted. */
/* live: they are the daemon's, which says whose topic is an old one. */
void ctl_show_regs(const struct store *live, struct reg **regs, size_t n,
    int64_t ttl_s, bool json);
/* Prints the answer of /status. */
void ctl_show_status(const struct json *j);

/* --- ctl/step.c --- */

enum ctl_result {
	STEP_OK,
	STEP_OPEN,    /* printed as the next; nothing is to be done */
	STEP_LOOK,    /* may be the cause */
	STEP_FAILED,  /* is one */
	STEP_WARNING, /* not a step: to stderr */
};

/* To be called first.  wrapped: lines end at 80 columns at the latest, on a
 * narrower terminal before; else they are wrapped on a terminal only. */
void ctl_steps_begin(bool json, bool wrapped);
/* Prints one; control characters in the text become '?'. */
void ctl_step(const char *step, enum ctl_result result, const char *text);
/* Prints the end; returns the exit status. */
int ctl_steps_end(bool ok);

/* --- ctl/app.c --- */

#define CTL_KIND_MAX 16
/* The step of doctor about a registration of another kind than Apple's, a line of
 * /admin/list; live: not of the file. */
enum ctl_result ctl_doctor_app(const struct json *j, int64_t now_s, bool live,
    char kind[CTL_KIND_MAX], char text[ERR_MAX]);

/* --- ctl/shared.c --- */

struct cred;
struct loop;
/* The step of check about fcmServiceAccount, if there is one; false: it has
 * failed. */
bool ctl_check_fcm(const struct conf *conf, const struct cred *cred,
    struct loop *l, const char *step);
/* The step of check about sharedStore; false: it has failed.  offline: without
 * asking anybody. */
bool ctl_check_shared(const struct conf *conf, struct loop *l, bool offline);
/* That of check about hooks: the same. */
bool ctl_check_hooks(const struct conf *conf, struct loop *l, bool offline);
/* That of doctor, if /status has "shared": whether this node knows what the others
 * do of the user. */
enum ctl_result ctl_doctor_shared(const struct conf *conf, const char *user,
    const struct json *status, char text[ERR_MAX]);

#endif
