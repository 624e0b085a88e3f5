/* daemon/rights.c - warns if others may read our secrets: at the start, at a
 * reload and in `xapsd check`.
 *
 * Every user of the mail server has a process in the group that may use the
 * socket; so a file that a group may read is open to all of them. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "daemon.h"
#include "daemon/user.h"
#include "mem.h"

struct rights {
	const char *user; /* whose the files should be */
	void (*warn)(const char *sentence);
};

static void check_file(
    const struct rights *r, const char *key, const char *path)
{
	const struct group *g;
	char line[ERR_MAX], who[64];
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (st.st_mode & S_IROTH) {
		snprintf(who, sizeof(who), "everybody on this machine");
	} else if (st.st_mode & S_IRGRP && st.st_gid != 0) {
		g = getgrgid(st.st_gid);
		if (g != NULL)
			snprintf(who, sizeof(who), "the group %s", g->gr_name);
		else
			snprintf(who, sizeof(who), "the group %u",
			    (unsigned)st.st_gid);
	} else {
		return;
	}
	err_set(line, "%s: %s may be read by %s: chown %s %s && chmod 600 %s",
	    key, path, who, r->user, path, path);
	r->warn(line);
}

/* The keys that name files which are secret. */
static void check_named(const struct rights *r, const struct conf *c)
{
	static const char *const keys[] = { "keyFileP8", "certificateFilePem",
		"certificateFilePemKey", "certificateFileP12",
		"certificatePasswordFile", "fcmServiceAccount",
		"httpPasswordFile", "sharedPasswordFile", "tlsKeyfile",
		"tokenFile" };
	const char *name;
	char *path;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		name = conf_string(c, keys[i]);
		/* With its key in a file of its own a certificate is public. */
		if (name == NULL || (name == c->certificate_file_pem &&
					c->certificate_file_pem_key != NULL))
			continue;
		path = conf_file_path(c, name);
		check_file(r, keys[i], path);
		free(path);
	}
}

static void check_database(const struct rights *r, const char *name)
{
	static const char suffixes[][8] = { "", ".queue", ".bad", ".orig",
		".orig.1", ".copy", ".vapid" };
	char *path;
	size_t i;

	for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		path = xprintf("%s%s", name, suffixes[i]);
		check_file(r, "databaseFile", path);
		free(path);
	}
}

void daemon_check_rights(
    const struct conf *c, void (*warn)(const char *sentence))
{
	const char *user = conf_top(c)->user;
	const struct passwd *pw = user != NULL ? NULL : getpwuid(geteuid());
	const struct rights r = {
		.user = user != NULL ? user
			: pw != NULL ? pw->pw_name
				     : SERVICE_USER,
		.warn = warn,
	};

	if (conf_holds_secret(c))
		check_file(&r, "configuration", c->path);
	check_named(&r, c);
	if (c->top == NULL)
		check_database(&r, c->database_file);
}
