/*
 * What is told is new in comparison with the look before, so a difference is told once, however often the
 * fabric changes, and again after it was mended. Own changes lead to looks as well, which find nothing: what
 * jobs are at work on is spared, and looked at again after a while.
 *
 * One object has one event a look, and a look with very many has one event for all the rest.
 */
#include "daemon/monitor.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/model.h"
#include "daemon/verify.h"

enum {
	QUIET_MS = 200,			/* from the first change to the look */
	INTERVAL_MS = 1000,		/* from one look to the next, where changes do not end */
	BUSY_MS = 1000, BUSY_MAX_MS = 30000,	/* until what was spared is looked at: doubled each time */
	EVENTS_MAX = 64			/* of one look */
};

struct monitor {
	struct daemon *daemon;
	json_t *known;			/* keys of the differences of the last look, as an object */
	struct watch *timer;
	uint64_t busy_ms;		/* how long to wait for what was spared; 0: nothing was */
	bool is_dirty, is_looking;	/* is_dirty: something may have changed since that look */
};

static void arm(struct monitor *monitor, uint64_t after_ms);

/* ---- telling --------------------------------------------------------------------------------- */

/* One that differs in another way is another difference. */
static char *
key_of(const struct difference *difference)
{
	vn_autofree char *found = json_dumps(difference->found ? difference->found : json_null(),
					     JSON_ENCODE_ANY | JSON_COMPACT);

	return vn_format("%s %s %s %s", difference->about.kind, difference->about.object,
			 difference->field, found);
}

static const struct member *
member_of(const struct vnode *vnode, unsigned index)
{
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (member->index == index)
			return member;
	return NULL;
}

/* A port or a LAN: with whose it is. `list`: all of that object; taken. */
static void
tell_change(struct daemon *daemon, const struct difference_about *of, VN_TAKES json_t *list)
{
	struct vnode *vnode = of->vmid ? vnode_by_vmid(daemon, of->vmid) : NULL;
	const struct member *member = vnode ? member_of(vnode, of->index) : NULL;
	const struct lan *lan = member ? member->lan : of->lan > 0 ? lan_by_id(daemon, of->lan) : NULL;
	const struct topology *topology = vnode ? vnode->topology : lan ? lan->topology : NULL;
	struct event_about about = { .topology = topology ? topology->name : NULL,
		.vnode = vnode ? vnode->name : NULL, .vmid = vnode ? vnode->vmid : 0,
		.lan = lan ? lan->name : NULL };
	vn_autofree char *text = json_dumps(list, JSON_COMPACT);

	vn_log_warning("lan", "%s was changed by a foreign hand: %s", of->object, text);
	event_append(daemon, EVENT_LAN_CHANGE, &about, json_pack("{ss ss ss so}", "change", "foreign",
		"what", "foreign", "object", of->object, "differences", list));
}

static void
tell_warning(struct daemon *daemon, const struct difference_about *of, VN_TAKES json_t *list)
{
	const json_t *first = json_array_get(list, 0);
	vn_autofree char *wanted = json_dumps(json_object_get(first, "wanted"), JSON_ENCODE_ANY);
	vn_autofree char *found = json_dumps(json_object_get(first, "found"), JSON_ENCODE_ANY);

	event_warn(daemon, "the %s '%s' was changed by a foreign hand: %s is %s, wanted %s", of->kind,
		   of->object, json_string_value(json_object_get(first, "field")), found, wanted);
	json_decref(list);
}

/* The news about the object of item i and of those behind it; what is taken is crossed out in `news`. */
static json_t *
collect(struct daemon *daemon, const struct differences *found, bool *news, size_t i)
{
	json_t *list = json_array();

	for (size_t k = i; k < found->count; k++) {
		const struct difference_about *about = &found->items[k].about;

		if (!news[k] || about->vmid != found->items[i].about.vmid ||
		    about->index != found->items[i].about.index ||
		    (!about->vmid && strcmp(about->object, found->items[i].about.object) != 0))
			continue;
		news[k] = false;
		json_array_append_new(list, verify_difference_object(daemon, &found->items[k]));
	}
	return list;
}

static void
tell_news(struct daemon *daemon, const struct differences *found, bool *news)
{
	unsigned told = 0, untold = 0;

	for (size_t i = 0; i < found->count; i++) {
		const struct difference_about *about = &found->items[i].about;
		json_t *list;

		if (!news[i])
			continue;
		list = collect(daemon, found, news, i);
		if (told++ >= EVENTS_MAX) {
			untold++;
			json_decref(list);
		} else if (about->vmid || about->lan > 0) {
			tell_change(daemon, about, list);
		} else {
			tell_warning(daemon, about, list);
		}
	}
	if (untold)
		event_warn(daemon, "%u more objects of the network were changed by a foreign hand: "
			   "see host.verify", untold);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void
take_in(struct monitor *monitor, const struct differences *found)
{
	vn_autofree bool *news = vn_alloc_array(found->count + 1, sizeof(*news));
	json_t *known = json_object();

	for (size_t i = 0; i < found->count; i++) {
		vn_autofree char *key = key_of(&found->items[i]);

		news[i] = !json_object_get(monitor->known, key);
		json_object_set_new(known, key, json_true());
	}
	json_decref(monitor->known);
	monitor->known = known;
	tell_news(monitor->daemon, found, news);
}

/* What was spared is looked at once the jobs may be done: a change meanwhile may have been foreign. */
static void
wait_for_busy(struct monitor *monitor, bool is_busy)
{
	if (!is_busy) {
		monitor->busy_ms = 0;
		return;
	}
	monitor->busy_ms = monitor->busy_ms ? 2 * monitor->busy_ms : BUSY_MS;
	if (monitor->busy_ms > BUSY_MAX_MS)
		monitor->busy_ms = BUSY_MAX_MS;
}

static void
on_look_end(void *arg, const struct verification *verification, const struct vn_error *err)
{
	struct monitor *monitor = arg;
	bool is_settled = verification && !json_array_size(verification_busy(verification)) &&
			  !verification_is_overtaken(verification);

	monitor->is_looking = false;
	if (!verification && !err)
		return;			/* the daemon ends */
	if (err && err->code != VN_E_STATE)
		vn_log_warning("host", "changes of the network cannot be looked at: %s", err->text);
	if (verification)
		take_in(monitor, verification_found(verification));
	wait_for_busy(monitor, !is_settled && !(err && err->code == VN_E_STATE));
	if (monitor->is_dirty)
		arm(monitor, INTERVAL_MS);
	else if (monitor->busy_ms)
		arm(monitor, monitor->busy_ms);
}

static void
on_timer(void *arg)
{
	struct monitor *monitor = arg;
	/* While jobs follow each other every look is overtaken: this one ends, and another comes later. */
	struct verify_scope scope = { .fabric_only = true, .once = true };
	struct vn_error err = { 0 };

	loop_remove(vn_take_ptr(&monitor->timer));
	monitor->is_dirty = false;
	monitor->is_looking = verify_begin(monitor->daemon, &scope, on_look_end, monitor, &err) == 0;
}

static void
arm(struct monitor *monitor, uint64_t after_ms)
{
	loop_remove(monitor->timer);
	monitor->timer = loop_add_timer(monitor->daemon->loop, after_ms, on_timer, monitor);
}

static void
on_change(void *arg)
{
	struct monitor *monitor = arg;

	if (!monitor->is_dirty && !monitor->is_looking)
		arm(monitor, QUIET_MS);
	monitor->is_dirty = true;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct monitor *
monitor_open(struct daemon *daemon)
{
	struct monitor *monitor = vn_alloc(sizeof(*monitor));

	monitor->daemon = daemon;
	monitor->known = json_object();
	return monitor;
}

void
monitor_close(struct monitor *monitor)
{
	if (!monitor)
		return;
	loop_remove(monitor->timer);
	json_decref(monitor->known);
	free(monitor);
}

void
monitor_watch(struct monitor *monitor)
{
	struct net *net = monitor->daemon->net;
	struct vn_error err = { 0 };

	if (net->ops->watch(net, on_change, monitor, &err) < 0)
		event_warn(monitor->daemon, "foreign changes of the network are not seen: %s", err.text);
}

void
monitor_unwatch(struct monitor *monitor)
{
	struct net *net = monitor->daemon->net;
	struct vn_error ignored = { 0 };

	loop_remove(vn_take_ptr(&monitor->timer));
	monitor->is_dirty = false;
	net->ops->watch(net, NULL, NULL, &ignored);
}
