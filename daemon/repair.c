/*
 * host.repair: looks as host.verify does, mends what it can, and looks again. The host's own things come first,
 * then (by host.recover) what nobody owns goes, then LANs, then vnodes, each by a job of its own below this
 * one, which holds their locks until it has looked again. What is busy is left alone and said to be left.
 *
 * A start after a crash mends by itself, so an interrupted repair begins again from the top.
 */
#include "daemon/verify.h"

#include <string.h>

#include "daemon/host_verbs.h"
#include "daemon/lan_verbs.h"
#include "daemon/lifecycle.h"
#include "daemon/log.h"
#include "daemon/monitor.h"
#include "daemon/recovery.h"

struct repair {
	struct net *net;
	struct verification *first, *now;	/* now: the one that looks; first: NULL until there is another */
	bool host, strays;		/* what the first look says is to be done */
	int64_t *lans, *vnodes;		/* that were to be mended */
	size_t n_lans, n_vnodes;
	bool lan_failed;		/* one of those LANs could not be */
	struct forward_spec *surplus;
	size_t n_surplus;
	struct vn_error host_err;	/* what the host's own part failed with; VN_OK */
	size_t n_left;
};

static void
free_repair(void *ctx)
{
	struct repair *repair = ctx;

	verification_free(repair->first);
	verification_free(repair->now);
	free(repair->surplus);
	free(repair->lans);
	free(repair->vnodes);
	free(repair);
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct repair *repair = vn_alloc(sizeof(*repair));

	(void)err;
	repair->net = job->daemon->net;
	return repair;
}

/* ---- looking --------------------------------------------------------------------------------- */

static enum verdict
step_note(struct job *job, void *ctx, struct vn_error *err)
{
	struct repair *repair = ctx;
	struct verify_scope scope = { .job = job,
		.topology = json_string_value(json_object_get(job->params, "topology")) };
	struct verification *fresh;

	if (verification_new(job->daemon, &scope, &fresh, err) < 0)
		return STEP_FAILED;
	if (repair->now) {
		verification_free(repair->first);
		repair->first = repair->now;
	}
	repair->now = fresh;
	return STEP_DONE;
}

static enum verdict
look(struct repair *repair, unsigned source, struct vn_error *err)
{
	return verify_sources[source].look(repair->now, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_look_at_net(struct job *job, void *ctx, struct vn_error *err)
{
	(void)job;
	return look(ctx, VERIFY_NET, err);
}

static enum verdict
step_look_at_disks(struct job *job, void *ctx, struct vn_error *err)
{
	(void)job;
	return look(ctx, VERIFY_DISK, err);
}

static enum verdict
step_look_at_guests(struct job *job, void *ctx, struct vn_error *err)
{
	(void)job;
	return look(ctx, VERIFY_GUESTS, err);
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* Which kinds a vnode's job mends; a domain is the business of exits and restart policies. */
static bool
is_of_vnode(const struct difference *difference)
{
	static const char *const kinds[] = { "port", "ifb", "qdisc", "address", "route", "namespace",
		"guard", "forward", "mount" };

	if (!difference->about.vmid || difference->surplus)
		return false;
	for (size_t i = 0; i < VN_COUNT(kinds); i++)
		if (strcmp(difference->about.kind, kinds[i]) == 0)
			return true;
	return false;
}

static bool
is_of_lan(const struct difference *difference)
{
	return !difference->about.vmid && difference->about.lan > 0 && !difference->surplus &&
	       strcmp(difference->about.kind, "foreign") != 0;
}

static bool
is_of_host(const struct difference *difference)
{
	return !difference->about.vmid && difference->about.lan <= 0 && !difference->surplus &&
	       strcmp(difference->about.kind, "hypervisor") != 0;
}

static enum verdict
step_decide(struct job *job, void *ctx, struct vn_error *err)
{
	struct repair *repair = ctx;
	const struct differences *found = verification_found(repair->now);

	(void)job;
	(void)err;
	verification_settle(repair->now);
	repair->surplus = vn_alloc_array(found->count + 1, sizeof(*repair->surplus));
	for (size_t i = 0; i < found->count; i++) {
		const struct difference *difference = &found->items[i];

		repair->host |= is_of_host(difference) ||
				strcmp(difference->about.kind, "guard") == 0;
		if (!difference->surplus)
			continue;
		if (strcmp(difference->about.kind, "forward") == 0)
			repair->surplus[repair->n_surplus++] = difference->forward;
		else
			repair->strays = true;
	}
	return STEP_DONE;
}

/* ---- mending --------------------------------------------------------------------------------- */

/* What cannot be mended is found by the second look. */
static enum verdict
step_mend_host(struct job *job, void *ctx, struct vn_error *err)
{
	struct repair *repair = ctx;
	struct vn_error *why = &repair->host_err;

	(void)job;
	(void)err;
	if (repair->host && repair->net->ops->host_up(repair->net, why) < 0)
		vn_log_warning("host", "cannot be mended: %s", why->text);
	if (repair->n_surplus && repair->net->ops->forwards_down(repair->net, repair->surplus,
								 repair->n_surplus, why) < 0)
		vn_log_warning("host", "forwards that no one wants cannot be removed: %s", why->text);
	return STEP_DONE;
}

/* The fabric may be another one now. */
static enum verdict
step_sweep(struct job *job, void *ctx, struct vn_error *err)
{
	struct repair *repair = ctx;

	if (repair->host)
		monitor_watch(job->daemon->monitor);
	if (!repair->strays)
		return STEP_DONE;
	return job_begin(job->daemon, &verb_host_recover, job, job->uid, json_object(), NULL, err) < 0
	       ? STEP_FAILED : STEP_WAIT;
}

/* Every lock that is needed, before any child: two members of a LAN may be mended at once. */
static bool
lock_vnode(struct job *job, struct vnode *vnode)
{
	struct vn_error busy = { 0 };

	if (job_lock(job, &vnode->lock, "the vnode", &busy) < 0)
		return false;
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (job_lock(job, &member->lan->lock, "the LAN", &busy) < 0)
			return false;
	return true;
}

static void
begin_child(struct job *job, const struct verb *verb, VN_TAKES json_t *params)
{
	struct vn_error err = { 0 };

	if (job_begin(job->daemon, verb, job, job->uid, params, NULL, &err) < 0)
		vn_log_warning("host", "cannot be mended: %s", err.text);
}

static bool
is_among(const int64_t *ids, size_t count, int64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* A job_item_fn: one of the differences. */
static int
mend_lan(struct job *job, size_t item, void *arg, struct vn_error *err)
{
	struct repair *repair = arg;
	const struct difference *difference = &verification_found(repair->now)->items[item];
	struct lan *lan = is_of_lan(difference) ? lan_by_id(job->daemon, difference->about.lan) : NULL;
	struct vn_error busy = { 0 };

	(void)err;
	if (!lan || is_among(repair->lans, repair->n_lans, lan->id))
		return 0;
	repair->lans[repair->n_lans++] = lan->id;
	if (job_lock(job, &lan->lock, "the LAN", &busy) == 0)
		begin_child(job, &verb_lan_mend, lan_job_params(lan));
	return 0;
}

static enum verdict
step_mend_lans(struct job *job, void *ctx, struct vn_error *err)
{
	struct repair *repair = ctx;
	size_t count = verification_found(repair->now)->count;

	if (!repair->lans)
		repair->lans = vn_alloc_array(count + 1, sizeof(*repair->lans));
	return job_each(job, count, mend_lan, repair, err);
}

/* A port has nowhere to go while its LAN could not be mended. */
static bool
may_be_mended(const struct repair *repair, const struct vnode *vnode)
{
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (repair->lan_failed && is_among(repair->lans, repair->n_lans, member->lan->id))
			return false;
	return true;
}

/* A job_item_fn: one of the differences, of which a vnode may have many. */
static int
mend_vnode(struct job *job, size_t item, void *arg, struct vn_error *err)
{
	struct repair *repair = arg;
	const struct difference *difference = &verification_found(repair->now)->items[item];
	struct vnode *vnode = is_of_vnode(difference) ? vnode_by_vmid(job->daemon, difference->about.vmid)
						      : NULL;

	(void)err;
	if (!vnode || is_among(repair->vnodes, repair->n_vnodes, vnode->vmid))
		return 0;
	repair->vnodes[repair->n_vnodes++] = vnode->vmid;
	if (job_lock_holder(job, &vnode->lock) != LOCK_OF_CHILD && may_be_mended(repair, vnode) && lock_vnode(job, vnode))
		begin_child(job, &verb_vnode_mend, vnode_job_params(vnode));
	return 0;
}

static enum verdict
step_mend_vnodes(struct job *job, void *ctx, struct vn_error *err)
{
	struct repair *repair = ctx;
	size_t count = verification_found(repair->now)->count;

	if (!repair->vnodes) {
		repair->vnodes = vn_alloc_array(count + 1, sizeof(*repair->vnodes));
		repair->lan_failed = job->children_failed > 0;	/* from here on those of vnodes count too */
	}
	return job_each(job, count, mend_vnode, repair, err);
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool
is_left(const struct differences *left, const struct difference *one)
{
	for (size_t i = 0; i < left->count; i++)
		if (strcmp(left->items[i].about.object, one->about.object) == 0 &&
		    strcmp(left->items[i].about.kind, one->about.kind) == 0 &&
		    strcmp(left->items[i].field, one->field) == 0)
			return true;
	return false;
}

static enum verdict
step_report(struct job *job, void *ctx, struct vn_error *err)
{
	struct repair *repair = ctx;
	const struct differences *before = verification_found(repair->first), *left;
	json_t *list = json_array();
	json_int_t mended = 0;

	(void)err;
	verification_settle(repair->now);
	left = verification_found(repair->now);
	repair->n_left = left->count;
	for (size_t i = 0; i < before->count; i++)
		mended += !is_left(left, &before->items[i]);
	for (size_t i = 0; i < left->count; i++)
		json_array_append_new(list, verify_difference_object(job->daemon, &left->items[i]));
	job->result = json_pack("{sI so sO}", "mended", mended, "left", list, "busy",
				verification_busy(repair->now));
	return STEP_DONE;
}

static const struct step repair_steps[] = {
	{ "note",              ON_LOOP,   0,            step_note,           NULL },
	{ "look_at_net",       ON_WORKER, LANE_NET,     step_look_at_net,    NULL },
	{ "look_at_disks",     ON_WORKER, LANE_DISK,    step_look_at_disks,  NULL },
	{ "look_at_guests",    ON_WORKER, LANE_COMPUTE, step_look_at_guests, NULL },
	{ "decide",            ON_LOOP,   0,            step_decide,         NULL },
	{ "mend_host",         ON_WORKER, LANE_NET,     step_mend_host,      NULL },
	{ "sweep",             ON_LOOP,   0,            step_sweep,          NULL, STEP_TOLERANT },
	{ "mend_lans",         ON_LOOP,   0,            step_mend_lans,      NULL, STEP_TOLERANT },
	{ "mend_vnodes",       ON_LOOP,   0,            step_mend_vnodes,    NULL, STEP_TOLERANT },
	{ "note_again",        ON_LOOP,   0,            step_note,           NULL, STEP_TOLERANT },
	{ "look_at_net_again", ON_WORKER, LANE_NET,     step_look_at_net,    NULL },
	{ "look_at_disks_again", ON_WORKER, LANE_DISK,  step_look_at_disks,  NULL },
	{ "look_at_guests_again", ON_WORKER, LANE_COMPUTE, step_look_at_guests, NULL },
	{ "report",            ON_LOOP,   0,            step_report,         NULL, STEP_TOLERANT },
	{ 0 }
};

/* It failed where something is left because mending it failed; what nobody tried is only left. */
static void
ended(struct job *job, void *ctx)
{
	const struct repair *repair = ctx;
	const struct vn_error *why;

	if (job->err.code != VN_OK || !repair || !repair->n_left)
		return;
	why = job->children_failed ? &job->child_err : &repair->host_err;
	if (why->code != VN_OK)
		vn_fail(&job->err, why->code, "%zu difference%s left; the first that could not be "
			"mended: %s", repair->n_left, repair->n_left == 1 ? " is" : "s are", why->text);
}

const struct verb verb_host_repair =
	{ "host.repair", 1, repair_steps, load, free_repair, ended, .anew = true };
