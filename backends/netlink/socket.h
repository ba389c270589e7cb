#pragma once
/*
 * Route netlink in batches: many messages with few system calls, every answer matched to its
 * message, and a failure told as a sentence with the kernel's own words (extended ACK).
 * Threads: a socket or batch belongs to one thread at a time; callers guard shared ones.
 */

#include <errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/mem.h"

struct batch_item {
	struct nl_msg *message;
	char label[96];			/* "create port 'v7e1'": what failed, for a person */
	int allowed;			/* an errno that counts as success; 0 = none */
	bool joined;			/* goes out in the same system call as the item before */
	int sys;			/* after batch_send: 0, the kernel's errno, or BATCH_UNKNOWN */
};

#define BATCH_UNKNOWN EIO		/* no answer came: it may have been carried out */

/* Zero it to begin; batch_fini() ends it. */
struct batch {
	struct batch_item *items;
	size_t n_items, room;
};

void batch_fini(struct batch *batch);
/* A local batch: auto_batch batch = { 0 }; */
#define auto_batch __attribute__((cleanup(batch_fini))) struct batch

/*
 * Appends a message that begins with `header` and returns it for nla_put; it belongs to the batch.
 * format: the label, a verb phrase that names the object.
 */
struct nl_msg *batch_add(struct batch *batch, int type, int flags, const void *header, size_t size,
			 const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Lets the last message fail with `sys`. */
void batch_allow(struct batch *batch, int sys);
/*
 * Sends the last message in one system call with the one before: a process killed between system
 * calls leaves both or neither.
 */
void batch_join(struct batch *batch);

/* An attribute that cannot be put is a message too large: a broken invariant. */
void attr_put(struct nl_msg *message, int type, const void *data, size_t size);
void attr_put_u8(struct nl_msg *message, int type, uint8_t value);
void attr_put_u16(struct nl_msg *message, int type, uint16_t value);
void attr_put_u32(struct nl_msg *message, int type, uint32_t value);
void attr_put_text(struct nl_msg *message, int type, const char *text);
struct nlattr *attr_begin(struct nl_msg *message, int type);
void attr_end(struct nl_msg *message, struct nlattr *nest);

/* Called for each answer that is no acknowledgement; `at` is the index of its message. */
typedef void reply_fn(void *arg, size_t at, struct nlmsghdr *reply);

/*
 * Opens a socket in the network namespace of the calling thread.
 *
 * Returns: 0 and *ret, to be closed with nl_socket_free(); -1 and err.
 */
int socket_open(struct nl_sock **ret, struct vn_error *err);

/*
 * Sends all messages and collects every acknowledgement. Messages after a failed one are carried
 * out all the same; err tells of the first failure, items[].sys of each.
 */
int batch_send(struct nl_sock *sock, struct batch *batch, reply_fn *on_reply, void *arg,
	       struct vn_error *err);

/*
 * Reads a table (RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE) whole; `restart` is called, if the table
 * changed while it was read, before it is read again. For the first argument of reply_fn see `arg`.
 */
int table_read(struct nl_sock *sock, int type, const void *header, size_t size, uint32_t ext_mask,
	       reply_fn *on_reply, void (*restart)(void *arg), void *arg, struct vn_error *err);

/*
 * The same with a request of the caller's, which belongs to a batch that is not sent: for tables that
 * the kernel filters by attributes.
 */
int table_ask(struct nl_sock *sock, struct nl_msg *request, reply_fn *on_reply,
	      void (*restart)(void *arg), void *arg, struct vn_error *err);

/* Raises a failure of libnl itself (`code` is one of its negative numbers). */
int vn_fail_nl(struct vn_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
