/*
 * Measuring in the real kernel: what a shape does is found again by frames that owe it nothing, and what
 * somebody else did to a port is not taken for it.
 */
#include "tests/host/net_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/probe_verdict.h"
#include "proto/base/mem.h"

#define MBIT 1000000ull
#define TRIES 5		/* this machine may be busy with something else */

static const struct shape none;
static bool is_cancelled;
static unsigned n_progress;

static void
on_progress(void *arg, uint64_t done, uint64_t total)
{
	ck_assert_uint_le(done, total);
	n_progress++;
	if (arg)
		__atomic_store_n((bool *)arg, true, __ATOMIC_RELAXED);
}

static struct probe_spec
spec_of(const struct node *from, const struct node *to, struct shape shape)
{
	return (struct probe_spec){ .from = { from->ns, 1 }, .to = { to->ns, 1 }, .hops = { shape },
				    .n_hops = 1, .phase_ms = 1000 };
}

/* The verdict of one measurement, which is printed: on a quantity, or (NULL) on all. */
static char *
verdict(const struct probe_spec *spec, const char *quantity, struct probe_result *ret)
{
	vn_autofree char *text = NULL;
	json_t *object;
	char *word;

	n_progress = 0;
	check_ok(net->ops->probe(net, spec, &is_cancelled, on_progress, NULL, ret, &err));
	ck_assert_uint_gt(n_progress, 0);
	object = probe_direction("1", "2", spec, ret);
	text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(5));
	printf("  %s\n", text);
	word = vn_strdup(json_string_value(json_object_get(quantity ? json_object_get(object, quantity)
								    : object, "verdict")));
	json_decref(object);
	return word;
}

/* The same word from one of a few measurements. */
static struct probe_result
expect_verdict(const struct probe_spec *spec, const char *quantity, const char *wanted)
{
	struct probe_result result;

	for (int i = 0; i < TRIES; i++) {
		vn_autofree char *word = verdict(spec, quantity, &result);

		if (strcmp(word, wanted) == 0)
			return result;
	}
	ck_abort_msg("never '%s'", wanted);
}

static void
shape_two(struct shape out, struct shape in)
{
	struct port_shape port = { .vmid = 2, .index = 1, .out = out, .in = in };

	check_ok(net->ops->ports_shape(net, &port, 1, &err));
}

/* Of the second vnode: what it is sent by its port's egress, what it sends by the ingress, through an IFB. */
START_TEST(each_direction_has_its_rate)
{
	static const uint64_t rates[] = { MBIT / 10, MBIT, 10 * MBIT, 50 * MBIT };
	struct shape out = { .rate_bps = rates[_i] }, in = { .rate_bps = rates[_i] / 2 };
	struct probe_spec there, back;
	struct probe_result result;

	bring_up_two();
	there = spec_of(&one, &two, out);
	back = spec_of(&two, &one, in);
	shape_two(out, in);
	result = expect_verdict(&there, NULL, "ok");
	ck_assert_uint_gt(result.delay_ns.samples, 0);
	ck_assert_uint_gt(result.loss.sent, 0);
	expect_verdict(&back, NULL, "ok");
	shape_two(in, out);
	expect_verdict(&there, "rate_bps", "differs");
	expect_verdict(&back, "rate_bps", "differs");
}
END_TEST

/* Guests have set up what they could: no address, a filter that drops all, a qdisc of their own. */
START_TEST(no_rate_is_found_where_none_is_whatever_guests_do)
{
	struct probe_spec spec;
	struct probe_result result;

	bring_up_two();
	ck_assert_int_eq(shell(INSIDE "sh -c 'ip addr flush dev eth1; nft add table netdev f; nft add chain netdev f "
			       "in \"{ type filter hook ingress device eth1 priority 0; policy drop; }\"; "
			       "tc qdisc add dev eth1 root tbf rate 100kbit burst 2000 limit 3000; "
			       "ip link set eth1 name other'", 1), 0);
	ck_assert_int_eq(shell(INSIDE "sh -c 'nft add table netdev f; nft add chain netdev f "
			       "in \"{ type filter hook ingress device eth1 priority 0; policy drop; }\"; "
			       "tc qdisc add dev eth1 ingress; "
			       "tc filter add dev eth1 ingress protocol all u32 match u32 0 0 action mirred egress redirect dev lo'",
			       2), 0);
	ck_assert_int_ne(ping(2, "10.1.0.2"), 0);
	spec = spec_of(&one, &two, none);
	result = expect_verdict(&spec, NULL, "unlimited");
	ck_assert_uint_ge(result.delay_ns.samples, 100);	/* of 400, on a machine that has other work */
	ck_assert_uint_gt(result.rate_bps.bare, 0);
}
END_TEST

START_TEST(a_foreign_qdisc_is_seen)
{
	struct shape shape = { .rate_bps = 20 * MBIT };
	struct probe_spec limited, unlimited;

	bring_up_two();
	limited = spec_of(&one, &two, shape);
	unlimited = spec_of(&two, &one, none);
	shape_two(shape, none);
	ck_assert_int_eq(shell(FABRIC "tc qdisc replace dev v2e1 root tbf rate 4mbit burst 3000 limit 30000"), 0);
	expect_verdict(&limited, "rate_bps", "differs");
	ck_assert_int_eq(shell(FABRIC "tc qdisc del dev v2e1 root"), 0);
	expect_verdict(&limited, "rate_bps", "differs");
	ck_assert_int_eq(shell(FABRIC "tc qdisc add dev v1e1 root tbf rate 4mbit burst 3000 limit 30000"), 0);
	expect_verdict(&unlimited, "rate_bps", "differs");
}
END_TEST

/* Nothing of it stays, neither devices nor namespaces, also when it ends early. */
START_TEST(it_can_be_cancelled_and_leaves_nothing)
{
	vn_autofree char *before = NULL, *after = NULL;
	struct probe_result result;
	struct probe_spec spec;

	bring_up_two();
	before = dump();
	spec = spec_of(&one, &two, none);
	spec.phase_ms = 600000;
	is_cancelled = false;
	check_fails(net->ops->probe(net, &spec, &is_cancelled, on_progress, &is_cancelled, &result, &err),
		    VN_E_CANCELLED, "cancelled");
	is_cancelled = false;
	after = dump();
	check_same(before, after);
}
END_TEST

START_TEST(what_cannot_be_measured_says_why)
{
	struct probe_result result;
	struct probe_spec spec;

	bring_up_two();
	spec = spec_of(&one, &two, none);
	ck_assert_int_eq(shell(INSIDE "ip link set eth1 down", 2), 0);
	check_fails(net->ops->probe(net, &spec, &is_cancelled, on_progress, NULL, &result, &err), VN_E_STATE,
		    "down inside the vnode");
	ck_assert_int_eq(shell(INSIDE "ip link set eth1 up", 2), 0);
	check_ok(net->ops->ports_carrier(net, (int64_t[]){ 1 }, (unsigned[]){ 1 }, 1, false, &err));
	check_fails(net->ops->probe(net, &spec, &is_cancelled, on_progress, NULL, &result, &err), VN_E_STATE,
		    "carrier");
	check_ok(net->ops->ports_down(net, &one.ns, (unsigned[]){ 1 }, 1, &err));
	check_fails(net->ops->probe(net, &spec, &is_cancelled, on_progress, NULL, &result, &err),
		    VN_E_NOT_FOUND, "v1e1");
}
END_TEST

/* Delay and loss, each direction by itself; netem's own correlation would lose next to nothing of this. */
START_TEST(delay_and_loss_are_what_was_asked_for)
{
	static const struct shape shapes[] = {
		{ .delay_ns = 5000000 }, { .loss = 0.05 }, { .loss = 0.1, .loss_correlation = 0.25 },
		{ .loss = 0.05, .loss_correlation = 0.5 },
		{ .delay_ns = 20000000, .loss = 0.02, .rate_bps = 4 * MBIT },
	};
	struct probe_spec there, back;
	struct vn_error lack;
	char **missing;

	bring_up_two();
	check_ok(net->ops->missing(net, &missing, &err));
	backend_free_strings(missing);
	if (net->ops->shape_check(net, &shapes[_i], &lack) < 0) {
		printf("  SKIPPED: %s\n", lack.text);
		return;
	}
	there = spec_of(&one, &two, shapes[_i]);
	back = spec_of(&two, &one, none);
	there.phase_ms = 3000;
	shape_two(shapes[_i], none);
	expect_verdict(&there, NULL, shapes[_i].rate_bps ? "ok" : "unlimited");
	expect_verdict(&back, "loss", "ok");
	expect_verdict(&back, "delay_ns", "ok");
}
END_TEST

const struct net_case probe_cases[] = {
	{ "probe rates", &each_direction_has_its_rate, 4 },
	{ "probe unlimited", &no_rate_is_found_where_none_is_whatever_guests_do, 1 },
	{ "probe foreign", &a_foreign_qdisc_is_seen, 1 },
	{ "probe netem", &delay_and_loss_are_what_was_asked_for, 5 },
	{ "probe cancelled", &it_can_be_cancelled_and_leaves_nothing, 1 },
	{ "probe refused", &what_cannot_be_measured_says_why, 1 },
	{ 0 },
};
