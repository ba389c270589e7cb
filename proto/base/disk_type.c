/* The types of disks, as a table. What they do is in backends/disk. */
#include "proto/base/disk_type.h"

#include <stddef.h>
#include <string.h>

const char *const disk_type_words[] = {
	[DISK_OVERLAY] = "overlay", [DISK_REFLINK] = "reflink", [DISK_QCOW2] = "qcow2",
	[DISK_LVM_THIN] = "lvm-thin", [DISK_TYPES] = NULL
};

const char *const disk_filesystem_words[] = { [DISK_EXT4] = "ext4", [DISK_NO_FILESYSTEM] = "none", NULL };

/* of_archive, of_raw, of_qcow2, can_mount, has_size, has_changes */
const struct disk_traits disk_traits[DISK_TYPES] = {
	[DISK_OVERLAY]  = { true,  false, false, true,  false, true  },
	[DISK_REFLINK]  = { true,  false, false, true,  false, false },
	[DISK_QCOW2]    = { false, true,  true,  false, true,  false },
	[DISK_LVM_THIN] = { true,  true,  false, true,  true,  false },
};

/* Twice the files leaves room for what ext4 needs of its own. What is not written takes no room. */
uint64_t
disk_least_bytes(int type, bool is_archive, uint64_t bytes)
{
	const uint64_t smallest = 1ull << 30;

	if (type != DISK_LVM_THIN || !is_archive)
		return bytes;
	return 2 * bytes > smallest ? 2 * bytes : smallest;
}

int
disk_type_find(const char *word)
{
	for (int i = 0; i < DISK_TYPES; i++)
		if (strcmp(disk_type_words[i], word) == 0)
			return i;
	return -1;
}
