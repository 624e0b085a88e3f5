/* daemon/renew.c - credentials over time. */
#include "daemon/renew.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "conf.h"
#include "cred.h"
#include "daemon.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "daemon/watch.h"

#define DAY_S 86400

/* Files that are missing are checked for with these pauses: mounting a file
 * system over a folder causes no event. */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 15000

/* 0: it is past. */
static const unsigned char warn_days[] = { 0, 1, 3, 7, 14, 30 };

#define N_WARN_DAYS (sizeof(warn_days) / sizeof(warn_days[0]))

struct renew {
	struct loop *loop;
	const struct conf *conf;
	const struct renew_ops *ops;
	void *arg;
	const char *label; /* whose credentials, for messages */
	bool is_brand;
	struct cred *cred;
	char *lack; /* why cred is only a placeholder, or "" */
	struct watch *watch;
	size_t warned; /* the row of the last warning, N_WARN_DAYS none yet */

	bool serves_tls;
	struct cred *server_cred; /* NULL: none, or it lacks its files */
	struct watch *server_watch;
	size_t server_warned;

	struct loop_timer retry; /* while something is missing */
	int64_t retry_ms;
};

/* --- files that are not there yet --- */

static void note_unreadable(void *arg, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		*(bool *)arg = true;
	else
		close(fd);
}

static bool lacks_file(const struct conf *conf)
{
	bool lacks = false;

	cred_each_file(conf, note_unreadable, &lacks);
	return lacks;
}

static bool lacks_server_file(const struct conf *conf)
{
	char *cert = conf_file_path(conf, conf->tls_certfile);
	char *key = conf_file_path(conf, conf->tls_keyfile);
	bool lacks = false;

	note_unreadable(&lacks, cert);
	note_unreadable(&lacks, key);
	free(cert);
	free(key);
	return lacks;
}

static void set_lack(struct renew *r, const char *why)
{
	char *old = r->lack;

	r->lack = xstrdup(why);
	free(old);
}

static bool is_waiting(const struct renew *r)
{
	return r->lack[0] != '\0' || (r->serves_tls && r->server_cred == NULL);
}

static void on_retry(void *arg)
{
	struct renew *r = arg;

	watch_check(r->watch);
	watch_check(r->server_watch);
	if (!is_waiting(r))
		return;
	r->retry_ms =
	    r->retry_ms < RETRY_MAX_MS / 2 ? 2 * r->retry_ms : RETRY_MAX_MS;
	loop_timer_set(r->loop, &r->retry, r->retry_ms);
}

/* --- the credentials --- */

static void on_changed(void *arg)
{
	log_info("credentials: a file has changed");
	renew_reload(arg);
}

/* The folders of the files that conf names now. */
static void watch_files(struct renew *r)
{
	if (r->is_brand)
		return;
	watch_free(r->watch);
	r->watch = watch_new(r->loop, on_changed, r);
	cred_each_file(r->conf, watch_add, r->watch);
}

static const char *utc(int64_t time_s, char out[LOG_DATE_MAX])
{
	return log_date(time_s, LOG_DATE_MINUTE, false, out);
}

static void log_cred(const struct renew *r)
{
	char date[LOG_DATE_MAX];
	const char *warning;
	size_t i;

	if (cred_kind(r->cred) == CRED_TOKEN_KEY)
		log_info(
		    "%sToken key for topic %s", r->label, cred_topic(r->cred));
	if (cred_kind(r->cred) == CRED_CERTIFICATE)
		log_info("%sCertificate valid until %s UTC, topic %s", r->label,
		    utc(cred_expires_s(r->cred), date), cred_topic(r->cred));
	if (cred_fcm(r->cred) != NULL)
		log_info("%sFCM: service account %s of project %s", r->label,
		    cred_fcm(r->cred)->email, cred_fcm(r->cred)->project);
	for (i = 0; (warning = cred_warning(r->cred, i)) != NULL; i++)
		log_warn("%s%s", r->label, warning);
}

/* The row of the smallest of warn_days that is not past, N_WARN_DAYS if
 * none. */
static size_t warn_row(int64_t left_s)
{
	size_t i;

	for (i = 0; i < N_WARN_DAYS; i++)
		if (left_s <= (int64_t)warn_days[i] * DAY_S)
			break;
	return i;
}

/* Once for each row up to `most`; *warned is the last one's. */
static void warn_expiry(const struct cred *cred, size_t most, size_t *warned,
    const char *whose, const char *then)
{
	int64_t now_s = (int64_t)time(NULL), expires_s = cred_expires_s(cred);
	long long days = (long long)((expires_s - now_s + DAY_S - 1) / DAY_S);
	char date[LOG_DATE_MAX];
	size_t row;

	/* A clock that was never set proves nothing. */
	if (expires_s == 0 || now_s < CLOCK_MIN_S)
		return;
	row = warn_row(expires_s - now_s);
	/* A clock that ran ahead has warned too early. */
	if (row > *warned)
		*warned = N_WARN_DAYS;
	if (row >= most || row >= *warned)
		return;
	*warned = row;
	if (days > 0)
		log_warn("%sthe certificate expires on %s UTC, in %lld day%s: "
			 "renew it, or %s then",
		    whose, utc(expires_s, date), days, LOG_S(days), then);
	else if (*whose != '\0') /* the queue logs the other one's end */
		log_error("%sthe certificate expired on %s UTC: renew it, %s",
		    whose, utc(expires_s, date), then);
}

void renew_warn(struct renew *r)
{
	warn_expiry(r->cred, N_WARN_DAYS, &r->warned, r->label, "pushes end");
	/* ACME clients renew these by themselves 30 days ahead. */
	if (r->server_cred != NULL)
		warn_expiry(r->server_cred, N_WARN_DAYS - 1, &r->server_warned,
		    "TLS listener: ", "Dovecot refuses it");
}

void renew_check(struct renew *r)
{
	watch_check(r->watch);
	watch_check(r->server_watch);
	/* Perhaps they are valid now; else it is said once more. */
	if (cred_is_refused(r->cred))
		renew_reload(r);
	renew_warn(r);
}

static void warn_rights(const char *sentence)
{
	log_warn("%s", sentence);
}

static void use_cred(struct renew *r, struct cred *fresh)
{
	struct cred *old = r->cred;

	r->cred = fresh;
	set_lack(r, "");
	r->ops->set_lack(r->arg, "");
	r->ops->set_cred(r->arg, fresh);
	cred_free(old);
}

/* Newer ones that are no good yet do not replace ones that are. */
static bool is_better(
    const struct cred *old, const struct cred *fresh, char err[ERR_MAX])
{
	int64_t now_s = (int64_t)time(NULL);
	char old_err[ERR_MAX];

	return cred_kind(old) == CRED_NONE ||
	       cred_check_time(fresh, now_s, err) == 0 ||
	       cred_check_time(old, now_s, old_err) != 0;
}

void renew_refuse(struct renew *r, const char *why)
{
	bool lacks = r->lack[0] != '\0' ||
		     (r->is_brand && cred_kind(r->cred) == CRED_NONE);
	char words[ERR_MAX];

	err_set(words, "%s: %s", why,
	    lacks ? "still no pushes" : "not used, the old credentials stay");
	log_error("%s%s", r->label, words);
	if (lacks) {
		set_lack(r, why);
		r->ops->set_lack(r->arg, why);
	} else {
		cred_set_refused(r->cred, words);
	}
}

bool renew_reload(struct renew *r)
{
	bool lacks = r->lack[0] != '\0';
	struct cred *fresh;
	char err[ERR_MAX];

	watch_files(r);
	daemon_check_rights(r->conf, warn_rights);
	fresh = cred_load(r->conf, err);
	if (fresh != NULL && !lacks && !is_better(r->cred, fresh, err)) {
		cred_free(fresh);
		fresh = NULL;
	}
	if (fresh == NULL) {
		renew_refuse(r, err);
		return false;
	}
	use_cred(r, fresh);
	r->warned = N_WARN_DAYS;
	log_cred(r);
	renew_warn(r);
	return true;
}

/* --- of the TLS listener --- */

static void on_server_changed(void *arg)
{
	log_info("TLS listener: a file has changed");
	renew_reload_server(arg);
}

static void log_server_cred(const struct renew *r)
{
	char date[LOG_DATE_MAX];

	log_info("TLS listener: certificate valid until %s UTC",
	    utc(cred_expires_s(r->server_cred), date));
}

static void watch_server_files(struct renew *r)
{
	watch_free(r->server_watch);
	r->server_watch = watch_new(r->loop, on_server_changed, r);
	watch_add_named(r->server_watch, r->conf, r->conf->tls_certfile);
	watch_add_named(r->server_watch, r->conf, r->conf->tls_keyfile);
}

static void free_cred(void *cred)
{
	cred_free(cred);
}

void renew_reload_server(struct renew *r)
{
	struct cred *fresh, *old = r->server_cred;
	bool wanted = r->conf->tls_certfile != NULL;
	char err[ERR_MAX];

	if (wanted != r->serves_tls)
		log_warn("reload: takes effect at the next start only: "
			 "tlsCertfile");
	if (!wanted || !r->serves_tls)
		return;
	watch_server_files(r);
	fresh = cred_load_server(r->conf, err);
	if (fresh == NULL) {
		log_error("%s: %s", err,
		    old != NULL ? "not used, the old certificate stays"
				: "there is no TLS listener yet");
		return;
	}
	r->server_cred = fresh;
	r->server_warned = N_WARN_DAYS;
	log_server_cred(r);
	renew_warn(r);
	r->ops->set_tls(r->arg, cred_tls(fresh));
	/* Connections accepted in this round may still refer to its context. */
	if (old != NULL)
		loop_defer_free(r->loop, old, free_cred);
}

/* --- the first time --- */

int renew_load_server(struct renew *r, char err[ERR_MAX])
{
	if (!r->serves_tls)
		return 0;
	r->server_cred = cred_load_server(r->conf, err);
	if (r->server_cred != NULL)
		return 0;
	if (!lacks_server_file(r->conf))
		return -1;
	log_error("%s: there is no TLS listener until it can be read", err);
	return 0;
}

/* Apple's phones do not wait for a file of Google's.  NULL: it is Apple's that
 * cannot be read. */
static struct cred *load_apple(const struct conf *conf)
{
	struct conf apple = *conf;
	char err[ERR_MAX];

	apple.fcm_service_account = NULL;
	return cred_load(&apple, err);
}

int renew_load(struct renew *r, char err[ERR_MAX])
{
	struct cred *cred = cred_load(r->conf, err);

	if (cred == NULL && !lacks_file(r->conf))
		return -1;
	if (cred == NULL) {
		set_lack(r, err);
		cred = load_apple(r->conf);
	}
	if (cred == NULL)
		return 0;
	cred_free(r->cred);
	r->cred = cred;
	return 0;
}

void renew_start(struct renew *r)
{
	char err[ERR_MAX];

	if (!r->is_brand &&
	    cred_clock_warning((int64_t)time(NULL), err) != NULL)
		log_warn("%s", err);
	log_cred(r);
	if (*r->lack != '\0' && cred_kind(r->cred) != CRED_NONE)
		log_error("%sno pushes by FCM: %s", r->label, r->lack);
	if (r->server_cred != NULL)
		log_server_cred(r);
	daemon_check_rights(r->conf, warn_rights);
	renew_warn(r);
	if (is_waiting(r) && !r->is_brand)
		loop_timer_set(r->loop, &r->retry, r->retry_ms);
}

/* --- the owner's --- */

struct renew *renew_new_brand(struct loop *l, const struct conf *conf,
    const struct renew_ops *ops, void *arg, const char *label)
{
	struct renew *r = xcalloc(1, sizeof(*r));

	r->loop = l;
	r->conf = conf;
	r->ops = ops;
	r->arg = arg;
	r->label = label;
	r->is_brand = true;
	r->cred = cred_none();
	r->lack = xstrdup("");
	r->warned = r->server_warned = N_WARN_DAYS;
	r->retry_ms = RETRY_MIN_MS;
	loop_timer_init(&r->retry, on_retry, r);
	return r;
}

struct renew *renew_new(struct loop *l, const struct conf *conf,
    const struct renew_ops *ops, void *arg)
{
	struct renew *r = renew_new_brand(l, conf, ops, arg, "");

	r->is_brand = false;
	r->serves_tls = conf->tls_certfile != NULL;
	watch_files(r);
	if (r->serves_tls)
		watch_server_files(r);
	return r;
}

void renew_free(struct renew *r)
{
	if (r == NULL)
		return;
	loop_timer_clear(r->loop, &r->retry);
	watch_free(r->watch);
	watch_free(r->server_watch);
	cred_free(r->cred);
	cred_free(r->server_cred);
	free(r->lack);
	free(r);
}

struct cred *renew_cred(const struct renew *r)
{
	return r->cred;
}

const char *renew_lack(const struct renew *r)
{
	return r->lack;
}

struct tls_ctx *renew_tls(const struct renew *r)
{
	return r->server_cred != NULL ? cred_tls(r->server_cred) : NULL;
}
