#pragma once
/* Frames sent at a pace and taken where they arrive, several streams side by side. Thread: a worker. */

#include <stddef.h>

#include "backends/netlink/packet.h"

struct stream {
	/* set by the caller */
	const struct packet_port *from, *to;
	uint32_t phase;			/* unique in a run */
	unsigned size, count;		/* bytes of a frame; frames at most */
	int64_t interval_ns;		/* between frames; 0: as fast as they go */
	int64_t lead_ns;		/* begins with what so much time would have sent, at once */
	int64_t begin_ns, end_ns;	/* of sending, from the start on; end 0: when all are sent */
	int64_t quiet_ns;		/* so long nothing has to arrive for the end */
	bool singly;			/* a late frame is not made up for by two at once */
	bool may_repeat;		/* frames may arrive twice */
	void (*on_arrival)(void *arg, const struct packet_arrival *arrival);
	void *arg;

	/* results */
	unsigned sent;			/* that left; numbers count from 0 */
	unsigned arrived;		/* duplicates included */
	unsigned overrun;		/* arrived, too, but the buffer was full */
	int64_t sent_ns;		/* when the last left, from the start on */

	/* its own */
	int64_t next_ns, last_ns;
	bool is_sent;
};

/* Asked between any two sleeps whether to go on: false ends with VN_E_CANCELLED. */
typedef bool stream_watch_fn(void *arg);

int streams_run(struct stream *streams, size_t count, stream_watch_fn *watch, void *arg,
		struct vn_error *err);
