#pragma once
/*
 * The method table: the one place that says which methods there are. The daemon's dispatch, the
 * OpenRPC document, vnodectl's help and completion, and the protocol's man page are made from it.
 */

#include "proto/params.h"

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };
extern const char *const role_words[];		/* none viewer operator admin */

#define PROTOCOL_LINE_MAX  (1u << 20)		/* bytes of a request line, LF included */
#define PROTOCOL_ANSWER_MAX (16u << 20)		/* bytes of an answer line */
#define PROTOCOL_DEPTH_MAX 64			/* nested arrays and objects */
#define PROTOCOL_FDS_MAX   16			/* descriptors with one line */
#define PROTOCOL_VERSION   1

#define METHOD_CHANGES 1u	/* takes struct change_params, makes a job */
#define METHOD_FREES   (METHOD_CHANGES | 2u)	/* and makes room, or ends who takes it: a full disk does not refuse it */

/*
 * X(identifier, name, role, flags, fields and params struct, result, summary)
 * The handler is handle_<identifier> in daemon/. result: name of a schema in the OpenRPC document.
 */
#define METHODS(X) \
	X(rpc_discover,      "rpc.discover",      VIEWER,   0, no_params,              openrpc,   "Describe all methods as an OpenRPC document") \
	X(host_info,         "host.info",         VIEWER,   0, no_params,              host,      "Version, features, identity, and what this host lacks") \
	X(host_boot,         "host.boot",         OPERATOR, METHOD_CHANGES, host_change_params, job, "Boot every vnode that is wanted running") \
	X(host_halt,         "host.halt",         ADMIN,    METHOD_FREES, host_change_params, job, "Halt every vnode; what is wanted stays as it is") \
	X(host_teardown,     "host.teardown",     ADMIN,    METHOD_CHANGES, host_change_params, job, "Halt every vnode and undo the host's set-up") \
	X(host_verify,       "host.verify",       VIEWER,   0, host_verify_params,     verification, "Compare what is to be there with what is there") \
	X(host_repair,       "host.repair",       OPERATOR, METHOD_CHANGES, host_repair_params, job, "Mend what host.verify finds, as far as it can be without a restart") \
	X(vnode_create,      "vnode.create",      OPERATOR, METHOD_CHANGES, vnode_create_params, job, "Create a vnode") \
	X(vnode_list,        "vnode.list",        VIEWER,   0, vnode_list_params,      vnodes,    "List vnodes") \
	X(vnode_get,         "vnode.get",         VIEWER,   0, vnode_params,           vnode,     "Show a vnode") \
	X(vnode_boot,        "vnode.boot",        OPERATOR, METHOD_CHANGES, vnode_change_params, job, "Boot a vnode") \
	X(vnode_halt,        "vnode.halt",        OPERATOR, METHOD_FREES, vnode_halt_params, job, "Halt a vnode") \
	X(vnode_reboot,      "vnode.reboot",      OPERATOR, METHOD_CHANGES, vnode_change_params, job, "Halt and boot a vnode") \
	X(vnode_reload,      "vnode.reload",      OPERATOR, METHOD_CHANGES, vnode_change_params, job, "Give a vnode a fresh disk from its image") \
	X(vnode_destroy,     "vnode.destroy",     OPERATOR, METHOD_FREES, vnode_halt_params, job, "Destroy a vnode and its disk") \
	X(vnode_set,         "vnode.set",         OPERATOR, METHOD_CHANGES, vnode_set_params, job, "Change fields of a vnode") \
	X(vnode_mount,       "vnode.mount",       OPERATOR, METHOD_CHANGES, vnode_change_params, job, "Mount a halted vnode's file system on the host") \
	X(vnode_unmount,     "vnode.unmount",     OPERATOR, METHOD_CHANGES, vnode_change_params, job, "Unmount it again") \
	X(vnode_exec,        "vnode.exec",        OPERATOR, 0, vnode_exec_params,      exec,      "Run a command in a running vnode") \
	X(vnode_console,     "vnode.console",     OPERATOR, 0, vnode_params,           console,   "Connect to a vnode's console") \
	X(vnode_wait,        "vnode.wait",        VIEWER,   0, vnode_wait_params,      vnode,     "Wait until a vnode is in one of some states") \
	X(lan_list,          "lan.list",          VIEWER,   0, lan_list_params,        lans,      "List LANs") \
	X(lan_get,           "lan.get",           VIEWER,   0, lan_params,             lan,       "Show a LAN and its members") \
	X(lan_set,           "lan.set",           OPERATOR, METHOD_CHANGES, lan_set_params, job,  "Change a LAN") \
	X(lan_up,            "lan.up",            OPERATOR, METHOD_CHANGES, lan_change_params, job, "Give the members of a LAN, or one, their carrier") \
	X(lan_down,          "lan.down",          OPERATOR, METHOD_CHANGES, lan_change_params, job, "Take the carrier from the members of a LAN, or from one") \
	X(lan_probe,         "lan.probe",         OPERATOR, METHOD_CHANGES, lan_probe_params, job, "Measure what a LAN does to packets") \
	X(lan_schedule,      "lan.schedule",      OPERATOR, METHOD_CHANGES, lan_schedule_params, job, "Change a LAN at given times") \
	X(topology_plan,     "topology.plan",     VIEWER,   0, topology_plan_params,   plan,      "Show what apply would do") \
	X(topology_apply,    "topology.apply",    OPERATOR, METHOD_CHANGES, topology_apply_params, job, "Make the host match a document") \
	X(topology_list,     "topology.list",     VIEWER,   0, no_params,              topologies, "List topologies") \
	X(topology_get,      "topology.get",      VIEWER,   0, topology_params,        topology,  "Show a topology with its vnodes and LANs") \
	X(topology_export,   "topology.export",   VIEWER,   0, topology_params,        document,  "Write a topology as a document") \
	X(topology_delete,   "topology.delete",   OPERATOR, METHOD_FREES, topology_change_params, job, "Destroy a topology's vnodes and LANs") \
	X(image_add,         "image.add",         OPERATOR, METHOD_CHANGES, image_add_params, job, "Fetch, check and unpack an image") \
	X(image_list,        "image.list",        VIEWER,   0, no_params,              images,    "List images") \
	X(image_get,         "image.get",         VIEWER,   0, image_params,           image,     "Show an image") \
	X(image_capture,     "image.capture",     OPERATOR, METHOD_CHANGES, image_capture_params, job, "Make an image of a halted vnode's disk") \
	X(image_remove,      "image.remove",      OPERATOR, METHOD_FREES, image_change_params, job, "Remove an image that no vnode uses") \
	X(image_prune,       "image.prune",       OPERATOR, METHOD_FREES, image_prune_params, job, "Remove images that nothing uses") \
	X(job_list,          "job.list",          VIEWER,   0, job_list_params,        jobs,      "List jobs") \
	X(job_get,           "job.get",           VIEWER,   0, job_params,             job_full,  "Show a job with its steps") \
	X(job_wait,          "job.wait",          VIEWER,   0, job_wait_params,        job_full,  "Wait for a job to end") \
	X(job_cancel,        "job.cancel",        OPERATOR, 0, job_params,             job_full,  "Cancel a job: finish or undo the step it is in, then undo the rest") \
	X(event_list,        "event.list",        VIEWER,   0, event_list_params,      events,    "List kept events") \
	X(event_subscribe,   "event.subscribe",   VIEWER,   0, event_subscribe_params, subscription, "Send events as notifications on this connection") \
	X(event_unsubscribe, "event.unsubscribe", VIEWER,   0, event_unsubscribe_params, done,    "End a subscription")

struct method {
	const char *name;
	enum role role;			/* least role that may call it */
	unsigned flags;
	const struct field *fields;
	size_t params_size;
	const char *result;
	const char *summary;
};

enum method_id {
#define X(id, ...) METHOD_##id,
	METHODS(X)
#undef X
	METHOD_COUNT
};

extern const struct method methods[METHOD_COUNT];

/* NULL when there is none of that name. */
const struct method *method_find(const char *name);

/* The OpenRPC 1.2 document of the whole table; a new reference. `version` is the daemon's. */
json_t *openrpc_document(const char *version);

/* Words of the protocol that several objects share. */
enum vnode_state {
	VNODE_ABSENT, VNODE_CREATING, VNODE_STOPPED, VNODE_MOUNTED, VNODE_BOOTING, VNODE_RUNNING,
	VNODE_PAUSED, VNODE_STOPPING, VNODE_DESTROYING, VNODE_FAILED,
};
#define VNODE_STATE_COUNT 10
extern const char *const vnode_state_words[];	/* absent creating stopped mounted booting … failed */
extern const char *const wanted_words[];	/* running stopped absent */
