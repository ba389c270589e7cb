/* The host's table against what it is to be, and the maps, by element, against the forwards. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/difference.h"
#include "backends/nft/forward.h"
#include "backends/nft/listing.h"
#include "proto/base/mem.h"

/* ---- the table ------------------------------------------------------------------------------- */

static int
verify_table(struct nat *nat, struct differences *ret, struct vn_error *err)
{
	vn_autofree char *command = vn_format("list table inet %s", nat->env->nft_table);
	vn_autofree char *text = NULL;

	if (!nat->expected && table_expected(nat, &nat->expected, err) < 0)
		return -1;
	if (context_list(nat, command, &text, err) < 0)
		return -1;
	listing_compare(ret, nat->expected, text);
	return 0;
}

/* ---- the maps -------------------------------------------------------------------------------- */

static int
by_key(const void *a, const void *b)
{
	const struct element *one = a, *other = b;

	return one->map != other->map ? (one->map > other->map) - (one->map < other->map)
				      : strcmp(one->key, other->key);
}

static struct element *
element_find(const struct elements *elements, const struct element *like)
{
	return elements->n_items ? bsearch(like, elements->items, elements->n_items, sizeof(*like),
					   by_key) : NULL;
}

static void
sort(struct elements *elements)
{
	if (elements->n_items)
		qsort(elements->items, elements->n_items, sizeof(*elements->items), by_key);
}

static void
add_found(struct elements *elements, int map, json_t *pair)
{
	struct element *element;

	elements->items = vn_realloc_array(elements->items, elements->n_items + 1,
					   sizeof(*elements->items));
	element = &elements->items[elements->n_items++];
	*element = (struct element){ .map = (enum table_map)map };
	concat_print(json_array_get(pair, 0), element->key, sizeof(element->key));
	concat_print(json_array_get(pair, 1), element->value, sizeof(element->value));
}

/* A map that is missing has been told with the table. */
static void
read_maps(struct nat *nat, struct elements *ret)
{
	for (int map = 0; map < MAP_COUNT; map++) {
		vn_autofree char *command = vn_format("list map inet %s %s", nat->env->nft_table,
						      table_map_names[map]);
		struct vn_error absent = { 0 };
		json_t *list, *item, *pair;
		size_t i, k;

		if (context_query(nat, command, true, &list, &absent) < 0)
			continue;
		json_array_foreach(list, i, item)
			json_array_foreach(json_object_get(json_object_get(item, "map"), "elem"), k, pair)
				add_found(ret, map, pair);
		json_decref(list);
	}
	sort(ret);
}

/* The forward whose removal takes the element away; false: none that we could have made. */
static bool
forward_of(const struct element *element, struct forward_spec *ret)
{
	char address[INET6_ADDRSTRLEN + 1] = "";
	bool any = element->map == MAP_ANY4 || element->map == MAP_ANY6;
	bool six = element->map == MAP_ANY6 || element->map == MAP_AT6;
	unsigned host = 0, guest = 0;
	struct vn_cidr to = { .family = six ? AF_INET6 : AF_INET, .prefix = six ? 128 : 32 };

	*ret = (struct forward_spec){ .address.prefix = to.prefix };
	if (any ? sscanf(element->key, "%d . %u", &ret->protocol, &host) != 2
		: sscanf(element->key, "%46s . %d . %u", address, &ret->protocol, &host) != 3)
		return false;
	if (!any && inet_pton(to.family, address, ret->address.byte) != 1)
		return false;
	ret->address.family = any ? 0 : to.family;
	ret->host = (uint16_t)host;
	if (sscanf(element->value, "%46s . %u", address, &guest) != 2 ||
	    inet_pton(to.family, address, to.byte) != 1)
		return false;
	ret->guest = (uint16_t)guest;
	*(six ? &ret->to6 : &ret->to4) = to;
	return true;
}

/* "tcp 2201", "udp 192.0.2.1 53". */
static struct difference_about
about_forward(const struct forward_spec *forward)
{
	char address[INET6_ADDRSTRLEN + 1] = "";

	if (forward->address.family) {
		vn_cidr_print_address(&forward->address, address);
		strcat(address, " ");
	}
	return difference_about("forward", forward->vmid, PORT_ANY, -1, "%s %s%u",
				forward->protocol == IPPROTO_UDP ? "udp" : "tcp", address, forward->host);
}

static bool
is_spared(const struct net_wanted *wanted, const struct forward_spec *forward)
{
	for (size_t i = 0; i < wanted->n_spared; i++)
		if ((forward->to4.family && wanted->spared[i].to4.family &&
		     vn_cidr_same_address(&forward->to4, &wanted->spared[i].to4)) ||
		    (forward->to6.family && wanted->spared[i].to6.family &&
		     vn_cidr_same_address(&forward->to6, &wanted->spared[i].to6)))
			return true;
	return false;
}

static void
tell_surplus(struct differences *ret, const struct net_wanted *wanted, const struct element *element)
{
	struct difference *difference;
	struct difference_about about;
	struct forward_spec forward;

	if (!forward_of(element, &forward) || is_spared(wanted, &forward))
		return;
	about = about_forward(&forward);
	difference = difference_add(ret, &about, "target", NULL, json_string(element->value));
	difference->surplus = true;
	difference->forward = forward;
}

static void
verify_maps(struct nat *nat, bool is_ours, const struct net_wanted *wanted, struct differences *ret)
{
	struct elements want = elements_of(wanted->forwards, wanted->n_forwards), have = { 0 };

	if (is_ours)
		read_maps(nat, &have);
	sort(&want);
	ret->checked[CHECKED_FORWARDS] += (unsigned)wanted->n_forwards;
	for (size_t i = 0; i < want.n_items; i++) {
		const struct element *found = element_find(&have, &want.items[i]);
		struct difference_about about = about_forward(want.items[i].forward);

		difference_text(ret, &about, "target", want.items[i].value, found ? found->value : NULL);
	}
	for (size_t i = 0; wanted->whole && i < have.n_items; i++)
		if (!element_find(&want, &have.items[i]))
			tell_surplus(ret, wanted, &have.items[i]);
	free(want.items);
	free(have.items);
}

int
nat_verify(struct nat *nat, const struct net_wanted *wanted, struct differences *ret,
	   struct vn_error *err)
{
	struct difference_about about = difference_about("rule", 0, PORT_ANY, -1, "table inet %s",
							 nat->env->nft_table);
	enum table_state state;
	int result;

	pthread_mutex_lock(&nat_lock);
	result = table_look(nat, &state, err);
	if (result == 0 && state == TABLE_FOREIGN)
		about.kind = "foreign";
	if (result == 0 && wanted->whole)
		difference_flag(ret, &about, state == TABLE_FOREIGN ? "owner" : "exists", true,
				state == TABLE_OURS);
	if (result == 0 && state == TABLE_OURS && wanted->whole)
		result = verify_table(nat, ret, err);
	if (result == 0)
		verify_maps(nat, state == TABLE_OURS, wanted, ret);
	pthread_mutex_unlock(&nat_lock);
	return result;
}
