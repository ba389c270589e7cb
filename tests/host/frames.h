#pragma once
/*
 * Frames as a guest with root could make them, and who sees them: packet sockets in the namespaces of a
 * case. Nothing here goes through the sender's own network stack.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/ident.h"

#define FRAME_SIZE 256

struct frame {
	const char *what;		/* what a person reads; part of the frame's end */
	uint8_t byte[FRAME_SIZE];
	size_t length;
};

/* A packet socket for every protocol on a device; netns: path of a namespace, NULL = the test's own. */
int frames_open(const char *netns, const char *device);
/*
 * Sends each frame, then one named "marker", and reads at `to` until the marker has come: what came
 * before it, in the bits of the answer, are the frames seen.
 */
uint64_t frames_seen(int from, int to, const struct frame *frames, size_t count,
		     const struct frame *marker);

/* Each begins a frame anew. type: of Ethernet. */
void frame_begin(struct frame *frame, const char *what, const struct vn_mac *to,
		 const struct vn_mac *from, uint16_t type);
void frame_put(struct frame *frame, const void *data, size_t size);
void frame_put16(struct frame *frame, uint16_t value);
/* 802.1Q and its like: before the type. */
void frame_tag(struct frame *frame, uint16_t protocol, uint16_t id);
void frame_arp(struct frame *frame, int operation, const struct vn_mac *mac, const struct vn_cidr *from,
	       const struct vn_cidr *about);
void frame_ip4(struct frame *frame, const struct vn_cidr *from, const struct vn_cidr *to, int protocol,
	       size_t payload);
/* next: of the first header behind the fixed one. */
void frame_ip6(struct frame *frame, const struct vn_cidr *from, const struct vn_cidr *to, int next,
	       size_t payload);
void frame_udp(struct frame *frame, uint16_t from, uint16_t to);
/* A neighbour or router message about an address; about: NULL leaves it out. */
void frame_icmp6(struct frame *frame, int type, const struct vn_cidr *about);
