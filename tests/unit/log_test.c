/* The syslog's input: one datagram a line, as syslog(3) would send it. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static time_t fake_time(time_t *t);
static pid_t fake_getpid(void);
static ssize_t fake_sendto(
    int fd, const void *p, size_t n, int flags, const void *to, size_t to_len);

/* The headers first: the names below are to change in log.c only. */
#include <stdio.h>
#include <sys/socket.h>
#include <syslog.h>
#define time fake_time
#define getpid fake_getpid
#define sendto(fd, p, n, flags, to, to_len)                                    \
	fake_sendto(fd, p, n, flags, to, to_len)
#include "log.c"

static time_t now;
static pid_t pid;
static char sent[4096];
static int fails;

static time_t fake_time(time_t *t)
{
	(void)t;
	return now;
}

static pid_t fake_getpid(void)
{
	return pid;
}

static ssize_t fake_sendto(
    int fd, const void *p, size_t n, int flags, const void *to, size_t to_len)
{
	(void)fd, (void)flags, (void)to, (void)to_len;
	assert_true(n < sizeof(sent));
	memcpy(sent, p, n);
	sent[n] = '\0';
	return fails ? -1 : (ssize_t)n;
}

/* What OpenWrt's logd keeps: it drops the priority, and 16 bytes when the 16th
 * is a space. */
static const char *as_logd(void)
{
	const char *s = strchr(sent, '>') + 1;

	return strlen(s) > 16 && s[15] == ' ' ? s + 16 : s;
}

static void stamp(void **state)
{
	static const struct {
		time_t now;
		const char *tz, *stamp;
	} rows[] = {
		{ 1795759687, "UTC0", "Nov 27 06:08:07 " },
		{ 1795759687, "IST-5:30", "Nov 27 11:38:07 " },
		{ 0, "UTC0", "Jan  1 00:00:00 " },
		{ 1798761599, "UTC0", "Dec 31 23:59:59 " },
		{ 1772496000, "UTC0", "Mar  3 00:00:00 " },
		{ 300000000000, "UTC0", "Aug 15 05:20:00 " }, /* year 11476 */
	};
	char want[64];
	size_t i;

	(void)state;
	pid = 1;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		now = rows[i].now;
		setenv("TZ", rows[i].tz, 1);
		tzset();
		log_error("no pushes");
		snprintf(want, sizeof(want), "<%d>%sxapsd[1]: no pushes",
		    LOG_MAIL | LOG_ERR, rows[i].stamp);
		assert_string_equal(sent, want);
	}
}

/* Whatever the pid and the text, the tag is left. */
static void tag_survives_logd(void **state)
{
	static const pid_t pids[] = { 1, 22, 333, 4444, 55555, 4194304 };
	static const char *const lines[] = { "", "a", "a b c d e f g h i j k",
		"apns: connected", "register: alice: 2 mailboxes" };
	char want[80];
	size_t i, j;

	(void)state;
	now = 1795759687;
	for (i = 0; i < sizeof(pids) / sizeof(pids[0]); i++)
		for (j = 0; j < sizeof(lines) / sizeof(lines[0]); j++) {
			pid = pids[i];
			log_info("%s", lines[j]);
			snprintf(want, sizeof(want), "xapsd[%d]: %s", (int)pid,
			    lines[j]);
			assert_string_equal(as_logd(), want);
		}
}

static void long_lines_are_cut(void **state)
{
	char line[3000];

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	pid = 4194304;
	log_warn("%s", line);
	assert_true(strlen(sent) > 1000 && strlen(sent) < 1100);
	assert_int_equal(strncmp(as_logd(), "xapsd[4194304]: xxx", 19), 0);
}

/* One line stays one line, and one stamp. */
static void line_feeds_are_shown(void **state)
{
	(void)state;
	log_info("a\n<3>Nov 27 06:08:07 sshd[1]: b");
	assert_null(strchr(sent, '\n'));
	assert_non_null(strstr(sent, ": a?<3>Nov"));
}

/* With every libc the words that README's tables have. */
static void errors_in_known_words(void **state)
{
	static const struct {
		int error;
		const char *words;
	} rows[] = {
		{ EACCES, "Permission denied" },
		{ EADDRINUSE, "Address already in use" },
		{ EADDRNOTAVAIL, "Cannot assign requested address" },
		{ ECONNREFUSED, "Connection refused" },
		{ ECONNRESET, "Connection reset by peer" },
		{ EDQUOT, "Disk quota exceeded" },
		{ EHOSTUNREACH, "No route to host" },
		{ EIO, "Input/output error" },
		{ EMFILE, "Too many open files" },
		{ ENAMETOOLONG, "File name too long" },
		{ ENETUNREACH, "Network is unreachable" },
		{ ENOENT, "No such file or directory" },
		{ ENOSPC, "No space left on device" },
		{ EPERM, "Operation not permitted" },
		{ EROFS, "Read-only file system" },
		{ ETIMEDOUT, "Connection timed out" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(err_words(rows[i].error), rows[i].words);
	assert_string_equal(err_words(EISDIR), strerror(EISDIR));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stamp),
		cmocka_unit_test(tag_survives_logd),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(line_feeds_are_shown),
		cmocka_unit_test(errors_in_known_words),
	};

	destination = LOG_D_SYSLOG;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
