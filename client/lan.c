/* The LAN verbs. */

#include <string.h>

#include "client/change.h"
#include "client/fields.h"
#include "client/options.h"
#include "client/output.h"
#include "client/schedule.h"
#include "client/shape.h"

int
verb_lan_list(struct client *client, const struct arguments *args)
{
	static const struct column columns[] = {
		{ "TOPOLOGY", "topology", 0 }, { "LAN", "name", 0 },
		{ "MTU", "mtu", CELL_NUMBER }, { "UP", "up", 0 },
		{ "JOB", "job", CELL_NUMBER }, { "MEMBERS", "members", CELL_MEMBERS },
		{ 0 },
	};
	json_t *result = NULL;
	int status = client_get(client, args->topology, args->verb->method,
				json_pack("{s:s*}", "topology", args->topology), &result);

	if (status == STATUS_DONE && client->json)
		output_json(result);
	else if (status == STATUS_DONE)
		output_table(columns, output_rows(result, "lans"), "LANs");
	json_decref(result);
	return status;
}

/* "eth3", "VLAN 100 of eth3". */
static json_t *
uplink_text(json_t *uplink)
{
	const char *device = output_text(uplink, "device");
	json_int_t vlan = json_integer_value(json_object_get(uplink, "vlan"));

	if (!json_is_object(uplink))
		return json_null();
	return vlan ? json_sprintf("VLAN %lld of %s", (long long)vlan, device) : json_string(device);
}

static void
print_lan(json_t *lan)
{
	static const struct column record[] = {
		{ "name", "name", 0 }, { "topology", "topology", 0 }, { "id", "id", 0 },
		{ "uuid", "uuid", 0 }, { "mtu", "mtu", 0 },	      { "up", "up", 0 },
		{ "job", "job", 0 },   { "shape", "shape", CELL_SHAPE },
		{ "learning", "learning", 0 }, { "uplink", "uplink", 0 },
		{ 0 },
	};
	static const struct column members[] = {
		{ "VNODE", "vnode", 0 }, { "INTERFACE", "interface", 0 }, { "MAC", "mac", 0 },
		{ "UP", "up", 0 },	 { "DEVICE", "device", 0 },	  { "ADDRESSES", "addresses", 0 },
		{ "TO", "to", CELL_SHAPE }, { "FROM", "from", CELL_SHAPE },
		{ 0 },
	};

	static const struct column tunnels[] = {
		{ "TUNNEL", "name", 0 },   { "KIND", "kind", 0 },   { "REMOTE", "remote", 0 },
		{ "LOCAL", "local", 0 },   { "KEY", "key", 0 },     { "DEVICE", "device", 0 },
		{ "TO", "to", CELL_SHAPE }, { "FROM", "from", CELL_SHAPE },
		{ 0 },
	};

	json_object_set_new(lan, "uplink", uplink_text(json_object_get(lan, "uplink")));
	output_record(record, lan);
	output_inner_table(members, json_object_get(lan, "members"));
	if (json_array_size(json_object_get(lan, "tunnels")))
		output_inner_table(tunnels, json_object_get(lan, "tunnels"));
	schedule_print(json_object_get(lan, "schedule"));
}

int
verb_lan_show(struct client *client, const struct arguments *args)
{
	const char *name = args->operands[0];
	json_t *lan = NULL;
	int status =
		client_get(client, name, args->verb->method, json_pack("{s:s}", "lan", name), &lan);

	if (status == STATUS_DONE && client->json)
		output_json(lan);
	else if (status == STATUS_DONE)
		print_lan(lan);
	json_decref(lan);
	return status;
}

/* Puts the shape where it belongs: the LAN's own, or one direction of a member. */
static void
put_shape(json_t *params, const struct arguments *args, json_t *shape)
{
	if (args->member)
		json_object_set_new(params, "members", json_pack("{s:{s:O}}", args->member,
							args->from ? "from" : "to", shape));
	else
		json_object_set(params, "shape", shape);
}

int
verb_lan_set(struct client *client, const struct arguments *args)
{
	json_t *params = json_object(), *shape = json_object();
	struct vn_error err = { 0 };
	bool resets = false;
	int status = 0;

	for (int i = 1; i < args->n_operands && status == 0; i++) {
		resets |= strcmp(args->operands[i], "shape=") == 0;
		if (!shape_assign(shape, args->operands[i]) &&
		    strcmp(args->operands[i], "shape=") != 0)
			status = field_assign_any(params, args->operands[i], &err);
	}
	if (status == 0 && resets && json_object_size(shape))
		status = vn_fail(&err, VN_E_INVALID, "shape= takes all fields of the shape away: give it alone");
	if (status == 0 && args->from && !args->member)
		status = vn_fail(&err, VN_E_INVALID, "--from is a direction of a member: name it with --member");
	if (status == 0 && args->member && (json_object_size(params) ||
					    (!json_object_size(shape) && !resets)))
		status = vn_fail(&err, VN_E_INVALID, "of a member only the shape can be set");
	if (resets || json_object_size(shape))
		put_shape(params, args, resets ? json_null() : shape);
	json_object_set_new(params, "lan", json_string(args->operands[0]));
	json_decref(shape);
	if (status < 0) {
		json_decref(params);
		return client_usage(client, "%s", err.text);
	}
	return change_one(client, args, args->operands[0], params);
}

int
verb_lan_carrier(struct client *client, const struct arguments *args)
{
	size_t count = (size_t)args->n_operands;
	struct change *changes = vn_alloc_array(count, sizeof(*changes));
	int status;

	for (size_t i = 0; i < count; i++) {
		changes[i].subject = args->operands[i];
		changes[i].method = args->verb->method;
		changes[i].params = json_pack("{s:s, s:s*}", "lan", args->operands[i], "member",
					      args->member);
	}
	status = change_all(client, args, changes, count);
	changes_free(changes, count);
	return status;
}
