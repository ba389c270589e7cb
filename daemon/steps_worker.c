/*
 * Steps that block: each calls one backend and happens wholly or not at all. They run on a worker and
 * see only their task. What a job does not need is asked on the loop before (needs_*), and by the step itself,
 * since undoing a halt runs the steps of a boot without a table.
 */
#include "daemon/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static enum verdict
verdict(int status)
{
	return status < 0 ? STEP_FAILED : STEP_DONE;
}

bool
step_goes_on(const struct task *task, struct vn_error *err)
{
	if (!__atomic_load_n(&task->stop, __ATOMIC_RELAXED))
		return true;
	vn_fail(err, VN_E_CANCELLED, "cancelled");
	return false;
}

enum verdict
step_create(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	return verdict(task->disk->ops->create(task->disk, &task->disk_spec, err));
}

enum verdict
undo_create(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (task->disk->ops->unmount(task->disk, &task->disk_spec, err) < 0)
		return STEP_FAILED;
	return verdict(task->disk->ops->destroy(task->disk, &task->disk_spec, err));
}

bool
needs_extras(const void *ctx)
{
	const struct task *task = ctx;

	return task->disk_spec.n_extras > 0;
}

/* What fails or is taken back goes with the disk itself. */
enum verdict
step_extras(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (!needs_extras(task))
		return STEP_DONE;
	return verdict(task->disk->ops->extras_up(task->disk, &task->disk_spec, err));
}

bool
needs_pre_config(const void *ctx)
{
	const struct task *task = ctx;

	return task->boot && !task->files_stand && task->files.count && disk_traits[task->disk_spec.type].can_mount;
}

/* Mounts, injects, unmounts. Unshifted, since the namespaces may not be there yet: what root writes
 * here is on disk what root of the guest would have written. */
enum verdict
step_pre_config(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct disk_spec plain = task->disk_spec;
	struct vn_error ignored;
	char root[PATH_MAX];
	int status;

	(void)job;
	if (!needs_pre_config(task))
		return STEP_DONE;
	plain.userns = NULL;
	plain.n_extras = 0;
	if (task->disk->ops->unmount(task->disk, &plain, err) < 0 ||	/* whatever stood there */
	    !step_goes_on(task, err) ||
	    task->disk->ops->mount(task->disk, &plain, root, err) < 0 || !step_goes_on(task, err))
		return STEP_FAILED;
	status = guest_files_write(task, &plain, err);
	if (task->disk->ops->unmount(task->disk, &plain, status < 0 ? &ignored : err) < 0)
		status = -1;
	return verdict(status);
}

enum verdict
undo_pre_config(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	if (!task->boot)
		return STEP_DONE;
	if (task->disk->ops->unmount(task->disk, &task->disk_spec, err) < 0)
		return STEP_FAILED;
	/* A start puts the rules of what is booting into force, wherever its job stands. */
	return undo_forward_ports(job, ctx, err);
}

static int
ports_up(struct task *task, struct port_spec *ports, size_t count, struct vn_error *err)
{
	if (!ports || !count)
		return 0;
	return task->net->ops->ports_up(task->net, &task->guest.ns, ports, count, err);
}

static int
routes_set(struct task *task, struct vn_error *err)
{
	return task->net->ops->routes_set(task->net, &task->guest.ns, task->routes, task->n_routes, err);
}

/* A guest may have left its interfaces without addresses, or down: it wakes up with all as they should be. */
static int
mend_network(struct task *task, struct vn_error *err)
{
	if (ports_up(task, task->control, 1, err) < 0 || !step_goes_on(task, err) ||
	    ports_up(task, task->ports, task->n_ports, err) < 0 || !step_goes_on(task, err))
		return -1;
	return routes_set(task, err);
}

bool
needs_control_network(const void *ctx)
{
	const struct task *task = ctx;

	return task->boot && (!task->network_stands || task->network_used);
}

/* What a guest has left so that it cannot be mended (a device with the name of ours) is made anew. */
enum verdict
step_control_network(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct vn_error why;

	if (!needs_control_network(task) || (task->network_stands && mend_network(task, &why) == 0))
		return STEP_DONE;
	if (!step_goes_on(task, err) ||
	    (task->network_stands && undo_network(job, ctx, err) == STEP_FAILED) ||
	    !step_goes_on(task, err) ||
	    task->net->ops->namespaces_up(task->net, &task->guest.ns, err) < 0 ||
	    !step_goes_on(task, err))
		return STEP_FAILED;
	return verdict(ports_up(task, task->control, 1, err));
}

enum verdict
undo_network(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	task->network_stands = false;
	return verdict(task->net->ops->namespaces_down(task->net, &task->guest.ns, err));
}

bool
needs_exp_network(const void *ctx)
{
	const struct task *task = ctx;

	return task->boot && !task->network_stands && (task->n_ports || task->n_routes);
}

enum verdict
step_exp_network(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (!needs_exp_network(task))
		return STEP_DONE;
	if (ports_up(task, task->ports, task->n_ports, err) < 0)
		return STEP_FAILED;
	return task->n_routes ? verdict(routes_set(task, err)) : STEP_DONE;
}

/* The folder for the guest's status and console ring. */
enum verdict
step_devices(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (mkdir(task->guest.dir, 0700) < 0 && errno != EEXIST) {
		vn_fail_errno(err, errno, "make '%s'", task->guest.dir);
		return STEP_FAILED;
	}
	return STEP_DONE;
}

enum verdict
undo_devices(struct job *job, void *ctx, struct vn_error *err)
{
	static const char *const files[] = { "status", "console" };
	struct task *task = ctx;
	char path[PATH_MAX];

	(void)job;
	for (size_t i = 0; i < VN_COUNT(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", task->guest.dir, files[i]);
		unlink(path);
	}
	if (rmdir(task->guest.dir) < 0 && errno != ENOENT) {
		vn_fail_errno(err, errno, "remove '%s'", task->guest.dir);
		return STEP_FAILED;
	}
	return STEP_DONE;
}

bool
needs_forwards(const void *ctx)
{
	const struct task *task = ctx;

	return task->boot && task->n_forwards;
}

enum verdict
step_forward_ports(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (!needs_forwards(task))
		return STEP_DONE;
	return verdict(task->net->ops->forwards_up(task->net, task->forwards, task->n_forwards, err));
}

static enum verdict
unforward(struct task *task, struct vn_error *err)
{
	if (!task->n_forwards)
		return STEP_DONE;
	return verdict(task->net->ops->forwards_down(task->net, task->forwards, task->n_forwards,
						     err));
}

enum verdict
undo_forward_ports(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	return task->boot ? unforward(task, err) : STEP_DONE;
}

bool
needs_boot(const void *ctx)
{
	const struct task *task = ctx;

	return task->boot;
}

/*
 * Mounts the root, starts the guest, releases the host's mount: the container keeps its own. Dying in
 * between leaves a mount (found by the sweep and by the repeated step) or a running guest (found by
 * start, which then reports it).
 */
enum verdict
step_boot(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct vn_error ignored;
	char root[PATH_MAX];
	int status;

	(void)job;
	if (!needs_boot(task))
		return STEP_DONE;
	if (task->disk->ops->unmount(task->disk, &task->disk_spec, err) < 0 ||
	    !step_goes_on(task, err) ||
	    task->disk->ops->mount(task->disk, &task->disk_spec, root, err) < 0 ||
	    !step_goes_on(task, err))
		return STEP_FAILED;
	task->guest.root = root;
	status = task->compute->ops->start(task->compute, &task->guest, &task->id, err);
	task->guest.root = NULL;
	if (task->disk->ops->unmount(task->disk, &task->disk_spec, status < 0 ? &ignored : err) < 0 &&
	    status == 0) {
		task->compute->ops->stop(task->compute, task->guest.domain, task->guest.uuid,
					 &task->id, 0, &ignored);
		status = -1;
	}
	return verdict(status);
}

/* Fences by uuid whatever a start of unknown outcome may have left. */
enum verdict
undo_boot(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (!task->boot)	/* what runs is not of this job */
		return STEP_DONE;
	if (task->compute->ops->stop(task->compute, task->guest.domain, task->guest.uuid, &task->id, 0,
				     err) < 0)
		return STEP_FAILED;
	return verdict(task->disk->ops->unmount(task->disk, &task->disk_spec, err));
}

bool
needs_halt(const void *ctx)
{
	const struct task *task = ctx;

	return task->halt;
}

enum verdict
step_halt(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (!needs_halt(task))
		return STEP_DONE;
	return verdict(task->compute->ops->stop(task->compute, task->guest.domain, task->guest.uuid,
						&task->id, task->force ? 0 : task->grace_ms, err));
}

bool
needs_unforward(const void *ctx)
{
	const struct task *task = ctx;

	return task->halt && task->n_forwards;
}

enum verdict
step_unforward(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	return needs_unforward(task) ? unforward(task, err) : STEP_DONE;
}

enum verdict
step_unmount(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (!task->halt)
		return STEP_DONE;
	return verdict(task->disk->ops->unmount(task->disk, &task->disk_spec, err));
}

/* A fresh disk from the image. That it takes the old one's place is the point of no return; repeated after
 * a crash it throws away a disk that no guest has seen yet. */
enum verdict
step_reload(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	task->files_stand = false;
	return verdict(task->disk->ops->renew(task->disk, &task->disk_spec, err));
}

enum verdict
step_destroy(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	if (undo_network(job, ctx, err) == STEP_FAILED || !step_goes_on(task, err) ||
	    task->disk->ops->destroy(task->disk, &task->disk_spec, err) < 0)
		return STEP_FAILED;
	return undo_devices(job, ctx, err);
}

/*
 * For people on the host: ids unshifted, so that root's files are root's. Where it is mounted already that
 * is made sure of.
 */
enum verdict
step_mount(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct disk_spec plain = task->disk_spec;
	char root[PATH_MAX];

	(void)job;
	plain.userns = NULL;
	return verdict(task->disk->ops->mount(task->disk, &plain, root, err));
}

enum verdict
undo_mount(struct job *job, void *ctx, struct vn_error *err)
{
	return step_unmount(job, ctx, err);	/* nothing where others have it mounted */
}

enum verdict
step_set_limits(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;

	(void)job;
	if (!task->id.init)
		return STEP_DONE;
	return verdict(task->compute->ops->set_limits(task->compute, &task->guest, &task->id, err));
}
