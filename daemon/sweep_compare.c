/*
 * What host.recover makes of its inventories, on the loop: which of the things found belong to no row,
 * and which of those that a row wants have been lost. Nothing outside is touched here.
 *
 * The surprising part is a vnode that a job works on: what it has may be half made, so it is left to
 * that job. A vnode whose guest or mount is to go is locked until the sweep has ended.
 */
#include "daemon/sweep_inner.h"

#include <string.h>

#include "backends/digest.h"

/*
 * Whether something of a vnode that should not be there may be removed: only while no job works on the
 * vnode, and none may begin until this one has ended.
 */
static bool
may_remove(struct job *job, struct vnode *vnode)
{
	struct vn_error busy;

	return !vnode || job_lock(job, &vnode->lock, "the vnode", &busy) == 0;
}

static bool
is_expected_port(const struct daemon *daemon, const struct net_found *found)
{
	struct vnode *vnode = vnode_by_vmid(daemon, found->id);

	if (!vnode || strcmp(vnode->uuid, found->uuid) != 0)
		return false;
	if (found->index == 0)
		return vnode->spec.control;
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (member->index == found->index)
			return true;
	return false;
}

static bool
is_expected_net(const struct daemon *daemon, const struct net_found *found)
{
	struct lan *lan;

	switch (found->kind) {
	case NET_BRIDGE:
		lan = lan_by_id(daemon, found->id);
		return found->id == NET_CONTROL || (lan && strcmp(lan->uuid, found->uuid) == 0);
	case NET_TUNNEL:
	case NET_UPLINK:		/* the set-up has settled those of LANs that are there */
		return lan_by_id(daemon, found->id);
	case NET_PORT:
		return is_expected_port(daemon, found);
	case NET_NETNS:
	case NET_USERNS:
		return vnode_by_vmid(daemon, found->id);
	}
	return true;
}

static bool
is_image_at_work(const struct daemon *daemon)
{
	vn_list_each(struct image, image, &daemon->model->images, link)
		if (image->lock.holder)
			return true;
	return false;
}

static bool
is_own_extra(const struct vnode *vnode, const char *name)
{
	const struct doc_extra *extras = vnode->spec.extras.items;

	for (size_t i = 0; i < vnode->spec.extras.count; i++)
		if (!*name || strcmp(extras[i].key, name) == 0)
			return true;
	return vnode->lock.holder;		/* a job may be making or dropping it */
}

static bool
is_expected_disk(const struct daemon *daemon, bool starting, const struct disk_found *found)
{
	struct vnode *vnode = vnode_by_vmid(daemon, found->vmid);

	switch (found->kind) {
	case DISK_IMAGE:
		return image_digest_is_used(daemon, found->name) ||
		       (!starting && is_image_at_work(daemon));
	case DISK_VNODE:
		return vnode;
	case DISK_EXTRA:
		return vnode && is_own_extra(vnode, found->name);
	case DISK_MOUNT:
		return vnode && (vnode->observed == VNODE_MOUNTED || vnode->lock.holder);
	case DISK_IMAGE_PARTIAL:
	case DISK_TRASH:
		return !starting;	/* someone may just be emptying or filling it */
	}
	return true;
}

/* A guest is expected where its vnode runs or a job is at work on it; that job then decides. */
static bool
is_expected_guest(const struct daemon *daemon, const struct guest_found *found)
{
	struct vnode *vnode = vnode_by_uuid(daemon, found->uuid);

	return vnode && (vnode->lock.holder ||
			 (vnode->observed == VNODE_RUNNING && found->state == GUEST_RUNNING));
}

/* All of a vnode's at once. */
static void
trim_extras(struct recover_task *task, const struct vnode *vnode)
{
	if (task->n_trim && task->trim[task->n_trim - 1].vmid == vnode->vmid)
		return;
	task->trim = vn_realloc_array(task->trim, task->n_trim + 1, sizeof(*task->trim));
	task->trim[task->n_trim++] = (struct disk_spec){ .vmid = vnode->vmid,
		.uuid = vn_arena_strdup(&task->arena, vnode->uuid),
		.extras = task_extras(&task->arena, &vnode->spec), .n_extras = vnode->spec.extras.count };
}

static void
choose_gone(struct job *job, struct recover_task *task)
{
	struct daemon *daemon = job->daemon;

	task->net_gone = vn_alloc_array(task->n_net, sizeof(*task->net_gone));
	for (size_t i = 0; i < task->n_net; i++)
		if (!is_expected_net(daemon, &task->net_found[i]))
			task->net_gone[task->n_net_gone++] = task->net_found[i];
	task->disk_gone = vn_alloc_array(task->n_disk, sizeof(*task->disk_gone));
	for (size_t i = 0; i < task->n_disk; i++) {
		if (is_expected_disk(daemon, task->starting, &task->disk_found[i]) ||
		    (task->disk_found[i].kind == DISK_MOUNT &&
		     !may_remove(job, vnode_by_vmid(daemon, task->disk_found[i].vmid))))
			continue;
		if (task->disk_found[i].kind == DISK_TRASH ||
		    task->disk_found[i].kind == DISK_IMAGE_PARTIAL)
			task->trash = true;
		else if (task->disk_found[i].kind == DISK_EXTRA &&
			 vnode_by_vmid(daemon, task->disk_found[i].vmid))
			trim_extras(task, vnode_by_vmid(daemon, task->disk_found[i].vmid));
		else
			task->disk_gone[task->n_disk_gone++] = task->disk_found[i];
	}
	for (size_t c = 0; c < DAEMON_COMPUTES; c++) {
		task->guest_gone[c] = vn_alloc_array(task->n_guests[c], sizeof(**task->guest_gone));
		for (size_t i = 0; i < task->n_guests[c]; i++)
			if (!is_expected_guest(daemon, &task->guests[c][i]) &&
			    may_remove(job, vnode_by_uuid(daemon, task->guests[c][i].uuid)))
				task->guest_gone[c][task->n_guest_gone[c]++] = task->guests[c][i];
	}
}

static bool
has_port(const struct recover_task *task, const struct vnode *vnode, unsigned index, int64_t lan,
	 bool up)
{
	for (size_t i = 0; i < task->n_net; i++) {
		const struct net_found *found = &task->net_found[i];

		if (found->kind == NET_PORT && found->id == vnode->vmid && found->index == index)
			return found->lan == lan && found->up == up;
	}
	return false;
}

static bool
has_namespace(const struct recover_task *task, const struct vnode *vnode, enum net_kind kind)
{
	for (size_t i = 0; i < task->n_net; i++)
		if (task->net_found[i].kind == kind && task->net_found[i].id == vnode->vmid)
			return true;
	return false;
}

/* Whether the fabric shows all ports of a vnode as they are wanted. */
static bool
is_whole(const struct recover_task *task, const struct vnode *vnode)
{
	if (!has_namespace(task, vnode, NET_NETNS) ||
	    (!vnode->spec.privileged && !has_namespace(task, vnode, NET_USERNS)))
		return false;
	if (vnode->spec.control && !has_port(task, vnode, 0, NET_CONTROL, true))
		return false;
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (!has_port(task, vnode, member->index, member->lan->id,
			      member->up && member->lan->up))
			return false;
	return true;
}

static void
choose_mends(struct daemon *daemon, struct recover_task *task)
{
	size_t count = 0;

	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link)
		count++;
	task->mend = vn_alloc_array(count, sizeof(*task->mend));
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link) {
		bool stands = vnode->runtime.network &&
			      strcmp(vnode->runtime.boot_id, daemon->boot_id) == 0;
		struct vn_error err;

		if (!stands || vnode->lock.holder || is_whole(task, vnode))
			continue;
		if (vnode->observed != VNODE_RUNNING || !has_namespace(task, vnode, NET_NETNS)) {
			vnode->runtime.network = false;		/* the next boot makes it anew */
			vnode_record(vnode);
			if (vnode->observed == VNODE_RUNNING)
				event_warn(daemon, "%s: its namespaces are gone from %s, so it runs "
					   "without a network: reboot it", vnode_title(vnode),
					   daemon->env.run_dir);
		} else if (task_init(&task->mend[task->n_mend], vnode, &err) == 0) {
			task->n_mend++;
		}
	}
}

static void
choose_forwards(struct daemon *daemon, struct recover_task *task)
{
	size_t total = 0;

	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link)
		total += vnode->spec.forwards.count;
	task->forwards = vn_alloc_array(total, sizeof(*task->forwards));
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link) {
		size_t count;
		struct forward_spec *forwards = task_forwards(&task->arena, vnode, &vnode->spec,
							      &count);

		if (vnode->observed != VNODE_RUNNING && vnode->observed != VNODE_BOOTING)
			continue;
		memcpy(task->forwards + task->n_forwards, forwards, count * sizeof(*forwards));
		task->n_forwards += count;
	}
}

/* All that have a port there, whatever became of their guests: it is guarded for as long as it exists. */
static void
choose_control(struct daemon *daemon, struct recover_task *task)
{
	task->control = vn_alloc_array(task->n_net, sizeof(*task->control));
	for (size_t i = 0; i < task->n_net; i++) {
		const struct net_found *found = &task->net_found[i];
		struct vnode *vnode = vnode_by_vmid(daemon, found->id);
		struct control_spec *spec = &task->control[task->n_control];

		if (found->kind != NET_PORT || found->index != 0 || !is_expected_net(daemon, found))
			continue;
		*spec = (struct control_spec){ .vmid = vnode->vmid, .mac = digest_mac(vnode->uuid, 0) };
		vnode_control_addresses(vnode, &spec->own4, &spec->own6);
		task->n_control++;
	}
}

void
sweep_compare(struct job *job, struct recover_task *task)
{
	choose_gone(job, task);
	task->n_bridges = mend_lost_bridges(job->daemon, task->net_found, task->n_net, &task->arena,
					    &task->bridges);
	choose_mends(job->daemon, task);
	choose_forwards(job->daemon, task);
	choose_control(job->daemon, task);
}
