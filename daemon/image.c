/* Images: verified archives by name. Several names may share one digest, which is stored once. */
#include "daemon/model_inner.h"

#include <stdio.h>
#include <string.h>

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
	image->added_us = event_time_now();
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
	free(image->error);
	free(image);
}

void
image_remove_object(struct image *image)
{
	store_put(image->daemon->store, "DELETE FROM images WHERE name = ?", "s", image->name);
	image_free(image);
}

void
image_set_state(struct image *image, enum image_state state, const char *error)
{
	struct event_about about = { 0 };

	free(image->error);
	image->error = vn_strdup(error);
	image->state = state;
	store_put(image->daemon->store, "INSERT OR REPLACE INTO images(name, sha256, source, state, "
		  "bytes, added, error) VALUES(?,?,?,?,?,?,?)", "sssiiis", image->name,
		  image->sha256, image->source, (int64_t)state, (int64_t)image->bytes,
		  image->added_us, image->error);
	event_append(image->daemon, EVENT_IMAGE_STATE, &about,
		     json_pack("{ss ss ss?}", "image", image->name, "state",
			       image_state_words[state], "error", image->error));
}

unsigned
image_users(const struct image *image)
{
	const char *preset = image->daemon->config.default_image;
	unsigned users = 0;

	vn_list_each(struct vnode, vnode, &image->daemon->model->vnodes, link) {
		const char *name = vnode->spec.image ? vnode->spec.image : preset;

		users += name && strcmp(name, image->name) == 0;
	}
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

json_t *
image_object(const struct image *image)
{
	char added[EVENT_TIME_TEXT];

	event_time_print(image->added_us, added);
	return json_pack("{ss ss ss? ss sI sI ss ss? so}", "name", image->name, "state",
			 image_state_words[image->state], "sha256",
			 image->sha256[0] ? image->sha256 : NULL, "source", image->source,
			 "bytes", (json_int_t)image->bytes, "vnodes",
			 (json_int_t)image_users(image), "added", added, "error", image->error, "job",
			 image->lock.holder ? json_integer(image->lock.holder) : json_null());
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
}

int
images_load(struct daemon *daemon, struct vn_error *err)
{
	return store_read(daemon->store, on_row, daemon, err, "SELECT name, sha256, source, state, "
			  "bytes, added, error FROM images ORDER BY added", "");
}
