/*
 * Overlays on layers whose ids are shifted (id-mapped mounts, Linux 5.19), by the mount API of file
 * descriptors. Three facts shape this file.
 *
 * Until Linux 6.15 overlayfs takes a layer only where it is attached in the caller's own mount
 * namespace. An id-mapped layer attached on the host would be seen, copied and pinned by whoever
 * makes a mount namespace meanwhile (libvirt does so for each container), and would stay when we
 * are killed. So layers are attached in a workshop: a mount namespace that no process lives in.
 * The finished overlay comes out as a descriptor and is attached on the host in one step.
 *
 * The overlay acts on its upper layer with the credentials of the thread that made it. Through the
 * id-mapped layer the host's uid 0 is nobody, and a copy-up would end in EOVERFLOW: so that thread
 * makes files as the guest's root.
 *
 * Detached copies of the layers are taken in the host's namespace, where their paths mean something,
 * before the thread enters the workshop.
 */
#include "backends/disk/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "backends/backend.h"
#include "backends/disk/apart.h"
#include "proto/base/mem.h"

/*
 * What an upper layer was written with must be understood at the next mount, so nothing is left to
 * the kernel's build or module options.
 */
static const struct option {
	const char *key, *value;
} options[] = {
	{ "redirect_dir", "on" },	/* a guest may rename a folder of its image, as on any disk */
	{ "metacopy", "off" },		/* an upper file is whole: it can be read without the overlay */
	{ "index", "off" },		/* an image fetched anew has other inodes; an index would refuse it */
	{ "xino", "auto" },		/* stable inode numbers where both layers are on one file system */
};

struct assembly {
	const struct layers_spec *spec;
	int workshop;
	int lowers[IMAGE_LAYERS_MAX], disk;	/* detached copies of the layers */
	int overlay;			/* the result */
	bool shifted;
	uid_t uid;			/* guest root as the layers show it */
	gid_t gid;
};

struct workshop {
	const char *place;
	int fd;
};

static int
leave_host(const char *place, struct vn_error *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return vn_fail_errno(err, errno, "make the mounts of a new namespace private");
	if (mount("vnoded", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return vn_fail_errno(err, errno, "mount a tmpfs on %s in a new namespace", place);
	if (chdir(place) < 0)
		return vn_fail_errno(err, errno, "enter %s", place);
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return vn_fail_errno(err, errno, "make %s the root of a new mount namespace", place);
	if (umount2(".", MNT_DETACH) < 0)
		return vn_fail_errno(err, errno, "drop the host's mounts in a new namespace");
	return 0;
}

static int
make_workshop(void *arg, struct vn_error *err)
{
	struct workshop *workshop = arg;
	vn_autoclose int fd = -1;

	if (unshare(CLONE_NEWNS) < 0)
		return vn_fail_errno(err, errno, "make a mount namespace");
	fd = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vn_fail_errno(err, errno, "open the new mount namespace");
	if (leave_host(workshop->place, err) < 0)
		return -1;
	workshop->fd = vn_take_fd(&fd);
	return 0;
}

int
layers_open_workshop(const char *place, int *ret_fd, struct vn_error *err)
{
	struct workshop workshop = { .place = place };

	if (apart_run(make_workshop, &workshop, err) < 0)
		return -1;
	*ret_fd = workshop.fd;
	return 0;
}

int
layers_copy(const char *path, int userns, uint64_t flags, int *ret_fd, struct vn_error *err)
{
	struct mount_attr attr = { .attr_set = flags, .propagation = MS_PRIVATE };
	vn_autoclose int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
					| AT_SYMLINK_NOFOLLOW);

	if (fd < 0)
		return vn_fail_errno(err, errno, "open the layer %s", path);
	if (userns >= 0) {
		attr.attr_set |= MOUNT_ATTR_IDMAP;
		attr.userns_fd = (uint64_t)userns;
	}
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0) {
		*ret_fd = vn_take_fd(&fd);
		return 0;
	}
	if (userns >= 0 && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
		return vn_fail(err, VN_E_UNSUPPORTED, "the file system of %s cannot show its files "
			       "in a vnode's ids: put state_dir on ext4, xfs or btrfs, with Linux "
			       "5.19 or later", path);
	return vn_fail_errno(err, errno, "prepare the layer %s", path);
}

static int
copy_layers(struct assembly *assembly, struct vn_error *err)
{
	const struct layers_spec *spec = assembly->spec;
	vn_autoclose int userns = -1;
	struct stat root;

	if (spec->userns) {
		userns = open(spec->userns, O_RDONLY | O_CLOEXEC);
		if (userns < 0)
			return vn_fail_errno(err, errno, "open the user namespace %s", spec->userns);
	}
	for (size_t i = 0; i < spec->n_lowers; i++)
		if (layers_copy(spec->lowers[i], userns, MOUNT_ATTR_RDONLY, &assembly->lowers[i], err) < 0)
			return -1;
	if (layers_copy(spec->disk, userns, 0, &assembly->disk, err) < 0)
		return -1;
	if (fstatat(assembly->disk, "work", &root, AT_SYMLINK_NOFOLLOW) < 0)
		return vn_fail_errno(err, errno, "look at %s/work", spec->disk);
	assembly->shifted = spec->userns != NULL;
	assembly->uid = root.st_uid;
	assembly->gid = root.st_gid;
	return 0;
}

static int
set_option(int fs, const char *key, const char *value, struct vn_error *err)
{
	if (fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0) < 0)
		return vn_fail_errno(err, errno, "set the overlay's %s to %s", key, value);
	return 0;
}

/* The text that the kernel left in the file system context ("e overlay: …"), or "". */
static void
read_reason(int fs, char *text, size_t size)
{
	ssize_t length = read(fs, text, size - 1);

	text[length > 0 ? length : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static int
fail_overlay(int fs, const struct layers_spec *spec, struct vn_error *err)
{
	char reason[160];
	int sys = errno;

	read_reason(fs, reason, sizeof(reason));
	if (sys == EINVAL && spec->userns)
		return vn_fail(err, VN_E_UNSUPPORTED, "the kernel takes no overlay on %s with a "
			       "vnode's ids: Linux 5.19 and ext4, xfs or btrfs are needed %s",
			       spec->disk, reason);
	return vn_fail_errno(err, sys, "make an overlay on %s %s", spec->disk, reason);
}

/* In the folder where the layers are attached: an option takes 255 characters, so names are short. */
static int
make_overlay(struct assembly *assembly, struct vn_error *err)
{
	char lowers[4 * IMAGE_LAYERS_MAX] = "";
	size_t length = 0;
	vn_autoclose int fs = fsopen("overlay", FSOPEN_CLOEXEC);

	if (fs < 0 && errno == ENODEV)
		return vn_fail(err, VN_E_UNSUPPORTED, "the kernel has no overlayfs: load the module "
			       "'overlay'");
	if (fs < 0)
		return vn_fail_errno(err, errno, "open overlayfs");
	for (size_t i = 0; i < assembly->spec->n_lowers; i++)
		length += (size_t)snprintf(lowers + length, sizeof(lowers) - length, "%s%zu",
					   i ? ":" : "", i);
	if (set_option(fs, "source", assembly->spec->source, err) < 0
	    || set_option(fs, "lowerdir", lowers, err) < 0
	    || set_option(fs, "upperdir", "disk/upper", err) < 0
	    || set_option(fs, "workdir", "disk/work", err) < 0)
		return -1;
	for (size_t i = 0; i < VN_COUNT(options); i++)
		if (set_option(fs, options[i].key, options[i].value, err) < 0)
			return -1;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail_overlay(fs, assembly->spec, err);
	/* No device node of a guest's disk is ever one on the host. */
	assembly->overlay = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	if (assembly->overlay < 0)
		return vn_fail_errno(err, errno, "mount the overlay on %s", assembly->spec->disk);
	return 0;
}

static int
attach_layer(int fd, const char *place, struct vn_error *err)
{
	if (mkdir(place, 0700) < 0)
		return vn_fail_errno(err, errno, "make %s in the workshop", place);
	if (move_mount(fd, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return vn_fail_errno(err, errno, "attach a layer in the workshop");
	return 0;
}

/* Empties a place in the workshop; only the overlay itself still holds the layer then. */
static void
clear_place(const char *place)
{
	umount2(place, MNT_DETACH);
	rmdir(place);
}

static int
attach_layers(struct assembly *assembly, struct vn_error *err)
{
	for (size_t i = 0; i < assembly->spec->n_lowers; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%zu", i);
		if (attach_layer(assembly->lowers[i], name, err) < 0)
			return -1;
	}
	return attach_layer(assembly->disk, "disk", err);
}

static void
clear_folder(const struct assembly *assembly, const char *folder)
{
	for (size_t i = 0; i < assembly->spec->n_lowers; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%zu", i);
		clear_place(name);
	}
	clear_place("disk");
	if (chdir("/") == 0)
		rmdir(folder);
}

/* On a thread of its own: in the workshop, as the guest's root. */
static int
assemble_inside(void *arg, struct vn_error *err)
{
	static atomic_uint last;	/* several workers may be in the workshop at once */
	struct assembly *assembly = arg;
	vn_autofree char *folder = vn_format("/%u", atomic_fetch_add(&last, 1));
	int result = -1;

	if (copy_layers(assembly, err) < 0)
		return -1;
	if (setns(assembly->workshop, CLONE_NEWNS) < 0)
		return vn_fail_errno(err, errno, "enter the workshop");
	if (mkdir(folder, 0700) < 0 || chdir(folder) < 0)
		return vn_fail_errno(err, errno, "make %s in the workshop", folder);
	if (attach_layers(assembly, err) == 0
	    && (!assembly->shifted || apart_become_owner(assembly->uid, assembly->gid, err) == 0))
		result = make_overlay(assembly, err);
	clear_folder(assembly, folder);
	return result;
}

int
layers_assemble(int workshop, const struct layers_spec *spec, int *ret_fd, struct vn_error *err)
{
	struct assembly assembly = { .spec = spec, .workshop = workshop, .disk = -1 };
	int result;

	for (size_t i = 0; i < IMAGE_LAYERS_MAX; i++)
		assembly.lowers[i] = -1;
	result = apart_run(assemble_inside, &assembly, err);
	for (size_t i = 0; i < IMAGE_LAYERS_MAX; i++)
		vn_close_at(&assembly.lowers[i]);
	vn_close_at(&assembly.disk);
	if (result == 0)
		*ret_fd = assembly.overlay;
	return result;
}

int
layers_attach(int fd, const char *target, struct vn_error *err)
{
	if (move_mount(fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return vn_fail_errno(err, errno, "mount at %s", target);
	return 0;
}
