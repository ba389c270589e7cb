/*
 * The topology document: its tables, and decoding it. The checks that need more than one field are in
 * document_check.c.
 */
#include "proto/document_private.h"

#define SECOND 1000000000LL

enum { FILES_MAX = 256, VNODES_MAX = 4096, LANS_MAX = 4096, MEMBERS_MAX = 4096, DNS_MAX = 3 };
enum { MTU_MIN = 576, MTU_MAX = 9000 };

const char *const restart_words[] = { "never", "on-failure", "always", NULL };
const char *const protocol_words[] = { "tcp", "udp", NULL };
const char *const default_route_words[] = { "control", "none", NULL };

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field forward_fields[] = {
	{ "host", "port on the host", FIELD_INT, FIELD_REQUIRED, AT(doc_forward, host), 1, 65535 },
	{ "guest", "port of the vnode", FIELD_INT, FIELD_REQUIRED, AT(doc_forward, guest), 1,
	  65535 },
	{ "protocol", "tcp unless given", FIELD_WORD, 0, AT(doc_forward, protocol),
	  .words = protocol_words },
	{ "address", "address of the host to listen on; every one unless given", FIELD_STRING, 0,
	  AT(doc_forward, address), .form = &form_address },
	{ 0 }
};

const struct field doc_vnode_fields[] = {
	{ "backend", "what runs it; the configuration's default_backend unless given", FIELD_STRING,
	  0, AT(doc_vnode, backend), .form = &form_name },
	{ "image", "name of its image; the configuration's default_image unless given",
	  FIELD_STRING, 0, AT(doc_vnode, image), .form = &form_name },
	{ "memory", "most memory it may use; unlimited unless given", FIELD_SIZE, 0,
	  AT(doc_vnode, memory_bytes), 4 << 20, 0 },
	{ "vcpus", "processors' worth of time; unlimited unless given", FIELD_INT, 0,
	  AT(doc_vnode, vcpus), 1, 1024 },
	{ "pids", "most processes and threads; the default limit unless given", FIELD_INT, 0,
	  AT(doc_vnode, pids), 1, 4194304 },
	{ "restart", "when to boot it again after it ended", FIELD_WORD, 0, AT(doc_vnode, restart),
	  .words = restart_words },
	{ "control", "whether it has eth0 in the control network", FIELD_BOOL, 0,
	  AT(doc_vnode, control), .preset = true },
	{ "privileged", "run without a user namespace of its own; admins only", FIELD_BOOL, 0,
	  AT(doc_vnode, privileged) },
	{ "grace", "time from asking it to end until it is killed; the configuration's unless given",
	  FIELD_TIME, 0, AT(doc_vnode, grace_ns), 1, 3600 * SECOND },
	{ "init", "command line of its first process; /sbin/init unless given", FIELD_LIST, 0,
	  AT(doc_vnode, init), 1, 64, .item = FIELD_STRING },
	{ "forwards", "ports of the host that lead to it", FIELD_LIST, 0, AT(doc_vnode, forwards),
	  0, 1024, .item = FIELD_STRUCT, .fields = forward_fields,
	  .size = sizeof(struct doc_forward) },
	{ "routes", "routes beside those of its networks", FIELD_LIST, 0, AT(doc_vnode, routes), 0, 1024,
	  .item = FIELD_STRUCT, .fields = doc_route_fields, .size = sizeof(struct doc_route) },
	{ "default_route", "whether it has a default route over the control network", FIELD_WORD, 0,
	  AT(doc_vnode, default_route), .words = default_route_words },
	{ "disk", "its disk", FIELD_STRUCT, FIELD_MARKED, AT(doc_vnode, disk), .fields = doc_disk_fields,
	  .size = sizeof(struct doc_disk) },
	DOC_LOGIN_FIELDS(doc_vnode, login),
	{ "files", "files that are written into it", FIELD_LIST, 0, AT(doc_vnode, files), 0, FILES_MAX,
	  .item = FIELD_STRUCT, .fields = doc_file_fields, .size = sizeof(struct doc_file) },
	{ "inject", "whether anything is written into it at all", FIELD_BOOL, 0, AT(doc_vnode, inject),
	  .preset = true },
	{ "disks", "extra disks, by name", FIELD_MAP, 0, AT(doc_vnode, extras), 0, 16,
	  .form = &form_disk_name, .fields = doc_extra_fields, .size = sizeof(struct doc_extra) },
	{ "devices", "devices of the host", FIELD_JSON, FIELD_UNSUPPORTED },
	{ 0 }
};

const struct field doc_member_fields[] = {
	{ "address", "its addresses with prefix length, one or an array", FIELD_LIST, FIELD_OR_ONE,
	  AT(doc_member, addresses), 0, 64, .item = FIELD_STRING, .form = &form_cidr },
	{ "interface", "name inside the vnode; the lowest free ethN unless given", FIELD_STRING, 0,
	  AT(doc_member, interface), .form = &form_interface },
	{ "mac", "its hardware address; derived unless given", FIELD_STRING, 0, AT(doc_member, mac),
	  .form = &form_mac },
	{ "shape", "how its traffic is shaped, each way", FIELD_STRUCT, 0, AT(doc_member, shape),
	  .fields = doc_port_shape_fields, .size = sizeof(struct doc_port_shape) },
	{ 0 }
};

const struct field doc_lan_fields[] = {
	{ "mtu", "largest packet in bytes; 1500 unless given", FIELD_INT, 0, AT(doc_lan, mtu),
	  MTU_MIN, MTU_MAX },
	{ "members", "its vnodes by name", FIELD_MAP, 0, AT(doc_lan, members), 0, MEMBERS_MAX,
	  .form = &form_name, .fields = doc_member_fields, .size = sizeof(struct doc_member) },
	{ "shape", "how the traffic of each member is shaped that says nothing of its own",
	  FIELD_STRUCT, FIELD_MARKED, AT(doc_lan, shape), .fields = doc_shape_fields,
	  .size = sizeof(struct doc_shape) },
	{ "schedule", "what changes when, by the daemon's clock", FIELD_JSON, 0, AT(doc_lan, schedule),
	  .fields = doc_entry_fields, .item = FIELD_STRUCT },
	{ "", "", FIELD_INLINE, 0, AT(doc_lan, ways), .fields = doc_ways_fields,
	  .size = sizeof(struct doc_ways) },
	{ 0 }
};

const struct field document_fields[] = {
	{ "topology", "name of the topology", FIELD_STRING, FIELD_REQUIRED, AT(document, topology),
	  .form = &form_name },
	{ "domain", "DNS domain of its vnodes", FIELD_STRING, 0, AT(document, domain),
	  .form = &form_domain },
	{ "dns", "addresses of name servers for its vnodes", FIELD_LIST, 0, AT(document, dns), 0,
	  DNS_MAX, .item = FIELD_STRING, .form = &form_address },
	DOC_LOGIN_FIELDS(document, login),
	{ "vnodes", "its vnodes by name", FIELD_MAP, 0, AT(document, vnodes), 0, VNODES_MAX,
	  .form = &form_name, .fields = doc_vnode_fields, .size = sizeof(struct doc_vnode) },
	{ "lans", "its LANs by name", FIELD_MAP, 0, AT(document, lans), 0, LANS_MAX,
	  .form = &form_name, .fields = doc_lan_fields, .size = sizeof(struct doc_lan) },
	{ 0 }
};

int
document_decode(json_t *object, struct vn_arena *arena, struct document *ret, struct vn_error *err)
{
	struct document document = { 0 };

	if (schema_decode(document_fields, object, arena, &document, err) < 0 ||
	    document_check(&document, object, err) < 0)
		return -1;
	*ret = document;
	return 0;
}
