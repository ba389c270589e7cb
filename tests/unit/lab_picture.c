/* What a lab looks like: pictures to compare, and what must hold whenever no job is at work. */
#include "daemon/schedule.h"
#include "tests/unit/lab.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

struct vnode *
lab_vnode(struct lab *lab, const char *reference)
{
	struct vnode *vnode = NULL;
	struct vn_error err = { 0 };

	vnode_find(lab->daemon, reference, &vnode, &err);
	return vnode;
}

const char *
lab_observed(struct lab *lab, const char *reference)
{
	struct vnode *vnode = lab_vnode(lab, reference);

	return vnode ? vnode_state_words[vnode->observed] : "none";
}

static json_t *
picture_vnodes(const struct model *model)
{
	json_t *all = json_object();

	vn_list_each(struct vnode, vnode, &model->vnodes, link) {
		json_t *members = json_object();

		vn_list_each(struct member, member, &vnode->members, in_vnode)
			json_object_set_new(members, member->lan->name, json_pack("{si ss sb}",
				"index", (int)member->index, "ifname", member->ifname, "up",
				member->up));
		json_object_set_new(all, vnode_title(vnode), json_pack("{sI ss ss ss sb si si so}",
			"vmid", (json_int_t)vnode->vmid,
			"observed", vnode_state_words[vnode->observed],
			"wanted", vnode_state_words[vnode->wanted], "image", vnode->image_sha256,
			"forwards_held", vnode->forwards_held, "mounts", (int)vnode->runtime.mounts,
			"error", (int)vnode->error.code, "members", members));
	}
	return all;
}

static json_t *
picture_topologies(const struct model *model)
{
	json_t *all = json_object();

	vn_list_each(struct topology, topology, &model->topologies, link)
		json_object_set_new(all, topology->name, topology_export(topology));
	return all;
}

static json_t *
picture_schedule(const struct lan *lan)
{
	json_t *states = json_array();

	for (size_t i = 0; lan->schedule && i < lan->schedule->count; i++)
		json_array_append_new(states, json_string(
			entry_state_words[lan->schedule->entries[i].state]));
	return states;
}

static json_t *
picture_lans(const struct model *model)
{
	json_t *all = json_object();

	vn_list_each(struct lan, lan, &model->lans, link)
		json_object_set_new(all, lan->name, json_pack("{sI ss si sb so}", "id",
			(json_int_t)lan->id, "topology", lan->topology->name, "mtu",
			(int)lan->mtu, "up", lan->up, "schedule", picture_schedule(lan)));
	return all;
}

static json_t *
picture_images(const struct model *model)
{
	json_t *all = json_object();

	vn_list_each(struct image, image, &model->images, link)
		json_object_set_new(all, image->name, json_pack("{ss ss sI si ss?}", "state",
			image_state_words[image->state], "sha256", image->sha256, "bytes",
			(json_int_t)image->bytes, "format", image->format, "base", image->base));
	return all;
}

/* Every lab has a folder of its own: its name is the same number of x in all pictures. */
static json_t *
without_folder(VN_TAKES json_t *picture, const char *folder)
{
	vn_autofree char *text = json_dumps(picture, JSON_COMPACT);
	char *at = text;

	json_decref(picture);
	while ((at = strstr(at, folder)))
		memset(at, 'x', strlen(folder));
	return json_loads(text, 0, NULL);
}

json_t *
lab_picture(struct lab *lab)
{
	const struct model *model = lab->daemon->model;

	return without_folder(json_pack("{so so so so so}", "world", world_describe(lab->world),
		"vnodes", picture_vnodes(model), "lans", picture_lans(model), "images",
		picture_images(model), "topologies", picture_topologies(model)), lab->folder);
}

static void
print_difference(const char *at, json_t *a, json_t *b)
{
	vn_autofree char *x = json_dumps(a, JSON_ENCODE_ANY | JSON_SORT_KEYS);
	vn_autofree char *y = json_dumps(b, JSON_ENCODE_ANY | JSON_SORT_KEYS);
	const char *key;
	json_t *value;

	if (a && b && json_equal(a, b))
		return;
	if (!json_is_object(a) || !json_is_object(b)) {
		fprintf(stderr, "  %s: expected %s, got %s\n", at, x ? x : "-", y ? y : "-");
		return;
	}
	json_object_foreach(a, key, value) {
		vn_autofree char *below = vn_format("%s/%s", at, key);

		print_difference(below, value, json_object_get(b, key));
	}
	json_object_foreach(b, key, value)
		if (!json_object_get(a, key)) {
			vn_autofree char *below = vn_format("%s/%s", at, key);

			print_difference(below, NULL, value);
		}
}

void
lab_same(json_t *expected, json_t *got, const char *what)
{
	if (json_equal(expected, got))
		return;
	fprintf(stderr, "%s:\n", what);
	print_difference("", expected, got);
	ck_abort_msg("%s: differs", what);
}

/* What is left of a picture when ids do not count: of the world only how many things there are. */
static json_t *
without_ids(json_t *picture)
{
	json_t *copy = json_deep_copy(picture), *world = json_object_get(copy, "world"), *item;
	const char *key;

	json_object_foreach(world, key, item)
		json_object_set_new(world, key, json_integer((json_int_t)json_object_size(item)));
	json_object_foreach(json_object_get(copy, "vnodes"), key, item)
		json_object_del(item, "vmid");
	json_object_foreach(json_object_get(copy, "lans"), key, item)
		json_object_del(item, "id");
	return copy;
}

void
lab_same_but_ids(json_t *expected, json_t *got, const char *what)
{
	json_t *a = without_ids(expected), *b = without_ids(got);

	lab_same(a, b, what);
	json_decref(a);
	json_decref(b);
}

static bool
is_passing(enum vnode_state state)
{
	return state == VNODE_ABSENT || state == VNODE_CREATING || state == VNODE_BOOTING ||
	       state == VNODE_STOPPING || state == VNODE_DESTROYING;
}

static void
check_vnode(struct lab *lab, const struct vnode *vnode, const char *what)
{
	bool runs = world_guest_runs(lab->world, vnode->uuid);

	ck_assert_msg(!vnode->lock.holder, "%s: %s is held", what, vnode_title(vnode));
	ck_assert_msg(!is_passing(vnode->observed), "%s: %s is left %s", what, vnode_title(vnode),
		      vnode_state_words[vnode->observed]);
	ck_assert_msg(runs || vnode->observed != VNODE_RUNNING, "%s: %s is called running and is not",
		      what, vnode_title(vnode));
	ck_assert_msg(!runs || vnode->observed == VNODE_RUNNING || vnode->observed == VNODE_FAILED,
		      "%s: %s runs and is called %s", what, vnode_title(vnode),
		      vnode_state_words[vnode->observed]);
	ck_assert_msg(vnode->observed != VNODE_RUNNING || vnode->watched, "%s: %s is not watched",
		      what, vnode_title(vnode));
	ck_assert_msg(!vnode->halting, "%s: %s is left halting", what, vnode_title(vnode));
	ck_assert_msg(vnode->observed != VNODE_FAILED || vnode->error.code, "%s: %s failed without a "
		      "reason", what, vnode_title(vnode));
}

/* An archive that a job made or copied goes with it. */
static void
check_incoming(const struct lab *lab, const char *what)
{
	vn_autofree char *path = vn_format("%s/incoming", lab->daemon->config.state_dir);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		ck_assert_msg(strncmp(entry->d_name, "job-", 4) != 0, "%s: %s is left", what, entry->d_name);
	if (dir)
		closedir(dir);
}

void
lab_check_quiet(struct lab *lab, const char *what)
{
	const struct model *model = lab->daemon->model;
	vn_autofree char *wrong_order = NULL;

	ck_assert_msg(!jobs_active(lab->daemon->jobs), "%s: a job is left", what);
	vn_list_each(struct vnode, vnode, &model->vnodes, link)
		check_vnode(lab, vnode, what);
	vn_list_each(struct lan, lan, &model->lans, link)
		ck_assert_msg(!lan->lock.holder, "%s: LAN %s is held", what, lan->name);
	vn_list_each(struct topology, topology, &model->topologies, link)
		ck_assert_msg(!topology->lock.holder, "%s: topology %s is held", what, topology->name);
	vn_list_each(struct image, image, &model->images, link)
		ck_assert_msg(!image->lock.holder && image->state != IMAGE_FETCHING &&
			      image->state != IMAGE_ABSENT, "%s: image %s is held or %s", what,
			      image->name, image_state_words[image->state]);
	check_incoming(lab, what);
	wrong_order = world_wrong_order(lab->world);
	ck_assert_msg(!wrong_order, "%s: a call in a wrong order: %s", what, wrong_order);
}

static void
clean_topologies(struct lab *lab)
{
	json_t *list = lab_result(lab, "topology.list", NULL), *topology;
	size_t i;

	json_array_foreach(json_object_get(list, "topologies"), i, topology)
		lab_do(lab, "topology.delete", "{sO sb}", "topology",
		       json_object_get(topology, "name"), "wait", 1);
	json_decref(list);
}

static void
clean_images(struct lab *lab)
{
	json_t *list = lab_result(lab, "image.list", NULL), *image;
	size_t i;

	/* The newest first: a base goes after what is a layer on it. */
	for (i = json_array_size(json_object_get(list, "images")); i-- > 0;) {
		image = json_array_get(json_object_get(list, "images"), i);
		lab_do(lab, "image.remove", "{sO sb}", "image", json_object_get(image, "name"), "wait",
		       1);
	}
	json_decref(list);
}

void
lab_clean(struct lab *lab, const char *what)
{
	char text[4096];

	clean_topologies(lab);
	clean_images(lab);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, what);
	ck_assert_msg(vn_list_is_empty(&lab->daemon->model->vnodes) &&
		      vn_list_is_empty(&lab->daemon->model->lans) &&
		      vn_list_is_empty(&lab->daemon->model->topologies), "%s: rows are left", what);
	ck_assert_msg(world_is_empty(lab->world, text, sizeof(text)), "%s: left: %s", what, text);
}
