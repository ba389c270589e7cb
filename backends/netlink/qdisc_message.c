/*
 * Chains over route netlink. A change keeps handles: a qdisc of the same kind at the same place is changed in
 * place, with its packets; any other is replaced, with what hangs below it.
 */
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <math.h>
#include <netlink/attr.h>
#include <pthread.h>
#include <string.h>

#include "backends/netlink/qdisc.h"

/* ---- jitter ---------------------------------------------------------------------------------- */

/*
 * netem draws a random entry of the table and scales it: an entry is a quantile of the distribution with mean
 * 0 and deviation 1, times NETEM_DIST_SCALE.
 */
#define QUANTILES 256

static int16_t tables[SHAPE_PARETONORMAL + 1][QUANTILES];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* Where the normal distribution function is `share`, by halving: it has no closed inverse. */
static double
normal_quantile(double share)
{
	double low = -8, high = 8;

	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;

		if (erfc(-middle / M_SQRT2) / 2 < share)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Pareto with exponent 3 and least value 1: mean 3/2, variance 3/4. */
static double
pareto_quantile(double share)
{
	return (pow(1 - share, -1.0 / 3) - 1.5) / sqrt(0.75);
}

static int16_t
table_entry(double deviations)
{
	double value = deviations * NETEM_DIST_SCALE;

	return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : lround(value));
}

static void
make_tables(void)
{
	for (int i = 0; i < QUANTILES; i++) {
		double share = (i + 0.5) / QUANTILES;
		double normal = normal_quantile(share), pareto = pareto_quantile(share);

		tables[SHAPE_UNIFORM][i] = table_entry(2 * share - 1);
		tables[SHAPE_NORMAL][i] = table_entry(normal);
		tables[SHAPE_PARETO][i] = table_entry(pareto);
		tables[SHAPE_PARETONORMAL][i] = table_entry(normal / 4 + pareto * 3 / 4);
	}
}

/* ---- making ---------------------------------------------------------------------------------- */

static void
put_tbf(struct nl_msg *message, const struct qdisc *qdisc)
{
	struct tc_tbf_qopt options = {
		.rate = { .rate = qdisc->rate > UINT32_MAX ? UINT32_MAX : (uint32_t)qdisc->rate,
			  .linklayer = TC_LINKLAYER_ETHERNET },
		.limit = qdisc->limit,
	};
	struct nlattr *nest = attr_begin(message, TCA_OPTIONS);

	attr_put(message, TCA_TBF_PARMS, &options, sizeof(options));
	if (qdisc->rate > UINT32_MAX)
		attr_put(message, TCA_TBF_RATE64, &qdisc->rate, sizeof(qdisc->rate));
	attr_put_u32(message, TCA_TBF_BURST, qdisc->burst);
	attr_end(message, nest);
}

/* The header's own times are in ticks of 64 ns and 32 bits; the attributes are exact. */
static uint32_t
ticks(int64_t ns)
{
	return ns >> 6 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns >> 6);
}

static void
put_netem(struct nl_msg *message, const struct qdisc *qdisc)
{
	struct tc_netem_qopt options = {
		.latency = ticks(qdisc->latency), .jitter = ticks(qdisc->jitter),
		.limit = qdisc->limit, .loss = qdisc->loss, .duplicate = qdisc->duplicate,
		.gap = qdisc->reorder ? 1 : 0,
	};
	struct tc_netem_corr correlations = { 0 };
	struct tc_netem_gemodel chain = { .p = qdisc->loss_begins, .r = qdisc->loss_ends };
	struct tc_netem_reorder reorder = { qdisc->reorder, qdisc->reorder_correlation };
	struct tc_netem_corrupt corrupt = { .probability = qdisc->corrupt };
	struct nlattr *nest = attr_begin(message, TCA_OPTIONS), *loss;

	pthread_once(&tables_once, make_tables);
	nlmsg_append(message, &options, sizeof(options), NLMSG_ALIGNTO);
	attr_put(message, TCA_NETEM_LATENCY64, &qdisc->latency, sizeof(qdisc->latency));
	attr_put(message, TCA_NETEM_JITTER64, &qdisc->jitter, sizeof(qdisc->jitter));
	attr_put(message, TCA_NETEM_CORR, &correlations, sizeof(correlations));
	attr_put(message, TCA_NETEM_REORDER, &reorder, sizeof(reorder));
	attr_put(message, TCA_NETEM_CORRUPT, &corrupt, sizeof(corrupt));
	if (chain.p || chain.r) {	/* without it the loss is plain again */
		loss = attr_begin(message, TCA_NETEM_LOSS);
		attr_put(message, NETEM_LOSS_GE, &chain, sizeof(chain));
		attr_end(message, loss);
	}
	if (qdisc->jitter)		/* also for uniform: a change keeps an earlier table otherwise */
		attr_put(message, TCA_NETEM_DELAY_DIST, tables[qdisc->distribution],
			 sizeof(tables[qdisc->distribution]));
	attr_end(message, nest);
}

static void
append_qdisc(struct batch *batch, int index, const char *device, const struct qdisc *qdisc)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index,
				.tcm_handle = qdisc->handle, .tcm_parent = qdisc->parent };
	struct tc_fifo_qopt fifo = { .limit = qdisc->limit };
	struct nl_msg *message = batch_add(batch, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &header,
					   sizeof(header), "shape '%s' with %s", device,
					   qdisc_words[qdisc->kind]);

	attr_put_text(message, TCA_KIND, qdisc_words[qdisc->kind]);
	if (qdisc->kind == QDISC_TBF)
		put_tbf(message, qdisc);
	else if (qdisc->kind == QDISC_NETEM)
		put_netem(message, qdisc);
	else
		attr_put(message, TCA_OPTIONS, &fifo, sizeof(fifo));
}

static void
append_removal(struct batch *batch, int index, const char *device, const struct qdisc *qdisc)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index,
				.tcm_handle = qdisc->handle, .tcm_parent = qdisc->parent };

	batch_add(batch, RTM_DELQDISC, 0, &header, sizeof(header), "end the shape of '%s'", device);
}

/* A distribution cannot be read back. */
static bool
is_certain(const struct qdisc_chain *wanted)
{
	for (unsigned i = 0; i < wanted->count; i++)
		if (wanted->list[i].kind == QDISC_NETEM && wanted->list[i].jitter)
			return false;
	return true;
}

/*
 * All of a chain is said, in order: what is as it should be is not disturbed by that, and a changed tbf
 * gives its limit to the fifo below it, which therefore has to come after.
 */
void
qdisc_settle(struct batch *batch, int index, const char *device, const struct qdisc_chain *wanted,
	     const struct qdisc_chain *found)
{
	char ignored[128];

	if (qdisc_chain_equal(wanted, found, ignored, sizeof(ignored)) && is_certain(wanted))
		return;
	if (wanted->count == 0) {
		append_removal(batch, index, device, &found->list[0]);
		return;
	}
	for (unsigned i = 0; i < wanted->count; i++)
		append_qdisc(batch, index, device, &wanted->list[i]);
	if (found->count > wanted->count && found->list[wanted->count - 1].handle ==
						    wanted->list[wanted->count - 1].handle)
		append_removal(batch, index, device, &found->list[wanted->count]);
}

/* ---- reading --------------------------------------------------------------------------------- */

void
qdisc_ask(struct batch *batch, int index, const char *device)
{
	static const uint32_t parents[QDISC_QUESTIONS] = { TC_H_ROOT, 0x10001, 0x20001, 0x30001,
							   0x60001, 0x70001, 0x80001 };

	for (unsigned i = 0; i < QDISC_QUESTIONS; i++) {
		struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index,
					.tcm_parent = parents[i] };

		/* Without NLM_F_ECHO the kernel tells only those who listen to its notifications. */
		batch_add(batch, RTM_GETQDISC, NLM_F_ECHO, &header, sizeof(header),
			  "read the shape of '%s'", device);
		batch_allow(batch, ENOENT);
	}
}

static void
take_tbf(struct nlattr *options, struct qdisc *ret)
{
	struct nlattr *attrs[TCA_TBF_MAX + 1];
	const struct tc_tbf_qopt *parms;

	if (!options || nla_parse_nested(attrs, TCA_TBF_MAX, options, NULL) < 0 ||
	    !attrs[TCA_TBF_PARMS])
		return;
	parms = nla_data(attrs[TCA_TBF_PARMS]);
	ret->rate = attrs[TCA_TBF_RATE64] ? nla_get_u64(attrs[TCA_TBF_RATE64]) : parms->rate.rate;
	ret->limit = parms->limit;
	ret->burst = (uint32_t)(((unsigned __int128)parms->buffer << 6) * ret->rate / 1000000000 + 1);
}

static void
take_loss(struct nlattr *model, struct qdisc *ret)
{
	struct nlattr *attrs[NETEM_LOSS_MAX + 1];
	const struct tc_netem_gemodel *chain;

	if (nla_parse_nested(attrs, NETEM_LOSS_MAX, model, NULL) < 0 || !attrs[NETEM_LOSS_GE])
		return;
	chain = nla_data(attrs[NETEM_LOSS_GE]);
	ret->loss_begins = chain->p;
	ret->loss_ends = chain->r;
}

static void
take_netem(struct nlattr *options, struct qdisc *ret)
{
	const struct tc_netem_qopt *parms;
	struct nlattr *attrs[TCA_NETEM_MAX + 1];
	int rest = options ? nla_len(options) - (int)NLA_ALIGN(sizeof(*parms)) : -1;

	if (rest < 0)
		return;
	parms = nla_data(options);
	if (nla_parse(attrs, TCA_NETEM_MAX,
		      (struct nlattr *)((char *)nla_data(options) + NLA_ALIGN(sizeof(*parms))), rest,
		      NULL) < 0)
		return;
	ret->limit = parms->limit;
	ret->loss = parms->loss;
	ret->duplicate = parms->duplicate;
	ret->latency = attrs[TCA_NETEM_LATENCY64] ? (int64_t)nla_get_u64(attrs[TCA_NETEM_LATENCY64])
						  : (int64_t)parms->latency << 6;
	ret->jitter = attrs[TCA_NETEM_JITTER64] ? (int64_t)nla_get_u64(attrs[TCA_NETEM_JITTER64])
						: (int64_t)parms->jitter << 6;
	if (attrs[TCA_NETEM_LOSS])
		take_loss(attrs[TCA_NETEM_LOSS], ret);
	if (attrs[TCA_NETEM_CORRUPT])
		ret->corrupt =
			((struct tc_netem_corrupt *)nla_data(attrs[TCA_NETEM_CORRUPT]))->probability;
	if (attrs[TCA_NETEM_REORDER]) {
		const struct tc_netem_reorder *reorder = nla_data(attrs[TCA_NETEM_REORDER]);

		ret->reorder = reorder->probability;
		ret->reorder_correlation = reorder->correlation;
	}
}

static void
take_fifo(struct nlattr *options, struct qdisc *ret)
{
	if (options && nla_len(options) >= (int)sizeof(struct tc_fifo_qopt))
		ret->limit = ((struct tc_fifo_qopt *)nla_data(options))->limit;
}

bool
qdisc_take(struct nlmsghdr *reply, struct qdisc *ret)
{
	struct nlattr *attrs[TCA_MAX + 1];
	struct tcmsg *header = nlmsg_data(reply);

	if (reply->nlmsg_type != RTM_NEWQDISC ||
	    nlmsg_parse(reply, sizeof(*header), attrs, TCA_MAX, NULL) < 0 || !attrs[TCA_KIND])
		return false;
	*ret = (struct qdisc){ .handle = header->tcm_handle, .parent = header->tcm_parent, .kind = -1 };
	nla_strlcpy(ret->word, attrs[TCA_KIND], sizeof(ret->word));
	for (int kind = 0; qdisc_words[kind]; kind++)
		if (strcmp(qdisc_words[kind], ret->word) == 0)
			ret->kind = kind;
	if (ret->kind == QDISC_TBF)
		take_tbf(attrs[TCA_OPTIONS], ret);
	else if (ret->kind == QDISC_NETEM)
		take_netem(attrs[TCA_OPTIONS], ret);
	else if (ret->kind >= 0)
		take_fifo(attrs[TCA_OPTIONS], ret);
	return true;
}
