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

static void check_beside(const struct rights *r, const struct conf *c,
    const char *key, const char *name)
{
	char *path;

	if (name == NULL)
		return;
	path = conf_file_path(c, name);
	check_file(r, key, path);
	free(path);
}

static void check_database(const struct rights *r, const char *name)
{
	static const char suffixes[][8] = { "", ".queue", ".bad", ".orig",
		".orig.1", ".copy", ".vapid" };
	size_t n = strlen(name), i;
	char *path = xmalloc(n + sizeof(suffixes[0]));

	for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		memcpy(path, name, n);
		strcpy(path + n, suffixes[i]);
		check_file(r, "databaseFile", path);
	}
	free(path);
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
	check_beside(&r, c, "keyFileP8", c->key_file_p8);
	/* With its key in a file of its own a certificate is public. */
	if (c->certificate_file_pem_key == NULL)
		check_beside(
		    &r, c, "certificateFilePem", c->certificate_file_pem);
	check_beside(
	    &r, c, "certificateFilePemKey", c->certificate_file_pem_key);
	check_beside(&r, c, "certificateFileP12", c->certificate_file_p12);
	check_beside(
	    &r, c, "certificatePasswordFile", c->certificate_password_file);
	check_beside(&r, c, "fcmServiceAccount", c->fcm_service_account);
	check_beside(&r, c, "httpPasswordFile", c->http_password_file);
	check_beside(&r, c, "sharedPasswordFile", c->shared_password_file);
	check_beside(&r, c, "tlsKeyfile", c->tls_keyfile);
	check_beside(&r, c, "tokenFile", c->hook_token_file);
	if (c->top == NULL)
		check_database(&r, c->database_file);
}
