/*
 * host.recover: one inventory of each backend is compared with the rows. What no row owns is removed,
 * what a row wants and the kernel has lost is mended. Running it twice changes nothing.
 */
#include "daemon/recovery.h"

#include <inttypes.h>
#include <string.h>

#include "backends/digest.h"
#include "daemon/log.h"
#include "daemon/mend.h"
#include "daemon/task.h"

struct recover_task {
	struct net *net;
	struct disk *disk;
	struct compute *computes[DAEMON_COMPUTES];
	const char *run_dir;
	struct vn_arena arena;

	/* found by workers */
	struct net_found *net_found;
	struct disk_found *disk_found;
	struct guest_found *guests[DAEMON_COMPUTES];
	size_t n_net, n_disk, n_guests[DAEMON_COMPUTES];
	bool listed[DAEMON_COMPUTES];
	struct vn_error list_err;

	/* decided on the loop */
	struct net_found *net_gone;
	struct disk_found *disk_gone;
	struct guest_found *guest_gone[DAEMON_COMPUTES];
	size_t n_net_gone, n_disk_gone, n_guest_gone[DAEMON_COMPUTES];
	struct disk_spec *trim;		/* vnodes with extra disks that their specs do not name */
	size_t n_trim;
	struct task *mend;		/* vnodes whose ports are to be checked and mended */
	size_t n_mend;
	struct lan_spec *bridges;	/* of LANs that have lost theirs */
	size_t n_bridges;
	struct forward_spec *forwards;
	size_t n_forwards;
	struct control_spec *control;	/* who may send into the control network, with what */
	size_t n_control;
	bool starting;			/* no other job is at work yet */
	bool trash;
	unsigned removed, mended;
};

static void
free_recover(void *ctx)
{
	struct recover_task *task = ctx;

	for (size_t i = 0; i < task->n_mend; i++)
		task_fini(&task->mend[i]);
	for (size_t i = 0; i < DAEMON_COMPUTES; i++) {
		free(task->guests[i]);
		free(task->guest_gone[i]);
	}
	free(task->mend);
	free(task->net_found);
	free(task->disk_found);
	free(task->net_gone);
	free(task->disk_gone);
	free(task->trim);
	free(task->forwards);
	free(task->control);
	vn_arena_fini(&task->arena);
	free(task);
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct recover_task *task = vn_alloc(sizeof(*task));

	(void)err;
	task->net = job->daemon->net;
	task->disk = job->daemon->disk;
	task->run_dir = job->daemon->env.run_dir;
	task->starting = !job->daemon->ready;
	memcpy(task->computes, job->daemon->computes, sizeof(task->computes));
	return task;
}

static enum verdict
step_inventory(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;

	(void)job;
	if (task->net->ops->inventory(task->net, &task->net_found, &task->n_net, err) < 0 ||
	    task->disk->ops->inventory(task->disk, &task->disk_found, &task->n_disk, err) < 0)
		return STEP_FAILED;
	return STEP_DONE;
}

/* A hypervisor that is away is asked again when it is back. */
static enum verdict
step_list(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;

	(void)job;
	(void)err;
	for (size_t i = 0; i < DAEMON_COMPUTES && task->computes[i]; i++)
		task->listed[i] = task->computes[i]->ops->list(task->computes[i], &task->guests[i],
			&task->n_guests[i], &task->list_err) == 0;
	return STEP_DONE;
}

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

static enum verdict
step_compare(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;

	(void)err;
	choose_gone(job, task);
	task->n_bridges = mend_lost_bridges(job->daemon, task->net_found, task->n_net, &task->arena,
					    &task->bridges);
	choose_mends(job->daemon, task);
	choose_forwards(job->daemon, task);
	choose_control(job->daemon, task);
	for (size_t i = 0; i < DAEMON_COMPUTES && task->computes[i]; i++)
		if (!task->listed[i])
			event_warn(job->daemon, "the guests of '%s' cannot be listed: %s",
				   task->computes[i]->ops->name, task->list_err.text);
	return STEP_DONE;
}

static void
remove_net(struct recover_task *task, const struct net_found *gone, struct vn_error *err)
{
	vn_autofree char *netns = vn_format("%s/netns/vnoded-%" PRId64, task->run_dir, gone->id);
	vn_autofree char *userns = vn_format("%s/userns/vnoded-%" PRId64, task->run_dir, gone->id);
	struct ns_ref ns = { .vmid = gone->id, .uuid = gone->uuid, .netns = netns,
			     .userns = userns };
	int status = 0;

	switch (gone->kind) {
	case NET_BRIDGE:
	case NET_TUNNEL:
	case NET_UPLINK:
		status = task->net->ops->lan_down(task->net, gone->id, err);
		break;
	case NET_PORT:
		status = task->net->ops->ports_down(task->net, &ns, &gone->index, 1, err);
		break;
	case NET_NETNS:
	case NET_USERNS:
		status = task->net->ops->namespaces_down(task->net, &ns, err);
		break;
	}
	if (status < 0)
		vn_log_warning("host", "what no one owns cannot be removed: %s", err->text);
	else
		task->removed++;
}

/* An image can go when the layers on it have gone: as long as one goes, another look is worth it. */
static void
remove_images(struct recover_task *task, struct vn_error *err)
{
	size_t left = 0, before;

	for (size_t i = 0; i < task->n_disk_gone; i++)
		left += task->disk_gone[i].kind == DISK_IMAGE;
	do {
		before = left;
		for (size_t i = 0; i < task->n_disk_gone; i++) {
			struct disk_found *gone = &task->disk_gone[i];

			if (gone->kind != DISK_IMAGE
			    || task->disk->ops->image_remove(task->disk, gone->name, err) < 0)
				continue;
			gone->kind = DISK_TRASH;
			task->removed++;
			left--;
		}
	} while (left > 0 && left < before);
	if (left > 0)
		vn_log_warning("host", "%zu images that no one owns cannot be removed: %s", left,
			       err->text);
}

static void
remove_disk(struct recover_task *task, const struct disk_found *gone, struct vn_error *err)
{
	struct disk_spec spec = { .vmid = gone->vmid };
	int status = 0;

	if (gone->kind == DISK_MOUNT)
		status = task->disk->ops->unmount(task->disk, &spec, err);
	else
		status = task->disk->ops->destroy(task->disk, &spec, err);
	if (status < 0)
		vn_log_warning("host", "what no one owns cannot be removed: %s", err->text);
	else
		task->removed++;
}

/* Guests first: they hold the mounts and the namespaces. */
static enum verdict
step_sweep(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;
	struct vn_error why = { 0 };

	(void)job;
	(void)err;
	for (size_t c = 0; c < DAEMON_COMPUTES && task->computes[c]; c++)
		for (size_t i = 0; i < task->n_guest_gone[c]; i++)
			if (task->computes[c]->ops->stop(task->computes[c],
					task->guest_gone[c][i].domain, task->guest_gone[c][i].uuid,
					NULL, 0, &why) < 0)
				vn_log_warning("host", "a guest that no one owns cannot be ended: %s",
					       why.text);
			else
				task->removed++;
	for (size_t i = 0; i < task->n_disk_gone; i++)
		if (task->disk_gone[i].kind == DISK_MOUNT)
			remove_disk(task, &task->disk_gone[i], &why);
	for (size_t i = 0; i < task->n_net_gone; i++)
		remove_net(task, &task->net_gone[i], &why);
	for (size_t i = 0; i < task->n_disk_gone; i++)
		if (task->disk_gone[i].kind == DISK_VNODE || task->disk_gone[i].kind == DISK_EXTRA)
			remove_disk(task, &task->disk_gone[i], &why);
	for (size_t i = 0; i < task->n_trim; i++)
		if (task->disk->ops->extras_keep(task->disk, &task->trim[i], &why) < 0)
			vn_log_warning("host", "an extra disk that no one owns cannot be removed: %s", why.text);
		else
			task->removed++;
	remove_images(task, &why);
	if (task->trash && task->disk->ops->empty_trash(task->disk, &why) < 0)
		vn_log_warning("host", "%s", why.text);
	return STEP_DONE;
}

static void
mend(struct recover_task *recover, struct task *task)
{
	struct vn_error err = { 0 };

	if (mend_network(task, &err) < 0)
		vn_log_warning("host", "%s: its network cannot be mended: %s", task->guest.title,
			       err.text);
	else
		recover->mended++;
}

static enum verdict
step_mend(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;
	struct vn_error why = { 0 };

	(void)job;
	/* Later than at a start, rules made since the comparison would be lost. */
	if (task->starting && task->net->ops->control_sync(task->net, task->control, task->n_control,
							   err) < 0)
		return STEP_FAILED;
	for (size_t i = 0; i < task->n_bridges; i++)
		if (task->net->ops->lan_up(task->net, &task->bridges[i], &why) < 0)
			vn_log_warning("host", "a LAN cannot be mended: %s", why.text);
	for (size_t i = 0; i < task->n_mend; i++)
		mend(task, &task->mend[i]);
	if (!task->starting)
		return STEP_DONE;
	return task->net->ops->forwards_sync(task->net, task->forwards, task->n_forwards, err) < 0
	       ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_report(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;

	(void)err;
	for (size_t i = 0; i < task->n_trim; i++) {
		struct vnode *vnode = vnode_by_vmid(job->daemon, task->trim[i].vmid);

		if (!vnode || !vnode->runtime.surplus || vnode->lock.holder)
			continue;
		vnode->runtime.surplus = false;
		vnode_record(vnode);
	}
	job->result = json_pack("{sI sI}", "removed", (json_int_t)task->removed, "mended",
				(json_int_t)task->mended);
	if (task->removed || task->mended)
		vn_log_info("host", "removed %u objects that no one owned, mended the network of %u "
			    "vnodes", task->removed, task->mended);
	return STEP_DONE;
}

static const struct step recover_steps[] = {
	{ "inventory", ON_WORKER, LANE_NET,     step_inventory, NULL },
	{ "list",      ON_WORKER, LANE_COMPUTE, step_list,      NULL },
	{ "compare",   ON_LOOP,   0,            step_compare,   NULL },
	{ "sweep",     ON_WORKER, LANE_NET,     step_sweep,     NULL },
	{ "mend",      ON_WORKER, LANE_NET,     step_mend,      NULL },
	{ "report",    ON_LOOP,   0,            step_report,    NULL },
	{ 0 }
};

const struct verb verb_host_recover =
	{ "host.recover", 1, recover_steps, load, free_recover, NULL, .of_a_life = true };
