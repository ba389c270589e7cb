/*
 * One look. The copy is as light as it can be, since it is made on the loop, over a thousand vnodes.
 *
 * What surprises: between the copy and the look jobs come and go. Each lock remembers the last job that took
 * it, so a difference about something that any job has held since the copy is known to be worth nothing.
 */
#include "daemon/verify_inner.h"

#include <stdio.h>
#include <string.h>

#include "daemon/lan_verbs.h"
#include "daemon/task.h"
#include "daemon/ways.h"

/* ---- the copy -------------------------------------------------------------------------------- */

static bool
is_busy(const struct verification *v, const struct job_lock *lock)
{
	return lock->holder && lock->holder != v->job;
}

/* A member's port depends on its LAN's job as well. */
static bool
is_vnode_busy(const struct verification *v, const struct vnode *vnode)
{
	if (is_busy(v, &vnode->lock))
		return true;
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (is_busy(v, &member->lan->lock))
			return true;
	return false;
}

static bool
stands(const struct vnode *vnode)
{
	return vnode->runtime.network &&
	       strcmp(vnode->runtime.boot_id, vnode->daemon->boot_id) == 0;
}

static void
spare(struct verification *v, const struct vnode *vnode)
{
	struct net_spared *spared = &v->spared[v->wanted.n_spared++];

	spared->vmid = vnode->vmid;
	vnode_control_addresses(vnode, &spared->to4, &spared->to6);
}

static void
copy_network(struct verification *v, const struct vnode *vnode)
{
	struct task task = { .arena = v->arena };
	struct port_spec *ports;
	size_t n = 0;

	task_copy_network(&task, vnode);
	ports = vn_arena_alloc(&task.arena, (task.n_ports + 1) * sizeof(*ports));
	if (task.control)
		ports[n++] = *task.control;
	memcpy(ports + n, task.ports, task.n_ports * sizeof(*ports));
	v->arena = task.arena;
	v->vnodes[v->wanted.n_vnodes++] = (struct net_vnode){ task.guest.ns, ports, n + task.n_ports,
							      task.routes, task.n_routes };
}

static void
copy_forwards(struct verification *v, const struct vnode *vnode)
{
	size_t count;
	struct forward_spec *forwards = task_forwards(&v->arena, vnode, &vnode->spec, &count);

	memcpy(v->forwards + v->wanted.n_forwards, forwards, count * sizeof(*forwards));
	v->wanted.n_forwards += count;
}

static void
copy_vnode(struct verification *v, const struct vnode *vnode)
{
	const char *backend = vnode->spec.backend ? vnode->spec.backend
						  : v->daemon->config.default_backend;
	struct verify_subject *subject = &v->subjects[v->n_subjects++];

	*subject = (struct verify_subject){ .vmid = vnode->vmid, .since_us = vnode->since_us,
		.uuid = vn_arena_strdup(&v->arena, vnode->uuid),
		.domain = vn_arena_strdup(&v->arena, vnode->domain),
		.compute = daemon_compute(v->daemon, backend), .id = vnode->runtime.id,
		.observed = vnode->observed, .spared = is_vnode_busy(v, vnode) };
	if (subject->spared)
		json_array_append_new(v->busy, json_string(vnode_title(vnode)));
	if (subject->spared || !stands(vnode)) {
		spare(v, vnode);
		return;
	}
	copy_network(v, vnode);
	if (vnode->observed == VNODE_RUNNING)
		copy_forwards(v, vnode);
}

static void
copy_lan(struct verification *v, const struct lan *lan)
{
	if (is_busy(v, &lan->lock)) {
		json_array_append_new(v->busy, json_sprintf("%s/%s", lan->topology->name, lan->name));
		v->spared_lans[v->wanted.n_spared_lans++] = lan->id;
		return;
	}
	v->lans[v->wanted.n_lans++] = lan_spec_now(lan, &v->arena);
}

/* Room for everything, whatever the scope. */
static void
make_room(struct verification *v)
{
	size_t n_vnodes = 1, n_lans = 1, n_forwards = 1;

	vn_list_each(struct vnode, vnode, &v->daemon->model->vnodes, link) {
		n_vnodes++;
		n_forwards += vnode->spec.forwards.count;
	}
	vn_list_each(struct lan, lan, &v->daemon->model->lans, link)
		n_lans++;
	v->vnodes = vn_alloc_array(n_vnodes, sizeof(*v->vnodes));
	v->spared = vn_alloc_array(n_vnodes, sizeof(*v->spared));
	v->subjects = vn_alloc_array(n_vnodes, sizeof(*v->subjects));
	v->forwards = vn_alloc_array(n_forwards, sizeof(*v->forwards));
	v->lans = vn_alloc_array(n_lans, sizeof(*v->lans));
	v->spared_lans = vn_alloc_array(n_lans, sizeof(*v->spared_lans));
}

static void
copy_all(struct verification *v, const struct topology *topology)
{
	make_room(v);
	vn_list_each(struct vnode, vnode, &v->daemon->model->vnodes, link)
		if (!topology || vnode->topology == topology)
			copy_vnode(v, vnode);
	vn_list_each(struct lan, lan, &v->daemon->model->lans, link)
		if (!topology || lan->topology == topology)
			copy_lan(v, lan);
	v->wanted.vnodes = v->vnodes;
	v->wanted.lans = v->lans;
	v->wanted.forwards = v->forwards;
	v->wanted.spared = v->spared;
	v->wanted.spared_lans = v->spared_lans;
	v->wanted.whole = !topology;
}

int
verification_new(struct daemon *daemon, const struct verify_scope *scope, struct verification **ret,
		 struct vn_error *err)
{
	const struct topology *topology = scope->topology ? topology_find(daemon, scope->topology) : NULL;
	struct verification *v;

	if (scope->topology && !topology)
		return vn_fail_at(err, "/topology", VN_E_NOT_FOUND, "no topology '%s'", scope->topology);
	if (!daemon->ready || daemon->torn_down)
		return vn_fail(err, VN_E_STATE, "%s", daemon->torn_down ? daemon->refusal
			       : "recovery has not ended: what is to be there is not known yet");
	v = vn_alloc(sizeof(*v));
	v->daemon = daemon;
	v->net = daemon->net;
	v->disk = daemon->disk;
	memcpy(v->computes, daemon->computes, sizeof(v->computes));
	v->job = scope->job ? scope->job->id : 0;
	v->last_job = jobs_last(daemon->jobs);
	v->last_vmid = daemon->model->last_vmid;
	v->last_lan = daemon->model->last_lan;
	v->began_ms = loop_now_ms(daemon->loop);
	v->busy = json_array();
	v->wanted.inside = !scope->fabric_only;
	copy_all(v, topology);
	*ret = v;
	return 0;
}

void
verification_free(struct verification *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < VERIFY_SOURCES; i++)
		differences_fini(&v->found[i]);
	differences_fini(&v->all);
	json_decref(v->busy);
	free(v->vnodes);
	free(v->spared);
	free(v->subjects);
	free(v->forwards);
	free(v->lans);
	free(v->spared_lans);
	vn_arena_fini(&v->arena);
	free(v);
}

/* ---- afterwards ------------------------------------------------------------------------------ */

/* Whether any job has held it since the copy, or does now. */
static bool
was_held(const struct verification *v, const struct job_lock *lock)
{
	return is_busy(v, lock) || (lock->last > v->last_job && lock->last != v->job);
}

/* A guest's end is no job: the job comes after it. */
static bool
has_moved(const struct verification *v, const struct vnode *vnode)
{
	const struct verify_subject *subject = verify_subject_find(v, vnode->vmid, NULL);

	return !subject || subject->since_us != vnode->since_us;
}

static bool
is_overtaken(const struct verification *v, const struct difference *difference)
{
	const struct difference_about *about = &difference->about;
	struct vnode *vnode = about->vmid ? vnode_by_vmid(v->daemon, about->vmid) : NULL;
	struct lan *lan = about->lan > 0 ? lan_by_id(v->daemon, about->lan) : NULL;

	if (lan && was_held(v, &lan->lock))
		return true;
	if (vnode)
		return was_held(v, &vnode->lock) || has_moved(v, vnode);
	if (!difference->surplus)	/* wanted then, and gone since */
		return about->vmid != 0 || (about->lan > 0 && !lan);
	if (about->vmid || about->lan > 0)	/* made since, and gone again */
		return (about->vmid > v->last_vmid && about->vmid <= v->daemon->model->last_vmid) ||
		       (about->lan > v->last_lan && about->lan <= v->daemon->model->last_lan);
	return jobs_last(v->daemon->jobs) > v->last_job && !v->job;
}

bool
verification_settle(struct verification *v)
{
	size_t kept = 0, before;

	for (size_t i = 0; i < VERIFY_SOURCES; i++)
		differences_move(&v->all, &v->found[i]);
	before = v->all.count;
	for (size_t i = 0; i < before; i++) {
		struct difference *difference = &v->all.items[i];

		if (!is_overtaken(v, difference)) {
			v->all.items[kept++] = *difference;
			continue;
		}
		json_decref(difference->wanted);
		json_decref(difference->found);
	}
	v->all.count = kept;
	v->overtaken = kept < before;
	return !v->overtaken;
}

bool
verification_is_overtaken(const struct verification *v)
{
	return v->overtaken;
}

const struct differences *
verification_found(const struct verification *v)
{
	return &v->all;
}

json_t *
verification_busy(const struct verification *v)
{
	return v->busy;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static const char *
interface_of(const struct vnode *vnode, unsigned index)
{
	if (index == 0)
		return "eth0";
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (member->index == index)
			return member->ifname;
	return NULL;
}

/* Of a shape: what is done to what the vnode sends stands on its IFB and on the ingress that leads there. */
static const char *
direction_of(const struct difference *difference)
{
	const char *kind = difference->about.kind, *field = difference->field;

	if (strcmp(kind, "ifb") == 0)
		return "sent";
	if (strcmp(kind, "qdisc") != 0)
		return NULL;
	return difference->about.object[0] == 'i' || strcmp(field, "redirection") == 0 ||
	       strcmp(field, "filters") == 0 ? "sent" : "received";
}

json_t *
verify_difference_object(const struct daemon *daemon, const struct difference *difference)
{
	const struct difference_about *about = &difference->about;
	const struct vnode *vnode = about->vmid ? vnode_by_vmid(daemon, about->vmid) : NULL;
	const struct lan *lan = about->lan > 0 ? lan_by_id(daemon, about->lan) : NULL;
	json_t *object = json_pack("{ss ss ss sO? sO?}", "object", about->object, "kind", about->kind,
				   "field", difference->field, "wanted", difference->wanted, "found",
				   difference->found);
	const char *interface = vnode ? interface_of(vnode, about->index) : NULL;
	const char *direction = direction_of(difference);

	if (vnode)
		json_object_set_new(object, "vnode", json_string(vnode_title(vnode)));
	if (lan)
		json_object_set_new(object, "lan", json_sprintf("%s/%s", lan->topology->name, lan->name));
	if (interface)
		json_object_set_new(object, "interface", json_string(interface));
	if (direction)
		json_object_set_new(object, "direction", json_string(direction));
	return object;
}

json_t *
verification_object(const struct verification *v)
{
	json_t *list = json_array(), *checked = json_object();

	for (size_t i = 0; i < v->all.count; i++)
		json_array_append_new(list, verify_difference_object(v->daemon, &v->all.items[i]));
	for (unsigned i = 0; i < CHECKED_COUNT; i++)
		json_object_set_new(checked, checked_words[i], json_integer(v->all.checked[i]));
	return json_pack("{so so sO sI}", "differences", list, "checked", checked, "busy", v->busy, "ms",
			 (json_int_t)(loop_now_ms(v->daemon->loop) - v->began_ms));
}
