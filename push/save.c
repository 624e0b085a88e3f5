/* push/save.c - what waits at shutdown is kept in a file for the next start.
 *
 * One line a registration, as a person can read it:
 *   {"user":"alice","account":"0715","token":"2918","time":1763769600,
 *    "hashes":["7e33…"]}                         (one line)
 * time is the wall clock of the oldest event. */
#include "push/int.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf.h"
#include "json.h"
#include "store.h"

/* 1,000 mailboxes of 35 bytes, and three short strings, escaped. */
#define LINE_MAX_BYTES (48 * 1024)
#define TOKENS_MAX (REG_MAILBOXES_MAX + 16)

struct saver {
	FILE *f;
	struct buf line;
	int64_t now_ms, now_s;
	size_t n;
};

/* --- saving --- */

static int save_of(void *arg, struct reg *r)
{
	struct saver *s = arg;
	const struct push *p = reg_data(r);
	char tok[REG_TOKEN_MAX + 1];
	struct buf *b = &s->line;

	if (p == NULL || p->wait.n + p->flight.n == 0)
		return 0;
	buf_reset(b);
	buf_add_str(b, "{\"user\":");
	json_write_str(b, reg_user(r));
	buf_add_str(b, ",\"account\":");
	json_write_str(b, reg_account(r));
	buf_add_fmt(b, ",\"token\":\"%s\",\"time\":%lld,\"hashes\":[",
	    reg_token(r, tok),
	    (long long)(s->now_s - (s->now_ms - p->born_ms) / 1000));
	push_add_hashes(b, &p->flight);
	push_add_hashes(b, &p->wait);
	b->len--; /* the last comma */
	buf_add_str(b, "]}\n");
	s->n++;
	return b->failed || fwrite(buf_head(b), 1, b->len, s->f) != b->len;
}

static int sync_folder(const char *path)
{
	char *copy = xstrdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

/* Writes everything to the file aside, which then takes its place. */
static int write_all(
    struct push_queue *q, struct saver *s, const char *aside, const char *path)
{
	int fd, rc;

	unlink(aside); /* of a save that was cut short */
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	s->f = fdopen(fd, "w");
	if (s->f == NULL) {
		close(fd);
		return -1;
	}
	rc = store_each(q->store, save_of, s);
	if (fflush(s->f) != 0 || fsync(fd) < 0)
		rc = -1;
	if (fclose(s->f) != 0 || rc != 0 || rename(aside, path) < 0 ||
	    sync_folder(path) < 0)
		return -1;
	return 0;
}

int push_save(struct push_queue *q, const char *path, char err[ERR_MAX])
{
	struct saver s = {
		.line = BUF_INIT(LINE_MAX_BYTES),
		.now_ms = loop_now_ms(q->loop),
		.now_s = (int64_t)time(NULL),
	};
	char aside[1024];
	int rc = 0;

	if (q->count == 0) {
		unlink(path);
		return 0;
	}
	snprintf(aside, sizeof(aside), "%s.new", path);
	if (write_all(q, &s, aside, path) < 0) {
		err_set(err, "cannot keep %zu waiting pushes in %s: %s",
		    q->count, path, strerror(errno));
		unlink(aside);
		rc = -1;
	} else {
		log_info("push: %zu waiting pushes are kept in %s for the next "
			 "start",
		    s.n, path);
	}
	buf_free(&s.line);
	return rc;
}

/* --- loading --- */

static bool read_hash(
    const struct json *j, const struct json_tok *t, unsigned char *hash)
{
	char text[2 * HASH_LEN + 1];

	return json_string(j, t, text, sizeof(text)) == 2 * HASH_LEN &&
	       hex_read(text, 2 * HASH_LEN, hash);
}

static struct reg *find_reg(struct push_queue *q, const struct json *j)
{
	char user[REG_USER_MAX + 1], account[REG_ACCOUNT_MAX + 1];
	char token[REG_TOKEN_MAX + 1];
	const struct json_tok *u = json_get(j, j->toks, "user");
	const struct json_tok *a = json_get(j, j->toks, "account");
	const struct json_tok *t = json_get(j, j->toks, "token");

	if (u == NULL || a == NULL || t == NULL ||
	    json_string(j, u, user, sizeof(user)) < 0 ||
	    json_string(j, a, account, sizeof(account)) < 0 ||
	    json_string(j, t, token, sizeof(token)) < 0)
		return NULL;
	return store_find(q->store, user, account, token);
}

/* False if the line is no good.  A registration that is gone is fine. */
static bool load_line(struct push_queue *q, const struct json *j, int64_t now_s)
{
	const struct json_tok *list = json_get(j, j->toks, "hashes"), *t;
	const struct json_tok *when = json_get(j, j->toks, "time");
	struct reg *r = find_reg(q, j);
	unsigned char hash[HASH_LEN];
	struct push *p;
	int64_t time_s;
	size_t i;

	if (list == NULL || list->type != JSON_ARRAY || list->size == 0 ||
	    when == NULL || !json_int(j, when, &time_s))
		return false;
	if (r == NULL)
		return true;
	for (t = list + 1, i = 0; i < list->size; i++, t = j->toks + t->next)
		if (!read_hash(j, t, hash))
			return false;
	p = push_get(q, r);
	for (t = list + 1, i = 0; i < list->size; i++, t++) {
		read_hash(j, t, hash);
		hashes_add(&p->wait, hash);
	}
	/* A clock that went back makes it new, not old. */
	p->born_ms = loop_now_ms(q->loop);
	if (now_s > time_s)
		p->born_ms -= (now_s - time_s) * 1000;
	push_to(p, PUSH_READY, 0);
	return true;
}

static size_t load_lines(struct push_queue *q, FILE *f, char *line)
{
	struct json_tok *toks = xmalloc(TOKENS_MAX * sizeof(*toks));
	struct json j = { .text = line, .toks = toks };
	int64_t now_s = (int64_t)time(NULL);
	struct json_err jerr;
	size_t bad = 0;
	int n;

	while (fgets(line, LINE_MAX_BYTES, f) != NULL) {
		j.len = strlen(line);
		n = json_parse(line, j.len, toks, TOKENS_MAX, &jerr);
		j.n_toks = n < 0 ? 0 : (size_t)n;
		if (n < 0 || toks[0].type != JSON_OBJECT ||
		    !load_line(q, &j, now_s))
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
			    "push: cannot read %s: %s", path, strerror(errno));
		return;
	}
	line = xmalloc(LINE_MAX_BYTES);
	bad = load_lines(q, f, line);
	fclose(f);
	free(line);
	if (bad > 0)
		log_warn(
		    "push: %s: %zu lines cannot be read: dropped", path, bad);
	if (q->count > 0)
		log_info("push: %zu pushes wait since the last stop", q->count);
	/* Sent twice after a crash would be worse than not at all. */
	unlink(path);
}
