/*
 * What each method takes, a table a struct. Forms that only one table needs are here; the rest are
 * in forms.c.
 */
#include "proto/params.h"

#include <string.h>

#include "proto/methods.h"
#include "proto/objects.h"

const char *const stdio_words[] = { "fds", "capture", NULL };
const char *const image_format_words[] = { "detect", "tar", "raw", "qcow2", NULL };

/* ---- forms ---- */

static int
check_variable(const char *text, struct vn_error *err)
{
	if (text[0] != '=' && strchr(text, '='))
		return 0;
	return vn_fail(err, VN_E_INVALID, "expected NAME=VALUE, got \"%.80s\"", text);
}

static int
check_url(const char *text, struct vn_error *err)
{
	size_t scheme = 0;

	if (strncmp(text, "http://", 7) == 0)
		scheme = 7;
	else if (strncmp(text, "https://", 8) == 0)
		scheme = 8;
	else if (strncmp(text, "file:", 5) == 0)
		return text[5] ? 0 : vn_fail(err, VN_E_INVALID, "a file: URL without a path");
	for (const char *at = text; *at; at++)
		if (*at <= ' ' || *at == 0x7f)
			scheme = 0;
	if (scheme > 0 && text[scheme] != '\0' && text[scheme] != '/')
		return 0;
	return vn_fail(err, VN_E_INVALID,
		       "expected a URL such as \"https://example.org/image.tar.xz\"");
}

static int
check_state(const char *text, struct vn_error *err)
{
	for (size_t i = 0; i < VNODE_STATE_COUNT; i++)
		if (strcmp(vnode_state_words[i], text) == 0)
			return 0;
	return vn_fail(
		err, VN_E_INVALID,
		"no state \"%.40s\": states are absent, creating, stopped, mounted, booting, "
		"running, paused, stopping, destroying, failed",
		text);
}

static int
check_event_type(const char *text, struct vn_error *err)
{
	for (size_t i = 0; object_event_types[i]; i++)
		if (strcmp(object_event_types[i], text) == 0)
			return 0;
	return vn_fail(err, VN_E_INVALID,
		       "no event type \"%.40s\": types are vnode.state, vnode.exit, lan.change, "
		       "job.state, image.state, host.warning, gap", text);
}

static int
check_vnode_field(const char *text, struct vn_error *err)
{
	if (object_field_find("vnode", text))
		return 0;
	return vn_fail(err, VN_E_INVALID, "a vnode has no field \"%.40s\"", text);
}

static const struct form form_variable = { "NAME=VALUE", "^[^=]+=", check_variable };
static const struct form form_url = { "http, https or file URL", "^(https?://[^/ ]|file:.)", check_url };
static const struct form form_state = {
	"state",
	"^(absent|creating|stopped|mounted|booting|running|paused|stopping|destroying|failed)$",
	check_state
};
static const struct form form_event_type = {
	"event type",
	"^(vnode\\.(state|exit)|lan\\.change|job\\.state|image\\.state|host\\.warning|gap)$",
	check_event_type
};
static const struct form form_vnode_field = { "field of a vnode", NULL, check_vnode_field };

/* ---- tables ---- */

#define AT(type, member) .offset = offsetof(struct type, member)
#define CHANGE(type) \
	{ "", "", FIELD_INLINE, 0, AT(type, change), .fields = change_params_fields, \
	  .size = sizeof(struct change_params) }
#define VNODE(type) \
	{ "vnode", "name of the vnode, or TOPOLOGY/NAME", FIELD_STRING, FIELD_REQUIRED, \
	  AT(type, vnode), .form = &form_reference }
#define LAN(type) \
	{ "lan", "name of the LAN, or TOPOLOGY/NAME", FIELD_STRING, FIELD_REQUIRED, AT(type, lan), \
	  .form = &form_reference }
#define TOPOLOGY(type, flags, help) \
	{ "topology", help, FIELD_STRING, flags, AT(type, topology), .form = &form_name }
#define IMAGE(type) \
	{ "image", "name of the image", FIELD_STRING, FIELD_REQUIRED, AT(type, image), \
	  .form = &form_name }
#define JOB(type) \
	{ "job", "id of the job", FIELD_INT, FIELD_REQUIRED, AT(type, job), 1 }
#define TYPES(type) \
	{ "types", "only events of these types", FIELD_LIST, 0, AT(type, types), 1, 16, \
	  .item = FIELD_STRING, .form = &form_event_type }
#define TIMEOUT(type) \
	{ "timeout_ms", "how long to wait; 0 = for ever", FIELD_INT, 0, AT(type, timeout_ms) }
#define DOCUMENT(type) \
	{ "document", "the topology document", FIELD_JSON, FIELD_REQUIRED, AT(type, document), \
	  .fields = document_fields }, \
	{ "sources", "each source of its files that comes along, in the order of the descriptors", \
	  FIELD_LIST, 0, AT(type, sources), 0, PROTOCOL_FDS_MAX, .item = FIELD_STRING }, \
	{ "prune", "destroy vnodes and LANs that the document no longer names", FIELD_BOOL, 0, \
	  AT(type, prune) }, \
	{ "allow_recreate", "permit changes that need a fresh disk", FIELD_BOOL, 0, \
	  AT(type, allow_recreate) }

enum { LIMIT_MAX = 100000 };

const struct field change_params_fields[] = {
	{ "wait", "answer when the job has ended", FIELD_BOOL, 0, AT(change_params, wait) },
	{ "timeout_ms", "end the job after this time; 0 = none", FIELD_INT, 0,
	  AT(change_params, timeout_ms) },
	{ "request_id", "the same id again gives the first answer again", FIELD_STRING, 0,
	  AT(change_params, request_id), 1, 64 },
	{ 0 }
};

const struct field no_params_fields[] = { { 0 } };

const struct field host_change_params_fields[] = {
	{ "budget_ms", "time for all guests together; 0 = each its own grace time", FIELD_INT, 0,
	  AT(host_change_params, budget_ms) },
	CHANGE(host_change_params),
	{ 0 }
};

const struct field host_verify_params_fields[] = {
	TOPOLOGY(host_verify_params, 0, "only what belongs to this topology"),
	{ 0 }
};

const struct field host_repair_params_fields[] = {
	TOPOLOGY(host_repair_params, 0, "only what belongs to this topology"),
	CHANGE(host_repair_params),
	{ 0 }
};

const struct field vnode_params_fields[] = { VNODE(vnode_params), { 0 } };

const struct field vnode_change_params_fields[] = {
	VNODE(vnode_change_params),
	CHANGE(vnode_change_params),
	{ 0 }
};

const struct field vnode_halt_params_fields[] = {
	VNODE(vnode_halt_params),
	{ "force", "kill at once instead of asking first", FIELD_BOOL, 0,
	  AT(vnode_halt_params, force) },
	CHANGE(vnode_halt_params),
	{ 0 }
};

const struct field vnode_create_params_fields[] = {
	{ "name", "name of the vnode", FIELD_STRING, FIELD_REQUIRED, AT(vnode_create_params, name),
	  .form = &form_name },
	TOPOLOGY(vnode_create_params, 0, "topology it belongs to; \"default\" unless given"),
	{ "", "", FIELD_INLINE, 0, AT(vnode_create_params, spec), .fields = doc_vnode_fields,
	  .size = sizeof(struct doc_vnode) },
	CHANGE(vnode_create_params),
	{ 0 }
};

const struct field vnode_set_params_fields[] = {
	VNODE(vnode_set_params),
	{ "set", "fields to change, as in a topology document; null = the default again",
	  FIELD_JSON, FIELD_REQUIRED, AT(vnode_set_params, set) },
	{ "restart", "allow a restart where a field needs one", FIELD_BOOL, 0,
	  AT(vnode_set_params, restart) },
	CHANGE(vnode_set_params),
	{ 0 }
};

const struct field vnode_list_params_fields[] = {
	TOPOLOGY(vnode_list_params, 0, "only vnodes of this topology"),
	{ "fields", "more fields of the vnode object", FIELD_LIST, 0, AT(vnode_list_params, fields),
	  0, 32, .item = FIELD_STRING, .form = &form_vnode_field },
	{ "limit", "at most so many; 1000 unless given", FIELD_INT, 0, AT(vnode_list_params, limit),
	  0, LIMIT_MAX },
	{ "after", "only VMIDs above this one", FIELD_INT, 0, AT(vnode_list_params, after) },
	{ 0 }
};

const struct field vnode_exec_params_fields[] = {
	VNODE(vnode_exec_params),
	{ "argv", "the command and its arguments", FIELD_LIST, FIELD_REQUIRED,
	  AT(vnode_exec_params, argv), 1, 4096, .item = FIELD_STRING },
	{ "env", "more of its environment, as NAME=VALUE", FIELD_LIST, 0,
	  AT(vnode_exec_params, env), 0, 1024, .item = FIELD_STRING, .form = &form_variable },
	{ "cwd", "folder to start in; the user's home unless given", FIELD_STRING, 0,
	  AT(vnode_exec_params, cwd), 1 },
	{ "user", "name or number of the user; root unless given", FIELD_STRING, 0,
	  AT(vnode_exec_params, user), 1, 64 },
	{ "tty", "give it a terminal; the answer carries its master", FIELD_BOOL, 0,
	  AT(vnode_exec_params, tty) },
	{ "stdio", "fds: three descriptors sent along; capture: base64 in params and answer",
	  FIELD_WORD, 0, AT(vnode_exec_params, stdio), .words = stdio_words },
	{ "input", "base64 for its standard input, with capture", FIELD_STRING, 0,
	  AT(vnode_exec_params, input), 0, 349528 },
	{ 0 }
};

const struct field vnode_wait_params_fields[] = {
	VNODE(vnode_wait_params),
	{ "observed", "states, any of which ends the wait", FIELD_LIST,
	  FIELD_REQUIRED | FIELD_OR_ONE, AT(vnode_wait_params, observed), 1, VNODE_STATE_COUNT,
	  .item = FIELD_STRING, .form = &form_state },
	TIMEOUT(vnode_wait_params),
	{ 0 }
};

const struct field lan_params_fields[] = { LAN(lan_params), { 0 } };

const struct field lan_list_params_fields[] = {
	TOPOLOGY(lan_list_params, 0, "only LANs of this topology"),
	{ 0 }
};

const struct field lan_change_params_fields[] = {
	LAN(lan_change_params),
	{ "member", "only this vnode's port", FIELD_STRING, 0, AT(lan_change_params, member),
	  .form = &form_name },
	CHANGE(lan_change_params),
	{ 0 }
};

static const struct field lan_set_member_fields[] = {
	{ "to", "fields of the shape of what it sends that change; null: the LAN's again", FIELD_JSON,
	  0, AT(lan_set_member, to), .fields = doc_shape_fields },
	{ "from", "fields of the shape of what it is sent that change; null: not shaped", FIELD_JSON, 0,
	  AT(lan_set_member, from), .fields = doc_shape_fields },
	{ 0 }
};

const struct field lan_set_params_fields[] = {
	LAN(lan_set_params),
	{ "mtu", "largest packet in bytes", FIELD_INT, 0, AT(lan_set_params, mtu), 576, 9000 },
	{ "shape", "fields of its shape that change; null takes one, or all, away", FIELD_JSON, 0,
	  AT(lan_set_params, shape), .fields = doc_shape_fields },
	{ "members", "shapes of members that change, by vnode", FIELD_MAP, 0,
	  AT(lan_set_params, members), .form = &form_name, .fields = lan_set_member_fields,
	  .size = sizeof(struct lan_set_member) },
	CHANGE(lan_set_params),
	{ 0 }
};

const struct field lan_probe_params_fields[] = {
	LAN(lan_probe_params),
	{ "members", "measure both ways between these two vnodes; round the whole LAN unless given",
	  FIELD_LIST, 0, AT(lan_probe_params, members), 2, 2, .item = FIELD_STRING, .form = &form_name },
	{ "seconds", "for each of delay, loss and rate of a direction; 3 unless given", FIELD_INT, 0,
	  AT(lan_probe_params, seconds), 1, 600 },
	CHANGE(lan_probe_params),
	{ 0 }
};

const struct field lan_schedule_params_fields[] = {
	LAN(lan_schedule_params),
	{ "schedule", "what changes when; an empty list ends what is pending", FIELD_JSON, FIELD_REQUIRED,
	  AT(lan_schedule_params, schedule), .fields = doc_entry_fields, .item = FIELD_STRUCT },
	CHANGE(lan_schedule_params),
	{ 0 }
};

const struct field topology_params_fields[] = {
	TOPOLOGY(topology_params, FIELD_REQUIRED, "name of the topology"),
	{ 0 }
};

const struct field topology_change_params_fields[] = {
	TOPOLOGY(topology_change_params, FIELD_REQUIRED, "name of the topology"),
	CHANGE(topology_change_params),
	{ 0 }
};

const struct field topology_apply_params_fields[] = {
	DOCUMENT(topology_apply_params),
	CHANGE(topology_apply_params),
	{ 0 }
};

const struct field topology_plan_params_fields[] = { DOCUMENT(topology_plan_params), { 0 } };

const struct field image_params_fields[] = { IMAGE(image_params), { 0 } };

const struct field image_change_params_fields[] = {
	IMAGE(image_change_params),
	CHANGE(image_change_params),
	{ 0 }
};

const struct field image_add_params_fields[] = {
	{ "image", "name of the image", FIELD_STRING, 0, AT(image_add_params, image),
	  .form = &form_name },
	{ "name", "the same: an older word", FIELD_STRING, 0, AT(image_add_params, name),
	  .form = &form_name },
	{ "url", "where to fetch it; file: below the configured import_dir", FIELD_STRING, 0,
	  AT(image_add_params, url), .form = &form_url },
	{ "source", "its file below the configured import_dir", FIELD_STRING, 0,
	  AT(image_add_params, source), 1 },
	{ "file", "the same: an older word", FIELD_STRING, 0, AT(image_add_params, file), 1 },
	{ "fd", "index of the descriptor that came with the request", FIELD_INT, 0,
	  AT(image_add_params, fd), 0, PROTOCOL_FDS_MAX - 1, -1 },
	{ "sha256", "digest of the file; required unless insecure_no_digest", FIELD_STRING, 0,
	  AT(image_add_params, sha256), .form = &form_sha256 },
	{ "insecure_no_digest", "take whatever arrives", FIELD_BOOL, 0,
	  AT(image_add_params, insecure_no_digest) },
	{ "format", "what the file is; found out unless given", FIELD_WORD, 0,
	  AT(image_add_params, format), .words = image_format_words },
	{ "base", "image that it is a layer on", FIELD_STRING, 0, AT(image_add_params, base),
	  .form = &form_name },
	CHANGE(image_add_params),
	{ 0 }
};

const struct field image_capture_params_fields[] = {
	VNODE(image_capture_params),
	{ "name", "name of the image to make", FIELD_STRING, FIELD_REQUIRED,
	  AT(image_capture_params, name), .form = &form_name },
	{ "delta", "only what differs from the vnode's image, as a layer on it", FIELD_BOOL, 0,
	  AT(image_capture_params, delta) },
	CHANGE(image_capture_params),
	{ 0 }
};

const struct field image_prune_params_fields[] = {
	{ "older_than", "only images not used for so long", FIELD_TIME, 0,
	  AT(image_prune_params, older_than_ns) },
	{ "keep_bytes", "stop when all images take no more than this", FIELD_SIZE, 0,
	  AT(image_prune_params, keep_bytes) },
	{ "dry_run", "remove nothing, only tell", FIELD_BOOL, 0, AT(image_prune_params, dry_run) },
	CHANGE(image_prune_params),
	{ 0 }
};

const struct field job_params_fields[] = { JOB(job_params), { 0 } };

const struct field job_wait_params_fields[] = {
	JOB(job_wait_params),
	TIMEOUT(job_wait_params),
	{ 0 }
};

const struct field job_list_params_fields[] = {
	{ "all", "ended ones too", FIELD_BOOL, 0, AT(job_list_params, all) },
	{ "limit", "at most so many; 100 unless given", FIELD_INT, 0, AT(job_list_params, limit), 0,
	  LIMIT_MAX },
	{ "before", "only ids below this one", FIELD_INT, 0, AT(job_list_params, before) },
	{ 0 }
};

const struct field event_list_params_fields[] = {
	{ "since", "only events with a seq above this one", FIELD_INT, 0,
	  AT(event_list_params, since) },
	{ "limit", "at most so many; 1000 unless given", FIELD_INT, 0, AT(event_list_params, limit),
	  0, LIMIT_MAX },
	TYPES(event_list_params),
	TOPOLOGY(event_list_params, 0, "only events of this topology"),
	{ 0 }
};

const struct field event_subscribe_params_fields[] = {
	{ "since", "first the kept events with a seq above this one; only what comes unless given",
	  FIELD_INT, 0, AT(event_subscribe_params, since), -1, 0, -1 },
	TYPES(event_subscribe_params),
	TOPOLOGY(event_subscribe_params, 0, "only events of this topology"),
	{ "snapshot", "answer with the vnode list that is valid at seq", FIELD_BOOL, 0,
	  AT(event_subscribe_params, snapshot) },
	{ 0 }
};

const struct field event_unsubscribe_params_fields[] = {
	{ "subscription", "id of the subscription", FIELD_INT, FIELD_REQUIRED,
	  AT(event_unsubscribe_params, subscription), 1 },
	{ 0 }
};
