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
	struct conf conf;  /* of its file, */
	struct hook *hook; /* which borrows it; NULL: it is bad */
	char *name;
};

struct hooks {
	struct loop *loop;
	const struct conf *conf; /* the main one */
	struct push_queue *q;
	struct one **list;
	size_t n;
	struct watch *watch;
};

/* --- files --- */

/* watch is told of each file before that is read; NULL: nobody is.  An exit status;
 * err is set if it is not EXIT_DONE. */
static int read_one(const struct conf *top, const char *name,
    struct watch *watch, struct one **o_r, char err[ERR_MAX])
{
	char *path = folder_file(top, top->hooks_dir, name);
	struct one *o = *o_r = xcalloc(1, sizeof(*o));
	int rc = EXIT_CONFIG;

	o->name = xstrdup(name);
	conf_init(&o->conf);
	if (watch != NULL)
		watch_add(watch, path);
	if (conf_read_hook(&o->conf, top, path, err) == 0)
		o->hook = hook_new(&o->conf, name, err);
	free(path);
	if (watch != NULL && o->conf.hook_token_file != NULL)
		watch_add_named(watch, &o->conf, o->conf.hook_token_file);
	if (o->hook != NULL)
		rc = hook_load(o->hook, err) == 0 ? EXIT_DONE : EXIT_FAILED;
	if (rc != EXIT_DONE) {
		hook_free(o->hook);
		o->hook = NULL;
	}
	return rc;
}

static void free_one(struct one *o)
{
	hook_free(o->hook);
	conf_free(&o->conf);
	free(o->name);
	free(o);
}

static int read_names(
    const struct conf *conf, struct folder *names, char err[ERR_MAX])
{
	return folder_read(
	    conf, "hooksDir", conf->hooks_dir, "hook", HOOKS_MAX, names, err);
}

int daemon_each_hook(
    const struct conf *conf, daemon_hook_cb *cb, void *arg, char err[ERR_MAX])
{
	struct folder names;
	struct one *o;
	size_t i;
	int rc = read_names(conf, &names, err);

	for (i = 0; rc == 0 && i < names.n; i++) {
		read_one(conf, names.names[i], NULL, &o, err);
		cb(arg, o->name, &o->conf, o->hook, err);
		free_one(o);
	}
	folder_free(&names);
	return rc;
}

static void on_changed(void *arg)
{
	log_info("hooks: a file has changed");
	hooks_reload(arg);
}

static void watch_folder(struct hooks *h)
{
	watch_free(h->watch);
	h->watch = NULL;
	if (h->conf->hooks_dir == NULL)
		return;
	h->watch = watch_new(h->loop, on_changed, h);
	watch_add_folder(h->watch, h->conf, h->conf->hooks_dir);
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

	watch_folder(h);
	h->list = xmalloc((names.n + 1) * sizeof(*h->list));
	for (; rc == EXIT_DONE && h->n < names.n; h->n++)
		rc = read_one(
		    h->conf, names.names[h->n], h->watch, &h->list[h->n], err);
	folder_free(&names);
	return rc;
}

static void warn(const char *sentence)
{
	log_warn("%s", sentence);
}

/* From now on these are called. */
static void apply(struct hooks *h)
{
	struct hook **good = xmalloc((h->n + 1) * sizeof(struct hook *));
	size_t i, n = 0;

	for (i = 0; i < h->n; i++) {
		if (h->list[i]->hook == NULL)
			continue;
		daemon_check_rights(&h->list[i]->conf, warn);
		good[n++] = h->list[i]->hook;
	}
	push_set_hooks(h->q, good, n);
	free(good);
	log_info("hooks: %zu", n);
}

void hooks_start(struct hooks *h, struct push_queue *q)
{
	h->q = q;
	if (h->conf->hooks_dir != NULL)
		apply(h);
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

/* A bad one gives its place to the old one, if that was good. */
static void refuse(
    struct one **fresh, struct one **old, size_t n_old, const char *why)
{
	struct one *bad = *fresh;
	size_t i = 0;

	while (i < n_old &&
	       (strcmp(old[i]->name, bad->name) != 0 || old[i]->hook == NULL))
		i++;
	if (i < n_old) {
		*fresh = old[i];
		old[i] = bad;
	}
	log_error("hook %s: %s: %s", bad->name, why,
	    i < n_old ? "the old one stays" : "not used");
}

void hooks_reload(struct hooks *h)
{
	struct one **old = h->list;
	size_t n_old = h->n, i;
	struct folder names;
	char err[ERR_MAX];

	if (h->conf->hooks_dir == NULL && n_old == 0)
		return;
	if (read_names(h->conf, &names, err) < 0) {
		log_error("%s: the old hooks stay", err);
		folder_free(&names);
		return;
	}
	watch_folder(h);
	h->list = xmalloc((names.n + 1) * sizeof(*h->list));
	h->n = names.n;
	for (i = 0; i < names.n; i++)
		if (read_one(h->conf, names.names[i], h->watch, &h->list[i],
			err) != EXIT_DONE)
			refuse(&h->list[i], old, n_old, err);
	folder_free(&names);
	apply(h);
	free_list(old, n_old);
}
