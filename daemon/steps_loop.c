/*
 * Steps that touch the model: what a worker step found out is put into the vnode and its row here.
 */
#include "daemon/steps.h"
#include "daemon/vnode_disk.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "daemon/lifecycle.h"
#include "daemon/log.h"

struct vnode *
job_vnode(const struct job *job)
{
	return vnode_by_vmid(job->daemon, json_integer_value(json_object_get(job->params, "vmid")));
}

static void
on_image_job_end(void *arg, struct job *job)
{
	uint64_t *ticket = arg;

	if (job)
		job_resume(job->daemon, *ticket, NULL);
	free(ticket);
}

/* Reserves each host port; on failure those already reserved are given back. */
static int
hold_forwards(struct vnode *vnode, struct task *task, struct vn_error *err)
{
	if (vnode->forwards_held)
		return 0;
	for (size_t i = 0; i < task->n_forwards; i++) {
		if (task->net->ops->forward_reserve(task->net, &task->forwards[i], err) == 0)
			continue;
		snprintf(err->path, sizeof(err->path), "/forwards/%zu/host", i);
		while (i-- > 0)
			task->net->ops->forward_release(task->net, &task->forwards[i]);
		return -1;
	}
	vnode->forwards_held = true;
	return 0;
}

static const char *
image_name(const struct vnode *vnode)
{
	return vnode->spec.image ? vnode->spec.image : vnode->daemon->config.default_image;
}

/* Waits for an image that is being fetched. */
enum verdict
step_image(struct job *job, void *ctx, struct vn_error *err)
{
	struct vnode *vnode = job_vnode(job);
	const char *name = image_name(vnode);
	struct image *image = name ? image_find(job->daemon, name) : NULL;
	struct job *fetch = image ? job_find(job->daemon, image->lock.holder) : NULL;

	(void)ctx;
	if (!name) {
		vn_fail_at(err, "/image", VN_E_INVALID, "names no image, and default_image is not "
			   "set in vnoded.conf");
		return STEP_FAILED;
	}
	if (image && image->state == IMAGE_FETCHING && fetch) {
		uint64_t *ticket = vn_alloc(sizeof(*ticket));

		*ticket = job_ticket(job);
		job_watch(fetch, on_image_job_end, ticket);
		return STEP_WAIT;
	}
	return STEP_DONE;
}

/* Fixes the image's digest for this vnode and holds its host ports. */
enum verdict
step_resolve(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct vnode *vnode = job_vnode(job);
	const char *name = image_name(vnode);
	struct image *image = image_find(job->daemon, name);

	if (!image || image->state != IMAGE_READY) {
		vn_fail_at(err, "/image", VN_E_NOT_FOUND, "image '%s' is %s%s%s; add it with "
			   "image.add", name, image ? image_state_words[image->state] : "not there",
			   image && image->error ? ": " : "",
			   image && image->error ? image->error : "");
		return STEP_FAILED;
	}
	if (image_check_kind(image, vnode->spec.backend ? vnode->spec.backend
			     : job->daemon->config.default_backend, err) < 0)
		return STEP_FAILED;
	if (vnode_disk_check(job->daemon, &vnode->spec, vnode, image, err) < 0)
		return STEP_FAILED;
	image_touch(image);
	snprintf(vnode->image_sha256, sizeof(vnode->image_sha256), "%s", image->sha256);
	vnode->disk_type = vnode_disk_type(job->daemon, &vnode->spec, vnode);
	vnode_record(vnode);
	task->disk_spec.type = vnode->disk_type;
	task->disk_spec.size_bytes = vnode->spec.disk.size_bytes;
	task->disk_spec.image_sha256 = vn_arena_strdup(&task->arena, image->sha256);
	return hold_forwards(vnode, task, err) < 0 ? STEP_FAILED : STEP_DONE;
}

enum verdict
undo_resolve(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct vnode *vnode = job_vnode(job);

	(void)err;
	if (vnode && vnode->forwards_held)
		for (size_t i = 0; i < task->n_forwards; i++)
			task->net->ops->forward_release(task->net, &task->forwards[i]);
	if (vnode)
		vnode->forwards_held = false;
	return STEP_DONE;
}

static void
adopt_image(struct vnode *vnode, json_t *spec, const char *sha256, int disk_type)
{
	vn_autoarena arena = { 0 };
	struct doc_vnode decoded = { 0 };
	struct vn_error err;

	if (schema_decode(doc_vnode_fields, spec, &arena, &decoded, &err) < 0)
		abort();		/* what we have written ourselves */
	snprintf(vnode->image_sha256, sizeof(vnode->image_sha256), "%s", sha256);
	vnode->disk_type = disk_type;
	vnode_set_spec(vnode, &decoded);
}

/* A reload for another image takes its spec over as late as can be: what fails before changes nothing. */
enum verdict
step_respec(struct job *job, void *ctx, struct vn_error *err)
{
	struct vnode *vnode = job_vnode(job);
	json_t *spec = json_object_get(job->params, "spec");

	(void)ctx;
	(void)err;
	if (!json_object_get(job->data, "spec_before")) {
		job_note(job, "spec_before", json_incref(vnode->spec_json));
		job_note(job, "image_before", json_string(vnode->image_sha256));
		job_note(job, "disk_before", json_integer(vnode->disk_type));
	}
	if (spec)
		adopt_image(vnode, spec, vnode->image_sha256, vnode->disk_type);
	return STEP_DONE;
}

enum verdict
undo_respec(struct job *job, void *ctx, struct vn_error *err)
{
	json_t *spec = json_object_get(job->data, "spec_before");
	const char *sha256 = json_string_value(json_object_get(job->data, "image_before"));

	(void)ctx;
	(void)err;
	if (spec && sha256)
		adopt_image(job_vnode(job), spec, sha256,
			    (int)json_integer_value(json_object_get(job->data, "disk_before")));
	return STEP_DONE;
}

/* What pre_config and the network steps made is true for this boot of the machine. */
enum verdict
step_network_done(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct vnode *vnode = job_vnode(job);

	(void)err;
	if (!task->boot)
		return STEP_DONE;
	task->network_stands = task->files_stand = true;
	vnode->runtime.network = true;
	snprintf(vnode->runtime.boot_id, sizeof(vnode->runtime.boot_id), "%s", job->daemon->boot_id);
	snprintf(vnode->runtime.injected, sizeof(vnode->runtime.injected), "%s",
		 task->files.digest);
	vnode_record(vnode);
	return STEP_DONE;
}

/* Whether the machine has at all what the vnode asks for. Overcommitting is the operator's choice. */
enum verdict
step_resources(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct sysinfo info;
	uint64_t total;

	(void)job;
	sysinfo(&info);
	total = (uint64_t)info.totalram * info.mem_unit;
	if (task->guest.memory_bytes > total) {
		vn_fail_at(err, "/memory", VN_E_LIMIT, "the host has %llu MiB of memory in all: ask for less",
			   (unsigned long long)(total >> 20));
		return STEP_FAILED;
	}
	if (task->guest.vcpus > (unsigned)get_nprocs_conf()) {
		vn_fail_at(err, "/vcpus", VN_E_LIMIT, "the host has %d processors: ask for fewer",
			   get_nprocs_conf());
		return STEP_FAILED;
	}
	return STEP_DONE;
}

enum verdict
step_begin_halt(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct vnode *vnode = job_vnode(job);

	(void)err;
	if (!task->halt)
		return STEP_DONE;
	vnode->halting = true;
	return STEP_DONE;
}

enum verdict
step_begin_boot(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct vnode *vnode = job_vnode(job);

	if (task->halt)
		lifecycle_settle_halt(vnode);
	if (!task->boot)
		return STEP_DONE;
	memset(&task->id, 0, sizeof(task->id));
	memset(&vnode->runtime.id, 0, sizeof(vnode->runtime.id));
	if (!task->files_stand)
		guest_files_begin(vnode);
	if (hold_forwards(vnode, task, err) < 0)
		return STEP_FAILED;
	vnode_set_state(vnode, VNODE_BOOTING);
	return STEP_DONE;
}

enum verdict
step_post_config(struct job *job, void *ctx, struct vn_error *err)
{
	static const struct vn_error none;
	struct task *task = ctx;
	struct vnode *vnode = job_vnode(job);

	if (!task->boot)
		return STEP_DONE;
	vnode->runtime.id = task->id;
	snprintf(vnode->runtime.boot_id, sizeof(vnode->runtime.boot_id), "%s", job->daemon->boot_id);
	vnode_set_error(vnode, &none);
	vnode_record(vnode);
	if (lifecycle_watch(vnode, err) < 0)
		return STEP_FAILED;
	vnode_set_state(vnode, VNODE_RUNNING);
	return STEP_DONE;
}

enum verdict
undo_post_config(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct vnode *vnode = job_vnode(job);

	(void)err;
	if (vnode && task->boot) {	/* else it runs on, watched since long ago */
		task->compute->ops->unwatch(task->compute, vnode->uuid);
		vnode->watched = false;
	}
	return STEP_DONE;
}
