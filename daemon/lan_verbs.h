#pragma once
/* The verbs of LANs. Params: {"lan": id, …}. Thread: loop. */

#include "daemon/model.h"

extern const struct verb verb_lan_create, verb_lan_destroy, verb_lan_set, verb_lan_up, verb_lan_down,
	verb_lan_probe;

struct lan *job_lan(const struct job *job);
json_t *lan_job_params(const struct lan *lan);

/* What the verbs' files share. Locks the LAN for the job; NULL with err set. */
struct lan *lan_job_lock(struct job *job, struct vn_error *err);
/* Whether the member's port has been made in this boot of the machine. */
bool lan_member_stands(const struct member *member);
void lan_ended_change(struct job *job, void *ctx);

/* A link that has lost a member is a LAN from now on (daemon/shaping.h): begins the job that makes it one. */
void lan_end_link(struct lan *lan, int64_t uid);
