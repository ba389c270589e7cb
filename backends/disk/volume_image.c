/*
 * Images as thin volumes, each made at its first use. One that is whole carries the tag "finished"; one that
 * does not is what a crash left, and is made anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/disk/chain.h"
#include "backends/disk/clone.h"
#include "backends/disk/image.h"
#include "backends/disk/tool.h"
#include "backends/disk/volume.h"
#include "proto/base/mem.h"

#define MKFS_MS    60000u
#define TRASH_NAME ".vnoded-trash"
#define PIECE      (1u << 20)

/* ---- filling --------------------------------------------------------------------------------- */

/* The root as the image's is: making and removing folders in it has changed its time. */
static int
set_root_time(const struct local *local, const struct chain *chain, int root, struct vn_error *err)
{
	vn_autofree char *top = vn_format("%s/%s/root", local->images, chain->sha256[0]);
	struct stat st;

	if (stat(top, &st) < 0 || futimens(root, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
		return vn_fail_errno(err, errno, "set the time of an image's volume");
	return 0;
}

static int
copy_layers(const struct local *local, const struct chain *chain, int root, struct vn_error *err)
{
	vn_autofree char *path = vn_format("/proc/thread-self/fd/%d/.", root);
	vn_autofree char *trash = vn_format("/proc/thread-self/fd/%d/" TRASH_NAME, root);

	/* What layers hide goes to a folder that is none of the image's, and goes itself; as mkfs's own does. */
	if (unlinkat(root, "lost+found", AT_REMOVEDIR) < 0 || mkdirat(root, TRASH_NAME, 0700) < 0)
		return vn_fail_errno(err, errno, "make a folder on an image's volume");
	for (size_t i = chain->count; i-- > 0;) {
		vn_autofree char *layer = vn_format("%s/%s/root", local->images, chain->sha256[i]);

		if (clone_layer(layer, path, trash, false, err) < 0)
			return -1;
	}
	if (unlinkat(root, TRASH_NAME, AT_REMOVEDIR) < 0)
		return vn_fail_errno(err, errno, "remove a folder of an image's volume");
	if (set_root_time(local, chain, root, err) < 0)
		return -1;
	return syncfs(root) < 0 ? vn_fail_errno(err, errno, "sync an image's volume") : 0;
}

static int
fill_tree(const struct local *local, const char *sha256, const char *name, struct vn_error *err)
{
	vn_autofree char *device = volume_device(local, name);
	const char *const argv[] = { "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "root_owner=0:0", device, NULL };
	vn_autoclose int mounted = -1, root = -1;
	struct chain chain;

	if (chain_read(local->images, sha256, &chain, err) < 0 || tool_run(argv, MKFS_MS, NULL, err) < 0
	    || volume_mount(local, name, &mounted, err) < 0)
		return -1;
	root = openat(mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return vn_fail_errno(err, errno, "open an image's volume");
	return copy_layers(local, &chain, root, err);
}

/* A new thin volume reads as zeros: holes are not written. */
static int
copy_disk(int from, int to, off_t size, struct vn_error *err)
{
	vn_autofree char *piece = vn_alloc(PIECE);
	off_t at = 0, end;

	while ((at = lseek(from, at, SEEK_DATA)) >= 0 && at < size) {
		end = lseek(from, at, SEEK_HOLE);
		while (at < end) {
			size_t wanted = (size_t)(end - at) < PIECE ? (size_t)(end - at) : PIECE;
			ssize_t length = pread(from, piece, wanted, at);

			if (length <= 0 || pwrite(to, piece, (size_t)length, at) != length)
				return vn_fail_errno(err, errno ? errno : EIO, "copy an image to its volume");
			at += length;
		}
	}
	if ((at < 0 && errno != ENXIO) || fsync(to) < 0)
		return vn_fail_errno(err, errno, "copy an image to its volume");
	return 0;
}

static int
fill_disk(const struct local *local, const char *sha256, const char *name, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/%s/disk", local->images, sha256);
	vn_autofree char *device = volume_device(local, name);
	vn_autoclose int from = open(path, O_RDONLY | O_CLOEXEC);
	vn_autoclose int to = open(device, O_WRONLY | O_CLOEXEC);
	struct stat st;

	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		return vn_fail_errno(err, errno, "open %s", from < 0 ? path : device);
	return copy_disk(from, to, st.st_size, err);
}

/* ---- making ---------------------------------------------------------------------------------- */

uint64_t
volume_image_bytes(const struct local *local, const char *sha256)
{
	uint64_t bytes = 0;
	struct vn_error ignored;
	struct image_info info;
	struct chain chain;

	if (!image_is_finished(local->images, sha256, &info))
		return 0;
	if (info.facts.format != IMAGE_TAR)
		return disk_least_bytes(DISK_LVM_THIN, false, info.facts.virtual_bytes);
	if (chain_read(local->images, sha256, &chain, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < chain.count; i++)
		if (image_is_finished(local->images, chain.sha256[i], &info))
			bytes += info.facts.bytes;
	return disk_least_bytes(DISK_LVM_THIN, true, bytes);
}

static int
make(const struct local *local, const char *sha256, const char *name, const char *what,
     struct vn_error *err)
{
	struct image_info info;
	struct vn_error ignored;
	int result;

	if (!image_is_finished(local->images, sha256, &info))
		return vn_fail(err, VN_E_NOT_FOUND, "no image %.12s… is unpacked: add it again", sha256);
	if (info.facts.format == IMAGE_QCOW2)
		return vn_fail(err, VN_E_UNSUPPORTED, "the image %.12s… is a qcow2 disk: a thin volume is made "
			       "from an archive or a raw disk", sha256);
	if (volume_create(local, name, volume_image_bytes(local, sha256), what, err) < 0)
		return -1;
	result = info.facts.format == IMAGE_TAR ? fill_tree(local, sha256, name, err)
						: fill_disk(local, sha256, name, err);
	if (result == 0)
		result = volume_tag(local, name, "finished", err);
	if (result < 0)
		volume_remove(local, name, what, &ignored);
	return result;
}

/* Locked. */
static int
ensure(const struct local *local, const char *sha256, const char *name, struct vn_error *err)
{
	vn_autofree char *what = vn_format("image.%s", sha256);
	struct volume volume;

	if (volume_find(local, name, &volume, err) == 0) {
		if (volume_has_tag(local, &volume, "finished"))
			return 0;
		if (volume_remove(local, name, what, err) < 0)
			return -1;
	} else if (err->code != VN_E_NOT_FOUND) {
		return -1;
	}
	return make(local, sha256, name, what, err);
}

static char *
name_of(const struct local *local, const char *sha256)
{
	vn_autofree char *what = vn_format("image-%.24s", sha256);

	return volume_name(local, what);
}

/* ---- those that are there -------------------------------------------------------------------- */

/* Locked, as all below. The place in the list; n_known: it is not in there. */
static size_t
find_known(const struct local *local, const char *sha256)
{
	size_t i = 0;

	while (i < local->n_known && strcmp(local->known[i].sha256, sha256) != 0)
		i++;
	return i;
}

static void
remember(struct local *local, const char *sha256)
{
	struct known_image *known;

	local->known = vn_realloc_array(local->known, local->n_known + 1, sizeof(*known));
	known = &local->known[local->n_known++];
	snprintf(known->sha256, sizeof(known->sha256), "%s", sha256);
}

static void
forget(struct local *local, const char *sha256)
{
	size_t at = find_known(local, sha256);

	if (at < local->n_known)
		local->known[at] = local->known[--local->n_known];
}

int
volume_of_image(struct local *local, const char *sha256, char **ret_name, struct vn_error *err)
{
	vn_autofree char *name = name_of(local, sha256);
	int result = 0;

	pthread_mutex_lock(&local->volumes);
	if (find_known(local, sha256) == local->n_known) {
		result = ensure(local, sha256, name, err);
		if (result == 0)
			remember(local, sha256);
	}
	pthread_mutex_unlock(&local->volumes);
	if (result == 0)
		*ret_name = vn_take_ptr(&name);
	return result;
}

bool
volume_of_image_is_there(struct local *local, const char *sha256)
{
	vn_autofree char *name = name_of(local, sha256);
	struct vn_error why;
	struct volume volume;
	bool is_gone;

	pthread_mutex_lock(&local->volumes);
	is_gone = volume_find(local, name, &volume, &why) < 0 && why.code == VN_E_NOT_FOUND;
	if (is_gone)
		forget(local, sha256);
	pthread_mutex_unlock(&local->volumes);
	return !is_gone;
}

int
volume_image_remove(struct local *local, const char *sha256, struct vn_error *err)
{
	vn_autofree char *name = NULL, *what = NULL;
	struct vn_error why;
	int result;

	if (types_check_local(local, DISK_LVM_THIN, &why) < 0)
		return 0;
	name = name_of(local, sha256);
	what = vn_format("image.%s", sha256);
	pthread_mutex_lock(&local->volumes);
	forget(local, sha256);
	result = volume_remove(local, name, what, err);
	pthread_mutex_unlock(&local->volumes);
	return result;
}
