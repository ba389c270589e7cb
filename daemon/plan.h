#pragma once
/* The difference between a document and the host. Thread: loop. */

#include "daemon/change.h"

/*
 * A plan is JSON, since it is shown to people, kept in the job's journal and read again after a crash:
 *   topology  name
 *   actions   [{action, kind: vnode|lan|tunnel|uplink|topology, name, how?, fields?}]  what topology.plan shows
 *   create    {"vnodes": {name: spec}, "lans": {name: {mtu, shaping, ways, members: {vnode: member}}}}
 *   change    [{vmid, spec, members, spec_before, members_before}]
 *   recreate  [vmid and spec likewise]  boot [vmid]  remove [vmid]  remove_lans [id]
 *   lans      [{id, mtu, shaping, ways, and each _before}]; as in daemon/shaping.h and daemon/ways.h
 *   fields, fields_before   the topology's own; null when equal
 */
struct plan_options {
	bool prune, allow_recreate;
	enum role role;
};

/*
 * Checks the document against the host and makes the plan; nothing is changed.
 * Errors: whatever document_decode and lifecycle_check_spec say, with paths into params
 * ("/document/vnodes/a/image"); VN_E_INVALID a change that cannot be made, and the cure.
 */
int plan_make(struct daemon *daemon, json_t *document, const struct plan_options *options,
	      json_t **ret, struct vn_error *err);
bool plan_is_empty(json_t *plan);
