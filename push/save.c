/* push/save.c - keeps what waits at shutdown in a file for the next start.
 *
 * One line for what was in flight, one for what waited:
 *   {"user":"alice","account":"0715","token":"2918","age":12,
 *    "hashes":["7e33…"]}                         (one line)
 * or, of another kind than Apple's, one for each mailbox:
 *   {"user":"alice","account":"phone","token":"5d41","kind":"webpush","age":12,
 *    "note":["INBOX","new",3,1763769600000001]}  (one line)
 * age: how many seconds the newest event waited while the daemon ran.  The time
 * until the next start does not count: no clock can be trusted over a restart,
 * and no push could have been sent. */
#include "push/int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "disk.h"
#include "json.h"
#include "mem.h"
#include "store.h"
#include "text.h"
#include "tls.h"

/* Ceilings of one line: 1,000 mailboxes of 35 bytes and three short strings,
 * escaped; or one name of 4 KiB, escaped. */
#define LINE_HASHES REG_MAILBOXES_MAX
#define LINE_MAX_BYTES (48 * 1024)
#define TOKENS_MAX (REG_MAILBOXES_MAX + 16)

/* Size of one write. */
#define CHUNK_BYTES (16 * 1024)

#define PUSH_ES(n) ((n) == 1 ? "" : "es")

struct saver {
	struct push_queue *q;
	int fd;
	int error; /* errno of a failed write, or 0 */
	struct buf lines;
	off_t size;	/* of the complete lines in the file */
	size_t n, kept; /* registrations in all, in the file */
};

/* --- saving --- */

/* The caller cuts off a line that was written only in part. */
static void flush_lines(struct saver *s)
{
	struct buf *b = &s->lines;

	if (s->error == 0)
		s->error = disk_write(s->fd, buf_head(b), b->len);
	if (s->error != 0)
		return;
	s->size += (off_t)b->len;
	s->kept = s->n;
	buf_reset(b);
}

static void begin_line(struct buf *b, const struct reg *r, int64_t age_s)
{
	char account[REG_ACCOUNT_MAX + 1], tok[REG_TOKEN_MAX + 1];

	buf_add_byte(b, '{');
	json_add_str(b, "user", reg_user(r));
	json_add_str(b, "account", reg_account(r, account));
	json_add_str(b, "token", reg_token(r, tok));
	if (reg_kind(r) != REG_APPLE)
		json_add_str(b, "kind", reg_kind_name(reg_kind(r)));
	json_add_num(b, "age", age_s);
}

static void end_line(struct saver *s, const struct reg *r, size_t before)
{
	struct buf *b = &s->lines;

	buf_add_str(b, "]}\n");
	if (b->failed) {
		log_error(
		    "push: %s: a waiting push is too long to be kept: lost",
		    reg_user(r));
		b->len = before; /* keep the others */
		b->failed = false;
	}
}

static void save_hashes(struct saver *s, const struct reg *r,
    const struct push_hashes *set, int64_t age_s)
{
	struct buf *b = &s->lines;
	unsigned i, to;
	size_t before;

	for (i = 0; i < set->n; i = to) {
		to = set->n - i > LINE_HASHES ? i + LINE_HASHES : set->n;
		before = b->len;
		begin_line(b, r, age_s);
		json_open(b, "hashes", '[');
		push_hashes_write(b, set, i, to);
		b->len--; /* the last comma */
		end_line(s, r, before);
	}
}

static void save_notes(struct saver *s, const struct reg *r,
    const struct push_note *n, int64_t age_s)
{
	struct buf *b = &s->lines;
	size_t before;

	for (; n != NULL; n = n->next) {
		if (b->len >= CHUNK_BYTES)
			flush_lines(s);
		before = b->len;
		begin_line(b, r, age_s);
		json_open(b, "note", '[');
		json_add_str(b, NULL, n->mailbox);
		buf_add_fmt(b, ",\"%s\",%lld,%lld", n->event,
		    (long long)n->unseen, (long long)n->id);
		end_line(s, r, before);
	}
}

static int save_reg(void *arg, struct reg *r)
{
	struct saver *s = arg;
	const struct push *p = reg_data(r);
	int64_t flight_s, wait_s, now_ms = loop_now_ms(s->q->loop);

	if (p == NULL || p->wait.n + p->flight.n == 0)
		return 0;
	flight_s = (now_ms - p->flight_ms) / 1000;
	wait_s = (now_ms - p->wait_ms) / 1000;
	if (p->noted) {
		save_notes(s, r, push_note(p), flight_s);
		save_notes(s, r, push_waiting_note(p), wait_s);
	} else {
		save_hashes(s, r, &p->flight, flight_s);
		save_hashes(s, r, &p->wait, wait_s);
	}
	s->n++;
	if (s->lines.len >= CHUNK_BYTES)
		flush_lines(s);
	return 0;
}

/* Writes a new file and renames it: with everything, or, if error is set, with
 * what fitted.  -1 with errno: nothing is kept. */
static int write_all(struct saver *s, const char *aside, const char *path)
{
	int rc = 0;

	unlink(aside); /* left by a save that was interrupted */
	s->fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -1;
	push_each_reg(s->q, save_reg, s);
	flush_lines(s);
	if (s->error != 0)
		rc = ftruncate(s->fd, s->size);
	if (rc == 0)
		rc = fsync(s->fd);
	if (close(s->fd) < 0 || rc < 0 || rename(aside, path) < 0)
		return -1;
	errno = disk_sync_dir(path);
	return errno == 0 ? 0 : -1;
}

int push_save(struct push_queue *q, const char *path, char err[ERR_MAX])
{
	/* At most three lines of one registration are added below
	 * CHUNK_BYTES. */
	struct saver s = {
		.q = q,
		.lines = BUF_INIT(CHUNK_BYTES + 3 * LINE_MAX_BYTES),
	};
	char aside[1024];
	int rc = -1;

	if (q->count == 0) {
		unlink(path);
		return 0;
	}
	snprintf(aside, sizeof(aside), "%s.new", path);
	if (write_all(&s, aside, path) < 0) {
		err_set(err, "cannot keep %zu waiting push%s in %s: %s",
		    q->count, PUSH_ES(q->count), path, err_words(errno));
		unlink(aside);
	} else if (s.error != 0) {
		err_set(err, "only %zu of %zu waiting push%s kept in %s: %s",
		    s.kept, s.n, PUSH_ES(s.n), path, err_words(s.error));
	} else {
		log_info("push: %zu waiting push%s kept in %s for the next "
			 "start",
		    s.n, PUSH_ES(s.n), path);
		rc = 0;
	}
	buf_free(&s.lines);
	return rc;
}

/* --- loading --- */

static bool read_hash(
    const struct json *j, const struct json_tok *t, unsigned char *hash)
{
	char text[2 * HASH_LEN + 1];

	return json_string(j, t, text, sizeof(text)) == 2 * HASH_LEN &&
	       text_hex_read(text, 2 * HASH_LEN, hash);
}

static bool get_string(
    const struct json *j, const char *key, char *out, size_t size)
{
	return json_string(j, json_get(j, j->toks, key), out, size) >= 0;
}

/* That of a hook is made again. */
static struct reg *find_reg(struct push_queue *q, const struct json *j)
{
	char user[REG_USER_MAX + 1], account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1], kind[16];

	if (!get_string(j, "user", user, sizeof(user)) ||
	    !get_string(j, "account", account, sizeof(account)) ||
	    !get_string(j, "token", token, sizeof(token)))
		return NULL;
	if (get_string(j, "kind", kind, sizeof(kind)) &&
	    strcmp(kind, reg_kind_name(REG_HOOK)) == 0)
		return push_memory_reg(q, REG_HOOK, user, account);
	return store_find(q->store, user, account, token);
}

/* Before 0.2.0 the name was hashed in modified UTF-7, which phones ignore. */
static void fix_old_hash(const struct reg *r, unsigned char *hash)
{
	unsigned char old[HASH_LEN];
	const char *name, *at = NULL;
	size_t i;

	for (i = 0; i < reg_n_mailboxes(r); i++) {
		name = reg_next_mailbox(r, &at);
		if (strchr(name, '&') == NULL)
			continue;
		tls_md5(name, strlen(name), old);
		if (memcmp(old, hash, HASH_LEN) == 0) {
			push_hash_mailbox(name, hash);
			return;
		}
	}
}

/* Adds what the line has; -1: it is malformed. */
static int load_hashes(
    struct push *p, const struct json *j, const struct json_tok *list, bool old)
{
	unsigned char hash[HASH_LEN];
	const struct json_tok *t;
	size_t i;

	for (t = list + 1, i = 0; i < list->size; i++, t = j->toks + t->next)
		if (!read_hash(j, t, hash))
			return -1;
	for (t = list + 1, i = 0; i < list->size; i++, t++) {
		read_hash(j, t, hash);
		if (old)
			fix_old_hash(p->reg, hash);
		push_add_hash(p, hash);
	}
	return 0;
}

static int load_note(
    struct push *p, const struct json *j, const struct json_tok *list)
{
	char mailbox[LINE_MAX_BYTES / 8], event[32];
	int64_t unseen, id;

	if (list->size != 4 ||
	    json_string(j, list + 1, mailbox, sizeof(mailbox)) < 0 ||
	    json_string(j, list + 2, event, sizeof(event)) < 0 ||
	    !json_int(j, list + 3, &unseen) || !json_int(j, list + 4, &id))
		return -1;
	push_add_note(p, mailbox, push_event_name(event), unseen, (uint64_t)id);
	return 0;
}

/* False if the line is malformed.  A registration that does not exist any more
 * is skipped. */
static bool load_line(struct push_queue *q, const struct json *j)
{
	const struct json_tok *list = json_get(j, j->toks, "hashes");
	const struct json_tok *note = json_get(j, j->toks, "note");
	const struct json_tok *age = json_get(j, j->toks, "age");
	struct reg *r;
	struct push *p;
	int64_t age_s = 0; /* 0.1.0 wrote the wall clock's time instead */
	int64_t event_ms;
	int rc;

	if (list == NULL)
		list = note;
	if (list == NULL || list->type != JSON_ARRAY || list->size == 0 ||
	    (age != NULL && (!json_int(j, age, &age_s) || age_s < 0)))
		return false;
	r = find_reg(q, j);
	if (r == NULL)
		return true;
	p = push_get(q, r);
	rc = -1;
	if (p->noted == (list == note))
		rc = p->noted ? load_note(p, j, list)
			      : load_hashes(p, j, list, age == NULL);
	if (p->wait.n == 0) { /* all of an earlier mailbox list */
		push_release(p);
		return rc == 0;
	}
	if (rc < 0)
		return false;
	if (age_s > q->conf->push_expiration_s)
		age_s = q->conf->push_expiration_s; /* no overflow */
	event_ms = loop_now_ms(q->loop) - age_s * 1000;
	if (p->state == PUSH_IDLE || event_ms > p->wait_ms)
		p->wait_ms = event_ms;
	push_set_state(p, PUSH_READY, 0);
	return true;
}

static size_t load_lines(struct push_queue *q, FILE *f, char *line)
{
	struct json_tok *toks = xmalloc(TOKENS_MAX * sizeof(*toks));
	struct json j = { .text = line, .toks = toks };
	struct json_err jerr;
	size_t bad = 0;
	int n;

	while (fgets(line, LINE_MAX_BYTES, f) != NULL) {
		j.len = strlen(line);
		n = json_parse(line, j.len, toks, TOKENS_MAX, &jerr);
		if (n < 0 || toks[0].type != JSON_OBJECT || !load_line(q, &j))
			bad++;
	}
	free(toks);
	return bad;
}

void push_load(struct push_queue *q, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line;
	size_t bad;

	if (f == NULL) {
		if (errno != ENOENT)
			log_warn(
			    "push: cannot read %s: %s", path, err_words(errno));
		return;
	}
	line = xmalloc(LINE_MAX_BYTES);
	bad = load_lines(q, f, line);
	fclose(f);
	free(line);
	if (bad > 0)
		log_warn("push: %s: %zu line%s cannot be read: dropped", path,
		    bad, LOG_S(bad));
	if (q->count > 0)
		log_info("push: %zu push%s waiting since the last stop",
		    q->count, PUSH_ES(q->count));
	/* Before they are sent: after a crash, losing them is better than
	 * sending them twice. */
	unlink(path);
}
