/* daemon/folder.h - the files NAME.yaml of a folder that a key of the configuration
 * names. */
#ifndef FOLDER_H
#define FOLDER_H

#include <stddef.h>

#include "log.h"

struct conf;

struct folder {
	char **names; /* sorted; without .yaml */
	size_t n;
};

/* Reads the names in dir, the value of key (NULL: none); what: of which there is
 * one in each file.  More than max are refused.  -1 with err set; folder_free()
 * in any case. */
int folder_read(const struct conf *conf, const char *key, const char *dir,
    const char *what, size_t max, struct folder *f_r, char err[ERR_MAX]);
void folder_free(struct folder *f);
/* The path of one; the caller frees it. */
char *folder_file(const struct conf *conf, const char *dir, const char *name);

#endif
