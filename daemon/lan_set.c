/*
 * lan.set: MTU, shapes and ways out of a living LAN, by its own call (without the ways) and as a child of
 * topology.apply; for a schedule carriers as well, so that one entry happens as one. What was is noted in the
 * journal before anything is touched; the model follows last, so that it says the old until all ports have
 * the new.
 */
#include "daemon/lan_verbs.h"

#include <string.h>

#include "daemon/carrier.h"
#include "daemon/log.h"
#include "daemon/task.h"
#include "daemon/ways.h"

struct lan_set {
	struct net *net;
	struct vn_arena arena;		/* of the specs */
	struct lan_spec spec, before;
	unsigned mtu, mtu_before;	/* as in the model */
	bool changes_bridge;
	bool is_plain, was_plain;	/* see port_spec.no_arp */
	struct task *members;		/* vnodes whose network stands, for MTU and ARP of their ports */
	size_t n_members;
	struct port_shape *shapes, *shapes_before;	/* of ports that stand */
	size_t n_shapes;
	struct port_list gain, lose;	/* ports that get or lose their carrier */
};

static void
collect_members(struct lan_set *set, const struct lan *lan)
{
	struct vn_error ignored;
	size_t count = 0;

	vn_list_each(struct member, member, &lan->members, in_lan)
		count++;
	set->members = vn_alloc_array(count, sizeof(*set->members));
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (lan_member_stands(member) &&
		    task_init(&set->members[set->n_members], member->vnode, &ignored) == 0)
			set->n_members++;
}

static void
collect_shapes(struct lan_set *set, const struct lan *lan, const struct lan_shaping *after,
	       const struct lan_shaping *before)
{
	size_t count = 0;

	vn_list_each(struct member, member, &lan->members, in_lan)
		count++;
	set->shapes = vn_alloc_array(count, sizeof(*set->shapes));
	set->shapes_before = vn_alloc_array(count, sizeof(*set->shapes_before));
	vn_list_each(struct member, member, &lan->members, in_lan) {
		struct port_shape *shape = &set->shapes[set->n_shapes];
		struct port_shape *was = &set->shapes_before[set->n_shapes];

		if (!lan_member_stands(member))
			continue;
		set->n_shapes++;
		shape->vmid = was->vmid = member->vnode->vmid;
		shape->index = was->index = member->index;
		shaping_port(after, member, &shape->out, &shape->in);
		shaping_port(before, member, &was->out, &was->in);
	}
}

/* What `carrier` ({"up", "members": {vnode: up}}) makes of a member's wish; up takes single downs back. */
static bool
wished_up(const struct job *job, const struct member *member)
{
	json_t *carrier = json_object_get(job->params, "carrier");
	json_t *own = json_object_get(json_object_get(carrier, "members"), member->vnode->name);

	if (own)
		return json_is_true(own);
	return json_is_true(json_object_get(carrier, "up")) || carrier_was_up(job, member);
}

static bool
lan_wished_up(const struct job *job)
{
	json_t *up = json_object_get(json_object_get(job->params, "carrier"), "up");

	return up ? json_is_true(up) : carrier_lan_was_up(job);
}

static void
collect_carriers(const struct job *job, struct lan_set *set, const struct lan *lan)
{
	vn_list_each(struct member, member, &lan->members, in_lan) {
		bool before = carrier_lan_was_up(job) && carrier_was_up(job, member);
		bool after = lan_wished_up(job) && wished_up(job, member);

		if (before != after && lan_member_stands(member))
			port_list_add(after ? &set->gain : &set->lose, member);
	}
}

static void
note_before(struct job *job, const struct lan *lan)
{
	if (json_object_get(job->params, "carrier"))
		carrier_note(job, lan);
	if (json_object_get(job->data, "mtu_before"))
		return;
	job_note(job, "mtu_before", json_integer(lan->mtu));
	job_note(job, "shaping_before", shaping_export(lan, NULL));
	job_note(job, "ways_before", lan->ways ? json_incref(lan->ways) : json_null());
}

static void
free_set(void *ctx)
{
	struct lan_set *set = ctx;

	for (size_t i = 0; i < set->n_members; i++)
		task_fini(&set->members[i]);
	free(set->members);
	free(set->shapes);
	free(set->shapes_before);
	port_list_fini(&set->gain);
	port_list_fini(&set->lose);
	vn_arena_fini(&set->arena);
	free(set);
}

/* What a job says nothing of stays. */
static json_t *
wanted(const struct job *job, const char *key, const char *before)
{
	json_t *value = json_object_get(job->params, key);

	return value ? value : json_object_get(job->data, before);
}

static void
compare(struct lan_set *set, const struct lan *lan, json_t *ways, json_t *was, bool shapes)
{
	bool reaches = set->spec.n_tunnels || set->before.n_tunnels;

	set->is_plain = ways_is_plain(ways);
	set->was_plain = ways_is_plain(was);
	set->changes_bridge = set->spec.mtu != set->before.mtu || !json_equal(ways, was) ||
			      (shapes && reaches);
	if (set->spec.mtu != set->before.mtu || set->is_plain != set->was_plain)
		collect_members(set, lan);
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct lan *lan = lan_job_lock(job, err);
	struct lan_shaping after, before;
	struct lan_set *set;
	json_t *ways, *was;

	if (!lan)
		return NULL;
	set = vn_alloc(sizeof(*set));
	set->net = job->daemon->net;
	note_before(job, lan);
	was = json_object_get(job->data, "ways_before");
	ways = wanted(job, "ways", "ways_before");
	before = shaping_read(json_object_get(job->data, "shaping_before"));
	after = shaping_read(wanted(job, "shaping", "shaping_before"));
	before.ways = was;
	after.ways = ways;
	set->mtu_before = (unsigned)json_integer_value(json_object_get(job->data, "mtu_before"));
	set->mtu = (unsigned)json_integer_value(wanted(job, "mtu", "mtu_before"));
	set->spec = ways_spec(lan, ways, set->mtu, &after, &set->arena);
	set->before = ways_spec(lan, was, set->mtu_before, &before, &set->arena);
	compare(set, lan, ways, was, json_object_get(job->params, "shaping"));
	if (json_object_get(job->params, "shaping") || !json_equal(ways, was))
		collect_shapes(set, lan, &after, &before);
	if (json_object_get(job->params, "carrier"))
		collect_carriers(job, set, lan);
	return set;
}

/* Both ends of each member's port follow the bridge. */
static int
change_ports(struct lan_set *set, const struct lan_spec *spec, bool is_plain, struct vn_error *err)
{
	for (size_t i = 0; i < set->n_members; i++)
		for (size_t p = 0; p < set->members[i].n_ports; p++) {
			struct port_spec port = set->members[i].ports[p];

			port.mtu = spec->mtu;
			port.no_arp = is_plain;
			if (port.lan == spec->id &&
			    set->net->ops->ports_up(set->net, &set->members[i].guest.ns, &port, 1,
						    err) < 0)
				return -1;
		}
	return 0;
}

static int
change_bridge(struct lan_set *set, const struct lan_spec *spec, bool is_plain, struct vn_error *err)
{
	if (!set->changes_bridge)
		return 0;
	if (set->net->ops->lan_up(set->net, spec, err) < 0)
		return -1;
	return change_ports(set, spec, is_plain, err);
}

static int
put_shapes(struct lan_set *set, const struct port_shape *shapes, struct vn_error *err)
{
	return set->n_shapes ? set->net->ops->ports_shape(set->net, shapes, set->n_shapes, err) : 0;
}

static int
put_carriers(struct lan_set *set, const struct port_list *up, const struct port_list *down,
	     struct vn_error *err)
{
	return port_list_set(set->net, down, false, err) < 0 ? -1
	       : port_list_set(set->net, up, true, err);
}

/*
 * One step, not two: a start in the middle makes the kernel what the model says, and a step that was done
 * before it would not be repeated.
 */
static enum verdict
step_settle(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_set *set = ctx;

	(void)job;
	return change_bridge(set, &set->spec, set->is_plain, err) < 0 ||
	       put_shapes(set, set->shapes, err) < 0 ||
	       put_carriers(set, &set->gain, &set->lose, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
undo_settle(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_set *set = ctx;

	(void)job;
	return put_carriers(set, &set->lose, &set->gain, err) < 0 ||
	       put_shapes(set, set->shapes_before, err) < 0 ||
	       change_bridge(set, &set->before, set->was_plain, err) < 0
	       ? STEP_FAILED : STEP_DONE;
}

static enum verdict
adopt(struct job *job, unsigned mtu, json_t *ways, json_t *shaping)
{
	struct lan *lan = job_lan(job);

	if (lan->mtu != mtu)
		lan_set_mtu(lan, mtu);
	if (ways)
		lan_set_ways(lan, ways);
	if (shaping)
		shaping_adopt(lan, shaping);
	return STEP_DONE;
}

static void
adopt_carriers(struct job *job)
{
	struct lan *lan = job_lan(job);

	if (lan->up != lan_wished_up(job))
		lan_set_up(lan, lan_wished_up(job));
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (member->up != wished_up(job, member))
			member_set_up(member, wished_up(job, member));
}

static enum verdict
step_adopt(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_set *set = ctx;

	(void)err;
	if (json_object_get(job->params, "carrier"))
		adopt_carriers(job);
	return adopt(job, set->mtu, json_object_get(job->params, "ways"),
		     json_object_get(job->params, "shaping"));
}

static enum verdict
undo_adopt(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_set *set = ctx;

	(void)err;
	if (json_object_get(job->params, "carrier"))
		carrier_restore(job, job_lan(job));
	return adopt(job, set->mtu_before, json_object_get(job->data, "ways_before"),
		     json_object_get(job->data, "shaping_before"));
}

static const struct step set_steps[] = {
	{ "settle", ON_WORKER, LANE_NET, step_settle, undo_settle },
	{ "adopt",  ON_LOOP,   0,        step_adopt,  undo_adopt },
	{ 0 }
};

const struct verb verb_lan_set = { "lan.set", 1, set_steps, load, free_set, lan_ended_change };

void
lan_end_link(struct lan *lan, int64_t uid)
{
	json_t *params = lan_job_params(lan), *shaping = shaping_export(lan, NULL);
	struct vn_error err = { 0 };

	json_object_set_new(shaping, "link", json_false());
	json_object_set_new(params, "shaping", shaping);
	if (job_begin(lan->daemon, &verb_lan_set, NULL, uid, params, NULL, &err) < 0)
		vn_log_warning("lan", "%s: still treated as a link: %s", lan->name, err.text);
}
