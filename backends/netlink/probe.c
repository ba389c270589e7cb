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
#include "backends/netlink/tunnel.h"
#include "backends/nft/nat.h"

static const struct {
	const char *kind;
	int type;			/* RTM_NEWQDISC, RTM_NEWLINK or RTM_NEWACTION */
	const char *module, *use;
} features[] = {
	{ "netem",  RTM_NEWQDISC, "sch_netem", "delay, loss and other impairments of links" },
	{ "tbf",    RTM_NEWQDISC, "sch_tbf",   "the rate of links" },
	{ "ingress", RTM_NEWQDISC, "sch_ingress", "shapes from a vnode to its LAN" },
	{ "ifb",    RTM_NEWLINK,  "ifb",       "shapes from a vnode to its LAN" },
	{ "gre",    RTM_NEWLINK,  "ip_gre",    "GRE tunnels between hosts" },
	{ "gretap", RTM_NEWLINK,  "ip_gre",    "Ethernet-over-GRE tunnels between hosts" },
	{ "ip6gre", RTM_NEWLINK,  "ip6_gre",   "GRE tunnels between hosts over IPv6" },
	{ "ip6gretap", RTM_NEWLINK, "ip6_gre", "Ethernet-over-GRE tunnels between hosts over IPv6" },
	{ "push_eth", RTM_NEWACTION, "act_vlan", "plain GRE tunnels between hosts" },
	{ "vxlan",  RTM_NEWLINK,  "vxlan",     "VXLAN tunnels between hosts" },
	{ "vlan",   RTM_NEWLINK,  "8021q",     "VLANs of physical ports" },
	{ "macvlan", RTM_NEWLINK, "macvlan",   "physical ports lent as a whole" },
};

static void
append_feature(struct batch *batch, const char *kind, int type)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct tcmsg qdisc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = 1, .tcm_parent =
			       strcmp(kind, "ingress") == 0 ? TC_H_INGRESS : TC_H_ROOT };
	struct nl_msg *message;
	struct link_kind nest;

	if (type == RTM_NEWACTION) {
		plain_try(batch);
		return;
	}
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

static char *
sentence(size_t i)
{
	return vn_format("this kernel has no %s, which %s need: install a kernel with the module %s "
			 "(Debian: linux-image-amd64) or run 'modprobe %s'", features[i].kind,
			 features[i].use, features[i].module, features[i].module);
}

int
probe_check(struct fabric *fabric, const char *kind, const char *path, struct vn_error *err)
{
	vn_autofree char *text = NULL;

	for (size_t i = 0; i < VN_COUNT(features); i++)
		if (strcmp(features[i].kind, kind) == 0 && atomic_load(&fabric->lacks) & 1u << i) {
			text = sentence(i);
			return vn_fail_at(err, path, VN_E_UNSUPPORTED, "%s", text);
		}
	return 0;
}

int
probe_shape_check(struct net *net, const struct shape *shape, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	const char *impairment = shape->delay_ns ? "/delay" : shape->jitter_ns ? "/jitter"
		: shape->loss > 0 ? "/loss" : shape->duplicate > 0 ? "/duplicate"
		: shape->corrupt > 0 ? "/corrupt" : shape->reorder > 0 ? "/reorder" : NULL;

	if (impairment && (probe_check(fabric, "netem", impairment, err) < 0 ||
			   probe_check(fabric, "tbf", impairment, err) < 0))
		return -1;
	return shape->rate_bps ? probe_check(fabric, "tbf", "/rate", err) : 0;
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

/* An action is tried with all its parameters: an old module refuses those it does not know. */
static bool
is_lacking(int type, int sys)
{
	return type == RTM_NEWACTION ? sys != 0 : sys == ENOENT || sys == EOPNOTSUPP;
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
		if (is_lacking(features[i].type, batch.items[i].sys)) {
			add_sentence(&fabric->lacking, &count, sentence(i));
			atomic_fetch_or(&fabric->lacks, 1u << i);
		}
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
