#pragma once
/* Starts threads that get no signals: those belong to the loop. */

#include <pthread.h>
#include <stdbool.h>

/* libvirt and libarchive keep buffers of 64 KiB and more on the stack. */
#define THREAD_STACK_SIZE (1024 * 1024)

/* name: at most 15 bytes, for ps and gdb. Returns false where the system has no thread left. */
bool thread_start(pthread_t *ret, const char *name, void *(*fn)(void *arg), void *arg);

/*
 * From a thread that works for the loop, first of all: woken by the loop it does not take its processor, for up to
 * four milliseconds, but waits until the loop sleeps or another processor is free. Not inherited by its children.
 */
void thread_stand_back(void);
