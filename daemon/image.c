/* Images: verified archives by name. Several names may share one digest, which is stored once. */
#include "daemon/model_inner.h"

#include <stdio.h>
#include <string.h>

#include "proto/params.h"

const char *const image_state_words[] = { "absent", "fetching", "ready", "failed", NULL };

struct image *
image_find(const struct daemon *daemon, const char *name)
{
	return table_get_text(&daemon->model->images_by_name, name);
}

struct image *
image_make(struct daemon *daemon, const char *name)
{
	struct image *image = vn_alloc(sizeof(*image));

	image->daemon = daemon;
	image->name = vn_strdup(name);
	vn_list_init(&image->link);
	vn_list_append(&daemon->model->images, &image->link);
	table_set_text(&daemon->model->images_by_name, image->name, image);
	return image;
}

struct image *
image_new(struct daemon *daemon, const char *name, const char *source)
{
	struct image *image = image_make(daemon, name);

	image->source = vn_strdup(source);
	image->added_us = image->used_us = event_time_now();
	return image;
}

void
image_free(struct image *image)
{
	job_forget_lock(image->daemon, &image->lock);
	table_remove_text(&image->daemon->model->images_by_name, image->name);
	vn_list_remove(&image->link);
	free(image->name);
	free(image->source);
	free(image->base);
	free(image->error);
	free(image);
}

void
image_remove_object(struct image *image)
{
	store_put(image->daemon->store, "DELETE FROM images WHERE name = ?", "s", image->name);
	image_free(image);
}

static void
put_row(const struct image *image)
{
	store_put(image->daemon->store, "INSERT OR REPLACE INTO images(name, sha256, source, state, "
		  "bytes, added, error, format, base, archive_bytes, virtual_bytes, used) "
		  "VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", "sssiiisisiii", image->name, image->sha256,
		  image->source, (int64_t)image->state, (int64_t)image->bytes, image->added_us,
		  image->error, (int64_t)image->format, image->base, (int64_t)image->archive_bytes,
		  (int64_t)image->virtual_bytes, image->used_us);
}

void
image_set_state(struct image *image, enum image_state state, const char *error)
{
	struct event_about about = { 0 };

	free(image->error);
	image->error = vn_strdup(error);
	image->state = state;
	put_row(image);
	event_append(image->daemon, EVENT_IMAGE_STATE, &about,
		     json_pack("{ss ss ss?}", "image", image->name, "state",
			       image_state_words[state], "error", image->error));
}

void
image_touch(struct image *image)
{
	image->used_us = event_time_now();
	put_row(image);
}

struct image *
image_find_digest(const struct daemon *daemon, const char *sha256)
{
	vn_list_each(struct image, image, &daemon->model->images, link)
		if (image->state == IMAGE_READY && strcmp(image->sha256, sha256) == 0)
			return image;
	return NULL;
}

struct image *
image_dependant(const struct image *image)
{
	vn_list_each(struct image, other, &image->daemon->model->images, link)
		if (other->base && strcmp(other->base, image->name) == 0)
			return other;
	return NULL;
}

int
image_check_kind(const struct image *image, const char *backend, struct vn_error *err)
{
	if (image->format <= IMAGE_TAR)
		return 0;
	return vn_fail_at(err, "/image", VN_E_UNSUPPORTED, "image '%s' is the disk of a virtual machine "
			  "(%s), and the guests of backend '%s' are containers: they need a tar archive "
			  "of a root file system", image->name, image_format_words[image->format],
			  backend);
}

/* ---- what images take ---- */

/* Whether another name before this one in the list stands for the same files. */
static bool
is_counted(const struct image *image)
{
	vn_list_each(struct image, other, &image->daemon->model->images, link) {
		if (other == image)
			return false;
		if (strcmp(other->sha256, image->sha256) == 0)
			return true;
	}
	return false;
}

void
image_recount(struct daemon *daemon)
{
	uint64_t used = daemon->model->extras_used;

	vn_list_each(struct image, image, &daemon->model->images, link) {
		if (image->coming[0])
			return;
		if (image->sha256[0] && !is_counted(image))
			used += image->bytes;
	}
	__atomic_store_n(&daemon->model->images_used, used, __ATOMIC_RELAXED);
}

uint64_t
image_storage_left(const struct daemon *daemon)
{
	uint64_t limit = daemon->config.image_storage_bytes;
	uint64_t used = __atomic_load_n(&daemon->model->images_used, __ATOMIC_RELAXED);

	if (!limit)
		return UINT64_MAX;
	return limit > used ? limit - used : 0;
}

/* ---- who uses it ---- */

static bool
is_user(const struct vnode *vnode, const struct image *image)
{
	const char *name = vnode->spec.image ? vnode->spec.image
					     : image->daemon->config.default_image;

	return name && strcmp(name, image->name) == 0;
}

unsigned
image_users(const struct image *image)
{
	unsigned users = 0;

	vn_list_each(struct vnode, vnode, &image->daemon->model->vnodes, link)
		users += is_user(vnode, image);
	return users;
}

bool
image_digest_is_used(const struct daemon *daemon, const char *sha256)
{
	vn_list_each(struct image, image, &daemon->model->images, link)
		if (strcmp(image->sha256, sha256) == 0)
			return true;
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link)
		if (strcmp(vnode->image_sha256, sha256) == 0)
			return true;
	return false;
}

static json_t *
list_users(const struct image *image)
{
	json_t *users = json_array();

	vn_list_each(struct vnode, vnode, &image->daemon->model->vnodes, link)
		if (is_user(vnode, image))
			json_array_append_new(users, json_string(vnode_title(vnode)));
	vn_list_each(struct image, other, &image->daemon->model->images, link)
		if (other->base && strcmp(other->base, image->name) == 0)
			json_array_append_new(users, json_sprintf("image %s", other->name));
	return users;
}

static json_t *
list_layers(const struct image *image)
{
	json_t *layers = json_array();

	for (size_t i = 0; image && i < IMAGE_LAYERS_MAX; i++) {
		json_array_append_new(layers, json_string(image->name));
		image = image->base ? image_find(image->daemon, image->base) : NULL;
	}
	return layers;
}

json_t *
image_object(const struct image *image, bool full)
{
	char added[EVENT_TIME_TEXT], used[EVENT_TIME_TEXT];
	json_t *object;

	event_time_print(image->added_us, added);
	event_time_print(image->used_us, used);
	object = json_pack("{ss ss ss? ss ss? ss? sI sI sI sI ss ss ss? so}", "name", image->name,
		"state", image_state_words[image->state], "sha256",
		image->sha256[0] ? image->sha256 : NULL, "source", image->source, "format",
		image->format ? image_format_words[image->format] : NULL, "base", image->base,
		"bytes", (json_int_t)image->bytes, "archive_bytes", (json_int_t)image->archive_bytes,
		"virtual_bytes", (json_int_t)image->virtual_bytes, "vnodes",
		(json_int_t)image_users(image), "added", added, "used", used, "error", image->error,
		"job", image->lock.holder ? json_integer(image->lock.holder) : json_null());
	if (full) {
		json_object_set_new(object, "layers", list_layers(image));
		json_object_set_new(object, "users", list_users(image));
	}
	return object;
}

static void
on_row(void *arg, struct store_row *row)
{
	struct image *image = image_make(arg, store_text(row, 0));

	snprintf(image->sha256, sizeof(image->sha256), "%s", store_text(row, 1));
	image->source = vn_strdup(store_text(row, 2));
	image->state = (enum image_state)store_int(row, 3);
	image->bytes = (uint64_t)store_int(row, 4);
	image->added_us = store_int(row, 5);
	image->error = vn_strdup(store_text(row, 6));
	image->format = (int)store_int(row, 7);
	image->base = vn_strdup(store_text(row, 8));
	image->archive_bytes = (uint64_t)store_int(row, 9);
	image->virtual_bytes = (uint64_t)store_int(row, 10);
	image->used_us = store_int(row, 11) ? store_int(row, 11) : image->added_us;
}

int
images_load(struct daemon *daemon, struct vn_error *err)
{
	if (store_read(daemon->store, on_row, daemon, err, "SELECT name, sha256, source, state, "
		       "bytes, added, error, format, base, archive_bytes, virtual_bytes, used "
		       "FROM images ORDER BY added", "") < 0)
		return -1;
	image_recount(daemon);
	return 0;
}
