/*
 * A file has one device at a time: two would be two file systems that know nothing of each other on the
 * same blocks. A guest that has ended may hold its mounts for another instant, and with them the device, so
 * it is looked for first. Which file a device has is known by inode: names can change.
 */
#include "backends/disk/loopdev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backends/modules.h"
#include "proto/base/mem.h"

#define TRIES 64			/* others take free devices too */

int
loopdev_check(struct vn_error *err)
{
	static const char *const modules[] = { "loop", NULL };
	vn_autoclose int fd = -1;

	modules_load(modules);
	fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, LOOP_CTL_GET_FREE) < 0)
		return vn_fail(err, VN_E_UNSUPPORTED, "this kernel has no loop devices (%s): load the module "
			       "'loop'", strerror(errno));
	return 0;
}

static bool
has_file(int fd, const struct stat *file)
{
	struct loop_info64 info;

	return ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == file->st_ino
	       && info.lo_device == file->st_dev;
}

/* The device that the file has already, or -1. */
static int
find_own(const struct stat *file, char name[static 32])
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	int found = -1;

	while (dir && found < 0 && (entry = readdir(dir))) {
		vn_autofree char *bound = vn_format("/sys/block/%s/loop", entry->d_name);
		vn_autoclose int fd = -1;

		if (strncmp(entry->d_name, "loop", 4) != 0 || access(bound, F_OK) < 0)
			continue;
		snprintf(name, 32, "/dev/%.20s", entry->d_name);
		fd = open(name, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && has_file(fd, file))
			found = vn_take_fd(&fd);
	}
	if (dir)
		closedir(dir);
	return found;
}

static int
configure(int fd, int file)
{
	struct loop_config config = { .fd = (__u32)file, .block_size = 512,
				      .info.lo_flags = LO_FLAGS_AUTOCLEAR };

	return ioctl(fd, LOOP_CONFIGURE, &config);
}

static int
take_free(int file, char name[static 32], int *ret_fd, struct vn_error *err)
{
	vn_autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return vn_fail(err, VN_E_UNSUPPORTED, "this kernel has no loop devices: load the module "
			       "'loop'");
	for (int i = 0; i < TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		vn_autoclose int fd = -1;

		if (number < 0)
			return vn_fail_errno(err, errno, "get a loop device");
		snprintf(name, 32, "/dev/loop%d", number);
		fd = open(name, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return vn_fail_errno(err, errno, "open %s", name);
		if (configure(fd, file) == 0) {
			*ret_fd = vn_take_fd(&fd);
			return 0;
		}
		if (errno != EBUSY)
			return vn_fail_errno(err, errno, "set up %s", name);
	}
	return vn_fail(err, VN_E_BUSY, "others take every loop device first: try again");
}

int
loopdev_is_used(int file, bool *ret, struct vn_error *err)
{
	char name[32];
	struct stat st;
	vn_autoclose int own = -1;

	if (fstat(file, &st) < 0)
		return vn_fail_errno(err, errno, "look at the file of a disk");
	own = find_own(&st, name);
	*ret = own >= 0;
	return 0;
}

int
loopdev_open(int file, char name[static 32], int *ret_fd, struct vn_error *err)
{
	struct stat st;
	int own;

	if (fstat(file, &st) < 0)
		return vn_fail_errno(err, errno, "look at the file of a disk");
	own = find_own(&st, name);
	if (own < 0)
		return take_free(file, name, ret_fd, err);
	*ret_fd = own;
	return 0;
}

bool
loopdev_file(dev_t device, char path[static PATH_MAX])
{
	vn_autofree char *fact = vn_format("/sys/dev/block/%u:%u/loop/backing_file", major(device),
					   minor(device));
	FILE *file = fopen(fact, "re");
	bool found = file && fgets(path, PATH_MAX, file);

	if (file)
		fclose(file);
	if (found)
		path[strcspn(path, "\n")] = '\0';
	return found;
}
