/* A frame ends in its name, so that a receiver can tell which it is whatever happened to its head. */
#include "tests/host/frames.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/mem.h"

#define PATIENCE_MS 60000		/* a net for broken code */

static unsigned round_now;

int
frames_open(const char *netns, const char *device)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = netns ? open(netns, O_RDONLY | O_CLOEXEC) : -1, fd, size = 8 << 20;
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	if (netns)
		ck_assert_int_eq(setns(there, CLONE_NEWNET), 0);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	address.sll_ifindex = (int)if_nametoindex(device);
	ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
	ck_assert_msg(address.sll_ifindex > 0, "no device '%s'", device);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	close(home);
	if (netns)
		close(there);
	return fd;
}

/* The name as it ends a frame: with the round, so that what an earlier one left is not taken for this one's. */
static size_t
print_name(const struct frame *frame, char name[static FRAME_SIZE])
{
	return (size_t)snprintf(name, FRAME_SIZE, "<%04u %s>", round_now, frame->what);
}

static bool
is_it(const struct frame *frame, const uint8_t *got, size_t length)
{
	char name[FRAME_SIZE];
	size_t size = print_name(frame, name);

	return length >= size && memcmp(got + length - size, name, size) == 0;
}

static void
send_one(int fd, const struct frame *frame)
{
	struct frame whole = *frame;
	char name[FRAME_SIZE];

	frame_put(&whole, name, print_name(frame, name));
	ck_assert_int_eq(send(fd, whole.byte, whole.length, 0), (ssize_t)whole.length);
}

uint64_t
frames_seen(int from, int to, const struct frame *frames, size_t count, const struct frame *marker)
{
	uint8_t got[2048];
	uint64_t seen = 0;

	round_now++;
	for (size_t i = 0; i < count; i++)
		send_one(from, &frames[i]);
	send_one(from, marker);
	for (;;) {
		struct pollfd ready = { .fd = to, .events = POLLIN };
		ssize_t length;

		ck_assert_msg(poll(&ready, 1, PATIENCE_MS) == 1, "the marker of round %u never came", round_now);
		length = recv(to, got, sizeof(got), 0);
		if (length <= 0)
			continue;
		if (is_it(marker, got, (size_t)length))
			return seen;
		for (size_t i = 0; i < count; i++)
			if (is_it(&frames[i], got, (size_t)length))
				seen |= (uint64_t)1 << i;
	}
}

/* ---- making them ----------------------------------------------------------------------------- */

/* Headers count the name as payload; its length does not depend on the round. */
static size_t
frame_name_size(const struct frame *frame)
{
	return strlen(frame->what) + sizeof("<0001 >") - 1;
}

void
frame_put(struct frame *frame, const void *data, size_t size)
{
	ck_assert_uint_lt(frame->length + size, FRAME_SIZE);
	memcpy(frame->byte + frame->length, data, size);
	frame->length += size;
}

void
frame_put16(struct frame *frame, uint16_t value)
{
	value = htons(value);
	frame_put(frame, &value, sizeof(value));
}

void
frame_begin(struct frame *frame, const char *what, const struct vn_mac *to, const struct vn_mac *from,
	    uint16_t type)
{
	*frame = (struct frame){ .what = what };
	frame_put(frame, to->byte, 6);
	frame_put(frame, from->byte, 6);
	frame_put16(frame, type);
}

void
frame_tag(struct frame *frame, uint16_t protocol, uint16_t id)
{
	uint16_t tag[2] = { htons(protocol), htons(id) };

	memmove(frame->byte + 16, frame->byte + 12, frame->length - 12);
	memcpy(frame->byte + 12, tag, sizeof(tag));
	frame->length += sizeof(tag);
}

void
frame_arp(struct frame *frame, int operation, const struct vn_mac *mac, const struct vn_cidr *from,
	  const struct vn_cidr *about)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4 }, nobody[6];

	frame_put(frame, head, sizeof(head));
	frame_put16(frame, (uint16_t)operation);
	frame_put(frame, mac->byte, 6);
	frame_put(frame, from->byte, 4);
	frame_put(frame, nobody, 6);
	frame_put(frame, about->byte, 4);
}

void
frame_ip4(struct frame *frame, const struct vn_cidr *from, const struct vn_cidr *to, int protocol,
	  size_t payload)
{
	uint8_t head[12] = { 0x45, [8] = 64, [9] = (uint8_t)protocol };
	uint16_t length = htons((uint16_t)(20 + payload + frame_name_size(frame)));
	uint32_t sum = 0;
	size_t at = frame->length;

	memcpy(head + 2, &length, sizeof(length));
	frame_put(frame, head, sizeof(head));
	frame_put(frame, from->byte, 4);
	frame_put(frame, to->byte, 4);
	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)(frame->byte[at + i] << 8 | frame->byte[at + i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	length = htons((uint16_t)~(sum + (sum >> 16)));
	memcpy(frame->byte + at + 10, &length, sizeof(length));
}

void
frame_ip6(struct frame *frame, const struct vn_cidr *from, const struct vn_cidr *to, int next,
	  size_t payload)
{
	static const uint8_t version[4] = { 0x60 };

	frame_put(frame, version, sizeof(version));
	frame_put16(frame, (uint16_t)(payload + frame_name_size(frame)));
	frame_put16(frame, (uint16_t)(next << 8 | 255));
	frame_put(frame, from->byte, 16);
	frame_put(frame, to->byte, 16);
}

void
frame_udp(struct frame *frame, uint16_t from, uint16_t to)
{
	frame_put16(frame, from);
	frame_put16(frame, to);
	frame_put16(frame, (uint16_t)(8 + frame_name_size(frame)));
	frame_put16(frame, 0);
}

void
frame_icmp6(struct frame *frame, int type, const struct vn_cidr *about)
{
	uint8_t head[8] = { (uint8_t)type };

	frame_put(frame, head, sizeof(head));
	if (about)
		frame_put(frame, about->byte, 16);
}
