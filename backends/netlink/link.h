#pragma once
/* Network devices as the kernel shows them, and the messages that make and change them. */

#include <stdbool.h>
#include <stdint.h>

#include "backends/netlink/socket.h"
#include "proto/base/ident.h"

struct bridge_settings {		/* all 0 for what is no bridge */
	uint32_t stp, ageing;		/* ageing in the kernel's ticks of a hundredth of a second */
	uint16_t groups;		/* link-local ones that pass */
	bool snooping, vlans;
};

struct link {
	int index;			/* 0: no such device */
	int peer;			/* IFLA_LINK: the other end of a veth */
	bool abroad;			/* that end is in another namespace */
	int master;			/* bridge it belongs to; 0 = none */
	unsigned flags, mtu, group;
	char name[16], kind[16];
	char alias[96];			/* longer ones are cut; ours are shorter */
	struct vn_mac mac;
	struct bridge_settings bridge;
};

/* Looks `count` devices up by name in one exchange; absent ones get index 0. */
int links_get(struct nl_sock *sock, const char (*names)[16], size_t count, struct link *links,
	      struct vn_error *err);
/* All devices of the namespace, or those of one bridge (its index); *ret to be freed. */
int links_read(struct nl_sock *sock, struct link **ret, size_t *ret_count, struct vn_error *err);
int links_read_of(struct nl_sock *sock, int bridge, struct link **ret, size_t *ret_count,
		  struct vn_error *err);
/* Reads one answer; false: it shows no device. */
bool link_parse(struct nlmsghdr *row, struct link *ret);

/* Asks to create a device of `kind`; close the nest of its data with link_kind_end(). */
struct link_kind {
	struct nlattr *info, *data;
};
void link_kind_begin(struct nl_msg *message, const char *kind, struct link_kind *nest);
void link_kind_end(struct nl_msg *message, struct link_kind *nest);

/* Appends RTM_NEWLINK for the device `index`; up: -1 leave, 0 down, 1 up. */
struct nl_msg *link_change(struct batch *batch, int index, int up, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
