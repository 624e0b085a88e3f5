/* store/file.c - the flat file: append, rewrite, sync.
 *
 * The lock (flock) is on the file itself.  A rewrite locks the new file before
 * it takes the name, and opening checks that the name still leads to what was
 * locked: so there is no moment without a lock, and no lock file. */
#include "store/int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"

#define FLUSH_AT 65536	   /* bytes gathered for one write */
#define REWRITE_FROM 65536 /* smaller files are not rewritten */
#define BLOATED_FROM (1024 * 1024)
#define ORIGINALS_MAX 100 /* .orig, .orig.1 and so on */
#define DIRTY_KEPT 1024	  /* entries kept allocated between writes */

/* --- writing lines --- */

/* Gathers lines for writing; keeps the first error. */
struct sink {
	int fd;
	int error;
	uint64_t total;
	struct buf buf;
};

static void sink_init(struct sink *k, int fd)
{
	k->fd = fd;
	k->error = 0;
	k->total = 0;
	buf_init(&k->buf, FLUSH_AT + STORE_LINE_MAX);
}

static void sink_flush(struct sink *k)
{
	if (k->error == 0 && k->buf.failed)
		k->error = EOVERFLOW;
	if (k->error == 0 && k->buf.len > 0)
		k->error = disk_write(k->fd, buf_head(&k->buf), k->buf.len);
	buf_reset(&k->buf);
}

/* To be called after every line; returns its length. */
static uint32_t sink_line(struct sink *k, size_t before)
{
	size_t len = k->buf.len - before;

	k->total += len;
	if (k->buf.len >= FLUSH_AT)
		sink_flush(k);
	return (uint32_t)len;
}

static uint32_t sink_reg(struct sink *k, const struct reg *r, const char *topic)
{
	size_t before = k->buf.len;

	reg_write(r, topic, &k->buf);
	if (r->part != PART_UNKNOWN) {
		k->buf.len -= 2; /* "}\n" */
		json_add_num(
		    &k->buf, "t", reg_time_ms(r, false) - reg_suspended(r));
		buf_add_str(&k->buf, "}\n");
	}
	return sink_line(k, before);
}

static uint32_t sink_gone(struct sink *k, const struct reg *r, int64_t t_ms)
{
	size_t before = k->buf.len;

	reg_write_gone(r, t_ms, &k->buf);
	return sink_line(k, before);
}

static void sink_grave(struct store *s, struct sink *k, struct reg *grave)
{
	grave_set_line(s, grave, sink_gone(k, grave, reg_gone_ms(grave)));
}

/* --- appending --- */

/* What was queued is on disk now, and the file has `size` bytes. */

static void mark_written(struct store *s, uint64_t size)
{
	struct reg *r;
	size_t i;

	for (i = 0; i < s->n_dirty; i++) {
		r = s->dirty[i].reg;
		r->line = s->dirty[i].len;
		r->written_s = r->time_s;
		r->flags &= (uint8_t)~REG_DIRTY;
		r->flags |= REG_ON_DISK;
		s->live += r->line;
	}
	s->n_dirty = 0;
	if (s->cap_dirty > DIRTY_KEPT) {
		free(s->dirty);
		s->dirty = NULL;
		s->cap_dirty = 0;
	}
	store_free_gone(s);
	s->size = size;
}

int store_sync_dir(struct store *s, char err[ERR_MAX])
{
	int error = disk_sync_dir(s->path);

	s->must_sync_dir = error != 0;
	if (error != 0)
		disk_error(err, s->path, "", "sync its directory", error);
	return error != 0 ? -1 : 0;
}

/* If the key was put again, only its new line is written: a crash between the
 * two lines would lose it. */
static void append_gone(struct store *s, struct sink *k, struct reg *r)
{
	struct reg *grave = grave_find(s, r);

	if (table_find(&s->table, r) != NULL)
		return;
	if (grave != NULL)
		sink_grave(s, k, grave);
	else
		sink_gone(k, r, 0);
}

static void append_lines(struct store *s, struct sink *k)
{
	struct reg *r;
	size_t i;

	if (lseek(s->fd, (off_t)s->size, SEEK_SET) < 0)
		k->error = errno;
	if (s->lacks_newline) {
		buf_add_byte(&k->buf, '\n');
		k->total++;
	}
	for (r = s->gone; r != NULL && k->error == 0; r = r->next)
		append_gone(s, k, r);
	for (i = 0; i < s->n_dirty && k->error == 0; i++)
		s->dirty[i].len = sink_reg(
		    k, s->dirty[i].reg, topic_in_line(s, s->dirty[i].reg));
	sink_flush(k);
}

static int append(struct store *s, char err[ERR_MAX])
{
	struct sink k;

	sink_init(&k, s->fd);
	append_lines(s, &k);
	buf_free(&k.buf);
	if (k.error == 0 && fdatasync(s->fd) < 0) {
		k.error = errno;
		/* It is unknown what is on disk now: another fsync() may
		 * succeed without having written it. */
		s->must_rewrite = true;
	}
	if (k.error != 0) {
		disk_error(err, s->path, "", "write", k.error);
		s->must_cut = ftruncate(s->fd, (off_t)s->size) < 0;
		return -1;
	}
	s->lacks_newline = false;
	mark_written(s, s->size + k.total);
	return 0;
}

/* --- copies --- */

/* Copies the file to a new name: 0 or errno (EEXIST if the name is taken). */
static int copy_to(const struct store *s, const char *path)
{
	int fd = open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int error = fd < 0 ? errno : 0;

	if (fd < 0)
		return error;
	disk_give_like(fd, s->fd);
	error = disk_copy(s->fd, fd);
	if (close(fd) < 0 && error == 0)
		error = errno;
	if (error != 0)
		unlink(path);
	return error;
}

/* Keeps the original under a name that is not taken: by a hard link if possible,
 * so that there is always a file of the right name.  0 or errno. */
static int keep_original(struct store *s)
{
	char path[PATH_MAX];
	struct stat st, mine;
	int i, error;

	if (fstat(s->fd, &mine) < 0)
		return errno;
	for (i = 0; i < ORIGINALS_MAX; i++) {
		if (i == 0)
			snprintf(path, sizeof(path), "%s.orig", s->path);
		else
			snprintf(path, sizeof(path), "%s.orig.%d", s->path, i);
		if (!s->in_place && link(s->path, path) == 0)
			return 0;
		/* Already linked by an earlier start that was interrupted
		 * here. */
		if (lstat(path, &st) == 0) {
			if (st.st_ino == mine.st_ino &&
			    st.st_dev == mine.st_dev && !s->in_place)
				return 0;
			continue;
		}
		error = copy_to(s, path);
		if (error != EEXIST)
			return error;
	}
	return EEXIST;
}

/* --- a file that rename() cannot replace, being a mount of its own, as in
 * containers: the new content is written to <path>.copy, then over the file; if a
 * power cut comes between, the next start does it again. --- */

static void copy_name(const struct store *s, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s.copy", s->path);
}

/* Overwrites the file with the content of fd: 0 or errno. */
static int overwrite(struct store *s, int fd)
{
	char copy[PATH_MAX];
	int error;

	if (lseek(s->fd, 0, SEEK_SET) < 0 || ftruncate(s->fd, 0) < 0)
		return errno;
	error = disk_copy(fd, s->fd);
	if (error != 0)
		return error;
	copy_name(s, copy);
	if (unlink(copy) < 0 && errno != ENOENT)
		return errno;
	s->has_copy = false;
	return 0;
}

/* temp is complete and on disk.  0 or errno. */
static int replace_in_place(struct store *s, const char *temp, int fd)
{
	char copy[PATH_MAX];
	int error;

	if (!s->in_place)
		log_warn("%s: is a mount of its own (a container's?), so that "
			 "it has to be written over in place: mount its "
			 "directory instead",
		    s->path);
	s->in_place = true;
	copy_name(s, copy);
	if (rename(temp, copy) < 0)
		return errno;
	s->has_copy = true;
	error = disk_sync_dir(s->path);
	return error != 0 ? error : overwrite(s, fd);
}

int store_open_copy(const struct store *s)
{
	char copy[PATH_MAX];

	copy_name(s, copy);
	return open(copy, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

int store_finish_copy(struct store *s, char err[ERR_MAX])
{
	int fd = store_open_copy(s), error;

	if (fd < 0 && errno == ENOENT)
		return 0;
	error = fd < 0 ? errno : overwrite(s, fd);
	if (fd >= 0)
		close(fd);
	if (error != 0) {
		disk_error(err, s->path, ".copy", "take it over", error);
		return -1;
	}
	if (store_sync_dir(s, err) < 0)
		return -1;
	log_warn("%s: writing it was cut short (a power cut?): it was taken "
		 "over from the file of that name with .copy added",
	    s->path);
	return 0;
}

/* --- rewriting --- */

struct rewrite {
	struct store *s;
	struct sink k;
};

static int rewrite_reg(void *arg, struct reg *r)
{
	struct rewrite *w = arg;
	uint32_t len = sink_reg(&w->k, r, topic_in_line(w->s, r));

	if (r->flags & REG_DIRTY) {
		w->s->dirty[r->line].len = len;
	} else {
		w->s->live += len;
		w->s->live -= r->line;
		r->line = len;
	}
	return w->k.error;
}

static int rewrite_grave(void *arg, struct reg *grave)
{
	struct rewrite *w = arg;

	sink_grave(w->s, &w->k, grave);
	return w->k.error;
}

/* Fills the new file and makes it durable: 0 or errno. */
static int rewrite_fill(struct store *s, int fd, uint64_t *size_r)
{
	struct rewrite w = { .s = s };

	disk_give_like(fd, s->fd);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno;
	sink_init(&w.k, fd);
	store_each(s, rewrite_reg, &w);
	store_each_gone(s, rewrite_grave, &w);
	sink_flush(&w.k);
	buf_free(&w.k.buf);
	if (w.k.error == 0 && fsync(fd) < 0)
		w.k.error = errno;
	*size_r = w.k.total;
	return w.k.error;
}

/* Gives the new file its name: 0 or errno. */
static int replace(struct store *s, const char *temp, int fd)
{
	if (!s->in_place && rename(temp, s->path) == 0) {
		close(s->fd);
		s->fd = fd;
		return 0;
	}
	if (!s->in_place && errno != EBUSY && errno != EXDEV)
		return errno;
	return replace_in_place(s, temp, fd);
}

int store_rewrite(struct store *s, bool keep, char err[ERR_MAX])
{
	char temp[PATH_MAX];
	uint64_t size = 0;
	int fd, error;

	snprintf(temp, sizeof(temp), "%s.new", s->path);
	unlink(temp);
	fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	error = fd < 0 ? errno : rewrite_fill(s, fd, &size);
	if (error == 0 && keep)
		error = keep_original(s);
	if (error == 0)
		error = replace(s, temp, fd);
	if (fd >= 0 && fd != s->fd)
		close(fd);
	if (error != 0) {
		disk_error(
		    err, s->path, s->has_copy ? "" : ".new", "write", error);
		unlink(temp);
		/* The file may be half written now. */
		s->must_rewrite = s->must_rewrite || s->has_copy;
		return -1;
	}
	s->must_rewrite = false;
	s->must_cut = false;
	s->lacks_newline = false;
	s->frozen = s->frozen && !keep;
	s->rewrite_at = 0;
	mark_written(s, size);
	return store_sync_dir(s, err);
}

/* --- syncing --- */

/* Checks that the file is still ours, and as we left it. */
static int check_file(struct store *s, char err[ERR_MAX])
{
	struct stat st, named;

	if (fstat(s->fd, &st) < 0) {
		disk_error(err, s->path, "", "examine", errno);
		return -1;
	}
	if (stat(s->path, &named) < 0) {
		if (errno == ENOENT && st.st_nlink == 0) {
			log_warn(
			    "%s: was deleted: it is written again", s->path);
			s->must_rewrite = true;
			return 0;
		}
		err_set(err,
		    "%s: %s: moved away, or its file system is not mounted: "
		    "put it back",
		    s->path, err_words(errno));
		return -1;
	}
	if (st.st_ino != named.st_ino || st.st_dev != named.st_dev) {
		err_set(err,
		    "%s: another file has taken its place: put the old one "
		    "back, or restart xapsd to read the new one",
		    s->path);
		return -1;
	}
	if (s->must_cut) {
		if (ftruncate(s->fd, (off_t)s->size) < 0) {
			disk_error(err, s->path, "", "cut", errno);
			return -1;
		}
		s->must_cut = false;
	} else if ((uint64_t)st.st_size != s->size && !s->must_rewrite) {
		log_warn("%s: another program has changed it: it is written "
			 "again",
		    s->path);
		s->must_rewrite = true;
	}
	return 0;
}

static bool is_mostly_dead(const struct store *s)
{
	return s->size > REWRITE_FROM && s->size > 2 * s->live &&
	       s->size >= s->rewrite_at;
}

/* If rewriting fails, for lack of permission or space, but appending works, the
 * file may grow to eight times its live lines. */
static bool is_bloated(const struct store *s)
{
	return s->size > BLOATED_FROM && s->size > 8 * s->live;
}

bool store_is_durable(const struct store *s, const struct reg *r)
{
	return !(r->flags & REG_DIRTY) && !s->must_rewrite && !s->must_sync_dir;
}

bool store_is_dirty(const struct store *s)
{
	return s->n_dirty > 0 || s->gone != NULL || s->must_rewrite ||
	       s->must_sync_dir;
}

int store_sync(struct store *s, char err[ERR_MAX])
{
	if (!store_is_dirty(s))
		return 0;
	if (check_file(s, err) < 0)
		return -1;
	if (s->must_sync_dir && store_sync_dir(s, err) < 0)
		return -1;
	if (s->must_rewrite || is_mostly_dead(s)) {
		if (store_rewrite(s, s->frozen, err) == 0)
			return 0;
		if (s->must_rewrite || s->must_sync_dir || is_bloated(s))
			return -1;
		/* Appending may still work: a rewrite needs more space. */
		log_warn("%s (rewriting is put off)", err);
		s->rewrite_at = s->size + s->size / 8;
	}
	return append(s, err);
}
