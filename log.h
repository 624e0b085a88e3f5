/* log.h - log lines: their levels and where they go.
 *
 * A line is "what: subject: why".  Below level trace a line never holds a whole
 * device token, password, key or JWT: log_token() shortens. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

/* Size of a buffer for one error sentence.  A function that can fail takes char
 * err[ERR_MAX] and writes the reason to it; its caller decides, and logs it
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
	LOG_D_STDERR,  /* with a time stamp */
	LOG_D_JOURNAL, /* stderr with <N> priorities, for systemd */
	LOG_D_SYSLOG,
};

void log_open(enum log_dest dest);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* The level with this name (trace debug info warn error fatal panic), or -1. */
int log_level_by_name(const char *name);

void log_at(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_L_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_L_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_L_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_L_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_L_TRACE, __VA_ARGS__)

/* Size of a shortened token: 8 characters, a 3-byte ellipsis, NUL. */
#define LOG_TOKEN_MAX 12

/* Writes the first 8 characters of token and an ellipsis; returns out. */
const char *log_token(const char *token, char out[LOG_TOKEN_MAX]);

/* How many characters of "2026-11-22 06:08:47" to write. */
enum log_date {
	LOG_DATE_DAY = 10,
	LOG_DATE_MINUTE = 16,
	LOG_DATE_SECOND = 19,
	LOG_DATE_MAX, /* size of a buffer, NUL included */
};

/* Writes a wall clock time, UTC or local; returns out.  (strftime() would add
 * 3.5 KB to a static executable.) */
const char *log_date(int64_t time_s, enum log_date precision, bool local,
    char out[LOG_DATE_MAX]);

/* Writes an error sentence; what does not fit is cut off. */
void err_set(char err[ERR_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* What errno means, in the same words with every libc, as README's tables of
 * messages have them.  Nobody else calls strerror. */
const char *err_words(int error);

/* What to do about a second daemon, whatever of the first one's it finds. */
#define ERR_SECOND                                                             \
	"stop that one first (systemctl stop xapsd.socket xapsd), or give "    \
	"this one a socketPath, port and databaseFile of its own"

/* The plural's ending. */
#define LOG_S(n) ((n) == 1 ? "" : "s")

#endif
