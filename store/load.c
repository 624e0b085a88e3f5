/* store/load.c - reads the flat file at start: good lines go into memory, bad ones
 * into <path>.bad, and a torn last one is cut off. */
#include "store/int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"

#define CHUNK 65536 /* bytes read at a time */

struct loader {
	struct store *s;
	struct buf in;
	size_t line_no;
	uint64_t good;	 /* offset after the last whole line */
	bool too_long;	 /* within a line that is moved piece by piece */
	size_t torn;	 /* bytes of a torn line at the end */
	int bad_fd;	 /* <path>.bad, -1 until needed */
	int bad_error;	 /* errno if it could not be written */
	size_t bad_n;	 /* bad lines */
	size_t bad_line; /* the first one */
	const char *bad_reason;
	struct reader reader;
};

/* --- one line --- */

static void apply(struct loader *l, size_t line_len)
{
	const struct record *rec = &l->reader.rec;
	const struct reg_spec *spec = &rec->spec;
	struct store *s = l->s;
	struct reg *r, *new;
	bool changed;

	new = reg_new(spec);
	if (rec->gone) {
		r = table_find(&s->table, new);
		if (r != NULL)
			store_forget(s, r);
		r = rec->t_ms > 0 ? grave_dig(s, new, rec->t_ms) : NULL;
		if (r != NULL)
			grave_set_line(s, r, line_len);
		reg_free(new);
		return;
	}
	if (spec->topic != NULL)
		new->topic = topic_index(s, spec->topic);
	r = store_replace(s, table_find(&s->table, new), new, &changed);
	s->live += line_len;
	s->live -= r->line;
	r->line = (uint32_t)line_len;
	r->written_s = r->time_s;
	r->flags |= REG_ON_DISK;
	if (rec->t_ms / 1000 == r->time_s)
		reg_set_ms(r, rec->t_ms);
}

/* --- bad lines --- */

static void bad_write(struct loader *l, const void *p, size_t n)
{
	char path[PATH_MAX];

	if (l->bad_error != 0 || l->s->read_only)
		return;
	if (l->bad_fd < 0) {
		snprintf(path, sizeof(path), "%s.bad", l->s->path);
		l->bad_fd = open(path,
		    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
		    0600);
		if (l->bad_fd < 0) {
			l->bad_error = errno;
			return;
		}
	}
	l->bad_error = disk_write(l->bad_fd, p, n);
}

static void bad_begin(struct loader *l, const char *reason)
{
	if (l->bad_n++ == 0) {
		l->bad_line = l->line_no;
		l->bad_reason = reason;
	}
}

/* Cuts off the torn line, which was copied to <path>.bad. */
static int cut_off(struct loader *l, char err[ERR_MAX])
{
	struct store *s = l->s;

	log_warn("%s: the last line is torn (a power cut?): its %zu byte%s %s "
		 "%s",
	    s->path, l->torn, LOG_S(l->torn), l->torn == 1 ? "is" : "are",
	    l->bad_fd >= 0 ? "moved to the file of that name with .bad added"
			   : "removed");
	if (ftruncate(s->fd, (off_t)l->good) < 0) {
		disk_error(err, s->path, "", "cut off the torn line", errno);
		return -1;
	}
	return 0;
}

/* Bad lines that could not be moved stay in the file. */
static void freeze(struct loader *l)
{
	char err[ERR_MAX];
	struct store *s = l->s;

	disk_error(err, s->path, ".bad", "write", l->bad_error);
	log_warn("%s (the bad lines stay in the file for now)", err);
	s->frozen = true;
	if (l->torn > 0) {
		s->size += l->torn;
		s->lacks_newline = true;
	}
}

static void report_bad(const struct loader *l)
{
	log_warn("%s: %zu bad line%s%s, the first is line %zu: %s", l->s->path,
	    l->bad_n, LOG_S(l->bad_n),
	    l->s->frozen ? ""
			 : ", moved to the file of that name with .bad added",
	    l->bad_line, l->bad_reason);
}

/* Makes sure that the bad lines are in <path>.bad before they are removed from
 * the file. */
static int bad_finish(struct loader *l, char err[ERR_MAX])
{
	struct store *s = l->s;

	if (l->bad_fd >= 0 && l->bad_error == 0 && fsync(l->bad_fd) < 0)
		l->bad_error = errno;
	if (l->bad_fd >= 0 && l->bad_error == 0)
		l->bad_error = disk_sync_dir(s->path);
	s->n_bad = l->bad_n;
	if (s->read_only)
		s->frozen = true;
	else if (l->bad_error != 0)
		freeze(l);
	else if (l->torn > 0 && cut_off(l, err) < 0)
		return -1;
	if (l->bad_n == 0)
		return 0;
	report_bad(l);
	if (!s->frozen && store_rewrite(s, false, err) < 0)
		log_warn("%s (the bad lines stay in the file for now)", err);
	return 0;
}

/* --- the lines --- */

static bool is_blank(const char *p, size_t n)
{
	while (n > 0 && (*p == ' ' || *p == '\t' || *p == '\r')) {
		p++;
		n--;
	}
	return n == 0;
}

/* A complete line, n bytes without its newline. */
static void take_line(struct loader *l, const char *line, size_t n)
{
	const char *reason;

	l->line_no++;
	if (is_blank(line, n))
		return;
	reason = line_read(&l->reader, line, n);
	if (reason == NULL) {
		apply(l, n + 1);
		return;
	}
	bad_begin(l, reason);
	bad_write(l, line, n);
	bad_write(l, "\n", 1);
}

/* Moves a part of a line that is longer than any of ours. */
static void take_piece(struct loader *l, size_t n, bool last)
{
	if (!l->too_long) {
		l->line_no++;
		bad_begin(l, "longer than 544 KiB");
	}
	bad_write(l, buf_head(&l->in), n);
	if (last)
		bad_write(l, "\n", 1);
	l->too_long = !last;
}

static void take(struct loader *l, size_t n)
{
	buf_consume(&l->in, n);
	l->good += n;
}

static void take_lines(struct loader *l)
{
	const char *p, *nl;
	size_t n;

	while (l->in.len > 0) {
		p = (const char *)buf_head(&l->in);
		nl = memchr(p, '\n', l->in.len);
		if (nl == NULL)
			break;
		n = (size_t)(nl - p);
		if (l->too_long)
			take_piece(l, n, true);
		else
			take_line(l, p, n);
		take(l, n + 1);
	}
	if (l->in.len > STORE_LINE_MAX || l->too_long) {
		n = l->in.len;
		take_piece(l, n, false);
		take(l, n);
	}
}

/* Handles what follows the last newline: a line that lacks only its newline, a
 * torn one, or anything else. */
static void take_tail(struct loader *l)
{
	struct store *s = l->s;
	const char *reason, *p = (const char *)buf_head(&l->in);
	size_t n = l->in.len, kept = n;

	if (l->too_long)
		bad_write(l, "\n", 1);
	s->lacks_newline = l->too_long;
	s->size = l->good;
	if (n == 0)
		return;
	l->line_no++;
	reason = is_blank(p, n) ? NULL : line_read(&l->reader, p, n);
	if (reason == NULL) {
		if (!is_blank(p, n))
			apply(l, n + 1);
		s->size += n;
		s->lacks_newline = true;
		return;
	}
	/* Some file systems leave zeros there after a power cut. */
	while (kept > 0 && p[kept - 1] == '\0')
		kept--;
	if (s->read_only || !line_is_torn(p, kept)) {
		/* or being written at this moment */
		bad_begin(l, reason);
		s->size += n;
		s->lacks_newline = true;
	} else {
		l->torn = n;
	}
	if (kept > 0) {
		bad_write(l, p, kept);
		bad_write(l, "\n", 1);
	}
}

static int read_all(struct loader *l, char err[ERR_MAX])
{
	unsigned char *p;
	ssize_t n;

	if (lseek(l->s->fd, (off_t)l->good, SEEK_SET) < 0) {
		disk_error(err, l->s->path, "", "read", errno);
		return -1;
	}
	do {
		/* Fits: take_lines() leaves STORE_LINE_MAX at most. */
		p = buf_reserve(&l->in, CHUNK);
		n = read(l->s->fd, p, CHUNK);
		if (n > 0) {
			buf_added(&l->in, (size_t)n);
			take_lines(l);
		}
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0) {
		disk_error(err, l->s->path, "", "read", errno);
		return -1;
	}
	take_tail(l);
	return bad_finish(l, err);
}

const char *store_put_line(
    struct store *s, const char *line, size_t len, bool *newer_r)
{
	struct reader *in = xmalloc(sizeof(*in));
	const struct reg_spec *spec = &in->rec.spec;
	const char *reason = line_read(in, line, len);
	struct reg *r;

	*newer_r = false;
	if (reason == NULL && in->rec.gone)
		reason = "a removal";
	if (reason == NULL) {
		r = store_find(s, spec->user, spec->account, spec->token);
		*newer_r =
		    r == NULL ? limit_admits(s, spec->user, spec->time_s * 1000)
			      : reg_time_s(r) < spec->time_s;
		if (*newer_r) {
			r = store_put(s, spec);
			if (r == NULL)
				reason = "maxRegistrations allows no more";
		}
		if (*newer_r && r != NULL && in->rec.suspended)
			store_suspend(s, r);
	}
	free(in);
	return reason;
}

static bool is_gone_since(
    struct store *s, const struct reg_spec *spec, int64_t t_ms)
{
	struct reg *key, *grave;
	bool is;

	if (s->graves.n == 0)
		return false;
	key = reg_new(spec);
	grave = grave_find(s, key);
	is = grave != NULL && reg_gone_ms(grave) >= t_ms;
	reg_free(key);
	return is;
}

/* Every node keeps all removals: each may have to tell one that was away. */
static void merge_gone(
    struct store *s, const struct reg_spec *spec, struct reg *r, int64_t t_ms)
{
	bool is_written = r != NULL && r->flags & REG_ON_DISK;
	struct reg *key = reg_new(spec), *grave, *had;

	key->hash = table_hash(&s->table, spec->user);
	had = grave_find(s, key);
	if (had != NULL && reg_gone_ms(had) == t_ms)
		is_written = true;
	grave =
	    s->on_change != NULL && spec->time_s >= s->wall_s - s->limits.ttl_s
		? grave_dig(s, key, t_ms)
		: NULL;
	if (grave != NULL && reg_gone_ms(grave) == t_ms)
		store_set_shared(s, grave, true);
	if (r != NULL)
		store_drop(s, r);
	if (grave != NULL && !is_written)
		store_write_gone(s, key);
	else
		reg_free(key);
}

/* What the line says of r, which may be NULL; false if maxRegistrations allows no
 * more. */
static bool merge_record(struct store *s, const struct record *rec,
    struct reg *r, int64_t t_ms, struct reg **put_r)
{
	const struct reg_spec *spec = &rec->spec;

	if (rec->gone) {
		merge_gone(s, spec, r, t_ms);
		return true;
	}
	if (is_gone_since(s, spec, t_ms) ||
	    limit_is_old(s, spec->kind, spec->time_s) ||
	    (r == NULL && !limit_admits(s, spec->user, t_ms)))
		return true;
	*put_r = store_put(s, spec);
	if (*put_r == NULL)
		return false;
	if (rec->suspended)
		store_suspend(s, *put_r);
	reg_set_ms(*put_r, t_ms);
	store_set_shared(s, *put_r, true);
	return true;
}

const char *store_merge(struct store *s, const char *line, size_t len,
    int64_t t_ms, struct reg **put_r)
{
	struct reader *in = xmalloc(sizeof(*in));
	struct reg_spec *spec = &in->rec.spec;
	const char *reason = line_read(in, line, len);
	struct reg *r;

	*put_r = NULL;
	if (reason == NULL) {
		spec->time_s = t_ms / 1000;
		r = store_find(s, spec->user, spec->account, spec->token);
		s->is_merging = true;
		if ((r == NULL || (!(r->flags & REG_UNSTAMPED) &&
				      reg_time_ms(r, false) <= t_ms)) &&
		    !merge_record(s, &in->rec, r, t_ms, put_r))
			reason = "maxRegistrations allows no more";
		s->is_merging = false;
	}
	free(in);
	return reason;
}

size_t store_bom_len(const char *text, size_t len)
{
	return len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

int store_load(struct store *s, size_t skip, char err[ERR_MAX])
{
	struct loader *l = xmalloc(sizeof(*l));
	int rc;

	l->s = s;
	buf_init(&l->in, STORE_LINE_MAX + CHUNK);
	l->line_no = 0;
	l->good = skip;
	l->too_long = false;
	l->torn = 0;
	l->bad_fd = -1;
	l->bad_error = 0;
	l->bad_n = 0;
	rc = read_all(l, err);
	if (l->bad_fd >= 0)
		close(l->bad_fd);
	buf_free(&l->in);
	free(l);
	/* The next change removes the byte order mark. */
	if (skip > 0 && !s->read_only && !s->frozen)
		s->must_rewrite = true;
	return rc;
}
