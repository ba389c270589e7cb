#pragma once
/*
 * What a shape looks like in the kernel: a chain of queueing disciplines on the egress of one device.
 *
 *   tbf 1:  cuts what a guest's segmentation offload made back into frames, so that loss and reordering
 *           hit single ones; its rate is beyond any link's
 *   netem 2: loss, duplication, corruption, reordering, delay
 *   tbf 3:  rate, over layer-2 bytes
 *   fifo 4: (bytes) or 5: (packets): the queue before the link
 *
 * Without impairments the chain begins with tbf 3:, without a rate it ends with netem. netem stands above the
 * rate, which every kernel allows, so loss applies before rate and the queue holds no more than its limit.
 *
 * What netem lets overtake leaves it at once, past the rate below it (sch_netem.c: it is dequeued before the
 * child is asked). So with a rate and reordering the rate is there twice: tbf 1:, tbf 6: with the rate of all,
 * netem 7:, tbf 8:, fifo 9: or a:, with handles of their own, since the kernel moves a known handle as it is.
 * Threads: pure functions, any.
 */

#include "backends/difference.h"
#include "backends/netlink/socket.h"

#define QDISC_CHAIN_MAX 5
#define QDISC_QUESTIONS 7		/* places where one of ours may hang */

enum qdisc_kind { QDISC_TBF, QDISC_NETEM, QDISC_BFIFO, QDISC_PFIFO };
extern const char *const qdisc_words[];		/* tbf netem bfifo pfifo */

/* Numbers as the kernel keeps them, so that what was read can be compared with what was asked. */
struct qdisc {
	uint32_t handle, parent;
	int kind;			/* enum qdisc_kind; -1: one that we never make */
	char word[16];			/* as the kernel calls it; "" in what is wanted */
	uint64_t rate;			/* tbf: bytes a second */
	uint32_t burst;			/* tbf: bytes; read back roughly, not compared */
	uint32_t limit;			/* tbf, bfifo: bytes; netem, pfifo: packets */
	int64_t latency, jitter;	/* netem: ns */
	uint32_t loss, duplicate, corrupt, reorder, reorder_correlation; /* of 2^32 − 1 */
	uint32_t loss_begins, loss_ends;	/* likewise; instead of `loss` where losses are correlated */
	int distribution;		/* netem: enum shape_distribution; not read back */
};

struct qdisc_chain {
	struct qdisc list[QDISC_CHAIN_MAX];
	unsigned count;			/* 0: no shape */
};

/* The chain for a shape on a device with this MTU (bytes, without the Ethernet header). */
void qdisc_chain_make(const struct shape *shape, unsigned mtu, struct qdisc_chain *ret);
/* Bytes that may wait before a link: see the function for the rule and its source. */
uint64_t qdisc_queue_bytes(const struct shape *shape, unsigned mtu);
/*
 * Whether the kernel has what was asked; else `text` (of `size` bytes) names the first difference:
 * "netem delay: wanted 5000000 ns, found 0 ns".
 */
bool qdisc_chain_equal(const struct qdisc_chain *wanted, const struct qdisc_chain *found, char *text,
		       size_t size);

/*
 * Appends each difference in the words of shapes (rate_bps, delay_ns, loss …), or one of the chains' links
 * ("chain", "tbf netem", "pfifo"). Counts the wanted qdiscs.
 */
void qdisc_chain_differ(struct differences *list, const struct difference_about *about,
			const struct qdisc_chain *wanted, const struct qdisc_chain *found);

/* Appends what turns `found` into `wanted` on the device; equal links of the chain keep their packets. */
void qdisc_settle(struct batch *batch, int index, const char *device,
		  const struct qdisc_chain *wanted, const struct qdisc_chain *found);
/* Appends questions for the chain of a device, QDISC_QUESTIONS of them; answers go to qdisc_take. */
void qdisc_ask(struct batch *batch, int index, const char *device);
/* Takes the answer to one of these questions; false: it was no qdisc. */
bool qdisc_take(struct nlmsghdr *reply, struct qdisc *ret);
/* Puts the answers, in any order, together; handles of ours only, a foreign root gives kind -1. */
void qdisc_chain_order(struct qdisc_chain *chain);
