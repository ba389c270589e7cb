#pragma once
/* What the files of the LXC backend share. Only they include it. */

#include "backends/backend.h"
#include "backends/libvirt/connection.h"
#include "backends/libvirt/event.h"
#include "proto/base/list.h"

struct lxc {
	struct compute base;
	const struct backend_env *env;
	struct compute_events events;
	struct conn_pool *pool;
	struct listener *listener;
	char *skeleton;			/* folder that is vnode-init's own root in every container */
	struct vn_list watches;		/* loop: struct lxc_watch */
	int inotify;			/* tells of writing to status files */
	struct watch *written;
	struct vn_list execs;		/* loop: struct exec */
};

struct lxc_watch {			/* one guest whose end on_exit will tell */
	struct vn_list link;
	struct lxc *lxc;
	char uuid[VN_UUID_TEXT];
	char *domain;
	char *dir;
	struct guest_id id;
	int status;			/* inotify's number for the status file; -1 = none */
	int pidfd;
	struct watch *watch;		/* descriptor, or a timer where the guest had ended before */
};

/* lxc.c: the number at the end of a domain's name. */
const char *lxc_vmid(const char *domain);
/* Whose tag "vnoded:<instance>:<uuid>" the domain carries; copies the uuid when it is ours. */
enum lxc_owner { LXC_OWNER_US, LXC_OWNER_OTHER, LXC_OWNER_GONE /* no such domain any more */ };
enum lxc_owner lxc_owner(struct lxc *lxc, virDomainPtr domain, char uuid[static VN_UUID_TEXT]);

int lxc_start(struct compute *self, const struct guest_spec *spec, struct guest_id *ret,
	      struct vn_error *err);
int lxc_stop(struct compute *self, const char *domain, const char *uuid, const struct guest_id *id,
	     unsigned grace_ms, struct vn_error *err);
int lxc_probe(struct compute *self, const char *domain, const char *uuid, struct guest_status *ret,
	      struct vn_error *err);
int lxc_list(struct compute *self, struct guest_found **ret, size_t *ret_count,
	     struct vn_error *err);
int lxc_set_limits(struct compute *self, const struct guest_spec *spec, const struct guest_id *id,
		   struct vn_error *err);
int lxc_missing(struct compute *self, char ***ret, struct vn_error *err);
int lxc_watch(struct compute *self, const char *domain, const char *uuid, const char *dir,
	      const struct guest_id *id, struct vn_error *err);
void lxc_unwatch(struct compute *self, const char *uuid);
bool lxc_is_alive(struct compute *self, const struct guest_id *id);
int lxc_exec(struct compute *self, const struct guest_id *id, const struct exec_spec *spec,
	     void (*on_end)(void *arg, const struct exec_result *result, const struct vn_error *err),
	     void *arg, struct exec **ret, int *ret_master, struct vn_error *err);
void lxc_exec_signal(struct compute *self, struct exec *exec, int signal);
void lxc_exec_close(struct lxc *lxc);
int lxc_console(struct compute *self, const char *dir, int *ret_fd, struct vn_error *err);

/* watch.c */
int lxc_watch_open(struct lxc *lxc, struct vn_error *err);
struct lxc_watch *lxc_watch_find(struct lxc *lxc, const struct guest_id *id);
void lxc_watch_on_stopped(void *arg, const char *uuid);
void lxc_watch_close(struct lxc *lxc);

/* console.c: the listening socket of a guest's console, bound anew; and its removal. */
int lxc_console_listen(struct lxc *lxc, const char *vmid, int *ret_fd, struct vn_error *err);
void lxc_console_remove(struct lxc *lxc, const char *vmid);
/* Opens or makes the ring file, its blocks allocated; keeps what an earlier run has printed. */
int lxc_console_open_ring(const char *dir, uint64_t size, int *ret_fd, struct vn_error *err);

/* terminal.c: makes a terminal in the guest's devpts; both ends are the caller's. Never blocks. */
int lxc_terminal_open(const struct guest_id *id, int *ret_master, int *ret_slave,
		      struct vn_error *err);
