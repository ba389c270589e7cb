/* What is looked at, and where: each source on a worker of its own lane, with nothing but the copy. */
#include "daemon/verify_inner.h"

#include <string.h>

static int
look_at_net(struct verification *v, struct vn_error *err)
{
	return v->net->ops->verify(v->net, &v->wanted, &v->found[VERIFY_NET], err);
}

static bool
has_disk(const struct disk_found *found, size_t count, enum disk_kind kind, int64_t vmid)
{
	for (size_t i = 0; i < count; i++)
		if (found[i].kind == kind && found[i].vmid == vmid)
			return true;
	return false;
}

/* A failed vnode may have lost its disk on the way. */
static void
compare_disk(struct differences *list, const struct verify_subject *subject, const struct disk_found *found,
	     size_t count)
{
	struct difference_about about = difference_about("disk", subject->vmid, PORT_ANY, -1, "%lld",
							 (long long)subject->vmid);
	bool mounted = has_disk(found, count, DISK_MOUNT, subject->vmid);

	if (subject->spared || subject->observed == VNODE_FAILED)
		return;
	difference_flag(list, &about, "exists", true, has_disk(found, count, DISK_VNODE, subject->vmid));
	about.kind = "mount";
	list->checked[CHECKED_MOUNTS]++;
	if (subject->observed != VNODE_MOUNTED && mounted)
		difference_surplus(list, &about);
	else
		difference_flag(list, &about, "exists", subject->observed == VNODE_MOUNTED, mounted);
}

const struct verify_subject *
verify_subject_find(const struct verification *v, int64_t vmid, const char *uuid)
{
	for (size_t i = 0; i < v->n_subjects; i++)
		if (uuid ? strcmp(v->subjects[i].uuid, uuid) == 0 : v->subjects[i].vmid == vmid)
			return &v->subjects[i];
	return NULL;
}

static int
look_at_disks(struct verification *v, struct vn_error *err)
{
	struct differences *list = &v->found[VERIFY_DISK];
	vn_autofree struct disk_found *found = NULL;
	size_t count = 0;

	if (v->disk->ops->inventory(v->disk, &found, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < v->n_subjects; i++)
		compare_disk(list, &v->subjects[i], found, count);
	for (size_t i = 0; v->wanted.whole && i < count; i++) {
		struct difference_about about = difference_about(found[i].kind == DISK_MOUNT ? "mount"
			: "disk", found[i].vmid, PORT_ANY, -1, "%lld", (long long)found[i].vmid);

		if ((found[i].kind == DISK_MOUNT || found[i].kind == DISK_VNODE) &&
		    !verify_subject_find(v, found[i].vmid, NULL))
			difference_surplus(list, &about);
	}
	return 0;
}

static const char *
state_of(const struct guest_found *found, size_t count, const struct verify_subject *subject)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(found[i].uuid, subject->uuid) == 0 &&
		    strcmp(found[i].domain, subject->domain) == 0)
			return found[i].state == GUEST_RUNNING ? "running" : "dead";
	return "absent";
}

static void
compare_guest(struct differences *list, const struct verify_subject *subject, bool is_listed,
	      const struct guest_found *found, size_t count)
{
	struct difference_about about = difference_about("domain", subject->vmid, PORT_ANY, -1, "%s",
							 subject->domain);

	if (subject->spared || subject->observed != VNODE_RUNNING)
		return;
	list->checked[CHECKED_DOMAINS]++;
	if (is_listed)
		difference_text(list, &about, "state", "running", state_of(found, count, subject));
	difference_flag(list, &about, "process", true,
			subject->compute->ops->is_alive(subject->compute, &subject->id));
}

/* A guest of ours whose vnode does not run, or that no vnode has. */
static void
tell_strays(const struct verification *v, struct differences *list, const struct guest_found *found,
	    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct verify_subject *subject = verify_subject_find(v, 0, found[i].uuid);
		struct difference_about about = difference_about("domain", subject ? subject->vmid : 0,
								 PORT_ANY, -1, "%s", found[i].domain);

		if (subject ? !subject->spared && subject->observed != VNODE_RUNNING : v->wanted.whole)
			difference_surplus(list, &about);
	}
}

/* Processes are looked at also where their hypervisor's daemon is away, which is a difference itself. */
static int
look_at_guests(struct verification *v, struct vn_error *err)
{
	struct differences *list = &v->found[VERIFY_GUESTS];

	(void)err;
	for (size_t c = 0; c < DAEMON_COMPUTES && v->computes[c]; c++) {
		struct compute *compute = v->computes[c];
		struct difference_about about = difference_about("hypervisor", 0, PORT_ANY, -1, "%s",
								 compute->ops->name);
		vn_autofree struct guest_found *found = NULL;
		struct vn_error away = { 0 };
		size_t count = 0;
		bool is_listed = compute->ops->list(compute, &found, &count, &away) == 0;

		if (!is_listed)
			difference_text(list, &about, "answer", "a list of domains", away.text);
		for (size_t i = 0; i < v->n_subjects; i++)
			if (v->subjects[i].compute == compute)
				compare_guest(list, &v->subjects[i], is_listed, found, count);
		tell_strays(v, list, found, count);
	}
	return 0;
}

const struct verify_source verify_sources[VERIFY_SOURCES] = {
	[VERIFY_NET]    = { LANE_NET,     look_at_net, .in_fabric_only = true },
	[VERIFY_DISK]   = { LANE_DISK,    look_at_disks },
	[VERIFY_GUESTS] = { LANE_COMPUTE, look_at_guests },
};
