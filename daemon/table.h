#pragma once
/* Hash tables from a number or a text to a pointer. Keys and values are borrowed. Thread: any one. */

#include <stddef.h>
#include <stdint.h>

struct table {
	struct table_slot *slots;
	size_t used, filled, size;	/* live entries; live and dead ones; slots (a power of two) */
};

/* A zeroed struct table is empty and ready. */
void table_fini(struct table *table);
void *table_get(const struct table *table, int64_t key);		/* NULL when absent */
void table_set(struct table *table, int64_t key, void *value);		/* replaces */
void *table_remove(struct table *table, int64_t key);			/* NULL when absent */

/* The same by text; the text must live as long as its entry. */
void *table_get_text(const struct table *table, const char *key);
void table_set_text(struct table *table, const char *key, void *value);
void *table_remove_text(struct table *table, const char *key);

/* Calls fn for each entry, in no order; fn must not change the table. */
void table_each(const struct table *table, void (*fn)(void *value, void *arg), void *arg);
