#pragma once
/*
 * The log: level, subject, sentence. Under systemd with "<6>" prefixes on stderr, else plain lines
 * with the time. Messages: no capital, no period, name first. Thread: any.
 */

#include <stdbool.h>

enum log_level {			/* the numbers of syslog */
	LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7,
};

/* Fields that every line of this thread gets until changed: "vnode=a job=7"; NULL: none. Copied. */
void log_context(const char *fields);
void log_set_level(enum log_level level);
/* Finds the level of "error", "warning", "info" or "debug". */
bool log_level_find(const char *word, enum log_level *ret);
/* From now on lines go to fn instead of stderr (tests); NULL: back to stderr. */
void log_set_sink(void (*fn)(enum log_level level, const char *subject, const char *text));
/* Control characters in the text are written as \xNN, so that a client cannot forge a line. */
void vn_log(enum log_level level, const char *subject, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define vn_log_error(subject, ...)   vn_log(LOG_LEVEL_ERROR, subject, __VA_ARGS__)
#define vn_log_warning(subject, ...) vn_log(LOG_LEVEL_WARNING, subject, __VA_ARGS__)
#define vn_log_info(subject, ...)    vn_log(LOG_LEVEL_INFO, subject, __VA_ARGS__)
#define vn_log_debug(subject, ...)   vn_log(LOG_LEVEL_DEBUG, subject, __VA_ARGS__)
