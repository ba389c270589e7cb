/*
 * A forward is one element per family. Adding and removing first assumes that the table is as we
 * left it, which costs one small transaction however many elements there are; only when the kernel
 * refuses are the maps read and the difference made.
 */
#include "backends/nft/forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

static void
add_element(struct elements *elements, const struct forward_spec *forward, const struct vn_cidr *to)
{
	struct element *element = &elements->items[elements->n_items];
	bool any = forward->address.family == 0, six = to->family == AF_INET6;
	char address[INET6_ADDRSTRLEN + 4] = "", target[INET6_ADDRSTRLEN];

	if (to->family == 0 || (!any && forward->address.family != to->family))
		return;
	if (!any) {
		vn_cidr_print_address(&forward->address, address);
		strcat(address, " . ");
	}
	vn_cidr_print_address(to, target);
	element->forward = forward;
	element->map = any ? (six ? MAP_ANY6 : MAP_ANY4) : (six ? MAP_AT6 : MAP_AT4);
	snprintf(element->key, sizeof(element->key), "%s%d . %u", address, forward->protocol,
		 forward->host);
	snprintf(element->value, sizeof(element->value), "%s . %u", target, forward->guest);
	elements->n_items++;
}

struct elements
elements_of(const struct forward_spec *forwards, size_t count)
{
	struct elements elements = { .items = vn_alloc_array(2 * count + 1,
							     sizeof(*elements.items)) };

	for (size_t i = 0; i < count; i++) {
		add_element(&elements, &forwards[i], &forwards[i].to4);
		add_element(&elements, &forwards[i], &forwards[i].to6);
	}
	return elements;
}

/* Appends one command per map that has elements; chosen: NULL = all of them. */
static void
command_elements(struct commands *commands, const struct nat *nat, const char *verb,
		 const struct elements *elements, const bool *chosen)
{
	bool is_add = strcmp(verb, "add") == 0;

	for (int map = 0; map < MAP_COUNT; map++) {
		size_t listed = 0;

		for (size_t i = 0; i < elements->n_items; i++) {
			const struct element *element = &elements->items[i];

			if ((int)element->map != map || (chosen && !chosen[i]))
				continue;
			if (listed++ == 0)
				commands_add(commands, "%s element inet %s %s {", verb,
					     nat->env->nft_table, table_map_names[map]);
			commands_add(commands, "%s %s%s%s", listed > 1 ? "," : "", element->key,
				     is_add ? " : " : "", is_add ? element->value : "");
		}
		if (listed > 0)
			commands_add(commands, " }\n");
	}
}

/* ---- what the maps hold ---------------------------------------------------------------------- */

void
concat_print(json_t *concat, char *text, size_t size)
{
	json_t *part;
	size_t i, length = 0;

	text[0] = '\0';
	json_array_foreach(json_object_get(concat, "concat"), i, part) {
		const char *before = i > 0 ? " . " : "";

		if (length >= size)
			return;
		if (json_is_integer(part))
			length += (size_t)snprintf(text + length, size - length, "%s%lld", before,
						   (long long)json_integer_value(part));
		else
			length += (size_t)snprintf(text + length, size - length, "%s%s", before,
						   json_string_value(part));
	}
}

static void
mark_held(const struct elements *elements, enum table_map map, json_t *key, bool *held)
{
	char text[sizeof(elements->items->key)];

	concat_print(json_object_get(key, "elem") ?
			     json_object_get(json_object_get(key, "elem"), "val") : key,
		     text, sizeof(text));
	for (size_t i = 0; i < elements->n_items; i++)
		if (elements->items[i].map == map && strcmp(elements->items[i].key, text) == 0)
			held[i] = true;
}

/* Marks which of the elements' keys the table holds, whatever they lead to. */
static int
find_held(struct nat *nat, const struct elements *elements, bool *held, struct vn_error *err)
{
	for (int map = 0; map < MAP_COUNT; map++) {
		vn_autofree char *command = vn_format("list map inet %s %s", nat->env->nft_table,
						      table_map_names[map]);
		json_t *list, *item, *pair;
		size_t i, k;

		if (context_query(nat, command, true, &list, err) < 0)
			return -1;
		json_array_foreach(list, i, item)
			json_array_foreach(json_object_get(json_object_get(item, "map"), "elem"), k, pair)
				mark_held(elements, (enum table_map)map, json_array_get(pair, 0), held);
		json_decref(list);
	}
	return 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static int
run_or_nothing(struct nat *nat, struct commands *commands, const char *what, struct vn_error *err)
{
	return commands->length ? context_run(nat, commands->text, what, err) : 0;
}

/* Removes the elements' keys wherever they lead, then adds them if wanted: one transaction. */
static int
mend_elements(struct nat *nat, const struct elements *elements, bool add, struct vn_error *err)
{
	vn_autofree bool *held = vn_alloc_array(elements->n_items + 1, sizeof(*held));
	struct commands commands = { 0 };
	int result;

	if (find_held(nat, elements, held, err) < 0)
		return -1;
	command_elements(&commands, nat, "delete", elements, held);
	if (add)
		command_elements(&commands, nat, "add", elements, NULL);
	result = run_or_nothing(nat, &commands, add ? "add forwards" : "remove forwards", err);
	free(commands.text);
	return result;
}

int
nat_forwards_up(struct nat *nat, const struct forward_spec *forwards, size_t count,
		struct vn_error *err)
{
	struct elements elements = elements_of(forwards, count);
	struct commands commands = { 0 };
	int result;

	pthread_mutex_lock(&nat_lock);
	command_elements(&commands, nat, "add", &elements, NULL);
	result = run_or_nothing(nat, &commands, "add forwards", err);
	if (result < 0) {
		result = table_ensure(nat, err);
		if (result == 0)
			result = mend_elements(nat, &elements, true, err);
	}
	pthread_mutex_unlock(&nat_lock);
	free(commands.text);
	free(elements.items);
	return result;
}

int
nat_forwards_down(struct nat *nat, const struct forward_spec *forwards, size_t count,
		  struct vn_error *err)
{
	struct elements elements = elements_of(forwards, count);
	enum table_state state = TABLE_ABSENT;
	struct commands commands = { 0 };
	int result;

	pthread_mutex_lock(&nat_lock);
	command_elements(&commands, nat, "delete", &elements, NULL);
	result = run_or_nothing(nat, &commands, "remove forwards", err);
	if (result < 0) {
		result = table_look(nat, &state, err);
		if (result == 0 && state == TABLE_OURS)
			result = mend_elements(nat, &elements, false, err);
	}
	pthread_mutex_unlock(&nat_lock);
	free(commands.text);
	free(elements.items);
	return result;
}

int
nat_forwards_sync(struct nat *nat, const struct forward_spec *forwards, size_t count,
		  struct vn_error *err)
{
	struct elements elements = elements_of(forwards, count);
	struct commands commands = { 0 };
	int result;

	for (int map = 0; map < MAP_COUNT; map++)
		commands_add(&commands, "flush map inet %s %s\n", nat->env->nft_table,
			     table_map_names[map]);
	command_elements(&commands, nat, "add", &elements, NULL);
	pthread_mutex_lock(&nat_lock);
	result = table_ensure(nat, err);
	if (result == 0)
		result = context_run(nat, commands.text, "set the forwards", err);
	pthread_mutex_unlock(&nat_lock);
	free(commands.text);
	free(elements.items);
	return result;
}
