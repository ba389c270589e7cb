/*
 * What an image has at a path, without a mount: from the top layer down to the first that has the name, or
 * says that those below have it no more.
 */
#include "backends/disk/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/base/mem.h"

static int
open_below(int root, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
					   | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* Whether a folder above `path` hides what layers below have in it. */
static bool
is_hidden_below(int layer, const char *path)
{
	char above[PATH_MAX];

	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		vn_autoclose int fd = -1;
		char value;

		snprintf(above, sizeof(above), "%.*s", (int)(at - path), path);
		fd = open_below(layer, above, O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return errno != ENOENT;		/* something else is in the folder's place */
		if (fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y')
			return true;
	}
	return false;
}

int
capture_base(const struct capture_tree *tree, const char *path)
{
	for (size_t i = 0; i < tree->n_bases; i++) {
		vn_autoclose int fd = open_below(tree->bases[i], path, O_PATH);
		struct stat st;

		if (fd >= 0 && fstat(fd, &st) == 0)
			return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0) ? -1 : tree->bases[i];
		if (is_hidden_below(tree->bases[i], path))
			return -1;
	}
	return -1;
}
