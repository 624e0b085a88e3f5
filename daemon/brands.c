/* daemon/brands.c - the brands of brandsDir over time. */
#include "daemon/brands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "conf.h"
#include "cred.h"
#include "daemon.h"
#include "daemon/folder.h"
#include "daemon/renew.h"
#include "daemon/watch.h"
#include "loop.h"
#include "mem.h"
#include "push.h"
#include "shared.h"
#include "users.h"

/* More than anybody has; each is a connection, and lines in /metrics. */
#define BRANDS_MAX 4096

/* As in daemon/renew.c. */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 15000

struct brand {
	char *name, *label;
	struct conf conf; /* of the file as it was when it was good */
	struct renew *renew;
	struct push_lane *lane; /* NULL before the start */
	struct brands *all;
	uint64_t mark; /* mark_of() its files when they were read */
	/* False: it was bad from the beginning, so it has no users yet. */
	bool is_used;
};

struct brands {
	struct loop *loop;
	const struct conf *conf; /* the main one */
	struct push_queue *q;
	struct shared *shared; /* NULL: none */
	struct brand **list;   /* by name */
	size_t n;
	struct users *users, *fcm_users; /* of Apple, of Google */
	struct watch *watch;
	uint64_t folder;	 /* its mark when it was read */
	struct loop_timer retry; /* while one waits for its files */
	int64_t retry_ms;
};

static int read_names(
    const struct conf *conf, struct folder *names, char err[ERR_MAX])
{
	return folder_read(conf, "brandsDir", conf->brands_dir, "brand",
	    BRANDS_MAX, names, err);
}

/* --- one file --- */

static bool for_apple(const struct conf *c)
{
	return c->key_file_p8 != NULL || c->certificate_file_pem != NULL ||
	       c->certificate_file_p12 != NULL;
}

static int check_text(const struct conf *c, char err[ERR_MAX])
{
	if (c->users == NULL || c->users[strspn(c->users, " \t")] == '\0')
		conf_blame(c, "users", err,
		    "is missing: set it to patterns of this brand's users, "
		    "such as *@example.org");
	else if (!for_apple(c) && c->fcm_service_account == NULL)
		conf_blame(c, "keyFileP8", err,
		    "is missing: set it, certificateFilePem, "
		    "certificateFileP12 or fcmServiceAccount to this brand's "
		    "credential");
	else
		return cred_check_text(c, err);
	return -1;
}

/* Into c, which is empty if that fails. */
static int read_file(
    const struct conf *top, const char *name, struct conf *c, char err[ERR_MAX])
{
	char *path = folder_file(top, top->brands_dir, name);
	int rc;

	conf_init(c);
	rc = conf_read_brand(c, top, path, err);
	free(path);
	if (rc == 0)
		rc = check_text(c, err);
	if (rc < 0)
		conf_free(c);
	return rc;
}

int daemon_each_brand(
    const struct conf *conf, daemon_brand_cb *cb, void *arg, char err[ERR_MAX])
{
	struct folder names;
	struct conf c;
	size_t i;
	int rc = read_names(conf, &names, err);

	for (i = 0; rc == 0 && i < names.n; i++) {
		if (read_file(conf, names.names[i], &c, err) < 0) {
			cb(arg, names.names[i], NULL, err);
			continue;
		}
		cb(arg, names.names[i], &c, NULL);
		conf_free(&c);
	}
	folder_free(&names);
	return rc;
}

/* --- has it changed? --- */

static uint64_t mark_of(const char *path)
{
	uint64_t mark = WATCH_MARK;

	watch_mark(&mark, path);
	return mark;
}

/* Of its file; then add those that it names. */
static uint64_t mark_of_file(const struct conf *top, const char *name)
{
	char *path = folder_file(top, top->brands_dir, name);
	uint64_t mark = mark_of(path);

	free(path);
	return mark;
}

static uint64_t mark_of_all(const struct conf *top, const struct brand *b)
{
	uint64_t mark = mark_of_file(top, b->name);

	if (b->is_used)
		cred_each_file(&b->conf, watch_mark, &mark);
	return mark;
}

static uint64_t mark_of_folder(const struct conf *top)
{
	char *path;
	uint64_t mark;

	if (top->brands_dir == NULL)
		return 0;
	path = conf_file_path(top, top->brands_dir);
	mark = mark_of(path);
	free(path);
	return mark;
}

/* --- one brand --- */

static void set_cred(void *arg, struct cred *cred)
{
	struct brand *b = arg;

	push_set_cred(b->lane, cred);
	shared_add_cred(b->all->shared, cred);
}

static void set_lack(void *arg, const char *why)
{
	struct brand *b = arg;

	push_set_cred_error(b->lane, why);
}

static const struct renew_ops renew_ops = {
	.set_cred = set_cred,
	.set_lack = set_lack,
};

static struct brand *new_brand(struct brands *all, const char *name)
{
	struct brand *b = xcalloc(1, sizeof(*b));

	b->all = all;
	b->name = xstrdup(name);
	b->label = xprintf("brand %s: ", name);
	b->renew =
	    renew_new_brand(all->loop, &b->conf, &renew_ops, b, b->label);
	return b;
}

static void free_brand(struct brand *b)
{
	renew_free(b->renew);
	conf_free(&b->conf);
	free(b->name);
	free(b->label);
	free(b);
}

/* Reads its file, which names others that are to be read then. */
static int read_brand(
    const struct conf *top, struct brand *b, struct conf *c, char err[ERR_MAX])
{
	uint64_t mark = mark_of_file(top, b->name);
	int rc = read_file(top, b->name, c, err);

	if (rc == 0)
		cred_each_file(c, watch_mark, &mark);
	b->mark = mark;
	return rc;
}

static void start_brand(struct brands *all, struct brand *b)
{
	b->lane = push_lane_new(all->q, b->name, renew_cred(b->renew));
	push_set_cred_error(b->lane, renew_lack(b->renew));
	renew_start(b->renew);
}

/* While the daemon runs: a bad one is shown, and has no users. */
static struct brand *add_brand(struct brands *all, const char *name)
{
	struct brand *b = new_brand(all, name);
	char err[ERR_MAX];

	if (read_brand(all->conf, b, &b->conf, err) == 0)
		b->is_used = renew_load(b->renew, err) == 0;
	if (!b->is_used) {
		conf_free(&b->conf);
		b->conf.top = all->conf;
	}
	start_brand(all, b);
	shared_add_cred(all->shared, renew_cred(b->renew));
	if (!b->is_used)
		renew_refuse(b->renew, err);
	return b;
}

/* Takes its file and what that names, all of it or nothing. */
static void change_brand(struct brands *all, struct brand *b)
{
	struct conf old = b->conf, fresh;
	char err[ERR_MAX];
	bool ok;

	if (read_brand(all->conf, b, &fresh, err) < 0) {
		renew_refuse(b->renew, err);
		return;
	}
	b->conf = fresh;
	ok = renew_reload(b->renew);
	/* One that waits for its files now waits for these. */
	if (ok || (b->is_used && *renew_lack(b->renew) != '\0')) {
		b->is_used = true;
		conf_free(&old);
	} else {
		b->conf = old;
		conf_free(&fresh);
	}
}

static bool is_bad(const struct brand *b)
{
	return !b->is_used || *renew_lack(b->renew) != '\0' ||
	       cred_is_refused(renew_cred(b->renew)) ||
	       (push_trouble(b->lane) != NULL && !push_is_unset(b->lane));
}

/* --- all --- */

static void on_changed(void *arg)
{
	log_info("brands: a file has changed");
	brands_reload(arg, false);
}

static void watch_all(struct brands *all)
{
	const struct conf *c = all->conf;
	char *path;
	size_t i;

	watch_free(all->watch);
	all->watch = NULL;
	if (c->brands_dir == NULL)
		return;
	all->watch = watch_new(all->loop, on_changed, all);
	watch_add_folder(all->watch, c, c->brands_dir);
	for (i = 0; i < all->n; i++) {
		path = folder_file(c, c->brands_dir, all->list[i]->name);
		watch_add(all->watch, path);
		free(path);
		if (all->list[i]->is_used)
			cred_each_file(
			    &all->list[i]->conf, watch_add, all->watch);
	}
}

/* Whether something has changed between being read and being watched. */
static bool is_late(const struct brands *all)
{
	size_t i;

	if (all->folder != mark_of_folder(all->conf))
		return true;
	for (i = 0; i < all->n; i++)
		if (!is_bad(all->list[i]) &&
		    all->list[i]->mark != mark_of_all(all->conf, all->list[i]))
			return true;
	return false;
}

static void on_retry(void *arg)
{
	struct brands *all = arg;
	bool lacks = false;
	size_t i;

	if (is_late(all)) {
		brands_reload(all, false);
		return;
	}
	watch_check(all->watch);
	for (i = 0; i < all->n; i++)
		lacks = lacks || *renew_lack(all->list[i]->renew) != '\0';
	if (!lacks)
		return;
	all->retry_ms =
	    all->retry_ms < RETRY_MAX_MS / 2 ? 2 * all->retry_ms : RETRY_MAX_MS;
	loop_timer_set(all->loop, &all->retry, all->retry_ms);
}

static void add_users(struct users *users, const struct brand *b, size_t number)
{
	const char *twice = users_add(users, b->conf.users, number);

	if (twice != NULL)
		log_warn("%susers: %.*s is a pattern of a brand before it, "
			 "too, which gets these users",
		    b->label, (int)strcspn(twice, " \t"), twice);
}

/* The users and lanes from now on.  A brand without a credential of the one
 * service leaves its users to others there. */
static void apply(struct brands *all)
{
	struct push_lane **lanes = xmalloc((all->n + 1) * sizeof(*lanes));
	struct users *users = users_new(), *fcm_users = users_new();
	const struct brand *b;
	size_t i;

	for (i = 0; i < all->n; i++) {
		b = all->list[i];
		lanes[i] = b->lane;
		if (b->is_used && for_apple(&b->conf))
			add_users(users, b, i + 1);
		if (b->is_used && b->conf.fcm_service_account != NULL)
			add_users(fcm_users, b, i + 1);
	}
	push_set_brands(all->q, users, fcm_users, lanes, all->n);
	free(lanes);
	users_free(all->users);
	users_free(all->fcm_users);
	all->users = users;
	all->fcm_users = fcm_users;
	watch_all(all);
	all->retry_ms = RETRY_MIN_MS;
	loop_timer_set(all->loop, &all->retry, all->retry_ms);
}

/* --- the start --- */

struct brands *brands_new(struct loop *l, const struct conf *conf)
{
	struct brands *all = xcalloc(1, sizeof(*all));

	all->loop = l;
	all->conf = conf;
	loop_timer_init(&all->retry, on_retry, all);
	return all;
}

int brands_read(struct brands *all, char err[ERR_MAX])
{
	struct folder names;
	struct brand *b;
	int rc;

	all->folder = mark_of_folder(all->conf);
	rc = read_names(all->conf, &names, err) < 0 ? EXIT_FAILED : EXIT_DONE;
	all->list = xmalloc((names.n + 1) * sizeof(struct brand *));
	while (rc == EXIT_DONE && all->n < names.n) {
		b = new_brand(all, names.names[all->n]);
		all->list[all->n++] = b;
		b->is_used = true;
		if (read_brand(all->conf, b, &b->conf, err) < 0)
			rc = EXIT_CONFIG;
	}
	folder_free(&names);
	return rc;
}

int brands_load(struct brands *all, char err[ERR_MAX])
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (renew_load(all->list[i]->renew, err) < 0)
			return EXIT_FAILED;
	return EXIT_DONE;
}

void brands_start(struct brands *all, struct push_queue *q)
{
	size_t i;

	all->q = q;
	if (all->conf->brands_dir == NULL)
		return;
	for (i = 0; i < all->n; i++)
		start_brand(all, all->list[i]);
	apply(all);
	log_info("brands: %zu in %s", all->n, all->conf->brands_dir);
}

void brands_share(struct brands *all, struct shared *shared)
{
	size_t i;

	all->shared = shared;
	for (i = 0; i < all->n; i++)
		shared_add_cred(shared, renew_cred(all->list[i]->renew));
}

void brands_stop(struct brands *all)
{
	if (all == NULL)
		return;
	watch_free(all->watch);
	all->watch = NULL;
	loop_timer_clear(all->loop, &all->retry);
}

void brands_free(struct brands *all)
{
	if (all == NULL)
		return;
	while (all->n > 0)
		free_brand(all->list[--all->n]);
	free(all->list);
	users_free(all->users);
	users_free(all->fcm_users);
	free(all);
}

/* --- changes --- */

static struct brand *take_old(struct brands *all, size_t *at, const char *name)
{
	struct brand *b;

	while (*at < all->n && strcmp(all->list[*at]->name, name) < 0)
		++*at;
	if (*at == all->n || strcmp(all->list[*at]->name, name) != 0)
		return NULL;
	b = all->list[*at];
	all->list[(*at)++] = NULL;
	return b;
}

/* Those that are left in it. */
static void drop_old(struct brand **list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (list[i] == NULL)
			continue;
		log_info("%sits file is gone: its users are another's now",
		    list[i]->label);
		push_lane_close(list[i]->lane);
		free_brand(list[i]);
	}
	free(list);
}

void brands_reload(struct brands *all, bool everything)
{
	struct brand **old = all->list, **list, *b;
	size_t n_old = all->n, at = 0, i;
	struct folder names;
	char err[ERR_MAX];

	all->folder = mark_of_folder(all->conf);
	if (read_names(all->conf, &names, err) < 0) {
		log_error("%s: the old brands stay", err);
		folder_free(&names);
		return;
	}
	list = xmalloc((names.n + 1) * sizeof(*list));
	for (i = 0; i < names.n; i++) {
		b = take_old(all, &at, names.names[i]);
		if (b == NULL)
			b = add_brand(all, names.names[i]);
		else if (everything || is_bad(b) ||
			 b->mark != mark_of_all(all->conf, b))
			change_brand(all, b);
		list[i] = b;
	}
	all->list = list;
	all->n = names.n;
	folder_free(&names);
	if (all->conf->brands_dir != NULL || n_old > 0)
		apply(all);
	drop_old(old, n_old);
}

void brands_main_changed(struct brands *all)
{
	/* Not before the start, nor for a reload that applies them anyway. */
	if (all->n > 0)
		apply(all);
}

void brands_check(struct brands *all)
{
	bool bad = false;
	size_t i;

	watch_check(all->watch);
	for (i = 0; i < all->n; i++)
		bad = bad || is_bad(all->list[i]);
	if (bad) /* perhaps they are good now */
		brands_reload(all, false);
	for (i = 0; i < all->n; i++)
		renew_warn(all->list[i]->renew);
}

size_t brands_count(const struct brands *all)
{
	return all->n;
}
