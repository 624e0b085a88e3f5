/* log.c - levels and destinations of log lines. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static enum log_level max_level = LOG_L_INFO;
static enum log_dest destination = LOG_D_STDERR;
static int log_fd = -1; /* of LOG_D_SYSLOG */

static const struct {
	char name[6];
	unsigned char priority; /* syslog's */
} levels[] = {
	[LOG_L_FATAL] = { "fatal", LOG_CRIT },
	[LOG_L_ERROR] = { "error", LOG_ERR },
	[LOG_L_WARN] = { "warn", LOG_WARNING },
	[LOG_L_INFO] = { "info", LOG_INFO },
	[LOG_L_DEBUG] = { "debug", LOG_DEBUG },
	[LOG_L_TRACE] = { "trace", LOG_DEBUG },
};

#define LINE_MAX_BYTES 1024 /* longer ones are cut */
#define N_LEVELS ((int)(sizeof(levels) / sizeof(levels[0])))

void log_open(enum log_dest dest)
{
	destination = dest;
	if (dest == LOG_D_SYSLOG)
		log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void log_set_level(enum log_level level)
{
	max_level = level;
}

enum log_level log_get_level(void)
{
	return max_level;
}

int log_level_by_name(const char *name)
{
	int i;

	for (i = 0; i < N_LEVELS; i++)
		if (strcasecmp(name, levels[i].name) == 0)
			return i;
	if (strcasecmp(name, "panic") == 0)
		return LOG_L_FATAL;
	if (strcasecmp(name, "warning") == 0)
		return LOG_L_WARN;
	return -1;
}

/* A peer's bytes may be part of the line: one line stays one line. */
static void make_printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

static void write_stamped(enum log_level level, const char *line)
{
	char stamp[LOG_DATE_MAX];

	log_date((int64_t)time(NULL), LOG_DATE_SECOND, true, stamp);
	fprintf(stderr, "%s %-5s %s\n", stamp, levels[level].name, line);
}

/* Gives a date for any time, if only a zero one. */
static void break_down(int64_t time_s, bool local, struct tm *tm_r)
{
	time_t t = (time_t)time_s;

	if ((local ? localtime_r : gmtime_r)(&t, tm_r) == NULL)
		memset(tm_r, 0, sizeof(*tm_r));
}

/* One datagram a line (RFC 3164 4.1), as syslog(3) sends it, which would add
 * 4.6 KB and write the month in the user's language.  The time stamp is not
 * optional: receivers such as OpenWrt's logd take the first 16 bytes for it if
 * the 16th is a space.  Without a syslog the line goes to stderr. */
static void write_syslog(enum log_level level, const char *line)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const struct sockaddr_un to = { AF_UNIX, "/dev/log" };
	char packet[LINE_MAX_BYTES + 64];
	struct tm tm;
	int n;

	break_down((int64_t)time(NULL), true, &tm);
	n = snprintf(packet, sizeof(packet),
	    "<%d>%.3s %2d %02d:%02d:%02d xapsd[%d]: %s",
	    LOG_MAIL | levels[level].priority, months + 3 * tm.tm_mon,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)getpid(), line);
	if (sendto(log_fd, packet, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT,
		(const struct sockaddr *)&to, sizeof(to)) < 0)
		write_stamped(level, line);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	make_printable(line);
	switch (destination) {
	case LOG_D_SYSLOG:
		write_syslog(level, line);
		break;
	case LOG_D_JOURNAL:
		fprintf(stderr, "<%d>%s\n", levels[level].priority, line);
		break;
	case LOG_D_STDERR:
		write_stamped(level, line);
		break;
	}
}

const char *log_date(
    int64_t time_s, enum log_date precision, bool local, char out[LOG_DATE_MAX])
{
	char text[80]; /* whatever the numbers are */
	struct tm tm;

	break_down(time_s, local, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02d %02d:%02d:%02d",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec);
	memcpy(out, text, precision);
	out[precision] = '\0';
	return out;
}

const char *log_token(const char *token, char out[LOG_TOKEN_MAX])
{
	snprintf(out, LOG_TOKEN_MAX, "%.8s\xe2\x80\xa6", token);
	return out;
}

void err_set(char err[ERR_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, ERR_MAX, fmt, ap);
	va_end(ap);
}

const char *err_words(int error)
{
	/* Where musl's differ: glibc's, which people know and search for. */
	static const struct {
		short error;
		char words[34];
	} own[] = {
		{ EADDRINUSE, "Address already in use" },
		{ EADDRNOTAVAIL, "Cannot assign requested address" },
		{ EBUSY, "Device or resource busy" },
		{ ECONNABORTED, "Software caused connection abort" },
		{ EDQUOT, "Disk quota exceeded" },
		{ EHOSTUNREACH, "No route to host" },
		{ EIO, "Input/output error" },
		{ ELOOP, "Too many levels of symbolic links" },
		{ EMFILE, "Too many open files" },
		{ EMSGSIZE, "Message too long" },
		{ ENAMETOOLONG, "File name too long" },
		{ ENETUNREACH, "Network is unreachable" },
		{ ENOMEM, "Cannot allocate memory" },
		{ ENOTSUP, "Operation not supported" },
		{ ETIMEDOUT, "Connection timed out" },
		{ EXDEV, "Invalid cross-device link" },
	};
	size_t i;

	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (own[i].error == error)
			return own[i].words;
	return strerror(error);
}
