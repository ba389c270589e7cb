/* Loading the model, and what spans its nouns. */
#include "daemon/model_inner.h"

#include "daemon/download.h"

static void
on_topology_row(void *arg, struct store_row *row)
{
	struct topology *topology = topology_make(arg, store_int(row, 0), store_text(row, 1));
	json_t *object = json_loads(store_text(row, 2), 0, NULL);
	vn_autoarena arena = { 0 };
	struct document document = { 0 };
	struct vn_error err;

	if (document_decode(object, &arena, &document, &err) == 0)
		topology_adopt_fields(topology, &document);
	json_decref(object);
}

int
model_open(struct daemon *daemon, struct model **ret, struct vn_error *err)
{
	struct model *model = vn_alloc(sizeof(*model));

	model->daemon = daemon;
	vn_list_init(&model->topologies);
	vn_list_init(&model->vnodes);
	vn_list_init(&model->lans);
	vn_list_init(&model->images);
	vn_list_init(&model->downloads);
	*ret = model;			/* the loaders reach it through the daemon */
	if (store_read(daemon->store, on_topology_row, daemon, err,
		       "SELECT id, name, document FROM topologies ORDER BY id", "") < 0 ||
	    vnodes_load(daemon, err) < 0 || lans_load(daemon, err) < 0 ||
	    images_load(daemon, err) < 0) {
		model_close(vn_take_ptr(ret));
		return -1;
	}
	return 0;
}

void
model_close(struct model *model)
{
	if (!model)
		return;
	vn_list_each_safe(struct vnode, vnode, &model->vnodes, link)
		vnode_free(vnode);
	vn_list_each_safe(struct lan, lan, &model->lans, link)
		lan_free(lan);
	vn_list_each_safe(struct topology, topology, &model->topologies, link)
		topology_free(topology);
	vn_list_each_safe(struct image, image, &model->images, link)
		image_free(image);
	downloads_close(model);
	table_fini(&model->vnodes_by_vmid);
	table_fini(&model->vnodes_by_uuid);
	table_fini(&model->lans_by_id);
	table_fini(&model->topologies_by_name);
	table_fini(&model->images_by_name);
	free(model);
}

json_t *
model_snapshot(struct daemon *daemon)
{
	json_t *vnodes = json_array();

	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link)
		json_array_append_new(vnodes, vnode_row(vnode, NULL));
	return json_pack("{so}", "vnodes", vnodes);
}
