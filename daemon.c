/* daemon.c - wiring, start, signals and shutdown. */
#include "daemon.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "apns.h"
#include "cli.h"
#include "commit.h"
#include "conf.h"
#include "cred.h"
#include "http.h"
#include "daemon/brands.h"
#include "daemon/hooks.h"
#include "daemon/sockets.h"
#include "loop.h"
#include "mem.h"
#include "push.h"
#include "shared.h"
#include "daemon/renew.h"
#include "store.h"
#include "daemon/systemd.h"
#include "daemon/unix.h"
#include "daemon/user.h"
#include "tls.h"
#include "webpush.h"

/* SIGTERM: how long what is under way may take. */
#define SHUTDOWN_MS 5000
#define SHUTDOWN_CHECK_MS 20

/* Registrations and certificates expire in days: checking once a day is
 * enough. */
#define EXPIRE_MAX_MS (24 * 60 * 60 * 1000)

struct daemon {
	const struct cli *cli;
	struct conf conf;
	struct loop *loop;
	struct store *store;
	struct renew *renew;
	struct brands *brands;
	struct hooks *hooks;
	struct commit *commit;
	struct push_queue *queue;
	struct shared *shared; /* NULL: sharedStore is not set */
	struct api *api;
	struct http_server *server;
	struct loop_timer expire, shutdown;
	int64_t shutdown_ms; /* when SIGTERM came; 0 not yet */
	struct listen_sockets listeners;
	struct user user;
	char err[ERR_MAX];
};

/* --- files that the configuration names --- */

int daemon_read_password(struct conf *c, char err[ERR_MAX])
{
	static const char key[] = "httpPasswordFile";

	if (c->http_password_file == NULL || c->http_password != NULL)
		return 0;
	c->http_password =
	    cred_read_password(c, key, c->http_password_file, err);
	if (c->http_password == NULL)
		return -1;
	if (*c->http_password != '\0')
		return 0;
	/* Else everybody would have the password. */
	conf_blame(c, key, err,
	    "the first line of %s is empty: write the "
	    "password there",
	    c->http_password_file);
	return -1;
}

/* --- privileges --- */

/* A core dump would hold keys; nothing that we start needs more rights. */
static void harden(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Descriptors that are not a client's: listeners, files, watches, Apple's
 * connection and attempts at it. */
#define OWN_FDS 64
#define OWN_FDS_MIN 16
/* Kept from clients in any case. */
#define KEPT_FDS 24

static rlim_t min_fds(rlim_t a, rlim_t b)
{
	return a < b ? a : b;
}

/* How many clients there can be, how many more that are refused or wait, and
 * their highest descriptor. */
struct fd_limits {
	size_t clients, extra;
	int max_fd;
};

/* Every client is a descriptor; the soft limit is often 1024. */
static struct fd_limits raise_fd_limit(const struct conf *c, size_t n_brands)
{
	struct fd_limits lim = { (size_t)c->max_connections, HTTP_EXTRA_FDS,
		INT_MAX };
	rlim_t max = (rlim_t)c->max_connections, kept, left;
	/* A connection for each, and for those that are added later. */
	rlim_t own = OWN_FDS * (1 + (c->brands_dir != NULL)) + n_brands;
	rlim_t want = max + own + KEPT_FDS + HTTP_EXTRA_FDS;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return lim;
	if (rl.rlim_cur < want) {
		rl.rlim_cur = want < rl.rlim_max ? want : rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
		getrlimit(RLIMIT_NOFILE, &rl);
	}
	if (rl.rlim_cur >= want)
		return lim;
	kept = min_fds(KEPT_FDS, rl.rlim_cur / 4);
	lim.max_fd = (int)(rl.rlim_cur - kept);
	own = min_fds(own, rl.rlim_cur / 4);
	if (own < OWN_FDS_MIN)
		own = OWN_FDS_MIN;
	left = rl.rlim_cur > kept + own + 4 ? rl.rlim_cur - kept - own : 4;
	lim.extra = (size_t)min_fds(HTTP_EXTRA_FDS, left / 4);
	if (left - lim.extra >= max)
		return lim;
	lim.clients = (size_t)left - lim.extra;
	log_warn("maxConnections: lowered from %d to %zu: this process may "
		 "have no more than %llu open files (LimitNOFILE=, ulimit -n)",
	    c->max_connections, lim.clients, (unsigned long long)rl.rlim_cur);
	return lim;
}

static void use_fd_limits(struct daemon *d, const struct fd_limits *lim)
{
	http_server_set_max(d->server, lim->clients, lim->extra);
	http_server_set_max_fd(d->server, lim->max_fd);
}

/* --- running --- */

/* Changes of one registration that are written in an hour; a person who tries
 * things out makes fewer. */
#define CHANGES_AN_HOUR 10

static void set_limits(struct daemon *d)
{
	const struct conf *c = &d->conf;

	store_set_limits(
	    d->store, &(struct store_limits){ .devices = (size_t)c->max_devices,
			  .registrations = (size_t)c->max_registrations,
			  .changes = CHANGES_AN_HOUR,
			  .ttl_s = c->registration_ttl_s });
}

static void on_expire(void *arg)
{
	struct daemon *d = arg;
	int64_t ms = d->conf.registration_ttl_s * 1000 / 2;
	size_t n;

	store_clock(d->store, (int64_t)time(NULL), loop_clock_ms() / 1000);
	n = store_expire(d->store);
	if (n > 0)
		log_info("store: %zu registration%s %s not renewed within "
			 "registrationTtl, or replaced by another account of "
			 "the same device: dropped",
		    n, LOG_S(n), n == 1 ? "was" : "were");
	renew_check(d->renew);
	loop_timer_set(
	    d->loop, &d->expire, ms < EXPIRE_MAX_MS ? ms : EXPIRE_MAX_MS);
}

static void on_day(void *arg)
{
	struct daemon *d = arg;

	on_expire(d);
	brands_check(d->brands);
}

static void on_shutdown_check(void *arg)
{
	struct daemon *d = arg;
	bool late = loop_now_ms(d->loop) - d->shutdown_ms >= SHUTDOWN_MS;

	if (!late && (push_is_busy(d->queue) || http_server_busy(d->server))) {
		loop_timer_set(d->loop, &d->shutdown, SHUTDOWN_CHECK_MS);
		return;
	}
	loop_stop(d->loop);
}

static void on_term(void *arg, int signo)
{
	struct daemon *d = arg;

	if (d->shutdown_ms != 0) {
		loop_stop(d->loop);
		return;
	}
	log_info("stopping: %s", signo == SIGINT ? "SIGINT" : "SIGTERM");
	systemd_notify("STOPPING=1");
	d->shutdown_ms = loop_now_ms(d->loop);
	sockets_quiesce(&d->listeners);
	http_server_quiesce(d->server);
	push_flush(d->queue);
	/* requests that came in the same round are dealt with first */
	loop_timer_set(d->loop, &d->shutdown, 0);
}

static enum log_level wanted_level(const struct daemon *d)
{
	return d->cli->verbose > 1    ? LOG_L_TRACE
	       : d->cli->verbose == 1 ? LOG_L_DEBUG
				      : (enum log_level)d->conf.loglevel;
}

static void use_shared(struct daemon *d, struct shared *shared)
{
	if (d->shared == shared)
		return;
	shared_free(d->shared);
	d->shared = shared;
	api_set_shared(d->api, shared);
	shared_add_cred(shared, renew_cred(d->renew));
	brands_share(d->brands, shared);
	if (shared != NULL)
		shared_start(shared, d->queue);
}

/* The keys of sharedStore may have changed, or files that they name. */
static void reload_shared(struct daemon *d, bool changed)
{
	struct shared *fresh;

	if (!changed && (d->shared == NULL || shared_is_in_step(d->shared)))
		return;
	fresh = shared_new(d->loop, &d->conf, d->store, d->commit, d->err);
	if (fresh == NULL && d->err[0] != '\0')
		log_error("%s: not used, the old connection stays", d->err);
	else
		use_shared(d, fresh);
}

/* What the text of the configuration shows to be wrong. */
static int check_text(const struct conf *c, char err[ERR_MAX])
{
	return apns_check_text(c, err) < 0 || push_check_text(c, err) < 0 ||
		       shared_check_text(c, err) < 0 ||
		       webpush_check_text(c, err) < 0
		   ? -1
		   : 0;
}

/* The file, read again: 0, or -1 with err set. */
static int read_again(struct daemon *d, struct conf *fresh)
{
	if (cli_configure(d->cli, fresh, d->err) < 0 ||
	    daemon_read_password(fresh, d->err) < 0 ||
	    reach_check_text(fresh, d->err) < 0 ||
	    check_text(fresh, d->err) < 0)
		return -1;
	return sockets_check_reload(&d->listeners, fresh, d->err);
}

static void warn(const char *what)
{
	log_warn("%s", what);
}

static void on_hup(void *arg, int signo)
{
	struct daemon *d = arg;
	struct fd_limits lim;
	struct conf fresh;
	char state[64], restart[ERR_MAX];
	struct timespec now;
	bool moved = false; /* what concerns connections to Apple */

	(void)signo;
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	systemd_notify(state);
	if (read_again(d, &fresh) < 0) {
		log_error("%s: not used, the old configuration stays", d->err);
	} else {
		conf_take(&d->conf, &fresh, restart);
		if (restart[0] != '\0')
			log_warn("reload: takes effect at the next start "
				 "only: %s",
			    restart);
		log_set_level(wanted_level(d));
		cred_check_unused(&d->conf, warn);
		api_set_password(d->api);
		push_refresh_guard(d->queue);
		push_refresh_origins(d->queue);
		push_refresh_brands(d->queue);
		lim = raise_fd_limit(&d->conf, brands_count(d->brands));
		use_fd_limits(d, &lim);
		set_limits(d);
		reload_shared(d, conf_differs(&d->conf, &fresh, "shared"));
		moved = conf_differs(&d->conf, &fresh, "apns") ||
			conf_differs(&d->conf, &fresh, "push");
		on_expire(d);
		log_info("reload: the configuration was read again");
	}
	if (!renew_reload(d->renew))
		push_reconfigure(push_lane_at(d->queue, 0));
	brands_reload(d->brands, moved);
	hooks_reload(d->hooks);
	renew_reload_server(d->renew);
	conf_free(&fresh);
	systemd_notify("READY=1");
}

static void on_usr1(void *arg, int signo)
{
	struct daemon *d = arg;

	(void)signo;
	api_log_status(d->api);
}

static void log_start(const struct daemon *d)
{
	const struct conf *c = &d->conf;
	const char *trouble = push_verdict(d->queue, true);
	size_t n = store_count(d->store);

	log_info("xapsd %s (%s) started: %zu registration%s", XAPSD_VERSION,
	    tls_version(), n, LOG_S(n));
	daemon_check_moved(c, warn);
	if (geteuid() == 0 && c->user == NULL)
		log_warn("user: is not set, so this runs as root, which it "
			 "does not need: make a user (useradd --system xapsd), "
			 "give it the folder of databaseFile and the files of "
			 "keys, and set user: xapsd");
	if (trouble != NULL)
		log_error("no pushes: %s", trouble);
}

static char *queue_path(const struct daemon *d)
{
	return xprintf("%s.queue", d->conf.database_file);
}

static void save_queue(struct daemon *d)
{
	char *path;

	if (d->shutdown_ms == 0) /* never got that far */
		return;
	path = queue_path(d);
	if (push_save(d->queue, path, d->err) < 0)
		log_error("push: %s", d->err);
	free(path);
}

static void load_queue(struct daemon *d)
{
	char *path = queue_path(d);

	push_load(d->queue, path);
	free(path);
}

static void set_cred(void *arg, struct cred *cred)
{
	struct daemon *d = arg;

	push_set_cred(push_lane_at(d->queue, 0), cred);
	api_set_cred(d->api, cred);
	shared_add_cred(d->shared, cred);
	brands_main_changed(d->brands);
}

static void set_lack(void *arg, const char *why)
{
	struct daemon *d = arg;

	push_set_cred_error(push_lane_at(d->queue, 0), why);
}

static void set_tls(void *arg, struct tls_ctx *tls)
{
	struct daemon *d = arg;

	sockets_set_tls(&d->listeners, tls);
}

static const struct renew_ops renew_ops = {
	.set_cred = set_cred,
	.set_lack = set_lack,
	.set_tls = set_tls,
};

static int catch_signals(struct daemon *d)
{
	static const struct {
		int signo;
		void (*cb)(void *arg, int signo);
	} rows[] = {
		{ SIGTERM, on_term },
		{ SIGINT, on_term },
		{ SIGHUP, on_hup },
		{ SIGUSR1, on_usr1 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (loop_signal(d->loop, rows[i].signo, rows[i].cb, d) < 0) {
			err_set(d->err, "signals: %s", err_words(errno));
			return -1;
		}
	return 0;
}

/* Everything that root's rights may be needed for, then away with them. */
static int open_and_drop(struct daemon *d)
{
	if (user_find(&d->user, &d->conf, d->err) < 0)
		return EXIT_CONFIG;
	if (daemon_read_password(&d->conf, d->err) < 0 ||
	    renew_load_server(d->renew, d->err) < 0)
		return EXIT_FAILED;
	if (sockets_plan(&d->listeners, &d->conf, d->err) < 0)
		return EXIT_CONFIG;
	if (sockets_open_unix(&d->listeners, &d->conf, &d->user, d->err) < 0)
		return unix_has_group(&d->conf, d->err) ? EXIT_FAILED
							: EXIT_CONFIG;
	if (sockets_open_tcp(
		&d->listeners, renew_tls(d->renew) != NULL, d->err) < 0) {
		/* A second daemon ends alike, whatever it finds first. */
		store_in_use(d->conf.database_file, d->err);
		return EXIT_FAILED;
	}
	if (user_drop(&d->user, &d->conf, d->err) < 0)
		return EXIT_FAILED;
	harden();
	return EXIT_DONE;
}

static void serve(
    struct daemon *d, const struct fd_limits *lim, struct shared *shared)
{
	struct cred *cred = renew_cred(d->renew);

	d->queue = push_new(d->loop, &d->conf, d->store, cred);
	push_set_cred_error(push_lane_at(d->queue, 0), renew_lack(d->renew));
	d->api =
	    api_new(d->loop, &d->conf, d->store, d->commit, d->queue, cred);
	d->server = http_server_new(d->loop, lim->clients, api_handle, d->api);
	use_fd_limits(d, lim);
	http_server_set_lines(d->server, api_handle_line, d->api);
	api_set_server(d->api, d->server);
	use_shared(d, shared);
	sockets_serve(&d->listeners, d->loop, d->server, renew_tls(d->renew));
	renew_start(d->renew);
	brands_start(d->brands, d->queue);
	hooks_start(d->hooks, d->queue);
	loop_timer_init(&d->expire, on_day, d);
	loop_timer_init(&d->shutdown, on_shutdown_check, d);
	on_expire(d);
	load_queue(d);
	log_start(d);
	systemd_notify("READY=1");
}

/* Functions that daemon_run() calls once: what they need of the stack must not become
 * part of its frame, below which all else would run for as long as the process lives.
 * (The stack's pages that were used once are never given back.) */
#define NOT_INLINED __attribute__((noinline))

/* EXIT_CONFIG only for what the configuration's text says: the supervisor does
 * not try that again, while all else may recover. */
static NOT_INLINED int start(struct daemon *d)
{
	struct fd_limits lim;
	struct shared *shared;
	int rc;

	/* First: a client that can connect may expect signals to work, too.
	 * They wait until the loop runs. */
	if (catch_signals(d) < 0)
		return EXIT_FAILED;
	if (reach_check_text(&d->conf, d->err) < 0 ||
	    cred_check_text(&d->conf, d->err) < 0 ||
	    check_text(&d->conf, d->err) < 0)
		return EXIT_CONFIG;
	d->brands = brands_new(d->loop, &d->conf);
	d->hooks = hooks_new(d->loop, &d->conf);
	rc = brands_read(d->brands, d->err);
	if (rc != EXIT_DONE)
		return rc;
	d->renew = renew_new(d->loop, &d->conf, &renew_ops, d);
	lim = raise_fd_limit(&d->conf, brands_count(d->brands));
	rc = open_and_drop(d);
	if (rc != EXIT_DONE)
		return rc;
	if (renew_load(d->renew, d->err) < 0)
		return EXIT_FAILED;
	rc = brands_load(d->brands, d->err);
	if (rc == EXIT_DONE)
		rc = hooks_read(d->hooks, d->err);
	if (rc != EXIT_DONE)
		return rc;
	d->store = store_open(d->conf.database_file, d->err);
	if (d->store == NULL)
		return EXIT_FAILED;
	d->commit = commit_new(d->loop, d->store);
	set_limits(d);
	shared = shared_new(d->loop, &d->conf, d->store, d->commit, d->err);
	if (shared == NULL && d->err[0] != '\0')
		return EXIT_FAILED;
	serve(d, &lim, shared);
	return EXIT_DONE;
}

static NOT_INLINED void stop(struct daemon *d)
{
	if (d->api != NULL) {
		commit_sync(d->commit);
		api_set_server(d->api, NULL);
	}
	http_server_free(d->server);
	sockets_close(&d->listeners, &d->conf);
	save_queue(d);
	shared_free(d->shared);
	brands_stop(d->brands);
	push_free(d->queue);
	api_free(d->api);
	commit_free(d->commit);
	store_close(d->store);
	renew_free(d->renew);
	brands_free(d->brands);
	hooks_free(d->hooks);
	loop_timer_clear(d->loop, &d->expire);
	loop_timer_clear(d->loop, &d->shutdown);
	loop_free(d->loop);
}

int daemon_run(struct conf *conf, const struct cli *cli)
{
	struct daemon d = { .cli = cli, .conf = *conf };
	int rc;

	memset(conf, 0, sizeof(*conf));
	log_set_level(wanted_level(&d));
	d.loop = loop_new(d.err);
	if (d.loop == NULL || tls_init(d.err) < 0) {
		log_at(LOG_L_FATAL, "%s", d.err);
		conf_free(&d.conf);
		return EXIT_FAILED;
	}
	rc = start(&d);
	if (rc != EXIT_DONE)
		log_at(LOG_L_FATAL, "%s", d.err);
	else
		loop_run(d.loop);
	stop(&d);
	tls_exit();
	conf_free(&d.conf);
	return rc;
}
