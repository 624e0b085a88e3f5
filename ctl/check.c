/* ctl/check.c - `xapsd check`: tests everything that a push needs. */
#include "ctl/int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apns.h"
#include "cli.h"
#include "conf.h"
#include "cred.h"
#include "daemon.h"
#include "json.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "push.h"
#include "store.h"
#include "tls.h"
#include "webpush.h"

/* A token that no device has: Apple checks the credentials first. */
#define NO_DEVICE                                                              \
	"00000000000000000000000000000000"                                     \
	"00000000000000000000000000000000"

#define POLL_MS 50

struct check {
	const struct conf *conf;
	const char *brand; /* step of the brand that is checked, or NULL */
	bool offline, bad_brand;
	struct loop *loop;
	struct apns *apns;
	struct send_answer answer;
	bool asked, answered;
	struct daemon_now now;
	char err[ERR_MAX];
};

static int print_step(const char *step, bool ok, const char *what)
{
	ctl_step(step, ok ? STEP_OK : STEP_FAILED, what);
	return ok ? 0 : -1;
}

/* What a start would tolerate: not one of the steps. */
static void warn(const char *what)
{
	ctl_step(NULL, STEP_WARNING, what);
}

/* --- configuration --- */

/* Root may read what the daemon's user may not: becomes that user. */
static int check_conf(const struct conf *conf)
{
	const char *path = conf->path != NULL ? conf->path : "none";
	const char *user;
	char line[ERR_MAX];

	if (apns_check_text(conf, line) < 0 ||
	    webpush_check_text(conf, line) < 0 ||
	    push_check_text(conf, line) < 0 ||
	    daemon_become_user(conf, &user, line) < 0)
		return print_step("configuration", false, line);
	err_set(line, "%s%s%s", path, user != NULL ? ", as user " : "",
	    user != NULL ? user : "");
	if (user == NULL || conf->path == NULL || access(path, R_OK) == 0)
		return print_step("configuration", true, line);
	err_set(line,
	    "%s: the user %s may not read it: chown %s %s && chmod 600 %s, and "
	    "let it into the folder",
	    path, user, user, path, path);
	return print_step("configuration", false, line);
}

/* --- listeners --- */

static int check_password(struct check *c)
{
	struct conf copy = *c->conf;
	int rc = daemon_read_password(&copy, c->err);

	if (rc < 0)
		print_step("listeners", false, c->err);
	if (copy.http_password != c->conf->http_password)
		mem_free_wiped(copy.http_password);
	return rc;
}

static int check_listeners(struct check *c)
{
	int rc = check_password(c);

	if (rc == 0) {
		rc = daemon_check_listeners(c->conf, &c->now, warn, c->err);
		print_step("listeners", rc == 0, c->err);
	}
	return rc;
}

/* --- database --- */

/* What a start would tolerate. */
static void warn_of_database(
    const struct check *c, const struct store_found *found)
{
	const char *path = c->conf->database_file;
	char line[ERR_MAX];

	if (found->fixed) {
		err_set(line,
		    "databaseFile: the user cannot write to the folder of %s, "
		    "where the file is rewritten when it has grown",
		    path);
		warn(line);
	}
	if (found->bad > 0) {
		err_set(line,
		    "databaseFile: %zu line%s of %s cannot be read: a start "
		    "keeps %s aside",
		    found->bad, LOG_S(found->bad), path,
		    found->bad == 1 ? "it" : "them");
		warn(line);
	}
}

/* Without taking its lock, which a starting daemon might miss. */
static int check_database(struct check *c)
{
	const char *path = c->conf->database_file;
	struct store *s = store_view_new();
	struct store_found found;
	int rc = store_check(s, path, c->now.is_another, &found, c->err);

	if (rc == 0 && found.missing)
		err_set(c->err, "%s, which the start will make", path);
	else if (rc == 0)
		err_set(c->err, "%s, %zu registration%s", path, store_count(s),
		    LOG_S(store_count(s)));
	store_view_free(s);
	print_step("database", rc == 0, c->err);
	if (rc == 0)
		warn_of_database(c, &found);
	return rc;
}

/* --- credentials --- */

/* cred NULL: err says why.  A start does not mind the time: a router's clock is set
 * later, and a certificate can be renewed. */
static int check_cred(
    const char *step, const struct cred *cred, bool offline, char err[ERR_MAX])
{
	char line[ERR_MAX], date[LOG_DATE_MAX];
	const struct cred_service *fcm;
	const char *topic, *warning;
	int64_t expires_s;
	size_t i;

	if (cred == NULL)
		return print_step(step, false, err);
	fcm = cred_fcm(cred);
	if (cred_check_time(cred, (int64_t)time(NULL), err) < 0) {
		if (!offline)
			return print_step(step, false, err);
		err_set(line, "%s: %s", step, err);
		warn(line);
	}
	if (cred_kind(cred) == CRED_NONE && fcm == NULL)
		return print_step(step, false,
		    "none: set keyFileP8, certificateFilePem or "
		    "certificateFileP12");
	for (i = 0; (warning = cred_warning(cred, i)) != NULL; i++)
		warn(warning);
	if (cred_kind(cred) == CRED_NONE) {
		err_set(line, "service account of project %s", fcm->project);
		return print_step(step, true, line);
	}
	if (cred_kind(cred) == CRED_CERTIFICATE &&
	    cred_clock_warning((int64_t)time(NULL), err) != NULL)
		warn(err);
	topic = cred_topic(cred);
	expires_s = cred_expires_s(cred);
	err_set(line, "%s%s%s%s%s",
	    cred_kind(cred) == CRED_TOKEN_KEY ? "token key" : "certificate",
	    *topic != '\0' ? " for topic " : "", topic,
	    expires_s != 0 ? ", valid until " : "",
	    expires_s != 0 ? log_date(expires_s, LOG_DATE_DAY, false, date)
			   : "");
	return print_step(step, true, line);
}

/* The certificate that Dovecot's plugins see. */
static int check_server(struct check *c, bool offline)
{
	struct cred *cred;
	int rc;

	if (c->conf->tls_certfile == NULL)
		return 0;
	cred = cred_load_server(c->conf, c->err);
	rc = check_cred("TLS listener", cred, offline, c->err);
	cred_free(cred);
	return rc;
}

/* --- connection and Apple's answer --- */

static void on_capacity(void *arg)
{
	static const char body[] = "{\"aps\":{\"account-id\":\"check\"}}";
	struct check *c = arg;

	if (c->asked)
		return;
	c->asked = true;
	if (apns_send(c->apns, NO_DEVICE, body, sizeof(body) - 1, c, c->err) !=
	    SEND_SENT) {
		c->answer.outcome = SEND_LOST;
		c->answered = true;
	}
}

static void on_answer(void *arg, void *owner, struct send_answer *an)
{
	struct check *c = arg;

	(void)owner;
	apns_read_answer(an);
	c->answer = *an;
	c->answered = true;
}

static const struct send_ops ops = {
	.capacity = on_capacity,
	.answer = on_answer,
};

static const char *step_of(const struct check *c, const char *step)
{
	return c->brand != NULL ? c->brand : step;
}

static int check_answer(struct check *c)
{
	const struct send_answer *an = &c->answer;
	const char *words = apns_reason_words(an->reason);
	const char *step = step_of(c, "Apple");

	if (an->outcome != SEND_ANSWERED)
		return print_step(step, false,
		    c->err[0] != '\0' ? c->err
				      : "no answer: the connection was lost");
	if (an->status == 200 || an->status == 410 ||
	    (an->status == 400 && strcmp(an->reason, "BadDeviceToken") == 0))
		return print_step(step, true, "takes these credentials");
	err_set(c->err, "answers %d %s%s%s", an->status, an->reason,
	    *words != '\0' ? ": " : "", words);
	return print_step(step, false, c->err);
}

/* With a proxy there is a step more: how far did it get? */
static int print_connection(
    const struct check *c, const struct send_status *st, bool up)
{
	char line[ERR_MAX];

	if (c->brand != NULL && up)
		return 0; /* the way is the same for all */

	if (*st->proxy != '\0' && (up || st->past_proxy))
		print_step("proxy", true, st->proxy);
	else if (*st->proxy != '\0') {
		err_set(line, "%s: %s", st->proxy, st->last_error);
		return print_step(step_of(c, "proxy"), false, line);
	}
	if (up)
		err_set(line, "%s (%s), %s, HTTP/2", st->host, st->peer,
		    st->protocol);
	else
		err_set(
		    line, "%s port %d: %s", st->host, st->port, st->last_error);
	return print_step(step_of(c, "connection"), up, line);
}

/* Runs until there is an answer, or a connection that failed. */
static int ask(struct check *c)
{
	struct send_status st = { 0 };
	int64_t end_ms;
	bool up = false;

	c->err[0] = '\0';
	loop_once(c->loop, 0);
	end_ms = loop_now_ms(c->loop) + 2 * c->conf->push_timeout_ms + POLL_MS;
	while (!c->answered && loop_now_ms(c->loop) < end_ms) {
		loop_once(c->loop, POLL_MS);
		sender_get_status(apns_sender(c->apns), &st);
		if (!up && st.state == SEND_UP) {
			up = true;
			print_connection(c, &st, true);
		}
		if (!up && *st.last_error != '\0')
			return print_connection(c, &st, false);
		if (up && !c->answered && st.state != SEND_UP) {
			err_set(c->err, "no answer: %s", st.last_error);
			return print_step(step_of(c, "Apple"), false, c->err);
		}
	}
	if (!c->answered)
		return print_step(
		    step_of(c, "Apple"), false, "no answer in time");
	return check_answer(c);
}

/* A daemon starts without credentials, and waits for them. */
static int check_credentials(struct check *c, struct cred **cred_r)
{
	bool brands = c->conf->brands_dir != NULL;
	bool others =
	    c->conf->hooks_dir != NULL || c->conf->deltachat_url != NULL;

	*cred_r = cred_load(c->conf, c->err);
	if ((!c->offline && !brands && !others) || *cred_r == NULL ||
	    cred_kind(*cred_r) != CRED_NONE || cred_fcm(*cred_r) != NULL)
		return check_cred("credentials", *cred_r, c->offline, c->err);
	err_set(c->err,
	    "no credentials, so nothing can be pushed%s: set keyFileP8, "
	    "certificateFilePem or certificateFileP12",
	    others ? " to iPhones" : "");
	warn(brands ? "no credentials but those of the brands, so nothing can "
		      "be pushed to other users' iPhones"
		    : c->err);
	return 0;
}

/* --- brands --- */

static int check_apple(struct check *c, struct cred *cred)
{
	int rc;

	c->asked = c->answered = false;
	c->apns = apns_new(c->loop, c->conf, cred, &ops, c, "", NULL);
	rc = ask(c);
	apns_free(c->apns);
	loop_once(c->loop, 0);
	return rc;
}

/* Whether they do what they are for. */
static int check_use(struct check *c, struct cred *cred)
{
	int rc = 0;

	if (c->offline)
		return 0;
	if (cred_kind(cred) != CRED_NONE)
		rc = check_apple(c, cred);
	if (!ctl_check_fcm(c->conf, cred, c->loop, step_of(c, "Google")))
		rc = -1;
	return rc;
}

static void check_brand(
    void *arg, const char *name, const struct conf *brand, const char *why)
{
	struct check *c = arg;
	struct cred *cred;
	char step[ERR_MAX];
	int rc;

	err_set(step, "brand %s", name);
	if (brand == NULL) {
		print_step(step, false, why);
		c->bad_brand = true;
		return;
	}
	c->brand = step;
	daemon_check_rights(brand, warn);
	cred_check_unused(brand, warn);
	cred = cred_load(brand, c->err);
	rc = check_cred(step, cred, c->offline, c->err);
	if (rc == 0)
		rc = check_use(c, cred);
	c->bad_brand = c->bad_brand || rc < 0;
	c->brand = NULL;
	cred_free(cred);
}

static int check_brands(struct check *c)
{
	if (daemon_each_brand(c->conf, check_brand, c, c->err) < 0)
		return print_step("brands", false, c->err);
	return c->bad_brand ? -1 : 0;
}

/* What the start finds out, in an order that leads to the cause. */
static int check_start(struct check *c, struct cred **cred_r)
{
	if (check_server(c, c->offline) < 0 ||
	    check_credentials(c, cred_r) < 0 || check_listeners(c) < 0)
		return -1;
	return check_database(c);
}

int ctl_check(const struct conf *conf, const struct cli *cli)
{
	struct check c = { .conf = conf, .offline = cli->offline };
	struct cred *cred = NULL;
	int rc, started, fits;

	if (log_get_level() < LOG_L_DEBUG)
		log_set_level(LOG_L_FATAL); /* the lines below report it */
	ctl_steps_begin(cli->json, false);
	running_find(conf, &c.now); /* root sees more */
	if (check_conf(conf) < 0)
		return ctl_steps_end(false);
	daemon_check_rights(conf, warn);
	fits = modules_check(cli->offline);
	daemon_check_moved(conf, warn);
	c.loop = loop_new(c.err);
	if (c.loop == NULL || tls_init(c.err) < 0) {
		print_step("start", false, c.err);
		return ctl_steps_end(false);
	}
	rc = started = check_start(&c, &cred);
	if (rc == 0)
		rc = check_use(&c, cred);
	if (check_brands(&c) < 0)
		rc = -1;
	if (!ctl_check_hooks(conf, c.loop, c.offline))
		rc = -1;
	if (started == 0 && !ctl_check_shared(conf, c.loop, c.offline))
		rc = -1;
	loop_once(c.loop, 0);
	cred_free(cred);
	loop_free(c.loop);
	tls_exit();
	return ctl_steps_end(rc == 0 && fits == 0);
}
