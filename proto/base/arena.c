/*
 * A chain of blocks that small requests share. Requests that do not fit get a block of their own,
 * chained behind the current one so that its rest stays in use.
 */
#include "proto/base/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/mem.h"

enum { BLOCK_SIZE = 4096 };

struct vn_arena_block {
	struct vn_arena_block *next;
	size_t used, size;
	alignas(max_align_t) unsigned char data[];
};

static struct vn_arena_block *
add_block(struct vn_arena *arena, size_t size)
{
	bool is_shared = size <= BLOCK_SIZE / 4;
	size_t room = is_shared ? BLOCK_SIZE : size;
	struct vn_arena_block *block = vn_alloc(sizeof(*block) + room);

	block->size = room;
	if (is_shared || !arena->blocks) {
		block->next = arena->blocks;
		arena->blocks = block;
	} else {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	}
	return block;
}

void *
vn_arena_alloc(struct vn_arena *arena, size_t size)
{
	struct vn_arena_block *block = arena->blocks;
	void *memory;

	if (size > SIZE_MAX / 2)
		abort();
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!block || block->size - block->used < size)
		block = add_block(arena, size);
	memory = block->data + block->used;
	block->used += size;
	return memory;
}

char *
vn_arena_strdup(struct vn_arena *arena, const char *text)
{
	size_t size;

	if (!text)
		return NULL;
	size = strlen(text) + 1;
	return memcpy(vn_arena_alloc(arena, size), text, size);
}

void
vn_arena_fini(struct vn_arena *arena)
{
	struct vn_arena_block *next;

	for (struct vn_arena_block *block = arena->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	arena->blocks = NULL;
}
