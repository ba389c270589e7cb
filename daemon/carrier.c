/* What the verbs that change carriers share; see carrier.h. */
#include "daemon/carrier.h"

#include <stdlib.h>

void
port_list_add(struct port_list *list, const struct member *member)
{
	list->vmids = vn_realloc_array(list->vmids, list->count + 1, sizeof(*list->vmids));
	list->indexes = vn_realloc_array(list->indexes, list->count + 1, sizeof(*list->indexes));
	list->vmids[list->count] = member->vnode->vmid;
	list->indexes[list->count++] = member->index;
}

void
port_list_fini(struct port_list *list)
{
	free(list->vmids);
	free(list->indexes);
}

int
port_list_set(struct net *net, const struct port_list *list, bool up, struct vn_error *err)
{
	if (!list->count)
		return 0;
	return net->ops->ports_carrier(net, list->vmids, list->indexes, list->count, up, err);
}

void
carrier_note(struct job *job, const struct lan *lan)
{
	json_t *members;

	if (json_object_get(job->data, "lan_up"))
		return;
	members = json_object();
	vn_list_each(struct member, member, &lan->members, in_lan)
		json_object_set_new(members, member->vnode->uuid, json_boolean(member->up));
	job_note(job, "lan_up", json_boolean(lan->up));
	job_note(job, "members_up", members);
}

bool
carrier_lan_was_up(const struct job *job)
{
	return json_is_true(json_object_get(job->data, "lan_up"));
}

bool
carrier_was_up(const struct job *job, const struct member *member)
{
	return json_is_true(json_object_get(json_object_get(job->data, "members_up"),
					    member->vnode->uuid));
}

void
carrier_restore(const struct job *job, struct lan *lan)
{
	if (lan->up != carrier_lan_was_up(job))
		lan_set_up(lan, carrier_lan_was_up(job));
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (member->up != carrier_was_up(job, member))
			member_set_up(member, carrier_was_up(job, member));
}
