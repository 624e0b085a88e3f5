/* store_fuzz.c - any file is either opened or left as it is; what was read from
 * it reads back the same, with nothing bad or torn. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"

static char path[64], bad[80], orig[80];

static void clean_up(void)
{
	unlink(path);
	unlink(bad);
	unlink(orig);
}

static void assert_untouched(const uint8_t *data, size_t size)
{
	char *have = malloc(size + 1);
	int fd = open(path, O_RDONLY);

	assert(fd >= 0 && have != NULL);
	assert(read(fd, have, size + 1) == (ssize_t)size);
	assert(size == 0 || memcmp(have, data, size) == 0);
	assert(access(bad, F_OK) < 0);
	close(fd);
	free(have);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[ERR_MAX];
	struct store *s;
	size_t count;
	int fd;

	log_set_level(LOG_L_FATAL);
	/* In memory: every run syncs. */
	snprintf(path, sizeof(path), "/dev/shm/xapsd-fuzz-%d", (int)getpid());
	snprintf(bad, sizeof(bad), "%s.bad", path);
	snprintf(orig, sizeof(orig), "%s.orig", path);
	clean_up();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	s = store_open(path, err);
	if (s != NULL) {
		count = store_count(s);
		store_close(s);
		unlink(bad);
		s = store_open(path, err);
		assert(s != NULL && store_count(s) == count);
		store_close(s);
		assert(access(bad, F_OK) < 0);
	} else {
		assert_untouched(data, size);
	}
	clean_up();
	return 0;
}
