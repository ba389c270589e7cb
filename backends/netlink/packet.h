#pragma once
/*
 * Frames of our own, past all that a guest may have set up: sent around its queueing disciplines and taken
 * before its filters, with or without addresses. Thread: the worker that opened the port.
 */

#include <stdbool.h>
#include <stdint.h>

#include "backends/netlink/link.h"
#include "proto/base/error.h"

#define PACKET_LEAST 60			/* bytes of the smallest frame, without its checksum */
#define PACKET_MOST  9216		/* and of the largest */

/* One interface, and the frames of one measurement on it. */
struct packet_port {
	int fd;				/* -1: not open */
	int index;
	unsigned mtu;
	struct vn_mac mac;
	uint32_t run;			/* which measurement: frames of others are not seen */
};

/* A frame that arrived; its content is whole. */
struct packet_arrival {
	uint32_t phase;			/* of the measurement */
	uint32_t number;		/* counted by the sender */
	uint32_t size;			/* bytes, with the Ethernet header */
	int64_t sent_ns, arrived_ns;	/* on the clock of the machine */
};

/* Opens a port on the device with this index in the namespace. VN_E_STATE: there is none, or it is down. */
int packet_open(struct packet_port *port, int netns, int home, int index, uint32_t run, struct vn_error *err);
void packet_close(struct packet_port *port);

struct packet_plan {
	uint32_t phase, first;		/* number of the first frame */
	unsigned count, size;		/* at most PACKET_BATCH frames */
};
#define PACKET_BATCH 64

/*
 * Sends frames without waiting; each carries the time right before the call. Returns how many left (fewer
 * when the queue is full), -1 and err: VN_E_STATE the device went away or down.
 */
int packet_send(const struct packet_port *port, const struct vn_mac *to, const struct packet_plan *plan,
		struct vn_error *err);
/* Takes what has arrived, at most PACKET_BATCH frames, without waiting. Returns the count, or -1 and err. */
int packet_receive(const struct packet_port *port, struct packet_arrival *arrivals, struct vn_error *err);
/* Frames that found the buffer full, since the last call. */
unsigned packet_overruns(const struct packet_port *port);
/* The clock of the stamps, in ns. */
int64_t packet_now(void);
