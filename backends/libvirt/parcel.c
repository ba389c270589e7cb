/* The order is that of enum wire_fd; the user namespace is last because a privileged guest has none. */
#include "backends/libvirt/parcel.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/pin.h"
#include "proto/base/mem.h"

void
parcel_close(struct parcel *parcel)
{
	for (size_t i = 0; i < VN_COUNT(parcel->fds); i++)
		vn_close_at(&parcel->fds[i]);
	vn_close_at(&parcel->control);
}

static int *
slot(struct parcel *parcel, enum wire_fd fd)
{
	return &parcel->fds[fd - WIRE_FD_PROGRAM];
}

static int
open_file(const char *folder, const char *name, int flags, int *ret_fd, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/%s", folder, name);

	*ret_fd = open(path, flags | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? vn_fail_errno(err, errno, "open %s", path) : 0;
}

static int
make_folder(const char *dir, struct vn_error *err)
{
	vn_autofree char *parent = vn_strdup(dir);
	char *slash = strrchr(parent, '/');

	if (slash && slash > parent) {
		*slash = '\0';
		mkdir(parent, 0755);
	}
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return vn_fail_errno(err, errno, "make the folder %s", dir);
	return 0;
}

/* A copy of the root and of what is mounted in it: unmounting the host's, which is done after the start, leaves it. */
static int
open_root(const char *root, int *ret_fd, struct vn_error *err)
{
	*ret_fd = open_tree(AT_FDCWD, root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	return *ret_fd < 0 ? vn_fail_errno(err, errno, "open the root file system %s", root) : 0;
}

static int
open_namespaces(const struct ns_ref *ns, struct parcel *parcel, struct vn_error *err)
{
	int *net = slot(parcel, WIRE_FD_NETNS), *user = slot(parcel, WIRE_FD_USERNS);

	parcel->n_fds = WIRE_N_FDS - 1;
	if ((*net = pin_open(ns->netns, CLONE_NEWNET, err)) < 0)
		return -1;
	if (!ns->userns)
		return 0;
	parcel->n_fds = WIRE_N_FDS;
	if ((*user = pin_open(ns->userns, CLONE_NEWUSER, err)) < 0)
		return -1;
	if (!pin_is_owned(*net, *user))
		return vn_fail(err, VN_E_BACKEND,
			       "the network namespace %s does not belong to the user namespace %s; "
			       "halt the vnode and boot it again", ns->netns, ns->userns);
	return 0;
}

static int
send_setup(int socket, const struct guest_spec *spec, struct vn_error *err)
{
	static const char *const standard[] = { "/sbin/init", NULL };
	const char *const *argv = spec->init && *spec->init ? spec->init : standard;
	vn_autofree char *message = vn_alloc(WIRE_MESSAGE_MAX);
	struct wire_setup setup = { .magic = WIRE_MAGIC, .root_id = spec->ns.idmap_base };
	size_t size = sizeof(setup);

	if (!spec->ns.userns) {
		setup.flags |= WIRE_PRIVILEGED;
		setup.root_id = 0;
	}
	snprintf(setup.hostname, sizeof(setup.hostname), "%s", spec->hostname);
	for (; argv[setup.argc]; setup.argc++) {
		size_t length = strlen(argv[setup.argc]) + 1;

		if (length > WIRE_MESSAGE_MAX - size)
			return vn_fail(err, VN_E_LIMIT, "the guest's init command is over %d bytes",
				       WIRE_MESSAGE_MAX);
		memcpy(message + size, argv[setup.argc], length);
		size += length;
	}
	memcpy(message, &setup, sizeof(setup));
	if (send(socket, message, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return vn_fail_errno(err, errno, "write to the control socket");
	return 0;
}

static int
open_control(const struct guest_spec *spec, struct parcel *parcel, struct vn_error *err)
{
	int ends[2], on = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return vn_fail_errno(err, errno, "make a control socket");
	parcel->control = ends[0];
	*slot(parcel, WIRE_FD_CONTROL) = ends[1];
	/* Every message brings its sender's pid, as seen from here. */
	if (setsockopt(parcel->control, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return vn_fail_errno(err, errno, "ask for credentials on the control socket");
	return send_setup(parcel->control, spec, err);
}

int
parcel_open(struct lxc *lxc, const struct guest_spec *spec, struct parcel *ret, struct vn_error *err)
{
	if (make_folder(spec->dir, err) < 0 ||
	    open_namespaces(&spec->ns, ret, err) < 0 ||
	    open_root(spec->root, slot(ret, WIRE_FD_ROOT), err) < 0 ||
	    open_file(lxc->env->libexec_dir, "vnode-init", O_RDONLY, slot(ret, WIRE_FD_PROGRAM),
		      err) < 0 ||
	    open_control(spec, ret, err) < 0 ||
	    open_file(spec->dir, "status", O_RDWR | O_CREAT | O_TRUNC, slot(ret, WIRE_FD_STATUS),
		      err) < 0 ||
	    lxc_console_open_ring(spec->dir, spec->console_bytes, slot(ret, WIRE_FD_RING), err) < 0 ||
	    lxc_console_listen(lxc, lxc_vmid(spec->domain), slot(ret, WIRE_FD_LISTEN), err) < 0)
		return -1;
	return 0;
}
