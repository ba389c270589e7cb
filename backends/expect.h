#pragma once
/* What a path of shapes is to do to packets, as an end sees it. Pure functions; thread: any. */

#include "backends/backend.h"

struct expectation {
	uint64_t rate_bps;		/* that arrives of an endless supply; 0 = unlimited */
	uint64_t offer_bps;		/* supply that fills the narrowest place; 0 with rate_bps */
	uint64_t delay_ns;		/* of a lone packet */
	uint64_t delay_slack_ns;	/* by which jitter and reordering may move the median */
	uint64_t spread_ns;		/* how much later than delay_ns a lone packet may arrive */
	double loss;
	double corrupt;			/* more that may seem lost, its address or type being hit */
	double loss_correlation;
};

void expect_path(const struct shape *hops, unsigned n_hops, struct expectation *ret);
