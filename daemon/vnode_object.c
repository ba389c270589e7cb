/* Vnodes as objects of the protocol. */
#include "daemon/vnode_disk.h"

#include <inttypes.h>
#include <string.h>

#include "backends/digest.h"

static const char *const cause_words[] = {
	"unknown", "poweroff", "reboot", "exited", "signalled", "oom", "killed", "halted"
};

json_t *
vnode_exit_object(const struct vnode_exit *exit)
{
	char at[EVENT_TIME_TEXT];
	json_t *object;

	if (!exit->at_us)
		return json_null();
	event_time_print(exit->at_us, at);
	object = json_pack("{ss ss}", "cause", cause_words[exit->exit.cause], "at", at);
	if (exit->exit.cause == EXIT_EXITED)
		json_object_set_new(object, "code", json_integer(exit->exit.code));
	if (exit->exit.cause == EXIT_SIGNALLED || exit->exit.cause == EXIT_KILLED)
		json_object_set_new(object, "signal", json_integer(exit->exit.signal));
	return object;
}

static json_t *
addresses_object(const struct vn_cidr *addresses, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++) {
		char text[VN_CIDR_TEXT];

		if (!addresses[i].family)
			continue;
		vn_cidr_print(&addresses[i], text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *
interface_object(const struct vnode *vnode, const char *name, const char *lan,
		 const struct vn_mac *mac, json_t *addresses, unsigned index)
{
	char text[VN_MAC_TEXT];

	vn_mac_print(mac, text);
	return json_pack("{ss ss? ss so so}", "name", name, "lan", lan, "mac", text, "addresses",
			 addresses, "device",
			 json_sprintf("v%lde%u", (long)vnode->vmid, index));
}

static json_t *
interfaces_object(const struct vnode *vnode)
{
	json_t *list = json_array();
	struct vn_cidr control[2];

	vnode_control_addresses(vnode, &control[0], &control[1]);
	if (control[0].family) {
		struct vn_mac mac = digest_mac(vnode->uuid, 0);

		json_array_append_new(list, interface_object(vnode, "eth0", NULL, &mac,
			addresses_object(control, 2), 0));
	}
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		json_array_append_new(list, interface_object(vnode, member->ifname,
			member->lan->name, &member->mac,
			addresses_object(member->addresses, member->n_addresses), member->index));
	return list;
}

static json_t *
forwards_object(const struct vnode *vnode)
{
	const struct doc_forward *forwards = vnode->spec.forwards.items;
	json_t *list = json_array();

	for (size_t i = 0; i < vnode->spec.forwards.count; i++)
		json_array_append_new(list, json_pack("{sI sI ss ss?}", "host",
			(json_int_t)forwards[i].host, "guest", (json_int_t)forwards[i].guest,
			"protocol", protocol_words[forwards[i].protocol], "address",
			forwards[i].address));
	return list;
}

json_t *
vnode_mount_object(const struct vnode *vnode)
{
	if (vnode->observed != VNODE_MOUNTED)
		return json_null();
	return json_pack("{so sI}", "path", json_sprintf("%s/root/%" PRId64,
			 vnode->daemon->env.run_dir, vnode->vmid), "count",
			 (json_int_t)vnode->runtime.mounts);
}

static const char *
word_or_preset(const char *word, const char *preset)
{
	return word ? word : preset;
}

json_t *
vnode_object(const struct vnode *vnode)
{
	const struct config *config = &vnode->daemon->config;
	char since[EVENT_TIME_TEXT];
	json_t *object;

	event_time_print(vnode->since_us, since);
	object = json_pack("{ss ss sI ss ss ss? ss ss ss so so}",
		"name", vnode->name, "topology", vnode->topology->name,
		"vmid", (json_int_t)vnode->vmid, "uuid", vnode->uuid,
		"backend", word_or_preset(vnode->spec.backend, config->default_backend),
		"image", word_or_preset(vnode->spec.image, config->default_image),
		"wanted", vnode_state_words[vnode->wanted],
		"observed", vnode_state_words[vnode->observed], "since", since,
		"job", vnode->lock.holder ? json_integer(vnode->lock.holder) : json_null(),
		"error", vnode->error.code ? json_pack("{ss ss}", "code",
			vn_code_word(vnode->error.code), "text", vnode->error.text) : json_null());
	json_object_set_new(object, "ready", json_string("unknown"));
	json_object_set_new(object, "memory_bytes",
			    json_integer((json_int_t)vnode->spec.memory_bytes));
	json_object_set_new(object, "vcpus", json_integer(vnode->spec.vcpus));
	json_object_set_new(object, "pids", json_integer(vnode->spec.pids ? vnode->spec.pids
							 : config->pids_default));
	json_object_set_new(object, "restart", json_string(restart_words[vnode->spec.restart]));
	json_object_set_new(object, "privileged", json_boolean(vnode->spec.privileged));
	json_object_set_new(object, "inject", json_boolean(vnode->spec.inject));
	json_object_set_new(object, "mount", vnode_mount_object(vnode));
	json_object_set_new(object, "exit", vnode_exit_object(&vnode->last_exit));
	json_object_set_new(object, "interfaces", interfaces_object(vnode));
	json_object_set_new(object, "forwards", forwards_object(vnode));
	json_object_set_new(object, "disk", vnode_disk_object(vnode));
	json_object_set_new(object, "disks", vnode_extras_object(vnode));
	return object;
}

json_t *
vnode_row(const struct vnode *vnode, const struct field_array *fields)
{
	json_t *row = json_pack("{ss ss sI ss ss ss so}",
		"name", vnode->name, "topology", vnode->topology->name,
		"vmid", (json_int_t)vnode->vmid, "backend",
		word_or_preset(vnode->spec.backend, vnode->daemon->config.default_backend),
		"wanted", vnode_state_words[vnode->wanted],
		"observed", vnode_state_words[vnode->observed],
		"job", vnode->lock.holder ? json_integer(vnode->lock.holder) : json_null());

	if (fields && fields->count) {
		json_t *full = vnode_object(vnode);

		for (size_t i = 0; i < fields->count; i++) {
			const char *key = ((const char **)fields->items)[i];
			json_t *value = json_object_get(full, key);

			if (value)
				json_object_set(row, key, value);
		}
		json_decref(full);
	}
	return row;
}

/* The row without its end: the job, which changes without the vnode. */
static char *
row_start(const struct vnode *vnode)
{
	json_t *row = vnode_row(vnode, NULL);
	char *text;

	json_object_del(row, "job");
	text = json_dumps(row, JSON_COMPACT);
	json_decref(row);
	text[strlen(text) - 1] = '\0';
	return text;
}

void
vnode_row_print(struct vnode *vnode, FILE *out)
{
	if (!vnode->row_text)
		vnode->row_text = row_start(vnode);
	fputs_unlocked(vnode->row_text, out);
	if (vnode->lock.holder)
		fprintf(out, ",\"job\":%" PRId64 "}", vnode->lock.holder);
	else
		fputs_unlocked(",\"job\":null}", out);
}
