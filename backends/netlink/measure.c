/*
 * Delay first, then loss, then rate, so that no queue of one disturbs the other. Delay and loss are taken far
 * below the rate, where nothing has to queue; each delay probe has a twin on the bare path half a step later,
 * so that both see the same moments of a busy host.
 */
#include "backends/netlink/measure.h"

#include <math.h>
#include <net/if.h>
#include <string.h>
#include <sys/random.h>

#include "backends/expect.h"
#include "backends/netlink/bare.h"
#include "backends/netlink/fabric.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/port.h"
#include "backends/netlink/stream.h"
#include "backends/statistics.h"

#define NS_PER_S 1e9
#define MS INT64_C(1000000)
#define GRACE_NS (250 * MS)		/* on top of the delay, for what is late */

enum { PHASE_HELLO = 1, PHASE_DELAY, PHASE_BARE, PHASE_LOSS, PHASE_RATE, PHASE_BARE_RATE };
enum { DELAY_PROBES = 400, LOSS_RATE = 10000 /* frames a second */, RATE_FRAMES = 200000, BURST_FRAMES = 4000 };
enum { SLICES = 10, LEAST_FRAMES = 100 };
enum { TOKENS = 3, LEAD = 5 };		/* of the largest frames: more than a bucket holds, and more than that */
#define BURST_NS (300 * MS)
#define SHARE_OF_RATE 2			/* delay and loss use one part in so many of the rate */
#define ENOUGH 1.02			/* offered over wanted, to fill the narrowest place */

struct measuring {
	struct fabric *fabric;
	const struct probe_spec *spec;
	struct expectation want;
	bool may_repeat;
	const bool *cancelled;
	probe_progress_fn *progress;
	void *arg;
	struct packet_port from, to, bare_from, bare_to;
	int64_t phase_ns, done_ns, total_ns, began_ns;
};

/* Arrivals of a stream, as the phase wants them. */
struct arrivals {
	uint64_t *values;
	size_t count, room;
};

static void
keep(struct arrivals *arrivals, uint64_t value)
{
	if (arrivals->count < arrivals->room)
		arrivals->values[arrivals->count++] = value;
}

static void
on_delay(void *arg, const struct packet_arrival *arrival)
{
	int64_t delay = arrival->arrived_ns - arrival->sent_ns;

	keep(arg, delay > 0 ? (uint64_t)delay : 0);
}

static void
on_time(void *arg, const struct packet_arrival *arrival)
{
	keep(arg, (uint64_t)arrival->arrived_ns);
}

static void
on_nothing(void *arg, const struct packet_arrival *arrival)
{
	(void)arg;
	(void)arrival;
}

static bool
on_watch(void *arg)
{
	struct measuring *m = arg;
	int64_t now = packet_now();

	if (now - m->began_ns > NS_PER_S / 4 || now < m->began_ns) {
		m->done_ns += now > m->began_ns ? now - m->began_ns : 0;
		m->began_ns = now;
		if (m->done_ns > m->total_ns)
			m->done_ns = m->total_ns;
		m->progress(m->arg, (uint64_t)(m->done_ns / MS), (uint64_t)(m->total_ns / MS));
	}
	return !__atomic_load_n(m->cancelled, __ATOMIC_RELAXED);
}

static int
run(struct measuring *m, struct stream *streams, size_t count, struct vn_error *err)
{
	for (size_t i = 0; i < count; i++) {
		streams[i].quiet_ns = (int64_t)(m->want.delay_ns + m->want.spread_ns) + GRACE_NS;
		streams[i].may_repeat = m->may_repeat;
	}
	return streams_run(streams, count, on_watch, m, err);
}

/* Time between small frames, at most `per_second` of them, that leaves most of the rate unused. */
static int64_t
gentle_interval(const struct measuring *m, double per_second)
{
	double most = m->want.rate_bps ? (double)m->want.rate_bps / (8 * PACKET_LEAST * SHARE_OF_RATE)
				       : per_second;

	return (int64_t)(NS_PER_S / fmin(per_second, most));
}

/* ---- the phases ------------------------------------------------------------------------------ */

/* Teaches the bridges where both ends are, and the kernel to put stamps on frames. */
static int
say_hello(struct measuring *m, struct vn_error *err)
{
	int64_t step = gentle_interval(m, 500);
	struct stream streams[] = {
		{ .from = &m->to, .to = &m->from },
		{ .from = &m->from, .to = &m->to },
		{ .from = &m->bare_to, .to = &m->bare_from },
		{ .from = &m->bare_from, .to = &m->bare_to },
	};

	for (size_t i = 0; i < VN_COUNT(streams); i++) {
		streams[i].phase = PHASE_HELLO;
		streams[i].size = PACKET_LEAST;
		streams[i].count = 5;
		streams[i].interval_ns = step;
		streams[i].singly = true;
		streams[i].on_arrival = on_nothing;
	}
	return run(m, streams, VN_COUNT(streams), err);
}

static void
judge_delay(struct arrivals *real, struct arrivals *bare, struct probe_result *ret)
{
	struct interval here, there;

	if (!real->count || !bare->count)
		return;
	statistics_sort(real->values, real->count);
	statistics_sort(bare->values, bare->count);
	here = statistics_median(real->values, real->count);
	there = statistics_median(bare->values, bare->count);
	ret->delay_ns.samples = (unsigned)real->count;
	ret->delay_ns.median = statistics_quantile(real->values, real->count, 0.5);
	ret->delay_ns.p99 = statistics_quantile(real->values, real->count, 0.99);
	ret->delay_ns.bare_median = statistics_quantile(bare->values, bare->count, 0.5);
	ret->delay_ns.bare_p99 = statistics_quantile(bare->values, bare->count, 0.99);
	if (ret->delay_ns.median > ret->delay_ns.bare_median)
		ret->delay_ns.measured = ret->delay_ns.median - ret->delay_ns.bare_median;
	ret->delay_ns.low = (uint64_t)fmax(0, here.low - there.high);
	ret->delay_ns.high = (uint64_t)fmax(0, here.high - there.low);
}

static int
measure_delay(struct measuring *m, struct probe_result *ret, struct vn_error *err)
{
	int64_t step = m->phase_ns / DELAY_PROBES, gentle = gentle_interval(m, NS_PER_S);
	vn_autofree uint64_t *values = vn_alloc_array(4 * DELAY_PROBES, sizeof(*values));
	struct arrivals real = { values, 0, 2 * DELAY_PROBES };
	struct arrivals bare = { values + 2 * DELAY_PROBES, 0, 2 * DELAY_PROBES };
	struct stream streams[] = {
		{ .from = &m->from, .to = &m->to, .phase = PHASE_DELAY, .arg = &real },
		{ .from = &m->bare_from, .to = &m->bare_to, .phase = PHASE_BARE, .arg = &bare },
	};

	if (step < gentle)
		step = gentle;
	for (size_t i = 0; i < VN_COUNT(streams); i++) {
		streams[i].size = PACKET_LEAST;
		streams[i].count = DELAY_PROBES;
		streams[i].interval_ns = step;
		streams[i].begin_ns = (int64_t)i * step / 2;
		streams[i].end_ns = 2 * m->phase_ns;
		streams[i].singly = true;
		streams[i].on_arrival = on_delay;
	}
	if (run(m, streams, VN_COUNT(streams), err) < 0)
		return -1;
	judge_delay(&real, &bare, ret);
	return 0;
}

struct tally {				/* which numbers have arrived */
	unsigned char *seen;
	unsigned count, room;
};

static void
on_number(void *arg, const struct packet_arrival *arrival)
{
	struct tally *tally = arg;

	if (arrival->number >= tally->room || tally->seen[arrival->number])
		return;
	tally->seen[arrival->number] = 1;
	tally->count++;
}

static int
measure_loss(struct measuring *m, struct probe_result *ret, struct vn_error *err)
{
	int64_t step = gentle_interval(m, LOSS_RATE);
	unsigned count = (unsigned)(m->phase_ns / step) + 1;
	vn_autofree unsigned char *seen = vn_alloc(count);
	struct tally tally = { seen, 0, count };
	struct stream stream = { .from = &m->from, .to = &m->to, .phase = PHASE_LOSS, .size = PACKET_LEAST,
				 .count = count, .interval_ns = step, .end_ns = m->phase_ns,
				 .on_arrival = on_number, .arg = &tally };
	struct interval interval;

	if (run(m, &stream, 1, err) < 0)
		return -1;
	tally.count += stream.overrun;
	if (tally.count > stream.sent)
		tally.count = stream.sent;
	ret->loss.sent = stream.sent;
	ret->loss.received = tally.count;
	interval = statistics_share(stream.sent - tally.count, stream.sent, m->want.loss_correlation);
	ret->loss.measured = stream.sent ? 1 - (double)tally.count / stream.sent : 0;
	ret->loss.low = interval.low;
	ret->loss.high = interval.high;
	return 0;
}

/* ---- rate ------------------------------------------------------------------------------------ */

static unsigned
largest_frame(const struct measuring *m)
{
	return (m->from.mtu < m->to.mtu ? m->from.mtu : m->to.mtu) + 14;
}

/*
 * Bits a second from the times of arrivals: between the first and the last of them, so that no part of a frame
 * is cut off at an edge, and without those at the beginning, which the token bucket let through at once.
 */
static double
rate_between(const uint64_t *times, size_t first, size_t last, unsigned size)
{
	double span = (double)(times[last] - times[first]);

	return span > 0 ? (double)(last - first) * size * 8 * NS_PER_S / span : 0;
}

/* By the time that slices of as many frames take each: their mean is that of the whole, unlike that of rates. */
static struct interval
rate_interval(const uint64_t *times, size_t first, size_t last, unsigned size)
{
	double rate = rate_between(times, first, last, size), spans[SLICES];
	size_t n = last - first, step = n / SLICES;
	struct interval span;

	if (step < 2)			/* too few to vary: one frame more or less */
		return (struct interval){ rate * (1 - 1.0 / (double)n), rate * (1 + 1.0 / (double)n) };
	for (size_t i = 0; i < SLICES; i++) {
		size_t begin = last - (SLICES - i) * step;

		spans[i] = (double)(times[begin + step] - times[begin]);
	}
	span = statistics_mean(spans, SLICES);
	return (struct interval){ (double)step * size * 8 * NS_PER_S / span.high,
				  span.low > 0 ? (double)step * size * 8 * NS_PER_S / span.low : INFINITY };
}

static void
judge_rate(const struct measuring *m, const struct stream *stream, struct arrivals *times,
	   struct probe_result *ret)
{
	double span = fmax(1, (double)stream->sent_ns), bits = 8.0 * stream->size;
	double offered = stream->sent * bits * NS_PER_S / span, measured;
	struct interval interval = { 0, 3 * bits * NS_PER_S / span };
	size_t first = times->count / 5, tokens = TOKENS * largest_frame(m) / stream->size;

	ret->rate_bps.offered = (uint64_t)offered;
	ret->rate_bps.frames = (unsigned)times->count;
	first = m->want.rate_bps && first < tokens ? tokens : first;
	if (times->count < first + 3) {
		ret->rate_bps.high = (uint64_t)interval.high;
		return;
	}
	statistics_sort(times->values, times->count);
	measured = rate_between(times->values, first, times->count - 1, stream->size);
	interval = rate_interval(times->values, first, times->count - 1, stream->size);
	ret->rate_bps.measured = (uint64_t)measured;
	ret->rate_bps.low = (uint64_t)fmax(0, interval.low);
	ret->rate_bps.high = isfinite(interval.high) ? (uint64_t)interval.high : PROBE_UNBOUNDED;
	if (m->want.rate_bps && offered < ENOUGH * (double)m->want.offer_bps && measured > 0.9 * offered)
		ret->rate_bps.high = PROBE_UNBOUNDED;
}

/* Frames as large as both ends take, smaller ones where the phase would see too few of them. */
static unsigned
frame_size(const struct measuring *m)
{
	unsigned size = largest_frame(m);
	double share = (double)m->want.rate_bps / 8 * (double)m->phase_ns / NS_PER_S / LEAST_FRAMES;

	if (m->want.rate_bps && size > share)
		size = (unsigned)share;
	return size < PACKET_LEAST ? PACKET_LEAST : size > PACKET_MOST ? PACKET_MOST : size;
}

static int
measure_burst(struct measuring *m, const struct packet_port *from, const struct packet_port *to,
	      uint32_t phase, struct probe_result *ret, struct vn_error *err)
{
	vn_autofree uint64_t *values = vn_alloc_array(2 * BURST_FRAMES, sizeof(*values));
	struct arrivals times = { values, 0, 2 * BURST_FRAMES };
	struct stream stream = { .from = from, .to = to, .phase = phase, .size = frame_size(m),
				 .count = BURST_FRAMES, .end_ns = BURST_NS, .on_arrival = on_time,
				 .arg = &times };

	if (run(m, &stream, 1, err) < 0)
		return -1;
	judge_rate(m, &stream, &times, ret);
	return 0;
}

static int
measure_rate(struct measuring *m, struct probe_result *ret, struct vn_error *err)
{
	unsigned size = frame_size(m);
	double offer = 1.25 * (double)m->want.offer_bps;
	vn_autofree uint64_t *values = vn_alloc_array(2 * RATE_FRAMES, sizeof(*values));
	struct arrivals times = { values, 0, 2 * RATE_FRAMES };
	struct stream stream = { .from = &m->from, .to = &m->to, .phase = PHASE_RATE, .size = size,
				 .count = RATE_FRAMES, .end_ns = m->phase_ns, .on_arrival = on_time,
				 .arg = &times };
	struct probe_result bare = { 0 };

	if (!m->want.rate_bps) {
		if (measure_burst(m, &m->bare_from, &m->bare_to, PHASE_BARE_RATE, &bare, err) < 0 ||
		    measure_burst(m, &m->from, &m->to, PHASE_RATE, ret, err) < 0)
			return -1;
		ret->rate_bps.bare = bare.rate_bps.measured;
		return 0;
	}
	stream.interval_ns = (int64_t)(size * 8 * NS_PER_S / offer);
	stream.lead_ns = stream.interval_ns * LEAD * largest_frame(m) / size;
	if (run(m, &stream, 1, err) < 0)
		return -1;
	judge_rate(m, &stream, &times, ret);
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Opens the guest's end of a port: by the index that the fabric's end reports, whatever its name is now. */
static int
open_end(struct measuring *m, const struct probe_end *end, uint32_t run, struct packet_port *ret,
	 struct vn_error *err)
{
	vn_autoclose int netns = -1;
	char name[1][16];
	struct link link;

	port_name(end->ns.vmid, end->index, name[0]);
	if (fabric_links_get(m->fabric, (const char (*)[16])name, 1, &link, err) < 0)
		return -1;
	if (!link.index || !link.peer || !fabric_owns(m->fabric, &link, end->ns.uuid))
		return vn_fail(err, VN_E_NOT_FOUND, "the fabric has no port '%s' of ours", name[0]);
	if (!(link.flags & IFF_UP))
		return vn_fail(err, VN_E_STATE, "the port '%s' has no carrier: lan.up gives it one", name[0]);
	netns = netns_open(end->ns.netns, err);
	if (netns < 0 || packet_open(ret, netns, m->fabric->home, link.peer, run, err) < 0)
		return -1;
	if (ret->mtu > link.mtu)
		ret->mtu = link.mtu;
	return 0;
}

static int
open_all(struct measuring *m, struct vn_error *err)
{
	uint32_t run;

	if (getrandom(&run, sizeof(run), 0) != sizeof(run))
		abort();
	if (open_end(m, &m->spec->from, run, &m->from, err) < 0)
		return -1;
	if (open_end(m, &m->spec->to, run, &m->to, err) < 0)
		return -1;
	return bare_open(m->fabric->home, m->from.mtu < m->to.mtu ? m->from.mtu : m->to.mtu, run,
			 &m->bare_from, &m->bare_to, err);
}

static int
measure_all(struct measuring *m, struct probe_result *ret, struct vn_error *err)
{
	if (open_all(m, err) < 0 || say_hello(m, err) < 0 || measure_delay(m, ret, err) < 0 ||
	    measure_loss(m, ret, err) < 0 || measure_rate(m, ret, err) < 0)
		return -1;
	m->progress(m->arg, (uint64_t)(m->total_ns / MS), (uint64_t)(m->total_ns / MS));
	return 0;
}

static bool
has_duplicates(const struct probe_spec *spec)
{
	for (unsigned i = 0; i < spec->n_hops; i++)
		if (spec->hops[i].duplicate > 0)
			return true;
	return false;
}

int
measure_path(struct net *net, const struct probe_spec *spec, const bool *cancelled,
	     probe_progress_fn *progress, void *arg, struct probe_result *ret, struct vn_error *err)
{
	struct measuring m = { .fabric = fabric_of(net), .spec = spec, .cancelled = cancelled,
			       .progress = progress, .arg = arg, .phase_ns = spec->phase_ms * MS,
			       .may_repeat = has_duplicates(spec), .began_ns = packet_now() };
	struct probe_result result = { 0 };
	int status;

	m.from.fd = m.to.fd = m.bare_from.fd = m.bare_to.fd = -1;
	expect_path(spec->hops, spec->n_hops, &m.want);
	m.total_ns = 3 * (m.phase_ns + (int64_t)m.want.delay_ns + GRACE_NS);
	status = measure_all(&m, &result, err);
	packet_close(&m.from);
	packet_close(&m.to);
	packet_close(&m.bare_from);
	packet_close(&m.bare_to);
	if (status == 0)
		*ret = result;
	return status;
}
