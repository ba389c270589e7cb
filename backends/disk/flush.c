/*
 * The kernel keeps what is written in memory until there is a lot of it, and a sync at the end then waits for
 * all of it. Nothing is promised here: whoever needs the data on the disk syncs itself.
 */
#include "backends/disk/flush.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "proto/base/mem.h"

#define STEP (32u << 20)

struct flush {
	int folder;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t noted, flushed;
	bool is_closed;
};

static void *
run(void *arg)
{
	struct flush *flush = arg;

	pthread_mutex_lock(&flush->lock);
	for (;;) {
		while (!flush->is_closed && flush->noted - flush->flushed < STEP)
			pthread_cond_wait(&flush->changed, &flush->lock);
		if (flush->is_closed)
			break;
		flush->flushed = flush->noted;
		pthread_mutex_unlock(&flush->lock);
		syncfs(flush->folder);
		pthread_mutex_lock(&flush->lock);
	}
	pthread_mutex_unlock(&flush->lock);
	return NULL;
}

struct flush *
flush_open(int folder)
{
	struct flush *flush = vn_alloc(sizeof(*flush));
	sigset_t all, before;
	int failed;

	flush->folder = folder;
	pthread_mutex_init(&flush->lock, NULL);
	pthread_cond_init(&flush->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&flush->thread, NULL, run, flush);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!failed)
		return flush;
	pthread_cond_destroy(&flush->changed);
	pthread_mutex_destroy(&flush->lock);
	free(flush);
	return NULL;
}

void
flush_note(struct flush *flush, uint64_t bytes)
{
	if (!flush)
		return;
	pthread_mutex_lock(&flush->lock);
	flush->noted += bytes;
	if (flush->noted - flush->flushed >= STEP)
		pthread_cond_signal(&flush->changed);
	pthread_mutex_unlock(&flush->lock);
}

void
flush_close(struct flush *flush)
{
	if (!flush)
		return;
	pthread_mutex_lock(&flush->lock);
	flush->is_closed = true;
	pthread_cond_signal(&flush->changed);
	pthread_mutex_unlock(&flush->lock);
	pthread_join(flush->thread, NULL);
	pthread_cond_destroy(&flush->changed);
	pthread_mutex_destroy(&flush->lock);
	free(flush);
}
