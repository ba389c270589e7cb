#pragma once
/* How the traffic of a port is shaped, as documents and calls write it. */

#include "proto/schema.h"

enum shape_distribution_word {	/* in the order of backends' enum shape_distribution */
	JITTER_UNIFORM, JITTER_NORMAL, JITTER_PARETO, JITTER_PARETONORMAL
};
extern const char *const distribution_words[];	/* uniform normal pareto paretonormal */

struct doc_shape {		/* of one direction */
	bool given;		/* false: the field is absent; an empty object says "not shaped" */
	uint64_t rate_bps;	/* layer-2 bit/s; 0 = unlimited */
	uint64_t delay_ns, jitter_ns;
	int distribution;	/* enum shape_distribution_word */
	double loss, loss_correlation, duplicate, corrupt, reorder, reorder_correlation;
	uint64_t limit_bytes;	/* both 0: derived from rate and delay */
	int64_t limit_packets;
};

struct doc_port_shape {		/* of a member */
	struct doc_shape to;	/* what it sends into the LAN */
	struct doc_shape from;	/* what it is sent from there */
};

extern const struct field doc_shape_fields[];
extern const struct field doc_port_shape_fields[];

/*
 * What one field alone does not tell: a shape that contradicts itself.
 * Errors: VN_E_INVALID with the path below the shape ("/jitter").
 */
int doc_shape_check(const struct doc_shape *shape, struct vn_error *err);
