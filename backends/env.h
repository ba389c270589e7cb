#pragma once
/* What all backends have in common: the loop as they see it, what they are opened with, a vnode's namespaces. */

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/ident.h"

/* ---- the loop, as backends see it ------------------------------------------------------------ */

#define WATCH_READ  1u
#define WATCH_WRITE 2u

struct watch;			/* one registered descriptor or timer; opaque, owned by the loop */

typedef void watch_fd_fn(int fd, unsigned what, void *arg);
typedef void watch_fn(void *arg);

/* Handed to every backend at open; `loop` is the first argument of each call. */
struct watch_ops {
	void *loop;
	/* Calls fn on the loop thread each time fd is ready (level-triggered) until removed. */
	struct watch *(*add_fd)(void *loop, int fd, unsigned what, watch_fd_fn *fn, void *arg);
	/* Calls fn once, after_ms milliseconds from now. The watch must be removed, fired or not. */
	struct watch *(*add_timer)(void *loop, unsigned after_ms, watch_fn *fn, void *arg);
	/* Frees a watch of either kind; NULL is fine. May be called from its own callback. */
	void (*remove)(void *loop, struct watch *watch);
	/* From any thread: calls fn(arg) on the loop thread, in the order of posting. */
	void (*post)(void *loop, watch_fn *fn, void *arg);
};

/* What every backend is opened with. Borrowed until close. */
struct backend_env {
	const struct watch_ops *watch;
	const char *instance;		/* uuid of this installation */
	const char *state_dir;		/* /var/lib/vnoded: survives a reboot */
	const char *run_dir;		/* /run/vnoded: does not */
	const char *libexec_dir;	/* where vnode-init and vnode-helper are */
	const char *libvirt_uri;	/* "lxc:///system" */
	const char *fabric;		/* name of the fabric's network namespace */
	const char *nft_table;		/* name of our nftables table (family inet) */
	struct vn_cidr control4;	/* 198.18.0.0/16: network address; the gateway is the first host */
	struct vn_cidr control6;	/* fdxx:…::/64 likewise */
	bool control_isolation;		/* vnodes reach each other over the control network by forwards only */
	const struct vn_cidr *nat_except;	/* networks to which vnodes go with their own address */
	size_t n_nat_except;
	const char *lvm_group, *lvm_pool;	/* where disks of type lvm-thin are; NULL: nowhere */
};

/* ---- a vnode's pinned namespaces ------------------------------------------------------------- */

/*
 * Each vnode owns a user namespace and a network namespace owned by it, pinned by bind mounts under
 * run_dir. The names are derived, so that they are known without asking: <run_dir>/netns/vnoded-<vmid>
 * and <run_dir>/userns/vnoded-<vmid>. The fabric is <run_dir>/netns/<fabric>.
 */
struct ns_ref {
	int64_t vmid;
	const char *uuid;		/* of the vnode, for tags */
	const char *netns;		/* path of the pin */
	const char *userns;		/* path of the pin; NULL: privileged, no user namespace of its own */
	uint32_t idmap_base;		/* guest id 0 is this host id; 65,536 ids; unused when privileged */
};

/* Frees what `missing` returns; NULL is fine. */
void backend_free_strings(char **strings);
