/*
 * Each tunnel has one of three forms. A *way* is a device of the kernel that speaks Ethernet and is a
 * port of the bridge itself. *Plain* GRE has none to offer: a veth stands between (plain.c). An *own*
 * one leads to an address of this host: a veth to the other LAN, named after what both tunnels have in
 * common, so that each LAN finds its end without knowing the other; whoever comes first makes both, and
 * the other end waits, tagged as the instance's.
 */
#include "backends/netlink/tunnel.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backends/digest.h"
#include "backends/netlink/host.h"

#define OWN_DIGITS 12			/* of the digest in an own end's name */

void
tunnel_name(int64_t lan, unsigned index, char name[static 16])
{
	snprintf(name, 16, "t%" PRId64 "n%u", lan, index);
}

bool
tunnel_name_parse(const char *name, int64_t *ret_lan, unsigned *ret_index)
{
	char canonical[16];

	if (sscanf(name, "t%" SCNd64 "n%u", ret_lan, ret_index) != 2)
		return false;
	tunnel_name(*ret_lan, *ret_index, canonical);
	return strcmp(name, canonical) == 0;
}

bool
plain_name_parse(const char *name, int64_t *ret_lan, unsigned *ret_index)
{
	char as_port[16];

	if (*name != 'w' && *name != 'g')
		return false;
	snprintf(as_port, sizeof(as_port), "t%s", name + 1);
	return tunnel_name_parse(as_port, ret_lan, ret_index);
}

void
tunnel_ifb_name(const char *port, char name[static 16])
{
	snprintf(name, 16, "i%.14s", port);
}

bool
tunnel_ifb_name_is(const char *name)
{
	unsigned index;
	int64_t lan;

	return *name == 'i' && (tunnel_name_parse(name + 1, &lan, &index) || tunnel_name_is_own(name + 1));
}

bool
tunnel_name_is_own(const char *name)
{
	return (*name == 'x' || *name == 'y') && strlen(name) == 1 + OWN_DIGITS &&
	       strspn(name + 1, "0123456789abcdef") == OWN_DIGITS;
}

/* Both ends' digest is of the same text; the lower address is that of end x. */
static void
name_own_ends(const struct tunnel_spec *spec, struct tunnel_form *form)
{
	size_t size = spec->remote.family == AF_INET6 ? 16 : 4;
	bool is_lower = memcmp(spec->local.byte, spec->remote.byte, size) < 0;
	const struct vn_cidr *low = is_lower ? &spec->local : &spec->remote;
	const struct vn_cidr *high = is_lower ? &spec->remote : &spec->local;
	char text[2][INET6_ADDRSTRLEN];
	vn_autofree char *all = NULL;
	uint8_t sum[32];

	vn_cidr_print_address(low, text[0]);
	vn_cidr_print_address(high, text[1]);
	all = vn_format("%d %d %u %u %s %s", spec->kind, spec->has_key, spec->key, spec->port, text[0],
			text[1]);
	digest_bytes(all, strlen(all), sum);
	for (int i = 0; i < 2; i++)
		snprintf(form->names[i], 16, "%c%02x%02x%02x%02x%02x%02x", (i == 0) == is_lower ? 'x' : 'y',
			 sum[0], sum[1], sum[2], sum[3], sum[4], sum[5]);
}

/* No route yet is no reason not to make the tunnel: its packets find one or not. */
static bool
leads_home(const struct tunnel_spec *spec)
{
	struct vn_error ignored;
	struct host_route route;

	return spec->local.family && host_route(&spec->local, &spec->remote, &route, &ignored) == 0 &&
	       route.own;
}

static void
name_parts(const struct lan_spec *lan, const struct tunnel_spec *spec, struct tunnel_form *form)
{
	tunnel_name(lan->id, spec->index, form->names[TUNNEL_PORT]);
	if (form->kind != FORM_PLAIN)
		return;
	snprintf(form->names[TUNNEL_INNER], 16, "w%" PRId64 "n%u", lan->id, spec->index);
	snprintf(form->names[TUNNEL_GRE_DEVICE], 16, "g%" PRId64 "n%u", lan->id, spec->index);
}

void
tunnel_form_find(const struct lan_spec *lan, const struct tunnel_spec *spec, struct tunnel_form *ret)
{
	static const unsigned parts[] = { [FORM_WAY] = 1, [FORM_OWN] = 2, [FORM_PLAIN] = TUNNEL_PARTS };

	*ret = (struct tunnel_form){ .kind = leads_home(spec) ? FORM_OWN
				     : spec->kind == TUNNEL_GRE ? FORM_PLAIN : FORM_WAY };
	ret->n_parts = parts[ret->kind];
	ret->way_part = ret->kind == FORM_PLAIN ? TUNNEL_GRE_DEVICE : TUNNEL_PORT;
	if (ret->kind == FORM_OWN) {
		name_own_ends(spec, ret);
		return;
	}
	name_parts(lan, spec, ret);
	ret->way = (struct way_spec){ .name = ret->names[ret->way_part], .kind = tunnel_kind_word(spec),
				      .put = tunnel_put_data, .spec = spec,
				      .mtu = lan->mtu ? lan->mtu : 1500,
				      .flags_attr = tunnel_flags_attr(spec) };
}
