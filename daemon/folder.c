/* daemon/folder.c - the files NAME.yaml of a folder. */
#include "daemon/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "mem.h"
#include "text.h"

#define SUFFIX ".yaml"

/* It is a label in /metrics and a word in every message. */
#define FOLDER_NAME_MAX 64

void folder_free(struct folder *f)
{
	while (f->n > 0)
		free(f->names[--f->n]);
	free(f->names);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_name(const char *name, size_t len)
{
	return len > 0 && len <= FOLDER_NAME_MAX &&
	       text_span(name, "._-") >= len;
}

/* Of a file NAME.yaml, 0 for another: keys and certificates may be there, too, and
 * what editors leave. */
static size_t name_len(const char *file)
{
	size_t len = strlen(file), suffix = strlen(SUFFIX);

	return file[0] == '.' || len <= suffix ||
		       strcmp(file + len - suffix, SUFFIX) != 0
		   ? 0
		   : len - suffix;
}

/* -1 with why set. */
static int check_name(const char *file, size_t len, const char *what, size_t n,
    size_t max, char why[ERR_MAX])
{
	if (!is_name(file, len))
		err_set(why,
		    "%s: the name of a %s is made of at most %d letters, "
		    "digits and . _ -: rename the file",
		    file, what, FOLDER_NAME_MAX);
	else if (n == max)
		err_set(why, "there are more than %zu %ss", max, what);
	else
		return 0;
	return -1;
}

int folder_read(const struct conf *conf, const char *key, const char *dir,
    const char *what, size_t max, struct folder *f_r, char err[ERR_MAX])
{
	char *path = dir != NULL ? conf_file_path(conf, dir) : NULL;
	DIR *d = path != NULL ? opendir(path) : NULL;
	char why[ERR_MAX];
	struct dirent *e;
	size_t len;
	int rc = 0;

	*f_r = (struct folder){ NULL, 0 };
	if (path != NULL && d == NULL) {
		err_set(why,
		    "%s: %s: make this folder, with a file NAME.yaml for each "
		    "%s, open to xapsd's user",
		    path, err_words(errno), what);
		rc = -1;
	}
	free(path);
	while (rc == 0 && d != NULL && (e = readdir(d)) != NULL) {
		len = name_len(e->d_name);
		if (len == 0)
			continue;
		rc = check_name(e->d_name, len, what, f_r->n, max, why);
		f_r->names =
		    xrealloc(f_r->names, (f_r->n + 1) * sizeof(char *));
		f_r->names[f_r->n++] = xstrndup(e->d_name, len);
	}
	if (d != NULL)
		closedir(d);
	if (f_r->n > 0)
		qsort(f_r->names, f_r->n, sizeof(char *), by_name);
	if (rc < 0)
		conf_blame(conf, key, err, "%s", why);
	return rc;
}

char *folder_file(const struct conf *conf, const char *dir, const char *name)
{
	char *folder = conf_file_path(conf, dir);
	char *path = xprintf("%s/%s" SUFFIX, folder, name);

	free(folder);
	return path;
}
