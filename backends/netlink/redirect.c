/*
 * The kernel shows a u32 filter as several rows: its hash tables, which have no selector, and then the filter.
 * What surprises: filters can only be asked for one device at a time.
 */
#include "backends/netlink/redirect.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/attr.h>
#include <string.h>

/* Whether a selector's only key masks all away. */
static bool
takes_all(struct nlattr *attr)
{
	const struct tc_u32_sel *sel = nla_data(attr);
	const struct tc_u32_key *key = (const void *)(sel + 1);

	if ((size_t)nla_len(attr) < sizeof(*sel) + sizeof(*key) || sel->nkeys != 1)
		return false;
	return key->mask == 0 && key->val == 0;
}

/* The device to which the first action redirects; 0: it does something else. */
static int
target_of(struct nlattr *actions)
{
	struct nlattr *list[3], *action[TCA_ACT_MAX + 1], *options[TCA_MIRRED_MAX + 1];
	const struct tc_mirred *mirred;

	if (!actions || nla_parse_nested(list, 2, actions, NULL) < 0 || !list[1] || list[2] ||
	    nla_parse_nested(action, TCA_ACT_MAX, list[1], NULL) < 0 || !action[TCA_ACT_KIND] ||
	    strcmp(nla_get_string(action[TCA_ACT_KIND]), "mirred") != 0 ||
	    !action[TCA_ACT_OPTIONS] ||
	    nla_parse_nested(options, TCA_MIRRED_MAX, action[TCA_ACT_OPTIONS], NULL) < 0 ||
	    !options[TCA_MIRRED_PARMS])
		return 0;
	mirred = nla_data(options[TCA_MIRRED_PARMS]);
	return mirred->eaction == TCA_EGRESS_REDIR && mirred->action == TC_ACT_STOLEN
	       ? (int)mirred->ifindex : 0;
}

static void
on_filter(void *arg, size_t at, struct nlmsghdr *row)
{
	struct redirect *redirect = arg;
	struct tcmsg *header = nlmsg_data(row);
	struct nlattr *attrs[TCA_MAX + 1], *options[TCA_U32_MAX + 1];
	bool is_u32;

	(void)at;
	if (row->nlmsg_type != RTM_NEWTFILTER ||
	    nlmsg_parse(row, sizeof(*header), attrs, TCA_MAX, NULL) < 0 || !attrs[TCA_KIND] ||
	    !attrs[TCA_OPTIONS])
		return;
	is_u32 = strcmp(nla_get_string(attrs[TCA_KIND]), "u32") == 0 &&
		 nla_parse_nested(options, TCA_U32_MAX, attrs[TCA_OPTIONS], NULL) == 0;
	if (is_u32 && !options[TCA_U32_SEL])
		return;			/* one of its tables */
	redirect->filters++;
	if (is_u32 && TC_H_MIN(header->tcm_info) == htons(ETH_P_ALL) &&
	    takes_all(options[TCA_U32_SEL]) && redirect->filters == 1)
		redirect->to = target_of(options[TCA_U32_ACT]);
}

static void
forget(void *arg)
{
	*(struct redirect *)arg = (struct redirect){ 0 };
}

int
redirect_read(struct nl_sock *sock, int index, struct redirect *ret, struct vn_error *err)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index,
				.tcm_parent = INGRESS_HANDLE };

	forget(ret);
	return table_read(sock, RTM_GETTFILTER, &header, sizeof(header), 0, on_filter, forget, ret, err);
}
