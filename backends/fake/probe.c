/* Measurements: what the world's own ports say, moved by world_probe_error, with the intervals of a real one. */
#include "backends/fake/model.h"

#include <math.h>

#include "backends/expect.h"
#include "backends/statistics.h"

enum { SAMPLES = 400, FRAMES = 10000, BARE_BPS = 1000000000, BARE_NS = 20000 };

static struct port *
find_port(struct call *call, const struct probe_end *end, struct vn_error *err)
{
	struct port *port = port_find(call->world, end->ns.vmid, end->index);

	if (!port || !netns_find(call->world, end->ns.vmid))
		vn_fail(err, VN_E_NOT_FOUND, "no port v%llde%u in the fabric", (long long)end->ns.vmid,
			end->index);
	else if (!port->up)
		vn_fail(err, VN_E_STATE, "the port v%llde%u has no carrier", (long long)end->ns.vmid,
			end->index);
	else
		return port;
	return NULL;
}

static void
answer(const struct expectation *is, double error, struct probe_result *ret)
{
	double rate = is->rate_bps ? (double)is->rate_bps * error : BARE_BPS;
	double delay = (double)is->delay_ns * error;
	struct interval loss = statistics_share(is->loss * FRAMES, FRAMES, is->loss_correlation);

	*ret = (struct probe_result){
		.delay_ns = { .measured = (uint64_t)delay, .low = (uint64_t)delay, .high = (uint64_t)delay,
			      .median = (uint64_t)delay + BARE_NS, .p99 = (uint64_t)delay + 2 * BARE_NS,
			      .bare_median = BARE_NS, .bare_p99 = 2 * BARE_NS, .samples = SAMPLES },
		.rate_bps = { .measured = (uint64_t)rate, .low = (uint64_t)(rate * 0.999),
			      .high = (uint64_t)(rate * 1.001), .offered = 2 * (uint64_t)rate,
			      .bare = is->rate_bps ? 0 : BARE_BPS, .frames = FRAMES },
		.loss = { .measured = is->loss, .low = loss.low, .high = loss.high, .sent = FRAMES,
			  .received = (unsigned)lround((1 - is->loss) * FRAMES) },
	};
}

static int
probe(struct call *call, const struct probe_spec *spec, struct probe_result *ret, struct vn_error *err)
{
	struct port *from = find_port(call, &spec->from, err), *to = from ? find_port(call, &spec->to, err)
									   : NULL;
	struct expectation is;

	if (!to)
		return -1;
	if (from->lan != to->lan)
		return vn_fail(err, VN_E_STATE, "the ports are in different LANs");
	expect_path((struct shape[]){ from->in, to->out }, 2, &is);
	answer(&is, 1 + call->world->probe_error, ret);
	return 0;
}

int
fake_measure(struct net *self, const struct probe_spec *spec, const bool *cancelled,
	   probe_progress_fn *progress, void *arg, struct probe_result *ret, struct vn_error *err)
{
	struct handle *handle = &vn_container_of(self, struct fake_net, base)->handle;
	struct probe_result result;
	struct call call;
	int status;

	progress(arg, 1, 2);
	if (call_begin(&call, handle, "net.probe", spec->from.ns.vmid, 0, err) < 0)
		return -1;
	status = __atomic_load_n(cancelled, __ATOMIC_RELAXED) ? vn_fail(err, VN_E_CANCELLED, "cancelled")
							      : probe(&call, spec, &result, err);
	if (call_end(&call, status, err) < 0)
		return -1;
	*ret = result;
	progress(arg, 2, 2);
	return 0;
}
