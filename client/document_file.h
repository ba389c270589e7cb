#pragma once
/* Topology files, as vnodectl and bootvnodes read them. */

#include "client/client.h"

/* Reads a file ("-": stdin) as JSON. Returns STATUS_DONE and *ret, or prints what is wrong, with
 * the line and column, and returns STATUS_FAILED. */
int document_read(const struct client *client, const char *file, json_t **ret);

/*
 * Whether a plan changes nothing: what it would keep is no change, and booting what is merely down
 * is host.boot's business, which goes on where apply would undo all.
 */
bool document_is_applied(json_t *plan);

/* What messages call the file: "<stdin>" for "-". */
const char *document_name(const char *file);
