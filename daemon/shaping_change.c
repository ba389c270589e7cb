/*
 * Changes of shapes, as lan.set and schedules say them, put upon shapes as shaping_export has them: JSON in,
 * JSON out, so that a change can be tried on what a LAN is to be as well as on what it is.
 */
#include "daemon/shaping.h"

#include <stdio.h>

struct changing {
	struct daemon *daemon;
	const char *lan;		/* its name, for sentences */
	json_t *shaping;
	const char *below;		/* key of a member's shapes in its change; NULL: they are the change */
};

/* Merges a change into what was; on failure the path begins with `path`. */
static int
merge(struct changing *c, json_t *now, json_t *change, const char *path, json_t *object, const char *key,
      struct vn_error *err)
{
	struct doc_shape shape = shaping_decode(now);
	json_t *merged;

	if (json_is_null(change)) {
		json_object_del(object, key);
		return 0;
	}
	if (shaping_merge(c->daemon, &shape, change, &merged, err) < 0) {
		vn_error_prefix_path(err, path);
		return -1;
	}
	return json_object_set_new(object, key, merged);
}

static int
change_member(struct changing *c, const char *name, json_t *change, struct vn_error *err)
{
	json_t *own = json_object_get(json_object_get(c->shaping, "members"), name);
	json_t *to = json_object_get(change, "to"), *from = json_object_get(change, "from");
	json_t *now = json_object_get(own, "to");
	char path[VN_NAME_MAX + 40];
	int length = snprintf(path, sizeof(path), "/members/%s", name);

	if (!own)
		return vn_fail_at(err, path, VN_E_NOT_FOUND, "vnode '%s' is no member of LAN '%s'", name,
				  c->lan);
	if (c->below)
		length += snprintf(path + length, sizeof(path) - (size_t)length, "/%s", c->below);
	snprintf(path + length, sizeof(path) - (size_t)length, "/to");
	if (to && merge(c, now ? now : json_object_get(c->shaping, "shape"), to, path, own, "to", err) < 0)
		return -1;
	snprintf(path + length, sizeof(path) - (size_t)length, "/from");
	if (from && !json_is_null(from) && json_is_true(json_object_get(c->shaping, "link")))
		return vn_fail_at(err, path, VN_E_INVALID,
				  "a link has two members: use the other member's \"to\"");
	return from ? merge(c, json_object_get(own, "from"), from, path, own, "from", err) : 0;
}

int
shaping_change(struct daemon *daemon, const char *lan, json_t *shaping, json_t *change, const char *below,
	       struct vn_error *err)
{
	struct changing c = { daemon, lan, shaping, below };
	json_t *shape = json_object_get(change, "shape"), *member;
	const char *name;

	if (shape && merge(&c, json_object_get(shaping, "shape"), shape, "/shape", shaping, "shape", err) < 0)
		return -1;
	json_object_foreach(json_object_get(change, "members"), name, member)
		if (change_member(&c, name, below ? json_object_get(member, below) : member, err) < 0)
			return -1;
	return 0;
}
