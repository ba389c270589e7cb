/* Along a path delays add up, losses multiply, and the narrowest place decides. */
#include "backends/expect.h"

#include <math.h>

/*
 * Of the distributions netem draws from, pareto's median lies farthest from its mean, 0.28 of the deviation
 * below (see qdisc_message.c); what overtakes comes without the delay.
 */
static uint64_t
slack_of(const struct shape *hop)
{
	double moved = hop->distribution ? 0.3 : 0;

	if (hop->reorder >= 0.4)
		return hop->delay_ns;
	return (uint64_t)((moved + 2 * hop->reorder) * (double)hop->jitter_ns);
}

/* Loss and duplication come before the rate of their hop. */
static double
pass_rate(const struct shape *hop, double rate)
{
	rate *= (1 - hop->loss) * (1 + hop->duplicate);
	return hop->rate_bps ? fmin(rate, (double)hop->rate_bps) : rate;
}

/* That one of two happens. Written so that with one alone it is that one to the last bit: people read it. */
static double
either(double p, double q)
{
	return p + q - p * q;
}

void
expect_path(const struct shape *hops, unsigned n_hops, struct expectation *ret)
{
	double rate = INFINITY, passed = 1, offer = 0;

	*ret = (struct expectation){ 0 };
	for (unsigned i = 0; i < n_hops; i++) {
		const struct shape *hop = &hops[i];

		rate = pass_rate(hop, rate);
		passed *= fmax(1 - hop->loss, 0.01);
		offer = fmax(offer, (double)hop->rate_bps / passed);
		ret->delay_ns += hop->delay_ns;
		ret->delay_slack_ns += slack_of(hop);
		ret->spread_ns += 4 * hop->jitter_ns;
		ret->loss = either(ret->loss, hop->loss);
		ret->corrupt = either(ret->corrupt, hop->corrupt);
		ret->loss_correlation = fmax(ret->loss_correlation, hop->loss_correlation);
	}
	if (isfinite(rate)) {
		ret->rate_bps = (uint64_t)llround(rate);
		ret->offer_bps = (uint64_t)llround(offer);
	}
}
