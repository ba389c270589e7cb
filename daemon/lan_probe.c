/*
 * lan.probe: measures a LAN and changes nothing. It takes no lock that another verb wants: with its sockets
 * open it does not care what becomes of a vnode or the LAN meanwhile, but for saying so. Only a second probe
 * of the same LAN, which would measure the first one's frames, is refused while one runs.
 *
 * A LAN of more than two is measured round: each member sends to the next, so that each port is measured
 * once in each direction. Nothing is kept of it but the job's result, so after a crash it begins anew.
 */
#include "daemon/lan_verbs.h"

#include <stdio.h>
#include <string.h>

#include "daemon/probe_verdict.h"
#include "daemon/shaping.h"

#define SECONDS 3

struct direction {
	struct probe_spec spec;
	const char *from, *to;		/* names of the vnodes */
	struct probe_result result;
};

struct probe_task {
	struct daemon *daemon;		/* loop only */
	struct loop *loop;
	struct net *net;
	int64_t job;
	struct vn_arena arena;
	struct direction *directions;
	size_t n_directions, at;	/* at: the one being measured */
	json_t *shaping;		/* as it was at the beginning */
	bool cancelled;			/* atomic */

	/* progress, on its way from the worker to the loop; one at a time */
	bool is_told;			/* atomic */
	uint64_t done, total;
};

/* ---- from the model -------------------------------------------------------------------------- */

static const struct member *
member_of(const struct lan *lan, int64_t vmid)
{
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (member->vnode->vmid == vmid)
			return member;
	return NULL;
}

static int
check_member(const struct member *member, struct vn_error *err)
{
	const char *name = member->vnode->name;

	if (!lan_member_stands(member))
		return vn_fail(err, VN_E_STATE, "vnode '%s' has no network yet: boot it once", name);
	if (!member->up || !member->lan->up)
		return vn_fail(err, VN_E_STATE, "vnode '%s' has no carrier in LAN '%s': lan.up gives it one",
			       name, member->lan->name);
	return 0;
}

static void
add_hop(struct probe_spec *spec, const struct shape *shape)
{
	if (!shaping_is_none(shape))
		spec->hops[spec->n_hops++] = *shape;
}

static struct probe_end
end_of(struct probe_task *task, const struct member *member)
{
	const struct vnode *vnode = member->vnode;
	char path[512];

	snprintf(path, sizeof(path), "%s/netns/vnoded-%lld", task->daemon->env.run_dir,
		 (long long)vnode->vmid);
	return (struct probe_end){ .index = member->index, .ns = { .vmid = vnode->vmid,
		.uuid = vn_arena_strdup(&task->arena, vnode->uuid),
		.netns = vn_arena_strdup(&task->arena, path) } };
}

static void
add_direction(struct probe_task *task, const struct member *from, const struct member *to,
	      unsigned phase_ms)
{
	struct direction *direction = &task->directions[task->n_directions++];
	struct shape out, in, unused;

	shaping_effective(from->lan, from, &out, &unused);
	shaping_effective(to->lan, to, &unused, &in);
	direction->from = vn_arena_strdup(&task->arena, from->vnode->name);
	direction->to = vn_arena_strdup(&task->arena, to->vnode->name);
	direction->spec = (struct probe_spec){ .from = end_of(task, from), .to = end_of(task, to),
					       .phase_ms = phase_ms };
	add_hop(&direction->spec, &out);
	if (!from->lan->is_link)
		add_hop(&direction->spec, &in);
}

/* Both ways between two members. */
static int
add_pair(struct probe_task *task, const struct lan *lan, json_t *vmids, unsigned phase_ms,
	 struct vn_error *err)
{
	const struct member *one = member_of(lan, json_integer_value(json_array_get(vmids, 0)));
	const struct member *two = member_of(lan, json_integer_value(json_array_get(vmids, 1)));

	if (!one || !two)
		return vn_fail(err, VN_E_NOT_FOUND, "a vnode is no member of the LAN any more");
	if (check_member(one, err) < 0 || check_member(two, err) < 0)
		return -1;
	add_direction(task, one, two, phase_ms);
	add_direction(task, two, one, phase_ms);
	return 0;
}

/* Round all members that can be measured. */
static int
add_ring(struct probe_task *task, const struct lan *lan, unsigned phase_ms, struct vn_error *err)
{
	const struct member *first = NULL, *last = NULL;
	struct vn_error why = { 0 };

	vn_list_each(struct member, member, &lan->members, in_lan) {
		if (check_member(member, &why) < 0)
			continue;
		if (last)
			add_direction(task, last, member, phase_ms);
		first = first ? first : member;
		last = member;
	}
	if (first == last)
		return vn_fail(err, VN_E_STATE, "two members are needed to measure between%s%s",
			       why.text[0] ? "; " : "", why.text);
	add_direction(task, last, first, phase_ms);
	return 0;
}

static void
free_task(void *ctx)
{
	struct probe_task *task = ctx;

	loop_forget(task->loop, task);
	json_decref(task->shaping);
	free(task->directions);
	vn_arena_fini(&task->arena);
	free(task);
}

static int
lock(struct job *job, struct lan *lan, struct vn_error *err)
{
	vn_autofree char *what = vn_format("the probe of LAN '%s/%s'", lan->topology->name, lan->name);

	if (job_lock(job, &lan->probing, what, err) < 0)
		return -1;
	if (!json_array_size(job->about))
		json_array_append_new(job->about, json_sprintf("%s/%s", lan->topology->name, lan->name));
	return 0;
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct lan *lan = job_lan(job);
	json_t *members = json_object_get(job->params, "members");
	unsigned phase_ms = (unsigned)json_integer_value(json_object_get(job->params, "phase_ms"));
	struct probe_task *task;
	size_t count = 2;
	int status;

	if (!lan) {
		vn_fail(err, VN_E_NOT_FOUND, "the LAN is gone");
		return NULL;
	}
	if (lock(job, lan, err) < 0)
		return NULL;
	task = vn_alloc(sizeof(*task));
	task->daemon = job->daemon;
	task->loop = job->daemon->loop;
	task->net = job->daemon->net;
	task->job = job->id;
	task->shaping = shaping_export(lan, NULL);
	vn_list_each(struct member, member, &lan->members, in_lan)
		count++;
	task->directions = vn_alloc_array(count, sizeof(*task->directions));
	status = members ? add_pair(task, lan, members, phase_ms, err) : add_ring(task, lan, phase_ms, err);
	if (status < 0) {
		free_task(task);
		return NULL;
	}
	job->abort_flag = &task->cancelled;
	return task;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void
on_told(void *arg)
{
	struct probe_task *task = arg;
	struct job *job = job_find(task->daemon, task->job);
	uint64_t before;

	if (job) {
		before = job->part_total ? job->part_done * 20 / job->part_total : 0;
		job->part_done = task->done;
		job->part_total = task->total;
		if (job->part_done * 20 / job->part_total != before)
			job_announce(job);
	}
	__atomic_store_n(&task->is_told, false, __ATOMIC_RELEASE);
}

/* Each direction counts a thousand. */
static void
on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct probe_task *task = arg;

	if (__atomic_load_n(&task->is_told, __ATOMIC_ACQUIRE))
		return;			/* the loop has not heard of the last yet */
	task->done = 1000 * task->at + (total ? 1000 * done / total : 0);
	task->total = 1000 * task->n_directions;
	__atomic_store_n(&task->is_told, true, __ATOMIC_RELEASE);
	loop_post(task->loop, on_told, task);
}

static enum verdict
step_measure(struct job *job, void *ctx, struct vn_error *err)
{
	struct probe_task *task = ctx;

	(void)job;
	for (task->at = 0; task->at < task->n_directions; task->at++) {
		struct direction *direction = &task->directions[task->at];

		if (__atomic_load_n(&task->cancelled, __ATOMIC_RELAXED)) {
			vn_fail(err, VN_E_CANCELLED, "cancelled");
			return STEP_FAILED;
		}
		if (task->net->ops->probe(task->net, &direction->spec, &task->cancelled, on_progress, task,
					  &direction->result, err) < 0) {
			vn_error_prefix(err, "from '%s' to '%s'", direction->from, direction->to);
			return STEP_FAILED;
		}
	}
	return STEP_DONE;
}

static json_t *
result_object(const struct probe_task *task, const struct lan *lan)
{
	json_t *directions = json_array();
	const char *verdict = "ok";

	for (size_t i = 0; i < task->n_directions; i++) {
		const struct direction *at = &task->directions[i];
		json_t *object = probe_direction(at->from, at->to, &at->spec, &at->result);

		if (strcmp(json_string_value(json_object_get(object, "verdict")), "differs") == 0)
			verdict = "differs";
		json_array_append_new(directions, object);
	}
	return json_pack("{ss ss so ss}", "lan", lan->name, "topology", lan->topology->name,
			 "directions", directions, "verdict", verdict);
}

/* A measure of something that has changed under it would only mislead. */
static enum verdict
step_judge(struct job *job, void *ctx, struct vn_error *err)
{
	struct probe_task *task = ctx;
	struct lan *lan = job_lan(job);
	json_t *now = lan ? shaping_export(lan, NULL) : NULL;
	bool is_same = json_equal(now, task->shaping);

	json_decref(now);
	if (!is_same) {
		vn_fail(err, VN_E_STATE, "the LAN was %s while it was measured%s", lan ? "changed"
			: "destroyed", lan ? ": measure it again" : "");
		return STEP_FAILED;
	}
	job->result = result_object(task, lan);
	return STEP_DONE;
}

static const struct step probe_steps[] = {
	{ "measure", ON_WORKER, LANE_BULK, step_measure, NULL, STEP_LONG },
	{ "judge",   ON_LOOP,   0,         step_judge,   NULL },
	{ 0 }
};

static void
ended(struct job *job, void *ctx)
{
	(void)ctx;
	job->abort_flag = NULL;
}

const struct verb verb_lan_probe = { "lan.probe", 1, probe_steps, load, free_task, ended, .anew = true };

/* ---- the method ------------------------------------------------------------------------------ */

/* The VMIDs of two members by name; a new reference, NULL with err. */
static json_t *
find_members(const struct lan *lan, const struct field_array *names, struct vn_error *err)
{
	json_t *vmids = json_array();

	for (size_t i = 0; i < names->count; i++) {
		const char *name = ((const char **)names->items)[i];
		const struct member *found = NULL;
		char path[32];

		snprintf(path, sizeof(path), "/members/%zu", i);
		vn_list_each(struct member, member, &lan->members, in_lan)
			if (strcmp(member->vnode->name, name) == 0)
				found = member;
		if (found && json_integer_value(json_array_get(vmids, 0)) != found->vnode->vmid) {
			json_array_append_new(vmids, json_integer(found->vnode->vmid));
			continue;
		}
		if (found)
			vn_fail_at(err, path, VN_E_INVALID, "name two different members");
		else
			vn_fail_at(err, path, VN_E_NOT_FOUND, "vnode '%s' is no member of LAN '%s'", name,
				   lan->name);
		json_decref(vmids);
		return NULL;
	}
	return vmids;
}

int
handle_lan_probe(struct call *call, const void *params, struct vn_error *err)
{
	const struct lan_probe_params *p = params;
	json_t *job, *members = NULL;
	struct lan *lan;

	if (lan_find(call_daemon(call), p->lan, &lan, err) < 0)
		return -1;
	if (p->members.count) {
		members = find_members(lan, &p->members, err);
		if (!members)
			return -1;
	}
	job = lan_job_params(lan);
	json_object_set_new(job, "phase_ms", json_integer(1000 * (p->seconds ? p->seconds : SECONDS)));
	if (members)
		json_object_set_new(job, "members", members);
	return job_answer(call, &p->change, &verb_lan_probe, job, err);
}
