/* commit_test.c - who waits for the disk, and what happens while writing
 * fails. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "commit.h"
#include "store.h"
#include "fake_loop.h"

/* --- a store that only counts --- */

static unsigned synced, released;
static bool disk_fails, holds;
static void (*dirty_cb)(void *arg);
static void *dirty_arg;

int store_sync(struct store *s, char err[ERR_MAX])
{
	(void)s;
	synced++;
	if (!disk_fails)
		return 0;
	err_set(err, "disk full");
	return -1;
}

void store_on_dirty(struct store *s, void (*cb)(void *arg), void *arg)
{
	(void)s;
	dirty_cb = cb;
	dirty_arg = arg;
}

bool store_holds(const struct store *s)
{
	(void)s;
	return holds;
}

void store_release(struct store *s)
{
	(void)s;
	released++;
	holds = false;
	dirty_cb(dirty_arg);
}

/* --- who waits --- */

#define N 3
#define HOUR (60 * 60 * 1000)

static struct commit *commit;
static struct commit_waiter waiters[N];
static char heard[64]; /* "0+" waiter 0, on disk; "0-" not */
static bool ask_again;

static void on_done(void *arg, const char *err)
{
	size_t i = (size_t)((struct commit_waiter *)arg - waiters), n;

	n = strlen(heard);
	snprintf(
	    heard + n, sizeof(heard) - n, "%zu%c", i, err == NULL ? '+' : '-');
	if (err != NULL)
		assert_string_equal(err, "disk full");
	if (!ask_again)
		return;
	ask_again = false;
	commit_wait(commit, &waiters[i], on_done, &waiters[i]);
}

static void wait_for_disk(size_t i)
{
	commit_wait(commit, &waiters[i], on_done, &waiters[i]);
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_L_FATAL);
	synced = released = 0;
	disk_fails = holds = ask_again = false;
	heard[0] = '\0';
	commit = commit_new(NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	commit_free(commit);
	assert_null(dirty_cb);
	return 0;
}

static void test_one_write_for_all(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < N; i++) {
		dirty_cb(dirty_arg);
		wait_for_disk(i);
	}
	assert_int_equal(synced, 0);
	pass(0);
	assert_int_equal(synced, 1);
	assert_string_equal(heard, "0+1+2+");
	pass(HOUR);
	assert_int_equal(synced, 1);
}

/* As after a drop: of push, of the daemon's expiry. */
static void test_written_if_nobody_waits(void **state)
{
	(void)state;
	dirty_cb(dirty_arg);
	pass(0);
	assert_int_equal(synced, 1);
}

static void test_waits_again_from_its_callback(void **state)
{
	(void)state;
	wait_for_disk(0);
	wait_for_disk(1);
	ask_again = true;
	commit_sync(commit);
	assert_string_equal(heard, "0+1+");
	pass(0);
	assert_string_equal(heard, "0+1+0+");
}

static void test_retries_in_growing_pauses(void **state)
{
	unsigned n;

	(void)state;
	disk_fails = true;
	wait_for_disk(0);
	pass(0);
	assert_string_equal(heard, "0-");
	assert_true(commit_is_failing(commit));
	pass(1000);
	assert_int_equal(synced, 2);
	pass(1999);
	assert_int_equal(synced, 2);
	pass(1);
	assert_int_equal(synced, 3);
	pass(HOUR); /* the pauses end at five minutes */
	n = synced;
	pass(HOUR);
	assert_int_equal(synced, n + 12);
	disk_fails = false;
	pass(5 * 60 * 1000);
	assert_false(commit_is_failing(commit));
	n = synced;
	pass(HOUR);
	assert_int_equal(synced, n);
}

static void test_held_for_an_hour(void **state)
{
	(void)state;
	commit_after_put(commit);
	pass(HOUR);
	assert_int_equal(released, 0);
	holds = true;
	commit_after_put(commit);
	pass(HOUR - 1);
	commit_after_put(commit); /* does not make it later */
	assert_int_equal(released, 0);
	pass(1);
	assert_int_equal(released, 1);
	assert_int_equal(synced, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_one_write_for_all),
		T(test_written_if_nobody_waits),
		T(test_waits_again_from_its_callback),
		T(test_retries_in_growing_pauses),
		T(test_held_for_an_hour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
