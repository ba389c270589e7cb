/*
 * The intervals say how much chance there is in a sample. What else there is between a shape and its measure
 * (timers, scheduling, the granularity of token buckets) is the tolerance below, the same for every run.
 */
#include "daemon/probe_verdict.h"

#include <math.h>

#include "backends/expect.h"

#define RATE_SHARE   0.03
#define DELAY_NS     300000.0
#define DELAY_SHARE  0.01
#define LOSS_SHARE   0.0005	/* a busy host loses a frame now and then by itself */
#define BARE_PART    10		/* unlimited: at least one part in so many of what the bare path does */

enum word { OK, DIFFERS, UNLIMITED };
static const char *const words[] = { "ok", "differs", "unlimited" };

/* Whether [low, high] and wanted ± tolerance have anything in common. */
static enum word
compare(double wanted, double tolerance, double low, double high)
{
	return wanted + tolerance < low || wanted - tolerance > high ? DIFFERS : OK;
}

static enum word
judge_delay(const struct expectation *want, const struct probe_result *result)
{
	double wanted = (double)want->delay_ns;

	if (!result->delay_ns.samples)
		return DIFFERS;
	return compare(wanted, DELAY_NS + DELAY_SHARE * wanted + (double)want->delay_slack_ns,
		       (double)result->delay_ns.low, (double)result->delay_ns.high);
}

static enum word
judge_rate(const struct expectation *want, const struct probe_result *result)
{
	double wanted = (double)want->rate_bps;

	if (!want->rate_bps)
		return result->rate_bps.measured < result->rate_bps.bare / BARE_PART ||
		       !result->rate_bps.measured ? DIFFERS : UNLIMITED;
	return compare(wanted, RATE_SHARE * wanted, (double)result->rate_bps.low,
		       (double)result->rate_bps.high);
}

/* A flipped bit in a frame's address makes it one that never arrived. */
static enum word
judge_loss(const struct expectation *want, const struct probe_result *result)
{
	double most = 1 - (1 - want->loss) * (1 - want->corrupt), middle = (want->loss + most) / 2;

	return compare(middle, most - middle + LOSS_SHARE, result->loss.low, result->loss.high);
}

static json_t *
delay_object(const struct expectation *want, const struct probe_result *result, enum word word)
{
	return json_pack("{sI sI sI sI sI sI sI sI sI ss}", "wanted", (json_int_t)want->delay_ns,
		"measured", (json_int_t)result->delay_ns.measured,
		"low", (json_int_t)result->delay_ns.low, "high", (json_int_t)result->delay_ns.high,
		"median", (json_int_t)result->delay_ns.median, "p99", (json_int_t)result->delay_ns.p99,
		"bare_median", (json_int_t)result->delay_ns.bare_median,
		"bare_p99", (json_int_t)result->delay_ns.bare_p99,
		"samples", (json_int_t)result->delay_ns.samples, "verdict", words[word]);
}

static json_t *
rate_object(const struct expectation *want, const struct probe_result *result, enum word word)
{
	bool is_bounded = result->rate_bps.high != PROBE_UNBOUNDED;

	return json_pack("{so sI sI so sI sI ss}", "wanted", want->rate_bps
			 ? json_integer((json_int_t)want->rate_bps) : json_null(),
		"measured", (json_int_t)result->rate_bps.measured,
		"low", (json_int_t)result->rate_bps.low, "high", is_bounded
		? json_integer((json_int_t)result->rate_bps.high) : json_null(),
		"offered", (json_int_t)result->rate_bps.offered,
		"frames", (json_int_t)result->rate_bps.frames, "verdict", words[word]);
}

static json_t *
loss_object(const struct expectation *want, const struct probe_result *result, enum word word)
{
	return json_pack("{sf sf sf sf sI ss}", "wanted", want->loss, "measured", result->loss.measured,
		"low", result->loss.low, "high", result->loss.high,
		"sent", (json_int_t)result->loss.sent, "verdict", words[word]);
}

json_t *
probe_direction(const char *from, const char *to, const struct probe_spec *spec,
		const struct probe_result *result)
{
	struct expectation want;
	enum word delay, rate, loss, all;

	expect_path(spec->hops, spec->n_hops, &want);
	delay = judge_delay(&want, result);
	rate = judge_rate(&want, result);
	loss = judge_loss(&want, result);
	all = delay == DIFFERS || loss == DIFFERS ? DIFFERS : rate;
	return json_pack("{ss ss so so so ss}", "from", from, "to", to,
			 "delay_ns", delay_object(&want, result, delay),
			 "rate_bps", rate_object(&want, result, rate),
			 "loss", loss_object(&want, result, loss), "verdict", words[all]);
}
