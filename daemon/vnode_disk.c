/*
 * A disk keeps the type with which it was made: a document that says nothing means that one, so that the
 * configuration's `disk` counts for new vnodes only.
 */
#include "daemon/vnode_disk.h"

#include <string.h>

int
vnode_disk_type(const struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self)
{
	if (spec->disk.given && spec->disk.type >= 0)
		return spec->disk.type;
	if (self && self->disk_type >= 0)
		return self->disk_type;
	return disk_type_find(daemon->config.disk);
}

/* Where the type comes from, for an error. */
static const char *
path_of(const struct doc_vnode *spec)
{
	return spec->disk.given && spec->disk.type >= 0 ? "/disk/type" : "/disk";
}

static int
check_image(const struct doc_vnode *spec, int type, const struct image *image, struct vn_error *err)
{
	const struct disk_traits *traits = &disk_traits[type];

	if (image->format == IMAGE_DETECT ||
	    (image->format == IMAGE_TAR ? traits->of_archive : traits->of_disk))
		return 0;
	return vn_fail_at(err, path_of(spec), VN_E_UNSUPPORTED, "a disk of type '%s' is made from %s, and "
			  "the image '%s' is %s (%s)", disk_type_words[type],
			  traits->of_archive ? "an archive of a root file system" : "the disk of a virtual machine",
			  image->name, image->format == IMAGE_TAR ? "an archive" : "a disk",
			  image_format_words[image->format]);
}

static int
check_size(const struct doc_vnode *spec, int type, const struct vnode *self, struct vn_error *err)
{
	uint64_t size = spec->disk.size_bytes;

	if (!size)
		return 0;
	if (!disk_traits[type].has_size)
		return vn_fail_at(err, "/disk/size", VN_E_UNSUPPORTED, "a disk of type '%s' has no size of "
				  "its own: it shares the room of the host's file system",
				  disk_type_words[type]);
	if (self && self->disk_type == type && size < self->spec.disk.size_bytes)
		return vn_fail_at(err, "/disk/size", VN_E_INVALID, "a disk can grow, not shrink: it has %llu "
				  "bytes", (unsigned long long)self->spec.disk.size_bytes);
	return 0;
}

int
vnode_disk_check(struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
		 const struct image *image, struct vn_error *err)
{
	int type = vnode_disk_type(daemon, spec, self);
	bool is_new = !self || self->disk_type != type;

	if (is_new && daemon->disk->ops->type_check(daemon->disk, type, err) < 0) {
		vn_error_prefix_path(err, path_of(spec));
		return -1;
	}
	if (image && check_image(spec, type, image, err) < 0)
		return -1;
	return check_size(spec, type, self, err);
}

json_t *
vnode_disk_object(const struct vnode *vnode)
{
	return json_pack("{ss sI}", "type",
			 disk_type_words[vnode_disk_type(vnode->daemon, &vnode->spec, vnode)], "size_bytes",
			 (json_int_t)vnode->spec.disk.size_bytes);
}
