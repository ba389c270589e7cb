/*
 * Open addressing with linear probing; a removed entry leaves a grave until the next growth. One slot
 * type serves numbers and texts: a text's hash is its number, and its letters are compared as well.
 */
#include "daemon/table.h"

#include <stdbool.h>
#include <string.h>

#include "proto/base/mem.h"

struct table_slot {
	uint64_t number;
	const char *text;
	void *value;
	bool used, grave;
};

static uint64_t
hash_text(const char *text)
{
	uint64_t hash = 14695981039346656037u;	/* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211u;
	return hash;
}

static size_t
place(const struct table *table, uint64_t number)
{
	return (number * 0x9e3779b97f4a7c15u >> 20) & (table->size - 1);
}

static struct table_slot *
find(const struct table *table, uint64_t number, const char *text)
{
	if (!table->size)
		return NULL;
	for (size_t i = place(table, number);; i = (i + 1) & (table->size - 1)) {
		struct table_slot *slot = &table->slots[i];

		if (!slot->used && !slot->grave)
			return NULL;
		if (slot->used && slot->number == number &&
		    (!text || (slot->text && strcmp(slot->text, text) == 0)))
			return slot;
	}
}

static void
put(struct table *table, uint64_t number, const char *text, void *value)
{
	size_t i = place(table, number);

	while (table->slots[i].used)
		i = (i + 1) & (table->size - 1);
	table->filled += !table->slots[i].grave;
	table->used++;
	table->slots[i] = (struct table_slot){ number, text, value, true, false };
}

static void
grow(struct table *table)
{
	struct table old = *table;

	*table = (struct table){ .size = 16 };
	while (table->size < old.used * 3)
		table->size *= 2;
	table->slots = vn_alloc_array(table->size, sizeof(*table->slots));
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i].used)
			put(table, old.slots[i].number, old.slots[i].text, old.slots[i].value);
	free(old.slots);
}

static void
set(struct table *table, uint64_t number, const char *text, void *value)
{
	struct table_slot *slot = find(table, number, text);

	if (slot) {
		slot->text = text;
		slot->value = value;
		return;
	}
	if ((table->filled + 1) * 2 > table->size)
		grow(table);
	put(table, number, text, value);
}

static void *
take(struct table *table, uint64_t number, const char *text)
{
	struct table_slot *slot = find(table, number, text);
	void *value;

	if (!slot)
		return NULL;
	value = slot->value;
	*slot = (struct table_slot){ .grave = true };
	table->used--;
	return value;
}

void
table_fini(struct table *table)
{
	free(table->slots);
	*table = (struct table){ 0 };
}

void *
table_get(const struct table *table, int64_t key)
{
	struct table_slot *slot = find(table, (uint64_t)key, NULL);

	return slot ? slot->value : NULL;
}

void
table_set(struct table *table, int64_t key, void *value)
{
	set(table, (uint64_t)key, NULL, value);
}

void *
table_remove(struct table *table, int64_t key)
{
	return take(table, (uint64_t)key, NULL);
}

void *
table_get_text(const struct table *table, const char *key)
{
	struct table_slot *slot = find(table, hash_text(key), key);

	return slot ? slot->value : NULL;
}

void
table_set_text(struct table *table, const char *key, void *value)
{
	set(table, hash_text(key), key, value);
}

void *
table_remove_text(struct table *table, const char *key)
{
	return take(table, hash_text(key), key);
}

void
table_each(const struct table *table, void (*fn)(void *value, void *arg), void *arg)
{
	for (size_t i = 0; i < table->size; i++)
		if (table->slots[i].used)
			fn(table->slots[i].value, arg);
}
