/* The one list of what answers hold. Names of arrays and their rows are beside each other. */
#include "proto/objects.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"

const char *const object_event_types[] = {
	"vnode.state", "vnode.exit",   "lan.change", "job.state",
	"image.state", "host.warning", "gap",        NULL,
};

const struct object_field object_fields[] = {
	{ "openrpc", NULL, "object", "an OpenRPC 1.2 document" },
	{ "document", NULL, "object", "a topology document" },

	{ "host", "version", "string", "of the daemon" },
	{ "host", "protocol", "integer", "rises when an old client would break" },
	{ "host", "features", "string[]", "what was added since" },
	{ "host", "instance", "string", "uuid of this installation" },
	{ "host", "instance_name", "string", "name of this installation" },
	{ "host", "epoch", "string", "changes when the database is made anew" },
	{ "host", "boot_id", "string", "of the machine's present boot" },
	{ "host", "missing", "string[]", "what this host lacks, a sentence each" },
	{ "host", "ready", "boolean", "whether recovery has ended" },
	{ "host", "vnodes", "integer", "how many there are" },
	{ "host", "running", "integer", "how many of them run" },
	{ "host", "jobs", "integer", "how many have not ended" },
	{ "host", "hostname", "string", "of the machine" },
	{ "host", "kernel", "string", "release of its kernel" },

	{ "verification", "differences", "difference[]", "what is not as it is to be" },
	{ "verification", "checked", "object", "how many of each were looked at" },
	{ "verification", "busy", "string[]", "vnodes and LANs left out, since a job works on them" },
	{ "verification", "ms", "integer", "how long it took" },
	{ "difference", "object", "string", "what it is called on the host" },
	{ "difference", "kind", "string", "port, qdisc, address, route, bridge, forward, rule …" },
	{ "difference", "field", "string", "what about it" },
	{ "difference", "wanted", "any", "as it is to be; null: nothing" },
	{ "difference", "found", "any", "as it is; null: nothing" },
	{ "difference", "vnode", "string", "it belongs to, as TOPOLOGY/NAME" },
	{ "difference", "lan", "string", "it belongs to, as TOPOLOGY/NAME" },
	{ "difference", "interface", "string", "of the vnode" },
	{ "difference", "direction", "string", "of a shape, as the vnode sees it: sent or received" },

	{ "vnodes", "vnodes", "vnode_row[]", "by VMID" },
	{ "vnodes", "more", "boolean", "whether there are more above the last VMID" },
	{ "vnode_row", "name", "string", "unique in its topology" },
	{ "vnode_row", "topology", "string", "its topology" },
	{ "vnode_row", "vmid", "integer", "its number, never reused" },
	{ "vnode_row", "backend", "string", "what runs it" },
	{ "vnode_row", "wanted", "string", "running, stopped or absent" },
	{ "vnode_row", "observed", "string", "the state it is in" },
	{ "vnode_row", "job", "integer?", "the job that holds it" },

	{ "vnode", "name", "string", "unique in its topology" },
	{ "vnode", "topology", "string", "its topology" },
	{ "vnode", "vmid", "integer", "its number, never reused" },
	{ "vnode", "uuid", "string", "its identity" },
	{ "vnode", "backend", "string", "what runs it" },
	{ "vnode", "image", "string?", "name of its image" },
	{ "vnode", "wanted", "string", "running, stopped or absent" },
	{ "vnode", "observed", "string", "the state it is in" },
	{ "vnode", "since", "time", "when it came into that state" },
	{ "vnode", "ready", "string", "unknown, yes or no" },
	{ "vnode", "job", "integer?", "the job that holds it" },
	{ "vnode", "error", "failure?", "why it failed" },
	{ "vnode", "memory_bytes", "integer", "its limit; 0 = none" },
	{ "vnode", "vcpus", "integer", "its limit; 0 = none" },
	{ "vnode", "pids", "integer", "its limit; 0 = none" },
	{ "vnode", "restart", "string", "never, on-failure or always" },
	{ "vnode", "privileged", "boolean", "runs without a user namespace of its own" },
	{ "vnode", "inject", "boolean", "whether anything is written into it" },
	{ "vnode", "host_keys", "string[]", "vnode.get: its SSH host keys, as in known_hosts; null without inject" },
	{ "vnode", "mount", "mount?", "where its file system is, while it is mounted" },
	{ "vnode", "exit", "exit?", "how it ended last" },
	{ "vnode", "interfaces", "interface[]", "its interfaces" },
	{ "vnode", "forwards", "forward[]", "ports of the host that lead to it" },
	{ "vnode", "disk", "vnode_disk", "what its disk is" },
	{ "vnode", "disks", "extra_disk[]", "its extra disks" },

	{ "extra_disk", "name", "string", "its name" },
	{ "extra_disk", "size_bytes", "integer", "its size" },
	{ "extra_disk", "filesystem", "string", "ext4 or none" },
	{ "extra_disk", "mount", "string?", "where the guest finds it" },
	{ "vnode_disk", "type", "string", "overlay, reflink, qcow2 or lvm-thin" },
	{ "vnode_disk", "size_bytes", "integer", "its size; 0 = its image's, or none of its own" },

	{ "failure", "code", "string", "what a program branches on" },
	{ "failure", "text", "string", "what a person reads" },
	{ "failure", "path", "string", "pointer into the parameters, where one is at fault" },

	{ "exit", "cause", "string",
	  "poweroff, reboot, exited, signalled, oom, killed, halted or unknown" },
	{ "exit", "code", "integer", "exit status, with cause exited" },
	{ "exit", "signal", "integer", "signal number, with causes signalled and killed" },
	{ "exit", "at", "time", "when it ended" },

	{ "mount", "path", "string", "folder of the host, for root only" },
	{ "mount", "count", "integer", "how many calls of vnode.mount are not taken back" },

	{ "interface", "name", "string", "inside the vnode" },
	{ "interface", "lan", "string?", "its LAN; null for the control network" },
	{ "interface", "mac", "string", "its hardware address" },
	{ "interface", "addresses", "string[]", "with prefix length" },
	{ "interface", "device", "string", "its other end in the fabric" },

	{ "forward", "host", "integer", "port on the host" },
	{ "forward", "guest", "integer", "port of the vnode" },
	{ "forward", "protocol", "string", "tcp or udp" },
	{ "forward", "address", "string?", "address of the host; null for every one" },

	{ "exec", "exec", "integer", "with tty, at once: its number when its end is told" },
	{ "exec", "exit_code", "integer", "the command's; -1 when a signal ended it" },
	{ "exec", "signal", "integer", "0 when it exited" },
	{ "exec", "stdout", "string", "base64, with capture" },
	{ "exec", "stderr", "string", "base64, with capture" },
	{ "exec", "truncated", "boolean", "with capture: there was more" },

	{ "console", NULL, "object", "nothing: the console is the descriptor that comes along" },

	{ "lans", "lans", "lan[]", "by id" },
	{ "lan", "name", "string", "unique in its topology" },
	{ "lan", "topology", "string", "its topology" },
	{ "lan", "id", "integer", "its number, never reused" },
	{ "lan", "uuid", "string", "its identity" },
	{ "lan", "mtu", "integer", "largest packet in bytes" },
	{ "lan", "up", "boolean", "false after lan.down" },
	{ "lan", "shape", "shape?", "of what each member sends that has none of its own" },
	{ "lan", "members", "member[]", "its vnodes" },
	{ "lan", "learning", "boolean", "whether it learns who is where" },
	{ "lan", "uplink", "uplink?", "the port of the host that is lent to it" },
	{ "lan", "tunnels", "tunnel[]", "its ways to other hosts" },
	{ "lan", "schedule", "scheduled[]", "what changes when; with lan.get and lan.schedule" },
	{ "lan", "job", "integer?", "the job that holds it" },

	{ "scheduled", "entry", "integer", "its place in the list as it was given, from 0" },
	{ "scheduled", "at", "time", "when it is due" },
	{ "scheduled", "after", "string", "as it was given" },
	{ "scheduled", "shape", "any", "as it was given" },
	{ "scheduled", "members", "any", "as it was given" },
	{ "scheduled", "up", "boolean", "as it was given" },
	{ "scheduled", "state", "string", "pending, done, missed or failed" },
	{ "scheduled", "fired", "time", "when it was carried out" },
	{ "scheduled", "late_ms", "number", "so much after it was due" },
	{ "scheduled", "error", "string", "why it failed" },

	{ "uplink", "device", "string", "of the host" },
	{ "uplink", "vlan", "integer?", "tag of the VLAN; null for the device as a whole" },
	{ "uplink", "default_route", "boolean", "whether it may be that of the host's default route" },

	{ "tunnel", "name", "string", "unique among the LAN's members and tunnels" },
	{ "tunnel", "kind", "string", "gre, egre or vxlan" },
	{ "tunnel", "remote", "string", "address of the other host" },
	{ "tunnel", "local", "string?", "of this one; null: the kernel chooses" },
	{ "tunnel", "key", "integer?", "GRE key or VXLAN network identifier" },
	{ "tunnel", "port", "integer?", "UDP port of VXLAN" },
	{ "tunnel", "device", "string", "in the fabric, unless it leads to this host" },
	{ "tunnel", "to", "shape?", "in force on what comes from the other host" },
	{ "tunnel", "from", "shape?", "in force on what is sent there, beside the others' \"to\"" },

	{ "member", "vnode", "string", "name of the vnode" },
	{ "member", "vmid", "integer", "its number" },
	{ "member", "interface", "string", "name inside the vnode" },
	{ "member", "mac", "string", "its hardware address" },
	{ "member", "addresses", "string[]", "with prefix length" },
	{ "member", "up", "boolean", "whether it has a carrier" },
	{ "member", "device", "string", "its other end in the fabric" },
	{ "member", "to", "shape?", "in force on what it sends" },
	{ "member", "from", "shape?", "in force on what it is sent, beside the others' \"to\"" },

	{ "shape", "rate_bps", "integer", "layer-2 bits a second; 0 = unlimited" },
	{ "shape", "delay_ns", "integer", "one way" },
	{ "shape", "jitter_ns", "integer", "deviation of the delay" },
	{ "shape", "distribution", "string", "of the jitter: uniform, normal, pareto or paretonormal" },
	{ "shape", "loss", "number", "0 to 1, as all shares" },
	{ "shape", "loss_correlation", "number", "how much a loss depends on the one before" },
	{ "shape", "duplicate", "number", "share of packets sent twice" },
	{ "shape", "corrupt", "number", "share of packets with a flipped bit" },
	{ "shape", "reorder", "number", "share of packets that overtake those delayed" },
	{ "shape", "reorder_correlation", "number", "how much that depends on the packet before" },
	{ "shape", "limit_bytes", "integer", "bytes that may wait; 0 = derived" },
	{ "shape", "limit_packets", "integer", "packets that may wait; 0 = derived" },

	{ "probe", "lan", "string", "what was measured" },
	{ "probe", "topology", "string", "its topology" },
	{ "probe", "directions", "probe_direction[]", "each by itself" },
	{ "probe", "verdict", "string", "ok, or differs where any direction does" },
	{ "probe_direction", "from", "string", "name of the vnode that sends" },
	{ "probe_direction", "to", "string", "and of the one that receives" },
	{ "probe_direction", "delay_ns", "probe_delay", "one way" },
	{ "probe_direction", "rate_bps", "probe_rate", "layer-2 bits a second" },
	{ "probe_direction", "loss", "probe_loss", "0 to 1" },
	{ "probe_direction", "verdict", "string", "ok, differs, or unlimited: ok, with no rate wanted" },
	{ "probe_delay", "wanted", "integer", "sum of the shapes on the way" },
	{ "probe_delay", "measured", "integer", "median less bare_median" },
	{ "probe_delay", "low", "integer", "of the 99 % interval of measured" },
	{ "probe_delay", "high", "integer", "its other end" },
	{ "probe_delay", "median", "integer", "of the probes" },
	{ "probe_delay", "p99", "integer", "99th percentile of the probes" },
	{ "probe_delay", "bare_median", "integer", "without shapes, in the same run" },
	{ "probe_delay", "bare_p99", "integer", "likewise" },
	{ "probe_delay", "samples", "integer", "probes that arrived" },
	{ "probe_delay", "verdict", "string", "ok or differs" },
	{ "probe_rate", "wanted", "integer?", "what gets through; null: unlimited" },
	{ "probe_rate", "measured", "integer", "at the receiver" },
	{ "probe_rate", "low", "integer", "of the 99 % interval" },
	{ "probe_rate", "high", "integer?", "its other end; null: more than this host could offer" },
	{ "probe_rate", "offered", "integer", "by the sender" },
	{ "probe_rate", "frames", "integer", "that arrived" },
	{ "probe_rate", "verdict", "string", "ok, differs or unlimited" },
	{ "probe_loss", "wanted", "number", "of the shapes on the way together" },
	{ "probe_loss", "measured", "number", "share that did not arrive" },
	{ "probe_loss", "low", "number", "of the 99 % interval (Wilson)" },
	{ "probe_loss", "high", "number", "its other end" },
	{ "probe_loss", "sent", "integer", "frames" },
	{ "probe_loss", "verdict", "string", "ok or differs" },

	{ "topologies", "topologies", "topology_row[]", "by name" },
	{ "topology_row", "name", "string", "unique on the host" },
	{ "topology_row", "n_vnodes", "integer", "its vnodes" },
	{ "topology_row", "running", "integer", "how many of them run" },
	{ "topology_row", "n_lans", "integer", "its LANs" },
	{ "topology_row", "job", "integer?", "the job that holds it" },
	{ "topology", "name", "string", "unique on the host" },
	{ "topology", "n_vnodes", "integer", "its vnodes" },
	{ "topology", "running", "integer", "how many of them run" },
	{ "topology", "n_lans", "integer", "its LANs" },
	{ "topology", "job", "integer?", "the job that holds it" },
	{ "topology", "vnodes", "vnode_row[]", "its vnodes" },
	{ "topology", "lans", "lan[]", "its LANs" },

	{ "plan", "topology", "string", "name of the topology" },
	{ "plan", "actions", "action[]", "what apply would do" },
	{ "plan", "empty", "boolean", "whether there is nothing to do" },
	{ "action", "action", "string", "what would be done" },
	{ "action", "kind", "string", "to what kind of thing" },
	{ "action", "name", "string", "to which" },
	{ "action", "how", "string", "live, restart or recreate, where a vnode changes" },
	{ "action", "fields", "any", "which of its fields differ" },

	{ "images", "images", "image[]", "by name" },
	{ "image", "name", "string", "unique on the host" },
	{ "image", "state", "string", "where it is on its way" },
	{ "image", "sha256", "string?", "digest of its archive" },
	{ "image", "source", "string", "where it came from" },
	{ "image", "format", "string?", "tar, raw or qcow2; null before it is known" },
	{ "image", "base", "string?", "the image that it is a layer on" },
	{ "image", "bytes", "integer", "what it takes, unpacked" },
	{ "image", "archive_bytes", "integer", "size of what was added" },
	{ "image", "virtual_bytes", "integer", "of a disk, as a guest sees it; else 0" },
	{ "image", "vnodes", "integer", "how many use it" },
	{ "image", "layers", "string[]", "image.get: itself, its base, and so on" },
	{ "image", "users", "string[]", "image.get: vnodes on it and images on it" },
	{ "image", "used", "time", "when a vnode was made from it last, or it was added" },
	{ "image", "added", "time", "when it was added" },
	{ "image", "error", "string?", "why it failed" },
	{ "image", "job", "integer?", "the job that holds it" },

	{ "job", "job", "integer", "id of the job that does it" },
	{ "job", "result", "any", "with `wait`: what came of it" },

	{ "jobs", "jobs", "job_row[]", "newest first" },
	{ "job_row", "job", "integer", "its id" },
	{ "job_row", "parent", "integer?", "the job it is a part of" },
	{ "job_row", "method", "string", "what it does" },
	{ "job_row", "state", "string", "queued, running, undoing, done, failed or cancelled" },
	{ "job_row", "step", "string?", "the step it is in" },
	{ "job_row", "done", "integer", "steps or parts that have ended" },
	{ "job_row", "total", "integer", "of so many" },
	{ "job_row", "progress", "progress", "of the step it is in, where that tells" },
	{ "job_row", "vnodes", "string[]", "what it is about" },
	{ "job_row", "uid", "integer", "the user who asked for it" },
	{ "job_row", "created", "time?", "when it was asked for" },
	{ "job_row", "ended", "time?", "when it ended" },
	{ "job_row", "error", "failure?", "why it failed" },
	{ "job_full", "job", "integer", "its id" },
	{ "job_full", "parent", "integer?", "the job it is a part of" },
	{ "job_full", "method", "string", "what it does" },
	{ "job_full", "state", "string", "queued, running, undoing, done, failed or cancelled" },
	{ "job_full", "step", "string?", "the step it is in" },
	{ "job_full", "done", "integer", "steps or parts that have ended" },
	{ "job_full", "total", "integer", "of so many" },
	{ "job_full", "progress", "progress", "of the step it is in, where that tells" },
	{ "job_full", "vnodes", "string[]", "what it is about" },
	{ "job_full", "uid", "integer", "the user who asked for it" },
	{ "job_full", "created", "time?", "when it was asked for" },
	{ "job_full", "ended", "time?", "when it ended" },
	{ "job_full", "error", "failure?", "why it failed" },
	{ "job_full", "result", "any", "what came of it" },
	{ "job_full", "failures", "object[]", "of its parts, where any failed" },
	{ "job_full", "steps", "step[]", "its steps in order" },
	{ "progress", "done", "integer", "of total" },
	{ "progress", "total", "integer", "in whatever it counts" },
	{ "step", "name", "string", "of the step" },
	{ "step", "state", "string", "where it is" },
	{ "step", "ms", "integer", "how long it took" },

	{ "events", "events", "event[]", "oldest first" },
	{ "event", "seq", "integer", "its number, never reused" },
	{ "event", "time", "time", "when it happened" },
	{ "event", "type", "string",
	  "vnode.state, vnode.exit, lan.change, job.state, image.state, host.warning or gap" },
	{ "event", "topology", "string?", "where it happened" },
	{ "event", "vnode", "string?", "what it is about" },
	{ "event", "vmid", "integer?", "its number" },
	{ "event", "lan", "string?", "what it is about" },
	{ "event", "job", "integer?", "what it is about" },
	{ "event", "data", "any", "what its type adds" },

	{ "subscription", "subscription", "integer", "its id, in each notification" },
	{ "subscription", "epoch", "string", "changes when the database is made anew" },
	{ "subscription", "seq", "integer", "of the last event before it" },
	{ "subscription", "snapshot", "any", "what was asked for, valid at seq" },

	{ "done", NULL, "object", "nothing more to say" },
	{ 0 }
};

const struct object_field *
object_field_find(const char *object, const char *name)
{
	for (const struct object_field *field = object_fields; field->object; field++)
		if (strcmp(field->object, object) == 0 && field->name &&
		    strcmp(field->name, name) == 0)
			return field;
	return NULL;
}

/* ---- as JSON Schema ---- */

/* The schema of a bare type word. */
static json_t *
describe_word(const char *word)
{
	static const char *const plain[] = { "string", "integer", "number", "boolean", "object" };

	for (size_t i = 0; i < VN_COUNT(plain); i++)
		if (strcmp(plain[i], word) == 0)
			return json_pack("{ss}", "type", word);
	if (strcmp(word, "time") == 0)
		return json_pack("{ss ss}", "type", "string", "format", "date-time");
	if (strcmp(word, "any") == 0)
		return json_object();
	return json_pack("{so}", "$ref", json_sprintf("#/components/schemas/%s", word));
}

static json_t *
describe_type(const char *type)
{
	size_t length = strcspn(type, "[?");
	char word[32];
	json_t *schema;

	snprintf(word, sizeof(word), "%.*s", (int)length, type);
	schema = describe_word(word);
	if (type[length] == '[')
		return json_pack("{ss so}", "type", "array", "items", schema);
	if (type[length] == '?')
		return json_pack("{s[o {ss}]}", "anyOf", schema, "type", "null");
	return schema;
}

/* A $ref stands alone: draft 7 ignores what is beside it. */
static void
set_help(json_t *schema, const char *help)
{
	if (!json_object_get(schema, "$ref"))
		json_object_set_new(schema, "description", json_string(help));
}

json_t *
objects_describe(void)
{
	json_t *schemas = json_object();

	for (const struct object_field *field = object_fields; field->object; field++) {
		json_t *object = json_object_get(schemas, field->object);
		json_t *schema = describe_type(field->type);

		set_help(schema, field->help);
		if (!field->name) {
			json_object_set_new(schemas, field->object, schema);
			continue;
		}
		if (!object) {
			object = json_pack("{ss s{}}", "type", "object", "properties");
			json_object_set_new(schemas, field->object, object);
		}
		json_object_set_new(json_object_get(object, "properties"), field->name, schema);
	}
	return schemas;
}
