/* store_fault_test.c - the store on disks that fill up, fail and vanish, and
 * under kill -9: nothing that was acknowledged or on disk is lost. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "store_util.h"

/* --- every call that the store makes of the kernel can be made to fail --- */

static struct fault {
	int at; /* the n-th call from now fails; 0: none */
	int error;
	bool sticky;	/* and all after it */
	bool triggered; /* it came to that */
} fault;

static bool fails(void)
{
	if (fault.triggered && fault.sticky) {
		errno = fault.error;
		return true;
	}
	if (fault.at == 0 || --fault.at > 0)
		return false;
	fault.triggered = true;
	errno = fault.error;
	return true;
}

static ssize_t fault_write(int fd, const void *p, size_t n)
{
	bool before = fault.triggered;

	if (!fails())
		return write(fd, p, n);
	/* First what still fits, then the error. */
	if (!before && n > 1 && fault.error != EINTR) {
		fault.at = 1;
		return write(fd, p, n / 2);
	}
	return -1;
}

static int fault_open(const char *path, int flags, ...)
{
	return fails() ? -1 : open(path, flags, 0600);
}

#define FAULTY(name, params, args)                                             \
	static int fault_##name params                                         \
	{                                                                      \
		return fails() ? -1 : name args;                               \
	}

FAULTY(fsync, (int fd), (fd))
FAULTY(fdatasync, (int fd), (fd))
FAULTY(ftruncate, (int fd, off_t n), (fd, n))
FAULTY(flock, (int fd, int op), (fd, op))
FAULTY(unlink, (const char *path), (path))

/* The database is a mount of its own: nothing else can take its name. */
static bool mounted;

static int fault_rename(const char *a, const char *b)
{
	if (fails())
		return -1;
	if (mounted && strcmp(b, db) == 0) {
		errno = EBUSY;
		return -1;
	}
	return rename(a, b);
}

static int fault_link(const char *a, const char *b)
{
	if (fails())
		return -1;
	if (mounted) {
		errno = EXDEV;
		return -1;
	}
	return link(a, b);
}

#define write fault_write
#define open fault_open
#define fsync fault_fsync
#define fdatasync fault_fdatasync
#define ftruncate fault_ftruncate
#define flock fault_flock
#define rename fault_rename
#define link fault_link
#define unlink fault_unlink
#include "../../disk.c"
#include "../../store/topic.c"
#include "../../store/file.c"
#include "../../store/load.c"
#include "../../store/open.c"
#undef write
#undef open
#undef fsync
#undef fdatasync
#undef ftruncate
#undef flock
#undef rename
#undef link
#undef unlink

static void no_fault(void)
{
	memset(&fault, 0, sizeof(fault));
}

/* --- a model of what must be there: a version by key, 0 for none --- */

#define N_KEYS 8

struct model {
	int version[N_KEYS];
};

static void key_names(int k, char user[16])
{
	snprintf(user, 16, "user%d", k / 2);
}

static const char *const accounts[] = { "a", "b" };

static void model_put(struct store *s, struct model *m, int k, int version)
{
	char user[16], box[256];

	key_names(k, user);
	/* Long, so that the file soon has to be rewritten. */
	snprintf(box, sizeof(box), "v%d %0200d", version, 0);
	put(s, user, accounts[k % 2], TOKEN, box, 1000);
	m->version[k] = version;
}

static void model_drop(struct store *s, struct model *m, int k)
{
	char user[16];
	struct reg *r;

	key_names(k, user);
	r = store_find(s, user, accounts[k % 2], TOKEN);
	if (r != NULL)
		store_drop(s, r);
	m->version[k] = 0;
}

static int stored_version(struct store *s, int k)
{
	char user[16];
	struct reg *r;

	key_names(k, user);
	r = store_find(s, user, accounts[k % 2], TOKEN);
	return r == NULL ? 0 : atoi(reg_mailbox(r, 1) + 1);
}

/* Every key as acknowledged, or as it was about to be. */
static void assert_model(
    struct store *s, const struct model *acked, const struct model *wanted)
{
	int k, have;

	for (k = 0; k < N_KEYS; k++) {
		have = stored_version(s, k);
		if (have != acked->version[k] && have != wanted->version[k])
			fail_msg("key %d: version %d, neither %d nor %d", k,
			    have, acked->version[k], wanted->version[k]);
	}
}

/* What a start after a crash at this moment would find. */
static void assert_crash(const struct model *acked, const struct model *wanted)
{
	char path[256], *text;
	const struct fault saved = fault;
	struct store *s;
	size_t n;

	text = read_file_at(db, &n);
	if (text == NULL)
		return; /* deleted by the test itself */
	no_fault();
	snprintf(path, sizeof(path), "%s/copy", tmp_dir);
	write_file(path, text, n);
	free(text);
	snprintf(path, sizeof(path), "%s/db.copy", tmp_dir);
	text = read_file_at(path, &n);
	snprintf(path, sizeof(path), "%s/copy.copy", tmp_dir);
	if (text != NULL)
		write_file(path, text, n);
	free(text);
	snprintf(path, sizeof(path), "%s/copy", tmp_dir);
	s = store_open(path, why);
	assert_non_null(s);
	assert_model(s, acked, wanted);
	store_close(s);
	fault = saved;
}

/* --- faults at every call --- */

static struct store *open_despite(const struct model *acked)
{
	struct store *s = store_open(db, why);

	if (s != NULL)
		return s;
	assert_true(fault.triggered);
	assert_non_null(strstr(why, err_words(fault.error)));
	no_fault();
	assert_crash(acked, acked);
	return open_store();
}

static void sync_despite(
    struct store *s, struct model *acked, const struct model *wanted)
{
	if (store_sync(s, why) < 0) {
		assert_true(fault.triggered);
		assert_non_null(strstr(why, err_words(fault.error)));
		assert_true(store_is_dirty(s));
		no_fault();
		assert_crash(acked, wanted);
		sync_store(s);
	}
	*acked = *wanted;
	assert_crash(acked, acked);
}

/* Appends, rewrites because of dead lines, rewrites because of deletion. */
static void scenario(const char *start, size_t n, struct model acked)
{
	struct model m = acked;
	struct store *s;

	write_file(db, start, n);
	s = open_despite(&acked);
	model_put(s, &m, 0, 100);
	sync_despite(s, &acked, &m);
	model_put(s, &m, 1, 101);
	model_drop(s, &m, 2);
	model_drop(s, &m, 3);
	model_put(s, &m, 3, 102);
	sync_despite(s, &acked, &m);
	if (!mounted)
		unlink(db);
	s->must_rewrite = true;
	model_put(s, &m, 4, 103);
	sync_despite(s, &acked, &m);
	model_put(s, &m, 5, 104);
	model_drop(s, &m, 0);
	sync_despite(s, &acked, &m);
	store_close(s);
	no_fault();
	s = open_store();
	assert_model(s, &m, &m);
	store_close(s);
	assert_file("db.new", NULL);
	assert_file("db.copy", NULL);
}

static char *make_start(struct model *m, size_t *n_r)
{
	struct store *s = open_store();
	int i;

	memset(m, 0, sizeof(*m));
	for (i = 0; i < 300; i++) {
		model_put(s, m, i % N_KEYS, i + 1);
		s->rewrite_at = UINT64_MAX;
		sync_store(s);
	}
	assert_true(s->size > 65536);
	store_close(s);
	return read_file_at(db, n_r);
}

static void fault_at_every_call(void)
{
	static const int errors[] = { ENOSPC, EIO, EROFS };
	struct model m;
	size_t n, e;
	char *start = make_start(&m, &n);
	int at, most = 0, sticky;

	for (e = 0; e < 3; e++)
		for (sticky = 0; sticky < 2; sticky++)
			for (at = 1;; at++) {
				no_fault();
				fault.at = at;
				fault.error = errors[e];
				fault.sticky = sticky;
				rm_file("copy");
				scenario(start, n, m);
				if (at > 80)
					break;
				most = at;
			}
	assert_true(most >= 25);
	free(start);
}

static void test_fault_at_every_call(void **state)
{
	(void)state;
	fault_at_every_call();
}

/* The same where it has to be written over in place. */
static void test_fault_if_mounted(void **state)
{
	struct stat before, after;

	(void)state;
	write_file(db, "", 0);
	assert_int_equal(stat(db, &before), 0);
	mounted = true;
	fault_at_every_call();
	assert_int_equal(stat(db, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

/* Every write interrupted once changes nothing at all. */
static void test_interrupted(void **state)
{
	struct model m;
	size_t n;
	char *start = make_start(&m, &n);
	struct store *s;

	(void)state;
	write_file(db, start, n);
	free(start);
	s = open_store();
	fault.error = EINTR;
	fault.at = 1;
	model_put(s, &m, 0, 500);
	/* The first call that may be interrupted here is open: take write. */
	assert_int_equal(disk_write(s->fd, "", 0), 0);
	s->rewrite_at = UINT64_MAX;
	sync_store(s);
	assert_true(fault.triggered);
	no_fault();
	store_close(s);
	s = open_store();
	assert_model(s, &m, &m);
	store_close(s);
}

/* --- a real limit: the kernel's own EFBIG --- */

static void limit_file_size(rlim_t n)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	r.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_full(void **state)
{
	struct store *s = open_store();
	struct model acked = { 0 }, m = { 0 };
	struct stat st;
	uint64_t size;
	int i;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	model_put(s, &m, 0, 1);
	sync_store(s);
	acked = m;
	size = s->size;
	limit_file_size(size + 100); /* a part of a line fits */
	for (i = 1; i < N_KEYS; i++) {
		model_put(s, &m, i, 1);
		assert_int_equal(store_sync(s, why), -1);
		assert_non_null(strstr(why, "raise the limit on file sizes"));
		assert_int_equal(stat(db, &st), 0);
		assert_int_equal(st.st_size, size);
		assert_crash(&acked, &acked);
	}
	/* The same key again and again takes no more memory. */
	for (i = 0; i < 100; i++) {
		model_put(s, &m, 1, 2 + i);
		assert_int_equal(store_sync(s, why), -1);
	}
	assert_int_equal(s->n_dirty, N_KEYS - 1);
	limit_file_size(RLIM_INFINITY);
	sync_store(s);
	assert_crash(&m, &m);
	store_close(s);
}

/* Without space for a rewrite, appending still works, and the rewrite is not
 * tried all the time. */
static void test_rewrite_fails(void **state)
{
	struct store *s;
	struct model m;
	char *start, path[256];
	size_t n;

	(void)state;
	start = make_start(&m, &n);
	free(start);
	s = open_store();
	snprintf(path, sizeof(path), "%s/db.new", tmp_dir);
	assert_int_equal(mkdir(path, 0700), 0);
	model_put(s, &m, 0, 400);
	sync_store(s);
	assert_true(s->size > n);
	assert_true(s->rewrite_at > s->size);
	assert_int_equal(rmdir(path), 0);
	model_put(s, &m, 0, 401);
	sync_store(s);
	assert_true(s->size > n); /* not yet */
	while (s->size > n) {
		model_put(s, &m, 0, m.version[0] + 1);
		sync_store(s);
		assert_true(m.version[0] < 500);
	}
	store_close(s);
	s = open_store();
	assert_model(s, &m, &m);
	store_close(s);
}

/* --- what others do to the file --- */

static void test_file_vanishes(void **state)
{
	struct store *s = open_store();
	struct model m = { 0 };
	char away[256];

	(void)state;
	snprintf(away, sizeof(away), "%s/db.away", tmp_dir);
	model_put(s, &m, 0, 1);
	sync_store(s);
	/* moved away (or its mount is gone), then back */
	assert_int_equal(rename(db, away), 0);
	model_put(s, &m, 1, 1);
	assert_int_equal(store_sync(s, why), -1);
	assert_non_null(strstr(why, "put it back"));
	assert_true(store_is_dirty(s));
	/* another in its place */
	write_file(db, "", 0);
	assert_int_equal(store_sync(s, why), -1);
	assert_non_null(strstr(why, "another file has taken its place"));
	assert_file("db", "");
	assert_int_equal(rename(away, db), 0);
	sync_store(s);
	assert_crash(&m, &m);
	/* deleted: written again */
	assert_int_equal(unlink(db), 0);
	model_put(s, &m, 2, 1);
	sync_store(s);
	assert_crash(&m, &m);
	/* emptied, and added to */
	assert_int_equal(truncate(db, 0), 0);
	model_put(s, &m, 3, 1);
	sync_store(s);
	assert_crash(&m, &m);
	assert_int_equal(truncate(db, 100000), 0);
	model_put(s, &m, 4, 1);
	sync_store(s);
	assert_crash(&m, &m);
	store_close(s);
}

static void test_directory_vanishes(void **state)
{
	struct store *s = open_store();
	struct model m = { 0 };

	(void)state;
	model_put(s, &m, 0, 1);
	sync_store(s);
	unlink(db);
	assert_int_equal(rmdir(tmp_dir), 0);
	model_put(s, &m, 1, 1);
	assert_int_equal(store_sync(s, why), -1);
	assert_non_null(strstr(why, "its directory must exist"));
	assert_int_equal(mkdir(tmp_dir, 0700), 0);
	sync_store(s);
	assert_crash(&m, &m);
	store_close(s);
}

/* Bad lines that cannot be kept aside stay where they are. */
static void test_bad_cannot_be_kept(void **state)
{
	struct store *s;
	struct model m = { 0 };
	static const char text_bad[] =
	    "nonsense\n"
	    "{\"user\":\"user1\",\"account\":\"a\",\"token\":"
	    "\"0123456789abcdef\",\"mailboxes\":[],\"time\":5}\n";
	char path[256], *text;
	int i;

	(void)state;
	snprintf(path, sizeof(path), "%s/db.bad", tmp_dir);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(db, text_bad, strlen(text_bad));
	s = open_store();
	for (i = 0; i < 400; i++) {
		model_put(s, &m, 0, i + 1);
		sync_store(s);
	}
	/* It is rewritten all the same, and the whole of it kept. */
	assert_true(s->size < 65536);
	store_close(s);
	snprintf(path, sizeof(path), "%s/db.orig", tmp_dir);
	text = read_file_at(path, NULL);
	assert_memory_equal(text, text_bad, strlen(text_bad));
	free(text);
	write_file(db, text_bad, strlen(text_bad));
	s = open_store();
	for (i = 0; i < 3; i++) {
		model_put(s, &m, 0, i + 1);
		sync_store(s);
	}
	store_close(s);
	snprintf(path, sizeof(path), "%s/db.bad", tmp_dir);
	assert_int_equal(rmdir(path), 0);
	s = open_store();
	assert_model(s, &m, &m);
	assert_true(s->size < 1000);
	store_close(s);
	assert_file("db.bad", "nonsense\n");
}

/* --- kill -9 --- */

#define KILLS 300

/* What the child is about to do, and the same again when it is on disk. */
struct report {
	int key, version;
	bool done;
};

static void child_work(int fd, struct model m, unsigned seed)
{
	struct store *s = store_open(db, why);
	struct report r;
	int i;

	for (i = 0; s != NULL; i++) {
		r.key = rand_r(&seed) % N_KEYS;
		r.version = rand_r(&seed) % 5 == 0 ? 0 : (int)(seed & 0xfffff);
		r.done = false;
		if (r.version == m.version[r.key])
			continue;
		if (write(fd, &r, sizeof(r)) != sizeof(r))
			break;
		if (r.version == 0)
			model_drop(s, &m, r.key);
		else
			model_put(s, &m, r.key, r.version);
		if (rand_r(&seed) % 8 == 0)
			s->must_rewrite = true;
		if (store_sync(s, why) < 0)
			break;
		r.done = true;
		if (write(fd, &r, sizeof(r)) != sizeof(r))
			break;
	}
	_exit(1);
}

/* Lets the child work for a while, kills it, and follows its reports. */
static void kill_once(struct model *acked, struct model *wanted, unsigned *seed)
{
	unsigned until = 1 + (unsigned)rand_r(seed) % 60, n = 0, spin;
	struct report r;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		child_work(fds[1], *acked, *seed);
	}
	close(fds[1]);
	while (read(fds[0], &r, sizeof(r)) == sizeof(r)) {
		wanted->version[r.key] = r.version;
		if (r.done)
			acked->version[r.key] = r.version;
		if (++n != until)
			continue;
		/* Somewhere within the next few operations. */
		for (spin = (unsigned)rand_r(seed) % 20000; spin > 0; spin--)
			__asm__ volatile("");
		kill(pid, SIGKILL);
	}
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_kill(void **state)
{
	struct model acked = { 0 }, wanted = { 0 };
	unsigned seed = 1;
	struct store *s;
	int i, k, open_ends = 0;

	(void)state;
	for (i = 0; i < KILLS; i++) {
		kill_once(&acked, &wanted, &seed);
		s = open_store();
		assert_model(s, &acked, &wanted);
		for (k = 0; k < N_KEYS; k++) {
			open_ends += acked.version[k] != wanted.version[k];
			acked.version[k] = stored_version(s, k);
		}
		wanted = acked;
		store_close(s);
	}
	rm_file("db.bad"); /* torn lines of some */
	print_message(
	    "%d kills, %d of them with a write under way\n", KILLS, open_ends);
}

static int setup(void **state)
{
	no_fault();
	mounted = false;
	return tmp_setup(state);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, tmp_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fault_at_every_call),
		T(test_fault_if_mounted),
		T(test_interrupted),
		T(test_full),
		T(test_rewrite_fails),
		T(test_file_vanishes),
		T(test_directory_vanishes),
		T(test_bad_cannot_be_kept),
		T(test_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
