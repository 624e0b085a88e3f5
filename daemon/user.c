/* daemon/user.c - the user that the daemon runs as, and how it becomes that. */
#include "daemon/user.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "daemon.h"
#include "mem.h"

/* For good: neither the user nor a group of root's may be left. */
static bool is_dropped(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	return getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 &&
	       r == uid && e == uid && s == uid && rg == gid && eg == gid &&
	       sg == gid && (uid == 0 || setuid(0) < 0);
}

/* name NULL: a user without one has no other groups. */
static int set_groups(const char *name, gid_t gid)
{
	return name != NULL ? initgroups(name, gid) : setgroups(0, NULL);
}

static int become(const char *name, uid_t uid, gid_t gid)
{
	return set_groups(name, gid) == 0 && setgid(gid) == 0 &&
		       setuid(uid) == 0 && is_dropped(uid, gid)
		   ? 0
		   : -1;
}

static int become_user(const struct user *u)
{
	return become(u->is_named ? u->name : NULL, u->uid, u->gid);
}

int daemon_become_owner(const char *path)
{
	char *copy = xstrdup(path);
	const struct passwd *pw;
	struct stat st;
	int rc = 0;

	if (geteuid() == 0 && stat(dirname(copy), &st) == 0 && st.st_uid != 0) {
		pw = getpwuid(st.st_uid);
		rc = pw != NULL ? become(pw->pw_name, pw->pw_uid, pw->pw_gid)
				: become(NULL, st.st_uid, st.st_gid);
	}
	free(copy);
	return rc;
}

bool user_number(const char *text, unsigned *id_r)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9' || strlen(text) > 10)
		return false;
	n = strtoul(text, &end, 10);
	*id_r = (unsigned)n;
	return *end == '\0' && n < UINT_MAX; /* -1 is no id */
}

/* A number need not be in /etc/passwd: a container has none.  Its group then has
 * the same number. */
static bool look_up(struct user *u, const char *name)
{
	const struct passwd *pw = getpwnam(name);
	unsigned id;

	if (pw == NULL && !user_number(name, &id))
		return false;
	if (pw == NULL)
		pw = getpwuid(id);
	u->is_named = pw != NULL;
	u->uid = pw != NULL ? pw->pw_uid : id;
	u->gid = pw != NULL ? pw->pw_gid : id;
	snprintf(
	    u->name, sizeof(u->name), "%s", pw != NULL ? pw->pw_name : name);
	return true;
}

const char *user_current(char out[USER_NAME_MAX])
{
	const struct passwd *pw = getpwuid(geteuid());

	snprintf(out, USER_NAME_MAX, "%u", (unsigned)geteuid());
	if (pw != NULL)
		snprintf(out, USER_NAME_MAX, "%s", pw->pw_name);
	return out;
}

int user_find(struct user *u, const struct conf *c, char err[ERR_MAX])
{
	*u = (struct user){ .uid = geteuid(), .gid = getegid() };
	if (c->user == NULL || geteuid() != 0)
		return 0;
	if (!look_up(u, c->user)) {
		conf_blame(c, "user", err,
		    "there is no user %s: make one (useradd --system %s), "
		    "write "
		    "a number, or leave this out",
		    c->user, c->user);
		return -1;
	}
	u->drops = u->uid != 0;
	return 0;
}

void user_enter(const struct user *u, gid_t gid)
{
	if (geteuid() != 0)
		return;
	if (u->drops && set_groups(u->is_named ? u->name : NULL, u->gid) < 0)
		log_warn("user %s: initgroups: %s", u->name, err_words(errno));
	if (setegid(gid != (gid_t)-1 ? gid : u->gid) < 0 ||
	    (u->drops && seteuid(u->uid) < 0))
		log_warn("user: %s", err_words(errno));
}

void user_leave(const struct user *u)
{
	if (getuid() != 0)
		return;
	if ((u->drops && seteuid(0) < 0) || setegid(getgid()) < 0)
		log_warn("user: %s", err_words(errno));
}

int user_drop(const struct user *u, const struct conf *c, char err[ERR_MAX])
{
	if (!u->drops || become_user(u) == 0)
		return 0;
	conf_blame(c, "user", err,
	    "cannot become %s: %s: root needs the capabilities SETUID and "
	    "SETGID for that (cap_add of a container), or start it as that "
	    "user and leave this out",
	    u->name, err_words(errno));
	return -1;
}

int daemon_become_user(
    const struct conf *c, const char **name_r, char err[ERR_MAX])
{
	struct conf service = { .user = (char[]){ SERVICE_USER } };
	struct user u;
	int rc;

	*name_r = NULL;
	if (user_find(&u, c, err) < 0)
		return -1;
	/* As the unit starts it. */
	if (c->user == NULL && user_find(&u, &service, err) < 0)
		return 0;
	rc = user_drop(&u, c->user != NULL ? c : &service, err);
	if (rc == 0 && u.drops)
		*name_r = c->user != NULL ? c->user : SERVICE_USER;
	return c->user != NULL ? rc : 0;
}

/* A sticky folder such as /tmp is fine: what is root's there stays. */
static bool is_roots(const char *dir)
{
	struct stat st;

	return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0 &&
	       ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0 ||
		   (st.st_mode & S_ISVTX) != 0);
}

char *user_roots_folder(const char *path)
{
	char *copy = xstrdup(path), *real = realpath(dirname(copy), NULL), *at;
	bool good = real != NULL && is_roots("/");

	free(copy);
	for (at = real; good && (at = strchr(at + 1, '/')) != NULL;) {
		*at = '\0';
		good = is_roots(real);
		*at = '/';
	}
	if (good && is_roots(real))
		return real;
	free(real);
	return NULL;
}
