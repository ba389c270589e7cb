#pragma once
/* Memory that is freed all at once: what one request or document was decoded into. */

#include <stddef.h>

struct vn_arena {
	struct vn_arena_block *blocks;
};

/* Zeroed memory that lives until vn_arena_fini. A zeroed struct vn_arena is empty and ready. */
void *vn_arena_alloc(struct vn_arena *arena, size_t size);
char *vn_arena_strdup(struct vn_arena *arena, const char *text);	/* NULL for NULL */
void vn_arena_fini(struct vn_arena *arena);

static inline void
vn_arena_free_at(struct vn_arena *arena)
{
	vn_arena_fini(arena);
}
#define vn_autoarena __attribute__((cleanup(vn_arena_free_at))) struct vn_arena
