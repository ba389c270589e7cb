#pragma once
/*
 * The net backend's own state, shared by the files of this folder: the namespaces it works in, the
 * sockets it keeps, and what is derived from the configuration once.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "backends/backend.h"
#include "backends/netlink/link.h"
#include "backends/netlink/listener.h"
#include "backends/netlink/reap.h"

struct guard;
struct nat;
struct reserve;

#define TAG_SIZE 96
#define FABRIC_END "uplink"		/* the uplink's end in the fabric */

struct fabric {
	struct net base;
	const struct backend_env *env;
	int home;			/* the host's network namespace */
	char uplink[16];		/* host end of the veth into the fabric */
	char *folder;			/* <run_dir>/netns */
	char *pin;			/* <run_dir>/netns/<fabric> */
	struct vn_cidr gateway4, gateway6;

	pthread_mutex_t lock;		/* guards `sock` and what is said over it */
	struct nl_sock *sock;		/* inside the fabric; NULL until used */
	atomic_uint port;		/* its netlink port: what it causes carries that */
	struct listener listener;		/* loop thread only */
	pthread_mutex_t ways_lock;	/* one worker at a time makes tunnels and uplinks */
	atomic_int next_index;		/* for devices made in the fabric, see fabric_new_index() */
	struct reaper reaper;
	pthread_mutex_t probe_lock;
	char **lacking;			/* what the probe found, once */
	atomic_uint lacks;		/* the same as bits, see probe.c */
	struct guard *guard;		/* of control ports; see control.h */
	struct nat *nat;
	struct reserve *reserve;	/* loop thread only */
};

static inline struct fabric *
fabric_of(struct net *net)
{
	return (struct fabric *)net;
}

/* "vnoded:<instance>:<uuid>". */
void fabric_tag(const struct fabric *fabric, const char *uuid, char tag[static TAG_SIZE]);
/* Whether a device carries this instance's tag; uuid: NULL for any, else exactly that one. */
bool fabric_owns(const struct fabric *fabric, const struct link *link, const char *uuid);

/*
 * An index that no device in the fabric has. Devices are created with it, so that later messages of
 * the same batch cannot hit a foreign device that happens to have the name.
 */
int fabric_new_index(struct fabric *fabric);

/* Each guards the socket, and opens it where needed. VN_E_NOT_FOUND: there is no fabric. */
int fabric_send(struct fabric *fabric, struct batch *batch, struct vn_error *err);
/* The same, with answers. */
int fabric_ask(struct fabric *fabric, struct batch *batch, reply_fn *on_reply, void *arg,
	       struct vn_error *err);
int fabric_links_get(struct fabric *fabric, const char (*names)[16], size_t count,
		     struct link *links, struct vn_error *err);
int fabric_links_read(struct fabric *fabric, struct link **ret, size_t *ret_count,
		      struct vn_error *err);
/* As table_read(). */
int fabric_table_read(struct fabric *fabric, int type, const void *header, size_t size, reply_fn *on_reply,
		      void (*restart)(void *arg), void *arg, struct vn_error *err);
struct redirect;
int fabric_redirect_read(struct fabric *fabric, int index, struct redirect *ret, struct vn_error *err);
/* Those of one bridge. */
int fabric_ports_read(struct fabric *fabric, int bridge, struct link **ret, size_t *ret_count,
		      struct vn_error *err);
/* A socket in the host's own namespace; to be closed with nl_socket_free(). */
int fabric_host_socket(struct fabric *fabric, struct nl_sock **ret, struct vn_error *err);
/* Forgets the socket: the namespace it belongs to may be replaced. */
void fabric_forget(struct fabric *fabric);

int fabric_up(struct net *net, struct vn_error *err);
int fabric_down(struct net *net, struct vn_error *err);
