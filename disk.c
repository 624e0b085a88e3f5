/* disk.c - writing files so that they survive a power cut. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	int error;
	const char *cure;
} cures[] = {
	{ ENOSPC, "free space on its file system" },
	{ EDQUOT, "free space, its owner's quota is used up" },
	{ EFBIG, "raise the limit on file sizes" },
	{ EROFS, "mount its file system writable" },
	{ EACCES, "xapsd's user may not read and write it: give file and "
		  "directory to that user" },
	{ EPERM, "xapsd's user may not read and write it: give file and "
		 "directory to that user" },
	{ ENOENT, "its directory must exist" },
	{ EIO, "the disk may be failing" },
	{ EISDIR, "it is a folder, the option must name a file" },
};

void disk_error(char err[ERR_MAX], const char *path, const char *suffix,
    const char *what, int error)
{
	size_t i;

	for (i = 0; i < sizeof(cures) / sizeof(*cures); i++)
		if (cures[i].error == error)
			break;
	if (i < sizeof(cures) / sizeof(*cures))
		err_set(err, "%s%s: %s: %s: %s", path, suffix, what,
		    err_words(error), cures[i].cure);
	else
		err_set(
		    err, "%s%s: %s: %s", path, suffix, what, err_words(error));
}

int disk_write(int fd, const void *p, size_t n)
{
	const char *c = p;
	ssize_t k;

	while (n > 0) {
		k = write(fd, c, n);
		if (k < 0 && errno != EINTR)
			return errno;
		if (k == 0)
			return ENOSPC;
		if (k > 0) {
			c += k;
			n -= (size_t)k;
		}
	}
	return 0;
}

/* "/a/b" is in "/a", "/a" in "/", and "a" in ".". */
static int open_dir(const char *path)
{
	const char *end = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t n = end == NULL || end == path ? 1 : (size_t)(end - path);

	memcpy(dir, end != NULL ? path : ".", n);
	dir[n] = '\0';
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int disk_sync_dir(const char *path)
{
	int fd = open_dir(path);
	int error = fd < 0 ? errno : 0;

	/* Some file systems cannot sync a directory: EINVAL. */
	if (fd >= 0 && fsync(fd) < 0 && errno != EINVAL)
		error = errno;
	if (fd >= 0)
		close(fd);
	return error;
}

void disk_give_like(int fd, int like)
{
	struct stat st, own;

	if (fstat(like, &st) == 0 && fstat(fd, &own) == 0 &&
	    (own.st_uid != st.st_uid || own.st_gid != st.st_gid) &&
	    fchown(fd, st.st_uid, st.st_gid) < 0)
		log_debug("fchown: %s", err_words(errno));
}

void disk_give_like_dir(int fd, const char *path)
{
	int dir = open_dir(path);

	if (dir >= 0) {
		disk_give_like(fd, dir);
		close(dir);
	}
}

int disk_copy(int from, int to)
{
	char part[8192];
	off_t at = 0;
	ssize_t n;
	int error;

	while ((n = pread(from, part, sizeof(part), at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		error = disk_write(to, part, (size_t)n);
		if (error != 0)
			return error;
		at += n;
	}
	return fsync(to) < 0 ? errno : 0;
}
