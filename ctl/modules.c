/* ctl/modules.c - what `xapsd check` sees of Dovecot's modules on this machine. */
#include "ctl/int.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

/* Where Dovecot is built to look for modules; the first is Debian's. */
static const char *const places[] = {
	"/usr/lib/dovecot/modules",
	"/usr/lib/dovecot",
	"/usr/lib64/dovecot",
	"/usr/local/lib/dovecot",
};

static const char *const modules[] = {
	"xaps_imap_plugin.so",
	"xaps_push_notification_plugin.so",
};

#define N(a) (sizeof(a) / sizeof(a[0]))

/* As Dovecot compares them: without "lib" and a number. */
static const char *module_name(const char *file)
{
	const char *p = strncmp(file, "lib", 3) == 0 ? file + 3 : file;
	size_t digits = strspn(p, "0123456789");

	return digits > 0 && p[digits] == '_' ? p + digits + 1 : p;
}

static void check_module(DIR *d, const char *place, const char *module,
    void (*warn)(const char *sentence))
{
	char other[256] = "", line[ERR_MAX];
	const struct dirent *e;
	bool ours = false;

	rewinddir(d);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(module_name(e->d_name), module) != 0)
			continue;
		if (strncmp(e->d_name, "lib95_", 6) == 0)
			ours = true;
		else
			snprintf(other, sizeof(other), "%s", e->d_name);
	}
	if (!ours || other[0] == '\0')
		return;
	err_set(line,
	    "Dovecot: two xaps plugins are installed, so nobody can log in "
	    "(\"Multiple files for module\"): rm %s/%s",
	    place, other);
	warn(line);
}

void modules_check(void (*warn)(const char *sentence))
{
	size_t i, k;
	DIR *d;

	for (i = 0; i < N(places); i++) {
		d = opendir(places[i]);
		for (k = 0; d != NULL && k < N(modules); k++)
			check_module(d, places[i], modules[k], warn);
		if (d != NULL)
			closedir(d);
	}
}
