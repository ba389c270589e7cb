/*
 * One thread does it all: arrivals bear the kernel's stamps, so between two frames to be sent there is time
 * enough to take what came.
 */
#include "backends/netlink/stream.h"

#include <time.h>

#include "proto/base/mem.h"

#define MS INT64_C(1000000)
#define NAP_NS (20 * MS)		/* longest sleep */
#define STEP_NS (MS / 2)		/* shortest sleep of a stream that may send several at once */
#define LAG_NS (50 * MS)		/* of sending; what was late beyond it is not made up for */

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void
sleep_until(int64_t at_ns)
{
	struct timespec at = { at_ns / INT64_C(1000000000), at_ns % INT64_C(1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* How many frames are due. */
static unsigned
due(const struct stream *stream, int64_t now)
{
	int64_t frames = PACKET_BATCH;

	if (stream->is_sent || now < stream->next_ns)
		return 0;
	if (stream->singly)
		frames = 1;
	else if (stream->interval_ns)
		frames = (now - stream->next_ns) / stream->interval_ns + 1;
	if (frames > PACKET_BATCH)
		frames = PACKET_BATCH;
	if (frames > stream->count - stream->sent)
		frames = stream->count - stream->sent;
	return (unsigned)frames;
}

/* What finds no room is not sent again: the next is due when the next is due. */
static int
send_due(struct stream *stream, int64_t now, struct vn_error *err)
{
	struct packet_plan plan = { stream->phase, stream->sent, due(stream, now), stream->size };
	int64_t lag = stream->singly ? 0 : LAG_NS > stream->lead_ns ? LAG_NS : stream->lead_ns;
	int sent;

	if (plan.count) {
		sent = packet_send(stream->from, &stream->to->mac, &plan, err);
		if (sent < 0)
			return -1;
		stream->sent += (unsigned)sent;
		stream->sent_ns = stream->last_ns = now;
		stream->next_ns += plan.count * stream->interval_ns;
		if (stream->next_ns < now - lag)
			stream->next_ns = now - lag;
	}
	stream->is_sent |= stream->sent >= stream->count || (stream->end_ns && now >= stream->end_ns);
	return 0;
}

static int
take_arrivals(struct stream *stream, int64_t now, struct vn_error *err)
{
	struct packet_arrival arrivals[PACKET_BATCH];
	int count;

	do {
		count = packet_receive(stream->to, arrivals, err);
		for (int i = 0; i < count; i++) {
			if (arrivals[i].phase != stream->phase)
				continue;	/* a late one of the phase before */
			stream->arrived++;
			stream->last_ns = now;
			stream->on_arrival(stream->arg, &arrivals[i]);
		}
	} while (count == PACKET_BATCH);
	return count < 0 ? -1 : 0;
}

static bool
is_over(const struct stream *stream, int64_t now)
{
	bool has_all = stream->arrived >= stream->sent && !stream->may_repeat;

	return stream->is_sent && (has_all || now - stream->last_ns > stream->quiet_ns);
}

/* One look at all streams. Returns whether all are over, and when to look again; -1 and err. */
static int
turn(struct stream *streams, size_t count, int64_t now, int64_t *ret_next, struct vn_error *err)
{
	bool over = true;
	int64_t next;

	*ret_next = now + NAP_NS;
	for (size_t i = 0; i < count; i++) {
		struct stream *stream = &streams[i];

		if (send_due(stream, now, err) < 0 || take_arrivals(stream, now, err) < 0)
			return -1;
		over &= is_over(stream, now);
		next = stream->is_sent ? now + MS : stream->next_ns;
		if (!stream->singly && stream->interval_ns && next < now + STEP_NS)
			next = now + STEP_NS;
		if (next < *ret_next)
			*ret_next = next;
	}
	return over;
}

int
streams_run(struct stream *streams, size_t count, stream_watch_fn *watch, void *arg, struct vn_error *err)
{
	int64_t begin = now_ns(), now, next;
	int over;

	for (size_t i = 0; i < count; i++) {
		packet_overruns(streams[i].to);
		streams[i].next_ns = streams[i].begin_ns - streams[i].lead_ns;
	}
	do {
		if (!watch(arg))
			return vn_fail(err, VN_E_CANCELLED, "cancelled");
		now = now_ns() - begin;
		over = turn(streams, count, now, &next, err);
		if (over == 0 && next > now)
			sleep_until(begin + next);
	} while (over == 0);
	for (size_t i = 0; i < count; i++)
		streams[i].overrun += packet_overruns(streams[i].to);
	return over < 0 ? -1 : 0;
}
