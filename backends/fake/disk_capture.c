/*
 * The archive of a fake disk is a real file, as the daemon hands it on: what the disk is made from and
 * the files in it that are not vnoded's own.
 */
#include "backends/fake/disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/digest.h"

static bool
is_own(const struct capture_spec *capture, const char *path)
{
	for (const char *const *own = capture->own; own && *own; own++)
		if (strcmp(*own, path) == 0)
			return true;
	return false;
}

static char *
contents(const struct vdisk *disk, const struct capture_spec *capture)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	fprintf(out, "%s of %s\n", capture->delta ? "what differs" : "all", disk->image);
	vn_list_each(struct injected, file, &disk->files, link)
		if (!is_own(capture, file->path))
			fprintf(out, "%s %o %s\n", file->path, file->mode, file->text);
	fclose(out);
	return text;
}

static int
write_archive(const char *path, const char *text, size_t size, struct vn_error *err)
{
	FILE *out = fopen(path, "we");

	if (!out)
		return vn_fail_errno(err, errno, "make the file %s", path);
	fwrite(text, 1, size, out);
	return fclose(out) == 0 ? 0 : vn_fail_errno(err, errno, "write %s", path);
}

static int
check(struct call *call, const struct disk_spec *spec, const struct vdisk *disk, const bool *cancelled,
      struct vn_error *err)
{
	if (fake_disk_check_up(call, err) < 0)
		return -1;
	if (!disk || strcmp(disk->uuid, spec->uuid) != 0)
		return wrong_order(call, err, "vnode %lld has no disk", (long long)spec->vmid);
	if (disk->mount)
		return wrong_order(call, err, "disk %lld is mounted", (long long)spec->vmid);
	if (guest_by_vmid(call->world, spec->vmid))
		return wrong_order(call, err, "vnode %lld is still running", (long long)spec->vmid);
	if (fake_disk_check_space(call, err) < 0)
		return -1;
	return __atomic_load_n(cancelled, __ATOMIC_RELAXED) ? vn_fail(err, VN_E_CANCELLED, "cancelled") : 0;
}

static int
capture(struct call *call, const struct disk_spec *spec, const struct capture_spec *capture,
	const bool *cancelled, struct capture_facts *ret, struct vn_error *err)
{
	const struct vdisk *disk = disk_find(call->world, spec->vmid);
	vn_autofree char *text = NULL;
	struct digest *digest;

	if (check(call, spec, disk, cancelled, err) < 0)
		return -1;
	text = contents(disk, capture);
	ret->bytes = strlen(text);
	if (capture->limit_bytes && ret->bytes > capture->limit_bytes)
		return vn_fail(err, VN_E_LIMIT, "the files take more than %llu bytes",
			       (unsigned long long)capture->limit_bytes);
	if (write_archive(capture->path, text, call->is_amid ? ret->bytes / 2 : ret->bytes, err) < 0)
		return -1;
	if (capture->on_progress)
		capture->on_progress(capture->arg, ret->bytes, ret->bytes);
	digest = digest_new();
	digest_update(digest, text, strlen(text));
	digest_print(digest, ret->sha256);
	digest_free(digest);
	return 0;
}

int
fake_capture(struct disk *self, const struct disk_spec *spec, const struct capture_spec *what,
	     const bool *cancelled, struct capture_facts *ret, struct vn_error *err)
{
	struct call call;
	int result;

	if (call_begin(&call, fake_disk_handle(self), "disk.capture", spec->vmid, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	result = call_end(&call, capture(&call, spec, what, cancelled, ret, err), err);
	if (result < 0)
		unlink(what->path);
	return result;
}
