/*
 * Asking for a qdisc or device without parameters tells the two apart that matter: an unknown kind
 * fails with ENOENT or EOPNOTSUPP, a known one with anything else. Asking also loads the module
 * where there is one, as the real use would. The answers are kept: a kernel does not change.
 */
#include "backends/netlink/probe.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/fabric.h"
#include "backends/netlink/namespace.h"
#include "backends/nft/nat.h"

static const struct {
	const char *kind;
	int type;			/* RTM_NEWQDISC or RTM_NEWLINK */
	const char *module, *use;
} features[] = {
	{ "netem",  RTM_NEWQDISC, "sch_netem", "delay, loss and other impairments of links" },
	{ "htb",    RTM_NEWQDISC, "sch_htb",   "the rate of links" },
	{ "tbf",    RTM_NEWQDISC, "sch_tbf",   "the rate of simple links" },
	{ "ifb",    RTM_NEWLINK,  "ifb",       "shapes from a LAN to its members" },
	{ "gre",    RTM_NEWLINK,  "ip_gre",    "GRE tunnels between hosts" },
	{ "gretap", RTM_NEWLINK,  "ip_gre",    "Ethernet-over-GRE tunnels between hosts" },
	{ "vxlan",  RTM_NEWLINK,  "vxlan",     "VXLAN tunnels between hosts" },
	{ "vlan",   RTM_NEWLINK,  "8021q",     "VLANs of physical ports" },
};

static void
append_feature(struct batch *batch, const char *kind, int type)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct tcmsg qdisc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = 1, .tcm_parent = TC_H_ROOT };
	struct nl_msg *message;
	struct link_kind nest;

	if (type == RTM_NEWQDISC) {
		message = batch_add(batch, type, NLM_F_CREATE | NLM_F_REPLACE, &qdisc,
				    sizeof(qdisc), "try %s", kind);
		attr_put_text(message, TCA_KIND, kind);
		return;
	}
	message = batch_add(batch, type, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link), "try %s",
			    kind);
	link_kind_begin(message, kind, &nest);
	link_kind_end(message, &nest);
}

static void
add_sentence(char ***list, size_t *count, char *sentence)
{
	*list = vn_realloc_array(*list, *count + 2, sizeof(**list));
	(*list)[(*count)++] = sentence;
	(*list)[*count] = NULL;
}

static int
scratch_socket(struct fabric *fabric, struct nl_sock **ret, struct vn_error *err)
{
	int result;

	if (unshare(CLONE_NEWNET) < 0)
		return vn_fail_errno(err, errno, "make a network namespace");
	result = socket_open(ret, err);
	netns_leave(fabric->home);
	return result;
}

static int
try_features(struct fabric *fabric, struct vn_error *err)
{
	struct vn_error refusal = { 0 };
	struct nl_sock *sock = NULL;
	auto_batch batch = { 0 };
	size_t count = 0;

	if (scratch_socket(fabric, &sock, err) < 0)
		return -1;
	for (size_t i = 0; i < VN_COUNT(features); i++)
		append_feature(&batch, features[i].kind, features[i].type);
	batch_send(sock, &batch, NULL, NULL, &refusal);		/* refusals are what we look for */
	nl_socket_free(sock);
	fabric->lacking = vn_alloc_array(1, sizeof(*fabric->lacking));
	for (size_t i = 0; i < VN_COUNT(features); i++)
		if (batch.items[i].sys == ENOENT || batch.items[i].sys == EOPNOTSUPP)
			add_sentence(&fabric->lacking, &count,
				     vn_format("this kernel has no %s, which %s need: install a "
					       "kernel with the module %s (Debian: "
					       "linux-image-amd64) or run 'modprobe %s'",
					       features[i].kind, features[i].use,
					       features[i].module, features[i].module));
	return 0;
}

int
probe_missing(struct net *net, char ***ret, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	char **list = vn_alloc_array(1, sizeof(*list));
	size_t count = 0;
	int result;

	pthread_mutex_lock(&fabric->probe_lock);
	result = fabric->lacking ? 0 : try_features(fabric, err);
	for (char **at = fabric->lacking; result == 0 && *at; at++)
		add_sentence(&list, &count, vn_strdup(*at));
	pthread_mutex_unlock(&fabric->probe_lock);
	if (result == 0)
		result = nat_blockers(fabric->nat, &list, &count, err);
	if (result < 0) {
		backend_free_strings(list);
		return -1;
	}
	*ret = list;
	return 0;
}
