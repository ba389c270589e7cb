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
	    (image->format == IMAGE_TAR ? traits->of_archive : image->format == IMAGE_RAW ? traits->of_raw
	     : traits->of_qcow2))
		return 0;
	return vn_fail_at(err, path_of(spec), VN_E_UNSUPPORTED, "a disk of type '%s' is made from %s, and "
			  "the image '%s' is %s (%s)", disk_type_words[type],
			  traits->of_raw && traits->of_archive ? "an archive, or a raw disk"
			  : traits->of_archive ? "an archive of a root file system"
			  : "the disk of a virtual machine",
			  image->name, image->format == IMAGE_TAR ? "an archive" : "a disk",
			  image_format_words[image->format]);
}

/* Of all layers of an archive, unpacked; of a disk, as a guest sees it. */
static uint64_t
contents_of(const struct image *image)
{
	uint64_t bytes = 0;

	if (image->format != IMAGE_TAR)
		return image->virtual_bytes;
	for (; image; image = image->base ? image_find(image->daemon, image->base) : NULL)
		bytes += image->bytes;
	return bytes;
}

/* image: what the disk is made from; NULL, or not there yet: making it will tell. */
static int
check_least(uint64_t size, int type, const struct image *image, struct vn_error *err)
{
	uint64_t least = image && image->state == IMAGE_READY
		? disk_least_bytes(type, image->format == IMAGE_TAR, contents_of(image)) : 0;

	if (size >= least)
		return 0;
	return vn_fail_at(err, "/disk/size", VN_E_INVALID, "a disk of type '%s' made from the image '%s' has at least "
			  "%llu bytes: say as much or more, or no size", disk_type_words[type], image->name,
			  (unsigned long long)least);
}

static int
check_size(const struct doc_vnode *spec, int type, const struct vnode *self, const struct image *image,
	   struct vn_error *err)
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
	return check_least(size, type, image, err);
}

static const struct doc_extra *
find_extra(const struct doc_vnode *spec, const char *name)
{
	const struct doc_extra *extras = spec->extras.items;

	for (size_t i = 0; i < spec->extras.count; i++)
		if (strcmp(extras[i].key, name) == 0)
			return &extras[i];
	return NULL;
}

/* Every backend's guests are containers. old: what the vnode has of that name; NULL: nothing. */
static int
check_extra(struct daemon *daemon, const struct doc_extra *extra, const struct doc_extra *old,
	    struct vn_error *err)
{
	if (extra->filesystem == DISK_NO_FILESYSTEM)
		return vn_fail_at(err, "/filesystem", VN_E_UNSUPPORTED, "a container has no use for a disk "
				  "without a file system: say \"ext4\" and a mount point");
	if (!extra->mount)
		return vn_fail_at(err, "/mount", VN_E_INVALID, "a container's disk needs a mount point, such as "
				  "\"/data\"");
	if (old && extra->filesystem != old->filesystem)
		return vn_fail_at(err, "/filesystem", VN_E_INVALID, "cannot be changed: take the disk out and "
				  "give another one its place");
	if (old && extra->size_bytes < old->size_bytes)
		return vn_fail_at(err, "/size", VN_E_INVALID, "a disk can grow, not shrink: it has %llu bytes",
				  (unsigned long long)old->size_bytes);
	return old ? 0 : daemon->disk->ops->extra_check(daemon->disk, extra->filesystem, err);
}

/* Disks that go are not counted off: they go last. */
int
vnode_extras_room(const struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
		  uint64_t *need, struct vn_error *err)
{
	const struct doc_extra *extras = spec->extras.items;
	uint64_t left = image_storage_left(daemon);

	for (size_t i = 0; i < spec->extras.count; i++) {
		const struct doc_extra *old = self ? find_extra(&self->spec, extras[i].key) : NULL;
		uint64_t had = old ? old->size_bytes : 0;
		char path[64];

		if (extras[i].size_bytes <= had)
			continue;
		*need += extras[i].size_bytes - had;
		if (*need <= left)
			continue;
		snprintf(path, sizeof(path), "/disks/%s/size", extras[i].key);
		return vn_fail_at(err, path, VN_E_LIMIT, "with this disk %llu bytes are asked for, and image_storage has "
				  "room for %llu: ask for less, remove images (vnodectl image prune) or raise it",
				  (unsigned long long)*need, (unsigned long long)left);
	}
	return 0;
}

static uint64_t
extras_bytes(const struct doc_vnode *spec)
{
	const struct doc_extra *extras = spec->extras.items;
	uint64_t bytes = 0;

	for (size_t i = 0; i < spec->extras.count; i++)
		bytes += extras[i].size_bytes;
	return bytes;
}

/* Unsigned: what is less wraps round and back. */
void
vnode_extras_count(struct model *model, const struct doc_vnode *before, const struct doc_vnode *after)
{
	uint64_t more = extras_bytes(after) - extras_bytes(before);

	model->extras_used += more;
	__atomic_add_fetch(&model->images_used, more, __ATOMIC_RELAXED);
}

int
vnode_extras_check(struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
		   struct vn_error *err)
{
	const struct doc_extra *extras = spec->extras.items;

	for (size_t i = 0; i < spec->extras.count; i++) {
		const struct doc_extra *old = self ? find_extra(&self->spec, extras[i].key) : NULL;
		char path[64];

		if (check_extra(daemon, &extras[i], old, err) == 0)
			continue;
		snprintf(path, sizeof(path), "/disks/%s", extras[i].key);
		vn_error_prefix_path(err, path);
		return -1;
	}
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
	return check_size(spec, type, self, image || !self ? image : image_find_digest(daemon, self->image_sha256), err);
}

json_t *
vnode_disk_object(const struct vnode *vnode)
{
	return json_pack("{ss sI}", "type",
			 disk_type_words[vnode_disk_type(vnode->daemon, &vnode->spec, vnode)], "size_bytes",
			 (json_int_t)vnode->spec.disk.size_bytes);
}

json_t *
vnode_extras_object(const struct vnode *vnode)
{
	const struct doc_extra *extras = vnode->spec.extras.items;
	json_t *list = json_array();

	for (size_t i = 0; i < vnode->spec.extras.count; i++)
		json_array_append_new(list, json_pack("{ss sI ss ss?}", "name", extras[i].key, "size_bytes",
			(json_int_t)extras[i].size_bytes, "filesystem",
			disk_filesystem_words[extras[i].filesystem], "mount", extras[i].mount));
	return list;
}
