#pragma once
/*
 * The surroundings in which the net contract is tried: a network and a mount namespace per case, two
 * vnodes with two ports each, and the whole state of it all as text. Shared by check_net*.c.
 */

#include <check.h>
#include <stdint.h>
#include <string.h>

#include "backends/backend.h"

#define INSTANCE "11111111-2222-4333-8444-555555555555"
#define OTHER    "aaaaaaaa-2222-4333-8444-555555555555"
#define UPLINK   "vnc11111111"
#define BASE     "/media/vnoded-net"

#define check_ok(call)                                                                             \
	do {                                                                                       \
		struct vn_error err = { 0 };                                                       \
		if ((call) < 0)                                                                    \
			ck_abort_msg("%s: %s", #call, err.text);                                   \
	} while (0)

#define check_fails(call, want, words)                                                             \
	do {                                                                                       \
		struct vn_error err = { 0 };                                                       \
		ck_assert_msg((call) < 0, "%s succeeded", #call);                                  \
		ck_assert_msg(err.code == (want), "%s: %s", vn_code_word(err.code), err.text);     \
		ck_assert_msg(strstr(err.text, words) != NULL, "no '%s' in: %s", words, err.text); \
	} while (0)

#define FABRIC "nsenter --net=" BASE "/run/netns/fabric "
#define INSIDE "nsenter --net=" BASE "/run/netns/vnoded-%d "

extern struct backend_env env;
extern struct net *net;
extern const struct lan_spec lan1;

void set_up(void);
void tear_down(void);

/* Runs a shell command; its output goes to text when that is not NULL. Returns the exit status. */
int shell_into(char *text, size_t size, const char *command);
int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Host, fabric, the first vnode, mounts and files as text; to be freed. */
char *dump(void);
/* A dump (consumed) without the numbers and addresses that the kernel chooses; to be freed. */
char *blur(char *text);
/* Fails the case, showing the difference, unless both are the same. */
void check_same(const char *a, const char *b);

struct vn_cidr cidr(const char *text);

struct node {
	struct ns_ref ns;
	char netns[128], userns[128], uuid[VN_UUID_TEXT];
	struct vn_cidr control[2], lan[2];
	struct port_spec ports[2];
};

extern struct node one, two;

/* Fills in a vnode: eth0 on the control network, eth1 on LAN 1. */
void describe(struct node *node, int vmid);
/* Its namespaces and ports, made or mended. */
void bring_up(struct node *node, int vmid);
/* Host, LAN 1 and the vnodes 1 and 2. */
void bring_up_two(void);
int ping(int from, const char *to);
/* Both vnodes reach each other and the gateway, with both families. */
void check_pings(void);

/* Cases of one file: CK_RUN_CASE runs one by name. */
struct net_case {
	const char *name;
	const TTest **test;
	int times;
};
extern const struct net_case net_cases[], nat_cases[], many_cases[], probe_cases[], guard_cases[],
			     verify_cases[], route_cases[], address_cases[], way_cases[];
