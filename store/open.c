/* store/open.c - opens the database for the daemon: locks it, and finds out
 * whether it is our file, the Go daemon's, or something else, which is left
 * alone. */
#include "store/int.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mem.h"

#define OPEN_TRIES 10 /* against a file renamed meanwhile */
#define HEAD_BYTES 512
/* More than json_parse() takes; ours are read piece by piece. */
#define WHOLE_MAX (512 * 1024 * 1024)

/* Files that are neither, by their first bytes. */
static const struct {
	char begin[6];
	unsigned char len;
	const char *what;
} kinds[] = {
	{ "\xff\xfe", 2, "UTF-16 text: save it as UTF-8" },
	{ "\xfe\xff", 2, "UTF-16 text: save it as UTF-8" },
	{ "{\0", 2, "UTF-16 text: save it as UTF-8" },
	{ "\0{", 2, "UTF-16 text: save it as UTF-8" },
	{ "\x1f\x8b", 2, "compressed (gzip): unpack it" },
	{ "\x28\xb5\x2f\xfd", 4, "compressed (zstd): unpack it" },
	{ "\xfd"
	  "7zXZ",
	    5, "compressed (xz): unpack it" },
	{ "BZh", 3, "compressed (bzip2): unpack it" },
	{ "PK\3\4", 4, "an archive (zip): unpack it" },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Nothing but white space, and zeros, which some file systems leave after a power
 * cut. */
static bool is_nothing(const char *text, size_t len)
{
	while (len > 0 && (is_space(*text) || *text == '\0')) {
		text++;
		len--;
	}
	return len == 0;
}

/* One of its lines, or the beginning of one. */
static bool has_ours(const char *text, size_t len)
{
	const char *end = text + len, *eol;

	for (; text < end; text = eol + 1) {
		eol = memchr(text, '\n', (size_t)(end - text));
		if (eol == NULL)
			return line_is_torn(text, (size_t)(end - text)) ||
			       line_is_ours(text, (size_t)(end - text));
		if (line_is_ours(text, (size_t)(eol - text)))
			return true;
	}
	return false;
}

static int refuse(
    const struct store *s, const char *text, size_t len, char err[ERR_MAX])
{
	size_t i;

	for (i = 0; i < N_KINDS; i++)
		if (len >= kinds[i].len &&
		    memcmp(text, kinds[i].begin, kinds[i].len) == 0)
			break;
	err_set(err, "%s: is %s; %s", s->path,
	    i < N_KINDS ? kinds[i].what
			: "neither a file of registrations nor the Go "
			  "daemon's database",
	    s->read_only && !s->is_check
		? "there is no registration in it that can be read"
		: "it is left as it is: set databaseFile, or move it "
		  "away to begin without");
	return -1;
}

static int read_text(struct store *s, const char *text, size_t len, char *err)
{
	size_t skip = store_bom_len(text, len), at = skip;

	if (store_is_go(text, len))
		return store_go_load(s, text, len, err);
	if (is_nothing(text + skip, len - skip) ||
	    has_ours(text + skip, len - skip))
		return store_load(s, skip, err);
	while (at < len && is_space(text[at]))
		at++;
	/* Broken JSON: the error says where. */
	if (at + 1 < len && text[at] == '{' && text[at + 1] != '\0')
		return store_go_load(s, text, len, err);
	return refuse(s, text, len, err);
}

static char *read_whole(
    const struct store *s, size_t size, size_t *len_r, char err[ERR_MAX])
{
	char *text = xmalloc(size + 1);
	size_t len = 0;
	ssize_t n = 1;

	while (len < size && n != 0) {
		n = pread(s->fd, text + len, size - len, (off_t)len);
		if (n < 0 && errno != EINTR) {
			disk_error(err, s->path, "", "read", errno);
			free(text);
			return NULL;
		}
		if (n > 0)
			len += (size_t)n;
	}
	*len_r = len;
	return text;
}

int store_read(struct store *s, char err[ERR_MAX])
{
	static const char ours[] = "{\"user\":\"";
	char head[HEAD_BYTES], *text;
	ssize_t n = pread(s->fd, head, sizeof(head), 0);
	struct stat st;
	size_t skip, len;
	int rc;

	if (n < 0 || fstat(s->fd, &st) < 0) {
		disk_error(err, s->path, "", "read", errno);
		return -1;
	}
	skip = store_bom_len(head, (size_t)n);
	if ((size_t)n >= skip + strlen(ours) &&
	    memcmp(head + skip, ours, strlen(ours)) == 0)
		return store_load(s, skip, err);
	if (!S_ISREG(st.st_mode) || st.st_size > WHOLE_MAX)
		return refuse(s, head, (size_t)n, err);
	text = read_whole(s, (size_t)st.st_size, &len, err);
	if (text == NULL)
		return -1;
	rc = read_text(s, text, len, err);
	free(text);
	return rc;
}

/* --- opening --- */

static void no_directory(char err[ERR_MAX], const char *path)
{
	const char *end = strrchr(path, '/');
	int n = end == NULL ? 1 : end == path ? 1 : (int)(end - path);

	err_set(err,
	    "%s: the directory %.*s does not exist: create it and give it to "
	    "xapsd's user, or set databaseFile",
	    path, n, end == NULL ? "." : path);
}

static int fail_open(const char *path, int code, char err[ERR_MAX])
{
	const char *end = strrchr(path, '/');
	struct stat st;

	if (code == ENOENT || code == ENOTDIR)
		no_directory(err, path);
	else if (end != NULL && lstat(path, &st) < 0 && errno == ENOENT)
		err_set(err,
		    "%s: cannot write to the folder %.*s: %s: give it to "
		    "xapsd's user, or set databaseFile",
		    path, end == path ? 1 : (int)(end - path), path,
		    err_words(code));
	else
		disk_error(err, path, "", "open", code);
	return -1;
}

static int check_kind(int fd, const char *path, char err[ERR_MAX])
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	err_set(err, "%s: not a regular file: set databaseFile", path);
	return -1;
}

static int fail_locked(const char *path, char err[ERR_MAX])
{
	err_set(err, "%s: in use by another xapsd: " ERR_SECOND, path);
	return -1;
}

/* 0: locked.  1: try again, the name refers to another file now. */
static int lock(int fd, const char *path, char err[ERR_MAX])
{
	struct stat st, named;

	if (check_kind(fd, path, err) < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return fail_locked(path, err);
		disk_error(err, path, "", "lock", errno);
		return -1;
	}
	if (fstat(fd, &st) < 0)
		return 1;
	return stat(path, &named) < 0 || st.st_ino != named.st_ino ||
	       st.st_dev != named.st_dev;
}

static int open_locked(const char *path, char err[ERR_MAX])
{
	int fd, rc, i;

	for (i = 0; i < OPEN_TRIES; i++) {
		fd =
		    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
		if (fd < 0)
			return fail_open(path, errno, err);
		rc = lock(fd, path, err);
		if (rc == 0)
			return fd;
		close(fd);
		if (rc < 0)
			return -1;
	}
	err_set(
	    err, "%s: changes all the time: another program replaces it", path);
	return -1;
}

/* Makes a new file durable; if root created it, it gets the directory's owner. */
static int adopt(struct store *s, char err[ERR_MAX])
{
	if (geteuid() == 0)
		disk_give_like_dir(s->fd, s->path);
	return store_sync_dir(s, err);
}

static int read_file(struct store *s, char err[ERR_MAX])
{
	struct stat st;

	if (fstat(s->fd, &st) < 0) {
		disk_error(err, s->path, "", "read", errno);
		return -1;
	}
	topic_read(s);
	if (st.st_size == 0)
		return adopt(s, err);
	return store_read(s, err);
}

/* Leaves space for suffixes. */
static bool is_too_long(const char *path, char err[ERR_MAX])
{
	if (strlen(path) + 16 <= PATH_MAX)
		return false;
	err_set(err, "databaseFile: the name is too long");
	return true;
}

/* A rename would replace a symbolic link, not what it leads to. */
static int set_path(struct store *s, const char *path, char err[ERR_MAX])
{
	s->path = realpath(path, NULL);
	if (s->path != NULL)
		return is_too_long(s->path, err) ? -1 : 0;
	disk_error(err, path, "", "find its real name", errno);
	return -1;
}

struct store *store_open(const char *path, char err[ERR_MAX])
{
	struct store *s;
	char *temp;
	int fd;

	if (is_too_long(path, err))
		return NULL;
	fd = open_locked(path, err);
	if (fd < 0)
		return NULL;
	s = store_new();
	s->fd = fd;
	if (set_path(s, path, err) < 0)
		goto fail;
	temp = xprintf("%s.new", s->path);
	unlink(temp); /* of a rewrite that was cut short */
	free(temp);
	if (store_finish_copy(s, err) == 0 && read_file(s, err) == 0)
		return s;
fail:
	close(s->fd);
	store_free(s);
	return NULL;
}

bool store_in_use(const char *path, char err[ERR_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool is =
	    fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	if (is)
		fail_locked(path, err);
	return is;
}

void store_close(struct store *s)
{
	char err[ERR_MAX];

	if (s == NULL)
		return;
	store_release(s);
	if (store_sync(s, err) < 0)
		log_error("registrations: %s", err);
	close(s->fd);
	store_free(s);
}

/* --- what store_open() would find --- */

/* Of the folder that the file is in: 0 or errno. */
static int try_folder(const char *path)
{
	char *copy = xstrdup(path);
	int rc = faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS);
	int code = rc < 0 ? errno : 0;

	free(copy);
	return code;
}

/* The file to be read, or the copy that replaces it. */
static int open_content(struct store *s, char err[ERR_MAX])
{
	int fd = store_open_copy(s);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0) {
		disk_error(err, s->path, ".copy", "take it over", errno);
		return -1;
	}
	close(s->fd);
	s->fd = fd;
	return 0;
}

static int check_content(struct store *s, bool *fixed_r, char err[ERR_MAX])
{
	int code = try_folder(s->path);
	struct stat st;

	*fixed_r = code != 0;
	topic_read(s);
	if (fstat(s->fd, &st) < 0 || st.st_size == 0)
		return 0;
	if (store_read(s, err) < 0)
		return -1;
	if (code == 0 || !s->must_rewrite)
		return 0;
	disk_error(err, s->path, ".new", "write", code);
	return -1;
}

int store_check(struct store *s, const char *path, bool in_use,
    struct store_found *found_r, char err[ERR_MAX])
{
	struct stat st;
	int rc = -1, code;

	*found_r = (struct store_found){ .missing = false };
	s->is_check = true;
	if (is_too_long(path, err))
		return -1;
	s->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	code = s->fd < 0 ? errno : 0;
	if (code == ENOENT && lstat(path, &st) < 0) {
		found_r->missing = true;
		code = try_folder(path);
		return code != 0 ? fail_open(path, code, err) : 0;
	}
	if (code != 0)
		return fail_open(path, code, err);
	if (check_kind(s->fd, path, err) == 0 &&
	    (!in_use || fail_locked(path, err) == 0) &&
	    set_path(s, path, err) == 0 && open_content(s, err) == 0)
		rc = check_content(s, &found_r->fixed, err);
	found_r->bad = s->n_bad;
	close(s->fd);
	s->fd = -1;
	return rc;
}

/* A line is like "1: FLOCK  ADVISORY  WRITE 711 fe:00:1311 0 EOF". */
static pid_t read_holder(const char *line, const struct stat *st)
{
	const char *at = strstr(line, " FLOCK ");
	unsigned long major_no, minor_no;
	char *end;
	long pid;

	at = at != NULL ? strstr(at, " WRITE ") : NULL;
	if (at == NULL)
		return 0;
	pid = strtol(at + strlen(" WRITE "), &end, 10);
	major_no = strtoul(end, &end, 16);
	minor_no = *end == ':' ? strtoul(end + 1, &end, 16) : 0;
	return *end == ':' && strtoull(end + 1, NULL, 10) == st->st_ino &&
		       major_no == major(st->st_dev) &&
		       minor_no == minor(st->st_dev)
		   ? (pid_t)pid
		   : 0;
}

pid_t store_holder(const char *path)
{
	FILE *f = fopen("/proc/locks", "re");
	struct stat st;
	char line[256];
	pid_t pid = 0;

	if (f == NULL)
		return -1;
	if (stat(path, &st) == 0)
		while (pid == 0 && fgets(line, sizeof(line), f) != NULL)
			pid = read_holder(line, &st);
	fclose(f);
	return pid;
}
