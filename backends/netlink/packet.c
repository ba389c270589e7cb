/*
 * A packet socket that is bound to all protocols sits before the device's ingress filters, which one bound to
 * our EtherType alone would not; a filter program keeps the guest's own traffic away from us. The kernel
 * stamps each frame as it arrives, so it does not matter how late we look.
 */
#include "backends/netlink/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backends/netlink/namespace.h"

#define ETHERTYPE 0x88b5		/* IEEE 802, for experiments on a local network */
#define BUFFER_BYTES (16 << 20)
#define SEEN_BYTES 64			/* of each frame, no more is looked at */

struct frame {				/* all numbers in network order but the time, which stays on this host */
	struct ethhdr ethernet;
	uint32_t run, phase, number, size;
	int64_t sent_ns;
	uint32_t check;
} __attribute__((packed));

_Static_assert(sizeof(struct frame) <= PACKET_LEAST, "the smallest frame holds it all");

int64_t
packet_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* FNV-1a: a frame whose bits were flipped on the way must not be believed. */
static uint32_t
check_of(const struct frame *frame)
{
	const unsigned char *bytes = (const unsigned char *)&frame->run;
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < offsetof(struct frame, check) - offsetof(struct frame, run); i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Only frames of our type and of this run. */
static int
attach_filter(int fd, uint32_t run, struct vn_error *err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct frame, ethernet.h_proto)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct frame, run)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, run, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SEEN_BYTES),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return vn_fail_errno(err, errno, "filter a packet socket");
	return 0;
}

static int
set_options(int fd, struct vn_error *err)
{
	int on = 1, size = BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0)
		return vn_fail_errno(err, errno, "set up a packet socket");
	/* Best effort: what does not fit is counted. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return 0;
}

static int
look_at_device(struct packet_port *port, struct vn_error *err)
{
	struct ifreq request = { .ifr_ifindex = port->index };

	if (ioctl(port->fd, SIOCGIFNAME, &request) < 0)
		return vn_fail(err, VN_E_STATE, "the interface is gone");
	if (ioctl(port->fd, SIOCGIFFLAGS, &request) < 0)
		return vn_fail_errno(err, errno, "look at '%s'", request.ifr_name);
	if (!(request.ifr_flags & IFF_UP))
		return vn_fail(err, VN_E_STATE, "the interface '%s' is down inside the vnode",
			       request.ifr_name);
	if (ioctl(port->fd, SIOCGIFMTU, &request) < 0)
		return vn_fail_errno(err, errno, "read the MTU of '%s'", request.ifr_name);
	port->mtu = (unsigned)request.ifr_mtu;
	if (ioctl(port->fd, SIOCGIFHWADDR, &request) < 0)
		return vn_fail_errno(err, errno, "read the address of '%s'", request.ifr_name);
	memcpy(port->mac.byte, request.ifr_hwaddr.sa_data, sizeof(port->mac.byte));
	return 0;
}

static int
bind_to(struct packet_port *port, struct vn_error *err)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = port->index };

	if (bind(port->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return vn_fail_errno(err, errno, "bind a packet socket");
	return 0;
}

int
packet_open(struct packet_port *port, int netns, int home, int index, uint32_t run, struct vn_error *err)
{
	*port = (struct packet_port){ .fd = -1, .index = index, .run = run };
	if (netns_enter(netns, err) < 0)
		return -1;
	port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->fd < 0)
		vn_fail_errno(err, errno, "open a packet socket");
	netns_leave(home);
	if (port->fd >= 0 && look_at_device(port, err) == 0 && attach_filter(port->fd, run, err) == 0 &&
	    set_options(port->fd, err) == 0 && bind_to(port, err) == 0)
		return 0;
	packet_close(port);
	return -1;
}

void
packet_close(struct packet_port *port)
{
	if (port->fd >= 0)
		close(port->fd);
	port->fd = -1;
}

/* ---- sending and receiving ------------------------------------------------------------------- */

/* The queue is full: that is no failure of a sender that offers too much on purpose. */
static bool
is_full(int sys)
{
	return sys == EAGAIN || sys == ENOBUFS || sys == EINTR;
}

static int
fail_io(struct vn_error *err, int sys, const char *what)
{
	if (sys == ENETDOWN || sys == ENXIO || sys == ENODEV)
		return vn_fail(err, VN_E_STATE, "an interface went down while it was measured");
	return vn_fail_errno(err, sys, "%s frames", what);
}

int
packet_send(const struct packet_port *port, const struct vn_mac *to, const struct packet_plan *plan,
	    struct vn_error *err)
{
	static const unsigned char padding[PACKET_MOST];
	struct mmsghdr messages[PACKET_BATCH] = { 0 };
	struct frame frames[PACKET_BATCH];
	struct iovec parts[PACKET_BATCH][2];
	int64_t now = packet_now();
	int sent;

	for (unsigned i = 0; i < plan->count; i++) {
		struct frame *frame = &frames[i];

		*frame = (struct frame){ .ethernet.h_proto = htons(ETHERTYPE), .run = htonl(port->run),
			.phase = htonl(plan->phase), .number = htonl(plan->first + i),
			.size = htonl(plan->size), .sent_ns = now };
		memcpy(frame->ethernet.h_dest, to->byte, ETH_ALEN);
		memcpy(frame->ethernet.h_source, port->mac.byte, ETH_ALEN);
		frame->check = htonl(check_of(frame));
		parts[i][0] = (struct iovec){ frame, sizeof(*frame) };
		parts[i][1] = (struct iovec){ (void *)(uintptr_t)padding, plan->size - sizeof(*frame) };
		messages[i].msg_hdr.msg_iov = parts[i];
		messages[i].msg_hdr.msg_iovlen = 2;
	}
	sent = sendmmsg(port->fd, messages, plan->count, 0);
	if (sent < 0 && is_full(errno))
		return 0;
	return sent < 0 ? fail_io(err, errno, "send") : sent;
}

static int64_t
stamp_of(struct msghdr *header)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
		struct timespec stamp;

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&stamp, CMSG_DATA(part), sizeof(stamp));
		return stamp.tv_sec * INT64_C(1000000000) + stamp.tv_nsec;
	}
	return packet_now();
}

static bool
take(const struct frame *frame, size_t size, struct msghdr *header, struct packet_arrival *ret)
{
	if (size < sizeof(*frame) || ntohl(frame->check) != check_of(frame))
		return false;
	*ret = (struct packet_arrival){ .phase = ntohl(frame->phase), .number = ntohl(frame->number),
					.size = ntohl(frame->size), .sent_ns = frame->sent_ns,
					.arrived_ns = stamp_of(header) };
	return true;
}

int
packet_receive(const struct packet_port *port, struct packet_arrival *arrivals, struct vn_error *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct timespec))];
		struct cmsghdr align;
	} stamps[PACKET_BATCH];
	struct mmsghdr messages[PACKET_BATCH] = { 0 };
	char frames[PACKET_BATCH][SEEN_BYTES];
	struct iovec parts[PACKET_BATCH];
	int got, count = 0;

	for (unsigned i = 0; i < PACKET_BATCH; i++) {
		parts[i] = (struct iovec){ frames[i], SEEN_BYTES };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1,
			.msg_control = stamps[i].bytes, .msg_controllen = sizeof(stamps[i].bytes) };
	}
	got = recvmmsg(port->fd, messages, PACKET_BATCH, MSG_DONTWAIT, NULL);
	if (got < 0)
		return is_full(errno) ? 0 : fail_io(err, errno, "receive");
	for (int i = 0; i < got; i++) {
		struct frame frame;

		memcpy(&frame, frames[i], sizeof(frame));
		count += take(&frame, messages[i].msg_len, &messages[i].msg_hdr, &arrivals[count]);
	}
	return count;
}

unsigned
packet_overruns(const struct packet_port *port)
{
	struct tpacket_stats stats = { 0 };
	socklen_t size = sizeof(stats);

	getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
	return stats.tp_drops;
}
