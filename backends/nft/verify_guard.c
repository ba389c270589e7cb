/*
 * The guard's table and sets. What surprises: nftables prints the integers of own6 without leading zeros, so
 * both sides are compared that way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/nft/forward.h"
#include "backends/nft/guard_inner.h"
#include "backends/nft/listing.h"
#include "proto/base/mem.h"

struct held {				/* an element of a set */
	int set;
	char text[96];
	int64_t vmid;			/* wanted ones */
	bool known;
};

struct holdings {
	struct held *items;
	size_t count;
};

static void
hold(struct holdings *holdings, int set, const char *text, int64_t vmid)
{
	struct held *held;
	char *number;

	if (!*text)
		return;
	holdings->items = vn_realloc_array(holdings->items, holdings->count + 1, sizeof(*held));
	held = &holdings->items[holdings->count++];
	*held = (struct held){ .set = set, .vmid = vmid };
	snprintf(held->text, sizeof(held->text), "%s", text);
	number = strstr(held->text, "0x");
	if (number)
		memmove(number + 2, number + 2 + strspn(number + 2, "0"),
			strlen(number + 2 + strspn(number + 2, "0")) + 1);
}

static int
by_text(const void *a, const void *b)
{
	const struct held *one = a, *other = b;

	return one->set != other->set ? one->set - other->set : strcmp(one->text, other->text);
}

static void
sort(struct holdings *holdings)
{
	if (holdings->count)
		qsort(holdings->items, holdings->count, sizeof(*holdings->items), by_text);
}

static struct held *
find(const struct holdings *holdings, const struct held *like)
{
	return holdings->count ? bsearch(like, holdings->items, holdings->count, sizeof(*like), by_text)
			       : NULL;
}

static struct holdings
wanted_of(const struct guard_checked *ports, size_t count)
{
	struct holdings wanted = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct element_text text;

		if (ports[i].spared)
			continue;
		guard_print_elements(&ports[i].port, &text);
		hold(&wanted, 0, text.macs, ports[i].vmid);
		hold(&wanted, 1, text.own4, ports[i].vmid);
		hold(&wanted, 2, text.own6[0], ports[i].vmid);
		hold(&wanted, 2, text.own6[1], ports[i].vmid);
	}
	sort(&wanted);
	return wanted;
}

/* A set that is missing has been told with the table. */
static struct holdings
read_sets(struct guard *guard)
{
	struct holdings found = { 0 };

	for (int set = 0; guard_sets[set]; set++) {
		vn_autofree char *command = vn_format("list set bridge %s %s",
						      guard->nat.env->nft_table, guard_sets[set]);
		struct vn_error absent = { 0 };
		json_t *list, *item, *element;
		size_t i, k;

		if (context_query(&guard->nat, command, true, &list, &absent) < 0)
			continue;
		json_array_foreach(list, i, item)
			json_array_foreach(json_object_get(json_object_get(item, "set"), "elem"), k,
					   element) {
				char text[96];

				concat_print(element, text, sizeof(text));
				hold(&found, set, text, 0);
			}
		json_decref(list);
	}
	sort(&found);
	return found;
}

/* The port that an element begins with; NULL: none that was asked for. */
static const struct guard_checked *
port_of(const struct guard_checked *ports, size_t count, const struct held *held)
{
	size_t length = strcspn(held->text, " ");

	for (size_t i = 0; i < count; i++)
		if (strlen(ports[i].port.name) == length &&
		    strncmp(ports[i].port.name, held->text, length) == 0)
			return &ports[i];
	return NULL;
}

static struct difference_about
about_element(const struct held *held, int64_t vmid)
{
	return difference_about("guard", vmid, vmid ? 0 : PORT_ANY, vmid ? NET_CONTROL : -1, "%.*s",
				(int)strcspn(held->text, " "), held->text);
}

static void
compare_sets(struct guard *guard, const struct guard_checked *ports, size_t count, bool whole,
	     struct differences *ret)
{
	struct holdings wanted = wanted_of(ports, count), found = read_sets(guard);

	for (size_t i = 0; i < wanted.count; i++) {
		struct held *held = find(&found, &wanted.items[i]);
		struct difference_about about = about_element(&wanted.items[i], wanted.items[i].vmid);

		if (held)
			held->known = true;
		else
			difference_text(ret, &about, guard_sets[wanted.items[i].set],
					wanted.items[i].text, NULL);
	}
	for (size_t i = 0; i < found.count; i++) {
		const struct guard_checked *port = port_of(ports, count, &found.items[i]);
		struct difference_about about = about_element(&found.items[i], port ? port->vmid : 0);

		if (!found.items[i].known && (port ? !port->spared : whole))
			difference_text(ret, &about, guard_sets[found.items[i].set], NULL,
					found.items[i].text);
	}
	free(wanted.items);
	free(found.items);
}

static int
compare_table(struct guard *guard, struct differences *ret, struct vn_error *err)
{
	const char *table = guard->nat.env->nft_table;
	vn_autofree char *list = vn_format("list table bridge %s", table), *text = NULL;
	struct difference_about about = difference_about("rule", 0, PORT_ANY, -1, "table bridge %s", table);
	struct vn_error absent = { 0 };
	struct commands commands = { 0 };
	int result = 0;

	guard_add_table(&commands, guard);
	if (!guard->nat.expected)
		result = context_rehearse(&guard->nat, commands.text, list, &guard->nat.expected, err);
	free(commands.text);
	if (result == 0 && difference_flag(ret, &about, "exists", true,
					   context_list(&guard->nat, list, &text, &absent) == 0))
		listing_compare(ret, guard->nat.expected, text);
	return result;
}

int
guard_verify(struct guard *guard, const struct guard_checked *ports, size_t count, bool whole,
	     struct differences *ret, struct vn_error *err)
{
	int result = 0;

	pthread_mutex_lock(&nat_lock);
	if (guard->nat.context && whole)
		result = compare_table(guard, ret, err);
	if (guard->nat.context && result == 0)
		compare_sets(guard, ports, count, whole, ret);
	pthread_mutex_unlock(&nat_lock);
	return result;
}
