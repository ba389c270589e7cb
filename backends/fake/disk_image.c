/* Images as rows. Only the archive handed to image_unpack is a real file. */
#include "backends/fake/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int
read_archive(const char *path, uint64_t *ret_bytes, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	char head[6] = "";
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return vn_fail_errno(err, errno, "open '%s'", path);
	if (pread(fd, head, sizeof(head), 0) < 1 || memcmp(head, "broken", sizeof(head)) == 0)
		return vn_fail(err, VN_E_INVALID, "'%s' is no archive, or truncated", path);
	*ret_bytes = (uint64_t)status.st_size;
	return 0;
}

static int
check_limits(const struct unpack_limits *limits, uint64_t bytes, struct vn_error *err)
{
	if (limits && limits->bytes && bytes > limits->bytes)
		return vn_fail(err, VN_E_INVALID, "the image unpacks to more than %llu bytes",
			       (unsigned long long)limits->bytes);
	return 0;
}

static void
put_image(struct call *call, const char *sha256, uint64_t bytes)
{
	struct image *image = fake_image_find(call->world, sha256);

	if (!image) {
		image = vn_alloc(sizeof(*image));
		image->sha256 = vn_strdup(sha256);
		vn_list_append(&call->world->images, &image->link);
	}
	image->is_partial = call->is_amid;
	image->bytes = call->is_amid ? 0 : bytes;
}

static int
image_unpack(struct call *call, const char *path, const char *sha256,
	     const struct unpack_limits *limits, const bool *cancelled, uint64_t *progress_bytes,
	     uint64_t *ret_bytes, struct vn_error *err)
{
	struct image *image = fake_image_find(call->world, sha256);
	uint64_t bytes = 0;

	if (fake_disk_check_up(call, err) < 0)
		return -1;
	if (image && !image->is_partial) {
		*ret_bytes = image->bytes;
		return 0;
	}
	if (fake_disk_check_space(call, err) < 0 || read_archive(path, &bytes, err) < 0 ||
	    check_limits(limits, bytes, err) < 0)
		return -1;
	if (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED))
		return vn_fail(err, VN_E_CANCELLED, "cancelled");
	if (progress_bytes)
		__atomic_store_n(progress_bytes, bytes, __ATOMIC_RELAXED);
	put_image(call, sha256, bytes);
	*ret_bytes = bytes;
	return 0;
}

int
fake_image_unpack(struct disk *self, const char *path, const char *sha256,
		  const struct unpack_limits *limits, const bool *cancelled,
		  uint64_t *progress_bytes, uint64_t *ret_bytes, struct vn_error *err)
{
	uint64_t bytes = 0;
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.image_unpack", 0, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	if (call_end(&call, image_unpack(&call, path, sha256, limits, cancelled, progress_bytes,
					 &bytes, err), err) < 0)
		return -1;
	*ret_bytes = bytes;
	return 0;
}

static int
image_remove(struct call *call, const char *sha256, struct vn_error *err)
{
	struct image *image = fake_image_find(call->world, sha256);

	vn_list_each(struct vdisk, disk, &call->world->disks, link)
		if (strcmp(disk->image, sha256) == 0)
			return wrong_order(call, err, "the disk of vnode %lld is on this image",
					   (long long)disk->vmid);
	if (image)
		fake_image_free(image);
	return 0;
}

int
fake_image_remove(struct disk *self, const char *sha256, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.image_remove", 0, CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, image_remove(&call, sha256, err), err);
}

int
fake_image_look(struct call *call, const char *sha256, struct vn_error *err)
{
	struct image *image = fake_image_find(call->world, sha256);

	if (image && !image->is_partial)
		return 0;
	return vn_fail(err, VN_E_NOT_FOUND, "image %.12s is not here; add it first", sha256);
}

int
fake_image_check(struct disk *self, const char *sha256, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.image_check", 0, 0, err) < 0)
		return -1;
	return call_end(&call, fake_image_look(&call, sha256, err), err);
}
