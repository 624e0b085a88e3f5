/* daemon/rights.c - who else may read our secrets: warned of at the start, at a
 * reload and by `xapsd check`.
 *
 * The group that lets mail processes to the socket is in effect in a process
 * of every user of the mail server; so a file for a group is a file for all. */
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

static void look(const struct rights *r, const char *key, const char *path)
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

static void look_beside(const struct rights *r, const struct conf *c,
    const char *key, const char *name)
{
	char *path;

	if (name == NULL)
		return;
	path = conf_beside(c, name);
	look(r, key, path);
	free(path);
}

static void look_at_database(const struct rights *r, const char *name)
{
	static const char suffixes[][8] = { "", ".queue", ".bad", ".orig" };
	size_t n = strlen(name), i;
	char *path = xmalloc(n + sizeof(suffixes[0]));

	for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		memcpy(path, name, n);
		strcpy(path + n, suffixes[i]);
		look(r, "databaseFile", path);
	}
	free(path);
}

void daemon_check_rights(
    const struct conf *c, void (*warn)(const char *sentence))
{
	const struct passwd *pw = c->user != NULL ? NULL : getpwuid(geteuid());
	const struct rights r = {
		.user = c->user != NULL ? c->user
			: pw != NULL	? pw->pw_name
					: SERVICE_USER,
		.warn = warn,
	};

	if (conf_holds_secret(c))
		look(&r, "configuration", c->path);
	look_beside(&r, c, "keyFileP8", c->key_file_p8);
	/* With its key in a file of its own a certificate is public. */
	if (c->certificate_file_pem_key == NULL)
		look_beside(
		    &r, c, "certificateFilePem", c->certificate_file_pem);
	look_beside(
	    &r, c, "certificateFilePemKey", c->certificate_file_pem_key);
	look_beside(&r, c, "certificateFileP12", c->certificate_file_p12);
	look_beside(
	    &r, c, "certificatePasswordFile", c->certificate_password_file);
	look_beside(&r, c, "httpPasswordFile", c->http_password_file);
	look_beside(&r, c, "tlsKeyfile", c->tls_keyfile);
	look_at_database(&r, c->database_file);
}
