/*
 * A disk of any type that the host can mount as an archive. Its root is opened with the ids of the disk and
 * attached nowhere: when we are killed it goes with us.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "backends/disk/capture.h"
#include "backends/disk/chain.h"
#include "backends/disk/folder.h"
#include "backends/disk/types.h"
#include "proto/base/mem.h"

struct opened {				/* all that a tree consists of; -1: not open */
	int root, upper;
	int bases[IMAGE_LAYERS_MAX];
	size_t n_bases;
};

static int
open_folder(const char *path, int *ret_fd, struct vn_error *err)
{
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? vn_fail_errno(err, errno, "open %s", path) : 0;
}

/* An image that is itself a disk has no files to be seen: of a vnode's own there is nothing then. */
static int
open_bases(const struct local *local, const char *sha256, struct opened *opened, struct vn_error *err)
{
	struct image_info info;
	struct chain chain;

	if (image_is_finished(local->images, sha256, &info) && info.facts.format != IMAGE_TAR)
		return 0;
	if (chain_read(local->images, sha256, &chain, err) < 0)
		return -1;
	for (size_t i = 0; i < chain.count; i++) {
		vn_autofree char *path = vn_format("%s/%s/root", local->images, chain.sha256[i]);

		if (open_folder(path, &opened->bases[i], err) < 0)
			return -1;
		opened->n_bases++;
	}
	return 0;
}

static int
open_all(const struct local *local, const struct disk_spec *spec, const char *folder, bool delta,
	 struct opened *opened, struct vn_error *err)
{
	struct disk_spec plain = *spec;
	vn_autofree char *upper = vn_format("%s/upper", folder);
	bool is_there;

	plain.userns = NULL;
	if (delta && !disk_traits[spec->type].has_changes)
		return vn_fail(err, VN_E_UNSUPPORTED, "a disk of type '%s' does not keep its changes apart: "
			       "capture it whole", disk_type_words[spec->type]);
	if (folder_check(folder, spec, spec->image_sha256, &is_there, err) < 0)
		return -1;
	if (!is_there)
		return vn_fail(err, VN_E_NOT_FOUND, "the disk %s is gone: reload the vnode", folder);
	if (local_check_unmounted(local, spec, err) < 0
	    || open_bases(local, spec->image_sha256, opened, err) < 0
	    || (delta && open_folder(upper, &opened->upper, err) < 0))
		return -1;
	return types_open_root(local, folder, &plain, &opened->root, err);
}

int
local_capture(struct disk *disk, const struct disk_spec *spec, const struct capture_spec *capture,
		const bool *cancelled, struct capture_facts *ret, struct vn_error *err)
{
	const struct local *local = vn_container_of(disk, struct local, base);
	vn_autofree char *folder = folder_path(local, spec->vmid);
	struct opened opened = { .root = -1, .upper = -1 };
	int result = open_all(local, spec, folder, capture->delta, &opened, err);
	const struct capture_tree tree = { .root = opened.root, .upper = opened.upper,
					   .bases = opened.bases, .n_bases = opened.n_bases };

	if (result == 0)
		result = capture_tree(&tree, capture, cancelled, ret, err);
	if (result < 0)
		unlink(capture->path);
	for (size_t i = 0; i < opened.n_bases; i++)
		vn_close_at(&opened.bases[i]);
	vn_close_at(&opened.upper);
	vn_close_at(&opened.root);
	return result;
}
