/*
 * Tables are compared as text, block by block and line by line: nftables lists what it was told in words of its
 * own, so what it would say of a right table is asked of itself once.
 */
#include "backends/nft/listing.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

struct block {				/* "chain outward"; the parts point into a listing */
	const char *name;
	const char **lines;
	size_t n_lines;
	bool known;
};

struct listing {
	char *text;
	struct block *blocks;
	size_t n_blocks;
};

static void
listing_fini(struct listing *listing)
{
	for (size_t i = 0; i < listing->n_blocks; i++)
		free(listing->blocks[i].lines);
	free(listing->blocks);
	free(listing->text);
}

static void
add_line(struct listing *listing, const char *line, unsigned depth)
{
	struct block *block;

	if (depth == 1) {
		listing->blocks = vn_realloc_array(listing->blocks, listing->n_blocks + 1,
						   sizeof(*listing->blocks));
		listing->blocks[listing->n_blocks++] = (struct block){ .name = line };
	} else if (depth > 1 && listing->n_blocks) {
		block = &listing->blocks[listing->n_blocks - 1];
		block->lines = vn_realloc_array(block->lines, block->n_lines + 1, sizeof(*block->lines));
		block->lines[block->n_lines++] = line;
	}
}

/* A block begins with a line that ends in " {" and ends with one that is "}"; tabs tell nothing else. */
static struct listing
listing_of(VN_TAKES char *text)
{
	struct listing listing = { .text = text };
	char *rest = text, *line;
	unsigned depth = 0;

	while ((line = strsep(&rest, "\n"))) {
		size_t length;

		line += strspn(line, "\t ");
		length = strlen(line);
		if (strcmp(line, "}") == 0) {
			depth -= depth > 0;
		} else if (length > 2 && strcmp(line + length - 2, " {") == 0) {
			line[length - 2] = '\0';
			if (depth > 0)
				add_line(&listing, line, depth);
			depth++;
		} else if (length > 0) {
			add_line(&listing, line, depth);
		}
	}
	return listing;
}

static struct block *
block_find(const struct listing *listing, const char *name)
{
	for (size_t i = 0; i < listing->n_blocks; i++)
		if (strcmp(listing->blocks[i].name, name) == 0)
			return &listing->blocks[i];
	return NULL;
}

/* Crosses out what both have. */
static void
cross_out(struct block *a, struct block *b)
{
	for (size_t i = 0; i < a->n_lines; i++)
		for (size_t k = 0; a->lines[i] && k < b->n_lines; k++)
			if (b->lines[k] && strcmp(a->lines[i], b->lines[k]) == 0)
				a->lines[i] = b->lines[k] = NULL;
}

static bool
is_same_order(const struct block *a, const struct block *b)
{
	for (size_t i = 0; i < a->n_lines && i < b->n_lines; i++)
		if (strcmp(a->lines[i], b->lines[i]) != 0)
			return false;
	return a->n_lines == b->n_lines;
}

static void
compare_block(struct differences *list, struct block *wanted, struct block *found)
{
	struct difference_about about = difference_about("rule", 0, PORT_ANY, -1, "%s", wanted->name);
	size_t before = list->count;

	if (is_same_order(wanted, found))
		return;
	cross_out(wanted, found);
	for (size_t i = 0; i < wanted->n_lines; i++)
		if (wanted->lines[i])
			difference_text(list, &about, "rule", wanted->lines[i], NULL);
	for (size_t i = 0; i < found->n_lines; i++)
		if (found->lines[i])
			difference_text(list, &about, "rule", NULL, found->lines[i]);
	if (list->count == before)
		difference_text(list, &about, "order", "as written", "another");
}

static void
compare_tables(struct differences *list, const struct listing *wanted, const struct listing *found)
{
	for (size_t i = 0; i < wanted->n_blocks; i++) {
		struct block *block = block_find(found, wanted->blocks[i].name);
		struct difference_about about = difference_about("rule", 0, PORT_ANY, -1, "%s",
								 wanted->blocks[i].name);

		if (!difference_flag(list, &about, "exists", true, block != NULL))
			continue;
		block->known = true;
		compare_block(list, &wanted->blocks[i], block);
	}
	for (size_t i = 0; i < found->n_blocks; i++)
		if (!found->blocks[i].known) {
			struct difference_about about = difference_about("rule", 0, PORT_ANY, -1, "%s",
									 found->blocks[i].name);

			difference_flag(list, &about, "exists", false, true);
		}
}

void
listing_compare(struct differences *list, const char *wanted, const char *found)
{
	struct listing one = listing_of(vn_strdup(wanted)), other = listing_of(vn_strdup(found));

	compare_tables(list, &one, &other);
	listing_fini(&one);
	listing_fini(&other);
}
