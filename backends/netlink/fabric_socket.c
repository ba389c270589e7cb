/*
 * What is said to the fabric: one socket inside it, shared by all threads under its lock and opened when it
 * is used first.
 *
 * The surprising part is that it has to be forgotten: it belongs to the namespace in which it was made, also
 * when another one has taken that one's place.
 */
#include "backends/netlink/fabric.h"

#include "backends/netlink/namespace.h"
#include "backends/netlink/redirect.h"
#include "backends/nft/guard.h"

/* Called with the lock held. */
static int
open_socket(struct fabric *fabric, struct vn_error *err)
{
	vn_autoclose int fd = -1;

	if (fabric->sock)
		return 0;
	fd = netns_open(fabric->pin, err);
	if (fd < 0) {
		vn_error_prefix(err, "the fabric '%s' is not up", fabric->env->fabric);
		return -1;
	}
	if (netns_socket(fd, fabric->home, &fabric->sock, err) < 0)
		return -1;
	atomic_store(&fabric->port, nl_socket_get_local_port(fabric->sock));
	return 0;
}

int
fabric_ask(struct fabric *fabric, struct batch *batch, reply_fn *on_reply, void *arg,
	   struct vn_error *err)
{
	int result;

	pthread_mutex_lock(&fabric->lock);
	result = open_socket(fabric, err);
	if (result == 0)
		result = batch_send(fabric->sock, batch, on_reply, arg, err);
	pthread_mutex_unlock(&fabric->lock);
	return result;
}

int
fabric_send(struct fabric *fabric, struct batch *batch, struct vn_error *err)
{
	return fabric_ask(fabric, batch, NULL, NULL, err);
}

int
fabric_links_get(struct fabric *fabric, const char (*names)[16], size_t count, struct link *links,
		 struct vn_error *err)
{
	int result;

	pthread_mutex_lock(&fabric->lock);
	result = open_socket(fabric, err);
	if (result == 0)
		result = links_get(fabric->sock, names, count, links, err);
	pthread_mutex_unlock(&fabric->lock);
	return result;
}

int
fabric_links_read(struct fabric *fabric, struct link **ret, size_t *ret_count, struct vn_error *err)
{
	int result;

	pthread_mutex_lock(&fabric->lock);
	result = open_socket(fabric, err);
	if (result == 0)
		result = links_read(fabric->sock, ret, ret_count, err);
	pthread_mutex_unlock(&fabric->lock);
	return result;
}

int
fabric_ports_read(struct fabric *fabric, int bridge, struct link **ret, size_t *ret_count,
		  struct vn_error *err)
{
	int result;

	pthread_mutex_lock(&fabric->lock);
	result = open_socket(fabric, err);
	if (result == 0)
		result = links_read_of(fabric->sock, bridge, ret, ret_count, err);
	pthread_mutex_unlock(&fabric->lock);
	return result;
}

int
fabric_table_read(struct fabric *fabric, int type, const void *header, size_t size, reply_fn *on_reply,
		  void (*restart)(void *arg), void *arg, struct vn_error *err)
{
	int result;

	pthread_mutex_lock(&fabric->lock);
	result = open_socket(fabric, err);
	if (result == 0)
		result = table_read(fabric->sock, type, header, size, 0, on_reply, restart, arg, err);
	pthread_mutex_unlock(&fabric->lock);
	return result;
}

int
fabric_redirect_read(struct fabric *fabric, int index, struct redirect *ret, struct vn_error *err)
{
	int result;

	pthread_mutex_lock(&fabric->lock);
	result = open_socket(fabric, err);
	if (result == 0)
		result = redirect_read(fabric->sock, index, ret, err);
	pthread_mutex_unlock(&fabric->lock);
	return result;
}

int
fabric_host_socket(struct fabric *fabric, struct nl_sock **ret, struct vn_error *err)
{
	return netns_socket(fabric->home, fabric->home, ret, err);
}

void
fabric_forget(struct fabric *fabric)
{
	pthread_mutex_lock(&fabric->lock);
	if (fabric->sock)
		nl_socket_free(fabric->sock);
	fabric->sock = NULL;
	pthread_mutex_unlock(&fabric->lock);
	guard_forget(fabric->guard, false);
}
