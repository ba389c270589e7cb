/*
 * The idle connections are a stack: the one used last is taken first, so those that a quiet time
 * does not need grow old and are closed by a thread that sleeps for as long as there are none.
 */
#include "backends/libvirt/connection.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "backends/libvirt/error.h"
#include "proto/base/mem.h"

#define IDLE_S 10
#define IDLE_MAX 64			/* more calls at once than any pool has workers */

struct idle {
	virConnectPtr conn;
	time_t since;
};

struct conn_pool {
	const char *uri;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t reaper;
	struct idle idle[IDLE_MAX];	/* oldest first */
	size_t n_idle;
	bool closing;
};

static time_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* Takes the oldest out if it is old enough, or regardless; NULL otherwise. Locked. */
static virConnectPtr
take_oldest(struct conn_pool *pool, bool regardless)
{
	virConnectPtr conn;

	if (!pool->n_idle || (!regardless && pool->idle[0].since + IDLE_S > now()))
		return NULL;
	conn = pool->idle[0].conn;
	pool->n_idle--;
	for (size_t i = 0; i < pool->n_idle; i++)
		pool->idle[i] = pool->idle[i + 1];
	return conn;
}

static void
wait_for_change(struct conn_pool *pool)
{
	struct timespec until = { 0 };

	if (!pool->n_idle) {
		pthread_cond_wait(&pool->changed, &pool->lock);
		return;
	}
	until.tv_sec = pool->idle[0].since + IDLE_S;
	pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
}

static void *
reap(void *arg)
{
	struct conn_pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	while (!pool->closing) {
		virConnectPtr conn = take_oldest(pool, false);

		if (!conn) {
			wait_for_change(pool);
			continue;
		}
		pthread_mutex_unlock(&pool->lock);
		virConnectClose(conn);	/* may block: libvirtd answers */
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct conn_pool *
conn_pool_new(const char *uri)
{
	struct conn_pool *pool = vn_alloc(sizeof(*pool));
	pthread_condattr_t attributes;

	pool->uri = uri;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (pthread_create(&pool->reaper, NULL, reap, pool) != 0)
		abort();		/* as for memory: a restart loses nothing */
	return pool;
}

void
conn_pool_free(struct conn_pool *pool)
{
	virConnectPtr conn;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pthread_cond_signal(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	pthread_join(pool->reaper, NULL);
	while ((conn = take_oldest(pool, true)))
		virConnectClose(conn);
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static virConnectPtr
take_newest(struct conn_pool *pool)
{
	virConnectPtr conn = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->n_idle)
		conn = pool->idle[--pool->n_idle].conn;
	pthread_mutex_unlock(&pool->lock);
	return conn;
}

int
lease_open(struct conn_pool *pool, conn_lease *ret, struct vn_error *err)
{
	virConnectPtr conn;

	while ((conn = take_newest(pool)) && virConnectIsAlive(conn) != 1)
		virConnectClose(conn);
	if (!conn) {
		conn = virConnectOpen(pool->uri);
		if (!conn)
			return vn_fail_virt(err, "connect to libvirt at %s; is libvirtd running",
					    pool->uri);
		virConnectSetKeepAlive(conn, CONN_KEEPALIVE_S, CONN_KEEPALIVE_COUNT);
	}
	*ret = (conn_lease){ pool, conn };
	return 0;
}

void
conn_lease_free_at(conn_lease *lease)
{
	struct conn_pool *pool = lease->pool;
	virConnectPtr conn = lease->conn;

	if (!conn)
		return;
	pthread_mutex_lock(&pool->lock);
	if (virConnectIsAlive(conn) == 1 && pool->n_idle < IDLE_MAX) {
		pool->idle[pool->n_idle++] = (struct idle){ conn, now() };
		conn = NULL;
		pthread_cond_signal(&pool->changed);
	}
	pthread_mutex_unlock(&pool->lock);
	if (conn)
		virConnectClose(conn);
}

void
domain_ptr_free_at(domain_ptr *domain)
{
	if (*domain)
		virDomainFree(*domain);
}
