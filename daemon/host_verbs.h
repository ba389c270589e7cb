#pragma once
/* The host's own verbs: set-up at start, its inverse, and what the host lacks. Thread: loop. */

#include "daemon/model.h"

extern const struct verb verb_host_setup, verb_host_teardown, verb_host_probe;

/* Sentences about what this host lacks, gathered by host.probe; a new reference to an array. */
json_t *host_missing(const struct daemon *daemon);
