/* image.capture: what can be refused is refused here, before anything is packed. */
#include "daemon/image_verbs.h"

#include <string.h>

#include "daemon/lifecycle.h"

/* A name of the image that the vnode's disk is made from, the vnode's own word for it first; NULL: none. */
static const struct image *
image_of(const struct vnode *vnode)
{
	const char *name = vnode->spec.image ? vnode->spec.image : vnode->daemon->config.default_image;
	const struct image *named = name ? image_find(vnode->daemon, name) : NULL;

	if (named && named->state == IMAGE_READY && strcmp(named->sha256, vnode->image_sha256) == 0)
		return named;
	return image_find_digest(vnode->daemon, vnode->image_sha256);
}

/* Whether there are files to pack, and for a delta also what they differ from. */
static int
check_disk(const struct vnode *vnode, const struct image *image, bool delta, struct vn_error *err)
{
	const char *title = vnode_title(vnode);

	if (vnode->disk_type >= 0 && !disk_traits[vnode->disk_type].can_mount)
		return vn_fail_at(err, "/vnode", VN_E_UNSUPPORTED, "a disk of type '%s' cannot be mounted on this "
				  "host, so no image can be made of vnode '%s'",
				  disk_type_words[vnode->disk_type], title);
	if (image && image->format != IMAGE_TAR && image->format != IMAGE_DETECT)
		return vn_fail_at(err, "/vnode", VN_E_UNSUPPORTED, "the disk of vnode '%s' was made from the %s disk "
				  "'%s', which only a virtual machine can look into: no image can be made of it",
				  title, image_format_words[image->format], image->name);
	if (delta && vnode->disk_type >= 0 && !disk_traits[vnode->disk_type].has_changes)
		return vn_fail_at(err, "/delta", VN_E_UNSUPPORTED, "a disk of type '%s' does not keep its "
				  "changes apart: capture vnode '%s' whole",
				  disk_type_words[vnode->disk_type], title);
	return 0;
}

static int
check(const struct vnode *vnode, const struct image_capture_params *p, const char **ret_base,
      struct vn_error *err)
{
	const struct image *image = image_of(vnode), *base = p->delta ? image : NULL;

	*ret_base = base ? base->name : NULL;
	if (image_find(vnode->daemon, p->name))
		return vn_fail_at(err, "/name", VN_E_EXISTS, "image '%s' exists already: remove it first or "
				  "choose another name", p->name);
	if (p->delta && !base)
		return vn_fail_at(err, "/delta", VN_E_NOT_FOUND, "the image that vnode '%s' was made from has "
				  "no name any more: capture the vnode whole", vnode_title(vnode));
	if (check_disk(vnode, image, p->delta, err) < 0)
		return -1;
	if (image_storage_left(vnode->daemon) == 0)
		return vn_fail_at(err, "/name", VN_E_LIMIT, "image_storage is used up: remove images "
				  "(vnodectl image prune) or raise it");
	if (!vnode->lock.holder && vnode_may(vnode, VERB_CAPTURE, err) == VERB_REFUSE) {
		strcpy(err->path, "/vnode");
		return -1;
	}
	return 0;			/* of a held one job_lock says by what */
}

int
handle_image_capture(struct call *call, const void *params, struct vn_error *err)
{
	const struct image_capture_params *p = params;
	struct daemon *daemon = call_daemon(call);
	vn_autofree char *source = NULL;
	const char *base;
	struct vnode *vnode;
	struct image *image;

	if (vnode_find(daemon, p->vnode, &vnode, err) < 0 || check(vnode, p, &base, err) < 0)
		return -1;
	source = vn_format("vnode %s", vnode_title(vnode));
	image = image_new(daemon, p->name, source);
	image->base = vn_strdup(base);
	image_set_state(image, IMAGE_FETCHING, NULL);
	if (job_answer(call, &p->change, &verb_image_capture, json_pack("{ss sI sb}", "image", p->name,
		       "vmid", (json_int_t)vnode->vmid, "delta", p->delta), err) == 0 && image->lock.holder)
		return 0;
	if (!image->lock.holder)
		image_remove_object(image);
	return err->code == VN_OK ? 0 : -1;
}
