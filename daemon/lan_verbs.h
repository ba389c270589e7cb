#pragma once
/* The verbs of LANs. Params: {"lan": id, …}. Thread: loop. */

#include "daemon/model.h"

extern const struct verb verb_lan_create, verb_lan_destroy, verb_lan_set, verb_lan_up, verb_lan_down;

struct lan *job_lan(const struct job *job);
json_t *lan_job_params(const struct lan *lan);
