#pragma once
/* Topology files, as vnodectl and bootvnodes read them. */

#include "client/client.h"
#include "proto/methods.h"

/* Reads a file ("-": stdin) as JSON. Returns STATUS_DONE and *ret, or prints what is wrong, with
 * the line and column, and returns STATUS_FAILED. */
int document_read(const struct client *client, const char *file, json_t **ret);

/* A topology file with what its files are copies of. */
struct topology_file {
	const char *path;		/* borrowed */
	json_t *document;
	json_t *sources;		/* names, in the order of the descriptors */
	int fds[PROTOCOL_FDS_MAX];
	unsigned n_fds;
};

/*
 * Reads it and opens each `source` that is found beside it; others are the daemon's to find. Returns as
 * document_read; to be closed in either case.
 */
int topology_file_open(const struct client *client, const char *path, struct topology_file *ret);
void topology_file_close(struct topology_file *file);
/* The parameters of a call that takes the document: to be sent with the descriptors. */
json_t *topology_file_params(const struct topology_file *file);

/*
 * Whether a plan changes nothing: what it would keep is no change, and booting what is merely down
 * is host.boot's business, which goes on where apply would undo all.
 */
bool document_is_applied(json_t *plan);

/* What messages call the file: "<stdin>" for "-". */
const char *document_name(const char *file);
