/* log.h - levels and destinations of what the daemon says.
 *
 * A line is "what: subject: why".  Below level trace a line never holds a whole
 * device token, password, key or JWT: log_token() shortens. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for one error sentence.  A function that can fail takes char
 * err[ERR_MAX] and writes the reason there; its caller decides and logs it
 * once. */
#define ERR_MAX 512

enum log_level {
	LOG_L_FATAL,
	LOG_L_ERROR,
	LOG_L_WARN,
	LOG_L_INFO,
	LOG_L_DEBUG,
	LOG_L_TRACE,
};

enum log_dest {
	LOG_D_STDERR,  /* time stamp in front */
	LOG_D_JOURNAL, /* stderr with <N> priorities, for systemd */
	LOG_D_SYSLOG,
};

void log_open(enum log_dest dest);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* The level of a name (trace debug info warn error fatal panic), -1 if none. */
int log_level_by_name(const char *name);

void log_at(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_L_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_L_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_L_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_L_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_L_TRACE, __VA_ARGS__)

/* Room for a shortened token with its NUL: 8 characters and a 3-byte
 * ellipsis. */
#define LOG_TOKEN_MAX 12

/* Writes the first 8 characters of token and an ellipsis to out; returns
 * out. */
const char *log_token(const char *token, char out[LOG_TOKEN_MAX]);

/* How much of "2026-11-22 06:08:47" is wanted, in characters. */
enum log_date {
	LOG_DATE_DAY = 10,
	LOG_DATE_MINUTE = 16,
	LOG_DATE_SECOND = 19,
	LOG_DATE_MAX, /* room, with the NUL */
};

/* Writes so much of the date of a wall clock time, UTC or local, to out;
 * returns out.  (strftime() is 3.5 KB of a static executable.) */
const char *log_date(int64_t time_s, enum log_date precision, bool local,
    char out[LOG_DATE_MAX]);

/* Writes one error sentence; always terminated, cut at ERR_MAX. */
void err_set(char err[ERR_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
