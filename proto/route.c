/* The table of a route, and networks as text. */
#include "proto/route.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

#define AT(member) .offset = offsetof(struct doc_route, member)

static const char *
split(const char *text, char address[static 64])
{
	size_t length = strcspn(text, "/");

	snprintf(address, 64, "%.*s", (int)length, text);
	return text[length] ? text + length + 1 : NULL;
}

/* "default" leaves family 0. Unlike vn_cidr_parse it takes networks, also the whole address space. */
static int
read_network(const char *text, struct vn_cidr *ret, struct vn_error *err)
{
	char address[64], *end = NULL;
	const char *prefix = split(text, address);
	long bits = prefix ? strtol(prefix, &end, 10) : -1;

	*ret = (struct vn_cidr){ 0 };
	if (strcmp(text, "default") == 0)
		return 0;
	ret->family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (!prefix || end == prefix || *end || bits < 0 ||
	    bits > (ret->family == AF_INET ? 32 : 128) ||
	    inet_pton(ret->family, address, ret->byte) != 1)
		return vn_fail(err, VN_E_INVALID, "expected a network such as \"10.2.0.0/16\", or "
			       "\"default\", got \"%.80s\"", text);
	ret->prefix = (uint8_t)bits;
	return 0;
}

static int
check_network(const char *text, struct vn_error *err)
{
	struct vn_cidr ignored;

	return read_network(text, &ignored, err);
}

static const struct form form_network = { "network", NULL, check_network };

const struct field doc_route_fields[] = {
	{ "to", "a network with prefix length, or \"default\"", FIELD_STRING, FIELD_REQUIRED, AT(to),
	  .form = &form_network },
	{ "via", "the next hop: an address that one of its interfaces reaches", FIELD_STRING,
	  FIELD_REQUIRED, AT(via), .form = &form_address },
	{ "metric", "the lowest is used", FIELD_INT, 0, AT(metric), 1, UINT32_MAX },
	{ 0 }
};

/* Whether bits behind the prefix are set; if so they are cleared. */
static bool
clear_host(struct vn_cidr *network)
{
	bool had = false;

	for (int bit = network->prefix; bit < (network->family == AF_INET ? 32 : 128); bit++) {
		uint8_t mask = (uint8_t)(0x80 >> (bit & 7));

		had |= network->byte[bit >> 3] & mask;
		network->byte[bit >> 3] &= (uint8_t)~mask;
	}
	return had;
}

int
doc_route_read(const struct doc_route *route, struct vn_cidr *ret_to, struct vn_cidr *ret_via,
	       struct vn_error *err)
{
	char text[VN_CIDR_TEXT];

	*ret_via = (struct vn_cidr){ .family = strchr(route->via, ':') ? AF_INET6 : AF_INET };
	ret_via->prefix = ret_via->family == AF_INET ? 32 : 128;
	if (read_network(route->to, ret_to, err) < 0 ||
	    inet_pton(ret_via->family, route->via, ret_via->byte) != 1)
		return -1;		/* the form has told already */
	if (!ret_to->family)
		ret_to->family = ret_via->family;
	if (ret_to->family != ret_via->family)
		return vn_fail_at(err, "/via", VN_E_INVALID, "an IPv%d network needs an IPv%d next hop",
				  ret_to->family == AF_INET ? 4 : 6, ret_to->family == AF_INET ? 4 : 6);
	if (!clear_host(ret_to))
		return 0;
	vn_cidr_print(ret_to, text);
	return vn_fail_at(err, "/to", VN_E_INVALID, "\"%s\" has bits of a host: the network is %s",
			  route->to, text);
}
