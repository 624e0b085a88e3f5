/* ctl/running.c - finds the daemon that runs while `xapsd check` looks, without
 * asking it. */
#include "ctl/int.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "daemon.h"
#include "store.h"

/* Whether the option names a configuration other than path. */
static bool names_another(const char *name, const char *value, const char *path)
{
	return (strcmp(name, "c") == 0 || strcmp(name, "config") == 0) &&
	       *value == '/' && *path == '/' && strcmp(value, path) != 0;
}

/* The process has the database.  Is it the daemon of this configuration, which a
 * restart would end?  False only if it surely is another. */
static bool is_this_daemon(pid_t pid, const char *path)
{
	char at[32], text[4096], *arg, *value;
	ssize_t n;
	int fd;

	snprintf(at, sizeof(at), "/proc/%ld/cmdline", (long)pid);
	fd = open(at, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 2);
	if (fd >= 0)
		close(fd);
	n = n > 0 ? n : 0;
	memset(text + n, 0, 2);
	for (arg = text; arg < text + n; arg += strlen(arg) + 1) {
		if (*arg != '-')
			continue;
		arg += strspn(arg, "-");
		value = strchr(arg, '=');
		if (value != NULL)
			*value++ = '\0';
		else
			value = arg + strlen(arg) + 1;
		if (names_another(arg, value, path))
			return false;
	}
	return true;
}

/* --- whose is a port? --- */

/* d: the process's descriptors. */
static bool has_socket(DIR *d, const char *inode)
{
	char wanted[48], link[48];
	const struct dirent *e;
	ssize_t n;

	snprintf(wanted, sizeof(wanted), "socket:[%s]", inode);
	rewinddir(d);
	while ((e = readdir(d)) != NULL) {
		n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		if (strcmp(link, wanted) == 0)
			return true;
	}
	return false;
}

enum {
	LOCAL = 1,
	STATE = 3,
	INODE = 9,
	N_FIELDS
};

/* A line of /proc/net/tcp: the inode if it is a listener on the port, else NULL. */
static const char *listener_inode(char *line, int port)
{
	char *field[N_FIELDS], *p = line;
	size_t i;

	for (i = 0; i < N_FIELDS; i++) {
		p += strspn(p, " ");
		field[i] = p;
		p += strcspn(p, " \n");
		if (*p == '\0')
			return NULL;
		*p++ = '\0';
	}
	p = strchr(field[LOCAL], ':');
	return p != NULL && strtol(p + 1, NULL, 16) == port &&
		       strcmp(field[STATE], "0A") == 0
		   ? field[INODE]
		   : NULL;
}

/* Somebody listens on the port, and surely not this process. */
static bool is_anothers(DIR *d, int port)
{
	static const char *const tables[] = { "/proc/net/tcp",
		"/proc/net/tcp6" };
	bool any = false, ours = false;
	const char *inode;
	char line[256];
	size_t i;
	FILE *f;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		f = fopen(tables[i], "re");
		while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
			inode = listener_inode(line, port);
			any = any || inode != NULL;
			ours = ours || (inode != NULL && has_socket(d, inode));
		}
		if (f != NULL)
			fclose(f);
	}
	return any && !ours;
}

void running_find(const struct conf *c, struct daemon_now *now)
{
	pid_t pid = store_holder(c->database_file);
	char at[32];
	DIR *d;

	*now = (struct daemon_now){ .runs = pid != 0 };
	if (pid <= 0)
		return;
	if (c->path != NULL && !is_this_daemon(pid, c->path)) {
		*now = (struct daemon_now){ .is_another = true };
		return;
	}
	snprintf(at, sizeof(at), "/proc/%ld/fd", (long)pid);
	d = opendir(at);
	if (d == NULL) /* that takes root */
		return;
	now->port_is_taken = is_anothers(d, c->port);
	now->tls_port_is_taken = is_anothers(d, c->tls_port);
	closedir(d);
}
