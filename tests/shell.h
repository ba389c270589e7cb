#pragma once
/* Shell commands of tests. */

/* Runs a command, which has to succeed. */
void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
