#pragma once
/* Shell commands of tests. */

/* Runs a command, which has to succeed. */
void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
