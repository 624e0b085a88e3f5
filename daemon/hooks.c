/* daemon/hooks.c - the hooks of hooksDir over time. */
#include "daemon/hooks.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "conf.h"
#include "daemon.h"
#include "daemon/folder.h"
#include "daemon/watch.h"
#include "hook.h"
#include "mem.h"
#include "push.h"

/* Each event asks all of them. */
#define HOOKS_MAX 64

struct one {
	char *name;
	struct conf conf;  /* of the file as it was when it was good */
	struct hook *hook; /* NULL: it was never good */
	uint64_t mark;	   /* of its files when they were read */
};

struct hooks {
	struct loop *loop;
	const struct conf *conf; /* the main one */
	struct push_queue *q;
	struct one **list; /* by name */
	size_t n;
	struct watch *watch;
};

static int read_names(
    const struct conf *conf, struct folder *names, char err[ERR_MAX])
{
	return folder_read(
	    conf, "hooksDir", conf->hooks_dir, "hook", HOOKS_MAX, names, err);
}

/* --- one --- */

/* Each of its files. */
static void each_file(const struct conf *top, const struct one *o,
    void (*cb)(void *arg, const char *path), void *arg)
{
	char *path = folder_file(top, top->hooks_dir, o->name);

	cb(arg, path);
	free(path);
	if (o->conf.hook_token_file == NULL)
		return;
	path = conf_file_path(&o->conf, o->conf.hook_token_file);
	cb(arg, path);
	free(path);
}

static uint64_t mark_of(const struct conf *top, const struct one *o)
{
	uint64_t mark = FOLDER_MARK;

	each_file(top, o, folder_mark, &mark);
	return mark;
}

static void free_one(struct one *o)
{
	hook_free(o->hook);
	conf_free(&o->conf);
	free(o->name);
	free(o);
}

/* Its text: without a hook, and err set, if that is bad. */
static struct one *read_one(
    const struct conf *top, const char *name, char err[ERR_MAX])
{
	struct one *o = xcalloc(1, sizeof(*o));
	char *path = folder_file(top, top->hooks_dir, name);

	o->name = xstrdup(name);
	o->mark = mark_of(top, o);
	conf_init(&o->conf);
	if (conf_read_hook(&o->conf, top, path, err) == 0)
		o->hook = hook_new(&o->conf, name, err);
	free(path);
	return o;
}

static void warn(const char *sentence)
{
	log_warn("%s", sentence);
}

/* And then its token: the same. */
static int load_one(const struct conf *top, struct one *o, char err[ERR_MAX])
{
	if (o->conf.hook_token_file != NULL)
		o->mark = mark_of(top, o);
	if (hook_load(o->hook, err) == 0) {
		daemon_check_rights(&o->conf, warn);
		return 0;
	}
	hook_free(o->hook);
	o->hook = NULL;
	return -1;
}

int daemon_each_hook(
    const struct conf *conf, daemon_hook_cb *cb, void *arg, char err[ERR_MAX])
{
	struct folder names;
	struct one *o;
	size_t i;
	int rc = read_names(conf, &names, err);

	for (i = 0; rc == 0 && i < names.n; i++) {
		o = read_one(conf, names.names[i], err);
		if (o->hook != NULL)
			load_one(conf, o, err);
		cb(arg, o->name, &o->conf, o->hook, err);
		free_one(o);
	}
	folder_free(&names);
	return rc;
}

/* --- all --- */

static void on_changed(void *arg)
{
	log_info("hooks: a file has changed");
	hooks_reload(arg, false);
}

static void watch_one(void *arg, const char *path)
{
	watch_add(arg, path);
}

/* True if something has changed between being read and being watched. */
static bool watch_all(struct hooks *h)
{
	const struct conf *c = h->conf;
	bool late = false;
	char *path;
	size_t i;

	watch_free(h->watch);
	h->watch = NULL;
	if (c->hooks_dir == NULL)
		return false;
	h->watch = watch_new(h->loop, on_changed, h);
	path = conf_file_path(c, c->hooks_dir);
	watch_add_folder(h->watch, path);
	free(path);
	for (i = 0; i < h->n; i++) {
		each_file(c, h->list[i], watch_one, h->watch);
		late = late || h->list[i]->mark != mark_of(c, h->list[i]);
	}
	return late;
}

/* From now on these are called. */
static void apply(struct hooks *h, bool all)
{
	struct hook **good = xmalloc((h->n + 1) * sizeof(*good));
	size_t i, n = 0;

	for (i = 0; i < h->n; i++)
		if (h->list[i]->hook != NULL)
			good[n++] = h->list[i]->hook;
	push_set_hooks(h->q, good, n, all);
	free(good);
}

/* --- the start --- */

struct hooks *hooks_new(struct loop *l, const struct conf *conf)
{
	struct hooks *h = xcalloc(1, sizeof(*h));

	h->loop = l;
	h->conf = conf;
	return h;
}

int hooks_read(struct hooks *h, char err[ERR_MAX])
{
	struct folder names;
	int rc = read_names(h->conf, &names, err) < 0 ? EXIT_FAILED : EXIT_DONE;

	h->list = xmalloc((names.n + 1) * sizeof(*h->list));
	for (; rc == EXIT_DONE && h->n < names.n; h->n++) {
		h->list[h->n] = read_one(h->conf, names.names[h->n], err);
		if (h->list[h->n]->hook == NULL)
			rc = EXIT_CONFIG;
	}
	folder_free(&names);
	return rc;
}

int hooks_load(struct hooks *h, char err[ERR_MAX])
{
	size_t i;

	for (i = 0; i < h->n; i++)
		if (load_one(h->conf, h->list[i], err) < 0)
			return EXIT_FAILED;
	return EXIT_DONE;
}

void hooks_start(struct hooks *h, struct push_queue *q)
{
	h->q = q;
	if (h->conf->hooks_dir == NULL)
		return;
	hooks_reload(h, false);
	log_info("hooks: %zu in %s", h->n, h->conf->hooks_dir);
}

static void free_list(struct one **list, size_t n)
{
	while (n > 0)
		free_one(list[--n]);
	free(list);
}

void hooks_free(struct hooks *h)
{
	if (h == NULL)
		return;
	watch_free(h->watch);
	free_list(h->list, h->n);
	free(h);
}

/* --- changes --- */

static struct one *take_old(struct one **list, size_t *n, const char *name)
{
	size_t i;
	struct one *o;

	for (i = 0; i < *n; i++)
		if (strcmp(list[i]->name, name) == 0) {
			o = list[i];
			list[i] = list[--*n];
			return o;
		}
	return NULL;
}

/* The old one if that has not changed, or what took its place is bad; the other
 * one goes to the list of what is to be freed. */
static struct one *read_again(struct hooks *h, struct one *old,
    const char *name, struct one **rest, size_t *n_rest, bool all)
{
	struct one *fresh;
	char err[ERR_MAX];

	if (old != NULL && !all && old->mark == mark_of(h->conf, old))
		return old;
	fresh = read_one(h->conf, name, err);
	if (fresh->hook != NULL)
		load_one(h->conf, fresh, err);
	if (fresh->hook == NULL)
		log_error("hook %s: %s: %s", name, err,
		    old != NULL && old->hook != NULL ? "the old one stays"
						     : "not used");
	if (old == NULL)
		return fresh;
	if (fresh->hook == NULL && old->hook != NULL) {
		old->mark = fresh->mark;
		rest[(*n_rest)++] = fresh;
		return old;
	}
	rest[(*n_rest)++] = old;
	return fresh;
}

static bool reload(struct hooks *h, bool all)
{
	struct one **old = h->list, *o;
	size_t n_old = h->n, i;
	struct folder names;
	char err[ERR_MAX];

	if (read_names(h->conf, &names, err) < 0) {
		log_error("%s: the old hooks stay", err);
		folder_free(&names);
		return false;
	}
	old = xrealloc(old, (n_old + names.n + 1) * sizeof(*old));
	h->list = xmalloc((names.n + 1) * sizeof(*h->list));
	for (i = 0; i < names.n; i++) {
		o = take_old(old, &n_old, names.names[i]);
		h->list[i] = read_again(h, o, names.names[i], old, &n_old, all);
	}
	h->n = names.n;
	folder_free(&names);
	apply(h, all);
	free_list(old, n_old);
	return watch_all(h);
}

void hooks_reload(struct hooks *h, bool all)
{
	int tries = 3; /* a file that changes all the time is read later */

	if (h->conf->hooks_dir == NULL && h->n == 0)
		return;
	while (reload(h, all) && --tries > 0)
		all = false;
}
