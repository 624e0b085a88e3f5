/* check.c - `xapsd check`: is everything there for a push? */
#include "check.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apns.h"
#include "cli.h"
#include "conf.h"
#include "cred.h"
#include "log.h"
#include "loop.h"
#include "tls.h"

/* A token that no device has: Apple judges the credentials before it. */
#define NO_DEVICE                                                              \
	"00000000000000000000000000000000"                                     \
	"00000000000000000000000000000000"

#define LOOK_MS 50

#define SERVICE_USER "xapsd" /* whom packages and units start it as */

struct check {
	const struct conf *conf;
	struct loop *loop;
	struct apns *apns;
	struct apns_answer answer;
	bool asked, answered;
	char err[ERR_MAX];
};

static int say(const char *step, bool ok, const char *what)
{
	printf("%-14s %-7s %s\n", step, ok ? "ok" : "FAILED", what);
	fflush(stdout);
	return ok ? 0 : -1;
}

/* --- configuration --- */

/* Root may read what the daemon's user may not: looks with that one's eyes.  Its
 * name, NULL if we are not root or there is no such user. */
static const char *become_service(const struct conf *conf)
{
	const char *name = conf->user != NULL ? conf->user : SERVICE_USER;
	const struct passwd *pw;

	if (geteuid() != 0)
		return NULL;
	pw = getpwnam(name);
	if (pw == NULL || pw->pw_uid == 0 || initgroups(name, pw->pw_gid) < 0 ||
	    setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
		return NULL;
	return name;
}

static int say_conf(const struct conf *conf)
{
	const char *path = conf->path != NULL ? conf->path : "none";
	const char *user = become_service(conf);
	char line[ERR_MAX];

	err_set(line, "%s%s%s", path, user != NULL ? ", as user " : "",
	    user != NULL ? user : "");
	if (user == NULL || conf->path == NULL || access(path, R_OK) == 0)
		return say("configuration", true, line);
	err_set(line,
	    "%s: the user %s may not read it: chgrp %s, chmod 640, and let it "
	    "into the folder",
	    path, user, user);
	return say("configuration", false, line);
}

/* --- credentials --- */

static int say_cred(const struct cred *cred)
{
	int64_t now_s = (int64_t)time(NULL), expires_s = cred_expires_s(cred);
	char err[ERR_MAX], line[ERR_MAX], date[LOG_DATE_MAX];

	if (cred_kind(cred) == CRED_NONE)
		return say("credentials", false,
		    "none: set keyFileP8, certificateFilePem or "
		    "certificateFileP12");
	if (cred_check_time(cred, now_s, err) < 0)
		return say("credentials", false, err);
	err_set(line, "%s for topic %s%s%s",
	    cred_kind(cred) == CRED_TOKEN_KEY ? "token key" : "certificate",
	    cred_topic(cred), expires_s != 0 ? ", valid until " : "",
	    expires_s != 0 ? log_date(expires_s, LOG_DATE_DAY, false, date)
			   : "");
	return say("credentials", true, line);
}

/* --- connection and Apple's answer --- */

static void on_room(void *arg)
{
	static const char body[] = "{\"aps\":{\"account-id\":\"check\"}}";
	struct check *c = arg;

	if (c->asked)
		return;
	c->asked = true;
	if (apns_send(c->apns, NO_DEVICE, body, sizeof(body) - 1, c, c->err) !=
	    APNS_SENT) {
		c->answer.outcome = APNS_LOST;
		c->answered = true;
	}
}

static void on_answer(void *arg, void *owner, const struct apns_answer *an)
{
	struct check *c = arg;

	(void)owner;
	c->answer = *an;
	c->answered = true;
}

static const struct apns_ops ops = {
	.room = on_room,
	.answer = on_answer,
};

static int say_answer(const struct check *c)
{
	const struct apns_answer *an = &c->answer;
	const char *words = apns_reason_words(an->reason);
	char line[ERR_MAX];

	if (an->outcome != APNS_ANSWERED)
		return say("Apple", false,
		    c->err[0] != '\0' ? c->err
				      : "no answer: the connection was lost");
	if (an->status == 200 || an->status == 410 ||
	    (an->status == 400 && strcmp(an->reason, "BadDeviceToken") == 0))
		return say("Apple", true, "takes these credentials");
	err_set(line, "answers %d %s%s%s", an->status, an->reason,
	    *words != '\0' ? ": " : "", words);
	return say("Apple", false, line);
}

/* Runs until there is an answer, or a connection that failed. */
static int ask(struct check *c)
{
	struct apns_status st = { 0 };
	int64_t end_ms;
	char line[ERR_MAX];
	bool up = false;

	loop_once(c->loop, 0);
	end_ms = loop_now_ms(c->loop) + 2 * c->conf->push_timeout_ms + LOOK_MS;
	while (!c->answered && loop_now_ms(c->loop) < end_ms) {
		loop_once(c->loop, LOOK_MS);
		apns_get_status(c->apns, &st);
		if (!up && st.state == APNS_UP) {
			up = true;
			err_set(line, "%s (%s), %s, HTTP/2", st.host, st.peer,
			    st.protocol);
			say("connection", true, line);
		}
		if (!up && *st.last_error != '\0') {
			err_set(line, "%s port %d: %s", st.host, st.port,
			    st.last_error);
			return say("connection", false, line);
		}
		if (up && !c->answered && st.state != APNS_UP) {
			err_set(line, "no answer: %s", st.last_error);
			return say("Apple", false, line);
		}
	}
	if (!c->answered)
		return say("Apple", false, "no answer in time");
	return say_answer(c);
}

int check_run(const struct conf *conf)
{
	struct check c = { .conf = conf };
	struct cred *cred;
	int rc = -1;

	if (log_get_level() < LOG_L_DEBUG)
		log_set_level(LOG_L_FATAL); /* the lines below say it */
	if (say_conf(conf) < 0)
		return EXIT_FAILED;
	c.loop = loop_new(c.err);
	if (c.loop == NULL || tls_init(c.err) < 0) {
		say("start", false, c.err);
		return EXIT_FAILED;
	}
	cred = cred_load(conf, c.err);
	if (cred == NULL)
		say("credentials", false, c.err);
	else if (say_cred(cred) == 0) {
		c.apns = apns_new(c.loop, conf, cred, &ops, &c);
		rc = ask(&c);
		apns_free(c.apns);
	}
	loop_once(c.loop, 0);
	cred_free(cred);
	loop_free(c.loop);
	tls_exit();
	return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}
