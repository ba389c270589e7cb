#pragma once
/* What a vnode's disk can be, and what that means for who plans it. One row a type. */

#include <stdbool.h>

/* Stored by their words, so the order is free; disk_traits follows it. */
enum disk_type { DISK_OVERLAY, DISK_REFLINK, DISK_TYPES };

extern const char *const disk_type_words[];	/* overlay reflink */

struct disk_traits {
	bool of_archive;		/* is made from an image that is an archive */
	bool of_disk;			/* is made from an image that is a disk */
	bool has_size;			/* knows a size; the others share the room of their file system */
	bool has_changes;		/* keeps what differs from the image apart: a delta can be captured */
};

extern const struct disk_traits disk_traits[DISK_TYPES];

/* What is made on an extra disk. */
enum disk_filesystem { DISK_EXT4, DISK_NO_FILESYSTEM };

extern const char *const disk_filesystem_words[];	/* ext4 none */

/* The type with that word; -1: none. */
int disk_type_find(const char *word);
