/*
 * The guest's own cgroup, version 2: processes may live in leaves only, so vnode-init moves into a
 * leaf and gives the guest's root the sibling "guest", whose limits stay above it, out of its reach.
 * The controllers are handed down to it by vnoded, which can move libvirt's process out of the way.
 * Under version 1 the guest stays where libvirt put it: nothing there belongs to its root.
 */
#include "backends/libvirt/vnode-init/init.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE WIRE_WORK "/cgroup"

static int
write_file(const char *folder, const char *name, const char *text)
{
	char path[700];
	int fd, result;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	result = write(fd, text, strlen(text)) < 0 ? -1 : 0;
	close(fd);
	return result;
}

/* Our directory in the version 2 tree; false at its top, which means that libvirt uses version 1. */
static int
find_own(char *ret, size_t size)
{
	char line[512];
	FILE *file = fopen("/proc/self/cgroup", "re");
	int found = 0;

	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::/", 4) && line[4] && !strstr(line, "/..")) {
			snprintf(ret, size, TREE "%s", line + 3);
			found = 1;
		}
	}
	if (file)
		fclose(file);
	return found;
}

/* What the kernel says a cgroup namespace's owner must own (Documentation, "Delegation"). */
static int
give(const char *folder, uid_t uid)
{
	static const char *const files[] = { "cgroup.procs", "cgroup.subtree_control",
					     "cgroup.threads" };
	char path[700];

	if (chown(folder, uid, uid) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		if (chown(path, uid, uid) < 0)
			return -1;
	}
	return 0;
}

int
cgroup_split(struct init *init)
{
	char own[512], leaf[600];

	if (!find_own(own, sizeof(own) - 8))
		return 0;
	if (mkdir(TREE, 0755) < 0 ||
	    mount("cgroup2", TREE, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return -1;
	snprintf(leaf, sizeof(leaf), "%s/init", own);
	snprintf(init->guest_cgroup, sizeof(init->guest_cgroup), "%s/guest", own);
	if (mkdir(leaf, 0755) < 0 || mkdir(init->guest_cgroup, 0755) < 0)
		return -1;
	if (write_file(leaf, "cgroup.procs", "0") < 0)
		return -1;
	return give(init->guest_cgroup, init->setup.root_id);
}

int
cgroup_enter_guest(const struct init *init)
{
	return *init->guest_cgroup ? write_file(init->guest_cgroup, "cgroup.procs", "0") : 0;
}
