/* The table of a shape, and what its fields must have to do with each other. */
#include "proto/shape.h"

#include "proto/base/mem.h"

#define HOUR 3600000000000LL

const char *const distribution_words[] = { "uniform", "normal", "pareto", "paretonormal", NULL };

#define AT(member) .offset = offsetof(struct doc_shape, member)

const struct field doc_shape_fields[] = {
	{ "rate", "layer-2 bits a second, headers included; unlimited unless given", FIELD_RATE, 0,
	  AT(rate_bps), 0, 1LL << 40 },
	{ "delay", "one way", FIELD_TIME, 0, AT(delay_ns), 0, HOUR },
	{ "jitter", "deviation of the delay", FIELD_TIME, 0, AT(jitter_ns), 0, HOUR },
	{ "distribution", "of the jitter", FIELD_WORD, 0, AT(distribution),
	  .words = distribution_words },
	{ "loss", "share of packets lost", FIELD_PROBABILITY, 0, AT(loss) },
	{ "loss_correlation", "how much a loss depends on the one before", FIELD_PROBABILITY, 0,
	  AT(loss_correlation) },
	{ "duplicate", "share of packets sent twice", FIELD_PROBABILITY, 0, AT(duplicate) },
	{ "corrupt", "share of packets with a flipped bit", FIELD_PROBABILITY, 0, AT(corrupt) },
	{ "reorder", "share of packets that overtake those delayed", FIELD_PROBABILITY, 0,
	  AT(reorder) },
	{ "reorder_correlation", "how much that depends on the packet before", FIELD_PROBABILITY, 0,
	  AT(reorder_correlation) },
	{ "limit", "bytes that may wait, a full frame at least; derived from rate and delay unless given", FIELD_SIZE, 0,
	  AT(limit_bytes), 1514, 1 << 30 },
	{ "limit_packets", "packets that may wait", FIELD_INT, 0, AT(limit_packets), 1, 1000000 },
	{ 0 }
};

#undef AT
#define AT(member) .offset = offsetof(struct doc_port_shape, member)

const struct field doc_port_shape_fields[] = {
	{ "to", "what the vnode sends into the LAN; the LAN's shape unless given", FIELD_STRUCT,
	  FIELD_MARKED, AT(to), .fields = doc_shape_fields, .size = sizeof(struct doc_shape) },
	{ "from", "what it is sent from the LAN", FIELD_STRUCT, FIELD_MARKED, AT(from),
	  .fields = doc_shape_fields, .size = sizeof(struct doc_shape) },
	{ 0 }
};

int
doc_shape_check(const struct doc_shape *shape, struct vn_error *err)
{
	const struct {
		bool is_wrong;
		const char *path, *text;
	} rules[] = {
		{ shape->jitter_ns > shape->delay_ns, "/jitter",
		  "more than the delay: some packets would have to arrive before they were sent" },
		{ shape->distribution && !shape->jitter_ns, "/distribution", "needs a jitter" },
		{ shape->loss_correlation > 0 && !(shape->loss > 0), "/loss_correlation",
		  "needs a loss" },
		{ shape->reorder > 0 && !shape->delay_ns, "/reorder",
		  "needs a delay: a packet overtakes others only while they wait" },
		{ shape->reorder_correlation > 0 && !(shape->reorder > 0), "/reorder_correlation",
		  "needs a reorder" },
		{ shape->limit_bytes && shape->limit_packets, "/limit_packets",
		  "give either this or \"limit\", which counts bytes" },
	};

	for (size_t i = 0; i < VN_COUNT(rules); i++)
		if (rules[i].is_wrong)
			return vn_fail_at(err, rules[i].path, VN_E_INVALID, "%s", rules[i].text);
	return 0;
}
