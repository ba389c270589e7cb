#pragma once
/*
 * Connections to libvirtd for calls that block: each worker takes one for the length of a call, so
 * there are as many as calls at once (libvirtd serves five requests a connection). One not used for
 * ten seconds is closed, because libvirtd's keep-alive would wake us for it; a dead one is replaced.
 * Thread: any.
 */

#include <libvirt/libvirt.h>

#include "proto/base/error.h"

struct conn_pool;

/* uri: borrowed for the pool's life. */
struct conn_pool *conn_pool_new(const char *uri);
/* No connection may be taken; NULL is fine. */
void conn_pool_free(struct conn_pool *pool);

/* A connection for one call, given back at the end of its scope. */
struct conn_lease {
	struct conn_pool *pool;
	virConnectPtr conn;
};

/* Use: vn_auto(conn_lease) lease = { 0 }; */
typedef struct conn_lease conn_lease;
void conn_lease_free_at(conn_lease *lease);
int lease_open(struct conn_pool *pool, conn_lease *ret, struct vn_error *err);

typedef virDomainPtr domain_ptr;
void domain_ptr_free_at(domain_ptr *domain);

/* Seconds between keep-alive messages, and how many may stay without an answer: generous, because a
 * libvirtd that ends many containers answers nobody for a while. */
#define CONN_KEEPALIVE_S     10
#define CONN_KEEPALIVE_COUNT 6
