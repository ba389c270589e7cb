#pragma once
/* What a vnode's disk can be, and what that means for who plans it. One row a type. */

#include <stdbool.h>
#include <stdint.h>

/* Stored by their words, so the order is free; disk_traits follows it. */
enum disk_type { DISK_OVERLAY, DISK_REFLINK, DISK_QCOW2, DISK_LVM_THIN, DISK_TYPES };

extern const char *const disk_type_words[];	/* overlay reflink qcow2 lvm-thin */

struct disk_traits {
	bool of_archive;		/* is made from an image that is an archive */
	bool of_raw, of_qcow2;		/* is made from an image that is such a disk */
	bool can_mount;			/* the host can mount one that was made from an archive */
	bool has_size;			/* knows a size; the others share the room of their file system */
	bool has_changes;		/* keeps what differs from the image apart: a delta can be captured */
};

extern const struct disk_traits disk_traits[DISK_TYPES];

/*
 * The least that a disk of a type with a size can have.
 *
 * is_archive: of the image it is made from. bytes: of all its layers, unpacked; else of the disk in it.
 */
uint64_t disk_least_bytes(int type, bool is_archive, uint64_t bytes);

/* What is made on an extra disk. */
enum disk_filesystem { DISK_EXT4, DISK_NO_FILESYSTEM };

extern const char *const disk_filesystem_words[];	/* ext4 none */

/* The type with that word; -1: none. */
int disk_type_find(const char *word);
