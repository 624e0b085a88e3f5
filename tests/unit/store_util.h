/* store_util.h - a directory for the store's tests, and short ways to put. */
#ifndef STORE_UTIL_H
#define STORE_UTIL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/int.h"

#define TOKEN "0123456789abcdef0123456789ABCDEF"

static char tmp_dir[64];
static char db[96];
static char why[ERR_MAX];

static inline void rm_file(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", tmp_dir, name);
	unlink(path);
}

static inline int tmp_setup(void **state)
{
	(void)state;
	log_set_level(LOG_L_FATAL);
	/* In memory: these tests sync thousands of times. */
	snprintf(tmp_dir, sizeof(tmp_dir), "%s/xapsd-store-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(tmp_dir) == NULL)
		return -1;
	snprintf(db, sizeof(db), "%s/db", tmp_dir);
	return 0;
}

static inline int tmp_teardown(void **state)
{
	static const char *const names[] = { "db", "db.new", "db.bad",
		"db.orig", "db.orig.1", "db.copy", "copy.copy", "copy.orig",
		"db.topic", "db2", "link", "copy", "copy.bad", "db.away" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		rm_file(names[i]);
	return rmdir(tmp_dir);
}

static inline void write_file(const char *path, const void *data, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* The whole file, terminated; the caller frees.  NULL if there is none. */
static inline char *read_file_at(const char *path, size_t *n_r)
{
	FILE *f = fopen(path, "r");
	char *p = NULL;
	size_t n;

	if (f == NULL)
		return NULL;
	fseek(f, 0, SEEK_END);
	n = (size_t)ftell(f);
	rewind(f);
	p = malloc(n + 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, n, f), n);
	p[n] = '\0';
	fclose(f);
	if (n_r != NULL)
		*n_r = n;
	return p;
}

static inline void assert_file(const char *name, const char *want)
{
	char path[256], *have;

	snprintf(path, sizeof(path), "%s/%s", tmp_dir, name);
	have = read_file_at(path, NULL);
	if (want == NULL) {
		assert_null(have);
		return;
	}
	assert_non_null(have);
	assert_string_equal(have, want);
	free(have);
}

static inline struct store *open_store(void)
{
	struct store *s = store_open(db, why);

	if (s == NULL)
		fail_msg("store_open: %s", why);
	return s;
}

static inline void sync_store(struct store *s)
{
	if (store_sync(s, why) < 0)
		fail_msg("store_sync: %s", why);
	assert_false(store_is_dirty(s));
}

static inline struct reg *put(struct store *s, const char *user,
    const char *account, const char *token, const char *mailbox, int64_t time_s)
{
	const char *mailboxes[] = { "INBOX", mailbox };
	struct reg_spec spec = {
		.user = user,
		.account = account,
		.token = token,
		.mailboxes = mailboxes,
		.n_mailboxes = mailbox != NULL ? 2 : 1,
		.acked = true,
		.time_s = time_s,
	};

	assert_null(reg_spec_check(&spec));
	return store_put(s, &spec);
}

#endif
