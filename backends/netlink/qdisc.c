/* From a shape to its chain, and the comparison of chains. The messages are in qdisc_message.c. */
#include "backends/netlink/qdisc.h"

#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S 1000000000ULL

enum { CUTTER = 0x10000, NETEM = 0x20000, RATE = 0x30000, BYTES = 0x40000, PACKETS = 0x50000 };
enum { RATE_ABOVE = 0x60000, BELOW_IT = 0x50000 /* is added to the handles of what hangs below it */ };
enum { CUTTER_RATE_BYTES = 1250000000 /* 10 Gbit/s: never the narrow place, yet whole nanoseconds a frame */ };
enum { QUEUE_FRAMES = 10, NETEM_MAX = 500000, NETEM_MIN = 1000, NETEM_SMALL_MAX = 8192 };
enum { SMALL_FRAME = 60 };
#define QUEUE_NS (50 * 1000000ULL)
#define BURST_NS (4 * 1000000ULL)

const char *const qdisc_words[] = { "tbf", "netem", "bfifo", "pfifo", NULL };

static uint64_t
frame_of(unsigned mtu)
{
	return (mtu ? mtu : 1500) + ETH_HLEN;
}

/* rate × time without overflow: 2^40 bit/s over hours passes 64 bits. */
static uint64_t
bytes_in(uint64_t rate_bps, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)rate_bps * ns / 8 / NS_PER_S);
}

static uint64_t
most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * The rule of thumb for a router's buffer is one bandwidth-delay product of the round trip (Villamizar and
 * Song, "High performance TCP in ANSNET", 1994), here twice the one-way delay; never under 50 ms of the
 * rate, for links without delay, nor under ten frames, for slow ones.
 */
uint64_t
qdisc_queue_bytes(const struct shape *shape, unsigned mtu)
{
	uint64_t time = most(2 * (shape->delay_ns + shape->jitter_ns), QUEUE_NS);

	if (shape->limit_bytes)
		return most(shape->limit_bytes, frame_of(mtu));
	if (shape->limit_packets)
		return shape->limit_packets * frame_of(mtu);
	return most(bytes_in(shape->rate_bps, time), QUEUE_FRAMES * frame_of(mtu));
}

static uint32_t
clip(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static uint32_t
fraction(double share)
{
	return (uint32_t)llround(share * UINT32_MAX);
}

static bool
is_impaired(const struct shape *shape)
{
	return shape->delay_ns || shape->jitter_ns || shape->loss > 0 || shape->duplicate > 0 ||
	       shape->corrupt > 0 || shape->reorder > 0;
}

/*
 * netem counts all it holds: what is on its way and what waits at the link below it. Without a rate that
 * is what 10 Gbit/s put on the way in full frames. It counts packets: the smallest that fill a rate have to find
 * room too, up to what costs some 16 MiB if they are full ones.
 */
static uint32_t
netem_limit(const struct shape *shape, unsigned mtu)
{
	uint64_t rate = shape->rate_bps ? shape->rate_bps : 8ULL * CUTTER_RATE_BYTES;
	uint64_t way = bytes_in(rate, shape->delay_ns + shape->jitter_ns) / frame_of(mtu);
	uint64_t queue = shape->rate_bps ? 2 * qdisc_queue_bytes(shape, mtu) / frame_of(mtu) : 0;
	uint64_t small = shape->rate_bps ? (way + queue) * frame_of(mtu) / SMALL_FRAME : 0;

	if (!shape->rate_bps && shape->limit_packets)
		return clip(shape->limit_packets);
	if (!shape->rate_bps && shape->limit_bytes)
		return clip(most(1, shape->limit_bytes / frame_of(mtu)));
	way = most(NETEM_MIN, 4 * way + queue);
	way = most(way, small > NETEM_SMALL_MAX ? NETEM_SMALL_MAX : small);
	return (uint32_t)(way > NETEM_MAX ? NETEM_MAX : way);
}

static struct qdisc *
add(struct qdisc_chain *chain, uint32_t handle, int kind)
{
	struct qdisc *qdisc = &chain->list[chain->count];

	*qdisc = (struct qdisc){ .handle = handle, .kind = kind, .parent = TC_H_ROOT };
	if (chain->count++)
		qdisc->parent = qdisc[-1].handle | 1;
	return qdisc;
}

/*
 * netem's own correlation draws (1 − c) of a new number and c of the last, which is no longer evenly spread, and
 * so loses far less than was asked: with c = 25 % one packet in 200,000 for 1 %, and 1.7 % for 10 %. Two states, one
 * that loses all and one that loses none (Gilbert, "Capacity of a burst-noise channel", 1960), lose the share that is
 * wanted, and a packet's loss has exactly the correlation c with that of the one before.
 */
static void
put_loss(struct qdisc *netem, const struct shape *shape)
{
	double change = 1 - fmin(shape->loss_correlation, 0.9999);	/* else the first state would be the last */

	if (!(shape->loss_correlation > 0)) {
		netem->loss = fraction(shape->loss);
		return;
	}
	netem->loss_begins = fraction(shape->loss * change);
	netem->loss_ends = fraction((1 - shape->loss) * change);
}

static void
add_cutter(struct qdisc_chain *chain, unsigned mtu)
{
	struct qdisc *cutter = add(chain, CUTTER, QDISC_TBF);

	cutter->rate = CUTTER_RATE_BYTES;
	cutter->burst = (uint32_t)frame_of(mtu);
	cutter->limit = 1u << 30;	/* passes everything on at once */
}

static void
add_netem(struct qdisc_chain *chain, uint32_t handle, const struct shape *shape, unsigned mtu)
{
	struct qdisc *netem = add(chain, handle, QDISC_NETEM);

	netem->limit = netem_limit(shape, mtu);
	netem->latency = (int64_t)shape->delay_ns;
	netem->jitter = (int64_t)shape->jitter_ns;
	put_loss(netem, shape);
	netem->duplicate = fraction(shape->duplicate);
	netem->corrupt = fraction(shape->corrupt);
	netem->reorder = fraction(shape->reorder);
	netem->reorder_correlation = fraction(shape->reorder_correlation);
	netem->distribution = shape->distribution;
}

/*
 * Tokens that do not fit the bucket while a timer is late are lost to the rate. With 1 ms worth of them a host with
 * six times more to do than processors gave 1 % too little of 20 Mbit/s; with 4 ms nothing was missing. That much may
 * follow a pause at once: two full frames below 6 Mbit/s, a kernel's own timer tick at 250 Hz above.
 */
static uint32_t
add_rate(struct qdisc_chain *chain, uint32_t handle, const struct shape *shape, unsigned mtu)
{
	struct qdisc *rate = add(chain, handle, QDISC_TBF);

	rate->rate = most(1, shape->rate_bps / 8);
	rate->burst = clip(most(bytes_in(shape->rate_bps, BURST_NS), 2 * frame_of(mtu)));
	return rate->limit = clip(qdisc_queue_bytes(shape, mtu));
}

static void
add_rate_and_queue(struct qdisc_chain *chain, uint32_t below, const struct shape *shape, unsigned mtu)
{
	uint32_t bytes = add_rate(chain, RATE + below, shape, mtu);

	if (shape->limit_packets && !shape->limit_bytes)
		add(chain, PACKETS + below, QDISC_PFIFO)->limit = clip(shape->limit_packets);
	else
		add(chain, BYTES + below, QDISC_BFIFO)->limit = bytes;
}

void
qdisc_chain_make(const struct shape *shape, unsigned mtu, struct qdisc_chain *ret)
{
	uint32_t below = 0;

	*ret = (struct qdisc_chain){ 0 };
	if (is_impaired(shape)) {
		add_cutter(ret, mtu);
		if (shape->rate_bps && shape->reorder > 0) {
			add_rate(ret, RATE_ABOVE, shape, mtu);
			below = BELOW_IT;
		}
		add_netem(ret, NETEM + below, shape, mtu);
	}
	if (shape->rate_bps)
		add_rate_and_queue(ret, below, shape, mtu);
}

/* ---- comparison ------------------------------------------------------------------------------ */

enum scale { AS_IT_IS, BITS /* of bytes */, SHARE /* of 2^32 − 1 */ };

static const struct {
	const char *name, *unit, *field;	/* field: as in shapes */
	enum scale scale;
	size_t offset, size;
	unsigned kinds;			/* bits of enum qdisc_kind */
} numbers[] = {
#define NUMBER(member) offsetof(struct qdisc, member), sizeof(((struct qdisc *)0)->member)
	{ "rate", "bytes/s", "rate_bps", BITS, NUMBER(rate), 1u << QDISC_TBF },
	{ "limit", "bytes", "limit_bytes", AS_IT_IS, NUMBER(limit), 1u << QDISC_BFIFO },
	{ "limit", "packets", "limit_packets", AS_IT_IS, NUMBER(limit),
	  1u << QDISC_PFIFO | 1u << QDISC_NETEM },
	{ "delay", "ns", "delay_ns", AS_IT_IS, NUMBER(latency), 1u << QDISC_NETEM },
	{ "jitter", "ns", "jitter_ns", AS_IT_IS, NUMBER(jitter), 1u << QDISC_NETEM },
	{ "loss", "of 2^32", "loss", SHARE, NUMBER(loss), 1u << QDISC_NETEM },
	{ "loss begins", "of 2^32", "loss_begins", SHARE, NUMBER(loss_begins), 1u << QDISC_NETEM },
	{ "loss ends", "of 2^32", "loss_ends", SHARE, NUMBER(loss_ends), 1u << QDISC_NETEM },
	{ "duplicate", "of 2^32", "duplicate", SHARE, NUMBER(duplicate), 1u << QDISC_NETEM },
	{ "corrupt", "of 2^32", "corrupt", SHARE, NUMBER(corrupt), 1u << QDISC_NETEM },
	{ "reorder", "of 2^32", "reorder", SHARE, NUMBER(reorder), 1u << QDISC_NETEM },
	{ "reorder correlation", "of 2^32", "reorder_correlation", SHARE, NUMBER(reorder_correlation),
	  1u << QDISC_NETEM },
};

static uint64_t
number_of(const struct qdisc *qdisc, size_t i)
{
	uint64_t wide = 0;

	memcpy(&wide, (const char *)qdisc + numbers[i].offset, numbers[i].size);
	return wide;
}

static bool
qdisc_equal(const struct qdisc *wanted, const struct qdisc *found, char *text, size_t size)
{
	const char *word = qdisc_words[wanted->kind];

	if (wanted->kind != found->kind || wanted->handle != found->handle) {
		snprintf(text, size, "wanted a qdisc %s, found %s", word,
			 found->kind < 0 ? "a foreign one" : qdisc_words[found->kind]);
		return false;
	}
	for (size_t i = 0; i < VN_COUNT(numbers); i++) {
		uint64_t want = number_of(wanted, i), have = number_of(found, i);

		if (!(numbers[i].kinds & 1u << wanted->kind) || want == have)
			continue;
		snprintf(text, size, "%s %s: wanted %llu %s, found %llu", word, numbers[i].name,
			 (unsigned long long)want, numbers[i].unit, (unsigned long long)have);
		return false;
	}
	return true;
}

bool
qdisc_chain_equal(const struct qdisc_chain *wanted, const struct qdisc_chain *found, char *text,
		  size_t size)
{
	unsigned count = wanted->count < found->count ? wanted->count : found->count;

	for (unsigned i = 0; i < count; i++)
		if (!qdisc_equal(&wanted->list[i], &found->list[i], text, size))
			return false;
	if (wanted->count > count)
		snprintf(text, size, "the qdisc %s is missing", qdisc_words[wanted->list[count].kind]);
	else if (found->count > count)
		snprintf(text, size, "a qdisc that is not wanted is there");
	return wanted->count == found->count;
}

static json_t *
number_json(uint64_t number, enum scale scale)
{
	if (scale == SHARE)		/* nine digits: what the kernel's 32 bits hold */
		return json_real(round((double)number / UINT32_MAX * 1e9) / 1e9);
	return json_integer((json_int_t)(scale == BITS ? 8 * number : number));
}

/* "tbf netem"; NULL for an empty chain. */
static json_t *
chain_json(const struct qdisc_chain *chain)
{
	char text[QDISC_CHAIN_MAX * 17] = "";
	size_t length = 0;

	for (unsigned i = 0; i < chain->count; i++) {
		const struct qdisc *qdisc = &chain->list[i];

		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i ? " " : "",
					   *qdisc->word ? qdisc->word : qdisc_words[qdisc->kind]);
	}
	return chain->count ? json_string(text) : NULL;
}

/* The cutter's rate is no one's wish: it has a name of its own. */
static const char *
field_of(const struct qdisc *qdisc, size_t i)
{
	return qdisc->handle == CUTTER ? "cutter_rate_bps" : numbers[i].field;
}

void
qdisc_chain_differ(struct differences *list, const struct difference_about *about,
		   const struct qdisc_chain *wanted, const struct qdisc_chain *found)
{
	bool same = wanted->count == found->count;

	list->checked[CHECKED_QDISCS] += wanted->count;
	for (unsigned k = 0; same && k < wanted->count; k++)
		same = wanted->list[k].kind == found->list[k].kind &&
		       wanted->list[k].handle == found->list[k].handle;
	if (!same) {
		difference_add(list, about, "chain", chain_json(wanted), chain_json(found));
		return;
	}
	for (unsigned k = 0; k < wanted->count; k++)
		for (size_t i = 0; i < VN_COUNT(numbers); i++) {
			uint64_t want = number_of(&wanted->list[k], i);
			uint64_t have = number_of(&found->list[k], i);

			if (numbers[i].kinds & 1u << wanted->list[k].kind && want != have)
				difference_add(list, about, field_of(&wanted->list[k], i),
					       number_json(want, numbers[i].scale),
					       number_json(have, numbers[i].scale));
		}
}

void
qdisc_chain_order(struct qdisc_chain *chain)
{
	uint32_t parent = TC_H_ROOT;
	unsigned done = 0;

	for (unsigned i = 0; i < chain->count;) {
		struct qdisc found = chain->list[i];

		if (i < done || found.parent != parent) {
			i++;
			continue;
		}
		chain->list[i] = chain->list[done];
		chain->list[done++] = found;
		parent = found.handle | 1;
		i = done;
	}
	chain->count = done;
}
