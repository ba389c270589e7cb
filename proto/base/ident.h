#pragma once
/* Names, uuids, MACs and addresses: everything that identifies something across the project. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"

#define VN_NAME_MAX 63			/* characters of a name */
#define VN_UUID_TEXT 37			/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" and its NUL */
#define VN_MAC_TEXT 18			/* "02:00:00:00:00:00" and its NUL */
#define VN_CIDR_TEXT (INET6_ADDRSTRLEN + 4)

struct vn_mac {
	uint8_t byte[6];
};

/* An interface address with its prefix length. */
struct vn_cidr {
	int family;			/* AF_INET or AF_INET6 */
	uint8_t byte[16];		/* network order; 4 or 16 used */
	uint8_t prefix;
};

/* Checks [A-Za-z0-9][A-Za-z0-9_-]{0,62}. Errors: VN_E_INVALID naming the offending character. */
int vn_name_check(const char *name, struct vn_error *err);

/* Checks an interface name inside a guest: 1 to 15 of [A-Za-z0-9_.-], not "." or "..", not "lo". */
int vn_ifname_check(const char *name, struct vn_error *err);

/* Writes a random (version 4) uuid. Aborts where the kernel has no randomness. */
void vn_uuid_new(char text[static VN_UUID_TEXT]);

bool vn_uuid_is(const char *text);

void vn_mac_print(const struct vn_mac *mac, char text[static VN_MAC_TEXT]);
/* Errors: VN_E_INVALID malformed, group bit set, or all zero. */
int vn_mac_parse(const char *text, struct vn_mac *ret, struct vn_error *err);

/*
 * Reads "10.1.0.1/24" or "fd01::2/64". Errors: VN_E_INVALID malformed, without a prefix, or an
 * address that no interface can have (network or broadcast address, multicast, loopback,
 * unspecified).
 */
int vn_cidr_parse(const char *text, struct vn_cidr *ret, struct vn_error *err);
void vn_cidr_print(const struct vn_cidr *cidr, char text[static VN_CIDR_TEXT]);
/* The address without the prefix. */
void vn_cidr_print_address(const struct vn_cidr *cidr, char text[static INET6_ADDRSTRLEN]);
/* Whether the networks of a and b share an address. False across families. */
bool vn_cidr_overlap(const struct vn_cidr *a, const struct vn_cidr *b);
bool vn_cidr_same_address(const struct vn_cidr *a, const struct vn_cidr *b);
