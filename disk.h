/* disk.h - writing files so that they survive a power cut.  Functions without err
 * return 0 or errno. */
#ifndef DISK_H
#define DISK_H

#include <stddef.h>

#include "log.h"

/* What failed and what to do about it; suffix follows the path. */
void disk_error(char err[ERR_MAX], const char *path, const char *suffix,
    const char *what, int error);
int disk_write(int fd, const void *p, size_t n);
/* Makes the names in the path's directory durable. */
int disk_sync_dir(const char *path);
/* Gives what root writes to the owner of the old file, or of the directory. */
void disk_give_like(int fd, int like);
void disk_give_like_dir(int fd, const char *path);
/* Appends all of one file to the other, and syncs. */
int disk_copy(int from, int to);

#endif
