#pragma once
/*
 * Memory and ownership. Out of memory ends the process: guests belong to libvirt and the truth is
 * in SQLite, so a restart loses nothing. Sizes that come from a client are bounded before.
 */

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define vn_autofree  __attribute__((cleanup(vn_free_at)))
#define vn_autoclose __attribute__((cleanup(vn_close_at)))

/* Owns a value of a type T that has a function T_free_at(T *): vn_auto(json_t_ptr) x = …; */
#define vn_auto(type) __attribute__((cleanup(type##_free_at))) type

/* Marks a parameter that is consumed, even on failure. */
#define VN_TAKES

/* Hands a pointer over: the variable is NULL afterwards. */
#define vn_take_ptr(at)                                                                            \
	({                                                                                         \
		__typeof__(at) at_ = (at);                                                         \
		__typeof__(*at_) taken_ = *at_;                                                    \
		*at_ = NULL;                                                                       \
		taken_;                                                                            \
	})

/* Hands a descriptor over: the variable is -1 afterwards. */
static inline int
vn_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void
vn_free_at(void *at)
{
	free(*(void **)at);
}

static inline void
vn_close_at(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define VN_COUNT(array) (sizeof(array) / sizeof(*(array)))

#define vn_container_of(pointer, type, member)                                                     \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Zeroed memory, never NULL; to be freed with free(). */
void *vn_alloc(size_t size);
/* Zeroed array, never NULL; aborts on overflow too. */
void *vn_alloc_array(size_t count, size_t size);
/* Like realloc for `count` items of `size` bytes; new memory is not zeroed. Never NULL. */
void *vn_realloc_array(void *old, size_t count, size_t size);
/* A copy to be freed; NULL for NULL. */
char *vn_strdup(const char *text);
/* A formatted string to be freed, never NULL. */
char *vn_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
