/* Images as rows. Only the archive handed to image_unpack is a real file. */
#include "backends/fake/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A real disk would look inside; here the first bytes say it all. */
static int
read_archive(const struct image_spec *spec, struct image_facts *ret, struct vn_error *err)
{
	vn_autoclose int fd = open(spec->path, O_RDONLY | O_CLOEXEC);
	char head[6] = "";
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return vn_fail_errno(err, errno, "open '%s'", spec->path);
	if (pread(fd, head, sizeof(head), 0) < 1 || memcmp(head, "broken", sizeof(head)) == 0)
		return vn_fail(err, VN_E_INVALID, "'%s' is no archive, or truncated", spec->path);
	*ret = (struct image_facts){ .bytes = (uint64_t)status.st_size, .format = spec->format };
	if (spec->format == IMAGE_DETECT)
		ret->format = memcmp(head, "QFI\xfb", 4) == 0 ? IMAGE_QCOW2 : IMAGE_TAR;
	if (ret->format != IMAGE_TAR)
		ret->virtual_bytes = ret->bytes;
	snprintf(ret->base, sizeof(ret->base), "%s", spec->base ? spec->base : "");
	return 0;
}

static int
check_limits(const struct unpack_limits *limits, uint64_t bytes, struct vn_error *err)
{
	if (limits && limits->bytes && bytes > limits->bytes)
		return vn_fail(err, VN_E_INVALID, "the image unpacks to more than %llu bytes",
			       (unsigned long long)limits->bytes);
	if (!limits || !limits->storage_used)
		return 0;
	if (__atomic_add_fetch(limits->storage_used, bytes, __ATOMIC_RELAXED)
	    <= limits->storage_bytes)
		return 0;
	__atomic_sub_fetch(limits->storage_used, bytes, __ATOMIC_RELAXED);
	return vn_fail(err, VN_E_LIMIT, "all images together would take more than image_storage");
}

static int
check_base(struct call *call, const struct image_facts *facts, struct vn_error *err)
{
	struct image *base = facts->base[0] ? fake_image_find(call->world, facts->base) : NULL;

	if (!facts->base[0])
		return 0;
	if (facts->format != IMAGE_TAR)
		return vn_fail(err, VN_E_INVALID, "a disk can be no layer on a base");
	if (!base || base->is_partial)
		return vn_fail(err, VN_E_NOT_FOUND, "the base %.12s is missing", facts->base);
	return base->facts.format == IMAGE_TAR ? 0
	       : vn_fail(err, VN_E_UNSUPPORTED, "the base %.12s is a disk", facts->base);
}

static void
put_image(struct call *call, const char *sha256, const struct image_facts *facts)
{
	struct image *image = fake_image_find(call->world, sha256);

	if (!image) {
		image = vn_alloc(sizeof(*image));
		image->sha256 = vn_strdup(sha256);
		vn_list_append(&call->world->images, &image->link);
	}
	image->is_partial = call->is_amid;
	image->facts = call->is_amid ? (struct image_facts){ 0 } : *facts;
}

static int
image_unpack(struct call *call, const struct image_spec *spec, const struct unpack_limits *limits,
	     const bool *cancelled, uint64_t *progress_bytes, struct image_facts *ret,
	     struct vn_error *err)
{
	struct image *image = fake_image_find(call->world, spec->sha256);

	if (fake_disk_check_up(call, err) < 0)
		return -1;
	if (image && !image->is_partial) {
		if (strcmp(image->facts.base, spec->base ? spec->base : "") != 0)
			return vn_fail(err, VN_E_EXISTS, "this archive is stored already as a layer on "
				       "another base");
		*ret = image->facts;
		return 0;
	}
	if (fake_disk_check_space(call, err) < 0 || read_archive(spec, ret, err) < 0 ||
	    check_base(call, ret, err) < 0 || check_limits(limits, ret->bytes, err) < 0)
		return -1;
	if (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED))
		return vn_fail(err, VN_E_CANCELLED, "cancelled");
	if (spec->on_progress)
		spec->on_progress(spec->arg, ret->bytes, ret->bytes);
	if (progress_bytes)
		__atomic_store_n(progress_bytes, ret->bytes, __ATOMIC_RELAXED);
	put_image(call, spec->sha256, ret);
	return 0;
}

int
fake_image_unpack(struct disk *self, const struct image_spec *spec,
		  const struct unpack_limits *limits, const bool *cancelled,
		  uint64_t *progress_bytes, struct image_facts *ret, struct vn_error *err)
{
	struct image_facts facts;
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.image_unpack", 0, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	if (call_end(&call, image_unpack(&call, spec, limits, cancelled, progress_bytes, &facts, err),
		     err) < 0)
		return -1;
	*ret = facts;
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
	vn_list_each(struct image, other, &call->world->images, link)
		if (strcmp(other->facts.base, sha256) == 0)
			return wrong_order(call, err, "image %.12s is a layer on this one",
					   other->sha256);
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
