/*
 * Messages are sent by the hundred; the kernel carries out all messages of one system call before
 * it returns, and queues one acknowledgement each. The receive buffer is sized so that a chunk's
 * acknowledgements always fit: an overrun would lose one for ever.
 */
#include "backends/netlink/socket.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CHUNK_MESSAGES 256
#define RECEIVE_BYTES (4 << 20)
#define ANSWER_BYTES (64 << 10)		/* the kernel puts at most 32 KiB into one answer */
#define READ_TRIES 8

int
vn_fail_nl(struct vn_error *err, int code, const char *format, ...)
{
	char what[200];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	vn_fail(err, VN_E_BACKEND, "%s: %s", what, nl_geterror(code));
	err->sys = code;
	return -1;
}

int
socket_open(struct nl_sock **ret, struct vn_error *err)
{
	struct nl_sock *sock = nl_socket_alloc();
	int on = 1, size = RECEIVE_BYTES, code, fd;

	if (!sock)
		abort();
	code = nl_connect(sock, NETLINK_ROUTE);
	if (code < 0) {
		nl_socket_free(sock);
		return vn_fail_nl(err, code, "open a netlink socket");
	}
	fd = nl_socket_get_fd(sock);
	/* Best effort: without these errors are less clear, and large batches may be refused. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	*ret = sock;
	return 0;
}

/* ---- building -------------------------------------------------------------------------------- */

void
batch_fini(struct batch *batch)
{
	for (size_t i = 0; i < batch->n_items; i++)
		nlmsg_free(batch->items[i].message);
	free(batch->items);
	*batch = (struct batch){ 0 };
}

static struct nl_msg *
message_new(int type, int flags, const void *header, size_t size)
{
	struct nl_msg *message = nlmsg_alloc_size(1024);

	if (!message || !nlmsg_put(message, 0, 0, type, 0, flags | NLM_F_REQUEST) ||
	    nlmsg_append(message, (void *)(uintptr_t)header, size, NLMSG_ALIGNTO) < 0)
		abort();
	return message;
}

struct nl_msg *
batch_add(struct batch *batch, int type, int flags, const void *header, size_t size,
	  const char *format, ...)
{
	struct batch_item *item;
	va_list args;

	if (batch->n_items == batch->room) {
		batch->room = batch->room ? 2 * batch->room : 16;
		batch->items = vn_realloc_array(batch->items, batch->room, sizeof(*batch->items));
	}
	item = &batch->items[batch->n_items++];
	*item = (struct batch_item){ .message = message_new(type, flags | NLM_F_ACK, header, size) };
	va_start(args, format);
	vsnprintf(item->label, sizeof(item->label), format, args);
	va_end(args);
	return item->message;
}

void
batch_allow(struct batch *batch, int sys)
{
	batch->items[batch->n_items - 1].allowed = sys;
}

void
batch_join(struct batch *batch)
{
	batch->items[batch->n_items - 1].joined = true;
}

void
attr_put(struct nl_msg *message, int type, const void *data, size_t size)
{
	if (nla_put(message, type, (int)size, data) < 0)
		abort();
}

void
attr_put_u8(struct nl_msg *message, int type, uint8_t value)
{
	attr_put(message, type, &value, sizeof(value));
}

void
attr_put_u16(struct nl_msg *message, int type, uint16_t value)
{
	attr_put(message, type, &value, sizeof(value));
}

void
attr_put_u32(struct nl_msg *message, int type, uint32_t value)
{
	attr_put(message, type, &value, sizeof(value));
}

void
attr_put_text(struct nl_msg *message, int type, const char *text)
{
	attr_put(message, type, text, strlen(text) + 1);
}

struct nlattr *
attr_begin(struct nl_msg *message, int type)
{
	struct nlattr *nest = nla_nest_start(message, type);

	if (!nest)
		abort();
	return nest;
}

void
attr_end(struct nl_msg *message, struct nlattr *nest)
{
	nla_nest_end(message, nest);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The kernel's sentence in an error message, or NULL. */
static const char *
extack_text(struct nlmsghdr *reply)
{
	struct nlmsgerr *error = nlmsg_data(reply);
	size_t skip = sizeof(*error);
	struct nlattr *text;

	if (!(reply->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(reply->nlmsg_flags & NLM_F_CAPPED))
		skip += error->msg.nlmsg_len - sizeof(error->msg);
	text = nlmsg_find_attr(reply, (int)NLMSG_ALIGN(skip), NLMSGERR_ATTR_MSG);
	return text ? nla_get_string(text) : NULL;
}

static void
describe(const struct batch_item *item, struct nlmsghdr *reply, struct vn_error *err)
{
	const char *text = extack_text(reply);

	if (text)
		vn_fail_errno(err, item->sys, "%s (%s)", item->label, text);
	else
		vn_fail_errno(err, item->sys, "%s", item->label);
}

/* Receives one datagram; the buffer holds any answer of the kernel. */
static ssize_t
receive(struct nl_sock *sock, void *buffer, struct vn_error *err)
{
	struct iovec at = { buffer, ANSWER_BYTES };
	struct msghdr header = { .msg_iov = &at, .msg_iovlen = 1 };
	ssize_t size;

	do
		size = recvmsg(nl_socket_get_fd(sock), &header, 0);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return vn_fail_errno(err, errno, "read an answer of the kernel over netlink");
	if (header.msg_flags & MSG_TRUNC)
		return vn_fail(err, VN_E_BACKEND, "an answer of the kernel over netlink is too long");
	return size;
}

struct collect {			/* the acknowledgements of one chunk */
	struct batch *batch;
	size_t first, end, missing;
	uint32_t seq;			/* of `first` */
	reply_fn *on_reply;
	void *arg;
	int failed;			/* -1 once err is set */
};

static void
take_answer(struct collect *c, struct nlmsghdr *reply, struct vn_error *err)
{
	size_t at = c->first + (reply->nlmsg_seq - c->seq);
	struct batch_item *item;

	if (at < c->first || at >= c->end)
		return;			/* of an exchange that was given up */
	item = &c->batch->items[at];
	if (reply->nlmsg_type != NLMSG_ERROR) {
		if (c->on_reply)
			c->on_reply(c->arg, at, reply);
		return;
	}
	c->missing--;
	item->sys = -((struct nlmsgerr *)nlmsg_data(reply))->error;
	if (item->sys && item->sys != item->allowed && !c->failed) {
		describe(item, reply, err);
		c->failed = -1;
	}
}

static int
collect_answers(struct nl_sock *sock, struct collect *c, struct vn_error *err)
{
	vn_autofree char *buffer = vn_alloc(ANSWER_BYTES);
	struct vn_error broken = { 0 };

	while (c->missing > 0) {
		int left = (int)receive(sock, buffer, &broken);

		if (left < 0) {
			*err = broken;
			return -1;
		}
		for (struct nlmsghdr *reply = (struct nlmsghdr *)(void *)buffer; nlmsg_ok(reply, left);
		     reply = nlmsg_next(reply, &left))
			take_answer(c, reply, err);
	}
	return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

static int
transmit(struct nl_sock *sock, struct iovec *at, size_t count, struct vn_error *err)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct msghdr header = { .msg_name = &kernel, .msg_namelen = sizeof(kernel),
				 .msg_iov = at, .msg_iovlen = count };
	ssize_t sent;

	do
		sent = sendmsg(nl_socket_get_fd(sock), &header, 0);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return vn_fail_errno(err, errno, "send %zu messages over netlink", count);
	return 0;
}

static size_t
chunk_end(const struct batch *batch, size_t first)
{
	size_t end = first + CHUNK_MESSAGES;

	if (end >= batch->n_items)
		return batch->n_items;
	while (end > first + 1 && batch->items[end].joined)
		end--;
	return end;
}

static int
send_chunk(struct nl_sock *sock, struct collect *c, struct vn_error *err)
{
	struct iovec at[CHUNK_MESSAGES];

	for (size_t i = c->first; i < c->end; i++) {
		struct nlmsghdr *header = nlmsg_hdr(c->batch->items[i].message);

		header->nlmsg_seq = nl_socket_use_seq(sock);
		if (i == c->first)
			c->seq = header->nlmsg_seq;
		at[i - c->first] = (struct iovec){ header, NLMSG_ALIGN(header->nlmsg_len) };
	}
	if (transmit(sock, at, c->end - c->first, err) < 0)
		return -1;
	return collect_answers(sock, c, err);
}

int
batch_send(struct nl_sock *sock, struct batch *batch, reply_fn *on_reply, void *arg,
	   struct vn_error *err)
{
	struct collect c = { .batch = batch, .on_reply = on_reply, .arg = arg };

	for (size_t i = 0; i < batch->n_items; i++)
		batch->items[i].sys = BATCH_UNKNOWN;
	for (; c.first < batch->n_items; c.first = c.end) {
		c.end = chunk_end(batch, c.first);
		c.missing = c.end - c.first;
		if (send_chunk(sock, &c, err) < 0)
			return -1;
	}
	return c.failed;
}

/* ---- reading tables -------------------------------------------------------------------------- */

struct reading {
	uint32_t seq;
	reply_fn *on_reply;
	void *arg;
	bool done, torn;		/* torn: the table changed under us */
	int sys;
};

static void
take_row(struct reading *reading, struct nlmsghdr *row)
{
	if (row->nlmsg_seq != reading->seq)
		return;
	if (row->nlmsg_flags & NLM_F_DUMP_INTR)
		reading->torn = true;
	if (row->nlmsg_type == NLMSG_DONE || row->nlmsg_type == NLMSG_ERROR) {
		reading->done = true;
		if (nlmsg_datalen(row) >= (int)sizeof(int))
			reading->sys = -*(int *)nlmsg_data(row);
		return;
	}
	reading->on_reply(reading->arg, 0, row);
}

static int
read_once(struct nl_sock *sock, struct nl_msg *request, struct reading *reading,
	  struct vn_error *err)
{
	vn_autofree char *buffer = vn_alloc(ANSWER_BYTES);
	struct nlmsghdr *header = nlmsg_hdr(request);
	struct iovec at = { header, header->nlmsg_len };

	header->nlmsg_seq = reading->seq = nl_socket_use_seq(sock);
	reading->done = reading->torn = false;
	if (transmit(sock, &at, 1, err) < 0)
		return -1;
	while (!reading->done) {
		int left = (int)receive(sock, buffer, err);

		if (left < 0)
			return -1;
		for (struct nlmsghdr *row = (struct nlmsghdr *)(void *)buffer; nlmsg_ok(row, left);
		     row = nlmsg_next(row, &left))
			take_row(reading, row);
	}
	return reading->sys ? vn_fail_errno(err, reading->sys, "read a table of the kernel") : 0;
}

int
table_ask(struct nl_sock *sock, struct nl_msg *request, reply_fn *on_reply,
	  void (*restart)(void *arg), void *arg, struct vn_error *err)
{
	struct reading reading = { .on_reply = on_reply, .arg = arg };
	int result = -1;

	nlmsg_hdr(request)->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	for (int tries = 0; tries < READ_TRIES; tries++) {
		if (tries > 0)
			restart(arg);
		result = read_once(sock, request, &reading, err);
		if (result < 0 || !reading.torn)
			break;
	}
	return result;
}

int
table_read(struct nl_sock *sock, int type, const void *header, size_t size, uint32_t ext_mask,
	   reply_fn *on_reply, void (*restart)(void *arg), void *arg, struct vn_error *err)
{
	struct nl_msg *request = message_new(type, NLM_F_DUMP, header, size);
	int result;

	if (ext_mask)
		attr_put_u32(request, IFLA_EXT_MASK, ext_mask);
	result = table_ask(sock, request, on_reply, restart, arg, err);
	nlmsg_free(request);
	return result;
}
