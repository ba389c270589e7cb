/*
 * The type `qcow2`: <disks>/<vmid>/disk.qcow2, which holds what differs from the image's disk. qemu-img makes
 * and resizes it; the guest's emulator reads both files. The path of the image in it is relative, so that a
 * state folder can be moved.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/disk/image.h"
#include "backends/disk/tool.h"
#include "backends/disk/types.h"
#include "proto/base/mem.h"

#define QEMU_IMG_MS 60000u
#define SIZE_AT     24			/* of the guest's disk, in a qcow2 header */

static int
probe(const struct local *local, struct vn_error *err)
{
	(void)local;
	return tool_check("qemu-img", "qemu-utils", err);
}

/* The size that a guest sees. */
static int
read_size(const char *path, uint64_t *ret, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t size;

	if (fd < 0 || pread(fd, &size, sizeof(size), SIZE_AT) != sizeof(size))
		return vn_fail_errno(err, errno ? errno : EIO, "read the disk %s", path);
	*ret = be64toh(size);
	return 0;
}

static int
sync_file(const char *path, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return vn_fail_errno(err, errno, "sync %s", path);
	return 0;
}

static int
fill(const struct local *local, const char *folder, const struct disk_spec *spec,
     struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/disk.qcow2", folder);
	vn_autofree char *image = vn_format("../../images/%s/disk", spec->image_sha256);
	vn_autofree char *size = vn_format("%llu", (unsigned long long)spec->size_bytes);
	const char *argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", path,
			       spec->size_bytes ? size : NULL, NULL };
	struct image_info info;

	if (!image_is_finished(local->images, spec->image_sha256, &info))
		return vn_fail(err, VN_E_NOT_FOUND, "no image %.12s… is unpacked: add it again",
			       spec->image_sha256);
	if (info.facts.format == IMAGE_TAR)
		return vn_fail(err, VN_E_UNSUPPORTED, "the image %.12s… is an archive, not the disk of a "
			       "virtual machine", spec->image_sha256);
	if (spec->size_bytes && spec->size_bytes < info.facts.virtual_bytes)
		return vn_fail(err, VN_E_INVALID, "the image's disk has %llu bytes: a smaller one would cut "
			       "it off", (unsigned long long)info.facts.virtual_bytes);
	if (info.facts.format == IMAGE_QCOW2)
		argv[8] = "qcow2";
	if (tool_run(argv, QEMU_IMG_MS, NULL, err) < 0)
		return -1;
	return sync_file(path, err);
}

static int
grow(const struct local *local, const char *folder, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/disk.qcow2", folder);
	vn_autofree char *size = vn_format("%llu", (unsigned long long)spec->size_bytes);
	const char *const argv[] = { "qemu-img", "resize", "-q", "-f", "qcow2", path, size, NULL };
	uint64_t now = 0;

	(void)local;
	if (read_size(path, &now, err) < 0)
		return -1;
	if (now >= spec->size_bytes)
		return 0;
	if (tool_run(argv, QEMU_IMG_MS, NULL, err) < 0)
		return -1;
	return sync_file(path, err);
}

const struct disk_type_ops disk_type_qcow2 = { .probe = probe, .fill = fill, .grow = grow };
