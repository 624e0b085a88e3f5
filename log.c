/* log.c - levels and destinations of what the daemon says. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <time.h>

static enum log_level max_level = LOG_L_INFO;
static enum log_dest destination = LOG_D_STDERR;

static const struct {
	const char *name;
	int priority; /* syslog's */
} levels[] = {
	[LOG_L_FATAL] = { "fatal", LOG_CRIT },
	[LOG_L_ERROR] = { "error", LOG_ERR },
	[LOG_L_WARN] = { "warn", LOG_WARNING },
	[LOG_L_INFO] = { "info", LOG_INFO },
	[LOG_L_DEBUG] = { "debug", LOG_DEBUG },
	[LOG_L_TRACE] = { "trace", LOG_DEBUG },
};

#define N_LEVELS ((int)(sizeof(levels) / sizeof(levels[0])))

void log_open(enum log_dest dest)
{
	destination = dest;
	if (dest == LOG_D_SYSLOG)
		openlog("xapsd", LOG_PID | LOG_NDELAY, LOG_MAIL);
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
	return -1;
}

/* A peer's bytes may be part of the line: one line stays one line. */
static void make_printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char line[1024], stamp[32];
	struct tm tm;
	time_t now;
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	make_printable(line);
	switch (destination) {
	case LOG_D_SYSLOG:
		syslog(levels[level].priority, "%s", line);
		break;
	case LOG_D_JOURNAL:
		fprintf(stderr, "<%d>%s\n", levels[level].priority, line);
		break;
	case LOG_D_STDERR:
		now = time(NULL);
		localtime_r(&now, &tm);
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
		fprintf(
		    stderr, "%s %-5s %s\n", stamp, levels[level].name, line);
		break;
	}
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
