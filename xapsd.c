/* xapsd.c - wiring, start and shutdown. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "buf.h"
#include "check.h"
#include "cli.h"
#include "conf.h"
#include "cred.h"
#include "http.h"
#include "io.h"
#include "loop.h"
#include "pass.h"
#include "push.h"
#include "renew.h"
#include "store.h"
#include "tls.h"

/* SIGTERM: how long what is under way may take. */
#define SHUTDOWN_MS 5000
#define SHUTDOWN_LOOK_MS 20

/* Registrations expire in days: looking once a day is enough. */
#define EXPIRE_MAX_MS (24 * 60 * 60 * 1000)

#define LISTENERS_MAX 8

/* A password file holds one line. */
#define PASSWORD_MAX 1024

struct daemon {
	struct conf conf;
	struct loop *loop;
	struct store *store;
	struct cred *cred; /* renew's, once that is there */
	struct renew *renew;
	struct push_queue *queue;
	struct api *api;
	struct http_server *server;
	struct tls_ctx *tls;
	struct tls_cert *tls_cert;
	struct tls_key *tls_key;
	struct loop_timer expire, shutdown;
	int64_t shutdown_ms; /* when SIGTERM came; 0 not yet */
	/* bound before privileges go, served once everything stands */
	struct {
		int fd;
		bool is_unix, is_tls;
	} listeners[LISTENERS_MAX];
	size_t n_listeners;
	char err[ERR_MAX];
};

/* --- listeners --- */

static bool is_loopback(const char *addr)
{
	return strcmp(addr, "localhost") == 0 || strcmp(addr, "::1") == 0 ||
	       strncmp(addr, "127.", 4) == 0;
}

/* Whoever can register can read nothing, but can make us push: it takes a
 * password, and the password takes TLS. */
static int check_exposure(struct daemon *d)
{
	const struct conf *c = &d->conf;
	bool password =
	    c->http_user != NULL &&
	    (c->http_password != NULL || c->http_password_file != NULL);

	if (c->allow_insecure)
		return 0;
	if (c->port != 0 && !is_loopback(c->listen_addr)) {
		conf_blame(c, "listenAddr", d->err,
		    "%s can be reached from other machines without "
		    "encryption: use the tlsListenAddr keys, or set "
		    "allowInsecure: yes",
		    c->listen_addr);
		return -1;
	}
	if (c->tls_certfile != NULL && !is_loopback(c->tls_listen_addr) &&
	    !password) {
		conf_blame(c, "tlsListenAddr", d->err,
		    "%s can be reached from other machines: set httpUser and "
		    "httpPassword, or allowInsecure: yes",
		    c->tls_listen_addr);
		return -1;
	}
	return 0;
}

static void keep_listener(struct daemon *d, int fd, bool is_unix, bool is_tls)
{
	d->listeners[d->n_listeners].fd = fd;
	d->listeners[d->n_listeners].is_unix = is_unix;
	d->listeners[d->n_listeners++].is_tls = is_tls;
}

static int listen_tcp(struct daemon *d, const char *addr, int port, bool is_tls)
{
	int fd, fd6;

	if (strcmp(addr, "localhost") != 0) {
		fd = io_listen_tcp(addr, port, d->err);
		if (fd >= 0)
			keep_listener(d, fd, false, is_tls);
		return fd < 0 ? -1 : 0;
	}
	fd = io_listen_tcp("127.0.0.1", port, d->err);
	if (fd < 0)
		return -1;
	keep_listener(d, fd, false, is_tls);
	/* A kernel without IPv6 is fine. */
	fd6 = io_listen_tcp("::1", port, d->err);
	if (fd6 >= 0)
		keep_listener(d, fd6, false, is_tls);
	else if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
		return -1;
	return 0;
}

static int set_socket_group(struct daemon *d)
{
	const struct conf *c = &d->conf;
	const struct group *g = getgrnam(c->socket_group);

	if (g == NULL) {
		conf_blame(c, "socketGroup", d->err, "there is no group %s",
		    c->socket_group);
		return -1;
	}
	if (chown(c->socket_path, (uid_t)-1, g->gr_gid) < 0) {
		conf_blame(c, "socketGroup", d->err,
		    "cannot give %s to group %s: %s", c->socket_path,
		    c->socket_group, strerror(errno));
		return -1;
	}
	return 0;
}

static int open_listeners(struct daemon *d)
{
	const struct conf *c = &d->conf;
	int fd;

	if (check_exposure(d) < 0)
		return -1;
	if (c->socket_path != NULL) {
		fd = io_listen_unix(c->socket_path, c->socket_mode, d->err);
		if (fd < 0)
			return -1;
		keep_listener(d, fd, true, false);
		if (c->socket_group != NULL && set_socket_group(d) < 0)
			return -1;
	}
	if (c->port != 0 && listen_tcp(d, c->listen_addr, c->port, false) < 0)
		return -1;
	if (c->tls_certfile != NULL && c->tls_port != 0 &&
	    listen_tcp(d, c->tls_listen_addr, c->tls_port, true) < 0)
		return -1;
	if (d->n_listeners == 0) {
		err_set(d->err, "nothing to listen on: set socketPath or port");
		return -1;
	}
	return 0;
}

/* --- files that the configuration names --- */

/* The file's text; secrets are wiped by the caller.  NULL with err set. */
static char *read_small_file(
    struct daemon *d, const char *key, const char *name, size_t max)
{
	char *path = conf_beside(&d->conf, name), *text = xmalloc(max + 1);
	FILE *f = fopen(path, "re");
	size_t n = 0;

	if (f != NULL)
		n = fread(text, 1, max, f);
	if (f == NULL || ferror(f)) {
		conf_blame(&d->conf, key, d->err, "cannot read %s: %s", path,
		    strerror(errno));
		free(text);
		text = NULL;
	} else {
		text[n] = '\0';
	}
	if (f != NULL)
		fclose(f);
	free(path);
	return text;
}

static int read_http_password(struct daemon *d)
{
	struct conf *c = &d->conf;
	char *text;

	if (c->http_password_file == NULL || c->http_password != NULL)
		return 0;
	text = read_small_file(
	    d, "httpPasswordFile", c->http_password_file, PASSWORD_MAX);
	if (text == NULL)
		return -1;
	text[strcspn(text, "\r\n")] = '\0';
	c->http_password = text;
	return 0;
}

#define PEM_MAX (256 * 1024) /* a certificate with its chain */

static int open_server_tls(struct daemon *d)
{
	const struct conf *c = &d->conf;
	char *cert = NULL, *key = NULL, why[ERR_MAX];
	int rc = -1;

	if (c->tls_certfile == NULL)
		return 0;
	cert = read_small_file(d, "tlsCertfile", c->tls_certfile, PEM_MAX);
	if (cert == NULL)
		goto out;
	key = read_small_file(d, "tlsKeyfile", c->tls_keyfile, PEM_MAX);
	if (key == NULL)
		goto out;
	d->tls_cert = tls_cert_parse(cert, strlen(cert), why);
	if (d->tls_cert == NULL) {
		conf_blame(c, "tlsCertfile", d->err, "%s", why);
		goto out;
	}
	d->tls_key = tls_key_parse(key, strlen(key), NULL, why);
	if (d->tls_key != NULL)
		d->tls = tls_server_new(d->tls_cert, d->tls_key, why);
	if (d->tls == NULL) {
		conf_blame(c, "tlsKeyfile", d->err, "%s", why);
		goto out;
	}
	rc = 0;
out:
	free(cert);
	if (key != NULL)
		mem_wipe(key, strlen(key));
	free(key);
	return rc;
}

/* --- privileges --- */

static int drop_user(struct daemon *d)
{
	const struct conf *c = &d->conf;
	const struct passwd *pw;

	if (c->user == NULL || geteuid() != 0)
		return 0;
	pw = getpwnam(c->user);
	if (pw == NULL) {
		conf_blame(c, "user", d->err, "there is no user %s", c->user);
		return -1;
	}
	if (c->socket_path != NULL && c->socket_group == NULL &&
	    chown(c->socket_path, pw->pw_uid, pw->pw_gid) < 0)
		log_warn("%s: cannot give it to %s: %s", c->socket_path,
		    c->user, strerror(errno));
	if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 ||
	    setuid(pw->pw_uid) < 0 || (pw->pw_uid != 0 && setuid(0) == 0)) {
		conf_blame(c, "user", d->err, "cannot become %s: %s", c->user,
		    strerror(errno));
		return -1;
	}
	return 0;
}

/* A core dump would hold keys; nothing that we start needs more rights. */
static void harden(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Every client is a descriptor; the soft limit is often 1024. */
static void raise_fd_limit(const struct conf *c)
{
	struct rlimit rl;
	rlim_t want = (rlim_t)c->max_connections + 64;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur >= want)
		return;
	rl.rlim_cur = want < rl.rlim_max ? want : rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

/* --- running --- */

static void on_expire(void *arg)
{
	struct daemon *d = arg;
	int64_t ttl_s = d->conf.registration_ttl_s, ms = ttl_s * 1000 / 2;
	int64_t now_s = (int64_t)time(NULL);
	size_t n = 0;

	/* A clock that was never set makes nothing old. */
	if (now_s >= TLS_CLOCK_MIN_S)
		n = store_expire(d->store, now_s - ttl_s);
	if (n > 0)
		log_info("store: %zu registrations were not renewed within "
			 "registrationTtl: dropped",
		    n);
	loop_timer_set(
	    d->loop, &d->expire, ms < EXPIRE_MAX_MS ? ms : EXPIRE_MAX_MS);
}

static void on_shutdown_look(void *arg)
{
	struct daemon *d = arg;
	bool late = loop_now_ms(d->loop) - d->shutdown_ms >= SHUTDOWN_MS;

	if (!late &&
	    (push_is_busy(d->queue) || http_server_busy(d->server) > 0)) {
		loop_timer_set(d->loop, &d->shutdown, SHUTDOWN_LOOK_MS);
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
	log_info("stopping: %s", strsignal(signo));
	d->shutdown_ms = loop_now_ms(d->loop);
	http_server_quiesce(d->server);
	push_flush(d->queue);
	on_shutdown_look(d);
}

static void say_start(const struct daemon *d)
{
	const struct conf *c = &d->conf;
	const char *trouble = push_trouble(d->queue);

	log_info("xapsd %s (%s) started: %zu registrations", XAPSD_VERSION,
	    tls_version(), store_count(d->store));
	if (c->apple_id != NULL || c->apple_id_hashed_password != NULL)
		log_warn("appleId: Apple closed this log-in in October 2024: "
			 "use keyFileP8 or certificateFilePem instead");
	if (trouble != NULL)
		log_error("no pushes: %s", trouble);
}

static char *queue_path(const struct daemon *d)
{
	size_t n = strlen(d->conf.database_file) + sizeof(".queue");
	char *path = xmalloc(n);

	snprintf(path, n, "%s.queue", d->conf.database_file);
	return path;
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

static int start(struct daemon *d)
{
	size_t i;

	if (read_http_password(d) < 0 || open_server_tls(d) < 0)
		return EXIT_CONFIG;
	raise_fd_limit(&d->conf);
	if (open_listeners(d) < 0)
		return EXIT_CONFIG;
	if (drop_user(d) < 0)
		return EXIT_CONFIG;
	harden();
	d->cred = cred_load(&d->conf, d->err);
	if (d->cred == NULL)
		return EXIT_CONFIG;
	d->store = store_open(d->conf.database_file, d->err);
	if (d->store == NULL)
		return EXIT_FAILED;
	d->queue = push_new(d->loop, &d->conf, d->store, d->cred);
	d->api = api_new(d->loop, &d->conf, d->store, d->queue, d->cred);
	d->renew = renew_new(d->loop, &d->conf, d->cred, d->queue, d->api);
	d->cred = NULL;
	d->server = http_server_new(
	    d->loop, (size_t)d->conf.max_connections, api_handle, d->api);
	for (i = 0; i < d->n_listeners; i++)
		http_server_listen(d->server, d->listeners[i].fd,
		    d->listeners[i].is_unix,
		    d->listeners[i].is_tls ? d->tls : NULL);
	loop_timer_init(&d->expire, on_expire, d);
	loop_timer_init(&d->shutdown, on_shutdown_look, d);
	if (loop_signal(d->loop, SIGTERM, on_term, d) < 0 ||
	    loop_signal(d->loop, SIGINT, on_term, d) < 0) {
		err_set(d->err, "signals: %s", strerror(errno));
		return EXIT_FAILED;
	}
	on_expire(d);
	load_queue(d);
	say_start(d);
	return EXIT_DONE;
}

static void stop(struct daemon *d)
{
	if (d->api != NULL)
		api_sync(d->api);
	http_server_free(d->server);
	save_queue(d);
	push_free(d->queue);
	api_free(d->api);
	store_close(d->store);
	cred_free(d->cred);
	renew_free(d->renew);
	tls_ctx_free(d->tls);
	tls_cert_free(d->tls_cert);
	tls_key_free(d->tls_key);
	loop_timer_clear(d->loop, &d->expire);
	loop_timer_clear(d->loop, &d->shutdown);
	loop_free(d->loop);
	if (d->shutdown_ms != 0 && d->conf.socket_path != NULL)
		unlink(d->conf.socket_path);
}

static int serve(struct daemon *d)
{
	int rc;

	d->loop = loop_new(d->err);
	if (d->loop == NULL || tls_init(d->err) < 0) {
		log_at(LOG_L_FATAL, "%s", d->err);
		return EXIT_FAILED;
	}
	rc = start(d);
	if (rc != EXIT_DONE)
		log_at(LOG_L_FATAL, "%s", d->err);
	else
		loop_run(d->loop);
	stop(d);
	tls_exit();
	return rc;
}

static void open_log(const struct cli *cli)
{
	if (cli->to_syslog)
		log_open(LOG_D_SYSLOG);
	else if (getenv("JOURNAL_STREAM") != NULL)
		log_open(LOG_D_JOURNAL);
}

int main(int argc, char **argv)
{
	struct daemon d = { 0 };
	struct cli cli;
	const char *command;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (cli_parse(&cli, argc, argv, d.err) < 0) {
		fprintf(stderr, "xapsd: %s; try xapsd --help\n", d.err);
		return EXIT_USAGE;
	}
	if (cli.help || cli.version) {
		if (cli.help)
			fputs(cli_help, stdout);
		else
			printf("xapsd %s, %s\n", XAPSD_VERSION, tls_version());
		return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
	}
	command = cli.rest < argc ? argv[cli.rest] : "";
	if (cli.pass || strcmp(command, "pass") == 0)
		return pass_run();
	if (*command != '\0' && strcmp(command, "check") != 0) {
		fprintf(stderr, "xapsd: unknown command %s; try xapsd --help\n",
		    command);
		return EXIT_USAGE;
	}
	open_log(&cli);
	if (cli_configure(&cli, &d.conf, d.err) < 0) {
		log_at(LOG_L_FATAL, "%s", d.err);
		rc = EXIT_CONFIG;
	} else {
		log_set_level(cli.verbose > 1 ? LOG_L_TRACE
			      : cli.verbose == 1
				  ? LOG_L_DEBUG
				  : (enum log_level)d.conf.loglevel);
		rc = *command != '\0' ? check_run(&d.conf) : serve(&d);
	}
	conf_free(&d.conf);
	return rc;
}
