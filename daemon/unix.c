/* daemon/unix.c - the Unix socket that the configuration names. */
#include "daemon/unix.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "daemon/user.h"
#include "io.h"
#include "mem.h"

/* The group of the socket, -1 for that of the user.  False with err set: there
 * is no such group.  Where packages have made a group for it, that is the
 * default. */
static bool find_group(const struct conf *c, gid_t *gid_r, char err[ERR_MAX])
{
	const char *name =
	    c->socket_group != NULL ? c->socket_group : SOCKET_GROUP;
	const struct group *g = getgrnam(name);

	*gid_r = g != NULL ? g->gr_gid : (gid_t)-1;
	if (g != NULL || c->socket_group == NULL || user_number(name, gid_r))
		return true;
	conf_blame(c, "socketGroup", err,
	    "there is no group %s: make one (groupadd --system %s), or leave "
	    "this out",
	    name, name);
	return false;
}

/* As root: makes the socket's folder (/run is empty after a boot) and gives it
 * to the user, where nobody can put another one in its place. */
static void make_folder(const struct user *u, const char *path)
{
	char *folder = xstrdup(path), *end = strrchr(folder, '/'), *in;
	char real[PATH_MAX];
	int n;

	if (end == NULL || end == folder)
		goto out;
	*end = '\0';
	in = user_roots_folder(folder);
	end = strrchr(folder, '/');
	n = in == NULL || end == NULL
		? -1
		: snprintf(real, sizeof(real), "%s/%s", in, end + 1);
	free(in);
	if (n > 0 && n < (int)sizeof(real) && mkdir(real, 0755) == 0 &&
	    lchown(real, u->uid, u->gid) < 0)
		log_warn("%s: cannot give it to %s: %s", real, u->name,
		    err_words(errno));
out:
	free(folder);
}

/* Root's own folder, where the user may not make a socket: root does, as nobody
 * else can change anything there. */
static int open_as_root(
    const struct conf *c, const struct user *u, gid_t gid, char err[ERR_MAX])
{
	const char *slash = strrchr(c->socket_path, '/');
	char *folder = user_roots_folder(c->socket_path), path[PATH_MAX];
	int fd = -1;

	if (folder == NULL || slash == NULL)
		goto out;
	snprintf(path, sizeof(path), "%s/%s", folder, slash + 1);
	fd = io_listen_unix(path, c->socket_mode, err);
	if (fd >= 0 &&
	    io_chown_socket(path, u->uid, gid != (gid_t)-1 ? gid : u->gid) < 0)
		log_warn("%s: cannot give it to %s: %s", path, u->name,
		    err_words(errno));
out:
	free(folder);
	return fd;
}

static int fail_group(const struct conf *c, int code, char err[ERR_MAX])
{
	char name[USER_NAME_MAX];

	conf_blame(c, "socketGroup", err,
	    "cannot give %s to group %s: %s: the daemon's user must be a "
	    "member: usermod -aG %s %s, then restart",
	    c->socket_path, c->socket_group, err_words(code), c->socket_group,
	    user_current(name));
	return -1;
}

/* The socket has this group already if root made it. */
static int give_to_group(const struct conf *c, gid_t gid, char err[ERR_MAX])
{
	char name[USER_NAME_MAX];

	if (gid == (gid_t)-1 ||
	    io_chown_socket(c->socket_path, (uid_t)-1, gid) == 0)
		return 0;
	if (c->socket_group == NULL) {
		log_warn("%s: cannot give it to the group %s: %s: Dovecot may "
			 "not be able to use it: usermod -aG %s %s, then "
			 "restart",
		    c->socket_path, SOCKET_GROUP, err_words(errno),
		    SOCKET_GROUP, user_current(name));
		return 0;
	}
	return fail_group(c, errno, err);
}

int unix_open(
    const struct conf *c, const struct user *u, int *fd_r, char err[ERR_MAX])
{
	int fd, rc = 0, code;
	gid_t gid;

	*fd_r = -1;
	if (!find_group(c, &gid, err))
		return -1;
	if (u->drops)
		make_folder(u, c->socket_path);
	user_enter(u, gid);
	fd = io_listen_unix(c->socket_path, c->socket_mode, err);
	code = errno;
	if (fd >= 0)
		rc = give_to_group(c, gid, err);
	user_leave(u);
	if (fd < 0 && (code == EACCES || code == EPERM) && u->drops)
		fd = open_as_root(c, u, gid, err);
	*fd_r = fd;
	return fd < 0 ? -1 : rc;
}

/* --- what unix_open() would find --- */

bool unix_has_group(const struct conf *c, char err[ERR_MAX])
{
	gid_t gid;

	return c->socket_path == NULL || find_group(c, &gid, err);
}

static bool is_member(gid_t gid)
{
	int n = getgroups(0, NULL);
	gid_t *groups = xcalloc((size_t)(n > 0 ? n : 0) + 1, sizeof(*groups));
	bool found = getegid() == gid || geteuid() == 0;

	n = getgroups(n, groups);
	while (n-- > 0)
		found = found || groups[n] == gid;
	free(groups);
	return found;
}

static int check_group(const struct conf *c, char err[ERR_MAX])
{
	gid_t gid;

	if (!find_group(c, &gid, err))
		return -1;
	/* Root sets any, before it becomes the user. */
	if (c->socket_group == NULL || c->user != NULL || is_member(gid))
		return 0;
	return fail_group(c, EPERM, err);
}

/* Root makes socket and folder where the user may not, if both are root's. */
static bool root_can(const char *path)
{
	char *folder = user_roots_folder(path), *copy = xstrdup(path);
	bool can;

	if (folder == NULL)
		folder = user_roots_folder(dirname(copy));
	can = folder != NULL;
	free(folder);
	free(copy);
	return can;
}

/* A service manager makes the folder (RuntimeDirectory=, tmpfiles). */
static bool comes_with_the_start(const char *path)
{
	static const char places[][10] = { "/run/", "/var/run/" };
	char *copy = xstrdup(path);
	bool lacks = access(dirname(copy), F_OK) < 0 && errno == ENOENT;
	size_t i;

	free(copy);
	for (i = 0; lacks && i < sizeof(places) / sizeof(places[0]); i++)
		if (strncmp(path, places[i], strlen(places[i])) == 0)
			return true;
	return false;
}

int unix_check(const struct conf *c, void (*warn)(const char *sentence),
    bool *lives_r, char err[ERR_MAX])
{
	int code;

	*lives_r = false;
	if (check_group(c, err) < 0)
		return -1;
	if (io_check_unix(c->socket_path, err) == 0)
		return 0;
	code = errno;
	*lives_r = code == 0;
	if (*lives_r || ((code == EACCES || code == EPERM) && c->user != NULL &&
			    root_can(c->socket_path)))
		return 0;
	if (!comes_with_the_start(c->socket_path))
		return -1;
	warn(err);
	return 0;
}
